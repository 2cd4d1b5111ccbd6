"""What a client's message is when it travels over HTTP: the header fields that go with it, and what a refusal means.

    post = read_post(message)                     # its method, its id, its revision, what it names
    post.headers(parameters)                      # Mcp-Method, Mcp-Name, Mcp-Param-*, MCP-Protocol-Version

Everything is read off the message itself, so that whoever sends it needs to know nothing else. A message that says its
revision is a modern one; what a legacy message needs besides is in `http_visit.py`. No I/O and no HTTP library: the
client's link is above.

2026-07-28 basic/transports/streamable-http, "Request Metadata" and "Client Behavior".
"""

import re
from typing import Any, Final, cast

import msgspec
from msgspec import Raw, Struct

from tybalt.errors import McpError, cut, printable
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.mirrored import NAMED_BY, ParameterHeaders, standard_headers
from tybalt.types.meta import PROTOCOL_VERSION

MAX_REFUSAL: Final = 64 * 1024
"""Bytes of a refusal that are read: enough for any error text."""
_SHOWN: Final = 500
_CANCEL: Final = "notifications/cancelled"
_NO_JSON: Final = Raw(b"{}")
_PLAIN: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


class _Meta(Struct):
    revision: Any = msgspec.field(default=None, name=PROTOCOL_VERSION)


class _Params(Struct, rename="camel"):
    name: Any = None
    uri: Any = None
    arguments: Raw = _NO_JSON
    request_id: Any = None
    meta: _Meta = msgspec.field(default_factory=_Meta, name="_meta")


class _Message(Struct):
    method: str | None = None
    id: int | str | None = None
    params: _Params = msgspec.field(default_factory=_Params)


class _Outline(Struct):
    method: str | None = None
    id: int | str | None = None


_decode = msgspec.json.Decoder(_Message).decode
_decode_outline = msgspec.json.Decoder(_Outline).decode


class Post(Struct, frozen=True, gc=False):
    """One message as it is sent, and what has to be known of it. `id` is None for what nobody answers.

    `revision` is the one it says in its `_meta`; only modern requests do. `name` is what `Mcp-Name` says, `cancels` the
    id of the request that a cancel is about.
    """

    message: bytes
    method: str | None = None
    id: int | str | None = None
    revision: str | None = None
    name: str | None = None
    arguments: Raw = _NO_JSON
    cancels: int | str | None = None

    @property
    def is_request(self) -> bool:
        """Whether somebody waits for its answer."""
        return self.id is not None and self.method is not None

    def headers(self, parameters: ParameterHeaders | None = None) -> list[tuple[str, str]]:
        """The fields that a modern message is sent with; `parameters` are those of the tool it calls.

        Raises `ValueError` for a value that must not be mirrored: an integer beyond ±(2^53 - 1), a text without UTF-8;
        and for a method or a revision that is no value of a field, for neither may be encoded.
        """
        if self.method is None or self.revision is None:
            return []
        for what, value in (("the method", self.method), ("the revision", self.revision)):
            if _PLAIN.fullmatch(value) is None:
                raise ValueError(f"{what} is no visible ASCII: {cut(ascii(value), 60)}")
        fields = [("MCP-Protocol-Version", self.revision), *standard_headers(self.method, self.name)]
        return fields if parameters is None else [*fields, *parameters.headers(self.arguments)]


def read_post(message: bytes) -> Post:
    """What a message of a client is. Never raises for one that its own encoder has made."""
    try:
        read = _decode(message)
    except UNREADABLE:  # Params that are no object: for the server to refuse.
        outline = _decode_outline(message)
        return Post(message, outline.method, outline.id)
    params, method = read.params, read.method
    revision = params.meta.revision
    named = NAMED_BY.get(method or "")
    name = getattr(params, named) if named is not None else None
    cancels = params.request_id if method == _CANCEL and type(params.request_id) in (int, str) else None
    return Post(
        message,
        method,
        read.id,
        revision if isinstance(revision, str) else None,
        name if isinstance(name, str) else None,
        params.arguments,
        cancels,
    )


class _ErrorObject(Struct):
    code: int
    message: str = ""
    data: Any = None


class _Refusal(Struct):
    error: Any = None
    message: Any = None
    detail: Any = None


_decode_refusal = msgspec.json.Decoder(_Refusal).decode


def read_refusal(status: int, body: bytes, *, reason: str = "", retry_after: str | None = None) -> McpError:
    """The error that an HTTP answer with such a status is for the request it answers.

    A JSON-RPC error says itself what it is, whatever id it carries: one request was sent. Any other body is an error
    with the status for its code, and as much of its text as can be shown. `reason` is the phrase beside the status,
    `retry_after` the field of that name, of which seconds are understood.
    """
    said: Any = None
    try:
        said = _decode_refusal(body)
        error = msgspec.convert(said.error, _ErrorObject)
        return McpError.received(error.code, error.message, _with_wait(error.data, retry_after))
    except UNREADABLE:
        text = _text_of(said) or ("" if body.lstrip()[:1] == b"<" else body[:_SHOWN].decode(errors="replace").strip())
    shown = f": {printable(cut(text, _SHOWN))}" if text else ""
    head = f"the server answered with HTTP {status} {printable(cut(reason, 60))}".rstrip()
    return McpError.received(status, head + shown, _with_wait(None, retry_after))


def _text_of(said: _Refusal | None) -> str:
    """The text of an error that is no JSON-RPC, in the shapes that servers and gateways write it."""
    if said is None:
        return ""
    for value in (said.error, said.message, said.detail):
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and isinstance(inner := cast("dict[str, Any]", value).get("message"), str):
            return inner
    return ""


def _with_wait(data: Any, retry_after: str | None) -> Any:
    """The data of an error, and in it after how many seconds one may ask again, where the header alone says so."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10):
        return data
    if data is None:
        return {"retryAfter": int(retry_after)}
    known = cast("dict[str, Any]", data) if isinstance(data, dict) else None
    if known is None or "retryAfter" in known:
        return cast("Any", data)
    return {**known, "retryAfter": int(retry_after)}
