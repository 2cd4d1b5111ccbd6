"""10,000 random schedules of cancels, deadlines, disconnects, errors, overload and shutdown, on virtual time.

`schedules` says what each has to leave behind, which is nothing, and how to run one alone. Below are the bugs that it has
found, each by itself.
"""

import asyncio
import hashlib
import os
import pathlib
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Any

import pytest

from tests.server.awaiting import ended, text_of
from tests.server.driving import Driver
from tests.server.schedules import play
from tybalt import BackendError, Context, Depends, Server
from tybalt.middleware import Timeout
from tybalt.testing import run_virtual

SCHEDULES = 10_000
CHUNK = 500
"""How many are one test: what several processes share out is tests."""
TWICE = 30
"""Every how manieth is played twice."""

Handler = Callable[[Any], Awaitable[Any]]


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_nothing_is_left_behind(first: int) -> None:
    for seed in range(first, first + CHUNK):
        play(seed)


def test_the_same_seed_gives_the_same_trace() -> None:
    for seed in range(0, SCHEDULES, TWICE):
        assert play(seed) == play(seed), f"seed {seed} has two traces"


def test_in_another_process_too() -> None:
    """Where sets of strings, and of what has its address for a hash, have another order."""
    seeds = range(0, SCHEDULES, 500)
    script = (
        "import sys; from tests.server.schedules import digest; print(digest(map(int, sys.argv[1:])))"
    )
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, seeds)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert told.stdout.split() == [digest(seeds)]
