"""What a legacy server asks at any time: answered on the wire, withdrawn, refused, and nothing left behind."""

import asyncio
import logging
from typing import Any

import pytest

from tests.client.peers import Clock, Peer, asked, called, connected, idle, settle
from tybalt import Client, ConnectionLost, Context, McpError, RequestTimeout, Server
from tybalt.errors import BackendError, MissingClientCapability
from tybalt.protocol.client import MAX_QUESTIONS
from tybalt.types.content import AudioContent
from tybalt.types.sampling import CreateMessageResult

FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}}
SAMPLE: dict[str, Any] = {"messages": [{"role": "user", "content": {"type": "text", "text": "2+2?"}}], "maxTokens": 9}
ADA = {"action": "accept", "content": {"name": "Ada"}}


class User:
    """Somebody who answers when the test lets them."""

    def __init__(self, answer: Any = None) -> None:
        self.events: list[str] = []
        self.let = asyncio.Event()
        self.answer = {"name": "Ada"} if answer is None else answer

    async def __call__(self, question: Any) -> Any:
        self.events.append("asked")
        try:
            await self.let.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # Cleaning up takes a turn; it is waited for.
            self.events.append("stopped")
            raise
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def question(peer: Peer, id: Any = 1, method: str = "elicitation/create", params: Any = FORM) -> None:
    peer.send({"id": id, "method": method, "params": params})


def withdraw(peer: Peer, id: Any = 1) -> None:
    peer.send({"method": "notifications/cancelled", "params": {"requestId": id, "reason": "never mind"}})


@pytest.mark.loops
class TestAnswers:
    async def test_each_kind_of_question_is_answered(self) -> None:
        options: dict[str, Any] = {"on_elicit": lambda q: {"name": q.message}, "on_sample": lambda q: "4"}
        async with connected("legacy", roots=["file:///a"], **options) as (client, peer):
            question(peer, "e")
            question(peer, "s", "sampling/createMessage", SAMPLE)
            peer.send({"id": "r", "method": "roots/list"})
            answers = {each["id"]: each["result"] for each in [await peer.next() for _ in range(3)]}
            assert answers == {
                "e": {"action": "accept", "content": {"name": "Who?"}},
                "s": {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "unknown"},
                "r": {"roots": [{"uri": "file:///a"}]},
            }
            await settle()
            assert idle(client)

    async def test_the_user_is_asked_while_the_call_waits_and_may_ask_back(self) -> None:
        async def on_elicit(question: Any) -> Any:
            return {"name": await client.call("whoami")}

        async with connected("legacy", on_elicit=on_elicit) as (client, peer):
            calling, call = await asked(peer, client.call("greet"))
            question(peer)
            inner = await peer.next()
            assert inner["params"]["name"] == "whoami"
            peer.answer(inner, called({"result": "Ada"}))
            assert await peer.next() == {"jsonrpc": "2.0", "id": 1, "result": ADA}
            peer.answer(call, called({"result": "Hello, Ada"}))
            assert await calling == "Hello, Ada"

    async def test_many_are_answered_at_once_and_in_any_order(self) -> None:
        users: dict[str, User] = {f"{number}": User({"n": number}) for number in range(20)}
        async with connected("legacy", on_elicit=lambda q: users[q.message](q)) as (client, peer):
            for number in range(20):
                question(peer, number, params={**FORM, "message": f"{number}"})
            await settle()
            for number in (7, 3, *(n for n in range(20) if n not in (7, 3))):
                users[f"{number}"].let.set()
                answer = await peer.next()
                assert (answer["id"], answer["result"]["content"]) == (number, {"n": number})
            await settle()
            assert idle(client)

    async def test_an_answer_waits_for_room(self) -> None:
        async with connected("legacy", capacity=1, on_elicit=lambda q: None) as (client, peer):
            client.notify("fills the room")
            question(peer)
            await settle()
            assert (await peer.next())["method"] == "fills the room"
            assert (await peer.next())["result"] == {"action": "decline"}

    async def test_a_batch_may_ask(self) -> None:
        """2025-03-26 has batches, and no elicitation."""
        peer = Peer()
        client = Client(peer.client_end, era="2025-03-26", on_elicit=print, on_sample=lambda q: "4")
        opening, request = await asked(peer, client.__aenter__())
        assert request["params"]["capabilities"] == {"sampling": {}}
        peer.answer(
            request, {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "p", "version": "1"}}
        )
        await opening
        assert await peer.methods(1) == ["notifications/initialized"]
        peer.send(
            b'[{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"x","requestedSchema":{}}},'
            b'{"jsonrpc":"2.0","id":2,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}]'
        )
        answers = {each["id"]: each for each in [await peer.next(), await peer.next()]}
        assert answers[1]["error"]["code"] == -32601 and answers[2]["result"]["content"]["text"] == "4"
        await client.aclose()
        await peer.aclose()


FAILED = "the client's `on_elicit` failed; the client's log says how"


@pytest.mark.loops
class TestFailures:
    @pytest.mark.parametrize(
        ("error", "told", "logged"),
        [
            (McpError("not today", code=4242, data=[1]), {"code": 4242, "message": "not today", "data": [1]}, False),
            (ValueError("secret"), {"code": -32603, "message": FAILED}, True),
            (asyncio.CancelledError("mine"), {"code": -32603, "message": FAILED}, True),
            (BackendError("db-7", service="vault"), {"code": -32603, "message": "Vault error"}, True),
        ],
        ids=["declared", "a bug", "a cancel of its own", "masked"],
    )
    async def test_what_a_function_raises_is_an_error_answer(
        self, error: BaseException, told: Any, logged: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        user = User(error)
        user.let.set()
        with caplog.at_level(logging.ERROR, "tybalt.client"):
            async with connected("legacy", on_elicit=user) as (client, peer):
                question(peer)
                assert await peer.next() == {"jsonrpc": "2.0", "id": 1, "error": told}
                await settle()
                assert idle(client)
        records = [each.getMessage() for each in caplog.records]
        assert records == (["a question of the server could not be answered"] if logged else [])

    async def test_values_that_mean_nothing_are_our_fault(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR, "tybalt.client"):
            async with connected("legacy", on_elicit=lambda q: 5) as (_, peer):
                question(peer)
                assert (await peer.next())["error"] == {"code": -32603, "message": FAILED}
        assert "on_elicit: expected the values by name" in caplog.text

    async def test_what_the_revision_cannot_say_is_our_fault(self, caplog: pytest.LogCaptureFixture) -> None:
        blocks: list[Any] = [AudioContent(data="AAAA", mime_type="audio/wav")] * 2
        said = CreateMessageResult(role="assistant", content=blocks, model="m")
        peer = Peer()
        client = Client(peer.client_end, era="2025-06-18", on_sample=lambda q: said)
        opening, request = await asked(peer, client.__aenter__())
        info = {"name": "p", "version": "1"}
        peer.answer(request, {"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": info})
        await opening
        assert await peer.methods(1) == ["notifications/initialized"]
        with caplog.at_level(logging.ERROR, "tybalt.client"):
            question(peer, 1, "sampling/createMessage", SAMPLE)
            assert (await peer.next())["error"]["code"] == -32603
        assert "has one content block in a sampling message" in caplog.text
        await client.aclose()
        await peer.aclose()

    async def test_what_was_not_declared_is_refused_and_asks_nobody(self) -> None:
        def fail(question: Any) -> Any:
            raise AssertionError("asked")

        url = {"mode": "url", "message": "x", "url": "https://x.example", "elicitationId": "1"}
        async with connected("legacy", on_elicit=fail, elicit_modes=["form"]) as (_, peer):
            question(peer, 1, params=url)
            question(peer, 2, params={"message": 5})
            question(peer, 3, "sampling/createMessage", SAMPLE)
            codes = [(await peer.next())["error"]["code"] for _ in range(3)]
            assert codes == [-32602, -32602, -32601]

    async def test_a_flood_is_refused_beyond_a_hundred(self) -> None:
        user = User()
        async with connected("legacy", capacity=256, on_elicit=user) as (client, peer):
            for number in range(MAX_QUESTIONS + 5):
                question(peer, number)
            refused = [await peer.next() for _ in range(5)]
            assert {each["error"]["code"] for each in refused} == {503}
            assert len(user.events) == MAX_QUESTIONS
            user.let.set()
            answered = [await peer.next() for _ in range(MAX_QUESTIONS)]
            assert sorted(each["id"] for each in answered) == list(range(MAX_QUESTIONS))
            await settle()
            assert idle(client)


@pytest.mark.loops
class TestTheEnd:
    async def test_a_question_that_is_withdrawn_stops_the_user_and_is_not_answered(self) -> None:
        user, other = User(), User({"name": "Bob"})
        users = {"Who?": user, "And you?": other}
        heard: list[Any] = []
        async with connected(
            "legacy", on_elicit=lambda q: users[q.message](q), on_notification=lambda m, p: heard.append(m)
        ) as (client, peer):
            question(peer, 1)
            question(peer, "1", params={**FORM, "message": "And you?"})
            await settle()
            withdraw(peer, 1)
            await settle()
            assert (user.events, other.events, heard) == (["asked", "stopped"], ["asked"], [])
            other.let.set()
            assert (await peer.next())["id"] == "1"
            withdraw(peer, "1")
            await settle()
            assert heard == ["notifications/cancelled"], "what cancels nothing is news like any other"
            assert idle(client)

    async def test_a_user_who_ignores_that_is_not_heard(self) -> None:
        async def stubborn(question: Any) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return {"name": "too late"}

        async with connected("legacy", on_elicit=stubborn) as (client, peer):
            question(peer)
            await settle()
            withdraw(peer)
            await settle()
            client.notify("last")
            assert await peer.methods(1) == ["last"]
            assert idle(client)

    @pytest.mark.parametrize("who", ["client", "peer"])
    async def test_the_end_of_the_connection_stops_the_user_and_waits_for_it(self, who: str) -> None:
        user = User()
        async with connected("legacy", on_elicit=user) as (client, peer):
            calling, _ = await asked(peer, client.call("greet"))
            question(peer)
            await settle()
            await (peer if who == "peer" else client).aclose()
            if who == "peer":
                await settle()
            assert user.events == ["asked", "stopped"]
            with pytest.raises(ConnectionLost):
                await calling
        assert not client._questions._running

    async def test_a_function_may_close_its_client(self) -> None:
        closed: list[bool] = []

        async def leave(question: Any) -> Any:
            await client.aclose()
            closed.append(True)

        async with connected("legacy", on_elicit=leave) as (client, peer):
            question(peer)
            await settle()
            with pytest.raises(ConnectionLost):
                await client.call("x")
        assert not client._questions._running


async def test_the_time_of_the_user_is_not_that_of_the_call() -> None:
    clock, user = Clock(), User()
    async with connected("legacy", on_elicit=user, timeout=5) as (client, peer):
        calling, call = await asked(peer, client.call("greet"))
        await clock.advance(4)
        question(peer)
        await settle()
        later, _ = await asked(peer, client.call("another"))
        await clock.advance(4)
        assert not calling.done() and not later.done()
        await clock.advance(2)
        with pytest.raises(RequestTimeout):
            await later
        assert await peer.methods(1) == ["notifications/cancelled"]
        await clock.advance(12)
        assert not calling.done()
        user.let.set()
        assert (await peer.next())["result"] == ADA
        await clock.advance(0.9)
        assert not calling.done()
        await clock.advance(0.2)
        with pytest.raises(RequestTimeout, match="tools/call was not answered within 5 s"):
            await calling
        assert (await peer.next())["params"]["requestId"] == call["id"]
        assert idle(client)


class TestRemedies:
    @pytest.mark.parametrize(
        ("era", "remedy"),
        [
            ("modern", "; pass on_elicit= to Client"),
            ("legacy", "; pass on_elicit= to Client"),
            ("2025-03-26", ""),  # It has no such question.
        ],
    )
    @pytest.mark.parametrize("options", [{}, {"on_elicit": print, "elicit_modes": ["url"]}], ids=["nothing", "urls"])
    @pytest.mark.parametrize("tool", ["order", "at_once"])
    async def test_what_a_server_misses_is_told_as_the_option_it_is(
        self, era: str, remedy: str, options: Any, tool: str
    ) -> None:
        server = Server("x", run_in="loop")

        @server.tool
        async def order(context: Context) -> str:
            await asyncio.sleep(0)
            return repr(await context.elicit("How many?", int))

        @server.tool
        def at_once() -> None:
            raise MissingClientCapability({"elicitation": {}})

        async with Client(server, era=era, **options) as client:
            with pytest.raises(McpError, match="Missing required client capability: elicitation") as raised:
                await client.call(tool)
        assert str(raised.value) == raised.value.message + ("" if options else remedy)
