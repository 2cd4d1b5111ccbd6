"""The official Python SDK's `Client` is asked by our servers: over stdio, judged by the wire, and over memory.

One server, one text, every revision: `mode="auto"` and a modern revision answer rounds, `mode="legacy"` answers
requests. `servers/asking.py` asks; `examples/everything.py` has one tool that does.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp import Client, MCPError
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import (
    CreateMessageResult,
    ElicitResult,
    ErrorData,
    ListRootsResult,
    Root,
    TextContent,
    jsonrpc_message_adapter,
)

from interop.conftest import FOLDER
from interop.recordings import Recorded
from interop.servers import asking as asking_server
from interop.test_python_sdk import LEGACY, MODERN, peer, text_of
from tybalt.transports import memory_pair

__all__ = ["peer"]

ASKING = [sys.executable, str(FOLDER / "servers" / "asking.py")]
WITH_FORMS = [*MODERN, *(each for each in LEGACY if each.has("2025-06-18"))]
WITH_ALL = [*MODERN, *(each for each in LEGACY if each.has("2025-11-25"))]

with_forms = pytest.mark.parametrize("peer", WITH_FORMS, ids="-".join, indirect=True)
with_all = pytest.mark.parametrize("peer", WITH_ALL, ids="-".join, indirect=True)
pytestmark = pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")


class User:
    """Who answers: forms by the message of the question, everything else the same way each time."""

    def __init__(self, answers: dict[str, Any] | None = None) -> None:
        self.answers = answers or {}
        self.asked: list[str] = []

    @property
    def options(self) -> dict[str, Any]:
        return {
            "elicitation_callback": self.elicit,
            "sampling_callback": self.sample,
            "list_roots_callback": self.roots,
        }

    async def elicit(self, context: Any, params: Any) -> Any:
        self.asked.append(params.message)
        if params.mode == "url":
            return ElicitResult(action="accept")
        answer = self.answers[params.message]
        if isinstance(answer, ElicitResult | ErrorData):
            return answer
        return ElicitResult(action="accept", content=answer if isinstance(answer, dict) else {"value": answer})

    async def sample(self, context: Any, params: Any) -> CreateMessageResult:
        self.asked.append("a model")
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="4"), model="m")

    async def roots(self, context: Any) -> ListRootsResult:
        self.asked.append("roots")
        return ListRootsResult(roots=[Root(uri="file:///plays")])


@pytest.fixture
def asking(record: Any) -> Recorded:
    return record(ASKING)


def rounds_of(recording: Any, method: str = "tools/call") -> list[list[str]]:
    """The methods of what was asked: by round in modern, one by one in legacy."""
    requests = recording.requests(method)
    results = [answer["result"] for request in requests for answer in recording.answers(request) if "result" in answer]
    asked = [list(result["inputRequests"].values()) for result in results if "inputRequests" in result]
    posed = [[each] for each in recording.messages("server") if "method" in each and "id" in each]
    return [[each["method"] for each in several] for several in [*asked, *posed]]


# -- over stdio, every line judged ------------------------------------------------------------------------------------


@with_forms
async def test_the_example(everything, peer):
    user = User({"How many of tea?": 2, "Order 2 of tea?": True})
    async with peer.connect(everything, **user.options) as client:
        assert text_of(await client.call_tool("order", {"item": "tea"})) == "Ordered 2 of tea."
        assert text_of(await client.call_tool("add", {"a": 5, "b": 3})) == "8"
    assert user.asked == ["How many of tea?", "Order 2 of tea?"]
    assert rounds_of(everything.recording) == [["elicitation/create"]] * 2
    calls = [each for each in everything.recording.requests("tools/call") if each["params"]["name"] == "order"]
    assert len(calls) == (3 if peer.is_modern else 1)


@with_forms
@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_a_no(everything, peer, action):
    user = User({"How many of tea?": ElicitResult(action=action)})
    async with peer.connect(everything, **user.options) as client:
        assert text_of(await client.call_tool("order", {"item": "tea"})) == "Nothing was ordered."


@with_forms
async def test_an_answer_that_does_not_fit(everything, peer):
    user = User({"How many of tea?": 100})
    async with peer.connect(everything, **user.options) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("order", {"item": "tea"})
    assert caught.value.code == -32602
    assert "$.content.value: expected an integer >= 1 and <= 99; got 100" in caught.value.message


@with_forms
async def test_forms(asking, peer):
    user = User({"Where to?": {"city": "Verona", "leaves": "2026-07-28", "nights": 2, "insured": True}})
    async with peer.connect(asking, **user.options) as client:
        told = text_of(await client.call_tool("travel", {}))
    assert "city='Verona', leaves=datetime.date(2026, 7, 28), nights=2, seat='window', insured=True" in told


@with_all
async def test_what_came_with_2025_11_25(asking, peer):
    user = User({"What on it?": ["ham", "tuna"]})
    async with peer.connect(asking, **user.options) as client:
        assert text_of(await client.call_tool("toppings", {})) == "Accepted(value=['ham', 'tuna'])"
        assert text_of(await client.call_tool("sign_in", {})) == "Accepted(value=None)"
    assert user.asked == ["What on it?", "Sign in, please."]


async def test_a_model_and_folders(asking, peer):
    user = User()
    async with peer.connect(asking, **user.options) as client:
        assert text_of(await client.call_tool("think", {})) == "m: 4"
        assert text_of(await client.call_tool("look", {})) == "file:///plays"
    assert user.asked == ["a model", "roots"]


@with_forms
async def test_several_in_one_round(asking, peer):
    user = User({"How many?": 3, "Number 0?": 5, "Number 1?": 6})
    async with peer.connect(asking, **user.options) as client:
        assert text_of(await client.call_tool("everything_at_once", {})) == "3 file:///plays m"
        same = text_of(await client.call_tool("at_the_same_time", {}))
        assert same == "Accepted(value=5) Accepted(value=6)"
    if peer.is_modern:
        questions = ["elicitation/create", "roots/list", "sampling/createMessage"]
        assert rounds_of(asking.recording) == [questions, ["elicitation/create"] * 2]


@with_forms
async def test_from_wherever_a_handler_asks(asking, peer):
    user = User({"How many?": 3, "First?": 1, "Whom?": "Ada", "Which?": 7})
    user.answers["After Accepted(value=1)?"] = 2
    user.answers["Who?"] = "Ada"
    async with peer.connect(asking, **user.options) as client:
        assert text_of(await client.call_tool("in_a_thread", {})) == "Accepted(value=3)"
        assert text_of(await client.call_tool("in_turn", {})) == "1 Accepted(value=1) Accepted(value=2)"
        assert text_of(await client.call_tool("returned", {})) == "Ada at file:///plays, {'step': 1}"
        (message,) = (await client.get_prompt("greet")).messages
        assert message.content.text == "Say hello to Accepted(value='Ada')."
        (read,) = (await client.read_resource("order://5")).contents
        assert read.text == "5: Accepted(value=7)"


async def test_a_client_that_cannot_be_asked(asking, peer):
    async with peer.connect(asking) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("travel", {})
        assert caught.value.code == (-32021 if peer.is_modern else -32600)
        without = await client.call_tool("without", {})
        assert without.is_error
        assert text_of(without).startswith("cannot ask: Missing required client capability: elicitation")
    assert rounds_of(asking.recording) == []


@with_forms
async def test_a_client_that_fails_to_answer(asking, peer):
    user = User({"Where to?": ErrorData(code=-1, message="nobody is here")})
    async with peer.connect(asking, **user.options) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("travel", {})
    assert "nobody is here" in caught.value.message


@pytest.mark.parametrize("peer", WITH_FORMS[len(MODERN) :], ids="-".join, indirect=True)
async def test_giving_up_withdraws_the_question(everything, peer):
    asked = anyio.Event()

    async def never(context: Any, params: Any) -> Any:
        asked.set()
        await anyio.sleep_forever()

    async with peer.connect(everything, elicitation_callback=never) as client:
        async with anyio.create_task_group() as calls:
            calls.start_soon(client.call_tool, "order", {"item": "tea"})
            await asked.wait()
            calls.cancel_scope.cancel()
        assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"
    recording = everything.recording
    (question,) = [each for each in recording.messages("server") if each.get("method") == "elicitation/create"]
    (withdrawn,) = recording.notifications("notifications/cancelled")
    assert withdrawn["requestId"] == question["id"]
    assert recording.answers(recording.request("tools/call", name="order")) == []


# -- over memory ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def bridge(server: Any) -> AsyncGenerator[Any]:
    """A transport of the SDK's whose other end is our server, in this process, over our memory transport."""
    ours, theirs = memory_pair()
    async with create_client_server_memory_streams() as (client_streams, (requests, answers)):

        async def send() -> None:
            async for each in requests:
                text = each.message.model_dump_json(by_alias=True, exclude_unset=True)
                (await ours.reserve()).send(text.encode())

        async def receive() -> None:
            while messages := await ours.receive():
                for each in messages:
                    await answers.send(SessionMessage(jsonrpc_message_adapter.validate_json(each)))

        async with anyio.create_task_group() as tasks:
            for task in (send, receive):
                tasks.start_soon(task)
            tasks.start_soon(server.serve, theirs)
            yield client_streams
            await ours.aclose()
            tasks.cancel_scope.cancel()


@with_forms
async def test_over_memory(peer):
    user = User({"How many?": 3, "First?": 1})
    user.answers["After Accepted(value=1)?"] = 2
    options = {"mode": peer.mode, "read_timeout_seconds": 20, **user.options}
    async with Client(bridge(asking_server.server), **options) as client:
        assert client.protocol_version == peer.revision
        assert text_of(await client.call_tool("everything_at_once", {})) == "3 file:///plays m"
        assert text_of(await client.call_tool("in_a_thread", {})) == "Accepted(value=3)"
        told = text_of(await client.call_tool("in_turn", {}))
        assert told.endswith(" Accepted(value=1) Accepted(value=2)")
