"""Whose turn it is: so many handlers of a server, and of each of its connections, run at once; more wait, in order.

A peer must not decide how much of our memory it takes: beyond a queue as long as that, requests are refused. What is
answered at once takes no turn, messages are read whatever runs, and a handler that waits for its client gives its turn
back for as long, so that handlers that all wait for clients keep nobody from being served.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any
from weakref import WeakSet

from tybalt.errors import Overloaded


class Turns:
    """The turns of one server: `limit` handlers of all its connections run at once, as many may wait.

    `running` is how many do. Belongs to one event loop.
    """

    __slots__ = ("_lanes", "_waiting", "limit", "running")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self._waiting: dict[asyncio.Future[None], Lane] = {}
        self._lanes: WeakSet[Lane] = WeakSet()

    def lane(self, limit: int) -> "Lane":
        """The turns of one connection, of which `limit` handlers may run and as many may wait."""
        lane = Lane(self, limit)
        self._lanes.add(lane)
        return lane

    @property
    def waiting(self) -> int:
        """How many wait for their turn."""
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether one more may run."""
        return self.running < self.limit

    def queue(self, lane: "Lane") -> "asyncio.Future[None]":
        """A place behind all who wait, see `Lane.take`."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = lane
        return turn

    def forget(self, turn: "asyncio.Future[None]") -> bool:
        """Take one out who waits; False where it did not."""
        return self._waiting.pop(turn, None) is not None

    def mark(self) -> None:
        """Tell every lane whether it is full, after the server became so, or is so no more."""
        for lane in self._lanes:
            lane.full = lane.is_full

    def pass_on(self) -> None:
        """Give the turns that are free to those who have waited longest and whose connection has one."""
        for turn, lane in tuple(self._waiting.items()):
            if not self.has_room:
                return
            if lane.running < lane.limit:
                lane.grant(turn)


class Lane:
    """The turns of one connection; `full` says that the next handler has to wait for its turn."""

    __slots__ = ("__weakref__", "asking", "full", "limit", "running", "turns", "waiting")

    def __init__(self, turns: Turns, limit: int) -> None:
        self.turns = turns
        self.limit = limit
        self.running = 0
        self.waiting = 0
        self.asking = 0
        """How many have given their turn back because they wait for the client."""
        self.full = self.is_full

    @property
    def is_full(self) -> bool:
        """What `full` should be."""
        return self.running >= self.limit or not self.turns.has_room

    def enter(self) -> None:
        """One more runs, whether or not there is room: whoever calls has looked."""
        turns = self.turns
        self.running += 1
        turns.running += 1
        if self.running >= self.limit:
            self.full = True
        if turns.running == turns.limit:
            turns.mark()

    def leave(self) -> None:
        """One has ended; whoever waits may run."""
        turns = self.turns
        self.running -= 1
        turns.running -= 1
        if self.full:
            turns.pass_on()
            self.full = self.is_full
            if turns.running == turns.limit - 1:
                turns.mark()

    def take(self) -> "asyncio.Future[None]":
        """The place behind all who wait: done when it is its turn, which is entered then.

        Raises `Overloaded` where none is left.
        """
        for waiting, limit, whose in (
            (self.waiting, self.limit, "this connection"),
            (self.turns.waiting, self.turns.limit, "this server"),
        ):
            if waiting >= limit:
                text = f"Overloaded: {limit} requests of {whose} run and {limit} wait for their turn"
                raise Overloaded(f"{text}. Send it again when some of them are answered")
        self.waiting += 1
        return self.turns.queue(self)

    def grant(self, turn: "asyncio.Future[None]") -> None:
        """It is its turn now."""
        self.give_up(turn)
        if not turn.done():  # Else it was cancelled a moment ago.
            self.enter()
            turn.set_result(None)

    def give_up(self, turn: "asyncio.Future[None]", _: object = None) -> None:
        """Wait no longer, if that was so."""
        if self.turns.forget(turn):
            self.waiting -= 1

    def begin_asking(self) -> None:
        """Give the turn back while the client is asked. Raises `Overloaded` where too many wait for it already."""
        if self.asking >= self.limit:
            text = f"Overloaded: {self.limit} requests of this connection wait for answers from their client"
            raise Overloaded(f"{text}. Answer some of them first")
        self.asking += 1
        self.leave()

    def forget_asking(self) -> None:
        """One is over that had given its turn back."""
        self.asking -= 1

    def end_asking(self) -> None:
        """Run again at once: waiting for a turn here could wait for a client that waits for us."""
        self.asking -= 1
        self.enter()


async def after(turn: "asyncio.Future[None]", doing: Coroutine[Any, Any, Any]) -> Any:
    """Do something when it is its turn."""
    await turn
    return await doing
