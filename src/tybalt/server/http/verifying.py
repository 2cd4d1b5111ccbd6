"""Waiting for a verifier that is `async`: of so many requests at a time, for so long, and for nobody who has gone.

A verifier asks others, and they may be slow; who waits for them costs memory, and has not said yet who it is. One look
a second at all who wait, as at bodies (`body_clock`), so that a verifier which answers at once costs no timer, and its
client need not be watched.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from math import ceil
from typing import Any, Final

from tybalt.protocol.http_messages import Fields
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.server.ending import CLEANUP
from tybalt.server.http.door import Door, Known

logger = logging.getLogger("tybalt.server")

MAX_VERIFYING: Final = 1_000
"""Requests at a time of which a verifier has not said yet who sends them."""
PATIENCE: Final = 10.0
"""Seconds that it has for each, or one more."""
LOOK: Final = 1.0
"""Seconds between two looks at who waits; from the first on its client is watched."""
MAX_AHEAD: Final = 64 * 1024
"""Bytes of a body that are read ahead, to hear that the client has gone."""

_MESSAGE: Final = 256
"""What a message is counted for beside its bytes."""
_RETRY: Final = (b"retry-after", b"1")


class Ahead:
    """What a client sends while it is not known who it is, kept for who reads the body."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self.kept: deque[dict[str, Any]] = deque()

    async def receive(self) -> dict[str, Any]:
        """What has come first, as ASGI's `receive` gives it."""
        return self.kept.popleft() if self.kept else await self._receive()

    async def has_gone(self) -> bool:
        """Wait for the end of the client: True then, False where it has sent more than is kept."""
        size = 0
        while size <= MAX_AHEAD:
            try:
                message = await self._receive()
            except Exception as error:  # noqa: BLE001 (each ASGI server says in its own way that nobody is there)
                logger.debug("a client has gone before it was known who it is: %r", error)
                return True
            if message["type"] != "http.request":
                return True
            self.kept.append(message)
            size += len(message.get("body", b"")) + _MESSAGE
        return False


class _Waiting:
    """A request that waits, since which look; with `given_up`, why it has not to wait any longer."""

    __slots__ = ("ahead", "given_up", "is_given_up", "since", "watching")

    def __init__(self, since: int, ahead: Ahead | None) -> None:
        self.since = since
        self.ahead = ahead
        self.watching: asyncio.Task[bool] | None = None
        self.is_given_up = False
        self.given_up: Refusal | None = None


class Verifying:
    """The requests at one door that wait for what a verifier says."""

    def __init__(self, door: Door, loop: asyncio.AbstractEventLoop) -> None:
        self._door = door
        self._loop = loop
        self._looks = 0
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: dict[asyncio.Task[Any], _Waiting] = {}
        self._nobody = asyncio.Event()

    async def knock(self, fields: Fields, ahead: Ahead | None = None) -> Known | Refusal | None:
        """What the door says; 503 where that takes too long, and where too many wait already.

        `None` where the client has gone meanwhile, which `ahead` hears. One that was told to wait with its body is not
        heard: to receive it would ask for the body.
        """
        if len(self._waiting) >= MAX_VERIFYING:
            return plain(503, "too many requests wait for their tokens to be verified", _RETRY)
        verdict: Any = self._door.knock(fields)
        if not hasattr(verdict, "__await__"):
            return verdict
        task = asyncio.current_task()
        assert task is not None
        each = self._waiting[task] = _Waiting(self._looks, None if b"expect" in fields else ahead)
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK, self._look)
        found: Known | Refusal | None = None
        try:
            found = await verdict
        except asyncio.CancelledError:
            if not each.is_given_up:
                raise
        finally:
            await self._forget(task, each)
        if not each.is_given_up:
            return found
        if task.uncancel():  # Somebody else wants it to end, too.
            raise asyncio.CancelledError
        return each.given_up

    async def end(self) -> None:
        """Give up all who wait: they are told that the server ends. Waits a moment for the verifier to stop."""
        for task, each in tuple(self._waiting.items()):
            self._give_up(task, each, plain(503, "the server ends", _RETRY))
        if self._waiting:
            self._nobody.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLEANUP):
                    await self._nobody.wait()

    async def _forget(self, task: "asyncio.Task[Any]", each: _Waiting) -> None:
        del self._waiting[task]
        if not self._waiting:
            self._nobody.set()
        watching = each.watching
        if watching is not None and not watching.done():
            watching.cancel()
            await asyncio.wait([watching])

    def _look(self) -> None:
        self._looks += 1
        late = 0
        for task, each in tuple(self._waiting.items()):
            if self._looks - each.since > ceil(PATIENCE / LOOK):
                late += 1
                self._give_up(task, each, plain(503, "the token was not verified in time", _RETRY))
            elif each.ahead is not None and each.watching is None:
                each.watching = self._loop.create_task(self._watch(each.ahead, task, each))
        if late:
            logger.error("the verifier of tokens has said nothing for %g s: %d requests are refused", PATIENCE, late)
        self._timer = self._loop.call_later(LOOK, self._look) if self._waiting else None

    async def _watch(self, ahead: Ahead, task: "asyncio.Task[Any]", each: _Waiting) -> bool:
        has_gone = await ahead.has_gone()
        if has_gone:
            self._give_up(task, each, None)
        return has_gone

    def _give_up(self, task: "asyncio.Task[Any]", each: _Waiting, why: Refusal | None) -> None:
        """Wait for it no longer; a verifier that goes on regardless is asked once."""
        if not each.is_given_up and self._waiting.get(task) is each:
            each.is_given_up, each.given_up = True, why
            task.cancel()
