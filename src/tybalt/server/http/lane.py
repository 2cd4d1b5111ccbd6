"""The lane: uvicorn's HTTP protocol class, which answers calls in the read callback; and uvicorn, ending well.

A POST to the endpoint needs no scope, no task and no event when its answer is ready at once. Everything else goes the
way of uvicorn's own class, and so does everything where an ASGI application stands around ours, for it may be what
checks who is asking. Its duties for either: time limits of the head, of the body and between requests, pipelining,
`Expect: 100-continue`, HTTP/1.0, the bound on connections, flow control, and the end. uvicorn is known here alone, in
the range that `pyproject.toml` names; tests/server/http/test_lane.py holds what is relied on.
"""

import asyncio
import logging
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NoReturn

import uvicorn
from httptools import HttpParserError, parse_url
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tybalt.protocol.admission import too_large
from tybalt.protocol.http_messages import fields_of
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.statuses import JSON_HEADERS, status_of_answer
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.cycle import CLOSE, LaneCycle, head_of
from tybalt.server.http.door import Entry
from tybalt.server.http.endpoint import Endpoint
from tybalt.server.http.websocket import require_websockets

logger = logging.getLogger("tybalt.server")

MAX_HEAD: Final = 64 * 1024
"""Bytes that the head of a request may have: its target and its header fields."""
MAX_FIELDS: Final = 100
"""Header fields of one request."""
PATIENCE: Final = 1.0
"""Seconds that connections get to end after the last response was sent."""


def lane_of(app: AsgiApp) -> type[HttpToolsProtocol]:
    """The protocol class that serves `app`, for uvicorn's `http=`."""
    return type("TybaltLane", (Lane,), {"face": app})


class Lane(HttpToolsProtocol):
    """One connection. `face` is the application of the class, see `lane_of`."""

    face: AsgiApp
    json_head: tuple[list[tuple[bytes, bytes]], bytes] | None = None

    # As they are: both are `None` at times, whatever uvicorn says.
    parser: Any
    cycle: Any
    app: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        settings = self.face.service.settings
        # Who verifies tokens may have to wait for it, and whoever stands before us may have changed the path.
        is_on = settings.verifier is None and not self.root_path and self.app is self.face
        self._path = settings.path.encode() if is_on else None
        self._settings = settings
        self._request: LaneCycle | None = None
        self._head = 0
        self._refusal: Refusal | None = None
        self._is_ending = False
        self._is_clean = True
        """Whether what comes next is the first byte of a request."""
        self._entered: Entry | None = None
        """The request that was read last, if the same head may be let in again."""
        self._stage = "head"
        self._since = self.loop.time()

    # -- reading ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read requests; those of the lane are answered before this returns, where they can be.

        A client says the same head again and again. One that was read, checked and let in needs no second look.
        """
        is_first = self._is_clean and not self._is_busy
        if is_first and not self._is_ending:
            endpoint = self.face.service.endpoint
            if endpoint is not None:
                end = data.find(b"\r\n\r\n") + 4
                known = endpoint.heads.get(data[:end])
                if known is not None and known[1] == len(data) and not self._is_full:
                    self._run_known(endpoint, known[0], data[end:])
                    return
        super().data_received(data)
        request = self._request
        if request is not None:
            if not request.is_checked and not request.response_complete:
                self._check_head(request)
        elif is_first and self._entered is not None:
            self._remember(data, self._entered)
        self._entered = None

    def _run_known(self, endpoint: Endpoint, entry: Entry, body: bytes) -> None:
        found = endpoint.answer(entry, body)
        if type(found) is bytes and not entry.headers and status_of_answer(found, entry.admitted.era) == 200:
            self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (self._json_head(), len(found), found))
            self.on_response_complete()
            return
        self.cycle = cycle = LaneCycle(self, endpoint, [], b"", "1.1", keep_alive=True)
        cycle.answer(entry, found)

    def _remember(self, data: bytes, entry: Entry) -> None:
        """What came was one whole request: the next with the same head is let in like it."""
        endpoint = self.face.service.endpoint
        length = entry.admitted.fields.get(b"content-length", b"")
        head = data[: data.find(b"\r\n\r\n") + 4]
        if endpoint is not None and length.isdigit() and len(head) + int(length) == len(data):
            endpoint.remember(head, entry, len(data))

    def _json_head(self) -> bytes:
        """What stands before the length of a JSON answer; the date in it changes each second."""
        fields = self.server_state.default_headers
        lane = type(self)
        if lane.json_head is None or lane.json_head[0] is not fields:
            lane.json_head = fields, head_of(200, fields, JSON_HEADERS)[:-2]
        return lane.json_head[1]

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head = 0
        self._stage = "head"
        self._is_clean = False
        self._since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its header fields."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Whose it is: the lane's, or the application's."""
        self._stage = "body"
        if self._is_full:
            text = f"{self._settings.max_connections:,} connections are open, which is the most this server holds"
            self._refuse_head(plain(503, text, (b"retry-after", b"1")))
        authority = b""
        path = self.url
        if path[:1] != b"/" and path != b"*":
            authority, path = _target(path)
        endpoint = self.face.service.endpoint
        if (
            path == self._path
            and endpoint is not None
            and self.parser.get_method() == b"POST"
            and not self.parser.should_upgrade()
            and not self._is_busy
        ):
            version = self.parser.get_http_version()
            keep_alive = version != "1.0" and self.parser.should_keep_alive() and not self._is_ending
            request = LaneCycle(self, endpoint, self.headers, authority, version, keep_alive=keep_alive)
            self.cycle = self._request = request
            return
        self._request = None
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        super().on_headers_complete()
        if self._is_ending and self.cycle is not None:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        request = self._request
        if request is None:
            super().on_body(body)
        elif not request.response_complete:
            request.size += len(body)
            if request.size > request.endpoint.policy.max_body:
                self.refuse(request, too_large(request.endpoint.policy))
            else:
                request.pieces.append(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self._stage = "idle"
        self._is_clean = True
        request, self._request = self._request, None
        if request is None:
            super().on_message_complete()
        elif request.response_complete:
            self.transport.close()  # It was refused on the way, and is read to its end now.
        else:
            self._entered = request.run()

    def _check_head(self, request: "LaneCycle") -> None:
        """The body is still to come: whether it is to be read at all."""
        request.is_checked = True
        endpoint = request.endpoint
        head = request.message(b"")
        refused = endpoint.admit_head(head)
        if refused is None and endpoint.door.is_locked:
            verdict = endpoint.door.knock(fields_of(head.headers)[0])
            refused = verdict if isinstance(verdict, Refusal) else None
        if isinstance(refused, Refusal):
            self.refuse(request, refused)
        elif self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def refuse(self, request: "LaneCycle", refusal: Refusal) -> None:
        """Answer before the body is there; what comes of it is thrown away, and the connection ends after it."""
        request.keep_alive = False
        request.send_response(request.endpoint.refuse(refusal, request.message(b"")))
        request.response_complete = True
        request.pieces.clear()
        self._since = self.loop.time()
        self._stage = "refused"

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD or len(self.headers) > MAX_FIELDS:
            text = f"the head of a request has at most {MAX_HEAD:,} bytes and {MAX_FIELDS} header fields"
            self._refuse_head(plain(431, text))

    def _refuse_head(self, refusal: Refusal) -> NoReturn:
        """Read no further: uvicorn asks for `send_400_response` then."""
        self._refusal = refusal
        raise HttpParserError(str(refusal.error))

    def send_400_response(self, msg: str) -> None:
        """What was read is no request, or one that nobody reads further."""
        refusal = self._refusal or plain(400, "this is no HTTP request")
        response = refusal.response(datetime.now(UTC))
        self.transport.write(head_of(response.status, self.fields(), response.headers, CLOSE) + response.body)
        self.transport.close()

    # -- time ---------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """End the connection if it is too slow; called about once a second."""
        limit = self._limit()
        if limit is None or now - self._since < limit or self.transport.is_closing():
            return
        if self._stage in ("head", "body") and (self._stage == "body" or self._head):
            text = f"the {self._stage} of the request did not come within {limit:g} s"
            response = plain(408, text).response(datetime.now(UTC))
            self.transport.write(head_of(408, self.fields(), response.headers, CLOSE) + response.body)
        self.transport.close()

    def _limit(self) -> float | None:
        settings = self._settings
        if self._stage == "head":
            return settings.header_timeout
        if self._stage == "body":
            return settings.body_timeout if self._request is not None else None
        if self._stage == "refused":
            return PATIENCE
        if self.cycle is not None and not self.cycle.response_complete:
            return None
        return settings.idle_timeout

    def shutdown(self) -> None:
        """End when what was begun is answered; at once, where that is nothing."""
        self._is_ending = True
        begun = self._stage in ("head", "body") and self._head > 0
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not begun:
            self.transport.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """A response was sent: the next request, if it is here already."""
        self.server_state.total_requests += 1
        self._since = self.loop.time()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        if isinstance(self.cycle, LaneCycle):
            self.cycle.lost()
        super().connection_lost(exc)
        self._request = None

    def _should_upgrade(self) -> bool:
        """Whether this request may make the connection a WebSocket: not while another is being answered on it."""
        return not self._is_busy and not self._is_full and super()._should_upgrade()

    @property
    def _is_busy(self) -> bool:
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def _is_full(self) -> bool:
        return len(self.connections) > self._settings.max_connections

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What goes with every response: the date."""
        return self.server_state.default_headers

    @property
    def is_ending(self) -> bool:
        """Whether no request is to follow."""
        return self._is_ending


def _target(url: bytes) -> tuple[bytes, bytes]:
    """The authority and the path of an absolute target (RFC 9112 section 3.2.2)."""
    try:
        parsed = parse_url(url)
    except HttpParserError:
        return b"", url
    host: bytes = parsed.host or b""
    port: Any = parsed.port
    if b":" in host:
        host = b"[%b]" % host
    return (b"%b:%d" % (host, port) if port else host), parsed.path or b"/"


class LaneServer(uvicorn.Server):
    """uvicorn, which drains the server before it closes connections, and ends with 0 when it was told to end."""

    def __init__(self, config: uvicorn.Config, app: AsgiApp) -> None:
        super().__init__(config)
        self._app = app
        self.parent: int | None = None
        """A pipe whose end says that the process which has started this one is gone."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        if self.parent is not None:
            asyncio.get_running_loop().add_reader(self.parent, self._orphaned)

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self.parent or 0)
        self.should_exit = True

    def handle_exit(self, sig: int, frame: Any) -> None:
        """The first signal ends it well, the second at once."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        """What happens ten times a second."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in tuple(self.server_state.connections):
                if isinstance(connection, Lane):  # The time of a WebSocket is measured with pings.
                    connection.sweep(now)
        return await super().on_tick(counter)

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
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.server_state.connections:  # noqa: ASYNC110 (uvicorn's set of connections tells nobody)
                    await asyncio.sleep(0.02)


def _socket_class() -> type[asyncio.Protocol]:
    """uvicorn's protocol class for WebSockets, less patient with a client that does not answer when it is closed."""
    require_websockets()
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class LaneSocket(WebSocketsSansIOProtocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.close_timeout = PATIENCE

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
        server_header=False,
        proxy_headers=False,
        ws=_socket_class() if settings.websocket else "none",
        ws_max_size=settings.max_body,
        # Compression costs memory for each connection, and tells those who read along what repeats.
        ws_per_message_deflate=False,
        **options,
    )
    return LaneServer(config, app)
