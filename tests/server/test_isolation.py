"""What happens to one request stays with it: found by a hostile review, each with the way it was found."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from decimal import Decimal
from typing import Annotated, Any

import pytest

from tests.server.awaiting import answer_to, nothing_is_left, text_of
from tests.server.driving import Driver
from tests.server.talk import Talk
from tybalt import Accepted, Client, Context, Depends, Server, ToolAnnotations
from tybalt.middleware import ResponseCaching, SingleFlight, Timeout
from tybalt.server.call import Call

READS = ToolAnnotations(read_only_hint=True)
BUDGET = "dev.tybalt/budget"


pause = time.sleep  # On the loop, on purpose.


def unchanged(next: Any) -> Any:
    return next


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("x")
    yield server
    server.threads.close()


class TestAnswers:
    async def test_what_one_client_told_is_for_nobody_else_also_when_it_leaves(self) -> None:
        go, runs = asyncio.Event(), list[int]()
        server = Server("x", middleware=[SingleFlight(), ResponseCaching()])

        @server.tool(annotations=READS)
        async def who(context: Context) -> str:
            runs.append(1)
            answer = await context.elicit("Your PIN?", str)
            if len(runs) == 1:
                await go.wait()
            return answer.value if isinstance(answer, Accepted) else "none"

        first, second, third = (Talk(server, "2025-11-25") for _ in range(3))
        leader = first.call("who")
        (question,) = await first.next()
        first.reply(question, {"action": "accept", "content": {"value": "ann"}})
        await first.rest()
        second.call("who")
        await second.rest()
        first.cancel(leader)
        go.set()
        for talk, name in ((second, "bob"), (third, "eve")):
            if talk is third:
                third.call("who")
            (question,) = await talk.next()
            talk.reply(question, {"action": "accept", "content": {"value": name}})
            (answer,) = await talk.next()
            assert text_of(answer) == name
        assert len(runs) == 3

    @pytest.mark.parametrize("layer", [ResponseCaching, SingleFlight])
    async def test_what_a_budget_cut_short_is_for_its_caller_alone(self, layer: Any) -> None:
        server = Server("x", middleware=[layer()])

        @server.tool(annotations=READS)
        async def search(context: Context) -> list[str]:
            await asyncio.sleep(0)
            return [word for word in ("a", "b") if context.consume_cost(10)]

        driver = Driver(server)
        driver.start("search", id=1, meta={BUDGET: {"cost": 10}})
        driver.start("search", id=2)
        await asyncio.wait(driver.session.running.tasks())
        answers = {each["id"]: each["result"]["structuredContent"] for each in await driver.later()}
        assert answers == {1: ["a"], 2: ["a", "b"]}
        assert (await answer_to(driver, "search"))["result"]["structuredContent"] == ["a", "b"]

    @pytest.mark.parametrize("sent", ["12345678901234567890.12345", "1.10", "1e400", "123456789012345678901234567890"])
    async def test_a_layer_changes_no_number_that_passes_it(self, sent: str) -> None:
        def text(number: Decimal) -> str:
            return str(number)

        for layers in ([], [unchanged]):
            driver = Driver(Server("x", run_in="loop", middleware=layers).add(text))
            request = driver.encoded("tools/call", {"name": "text", "arguments": {"number": 0}}, id=1)
            answer = driver.receive(request.replace(b'"number":0', f'"number":{sent}'.encode()))
            if answer is None:
                (answer,) = await driver.later()
            assert "Internal error" not in str(answer)
            if not (layers and sent == "1e400"):  # No float, and so none of the values that a layer can see.
                assert answer["result"]["content"][0]["text"] == str(Decimal(sent))


class TestTheLoopLives:
    """An exit asked for in a handler, or in what it depends on, is that handler's failure."""

    @pytest.mark.parametrize("where", ["async provider", "provider", "flight", "nested"])
    async def test_wherever_it_is_asked_for(self, where: str, caplog: pytest.LogCaptureFixture) -> None:
        async def opened() -> AsyncGenerator[int, None]:
            yield 1
            sys.exit(3)

        def begun() -> Iterator[int]:
            yield 1
            sys.exit(3)

        server = Server("x", middleware=[SingleFlight()] if where == "flight" else [])
        provider = opened if where == "async provider" else begun

        @server.tool
        async def depends(value: Annotated[int, Depends(provider)]) -> int:
            return value

        @server.tool(annotations=READS)
        async def leave() -> int:
            await asyncio.sleep(0)
            sys.exit(3)

        @server.tool
        async def call(context: Context) -> str:
            return (await context.call_tool("leave")).text

        name = {"flight": "leave", "nested": "call"}.get(where, "depends")
        driver = Driver(server)
        assert "Internal error" in text_of(await answer_to(driver, name))
        assert "SystemExit" in caplog.text
        assert nothing_is_left(driver)
        server.threads.close()


class TestThreads:
    async def test_one_that_waits_is_woken_when_its_part_alone_is_stopped(self, server: Server) -> None:
        @server.tool(timeout="20ms")
        def inner(context: Context) -> None:
            context.wait(asyncio.Event().wait())

        @server.tool
        async def outer(context: Context) -> str:
            return (await context.call_tool("inner")).text

        @server.tool
        async def around(context: Context) -> str:
            try:
                async with asyncio.timeout(0.02):
                    await context.call_tool("forever")
            except TimeoutError:
                return "timed out"
            return "?"

        @server.tool
        def forever(context: Context) -> None:
            context.wait(asyncio.Event().wait())

        driver = Driver(server)
        assert text_of(await answer_to(driver, "outer")) == "tool 'inner' did not finish within its 0.02 s"
        assert text_of(await answer_to(driver, "around")) == "timed out"
        assert nothing_is_left(driver)

    async def test_behind_a_layer_with_a_limit_too(self) -> None:
        server = Server("x", middleware=[Timeout("20ms")])

        @server.tool
        def forever(context: Context) -> None:
            context.wait(asyncio.Event().wait())

        driver = Driver(server)
        assert "was not done within 0.02 s" in text_of(await answer_to(driver, "forever"))
        server.threads.close()

    async def test_what_a_provider_uses_is_not_closed_before_its_thread_has_ended(self, server: Server) -> None:
        log: list[str] = []

        async def database() -> AsyncGenerator[list[str], None]:
            try:
                yield log
            finally:
                log.append("closed")

        def rows(found: Annotated[list[str], Depends(database)]) -> int:
            time.sleep(0.05)
            found.append("read")
            return 1

        @server.tool(timeout="10ms")
        async def query(count: Annotated[int, Depends(rows)]) -> int:
            return count

        driver = Driver(server)
        assert "did not finish within its 0.01 s" in text_of(await answer_to(driver, "query"))
        assert log == ["read", "closed"]


class TestCancels:
    async def test_the_time_of_a_called_handler_eats_nobody_elses(self, server: Server) -> None:
        @server.tool(timeout="10ms")
        async def slow() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.05)

        @server.tool
        async def outer(context: Context) -> str:
            try:
                async with asyncio.timeout(0.03):
                    await context.call_tool("slow")
                    await asyncio.Event().wait()
            except TimeoutError:
                return "heard"
            return "never"

        assert text_of(await answer_to(Driver(server), "outer")) == "heard"

    @pytest.mark.parametrize("nested", [False, True])
    async def test_a_deadline_that_a_checkpoint_beside_it_notices_stops_the_handler(
        self, server: Server, nested: bool
    ) -> None:
        @server.tool(timeout="10ms")
        async def inner(context: Context) -> None:
            async def beat() -> None:
                while True:
                    context.checkpoint()
                    pause(0.002)
                    await asyncio.sleep(0)

            context.spawn(beat())
            await asyncio.Event().wait()

        @server.tool
        async def outer(context: Context) -> str:
            return (await context.call_tool("inner")).text

        answer = await answer_to(Driver(server), "outer" if nested else "inner")
        assert text_of(answer) == "tool 'inner' did not finish within its 0.01 s"


class TestMemory:
    @pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
    async def test_a_call_that_is_over_is_freed_at_once(self, revision: str) -> None:
        server = Server("x", run_in="loop")

        @server.tool
        async def ask(context: Context) -> str:
            answer = await context.elicit("Sure?", bool)
            return str(answer.accepted)

        @server.tool
        def look(context: Context) -> int:
            return len(context.input_responses)

        talk = Talk(server, revision)
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                assert await talk.value("ask", lambda _: {"action": "accept", "content": {"value": True}}) == "True"
                assert await talk.value("look") == 0
            await asyncio.sleep(0)
            calls = [each for each in gc.get_objects() if isinstance(each, Call) and each.session is talk.session]
            assert calls == []
        finally:
            gc.enable()

    def test_a_tool_that_is_taken_out_is_forgotten(self) -> None:
        server = Server("x", on_duplicate="replace")
        before = len(server._handlings)  # pyright: ignore[reportPrivateUsage]
        for _ in range(3):
            server.tool(name="again")(lambda: 1)
        server.handle("tool", "again").remove()
        assert len(server._handlings) == before  # pyright: ignore[reportPrivateUsage]


async def test_a_client_hears_a_time_as_a_text_too(server: Server) -> None:
    server.tool(name="add")(lambda a: a)
    async with Client(server) as client:
        assert (await client.call_tool("add", {"a": 1}, timeout="5s")).text == "1"
