"""Servers as processes over HTTP, for as long as a block lasts."""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any, NamedTuple
from urllib.request import urlopen

ROOT = pathlib.Path(__file__).resolve().parent.parent

ENDS = {"lane": 0, "asgi": -signal.SIGTERM}
"""How a server ends by SIGTERM: uvicorn by itself finishes its work, and then lets the signal have its effect."""

PATIENCE = 20
"""Seconds that it has to begin, and to end."""


class Serving(NamedTuple):
    """Our server as a process: where it is, and what it has said on stderr so far."""

    process: subprocess.Popen[str]
    url: str
    said: list[str]

    @property
    def alarming(self) -> list[str]:
        """What it has said beside that it is there."""
        return alarming("".join(self.said))


def alarming(said: str) -> list[str]:
    """The lines of a server's stderr that say more than that it is there, and that it has let somebody not in."""
    expected = ("serves MCP at http", ": refused with 40")
    return [
        line for line in said.splitlines() if not (line.startswith("INFO:") or any(each in line for each in expected))
    ]


@contextmanager
def serving(face: str, module: str, record: pathlib.Path | None = None) -> Iterator[Serving]:
    """The server of a module, on a port of its own, until the end of the block; SIGTERM ends it.

    What is posted to one that is not ours is written down in the file `record`.
    """
    more = [] if record is None else ["0", str(record)]
    command = [sys.executable, "-m", "interop.servers.over_http", face, module, *more]
    with listening(command, r"http://127\.0\.0\.1:\d+") as (process, url, said):
        if record is None:
            # It listens before it serves; whoever asks meanwhile waits.
            urlopen(f"{url}/ready", timeout=PATIENCE).close()
        yield Serving(process, f"{url}/mcp", said)


@contextmanager
def listening(
    command: Sequence[str], sign: str, **options: Any
) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """A process that says on stderr that it listens, and what it has said of that and since; SIGTERM ends it."""
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **options) as process:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if (found := re.search(sign, line)) is not None:
                break
        else:
            raise AssertionError(f"the server did not start: {''.join(said)}")
        # What it goes on to say is read all the while, or it could not go on.
        reader = Thread(target=said.extend, args=(process.stderr,))
        reader.start()
        try:
            yield process, found[0], said
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()
                reader.join()
