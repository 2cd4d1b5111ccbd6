"""Servers for test_process.py, each a program of its own: `python programs.py NAME`."""

# ruff: noqa: T201

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tybalt import Context, Server


def note(text: str) -> None:
    """Tell the test, which reads stderr."""
    print(text, file=sys.stderr, flush=True)


def polite(grace: float = 30.0) -> Server:
    """Answers at once, or waits until it is stopped; tells of its beginning and its end."""

    @asynccontextmanager
    async def lifespan(server: Server) -> AsyncGenerator[None, None]:
        note("opened")
        yield
        note("closed")

    server = Server("program", run_in="loop", lifespan=lifespan, grace=grace)

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def wait(context: Context) -> str:
        note("waiting")
        try:
            await asyncio.Event().wait()
        finally:
            note("stopped")
        return "never"

    @server.tool
    async def twice() -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    return server


def hurried() -> Server:
    """Lets nobody finish."""
    return polite(grace=0)


def poisoned() -> Server:
    """Writes to standard output in every way there is."""
    server = polite()

    @server.tool
    def poison() -> str:
        print("printed")
        os.write(1, b"written\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        sys.__stdout__.write("through __stdout__\n")
        return "clean"

    return server


def stubborn() -> Server:
    """Its handler swallows every cancel."""
    server = polite(grace=0)

    @server.tool
    async def stay() -> str:
        note("waiting")
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                note("swallowed")

    return server


def blocking() -> Server:
    """Its handler blocks the loop until the process dies."""
    server = polite()

    @server.tool
    def block() -> str:
        note("waiting")
        threading.Event().wait()
        return "never"

    return server


def slow_to_start() -> Server:
    """Its lifespan never opens."""

    @asynccontextmanager
    async def lifespan(server: Server) -> AsyncGenerator[None, None]:
        note("waiting")
        try:
            await asyncio.Event().wait()
            yield
        finally:
            note("closed")

    return Server("program", run_in="loop", lifespan=lifespan)


def exits() -> Server:
    """Its tools want to end the process."""
    server = polite()

    @server.tool
    def leave() -> str:
        sys.exit(3)

    @server.tool
    async def leave_later() -> str:
        await asyncio.sleep(0)
        sys.exit(3)

    return server


def signals_itself() -> Server:
    """Is told to stop while it answers."""
    server = polite()

    @server.tool
    def stop() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0)
        return "answered"

    return server


if __name__ == "__main__":
    globals()[sys.argv[1]]().run()
