"""A client of HTTP for tests, on both faces: the lane over a real socket, the application called as ASGI calls it.

async with web("lane", server) as client:
    response = await client.post(modern("tools/list"), **modern_headers("tools/list"))
    async with client.stream(…) as stream:
        await stream.event()
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

from tests.protocol.conversations import initialize, message
from tybalt.protocol.sse import Event, EventReader
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.lane import lane_server
from tybalt.server.server import Server

FACES = ("asgi", "lane")

NEWEST = "2026-07-28"
LEGACY = "2025-11-25"


def modern_headers(method: str, name: str | None = None, revision: str = NEWEST) -> dict[str, str]:
    """The header fields of a modern request, as keyword arguments of `post` or `stream`."""
    headers = {"mcp-protocol-version": revision, "mcp-method": method}
    return headers if name is None else {**headers, "mcp-name": name}


class Response:
    """What came back: a whole response."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        self.headers = dict(headers)
        self.names = [name for name, _ in headers]
        self.body = body

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return msgspec.json.decode(self.body)

    @property
    def events(self) -> list[Event]:
        """The body as events."""
        return [each for each in EventReader().feed(self.body) if isinstance(each, Event)]

    @property
    def messages(self) -> list[Any]:
        """The messages in it, however it travels."""
        if self.headers.get("content-type") == "text/event-stream":
            return [msgspec.json.decode(each.data) for each in self.events if each.data]
        return [self.json]


class Stream:
    """A response that is read event by event."""

    def __init__(self, status: int, headers: list[tuple[str, str]], read: Callable[[], Any]) -> None:
        self.status = status
        self.headers = dict(headers)
        self._read = read
        self._reader = EventReader()
        self._events: list[Event] = []
        self.comments = 0

    async def event(self) -> Event | None:
        """The next event; `None` at the end."""
        while not self._events:
            piece = await self._read()
            if not piece:
                return None
            self.comments += piece.count(b":\n\n")
            self._events += [each for each in self._reader.feed(piece) if isinstance(each, Event)]
        return self._events.pop(0)

    async def message(self) -> Any:
        """The message of the next event that has one; `None` at the end."""
        while (event := await self.event()) is not None:
            if event.data:
                return msgspec.json.decode(event.data)
        return None

    async def rest(self) -> list[Any]:
        """All messages up to the end."""
        found: list[Any] = []
        while (each := await self.message()) is not None:
            found.append(each)
        return found


class Client:
    """Asks one server. `send` and `stream` are the face's; the rest is the same on both."""

    def __init__(self, face: Any) -> None:
        self._face = face
        self.host = "127.0.0.1"

    async def send(self, method: str, body: bytes = b"", path: str = "/mcp", **headers: str | None) -> Response:
        """One request and its whole response. `None` leaves out a header that is sent otherwise."""
        return await self._face.send(method, path, self.headers(method, body, headers), body)

    async def post(self, body: bytes, **headers: str | None) -> Response:
        """POST to the endpoint."""
        return await self.send("POST", body, **headers)

    @contextlib.asynccontextmanager
    async def stream(self, method: str, body: bytes = b"", **headers: str | None) -> AsyncGenerator[Stream]:
        """One request whose response is read as it comes; the connection ends with the block."""
        async with self._face.stream(method, "/mcp", self.headers(method, body, headers), body) as stream:
            yield stream

    async def begin(self, revision: str = LEGACY, **headers: str | None) -> dict[str, str]:
        """Begin a legacy session: the headers that its requests bring."""
        response = await self.post(initialize(revision), **headers)
        assert response.status == 200, response.body
        session = {"mcp-session-id": response.headers["mcp-session-id"], "mcp-protocol-version": revision}
        told = await self.post(message(method="notifications/initialized"), **session, **headers)
        assert told.status == 202
        return session

    def headers(self, method: str, body: bytes, given: dict[str, str | None]) -> list[tuple[bytes, bytes]]:
        """What a well-behaved client sends, and what the test says."""
        headers: dict[str, str | None] = {"host": self.host, "accept": "application/json, text/event-stream"}
        if method == "POST":
            headers |= {"content-type": "application/json", "content-length": str(len(body))}
        headers |= {name.replace("_", "-"): value for name, value in given.items()}
        return [(name.encode(), value.encode()) for name, value in headers.items() if value is not None]


@contextlib.asynccontextmanager
async def web(face: str, server: Server, **options: Any) -> AsyncGenerator[Client]:
    """Serve over HTTP, by this face."""
    async with served(face, server.asgi(**options)) as client:
        yield client


@contextlib.asynccontextmanager
async def served(face: str, app: AsgiApp) -> AsyncGenerator[Client]:
    """Serve an application, by this face."""
    async with (lane_face if face == "lane" else asgi_face)(app) as opened:
        yield Client(opened)


# -- ASGI -------------------------------------------------------------------------------------------------------------


class Face:
    """One way to ask; `stream` is the face's own."""

    async def send(self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> Response:
        """One request and its whole response."""
        async with self.stream(method, path, headers, body) as stream:
            pieces: list[bytes] = []
            while piece := await stream._read():
                pieces.append(piece)
            return Response(stream.status, list(stream.headers.items()), b"".join(pieces))

    def stream(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> contextlib.AbstractAsyncContextManager[Stream]:
        """One request, and its response as it comes."""
        raise NotImplementedError


class AsgiFace(Face):
    """Calls an application as an ASGI server does."""

    def __init__(self, app: Any, root_path: str = "") -> None:
        self._app = app
        self._root_path = root_path

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> AsyncGenerator[Stream]:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": self._root_path + path,
            "root_path": self._root_path,
            "query_string": b"",
            "headers": headers,
        }
        sent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        asked = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()

        async def receive() -> Any:
            if asked:
                return asked.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        task = asyncio.ensure_future(self._app(scope, receive, sent.put))
        task.add_done_callback(lambda _: sent.put_nowait(None))
        start = await sent.get()
        if start is None:
            task.result()
            raise AssertionError("the application sent nothing")
        over = False

        async def read() -> bytes:
            nonlocal over
            while not over:
                found = await sent.get()
                if found is None or not found.get("more_body"):
                    over = True
                if found is not None and found.get("body"):
                    return found["body"]
            return b""

        shown = [(name.decode(), value.decode()) for name, value in start["headers"]]
        try:
            yield Stream(start["status"], shown, read)
        finally:
            gone.set()
            await task


@contextlib.asynccontextmanager
async def asgi_face(app: AsgiApp) -> AsyncGenerator[AsgiFace]:
    """The application alone, whose host does not pass the lifespan on."""
    try:
        yield AsgiFace(app)
    finally:
        await app.service.drain()


# -- the lane ---------------------------------------------------------------------------------------------------------


class LaneFace(Face):
    """Speaks HTTP over real sockets, a connection for each request."""

    def __init__(self, port: int) -> None:
        self.port = port

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> AsyncGenerator[Stream]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request_bytes(method, path, headers, body))
            status, shown = await read_head(reader)
            left = {"content-length": "0"} if status == 204 else dict(shown)
            yield Stream(status, shown, lambda: read_piece(reader, left))
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def request_bytes(method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """A request as it goes over the wire."""
    lines = b"".join(b"%b: %b\r\n" % field for field in headers)
    return b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method.encode(), path.encode(), lines, body)


async def read_head(reader: asyncio.StreamReader) -> tuple[int, list[tuple[str, str]]]:
    """The status and the header fields of a response."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = [line.split(": ", 1) for line in head[1:] if line]
    return int(head[0].split()[1]), [(name.lower(), value) for name, value in fields]


async def read_piece(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The next piece of a body, empty at its end."""
    if headers.get("transfer-encoding") == "chunked":
        size = int(await reader.readuntil(b"\r\n"), 16)
        return (await reader.readexactly(size + 2))[:-2] if size else b""
    if "content-length" in headers:
        length = int(headers["content-length"])
        headers["content-length"] = "0"
        return await reader.readexactly(length)
    return await reader.read(65_536)


@contextlib.asynccontextmanager
async def lane_face(app: AsgiApp) -> AsyncGenerator[LaneFace]:
    """The lane on a free port of this machine, in this loop."""
    listening = socket.create_server(("127.0.0.1", 0))
    serving = lane_server(app)
    serving.config.load()
    serving.lifespan = serving.config.lifespan_class(serving.config)
    await serving.startup([listening])
    await serving.on_tick(0)
    try:
        yield LaneFace(listening.getsockname()[1])
    finally:
        await serving.shutdown([listening])
