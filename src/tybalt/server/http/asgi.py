"""The ASGI face: a server as an application that starts itself, mounts anywhere, and needs no framework.

    app = server.asgi()                        # uvicorn module:app
    fastapi_app.mount("/tools", server.asgi())

It reads what ASGI gives and sends what it wants; which response a request has is the endpoint's business. In a host
that does not pass the lifespan on, it starts with the first request, and `server.drain()` ends it. ASGI 3,
specification of HTTP 2.3 and up.
"""

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import McpError, cut, printable
from tybalt.protocol.admission import too_large
from tybalt.protocol.http_messages import HttpRequest, HttpResponse, fields_of, respond
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.statuses import JSON_HEADERS
from tybalt.server.http.body_clock import BodyClock
from tybalt.server.http.door import ANYBODY, Entry, Known
from tybalt.server.http.endpoint import Endpoint
from tybalt.server.http.holding import hold
from tybalt.server.http.service import Service
from tybalt.server.http.settings import HttpSettings
from tybalt.server.http.verifying import Ahead

if TYPE_CHECKING:
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")

Scope = dict[str, Any]
Receive = Any
Send = Any

_ALIVE: Final = respond(200, b'{"status":"ok"}', JSON_HEADERS)
_NOT_READY: Final = respond(503, b'{"status":"not ready"}', JSON_HEADERS)


class AsgiApp:
    """A server as an ASGI application. Make it with `Server.asgi`."""

    def __init__(self, server: "Server", settings: HttpSettings, *, is_shared: bool = False) -> None:
        if settings.sse_path is not None:
            from tybalt.server.http.sse import require_one_process

            require_one_process(server, settings, is_shared=is_shared)
        self.service = Service(server, settings, is_shared=is_shared)
        self._settings = settings
        self._exact = {path: app for path, app in settings.routes.items() if not path.endswith("/")}
        self._below = [(path, app) for path, app in settings.routes.items() if path.endswith("/")]
        self._path = settings.path.rstrip("/")
        self._clock: BodyClock | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan of the process."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._lifespan(receive, send)
            return
        path = _path_of(scope)
        if kind == "http" and path.rstrip("/") == self._path:
            await self._mcp(scope, receive, send)
        elif self._is_channel(kind, path):
            await self._channel(path, scope, receive, send)
        elif (app := self._route(path)) is not None:
            await app(scope, receive, send)
        elif kind == "http":
            await _send(send, await self._beside(path, scope))
        else:
            from tybalt.server.http.websocket import refuse_websocket  # As below.

            await refuse_websocket(self._nothing(scope), scope, send)

    # -- the endpoint -------------------------------------------------------------------------------------------------

    async def _mcp(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            endpoint = self.service.endpoint or await self.service.open()
        except McpError as error:
            await _send(send, Refusal(503, error).response(datetime.now(UTC)))
            return
        version = scope.get("http_version", "1.1")
        headers, request = scope["headers"], None
        # HTTP/1.0 has other duties; what it was let in with says nothing of the rest.
        head = tuple(headers) if scope["method"] == "POST" and version != "1.0" else None
        try:
            known = endpoint.heads.get(head)
        except TypeError:  # Pairs may be lists, too, says ASGI.
            headers = head = tuple((bytes(name), bytes(value)) for name, value in headers)
            known = endpoint.heads.get(head)
        if known is not None:
            entry, body = known[0], await self._body(endpoint, receive)
        else:
            request = HttpRequest(scope["method"], headers, http_version=version)
            entry, body = await self._enter(endpoint, request, receive)
            if head is not None and isinstance(entry, Entry):
                endpoint.remember(head, entry, len(body))
        if body is None or entry is None:
            return
        if isinstance(body, Refusal):
            await _send(send, endpoint.refuse(body, request or HttpRequest(scope["method"], headers)))
            return
        found = endpoint.serve(entry, body) if isinstance(entry, Entry) else entry
        if isinstance(found, HttpResponse):
            # As `_send` does it, which would be a coroutine more.
            await send({"type": "http.response.start", "status": found.status, "headers": found.headers})
            await send({"type": "http.response.body", "body": found.body})
        else:
            await hold(found, receive, send, endpoint.readers)

    async def _enter(
        self, endpoint: Endpoint, request: HttpRequest, receive: Receive
    ) -> tuple[Entry | HttpResponse | None, bytes]:
        """Let a request in, with its body, or say why not; `None` where the client went away before it had asked."""
        refused = endpoint.admit_head(request)
        if refused is not None:
            return refused if isinstance(refused, HttpResponse) else endpoint.refuse(refused, request), b""
        known = ANYBODY
        if endpoint.door.is_locked:
            ahead = Ahead(receive)
            verdict = await endpoint.verifying.knock(fields_of(request.headers)[0], ahead)
            if not isinstance(verdict, Known):
                return None if verdict is None else endpoint.refuse(verdict, request), b""
            known, receive = verdict, ahead.receive if ahead.kept else receive
        if request.method == "POST":
            body = await self._body(endpoint, receive)
            if not isinstance(body, bytes):
                return None if body is None else endpoint.refuse(body, request), b""
            request = HttpRequest("POST", request.headers, body, request.http_version)
        return endpoint.enter(request, known), request.body

    async def _body(self, endpoint: Endpoint, receive: Receive) -> bytes | Refusal | None:
        """The whole body, in time and within bounds; `None` where the client went away."""
        clock, limit = self._clock_of(endpoint), endpoint.policy.max_body
        task = clock.begin()
        pieces = bytearray()
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                piece: bytes = message.get("body", b"")
                if len(pieces) + len(piece) > limit:
                    return too_large(endpoint.policy)
                if not message.get("more_body", False):
                    return bytes(pieces + piece) if pieces else piece
                pieces += piece
        except asyncio.CancelledError:
            if clock.is_late(task):
                return clock.refusal
            raise
        finally:
            clock.end(task)

    def _clock_of(self, endpoint: Endpoint) -> BodyClock:
        """The clock of the loop on which this is served."""
        clock = self._clock
        if clock is None or clock.loop is not endpoint.loop:
            clock = self._clock = BodyClock(endpoint.loop, self._settings.body_timeout)
        return clock

    # -- shared channels, where they are on ---------------------------------------------------------------------------

    def _is_channel(self, kind: str, path: str) -> bool:
        settings = self._settings
        if kind == "websocket":
            return settings.websocket and path.rstrip("/") == self._path
        return settings.sse_path is not None and path in (settings.sse_path, settings.messages_path)

    async def _channel(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        # Only here: neither is a part of MCP today.
        from tybalt.server.http.sse import serve_sse
        from tybalt.server.http.websocket import refuse_websocket, serve_websocket

        try:
            endpoint = self.service.endpoint or await self.service.open()
        except McpError as error:
            response = Refusal(503, error).response(datetime.now(UTC))
            refused = refuse_websocket(response, scope, send) if scope["type"] == "websocket" else _send(send, response)
            await refused
            return
        if scope["type"] == "websocket":
            await serve_websocket(endpoint, scope, receive, send)
        else:
            found = await serve_sse(endpoint, path, scope, receive, send, self._body)
            if found is not None:
                await _send(send, found)

    # -- beside it ----------------------------------------------------------------------------------------------------

    def _route(self, path: str) -> Any:
        app = self._exact.get(path)
        if app is not None:
            return app
        return next((app for prefix, app in self._below if path.startswith(prefix)), None)

    async def _beside(self, path: str, scope: Scope) -> HttpResponse:
        settings, method = self._settings, scope["method"]
        if path == settings.health and method in ("GET", "HEAD"):
            return _ALIVE
        if path == settings.readiness and method in ("GET", "HEAD"):
            return _ALIVE if await self._is_ready() else _NOT_READY
        return self._nothing(scope)

    def _nothing(self, scope: Scope) -> HttpResponse:
        settings = self._settings
        endpoint = cut(scope.get("root_path", "").rstrip("/") + settings.path)
        text = f"there is nothing at {cut(printable(scope['path']))}; the MCP endpoint is {endpoint}"
        return plain(404, text).response(datetime.now(UTC))

    async def _is_ready(self) -> bool:
        """Whether requests are served; who asks first opens the lifespan where the host does not pass it on."""
        if self.service.endpoint is None:
            try:
                await self.service.open()
            except Exception as error:  # noqa: BLE001 (a lifespan may raise anything)
                logger.warning("%s is not ready: %s", self.service.server.name, error)
        return self.service.is_ready

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.service.reopen()
        try:
            await self.service.open()
        except Exception as error:
            logger.exception("the lifespan of %s failed", self.service.server.name)
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: see the log"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.service.drain()
        await send({"type": "lifespan.shutdown.complete"})


def _path_of(scope: Scope) -> str:
    """The path below the point where the application is mounted."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if not root:
        return path
    root = root.rstrip("/")
    below = path.removeprefix(root)
    # A host may say where it is mounted and leave that out of the path; "/m" is no part of "/mcp" then.
    return below if not below or below.startswith("/") else path


async def _send(send: Send, response: HttpResponse) -> None:
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    await send({"type": "http.response.body", "body": response.body})
