"""What the memory pair does beyond the contract that every transport keeps."""

from __future__ import annotations

import asyncio

import pytest

from tybalt.errors import MisuseError, TransportClosed
from tybalt.transports.memory import memory_pair


async def test_capacity_counts_messages_on_their_way() -> None:
    one, other = memory_pair(2)
    (await one.reserve()).send(b"1")
    (await one.reserve()).send(b"2")
    assert one.reserve_nowait() is None
    assert await other.receive() == [b"1", b"2"]
    assert one.reserve_nowait() is not None


async def test_what_permits_send_may_pass_the_capacity() -> None:
    one, other = memory_pair(2)
    late = await one.reserve()
    (await one.reserve()).send(b"1", b"2", b"3")
    late.send(b"4")
    assert one.reserve_nowait() is None
    assert await other.receive() == [b"1", b"2", b"3", b"4"]


async def test_who_waits_is_served_one_after_the_other() -> None:
    one, other = memory_pair(1)
    (await one.reserve()).send(b"1")

    async def send(message: bytes) -> None:
        (await one.reserve()).send(message)

    waiting = [asyncio.create_task(send(message)) for message in (b"2", b"3")]
    await asyncio.sleep(0)
    assert [await other.receive() for _ in range(3)] == [[b"1"], [b"2"], [b"3"]]
    await asyncio.gather(*waiting)


async def test_messages_pass_as_the_objects_they_are() -> None:
    one, other = memory_pair()
    message = b"[1]" * 100
    (await one.reserve()).send(message)
    [received] = await other.receive()
    assert received is message


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
