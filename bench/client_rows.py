"""Our client, and the peers' own, against one server: over HTTP one at a time and 1,000 at once; 100 children.

The server is ours, on the lane, for all of them. Clients are kept on one core and the server on another, where there
are two, so that the processor time is the client's.
"""

import json
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from environments import BENCH, CHILD_ENVIRONMENT, ROOT, has, newest
from http_served import Served, ours
from measurements import Goal, Results, Row
from processes import PATIENCE, placed
from timing import Effort

CHILDREN = 100


def measure(pythons: Mapping[str, str], peers: Mapping[str, str], effort: Effort) -> Results:
    results = Results(machine={})
    for python, interpreter in pythons.items():
        lacking = [name for name in ("aiohttp", "httptools", "uvicorn", "uvloop") if not has(interpreter, name)]
        if lacking:
            results.missing.append(f"client over HTTP, Python {python}: {', '.join(lacking)} cannot be imported")
            continue
        beside = peers if python == newest(pythons) else {}
        results.rows += _over_http(python, interpreter, beside, effort, results.missing)
        results.rows.append(_children(python, interpreter, beside, effort, results.missing))
    return results


def _over_http(
    python: str, interpreter: str, peers: Mapping[str, str], effort: Effort, missing: list[str]
) -> list[Row]:
    rounds = "2" if effort.quick else "8"
    theirs: dict[str, dict[str, float]] = {}
    with Served(ours(interpreter, "lane")) as served, placed(2, [served]):
        url = f"http://127.0.0.1:{served.port}/mcp"
        mine = _said([interpreter, str(BENCH / "client_load.py"), "http", url, rounds])
        for name, peer in peers.items():
            try:
                theirs[name] = _said([peer, str(BENCH / "peers" / f"{name}_peer.py"), "client", url, rounds])
            except subprocess.SubprocessError:
                missing.append(f"client over HTTP, {name}: its client could not be measured")
    common: Any = {"python": python, "floor_is": "aiohttp alone: the same POST, its answer read and not looked at"}
    goal = Goal(of="peer", peer="mcp", bound=3, at_least=True)
    return [
        Row(
            key="client-http-cpu",
            what="client over HTTP, one call at a time: its processor time",
            unit="µs",
            ours=mine["cpu"],
            floor=mine["floor"],
            goals=[goal],
            peers={name: seen["cpu"] for name, seen in theirs.items()},
            **common,
        ),
        Row(
            key="client-http",
            what="client over HTTP, one call at a time: round trip",
            python=python,
            unit="µs",
            ours=mine["wall"],
            peers={name: seen["wall"] for name, seen in theirs.items()},
        ),
        Row(
            key="client-http-at-once",
            what="1,000 concurrent calls on one client over HTTP, until the last is answered",
            python=python,
            unit="ms",
            ours=mine["at_once"] * 1e3,
            peers={name: seen["at_once"] * 1e3 for name, seen in theirs.items() if "at_once" in seen},
        ),
    ]


def _children(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort, missing: list[str]) -> Row:
    count = 20 if effort.quick else CHILDREN
    mine = _said([interpreter, str(BENCH / "client_load.py"), "children", str(count)])
    theirs: dict[str, float] = {}
    for name, peer in peers.items():
        command = [peer, str(BENCH / "peers" / f"{name}_peer.py"), "children", str(count), interpreter]
        with suppress(subprocess.SubprocessError):
            theirs[name] = _said(command)["seconds"]
        if name not in theirs:
            missing.append(f"children, {name}: its client could not be measured")
    return Row(
        key="children",
        what=f"{count} children of ours started, asked once and ended, ten at a time",
        python=python,
        unit="ms",
        ours=mine["seconds"] * 1e3,
        peers={name: seconds * 1e3 for name, seconds in theirs.items()},
    )


def _said(command: list[str]) -> dict[str, float]:
    ran = subprocess.run(
        command,
        env=CHILD_ENVIRONMENT,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
        timeout=4 * PATIENCE,
    )
    return json.loads(ran.stdout)
