"""The load generator: `python bench/http_load.py PORT CONNECTIONS SECONDS PID [--constant]`; prints JSON.

So many connections, each of which asks again as soon as it was answered. Every answer is checked: its status, and that
it is the sum that was asked for, under the id of its connection (with `--constant` under that of all of them: a floor
reads no ids). PID is the server's, whose processor time is read at both ends of the time that counts.

It is a process of its own on uvloop, as bare as Python can be, and the same for us, the floors and the peers.
"""

import argparse
import asyncio
import json
import os
import re
import sys
from time import perf_counter, process_time
from typing import Any

from http_servers import ID
from messages import call
from timing import at_percent, middle

WARM_UP = 0.3
"""Seconds until what is done counts."""
PATIENCE = 30.0
"""Seconds after which a connection that waits for an answer has lost it."""
SUM = re.compile(rb'"structuredContent":\s*(?:\{"result":\s*)?8\b')
HEADERS = (
    b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
    b"Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
    b"Mcp-Method: tools/call\r\nMcp-Name: %b\r\nContent-Length: %d\r\n\r\n"
)


def request(port: int, body: bytes, tool: bytes = b"add") -> bytes:
    """A modern call, as it goes over the wire."""
    return HEADERS % (port, tool, len(body)) + body


class Load:
    """All connections, and what they have seen."""

    def __init__(self, count: int) -> None:
        self.taken: list[float] = []
        self.is_over = False
        self.lost = 0
        self.unanswered = count
        self.all_answered = asyncio.get_running_loop().create_future()

    def fail(self, text: str) -> None:
        if not self.all_answered.done():
            self.all_answered.set_exception(SystemExit(f"bench: {text}"))

    def one_is_done(self) -> None:
        self.unanswered -= 1
        if not self.unanswered and not self.all_answered.done():
            self.all_answered.set_result(None)


class Connection(asyncio.Protocol):
    """One connection, with one request on its way at a time."""

    def __init__(self, load: Load, port: int, number: int, expected: int) -> None:
        self.load = load
        self.request = request(port, call(number))
        self.id = re.compile(rb'"id":\s*%d[,}]' % expected)
        self.size, self.body = -1, b""
        """Of an answer that was read with care, and found right: the next is the same, but for the date in its head."""
        self.pieces = b""

    def connection_made(self, transport: Any) -> None:
        self.write = transport.write
        self.transport = transport
        self.since = perf_counter()
        self.write(self.request)

    def data_received(self, data: bytes) -> None:
        if len(data) != self.size or self.pieces or not data.endswith(self.body) or data[9:12] != b"200":
            self.pieces += data
            if not self.is_whole():
                return
        now = perf_counter()
        self.load.taken.append(now - self.since)
        if self.load.is_over:
            self.load.one_is_done()
            return
        self.since = now
        self.write(self.request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.fail(f"the server closed a connection: {exc or 'at its end'}; it had said {self.pieces[-300:]!r}")

    def is_whole(self) -> bool:
        """Whether the answer is whole; a wrong one ends it all."""
        head, found, body = self.pieces.partition(b"\r\n\r\n")
        if not found:
            return False
        length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
        if length is None and not body.endswith(b"0\r\n\r\n"):
            return False
        if length is not None and len(body) < int(length[1]):
            return False
        if not head.startswith(b"HTTP/1.1 200") or not SUM.search(body) or not self.id.search(body):
            self.load.fail(f"a server answered {self.pieces[:600]!r}")
        if length is not None:
            self.size, self.body = len(self.pieces), body
        self.pieces = b""
        return True


async def measure(options: argparse.Namespace) -> dict[str, float | None]:
    load = Load(options.connections)
    loop = asyncio.get_running_loop()
    made: list[Any] = []
    for number in range(options.connections):
        expected = ID if options.constant else ID + number
        transport, _ = await loop.create_connection(
            lambda number=number, expected=expected: Connection(load, options.port, ID + number, expected),
            "127.0.0.1",
            options.port,
        )
        made.append(transport)
    await _pause(load, WARM_UP)
    load.taken.clear()
    cpu, own, started = processor_seconds(options.pid), process_time(), perf_counter()
    await _pause(load, options.seconds)
    elapsed, taken = perf_counter() - started, sorted(load.taken)
    busy, cpu_after = process_time() - own, processor_seconds(options.pid)
    load.is_over = True
    try:
        await asyncio.wait_for(load.all_answered, PATIENCE)
    except TimeoutError:
        raise SystemExit(f"bench: {load.unanswered} of {options.connections} calls were not answered") from None
    for each in made:
        each.abort()
    if not taken:
        raise SystemExit(f"bench: nothing was answered within {options.seconds} s")
    return {
        "rate": len(taken) / elapsed,
        "cpu": None if cpu is None or cpu_after is None else (cpu_after - cpu) / len(taken) * 1e6,
        "p50": middle(taken) * 1000,
        "p99": at_percent(taken, 99) * 1000,
        "load": busy / elapsed,
    }


async def _pause(load: Load, seconds: float) -> None:
    """Let the connections run; a wrong answer ends it."""
    await asyncio.wait([load.all_answered], timeout=seconds)
    if load.all_answered.done():
        load.all_answered.result()


def processor_seconds(pid: int) -> float | None:
    """What a process has had of the processor, as user and as system; None where `/proc` does not tell."""
    if sys.platform != "linux":
        return None
    with open(f"/proc/{pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("connections", type=int)
    parser.add_argument("seconds", type=float)
    parser.add_argument("pid", type=int)
    parser.add_argument("--constant", action="store_true")
    import uvloop

    print(json.dumps(uvloop.run(measure(parser.parse_args()))))


if __name__ == "__main__":
    main()
