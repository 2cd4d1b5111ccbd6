"""Waiting for input: an awaitable that can resume its task inside the callback that brought the input.

An `asyncio.Future` resumes its task one turn of the loop later, and a turn costs a system call and several
microseconds, a good part of one request over stdio. This one can do the same, or skip the turn. It is a future-like
object in the sense of `asyncio.isfuture`, with just what a task asks of one. Transports use it for their one receiver.
"""

from asyncio import AbstractEventLoop, CancelledError, current_task, get_running_loop
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any


class Wakeup:
    """Where one task at a time waits: it awaits this, and somebody calls `wake` or `wake_now`.

    `waiting` says whether a task does. Belongs to the loop of the first wait. Waking when nobody waits does nothing.
    A cancelled wait raises `CancelledError`, as any does.
    """

    __slots__ = ("_asyncio_future_blocking", "_callback", "_cancelled", "_context", "_loop", "waiting")

    def __init__(self) -> None:
        self._asyncio_future_blocking = False
        self._loop: AbstractEventLoop | None = None
        self._callback: Callable[[Any], object] | None = None
        self._context: Context | None = None
        self._cancelled = False
        self.waiting = False

    def wake(self) -> None:
        """Resume the task in the next turn of the loop."""
        callback, self._callback = self._callback, None
        if callback is not None:
            self.get_loop().call_soon(callback, self, context=self._context)

    def wake_now(self) -> None:
        """Resume the task before this returns, unless another task is running; then as `wake` does.

        Whoever calls this must have nothing left to do that the task could disturb.
        """
        callback = self._callback
        if callback is None or current_task(self._loop) is not None:
            self.wake()
        else:
            self._callback = None
            self._context.run(callback, self)  # pyright: ignore[reportOptionalMemberAccess]

    # What a task asks of the future it waits for.

    def __await__(self) -> Generator["Wakeup", None, None]:
        self.waiting = True
        self._asyncio_future_blocking = True
        try:
            yield self
        finally:
            self.waiting = False

    def get_loop(self) -> AbstractEventLoop:
        """The loop the waiting task runs on."""
        if self._loop is None:
            self._loop = get_running_loop()
        return self._loop

    def add_done_callback(self, callback: Callable[[Any], object], *, context: Context | None = None) -> None:
        """Remember what resumes the task; there is one task, hence one callback."""
        self._callback = callback
        self._context = context

    def cancel(self, msg: object = None) -> bool:
        """Resume the task with `CancelledError`; False when it was woken before."""
        if self._callback is None:
            return False
        self._cancelled = True
        self.wake()
        return True

    def result(self) -> None:
        """Nothing, or `CancelledError`."""
        if self._cancelled:
            self._cancelled = False
            raise CancelledError
