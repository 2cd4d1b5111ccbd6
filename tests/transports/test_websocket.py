"""The client's end of a WebSocket: the contract, our own server, hostile ones, refusals, and who is gone."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime as dt
import hashlib
import ipaddress
import logging
import math
import re
import socket
import ssl
import struct
import sys
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from tests.server.http.web import lane_face
from tybalt.client.client import Client
from tybalt.errors import (
    ConnectionLost,
    Forbidden,
    McpError,
    MisuseError,
    NotFound,
    Overloaded,
    RateLimited,
    TransportClosed,
    TransportError,
    Unauthorized,
    describe,
)
from tybalt.protocol.frames import Oversized
from tybalt.server.server import Server
from tybalt.testing.transports import check_transport
from tybalt.testing.virtual_run import run_virtual
from tybalt.transports.transport import SendPermit, Transport
from tybalt.transports.turns import Turns
from tybalt.transports.websocket import connect_websocket
from tybalt.transports.websocket_stream import WebSocketTransport

TOKEN = "a token of many characters"
MEBIBYTE = 1024 * 1024
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Script = Callable[[Reader, Writer], Awaitable[object]]


# -- a peer that keeps the contract -----------------------------------------------------------------------------------


class Peer:
    """A server's end of a WebSocket, by the package websockets: a transport, for the proof of the contract."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._receiving = self._closed = False
        self._outgoing: deque[bytes] = deque()
        self._unsent = 0
        self._more = asyncio.Event()
        self._turns = Turns(self._may_send)
        self._writing = asyncio.create_task(self._write())

    async def receive(self) -> list[bytes | Oversized]:
        if self._receiving:
            raise MisuseError("another receive() is waiting")
        self._receiving = True
        try:
            return [] if self._closed else [await self._connection.recv(decode=False)]
        except ConnectionClosed:
            return []
        finally:
            self._receiving = False

    async def reserve(self) -> SendPermit:
        if self._turns.line or not self._may_send():
            await self._turns.wait()
        return self._permit()

    def reserve_nowait(self) -> SendPermit | None:
        return None if self._turns.line or not self._may_send() else self._permit()

    async def aclose(self) -> None:
        self._closed = True
        self._turns.wake()
        self._more.set()
        await asyncio.wait([self._writing], timeout=0.2)
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        await self._connection.close()

    def commit(self, messages: tuple[bytes, ...]) -> None:
        self._check()
        self._outgoing += messages
        self._unsent += sum(map(len, messages))
        self._more.set()

    def give_back(self) -> None: ...

    async def _write(self) -> None:
        try:
            while True:
                while self._outgoing:
                    message = self._outgoing.popleft()
                    await self._connection.send(message, text=True)
                    self._unsent -= len(message)
                    self._turns.wake()
                if self._closed:
                    return
                self._more.clear()
                await self._more.wait()
        except ConnectionClosed:
            self._closed = True
        finally:
            self._turns.wake()

    def _may_send(self) -> bool:
        return self._unsent < 64 * 1024 or self._is_closed()

    def _is_closed(self) -> bool:
        return self._closed or self._connection.state is not State.OPEN

    def _check(self) -> None:
        if self._is_closed():
            raise TransportClosed("the connection is closed")

    def _permit(self) -> SendPermit:
        self._check()
        return SendPermit(self)


class Recoded:
    """Has any bytes travel as text: RFC 6455 wants UTF-8 in a text frame, and the contract does not."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def receive(self) -> list[bytes | Oversized]:
        received = await self._transport.receive()
        return [each.decode().encode("latin-1") for each in received if isinstance(each, bytes)]

    async def reserve(self) -> SendPermit:
        return SendPermit(RecodedPermit(await self._transport.reserve()))

    def reserve_nowait(self) -> SendPermit | None:
        permit = self._transport.reserve_nowait()
        return None if permit is None else SendPermit(RecodedPermit(permit))

    async def aclose(self) -> None:
        await self._transport.aclose()


class RecodedPermit:
    def __init__(self, permit: SendPermit) -> None:
        self._permit = permit

    def commit(self, messages: tuple[bytes, ...]) -> None:
        self._permit.send(*(each.decode("latin-1").encode() for each in messages))

    def give_back(self) -> None:
        self._permit.release()


@contextlib.asynccontextmanager
async def pairs() -> AsyncGenerator[Callable[[], Awaitable[tuple[WebSocketTransport, Peer]]]]:
    accepted: asyncio.Queue[Peer] = asyncio.Queue()

    async def handle(connection: ServerConnection) -> None:
        accepted.put_nowait(Peer(connection))
        await connection.wait_closed()

    async with serve(
        handle, "127.0.0.1", 0, compression=None, max_size=None, ping_interval=None, close_timeout=0.2
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]

        async def make() -> tuple[WebSocketTransport, Peer]:
            return await connect_websocket(f"ws://127.0.0.1:{port}", grace=0.2), await accepted.get()

        yield make


@pytest.mark.loops
@pytest.mark.time_limit(60)
@pytest.mark.timeout(90)
async def test_the_transport_keeps_the_contract() -> None:
    async with pairs() as make:
        await check_transport(make, limit=5)


@pytest.mark.loops
@pytest.mark.time_limit(60)
@pytest.mark.timeout(90)
async def test_the_transport_keeps_the_contract_as_the_other_end_too() -> None:
    async with pairs() as make:

        async def swapped() -> tuple[Transport, Transport]:
            ours, theirs = await make()
            return Recoded(theirs), Recoded(ours)

        await check_transport(swapped, limit=5)


# -- our own server ---------------------------------------------------------------------------------------------------


def verona() -> Server:
    server = Server("verona")

    @server.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def repeat(text: str, times: int) -> str:
        return text * times

    return server


@pytest.mark.loops
@pytest.mark.parametrize("binary", [False, True], ids=["json", "packed"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_client_calls_our_server(era: Any, binary: bool) -> None:
    async with lane_face(verona().asgi(websocket=True)) as face:
        transport = await connect_websocket(f"ws://127.0.0.1:{face.port}/mcp", binary=binary)
        assert transport.subprotocol == ("mcp.msgpack" if binary else "mcp")
        async with Client(transport, era=era) as client:
            assert await client.call("add", a=2, b=3) == 5
            assert await client.call("repeat", text="Grüß\n", times=50_000) == "Grüß\n" * 50_000
            assert await asyncio.gather(*(client.call("add", a=n, b=n) for n in range(50))) == list(range(0, 100, 2))


@pytest.mark.loops
async def test_the_end_of_our_server_is_the_end_of_the_stream() -> None:
    async with lane_face(verona().asgi(websocket=True)) as face:
        transport = await connect_websocket(f"ws://127.0.0.1:{face.port}/mcp")
    assert await transport.receive() == []
    with pytest.raises(TransportClosed, match=r"^the server closed the connection: 10\d\d \("):
        await transport.reserve()
    await transport.aclose()


async def test_credentials_go_along_and_without_them_the_refusal_says_what_to_do() -> None:
    async with lane_face(verona().asgi(websocket=True, auth_token=TOKEN)) as face:
        url = f"ws://127.0.0.1:{face.port}/mcp"
        async with Client(
            await connect_websocket(url, headers={"Authorization": f"Bearer {TOKEN}"}), era="modern"
        ) as client:
            assert await client.call("add", a=2, b=3) == 5
        for headers, told in (
            (None, "it wants credentials, and none were sent; pass token=… to a Client or an Address, or headers="),
            ({"Authorization": f"Bearer {TOKEN} no more"}, "the credentials that were sent are not valid there"),
        ):
            with pytest.raises(Unauthorized, match=f"refused the WebSocket with HTTP 401: {told}") as seen:
                await connect_websocket(url, headers=headers)
            assert TOKEN not in describe(seen.value)


async def test_whoever_waits_for_an_answer_hears_why_the_server_closed() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(closing(1011, b"out of verse"))
        await reader.read(-1)

    async with raw(opens(script)) as url:
        client = Client(await connect_websocket(url, grace=0.05), era="modern")
        with pytest.raises(ConnectionLost, match=r"the server closed the connection: 1011 \(.*\) out of verse"):
            await client.__aenter__()


async def test_an_answer_larger_than_the_limit_fails_its_call_with_the_reason() -> None:
    async with lane_face(verona().asgi(websocket=True)) as face:
        transport = await connect_websocket(f"ws://127.0.0.1:{face.port}/mcp", limit=10_000)
        async with Client(transport, era="modern") as client:
            with pytest.raises(ConnectionLost, match="longer than 10,000 bytes"):
                await client.call("repeat", text="x", times=20_000)


async def test_a_number_that_cannot_be_packed_is_refused_before_anything_is_sent() -> None:
    async with lane_face(verona().asgi(websocket=True)) as face:
        transport = await connect_websocket(f"ws://127.0.0.1:{face.port}/mcp", binary=True)
        with pytest.raises(MisuseError, match="connect with binary=False"):
            (await transport.reserve()).send(b'{"method":"a"}', b'{"method":"a","id":%d}' % 2**70)
        with pytest.raises(MisuseError, match="one JSON text"):
            (await transport.reserve()).send(b"{")
        async with Client(transport, era="modern") as client:
            assert await client.call("add", a=2, b=3) == 5


# -- servers that do as they like -------------------------------------------------------------------------------------


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, size: int | None = None, first: int = 0) -> bytes:
    """A frame as a server sends it; `size` is what it claims to hold, `first` are more bits of its first byte."""
    length = len(data) if size is None else size
    head = bytes([opcode | (0x80 if fin else 0) | first])
    if length < 126:
        return head + bytes([length]) + data
    return head + (struct.pack("!BH", 126, length) if length < 65536 else struct.pack("!BQ", 127, length)) + data


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason)


def accepted(request: bytes, subprotocol: str = "mcp", more: bytes = b"") -> bytes:
    """The answer that opens the WebSocket which is asked for."""
    [key] = re.findall(rb"(?i)sec-websocket-key: (\S+)\r\n", request)
    digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    lines = [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade",
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest),
        *([f"Sec-WebSocket-Protocol: {subprotocol}".encode()] if subprotocol else []),
    ]
    return b"\r\n".join([*lines, more + b"\r\n" if more else b"\r\n"])


@contextlib.asynccontextmanager
async def raw(script: Script, *, tls: ssl.SSLContext | None = None) -> AsyncGenerator[str]:
    """Serve one script per connection: the URL of it."""
    tasks: list[asyncio.Task[None]] = []

    async def run(reader: Reader, writer: Writer) -> None:
        try:
            await script(reader, writer)
        except (OSError, EOFError):
            pass  # The client has gone, as most of them do.
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def handle(reader: Reader, writer: Writer) -> None:
        tasks.append(asyncio.create_task(run(reader, writer)))

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield f"{'ws' if tls is None else 'wss'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in ended if isinstance(each, Exception)] == []
        await server.wait_closed()


def opens(then: Script, **answer: Any) -> Script:
    """A script that shakes hands, and goes on as it likes."""

    async def script(reader: Reader, writer: Writer) -> None:
        writer.write(accepted(await reader.readuntil(b"\r\n\r\n"), **answer))
        await then(reader, writer)

    return script


def answers(response: bytes) -> Script:
    """A script that answers the handshake with this, and ends."""

    async def script(reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(response)
        await writer.drain()
        writer.close()

    return script


def sends(*data: bytes) -> Script:
    """A script that opens, sends, and reads up to the end."""

    async def script(reader: Reader, writer: Writer) -> None:
        writer.writelines(data)
        await reader.read(-1)

    return opens(script)


async def vanishes(reader: Reader, writer: Writer) -> None:
    """Reset the connection once something has come."""
    writer.write(frame(TEXT, b"1"))
    await resets(reader, writer)


async def resets(reader: Reader, writer: Writer) -> None:
    await reader.readexactly(1)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def leaves(_reader: Reader, writer: Writer) -> None:
    """End the stream in the middle of a frame."""
    writer.write(frame(TEXT, b"1") + frame(TEXT, b"[1, 2", size=100))
    await writer.drain()
    writer.close()


async def fragments(_reader: Reader, writer: Writer) -> None:
    """One message that has no end."""
    writer.write(frame(TEXT, b'["head', fin=False))
    while True:
        writer.write(frame(CONTINUATION, b"x" * 100, fin=False))
        await writer.drain()


async def does_nothing(_reader: Reader, writer: Writer) -> None:
    """Neither read nor write."""
    cast(asyncio.Transport, writer.transport).pause_reading()
    await asyncio.Event().wait()


FIRST = frame(TEXT, b"1")
HOSTILE: dict[str, tuple[Script, list[bytes | Oversized], str]] = {
    "closes at once": (
        sends(closing(1008, b"go away")),
        [],
        r"closed the connection: 1008 \(policy violation\) go away",
    ),
    "closes without a code": (sends(FIRST, frame(CLOSE)), [b"1"], "closed the connection: 1005"),
    "controls in its reason": (
        sends(closing(1000, b"a\x1b[2J")),
        [],
        r"closed the connection: 1000 \(OK\) a\\x1b\[2J$",
    ),
    "closes mid-message": (
        sends(FIRST, frame(TEXT, b"[", fin=False), closing(1001)),
        [b"1"],
        "closed the connection: 1001",
    ),
    "ends mid-frame": (opens(leaves), [b"1"], "ended the connection without taking leave"),
    "kills the connection": (opens(vanishes), [b"1"], "the connection is gone"),
    "fragments without end": (
        opens(fragments),
        [Oversized(1006, 1000, b'["head' + b"x" * 250)],
        "a message of more than 1,000 bytes",
    ),
    "announces a terabyte": (
        sends(FIRST, frame(TEXT, size=2**40)),
        [b"1", Oversized(2**40, 1000)],
        "a message of more than 1,000 bytes",
    ),
    "a length that no frame has": (sends(frame(TEXT, size=2**63)), [Oversized(2**63, 1000)], "more than 1,000 bytes"),
    "bad UTF-8": (sends(FIRST, frame(TEXT, b'"\xff"'), frame(TEXT, b"2")), [b"1"], r"no UTF-8 \(.* at byte 1\)"),
    "half a character": (sends(frame(TEXT, b'"\xc3', fin=False), frame(CONTINUATION, b'"')), [], "no UTF-8"),
    "the wrong kind": (
        sends(FIRST, frame(BINARY, b"2"), frame(TEXT, b"3")),
        [b"1"],
        "a frame of the wrong kind for mcp",
    ),
    "no such kind": (sends(FIRST, frame(3, b"2")), [b"1"], "broke the rules of WebSocket: invalid opcode"),
    "compresses unasked": (sends(frame(TEXT, b"x", first=0x40)), [], "broke the rules of WebSocket: reserved bits"),
    "masks": (sends(bytes([0x81, 0x81, 0, 0, 0, 0, 49])), [], "broke the rules of WebSocket: incorrect masking"),
    "a message within a message": (
        sends(frame(TEXT, b"[", fin=False), FIRST),
        [],
        "broke the rules of WebSocket: expected a continuation",
    ),
    "a continuation of nothing": (sends(frame(CONTINUATION, b"[")), [], "broke the rules of WebSocket"),
    "a fragmented ping": (sends(frame(PING, fin=False)), [], "broke the rules of WebSocket: fragmented control frame"),
    "a large ping": (sends(frame(PING, b"x" * 126)), [], "broke the rules of WebSocket: control frame too long"),
}


async def received(transport: Transport) -> list[bytes | Oversized]:
    messages: list[bytes | Oversized] = []
    while more := await transport.receive():
        messages += more
    return messages


@pytest.mark.loops
@pytest.mark.parametrize("name", HOSTILE)
async def test_a_server_that_breaks_off_ends_the_stream_with_the_reason(name: str) -> None:
    script, messages, reason = HOSTILE[name]
    async with raw(script) as url:
        transport = await connect_websocket(url, limit=1000, grace=0.05)
        if name == "kills the connection":
            (await transport.reserve()).send(b"1")
        assert await received(transport) == messages
        assert re.search(reason, str(transport.reason))
        with pytest.raises(TransportClosed, match=reason):
            await transport.reserve()
        with pytest.raises(TransportClosed, match=reason):
            transport.reserve_nowait()
        assert await transport.receive() == []
        await transport.aclose()


@pytest.mark.loops
async def test_what_came_with_the_handshake_is_received_and_a_blank_message_is_none() -> None:
    empty = frame(CONTINUATION, fin=False) * 10_000
    data = [frame(TEXT), frame(TEXT, b" \n"), frame(TEXT, b'{\n"a":\r\n1}'), frame(TEXT, b"[", fin=False), empty]
    async with raw(sends(*data, frame(PING), frame(CONTINUATION, b"]"), closing(1000))) as url:
        transport = await connect_websocket(url, grace=0.05)
        # Line ends are white space between the parts of a JSON text, and our messages have none.
        assert await received(transport) == [b'{ "a":\r 1}', b"[]"]
        await transport.aclose()


@pytest.mark.loops
async def test_a_server_that_reads_nothing_has_senders_wait_and_closing_takes_the_grace_at_most() -> None:
    async with raw(opens(does_nothing)) as url:
        transport = await connect_websocket(url, grace=0.05)
        sent = 0
        while (permit := transport.reserve_nowait()) is not None and sent < 64 * MEBIBYTE:
            permit.send(b"x" * MEBIBYTE)
            sent += MEBIBYTE
            await asyncio.sleep(0)
        assert sent < 64 * MEBIBYTE
        waiting = asyncio.create_task(transport.reserve())
        await transport.aclose()
        with pytest.raises(TransportClosed):
            await waiting


@pytest.mark.loops
async def test_a_server_that_takes_no_leave_is_left_after_the_grace() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        writer.write(FIRST + closing(1000))
        await reader.read(-1)
        await asyncio.Event().wait()  # Closed is what it never does.

    async with raw(opens(script)) as url:
        transport = await connect_websocket(url, grace=0.05)
        assert await received(transport) == [b"1"]
        await asyncio.gather(transport.aclose(), transport.aclose())
        await transport.aclose()


@pytest.mark.loops
async def test_a_cancelled_aclose_closes_all_the_same() -> None:
    async with raw(opens(does_nothing)) as url:
        transport = await connect_websocket(url, grace=600)
        closing = asyncio.create_task(transport.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        assert closing.cancelled()
        assert await transport.receive() == []


@pytest.mark.loops
async def test_input_that_nobody_receives_stays_with_the_server() -> None:
    size = 10_000
    taken = 0

    async def script(_reader: Reader, writer: Writer) -> None:
        nonlocal taken
        while taken < 64 * MEBIBYTE:
            writer.write(frame(TEXT, b"1" * size))
            await writer.drain()
            taken += size

    async with raw(opens(script)) as url:
        transport = await connect_websocket(url, read_ahead=100_000, grace=0.05, keepalive=600)
        before = -1
        while taken != before:
            before = taken
            for _ in range(1000):
                await asyncio.sleep(0)
        assert taken < 64 * MEBIBYTE
        await transport.aclose()


@pytest.mark.loops
@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"\xc1", "a packed message that cannot be read: Parse error"),
        (b"\x81\x01\x02", "a packed message that cannot be read: Parse error: a key is a text"),
        (b"\xdd\x00\x01\xff\xff" + b"\x01" * 0x1FFFF, "more than 100,000 values"),
    ],
)
async def test_what_cannot_be_unpacked_ends_the_connection(packed: bytes, reason: str) -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        writer.write(frame(BINARY, b"\x01") + frame(BINARY, packed))
        await reader.read(-1)

    async with raw(opens(script, subprotocol="mcp.msgpack")) as url:
        transport = await connect_websocket(url, binary=True, grace=0.05)
        assert await received(transport) == [b"1"]
        with pytest.raises(TransportClosed, match=reason):
            await transport.reserve()
        await transport.aclose()


async def test_a_packed_message_that_is_too_long_in_json_is_reported_in_its_place() -> None:
    packed = msgspec.msgpack.encode("\x01" * 300)

    async def script(reader: Reader, writer: Writer) -> None:
        writer.write(frame(BINARY, packed) + frame(BINARY, b"\x01") + closing(1000))
        await reader.read(-1)

    async with raw(opens(script, subprotocol="mcp.msgpack")) as url:
        transport = await connect_websocket(url, binary=True, limit=1000, grace=0.05)
        assert await received(transport) == [Oversized(1802, 1000, (b'"' + b"\\u0001" * 50)[:256]), b"1"]
        await transport.aclose()


# -- handshakes that fail ---------------------------------------------------------------------------------------------


def response(status: int, *fields: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status} Because", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, Unauthorized, "the credentials that were sent are not valid there; pass others$"),
        (403, Forbidden, "may not connect there, or nothing serves a WebSocket at this path$"),
        (404, NotFound, "nothing at this path"),
        (429, RateLimited, "too many"),
        (503, Overloaded, "try again later"),
        (302, TransportError, "redirects are not followed"),
        (200, TransportError, "is this the address"),
        (426, TransportError, "is this the address"),
        (500, TransportError, "is this the address"),
    ],
)
async def test_a_refusal_says_the_status_and_what_to_do_and_repeats_nothing(
    status: int, kind: type[Exception], says: str
) -> None:
    refusal = response(status, f"X-Echo: {TOKEN}", "Location: ws://elsewhere.example", body=f"not with {TOKEN}")
    async with raw(answers(refusal)) as url:
        with pytest.raises(kind, match=rf"^{url} refused the WebSocket with HTTP {status}\b.*{says}") as seen:
            await connect_websocket(f"{url}/?key={TOKEN.replace(' ', '+')}", headers={"Authorization": TOKEN})
    assert TOKEN not in describe(seen.value)
    assert "key=" not in describe(seen.value)


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("-1", None), ("99999999", None), ("soon", None)])
async def test_a_refusal_says_when_to_come_back(said: str, seconds: float | None) -> None:
    async with raw(answers(response(503, f"Retry-After: {said}"))) as url:
        with pytest.raises(McpError) as seen:
            await connect_websocket(url)
    assert seen.value.retry_after == seconds


async def never(_reader: Reader, _writer: Writer) -> None:
    await asyncio.Event().wait()


async def drains(reader: Reader, _writer: Writer) -> None:
    await reader.read(-1)


async def drips(_reader: Reader, writer: Writer) -> None:
    while True:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\n")
        await writer.drain()


async def answers_another(reader: Reader, writer: Writer) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(accepted(b"Sec-WebSocket-Key: bm90IHlvdXJzIGF0IGFsbA==\r\n"))
    await reader.read(-1)


FAILURES: dict[str, tuple[Script, str]] = {
    "a wrong accept key": (answers_another, "header field Sec-WebSocket-Accept of its answer is missing or wrong"),
    "no upgrade": (answers(response(101)), "header field Connection"),
    "no HTTP": (answers(b"SSH-2.0-x\r\n" + TOKEN.encode() + b"\r\n\r\n"), "its answer is no HTTP"),
    "no field": (answers(b"HTTP/1.1 101 x\r\n" + TOKEN.encode() + b"\r\n\r\n"), "its answer is no HTTP"),
    "TLS": (answers(b"\x15\x03\x03\x00\x02\x02\x16"), r"before it had answered in full; does it want wss://\?$"),
    "a page": (
        answers(f"HTTP/1.0 200 OK\r\nX-Echo: {TOKEN}\r\n\r\n<html>".encode()),
        r"a page answered, by HTTP/1\.0, and not a WebSocket; is this the address of an MCP server that serves it\?$",
    ),
    "an endless answer": (drips, "its answer is no HTTP, or longer"),
    "no answer": (answers(b""), "closed the connection before it had answered"),
    "a reset": (resets, "the connection is gone: "),
    "half an answer": (answers(b"HTTP/1.1 101 Switch"), "closed the connection before it had answered"),
    "an extension": (
        opens(never, more=b"Sec-WebSocket-Extensions: permessage-deflate\r\n"),
        "an extension or a subprotocol that was not offered",
    ),
    "another subprotocol": (opens(never, subprotocol="soap"), "an extension or a subprotocol that was not offered"),
}


@pytest.mark.loops
@pytest.mark.parametrize("name", FAILURES)
async def test_a_handshake_that_fails_says_what_was_wrong_and_leaves_nothing(name: str) -> None:
    script, reason = FAILURES[name]
    async with raw(script) as url:
        with pytest.raises(TransportError, match=f"{url} did not open a WebSocket: .*{reason}") as seen:
            await connect_websocket(url)
    assert TOKEN not in describe(seen.value)


async def test_what_was_sent_to_be_let_in_is_not_told_where_the_server_says_why_it_closes() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        writer.write(closing(1008, b"s3cr3t-token and key-of-ours of x have ended"))
        await reader.read(-1)

    async with raw(opens(script)) as url:
        headers = {"Authorization": "Bearer s3cr3t-token", "X-Key": "key-of-ours", "X-Short": "x"}
        transport = await connect_websocket(url, headers=headers, grace=0.05)
        assert await transport.receive() == []
        assert transport.reason is not None and transport.reason.endswith(") … and … of x have ended")
        await transport.aclose()


@pytest.mark.loops
async def test_a_handshake_that_is_never_finished_ends_with_the_time() -> None:
    async with raw(never) as url:
        with pytest.raises(TransportError, match=f"{url} did not open a WebSocket within 0.05 s"):
            await connect_websocket(url, open_timeout=0.05)
        secure = url.replace("ws:", "wss:")
        with pytest.raises(TransportError, match=f"{secure} did not open a WebSocket within 0.05 s"):
            await connect_websocket(secure, open_timeout=0.05)


@pytest.mark.loops
async def test_connecting_can_be_cancelled_and_leaves_nothing() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def script(reader: Reader, _writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        began.set()
        await reader.read()
        ended.set()

    async with raw(script) as url:
        opening = asyncio.create_task(connect_websocket(url))
        await began.wait()
        opening.cancel()
        await asyncio.wait([opening])
        assert opening.cancelled()
        await ended.wait()


async def test_a_server_without_a_word_for_the_subprotocol_speaks_json_and_nothing_else() -> None:
    async with raw(opens(drains, subprotocol="")) as url:
        transport = await connect_websocket(url, grace=0.05)
        assert transport.subprotocol is None
        assert transport.reason is None
        await transport.aclose()
        assert transport.reason == "the transport was closed on this side"
        with pytest.raises(TransportError, match=f"{url} does not speak mcp.msgpack; connect with binary=False"):
            await connect_websocket(url, binary=True, grace=0.05)


@pytest.mark.loops
async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(
        TransportError, match=rf"^cannot connect to ws://127.0.0.1:{port}: nobody listens there; is the server"
    ):
        await connect_websocket(f"ws://127.0.0.1:{port}")


async def test_a_name_that_nobody_has() -> None:
    told = r"^cannot connect to ws://nobody\.invalid:80: the name 'nobody\.invalid' is not known: [^;]+$"
    with pytest.raises(TransportError, match=told) as seen:
        await connect_websocket("ws://nobody.invalid/mcp")
    assert describe(seen.value) == str(seen.value)


# -- TLS --------------------------------------------------------------------------------------------------------------


def certified(folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, for 127.0.0.1; `folder / "certificate"` is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "verona")])
    since = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key").write_bytes(secret)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context


@pytest.mark.loops
async def test_over_tls_a_certificate_is_checked_unless_its_authority_is_given(tmp_path: Path) -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        writer.write(FIRST)
        await reader.readexactly(1)
        writer.write(closing(1000))
        await reader.read(-1)

    async with raw(opens(script), tls=certified(tmp_path)) as url:
        told = rf"^cannot connect to {url}: .*pass `tls=` with the authority that signed it, .* SSL_CERT_FILE$"
        with pytest.raises(TransportError, match=told):
            await connect_websocket(url)
        with pytest.raises(TransportError, match=r"; does it want wss://\?$"):
            await connect_websocket(url.replace("wss:", "ws:"))
        trusting = ssl.create_default_context(cafile=tmp_path / "certificate")
        with pytest.raises(TransportError, match=r"Hostname mismatch, [^;]*$"):
            await connect_websocket(url.replace("127.0.0.1", "localhost"), tls=trusting)
        transport = await connect_websocket(url, tls=trusting, grace=0.05)
        assert await transport.receive() == [b"1"]
        (await transport.reserve()).send(b"2")
        assert await transport.receive() == []
        await transport.aclose()


@pytest.mark.loops
async def test_a_server_that_speaks_no_tls() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await reader.read(1)
        writer.write(response(400))

    async with raw(script) as url:
        with pytest.raises(TransportError, match=r": the server speaks no TLS there; do you mean ws://\?$"):
            await connect_websocket(url.replace("ws:", "wss:"))


# -- what is refused before anything is sent --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://verona.example/mcp", "scheme isn't ws or wss; one is wss://"),
        ("verona.example", "no URL of a WebSocket"),
        ("ws:///mcp", "no URL of a WebSocket"),
        ("ws://verona.example:port/mcp", "no URL of a WebSocket"),
        ("ws://verona.example/mcp#act", "no URL of a WebSocket"),
        (f"ws://romeo:{TOKEN.replace(' ', '')}@verona.example/mcp", "the URL holds credentials"),
        (f"ws://{TOKEN.replace(' ', '')}@verona.example/mcp", "the URL holds credentials"),
        ("ws://verona.example/m cp", "no white space"),
        ("ws://verona.example/mcp\r\nX: y", "no white space and no control characters"),
    ],
)
async def test_a_url_that_must_not_be_used(url: str, says: str) -> None:
    with pytest.raises(MisuseError, match=says) as seen:
        await connect_websocket(url)
    assert TOKEN.replace(" ", "") not in describe(seen.value)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Authorization": f"Bearer {TOKEN}\r\nX: y"}, "'Authorization' is not made of visible ASCII"),
        ({"X Y": TOKEN}, "'X Y' is not made of visible ASCII"),
        ({"Host": TOKEN}, "'Host' belongs to the handshake"),
        ({"Sec-WebSocket-Extensions": TOKEN}, "belongs to the handshake"),
    ],
)
async def test_a_header_field_that_must_not_be_sent(headers: dict[str, str], says: str) -> None:
    with pytest.raises(MisuseError, match=says) as seen:
        await connect_websocket("ws://verona.example", headers=headers)
    assert TOKEN not in describe(seen.value)


async def test_options_that_cannot_be_meant() -> None:
    with pytest.raises(MisuseError, match=r"tls= is for wss://"):
        await connect_websocket("ws://verona.example", tls=ssl.create_default_context())
    for keepalive in (0, -1, math.nan, math.inf):
        with pytest.raises(MisuseError, match="keepalive is a finite number of seconds above 0"):
            await connect_websocket("ws://verona.example", keepalive=keepalive)


async def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "websockets.client", None)
    with pytest.raises(MisuseError, match=r"pip install 'tybalt\[websocket\]'"):
        await connect_websocket("ws://verona.example")


async def test_what_is_asked_for(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
    asked: list[bytes] = []

    async def script(reader: Reader, writer: Writer) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(accepted(asked[0]) + closing(1000))
        await reader.read(-1)

    with caplog.at_level(logging.DEBUG):
        async with raw(script) as url:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            transport = await connect_websocket(f"{url}/mcp?act=2", headers=headers, grace=0.05)
            assert await transport.receive() == []
            await transport.aclose()
    first, *fields = asked[0].decode().lower().split("\r\n")
    assert first == "get /mcp?act=2 http/1.1"
    names = {field.partition(":")[0] for field in fields if field}
    handshake = {"host", "upgrade", "connection", "sec-websocket-key", "sec-websocket-version"}
    # No extensions among them, so nothing is compressed.
    assert names == handshake | {"sec-websocket-protocol", "authorization", "user-agent"}
    assert f"authorization: bearer {TOKEN}" in fields
    assert "sec-websocket-protocol: mcp" in fields
    assert caplog.text
    assert TOKEN not in caplog.text


# -- who is gone, and pings: on virtual time, with a link that writes down what it is told ----------------------------


class Wire(asyncio.Transport):
    """What a transport writes to, and what it did with it."""

    def __init__(self, protocol: WebSocketTransport) -> None:
        super().__init__()
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self.pings: list[float] = []
        self.pongs: list[bytes] = []
        self.request = b""
        self.paused = self.aborted = False
        protocol.connection_made(self)
        protocol.data_received(accepted(self.request))

    def write(self, data: bytes | bytearray | memoryview) -> None:
        data = bytes(data)
        if not self.request:
            self.request = data
        elif data[0] == 0x80 | PING:
            self.pings.append(self._loop.time() - self.began)
        elif data[0] == 0x80 | PONG:
            mask, length = data[2:6], data[1] & 0x7F
            self.pongs.append(bytes(byte ^ mask[at % 4] for at, byte in enumerate(data[6 : 6 + length])))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True
        self._loop.call_soon(self._protocol.connection_lost, None)

    def close(self) -> None:
        self.abort()

    def at(self, seconds: float, data: bytes) -> None:
        """Have this come in so many seconds after the beginning."""
        self._loop.call_at(self.began + seconds, self._protocol.data_received, data)


def wired(read_ahead: int = 1000) -> tuple[WebSocketTransport, Wire]:
    transport = WebSocketTransport(
        "ws://verona.example",
        [],
        binary=False,
        limit=1000,
        high_water=1000,
        read_ahead=read_ahead,
        grace=2.0,
        keepalive=20.0,
    )
    return transport, Wire(transport)


def test_a_server_that_is_silent_is_pinged_after_20_s_and_gone_after_40() -> None:
    async def program() -> None:
        transport, wire = wired()
        wire.at(15, FIRST)
        assert await transport.receive() == [b"1"]
        assert await transport.receive() == []
        assert asyncio.get_running_loop().time() - wire.began == pytest.approx(55)
        assert wire.pings == [pytest.approx(35)]
        with pytest.raises(
            TransportClosed, match=r"the server is gone: nothing came for 40 s, and no answer to a ping"
        ):
            await transport.reserve()
        await transport.aclose()

    run_virtual(program)


def test_a_server_that_answers_pings_stays() -> None:
    async def program() -> None:
        transport, wire = wired()
        for seconds in (39, 78, 117):
            wire.at(seconds, frame(PONG))
        wire.at(150, FIRST)
        assert await transport.receive() == [b"1"]
        assert wire.pings == [pytest.approx(each) for each in (20, 59, 98, 137)]
        await transport.aclose()

    run_virtual(program)


def test_a_server_is_not_gone_while_we_do_not_read() -> None:
    async def program() -> None:
        transport, wire = wired(read_ahead=10)
        wire.at(1, frame(TEXT, b"1" * 100))
        await asyncio.sleep(600)
        assert wire.pings == []
        assert await transport.receive() == [b"1" * 100]
        assert await transport.receive() == []
        assert len(wire.pings) == 1
        await transport.aclose()

    run_virtual(program)


@pytest.mark.parametrize("messages", [[b"1"] * 21, [b"1" * 500] * 2], ids=["many small ones", "few large ones"])
def test_what_is_read_ahead_is_whole_messages_whatever_pieces_they_came_in(messages: list[bytes]) -> None:
    async def program() -> None:
        transport, wire = wired(read_ahead=1000)
        for message in messages:
            assert not wire.paused
            for byte in frame(TEXT, message):
                transport.data_received(bytes([byte]))
        assert wire.paused
        assert await transport.receive() == messages
        assert not wire.paused
        await transport.aclose()

    run_virtual(program)


def test_a_server_that_does_not_take_leave_has_the_grace() -> None:
    async def program() -> None:
        transport, wire = wired()
        await transport.aclose()
        assert asyncio.get_running_loop().time() - wire.began == pytest.approx(2)

    run_virtual(program)


def test_closing_reads_on_so_that_the_leave_of_the_server_is_heard() -> None:
    async def program() -> None:
        transport, wire = wired(read_ahead=10)
        transport.data_received(frame(TEXT, b"1" * 100))
        assert wire.paused
        closing = asyncio.create_task(transport.aclose())
        await asyncio.sleep(0)
        assert not wire.paused
        await closing

    run_virtual(program)


def test_a_cancelled_aclose_cuts_the_connection() -> None:
    async def program() -> None:
        transport, wire = wired()
        closing = asyncio.create_task(transport.aclose())
        await asyncio.sleep(0)
        assert not wire.aborted
        closing.cancel()
        await asyncio.wait([closing])
        assert wire.aborted

    run_virtual(program)


def test_who_waits_for_room_hears_at_once_that_the_server_takes_leave() -> None:
    async def program() -> None:
        transport, wire = wired()
        transport.pause_writing()
        waiting = asyncio.create_task(transport.reserve())
        await asyncio.sleep(0)
        transport.data_received(closing(1001))
        with pytest.raises(TransportClosed, match="1001"):
            await waiting
        assert asyncio.get_running_loop().time() == wire.began
        await transport.aclose()

    run_virtual(program)


def test_a_connection_that_breaks_leaves_no_timer() -> None:
    async def program() -> None:
        transport, _ = wired()
        transport.connection_lost(OSError("out of verse"))
        assert await transport.receive() == []
        assert transport.reason == "the connection is gone: out of verse"

    run_virtual(program, settle=0)


def test_of_a_flood_of_pings_the_last_is_answered_and_none_while_the_server_takes_nothing() -> None:
    async def program() -> None:
        transport, wire = wired()
        flood = [b"".join(frame(PING, b"%d" % number) for number in range(start, start + 100)) for start in (0, 100)]
        transport.data_received(flood[0])
        assert wire.pongs == [b"99"]
        transport.pause_writing()
        for data in flood * 100:
            transport.data_received(data)
        assert wire.pongs == [b"99"]
        transport.resume_writing()
        assert wire.pongs == [b"99", b"199"]
        transport.pause_writing()
        transport.resume_writing()
        assert len(wire.pongs) == 2
        await transport.aclose()

    run_virtual(program)


def test_what_comes_after_the_end_was_declared_here_is_dropped() -> None:
    async def program() -> None:
        transport, _ = wired()
        transport.end_input()
        transport.data_received(FIRST)
        assert await transport.receive() == []
        (await transport.reserve()).send(b"2")
        transport.data_received(closing(1000))
        with pytest.raises(TransportClosed, match="1000"):
            await transport.reserve()
        await transport.aclose()

    run_virtual(program)
