"""Measures the rows that need one process, with the Python it is started with, and prints them as JSON.

python bench/worker.py GROUP... [--quick]
"""

import asyncio
import importlib
import sys

import msgspec
from measurements import Results
from timing import Effort

GROUPS = ("inprocess", "features", "memory", "claims")


def main(arguments: list[str]) -> None:
    effort = Effort(quick="--quick" in arguments)
    python = "{}.{}".format(*sys.version_info)
    results = Results(machine={})
    for group in arguments:
        if group in GROUPS:
            results.add(asyncio.run(importlib.import_module(group).measure(python, effort)))
    if "memory" in arguments:
        _on_uvloop(results, python, effort)
    sys.stdout.buffer.write(msgspec.json.encode(results))


def _on_uvloop(results: Results, python: str, effort: Effort) -> None:
    """The memory row once more, for who has uvloop; nobody needs it."""
    try:
        import uvloop
    except ImportError:
        return
    import memory

    results.add(uvloop.run(memory.measure(python, effort, loop="uvloop")))


if __name__ == "__main__":
    main(sys.argv[1:])
