"""`ResponseCaching`: answers are kept for a while and given again, to the one who asked the same before.

A layer. What is kept is the answer as bytes, so it takes as much memory as is counted, and nobody can change what
somebody else is given. It keeps in one process; whether an answer is still true it cannot know: it forgets after `ttl`,
and when it is told of a change (`invalidation.py`). One that many ask for at once is asked for as often; `SingleFlight`
further in is for that.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from tybalt.errors import MisuseError
from tybalt.execution.durations import Duration, seconds
from tybalt.middleware.invalidation import Concerns, Invalidated
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request
from tybalt.middleware.selection import ONE_TIME, Names, is_granted, is_personal, meant_by, methods_of

TTL: Final = 300.0
"""Seconds."""

MAX_ENTRIES: Final = 10_000
MAX_BYTES: Final = 100_000_000
MAX_ITEM_BYTES: Final = 1_000_000

METHODS: Final = frozenset(
    {
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "prompts/list",
        "prompts/get",
    }
)
"""The methods whose answers are kept by default. Of `tools/call`, only where that is said to do no harm."""

Key: TypeAlias = tuple[object, str | None, bytes]
"""Which stack was asked, by whom, and what: in full, so no two questions are ever taken for each other."""


class CacheStatistics(Struct, frozen=True):
    """How often an answer was there and how often not, and what is kept: so many entries of so many bytes.

    What may not be kept is not counted. `bytes` are those of the answers and of what was asked.
    """

    hits: int
    misses: int
    entries: int
    bytes: int

    @property
    def hit_rate(self) -> float:
        """The share of hits, from 0 to 1; 0 where nobody has asked."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0


class ResponseCaching(Invalidated):
    """A layer that keeps answers for `ttl` (300 s), counted from when they were asked for.

    An answer is given again to the same `principal` for the same question: method, name, arguments, params, whatever
    their order; `_meta` does not count. `None` is a principal like any other. A tool's answer is kept where its
    annotations say `readOnlyHint` or `idempotentHint`, or where `tools` means it: names, or a function of the request.
    `exclude` wins over all: names of tools or prompts, URIs, or a function. `methods` are `METHODS` by default.

    Never kept are errors, results with `is_error`, results that ask for input, what the client was asked something for,
    the results of requests that run as tasks, what cannot be written as JSON, and what began before a change. A
    result's own `ttl_ms` shortens its time; 0 does not, for that is what servers say that know nothing.

    A tool that is idempotent may still write. So what such tools answered is forgotten when any tool is called that may
    write, as far as calls pass through here. What reading tools answered is kept, for `ttl` at most.

    At most `max_entries` (10,000) and `max_bytes` (100 MB) are kept, with what was asked; what was not used for longest
    goes first, and what is larger than `max_item_bytes` (1 MB) is not kept. A hit is a value of its own, read from JSON
    like a client would read it: what the handler returned as a dataclass is a dict in it. `clock` gives monotonic
    seconds. One loop; each stack that this is a layer of has answers of its own.

    Raises `MisuseError` for options that are none.
    """

    def __init__(
        self,
        *,
        ttl: Duration = TTL,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        max_item_bytes: int = MAX_ITEM_BYTES,
        methods: Iterable[str] = METHODS,
        tools: Names = (),
        exclude: Names = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for option, value in (
            ("max_entries", max_entries),
            ("max_bytes", max_bytes),
            ("max_item_bytes", max_item_bytes),
        ):
            if type(value) is not int or value < 1:
                raise MisuseError(f"{option} is a whole number above 0; got {value!r}")
        self._ttl = seconds(ttl)
        self._entries = _Entries(max_entries, max_bytes)
        self._max_item_bytes = min(max_item_bytes, max_bytes)
        self._methods = methods_of(methods)
        self._requested = meant_by("tools", tools)
        self._excluded = meant_by("exclude", exclude)
        self._clock = clock
        self._running: set[_Running] = set()
        self._hits = 0
        self._misses = 0

    def __call__(self, next: Handler) -> Handler:
        """`next`, asked only for what is not kept."""
        stack = object()

        async def handler(request: Request) -> Any:
            running = _Running(request, self._may_write(request), self._clock())
            if not self._may_keep(request):
                return await self._passed(next, request, running)
            key = (stack, request.principal, request.identity)
            found = self._found(key)
            if found is not _NOTHING:
                return found
            result = await self._passed(next, request, running)
            if not (is_personal(request) or is_granted(request)):
                self._keep(key, running, result)
            return result

        return handler

    def clear(self) -> None:
        """Forget everything; what has been counted stays."""
        self.invalidate()

    def statistics(self) -> CacheStatistics:
        """What has been counted so far, and what is kept; expired answers too, as long as nothing takes their place."""
        return CacheStatistics(self._hits, self._misses, len(self._entries), self._entries.bytes)

    def _may_keep(self, request: Request) -> bool:
        if request.method not in self._methods or not ONE_TIME.isdisjoint(request.params):
            return False
        return (request.repeatable or self._requested(request)) and not self._excluded(request)

    def _may_write(self, request: Request) -> bool:
        """Whether calling this tool may change what others answer: so it is, unless somebody says that it reads."""
        if request.method != "tools/call" or (request.hints is not None and request.hints.read_only_hint):
            return False
        return not self._requested(request)

    def _found(self, key: Key) -> Any:
        entry = self._entries.get(key, self._clock())
        result = _NOTHING if entry is None else _decoded(entry)
        if result is _NOTHING:
            self._misses += 1
        else:
            self._hits += 1
        return result

    async def _passed(self, next: Handler, request: Request, running: "_Running") -> Any:
        """The result of `next`. Meanwhile a change finds it among those that run."""
        if running.writes:
            self._forget_writers()
        self._running.add(running)
        try:
            return await next(request)
        finally:
            self._running.discard(running)
            if running.writes:
                self._forget_writers()

    def _keep(self, key: Key, running: "_Running", result: Any) -> None:
        now = self._clock()
        expires = running.began + self._lifetime(result)
        # Where one is kept already, it was asked for at the same time, and there is no need to encode this one too.
        if running.stale or now >= expires or not _is_lasting(result) or self._entries.get(key, now) is not None:
            return
        encoded = _encoded(result)
        size = len(key[2]) + len(encoded)
        if encoded and size <= self._max_item_bytes:
            entry = _Entry(
                running.method, running.name, running.writes, cast("type[Any]", type(result)), encoded, size, expires
            )
            self._entries.put(key, entry)

    def _lifetime(self, result: Any) -> float:
        hint: object = getattr(result, "ttl_ms", None)
        return min(self._ttl, hint / 1_000) if isinstance(hint, int | float) and hint > 0 else self._ttl

    def _forget(self, concerns: Concerns) -> None:
        self._entries.drop(concerns)
        for running in self._running:
            running.stale = running.stale or concerns(running.method, running.name)

    def _forget_writers(self) -> None:
        self._entries.drop_writers()
        for running in self._running:
            running.stale = running.stale or running.writes


class _Running:
    """A request that is under way: a change in the meantime makes it stale."""

    __slots__ = ("began", "method", "name", "stale", "writes")

    def __init__(self, request: Request, writes: bool, began: float) -> None:
        self.method = request.method
        self.name = request.name
        self.writes = writes
        self.began = began
        self.stale = False


class _Entry(Struct, frozen=True):
    method: str
    name: str | None
    writes: bool
    kind: type[Any]
    encoded: bytes
    size: int
    expires: float


class _Entries:
    """What is kept, the least recently used first."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._writers: set[Key] = set()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now: float) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.expires:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, entry: _Entry) -> None:
        self._entries[key] = entry
        self.bytes += entry.size
        if entry.writes:
            self._writers.add(key)
        while len(self._entries) > self._max_entries or self.bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))

    def drop(self, concerns: Concerns) -> None:
        for key in [key for key, entry in self._entries.items() if concerns(entry.method, entry.name)]:
            self._remove(key)

    def drop_writers(self) -> None:
        for key in tuple(self._writers):
            self._remove(key)

    def _remove(self, key: Key) -> None:
        self.bytes -= self._entries.pop(key).size
        self._writers.discard(key)


_NOTHING: Final = object()

_encode: Final = msgspec.json.Encoder().encode


def _is_lasting(result: Any) -> bool:
    """Whether the same may be answered again: not a failure, nor a question."""
    return not getattr(result, "is_error", None) and getattr(result, "result_type", None) != "input_required"


def _encoded(result: Any) -> bytes:
    """The result as JSON; nothing, where it cannot be written: whoever sends it will say so."""
    try:
        return _encode(result)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return b""


def _decoded(entry: _Entry) -> Any:
    """The result; nothing, where what its handler had put in does not read as what its class says."""
    try:
        return msgspec.json.decode(entry.encoded, type=entry.kind)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return _NOTHING
