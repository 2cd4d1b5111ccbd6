"""Output schemas for revisions in which structured content must be an object.

2026-07-28 lets a tool answer with any JSON value and describe it by any schema. 2025-06-18 and 2025-11-25 want an
object on both sides, so there a value that is none travels as `{"result": value}`, and its schema as that object's.
Whether a tool is wrapped is decided by its schema alone (`is_wrapped`), never by the value at hand: a tool that
answers now an object and now null is wrapped always.
"""

from collections.abc import Callable
from typing import Any, cast

Schema = dict[str, Any]

RESULT = "result"
"""The property that holds the value."""

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_DATA = ("const", "enum", "default", "examples")
_HOISTED = ("$defs", "definitions")
_MAX_HOPS = 16


def is_wrapped(schema: Schema) -> bool:
    """Whether values of this schema travel as `{"result": value}`: all whose root is not plainly an object.

    The root is an object when it says `"type": "object"`, or is a `$ref` within the schema to one that does.
    """
    return not _describes_object(schema, schema, _MAX_HOPS)


def object_schema(schema: Schema) -> Schema:
    """The schema as 2025-06-18 and 2025-11-25 can say it: its root an object, its value wrapped where it must be.

    Definitions move to the new root and pointers into the schema follow, so that every `$ref` means what it meant.
    """
    wrapped = _wrap(schema) if is_wrapped(schema) else {"type": "object", **schema}
    return plain_properties(wrapped)


def plain_properties(schema: Schema) -> Schema:
    """The schema with `true` and `false` among its root's properties written as `{}` and `{"not": {}}`.

    Legacy revisions type each property as an object.
    """
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return schema
    named = cast("dict[str, Any]", properties)
    return {**schema, "properties": {name: _object_form(value) for name, value in named.items()}}


def _object_form(schema: Any) -> Any:
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    return schema


def _describes_object(schema: Any, root: Schema, hops: int) -> bool:
    if not isinstance(schema, dict) or hops == 0:
        return False
    members = cast("Schema", schema)
    if "type" in members:
        return members["type"] == "object"
    reference = members.get("$ref")
    return isinstance(reference, str) and _describes_object(_find(reference, root), root, hops - 1)


def _find(reference: str, root: Schema) -> Any:
    if not reference.startswith("#/"):
        return None
    found: Any = root
    for token in reference[2:].split("/"):
        key = token.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict):
            return None
        found = cast("Schema", found).get(key)
    return found


def _wrap(schema: Schema) -> Schema:
    outer: Schema = {"type": "object"}
    inner = dict(schema)
    if "$schema" in inner:
        outer["$schema"] = inner.pop("$schema")
    if "$id" not in inner:
        inner = _redirected(inner, _moved)
        for key in _HOISTED:
            if key in inner:
                outer[key] = inner.pop(key)
    return outer | {"properties": {RESULT: inner}, "required": [RESULT]}


def _moved(reference: str) -> str:
    if reference == "#":
        return f"#/properties/{RESULT}"
    if not reference.startswith("#/") or reference[2:].split("/", 1)[0] in _HOISTED:
        return reference
    return f"#/properties/{RESULT}{reference[1:]}"


def _redirected(schema: Any, move: Callable[[str], str]) -> Any:
    if isinstance(schema, list):
        return [_redirected(item, move) for item in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    return {key: _redirected_member(key, value, move) for key, value in cast("Schema", schema).items()}


def _redirected_member(key: str, value: Any, move: Callable[[str], str]) -> Any:
    if key == "$ref" and isinstance(value, str):
        return move(value)
    if key in _DATA:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: _redirected(item, move) for name, item in cast("Schema", value).items()}
    return _redirected(value, move)
