"""The lane: uvicorn, whose HTTP protocol class answers calls in the read callback, and which ends well.

What one connection does is a matter of `lane_connection`, which knows no uvicorn. That is known here alone, in the
range that `pyproject.toml` names; tests/server/http/test_lane.py holds what is relied on.
"""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from typing import Any, Final

import uvicorn
from httptools import HttpParserCallbackError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tybalt.protocol.http_refusal import Refusal
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.cycle import refused
from tybalt.server.http.flow import Closing
from tybalt.server.http.lane_connection import MAX_WAITING, LaneConnection
from tybalt.server.http.reading import PATIENCE
from tybalt.server.http.websocket import require_websockets

LINGER: Final = 0.5
"""Seconds that connections which wait for a request get at the end: one may be on its way, and is answered."""
SWEEP: Final = 1.0
"""After how many seconds each connection is looked at: whether it is too slow."""

_LOOK: Final = 0.02


class AsgiCycle(RequestResponseCycle):
    """One request that an application answers, and its response: uvicorn's own, in four things more careful.

    It says that the connection ends when it answers before the body is whole, and lets the connection end it; it sends
    no chunks to HTTP/1.0, which knows none (RFC 9112 section 6.1); it can be refused while its body is read; and it
    hears that its client has gone wherever it stands in the line.
    """

    outlives_client = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_early = False
        """Whether the response began before the body was whole: it is the last of its connection."""
        self._knows_chunks = self.scope["http_version"] == "1.1"
        if not self._knows_chunks:
            self.chunked_encoding = False

    def take(self, piece: bytes) -> None:
        """Another piece of its body has come; one that is not read soon stands still."""
        self.body += piece
        if len(self.body) > MAX_WAITING:
            self.flow.pause_reading()
        self.message_event.set()

    def end(self) -> None:
        """It is whole."""
        self.more_body = False
        self.message_event.set()

    async def send(self, message: Any) -> None:
        """Send what the application says."""
        if message["type"] != "http.response.start":
            if not self._knows_chunks:  # Its end is that of the connection.
                self.expected_content_length = len(message.get("body", b""))
            await super().send(message)
            return
        if not self._knows_chunks:
            message = {**message, "headers": _unchunked(message.get("headers", ()))}
        if self.more_body:
            self.is_early = True
            self.keep_alive = False
        await super().send(message)
        if self.is_early:
            # uvicorn would close at once, which resets a connection on which the body still comes, and the client
            # may never see the response (RFC 9112 section 9.6).
            self.keep_alive = True

    def refuse(self, refusal: Refusal) -> None:
        """Answer before the body is there, if nothing was said yet; the application hears that nobody waits."""
        if not self.response_started:
            self.transport.write(refused(refusal, self.default_headers))
        self.lost()
        self.response_complete = True

    def lost(self) -> None:
        """Its client has gone."""
        if not self.response_complete:
            self.disconnected = True
            self.message_event.set()


class Lane(LaneConnection, HttpToolsProtocol):
    """One connection: what `LaneConnection` leaves to uvicorn."""

    flow: Any

    def make_scope(self, target: dict[str, Any], version: str) -> Any:
        """The scope of the request whose head is here."""
        return target | {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "method": self.parser.get_method().decode("ascii"),
            "headers": self.headers,
            "state": self.app_state.copy(),
        }

    def make_cycle(self, scope: Any, *, keep_alive: bool) -> AsgiCycle:
        """The cycle of a request that the application answers."""
        return AsgiCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_application_response,
        )

    def send_400_response(self, msg: str) -> None:
        """What was read is no request, or what the parser called has failed, or wanted no more."""
        error = sys.exception()
        self.fail(error.__context__ if isinstance(error, HttpParserCallbackError) else None)

    @property
    def upgrades(self) -> bool:
        """Whether this request makes the connection a WebSocket."""
        return self.parser.should_upgrade() and self._should_upgrade()

    def _should_upgrade(self) -> bool:
        return self.may_upgrade and super()._should_upgrade()

    def handle_websocket_upgrade(self) -> None:
        """From here on it is no connection of HTTP."""
        self.forget_rest()
        super().handle_websocket_upgrade()


def lane_of(app: AsgiApp) -> type[Lane]:
    """The protocol class that serves `app`, for uvicorn's `http=`."""
    return type("TybaltLane", (Lane,), {"face": app})


class LaneServer(uvicorn.Server):
    """uvicorn, which drains the server before it closes connections, and ends with 0 when it was told to end."""

    def __init__(self, config: uvicorn.Config, app: AsgiApp) -> None:
        super().__init__(config)
        self._app = app
        self.is_worker = False
        """Whether another process watches over this one, and hears the signals of a terminal too."""
        self.ready: int | None = None
        """A pipe that is told when this serves."""
        self.parent: int | None = None
        """A pipe whose end says that the process which has started this one is gone."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        if self.ready is not None:
            with suppress(BrokenPipeError):  # Nobody waits for it, unless it takes the place of another.
                os.write(self.ready, b"1")
            os.close(self.ready)
            self.ready = None
        if self.parent is not None:
            asyncio.get_running_loop().add_reader(self.parent, self._orphaned)

    def _orphaned(self) -> None:
        assert self.parent is not None
        asyncio.get_running_loop().remove_reader(self.parent)
        self.should_exit = True

    def handle_exit(self, sig: int, frame: Any) -> None:
        """The first signal ends it well, the second at once."""
        if self.should_exit and not self.is_worker:
            os._exit(128 + sig)
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """What happens ten times a second."""
        if counter % 10 == 0:
            self._sweep(asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def _sweep(self, now: float) -> None:
        connections: tuple[Any, ...] = tuple(self.server_state.connections)
        for connection in connections:  # Of the lane, and WebSockets.
            connection.sweep(now)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept nobody, end what has no end, finish what was begun, then close.

        Connections get the server's grace to answer what they have begun to read, what runs without one the rest of
        it. What does not finish is stopped and answered, and all of that gets a moment to be read.
        """
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        service = self._app.service
        until = asyncio.get_running_loop().time() + service.server.grace
        self._end_connections()
        service.begin_end()
        await self._await_connections(LINGER)
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, Lane):
                connection.close_idle()
        await self._await_connections(service.server.grace)
        await service.drain(max(0.0, until - asyncio.get_running_loop().time()))
        await self._await_connections(PATIENCE)
        for connection in tuple(self.server_state.connections):
            connection.transport.abort()
        for task in tuple(self.server_state.tasks):
            task.cancel()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=PATIENCE)
        await self.lifespan.shutdown()

    def _end_connections(self) -> None:
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, Lane):  # The service ends WebSockets, when what they have asked is done.
                connection.shutdown()

    async def _await_connections(self, seconds: float) -> None:
        clock = asyncio.get_running_loop().time
        swept = clock()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.server_state.connections:  # uvicorn's set of connections tells nobody.
                    await asyncio.sleep(_LOOK)
                    if clock() - swept >= SWEEP:  # Nothing ticks any more, and the slow are slow at the end too.
                        swept = clock()
                        self._sweep(swept)


def _socket_class() -> type[asyncio.Protocol]:
    """uvicorn's protocol class for WebSockets, less patient with a client that does not answer, or read, at the end."""
    require_websockets()
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class LaneSocket(WebSocketsSansIOProtocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.close_timeout = PATIENCE

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.closing = Closing(transport)

        def sweep(self, now: float) -> None:
            self.closing.sweep(now)  # The time before is measured with pings.

    return LaneSocket


def lane_server(app: AsgiApp, **options: Any) -> LaneServer:
    """uvicorn with the lane for `app`, quiet but for errors; `options` are uvicorn's."""
    settings = app.service.settings
    config = uvicorn.Config(
        app,
        http=lane_of(app),
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level="error",  # Its warnings are about what anybody may send, without end.
        server_header=False,
        proxy_headers=False,
        ws=_socket_class() if settings.websocket else "none",
        ws_max_size=settings.max_body,
        # Compression costs memory for each connection, and tells those who read along what repeats.
        ws_per_message_deflate=False,
        **options,
    )
    return LaneServer(config, app)


def _unchunked(headers: Any) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name.lower() != b"transfer-encoding"]
