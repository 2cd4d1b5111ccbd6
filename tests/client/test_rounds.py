"""What a modern server asks in place of a result: answered, and the request retried, until there is one."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest

from tests.client.peers import Clock, Peer, asked, called, connected, idle, settle
from tests.client.test_questions import User
from tybalt import Client, ConnectionLost, McpError, MisuseError, RequestTimeout, UnexpectedResult
from tybalt.protocol.client import MAX_QUESTIONS
from tybalt.types.capabilities import ClientCapabilities, ElicitationCapability
from tybalt.types.elicitation import ElicitRequest, ElicitResult
from tybalt.types.input_required import InputRequiredResult
from tybalt.types.tools import CallToolResult

FORM = {
    "method": "elicitation/create",
    "params": {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}},
}
URL = {"method": "elicitation/create", "params": {"mode": "url", "message": "Sign in", "url": "https://x.example"}}
SAMPLE = {"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 9}}
ROOTS = {"method": "roots/list"}
ADA = {"action": "accept", "content": {"name": "Ada"}}

Ask = Callable[[Client], Coroutine[Any, Any, Any]]
OPERATIONS: dict[str, tuple[Ask, dict[str, Any], dict[str, Any]]] = {
    "tools/call": (
        lambda client: client.call_tool("greet", {"loud": True}),
        {"name": "greet", "arguments": {"loud": True}},
        called("Hello"),
    ),
    "prompts/get": (
        lambda client: client.get_prompt("greet", {"loud": True}),
        {"name": "greet", "arguments": {"loud": "true"}},
        {"resultType": "complete", "messages": []},
    ),
    "resources/read": (
        lambda client: client.read_resource("x://y"),
        {"uri": "x://y"},
        {"resultType": "complete", "contents": []},
    ),
}


def required(state: str | None = None, **questions: Any) -> dict[str, Any]:
    """A result that asks."""
    asks = {"inputRequests": questions} if questions else {}
    return {"resultType": "input_required", **asks, **({} if state is None else {"requestState": state})}


def params_of(request: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in request["params"].items() if key != "_meta"}


@pytest.mark.loops
class TestRounds:
    @pytest.mark.parametrize("method", OPERATIONS)
    async def test_the_request_is_retried_with_answers_and_state(self, method: str) -> None:
        """2026-07-28 basic/patterns/mrtr, "Client Requirements" 1 to 3."""
        ask, params, result = OPERATIONS[method]
        state = 'opaque é\\u0000 "quoted" \U0001f600'
        async with connected(on_elicit=lambda q: {"name": "Ada"}) as (client, peer):
            asking, first = await asked(peer, ask(client))
            assert params_of(first) == params
            peer.answer(first, required(state, who=FORM))
            second = await peer.next()
            assert (second["method"], second["id"]) == (method, first["id"] + 1)
            assert params_of(second) == {**params, "inputResponses": {"who": ADA}, "requestState": state}
            assert second["params"]["_meta"] == first["params"]["_meta"]
            peer.answer(second, result)
            await asking
            assert idle(client)

    async def test_each_kind_of_question_is_asked_at_once(self) -> None:
        user = User({"name": "Ada"})
        options: dict[str, Any] = {"on_elicit": user, "on_sample": lambda q: "4", "roots": ["file:///a"]}
        async with connected(**options) as (client, peer):
            asking, first = await asked(peer, client.call("greet"))
            peer.answer(first, required(None, a=FORM, b=URL, c=SAMPLE, d=ROOTS))
            await settle()
            assert user.events == ["asked", "asked"]
            user.answer = ElicitResult(action="accept", content={"name": "Ada"})
            user.let.set()
            second = await peer.next()
            assert params_of(second) == {
                "name": "greet",
                "arguments": {},
                "inputResponses": {
                    "a": ADA,
                    "b": ADA,
                    "c": {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "unknown"},
                    "d": {"roots": [{"uri": "file:///a"}]},
                },
            }
            peer.answer(second, called("done"))
            assert await asking == "done"

    async def test_state_and_answers_are_those_of_the_last_round_alone(self) -> None:
        """ "If [it] does not contain a `requestState` field, the client MUST NOT include one in the retry"."""
        async with connected(on_elicit=lambda q: {"name": "Ada"}) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            for result, extra in (
                (required("one", who=FORM), {"inputResponses": {"who": ADA}, "requestState": "one"}),
                (required(None, again=FORM), {"inputResponses": {"again": ADA}}),
                (required(""), {"requestState": ""}),
                (required("two", again=FORM), {"inputResponses": {"again": ADA}, "requestState": "two"}),
            ):
                peer.answer(request, result)
                request = await peer.next()
                assert params_of(request) == {"name": "greet", "arguments": {}, **extra}
            peer.answer(request, called(1))
            assert await asking == 1

    async def test_other_requests_are_not_touched(self) -> None:
        """2026-07-28 basic/patterns/mrtr, "Client Requirements" 4."""
        user = User()
        async with connected(on_elicit=user) as (client, peer):
            asking, first = await asked(peer, client.call("greet"))
            peer.answer(first, required("mine", who=FORM))
            await settle()
            other, request = await asked(peer, client.call("add", a=1))
            assert params_of(request) == {"name": "add", "arguments": {"a": 1}}
            peer.answer(request, called(2))
            assert await other == 2
            user.let.set()
            request = await peer.next()
            assert params_of(request)["requestState"] == "mine"
            peer.answer(request, called(1))
            await asking

    async def test_a_function_may_ask_back(self) -> None:
        async def on_elicit(question: Any) -> Any:
            return {"name": await client.call("whoami")}

        async with connected(on_elicit=on_elicit) as (client, peer):
            asking, first = await asked(peer, client.call("greet"))
            peer.answer(first, required(None, who=FORM))
            inner = await peer.next()
            peer.answer(inner, called("Ada"))
            retry = await peer.next()
            assert params_of(retry)["inputResponses"] == {"who": ADA}
            peer.answer(retry, called("Hello, Ada"))
            assert await asking == "Hello, Ada"

    async def test_progress_goes_on_in_every_round(self) -> None:
        steps: list[Any] = []
        async with connected(on_elicit=lambda q: None) as (client, peer):
            call = client.call_tool("greet", on_progress=lambda *step: steps.append(step))
            asking, request = await asked(peer, call)
            for step in (1, 2):
                token = request["params"]["_meta"]["progressToken"]
                assert token == request["id"]
                peer.send({"method": "notifications/progress", "params": {"progressToken": token, "progress": step}})
                peer.answer(request, required(None, who=FORM) if step == 1 else called(1))
                if step == 1:
                    request = await peer.next()
            await asking
            assert steps == [(1, None, None), (2, None, None)]


class TestBounds:
    async def test_a_server_that_never_ends_is_left(self) -> None:
        async with connected(on_elicit=lambda q: None, max_rounds=3) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            for _ in range(3):
                peer.answer(request, required(None, who=FORM))
                request = await peer.next()
            peer.answer(request, required(None, who=FORM))
            with pytest.raises(UnexpectedResult, match="tools/call: the server still asks after 3 rounds"):
                await asking
            assert idle(client)

    async def test_retries_for_which_nothing_was_asked_slow_down(self) -> None:
        clock = Clock()
        async with connected(on_elicit=lambda q: None) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required("0"))
            request = await peer.next()
            for pause in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0):
                peer.answer(request, required("again"))
                await settle()
                await clock.advance(pause - 0.01)
                assert peer.quiet()
                await clock.advance(0.02)
                request = await peer.next()
            peer.answer(request, required("asks", who=FORM))
            request = await peer.next()
            peer.answer(request, required("and then at once"))
            request = await peer.next()
            assert params_of(request)["requestState"] == "and then at once"
            peer.answer(request, called(1))
            assert await asking == 1

    async def test_no_questions_at_all_are_none(self) -> None:
        async with connected() as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, {"resultType": "input_required", "inputRequests": {}})
            request = await peer.next()
            assert params_of(request) == {"name": "greet", "arguments": {}}
            peer.answer(request, called(1))
            await asking

    async def test_too_many_questions_at_once_are_none_of_ours(self) -> None:
        async with connected(on_elicit=lambda q: None) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, **{f"{number}": FORM for number in range(MAX_QUESTIONS + 1)}))
            with pytest.raises(
                UnexpectedResult, match="the server asks 101 questions at once, more than the 100 allowed"
            ):
                await asking

    async def test_a_time_limit_is_that_of_a_round_and_not_of_the_user(self) -> None:
        clock, user = Clock(), User()
        async with connected(on_elicit=user) as (client, peer):
            asking, first = await asked(peer, client.call_tool("greet", timeout=3))
            await clock.advance(2)
            peer.answer(first, required(None, who=FORM))
            await clock.advance(12)
            assert user.events == ["asked"]
            user.let.set()
            second = await peer.next()
            await clock.advance(2.9)
            assert not asking.done()
            await clock.advance(0.2)
            with pytest.raises(RequestTimeout, match="tools/call was not answered within 3 s"):
                await asking
            assert (await peer.next())["params"] == {"requestId": second["id"], "reason": "timeout"}
            assert idle(client)


@pytest.mark.loops
class TestFailures:
    @pytest.mark.parametrize(
        ("options", "question", "text"),
        [
            (
                {},
                FORM,
                "elicitation/create under 'who', but this client has not declared what elicitation/create needs",
            ),
            ({"on_elicit": print, "elicit_modes": ["form"]}, URL, "has not declared elicitation by URL"),
            ({"on_elicit": print}, SAMPLE, "sampling/createMessage under 'who', but"),
            ({"on_elicit": print}, ROOTS, "roots/list under 'who', but"),
        ],
    )
    async def test_a_question_that_may_not_be_asked_is_named(self, options: Any, question: Any, text: str) -> None:
        """2026-07-28 basic/patterns/mrtr, server requirement 7."""
        async with connected(**options) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, who=question))
            with pytest.raises(UnexpectedResult, match=f"tools/call: the server asks .*{text}"):
                await asking
            assert idle(client) and peer.quiet()

    @pytest.mark.parametrize(
        "result",
        [
            {"resultType": "input_required"},
            required(None, who={"method": "tools/call", "params": {}}),
            required(None, who={"method": "elicitation/create"}),
            required(None, who=5),
            {"resultType": "input_required", "inputRequests": []},
            {"resultType": "input_required", "requestState": 5},
        ],
    )
    async def test_what_asks_nothing_that_can_be_read_is_raised(self, result: Any) -> None:
        async with connected(on_elicit=print) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, result)
            with pytest.raises(UnexpectedResult, match="the server's result is no InputRequiredResult: "):
                await asking

    async def test_a_result_may_hold_what_a_complete_one_holds_and_still_ask(self) -> None:
        async with connected(on_elicit=lambda q: None) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, {"content": [], **required("s", who=FORM)})
            request = await peer.next()
            assert params_of(request)["requestState"] == "s"
            peer.answer(request, called(1))
            await asking

    @pytest.mark.parametrize("operation", ["list_tools", "complete"])
    async def test_what_may_not_ask_is_not_answered(self, operation: str) -> None:
        async with connected(on_elicit=print) as (client, peer):
            ask = client.list_tools() if operation == "list_tools" else client.complete("a", "b")
            asking, request = await asked(peer, ask)
            peer.answer(request, required("s", who=FORM))
            with pytest.raises(UnexpectedResult, match="of the type 'input_required', unknown"):
                await asking

    async def test_a_legacy_server_does_not_ask_this_way(self) -> None:
        async with connected("legacy", on_elicit=print) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required("s", who=FORM))
            with pytest.raises(UnexpectedResult, match="of the type 'input_required', which 2025-11-25 does not have"):
                await asking

    @pytest.mark.parametrize("error", [McpError("no", code=7), ValueError("mine")])
    async def test_what_a_function_raises_is_raised_and_stops_the_others(self, error: Exception) -> None:
        patient, failing = User(), User(error)
        users = {"Who?": patient, "Sign in": failing}
        async with connected(on_elicit=lambda q: users[q.message](q)) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, who=FORM, sign=URL))
            await settle()
            failing.let.set()
            with pytest.raises(type(error)) as raised:
                await asking
            assert raised.value is error and patient.events == ["asked", "stopped"]
            assert idle(client) and peer.quiet(), "the server need not be told: it waits for nothing"

    async def test_a_no_to_sampling_ends_the_call(self) -> None:
        """2026-07-28 client/sampling, "Error Handling"."""
        async with connected(on_sample=lambda q: None) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, say=SAMPLE))
            with pytest.raises(McpError, match="User rejected sampling request"):
                await asking

    async def test_a_value_that_means_nothing_is_told_to_the_caller(self) -> None:
        async with connected(on_elicit=lambda q: 5) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, who=FORM))
            with pytest.raises(MisuseError, match="on_elicit: expected the values by name"):
                await asking

    async def test_a_cancel_of_the_call_stops_the_user(self) -> None:
        user = User()
        async with connected(on_elicit=user) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, who=FORM, sign=URL))
            await settle()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert user.events == ["asked", "asked", "stopped", "stopped"]
            assert idle(client) and peer.quiet()

    async def test_a_function_that_cancels_itself_cancels_the_call(self) -> None:
        user = User(asyncio.CancelledError())
        user.let.set()
        async with connected(on_elicit=user) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, who=FORM))
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert idle(client)

    @pytest.mark.parametrize("who", ["client", "peer"])
    async def test_the_end_of_the_connection_stops_the_user_and_the_call(self, who: str) -> None:
        user = User()
        async with connected(on_elicit=user) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, who=FORM))
            await settle()
            await (peer if who == "peer" else client).aclose()
            with pytest.raises(ConnectionLost, match="while a question of the server was answered"):
                await asking
            assert user.events == ["asked", "stopped"]
            assert idle(client)

    async def test_a_function_may_close_its_client(self) -> None:
        async with connected(on_elicit=lambda q: client.aclose()) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, who=FORM))
            with pytest.raises(ConnectionLost):
                await asking
        assert idle(client)

    async def test_an_end_before_the_question_is_read_asks_nobody(self) -> None:
        user = User()
        async with connected(on_elicit=user) as (client, peer):
            asking, request = await asked(peer, client.call("greet"))
            peer.answer(request, required(None, who=FORM))
            await peer.aclose()
            with pytest.raises(ConnectionLost):
                await asking
            assert user.events in ([], ["asked", "stopped"]) and idle(client)


class TestByHand:
    DECLARED = ClientCapabilities(elicitation=ElicitationCapability(form={}))

    async def test_one_round_at_a_time(self) -> None:
        async with connected(declares=self.DECLARED) as (client, peer):
            asking, request = await asked(peer, client.call_tool_once("greet", {"a": 1}))
            assert request["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] == {
                "elicitation": {"form": {}}
            }
            peer.answer(request, required("s", who=FORM, more=FORM, last=FORM))
            result = await asking
            assert isinstance(result, InputRequiredResult) and result.request_state == "s"
            assert result.input_requests is not None and isinstance(result.input_requests["who"], ElicitRequest)
            given = {
                "who": ElicitResult(action="accept", content={"name": "Ada"}),
                "more": {"action": "cancel"},
                "last": msgspec.Raw(b'{"action":"decline"}'),
            }
            again = client.call_tool_once("greet", {"a": 1}, input_responses=given, request_state=result.request_state)
            asking, request = await asked(peer, again)
            assert params_of(request) == {
                "name": "greet",
                "arguments": {"a": 1},
                "inputResponses": {"who": ADA, "more": {"action": "cancel"}, "last": {"action": "decline"}},
                "requestState": "s",
            }
            peer.answer(request, called(1))
            assert isinstance(await asking, CallToolResult)

    async def test_state_alone(self) -> None:
        async with connected() as (client, peer):
            asking, request = await asked(peer, client.call_tool_once("greet", request_state=""))
            assert params_of(request) == {"name": "greet", "arguments": {}, "requestState": ""}
            peer.answer(request, called(1))
            await asking

    async def test_raw_requests_are_left_alone(self) -> None:
        async with connected(on_elicit=print) as (client, peer):
            asking, request = await asked(peer, client.request("tools/call", {"name": "greet"}))
            peer.answer(request, required("s", who=FORM))
            assert msgspec.json.decode(await asking) == required("s", who=FORM)
            assert peer.quiet()

    async def test_misuse(self) -> None:
        async with connected() as (client, _):
            for arguments in (5, "x"):
                with pytest.raises(MisuseError, match="expected the arguments as a mapping"):
                    await client.call_tool_once("greet", arguments)  # type: ignore[arg-type]
            for responses in ({"who": object()}, 5):
                with pytest.raises(MisuseError, match="have no JSON form"):
                    await client.call_tool_once("greet", input_responses=responses)  # type: ignore[arg-type]
            assert idle(client)
        async with connected("legacy") as (client, _):
            with pytest.raises(MisuseError, match="2025-11-25 has neither `input_responses` nor `request_state`"):
                await client.call_tool_once("greet", request_state="s")

    @pytest.mark.parametrize("rounds", [0, -1, True, 1.5, None])
    def test_rounds_are_a_number_from_1_on(self, rounds: Any) -> None:
        with pytest.raises(MisuseError, match="max_rounds: expected a number of rounds from 1 on"):
            Client(Peer().client_end, max_rounds=rounds)
