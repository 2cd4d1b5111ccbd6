"""A client of WebSockets for tests, on both faces: the lane over a real socket, the application as ASGI calls it.

async with websockets("lane", server) as connect:
    async with connect() as socket:
        answer = await socket.ask(modern("tools/list"))
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.server.http.web import served
from tybalt.server.server import Server


class Refused(Exception):
    """No WebSocket: `status` is that of the response."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.headers = headers
        self.body = body


class Closed(Exception):
    """The server has closed it, with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Socket:
    """One connection. `frames` sends and receives; the rest is the same on both faces."""

    def __init__(self, frames: Any) -> None:
        self._frames = frames
        self.subprotocol: str | None = frames.subprotocol

    async def send(self, frame: str | bytes) -> None:
        """Send a frame."""
        await self._frames.send(frame)

    async def receive(self) -> str | bytes:
        """The next frame. Raises `Closed`."""
        return await self._frames.receive()

    async def tell(self, message: bytes) -> None:
        """Send a message, which is JSON, as the subprotocol has it."""
        packed = self.subprotocol == "mcp.msgpack"
        await self.send(msgspec.msgpack.encode(msgspec.json.decode(message)) if packed else message.decode())

    async def message(self) -> Any:
        """The next message, decoded."""
        frame = await self.receive()
        assert isinstance(frame, bytes) == (self.subprotocol == "mcp.msgpack")
        return msgspec.msgpack.decode(frame) if isinstance(frame, bytes) else msgspec.json.decode(frame)

    async def ask(self, message: bytes) -> Any:
        """Send one, and wait for the next that comes."""
        await self.tell(message)
        return await self.message()


Connect = Callable[..., AbstractAsyncContextManager[Socket]]


@contextlib.asynccontextmanager
async def websockets(face: str, server: Server, **options: Any) -> AsyncGenerator[Connect]:
    """Serve WebSockets, by this face: a function that opens one. Its keywords are header fields, but `offers`."""
    app = server.asgi(websocket=True, **options)
    async with served(face, app) as client:

        @contextlib.asynccontextmanager
        async def connect(
            *offers: str, path: str = "/mcp", host: str = "localhost", **headers: str
        ) -> AsyncGenerator[Socket]:
            fields = {"host": host} | {name.replace("_", "-"): value for name, value in headers.items()}
            opened = (
                over_lane(client._face.port, path, offers, fields)
                if face == "lane"
                else over_asgi(app, path, offers, fields)
            )
            async with opened as frames:
                yield Socket(frames)

        yield connect


# -- ASGI -------------------------------------------------------------------------------------------------------------


class AsgiFrames:
    """What a server of ASGI does for one WebSocket. While `reads` is not set, its client reads nothing."""

    def __init__(self) -> None:
        self.subprotocol: str | None = None
        self.reads = asyncio.Event()
        self.reads.set()
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def put(self, event: dict[str, Any]) -> None:
        """For the application: send."""
        await self.reads.wait()
        self.sent.put_nowait(event)

    async def send(self, frame: str | bytes) -> None:
        """Send a frame to the application."""
        kind = "text" if isinstance(frame, str) else "bytes"
        self.asked.put_nowait({"type": "websocket.receive", kind: frame})

    async def receive(self) -> str | bytes:
        """The next frame of the application."""
        event = await self.sent.get()
        assert event is not None, "the application has ended and said nothing"
        if event["type"] == "websocket.close":
            raise Closed(event["code"])
        assert event["type"] == "websocket.send"
        return event["text"] if event.get("bytes") is None else event["bytes"]


@contextlib.asynccontextmanager
async def over_asgi(
    app: Any, path: str, offers: tuple[str, ...], headers: dict[str, str], *, can_refuse: bool = True
) -> AsyncGenerator[AsgiFrames]:
    """A WebSocket to an application. `can_refuse`: the server sends responses of HTTP too."""
    frames = AsgiFrames()
    scope = {
        "type": "websocket",
        "path": path,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "subprotocols": list(offers),
        "extensions": {"websocket.http.response": {}} if can_refuse else None,
    }
    frames.asked.put_nowait({"type": "websocket.connect"})
    task = asyncio.ensure_future(app(scope, frames.asked.get, frames.put))
    task.add_done_callback(lambda _: frames.sent.put_nowait(None))
    try:
        start = await frames.sent.get()
        assert start is not None, task.exception()
        if start["type"] == "websocket.http.response.start":
            body = await frames.sent.get()
            assert body is not None
            shown = {name.decode(): value.decode() for name, value in start["headers"]}
            raise Refused(start["status"], shown, body["body"])
        if start["type"] == "websocket.close":
            raise Closed(start["code"])
        assert start["type"] == "websocket.accept"
        frames.subprotocol = start["subprotocol"]
        yield frames
    finally:
        frames.asked.put_nowait({"type": "websocket.disconnect", "code": 1005})
        await task


# -- the lane ---------------------------------------------------------------------------------------------------------


class LaneFrames:
    """A real client."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.subprotocol: str | None = connection.subprotocol

    async def send(self, frame: str | bytes) -> None:
        """Send a frame."""
        await self.connection.send(frame)

    async def receive(self) -> str | bytes:
        """The next frame."""
        try:
            return await self.connection.recv()
        except ConnectionClosed as error:
            raise Closed(1006 if error.rcvd is None else error.rcvd.code) from None


@contextlib.asynccontextmanager
async def over_lane(
    port: int, path: str, offers: tuple[str, ...], headers: dict[str, str]
) -> AsyncGenerator[LaneFrames]:
    """A WebSocket over a real socket."""
    host = headers.pop("host")
    opening = connect(
        f"ws://{host}{path}",
        host="127.0.0.1",
        port=port,
        subprotocols=list(offers) or None,
        additional_headers=headers,
        user_agent_header=None,
        proxy=None,
        max_size=None,
    )
    try:
        connection = await opening
    except InvalidStatus as error:
        response = error.response
        shown = {name.lower(): value for name, value in response.headers.raw_items()}
        raise Refused(response.status_code, shown, response.body or b"") from None
    async with connection:
        yield LaneFrames(connection)
