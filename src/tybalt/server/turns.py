"""Whose turn it is: so many handlers of one connection wait for something at once; more wait for their turn, in order.

A peer must not decide how much of our memory it takes: beyond a queue as long as that, requests are refused. What is
answered at once, a plain `def` among it, takes no turn, and messages are read whatever runs.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from tybalt.errors import McpError


class Turns:
    """The queue of one connection, of which `limit` handlers may run and as many may wait for their turn."""

    __slots__ = ("_waiting", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._waiting: dict[asyncio.Future[None], None] = {}

    def take(self) -> "asyncio.Future[None]":
        """The place behind all who wait: done when it is its turn. Raises `McpError`, code 503, where none is left."""
        if len(self._waiting) >= self.limit:
            text = f"Overloaded: {self.limit} requests of this connection run and {self.limit} wait for their turn"
            raise McpError(f"{text}. Send it again when some of them are answered", code=503)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = None
        return turn

    def leave(self, turn: "asyncio.Future[None]", _: object = None) -> None:
        """Wait no longer, if that was so."""
        self._waiting.pop(turn, None)

    def pass_on(self, unanswered: int) -> None:
        """Give the turns that are free to those who have waited longest; of all `unanswered` the others run."""
        while self._waiting and unanswered - len(self._waiting) < self.limit:
            turn = next(iter(self._waiting))
            del self._waiting[turn]
            if not turn.done():
                turn.set_result(None)


async def after(turn: "asyncio.Future[None]", doing: Coroutine[Any, Any, Any]) -> Any:
    """Do something when it is its turn."""
    await turn
    return await doing
