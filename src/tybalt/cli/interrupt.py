"""Ctrl-C during a command that runs a server in this process."""

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


def run_to_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, where one Ctrl-C is enough, and raises `KeyboardInterrupt` after all has been cleaned up.

    asyncio alone cancels the main task, and a tool that blocks the loop would never hear of that.
    """
    # Whoever started us without Ctrl-C, as `nohup` does, meant it; and signals belong to the main thread.
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not default or threading.current_thread() is not threading.main_thread():
        return asyncio.run(coroutine)
    return asyncio.run(_interruptible(coroutine))


async def _interruptible(coroutine: Coroutine[Any, Any, T]) -> T:
    task = asyncio.current_task()
    assert task is not None
    interrupted = asyncio.Event()
    before = signal.signal(signal.SIGINT, _canceller(task, interrupted))
    try:
        return await coroutine
    except BaseException:
        # A tool that was stopped may be told as an error before the cancellation arrives.
        if interrupted.is_set():
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _canceller(task: "asyncio.Task[Any]", interrupted: asyncio.Event) -> Callable[[int, FrameType | None], None]:
    loop = task.get_loop()

    def cancel(_number: int, _frame: FrameType | None) -> None:
        interrupted.set()
        loop.call_soon_threadsafe(task.cancel)
        if asyncio.current_task(loop) is not None:
            # Some task is running just now and may block the loop. A `KeyboardInterrupt` would end the loop with it.
            raise asyncio.CancelledError

    return cancel
