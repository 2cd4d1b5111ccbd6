"""The server under soak, a program of its own: `python programs.py FACE WORKERS [OPTION=BYTES …]`.

FACE is `lane` (`server.run`) or `asgi` (plain uvicorn). It watches its own loop: how much processor time its thread had
between two looks, a millisecond apart where nothing else is done; that is how long something had the loop to itself,
whatever other processes do meanwhile. And it watches its own memory, at its highest too.
"""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import thread_time
from typing import Any

from tybalt import Context, Server

EVERY = 0.001


def note(text: str) -> None:
    """Tell the test, which reads stderr."""
    os.write(2, f"{text}\n".encode())  # At once, and whole: several processes speak here.


class Watch:
    """What this process has seen of itself since it was asked last."""

    def __init__(self) -> None:
        self.calls = 0
        self.longest = 0.0
        self._seen = 0.0

    def begin(self) -> None:
        self._seen = thread_time()
        self._look()

    def _look(self) -> None:
        now = thread_time()
        self.longest = max(self.longest, now - self._seen)
        self._seen = now
        asyncio.get_running_loop().call_later(EVERY, self._look)

    def tell(self) -> dict[str, float]:
        """The longest block in milliseconds, the memory in bytes, the calls of all time. Both begin anew."""
        told = {"blocked": self.longest * 1000, "resident": memory("VmRSS"), "peak": memory("VmHWM")}
        self.longest = 0.0
        with open("/proc/self/clear_refs", "w") as reset:
            reset.write("5")  # The highest begins again at what is there now.
        return {**told, "calls": self.calls}


def memory(name: str) -> int:
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(f"{name}:"))


watch = Watch()


@asynccontextmanager
async def lifespan(_: Server) -> AsyncGenerator[None]:
    watch.begin()
    note("opened")
    yield
    note(f"closed after {watch.calls} calls")


server = Server("soak", lifespan=lifespan, grace=float(os.environ.get("GRACE", "10")))
released = asyncio.Event()


@server.tool(run_in="loop")
def add(a: int, b: int) -> int:
    watch.calls += 1
    return a + b


@server.tool(run_in="loop")
def take(data: Any) -> str:
    return type(data).__name__


@server.tool(run_in="loop")
def take_rows(data: list[list[float]]) -> int:
    return len(data)


@server.tool(run_in="loop")
def watched() -> dict[str, float]:
    return watch.tell()


@server.tool
async def wait(seconds: float) -> str:
    note("waiting")
    await asyncio.sleep(seconds)
    return "waited"


@server.tool
async def linger(context: Context) -> str:
    note("lingers")
    try:
        await released.wait()
    except asyncio.CancelledError:
        note("stopped")
        raise
    note("goes on")
    return "lingered"


@server.tool
async def release() -> str:
    released.set()
    return ""


def serve(face: str, workers: int, options: Any) -> None:
    if face == "lane":
        server.run("http", port=0, workers=workers, **options)
        return
    import uvicorn

    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    note(f"soak serves MCP at http://127.0.0.1:{listening.getsockname()[1]}/mcp, as an ASGI application.")
    config = uvicorn.Config(server.asgi(**options), access_log=False, log_level="error")
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    given = dict(each.split("=") for each in sys.argv[3:])
    serve(sys.argv[1], int(sys.argv[2]), {name: int(value) for name, value in given.items()})
