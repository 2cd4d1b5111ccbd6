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
from tybalt.protocol.statuses import ANSWER_HEADERS, status_of_answer
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
MAX_PIPELINED: Final = 16
"""Requests of one connection that may wait for the one before."""
LONGEST_CODING: Final = 8
"""How many times larger than the largest body its chunks may be, with what they say about each."""
UNREAD_TIMEOUT: Final = 5.0
"""Seconds after which a connection that was closed is cut, though what was written last has not been read."""
LINGER: Final = 0.5
"""Seconds that connections which wait for a request get at the end: one may be on its way, and is answered."""
PATIENCE: Final = 1.0
"""Seconds that connections get to end after the last response was sent."""


_LONG_HEAD: Final = f"the head of a request has at most {MAX_HEAD:,} bytes and {MAX_FIELDS} header fields"


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
        self._is_full = False
        self._is_deaf = False
        """Whether nothing more is read: what came cannot be understood."""
        self._is_trailing = False
        self._raw = 0
        self._closing_since: float | None = None
        self._running: Any = None
        """The cycle that is being answered; `cycle` is that of the request that was read last."""
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
        if self._is_deaf:
            return
        is_first = self._is_clean and not self._is_busy
        if is_first and not self._is_ending and not self.flow.write_paused:
            endpoint = self.face.service.endpoint
            if endpoint is not None:
                end = data.find(b"\r\n\r\n") + 4
                known = endpoint.heads.get(data[:end])
                if known is not None and known[1] == len(data) and not self._is_full:
                    self._run_known(endpoint, known[0], data[end:])
                    return
        self._raw = -1 if is_first else self._raw
        super().data_received(data)
        if not self._is_clean:
            self._count_raw(len(data))
        request = self._request
        if request is not None:
            if not request.is_checked and not request.response_complete:
                self._check_head(request)
        elif is_first and self._entered is not None:
            self._remember(data, self._entered)
        self._entered = None

    def _count_raw(self, size: int) -> None:
        """Bound what the parser holds back, such as a field without an end, or throws away, such as what chunks say."""
        self._raw = 0 if self._raw < 0 else self._raw + size  # With the first piece something else may have come.
        if self._stage == "head" and self._raw > MAX_HEAD:
            self._refusal = plain(431, _LONG_HEAD)
        elif self._stage == "body" and self._raw > MAX_HEAD + LONGEST_CODING * self._settings.max_body:
            self._refusal = plain(413, "the body is sent in pieces far smaller than what is said about each")
        else:
            return
        self.send_400_response("")

    def _run_known(self, endpoint: Endpoint, entry: Entry, body: bytes) -> None:
        self._stage = "idle"
        found = endpoint.answer(entry, body)
        if type(found) is bytes and not entry.headers and status_of_answer(found, entry.admitted.era) == 200:
            self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (self._json_head(), len(found), found))
            self.on_response_complete()
            return
        self.cycle = self._running = cycle = LaneCycle(self, endpoint, [], b"", "1.1", keep_alive=True)
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
            lane.json_head = fields, head_of(200, fields, ANSWER_HEADERS)[:-2]
        return lane.json_head[1]

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._head = 0
        self._is_trailing = False
        self._stage = "head"
        self._is_clean = False
        self._since = self.loop.time()

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its header fields."""
        if self._is_trailing:  # What comes behind a body says nothing about who sent it.
            self._count(len(name) + len(value) + 4)
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Whose it is: the lane's, or the application's."""
        self._stage = "body"
        self._is_trailing = True
        if self._is_full:
            text = f"{self._settings.max_connections:,} connections are open, which is the most this server holds"
            self._refuse_head(plain(503, text, (b"retry-after", b"1")))
        if len(self.pipeline) >= MAX_PIPELINED:
            self._refuse_head(plain(503, f"at most {MAX_PIPELINED} requests may wait for the one before"))
        upgrades = self.parser.should_upgrade() and not self._should_upgrade()
        if upgrades and self._has_body:
            # The parser would take the body for the next request.
            self._refuse_head(plain(400, "this connection is upgraded to nothing: send the request without `Upgrade`"))
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
            and not self.flow.write_paused
        ):
            version = self.parser.get_http_version()
            keep_alive = version != "1.0" and self.parser.should_keep_alive() and not self._is_ending
            request = LaneCycle(self, endpoint, self.headers, authority, version, keep_alive=keep_alive)
            self.cycle = self._request = self._running = request
            return
        self._request = None
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.headers, self.expect_100_continue = url, headers, expects
        self.scope["headers"] = headers
        was_busy = self._is_busy
        self._is_trailing = True
        super().on_headers_complete()
        if not was_busy:
            self._running = self.cycle
        elif not self.flow.write_paused:
            self.flow.resume_reading()  # Who is not read could go away unheard; how many may wait is bounded.
        if (self._is_ending or upgrades) and self.cycle is not None:
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
                request.take(body)

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
        request.body = b""
        self._since = self.loop.time()
        self._stage = "refused"

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD or len(self.headers) > MAX_FIELDS:
            self._refuse_head(plain(431, _LONG_HEAD))

    def _refuse_head(self, refusal: Refusal) -> NoReturn:
        """Read no further: uvicorn asks for `send_400_response` then."""
        self._refusal = refusal
        raise HttpParserError(str(refusal.error))

    def send_400_response(self, msg: str) -> None:
        """What was read is no request, or one that nobody reads further: no more is read of the connection.

        Where an answer is still to come, it comes first, and nothing but the end after it.
        """
        self._is_deaf = True
        self._request = None
        if self._is_busy:
            return  # It goes on reading, for a client may go away, and throws away what comes.
        refusal = self._refusal or plain(400, "this is no HTTP request")
        response = refusal.response(datetime.now(UTC))
        self.transport.write(head_of(response.status, self.fields(), response.headers, CLOSE) + response.body)
        self.transport.close()

    # -- time ---------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """End the connection if it is too slow; called about once a second."""
        if self.transport.is_closing():
            if self._closing_since is None:
                self._closing_since = now
            elif now - self._closing_since >= UNREAD_TIMEOUT:
                self.transport.abort()  # What was written is not read, and would be kept for ever.
            return
        limit = self._limit()
        if limit is None or now - self._since < limit:
            return
        if self._stage in ("head", "body") and (self._stage == "body" or self._head):
            text = f"the {self._stage} of the request did not come within {limit:g} s"
            response = plain(408, text).response(datetime.now(UTC))
            self.transport.write(head_of(408, self.fields(), response.headers, CLOSE) + response.body)
        self.transport.close()

    def _limit(self) -> float | None:
        settings = self._settings
        request = self._request
        if self._stage == "refused":
            return PATIENCE
        if self._is_busy and (request is None or request is not self._running):
            return None  # What comes behind a request that is being answered has time.
        if self._stage == "head":
            return settings.header_timeout
        if self._stage == "body":
            return settings.body_timeout if request is not None else None
        return settings.idle_timeout

    def shutdown(self) -> None:
        """End when what was begun is answered, or what is on its way here now; `close_idle` ends those that wait."""
        self._is_ending = True
        if self._is_busy:
            self.cycle.keep_alive = False

    def close_idle(self) -> None:
        """End it, unless something was begun."""
        begun = self._stage in ("head", "body") and self._head > 0
        if not self._is_busy and not begun:
            self.transport.close()

    # -- writing ------------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """A response was sent: the next request, if it is here already."""
        self.server_state.total_requests += 1
        self._since = self.loop.time()
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._running = cycle
            self._start_asgi_task(cycle, app)
        elif self._is_deaf:
            self.transport.close()
        if not self.flow.write_paused:
            self.flow.resume_reading()

    def pause_writing(self) -> None:
        """What was written waits to be read: who does not read is not read either."""
        super().pause_writing()
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        """It was read."""
        super().resume_writing()
        self.flow.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: all that was begun hears of it, not the last alone."""
        for cycle in (self._running, *(each for each, _ in self.pipeline)):
            if isinstance(cycle, LaneCycle):
                cycle.lost()
            elif cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)
        self._request = self._running = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Somebody has come: whether there is room is settled now, and not by who comes later."""
        super().connection_made(transport)
        self._is_full = len(self.connections) > self._settings.max_connections

    def _should_upgrade(self) -> bool:
        """Whether this request may make the connection a WebSocket: not while another is being answered on it."""
        return not self._is_busy and not self._is_full and super()._should_upgrade()

    @property
    def _is_busy(self) -> bool:
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete

    @property
    def _has_body(self) -> bool:
        fields = dict(self.headers)
        return fields.get(b"content-length", b"0").strip() != b"0" or b"transfer-encoding" in fields

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What goes with every response: the date."""
        return self.server_state.default_headers


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
