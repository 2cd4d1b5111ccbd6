"""The events of legacy streams, kept for a while, so that a client whose connection broke is told what it missed.

State in memory with explicit time: nothing here reads a clock, draws a random number or knows HTTP. Whoever drives the
streams names them, gives each event to the log before it writes it, and asks `after` when a client comes back with a
`Last-Event-ID`. A log for several processes is the same few methods over a shared store.

An event id is `stream.position`, where the stream's name brings 128 random bits. It is a cursor within one stream of
one owner: nothing is replayed to anybody else, nor from another stream, and what is not kept any more is said to be
gone, never passed over.

2025-11-25 basic/transports, "Resumability and Redelivery". 2026-07-28 has no such thing.
"""

import re
from collections import OrderedDict
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct

from tybalt.errors import MisuseError

RESUMES_SINCE: Final = "2025-03-26"
"""The revision from which streams can be resumed."""
PRIMES_SINCE: Final = "2025-11-25"
"""The revision from which a stream begins with an event without data, see `EventLog.prime`."""
MAX_EVENTS: Final = 100
"""Events of one stream."""
LIFETIME: Final = 3_600.0
"""Seconds."""
MAX_STREAMS: Final = 10_000
MAX_STREAM_BYTES: Final = 4 * 1024 * 1024
MAX_BYTES: Final = 64 * 1024 * 1024
EVENT_BYTES: Final = 200
"""What an event is counted for beside its data: as much as the objects take that hold it, rounded up."""
MAX_EVENT_ID: Final = 90
"""The longest event id, in characters."""

_STREAM: Final = re.compile(r"[A-Za-z0-9_-]{22,64}")


class Entry(NamedTuple):
    """An event to replay: its id and its data, in the order in which `sse.events` takes them."""

    id: str
    data: bytes


class Replay(Struct, frozen=True):
    """All that came after an event, in order. `ended`: nothing more will come on this stream; close it afterwards."""

    stream: str
    events: tuple[Entry, ...]
    ended: bool


class Evicted(Struct, frozen=True):
    """The stream is known and something that came after this event is gone: to replay the rest would hide a gap."""

    stream: str

    def __str__(self) -> str:
        return "Events after this Last-Event-ID are not kept any more. Ask again for what you were waiting for"


class Unknown(Struct, frozen=True):
    """No stream of this owner has this event: made up, of somebody else, or of a stream forgotten altogether."""

    def __str__(self) -> str:
        return "This Last-Event-ID is of no stream that can be resumed. Open a new one without it"


Resumption: TypeAlias = Replay | Evicted | Unknown


class EventLogStatistics(Struct, frozen=True):
    """What a log holds now, and what it has given up so far.

    `open` of the `streams` are not closed. `bytes` counts each event with `EVENT_BYTES`. `evicted` events had to make
    room before their time, `expired` ones had had it; those of streams that were forgotten are in neither.
    """

    streams: int
    open: int
    events: int
    bytes: int
    evicted: int
    expired: int


class EventLog:
    """Keeps the last events of each stream for those who own it.

    A stream keeps `max_events` (100), each for `lifetime` (3,600 s), and `max_stream_bytes` (4 MiB); what came first
    goes first. An event too large for that is gone at once. All together keep `max_bytes` (64 MiB): then the stream
    that has been without a new event for longest loses its first event, and so on. There are `max_streams` (10,000):
    for a new one a closed one goes, the first that was closed, and where none is closed the open one without a new
    event for longest. A stream that has gone is unknown; one that is there knows what it has lost.

    So that one principal cannot push out what is kept for the others, `shares` says into how many parts streams and
    bytes are divided, of which each principal may fill one: then its own go. By default one may have it all.

    `now` counts seconds, of any clock that does not go back. An event has expired when it is `lifetime` old; a closed
    stream goes that long after it was closed. An open one stays: after `open`, you must call `close` or `forget`.
    Only `expire` frees what nobody asks for: call it every minute or so; it takes time in proportion to the streams.

    One thread. Raises `MisuseError` for bounds that are not above 0.
    """

    def __init__(
        self,
        *,
        max_events: int = MAX_EVENTS,
        lifetime: float = LIFETIME,
        max_streams: int = MAX_STREAMS,
        max_stream_bytes: int = MAX_STREAM_BYTES,
        max_bytes: int = MAX_BYTES,
        shares: int = 1,
    ) -> None:
        bounds = (max_events, lifetime, max_streams, max_stream_bytes, max_bytes, shares)
        if min(bounds) <= 0:
            raise MisuseError(f"an event log has bounds above 0; got {', '.join(map(repr, bounds))}")
        self._max_events = max_events
        self._lifetime = lifetime
        self._max_streams = max_streams
        self._max_stream_bytes = max_stream_bytes
        self._max_bytes = max_bytes
        self._is_shared = shares > 1
        self._share_of_streams = max(1, max_streams // shares)
        self._share_of_bytes = max(1, max_bytes // shares)
        self._streams: dict[str, _Stream] = {}
        self._all = _Queue()
        self._queues: dict[str | None, _Queue] = {}
        """By principal, where there are shares."""
        self._owned: dict[str, set[str]] = {}
        self._evicted = 0
        self._expired = 0

    # -- what happens on a stream -----------------------------------------------------------------------------------

    def open(self, stream: str, owner: str, principal: str | None = None) -> None:
        """A stream begins. `stream` names it, with 128 random bits or more: `secrets.token_urlsafe(16)`.

        `owner` is who may resume it: session and principal together, such as `SessionClaims.key`. `principal` is whose
        share it takes of the room. Raises `MisuseError` for a name that was used before, or is not 22 to 64 letters,
        digits, `-` and `_`.
        """
        if not _STREAM.fullmatch(stream):
            raise MisuseError(f"a stream is named by secrets.token_urlsafe(16), got {stream[:64]!r}")
        if stream in self._streams:
            raise MisuseError("this stream is open already, or was: another one has another name")
        self._make_room(principal)
        queues = (self._queue_of(principal), self._all) if self._is_shared else (self._all,)
        self._streams[stream] = _Stream(stream, owner, principal, queues)
        for queue in queues:
            queue.open[stream] = None
        self._owned.setdefault(owner, set()).add(stream)

    def append(self, stream: str, data: bytes, now: float) -> str | None:
        """The id of an event that is about to be sent, or kept for a client that is not there.

        `None` where the stream is not kept any more: send the event without an id. Raises `MisuseError` for a stream
        that is closed.
        """
        found = self._appendable(stream)
        if found is None:
            return None
        found.position += 1
        for queue in found.queues:
            queue.open.move_to_end(stream)
        self._keep(found, _Event(found.position, data, now))
        return found.id

    def prime(self, stream: str) -> str | None:
        """The id of an event without data, which gives a client a place to resume at before there is any message.

        Nothing is kept for it, and it is not replayed. From 2025-11-25 on, it is the first event of a stream; older
        clients do not expect an event without data. `None` and `MisuseError` as for `append`.
        """
        found = self._appendable(stream)
        if found is None:
            return None
        found.position += 1
        return found.id

    def close(self, stream: str, now: float) -> None:
        """Nothing more will come on this stream; what came can be replayed as before. No effect on one not kept."""
        found = self._streams.get(stream)
        if found is not None and found.closed is None:
            found.closed = now
            for queue in found.queues:
                del queue.open[stream]
                queue.closed[stream] = None

    def forget(self, owner: str) -> None:
        """The session has ended: all its streams go, with all they hold."""
        for stream in tuple(self._owned.get(owner, ())):
            self._remove(stream)

    # -- what is asked ----------------------------------------------------------------------------------------------

    def after(self, last_event_id: str, owner: str, now: float) -> Resumption:
        """What came on its stream after the event with this id, whoever sent the id.

        `Replay` where all of it is there, even if the event itself is not; an open stream goes on after that.
        """
        found, position = self._place(last_event_id)
        if found is None or found.owner != owner or not 0 < position <= found.position:
            return Unknown()
        self._expire_events(found, now)
        if self._is_over(found, now):
            self._remove(found.name)
            return Unknown()
        if position < found.lost:
            return Evicted(found.name)
        events = tuple(
            Entry(found.id_at(each.position), each.data) for each in found.events if each.position > position
        )
        return Replay(found.name, events, ended=found.closed is not None)

    def statistics(self) -> EventLogStatistics:
        """What is held and what was given up; what has expired is held until somebody asks for it, or `expire`."""
        return EventLogStatistics(
            streams=len(self._streams),
            open=len(self._all.open),
            events=sum(len(each.events) for each in self._all.holding.values()),
            bytes=self._all.bytes,
            evicted=self._evicted,
            expired=self._expired,
        )

    def expire(self, now: float) -> None:
        """Free what has had its time: events, and closed streams."""
        for stream in list(self._all.holding.values()):
            self._expire_events(stream, now)
        for name in [name for name in self._all.closed if self._is_over(self._streams[name], now)]:
            self._remove(name)

    # -- what is kept -----------------------------------------------------------------------------------------------

    def _make_room(self, principal: str | None) -> None:
        own = self._queues.get(principal)
        while own is not None and len(own) >= self._share_of_streams:
            self._remove(own.first())
        while len(self._streams) >= self._max_streams:
            self._remove(own.first() if own is not None and own.closed else self._all.first())

    def _queue_of(self, principal: str | None) -> "_Queue":
        return self._queues.setdefault(principal, _Queue())

    def _appendable(self, stream: str) -> "_Stream | None":
        found = self._streams.get(stream)
        if found is not None and found.closed is not None:
            raise MisuseError("this stream is closed: nothing more comes on it")
        return found

    def _keep(self, stream: "_Stream", event: "_Event") -> None:
        stream.events.append(event)
        self._count(stream, event.size)
        for queue in stream.queues:
            queue.holding[stream.name] = stream
            queue.holding.move_to_end(stream.name)
        self._expire_events(stream, event.time)
        while len(stream.events) > self._max_events or stream.bytes > self._max_stream_bytes:
            self._evict_first(stream)
        for queue in stream.queues:
            most = self._max_bytes if queue is self._all else self._share_of_bytes
            while queue.bytes > most:
                self._evict_first(next(iter(queue.holding.values())))

    def _evict_first(self, stream: "_Stream") -> None:
        self._evicted += 1
        self._lose_first(stream)

    def _expire_events(self, stream: "_Stream", now: float) -> None:
        while stream.events and now >= stream.events[0].time + self._lifetime:
            self._expired += 1
            self._lose_first(stream)

    def _lose_first(self, stream: "_Stream") -> None:
        event = stream.events.pop(0)
        stream.lost = event.position
        self._count(stream, -event.size)
        if not stream.events:
            for queue in stream.queues:
                del queue.holding[stream.name]

    def _count(self, stream: "_Stream", size: int) -> None:
        stream.bytes += size
        for queue in stream.queues:
            queue.bytes += size

    def _is_over(self, stream: "_Stream", now: float) -> bool:
        return stream.closed is not None and now >= stream.closed + self._lifetime

    def _remove(self, stream: str) -> None:
        removed = self._streams.pop(stream)
        for queue in removed.queues:
            queue.open.pop(stream, None)
            queue.closed.pop(stream, None)
            queue.holding.pop(stream, None)
            queue.bytes -= removed.bytes
        if not removed.queues[0]:
            self._queues.pop(removed.principal, None)
        owned = self._owned[removed.owner]
        owned.discard(stream)
        if not owned:
            del self._owned[removed.owner]

    def _place(self, event_id: str) -> "tuple[_Stream | None, int]":
        """The stream and the position an id names. There is one way to write it, and nothing longer is looked at."""
        name, _, digits = event_id.rpartition(".") if len(event_id) <= MAX_EVENT_ID else ("", "", "")
        if not (digits.isascii() and digits.isdigit()) or digits.startswith("0"):
            return None, 0
        return self._streams.get(name), int(digits)


class _Event(NamedTuple):
    position: int
    data: bytes
    time: float

    @property
    def size(self) -> int:
        return len(self.data) + EVENT_BYTES


class _Queue:
    """Streams in the order in which they make room: those of one principal, or all."""

    __slots__ = ("bytes", "closed", "holding", "open")

    def __init__(self) -> None:
        self.open: OrderedDict[str, None] = OrderedDict()
        """The names of open streams, the one without a new event for longest first."""
        self.closed: OrderedDict[str, None] = OrderedDict()
        """The names of closed streams, the first that was closed first."""
        self.holding: OrderedDict[str, _Stream] = OrderedDict()
        """The streams that hold events, the one without a new event for longest first."""
        self.bytes = 0

    def __len__(self) -> int:
        return len(self.open) + len(self.closed)

    def first(self) -> str:
        """The name of the one that goes first."""
        return next(iter(self.closed or self.open))


class _Stream:
    """What one stream holds. `position` is that of its last event, `lost` that of the last one that is gone.

    `queues` are those in which it stands, that of its principal first.
    """

    __slots__ = ("bytes", "closed", "events", "lost", "name", "owner", "position", "principal", "queues")

    def __init__(self, name: str, owner: str, principal: str | None, queues: tuple[_Queue, ...]) -> None:
        self.name = name
        self.owner = owner
        self.principal = principal
        self.queues = queues
        self.closed: float | None = None
        """When it was closed, or `None`."""
        self.events: list[_Event] = []
        """A list, for most streams hold a few, and an empty deque weighs as much as ten."""
        self.position = 0
        self.lost = 0
        self.bytes = 0

    @property
    def id(self) -> str:
        """The id of the last event."""
        return self.id_at(self.position)

    def id_at(self, position: int) -> str:
        return f"{self.name}.{position}"
