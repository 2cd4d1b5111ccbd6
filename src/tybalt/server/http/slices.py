"""Much that has come at once, parsed a slice at a time: requests without end are no reason to serve nobody else."""

import asyncio
from collections.abc import Callable
from typing import Final

from tybalt.server.http.flow import LaneFlow

SLICE: Final = 32 * 1024
"""Bytes that are parsed before others have their turn: some thousand chunks of one byte, or a hundred small calls."""


class Slices:
    """What waits to be parsed. `read` parses a slice, and says whether it reads on."""

    __slots__ = ("_at", "_data", "_flow", "_loop", "_next", "_read")

    def __init__(self, loop: asyncio.AbstractEventLoop, flow: LaneFlow, read: Callable[[bytes], bool]) -> None:
        self._loop = loop
        self._flow = flow
        self._read = read
        self._data = b""
        self._at = 0
        self._next: asyncio.Handle | None = None

    def __bool__(self) -> bool:
        return bool(self._data)

    def add(self, data: bytes) -> None:
        """More has come; nothing more is read of the connection until it is parsed."""
        self._data = self._data[self._at :] + data
        self._at = 0
        self._flow.hold()
        self.go_on()

    def go_on(self) -> None:
        """Go on parsing, soon; while the client does not read, nothing more of it is parsed either."""
        if self._data and self._next is None and not self._flow.write_paused:
            self._next = self._loop.call_soon(self._parse)

    def drop(self) -> None:
        """Parse no more of it."""
        self._data = b""
        self._at = 0
        self._flow.release()

    def _parse(self) -> None:
        self._next = None
        piece = self._data[self._at : self._at + SLICE]
        self._at += len(piece)
        if self._read(piece) and self._at < len(self._data):
            self.go_on()
        else:
            self.drop()
