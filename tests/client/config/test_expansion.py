"""`${VAR}` in values: what is put in, what is left alone, what is refused, and that nothing is expanded twice."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.client.config.expansion import MAX_TEXT, ExpansionError, expand, is_variable

ENVIRONMENT = {"USER": "ada", "EMPTY": "", "NESTED": "${USER}", "lower_1": "x", "workspaceFolder": "/home/ada/shop"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("", ""),
        ("plain", "plain"),
        ("${USER}", "ada"),
        ("${env:USER}", "ada"),
        ("a ${USER}/${lower_1}!", "a ada/x!"),
        ("${EMPTY}", ""),
        ("${EMPTY:-default}", ""),
        ("${USER:-default}", "ada"),
        ("${MISSING:-default}", "default"),
        ("${env:MISSING:-default}", "default"),
        ("${MISSING:-}", ""),
        ("${MISSING:-a:-b}", "a:-b"),
        ("${MISSING:-$USER}", "$USER"),
        ("${workspaceFolder}/src", "/home/ada/shop/src"),
        # Nothing is expanded twice.
        ("${NESTED}", "${USER}"),
        # Dollars that stand before no brace are dollars.
        ("$", "$"),
        ("$USER", "$USER"),
        ("pa$$word$", "pa$$word$"),
        ("{USER}", "{USER}"),
        ("$ {USER}", "$ {USER}"),
        ("}${USER}}", "}ada}"),
        # Before a brace, two stand for one.
        ("$${USER}", "${USER}"),
        ("$$${USER}", "$ada"),
        ("$$$${USER}", "$${USER}"),
        ("$${", "${"),
        ("$${${USER}}", "${ada}"),
    ],
)
def test_what_a_text_becomes(text, expanded):
    assert expand(text, ENVIRONMENT) == expanded


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${MISSING}", "the environment variable MISSING is not set; set it, or write a default: ${MISSING:-…}"),
        ("${env:MISSING}", "the environment variable MISSING is not set; set it, or write a default: ${MISSING:-…}"),
        ("${USER", "`${` has no `}` after it; `$${` stands for those two characters themselves"),
        ("${USER:-${EMPTY}}", "a default holds no reference of its own: nothing is expanded inside of `${…}`"),
        ("${}", "`${…}` holds no name of a variable; write ${NAME}, and `$${` where these characters are meant"),
        (
            "${input:api-key}",
            "`${input:api-key}` is asked by VS Code, and nobody asks here; write ${API_KEY} for a variable",
        ),
        (
            "${userHome}/x",
            "userHome is a variable of the editor, and not set here; pass environment={**os.environ, 'userHome': …}",
        ),
    ],
)
def test_what_is_refused(text, told):
    with pytest.raises(ExpansionError) as caught:
        expand(text, ENVIRONMENT)
    assert str(caught.value) == told


@pytest.mark.parametrize("text", ["${1x}", "${a b}", "${USER:default}", "${config:x}", "${ÄRGER}", "${USER\n}", "${/}"])
def test_what_names_no_variable_is_refused_and_not_repeated(text):
    """It may be a piece of a password."""
    with pytest.raises(ExpansionError, match=r"^`\$\{…\}` holds no name of a variable") as caught:
        expand(text, ENVIRONMENT)
    assert text[2:-1] not in str(caught.value)


def test_a_long_name_is_cut():
    with pytest.raises(ExpansionError) as caught:
        expand(f"${{{'A' * 5_000}}}", {})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "text", ["x" * (MAX_TEXT + 1), "${LONG}x", "x${LONG}", "${LONG}" * 100, "${" + "x" * MAX_TEXT + "}"]
)
def test_a_text_has_a_limit_before_and_after(text):
    with pytest.raises(ExpansionError, match=f"more than {MAX_TEXT:,} characters"):
        expand(text, {"LONG": "l" * MAX_TEXT})


def test_at_the_limit_it_is_accepted():
    assert expand("${LONG}", {"LONG": "l" * MAX_TEXT}) == "l" * MAX_TEXT
    assert expand("$" * MAX_TEXT, {}) == "$" * MAX_TEXT


@given(st.text(alphabet="${}:-envUSER\\ \n", max_size=40))
@example("$" * 40)
@example("${USER:-$${}")
def test_any_text_is_expanded_or_refused(text):
    try:
        expanded = expand(text, ENVIRONMENT)
    except ExpansionError:
        return
    if "${" not in text:
        assert expanded == text


@given(st.text(max_size=50))
def test_any_text_can_be_written_so_that_it_comes_out_again(text):
    written = re.sub(r"(\$+)\{", r"\1\1{", text)
    assert expand(written, {}) == text


@given(st.text(max_size=50), st.text(max_size=10), st.text(max_size=10))
def test_a_value_comes_out_as_it_is(value, before, after):
    before, after = before.replace("$", ""), after.replace("$", "")
    assert expand(f"{before}${{V}}{after}", {"V": value}) == before + value + after


@pytest.mark.parametrize(
    ("name", "fits"), [("A", True), ("_a1", True), ("1a", False), ("", False), ("a-b", False), ("A\n", False)]
)
def test_which_names_a_reference_can_have(name, fits):
    assert is_variable(name) is fits
