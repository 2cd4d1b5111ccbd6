"""Random schedules on virtual time: from one seed a server, its clients, and all that may happen to their requests.

    python -m tests.server.schedules 4711         prints the trace of one, and what is wrong with it

Cancels, deadlines, disconnects, errors, overload and shutdown come at random moments, many of them at the same instant.
Then nothing may be left: see `Schedule.look`. `scheduled_peers` are the clients, `scheduled_tools` the handlers, and
`scheduled_world` is where both leave their trace.
"""

import asyncio
import gc
import hashlib
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextvars import Context
from itertools import count
from typing import Any

from tests.server.scheduled_peers import Direct, Peer, Wired
from tests.server.scheduled_tools import NESTED, PROMPTS, RESOURCES, TOOLS
from tests.server.scheduled_world import World, here
from tybalt import BackendError, ToolError
from tybalt.errors import MisuseError
from tybalt.execution.deadlines import deadlines_of
from tybalt.middleware import RateLimiting, Retry, SingleFlight, Timeout
from tybalt.server.server import Server
from tybalt.testing import Limit, VirtualThreads, run_virtual
from tybalt.testing.virtual_threads import _outside_of_the_loop

REVISIONS = ("2026-07-28", "2026-07-28", "2025-11-25", "2025-11-25", "2025-06-18", "2025-03-26")
NAMES = tuple(TOOLS)
LIMIT = Limit(steps=20_000, seconds=1_000)
QUARTERS = 24
"""Quarters of a second in which everything is begun."""
QUIET = 100.0
"""Virtual seconds after which whatever ends by itself has ended."""


def play(seed: int) -> list[str]:
    """The trace of one schedule. Raises for what must not be, with the trace and the seed in a note."""
    worlds: list[World] = []
    logger = logging.getLogger("tybalt.server")
    handler = _Log(worlds)
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        run_virtual(lambda: _program(seed, worlds), limit=LIMIT)
        if problems := worlds[0].problems:
            raise AssertionError("\n".join(problems))
    except BaseException as error:
        lines = worlds[0].lines if worlds else []
        error.add_note("\n".join([*lines, "", f"That was seed {seed}: python -m tests.server.schedules {seed}"]))
        raise
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
    return worlds[0].lines


def digest(seeds: Iterable[int]) -> str:
    """What the traces of several schedules have in common with the same ones in another process."""
    return hashlib.sha256("\n".join(line for seed in seeds for line in play(seed)).encode()).hexdigest()


class _Log(logging.Handler):
    def __init__(self, worlds: list[World]) -> None:
        super().__init__()
        self._worlds = worlds

    def emit(self, record: logging.LogRecord) -> None:
        self._worlds[0].logged(record)


async def _program(seed: int, worlds: list[World]) -> None:
    world = World(seed, asyncio.get_running_loop())
    worlds.append(world)
    here.set(world)
    schedule = Schedule(world)
    await schedule.play()
    await schedule.look()


class Schedule:
    """A server, its clients, and what happens when."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = random = world.random
        self.flights = SingleFlight()
        self.server = Server(
            "scheduled",
            tools=TOOLS.values(),
            resources=RESOURCES,
            prompts=PROMPTS,
            grace=random.choice((0.0, 0.5, 2.0)),
            request_timeout=random.choice((0, 2.0, 5.0)),
            answer_timeout=random.choice((1.0, 4.0, None)),
            max_running=random.choice((1, 2, 3, 100)),
            max_running_total=random.choice((1, 2, 4, 100)),
            max_rounds=random.choice((2, 10)),
            middleware=self._layers(),
        )
        delays = random.choice(((0.0,), (0.25, 0.5), (0.0, 0.25, 1.0, 3.0)))
        self.server.threads = BusyThreads(random.choice((1, 2, 4)), delay=lambda: random.choice(delays))
        self.server.threads.world = world
        self._numbers = count(1)
        self.peers = [self._peer(number) for number in range(random.choice((1, 1, 2, 3)))]
        self._endings: list[asyncio.Task[None]] = []

    def _layers(self) -> list[Any]:
        if self.world.chance(0.6):
            return []
        clock = asyncio.get_running_loop().time
        retry = Retry(
            2, base=0.25, jitter=False, retry_on=(BackendError, ToolError), repeats=lambda _: True, clock=clock
        )
        every = [self._layer, Timeout(1.5), self.flights, retry, RateLimiting(2.0, 5, clock=clock)]
        layers = self.random.sample(every, self.random.randrange(1, 4))
        self.world.has_timeouts, self.world.has_flights = every[1] in layers, every[2] in layers
        return layers

    def _layer(self, next: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        async def handler(request: Any) -> Any:
            try:
                return await next(request)
            finally:
                self._spawn_late(request.context)

        return handler

    def _spawn_late(self, context: Any) -> None:
        try:
            context.spawn(asyncio.sleep(0))
        except MisuseError:
            return
        if not self.world.has_flights:  # There the handler may go on for others.
            self.world.wrong("a layer has spawned when the handler was over")

    def _peer(self, number: int) -> Peer:
        is_wired = self.world.chance(0.25)
        if is_wired:
            self.world.threads_may_tell = False
        revision = self.random.choice(REVISIONS)
        return (Wired if is_wired else Direct)(self.world, self.server, f"peer{number}", revision)

    # -- what happens -------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """From the first to the last."""
        for peer in self.peers:
            peer.begin()
        now = 0.0
        for moment in sorted(self.random.randrange(QUARTERS) / 4 for _ in range(self.random.randrange(4, 16))):
            await asyncio.sleep(moment - now)
            now = moment
            self._happen()
            self._look_at_turns()
        for peer in self.peers:
            peer.reads(True)
        if self.world.chance(0.5):
            await asyncio.sleep(QUIET)
            for peer in self.peers:
                if not peer.is_ending:
                    peer.settled()
        else:
            await asyncio.sleep(self.world.pause())
        for peer in self.peers:
            if not peer.is_ending or self.world.chance(0.2):
                self._end(peer)
        await asyncio.wait(self._endings)
        for each in self._endings:
            each.result()

    def _happen(self) -> None:
        peer = self.random.choice(self.peers)
        drawn = self.random.randrange(100)
        if peer.is_ending:
            if drawn < 40:
                self._end(peer)
            elif drawn < 70:
                self._cancel(peer)
        elif drawn < 48:
            self._request(peer)
        elif drawn < 56:
            self._burst(peer)
        elif drawn < 80:
            self._cancel(peer)
        elif drawn < 88:
            peer.reads(self.world.chance(0.5))
        elif drawn < 91:
            self._change()
        elif drawn < 95:
            self._end(peer)
        elif drawn < 97:
            self._shut_down()
        else:
            peer.request("tools/list", {})

    def _request(self, peer: Peer) -> None:
        n = next(self._numbers)
        options: dict[str, Any] = {}
        if self.world.chance(0.2):
            options["budget"] = {"deadlineMs": self.random.choice((0, 250, 1_000, 3_000))}
        elif self.world.chance(0.1):
            options["budget"] = {"cost": self.random.choice((0, 1))}
        used = [key for key, (first, *_) in peer.sent.items() if first.method != "initialize"]
        if used and self.world.chance(0.1):
            options["again"] = self.random.choice(used)
        drawn = self.random.randrange(12)
        if drawn == 0:
            peer.request("resources/read", {"uri": f"shelf://{n}"}, **options)
        elif drawn == 1:
            peer.request("prompts/get", {"name": "greeting", "arguments": {"n": str(n)}}, **options)
        else:
            peer.call(self.random.choice(NAMES), n, **options)

    def _burst(self, peer: Peer) -> None:
        """More than there may be room for, and now and then the same."""
        tool = self.random.choice(NAMES)
        same = next(self._numbers) if self.world.chance(0.4) else None
        in_batch = peer.revision == "2025-03-26" and self.world.chance(0.5)
        calls = [
            peer.call(tool, same or next(self._numbers), in_batch=in_batch) for _ in range(self.random.randrange(3, 7))
        ]
        if in_batch:
            peer.deliver(b"[" + b",".join(calls) + b"]")

    def _cancel(self, peer: Peer) -> None:
        known = peer.waiting or list(peer.sent)
        if not peer.is_over:
            peer.cancel(self.random.choice(known) if known and not self.world.chance(0.1) else 999)

    def _change(self) -> None:
        self.world.note("the list of tools changes")
        handle = self.server.handle("tool", self.random.choice(NESTED[:-1]))
        handle.disable()
        handle.enable()

    def _end(self, peer: Peer) -> None:
        self._endings.append(asyncio.create_task(peer.end(self.random.choice(("stop", "drop")))))

    def _shut_down(self) -> None:
        for peer in self.peers:
            self._endings.append(asyncio.create_task(peer.end("stop")))

    # -- what must be -------------------------------------------------------------------------------------------------

    def _look_at_turns(self) -> None:
        """At any moment the turns that are taken are those of somebody."""
        turns = self.server.turns
        lanes = [peer.session.running.lane for peer in self.peers if isinstance(peer, Direct)]
        for lane in lanes:
            if lane.full != lane.is_full or min(lane.running, lane.waiting, lane.asking) < 0:
                self.world.wrong("a lane is wrong:", lane.full, lane.running, lane.waiting, lane.asking, turns.running)
        if len(lanes) == len(self.peers) and turns.running != sum(lane.running for lane in lanes):
            self.world.wrong("turns are lost:", turns.running, [lane.running for lane in lanes])

    async def look(self) -> None:
        """Nothing is left behind, once what did not stop has come to its end by itself."""
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        await asyncio.sleep(0)  # What is done says so in the next turn of the loop.
        if left := len(deadlines_of(asyncio.get_running_loop())):
            self.world.wrong("left behind: deadlines", left)
        await asyncio.sleep(10.0)  # Long enough for functions in threads that nobody waits for any more.
        gc.collect(0)
        for what, left in self._left().items():
            if left:
                self.world.wrong("left behind:", what, left)

    def _left(self) -> dict[str, object]:
        world, turns, threads = self.world, self.server.turns, self.server.threads.statistics()
        left: dict[str, object] = {
            "turns": turns.running,
            "who waits for a turn": turns.waiting,
            "functions in threads": threads.running + threads.queued,
            "flights": self.flights.statistics().in_flight,
            "sessions that watch": [each for each in self.server.catalogue.watching() if each is not self.server],
            "handlers": sum(world.active.values()),
            "dependencies": [each.open for each in world.ledgers if each.open],
            "calls that are not freed": len(world.calls),
        }
        for peer in self.peers:
            if isinstance(peer, Direct):
                session, lane = peer.session, peer.session.running.lane
                left |= {
                    f"calls of {peer.name}": len(session.running.calls),
                    f"turns of {peer.name}": lane.running + lane.waiting + lane.asking,
                    f"a full lane of {peer.name}": lane.full,
                    f"requests in flight of {peer.name}": session.connection.in_flight,
                    f"questions to {peer.name}": [*session._asked, *session.connection._asked],
                }
        return left


class BusyThreads(VirtualThreads):
    """Half of all functions run when their time begins, so that there are threads which a cancel cannot stop.

    What such a one does last, see `World.last_of_thread`, it does at the end of it.
    """

    world: World

    def _start(self, future: "asyncio.Future[Any]", function: Callable[[], Any], context: Context) -> None:
        world = self.world
        ran = _outside_of_the_loop(function, context) if world.chance(0.5) else None
        last = world.last_of_thread()

        def end() -> Any:
            if ran is None:
                try:
                    return context.run(function)
                finally:
                    world.last_of_thread()()
            last()
            result, error = ran
            if error is not None:
                raise error
            return result

        super()._start(future, end, Context())


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        sys.stdout.write("\n".join([*play(int(argument)), ""]))
