"""Messages over byte streams: splits, limits, backpressure, half-closed and broken streams. Real pipes throughout."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket

import pytest

from tests.transports.pairs import pipe_pair
from tybalt.errors import TransportClosed
from tybalt.protocol.frames import Oversized
from tybalt.transports.descriptors import open_duplex
from tybalt.transports.stream import StreamTransport

MEBIBYTE = 1024 * 1024


class RawPeer:
    """A transport whose other end is two bare descriptors, for a peer that does not play by the rules."""

    def __init__(self, **options: int) -> None:
        there, back = os.pipe(), os.pipe()
        self.reads, self.writes = back[0], there[1]
        self.transport = StreamTransport(linger=0.2, **options)
        open_duplex(asyncio.get_running_loop(), self.transport, read_from=there[0], write_to=back[1])

    def write(self, data: bytes) -> None:
        assert os.write(self.writes, data) == len(data)

    def close(self, *descriptors: int) -> None:
        for descriptor in descriptors or (self.reads, self.writes):
            os.close(descriptor)


async def read_to_end(descriptor: int) -> bytes:
    received = b""
    while chunk := await asyncio.to_thread(os.read, descriptor, MEBIBYTE):
        received += chunk
    return received


@pytest.mark.loops
async def test_a_message_that_comes_byte_by_byte_is_one_message() -> None:
    peer = RawPeer()
    receiving = asyncio.create_task(peer.transport.receive())
    for byte in b'{"a":1}\r\n':
        assert not receiving.done()
        peer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert await receiving == [b'{"a":1}']
    peer.close()
    await peer.transport.aclose()


@pytest.mark.loops
async def test_messages_are_lines_on_the_wire_and_one_send_is_one_write() -> None:
    peer = RawPeer()
    (await peer.transport.reserve()).send(b"1", b'"\r"', b"[]")
    assert os.read(peer.reads, 100) == b'1\n"\r"\n[]\n'
    (await peer.transport.reserve()).send()
    await peer.transport.aclose()
    assert os.read(peer.reads, 100) == b""
    peer.close()


@pytest.mark.loops
async def test_a_message_beyond_the_limit_is_reported_in_its_place() -> None:
    peer = RawPeer(limit=10)
    peer.write(b"1\n" + b"x" * 11 + b"\n2\n")
    assert await peer.transport.receive() == [b"1", Oversized(11, 10, b"x" * 11), b"2"]
    peer.close()
    await peer.transport.aclose()


@pytest.mark.loops
async def test_the_end_of_input_leaves_the_output_open() -> None:
    peer = RawPeer()
    peer.write(b"1\n2")
    peer.close(peer.writes)
    received = await peer.transport.receive()
    while more := await peer.transport.receive():
        received += more
    assert received == [b"1", b"2"]
    (await peer.transport.reserve()).send(b'"answer"')
    assert os.read(peer.reads, 100) == b'"answer"\n'
    await peer.transport.aclose()
    peer.close(peer.reads)


@pytest.mark.loops
async def test_when_writing_fails_what_the_peer_wrote_is_still_received_and_an_unfinished_line_is_not() -> None:
    peer = RawPeer()
    peer.write(b'"last words"\n"and th')
    peer.close()
    (await peer.transport.reserve()).send(b"1")
    assert await peer.transport.receive() == [b'"last words"']
    assert await peer.transport.receive() == []
    with pytest.raises(TransportClosed, match="Broken pipe"):
        await peer.transport.reserve()
    await peer.transport.aclose()


@pytest.mark.loops
async def test_after_a_partial_write_that_fails_nothing_more_is_written() -> None:
    peer = RawPeer()
    kept = await peer.transport.reserve()
    (await peer.transport.reserve()).send(b"x" * MEBIBYTE)
    waiting = asyncio.create_task(peer.transport.reserve())
    assert os.read(peer.reads, 10) == b"x" * 10
    peer.close()
    with pytest.raises(TransportClosed, match="Broken pipe"):
        await waiting
    with pytest.raises(TransportClosed, match="Broken pipe"):
        kept.send(b"1")
    assert await peer.transport.receive() == []
    await peer.transport.aclose()


@pytest.mark.loops
async def test_output_waits_above_the_high_water_mark_and_goes_on_below_it() -> None:
    peer = RawPeer(high_water=MEBIBYTE)
    (await peer.transport.reserve()).send(b"x" * MEBIBYTE)
    # The pipe took some of it: the rest is below the mark.
    (await peer.transport.reserve()).send(b"y" * MEBIBYTE)
    assert peer.transport.reserve_nowait() is None
    reading = asyncio.create_task(read_to_end(peer.reads))
    (await peer.transport.reserve()).send(b"z")
    await peer.transport.aclose()
    assert await reading == b"x" * MEBIBYTE + b"\n" + b"y" * MEBIBYTE + b"\nz\n"
    peer.close()


@pytest.mark.loops
async def test_what_is_read_ahead_is_whole_messages_whatever_pieces_they_came_in() -> None:
    there, back = os.pipe(), os.pipe()
    transport = StreamTransport(read_ahead=1000, linger=0.2)
    open_duplex(asyncio.get_running_loop(), transport, read_from=there[0], write_to=back[1])
    sent = 0
    for _ in range(20):
        for piece in (b"x" * 249, b"x" * 250, b"\n"):
            os.write(there[1], piece)
            for _ in range(5):
                await asyncio.sleep(0)
        sent += 500
    received = b"".join(message + b"\n" for message in await transport.receive() if isinstance(message, bytes))
    assert len(received) <= 1500
    os.close(there[1])
    while more := await transport.receive():
        received += b"".join(message + b"\n" for message in more if isinstance(message, bytes))
    assert len(received) == sent
    os.close(back[0])
    await transport.aclose()


@pytest.mark.loops
async def test_input_that_nobody_receives_stays_with_the_peer() -> None:
    one, other = pipe_pair(read_ahead=100_000, high_water=1000)
    sent = 0
    while True:
        reserving = asyncio.create_task(one.reserve())
        await asyncio.wait([reserving], timeout=0.1)
        if not reserving.done():
            break
        reserving.result().send(b"x" * 9_999)
        sent += 1
    # What is read ahead, one chunk beyond it, what a pipe holds, and the sender's own mark with one message beyond it.
    assert 100_000 < sent * 10_000 < 100_000 + 256 * 1024 + 64 * 1024 + 1000 + 20_000
    received: list[bytes | Oversized] = []
    while len(received) < sent:
        received += await other.receive()
    assert received == [b"x" * 9_999] * sent
    (await reserving).send(b"1")
    assert await other.receive() == [b"1"]
    await asyncio.gather(one.aclose(), other.aclose())


@pytest.mark.loops
async def test_ends_that_wait_for_each_other_to_read_close_without_loss_of_what_was_sent() -> None:
    one, other = pipe_pair()
    for end in (one, other):
        (await end.reserve()).send(b"x" * MEBIBYTE)
    received: list[bytes | Oversized] = []

    async def receive_all() -> None:
        while messages := await other.receive():
            received.extend(messages)

    await asyncio.gather(one.aclose(), receive_all())
    assert received == [b"x" * MEBIBYTE]
    await other.aclose()


@pytest.mark.loops
async def test_closing_waits_for_a_peer_that_never_reads_only_so_long() -> None:
    peer = RawPeer()
    (await peer.transport.reserve()).send(b"x" * MEBIBYTE)
    await peer.transport.aclose()
    peer.close(peer.writes)
    assert 0 < len(await read_to_end(peer.reads)) < MEBIBYTE
    peer.close(peer.reads)


@pytest.mark.loops
async def test_a_cancelled_close_closes_at_once() -> None:
    peer = RawPeer()
    (await peer.transport.reserve()).send(b"x" * MEBIBYTE)
    closing = asyncio.create_task(peer.transport.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    with pytest.raises(TransportClosed, match="closed on this side"):
        await peer.transport.reserve()
    await peer.transport.aclose()
    peer.close()


@pytest.mark.loops
async def test_input_can_be_ended_from_this_side_and_answers_still_sent() -> None:
    peer = RawPeer()
    peer.write(b"1\n")
    receiving = asyncio.create_task(peer.transport.receive())
    assert await receiving == [b"1"]
    receiving = asyncio.create_task(peer.transport.receive())
    await asyncio.sleep(0)
    peer.transport.end_input()
    assert await receiving == []
    peer.write(b"2\n")
    await asyncio.sleep(0)
    assert await peer.transport.receive() == []
    (await peer.transport.reserve()).send(b"3")
    assert os.read(peer.reads, 100) == b"3\n"
    await peer.transport.aclose()
    peer.close()


@pytest.mark.loops
async def test_the_receiving_task_runs_in_its_own_context_and_is_the_current_task() -> None:
    peer = RawPeer()
    who = contextvars.ContextVar("who", default="nobody")
    seen: list[object] = []

    async def receive() -> None:
        who.set("receiver")
        await peer.transport.receive()
        seen.extend([who.get(), asyncio.current_task()])

    receiving = asyncio.create_task(receive())
    await asyncio.sleep(0)
    peer.write(b"1\n")
    await receiving
    assert seen == ["receiver", receiving]
    assert who.get() == "nobody"
    peer.close()
    await peer.transport.aclose()


@pytest.mark.loops
async def test_a_receive_with_a_time_limit_can_be_repeated() -> None:
    peer = RawPeer()
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await peer.transport.receive()
    peer.write(b"1\n")
    assert await peer.transport.receive() == [b"1"]
    peer.close()
    await peer.transport.aclose()


@pytest.mark.loops
async def test_a_receiver_may_close_the_transport_from_within() -> None:
    peer = RawPeer()

    async def receive_and_close() -> list[bytes | Oversized]:
        messages = await peer.transport.receive()
        await peer.transport.aclose()
        return messages

    receiving = asyncio.create_task(receive_and_close())
    await asyncio.sleep(0)
    peer.write(b"1\n")
    assert await receiving == [b"1"]
    assert os.read(peer.reads, 1) == b""
    peer.close()


@pytest.mark.loops
async def test_a_socket_that_is_reset_by_a_dying_peer_has_ended() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = StreamTransport(linger=0.2)
        open_duplex(
            asyncio.get_running_loop(), transport, read_from=os.dup(ours.fileno()), write_to=os.dup(ours.fileno())
        )
        (await transport.reserve()).send(b"1")
        theirs.send(b"2\n")
        # Closing with our message unread resets the connection.
        theirs.close()
        received = await transport.receive()
        while more := await transport.receive():
            received += more
    assert received == [b"2"]
    await transport.aclose()


@pytest.mark.loops
async def test_what_is_sent_while_output_waits_keeps_its_order_and_nothing_is_sent_after_closing() -> None:
    peer = RawPeer()
    kept = [await peer.transport.reserve() for _ in range(3)]
    kept[0].send(b"x" * MEBIBYTE)
    kept[1].send(b"1", b"2")
    closing = asyncio.create_task(peer.transport.aclose())
    await asyncio.sleep(0)
    with pytest.raises(TransportClosed, match="closed on this side"):
        kept[2].send(b"3")
    assert await read_to_end(peer.reads) == b"x" * MEBIBYTE + b"\n1\n2\n"
    await closing
    peer.close()
