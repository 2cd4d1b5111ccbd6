"""What the memory pair does beyond the contract that every transport keeps."""

from __future__ import annotations

import asyncio
import gc

import pytest

from tybalt.errors import MisuseError, TransportClosed
from tybalt.transports.memory import memory_pair


async def test_capacity_counts_messages_and_permits() -> None:
    one, other = memory_pair(3)
    (await one.reserve()).send(b"1")
    held = await one.reserve()
    last = await one.reserve()
    assert one.reserve_nowait() is None
    held.release()
    (await one.reserve()).send(b"2")
    last.send(b"3")
    assert one.reserve_nowait() is None
    assert await other.receive() == [b"1", b"2", b"3"]
    assert one.reserve_nowait() is not None


async def test_one_permit_may_send_several_messages_past_the_capacity() -> None:
    one, other = memory_pair(2)
    (await one.reserve()).send(b"1", b"2", b"3")
    assert one.reserve_nowait() is None
    assert await other.receive() == [b"1", b"2", b"3"]


async def test_messages_pass_as_the_objects_they_are() -> None:
    one, other = memory_pair()
    message = b"[1]" * 100
    (await one.reserve()).send(message)
    [received] = await other.receive()
    assert received is message


async def test_a_permit_that_is_dropped_unused_frees_its_place() -> None:
    one, _ = memory_pair(1)
    dropped = await one.reserve()
    waiting = asyncio.create_task(one.reserve())
    await asyncio.sleep(0)
    assert not waiting.done()
    del dropped
    gc.collect()
    (await waiting).release()


async def test_who_came_first_is_served_before_one_who_asks_without_waiting() -> None:
    one, other = memory_pair(1)
    (await one.reserve()).send(b"1")
    waiting = asyncio.create_task(one.reserve())
    await asyncio.sleep(0)
    await other.receive()
    assert one.reserve_nowait() is None
    (await waiting).send(b"2")
    assert await other.receive() == [b"2"]


async def test_the_text_says_which_end_is_closed() -> None:
    one, other = memory_pair()
    await one.aclose()
    with pytest.raises(TransportClosed, match="this end of the pair is closed"):
        await one.reserve()
    with pytest.raises(TransportClosed, match="the other end of the pair is closed"):
        await other.reserve()


def test_a_pair_needs_room_for_a_message() -> None:
    with pytest.raises(MisuseError, match="at least 1 message, not 0"):
        memory_pair(0)
