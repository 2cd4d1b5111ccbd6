"""`Deadlines`: who is failed when, on how few timers, and what is left when they are closed."""

import asyncio
from typing import Any

import pytest

from tests.client.peers import Clock
from tybalt.client.deadlines import Deadlines


@pytest.fixture
def timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.TimerHandle]:
    """Every timer that is set on a loop of asyncio."""
    handles: list[asyncio.TimerHandle] = []
    call_at = asyncio.BaseEventLoop.call_at

    def keep(self: Any, when: float, callback: Any, *arguments: Any, **options: Any) -> asyncio.TimerHandle:
        handles.append(call_at(self, when, callback, *arguments, **options))
        return handles[-1]

    monkeypatch.setattr(asyncio.BaseEventLoop, "call_at", keep)
    return handles


def waiting(deadlines: Deadlines, *seconds: float) -> "list[asyncio.Future[Any]]":
    futures: list[asyncio.Future[Any]] = []
    for key, each in enumerate(seconds):
        futures.append(asyncio.get_running_loop().create_future())
        deadlines.add(key, futures[-1], each)
    return futures


def failed(futures: "list[asyncio.Future[Any]]") -> list[int]:
    """Which of them have been failed, and with nothing but `TimeoutError`."""
    return [key for key, each in enumerate(futures) if each.done() and type(each.exception()) is TimeoutError]


@pytest.mark.parametrize("seconds", [(1, 2, 3, 3, 5), (5, 3, 3, 2, 1), (3, 1, 5, 2, 3)])
async def test_each_fails_when_its_time_has_come_and_not_before(seconds: tuple[int, ...]) -> None:
    clock, deadlines = Clock(), Deadlines()
    futures = waiting(deadlines, *seconds)
    for now in range(1, 6):
        await clock.advance(0.5)
        assert failed(futures) == [key for key, each in enumerate(seconds) if each < now]
        await clock.advance(0.5)
        assert failed(futures) == [key for key, each in enumerate(seconds) if each <= now]


async def test_many_that_are_due_at_once_fail_at_once() -> None:
    clock, deadlines = Clock(), Deadlines()
    futures = waiting(deadlines, *(1 + number / 100 for number in range(100)))
    await clock.advance(5)
    assert failed(futures) == list(range(100))


@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_time_at_all_fails_in_the_next_turn(seconds: float) -> None:
    clock = Clock()
    futures = waiting(Deadlines(), seconds)
    assert failed(futures) == []
    await clock.advance(0)
    assert failed(futures) == [0]


async def test_what_is_discarded_or_done_is_left_alone() -> None:
    clock, deadlines = Clock(), Deadlines()
    discarded, answered, cancelled, late = futures = waiting(deadlines, 1, 1, 1, 1)
    deadlines.discard(0)
    deadlines.discard(0)
    deadlines.discard(99)
    answered.set_result("in time")
    cancelled.cancel()
    await clock.advance(1)
    assert not discarded.done() and answered.result() == "in time" and cancelled.cancelled()
    assert failed([late]) == [0] and len(futures) == 4


async def test_one_timer_serves_them_all(timers: list[asyncio.TimerHandle]) -> None:
    clock, deadlines = Clock(), Deadlines()
    timers.clear()
    futures = waiting(deadlines, 9, *(10 for _ in range(1000)), 1)
    assert [each.when() - clock.now for each in timers] == [9, 1], "set again only for what is due earlier"
    assert [each.cancelled() for each in timers] == [True, False]
    for key in range(1, 1001):
        deadlines.discard(key)
    await clock.advance(1)
    assert failed(futures) == [1001] and [each.when() - clock.now for each in timers[2:]] == [8]
    await clock.advance(8)
    assert failed(futures) == [0, 1001] and len(timers) == 3


async def test_no_timer_is_set_where_nobody_waits_any_more(timers: list[asyncio.TimerHandle]) -> None:
    clock, deadlines = Clock(), Deadlines()
    timers.clear()
    futures = waiting(deadlines, 1, 2)
    deadlines.discard(1)
    await clock.advance(1)
    assert failed(futures) == [0] and len(timers) == 1
    deadlines.add(2, futures[1], 3)
    await clock.advance(3)
    assert failed(futures) == [0, 1] and len(timers) == 2


async def test_the_next_deadline_after_a_quiet_time_is_kept() -> None:
    """The timer of what is long gone must not stand in the way of what is due earlier or later."""
    clock, deadlines = Clock(), Deadlines()
    waiting(deadlines, 2)
    deadlines.discard(0)
    await clock.advance(1.5)
    futures = waiting(deadlines, 1)
    await clock.advance(0.9)
    assert failed(futures) == []
    await clock.advance(0.1)
    assert failed(futures) == [0]


async def test_a_sweep_that_comes_too_early_looks_again() -> None:
    """A loop runs timers that are due within the resolution of its clock."""
    clock, deadlines = Clock(), Deadlines()
    futures = waiting(deadlines, 1)
    await clock.advance(1 - 1e-10)
    await clock.advance(1e-9)
    assert failed(futures) == [0]


@pytest.mark.parametrize("seconds", [(), (1, 2)])
async def test_closing_forgets_them_all(seconds: tuple[float, ...], timers: list[asyncio.TimerHandle]) -> None:
    clock, deadlines = Clock(), Deadlines()
    timers.clear()
    futures = waiting(deadlines, *seconds)
    deadlines.close()
    deadlines.close()
    assert len(timers) <= 1, "the timer is that of the loop, and finds nothing to do"
    futures += waiting(deadlines, 5)
    await clock.advance(5)
    assert failed(futures) == [len(seconds)]


class TestHeld:
    async def test_time_stands_still_for_what_waits_and_for_nothing_else(self) -> None:
        clock, deadlines = Clock(), Deadlines()
        futures = waiting(deadlines, 2, 4)
        await clock.advance(1)
        with deadlines.held():
            await clock.advance(10)
            assert failed(futures) == []
            later = asyncio.get_running_loop().create_future()
            deadlines.add(9, later, 1)
            await clock.advance(1)
            assert type(later.exception()) is TimeoutError
        await clock.advance(0.9)
        assert failed(futures) == []
        await clock.advance(0.2)
        assert failed(futures) == [0]
        await clock.advance(2)
        assert failed(futures) == [0, 1]
        deadlines.close()

    async def test_where_blocks_overlap_the_last_one_counts(self) -> None:
        clock, deadlines = Clock(), Deadlines()
        futures = waiting(deadlines, 1)
        first, second = deadlines.held(), deadlines.held()
        first.__enter__()
        second.__enter__()
        await clock.advance(5)
        first.__exit__(None, None, None)
        await clock.advance(5)
        assert failed(futures) == []
        second.__exit__(None, None, None)
        await clock.advance(0.9)
        assert failed(futures) == []
        await clock.advance(0.2)
        assert failed(futures) == [0]

    @pytest.mark.parametrize("ended_by", ["discard", "close"])
    async def test_what_is_discarded_meanwhile_is_forgotten(self, ended_by: str) -> None:
        clock, deadlines = Clock(), Deadlines()
        futures = waiting(deadlines, 1)
        with deadlines.held():
            assert deadlines.pending
            if ended_by == "discard":
                deadlines.discard(0)
            else:
                deadlines.close()
            assert not deadlines.pending
        assert not deadlines.pending
        await clock.advance(5)
        assert failed(futures) == []
