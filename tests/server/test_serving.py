"""`serve`: a transport read and answered, a peer that does not read, the end of the stream, and being told to stop."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.protocol.conversations import modern
from tybalt import Server
from tybalt.errors import MisuseError, TransportClosed
from tybalt.execution import CancelKind, CancelReason, CancelToken, checkpoint, governed, masked
from tybalt.server.serving import ANSWERED_AT_ONCE, Outbox, serve
from tybalt.transports.memory import memory_pair
from tybalt.transports.transport import SendPermit


class Peer:
    """A transport whose peer sends all at once, and reads when it is told to."""

    def __init__(self, messages: list[bytes]) -> None:
        self.reads = asyncio.Event()
        self.ends = asyncio.Event()
        self.broken = False
        self.sent: list[bytes] = []
        self._messages = messages
        self._room = True

    async def receive(self) -> list[Any]:
        messages, self._messages = self._messages, []
        if not messages:
            await self.ends.wait()
        return messages

    def reserve_nowait(self) -> SendPermit | None:
        if self.broken:
            raise TransportClosed("broken")
        return SendPermit(self) if self._room or self.reads.is_set() else None

    async def reserve(self) -> SendPermit:
        while not self.reads.is_set():
            await self.reads.wait()
        if self.broken:
            raise TransportClosed("broken")
        return SendPermit(self)

    def commit(self, messages: tuple[bytes, ...]) -> None:
        self._room = False
        self.sent += messages

    def give_back(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def calls(name: str, count: int) -> list[bytes]:
    return [modern("tools/call", {"name": name}, id=number) for number in range(count)]


class TestBackpressure:
    async def test_a_peer_that_does_not_read_is_not_answered_further(self) -> None:
        """Requests weigh little and may ask for much: what they ask for is made as it is read."""
        made = 0
        server = Server("x", run_in="loop")

        @server.tool
        def large() -> str:
            nonlocal made
            made += 1
            return "x" * 50_000

        peer = Peer(calls("large", 1_000))
        async with server.running():
            serving = asyncio.create_task(serve(server, peer, grace=0))
            await turns()
            # Each answer holds the text twice. One heap goes out at once, one waits.
            assert made <= 2 * (ANSWERED_AT_ONCE // 100_000 + 1)
            peer.reads.set()
            peer.ends.set()
            await serving
        assert made == 1_000
        assert sorted(msgspec.json.decode(each)["id"] for each in peer.sent) == list(range(1_000))

    async def test_a_list_that_changes_costs_no_memory(self) -> None:
        peer = Peer([])
        outbox = Outbox(peer)
        outbox.write(b"first")
        for _ in range(1_000):
            outbox.announce(b"changed", b"changed too")
        peer.reads.set()
        await outbox.drained()
        assert peer.sent == [b"first", b"changed", b"changed too"]

    @pytest.mark.parametrize("blocked", [False, True])
    async def test_a_peer_that_is_gone_is_written_to_no_more(self, blocked: bool) -> None:
        peer = Peer([])
        outbox = Outbox(peer)
        if blocked:
            outbox.write(b"first")
            outbox.write(b"second")
        peer.broken = True
        peer.reads.set()
        await outbox.drained()
        outbox.write(b"third")
        assert outbox.closed and peer.sent == ([b"first"] if blocked else [])
        await outbox.aclose()

    async def test_giving_up_drops_what_waits(self) -> None:
        peer = Peer([])
        outbox = Outbox(peer)
        outbox.write(b"first")
        outbox.write(b"second")
        assert outbox.blocked
        await outbox.aclose()
        assert peer.sent == [b"first"] and not outbox.blocked

    async def test_a_peer_that_reads_nothing_loses_its_last_answers(self, caplog: pytest.LogCaptureFixture) -> None:
        server = Server("x", run_in="loop")

        @server.tool
        def ask() -> str:
            return "x"

        peer = Peer([*calls("ask", 1), modern("subscriptions/listen", {"notifications": {}}, id="s")])
        peer.ends.set()
        async with server.running():
            await serve(server, peer, grace=0)
        assert "the peer did not read its last answers" in caplog.text


class TestTheEnd:
    def server(self) -> Server:
        server = Server("x", run_in="loop", grace=0)
        self.began = asyncio.Event()

        @server.tool
        async def wait() -> str:
            self.began.set()
            await asyncio.Event().wait()
            return "never"

        return server

    async def test_what_is_no_transport_is_refused(self) -> None:
        with pytest.raises(MisuseError, match=r"expected a transport, got 'stdio'\. Over stdio it is `server\.run"):
            await self.server().serve("stdio")  # pyright: ignore[reportArgumentType]

    async def test_a_handler_that_serves_is_no_part_of_what_it_serves(self) -> None:
        server, outside = self.server(), CancelToken(clock=asyncio.get_running_loop().time)

        @server.tool
        async def masks() -> bool:
            checkpoint()
            with masked():
                return outside.is_masked

        ours, theirs = memory_pair()
        outside.cancel(CancelReason(CancelKind.USER, "enough"))
        with governed(outside):
            serving = asyncio.create_task(server.serve(ours))
        (await theirs.reserve()).send(*calls("masks", 1))
        (answer,) = await theirs.receive()
        assert msgspec.json.decode(answer)["result"]["structuredContent"] is False
        await theirs.aclose()
        await serving

    async def test_told_to_stop_while_it_reads(self) -> None:
        server, stop = self.server(), asyncio.Event()
        ours, theirs = memory_pair()
        serving = asyncio.create_task(server.serve(ours, stop=stop))
        (await theirs.reserve()).send(*calls("wait", 1))
        await self.began.wait()
        stop.set()
        await serving
        (answer,) = await theirs.receive()
        assert msgspec.json.decode(answer)["error"]["code"] == 503
        assert await theirs.receive() == []

    async def test_told_to_stop_while_it_lets_others_finish(self) -> None:
        server, stop = self.server(), asyncio.Event()
        server.grace = 3_600
        ours, theirs = memory_pair()
        serving = asyncio.create_task(server.serve(ours, stop=stop))
        (await theirs.reserve()).send(*calls("wait", 1))
        await self.began.wait()
        await theirs.aclose()
        await turns()
        assert not serving.done()
        stop.set()
        await serving

    async def test_told_to_stop_while_the_lifespan_opens(self) -> None:
        server, stop, opening = self.server(), asyncio.Event(), asyncio.Event()

        async def never() -> None:
            opening.set()
            await asyncio.Event().wait()

        server.on_startup(never)
        ours, theirs = memory_pair()
        serving = asyncio.create_task(server.serve(ours, stop=stop))
        await opening.wait()
        stop.set()
        await serving
        assert await theirs.receive() == []

    async def test_a_lifespan_that_fails_is_raised_and_the_transport_closed(self) -> None:
        def fail() -> None:
            raise ValueError("no database")

        server = self.server().on_startup(fail)
        ours, theirs = memory_pair()
        with pytest.raises(ValueError, match="no database"):
            await server.serve(ours, stop=asyncio.Event())
        assert await theirs.receive() == []
