"""Over HTTP: calls a second, processor time, P50 and P99 with 1 to 1,000 connections; streams and memory beside them.

Ours on both faces, their floors and the peers are all running and are loaded in turn, by a process of its own
(`http_load`). Servers are kept on one core and the load on another, where there are two. One interpreter is measured in
full, the newest; the others with the connections that the goals name.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from math import inf
from typing import Any

import http_streams
from environments import BENCH, CHILD_ENVIRONMENT, has, newest
from http_served import Served, ours, room_for, spared, theirs
from http_servers import BODY, ID
from measurements import Goal, Loaded, Results, Row
from messages import call, require_equal
from processes import PATIENCE, placed
from timing import Effort

CONNECTIONS = (1, 16, 100, 500, 1_000)
GOAL = 16
"""Connections of the goals for the rate and the processor time."""
NEEDED = ("uvloop", "httptools", "uvicorn")
FLOORS = {"lane": "floor", "asgi": "uvicorn"}
FLOOR_IS = {
    "lane": "a bare httptools protocol on uvloop, which answers constant bytes",
    "asgi": "the same plain uvicorn with a bare ASGI application, which answers constant bytes",
}
FACE = {"lane": "over HTTP", "asgi": "over HTTP, as an ASGI application under plain uvicorn"}

Best = dict[tuple[str, int], Loaded]


def measure(pythons: Mapping[str, str], peers: Mapping[str, str], effort: Effort) -> Results:
    results = Results(machine={})
    if sys.platform != "linux":
        results.missing.append("HTTP, processor time of a server: only Linux tells it, in /proc")
    for python, interpreter in pythons.items():
        lacking = [name for name in NEEDED if not has(interpreter, name)]
        if lacking:
            results.missing.append(f"HTTP, Python {python}: {', '.join(lacking)} cannot be imported")
        elif python == newest(pythons):
            counts = _that_fit(CONNECTIONS, results.missing)
            _measure(results, python, interpreter, dict(peers), effort, counts)
            results.add(http_streams.measure(python, interpreter, dict(peers), effort))
        else:
            _measure(results, python, interpreter, {}, effort, (GOAL,))
    return results


def _measure(
    results: Results, python: str, interpreter: str, peers: dict[str, str], effort: Effort, counts: Sequence[int]
) -> None:
    best: Best = {}
    commands = {name: ours(interpreter, name) for pair in FLOORS.items() for name in pair} | theirs(peers)
    with ExitStack() as stack:
        servers: dict[str, Served] = {}
        for name, command in commands.items():
            with spared(name, peers, "all of it", results.missing):
                servers[name] = stack.enter_context(Served(command))
        for face in FLOORS:
            require_equal(servers[face].ask(call(ID)), BODY, f"http, {face}")
        stack.enter_context(placed(2, servers.values()))
        for count in counts:
            for number in range(2 if effort.quick else 5 if count == GOAL else 3):
                for name, served in servers.items():
                    if name not in peers:
                        _keep(best, _loaded(name, served, count, 0.4 if effort.quick else 0.8, python))
                    elif number == 0:
                        with spared(name, peers, f"{count} connections", results.missing):
                            _keep(best, _loaded(name, served, count, 1.0 if effort.quick else 2.0, python))
    results.loads += best.values()
    for face in FLOORS:
        results.rows += _rows(face, python, best, peers)


def _loaded(name: str, served: Served, connections: int, seconds: float, python: str) -> Loaded:
    command = [sys.executable, str(BENCH / "http_load.py"), str(served.port), str(connections), str(seconds)]
    command += [str(served.pid)] + (["--constant"] if name in FLOORS.values() else [])
    try:
        ran = subprocess.run(
            command, env=CHILD_ENVIRONMENT, stdout=subprocess.PIPE, check=True, timeout=2 * PATIENCE + seconds
        )
    except subprocess.SubprocessError:
        raise SystemExit(f"bench: {name} could not be loaded with {connections} connections\n{served.said()}") from None
    return Loaded(name=name, python=python, connections=connections, **json.loads(ran.stdout))


def _keep(best: Best, seen: Loaded) -> None:
    """The best of each figure: what disturbs a round makes all of them worse."""
    key = seen.name, seen.connections
    before = best.get(key)
    if before is not None:
        seen.rate = max(seen.rate, before.rate)
        seen.load = max(seen.load, before.load)
        seen.cpu = None if seen.cpu is None else min(seen.cpu, before.cpu or inf)
        seen.p50 = min(seen.p50, before.p50)
        seen.p99 = min(seen.p99, before.p99)
    best[key] = seen


def _rows(face: str, python: str, best: Best, peers: Iterable[str]) -> list[Row]:
    floor = FLOORS[face]
    common: Any = {"python": python, "floor_is": FLOOR_IS[face]}
    mine, its = best[face, GOAL], best[floor, GOAL]
    key, where = f"http-{face}", f"tools/call {FACE[face]}, {GOAL} connections"
    busy = f"how busy the load generator was, which has one core as well: ours {mine.load:.0%}, floor {its.load:.0%}"
    rows = [
        Row(
            key=f"{key}-rate",
            what=where,
            unit="/s",
            ours=mine.rate,
            floor=its.rate,
            goals=[Goal(of="ratio", bound=0.65, at_least=True)] if face == "lane" else [],
            peers={name: best[name, GOAL].rate for name in peers if (name, GOAL) in best},
            more_is_better=True,
            note=busy,
            **common,
        )
    ]
    if mine.cpu is not None:
        rows.append(
            Row(
                key=f"{key}-cpu",
                what=f"{where}: processor time of the server for each",
                unit="µs",
                ours=mine.cpu,
                floor=its.cpu,
                goals=[Goal(of="ratio", bound=1.5 if face == "lane" else 1.25)],
                peers={name: best[name, GOAL].cpu or 0.0 for name in peers if (name, GOAL) in best},
                **common,
            )
        )
    return rows + [
        Row(
            key=f"{key}-p99-{count}",
            what=f"{count} concurrent calls {FACE[face]}: P99",
            unit="ms",
            ours=best[face, count].p99,
            floor=best[floor, count].p99,
            goals=[Goal(of="value", bound=100.0)],
            peers={name: best[name, count].p99 for name in peers if (name, count) in best},
            note="all answered",
            **common,
        )
        for count in (100, 500)
        if (face, count) in best
    ]


def _that_fit(counts: Sequence[int], missing: list[str]) -> list[int]:
    """Those for which there are file descriptors."""
    room = room_for(max(counts))
    missing += [f"HTTP, {count} connections: only {room} may be open" for count in counts if count > room]
    return [count for count in counts if count <= room]
