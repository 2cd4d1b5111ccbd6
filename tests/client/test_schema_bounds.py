"""`cost_of`: what people write passes, and what is made to cost is refused before it is compiled."""

from typing import Any

import pytest

from tybalt.client import schema_bounds
from tybalt.client.schema_bounds import Cost, cost_of

SELF = {"$ref": "#"}


def chain(length: int) -> dict[str, Any]:
    """Each link twice the one before: a few hundred bytes, and 2 to the power of its length evaluations."""
    links = {f"t{i}": {"anyOf": [{"$ref": f"#/$defs/t{i + 1}"}] * 2} for i in range(length)}
    return {"$ref": "#/$defs/t0", "$defs": {**links, f"t{length}": {"type": "integer"}}}


def unevaluated(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"properties": {"a": {"type": "integer"}}}
    for _ in range(depth):
        schema = {"allOf": [schema], "unevaluatedProperties": False}
    return schema


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


USUAL: dict[str, tuple[dict[str, Any], Cost]] = {
    "empty": ({}, Cost(1, 0)),
    "object": ({"type": "object", "properties": {"a": {"type": "integer"}, "b": True}}, Cost(1, 0)),
    "list": ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, Cost(3, 0)),
    "tuple": ({"prefixItems": [{}, {"not": {}}], "items": {}}, Cost(3, 0)),
    "tuple of draft 7": (
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{}, {"not": {}}]},
        Cost(2, 0),
    ),
    "tree": ({"type": "object", "properties": {"nodes": {"type": "array", "items": SELF}}}, Cost(2, 0)),
    "any JSON": ({"anyOf": [{"type": "string"}, {"items": SELF}, {"additionalProperties": SELF}]}, Cost(5, 0)),
    "anchors": ({"$dynamicAnchor": "n", "properties": {"a": {"$dynamicRef": "#n"}}}, Cost(2, 0)),
    "escaped": ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {}}}, Cost(2, 0)),
    "into a list": ({"$ref": "#/allOf/0", "allOf": [{}]}, Cost(3, 0)),
    "patterns": ({"properties": {"a": {"pattern": "x"}}, "patternProperties": {"^a": {"pattern": "y"}}}, Cost(2, 2)),
    "conditions": ({"if": {}, "then": {}, "else": {}, "not": {}, "dependentSchemas": {"a": {}}}, Cost(6, 0)),
    "once more": (unevaluated(2), Cost(21, 0)),
    "a short chain": (chain(3), Cost(30, 0)),
    "data that looks like a schema": ({"enum": [{"anyOf": 5}, {"properties": []}]}, Cost(3, 0)),
    "choices": ({"enum": ["a"] * 5_000}, Cost(1, 0)),
    "a property named $ref": ({"properties": {"$ref": {"type": "string"}, "$id": {}}}, Cost(1, 0)),
}

HOSTILE: dict[str, tuple[Any, str]] = {
    "chain": (chain(30), "more than 2,000 of its parts"),
    "chain through members": (
        {
            "$ref": "#/$defs/t0",
            "$defs": {f"t{i}": {"items": {"allOf": [{"$ref": f"#/$defs/t{i + 1}"}] * 2}} for i in range(40)},
        },
        "more than 2,000 of its parts",
    ),
    "growing with the value": ({"anyOf": [{"properties": {"a": SELF}}, {"properties": {"a": SELF}}]}, "2,000 of its"),
    "growing slowly": (nested(5) | {"items": {"items": {"items": {"anyOf": [SELF, SELF]}}}}, "2,000 of its parts"),
    "itself": (SELF, "more than 2,000 of its parts"),
    "itself by and by": ({"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": SELF}}, "more than 2,000 of its parts"),
    "choices that are no texts": ({"enum": [{"a": i} for i in range(2_000)]}, "more than 2,000 of its parts"),
    "unevaluated": (unevaluated(15), "more than 2,000 of its parts"),
    "everything refers to everything": (
        {
            "$ref": "#/$defs/t0",
            "$defs": {
                f"t{i}": {"properties": {f"p{j}": {"$ref": f"#/$defs/t{j}"} for j in range(40)}} for i in range(40)
            },
        },
        "in too many ways",
    ),
    "large": ({"description": "x" * 200_000}, "200,018 bytes, more than the 131,072 allowed"),
    "deep": (nested(100), "nested"),
    "many": ({"enum": [[]] * 20_000}, "10,000"),
    "a long pattern": ({"pattern": "x" * 501}, "a pattern has 501 characters"),
    "of a dialect nobody knows": ({"$schema": "http://example.com/own"}, "its dialect is not known"),
    "of a dialect that is none": ({"$schema": 5}, "its dialect is not known: 5"),
    "an anchor twice": ({"$defs": {"a": {"$anchor": "n"}, "b": {"$anchor": "n"}}}, "the anchor 'n' twice"),
    "another schema inside": ({"$defs": {"a": {"$id": "http://example.com/a"}}}, "an address of its own"),
}

ADDRESSES = [
    "http://127.0.0.1:9/schema",
    "https://example.com/schema#/$defs/a",
    "file:///etc/passwd",
    "//example.com/schema",
    "other.json",
    "../other.json#a",
    "",
    "https://json-schema.org/draft/2020-12/schema",
]


@pytest.mark.parametrize(("schema", "cost"), USUAL.values(), ids=USUAL)
def test_what_people_write_passes(schema: dict[str, Any], cost: Cost) -> None:
    assert cost_of(schema) == cost


@pytest.mark.parametrize(("schema", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_what_costs_is_refused(schema: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        cost_of(schema)


@pytest.mark.parametrize("keyword", ["$ref", "$dynamicRef", "$recursiveRef"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_what_is_elsewhere_is_refused(keyword: str, address: str) -> None:
    with pytest.raises(ValueError, match="nothing is fetched"):
        cost_of({"properties": {"a": {"items": [{keyword: address}]}}})


def test_a_base_elsewhere_is_only_a_name() -> None:
    assert cost_of({"$id": "http://example.com/a", "properties": {"a": {"$ref": "#/$defs/b"}}, "$defs": {"b": {}}})


def test_counting_itself_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema_bounds, "MAX_STEPS", 50)
    assert cost_of({"properties": {"a": {}}})
    with pytest.raises(ValueError, match="in too many ways"):
        cost_of({"properties": {f"p{i}": {} for i in range(60)}})
