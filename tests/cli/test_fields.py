"""A field of a form: what a typed text means to it, and which values fit."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.cli.fields import MAX_FIELDS, Field, Unfit, fields_of


def field(required: bool = False, **schema: Any) -> Field:
    (found,) = fields_of({"properties": {"f": schema}, "required": ["f"] if required else []})
    return found


SIZES = {"enum": ["s", "L"], "enumNames": ["Small", "Large"], "type": "string"}
TITLED = {"type": "string", "oneOf": [{"const": "s", "title": "Small"}, {"const": "L", "title": "Large"}]}
MANY = {"type": "array", "items": {"anyOf": TITLED["oneOf"]}}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, " a ", " a "),
        ({"type": "string"}, "7", "7"),
        ({}, "x", "x"),
        ({"type": "object"}, "x", "x"),
        ({"type": ["string", "null"]}, "x", "x"),
        ({"type": "integer"}, " 7 ", 7),
        ({"type": "integer"}, "-7", -7),
        ({"type": "number"}, "7.5", 7.5),
        ({"type": "number"}, "7", 7),
        *(({"type": "boolean"}, text, True) for text in ("y", "YES", " true ")),
        *(({"type": "boolean"}, text, False) for text in ("n", "No", "false")),
        *((schema, text, "s") for schema in (SIZES, TITLED) for text in ("s", " S ", "small", "1")),
        ({"type": "string", "enum": ["2", "1"]}, "1", "1"),
        ({"type": "string", "enum": ["a", "A"]}, "A", "A"),
        ({"type": "string", "enum": [1, 2]}, "x", "x"),
        *((MANY, text, ["s", "L"]) for text in ("s,L", "small, large", "1,2", '["s", "L"]', "s,,L,")),
        ({"type": "array", "items": {"type": "string", "enum": ["a, b", "c"]}}, '["a, b"]', ["a, b"]),
        ({"type": "array"}, "x, y", ["x", "y"]),
    ],
)
def test_a_typed_text_means_a_value(schema: dict[str, Any], text: str, value: Any) -> None:
    found = field(**schema).read(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("schema", "text", "told"),
    [
        ({"type": "integer"}, "7.5", "expected a whole number"),
        ({"type": "integer"}, "seven", "expected a whole number"),
        ({"type": "integer"}, "true", "expected a whole number"),
        ({"type": "number"}, "", "expected a number"),
        ({"type": "number"}, "[" * 100_000, "expected a number"),
        ({"type": "number"}, "NaN", "expected a number"),
        ({"type": "number", "minimum": 1}, "0.5", "expected 1 or more"),
        ({"type": "integer", "maximum": 9}, "10", "expected 9 or less"),
        ({"type": "boolean"}, "perhaps", "expected yes or no"),
        ({"type": "string", "minLength": 2}, "a", "expected 2 characters or more"),
        ({"type": "string", "maxLength": 2}, "abc", "expected 2 characters or less"),
        (SIZES, "3", "expected one of s (Small), L (Large)"),
        (SIZES, "0", "expected one of s (Small), L (Large)"),
        (SIZES, "9" * 100_000, "expected one of s (Small), L (Large)"),
        (SIZES, "²", "expected one of s (Small), L (Large)"),
        (MANY, "s,x", "expected any of s (Small), L (Large), with commas between"),
        ({**MANY, "minItems": 2}, "s", "expected 2 answers or more"),
        ({**MANY, "maxItems": 1}, "s,L", "expected 1 answers or less"),
        (MANY, "[1]", "expected a list as JSON, or texts with commas between"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_text_that_does_not_fit_is_told_what_does(schema: dict[str, Any], text: str, told: str) -> None:
    with pytest.raises(Unfit) as unfit:
        field(**schema).read(text)
    assert str(unfit.value) == told


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, True),
        ({"type": "integer"}, "7"),
        ({"type": "number"}, False),
        ({"type": "boolean"}, 1),
        ({"type": "string"}, 7),
        ({"type": "string"}, None),
        (SIZES, "Small"),
        (MANY, "s"),
        (MANY, [1]),
    ],
)
def test_a_value_is_taken_as_it_is_or_not_at_all(schema: dict[str, Any], value: Any) -> None:
    with pytest.raises(Unfit):
        field(**schema).check(value)


@pytest.mark.parametrize(
    ("schema", "default"),
    [
        ({"type": "integer", "default": 7}, 7),
        ({"type": "integer", "default": "7"}, None),
        ({**SIZES, "default": "L"}, "L"),
        ({**SIZES, "default": "x"}, None),
        ({"type": "string"}, None),
    ],
)
def test_a_default_counts_where_it_fits(schema: dict[str, Any], default: Any) -> None:
    assert field(**schema).default == default


def test_what_is_shown_is_bounded_and_escaped() -> None:
    takes = field(type="string", enum=[f"\x1b{number}" for number in range(30)]).takes
    assert takes.startswith("one of \\x1b0, \\x1b1, ") and takes.endswith("\\x1b19, …")
    assert field(type="string", format="\x1b").takes == "a text (\\x1b)"
    assert len(field(type="string", enum=["x" * 10_000]).takes) < 300


def test_no_more_fields_are_looked_at_than_can_be_asked() -> None:
    assert len(fields_of({"properties": {str(number): {} for number in range(10_000)}})) == MAX_FIELDS + 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORDS = ("type", "enum", "enumNames", "oneOf", "anyOf", "items", "default", "minimum", "maxLength", "title", "format")
SCHEMAS = st.dictionaries(st.sampled_from(WORDS), JSON | st.sampled_from(["string", "array", "integer", "boolean"]))


@given(
    st.dictionaries(st.sampled_from(["properties", "required"]), JSON | st.dictionaries(st.text(), SCHEMAS)), st.text()
)
def test_any_schema_gives_fields_that_can_be_asked(schema: dict[str, Any], text: str) -> None:
    for each in fields_of(schema):
        assert each.takes.isprintable()
        default = each.default
        assert default is None or each.check(default) == default
        with contextlib.suppress(Unfit):
            value = each.read(text)
            assert each.check(value) == value
