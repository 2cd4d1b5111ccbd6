"""Clients for the soak: connections that are kept, each with one request on its way, and what they have got.

A request is sent again only where its connection was closed before any byte of the response, as HTTP clients do (RFC
9112 section 9.3.1); anything else that is lost is an error. What comes without having been asked for is kept as well.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from tests.protocol.conversations import initialize, legacy, message, modern

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call"}
MOST_RETRIES = 50
"""Of one request; a server that closes more often than that serves nobody."""


class Answer:
    """A whole response."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.status = int(head[9:12])
        self.head = head
        self.body = body

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class ClosedEarlyError(Exception):
    """The connection ended before any byte of the response."""


class Caller(asyncio.Protocol):
    """One connection, opened again when the server has closed it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.retries = 0
        self._transport: Any = None
        self._came = b""
        self._waiting: asyncio.Future[Answer] | None = None

    async def ask(self, body: bytes, **fields: str) -> Answer:
        """One request, and its whole answer."""
        for _ in range(MOST_RETRIES):
            if self._transport is None:
                await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self.port)
            self._waiting = asyncio.get_running_loop().create_future()
            self._transport.write(request(self.port, body, fields))
            try:
                return await self._waiting
            except ClosedEarlyError:
                self.retries += 1
        raise AssertionError(f"a connection was closed {MOST_RETRIES} times before anything was answered")

    async def begin(self) -> dict[str, str]:
        """Begin a legacy session: what its requests bring."""
        began = await self.ask(initialize())
        found = re.search(rb"mcp-session-id: (\S+)", began.head)
        assert began.status == 200, began.body
        assert found is not None
        session = {"mcp-session-id": found[1].decode(), "mcp-protocol-version": "2025-11-25"}
        assert (await self.ask(message(method="notifications/initialized"), **session)).status == 202
        return session

    async def tool(self, name: str, **arguments: Any) -> Any:
        """What a tool returns to a modern client."""
        body = modern("tools/call", {"name": name, "arguments": arguments})
        return (await self.ask(body, **MODERN, **{"mcp-name": name})).json["result"]["structuredContent"]

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    # -- the protocol -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._came = b""

    def data_received(self, data: bytes) -> None:
        self._came += data
        head, found, body = self._came.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not found or (length is not None and len(body) < int(length[1])):
            return
        size = 0 if length is None else int(length[1])
        assert self._waiting is not None
        if self._waiting.done() or len(body) > size:
            # Heard by whoever asks next, or at the end: the loop is handed it, and the test fails.
            raise AssertionError(f"more came than was asked for: {self._came!r}")
        self._came = b""
        self._waiting.set_result(Answer(head, body))

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._waiting is not None and not self._waiting.done():
            early = ClosedEarlyError() if not self._came else AssertionError(f"cut off after {self._came!r}: {exc}")
            self._waiting.set_exception(early)


def request(port: int, body: bytes, fields: dict[str, str]) -> bytes:
    """A POST, as it goes over the wire."""
    shown = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return (
        f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"accept: application/json, text/event-stream\r\n{shown}content-length: {len(body)}\r\n\r\n"
    ).encode() + body


async def add_up(caller: Caller, numbers: Iterator[int], answered: list[int]) -> None:
    """Ask for sums of these numbers until there are none left; each answer has to be its own.

    Every other connection is a legacy client with a session.
    """
    fields = {} if next(numbers) % 2 else await caller.begin()
    for number in numbers:
        arguments = {"name": "add", "arguments": {"a": number, "b": 1}}
        if fields:
            answer = await caller.ask(legacy("tools/call", arguments, id=number), **fields)
        else:
            answer = await caller.ask(modern("tools/call", arguments, id=number), **MODERN, **{"mcp-name": "add"})
        assert answer.status == 200, answer.body
        told = answer.json
        assert told["id"] == number, told
        assert told["result"]["content"] == [{"type": "text", "text": str(number + 1)}], told
        answered.append(number)
