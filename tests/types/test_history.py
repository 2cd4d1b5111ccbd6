"""The tables of `history.py` against the published schema of every revision, in both directions."""

from typing import Any, get_args

import msgspec
import pytest

import tybalt.types
from tests.types.inventory import structs
from tests.types.published import definitions, document, members_of
from tybalt.types import legacy
from tybalt.types.history import ALWAYS, BLOCKS, FIELDS, METHODS, MODERN_DEFAULTS, TYPES, Kind, within
from tybalt.types.revisions import (
    LEGACY,
    MODERN,
    REVISIONS,
    allows_batches,
    era_of,
    exists,
    methods_of,
    span_of_block,
    span_of_field,
    span_of_method,
)

UNIONS: dict[Kind, str] = {
    "client_request": "ClientRequest",
    "client_notification": "ClientNotification",
    "server_request": "ServerRequest",
    "server_notification": "ServerNotification",
    "input_request": "InputRequest",
}

# Definitions that are no Struct: JSON itself, JSON-RPC's unions, errors with a fixed code, and mere unions.
NOT_STRUCTS = {
    *("JSONValue", "JSONObject", "JSONArray", "MetaObject", "RequestMetaObject", "ResultMetaObject"),
    *("NotificationMetaObject", "SubscriptionsListenResultMetaObject", "ResultType", "Annotated"),
    *("JSONRPCMessage", "JSONRPCRequest", "JSONRPCNotification", "JSONRPCResponse", "JSONRPCError"),
    *("JSONRPCBatchRequest", "JSONRPCBatchResponse", "PaginatedRequest", "BaseMetadata", "Icons"),
    *("ClientRequest", "ClientNotification", "ClientResult", "ServerRequest", "ServerNotification", "ServerResult"),
    *("SingleSelectEnumSchema", "MultiSelectEnumSchema", "ResourceRequestParams", "TaskAugmentedRequestParams"),
    *("GetTaskPayloadResult", "ResourceReference"),
}


def test_a_revision_belongs_to_one_era():
    assert [era_of(revision) for revision in REVISIONS] == ["legacy"] * 4 + ["modern"]
    assert LEGACY + MODERN == REVISIONS
    with pytest.raises(ValueError, match=r"'2027-01-01' is no revision .* 2024-11-05, .*, 2026-07-28"):
        era_of("2027-01-01")


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("kind", METHODS)
def test_methods_are_those_of_the_schema(kind: Kind, revision: str):
    assert methods_of(revision, kind) == published_methods(revision, UNIONS[kind])


def published_methods(revision: str, union: str) -> set[str]:
    known = definitions(revision)
    if union not in known:
        return set()
    options = known[union].get("anyOf", [known[union]])
    bodies = [known[option["$ref"].rsplit("/", 1)[1]] if "$ref" in option else option for option in options]
    return {body["properties"]["method"]["const"] for body in bodies}


def test_questions_about_methods():
    assert exists("initialize", "2025-11-25")
    assert not exists("initialize", "2026-07-28")
    assert not exists("initialize", "2023-01-01")
    assert not exists("nonsense", "2025-11-25")
    assert exists("elicitation/create", "2025-06-18", "server_request")
    assert span_of_method("tasks/get") == ("2025-11-25", "2025-11-25")
    assert span_of_method("nonsense") is None
    with pytest.raises(ValueError, match="is no revision"):
        methods_of("1900-01-01")


def test_every_method_has_its_struct():
    tags = {(struct.__struct_config__.tag_field, struct.__struct_config__.tag) for struct in structs().values()}
    methods = {method for table in METHODS.values() for method in table}
    assert {tag for field, tag in tags if field == "method"} == methods


@pytest.mark.parametrize("revision", REVISIONS)
def test_blocks_are_those_of_the_schema(revision: str):
    known = definitions(revision)
    blocks: set[str] = set()
    collect_types(known["CallToolResult"]["properties"]["content"], known, blocks)
    collect_types(known["SamplingMessage"]["properties"]["content"], known, blocks)
    ever = {"text", "image", "resource", *BLOCKS}
    assert {block for block in ever if within(span_of_block(block), revision)} == blocks


def collect_types(schema: Any, known: dict[str, Any], found: set[str]) -> None:
    if isinstance(schema, list):
        for item in schema:
            collect_types(item, known, found)
    elif "$ref" in schema:
        collect_types(known[schema["$ref"].rsplit("/", 1)[1]], known, found)
    elif "type" in schema.get("properties", {}):
        found.add(schema["properties"]["type"]["const"])
    else:
        for key in ("items", "anyOf"):
            collect_types(schema.get(key, []), known, found)


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_definition_has_a_struct(revision: str):
    def is_known(name: str) -> bool:
        plain = name.endswith(("Error", "ResultResponse")) and name != "Error"
        return plain or name in NOT_STRUCTS or hasattr(tybalt.types, name)

    assert [name for name in definitions(revision) if not is_known(name)] == []


# Structs that stand for two shapes: in each of them the members of the other are never there.
OTHER_FORM = {
    "ElicitRequestFormParams": {"url", "elicitationId"},
    "ElicitRequestURLParams": {"requestedSchema"},
    "ResourceContents": {"text", "blob"},
    "TextResourceContents": {"blob"},
    "BlobResourceContents": {"text"},
}
FRAMES = {"Request", "Notification"}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("name", sorted(structs().keys() - FRAMES))
def test_members_are_those_of_the_schema(name: str, revision: str):
    published = members_of(revision, name)
    if published is None:
        return
    struct = structs()[name] if revision in MODERN else getattr(legacy, name, structs()[name])
    ours = {field.encode_name for field in msgspec.structs.fields(struct)} - OTHER_FORM.get(name, set())
    now = {member for member in ours if within(span_of_struct_field(struct, member), revision)}
    config = struct.__struct_config__
    if config.tag_field is not None:
        now.add(config.tag_field)
    envelope = {"jsonrpc", "id"} if "method" in published else set()
    assert now - envelope == published - envelope


def span_of_struct_field(struct: type, member: str) -> tuple[str, str]:
    rows = (FIELDS.get(kind.__name__, {}).get(member) for kind in struct.__mro__)
    return next((span for span in rows if span is not None), ALWAYS)


def test_no_row_is_about_nothing():
    known = structs()
    for name, rows in FIELDS.items():
        assert set(rows) <= {field.encode_name for field in msgspec.structs.fields(known[name])} | {"task"}, name
    for name in TYPES:
        assert issubclass(known[name], msgspec.Struct)
    for name, rows in MODERN_DEFAULTS.items():
        assert set(rows) <= {field.encode_name for field in msgspec.structs.fields(known[name])}


BASES = {"InputRequest", "Request", "Notification", "Result", "EmptyResult", "PaginatedResult", "CacheableResult"}


@pytest.mark.parametrize("revision", REVISIONS)
def test_messages_exist_where_the_schema_has_them(revision: str):
    ever = {
        name for each in REVISIONS for name in definitions(each) if name.endswith(("Request", "Notification", "Result"))
    }
    for name in ever - NOT_STRUCTS - BASES:
        assert within(TYPES.get(name, ALWAYS), revision) == (name in definitions(revision)), name
    for name in TYPES.keys() - {"LegacyTitledEnumSchema"}:
        assert within(TYPES[name], revision) == (name in definitions(revision)), name


def test_questions_about_members_and_blocks():
    assert span_of_field("Tool", "outputSchema") == ("2025-06-18", "2026-07-28")
    assert span_of_field("ServerCapabilities", "completions") == ("2025-03-26", "2026-07-28")
    assert span_of_field("Tool", "name") == ALWAYS
    assert span_of_block("audio") == ("2025-03-26", "2026-07-28")
    assert span_of_block("text") == ALWAYS


@pytest.mark.parametrize("revision", REVISIONS)
def test_batches_exist_where_the_schema_has_them(revision: str):
    assert allows_batches(revision) == ("JSONRPCBatchRequest" in definitions(revision))


def test_documents_name_their_dialect():
    assert all("$schema" in document(revision) for revision in REVISIONS)
    assert set(get_args(Kind)) == set(UNIONS) == set(METHODS)
