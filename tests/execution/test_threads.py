"""Threads: what becomes of functions in them, how many there are, who lends, and that nothing waits for ever."""

import asyncio
import concurrent.futures
import contextvars
import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tybalt.execution.threads as module
from tests.asynchronous import LOOPS
from tybalt.errors import MisuseError
from tybalt.execution import (
    CancelKind,
    CancelReason,
    Interrupted,
    Threads,
    ThreadStatistics,
    current_threads,
    lent,
)

pytestmark = pytest.mark.loops

LIMIT = 20.0  # seconds; what is waited for in a thread comes at once, or the test has failed
NUMBERS = count(1)


class Pools:
    """Pools whose threads are looked at when the test is over."""

    def __init__(self) -> None:
        self.made: list[tuple[Threads, str]] = []

    def __call__(self, limit: int = 40) -> Threads:
        name = f"pool {next(NUMBERS)}"
        self.made.append((Threads(limit, name=name), f"{name} "))
        return self.made[-1][0]

    def threads(self) -> list[threading.Thread]:
        return [each for each in threading.enumerate() for _, name in self.made if each.name.startswith(name)]

    def join(self) -> None:
        """Wait until their threads have ended."""
        for each in self.threads():
            each.join(LIMIT)
            assert not each.is_alive()

    def close(self) -> None:
        for pool, _ in self.made:
            pool.close()
        self.join()


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pools]:
    monkeypatch.setattr(module, "IDLE_SECONDS", 3_600.0)  # No thread ends only because it was idle for long enough.
    made = Pools()
    yield made
    made.close()


class Held:
    """A function that begins, and runs until the test lets it go."""

    def __init__(self, result: Any = "done") -> None:
        self._loop = asyncio.get_running_loop()
        self._result = result
        self._go = threading.Event()
        self.began = asyncio.Event()
        self.calls = 0

    def __call__(self) -> Any:
        self.calls += 1
        self._loop.call_soon_threadsafe(self.began.set)
        assert self._go.wait(LIMIT)
        return self._result

    def go(self) -> None:
        self._go.set()


def raising(error: BaseException) -> Callable[[], Any]:
    def function() -> Any:
        raise error

    return function


def statistics(threads: Threads) -> tuple[int, int, int, int]:
    told = threads.statistics()
    return told.running, told.idle, told.queued, told.lent


class TestResults:
    async def test_what_a_function_returns(self, pools: Pools) -> None:
        assert await pools().run(lambda: "value") == "value"

    @pytest.mark.parametrize(
        "error",
        [
            ValueError("no"),
            SystemExit(3),
            KeyboardInterrupt(),
            Interrupted(CancelReason(CancelKind.USER)),
        ],
        ids=lambda error: type(error).__name__,
    )
    async def test_whatever_it_raises_and_the_thread_lives_on(self, error: BaseException, pools: Pools) -> None:
        threads = pools(1)
        before = await threads.run(threading.get_ident)
        with pytest.raises(type(error)) as caught:
            await threads.run(raising(error))
        assert caught.value is error
        assert await threads.run(threading.get_ident) == before

    @pytest.mark.parametrize(
        "error", [StopIteration(1), asyncio.CancelledError(), GeneratorExit()], ids=lambda error: type(error).__name__
    )
    async def test_what_would_mean_something_else_is_the_cause_of_an_error(
        self, error: BaseException, pools: Pools
    ) -> None:
        with pytest.raises(RuntimeError, match=f"the function raised {type(error).__name__}") as caught:
            await pools().run(raising(error))
        assert caught.value.__cause__ is error

    async def test_it_runs_in_a_copy_of_the_context(self, pools: Pools) -> None:
        variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
        variable.set("outside")

        def function() -> str:
            found = variable.get()
            variable.set("inside")
            return found

        future = pools().run(function)
        variable.set("later")
        assert await future == "outside" and variable.get() == "later"

    async def test_an_error_is_gone_with_the_last_reference_to_it(self, pools: Pools) -> None:
        class GoneError(Exception):
            pass

        def function() -> None:
            raise GoneError

        future = pools().run(function)
        gc.disable()
        try:
            await asyncio.wait([future])
            pools.close()
            error = weakref.ref(future.exception())  # type: ignore[arg-type]
            assert type(error()) is GoneError
            del future
            assert error() is None
        finally:
            gc.enable()

    async def test_an_error_that_is_kept_keeps_nothing_of_what_ran_after_it(self, pools: Pools) -> None:
        threads, functions = pools(1), [Held() for _ in range(3)]
        futures = [threads.run(raising(ValueError("kept"))), *(threads.run(each) for each in functions)]
        for each in functions:
            each.go()
        futures[-1].cancel()
        await asyncio.wait(futures)
        pools.close()
        error = futures[0].exception()
        left = [weakref.ref(each) for each in functions]
        del futures, functions, each
        gc.collect()
        assert [each() for each in left] == [None] * 3 and str(error) == "kept"

    async def test_one_wake_up_delivers_all_there_is(self, pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
        loop, threads = asyncio.get_running_loop(), pools(1)
        woken: list[Any] = []
        wake = loop.call_soon_threadsafe

        def counted(callback: Any, *arguments: Any, **options: Any) -> Any:
            woken.append(callback)
            return wake(callback, *arguments, **options)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        reached = threading.Event()
        futures = [threads.run(lambda number=number: number) for number in range(100)]
        last = threads.run(reached.set)
        assert reached.wait(LIMIT)  # The loop is held up meanwhile: 100 results wait for it.
        assert len(woken) == 1
        await last
        assert [each.result() for each in futures] == list(range(100)) and len(woken) <= 2

    async def test_without_a_loop_it_is_misuse(self, pools: Pools) -> None:
        threads = pools()
        with pytest.raises(MisuseError, match=r"Threads\.run was called where no event loop is running"):
            await threads.run(lambda: threads.run(int))


class TestPlaces:
    async def test_no_more_run_than_the_limit(self, pools: Pools) -> None:
        threads = pools(2)
        first, second, third = held = [Held(number) for number in range(3)]
        futures = [threads.run(each) for each in held]
        await first.began.wait()
        await second.began.wait()
        assert threads.statistics() == ThreadStatistics(limit=2, running=2, idle=0, queued=1, lent=0)
        assert not third.calls
        first.go()
        await third.began.wait()
        assert statistics(threads) == (2, 0, 0, 0)
        second.go()
        third.go()
        assert await asyncio.gather(*futures) == [0, 1, 2]
        assert statistics(threads) == (0, 2, 0, 0)

    async def test_functions_that_wait_for_each_other_run_at_once(self, pools: Pools) -> None:
        threads, barrier = pools(8), threading.Barrier(8)
        await asyncio.gather(*(threads.run(lambda: barrier.wait(LIMIT)) for _ in range(8)))
        assert statistics(threads) == (0, 8, 0, 0) and len(pools.threads()) == 8

    async def test_no_thread_is_started_for_what_has_to_wait(self, pools: Pools) -> None:
        threads, first = pools(1), Held()
        futures = [threads.run(first), *(threads.run(int) for _ in range(5))]
        await first.began.wait()
        first.go()
        await asyncio.gather(*futures)
        threads.close()
        pools.join()
        assert await threads.run(lambda: threading.current_thread().name) == f"{pools.made[0][1]}2"

    async def test_a_thread_is_used_again(self, pools: Pools) -> None:
        threads = pools()
        assert len({await threads.run(threading.get_ident) for _ in range(100)}) == 1

    async def test_of_very_many_none_is_lost_and_never_too_many_run(self, pools: Pools) -> None:
        threads, running, most = pools(3), set[int](), list[int]()

        def function(number: int) -> int:
            running.add(number)
            most.append(len(running))
            running.discard(number)
            return number

        futures = [threads.run(lambda number=number: function(number)) for number in range(2_000)]
        assert await asyncio.gather(*futures) == list(range(2_000))
        assert max(most) <= 3 and statistics(threads)[0::2] == (0, 0)

    async def test_threads_are_daemons_with_the_name_of_the_pool(self, pools: Pools) -> None:
        assert await pools().run(lambda: threading.current_thread().daemon)
        assert [each.name for each in pools.threads()] == [f"{pools.made[0][1]}1"]

    @pytest.mark.parametrize("limit", [0, -1, 1.5, True, None, "4"])
    def test_a_limit_that_is_none(self, limit: Any) -> None:
        with pytest.raises(MisuseError, match="a limit of 1 thread or more, as an integer; got"):
            Threads(limit)


class TestCancelling:
    async def test_before_it_began_it_never_runs(self, pools: Pools) -> None:
        threads, first, second = pools(1), Held(), Held()
        future, withdrawn = threads.run(first), threads.run(second)
        await first.began.wait()
        assert statistics(threads) == (1, 0, 1, 0)
        withdrawn.cancel()
        assert statistics(threads) == (1, 0, 0, 0)
        first.go()
        await future
        assert await threads.run(lambda: "next") == "next"
        assert second.calls == 0

    @pytest.mark.parametrize("outcome", ["result", "error"])
    async def test_afterwards_it_keeps_its_place_until_it_returns(self, outcome: str, pools: Pools) -> None:
        threads, first = pools(1), Held()

        def function() -> None:
            first()
            if outcome == "error":
                raise ValueError

        future = threads.run(function)
        await first.began.wait()
        future.cancel()
        following = threads.run(lambda: "following")
        with pytest.raises(asyncio.CancelledError):
            await future
        assert statistics(threads) == (1, 0, 1, 0)
        first.go()
        assert await following == "following"
        assert future.cancelled() and statistics(threads) == (0, 1, 0, 0)

    async def test_what_was_cancelled_does_not_pile_up(self, pools: Pools) -> None:
        threads, first = pools(1), Held()
        future = threads.run(first)
        await first.began.wait()
        functions: weakref.WeakSet[Any] = weakref.WeakSet()
        most = 0
        for number in range(10 * module.SLACK):
            function = Held(number)
            functions.add(function)
            threads.run(function).cancel()
            most = max(most, len(functions))
        assert most <= module.SLACK + 2
        first.go()
        await future


class TestEnding:
    async def test_close_ends_the_idle_at_once_and_others_when_they_return(self, pools: Pools) -> None:
        threads, first, second = pools(1), Held("first"), Held("second")
        await threads.run(int)
        threads.close()
        threads.close()
        pools.join()
        assert statistics(threads) == (0, 0, 0, 0)
        running, queued = threads.run(first), threads.run(second)
        await first.began.wait()
        threads.close()
        first.go()
        second.go()
        assert [await running, await queued] == ["first", "second"], "what was queued still runs"
        pools.join()
        assert statistics(threads) == (0, 0, 0, 0)

    async def test_closed_it_opens_again(self, pools: Pools) -> None:
        threads = pools()
        threads.close()
        assert await threads.run(lambda: "again") == "again"
        assert statistics(threads) == (0, 1, 0, 0)

    async def test_an_idle_thread_ends_by_itself(self, pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
        threads = pools()
        assert await threads.run(lambda: "value") == "value"
        pools.join()
        assert statistics(threads) == (0, 0, 0, 0)

    async def test_a_thread_that_is_chosen_while_it_gives_up_waiting(
        self, pools: Pools, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
        threads = pools(2)
        for number in range(500):
            assert await threads.run(lambda number=number: number) == number

    def test_a_function_that_hangs_does_not_keep_the_process(self, loop_name: str) -> None:
        program = (
            "import asyncio, threading\n"
            "from tybalt.execution import Threads\n"
            "async def main():\n"
            "    began, threads = threading.Event(), Threads()\n"
            "    threads.run(lambda: (began.set(), threading.Event().wait()))\n"
            "    began.wait()\n"
            "asyncio.run(main())\n"
        )
        source = Path(module.__file__).parents[2]
        subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT, cwd=source)

    async def test_where_there_is_no_thread_to_be_had(self, pools: Pools, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(self: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        threads, first = pools(2), Held("first")
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await threads.run(int)
        assert statistics(threads) == (0, 0, 0, 0)
        running = threads.run(first)
        await first.began.wait()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            queued = threads.run(lambda: "second")
        assert statistics(threads) == (1, 0, 1, 0), "left to the one that runs"
        first.go()
        assert [await running, await queued] == ["first", "second"]


class TestLoops:
    def test_one_after_the_other(self, pools: Pools, loop_name: str) -> None:
        threads = pools(1)

        async def main() -> int:
            return await threads.run(threading.get_ident)

        found = set[int]()
        for _ in range(3):
            with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
                found.add(runner.run(main()))
        assert len(found) == 1

    def test_several_at_once(self, pools: Pools, loop_name: str) -> None:
        threads = pools(2)

        async def main(start: int) -> list[int]:
            return [await threads.run(lambda number=number: number) for number in range(start, start + 200)]

        def one(start: int) -> list[int]:
            with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
                return runner.run(main(start))

        with concurrent.futures.ThreadPoolExecutor(3) as executor:
            assert list(executor.map(one, (0, 1_000, 2_000))) == [
                list(range(each, each + 200)) for each in (0, 1_000, 2_000)
            ]

    def test_a_loop_that_is_closed_meanwhile(self, pools: Pools, loop_name: str) -> None:
        threads, began, go, ran = pools(1), threading.Event(), threading.Event(), list[str]()

        def running() -> None:
            began.set()
            assert go.wait(LIMIT)
            ran.append("running")

        async def main() -> None:
            threads.run(running)
            threads.run(lambda: ran.append("queued"))
            assert began.wait(LIMIT)

        async def afterwards() -> str:
            return await threads.run(lambda: "afterwards")

        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(main())
            loop = weakref.ref(runner.get_loop())
        del runner
        go.set()
        pools.close()
        assert ran == ["running"], "what had not begun never runs"
        gc.collect()
        assert loop() is None, "the pool keeps no loop"
        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as other:
            assert other.run(afterwards()) == "afterwards"


class TestLending:
    async def test_threads_that_wait_for_a_thread_get_one(self, pools: Pools) -> None:
        loop, threads = asyncio.get_running_loop(), pools(1)

        async def on_the_loop(depth: int) -> int:
            return await threads.run(lambda: in_a_thread(depth))

        def in_a_thread(depth: int) -> int:
            if depth == 0:
                return 0
            with threads.lent():
                return 1 + asyncio.run_coroutine_threadsafe(on_the_loop(depth - 1), loop).result(LIMIT)

        assert await asyncio.gather(*(on_the_loop(5) for _ in range(4))) == [5] * 4
        assert statistics(threads)[0] == statistics(threads)[2] == statistics(threads)[3] == 0
        assert statistics(threads)[1] <= 1, "the others were only there in its stead"

    async def test_a_place_that_is_taken_back_exceeds_the_limit_until_one_returns(self, pools: Pools) -> None:
        threads, first, asked, back = pools(1), Held(), Held(), Held("lender")
        stead, third = Held("stead"), Held("third")

        def lender() -> Any:
            first()
            with threads.lent(), lent():
                asked()
            return back()

        futures = [threads.run(lender), threads.run(stead), threads.run(third)]
        await first.began.wait()
        assert statistics(threads) == (1, 0, 2, 0)
        first.go()
        await stead.began.wait()
        await asked.began.wait()
        assert statistics(threads) == (1, 0, 1, 1)
        asked.go()
        await back.began.wait()
        assert statistics(threads) == (2, 0, 1, 0)
        back.go()
        assert await futures[0] == "lender"
        assert statistics(threads) == (1, 0, 1, 0) and not third.calls
        stead.go()
        third.go()
        assert await asyncio.gather(*futures) == ["lender", "stead", "third"]
        assert statistics(threads) == (0, 1, 0, 0)

    async def test_a_place_that_is_taken_back_before_the_other_thread_came(
        self, pools: Pools, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads, asked, back, other = pools(1), Held(), Held("lender"), Held("other")
        late: list[threading.Thread] = []

        def start_late(thread: threading.Thread) -> None:
            late.append(thread)

        def lender() -> Any:
            with lent():
                asked()
            return back()

        future = threads.run(lender)
        await asked.began.wait()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start_late)
            waiting = threads.run(other)
        asked.go()
        await back.began.wait()
        (thread,) = late
        thread.start()
        thread.join(LIMIT)
        assert not thread.is_alive() and not other.calls, "it finds no place, and ends"
        assert statistics(threads) == (1, 0, 1, 0)
        back.go()
        other.go()
        assert [await future, await waiting] == ["lender", "other"]

    async def test_where_nobody_waits_it_gives_the_place_to_whoever_comes(self, pools: Pools) -> None:
        threads, asked = pools(1), Held()

        def lender() -> Any:
            with lent():
                return asked()

        future = threads.run(lender)
        await asked.began.wait()
        assert statistics(threads) == (0, 0, 0, 1)
        assert await threads.run(lambda: "in its stead") == "in its stead"
        asked.go()
        assert await future == "done"

    async def test_a_place_is_taken_back_whatever_is_raised(self, pools: Pools) -> None:
        threads = pools(1)

        def lender() -> None:
            with lent():
                raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011
            await threads.run(lender)
        assert statistics(threads) == (0, 1, 0, 0)

    async def test_elsewhere_it_does_nothing(self, pools: Pools) -> None:
        threads, other = pools(1), pools(1)

        def function() -> list[tuple[int, int, int, int]]:
            with other.lent():
                return [statistics(threads), statistics(other)]

        with lent(), threads.lent():
            assert statistics(threads) == (0, 0, 0, 0)
        assert await threads.run(function) == [(1, 0, 0, 0), (0, 0, 0, 0)]

    async def test_a_function_finds_its_pool(self, pools: Pools) -> None:
        threads = pools()
        assert current_threads() is None
        assert await threads.run(current_threads) is threads


@settings(max_examples=40)
@given(
    limit=st.integers(1, 4),
    plan=st.lists(st.sampled_from(["run", "fail", "lend", "cancel", "turn", "close"]), max_size=40),
)
async def test_whatever_happens_all_is_told_and_no_place_is_lost(limit: int, plan: list[str]) -> None:
    loop, threads, futures, cancelled = asyncio.get_running_loop(), Threads(limit), list[Any](), set[Any]()

    async def asked() -> str:
        return await threads.run(lambda: "asked")

    def lend() -> str:
        with lent():
            return asyncio.run_coroutine_threadsafe(asked(), loop).result(LIMIT)

    functions = {"run": lambda: "run", "fail": raising(ValueError("fail")), "lend": lend}
    for step in plan:
        if step in functions:
            futures.append(threads.run(functions[step]))
        elif step == "turn":
            await asyncio.sleep(0)
        elif step == "close":
            threads.close()
        elif futures and futures[-1].cancel():
            cancelled.add(futures[-1])
    await asyncio.gather(*futures, return_exceptions=True)
    assert {each for each in futures if each.cancelled()} == cancelled
    told = [str(each.exception() or each.result()) for each in futures if each not in cancelled]
    assert set(told) <= {"run", "fail", "asked"}
    # A lender that was cancelled goes on, and asks. Whatever is queued is served in its turn, so this comes to an end.
    while any(statistics(threads)[each] for each in (0, 2, 3)):
        await threads.run(int)
    barrier = threading.Barrier(limit)
    await asyncio.gather(*(threads.run(lambda: barrier.wait(LIMIT)) for _ in range(limit)))
    threads.close()
