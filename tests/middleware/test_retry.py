"""Retry: only what may be repeated, later each time, within what the request has, and never a cancel."""

import asyncio
from collections.abc import Callable, Iterable
from math import inf
from typing import Any

import pytest

from tybalt.errors import (
    BackendError,
    ConnectionLost,
    InvalidParams,
    McpError,
    MisuseError,
    Overloaded,
    RateLimited,
    RequestLost,
    RequestTimeout,
    TimedOut,
    ToolError,
    TybaltError,
)
from tybalt.execution import Budget, CancelKind, CancelReason, CancelToken, Interrupted, governed
from tybalt.middleware import Request, stacked
from tybalt.middleware.retry import MAX_ATTEMPTS, Retry, is_retryable
from tybalt.types.tools import CallToolResult, ToolAnnotations

pytestmark = pytest.mark.loops
READ = Request(method="resources/read", name="file:///a")
CALL = Request(method="tools/call", name="add")
FAILED = CallToolResult(content=[], is_error=True)


class Upstream:
    """It becomes what it is told, one after the other, and waiting for it takes no time but is noted."""

    def __init__(self, *becomes: Any, clock: float = 0.0) -> None:
        self.becomes = list(becomes)
        self.asked = 0
        self.waits: list[float] = []
        self.now = clock

    async def answer(self, request: Request) -> Any:
        self.asked += 1
        become = self.becomes.pop(0)
        if isinstance(become, BaseException):
            raise become
        return become

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def behind(self, attempts: int = 3, **options: Any) -> Callable[[Request], Any]:
        options = {"sleep": self.sleep, "clock": lambda: self.now, "random": lambda: 1.0} | options
        return Retry(attempts, **options)(self.answer)


async def test_what_succeeds_is_asked_once() -> None:
    upstream = Upstream("a")
    assert await upstream.behind()(READ) == "a"
    assert (upstream.asked, upstream.waits) == (1, [])


async def test_what_fails_for_a_while_is_asked_again() -> None:
    upstream = Upstream(Overloaded(), ConnectionResetError(), "a")
    assert await upstream.behind()(READ) == "a"
    assert (upstream.asked, upstream.waits) == (3, [0.1, 0.2])


async def test_the_last_error_is_raised_as_it_is_with_a_note() -> None:
    errors = [Overloaded("first"), Overloaded("second"), Overloaded("third")]
    upstream = Upstream(*errors)
    with pytest.raises(Overloaded) as caught:
        await upstream.behind()(READ)
    assert caught.value is errors[-1] and upstream.asked == 3
    assert caught.value.__notes__ == ["tybalt: given up after 3 attempts"]
    assert caught.value.__context__ is None


async def test_an_error_that_is_raised_again_and_again_has_one_note() -> None:
    error = Overloaded()
    for _ in range(3):
        with pytest.raises(Overloaded):
            await Upstream(error, error, error).behind()(READ)
    assert len(error.__notes__) == 1


@pytest.mark.parametrize(
    ("error", "retryable"),
    [
        (TimedOut(), True),
        (RateLimited(), True),
        (BackendError("down"), True),
        (Overloaded(), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (RequestTimeout("late"), True),
        (InvalidParams("no"), False),
        (McpError("no"), False),
        (ToolError("no"), False),
        (RequestLost("gone, and another one comes"), True),
        (ConnectionLost("gone"), False),
        (FileNotFoundError("a"), False),
        (ValueError("bug"), False),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
async def test_which_errors_may_pass(error: Exception, retryable: bool) -> None:
    upstream = Upstream(error, "a")
    if retryable:
        assert await upstream.behind()(READ) == "a"
    else:
        with pytest.raises(type(error)) as caught:
            await upstream.behind()(READ)
        assert caught.value is error and not hasattr(error, "__notes__")
    assert is_retryable(error) is retryable
    assert upstream.asked == 1 + retryable


async def test_a_group_of_one_counts_as_the_one_in_it() -> None:
    upstream = Upstream(ExceptionGroup("tasks", [Overloaded()]), "a")
    assert await upstream.behind()(READ) == "a"


async def test_retry_on_may_be_classes_or_a_function() -> None:
    upstream = Upstream(KeyError("a"), "a", Overloaded())
    handler = upstream.behind(retry_on=(KeyError, IndexError))
    assert await handler(READ) == "a"
    with pytest.raises(Overloaded):
        await handler(READ)
    upstream = Upstream(ToolError("busy"), ToolError("never"))
    with pytest.raises(ToolError, match="never"):
        await upstream.behind(retry_on=lambda error: "busy" in str(error))(READ)
    assert upstream.asked == 2


class TestWhatMayBeRepeated:
    @pytest.mark.parametrize("hints", [None, ToolAnnotations(destructive_hint=False)], ids=["unknown", "none"])
    async def test_a_tool_is_not_by_itself(self, hints: ToolAnnotations | None) -> None:
        upstream = Upstream(Overloaded(), "a")
        with pytest.raises(Overloaded):
            await upstream.behind()(CALL.replaced(hints=hints))
        assert upstream.asked == 1

    async def test_a_tool_that_promises_it_is(self) -> None:
        upstream = Upstream(Overloaded(), "a")
        assert await upstream.behind()(CALL.replaced(hints=ToolAnnotations(idempotent_hint=True))) == "a"

    async def test_whoever_knows_better_says_so(self) -> None:
        upstream = Upstream(Overloaded(), "a", Overloaded())
        handler = upstream.behind(repeats=lambda request: request.name == "add")
        assert await handler(CALL) == "a"
        with pytest.raises(Overloaded):
            await handler(READ)


class TestResults:
    async def test_they_are_not_retried_by_themselves(self) -> None:
        upstream = Upstream(FAILED)
        assert await upstream.behind()(READ) is FAILED

    async def test_they_are_where_a_function_says_so(self) -> None:
        upstream = Upstream(FAILED, Overloaded(), "a")
        assert await upstream.behind(retry_results=lambda result: result is FAILED)(READ) == "a"
        assert upstream.waits == [0.1, 0.2]

    async def test_the_last_one_is_returned(self) -> None:
        last = CallToolResult(content=[], is_error=True)
        upstream = Upstream(FAILED, last)
        assert await upstream.behind(2, retry_results=lambda result: result.is_error)(READ) is last


class TestWaiting:
    async def test_the_ceiling_doubles_up_to_the_cap(self) -> None:
        upstream = Upstream(*[Overloaded() for _ in range(7)])
        with pytest.raises(Overloaded):
            await upstream.behind(7, base="1s", cap=5)(READ)
        assert upstream.waits == [1, 2, 4, 5, 5, 5]

    @pytest.mark.parametrize("chances", [[0.0] * 4, [0.5] * 4, [0.9, 0.0, 0.25, 0.1]], ids=str)
    async def test_the_wait_lies_anywhere_below_the_ceiling(self, chances: list[float]) -> None:
        upstream = Upstream(*[Overloaded() for _ in range(5)])
        with pytest.raises(Overloaded):
            await upstream.behind(5, base=1, cap=3, random=iter(chances).__next__)(READ)
        assert upstream.waits == [chance * ceiling for chance, ceiling in zip(chances, [1, 2, 3, 3], strict=True)]

    async def test_without_jitter_it_is_the_ceiling(self) -> None:
        upstream = Upstream(Overloaded(), "a")
        await upstream.behind(jitter=False, random=lambda: 0.0)(READ)
        assert upstream.waits == [0.1]

    async def test_many_attempts_do_not_overflow(self) -> None:
        upstream = Upstream(*[Overloaded() for _ in range(MAX_ATTEMPTS)])
        with pytest.raises(Overloaded):
            await upstream.behind(MAX_ATTEMPTS, cap="1s")(READ)
        assert max(upstream.waits) == 1.0 and len(upstream.waits) == MAX_ATTEMPTS - 1


class TestRetryAfter:
    async def test_what_an_error_asks_for_comes_first(self) -> None:
        upstream = Upstream(RateLimited(retry_after=2), "a")
        await upstream.behind()(READ)
        assert upstream.waits == [2.1]

    async def test_the_time_on_top_stays_below_the_cap(self) -> None:
        upstream = Upstream(RateLimited(retry_after=4.9), "a")
        await upstream.behind(base=3)(READ)
        assert upstream.waits == [5.0]

    async def test_whoever_asks_for_more_than_the_cap_is_not_asked_again(self) -> None:
        upstream = Upstream(RateLimited(retry_after=60), "a")
        with pytest.raises(RateLimited):
            await upstream.behind()(READ)
        assert (upstream.asked, upstream.waits) == (1, [])

    async def test_one_that_came_over_the_wire_is_understood(self) -> None:
        upstream = Upstream(McpError.received(429, "slow down", {"retryAfter": 1}), "a")
        await upstream.behind()(READ)
        assert upstream.waits == [1.1]

    @pytest.mark.parametrize("said", [None, "soon", -1, float("nan")], ids=str)
    async def test_nonsense_asks_for_nothing(self, said: Any) -> None:
        error = ConnectionError()
        error.retry_after = said  # pyright: ignore[reportAttributeAccessIssue]
        upstream = Upstream(error, "a")
        await upstream.behind()(READ)
        assert upstream.waits == [0.1]

    async def test_no_end_of_time_is_waited_for(self) -> None:
        error = ConnectionError()
        error.retry_after = inf  # pyright: ignore[reportAttributeAccessIssue]
        with pytest.raises(ConnectionError):
            await Upstream(error, "a").behind()(READ)


class TestBudget:
    @staticmethod
    async def with_deadline(upstream: Upstream, deadline: float, **options: Any) -> Any:
        with governed(CancelToken(Budget(deadline=deadline), clock=lambda: upstream.now)):
            return await upstream.behind(5, base=1, cap=10, **options)(READ)

    async def test_a_wait_that_fits_is_waited(self) -> None:
        upstream = Upstream(Overloaded(), "a", clock=100.0)
        assert await self.with_deadline(upstream, 101.5) == "a"

    async def test_a_wait_beyond_the_deadline_is_not_begun(self) -> None:
        upstream = Upstream(*[Overloaded() for _ in range(5)], clock=100.0)
        with pytest.raises(Overloaded) as caught:
            await self.with_deadline(upstream, 106.0)  # 1 + 2 fit, 4 more do not
        assert upstream.waits == [1, 2]
        assert caught.value.__notes__ == ["tybalt: given up after 3 attempts"]

    async def test_a_request_that_is_to_stop_is_not_asked_again(self) -> None:
        upstream = Upstream(Overloaded(), "a")
        token = CancelToken(clock=lambda: 0.0)
        token.cancel(CancelReason(CancelKind.USER))
        with governed(token), pytest.raises(Overloaded):
            await upstream.behind()(READ)
        assert upstream.asked == 1


class TestCancels:
    @pytest.mark.parametrize(
        "cancel", [asyncio.CancelledError(), Interrupted(CancelReason(CancelKind.USER))], ids=["task", "token"]
    )
    async def test_they_are_not_retried(self, cancel: BaseException) -> None:
        upstream = Upstream(cancel, "a")
        with pytest.raises(type(cancel)) as caught:
            await upstream.behind(retry_on=lambda error: True)(READ)
        assert caught.value is cancel and upstream.asked == 1

    async def test_one_while_waiting_ends_it(self) -> None:
        upstream = Upstream(Overloaded(), "a")
        waiting = asyncio.Event()

        async def sleep(seconds: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        async def asking() -> Any:
            return await upstream.behind(sleep=sleep)(READ)

        task = asyncio.create_task(asking())
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert upstream.asked == 1 and not isinstance(caught.value.__context__, TybaltError)


async def test_several_stacks_may_share_one_and_count_for_themselves() -> None:
    retry = Retry(2, base="1ms", random=lambda: 0.0)
    first, second = Upstream(Overloaded(), "a"), Upstream(Overloaded(), "b")
    handlers = retry(first.answer), stacked(second.answer, [retry])
    assert await asyncio.gather(*(handler(READ) for handler in handlers)) == ["a", "b"]


async def test_one_attempt_is_no_retry() -> None:
    upstream = Upstream(Overloaded())
    with pytest.raises(Overloaded) as caught:
        await upstream.behind(1)(READ)
    assert not hasattr(caught.value, "__notes__")


REFUSED: Iterable[tuple[Any, dict[str, Any], str]] = [
    (0, {}, "attempts is a number between 1 and 100"),
    (MAX_ATTEMPTS + 1, {}, "attempts is a number"),
    (True, {}, "attempts is a number"),
    (3, {"base": 0}, "a duration is"),
    (3, {"cap": "5"}, "a duration is"),
]


@pytest.mark.parametrize(("attempts", "options", "message"), REFUSED, ids=["0", "101", "True", "base", "cap"])
def test_options_that_are_none_are_refused(attempts: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        Retry(attempts, **options)
