"""How long the bodies of requests may take, where whoever reads the socket does not look: under ASGI.

One look a second at all who wait, for a timer of its own would cost each request as much as its answer.
"""

import asyncio
from math import ceil
from typing import Any

from tybalt.protocol.http_refusal import Refusal, plain


class BodyClock:
    """The time that bodies have to come in, of all requests of an endpoint: `seconds`, or up to one more.

    `asyncio.timeout` would set a timer for each, and to read a clock for each costs too. `end` has to be called for
    whatever has begun.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self._seconds = seconds
        self._every = min(1.0, seconds)
        self._looks = 0
        self._patience = ceil(seconds / self._every)
        self._begun: dict[asyncio.Task[Any], int] = {}
        """The look before each of them began: its time is that of so many looks, and of what was left of that one."""
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> "asyncio.Task[Any]":
        """The running task waits for a body from now on; it is cancelled when the time is up."""
        task = asyncio.current_task()
        assert task is not None
        self._begun[task] = self._looks
        if self._timer is None:
            self._set()
        return task

    def end(self, task: "asyncio.Task[Any]") -> None:
        """It waits no more."""
        self._begun.pop(task, None)
        self._late.discard(task)

    def is_late(self, task: "asyncio.Task[Any]") -> bool:
        """Whether a cancel of this task is the clock's, and nobody else's too."""
        return task in self._late and task.uncancel() == 0

    @property
    def refusal(self) -> Refusal:
        """What is answered then."""
        return plain(408, f"the body did not come within {self._seconds:g} s", (b"connection", b"close"))

    def _set(self) -> None:
        self._timer = self.loop.call_later(self._every, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._looks += 1
        for task, begun in tuple(self._begun.items()):
            if self._looks - begun > self._patience:
                self._late.add(task)
                del self._begun[task]
                task.cancel()
        if self._begun:
            self._set()
