"""A client of ours under measurement: run as `python bench/client_load.py WHAT …`; prints JSON.

http URL ROUNDS     calls one at a time, and 1,000 at once: {"cpu", "wall", "floor"} in µs, {"at_once"} in seconds
children COUNT      so many servers over stdio, ten at a time, each asked once: {"seconds"}

The floor is aiohttp alone: the same body POSTed with the same fields over a pooled connection, the answer read whole.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from math import inf
from time import perf_counter, process_time
from typing import Any

from messages import ARGUMENTS, call

from tybalt import Client
from tybalt.transports import Command

CALLS = 200
AT_ONCE = 1_000
CHILDREN_AT_ONCE = 10
SERVER = Command([sys.executable, "bench/ours.py", "add"], inherit=["PYTHONPATH"])


async def over_http(url: str, rounds: int) -> dict[str, float]:
    async with Client(url, timeout=None) as client, _aiohttp() as session:

        async def ours() -> None:
            await client.call_tool("add", ARGUMENTS)

        headers = {
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": "2026-07-28",
            "mcp-method": "tools/call",
            "mcp-name": "add",
        }
        body = call()

        async def floor() -> None:
            async with session.post(url, data=body, headers=headers) as response:
                await response.read()

        best = {"cpu": inf, "wall": inf, "at_once": inf, "floor": inf}
        for _ in range(rounds):
            cpu, wall = await _timed(ours)
            bare, _ = await _timed(floor)
            started = perf_counter()
            await asyncio.gather(*(ours() for _ in range(AT_ONCE)))
            seen = {"cpu": cpu, "wall": wall, "at_once": perf_counter() - started, "floor": bare}
            best = {name: min(value, seen[name]) for name, value in best.items()}
        return best


def _aiohttp() -> Any:
    import aiohttp

    return aiohttp.ClientSession()


async def _timed(ask: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """Microseconds of processor time and of any time for each of some calls."""
    cpu, wall = process_time(), perf_counter()
    for _ in range(CALLS):
        await ask()
    return (process_time() - cpu) / CALLS * 1e6, (perf_counter() - wall) / CALLS * 1e6


async def children(count: int) -> dict[str, float]:
    turns = asyncio.Semaphore(CHILDREN_AT_ONCE)

    async def one() -> None:
        async with turns, Client(SERVER) as client:
            assert await client.call("add", **ARGUMENTS) == 8

    started = perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return {"seconds": perf_counter() - started}


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    measured = over_http(arguments[0], int(arguments[1])) if what == "http" else children(int(arguments[0]))
    print(json.dumps(asyncio.run(measured)))
