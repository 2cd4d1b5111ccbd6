"""The child processes of the stdio tests: `python programs.py NAME`. Each is a function below.

What they do to their standard streams is the point of the tests, so they print and block as they please.
"""

# ruff: noqa: T201, ASYNC221, ASYNC222

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
import time

from tybalt.errors import TybaltError
from tybalt.protocol.frames import Oversized
from tybalt.transports.process import spawn
from tybalt.transports.stdio import StdioTransport, stdio_transport


async def serve(transport: StdioTransport) -> None:
    """Answer every message with itself, and one too long with its limit."""
    while messages := await transport.receive():
        answers = [b"%d" % each.limit if isinstance(each, Oversized) else each for each in messages]
        (transport.reserve_nowait() or await transport.reserve()).send(*answers)


async def echo() -> None:
    """Serve until the client closes."""
    transport = await stdio_transport()
    await serve(transport)
    await transport.aclose()


async def poisoned() -> None:
    """Everything that could write to stdout does, before, while and after messages are exchanged."""
    print("printed before", end="")
    transport = await stdio_transport()
    print("printed while serving")
    sys.stdout.write("unfinished line")
    os.write(1, b"written to 1\n")
    subprocess.run(["sh", "-c", "echo echoed by a child; cat; echo and its input is empty >&2"], check=False)
    print(f"input: {sys.stdin.read()!r}")
    await serve(transport)
    print("printed before closing", end="")
    await transport.aclose()
    print("printed after closing")


async def descriptors() -> None:
    """Tell which descriptors a child inherits, of those that are open here."""
    transport = await stdio_transport()
    listing = subprocess.run(["sh", "-c", "ls /proc/$$/fd"], stdout=subprocess.PIPE, check=True).stdout
    (await transport.reserve()).send(json.dumps(listing.decode().split()).encode())
    await serve(transport)
    await transport.aclose()


async def twice() -> None:
    """Open a second transport beside the first, and a third after it."""
    transport = await stdio_transport()
    try:
        await stdio_transport()
    except TybaltError as error:
        (await transport.reserve()).send(json.dumps(str(error)).encode())
    await transport.aclose()
    await echo()


async def refused() -> None:
    """Say why the transport cannot be opened."""
    try:
        await stdio_transport()
    except TybaltError as error:
        print(error, file=sys.stderr)


async def stuck() -> None:
    """Serve, then lose the reader of stdout with much output to go."""
    transport = await stdio_transport()
    await transport.receive()
    (await transport.reserve()).send(b"x" * 1_000_000)
    try:
        await transport.reserve()
    except TybaltError as error:
        print(error, file=sys.stderr)
    await transport.aclose()


def environment() -> None:
    """Tell the environment, the working directory and the arguments."""
    told = {"environment": dict(os.environ), "directory": os.getcwd(), "arguments": sys.argv[2:]}
    print(json.dumps(told), flush=True)
    sys.stdin.read()


def last_words() -> None:
    """At the end of input say much, then exit."""
    sys.stdin.read()
    for number in range(100):
        print(json.dumps(["x" * 10_000, number]))


def deaf() -> None:
    """Take no notice of the end of input."""
    print("1", flush=True)
    time.sleep(60)


def stubborn() -> None:
    """Take no notice of the end of input nor of SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    deaf()


def parent() -> None:
    """Leave a child behind that holds stderr and takes no notice of SIGTERM, and exit at the end of input."""
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL) as child:
        sys.stdin.read()
        os._exit(child.returncode or 0)


def crash() -> None:
    """Answer one message, then exit with status 3, with a child that still holds stdout."""
    message = sys.stdin.readline()
    subprocess.Popen(["sleep", "60"])
    print(message.strip(), flush=True)
    print("about to crash: é", file=sys.stderr, flush=True)
    os._exit(3)


def orphans() -> None:
    """Exit with status 3 at the first message, with a child that holds stderr and takes no notice of SIGTERM."""
    code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
    sys.stdin.readline()
    os._exit(3)


def session() -> None:
    """Tell which session and which process group this is in, and who it is."""
    print(json.dumps([os.getsid(0), os.getpgrp(), os.getpid()]), flush=True)
    sys.stdin.read()


def coloured() -> None:
    """Write to stderr what a terminal would obey, then exit with status 4."""
    sys.stderr.buffer.write("\x1b[31mred\x1b[0m \u202eé\tx\n\n  it is \a".encode() + b"\xff over\n")
    sys.stderr.flush()
    os._exit(4)


async def forgetful() -> None:
    """Start a server that takes no notice of anything, and end without closing it."""
    transport = await spawn([sys.executable, __file__, "stubborn"], inherit="all")
    print((await transport.receive())[0], transport.pid, flush=True)


async def forked() -> None:
    """Start a server, fork, and let the fork end as an interpreter does: the server still answers."""
    transport = await spawn([sys.executable, __file__, "echo"], inherit="all")
    if (fork := os.fork()) == 0:
        atexit._run_exitfuncs()
        os._exit(0)
    os.waitpid(fork, 0)
    (await transport.reserve()).send(b"still here")
    print(await transport.receive(), flush=True)
    await transport.aclose()


def shot() -> None:
    """Die of a signal."""
    os.kill(os.getpid(), signal.SIGKILL)


def noisy() -> None:
    """Write 8 MiB to stderr, then answer."""
    for number in range(80):
        sys.stderr.write(f"{number} ".ljust(1024 * 1024 // 10, "x") + "\n")
    sys.stderr.write("the end")
    sys.stderr.flush()
    print("1", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    program = globals()[sys.argv[1]]
    if asyncio.iscoroutinefunction(program):
        asyncio.run(program())
    else:
        program()
