"""Which Pythons are measured, and where the peers live: environments of their own, made on demand from exact versions.

The code under test is that of the checkout (`PYTHONPATH=src`), whatever else an environment holds.
"""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterable

BENCH = pathlib.Path(__file__).resolve().parent
ROOT = BENCH.parent
MEASURED = ("3.11", "3.13")
PEER_PYTHON = "3.13"
PEERS = ("mcp", "fastmcp")

sys.path.insert(0, str(ROOT))
from tools import bootstrap  # noqa: E402 (a folder of scripts, found through the line above)

CHILD_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
CHILD_ENVIRONMENT["PYTHONPATH"] = str(ROOT / "src")
"""What measured processes run in: no PYTHON… variable of this shell changes how they run or keeps bytecode away."""


def pythons(missing: list[str]) -> dict[str, str]:
    """The interpreters to measure with, by version: that of this process, and the others that this machine has."""
    own = "{}.{}".format(*sys.version_info)
    found = {own: sys.executable}
    for version in MEASURED:
        if version != own:
            python = _prepared(f"bench-{version}", version, BENCH / "requirements.txt", missing)
            if python is not None:
                found[version] = python
    return dict(sorted(found.items()))


def peers(missing: list[str]) -> dict[str, str]:
    """The interpreters of the peers' environments, by the name of the peer."""
    found = {}
    for name in PEERS:
        version = PEER_PYTHON if bootstrap.find_python(PEER_PYTHON) else "{}.{}".format(*sys.version_info)
        python = _prepared(f"bench-{name}", version, BENCH / "peers" / f"requirements-{name}.txt", missing)
        if python is not None:
            found[name] = python
    return found


def newest(pythons: Iterable[str]) -> str:
    """The newest of some versions, the one that the peers are shown beside."""
    return max(pythons, key=_numbers)


def has(python: str, module: str) -> bool:
    """Whether an interpreter can import a module."""
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0


def pinned(name: str) -> str:
    """The version of a peer that its requirements file pins."""
    lines = (BENCH / "peers" / f"requirements-{name}.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{name}=="))


def _prepared(name: str, version: str, requirements: pathlib.Path, missing: list[str]) -> str | None:
    """The interpreter of `.venv-NAME`, made unless it is there already; None, and the reason noted, if it cannot be."""
    base = sys.executable if sys.version_info[:2] == _numbers(version) else bootstrap.find_python(version)
    if base is None:
        missing.append(f"Python {version}: not on this machine")
        return None
    environment = ROOT / f".venv-{name}"
    python = bootstrap.python_of(environment)
    try:
        if not bootstrap.answers_to(version, python):
            print(f"bench: creating {environment.name} with Python {version}", flush=True)
            bootstrap.run([base, "-m", "venv", "--clear", str(environment)], "Remove the folder and run it again.")
        _install(environment, requirements)
    except bootstrap.Stop as stop:
        print(f"bench: {stop}", file=sys.stderr)
        missing.append(f"{name}: its environment could not be made")
        return None
    return str(python)


def _install(environment: pathlib.Path, requirements: pathlib.Path) -> None:
    digest = bootstrap.digest_of([requirements], environment)
    stamp = environment / ".installed-bench"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    print(f"bench: installing {requirements.relative_to(ROOT)} into {environment.name}", flush=True)
    command = [str(bootstrap.python_of(environment)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    bootstrap.run(
        [*command, "--no-input", "--requirement", str(requirements)], "Is there a network? Then run it again."
    )
    # Bytecode for everything, also where pip was told not to: the first start of a peer must not pay for compiling it.
    bootstrap.run(
        [command[0], "-m", "compileall", "-q", str(environment / "lib")], "Remove the folder and run it again."
    )
    stamp.write_text(digest)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
