"""Legacy messages: `_meta` optional, `params` where it may be absent, and the type tells the era."""

import json
from typing import Any

import msgspec
import pytest

from tybalt.types import completion, elicitation, legacy, prompts, resources, roots, sampling, server_requests, tools
from tybalt.types.initialize import InitializeRequest, PingRequest
from tybalt.types.logging import SetLevelRequest
from tybalt.types.resources import SubscribeRequest, UnsubscribeRequest

UNION = (
    legacy.ListToolsRequest
    | legacy.CallToolRequest
    | legacy.ListResourcesRequest
    | legacy.ListResourceTemplatesRequest
    | legacy.ReadResourceRequest
    | legacy.ListPromptsRequest
    | legacy.GetPromptRequest
    | legacy.CompleteRequest
    | InitializeRequest
    | PingRequest
    | SetLevelRequest
    | SubscribeRequest
    | UnsubscribeRequest
)
decode = msgspec.json.Decoder(UNION).decode
IMPLEMENTATION = {"name": "c", "version": "1"}
MESSAGES: list[tuple[str, Any, type, type]] = [
    ("tools/list", None, legacy.ListToolsRequest, tools.ListToolsRequest),
    ("tools/call", {"name": "t"}, legacy.CallToolRequest, tools.CallToolRequest),
    ("resources/list", None, legacy.ListResourcesRequest, resources.ListResourcesRequest),
    ("resources/templates/list", {}, legacy.ListResourceTemplatesRequest, resources.ListResourceTemplatesRequest),
    ("resources/read", {"uri": "a:b"}, legacy.ReadResourceRequest, resources.ReadResourceRequest),
    ("prompts/list", {"cursor": "x"}, legacy.ListPromptsRequest, prompts.ListPromptsRequest),
    ("prompts/get", {"name": "p"}, legacy.GetPromptRequest, prompts.GetPromptRequest),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}},
        legacy.CompleteRequest,
        completion.CompleteRequest,
    ),
    (
        "initialize",
        {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": IMPLEMENTATION},
        InitializeRequest,
        InitializeRequest,
    ),
    ("ping", None, PingRequest, PingRequest),
    ("logging/setLevel", {"level": "debug"}, SetLevelRequest, SetLevelRequest),
    ("resources/subscribe", {"uri": "a:b"}, SubscribeRequest, SubscribeRequest),
    ("resources/unsubscribe", {"uri": "a:b"}, UnsubscribeRequest, UnsubscribeRequest),
]


def encoded(method: str, params: Any, **more: Any) -> bytes:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, **more}
    return json.dumps(message if params is None else message | {"params": params}).encode()


@pytest.mark.parametrize(("method", "params", "kind", "modern"), MESSAGES, ids=lambda value: str(value)[:30])
def test_reads_without_meta(method: str, params: Any, kind: type, modern: type):
    request = decode(encoded(method, params))
    assert type(request) is kind
    assert isinstance(request, modern)
    assert request.method == method
    assert request.params is None or request.params.meta is None


@pytest.mark.parametrize(("method", "params", "kind", "modern"), MESSAGES, ids=lambda value: str(value)[:30])
def test_reads_a_progress_token(method: str, params: Any, kind: type, modern: type):
    meta = {"progressToken": "t", "io.modelcontextprotocol/related-task": {"taskId": "1"}, "dev.example/key": 1}
    request = decode(encoded(method, {**(params or {}), "_meta": meta}))
    assert type(request) is kind
    assert request.params is not None
    assert request.params.meta.progress_token == "t"


@pytest.mark.parametrize(("method", "params", "kind", "modern"), MESSAGES, ids=lambda value: str(value)[:30])
def test_a_request_that_names_its_revision_is_not_legacy(method: str, params: Any, kind: type, modern: type):
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
    with pytest.raises(
        msgspec.ValidationError, match=r"at `\$\.params\._meta\.io\.modelcontextprotocol/protocolVersion`"
    ):
        decode(encoded(method, {**(params or {}), "_meta": meta}))


@pytest.mark.parametrize(("method", "params", "kind", "modern"), MESSAGES, ids=lambda value: str(value)[:30])
def test_modern_types_refuse_a_message_without_meta(method: str, params: Any, kind: type, modern: type):
    if modern is kind:
        assert decode(encoded(method, params)) == msgspec.json.decode(encoded(method, params), type=modern)
    else:
        with pytest.raises(msgspec.ValidationError, match=r"missing required field `(params|_meta)`"):
            msgspec.json.decode(encoded(method, params), type=modern)


@pytest.mark.parametrize("id_", [1, "a", 0, -1, 2**70, ""])
def test_ids_are_integers_and_strings(id_: Any):
    assert decode(encoded("ping", None, id=id_)).id == id_


@pytest.mark.parametrize("id_", [None, 1.5, True, [], {}])
def test_other_ids_are_refused(id_: Any):
    with pytest.raises(msgspec.ValidationError, match=r"at `\$\.id`"):
        decode(encoded("ping", None, id=id_))


def test_a_call_may_be_a_task():
    request = decode(encoded("tools/call", {"name": "t", "task": {"ttl": 5}}))
    assert isinstance(request, legacy.CallToolRequest)
    assert request.params.task == {"ttl": 5}
    assert bytes(request.params.arguments) == b"{}"


def test_questions_of_a_legacy_server_have_an_id():
    union = server_requests.CreateMessageRequest | server_requests.ElicitRequest | server_requests.ListRootsRequest
    form = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
    elicit = msgspec.json.decode(encoded("elicitation/create", form), type=union)
    assert type(elicit) is server_requests.ElicitRequest
    assert isinstance(elicit, elicitation.ElicitRequest)
    assert elicit.id == 1
    sample = msgspec.json.decode(encoded("sampling/createMessage", {"messages": [], "maxTokens": 1}), type=union)
    assert isinstance(sample, sampling.CreateMessageRequest)
    assert isinstance(msgspec.json.decode(encoded("roots/list", None), type=union), roots.ListRootsRequest)
    with pytest.raises(msgspec.ValidationError, match="missing required field `id`"):
        msgspec.json.decode(b'{"jsonrpc":"2.0","method":"roots/list"}', type=union)
