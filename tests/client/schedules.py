"""Random schedules of a client on virtual time: from one seed its options, its servers, and all that may happen.

    python -m tests.client.schedules 4711         prints the trace of one, and what is wrong with it

Requests are started, cancelled and timed out, questions asked and withdrawn, connections lost and opened again, the
client closed, at random moments, many of them at the same instant. Every request ends in a right result, in a
`TybaltError`, in what its own user has raised, or in its own cancel, and in time; where the connection is there in the
end it works; and nothing is left, see `Schedule.look`. `scheduled_peer` is the server.
"""

import asyncio
import gc
import hashlib
import logging
import random
import sys
from collections.abc import Coroutine, Iterable
from itertools import count
from typing import Any

from tests.client.scheduled_peer import ScheduledPeer
from tests.server.scheduled_world import CLEANUPS, Broken, World
from tybalt import Client, McpError
from tybalt.client.client import LAST_WORDS
from tybalt.client.link import TransportLink
from tybalt.client.listening import Changes
from tybalt.client.restarting import Restart
from tybalt.client.rounds import LONGEST_PAUSE
from tybalt.errors import TybaltError
from tybalt.execution.deadlines import deadlines_of
from tybalt.testing import Limit, run_virtual

LIMIT = Limit(steps=100_000, seconds=10_000)
QUARTERS = 48
"""Quarters of a second in which everything is begun."""
SETTLE = 100_000.0
"""Virtual seconds for the timer of all deadlines: one of a listener, long gone, is that far away at most."""
QUIET = 100.0
"""Virtual seconds after which whatever ends by itself has ended."""
PAGES = 5
"""Requests that a list takes at most."""
SOON = 1e-6


def play(seed: int) -> list[str]:
    """The trace of one schedule. Raises for what must not be, with the trace and the seed in a note."""
    worlds: list[World] = []
    logger = logging.getLogger("tybalt.client")
    handler, state = _Log(worlds), random.getstate()
    propagates, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    random.seed(seed)  # Where a client draws how long it waits.
    try:
        run_virtual(lambda: _program(seed, worlds), limit=LIMIT, settle=SETTLE)
        if problems := worlds[0].problems:
            raise AssertionError("\n".join(problems))
    except BaseException as error:
        lines = worlds[0].lines if worlds else []
        error.add_note("\n".join([*lines, "", f"That was seed {seed}: python -m tests.client.schedules {seed}"]))
        raise
    finally:
        gc.collect(1)  # Tasks of clients that are gone, in cycles: `asyncio.all_tasks` looks through them all.
        random.setstate(state)
        logger.removeHandler(handler)
        logger.propagate = propagates
    return worlds[0].lines


def digest(seeds: Iterable[int]) -> str:
    """What the traces of several schedules have in common with the same ones in another process."""
    return hashlib.sha256("\n".join(line for seed in seeds for line in play(seed)).encode()).hexdigest()


class _Log(logging.Handler):
    """The client's log: of all exceptions only those of its user may be in it."""

    def __init__(self, worlds: list[World]) -> None:
        super().__init__()
        self._worlds = worlds

    def emit(self, record: logging.LogRecord) -> None:
        world = self._worlds[0]
        world.note("log", record.levelname, record.getMessage())
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, Broken):
            world.wrong("the client itself fails:", repr(error))
            world.problems.append(logging.Formatter().formatException(record.exc_info))  # type: ignore[arg-type]


async def _program(seed: int, worlds: list[World]) -> None:
    world = World(seed, asyncio.get_running_loop())
    worlds.append(world)
    schedule = Schedule(world)
    await schedule.play()
    await schedule.look()


class User:
    """The functions that a client is given, and how long they take."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._loop = asyncio.get_running_loop()
        self._running = 0
        self._since = 0.0
        self._took = 0.0

    @property
    def took(self) -> float:
        """For how many seconds at least one of them was running."""
        return self._took + (self._loop.time() - self._since if self._running else 0)

    async def elicit(self, _: Any) -> Any:
        self._begin()
        try:
            await asyncio.sleep(self._world.pause())
        except asyncio.CancelledError:
            if self._world.chance(0.3):
                await asyncio.sleep(self._world.random.choice(CLEANUPS))
            raise
        finally:
            self._end()
        return self._outcome({})

    def sample(self, _: Any) -> Any:
        return self._outcome("well")

    async def roots(self) -> Any:
        self._begin()
        try:
            await asyncio.sleep(self._world.pause())
        finally:
            self._end()
        return self._outcome([])

    def hears(self, method: str, _: Any) -> None:
        self._world.note("the user hears", method)
        if self._world.chance(0.1):
            raise Broken(method)

    def progressed(self, progress: float, *_: Any) -> None:
        self._world.note("the user sees progress", progress)
        if self._world.chance(0.1):
            raise Broken("progress")

    def _begin(self) -> None:
        if not self._running:
            self._since = self._loop.time()
        self._running += 1

    def _end(self) -> None:
        took = self.took
        self._running -= 1
        if not self._running:
            self._took = took

    def _outcome(self, value: Any) -> Any:
        drawn = self._world.random.randrange(10)
        if drawn == 0:
            raise Broken("the user")
        if drawn == 1:
            raise McpError("the user says no", code=99)
        return None if drawn == 2 and value != [] else value


class Schedule:
    """A client, its servers one after the other, and what happens when."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = draw = world.random
        self.loop = asyncio.get_running_loop()
        self.user = User(world)
        self.peers: list[ScheduledPeer] = []
        self.polite = False
        self.era = draw.choice(("modern", "modern", "legacy"))
        self.timeout: float | None = draw.choice((0.5, 2.0, 5.0, None))
        self.restart = Restart(
            attempts=draw.choice((1, 3, 10)), base=0.25, cap=1.0, stable=draw.choice((0.0, 2.0, 60.0))
        )
        self.rounds = draw.choice((1, 2, 10))
        self.restarts = world.chance(0.7)
        self.client = self._client()
        self.asking: dict[asyncio.Task[Any], str] = {}
        self.cancelled: set[asyncio.Task[Any]] = set()
        self.listening: dict[Changes, int] = {}
        self._numbers = count(1)
        self._stop = asyncio.Event()
        self._using = self.loop.create_task(self._use())
        self._closing: list[asyncio.Task[None]] = []

    def _client(self) -> Client:
        draw, user = self.random, self.user
        client = Client(
            [sys.executable],  # Anything that is not one of a kind; what it is reached by follows below.
            era=draw.choice(("auto", self.era, self.era)),
            timeout=self.timeout,
            probe_timeout=0.5,
            log_level=draw.choice((None, "info")),
            on_notification=draw.choice((None, user.hears)),
            on_elicit=draw.choice((None, user.elicit, user.elicit)),
            on_sample=draw.choice((None, user.sample)),
            roots=draw.choice((None, user.roots)),
            max_rounds=self.rounds,
            restart=self.restart if self.restarts else None,
        )
        client._link = client._requests._link = TransportLink(self._connect, reopens=True)
        return client

    async def _connect(self) -> Any:
        """The next server, now and then another one than before, or none."""
        await asyncio.sleep(0 if self.polite else self.world.pause())
        if not self.polite and self.world.chance(0.1):
            raise OSError("there is no server")
        era = self.era if self.polite or self.world.chance(0.95) else self.random.choice(("modern", "legacy"))
        peer = ScheduledPeer(self.world, f"peer{len(self.peers)}", era)
        self.peers.append(peer)
        self.world.note("connected to", peer.name, era)
        if self.polite:
            peer.be_polite()
        return peer.client_end

    # -- what happens -------------------------------------------------------------------------------------------------

    async def play(self) -> None:
        """From the first to the last."""
        now = 0.0
        for moment in sorted(self.random.randrange(QUARTERS) / 4 for _ in range(self.random.randrange(4, 40))):
            await asyncio.sleep(moment - now)
            now = moment
            self._happen()
        if self.world.chance(0.6):
            await self._settle()
        self._stop.set()
        if self.client._state == "opening":  # Which without a time limit may be for ever.
            self._interrupt(self._using)
        await asyncio.wait([self._using])
        for peer in self.peers:
            peer.reads(True)
        if self.asking:
            await asyncio.wait(self.asking)

    def _happen(self) -> None:
        drawn = self.random.randrange(100)
        peer = self.peers[-1] if self.peers else None
        if drawn < 50:
            for _ in range(self.random.choice((1, 1, 1, 6))):
                self._ask()
        elif drawn < 65:
            self._cancel()
        elif drawn < 66:
            self._close()
        elif drawn < 68:
            self._interrupt(self.random.choice([self._using, *self._closing]))
        elif peer is None:
            pass
        elif drawn < 80:
            peer.reads(self.world.chance(0.6))
        elif drawn < 88:
            peer.ask()
        elif drawn < 94:
            peer.babble() if self.world.chance(0.5) else peer.tell()
        else:
            peer.go()

    def _ask(self) -> None:
        n = next(self._numbers)
        name = self.random.choice(("call", "call", "call_tool", "prompt", "read", "list", "complete", "ping", "listen"))
        self.world.note("the user asks", n, name)
        task = self.loop.create_task(self._asked(name, n))
        self.asking[task] = f"{name} {n}"
        task.add_done_callback(self.asking.pop)

    def _cancel(self) -> None:
        if self.asking:
            task = self.random.choice(list(self.asking))
            self.world.note("the user cancels", self.asking[task])
            self.cancelled.add(task)
            task.cancel()

    def _close(self) -> None:
        """By whoever, beside its user."""
        self.world.note("the client is closed")
        self._closing.append(self.loop.create_task(self._close_in_time()))

    def _interrupt(self, task: "asyncio.Task[None]") -> None:
        """Cancel who uses it or closes it, which he may be about already."""
        self.world.note("the user is interrupted")
        task.cancel()

    async def _close_in_time(self) -> None:
        begun, took = self.loop.time(), self.user.took
        await self.client.aclose()
        took = self.loop.time() - begun - (self.user.took - took)
        if took > LAST_WORDS + SOON:
            self.world.wrong("it took", took, "to close")

    async def _use(self) -> None:
        try:
            async with self.client:
                self.world.note("the client is open in", self.client.revision)
                await self._stop.wait()
        except (TybaltError, OSError) as error:
            self.world.note("the client cannot open:", repr(error))
        except asyncio.CancelledError:
            self.world.note("the user is gone")

    # -- what is asked ------------------------------------------------------------------------------------------------

    async def _asked(self, name: str, n: int) -> None:
        limit = self.random.choice((None, None, 0.5, 1.5))
        begun, took = self.loop.time(), self.user.took
        task = asyncio.current_task()
        try:
            told = await self._asking(name, n, limit)
        except (TybaltError, Broken) as error:
            told = f"{type(error).__name__}: {str(error)[:100]}"
        except asyncio.CancelledError:
            told = "cancelled"
            if task not in self.cancelled:
                self.world.wrong(name, n, "is cancelled by nobody")
        except BaseException as error:  # noqa: BLE001
            told = repr(error)
            self.world.wrong(name, n, "raises", told)
        self.world.note(name, n, "ends with", told)
        longest = self._longest(name, limit)
        took = self.loop.time() - begun - (self.user.took - took)
        if longest is not None and took > longest + SOON:
            self.world.wrong(name, n, "took", took, "and not", longest)

    def _longest(self, name: str, limit: float | None) -> float | None:
        """How long this may take at most, where there is a limit."""
        if name == "listen":
            return None
        each = self.timeout if limit is None or name in ("call", "list", "complete") else limit
        if each is None:
            return None
        if name == "list":
            return PAGES * each
        if name in ("call", "call_tool", "prompt", "read"):
            return each + self.rounds * (each + LONGEST_PAUSE)
        return each

    def _asking(self, name: str, n: int, limit: float | None) -> Coroutine[Any, Any, str]:
        match name:
            case "listen":
                return self._listen(n)
            case "list":
                return self._list()
            case _:
                return self._ask_once(name, n, limit)

    async def _ask_once(self, name: str, n: int, limit: float | None) -> str:
        client, uri = self.client, f"shelf://{n}"
        match name:
            case "call":
                found = await client.call("x", n=n) == {"n": n}
            case "call_tool":
                listener = self.user.progressed if self.world.chance(0.5) else None
                result = await client.call_tool("x", {"n": n}, timeout=limit, on_progress=listener)
                found = result.structured_content == {"n": n}
            case "prompt":
                found = (await client.get_prompt("x", {"n": n}, timeout=limit)).description == str(n)
            case "read":
                found = (await client.read_resource(uri, timeout=limit))[0].uri == uri
            case "complete":
                found = (await client.complete("x", "a", str(n))).values == [str(n)]
            case _:
                await client.ping(timeout=limit)
                found = True
        if not found:
            self.world.wrong(name, n, "has the answer to another")
        return "its result"

    async def _list(self) -> str:
        kind = self.random.choice(("tools", "prompts", "resources"))
        pages = [page async for page in self.client.pages(kind)]
        return f"{len(pages)} pages"

    async def _listen(self, n: int) -> str:
        changes = self.client.listen(tools=True, uris=[f"shelf://{n % 2}"] if self.world.chance(0.5) else [])
        async with changes:
            self.world.note("listen", n, "is open")
            self.listening[changes] = 0
            try:
                await self._follow(n, changes)
            finally:
                del self.listening[changes]
        return "enough"

    async def _follow(self, n: int, changes: Changes) -> None:
        async for change in changes:
            self.world.note("listen", n, "hears of", change)
            self.listening[changes] += 1
            if not self.polite and self.world.chance(0.1):
                break

    # -- what must be -------------------------------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Servers are polite now. After a while whoever asks is answered, and whoever listens is told."""
        self.world.note("all are polite")
        self.polite = True
        for peer in self.peers:
            peer.be_polite()
        await asyncio.sleep(QUIET)
        client = self.client
        if client._state != "open" or client.lost is not None:
            return
        if self.timeout is not None:
            await self._answered()
        heard = dict(self.listening)
        told = self.peers[-1].tell_all()
        await asyncio.sleep(1)
        if told > sum(number > heard.get(changes, 0) for changes, number in self.listening.items()):
            self.world.wrong("of", told, "who listen, some do not hear")

    async def _answered(self) -> None:
        try:
            value = await self.client.call("x", n=0)
        except TybaltError as error:
            self.world.wrong("the client is open, and a call ends with", repr(error), self.client.lost)
        else:
            self.world.note("the last call ends with", value)

    async def look(self) -> None:
        """Nothing is left behind, once what does not stop at once has come to its end by itself."""
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        for each in self._closing:
            if not each.cancelled():
                each.result()
        await asyncio.sleep(0)  # What is done says so in the next turn of the loop.
        client = self.client
        gc.collect(0)
        left: dict[str, Any] = {
            "deadlines": len(deadlines_of(self.loop)),
            "requests": not client._requests.idle,
            "questions": len(client._questions._running),
            "what restores": len(client._restoring),
            "who listens": client._listeners is not None and len(client._listeners._subscriptions),
            "open connections": [peer.name for peer in self.peers if not peer.client_end._closed],
        }
        for what, there in left.items():
            if there:
                self.world.wrong("left behind:", what, there)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        sys.stdout.write("\n".join([*play(int(argument)), ""]))
