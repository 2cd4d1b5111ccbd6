"""The lane over real sockets: what uvicorn leaves to its HTTP class, and what hostile clients do to it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from tests.protocol.conversations import modern
from tests.server.http.web import lane_face, modern_headers, read_head, read_piece, request_bytes
from tybalt import Server
from tybalt.server.http.lane import Lane, LaneServer, lane_server
from tybalt.server.http.lane_connection import MAX_PIPELINED
from tybalt.server.http.reading import MAX_FIELDS, MAX_HEAD

CALL = modern("tools/call", {"name": "add", "arguments": {"a": 2, "b": 3}})
HEADERS = {
    "host": "localhost",
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    **modern_headers("tools/call", "add"),
}
UPGRADE = b"GET /ready HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
"""A request to become what there is not."""


def server_with_tools(**options: Any) -> Server:
    server = Server("x", **options)

    @server.tool(run_in="loop")
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def wait(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "waited"

    return server


def request(body: bytes = CALL, *, path: str = "/mcp", length: bool = True, **headers: str) -> bytes:
    fields = HEADERS | ({"content-length": str(len(body))} if length else {})
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return request_bytes("POST", path, [(name.encode(), value.encode()) for name, value in fields.items()], body)


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self) -> tuple[int, Any]:
        """The status and the body of the next response, decoded."""
        status, headers = await read_head(self.reader)
        self.headers = dict(headers)
        left, body = dict(headers), b""
        if status == 100:
            return status, None
        while piece := await read_piece(self.reader, left):
            body += piece
        return status, msgspec.json.decode(body) if body.startswith(b"{") else body

    async def is_closed(self) -> bool:
        """Whether the server has ended it; waits until it does."""
        return await self.reader.read(1) == b""


@contextlib.asynccontextmanager
async def wire(server: Server | None = None, **options: Any) -> AsyncGenerator[Wire]:
    async with lane_face((server or server_with_tools()).asgi(**options)) as face, connected(face.port) as opened:
        yield opened


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncGenerator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def lanes(server: Server) -> list[Lane]:
    """The open connections of the one service of a server."""
    app = server._services[0]
    return [each for each in _connections(app) if isinstance(each, Lane)]


def _connections(service: Any) -> list[Any]:
    import gc

    return [each for each in gc.get_objects() if isinstance(each, Lane) and each.face.service is service]


def result(body: Any) -> Any:
    return body["result"]["structuredContent"]


@pytest.mark.loops
async def test_one_connection_many_requests() -> None:
    async with wire() as client:
        for _ in range(5):
            client.write(request())
            status, body = await client.response()
            assert (status, result(body)) == (200, 5)
            assert "date" in client.headers
            assert "server" not in client.headers


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 399])
async def test_bytes_in_any_split(size: int) -> None:
    data = request() + request()
    async with wire() as client:
        for start in range(0, len(data), size):
            client.write(data[start : start + size])
            await client.writer.drain()
            await asyncio.sleep(0)
        assert [result((await client.response())[1]) for _ in range(2)] == [5, 5]


async def test_pipelined_requests_are_answered_in_order() -> None:
    slow = modern("tools/call", {"name": "wait", "arguments": {"seconds": 0.05}}, id="slow")
    async with wire() as client:
        client.write(request())
        await client.response()
        client.write(request(slow, mcp_name="wait") + request() + request(slow, mcp_name="wait") + request())
        found = [await client.response() for _ in range(4)]
        assert [status for status, _ in found] == [200] * 4
        assert [result(body) for _, body in found] == ["waited", 5, "waited", 5]
        client.write(request())
        assert result((await client.response())[1]) == 5


async def test_a_body_in_chunks() -> None:
    async with wire() as client:
        client.write(request(b"", length=False, transfer_encoding="chunked"))
        for piece in (CALL[:10], CALL[10:]):
            client.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await client.writer.drain()
        client.write(b"0\r\n\r\n")
        assert result((await client.response())[1]) == 5
        client.write(request())
        assert result((await client.response())[1]) == 5


async def test_it_is_asked_whether_to_send_the_body() -> None:
    async with wire() as client:
        client.write(request(expect="100-continue").removesuffix(CALL))
        assert (await client.response())[0] == 100
        client.write(CALL)
        assert result((await client.response())[1]) == 5
        client.write(request(expect="100-continue", origin="https://evil.example").removesuffix(CALL))
        assert (await client.response())[0] == 403
        assert client.headers["connection"] == "close"


async def test_http_1_0_ends_with_the_response() -> None:
    async with wire() as client:
        client.write(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert result((await client.response())[1]) == 5
        assert await client.is_closed()


async def test_a_client_that_wants_no_more() -> None:
    async with wire() as client:
        client.write(request(connection="close"))
        assert result((await client.response())[1]) == 5
        assert client.headers["connection"] == "close"
        assert await client.is_closed()


async def test_the_target_may_name_the_host_which_counts() -> None:
    async with wire() as client:
        client.write(request(path="http://localhost:80/mcp"))
        assert result((await client.response())[1]) == 5
        client.write(request(path="http://evil.example/mcp"))
        assert (await client.response())[0] == 403


async def test_everything_else_goes_to_the_application() -> None:
    async def hello(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
        await send({"type": "http.response.body", "body": b"hello"})

    async with wire(routes={"/hello": hello, "/below/": hello}) as client:
        for path in ("/hello", "/below/there"):
            client.write(b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % path.encode())
            assert await client.response() == (200, b"hello")
        client.write(b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n" + request())
        assert (await client.response())[1] == {"status": "ok"}
        assert result((await client.response())[1]) == 5


class TestLimits:
    @pytest.mark.parametrize("length", [True, False])
    async def test_of_the_body(self, length: bool) -> None:
        async with wire(max_body=1_000) as client:
            if length:
                client.write(request(b"x" * 1_001))
            else:
                client.write(request(b"", length=False, transfer_encoding="chunked") + b"3e9\r\n" + b"x" * 1_001)
            assert (await client.response())[0] == 413
            client.write(b"\r\n0\r\n\r\n")
            assert client.headers["connection"] == "close"

    async def test_of_the_head(self) -> None:
        for head in (
            request(x_long="a" * MAX_HEAD),
            request(**{f"x-{number}": "a" for number in range(MAX_FIELDS)}),
            request(path="/" + "a" * MAX_HEAD),
        ):
            async with wire() as client:
                client.write(head)
                assert (await client.response())[0] == 431
                assert await client.is_closed()

    async def test_of_connections(self) -> None:
        server = server_with_tools()
        async with lane_face(server.asgi(max_connections=1)) as face, connected(face.port) as first:
            first.write(request())
            assert (await first.response())[0] == 200
            async with connected(face.port) as second:
                second.write(request())
                assert (await second.response())[0] == 503

    @pytest.mark.parametrize("begun", [b"", b"POST /mcp HTTP/1.1\r\nhost: loc", request()[:-5]])
    async def test_of_time(self, begun: bytes) -> None:
        server = server_with_tools()
        async with lane_face(server.asgi(header_timeout=10, body_timeout=30)) as face, connected(face.port) as client:
            client.write(begun)
            await client.writer.drain()
            now = asyncio.get_running_loop().time()
            while not (found := lanes(server)) or (begun and not found[0].reading.is_begun):  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            limit = 30 if begun.endswith(CALL[-10:-5]) else 10
            found[0].sweep(now + limit - 1)
            assert not found[0].transport.is_closing()
            found[0].sweep(now + limit + 1)
            if begun:
                assert (await client.response())[0] == 408
            assert await client.is_closed()

    async def test_of_idleness(self) -> None:
        server = server_with_tools()
        async with lane_face(server.asgi(idle_timeout=60)) as face, connected(face.port) as client:
            client.write(request())
            await client.response()
            (lane,) = lanes(server)
            now = asyncio.get_running_loop().time()
            lane.sweep(now + 59)
            client.write(request())
            assert (await client.response())[0] == 200
            lane.sweep(now + 70)
            assert await client.is_closed()

    async def test_what_runs_has_no_limit_of_idleness(self) -> None:
        server = server_with_tools()
        slow = modern("tools/call", {"name": "wait", "arguments": {"seconds": 0.1}})
        async with lane_face(server.asgi()) as face, connected(face.port) as client:
            client.write(request(slow, mcp_name="wait"))
            while not server.turns.running:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            for lane in lanes(server):
                lane.sweep(asyncio.get_running_loop().time() + 1_000_000)
            assert result((await client.response())[1]) == "waited"


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"POST /mcp HTTP/9.9\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        b"POST /mcp HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nhost: a\r\ncontent-length: -5\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nho st: a\r\n\r\n",
    ],
)
async def test_what_is_no_request(garbage: bytes) -> None:
    async with wire() as client:
        client.write(garbage)
        assert (await client.response())[0] == 400
        assert await client.is_closed()


class TestHostile:
    async def test_a_known_head_on_a_new_connection_has_the_time_that_others_have(self) -> None:
        server = server_with_tools()
        slow = modern("tools/call", {"name": "wait", "arguments": {"seconds": 0.05}})
        async with lane_face(server.asgi(header_timeout=1)) as face:
            for _ in range(2):
                async with connected(face.port) as client:
                    client.write(request(slow, mcp_name="wait"))
                    while not server.turns.running:  # noqa: ASYNC110 (nobody tells)
                        await asyncio.sleep(0.001)
                    for lane in lanes(server):
                        lane.sweep(asyncio.get_running_loop().time() + 1_000)
                    assert result((await client.response())[1]) == "waited"

    @pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", UPGRADE])
    async def test_nobody_fills_the_log(self, sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
        async with wire() as client:
            client.write(sent)
            assert (await client.response())[0] in (200, 400)
            assert await client.is_closed()
        assert not caplog.records

    async def test_an_upgrade_that_there_is_not_hides_no_request(self) -> None:
        hidden = request()
        async with wire() as client:
            client.write(request(hidden, connection="upgrade", upgrade="h2c").removesuffix(hidden))
            assert (await client.response())[0] == 400
            client.write(hidden)
            assert await client.is_closed()

    async def test_without_a_body_it_is_answered_and_that_is_all(self) -> None:
        async with wire() as client:
            client.write(UPGRADE)
            assert (await client.response())[0] == 200
            assert await client.is_closed()

    @pytest.mark.parametrize("pieces", [1, 2])
    async def test_what_comes_behind_a_body_says_nothing_about_the_sender(self, pieces: int) -> None:
        token = "a token of many characters"
        trailer = b"0\r\nauthorization: Bearer %b\r\n\r\n" % token.encode()
        data = request(b"", length=False, transfer_encoding="chunked") + b"%x\r\n%b\r\n" % (len(CALL), CALL) + trailer
        async with wire(auth_token=token) as client:
            cut = len(data) // pieces
            for at in range(0, len(data), cut):
                client.write(data[at : at + cut])
                await client.writer.drain()
                await asyncio.sleep(0.01)
            assert (await client.response())[0] == 401

    async def test_who_does_not_read_is_not_read_either(self) -> None:
        server = Server("x")

        @server.tool(run_in="loop")
        def large() -> str:
            return "x" * 100_000

        body = modern("tools/call", {"name": "large", "arguments": {}})
        async with lane_face(server.asgi()) as face, connected(face.port) as client:
            client.write(request(body, mcp_name="large"))
            await client.response()
            client.write(request(body, mcp_name="large") * 500)
            (lane,) = lanes(server)
            while not lane.flow.write_paused:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            for _ in range(50):
                await asyncio.sleep(0)
            assert lane.transport.get_write_buffer_size() < 1_000_000
            for _ in range(3):
                assert (await client.response())[0] == 200

    async def test_a_field_without_an_end(self) -> None:
        async with wire() as client:
            client.write(request().partition(b"\r\n\r\n")[0] + b"\r\nx-endless: ")
            with contextlib.suppress(ConnectionError):
                for _ in range(200):
                    client.write(b"a" * 10_000)
                    await client.writer.drain()
            with contextlib.suppress(ConnectionError):
                await client.reader.read()
            assert client.writer.transport.is_closing() or await client.is_closed()

    async def test_so_many_requests_may_wait_for_the_one_before(self) -> None:
        slow = modern("tools/call", {"name": "wait", "arguments": {"seconds": 0.05}})
        async with wire() as client:
            client.write(request(slow, mcp_name="wait") + request() * 30)
            found = [(await client.response())[0] for _ in range(MAX_PIPELINED + 2)]
            assert found == [200] * (MAX_PIPELINED + 1) + [503]
            assert await client.is_closed()

    async def test_garbage_behind_a_request_does_not_stand_before_its_answer(self) -> None:
        slow = modern("tools/call", {"name": "wait", "arguments": {"seconds": 0.05}})
        async with wire() as client:
            client.write(request(slow, mcp_name="wait") + b"\x00\x01\r\n\r\n")
            assert result((await client.response())[1]) == "waited"
            assert (await client.response())[0] == 400
            assert await client.is_closed()

    @pytest.mark.parametrize("behind", [b"", b"P", b"GET /ready HTTP/1.1\r\nhost: localhost\r\n\r\n"])
    async def test_a_disconnect_is_heard_whatever_came_behind(self, behind: bytes) -> None:
        server, ended = Server("x"), asyncio.Event()

        @server.tool
        async def endless() -> str:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            return ""

        body = modern("tools/call", {"name": "endless", "arguments": {}})
        async with lane_face(server.asgi()) as face, connected(face.port) as client:
            client.write(request(body, mcp_name="endless"))
            while not server.turns.running:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            client.write(behind)
            await client.writer.drain()
            await asyncio.sleep(0.01)
            client.writer.close()
            await ended.wait()


class TestDoor:
    TOKEN = "a token of many characters"

    async def test_the_lane_knows_it(self) -> None:
        async with wire(auth_token=self.TOKEN) as client:
            for _ in range(3):
                client.write(request(authorization=f"Bearer {self.TOKEN}"))
                assert result((await client.response())[1]) == 5
            for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {self.TOKEN}"}):
                client.write(request(**wrong))
                assert (await client.response())[0] == 401
                assert client.headers["www-authenticate"].startswith("Bearer")

    async def test_before_the_body_is_read(self) -> None:
        async with wire(auth_token=self.TOKEN) as client:
            client.write(request()[:-5])
            assert (await client.response())[0] == 401


class TestTheEnd:
    async def test_what_runs_is_answered_and_the_connection_ends(self) -> None:
        server = server_with_tools()
        slow = modern("tools/call", {"name": "wait", "arguments": {"seconds": 0.1}})
        face = contextlib.AsyncExitStack()
        served = await face.enter_async_context(lane_face(server.asgi()))
        async with connected(served.port) as busy, connected(served.port) as idle:
            idle.write(request())
            await idle.response()
            busy.write(request(slow, mcp_name="wait"))
            while not server.turns.running:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            ending = asyncio.ensure_future(face.aclose())
            status, body = await busy.response()
            assert (status, result(body)) == (200, "waited")
            assert await busy.is_closed()
            assert await idle.is_closed()
            await ending
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.1", served.port)

    async def test_a_request_that_is_half_here_is_answered(self) -> None:
        server = server_with_tools()
        face = contextlib.AsyncExitStack()
        served = await face.enter_async_context(lane_face(server.asgi()))
        async with connected(served.port) as client:
            client.write(request()[:-5])
            while not lanes(server) or not lanes(server)[0].reading.is_begun:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            serving = _servers()
            for each in serving:
                for connection in tuple(each.server_state.connections):
                    connection.shutdown()
            client.write(CALL[-5:])
            status, _ = await client.response()
            assert status == 200
            assert client.headers["connection"] == "close"
        await face.aclose()


def _servers() -> list[LaneServer]:
    import gc

    return [each for each in gc.get_objects() if isinstance(each, LaneServer)]


class TestBesideOthers:
    async def test_where_an_application_stands_around_ours_nothing_passes_it_by(self) -> None:
        """Whoever wraps the application may be who checks tokens: the lane must not answer past it."""
        app = server_with_tools().asgi()

        async def guard(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan":
                await app(scope, receive, send)
                return
            await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

        serving = lane_server(app)
        serving.config.app = guard  # type: ignore[assignment]
        serving.config.load()
        serving.lifespan = serving.config.lifespan_class(serving.config)
        listening = socket.create_server(("127.0.0.1", 0))
        await serving.startup([listening])
        try:
            async with connected(listening.getsockname()[1]) as client:
                client.write(request())
                assert (await client.response())[0] == 401
        finally:
            await serving.shutdown([listening])

    async def test_a_verifier_that_waits(self) -> None:
        class Verifier:
            async def verify(self, token: str) -> str | None:
                await asyncio.sleep(0)
                return "romeo" if token == "montague" else None

        async with wire(verifier=Verifier()) as client:
            client.write(request(authorization="Bearer montague"))
            assert result((await client.response())[1]) == 5
            client.write(request(authorization="Bearer capulet"))
            assert (await client.response())[0] == 401
