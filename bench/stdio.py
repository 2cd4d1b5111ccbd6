"""A server process at the other end of two pipes: one request at a time, pipelined, a hundred at once, a list of 300.

Ours, the floor and the peers are all running and are asked in turn, by the same bare client (`processes.Piped`).
"""

import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from math import inf

from environments import BENCH, has, newest
from measurements import Goal, Results, Row
from messages import call, simple
from msgspec.structs import replace
from processes import Piped, can_place, placed
from timing import Effort, at_percent, middle

LINE = call() + b"\n"
LIST = simple("tools/list") + b"\n"
AT_ONCE = 100
ID = re.compile(rb'"id":(\d+)')
Command = list[str]
_PLACES = {1: "on one core", 2: "on cores of their own"}


class Contender:
    """One process that is measured: how to start it, and how much of it fits into a round."""

    def __init__(self, command: Command, *, share: float = 1.0) -> None:
        self.command = command
        self.share = share


def measure(pythons: Mapping[str, str], peers: Mapping[str, str], effort: Effort) -> Results:
    results = Results(machine={})
    for python, interpreter in pythons.items():
        beside = peers if python == newest(pythons) else {}
        for cores in (2, 1):
            results.rows += _one_at_a_time(python, interpreter, beside if cores == 2 else {}, effort, cores)
        results.rows.append(_pipelined(python, interpreter, beside, effort))
        results.rows.append(_concurrent(python, interpreter, beside, effort))
        results.rows.append(_listing(python, interpreter, beside, effort))
    return results


def ours(interpreter: str, shape: str) -> Contender:
    """Our server in one of its shapes."""
    return Contender([interpreter, str(BENCH / "ours.py"), shape])


def floor(interpreter: str, shape: str) -> Contender:
    """A loop of `floors`."""
    return Contender([interpreter, str(BENCH / "floors.py"), shape])


def theirs(peers: Mapping[str, str], shape: str, share: float) -> dict[str, Contender]:
    """The peers in a shape, with rounds that are `share` as long: they need longer for each request."""
    scripts = {name: str(BENCH / "peers" / f"{name}_peer.py") for name in peers}
    return {name: Contender([peers[name], scripts[name], shape], share=share) for name in peers}


def _one_at_a_time(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort, cores: int) -> list[Row]:
    """Client and server on cores of their own, where most of the time is the system's to wake them up; then on one."""
    where = _PLACES[cores] if can_place(cores) else "where the system puts them"
    contenders = {"ours": ours(interpreter, "add"), "floor": floor(interpreter, "serial")}
    contenders |= theirs(peers, "add", 0.05)
    if has(interpreter, "uvloop"):
        contenders["uvloop"] = ours(interpreter, "uvloop")
    median: dict[str, float] = {}
    mean: dict[str, float] = {}

    def once(name: str, process: Piped, count: int) -> None:
        taken = process.one_at_a_time(LINE, count)
        median[name] = min(median.get(name, inf), middle(taken))
        mean[name] = min(mean.get(name, inf), sum(taken) / len(taken))

    _in_turn(contenders, effort, 500 if effort.quick else 1500, once, cores=cores)
    row = Row(
        key="stdio" if cores == 2 else "stdio-one-core",
        what=f"stdio, one request at a time, client and server {where} (median)",
        python=python,
        unit="µs",
        ours=median["ours"],
        floor=median["floor"],
        floor_is="a blocking loop of read, validated floor, write",
        goals=[Goal(of="ratio", bound=1.5)],
        peers={name: median[name] for name in peers},
        note=f"means: ours {mean['ours']:.1f} µs, floor {mean['floor']:.1f} µs",
    )
    rows = [row]
    if "uvloop" in median:
        rows.append(replace(row, ours=median["uvloop"], loop="uvloop", goals=[], peers={}, note=""))
    return rows


def _pipelined(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort) -> Row:
    contenders = {"ours": ours(interpreter, "add"), "floor": floor(interpreter, "pipelined")}
    contenders |= theirs(peers, "add", 0.02)
    rate: dict[str, float] = {}

    def once(name: str, process: Piped, count: int) -> None:
        seconds, chunks = process.pipelined(_lines("add", count), count)
        _require_all(b"".join(chunk for _, chunk in chunks), count, name)
        rate[name] = max(rate.get(name, 0.0), count / seconds)

    _in_turn(contenders, effort, 10_000 if effort.quick else 20_000, once)
    return Row(
        key="pipelined",
        what="stdio, pipelined",
        python=python,
        unit="/s",
        ours=rate["ours"],
        floor=rate["floor"],
        floor_is="a blocking loop: one read of a chunk, its answers in one write",
        goals=[Goal(of="ratio", bound=0.5, at_least=True)],
        peers={name: rate[name] for name in peers},
        more_is_better=True,
    )


def _concurrent(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort) -> Row:
    contenders = {"ours": ours(interpreter, "pause")} | theirs(peers, "pause", 1.0)
    latencies: dict[str, list[float]] = {name: [] for name in contenders}

    def once(name: str, process: Piped, count: int) -> None:
        _, chunks = process.pipelined(_lines("pause", count), count)
        _require_all(b"".join(chunk for _, chunk in chunks), count, name)
        for second, chunk in chunks:
            latencies[name] += [second * 1000] * chunk.count(b"\n")

    _in_turn(contenders, effort, AT_ONCE, once, warm_up="pause")
    p99 = {name: at_percent(sorted(taken), 99) for name, taken in latencies.items()}
    return Row(
        key="concurrent",
        what=f"{AT_ONCE} concurrent calls of an async tool that waits for 10 ms, over stdio: P99",
        python=python,
        unit="ms",
        ours=p99["ours"],
        floor=10.0,
        floor_is="the tool's own 10 ms",
        goals=[Goal(of="value", bound=100.0)],
        peers={name: p99[name] for name in peers},
        note="all answered",
    )


def _listing(python: str, interpreter: str, peers: Mapping[str, str], effort: Effort) -> Row:
    contenders = {"ours": ours(interpreter, "many")} | theirs(peers, "many", 0.05)
    median: dict[str, float] = {}

    def once(name: str, process: Piped, count: int) -> None:
        median[name] = min(median.get(name, inf), middle(process.one_at_a_time(LIST, count)))

    _in_turn(contenders, effort, 200, once, warm_up=None, cores=2)
    return Row(
        key="list-stdio",
        what="tools/list with 300 tools, over stdio (median)",
        python=python,
        unit="µs",
        ours=median["ours"],
        peers={name: median[name] for name in peers},
    )


def _in_turn(
    contenders: Mapping[str, Contender],
    effort: Effort,
    count: int,
    once: Callable[[str, Piped, int], None],
    warm_up: str | None = "add",
    cores: int = 0,
) -> None:
    """Start all, then ask each in every round. Peers take part in every third round: they need much longer."""
    with ExitStack() as stack:
        processes = {name: stack.enter_context(Piped(each.command)) for name, each in contenders.items()}
        for name, process in processes.items():
            if warm_up is None:
                process.one_at_a_time(LIST, 3)
            else:
                process.warm_up(50 if name in ("ours", "floor", "uvloop") else 5, warm_up)
        stack.enter_context(placed(cores, processes.values()))
        for number in range(effort.process_rounds):
            for name, process in processes.items():
                if contenders[name].share == 1.0 or number % 3 == 0:
                    once(name, process, max(1, int(count * contenders[name].share)))


def _lines(tool: str, count: int) -> bytes:
    return b"".join(call(number + 1, tool) + b"\n" for number in range(count))


def _require_all(answers: bytes, count: int, name: str) -> None:
    """Every request was answered, once, with a sum."""
    ids = {int(found) for found in ID.findall(answers)}
    right = answers.count(b'"text":"8"')
    if ids != set(range(1, count + 1)) or right != count:
        raise SystemExit(f"bench: {name} answered {len(ids)} of {count} ids, {right} of them with the sum")
