"""A program that stands between a client and a stdio server and writes down what either says.

    python recorder.py FOLDER COMMAND…

launches COMMAND and passes lines on, both ways, unchanged. It knows no protocol: `interop.recordings` reads what it
writes. Each run has a file of its own in FOLDER, for a client may launch a server more than once: `> ` begins a line
of the client, `< ` one of the server, `! ` says that the client sent SIGTERM, and `= ` the exit status at the end. A
line is written down before it is passed on, so no answer stands before its question. The file stays locked until the
end, so that a reader can wait for it.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import threading
from typing import IO


def main(folder: str, *command: str) -> int:
    """Run `command` to its end; its exit status."""
    with create(pathlib.Path(folder)) as record:
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def terminate(*_: object) -> None:
            record.write(b"! SIGTERM\n")
            server.terminate()

        signal.signal(signal.SIGTERM, terminate)
        assert server.stdin is not None
        assert server.stdout is not None
        questions = (sys.stdin.buffer, server.stdin, b"> ", record)
        threading.Thread(target=pass_on, args=questions, daemon=True).start()
        pass_on(server.stdout, sys.stdout.buffer, b"< ", record)
        status = server.wait()
        record.write(b"= %d\n" % status)
    return status


def create(folder: pathlib.Path) -> IO[bytes]:
    """The first file of `folder` that nobody has taken, open, locked and unbuffered."""
    for number in itertools.count(1):
        try:
            record = open(folder / f"{number}.txt", "xb", buffering=0)  # noqa: SIM115  it is the caller's to close
        except FileExistsError:
            continue
        fcntl.flock(record, fcntl.LOCK_EX)
        return record
    raise AssertionError("numbers do not end")


def pass_on(source: IO[bytes], target: IO[bytes], mark: bytes, record: IO[bytes]) -> None:
    """Pass lines on until `source` ends, then end `target`. What `target` no longer takes is still written down."""
    taken = True
    for line in iter(source.readline, b""):
        record.write(mark + line.removesuffix(b"\n") + b"\n")
        if taken:
            taken = deliver(target, line)
    try:
        target.close()
    except BrokenPipeError:
        pass


def deliver(target: IO[bytes], line: bytes) -> bool:
    """Pass one line on; False when nobody takes it."""
    try:
        target.write(line)
        target.flush()
    except BrokenPipeError:
        return False
    return True


if __name__ == "__main__":
    # At once: the thread that waits for the client's next line holds a lock that an orderly exit would want.
    os._exit(main(*sys.argv[1:]))
