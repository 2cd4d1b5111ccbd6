"""Where state is kept that outlives its request: bytes by key, each for a limited time, behind a small interface.

`MemoryStore` is the one of a single process; one for several implements the same three methods. A store knows nothing
of handles, principals or JSON: those are `state.py`'s, above. What is kept is data and never anything that runs.
"""

import heapq
import time
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from tybalt.errors import MisuseError, Overloaded, ToolError

MAX_ENTRIES: Final = 10_000
"""Keys of a `MemoryStore`."""
MAX_BYTES: Final = 100 * 1024 * 1024
"""Bytes of all that a `MemoryStore` keeps together, keys included."""
MAX_ITEM_BYTES: Final = 64 * 1024
"""Bytes that a `MemoryStore` keeps under one key."""


class StateConflict(ToolError):
    """What is to be saved was saved or deleted by somebody else since it was read; read it again, or give up."""

    def __init__(self) -> None:
        super().__init__("This state was changed by another call at the same time. Nothing was saved; call again")


class StateTooLarge(ToolError):
    """What is to be saved is larger than the store takes; nothing was saved."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"A state holds at most {limit:,} bytes as JSON, and this one has {size:,}. Nothing was saved")


class StoreFull(Overloaded):
    """The store keeps as much as it may. What it has stays; what is new is refused until something expires."""

    def __init__(self) -> None:
        super().__init__("The server keeps as much state as it may, and nothing of it has expired. Try again later")


class Item(Struct, frozen=True):
    """What a store keeps under a key: the bytes, and a version that every change makes another."""

    value: bytes
    version: int


class Store(Protocol):
    """Where state is kept: bytes by key, each for a limited time. Keys are 64 hexadecimal digits and tell nothing."""

    async def get(self, key: str) -> Item | None:
        """What is kept, or `None` where nothing is, or where its time is over."""
        ...

    async def put(self, key: str, value: bytes, *, ttl: float, version: int | None = None) -> int:
        """Keep `value` for `ttl` seconds from now; returns its version.

        With a `version`, only if that is the one that is there, and 0 means that nothing is; compared and changed in
        one step, whoever else does the same. Raises `StateConflict` where it is not, `StateTooLarge` and `StoreFull`.
        """
        ...

    async def delete(self, key: str) -> bool:
        """Forget what is kept; returns whether there was anything."""
        ...


class MemoryStore:
    """A store in the memory of one process, gone with it. For one event loop.

    Bounded in entries, in bytes altogether (keys included) and in bytes an item. What has expired makes room first; a
    store that is full of what has not refuses what is new with `StoreFull` and forgets nothing, as someone was promised
    it. So one client may fill it: mint only for those who may, or limit their rate. `clock` counts seconds.
    """

    def __init__(
        self,
        *,
        max_entries: int = MAX_ENTRIES,
        max_bytes: int = MAX_BYTES,
        max_item_bytes: int = MAX_ITEM_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if min(max_entries, max_bytes, max_item_bytes) < 1:
            raise MisuseError("a MemoryStore has room for at least 1 entry and 1 byte; its limits are 1 or more")
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._max_item_bytes = max_item_bytes
        self._clock = clock
        self._items: dict[str, _Kept] = {}
        self._expiries: list[tuple[float, str]] = []
        self._bytes = 0
        self._last_version = 0

    @property
    def entries(self) -> int:
        """How many keys there are."""
        self._expire()
        return len(self._items)

    @property
    def size(self) -> int:
        """Bytes of all that is kept, keys included."""
        self._expire()
        return self._bytes

    async def get(self, key: str) -> Item | None:
        """See `Store`."""
        self._expire()
        kept = self._items.get(key)
        return None if kept is None else kept.item

    async def put(self, key: str, value: bytes, *, ttl: float, version: int | None = None) -> int:
        """See `Store`."""
        if len(value) > self._max_item_bytes:
            raise StateTooLarge(len(value), self._max_item_bytes)
        self._expire()
        old = self._items.get(key)
        if version is not None and version != (0 if old is None else old.item.version):
            raise StateConflict
        grown = self._bytes + _size(key, value) - (0 if old is None else _size(key, old.item.value))
        if grown > self._max_bytes or (old is None and len(self._items) >= self._max_entries):
            raise StoreFull
        # Counted for the whole store: a key that was deleted and is used again does not get an old version back.
        self._last_version += 1
        self._keep(key, _Kept(Item(value, self._last_version), self._clock() + ttl))
        self._bytes = grown
        return self._last_version

    async def delete(self, key: str) -> bool:
        """See `Store`."""
        self._expire()
        return self._forget(key)

    def _keep(self, key: str, kept: "_Kept") -> None:
        self._items[key] = kept
        heapq.heappush(self._expiries, (kept.expires, key))
        # What was saved again or deleted leaves an expiry behind; half of them may be such.
        if len(self._expiries) > 2 * len(self._items) + 64:
            self._expiries = [(each.expires, name) for name, each in self._items.items()]
            heapq.heapify(self._expiries)

    def _expire(self) -> None:
        now = self._clock()
        while self._expiries and self._expiries[0][0] <= now:
            expires, key = heapq.heappop(self._expiries)
            kept = self._items.get(key)
            if kept is not None and kept.expires == expires:
                self._forget(key)

    def _forget(self, key: str) -> bool:
        kept = self._items.pop(key, None)
        if kept is not None:
            self._bytes -= _size(key, kept.item.value)
        return kept is not None


class _Kept(Struct, frozen=True):
    item: Item
    expires: float


def _size(key: str, value: bytes) -> int:
    return len(key) + len(value)
