"""`Client`: what it asks, by every way to a server and in both eras; time limits, backpressure, the end, misuse.

How it finds the era is in test_era.py, what it makes of servers that misbehave in test_hostile.py.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from tests.client.library import command, library
from tests.client.peers import DISCOVERED, Clock, asked, called, connected, idle, settle, success
from tests.server.http.web import lane_face
from tybalt import Client, ConnectionLost, McpError, MisuseError, RequestTimeout, Server, ToolError
from tybalt.client.config import MCPConfig
from tybalt.errors import (
    InvalidParams,
    MethodNotFound,
    ResourceNotFound,
    TransportClosed,
    TransportError,
)
from tybalt.transports import memory_pair
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.content import ImageContent, TextContent

Connect = Callable[..., AbstractAsyncContextManager[Client]]

# -- every way to a server, in both eras ----------------------------------------------------------------------------


@asynccontextmanager
async def direct(era: str) -> AsyncGenerator[Any]:
    yield library(era)


@asynccontextmanager
async def over_memory(era: str) -> AsyncGenerator[Any]:
    ours, theirs = memory_pair()
    serving = asyncio.create_task(library(era).serve(theirs))
    yield ours
    await serving


@asynccontextmanager
async def as_a_process(era: str) -> AsyncGenerator[Any]:
    yield command(era)


@asynccontextmanager
async def over_http(era: str) -> AsyncGenerator[Any]:
    async with lane_face(library(era).asgi()) as face:
        yield f"http://127.0.0.1:{face.port}/mcp"


WAYS = {"direct": direct, "memory": over_memory, "process": as_a_process, "http": over_http}
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="pipes and processes of POSIX")


@pytest.fixture(params=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    """The era that the server speaks; the client has to find it."""
    return request.param


@pytest.fixture(params=["direct", "memory", pytest.param("process", marks=POSIX), "http"])
def connect(request: pytest.FixtureRequest, era: str) -> Connect:
    """Connect a client to the library, with the options of `Client`."""

    @asynccontextmanager
    async def open_client(**options: Any) -> AsyncGenerator[Client]:
        async with WAYS[request.param](era) as target, Client(target, **options) as client:
            yield client

    return open_client


async def happens(client: Client, event: str) -> None:
    while event not in await client.call("events"):
        await settle()


class TestEveryWay:
    async def test_it_finds_the_era_and_what_the_server_says_of_itself(self, connect: Connect, era: str) -> None:
        async with connect() as client:
            assert client.revision == {"modern": "2026-07-28", "legacy": "2025-11-25"}[era]
            assert client.server_info is not None
            assert (client.server_info.name, client.server_info.version) == ("library", "2.0")
            assert client.instructions == "Be quiet."
            assert client.server_capabilities.tools is not None and client.server_capabilities.completions is not None

    async def test_lists_are_whole_over_all_pages(self, connect: Connect) -> None:
        async with connect() as client:
            tools = [each.name for each in await client.list_tools()]
            assert sorted(tools) == sorted(
                "add after blocks count events fail names nothing publish refuse wait".split()  # noqa: SIM905
            )
            assert [each.uri for each in await client.list_resources()] == ["books://index"]
            assert [each.uri_template for each in await client.list_resource_templates()] == ["books://{isbn}"]
            assert [each.name for each in await client.list_prompts()] == ["review"]

    async def test_pages_are_asked_for_when_they_are_wanted(self, connect: Connect) -> None:
        async with connect() as client:
            first = await client.page("tools")
            assert len(first.tools) == 2 and first.next_cursor is not None
            second = await client.page("tools", first.next_cursor)
            pages = client.pages("tools")
            assert [(await anext(pages)).tools, (await anext(pages)).tools] == [first.tools, second.tools]
            await pages.aclose()  # type: ignore[attr-defined]
            assert [len(page.prompts) async for page in client.pages("prompts")] == [1]
            assert [len(page.resources) async for page in client.pages("resources")] == [1]
            assert [len(page.resource_templates) async for page in client.pages("resource_templates")] == [1]
            for wrong in (client.page("tool"), anext(client.pages("tool"))):  # type: ignore[call-overload]
                with pytest.raises(MisuseError, match="a list is one of tools, resources, resource_templates, prompts"):
                    await wrong
            client.server_capabilities = ServerCapabilities()
            assert [page async for page in client.pages("tools")] == []

    async def test_calls_return_values_and_whole_results(self, connect: Connect) -> None:
        async with connect() as client:
            assert await client.call("add", a=5) == 6
            assert await client.call("names", self="me", name="you") == {"self": "me", "name": "you"}
            assert await client.call("events") == []
            assert await client.call("nothing") == ""
            result = await client.call_tool("blocks")
            assert await client.call("blocks") == result.content, "a picture is not lost silently"
            assert [type(block) for block in result.content] == [TextContent, ImageContent, TextContent]
            assert result.structured_content is msgspec.UNSET and not result.is_error
            assert result.meta is not None and result.meta["shelf"] == 4

    async def test_resources_prompts_and_completions(self, connect: Connect) -> None:
        async with connect() as client:
            assert [each.text for each in await client.read_resource("books://index")] == ["all books"]
            assert [each.text for each in await client.read_resource("books://7")] == ['{"isbn":7}']
            texts = [
                (await client.get_prompt("review", arguments)).messages[0].content.text  # type: ignore[union-attr]
                for arguments in (None, {"language": "C"})
            ]
            assert texts == ["Review this any, be kind.", "Review this C, be kind."]
            assert (await client.complete("review", "language")).values == ["python", "perl", ""]
            given = await client.complete("review", "language", "p", arguments={"tone": "polite"})
            assert given.values == ["python", "perl", "polite"]
            assert (await client.complete("books://{isbn}", "isbn", "4")).values == ["40"]

    async def test_errors_have_their_types(self, connect: Connect, era: str) -> None:
        async with connect() as client:
            with pytest.raises(ToolError, match=r"^out of books$"):
                await client.call("fail", text="out of books")
            assert (await client.call_tool("fail", {"text": "no"})).is_error
            with pytest.raises(McpError, match="closed today") as refused:
                await client.call("refuse")
            assert (refused.value.code, refused.value.data) == (4242, {"until": "Monday"})
            with pytest.raises(InvalidParams, match="Unknown tool: borrow"):
                await client.call("borrow")
            with pytest.raises(MethodNotFound):
                await client.request("no/such")
            kind = {"modern": InvalidParams, "legacy": ResourceNotFound}[era]
            with pytest.raises(kind) as missing:
                await client.read_resource("books:nowhere")
            assert missing.value.code == {"modern": -32602, "legacy": -32002}[era]
            assert await client.call("add", a=1) == 2

    async def test_a_call_that_is_written_wrongly_is_told_how_to_write_it(self, connect: Connect, era: str) -> None:
        def add(a: int) -> int:
            return a

        async with connect() as client:
            untyped: Any = client
            with pytest.raises(
                MisuseError, match=r"called by its name, a text, got <function .*; give its name, 'add'"
            ):
                await untyped.call(add, a=1)
            with pytest.raises(MisuseError, match=r"give its name, 'add'"):
                await untyped.call_tool(Server("x").tool(add), {"a": 1})
            with pytest.raises(MisuseError, match=r"called by its name, a text, got 5$"):
                await untyped.call_tool(5)
            with pytest.raises(MisuseError, match=r"given by name, as in call\('add', a=1\); call_tool\('add', {…}\)"):
                await untyped.call("add", {"a": 1})

    async def test_a_hundred_calls_at_once_get_their_own_answers(self, connect: Connect) -> None:
        async with connect() as client:
            turns = [number * 37 % 11 for number in range(100)]
            calls = (client.call("after", turns=each, value=f"{number}") for number, each in enumerate(turns))
            assert await asyncio.gather(*calls) == [f"{number}" for number in range(100)]
            assert idle(client)

    async def test_progress_belongs_to_its_call(self, connect: Connect) -> None:
        async with connect() as client:
            steps: dict[int, list[Any]] = {2: [], 3: []}
            await asyncio.gather(
                *(
                    client.call_tool("count", {"to": to}, on_progress=lambda *step, to=to: steps[to].append(step))
                    for to in steps
                )
            )
            assert steps[2] == [(1, None, "step 1"), (2, 2, "step 2")]
            assert steps[3] == [(1, None, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]

    async def test_callbacks_that_raise_are_logged_and_blame_nobody(
        self, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise ValueError("cannot listen")

        with caplog.at_level(logging.ERROR):
            async with connect(on_notification=fail, log_level="info") as client:
                result = await client.call_tool("count", {"to": 1}, on_progress=fail)
        assert [type(block) for block in result.content] == [TextContent] and not result.is_error
        told = [(record.name, record.getMessage()) for record in caplog.records]
        assert told == [
            ("tybalt.client", f"a callback failed on notifications/{each}") for each in ("progress", "message")
        ]

    @pytest.mark.parametrize(
        ("level", "heard"),
        [("debug", ["at 1", "counted 1"]), ("info", ["counted 1"]), ("error", [])],
    )
    async def test_log_messages_come_from_the_level_asked_for(
        self, connect: Connect, level: str, heard: list[str]
    ) -> None:
        messages: list[Any] = []

        def listen(method: str, params: Any) -> None:
            if method == "notifications/message":
                messages.append(params["data"])

        async with connect(log_level=level, on_notification=listen) as client:
            await client.call("count", to=1)
        assert messages == heard

    async def test_changes_are_heard_by_those_who_listen(self, connect: Connect, era: str) -> None:
        heard: asyncio.Queue[Any] = asyncio.Queue()
        async with connect(on_notification=lambda method, params: heard.put_nowait((method, params))) as client:
            if era == "legacy":
                await client.request("resources/subscribe", {"uri": "books://7"})
            else:
                wanted = {"notifications": {"resourceSubscriptions": ["books://7"]}}
                listening = asyncio.create_task(client.request("subscriptions/listen", wanted))
                assert (await heard.get())[0] == "notifications/subscriptions/acknowledged"
            for isbn in ("8", "7"):
                await client.call("publish", isbn=isbn)
            method, params = await heard.get()
            assert (method, params["uri"]) == ("notifications/resources/updated", "books://7")
            if era == "modern":
                listening.cancel()
                await asyncio.wait([listening])
                await client.call("publish", isbn="7")
            assert heard.empty()

    @pytest.mark.parametrize("ended_by", ["cancel", "timeout"])
    async def test_a_call_that_is_given_up_is_stopped_at_the_server(self, connect: Connect, ended_by: str) -> None:
        clock = Clock()
        async with connect() as client:
            waiting = asyncio.create_task(client.call_tool("wait", {"name": "x"}, timeout=5))
            await happens(client, "x began")
            if ended_by == "cancel":
                waiting.cancel()
            else:
                await clock.advance(5)
            with pytest.raises((asyncio.CancelledError, RequestTimeout)) as ended:
                await waiting
            assert ended.type is (asyncio.CancelledError if ended_by == "cancel" else RequestTimeout)
            await happens(client, "x was stopped")

    async def test_closing_ends_what_waits(self, connect: Connect) -> None:
        async with connect() as client:
            waiting = [asyncio.create_task(client.call("wait", name=name)) for name in ("x", "y")]
            for name in ("x", "y"):
                await happens(client, f"{name} began")
        for each in waiting:
            with pytest.raises(ConnectionLost, match="the client was closed"):
                await each


@pytest.mark.parametrize(
    ("reference", "kind", "key"),
    [
        ("review", "ref/prompt", "name"),
        ("re/view", "ref/prompt", "name"),
        ("urn:{isbn}", "ref/resource", "uri"),
        ("books://{isbn}", "ref/resource", "uri"),
    ],
)
async def test_what_is_completed_is_a_prompt_or_the_uri_of_a_template(reference: str, kind: str, key: str) -> None:
    async with connected() as (client, peer):
        asking, request = await asked(peer, client.complete(reference, "isbn"))
        del request["params"]["_meta"]
        assert request["params"] == {"ref": {"type": kind, key: reference}, "argument": {"name": "isbn", "value": ""}}
        peer.answer(request, {"completion": {"values": ["7"]}})
        assert (await asking).values == ["7"]


@pytest.mark.parametrize(("era", "method"), [("modern", "server/discover"), ("legacy", "ping")])
async def test_a_ping_returns_when_anything_is_answered(era: str, method: str) -> None:
    async with connected(era) as (client, peer):
        asking, request = await asked(peer, client.ping())
        assert request["method"] == method
        peer.answer(request, {})
        assert await asking is None
        asking, request = await asked(peer, client.ping())
        peer.refuse(request, -32603)
        with pytest.raises(McpError):
            await asking


# -- time, backpressure, the end ------------------------------------------------------------------------------------


class TestTime:
    @pytest.mark.parametrize(
        ("of_client", "of_call", "seconds"), [({}, None, 60), ({"timeout": 9}, None, 9), ({"timeout": 9}, 0.5, 0.5)]
    )
    @pytest.mark.time_limit(600)
    async def test_a_request_waits_as_long_as_it_may(
        self, of_client: dict[str, Any], of_call: float | None, seconds: float
    ) -> None:
        clock = Clock()
        async with connected(**of_client) as (client, peer):
            calling, request = await asked(peer, client.call_tool("x", timeout=of_call))
            await clock.advance(seconds - 0.1)
            assert not calling.done()
            await clock.advance(0.1)
            text = f"tools/call was not answered within {seconds:g} s; the server was told to stop"
            with pytest.raises(RequestTimeout, match=text) as given_up:
                await calling
            assert isinstance(given_up.value, TimeoutError)
            assert await peer.next() == {
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": request["id"], "reason": "timeout"},
            }

    async def test_no_limit_is_no_limit(self) -> None:
        clock = Clock()
        async with connected(timeout=None) as (client, peer):
            calling, request = await asked(peer, client.read_resource("x"))
            await clock.advance(20)
            peer.answer(request, {"contents": []})
            assert await calling == []

    async def test_a_cancel_says_so_and_a_late_answer_is_ignored(self) -> None:
        async with connected() as (client, peer):
            calling, request = await asked(peer, client.get_prompt("x"))
            calling.cancel()
            cancelled = await peer.next()
            assert cancelled["params"] == {"requestId": request["id"], "reason": "cancelled"}
            peer.answer(request, {})
            calling, request = await asked(peer, client.call("x"))
            peer.answer(request, called("mine"))
            assert await calling == "mine"

    async def test_an_answer_that_crosses_a_cancel_is_ignored(self) -> None:
        async with connected() as (client, peer):
            calling, request = await asked(peer, client.call("x"))
            peer.answer(request, called("too late"))
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            assert await peer.methods(1) == ["notifications/cancelled"]
            calling, request = await asked(peer, client.call("x"))
            peer.answer(request, called("in time"))
            assert await calling == "in time"
            assert idle(client)


class HalfOpen:
    """A transport of somebody else: it is full, then fails to send, and hears nothing of that when it receives."""

    def __init__(self) -> None:
        self._closed = asyncio.Event()

    async def receive(self) -> list[Any]:
        await self._closed.wait()
        return []

    def reserve_nowait(self) -> None:
        return None

    async def reserve(self) -> Any:
        raise TransportClosed("the line is cut")

    async def aclose(self) -> None:
        self._closed.set()


class TestPeersThatDoNotRead:
    async def test_what_waits_is_sent_in_order_once_there_is_room(self) -> None:
        async with connected(capacity=1) as (client, peer):
            calls = [asyncio.create_task(client.call("x", number=number)) for number in range(20)]
            client.notify("notifications/mine")
            await settle()
            requests = [each for _ in range(21) if "id" in (each := await peer.next())]
            assert [each["params"]["arguments"]["number"] for each in requests] == list(range(20))
            for each in reversed(requests):
                peer.answer(each, called(each["params"]["arguments"]["number"]))
                await settle()
            assert await asyncio.gather(*calls) == list(range(20))
            assert idle(client)

    @pytest.mark.parametrize("ended_by", ["cancel", "timeout"])
    async def test_what_is_given_up_before_it_is_sent_is_never_heard_of(self, ended_by: str) -> None:
        clock = Clock()
        async with connected(capacity=1) as (client, peer):
            client.notify("fills the room")
            calling = asyncio.create_task(client.call_tool("x", timeout=5))
            await settle()
            if ended_by == "cancel":
                calling.cancel()
            await clock.advance(5)
            with pytest.raises((asyncio.CancelledError, RequestTimeout)):
                await calling
            client.notify("last")
            assert await peer.methods(2) == ["fills the room", "last"]
            await settle()
            assert idle(client)

    async def test_a_cancel_waits_for_room_behind_its_request(self) -> None:
        async with connected(capacity=1) as (client, peer):
            calling = asyncio.create_task(client.call("first"))
            await settle()
            calling.cancel()
            await settle()
            assert calling.cancelled()
            assert await peer.methods(2) == ["tools/call", "notifications/cancelled"]

    async def test_a_request_that_was_sent_late_is_cancelled_as_any_other(self) -> None:
        async with connected(capacity=1) as (client, peer):
            client.notify("fills the room")
            calling = asyncio.create_task(client.call("x"))
            await settle()
            assert await peer.methods(2) == ["fills the room", "tools/call"]
            calling.cancel()
            assert await peer.methods(1) == ["notifications/cancelled"]

    async def test_what_cannot_be_sent_after_all_is_not_waited_for(self) -> None:
        with pytest.raises(ConnectionLost, match="the server has closed the connection"):
            await Client(HalfOpen()).__aenter__()

    @pytest.mark.parametrize("who", ["peer", "client"])
    async def test_an_end_while_something_is_unsent_ends_it(self, who: str) -> None:
        async with connected(capacity=1) as (client, peer):
            client.notify("fills the room")
            client.notify("waits")
            calling = asyncio.create_task(client.call("x"))
            await settle()
            await (peer if who == "peer" else client).aclose()
            assert who == "peer" or not client._requests.sending, "closing waits for what it has started"
            with pytest.raises(ConnectionLost, match="clos"):
                await calling
            await settle()
            assert idle(client)


DYING = """
import os, sys
for answer in sys.argv[2:]:
    sys.stdin.readline()
    print(answer, flush=True)
sys.stdin.readline()
if sys.argv[1] == "killed":
    os.kill(os.getpid(), 9)
os._exit(int(sys.argv[1]))
"""


class TestTheEnd:
    async def test_a_lost_connection_is_told_to_all_who_wait_and_all_who_come(self) -> None:
        async with connected() as (client, peer):
            calls = [asyncio.create_task(client.call("x")) for _ in range(3)]
            await peer.methods(3)
            await peer.aclose()
            for each in calls:
                with pytest.raises(ConnectionLost, match="the server closed the connection"):
                    await each
            with pytest.raises(ConnectionLost, match="the server closed the connection"):
                await client.list_tools()
            client.notify("into the void")
        with pytest.raises(ConnectionLost, match="the server closed the connection"):
            await client.list_tools()

    @POSIX
    @pytest.mark.loops
    @pytest.mark.parametrize(
        ("way", "told"),
        [("3", "ended with status 3;"), ("0", "ended with status 0;"), ("killed", "was killed by SIGKILL;")],
    )
    async def test_a_server_that_dies_tells_how(self, way: str, told: str) -> None:
        words = [sys.executable, "-c", DYING, way]
        with pytest.raises(ConnectionLost, match=rf"the server's process .* {told}"):
            await Client(words).__aenter__()
        async with Client([*words, success(DISCOVERED).decode()]) as client:
            for _ in range(2):
                with pytest.raises(ConnectionLost, match=rf"the server's process .* {told}"):
                    await client.call("x")

    async def test_a_command_that_cannot_be_started_is_raised(self) -> None:
        with pytest.raises(TransportError, match="there is no such program"):
            await Client([os.path.join(os.sep, "no", "such", "program")]).__aenter__()

    async def test_a_close_that_is_cancelled_lets_go_of_the_server(self) -> None:
        async with connected() as (client, peer):
            calling, _ = await asked(peer, client.call("x"))
            # More than there is room for, and nobody reads: closing waits for room to say goodbye.
            calls = [asyncio.create_task(client.call("x")) for _ in range(200)]
            await settle()
            closing = asyncio.create_task(client.aclose())
            await settle()
            assert not closing.done()
            closing.cancel()
            await asyncio.wait([closing])
            assert closing.cancelled()
            for each in [calling, *calls]:
                with pytest.raises(ConnectionLost, match="the client was closed"):
                    await each

    async def test_closing_twice_is_closing_once(self) -> None:
        async with connected() as (client, peer):
            calling, _ = await asked(peer, client.call("x"))
            await client.aclose()
            assert client._requests.deadlines.pending == 0, "no deadline outlives the connection"
            await client.aclose()
            with pytest.raises(ConnectionLost, match="the client was closed"):
                await calling
            assert await peer.rest() == ["notifications/cancelled"], "the server need not finish it"

    @pytest.mark.parametrize("error", [ValueError("mine"), asyncio.CancelledError()])
    async def test_what_is_raised_inside_closes_and_comes_through(self, error: BaseException) -> None:
        server = library("modern")
        with pytest.raises(type(error)):
            async with Client(server) as client:
                raise error
        with pytest.raises(ConnectionLost):
            await client.call("add", a=1)


class TestMisuse:
    @pytest.mark.parametrize(
        "target", ["python server.py", [], ["python", 5], 5, None, object()], ids=["text", "[]", "int", "5", "-", "o"]
    )
    def test_what_is_no_target_is_refused(self, target: Any) -> None:
        with pytest.raises(MisuseError, match="cannot connect to"):
            Client(target)

    async def test_before_it_is_connected_no_list_is_empty(self) -> None:
        client = Client(library("modern"))
        lists = (client.list_tools, client.list_resources, client.list_resource_templates, client.list_prompts)
        for each in lists:
            with pytest.raises(MisuseError, match="the client is not connected"):
                await each()
        with pytest.raises(MisuseError, match="the client is not connected"):
            await anext(client.pages("tools"))

    async def test_a_client_connects_once(self) -> None:
        client = Client(library("modern"))
        async with client:
            with pytest.raises(MisuseError, match="a client connects once; make a new one"):
                await client.__aenter__()
            assert await client.call("add", a=1) == 2
        with pytest.raises(MisuseError, match="a client connects once"):
            await client.__aenter__()

    @pytest.mark.parametrize("make", [lambda: library("modern"), lambda: memory_pair()[0], lambda: ["python"]])
    async def test_before_it_is_open_it_asks_nothing(self, make: Callable[[], Any]) -> None:
        client = Client(make())
        with pytest.raises(MisuseError, match="use it inside `async with Client"):
            await client.call_tool("add", on_progress=print)
        assert idle(client)
        assert (client.server_info, client.server_capabilities) == (None, ServerCapabilities())

    async def test_after_it_is_closed_it_says_so(self) -> None:
        async with connected() as (client, _):
            pass
        with pytest.raises((ConnectionLost, MisuseError), match="the client was closed"):
            await client.list_tools()

    async def test_a_failed_start_of_the_server_is_raised_and_nothing_stays_open(self) -> None:
        def fail() -> None:
            raise ValueError("no database")

        with pytest.raises(ValueError, match="no database"):
            await Client(Server("x").on_startup(fail)).__aenter__()


class TestTimeLimits:
    @pytest.mark.parametrize(
        ("timeout", "seconds"), [("1m30s", 90.0), (5, 5.0), (None, None), (timedelta(seconds=2), 2.0)]
    )
    def test_it_is_any_duration(self, timeout: Any, seconds: float | None) -> None:
        assert Client(library("modern"), timeout=timeout, probe_timeout="500ms")._requests.timeout == seconds

    def test_an_entry_has_its_own_unless_another_one_is_given(self) -> None:
        config = MCPConfig.of({"mcpServers": {"slow": {"command": "x", "timeout": "90s"}, "plain": {"command": "x"}}})
        limits = [Client(entry)._requests.timeout for entry in config.servers.values()]
        assert limits == [90.0, 60.0]
        assert Client(config.servers["slow"], timeout=60)._requests.timeout == 60.0

    @pytest.mark.parametrize("option", ["timeout", "probe_timeout"])
    @pytest.mark.parametrize("value", [0, -1, "5", True, "soon"], ids=str)
    def test_what_is_none(self, option: str, value: Any) -> None:
        with pytest.raises(MisuseError, match=f"^{option}: a duration is a number of seconds above 0"):
            Client(library("modern"), **{option: value})
