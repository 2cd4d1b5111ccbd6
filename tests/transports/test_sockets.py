"""Unix and TCP sockets: who may connect, what is refused, how a server ends."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from tests.transports.pairs import Accepted
from tybalt.errors import MisuseError, TransportClosed, TransportError
from tybalt.protocol.frames import Oversized
from tybalt.transports.sockets import SocketServer, connect_tcp, connect_unix, serve_tcp, serve_unix
from tybalt.transports.stream import StreamTransport


async def echo(transport: StreamTransport) -> None:
    while messages := await transport.receive():
        answers = [message for message in messages if isinstance(message, bytes)]
        (await transport.reserve()).send(*answers)


async def asked(transport: StreamTransport, message: bytes) -> list[bytes | Oversized]:
    (await transport.reserve()).send(message)
    return await transport.receive()


async def send_for_ever(transport: StreamTransport) -> None:
    while True:
        (await transport.reserve()).send(b"1")
        await asyncio.sleep(0)


def address_of(server: SocketServer) -> tuple[str, int]:
    [address] = server.addresses
    assert isinstance(address, tuple)
    return address


@pytest.mark.loops
async def test_a_unix_socket_is_its_owners_alone_and_gone_when_the_server_closes(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = await serve_unix(echo, path)
    assert server.addresses == [str(path)]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    client = await connect_unix(path)
    assert await asked(client, b"1") == [b"1"]
    assert server.connections == 1
    await client.aclose()
    await server.aclose()
    await server.aclose()
    assert not path.exists()


@pytest.mark.loops
async def test_a_socket_that_a_dead_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with await serve_unix(echo, path):
        client = await connect_unix(path)
        assert await asked(client, b"1") == [b"1"]
        await client.aclose()


@pytest.mark.loops
async def test_a_socket_on_which_somebody_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with await serve_unix(echo, path):
        with pytest.raises(TransportError, match="another server is listening there"):
            await serve_unix(echo, path)
        client = await connect_unix(path)
        assert await asked(client, b"1") == [b"1"]
        await client.aclose()


async def test_a_file_that_is_not_a_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    with pytest.raises(TransportError, match="exists and is not a socket; it was left as it is"):
        await serve_unix(echo, path)
    assert path.read_text() == "precious"


async def test_a_socket_that_took_our_place_survives_our_end(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    server = await serve_unix(echo, path)
    path.unlink()
    async with await serve_unix(echo, path):
        await server.aclose()
        client = await connect_unix(path)
        assert await asked(client, b"1") == [b"1"]
        await client.aclose()


@pytest.mark.parametrize("path", ["nowhere/socket", "x" * 200])
async def test_a_path_that_cannot_be_bound_or_connected_is_named(path: str, tmp_path: Path) -> None:
    with pytest.raises(TransportError, match=f"cannot listen on the Unix socket .*{path}"):
        await serve_unix(echo, tmp_path / path)
    with pytest.raises(TransportError, match=f"cannot connect to the Unix socket .*{path}"):
        await connect_unix(tmp_path / path)


@pytest.mark.loops
async def test_tcp_listens_on_this_machine_only_and_sends_without_delay() -> None:
    accepted = Accepted()
    server = await serve_tcp(accepted.handle)
    host, port = address_of(server)
    assert host == "127.0.0.1"
    client = await connect_tcp(host, port)
    for transport in (client, await accepted.next()):
        link = transport._link
        assert isinstance(link, asyncio.Transport) or hasattr(link, "get_extra_info")
        peer = link.get_extra_info("socket")  # type: ignore[union-attr]
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await client.aclose()
    await accepted.stop(server)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.0.2.1"])
async def test_a_host_that_others_can_reach_must_be_allowed(host: str) -> None:
    with pytest.raises(MisuseError, match=r"other machines can reach.*or say allow_remote=True"):
        await serve_tcp(echo, host)


async def test_a_host_that_others_can_reach_can_be_allowed() -> None:
    async with await serve_tcp(echo, "0.0.0.0", allow_remote=True) as server:
        client = await connect_tcp("127.0.0.1", address_of(server)[1])
        assert await asked(client, b"1") == [b"1"]
        await client.aclose()


async def test_a_name_of_this_machine_is_enough() -> None:
    async with await serve_tcp(echo, "localhost") as server:
        for address in server.addresses:
            client = await connect_tcp(str(address[0]), int(address[1]))
            assert await asked(client, b"1") == [b"1"]
            await client.aclose()
        assert len({address[1] for address in server.addresses}) == 1


async def test_what_cannot_be_listened_on_or_connected_to_is_named() -> None:
    async with await serve_tcp(echo) as server:
        _, port = address_of(server)
        with pytest.raises(TransportError, match=f"cannot listen on 127.0.0.1 port {port}: Address already in use"):
            await serve_tcp(echo, port=port)
    with pytest.raises(TransportError, match=f"cannot connect to 127.0.0.1 port {port}"):
        await connect_tcp("127.0.0.1", port)
    with pytest.raises(TransportError, match="cannot listen on 'xxx"):
        await serve_tcp(echo, "x" * 100)
    with pytest.raises(TransportError, match="cannot connect to xxx"):
        await connect_tcp("x" * 100, port)
    with pytest.raises(TransportError, match=r"cannot listen on 192\.0\.2\.1"):
        await serve_tcp(echo, "192.0.2.1", allow_remote=True)


@pytest.mark.loops
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_a_browser_that_was_sent_here_is_not_listened_to(method: str) -> None:
    received: list[bytes | Oversized] = []

    async def remember(transport: StreamTransport) -> None:
        while messages := await transport.receive():
            received.extend(messages)

    async with await serve_tcp(remember) as server:
        reader, writer = await asyncio.open_connection(*address_of(server))
        writer.write(f"{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() + b'{"jsonrpc":"2.0"}\n')
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
    assert received == []


@pytest.mark.loops
async def test_connections_beyond_the_bound_are_closed_and_the_others_served(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    async with await serve_unix(echo, path, max_connections=2) as server:
        served = [await connect_unix(path) for _ in range(2)]
        for client in served:
            assert await asked(client, b"1") == [b"1"]
        refused = await connect_unix(path)
        assert await refused.receive() == []
        assert server.refused == 1
        await refused.aclose()
        await served[0].aclose()
        assert await asked(served[1], b"2") == [b"2"]
        while server.connections > 1:
            await asked(served[1], b"3")
        third = await connect_unix(path)
        assert await asked(third, b"4") == [b"4"]
        await asyncio.gather(served[1].aclose(), third.aclose())


@pytest.mark.loops
async def test_a_handler_that_fails_closes_its_connection_and_no_other(tmp_path: Path) -> None:
    failures: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context["exception"]))

    async def fail_on_zero(transport: StreamTransport) -> None:
        while messages := await transport.receive():
            if messages == [b"0"]:
                raise ZeroDivisionError
            (await transport.reserve()).send(b"1")

    async with await serve_unix(fail_on_zero, tmp_path / "socket"):
        good, bad = [await connect_unix(tmp_path / "socket") for _ in range(2)]
        assert await asked(bad, b"0") == []
        assert await asked(good, b"2") == [b"1"]
        await asyncio.gather(good.aclose(), bad.aclose())
    assert [type(failure) for failure in failures] == [ZeroDivisionError]


@pytest.mark.loops
async def test_a_closing_server_lets_handlers_answer_what_they_have(tmp_path: Path) -> None:
    async def count(transport: StreamTransport) -> None:
        received = 0
        while messages := await transport.receive():
            received += len(messages)
            (await transport.reserve()).send(b'"more?"')
        (await transport.reserve()).send(b"%d" % received)

    server = await serve_unix(count, tmp_path / "socket")
    client = await connect_unix(tmp_path / "socket")
    assert await asked(client, b"1") == [b'"more?"']
    await server.aclose()
    assert await client.receive() == [b"1"]
    assert await client.receive() == []
    await client.aclose()


@pytest.mark.loops
async def test_a_closing_server_cancels_handlers_that_do_not_end(tmp_path: Path) -> None:
    started = asyncio.Event()
    cancelled: list[bool] = []

    async def hang(transport: StreamTransport) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    server = await serve_unix(hang, tmp_path / "socket")
    client = await connect_unix(tmp_path / "socket")
    await started.wait()
    await server.aclose(grace=0.01)
    assert cancelled == [True]
    assert await client.receive() == []
    with pytest.raises(TransportError):
        await connect_unix(tmp_path / "socket")
    await client.aclose()


@pytest.mark.loops
async def test_a_client_that_only_listens_any_more_still_gets_its_answers() -> None:
    async with await serve_tcp(echo) as server:
        reader, writer = await asyncio.open_connection(*address_of(server))
        writer.write(b'{"last":1}\n{"very last":2}')
        writer.write_eof()
        assert await reader.read() == b'{"last":1}\n{"very last":2}\n'
        writer.close()
        await writer.wait_closed()


@pytest.mark.loops
async def test_a_connection_that_is_reset_is_closed_for_both_directions() -> None:
    accepted = Accepted()
    server = await serve_tcp(accepted.handle, linger=0.2)
    with socket.create_connection(address_of(server)) as raw:
        transport = await accepted.next()
        # Lingering for no time makes close() a reset.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert await transport.receive() == []
    with pytest.raises(TransportClosed, match="the connection is gone"):
        await send_for_ever(transport)
    await accepted.stop(server)


@pytest.mark.loops
@pytest.mark.time_limit(20)
async def test_a_hundred_clients_at_once_get_their_own_answers(tmp_path: Path) -> None:
    async def ask(number: int) -> list[bytes | Oversized]:
        client = await connect_unix(tmp_path / "socket")
        answers: list[bytes | Oversized] = []
        for each in range(10):
            answers += await asked(client, b"[%d,%d]" % (number, each))
        await client.aclose()
        return answers

    async with await serve_unix(echo, tmp_path / "socket"):
        for number, answers in enumerate(await asyncio.gather(*(ask(number) for number in range(100)))):
            assert answers == [b"[%d,%d]" % (number, each) for each in range(10)]


def test_the_mode_of_other_files_is_untouched_by_listening(tmp_path: Path) -> None:
    before = os.umask(0o022)
    os.umask(before)

    async def listen() -> None:
        async with await serve_unix(echo, tmp_path / "socket"):
            (tmp_path / "file").touch()

    asyncio.run(listen())
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~before
