"""The events of one response: written to whoever reads it, and kept where it may be resumed.

A stream outlives its reader where it is resumable: what is said meanwhile goes to the event log alone, and the next
reader is told of it. Who says something is above (`exchanges`, `listening`, `legacy`); a sink is what a face makes of a
response (`asgi`, `lane`). Belongs to one event loop.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol
from weakref import WeakSet

from tybalt.protocol.event_log import Entry, EventLog
from tybalt.protocol.http_messages import HttpResponse
from tybalt.protocol.sse import KEEP_ALIVE, event, events

Headers = tuple[tuple[bytes, bytes], ...]

RETRY: Final = 1_000
"""Milliseconds after which a client shall come back to a stream that the server has let go."""


class Sink(Protocol):
    """Where one response goes: `respond` alone, or `begin`, any number of `send`, and `end`. Nothing of it waits."""

    def respond(self, response: HttpResponse) -> None:
        """Send a whole response."""
        ...

    def begin(self, headers: Headers) -> None:
        """Begin a stream, with status 200."""
        ...

    def send(self, data: bytes) -> None:
        """Send a piece of the stream."""
        ...

    def end(self) -> None:
        """End the stream."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether what was sent waits because the peer does not read."""
        ...

    async def drained(self) -> None:
        """Wait until it does not; returns too when the peer has gone."""
        ...


class Keeper:
    """One stream of an event log: gives each event an id, and keeps it for a client that comes back."""

    def __init__(
        self,
        log: EventLog,
        name: str,
        owner: str,
        principal: str | None,
        clock: Callable[[], float],
        *,
        primes: bool,
        closed: Callable[[], object],
    ) -> None:
        self.name = name
        self._closed = closed
        self._log = log
        self._clock = clock
        self._primes = primes
        log.open(name, owner, principal)

    def first(self) -> bytes:
        """What a stream begins with: an id to resume at before there is any message (2025-11-25 basic/transports)."""
        if not self._primes:
            return b""
        return event(b"", id=self._log.prime(self.name), retry=RETRY)

    def append(self, message: bytes) -> str | None:
        """Keep an event that is about to be sent: its id, `None` where there is no room for it."""
        return self._log.append(self.name, message, self._clock())

    def close(self) -> None:
        """Nothing more will come."""
        self._log.close(self.name, self._clock())
        self._closed()


class Stream:
    """A stream of events, which has one reader at a time.

    Until the first one is there, what is said waits for it; later, what is said without a reader is only kept.
    """

    __slots__ = (
        "__weakref__",
        "_flushing",
        "_held",
        "_is_let_go",
        "_keeper",
        "_sink",
        "_waiting",
        "headers",
        "is_over",
    )

    def __init__(self, headers: Headers, keeper: Keeper | None = None) -> None:
        self.headers = headers
        self.is_over = False
        self._keeper = keeper
        self._sink: Sink | None = None
        self._waiting: list[bytes] | None = [keeper.first()] if keeper is not None else []
        self._held: dict[bytes, None] = {}
        self._is_let_go = False
        self._flushing: asyncio.Task[None] | None = None

    @property
    def is_read(self) -> bool:
        """Whether somebody reads it now."""
        return self._sink is not None

    @property
    def blocked(self) -> bool:
        """Whether its reader does not read."""
        return self._sink is not None and self._sink.blocked

    async def drained(self) -> None:
        """Wait until its reader reads."""
        if self._sink is not None:
            await self._sink.drained()

    def say(self, message: bytes) -> None:
        """Send a message as an event. After the end it goes nowhere."""
        if self.is_over:
            return
        identifier = None if self._keeper is None else self._keeper.append(message)
        if self._sink is not None:
            self._sink.send(event(message, id=identifier))
        elif self._waiting is not None:
            self._waiting.append(event(message, id=identifier))

    def announce(self, message: bytes) -> None:
        """`say` what says nothing new when it is said twice: while its reader does not read, once is enough."""
        if not (self.blocked or self._held):
            self.say(message)
            return
        self._held[message] = None
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def attach(self, sink: Sink, missed: Iterable[Entry] = ()) -> None:
        """Let it be read from now on, after what its reader has `missed`; whoever read it before reads no more."""
        if self._sink is not None:
            self._sink.end()
        sink.begin(self.headers)
        told = b"".join(self._waiting or ()) + events(missed)
        self._waiting = None
        if told:
            sink.send(told)
        if self.is_over or self._is_let_go:
            self._is_let_go = False
            sink.end()
        else:
            self._sink = sink

    def detach(self, sink: Sink) -> None:
        """Its reader has gone."""
        if self._sink is sink:
            self._sink = None
        self._waiting = None

    def let_go(self) -> None:
        """End the response, and not the stream: the client comes back for the rest, where it can be resumed."""
        if self._keeper is None:
            return
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.end()
        else:
            self._is_let_go = self._waiting is not None  # Its first reader is about to come.

    def keep_alive(self) -> None:
        """Say nothing, so that nobody between takes the stream for idle."""
        if self._sink is not None and not self._sink.blocked:
            self._sink.send(KEEP_ALIVE)

    def close(self) -> None:
        """Nothing more comes."""
        if self.is_over:
            return
        self._tell_held()
        self.is_over = True
        if self._flushing is not None:
            self._flushing.cancel()
        if self._keeper is not None:
            self._keeper.close()
        if self._sink is not None:
            sink, self._sink = self._sink, None
            sink.end()

    async def _flush(self) -> None:
        try:
            while self._held and not self.is_over:
                await self.drained()
                self._tell_held()
        finally:
            self._flushing = None

    def _tell_held(self) -> None:
        held, self._held = self._held, {}
        for message in held:
            self.say(message)


class StreamOutput:
    """A session's output to a stream; while there is none, nobody listens."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream | None = None) -> None:
        self.stream = stream

    def write(self, *messages: bytes) -> None:
        """Say each."""
        if self.stream is not None:
            for message in messages:
                self.stream.say(message)

    def announce(self, *messages: bytes) -> None:
        """Say each, once where it has to wait."""
        if self.stream is not None:
            for message in messages:
                self.stream.announce(message)

    @property
    def blocked(self) -> bool:
        """Whether the client does not read."""
        return self.stream is not None and self.stream.blocked

    async def drained(self) -> None:
        """Wait until it does."""
        if self.stream is not None:
            await self.stream.drained()


class Streams:
    """The streams of an endpoint, for as long as somebody holds them."""

    def __init__(self) -> None:
        self._open: WeakSet[Stream] = WeakSet()

    def open(self, headers: Headers, keeper: Keeper | None = None) -> Stream:
        """A new one."""
        stream = Stream(headers, keeper)
        self._open.add(stream)
        return stream

    def keep_alive(self) -> None:
        """Keep them all from looking idle."""
        for stream in tuple(self._open):
            stream.keep_alive()
