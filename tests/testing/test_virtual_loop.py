"""The virtual loop: time that jumps, what asyncio offers, order, limits, threads that are waited for, its footing."""

import asyncio
import sys
import threading
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.testing import Deadlock, Limit, Runaway, VirtualLoop, run_virtual
from tybalt.testing.virtual_loop import START, VirtualFuture, VirtualTask


def elapsed() -> float:
    return asyncio.get_running_loop().time() - START


class TestTime:
    def test_it_jumps_to_the_next_timer_and_stops_nowhere_else(self) -> None:
        seen: list[float] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            assert loop.time() == START
            loop.call_later(2.5, lambda: seen.append(elapsed()))
            loop.call_at(START + 0.25, lambda: seen.append(elapsed()))
            await asyncio.sleep(3_600)
            seen.append(elapsed())

        run_virtual(main)
        assert seen == [0.25, 2.5, 3_600]

    @pytest.mark.parametrize("large", [0.0, 1e9, 1e15])
    def test_a_timer_runs_at_its_time_however_late_that_is(self, large: float) -> None:
        async def main() -> tuple[float, float]:
            loop = asyncio.get_running_loop()
            due = loop.time() + large + 0.1
            reached = loop.create_future()
            loop.call_at(due, lambda: reached.set_result(loop.time()))
            return due, await reached

        due, now = run_virtual(main, limit=Limit(steps=10, seconds=inf))
        assert now == due

    def test_what_is_past_runs_in_the_next_turn(self) -> None:
        async def main() -> float:
            loop = asyncio.get_running_loop()
            called = loop.create_future()
            loop.call_at(-5, called.set_result, None)
            await called
            return elapsed()

        assert run_virtual(main) == 0

    def test_cancelled_timers_move_no_clock(self) -> None:
        async def main() -> tuple[float, int]:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            for seconds in range(500):
                loop.call_later(seconds, print).cancel()
            await asyncio.sleep(1_000)
            return elapsed(), loop.steps

        assert run_virtual(main) == (1_000, 3)

    def test_timers_are_told_in_the_order_in_which_they_are_due(self) -> None:
        async def main() -> list[float]:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            timers = [loop.call_later(seconds, print) for seconds in (3, 1, 2)]
            timers[1].cancel()
            told = [timer.when() - START for timer in loop.timers]
            for timer in timers:
                timer.cancel()
            return told

        assert run_virtual(main) == [2, 3]


class TestAsyncio:
    def test_timeouts(self) -> None:
        async def main() -> float:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await asyncio.get_running_loop().create_future()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 12)
            return elapsed()

        assert run_virtual(main) == 42

    def test_a_task_group_cancels_the_others(self) -> None:
        ended: list[str] = []

        async def work(name: str, seconds: float) -> None:
            try:
                await asyncio.sleep(seconds)
                raise ValueError(name)
            finally:
                ended.append(f"{name} at {elapsed():g}")

        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(work("slow", 10))
                group.create_task(work("quick", 1))

        with pytest.raises(ExceptionGroup) as caught:
            run_virtual(main)
        assert ended == ["quick at 1", "slow at 1"]
        assert [str(each) for each in caught.value.exceptions] == ["quick"]

    def test_queues_waits_and_shields(self) -> None:
        async def main() -> tuple[list[int], int, float]:
            queue: asyncio.Queue[int] = asyncio.Queue(1)

            async def produce() -> None:
                for number in range(3):
                    await asyncio.sleep(1)
                    await queue.put(number)

            producing = asyncio.ensure_future(asyncio.shield(produce()))
            received = [await queue.get() for _ in range(3)]
            await producing
            sleeping = [asyncio.create_task(asyncio.sleep(seconds, seconds)) for seconds in (5, 1)]
            done, pending = await asyncio.wait(sleeping, return_when=asyncio.FIRST_COMPLETED)
            (late,) = pending
            return received, done.pop().result() + await late, elapsed()

        assert run_virtual(main) == ([0, 1, 2], 6, 8)

    @pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
    def test_eager_tasks_begin_at_once(self) -> None:
        async def quick() -> str:
            return "done"

        async def slow() -> float:
            await asyncio.sleep(7)
            return elapsed()

        async def main() -> tuple[bool, float, float]:
            loop = asyncio.get_running_loop()
            first: Any = asyncio.Task(quick(), loop=loop, eager_start=True)
            second: Any = asyncio.Task(slow(), loop=loop, eager_start=True)
            loop.set_task_factory(asyncio.eager_task_factory)
            third = asyncio.create_task(slow())
            return first.done(), await second, await third

        assert run_virtual(main) == (True, 7, 7)

    def test_a_task_factory_and_names_and_contexts_are_kept(self) -> None:
        async def main() -> tuple[str, str, type]:
            loop = asyncio.get_running_loop()
            first = loop.create_task(asyncio.sleep(0))
            second = loop.create_task(asyncio.sleep(0), name="mine")
            loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
            third = loop.create_task(asyncio.sleep(0))
            await asyncio.gather(first, second, third)
            return first.get_name(), second.get_name(), type(third)

        assert run_virtual(main) == ("Task-2", "mine", asyncio.Task)

    def test_a_runner_takes_it(self) -> None:
        async def main() -> float:
            await asyncio.sleep(60)
            await asyncio.to_thread(int)
            return elapsed()

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            assert runner.run(main()) == 60
            assert runner.run(main()) == 120

    def test_debug_mode(self) -> None:
        async def main() -> float:
            asyncio.get_running_loop().set_debug(True)
            await asyncio.sleep(60)
            return elapsed()

        assert run_virtual(main) == 60

    @pytest.mark.parametrize(
        "use",
        [
            lambda loop: loop.add_reader(0, print),
            lambda loop: loop.create_connection(asyncio.Protocol, "localhost", 1),
            lambda loop: loop.subprocess_exec(asyncio.SubprocessProtocol, "true"),
        ],
    )
    def test_the_world_outside_is_refused_with_a_reason(self, use: Callable[[Any], object]) -> None:
        async def main() -> None:
            use(asyncio.get_running_loop())

        with pytest.raises(MisuseError, match="no sockets, pipes, signals or processes: they take real time"):
            run_virtual(main)


class TestOrder:
    def test_the_same_program_gives_the_same_trace(self) -> None:
        def trace(seed: int) -> list[str]:
            random, seen = Random(seed), []

            async def work(name: int) -> None:
                try:
                    for _ in range(random.randrange(5)):
                        await asyncio.sleep(random.choice([0, 0, 0.5, 1]))
                        seen.append(f"{name} at {elapsed():g}")
                except asyncio.CancelledError:
                    seen.append(f"{name} cancelled")

            async def main() -> None:
                tasks = {asyncio.create_task(work(name)) for name in range(30)}
                await asyncio.sleep(1)
                for task in tasks:
                    task.cancel()
                done, _ = await asyncio.wait(tasks)
                seen.extend(task.get_name() for task in done)

            run_virtual(main)
            return seen

        litter: list[object] = []
        first = trace(7)
        for _ in range(5):
            litter.append([object() for _ in range(1_000)])  # Addresses in memory are to differ.
            assert trace(7) == first
        assert trace(8) != first

    def test_what_the_loop_makes_is_hashed_by_number(self) -> None:
        async def main() -> tuple[list[int], list[type]]:
            loop = asyncio.get_running_loop()
            made: list[asyncio.Future[Any]] = [loop.create_future(), asyncio.create_task(asyncio.sleep(0))]
            await made[1]
            return [hash(each) for each in made], [type(each) for each in made]

        assert run_virtual(main) == ([2, 3], [VirtualFuture, VirtualTask])


class TestLimits:
    def test_a_deadlock_says_who_waits_where(self) -> None:
        async def worker(queue: "asyncio.Queue[int]") -> None:
            await queue.get()

        async def main() -> None:
            await asyncio.sleep(2.5)
            working = asyncio.create_task(worker(asyncio.Queue()), name="the worker")
            await asyncio.gather(working, asyncio.Event().wait())

        with pytest.raises(Deadlock) as caught:
            run_virtual(main)
        lines = str(caught.value).splitlines()
        assert lines[0] == ("nothing is ready to run and no timer is set, after 5 steps and 2.5 virtual seconds.")
        assert lines[1] == "3 tasks not done:"
        assert "  the worker" in lines
        assert any(line.endswith("in worker: await queue.get()") and __file__ in line for line in lines)
        assert any(line.endswith("in get: await getter") for line in lines)
        assert any("await asyncio.gather(working, asyncio.Event().wait())" in line for line in lines)
        assert lines[-1].endswith("or run it by `VirtualThreads`.")

    def test_a_timer_that_is_never_due_is_none(self) -> None:
        with pytest.raises(Deadlock, match="no timer is set"):
            run_virtual(asyncio.sleep(inf))

    def test_a_deadlock_is_not_for_the_program_to_catch(self) -> None:
        caught: list[BaseException] = []

        async def main() -> None:
            try:
                await asyncio.Event().wait()
            except BaseException as error:
                caught.append(error)
                raise

        with pytest.raises(Deadlock):
            run_virtual(main)
        assert [type(each) for each in caught] == [asyncio.CancelledError]

    def test_turns_are_limited(self) -> None:
        async def main() -> None:
            for _ in range(1_000):
                await asyncio.sleep(0)

        with pytest.raises(Runaway, match=r"beyond Limit\(steps=50\), after 50 steps and 0 virtual") as caught:
            run_virtual(main, limit=Limit(steps=50))
        assert "await asyncio.sleep(0)" in str(caught.value)

    def test_virtual_seconds_are_limited(self) -> None:
        async def main() -> None:
            for _ in range(4):
                await asyncio.sleep(40)

        with pytest.raises(Runaway, match=r"set for 120 virtual .* beyond Limit\(seconds=100\), .* 80 virtual"):
            run_virtual(main, limit=Limit(seconds=100))

    def test_a_runner_can_clean_up_after_it(self) -> None:
        ended: list[int] = []

        async def main() -> None:
            try:
                for _ in range(100):
                    await asyncio.sleep(1)
            finally:
                await asyncio.sleep(5)
                ended.append(len(ended))

        with asyncio.Runner(loop_factory=lambda: VirtualLoop(limit=Limit(steps=10))) as runner, pytest.raises(Runaway):
            runner.run(main())
        assert ended == [0]


class TestThreads:
    def test_an_executor_is_waited_for_and_takes_no_virtual_time(self) -> None:
        gate = threading.Event()

        async def main() -> tuple[str, float]:
            asyncio.get_running_loop().call_soon(gate.set)
            waited = await asyncio.to_thread(gate.wait)
            return f"{waited}", elapsed()

        assert run_virtual(main) == ("True", 0)

    def test_other_threads_are_waited_for_where_they_are_expected(self) -> None:
        async def main() -> tuple[str, float]:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            answer = loop.create_future()
            loop.call_later(5, print)  # It is not to be reached.
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(answer.set_result, "from a thread"))
            with loop.expecting_threads():
                thread.start()
                told = await answer
            thread.join()
            loop.timers[0].cancel()
            return told, elapsed()

        assert run_virtual(main) == ("from a thread", 0)

    def test_a_thread_that_never_calls_back_is_a_deadlock(self) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            assert isinstance(loop, VirtualLoop)
            with loop.expecting_threads():
                await asyncio.sleep(1)

        with pytest.raises(Deadlock, match=r"no real thread has called back within Limit\(patience=0\)"):
            run_virtual(main, limit=Limit(patience=0))


class TestFooting:
    """What `VirtualLoop` takes for granted of the inside of asyncio."""

    def test_a_turn_asks_the_selector_once_and_says_how_long_it_would_wait(self) -> None:
        asked: list[float | None] = []
        processed: list[object] = []

        class Recording(VirtualLoop):
            def select(self, timeout: float | None) -> tuple[()]:
                asked.append(timeout)
                return super().select(timeout)

            def _process_events(self, events: tuple[()]) -> None:
                processed.append(events)

        async def main() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(5)
            await asyncio.sleep(1e6)  # asyncio would look after a day.

        with asyncio.Runner(loop_factory=lambda: Recording(limit=Limit(seconds=inf))) as runner:
            runner.run(main())
            assert asked == [0, 0, 5, 0, 86_400, 0, 0]
            assert len(processed) == len(asked)
            with pytest.raises(Deadlock):
                runner.run(asyncio.Event().wait())
            assert asked[7:] == [0, None]

    def test_what_it_reads_is_where_it_is(self) -> None:
        loop = VirtualLoop()
        real = asyncio.new_event_loop()
        try:
            timer = loop.call_later(1, print)
            assert loop._scheduled == [timer]
            assert list(loop._asyncgens) == []
            assert isinstance(loop._clock_resolution, float)
            assert {"_scheduled", "_asyncgens", "_clock_resolution", "_selector"} <= vars(real).keys()
        finally:
            loop.close()
            real.close()

    def test_other_threads_wake_it_by_writing_to_it(self) -> None:
        woken: list[str] = []

        class Recording(VirtualLoop):
            def _write_to_self(self) -> None:
                woken.append("woken")

        loop = Recording()
        loop.call_soon(print)
        assert woken == []
        loop.call_soon_threadsafe(print)
        assert woken == ["woken"]
        loop.close()
