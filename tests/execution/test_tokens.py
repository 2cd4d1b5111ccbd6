"""Tokens: checkpoints, masks, budgets that end by themselves, other threads. Time is a number the test sets."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.execution import (
    Budget,
    CancelKind,
    CancelReason,
    CancelToken,
    Interrupted,
    checkpoint,
    current_token,
    governed,
    masked,
    within,
)
from tybalt.execution.tokens import MAX_MASKS, begins_bare, begun_token, ungoverned

BORED = CancelReason(CancelKind.USER, "bored")
ENDING = CancelReason(CancelKind.SHUTDOWN, "ending")


class Clock:
    """A time that the test sets; reading it is counted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.read = 0

    def __call__(self) -> float:
        self.read += 1
        return self.now


def token(budget: Budget = Budget()) -> CancelToken:
    return CancelToken(budget, clock=Clock())


class TestCheckpoints:
    def test_it_passes_until_it_is_cancelled_and_then_never(self) -> None:
        work = token()
        work.checkpoint()
        work.cancel(BORED)
        for _ in range(3):
            with pytest.raises(Interrupted) as caught:
                work.checkpoint()
            assert caught.value.reason is BORED

    def test_where_nothing_is_limited_no_clock_is_read(self) -> None:
        clock = Clock()
        work = CancelToken(Budget(cost=5), clock=clock)
        for _ in range(10):
            work.checkpoint()
        assert clock.read == 0

    def test_a_deadline_ends_it(self) -> None:
        clock = Clock()
        work = CancelToken(within("30s", clock.now), clock=clock)
        clock.now = 29.9
        work.checkpoint()
        clock.now = 30.0
        with pytest.raises(Interrupted, match="deadline: the time is up"):
            work.checkpoint()
        assert work.reason is not None and work.reason.at == 30.0

    def test_a_poll_quota_ends_it(self) -> None:
        work = token(Budget(polls=2))
        work.checkpoint()
        work.checkpoint()
        assert work.budget.polls == 0
        with pytest.raises(Interrupted, match="poll quota"):
            work.checkpoint()

    @given(st.permutations([BORED, ENDING, CancelReason(CancelKind.RACE_LOST)]))
    def test_of_several_reasons_the_one_that_counts(self, reasons: list[CancelReason]) -> None:
        work = token()
        for reason in reasons:
            work.cancel(reason)
        assert work.reason is ENDING


class TestCost:
    def test_what_does_not_suffice_spends_nothing(self) -> None:
        work = token(Budget(cost=5))
        assert work.consume_cost(3)
        assert not work.consume_cost(3)
        assert work.budget.cost == 2
        assert work.consume_cost(2) and work.consume_cost(0) and not work.consume_cost(1)

    def test_without_a_quota_everything_suffices(self) -> None:
        assert token().consume_cost(1e300)

    @pytest.mark.parametrize("amount", [-1, float("nan"), "x", None])
    def test_a_cost_that_is_none(self, amount: Any) -> None:
        with pytest.raises(MisuseError, match="a cost is 0 or more"):
            token().consume_cost(amount)


class TestPolls:
    def test_parts_share_the_quota(self) -> None:
        work = token(Budget(polls=4))
        for _ in range(2):
            with work.child() as part, part.child(Budget(polls=2)) as smaller:
                part.checkpoint()
                smaller.checkpoint()
        assert work.budget.polls == 0
        with work.child() as part, pytest.raises(Interrupted, match="poll quota"):
            part.checkpoint()
        with pytest.raises(Interrupted):
            work.checkpoint()

    def test_what_is_left_is_told_in_a_part_too(self) -> None:
        work = token(Budget(cost=10, polls=10))
        with work.child(Budget(cost=9)) as part:
            assert work.consume_cost(8)
            work.checkpoint()
            assert (part.budget.cost, part.budget.polls) == (2, 9)
            assert not part.consume_cost(5) and part.consume_cost(2)


class TestStandingStill:
    """While somebody else is waited for, a deadline moves along with the time."""

    def test_it_is_told_as_if_time_went_on_now(self) -> None:
        clock = Clock()
        work = CancelToken(Budget(deadline=10), clock=clock)
        with work.child(Budget(deadline=7)) as part:
            clock.now = 4
            work.suspend(until=14)
            clock.now = 5
            work.suspend(until=14)  # Of several at once the first one counts.
            clock.now = 6
            assert (work.budget.deadline, part.budget.deadline) == (12, 9)
            clock.now = 9
            part.checkpoint()
            assert (work.budget.deadline, part.budget.deadline) == (14, 12)
            work.postpone(5, until=14)
            assert (work.budget.deadline, part.budget.deadline) == (14, 12)
            clock.now = 12
            with pytest.raises(Interrupted):
                part.checkpoint()

    def test_a_part_that_begins_meanwhile_has_its_own_time_and_no_more(self) -> None:
        clock = Clock()
        work = CancelToken(Budget(deadline=5), clock=clock)
        clock.now = 1
        work.suspend()
        clock.now = 10
        with work.child(Budget(deadline=12)) as part, work.child() as open_end:
            assert (part.budget.deadline, open_end.budget.deadline) == (12, 14)
            clock.now = 11
            work.postpone(10)
            assert (part.budget.deadline, open_end.budget.deadline, work.budget.deadline) == (13, 15, 15)
            work.suspend()
            clock.now = 14
            work.postpone(3)
            assert (part.budget.deadline, open_end.budget.deadline, work.budget.deadline) == (16, 18, 18)

    def test_without_a_deadline_there_is_none(self) -> None:
        clock = Clock()
        work = CancelToken(clock=clock)
        work.suspend()
        with work.child() as part:
            clock.now = 5
            assert part.budget == work.budget == Budget()
            work.postpone(5)
        assert part.budget == Budget()


class TestMasks:
    def test_a_cancel_waits_until_the_outermost_mask_is_left(self) -> None:
        work = token()
        told: list[CancelReason] = []
        work.on_cancel = told.append
        with work.masked():
            with work.masked():
                work.cancel(BORED)
                work.checkpoint()
            work.checkpoint()
            assert told == []
        assert told == [BORED]
        with pytest.raises(Interrupted):
            work.checkpoint()

    def test_it_is_left_when_something_is_raised(self) -> None:
        work = token()
        with pytest.raises(ValueError, match="mine"), work.masked():
            raise ValueError("mine")
        work.cancel(BORED)
        with pytest.raises(Interrupted):
            work.checkpoint()

    def test_a_deadline_waits_too(self) -> None:
        clock = Clock()
        work = CancelToken(within(1, clock.now), clock=clock)
        with work.masked():
            clock.now = 5.0
            work.checkpoint()
        with pytest.raises(Interrupted, match="deadline"):
            work.checkpoint()

    def test_a_part_and_the_whole_are_masked_together(self) -> None:
        work = token()
        told: list[CancelReason] = []
        work.on_cancel = told.append
        with work.child() as part:
            with part.masked():
                assert work.is_masked and part.is_masked
                work.cancel(BORED)
                part.checkpoint()
                work.checkpoint()
                assert told == []
            assert told == [BORED]
            with pytest.raises(Interrupted):
                part.checkpoint()
            with work.masked():
                part.checkpoint()

    @pytest.mark.parametrize("kind", CancelKind)
    def test_cleaning_up_is_bounded_by_the_kind_of_the_cancel(self, kind: CancelKind) -> None:
        work = token()
        work.cancel(CancelReason(kind))
        with work.masked():
            for _ in range(kind.cleanup_checkpoints):
                work.checkpoint()
            with pytest.raises(Interrupted):
                work.checkpoint()

    def test_a_cancel_is_told_once(self) -> None:
        work = token()
        told: list[CancelReason] = []
        work.on_cancel = told.append
        work.cancel(BORED)
        work.cancel(ENDING)
        with work.masked():
            work.cancel(ENDING)
        assert told == [BORED]

    def test_the_depth_is_limited(self) -> None:
        work = token()

        def deeper(left: int) -> None:
            with work.masked():
                if left:
                    deeper(left - 1)

        deeper(MAX_MASKS - 1)
        with pytest.raises(MisuseError, match="at most 64 blocks may be nested"):
            deeper(MAX_MASKS)
        work.cancel(BORED)
        with pytest.raises(Interrupted):
            work.checkpoint()

    def test_who_waits_for_the_outermost_mask_to_be_left_is_told_once(self) -> None:
        told: list[str] = []

        def tell() -> None:
            told.append("left")

        work = token()
        assert not work.when_unmasked(tell)
        with work.child() as part:
            with work.masked():
                assert part.when_unmasked(tell) and work.when_unmasked(tell)
                with part.masked(), work.masked():
                    pass
                assert told == []
            assert told == ["left"]
            with part.masked():
                pass
            assert told == ["left"]

    def test_everybody_who_waits_is_told_and_not_before_the_whole_is_unmasked(self) -> None:
        told: list[str] = []
        work = token()
        with work.child() as part, work.masked():
            with part.masked():
                assert part.when_unmasked(lambda: told.append("one"))
                assert part.when_unmasked(lambda: told.append("other"))
            assert told == []
        assert told == ["one", "other"]


class TestCurrent:
    def test_what_begins_somebody_elses_work_hands_on_no_token(self) -> None:
        work = token()
        assert ungoverned(current_token) is None
        with governed(work):
            assert ungoverned(current_token) is None and current_token() is work
            with pytest.raises(ZeroDivisionError):
                ungoverned(divmod, 1, 0)
            assert current_token() is work

    def test_outside_of_any_work_nothing_happens(self) -> None:
        assert current_token() is None
        checkpoint()
        with masked():
            checkpoint()

    def test_inside_it_is_the_works(self) -> None:
        work = token()
        with governed(work):
            assert current_token() is work
            with masked():
                work.cancel(BORED)
                checkpoint()
            with pytest.raises(Interrupted):
                checkpoint()
        checkpoint()

    def test_what_is_thrown_away_inside_may_be_closed_by_anybody(self) -> None:
        def unfinished() -> Generator[None]:
            with governed(token()):
                yield

        work = unfinished()
        copy_context().run(next, work)
        work.close()
        assert current_token() is None

    def test_thrown_away_where_it_began_it_is_put_back(self) -> None:
        def unfinished() -> Generator[None]:
            with governed(token()):
                yield

        work = unfinished()
        next(work)
        work.close()
        assert current_token() is None

    def test_going_on_in_another_context_is_a_mistake(self) -> None:
        def unfinished() -> Generator[None]:
            with governed(token()):
                yield

        work = unfinished()
        copy_context().run(next, work)
        with pytest.raises(ValueError, match="different Context"):
            next(work)

    def test_a_thread_in_a_copy_of_the_context_sees_it(self) -> None:
        work = token()
        began, cancelled = threading.Event(), threading.Event()
        caught: list[CancelReason] = []

        def run() -> None:
            checkpoint()
            began.set()
            assert cancelled.wait(10)
            try:
                checkpoint()
            except Interrupted as error:
                caught.append(error.reason)

        with governed(work):
            context = copy_context()
        thread = threading.Thread(target=lambda: context.run(run))
        thread.start()
        assert began.wait(10)
        work.cancel(BORED)
        cancelled.set()
        thread.join(10)
        assert caught == [BORED]


@begins_bare
async def bare(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await work()


class TestBegunWithout:
    """A task whose token is made when it first waits: who wants one before gets that very one."""

    async def begun(self, work: Callable[[], Coroutine[Any, Any, None]]) -> CancelToken | None:
        """What such a task has asked for up to its first wait."""
        variables = copy_context()
        task = asyncio.get_running_loop().create_task(bare(work), context=variables)
        await asyncio.sleep(0)
        early = begun_token(task, variables)
        await task
        return early

    async def test_it_has_none_as_long_as_nobody_asks(self) -> None:
        async def work() -> None:
            checkpoint()
            await asyncio.sleep(0)

        assert await self.begun(work) is None

    async def test_a_mask_is_of_the_token_it_gets(self) -> None:
        seen: list[CancelToken | None] = []

        async def work() -> None:
            with masked():
                seen.append(current_token())
                await asyncio.sleep(0)
                seen.append(current_token())
            seen.append(current_token())

        early = await self.begun(work)
        assert early is not None and seen == [early] * 3 and not early.is_masked

    async def test_one_of_somebody_elses_is_left_alone_and_its_own_put_back(self) -> None:
        mine = token()
        seen: list[CancelToken | None] = []

        async def work() -> None:
            with governed(mine):
                await asyncio.sleep(0)
                seen.append(current_token())
            seen.append(current_token())

        early = await self.begun(work)
        assert early not in (None, mine) and seen == [mine, early]

    async def test_what_runs_in_a_copy_of_its_context_has_asked_for_none(self) -> None:
        inner: list[CancelToken | None] = []

        async def nothing() -> None:
            await asyncio.sleep(0)

        async def work() -> None:
            with masked():
                inner.append(await self.begun(nothing))

        await self.begun(work)
        assert inner == [None]

    async def test_other_tasks_have_none_however_often_they_ask(self) -> None:
        with masked():
            assert current_token() is None
        with governed(token()):
            pass
        assert current_token() is None

    def test_limits_that_come_later_hold_for_its_parts_too(self) -> None:
        clock = Clock()
        work = CancelToken(clock=clock)
        with work.child(Budget(deadline=20)) as part, work.child(Budget(deadline=5, cost=1)) as shorter:
            work.checkpoint()
            assert clock.read == 0
            work.narrow(Budget(deadline=10, cost=7))
            assert (part.budget.deadline, shorter.budget.deadline) == (10, 5)
            assert (work.budget.cost, part.budget.cost, shorter.budget.cost) == (7, 7, 1)
            clock.now = 10
            for each in (work, part, shorter):
                with pytest.raises(Interrupted):
                    each.checkpoint()
