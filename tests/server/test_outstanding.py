"""Asking in legacy: requests of the server's own beside everything else, the turn, the clock, and every way it ends."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from tests.client.peers import Clock
from tests.protocol.conversations import message
from tests.server.talk import LEGACY, Talk, accept, server_of, settle
from tybalt import Context, Elicit, McpError, MethodNotFound, Roots, Server, TimedOut, tool
from tybalt.server.turns import Turns

BUDGET = "dev.tybalt/budget"

happened: list[str] = []


@pytest.fixture(autouse=True)
def nothing_happened() -> None:
    happened.clear()


@tool
async def order(item: str, context: Context) -> str:
    try:
        return f"{item}: {await context.elicit(f'How many of {item}?', int)}"
    except asyncio.CancelledError:
        happened.append(f"{item} was stopped")
        raise
    except McpError as error:
        return f"{item}: {type(error).__name__} {error.code} {error}"


@tool
async def talk_long(context: Context) -> list[int]:
    """Asks twice, and works between."""
    found = [(await context.elicit("First?", int)).value]  # type: ignore[union-attr]
    context.checkpoint()
    await asyncio.sleep(0)
    return [*found, (await context.elicit("Second?", int)).value]  # type: ignore[union-attr]


@tool(run_in="loop")
def add(a: int, b: int) -> int:
    return a + b


async def later(a: int) -> int:
    await asyncio.sleep(0)
    return a


def shop(**options: Any) -> Server:
    return server_of(order, talk_long, add, later, **options)


def spoken(server: Server, revision: str = "2025-11-25") -> Talk:
    """A legacy client of a server."""
    return Talk(server, revision)


def text_of(said: dict[str, Any]) -> str:
    return said["result"]["content"][0]["text"]


def idle(talk: Talk) -> bool:
    """Whether nothing of any call is left."""
    running = talk.session.running
    return (
        running.calls == {}
        and talk.session.connection.in_flight == 0
        and not talk.session._asked
        and not talk.session.connection._asked
        and (running.lane.running, running.lane.asking, running.lane.waiting) == (0, 0, 0)
        and talk.session.server.turns.running == 0
    )


# -- beside everything else -------------------------------------------------------------------------------------------


@pytest.mark.loops
class TestBeside:
    async def test_a_question_is_a_request_while_others_are_answered(self) -> None:
        talk = spoken(shop())
        first = talk.call("order", item="tea")
        (question,) = await talk.next()
        assert question["method"] == "elicitation/create" and question["id"] == 1
        assert question["params"]["message"] == "How many of tea?"
        second = talk.call("add", a=5, b=3)
        third = talk.call("later", a=7)
        said = {each["id"]: text_of(each) for each in await talk.next()}
        assert said == {second: "8", third: "7"}
        talk.reply(question, accept(value=3))
        (answer,) = await talk.next()
        assert answer["id"] == first and text_of(answer) == "tea: Accepted(value=3)"
        assert idle(talk)

    async def test_several_are_outstanding_and_answered_in_any_order(self) -> None:
        talk = spoken(shop())
        calls = {item: talk.call("order", item=item) for item in ("tea", "milk", "salt")}
        questions = await talk.next()
        assert len({each["id"] for each in questions}) == 3
        for number, question in enumerate(reversed(questions)):
            talk.reply(question, accept(value=number))
            (answer,) = await talk.next()
            item = question["params"]["message"].removeprefix("How many of ").removesuffix("?")
            assert answer["id"] == calls[item] and text_of(answer) == f"{item}: Accepted(value={number})"
        assert idle(talk)

    async def test_ids_of_others_mean_nothing(self) -> None:
        talk = spoken(shop())
        talk.call("order", item="tea")
        (question,) = await talk.next()
        for stranger in (2, 0, -1, "1", "x", 1.5):
            talk.session.receive(message(id=stranger, result=accept(value=9)))
            talk.session.receive(message(id=stranger, error={"code": 1, "message": "no"}))
        assert await talk.rest() == []
        talk.reply(question, accept(value=3))
        talk.session.receive(message(id=question["id"], result=accept(value=9)))
        assert [text_of(each) for each in await talk.next()] == ["tea: Accepted(value=3)"]
        talk.session.receive(message(id=question["id"], result=accept(value=9)))
        assert await talk.rest() == [] and idle(talk)

    async def test_in_a_batch(self) -> None:
        """2025-03-26 has batches, and no elicitation; a model can be asked."""

        async def think(context: Context) -> str:
            return (await context.sample("Hi")).model

        server = server_of(think, add)
        talk = spoken(server, "2025-03-26")
        request = {"jsonrpc": "2.0", "method": "tools/call"}
        batch = [
            {**request, "id": "a", "params": {"name": "think"}},
            {**request, "id": "b", "params": {"name": "add", "arguments": {"a": 1, "b": 2}}},
        ]
        assert talk.session.receive(msgspec.json.encode(batch)) is None
        (question,) = await talk.next()
        result = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "m"}
        reply = {"jsonrpc": "2.0", "id": question["id"], "result": result}
        assert talk.session.receive(msgspec.json.encode([reply])) is None
        (answers,) = await talk.next()
        assert sorted((each["id"], text_of(each)) for each in answers) == [("a", "m"), ("b", "3")]
        assert idle(talk)


# -- answers that are none --------------------------------------------------------------------------------------------


class TestAnswers:
    @pytest.mark.parametrize(
        ("error", "told"),
        [
            ({"code": -32601, "message": "no such method"}, "MethodNotFound -32601 no such method"),
            ({"code": -1, "message": "User rejected"}, "McpError -1 User rejected"),
            ({"code": -32602, "message": "bad form", "data": [1]}, "InvalidParams -32602 bad form"),
        ],
    )
    async def test_an_error_is_raised_in_the_handler(self, error: dict[str, Any], told: str) -> None:
        talk = spoken(shop())
        talk.call("order", item="tea")
        (question,) = await talk.next()
        talk.reply(question, error)
        assert [text_of(each) for each in await talk.next()] == [f"tea: {told}"]
        assert idle(talk)

    async def test_one_that_the_handler_lets_pass(self) -> None:
        async def work(context: Context) -> str:
            return repr(await context.roots())

        talk = spoken(server_of(work))
        error = await talk.error("work", [{"code": -32601, "message": "no such method"}])
        assert (error["code"], error["message"]) == (-32601, "no such method")
        with pytest.raises(MethodNotFound):
            raise McpError.received(error["code"], error["message"])

    @pytest.mark.parametrize("result", [5, {}, {"action": "perhaps"}, {"action": "accept", "content": {"value": {}}}])
    async def test_a_result_that_is_none(self, result: Any) -> None:
        talk = spoken(shop())
        talk.call("order", item="tea")
        (question,) = await talk.next()
        talk.session.receive(message(id=question["id"], result=result))
        (answer,) = await talk.next()
        said = text_of(answer)
        assert said.startswith("tea: InvalidParams -32602 the client's answer is no result of what it was asked: ")
        assert idle(talk)

    async def test_neither_result_nor_error_is_no_answer(self) -> None:
        talk = spoken(shop())
        talk.call("order", item="tea")
        (question,) = await talk.next()
        talk.session.receive(message(id=question["id"]))
        assert await talk.rest() == []
        talk.reply(question, accept(value=3))
        assert [text_of(each) for each in await talk.next()] == ["tea: Accepted(value=3)"]

    @pytest.mark.parametrize("together", ["ask", "gather"])
    async def test_the_first_error_withdraws_the_others(self, together: str) -> None:
        async def work(context: Context) -> str:
            told = "answered"
            try:
                if together == "ask":
                    await context.ask(a=Elicit("a?"), b=Roots(), c=Elicit("c?"))
                else:
                    async with asyncio.TaskGroup() as group:
                        for each in (context.elicit("a?"), context.roots(), context.elicit("c?")):
                            group.create_task(each)
            except* McpError as errors:
                told = f"{len(errors.exceptions)} {errors.exceptions[0]}"
            return told

        talk = spoken(server_of(work))
        talk.call("work")
        questions = await talk.next()
        assert len(questions) == 3
        talk.reply(questions[1], {"code": -1, "message": "no"})
        *withdrawn, answer = await talk.next()
        assert text_of(answer) == "1 no"
        ids = [each["params"]["requestId"] for each in withdrawn if each["method"] == "notifications/cancelled"]
        assert sorted(ids) == [questions[0]["id"], questions[2]["id"]]
        for question in questions:
            talk.session.receive(message(id=question["id"], result=accept(value="late")))
        assert await talk.rest() == [] and idle(talk)


# -- turns and threads ------------------------------------------------------------------------------------------------


@pytest.mark.loops
class TestTurns:
    async def test_who_asks_keeps_nobody_from_being_served(self) -> None:
        talk = spoken(shop(max_running=1, max_running_total=1))
        first = talk.call("order", item="tea")
        (question,) = await talk.next()
        second = talk.call("later", a=7)
        (answer,) = await talk.next()
        assert (answer["id"], text_of(answer)) == (second, "7")
        talk.reply(question, accept(value=3))
        (answer,) = await talk.next()
        assert answer["id"] == first and idle(talk)

    async def test_a_client_may_call_in_order_to_answer(self) -> None:
        """While the first waits for it, the second runs, and asks too: refused only where it is one too many."""
        talk = spoken(shop(max_running=1))
        talk.call("order", item="tea")
        (question,) = await talk.next()
        talk.call("order", item="milk")
        (answer,) = await talk.next()
        told = "milk: Overloaded 503 Overloaded: 1 requests of this connection wait for answers from their client"
        assert text_of(answer).startswith(told)
        talk.reply(question, accept(value=3))
        assert [text_of(each) for each in await talk.next()] == ["tea: Accepted(value=3)"]
        assert idle(talk)

    async def test_it_goes_on_without_waiting_for_a_turn(self) -> None:
        gate = asyncio.Event()

        async def hold() -> str:
            await gate.wait()
            return "held"

        talk = spoken(server_of(order, hold, max_running=1))
        talk.call("order", item="tea")
        (question,) = await talk.next()
        talk.call("hold")
        assert await talk.rest() == []
        talk.reply(question, accept(value=3))
        assert [text_of(each) for each in await talk.next()] == ["tea: Accepted(value=3)"]
        gate.set()
        assert [text_of(each) for each in await talk.next()] == ["held"]
        assert idle(talk)

    async def test_what_is_asked_at_the_same_time_takes_one_turn(self) -> None:
        seen: list[Any] = []

        async def work(context: Context) -> list[int]:
            questions = (context.elicit(f"{number}?", int) for number in range(3))
            return [each.value for each in await asyncio.gather(*questions)]  # type: ignore[union-attr]

        talk = spoken(server_of(work, later, max_running=2))
        talk.call("work")
        questions = await talk.next()
        lane = talk.session.running.lane
        for number, question in enumerate(questions):
            seen.append((lane.running, lane.asking, talk.session.server.turns.running))
            talk.reply(question, accept(value=number))
            await settle()
        assert seen == [(0, 1, 0)] * 3
        assert [each["result"]["structuredContent"] for each in await talk.next()] == [{"result": [0, 1, 2]}]
        assert idle(talk)

    async def test_every_thread_may_wait(self) -> None:
        def wait(number: int, context: Context) -> str:
            return repr(context.wait(context.elicit(f"{number}?", int)))

        def work() -> str:
            return "worked"

        server = server_of(wait, work, max_threads=1)
        async with server.running():
            talk = spoken(server)
            for number in range(3):
                talk.call("wait", number=number)
            questions: list[Any] = []
            while len(questions) < 3:
                questions += await talk.next()
            assert await talk.value("work") == "worked"
            for question in questions:
                talk.reply(question, accept(value=5))
            answers: list[Any] = []
            while len(answers) < 3:
                answers += await talk.next()
            assert [text_of(each) for each in answers] == ["Accepted(value=5)"] * 3
            assert idle(talk)

    def test_turns_are_those_of_the_server(self) -> None:
        """What a lane gives back, other connections may take."""
        turns = Turns(1)
        ours, theirs = turns.lane(1), turns.lane(1)
        ours.enter()
        assert theirs.full
        ours.begin_asking()
        assert not theirs.full
        theirs.enter()
        ours.end_asking()
        assert turns.running == 2 and ours.full and theirs.full


# -- time -------------------------------------------------------------------------------------------------------------


async def began(talk: Talk, *, meta: dict[str, Any] | None = None) -> Any:
    """The first question of a call."""
    talk.call("talk_long", meta=meta)
    (question,) = await talk.next()
    return question


@pytest.mark.time_limit(10_000)  # Of the virtual clock.
class TestTime:
    async def test_the_servers_limit_stands_still(self) -> None:
        clock = Clock()
        talk = spoken(shop(request_timeout=30))
        question = await began(talk)
        await clock.advance(100)
        talk.reply(question, accept(value=1))
        (question,) = await talk.next()
        await clock.advance(100)
        talk.reply(question, accept(value=2))
        (answer,) = await talk.next()
        assert answer["result"]["structuredContent"] == {"result": [1, 2]}
        assert idle(talk)

    async def test_what_is_left_of_it_is_left(self) -> None:
        clock = Clock()
        gate = asyncio.Event()

        async def work(context: Context) -> str:
            await gate.wait()
            gate.clear()
            await context.elicit("Sure?", bool)
            happened.append(f"{context.remaining:g}")
            await gate.wait()
            return "done"

        talk = spoken(server_of(work, request_timeout=30))
        talk.call("work")
        await settle()
        await clock.advance(10)
        gate.set()
        (question,) = await talk.next()
        await clock.advance(100)
        talk.reply(question, accept(value=True))
        await settle()
        await clock.advance(19)
        assert happened == ["20"] and await talk.rest() == []
        await clock.advance(2)
        (answer,) = await talk.next()
        assert text_of(answer) == "tool 'work' did not finish within its 30 s, the server's request_timeout"
        assert idle(talk)

    @pytest.mark.parametrize("allowed", [20, 60], ids=["less than the server's", "more"])
    async def test_what_the_caller_allows_goes_on(self, allowed: int) -> None:
        clock = Clock()
        talk = spoken(shop(request_timeout=30))
        question = await began(talk, meta={BUDGET: {"deadlineMs": allowed * 1000}})
        await clock.advance(allowed - 1)
        assert await talk.rest() == []
        await clock.advance(2)
        said = await talk.next()
        (withdrawn,) = [each for each in said if "method" in each]
        assert withdrawn["method"] == "notifications/cancelled"
        assert withdrawn["params"]["requestId"] == question["id"]
        (answer,) = [each for each in said if "result" in each]
        assert text_of(answer) == f"tool 'talk_long' did not finish within the {allowed} s that its caller allows"
        assert idle(talk)

    async def test_both_limits_hold_after_an_answer(self) -> None:
        """30 s of the server's, 60 s of the caller's: after 50 s of asking, 10 s are left."""
        clock = Clock()
        talk = spoken(shop(request_timeout=30))
        question = await began(talk, meta={BUDGET: {"deadlineMs": 60_000}})
        await clock.advance(50)
        (call,) = talk.session.running.calls.values()
        talk.reply(question, accept(value=1))
        (question,) = await talk.next()
        assert call.token.budget.remaining(call.time()).time == pytest.approx(10)
        await clock.advance(9)
        assert await talk.rest() == []
        await clock.advance(2)
        assert any("result" in each for each in await talk.next())
        assert idle(talk)

    async def test_a_handler_that_was_called_has_its_clock_stopped_too(self) -> None:
        clock = Clock()

        async def outer(context: Context) -> str:
            called = await context.call_tool("middle")
            context.checkpoint()
            return getattr(called.content[0], "text", "")

        async def middle(context: Context) -> str:
            called = await context.call_tool("talk_long")
            context.checkpoint()
            return getattr(called.content[0], "text", "")

        talk = spoken(server_of(talk_long, middle, outer, request_timeout=30))
        talk.call("outer")
        for _ in range(2):
            (question,) = await talk.next()
            await clock.advance(100)
            talk.reply(question, accept(value=1))
        assert [text_of(each) for each in await talk.next()] == ["[1,1]"]

    async def test_a_limit_that_it_declares_stands_still_as_well(self) -> None:
        clock = Clock()

        async def outer(context: Context) -> str:
            called = await context.call_tool("inner")
            return getattr(called.content[0], "text", "")

        inner = tool(name="inner", timeout=5)(talk_long.function)
        talk = spoken(server_of(inner, outer, request_timeout=30))
        talk.call("outer")
        for _ in range(2):
            (question,) = await talk.next()
            await clock.advance(100)
            talk.reply(question, accept(value=1))
        assert [text_of(each) for each in await talk.next()] == ["[1,1]"]
        assert idle(talk)

    async def test_what_is_asked_at_the_same_time_stops_it_once(self) -> None:
        clock = Clock()

        async def work(context: Context) -> str:
            await asyncio.gather(*(context.elicit(f"{number}?", int) for number in range(2)))
            return f"{context.remaining:g}"

        talk = spoken(server_of(work, request_timeout=30))
        talk.call("work")
        first, second = await talk.next()
        await clock.advance(40)
        talk.reply(first, accept(value=1))
        await settle()
        await clock.advance(40)
        talk.reply(second, accept(value=1))
        assert [text_of(each) for each in await talk.next()] == ["30"]

    async def test_a_client_that_does_not_answer(self) -> None:
        clock = Clock()
        talk = spoken(shop(answer_timeout="5m"))
        talk.call("order", item="tea")
        (question,) = await talk.next()
        await clock.advance(299)
        assert await talk.rest() == []
        await clock.advance(2)
        withdrawn, answer = await talk.next()
        assert withdrawn["params"]["requestId"] == question["id"]
        told = "the client did not answer within 300 s"
        assert text_of(answer).startswith("tea: TimedOut 408 tool 'order'") and text_of(answer).endswith(told)
        assert idle(talk)

    async def test_it_is_raised_in_the_handler_or_ends_it(self) -> None:
        clock = Clock()
        talk = spoken(shop(answer_timeout=1))
        await began(talk)
        await clock.advance(2)
        _, answer = await talk.next()
        assert answer["result"]["isError"] and "did not answer within 1 s" in text_of(answer)
        assert issubclass(TimedOut, McpError)

    async def test_a_limit_of_the_handlers_own(self) -> None:
        clock = Clock()

        async def work(context: Context) -> str:
            try:
                async with asyncio.timeout(5):
                    await context.elicit("Sure?", bool)
            except TimeoutError:
                return "too late"
            return "in time"

        talk = spoken(server_of(work))
        talk.call("work")
        (question,) = await talk.next()
        await clock.advance(6)
        withdrawn, answer = await talk.next()
        assert withdrawn["params"]["requestId"] == question["id"] and text_of(answer) == "too late"
        assert idle(talk)


# -- the end ----------------------------------------------------------------------------------------------------------


def by_client(talk: Talk, request: int) -> Awaitable[None]:
    talk.cancel(request)
    return settle()


def by_end(talk: Talk, request: int) -> Awaitable[None]:
    talk.session.close()
    return talk.session.abort()


def by_drain(talk: Talk, request: int) -> Awaitable[None]:
    return talk.session.drain(0)


@pytest.mark.loops
class TestEnd:
    @pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
    @pytest.mark.parametrize("end", [by_client, by_end, by_drain])
    async def test_whoever_stops_it_withdraws_the_question(
        self, end: Callable[[Talk, int], Awaitable[None]], revision: str
    ) -> None:
        talk = spoken(shop(), revision)
        request = talk.call("order", item="tea")
        (question,) = await talk.next()
        await end(talk, request)
        withdrawn, *answers = await talk.next()
        assert withdrawn["method"] == "notifications/cancelled"
        assert withdrawn["params"] == {
            "requestId": question["id"],
            "reason": "nobody waits for the answer any more",
        }
        assert len(answers) == (0 if end is by_client else 1)
        assert happened == ["tea was stopped"] and idle(talk)
        talk.session.receive(message(id=question["id"], result=accept(value=3)))
        assert await talk.rest() == []

    async def test_in_a_thread(self) -> None:
        def wait(context: Context) -> str:
            try:
                return repr(context.wait(context.elicit("Sure?", bool)))
            finally:
                happened.append("left")

        server = server_of(wait)
        async with server.running():
            talk = spoken(server)
            request = talk.call("wait")
            (question,) = await talk.next()
            talk.cancel(request)
            (withdrawn,) = await talk.next()
            assert withdrawn["params"]["requestId"] == question["id"]
            (call,) = talk.session.running.calls.values() or [None]
            if call is not None and call.task is not None:
                await asyncio.wait([call.task])
            await settle()
            assert happened == ["left"] and idle(talk)

    async def test_what_a_handler_leaves_behind_is_withdrawn(self) -> None:
        tasks: list[asyncio.Task[Any]] = []

        async def work(context: Context) -> str:
            tasks.append(asyncio.create_task(context.elicit("Sure?", bool)))
            for _ in range(5):
                await asyncio.sleep(0)
            return "done"

        talk = spoken(server_of(work))
        talk.call("work")
        question, *rest = await talk.next()
        assert question["method"] == "elicitation/create"
        methods = {each.get("method", "answer") for each in rest}
        assert methods == {"notifications/cancelled", "answer"} and len(rest) == 2
        await asyncio.wait(tasks)
        await settle()
        assert tasks[0].cancelled() and idle(talk)

    async def test_an_answer_that_crosses_the_cancel(self) -> None:
        talk = spoken(shop())
        request = talk.call("order", item="tea")
        (question,) = await talk.next()
        talk.reply(question, accept(value=3))
        talk.cancel(request)
        assert await talk.rest() == [] and idle(talk)


@pytest.mark.parametrize("revision", LEGACY)
async def test_what_a_revision_has_no_words_for(revision: str, caplog: pytest.LogCaptureFixture) -> None:
    """Audio in sampling came with 2025-03-26; the author has to know it."""
    from tybalt.types.content import AudioContent
    from tybalt.types.sampling import SamplingMessage

    async def listen(context: Context) -> str:
        sound = SamplingMessage(role="user", content=AudioContent(data="AAAA", mime_type="audio/wav"))
        return (await context.sample(sound)).model

    said = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "m"}
    talk = spoken(server_of(listen), revision)
    result = await talk.result("tools/call", {"name": "listen"}, [said])
    if revision == "2024-11-05":
        assert result["isError"] and "asks what this client has no words for" in caplog.text
    else:
        assert result["content"][0]["text"] == "m"
    assert idle(talk)
