"""Deadlines of waiting requests, by the key of each, which stand still while a question is being answered.

The timer is that of `tybalt.execution.deadlines`, one for everything on a loop.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

from tybalt.execution.deadlines import Deadline, deadlines_of
from tybalt.execution.deadlines import Deadlines as LoopDeadlines


class Deadlines:
    """Fails futures with `TimeoutError` when their time has come. Belongs to one event loop."""

    def __init__(self) -> None:
        self._due: dict[int, tuple[Deadline, asyncio.Future[Any]]] = {}
        self._held: dict[int, tuple[int, float, asyncio.Future[Any]]] = {}
        self._timer: LoopDeadlines | None = None
        self._clock: Callable[[], float] | None = None

    @property
    def pending(self) -> bool:
        """Whether there is one, running or held."""
        return bool(self._due or self._held)

    def add(self, key: int, future: asyncio.Future[Any], seconds: float) -> None:
        """Fail `future` in `seconds`, unless `discard(key)` comes first."""
        if self._timer is None or self._clock is None:  # Kept: looking them up costs more than adding.
            loop = asyncio.get_running_loop()
            self._timer, self._clock = deadlines_of(loop), loop.time
        self._due[key] = (self._timer.add(self._clock() + seconds, partial(_expire, future)), future)

    def discard(self, key: int) -> None:
        """Forget a deadline; nothing happens if there is none."""
        if (entry := self._due.pop(key, None)) is not None:
            entry[0].cancel()
        if self._held:
            self._held.pop(key, None)

    @contextmanager
    def held(self) -> Generator[None]:
        """Stop the clock, until the end of the block, for all that waits now; what comes later has its own time.

        Where blocks overlap, the last one to end lets the clock run on.
        """
        now = asyncio.get_running_loop().time()
        for key, (deadline, future) in self._due.items():
            deadline.cancel()
            self._held[key] = (0, deadline.due - now, future)
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
        """Forget them all."""
        for deadline, _ in self._due.values():
            deadline.cancel()
        self._due.clear()
        self._held.clear()

    def _count(self, key: int, change: int) -> None:
        """Count who holds a deadline; one that nobody holds any more runs on."""
        if key not in self._held:
            return
        count, seconds, future = self._held.pop(key)
        if count + change > 0:
            self._held[key] = (count + change, seconds, future)
        else:
            self.add(key, future, seconds)


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())
