"""Several things at once: all of them, the first, the first that succeeds, as many as are needed. On asyncio.

All of them really run concurrently, none outlives the call: what is not needed any more is cancelled and awaited,
whether the call returns, fails, times out or is cancelled itself. An exit asked for in one is raised where all are
awaited, like any failure. Each takes a `timeout`, which raises `TimeoutError`.
What is given is awaited exactly once, or closed where the call is refused.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from inspect import isawaitable, iscoroutine
from typing import Any, TypeVar

from tybalt.errors import MisuseError
from tybalt.execution.durations import Duration, seconds
from tybalt.outcomes import Cancelled, Ok, Outcome
from tybalt.reasons import CancelKind, CancelReason

T = TypeVar("T")


async def join_all(*awaitables: Awaitable[T], timeout: Duration | None = None) -> list[T]:
    """The results of all, in their order. The first failure cancels the others and is raised."""
    async with asyncio.timeout(_limit(awaitables, timeout)):
        return await _join_all(awaitables)


async def join_outcomes(*awaitables: Awaitable[T], timeout: Duration | None = None) -> list[Outcome[T]]:
    """What became of each, in their order; a failure stops nobody else. After `timeout` the rest is `Cancelled`."""
    limit = _limit(awaitables, timeout)
    tasks = [_begun(each) for each in awaitables]
    try:
        if tasks:
            await asyncio.wait(tasks, timeout=limit)
        late = {task for task in tasks if not task.done()}
    finally:
        await _stop(tasks)
    reason = CancelReason(CancelKind.TIMEOUT, f"not done within {limit:g} s" if limit is not None else "")
    return [Cancelled(reason) if task in late else _outcome(task) for task in tasks]


async def race(*awaitables: Awaitable[T], timeout: Duration | None = None) -> T:
    """The result of whichever is done first, or its failure. Raises `MisuseError` where nobody runs."""
    if not awaitables:
        raise MisuseError("a race needs at least one to run")
    async with asyncio.timeout(_limit(awaitables, timeout)):
        return await _race(awaitables)


async def first_ok(*awaitables: Awaitable[T], timeout: Duration | None = None) -> T:
    """The result of whichever succeeds first. Where none does, an `ExceptionGroup` of all the failures.

    Raises `MisuseError` where there is nothing to try.
    """
    if not awaitables:
        raise MisuseError("first_ok needs at least one to try")
    (result,) = await quorum(1, *awaitables, timeout=timeout)
    return result


async def quorum(needed: int, *awaitables: Awaitable[T], timeout: Duration | None = None) -> list[T]:
    """The first `needed` results, in the order in which they came; the rest is cancelled.

    Raises an `ExceptionGroup` of the failures as soon as `needed` cannot be reached any more. None needed is none
    awaited. Raises `MisuseError` for more than there are, and for less than none.
    """
    limit = _limit(awaitables, timeout)
    if needed not in range(len(awaitables) + 1):
        _close(awaitables)
        raise MisuseError(f"a quorum of {needed!r} out of {len(awaitables)} cannot be")
    if needed == 0:
        _close(awaitables)
        return []
    async with asyncio.timeout(limit):
        return await _quorum(needed, awaitables)


async def _join_all(awaitables: Sequence[Awaitable[T]]) -> list[T]:
    tasks, arrived = _start(awaitables)
    try:
        for _ in tasks:
            _result(await arrived.get())
        return [task.result() for task in tasks]
    finally:
        await _stop(tasks)


async def _race(awaitables: Sequence[Awaitable[T]]) -> T:
    tasks, arrived = _start(awaitables)
    try:
        return _result(await arrived.get())
    finally:
        await _stop(tasks)


async def _quorum(needed: int, awaitables: Sequence[Awaitable[T]]) -> list[T]:
    tasks, arrived = _start(awaitables)
    results: list[T] = []
    failures: list[BaseException] = []
    try:
        while len(results) < needed:
            if len(tasks) - len(failures) < needed:
                raise BaseExceptionGroup(f"{needed} of {len(tasks)} were needed, {len(failures)} failed", failures)
            task = await arrived.get()
            failure = _failure(task)
            if failure is None:
                results.append(task.result())
            else:
                failures.append(failure)
        return results
    finally:
        await _stop(tasks)


def _start(awaitables: Sequence[Awaitable[T]]) -> "tuple[list[asyncio.Future[T]], asyncio.Queue[asyncio.Future[T]]]":
    """Run them, and where they arrive when they are done: in that order, which `asyncio.wait` does not tell."""
    tasks: list[asyncio.Future[T]] = [_begun(each) for each in awaitables]
    arrived: asyncio.Queue[asyncio.Future[T]] = asyncio.Queue()
    for task in tasks:
        task.add_done_callback(arrived.put_nowait)
    return tasks, arrived


class _Exit(Exception):
    """An exit that was asked for in a task, on its way to whoever waits for it: in the task it would end the loop."""

    def __init__(self, asked: SystemExit) -> None:
        super().__init__(asked)
        self.asked = asked


def _begun(awaitable: Awaitable[T]) -> "asyncio.Future[T]":
    if asyncio.isfuture(awaitable):
        return awaitable
    task = asyncio.ensure_future(_without_exit(awaitable))
    if iscoroutine(awaitable):
        task.add_done_callback(lambda _: awaitable.close())  # Cancelled before it starts, it never reaches that.
    return task


async def _without_exit(awaitable: Awaitable[T]) -> T:
    try:
        return await awaitable
    except SystemExit as error:
        raise _Exit(error) from error


def _result(task: "asyncio.Future[T]") -> T:
    failure = None if task.cancelled() else _failure(task)
    if failure is not None:
        raise failure
    return task.result()


def _failure(task: "asyncio.Future[Any]") -> BaseException | None:
    if task.cancelled():
        return asyncio.CancelledError("it was cancelled from elsewhere")
    failure = task.exception()
    return failure.asked if isinstance(failure, _Exit) else failure


def _outcome(task: "asyncio.Future[T]") -> Outcome[T]:
    if task.cancelled():
        return Cancelled(CancelReason(CancelKind.PARENT_CANCELLED))
    failure = _failure(task)
    return Ok(task.result()) if failure is None else Outcome.of(failure)


def _limit(awaitables: Sequence[Awaitable[Any]], timeout: Duration | None) -> float | None:
    """The timeout in seconds, `None` for none. Nothing has begun yet, and nothing is left unawaited where this raises.

    Raises `MisuseError` for a timeout that is none, and for something that cannot be awaited.
    """
    try:
        for each in awaitables:
            if not isawaitable(each):
                raise MisuseError(f"expected something to await, such as `work()` of an `async def work`, got {each!r}")
        return None if timeout is None else seconds(timeout)
    except MisuseError:
        _close(awaitables)
        raise


def _close(awaitables: Sequence[Awaitable[Any]]) -> None:
    """Coroutines that will not run say so nowhere; futures and tasks are their owners' business."""
    for each in awaitables:
        if iscoroutine(each):
            each.close()


async def _stop(tasks: "Sequence[asyncio.Future[Any]]") -> None:
    """Cancel what still runs and wait until it is gone, even while being cancelled: nobody is left behind."""
    running: list[asyncio.Future[Any]] = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while running:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
        running = [task for task in running if not task.done()]
    for task in tasks:
        if not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not report it.
    if cancelled is not None:
        raise cancelled
