"""Where a plain function runs, on the event loop or in a thread, and what is known about how long it takes.

A thread costs some tens of microseconds a call, and a function that blocks the loop stops everybody. `run_in="thread"`
and `"loop"` are the author's word; with `"auto"` a function starts in threads, is promoted to the loop when it was
reliably quick, and goes back after the first call that was slow.

Promotion changes what the function may do. On the loop
- it blocks the loop, and so every other request, for as long as it takes;
- it cannot call `asyncio.run`, nor wait for anything that the loop itself has to do;
- it does not see a cancel or a deadline while it runs: nobody can tell it, because nothing else runs.

Nothing runs here and no clock is read: durations are arguments. `threads.py` has the threads; who calls is above.
"""

from typing import Final, Literal, get_args

from msgspec import Struct

from tybalt.errors import MisuseError

Where = Literal["loop", "thread"]
"""Where a call runs."""
RunIn = Literal["loop", "thread", "auto"]
"""Where the author wants a function to run; `"auto"` is for `Placement` to say."""

QUICK: Final = 100e-6
"""A call that took less, in seconds, counts towards promotion: a thread costs about as much as such a call is worth."""
SLOW: Final = 1e-3
"""A call that took more, in seconds, is too long for the loop."""
CALLS_TO_PROMOTE: Final = 20
"""How many quick calls, one after the other, make a function reliably quick."""
MOST_CALLS_TO_PROMOTE: Final = 20 * 2**9
"""How many it takes at most: each demotion doubles the number, up to this."""


class HandlerStatistics(Struct, frozen=True):
    """What is known about one handler. Durations in seconds, 0 where there was no call.

    `where` its next call runs; `overdue` is how many calls went on after their time was up; a `candidate` runs in
    threads and was so quick that `run_in="loop"` would do, see the module about what that changes.
    """

    name: str
    run_in: RunIn
    where: Where
    calls: int
    mean: float
    longest: float
    overdue: int
    candidate: bool


class Placement:
    """Where the function `name` runs, by what is recorded of its calls; its memory does not grow with them.

    Belongs to one event loop: record on its thread, also what ran elsewhere. Raises `MisuseError` for a `run_in` that
    is none.
    """

    __slots__ = ("_longest", "_needed", "_overdue", "_quick", "_run_in", "_suited", "_total", "calls", "name")

    def __init__(self, name: str, run_in: RunIn = "thread") -> None:
        if run_in not in get_args(RunIn):
            raise MisuseError(f"{name}: run_in is 'loop', 'thread' or 'auto'; got {run_in!r}")
        self.name = name
        self.calls = 0
        self._run_in: RunIn = run_in
        self._total = 0.0
        self._longest = 0.0
        self._overdue = 0
        # The place that "auto" would choose. It is kept for the others too, to say what would suit them.
        self._suited: Where = "thread"
        self._quick = 0
        self._needed = CALLS_TO_PROMOTE

    @property
    def where(self) -> Where:
        """Where the next call is to run."""
        return self._suited if self._run_in == "auto" else self._run_in

    @property
    def would_promote(self) -> bool:
        """Whether a function that its author has put into threads was reliably quick: a candidate for the loop."""
        return self._run_in == "thread" and self._suited == "loop"

    def record(self, seconds: float) -> None:
        """Take note of a call that is over: how long the function itself took, without waiting for a thread.

        Raises `MisuseError` for a duration below 0, or a NaN.
        """
        if not seconds >= 0:
            raise MisuseError(f"{self.name}: a duration is 0 seconds or more, got {seconds!r}")
        self.calls += 1
        self._total += seconds
        self._longest = max(self._longest, seconds)
        if self._suited == "loop":
            if seconds > SLOW:
                self._demote()
        elif seconds >= QUICK:
            self._quick = 0
        else:
            self._quick += 1
            if self._quick >= self._needed:
                self._suited = "loop"

    def record_overdue(self) -> None:
        """Take note of a call whose time is up and which still runs: once a call, before it is recorded."""
        self._overdue += 1

    def statistics(self) -> HandlerStatistics:
        """What is known by now."""
        return HandlerStatistics(
            name=self.name,
            run_in=self._run_in,
            where=self.where,
            calls=self.calls,
            mean=self._total / self.calls if self.calls else 0.0,
            longest=self._longest,
            overdue=self._overdue,
            candidate=self.would_promote,
        )

    def _demote(self) -> None:
        self._suited = "thread"
        self._quick = 0
        self._needed = min(self._needed * 2, MOST_CALLS_TO_PROMOTE)
