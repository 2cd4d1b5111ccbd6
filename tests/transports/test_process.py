"""The client's end of stdio: launching servers, what they inherit, and how each kind of them is ended."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tybalt.errors import MisuseError, TransportClosed, TransportError
from tybalt.protocol.frames import Oversized
from tybalt.transports import child
from tybalt.transports.command import Command
from tybalt.transports.process import ProcessTransport, spawn

PROGRAMS = Path(__file__).with_name("programs.py")
SOURCE = str(Path(__file__).parents[2] / "src")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and groups are of POSIX")


async def start(program: str, *arguments: str, **options: Any) -> ProcessTransport:
    given: dict[str, Any] = {"env": {"PYTHONPATH": SOURCE}, "grace": 5.0, **options}
    return await spawn([sys.executable, str(PROGRAMS), program, *arguments], **given)


async def asked(transport: ProcessTransport, message: bytes) -> list[bytes | Oversized]:
    (await transport.reserve()).send(message)
    return await transport.receive()


def without_pidfd(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, and on Linux where a sandbox forbids it: exits are waited for in a thread."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)


@pytest.fixture(params=["pidfd", "thread"])
def either_way_of_waiting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "thread":
        without_pidfd(monkeypatch)


@pytest.mark.loops
@pytest.mark.usefixtures("either_way_of_waiting")
async def test_a_server_answers_and_ends_when_its_input_does() -> None:
    transport = await start("echo")
    assert transport.returncode is None
    for number in range(20):
        assert await asked(transport, b"%d" % number) == [b"%d" % number]
    await transport.aclose()
    assert transport.returncode == 0
    assert await transport.wait() == 0
    assert await transport.receive() == []
    with pytest.raises(TransportClosed, match="closed on this side"):
        await transport.reserve()
    await transport.aclose()


@pytest.mark.loops
async def test_much_goes_both_ways_at_once() -> None:
    transport = await start("echo")
    messages = [b'{"number":%d,"text":"%s"}' % (number, b"x" * (number % 500)) for number in range(30_000)]

    async def send() -> None:
        for start_at in range(0, len(messages), 100):
            (await transport.reserve()).send(*messages[start_at : start_at + 100])

    sending = asyncio.create_task(send())
    received: list[bytes | Oversized] = []
    while len(received) < len(messages):
        received += await transport.receive()
    await sending
    assert received == messages
    await transport.aclose()
    assert transport.returncode == 0


async def test_a_server_inherits_only_what_it_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "SECRET_TOKEN": "x",
        "PYTHONSTARTUP": "x",
        "LC_TIME": "C",
        "TERM": "dumb",
        "SHELL": "() { :; }",
    }.items():
        monkeypatch.setenv(name, value)
    transport = await start("environment", "one two", "*", env={"PYTHONPATH": SOURCE, "EXTRA": "given"}, cwd=tmp_path)
    told = json.loads((await transport.receive())[0])  # type: ignore[arg-type]
    assert told["environment"].items() >= {"LC_TIME": "C", "TERM": "dumb", "EXTRA": "given"}.items()
    assert not told["environment"].keys() & {"SECRET_TOKEN", "PYTHONSTARTUP", "SHELL"}
    allowed = {"PATH", "HOME", "LANG", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR", "PYTHONPATH", "EXTRA"}
    assert {name for name in told["environment"] if not name.startswith("LC_")} <= allowed
    assert os.path.samefile(told["directory"], tmp_path)  # noqa: ASYNC240
    assert told["arguments"] == ["one two", "*"]
    await transport.aclose()


@pytest.mark.parametrize(
    ("command", "options", "explanation"),
    [
        (["no-such-program"], {}, "cannot start 'no-such-program': there is no such program; give its full path"),
        ([str(PROGRAMS)], {}, "it may not be executed; check its permissions"),
        ([sys.executable], {"cwd": "/no/such/folder"}, "its working directory '/no/such/folder' cannot be entered"),
        (["a\0b"], {}, "embedded null byte"),
        (["npx", "x"], {"env": {"PATH": "/no"}}, "there is no such program; install Node.js (nodejs.org), give its"),
        ([sys.executable], {"stderr": "/no/such/log"}, "its stderr cannot go to '/no/such/log'"),
    ],
)
async def test_a_command_that_cannot_be_started_is_explained(
    command: Sequence[str], options: dict[str, Any], explanation: str
) -> None:
    with pytest.raises(TransportError) as caught:
        await spawn(command, **{"stderr": subprocess.PIPE, **options})
    assert explanation in str(caught.value)


@pytest.mark.parametrize(
    ("text", "explanation"),
    [
        ("#!/no/such/interpreter\n", "the interpreter that its first line names does not exist; name one before it"),
        ("print(1)\n", "it is no program for this system; name an interpreter before it"),
    ],
)
async def test_a_file_that_is_no_program_is_explained(tmp_path: Path, text: str, explanation: str) -> None:
    program = tmp_path / "program"
    program.write_text(text)
    program.chmod(0o700)
    with pytest.raises(TransportError) as caught:
        await spawn([program])
    assert str(caught.value) == f"cannot start {str(program)!r}: {explanation}"


async def test_without_a_thread_to_wait_for_it_there_is_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> Any:
        raise RuntimeError("can't start new thread")

    without_pidfd(monkeypatch)
    monkeypatch.setattr(child, "Thread", refuse)
    with pytest.raises(TransportError, match="can't start new thread"):
        await start("stubborn", stderr=subprocess.PIPE)


async def test_a_loop_that_does_not_watch_leaves_nothing_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", refuse)
    with pytest.raises(TransportError, match="NotImplementedError"):
        await start("stubborn", stderr=subprocess.PIPE)


@pytest.mark.parametrize(
    ("command", "options", "explanation"),
    [
        ("python server.py", {}, "must be a list of words such as"),
        ([], {}, "the command is empty"),
        (["python"], {"stderr": subprocess.STDOUT}, "stderr must not be mixed into stdout"),
        (Command(["python"]), {"cwd": "."}, "belong into the Command; spawn\\(\\) takes them with a list"),
        (Command(["python"]), {"grace": 1}, "belong into the Command"),
    ],
)
async def test_a_command_that_makes_no_sense_is_refused(
    command: Command | Sequence[str], options: dict[str, Any], explanation: str
) -> None:
    with pytest.raises(MisuseError, match=explanation):
        await spawn(command, **options)


@pytest.mark.loops
async def test_what_a_closing_server_still_writes_does_not_hold_it_up() -> None:
    transport = await start("last_words")
    await transport.aclose()
    assert transport.returncode == 0


@pytest.mark.loops
@pytest.mark.usefixtures("either_way_of_waiting")
@pytest.mark.parametrize(("program", "returncode"), [("deaf", -15), ("stubborn", -9)])
async def test_a_server_that_does_not_end_by_itself_is_ended(program: str, returncode: int) -> None:
    transport = await start(program, grace=0.1)
    assert await transport.receive() == [b"1"]
    await transport.aclose()
    assert transport.returncode == returncode


@pytest.mark.loops
async def test_what_a_server_started_ends_with_it() -> None:
    # Whoever is alive holds the writing end: only when the last is dead does the pipe end.
    alive, theirs = os.pipe()
    transport = await start("parent", grace=0.1, stderr=theirs)
    os.close(theirs)
    assert await transport.receive() == [b"1"]
    await transport.aclose()
    assert await asyncio.to_thread(os.read, alive, 1) == b""
    os.close(alive)


@pytest.mark.loops
@pytest.mark.usefixtures("either_way_of_waiting")
async def test_what_a_server_that_died_has_started_ends_too() -> None:
    alive, theirs = os.pipe()
    transport = await start("orphans", grace=0.1, stderr=theirs)
    os.close(theirs)
    assert await transport.receive() == [b"1"]
    (await transport.reserve()).send(b"go")
    assert await transport.wait() == 3
    await transport.aclose()
    assert await asyncio.to_thread(os.read, alive, 1) == b""
    os.close(alive)


async def test_a_cancelled_close_leaves_nothing_that_the_server_started() -> None:
    alive, theirs = os.pipe()
    transport = await start("orphans", grace=30, stderr=theirs)
    os.close(theirs)
    assert await transport.receive() == [b"1"]
    closing = asyncio.create_task(transport.aclose())
    await transport.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert transport.returncode == 3
    assert await asyncio.to_thread(os.read, alive, 1) == b""
    os.close(alive)


async def test_a_stranger_who_has_got_the_number_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alive, theirs = os.pipe()
    transport = await start("orphans", grace=0, stderr=theirs)
    os.close(theirs)
    assert await transport.receive() == [b"1"]
    (await transport.reserve()).send(b"go")
    await transport.wait()
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpgid", lambda pid: pid)
        await transport.aclose()
    os.killpg(transport.pid, 9)  # It is still there.
    assert await asyncio.to_thread(os.read, alive, 1) == b""
    os.close(alive)


async def test_a_server_has_a_session_of_its_own() -> None:
    transport = await start("session")
    told = json.loads((await transport.receive())[0])  # type: ignore[arg-type]
    assert told == [transport.pid] * 3, "a Ctrl-C in our terminal is for us to hear"
    await transport.aclose()


def run_program(name: str) -> subprocess.CompletedProcess[str]:
    """A program that is a client itself; it is over when all who hold its stderr are dead."""
    environment = {**os.environ, "PYTHONPATH": SOURCE}
    command = [sys.executable, str(PROGRAMS), name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True)


def test_what_nobody_closed_ends_with_the_interpreter() -> None:
    done = run_program("forgetful")
    message, pid = done.stdout.split()
    assert message == "b'1'" and done.stderr == ""
    with pytest.raises(ProcessLookupError):
        os.killpg(int(pid), 0)


def test_the_end_of_a_fork_is_not_that_of_our_servers() -> None:
    done = run_program("forked")
    assert done.stdout == "[b'still here']\n" and done.stderr == ""


@pytest.mark.loops
async def test_a_cancelled_close_leaves_no_process() -> None:
    transport = await start("stubborn", grace=30)
    assert await transport.receive() == [b"1"]
    closing = asyncio.create_task(transport.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert transport.returncode == -9


@pytest.mark.loops
@pytest.mark.usefixtures("either_way_of_waiting")
async def test_a_server_that_crashes_ends_the_stream_even_while_its_children_hold_it() -> None:
    transport = await start("crash", stderr=subprocess.PIPE)
    assert await asked(transport, b"1") == [b"1"]
    assert await transport.receive() == []
    assert await transport.wait() == 3
    with pytest.raises(
        TransportClosed, match=r"the server process '.*' ended with status 3; its last words: about to crash: é$"
    ):
        await transport.reserve()
    assert transport.stderr_tail.decode() == "about to crash: é\n"
    await transport.aclose()
    assert transport.returncode == 3


async def test_a_server_that_is_shot_says_by_which_signal() -> None:
    transport = await start("shot")
    assert await transport.receive() == []
    assert await transport.wait() == -9
    with pytest.raises(TransportClosed) as caught:
        await transport.reserve()
    # The program alone: its arguments may be secrets.
    assert str(caught.value) == f"the server process {sys.executable!r} was killed by SIGKILL"
    await transport.aclose()


@pytest.mark.loops
async def test_a_flood_on_stderr_is_drained_and_only_its_end_kept() -> None:
    transport = await start("noisy", stderr=subprocess.PIPE)
    assert await transport.receive() == [b"1"]
    await transport.aclose()
    assert transport.returncode == 0
    assert len(transport.stderr_tail) == 64 * 1024
    assert transport.stderr_tail.endswith(b"x\nthe end")


@pytest.mark.loops
async def test_lines_on_stderr_are_handed_on_as_text() -> None:
    lines: list[str] = []
    transport = await start("crash", stderr=lines.append)
    assert await asked(transport, b"1") == [b"1"]
    await transport.wait()
    await transport.aclose()
    assert lines == ["about to crash: é"]


async def test_a_line_on_stderr_that_is_too_long_is_noted() -> None:
    lines: list[str] = []
    transport = await start("noisy", stderr=lines.append)
    assert await transport.receive() == [b"1"]
    await transport.aclose()
    assert len(lines) == 81
    assert lines[0].startswith("[a message is longer than 65,536 bytes")
    assert lines[-1] == "the end"


async def test_a_function_for_stderr_that_fails_stops_nothing() -> None:
    failures: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context["exception"]))
    transport = await start("crash", stderr=lambda line: 1 / 0)
    assert await asked(transport, b"1") == [b"1"]
    await transport.wait()
    await transport.aclose()
    assert [type(failure) for failure in failures] == [ZeroDivisionError]
    assert transport.stderr_tail.decode() == "about to crash: é\n"


async def test_stderr_is_shared_unless_told_otherwise(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for stderr in (None, subprocess.DEVNULL):
        transport = await start("crash", stderr=stderr)
        assert await asked(transport, b"1") == [b"1"]
        await transport.aclose()
        assert transport.stderr_tail == b""
    with (tmp_path / "log").open("wb") as log:
        transport = await start("crash", stderr=log)
        assert await asked(transport, b"1") == [b"1"]
        await transport.aclose()
    assert capfd.readouterr().err == "about to crash: é\n"
    assert (tmp_path / "log").read_text() == "about to crash: é\n"


async def test_stderr_goes_to_the_end_of_a_file(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    for path in (log, str(log), tmp_path / "new"):
        transport = await start("crash", stderr=path)
        assert await asked(transport, b"1") == [b"1"]
        await transport.aclose()
        assert transport.last_words == ""
    assert log.read_text() == "before\n" + 2 * "about to crash: é\n"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600


@pytest.mark.loops
async def test_what_a_terminal_would_obey_is_escaped() -> None:
    lines: list[str] = []
    transport = await start("coloured", stderr=lines.append)
    assert await transport.receive() == []
    assert await transport.wait() == 4
    assert lines == [r"\x1b[31mred\x1b[0m \u202eé" "\tx", r"  it is \x07" "\ufffd over"]
    assert transport.last_words == r"\x1b[31mred\x1b[0m \u202eé" "\tx | " r"it is \x07" "\ufffd over"
    assert transport.stderr_tail.startswith(b"\x1b[31mred")
    await transport.aclose()


async def test_last_words_are_few() -> None:
    transport = await start("noisy", stderr=subprocess.PIPE)
    assert await transport.receive() == [b"1"]
    await transport.aclose()
    assert len(transport.last_words) == 500
    assert transport.last_words.startswith("…x") and transport.last_words.endswith("x | the end")


async def test_a_command_carries_its_options(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYTHONPATH", SOURCE)
    monkeypatch.setenv("MORE", "too")
    monkeypatch.setenv("LESS", "not")
    words = [sys.executable, str(PROGRAMS), "environment"]
    transport = await spawn(Command(words, env={"EXTRA": "1"}, cwd=tmp_path, inherit=["PYTHONPATH", "MORE", "NONE"]))
    told = json.loads((await transport.receive())[0])  # type: ignore[arg-type]
    assert told["environment"].items() >= {"EXTRA": "1", "MORE": "too"}.items()
    assert not {"LESS", "NONE"} & told["environment"].keys()
    assert os.path.samefile(told["directory"], tmp_path)  # noqa: ASYNC240
    await transport.aclose()
    transport = await spawn(Command(words, env={"MORE": "mine"}, inherit="all"))
    told = json.loads((await transport.receive())[0])  # type: ignore[arg-type]
    assert {"LESS": "not", "MORE": "mine"}.items() <= told["environment"].items()
    await transport.aclose()


@pytest.mark.loops
async def test_servers_run_side_by_side() -> None:
    transports = await asyncio.gather(*(start("echo") for _ in range(4)))
    for number, transport in enumerate(transports):
        assert await asked(transport, b"%d" % number) == [b"%d" % number]
    await asyncio.gather(*(transport.aclose() for transport in transports))
    assert [transport.returncode for transport in transports] == [0] * 4
