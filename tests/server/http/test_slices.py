"""Much that has come at once is parsed a slice at a time, while nothing more is read."""

import asyncio

from tests.server.http.test_flow import made
from tybalt.server.http.slices import SLICE, Slices


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_of_it_is_parsed_in_order_and_nothing_is_read_meanwhile() -> None:
    flow, transport = made()
    pieces: list[bytes] = []
    slices = Slices(asyncio.get_running_loop(), flow, lambda piece: pieces.append(piece) or True)
    data = b"a" * SLICE + b"b" * SLICE + b"c"
    slices.add(data[:-1])
    await asyncio.sleep(0)
    assert (len(pieces), transport.reads, bool(slices)) == (1, False, True)
    slices.add(data[-1:])
    await turns()
    assert b"".join(pieces) == data
    assert [len(each) for each in pieces] == [SLICE, SLICE, 1]
    assert (transport.reads, bool(slices)) == (True, False)


async def test_what_nobody_reads_on_is_dropped() -> None:
    flow, transport = made()
    pieces: list[bytes] = []
    slices = Slices(asyncio.get_running_loop(), flow, lambda piece: bool(pieces.append(piece)))
    slices.add(b"a" * 3 * SLICE)
    await turns()
    assert len(pieces) == 1
    assert (transport.reads, bool(slices)) == (True, False)


async def test_it_waits_for_a_client_that_does_not_read() -> None:
    flow, transport = made()
    pieces: list[bytes] = []

    def read(piece: bytes) -> bool:
        pieces.append(piece)
        if len(pieces) == 1:
            flow.pause_writing()
        return True

    slices = Slices(asyncio.get_running_loop(), flow, read)
    slices.add(b"a" * 2 * SLICE)
    await turns()
    assert len(pieces) == 1
    flow.resume_writing()
    slices.go_on()
    slices.go_on()
    await turns()
    assert len(pieces) == 2
    assert transport.reads
