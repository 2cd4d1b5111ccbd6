"""Workers: the processes that serve one address, and the parent that starts, replaces and ends them.

The parent waits in one place, `_wait`, and acts on what has come, without ever waiting while it acts. So everything is
heard at any time, whatever else goes on:

    SIGCHLD           one that died, and was not told to go, gets another in its place
    SIGHUP            a round: each gets a successor, and goes when that one serves; the next one then. While a round
                      goes on it asks for one more
    SIGTERM, SIGINT   the end: all end well, but for a successor that does not serve very soon. The second kills all
    a pipe            the successor says that it serves, or has gone
    the time          the successor has taken too long; another is started for one that died too soon

What a worker does, and how it ends well, is the business of who serves in it (process.py).
"""

import logging
import math
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from types import FrameType
from typing import Final, NamedTuple

logger = logging.getLogger("tybalt.server")

SOON: Final = 1.0
"""Seconds between the start and the end of a worker under which another is not started at once: it would fail too."""
START_TIMEOUT: Final = 30.0
"""Seconds that a new worker gets to serve, where it takes the place of another."""
END_TIMEOUT: Final = 1.0
"""Seconds that it has left to serve once all are told to end; then it is killed."""
NOT_STARTED: Final = 3
"""What uvicorn exits with where the lifespan fails at the start."""

_HEARD: Final = frozenset(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD") if hasattr(signal, name)
)

Serve = Callable[[int, int], None]
"""Serves until told to end. Its arguments are two pipes: one ends with the parent, one is told when this serves."""


class Successor(NamedTuple):
    """A new worker that does not serve yet."""

    process: int
    ready: int
    """A pipe on which it says that it serves."""
    until: float
    """When it has to, at the latest."""
    old: int
    """Whose place it takes."""


class Workers:
    """So many processes that `serve` on one address, and who started them."""

    def __init__(self, serve: Serve, listening: socket.socket, count: int) -> None:
        self._serve = serve
        self._listening = listening
        self._count = count
        self._started: dict[int, float] = {}
        """When each was started, by process id."""
        self._leaving: set[int] = set()
        """Those that were told to go: nobody is started in their place."""
        self._missing: deque[float] = deque()
        """When to start another for each that died too soon, in this order."""
        self._old: deque[int] = deque()
        """Those to be replaced in this round that have no successor yet."""
        self._successor: Successor | None = None
        self._is_asked = False
        """Whether another round was asked for."""
        self._is_ending = False
        self._status = 0
        self._alive = os.pipe()
        """Its writing end is the parent's alone: when that is gone, its workers end too."""
        self._signals = os.pipe()
        """Each signal that comes is a byte in it."""

    def run(self) -> int:
        """Start them, and wait until all have ended: the status of the process. The main thread alone can."""
        self._hear_signals()
        for _ in range(self._count):
            self._start_another()
        while self._started or self._missing:
            for number in self._wait():
                self._obey(number)
            self._go_on()
        self._forget_successor()
        signal.set_wakeup_fd(-1)
        for pipe in (*self._alive, *self._signals):
            os.close(pipe)
        return self._status

    def _hear_signals(self) -> None:
        """From here on signals come in `_wait` alone, so that no fork is interrupted and no worker hears another's."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        for pipe in self._signals:
            os.set_blocking(pipe, False)
        signal.set_wakeup_fd(self._signals[1], warn_on_full_buffer=False)
        for number in _HEARD:
            signal.signal(number, _nothing)

    def _wait(self) -> bytes:
        """Wait until there is something to do: the signals that have come, which may be none."""
        waiting = select.poll()
        waiting.register(self._signals[0], select.POLLIN)
        if self._successor is not None:
            waiting.register(self._successor.ready, select.POLLIN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
        waiting.poll(self._milliseconds())
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        return _said(self._signals[0]) or b""

    def _milliseconds(self) -> int | None:
        """How long to wait at most; `None`: for ever."""
        moments = [*self._missing]
        if self._successor is not None:
            moments.append(self._successor.until)
        return max(0, math.ceil((min(moments) - time.monotonic()) * 1_000)) if moments else None

    def _obey(self, number: int) -> None:
        if number == signal.SIGCHLD:
            self._reap()
        elif number == signal.SIGHUP:
            self._is_asked = not self._is_ending
        else:
            self._end(number)

    def _go_on(self) -> None:
        """Do what it is time for."""
        while self._missing and self._missing[0] <= time.monotonic():
            self._missing.popleft()
            self._start_another()
        if self._successor is not None:
            self._look_at(self._successor)
        if self._successor is None:
            self._replace_next()

    # -- starting -----------------------------------------------------------------------------------------------------

    def _start(self) -> tuple[int, int]:
        """Start one: its process id, and a pipe that says when it serves, which the caller closes."""
        ready, told = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(ready)
            self._work(told)
        os.close(told)
        self._started[process] = time.monotonic()
        return process, ready

    def _start_another(self) -> None:
        _, ready = self._start()
        os.close(ready)

    def _work(self, told: int) -> None:
        """What a worker does; it never returns."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, succeed)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            alive, parents = self._alive
            for pipe in (parents, *self._signals, *(() if self._successor is None else (self._successor.ready,))):
                os.close(pipe)
            self._serve(alive, told)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            logger.exception("a worker failed")
        finally:
            logging.shutdown()
            sys.stderr.flush()
            os._exit(status)

    # -- deaths -------------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        """Take leave of those that have ended."""
        for process in tuple(self._started):
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                self._take_leave(process, os.waitstatus_to_exitcode(status))

    def _take_leave(self, process: int, code: int) -> None:
        """Start another in its place, unless it was told to go, or could not have started."""
        started = self._started.pop(process)
        if self._is_ending or process in self._leaving:
            self._leaving.discard(process)
        elif self._successor is not None and process == self._successor.process:
            self._give_up(self._successor)
        elif code == NOT_STARTED:  # The next one could not either.
            logger.error("a worker could not start; the others end")
            self._status = code
            self._end(signal.SIGTERM)
        else:
            logger.error("a worker ended (status %d); another is started", code)
            self._make_up_for(process, started)

    def _make_up_for(self, process: int, started: float) -> None:
        now = time.monotonic()
        if process in self._old:
            self._old.remove(process)
        if self._successor is not None and process == self._successor.old:
            self._forget_successor()  # It is on its way to this place already, and is from now on one like the others.
        elif now - started < SOON:
            self._missing.append(now + SOON)
        else:
            self._start_another()

    # -- replacing ----------------------------------------------------------------------------------------------------

    def _replace_next(self) -> None:
        """Start a successor of the next one in this round, or of the first in another that was asked for."""
        if not self._old and self._is_asked:
            self._is_asked = False
            self._old.extend(process for process in self._started if process not in self._leaving)
        if self._old:
            process, ready = self._start()
            os.set_blocking(ready, False)
            self._successor = Successor(process, ready, time.monotonic() + START_TIMEOUT, self._old.popleft())

    def _look_at(self, new: Successor) -> None:
        """Once it serves, the old one goes, and finishes what it has begun."""
        said = _said(new.ready)
        if said:
            self._forget_successor()
            if not self._is_ending:
                self._leaving.add(new.old)
                os.kill(new.old, signal.SIGTERM)
        elif said is not None or time.monotonic() >= new.until:
            self._give_up(new)

    def _give_up(self, new: Successor) -> None:
        """The next one would not serve either: the round is over, and those that are left stay as they are."""
        if not self._is_ending:
            logger.error("a new worker did not start; the old ones stay")
        self._forget_successor()
        self._old.clear()
        if new.process in self._started:
            self._leaving.add(new.process)
            os.kill(new.process, signal.SIGKILL)

    def _forget_successor(self) -> None:
        """Nobody waits for its word any longer."""
        if self._successor is not None:
            os.close(self._successor.ready)
            self._successor = None

    # -- the end ------------------------------------------------------------------------------------------------------

    def _end(self, number: int) -> None:
        """End them all: the first time well, the second at once."""
        if self._is_ending:
            for process in self._started:
                os.kill(process, signal.SIGKILL)
            os._exit(128 + number)
        self._is_ending = True
        self._listening.close()  # Or the system would go on accepting, for nobody, until the last worker has ended.
        self._missing.clear()
        self._old.clear()
        self._is_asked = False
        if self._successor is not None:  # It may just have begun to serve: then it is not killed, but ends well.
            self._successor = self._successor._replace(until=time.monotonic() + END_TIMEOUT)
        for process in self._started:
            os.kill(process, signal.SIGTERM)


def _said(pipe: int) -> bytes | None:
    """What is said on a pipe: empty when its other end is gone, `None` where nothing was said yet."""
    try:
        return os.read(pipe, 512)
    except BlockingIOError:
        return None


def _nothing(number: int, frame: FrameType | None) -> None:
    """Hear of it."""


def succeed(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what a handler is called with)
    """End at once, well: nothing was begun, or all is over."""
    os._exit(0)
