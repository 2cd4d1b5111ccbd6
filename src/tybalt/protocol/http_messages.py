"""HTTP as values: a request that has arrived, a response to send, and how their header fields are read and made.

No socket, no server and no library is known here: the ASGI face, the lane and the tests make the same `HttpRequest` of
what they have, and send the same `HttpResponse`. Field names are bytes in lower case, as ASGI has them; whoever parses
a request sees to that. What the fields of MCP mean is the business of `admission.py` and `mirrored.py`, above.

RFC 9110 section 5.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from tybalt.errors import MisuseError, cut

Fields = dict[bytes, bytes]
"""The header fields of one request by their names in lower case, a repeated one joined by commas."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"(?:[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?)?")
_SINGLE: Final = frozenset(
    (
        b"authorization",
        b"content-length",
        b"content-type",
        b"host",
        b"last-event-id",
        b"origin",
        b"sec-fetch-site",
    )
)


class HttpRequest(Struct, frozen=True):
    """One request to the MCP endpoint. `headers` are in the order they came in, their names in lower case.

    What an absolute-form target names (`POST http://host/mcp HTTP/1.1`) stands in place of `Host` in them (RFC 9112
    section 3.2.2): whoever parses a request sees to that.
    """

    method: str
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes = b""
    http_version: str = "1.1"


class HttpResponse(Struct, frozen=True):
    """One whole response: every field it needs is in `headers`, `Content-Length` too.

    Header fields are constants of this package or come from `header`, so that nothing a peer sent ends a line early.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


def respond(status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]) -> HttpResponse:
    """A response with this body, and the `Content-Length` it has."""
    return HttpResponse(status, (*headers, (b"content-length", b"%d" % len(body))), body)


def fields_of(headers: Sequence[tuple[bytes, bytes]]) -> tuple[Fields, tuple[bytes, ...]]:
    """The header fields by name, and the names of those that came more than once though they must not.

    A list such as `Accept` may be sent in several lines, which mean the same as one with commas (RFC 9110 section 5.3).
    One that is no list, any of `Mcp-*` among them, has no meaning when it is repeated: whoever stands in front may have
    read the first of them, and we the last. It is for the caller to refuse it, even where the values are the same.
    """
    fields = dict(headers)
    if len(fields) == len(headers):
        return fields, ()
    return _merged(headers)


def header(name: str, value: str) -> tuple[bytes, bytes]:
    """A header field to send. Raises `MisuseError` for what is no field: a line end, a NUL, anything but ASCII.

    The name is put in lower case (RFC 9110 sections 5.1 and 5.5).
    """
    if _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
        raise MisuseError(f"a header field is made of visible ASCII, got {cut(name)!r}: {cut(value)!r}")
    return name.lower().encode("ascii"), value.encode("ascii")


def shown(value: bytes) -> str:
    """What a peer sent, quoted and cut for an error text."""
    return repr(cut(value.decode("latin-1")))


def _merged(headers: Sequence[tuple[bytes, bytes]]) -> tuple[Fields, tuple[bytes, ...]]:
    # Collected first and joined once: thousands of lines of one name must not be copied thousands of times.
    lines: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        lines.setdefault(name, []).append(value)
    fields = {name: b", ".join(values) for name, values in lines.items()}
    return fields, tuple(name for name, values in lines.items() if len(values) > 1 and _is_single(name))


def _is_single(name: bytes) -> bool:
    return name in _SINGLE or name.startswith(b"mcp-")
