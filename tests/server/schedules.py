"""Random schedules on virtual time: from one seed a server, its clients, and all that may happen to their requests.

`play(seed)` is the trace of one, after a look at what it has left; it raises `AssertionError` with the seed for whatever
must not be.
"""

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any

from tests.server.scheduled_peers import Direct, Peer, Wired
from tests.server.scheduled_tools import NESTED, OTHERS, PAUSES, PROMPTS, TOOLS, World, here
from tybalt.execution.deadlines import deadlines_of
from tybalt.middleware import SingleFlight, Timeout
from tybalt.server.server import Server
from tybalt.testing import Limit, VirtualThreads, run_virtual

REVISIONS = ("2026-07-28", "2026-07-28", "2025-11-25", "2025-11-25", "2025-03-26")
LIMIT = Limit(steps=20_000, seconds=5_000)
SPAN = 24
"""Quarters of a second in which everything is begun."""
QUIET = 100.0
"""Virtual seconds after which whatever can end by itself has ended."""


def play(seed: int) -> list[str]:
    """The trace of one schedule. Raises `AssertionError` for what must not be."""
    seen: list[World] = []
    try:
        run_virtual(lambda: _program(seed, seen), limit=LIMIT)
        problems = seen[0].problems
    except BaseException as error:
        error.add_note(_told(seed, seen))
        raise
    if problems:
        raise AssertionError("\n".join([*problems, _told(seed, seen)]))
    return seen[0].lines


def _told(seed: int, seen: list[World]) -> str:
    trace = "\n".join(seen[0].lines) if seen else ""
    return f"{trace}\n\nThis is the schedule of seed {seed}. Alone: python -m tests.server.schedules {seed}"


async def _program(seed: int, seen: list[World]) -> None:
    loop = asyncio.get_running_loop()
    world = World(seed, loop)
    seen.append(world)
    here.set(world)
    with _log_to(world):
        schedule = Schedule(world)
        await schedule.play()
        await schedule.look()


class _Log(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._logger = logging.getLogger("tybalt.server")

    def handle(self, record: logging.LogRecord) -> bool:
        self._world.logged(record)
        return True

    def __enter__(self) -> None:
        self._logger.addHandler(self)
        self._logger.propagate = False

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = True


_log_to = _Log


class Schedule:
    """A server, its clients, and what happens when."""

    def __init__(self, world: World) -> None:
        self.world = world
        random = world.random
        layers = [] if random.random() < 0.7 else random.sample([_layer, Timeout(1.5), SingleFlight()], 2)
        self.server = Server(
            "scheduled",
            tools=TOOLS.values(),
            resources=OTHERS,
            prompts=PROMPTS,
            grace=random.choice((0.0, 0.5, 2.0)),
            request_timeout=random.choice((0, 2.0, 5.0)),
            answer_timeout=random.choice((1.0, 4.0, None)),
            max_running=random.choice((1, 2, 3, 100)),
            max_running_total=random.choice((1, 2, 4, 100)),
            max_rounds=random.choice((2, 10)),
            middleware=layers,
        )
        delays = random.choice(((0.0,), (0.25, 0.5), (0.0, 0.25, 1.0, 3.0)))
        self.server.threads = VirtualThreads(random.choice((1, 2, 4)), delay=lambda: random.choice(delays))
        self._n = count(1)
        self.peers = [self._peer(number) for number in range(random.choice((1, 1, 1, 2, 3)))]
        self._endings: list[asyncio.Task[None]] = []

    def _peer(self, number: int) -> Peer:
        kind = Wired if self.world.chance(0.25) else Direct
        return kind(self.world, self.server, f"peer{number}", self.world.random.choice(REVISIONS))

    # -- what happens -------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        for peer in self.peers:
            peer.open_()
        random = self.world.random
        moments = sorted(random.randrange(SPAN) / 4 for _ in range(random.randrange(4, 16)))
        now = 0.0
        for moment in moments:
            await asyncio.sleep(moment - now)
            now = moment
            self._happen()
            self._look_at_turns()
        for peer in self.peers:
            peer.reads(True)
        await asyncio.sleep(QUIET if random.random() < 0.5 else random.choice(PAUSES))
        for peer in self.peers:
            if not peer.is_ending:
                self._end(peer)
        await asyncio.wait(self._endings)
        for each in self._endings:
            each.result()

    def _happen(self) -> None:
        """One thing, whatever it is."""
        peer = self.world.random.choice(self.peers)
        drawn = self.world.random.randrange(100)
        if peer.is_ending:
            if drawn < 30:
                peer.hurry.set() if isinstance(peer, Direct) else None
            return
        if drawn < 50:
            self._request(peer)
        elif drawn < 58:
            self._burst(peer)
        elif drawn < 80:
            self._cancel(peer)
        elif drawn < 86:
            peer.reads(self.world.chance(0.5))
        elif drawn < 90:
            self._change()
        elif drawn < 96:
            self._end(peer)
        else:
            peer.request("tools/list", {})

    def _request(self, peer: Peer) -> None:
        random = self.world.random
        n = next(self._n)
        options = self._options(peer)
        drawn = random.randrange(12)
        if drawn == 0:
            peer.request("resources/read", {"uri": f"shelf://{n}"}, **options)
        elif drawn == 1:
            peer.request("prompts/get", {"name": "greeting", "arguments": {"n": str(n)}}, **options)
        else:
            peer.call(random.choice(list(TOOLS)), n, **options)

    def _options(self, peer: Peer) -> dict[str, Any]:
        random = self.world.random
        options: dict[str, Any] = {}
        if random.random() < 0.2:
            budget = {"deadlineMs": random.choice((0, 250, 1_000, 3_000))}
            if random.random() < 0.3:
                budget = {"cost": random.choice((0, 1))}
            options["meta"] = {"dev.tybalt/budget": budget}
        if random.random() < 0.1 and peer.sent:
            options["again"] = random.choice(
                [id for id in peer.sent if peer.sent[id][0].method != "initialize"] or [1_000]
            )
        return options

    def _burst(self, peer: Peer) -> None:
        random = self.world.random
        tool = random.choice(list(TOOLS))
        same = next(self._n) if random.random() < 0.3 else None
        many = random.randrange(3, 7)
        if peer.revision == "2025-03-26" and random.random() < 0.5:
            calls = [peer.call(tool, same or next(self._n), batched=True) for _ in range(many)]
            peer.deliver(b"[" + b",".join(calls) + b"]")
            return
        for _ in range(many):
            peer.call(tool, same or next(self._n))

    def _cancel(self, peer: Peer) -> None:
        known = peer.waiting or list(peer.sent)
        peer.cancel(self.world.random.choice(known) if known and not self.world.chance(0.1) else 999)

    def _change(self) -> None:
        """A list changes."""
        handle = self.server.handle("tool", self.world.random.choice(NESTED[:4]))
        self.world.note("the list of tools changes")
        handle.disable()
        handle.enable()

    def _end(self, peer: Peer) -> None:
        self._endings.append(asyncio.create_task(peer.end(self.world.random.choice(("stop", "drop")))))

    # -- what must be -------------------------------------------------------------------------------------------------

    def _look_at_turns(self) -> None:
        turns = self.server.turns
        lanes = [peer.session.running.lane for peer in self.peers if isinstance(peer, Direct)]
        for lane in lanes:
            if lane.full != lane.is_full:
                self.world.wrong("a lane says it is full:", lane.full, lane.running, turns.running)
            if min(lane.running, lane.waiting, lane.asking) < 0:
                self.world.wrong("a lane has", lane.running, lane.waiting, lane.asking)
        if len(lanes) == len(self.peers) and turns.running != sum(lane.running for lane in lanes):
            self.world.wrong("turns are lost:", turns.running, [lane.running for lane in lanes])

    async def look(self) -> None:
        """What a schedule leaves behind: nothing. Tasks that were left behind come to their own ends first."""
        world = self.world
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        while (threads := self.server.threads.statistics()).running:  # What nobody waits for any more.
            await asyncio.sleep(0.25)
        await asyncio.sleep(0.25)  # What is done tells so in the next turn of the loop.
        turns = self.server.turns
        left: dict[str, Any] = {
            "turns": turns.running,
            "turns waited for": turns.waiting,
            "threads": threads.running + threads.queued,
            "deadlines": len(deadlines_of(asyncio.get_running_loop())),
            "sessions that watch": len([each for each in self.server.catalogue.watching() if each is not self.server]),
            "handlers": sum(world.active.values()),
            "dependencies": [each.open for each in world.ledgers if each.open],
        }
        for peer in self.peers:
            if isinstance(peer, Direct):
                session, lane = peer.session, peer.session.running.lane
                left |= {
                    f"{peer.name} calls": len(session.running.calls),
                    f"{peer.name} lane": lane.running + lane.waiting + lane.asking,
                    f"{peer.name} full": lane.full,
                    f"{peer.name} in flight": session.connection.in_flight,
                    f"{peer.name} asked": len(session._asked) + len(session.connection._asked),
                }
        for what, how_many in left.items():
            if how_many:
                world.wrong("left behind:", what, how_many)
        gc.collect(0)
        if world.calls:
            world.wrong("left behind:", len(world.calls), "calls that are not freed")


def _layer(next: Callable[[Any], Awaitable[Any]]) -> Any:
    async def handler(request: Any) -> Any:
        return await next(request)

    return handler


if __name__ == "__main__":
    import sys

    for argument in sys.argv[1:]:
        print("\n".join(play(int(argument))))  # noqa: T201
