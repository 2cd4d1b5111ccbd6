"""A server of HTTP by hand, for what no library says: whole answers, half of one, and none at all."""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

from msgspec import Struct

Writer = asyncio.StreamWriter


class Heard(Struct):
    """A request as it came: its first line, its header fields by name in lower case, its body."""

    line: str
    headers: dict[str, str]
    body: bytes = b""


class Site:
    """Where a server listens, and what it has heard. `ended` is set once a connection has come to its end."""

    def __init__(self, scheme: str) -> None:
        self.scheme = scheme
        self.port = 0
        self.heard: list[Heard] = []
        self.connections = 0
        self.ended = asyncio.Event()

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def url(self, path: str = "/mcp") -> str:
        return self.origin + path


Say = Callable[[Heard, Writer], Awaitable[None]]


def answer(
    status: int = 200, body: bytes = b"{}", headers: Iterable[str] = ("Content-Type: application/json",)
) -> bytes:
    """A whole answer of HTTP."""
    head = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


@asynccontextmanager
async def site(say: "bytes | Say", tls: ssl.SSLContext | None = None, *, greeting: bytes = b"") -> AsyncGenerator[Site]:
    """Serve on a free port: the same bytes to everybody, or what `say` writes; `greeting` before anything is heard."""
    here = Site("https" if tls else "http")
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: Writer) -> None:
        here.connections += 1
        writer.write(greeting)
        try:
            while (heard := await _heard(reader)) is not None:
                here.heard.append(heard)
                if isinstance(say, bytes):
                    writer.write(say)
                else:
                    await say(heard, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            here.ended.set()

    def connected(reader: asyncio.StreamReader, writer: Writer) -> None:
        task = asyncio.get_running_loop().create_task(serve(reader, writer))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(lambda _: writer.close())  # Even where it has not taken its first step.

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await server.wait_closed()


async def _heard(reader: asyncio.StreamReader) -> Heard | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    except asyncio.IncompleteReadError:
        return None
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Heard(head[0], headers, body)
