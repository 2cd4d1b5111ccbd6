"""`Restart`: how a client opens its connection again when it has ended, and how often.

    Client("server.py", restart=Restart())

Only for what can be reached a second time: a command, a file, a WebSocket, a Unix socket. What waited when the
connection ended raises `ConnectionLost`, for nobody knows whether it was done; what comes meanwhile waits. How a
connection is opened is `client`'s business.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import Struct

from tybalt.errors import ConnectionLost, MisuseError, describe, printable

logger = logging.getLogger("tybalt.client")


LONGEST: Final = 365 * 86_400.0
"""Seconds that any time of a `Restart` may be."""


class Restart(Struct, frozen=True, kw_only=True):
    """After `base` seconds, then about twice as many each time up to `cap`, at most `attempts` times in a row.

    One that has lived for `stable` seconds begins a new row. Raises `MisuseError` for what is no such number.
    """

    attempts: int = 5
    base: float = 0.5
    cap: float = 30.0
    stable: float = 60.0

    def __post_init__(self) -> None:
        if type(self.attempts) is not int or self.attempts < 1:
            raise MisuseError(f"attempts: expected a number from 1 on, got {self.attempts!r}")
        for name in ("base", "cap", "stable"):
            seconds = getattr(self, name)
            number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
            if not number or not 0 <= seconds <= LONGEST:
                raise MisuseError(f"{name}: expected a number of seconds from 0 on, got {seconds!r}")

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row; never the same for all clients of a server."""
        seconds = min(self.base * 2.0 ** min(failures, 64), self.cap)
        return seconds * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, guards nothing)


class Restarting:
    """Opens one connection again, in a task of its own. `give_up` hears why that is over."""

    def __init__(
        self, restart: Restart, reopen: Callable[[], Awaitable[None]], give_up: Callable[[BaseException], None]
    ) -> None:
        self._restart = restart
        self._reopen = reopen
        self._give_up = give_up
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._opened_at = asyncio.get_running_loop().time()

    def begin(self, reason: BaseException) -> None:
        """Open it again; where that is under way, the attempt has failed and knows it."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(str(reason)))

    async def aclose(self) -> None:
        """Stop it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self, reason: str) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() - self._opened_at >= self._restart.stable:
            self._failures = 0
        while self._failures < self._restart.attempts:
            logger.warning("the connection is opened again: %s", printable(reason))
            await asyncio.sleep(self._restart.pause(self._failures))
            self._failures += 1
            try:
                await self._reopen()
            except Exception as error:  # noqa: BLE001 (whoever waits must hear of it, whatever it is)
                reason = describe(error)
                continue
            self._opened_at, self._task = loop.time(), None
            return
        self._give_up(ConnectionLost(f"given up after {self._failures} attempts to open it again: {reason}"))
