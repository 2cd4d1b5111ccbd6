"""Tokens: checkpoints, masks, budgets that end by themselves, other threads. Time is a number the test sets."""

import threading
from collections.abc import Generator
from contextvars import copy_context

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
from tybalt.execution.tokens import MAX_MASKS

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

    @pytest.mark.parametrize("amount", [-1, float("nan")])
    def test_a_cost_that_is_none(self, amount: float) -> None:
        with pytest.raises(MisuseError, match="a cost is 0 or more"):
            token().consume_cost(amount)


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


class TestCurrent:
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
