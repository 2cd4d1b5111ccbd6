"""Connected pairs of every transport that has both ends in one process, for the tests of the contract."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tybalt.transports.descriptors import open_duplex
from tybalt.transports.memory import memory_pair
from tybalt.transports.sockets import SocketServer, connect_tcp, connect_unix, serve_tcp, serve_unix
from tybalt.transports.stream import StreamOptions, StreamTransport
from tybalt.transports.transport import Transport

Pair = tuple[Transport, Transport]
Make = Callable[[], Awaitable[Pair]]

IMPATIENT = StreamOptions(linger=0.2)


def pipe_pair(*, watch: bool = True, **options: float) -> tuple[StreamTransport, StreamTransport]:
    """Two ends joined by two pipes, as stdio has them."""
    loop = asyncio.get_running_loop()
    there, back = os.pipe(), os.pipe()
    one, other = (StreamTransport(**{**IMPATIENT, **options}) for _ in range(2))  # pyright: ignore[reportArgumentType]
    open_duplex(loop, one, read_from=back[0], write_to=there[1], watch=watch)
    open_duplex(loop, other, read_from=there[0], write_to=back[1], watch=watch)
    return one, other


class Accepted:
    """A server that hands out each transport it accepts, and leaves it alone until it is told to stop."""

    def __init__(self) -> None:
        self._transports: asyncio.Queue[StreamTransport] = asyncio.Queue()
        self._done = asyncio.Event()

    async def handle(self, transport: StreamTransport) -> None:
        """The handler to serve with."""
        self._transports.put_nowait(transport)
        await self._done.wait()

    async def next(self) -> StreamTransport:
        """The server's end of the next connection."""
        return await self._transports.get()

    async def stop(self, server: SocketServer) -> None:
        """End the handlers and the server."""
        self._done.set()
        await server.aclose()


@asynccontextmanager
async def memory(_folder: Path, capacity: int = 64) -> AsyncGenerator[Make]:
    """Both ends in memory."""

    async def make() -> Pair:
        return memory_pair(capacity)

    yield make


@asynccontextmanager
async def narrow_memory(folder: Path) -> AsyncGenerator[Make]:
    """Room for one message."""
    async with memory(folder, capacity=1) as make:
        yield make


@asynccontextmanager
async def pipes(_folder: Path, *, watch: bool = True) -> AsyncGenerator[Make]:
    """Two pipes, watched by the loop."""

    async def make() -> Pair:
        return pipe_pair(watch=watch)

    yield make


@asynccontextmanager
async def threads(folder: Path) -> AsyncGenerator[Make]:
    """Two pipes, served by threads."""
    async with pipes(folder, watch=False) as make:
        yield make


@asynccontextmanager
async def unix(folder: Path) -> AsyncGenerator[Make]:
    """A Unix socket."""
    accepted = Accepted()
    server = await serve_unix(accepted.handle, folder / "socket", **IMPATIENT)

    async def make() -> Pair:
        return await connect_unix(folder / "socket", **IMPATIENT), await accepted.next()

    yield make
    await accepted.stop(server)


@asynccontextmanager
async def tcp(_folder: Path) -> AsyncGenerator[Make]:
    """A TCP socket."""
    accepted = Accepted()
    server = await serve_tcp(accepted.handle, **IMPATIENT)
    host, port = server.addresses[0]

    async def make() -> Pair:
        return await connect_tcp(str(host), int(port), **IMPATIENT), await accepted.next()

    yield make
    await accepted.stop(server)


PAIRS: dict[str, Callable[[Path], AbstractAsyncContextManager[Make]]] = {
    "memory": memory,
    "memory of one": narrow_memory,
    "pipes": pipes,
    "pipes in threads": threads,
    "unix": unix,
    "tcp": tcp,
}
