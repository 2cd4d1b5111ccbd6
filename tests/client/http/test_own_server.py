"""Our client and our own server over real sockets: questions, news, changes, resumption, restarts, old transports."""

import asyncio
import contextlib
import hashlib
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.client.peers import settle
from tests.server.http.web import lane_face
from tybalt import Accepted, Client, Context, McpError, RequestTimeout, Sample, Server
from tybalt.client.address import Address
from tybalt.client.http import streams
from tybalt.server.http.lane import lane_server

ERAS = pytest.mark.parametrize("era", ["modern", "legacy"])
KEY, OTHER_KEY = (hashlib.sha256(each).digest() for each in (b"one", b"two"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be seconds is as short as can be."""
    monkeypatch.setattr(streams, "_pause", lambda retry, failures: 0.01)


def shop(**options: Any) -> tuple[Server, list[str]]:
    """A server whose tools ask, tell and wait; and what happened."""
    happened: list[str] = []
    server = Server("shop", grace=0, **options)

    @server.tool
    async def order(item: str, ctx: Context) -> str:
        match await ctx.elicit(f"How many of {item}?", int):
            case Accepted(number):
                return f"{number} of {item}"
            case _:
                return "none"

    @server.tool
    async def advise(ctx: Context) -> str:
        answers = await ctx.ask(joke=Sample("A joke?", max_tokens=9), other=Sample("Another?", max_tokens=9))
        return " ".join(answers[name].content.text for name in ("joke", "other"))

    @server.tool
    async def places(ctx: Context) -> list[str]:
        return [str(each.uri) for each in await ctx.roots()]

    @server.tool
    async def count(to: int, ctx: Context) -> str:
        for step in range(1, to + 1):
            await ctx.report_progress(step, to)
            await ctx.info(f"step {step}")
        return "counted"

    @server.tool
    async def wait(ctx: Context) -> str:
        happened.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("stopped")
        return ""

    @server.tool
    async def leave(ctx: Context) -> str:
        ctx.close_stream()
        happened.append("left")
        await asyncio.sleep(0)
        return "came back"

    @server.resource("books://list")
    def books() -> str:
        return "Hamlet"

    @server.tool
    def shelve() -> None:
        server.resource_updated("books://list")

    @server.tool(run_in="loop")
    def add(a: int, b: int) -> int:
        return a + b

    return server, happened


@asynccontextmanager
async def serving(server: Server, port: int = 0, **options: Any) -> AsyncGenerator[int]:
    """Serve on a port, which stays the same where one is given."""
    listening = socket.create_server(("127.0.0.1", port))
    lane = lane_server(server.asgi(**options))
    lane.config.load()
    lane.lifespan = lane.config.lifespan_class(lane.config)
    await lane.startup([listening])
    await lane.on_tick(0)
    try:
        yield listening.getsockname()[1]
    finally:
        await lane.shutdown([listening])


@asynccontextmanager
async def visited(era: str, path: str = "/mcp", **options: Any) -> AsyncGenerator[tuple[Client, list[str]]]:
    """A client in the shop, and what happened there."""
    server, happened = shop()
    async with lane_face(server.asgi()) as face, Client(f"http://127.0.0.1:{face.port}{path}", era=era, **options) as c:
        yield c, happened


async def until(happened: list[str], event: str) -> None:
    while event not in happened:
        await settle()


# -- questions ------------------------------------------------------------------------------------------------------


@ERAS
async def test_a_user_a_model_and_roots_are_asked(era: str) -> None:
    options: dict[str, Any] = {
        "on_elicit": lambda question: {"value": 3} if "tea" in question.message else None,
        "on_sample": lambda question: question.messages[0].content.text.upper(),
        "roots": ["file:///a"],
    }
    async with visited(era, **options) as (client, _):
        assert await client.call("order", item="tea") == "3 of tea"
        assert await client.call("order", item="coffee") == "none"
        assert await client.call("advise") == "A JOKE? ANOTHER?"
        assert await client.call("places") == ["file:///a"]
        calls = [client.call("order", item="tea") for _ in range(30)]
        assert await asyncio.gather(*calls) == ["3 of tea"] * 30


@ERAS
async def test_a_question_that_is_given_up_with_its_call_is_answered_no_more(era: str) -> None:
    asked = asyncio.Event()
    stopped: list[str] = []

    async def on_elicit(_: Any) -> Any:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("asking")

    async with visited(era, on_elicit=on_elicit) as (client, _):
        calling = asyncio.create_task(client.call("order", item="tea"))
        await asked.wait()
        calling.cancel()
        await asyncio.wait([calling])
        await until(stopped, "asking")
        assert stopped == ["asking"]
        assert await client.call("add", a=1, b=2) == 3
    assert stopped == ["asking"]


@ERAS
async def test_a_client_that_cannot_be_asked_says_so(era: str) -> None:
    async with visited(era) as (client, _):
        with pytest.raises(McpError, match="elicit"):
            await client.call("order", item="tea")


# -- news -----------------------------------------------------------------------------------------------------------


@ERAS
async def test_progress_and_logs_come_with_the_answer(era: str) -> None:
    steps: list[float] = []
    heard: list[Any] = []
    options: dict[str, Any] = {
        "log_level": "info",
        "on_notification": lambda method, params: heard.append((method, params.get("data"))),
    }
    async with visited(era, **options) as (client, _):
        await client.call_tool("count", {"to": 3}, on_progress=lambda done, *_: steps.append(done))
    assert steps == [1, 2, 3]
    assert [data for method, data in heard if method == "notifications/message"] == ["step 1", "step 2", "step 3"]


@pytest.mark.loops
@ERAS
async def test_a_hundred_calls_at_once_and_a_few_that_ask(era: str) -> None:
    async with visited(era, on_elicit=lambda _: {"value": 1}) as (client, _):
        calls = [client.call("add", a=each, b=1) for each in range(100)]
        orders = [client.call("order", item=str(each)) for each in range(10)]
        answers = await asyncio.gather(*calls, *orders)
    assert answers == [each + 1 for each in range(100)] + [f"1 of {each}" for each in range(10)]


@ERAS
@pytest.mark.parametrize("ended_by", ["cancel", "timeout"])
async def test_a_call_that_is_given_up_is_stopped_at_the_server(era: str, ended_by: str) -> None:
    async with visited(era) as (client, happened):
        if ended_by == "timeout":
            with pytest.raises(RequestTimeout):
                await client.call_tool("wait", timeout=0.2)
        else:
            calling = asyncio.create_task(client.call("wait"))
            await until(happened, "began")
            calling.cancel()
            await asyncio.wait([calling])
        if "began" in happened:
            await until(happened, "stopped")


@ERAS
async def test_what_changes_is_told_to_whoever_listens(era: str) -> None:
    async with visited(era) as (client, _), client.listen(uris=["books://list"]) as changes:
        await client.call("shelve")
        assert (await anext(changes)).uri == "books://list"  # type: ignore[union-attr]


async def test_a_handler_may_let_its_connection_go() -> None:
    async with visited("legacy") as (client, happened):
        assert await client.call("leave") == "came back"
        assert happened == ["left"]


# -- revisions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"])
async def test_every_revision_is_spoken(revision: str) -> None:
    async with visited(revision, on_sample=lambda _: "ha") as (client, _):
        assert client.revision == revision
        assert await client.call("advise") == "ha ha"
        assert str(await client.call("add", a=1, b=2)) == "3"


@pytest.mark.parametrize("transport", ["sse", "http"])
async def test_the_transport_of_2024_is_asked_for_or_found(transport: Any) -> None:
    server, happened = shop(eras=["legacy"])
    heard: list[str] = []
    options: dict[str, Any] = {
        "on_elicit": lambda _: {"value": 3},
        "roots": ["file:///a"],
        "on_notification": lambda method, _: heard.append(method),
    }
    async with serving(server, sse_path="/sse") as port:
        address = Address(f"http://127.0.0.1:{port}/sse", transport=transport)
        async with Client(address, **options) as client:
            assert await client.call("places") == ["file:///a"]
            calls = [client.call("add", a=each, b=1) for each in range(50)]
            assert await asyncio.gather(*calls) == [each + 1 for each in range(50)]
            async with client.listen(uris=["books://list"]) as changes:
                await client.call("shelve")
                assert (await anext(changes)).uri == "books://list"  # type: ignore[union-attr]
            calling = asyncio.create_task(client.call("wait"))
            await until(happened, "began")
            calling.cancel()
            await until(happened, "stopped")
    assert "notifications/resources/updated" in heard


# -- restarts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [KEY, OTHER_KEY], ids=["the same key", "another key"])
async def test_a_legacy_session_outlives_a_server_that_is_started_again(
    key: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving(shop(state_key=KEY)[0]) as port:
            client = await stack.enter_async_context(
                Client(f"http://127.0.0.1:{port}/mcp", era="legacy", log_level="info", on_elicit=lambda _: {"value": 3})
            )
            changes = await stack.enter_async_context(client.listen(uris=["books://list"]))
            await client.call("shelve")
            await anext(changes)
        async with serving(shop(state_key=key)[0], port):
            calls = [client.call("order", item=str(each)) for each in range(20)]
            assert await asyncio.gather(*calls) == [f"3 of {each}" for each in range(20)]
            assert type(await anext(changes)).__name__ == "Missed"
            await stack.aclose()
    assert caplog.text.count("has forgotten the session") == (0 if key == KEY else 1)


async def test_a_modern_client_does_not_notice_that_a_server_was_started_again() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving(shop()[0]) as port:
            client = await stack.enter_async_context(Client(f"http://127.0.0.1:{port}/mcp"))
            assert await client.call("add", a=1, b=2) == 3
        async with serving(shop()[0], port):
            assert await client.call("add", a=1, b=2) == 3
            await stack.aclose()


async def test_a_session_that_only_listens_hears_on_after_a_restart() -> None:
    async with contextlib.AsyncExitStack() as stack:
        first, _ = shop(state_key=KEY)
        async with serving(first) as port:
            client = await stack.enter_async_context(Client(f"http://127.0.0.1:{port}/mcp", era="legacy"))
            changes = await stack.enter_async_context(client.listen(uris=["books://list"]))
            first.resource_updated("books://list")
            await anext(changes)
        second, _ = shop(state_key=OTHER_KEY)
        async with serving(second, port):
            assert type(await anext(changes)).__name__ == "Missed"
            while not changes._pending:
                second.resource_updated("books://list")
                await asyncio.sleep(0.01)
            await stack.aclose()
