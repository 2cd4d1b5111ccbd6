"""The client's end of a WebSocket: what is checked before anything is sent, who is reached, and what a refusal means.

The specification has no WebSocket: this is a custom transport in its words, for a server that has agreed on it, as ours
does with `websocket=True`. `websocket_stream`, below, is the transport itself; a `Client` takes what is returned here.
"""

import asyncio
import re
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Final

from tybalt import __version__
from tybalt.errors import McpError, MisuseError, TransportError, cut, printable
from tybalt.protocol.frames import DEFAULT_LIMIT
from tybalt.protocol.http_messages import header
from tybalt.transports.stream import HIGH_WATER, LINGER, READ_AHEAD
from tybalt.transports.tls_faults import NO_TLS, TRUSTING, UNKNOWN_AUTHORITY
from tybalt.transports.websocket_stream import PACKED, WebSocketTransport, handshake_fault

if TYPE_CHECKING:
    import ssl

OPEN_TIMEOUT: Final = 10.0
KEEPALIVE: Final = 20.0
"""Seconds, as the server's own: half of how long a server that is gone may stay unnoticed."""

MAX_RETRY_DIGITS: Final = 7
"""Digits of a `Retry-After` that are read: 115 days."""

_OURS: Final = ("connection", "content-length", "host", "transfer-encoding", "upgrade")
_REMEDIES: Final[Mapping[int, str]] = {
    401: "the credentials that were sent are not valid there; pass others",
    403: "the credentials, the Origin or the Host may not connect there, or nothing serves a WebSocket at this path",
    404: "there is nothing at this path; is it that of the endpoint, and does the server serve WebSocket?",
    429: "too many connections are open, or too many were asked for; close some, or try again later",
    503: "it is busy or about to end; try again later",
}
_NONE_SENT: Final = (
    "it wants credentials, and none were sent; pass token=… to a Client or an Address, or "
    "headers={'Authorization': 'Bearer …'}"
)


async def connect_websocket(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    tls: "ssl.SSLContext | None" = None,
    binary: bool = False,
    limit: int = DEFAULT_LIMIT,
    high_water: int = HIGH_WATER,
    read_ahead: int = READ_AHEAD,
    open_timeout: float = OPEN_TIMEOUT,
    grace: float = LINGER,
    keepalive: float = KEEPALIVE,
) -> WebSocketTransport:
    """Connect to the WebSocket at `url`, which begins with `wss://` or, unencrypted, `ws://`.

    `headers` go with the handshake, credentials among them: a URL that holds some is refused. `tls` says which
    certificates are trusted; without it, those that the system trusts, for the host of the URL. `binary` has messages
    travel as MessagePack (the subprotocol `mcp.msgpack`) and not as JSON (`mcp`).

    `limit` is the longest message accepted, in bytes; a longer one arrives as `Oversized`, and the connection ends.
    `high_water` and `read_ahead` are those of `StreamTransport`. `open_timeout` is how many seconds connecting may
    take, with TLS and the handshake; `grace`, how many closing may. A server that was silent for `keepalive` seconds
    is pinged, and given up after as many again.

    Nothing is compressed, no redirect is followed, and no proxy is asked, whatever the environment says.

    Raises `TransportError` where the server cannot be reached in time, is no WebSocket, or does not speak the
    subprotocol; `Unauthorized`, `Forbidden`, `NotFound`, `RateLimited` or `Overloaded` where it refuses with the status
    of that name, with `retry_after` as it says; `MisuseError` for a URL, a header field or an option that cannot be
    meant, and where the package of the extra `tybalt[websocket]` is not installed.
    """
    if not 0 < keepalive < inf:
        raise MisuseError(f"keepalive is a finite number of seconds above 0, got {keepalive!r}")
    secure = _is_secure(url)
    if tls is not None and not secure:
        raise MisuseError("tls= is for wss:// URLs; a ws:// one is not encrypted")
    fields = _fields(headers or {})
    transport = WebSocketTransport(
        url,
        fields,
        binary=binary,
        limit=limit,
        high_water=high_water,
        read_ahead=read_ahead,
        grace=grace,
        keepalive=keepalive,
    )
    try:
        error = await _opened(transport, _trusted(tls) if secure else None, open_timeout)
        if error is not None:
            known = any(name == "authorization" for name, _ in fields)
            raise _refusal(error, transport, _where(transport, secure), is_known=known)
    except BaseException:
        await transport.abandon()
        raise
    if binary and transport.subprotocol != PACKED:
        await transport.aclose()
        raise TransportError(f"{_where(transport, secure)} does not speak {PACKED}; connect with binary=False")
    return transport


async def _opened(transport: WebSocketTransport, tls: "ssl.SSLContext | None", open_timeout: float) -> Exception | None:
    """Reach the server and shake hands; what was wrong with its answer. Raises `TransportError` where there is none."""
    where = _where(transport, tls is not None)
    loop = asyncio.get_running_loop()
    host, port = transport.address
    time = asyncio.timeout(open_timeout)
    try:
        async with time:
            await loop.create_connection(lambda: transport, host, port, ssl=tls)
            return await transport.opened()
    except OSError as error:
        if isinstance(error, TimeoutError) and time.expired():
            raise TransportError(f"{where} did not open a WebSocket within {open_timeout:g} s") from None
        raise TransportError(f"cannot connect to {where}: {_unreachable(error, transport)}") from None
    except UnicodeError as error:
        raise TransportError(f"cannot connect to {where}: {error}") from None


def _refusal(error: Exception, transport: WebSocketTransport, where: str, *, is_known: bool) -> Exception:
    """What a handshake that failed becomes. What the server wrote is not told: it may repeat what it was sent."""
    response: Any = getattr(error, "response", None)
    if response is None:
        hint = "; does it want wss://?" if where.startswith("ws:") and not transport.is_http else ""
        return TransportError(f"{where} did not open a WebSocket: {handshake_fault(error, transport.is_page)}{hint}")
    status: int = response.status_code
    told = f"{where} refused the WebSocket with HTTP {status}"
    if status in _REMEDIES:
        remedy = _REMEDIES[status] if is_known or status != 401 else _NONE_SENT
        return McpError.received(status, f"{told}: {remedy}", _retry_data(response.headers))
    if 300 <= status < 400:
        return TransportError(f"{told}: redirects are not followed; connect to the address it leads to")
    return TransportError(f"{told}; is this the address of an MCP server that serves WebSocket?")


def _retry_data(headers: Any) -> dict[str, float] | None:
    values: list[str] = headers.get_all("Retry-After")
    value = values[0] if values else ""
    if value.isascii() and value.isdecimal() and len(value) <= MAX_RETRY_DIGITS:
        return {"retryAfter": float(value)}
    return None


def _is_secure(url: str) -> bool:
    """Whether the URL says TLS. Raises `MisuseError` for one that must not be used, without repeating it."""
    scheme, _, rest = url.partition("://")
    if not url.isprintable() or " " in url:
        raise MisuseError("the URL of a WebSocket holds no white space and no control characters")
    if "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]:
        raise MisuseError("the URL holds credentials, which logs would show; pass headers={'Authorization': …}")
    return scheme.lower() == "wss"


def _fields(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    fields = {"user-agent": f"tybalt/{__version__}"}
    for given, value in headers.items():
        try:
            name = header(given, value)[0].decode()
        except MisuseError:
            # Without the value, which may be a token.
            raise MisuseError(f"the header field {cut(given)!r} is not made of visible ASCII on one line") from None
        if name in _OURS or name.startswith("sec-websocket-"):
            raise MisuseError(f"the header field {given!r} belongs to the handshake and cannot be given")
        fields[name] = value
    return list(fields.items())


def _trusted(tls: "ssl.SSLContext | None") -> "ssl.SSLContext":
    import ssl

    return tls or ssl.create_default_context()


def _unreachable(error: OSError, transport: WebSocketTransport) -> str:
    import ssl
    from socket import gaierror

    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there; is the server running?"
    text = printable(cut(str(error), 300))
    if isinstance(error, gaierror):
        name, why = transport.address[0], error.strerror or text
        return f"the name {printable(cut(name))!r} is not known: {printable(cut(why, 200))}"
    if isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in UNKNOWN_AUTHORITY:
        return f"{text}; {TRUSTING}"
    if isinstance(error, ssl.SSLError) and error.reason in NO_TLS:
        return "the server speaks no TLS there; do you mean ws://?"
    return text


def _where(transport: WebSocketTransport, secure: bool) -> str:
    """The address, for an error text: without the path and the query, which may hold a token."""
    host, port = transport.address
    return f"{'wss' if secure else 'ws'}://{f'[{host}]' if ':' in host else host}:{port}"
