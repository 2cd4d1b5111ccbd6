"""Deadlines of waiting requests, on one timer for all of them.

A timer of the loop costs microseconds to set and to cancel, and nearly every request is answered in time. So a deadline
is an entry in a dict, and one timer, which is set rarely, looks through them.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any


class Deadlines:
    """Fails futures with `TimeoutError` when their time has come. Belongs to one event loop."""

    def __init__(self) -> None:
        self._due: dict[int, tuple[float, asyncio.Future[Any]]] = {}
        self._held: dict[int, tuple[int, float, asyncio.Future[Any]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = 0.0

    @property
    def pending(self) -> bool:
        """Whether there is one, running or held."""
        return bool(self._due or self._held)

    def add(self, key: int, future: asyncio.Future[Any], seconds: float) -> None:
        """Fail `future` in `seconds`, unless `discard(key)` comes first."""
        loop = asyncio.get_running_loop()
        due = loop.time() + seconds
        self._due[key] = (due, future)
        if self._timer is None or due < self._fires_at:
            self._set(loop, due)

    def discard(self, key: int) -> None:
        """Forget a deadline; nothing happens if there is none."""
        self._due.pop(key, None)
        if self._held:
            self._held.pop(key, None)

    @contextmanager
    def held(self) -> Generator[None]:
        """Stop the clock, until the end of the block, for all that waits now; what comes later has its own time.

        Where blocks overlap, the last one to end lets the clock run on.
        """
        now = asyncio.get_running_loop().time()
        for key, (due, future) in self._due.items():
            self._held[key] = (0, due - now, future)
        self._due.clear()
        keys = tuple(self._held)
        for key in keys:
            self._count(key, 1)
        try:
            yield
        finally:
            for key in keys:
                self._count(key, -1)

    def close(self) -> None:
        """Forget them all, and the timer."""
        self._due.clear()
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _count(self, key: int, change: int) -> None:
        """Count who holds a deadline; one that nobody holds any more runs on."""
        if key not in self._held:
            return
        count, seconds, future = self._held.pop(key)
        if count + change > 0:
            self._held[key] = (count + change, seconds, future)
        else:
            self.add(key, future, seconds)

    def _set(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = due
        self._timer = loop.call_at(due, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for due, future in tuple(self._due.values()):
            if due <= now and not future.done():
                future.set_exception(TimeoutError())
        if later := [due for due, future in self._due.values() if not future.done()]:
            self._set(loop, min(later))
