"""WebSockets: the channel rules of stdio, two subprotocols, who is let in, limits, and the end."""

import asyncio
import contextlib
import logging
import socket
from typing import Any

import msgspec
import pytest

from tests.protocol.conversations import initialize, legacy, message, modern
from tests.server.http.sockets import Closed, Refused, over_asgi, websockets
from tests.server.http.test_lane import connected, request
from tests.server.http.web import FACES, lane_face
from tybalt import Context, Server
from tybalt.errors import MisuseError, NotFound
from tybalt.reasons import CancelKind, Interrupted
from tybalt.server.http.flow import UNREAD_TIMEOUT
from tybalt.server.http.lane import lane_server
from tybalt.server.http.settings import OF_NOBODY
from tybalt.transports import connect_websocket

FACE = pytest.mark.parametrize("face", FACES)
TOKEN = "a token of many characters"
EITHER = pytest.mark.parametrize("offer", ["mcp", "mcp.msgpack"])


def call(name: str, id: Any = 1, **arguments: Any) -> bytes:
    return modern("tools/call", {"name": name, "arguments": arguments}, id=id)


def result(answer: Any) -> Any:
    assert "result" in answer, answer
    return answer["result"]["structuredContent"]


def cancel(id: Any) -> bytes:
    return message(method="notifications/cancelled", params={"requestId": id})


class Waiter:
    """A server with a tool that waits, and what became of it."""

    def __init__(self, **options: Any) -> None:
        self.server = Server("waiter", **options)
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.ended: asyncio.Queue[CancelKind] = asyncio.Queue()
        self.server.add(wait_tool(self), add)


def wait_tool(waiter: Waiter) -> Any:
    async def wait(context: Context) -> str:
        waiter.began.set()
        try:
            await waiter.go.wait()
        except asyncio.CancelledError:
            try:
                context.checkpoint()
            except Interrupted as interrupted:
                waiter.ended.put_nowait(interrupted.reason.kind)
            raise
        return "waited"

    return wait


def add(a: int, b: int) -> int:
    return a + b


class TestChannel:
    @FACE
    @EITHER
    async def test_calls_of_either_era(self, face: str, offer: str) -> None:
        async with websockets(face, Waiter().server) as connect, connect(offer) as socket:
            assert socket.subprotocol == offer
            assert result(await socket.ask(call("add", a=2, b=3))) == 5
            hello = await socket.ask(initialize())
            assert hello["result"]["protocolVersion"] == "2025-11-25"
            await socket.tell(message(method="notifications/initialized"))
            answer = await socket.ask(legacy("tools/call", {"name": "add", "arguments": {"a": 1, "b": 1}}, id="x"))
            assert (answer["id"], answer["result"]["content"][0]["text"]) == ("x", "2")

    @FACE
    async def test_json_is_spoken_where_no_subprotocol_is_named(self, face: str) -> None:
        async with websockets(face, Waiter().server) as connect, connect() as socket:
            assert socket.subprotocol is None
            assert result(await socket.ask(call("add", a=2, b=3))) == 5

    @FACE
    async def test_the_first_one_offered_that_is_known(self, face: str) -> None:
        async with websockets(face, Waiter().server) as connect:
            async with connect("graphql-ws", "mcp.msgpack", "mcp") as socket:
                assert socket.subprotocol == "mcp.msgpack"
            with pytest.raises(Refused) as refused:
                await connect("graphql-ws").__aenter__()
            assert refused.value.status == 400
            assert b"mcp.msgpack" in refused.value.body

    @FACE
    @EITHER
    async def test_a_cancel_is_a_notification(self, face: str, offer: str) -> None:
        waiter = Waiter()
        async with websockets(face, waiter.server) as connect, connect(offer) as socket:
            await socket.tell(call("wait", id="w"))
            await waiter.began.wait()
            await socket.tell(cancel("w"))
            assert await waiter.ended.get() is CancelKind.USER
            assert (await socket.ask(call("add", id="next", a=2, b=3)))["id"] == "next"

    @FACE
    async def test_requests_run_beside_one_another(self, face: str) -> None:
        waiter = Waiter()
        async with websockets(face, waiter.server) as connect, connect() as socket:
            await socket.tell(call("wait", id="w"))
            assert (await socket.ask(call("add", id="a", a=2, b=3)))["id"] == "a"
            waiter.go.set()
            assert result(await socket.message()) == "waited"

    @FACE
    async def test_state_lasts_as_long_as_the_connection(self, face: str) -> None:
        server = Server("x")

        @server.tool
        async def count(context: Context) -> int:
            kept = context.state.connection
            kept["seen"] = kept.get("seen", 0) + 1
            return kept["seen"]

        async with websockets(face, server) as connect:
            for _ in range(2):
                async with connect() as socket:
                    assert [result(await socket.ask(call("count"))) for _ in range(3)] == [1, 2, 3]

    @FACE
    @EITHER
    async def test_batches_only_where_the_revision_has_them(self, face: str, offer: str) -> None:
        batch = b"[%b,%b]" % (legacy("ping", id=1), legacy("ping", id=2))
        async with websockets(face, Waiter().server) as connect:
            async with connect(offer) as socket:
                await socket.ask(initialize("2025-03-26"))
                answers = await socket.ask(batch)
                assert [each["id"] for each in answers] == [1, 2]
            async with connect(offer) as socket:
                await socket.ask(initialize("2025-06-18"))
                assert (await socket.ask(batch))["error"]["code"] == -32600

    @FACE
    async def test_the_client_is_asked_on_it(self, face: str) -> None:
        server = Server("x")

        @server.tool
        async def where(context: Context) -> str:
            return (await context.roots())[0].name or ""

        hello = msgspec.json.decode(initialize())
        hello["params"]["capabilities"] = {"roots": {}}
        async with websockets(face, server) as connect, connect() as socket:
            await socket.ask(msgspec.json.encode(hello))
            await socket.tell(message(method="notifications/initialized"))
            question = await socket.ask(legacy("tools/call", {"name": "where", "arguments": {}}))
            assert question["method"] == "roots/list"
            roots = {"roots": [{"uri": "file:///verona", "name": "verona"}]}
            answer = await socket.ask(message(id=question["id"], result=roots))
            assert answer["result"]["content"][0]["text"] == "verona"

    @FACE
    async def test_a_list_that_changes_is_told(self, face: str) -> None:
        server = Waiter().server
        async with websockets(face, server) as connect, connect("mcp.msgpack") as socket:
            listen = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
            assert (await socket.ask(listen))["method"] == "notifications/subscriptions/acknowledged"
            server.tool(lambda: 5, name="five")
            assert (await socket.message())["method"] == "notifications/tools/list_changed"


class TestPacked:
    @FACE
    @pytest.mark.parametrize(
        ("frame", "text"),
        [
            (b"", "ends too early"),
            (b"\xc1", "no extension types"),
            (b"\x81\x01\x02", "a key is a text"),
            (b"\x81\xa1a\xc4\x01b", "no bytes"),
            (b"\xd6\xff\x00\x00\x00\x00", "no extension types"),
            (b"\x91" * 200, "128 levels"),
            (b"\x80\x80", "nothing behind it"),
        ],
    )
    async def test_what_is_none_is_answered_and_the_connection_goes_on(
        self, face: str, frame: bytes, text: str
    ) -> None:
        async with websockets(face, Waiter().server) as connect, connect("mcp.msgpack") as socket:
            await socket.send(frame)
            error = (await socket.message())["error"]
            assert text in error["message"]
            assert error["code"] == (-32600 if "levels" in text else -32700)
            assert result(await socket.ask(call("add", a=2, b=3))) == 5

    @FACE
    async def test_a_number_that_cannot_be_packed(self, face: str, caplog: pytest.LogCaptureFixture) -> None:
        server = Server("x")

        @server.tool
        async def wide(context: Context) -> int:
            await context.info(2**70)
            return 2**70

        async with websockets(face, server) as connect:
            async with connect("mcp") as socket:
                assert result(await socket.ask(call("wide"))) == 2**70
            async with connect("mcp.msgpack") as socket:
                await socket.ask(initialize())
                await socket.tell(message(method="notifications/initialized"))
                answer = await socket.ask(legacy("tools/call", {"name": "wide", "arguments": {}}, id=7))
                assert (answer["id"], answer["error"]["code"]) == (7, -32603)
                assert "64 bits" in answer["error"]["message"]
        assert "is lost" in caplog.text


class TestDoor:
    @FACE
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"origin": "https://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"host": "evil.example"}, 403),
            ({"sec_fetch_site": "cross-site"}, 403),
            ({"authorization": "Bearer wrong"}, 401),
            ({"authorization": f"Basic {TOKEN}"}, 401),
            ({}, 401),
        ],
    )
    async def test_who_is_not_let_in(self, face: str, headers: dict[str, str], status: int) -> None:
        async with websockets(face, Waiter().server, auth_token=TOKEN) as connect:
            with pytest.raises(Refused) as refused:
                await connect(**headers).__aenter__()
            assert refused.value.status == status
            assert ("www-authenticate" in refused.value.headers) == (status == 401)
            assert b"many characters" not in refused.value.body

    @FACE
    async def test_who_is(self, face: str) -> None:
        class Verifier:
            async def verify(self, token: str) -> str | None:
                return {"montague": "romeo", "capulet": "juliet"}.get(token)

        server = Server("x")

        @server.tool
        async def who(context: Context) -> str:
            return str(context.principal)

        async with websockets(face, server, verifier=Verifier(), allowed_origins=["https://verona.example"]) as connect:
            for token, name in (("montague", "romeo"), ("capulet", "juliet")):
                fields = {"authorization": f"Bearer {token}", "origin": "https://verona.example"}
                async with connect(**fields) as socket:
                    assert result(await socket.ask(call("who"))) == name

    async def test_a_server_that_can_only_close(self) -> None:
        app = Waiter().server.asgi(websocket=True)
        headers = {"host": "evil.example"}
        with pytest.raises(Closed) as refused:
            await over_asgi(app, "/mcp", (), headers, can_refuse=False).__aenter__()
        assert refused.value.code == 1008
        await app.service.drain()

    @FACE
    async def test_there_is_none_unless_it_is_asked_for(self, face: str) -> None:
        async with websockets(face, Waiter().server) as connect:
            with pytest.raises((Closed, Refused)):
                await connect(path="/other").__aenter__()
        async with lane_face(Waiter().server.asgi()) as lane, connected(lane.port) as wire:
            wire.write(upgrade())
            assert (await wire.response())[0] in (405, 406)

    @pytest.mark.loops
    async def test_a_refusal_is_no_error_of_ours(self, caplog: pytest.LogCaptureFixture) -> None:
        async with websockets("lane", Waiter().server) as connect:
            with pytest.raises(Refused):
                await connect(origin="https://evil.example").__aenter__()
        assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


class TestLimits:
    @FACE
    async def test_so_many_of_one_principal(self, face: str) -> None:
        async with websockets(face, Waiter().server, max_streams=1, auth_token=TOKEN) as connect:
            locked = {"authorization": f"Bearer {TOKEN}"}
            async with connect(**locked) as socket:
                with pytest.raises(Refused) as refused:
                    await connect(**locked).__aenter__()
                assert refused.value.status == 429
                assert result(await socket.ask(call("add", a=2, b=3))) == 5
            async with connect(**locked) as socket:
                assert result(await socket.ask(call("add", a=2, b=3))) == 5

    @FACE
    async def test_so_many_of_nobody_in_particular(self, face: str) -> None:
        async with (
            websockets(face, Waiter().server, max_streams=1) as connect,
            contextlib.AsyncExitStack() as open_ones,
        ):
            for _ in range(OF_NOBODY):
                await open_ones.enter_async_context(connect())
            with pytest.raises(Refused):
                await connect().__aenter__()

    @FACE
    @pytest.mark.parametrize("offer", ["mcp", "mcp.msgpack"])
    async def test_too_large_a_message(self, face: str, offer: str) -> None:
        async with websockets(face, Waiter().server, max_body=1_000) as connect, connect(offer) as socket:
            assert result(await socket.ask(call("add", a=2, b=3))) == 5
            large = "x" * 1_001
            await socket.send(large if offer == "mcp" else large.encode())
            with pytest.raises(Closed) as closed:
                await socket.receive()
            assert closed.value.code == 1009

    async def test_a_character_may_be_several_bytes(self) -> None:
        async with websockets("asgi", Waiter().server, max_body=1_000) as connect, connect() as socket:
            await socket.send("é" * 501)
            with pytest.raises(Closed) as closed:
                await socket.receive()
            assert closed.value.code == 1009

    @FACE
    @pytest.mark.parametrize(("offer", "frame"), [("mcp", b"{}"), ("mcp.msgpack", "{}")])
    async def test_a_frame_of_the_wrong_kind(self, face: str, offer: str, frame: str | bytes) -> None:
        waiter = Waiter()
        async with websockets(face, waiter.server) as connect, connect(offer) as socket:
            await socket.tell(call("wait"))
            await waiter.began.wait()
            await socket.send(frame)
            with pytest.raises(Closed) as closed:
                await socket.receive()
            assert closed.value.code == 1003
            assert await waiter.ended.get() is CancelKind.RESOURCE_UNAVAILABLE

    @FACE
    async def test_no_json_is_answered_and_the_connection_goes_on(self, face: str) -> None:
        async with websockets(face, Waiter().server) as connect, connect() as socket:
            await socket.send("{")
            assert (await socket.message())["error"]["code"] == -32700
            assert result(await socket.ask(call("add", a=2, b=3))) == 5

    async def test_half_a_surrogate_pair(self) -> None:
        async with websockets("asgi", Waiter().server) as connect, connect() as socket:
            await socket.send('{"\ud800"}')
            assert (await socket.message())["error"]["code"] == -32700

    async def test_nothing_more_is_read_for_a_client_that_does_not_read(self) -> None:
        server = Server("x")
        ran: list[int] = []

        @server.tool(run_in="loop")
        def much(number: int) -> str:
            ran.append(number)
            return "x" * 40_000

        async with websockets("asgi", server) as connect, connect() as socket:
            frames = socket._frames
            frames.reads.clear()
            for number in range(50):
                await socket.tell(call("much", id=number, number=number))
            for _ in range(200):
                await asyncio.sleep(0)
            assert 0 < len(ran) < 10
            frames.reads.set()
            assert [(await socket.message())["id"] for _ in range(50)] == list(range(50))

    async def test_the_same_over_a_real_socket(self) -> None:
        server = Server("x")
        ran: list[int] = []

        @server.tool(run_in="loop")
        def much(number: int) -> str:
            ran.append(number)
            return "x" * 1_000_000

        async with websockets("lane", server) as connect, connect() as socket:
            for number in range(100):
                await socket.tell(call("much", id=number, number=number))
            settled = -1
            while settled != len(ran):
                settled = len(ran)
                for _ in range(500):
                    await asyncio.sleep(0)
            assert 0 < len(ran) < 100
            assert [(await socket.message())["id"] for _ in range(100)] == list(range(100))


class TestEnd:
    @FACE
    async def test_a_client_that_goes_has_what_it_asked_stopped(self, face: str) -> None:
        waiter = Waiter()
        async with websockets(face, waiter.server) as connect:
            async with connect() as socket:
                await socket.tell(call("wait"))
                await waiter.began.wait()
            assert await waiter.ended.get() is CancelKind.RESOURCE_UNAVAILABLE
            async with connect() as socket:
                assert result(await socket.ask(call("add", a=2, b=3))) == 5

    async def test_one_that_goes_without_a_word(self) -> None:
        waiter = Waiter()
        async with websockets("lane", waiter.server) as connect, connect() as socket:
            await socket.tell(call("wait"))
            await waiter.began.wait()
            socket._frames.connection.transport.abort()
            assert await waiter.ended.get() is CancelKind.RESOURCE_UNAVAILABLE

    @FACE
    async def test_what_runs_is_answered_when_the_server_ends(self, face: str) -> None:
        waiter = Waiter(grace=20)
        async with websockets(face, waiter.server) as connect, connect() as socket:
            listen = modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
            await socket.ask(listen)
            await socket.tell(call("wait", id="w"))
            await waiter.began.wait()
            draining = asyncio.ensure_future(waiter.server.drain())
            assert (await socket.message())["id"] == "s"
            assert (await socket.message())["method"] == "notifications/cancelled"
            waiter.go.set()
            assert result(await socket.message()) == "waited"
            with pytest.raises(Closed) as closed:
                await socket.receive()
            assert closed.value.code == 1001
            await draining
            with pytest.raises(Refused) as refused:
                await connect().__aenter__()
            assert refused.value.status == 503

    @FACE
    async def test_what_does_not_finish_is_stopped_after_the_grace(self, face: str) -> None:
        waiter = Waiter(grace=0.01)
        async with websockets(face, waiter.server) as connect, connect() as socket:
            await socket.tell(call("wait", id="w"))
            await waiter.began.wait()
            await waiter.server.drain()
            assert await waiter.ended.get() is CancelKind.SHUTDOWN
            assert (await socket.message())["error"]["code"] == 503
            with pytest.raises(Closed) as closed:
                await socket.receive()
            assert closed.value.code == 1001

    async def test_a_client_that_does_not_read_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tybalt.server.http.channels.PATIENCE", 0.01)
        monkeypatch.setattr("tybalt.server.http.websocket.PATIENCE", 0.01)
        server = Waiter().server
        async with websockets("asgi", server) as connect, connect() as socket:
            socket._frames.reads.clear()
            await socket.tell(call("add", a=2, b=3))
            await server.drain()
            socket._frames.reads.set()


class TestLane:
    async def test_the_end_of_the_process_waits_for_what_runs(self) -> None:
        waiter = Waiter(grace=20)
        serving = websockets("lane", waiter.server)
        connect = await serving.__aenter__()
        async with connect() as socket:
            await socket.tell(call("wait"))
            await waiter.began.wait()
            ending = asyncio.ensure_future(serving.__aexit__(None, None, None))
            while not waiter.server._services[0]._ending:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)
            waiter.go.set()
            assert result(await socket.message()) == "waited"
            with pytest.raises(Closed) as closed:
                await socket.receive()
            assert closed.value.code == 1001
            await ending

    async def test_no_connection_changes_while_it_is_answering(self) -> None:
        waiter = Waiter()
        async with lane_face(waiter.server.asgi(websocket=True)) as lane, connected(lane.port) as wire:
            wire.write(request(call("wait"), mcp_name="wait"))
            await waiter.began.wait()
            wire.write(upgrade())
            waiter.go.set()
            status, answer = await wire.response()
            assert (status, result(answer)) == (200, "waited")
            assert (await wire.response())[0] in (405, 406)

    async def test_nor_where_there_are_too_many(self) -> None:
        app = Waiter().server.asgi(websocket=True, max_connections=1)
        async with lane_face(app) as lane, connected(lane.port) as first:
            first.write(request(call("add", a=2, b=3)))
            assert (await first.response())[0] == 200
            async with connected(lane.port) as second:
                second.write(upgrade())
                assert (await second.response())[0] == 503

    async def test_nor_before_an_answer_is_read(self) -> None:
        async with lane_face(much().asgi(websocket=True)) as lane, connected(lane.port) as wire:
            wire.write(request(call("much"), mcp_name="much") + upgrade())
            status, answer = await wire.response()
            assert (status, len(result(answer))) == (200, MUCH)
            assert (await wire.response())[0] in (405, 406)

    async def test_nor_of_a_request_that_has_a_body(self) -> None:
        async with lane_face(Waiter().server.asgi(websocket=True)) as lane, connected(lane.port) as wire:
            wire.write(upgrade().replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\n") + b"hello")
            assert (await wire.response())[0] == 400
            assert await wire.is_closed()

    async def test_what_was_closed_and_is_not_read_is_cut(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tybalt.server.http.websocket.PATIENCE", 0.01)
        serving = lane_server(much().asgi(websocket=True))
        serving.config.load()
        serving.lifespan = serving.config.lifespan_class(serving.config)
        listening = socket.create_server(("127.0.0.1", 0))
        await serving.startup([listening])
        async with connected(listening.getsockname()[1]) as wire:
            wire.write(upgrade())
            assert b" 101 " in await wire.reader.readuntil(b"\r\n\r\n")
            (held,) = serving.server_state.connections
            wire.write(frame(call("much"), TEXT) + frame(b"", BINARY))
            while not held.transport.is_closing():  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            now = asyncio.get_running_loop().time()
            serving._sweep(now)
            serving._sweep(now + UNREAD_TIMEOUT)
            while serving.server_state.connections:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
        await serving.shutdown([listening])

    async def test_a_client_that_does_not_answer_the_close_is_not_waited_for_long(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tybalt.server.http.lane.PATIENCE", 0.01)
        server = Waiter(grace=20).server
        async with lane_face(server.asgi(websocket=True)) as lane, connected(lane.port) as wire:
            wire.write(upgrade())
            assert b" 101 " in await wire.reader.readuntil(b"\r\n\r\n")
            ending = asyncio.ensure_future(server.drain())
            assert await wire.reader.readexactly(4) == b"\x88\x02\x03\xe9"
            assert await wire.is_closed()
            await ending

    async def test_pings_are_answered(self) -> None:
        async with websockets("lane", Waiter().server) as connect, connect() as socket:
            await (await socket._frames.connection.ping())

    def test_what_is_missing_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "websockets", None)
        with pytest.raises(MisuseError, match=r"pip install 'tybalt\[websocket\]'"):
            lane_server(Server("x").asgi(websocket=True))
        with pytest.raises(MisuseError, match=r"pip install 'tybalt\[websocket\]'"):
            Server("x").run("http", port=0, websocket=True)
        lane_server(Server("x").asgi())


MUCH = 5_000_000
TEXT, BINARY = 0x81, 0x82


def much() -> Server:
    """A server with a tool whose answer no buffer of a system takes."""
    server = Server("much")

    @server.tool(run_in="loop")
    def much() -> str:
        return "x" * MUCH

    return server


def frame(payload: bytes, kind: int) -> bytes:
    """A frame of a client, as it goes over the wire; masked with nothing."""
    return bytes([kind, 0x80 | 126]) + len(payload).to_bytes(2, "big") + bytes(4) + payload


def upgrade() -> bytes:
    """A request for a WebSocket, as it goes over the wire."""
    return (
        b"GET /mcp HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )


async def test_at_another_path_there_is_nothing() -> None:
    async with lane_face(Server("elsewhere").asgi(websocket=True)) as face:
        with pytest.raises(NotFound, match="HTTP 404: there is nothing at this path"):
            await connect_websocket(f"ws://127.0.0.1:{face.port}/wrong")
