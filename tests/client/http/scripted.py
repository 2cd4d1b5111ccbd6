"""A server of HTTP by hand, over a real socket: what each request gets, the acts of a test decide.

    async with scripted({**acts("legacy"), "tools/call": act}) as server, Client(server.url) as client:
        ...

An act is `async def act(request, line)`; it is found by the method of the message, or else by that of HTTP. What was
asked is in `server.requests`. At the end, every connection has been closed by the client, or the test fails.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tests.client.peers import DISCOVERED, INITIALIZED, called, encoded
from tybalt import Client
from tybalt.protocol.sse import event

CLOSES = 5.0
"""Seconds a client has to close its connections; it never takes them."""


class Request:
    """A request that came: its method of HTTP, its header fields in lower case, its body, and the message in it."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        self.verb, self.path, _ = first.split(" ")
        self.fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
        self.body = body
        self.message: dict[str, Any] = msgspec.json.decode(body) if body else {}

    @property
    def method(self) -> str:
        """The method of the message; of HTTP where there is no message, and `answer` where it is one."""
        return self.message.get("method", "answer") if self.message else self.verb

    @property
    def session(self) -> str | None:
        """The session it belongs to."""
        return self.fields.get("mcp-session-id")


class Line:
    """Where an act says what it has to say: the connection that a request came on."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.is_open = True

    async def raw(self, *pieces: bytes) -> None:
        """Bytes as they are, each piece in a write of its own."""
        for piece in pieces:
            self._writer.write(piece)
            await self._writer.drain()
            if len(pieces) > 1:
                await asyncio.sleep(0)

    async def answer(self, status: int = 200, body: bytes = b"", kind: str = "application/json", **fields: str) -> None:
        """A whole answer."""
        await self.raw(answer(status, body, kind, **fields))

    async def result(self, request: Request, result: Any, **fields: str) -> None:
        """The answer to a request, in one piece."""
        await self.answer(body=encoded(id=request.message["id"], result=result), **fields)

    async def stream(self, **fields: str) -> None:
        """The head of a stream of events, in chunks."""
        await self.raw(head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked", **fields}))

    async def event(self, data: bytes | dict[str, Any] = b"", **parts: Any) -> None:
        """An event on the stream: a message, or bytes as they are."""
        await self.chunk(event(data if isinstance(data, bytes) else encoded(**data), **parts))

    async def chunk(self, data: bytes) -> None:
        """A piece of the stream."""
        await self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    async def end(self) -> None:
        """The end of the stream, in good order."""
        await self.raw(b"0\r\n\r\n")

    def close(self) -> None:
        """Close the connection, whatever was still to come."""
        self.is_open = False
        self._writer.close()

    def abort(self) -> None:
        """End the connection as a process that is killed does."""
        self.is_open = False
        self._writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client has closed the connection."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(65_536):
                pass
        self.close()


Act = Callable[[Request, Line], Awaitable[None]]


class Scripted:
    """What a server by hand has seen; `acts` may change while it runs."""

    def __init__(self, acts: dict[str, Act]) -> None:
        self.acts = acts
        self.requests: list[Request] = []
        self.port = 0
        self._news = asyncio.Event()
        self._running: dict[asyncio.Task[None], tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/mcp"

    @property
    def methods(self) -> list[str]:
        """What was asked, in order."""
        return [each.method for each in self.requests]

    async def saw(self, method: str, times: int = 1) -> list[Request]:
        """Wait until this was asked so often; the requests."""
        while len(found := [each for each in self.requests if each.method == method]) < times:
            self._news.clear()
            await self._news.wait()
        return found

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self._running[task] = (reader, writer)
        line = Line(reader, writer)
        try:
            while line.is_open:
                request = await read(reader)
                self.requests.append(request)
                self._news.set()
                act = self.acts.get(request.method) or self.acts[request.verb]
                await act(request, line)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._running.pop(task, None)

    async def aclose(self) -> None:
        """Stop every act. Fails where the client has left a connection open."""
        for task, (reader, writer) in tuple(self._running.items()):
            task.cancel()
            await asyncio.wait([task])
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(CLOSES):
                    while await reader.read(65_536):
                        pass
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def scripted(acts: dict[str, Act]) -> AsyncGenerator[Scripted]:
    """A server by hand on a free port of this machine."""
    server = Scripted(acts)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
        await server.aclose()
    finally:
        listening.close()
        for task in tuple(server._running):
            task.cancel()
        await listening.wait_closed()


@asynccontextmanager
async def talking(acts: dict[str, Act], **options: Any) -> AsyncGenerator[tuple[Scripted, Client]]:
    """A server by hand, and a client that has connected to it."""
    async with scripted(acts) as server, Client(server.url, **options) as client:
        yield server, client


def acts(era: str = "modern", session: str | None = "s1", revision: str = "2025-11-25") -> dict[str, Act]:
    """What a well-behaved server of one era does that has no stream to offer; tools answer with their arguments."""

    async def discover(request: Request, line: Line) -> None:
        if era == "modern":
            await line.result(request, DISCOVERED)
        else:
            await line.answer(400, b"Bad Request: no session", "text/plain")

    async def initialize(request: Request, line: Line) -> None:
        fields = {} if session is None else {"mcp-session-id": session}
        await line.result(request, {**INITIALIZED, "protocolVersion": revision}, **fields)

    async def call(request: Request, line: Line) -> None:
        await line.result(request, called(request.message["params"]["arguments"]))

    return {
        "server/discover": discover,
        "initialize": initialize,
        "tools/call": call,
        "POST": status(202),
        "GET": status(405),
        "DELETE": status(204),
    }


def status(number: int, body: bytes = b"", kind: str = "text/plain", **fields: str) -> Act:
    """Always answers with this status."""

    async def act(request: Request, line: Line) -> None:
        await line.answer(number, body, kind, **fields)

    return act


def gives(*pieces: bytes) -> Act:
    """Says these bytes and closes."""

    async def act(request: Request, line: Line) -> None:
        await line.raw(*pieces)
        line.close()

    return act


async def waits(request: Request, line: Line) -> None:
    """Never answers."""
    await line.gone()


def in_turn(*each: Act) -> Act:
    """One act after another; the last one stays."""
    left = list(each)

    async def act(request: Request, line: Line) -> None:
        await (left.pop(0) if len(left) > 1 else left[0])(request, line)

    return act


def head(number: int, fields: dict[str, str]) -> bytes:
    """The head of an answer."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {number} Whatever\r\n{lines}\r\n".encode("latin-1")


def answer(number: int = 200, body: bytes = b"", kind: str = "application/json", **fields: str) -> bytes:
    """A whole answer, as bytes."""
    length = {} if number == 204 else {"content-length": str(len(body))}
    typed = {"content-type": kind} if body and kind else {}
    return head(number, {**typed, **length, **fields}) + body


async def read(reader: asyncio.StreamReader) -> Request:
    """The next request on a connection."""
    head = await reader.readuntil(b"\r\n\r\n")
    request = Request(head, b"")
    body = await reader.readexactly(int(request.fields.get("content-length", 0)))
    return Request(head, body)
