"""FastMCP, as its documentation shows it: a server in the shapes of `bench/ours.py`, and its in-memory client.

python fastmcp_peer.py add | pause | many     serve over stdio
python fastmcp_peer.py http PORT              serve `add` and `ticks` over streamable HTTP
python fastmcp_peer.py memory ROUNDS          time calls in memory; prints JSON: microseconds by era
python fastmcp_peer.py client URL ROUNDS      time calls over HTTP; prints JSON as bench/client_load.py does
python fastmcp_peer.py children COUNT PYTHON  start so many servers of bench/ours.py; likewise
"""

import asyncio
import json
import os
import sys
import time

from fastmcp import Client, Context, FastMCP
from fastmcp.client.transports import StdioTransport

MANY = 300


def make(shape: str) -> FastMCP:
    server = FastMCP("bench", version="1.0.0")
    if shape in ("add", "http"):

        @server.tool
        def add(a: int, b: int) -> int:
            return a + b

        if shape == "http":

            @server.tool
            async def ticks(count: int, context: Context) -> int:
                for number in range(count):
                    await context.report_progress(number + 1, count)
                return count

    elif shape == "pause":

        @server.tool
        async def pause(a: int, b: int) -> int:
            await asyncio.sleep(0.01)
            return a + b

    else:

        def forecast(city: str, days: int = 3, detailed: bool = False) -> str:
            """The weather of the next days in a city."""
            return f"{city} {days} {detailed}"

        for number in range(MANY):
            server.tool(name=f"forecast_{number}")(forecast)
    return server


async def in_memory(mode: str, rounds: int) -> float:
    best = float("inf")
    async with Client(make("add"), mode=mode) as client:
        for _ in range(rounds):
            started = time.perf_counter()
            for _ in range(50):
                await client.call_tool("add", {"a": 5, "b": 3})
            best = min(best, (time.perf_counter() - started) / 50)
    return best * 1e6


async def over_http(url: str, rounds: int) -> dict[str, float]:
    best = {"cpu": float("inf"), "wall": float("inf"), "at_once": float("inf")}
    async with Client(url, mode="2026-07-28") as client:
        for _ in range(rounds):
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(50):
                await client.call_tool("add", {"a": 5, "b": 3})
            seen = {"cpu": (time.process_time() - cpu) / 50 * 1e6, "wall": (time.perf_counter() - wall) / 50 * 1e6}
            started = time.perf_counter()
            await asyncio.gather(*(client.call_tool("add", {"a": 5, "b": 3}) for _ in range(1_000)))
            seen["at_once"] = time.perf_counter() - started
            best = {name: min(value, seen[name]) for name, value in best.items()}
    return best


async def children(count: int, python: str) -> dict[str, float]:
    turns = asyncio.Semaphore(10)

    async def one() -> None:
        async with (
            turns,
            Client(StdioTransport(python, ["bench/ours.py", "add"], env=dict(os.environ), keep_alive=False)) as client,
        ):
            await client.call_tool("add", {"a": 5, "b": 3})

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count)))
    return {"seconds": time.perf_counter() - started}


if __name__ == "__main__":
    if sys.argv[1] == "memory":
        modes = {"modern": "2026-07-28", "legacy": "legacy"}
        print(json.dumps({era: asyncio.run(in_memory(mode, int(sys.argv[2]))) for era, mode in modes.items()}))
    elif sys.argv[1] == "client":
        print(json.dumps(asyncio.run(over_http(sys.argv[2], int(sys.argv[3])))))
    elif sys.argv[1] == "children":
        print(json.dumps(asyncio.run(children(int(sys.argv[2]), sys.argv[3]))))
    elif sys.argv[1] == "http":
        make("http").run(transport="http", port=int(sys.argv[2]), show_banner=False, log_level="ERROR")
    else:
        make(sys.argv[1]).run(show_banner=False, log_level="ERROR")
