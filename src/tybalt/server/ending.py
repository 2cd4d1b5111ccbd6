"""How what runs on a connection ends with it: a grace to finish in, then a cancel, then an answer for whoever waits."""

import asyncio
import logging
from typing import Any, Final

from tybalt.reasons import CancelKind, CancelReason
from tybalt.server.running import Running

logger = logging.getLogger("tybalt.server")

CLEANUP: Final = 1.0
"""Seconds that handlers get at least to clean up after they were cancelled."""


_WHY: Final = {
    CancelKind.SHUTDOWN: "the server ends",
    CancelKind.RESOURCE_UNAVAILABLE: "its client has gone",
}


async def drain(
    running: Running, grace: float, hurry: asyncio.Event | None = None, kind: CancelKind = CancelKind.SHUTDOWN
) -> None:
    """Let what runs finish for `grace` seconds, then stop it, for `kind`; each request gets its answer.

    When `hurry` is set, the grace is over. What is stopped then gets as long again to clean up, or a second.
    """
    hurried = False
    if tasks := running.tasks():
        hurried = not await unless(hurry, asyncio.ensure_future(asyncio.wait(tasks, timeout=grace)))
    await abort(running, CLEANUP if hurried else max(grace, CLEANUP), kind)


async def abort(running: Running, patience: float = CLEANUP, kind: CancelKind = CancelKind.SHUTDOWN) -> None:
    """Cancel what runs, for `kind`, and wait for it to be gone, `patience` seconds at most.

    A handler that goes on regardless is reported and left behind; its request is answered all the same.
    """
    calls = dict(running.calls)
    if not calls:
        return
    for call in calls.values():
        call.cancel(kind, _WHY[kind])
        if not call.token.is_masked:
            call.stop()  # Though it was cancelled before: it may have gone on, and this is the last time.
    await asyncio.wait(running.tasks(), timeout=patience)
    reason = CancelReason(kind, f"{_WHY[kind]}, and it did not stop")
    for responder, call in calls.items():
        if running.calls.get(responder) is call and call.task is not None and not call.task.done():
            logger.error("a handler does not stop though it was cancelled; it is left behind: %r", call.task)
            running.leave_behind(call, reason)
    if running.calls:
        await asyncio.sleep(0)  # What has ended at this very moment is answered in the next turn of the loop.


async def unless(stop: asyncio.Event | None, doing: "asyncio.Future[Any]") -> bool:
    """Wait until `doing` is done, or give it up when `stop` is set: False then. Raises what `doing` raises."""
    if stop is None:
        await doing
        return True
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
            return True
        return False
    finally:
        for each in (doing, stopping):
            each.cancel()
        await asyncio.wait([doing, stopping])
