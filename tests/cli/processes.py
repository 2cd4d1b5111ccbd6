"""`python -m tybalt` as a process of its own, for what only such a one shows."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parents[2] / "src"

LIBRARY = Path(__file__).with_name("library.py")
FILE = str(LIBRARY)
SHOP = str(Path(__file__).with_name("shop.py"))

Printed = Callable[..., tuple[int, str, str]]


def as_a_process(*arguments: str, given: bytes = b"", **environment: str) -> "subprocess.CompletedProcess[bytes]":
    """Run it, with `given` as its input."""
    return started(*arguments, environment=environment, input=given, capture_output=True)


def started(
    *arguments: str, environment: dict[str, str] | None = None, **options: Any
) -> "subprocess.CompletedProcess[bytes]":
    """Run it with the `options` of `subprocess.run`."""
    variables = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error", **(environment or {})}
    words = [sys.executable, "-m", "tybalt", *arguments]
    return subprocess.run(words, env=variables, check=False, timeout=50, **options)


LOUD = """
import os, subprocess
def speak(when):
    print(when, "print")
    os.write(1, f"{when} write\\n".encode())
    subprocess.run(["echo", when, "echo"])
"""
"""Source of a function that writes to stdout in every way there is."""


def spoken(when: str) -> list[str]:
    """The lines that `speak(when)` writes."""
    return [f"{when} {how}" for how in ("print", "write", "echo")]
