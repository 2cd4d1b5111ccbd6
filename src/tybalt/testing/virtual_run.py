"""`run_virtual`: a program on a virtual loop, run to its end, and a look at what it left.

    Deadlock     nothing is ready, no timer is set: everybody waits for ever
    Runaway      more steps, or more virtual time, than the limit
    LeftBehind   the program ended, but not all that it began

The loop below, `virtual_loop`, makes time pass; nothing here knows how.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from tybalt.errors import MisuseError, cut
from tybalt.testing.virtual_loop import (
    CLEANUP_SECONDS,
    CLEANUP_STEPS,
    DEFAULT_LIMIT,
    Limit,
    VirtualLoop,
    VirtualLoopError,
    counted,
)
from tybalt.testing.waiting import by_name, waiting

T = TypeVar("T")

TURNS_TO_SETTLE: Final = 5
"""How many turns of the loop a closed transport or a cancelled task has to be gone in, after the program has ended."""
MAX_TOLD: Final = 10
"""How many timers, generators or exceptions a `LeftBehind` names, of each."""


class LeftBehind(VirtualLoopError):
    """A program ended and left tasks, timers, async generators, or exceptions that nobody has looked at."""


def run_virtual(
    program: "Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T]",
    *,
    limit: Limit = DEFAULT_LIMIT,
    settle: float = 3_600.0,
) -> T:
    """Run a coroutine, or the one that an `async def` without parameters returns, on a new virtual loop.

    Returns its result. Raises what it raises; `Deadlock` or `Runaway` where it does not end; and `LeftBehind` where it
    ended but left a task (it is cancelled now), a timer, an open async generator, or an exception that nobody has
    retrieved. Where it raised, what it left is a note on the exception. Raises `MisuseError` for what is no coroutine,
    and where another loop is running.

    Timers get `settle` virtual seconds to run out, as one does that finds nothing to do any more; with 0, any that is
    set at the end is left behind.

    The garbage collector is off meanwhile, because its moments are not the program's; it looks once, at the end.
    """
    coroutine = _coroutine(program)
    loop = VirtualLoop(limit=limit)
    left = _Left()
    loop.set_exception_handler(left.complain)
    with _collector_off():
        try:
            result = loop.run_until_complete(loop.create_task(coroutine, name="main"))
        except BaseException as error:
            left.look(loop, settle)
            if text := left.text(tasks=not isinstance(error, VirtualLoopError)):
                error.add_note(f"It also left behind\n{text}")
            raise
        left.look(loop, settle)
    if text := left.text(tasks=True):
        raise LeftBehind(f"the program ended and left behind\n{text}") from left.cause
    return result


class _Left:
    """What a program has left on its loop. It does not hold the loop, which holds it: that would be a cycle."""

    def __init__(self) -> None:
        self._tasks: list[str] = []
        self._others: list[str] = []
        self._complaints: list[str] = []
        self.cause: BaseException | None = None

    def complain(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio would have logged."""
        # Not the context itself: it would bring the future back to life that complains by being deleted.
        error = context.get("exception")
        self._complaints.append(context["message"] if error is None else f"{context['message']}: {error!r}")
        self.cause = self.cause or error

    def look(self, loop: VirtualLoop, settle: float) -> None:
        """End what still runs, note what it was, and close the loop."""
        loop.grant(CLEANUP_STEPS, settle + CLEANUP_SECONDS)
        try:
            loop.run_until_complete(loop.create_task(self._end(loop, settle), name="run_virtual"))
        except VirtualLoopError as error:
            self._others.append(f"and it does not come to an end when it is cancelled: {error}")
        finally:
            loop.close()

    def text(self, *, tasks: bool) -> str:
        """What there was, a line each; `tasks` is whether to tell of those. Empty for a clean end."""
        told = [*(self._tasks if tasks else ()), *self._others]
        if self._complaints:
            told.append(_listed("exception that nobody has retrieved, or other complaint", self._complaints))
        return "\n".join(told)

    async def _end(self, loop: VirtualLoop, settle: float) -> None:
        await self._end_tasks()
        if settle > 0 and loop.timers:
            await asyncio.sleep(settle)
        # All that the program made is in the youngest generation. Only now do futures in cycles say that they failed.
        gc.collect(0)
        await self._end_tasks()
        if still_open := sorted(_place(each) for each in loop.open_generators):
            self._others.append(_listed("async generator that is not closed", still_open))
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()
        if timers := [f"in {timer.when() - loop.time():g} s: {timer!r}" for timer in loop.timers]:
            self._others.append(_listed("timer that is set", timers))

    async def _end_tasks(self) -> None:
        running = await _settled()
        if running:
            self._tasks.append(f"{counted(len(running), 'task')} (now cancelled)\n{waiting(running)}")
            for task in running:
                task.cancel()
            await asyncio.wait(running)


async def _settled() -> "list[asyncio.Task[Any]]":
    """The other tasks that are still there after a few turns of the loop, in the order of their names."""
    others: set[asyncio.Task[Any]] = set()
    for _ in range(TURNS_TO_SETTLE):
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if not others:
            break
    return by_name(others)


def _place(generator: Any) -> str:
    code, frame = generator.ag_code, generator.ag_frame
    return f"{code.co_filename}:{frame.f_lineno}, in {code.co_qualname}"


def _listed(what: str, told: Sequence[str]) -> str:
    lines = [f"  {cut(each, 300)}" for each in told[:MAX_TOLD]]
    if len(told) > MAX_TOLD:
        lines.append(f"  and {len(told) - MAX_TOLD} more")
    return "\n".join([f"{len(told)} × {what}", *lines])


def _coroutine(program: "Callable[[], Coroutine[Any, Any, T]] | Coroutine[Any, Any, T]") -> "Coroutine[Any, Any, T]":
    coroutine: object = program() if callable(program) else program
    if not asyncio.iscoroutine(coroutine):
        raise MisuseError(
            f"run_virtual runs an `async def` without parameters, or a coroutine; got {cut(repr(program))}"
        )
    if _is_inside_a_loop():
        coroutine.close()
        raise MisuseError(
            "run_virtual is for synchronous code; in an `async def`, await the program, or start a thread"
        )
    return coroutine


def _is_inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@contextmanager
def _collector_off() -> Generator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
