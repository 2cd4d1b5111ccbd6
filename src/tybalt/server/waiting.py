"""How a thread waits for something that the loop does: handed over there, and its outcome handed back.

`concurrent.futures` would do, at four times the cost; it knows more states than there are here.
"""

import asyncio
from collections.abc import Awaitable
from threading import Lock
from typing import Any, Generic, TypeVar

from tybalt.outcomes import Cancelled, Ok, Outcome, Panicked
from tybalt.reasons import CancelKind, CancelReason

T = TypeVar("T")


class Handover(Generic[T]):
    """One thing to await on the loop, for one thread that waits for it."""

    __slots__ = ("_awaitable", "_done", "_outcome")

    def __init__(self, awaitable: Awaitable[T]) -> None:
        self._awaitable = awaitable
        self._outcome: Outcome[T] | None = None
        self._done = Lock()
        self._done.acquire()

    async def run(self) -> None:
        """Await it, on the loop. Raises nothing but what ends the task itself."""
        try:
            self._finish(Ok(await self._awaitable))
        except asyncio.CancelledError:
            self._finish(Cancelled(CancelReason(CancelKind.PARENT_CANCELLED, "what it waited for was cancelled")))
            raise
        except BaseException as error:  # noqa: BLE001 (it belongs to the thread that waits)
            self._finish(Panicked(error))

    def give_up(self, reason: CancelReason) -> None:
        """Do not begin, and tell the thread why."""
        close: Any = getattr(self._awaitable, "close", None)
        if close is not None:
            close()
        self._finish(Cancelled(reason))

    def ended(self, _: object) -> None:
        """The task that was to `run` it is done: one that was cancelled before it began has told nobody."""
        if self._outcome is None:
            self.give_up(CancelReason(CancelKind.PARENT_CANCELLED, "it was cancelled before it began"))

    def outcome(self) -> Outcome[T]:
        """What became of it; waits for that, in the thread."""
        with self._done:
            pass
        assert self._outcome is not None
        return self._outcome

    def _finish(self, outcome: Outcome[T]) -> None:
        self._outcome = outcome
        self._done.release()
