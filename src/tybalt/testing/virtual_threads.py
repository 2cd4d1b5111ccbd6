"""`VirtualThreads`: the pool of threads for a program on virtual time, which has no threads at all.

A function takes the virtual time that a test says, and then runs on the thread of the loop, all at once. So a program
whose plain functions run "in threads" gives the same trace every time. `tybalt.execution.threads` is the real pool.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import Any, TypeVar

from tybalt.errors import MisuseError
from tybalt.execution.threads import Threads, ThreadStatistics

T = TypeVar("T")


class VirtualThreads(Threads):
    """A pool of `limit` places. A function keeps one for `delay()` seconds of `loop.time()`, and runs at their end.

    `delay` is called when the function gets its place. As in a thread, no event loop is running around the function, a
    cancel after the start does not stop it, and its `call_soon_threadsafe` works. Unlike there, it may not block on
    the loop: that would be for ever, so such functions need real `Threads`. For one event loop.

    Raises `MisuseError` for a limit below 1.
    """

    def __init__(self, limit: int = 40, *, delay: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__(limit, name="virtual")
        self._places = limit
        self._delay = delay
        self._taken = 0
        self._waiting: OrderedDict[asyncio.Future[Any], tuple[Callable[[], Any], Context]] = OrderedDict()

    def run(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Run a function after its virtual time, in a copy of this context: the future of what it returns or raises.

        See `Threads.run`. Raises `MisuseError` for a delay below 0, and where no event loop is running.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise MisuseError("VirtualThreads.run was called where no event loop is running") from None
        future: asyncio.Future[T] = loop.create_future()
        if self._taken < self._places:
            self._start(future, function, copy_context())
        else:
            self._waiting[future] = function, copy_context()
            future.add_done_callback(self._drop)
        return future

    @contextmanager
    def lent(self) -> Generator[None]:
        """Does nothing: there is no thread to wait in."""
        yield

    def statistics(self) -> ThreadStatistics:
        """What it is doing right now. Nothing is ever idle or lent."""
        return ThreadStatistics(limit=self._places, running=self._taken, idle=0, queued=len(self._waiting), lent=0)

    def close(self) -> None:
        """Does nothing: what was queued still runs, and there is no thread to end."""

    def _start(self, future: "asyncio.Future[Any]", function: Callable[[], Any], context: Context) -> None:
        delay = self._delay()
        if not delay >= 0:
            raise MisuseError(f"the delay of a function is 0 seconds or more, got {delay!r}")
        self._taken += 1
        future.get_loop().call_later(delay, self._finish, future, function, context)

    def _finish(self, future: "asyncio.Future[Any]", function: Callable[[], Any], context: Context) -> None:
        result, error = _outside_of_the_loop(function, context)
        # Free before the result is there, as in a real pool.
        self._taken -= 1
        self._start_next()
        if future.done():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _start_next(self) -> None:
        while self._waiting and self._taken < self._places:
            future, (function, context) = self._waiting.popitem(last=False)
            if not future.done():
                self._start(future, function, context)

    def _drop(self, future: "asyncio.Future[Any]") -> None:
        self._waiting.pop(future, None)


def _outside_of_the_loop(function: Callable[[], Any], context: Context) -> tuple[Any, BaseException | None]:
    """What the function returned or raised, where it could not tell that it is on the thread of a loop."""
    loop = asyncio.get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return context.run(function), None
    except (StopIteration, asyncio.CancelledError) as error:
        told = RuntimeError(f"the function raised {type(error).__name__}, which cannot be passed on to who awaits it")
        told.__cause__ = error
        return None, told
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is the caller's, as from a real thread)
        return None, error
    finally:
        asyncio._set_running_loop(loop)
