"""Published figures of FasterAPI MCP, and what we measure for the same words, medians and P99 of single calls.

Reading the clock is inside every P99; it is measured too, and said.
"""

import os
import tracemalloc

import ours
from inprocess import Sink, initialize
from measurements import Claim, Results
from messages import INITIALIZE, call, simple
from timing import Effort, calls, interleave, percentiles

MESSAGE = call()
SESSIONS = 1000


async def measure(python: str, effort: Effort) -> Results:
    server = ours.server_add()
    async with server.running():
        session = server.session(Sink())
        clock = percentiles(_nothing, None, effort.samples)
        parse = percentiles(session.connection.decode, MESSAGE, effort.samples)
        whole = percentiles(session.receive, MESSAGE, effort.samples)
        discover = percentiles(session.receive, simple("server/discover"), effort.samples)
        handshake = percentiles(_handshake, server, effort.samples // 10)
        best = await _best(session, server, effort)
        sizes = [_session_bytes(server, legacy=legacy) for legacy in (False, True)]
        pipe = _pipe_round_trip(effort)
    reading = f"P99 of an empty call, the clock alone: {clock[1]:.2f} µs"
    claims = [
        ("parse", "0.05 µs", best["parse"], parse[1], "one request: decoded whole, every field checked"),
        ("dispatch", "0.1 µs", best["dispatch"], None, "from the decoded request to the compiled tool"),
        ("negotiation", "10 µs", discover[0], discover[1], "`server/discover`; a modern client needs none"),
        (
            "negotiation, legacy",
            "10 µs",
            handshake[0],
            handshake[1],
            "a session opened, initialized and closed",
        ),
    ]
    shown = [
        Claim(what=what, theirs=theirs, python=python, ours=f"{taken:.2f} µs", p99=_microseconds(p99), how=how)
        for what, theirs, taken, p99, how in claims
    ]
    shown += [
        Claim(
            what="calls per second",
            theirs="1 M+; 1.2 M, P99 2.1 µs (M1)",
            python=python,
            ours=f"{1e6 / best['receive'] / 1e6:.2f} M",
            p99=_microseconds(whole[1]),
            how=f"bytes to bytes in process, one core; {reading}",
        ),
        Claim(
            what="memory per session",
            theirs="10–12 KB",
            python=python,
            ours=f"{sizes[0] / 1024:.1f} KB; legacy {sizes[1] / 1024:.1f} KB",
            how=f"one of {SESSIONS:,} open connections, after its first call; an idle one over HTTP holds nothing",
        ),
        Claim(
            what="stdio",
            theirs="~0.1 µs",
            python=python,
            ours="impossible",
            p99=_microseconds(pipe[1]),
            how=f"one write and one read of a pipe, in one process and with no work done, take {pipe[0]:.2f} µs",
        ),
    ]
    return Results(machine={}, claims=shown)


async def _best(session, server, effort: Effort) -> dict[str, float]:
    judge, find = session.connection.judge, server.catalogue.calls("2026-07-28").get

    def dispatch(request) -> object:
        return find(judge(request).params.name)

    contenders = {
        "receive": calls(session.receive, MESSAGE),
        "parse": calls(session.connection.decode, MESSAGE),
        "dispatch": calls(dispatch, session.connection.decode(MESSAGE)),
    }
    return await interleave(contenders, effort)


def _handshake(server) -> None:
    session = server.session(Sink())
    session.receive(INITIALIZE)
    session.close()


def _session_bytes(server, *, legacy: bool) -> float:
    sink = Sink()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    sessions = []
    for _ in range(SESSIONS):
        session = server.session(sink)
        if legacy:
            initialize(session)
        session.receive(call(legacy=legacy))
        sessions.append(session)
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for session in sessions:
        session.close()
    return used / SESSIONS


def _pipe_round_trip(effort: Effort) -> tuple[float, float]:
    there, here = os.pipe()
    try:
        return percentiles(lambda data: (os.write(here, data), os.read(there, 4096)), MESSAGE, effort.samples // 4)
    finally:
        os.close(here)
        os.close(there)


def _nothing(_: object) -> None:
    return None


def _microseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} µs"
