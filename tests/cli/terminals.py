"""`python -m tybalt` on a terminal: stdin and stderr are one, stdout is a pipe unless the test says otherwise."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.processes import SOURCE

CTRL_D = "\x04"


class Terminal:
    """What a person sees and types; `seen` is all that has been shown so far."""

    def __init__(self, words: tuple[str, ...], *, on_stdout: bool) -> None:
        self._master, slave = pty.openpty()
        variables = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"}
        command = [sys.executable, "-m", "tybalt", *words]
        out = slave if on_stdout else subprocess.PIPE
        self._process = subprocess.Popen(
            command, env=variables, stdin=slave, stderr=slave, stdout=out, start_new_session=True
        )
        os.close(slave)
        self.seen = ""
        self._looked_at = 0

    def expect(self, text: str) -> None:
        """Wait until `text` is shown, behind what was expected before."""
        while (found := self.seen.find(text, self._looked_at)) < 0:
            assert self._read(), f"{text!r} was not shown, but {self.seen!r}"
        self._looked_at = found + len(text)

    def type(self, text: str) -> None:
        """Type it, Enter included where it is in there."""
        os.write(self._master, text.encode())

    def interrupt(self) -> None:
        """Ctrl-C, which a terminal sends to the whole command."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> tuple[int, str]:
        """Wait for the end: the status, and what was written to a stdout that is a pipe."""
        while self._read():
            pass
        out, _ = self._process.communicate(timeout=50)
        return self._process.returncode, (out or b"").decode()

    def close(self) -> None:
        os.close(self._master)
        self._process.kill()
        self._process.communicate()

    def _read(self) -> bool:
        try:
            piece = os.read(self._master, 65_536)
        except OSError:  # Nobody has the other end any more.
            return False
        self.seen += piece.decode().replace("\r\n", "\n")
        return bool(piece)


@contextmanager
def terminal(*words: str, on_stdout: bool = False) -> Iterator[Terminal]:
    """Run a command on a terminal."""
    opened = Terminal(words, on_stdout=on_stdout)
    try:
        yield opened
    finally:
        opened.close()
