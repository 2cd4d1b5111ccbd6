"""Reading and writing pipes and sockets in the event loop's own callbacks.

The halves of a `Duplex` for descriptors that the loop can wait for. A read or a write is one system call with nothing
between it and the framing, which keeps one request over stdio near the cost of a bare read and write. The descriptors
are switched to non-blocking; whoever lends a shared one must switch it back.
"""

import os
from asyncio import AbstractEventLoop
from asyncio import Protocol as StreamProtocol
from stat import S_ISSOCK

from tybalt.transports.duplex import Backpressure, Done

# A pipe holds 64 KiB unless told otherwise, and allocating 256 KiB for every small read costs more than the read.
READ_SIZE = 64 * 1024
BIG_READ_SIZE = 256 * 1024
FINISH_SIZE = 1024 * 1024


class WatchedReader:
    """Reads whenever the loop says there is something: 64 KiB at a time, 256 KiB after a read that was full."""

    def __init__(self, loop: AbstractEventLoop, descriptor: int, protocol: StreamProtocol, done: Done) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._received = protocol.data_received
        self._done = done
        self._size = READ_SIZE
        self._paused = False
        self._closed = False
        self._is_socket = S_ISSOCK(os.fstat(descriptor).st_mode)
        os.set_blocking(descriptor, False)
        loop.add_reader(descriptor, self._read)

    def pause(self) -> None:
        """See `Reader`."""
        if not self._paused and not self._closed:
            self._paused = True
            self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        """See `Reader`."""
        if self._paused and not self._closed:
            self._paused = False
            self._loop.add_reader(self._descriptor, self._read)

    def finish(self) -> None:
        """See `Reader`; at most about 1 MiB, in case the writing end lives on in other hands."""
        unread = FINISH_SIZE
        while unread > 0 and not self._closed:
            try:
                chunk = os.read(self._descriptor, BIG_READ_SIZE)
            except OSError:
                break
            if not chunk:
                break
            unread -= len(chunk)
            self._received(chunk)
        self._end(None)

    def close(self) -> None:
        """See `Reader`."""
        self._end(None)

    def _read(self) -> None:
        if not self._is_socket:
            self._read_once()
            return
        # uvloop watches a socket no further once it is reset, though messages may be unread before the reset: it must
        # be read until there is nothing, which takes one more system call.
        unread = FINISH_SIZE
        while unread > 0 and not self._paused and (size := self._read_once()):
            unread -= size

    def _read_once(self) -> int:
        if self._closed:
            return 0
        try:
            chunk = os.read(self._descriptor, self._size)
        except BlockingIOError:
            return 0
        except OSError as error:
            # A peer that dies with data of ours unread resets a socket: no less an end than that of a closed pipe.
            self._end(None if isinstance(error, ConnectionError) else error)
            return 0
        if chunk:
            self._size = BIG_READ_SIZE if len(chunk) == self._size else READ_SIZE
            self._received(chunk)
        else:
            self._end(None)
        return len(chunk)

    def _end(self, error: OSError | None) -> None:
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._done(error)


class WatchedWriter:
    """Writes at once what the descriptor takes, and the rest whenever the loop says that it takes more."""

    def __init__(self, loop: AbstractEventLoop, descriptor: int, protocol: StreamProtocol, done: Done) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._done = done
        self._backpressure = Backpressure(protocol)
        self._unwritten = bytearray()
        self._closing = False
        self._closed = False
        os.set_blocking(descriptor, False)

    def write(self, data: bytes) -> None:
        """See `Writer`."""
        if self._closing or self._closed:
            return
        if not self._unwritten:
            written = self._try_write(data)
            if written == len(data) or self._closed:
                return
            data = data[written:]
            self._loop.add_writer(self._descriptor, self._write_more)
        self._unwritten += data
        self._backpressure.weigh(len(self._unwritten))

    def set_high_water(self, high: int) -> None:
        """See `Writer`."""
        self._backpressure.high = high
        self._backpressure.weigh(len(self._unwritten))

    def close(self) -> None:
        """See `Writer`."""
        self._closing = True
        if not self._unwritten:
            self._end(None)

    def abort(self) -> None:
        """See `Writer`."""
        self._end(None)

    def _write_more(self) -> None:
        written = self._try_write(self._unwritten)
        if self._closed:
            return
        del self._unwritten[:written]
        if not self._unwritten:
            self._loop.remove_writer(self._descriptor)
        self._backpressure.weigh(len(self._unwritten))
        if self._closing and not self._unwritten:
            self._end(None)

    def _try_write(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._descriptor, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._end(error)
            return 0

    def _end(self, error: OSError | None) -> None:
        if not self._closed:
            self._closed = True
            self._unwritten = bytearray()
            self._loop.remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._done(error)
