"""The client's end of stdio: a server launched as a child process.

`spawn` starts it in a session of its own, with an environment that holds only what it needs, and carries messages over
its stdin and stdout. `ProcessTransport.aclose` ends it as 2026-07-28 basic/transports/stdio, "Shutdown", says, and
leaves no process behind. Restarting a server that died is for the client above.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from errno import ENOEXEC
from typing import IO, TYPE_CHECKING, Any, Final, cast

from tybalt.errors import MisuseError, TransportError, cut
from tybalt.protocol.frames import DEFAULT_LIMIT
from tybalt.transports.child import Child, ending_of
from tybalt.transports.command import GRACE, Command, Inherit, PathName, Stderr, is_path
from tybalt.transports.descriptors import open_duplex, open_reader
from tybalt.transports.diagnostics import Diagnostics
from tybalt.transports.duplex import Duplex, Reader
from tybalt.transports.environment import environment_of
from tybalt.transports.stream import HIGH_WATER, READ_AHEAD, StreamTransport

if TYPE_CHECKING:
    from tybalt.execution.durations import Duration

_SUPPLIERS: Final = {
    "bun": "Bun (bun.sh)",
    "deno": "Deno (deno.com)",
    "docker": "Docker (docs.docker.com)",
    "node": "Node.js (nodejs.org)",
    "npx": "Node.js (nodejs.org)",
    "uv": "uv (docs.astral.sh/uv)",
    "uvx": "uv (docs.astral.sh/uv)",
}
"""What to install where one of the programs that usually start servers is missing."""


async def spawn(
    command: Command | Sequence[PathName],
    *,
    env: Mapping[str, str] | None = None,
    cwd: PathName | None = None,
    stderr: Stderr = None,
    inherit: Inherit = (),
    grace: "Duration" = GRACE,
    limit: int = DEFAULT_LIMIT,
    high_water: int = HIGH_WATER,
    read_ahead: int = READ_AHEAD,
) -> "ProcessTransport":
    """Start `command`, a `Command` or a list of words, and return the transport to it, which you must close.

    `env`, `cwd`, `stderr`, `inherit` and `grace` are those of `Command`, for who gives a list of words. The others are
    those of `StreamTransport`.

    Raises `TransportError` when the command cannot be started, and `MisuseError` for what cannot be meant. Either way
    nothing is left behind.
    """
    if not isinstance(command, Command):
        command = Command(command, env=env, cwd=cwd, stderr=stderr, inherit=inherit, grace=grace)
    elif not (env is cwd is stderr is None and not inherit and grace == GRACE):
        raise MisuseError("env, cwd, stderr, inherit and grace belong into the Command; spawn() takes them with a list")
    grace = cast("float", command.grace)  # A `Command` keeps it as seconds.
    transport = ProcessTransport(limit=limit, high_water=high_water, read_ahead=read_ahead, grace=grace)
    transport.start(command)
    return transport


class ProcessTransport(StreamTransport):
    """A `StreamTransport` over the stdin and stdout of a child process, which ends with it.

    When the process ends by itself, what it had written is still received, then comes the end of the stream; sending
    raises `TransportClosed` with its exit status.
    """

    _child: Child
    _duplex: Duplex
    _diagnostics: Diagnostics | None = None
    _stderr_reader: Reader | None = None
    program = ""
    """What was launched: the first word of its command, for the others may be secrets."""

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
        """The last 64 KiB of what it wrote to stderr, as they came; empty unless stderr is a function or PIPE."""
        return b"" if self._diagnostics is None else self._diagnostics.tail

    @property
    def last_words(self) -> str:
        """The same for an error text: on one line, at most 500 characters, with control characters escaped."""
        return "" if self._diagnostics is None else self._diagnostics.last_words

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

    def start(self, command: Command) -> None:
        """Launch the process; `spawn` has called this."""
        self.program = os.fspath(command.args[0])
        loop = asyncio.get_running_loop()
        theirs: list[int] = []
        ours: list[int] = []
        try:
            self._launch(loop, command, theirs, ours)
        except (OSError, ValueError, RuntimeError) as error:
            _close_all(ours)
            raise TransportError(_cannot_start(command, error)) from None
        except BaseException:
            _close_all(ours)
            raise
        finally:
            _close_all(theirs)
        self._duplex = open_duplex(loop, self, read_from=ours[1], write_to=ours[0])
        if self._diagnostics is not None:
            self._stderr_reader = open_reader(loop, ours[2], self._diagnostics, self._diagnostics.done)

    def _launch(self, loop: asyncio.AbstractEventLoop, command: Command, theirs: list[int], ours: list[int]) -> None:
        env = environment_of(command.env or {}, command.inherit)
        words = [os.fspath(word) for word in command.args]
        if sys.platform == "win32":
            import shutil

            # There npx and its like are batch files, which are found only by their full name.
            words[0] = shutil.which(words[0], path=env.get("PATH")) or words[0]
        cwd = None if command.cwd is None else os.fspath(command.cwd)
        stdin = _pipe(theirs, ours, theirs_reads=True)
        stdout = _pipe(theirs, ours, theirs_reads=False)
        stderr = self._stderr(loop, command.stderr, theirs, ours)
        self._child = Child(
            loop, words, env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr, exited=self._exited
        )

    def _stderr(
        self, loop: asyncio.AbstractEventLoop, stderr: Stderr, theirs: list[int], ours: list[int]
    ) -> "int | IO[Any] | None":
        if is_path(stderr):
            # Its owner's alone, for nobody knows what a server writes there.
            theirs.append(os.open(stderr, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600))
            return theirs[-1]
        if callable(stderr) or stderr == subprocess.PIPE:
            self._diagnostics = Diagnostics(loop, stderr if callable(stderr) else None)
            return _pipe(theirs, ours, theirs_reads=False)
        return cast("int | IO[Any] | None", stderr)

    def _exited(self) -> None:
        if self._stderr_reader is not None:
            self._stderr_reader.finish()
        if self._closed is None:
            told = f"the server process {cut(self.program)!r} {ending_of(self._child.returncode)}"
            self._closed = f"{told}; its last words: {words}" if (words := self.last_words) else told
        self._duplex.end_reading()
        self._duplex.abort()
        self._turns.wake()


def _cannot_start(command: Command, error: Exception) -> str:
    program = os.fspath(command.args[0])
    where = getattr(error, "filename", None)
    if command.cwd is not None and where == os.fspath(command.cwd):
        why = f"its working directory {where!r} cannot be entered: {error}"
    elif is_path(command.stderr) and where == command.stderr:
        why = f"its stderr cannot go to {where!r}: {error}; name a file that can be written"
    elif isinstance(error, FileNotFoundError):
        why = _not_found(program)
    elif isinstance(error, PermissionError):
        why = "it may not be executed; check its permissions, or name an interpreter before it"
    elif getattr(error, "errno", None) == ENOEXEC:
        why = "it is no program for this system; name an interpreter before it"
    else:
        why = str(error) or type(error).__name__
    return f"cannot start {program!r}: {why}"


def _not_found(program: str) -> str:
    if os.path.isfile(program):
        return "the interpreter that its first line names does not exist; name one before it"
    supplier = _SUPPLIERS.get(program)
    install = f"install {supplier}, " if supplier else ""
    return f"there is no such program; {install}give its full path, or a PATH in env that leads to it"


def _pipe(theirs: list[int], ours: list[int], *, theirs_reads: bool) -> int:
    """Make a pipe, note both of its ends, and return the one that is theirs."""
    read, write = os.pipe()
    theirs.append(read if theirs_reads else write)
    ours.append(write if theirs_reads else read)
    return theirs[-1]


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
