"""HTTP with SSE, the transport of 2024-11-05: the stream, what is sent to it, who may, and the end. Raw sockets."""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.protocol.conversations import initialize, legacy, message, modern
from tests.server.http.test_websocket import Waiter, cancel
from tests.server.http.web import FACES, AsgiFace, Client, Response, Stream, lane_face
from tybalt import Context, Server
from tybalt.errors import MisuseError
from tybalt.protocol.prescan import MAX_BODY_VALUES
from tybalt.reasons import CancelKind
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.channels import Channel
from tybalt.server.http.settings import OF_NOBODY, http_settings

FACE = pytest.mark.parametrize("face", FACES)
TOKEN = "a token of many characters"
LOCKED = {"authorization": f"Bearer {TOKEN}"}


def call(name: str, id: Any = 1, **arguments: Any) -> bytes:
    return legacy("tools/call", {"name": name, "arguments": arguments}, id=id)


def text(answer: Any) -> str:
    return answer["result"]["content"][0]["text"]


class Session:
    """A stream, and where to send to. `headers` go with everything that is sent."""

    def __init__(self, client: "SseClient", stream: Stream, address: str, headers: dict[str, str]) -> None:
        self.address = address
        self.stream = stream
        self._client = client
        self._headers = headers

    async def post(self, body: bytes, **headers: str | None) -> Response:
        """Send a message."""
        return await self._client.send("POST", body, self.address, **(self._headers | headers))

    async def tell(self, body: bytes) -> None:
        """Send a message that is taken."""
        response = await self.post(body)
        assert (response.status, response.body) == (202, b"")

    async def ask(self, body: bytes) -> Any:
        """Send a message, and wait for the next one."""
        await self.tell(body)
        return await self.message()

    async def message(self) -> Any:
        """The next message; `None` at the end."""
        event = await self.stream.event()
        if event is None:
            return None
        assert event.name == "message"
        return msgspec.json.decode(event.data)

    async def begin(self, revision: str = "2024-11-05") -> None:
        """The handshake."""
        assert (await self.ask(initialize(revision)))["result"]["protocolVersion"] == revision
        await self.tell(message(method="notifications/initialized"))


class SseClient(Client):
    """A client of that transport."""

    @contextlib.asynccontextmanager
    async def session(self, path: str = "/sse", **headers: str) -> AsyncGenerator[Session]:
        """Open a stream, for as long as the block lasts."""
        fields = self.headers("GET", b"", {"accept": "text/event-stream", **headers})
        async with self._face.stream("GET", path, fields, b"") as stream:
            assert stream.status == 200, stream.status
            assert stream.headers["content-type"] == "text/event-stream"
            first = await stream.event()
            assert first.name == "endpoint"
            yield Session(self, stream, first.data.decode(), headers)


@contextlib.asynccontextmanager
async def sse(face: str, server: Server, **options: Any) -> AsyncGenerator[SseClient]:
    """Serve it, by this face."""
    app = server.asgi(sse_path="/sse", **options)
    if face == "lane":
        async with lane_face(app) as lane:
            yield SseClient(lane)
    else:
        try:
            yield SseClient(AsgiFace(with_query(app)))
        finally:
            await app.service.drain()


def with_query(app: Any) -> Any:
    """An application whose addresses come with their query, as those of a scope do not."""

    async def cut(scope: Any, receive: Any, send: Any) -> None:
        path, _, query = scope["path"].partition("?")
        await app({**scope, "path": path, "query_string": query.encode()}, receive, send)

    return cut


async def status(client: SseClient, method: str, path: str, body: bytes = b"", **headers: Any) -> int:
    return (await client.send(method, body, path, **headers)).status


class TestChannel:
    @FACE
    @pytest.mark.parametrize("revision", ["2024-11-05", "2025-06-18"])
    async def test_answers_come_on_the_stream(self, face: str, revision: str) -> None:
        async with sse(face, Waiter().server) as client, client.session() as session:
            assert re.fullmatch(r"/messages\?session=[\w-]{22}", session.address)
            await session.begin(revision)
            answer = await session.ask(call("add", id="x", a=2, b=3))
            assert (answer["id"], text(answer)) == ("x", "5")

    @pytest.mark.loops
    async def test_on_either_loop(self) -> None:
        async with sse("lane", Waiter().server) as client, client.session() as session:
            await session.begin()
            assert text(await session.ask(call("add", a=2, b=3))) == "5"

    @FACE
    async def test_it_says_what_it_is_on_the_wire(self, face: str) -> None:
        async with sse(face, Waiter().server) as client:
            fields = client.headers("GET", b"", {"accept": "text/event-stream"})
            async with client._face.stream("GET", "/sse", fields, b"") as stream:
                first = await stream._read()
                assert first.startswith(b"event: endpoint\ndata: /messages?session=")
                address = first.split(b"data: ")[1].strip().decode()
                await client.send("POST", legacy("ping"), address)
                assert await stream._read() == b'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n'
                assert stream.headers["cache-control"] == "no-store, no-transform"

    @FACE
    async def test_cancels_state_and_questions_as_on_stdio(self, face: str) -> None:
        waiter = Waiter()

        @waiter.server.tool
        async def count(context: Context) -> int:
            kept = context.state.connection
            kept["seen"] = kept.get("seen", 0) + 1
            return kept["seen"]

        @waiter.server.tool
        async def where(context: Context) -> str:
            return (await context.roots())[0].name or ""

        hello = msgspec.json.decode(initialize("2024-11-05"))
        hello["params"]["capabilities"] = {"roots": {}}
        async with sse(face, waiter.server) as client, client.session() as session:
            await session.ask(msgspec.json.encode(hello))
            await session.tell(message(method="notifications/initialized"))
            await session.tell(call("wait", id="w"))
            await waiter.began.wait()
            await session.tell(cancel("w"))
            assert await waiter.ended.get() is CancelKind.USER
            assert [text(await session.ask(call("count"))) for _ in range(3)] == ["1", "2", "3"]
            question = await session.ask(call("where"))
            roots = {"roots": [{"uri": "file:///verona", "name": "verona"}]}
            assert text(await session.ask(message(id=question["id"], result=roots))) == "verona"

    @FACE
    async def test_what_is_wrong_is_told_on_the_stream(self, face: str) -> None:
        async with sse(face, Waiter().server) as client, client.session() as session:
            assert (await session.ask(b"{"))["error"]["code"] == -32700
            assert (await session.ask(modern("server/discover")))["error"]["code"] == -32600
            await session.begin()
            assert (await session.ask(legacy("nothing")))["error"]["code"] == -32601

    @FACE
    async def test_a_silent_stream_says_that_it_is_there(self, face: str) -> None:
        async with sse(face, Waiter().server, keep_alive=0.01) as client, client.session() as session:
            while not session.stream.comments:
                piece = await session.stream._read()
                session.stream.comments += piece.count(b":\n\n")
            assert (await session.post(legacy("ping"))).status == 202
            assert (await session.message())["result"] == {}


class TestMounted:
    @pytest.mark.parametrize(("mount", "shown"), [("/api", "/api"), ("/{name}", "/a%0D%0Ab")])
    async def test_the_address_has_the_prefix(self, mount: str, shown: str) -> None:
        server = Waiter().server
        host = Starlette(routes=[Mount(mount, app=server.asgi(sse_path="/old/sse"))])
        client = SseClient(AsgiFace(with_query(host)))
        asked = "/api" if mount == "/api" else "/a\r\nb"  # As a host decodes it.
        async with client.session(f"{asked}/old/sse") as session:
            assert session.address.startswith(f"{shown}/old/messages?session=")
            if mount == "/api":
                await session.begin()
        await server.drain()


class TestDoor:
    @FACE
    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"origin": "https://evil.example", **LOCKED}, 403),
            ({"host": "evil.example", **LOCKED}, 403),
            ({"sec_fetch_site": "cross-site", **LOCKED}, 403),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": None}, 401),
        ],
    )
    async def test_both_paths_are_guarded(self, face: str, headers: dict[str, Any], expected: int) -> None:
        async with sse(face, Waiter().server, auth_token=TOKEN) as client, client.session(**LOCKED) as session:
            assert await status(client, "GET", "/sse", **headers) == expected
            assert (await session.post(legacy("ping"), **headers)).status == expected
            assert (await session.ask(legacy("ping")))["result"] == {}

    @FACE
    async def test_a_session_is_its_principals(self, face: str) -> None:
        class Verifier:
            async def verify(self, token: str) -> str | None:
                return {"montague": "romeo", "capulet": "juliet"}.get(token)

        server = Server("x")

        @server.tool
        async def who(context: Context) -> str:
            return str(context.principal)

        async with (
            sse(face, server, verifier=Verifier()) as client,
            client.session(authorization="Bearer montague") as session,
        ):
            await session.begin()
            stolen = await session.post(call("who"), authorization="Bearer capulet")
            assert stolen.status == 404
            assert text(await session.ask(call("who"))) == "romeo"

    @FACE
    async def test_what_is_no_session(self, face: str) -> None:
        async with sse(face, Waiter().server) as client:
            async with client.session() as session:
                gone = session.address
                for address in ("/messages", "/messages?session=", "/messages?other=x", gone[:-1], f"{gone}x"):
                    assert await status(client, "POST", address, legacy("ping")) == 404
                assert await status(client, "POST", f"{gone}&more=x", legacy("ping")) == 202
            while await status(client, "POST", gone, legacy("ping")) != 404:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)

    @FACE
    async def test_methods(self, face: str) -> None:
        async with sse(face, Waiter().server) as client:
            for method, path, allow in (
                ("POST", "/sse", "GET"),
                ("DELETE", "/sse", "GET"),
                ("GET", "/messages", "POST"),
            ):
                refused = await client.send(method, b"{}" if method == "POST" else b"", path)
                assert (refused.status, refused.headers["allow"]) == (405, allow)

    @FACE
    async def test_pages_of_other_origins(self, face: str) -> None:
        page = "https://app.example.com"
        async with sse(face, Waiter().server, cors_origins=[page]) as client, client.session(origin=page) as session:
            assert session.stream.headers["access-control-allow-origin"] == page
            asked = await client.send("OPTIONS", path="/messages", origin=page, access_control_request_method="POST")
            assert (asked.status, asked.headers["access-control-allow-origin"]) == (204, page)
            taken = await session.post(legacy("ping"))
            assert taken.headers["access-control-allow-origin"] == page
            refused = await client.send("POST", legacy("ping"), "/messages", origin=page)
            assert (refused.status, refused.headers["access-control-allow-origin"]) == (404, page)

    @FACE
    async def test_there_is_none_unless_it_is_asked_for(self, face: str) -> None:
        async with (lane_face if face == "lane" else plain_face)(Server("x").asgi()) as served:
            client = SseClient(served)
            assert await status(client, "GET", "/sse") == 404
            assert await status(client, "POST", "/messages", legacy("ping")) == 404


@contextlib.asynccontextmanager
async def plain_face(app: AsgiApp) -> AsyncGenerator[AsgiFace]:
    yield AsgiFace(app)
    await app.service.drain()


def opened_channels(server: Server) -> list[Channel]:
    endpoint = server._services[0].endpoint
    assert endpoint is not None
    return [*endpoint.channels._open]


class TestLimits:
    @FACE
    async def test_bodies(self, face: str) -> None:
        async with sse(face, Waiter().server, max_body=1_000) as client, client.session() as session:
            assert (await session.post(b"x" * 1_001)).status == 413
            assert (await session.post(legacy("ping"), content_type="text/plain")).status == 415
            assert (await session.post(legacy("ping"), content_encoding="gzip")).status == 415
            assert (await session.ask(legacy("ping")))["result"] == {}

    @FACE
    async def test_so_many_of_one_principal(self, face: str) -> None:
        server = Waiter().server
        async with sse(face, server, max_streams=1, auth_token=TOKEN) as client:
            async with client.session(**LOCKED):
                refused = await client.send("GET", path="/sse", **LOCKED)
                assert refused.status == 429
            for channel in opened_channels(server):
                await channel.over.wait()
            async with client.session(**LOCKED) as session:
                assert (await session.ask(legacy("ping")))["result"] == {}

    @FACE
    async def test_so_many_of_nobody_in_particular(self, face: str) -> None:
        async with (
            sse(face, Waiter().server, max_streams=1) as client,
            contextlib.AsyncExitStack() as open_ones,
        ):
            for _ in range(OF_NOBODY):
                await open_ones.enter_async_context(client.session())
            assert await status(client, "GET", "/sse") == 429

    async def test_nothing_more_is_taken_for_a_client_that_does_not_read(self) -> None:
        server = Server("x")

        @server.tool(run_in="loop")
        def much() -> str:
            return "x" * 1_000_000

        async with sse("lane", server) as client, client.session() as session:
            await session.begin()
            taken = 0
            while (response := await session.post(call("much", id=taken))).status == 202:
                taken += 1
                assert taken < 100
            assert (response.status, response.headers["retry-after"]) == (503, "1")
            assert [(await session.message())["id"] for _ in range(taken)] == list(range(taken))
            assert text(await session.ask(call("much"))) == "x" * 1_000_000

    @FACE
    async def test_so_many_values_in_a_body(self, face: str) -> None:
        body = call("add", a=2, b=3)[:-1] + b',"more":[%b0]}' % (b"0," * MAX_BODY_VALUES)
        async with sse(face, Waiter().server) as client, client.session() as session:
            await session.begin()
            answer = await session.ask(body)
            assert answer["error"]["code"] == -32600
            assert "names and values" in answer["error"]["message"]


class TestEnd:
    @FACE
    async def test_a_client_that_goes_has_what_it_asked_stopped(self, face: str) -> None:
        waiter = Waiter()
        async with sse(face, waiter.server) as client:
            async with client.session() as session:
                await session.begin()
                await session.tell(call("wait"))
                await waiter.began.wait()
            assert await waiter.ended.get() is CancelKind.RESOURCE_UNAVAILABLE

    @FACE
    async def test_what_runs_is_answered_when_the_server_ends(self, face: str) -> None:
        waiter = Waiter(grace=20)
        async with sse(face, waiter.server) as client, client.session() as session:
            await session.begin()
            await session.tell(call("wait"))
            await waiter.began.wait()
            draining = asyncio.ensure_future(waiter.server.drain())
            waiter.go.set()
            assert text(await session.message()) == "waited"
            assert await session.message() is None
            await draining
            assert await status(client, "GET", "/sse") == 503

    @FACE
    async def test_what_does_not_finish_is_stopped_after_the_grace(self, face: str) -> None:
        waiter = Waiter(grace=0.01)
        async with sse(face, waiter.server) as client, client.session() as session:
            await session.begin()
            await session.tell(call("wait"))
            await waiter.began.wait()
            await waiter.server.drain()
            assert await waiter.ended.get() is CancelKind.SHUTDOWN
            assert (await session.message())["error"]["code"] == 503
            assert await session.message() is None

    @pytest.mark.parametrize("taken", [0, 1, 2])
    async def test_a_client_that_does_not_read_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch, taken: int
    ) -> None:
        """Wherever its response stands still: at its head, at its first event, or at its end."""
        monkeypatch.setattr("tybalt.server.http.channels.PATIENCE", 0.01)
        app = Waiter(grace=0.01).server.asgi(sse_path="/sse")
        sent: list[Any] = []
        is_open, nothing = asyncio.Event(), asyncio.Event()

        async def send(message: Any) -> None:
            sent.append(message)
            if len(sent) == min(taken + 1, 2):
                is_open.set()
            if len(sent) > taken:
                await nothing.wait()

        scope = {"type": "http", "method": "GET", "path": "/sse", "headers": [(b"host", b"localhost")]}
        serving = asyncio.ensure_future(app(scope, nothing.wait, send))
        await is_open.wait()
        await asyncio.wait_for(app.service.drain(), 60)
        await serving
        assert len(sent) == taken + 1


class TestSettings:
    def test_one_process_alone(self) -> None:
        with pytest.raises(MisuseError, match="needs workers=1"):
            Server("x").run("http", port=0, workers=2, sse_path="/sse")
        with pytest.raises(MisuseError, match="needs workers=1"):
            AsgiApp(Server("x"), http_settings({"sse_path": "/sse"}), is_shared=True)

    def test_legacy_clients_alone(self) -> None:
        with pytest.raises(MisuseError, match="serves none"):
            Server("x", eras="modern").asgi(sse_path="/sse")

    @pytest.mark.parametrize(
        "options",
        [
            {"sse_path": "/mcp"},
            {"sse_path": "/mcp/"},
            {"sse_path": "/health"},
            {"sse_path": "/messages"},
            {"sse_path": "/sse", "path": "/messages"},
            {"sse_path": "/sse", "path": "/messages/"},
            {"sse_path": "/sse", "readiness": "/messages"},
        ],
    )
    def test_its_paths_are_its_own(self, options: dict[str, Any]) -> None:
        with pytest.raises(MisuseError, match="is taken"):
            Server("x").asgi(**options)

    @pytest.mark.parametrize(
        ("options", "message"), [({"sse_path": "sse"}, "begins with '/'"), ({"websocket": "yes"}, "is True or False")]
    )
    def test_what_cannot_be(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(MisuseError, match=message):
            Server("x").asgi(**options)
