"""A link of two halves: what comes in and what goes out are separate descriptors, as stdio has them.

`Duplex` joins a `Reader` and a `Writer` into what `StreamTransport` calls its link. It does no I/O: `watched` has the
halves that the event loop serves, `threads` those that need a thread, and `descriptors` picks.
"""

from asyncio import AbstractEventLoop
from asyncio import Protocol as StreamProtocol
from collections.abc import Callable
from typing import Protocol

Done = Callable[[OSError | None], None]
"""How a half says that its descriptor is closed: with the error that broke it, or None."""


class Reader(Protocol):
    """The incoming half. Owns its descriptor, and says once that it is done."""

    def pause(self) -> None:
        """Leave what comes in with the peer."""
        ...

    def resume(self) -> None:
        """Read again."""
        ...

    def finish(self) -> None:
        """Hand on what the peer has already written, where that needs no waiting, then close."""
        ...

    def close(self) -> None:
        """Close; nothing more is handed on."""
        ...


class Writer(Protocol):
    """The outgoing half. Owns its descriptor, and says once that it is done."""

    def write(self, data: bytes) -> None:
        """Write `data` after everything written before, now or as soon as the peer takes it."""
        ...

    def set_high_water(self, high: int) -> None:
        """How many unwritten bytes there may be before the protocol is told to pause."""
        ...

    def close(self) -> None:
        """Close once everything is written."""
        ...

    def abort(self) -> None:
        """Close now; what is not written is lost."""
        ...


class Backpressure:
    """Tells a protocol to pause when more than `high` bytes are unwritten, and to resume at a quarter of that."""

    __slots__ = ("_paused", "_protocol", "high")

    def __init__(self, protocol: StreamProtocol) -> None:
        self._protocol = protocol
        self._paused = False
        self.high = 0

    def weigh(self, unwritten: int) -> None:
        """Call this whenever `unwritten` or `high` has changed."""
        if unwritten > self.high and not self._paused:
            self._paused = True
            self._protocol.pause_writing()
        elif self._paused and unwritten <= self.high // 4:
            self._paused = False
            self._protocol.resume_writing()


class Duplex:
    """The link of a stream: a reader and a writer, either of which may end before the other.

    The protocol is told once that the stream is lost: when both halves are done, or when one breaks. What the peer had
    already written is handed on before that; an unfinished line is not, when the stream breaks.

    After making one, you must give it both halves.
    """

    reader: Reader
    writer: Writer

    def __init__(self, loop: AbstractEventLoop, protocol: StreamProtocol) -> None:
        self._loop = loop
        self._protocol = protocol
        self._open_halves = 2
        self._lost = False

    def write(self, data: bytes) -> None:
        """Write `data`, now or as soon as the peer takes it."""
        self.writer.write(data)

    def write_eof(self) -> None:
        """Close the outgoing half once everything is written; the incoming one stays."""
        self.writer.close()

    def set_write_buffer_limits(self, high: int) -> None:
        """How many unwritten bytes there may be before the protocol is told to pause."""
        self.writer.set_high_water(high)

    def pause_reading(self) -> None:
        """Leave what comes in with the peer."""
        self.reader.pause()

    def resume_reading(self) -> None:
        """Read again."""
        self.reader.resume()

    def end_reading(self) -> None:
        """The peer is gone: hand on what it had written, and end the incoming half."""
        self.reader.finish()

    def close(self) -> None:
        """Close the incoming half now, and the outgoing one once everything is written."""
        self.reader.close()
        self.writer.close()

    def abort(self) -> None:
        """Close both halves now; what is not written is lost."""
        self.reader.close()
        self.writer.abort()

    def reader_done(self, error: OSError | None) -> None:
        """For the reader: the incoming half has ended, broken or been closed."""
        if error is not None:
            self._lose(error)
            self.writer.abort()
        elif not self._lost:
            self._protocol.eof_received()
        self._half_done()

    def writer_done(self, error: OSError | None) -> None:
        """For the writer: everything is written and closed, or writing has failed."""
        if error is not None:
            self._lose(error)
            self.reader.finish()
        self._half_done()

    def _half_done(self) -> None:
        self._open_halves -= 1
        if not self._open_halves:
            self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol.connection_lost, error)
