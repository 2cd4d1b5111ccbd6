"""Timing: every ending is measured, percentiles lie where the true ones do, and no peer can make it grow."""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Iterator
from math import ceil
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.errors import InvalidArguments, InvalidParams, MisuseError, ResourceNotFound, TimedOut, ToolError
from tybalt.middleware import Request, stacked
from tybalt.middleware import timing as module
from tybalt.middleware.timing import BUCKETS, MAX_NAMES, OTHER, Durations, Timing
from tybalt.types.tools import CallToolResult

CALL = Request(method="tools/call", name="add")
ADD = ("tools/call", "add")


class Clock:
    """Time that passes only where a request says how long it takes, in its `meta`."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    async def answer(self, request: Request) -> Any:
        self.now += request.meta.get("seconds", 0.0)
        become = request.meta.get("become")
        if isinstance(become, BaseException):
            raise become
        return become


def lasting(seconds: float, become: Any = None, *, name: str = "add") -> Request:
    return CALL.replaced(name=name, meta={"seconds": seconds, "become": become})


@pytest.mark.loops
async def test_what_is_known_of_one_name() -> None:
    clock = Clock()
    timing = Timing(clock=clock)
    handler = timing(clock.answer)
    for seconds in (0.25, 0.5, 0.75):
        await handler(lasting(seconds))
    known = timing.statistics()[ADD]
    assert (known.count, known.mean, known.max) == (3, 0.5, 0.75)
    assert sum(known.histogram) == 3 and known.histogram[BUCKETS.index(0.25)] == 1


@pytest.mark.loops
async def test_results_errors_and_cancels_are_measured_and_observed() -> None:
    clock = Clock()
    seen: list[tuple[str | None, float, str]] = []
    timing = Timing(lambda request, seconds, ending: seen.append((request.name, seconds, ending)), clock=clock)
    handler = timing(clock.answer)
    await handler(lasting(1.0))
    await handler(lasting(2.0, CallToolResult(content=[], is_error=True)))
    for error in (ToolError("no"), asyncio.CancelledError()):
        with pytest.raises(type(error)) as caught:
            await handler(lasting(3.0, error))
        assert caught.value is error
    assert seen == [("add", 1.0, "ok"), ("add", 2.0, "is_error"), ("add", 3.0, "ToolError"), ("add", 3.0, "cancelled")]
    assert timing.statistics()[ADD].count == 4


@pytest.mark.loops
async def test_a_cancelled_task_is_measured() -> None:
    async def endless(request: Request) -> Any:
        await asyncio.Event().wait()

    timing = Timing()

    async def asking() -> Any:
        return await timing(endless)(CALL)

    task = asyncio.create_task(asking())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert timing.statistics()[ADD].count == 1


@pytest.mark.loops
async def test_an_observer_that_fails_is_logged_and_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def observe(request: Request, seconds: float, ending: str) -> None:
        raise RuntimeError("no line to the metrics")

    clock = Clock()
    handler = Timing(observe)(clock.answer)
    with caplog.at_level(logging.ERROR, logger=module.__name__):
        assert await handler(lasting(0.0, "answer")) == "answer"
        with pytest.raises(asyncio.CancelledError):
            await handler(lasting(0.0, asyncio.CancelledError()))
    assert caplog.text.count("RuntimeError: no line to the metrics") == 2


def test_an_observer_that_would_have_to_be_awaited_is_refused() -> None:
    async def observe(request: Request, seconds: float, ending: str) -> None:
        raise AssertionError("never called")

    with pytest.raises(MisuseError, match="plain function"):
        Timing(observe)


async def measured(*seconds: float) -> Durations:
    clock = Clock()
    timing = Timing(clock=iter_clock(seconds))
    handler = timing(clock.answer)
    for _ in seconds:
        await handler(CALL)
    return timing.statistics()[ADD]


def iter_clock(seconds: tuple[float, ...]) -> Any:
    """A clock that says 0 and then each duration, so that what is measured is exactly that."""

    def readings() -> Iterator[float]:
        for each in seconds:
            yield from (0.0, each)

    return readings().__next__


@given(st.lists(st.sampled_from(BUCKETS) | st.floats(0.0, 200.0), min_size=1, max_size=60))
@example([0.0])
@example([61.0])
@example([0.5] * 20)
async def test_percentiles_lie_in_the_bucket_of_the_true_one(seconds: list[float]) -> None:
    known = await measured(*seconds)
    ordered = sorted(seconds)
    for estimate, share in ((known.p50, 0.50), (known.p95, 0.95), (known.p99, 0.99)):
        true = ordered[max(1, ceil(len(ordered) * share)) - 1]
        bucket = bisect_left(BUCKETS, true)
        assert (BUCKETS[bucket - 1] if bucket else 0.0) <= estimate
        assert estimate <= (BUCKETS[bucket] if bucket < len(BUCKETS) else ordered[-1])
    assert known.p50 <= known.p95 <= known.p99 <= known.max == ordered[-1]
    assert sum(known.histogram) == known.count == len(seconds)
    assert len(known.histogram) == len(BUCKETS) + 1


async def test_the_number_of_names_is_bounded() -> None:
    clock = Clock()
    timing = Timing(clock=clock)
    handler = timing(clock.answer)
    for number in range(MAX_NAMES + 5):
        await handler(lasting(0.0, name=f"tool {number}"))
    await handler(lasting(0.0, name="tool 0"))
    known = timing.statistics()
    assert len(known) == MAX_NAMES + 1
    assert known[OTHER].count == 5 and known["tools/call", "tool 0"].count == 2


async def test_names_that_do_not_exist_get_no_row_of_their_own() -> None:
    clock = Clock()
    timing = Timing(clock=clock)
    handler = timing(clock.answer)
    for number, error in enumerate((InvalidParams("unknown tool"), ResourceNotFound("file:///x"))):
        with pytest.raises(type(error)):
            await handler(lasting(0.0, error, name=f"made up {number}"))
    assert list(timing.statistics()) == [OTHER]


@pytest.mark.parametrize(
    "error", [InvalidArguments("add", "a is missing"), TimedOut(), ToolError("no"), KeyError("bug")], ids=repr
)
async def test_a_tool_that_only_ever_fails_has_a_row(error: Exception) -> None:
    clock = Clock()
    timing = Timing(clock=clock)
    with pytest.raises(type(error)):
        await timing(clock.answer)(lasting(0.0, error))
    assert list(timing.statistics()) == [ADD]


async def test_a_refusal_counts_for_a_name_that_is_known() -> None:
    clock = Clock()
    timing = Timing(clock=clock)
    handler = timing(clock.answer)
    await handler(lasting(0.0))
    with pytest.raises(InvalidParams):
        await handler(lasting(0.0, InvalidParams("no")))
    assert timing.statistics()[ADD].count == 2


async def test_several_stacks_may_share_one() -> None:
    clock = Clock()
    timing = Timing(clock=clock)
    await timing(clock.answer)(lasting(1.0))
    await stacked(clock.answer, [timing])(Request(method="tools/list", meta={"become": "a result"}))
    assert set(timing.statistics()) == {ADD, ("tools/list", None)}
