"""Reading and writing descriptors that no event loop can wait for: regular files, terminals, Windows pipes.

The halves of a `Duplex` for what `watched` cannot serve, each with one daemon thread that makes the blocking calls and
hands its results to the loop. Slower by two thread switches per chunk. A thread that is stuck in a call, as a stopped
terminal can make it, is left behind; it closes its descriptor whenever it wakes.
"""

import os
from asyncio import AbstractEventLoop
from asyncio import Protocol as StreamProtocol
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from select import select
from threading import Semaphore, Thread

from tybalt.transports.duplex import Backpressure, Done

READ_SIZE = 256 * 1024


class ThreadedReader:
    """Reads one chunk ahead of the loop: a thread reads, the loop takes, the thread reads again."""

    def __init__(self, loop: AbstractEventLoop, descriptor: int, protocol: StreamProtocol, done: Done) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._received = protocol.data_received
        self._done = done
        self._may_read = Semaphore(1)
        self._paused = False
        self._held_back = False
        self._closed = False
        # Closing must reach a thread that waits for input; Windows can wait for sockets only, so there it does not.
        self._bell = os.pipe() if os.name == "posix" else None
        Thread(target=self._run, name="tybalt-read", daemon=True).start()

    def pause(self) -> None:
        """See `Reader`."""
        self._paused = True

    def resume(self) -> None:
        """See `Reader`."""
        self._paused = False
        if self._held_back:
            self._held_back = False
            self._may_read.release()

    def finish(self) -> None:
        """See `Reader`; nothing is sure to be there without waiting, so this is `close`."""
        self.close()

    def close(self) -> None:
        """See `Reader`; on Windows the descriptor stays open until the read under way returns."""
        if not self._closed:
            self._end(None)
            self._may_read.release()
            if self._bell is not None:
                os.close(self._bell[1])

    def _end(self, error: OSError | None) -> None:
        self._closed = True
        self._done(error)

    def _taken(self, chunk: bytes) -> None:
        if self._closed:
            return
        self._received(chunk)
        if self._paused:
            self._held_back = True
        else:
            self._may_read.release()

    def _ended(self, error: OSError | None) -> None:
        if not self._closed:
            self._end(error)
            if self._bell is not None:
                os.close(self._bell[1])

    # What follows runs in the thread.

    def _run(self) -> None:
        error: OSError | None = None
        try:
            while self._wait_for_input() and (chunk := os.read(self._descriptor, READ_SIZE)):
                _tell(self._loop, self._taken, chunk)
        except OSError as failure:
            error = failure
        os.close(self._descriptor)
        if self._bell is not None:
            os.close(self._bell[0])
        _tell(self._loop, self._ended, error)

    def _wait_for_input(self) -> bool:
        self._may_read.acquire()
        if self._bell is not None and not self._closed:
            # Above 1023 select() refuses; then the read itself waits, and closing cannot wake it.
            with suppress(ValueError):
                select([self._descriptor, self._bell[0]], [], [])
        return not self._closed


class ThreadedWriter:
    """Queues what is to be written; a thread writes it, in order."""

    def __init__(self, loop: AbstractEventLoop, descriptor: int, protocol: StreamProtocol, done: Done) -> None:
        self._loop = loop
        self._descriptor = descriptor
        self._done = done
        self._backpressure = Backpressure(protocol)
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._unwritten = 0
        self._closing = False
        self._closed = False
        self._aborted = False
        Thread(target=self._run, name="tybalt-write", daemon=True).start()

    def write(self, data: bytes) -> None:
        """See `Writer`."""
        if self._closing or self._closed:
            return
        self._unwritten += len(data)
        self._queue.put(data)
        self._backpressure.weigh(self._unwritten)

    def set_high_water(self, high: int) -> None:
        """See `Writer`."""
        self._backpressure.high = high
        self._backpressure.weigh(self._unwritten)

    def close(self) -> None:
        """See `Writer`."""
        if not self._closing:
            self._closing = True
            self._queue.put(None)

    def abort(self) -> None:
        """See `Writer`; a write under way is not interrupted, and the descriptor is closed after it."""
        self._aborted = True
        self.close()
        self._ended(None)

    def _written(self, size: int) -> None:
        self._unwritten -= size
        if not self._closed:
            self._backpressure.weigh(self._unwritten)

    def _ended(self, error: OSError | None) -> None:
        if not self._closed:
            self._closed = True
            self._done(error)

    # What follows runs in the thread.

    def _run(self) -> None:
        error: OSError | None = None
        try:
            while not self._aborted and (data := self._queue.get()) is not None:
                self._write_whole(data)
                _tell(self._loop, self._written, len(data))
        except OSError as failure:
            error = failure
        os.close(self._descriptor)
        _tell(self._loop, self._ended, error)

    def _write_whole(self, data: bytes) -> None:
        view = memoryview(data)
        while view and not self._aborted:
            view = view[os.write(self._descriptor, view) :]


def _tell(loop: AbstractEventLoop, callback: Callable[..., None], *arguments: object) -> None:
    # Where the loop is closed by now, nobody is left to be told.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, *arguments)
