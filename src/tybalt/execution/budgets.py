"""What some work may use: time until a deadline, cost, checkpoints; and how two such limits are one.

    server.budget & handler.budget & callers_budget         # all three hold: meet, the narrowest of each
    small | large                                           # either may be used: join, the widest of each

Budgets are values, and with `&`, `|`, `UNLIMITED` and `NOTHING` a semiring, in fact a distributive lattice; the tests
say so law by law. What is used up is counted elsewhere (`tokens.py`). Time is an argument: monotonic seconds.
"""

from math import inf
from typing import Final

from msgspec import Struct

from tybalt.errors import MisuseError
from tybalt.execution.durations import Duration, seconds
from tybalt.reasons import CancelKind, CancelReason

LOWEST: Final = 0
HIGHEST: Final = 255
"""Priorities; the higher goes first where there is a choice."""


class Remaining(Struct, frozen=True):
    """What is left: `time` in seconds, `cost`, `polls`; `inf` for what is not limited, 0 for what is used up."""

    time: float
    cost: float
    polls: float


class Budget(Struct, frozen=True):
    """Limits: a `deadline` in monotonic seconds, a `cost` in units of the author's, checkpoints (`polls`), a priority.

    `inf`, the default, is no limit. Raises `MisuseError` for limits below 0, a NaN, or a priority outside 0…255.
    """

    deadline: float = inf
    cost: float = inf
    polls: float = inf
    priority: int = LOWEST

    def __post_init__(self) -> None:
        try:
            possible = self.deadline >= -inf and self.cost >= 0 and self.polls >= 0
            ranked = LOWEST <= self.priority <= HIGHEST
        except TypeError:
            raise MisuseError(f"the limits of a budget are numbers; got {self!r}") from None
        if not possible:
            raise MisuseError(f"the limits of a budget are 0 or more, or inf for none; got {self!r}")
        if not ranked:
            raise MisuseError(f"a priority lies between {LOWEST} and {HIGHEST}; got {self.priority!r}")

    def __and__(self, other: "Budget") -> "Budget":
        """Both hold: the earlier deadline, the smaller quotas, the higher priority (meet, ⊗)."""
        if not isinstance(other, Budget):  # pyright: ignore[reportUnnecessaryIsInstance] (untyped callers)
            return NotImplemented
        return Budget(
            min(self.deadline, other.deadline),
            min(self.cost, other.cost),
            min(self.polls, other.polls),
            max(self.priority, other.priority),
        )

    def __or__(self, other: "Budget") -> "Budget":
        """Either may be used: the later deadline, the larger quotas, the lower priority (join, ⊕)."""
        if not isinstance(other, Budget):  # pyright: ignore[reportUnnecessaryIsInstance] (untyped callers)
            return NotImplemented
        return Budget(
            max(self.deadline, other.deadline),
            max(self.cost, other.cost),
            max(self.polls, other.polls),
            min(self.priority, other.priority),
        )

    def __le__(self, other: "Budget") -> bool:
        """Whether this one allows nothing that `other` does not."""
        return self.deadline <= other.deadline and self.cost <= other.cost and self.polls <= other.polls

    def tightened_by(
        self, now: float, *, timeout: Duration | None = None, cost: float = inf, polls: float = inf
    ) -> "Budget":
        """The same with limits of its own; what is wider than what there is changes nothing."""
        deadline = inf if timeout is None else now + seconds(timeout)
        return self & Budget(deadline, cost, polls, self.priority)

    def remaining(self, now: float) -> Remaining:
        """What is left at a time: 0 for a deadline that is past, `inf` where there is none."""
        return Remaining(max(0.0, self.deadline - now), self.cost, self.polls)

    def exhausted(self, now: float) -> CancelReason | None:
        """Why work on this budget has to stop, or `None` where it may go on: `now >= deadline`, or a quota at 0."""
        if now >= self.deadline:
            return CancelReason(CancelKind.DEADLINE, "the time is up", at=now)
        if self.cost <= 0:
            return CancelReason(CancelKind.COST_QUOTA, "nothing may be spent any more", at=now)
        if self.polls <= 0:
            return CancelReason(CancelKind.POLL_QUOTA, "no checkpoint may be passed any more", at=now)
        return None


UNLIMITED: Final = Budget()
"""No limit at all: what `&` leaves as it is, and what swallows everything in `|`."""
NOTHING: Final = Budget(deadline=-inf, cost=0, polls=0, priority=HIGHEST)
"""Nothing is allowed: what `|` leaves as it is, and what swallows everything in `&`."""


def within(timeout: Duration, now: float, **limits: float) -> Budget:
    """A budget that ends `timeout` after `now`, with other limits by name: `within("30s", now, cost=10)`."""
    return UNLIMITED.tightened_by(now, timeout=timeout, **limits)
