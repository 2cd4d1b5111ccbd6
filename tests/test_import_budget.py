"""What `from tybalt import Server` loads. Every stdio server pays for it at every start, so it is counted in modules.

The time it takes is a row of `make bench`: a test asserts no wall-clock time.
"""

from __future__ import annotations

import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parent.parent / "src"
BUDGET = 60
HTTP = {
    "aiohttp",
    "ftplib",
    "h11",
    "http.client",
    "http.server",
    "httptools",
    "httpx",
    "httpx2",
    "starlette",
    "urllib.request",
    "uvicorn",
    "websockets",
}
# Each costs tens of milliseconds and has no business in a server that answers over a pipe.
HEAVY = {
    "attr",
    "attrs",
    "multiprocessing",
    "pydantic",
    "pydantic_core",
    "typing_extensions",
    "unittest",
    "uvloop",
    "xml",
}


@functools.cache
def loaded_by(statement: str) -> frozenset[str]:
    """The modules that `statement` adds to `import msgspec, asyncio` in a fresh interpreter."""
    program = (
        "import msgspec, asyncio, sys\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "added = sorted(set(sys.modules) - before)\n"
        "import json\n"
        "print(json.dumps(added))"
    )
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", program]
    return frozenset(json.loads(subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout))


@pytest.mark.parametrize("name", ["Server", "Client"])
def test_a_public_class_stays_within_the_budget(name):
    added = loaded_by(f"from tybalt import {name}")
    own = {each for each in added if each.startswith("tybalt")}
    assert len(added) <= BUDGET, f"{len(own)} modules of ours and {sorted(added - own)}"


@pytest.mark.parametrize("name", ["Server", "Client"])
def test_nothing_heavy_is_loaded(name):
    assert loaded_by(f"from tybalt import {name}") & (HTTP | HEAVY) == set()


@pytest.mark.parametrize(("name", "other"), [("Server", "client"), ("Client", "server")])
def test_server_and_client_do_not_load_each_other(name, other):
    own = {each for each in loaded_by(f"from tybalt import {name}") if each.startswith("tybalt.")}
    assert {each for each in own if each.split(".")[1] == other} == set()
    assert own, "the public name comes from somewhere"


def test_the_package_alone_loads_almost_nothing():
    assert len(loaded_by("import tybalt")) <= 3
