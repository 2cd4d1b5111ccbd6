"""Waiting in line: who reserved first goes first.

The one place that knows how tasks queue for room to send. It holds no room itself: `Turns` is told how to ask whether
there is any, and its transport tells it when to look again. Transports use it; nothing else should.
"""

from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Callable


class Turns:
    """A line of tasks, served first come, first served, one per look.

    `ready` says whether whoever is first may go on. Call `wake` whenever it may have become true.
    `line` is who waits, the next first; read it, and leave it alone.
    """

    __slots__ = ("_ready", "line")

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready
        self.line: deque[_Place] = deque()

    async def wait(self) -> None:
        """Return when the caller is first in line and `ready` is true; it may then go on, without awaiting anything.

        Cancelled, it leaves the line and whoever is behind moves up.
        """
        place = _Place()
        self.line.append(place)
        try:
            while not (self.line[0] is place and self._ready()):
                place.called = get_running_loop().create_future()
                await place.called
        finally:
            self.line.remove(place)
            # The next one looks for itself, after this one has used its turn: it runs in a later step of the loop.
            self.wake()

    def wake(self) -> None:
        """Have the first in line look again."""
        if self.line:
            called = self.line[0].called
            if called is not None and not called.done():
                called.set_result(None)


class _Place:
    __slots__ = ("called",)

    def __init__(self) -> None:
        self.called: Future[None] | None = None
