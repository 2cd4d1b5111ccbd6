"""A child process with an exit one can await and a group one can end.

On POSIX it leads a session of its own, so that whatever it starts can be found and ended with it, and a Ctrl-C in the
terminal is not its business; on Windows only the child itself can be ended. What nobody has ended is ended with the
interpreter. Knows nothing of messages: `process` sits above.
"""

import asyncio
import atexit
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Thread
from typing import IO, Any, Final

FAREWELL: Final = 1.0
"""Seconds between SIGTERM and SIGKILL for all children together that are left when the interpreter ends."""


class Child:
    """A running child process. `exited` is called in the loop once it has ended and been reaped.

    After making one, you must `end` it. Raises what `subprocess.Popen` raises when the command cannot be started, and
    `RuntimeError` when there can be no thread to wait for it; there is no process then.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | None,
        stdin: int,
        stdout: int,
        stderr: "int | IO[Any] | None",
        exited: Callable[[], None],
    ) -> None:
        self._process = subprocess.Popen(
            command, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, **_OWN_GROUP
        )
        self.pid = self._process.pid
        self._loop = loop
        self._told = exited
        self._over = asyncio.Event()
        self._group_ended = False
        self._pidfd = _pidfd(self.pid)
        try:
            self._watch()
        except BaseException:
            self.kill()
            if self._pidfd is not None:
                os.close(self._pidfd)
            raise
        _running.add(self)

    @property
    def returncode(self) -> int | None:
        """None while it runs; its exit status; or minus the number of the signal that ended it."""
        return self._process.returncode

    async def wait(self) -> None:
        """Return when the child has ended and been reaped."""
        await self._over.wait()

    async def end(self, grace: float) -> None:
        """Wait for the child to end by itself, then ask it and all it started to (SIGTERM), then kill them (SIGKILL).

        Each step is given `grace` seconds; where the child has ended and some of what it started has not, that is asked
        at once. Cancelled, it kills at once. Call it after closing the child's stdin.
        """
        try:
            if await self._ends_within(grace) and not self._group_lives():
                return
            self._signal_group(signal.SIGTERM)
            if await self._ends_within(grace):
                await self._group_ends_within(grace)
            self._signal_group(_KILL)
            await self._ends_within(grace)
        except BaseException:
            if self.kill():
                self._exited()
            raise
        finally:
            _running.discard(self)

    def ask(self) -> None:
        """SIGTERM to the child and all it started."""
        self._signal_group(signal.SIGTERM)

    def kill(self) -> bool:
        """SIGKILL to the child and all it started. Blocks until it is reaped, for half a second at most: whether it is.

        Tells nobody: for who cannot wait in the loop.
        """
        self._signal_group(_KILL)
        return self.ends_by(time.monotonic() + 0.5)

    def ends_by(self, deadline: float) -> bool:
        """Whether the child ends by `deadline`, in monotonic seconds. Blocks until then, and reaps it."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def _watch(self) -> None:
        if self._pidfd is None:
            Thread(target=self._wait_in_thread, name="tybalt-wait", daemon=True).start()
        else:
            self._loop.add_reader(self._pidfd, self._exited)

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._over.wait()
        except TimeoutError:
            return False
        return True

    async def _group_ends_within(self, seconds: float) -> None:
        # Grandchildren are nobody's to wait for: one can only look whether they are still there.
        deadline = self._loop.time() + seconds
        pause = 0.005
        while self._group_lives() and not _only_zombies(self.pid) and self._loop.time() < deadline:
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.1)

    def _exited(self) -> None:
        self._process.poll()
        if self._over.is_set() or self._process.returncode is None:
            return
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
        if not self._group_lives():
            _running.discard(self)
        self._over.set()
        self._told()

    def _wait_in_thread(self) -> None:
        self._process.wait()
        # Where the loop is closed by now, nobody waits to be told; the child is reaped all the same.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._exited)

    def _signal_group(self, number: int) -> None:
        if os.name != "posix":
            self._process.send_signal(number)
        elif self._group_lives():
            try:
                os.killpg(self.pid, number)
            except (ProcessLookupError, PermissionError):
                self._group_ended = True

    def _group_lives(self) -> bool:
        if os.name != "posix" or self._group_ended:
            return False
        if self.returncode is not None and _exists(self.pid):
            # Nobody gets the number of a group that has members: whose it is now is a stranger.
            self._group_ended = True
            return False
        try:
            os.killpg(self.pid, 0)
        except (ProcessLookupError, PermissionError):
            # macOS answers "not permitted" for a group in which only the dead are left.
            self._group_ended = self.returncode is not None
            return not self._group_ended
        return True


def ending_of(returncode: int | None) -> str:
    """How a process ended, as words to follow its name."""
    if returncode is None or returncode >= 0:
        return f"ended with status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


_running: set[Child] = set()
"""The children that nobody has ended yet."""


def _end_those_left() -> None:
    """As the interpreter ends: what nobody has closed must not outlive it, nor hold it up for long."""
    left = list(_running)
    for child in left:
        child.ask()
    deadline = time.monotonic() + FAREWELL
    for child in left:
        child.ends_by(deadline)
    for child in left:
        child.kill()


atexit.register(_end_those_left)
if os.name == "posix":
    # A fork has them in its memory, but they are not its children, and its end is not theirs.
    os.register_at_fork(after_in_child=_running.clear)


def _exists(pid: int) -> bool:
    try:
        os.getpgid(pid)
    except OSError as error:
        # "Not permitted", on OpenBSD, is said of what is there.
        return not isinstance(error, ProcessLookupError)
    return True


def _pidfd(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends, where the system has them."""
    if sys.platform == "linux":
        try:
            return os.pidfd_open(pid)
        except (AttributeError, OSError):
            # An old kernel, an old C library, or a sandbox that forbids it.
            return None
    return None


def _only_zombies(group: int) -> bool:
    """Whether all in the group are dead and only wait to be reaped by init, which in a container may never happen.

    Where there is no /proc to tell, the answer is no.
    """
    try:
        processes = [name for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return False
    return not any(_runs_in(group, process) for process in processes)


def _runs_in(group: int, process: str) -> bool:
    try:
        with open(f"/proc/{process}/stat", "rb") as file:
            # The second field is the program's name in parentheses, and may hold anything.
            state, _parent, of_group = file.read().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(of_group) == group and state not in {b"Z", b"X"}


_KILL: int = getattr(signal, "SIGKILL", signal.SIGTERM)
_OWN_GROUP: dict[str, Any] = (
    {"start_new_session": True}
    if os.name == "posix"
    else {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
)
