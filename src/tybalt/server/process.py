"""Running a server as a process over stdio: the loop, the signals, the end.

The end of standard input is the client's way to say goodbye; SIGTERM and Ctrl-C are the operator's. Either lets
running requests finish within the server's grace period; a second signal ends the process at once
(2026-07-28 basic/transports/stdio, "Shutdown").
"""

import asyncio
import os
import signal
from typing import TYPE_CHECKING

from tybalt.transports.stdio import stdio_transport

if TYPE_CHECKING:
    from tybalt.server.server import Server


def run_stdio(server: "Server") -> None:
    """Serve over this process's standard streams until the client or a signal ends it. Blocks."""
    asyncio.run(serve_stdio(server))


async def serve_stdio(server: "Server") -> None:
    """`run_stdio` inside a running loop; installs handlers for SIGTERM and SIGINT while it runs."""
    stop = asyncio.Event()
    # First the streams, so that nothing the lifespan prints can reach the client.
    transport = await stdio_transport()
    caught = _on_signals(stop)
    try:
        await server.serve(transport, stop=stop)
    finally:
        loop = asyncio.get_running_loop()
        for number in caught:
            loop.remove_signal_handler(number)


def _on_signals(stop: asyncio.Event) -> list[int]:
    """Set `stop` on the first SIGTERM or SIGINT, end the process on the second; returns the signals handled."""
    loop = asyncio.get_running_loop()

    def caught(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    numbers: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, caught, number)
        except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread.
            continue
        numbers.append(number)
    return numbers
