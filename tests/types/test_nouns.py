"""What single nouns promise beyond their annotations: nulls, `_meta`, two shapes in one Struct, capabilities."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.types.inventory import structs
from tybalt import types
from tybalt.types.meta import decode_meta

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


def call(meta: Any = META, **params: Any) -> bytes:
    body = {"name": "t", "_meta": meta} | params
    return msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": body})


def read(message: bytes) -> types.CallToolRequest:
    return msgspec.json.decode(message, type=types.CallToolRequest)


def test_a_call():
    request = read(call(arguments={"a": 1}))
    assert bytes(request.params.arguments) == b'{"a":1}'
    assert bytes(read(call()).params.arguments) == b"{}"
    assert request.params.meta.protocol_version == "2026-07-28"
    assert request.params.meta.client_info is None
    assert request.method == "tools/call"


def test_null_means_absent():
    meta = {**META, "progressToken": None, "io.modelcontextprotocol/clientInfo": None}
    request = read(call(meta, requestState=None))
    assert request.params.request_state is None
    assert b"null" not in msgspec.json.encode(request)


def test_null_is_a_value_where_the_protocol_says_so():
    decoded = msgspec.json.decode(b'{"content":[],"structuredContent":null}', type=types.CallToolResult)
    assert decoded.structured_content is None
    assert msgspec.json.encode(decoded) == b'{"content":[],"structuredContent":null}'
    absent = msgspec.json.decode(b'{"content":[]}', type=types.CallToolResult)
    assert absent.structured_content is msgspec.UNSET
    assert msgspec.json.encode(absent) == b'{"content":[]}'
    assert msgspec.json.encode(types.Error(code=1, message="m", data=None)) == b'{"code":1,"message":"m","data":null}'


def test_answers_of_a_retry_stay_raw():
    request = read(call(inputResponses={"k": {"action": "accept", "content": {"a": 1}}}, requestState="s"))
    answers = msgspec.json.decode(request.params.input_responses, type=types.InputResponses)
    answer = msgspec.json.decode(answers["k"], type=types.ElicitResult)
    assert answer == types.ElicitResult(action="accept", content={"a": 1})
    assert read(call()).params.input_responses is msgspec.UNSET


@pytest.mark.parametrize(
    ("meta", "where"),
    [
        ({}, r"missing required field `io.modelcontextprotocol/protocolVersion` - at `\$.params._meta`"),
        ({**META, "io.modelcontextprotocol/protocolVersion": "2025-11-25"}, "Invalid enum value '2025-11-25'"),
        ({**META, "io.modelcontextprotocol/clientCapabilities": []}, "Expected `object`, got `array`"),
        ({**META, "io.modelcontextprotocol/clientCapabilities": {"sampling": 5}}, r"Expected `object.*`, got `int`"),
        ({**META, "io.modelcontextprotocol/logLevel": "loud"}, "Invalid enum value 'loud'"),
        ({**META, "progressToken": 1.5}, "progressToken"),
        ({"io.modelcontextprotocol/protocolVersion": "2026-07-28"}, "clientCapabilities"),
        (None, r"\$.params._meta"),
    ],
)
def test_a_modern_envelope_is_checked(meta: Any, where: str):
    with pytest.raises(msgspec.ValidationError, match=where):
        read(call(meta))


def test_foreign_meta_of_a_request_is_found_by_a_second_decode():
    meta = {**META, "traceparent": "00-abc", "dev.example/deep": {"a": [1, None]}}
    message = call(meta)
    assert decode_meta(message) == meta
    assert "traceparent" not in msgspec.to_builtins(read(message).params.meta)


@pytest.mark.parametrize(
    "message", [b"{}", b'{"params":null}', b'{"params":{}}', b'{"params":{"_meta":null}}', b'{"params":{"_meta":{}}}']
)
def test_no_meta_is_an_empty_one(message: bytes):
    assert decode_meta(message) == {}


@pytest.mark.parametrize("message", [b'{"params":{"_meta":5}}', b'{"params":[]}', b"[]", b"{"])
def test_bad_meta_raises(message: bytes):
    with pytest.raises(msgspec.DecodeError):
        decode_meta(message)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (
            types.CallToolResult,
            {"content": [{"type": "text", "text": "x", "_meta": {"k": 1}}], "_meta": {"a.b/c": [1]}},
        ),
        (types.Tool, {"name": "t", "inputSchema": {"type": "object", "x-own": True}, "_meta": {"k": {"l": None}}}),
        (types.ProgressNotificationParams, {"_meta": {"k": 1}, "progressToken": "t", "progress": 1}),
    ],
)
def test_meta_elsewhere_survives(kind: Any, value: Any):
    assert msgspec.json.decode(msgspec.json.encode(msgspec.json.decode(msgspec.json.encode(value), type=kind))) == value


INBOUND = {
    "notifications/cancelled": (types.CancelledNotification, {"requestId": 1}),
    "notifications/progress": (types.ProgressNotification, {"progressToken": 1, "progress": 1}),
    "notifications/initialized": (types.InitializedNotification, {}),
    "notifications/roots/list_changed": (types.RootsListChangedNotification, {}),
}


@pytest.mark.parametrize("method", INBOUND)
def test_a_notification_with_an_id_is_refused(method: str):
    kind, params = INBOUND[method]
    message = {"jsonrpc": "2.0", "method": method, "params": params | {"dev.example/unknown": 1}, "x-trace": "a"}
    assert msgspec.json.decode(msgspec.json.encode(message), type=kind).method == method
    for id_ in (1, "a", None):
        with pytest.raises(msgspec.ValidationError, match=r"at `\$\.id`"):
            msgspec.json.decode(msgspec.json.encode({**message, "id": id_}), type=kind)


def test_numbers_keep_their_kind():
    params = types.ProgressNotificationParams(progress_token=1, progress=2**60, total=0.5)
    assert msgspec.json.encode(params) == b'{"progressToken":1,"progress":1152921504606846976,"total":0.5}'


def test_resource_contents_are_text_or_blob():
    decoded = msgspec.json.decode(
        b'[{"uri":"a:b","text":""},{"uri":"a:b","blob":""}]', type=list[types.ResourceContents]
    )
    assert [(contents.text, contents.blob) for contents in decoded] == [("", None), (None, "")]
    assert types.TextResourceContents(uri="a:b", text="x") != types.BlobResourceContents(uri="a:b", blob="x")
    with pytest.raises(msgspec.ValidationError, match=r"need `text` or `blob`, neither is there - at `\$.resource`"):
        msgspec.json.decode(b'{"type":"resource","resource":{"uri":"a:b"}}', type=types.EmbeddedResource)


def test_elicitations_are_forms_or_urls():
    form = (
        b'{"method":"elicitation/create","params":{"message":"?","requestedSchema":{"type":"object","properties":{}}}}'
    )
    assert msgspec.json.decode(form, type=types.ElicitRequest).params.mode is None
    url = b'{"method":"elicitation/create","params":{"mode":"url","message":"?","url":"https://example.com"}}'
    assert msgspec.json.decode(url, type=types.ElicitRequest).params.url == "https://example.com"
    with pytest.raises(msgspec.ValidationError, match=r"form mode needs `requestedSchema` - at `\$.params`"):
        msgspec.json.decode(b'{"method":"elicitation/create","params":{"message":"?"}}', type=types.ElicitRequest)
    with pytest.raises(msgspec.ValidationError, match=r"URL mode needs `url` - at `\$.params`"):
        msgspec.json.decode(url.replace(b'"url":"https', b'"uri":"https'), type=types.ElicitRequest)


def test_input_required_asks_for_something():
    assert msgspec.json.encode(types.InputRequiredResult(request_state="s")) == (
        b'{"resultType":"input_required","requestState":"s"}'
    )
    assert types.InputRequiredResult(request_state="s").result_type == "input_required"
    with pytest.raises(msgspec.ValidationError, match="needs `inputRequests` or `requestState`"):
        msgspec.json.decode(b'{"resultType":"input_required"}', type=types.InputRequiredResult)
    with pytest.raises(msgspec.ValidationError, match="Invalid value 'complete'"):
        msgspec.json.decode(b'{"resultType":"complete","requestState":"s"}', type=types.InputRequiredResult)


CAPABILITIES = [
    ("elicits_forms", {"elicitation": {}}, {"elicitation": {"url": {}}}),
    ("elicits_forms", {"elicitation": {"form": {}, "url": {}}}, {}),
    ("elicits_urls", {"elicitation": {"url": {}}}, {"elicitation": {}}),
    ("samples", {"sampling": {}}, {}),
    ("samples_with_tools", {"sampling": {"tools": {}}}, {"sampling": {}}),
    ("samples_with_context", {"sampling": {"context": {}}}, {"sampling": {"tools": {}}}),
    ("lists_roots", {"roots": {}}, {}),
    ("announces_roots", {"roots": {"listChanged": True}}, {"roots": {"listChanged": False}}),
    ("announces_roots", {"roots": {"listChanged": True}}, {"roots": {}}),
]


@pytest.mark.parametrize(("question", "yes", "no"), CAPABILITIES)
def test_what_a_client_declares(question: str, yes: Any, no: Any):
    assert getattr(msgspec.convert(yes, types.ClientCapabilities), question) is True
    assert getattr(msgspec.convert(no, types.ClientCapabilities), question) is False
    assert getattr(types.ClientCapabilities(), question) is False


def test_extensions_a_client_declares():
    ui = "io.modelcontextprotocol/ui"
    assert msgspec.convert({"extensions": {ui: {}}}, types.ClientCapabilities).has_extension(ui)
    assert not msgspec.convert({"extensions": {}}, types.ClientCapabilities).has_extension(ui)
    assert not types.ClientCapabilities().has_extension(ui)


@pytest.mark.parametrize("name", structs())
def test_every_struct_keeps_the_conventions(name: str):
    config = structs()[name].__struct_config__
    assert config.frozen
    assert config.omit_defaults
    assert not config.array_like
    required_only_by_name = [field.name for field in msgspec.structs.fields(structs()[name])]
    assert all(field == field.lower() for field in required_only_by_name)
    assert structs()[name].__doc__


def test_structs_are_keyword_only():
    for struct in structs().values():
        if msgspec.structs.fields(struct):
            with pytest.raises(TypeError, match="Extra positional arguments"):
                struct("x")


def test_every_struct_has_a_public_name():
    assert set(structs()) <= set(types.__all__)


def test_one_noun_does_not_load_the_others():
    program = (
        "import sys, msgspec; before = {*sys.modules}; "
        "from tybalt.types import CallToolRequest, legacy, revisions; print(*sorted({*sys.modules} - before))"
    )
    there = Path(types.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=there, capture_output=True, text=True, check=True, timeout=30
    )
    loaded = set(done.stdout.split())
    assert "tybalt.types.tools" in loaded
    unasked = ("sampling", "elicitation", "roots", "tasks", "input_required", "server_requests", "subscriptions")
    assert not loaded & {f"tybalt.types.{name}" for name in unasked}
    assert {name.partition(".")[0] for name in loaded} == {"tybalt"}
