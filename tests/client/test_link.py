"""`DirectLink` and `TransportLink`: what they hand over, how they wait, and the one reason they give for the end."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.client.library import command, library
from tests.client.peers import Clock, Peer, encoded, settle
from tests.protocol.conversations import initialize, modern
from tybalt.client.link import DirectLink, Link, LinkEvents, Serves, TransportLink
from tybalt.errors import ConnectionLost, MisuseError, TransportClosed
from tybalt.execution import CancelKind, CancelReason, CancelToken, checkpoint, current_token, governed, masked
from tybalt.protocol.frames import Oversized
from tybalt.server.server import Server
from tybalt.transports import memory_pair, spawn

ADD = modern("tools/call", {"name": "add", "arguments": {"a": 1}}, id=7)


class Heard:
    """What a link hands over."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.reasons: list[str] = []
        self.something = asyncio.Event()

    def receive(self, message: bytes) -> None:
        self.messages.append(message)
        self.something.set()

    def lost(self, reason: BaseException) -> None:
        assert type(reason) is ConnectionLost
        self.reasons.append(str(reason))
        self.something.set()


@asynccontextmanager
async def opened(link: Link) -> AsyncGenerator[Heard]:
    heard = Heard()
    await link.open(LinkEvents(heard.receive, heard.lost, print, print))
    try:
        yield heard
    finally:
        await link.aclose()


class Source:
    """A transport of somebody else: it plays back what `receive` is to return or raise, and takes what is sent."""

    def __init__(self, *plays: Any) -> None:
        self._plays = list(plays)
        self.closed = False

    async def receive(self) -> Any:
        play = self._plays.pop(0)
        if isinstance(play, BaseException):
            raise play
        return play

    async def reserve(self) -> Any:
        raise TransportClosed("it is only a source")

    def reserve_nowait(self) -> Any:
        raise TransportClosed("it is only a source")

    async def aclose(self) -> None:
        self.closed = True


class Process(Source):
    """One with an exit status, which may never come."""

    def __init__(self, status: int | None, last_words: str = "", program: str = "") -> None:
        super().__init__([])
        self._status = status
        self.program = program
        self.last_words = last_words

    async def wait(self) -> int:
        if self._status is None:
            await asyncio.Event().wait()
        return self._status or 0


class TestDirect:
    def test_it_serves_servers_and_nothing_else(self) -> None:
        assert isinstance(Server("x"), Serves)
        assert not isinstance(memory_pair()[0], Serves) and not isinstance(["python"], Serves)

    async def test_answers_come_out_of_send_or_later(self) -> None:
        link = DirectLink(library("modern"))
        async with opened(link) as heard:
            answer = link.send(ADD)
            assert answer is not None and b'"structuredContent":2' in answer
            later = {"name": "after", "arguments": {"turns": 3, "value": "later"}}
            assert link.send(modern("tools/call", later)) is None and heard.messages == []
            await settle()
            assert len(heard.messages) == 1 and b"later" in heard.messages[0]
            assert link.send(encoded(method="notifications/cancelled", params={"requestId": 9})) is None
        assert heard.reasons == []

    @pytest.mark.parametrize("name", ["plain", "waits", "masks"])
    async def test_who_calls_in_a_handler_is_no_part_of_what_it_calls(self, name: str) -> None:
        server, done = Server("x"), list[str]()
        outside = CancelToken(clock=asyncio.get_running_loop().time)

        @server.tool(run_in="loop")
        def plain() -> None:
            checkpoint()
            done.append("plain")

        @server.tool
        async def waits() -> None:
            checkpoint()
            await asyncio.sleep(0)
            checkpoint()
            done.append("waits")

        @server.tool
        async def masks() -> None:
            with masked():
                assert not outside.is_masked
                done.append("masks")

        outside.cancel(CancelReason(CancelKind.USER, "enough"))
        link = DirectLink(server)
        async with opened(link):
            with governed(outside):
                link.send(modern("tools/call", {"name": name, "arguments": {}}))
                assert current_token() is outside
            await settle()
        assert done == [name]

    async def test_what_runs_is_stopped_at_the_end_and_the_lifespan_left(self) -> None:
        events: list[str] = []
        server = library("modern").on_startup(lambda: events.append("up")).on_shutdown(lambda: events.append("down"))

        @server.tool
        async def wait_for_ever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                events.append("stopped")

        link = DirectLink(server)
        async with opened(link):
            link.send(modern("tools/call", {"name": "wait_for_ever"}))
            await settle()
        assert events == ["up", "stopped", "down"]
        await link.aclose()
        assert events == ["up", "stopped", "down"]

    async def test_it_is_told_of_changes_until_the_end(self) -> None:
        server = library("legacy")
        link = DirectLink(server)
        async with opened(link) as heard:
            link.send(initialize())
            link.send(encoded(method="notifications/initialized"))
            server.tool("one")(lambda: None)
            assert [b"tools/list_changed" in each for each in heard.messages] == [True]
        server.tool("two")(lambda: None)
        assert len(heard.messages) == 1

    async def test_changes_are_announced_and_it_always_has_room(self) -> None:
        server = library("modern")
        link = DirectLink(server)
        async with opened(link) as heard:
            link.send(modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}))
            server.tool("more")(lambda: None)
            assert [b"tools/list_changed" in each for each in heard.messages] == [True]
            assert not link.blocked
            await link.drained()
            with pytest.raises(AssertionError, match="never has to wait"):
                await link.send_later(ADD)

    async def test_before_it_is_open_there_is_nobody_to_hear(self) -> None:
        link = DirectLink(library("modern"))
        link.write(ADD)
        with pytest.raises(MisuseError, match="the client is not connected"):
            link.send(ADD)
        await link.aclose()

    async def test_a_server_that_does_not_start_leaves_it_closed(self) -> None:
        link = DirectLink(Server("x").on_startup(lambda: 1 / 0))  # type: ignore[arg-type, return-value]
        with pytest.raises(ZeroDivisionError):
            await link.open(LinkEvents(print, print, print, print))
        with pytest.raises(MisuseError):
            link.send(ADD)
        await link.aclose()


class TestTransport:
    async def test_messages_pass_in_order_and_unread(self) -> None:
        peer = Peer()
        link = TransportLink(lambda: peer.client_end)
        async with opened(link) as heard:
            assert link.send(encoded(method="a")) is None
            await link.send_later(encoded(method="b"))
            assert await peer.methods(2) == ["a", "b"]
            peer.send(b"one", b"{", b"\xff")
            await settle()
            assert heard.messages == [b"one", b"{", b"\xff"] and heard.reasons == []
        assert await peer.rest() == []

    async def test_it_connects_when_it_is_opened_and_waits_for_that(self) -> None:
        peer, ready = Peer(), asyncio.Event()

        async def connect() -> Any:
            await ready.wait()
            return peer.client_end

        link = TransportLink(connect)
        with pytest.raises(MisuseError, match="the client is not connected"):
            link.send(b"{}")
        await link.aclose()
        opening = asyncio.create_task(link.open(LinkEvents(print, print, print, print)))
        await settle()
        assert not opening.done()
        ready.set()
        await opening
        link.send(encoded(method="a"))
        assert await peer.methods(1) == ["a"]
        await link.aclose()

    async def test_sending_waits_for_room_where_it_may(self) -> None:
        peer = Peer(capacity=1)
        link = TransportLink(lambda: peer.client_end)
        async with opened(link):
            link.send(encoded(method="a"))
            with pytest.raises(BlockingIOError):
                link.send(encoded(method="b"))
            later = asyncio.create_task(link.send_later(encoded(method="c")))
            await settle()
            assert not later.done()
            assert await peer.methods(2) == ["a", "c"]
            await later

    @pytest.mark.parametrize("capacity", [1, 2])
    async def test_sending_to_one_who_has_gone_says_so(self, capacity: int) -> None:
        peer = Peer(capacity)
        link = TransportLink(lambda: peer.client_end)
        async with opened(link) as heard:
            link.send(b"{}")
            later = asyncio.create_task(link.send_later(b"{}"))
            await settle()
            await peer.aclose()
            if capacity == 1:
                with pytest.raises(ConnectionLost, match="the server has closed the connection"):
                    await later
            with pytest.raises(ConnectionLost, match="the server has closed the connection") as lost:
                link.send(b"{}")
            assert isinstance(lost.value.__cause__, TransportClosed)
            with pytest.raises(ConnectionLost):
                await link.send_later(b"{}")
            await settle()
            assert heard.reasons == ["the server closed the connection"]

    @pytest.mark.parametrize(
        ("transport", "reason", "messages"),
        [
            (Source([]), "the server closed the connection", 0),
            (Source([b"a", b"b"], [b"c"], []), "the server closed the connection", 3),
            (
                Source([b"a", Oversized(11, 10), b"b"]),
                "the server sent too much at once: a message is longer than 10 bytes",
                2,
            ),
            (
                Source([b"a", Oversized(11, 10, b'{"jsonrpc":"2.0","id":7,"result":{'), b"b"], []),
                "the server closed the connection",
                3,
            ),
            (Source([b"a"], OSError("unplugged")), "reading from the server failed: unplugged", 1),
            (Source(ValueError()), "reading from the server failed: ValueError", 0),
            (Process(3), "the server's process ended with status 3; what it wrote to stderr may say why", 0),
            (Process(-9), "the server's process was killed by SIGKILL; what it wrote to stderr may say why", 0),
            (
                Process(-99, program="x" * 200),
                f"the server's process '{'x' * 100}…' was killed by signal 99; what it wrote to stderr may say why",
                0,
            ),
            (Process(3, "no module 'x'"), "the server's process ended with status 3; its last words: no module 'x'", 0),
            (
                Process(0),
                "the server's process ended with status 0; what it wrote to stderr may say why, "
                "or its file does not end in server.run()",
                0,
            ),
        ],
        ids=[
            "end",
            "messages",
            "oversized",
            "oversized but known",
            "error",
            "empty error",
            "status 3",
            "signal 9",
            "signal 99",
            "last words",
            "status 0",
        ],
    )
    async def test_the_end_is_told_once_with_its_reason(self, transport: Source, reason: str, messages: int) -> None:
        link = TransportLink(lambda: transport)
        async with opened(link) as heard:
            await settle()
            assert [each.startswith(reason) for each in heard.reasons] == [True]
            assert len(heard.messages) == messages and not transport.closed
        await link.aclose()
        assert len(heard.reasons) == 1 and transport.closed

    async def test_a_process_that_closes_its_output_and_lives_is_not_waited_for(self) -> None:
        clock = Clock()
        async with opened(TransportLink(lambda: Process(None))) as heard:
            await settle()
            await clock.advance(0.9)
            assert heard.reasons == []
            await clock.advance(0.1)
            assert heard.reasons == ["the server closed the connection, though its process still runs"]

    async def test_closing_does_not_wait_for_a_process_either(self) -> None:
        Clock()
        async with opened(TransportLink(lambda: Process(None))) as heard:
            await settle()
        assert heard.reasons == ["the server closed the connection, though its process still runs"]

    async def test_closing_ends_the_reading_and_tells_it(self) -> None:
        peer = Peer()
        link = TransportLink(lambda: peer.client_end)
        async with opened(link) as heard:
            await settle()
        assert heard.reasons == ["the server closed the connection"]
        with pytest.raises(MisuseError):
            link.send(b"{}")

    async def test_a_cancelled_close_leaves_no_task_where_the_transport_waits(self) -> None:
        class Slow(Source):
            async def receive(self) -> Any:
                await asyncio.Event().wait()

            async def aclose(self) -> None:
                await asyncio.Event().wait()

        heard = Heard()
        link = TransportLink(Slow)
        await link.open(LinkEvents(heard.receive, heard.lost, print, print))
        await settle()
        closing = asyncio.create_task(link.aclose())
        await settle()
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled() and heard.reasons == ["the server closed the connection"]

    async def test_a_cancelled_close_leaves_no_task(self) -> None:
        peer = Peer()
        link = TransportLink(lambda: peer.client_end)
        await link.open(LinkEvents(print, print, print, print))
        closing = asyncio.create_task(link.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert await peer.rest() == []

    @pytest.mark.skipif(sys.platform == "win32", reason="starts a process as POSIX does")
    async def test_a_process_is_told_by_its_program_alone(self) -> None:
        link = TransportLink(lambda: spawn([sys.executable, "-c", "import sys; sys.exit(3)", "--key=hunter2"]))
        async with opened(link) as heard:
            await heard.something.wait()
        (reason,) = heard.reasons
        assert reason.startswith(f"the server's process {sys.executable!r} ended with status 3; ")
        assert "hunter2" not in reason

    async def test_a_process_ends_with_it(self) -> None:
        child = await spawn(command("modern"))
        link = TransportLink(lambda: child)
        async with opened(link) as heard:
            link.send(ADD)
            await heard.something.wait()
            assert b'"structuredContent":2' in heard.messages[0]
        assert child.returncode == 0
