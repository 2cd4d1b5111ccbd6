"""Running a server as a process over stdio: the loop, the signals, the end.

The end of standard input is the client's way to say goodbye; SIGTERM and Ctrl-C are the operator's. Either lets
running requests finish within the server's grace period; a second signal ends the process at once
(2026-07-28 basic/transports/stdio, "Shutdown").
"""

import asyncio
import atexit
import os
import signal
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING

from tybalt.transports.stdio import stdio_transport

if TYPE_CHECKING:
    from tybalt.server.server import Server


def run_stdio(server: "Server") -> None:
    """Serve over this process's standard streams until the client or a signal ends it. Blocks."""
    asyncio.run(serve_stdio(server))


async def serve_stdio(server: "Server") -> None:
    """`run_stdio` inside a running loop, on the main thread."""
    stop = asyncio.Event()
    # First the streams, so that nothing the lifespan prints can reach the client.
    transport = await stdio_transport()
    _on_signals(stop)
    await server.serve(transport, stop=stop)
    _end_quietly()


def _on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on the first SIGTERM or SIGINT, end the process on the second.

    The handlers are Python's, not the loop's: they outlive the loop, so that there is no moment at which a client that
    says SIGTERM right after its goodbye kills a server that has ended well.
    """
    loop = asyncio.get_running_loop()

    def caught(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            os._exit(128 + number)
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError):  # Not the main thread: signals are somebody else's there.
            signal.signal(number, caught)


def _end_quietly() -> None:
    """All is answered and closed: from here on SIGTERM ends the process at once, as the success it is.

    While the interpreter shuts down it runs no handlers and puts the default ones back, but leaves what is ignored.
    """
    with suppress(ValueError):
        signal.signal(signal.SIGTERM, _succeed)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        atexit.register(signal.signal, signal.SIGTERM, signal.SIG_IGN)


def _succeed(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what a handler is called with)
    os._exit(0)
