"""`Retry`: what failed for a reason that passes is asked again, a few times, later each time, and at random.

A layer, on asyncio. It repeats only what may be repeated, never a cancel, and never beyond the time the request has.
Which errors may pass is written in the table of `errors`; time and chance are arguments.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import inf
from random import random as uniform
from typing import Any, Final

from tybalt.errors import MisuseError, RequestLost, only_error, row_of
from tybalt.execution.durations import Duration, seconds
from tybalt.execution.tokens import current_token
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request

MAX_ATTEMPTS: Final = 100
"""The most attempts that may be asked for; who needs more wants a queue."""

RetryOn = Callable[[BaseException], bool] | tuple[type[Exception], ...]


def is_retryable(error: BaseException) -> bool:
    """Whether the same request may succeed later: what the table calls retryable, and lost connections and timeouts.

    These are `ConnectionError` and `TimeoutError`, which upstreams raise, `RequestTimeout` among them, and
    `RequestLost`. No other `ConnectionLost` is: what asks again on the same connection finds it as lost.
    """
    return row_of(error).retryable or isinstance(error, ConnectionError | TimeoutError | RequestLost)


def is_repeatable(request: Request) -> bool:
    """Whether asking twice is as good as asking once, as far as the request tells."""
    return request.repeatable


class Retry:
    """A layer that asks up to `attempts` times (3) in all.

    Between two attempts it waits for a random time between 0 and a ceiling ("full jitter"), which is `base` (0.1 s) at
    first, doubles each time and ends at `cap` (5 s); `jitter=False` waits for the ceiling itself. An error that says
    `retry_after` is given that time, and the random one on top as far as `cap` allows. Where it asks for more than
    `cap`, or the budget of the request ends before the wait does, the error is raised at once.

    `retry_on` is a function of the error or a tuple of classes, `is_retryable` by default; a group of one counts as the
    one in it. `retry_results` is a function of the result; without one no result is retried, `is_error` or not.
    `repeats` says of a request whether it may run twice, `is_repeatable` by default: tools only where their
    annotations promise it. The last error is raised as it is, with a note of how often was tried. `sleep`, `random`
    (0 to 1) and `clock` (that of the budget, monotonic seconds) are for tests.

    Raises `MisuseError` for attempts outside of 1…100, and for a `base` or `cap` that is no duration.
    """

    def __init__(
        self,
        attempts: int = 3,
        *,
        base: Duration = 0.1,
        cap: Duration = 5.0,
        jitter: bool = True,
        retry_on: RetryOn = is_retryable,
        retry_results: Callable[[Any], bool] | None = None,
        repeats: Callable[[Request], bool] = is_repeatable,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = uniform,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if type(attempts) is not int or attempts not in range(1, MAX_ATTEMPTS + 1):
            raise MisuseError(f"attempts is a number between 1 and {MAX_ATTEMPTS}, got {attempts!r}")
        self._attempts = attempts
        self._base = seconds(base)
        self._cap = seconds(cap)
        self._jitter = jitter
        self._retry_on = retry_on
        self._retry_results = retry_results
        self._repeats = repeats
        self._sleep = sleep
        self._random = random
        self._clock = clock

    def __call__(self, next: Handler) -> Handler:
        """`next`, asked again where that may help."""

        async def handler(request: Request) -> Any:
            if self._attempts == 1 or not self._repeats(request):
                return await next(request)
            return await self._attempt(request, next)

        return handler

    async def _attempt(self, request: Request, next: Handler) -> Any:
        attempt = 1
        while True:
            try:
                result = await next(request)
            except Exception as error:
                wait = self._wait_after(error, attempt)
                if wait is None:
                    _note(error, attempt)
                    raise
            else:
                wait = self._wait(attempt) if self._is_unwanted(result) else None
                if wait is None:
                    return result
            # Out here nothing is held of the error, and what fails while waiting is no consequence of it.
            await self._sleep(wait)
            attempt += 1

    def _wait_after(self, error: Exception, attempt: int) -> float | None:
        """The seconds to wait before asking again, `None` where it is not to be asked again."""
        cause = only_error(error)
        retry_on = self._retry_on
        wanted = isinstance(cause, retry_on) if isinstance(retry_on, tuple) else retry_on(cause)
        return self._wait(attempt, _retry_after(cause)) if wanted else None

    def _is_unwanted(self, result: Any) -> bool:
        return self._retry_results is not None and self._retry_results(result)

    def _wait(self, attempt: int, at_least: float = 0.0) -> float | None:
        if attempt >= self._attempts or at_least > self._cap:
            return None
        ceiling = min(self._cap, self._base * 2.0 ** (attempt - 1))
        wait = min(self._cap, at_least + ceiling * (self._random() if self._jitter else 1.0))
        return wait if wait < self._time_left() else None

    def _time_left(self) -> float:
        """The seconds that the request still has: none where it is to stop, `inf` where nothing limits it."""
        token = current_token()
        if token is None:
            return inf
        return 0.0 if token.reason is not None else token.budget.remaining(self._clock()).time


def _retry_after(error: BaseException) -> float:
    """The seconds that the error asks for, 0 where it does not; foreign errors of that shape are understood too."""
    asked: object = getattr(error, "retry_after", None)
    return max(0.0, float(asked)) if isinstance(asked, int | float) else 0.0


def _note(error: Exception, attempts: int) -> None:
    """Say how often was tried, where it was more than once; an error that is raised again and again is told once."""
    note = f"tybalt: given up after {attempts} attempts"
    if attempts > 1 and note not in getattr(error, "__notes__", ()):
        error.add_note(note)
