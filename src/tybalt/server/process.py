"""Running a server as a process over stdio: the loop, the signals, the end.

The end of standard input is the client's way to say goodbye; SIGTERM and Ctrl-C are the operator's. Either lets
running requests finish within the server's grace period; a second signal ends the process at once
(2026-07-28 basic/transports/stdio, "Shutdown").
"""

import asyncio
import atexit
import logging
import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from tybalt.errors import MisuseError
from tybalt.server.ending import CLEANUP
from tybalt.transports.stdio import StandardStreams, stdio_transport

if TYPE_CHECKING:
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")


_is_loading = False


@contextmanager
def loading() -> Generator[None]:
    """While a file is loaded by who wants what is in it: `refuse_while_loading` refuses in the block."""
    global _is_loading  # noqa: PLW0603 (a process loads one file at a time)
    before, _is_loading = _is_loading, True
    try:
        yield
    finally:
        _is_loading = before


def refuse_while_loading() -> None:
    """Raise `MisuseError` where a file that is being loaded wants to serve by itself."""
    if _is_loading:
        raise MisuseError(
            'this file is loaded by `tybalt`, which serves it if asked: call run() under `if __name__ == "__main__":`'
        )


def run_stdio(server: "Server", streams: StandardStreams | None = None) -> None:
    """Serve over this process's standard streams until the client or a signal ends it. Blocks.

    `streams` are the streams where they were put aside already.
    """
    if os.isatty(0):
        # A person started it, and would see nothing at all.
        sys.stderr.write(
            f"{server.name} speaks MCP over stdio and waits for a client to say something on standard input. "
            "Ctrl-C ends it; `tybalt list FILE` shows what it offers.\n"
        )
    asyncio.run(serve_stdio(server, streams))


async def serve_stdio(server: "Server", streams: StandardStreams | None = None) -> None:
    """`run_stdio` inside a running loop, on the main thread."""
    stop = asyncio.Event()
    # First the streams, so that nothing the lifespan prints can reach the client.
    transport = await stdio_transport(streams)
    _on_signals(stop)
    await server.serve(transport, stop=stop)
    await leave_nobody_behind()
    _end_quietly()


async def leave_nobody_behind() -> None:
    """Stop what still runs. The loop would wait for it for ever, so what does not stop ends with the process."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others and (stubborn := (await asyncio.wait(others, timeout=CLEANUP))[1]):
        logger.error("the process ends though this still runs: %s", ", ".join(map(repr, stubborn)))
        logging.shutdown()
        os._exit(1)


def _on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on the first SIGTERM or SIGINT, end the process on the second.

    The handlers are Python's, not the loop's: they outlive the loop, so that there is no moment at which a client that
    says SIGTERM right after its goodbye kills a server that has ended well.
    """
    loop = asyncio.get_running_loop()
    caught_before = False

    def caught(number: int, _: FrameType | None) -> None:
        # Not `stop.is_set()`: a handler that blocks the loop blocks that too, and the second signal is meant for it.
        nonlocal caught_before
        if caught_before:
            os._exit(128 + number)
        caught_before = True
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
