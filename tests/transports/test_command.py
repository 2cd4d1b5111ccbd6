"""`Command`: what it takes, what it refuses, and what it shows of itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
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
        ("python server.py", {}, r"a list of words such as \['python', 'server.py'\], not one text \('python'…\): "),
        ("python x --key=secret", {}, r"not one text \('python'…\): "),
        ("KEY=secret x", {}, r"not one text \('KEY'…\): "),
        ("me:secret@host", {}, r"not one text \('me'…\): "),
        ({"command": "x", "env": {"K": "secret"}}, {}, "must be a list of words .*, not one of the type dict: "),
        (["x"], {"env": {"K=secret": "x"}}, "env: 'K' cannot be the name of a variable; expected a text without '='"),
        (Path("server.py"), {}, "must be a list of words"),
        (b"server.py", {}, "must be a list of words"),
        (5, {}, "must be a list of words"),
        ([], {}, "the command is empty"),
        ([""], {}, "the command is empty"),
        (["python", 5], {}, r"must be a list of words; \[1\] is of the type int"),
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
        (["x"], {"stderr": "devnull"}, r"'devnull' would be a file of that name; .* give subprocess.DEVNULL"),
        (["x"], {"stderr": Path("DEVNULL")}, f"and for such a file {re.escape(repr(os.path.join('.', 'DEVNULL')))}$"),
        (["x"], {"stderr": "null"}, "stderr: 'null' would be a file of that name"),
        (["x"], {"grace": -1}, "grace: expected a number of seconds from 0 on, or a text such as '5s'; got -1"),
        (["x"], {"grace": "5"}, "grace: expected a number of seconds from 0 on, or a text such as '5s'; got '5'"),
        (["x"], {"grace": timedelta(0)}, "grace: expected a number"),
        (["x"], {"grace": None}, "grace: expected a number"),
        (["x"], {"grace": float("inf")}, "grace: expected a number"),
        (["x"], {"grace": float("nan")}, "grace: expected a number"),
        (["x"], {"grace": True}, "grace: expected a number"),
    ],
)
def test_what_cannot_be_meant_is_refused(args: Sequence[str], options: dict[str, Any], explanation: str) -> None:
    with pytest.raises(MisuseError, match=explanation) as caught:
        Command(args, **options)
    assert "secret" not in str(caught.value)


def test_the_grace_may_be_a_duration() -> None:
    assert [Command(["x"], grace=each).grace for each in (0, "1.5s", "2m", timedelta(seconds=3))] == [0, 1.5, 120, 3]


def test_a_file_may_have_any_name_where_it_is_a_path() -> None:
    assert Command(["x"], stderr=os.path.join(".", "devnull")).stderr == os.path.join(".", "devnull")
    assert Command(["x"], stderr=os.devnull).stderr == os.devnull
