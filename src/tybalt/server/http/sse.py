"""HTTP with SSE, the transport of 2024-11-05, for clients that know no other. Deprecated; off by default.

    GET /sse                     a stream: `event: endpoint` with the address to send to, then a `message` for each
    POST /messages?session=…     202; the answer comes on the stream

Both together are one shared channel, with the rules of stdio: legacy clients alone, cancellation by
`notifications/cancelled`. The stream is the session: where it ends, what was asked is stopped, and nobody can come
back. So both must reach the same process, which is why several workers refuse it.

2024-11-05 basic/transports, "HTTP with SSE".
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from tybalt.errors import MisuseError, Overloaded
from tybalt.protocol.admission import refuse_form
from tybalt.protocol.http_messages import HttpRequest, HttpResponse, fields_of
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.prescan import MAX_BODY_VALUES, vet
from tybalt.protocol.sse import KEEP_ALIVE, event
from tybalt.protocol.statuses import ACCEPTED, STREAM_HEADERS
from tybalt.server.http.channels import Outgoing, let_in
from tybalt.server.http.exchanges import with_headers
from tybalt.server.http.settings import HttpSettings
from tybalt.server.http.streams import Headers
from tybalt.types.revisions import LEGACY

if TYPE_CHECKING:
    from tybalt.server.http.endpoint import Endpoint
    from tybalt.server.server import Server

Scope = dict[str, Any]
ReadBody = Callable[["Endpoint", Any], Awaitable[bytes | Refusal | None]]
"""Reads a body, within its bounds; `None` where the client went away."""

_PARAMETER: Final = "session"


def require_one_process(server: "Server", settings: HttpSettings, *, is_shared: bool) -> None:
    """Raise `MisuseError` for a server that cannot have this transport."""
    if settings.sse_path is None:
        return
    if is_shared:
        raise MisuseError(
            f"sse_path={settings.sse_path!r} needs workers=1: a stream and what is sent to it must reach one process, "
            f"and nothing says which. Modern clients, and those of 2025-03-26 and later, use {settings.path}"
        )
    if not set(LEGACY) & set(server.revisions):
        raise MisuseError(f"sse_path={settings.sse_path!r} is for legacy clients, and this server serves none")


async def serve_sse(
    endpoint: "Endpoint", path: str, scope: Scope, receive: Any, send: Any, read_body: ReadBody
) -> HttpResponse | None:
    """Serve one request to one of the two paths: the response, `None` where it was sent, or nobody wants it."""
    settings = endpoint.settings
    request = HttpRequest(scope["method"], scope["headers"], http_version=scope.get("http_version", "1.1"))
    if settings.cors is not None and (preflight := settings.cors.preflight(request, endpoint.policy)) is not None:
        return preflight
    known = await let_in(endpoint, request)
    method = "GET" if path == settings.sse_path else "POST"
    headers = () if settings.cors is None else settings.cors.headers(fields_of(request.headers)[0])
    if isinstance(known, Refusal):
        found = known
    elif request.method != method:
        found = plain(405, f"there is {method} here", (b"allow", method.encode()))
    elif method == "POST":
        found = await _take(endpoint, request, known.principal, scope, receive, read_body)
    elif (found := endpoint.channels.reserve(known.principal)) is None:
        await _stream(endpoint, known.principal, headers, scope, receive, send)
    if isinstance(found, Refusal):
        return endpoint.refuse(found, request)
    return None if found is None else with_headers(found, headers)


async def _stream(
    endpoint: "Endpoint", principal: str | None, headers: Headers, scope: Scope, receive: Any, send: Any
) -> None:
    """The stream of a session, from its first event to its end, which is that of the session."""
    name = secrets.token_urlsafe(16)
    # A mount's prefix may hold what its host took from the address, decoded.
    address = f"{quote(scope.get('root_path', '').rstrip('/'))}{endpoint.settings.messages_path}?{_PARAMETER}={name}"
    with endpoint.channels.opened(principal, era="legacy", name=name) as channel:
        saying = _say(channel.outgoing, send, endpoint.settings.keep_alive, (*STREAM_HEADERS, *headers), address)
        await channel.serve(_gone(receive), saying)


async def _gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _say(outgoing: Outgoing, send: Any, silence: float, headers: Headers, address: str) -> None:
    """Send the whole response: where to send to, what the session says, and in so many seconds of silence a comment.

    All of it, for a client that reads nothing is waited for here alone, and the channel ends that.
    """
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await _send_piece(send, event(address.encode(), name="endpoint"))
    while True:
        try:
            async with asyncio.timeout(silence):
                message = await outgoing.next()
        except TimeoutError:
            await _send_piece(send, KEEP_ALIVE)
            continue
        if message is None:
            break
        await _send_piece(send, event(message, name="message"))
    await send({"type": "http.response.body", "body": b""})


async def _send_piece(send: Any, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _take(
    endpoint: "Endpoint", request: HttpRequest, principal: str | None, scope: Scope, receive: Any, read_body: ReadBody
) -> HttpResponse | Refusal | None:
    """Take a message; its answer goes to the stream."""
    if (refusal := refuse_form(fields_of(request.headers)[0])) is not None:
        return refusal
    name = _name(scope.get("query_string", b""))
    if endpoint.channels.named(name, principal) is None:
        return _no_such_session(endpoint.settings)
    body = await read_body(endpoint, receive)
    if not isinstance(body, bytes):
        return body
    channel = endpoint.channels.named(name, principal)
    if channel is None:  # It has ended meanwhile.
        return _no_such_session(endpoint.settings)
    if channel.outgoing.blocked:
        text = "the stream of this session is not read: read it, then send this again"
        return Refusal(503, Overloaded(text, retry_after=1))
    unfit = vet(body, max_values=MAX_BODY_VALUES)
    session = channel.session
    answer = session.receive(body) if unfit is None else session.connection.refuse(body, unfit)
    if isinstance(answer, bytes):
        channel.outgoing.write(answer)
    return ACCEPTED


def _name(query: bytes) -> str:
    given = (each.partition(b"=") for each in query.split(b"&"))
    return next((value.decode("latin-1") for name, _, value in given if name == _PARAMETER.encode()), "")


def _no_such_session(settings: HttpSettings) -> Refusal:
    return plain(404, f"there is no such session; GET {settings.sse_path} begins one")
