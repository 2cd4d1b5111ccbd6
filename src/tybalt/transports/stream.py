"""Messages over any asyncio byte stream: newline frames in, whole lines out.

`StreamTransport` is the asyncio protocol of a byte stream and the transport of messages in one object. It does not
open anything: `sockets` hands it to asyncio's own socket transports, `stdio` and `process` to the links of
`descriptors` and `threads`. Whatever moves the bytes below it is called its link.
"""

import asyncio
from asyncio import Future
from typing import Protocol, TypedDict, cast

from tybalt.errors import MisuseError, TransportClosed
from tybalt.protocol.frames import DEFAULT_LIMIT, NewlineFrames, Oversized
from tybalt.transports.transport import SendPermit
from tybalt.transports.turns import Turns
from tybalt.transports.wakeup import Wakeup

HIGH_WATER = 64 * 1024
READ_AHEAD = 1024 * 1024
LINGER = 2.0


class StreamOptions(TypedDict, total=False):
    """What every function that opens a `StreamTransport` passes on to it; see there."""

    limit: int
    high_water: int
    read_ahead: int
    linger: float


class Link(Protocol):
    """What `StreamTransport` asks of an `asyncio.Transport`, and all of it."""

    def write(self, data: bytes) -> None:
        """Write `data`, now or as soon as the peer takes it, in order."""
        ...

    def pause_reading(self) -> None:
        """Leave what comes in with the peer."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...

    def set_write_buffer_limits(self, high: int) -> None:
        """Pause the protocol's writing while more than `high` bytes are unwritten, from now on."""
        ...

    def close(self) -> None:
        """Close once everything is written, then call the protocol's `connection_lost`."""
        ...

    def abort(self) -> None:
        """Close now, then call the protocol's `connection_lost`."""
        ...


class StreamTransport(asyncio.Protocol):
    """One end of a byte stream that carries one message per line.

    `limit` is the longest message accepted, in bytes. `high_water` is how many bytes of output may wait for the peer
    before `reserve` waits too; `read_ahead`, how many bytes of whole messages may wait for `receive` before the stream
    is read no further; `linger`, how many seconds `aclose` gives the peer to take what was sent.

    The end of the incoming stream does not close the outgoing one: answers can still be sent. A stream that breaks
    closes both, and an unfinished line is dropped then; at a clean end it counts as a message.
    """

    def __init__(
        self,
        *,
        limit: int = DEFAULT_LIMIT,
        high_water: int = HIGH_WATER,
        read_ahead: int = READ_AHEAD,
        linger: float = LINGER,
    ) -> None:
        self._frames = NewlineFrames(limit)
        self._high_water = high_water
        self._read_ahead = read_ahead
        self._linger = linger
        self._link: Link | None = None
        self._inbox: list[bytes | Oversized] = []
        self._waiting_bytes = 0
        self._fed = 0
        self._reading_paused = False
        self._arrival = Wakeup()
        self._ended = False
        self._blocked = False
        self._closed: str | None = None
        self._changes: list[Future[None]] = []
        self._turns = Turns(self._may_send)

    # What senders and the receiver call.

    async def receive(self) -> list[bytes | Oversized]:
        """Every whole message that has arrived; [] at the end of the stream. See `Transport.receive`."""
        if self._arrival.waiting:
            raise MisuseError("another receive() is waiting on this transport; have one task receive and hand out")
        while not self._inbox:
            if self._ended:
                return []
            await self._arrival
        messages, self._inbox = self._inbox, []
        self._waiting_bytes = 0
        if self._reading_paused:
            self._resume_reading()
        return messages

    async def reserve(self) -> SendPermit:
        """Wait while more output than the high-water mark waits for the peer. See `Transport.reserve`."""
        if self._blocked or self._turns.line:
            await self._turns.wait()
        if self._closed is not None:
            raise TransportClosed(self._closed)
        return SendPermit(self)

    def reserve_nowait(self) -> SendPermit | None:
        """A permit, or None while output is blocked. See `Transport.reserve_nowait`."""
        if self._closed is not None:
            raise TransportClosed(self._closed)
        return None if self._blocked or self._turns.line else SendPermit(self)

    async def aclose(self) -> None:
        """Close the stream once the peer has taken what was sent, or `linger` seconds have passed."""
        self._shut()
        link = self._link
        if link is None:
            return
        try:
            async with asyncio.timeout(self._linger):
                await self._flush(link)
                link.close()
                await self._wait_lost()
        except TimeoutError:
            link.abort()
            await self._wait_lost()
        except asyncio.CancelledError:
            link.abort()
            raise

    def end_input(self) -> None:
        """Act as if the peer had sent its last: what has arrived is still received, then comes [].

        For an orderly shutdown: whoever receives winds up, answers what is in flight, and closes.
        """
        self._end([])

    # What SendPermit calls.

    def commit(self, messages: tuple[bytes, ...]) -> None:
        """For `SendPermit`: one write, one line per message."""
        if self._closed is not None:
            raise TransportClosed(self._closed)
        if messages:
            cast(Link, self._link).write(b"\n".join(messages) + b"\n")

    def give_back(self) -> None:
        """For `SendPermit`: nothing to do, a permit of a stream holds no place."""

    # What the link calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For asyncio: the stream is open."""
        self.attach(cast(Link, transport))

    def attach(self, link: Link) -> None:
        """The stream is open: `link` moves its bytes from here on."""
        self._link = link
        link.set_write_buffer_limits(self._high_water)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        if self._ended:
            return
        self._fed += len(data)
        messages = self._frames.feed(data)
        if messages:
            # All that came since the last message: a long one comes in many pieces, and only the last completes it.
            size, self._fed = self._fed, 0
            self._deliver(messages, size)

    def eof_received(self) -> bool:
        """The peer sends no more; True keeps the outgoing direction open."""
        self._end(self._frames.eof())
        return True

    def pause_writing(self) -> None:
        """More than the high-water mark waits for the peer."""
        self._blocked = True

    def resume_writing(self) -> None:
        """The peer takes output again."""
        self._blocked = False
        self._turns.wake()
        self._tell_change()

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is gone, in both directions."""
        self._link = None
        if self._closed is None:
            self._closed = f"the connection is gone: {exc}" if exc else "the connection is gone: the peer closed it"
        self._end([])
        self._turns.wake()
        self._tell_change()

    def _deliver(self, messages: list[bytes | Oversized], size: int) -> None:
        if self._inbox:
            self._inbox += messages
        else:
            self._inbox = messages
        self._waiting_bytes += size
        if self._waiting_bytes > self._read_ahead and not self._reading_paused and self._link is not None:
            self._reading_paused = True
            self._link.pause_reading()
        self._arrival.wake_now()

    def _end(self, last: list[bytes | Oversized]) -> None:
        if not self._ended:
            self._inbox += last
            self._ended = True
        self._arrival.wake()

    def _shut(self) -> None:
        if self._closed is None:
            self._closed = "the transport was closed on this side"
        self._ended = True
        self._inbox = []
        self._arrival.wake()
        self._turns.wake()

    async def _flush(self, link: Link) -> None:
        # Reading goes on meanwhile, into nothing: a peer that waits for us to read would never take our output.
        if self._reading_paused:
            self._resume_reading()
        link.set_write_buffer_limits(0)
        while self._blocked and self._link is not None:
            await self._changed()

    async def _wait_lost(self) -> None:
        while self._link is not None:
            await self._changed()

    async def _changed(self) -> None:
        change = asyncio.get_running_loop().create_future()
        self._changes.append(change)
        await change

    def _tell_change(self) -> None:
        changes, self._changes = self._changes, []
        for change in changes:
            if not change.done():
                change.set_result(None)

    def _resume_reading(self) -> None:
        self._reading_paused = False
        if self._link is not None:
            self._link.resume_reading()

    def _may_send(self) -> bool:
        return not self._blocked or self._closed is not None
