"""The command line, run in this process, leaves nothing of its targets behind."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def modules_as_before(tmp_path: Path) -> Iterator[None]:
    """A target makes its folder importable and stays in `sys.modules`; in a process of its own that is no matter."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and {HERE, tmp_path} & set(Path(file).parents):
            del sys.modules[name]
