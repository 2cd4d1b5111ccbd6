"""Middleware on a client: what layers see of each operation, what they may do, and the news they hear."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.client.peers import Peer, asked, called, connected, idle, settle
from tests.client.test_rounds import ADA, FORM, params_of, required
from tybalt import Client, McpError, MisuseError, ToolError
from tybalt.client import layers as client_layers
from tybalt.middleware import Middleware, Request
from tybalt.types.completion import CompleteResult
from tybalt.types.input_required import InputRequiredResult
from tybalt.types.prompts import GetPromptResult, ListPromptsResult
from tybalt.types.resources import ListResourcesResult, ListResourceTemplatesResult, ReadResourceResult
from tybalt.types.tools import CallToolResult, ListToolsResult

TOOL = {"name": "look", "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}


class Recorder:
    """A layer that keeps what passes, and the news."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.results: list[Any] = []
        self.news: list[Any] = []

    def __call__(self, next: Any) -> Any:
        async def handler(request: Request) -> Any:
            self.requests.append(request)
            result = await next(request)
            self.results.append(result)
            return result

        return handler

    def catalogue_changed(self, name: str) -> None:
        self.news.append(("catalogue", name))

    def resource_updated(self, uri: str) -> None:
        self.news.append(("resource", uri))


def seen(request: Request) -> Any:
    return (request.method, request.name, dict(request.arguments), dict(request.params), dict(request.meta))


Ask = Callable[[Client], Awaitable[Any]]
OPERATIONS: list[tuple[Ask, Any, Any, Any, type]] = [
    (
        lambda client: client.call_tool("add", {"a": 1}),
        ("tools/call", "add", {"a": 1}, {}, {}),
        {"name": "add", "arguments": {"a": 1}},
        called(2),
        CallToolResult,
    ),
    (
        lambda client: client.get_prompt("review", {"n": 5}),
        ("prompts/get", "review", {"n": "5"}, {}, {}),
        {"name": "review", "arguments": {"n": "5"}},
        {"messages": []},
        GetPromptResult,
    ),
    (
        lambda client: client.get_prompt("review"),
        ("prompts/get", "review", {}, {}, {}),
        {"name": "review"},
        {"messages": []},
        GetPromptResult,
    ),
    (
        lambda client: client.read_resource("x://y"),
        ("resources/read", "x://y", {}, {}, {}),
        {"uri": "x://y"},
        {"contents": []},
        ReadResourceResult,
    ),
    (
        lambda client: client.complete("review", "n", "v", arguments={"b": "c"}),
        (
            "completion/complete",
            None,
            {},
            {
                "ref": {"type": "ref/prompt", "name": "review"},
                "argument": {"name": "n", "value": "v"},
                "context": {"arguments": {"b": "c"}},
            },
            {},
        ),
        {
            "ref": {"type": "ref/prompt", "name": "review"},
            "argument": {"name": "n", "value": "v"},
            "context": {"arguments": {"b": "c"}},
        },
        {"completion": {"values": []}},
        CompleteResult,
    ),
    (
        lambda client: client.list_tools(),
        ("tools/list", None, {}, {}, {}),
        {},
        {"tools": []},
        ListToolsResult,
    ),
    (
        lambda client: client.list_prompts(),
        ("prompts/list", None, {}, {}, {}),
        {},
        {"prompts": []},
        ListPromptsResult,
    ),
    (
        lambda client: client.list_resources(),
        ("resources/list", None, {}, {}, {}),
        {},
        {"resources": []},
        ListResourcesResult,
    ),
    (
        lambda client: client.list_resource_templates(),
        ("resources/templates/list", None, {}, {}, {}),
        {},
        {"resourceTemplates": []},
        ListResourceTemplatesResult,
    ),
]
EVERYTHING = ("tools", "prompts", "resources", "completions")


@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize(
    ("ask", "request_seen", "sent", "answer", "kind"), OPERATIONS, ids=[e[1][0] for e in OPERATIONS]
)
async def test_every_operation_passes_through(
    era: str, ask: Ask, request_seen: Any, sent: Any, answer: Any, kind: type
) -> None:
    recorder = Recorder()
    async with connected(era, capabilities=EVERYTHING, middleware=[recorder]) as (client, peer):
        asking, message = await asked(peer, ask(client))  # type: ignore[arg-type]
        assert params_of(message) == sent
        peer.answer(message, answer)
        value = await asking
        (request,), (result,) = recorder.requests, recorder.results
        assert seen(request) == request_seen
        assert (request.context, request.principal, request.hints) == (None, None, None)
        assert type(result) is kind and (value is result or value == [] or kind in (CompleteResult, CallToolResult))
        assert idle(client)


async def test_the_same_is_sent_without_layers() -> None:
    for ask, _, sent, answer, _ in OPERATIONS:
        async with connected(capabilities=EVERYTHING) as (client, peer):
            asking, message = await asked(peer, ask(client))  # type: ignore[arg-type]
            assert params_of(message) == sent
            peer.answer(message, answer)
            await asking


async def test_each_page_is_a_request() -> None:
    recorder = Recorder()
    async with connected(middleware=[recorder]) as (client, peer):
        asking, message = await asked(peer, client.list_tools())
        peer.answer(message, {"tools": [TOOL], "nextCursor": "more"})
        peer.answer(await peer.next(), {"tools": []})
        assert len(await asking) == 1
        assert [each.params for each in recorder.requests] == [{}, {"cursor": "more"}]


async def test_the_first_is_the_outermost_and_nobody_hears_of_raw_requests() -> None:
    order: list[str] = []

    def layer(name: str) -> Any:
        def around(next: Any) -> Any:
            async def handler(request: Request) -> Any:
                order.append(name)
                return await next(request)

            return handler

        return around

    async with connected(middleware=(layer(name) for name in "abc")) as (client, peer):
        for expected, ask in ((["a", "b", "c"], client.call("x")), ([], client.request("tools/call", {"name": "x"}))):
            asking, message = await asked(peer, ask)
            peer.answer(message, called(1))
            await asking
            assert order == expected
            order.clear()


class Changing(Middleware):
    async def on_call_tool(self, request: Request, next: Any) -> Any:
        if request.name == "cached":
            return CallToolResult(content=[], structured_content="kept")
        if request.name == "forbidden":
            raise McpError("not you", code=403)
        changed = request.replaced(arguments={**request.arguments, "b": 2}, meta={"x/y": 1})
        if request.name == "fresh":
            changed = Request(method="tools/call", name="stale", arguments={})
        return await next(changed)


class TestWhatLayersMayDo:
    async def test_a_request_may_be_changed_and_keeps_its_progress_and_limit(self) -> None:
        steps: list[Any] = []
        async with connected(middleware=[Changing()]) as (client, peer):
            call = client.call_tool("x", {"a": 1}, on_progress=lambda *step: steps.append(step), timeout=7)
            asking, message = await asked(peer, call)
            assert params_of(message) == {"name": "x", "arguments": {"a": 1, "b": 2}}
            assert message["params"]["_meta"]["x/y"] == 1
            token = message["params"]["_meta"]["progressToken"]
            assert client._requests.deadlines._due, "the time limit is still there"
            peer.send({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
            peer.answer(message, called(1))
            await asking
            assert steps == [(1, None, None)]

    async def test_a_request_of_its_own_making_is_sent_as_it_is(self) -> None:
        async with connected(middleware=[Changing()]) as (client, peer):
            asking, message = await asked(peer, client.call("fresh", a=1))
            assert params_of(message) == {"name": "stale", "arguments": {}}
            peer.answer(message, called(1))
            assert await asking == 1

    async def test_a_result_or_an_error_without_asking(self) -> None:
        async with connected(middleware=[Changing()]) as (client, peer):
            assert await client.call("cached") == "kept"
            with pytest.raises(McpError, match="not you"):
                await client.call("forbidden")
            assert peer.quiet()

    async def test_failures_of_the_server_pass_through(self) -> None:
        caught: list[Exception] = []

        class Catching(Middleware):
            async def on_error(self, request: Request, error: Exception) -> Any:
                caught.append(error)
                return CallToolResult(content=[], is_error=True)

        async with connected(middleware=[Catching()]) as (client, peer):
            asking, message = await asked(peer, client.call("x"))
            peer.refuse(message, 4242)
            with pytest.raises(ToolError):
                await asking
            assert isinstance(caught[0], McpError) and caught[0].code == 4242

    async def test_what_is_no_result_is_refused(self) -> None:
        def careless(next: Any) -> Any:
            async def handler(request: Request) -> Any:
                return {"content": []}

            return handler

        async with connected(middleware=[careless]) as (client, _):
            with pytest.raises(MisuseError, match=r"expected a CallToolResult for tools/call, got \{'content"):
                await client.call("x")

    @pytest.mark.parametrize("layer", [5, None, "timing"])
    def test_what_is_no_layer_is_refused(self, layer: Any) -> None:
        with pytest.raises(MisuseError, match="middleware: expected functions from a handler to a handler"):
            Client(Peer().client_end, middleware=[layer])

    @pytest.mark.parametrize("layers", [5, "timing", Recorder()])
    def test_one_that_is_in_no_list_too(self, layers: Any) -> None:
        with pytest.raises(MisuseError, match="middleware: expected a list of layers, got "):
            Client(Peer().client_end, middleware=layers)


class TestQuestions:
    async def test_layers_see_one_request_and_its_final_result(self) -> None:
        recorder = Recorder()
        async with connected(middleware=[recorder], on_elicit=lambda q: {"name": "Ada"}) as (client, peer):
            asking, message = await asked(peer, client.call("greet"))
            peer.answer(message, required("s", who=FORM))
            retry = await peer.next()
            assert params_of(retry) == {
                "name": "greet",
                "arguments": {},
                "inputResponses": {"who": ADA},
                "requestState": "s",
            }
            peer.answer(retry, called("Hello"))
            assert await asking == "Hello"
            assert len(recorder.requests) == 1 and type(recorder.results[0]) is CallToolResult

    async def test_by_hand_each_round_is_a_request(self) -> None:
        recorder = Recorder()
        async with connected(middleware=[recorder], on_elicit=print) as (client, peer):
            asking, message = await asked(peer, client.call_tool_once("greet"))
            peer.answer(message, required("s", who=FORM))
            assert isinstance(await asking, InputRequiredResult)
            again = client.call_tool_once("greet", input_responses={"who": ADA}, request_state="s")
            asking, message = await asked(peer, again)
            assert recorder.requests[1].params == {"inputResponses": {"who": ADA}, "requestState": "s"}
            assert recorder.requests[0].identity != recorder.requests[1].identity
            peer.answer(message, called(1))
            assert isinstance(await asking, CallToolResult)


class TestHints:
    async def call(self, client: Client, peer: Peer, name: str) -> None:
        asking, message = await asked(peer, client.call(name))
        peer.answer(message, called(1))
        await asking

    async def list(self, client: Client, peer: Peer, *tools: Any) -> None:
        asking, message = await asked(peer, client.list_tools())
        peer.answer(message, {"tools": tools})
        await asking

    async def test_annotations_of_the_last_list_are_hints(self) -> None:
        recorder = Recorder()
        async with connected(middleware=[recorder]) as (client, peer):
            await self.call(client, peer, "look")
            await self.list(client, peer, TOOL, {"name": "act", "inputSchema": {"type": "object"}})
            await self.call(client, peer, "look")
            await self.call(client, peer, "act")
            peer.send({"method": "notifications/tools/list_changed"})
            await self.call(client, peer, "look")
            await self.list(client, peer, TOOL)
            await self.list(client, peer)
            await self.call(client, peer, "look")
            calls = [each for each in recorder.requests if each.method == "tools/call"]
            assert [each.repeatable for each in calls] == [False, True, False, False, False]
            assert calls[1].hints is not None and calls[2].hints is None

    async def test_they_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(client_layers, "MAX_HINTS", 3)
        async with connected(middleware=[Recorder()]) as (client, peer):
            await self.list(client, peer, *({**TOOL, "name": f"{number}"} for number in range(5)))
            assert client._layers is not None and list(client._layers._hints) == ["0", "1", "2"]


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_news_reach_the_layers_that_listen(era: str, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Recorder):
        def catalogue_changed(self, name: str) -> None:
            raise ValueError("cannot forget")

    recorder, heard = Recorder(), list[str]()
    middleware = [Changing(), Failing(), recorder]
    with caplog.at_level(logging.ERROR, "tybalt.client"):
        async with connected(era, middleware=middleware, on_notification=lambda m, p: heard.append(m)) as (_, peer):
            for name in ("tools", "resources", "prompts", "roots"):
                peer.send({"method": f"notifications/{name}/list_changed"})
            peer.send({"method": "notifications/resources/updated", "params": {"uri": "x://y"}})
            peer.send({"method": "notifications/resources/updated", "params": {"uri": 5}})
            peer.send({"method": "notifications/message", "params": {}})
            await settle()
    catalogues = [("catalogue", name) for name in ("tools", "resources", "prompts")]
    assert recorder.news == [*catalogues, ("resource", "x://y")]
    assert len(heard) == 7, "the program hears of them all the same"
    assert len(caplog.records) == 3 and "cannot forget" in caplog.text
