"""How long a request may take: what the server grants, what its handler needs, what its caller allows; all three hold.

A limit is worked out when a request begins to wait, not before: what finishes at once needs none. Enforcing it is the
business of `call` and `running`.
"""

from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tybalt.execution.budgets import Budget
from tybalt.execution.tokens import CancelToken
from tybalt.reasons import CancelKind, CancelReason

if TYPE_CHECKING:
    from tybalt.server.declaration import Declaration


class Limits(Struct, frozen=True, gc=False):
    """Seconds that server and handler grant together, and that the caller allows; `cost` is the caller's too.

    Each is `inf` where there is none.
    """

    granted: float = inf
    allowed: float = inf
    cost: float = inf

    def budget(self, now: float) -> Budget:
        """The same as a budget that begins `now`."""
        return Budget(now + min(self.granted, self.allowed), self.cost)

    def token(self, clock: Callable[[], float]) -> CancelToken:
        """The token of a request that begins now: as one of `budget`, without making that."""
        limit = min(self.allowed, self.granted)
        return CancelToken.limited(clock() + limit, self.cost, clock=clock)

    def exceeded(self, where: str, now: float) -> CancelReason:
        """Why a request stops when its time is up, with the limit in words."""
        if self.allowed <= self.granted:
            text = f"{where} did not finish within the {self.allowed:g} s that its caller allows"
            return CancelReason(CancelKind.DEADLINE, text, at=now)
        return CancelReason(CancelKind.TIMEOUT, f"{where} did not finish within its {self.granted:g} s", at=now)


def limits_of(request: Any, declaration: "Declaration[..., Any] | None", request_timeout: float) -> Limits:
    """The limits of a request that `declaration` handles, on a server that grants `request_timeout` seconds."""
    granted = request_timeout
    if declaration is not None and declaration.timeout is not None and declaration.timeout < granted:
        granted = declaration.timeout
    meta = request.params.meta if request.params is not None else None
    budget = getattr(meta, "budget", None)
    if budget is None:
        return Limits(granted)
    allowed = inf if budget.deadline_ms is None else budget.deadline_ms / 1000
    return Limits(granted, allowed, inf if budget.cost is None else budget.cost)
