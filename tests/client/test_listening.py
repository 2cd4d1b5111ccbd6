"""`Client.listen`: what changes at a server, told by every way to it and in both eras, over interruptions too."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from tests.client.peers import Clock, Peer, connected, idle, settle
from tests.server.http.web import lane_face
from tybalt import Client, ConnectionLost, McpError, MisuseError, RequestTimeout, Server
from tybalt.client.listening import MAX_PENDING, UNWATCHING, ListChanged, Missed, ResourceUpdated
from tybalt.errors import MethodNotFound
from tybalt.transports import memory_pair

Connect = Callable[..., AbstractAsyncContextManager[Client]]
TAG = "io.modelcontextprotocol/subscriptionId"


def shelf(era: str) -> Server:
    """A server whose tools change its own lists and resources."""
    server = Server("shelf", eras=[era], grace=0)

    @server.resource("books://index")
    def index() -> str:
        return "all"

    @server.tool
    def publish(uri: str) -> None:
        server.resource_updated(uri)

    @server.tool
    def grow(name: str) -> None:
        server.tool(name)(lambda: None)

    return server


@asynccontextmanager
async def direct(server: Server) -> AsyncGenerator[Any]:
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


@pytest.fixture(params=["modern", "legacy"])
def era(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[direct, over_memory, over_http], ids=["direct", "memory", "http"])
def connect(request: pytest.FixtureRequest, era: str) -> Connect:
    @asynccontextmanager
    async def open_client(**options: Any) -> AsyncGenerator[Client]:
        async with request.param(shelf(era)) as target, Client(target, **options) as client:
            yield client

    return open_client


class TestEveryWay:
    async def test_changes_of_lists_and_of_resources_are_told(self, connect: Connect) -> None:
        async with connect() as client, client.listen(tools=True, uris=["books://index"]) as changes:
            assert changes.unsupported == ()
            await client.call("publish", uri="books://index")
            assert await anext(changes) == ResourceUpdated("books://index")
            await client.call("grow", name="more")
            assert await anext(changes) == ListChanged("tools")
            assert "more" in [each.name for each in await client.list_tools()]

    async def test_only_what_is_wanted_is_told_and_each_gets_its_own(self, connect: Connect) -> None:
        async with connect() as client, client.listen(tools=True) as lists, client.subscribe("books://index") as books:
            await client.call("publish", uri="books://index")
            await client.call("grow", name="more")
            assert await anext(lists) == ListChanged("tools")
            assert await anext(books) == ResourceUpdated("books://index")
            await client.call("publish", uri="books://index")
            assert await anext(books) == ResourceUpdated("books://index")

    async def test_what_is_told_often_is_told_once_to_who_is_slow(self, connect: Connect) -> None:
        async with connect() as client, client.listen(tools=True, uris=["books://index"]) as changes:
            for _ in range(3):
                await client.call("publish", uri="books://index")
            await client.call("grow", name="more")
            told = [await anext(changes) for _ in range(2)]
            assert sorted(map(type, told), key=str) == [ListChanged, ResourceUpdated]

    async def test_after_the_end_nothing_is_told_and_nothing_left(self, connect: Connect) -> None:
        async with connect() as client:
            for _ in range(2):
                async with client.subscribe("books://index") as changes:
                    pass
                await client.call("publish", uri="books://index")
                await settle()
                assert changes._pending == {}
            assert idle(client)

    async def test_two_may_watch_one_resource(self, connect: Connect) -> None:
        async with connect() as client, client.subscribe("books://index") as one:
            async with client.subscribe("books://index") as other:
                await client.call("publish", uri="books://index")
                assert await anext(other) == await anext(one) == ResourceUpdated("books://index")
            await client.call("publish", uri="books://index")
            assert await anext(one) == ResourceUpdated("books://index")

    async def test_the_end_of_the_connection_is_raised(self, connect: Connect) -> None:
        async with connect() as client, client.listen(tools=True) as changes:
            await client.aclose()
            with pytest.raises(ConnectionLost):
                await anext(changes)
            with pytest.raises(ConnectionLost):
                await anext(changes)


def acknowledged(request: dict[str, Any], honoured: dict[str, Any] | None = None) -> dict[str, Any]:
    wanted = request["params"]["notifications"] if honoured is None else honoured
    params = {"_meta": {TAG: request["id"]}, "notifications": wanted}
    return {"method": "notifications/subscriptions/acknowledged", "params": params}


def tools_changed(tag: Any = None) -> dict[str, Any]:
    method = "notifications/tools/list_changed"
    return {"method": method} if tag is None else {"method": method, "params": {"_meta": {TAG: tag}}}


async def entered(peer: Peer, changes: Any) -> dict[str, Any]:
    """Enter the changes of a modern server that agrees to all of it."""
    entering = asyncio.create_task(changes.__aenter__())
    request = await peer.next()
    peer.send(acknowledged(request))
    await entering
    return request


class TestModern:
    async def test_one_that_ends_is_opened_again_and_that_is_told(self) -> None:
        async with connected() as (client, peer):
            clock, changes = Clock(), client.listen(tools=True)
            first = await entered(peer, changes)
            assert first["params"]["notifications"] == {"toolsListChanged": True}
            peer.answer(first, {"resultType": "complete"})
            await settle()
            await clock.advance(1)
            second = await peer.next()
            assert second["method"] == "subscriptions/listen" and second["id"] != first["id"]
            peer.send(acknowledged(second), tools_changed(first["id"]), tools_changed(second["id"]))
            assert await anext(changes) == Missed("the server had ended the subscription")
            assert await anext(changes) == ListChanged("tools")
            await changes.__aexit__(None, None, None)
            assert (await peer.next())["params"]["requestId"] == second["id"]

    @pytest.mark.time_limit(1_000)
    async def test_a_server_that_is_busy_is_asked_ever_more_rarely(self) -> None:
        async with connected() as (client, peer):
            clock, changes = Clock(), client.listen(tools=True)
            request = await entered(peer, changes)
            peer.answer(request, {"resultType": "complete"})
            for pause in (0.5, 1, 2, 4, 8, 16, 30, 30):
                await settle()
                await clock.advance(0.5 * pause - 0.01)
                assert peer.quiet()
                await clock.advance(pause)
                peer.refuse(await peer.next(), 503)
            await changes.__aexit__(None, None, None)

    async def test_one_that_is_refused_for_good_is_raised(self) -> None:
        async with connected() as (client, peer):
            entering = asyncio.create_task(client.listen(tools=True).__aenter__())
            peer.refuse(await peer.next(), -32601)
            with pytest.raises(MethodNotFound):
                await entering
            clock, changes = Clock(), client.listen(tools=True)
            peer.answer(await entered(peer, changes), {"resultType": "complete"})
            await settle()
            await clock.advance(1)
            peer.refuse(await peer.next(), 403)
            with pytest.raises(McpError, match="no"):
                await anext(changes)
            await changes.__aexit__(None, None, None)
            assert idle(client)

    @pytest.mark.parametrize("ends", ["answer", "busy"])
    async def test_one_that_ends_unacknowledged_is_an_error(self, ends: str) -> None:
        async with connected() as (client, peer):
            entering = asyncio.create_task(client.listen(tools=True).__aenter__())
            request = await peer.next()
            peer.answer(request, {"resultType": "complete"}) if ends == "answer" else peer.refuse(request, 503)
            with pytest.raises(ConnectionLost, match=r"could not be opened: the server (had ended|refused)"):
                await entering

    async def test_a_server_that_never_acknowledges_is_given_up(self) -> None:
        async with connected(timeout=5) as (client, peer):
            clock = Clock()
            entering = asyncio.create_task(client.listen(tools=True).__aenter__())
            request = await peer.next()
            await clock.advance(6)
            with pytest.raises(RequestTimeout, match="was not acknowledged within 5 s"):
                await entering
            assert (await peer.next())["params"]["requestId"] == request["id"]
            assert idle(client)

    async def test_what_is_not_honoured_is_said(self, caplog: pytest.LogCaptureFixture) -> None:
        async with connected() as (client, peer):
            changes = client.listen(tools=True, prompts=True, uris=["a:1", "a:2"])
            entering = asyncio.create_task(changes.__aenter__())
            request = await peer.next()
            peer.send(acknowledged(request, {"promptsListChanged": True, "resourceSubscriptions": ["a:2"]}))
            await entering
            assert changes.unsupported == ("tools", "a:1")
            assert "tells of no changes of tools, a:1" in caplog.text
            await changes.__aexit__(None, None, None)
            entering = asyncio.create_task(client.listen(resources=True).__aenter__())
            while (request := await peer.next())["method"] != "subscriptions/listen":
                pass
            peer.send(acknowledged(request, {}))
            with pytest.raises(MethodNotFound, match="the server tells of no changes of resources"):
                await entering

    @pytest.mark.parametrize("body", [[], 5, {"toolsListChanged": 1, "resourceSubscriptions": "a:1"}], ids=str)
    async def test_an_acknowledgment_that_says_nothing_honours_nothing(self, body: Any) -> None:
        async with connected() as (client, peer):
            entering = asyncio.create_task(client.listen(tools=True, uris=["a:1"]).__aenter__())
            request = await peer.next()
            params = {"_meta": {TAG: request["id"]}, "notifications": body}
            peer.send({"method": "notifications/subscriptions/acknowledged", "params": params})
            with pytest.raises(MethodNotFound):
                await entering

    async def test_a_flood_is_one_gap(self) -> None:
        async with connected() as (client, peer):
            changes = client.listen(uris=["a:"])
            request = await entered(peer, changes)
            method = "notifications/resources/updated"
            for number in range(MAX_PENDING + 1):
                peer.send({"method": method, "params": {"uri": f"a:{number}", "_meta": {TAG: request["id"]}}})
                await asyncio.sleep(0)
            await settle()
            assert await anext(changes) == Missed(f"more than {MAX_PENDING:,} changes waited to be taken")
            assert changes._pending == {}
            await changes.__aexit__(None, None, None)

    async def test_entering_can_be_cancelled(self) -> None:
        async with connected() as (client, peer):
            entering = asyncio.create_task(client.listen(tools=True).__aenter__())
            request = await peer.next()
            entering.cancel()
            await asyncio.wait([entering])
            assert (await peer.next())["params"]["requestId"] == request["id"]
            assert idle(client)


class TestLegacy:
    async def test_what_the_server_does_not_declare_is_not_asked_for(self) -> None:
        async with connected("legacy") as (client, peer):
            with pytest.raises(MethodNotFound, match="tells of no changes of tools, a:1"):
                await client.listen(tools=True, uris=["a:1"]).__aenter__()
            assert peer.quiet()

    async def test_a_subscription_that_fails_takes_the_others_back(self) -> None:
        async with connected("legacy") as (client, peer):
            client.server_capabilities = client.server_capabilities.__class__(resources={"subscribe": True})
            entering = asyncio.create_task(client.listen(uris=["a:1", "a:2"]).__aenter__())
            peer.answer(await peer.next(), {})
            peer.refuse(await peer.next(), -32602)
            undone = await peer.next()
            assert (undone["method"], undone["params"]) == ("resources/unsubscribe", {"uri": "a:1"})
            peer.answer(undone, {})
            with pytest.raises(McpError):
                await entering

    async def test_a_session_that_was_forgotten_is_made_as_it_was(self) -> None:
        async with connected("legacy", log_level="info") as (client, peer):
            client.server_capabilities = client.server_capabilities.__class__(resources={"subscribe": True}, logging={})
            changes = client.listen(uris=["a:1"])
            entering = asyncio.create_task(changes.__aenter__())
            peer.answer(await peer.next(), {})
            await entering
            client._on_interrupted(True)
            level = await peer.next()
            assert (level["method"], level["params"]["level"]) == ("logging/setLevel", "info")
            peer.answer(level, {})
            again = await peer.next()
            assert (again["method"], again["params"]) == ("resources/subscribe", {"uri": "a:1"})
            peer.refuse(again, -32603)
            assert await anext(changes) == Missed("the server had forgotten the session")
            client._on_interrupted(False)
            assert await anext(changes) == Missed("the connection was interrupted")
            client._on_interrupted(True)
            await peer.next()


class TestMisuse:
    @pytest.mark.parametrize("options", [{}, {"uris": []}, {"tools": False}], ids=str)
    async def test_nothing_to_listen_for(self, options: Any) -> None:
        async with Client(shelf("modern")) as client:
            with pytest.raises(MisuseError, match=r"listen for what\? tools=True"):
                client.listen(**options)

    @pytest.mark.parametrize("uris", ["books://index", 5, [5]], ids=str)
    async def test_what_is_no_list_of_uris(self, uris: Any) -> None:
        async with Client(shelf("modern")) as client:
            with pytest.raises(MisuseError, match="uris: expected a list of URIs"):
                client.listen(uris=uris)

    async def test_before_there_is_a_connection(self) -> None:
        with pytest.raises(MisuseError, match="the client is not connected"):
            Client(shelf("modern")).listen(tools=True)

    async def test_entering_twice(self) -> None:
        async with Client(shelf("modern")) as client, client.listen(tools=True) as changes:
            with pytest.raises(MisuseError, match="are listened to already"):
                await changes.__aenter__()


async def test_it_is_told_that_nobody_listens() -> None:
    async with Client(shelf("modern")) as client:
        changes = client.listen(tools=True)
        with pytest.raises(MisuseError, match=r"nobody listens here: use it inside `async with client\.listen"):
            await anext(changes)
        async with changes:
            waiting = asyncio.create_task(anext(changes))
            await settle()
        with pytest.raises(MisuseError, match="nobody listens here"):
            await waiting


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_connection_that_is_lost_already_is_told_on_entering(era: str) -> None:
    async with connected(era) as (client, peer):
        await peer.aclose()
        await settle()
        with pytest.raises(ConnectionLost):
            await client.listen(tools=True).__aenter__()


async def test_a_legacy_server_that_does_not_answer_is_left_in_time() -> None:
    async with connected("legacy") as (client, peer):
        client.server_capabilities = client.server_capabilities.__class__(resources={"subscribe": True})
        changes = client.listen(uris=["a:1", "a:2", "a:3"])
        entering = asyncio.create_task(changes.__aenter__())
        for _ in range(3):
            peer.answer(await peer.next(), {})
        await entering
        clock = Clock()
        leaving = asyncio.create_task(changes.__aexit__(None, None, None))
        assert await peer.methods(3) == ["resources/unsubscribe"] * 3
        await clock.advance(UNWATCHING + 1)
        await leaving


async def test_a_log_level_that_is_refused_leaves_who_listens_alone() -> None:
    async with connected("legacy", log_level="info") as (client, peer):
        client.server_capabilities = client.server_capabilities.__class__(resources={"subscribe": True}, logging={})
        changes = client.listen(uris=["a:1"])
        entering = asyncio.create_task(changes.__aenter__())
        peer.answer(await peer.next(), {})
        await entering
        client._on_interrupted(True)
        peer.refuse(await peer.next(), -32603)
        again = await peer.next()
        assert again["method"] == "resources/subscribe"
        peer.answer(again, {})
        assert await anext(changes) == Missed("the server had forgotten the session")
