"""Deadlines: what is called when, on how few timers, and what is left. Mostly on a loop whose time the test sets."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from math import inf, nan
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.asynchronous import LOOPS
from tybalt.errors import MisuseError
from tybalt.execution import Deadline, Deadlines, deadlines_of
from tybalt.execution.deadlines import LONGEST_WAIT, SLACK


class Timer:
    """A timer as `call_at` returns it."""

    def __init__(self, when: float, call: Callable[[], object]) -> None:
        self.when = when
        self.call = call
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as deadlines need, with a time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Timer] = []
        self.complaints: list[dict[str, Any]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], object]) -> Timer:
        self.timers.append(Timer(when, call))
        return self.timers[-1]

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(context)

    @property
    def pending(self) -> list[Timer]:
        return [each for each in self.timers if not each.cancelled]

    def advance(self, seconds: float) -> None:
        """Let time pass, and run the timers that are due; those they set are for the next turn."""
        self.now += seconds
        for each in sorted(self.pending, key=lambda timer: timer.when):
            if each.when <= self.now and not each.cancelled:
                self.timers.remove(each)
                each.call()


class Stage:
    """Deadlines on such a loop, and what was called."""

    def __init__(self) -> None:
        self.loop = Loop()
        self.deadlines = Deadlines(cast("Any", self.loop))
        self.called: list[Any] = []

    def add(self, seconds: float, name: Any = None) -> Deadline:
        name = seconds if name is None else name
        return self.deadlines.add(self.loop.now + seconds, lambda: self.called.append(name))


@pytest.fixture
def stage() -> Stage:
    return Stage()


class TestCalls:
    @pytest.mark.parametrize("seconds", [(1, 2, 3, 5), (5, 3, 2, 1), (3, 1, 5, 2)])
    def test_each_is_made_when_its_time_has_come_and_not_before(self, seconds: tuple[int, ...], stage: Stage) -> None:
        for each in seconds:
            stage.add(each)
        for now in range(1, 6):
            stage.loop.advance(0.5)
            assert stage.called == sorted(each for each in seconds if each < now)
            stage.loop.advance(0.5)
            assert stage.called == sorted(each for each in seconds if each <= now)
        assert not stage.loop.pending and len(stage.deadlines) == 0

    def test_those_of_the_same_time_in_the_order_of_adding(self, stage: Stage) -> None:
        for name in "abcdefgh":
            stage.add(1, name)
        stage.loop.advance(1)
        assert stage.called == list("abcdefgh")

    @pytest.mark.parametrize("seconds", [0, -1])
    def test_what_is_past_is_called_in_the_next_turn(self, seconds: float, stage: Stage) -> None:
        stage.add(seconds, "past")
        assert stage.called == []
        stage.loop.advance(0)
        assert stage.called == ["past"]

    def test_one_knows_when_it_is_due_and_is_called_once(self, stage: Stage) -> None:
        deadline = stage.add(1)
        assert deadline.due == 101.0
        stage.loop.advance(1)
        deadline.cancel()
        stage.add(1, "another")
        stage.loop.advance(1)
        assert stage.called == [1, "another"] and len(stage.deadlines) == 0

    def test_what_is_cancelled_is_not_called(self, stage: Stage) -> None:
        first, _, third = stage.add(1), stage.add(2), stage.add(3)
        third.cancel()
        first.cancel()
        first.cancel()
        assert len(stage.deadlines) == 1
        stage.loop.advance(3)
        assert stage.called == [2]

    def test_nothing_of_a_cancelled_call_is_kept(self, stage: Stage) -> None:
        class Call:
            def __call__(self) -> None: ...

        call = Call()
        kept, deadline = weakref.ref(call), stage.deadlines.add(200.0, call)
        del call
        deadline.cancel()
        assert kept() is None

    def test_the_order_survives_that_most_are_cancelled(self, stage: Stage) -> None:
        times = [1 + number * 389 % 1_000 for number in range(1_000)]
        deadlines = [stage.add(each) for each in times]
        for number, each in enumerate(deadlines):
            if number % 5:
                each.cancel()
        stage.loop.advance(1_000)
        assert stage.called == sorted(times[::5])

    def test_a_timer_that_comes_a_tick_early_is_no_reason_to_wait_again(self, stage: Stage) -> None:
        stage.add(1)
        (timer,) = stage.loop.pending
        stage.loop.now += 1 - 1e-10
        stage.loop.timers.remove(timer)
        timer.call()
        assert stage.called == [1] and not stage.loop.pending

    def test_at_infinity_it_is_never_called(self, stage: Stage) -> None:
        deadline = stage.deadlines.add(inf, lambda: stage.called.append("never"))
        assert deadline.due == inf and not stage.loop.timers and len(stage.deadlines) == 0
        deadline.cancel()

    def test_a_time_that_is_none(self, stage: Stage) -> None:
        with pytest.raises(MisuseError, match=r"a deadline is a time in seconds of loop\.time\(\), got nan"):
            stage.deadlines.add(nan, print)

    def test_far_away_it_is_waited_for_in_parts(self, stage: Stage) -> None:
        stage.add(2.5 * LONGEST_WAIT, "far")
        for _ in range(2):
            assert [each.when - stage.loop.now for each in stage.loop.pending] == [LONGEST_WAIT]
            stage.loop.advance(LONGEST_WAIT)
            assert stage.called == []
        stage.loop.advance(0.5 * LONGEST_WAIT)
        assert stage.called == ["far"]


class TestCallsThatDoSomething:
    def test_one_that_raises_is_reported_and_the_others_are_made(self, stage: Stage) -> None:
        error = BaseExceptionGroup("no", [ValueError()])

        def fail() -> None:
            raise error

        stage.add(1, "before")
        stage.deadlines.add(101.0, fail)
        stage.add(1, "after")
        stage.loop.advance(1)
        assert stage.called == ["before", "after"]
        assert [each["exception"] for each in stage.loop.complaints] == [error]
        assert "a deadline's call failed: <function" in stage.loop.complaints[0]["message"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_one_that_ends_the_loop_does_and_no_other_is_lost(self, error: type[BaseException], stage: Stage) -> None:
        def fail() -> None:
            raise error

        stage.add(1, "before")
        stage.deadlines.add(101.0, fail)
        stage.add(1, "after")
        stage.add(2, "later")
        with pytest.raises(error):
            stage.loop.advance(1)
        assert stage.called == ["before"] and len(stage.deadlines) == 2
        stage.loop.advance(0)
        assert stage.called == ["before", "after"]
        stage.loop.advance(1)
        assert stage.called == ["before", "after", "later"] and not stage.loop.complaints

    def test_what_the_end_of_the_loop_left_may_be_cancelled(self, stage: Stage) -> None:
        others: list[Deadline] = []

        def fail() -> None:
            others[0].cancel()
            raise KeyboardInterrupt

        stage.deadlines.add(101.0, fail)
        others += [stage.add(1), stage.add(1), stage.add(1, "kept")]
        with pytest.raises(KeyboardInterrupt):
            stage.loop.advance(1)
        assert len(stage.deadlines) == 2
        others[1].cancel()
        assert len(stage.deadlines) == 1
        stage.loop.advance(0)
        assert stage.called == ["kept"] and len(stage.deadlines) == 0

    def test_one_that_adds_what_is_due_at_once_does_not_go_on_for_ever(self, stage: Stage) -> None:
        def again() -> None:
            stage.called.append("again")
            stage.deadlines.add(0.0, again)
            stage.add(-1, "too")

        stage.deadlines.add(0.0, again)
        for turn in range(1, 4):
            stage.loop.advance(0)
            assert stage.called.count("again") == turn and stage.called.count("too") == turn - 1
            assert len(stage.loop.timers) == 1, "set once for all that was added"

    def test_one_that_cancels_another_that_is_due_with_it(self, stage: Stage) -> None:
        others: list[Deadline] = []
        stage.deadlines.add(101.0, lambda: [each.cancel() for each in others])
        others += [stage.add(1), stage.add(5), stage.add(9)]
        kept = stage.add(7)
        stage.loop.advance(9)
        assert stage.called == [7] and len(stage.deadlines) == 0 and kept.due == 107.0

    def test_one_that_cancels_very_many(self, stage: Stage) -> None:
        others: list[Deadline] = []
        stage.deadlines.add(101.0, lambda: [each.cancel() for each in others])
        stage.add(2)
        others += [stage.add(3) for _ in range(10 * SLACK)]
        stage.loop.advance(1)
        assert len(stage.deadlines) == 1
        stage.loop.advance(2)
        assert stage.called == [2]

    def test_one_that_closes_them_all(self, stage: Stage) -> None:
        stage.deadlines.add(101.0, stage.deadlines.close)
        stage.add(1)
        stage.add(2)
        stage.loop.advance(2)
        assert stage.called == [] and not stage.loop.pending


class TestTimers:
    def test_one_serves_them_all_and_is_set_anew_only_for_what_is_earlier(self, stage: Stage) -> None:
        kept = stage.add(9)
        many = [stage.add(10) for _ in range(1_000)]
        first = stage.add(1)
        assert [each.when - stage.loop.now for each in stage.loop.timers] == [9, 1]
        assert [each.cancelled for each in stage.loop.timers] == [True, False]
        for each in many:
            each.cancel()
        stage.loop.advance(1)
        assert [each.when for each in stage.loop.pending] == [kept.due] and first.due == 101.0

    def test_requests_that_are_answered_in_time_cost_one_timer_a_timeout(self, stage: Stage) -> None:
        timers = set[int]()
        for _ in range(3_000):
            stage.add(30).cancel()
            stage.loop.advance(0.01)
            timers |= {id(each) for each in stage.loop.timers}
            assert len(stage.loop.pending) <= 1
        assert len(timers) <= 2 and stage.called == []

    def test_cancelled_ones_take_no_more_memory_than_live_ones(self, stage: Stage) -> None:
        for number in range(10 * SLACK):
            stage.add(1_000 + number % 7).cancel()
        live = [stage.add(1_000 - number) for number in range(100)]
        for number in range(50 * SLACK):
            stage.add(1_000 + number % 7).cancel()
            assert len(stage.deadlines._heap) <= 2 * len(live) + SLACK + 1
        assert len(stage.deadlines) == len(live)

    def test_closing_forgets_them_all_and_later_ones_are_kept(self, stage: Stage) -> None:
        deadlines = [stage.add(1), stage.add(2)]
        stage.deadlines.close()
        stage.deadlines.close()
        assert not stage.loop.pending and len(stage.deadlines) == 0
        deadlines[0].cancel()
        assert len(stage.deadlines) == 0
        stage.add(5)
        stage.loop.advance(5)
        assert stage.called == [5]


STEPS = st.one_of(
    st.tuples(st.just("add"), st.integers(-1, 12)),
    st.tuples(st.just("cancel"), st.integers(0, 200)),
    st.tuples(st.just("cancel many"), st.integers(0, 200)),
    st.tuples(st.just("pass"), st.integers(0, 6)),
)


@given(st.lists(STEPS, max_size=200), st.integers(0, 100))
def test_they_do_what_a_plain_list_would(steps: list[tuple[str, int]], at_first: int) -> None:
    stage, added, expected = Stage(), list[Deadline](), list[int]()
    live: dict[int, float] = {}

    def add(seconds: float) -> None:
        live[len(added)] = stage.loop.now + seconds
        added.append(stage.add(seconds, len(added)))

    for number in range(at_first):
        add(1 + number % 5)
    for step, number in steps:
        if step == "add":
            add(number)
        elif step == "pass":
            stage.loop.advance(number)
            due = sorted((time, name) for name, time in live.items() if time <= stage.loop.now)
            expected += [name for _, name in due if live.pop(name)]
        else:
            for each in range(number, number + (1 if step == "cancel" else 100)):
                if each < len(added):
                    added[each].cancel()
                    live.pop(each, None)
        assert stage.called == expected and len(stage.deadlines) == len(live)
        assert len(stage.deadlines._heap) <= 2 * len(live) + SLACK + 1
        assert len(stage.loop.pending) <= 1
        assert not live or stage.loop.pending[0].when <= min(live.values())


@pytest.mark.loops
class TestRealLoops:
    async def test_they_are_called_in_order(self) -> None:
        loop, called, done = asyncio.get_running_loop(), list[int](), asyncio.Event()
        deadlines, now = Deadlines(loop), loop.time()
        deadlines.add(now + 0.004, done.set)
        for each in (3, 1, 2, -1):
            deadlines.add(now + each / 1_000, lambda each=each: called.append(each))
        deadlines.add(now + 1e300, called.clear)
        cancelled = deadlines.add(now + 0.002, called.clear)
        cancelled.cancel()
        await done.wait()
        assert called == [-1, 1, 2, 3] and loop.time() >= now and len(deadlines) == 1
        deadlines.close()

    async def test_a_call_that_raises_goes_to_the_exception_handler(self) -> None:
        loop, told, done = asyncio.get_running_loop(), list[Any](), asyncio.Event()
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        deadlines = Deadlines(loop)
        deadlines.add(loop.time(), lambda: 1 / 0)
        deadlines.add(loop.time(), done.set)
        await done.wait()
        assert [type(each) for each in told] == [ZeroDivisionError]

    async def test_those_of_a_loop_are_one(self) -> None:
        loop = asyncio.get_running_loop()
        deadlines = deadlines_of(loop)
        assert deadlines_of(loop) is deadlines

    async def test_while_one_is_pending_they_are_kept(self) -> None:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        deadlines_of(loop).add(loop.time() + 0.002, done.set)
        gc.collect()
        assert len(deadlines_of(loop)) == 1
        await done.wait()

    def test_loops_are_let_go_with_what_was_pending(self, loop_name: str) -> None:
        loops: list[weakref.ref[Any]] = []
        deadlines = set[int]()

        async def main() -> None:
            loop = asyncio.get_running_loop()
            deadlines_of(loop).add(loop.time() + 1_000, loop.stop)
            loops.append(weakref.ref(loop))
            deadlines.add(len(deadlines_of(loop)))

        for _ in range(3):
            with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
                runner.run(main())
            del runner
        gc.collect()
        assert [each() for each in loops] == [None] * 3 and deadlines == {1}
