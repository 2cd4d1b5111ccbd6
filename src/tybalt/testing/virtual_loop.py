"""An event loop of asyncio on virtual time.

Nothing waits: when nothing is ready, the clock jumps to the next timer. There is no input or output, no pipe and no
selector, so a loop costs microseconds. The same program runs its callbacks in the same order every time. `virtual_run`,
above, runs a whole program on one; `virtual_threads` stands in for threads.

This stands on the inside of asyncio, as it is in Python 3.11 to 3.13: `BaseEventLoop._run_once` calls
`self._selector.select(timeout)` once per turn, with 0 while something is ready, the time to the first timer of the heap
`_scheduled`, or None; then `_process_events`; then runs what is due within `_clock_resolution`. `_write_to_self` is how
other threads wake it. tests/testing/test_virtual_loop.py holds asyncio to that.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import Context
from math import inf, ulp
from threading import Event
from types import AsyncGeneratorType
from typing import Any, Final, NoReturn, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

from msgspec import Struct

from tybalt.errors import MisuseError
from tybalt.testing.waiting import waiting

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

START: Final = 1_000.0
"""What `VirtualLoop.time()` says at first: not 0, which would hide a mistake between "no time" and "time 0"."""
CLEANUP_STEPS: Final = 10_000
"""How many turns a program may take to come to its end, after it has reached its limit or was done."""
CLEANUP_SECONDS: Final = 3_600.0
"""How many virtual seconds it may take for that."""


class VirtualLoopError(AssertionError):
    """A program on a virtual loop did not come to a clean end. It is raised around the program, not in it."""


class Deadlock(VirtualLoopError):
    """Nothing is ready and no timer is set; the text lists the tasks and where each waits."""


class Runaway(VirtualLoopError):
    """A program took more turns of the loop, or more virtual time, than its limit."""


class Limit(Struct, frozen=True, kw_only=True):
    """How far a program may go: turns of the loop, virtual seconds, and real seconds of one wait for a real thread."""

    steps: int = 100_000
    seconds: float = 86_400.0
    patience: float = 10.0


DEFAULT_LIMIT: Final = Limit()


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose time is a number; also for `asyncio.Runner(loop_factory=VirtualLoop)`.

    `time` is the clock to give to whatever takes one. Timers of the same instant run in an order that is the same
    each time, but not always that of their making. Tasks and futures that the loop makes have hashes that count them,
    so that sets of them have an order too; those made by `asyncio.Task(…)` itself do not. Where real threads take
    part, their order is theirs. Sockets, pipes, signals and processes raise `MisuseError`.
    """

    # What asyncio keeps and does not publish.
    _scheduled: list[asyncio.TimerHandle]
    _asyncgens: "WeakSet[AsyncGeneratorType[Any, Any]]"
    _clock_resolution: float

    def __init__(self, *, limit: Limit = DEFAULT_LIMIT) -> None:
        super().__init__()
        self._now = START
        self._steps = 0
        self._limit = limit
        self._last_step = limit.steps
        self._last_second = START + limit.seconds
        self._made = 0
        self._expected = 0
        self._woken = Event()

    def time(self) -> float:
        """Virtual seconds; it starts at `START`."""
        return self._now

    @property
    def steps(self) -> int:
        """How many turns the loop has made."""
        return self._steps

    @property
    def timers(self) -> list[asyncio.TimerHandle]:
        """The timers that are set and not cancelled, the next one first."""
        return sorted((timer for timer in self._scheduled if not timer.cancelled()), key=asyncio.TimerHandle.when)

    @property
    def open_generators(self) -> "list[AsyncGeneratorType[Any, Any]]":
        """The async generators that were begun and are neither exhausted nor closed, in no order."""
        return [generator for generator in self._asyncgens if generator.ag_frame is not None]

    @contextmanager
    def expecting_threads(self) -> Generator[None]:
        """While in this block real threads may call `call_soon_threadsafe`: wait for them, and let no time pass.

        Without it, a loop that has nothing to do takes the program to be deadlocked, or jumps to the next timer.
        `run_in_executor` and `asyncio.to_thread` say so by themselves.
        """
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1

    def grant(self, steps: int, seconds: float) -> None:
        """Let the program go on for so many turns and virtual seconds from now, whatever was left of its limit."""
        self._last_step = self._steps + steps
        self._last_second = self._now + seconds

    # -- what asyncio calls ------------------------------------------------------------------------------------------

    def create_future(self) -> "asyncio.Future[Any]":
        """A future whose hash is its number."""
        self._made += 1
        return VirtualFuture(self._made, self)

    def create_task(
        self,
        coro: "Coroutine[Any, Any, T] | Generator[Any, None, T]",
        *,
        name: object = None,
        context: Context | None = None,
        **options: Any,
    ) -> "asyncio.Task[T]":
        """A task whose hash and default name are its number on this loop, unless a task factory was set."""
        if self.get_task_factory() is not None:
            return super().create_task(coro, name=name, context=context, **options)
        self._made += 1
        name = f"Task-{self._made}" if name is None else str(name)
        return VirtualTask(self._made, coro, loop=self, name=name, context=context, **options)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> "asyncio.Future[T]":
        """Run it in a real thread, for which the loop waits. It takes no virtual time."""
        future = super().run_in_executor(executor, func, *args)
        self._expected += 1
        future.add_done_callback(self._heard)
        return future

    async def shutdown_default_executor(self, *timeout: Any) -> None:
        """See asyncio: it is a real thread that shuts it down."""
        with self.expecting_threads():
            await super().shutdown_default_executor(*timeout)

    def select(self, timeout: float | None) -> tuple[()]:
        """One turn: instead of waiting for `timeout` seconds, let so much time have passed. For asyncio alone."""
        if self._steps >= self._last_step:
            raise self._ran_away(f"it goes on beyond Limit(steps={self._limit.steps})")
        self._steps += 1
        if timeout != 0:
            if self._expected:
                self._wait_for_threads()
            else:
                self._jump()
        return ()

    @property
    def _selector(self) -> "VirtualLoop":
        # A property and no attribute, so that a loop is no reference cycle.
        return self

    def _process_events(self, _events: tuple[()]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        self._woken.set()

    def _refuse(self, *_arguments: Any, **_options: Any) -> NoReturn:
        raise MisuseError(
            "a virtual loop has no sockets, pipes, signals or processes: they take real time. "
            "Join the two sides in memory, or test this part on a real loop"
        )

    # Each as `Any`, because nobody is to call it.
    add_reader: Any = _refuse
    add_writer: Any = _refuse
    add_signal_handler: Any = _refuse
    create_connection: Any = _refuse
    create_server: Any = _refuse
    create_datagram_endpoint: Any = _refuse
    create_unix_connection: Any = _refuse
    create_unix_server: Any = _refuse
    connect_read_pipe: Any = _refuse
    connect_write_pipe: Any = _refuse
    subprocess_exec: Any = _refuse
    subprocess_shell: Any = _refuse

    # -- the clock ---------------------------------------------------------------------------------------------------

    def _jump(self) -> None:
        # The first of the heap is live: asyncio has taken off the cancelled ones before.
        when = self._scheduled[0].when() if self._scheduled else inf
        if when == inf:
            raise Deadlock(self._stuck("nothing is ready to run and no timer is set", _DEADLOCK_HINT))
        if when > self._last_second:
            text = f"the next timer is set for {when - START:g} virtual seconds after the start"
            raise self._ran_away(f"{text}, beyond Limit(seconds={self._limit.seconds:g})")
        self._now = when
        # As little as makes a timer of this very instant due: a fixed value vanishes beside a large one.
        self._clock_resolution = ulp(when)

    def _wait_for_threads(self) -> None:
        if not self._woken.wait(self._limit.patience):
            happened = f"no real thread has called back within Limit(patience={self._limit.patience:g})"
            raise Deadlock(self._stuck(happened, _THREADS_HINT))
        self._woken.clear()

    def _heard(self, _future: "asyncio.Future[Any]") -> None:
        self._expected -= 1

    def _ran_away(self, happened: str) -> Runaway:
        error = Runaway(self._stuck(happened, _RUNAWAY_HINT))
        self.grant(CLEANUP_STEPS, CLEANUP_SECONDS)
        return error

    def _stuck(self, happened: str, hint: str) -> str:
        tasks = asyncio.all_tasks(self)
        when = f"after {counted(self._steps, 'step')} and {self._now - START:g} virtual seconds"
        return f"{happened}, {when}.\n{counted(len(tasks), 'task')} not done:\n{waiting(tasks)}\n{hint}"


_DEADLOCK_HINT: Final = """\
Something has to set, cancel or time out what they wait for. If a real thread was to do it, wait inside of
`with loop.expecting_threads():`, or run it by `VirtualThreads`."""
_THREADS_HINT: Final = """\
Look for a thread that waits for the loop or for the clock, which stands still in `expecting_threads()`."""
_RUNAWAY_HINT: Final = """\
Look for a loop that never ends, or for a timer that sets itself again; a longer program needs a higher limit."""


class VirtualFuture(asyncio.Future[Any]):
    """Hashed by number: the order of a set would depend on addresses in memory."""

    def __init__(self, number: int, loop: VirtualLoop) -> None:
        self._number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class VirtualTask(asyncio.Task[T]):
    """The same for a task. `asyncio` puts it into a set while it is being made, so it is numbered first."""

    def __init__(self, number: int, coro: "Coroutine[Any, Any, T] | Generator[Any, None, T]", **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


def counted(number: int, what: str) -> str:
    """`1 task`, `2 tasks`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
