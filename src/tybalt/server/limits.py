"""How long a request may take: what the server grants, what its handler needs, what its caller allows; all three hold.

A limit is worked out when a request begins to wait, not before: what finishes at once needs none. Enforcing it is the
business of `call` and `running`.
"""

import logging
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from tybalt.execution.budgets import Budget
from tybalt.execution.tokens import CancelToken
from tybalt.reasons import CancelKind, CancelReason

if TYPE_CHECKING:
    from tybalt.server.declaration import Declaration


logger = logging.getLogger("tybalt.server")

TIME_LIMITS: Final = (CancelKind.TIMEOUT, CancelKind.DEADLINE)
"""For what work is stopped whose time is up."""


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

    def exceeded(self, where: str, now: float, declaration: "Declaration[..., Any] | None" = None) -> CancelReason:
        """Why a request that `declaration` handles stops when its time is up: which limit it was, and whose."""
        if self.allowed <= self.granted:
            text = f"{where} did not finish within the {self.allowed:g} s that its caller allows"
            return CancelReason(CancelKind.DEADLINE, text, at=now)
        own = inf if declaration is None or declaration.timeout is None else declaration.timeout
        text = f"{where} did not finish within its {self.granted:g} s"
        if own > self.granted:
            text += ", the server's request_timeout"
        if self.granted < own < inf:
            text += f"; it would be allowed {own:g} s itself"
        return CancelReason(CancelKind.TIMEOUT, text, at=now)


def warn_of_narrowing(declaration: "Declaration[..., Any]", request_timeout: float) -> None:
    """Say in the log that a handler will not get the time it asks for: a server's limit is never widened."""
    if declaration.timeout is not None and declaration.timeout > request_timeout:
        text = "%s asks for %g s, but the server's request_timeout of %g s holds; Server(request_timeout=…) widens it"
        logger.warning(text, declaration.where, declaration.timeout, request_timeout)


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
