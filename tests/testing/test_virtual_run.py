"""`run_virtual`: results and errors, and everything that a program can leave behind."""

import asyncio
import gc
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.testing import Deadlock, LeftBehind, Limit, VirtualLoopError, run_virtual
from tybalt.testing.virtual_run import MAX_TOLD

kept: list[Any] = []


@pytest.fixture(autouse=True)
def _nothing_is_kept() -> "Any":
    yield
    kept.clear()


async def spin() -> None:
    for _ in range(1_000_000):
        await asyncio.sleep(1)


async def numbers() -> AsyncGenerator[int]:
    try:
        for number in range(3):
            yield number
    finally:
        await asyncio.sleep(1)


class TestPrograms:
    def test_a_function_or_a_coroutine(self) -> None:
        async def main() -> str:
            return "done"

        assert run_virtual(main) == run_virtual(main()) == "done"

    def test_it_raises_what_the_program_raises(self) -> None:
        async def main() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError) as caught:
            run_virtual(main)
        assert not hasattr(caught.value, "__notes__")

    @pytest.mark.parametrize("nonsense", [lambda: 5, 5])
    def test_what_is_no_program(self, nonsense: Any) -> None:
        with pytest.raises(MisuseError, match="run_virtual runs an `async def` without parameters, or a coroutine"):
            run_virtual(nonsense)

    async def test_not_inside_of_a_loop(self) -> None:
        with pytest.raises(MisuseError, match="run_virtual is for synchronous code"):
            run_virtual(asyncio.sleep(1))

    def test_each_has_a_loop_of_its_own_that_is_closed(self) -> None:
        async def main() -> asyncio.AbstractEventLoop:
            return asyncio.get_running_loop()

        first, second = run_virtual(main), run_virtual(main)
        assert first is not second
        assert first.is_closed() and second.is_closed()

    def test_a_loop_is_gone_without_a_collector(self) -> None:
        async def main() -> "weakref.ref[asyncio.AbstractEventLoop]":
            async with asyncio.timeout(5):
                await asyncio.sleep(1)
            return weakref.ref(asyncio.get_running_loop())

        before = gc.isenabled()
        gc.disable()
        try:
            assert run_virtual(main)() is None
        finally:
            (gc.enable if before else gc.disable)()

    @pytest.mark.parametrize("on", [True, False])
    def test_the_collector_is_off_meanwhile(self, on: bool) -> None:
        async def main() -> bool:
            return gc.isenabled()

        before = gc.isenabled()
        (gc.enable if on else gc.disable)()
        try:
            assert run_virtual(main) is False
            assert gc.isenabled() is on
        finally:
            (gc.enable if before else gc.disable)()


class TestTasks:
    def test_one_that_is_left_is_cancelled_and_told(self) -> None:
        ended: list[str] = []

        async def left() -> None:
            try:
                await spin()
            finally:
                await asyncio.sleep(5)
                ended.append("ended")

        async def main() -> None:
            kept.append(asyncio.create_task(left(), name="the one"))
            await asyncio.sleep(2.5)

        with pytest.raises(LeftBehind) as caught:
            run_virtual(main)
        assert ended == ["ended"]
        lines = str(caught.value).splitlines()
        assert lines[:3] == ["the program ended and left behind", "1 task (now cancelled)", "  the one"]
        assert lines[-3].endswith("in left: await spin()") and lines[-2].endswith("in spin: await asyncio.sleep(1)")

    def test_one_that_is_about_to_end_is_not_left(self) -> None:
        async def main() -> None:
            kept.append(asyncio.create_task(spin()))
            await asyncio.sleep(0)
            kept[0].cancel()

        run_virtual(main)

    def test_one_that_does_not_want_to_end(self) -> None:
        async def stubborn() -> None:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if len(kept) > 1:
                        raise
                    kept.append("once")

        async def main() -> None:
            kept.append(asyncio.create_task(stubborn()))
            await asyncio.sleep(0)

        with pytest.raises(LeftBehind, match="and it does not come to an end when it is cancelled: nothing is ready"):
            run_virtual(main)

    def test_where_the_program_raised_it_is_a_note(self) -> None:
        async def main() -> None:
            kept.append(asyncio.create_task(spin()))
            raise KeyError("x")

        with pytest.raises(KeyError) as caught:
            run_virtual(main)
        (note,) = caught.value.__notes__
        assert note.startswith("It also left behind\n1 task (now cancelled)\n  Task-2")

    def test_in_a_deadlock_they_are_not_told_twice(self) -> None:
        async def main() -> None:
            await asyncio.create_task(asyncio.Event().wait())

        with pytest.raises(Deadlock) as caught:
            run_virtual(main)
        assert not hasattr(caught.value, "__notes__")


class TestTimers:
    def test_they_may_run_out(self) -> None:
        called: list[float] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(30, lambda: called.append(loop.time()))

        run_virtual(main)
        assert called == [1_030.0]

    def test_one_that_sets_itself_again_is_told(self) -> None:
        def tick(loop: asyncio.AbstractEventLoop) -> None:
            loop.call_later(60, tick, loop)

        async def main() -> None:
            tick(asyncio.get_running_loop())

        with pytest.raises(LeftBehind, match=r"1 × timer that is set\n  in 60 s: <TimerHandle when=.*tick\("):
            run_virtual(main)

    def test_no_time_to_run_out(self) -> None:
        async def main() -> None:
            for seconds in range(MAX_TOLD + 2):
                asyncio.get_running_loop().call_later(seconds + 1, print)

        with pytest.raises(LeftBehind) as caught:
            run_virtual(main, settle=0)
        lines = str(caught.value).splitlines()
        assert lines[1] == f"{MAX_TOLD + 2} × timer that is set" and lines[2].startswith("  in 1 s: <TimerHandle")
        assert lines[-1] == "  and 2 more"

    def test_the_limit_of_the_program_is_not_that_of_its_end(self) -> None:
        async def main() -> None:
            asyncio.get_running_loop().call_later(100, int)
            await asyncio.sleep(9)

        run_virtual(main, limit=Limit(steps=4, seconds=9))

    def test_what_a_timer_begins_late_is_left_too(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(30, lambda: kept.append(loop.create_task(spin())))

        with pytest.raises(LeftBehind, match=r"1 task \(now cancelled\)"):
            run_virtual(main)


class TestGenerators:
    def test_one_that_is_kept_open_is_told(self) -> None:
        async def main() -> None:
            kept.append(numbers())
            await anext(kept[0])

        with pytest.raises(LeftBehind, match=r"1 × async generator that is not closed\n.*in numbers"):
            run_virtual(main)

    def test_closed_ended_and_dropped_ones_are_not(self) -> None:
        async def main() -> list[int]:
            kept.extend([numbers(), numbers()])
            await anext(kept[0])
            await kept[0].aclose()
            await anext(numbers())
            return [number async for number in kept[1]]

        assert run_virtual(main) == [0, 1, 2]


class TestExceptions:
    @pytest.mark.parametrize("in_a_cycle", [False, True])
    def test_one_that_nobody_retrieved(self, in_a_cycle: bool) -> None:
        async def fail() -> None:
            kept_here = [asyncio.current_task()] if in_a_cycle else []
            await asyncio.sleep(1)
            raise ValueError(f"lost, {len(kept_here)}")

        async def main() -> None:
            task = asyncio.create_task(fail())
            del task
            await asyncio.sleep(2)

        with pytest.raises(LeftBehind, match=r"Task exception was never retrieved: ValueError\('lost, .'\)") as caught:
            run_virtual(main)
        assert isinstance(caught.value.__cause__, ValueError)

    def test_one_of_a_callback(self) -> None:
        async def main() -> None:
            asyncio.get_running_loop().call_soon(int, "x")
            asyncio.get_running_loop().call_exception_handler({"message": "odd"})

        with pytest.raises(LeftBehind, match="2 × exception that nobody has retrieved, or other complaint\n  odd\n"):
            run_virtual(main)

    def test_a_handler_of_the_programs_own_is_kept(self) -> None:
        heard: list[str] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
            loop.call_soon(int, "x")

        run_virtual(main)
        (told,) = heard
        assert told.startswith("Exception in callback int(")

    def test_one_that_ends_the_process_passes(self) -> None:
        async def main() -> None:
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            run_virtual(main)


def test_all_its_errors_are_failed_tests() -> None:
    assert issubclass(LeftBehind, VirtualLoopError) and issubclass(VirtualLoopError, AssertionError)
