"""The flow of one connection: when reading stands still, and whether anybody reads what was written, also at the end.

uvicorn's own has one flag for all who want reading to stand still, so that whoever wants it no more speaks for the
others. Here it goes on when nobody wants it to stand: the application has not read the body that is here, a client does
not read what was written, or what is here is parsed piece by piece.
"""

import asyncio
from typing import Final

UNREAD_TIMEOUT: Final = 5.0
"""Seconds after which a connection that was closed is cut, though what was written last has not been read."""


class Closing:
    """The end of one connection: what was written and is not read would else be kept for ever."""

    __slots__ = ("_since", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._since: float | None = None

    def sweep(self, now: float) -> bool:
        """Whether it was closed; it is cut when that is too long ago, as far as those who ask now and then can see."""
        if not self._transport.is_closing():
            return False
        if self._since is None:
            self._since = now
        elif now - self._since >= UNREAD_TIMEOUT:
            self._transport.abort()
        return True


class LaneFlow:
    """What uvicorn's cycles ask of theirs, and the lane of this."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.read_paused = False
        self.write_paused = False
        self._transport = transport
        self._room = asyncio.Event()
        self._room.set()
        self._is_full = False
        self._is_held = False
        self._unread: int | None = None
        self._stuck_since = 0.0

    def pause_reading(self) -> None:
        """The application has not read yet what is here."""
        self._is_full = True
        self._settle()

    def resume_reading(self) -> None:
        """It has."""
        self._is_full = False
        self._settle()

    def hold(self) -> None:
        """What is here is being parsed."""
        self._is_held = True
        self._settle()

    def release(self) -> None:
        """It was."""
        self._is_held = False
        self._settle()

    def pause_writing(self) -> None:
        """What was written waits to be read: who does not read is not read either."""
        self.write_paused = True
        self._room.clear()
        self._unread = None
        self._settle()

    def resume_writing(self) -> None:
        """It was read."""
        self.write_paused = False
        self._room.set()
        self._settle()

    async def drain(self) -> None:
        """Wait until what was written is read."""
        await self._room.wait()

    @property
    def is_client_waiting(self) -> bool:
        """Whether it is not the client's fault when nothing comes."""
        return self._is_full or self.write_paused

    def is_stuck(self, now: float, seconds: float) -> bool:
        """Whether nothing of what waits to be read was read for so long, as far as those who ask now and then can see.

        It may grow meanwhile: that is no sign of life.
        """
        if not self.write_paused:
            return False
        size = self._transport.get_write_buffer_size()
        if self._unread is None or size < self._unread:
            self._stuck_since = now
        self._unread = size
        return now - self._stuck_since >= seconds

    def _settle(self) -> None:
        """Let the transport do what is wanted now."""
        wanted = self._is_full or self._is_held or self.write_paused
        if wanted is self.read_paused or self._transport.is_closing():
            return
        self.read_paused = wanted
        if wanted:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()
