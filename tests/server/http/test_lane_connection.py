"""What one connection of the lane owes, and when it ends: bodies that break off, slow clients, what is pipelined."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from tests.protocol.conversations import initialize, legacy, modern
from tests.server.http.test_lane import CALL, HEADERS, Wire, connected, lanes, request, result, server_with_tools, wire
from tests.server.http.web import lane_face, read_head, request_bytes
from tybalt import Server
from tybalt.server.http.flow import UNREAD_TIMEOUT
from tybalt.server.http.lane import Lane
from tybalt.server.http.lane_connection import MAX_WAITING
from tybalt.server.http.orderly_connection import MAX_TOLD
from tybalt.server.http.reading import MAX_CODING, MAX_HEAD, PATIENCE
from tybalt.server.http.slices import SLICE

NOW = asyncio.get_running_loop
SLOW = modern("tools/call", {"name": "wait", "arguments": {"seconds": 0.05}})
CHUNKED = request(b"", length=False, transfer_encoding="chunked")
LATER = 1_000_000.0


class Gate:
    """A server with a tool that waits until it is opened, or cancelled."""

    def __init__(self, **options: Any) -> None:
        self.server = server_with_tools(**options)
        self.began, self.opened, self.cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

        @self.server.tool
        async def gate() -> str:
            self.began.set()
            try:
                await self.opened.wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
            return "open"

    @staticmethod
    def request(padding: int = 0) -> bytes:
        body = modern("tools/call", {"name": "gate", "arguments": {}})
        return request(body[:-1] + b" " * padding + body[-1:], mcp_name="gate")


class Uploads:
    """A route that reads a whole body, `early` only after it has begun to answer."""

    def __init__(self, *, early: bool = False) -> None:
        self.early = early
        self.began, self.gone = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.early:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        self.began.set()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            if not message["more_body"]:
                break
        if not self.early:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@contextlib.asynccontextmanager
async def lane(server: Server | None = None, **options: Any) -> AsyncGenerator[tuple[Wire, Lane]]:
    """One connection, from both ends."""
    server = server or server_with_tools()
    async with lane_face(server.asgi(**options)) as face, connected(face.port) as client:
        while not (found := lanes(server)):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)
        yield client, found[0]


def upload(path: str, *fields: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: localhost", *fields, "", ""]).encode()


def legacy_request(body: bytes, **headers: str) -> bytes:
    fields = {name: HEADERS[name] for name in ("host", "accept", "content-type")} | {"content-length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return request_bytes("POST", "/mcp", [(name.encode(), value.encode()) for name, value in fields.items()], body)


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0.001)


class TestABodyThatCannotBeRead:
    @pytest.mark.loops
    @pytest.mark.parametrize("pieces", [(b"zz\r\n",), (b"", b"5\r\nabcde\r\n", b"zz\r\n")])
    async def test_is_answered(self, pieces: tuple[bytes, ...]) -> None:
        async with wire() as client:
            client.write(CHUNKED + pieces[0])
            for piece in pieces[1:]:
                await turns(3)
                client.write(piece)
            assert (await client.response())[0] == 400
            assert client.headers["connection"] == "close"
            assert await client.is_closed()

    async def test_and_then_the_connection_has_a_moment(self) -> None:
        async with lane() as (client, held):
            client.write(CHUNKED + b"zz\r\n")
            await client.response()
            assert await client.is_closed()
            client.write(b"more of it")
            await turns()
            now = NOW().time()
            held.sweep(now + PATIENCE / 2)
            assert not held.transport.is_closing()
            held.sweep(now + PATIENCE)
            assert held.transport.is_closing()

    async def test_at_the_end_nobody_waits_for_it(self) -> None:
        async with lane() as (client, held):
            client.write(CHUNKED + b"zz\r\n")
            await client.response()
            held.close_idle()
            assert held.transport.is_closing()

    async def test_of_an_application_is_answered_and_that_hears_of_it(self) -> None:
        uploads = Uploads()
        async with wire(routes={"/up": uploads}) as client:
            client.write(upload("/up", "transfer-encoding: chunked") + b"5\r\nabcde\r\n")
            await uploads.began.wait()
            client.write(b"zz\r\n")
            assert (await client.response())[0] == 400
            assert await client.is_closed()
            await uploads.gone.wait()

    async def test_ends_a_response_that_has_begun(self) -> None:
        uploads = Uploads(early=True)
        async with wire(routes={"/up": uploads}) as client:
            client.write(upload("/up", "transfer-encoding: chunked") + b"5\r\nabcde\r\n")
            await read_head(client.reader)
            client.write(b"zz\r\n")
            assert b"HTTP/1.1" not in await client.reader.read()
            await uploads.gone.wait()

    async def test_behind_another_is_answered_after_it(self) -> None:
        async with wire() as client:
            client.write(request(SLOW, mcp_name="wait") + CHUNKED + b"zz\r\n")
            assert result((await client.response())[1]) == "waited"
            assert (await client.response())[0] == 400
            assert await client.is_closed()

    async def test_what_fails_here_is_no_fault_of_the_client(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: Any) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("tybalt.server.http.cycle.LaneCycle.run", fail)
        async with wire() as client:
            client.write(request())
            assert (await client.response())[0] == 500
            assert await client.is_closed()
        assert "ZeroDivisionError" in caplog.text

    async def test_and_does_not_hold_up_an_end_that_has_begun(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tybalt.server.http.lane.LINGER", 0.01)
        monkeypatch.setattr("tybalt.server.http.lane.SWEEP", 0.01)
        monkeypatch.setattr("tybalt.server.http.reading.PATIENCE", 0.01)
        gate = Gate(grace=20)
        face = contextlib.AsyncExitStack()
        served = await face.enter_async_context(lane_face(gate.server.asgi()))
        async with connected(served.port) as client:
            client.write(gate.request() + CHUNKED + b"zz\r\n")
            await gate.began.wait()
            ending = asyncio.ensure_future(face.aclose())
            while not lanes(gate.server)[0]._is_ending:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            gate.opened.set()
            assert result((await client.response())[1]) == "open"
            await ending


class TestABodyThatNobodyReads:
    @pytest.mark.loops
    @pytest.mark.parametrize(
        "head",
        [
            upload("/nothing", "content-length: 1000"),
            upload("/nothing", "transfer-encoding: chunked"),
            upload("/mcp", "content-length: 1000").replace(b"POST", b"GET"),
        ],
    )
    async def test_is_not_waited_for(self, head: bytes) -> None:
        async with lane() as (client, held):
            client.write(head)
            assert (await client.response())[0] in (404, 406)
            assert client.headers["connection"] == "close"
            assert await client.is_closed()
            held.sweep(NOW().time() + PATIENCE)
            assert held.transport.is_closing()

    async def test_at_the_end_neither(self) -> None:
        async with lane() as (client, held):
            client.write(upload("/nothing", "content-length: 1000"))
            await client.response()
            held.close_idle()
            assert held.transport.is_closing()

    async def test_gets_one_response_whatever_comes_of_it(self) -> None:
        async with wire() as client:
            client.write(upload("/nothing", "transfer-encoding: chunked"))
            assert (await client.response())[0] == 404
            client.write(b"zz\r\n")
            assert await client.reader.read() == b""

    async def test_hides_no_request(self) -> None:
        async with wire() as client:
            client.write(upload("/nothing", "content-length: 10"))
            assert (await client.response())[0] == 404
            client.write(b"x" * 10 + request())
            assert await client.reader.read() == b""

    async def test_that_an_application_waits_for_has_its_time(self) -> None:
        uploads = Uploads()
        async with lane(routes={"/up": uploads}, body_timeout=30) as (client, held):
            client.write(upload("/up", "content-length: 10"))
            await uploads.began.wait()
            held.sweep(NOW().time() + 29)
            held.sweep(NOW().time() + 31)
            assert (await client.response())[0] == 408
            await uploads.gone.wait()

    async def test_an_application_that_is_slow_to_read_takes_no_time_of_its_client(self) -> None:
        go, done = asyncio.Event(), asyncio.Event()

        async def late(scope: Any, receive: Any, send: Any) -> None:
            await go.wait()
            while (await receive())["more_body"]:
                pass
            await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
            done.set()

        size = 3 * MAX_WAITING
        async with lane(routes={"/late": late}, body_timeout=30) as (client, held):
            client.write(upload("/late", f"content-length: {size}") + b"x" * (size - 1))
            while not held.flow.is_client_waiting:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            held.sweep(NOW().time() + 31)
            assert held.reading.is_begun
            go.set()
            client.write(b"x")
            await done.wait()


class TestWhoDoesNotRead:
    @staticmethod
    def large() -> tuple[Server, bytes]:
        server = Server("x")

        @server.tool(run_in="loop")
        def large() -> str:
            return "x" * 10_000_000

        return server, request(modern("tools/call", {"name": "large", "arguments": {}}), mcp_name="large")

    @pytest.mark.loops
    async def test_is_cut_though_an_answer_is_owed(self) -> None:
        server, data = self.large()
        async with lane(server, idle_timeout=60) as (client, held):
            client.write(data * 2)
            while not held.flow.write_paused:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            await turns()
            assert held._is_busy
            now = NOW().time()
            held.sweep(now)
            held.sweep(now + 59)
            assert not held.transport.is_closing()
            held.sweep(now + 61)
            assert held.transport.is_closing()

    async def test_is_not_while_something_is_read(self) -> None:
        server, data = self.large()
        async with lane(server, idle_timeout=60) as (client, held):
            client.write(data * 2)
            while not held.flow.write_paused:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            now = NOW().time()
            held.sweep(now)
            await client.reader.readexactly(5_000_000)
            held.sweep(now + 59)
            held.sweep(now + 61)
            assert not held.transport.is_closing()
            await client.reader.readexactly(5_000_000)

    async def test_a_stream_of_an_application_ends(self) -> None:
        ended = asyncio.Event()

        async def endless(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1_000):
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
            ended.set()

        async with lane(routes={"/endless": endless}) as (client, held):
            client.write(b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n")
            while not held.flow.write_paused:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            held.sweep(NOW().time())
            held.sweep(NOW().time() + LATER)
            await ended.wait()

    async def test_what_was_closed_is_cut_sooner(self) -> None:
        server, data = self.large()
        async with lane(server) as (client, held):
            client.write(data.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            while not held.transport.is_closing():  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            now = NOW().time()
            held.sweep(now)
            held.sweep(now + UNREAD_TIMEOUT)
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await client.reader.readexactly(11_000_000)


class TestPipelines:
    async def test_a_large_body_is_not_counted_with_what_comes_behind(self) -> None:
        gate = Gate()
        async with lane(gate.server) as (client, _):
            data, behind = gate.request(padding=2 * MAX_HEAD), request()
            for at in range(0, len(data), 20_000):
                client.write(data[at : at + 20_000])
                await turns(2)
            await gate.began.wait()
            for piece in (behind[:100], behind[100:]):
                client.write(piece)
                await turns()
            gate.opened.set()
            assert result((await client.response())[1]) == "open"
            assert result((await client.response())[1]) == 5

    async def test_nor_are_many_requests_with_each_other(self) -> None:
        one = request()
        count = 2 * MAX_HEAD // len(one)
        data = one * count
        async with lane() as (client, held):
            for at in range(count):
                held.data_received(data[at * len(one) - 100 if at else 0 : (at + 1) * len(one) - 100])
            held.data_received(data[-100:])
            assert [(await client.response())[0] for _ in range(count)] == [200] * count

    async def test_a_head_has_its_time_though_something_runs(self) -> None:
        gate = Gate()
        async with lane(gate.server, header_timeout=10) as (client, held):
            client.write(gate.request() + b"POST /mcp HTTP/1.1\r\nhost: loc")
            await gate.began.wait()
            held.sweep(NOW().time() + 11)
            gate.opened.set()
            assert result((await client.response())[1]) == "open"
            assert (await client.response())[0] == 408
            assert await client.is_closed()

    async def test_a_body_that_waits_has_a_bound(self) -> None:
        async with wire() as client:
            client.write(request(SLOW, mcp_name="wait") + request(CALL + b" " * MAX_WAITING))
            assert result((await client.response())[1]) == "waited"
            assert (await client.response())[0] == 503
            assert await client.is_closed()

    @pytest.mark.loops
    async def test_a_disconnect_is_heard_behind_a_body_that_waits(self) -> None:
        gate = Gate()
        async with lane(gate.server) as (client, _):
            client.write(gate.request() + request(b"x" * 900_000)[:600_000])
            await gate.began.wait()
            await client.writer.drain()
            client.writer.close()
            await gate.cancelled.wait()

    async def test_what_comes_behind_the_last_is_not_run(self) -> None:
        """The client wanted more, but the server ends."""
        async with lane() as (client, held):
            held.shutdown()
            client.write(request() + request())
            assert result((await client.response())[1]) == 5
            assert client.headers["connection"] == "close"
            assert await client.is_closed()


class TestManySmallPieces:
    async def test_chunks_of_one_byte_are_refused(self) -> None:
        async with wire() as client:
            client.write(CHUNKED + b"1\r\nx\r\n" * (2 * MAX_CODING // 5))
            assert (await client.response())[0] == 413
            assert await client.is_closed()

    async def test_what_is_said_about_chunks_is_bounded(self) -> None:
        async with wire() as client:
            for _ in range(2 * MAX_CODING // 10_000):
                client.write((b"" if _ else CHUNKED) + b"1;" + b"e" * 10_000 + b"\r\nx\r\n")
            assert (await client.response())[0] == 413

    async def test_chunks_of_a_reasonable_size_are_not(self) -> None:
        body = CALL[:-1] + b" " * 500_000 + CALL[-1:]
        data = b"".join(
            b"%x\r\n%b\r\n" % (len(each), each) for each in (body[at : at + 100] for at in range(0, len(body), 100))
        )
        async with wire() as client:
            client.write(CHUNKED + data + b"0\r\n\r\n")
            assert result((await client.response())[1]) == 5

    @pytest.mark.loops
    async def test_much_that_comes_at_once_lets_others_have_their_turn(self) -> None:
        one = request()
        count = 4 * SLICE // len(one)
        async with lane() as (client, held):
            held.data_received(one * count)
            assert held.server_state.total_requests == 0
            assert not held.transport.is_reading()
            seen = set()
            while held.server_state.total_requests < count:
                await asyncio.sleep(0)
                seen.add(held.server_state.total_requests)
            assert len(seen) >= 4
            await turns(2)
            assert held.transport.is_reading()
            assert [(await client.response())[0] for _ in range(count)] == [200] * count

    async def test_empty_lines_are_no_request_without_end(self) -> None:
        async with wire() as client:
            client.write(b"\r\n" * MAX_HEAD)
            assert (await client.response())[0] == 431


class TestAbsoluteTargets:
    @pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
    async def test_their_host_is_checked_whoever_answers(self, method: str) -> None:
        async with wire() as client:
            data = request(path="http://evil.example/mcp", accept="text/event-stream, application/json")
            client.write(data.replace(b"POST", method.encode(), 1))
            assert (await client.response())[0] == 403

    async def test_behind_another_too(self) -> None:
        async with wire() as client:
            client.write(request(SLOW, mcp_name="wait") + request(path="http://evil.example/mcp"))
            assert (await client.response())[0] == 200
            assert (await client.response())[0] == 403

    async def test_it_counts_in_place_of_the_header(self) -> None:
        async with wire() as client:
            client.write(request(path="http://localhost/mcp", host="elsewhere.example"))
            assert result((await client.response())[1]) == 5

    async def test_two_hosts_stay_two(self) -> None:
        async with wire() as client:
            client.write(request(path="http://localhost/mcp").replace(b"\r\n", b"\r\nhost: localhost\r\n", 1))
            assert (await client.response())[0] == 400

    @pytest.mark.parametrize(("target", "status"), [(b"*", 404), (b"localhost:80", 400)])
    async def test_other_targets(self, target: bytes, status: int) -> None:
        async with wire() as client:
            client.write(b"OPTIONS %b HTTP/1.1\r\nhost: localhost\r\n\r\n" % target)
            assert (await client.response())[0] == status


class TestOldClients:
    async def test_get_no_chunks(self) -> None:
        async def pieces(scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"transfer-encoding", b"chunked")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for piece in (b"one", b"two"):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

        async with wire(routes={"/pieces": pieces}) as client:
            client.write(b"GET /pieces HTTP/1.0\r\nhost: localhost\r\n\r\n")
            _, headers = await read_head(client.reader)
            assert dict(headers)["connection"] == "close"
            assert "transfer-encoding" not in dict(headers)
            assert await client.reader.read() == b"onetwo"

    async def test_are_not_asked_for_the_body(self) -> None:
        async with wire() as client:
            data = request(expect="100-continue").replace(b"HTTP/1.1", b"HTTP/1.0")
            client.write(data.removesuffix(CALL))
            await turns()
            client.write(CALL)
            assert (await client.response())[0] == 200


class TestTooManyConnections:
    async def test_who_is_far_beyond_is_told_before_it_asks(self) -> None:
        server = server_with_tools()
        async with lane_face(server.asgi(max_connections=1)) as face, contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(connected(face.port)) for _ in range(1 + MAX_TOLD)]
            for client in held:
                client.write(b"GET / HTTP/1.1\r\n")
            async with connected(face.port) as last:
                assert (await last.response())[0] == 503
                assert last.headers["retry-after"] == "1"
                assert await last.is_closed()


class TestWhoSendsNoMore:
    """`shutdown(SHUT_WR)` after a request: one that has gone looks the same."""

    @pytest.mark.loops
    async def test_gets_what_runs_on_in_any_case(self) -> None:
        gate = Gate()
        async with lane(gate.server) as (client, held):
            client.write(legacy_request(initialize("2025-11-25")))
            await client.response()
            session = client.headers["mcp-session-id"]
            call = legacy_request(legacy("tools/call", {"name": "gate", "arguments": {}}), mcp_session_id=session)
            client.write(call + request()[:-5])
            await gate.began.wait()
            client.writer.write_eof()
            while held.reading.stage != "ended":  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.001)
            gate.opened.set()
            assert (await client.response())[1]["result"]["structuredContent"] == {"result": "open"}
            assert await client.is_closed()

    @pytest.mark.loops
    async def test_has_cancelled_what_waits_in_modern(self) -> None:
        gate = Gate()
        async with lane(gate.server) as (client, _):
            client.write(gate.request())
            await gate.began.wait()
            client.writer.write_eof()
            await gate.cancelled.wait()
            assert await client.is_closed()

    @pytest.mark.loops
    async def test_gets_what_is_ready_at_once(self) -> None:
        async with wire() as client:
            client.write(request())
            client.writer.write_eof()
            assert result((await client.response())[1]) == 5
            assert await client.is_closed()
