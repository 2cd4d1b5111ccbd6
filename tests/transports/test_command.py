"""`Command`: what it takes, what it refuses, and what it shows of itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.transports.command import Command


def test_it_is_a_value() -> None:
    given = {"KEY": "x"}
    command = Command(["python", Path("server.py")], env=given, inherit=["A"])
    given["KEY"] = "changed"
    assert command == Command(("python", "server.py"), env={"KEY": "x"}, inherit=("A",))
    assert command.args == ("python", "server.py") and command.env == {"KEY": "x"} and command.inherit == ("A",)
    assert (command.cwd, command.stderr, command.grace) == (None, None, 2.0)
    with pytest.raises(AttributeError):
        command.cwd = "."  # type: ignore[misc]


def test_it_shows_no_secrets() -> None:
    command = Command(["npx", "--token=secret"], env={"KEY": "secret"}, cwd="/here", stderr=0, inherit="all")
    assert repr(command) == "Command(['npx', …], env={'KEY': …}, cwd='/here', stderr=0, inherit='all')"
    assert "secret" not in repr(command.__rich_repr__())
    assert repr(Command(["npx"])) == "Command(['npx'])"


@pytest.mark.parametrize(
    "stderr", [None, 2, subprocess.DEVNULL, subprocess.PIPE, "log", Path("log"), print, sys.__stderr__]
)
def test_stderr_may_go_to_many_places(stderr: Any) -> None:
    assert Command(["x"], stderr=stderr).stderr is stderr


async def asynchronous(line: str) -> None:
    pass


@pytest.mark.parametrize(
    ("args", "options", "explanation"),
    [
        ("python server.py", {}, r"a list of words such as \['python', 'server.py'\], not 'python server.py'"),
        (Path("server.py"), {}, "must be a list of words"),
        (b"server.py", {}, "must be a list of words"),
        (5, {}, "must be a list of words"),
        ([], {}, "the command is empty"),
        ([""], {}, "the command is empty"),
        (["python", 5], {}, "must be a list of words; 5 is of the type int"),
        (["python", b"x"], {}, "is of the type bytes"),
        (["x"], {"env": ["KEY"]}, "env: expected a mapping of names to texts, got something of the type list"),
        (["x"], {"env": {"": "x"}}, "env: '' cannot be the name of a variable"),
        (["x"], {"env": {"A=B": "x"}}, "cannot be the name of a variable; expected a text without '='"),
        (["x"], {"env": {5: "x"}}, "env: 5 cannot be the name"),
        (["x"], {"env": {"KEY": 5}}, "env: the value of KEY must be a text without NUL, not of int"),
        (["x"], {"env": {"KEY": "secret\0"}}, "the value of KEY must be a text without NUL, not of str$"),
        (["x"], {"inherit": "HOME"}, "inherit: expected a list of names of variables, or 'all', got 'HOME'"),
        (["x"], {"inherit": True}, "inherit: expected a list"),
        (["x"], {"inherit": [5]}, "inherit: expected a list"),
        (["x"], {"cwd": 5}, "cwd: expected the path of a directory, got 5"),
        (["x"], {"stderr": subprocess.STDOUT}, "stderr must not be mixed into stdout"),
        (["x"], {"stderr": -7}, "stderr: expected None, a path, a function"),
        (["x"], {"stderr": True}, "stderr: expected None, a path, a function"),
        (["x"], {"stderr": b"log"}, "stderr: expected None, a path, a function"),
        (["x"], {"stderr": asynchronous}, "stderr: expected a plain function"),
        (["x"], {"grace": -1}, "grace: expected a number of seconds from 0 on, got -1"),
        (["x"], {"grace": float("inf")}, "grace: expected a number"),
        (["x"], {"grace": float("nan")}, "grace: expected a number"),
        (["x"], {"grace": True}, "grace: expected a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(args: Sequence[str], options: dict[str, Any], explanation: str) -> None:
    with pytest.raises(MisuseError, match=explanation) as caught:
        Command(args, **options)
    assert "secret" not in str(caught.value)
