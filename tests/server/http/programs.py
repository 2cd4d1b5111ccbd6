"""Servers for test_process.py, each a program of its own: `python programs.py WORKERS`."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tybalt import Context, Server


def note(text: str) -> None:
    """Tell the test, which reads stderr."""
    os.write(2, f"{text}\n".encode())  # At once: several processes speak here.


@asynccontextmanager
async def lifespan(_: Server) -> AsyncGenerator[None]:
    if "BROKEN" in os.environ:
        raise OSError("the database is not there")
    note("opened")
    yield
    note("closed")


server = Server("program", lifespan=lifespan, grace=float(os.environ.get("GRACE", "30")))
released = asyncio.Event()


@server.tool(run_in="loop")
def add(a: int, b: int) -> int:
    return a + b


@server.tool(run_in="loop")
def process() -> int:
    return os.getpid()


@server.tool
async def wait(context: Context) -> str:
    note("waiting")
    try:
        await released.wait()
    except asyncio.CancelledError:
        note("stopped")
        raise
    return "released"


@server.tool
async def stubborn() -> str:
    note("stubborn")
    while True:
        try:
            await released.wait()
        except asyncio.CancelledError:
            pass


@server.tool
async def release() -> str:
    released.set()
    return ""


if __name__ == "__main__":
    server.run("http", port=0, workers=int(sys.argv[1]))
