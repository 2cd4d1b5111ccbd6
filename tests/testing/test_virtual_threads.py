"""`VirtualThreads`: functions that take virtual time, in places that are counted, as `Threads` would run them."""

import asyncio
from contextvars import ContextVar
from random import Random
from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.execution.threads import Threads
from tybalt.reasons import CancelKind, CancelReason, Interrupted
from tybalt.testing import VirtualThreads, run_virtual

who: ContextVar[str] = ContextVar("who", default="nobody")


def elapsed() -> float:
    return asyncio.get_running_loop().time() - 1_000


def test_a_function_runs_after_its_delay_in_its_own_context() -> None:
    def work() -> str:
        before = who.get()
        who.set("the function")
        return before

    async def main() -> tuple[str, str, float]:
        threads: Threads = VirtualThreads(delay=lambda: 2.5)
        who.set("the caller")
        running = threads.run(work)
        who.set("later")
        return await running, who.get(), elapsed()

    assert run_virtual(main) == ("the caller", "later", 2.5)


def test_places_are_limited_and_the_queue_is_in_order() -> None:
    ended: list[str] = []

    async def main() -> None:
        threads = VirtualThreads(2, delay=lambda: 1)

        async def work(name: str) -> None:
            await threads.run(lambda: None)
            ended.append(f"{name} at {elapsed():g}")

        async with asyncio.TaskGroup() as group:
            for name in "abcde":
                group.create_task(work(name))
            await asyncio.sleep(0.5)
            told = threads.statistics()
            assert (told.limit, told.running, told.queued, told.idle, told.lent) == (2, 2, 3, 0, 0)
        assert threads.statistics().running == threads.statistics().queued == 0
        threads.close()

    run_virtual(main)
    assert ended == ["a at 1", "b at 1", "c at 2", "d at 2", "e at 3"]


def test_cancelled_in_the_queue_it_never_runs_and_later_it_runs_on() -> None:
    ran: list[str] = []

    async def main() -> None:
        threads = VirtualThreads(1, delay=lambda: 1)
        started, queued, last = (threads.run(lambda name=name: ran.append(name)) for name in ("a", "b", "c"))
        started.cancel()
        queued.cancel()
        await last
        assert threads.statistics().running == 0

    run_virtual(main)
    assert ran == ["a", "c"]


def test_one_that_is_cancelled_at_the_moment_of_its_turn_never_runs() -> None:
    ran: list[str] = []

    async def main() -> None:
        threads = VirtualThreads(1)
        queued: list[asyncio.Future[None]] = []
        first = threads.run(lambda: [each.cancel() for each in queued])
        queued.append(threads.run(lambda: ran.append("b")))
        assert await first == [True]
        await asyncio.sleep(1)
        assert threads.statistics().running == 0

    run_virtual(main)
    assert ran == []


@pytest.mark.parametrize(
    "error", [ValueError("x"), Interrupted(CancelReason(CancelKind.USER)), SystemExit(3), KeyboardInterrupt()]
)
def test_whatever_it_raises_is_the_callers(error: BaseException) -> None:
    def work() -> None:
        raise error

    async def main() -> None:
        running = VirtualThreads().run(work)
        await asyncio.wait([running])
        assert running.exception() is error

    run_virtual(main)


@pytest.mark.parametrize("kind", [StopIteration, asyncio.CancelledError])
def test_what_a_future_cannot_hold_is_the_cause(kind: type[BaseException]) -> None:
    def work() -> None:
        raise kind

    async def main() -> None:
        with pytest.raises(RuntimeError, match=f"raised {kind.__name__}, which cannot be passed on") as caught:
            await VirtualThreads().run(work)
        assert isinstance(caught.value.__cause__, kind)

    run_virtual(main)


def test_around_the_function_no_loop_is_running_but_it_can_be_called() -> None:
    async def main() -> str:
        loop, told = asyncio.get_running_loop(), asyncio.Queue[str]()

        def work() -> None:
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            loop.call_soon_threadsafe(told.put_nowait, "from the function")

        await VirtualThreads().run(work)
        assert asyncio.get_running_loop() is loop
        return await told.get()

    assert run_virtual(main) == "from the function"


def test_a_seed_gives_the_same_order() -> None:
    def order(seed: int) -> list[int]:
        async def main() -> list[int]:
            random, ended = Random(seed), list[int]()
            threads = VirtualThreads(3, delay=lambda: random.choice([0.0, 0.5, 1.0]))
            await asyncio.gather(*(threads.run(lambda number=number: ended.append(number)) for number in range(20)))
            return ended

        return run_virtual(main)

    assert order(1) == order(1) != order(2)


def test_lending_does_nothing() -> None:
    async def main() -> None:
        threads = VirtualThreads(1)

        def work() -> int:
            with threads.lent():
                return threads.statistics().lent

        assert await threads.run(work) == 0

    run_virtual(main)


def test_misuse() -> None:
    async def main(delay: Any) -> None:
        await VirtualThreads(delay=lambda: delay).run(print)

    with pytest.raises(MisuseError, match="the delay of a function is 0 seconds or more, got -1"):
        run_virtual(main(-1))
    with pytest.raises(MisuseError, match="a limit of 1 thread or more"):
        VirtualThreads(0)
    with pytest.raises(MisuseError, match="where no event loop is running"):
        VirtualThreads().run(print)
