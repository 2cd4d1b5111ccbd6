"""The world of one random schedule: what it draws from, what was seen in it, and what should not have been.

Handlers and providers (`scheduled_tools`) tell it what they begin and what they have ended, clients
(`scheduled_peers`) what they say and hear. All that is drawn is drawn from one `Random`, in the order in which things
happen, so that the same seed gives the same trace. It knows no server.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from random import Random
from weakref import WeakSet

from tybalt import BackendError, McpError, ToolError
from tybalt.server.call import Call
from tybalt.testing.virtual_loop import START

PAUSES = (0.0, 0.0, 0.25, 0.25, 0.5, 1.0, 2.5)
"""Virtual seconds. Multiples of a quarter, so that much happens at the same instant."""
CLEANUPS = (0.0, 0.25, 1.0, 4.0, 7.0, 12.0)
"""How long a handler goes on that was cancelled: some are within what such a cleanup may take, some are not."""


class Broken(Exception):
    """What a handler fails with that its author has not declared."""


class World:
    """One schedule."""

    def __init__(self, seed: int, loop: asyncio.AbstractEventLoop) -> None:
        self.random = Random(seed)
        self.lines: list[str] = []
        self.problems: list[str] = []
        self.active: Counter[int] = Counter()
        """How many handlers, and what they have begun beside them, run for each number."""
        self.ledgers: list[Ledger] = []
        self.overdue: set[str] = set()
        """The tools that do not stop, so that an answer came before the end; "" where the log does not say which."""
        self.gave_up: set[int] = set()
        """The numbers of handlers that raised a `CancelledError` of their own."""
        self.calls: WeakSet[Call] = WeakSet()
        """Those that were not answered at once."""
        self.has_timeouts = False
        """Whether a layer sets time limits of its own, which know of no mask."""
        self.has_flights = False
        """Whether a handler may go on for others when its own request is cancelled."""
        self.threads_may_tell = True
        """Whether a thread may say something: one on virtual time that writes to a full transport finds no loop."""
        self.in_the_end: Callable[[], None] | None = None
        self._time = loop.time

    def last_of_thread(self) -> Callable[[], None]:
        """What the function that has just run in a thread wants to do last, which it has put `in_the_end`."""
        last, self.in_the_end = self.in_the_end, None
        return last or (lambda: None)

    def note(self, *words: object) -> None:
        """A line of the trace."""
        self.lines.append(f"{self._time() - START:8.2f} {' '.join(map(str, words))}")

    def wrong(self, *words: object) -> None:
        """The same for what must not be."""
        self.note("WRONG", *words)
        self.problems.append(self.lines[-1])

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def pause(self) -> float:
        return self.random.choice(PAUSES)

    def logged(self, record: logging.LogRecord) -> None:
        """The server's log: of all exceptions only those of handlers may be in it."""
        text = record.getMessage().partition(" (reference")[0].partition("; it is left behind")[0]
        self.note("log", record.levelname, text)
        if "does not stop" in text:
            self.overdue.add(text.split("'")[1] if "'" in text else "")
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and record.exc_info is not None and not _is_expected(error):
            self.wrong("the server itself fails:", repr(error))
            self.problems.append(logging.Formatter().formatException(record.exc_info))


here: ContextVar[World] = ContextVar("tybalt_test_world")


def _is_expected(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):  # One that holds several is masked, whatever they are.
        return all(isinstance(each, McpError) or _is_expected(each) for each in error.exceptions)
    if isinstance(error, RuntimeError):  # What must not leave a task, or a thread, has left it as this.
        mistakes = ("wanted to end the process", "cannot be passed on", "calls tool 'no such tool': Unknown tool")
        return any(each in str(error) for each in mistakes)
    return isinstance(error, Broken | BackendError | SystemExit)


class Ledger:
    """What one handler has opened; the last must be closed first."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.open: list[str] = []
        self._opened: Counter[str] = Counter()
        world.ledgers.append(self)

    def begin(self, name: str) -> None:
        self.world.note("opens", name)
        self.open.append(name)
        self._opened[name] += 1
        if self._opened[name] > 1:
            self.world.wrong(name, "is opened twice")

    def end(self, name: str) -> None:
        self.world.note("closes", name)
        if not self.open or self.open.pop() != name:
            self.world.wrong(name, "is closed out of turn", self.open)

    def use(self, *names: str) -> None:
        """For who depends on them."""
        for name in names:
            if name not in self.open:
                self.world.wrong(name, "is used after it was closed")

    def fail(self) -> None:
        """Now and then."""
        drawn = self.world.random.randrange(40)
        if drawn < 4:
            raise Broken("provider") if drawn else SystemExit("provider")

    async def trouble(self) -> None:
        """Wait or fail, now and then."""
        if self.world.chance(0.4):
            await asyncio.sleep(self.world.pause())
        self.fail()


@contextmanager
def acting(n: int, name: str) -> Iterator[World]:
    """A handler, or what it has spawned, from its beginning to its end."""
    world = here.get()
    world.note(name, n, "begins")
    world.active[n] += 1
    try:
        yield world
    except BaseException as error:
        world.note(name, n, "ends with", type(error).__name__)
        raise
    else:
        world.note(name, n, "ends")
    finally:
        world.active[n] -= 1


async def pauses(world: World, used: Ledger | None = None, *names: str) -> None:
    """Wait now and then, and use what was opened."""
    for _ in range(world.random.randrange(4)):
        await asyncio.sleep(world.pause())
        if used is not None:
            used.use(*names)


def outcome(world: World, n: int, *, may_exit: bool = True) -> int:
    """What becomes of a handler that gets as far as its end."""
    drawn = world.random.randrange(40)
    if drawn == 0:
        raise ToolError("declared")
    if drawn == 1:
        raise Broken(n)
    if drawn == 2:
        raise ExceptionGroup("both", [Broken(n), Broken(n)])
    if drawn == 3:
        world.gave_up.add(n)
        raise asyncio.CancelledError
    if drawn == 4 and may_exit:
        raise SystemExit(n)
    return n
