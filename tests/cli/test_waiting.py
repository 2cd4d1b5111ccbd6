"""Whom a command waits for is shown on a terminal, after a while."""

import asyncio
import io
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET

from tests.cli.processes import FILE, Printed
from tybalt.cli import talk, waiting
from tybalt.cli.terminal import clear_line, note, show_line
from tybalt.cli.waiting import PATIENCE, silence_explained
from tybalt.client.client import Client
from tybalt.errors import MisuseError


class Screen(io.StringIO):
    """A stderr that is a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """The `call_later` of a loop whose time the test lets pass."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], object]]] = []

    def __call__(self, delay: float, callback: Callable[..., object], *arguments: Any) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(delay, callback, arguments, asyncio.get_running_loop())
        self.due.append((delay, lambda: None if timer.cancelled() else callback(*arguments)))
        return timer

    def pass_by(self) -> None:
        for _, callback in self.due:
            callback()


def watched(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """Within a test, for pytest puts a stderr of its own in place before one."""
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    return screen


async def test_it_is_shown_after_a_while_and_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, clock = watched(monkeypatch), Clock()
    with silence_explained("https://x.example", later=clock):
        assert screen.getvalue() == "" and [delay for delay, _ in clock.due] == [PATIENCE]
        clock.pass_by()
        shown = "waiting for https://x.example (Ctrl-C ends it)"
        assert screen.getvalue() == f"\r{shown}"
        note("said")
        assert screen.getvalue() == f"\r{shown}\r{' ' * len(shown)}\rsaid\n"


async def test_it_is_not_shown_where_an_answer_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, clock = watched(monkeypatch), Clock()
    with silence_explained("x", later=clock):
        pass
    clock.pass_by()
    assert screen.getvalue() == ""


async def test_what_is_shown_already_says_more(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, clock = watched(monkeypatch), Clock()
    with silence_explained("x", later=clock):
        show_line("progress 1")
        clock.pass_by()
    assert screen.getvalue() == "\rprogress 1"
    clear_line()


async def test_where_nobody_watches_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with silence_explained("x", later=clock):
        clock.pass_by()
    assert capsys.readouterr().err == ""


def test_a_command_says_for_whom_it_waits(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = watched(monkeypatch)
    monkeypatch.setattr(waiting, "PATIENCE", 0.0)
    assert printed("call", FILE, "forever", "--timeout", "0.01")[0] == 5
    assert "waiting for " in screen.getvalue() and "tools/call was not answered" in screen.getvalue()


COMMANDS = [("list",), ("inspect",), ("read", "x://y"), ("get", "review")]


@pytest.mark.parametrize("command", COMMANDS)
def test_who_accepts_and_never_answers_is_given_up(
    command: tuple[str, ...], tmp_path: Path, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tybalt.client.options.REQUEST_TIMEOUT", 0.02)
    path = tmp_path / "mute.sock"
    with closing(socket.socket(socket.AF_UNIX)) as mute:
        mute.bind(str(path))
        mute.listen()
        first, *more = command
        status, out, err = printed(first, f"unix:{path}", *more, "--era", "legacy")
        assert (status, out) == (5, "") and err == f"tybalt: initialize was not answered within 0.02 s by unix:{path}\n"
        status, _, err = printed(first, f"unix:{path}", *more, "--era", "legacy", "--timeout", "0.03")
        assert status == 5 and "within 0.03 s" in err


def test_a_tool_has_the_time_that_it_needs(monkeypatch: pytest.MonkeyPatch, printed: Printed) -> None:
    given: list[object] = []

    class Refusing(Client):
        def __init__(self, *_: Any, timeout: object, **__: Any) -> None:
            given.append(timeout)
            raise MisuseError("refused")

    monkeypatch.setattr(talk, "Client", Refusing)
    assert printed("call", FILE, "add", "a=1")[0] == printed("list", FILE)[0] == 2
    assert given == [None, UNSET]
