"""One circuit: what a target's requests have come to, and whether the next one is let through. `Circuit`.

    closed     → open       `failures` in a row
    open       → half-open  it has been open for `shortest`, or twice as long after each trial that failed
    half-open  → closed     `successes` in a row, one trial at a time
    half-open  → open       a trial failed

Nothing in here reads a clock: `now` is an argument, in seconds that do not go back. It knows no request and raises
nothing; the layer is in `circuit_breaker.py`.
"""

from math import inf, nextafter
from typing import Final, Literal, NamedTuple

State = Literal["closed", "open", "half-open"]

SOON: Final = 1.0
"""Seconds: after how long those may come back who come while a trial is under way. When it ends, nobody knows."""


class Rules(NamedTuple):
    """After how many in a row a circuit opens and closes, and for how many seconds it is open, at first and at most."""

    failures: int
    successes: int
    shortest: float
    longest: float


class Passage(NamedTuple):
    """When a request was let through: in which era of its circuit, and as which of the trials; 0 where it is none."""

    era: int
    trial: int


class Ending(NamedTuple):
    """What a request says of its target when it ends: why that has failed, `None` where it has not."""

    failure: str | None


SUCCESS: Final = Ending(None)


class Circuit:
    """One circuit. It reads no clock: `now` is an argument, in seconds that do not go back."""

    __slots__ = ("_era", "_row", "_rules", "_trial", "_trials", "_until", "length", "reason", "why")

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._era = 0
        """How often it was opened or closed: who was let through in another one says nothing of this one."""
        self._row = 0
        """Failures in a row while it is closed, else trials in a row that succeeded."""
        self._until = 0.0
        """Where it is not closed: before when nobody is let through, unless a trial ends earlier."""
        self._trials = 0
        self._trial = 0
        """The trial under way, 0 for none."""
        self.length = 0.0
        """For how many seconds it was opened last; 0 where it is closed."""
        self.why = ""
        self.reason = ""

    @property
    def is_broken(self) -> bool:
        """Whether it is open or half-open."""
        return self.length > 0

    def state(self, now: float) -> State:
        """What it is."""
        if not self.is_broken:
            return "closed"
        return "half-open" if self._trial or now >= self._until else "open"

    def wait(self, now: float) -> float:
        """0 where a request may `enter`, else the seconds until one may, or may ask again."""
        if not self.is_broken or now >= self._until:
            return 0.0
        wait = _between(now, self._until)
        return min(wait, SOON) if self._trial else wait

    def enter(self, now: float) -> Passage:
        """Let a request through. When it has ended, it must `leave`."""
        if not self.is_broken:
            return Passage(self._era, 0)
        self._trials += 1
        self._trial = self._trials
        self._until = now + self.length
        self.why = "a trial is under way"
        return Passage(self._era, self._trial)

    def leave(self, passage: Passage, ending: Ending | None, now: float) -> State | None:
        """What it has become by the end of this request, if anything new."""
        if passage.era != self._era:
            return None
        if self._trial and passage.trial == self._trial:
            self._trial, self._until = 0, now
        if ending is None:
            return None
        return self._succeeded() if ending.failure is None else self._failed(ending.failure, now)

    def _succeeded(self) -> State | None:
        if not self.is_broken:
            self._row = 0
            return None
        self._row += 1
        if self._row < self._rules.successes:
            return None
        self._change(0.0)
        return "closed"

    def _failed(self, reason: str, now: float) -> State | None:
        self.reason = reason
        rules = self._rules
        if self.is_broken:
            self._change(min(rules.longest, 2 * self.length))
            self.why = "the last trial failed"
        else:
            self._row += 1
            if self._row < rules.failures:
                return None
            self._change(rules.shortest)
            self.why = "1 failure" if rules.failures == 1 else f"{rules.failures} failures in a row"
        self._until = now + self.length
        return "open"

    def _change(self, length: float) -> None:
        self.length = length
        self._era += 1
        self._row = self._trial = 0


def _between(now: float, then: float) -> float:
    """Seconds that, added to `now`, make `then` at least, whatever is lost by rounding."""
    wait = then - now
    while now + wait < then:
        wait = nextafter(wait, inf)
    return wait
