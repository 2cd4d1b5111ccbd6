"""`Timeout`: a time limit for each request, by method or name; what is late is cancelled and awaited.

A layer, on asyncio. It stops what can be stopped: a handler that swallows the cancel is waited for, and one that blocks
the loop is stopped by nobody. The server's own limit, and what a caller's budget says, hold besides (`execution`).
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from tybalt.errors import TimedOut, cut
from tybalt.execution.durations import Duration, seconds
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request


class Timeout:
    """A layer that gives each request so much time: `Timeout("30s")`, `Timeout({"report": "5m"}, default="10s")`.

    A limit is a number of seconds, a text such as "500ms" or "1h30m", or a `timedelta`. In a mapping, a key is a name
    (of a tool or a prompt, or a URI) or a method ("resources/read"); the name counts before the method, and what has
    neither has `default`, which is no limit unless it is given.

    What is late is cancelled and awaited, and then `TimedOut` is raised. If it answers all the same, swallowing the
    cancel, that answer is the result; if it fails, that failure is raised, a `TimeoutError` of its own too. Raises
    `MisuseError` for a limit that is no duration.
    """

    def __init__(self, limit: Duration | Mapping[str, Duration], *, default: Duration | None = None) -> None:
        by_name = isinstance(limit, Mapping)
        self._limits = {key: seconds(each) for key, each in limit.items()} if by_name else {}
        self._default = seconds(limit) if not by_name else None if default is None else seconds(default)

    def __call__(self, next: Handler) -> Handler:
        """`next`, for so long at most."""

        async def handler(request: Request) -> Any:
            limit = self._limit_of(request)
            return await (next(request) if limit is None else _within(limit, request, next))

        return handler

    def _limit_of(self, request: Request) -> float | None:
        limits = self._limits
        if request.name is not None and request.name in limits:
            return limits[request.name]
        return limits.get(request.method, self._default)


async def _within(limit: float, request: Request, next: Handler) -> Any:
    own = False
    try:
        async with asyncio.timeout(limit):
            try:
                return await next(request)
            except TimeoutError:
                own = True
                raise
    except TimeoutError as error:
        if own:
            raise
        name = "" if request.name is None else f" {cut(request.name)}"
        raise TimedOut(f"{request.method}{name} was not done within {limit:g} s") from error
