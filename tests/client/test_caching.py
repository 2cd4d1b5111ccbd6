"""What a client keeps of answers: how long, for whom, what makes it forget; by every way, in both eras."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import msgspec
import pytest

from tests.client.http.by_hand import Heard, Writer, answer, site
from tests.client.peers import DISCOVERED, Clock, Peer, called, connected, encoded, idle, settle
from tests.client.test_restarting import greet, restarted
from tests.server.http.web import lane_face
from tybalt import Address, Client, ConnectionLost, McpError, MisuseError, Server, tool
from tybalt.client.cache import MAX_BYTES, Cache
from tybalt.client.caching import caching_for
from tybalt.client.http.mirroring import Mirroring
from tybalt.errors import InvalidParams
from tybalt.middleware import Middleware
from tybalt.protocol.client import ClientConnection
from tybalt.transports import memory_pair
from tybalt.types import ClientCapabilities, ElicitationCapability
from tybalt.types.implementation import Implementation

LISTS = {
    "tools/list": ("list_tools", "tools", {"name": "a", "inputSchema": {"type": "object"}}),
    "prompts/list": ("list_prompts", "prompts", {"name": "a"}),
    "resources/list": ("list_resources", "resources", {"name": "a", "uri": "a://a"}),
    "resources/templates/list": (
        "list_resource_templates",
        "resourceTemplates",
        {"name": "a", "uriTemplate": "a://{a}"},
    ),
}
EVERYTHING = ("tools", "prompts", "resources")
TAG = "io.modelcontextprotocol/subscriptionId"


class Now:
    """A clock that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def hinted(result: dict[str, Any], ttl_ms: Any = 1_000, scope: str | None = "private") -> dict[str, Any]:
    hints = {"ttlMs": ttl_ms} if scope is None else {"ttlMs": ttl_ms, "cacheScope": scope}
    return {"resultType": "complete", **result, **hints}


def tools(*names: str, ttl_ms: Any = 1_000, scope: str | None = "private", **members: Any) -> dict[str, Any]:
    listed = [{"name": name, "inputSchema": {"type": "object"}} for name in names]
    return hinted({"tools": listed, **members}, ttl_ms, scope)


def text(said: str, ttl_ms: Any = 1_000, uri: str = "a://a") -> dict[str, Any]:
    return hinted({"contents": [{"uri": uri, "text": said}]}, ttl_ms)


async def asks(question: Coroutine[Any, Any, Any], peer: Peer, *answers: dict[str, Any]) -> Any:
    """What comes of a question that the peer is asked this often."""
    asking = asyncio.create_task(question)
    for each in answers:
        peer.answer(await peer.next(), each)
    return await asking


async def is_kept(question: Coroutine[Any, Any, Any]) -> Any:
    """What comes of a question that nobody is asked."""
    asking = asyncio.create_task(question)
    await settle()
    if not asking.done():
        asking.cancel()
        await asyncio.wait([asking])
        pytest.fail("the server was asked")
    return asking.result()


def names(found: list[Any]) -> list[str]:
    return [each.name for each in found]


class TestWhatIsKept:
    @pytest.mark.parametrize("method", LISTS)
    async def test_lists_are_kept_for_their_time(self, method: str) -> None:
        call, member, entry = LISTS[method]
        now = Now()
        async with connected(cache=Cache(clock=now), capabilities=EVERYTHING) as (client, peer):
            ask = getattr(client, call)
            first = await asks(ask(), peer, hinted({member: [entry]}, 60_000))
            now.seconds += 59.999
            assert await is_kept(ask()) == first
            now.seconds += 0.001
            assert await asks(ask(), peer, hinted({member: []}, 60_000)) == []
            assert idle(client)

    async def test_what_is_read_is_kept_by_its_uri(self) -> None:
        async with connected() as (client, peer):
            for uri in ("a://a", "a://b"):
                await asks(client.read_resource(uri), peer, text(uri, uri=uri))
            for uri in ("a://b", "a://a"):
                (content,) = await is_kept(client.read_resource(uri))
                assert content.text == uri

    async def test_each_page_is_kept_by_itself(self) -> None:
        now = Now()
        async with connected(cache=Cache(clock=now)) as (client, peer):
            first, last = tools("a", ttl_ms=60_000, nextCursor="2"), tools("b", ttl_ms=1_000)
            assert names(await asks(client.list_tools(), peer, first, last)) == ["a", "b"]
            assert names(await is_kept(client.list_tools())) == ["a", "b"]
            now.seconds += 1
            listing = asyncio.create_task(client.list_tools())
            request = await peer.next()
            assert request["params"]["cursor"] == "2"
            peer.answer(request, tools("c"))
            assert names(await listing) == ["a", "c"]
            assert names((await is_kept(client.page("tools", "2"))).tools) == ["c"]

    async def test_time_counts_from_when_the_answer_came(self) -> None:
        now = Now()
        async with connected(cache=Cache(clock=now)) as (client, peer):
            listing = asyncio.create_task(client.list_tools())
            request = await peer.next()
            now.seconds += 10
            peer.answer(request, tools("a"))
            await listing
            now.seconds += 0.999
            await is_kept(client.list_tools())

    async def test_the_clock_of_the_loop_will_do(self) -> None:
        clock = Clock()
        async with connected(cache=Cache(clock=asyncio.get_running_loop().time)) as (client, peer):
            await asks(client.list_tools(), peer, tools("a"))
            await is_kept(client.list_tools())
            await clock.advance(1)
            await asks(client.list_tools(), peer, tools("a"))

    async def test_tools_and_prompts_are_always_asked(self) -> None:
        async with connected(capabilities=EVERYTHING) as (client, peer):
            for value in (1, 2):
                result = hinted({"content": [], "structuredContent": value}, 60_000)
                assert await asks(client.call("a"), peer, result) == value
                result = hinted({"messages": [], "description": str(value)}, 60_000)
                assert (await asks(client.get_prompt("a"), peer, result)).description == str(value)

    async def test_a_ping_and_a_request_by_hand_reach_the_server(self) -> None:
        async with connected() as (client, peer):
            for _ in range(2):
                await asks(client.ping(), peer, {**DISCOVERED, "ttlMs": 60_000, "cacheScope": "public"})
                await asks(client.request("tools/list"), peer, tools("a"))

    async def test_what_took_questions_is_not_kept(self) -> None:
        asked = {"resultType": "input_required", "requestState": "s", "ttlMs": 60_000}
        async with connected() as (client, peer):
            for said in ("1", "2"):
                (content,) = await asks(client.read_resource("a://a"), peer, asked, text(said))
                assert content.text == said

    async def test_nothing_is_kept_of_a_legacy_server(self) -> None:
        async with connected("legacy") as (client, peer):
            for name in ("a", "b"):
                assert names(await asks(client.list_tools(), peer, tools(name))) == [name]

    async def test_an_answer_that_cannot_be_read_is_not_kept(self) -> None:
        async with connected() as (client, peer):
            for _ in range(2):
                with pytest.raises(Exception, match="the server's result is no ListToolsResult"):
                    await asks(client.list_tools(), peer, hinted({"tools": 5}))

    async def test_requests_with_different_meta_are_different_questions(self) -> None:
        tenant, numbers = {"com.example/tenant": "a"}, count()

        class Meta(Middleware):
            async def on_request(self, request: Any) -> Any:
                number = next(numbers)
                return request.replaced(meta={**tenant, "traceparent": f"00-{number}", "progressToken": number})

        async with connected(middleware=[Meta()]) as (client, peer):
            await asks(client.list_tools(), peer, tools("a"))
            assert names(await is_kept(client.list_tools())) == ["a"]
            tenant["com.example/tenant"] = "b"
            assert names(await asks(client.list_tools(), peer, tools("b"))) == ["b"]

    @pytest.mark.parametrize("member", ["inputResponses", "requestState"])
    async def test_retries_of_a_layer_are_like_no_other(self, member: str) -> None:
        class Retry(Middleware):
            async def on_request(self, request: Any) -> Any:
                return request.replaced(params={member: {} if member == "inputResponses" else "s"})

        async with connected(middleware=[Retry()]) as (client, peer):
            for said in ("1", "2"):
                (content,) = await asks(client.read_resource("a://a"), peer, text(said))
                assert content.text == said

    async def test_a_uri_that_is_no_text_is_the_servers_business(self) -> None:
        async with connected() as (client, peer):
            for said in ("1", "2"):
                (content,) = await asks(client.read_resource(5), peer, text(said))  # type: ignore[arg-type]
                assert content.text == said

    async def test_an_error_of_one_resource_says_nothing_of_the_others(self) -> None:
        async with connected() as (client, peer):
            await asks(client.read_resource("a://a"), peer, text("a"))
            reading = asyncio.create_task(client.read_resource("a://b"))
            peer.refuse(await peer.next(), -32602)
            with pytest.raises(McpError):
                await reading
            await is_kept(client.read_resource("a://a"))

    async def test_what_has_no_json_is_an_error_as_ever(self) -> None:
        async with connected() as (client, _):
            for wrong in (object(), "\ud800"):
                with pytest.raises(MisuseError, match="resources/read: the params cannot be sent"):
                    await client.read_resource(wrong)  # type: ignore[arg-type]

    async def test_nobody_can_change_what_another_is_given(self) -> None:
        async with connected() as (client, peer):
            first = await asks(client.list_tools(), peer, tools("a"))
            second = await is_kept(client.list_tools())
            for found in (first, second):
                found[0].input_schema["type"] = "changed"
                found.clear()
            (tool,) = await is_kept(client.list_tools())
            assert tool.input_schema == {"type": "object"}


class TestHowLong:
    @pytest.mark.parametrize("ttl_ms", [0, -1, -0.5, -(10**40), None])
    async def test_what_is_stale_at_once_is_not_kept(self, ttl_ms: Any) -> None:
        cache = Cache()
        async with connected(cache=cache) as (client, peer):
            for name in ("a", "b"):
                assert names(await asks(client.list_tools(), peer, tools(name, ttl_ms=ttl_ms))) == [name]
            assert cache.statistics().entries == 0

    async def test_a_fraction_of_a_millisecond_counts(self) -> None:
        now = Now()
        async with connected(cache=Cache(clock=now)) as (client, peer):
            await asks(client.list_tools(), peer, tools("a", ttl_ms=0.5))
            await is_kept(client.list_tools())
            now.seconds += 0.0005
            await asks(client.list_tools(), peer, tools("a"))

    @pytest.mark.parametrize("ttl_ms", [10**12, 10**400, 1e308])
    async def test_no_time_is_longer_than_the_longest(self, ttl_ms: Any) -> None:
        now = Now()
        async with connected(cache=Cache(clock=now, max_ttl="1m")) as (client, peer):
            await asks(client.list_tools(), peer, tools("a", ttl_ms=ttl_ms))
            now.seconds += 59.9
            await is_kept(client.list_tools())
            now.seconds += 0.1
            await asks(client.list_tools(), peer, tools("b"))

    @pytest.mark.parametrize("ttl_ms", [b"NaN", b"Infinity", b"1e999", b'"5"', b"true"])
    async def test_what_is_no_number_is_no_result(self, ttl_ms: bytes) -> None:
        async with connected() as (client, peer):
            listing = asyncio.create_task(client.list_tools())
            request = await peer.next()
            peer.send(encoded(id=request["id"], result=tools("a", ttl_ms=7_777)).replace(b"7777", ttl_ms))
            with pytest.raises(Exception, match=r"result|answer|JSON"):
                await listing


class TestWhatMakesItForget:
    @pytest.mark.parametrize("changed", EVERYTHING)
    async def test_a_change_of_a_list_drops_that_list_and_no_other(self, changed: str) -> None:
        async with connected(capabilities=EVERYTHING) as (client, peer):
            for call, member, entry in LISTS.values():
                await asks(getattr(client, call)(), peer, hinted({member: [entry]}))
            peer.send({"method": f"notifications/{changed}/list_changed"})
            await settle()
            for method, (call, member, _) in LISTS.items():
                if method.startswith(changed):
                    assert await asks(getattr(client, call)(), peer, hinted({member: []})) == []
                else:
                    assert len(await is_kept(getattr(client, call)())) == 1

    async def test_an_update_drops_that_resource_and_the_folders_it_lies_in(self) -> None:
        uris = ("a://b", "a://b/c", "a://d")
        async with connected() as (client, peer):
            for uri in uris:
                await asks(client.read_resource(uri), peer, text("old", uri=uri))
            peer.send({"method": "notifications/resources/updated", "params": {"uri": "a://b/c"}})
            peer.send({"method": "notifications/resources/updated", "params": {"uri": 5}})
            await settle()
            for uri in uris[:2]:
                await asks(client.read_resource(uri), peer, text("new", uri=uri))
            await is_kept(client.read_resource("a://d"))

    async def test_what_was_asked_before_a_change_and_answered_after_it_is_not_kept(self) -> None:
        async with connected() as (client, peer):
            listing = asyncio.create_task(client.list_tools())
            request = await peer.next()
            peer.send({"method": "notifications/tools/list_changed"})
            peer.answer(request, tools("old"))
            assert names(await listing) == ["old"]
            assert names(await asks(client.list_tools(), peer, tools("new"))) == ["new"]

    async def test_an_answer_and_a_change_that_come_at_once(self) -> None:
        async with connected() as (client, peer):
            listing = asyncio.create_task(client.list_tools())
            request = await peer.next()
            peer.send({"id": request["id"], "result": tools("old")}, {"method": "notifications/tools/list_changed"})
            assert names(await listing) == ["old"]
            assert names(await asks(client.list_tools(), peer, tools("new"))) == ["new"]

    async def test_who_listens_has_nothing_older_than_that_and_nothing_from_before_an_interruption(self) -> None:
        clock = Clock()
        async with connected() as (client, peer):
            await asks(client.list_tools(), peer, tools("a", ttl_ms=60_000))
            changes = client.listen(tools=True)
            entering = asyncio.create_task(changes.__aenter__())
            for name in ("b", "c"):
                subscription = await peer.next()
                assert subscription["method"] == "subscriptions/listen"
                told = {"_meta": {TAG: subscription["id"]}, "notifications": {"toolsListChanged": True}}
                peer.send({"method": "notifications/subscriptions/acknowledged", "params": told})
                await entering
                await settle()
                assert names(await asks(client.list_tools(), peer, tools(name, ttl_ms=60_000))) == [name]
                await is_kept(client.list_tools())
                peer.answer(subscription, {"resultType": "complete"})
                await settle()
                await clock.advance(1)
            await changes.__aexit__(None, None, None)

    async def test_a_connection_that_is_opened_again_begins_with_nothing(self) -> None:
        async with restarted("modern", cache=True) as (client, peers):
            await asks(client.list_tools(), peers.now, tools("a"))
            await peers.now.aclose()
            listing = asyncio.create_task(client.list_tools())
            await settle()
            await greet(peers.now, "modern")
            peers.now.answer(await peers.now.next(), tools("b"))
            assert names(await listing) == ["b"]

    async def test_it_is_asked_again_what_it_is_when_it_is_opened_again(self) -> None:
        hints = {"ttlMs": 60_000, "cacheScope": "public"}
        async with restarted("modern", cache=True) as (client, peers):
            for _ in range(2):
                await peers.now.aclose()
                await settle()
                request = await peers.now.next()
                assert request["method"] == "server/discover"
                peers.now.answer(request, {**DISCOVERED, **hints})
                await asks(client.list_tools(), peers.now, tools("a"))

    async def test_a_client_that_is_closed_or_not_open_yet_gives_nothing(self) -> None:
        cache = Cache()
        async with connected(cache=cache) as (client, peer):
            await asks(client.list_tools(), peer, tools("a", scope="public"))
            assert cache.statistics().entries == 1
            await client.aclose()
            assert cache.statistics().entries == cache.statistics().bytes == 0
            with pytest.raises(ConnectionLost):
                await client.list_tools()

    async def test_what_is_to_be_forgotten_is_asked_again_and_kept_anew(self) -> None:
        async with connected() as (client, peer):
            for uri in ("a://a", "a://b"):
                await asks(client.read_resource(uri), peer, text("old", uri=uri))
            await asks(client.list_tools(), peer, tools("a"))
            client.forget("resources/read", "a://a")
            await asks(client.read_resource("a://a"), peer, text("new"))
            client.forget("tools/list")
            await asks(client.list_tools(), peer, tools("b"))
            for uri in ("a://a", "a://b"):
                await is_kept(client.read_resource(uri))
            assert names(await is_kept(client.list_tools())) == ["b"]
            client.forget()
            await asks(client.list_tools(), peer, tools("c"))
            await asks(client.read_resource("a://b"), peer, text("new"))

    async def test_a_server_that_misses_a_header_is_asked_for_its_tools_whatever_is_kept(self) -> None:
        async with connected() as (client, peer):
            client._mirroring = Mirroring()
            await asks(client.list_tools(), peer, tools("a"))
            calling = asyncio.create_task(client.call("a"))
            peer.refuse(await peer.next(), -32020)
            peer.answer(await peer.next(), tools("a", "b"))
            peer.answer(await peer.next(), called(5))
            assert await calling == 5
            assert names(await is_kept(client.list_tools())) == ["a", "b"]

    async def test_who_gives_up_leaves_nothing_behind(self) -> None:
        cache = Cache()
        async with connected(cache=cache) as (client, peer):
            listing = asyncio.create_task(client.list_tools())
            await peer.next()
            assert len(cache._asked) == 1
            listing.cancel()
            await asyncio.wait([listing])
            assert not cache._asked and idle(client)

    async def test_only_what_is_ever_kept_can_be_forgotten(self) -> None:
        async with connected() as (client, _):
            with pytest.raises(MisuseError, match="did you mean 'tools/list'"):
                client.forget("tool/list")
            with pytest.raises(MisuseError, match="but only to server/discover, tools/list"):
                client.forget("x")


class TestPagesThatAreNoMore:
    async def test_a_list_begins_anew(self) -> None:
        now = Now()
        async with connected(cache=Cache(clock=now)) as (client, peer):
            await asks(client.list_tools(), peer, tools("a", ttl_ms=60_000, nextCursor="old"), tools("b"))
            now.seconds += 1
            listing = asyncio.create_task(client.list_tools())
            request = await peer.next()
            assert request["params"]["cursor"] == "old"
            peer.refuse(request, -32602)
            request = await peer.next()
            assert "cursor" not in request["params"]
            peer.answer(request, tools("c", ttl_ms=60_000, nextCursor="new"))
            peer.answer(await peer.next(), tools("d"))
            assert names(await listing) == ["c", "d"]

    async def test_by_hand_it_is_raised_and_the_pages_are_forgotten(self) -> None:
        async with connected() as (client, peer):
            await asks(client.page("tools"), peer, tools("a", nextCursor="old"))
            following = asyncio.create_task(client.page("tools", "old"))
            peer.refuse(await peer.next(), -32602)
            with pytest.raises(InvalidParams):
                await following
            await asks(client.page("tools"), peer, tools("b"))

    @pytest.mark.parametrize("cache", [True, False])
    async def test_an_error_that_is_not_due_to_what_was_kept_is_raised(self, cache: bool) -> None:
        async with connected(cache=cache) as (client, peer):
            listing = asyncio.create_task(client.list_tools())
            peer.answer(await peer.next(), tools("a", nextCursor="2"))
            peer.refuse(await peer.next(), -32602)
            with pytest.raises(InvalidParams):
                await listing
            assert peer.quiet()


class TestBounds:
    async def test_what_was_not_used_for_longest_goes_first(self) -> None:
        async with connected(cache=Cache(max_entries=2)) as (client, peer):
            for uri in ("a://1", "a://2"):
                await asks(client.read_resource(uri), peer, text("", uri=uri))
            await is_kept(client.read_resource("a://1"))
            await asks(client.read_resource("a://3"), peer, text("", uri="a://3"))
            await is_kept(client.read_resource("a://1"))
            await is_kept(client.read_resource("a://3"))
            await asks(client.read_resource("a://2"), peer, text("", uri="a://2"))

    async def test_bytes_are_counted_and_what_is_larger_than_all_is_not_kept(self) -> None:
        cache = Cache(max_bytes=1_000)
        async with connected(cache=cache) as (client, peer):
            for uri in ("a://1", "a://2", "a://3"):
                await asks(client.read_resource(uri), peer, text("x" * 300, uri=uri))
            assert (cache.statistics().entries, cache.statistics().misses) == (2, 4), "and what the server is"
            assert 600 < cache.statistics().bytes <= 1_000
            await asks(client.read_resource("a://4"), peer, text("x" * 1_000, uri="a://4"))
            await is_kept(client.read_resource("a://3"))
            assert cache.statistics().hits == 1 and 600 < cache.statistics().bytes <= 1_000

    async def test_a_newer_answer_takes_the_place_of_the_older_whoever_may_see_it(self) -> None:
        now, cache = Now(), Cache()
        cache._clock = now
        async with connected(cache=cache) as (client, peer):
            both = [asyncio.create_task(client.list_tools()) for _ in range(2)]
            requests = [await peer.next() for _ in both]
            for request, scope, name in zip(requests, ("public", "private"), "ab", strict=True):
                peer.answer(request, tools(name, scope=scope))
            await asyncio.gather(*both)
            assert cache.statistics().entries == 1
            assert names(await is_kept(client.list_tools())) == ["b"]

    async def test_all_can_be_forgotten(self) -> None:
        cache = Cache()
        async with connected(cache=cache) as (client, peer):
            await asks(client.list_tools(), peer, tools("a"))
            cache.clear()
            assert cache.statistics().bytes == 0
            await asks(client.list_tools(), peer, tools("a"))

    @pytest.mark.parametrize(
        "options", [{"max_entries": 0}, {"max_bytes": -1}, {"max_entries": True}, {"max_bytes": 1.5}, {"max_ttl": 0}]
    )
    def test_options_that_are_none(self, options: dict[str, Any]) -> None:
        with pytest.raises(MisuseError):
            Cache(**options)

    def test_no_cache_is_anything_else(self) -> None:
        with pytest.raises(MisuseError, match="cache: expected a Cache, True or False, got 5"):
            Client(Server("x"), cache=5)  # type: ignore[arg-type]
        assert MAX_BYTES >= 4 * 1024 * 1024, "the longest message fits"


@asynccontextmanager
async def in_process(server: Server) -> AsyncGenerator[Any]:
    yield server


@asynccontextmanager
async def over_memory(server: Server) -> AsyncGenerator[Any]:
    ours, theirs = memory_pair()
    serving = asyncio.create_task(server.serve(theirs))
    yield ours
    await serving


@asynccontextmanager
async def over_http(server: Server) -> AsyncGenerator[Any]:
    async with lane_face(server.asgi()) as face:
        yield f"http://127.0.0.1:{face.port}/mcp"


def counting(era: str = "modern", **options: Any) -> tuple[Server, list[str]]:
    """A server with a resource that may be kept, and how often it was read."""
    server, reads = Server("counting", eras=[era], grace=0, **options), []

    @server.resource("a://count", ttl=60)
    def reading() -> str:
        reads.append("read")
        return str(len(reads))

    @server.tool
    def touch() -> None:
        server.resource_updated("a://count")

    return server, reads


class TestEveryWay:
    @pytest.mark.parametrize("way", [in_process, over_memory, over_http])
    async def test_a_modern_server_is_asked_once_and_a_legacy_one_each_time(self, way: Any) -> None:
        for era, asked in (("modern", 1), ("legacy", 2)):
            server, reads = counting(era)
            async with way(server) as target, Client(target, cache=True) as client:
                for _ in range(2):
                    (content,) = await client.read_resource("a://count")
                assert content.text == str(asked) and len(reads) == asked

    @pytest.mark.parametrize("way", [in_process, over_memory, over_http])
    async def test_by_default_what_takes_a_way_is_kept(self, way: Any) -> None:
        server, reads = counting()
        async with way(server) as target, Client(target) as client:
            for _ in range(2):
                await client.read_resource("a://count")
            assert len(reads) == (2 if way is in_process else 1)
            client.forget()

    @pytest.mark.parametrize("way", [over_memory, over_http])
    async def test_who_listens_is_never_given_what_has_changed(self, way: Any) -> None:
        server, reads = counting()
        async with way(server) as target, Client(target) as client, client.subscribe("a://count") as changes:
            for expected in (1, 2):
                for _ in range(2):
                    (content,) = await client.read_resource("a://count")
                    assert content.text == str(expected)
                await client.call("touch")
                await anext(changes)
            assert len(reads) == 2

    async def test_lists_of_several_pages_over_http(self) -> None:
        asked: list[str] = []

        class Count(Middleware):
            async def on_request(self, request: Any) -> Any:
                asked.append(request.method)
                return request

        server = Server("many", ttl=60, page_size=1, middleware=[Count()], grace=0)
        server.add(*(tool(name=name)(lambda: None) for name in "abc"))
        async with over_http(server) as target, Client(target) as client:
            for _ in range(2):
                assert names(await client.list_tools()) == ["a", "b", "c"]
            assert asked.count("tools/list") == 3

    def test_without_async(self) -> None:
        server, reads = counting()
        with Client(server, cache=True).sync() as client:
            for _ in range(2):
                client.read_resource("a://count")
        assert len(reads) == 1


class Origin:
    """An HTTP server that says which token it was sent, and how often it was asked for what."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self.asked: list[str] = []

    async def say(self, heard: Heard, writer: Writer) -> None:
        request = msgspec.json.decode(heard.body)
        self.asked.append(request["method"])
        if request["method"] == "server/discover":
            result = {**DISCOVERED, "ttlMs": 60_000, "cacheScope": self.scope}
        else:
            result = tools(heard.headers.get("authorization", "nobody"), ttl_ms=60_000, scope=self.scope)
        writer.write(answer(200, encoded(id=request["id"], result=result)))


class Flow:
    """An `auth` that sends a token, as one might that gets them from somewhere."""

    def flow(self, request: Any) -> Iterator[Any]:
        yield request.with_headers({"Authorization": "Bearer flow"})


class TestOneCacheForSeveral:
    """Over HTTP, where who asks is told by what is sent."""

    async def ask(self, scope: str, *options: dict[str, Any], info: tuple[str, ...] = ("a", "a")) -> list[str]:
        """Whose lists the clients of one cache are given, one after the other."""
        origin, cache, given = Origin(scope), Cache(), []
        async with site(origin.say) as here:
            for each, name in zip(options, info, strict=True):
                address = Address(here.url(), **each)
                async with Client(address, cache=cache, info=Implementation(name=name, version="1")) as client:
                    given += names(await client.list_tools())
        self.discovered = origin.asked.count("server/discover")
        return given

    async def test_what_is_public_is_anybodys(self) -> None:
        given = await self.ask("public", {"token": "a"}, {"token": "b"})
        assert given == ["Bearer a", "Bearer a"] and self.discovered == 1
        assert await self.ask("public", {"token": "a"}, {}) == ["Bearer a", "Bearer a"]
        assert await self.ask("public", {"token": "a"}, {"auth": Flow()}) == ["Bearer a", "Bearer a"]

    async def test_what_is_private_is_for_the_same_token(self) -> None:
        given = await self.ask("private", {"token": "a"}, {"token": "b"})
        assert given == ["Bearer a", "Bearer b"] and self.discovered == 2
        assert await self.ask("private", {"token": "a"}, {"headers": {"authorization": "Bearer a"}}) == ["Bearer a"] * 2
        assert self.discovered == 1

    @pytest.mark.parametrize("options", [{}, {"auth": Flow()}, {"token": "a", "auth": Flow()}])
    async def test_what_is_private_is_nobody_elses_where_there_is_no_token_or_more_than_one(
        self, options: dict[str, Any]
    ) -> None:
        await self.ask("private", options, options)
        assert self.discovered == 2

    async def test_another_header_field_or_another_client_makes_another_server_of_it(self) -> None:
        await self.ask("public", {"headers": {"X-Tenant": "a"}}, {"headers": {"X-Tenant": "b"}})
        assert self.discovered == 2
        await self.ask("public", {"headers": {"X-Tenant": "a"}}, {"headers": {"x-tenant": "a"}})
        assert self.discovered == 1
        await self.ask("public", {}, {}, info=("a", "b"))
        assert self.discovered == 2

    async def test_another_url_is_another_server(self) -> None:
        origin, cache = Origin("public"), Cache()
        async with site(origin.say) as here:
            for path in ("/a", "/b"):
                async with Client(here.url(path), cache=cache) as client:
                    await client.list_tools()
        assert origin.asked.count("tools/list") == 2

    async def test_where_no_url_tells_servers_apart_each_connection_is_one(self) -> None:
        cache = Cache()
        async with connected(cache=cache) as (one, peer), connected(cache=cache) as (other, second):
            await asks(one.list_tools(), peer, tools("a", scope="public"))
            assert names(await asks(other.list_tools(), second, tools("b", scope="public"))) == ["b"]
            one.forget()
            await asks(one.list_tools(), peer, tools("c"))
            assert names(await is_kept(other.list_tools())) == ["b"]

    async def test_what_one_client_forgets_the_other_is_not_given(self) -> None:
        origin, cache = Origin("public"), Cache()
        async with (
            site(origin.say) as here,
            Client(here.url(), cache=cache) as one,
            Client(here.url(), cache=cache) as other,
        ):
            await one.list_tools()
            await other.list_tools()
            assert origin.asked.count("tools/list") == 1
            one.forget("tools/list")
            await other.list_tools()
            assert origin.asked.count("tools/list") == 2

    async def test_a_client_that_is_not_open_is_given_nothing(self) -> None:
        origin, cache = Origin("public"), Cache()
        async with site(origin.say) as here:
            async with Client(here.url(), cache=cache) as client:
                await client.list_tools()
            assert cache.statistics().entries == 2
            for closed in (client, Client(here.url(), cache=cache)):
                with pytest.raises((ConnectionLost, MisuseError)):
                    await closed.page("tools")

    def test_who_verifies_otherwise_or_declares_otherwise_asks_another_server(self) -> None:
        def server(**options: Any) -> Any:
            declared = options.pop("capabilities", None)
            connection = ClientConnection(Implementation(name="a", version="1"), declared)
            address = Address("https://a.example/mcp", token="t", **options)
            return caching_for(Cache(), connection, target=address, token=None).asking("tools/list", {})

        one, other = ssl.create_default_context(), ssl.create_default_context()
        assert server().private == server().private and server(tls=one).public == server(tls=one).public
        assert len({server().public, server(tls=one).public, server(tls=other).public}) == 3
        assert server(tls=one).private != server(tls=one).private, "it may be let in by a certificate of its own"
        assert server(proxy="http://a:1").public != server(proxy="http://b:1").public
        able = ClientCapabilities(elicitation=ElicitationCapability(form={}))
        assert server(capabilities=able).public != server().public

    async def test_no_secret_is_kept(self) -> None:
        origin, cache = Origin("private"), Cache()
        async with site(origin.say) as here:
            address = Address(here.url("/secret-path"), token="secret-token", headers={"X-Key": "secret-key"})
            async with Client(address, cache=cache) as client:
                await client.list_tools()
        keys = repr(list(cache._entries._entries))
        assert cache.statistics().entries == 2 and "secret" not in keys
