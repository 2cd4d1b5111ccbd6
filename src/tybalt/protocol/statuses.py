"""Answers on HTTP: which status a JSON-RPC answer has, and which header fields go with JSON, with events, with nothing.

An answer is bytes when it gets here, and its code is read off its beginning, so that who answered need not say twice
what it was. A stream has begun with 200 whatever comes in it later. What fails before or beside the protocol is
`http_error`'s.

Modern. The specification gives these statuses: 400 for -32020, -32021, -32022 and for the -32602 of a malformed
`_meta`, and 404 for -32601 (2026-07-28 basic/transports/streamable-http, "Request Metadata"; basic/index, "Per-request
protocol fields"). What is no request gets 400 too, and so does every -32602, for the two kinds of it look the same.
401, 403, 429 and 503 keep their status, because HTTP has header fields for what to do about them. Any other error is
the answer of a server that works, and has 200:

- a client that gets 404, 405 or 400 without an error it knows may take the server for one of an older protocol;
- whatever stands between may send a request again that got 408 or 500, which a call of a tool must not be;
- the clients of the official TypeScript SDK read the error in the body of 200 and 400 only.

Legacy. An answer to a request is JSON or a stream with 200, whatever it says: 404 there means that the session is gone
(2025-11-25 basic/transports, "Session Management"). An error that answers no request is 400, "Sending Messages" 4.
"""

import re
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from tybalt.errors import LONGEST_RETRY, Era, McpError
from tybalt.protocol.answers import RequestId, encode
from tybalt.protocol.http_messages import HttpResponse, header, respond

# No page runs or keeps what is answered here, even if somebody opens it as one.
ANSWER_HEADERS: Final = (
    (b"content-type", b"application/json"),
    (b"x-content-type-options", b"nosniff"),
)
"""The header fields of a JSON answer to a POST, but for its length. Nobody keeps those without being told that they may
(RFC 9110 section 9.3.3), and each field more costs an ASGI server a microsecond."""
JSON_HEADERS: Final = (*ANSWER_HEADERS, (b"cache-control", b"no-store"))
"""Those of any JSON, whatever it was asked with."""

STREAM_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)
"""The header fields of a stream of events. A proxy must neither buffer it nor compress it, which would delay events.

2026-07-28 basic/transports/streamable-http, "Receiving Messages".
"""

ACCEPTED: Final = HttpResponse(202, ((b"content-length", b"0"),))
"""For a notification, and in legacy a response, that was taken: no body (2025-11-25 basic/transports)."""

CHALLENGE: Final = (b"www-authenticate", b"Bearer")
"""What goes with 401 where nobody knows more (RFC 6750 section 3)."""

SESSION_HEADER: Final = "mcp-session-id"

_MODERN: Final = {
    -32700: 400,
    -32600: 400,
    -32601: 404,
    -32602: 400,
    -32020: 400,
    -32021: 400,
    -32022: 400,
    401: 401,
    403: 403,
    429: 429,
    503: 503,
}
_PARSE_ERROR: Final = -32700

_RESULT: Final = b',"result":'
_EARLY: Final = 40
"""Bytes of an answer in which an error has no text yet: what stands there as a member is one."""
_ERROR: Final = re.compile(
    rb'\{"jsonrpc":"2\.0"(?:,"id":(?:null|(-?[0-9]+|"[^"\\]*+(?:\\.[^"\\]*+)*+")))?,"error":\{"code":(-?[0-9]{1,19})\b'
)
"""The beginning of an error as `Answers` writes it; its id, unless that is null, and its code."""


class _RetryData(Struct):
    retry_after: float = msgspec.field(name="retryAfter", default=-1.0)


class _RetryError(Struct):
    data: _RetryData


class _RetryAnswer(Struct):
    error: _RetryError


_decode_retry = msgspec.json.Decoder(_RetryAnswer).decode


def status_of_answer(answer: bytes, era: Era) -> int:
    """The HTTP status of an answer that goes out whole: 200 for a result, a batch or an event stream."""
    if _RESULT in answer[:_EARLY] or (found := _ERROR.match(answer)) is None:
        return 200
    code = int(found[2])
    if era == "modern":
        return _MODERN.get(code, 200)
    return 400 if found[1] is None or code == _PARSE_ERROR else 200


def answer_response(answer: bytes, era: Era, *, session_id: str | None = None) -> HttpResponse:
    """The response that is one JSON answer. `session_id` is what the answer to `initialize` hands out, in legacy.

    429 and 503 say when to come again, where the error does; 401 has a challenge. Raises `MisuseError` for a session
    id that is not visible ASCII.
    """
    status = status_of_answer(answer, era)
    if status == 200 and session_id is None:
        return HttpResponse(200, _headers_for(len(answer)), answer)
    headers = ANSWER_HEADERS
    if status == 401:
        headers = (*headers, CHALLENGE)
    elif status in (429, 503):
        headers = (*headers, *_retry_after(answer))
    if session_id is not None:
        headers = (*headers, header(SESSION_HEADER, session_id))
    return respond(status, answer, headers)


@lru_cache(1024)
def _headers_for(length: int) -> tuple[tuple[bytes, bytes], ...]:
    return (*ANSWER_HEADERS, (b"content-length", b"%d" % length))


def error_response(status: int, error: McpError, era: Era, *, request_id: RequestId | None = None) -> HttpResponse:
    """The response that refuses with a JSON-RPC error: one without an id, unless the request's could be read.

    "The HTTP response body MAY comprise a JSON-RPC error response that has no id" (2025-11-25 basic/transports).
    """
    body: dict[str, Any] = {"jsonrpc": "2.0"}
    if request_id is not None:
        body["id"] = request_id
    body["error"] = {"code": error.code_in(era), "message": error.message}
    if error.data is not None:
        body["error"]["data"] = error.data
    return respond(status, encode(body), JSON_HEADERS)


def _retry_after(answer: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """`Retry-After` in whole seconds, rounded up (RFC 9110 section 10.2.3)."""
    try:
        seconds = _decode_retry(answer).error.data.retry_after
    except msgspec.MsgspecError:
        return ()
    return ((b"retry-after", b"%d" % -(-seconds // 1)),) if 0 <= seconds <= LONGEST_RETRY else ()
