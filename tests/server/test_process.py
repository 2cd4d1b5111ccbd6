"""A server as a process over stdio: what ends it, how, and in which state it leaves things. Real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.protocol.conversations import modern

PROGRAMS = Path(__file__).with_name("programs.py")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONWARNINGS": "error::ResourceWarning"}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals there")


class Process:
    """A program under test, spoken to line by line."""

    def __init__(self, name: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, PROGRAMS, name],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ask(self, tool: str, id: Any = 1, **arguments: Any) -> None:
        self.send(modern("tools/call", {"name": tool, "arguments": arguments}, id=id))

    def send(self, message: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(message + b"\n")
        self.child.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        return msgspec.json.decode(self.child.stdout.readline())

    def noted(self, text: str) -> None:
        """Wait until the program has noted `text`."""
        assert self.child.stderr is not None
        while (line := self.child.stderr.readline().decode().strip()) != text:
            assert line, f"the program ended before it noted {text!r}"

    def end(self, *, close: bool = True) -> tuple[int, list[dict[str, Any]], str]:
        """Exit status, the answers not read yet, and the rest of stderr."""
        if not close:
            assert self.child.stdin is not None
            keep, self.child.stdin = self.child.stdin, None
            out, err = self.child.communicate(timeout=30)
            keep.close()
        else:
            out, err = self.child.communicate(timeout=30)
        return self.child.returncode, [msgspec.json.decode(line) for line in out.splitlines()], err.decode()


@pytest.fixture
def run() -> Iterator[Any]:
    processes: list[Process] = []

    def start(name: str) -> Process:
        processes.append(Process(name))
        return processes[-1]

    yield start
    for process in processes:
        process.child.kill()
        process.child.wait()
        for stream in (process.child.stdin, process.child.stdout, process.child.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


def texts(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["result"]["content"][0]["text"] for answer in answers]


class TestEndOfInput:
    def test_everything_is_answered_first(self, run: Any) -> None:
        process = run("polite")
        for number in range(3):
            process.ask("add", number, a=number, b=1)
        process.ask("twice", 3)
        status, answers, noted = process.end()
        assert (status, texts(answers)) == (0, ["1", "2", "3", "done"])
        assert noted.splitlines() == ["opened", "closed"]

    def test_what_does_not_finish_is_stopped_and_told(self, run: Any) -> None:
        process = run("hurried")
        process.ask("wait", 1)
        process.noted("waiting")
        status, answers, noted = process.end()
        assert (status, noted.splitlines()) == (0, ["stopped", "closed"])
        assert [answer["error"]["code"] for answer in answers] == [503]

    def test_a_signal_ends_the_grace_too(self, run: Any) -> None:
        process = run("polite")
        process.ask("wait", 1)
        process.noted("waiting")
        process.child.stdin.close()
        process.child.stdin = None
        process.child.send_signal(signal.SIGTERM)
        status, answers, noted = process.end()
        assert (status, noted.splitlines()) == (0, ["stopped", "closed"])
        assert [answer["error"]["code"] for answer in answers] == [503]

    def test_a_handler_that_never_stops_does_not_keep_the_process(self, run: Any) -> None:
        process = run("stubborn")
        process.ask("stay", 1)
        process.noted("waiting")
        status, _, noted = process.end()
        assert status == 1
        assert "does not stop though it was cancelled" in noted and "closed" in noted


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_one_ends_it_well(self, run: Any, number: signal.Signals) -> None:
        process = run("hurried")
        process.ask("add", 1, a=1, b=1)
        assert texts([process.answer()]) == ["2"]
        process.child.send_signal(number)
        status, answers, noted = process.end(close=False)
        assert (status, answers, noted.splitlines()) == (0, [], ["opened", "closed"])

    def test_the_second_ends_it_at_once_even_where_the_loop_is_blocked(self, run: Any) -> None:
        process = run("blocking")
        process.ask("block", 1)
        process.noted("waiting")
        process.child.send_signal(signal.SIGTERM)
        # Two signals that arrive together are one; the second is sent until the process is gone.
        while process.child.poll() is None:
            process.child.send_signal(signal.SIGTERM)
        assert process.child.returncode == 128 + signal.SIGTERM

    def test_one_is_heeded_while_the_lifespan_starts(self, run: Any) -> None:
        process = run("slow_to_start")
        process.noted("waiting")
        process.child.send_signal(signal.SIGTERM)
        status, answers, noted = process.end(close=False)
        assert (status, answers, noted.splitlines()) == (0, [], ["closed"])

    def test_what_is_being_answered_is_answered(self, run: Any) -> None:
        process = run("signals_itself")
        process.ask("stop", 1)
        status, answers, _ = process.end(close=False)
        assert (status, texts(answers)) == (0, ["answered"])


class TestOutput:
    def test_only_messages_reach_the_client(self, run: Any) -> None:
        process = run("poisoned")
        process.ask("poison", 1)
        process.ask("add", 2, a=1, b=1)
        assert texts([process.answer(), process.answer()]) == ["clean", "2"]
        status, answers, noted = process.end()
        assert (status, answers) == (0, [])
        assert {"printed", "written", "from a child", "through __stdout__"} <= set(noted.splitlines())

    @pytest.mark.parametrize("tool", ["leave", "leave_later"])
    def test_an_exit_asked_for_in_a_tool_is_that_tools_failure(self, run: Any, tool: str) -> None:
        process = run("exits")
        process.ask(tool, 1)
        assert process.answer()["result"]["isError"] is True
        process.ask("add", 2, a=1, b=1)
        assert texts([process.answer()]) == ["2"]
        assert process.end()[0] == 0

    def test_a_client_that_is_gone_ends_the_server(self, run: Any) -> None:
        process = run("polite")
        process.ask("add", 1, a=1, b=1)
        process.answer()
        process.child.stdout.close()
        process.ask("add", 2, a=1, b=1)
        process.child.stdin.close()
        assert process.child.wait(timeout=30) == 0
