"""What a server process writes to stderr: drained, bounded, and kept for the error message.

The client may capture, forward or ignore it and must not take it for errors (2026-07-28 basic/transports/stdio).
`process` opens one when its caller asked to see stderr.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from tybalt.errors import printable
from tybalt.protocol.frames import NewlineFrames, Oversized

KEPT = 64 * 1024
LAST_WORDS: Final = 500
"""Characters: the longest `last_words`, which are part of an error text."""


class Diagnostics(asyncio.Protocol):
    r"""Reads stderr to its end, whatever comes: the last 64 KiB are kept as `tail`, each line goes to `on_line`.

    A line is decoded as UTF-8, with a replacement character for what is not, and its control characters are escaped
    (`\x1b`), so that it cannot touch a terminal; one that is longer than 64 KiB is left out of `on_line`, with a note
    of it in its place. What `on_line` raises goes to the loop's exception handler.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_line: Callable[[str], object] | None) -> None:
        self._loop = loop
        self._on_line = on_line
        self._frames = NewlineFrames(KEPT)
        self._tail = bytearray()

    @property
    def tail(self) -> bytes:
        """The last bytes received, at most 64 KiB, as they came."""
        return bytes(self._tail[-KEPT:])

    @property
    def last_words(self) -> str:
        """The last lines on one line, at most 500 characters, with control characters escaped; "" for none."""
        # Four bytes are one character at least, unless they are none.
        text = self._tail[-4 * LAST_WORDS :].decode("utf-8", "replace")
        words = " | ".join(printable(line.strip(), kept="\t") for line in text.splitlines() if line.strip())
        return words if len(words) <= LAST_WORDS else f"…{words[1 - LAST_WORDS :]}"

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
            text = f"[{line}]" if isinstance(line, Oversized) else printable(line.decode("utf-8", "replace"), kept="\t")
            try:
                on_line(text)
            except Exception as error:  # noqa: BLE001 - whatever it raises must not stop the draining
                self._loop.call_exception_handler({"message": "on_line for stderr failed", "exception": error})
