"""What a server process writes to stderr: drained, bounded, and kept for the error message.

The client may capture, forward or ignore it and must not take it for errors (2026-07-28 basic/transports/stdio).
`process` opens one when its caller asked to see stderr.
"""

import asyncio
from collections.abc import Callable

from tybalt.protocol.frames import NewlineFrames, Oversized

KEPT = 64 * 1024


class Diagnostics(asyncio.Protocol):
    """Reads stderr to its end, whatever comes: the last 64 KiB are kept as `tail`, each line goes to `on_line`.

    A line is decoded as UTF-8, with a replacement character for what is not; one that is longer than 64 KiB is left out
    of `on_line`, with a note of it in its place. What `on_line` raises goes to the loop's exception handler.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_line: Callable[[str], None] | None) -> None:
        self._loop = loop
        self._on_line = on_line
        self._frames = NewlineFrames(KEPT)
        self._tail = bytearray()

    @property
    def tail(self) -> bytes:
        """The last bytes received, at most 64 KiB."""
        return bytes(self._tail[-KEPT:])

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self._tail += data
        if len(self._tail) > 2 * KEPT:
            del self._tail[:-KEPT]
        self._hand_on(self._frames.feed(data))

    def done(self, _error: OSError | None) -> None:
        """The stream has ended."""
        self._hand_on(self._frames.eof())

    def _hand_on(self, lines: list[bytes | Oversized]) -> None:
        on_line = self._on_line
        if on_line is None:
            return
        for line in lines:
            text = f"[{line}]" if isinstance(line, Oversized) else line.decode("utf-8", "replace")
            try:
                on_line(text)
            except Exception as error:  # noqa: BLE001 - whatever it raises must not stop the draining
                self._loop.call_exception_handler({"message": "on_line for stderr failed", "exception": error})
