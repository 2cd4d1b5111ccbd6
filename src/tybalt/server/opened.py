"""One provider that yields: opened up to its `yield`, and later closed from there on.

It runs where it can be closed. `OnLoop` is the request's own task. `InThread` is a thread, and a context of its own,
the same for setup and cleanup. `InTask`, for async generators, is a task of its own from setup to cleanup, so that
timeouts, task groups and cancel scopes may be held open across the `yield`, and so that no cancel of the request stops
the cleanup. Each has `begin`, which gives what is yielded, and `end`, which begins the cleanup: what is to be waited
for then, or `None`. `dependency_resolution.py`, above, calls them in order and weighs what they raise.
"""

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextvars import copy_context
from functools import partial
from types import TracebackType
from typing import Any

from tybalt.errors import MisuseError, exit_refused

logger = logging.getLogger("tybalt.server")

RunBlocking = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a function in a thread, in a copy of this context. Cleanup that it refuses to run is run on the loop."""


class OnLoop:
    """A generator that is quick: it runs in the request's own task."""

    __slots__ = ("_generator", "name")

    def __init__(self, name: str, generator: Generator[Any, Any, Any]) -> None:
        self.name = name
        self._generator = generator

    async def begin(self) -> Any:
        """What it yields."""
        return _begin(self._generator, self.name)

    def end(self, failure: BaseException | None) -> None:
        """Clean up, after `failure` if there is one; raises what goes wrong with that."""
        _finish(self._generator, self.name, failure)


class InThread:
    """A generator that blocks. Setup and cleanup may run in two threads; they see the same context variables."""

    __slots__ = ("_context", "_generator", "_is_ending", "_run", "name")

    def __init__(self, name: str, generator: Generator[Any, Any, Any], run: RunBlocking) -> None:
        self.name = name
        self._generator = generator
        self._run = run
        self._is_ending = False
        self._context = copy_context()

    async def begin(self) -> Any:
        """What it yields. Nothing stops a thread: a cancel is heard when the setup is done, and it can be closed."""
        beginning = asyncio.ensure_future(self._run(lambda: self._context.run(_begin, self._generator, self.name)))
        cancelled = await settled(beginning)
        if cancelled is not None:
            if not beginning.cancelled():
                beginning.exception()  # Looked at, so that asyncio does not report it.
            raise cancelled
        return beginning.result()

    def end(self, failure: BaseException | None) -> "asyncio.Future[Any] | None":
        """Begin to clean up; `None` where its setup was not begun, or failed."""
        if inspect.getgeneratorstate(self._generator) in (inspect.GEN_CREATED, inspect.GEN_CLOSED):
            return None
        return asyncio.create_task(_going_on(self._ended(failure)))

    async def _ended(self, failure: BaseException | None) -> None:
        try:
            await self._run(lambda: self._context.run(self._end, failure))
        except BaseException:
            if self._is_ending:
                raise
            # There was no thread for it. Better that the loop waits than that it stays open for good.
            self._context.run(self._end, failure)

    def _end(self, failure: BaseException | None) -> None:
        self._is_ending = True
        _finish(self._generator, self.name, failure)


class InTask:
    """An async generator and the task that it lives in; `interrupt` tells that it cannot go on before it was ended."""

    __slots__ = ("_failure", "_generator", "_interrupt", "_is_over", "_ready", "_task", "_waiter", "name")

    def __init__(self, name: str, generator: AsyncGenerator[Any, Any], interrupt: Callable[[], None]) -> None:
        self.name = name
        self._generator = generator
        self._interrupt = interrupt
        self._is_over = False
        self._failure: BaseException | None = None
        loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Any] = loop.create_future()
        self._waiter: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(_going_on(self._live()))

    async def begin(self) -> Any:
        """What it yields. A cancel stops the setup; where it has succeeded all the same, it is cleaned up."""
        try:
            return await self._ready
        except asyncio.CancelledError as cancelled:
            if self._is_over:
                self._ready.exception()  # The setup failed. Looked at, so that asyncio does not report it.
                raise
            if self._ready.cancelled():
                self._task.cancel()
            self._end(cancelled)
            await settled(self._task)
            if not self._task.cancelled() and (error := self._task.exception()) is not None:
                note(cancelled, error, self.name)
            raise

    def end(self, failure: BaseException | None) -> "asyncio.Future[Any] | None":
        """Begin to clean up; `None` where its setup failed, or was cancelled and is cleaned up already."""
        if self._is_over:
            return None
        self._end(failure)
        return self._task

    def _end(self, failure: BaseException | None) -> None:
        self._is_over = True
        self._failure = failure
        if not self._waiter.done():
            self._waiter.set_result(None)

    async def _live(self) -> None:
        try:
            value = await _begin_async(self._generator, self.name)
        except BaseException as error:
            if self._ready.done():
                raise  # It was cancelled, and `begin` looks at this task.
            self._is_over = True
            self._ready.set_exception(error)
            return
        if not self._ready.done():
            self._ready.set_result(value)
        await self._kept_open()
        await _finish_async(self._generator, self.name, self._failure)

    async def _kept_open(self) -> None:
        while not self._is_over:
            try:
                await self._waiter
            except asyncio.CancelledError:
                if not self._is_over:
                    self._waiter = self._waiter.get_loop().create_future()  # The old one was cancelled with its task.
                    self._interrupt()


async def settled(future: "asyncio.Future[Any]") -> asyncio.CancelledError | None:
    """Wait until it is done, whoever cancels the waiter meanwhile: that cancel is handed back."""
    cancelled = None
    while not future.done():
        waiter = future.get_loop().create_future()
        wake = partial(_wake, waiter)
        future.add_done_callback(wake)
        try:
            await waiter
        except asyncio.CancelledError as error:
            cancelled = error
            future.remove_done_callback(wake)
    return cancelled


def _wake(waiter: "asyncio.Future[None]", _: object) -> None:
    if not waiter.done():
        waiter.set_result(None)


def note(failure: BaseException, error: BaseException, name: str) -> None:
    """Tell of an error that is not raised, because an earlier one is."""
    failure.add_note(f"and then cleaning up {name} failed: {type(error).__name__}: {error}")
    logger.error("cleaning up %s failed, after %s", name, type(failure).__name__, exc_info=error)


def _begin(generator: Generator[Any, Any, Any], name: str) -> Any:
    try:
        return next(generator)
    except StopIteration:
        raise _never(name) from None


async def _begin_async(generator: AsyncGenerator[Any, Any], name: str) -> Any:
    try:
        return await anext(generator)
    except StopAsyncIteration:
        raise _never(name) from None


def _finish(generator: Generator[Any, Any, Any], name: str, failure: BaseException | None) -> None:
    """Let a generator clean up; raises what it raises that is not `failure`."""
    before = None if failure is None else failure.__traceback__
    try:
        if failure is None:
            next(generator)
        else:
            generator.throw(failure)
    except StopIteration:
        return
    except BaseException as error:
        if not _is_same(error, failure, before):
            raise
        return
    generator.close()
    raise _twice(name)


async def _finish_async(generator: AsyncGenerator[Any, Any], name: str, failure: BaseException | None) -> None:
    """`_finish` for an async generator."""
    before = None if failure is None else failure.__traceback__
    try:
        if failure is None:
            await anext(generator)
        else:
            await generator.athrow(failure)
    except StopAsyncIteration:
        return
    except BaseException as error:
        if not _is_same(error, failure, before):
            raise
        return
    await generator.aclose()
    raise _twice(name)


def _is_same(error: BaseException, failure: BaseException | None, before: TracebackType | None) -> bool:
    """Whether a generator let `failure` pass, which then gets the traceback back that it had before.

    A `StopIteration` cannot leave a generator but as the cause of a `RuntimeError` (PEP 479).
    """
    stopped = isinstance(failure, StopIteration | StopAsyncIteration) and error.__cause__ is failure
    if failure is None or not (error is failure or (stopped and isinstance(error, RuntimeError))):
        return False
    failure.__traceback__ = before
    return True


def _never(name: str) -> MisuseError:
    return MisuseError(f"provider {name} ended without a `yield`. Yield once what is to be injected, on every path")


def _twice(name: str) -> MisuseError:
    return MisuseError(f"provider {name} yielded twice. Yield once; what comes after it is the cleanup")


async def _going_on(doing: Coroutine[Any, Any, None]) -> None:
    """A task's own coroutine: an exit asked for in a provider is that provider's failure, and must not end the loop."""
    try:
        await doing
    except SystemExit as error:
        raise exit_refused(error) from error
