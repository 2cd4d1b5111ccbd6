"""Servers for test_process.py, each a program of its own: `python programs.py WORKERS`."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tybalt import Context, Server


def note(text: str) -> None:
    """Tell the test, which reads stderr."""
    os.write(2, f"{text}\n".encode())  # At once: several processes speak here.


def pass_the_gate() -> None:
    """Where the test has made the directory `GATE`, wait until it lets this process in, by a pipe with its number."""
    gate = Path(os.environ.get("GATE", "nowhere"), str(os.getpid()))
    if gate.parent.is_dir():
        os.mkfifo(gate)
        note(f"opening {os.getpid()}")
        if gate.read_text():
            raise OSError("the gate stays closed")


@asynccontextmanager
async def lifespan(_: Server) -> AsyncGenerator[None]:
    if "BROKEN" in os.environ:
        raise OSError("the database is not there")
    pass_the_gate()
    note(f"opened {os.getpid()}")
    yield
    note(f"closed {os.getpid()}")


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


@server.tool(run_in="loop")
def most_files() -> int:
    import resource

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


if __name__ == "__main__":
    server.run("http", port=0, workers=int(sys.argv[1]))
