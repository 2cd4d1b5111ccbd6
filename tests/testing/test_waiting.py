"""Where tasks wait, as text: every kind of frame, and bounds."""

import asyncio
import types
from collections.abc import Generator
from typing import Any

from tybalt.testing.waiting import MAX_FRAMES, MAX_TASKS, waiting


async def told(*coroutines: Any) -> list[str]:
    """What is told of these, once they wait."""
    tasks = [asyncio.create_task(each, name=f"task {number}") for number, each in enumerate(coroutines)]
    await asyncio.sleep(0)
    text = waiting(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return text.splitlines()


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


async def deep(depth: int) -> None:
    await (deep(depth - 1) if depth else forever())


@types.coroutine
def by_generator() -> Generator[Any, Any, None]:
    yield from forever().__await__()


async def around_a_generator() -> None:
    await by_generator()


async def test_each_await_is_told_from_the_outermost_on() -> None:
    lines = await told(deep(1))
    assert lines[0] == "  task 0"
    assert [line.partition(", in ")[2] for line in lines[1:]] == [
        "deep: await (deep(depth - 1) if depth else forever())",
        "deep: await (deep(depth - 1) if depth else forever())",
        "forever: await asyncio.get_running_loop().create_future()",
    ]
    assert lines[1].startswith(f"    {__file__}:")


async def test_generators_have_frames_too() -> None:
    lines = await told(around_a_generator())
    assert [line.partition(", in ")[2].partition(":")[0] for line in lines[1:3]] == [
        "around_a_generator",
        "by_generator",
    ]


async def test_depth_and_number_are_bounded() -> None:
    assert len(await told(deep(2 * MAX_FRAMES))) == 1 + MAX_FRAMES
    lines = await told(*(forever() for _ in range(MAX_TASKS + 3)))
    assert len(lines) == 2 * MAX_TASKS + 1
    assert lines[-1] == "  and 3 more"
    assert lines[-3] == f"  task {MAX_TASKS - 1}"


async def test_code_that_is_nowhere() -> None:
    space: dict[str, Any] = {"forever": forever}
    exec("async def made():\n    await forever()", space)
    lines = await told(space["made"]())
    assert lines[1] == "    <string>:2, in made: (no source)"


async def test_a_task_that_is_done_waits_nowhere() -> None:
    task = asyncio.create_task(asyncio.sleep(0), name="done")
    await task
    assert waiting([task]) == "  done\n    (not in Python code)"
