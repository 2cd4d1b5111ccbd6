"""10,000 random schedules of cancels, deadlines, disconnects, errors, overload and shutdown, on virtual time.

`schedules` says what each may leave behind, which is nothing, and how to run one alone. Below are the bugs that they
have found, each by itself.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from typing import Annotated, Any

import pytest

from tests.server.awaiting import ended, text_of
from tests.server.driving import Driver
from tests.server.schedules import digest, play
from tybalt import BackendError, Context, Depends, Server
from tybalt.middleware import Timeout
from tybalt.testing import VirtualThreads, run_virtual

SCHEDULES = int(os.environ.get("TYBALT_SCHEDULES", "400"))
"""`make soak` plays 10,000; every run of the tests some."""
CHUNK = 100
"""How many are one test: what several processes share out is tests."""
TWICE = 30
"""Every how manieth is played twice."""

Handler = Callable[[Any], Awaitable[Any]]


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_nothing_is_left_behind(first: int) -> None:
    for seed in range(first, first + CHUNK):
        play(seed)


def test_the_same_seed_gives_the_same_trace() -> None:
    for seed in range(0, SCHEDULES, TWICE):
        assert play(seed) == play(seed), f"seed {seed} has two traces"


def test_in_another_process_too() -> None:
    """Where sets of strings, and of what has its address for a hash, have another order."""
    seeds = range(0, SCHEDULES, max(1, SCHEDULES // 20))
    script = "import sys; from tests.server.schedules import digest; print(digest(map(int, sys.argv[1:])))"
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, seeds)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert told.stdout.split() == [digest(seeds)]


# -- what they have found ---------------------------------------------------------------------------------------------


def test_what_ends_with_the_patience_of_an_abort_is_answered_before_the_abort_returns() -> None:
    async def main() -> list[Any]:
        server = Server("x")

        @server.tool
        async def books(context: Context) -> None:
            with context.masked():
                await asyncio.sleep(3.0)

        driver = Driver(server)
        driver.start("books", id=1)
        await asyncio.sleep(2.0)
        await driver.session.abort(patience=1.0)
        return driver.said()

    assert [said["id"] for said in run_virtual(main)] == [1]


def test_children_may_use_dependencies_until_they_have_ended() -> None:
    steps: list[str] = []

    async def pool() -> AsyncGenerator[str, None]:
        yield "pool"
        steps.append("pool closed")

    async def child() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)
            steps.append("child ended")

    async def main() -> None:
        server = Server("x")

        @server.tool
        async def spawns(pool: Annotated[str, Depends(pool)], context: Context) -> None:
            context.spawn(child())
            await asyncio.sleep(0)

        driver = Driver(server)
        driver.start("spawns")
        await ended(driver)

    run_virtual(main)
    assert steps == ["child ended", "pool closed"]


def again(next: Handler) -> Handler:
    async def handler(request: Any) -> Any:
        try:
            return await next(request)
        except BackendError:
            return await next(request)

    return handler


def test_a_handler_that_is_tried_again_may_spawn_again() -> None:
    attempts: list[int] = []

    async def main() -> list[Any]:
        server = Server("x", middleware=[again])

        @server.tool
        async def spawns(context: Context) -> int:
            context.spawn(asyncio.sleep(60))
            await asyncio.sleep(0)
            attempts.append(len(attempts))
            if len(attempts) == 1:
                raise BackendError("try again")
            return len(attempts)

        driver = Driver(server)
        driver.start("spawns")
        return await ended(driver)

    (answer,) = run_virtual(main)
    assert text_of(answer) == "2"


def late(next: Handler) -> Handler:
    async def handler(request: Any) -> Any:
        await next(request)
        request.context.spawn(asyncio.sleep(60))

    return handler


def test_a_layer_may_not_spawn_when_the_handler_is_over() -> None:
    async def main() -> list[Any]:
        server = Server("x", middleware=[late])

        @server.tool
        async def aware(context: Context) -> None:
            await asyncio.sleep(0)

        driver = Driver(server)
        driver.start("aware")
        return await ended(driver)

    (answer,) = run_virtual(main)
    assert answer["result"]["isError"]


def test_a_time_limit_counts_that_comes_while_a_round_ends() -> None:
    async def child() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(2)

    async def main() -> list[Any]:
        server = Server("x", middleware=[Timeout(1.0)])

        @server.tool
        async def asks(context: Context) -> None:
            context.spawn(child())
            await asyncio.sleep(0)
            await context.elicit("who?")

        driver = Driver(server, meta={"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}})
        driver.start("asks")
        return await ended(driver)

    (answer,) = run_virtual(main)
    assert text_of(answer) == "tools/call asks was not done within 1 s"


def leaves_in_setup() -> Iterator[int]:
    raise SystemExit("provider")
    yield 1


def leaves_in_cleanup() -> Iterator[int]:
    yield 1
    raise SystemExit("provider")


async def leaves_its_task() -> AsyncGenerator[int, None]:
    yield 1
    raise SystemExit("provider")


@pytest.mark.parametrize("provider", [leaves_in_setup, leaves_in_cleanup, leaves_its_task])
def test_an_exit_that_a_provider_asks_for_ends_no_loop(provider: Any) -> None:
    async def main() -> list[Any]:
        server = Server("x")
        server.threads = VirtualThreads()

        @server.tool
        async def depends(one: Annotated[int, Depends(provider)]) -> int:
            return one

        driver = Driver(server)
        driver.start("depends")
        return await ended(driver)

    (answer,) = run_virtual(main)
    assert text_of(answer).startswith("Internal error in tool 'depends'")


def test_an_exit_that_a_called_handler_asks_for_ends_no_loop() -> None:
    async def main() -> list[Any]:
        server = Server("x")

        @server.tool
        async def leaves() -> None:
            raise SystemExit("handler")

        @server.tool
        async def calls(context: Context) -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(context.call_tool("leaves"))

        driver = Driver(server)
        driver.start("calls")
        return await ended(driver)

    (answer,) = run_virtual(main)
    assert text_of(answer).startswith("Internal error in tool 'calls'")
