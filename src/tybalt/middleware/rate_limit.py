"""Rate limits: `RateLimiting`, a token bucket for each client, and `SlidingWindow`, so many in any stretch of time.

Both are layers. They decide at once and never wait: who comes too often gets `RateLimited`, which says after how many
seconds the next request is let through. A client is a principal, or what a function of the request says. They count in
one process and on one loop; they do not know what a request costs.

Memory is bounded, and no flood of new clients gives anybody a fresh allowance: what was used up is forgotten only when
it has come back (`allowances.py`).
"""

import re
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from math import ceil
from typing import Any, Final

from msgspec import Struct

from tybalt.errors import LONGEST_RETRY, MisuseError, RateLimited
from tybalt.execution.durations import Duration, seconds
from tybalt.middleware.allowances import Allowance, Bucket, Clients, Window
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request
from tybalt.middleware.selection import methods_of

Key = Callable[[Request], str | None]
"""Who a request is counted for: the same text, the same allowance. `None` is a client like any other."""

MAX_CLIENTS: Final = 10_000
MAX_LIMIT: Final = 100_000
"""What a `SlidingWindow` may allow at most: it remembers the time of each."""

MOST: Final = 1_000_000_000
"""What any number in here may be at most: requests a second, a burst, clients. More is no limit."""

LONGEST: Final = LONGEST_RETRY / 2
"""Seconds: what anybody is told to wait at most, and what a window is at most; half a year."""

MAX_KEY: Final = 256
"""Characters. Of a longer key only a digest is kept, or clients could fill the memory with their names."""

_PERIODS: Final = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3_600.0),
    **dict.fromkeys(("d", "day"), 86_400.0),
}
_RATE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*/\s*([a-z]+)\s*")


class RateLimitStatistics(Struct, frozen=True):
    """How many clients are remembered one by one, how many requests were let through, how many were refused."""

    clients: int
    admitted: int
    refused: int


class _Limiting:
    """What the two have in common: whom a request is counted for, and what happens where nothing is left."""

    def __init__(
        self,
        fresh: Callable[[], Allowance],
        rule: str,
        *,
        key: Key | None,
        methods: Iterable[str] | None,
        max_clients: int,
        clock: Callable[[], float],
    ) -> None:
        self._clients = Clients(fresh, _count("max_clients", max_clients))
        self._rule = rule
        self._key = key
        self._methods = None if methods is None else methods_of(methods)
        self._clock = clock
        self._admitted = 0
        self._refused = 0

    def __call__(self, next: Handler) -> Handler:
        """`next`, for those who do not come too often."""
        methods = self._methods

        async def handler(request: Request) -> Any:
            if methods is None or request.method in methods:
                self._admit(request)
            return await next(request)

        return handler

    def statistics(self) -> RateLimitStatistics:
        """What has been counted so far."""
        return RateLimitStatistics(len(self._clients), self._admitted, self._refused)

    def _admit(self, request: Request) -> None:
        now = self._clock()
        wait = self._clients.allowance(self._client(request), now).take(now)
        if wait:
            self._refused += 1
            raise RateLimited(
                f"Rate limit exceeded: {self._rule}. Try again in {_rounded_up(wait)} s", retry_after=wait
            )
        self._admitted += 1

    def _client(self, request: Request) -> str | None:
        client = request.principal if self._key is None else self._key(request)
        if client is not None and type(client) is not str:
            raise MisuseError(f"the key of a rate limit is a text or None; the function returned {client!r}")
        if client is None or len(client) <= MAX_KEY:
            return client
        return sha256(client.encode("utf-8", "surrogatepass")).hexdigest()


class RateLimiting(_Limiting):
    """A layer with a token bucket for each client: `RateLimiting("100/min", burst=20)`.

    A bucket holds `burst` tokens and is full at first; each request takes one; `rate` says how many come back. So a
    client may send `burst` at once and `rate` in the long run, and in any stretch of time no more than both together.
    `rate` is a text of a number and "s", "min", "h" or "d", or a number of requests a second, or in the duration `per`.
    `burst` defaults to what comes in two seconds, and at least 1.

    `key(request)` is the text of whom to count it for: `request.principal` by default; `None` is one client, so who
    proved nothing shares one bucket. `methods` are those that count: all by default. At most `max_clients` are
    remembered one by one (`MAX_CLIENTS`). `clock` gives monotonic seconds.

    Raises `RateLimited`; a client who waits for its `retry_after` and is alone succeeds then. Raises `MisuseError` for
    limits that are none.
    """

    def __init__(
        self,
        rate: float | str,
        burst: int | None = None,
        *,
        per: Duration | None = None,
        key: Key | None = None,
        methods: Iterable[str] | None = None,
        max_clients: int = MAX_CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        amount, period = _read_rate(rate, per)
        frequency = amount / period
        if not 1 / LONGEST <= frequency <= MOST:
            raise MisuseError(f"a rate lies between a request in {LONGEST:.0f} s and {MOST:,} in one; got {rate!r}")
        size = max(1, ceil(2 * frequency)) if burst is None else _count("burst", burst)
        rule = f"{amount:.12g} requests in {period:.12g} s, and {size} at once"
        super().__init__(
            lambda: Bucket(frequency, size), rule, key=key, methods=methods, max_clients=max_clients, clock=clock
        )


class SlidingWindow(_Limiting):
    """A layer that lets so many requests of a client through in any stretch of time: `SlidingWindow(100, "1m")`.

    Exact: however the stretch of `window` is laid, no more than `limit` were let through in it. That takes the time of
    each of them, some 32 bytes, so at most `limit` times `max_clients` such; `limit` is at most `MAX_LIMIT`. The other
    options and errors are those of `RateLimiting`.
    """

    def __init__(
        self,
        limit: int,
        window: Duration,
        *,
        key: Key | None = None,
        methods: Iterable[str] | None = None,
        max_clients: int = MAX_CLIENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        length = seconds(window)
        if _count("limit", limit) > MAX_LIMIT or length > LONGEST:
            raise MisuseError(
                f"a sliding window holds at most {MAX_LIMIT:,} requests, in {LONGEST:.0f} s; got {limit!r} in "
                f"{window!r}. RateLimiting can count more"
            )
        rule = f"{limit} requests in any {length:.12g} s"
        super().__init__(
            lambda: Window(limit, length), rule, key=key, methods=methods, max_clients=max_clients, clock=clock
        )


def _read_rate(rate: float | str, per: Duration | None) -> tuple[float, float]:
    """How many, in how many seconds."""
    amount, period = 0.0, 1.0 if per is None else seconds(per)
    if isinstance(rate, str):
        found = _RATE.fullmatch(rate)
        if found is not None and found[2] in _PERIODS and per is None:
            amount, period = float(found[1]), _PERIODS[found[2]]
    elif type(rate) in (int, float):
        amount = rate
    if not 0 < amount <= MOST * period:
        raise MisuseError(
            f"a rate is a text such as '100/min', '5/s' or '1000/h', or a number above 0 of requests a second, or in "
            f"the duration `per`; got {rate!r}" + ("" if per is None else f", per={per!r}")
        )
    return amount, period


def _count(option: str, number: int) -> int:
    if type(number) is not int or not 1 <= number <= MOST:
        raise MisuseError(f"{option} is a whole number from 1 to {MOST:,}; got {number!r}")
    return number


def _rounded_up(wait: float) -> str:
    """For people: to the millisecond, and what fractions lose does not count."""
    return f"{max(1, ceil(wait * 1_000 - 1e-3)) / 1_000:.12g}"
