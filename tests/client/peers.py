"""The other side of a client, played by hand: `Peer` for what servers say, `Clock` for the time that passes.

A `Peer` answers exactly what the test tells it to, in whatever order and shape, or not at all.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tybalt import Client
from tybalt.transports import memory_pair
from tybalt.types.capabilities import ClientCapabilities

DISCOVERED: dict[str, Any] = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {}},
    "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "peer", "version": "1"}},
}
INITIALIZED: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}, "logging": {}},
    "serverInfo": {"name": "peer", "version": "1"},
}
TURNS = 10
"""Turns of the loop in which everything that does not wait for the test has come to rest."""


class Clock:
    """The time of the running loop, which passes only when the test says so. For asyncio's own loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        loop.time = lambda: self.now  # type: ignore[method-assign]

    async def advance(self, seconds: float) -> None:
        """Let time pass, and all that is due happen."""
        self.now += seconds
        await settle()


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Peer:
    """The server's end of a memory pair; the client's end is `client_end`. Each way fit `capacity` messages."""

    def __init__(self, capacity: int = 64) -> None:
        self.client_end, self._end = memory_pair(capacity)
        self._unread: deque[Any] = deque()

    async def next(self) -> dict[str, Any]:
        """The next message of the client."""
        while not self._unread:
            messages = await self._end.receive()
            assert messages, "the client says no more"
            self._unread += map(msgspec.json.decode, messages)  # type: ignore[arg-type]
        return self._unread.popleft()

    async def methods(self, number: int) -> list[str]:
        """The methods of the next messages."""
        return [(await self.next())["method"] for _ in range(number)]

    def quiet(self) -> bool:
        """Whether the client has said nothing that was not read yet. Of a memory pair only."""
        return not self._unread and not self._end._inbox

    async def rest(self) -> list[str]:
        """The methods of all that the client still said before it closed."""
        while messages := await self._end.receive():
            self._unread += map(msgspec.json.decode, messages)  # type: ignore[arg-type]
        return [each["method"] for each in self._unread]

    def send(self, *messages: bytes | dict[str, Any]) -> None:
        """Say something: bytes as they are, anything else as JSON-RPC."""
        permit = self._end.reserve_nowait()
        assert permit is not None, "the client does not read"
        permit.send(*(each if isinstance(each, bytes) else encoded(**each) for each in messages))

    def answer(self, request: dict[str, Any], result: Any) -> None:
        """Answer a request with a result."""
        self.send({"id": request["id"], "result": result})

    def refuse(self, request: dict[str, Any], code: int, data: Any = None) -> None:
        """Answer a request with an error."""
        self.send({"id": request["id"], "error": {"code": code, "message": "no", "data": data}})

    async def aclose(self) -> None:
        """End the connection."""
        await self._end.aclose()


def encoded(**members: Any) -> bytes:
    """A JSON-RPC message."""
    return msgspec.json.encode({"jsonrpc": "2.0", **members})


def success(result: Any) -> bytes:
    """The answer to the first request, with a result."""
    return encoded(id=1, result=result)


def failure(code: int, data: Any = None, id: Any = 1) -> bytes:
    """The answer to the first request, or to another or to none, with an error."""
    return encoded(id=id, error={"code": code, "message": "no", "data": data})


def called(value: Any) -> dict[str, Any]:
    """The result of a tool."""
    return {"resultType": "complete", "content": [], "structuredContent": value}


@asynccontextmanager
async def connected(
    era: str = "modern",
    *,
    capacity: int = 64,
    capabilities: Iterable[str] = ("tools", "logging"),
    declares: ClientCapabilities | None = None,
    **options: Any,
) -> AsyncGenerator[tuple[Client, Peer]]:
    """A client and the peer it has connected to."""
    peer = Peer(capacity)
    client = Client(peer.client_end, era=era, capabilities=declares, **options)  # type: ignore[arg-type]
    opening = asyncio.create_task(client.__aenter__())
    offered = {"capabilities": {name: {} for name in capabilities}}
    peer.answer(await peer.next(), {**(DISCOVERED if era == "modern" else INITIALIZED), **offered})
    if era == "legacy":
        assert (await peer.next())["method"] == "notifications/initialized"
        if "log_level" in options and "logging" in capabilities:
            peer.answer(await peer.next(), {})
    await opening
    try:
        yield client, peer
    finally:
        await client.aclose()
        await peer.aclose()


def idle(client: Client) -> bool:
    """Whether a client remembers nothing of the requests it has made."""
    return client._requests.idle and not client._questions._running and not client._connection.asked


async def asked(peer: Peer, question: Coroutine[Any, Any, Any]) -> tuple["asyncio.Task[Any]", dict[str, Any]]:
    """Start what asks, and return it with the message that reached the peer."""
    asking = asyncio.create_task(question)
    return asking, await peer.next()
