"""The published JSON Schemas of every revision, read from `tests/data/schema`, as validators of one definition each.

`validator(…, closed=True)` refuses members the revision does not list: the published schemas are open, so without that
a member of a later revision would go unseen. Places that hold the data of others stay open.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs

DATA = Path(__file__).parents[1] / "data" / "schema"
EXAMPLES = DATA / "2026-07-28" / "examples"
OPEN = {"_meta", "inputSchema", "outputSchema", "requestedSchema", "MetaObject", "RequestMetaObject"}
OPEN |= {"ResultMetaObject", "NotificationMetaObject", "SubscriptionsListenResultMetaObject"}


@cache
def document(revision: str) -> dict[str, Any]:
    return json.loads((DATA / revision / "schema.json").read_text())


@cache
def definitions(revision: str) -> dict[str, Any]:
    found = document(revision)
    known = found.get("$defs") or found["definitions"]
    # The generated schema lost null, floats and arrays that schema.ts has in JSONValue.
    return {**known, "JSONValue": {}} if "JSONValue" in known else known


def refuse(uri: str) -> Any:
    raise LookupError(f"a test may not fetch {uri}")


@cache
def validator(revision: str, name: str, *, closed: bool = True) -> Any:
    key = "$defs" if "$defs" in document(revision) else "definitions"
    known = definitions(revision)
    if closed:
        known = {each: known[each] if each in OPEN else close(merge(known[each], known)) for each in known}
    schema = {"$schema": document(revision)["$schema"], "$ref": f"#/{key}/{name}", key: known}
    return jsonschema_rs.validator_for(schema, retriever=refuse)


def merge(schema: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """One object instead of an `allOf` of several, which could not be closed one by one."""
    parts = [known[part["$ref"].rsplit("/", 1)[1]] for part in schema.get("allOf", [])]
    if not parts:
        return schema
    return {
        "type": "object",
        "properties": {name: value for part in parts for name, value in part["properties"].items()},
        "required": [name for part in parts for name in part.get("required", [])],
    }


def close(schema: Any, at: str = "") -> Any:
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict) or at in OPEN or "$ref" in schema:
        return schema
    inner = {key: close(value) for key, value in schema.items() if key != "properties"}
    properties = {key: close(value, key) for key, value in schema.get("properties", {}).items()}
    if at == "params":
        properties.setdefault("_meta", {"type": "object"})
    if "method" in properties:
        properties.setdefault("jsonrpc", {"const": "2.0"})
        properties.setdefault("id", {"type": ["string", "integer"]})
    if properties:
        inner["properties"] = properties
        inner.setdefault("additionalProperties", False)
    return inner


def members_of(revision: str, name: str) -> set[str] | None:
    """The members a definition lists, or None where the revision has no such definition (or an open one)."""
    known = definitions(revision)
    if name in known:
        properties = known[name].get("properties")
    else:
        properties = _inline(known, name)
    return None if properties is None else set(properties)


# Objects that (some revisions) describe inside another definition.
_INLINE = {
    "RootsCapability": ("ClientCapabilities", "roots"),
    "SamplingCapability": ("ClientCapabilities", "sampling"),
    "ElicitationCapability": ("ClientCapabilities", "elicitation"),
    "Completion": ("CompleteResult", "completion"),
    "CompletionArgument": ("CompleteRequestParams", "argument"),
    "CompletionContext": ("CompleteRequestParams", "context"),
    "Annotations": ("TextContent", "annotations"),
    "Error": ("JSONRPCError", "error"),
}


def _inline(known: dict[str, Any], name: str) -> dict[str, Any] | None:
    if name in _INLINE:
        owner, member = _INLINE[name]
        return known.get(owner, {}).get("properties", {}).get(member, {}).get("properties")
    if name.endswith("Params"):
        message = "GetTaskRequest" if name == "TaskRequestParams" else name.removesuffix("Params")
        params = known.get(message, {}).get("properties", {}).get("params", {})
        properties = params.get("properties")
        return None if properties is None else {"_meta": {}, **properties}
    return None
