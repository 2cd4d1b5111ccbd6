"""From the first connection to the last: a server's lifespan and its startup and shutdown hooks.

Whoever serves holds the lifetime open while it does. One task of its own opens and closes it, whichever connection came
first and whichever goes last, because what a lifespan holds (a task group, a cancel scope) must be left by the task
that entered it. `server` collects the hooks; this module runs them and knows no connection.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from inspect import isawaitable, signature, unwrap
from types import CodeType
from typing import Any

from tybalt.errors import MisuseError
from tybalt.server.declaration import qualified_name

Hook = Callable[[], Awaitable[None] | None]
Lifespan = Callable[..., AbstractAsyncContextManager[Any]]


class Lifetime:
    """What is open while at least one user holds it; it may be opened again after it was closed.

    `lifespan` is called with `given`, and `value` is what it yielded. Startup hooks run inside of it, in their order;
    shutdown hooks too, the last added first, also when a startup hook failed. Belongs to one event loop at a time.
    """

    def __init__(self, lifespan: Lifespan | None, *given: Any) -> None:
        self.startup: list[Hook] = []
        self.shutdown: list[Hook] = []
        self.value: Any = None
        self._lifespan = lifespan
        self._given = given
        self._users = 0
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[None] | None = None
        self._over = asyncio.Event()

    @asynccontextmanager
    async def held(self) -> AsyncGenerator[None]:
        """Hold it open. Whoever comes while it is opened or closed waits for that.

        Raises what a lifespan or a hook raised: at the start to everybody who waits for it, at the end to the last.
        Raises `MisuseError` where one has parameters that nobody gives.
        """
        await self._enter()
        try:
            yield
        finally:
            await self._leave()

    async def _enter(self) -> None:
        while self._users == 0 and (ending := self._task) is not None:
            await asyncio.wait([ending])
            self._forget(ending)
        self._users += 1
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_future()
            self._over = asyncio.Event()
            self._task = asyncio.create_task(self._run(self._opened, self._over))
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self._leave()
            raise

    async def _leave(self) -> None:
        self._users -= 1
        task, opened = self._task, self._opened
        if self._users or task is None or opened is None:
            return
        if opened.done():
            self._over.set()
        else:
            task.cancel()
        try:
            await task
        finally:
            self._forget(task)

    def _forget(self, task: asyncio.Task[None]) -> None:
        if self._task is task and task.done():
            self._task = self._opened = None

    async def _run(self, opened: asyncio.Future[None], over: asyncio.Event) -> None:
        try:
            async with AsyncExitStack() as stack:
                try:
                    await self._start(stack)
                except Exception as error:
                    opened.set_exception(error)  # Here, for a lifespan may swallow what is raised inside of it.
                    raise
                opened.set_result(None)
                await over.wait()
        except Exception:
            if opened.exception() is None:  # What failed at the start is told to those who wait for it.
                raise
        finally:
            self.value = None
            opened.cancel()

    async def _start(self, stack: AsyncExitStack) -> None:
        for hook in (*self.startup, *self.shutdown):
            _require(hook, (), "hook", _HOOK)
        if self._lifespan is not None:
            _require(self._lifespan, self._given, "lifespan", _LIFESPAN)
            manager = self._lifespan(*self._given)
            if not hasattr(manager, "__aenter__"):
                raise MisuseError(
                    f"lifespan: expected a function that returns an async context manager, got one that returns "
                    f"{manager!r}. Put @asynccontextmanager above it"
                )
            self.value = await stack.enter_async_context(manager)
        for hook in self.shutdown:
            stack.push_async_callback(_call, hook)
        for hook in self.startup:
            await _call(hook)


async def _call(hook: Hook) -> None:
    result = hook()
    if isawaitable(result):
        await result


_LIFESPAN = "a lifespan takes the server: `async def lifespan(server)`, with @asynccontextmanager above it"
_HOOK = "a hook takes no argument"


def _require(function: Callable[..., Any], given: tuple[Any, ...], what: str, rule: str) -> None:
    """Refuse what cannot be called with `given`: Python's own words for that name neither file nor line."""
    try:
        parameters = signature(function)
    except (TypeError, ValueError):
        return  # No signature to be had: calling it shows.
    try:
        parameters.bind(*given)
    except TypeError as error:
        raise MisuseError(f"{what} {_named(function)}: {error}; {rule}") from None


def _named(function: Callable[..., Any]) -> str:
    """`shelf.lifespan (shelf.py:12)`; without the place where no Python code is to be found."""
    found: Any = function
    while isinstance(found, partial):
        found = found.func
    found = unwrap(found)
    code = getattr(found, "__code__", None) or getattr(type(found).__call__, "__code__", None)
    place = f" ({code.co_filename}:{code.co_firstlineno})" if isinstance(code, CodeType) else ""
    return f"{qualified_name(function)}{place}"
