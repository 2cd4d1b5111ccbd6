"""Calls of tools whose arguments travel in header fields too: learnt from a list, or when a server misses them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from msgspec import Meta
from msgspec.structs import replace

from tests.client.peers import connected
from tests.server.http.web import lane_face
from tybalt import Accepted, Client, Context, McpError, Server
from tybalt.client.http.mirroring import Mirroring
from tybalt.errors import HeaderMismatch
from tybalt.middleware import Handler, Request
from tybalt.types import ListToolsResult

Region = Annotated[str, Meta(extra_json_schema={"x-mcp-header": "Region"})]


def weather_server(**options: Any) -> Server:
    server = Server("weather", page_size=1, **options)

    @server.tool
    def forecast(region: Region) -> str:
        return f"rain in {region}"

    @server.tool
    def plain() -> str:
        return "plain"

    @server.tool
    async def asks(region: Region, context: Context) -> str:
        answer = await context.elicit("Sure?", bool)
        return f"{region}: {isinstance(answer, Accepted) and answer.value}"

    return server


@asynccontextmanager
async def reached(server: Server, **options: Any) -> AsyncGenerator[Client]:
    async with lane_face(server.asgi()) as face, Client(f"http://127.0.0.1:{face.port}/mcp", **options) as client:
        yield client


async def test_what_was_listed_is_mirrored_at_once_whatever_page_it_is_on() -> None:
    async with reached(weather_server()) as client:
        assert [each.name for each in await client.list_tools()] == ["asks", "forecast", "plain"]
        for region in ("north", "Łódź", " padded ", ""):
            assert await client.call("forecast", region=region) == f"rain in {region}"
        assert await client.call("plain") == "plain"


async def test_what_was_never_listed_is_learnt_when_the_server_misses_it() -> None:
    asked: list[str] = []

    def noting(next: Handler) -> Handler:
        async def handler(request: Request) -> Any:
            asked.append(request.method)
            return await next(request)

        return handler

    async with reached(weather_server(middleware=[noting])) as client:
        assert await client.call("forecast", region="north") == "rain in north"
        assert asked == ["tools/list"] * 3 + ["tools/call"]
        assert await client.call("forecast", region="south") == "rain in south"
        assert asked[4:] == ["tools/call"]


async def test_every_round_of_a_question_is_mirrored() -> None:
    async with reached(weather_server(), on_elicit=lambda _: {"value": True}) as client:
        assert await client.call("asks", region="north") == "north: True"


@pytest.mark.parametrize("listed", [True, False])
async def test_layers_that_rename_tools_or_keep_an_old_list_are_in_nobodys_way(*, listed: bool) -> None:
    def renaming(next: Handler) -> Handler:
        async def handler(request: Request) -> Any:
            if request.method == "tools/call":
                return await next(request.replaced(name=request.name.removeprefix("w.")))
            result: ListToolsResult = await next(request)
            return replace(result, tools=[replace(each, name=f"w.{each.name}") for each in result.tools])

        return handler

    async with reached(weather_server(), middleware=[renaming]) as client:
        if listed:
            assert [each.name for each in await client.list_tools()] == ["w.asks", "w.forecast", "w.plain"]
        assert await client.call("w.forecast", region="north") == "rain in north"


async def test_in_legacy_the_code_means_nothing_and_the_tool_is_not_called_again() -> None:
    async with connected("legacy") as (client, peer):
        client._mirroring = object()  # type: ignore[assignment]
        calling = asyncio.create_task(client.call("forecast", region="north"))
        peer.refuse(await peer.next(), -32020)
        with pytest.raises(McpError):
            await calling
        assert peer.quiet()


async def test_a_server_that_misses_it_for_ever_is_an_error() -> None:
    async with connected() as (client, peer):
        client._mirroring = Mirroring()
        calling = asyncio.create_task(client.call("forecast", region="north"))
        peer.refuse(await peer.next(), -32020)
        listing = await peer.next()
        assert listing["method"] == "tools/list"
        peer.answer(listing, {"resultType": "complete", "tools": [], "ttlMs": 0, "cacheScope": "private"})
        peer.refuse(await peer.next(), -32020)
        with pytest.raises(HeaderMismatch):
            await calling
