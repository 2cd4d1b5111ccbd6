"""Messages over Unix and TCP sockets, with the framing of stdio.

A custom transport in the words of the specification, with the framing it recommends for byte streams (2026-07-28
basic/transports, "Custom Transports"). Nothing is encrypted or authenticated: a Unix socket is guarded by its file's
permissions, a TCP socket by being reachable from this machine only, unless told otherwise. The drivers of `server` and
`client` are above, `stream` is the transport itself, `listening` opens the sockets.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Unpack, cast

from tybalt.errors import TransportError
from tybalt.transports.listening import UnixSocketFile, bind_tcp, require_unix_sockets
from tybalt.transports.stream import StreamOptions, StreamTransport

Handler = Callable[[StreamTransport], Awaitable[object]]
Address = str | tuple[str, int]
MAX_CONNECTIONS = 1000


async def connect_unix(path: "str | os.PathLike[str]", **options: Unpack[StreamOptions]) -> StreamTransport:
    """Connect to the server that listens on the Unix socket `path`.

    `options` are those of `StreamTransport`. Raises `TransportError` when nobody listens there.
    """
    where = os.fspath(path)
    require_unix_sockets()
    try:
        _, transport = await asyncio.get_running_loop().create_unix_connection(
            lambda: StreamTransport(**options), where
        )
    except OSError as error:
        raise TransportError(f"cannot connect to the Unix socket {where!r}: {error.strerror or error}") from error
    return transport


async def connect_tcp(host: str, port: int, **options: Unpack[StreamOptions]) -> StreamTransport:
    """Connect to the server that listens at `host` and `port`.

    `options` are those of `StreamTransport`. Raises `TransportError` when it cannot be reached.
    """
    try:
        link, transport = await asyncio.get_running_loop().create_connection(
            lambda: StreamTransport(**options), host, port
        )
    except (OSError, UnicodeError) as error:
        raise TransportError(f"cannot connect to {host} port {port}: {error}") from error
    _send_at_once(link)
    return transport


async def serve_unix(
    handler: Handler,
    path: "str | os.PathLike[str]",
    *,
    max_connections: int = MAX_CONNECTIONS,
    **options: Unpack[StreamOptions],
) -> "SocketServer":
    """Listen on the Unix socket `path`, and call `handler(transport)` in a task of its own for every connection.

    The socket is its owner's alone (mode 0600) and is removed when the server closes. One that a dead server left
    behind is replaced; whatever else is at `path` raises `TransportError`. `options` are those of `StreamTransport`.
    """
    file = UnixSocketFile(os.fspath(path))
    server = SocketServer(handler, max_connections=max_connections, on_close=file.remove)
    loop = asyncio.get_running_loop()
    listener = await loop.create_unix_server(lambda: _Connection(server, options), sock=file.socket)
    server.listen(listener, file.path)
    return server


async def serve_tcp(
    handler: Handler,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    allow_remote: bool = False,
    max_connections: int = MAX_CONNECTIONS,
    **options: Unpack[StreamOptions],
) -> "SocketServer":
    """Listen at `host` and `port`, and call `handler(transport)` in a task of its own for every connection.

    Port 0 picks a free one; `addresses` of the server tells. A `host` that other machines can reach raises
    `MisuseError` unless `allow_remote` is true. A connection that begins like an HTTP request is closed: a web page can
    make a browser post to a port of its own machine, and one line of such a post could be a message. `options` are
    those of `StreamTransport`.
    """
    loop = asyncio.get_running_loop()
    server = SocketServer(handler, max_connections=max_connections)
    for bound in await bind_tcp(loop, host, port, allow_remote=allow_remote):
        listener = await loop.create_server(lambda: _TcpConnection(server, options), sock=bound)
        server.listen(listener, (bound.getsockname()[0], bound.getsockname()[1]))
    return server


class SocketServer:
    """A listening server: every connection gets a transport and a task that runs `handler(transport)`.

    When the handler returns or raises, its connection is closed; what it raises goes to the loop's exception handler
    and concerns nobody else. Connections beyond `max_connections` are closed as they come, and counted in `refused`.
    """

    def __init__(
        self, handler: Handler, *, max_connections: int = MAX_CONNECTIONS, on_close: Callable[[], None] | None = None
    ) -> None:
        self.addresses: list[Address] = []
        self.refused = 0
        self._handler = handler
        self._max_connections = max_connections
        self._on_close = on_close
        self._listeners: list[asyncio.Server] = []
        self._connections: dict[StreamTransport, asyncio.Task[None]] = {}
        self._closed = False

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    async def aclose(self, *, grace: float = 2.0) -> None:
        """Stop listening, let every handler see the end of its stream, and cancel those that run on after `grace` s."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        on_close, self._on_close = self._on_close, None
        if on_close is not None:
            on_close()
        self._closed = True
        tasks = list(self._connections.values())
        for transport in self._connections:
            transport.end_input()
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=grace)
        finally:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> "SocketServer":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()

    def listen(self, listener: asyncio.Server, address: Address) -> None:
        """Take over a listener, and close it with the rest; `serve_unix` and `serve_tcp` call this."""
        self._listeners.append(listener)
        self.addresses.append(address)

    def admit(self, transport: StreamTransport) -> bool:
        """For a new connection: serve it, unless there are too many."""
        if self._closed or len(self._connections) >= self._max_connections:
            self.refused += 1
            return False
        self._connections[transport] = asyncio.get_running_loop().create_task(self._serve(transport))
        return True

    async def _serve(self, transport: StreamTransport) -> None:
        try:
            await self._handler(transport)
        except Exception as error:  # noqa: BLE001 - one connection's failure must not reach the others
            asyncio.get_running_loop().call_exception_handler(
                {"message": "the handler of a connection failed; the connection is closed", "exception": error}
            )
        finally:
            try:
                await transport.aclose()
            finally:
                del self._connections[transport]


class _Connection(StreamTransport):
    def __init__(self, server: SocketServer, options: StreamOptions) -> None:
        super().__init__(**options)
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if not self._server.admit(self):
            cast(asyncio.Transport, transport).abort()


class _TcpConnection(_Connection):
    _begun = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        _send_at_once(transport)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            if data.startswith(_HTTP_METHODS) and self._link is not None:
                self.end_input()
                self._link.abort()
        super().data_received(data)


# JSON never begins with a capital letter.
_HTTP_METHODS = (
    b"GET ",
    b"HEAD ",
    b"POST ",
    b"PUT ",
    b"DELETE ",
    b"OPTIONS ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
    b"PRI ",
)


def _send_at_once(link: asyncio.BaseTransport) -> None:
    # Answers are small and awaited: holding them back to fill a packet would cost up to 40 ms each.
    connection = link.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
