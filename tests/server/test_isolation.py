"""What happens to one request stays with it: found by a hostile review, each with the way it was found."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncGenerator, Iterator
from decimal import Decimal
from math import inf
from typing import Annotated, Any

import pytest
from msgspec import Raw

from tests.server.awaiting import answer_to, ended, nothing_is_left, text_of
from tests.server.driving import Driver
from tests.server.talk import ASKING, Talk, accept
from tybalt import Accepted, Client, Context, Depends, Elicit, InputRequired, Server, ToolAnnotations
from tybalt.execution import (
    CancelKind,
    CancelReason,
    CancelToken,
    Interrupted,
    checkpoint,
    current_token,
    governed,
    masked,
)
from tybalt.middleware import ResponseCaching, SingleFlight, Timeout
from tybalt.server.call import Call
from tybalt.testing import run_virtual

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
        second.call("who")
        (question,) = await first.next()
        first.reply(question, {"action": "accept", "content": {"value": "ann"}})
        await first.rest()
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

    @pytest.mark.parametrize("requests", [2, 3])
    def test_who_has_joined_does_not_wait_for_somebody_elses_user(self, requests: int) -> None:
        """Neither its time nor its turn goes by meanwhile: here there is one turn besides that of who asks."""

        async def program() -> None:
            server = Server("x", middleware=[SingleFlight()], request_timeout=1, max_running=2)

            @server.tool(annotations=READS)
            async def who(context: Context) -> str:
                answer = await context.elicit("Your PIN?", str)
                return answer.value if isinstance(answer, Accepted) else "none"

            talks = [Talk(server, "2025-11-25") for _ in range(requests)]
            for talk in talks:
                talk.call("who")
            asked = [await talk.next() for talk in talks]
            await asyncio.sleep(5)
            for number, (talk, (question,)) in enumerate(zip(talks, asked, strict=True)):
                talk.reply(question, accept(value=str(number)))
                (answer,) = await talk.next()
                assert text_of(answer) == str(number)
                assert nothing_is_left(talk)

        run_virtual(program)

    def test_a_time_limit_of_one_is_not_that_of_another_who_shares_with_it(self) -> None:
        async def program() -> None:
            server = Server("x", middleware=[SingleFlight()], request_timeout=1)
            loop, runs = asyncio.get_running_loop(), list[float]()

            @server.tool(annotations=READS)
            async def crunch(context: Context) -> str:
                runs.append(loop.time())
                while loop.time() < runs[0] + 1.2:
                    context.checkpoint()
                    await asyncio.sleep(0.1)
                return f"run {len(runs)}"

            driver = Driver(server)
            driver.start("crunch", id=1)
            await asyncio.sleep(0.5)
            driver.start("crunch", id=2)
            answers = {each["id"]: text_of(each) for each in await ended(driver)}
            assert "did not finish within its 1 s" in answers[1] and answers[2] == "run 2"

        run_virtual(program)

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

    @pytest.mark.parametrize("layer", [ResponseCaching, SingleFlight])
    async def test_two_numbers_that_are_one_float_are_two_questions(self, layer: Any) -> None:
        server = Server("x", middleware=[layer()])

        @server.tool(annotations=READS)
        async def show(number: Decimal) -> str:
            await asyncio.sleep(0)
            return str(number)

        driver = Driver(server)
        sent = ["12345678901234567.01", "12345678901234567.99", "1.10", "1.1"]
        for place, number in enumerate(sent):
            request = driver.encoded("tools/call", {"name": "show", "arguments": {"number": 0}}, id=place)
            driver.receive(request.replace(b'"number":0', f'"number":{number}'.encode()))
        answers = {each["id"]: text_of(each) for each in await ended(driver)}
        assert [answers[place] for place in range(len(sent))] == sent

    @pytest.mark.parametrize("revision", ASKING)
    async def test_what_is_agreed_to_in_one_call_is_not_agreed_to_in_the_next(
        self, server: Server, revision: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        removed: list[str] = []

        @server.tool
        async def remove(item: str, context: Context) -> str | InputRequired:
            if "sure" not in context.input_responses:
                return InputRequired({"sure": Elicit(f"Remove {item}?", bool)})
            await context.once("remove", lambda: removed.append(item))
            return "removed"

        @server.tool
        async def deeper(item: str, context: Context) -> str | InputRequired:
            if "really" not in context.input_responses:
                return InputRequired({"really": Elicit("Really?", bool)})
            return (await context.call_tool("remove", {"item": item})).text

        @server.tool
        async def tidy(context: Context) -> list[str]:
            return [
                (await context.call_tool(name, {"item": "a"})).text
                for name in ("remove", "remove", "deeper", "deeper", "remove")
            ]

        talk = Talk(server, revision)
        assert await talk.value("tidy", lambda _: accept(value=True)) == ["removed"] * 5
        assert len(talk.rounds) == 7 and removed == ["a"] * 5 and not caplog.text

    async def test_consent_to_one_amount_is_none_to_another(self, server: Server) -> None:
        @server.tool
        async def pay(amount: Decimal, context: Context) -> str:
            answer = await context.elicit("Pay?", bool, key="sure")
            return f"{amount} {answer.accepted}"

        talk = Talk(server)
        first, other = Decimal("12345678901234567.01"), Decimal("12345678901234567.99")
        for amount, refused in ((first, False), (other, True)):
            params: dict[str, Any] = {"name": "pay", "arguments": {"amount": Raw(str(amount).encode())}}
            if talk.state is not None:
                params |= {"requestState": talk.state, "inputResponses": {"sure": accept(value=True)}}
            answer = await talk.send("tools/call", params)
            if not refused:
                talk.state = answer["result"]["requestState"]
            else:
                assert "not one for this request" in answer["error"]["message"]


class TestBareHandlers:
    """What asks for neither context nor dependency, and is started before it has a token."""

    @pytest.mark.parametrize("queued", [False, True])
    @pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
    def test_a_mask_that_is_the_first_thing_it_does_holds(self, revision: str, queued: bool) -> None:
        steps: list[str] = []

        async def program() -> None:
            server = Server("x", request_timeout=1, max_running=1 if queued else 10)

            @server.tool
            async def pay() -> str:
                with masked():
                    steps.append("reserved")
                    await asyncio.sleep(0.5 if queued else 2)
                    steps.append("paid")
                await asyncio.sleep(10)
                return "never"

            @server.tool
            async def hold() -> None:
                await asyncio.sleep(0.2)

            driver = Driver(server, revision)
            if queued:
                driver.start("hold", id=0)
            driver.start("pay", id=1)
            await asyncio.sleep(0.4)
            driver.cancel(1)
            assert [each["id"] for each in await ended(driver)] == ([0] if queued else [])
            driver.start("pay", id=2)
            (answer,) = await ended(driver)
            assert text_of(answer) == "tool 'pay' did not finish within its 1 s, the server's request_timeout"
            assert nothing_is_left(driver)

        run_virtual(program)
        assert steps == ["reserved", "paid"] * 2

    async def test_a_token_of_its_own_stays_its_own(self, server: Server) -> None:
        seen: list[bool] = []

        @server.tool
        async def work() -> None:
            mine = CancelToken(clock=time.monotonic)
            with governed(mine):
                await asyncio.sleep(0)
                seen.append(current_token() is mine)
            token = current_token()
            seen.append(token is not None and token is not mine and token.budget.deadline < inf)

        await answer_to(Driver(server), "work")
        assert seen == [True, True]

    async def test_one_that_waits_for_its_turn_knows_checkpoints(self) -> None:
        server = Server("x", max_running=1)
        noticed = asyncio.Event()

        @server.tool
        async def work() -> None:
            token = current_token()
            assert token is not None
            token.cancel(CancelReason(CancelKind.USER, "bored"))
            try:
                checkpoint()
            except Interrupted:
                noticed.set()
                raise

        @server.tool
        async def hold() -> None:
            await asyncio.sleep(0)

        driver = Driver(server)
        driver.start("hold", id=0)
        driver.start("work", id=1)
        await ended(driver)
        assert noticed.is_set()


class TestMasksAndRounds:
    """The end of a round is a cancel like any other: what is masked is finished first."""

    @pytest.mark.parametrize("where", ["handler", "child", "nested"])
    async def test_what_is_masked_is_finished_before_the_round_ends(self, server: Server, where: str) -> None:
        done: list[str] = []

        async def paying(context: Context) -> None:
            with context.masked():
                for _ in range(5):
                    await asyncio.sleep(0)
                done.append("paid")

        server.tool(name="nested")(paying)

        @server.tool
        async def buy(context: Context) -> int:
            asked = context.spawn(context.elicit("How many?", int, key="count"))
            if where == "child":
                await context.spawn(paying(context))
            else:
                await asyncio.sleep(0)
                await (paying(context) if where == "handler" else context.call_tool("nested"))
            return (await asked).value  # pyright: ignore[reportAttributeAccessIssue]

        talk = Talk(server)
        assert await talk.value("buy", lambda _: accept(value=3)) == 3
        assert len(talk.rounds) == 1 and done == ["paid"] * 2

    async def test_a_handler_that_is_over_when_the_mask_is_left_has_its_result(self, server: Server) -> None:
        @server.tool
        async def work(context: Context) -> str:
            context.spawn(context.elicit("How many?", int, key="count"))
            await asyncio.sleep(0)
            with context.masked():
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            return "done"

        assert await Talk(server).value("work") == "done"


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
