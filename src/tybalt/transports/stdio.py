"""The server's end of stdio: the process's own standard streams, kept for messages alone.

While the transport is open, the real descriptors 0 and 1 are private copies that no child inherits; 0 is the null
device and 1 points at stderr. So a stray `print`, a C library that writes to descriptor 1, and the output of child
processes all land on stderr, and only messages reach the client (2026-07-28 basic/transports/stdio). The client's end
is `process`; when the process should end is for the server's driver to say.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from io import TextIOWrapper
from typing import Unpack

from tybalt.errors import MisuseError, TransportError
from tybalt.transports.descriptors import can_watch, open_duplex
from tybalt.transports.stream import StreamOptions, StreamTransport


async def stdio_transport(
    streams: "StandardStreams | None" = None, **options: Unpack[StreamOptions]
) -> "StdioTransport":
    """Take the standard streams of this process for messages, until the transport is closed.

    `streams` are those that were put aside before, so that nothing could reach the client in the meantime.

    Pipes and sockets, which is what clients give a server, are read and written in the event loop; terminals, regular
    files and the null device, by threads. `options` are those of `StreamTransport`.

    Raises `TransportError` when descriptor 0 or 1 is closed, and `MisuseError` when another stdio transport is open.
    Not guaranteed: input that was read through `sys.stdin` before, even if nobody asked for it yet, is not seen here.
    """
    transport = StdioTransport(**options)
    transport.open(asyncio.get_running_loop(), streams)
    return transport


class StdioTransport(StreamTransport):
    """A `StreamTransport` over descriptors 0 and 1, which it gives back when it is closed.

    Closing flushes `sys.stdout` to stderr first, then restores both descriptors and their blocking mode. The client
    sees the end of the stream only when the process exits, because descriptor 1 is open again.
    """

    _streams: "StandardStreams | None" = None

    def open(self, loop: asyncio.AbstractEventLoop, streams: "StandardStreams | None" = None) -> None:
        """Take the descriptors and start reading; `stdio_transport` has called this."""
        streams = streams or StandardStreams()
        self._streams = streams
        try:
            open_duplex(loop, self, read_from=streams.lend(0), write_to=streams.lend(1), watch=streams.can_watch())
        except BaseException:
            streams.give_back()
            raise

    async def aclose(self) -> None:
        """Send what is left, for at most `linger` seconds, and give the descriptors back."""
        try:
            await super().aclose()
        finally:
            streams, self._streams = self._streams, None
            if streams is not None:
                streams.give_back()


class StandardStreams:
    """Descriptors 0 and 1, put out of everybody's reach until `give_back`.

    Make one to have them out of the way before user code is loaded, and hand it to `stdio_transport`. Raises what that
    raises.
    """

    _taken = False

    def __init__(self) -> None:
        if StandardStreams._taken:
            raise MisuseError(
                "the standard streams already carry a stdio transport; close it before opening another. In a file that "
                'is loaded by `tybalt`, call run() only under `if __name__ == "__main__":`'
            )
        _require_open(0, sys.__stdin__, "standard input", "nothing could ever be received")
        _require_open(1, sys.__stdout__, "standard output", "nothing could ever be sent")
        self._kept = [_copy(0), _copy(1)]
        self._blocking = [_blocking(descriptor) for descriptor in self._kept]
        self._stderr = 2 if _is_open(2) and sys.__stderr__ is not None else None
        self._divert()
        StandardStreams._taken = True

    def lend(self, descriptor: int) -> int:
        """A copy of the real descriptor; whoever borrows it closes it."""
        return _copy(self._kept[descriptor])

    def can_watch(self) -> bool:
        """Whether the streams may be made non-blocking: not where stderr is one of them, it would be so too."""
        return self._stderr is None or not any(os.path.sameopenfile(kept, 2) for kept in self._kept if can_watch(kept))

    def give_back(self) -> None:
        """Put everything back as it was."""
        StandardStreams._taken = False
        _flush_stdout()
        for descriptor, kept in enumerate(self._kept):
            os.dup2(kept, descriptor)
            os.close(kept)
            blocking = self._blocking[descriptor]
            if blocking is not None:
                os.set_blocking(descriptor, blocking)
        self._restore_buffering()

    def _divert(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null if self._stderr is None else self._stderr, 1)
        os.close(null)
        # What print() had buffered before belongs to stderr by now, and what follows should not wait for a full buffer.
        _flush_stdout()
        self._restore_buffering = _buffer_lines()


def _require_open(descriptor: int, stream: object, name: str, consequence: str) -> None:
    # A closed descriptor may have been taken by something else since; Python noticed at its start and left None here.
    if stream is None or not _is_open(descriptor):
        raise TransportError(
            f"descriptor {descriptor} ({name}) is closed, so {consequence}; "
            "start the server with its standard streams open, as an MCP client does"
        )


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _flush_stdout() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            # A broken stderr or a closed sys.stdout: nothing of ours is lost with it.
            continue


def _buffer_lines() -> Callable[[], None]:
    stream = sys.__stdout__
    if not isinstance(stream, TextIOWrapper) or stream.line_buffering:
        return _nothing
    stream.reconfigure(line_buffering=True)
    return partial(stream.reconfigure, line_buffering=False)


def _nothing() -> None:
    """Buffering was left as it is."""


def _blocking(descriptor: int) -> bool | None:
    return None if sys.platform == "win32" else os.get_blocking(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _copy(descriptor: int) -> int:
        copy = os.dup(descriptor)
        msvcrt.setmode(copy, os.O_BINARY)
        return copy

else:
    from fcntl import F_DUPFD_CLOEXEC, fcntl

    def _copy(descriptor: int) -> int:
        # Never 0, 1 or 2, even where one of them is free: those are everybody's.
        return fcntl(descriptor, F_DUPFD_CLOEXEC, 3)
