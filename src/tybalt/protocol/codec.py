"""Bytes to request Structs: the fast path parses what is right, the slow path reads what is wrong.

The fast path is one decoder per era over the union of everything a client may send, tagged by `method`: envelope,
params and the required `_meta` fields in one pass, `arguments` left raw. It raises one of `UNREADABLE` for anything
else. The slow path (`parse_line`, `read_request`) then takes the message apart, so that the answer can say exactly what
was expected, what came, and where. It reads into Structs only: a dict of whatever members came may weigh forty times
what was sent.
"""

import re
from functools import cache
from typing import Any, Final, Literal, Union

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tybalt.errors import InvalidParams, InvalidRequest, McpError, ParseError, cut
from tybalt.protocol.frames import HEAD, Oversized
from tybalt.protocol.prescan import vet
from tybalt.types import legacy
from tybalt.types.cancellation import CancelledNotification
from tybalt.types.completion import CompleteRequest
from tybalt.types.discover import DiscoverRequest
from tybalt.types.initialize import InitializedNotification, InitializeRequest, PingRequest
from tybalt.types.logging import SetLevelRequest
from tybalt.types.meta import CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION
from tybalt.types.progress import ProgressNotification
from tybalt.types.prompts import GetPromptRequest, ListPromptsRequest
from tybalt.types.resources import (
    ListResourcesRequest,
    ListResourceTemplatesRequest,
    ReadResourceRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
from tybalt.types.roots import RootsListChangedNotification
from tybalt.types.subscriptions import SubscriptionsListenRequest
from tybalt.types.tools import CallToolRequest, ListToolsRequest

UNREADABLE = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
"""What a decoder raises; msgspec's own errors are not the only ones."""

MODERN_REQUESTS: tuple[type[Struct], ...] = (
    CallToolRequest,
    ListToolsRequest,
    ListResourcesRequest,
    ListResourceTemplatesRequest,
    ReadResourceRequest,
    ListPromptsRequest,
    GetPromptRequest,
    CompleteRequest,
    DiscoverRequest,
    SubscriptionsListenRequest,
)
LEGACY_REQUESTS: tuple[type[Struct], ...] = (
    legacy.CallToolRequest,
    legacy.ListToolsRequest,
    legacy.ListResourcesRequest,
    legacy.ListResourceTemplatesRequest,
    legacy.ReadResourceRequest,
    legacy.ListPromptsRequest,
    legacy.GetPromptRequest,
    legacy.CompleteRequest,
    InitializeRequest,
    PingRequest,
    SetLevelRequest,
    SubscribeRequest,
    UnsubscribeRequest,
)
MODERN_NOTIFICATIONS: tuple[type[Struct], ...] = (CancelledNotification,)
LEGACY_NOTIFICATIONS: tuple[type[Struct], ...] = (
    CancelledNotification,
    InitializedNotification,
    ProgressNotification,
    RootsListChangedNotification,
)


def method_of(kind: type[Struct]) -> str:
    """The method a request or notification Struct is tagged with."""
    return str(kind.__struct_config__.tag)


MODERN_BY_METHOD = {method_of(kind): kind for kind in MODERN_REQUESTS}
LEGACY_BY_METHOD = {method_of(kind): kind for kind in LEGACY_REQUESTS}

decode_modern = msgspec.json.Decoder(Union[MODERN_REQUESTS + MODERN_NOTIFICATIONS]).decode  # noqa: UP007 (built from a tuple)
decode_legacy = msgspec.json.Decoder(Union[LEGACY_REQUESTS + LEGACY_NOTIFICATIONS]).decode  # noqa: UP007


class ModernCall(CallToolRequest, tag=False, gc=False, frozen=True, kw_only=True):
    """A modern `tools/call` by itself. Alone in its decoder, a tag would not be asked for; a member is."""

    called: Literal["tools/call"] = msgspec.field(name="method")

    @property
    def method(self) -> str:
        """`tools/call`."""
        return self.called


class LegacyCall(legacy.CallToolRequest, tag=False, gc=False, frozen=True, kw_only=True):
    """A legacy `tools/call` by itself, see `ModernCall`."""

    called: Literal["tools/call"] = msgspec.field(name="method")

    @property
    def method(self) -> str:
        """`tools/call`."""
        return self.called


decode_modern_call = msgspec.json.Decoder(ModernCall).decode
decode_legacy_call = msgspec.json.Decoder(LegacyCall).decode
"""For those who know that a message means `tools/call`: without the union's look for the tag (60 of 550 ns)."""


MAX_BATCH: Final = 100
"""Messages one 2025-03-26 batch may hold."""


ABSENT: Final = Raw()
"""Stands for a member that did not come; known by identity."""


class Envelope(Struct, frozen=True):
    """The outside of one JSON-RPC message, taken apart without looking inside `params`."""

    kind: Literal["request", "notification", "response"]
    id: int | str | None = None
    method: str = ""
    params: Raw = ABSENT


class Unanswerable(McpError):
    """A message that is not a valid JSON-RPC message: `error` is the answer, under `id` where that could be read."""

    def __init__(self, error: McpError, request_id: int | str | None = None) -> None:
        super().__init__(error.message, code=error.code)
        self.error = error
        self.id = request_id


class _Members(Struct):
    """The members of a message, each as it stands there."""

    jsonrpc: Raw = ABSENT
    id: Raw = ABSENT
    method: Raw = ABSENT
    params: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT


class EnvelopeMeta(Struct):
    """The modern members of a request's `_meta`, each as it stands there; all absent in legacy."""

    protocol_version: Raw = msgspec.field(name=PROTOCOL_VERSION, default=ABSENT)
    client_capabilities: Raw = msgspec.field(name=CLIENT_CAPABILITIES, default=ABSENT)
    client_info: Raw = msgspec.field(name=CLIENT_INFO, default=ABSENT)
    log_level: Raw = msgspec.field(name=LOG_LEVEL, default=ABSENT)

    def __bool__(self) -> bool:
        """Whether any of them came."""
        return any(value is not ABSENT for value in msgspec.structs.astuple(self))

    @property
    def revision(self) -> str | None:
        """The revision named, if it is a string; what else is wrong with it is told by the decoder."""
        return _text(self.protocol_version)


class _Params(Struct):
    meta: Raw = msgspec.field(name="_meta", default=ABSENT)


class _Outline(Struct):
    id: int | str | None = None
    method: Raw = ABSENT
    result: Raw = ABSENT
    error: Raw = ABSENT


_NO_META: Final = EnvelopeMeta()


class _ErrorObject(Struct):
    code: int
    message: str = ""
    data: Any = None


class _Response(Struct):
    result: Raw | UnsetType = UNSET
    error: _ErrorObject | None = None


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_members = msgspec.json.Decoder(_Members).decode
_decode_params = msgspec.json.Decoder(_Params).decode
_decode_meta = msgspec.json.Decoder(EnvelopeMeta).decode
_decode_outline = msgspec.json.Decoder(_Outline).decode
_decode_anything = msgspec.json.Decoder(Raw).decode
_decode_id = msgspec.json.Decoder(int | str).decode
_decode_text = msgspec.json.Decoder(str).decode


def parse_line(line: bytes | str) -> Envelope:
    """One line of a stream as a JSON-RPC message, in no particular revision: request, notification or response.

    Raises `Unanswerable`, an `McpError` that says what is wrong with it: -32700 where it is no JSON, -32600 where it is
    JSON but no message of JSON-RPC 2.0, or larger inside than is accepted.
    """
    message = line.encode() if isinstance(line, str) else line
    if (refusal := vet(message)) is not None:
        raise Unanswerable(refusal, glimpse(message).id)
    return read_envelope(message)


def is_batch(message: bytes) -> bool:
    """Whether the message is a JSON array, going by its first character."""
    return message.lstrip(b" \t\r\n")[:1] == b"["


def read_batch(message: bytes) -> list[bytes]:
    """The elements of a JSON array, each as the bytes it was sent as; raises `Unanswerable`, also for too many."""
    try:
        found = _batch_decoder()(message)
    except UNREADABLE as error:
        raise Unanswerable(parse_error(error)) from None
    items = [bytes(item) for item in msgspec.structs.astuple(found) if item is not ABSENT]
    if not 0 < len(items) <= MAX_BATCH:
        text = "more" if items else "none"
        raise Unanswerable(InvalidRequest(f"a batch holds 1 to {MAX_BATCH} messages, got {text}"))
    return items


def check_json(message: bytes) -> None:
    """Raises `Unanswerable` for what is no JSON."""
    try:
        _decode_anything(message)
    except UNREADABLE as error:
        raise Unanswerable(parse_error(error)) from None


def glimpse(message: bytes) -> Envelope:
    """What a message is that is refused unread, as far as can be told without building anything of it.

    Where not even its outline can be read, its beginning tells, if the first members are those of JSON-RPC in their
    usual order. A message of which nothing can be told is a request without an id.
    """
    try:
        outline = _decode_outline(message)
    except UNREADABLE:
        return _glimpse_of(message[:HEAD])
    if outline.method is not ABSENT:
        return Envelope("request" if outline.id is not None else "notification", outline.id)
    answers = outline.result is not ABSENT or outline.error is not ABSENT
    return Envelope("response" if answers else "request", outline.id)


def glimpse_of(oversized: Oversized) -> Envelope:
    """`glimpse` at what the framing gave up on."""
    return _glimpse_of(oversized.head)


_HEAD_OF_CALL: Final = re.compile(
    rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,(?:\s*"id"\s*:\s*(?:(-?[0-9]{1,20})|"([A-Za-z0-9_-]{1,100})"|null)\s*,)?'
    rb'\s*"(method|params|result|error)"\s*:'
)


def _glimpse_of(head: bytes) -> Envelope:
    found = _HEAD_OF_CALL.match(head)
    if found is None:
        return Envelope("request")
    number, text, member = found.groups()
    identifier = int(number) if number is not None else text.decode() if text is not None else None
    if member in (b"result", b"error"):
        return Envelope("response", identifier)
    return Envelope("request" if identifier is not None else "notification", identifier)


def read_envelope(message: bytes) -> Envelope:
    """`parse_line` for a message that was vetted already."""
    try:
        members = _decode_members(message)
    except msgspec.ValidationError:
        raise Unanswerable(InvalidRequest("expected one JSON object, as JSON-RPC 2.0 has it")) from None
    except UNREADABLE as error:
        raise Unanswerable(parse_error(error)) from None
    if members.method is ABSENT and not (members.result is ABSENT and members.error is ABSENT):
        # Nothing is wrong with a response that would be worth an answer: two peers could go on like that for ever.
        return Envelope("response", glimpse(message).id)
    identifier = _read_id(members.id)
    if _text(members.jsonrpc) != "2.0":
        got = _shown(members.jsonrpc)
        raise Unanswerable(InvalidRequest(f'`jsonrpc` must be "2.0", got {got} - at `$.jsonrpc`'), identifier)
    if members.method is ABSENT:
        raise Unanswerable(InvalidRequest("neither `method` nor `result` nor `error` - at `$`"), identifier)
    method = _text(members.method)
    if method is None:
        text = f"`method` must be a string, got {_shown(members.method)} - at `$.method`"
        raise Unanswerable(InvalidRequest(text), identifier)
    return Envelope("notification" if members.id is ABSENT else "request", identifier, method, members.params)


def read_request(message: bytes, kind: type[Struct]) -> Any:
    """Decode a message as `kind`; raises `InvalidParams` with the path to what is wrong, or `Unanswerable`."""
    try:
        return _decoder(kind)(message)
    except msgspec.ValidationError as error:
        text = str(error)
        if text.endswith(("`$.method`", "`$.id`", "`$.jsonrpc`")):
            raise Unanswerable(InvalidRequest(f"{text} (is a key there twice?)")) from None
        raise InvalidParams(f"Invalid params: {text}") from None
    except UNREADABLE as error:
        raise Unanswerable(parse_error(error), glimpse(message).id) from None


def read_response(message: bytes) -> "Raw | McpError":
    """The result of a response, undecoded, or the error it holds; an `InvalidRequest` where it has neither."""
    try:
        response = _decode_response(message)
    except UNREADABLE as error:
        return InvalidRequest(f"the answer is no JSON-RPC response: {error}")
    if response.error is not None:
        return McpError.received(response.error.code, response.error.message, response.error.data)
    return InvalidRequest("the answer has no result") if isinstance(response.result, UnsetType) else response.result


def read_envelope_meta(params: Raw) -> EnvelopeMeta:
    """The modern members of `params._meta`, none where there are none. Raises `InvalidParams` for no object."""
    if params is ABSENT:
        return _NO_META
    try:
        meta = _decode_params(params).meta
    except UNREADABLE:
        raise InvalidParams(f"`params` must be an object, got {_shown(params)} - at `$.params`") from None
    try:
        return _NO_META if meta is ABSENT else _decode_meta(meta)
    except UNREADABLE:
        return _NO_META


def without_envelope_meta(message: bytes) -> bytes:
    """A request without the modern members of its `_meta`, which a legacy server ignores like any other foreign key."""
    body = msgspec.json.decode(message)
    meta = body["params"]["_meta"]
    names = EnvelopeMeta.__struct_encode_fields__
    body["params"]["_meta"] = {key: value for key, value in meta.items() if key not in names}
    return msgspec.json.encode(body)


def parse_error(error: Exception) -> ParseError | InvalidRequest:
    """The answer to what a decoder raised: -32700 for no UTF-8 or no JSON, -32600 for what is nested too deeply."""
    if isinstance(error, UnicodeDecodeError):
        return ParseError("Parse error: not UTF-8")
    if isinstance(error, RecursionError):
        return InvalidRequest("the message is nested too deeply")
    return ParseError(f"Parse error: {error}")


@cache
def _decoder(kind: type[Struct]) -> Any:
    return msgspec.json.Decoder(kind).decode


@cache
def _batch_decoder() -> Any:
    """Reads one element more than a batch may hold, and skips the rest: a list of them all may weigh much."""
    elements = [(f"element_{number}", Raw, ABSENT) for number in range(MAX_BATCH + 1)]
    return msgspec.json.Decoder(msgspec.defstruct("_Elements", elements, array_like=True)).decode


def _read_id(raw: Raw) -> int | str | None:
    if raw is ABSENT:
        return None
    try:
        return _decode_id(raw)
    except UNREADABLE:
        text = f"`id` must be a string or an integer, got {_shown(raw)} - at `$.id`"
        raise Unanswerable(InvalidRequest(text)) from None


def _text(raw: Raw) -> str | None:
    try:
        return _decode_text(raw)
    except UNREADABLE:
        return None


def _shown(raw: Raw) -> str:
    """A short, printable form of what came, for an error text."""
    if raw is ABSENT:
        return "nothing"
    return cut(bytes(raw).decode("utf-8", "replace"), 40)
