"""`Timing`: how long requests take, by method and name, as counts in fixed buckets.

A layer. It keeps numbers, not samples: memory does not grow with traffic, and percentiles are estimates. Handing the
numbers on to a system of metrics is what `observe` is for.
"""

import logging
import time
from bisect import bisect_left
from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Any, Final

from msgspec import Struct

from tybalt.errors import McpError, MisuseError, row_of
from tybalt.middleware.endings import ending_by, ending_of
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request

Observe = Callable[[Request, float, str], object]
"""Given the request, its seconds, and how it ended: "ok", "is_error", "cancelled" or the class of its exception."""

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The upper bounds of the buckets in seconds, each inclusive; one more takes whatever is longer."""

MAX_NAMES: Final = 500
"""How many pairs of a method and a name are measured each by itself; the rest is measured under `OTHER`."""

OTHER: Final = ("other", None)

_logger: Final = logging.getLogger(__name__)


class Durations(Struct, frozen=True):
    """What is known of one name: how many requests, and in seconds their mean, the longest, and three percentiles.

    The percentiles are estimates: each lies in the bucket that holds the true one. `histogram` counts the requests in
    each of `BUCKETS`, and at its end those that took longer.
    """

    count: int
    mean: float
    max: float
    p50: float
    p95: float
    p99: float
    histogram: tuple[int, ...]


class Timing:
    """A layer that measures every request, whether it succeeds, fails or is cancelled.

    `observe(request, seconds, ending)` is called at the end of each, on the loop, so it must be quick and must not
    wait; what it raises is logged and changes nothing. `clock` gives seconds. Raises `MisuseError` for an `async`
    `observe`.
    """

    def __init__(self, observe: Observe | None = None, *, clock: Callable[[], float] = time.perf_counter) -> None:
        if iscoroutinefunction(observe):
            raise MisuseError("observe is a plain function: it is called where a request ends, and nothing waits there")
        self._observe = observe
        self._clock = clock
        self._measured: dict[tuple[str, str | None], _Measured] = {}

    def __call__(self, next: Handler) -> Handler:
        """`next`, measured."""
        clock = self._clock

        async def handler(request: Request) -> Any:
            began = clock()
            try:
                result = await next(request)
            except BaseException as error:
                self._add(request, clock() - began, ending_by(error), known=not _is_refusal(error))
                raise
            self._add(request, clock() - began, ending_of(result))
            return result

        return handler

    def statistics(self) -> dict[tuple[str, str | None], Durations]:
        """What is known so far, by method and name; the name of a list is None. Bounded by `MAX_NAMES`."""
        return {key: measured.told() for key, measured in self._measured.items()}

    def _add(self, request: Request, seconds: float, ending: str, *, known: bool = True) -> None:
        self._of(request, known).add(seconds)
        if self._observe is not None:
            try:
                self._observe(request, seconds, ending)
            except Exception:
                _logger.exception("observe failed for a request of %r", request.method)

    def _of(self, request: Request, known: bool) -> "_Measured":
        key = (request.method, request.name)
        measured = self._measured.get(key)
        if measured is None:
            if not known or len(self._measured) >= MAX_NAMES:
                key = OTHER
            measured = self._measured.setdefault(key, _Measured())
        return measured


class _Measured:
    __slots__ = ("counts", "longest", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds
        self.longest = max(self.longest, seconds)

    def told(self) -> Durations:
        count = sum(self.counts)
        p50, p95, p99 = (self._below(count * share) for share in (0.50, 0.95, 0.99))
        return Durations(count, self.total / count, self.longest, p50, p95, p99, tuple(self.counts))

    def _below(self, rank: float) -> float:
        """A time that so many of the requests did not exceed: within its bucket, they are taken as spread evenly."""
        passed = 0
        lower = 0.0
        for upper, inside in zip(BUCKETS, self.counts, strict=False):
            if inside and passed + inside >= rank:
                return min(lower + (upper - lower) * (rank - passed) / inside, self.longest)
            passed += inside
            lower = upper
        return self.longest


def _is_refusal(error: BaseException) -> bool:
    """Whether no handler may have run: then the name may be of the peer's own invention, and gets no row of its own."""
    return isinstance(error, McpError) and row_of(error).result_since is None
