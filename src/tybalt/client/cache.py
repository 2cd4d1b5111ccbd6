"""`Cache`: the place where clients keep the answers of servers, within bounds.

It decides nothing but what goes first where there is no room. Which answers may be kept, for how long and for whom, is
`caching`'s business, which sits above.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from tybalt.errors import MisuseError
from tybalt.execution.durations import Duration, seconds
from tybalt.middleware.invalidation import Concerns

if TYPE_CHECKING:
    from tybalt.middleware.caching import CacheStatistics

MAX_ENTRIES: Final = 1_000
MAX_BYTES: Final = 16_000_000
MAX_TTL: Final = 86_400.0
"""Seconds: a server may be wrong about what it says for longer than a day."""

Key: TypeAlias = tuple[Hashable, Hashable, bytes]
"""Which server was asked, whose answer it is (None: anybody's), and what was asked, in full."""


class Asked:
    """A question that is under way: its answer is kept under one of two keys, unless a change makes it stale."""

    def __init__(self, method: str, name: str | None, *, private: Key, public: Key) -> None:
        self.method = method
        self.name = name
        self.private = private
        self.public = public
        self.is_stale = False


class Cache:
    """Answers of servers, at most `max_entries` (1,000) and `max_bytes` (16 MB) with what was asked.

    What was not used for longest goes first. Nothing is kept for more than `max_ttl` (a day), whatever its server says.
    `clock` gives monotonic seconds. One cache may serve clients of several servers, principals and threads: see
    `caching`. Raises `MisuseError` for options that are none.
    """

    def __init__(
        self,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        max_ttl: Duration = MAX_TTL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for option, value in (("max_entries", max_entries), ("max_bytes", max_bytes)):
            if type(value) is not int or value < 1:
                raise MisuseError(f"{option} is a whole number above 0; got {value!r}")
        self._max_ttl_ms = seconds(max_ttl) * 1_000
        self._clock = clock
        self._entries = _Entries(max_entries, max_bytes)
        self._asked: set[Asked] = set()
        self._lock = Lock()  # Clients without `async` have threads of their own.
        self._hits = 0
        self._misses = 0

    def clear(self) -> None:
        """Forget everything; what has been counted stays."""
        self.forget(_all)

    def statistics(self) -> "CacheStatistics":
        """What has been counted so far, and what is kept; expired answers too, as long as nothing takes their place."""
        from tybalt.middleware.caching import CacheStatistics  # Few ask.

        with self._lock:
            return CacheStatistics(self._hits, self._misses, len(self._entries), self._entries.bytes)

    def begin(self, asked: Asked) -> bytes | None:
        """The answer that is kept. Where none is, a change finds the question from now on, until `end`."""
        with self._lock:
            now = self._clock()
            found = self._entries.get(asked.private, now) or self._entries.get(asked.public, now)
            if found is not None:
                self._hits += 1
                return found.answer
            self._misses += 1
            self._asked.add(asked)
            return None

    def end(self, asked: Asked) -> None:
        """Nobody waits for this answer any more."""
        with self._lock:
            self._asked.discard(asked)

    def keep(self, asked: Asked, answer: bytes, ttl_ms: float, *, is_public: bool) -> None:
        """Keep an answer that came just now for so many milliseconds, unless there was a change since it was asked."""
        key = asked.public if is_public else asked.private
        # Compared before it is divided: JSON has integers that no float can hold.
        expires = self._clock() + min(ttl_ms, self._max_ttl_ms) / 1_000
        entry = _Entry(asked.method, asked.name, answer, len(key[2]) + len(answer), expires)
        with self._lock:
            if not asked.is_stale:
                self._entries.remove((asked.private, asked.public))
                self._entries.put(key, entry)

    def forget(self, is_meant: Callable[[Key], bool], concerns: Concerns | None = None) -> None:
        """Forget what a change concerns of the keys that are meant, and keep no answer that was asked for before it.

        Without `concerns`, it concerns all of them.
        """
        concerns = concerns or _all
        with self._lock:
            self._entries.drop(is_meant, concerns)
            for asked in self._asked:
                if is_meant(asked.private) and concerns(asked.method, asked.name):
                    asked.is_stale = True


class _Entry(Struct, frozen=True):
    method: str
    name: str | None
    answer: bytes
    size: int
    expires: float


class _Entries:
    """What is kept, the least recently used first."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now: float) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.expires:
            self.remove((key,))
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, entry: _Entry) -> None:
        if entry.size > self._max_bytes:
            return
        self._entries[key] = entry
        self.bytes += entry.size
        while len(self._entries) > self._max_entries or self.bytes > self._max_bytes:
            self.remove((next(iter(self._entries)),))

    def drop(self, is_meant: Callable[[Key], bool], concerns: Concerns) -> None:
        meant = [key for key, entry in self._entries.items() if is_meant(key) and concerns(entry.method, entry.name)]
        self.remove(meant)

    def remove(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if (entry := self._entries.pop(key, None)) is not None:
                self.bytes -= entry.size


def _all(*_: object) -> bool:
    return True
