"""One connection of the lane: what comes before uvicorn's HTTP protocol class, and answers calls in the read callback.

A POST to the endpoint needs no scope, no task and no event when its answer is ready at once. Everything else goes the
way of uvicorn's own class, and so does everything where an ASGI application stands around ours, for it may be what
checks who is asking. Its duties for either: time limits of the head, of the body and between requests, pipelining,
`Expect: 100-continue`, HTTP/1.0, the bound on connections, flow control, and the end. What it owes, and how it ends, is
a matter of `orderly_connection`, what stands before others of `slices`.
"""

import logging
from abc import ABC, abstractmethod
from typing import Any, Final, NoReturn

from tybalt.protocol.admission import too_large
from tybalt.protocol.http_messages import fields_of
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.statuses import ANSWER_HEADERS, status_of_answer
from tybalt.server.http.cycle import LaneCycle, head_of
from tybalt.server.http.door import Entry
from tybalt.server.http.endpoint import Endpoint
from tybalt.server.http.orderly_connection import OrderlyConnection
from tybalt.server.http.reading import CLEAN
from tybalt.server.http.slices import SLICE, Slices
from tybalt.server.http.targets import NO_TARGET, path_scope, split_absolute

logger = logging.getLogger("tybalt.server")

MAX_PIPELINED: Final = 16
"""Requests of one connection that may wait for the one before."""
MAX_WAITING: Final = 64 * 1024
"""Bytes of a body that may wait for the request before: to wait with reading would be not to hear the client go."""

_NO_REQUEST: Final = plain(400, "this is no HTTP request")


class _Stop(Exception):
    """What is called by the parser wants it to stop."""


class LaneConnection(OrderlyConnection, ABC):
    """One connection, for a class that has uvicorn's behind it, and makes the cycles of applications: see `lane`."""

    json_head: tuple[list[tuple[bytes, bytes]], bytes] | None = None

    # uvicorn's.
    app: Any
    scope: Any
    root_path: str
    url: bytes
    headers: list[tuple[bytes, bytes]]
    expect_100_continue: bool

    @abstractmethod
    def make_scope(self, target: dict[str, Any], version: str) -> Any:
        """The scope of the request whose head is here."""
        ...

    @abstractmethod
    def make_cycle(self, scope: Any, *, keep_alive: bool) -> Any:
        """The cycle of a request that the application answers."""
        ...

    @property
    @abstractmethod
    def upgrades(self) -> bool:
        """Whether this request makes the connection a WebSocket."""
        ...

    def connection_made(self, transport: Any) -> None:
        """Somebody has come."""
        super().connection_made(transport)
        settings = self._settings
        # Who verifies tokens may have to wait for it, and whoever stands before us may have changed the path.
        is_on = settings.verifier is None and not self.root_path and self.app is self.face
        self._path = settings.path.encode() if is_on else None
        self._slices = Slices(self.loop, self.flow, self._read_slice)
        self._is_trailing = False
        self._entered: Entry | None = None
        """The request that was read last, if the same head may be let in again."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._slices.drop()
        super().connection_lost(exc)

    @property
    def may_upgrade(self) -> bool:
        """Whether this may become a WebSocket: not while another request is being answered on it, or its answer read.

        A WebSocket would not hear that it was, and its connection would never be read again.
        """
        return not self._is_busy and not self._is_full and not self.flow.write_paused

    def forget_rest(self) -> None:
        """What has come and is not parsed is nobody's."""
        self._slices.drop()

    # -- reading ------------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read requests; those of the lane are answered before this returns, where they can be.

        A client says the same head again and again. One that was read, checked and let in needs no second look.
        """
        reading, running = self.reading, self._running
        is_first = reading.stage in CLEAN and (running is None or running.response_complete)
        if is_first and not self._is_ending and not self.flow.read_paused:
            endpoint = self.face.service.endpoint
            if endpoint is not None:
                end = data.find(b"\r\n\r\n") + 4
                known = endpoint.heads.get(data[:end])
                if known is not None and known[1] == len(data) and not self._is_full:
                    self._run_known(endpoint, known[0], data[end:])
                    return
        if not reading.is_open:
            return
        if self._slices or len(data) > SLICE:
            self._slices.add(data)
            return
        self._read(data)
        if is_first and self._entered is not None:
            self._remember(data, self._entered)

    def _run_known(self, endpoint: Endpoint, entry: Entry, body: bytes) -> None:
        self.reading.stage = "idle"
        found = endpoint.answer(entry, body)
        if type(found) is bytes and not entry.headers and status_of_answer(found, entry.admitted.era) == 200:
            self.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (self._json_head(), len(found), found))
            self.on_response_complete()
            return
        self.cycle = self._running = cycle = LaneCycle(self, endpoint, [], "1.1", keep_alive=True)
        cycle.answer(entry, found)

    def _json_head(self) -> bytes:
        """What stands before the length of a JSON answer; the date in it changes each second."""
        fields = self.server_state.default_headers
        lane = type(self)
        if lane.json_head is None or lane.json_head[0] is not fields:
            lane.json_head = fields, head_of(200, fields, ANSWER_HEADERS)[:-2]
        return lane.json_head[1]

    def _remember(self, data: bytes, entry: Entry) -> None:
        """What came was one whole request: the next with the same head is let in like it."""
        endpoint = self.face.service.endpoint
        length = entry.admitted.fields.get(b"content-length", b"")
        head = data[: data.find(b"\r\n\r\n") + 4]
        if endpoint is not None and length.isdigit() and len(head) + int(length) == len(data):
            endpoint.remember(head, entry, len(data))

    def _read_slice(self, data: bytes) -> bool:
        if self.reading.is_open and self.parser is not None:
            self._read(data)
        return self.reading.is_open and self.parser is not None

    def _read(self, data: bytes) -> None:
        self._entered = None
        self.reading.feed(len(data))
        super().data_received(data)
        excess = self.reading.excess
        if excess is not None:
            self.refuse(excess)
            return
        current = self._current
        if type(current) is LaneCycle and not current.is_checked:
            self._check_head(current)

    def resume_writing(self) -> None:
        """What was written was read."""
        self.flow.resume_writing()
        self._slices.go_on()

    # -- what the parser finds ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._is_trailing = False
        self.reading.begin(self.loop.time())

    def on_url(self, url: bytes) -> None:
        """A piece of its target."""
        self.url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its header fields."""
        if not self._is_trailing:  # What comes behind a body says nothing about who sent it.
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))
        self._count(len(name) + len(value) + 4)

    def on_headers_complete(self) -> None:
        """Whose it is: the lane's, or the application's."""
        if self.transport.is_closing():
            return  # It came behind the last that is answered.
        self._is_trailing = True
        version = self.parser.get_http_version()
        if version != "1.1":
            self.expect_100_continue = False  # RFC 9110 section 10.1.1.
        self._check_room()
        if self.url[:1] != b"/" and self.url != b"*":
            self._take_authority()
        endpoint = self.face.service.endpoint
        keep_alive = version == "1.1" and self.parser.should_keep_alive() and not self._is_ending
        if (
            self.url == self._path
            and endpoint is not None
            and self.parser.get_method() == b"POST"
            and not self.parser.should_upgrade()
            and not self._is_busy
            and not self.flow.write_paused
        ):
            request = LaneCycle(self, endpoint, self.headers, version, keep_alive=keep_alive)
            self.cycle = self._current = self._running = request
        else:
            self._call_application(version, keep_alive=keep_alive)
        self.reading.begin_body(self.loop.time())

    def on_body(self, body: bytes) -> None:
        """A piece of its body."""
        current = self._current
        size = self.reading.take(len(body))
        if current is None:
            return
        if type(current) is LaneCycle:
            if size > current.endpoint.policy.max_body:
                self._stop(too_large(current.endpoint.policy))
        elif current is not self._running and size > MAX_WAITING:
            self._stop(plain(503, f"a body that waits for the request before it has at most {MAX_WAITING:,} bytes"))
        current.take(body)

    def on_message_complete(self) -> None:
        """It is whole."""
        self.reading.end()
        current = self._current
        if type(current) is LaneCycle:
            self._entered = current.run()
        elif current is not None:
            current.end()
        self._current = None

    def _count(self, size: int) -> None:
        refusal = self.reading.take_field(size, len(self.headers))
        if refusal is not None:
            self._stop(refusal)

    def _check_room(self) -> None:
        if self._is_full:
            self._stop(self._too_many)
        if len(self.pipeline) >= MAX_PIPELINED:
            self._stop(plain(503, f"at most {MAX_PIPELINED} requests may wait for the one before"))
        if self.parser.should_upgrade() and self._has_body:
            # The parser would take the body for the next request, or upgrade nothing when it is over.
            self._stop(plain(400, "a request with a body upgrades nothing here: send it without `Upgrade`"))

    def _take_authority(self) -> None:
        found = split_absolute(self.url)
        if found is None:
            self._stop(NO_TARGET)
        authority, self.url = found
        self.headers = [(name, authority if name == b"host" else value) for name, value in self.headers]

    def _call_application(self, version: str, *, keep_alive: bool) -> None:
        """Let the application answer it, once nothing else is owed."""
        target = path_scope(self.url, self.root_path)
        if target is None:
            self._stop(NO_TARGET)
        self.scope = self.make_scope(target, version)
        if self.upgrades:
            return
        cycle = self.make_cycle(self.scope, keep_alive=keep_alive and not self._upgrades_to_nothing)
        if self._is_busy:
            self.pipeline.appendleft((cycle, self.app))  # How many may wait is bounded, so it goes on reading.
        else:
            self._running = cycle
            self._start_asgi_task(cycle, self.app)
        self.cycle = self._current = cycle

    def _check_head(self, request: LaneCycle) -> None:
        """The body is still to come: whether it is to be read at all."""
        request.is_checked = True
        endpoint = request.endpoint
        head = request.message(b"")
        found = endpoint.admit_head(head)
        if found is None and endpoint.door.is_locked:
            verdict = endpoint.door.knock(fields_of(head.headers)[0])
            found = verdict if isinstance(verdict, Refusal) else None
        if isinstance(found, Refusal):
            self.refuse(found)
        elif self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # -- what cannot be read further ----------------------------------------------------------------------------------

    def _stop(self, refusal: Refusal) -> NoReturn:
        """For what the parser calls: read no further. `fail` is called then."""
        self._refusal = refusal
        raise _Stop(str(refusal.error))

    def fail(self, fault: BaseException | None) -> None:
        """What was read is no request, or nobody reads it further; or this has failed in what the parser calls."""
        refusal = self._refusal
        if refusal is None and fault is not None:
            logger.error("a request could not be read", exc_info=fault)
            refusal = plain(500, "Internal error; the server's log has it")
        self.refuse(refusal or _NO_REQUEST)

    @property
    def _upgrades_to_nothing(self) -> bool:
        return self.parser.should_upgrade() and not self.upgrades

    @property
    def _has_body(self) -> bool:
        fields = dict(self.headers)
        return fields.get(b"content-length", b"0").strip() != b"0" or b"transfer-encoding" in fields
