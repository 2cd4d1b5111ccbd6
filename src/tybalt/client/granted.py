"""What a call sends along in its `_meta`: what its caller grants it, trace context, keys of vendors.

The protocol's own keys are the business of the connection, which sets them after this; a proxy may pass on the `_meta`
it got as it is. 2026-07-28 basic/index, "`_meta`".
"""

from collections.abc import Mapping
from math import inf
from typing import Any, Final, cast

from tybalt.errors import MisuseError, RequestTimeout, TybaltError
from tybalt.execution.budgets import Budget
from tybalt.types.meta import BUDGET, CLIENT_CAPABILITIES, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION

_OWN: Final = ("progressToken", PROTOCOL_VERSION, CLIENT_INFO, CLIENT_CAPABILITIES, LOG_LEVEL)
"""What only the client itself says: an upstream's progress token, say, means nothing to this server."""
_DEADLINE: Final = "deadlineMs"


def meta_of(meta: Any, budget: Any, now: float) -> dict[str, Any]:
    """The `_meta` of a call: `meta` without the protocol's own keys, and what is left of `budget`.

    `now` is in monotonic seconds. Of a budget, the time and the cost are told. Raises `MisuseError` for what is no
    mapping or no budget, and `RequestTimeout` for a budget that is used up.
    """
    sent: dict[str, Any] = {}
    if meta is not None:
        if not isinstance(meta, Mapping):
            kind = type(meta).__name__  # Not the value: baggage may hold what is nobody's business.
            raise MisuseError(
                f"meta: expected a mapping, such as {{'traceparent': '00-…'}}, got one of the type {kind}"
            )
        sent = {str(key): value for key, value in cast("Mapping[Any, Any]", meta).items() if key not in _OWN}
    if budget is not None:
        if not isinstance(budget, Budget):
            raise MisuseError(f"budget: expected a Budget, such as within('30s', time.monotonic()), got {budget!r}")
        if left := _left(budget, now):
            sent[BUDGET] = left
    return sent


def later(params: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
    """The params of a request that is sent again after some time: with so much less of it."""
    meta = cast("Mapping[str, Any]", params["_meta"])
    granted: Any = meta.get(BUDGET)
    allowed: Any = cast("dict[str, Any]", granted).get(_DEADLINE) if isinstance(granted, dict) else None
    if not isinstance(allowed, int | float):
        return params
    left = max(0.0, allowed - seconds * 1000)
    return {**params, "_meta": {**meta, BUDGET: {**granted, _DEADLINE: left}}}


def overdue(budget: Budget, now: float) -> TybaltError:
    """What a call raises that was stopped here, because its time was up."""
    return RequestTimeout(f"tools/call was not answered within the {budget.remaining(now).time:g} s of its budget")


def _left(budget: Budget, now: float) -> dict[str, float]:
    """A budget as the wire has it; without what is not limited."""
    left = budget.remaining(now)
    if left.time <= 0 or left.cost <= 0:
        spent = "its time is up" if left.time <= 0 else "its cost is spent"
        raise RequestTimeout(f"tools/call was not sent, for nothing is left of its budget: {spent}")
    members = {_DEADLINE: left.time * 1000, "cost": left.cost}
    return {key: value for key, value in members.items() if value != inf}
