"""Held responses under ASGI: who reads nothing is let go after a while, and a server that fails has no client."""

import asyncio
import gc
from typing import Any

import pytest

from tests.protocol.conversations import modern
from tests.server.http.web import Client, modern_headers
from tybalt import Context, Server
from tybalt.server.http import holding
from tybalt.server.http.holding import LOOKS, UNREAD, AsgiSink, Readers, hold


class Spoken:
    """A held response, which notes that its client has gone."""

    def __init__(self) -> None:
        self.sink = AsgiSink()
        self.has_gone = False

    def attach(self, sink: Any) -> None:
        self.sink = sink
        sink.begin(())

    def gone(self, sink: Any) -> None:
        assert sink is self.sink
        self.has_gone = True


class Peer:
    """An ASGI server whose client takes as much as it is let."""

    def __init__(self, takes: int) -> None:
        self.held = Spoken()
        self.readers = Readers(asyncio.get_running_loop())
        self.sent = 0
        self.full = asyncio.Event()
        self.reads = asyncio.Event()
        self._takes = takes
        self.task = asyncio.ensure_future(hold(self.held, self._receive, self._send, self.readers))

    async def _receive(self) -> Any:
        await asyncio.Event().wait()

    async def _send(self, message: Any) -> None:
        if self.sent >= self._takes:
            self.full.set()
            await self.reads.wait()
        self.sent += 1

    async def look(self, times: int) -> None:
        """Let time go by, as looks."""
        for _ in range(times):
            self.readers._look()
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """End it."""
        self.task.cancel()
        await asyncio.wait([self.task])


async def test_a_response_that_has_ended_is_not_kept_for_who_never_reads() -> None:
    peer = Peer(takes=1)
    await asyncio.sleep(0)
    peer.held.sink.send(b"x")
    peer.held.sink.end()
    await peer.full.wait()
    await peer.look(LOOKS)
    assert not peer.task.done()
    await peer.look(1)
    await peer.task
    assert not peer.held.has_gone, "for it had ended"
    assert peer.readers._sending == {}


async def test_nor_is_one_of_which_much_waits() -> None:
    peer = Peer(takes=1)
    await asyncio.sleep(0)
    for _ in range(3):
        peer.held.sink.send(b"x" * UNREAD)
    await peer.full.wait()
    await peer.look(LOOKS + 1)
    await peer.task
    assert peer.held.has_gone
    assert not peer.held.sink.blocked, "nobody waits for it"


async def test_who_reads_slowly_is_waited_for() -> None:
    peer = Peer(takes=1)
    await asyncio.sleep(0)
    for _ in range(4):
        peer.held.sink.send(b"x" * UNREAD)
    peer.held.sink.end()
    for _ in range(3):
        await peer.full.wait()
        await peer.look(LOOKS - 1)
        assert not peer.task.done()
        peer.full.clear()
        peer._takes += 1
        peer.reads.set()
        peer.reads.clear()
    await peer.leave()


async def test_one_of_which_little_waits_stays() -> None:
    peer = Peer(takes=1)
    await asyncio.sleep(0)
    peer.held.sink.send(b"x")
    await peer.full.wait()
    await peer.look(3 * LOOKS)
    assert not peer.task.done()
    await peer.leave()
    assert peer.held.has_gone
    assert peer.task.cancelled(), "a cancel of somebody else is one"


async def test_time_is_looked_at_while_there_is_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "PATIENCE", 0.006)
    for _ in range(2):
        peer = Peer(takes=1)
        await asyncio.sleep(0)
        peer.held.sink.end()
        await peer.task
    assert peer.sent == 1


async def test_a_server_whose_receive_fails_has_no_client() -> None:
    server, began, failed = Server("x"), asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["message"]))

    @server.tool
    async def work(context: Context) -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            failed.append("stopped")
        return ""

    body = modern("tools/call", {"name": "work", "arguments": {}})
    arrived = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        if arrived:
            return arrived.pop()
        await began.wait()
        raise RuntimeError("a server with a bug")

    async def send(message: Any) -> None:
        raise AssertionError(message)

    headers = Client(None).headers("POST", body, dict(modern_headers("tools/call", "work")))
    await server.asgi()({"type": "http", "method": "POST", "path": "/mcp", "headers": headers}, receive, send)
    await server.drain()
    gc.collect()
    assert failed == ["stopped"]
