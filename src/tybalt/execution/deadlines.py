"""Deadlines: many calls, each to be made at its time unless it is cancelled first, on one timer per event loop.

A timer of the loop costs microseconds to set and to cancel, and nearly everything is done in time. So a deadline is an
entry in a heap, cancelling it only marks it, and the one timer is set anew for what is due earlier than all the rest.

It knows no budget and no token: what is to happen when time is up is the call. Whoever limits work is above.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final
from weakref import WeakKeyDictionary, ref

from msgspec import Struct

from tybalt.errors import MisuseError

SLACK: Final = 64
"""Up to so many cancelled deadlines are kept whatever happens; more only while they are at most half of all."""
LONGEST_WAIT: Final = 86_400.0
"""The farthest that a timer is set, in seconds. Loops differ in how far is too far."""


class Deadline(Struct, order=True, eq=True):
    """One call to be made at a time, as `Deadlines.add` returns it: `due` says when, in seconds of `loop.time()`.

    Nothing in it is to be set from outside. It is not hashable.
    """

    # Compared in this order by heapq; two are never alike in the first two. In C, which is why this is a Struct.
    due: float
    number: int
    call: Callable[[], object] | None
    home: "Deadlines | None"

    def cancel(self) -> None:
        """Make the call no more; nothing happens if it was made or cancelled already."""
        self.call = None
        home = self.home
        if home is not None:
            self.home = None
            home._count_dead()  # pyright: ignore[reportPrivateUsage] (the two are one concept)


class Deadlines:
    """The deadlines of one event loop, to be used on its thread. Most want `deadlines_of(loop)`.

    Calls are made in the order of their times, and of adding where these are the same; never early, but for what the
    timers of the loop are (a tick of its clock). How late depends on the loop alone. Cancelled deadlines take memory
    until they are more than `SLACK` and more than half of all.
    """

    __slots__ = ("__weakref__", "_dead", "_due", "_fires_at", "_heap", "_loop", "_number", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heap: list[Deadline] = []
        self._due: deque[Deadline] = deque()
        self._dead = 0
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = inf

    def add(self, due: float, call: Callable[[], object]) -> Deadline:
        """Call `call()` at `due`, in seconds of `loop.time()`; what is past is called in the next turn of the loop.

        At `inf` it is never called. What it raises goes to the loop's exception handler, and stops no other call.
        Raises `MisuseError` for a time that is NaN.
        """
        if not due < inf:
            return self._never(due)
        self._number = number = self._number + 1
        deadline = Deadline(due, number, call, self)
        heappush(self._heap, deadline)
        if due < self._fires_at:
            self._set(due)
        return deadline

    def __len__(self) -> int:
        """How many are neither made nor cancelled."""
        return len(self._heap) - self._dead

    def close(self) -> None:
        """Forget them all, and the timer. For whoever made it: the one of a loop is shared."""
        for each in self._heap:
            each.home = each.call = None
        self._heap.clear()
        self._due.clear()
        self._dead = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._fires_at = inf

    def _never(self, due: float) -> Deadline:
        if due != inf:
            raise MisuseError(f"a deadline is a time in seconds of loop.time(), got {due!r}")
        return Deadline(due, 0, None, None)

    def _count_dead(self) -> None:
        self._dead += 1
        if self._dead > SLACK and self._dead * 2 > len(self._heap):
            # In place: who cancels may do so in a call that is being made.
            self._heap[:] = [each for each in self._heap if each.call is not None]
            heapify(self._heap)
            self._dead = 0

    def _set(self, due: float) -> None:
        """Set the timer, in place of the one there is."""
        if self._timer is not None:
            self._timer.cancel()
        fires_at = min(due, self._loop.time() + LONGEST_WAIT)
        self._timer = self._loop.call_at(fires_at, self._sweep)
        self._fires_at = fires_at

    def _sweep(self) -> None:
        """Make the calls that are due, and set the timer for the next."""
        # The loop rounds: what it was to wake us for is due, whatever its clock says.
        self._take(max(self._fires_at, self._loop.time()))
        # Whatever is added by a call waits for the end of the sweep, which sets the timer once for all.
        self._timer, self._fires_at = None, -inf
        try:
            while self._due:
                self._make(self._due.popleft())
        finally:
            self._put_back()
            self._fires_at = inf
            if (earliest := self._earliest()) is not None:
                self._set(earliest)

    def _take(self, now: float) -> None:
        """Move what is due out of the heap: a call that adds what is due at once must not be made for ever."""
        while (earliest := self._earliest()) is not None and earliest <= now:
            deadline = heappop(self._heap)
            deadline.home = None
            self._due.append(deadline)

    def _put_back(self) -> None:
        """Keep what is still to be made where the sweep was interrupted: the loop may run again."""
        while self._due:
            deadline = self._due.popleft()
            if deadline.call is not None:
                deadline.home = self
                heappush(self._heap, deadline)

    def _earliest(self) -> float | None:
        """When the first is due that was not cancelled."""
        heap = self._heap
        while heap and heap[0].call is None:
            heappop(heap)
            self._dead -= 1
        return heap[0].due if heap else None

    def _make(self, deadline: Deadline) -> None:
        call, deadline.call = deadline.call, None
        if call is None:  # Another that was due with it has cancelled it.
            return
        try:
            call()
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 (as a callback of the loop itself)
            self._loop.call_exception_handler({"message": f"a deadline's call failed: {call!r}", "exception": error})


def deadlines_of(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """The one `Deadlines` of this loop, shared by all who ask for it. Keep it: looking it up costs more than adding."""
    known = _of_loop.get(loop)
    deadlines = None if known is None else known()
    if deadlines is None:
        deadlines = Deadlines(loop)
        _of_loop[loop] = ref(deadlines)
    return deadlines


_of_loop: "WeakKeyDictionary[asyncio.AbstractEventLoop, ref[Deadlines]]" = WeakKeyDictionary()
"""Weak both ways, because deadlines refer to their loop. While one is pending, the timer in the loop holds them."""
