"""Where a task waits, as text: the `await` of each coroutine from the task's own down to the innermost.

`asyncio.Task.get_stack` knows the outermost frame alone. This only reads; `virtual_loop` above puts it into its errors.
"""

import asyncio
import linecache
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

from tybalt.errors import cut

MAX_TASKS: Final = 20
"""How many tasks an error text lists."""
MAX_FRAMES: Final = 12
"""How many frames of a task are told: the outermost."""

_FRAMES: Final = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def waiting(tasks: "Iterable[asyncio.Task[Any]]") -> str:
    """Each task by its name, and below it the places where it waits, outermost first. Never raises for a task.

    An async generator in between hides what it waits for.
    """
    ordered = by_name(tasks)
    lines = [line for task in ordered[:MAX_TASKS] for line in _told(task)]
    if len(ordered) > MAX_TASKS:
        lines.append(f"  and {len(ordered) - MAX_TASKS} more")
    return "\n".join(lines)


def by_name(tasks: "Iterable[asyncio.Task[Any]]") -> "list[asyncio.Task[Any]]":
    """Tasks in an order that does not change from run to run; by default names, that of their making."""
    return sorted(tasks, key=lambda task: (len(task.get_name()), task.get_name()))


def _told(task: "asyncio.Task[Any]") -> Iterator[str]:
    yield f"  {cut(task.get_name())}"
    frames = [frame for _, frame in zip(range(MAX_FRAMES), _frames(task.get_coro()), strict=False)]
    for frame in frames:
        code = frame.f_code
        source = cut(linecache.getline(code.co_filename, frame.f_lineno).strip())
        yield f"    {code.co_filename}:{frame.f_lineno}, in {code.co_name}: {source or '(no source)'}"
    if not frames:
        yield "    (not in Python code)"


def _frames(awaited: Any) -> Iterator[FrameType]:
    """The frames of a coroutine and of all that it awaits. The last is a future, which has none."""
    while awaited is not None:
        frame, following = None, None
        for its_frame, its_awaited in _FRAMES:
            frame = frame or getattr(awaited, its_frame, None)
            following = following or getattr(awaited, its_awaited, None)
        if frame is not None:
            yield frame
        awaited = following
