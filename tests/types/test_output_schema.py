"""Wrapping: a value is valid under its schema exactly when the wrapped value is under the wrapped schema."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.types.published import refuse
from tybalt.types.output_schema import is_wrapped, object_schema, plain_properties

TREE = {"type": "array", "items": {"$ref": "#"}}
POINTING = {
    "anyOf": [
        {"type": "null"},
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"$ref": "#/anyOf/1"}}},
    ]
}
DEFINED = {"$ref": "#/$defs/Number", "$defs": {"Number": {"type": ["number", "null"]}}}
DEFINED_OBJECT = {"$ref": "#/$defs/Hop", "$defs": {"Hop": {"$ref": "#/$defs/O~1"}, "O/": {"type": "object"}}}
NAMED = {"$id": "https://example.com/s", "$ref": "#/$defs/N", "$defs": {"N": {"type": "integer"}}}
DATA = {"enum": [{"$ref": "#"}, 1], "default": {"$ref": "#"}}
HOSTILE_NAMES = {
    "type": ["object", "null"],
    "properties": {"$ref": {"type": "string"}, "const": {"$ref": "#/properties/$ref"}},
}
WRAPPED = [{"type": "integer"}, {}, TREE, POINTING, DEFINED, NAMED, DATA, HOSTILE_NAMES, {"type": ["object", "null"]}]
OBJECTS = [{"type": "object", "properties": {"a": {"type": "string"}}}, DEFINED_OBJECT]
SPECIMENS: list[Any] = [[], [[], [[]]], [[1]], {"a": 1}, {"a": "x"}, {"a": 1, "b": {"a": 2}}, {"a": 1, "b": {"a": "x"}}]
SPECIMENS += [{"$ref": "#"}, {"const": "x"}, {"const": 1}, {"$ref": 1}, {"result": 1}, 7, None]
CANDIDATES = st.sampled_from(SPECIMENS) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "$ref"]), inner, max_size=3),
    max_leaves=5,
)


def accepts(schema: dict[str, Any], value: Any) -> bool:
    return jsonschema_rs.Draft202012Validator(schema, retriever=refuse).is_valid(value)


@pytest.mark.parametrize("schema", WRAPPED)
def test_what_is_no_object_is_wrapped(schema: dict[str, Any]):
    assert is_wrapped(schema)
    assert object_schema(schema)["type"] == "object"
    assert object_schema(schema)["required"] == ["result"]


@pytest.mark.parametrize("schema", OBJECTS)
def test_an_object_stays_itself(schema: dict[str, Any]):
    assert not is_wrapped(schema)
    assert object_schema(schema) == {"type": "object", **schema}


@pytest.mark.parametrize("schema", WRAPPED)
@given(value=CANDIDATES)
def test_wrapping_keeps_the_meaning(schema: dict[str, Any], value: Any):
    wrapped = object_schema(schema)
    assert accepts(schema, value) == accepts(wrapped, {"result": value})
    assert not accepts(wrapped, value) or (isinstance(value, dict) and "result" in value)


@pytest.mark.parametrize("schema", OBJECTS)
@given(value=CANDIDATES)
def test_an_object_keeps_its_meaning(schema: dict[str, Any], value: Any):
    assert accepts(schema, value) == accepts(object_schema(schema), value)


def test_definitions_move_to_the_root():
    assert object_schema({"$schema": "https://json-schema.org/draft/2020-12/schema", **DEFINED}) == {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"Number": {"type": ["number", "null"]}},
        "properties": {"result": {"$ref": "#/$defs/Number"}},
        "required": ["result"],
    }


def test_pointers_follow_and_data_does_not():
    assert object_schema(TREE)["properties"]["result"] == {"type": "array", "items": {"$ref": "#/properties/result"}}
    assert object_schema(DATA)["properties"]["result"] == DATA
    assert object_schema(HOSTILE_NAMES)["properties"]["result"]["properties"] == {
        "$ref": {"type": "string"},
        "const": {"$ref": "#/properties/result/properties/$ref"},
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/Loop", "$defs": {"Loop": {"$ref": "#/$defs/Loop"}}},
        {"$ref": "#/$defs/Missing"},
        {"$ref": "#/type/deeper", "$defs": {}},
        {"$ref": "https://example.com/schema"},
        {"$ref": 5},
    ],
)
def test_a_root_that_leads_nowhere_is_wrapped(schema: dict[str, Any]):
    assert is_wrapped(schema)


def test_schemas_are_not_changed_in_place():
    before = {"type": "array", "items": {"$ref": "#"}, "$defs": {"a": {}}}
    object_schema(before)
    assert before == {"type": "array", "items": {"$ref": "#"}, "$defs": {"a": {}}}


def test_boolean_properties_are_written_as_objects():
    assert plain_properties({"properties": {"a": True, "b": False, "c": {"type": "string"}}}) == {
        "properties": {"a": {}, "b": {"not": {}}, "c": {"type": "string"}}
    }
    assert plain_properties({"type": "object"}) == {"type": "object"}
