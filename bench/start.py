"""Beginning: from starting a process to its first answer, the memory it then holds, and the cost of an import."""

import json
import subprocess
from collections.abc import Mapping
from math import inf
from time import perf_counter, sleep

import floors
import stdio
from environments import BENCH, CHILD_ENVIRONMENT, newest
from measurements import Goal, Results, Row
from messages import call
from processes import Piped, patience
from timing import Effort

LINE = call() + b"\n"
SETTLE = 0.1
"""Seconds a process gets before its memory is looked at."""

FIRST_TOOL = """
from tybalt import Server
@Server("bench").tool
def add(a: int, b: int) -> int:
    return a + b
"""
"""What compiles handlers is loaded with the first of them, so the import alone is not all a server pays."""

IMPORTS = {
    "ours": ("import msgspec, asyncio", "from tybalt import Server"),
    "first tool": ("import msgspec, asyncio", FIRST_TOOL),
    "mcp": ("pass", "from mcp.server import MCPServer"),
    "fastmcp": ("pass", "from fastmcp import FastMCP"),
}
"""What is imported first and not counted, and what is counted then."""

IMPORT_PROGRAM = """
import sys, time
none, start = set(sys.modules), time.perf_counter()
{first}
before, middle = set(sys.modules), time.perf_counter()
{then}
end, after = time.perf_counter(), set(sys.modules)
import json
print(json.dumps([(middle - start) * 1000, len(before - none), (end - middle) * 1000, len(after - before)]))
"""


def measure(pythons: Mapping[str, str], peers: Mapping[str, str], effort: Effort) -> Results:
    results = Results(machine={})
    for python, interpreter in pythons.items():
        beside = peers if python == newest(pythons) else {}
        results.rows += _spawn(python, interpreter, beside, effort)
        results.rows += _imports(python, interpreter, beside, effort)
    return results


def _spawn(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort) -> list[Row]:
    commands = {
        "ours": [interpreter, str(BENCH / "ours.py"), "add"],
        "floor": [interpreter, "-c", floors.SPAWN],
        "command line": [interpreter, "-m", "tybalt", "run", str(BENCH / "ours.py")],
    }
    commands |= {name: each.command for name, each in stdio.theirs(peers, "add", 1.0).items()}
    seconds = dict.fromkeys(commands, inf)
    megabytes = dict.fromkeys(commands, inf)
    for number in range(effort.starts + 1):
        for name, command in commands.items():
            if name in peers and number > max(2, effort.starts // 4):
                continue
            taken, memory = _first_answer(command, look=number < 3)
            if number > 0:  # The first start finds a cold disk, and writes bytecode.
                seconds[name] = min(seconds[name], taken)
            megabytes[name] = min(megabytes[name], memory)
    milliseconds = {name: taken * 1000 for name, taken in seconds.items()}
    return [
        Row(
            key="spawn",
            what="spawn → first answer",
            python=python,
            unit="ms",
            ours=milliseconds["ours"],
            floor=milliseconds["floor"],
            floor_is="a process that imports msgspec and asyncio and answers one request",
            goals=[Goal(of="ratio", bound=1.7)],
            peers={name: milliseconds[name] for name in peers},
            note=f"`python -m tybalt run FILE`: {milliseconds['command line']:.0f} ms",
        ),
        Row(
            key="resident",
            what="resident memory, idle stdio server",
            python=python,
            unit="MB",
            ours=megabytes["ours"],
            floor=megabytes["floor"],
            floor_is="the same process",
            goals=[Goal(of="value", bound=32)],
            peers={name: megabytes[name] for name in peers},
        ),
    ]


def _first_answer(command: list[str], *, look: bool) -> tuple[float, float]:
    """Seconds from starting a process to its first answer, and the megabytes it holds then, if one looks."""
    with patience():
        started = perf_counter()
        with Piped(command) as process:
            answer = process.ask(LINE)
            taken = perf_counter() - started
            if b'"8"' not in answer:
                raise SystemExit(f"bench: {command} answered {answer!r}")
            if not look:
                return taken, inf
            sleep(SETTLE)
            return taken, process.resident_megabytes()


def _imports(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort) -> list[Row]:
    interpreters = {"ours": interpreter, "first tool": interpreter, **peers}
    best = dict.fromkeys(interpreters, (inf, 0, inf, 0))
    for number in range(effort.starts):
        for name, each in interpreters.items():
            if name not in peers or number < 3:
                found = _import(each, *IMPORTS[name])
                before, _, added, _ = best[name]
                best[name] = (min(before, found[0]), found[1], min(added, found[2]), found[3])
    base, base_modules, added, modules = best["ours"]
    _, _, with_tool, modules_with_tool = best["first tool"]
    floor_is = "import msgspec, asyncio"
    return [
        Row(
            key="import",
            what="import of the server class: time",
            python=python,
            unit="ms",
            ours=base + added,
            floor=base,
            floor_is=floor_is,
            goals=[Goal(of="difference", bound=60)],
            peers={name: best[name][2] for name in peers},
            note=f"with a first tool it adds {with_tool:.1f} ms",
        ),
        Row(
            key="import-modules",
            what="import of the server class: modules",
            python=python,
            unit="modules",
            ours=base_modules + modules,
            floor=base_modules,
            floor_is=floor_is,
            goals=[Goal(of="difference", bound=60)],
            peers={name: float(best[name][3]) for name in peers},
            note=f"with a first tool it adds {modules_with_tool}",
        ),
    ]


def _import(interpreter: str, first: str, then: str) -> tuple[float, int, float, int]:
    program = IMPORT_PROGRAM.format(first=first, then=then)
    asked = subprocess.run([interpreter, "-c", program], env=CHILD_ENVIRONMENT, capture_output=True, check=True)
    return tuple(json.loads(asked.stdout))
