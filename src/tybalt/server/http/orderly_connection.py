"""A connection that owes: it answers in the order in which requests came, and ends well.

What is read is the business of `lane_connection`, and how far that is a matter of `reading`. What is owed stands in
`_running` and `pipeline`; a refusal goes out when its turn comes, as the last. A connection that reads no further is
deaf: it says why, ends its side, and throws away what comes for a moment, since one that is closed with data unread is
reset, and its last response lost (RFC 9112 section 9.6).
"""

import asyncio
from typing import Any, Final

from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.cycle import refused
from tybalt.server.http.flow import Closing, LaneFlow
from tybalt.server.http.reading import Reading

MAX_TOLD: Final = 16
"""Connections beyond the most there may be that are told so when they ask; more of them are told at once."""


class OrderlyConnection(asyncio.Protocol):
    """One connection, for a class that has uvicorn's behind it too. `face` is the application it serves."""

    face: AsgiApp

    # uvicorn's, as they are: the first two are `None` at times, whatever it says.
    parser: Any
    cycle: Any
    transport: Any
    flow: Any
    pipeline: Any
    loop: asyncio.AbstractEventLoop
    connections: set[Any]
    server_state: Any
    _start_asgi_task: Any

    # -- coming and going ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Somebody has come: whether there is room is settled now, and not by who comes later."""
        super().connection_made(transport)
        self.flow = LaneFlow(transport)
        self.reading = Reading(self.loop.time())
        self._settings = self.face.service.settings
        self._current: Any = None
        """The cycle whose body is being read; `cycle` is that of the request that was read last."""
        self._running: Any = None
        """The cycle that is being answered."""
        self._refusal: Refusal | None = None
        """Why nothing more is read; where something is owed, this is owed last."""
        self._is_ending = False
        self._closing = Closing(transport)
        beyond = len(self.connections) - self._settings.max_connections
        self._is_full = beyond > 0
        if beyond > MAX_TOLD:
            self.reading.turn_deaf(self.loop.time())
            transport.write(refused(self._too_many, self.fields()))
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone: all that was begun hears of it, not the last alone."""
        for cycle in (self._running, *(each for each, _ in self.pipeline)):
            if cycle is not None:
                cycle.lost()
        self.pipeline.clear()
        super().connection_lost(exc)
        self._current = self._running = None

    # -- what is owed -------------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """A response was sent: the next request, if it is here already."""
        self.server_state.total_requests += 1
        reading = self.reading
        if reading.stage == "idle" and not self.pipeline:
            reading.since = self.loop.time()
        elif self.pipeline or not reading.is_open:
            self._go_on()
        if self.flow.read_paused:
            self.flow.resume_reading()

    def _go_on(self) -> None:
        if self.transport.is_closing():
            return
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._running = cycle
            self._start_asgi_task(cycle, app)
        else:
            self._end()

    def on_application_response(self) -> None:
        """As `on_response_complete`; but one that began before the body was whole has said that it is the last."""
        if self._running.is_early and self.reading.is_open:
            self._current = None
            self.pipeline.clear()
            self.reading.turn_deaf(self.loop.time())
        self.on_response_complete()

    def refuse(self, refusal: Refusal) -> None:
        """Answer what is being read with this, when it is its turn, and read no more."""
        if not self.reading.is_open or self.transport.is_closing():
            return
        current, self._current = self._current, None
        self.reading.turn_deaf(self.loop.time())
        if current is not None and current is self._running:
            current.refuse(refusal)
            self._part()
            return
        if current is not None:
            self.pipeline.popleft()
        self._refusal = refusal
        if not self._is_busy:
            self._end()

    def _end(self) -> None:
        """Nothing more is owed but a refusal, if that."""
        if self._refusal is not None:
            self.transport.write(refused(self._refusal, self.fields()))
        if self.reading.stage == "ended":
            self.transport.close()
        else:
            self.reading.turn_deaf(self.loop.time())
            self._part()

    def _part(self) -> None:
        """Let the client see that this was all, and read on until it ends its side too."""
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    @property
    def _is_busy(self) -> bool:
        """Whether an answer is owed, be it to the request that is being read."""
        running = self._running
        return running is not None and not running.response_complete

    # -- time ---------------------------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """End the connection if it is too slow; called about once a second."""
        if self._closing.sweep(now):
            return
        if self.flow.is_stuck(now, self._settings.idle_timeout):
            self.transport.abort()  # Whatever it is owed would wait for ever.
            return
        reading = self.reading
        if reading.is_begun and self.flow.is_client_waiting:
            reading.since = now
            return
        limit = reading.limit(self._settings, owes=self._is_busy)
        if limit is None or now - reading.since < limit:
            return
        if reading.is_begun:
            self.refuse(plain(408, f"the {reading.stage} of the request did not come within {limit:g} s"))
        else:
            self.transport.close()

    def shutdown(self) -> None:
        """End when what was begun is answered, or what is on its way here now; `close_idle` ends those that wait."""
        self._is_ending = True
        if self._is_busy:
            self.cycle.keep_alive = False

    def close_idle(self) -> None:
        """End it, unless something was begun."""
        if not self._is_busy and not self.reading.is_begun:
            self.transport.close()

    def eof_received(self) -> Any:
        """The client sends no more; whether it gets what it is owed (RFC 9112 section 9.6).

        One that has gone looks the same. So what its going cancels, which is all that waits in modern, is cancelled;
        the application hears of it as it does under uvicorn; and what runs on in any case is answered.
        """
        running = self._running
        if not self._is_busy or not running.outlives_client or not self.transport.can_write_eof():
            return False
        self.reading.stage = "ended"
        if self._current is not None:  # It never becomes whole.
            self._current = None
            self.pipeline.popleft()
        return True

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What goes with every response: the date."""
        return self.server_state.default_headers

    @property
    def _too_many(self) -> Refusal:
        text = f"{self._settings.max_connections:,} connections are open, which is the most this server holds"
        return plain(503, text, (b"retry-after", b"1"))
