"""Whether results are what their schema promises: what is asked of the JSON form, and what is not."""

from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.server.conformity import conformity
from tybalt.server.json_values import Schema

BOOK: Schema = {
    "type": "object",
    "properties": {"isbn": {"type": "string"}, "pages": {"type": "integer", "minimum": 1}},
    "required": ["isbn"],
}
NODE: Schema = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["value"],
        }
    },
}
EITHER: Schema = {"anyOf": [BOOK, {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}]}
PAIR: Schema = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 1, "maxItems": 2}


def check(schema: Schema, value: Any) -> None:
    compiled = conformity(schema)
    assert compiled is not None
    compiled(value)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (BOOK, {"isbn": "1"}),
        (BOOK, {"isbn": "1", "pages": 3, "more": object()}),
        (NODE, {"value": 1, "children": [{"value": 2}], "next": {"value": 3, "next": None}}),
        (EITHER, {"isbn": "1"}),
        (EITHER, {"id": 1}),
        (PAIR, (1,)),
        (PAIR, [1, "a"]),
        ({"type": "array", "prefixItems": [{"type": "integer"}]}, [1, 2]),
        ({"type": "array", "minItems": 0, "maxItems": 0}, ()),
        ({"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 1}, {"a": 1}),
        ({"type": "object", "propertyNames": {"enum": ["a"]}}, {"a": 1}),
        ({"type": "object", "properties": {'a"b': {"type": "integer"}}}, {'a"b': "unchecked"}),
        ({"type": "object", "required": ["a"]}, {"a": None}),
        ({"type": "number"}, 5),
        ({"type": "integer"}, 10**30),
        ({"type": "integer", "minimum": 1, "exclusiveMinimum": 1}, 1),
        ({"type": "integer", "minimum": "one"}, 0),
        ({"type": "string", "pattern": "("}, "a"),
        ({"type": "string", "format": "date-time", "tz": False}, "2026-01-01T00:00:00"),
        ({"type": "string", "format": "email"}, "anything"),
        ({"type": "string", "contentEncoding": "base64"}, "YWI="),
        ({"enum": [1.5, True]}, True),
        ({"enum": [2**70]}, 2**70),
        ({"const": "a"}, "a"),
        ({"type": "null"}, None),
        ({"type": "boolean"}, False),
    ],
)
def test_what_a_schema_allows(schema: Schema, value: Any) -> None:
    check(schema, value)


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        (BOOK, {"pages": 3}, r"^Object missing required field `isbn`$"),
        (BOOK, {"isbn": 1}, r"^Expected `str`, got `int` - at `\$\.isbn`$"),
        (BOOK, {"isbn": "1", "pages": 0}, r"^Expected `int` >= 1 - at `\$\.pages`$"),
        (BOOK | {"additionalProperties": False}, {"isbn": "1", "more": 1}, "unknown field `more`"),
        ({"type": "object", "properties": {}, "additionalProperties": False}, {"a": 1}, "unknown field `a`"),
        ({"type": "object", "required": ["a"]}, {}, "missing required field `a`"),
        (
            NODE,
            {"value": 1, "children": [{"value": "x"}]},
            r"^Expected `int`, got `str` - at `\$\.children\[0\]\.value`$",
        ),
        (NODE, {"value": 1, "next": {"value": 1, "next": {"value": "x"}}}, r"got `str` - at `\$\.next\.next\.value`$"),
        (
            EITHER,
            {"isbn": 1},
            r"^none of the alternatives: Expected `str`, got `int` at `\$\.isbn`; Object missing .* `id`$",
        ),
        (EITHER, [], "none of the alternatives: Expected `object`, got `array`"),
        (PAIR, (), "at least length 1"),
        (PAIR, (1, "a", 2), "at most length 2"),
        (PAIR, ("a",), r"Expected `int`, got `str` - at `\$\[0\]`"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": "b"}, "Expected `int`, got `str`"),
        ({"type": "object", "propertyNames": {"enum": ["a"]}}, {"b": 1}, "Invalid enum value 'b'"),
        ({"type": "array", "items": {"type": "integer"}}, [True], "got `bool`"),
        ({"type": "array", "minItems": 2}, [1], "length >= 2"),
        ({"type": "integer"}, True, "got `bool`"),
        ({"type": "number", "multipleOf": 0.5}, 0.3, "multiple of"),
        ({"type": "string", "maxLength": 1}, "ab", "length <= 1"),
        ({"type": "string", "pattern": "^a$"}, "b", "matching regex"),
        ({"type": "string", "format": "date-time"}, "soon", "Invalid RFC3339"),
        ({"type": "string", "format": "date-time", "tz": True}, "2026-01-01T00:00:00", "with a timezone"),
        ({"type": "string", "format": "uuid"}, "x", "Invalid UUID"),
        ({"type": "string", "contentEncoding": "base64"}, "!", "base64"),
        ({"enum": [1.5, True]}, 1, r"^not one of \[1\.5, True\]$"),
        ({"enum": []}, 1, "not one of"),
        ({"enum": ["a", None]}, "b", "Invalid enum value"),
    ],
)
def test_what_a_schema_does_not_allow(schema: Schema, value: Any, words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        check(schema, value)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"description": "anything"},
        {"$ref": "#/$defs/Nowhere"},
        {"$ref": "https://example.org/schema"},
        {"anyOf": [{"type": "integer"}, {}]},
        {"anyOf": [{"type": "integer"}, True]},
        {"type": "teapot"},
        {"type": ["string", "null"]},
        {"type": "object", "properties": 5},
        {"type": "object", "required": 5},
    ],
)
def test_what_cannot_be_told_is_not_tried(schema: Schema) -> None:
    assert conformity(schema) is None


def test_what_is_nested_too_deeply_is_trusted() -> None:
    value: dict[str, Any] = {"value": "wrong"}
    for _ in range(5000):
        value = {"value": 1, "next": value}
    check(NODE, value)


NAMES = st.sampled_from(["isbn", "pages", "id", "value", "children", "next"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.parametrize("schema", [BOOK, NODE, EITHER, PAIR | {"items": False}])
@given(value=VALUES)
def test_a_check_agrees_with_a_validator(schema: Schema, value: Any) -> None:
    try:
        check(schema, value)
    except msgspec.ValidationError:
        assert not jsonschema_rs.is_valid(schema, value)
    else:
        assert jsonschema_rs.is_valid(schema, value)
