"""What each feature costs a call that uses it: the same tool with and without, in this process, in one run.

The floor of every row is our own plain tool (`inprocess.py` has it against the floor of all). What is not used costs
nothing, which is what that row says; what is used is paid by who uses it, which is what these say.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import ours
from inprocess import MESSAGE, Sink
from measurements import Goal, Results, Row
from messages import call, require_equal
from timing import Effort, Run, calls, interleave

from tybalt import Budget, Context, Depends, Server
from tybalt.execution import CancelToken, within
from tybalt.middleware import Handler

PLAIN = "the same tool with none of it"


async def measure(python: str, effort: Effort) -> Results:
    plain = ours.server_add()
    contenders: dict[str, tuple[str, Server, bytes]] = {
        "context": ("a plain tool on the loop that takes a `Context`", _server(_with_context), MESSAGE),
        "budget": ("the same with a `Budget`", _server(_with_budget), MESSAGE),
        "caller-budget": ("a caller that sends a budget along", ours.server_add(), _budgeted()),
        "dependency": ("a tool with one dependency on the loop", _server(_with_dependency), MESSAGE),
        "middleware": ("one layer of middleware that does nothing", _layered(), MESSAGE),
        "async-context": ("an async tool that takes a `Context`", _server(_async_with_context), MESSAGE),
    }
    runs: dict[str, Run] = {}
    async with plain.running():
        feed = plain.session(Sink()).receive
        expected = feed(MESSAGE)
        runs["plain"] = calls(feed, MESSAGE)
        for key, (_, server, message) in contenders.items():
            await _prepare(key, server, message, expected, runs)
        runs["thread"] = _awaiting(_server(_plain, run_in="thread"))
        best = await interleave(runs, effort)
    rows = [_row(f"feature-{key}", what, best[key], best["plain"], python) for key, (what, _, _) in contenders.items()]
    rows.append(
        _row("feature-thread", "a plain tool in a thread, one at a time", best["thread"], best["plain"], python)
    )
    return Results(machine={}, rows=[*rows, *await _checkpoints(python, effort)])


async def _prepare(key: str, server: Server, message: bytes, expected: Any, runs: dict[str, Run]) -> None:
    """Take it where it answers at once; before Python 3.12 what is async does not."""
    sink = Sink()
    feed = server.session(sink).receive
    answer = feed(message)
    if answer is None:
        sink.arrival = asyncio.get_running_loop().create_future()
        answer = await sink.arrival
        runs[key] = _waiting(feed, sink, message)
    else:
        runs[key] = calls(feed, message)
    require_equal(answer, expected, key)


async def _checkpoints(python: str, effort: Effort) -> list[Row]:
    now = asyncio.get_running_loop().time
    free = CancelToken(clock=now)
    limited = CancelToken(within("1h", now()), clock=now)

    def in_turn(check: Callable[[], None]) -> Run:
        def thousand(_: object) -> None:
            for _ in range(1_000):
                check()

        return calls(thousand, None)

    best = await interleave({"free": in_turn(free.checkpoint), "limited": in_turn(limited.checkpoint)}, effort)
    return [
        _row("checkpoint", "a checkpoint of a token without limits", best["free"] / 1_000, None, python, bound=0.5),
        _row("checkpoint-deadline", "a checkpoint before a deadline", best["limited"] / 1_000, None, python, bound=0.5),
    ]


def _row(
    key: str, what: str, microseconds: float, floor: float | None, python: str, *, bound: float | None = None
) -> Row:
    return Row(
        key=key,
        what=what,
        python=python,
        unit="µs",
        ours=microseconds,
        floor=floor,
        floor_is=PLAIN if floor is not None else "",
        goals=[] if bound is None else [Goal(of="value", bound=bound)],
    )


def _server(tool: Any, **options: Any) -> Server:
    server = Server("bench", version="1.0.0", run_in="loop")
    server.tool(name="add", **options)(tool)
    return server


def _layered() -> Server:
    def layer(next: Handler) -> Handler:
        async def handler(request: Any) -> Any:
            return await next(request)

        return handler

    server = Server("bench", version="1.0.0", run_in="loop", middleware=[layer])
    server.tool("add")(_plain)
    return server


def _plain(a: int, b: int) -> int:
    return a + b


def _with_context(a: int, b: int, context: Context) -> int:
    return a + b


def _with_budget(a: int, b: int, budget: Budget) -> int:
    return a + b


async def _async_with_context(a: int, b: int, context: Context) -> int:
    return a + b


def _three() -> int:
    return 3


def _with_dependency(a: int, b: int, three: Annotated[int, Depends(_three, run_in="loop")]) -> int:
    return a + b


def _budgeted() -> bytes:
    return call().replace(b'"_meta":{', b'"_meta":{"dev.tybalt/budget":{"deadlineMs":10000},', 1)


def _awaiting(server: Server) -> Run:
    sink = Sink()
    return _waiting(server.session(sink).receive, sink, MESSAGE)


def _waiting(feed: Callable[[bytes], Any], sink: Sink, message: bytes) -> Run:
    async def run(count: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(count):
            sink.arrival = loop.create_future()
            if feed(message) is None:
                await sink.arrival
        sink.arrival = None

    return run
