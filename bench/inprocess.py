"""Bytes to bytes in this process: a plain tool, an async tool that does not suspend, a list of 300, and the pieces.

One `Session`, fed a message, gives its answer back; no transport, no client. The floor is `floors.validated`.
"""

import asyncio
from collections.abc import Callable
from functools import partial

import floors
import ours
from measurements import Goal, Piece, Results, Row
from messages import INITIALIZE, INITIALIZED, call, require_equal, simple
from msgspec.structs import replace
from timing import Effort, Run, calls, interleave

from tybalt import Server

MESSAGE = call()


class Sink:
    """The output of a session whose handlers may answer later."""

    blocked = False

    def __init__(self) -> None:
        self.arrival: asyncio.Future[bytes] | None = None

    def write(self, *messages: bytes) -> None:
        if self.arrival is not None:
            self.arrival.set_result(messages[0])

    async def drained(self) -> None:
        return


async def measure(python: str, effort: Effort) -> Results:
    results = Results(machine={})
    results.rows += await _plain(python, effort)
    results.rows.append(await _legacy(python, effort))
    results.rows.append(await _asynchronous(python, effort))
    results.rows.append(await _listing(python, effort))
    results.pieces = await _pieces(python, effort)
    return results


async def _plain(python: str, effort: Effort) -> list[Row]:
    server = ours.server_add()
    async with server.running():
        session = server.session(Sink())
        for _ in range(10):
            require_equal(session.receive(MESSAGE), floors.validated(MESSAGE), "in process")
        contenders = {
            "ours": calls(session.receive, MESSAGE),
            "floor": calls(floors.validated, MESSAGE),
            "cold": _alternating(server.session(Sink()).receive, [call(progress_token=token) for token in range(100)]),
        }
        best = await interleave(contenders, effort)
    row = Row(
        key="inprocess",
        what="call in process, bytes → bytes",
        python=python,
        unit="µs",
        ours=best["ours"],
        floor=best["floor"],
        floor_is="the validated floor",
        goals=[Goal(of="ratio", bound=1.3)],
    )
    cold = replace(
        row,
        key="inprocess-cold",
        what="the same, with a progress token of its own each time",
        ours=best["cold"] / 100,
        goals=[],
    )
    return [row, cold, await _in_turn(python, effort)]


async def _in_turn(python: str, effort: Effort) -> Row:
    """The same with no tool twice in a row: what the interpreter has specialized for one of them is wrong here."""
    server = ours.server_add()
    tools = [f"add_{number}" for number in range(8)]
    for tool in tools:
        server.tool(tool)(_adder())
    messages = [call(7, tool) for tool in tools]
    async with server.running():
        receive = server.session(Sink()).receive
        for message in messages:
            require_equal(receive(message), floors.validated(message), "in process, eight tools in turn")
        contenders = {"ours": _alternating(receive, messages), "floor": _alternating(floors.validated, messages)}
        best = await interleave(contenders, effort)
    return Row(
        key="inprocess-mixed",
        what="call in process, eight tools in turn",
        python=python,
        unit="µs",
        ours=best["ours"] / len(messages),
        floor=best["floor"] / len(messages),
        floor_is="the validated floor",
    )


def _alternating(handle: Callable[[bytes], object], messages: list[bytes]) -> Run:
    """One run is all the messages, one after the other."""

    def each(_: object) -> None:
        for message in messages:
            handle(message)

    return calls(each, None)


def _adder() -> Callable[[int, int], int]:
    def add(a: int, b: int) -> int:
        return a + b

    return add


async def _legacy(python: str, effort: Effort) -> Row:
    server = ours.server_add()
    async with server.running():
        session = server.session(Sink())
        initialize(session)
        best = await interleave({"ours": calls(session.receive, call(legacy=True))}, effort)
    return Row(
        key="inprocess-legacy",
        what="call in process, legacy era (2025-11-25)",
        python=python,
        unit="µs",
        ours=best["ours"],
    )


async def _asynchronous(python: str, effort: Effort) -> Row:
    server = ours.server_add_async()
    sink = Sink()
    async with server.running():
        feed = server.session(sink).receive
        at_once = feed(MESSAGE) is not None
        await asyncio.sleep(0)
        run: Run = calls(feed, MESSAGE) if at_once else _awaiting(feed, sink)
        if at_once:
            require_equal(feed(MESSAGE), floors.validated(MESSAGE), "in process, async tool")
        best = await interleave({"ours": run, "floor": calls(floors.validated, MESSAGE)}, effort)
    return Row(
        key="inprocess-async",
        what="call in process, async tool that does not suspend",
        python=python,
        unit="µs",
        ours=best["ours"],
        floor=best["floor"],
        floor_is="the validated floor",
        goals=[Goal(of="ratio", bound=2.0)] if at_once else [],
        note=""
        if at_once
        else "before Python 3.12 a task cannot be started eagerly, so it takes two turns of the loop",
    )


def _awaiting(feed, sink: Sink) -> Run:
    async def run(count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            if feed(MESSAGE) is None:
                sink.arrival = loop.create_future()
                await sink.arrival
        sink.arrival = None

    return run


async def _listing(python: str, effort: Effort) -> Row:
    server = ours.server_many()
    message = simple("tools/list")
    async with server.running():
        feed = server.session(Sink()).receive
        answer = feed(message)
        assert answer is not None
        assert answer.count(b'"forecast_') == ours.MANY
        head, tail = b'{"jsonrpc":"2.0","id":', answer.partition(b'"id":7')[2]
        require_equal(answer, _copy((head, b"7", tail)), "tools/list")
        contenders = {"ours": calls(feed, message), "floor": calls(_copy, (head, b"7", tail))}
        best = await interleave(contenders, effort)
    return Row(
        key="list",
        what=f"tools/list with {ours.MANY} tools, in process",
        python=python,
        unit="µs",
        ours=best["ours"],
        floor=best["floor"],
        floor_is=f"one copy of the answer's {len(answer):,} bytes",
        goals=[Goal(of="difference", bound=2.0)],
    )


def _copy(pieces: tuple[bytes, bytes, bytes]) -> bytes:
    return b"".join(pieces)


async def _pieces(python: str, effort: Effort) -> list[Piece]:
    """Where the time of a call goes, by parts of ours that can be called alone."""
    server: Server = ours.server_add()
    tool = server.catalogue.get("tool", "add")
    async with server.running():
        session = server.session(Sink())
        session.receive(MESSAGE)
        request = session.connection.decode(MESSAGE)
        arguments = request.params.arguments
        plain = server.catalogue.plain_calls("2026-07-28", "add")
        assert plain is not None
        compiled = server.catalogue.calls("2026-07-28")["add"]
        parts = {
            "envelope": ("decode of the whole envelope, any method", calls(session.connection.decode, MESSAGE)),
            "arguments": ("decode of the arguments", calls(tool.parameters.decode, arguments)),
            "call": ("the tool: arguments, call, answer", calls(partial(_called, compiled, session), request)),
            "plain": ("decode of envelope and arguments together, `_meta` compared", calls(plain, MESSAGE)),
            "receive": ("`receive`: all of it", calls(session.receive, MESSAGE)),
            "floor-envelope": ("floor: decode of the whole envelope", calls(floors.decode_request, MESSAGE)),
            "floor-arguments": ("floor: decode of the arguments", calls(floors.decode_arguments, arguments)),
            "floor": ("floor: all of it", calls(floors.validated, MESSAGE)),
        }
        best = await interleave({key: run for key, (_, run) in parts.items()}, effort)
    return [Piece(key=key, what=what, python=python, microseconds=best[key]) for key, (what, _) in parts.items()]


def _called(compiled, session, request) -> bytes | None:
    return compiled(request, session)


def initialize(session) -> bytes | None:
    """The legacy handshake, both messages of it."""
    answer = session.receive(INITIALIZE)
    session.receive(INITIALIZED)
    return answer
