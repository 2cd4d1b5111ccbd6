"""Newline framing: bytes in any split become whole messages.

The wire is that of stdio and of every byte stream (2026-07-28 basic/transports/stdio): one JSON text per line, ended by
LF; a CR before it is tolerated, blank lines are skipped. This module knows no JSON and does no I/O. Transports sit
above it and feed what they read; whoever drives the core by hand feeds it from anywhere.
"""

from msgspec import Struct

DEFAULT_LIMIT = 4 * 1024 * 1024


HEAD = 256
"""Bytes of a line that are kept when the rest is thrown away: enough to tell what it was."""


class Oversized(Struct, frozen=True):
    """Stands in the place of a line that is longer than the limit; the line itself is gone.

    `size` is how many of its bytes had been seen when the limit was passed, which depends on how they were split;
    `limit` is the limit that was passed. Both are in bytes. `head` is how the line begins.
    """

    size: int
    limit: int
    head: bytes = b""

    def __str__(self) -> str:
        return f"a message is longer than {self.limit:,} bytes (at least {self.size:,}); it was discarded unread"


class NewlineFrames:
    """Cuts a stream of bytes into messages, one per line.

    `limit` is the longest line accepted, in bytes, its CR counted and its LF not. Any split of the same bytes gives the
    same messages. At most `limit` bytes and the chunk at hand are ever held, whatever the peer sends; a line that grows
    past the limit is reported at once as `Oversized`, thrown away up to its end, and the next line is read as usual.

    A message is bytes without its line end, never blank. Whether it is JSON, or UTF-8, is for the decoder to say.
    """

    __slots__ = ("_held", "_skipping", "limit")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self._held = bytearray()
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes | Oversized]:
        """The messages that `chunk` completes, in order; an empty list when it completes none."""
        if self._held or self._skipping:
            return self._resume(chunk)
        lines = chunk.split(b"\n")
        rest = lines.pop()
        # Only a chunk that holds a CR, or is itself longer than the limit, needs a closer look at each of its lines.
        if b"\r" in chunk or len(chunk) > self.limit:
            messages = [message for line in lines for message in self._whole_line(line)]
        else:
            messages: list[bytes | Oversized] = [line for line in lines if line and not line.isspace()]
        return messages + self._hold(rest) if rest else messages

    def eof(self) -> list[bytes | Oversized]:
        """The stream has ended: the last line, if the peer did not end it with LF. The frames are as new afterwards."""
        return self._end_line(b"")

    def _resume(self, chunk: bytes) -> list[bytes | Oversized]:
        end = chunk.find(b"\n")
        if end < 0:
            return self._hold(chunk)
        messages = self._end_line(chunk[:end])
        return messages + self.feed(chunk[end + 1 :]) if end + 1 < len(chunk) else messages

    def _hold(self, piece: bytes) -> list[bytes | Oversized]:
        if self._skipping:
            return []
        size = len(self._held) + len(piece)
        if size > self.limit:
            head = bytes(self._held[:HEAD] + piece[:HEAD])[:HEAD]
            self._held = bytearray()
            self._skipping = True
            return [Oversized(size, self.limit, head)]
        self._held += piece
        return []

    def _end_line(self, tail: bytes) -> list[bytes | Oversized]:
        oversized = self._hold(tail)
        line = bytes(self._held)
        self._held = bytearray()
        self._skipping = False
        return oversized or self._whole_line(line)

    def _whole_line(self, line: bytes) -> list[bytes | Oversized]:
        if len(line) > self.limit:
            return [Oversized(len(line), self.limit, line[:HEAD])]
        line = line.removesuffix(b"\r")
        return [line] if line and not line.isspace() else []
