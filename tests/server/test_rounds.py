"""The rounds of a modern call: what is run again, which answer belongs to which question, which state is refused."""

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import count as counting
from typing import Annotated, Any

import msgspec
import pytest

from tests.server.talk import Talk, accept, server_of, settle
from tybalt import Context, Depends, Elicit, InputRequired, McpError, Server, ToolError
from tybalt.protocol.replay import Record, request_digest, state_for
from tybalt.protocol.sealed import NONCE
from tybalt.server.server import Server as Kind

KEY = "master-key-Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6"
OTHER = "another-key-cXV4Zm9vYmFyYmF6Zm9vYmFyYmF6"
FOREIGN = "This requestState is not one for this request. Call again without requestState and inputResponses"

ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


async def order(item: str, context: Context, copies: int = 1) -> str:
    ran.append(f"order {item}")
    number = await context.elicit("How many?", int, key="number")
    ran.append("counted")
    return f"{item}: {number} {await context.elicit('Sure?', bool, key='sure')}"


async def cancel_order(item: str, context: Context) -> str:
    ran.append("cancel")
    return repr(await context.elicit("How many?", int, key="number"))


def shop(**options: Any) -> Server:
    server = server_of(order, cancel_order, **{"state_key": KEY, **options})
    server.resource("order://{item}")(order)
    server.prompt("order")(order)
    return server


def params(item: str = "tea", **more: Any) -> dict[str, Any]:
    return {"name": "order", "arguments": {"item": item}, **more}


async def asked(talk: Talk, **changed: Any) -> str:
    """The state after the first round of an order."""
    answer = await talk.send("tools/call", {**params(), **changed})
    assert answer["result"]["resultType"] == "input_required", answer
    ran.clear()
    return answer["result"]["requestState"]


async def retried(talk: Talk, state: str, *, method: str = "tools/call", number: Any = 3, **changed: Any) -> Any:
    answers = {"number": accept(value=number)} if isinstance(number, int) else number
    given = {"inputResponses": answers, "requestState": state}
    return await talk.send(method, {**params(), **changed, **given})


# -- what is run again ------------------------------------------------------------------------------------------------


class TestRunAgain:
    async def test_from_the_start_with_the_answers_there_are(self) -> None:
        talk = Talk(shop())
        told = await talk.value("order", {"How many?": 3, "Sure?": True}, item="tea")
        assert told == "tea: Accepted(value=3) Accepted(value=True)"
        assert ran == ["order tea", "order tea", "counted", "order tea", "counted"]
        assert talk.keys == [["number"], ["sure"]]

    async def test_any_process_with_the_key_goes_on(self) -> None:
        state = await asked(Talk(shop()))
        answer = await retried(Talk(shop(state_key=[OTHER, KEY])), state)
        assert list(answer["result"]["inputRequests"]) == ["sure"]

    async def test_other_meta_and_another_order_of_keys_are_the_same_request(self) -> None:
        talk = Talk(shop())
        first = await talk.send("tools/call", params(arguments={"item": "tea", "copies": 2}))
        given = {"inputResponses": {"number": accept(value=3)}, "requestState": first["result"]["requestState"]}
        request = talk.begin(
            "tools/call",
            {"arguments": {"copies": 2, "item": "tea"}, **given, "name": "order"},
            meta={"progressToken": 5, "traceparent": "x"},
        )
        (answer,) = await talk.next()
        assert answer["id"] == request and list(answer["result"]["inputRequests"]) == ["sure"]

    async def test_it_cleans_up_before_the_round_is_answered(self) -> None:
        async def opened() -> AsyncIterator[str]:
            try:
                yield "db"
            except BaseException as error:
                ran.append(f"rolled back by {type(error).__name__}")
                raise
            finally:
                await asyncio.sleep(0)
                ran.append("closed")

        async def busy() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ran.append("child stopped")

        async def work(database: Annotated[str, Depends(opened)], context: Context) -> str:
            context.spawn(busy())
            await asyncio.sleep(0)
            try:
                return repr(await context.elicit("Sure?", bool))
            except Exception:
                ran.append("swallowed")
                raise
            finally:
                ran.append(f"cancelled: {context.cancelled}")

        talk = Talk(server_of(work))
        answer = await talk.send("tools/call", {"name": "work", "arguments": {}})
        assert answer["result"]["resultType"] == "input_required"
        expected = ["cancelled: False", "rolled back by CancelledError", "closed", "child stopped"]
        assert sorted(ran) == sorted(expected) and ran.index("closed") > 0
        assert talk.session.running.calls == {} and talk.session.connection.in_flight == 0

    async def test_what_fails_while_it_is_stopped_is_a_failure(self) -> None:
        async def work(context: Context) -> str:
            try:
                return repr(await context.elicit("Sure?", bool))
            finally:
                raise ToolError("cannot let go")

        result = await Talk(server_of(work)).result("tools/call", {"name": "work"})
        assert result["isError"] and result["content"][0]["text"] == "cannot let go"

    async def test_what_is_asked_while_it_cleans_up_is_stopped_as_well(self) -> None:
        async def work(context: Context) -> str:
            try:
                return repr(await context.elicit("Sure?", bool))
            finally:
                ran.append("cleaning up")
                if len(ran) == 1:
                    await context.elicit("Keep a copy?", bool)

        talk = Talk(server_of(work))
        assert await talk.value("work", {"Sure?": True}) == "Accepted(value=True)"
        assert [len(asked) for asked in talk.rounds] == [1] and len(ran) == 2

    async def test_one_that_swallows_every_stop_does_not_block_the_loop(self) -> None:
        async def work(context: Context) -> str:
            for _ in range(100):
                try:
                    return repr(await context.elicit("Sure?", bool))
                except asyncio.CancelledError:
                    ran.append("swallowed")
            return "never heard"

        talk = Talk(server_of(work))
        assert await talk.value("work", {"Sure?": True}) == "Accepted(value=True)"
        assert len(ran) == 100

    async def test_a_cancel_of_the_client_counts_more(self) -> None:
        stopping = asyncio.Event()

        async def work(context: Context) -> str:
            try:
                return repr(await context.elicit("Sure?", bool))
            finally:
                stopping.set()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                ran.append("cleaned up")

        talk = Talk(server_of(work))
        request = talk.call("work")
        await stopping.wait()
        talk.cancel(request)
        assert await talk.rest() == [] and ran == []  # The cancel came while it cleaned up, and stopped that.
        assert talk.session.running.calls == {}

    async def test_once_is_at_least_once(self) -> None:
        """What is kept travels with the state: whoever calls anew, or does not retry, knows nothing of it."""

        async def work(context: Context) -> list[Any]:
            made = await context.once("made", lambda: ran.append("made") or len(ran))
            await context.elicit("Sure?", bool, key="sure")
            return [made, context.has_asked]

        talk = Talk(server_of(work))
        first = await talk.send("tools/call", {"name": "work"})
        assert await talk.value("work", [True]) == [2, True]
        given = {"requestState": first["result"]["requestState"], "inputResponses": {"sure": accept(value=True)}}
        for _ in range(2):  # It is not single use, either.
            answer = await talk.send("tools/call", {"name": "work", **given})
            assert answer["result"]["structuredContent"] == [1, True]
        assert ran == ["made", "made"]


# -- which answer belongs to which question ---------------------------------------------------------------------------


class TestBinding:
    @pytest.mark.parametrize("key", ["when", None], ids=["key", "site"])
    async def test_another_question_is_asked(self, key: str | None, caplog: pytest.LogCaptureFixture) -> None:
        """A message that is another each time is never answered."""
        now = counting()

        async def remind(context: Context) -> str:
            return repr(await context.elicit(f"It is {next(now)}. Remind you?", bool, key=key))

        talk = Talk(server_of(remind, max_rounds=4))
        error = await talk.error("remind", lambda _: True)
        assert error["code"] == -32602 and "has asked its client 4 times" in error["message"]
        assert "a question must not change from round to round" in error["message"]
        told = [record.getMessage() for record in caplog.records]
        assert len(told) == 4, "at each answer that no question wants any more"
        assert all("tool 'remind' (function" in each and "does not ask any more" in each for each in told)
        messages = [asked["params"]["message"] for (asked,) in talk.rounds]
        assert messages == [f"It is {number}. Remind you?" for number in range(4)]

    async def test_who_asks_later_this_time_is_not_accused(self, caplog: pytest.LogCaptureFixture) -> None:
        runs: list[str] = []

        async def work(context: Context) -> str:
            runs.append("run")

            async def slow() -> str:
                for _ in range(0 if len(runs) == 1 else 20):
                    await asyncio.sleep(0)
                return repr(await context.elicit("Slow?", bool))

            asked = context.spawn(slow())
            await asyncio.sleep(0)
            for each in ("One?", "Two?"):
                await context.elicit(each, bool, key=each)
            return await asked

        assert await Talk(server_of(work)).value("work", lambda _: True) == "Accepted(value=True)"
        assert len(runs) == 3 and caplog.records == []

    async def test_once_keeps_a_question_the_same(self) -> None:
        now = counting()

        async def remind(context: Context) -> str:
            moment = await context.once("now", lambda: next(now))
            return repr(await context.elicit(f"It is {moment}. Remind you?", bool))

        assert await Talk(server_of(remind)).value("remind", [True]) == "Accepted(value=True)"

    async def test_a_schema_counts_too(self) -> None:
        kinds = iter([int, str, str])

        async def order(context: Context) -> str:
            return repr(await context.elicit("How many?", next(kinds), key="number"))

        talk = Talk(server_of(order))
        assert await talk.value("order", [3, "three"]) == "Accepted(value='three')"
        assert len(talk.rounds) == 2

    async def test_an_order_does_not(self) -> None:
        """Whoever is asked at the same time may be asked in another order when it is run again."""
        turn = counting()

        async def order(context: Context) -> str:
            names = ["milk", "tea"] if next(turn) else ["tea", "milk"]
            questions = {name: Elicit[int](f"How much {name}?", int) for name in names}
            found = await asyncio.gather(*(context.elicit(each.message, int) for each in questions.values()))
            return " ".join(sorted(f"{name}={each.value}" for name, each in zip(names, found, strict=True)))  # type: ignore[union-attr]

        answers = {"How much tea?": 1, "How much milk?": 2}
        assert await Talk(server_of(order)).value("order", answers) == "milk=2 tea=1"

    async def test_a_place_is_a_line_of_a_function(self) -> None:
        async def order(context: Context) -> list[Any]:
            first = await context.elicit("How many?", int)
            second = await context.elicit("How many?", int)
            return [first.value, second.value]  # type: ignore[union-attr]

        talk = Talk(server_of(order))
        assert await talk.value("order", [1, 2]) == [1, 2]
        (first,), (second,) = talk.keys
        assert first != second and first.startswith("q-") and len(first) < 20
        assert "order" not in first

    async def test_a_part_of_the_answers_is_kept_and_the_rest_asked_again(self) -> None:
        async def order(context: Context) -> str:
            ran.append("order")
            found = await context.ask(number=Elicit("How many?", int), sure=Elicit("Sure?", bool))
            return f"{found['number']} {found['sure']}"

        talk = Talk(server_of(order))
        answers: list[Any] = [None, True, 3]
        assert await talk.value("order", answers) == "Accepted(value=3) Accepted(value=True)"
        assert talk.keys == [["number", "sure"], ["number"]]
        talk = Talk(server_of(order, max_rounds=3))
        error = await talk.error("order", lambda _: None)
        assert error["code"] == -32602 and "still lacks answers" in error["message"]
        assert talk.keys == [["number", "sure"]] * 3

    async def test_a_part_of_the_answers_to_returned_questions(self) -> None:
        async def order(context: Context) -> Any:
            ran.append(" ".join(sorted(context.input_responses)))
            if len(context.input_responses) < 2:
                return InputRequired({"number": Elicit("How many?", int), "sure": Elicit("Sure?", bool)})
            return "done"

        talk = Talk(server_of(order))
        assert await talk.value("order", [3, None, True]) == "done"
        assert talk.keys == [["number", "sure"], ["sure"]] and ran == ["", "number", "number sure"]

    async def test_a_question_that_was_changed_has_no_answer_yet(self) -> None:
        """Nor has it the one that was given to the question before."""

        async def order(context: Context) -> Any:
            step = (context.round_state or 0) + 1
            ran.append(f"{step} {sorted(context.input_responses)}")
            return "done" if step == 4 else InputRequired({"number": Elicit(f"{step}?", int)}, state=step)

        assert await Talk(server_of(order)).value("order", [1, None, 3]) == "done"
        assert ran == ["1 []", "2 ['number']", "3 []", "4 ['number']"]

    async def test_answers_that_nobody_asked_for_are_ignored(self) -> None:
        talk = Talk(shop())
        state = await asked(talk)
        answers = {"number": accept(value=3), "sure": accept(value=True), "admin": accept(value=1)}
        answer = await retried(talk, state, number=answers)
        assert list(answer["result"]["inputRequests"]) == ["sure"]

    @pytest.mark.parametrize("responses", [{"number": accept(value=3)}, {"number": 5}, 5, []])
    async def test_answers_without_a_state_are_ignored(self, responses: Any) -> None:
        answer = await Talk(shop()).send("tools/call", params(inputResponses=responses))
        assert list(answer["result"]["inputRequests"]) == ["number"]


class TestWithoutAState:
    """A client that knows what a handler returns as its questions may answer with its first call."""

    @staticmethod
    def server() -> Server:
        async def reserve(context: Context) -> Any:
            ran.append(f"{context.round_state} {sorted(context.input_responses)}")
            if "who" not in context.input_responses:
                return InputRequired({"who": Elicit("Who?"), "sure": Elicit("Sure?", bool)}, state="asked")
            return f"{context.input_responses['who'].content['value']} {len(context.input_responses)}"

        return server_of(reserve)

    async def call(self, responses: Any = None, **members: Any) -> Any:
        given = {"inputResponses": members if responses is None else responses}
        return await Talk(self.server()).send("tools/call", {"name": "reserve", **given})

    async def test_it_is_as_if_it_had_called_before(self) -> None:
        answer = await self.call(who=accept(value="Ada"), sure=accept(value=True), admin=accept(value=1))
        assert answer["result"]["content"][0]["text"] == "Ada 2"
        assert ran == ["None []", "asked ['sure', 'who']"]

    async def test_a_part_is_enough_for_a_handler_that_needs_no_more(self) -> None:
        answer = await self.call(who=accept(value="Ada"))
        assert answer["result"]["content"][0]["text"] == "Ada 1"

    async def test_what_is_missing_is_asked(self) -> None:
        talk = Talk(self.server())
        first = {"name": "reserve", "inputResponses": {"sure": accept(value=True)}}
        asked = (await talk.send("tools/call", first))["result"]
        assert list(asked["inputRequests"]) == ["who"]
        second = {**first, "inputResponses": {"who": accept(value="Ada")}, "requestState": asked["requestState"]}
        assert (await talk.send("tools/call", second))["result"]["content"][0]["text"] == "Ada 2"

    async def test_what_nobody_asks_for_is_ignored(self) -> None:
        answer = await self.call(admin=accept(value=1))
        assert list(answer["result"]["inputRequests"]) == ["who", "sure"]
        assert ran == ["None []"]

    async def test_an_answer_of_another_kind_is_refused(self) -> None:
        answer = await self.call(who={"roots": []})
        assert answer["error"]["code"] == -32602 and "$.params.inputResponses.who" in answer["error"]["message"]

    @pytest.mark.parametrize("responses", [5, []])
    async def test_what_is_no_object_is_refused(self, responses: Any) -> None:
        answer = await self.call(responses)
        assert answer["error"]["code"] == -32602 and "$.params.inputResponses" in answer["error"]["message"]

    async def test_it_counts_as_a_round(self) -> None:
        async def endless(context: Context) -> Any:
            return InputRequired({f"n{len(context.input_responses)}": Elicit("Number?", int)})

        call = {"name": "endless", "inputResponses": {"n0": accept(value=1)}}
        answer = await Talk(server_of(endless, max_rounds=1)).send("tools/call", call)
        assert answer["error"]["code"] == -32602 and "asked its client 1 times" in answer["error"]["message"]

    @pytest.mark.parametrize("responses", [None, {}], ids=["none", "empty"])
    async def test_a_state_without_answers_asks_again(self, responses: Any) -> None:
        talk = Talk(shop())
        state = await asked(talk)
        given = {} if responses is None else {"inputResponses": responses}
        answer = await talk.send("tools/call", params(requestState=state, **given))
        assert list(answer["result"]["inputRequests"]) == ["number"]


# -- what is refused before anything runs -----------------------------------------------------------------------------


def flipped(state: str) -> str:
    """One bit changed in the middle."""
    middle = len(state) // 2
    return f"{state[:middle]}{'A' if state[middle] != 'A' else 'B'}{state[middle + 1 :]}"


@pytest.mark.loops
class TestRefused:
    async def refused(self, talk: Talk, state: str, **changed: Any) -> str:
        error = (await retried(talk, state, **changed))["error"]
        assert error["code"] == -32602
        assert ran == []
        return error["message"]

    @pytest.mark.parametrize(
        "change", [flipped, lambda state: state[:-4], lambda state: state + "AAAA", lambda _: "", lambda _: "é\0"]
    )
    async def test_what_was_altered(self, change: Any) -> None:
        talk = Talk(shop())
        assert await self.refused(talk, change(await asked(talk))) == FOREIGN

    async def test_that_of_another_server(self) -> None:
        state = await asked(Talk(shop(state_key=OTHER)))
        assert await self.refused(Talk(shop()), state) == FOREIGN
        state = await asked(Talk(Kind("another", state_key=KEY).add(order)))
        assert await self.refused(Talk(shop()), state) == FOREIGN

    async def test_without_a_key_it_is_good_for_one_server(self) -> None:
        state = await asked(Talk(shop(state_key=None)))
        assert await self.refused(Talk(shop(state_key=None)), state) == FOREIGN

    @pytest.mark.parametrize(("whose", "presents"), [("ann", "bob"), ("ann", None), (None, "ann")])
    async def test_that_of_another_principal(self, whose: str | None, presents: str | None) -> None:
        server = shop()
        state = await asked(Talk(server, principal=whose))
        assert await self.refused(Talk(server, principal=presents), state) == FOREIGN
        answer = await retried(Talk(server, principal=whose), state)
        assert list(answer["result"]["inputRequests"]) == ["sure"]

    async def test_on_another_request(self) -> None:
        talk = Talk(shop())
        state = await asked(talk)
        for changed in (
            {"arguments": {"item": "milk"}},
            {"arguments": {"item": "tea", "copies": 1}},
            {"name": "cancel_order"},
            {"method": "prompts/get"},
        ):
            assert await self.refused(talk, state, **changed) == FOREIGN
        answer = await talk.send("resources/read", {"uri": "order://tea", "requestState": state})
        assert answer["error"]["code"] == -32602 and ran == []

    async def test_after_its_time(self) -> None:
        server = shop(answer_timeout=60)
        talk = Talk(server)
        before = time.time()
        record = Record.decode(server.seal.open(await asked(talk)))
        assert before + 60 <= record.expires <= time.time() + 60
        expired = msgspec.structs.replace(record, expires=before)
        state = state_for(expired, server.seal, nonce=bytes(NONCE))
        said = "This requestState has expired. Call again without requestState and inputResponses"
        assert await self.refused(talk, state) == said

    async def test_without_a_limit_for_answers_there_is_one_all_the_same(self) -> None:
        server = shop(answer_timeout=None)
        record = Record.decode(server.seal.open(await asked(Talk(server))))
        assert time.time() + 800 < record.expires < time.time() + 901

    async def test_after_too_many_rounds(self) -> None:
        server = shop(max_rounds=2)
        digest = request_digest("tools/call", params())
        record = Record.begun(principal=None, method="tools/call", digest=digest)
        record = msgspec.structs.replace(record, round=3, expires=time.time() + 60)
        state = state_for(record, server.seal, nonce=bytes(NONCE))
        assert "has asked its client 3 times" in await self.refused(Talk(server), state)

    @pytest.mark.parametrize(
        ("answers", "place"),
        [
            ({"number": 5}, "$.params.inputResponses.number"),
            ({"number": {"action": "perhaps"}}, "$.params.inputResponses.number.action"),
            ({"number": {"action": "accept", "content": {"value": {}}}}, "$.params.inputResponses.number.content[...]"),
            ({"number": {"roots": []}}, "$.params.inputResponses.number"),
            ([], "$.params.inputResponses"),
        ],
    )
    async def test_answers_that_are_none(self, answers: Any, place: str) -> None:
        talk = Talk(shop())
        assert f"- at `{place}`" in await self.refused(talk, await asked(talk), number=answers)

    async def test_by_every_method(self) -> None:
        talk = Talk(shop())
        for method, request in (
            ("tools/call", params()),
            ("prompts/get", params()),
            ("resources/read", {"uri": "order://tea"}),
        ):
            answer = await talk.send(method, {**request, "requestState": "nonsense"})
            assert answer["error"]["code"] == -32602 and answer["error"]["message"] == FOREIGN
        assert ran == []

    @pytest.mark.parametrize("run_in", ["loop", "thread", "auto"])
    async def test_whatever_runs_where(self, run_in: Any) -> None:
        server = Server("x")

        @server.tool(run_in=run_in)
        def plain(context: Context) -> str:
            ran.append("plain")
            return "done"

        answer = await Talk(server).send("tools/call", {"name": "plain", "requestState": "nonsense"})
        assert answer["error"]["message"] == FOREIGN and ran == []

    async def test_who_asks_nothing_does_not_look_at_it(self) -> None:
        def add(a: int, b: int) -> int:
            return a + b

        talk = Talk(server_of(add))
        request = {"name": "add", "arguments": {"a": 1, "b": 2}, "requestState": "nonsense"}
        answer = await talk.send("tools/call", request)
        assert answer["result"]["structuredContent"] == 3


# -- how much fits ----------------------------------------------------------------------------------------------------


class TestSize:
    async def test_what_a_handler_keeps(self, caplog: pytest.LogCaptureFixture) -> None:
        async def order(context: Context) -> str:
            await context.once("much", lambda: "x" * 100_000)
            return repr(await context.elicit("Sure?", bool))

        result = await Talk(server_of(order)).result("tools/call", {"name": "order"})
        assert result["isError"] and "x" * 100 not in result["content"][0]["text"]
        assert "what is kept under 'much' takes 100,002 of them" in caplog.text

    async def test_what_a_client_answers(self) -> None:
        async def order(context: Context) -> str:
            answers = [await context.elicit(f"{number}?", key=f"{number}") for number in range(2)]
            return repr(answers)

        error = await Talk(server_of(order)).error("order", lambda _: "x" * 100_000)
        assert error["code"] == -32602
        assert "the answer to '0' takes" in error["message"] and "Answer more briefly" in error["message"]


# -- by hand ----------------------------------------------------------------------------------------------------------


async def test_a_state_tells_its_reader_little() -> None:
    """Without the crypto extra it can be read: answers are in it, but neither who asked nor what for."""
    server = shop()
    talk = Talk(server, principal="ann@example.org")
    state = await asked(talk)
    assert state.isascii() and not set(state) & set("=+/")
    payload = server.seal.open(state)
    for secret in (b"ann@example.org", b"tea", b"How many", KEY.encode()):
        assert secret not in payload


async def test_a_handler_hears_whether_it_has_asked() -> None:
    async def work(context: Context) -> list[bool]:
        before = context.has_asked
        try:
            await context.sample("Hi")
        except McpError:
            pass
        await context.elicit("Sure?", bool)
        return [before, context.has_asked]

    assert await Talk(server_of(work), capabilities={"elicitation": {}}).value("work", [True]) == [True, True]
    await settle()
