"""Over HTTP, what is neither asked nor answered: events a second on one stream, and the memory of who is silent."""

import re
import socket
from collections.abc import Mapping
from contextlib import ExitStack, closing
from itertools import pairwise
from math import inf
from time import perf_counter

from http_load import request
from http_served import BASIC, Served, modern_headers, ours, room_for, spared, theirs
from measurements import Goal, Results, Row
from messages import INITIALIZE, INITIALIZED, META
from processes import PATIENCE, placed
from timing import Effort

SILENT = 1_000
"""Sessions and streams of which the memory is looked at."""
WARM_UP = 100
"""Those that come before, so that what is made once is made."""
LISTEN = (
    b'{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":'
    b'{"notifications":{"toolsListChanged":true},%b}}' % META
)
TICKS = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
    b'{"name":"ticks","arguments":{"count":%d},' + META[:-1] + b',"progressToken":9}}}'
)


def measure(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort) -> Results:
    results = Results(machine={})
    results.rows.append(_events(python, interpreter, peers, effort, results.missing))
    results.rows.append(_idle_sessions(python, interpreter, peers, effort, results.missing))
    room = room_for(SILENT + WARM_UP) - WARM_UP
    if room < WARM_UP:
        results.missing.append(f"HTTP, memory of an open stream: only {room + WARM_UP} connections may be open")
    else:
        results.rows.append(_open_streams(python, interpreter, peers, effort, room, results.missing))
    return results


# -- events -----------------------------------------------------------------------------------------------------------


def _events(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort, missing: list[str]) -> Row:
    """Each is said by a tool that waits until there is room for it: nothing is left out and nothing piles up."""
    commands = {name: ours(interpreter, name) for name in ("lane", "asgi", "floor")} | theirs(peers)
    rate = dict.fromkeys(commands, 0.0)
    with ExitStack() as stack:
        servers: dict[str, Served] = {}
        for name, command in commands.items():
            with spared(name, peers, "events", missing):
                servers[name] = stack.enter_context(Served(command))
        stack.enter_context(placed(2, servers.values()))
        for number in range(effort.process_rounds):
            for name, served in servers.items():
                if name not in peers:
                    rate[name] = max(rate[name], _ticking(name, served, 20_000))
                elif number < 2:
                    with spared(name, peers, "events", missing):
                        rate[name] = max(rate[name], _ticking(name, served, 500))
    return Row(
        key="http-events",
        what="events on one stream over HTTP: a tool that reports progress",
        python=python,
        unit="/s",
        ours=rate["lane"],
        floor=rate["floor"],
        floor_is="a bare httptools protocol on uvloop, which writes constant chunks",
        peers={name: rate[name] for name in peers if rate[name]},
        more_is_better=True,
        note=f"as an ASGI application under plain uvicorn: {rate['asgi']:,.0f}/s",
    )


def _ticking(name: str, served: Served, count: int) -> float:
    """Events a second; ends the run unless all of them come."""
    pieces: list[bytes] = []
    with closing(socket.create_connection(("127.0.0.1", served.port), PATIENCE)) as connection:
        started = perf_counter()
        connection.sendall(request(served.port, TICKS % count, b"ticks"))
        while not pieces or not (pieces[-1] if len(pieces[-1]) > 5 else b"".join(pieces[-5:])).endswith(
            b"\r\n0\r\n\r\n"
        ):
            piece = connection.recv(1 << 16)
            if not piece:
                raise SystemExit(f"bench: {name} ended its stream early\n{served.said()}")
            pieces.append(piece)
        taken = perf_counter() - started
    came = b"".join(pieces).count(b"notifications/progress")
    if came != count:
        raise SystemExit(f"bench: {name} sent {came} of {count} events")
    return count / taken


# -- memory -----------------------------------------------------------------------------------------------------------


def _idle_sessions(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort, missing: list[str]) -> Row:
    """Begun and left, as their clients do; the connections are closed. A thousand at a time: the best of those after
    the first, with which comes what is kept of the last few, and what waits to be collected."""
    each: dict[str, list[float]] = {}
    for name, command in ({"ours": ours(interpreter, "lane")} | theirs(peers)).items():
        with spared(name, peers, "idle sessions", missing), Served(command) as served:
            _begin_sessions(served, WARM_UP)
            resident = [served.resident_bytes()]
            for _ in range(2 if name in peers else 4 if effort.quick else 8):
                _begin_sessions(served, SILENT)
                resident.append(served.resident_bytes())
            each[name] = [max(0.0, after - before) / SILENT for before, after in pairwise(resident)]
    return Row(
        key="http-session",
        what="memory of an idle legacy session over HTTP",
        python=python,
        unit="B",
        ours=min(each["ours"][1:]),
        goals=[Goal(of="value", bound=100)],
        peers={name: min(each[name][1:]) for name in peers if name in each},
        note=f"of each thousand, one after the other: {', '.join(f'{a:,.0f} B' for a in each['ours'])}",
    )


def _begin_sessions(served: Served, count: int) -> None:
    with closing(served.connect()) as connection:
        for _ in range(count):
            connection.request("POST", "/mcp", INITIALIZE, BASIC)
            response = connection.getresponse()
            response.read()
            identifier = response.headers.get("mcp-session-id", "")
            session = {"mcp-session-id": identifier, "mcp-protocol-version": "2025-11-25"}
            connection.request("POST", "/mcp", INITIALIZED, BASIC | session)
            told = connection.getresponse()
            told.read()
            if (response.status, told.status) != (200, 202) or not identifier:
                raise SystemExit(f"bench: no session was begun: {response.status}, {told.status}\n{served.said()}")


def _open_streams(
    python: str, interpreter: str, peers: Mapping[str, str], effort: Effort, count: int, missing: list[str]
) -> Row:
    """Acknowledged, and silent; a peer that offers none has no figure."""
    each: dict[str, float] = {}
    for name, command in ({"ours": ours(interpreter, "lane")} | theirs(peers)).items():
        for _ in range(1 if effort.quick or name in peers else 3):
            with spared(name, peers, "open streams", missing), Served(command) as served, ExitStack() as stack:
                if not _listen(served, WARM_UP, stack):
                    if name not in peers:
                        raise SystemExit(f"bench: no stream was opened\n{served.said()}")
                    break
                before = served.resident_bytes()
                _listen(served, count, stack)
                each[name] = min(each.get(name, inf), max(0.0, served.resident_bytes() - before) / count)
    return Row(
        key="http-stream",
        what=f"memory of an open `subscriptions/listen` stream, one of {count:,}, its connection included",
        python=python,
        unit="KB",
        ours=each["ours"] / 1000,
        peers={name: each[name] / 1000 for name in peers if name in each},
    )


def _listen(served: Served, count: int, stack: ExitStack) -> bool:
    """Open so many; whether they were acknowledged."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in modern_headers("subscriptions/listen").items())
    head = f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{served.port}\r\n{fields}content-length: {len(LISTEN)}\r\n\r\n"
    for _ in range(count):
        connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), PATIENCE))
        connection.sendall(head.encode() + LISTEN)
        said = b""
        while b"acknowledged" not in said:
            piece = connection.recv(1 << 16)
            said += piece
            if not piece or not re.match(rb"HTTP/1.1 200|.{0,11}$", said):
                return False
    return True
