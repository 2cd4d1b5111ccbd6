"""The command line, run in this process, leaves nothing of its targets behind."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.processes import Printed
from tybalt.cli import main

HERE = Path(__file__).parent

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def modules_as_before(tmp_path: Path) -> Iterator[None]:
    """A target is the program: importable folder, `sys.modules`, `sys.argv`; in its own process that is no matter."""
    modules, path, arguments = set(sys.modules), list(sys.path), sys.argv
    yield
    sys.path[:] = path
    sys.argv = arguments
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and {HERE, tmp_path} & set(Path(file).parents):
            del sys.modules[name]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Run a command in this process: its status, what it printed, and what it complained of."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file that imports `Server` in its first line, and return its path."""

    def write_file(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"from tybalt import Server\n{source}")
        return path

    return write_file
