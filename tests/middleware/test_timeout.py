"""Timeout: what is late is cancelled and awaited; what is not is left alone, its own timeouts too."""

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest

from tybalt.errors import MisuseError, TimedOut, ToolError
from tybalt.middleware import Request, stacked
from tybalt.middleware.timeout import Timeout

pytestmark = pytest.mark.loops
CALL = Request(method="tools/call", name="report")
LIST = Request(method="tools/list")


async def answer(request: Request) -> Any:
    return request.method


class Slow:
    """It never answers, and when it is cancelled it cleans up for a turn and becomes what it is told."""

    def __init__(self, become: Any = None) -> None:
        self.become = become
        self.cleaned_up = False
        self.began = asyncio.Event()

    async def answer(self, request: Request) -> Any:
        self.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.cleaned_up = True
            if isinstance(self.become, BaseException):
                raise self.become from None
            if self.become is not None:
                return self.become
            raise


async def test_what_is_in_time_is_left_alone() -> None:
    assert await Timeout("1h")(answer)(CALL) == "tools/call"


async def test_what_is_late_is_cancelled_and_awaited() -> None:
    slow = Slow()
    with pytest.raises(TimedOut, match=r"^tools/call report was not done within 0\.005 s$"):
        await Timeout("5ms")(slow.answer)(CALL)
    assert slow.cleaned_up


async def test_a_request_without_a_name_is_named_by_its_method() -> None:
    with pytest.raises(TimedOut, match=r"^tools/list was not done"):
        await Timeout(0.005)(Slow().answer)(LIST)


async def test_a_long_name_is_cut() -> None:
    with pytest.raises(TimedOut) as caught:
        await Timeout(0.005)(Slow().answer)(CALL.replaced(name="x" * 5_000))
    assert len(str(caught.value)) < 200


async def test_a_timeout_of_the_handlers_own_passes_unchanged() -> None:
    own = TimeoutError("the database")

    async def failing(request: Request) -> Any:
        raise own

    with pytest.raises(TimeoutError) as caught:
        await Timeout("1h")(failing)(CALL)
    assert caught.value is own


async def test_so_does_one_that_it_raises_when_it_is_cancelled() -> None:
    own = TimeoutError("rolling back")
    with pytest.raises(TimeoutError) as caught:
        await Timeout("5ms")(Slow(own).answer)(CALL)
    assert caught.value is own


async def test_an_error_that_it_raises_when_it_is_cancelled_is_raised() -> None:
    with pytest.raises(ToolError, match="half done"):
        await Timeout("5ms")(Slow(ToolError("half done")).answer)(CALL)


async def test_an_answer_that_it_gives_when_it_is_cancelled_is_the_answer() -> None:
    assert await Timeout("5ms")(Slow("what there is").answer)(CALL) == "what there is"
    await asyncio.sleep(0)  # The task is not left with a cancel that somebody else would see.


async def test_a_cancel_from_outside_is_no_timeout() -> None:
    slow = Slow()

    async def asking() -> Any:
        return await Timeout("1h")(slow.answer)(CALL)

    task = asyncio.create_task(asking())
    await slow.began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.cleaned_up


async def test_the_tighter_of_two_counts_and_says_so() -> None:
    for inner, outer in (("5ms", "1h"), ("1h", "5ms")):
        with pytest.raises(TimedOut, match=r"0\.005 s"):
            await stacked(Slow().answer, [Timeout(outer), Timeout(inner)])(CALL)


class TestLimits:
    LIMITS = Timeout({"report": "5ms", "tools/call": 0.006, "file:///a": timedelta(milliseconds=7)}, default="8ms")

    @pytest.mark.parametrize(
        ("asked", "limit"),
        [
            (CALL, "0.005"),
            (CALL.replaced(name="other"), "0.006"),
            (Request(method="resources/read", name="file:///a"), "0.007"),
            (Request(method="resources/read", name="file:///b"), "0.008"),
            (LIST, "0.008"),
        ],
        ids=["a tool", "another", "a resource", "another resource", "a list"],
    )
    async def test_the_name_counts_before_the_method(self, asked: Request, limit: str) -> None:
        with pytest.raises(TimedOut, match=rf"within {re.escape(limit)} s$"):
            await self.LIMITS(Slow().answer)(asked)

    async def test_what_has_no_limit_is_only_passed_on(self) -> None:
        handler = Timeout({"report": "5ms"})(answer)
        assert await handler(LIST) == "tools/list"
        with pytest.raises(TimedOut):
            await Timeout({"report": "5ms"})(Slow().answer)(CALL)

    @pytest.mark.parametrize(
        "make",
        [lambda: Timeout("30"), lambda: Timeout(0), lambda: Timeout({"a": "x"}), lambda: Timeout({}, default=-1)],
        ids=["no unit", "zero", "in a mapping", "default"],
    )
    def test_a_limit_that_is_none_is_refused(self, make: Any) -> None:
        with pytest.raises(MisuseError, match="a duration is"):
            make()


async def test_several_stacks_may_share_one() -> None:
    limit = Timeout("5ms")
    slow, quick = limit(Slow().answer), limit(answer)
    late, result = await asyncio.gather(slow(CALL), quick(CALL), return_exceptions=True)
    assert isinstance(late, TimedOut) and result == "tools/call"
