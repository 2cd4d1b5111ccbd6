"""Docstrings of the three styles, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.server.docstring import Docstring, parse

GOOGLE = """Finds a city.

    It looks in several places.

    Args:
        name: The name of the city,
            as people there write it.
        limit (int, optional): How many at most.
        options (dict[str, tuple(int, int)]): With
            a second line

            and a second paragraph.
        *more: The rest.
        silent:

    Returns:
        The city: or nothing.

    Raises:
        LookupError: When there is none.

    Example:
        >>> find("Verona")
    """

NUMPY = """Finds a city.

    It looks in several places.

    Parameters
    ----------
    name : str
        The name of the city,
        as people there write it.
    limit, offset : int, optional
        How many at most.
    **more
        The rest.

    Returns
    -------
    City
        The city: or nothing.

    Raises
    ------
    LookupError
        When there is none.

    Examples
    --------
    >>> find("Verona")
    """

SPHINX = """Finds a city.

    It looks in several places.

    :param name: The name of the city,
        as people there write it.
    :param int limit: How many at most.
    :type name: str
    :arg more: The rest.
    :returns: The city: or nothing.
    :rtype: City
    :raises LookupError: When there is none.
    :meta private:
    """


def test_google() -> None:
    parsed = parse(GOOGLE)
    assert parsed.description == ('Finds a city.\n\nIt looks in several places.\n\nExample:\n    >>> find("Verona")')
    assert parsed.parameters == {
        "name": "The name of the city, as people there write it.",
        "limit": "How many at most.",
        "options": "With a second line\n\nand a second paragraph.",
        "more": "The rest.",
        "silent": "",
    }
    assert parsed.returns == "The city: or nothing."


def test_numpy() -> None:
    parsed = parse(NUMPY)
    assert parsed.description == (
        'Finds a city.\n\nIt looks in several places.\n\nExamples\n--------\n>>> find("Verona")'
    )
    assert parsed.parameters == {
        "name": "The name of the city, as people there write it.",
        "limit": "How many at most.",
        "offset": "How many at most.",
        "more": "The rest.",
    }
    assert parsed.returns == "The city: or nothing."


def test_sphinx() -> None:
    parsed = parse(SPHINX)
    assert parsed.description == "Finds a city.\n\nIt looks in several places.\n\n:meta private:"
    assert parsed.parameters == {
        "name": "The name of the city, as people there write it.",
        "limit": "How many at most.",
        "more": "The rest.",
    }
    assert parsed.returns == "The city: or nothing."


@pytest.mark.parametrize("doc", [None, "", "  \n "])
def test_nothing(doc: str | None) -> None:
    assert parse(doc) == Docstring()


@pytest.mark.parametrize(
    "doc",
    [
        "One line.",
        "The arguments:\nare discussed here.",
        "Args:\nnot indented",
        "So:\n\nArgs:\n    this is prose without an entry",
        "Parameters\n--\nx : int\n    too short a line",
        "Parameters",
        "Args:",
        "Returns: the sum, on the same line.",
        "Use it so:\n\n```\nArgs:\n    a: no section\n```\n\nand so on.",
        "~~~\nParameters\n----------\na : int\n    no section",
        "Time is 12:30: and so on.",
        ":: literal",
        "So:\n\nNote:\n    param: not one.",
    ],
)
def test_what_is_no_section_stays_in_the_description(doc: str) -> None:
    assert parse(doc) == Docstring(description=doc)


def test_sections_may_come_in_any_order_and_text_between_them_stays() -> None:
    parsed = parse("First.\n\nReturns:\n    A thing.\n\nBetween.\n\nArguments:\n    a: It.\nLast.")
    assert parsed == Docstring(description="First.\n\nBetween.\n\nLast.", parameters={"a": "It."}, returns="A thing.")
    assert parse("\n    Args:\n        a: It.\n    ") == Docstring(parameters={"a": "It."})


def test_a_returned_type_without_text_is_no_less_than_nothing() -> None:
    assert parse("x\n\nReturns\n-------\nint").returns == "int"
    assert parse("x\n\nYields:\n    Numbers.").returns == "Numbers."


@given(st.text(alphabet="aA:b \n-*`()Argsetum,", max_size=200))
def test_any_text_is_taken_apart(doc: str) -> None:
    parsed = parse(doc)
    assert isinstance(parsed.description, str)
    assert all(name.isidentifier() or name.isalnum() for name in parsed.parameters)


@given(st.text(max_size=200))
def test_text_without_sections_is_kept_but_for_blank_lines(doc: str) -> None:
    if ":" not in doc and "-" not in doc:
        import inspect

        assert parse(doc).description.split() == inspect.cleandoc(doc).split()
