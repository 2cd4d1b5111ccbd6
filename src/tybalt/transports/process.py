"""The client's end of stdio: a server launched as a child process.

`spawn` starts it in a session of its own, with an environment that holds only what it needs, and carries messages over
its stdin and stdout. `ProcessTransport.aclose` ends it as 2026-07-28 basic/transports/stdio, "Shutdown", says, and
leaves no process behind. Restarting a server that died is for the client above.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from signal import Signals
from typing import IO, Any, cast

from tybalt.errors import MisuseError, TransportError
from tybalt.protocol.frames import DEFAULT_LIMIT
from tybalt.transports.child import Child
from tybalt.transports.descriptors import open_duplex, open_reader
from tybalt.transports.diagnostics import Diagnostics
from tybalt.transports.duplex import Duplex, Reader
from tybalt.transports.stream import HIGH_WATER, READ_AHEAD, StreamTransport

INHERITED = ("PATH", "HOME", "LANG", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR")
INHERITED_ON_WINDOWS = (
    *("APPDATA", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PATHEXT", "PROGRAMFILES"),
    *("SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE"),
)

Stderr = int | IO[Any] | Callable[[str], None] | None


async def spawn(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: "str | os.PathLike[str] | None" = None,
    stderr: Stderr = None,
    grace: float = 2.0,
    limit: int = DEFAULT_LIMIT,
    high_water: int = HIGH_WATER,
    read_ahead: int = READ_AHEAD,
) -> "ProcessTransport":
    """Start `command`, a list of words, and return the transport to it. There is never a shell in between.

    The child gets `default_environment()` and, over it, `env`; pass `os.environ` to give it all of yours. `stderr` is
    None to share ours, a descriptor or file to write to, `subprocess.DEVNULL`, a function to call with each line, or
    `subprocess.PIPE` to read and drop it; with the last two, the end of it is kept as `stderr_tail`. `grace` is how
    many seconds each step of `aclose` takes at most. The others are those of `StreamTransport`.

    Raises `TransportError` when the command cannot be started, and `MisuseError` when it is a string or empty.
    """
    words = _words(command)
    if stderr == subprocess.STDOUT:
        raise MisuseError("stderr must not be mixed into stdout, which carries messages and nothing else")
    transport = ProcessTransport(limit=limit, high_water=high_water, read_ahead=read_ahead, grace=grace)
    environment = {**default_environment(), **(env or {})}
    if sys.platform == "win32":
        import shutil

        # There npx and its like are batch files, which are found only by their full name.
        words[0] = shutil.which(words[0], path=environment.get("PATH")) or words[0]
    transport.start(words, env=environment, cwd=None if cwd is None else os.fspath(cwd), stderr=stderr)
    return transport


def default_environment() -> dict[str, str]:
    """What a server inherits unless told otherwise: where programs and home are, who the user is, and the locale.

    Never credentials that happen to be in our environment, and no PYTHON variables: those are ours, not the server's.
    """
    names = INHERITED if os.name == "posix" else INHERITED_ON_WINDOWS
    return {
        name: value
        for name, value in os.environ.items()
        # A value that begins with "()" is a function some shell exported: code, not a setting.
        if (name in names or name.startswith("LC_")) and not value.startswith("()")
    }


class ProcessTransport(StreamTransport):
    """A `StreamTransport` over the stdin and stdout of a child process, which ends with it.

    When the process ends by itself, what it had written is still received, then comes the end of the stream; sending
    raises `TransportClosed` with its exit status.
    """

    _child: Child
    _duplex: Duplex
    _diagnostics: Diagnostics | None = None
    _stderr_reader: Reader | None = None

    def __init__(self, *, limit: int, high_water: int, read_ahead: int, grace: float) -> None:
        super().__init__(limit=limit, high_water=high_water, read_ahead=read_ahead, linger=grace)
        self._grace = grace

    @property
    def pid(self) -> int:
        """The process, and on POSIX also its group and session."""
        return self._child.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; its exit status; or minus the number of the signal that ended it."""
        return self._child.returncode

    @property
    def stderr_tail(self) -> bytes:
        """The last of what it wrote to stderr, at most 64 KiB; empty unless stderr is a function or PIPE."""
        return b"" if self._diagnostics is None else self._diagnostics.tail

    async def wait(self) -> int:
        """Return the exit status once the process has ended and been reaped."""
        await self._child.wait()
        return cast(int, self._child.returncode)

    async def aclose(self) -> None:
        """Close its stdin, wait `grace`, SIGTERM to its group, wait `grace`, SIGKILL; and reap it.

        What it still writes is read and dropped, so that it can finish. Grandchildren in its group end with it; one
        that made a session of its own is out of reach. Cancelled, it kills at once.
        """
        self._shut()
        if self._link is not None:
            self._duplex.resume_reading()
            self._duplex.write_eof()
        try:
            await self._child.end(self._grace)
        finally:
            if self._stderr_reader is not None:
                self._stderr_reader.finish()
            self._duplex.abort()
        await self._wait_lost()

    def start(
        self,
        command: list[str],
        *,
        env: dict[str, str],
        cwd: str | None,
        stderr: Stderr,
    ) -> None:
        """Launch the process; `spawn` has called this."""
        loop = asyncio.get_running_loop()
        theirs: list[int] = []
        ours: list[int] = []
        try:
            stdin = _pipe(theirs, ours, theirs_reads=True)
            stdout = _pipe(theirs, ours, theirs_reads=False)
            if callable(stderr) or stderr == subprocess.PIPE:
                self._diagnostics = Diagnostics(loop, stderr if callable(stderr) else None)
                stderr = _pipe(theirs, ours, theirs_reads=False)
            self._child = Child(
                loop, command, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, exited=self._exited
            )
        except (OSError, ValueError) as error:
            _close_all(ours)
            raise TransportError(_cannot_start(command[0], cwd, error)) from error
        finally:
            _close_all(theirs)
        self._duplex = open_duplex(loop, self, read_from=ours[1], write_to=ours[0])
        if self._diagnostics is not None:
            self._stderr_reader = open_reader(loop, ours[2], self._diagnostics, self._diagnostics.done)

    def _exited(self) -> None:
        if self._closed is None:
            self._closed = f"the server process has ended: {_how_it_ended(self._child.returncode)}"
        if self._stderr_reader is not None:
            self._stderr_reader.finish()
        self._duplex.end_reading()
        self._duplex.abort()
        self._turns.wake()


def _words(command: Sequence[str]) -> list[str]:
    if isinstance(command, str):
        raise MisuseError(
            f"the command must be a list of words such as ['python', 'server.py'], not the string {command!r}: "
            "there is no shell that would take it apart; shlex.split does it"
        )
    words = [os.fspath(word) for word in command]
    if not words:
        raise MisuseError("the command is empty; give at least the program to start")
    return words


def _cannot_start(program: str, cwd: str | None, error: Exception) -> str:
    if cwd is not None and getattr(error, "filename", None) == cwd:
        why = f"its working directory {cwd!r} cannot be entered: {error}"
    elif isinstance(error, FileNotFoundError):
        why = "there is no such program; give its full path, or a PATH in env that leads to it"
    elif isinstance(error, PermissionError):
        why = "it may not be executed; check its permissions, or name an interpreter before it"
    else:
        why = str(error)
    return f"cannot start {program!r}: {why}"


def _how_it_ended(returncode: int | None) -> str:
    if returncode is None or returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"signal {-returncode} ({Signals(-returncode).name})"
    except ValueError:
        return f"signal {-returncode}"


def _pipe(theirs: list[int], ours: list[int], *, theirs_reads: bool) -> int:
    """Make a pipe, note both of its ends, and return the one that is theirs."""
    read, write = os.pipe()
    theirs.append(read if theirs_reads else write)
    ours.append(write if theirs_reads else read)
    return theirs[-1]


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
