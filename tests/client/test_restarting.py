"""A connection that is opened again when it has ended: how it comes back, when it does not, what waits meanwhile."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.client.library import ROOT
from tests.client.peers import DISCOVERED, INITIALIZED, Clock, Peer, called, idle, settle
from tybalt import Client, ConnectionLost, MisuseError, RequestTimeout, Server
from tybalt.client import ListChanged, Missed, ResourceUpdated, Restart
from tybalt.client.link import TransportLink
from tybalt.errors import RequestLost
from tybalt.middleware import Request, Retry

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
AT_ONCE = Restart(base=0, cap=0)


class Peers:
    """One peer after the other, as a command is started again and again."""

    def __init__(self) -> None:
        self.now = Peer()
        self.made = 0
        self.refuses: Exception | None = None

    async def make(self) -> Any:
        if self.refuses is not None:
            raise self.refuses
        if self.made:
            self.now = Peer()
        self.made += 1
        return self.now.client_end


@asynccontextmanager
async def restarted(era: str = "modern", **options: Any) -> AsyncGenerator[tuple[Client, Peers]]:
    """A client whose transport is made anew each time."""
    peers = Peers()
    client = Client([sys.executable], era=era, **{"restart": AT_ONCE, **options})
    client._link = client._requests._link = TransportLink(peers.make, reopens=True)
    opening = asyncio.create_task(client.__aenter__())
    await settle()
    await greet(peers.now, era, logs="log_level" in options)
    await opening
    try:
        yield client, peers
    finally:
        await client.aclose()
        await peers.now.aclose()


def is_add(request: Request) -> bool:
    return request.name == "add"


async def greet(peer: Peer, era: str, *, logs: bool = False) -> None:
    offered = {"capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}}}
    if era == "modern":
        peer.answer(await peer.next(), {**DISCOVERED, **offered})
        return
    opening = await peer.next()
    assert (opening["method"], opening["params"]["protocolVersion"]) == ("initialize", "2025-11-25")
    peer.answer(opening, {**INITIALIZED, **offered})
    assert (await peer.next())["method"] == "notifications/initialized"
    if logs:
        level = await peer.next()
        assert level["method"] == "logging/setLevel"
        peer.answer(level, {})


@pytest.mark.parametrize("era", ["modern", "legacy"])
class TestComingBack:
    async def test_what_waited_fails_and_what_comes_waits(self, era: str) -> None:
        async with restarted(era) as (client, peers):
            first = asyncio.create_task(client.call("add"))
            await peers.now.next()
            await peers.now.aclose()
            with pytest.raises(RequestLost, match="the server closed the connection"):
                await first
            second = asyncio.create_task(client.call("add"))
            await settle()
            await greet(peers.now, era)
            request = await peers.now.next()
            assert request["method"] == "tools/call"
            peers.now.answer(request, called({"result": 8} if era == "legacy" else 8))
            assert await second == 8
            assert idle(client) and peers.made == 2 and client.lost is None

    async def test_what_comes_before_the_end_is_noticed_is_lost_alone(self, era: str) -> None:
        async with restarted(era) as (client, peers):
            await peers.now.aclose()
            with pytest.raises(RequestLost, match="the server has closed the connection"):
                await client.call("add")
            await settle()
            await greet(peers.now, era)
            await settle()
            assert idle(client) and client.lost is None

    async def test_what_may_be_repeated_is_asked_again_where_a_layer_says_so(self, era: str) -> None:
        async with restarted(era, middleware=[Retry(2, base="1ms", repeats=is_add)]) as (client, peers):
            calling = asyncio.create_task(client.call("add"))
            await peers.now.next()
            await peers.now.aclose()
            await settle()
            await greet(peers.now, era)
            request = await peers.now.next()
            assert request["method"] == "tools/call"
            peers.now.answer(request, called({"result": 8} if era == "legacy" else 8))
            assert await calling == 8

    async def test_the_log_level_and_who_listens_are_remembered(self, era: str) -> None:
        async with restarted(era, log_level="info") as (client, peers):
            changes = client.listen(tools=True, uris=["a:1"])
            entering = asyncio.create_task(changes.__aenter__())
            await subscribe(peers.now, era)
            await entering
            await peers.now.aclose()
            await settle()
            await greet(peers.now, era, logs=era == "legacy")
            clock = Clock()
            await clock.advance(1)
            tag = await subscribe(peers.now, era)
            missed = await anext(changes)
            assert isinstance(missed, Missed)
            peers.now.send({"method": "notifications/tools/list_changed", "params": tag})
            assert await anext(changes) == ListChanged("tools")
            peers.now.send({"method": "notifications/resources/updated", "params": {"uri": "a:1", **tag}})
            assert await anext(changes) == ResourceUpdated("a:1")
            leaving = asyncio.create_task(changes.__aexit__(None, None, None))
            last = await peers.now.next()
            if era == "legacy":
                assert last["method"] == "resources/unsubscribe"
                peers.now.answer(last, {})
            await leaving

    async def test_it_comes_back_only_in_the_revision_it_had(self, era: str) -> None:
        async with restarted(era, restart=Restart(attempts=1, base=0)) as (client, peers):
            await peers.now.aclose()
            await settle()
            opening = await peers.now.next()
            if era == "modern":
                peers.now.refuse(opening, -32601)
            else:
                peers.now.answer(opening, {**INITIALIZED, "protocolVersion": "2025-06-18"})
            await settle()
            with pytest.raises(ConnectionLost, match="given up after 1 attempts to open it again"):
                await client.call("add")
            assert client.lost is not None


async def subscribe(peer: Peer, era: str) -> dict[str, Any]:
    """Agree to what is listened for; what the notifications carry."""
    request = await peer.next()
    if era == "legacy":
        assert (request["method"], request["params"]) == ("resources/subscribe", {"uri": "a:1"})
        peer.answer(request, {})
        return {}
    assert request["method"] == "subscriptions/listen"
    meta = {"_meta": {"io.modelcontextprotocol/subscriptionId": request["id"]}}
    honoured = {"notifications": request["params"]["notifications"]}
    peer.send({"method": "notifications/subscriptions/acknowledged", "params": {**meta, **honoured}})
    return meta


class TestNotComingBack:
    async def test_it_is_tried_ever_more_rarely_and_then_given_up(self) -> None:
        async with restarted(restart=Restart(attempts=3, base=1, cap=2, stable=100)) as (client, peers):
            clock = Clock()
            peers.refuses = OSError("no such program")
            waiting = asyncio.create_task(client.call("add"))
            request = await peers.now.next()
            assert request["method"] == "tools/call"
            await peers.now.aclose()
            await settle()
            assert waiting.done() and isinstance(waiting.exception(), ConnectionLost)
            waiting = asyncio.create_task(client.call("add"))
            await settle()
            for pause in (1, 2, 2):
                assert not waiting.done()
                await clock.advance(pause)
            with pytest.raises(ConnectionLost, match="given up after 3 attempts to open it again: no such program"):
                await waiting
            with pytest.raises(ConnectionLost, match="given up"):
                await client.call("add")

    @pytest.mark.time_limit(1_000)
    async def test_one_that_lived_long_begins_a_new_row(self) -> None:
        async with restarted(restart=Restart(attempts=1, base=0, stable=10)) as (client, peers):
            clock = Clock()
            for _ in range(3):
                await clock.advance(5)
                await clock.advance(6)
                await peers.now.aclose()
                await settle()
                await clock.advance(0)
                await greet(peers.now, "modern")
                await settle()
                assert client.lost is None
            await peers.now.aclose()
            await settle()
            assert client.lost is not None

    @pytest.mark.parametrize("error", [RuntimeError("no thread"), EOFError(), OSError("no file")], ids=repr)
    async def test_whatever_goes_wrong_it_ends(self, error: Exception) -> None:
        async with restarted(restart=Restart(attempts=2, base=0)) as (client, peers):
            peers.refuses = error
            await peers.now.aclose()
            await settle()
            with pytest.raises(ConnectionLost, match="given up after 2 attempts to open it again"):
                await client.call("add")

    async def test_one_that_ends_while_it_is_greeted_has_failed(self) -> None:
        async with restarted(restart=Restart(attempts=2, base=0)) as (client, peers):
            await peers.now.aclose()
            await settle()
            await peers.now.next()
            await peers.now.aclose()
            await settle()
            await greet(peers.now, "modern")
            await client_is_back(client, peers)
            assert peers.made == 3

    async def test_what_waits_has_its_time_limit(self) -> None:
        async with restarted(restart=Restart(base=100, cap=100)) as (client, peers):
            clock = Clock()
            await peers.now.aclose()
            await settle()
            waiting = asyncio.create_task(client.call_tool("add", timeout=5))
            await settle()
            await clock.advance(6)
            with pytest.raises(
                RequestTimeout, match="tools/call waited 5 s for a connection that is being opened again"
            ):
                await waiting
            assert idle(client)

    async def test_closing_does_not_wait_for_it(self) -> None:
        async with restarted(restart=Restart(base=100, cap=100)) as (client, peers):
            await peers.now.aclose()
            await settle()
            waiting = asyncio.create_task(client.call("add"))
            await settle()
            await client.aclose()
            with pytest.raises(ConnectionLost, match="the client was closed"):
                await waiting


async def client_is_back(client: Client, peers: Peers) -> None:
    asking = asyncio.create_task(client.call("add"))
    peers.now.answer(await peers.now.next(), called(8))
    assert await asking == 8


@POSIX
async def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    program = f"""
import os, sys
sys.path.insert(0, {str(ROOT / "src")!r})
from tybalt import Server
server = Server("mortal")

@server.tool
def pid() -> int:
    return os.getpid()

server.run()
"""
    (tmp_path / "server.py").write_text(program)
    async with Client(tmp_path / "server.py", restart=AT_ONCE) as client:
        first = await client.call("pid")
        os.kill(first, signal.SIGKILL)
        second, lost = first, ConnectionLost("the server's process was killed by SIGKILL")
        while second == first:
            try:
                second = await client.call("pid")
            except ConnectionLost as error:
                lost = error
        assert "was killed by SIGKILL" in str(lost)
        assert second != first


class TestMisuse:
    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("attempts", 0),
            ("attempts", 1.5),
            ("base", -1),
            ("cap", "1s"),
            ("stable", float("nan")),
            ("base", True),
            ("cap", 10**400),
        ],
    )
    def test_what_is_no_number(self, option: str, value: Any) -> None:
        with pytest.raises(MisuseError, match=f"{option}: expected a number"):
            Restart(**{option: value})

    @pytest.mark.parametrize(
        "target", [Server("here"), Peer, "http://127.0.0.1:1/mcp"], ids=["server", "transport", "http"]
    )
    async def test_what_cannot_be_opened_again(self, target: Any) -> None:
        target = target().client_end if target is Peer else target
        with pytest.raises(MisuseError, match="restart: it is for what can be opened again"):
            Client(target, restart=Restart())

    def test_what_is_no_restart(self) -> None:
        with pytest.raises(MisuseError, match="restart: expected a Restart, got True"):
            Client([sys.executable], restart=True)  # type: ignore[arg-type]
