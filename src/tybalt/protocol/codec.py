"""Bytes to request Structs: the fast path parses what is right, the slow path reads what is wrong.

The fast path is one decoder per era over the union of everything a client may send, tagged by `method`: envelope,
params and the required `_meta` fields in one pass, `arguments` left raw. It raises one of `UNREADABLE` for anything
else. The slow path (`read_envelope`, `read_request`) then takes the message apart, so that the answer can say exactly
what was expected, what came, and where.
"""

from functools import cache
from typing import Any, Union

import msgspec
from msgspec import Raw, Struct

from tybalt.errors import InvalidParams, InvalidRequest, ParseError, cut
from tybalt.types import legacy
from tybalt.types.cancellation import CancelledNotification
from tybalt.types.completion import CompleteRequest
from tybalt.types.discover import DiscoverRequest
from tybalt.types.initialize import InitializedNotification, InitializeRequest, PingRequest
from tybalt.types.logging import SetLevelRequest
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

decode_modern_call = msgspec.json.Decoder(CallToolRequest).decode
decode_legacy_call = msgspec.json.Decoder(legacy.CallToolRequest).decode
"""For those who know that a message means `tools/call`: without the union's look for the tag (60 of 550 ns)."""


class Envelope(Struct, frozen=True):
    """The outside of one JSON-RPC message, taken apart without looking inside `params`."""

    kind: str
    """`request`, `notification` or `response`."""
    id: int | str | None = None
    method: str = ""
    params: Raw | None = None


class Unanswerable(Exception):
    """A message that is not a valid JSON-RPC message: `error` is the answer, under `id` where that could be read."""

    def __init__(self, error: ParseError | InvalidRequest, request_id: int | str | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.id = request_id


_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.json.Decoder(list[Raw]).decode
_decode_id = msgspec.json.Decoder(int | str).decode
_decode_text = msgspec.json.Decoder(str).decode


def is_batch(message: bytes) -> bool:
    """Whether the message is a JSON array, going by its first character."""
    return message.lstrip(b" \t\r\n")[:1] == b"["


def read_batch(message: bytes) -> list[bytes]:
    """The elements of a JSON array, each as the bytes it was sent as; raises `Unanswerable`."""
    try:
        return [bytes(item) for item in _decode_items(message)]
    except UNREADABLE as error:
        raise Unanswerable(parse_error(error)) from None


def read_envelope(message: bytes) -> Envelope:
    """Take a message apart; raises `Unanswerable` when it is not JSON (-32700) or not JSON-RPC 2.0 (-32600)."""
    try:
        fields = _decode_fields(message)
    except msgspec.ValidationError:
        raise Unanswerable(InvalidRequest("expected one JSON object, as JSON-RPC 2.0 has it")) from None
    except UNREADABLE as error:
        raise Unanswerable(parse_error(error)) from None
    identifier = _read_id(fields)
    if fields.get("jsonrpc") != b'"2.0"' and _text(fields.get("jsonrpc")) != "2.0":
        got = _shown(fields.get("jsonrpc"))
        raise Unanswerable(InvalidRequest(f'`jsonrpc` must be "2.0", got {got} - at `$.jsonrpc`'), identifier)
    if "method" not in fields:
        if "result" in fields or "error" in fields:
            return Envelope("response", identifier)
        raise Unanswerable(InvalidRequest("neither `method` nor `result` nor `error` - at `$`"), identifier)
    method = _text(fields["method"])
    if method is None:
        raise Unanswerable(
            InvalidRequest(f"`method` must be a string, got {_shown(fields['method'])} - at `$.method`"), identifier
        )
    kind = "request" if "id" in fields else "notification"
    return Envelope(kind, identifier, method, fields.get("params"))


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
        raise Unanswerable(parse_error(error)) from None


def read_params(params: Raw | None) -> dict[str, Raw]:
    """The top-level fields of `params`, raw; `{}` where there are none. Raises `InvalidParams` for no object."""
    if params is None:
        return {}
    try:
        return _decode_fields(params)
    except UNREADABLE:
        raise InvalidParams(f"`params` must be an object, got {_shown(params)} - at `$.params`") from None


def parse_error(error: Exception) -> ParseError:
    """The -32700 for what a decoder raised: not UTF-8, nested too deeply, or not JSON."""
    if isinstance(error, UnicodeDecodeError):
        return ParseError("Parse error: not UTF-8")
    if isinstance(error, RecursionError):
        return ParseError("Parse error: nested too deeply")
    return ParseError(f"Parse error: {error}")


@cache
def _decoder(kind: type[Struct]) -> Any:
    return msgspec.json.Decoder(kind).decode


def _read_id(fields: dict[str, Raw]) -> int | str | None:
    if "id" not in fields:
        return None
    try:
        return _decode_id(fields["id"])
    except UNREADABLE:
        text = f"`id` must be a string or an integer, got {_shown(fields['id'])} - at `$.id`"
        raise Unanswerable(InvalidRequest(text)) from None


def _text(raw: Raw | None) -> str | None:
    try:
        return _decode_text(raw) if raw is not None else None
    except UNREADABLE:
        return None


def _shown(raw: Raw | None) -> str:
    """A short, printable form of what came, for an error text."""
    if raw is None:
        return "nothing"
    return cut(bytes(raw).decode("utf-8", "replace"), 40)
