"""Where a handler runs: the loop, a thread, or whichever suits it; what it finds there, and how many run at once."""

import asyncio
import threading
from collections.abc import Awaitable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from tests.server.awaiting import Held, answer_to, ended, nothing_is_left, text_of
from tests.server.driving import NEWEST, REVISIONS, Driver
from tybalt import Context, RegistrationError, Server, ToolError
from tybalt.execution.placement import CALLS_TO_PROMOTE, SLOW
from tybalt.execution.tokens import current_token
from tybalt.server import performing

pytestmark = pytest.mark.loops

who: ContextVar[str] = ContextVar("who", default="nobody")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("x")
    yield server
    server.threads.close()


def where() -> str:
    return "loop" if threading.current_thread() is threading.main_thread() else "thread"


async def where_async() -> str:
    return where()


class TestWhere:
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_a_plain_function_runs_in_a_thread_and_an_async_one_does_not(
        self, server: Server, revision: str
    ) -> None:
        server.add(where, where_async)
        driver = Driver(server, revision)
        assert text_of(await answer_to(driver, "where")) == "thread"
        assert text_of(await answer_to(driver, "where_async")) == "loop"

    @pytest.mark.parametrize("said", ["loop", "thread", "auto"])
    async def test_the_handler_says_it_before_the_server_does(self, said: Any) -> None:
        server = Server("x", run_in="thread" if said == "loop" else "loop")
        server.tool(name="said", run_in=said)(where)
        server.tool(name="unsaid")(where)
        driver = Driver(server)
        assert text_of(await answer_to(driver, "said")) == ("loop" if said == "loop" else "thread")
        assert text_of(await answer_to(driver, "unsaid")) == ("thread" if said == "loop" else "loop")
        server.threads.close()

    async def test_resources_and_prompts_and_completions_too(self, server: Server) -> None:
        server.resource("where://is/{it}")(where_resource)
        server.prompt(where_prompt)

        @server.completion("where_prompt", "it")
        def suggest(value: str) -> list[str]:
            return [where()]

        driver = Driver(server)
        driver.ask("resources/read", {"uri": "where://is/it"}, id=1)
        driver.ask("prompts/get", {"name": "where_prompt", "arguments": {"it": "x"}}, id=2)
        reference = {"ref": {"type": "ref/prompt", "name": "where_prompt"}, "argument": {"name": "it", "value": ""}}
        driver.ask("completion/complete", reference, id=3)
        results = {each["id"]: each["result"] for each in await ended(driver)}
        assert results[1]["contents"][0]["text"] == "thread"
        assert results[2]["messages"][0]["content"]["text"] == "thread"
        assert results[3]["completion"]["values"] == ["thread"]

    def test_what_is_async_cannot_run_in_a_thread(self) -> None:
        for wanted in ("thread", "auto"):
            with pytest.raises(RegistrationError, match="is for plain functions; what is async runs on the loop"):
                Server("x").tool(run_in=wanted)(where_async)

    @pytest.mark.parametrize("run_in", ["loop", "thread", None])
    async def test_a_plain_function_may_return_something_to_await(self, server: Server, run_in: Any) -> None:
        places: list[str] = []

        @server.tool(run_in=run_in)
        def later() -> Any:
            places.append(where())
            return where_async()

        assert text_of(await answer_to(Driver(server), "later")) == "loop"
        assert places == ["loop" if run_in == "loop" else "thread"]

    async def test_one_that_says_so_is_called_where_tasks_can_be_made(self, server: Server) -> None:
        @server.tool
        def later() -> Awaitable[str]:
            return asyncio.ensure_future(where_async())

        assert text_of(await answer_to(Driver(server), "later")) == "loop"


def where_resource(it: str) -> str:
    return where()


def where_prompt(it: str) -> str:
    return where()


class TestContextVariables:
    @pytest.mark.parametrize("run_in", ["loop", "thread", "auto"])
    async def test_those_of_the_caller_are_seen_and_nothing_leaks(self, server: Server, run_in: Any) -> None:
        @server.tool(run_in=run_in)
        def look() -> str:
            before = who.get()
            who.set("the handler")
            return before

        @server.tool(run_in=run_in)
        def look_with_context(context: Context) -> str:
            return look()

        driver = Driver(server)
        for name in ("look", "look_with_context") * 3:
            token = who.set("the caller")
            driver.start(name, id=1)
            who.reset(token)
            assert [text_of(each) for each in await ended(driver)] == ["the caller"]
            assert who.get() == "nobody"

    async def test_async_handlers_have_a_copy_of_their_own(self, server: Server) -> None:
        @server.tool
        async def look(waits: bool) -> str:
            before = who.get()
            who.set("the handler")
            if waits:
                await asyncio.sleep(0)
            assert who.get() == "the handler"
            return before

        driver = Driver(server)
        for waits in (True, False, True, False):
            token = who.set("the caller")
            driver.start("look", id=1, waits=waits)
            who.reset(token)
            assert [text_of(each) for each in await ended(driver)] == ["the caller"]
            assert who.get() == "nobody"

    async def test_the_token_of_a_request_is_not_the_next_ones(self, server: Server) -> None:
        seen: list[Any] = []

        @server.tool
        async def look(context: Context) -> None:
            seen.append(current_token())

        driver = Driver(server)
        for _ in range(3):
            await answer_to(driver, "look")
        assert len(set(map(id, seen))) == 3 and None not in seen and current_token() is None


class TestInsideOfAHandler:
    @pytest.mark.parametrize("revision", [NEWEST, "2025-11-25"])
    async def test_tasks_timeouts_and_groups_work(self, server: Server, revision: str) -> None:
        @server.tool
        async def work() -> str:
            assert asyncio.current_task() is not None
            try:
                async with asyncio.timeout(0):
                    await asyncio.Event().wait()
            except TimeoutError:
                pass
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(asyncio.sleep(0, n)) for n in range(3)]
            return str([task.result() for task in tasks])

        @server.tool
        async def work_with_context(context: Context) -> str:
            return await work()

        driver = Driver(server, revision)
        for name in ("work", "work_with_context"):
            assert text_of(await answer_to(driver, name)) == "[0, 1, 2]"
        assert nothing_is_left(driver)

    async def test_a_timeout_of_its_own_is_its_own_failure(
        self, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.tool
        async def hurry() -> None:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

        answer = await answer_to(Driver(server), "hurry")
        assert answer["result"]["isError"] and "Internal error" in text_of(answer)
        assert "TimeoutError" in caplog.text

    async def test_a_thread_has_no_loop(self, server: Server) -> None:
        @server.tool
        def alone() -> int:
            return asyncio.run(asyncio.sleep(0, 7))

        assert text_of(await answer_to(Driver(server), "alone")) == "7"

    async def test_what_a_thread_raises(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        @server.tool
        def fail(how: str) -> None:
            raise {"declared": ToolError("no"), "stop": StopIteration(), "exit": SystemExit(3)}.get(how, KeyError(how))

        driver = Driver(server)
        assert text_of(await answer_to(driver, "fail", how="declared")) == "no"
        for how in ("stop", "exit", "other", "odd"):
            answer = await answer_to(driver, "fail", how=how)
            assert answer["result"]["isError"] and "Internal error" in text_of(answer)
        assert nothing_is_left(driver)


class TestThreads:
    async def test_a_slow_one_blocks_nobody(self, server: Server) -> None:
        held = Held()
        server.tool(name="slow")(held_by(held))
        server.tool(run_in="loop")(where)
        driver = Driver(server)
        driver.start("slow", id=1)
        await held.began()
        assert text_of(driver.ask("tools/call", {"name": "where"})) == "loop"
        assert driver.said() == []
        held.go()
        assert [text_of(each) for each in await ended(driver)] == ["done"]

    async def test_so_many_run_at_once_and_the_others_get_their_turn(self) -> None:
        server = Server("x", max_threads=2)
        held = Held()
        server.tool(name="slow")(held_by(held))
        driver = Driver(server)
        for n in range(5):
            driver.start("slow", id=n)
        await held.began(2)
        told = server.statistics()
        assert (held.calls, told.running, told.waiting) == (2, 5, 0)
        assert (told.threads.limit, told.threads.running, told.threads.queued) == (2, 2, 3)
        held.go()
        assert sorted(each["id"] for each in await ended(driver)) == [0, 1, 2, 3, 4]
        assert held.calls == 5 and nothing_is_left(driver)
        server.threads.close()

    @pytest.mark.parametrize("name", ["slow", "slow_with_context"])
    async def test_one_that_is_cancelled_before_there_is_a_thread_is_never_called(self, name: str) -> None:
        server = Server("x", max_threads=1)
        held = Held()
        server.tool(name="slow")(held_by(held))

        @server.tool
        def slow_with_context(context: Context) -> str:
            return held()

        driver = Driver(server)
        driver.start(name, id=1)
        driver.start(name, id=2)
        driver.start(name, id=3)
        await held.began()
        driver.cancel(2)
        assert await driver.later() == []
        assert server.statistics().running == 2
        held.go()
        assert [each["id"] for each in await ended(driver)] == [1, 3]
        assert held.calls == 2 and nothing_is_left(driver)
        server.threads.close()

    async def test_one_that_is_cancelled_before_its_task_began_is_never_called(self, server: Server) -> None:
        called: list[int] = []

        @server.tool
        def note() -> None:
            called.append(1)

        driver = Driver(server)
        held = Held()
        for _ in range(server.statistics().threads.limit):
            server.threads.run(held)
        driver.start("note", id=1)
        driver.cancel(1)
        assert await driver.later() == []
        held.go()
        await server.threads.run(lambda: None)
        assert called == [] and nothing_is_left(driver)


def held_by(held: Held) -> Any:
    def function() -> str:
        return held()

    return function


class Clock:
    """A clock that moves by half of `took` at each look, so that this is how long two calls take."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.took = 0.0
        self._now = 0.0
        monkeypatch.setattr(performing, "perf_counter", self)

    def __call__(self) -> float:
        self._now += self.took / 2
        return self._now


class TestAuto:
    async def test_quick_ones_are_promoted_and_a_slow_one_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = Server("x", run_in="auto")
        server.tool(where)
        clock = Clock(monkeypatch)
        driver = Driver(server)

        async def places(calls: int) -> set[str]:
            return {text_of(await answer_to(driver, "where")) for _ in range(calls)}

        def told() -> tuple[str, str, int, bool]:
            (handler,) = server.statistics().handlers
            return handler.run_in, handler.where, handler.calls, handler.candidate

        clock.took = 20e-6
        assert await places(CALLS_TO_PROMOTE) == {"thread"}
        assert told() == ("auto", "loop", CALLS_TO_PROMOTE, False)
        assert await places(3) == {"loop"}
        clock.took = 4 * SLOW
        assert await places(1) == {"loop"}
        assert told() == ("auto", "thread", CALLS_TO_PROMOTE + 4, False)
        clock.took = 20e-6
        assert await places(2 * CALLS_TO_PROMOTE) == {"thread"}
        assert await places(1) == {"loop"}
        (handler,) = server.statistics().handlers
        assert handler.longest == pytest.approx(2 * SLOW)
        server.threads.close()

    async def test_a_failure_is_a_call_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = Server("x", run_in="auto")

        @server.tool
        def refuse() -> None:
            raise ToolError("no")

        Clock(monkeypatch).took = 20e-6
        driver = Driver(server)
        for _ in range(CALLS_TO_PROMOTE + 5):
            assert text_of(await answer_to(driver, "refuse")) == "no"
        (handler,) = server.statistics().handlers
        assert (handler.calls, handler.where) == (CALLS_TO_PROMOTE + 5, "loop")
        server.threads.close()

    async def test_one_in_threads_that_is_quick_is_a_candidate(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = Server("x")
        server.tool(where)
        Clock(monkeypatch).took = 20e-6
        driver = Driver(server)
        for _ in range(CALLS_TO_PROMOTE):
            assert text_of(await answer_to(driver, "where")) == "thread"
        (handler,) = server.statistics().handlers
        assert handler.candidate and handler.where == "thread" and handler.mean == pytest.approx(10e-6)
        server.threads.close()

    async def test_on_the_loop_it_may_return_something_to_await(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = Server("x", run_in="auto")

        @server.tool
        def later() -> Any:
            return where_async()

        Clock(monkeypatch).took = 20e-6
        driver = Driver(server)
        for _ in range(CALLS_TO_PROMOTE + 2):
            assert text_of(await answer_to(driver, "later")) == "loop"
        server.threads.close()
