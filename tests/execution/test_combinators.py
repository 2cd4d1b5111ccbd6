"""Combinators: they run at once, keep their promises about order and failure, and leave nobody behind."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError, ToolError
from tybalt.execution import Cancelled, Err, Ok, Panicked, first_ok, join_all, join_outcomes, quorum, race


class Stage:
    """Things that run as far as the test lets them, and tell what became of them."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.stopped: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    async def run(self, name: str, result: Any = None) -> Any:
        gate = self.gates.setdefault(name, asyncio.Event())
        self.began.append(name)
        try:
            await gate.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # Cleaning up takes a turn; it is waited for.
            self.stopped.append(name)
            raise
        if isinstance(result, BaseException):
            raise result
        return name if result is None else result

    async def let(self, *names: str) -> None:
        for name in names:
            self.gates[name].set()
            await settle()


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


async def started(awaitable: Awaitable[Any]) -> "asyncio.Task[Any]":
    async def waiting() -> Any:
        return await awaitable

    task = asyncio.create_task(waiting())
    await settle()
    return task


Combinator = Callable[..., Awaitable[Any]]
EACH: dict[str, Combinator] = {
    "join_all": join_all,
    "join_outcomes": join_outcomes,
    "race": race,
    "first_ok": first_ok,
    "quorum": lambda *awaitables, **options: quorum(2, *awaitables, **options),
}
pytestmark = pytest.mark.loops


@pytest.mark.parametrize("combine", EACH.values(), ids=EACH)
class TestEach:
    async def test_all_run_at_once(self, combine: Combinator) -> None:
        stage = Stage()
        task = await started(combine(*(stage.run(name) for name in "abc")))
        assert stage.began == ["a", "b", "c"]
        await stage.let("a", "b", "c")
        await task

    async def test_a_cancel_of_the_caller_stops_and_awaits_all(self, combine: Combinator) -> None:
        stage = Stage()
        task = await started(combine(*(stage.run(name) for name in "abc")))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(stage.stopped) == ["a", "b", "c"]

    async def test_a_time_limit_that_is_none_closes_what_was_given(self, combine: Combinator) -> None:
        with pytest.raises(MisuseError, match="a duration is"):
            await combine(Stage().run("a"), Stage().run("b"), timeout="30")


@pytest.mark.parametrize("combine", [EACH[name] for name in EACH if name != "join_outcomes"])
async def test_a_time_limit_stops_and_awaits_all(combine: Combinator) -> None:
    stage = Stage()
    with pytest.raises(TimeoutError):
        await combine(*(stage.run(name) for name in "abc"), timeout="10ms")
    assert sorted(stage.stopped) == ["a", "b", "c"]


class Wrapped:
    """Something to await that is neither a coroutine nor a future."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._awaitable.__await__()


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("combine", [join_all, race])
async def test_an_exit_is_raised_where_all_are_awaited(combine: Combinator, wrapped: bool) -> None:
    stage = Stage()
    leaves: Any = stage.run("a", SystemExit(3))
    task = asyncio.create_task(exit_of(combine(Wrapped(leaves) if wrapped else leaves, stage.run("b"))))
    await settle()
    await stage.let("a")
    assert await task == 3 and stage.stopped == ["b"]


async def exit_of(awaitable: Awaitable[Any]) -> Any:
    try:
        await awaitable
    except SystemExit as error:
        return error.code


async def test_an_exit_is_what_became_of_it() -> None:
    stage = Stage()
    asked = SystemExit(3)
    task = await started(join_outcomes(stage.run("a", asked), stage.run("b")))
    await stage.let("a", "b")
    assert await task == [Panicked(asked), Ok("b")]
    task = await started(first_ok(stage.run("c", asked), stage.run("d", asked)))
    await stage.let("c", "d")
    with pytest.raises(BaseExceptionGroup) as raised:
        await task
    assert raised.value.exceptions == (asked, asked)


async def test_what_is_stopped_before_it_begins_is_closed() -> None:
    stage = Stage()

    before = asyncio.all_tasks()

    async def stopped() -> None:
        asyncio.get_running_loop().call_soon(lambda: [each.cancel() for each in asyncio.all_tasks() - before])
        await join_all(stage.run("a"), stage.run("b"))

    task = asyncio.create_task(stopped())
    await asyncio.wait([task])
    assert task.cancelled() and stage.began == []


class TestJoinAll:
    async def test_results_have_the_order_of_what_was_given(self) -> None:
        stage = Stage()
        task = await started(join_all(*(stage.run(name) for name in "abc")))
        await stage.let("c", "a", "b")
        assert await task == ["a", "b", "c"]

    async def test_the_first_failure_stops_the_others(self) -> None:
        stage = Stage()
        task = await started(join_all(stage.run("a"), stage.run("b", ToolError("no")), stage.run("c")))
        await stage.let("b")
        with pytest.raises(ToolError, match="no"):
            await task
        assert sorted(stage.stopped) == ["a", "c"]

    async def test_of_none_there_is_nothing(self) -> None:
        assert await join_all() == []


class TestJoinOutcomes:
    async def test_a_failure_stops_nobody(self) -> None:
        stage = Stage()
        bug = ValueError("bug")
        task = await started(join_outcomes(stage.run("a"), stage.run("b", ToolError("no")), stage.run("c", bug)))
        await stage.let("c", "b", "a")
        ok, err, panicked = await task
        assert ok == Ok("a") and isinstance(err, Err) and panicked == Panicked(bug)

    async def test_what_is_late_is_cancelled(self) -> None:
        stage = Stage()
        late, done = await join_outcomes(stage.run("late"), asyncio.sleep(0, "done"), timeout="10ms")
        assert isinstance(late, Cancelled) and late.reason.kind.value == "timeout" and done == Ok("done")
        assert stage.stopped == ["late"]

    async def test_of_none_there_is_nothing(self) -> None:
        assert await join_outcomes() == []


@pytest.mark.parametrize("combine", [join_all, join_outcomes, race, first_ok, lambda *all_: quorum(1, *all_)])
async def test_what_cannot_be_awaited_is_refused_before_anything_begins(combine: Any) -> None:
    stage = Stage()
    for wrong in (5, stage.run):
        with pytest.raises(MisuseError, match="expected something to await, such as `work"):
            await combine(stage.run("a"), wrong)
    assert stage.began == []


class TestRace:
    async def test_the_first_wins_and_the_losers_are_awaited(self) -> None:
        stage = Stage()
        task = await started(race(*(stage.run(name) for name in "abc")))
        await stage.let("b")
        assert await task == "b"
        assert sorted(stage.stopped) == ["a", "c"]

    async def test_the_first_may_be_a_failure(self) -> None:
        stage = Stage()
        task = await started(race(stage.run("a"), stage.run("b", ToolError("no"))))
        await stage.let("b")
        with pytest.raises(ToolError):
            await task
        assert stage.stopped == ["a"]

    async def test_somebody_has_to_run(self) -> None:
        with pytest.raises(MisuseError, match="needs at least one"):
            await race()


class TestFirstOk:
    async def test_failures_are_passed_over(self) -> None:
        stage = Stage()
        task = await started(first_ok(stage.run("a", ToolError("no")), stage.run("b"), stage.run("c")))
        await stage.let("a")
        assert not task.done()
        await stage.let("c")
        assert await task == "c"
        assert stage.stopped == ["b"]

    async def test_where_all_fail_all_is_told(self) -> None:
        stage = Stage()
        errors = [ToolError("one"), ValueError("two")]
        task = await started(first_ok(stage.run("a", errors[0]), stage.run("b", errors[1])))
        await stage.let("b", "a")
        with pytest.raises(ExceptionGroup) as caught:
            await task
        assert list(caught.value.exceptions) == [errors[1], errors[0]]

    async def test_there_has_to_be_something_to_try(self) -> None:
        with pytest.raises(MisuseError, match="needs at least one"):
            await first_ok()


class TestQuorum:
    async def test_as_many_as_are_needed_in_the_order_they_came(self) -> None:
        stage = Stage()
        task = await started(quorum(2, *(stage.run(name) for name in "abcd")))
        await stage.let("d", "b")
        assert await task == ["d", "b"]
        assert sorted(stage.stopped) == ["a", "c"]

    async def test_the_order_holds_for_those_that_come_in_one_turn_of_the_loop(self) -> None:
        loop = asyncio.get_running_loop()
        first, second, third = (loop.create_future() for _ in range(3))
        task = await started(quorum(3, first, second, third))
        third.set_result("c")
        first.set_result("a")
        second.set_result("b")
        assert await task == ["c", "a", "b"]

    async def test_it_fails_as_soon_as_it_cannot_be_reached(self) -> None:
        stage = Stage()
        no = ToolError("no")
        task = await started(quorum(2, stage.run("a", no), stage.run("b", no), stage.run("c")))
        await stage.let("a")
        assert not task.done()
        await stage.let("b")
        with pytest.raises(ExceptionGroup, match="2 of 3 were needed, 2 failed"):
            await task
        assert stage.stopped == ["c"]

    async def test_none_needed_is_none_awaited(self) -> None:
        stage = Stage()
        assert await quorum(0, stage.run("a")) == []
        assert stage.began == []

    @pytest.mark.parametrize("needed", [-1, 2, "1", 1.5])
    async def test_more_than_there_are(self, needed: Any) -> None:
        with pytest.raises(MisuseError, match="cannot be"):
            await quorum(needed, Stage().run("a"))


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=6),
    st.sampled_from([*EACH]),
)
async def test_whatever_happens_nobody_is_left_behind(plan: list[tuple[int, bool]], name: str) -> None:
    running = 0

    async def work(turns: int, fails: bool) -> int:
        nonlocal running
        running += 1
        try:
            for _ in range(turns):
                await asyncio.sleep(0)
            if fails:
                raise ToolError("no")
            return turns
        finally:
            running -= 1

    combine = EACH[name] if name != "quorum" else lambda *all_: quorum(len(all_) // 2, *all_)
    try:
        await combine(*(work(turns, fails) for turns, fails in plan))
    except (ToolError, ExceptionGroup):
        assert any(fails for _, fails in plan)
    assert running == 0
