"""Ctrl-C ends a command with 130 and without a traceback, whatever it was doing."""

import asyncio
import signal
import threading
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import Printed
from tybalt.cli.interrupt import run_to_end

LIFESPAN = """
import asyncio, signal
from contextlib import asynccontextmanager
@asynccontextmanager
async def lifespan(server):
    try:
        yield
    finally:
        print("closed")
server = Server("x", lifespan=lifespan)
def interrupt():
    signal.raise_signal(signal.SIGINT)
"""

TOOLS = {
    "a tool that blocks the loop": """
@server.tool
def stop() -> str:
    interrupt()
    return "went on"
""",
    "a tool that blocks the loop later": """
@server.tool
async def stop() -> str:
    await asyncio.sleep(0)
    interrupt()
    return "went on"
""",
    "a tool that waits": """
@server.tool
async def stop() -> str:
    asyncio.get_running_loop().call_soon(interrupt)
    await asyncio.Event().wait()
""",
}


@pytest.fixture(autouse=True)
def interrupts_as_in_a_process_of_its_own() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("source", TOOLS.values(), ids=TOOLS)
def test_during_a_call(source: str, write: Write, printed: Printed) -> None:
    path = str(write("slow.py", LIFESPAN + source))
    assert printed("call", path, "stop") == (130, "", "closed\n")


@pytest.mark.parametrize("command", [("call", "stop"), ("list", "--json")])
def test_during_the_start(command: tuple[str, str], write: Write, printed: Printed) -> None:
    path = str(write("slow.py", f"{LIFESPAN}\nserver.on_startup(interrupt)"))
    assert printed(command[0], path, command[1]) == (130, "", "closed\n")


@pytest.mark.parametrize("command", [("run",), ("call", "stop"), ("list",)])
def test_while_the_file_is_loaded(command: tuple[str, ...], write: Write, printed: Printed) -> None:
    first, *more = command
    path = str(write("slow.py", f"{LIFESPAN}\ninterrupt()"))
    assert printed(first, path, *more) == (130, "", "")


async def seven() -> int:
    return 7


def test_who_ignores_interrupts_goes_on_to_ignore_them() -> None:
    async def interrupted() -> int:
        signal.raise_signal(signal.SIGINT)
        return 7

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert run_to_end(interrupted()) == 7
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_signals_are_left_alone_in_other_threads() -> None:
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(run_to_end(seven())))
    thread.start()
    thread.join()
    assert results == [7]


def test_an_error_without_an_interrupt_comes_through() -> None:
    async def fail() -> None:
        raise OSError("no shelf")

    with pytest.raises(OSError, match="no shelf"):
        run_to_end(fail())


def test_a_cancellation_without_an_interrupt_comes_through() -> None:
    async def give_up() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_to_end(give_up())
