"""Why something is stopped: the kinds of reasons, how severe each is, and which of two counts.

A `CancelReason` is a value; `Interrupted` carries one through code that is to stop. Outcomes hold reasons, and what
raises `Interrupted` is the business of `execution`, so this module knows no clock, no task and no thread.
"""

from enum import Enum
from typing import Any

from msgspec import Struct


class CancelKind(Enum):
    """Why, in one of ten words. The later of them are the more severe ones, or as severe."""

    USER = "user"
    """Whoever asked does not want it any more."""
    TIMEOUT = "timeout"
    """It took longer than it was given."""
    DEADLINE = "deadline"
    """The time has come by which all was to be done."""
    POLL_QUOTA = "poll quota"
    """It has passed as many checkpoints as it was given."""
    COST_QUOTA = "cost quota"
    """It has spent what it was given."""
    FAIL_FAST = "fail-fast"
    """Another part of the same work failed, so this part is of no use."""
    RACE_LOST = "race lost"
    """Another one was faster."""
    PARENT_CANCELLED = "parent cancelled"
    """What it was part of is cancelled."""
    RESOURCE_UNAVAILABLE = "resource unavailable"
    """What it needs is gone: a connection, a peer."""
    SHUTDOWN = "shutdown"
    """The process ends."""

    @property
    def severity(self) -> int:
        """0 for `USER` to 5 for `SHUTDOWN`."""
        return _SEVERITY[self]

    @property
    def is_limit(self) -> bool:
        """Whether it is one of the four that say that something was used up: time, checkpoints, cost."""
        return self in _LIMITS

    @property
    def cleanup_checkpoints(self) -> int:
        """How many checkpoints may be passed while cleaning up after a cancel of this kind: the fewer, the severer."""
        return _CLEANUP[self]

    @property
    def cleanup_seconds(self) -> float:
        """How long cleaning up after a cancel of this kind may take before it is no longer waited for."""
        return _CLEANUP[self] / 100


_SEVERITY = {
    CancelKind.USER: 0,
    CancelKind.TIMEOUT: 1,
    CancelKind.DEADLINE: 1,
    CancelKind.POLL_QUOTA: 2,
    CancelKind.COST_QUOTA: 2,
    CancelKind.FAIL_FAST: 3,
    CancelKind.RACE_LOST: 3,
    CancelKind.PARENT_CANCELLED: 4,
    CancelKind.RESOURCE_UNAVAILABLE: 4,
    CancelKind.SHUTDOWN: 5,
}
_LIMITS = {CancelKind.TIMEOUT, CancelKind.DEADLINE, CancelKind.POLL_QUOTA, CancelKind.COST_QUOTA}
_CLEANUP = {
    CancelKind.USER: 1_000,
    CancelKind.TIMEOUT: 500,
    CancelKind.DEADLINE: 500,
    CancelKind.POLL_QUOTA: 300,
    CancelKind.COST_QUOTA: 300,
    CancelKind.FAIL_FAST: 200,
    CancelKind.RACE_LOST: 200,
    CancelKind.PARENT_CANCELLED: 200,
    CancelKind.RESOURCE_UNAVAILABLE: 200,
    CancelKind.SHUTDOWN: 50,
}
_ORDER = {kind: position for position, kind in enumerate(CancelKind)}


class CancelReason(Struct, frozen=True):
    """Why something is stopped: its kind, `message` for people, `at` what time (monotonic seconds), and by whom."""

    kind: CancelKind
    message: str = ""
    at: float = 0.0
    origin: str = ""

    def strengthened(self, other: "CancelReason") -> "CancelReason":
        """The one of the two that counts: the severer, else the earlier, else the one whose text comes first.

        A text counts more than none. Associative, commutative and idempotent: whoever hears of several reasons, in
        whatever order, ends up with the same one.
        """
        return min(self, other, key=_rank)

    def __str__(self) -> str:
        return f"{self.kind.value}: {self.message}" if self.message else self.kind.value


def _rank(reason: CancelReason) -> tuple[Any, ...]:
    """A total order over all members, or two reasons could each count, depending on who came first."""
    kind = reason.kind
    return (-kind.severity, reason.at, not reason.message, reason.message, reason.origin, _ORDER[kind])


class Interrupted(BaseException):
    """Raised at a checkpoint in code that is to stop; `reason` says why.

    Not an `Exception`, so that `except Exception` in the code that is to stop cannot eat it. Whoever catches it to
    clean up raises it again.
    """

    def __init__(self, reason: CancelReason) -> None:
        super().__init__(str(reason))
        self.reason = reason
