"""Processes at the other end of two pipes, and ways to talk to them: one at a time, pipelined, a hundred at once.

The client is as bare as Python can be (`os.write`, `os.read`) and the same for us, the floors and the peers.
"""

import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter, perf_counter_ns
from typing import Protocol

from environments import CHILD_ENVIRONMENT
from messages import call

PIPE_SIZE = 65536
PATIENCE = 60.0
"""Seconds a process may take for anything it is asked here."""


class Placeable(Protocol):
    """A process."""

    pid: int


class Piped:
    """A process whose standard input and output are pipes of ours; what it says on stderr is shown if it fails."""

    def __init__(self, command: Sequence[str]) -> None:
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            env=CHILD_ENVIRONMENT,
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.pid = self._process.pid
        self.input = self._process.stdin.fileno()
        self.output = self._process.stdout.fileno()

    def __enter__(self) -> "Piped":
        return self

    def __exit__(self, *_: object) -> None:
        """End it by closing its input; a process that stays is killed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._complaints.close()

    def ask(self, line: bytes) -> bytes:
        """Write one line, read one line."""
        os.write(self.input, line)
        answer = os.read(self.output, PIPE_SIZE)
        if answer.endswith(b"\n"):
            return answer
        pieces = [answer]
        while not pieces[-1].endswith(b"\n"):
            if not pieces[-1]:
                raise SystemExit(f"bench: a measured process ended:\n{self._said()}")
            pieces.append(os.read(self.output, PIPE_SIZE))
        return b"".join(pieces)

    def warm_up(self, count: int, tool: str) -> None:
        """Ask a few times before anything counts, and look at the answer."""
        with patience():
            for number in range(count):
                answer = self.ask(call(number + 1, tool) + b"\n")
        if b'"8"' not in answer:
            raise SystemExit(f"bench: a measured process answered {answer!r}\n{self._said()}")

    def one_at_a_time(self, line: bytes, count: int) -> list[float]:
        """How long each of `count` requests took, in microseconds, sorted."""
        ask, clock = self.ask, perf_counter_ns
        taken = [0] * count
        with patience():
            for index in range(count):
                started = clock()
                ask(line)
                taken[index] = clock() - started
        return sorted(nanoseconds / 1000 for nanoseconds in taken)

    def pipelined(self, lines: bytes, count: int) -> tuple[float, list[tuple[float, bytes]]]:
        """Write `lines`, `count` requests, as fast as it takes them, and read until all are answered.

        Returns the seconds it took, and every chunk that came with the second it came at.
        """
        unwritten = memoryview(lines)
        chunks: list[tuple[float, bytes]] = []
        poll = select.poll()
        poll.register(self.output, select.POLLIN)
        poll.register(self.input, select.POLLOUT)
        os.set_blocking(self.input, False)
        try:
            with patience():
                started = perf_counter()
                while count > 0:
                    for descriptor, _ in poll.poll():
                        if descriptor == self.output:
                            chunk = os.read(descriptor, PIPE_SIZE)
                            if not chunk:
                                raise SystemExit(f"bench: a measured process ended:\n{self._said()}")
                            chunks.append((perf_counter() - started, chunk))
                            count -= chunk.count(b"\n")
                        else:
                            unwritten = unwritten[os.write(descriptor, unwritten[:PIPE_SIZE]) :]
                            if not unwritten:
                                poll.unregister(self.input)
                return perf_counter() - started, chunks
        finally:
            os.set_blocking(self.input, True)

    def resident_megabytes(self) -> float:
        """The memory it holds now."""
        return resident_megabytes(self.pid)

    def _said(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace")[-2000:]


def resident_megabytes(pid: int) -> float:
    """The memory that a process holds now."""
    if sys.platform == "linux":
        with open(f"/proc/{pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024
    said = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(said.stdout) / 1024


def can_place(cores: int) -> bool:
    """Whether processes can be told which core to run on, and there are so many."""
    return hasattr(os, "sched_setaffinity") and len(os.sched_getaffinity(0)) >= cores


@contextmanager
def placed(cores: int, processes: Iterable[Placeable]) -> Iterator[None]:
    """Keep this process on one core and the others on that one, or on the next; 0 leaves it to the system.

    Left alone, the system puts them now on one core and now on two, and the figures are two different ones.
    """
    if cores == 0 or not can_place(cores):
        yield
        return
    before = os.sched_getaffinity(0)
    chosen = sorted(before)[:cores]
    try:
        os.sched_setaffinity(0, chosen[:1])
        for each in processes:
            os.sched_setaffinity(each.pid, chosen[-1:])
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def patience() -> Iterator[None]:
    """End the run when what is inside takes longer than `PATIENCE`; an alarm, so that it costs a request nothing."""

    def tell(*_: object) -> None:
        raise SystemExit(f"bench: a measured process did not answer within {PATIENCE:g} s")

    before = signal.signal(signal.SIGALRM, tell)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
