"""Descriptors that no loop can watch: regular files, the null and the full device, terminals."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

import pytest

from tybalt.errors import TransportClosed
from tybalt.protocol.frames import Oversized
from tybalt.transports.descriptors import can_watch, open_duplex
from tybalt.transports.stream import StreamTransport

MESSAGES = [b'{"number":%d}' % number for number in range(50_000)]


def over(read_from: int, write_to: int, **options: int) -> StreamTransport:
    transport = StreamTransport(linger=0.2, **options)
    open_duplex(asyncio.get_running_loop(), transport, read_from=read_from, write_to=write_to)
    return transport


def opened(path: str | Path, flags: int = os.O_RDWR) -> int:
    return os.open(path, flags)


async def received_from(transport: StreamTransport) -> list[bytes | Oversized]:
    received: list[bytes | Oversized] = []
    while messages := await transport.receive():
        received += messages
    return received


async def no_threads_left() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("tybalt"):
            await asyncio.to_thread(thread.join)


def test_files_are_not_watched_and_pipes_are(tmp_path: Path) -> None:
    file = opened(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    reads, writes = os.pipe()
    null = opened(os.devnull)
    try:
        assert [can_watch(each) for each in (file, null, reads, writes)] == [False, False, True, True]
    finally:
        for each in (file, reads, writes, null):
            os.close(each)


@pytest.mark.loops
async def test_a_file_is_read_to_its_end_and_a_file_is_written(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"\n".join(MESSAGES) + b"\n")
    transport = over(opened(source), opened(target, os.O_WRONLY | os.O_CREAT), read_ahead=10_000)
    assert await received_from(transport) == MESSAGES
    for start in range(0, len(MESSAGES), 1000):
        (await transport.reserve()).send(*MESSAGES[start : start + 1000])
    await transport.aclose()
    assert target.read_bytes() == source.read_bytes()
    await no_threads_left()


@pytest.mark.loops
async def test_the_null_device_is_an_empty_stream_and_takes_everything() -> None:
    transport = over(opened(os.devnull), opened(os.devnull))
    assert await transport.receive() == []
    (await transport.reserve()).send(*MESSAGES)
    await transport.aclose()
    await no_threads_left()


@pytest.mark.loops
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
async def test_a_write_that_fails_closes_the_transport() -> None:
    reads, writes = os.pipe()
    transport = over(reads, opened("/dev/full"))
    (await transport.reserve()).send(b"1")
    assert await transport.receive() == []
    with pytest.raises(TransportClosed, match="No space left"):
        await transport.reserve()
    await transport.aclose()
    os.close(writes)
    await no_threads_left()


@pytest.mark.loops
async def test_a_read_that_fails_closes_the_transport(tmp_path: Path) -> None:
    transport = over(opened(tmp_path / "file", os.O_WRONLY | os.O_CREAT), opened(os.devnull))
    assert await transport.receive() == []
    await transport.aclose()
    with pytest.raises(TransportClosed):
        await transport.reserve()
    await no_threads_left()


@pytest.mark.loops
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
async def test_a_terminal_is_read_and_written_and_closing_does_not_wait_for_input() -> None:
    controller, terminal = os.openpty()
    transport = over(os.dup(terminal), os.dup(terminal))
    receiving = asyncio.create_task(transport.receive())
    os.write(controller, b"1\n")
    assert await receiving == [b"1"]
    (await transport.reserve()).send(b"2")
    written = b""
    while not written.endswith(b"2\r\n"):
        written += await asyncio.to_thread(os.read, controller, 100)
    await transport.aclose()
    await no_threads_left()
    os.close(terminal)
    os.close(controller)
