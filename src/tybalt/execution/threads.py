"""Threads in which plain functions run while the event loop goes on: a bounded pool, for asyncio.

    rows = await threads.run(lambda: database.read(query))

Not a `ThreadPoolExecutor`: its threads are joined when the interpreter ends, so one function that hangs keeps the
process; a thread of it that waits cannot lend its place to another; and it wakes the loop once for every result. Here
threads are daemons, a place is lent with `lent()`, and one wake-up delivers all the results there are.

Below are asyncio and threads. Whoever runs a handler is above, decides with `placement.py` what runs here, and bounds
how much of it waits.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context, copy_context
from itertools import count
from threading import Lock, RLock, Thread, local
from typing import Any, Final, TypeVar
from weakref import ref

from msgspec import Struct

from tybalt.errors import MisuseError

IDLE_SECONDS: Final = 10.0
"""How long a thread that has nothing to do waits for more, before it ends."""
SLACK: Final = 64
"""Up to so many cancelled functions stay in the queue whatever happens; more only while they are at most half of it."""

T = TypeVar("T")

_here = local()


class ThreadStatistics(Struct, frozen=True):
    """What a pool is doing: its `limit`, and how many threads and functions are where.

    `running` threads have a place, `lent` ones wait with their place given away, `idle` ones wait for work; `queued`
    functions have not begun. Where lent places were taken back, `running` exceeds `limit` for a while.
    """

    limit: int
    running: int
    idle: int
    queued: int
    lent: int


class Threads:
    """A pool of at most `limit` threads that run functions, and of more where some have lent their place.

    Threads start when they are needed, are used again, and end after `IDLE_SECONDS` without work. They do not keep the
    interpreter from ending. One pool serves any number of event loops, one after the other or at once, from any thread.

    The queue is not bounded here: whoever calls `run` bounds how many calls wait at once (a server by the turns it
    gives), and with it how many places can be lent. A forked child needs a pool of its own. Raises `MisuseError` for a
    limit below 1.
    """

    def __init__(self, limit: int = 40, *, name: str = "tybalt") -> None:
        if type(limit) is not int or limit < 1:
            raise MisuseError(f"a pool has a limit of 1 thread or more, as an integer; got {limit!r}")
        self._limit = limit
        self._name = name
        self._numbers = count(1)
        # What is below is written under the lock, which is never held while something is waited for. Reentrant, because
        # a finalizer may run anywhere, and may come here.
        self._lock = RLock()
        self._queue: deque[_Job] = deque()
        self._full = SLACK
        self._idle: list[_Worker] = []
        self._called = False
        self._running = 0
        self._lent = 0
        self._closed = False
        self._deliveries: _Deliveries | None = None

    def run(self, function: Callable[[], T]) -> "asyncio.Future[T]":
        """Run a function in a thread, in a copy of this context: the future of what it returns or raises.

        Cancelled before it started, the function never runs; so too where the loop is closed by then. Cancelled
        later, it runs on, keeps its place until it returns, and what it returns or raises is dropped.

        The future raises whatever the function raises, `SystemExit`, `KeyboardInterrupt` and `Interrupted` included.
        What would mean something else to who awaits it becomes the cause of a `RuntimeError`: `StopIteration`, which
        no future can hold, `CancelledError`, as if the caller were cancelled, and `GeneratorExit`, which would close
        its coroutines. Where the system has no thread to give, its `RuntimeError` is raised.
        Raises `MisuseError` where no event loop is running.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise MisuseError("Threads.run was called where no event loop is running: call it in a coroutine") from None
        deliveries = self._deliveries
        if deliveries is None or deliveries.loop() is not loop:
            deliveries = self._deliveries = _Deliveries(loop)
        future: asyncio.Future[T] = loop.create_future()
        job = (future, function, copy_context(), deliveries)
        with self._lock:
            self._closed = False
            self._queue.append(job)
            if len(self._queue) > self._full:
                self._forget_cancelled()
            worker = self._call_up()
        if worker is not None:
            self._wake(worker)
        return future

    @contextmanager
    def lent(self) -> Generator[None]:
        """Lend the place of this thread to another while inside the block: for a function that is to block on the loop.

        So threads that all wait for something that needs a thread itself cannot wait for ever. At the end of the
        block this thread goes on at once, so that for a while more than `limit` may run. Nested blocks are one; in a
        thread that is not of this pool it does nothing.
        """
        worker = _worker()
        if worker is None or worker.pool is not self or worker.lent:
            yield
            return
        worker.lent = True
        self._lend()
        try:
            yield
        finally:
            worker.lent = False
            with self._lock:
                self._lent -= 1
                self._running += 1

    def statistics(self) -> ThreadStatistics:
        """What it is doing right now."""
        with self._lock:
            idle = len(self._idle) + self._called
            queued = sum(not job[0].done() for job in self._queue)
            return ThreadStatistics(self._limit, self._running, idle, queued, self._lent)

    def close(self) -> None:
        """Let idle threads end now and the others when they have nothing more to run; waits for none of them.

        What was queued still runs. A later `run` opens the pool again. Idempotent.
        """
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.dismissed = True
            worker.gate.release()

    # One thread at a time is called up, and calls the next before it begins. So many short functions at once are run by
    # few threads, without waking one for each, and long ones by as many as there may be. The rule that holds whenever
    # the lock is free: where something is queued and a place is free, somebody is called.

    def _call_up(self) -> "_Worker | None":
        """Who is to come for what is queued, or `None` where nobody is to; with the lock held."""
        if self._called or not self._queue or self._running >= self._limit:
            return None
        self._called = True
        return self._idle.pop() if self._idle else _Worker(self)

    def _wake(self, worker: "_Worker") -> None:
        """Let come who was called up; without the lock."""
        worker.gate.release()
        if worker.started:
            return
        worker.started = True
        try:
            Thread(target=self._live, args=(worker,), name=f"{self._name} {next(self._numbers)}", daemon=True).start()
        except RuntimeError as error:
            self._refuse(error)

    def _refuse(self, error: RuntimeError) -> None:
        """No thread is to be had: leave what is queued to those that run, or fail it where none does."""
        with self._lock:
            self._called = False
            refused = [] if self._running else list(self._queue)
            if refused:
                self._queue.clear()
        for future, _, _, deliveries in refused:
            deliveries.put(future, None, error)

    def _forget_cancelled(self) -> None:
        self._queue = deque(job for job in self._queue if not job[0].done())
        self._full = 2 * len(self._queue) + SLACK

    def _lend(self) -> None:
        with self._lock:
            self._lent += 1
            self._running -= 1
            worker = self._call_up()
        if worker is not None:
            self._wake(worker)

    # -- in the threads -----------------------------------------------------------------------------------------------

    def _live(self, worker: "_Worker") -> None:
        _here.worker = worker
        while self._wait(worker):
            self._perform(self._begin(worker), worker)

    def _wait(self, worker: "_Worker") -> bool:
        """Whether a thread without work is called up; if not, it is to end."""
        if not worker.gate.acquire(timeout=IDLE_SECONDS):
            with self._lock:
                if worker in self._idle:
                    self._idle.remove(worker)
                    return False
            worker.gate.acquire()  # It has just been chosen, and is told in a moment what for.
        return not worker.dismissed

    def _begin(self, worker: "_Worker") -> "_Job | None":
        """What the thread that was called up is to run, if others have left something."""
        with self._lock:
            self._called = False
            if not self._queue or self._running >= self._limit:
                self._rest(worker)
                return None
            self._running += 1
            job = self._queue.popleft()
            following = self._call_up()
        if following is not None:
            self._wake(following)
        return job

    def _perform(self, job: "_Job | None", worker: "_Worker") -> None:
        """Run a function, and what is next in the same place, until there is nothing and the thread has no place."""
        while job is not None:
            future, function, context, deliveries = job
            wanted = not (future.done() or future.get_loop().is_closed())
            result, error = _attempt(function, context) if wanted else (None, None)
            # Free before the result is there: who gets it and has more to run needs no other thread.
            job = self._next(worker)
            if wanted:
                deliveries.put(future, result, error)
            # The traceback of an error holds this frame: it must not hold the error in turn, nor what others run.
            del future, function, context, result, error

    def _next(self, worker: "_Worker") -> "_Job | None":
        with self._lock:
            if self._queue and self._running <= self._limit:
                return self._queue.popleft()
            self._running -= 1
            self._rest(worker)
            return None

    def _rest(self, worker: "_Worker") -> None:
        """Be idle, or end where enough others are; with the lock held."""
        if self._closed or self._running + len(self._idle) >= self._limit:
            worker.dismissed = True
            worker.gate.release()
        else:
            self._idle.append(worker)


def current_threads() -> Threads | None:
    """The pool that the calling thread is of, or `None`."""
    worker = _worker()
    return None if worker is None else worker.pool


@contextmanager
def lent() -> Generator[None]:
    """Lend the place of this thread in whatever pool it is of, see `Threads.lent`; in any other thread, do nothing."""
    pool = current_threads()
    if pool is None:
        yield
        return
    with pool.lent():
        yield


class _Worker:
    """One thread of a pool. It waits at its `gate`, and behind it ends if it was `dismissed`, else looks for work."""

    __slots__ = ("dismissed", "gate", "lent", "pool", "started")

    def __init__(self, pool: Threads) -> None:
        self.pool = pool
        self.started = False
        self.dismissed = False
        self.lent = False
        self.gate = Lock()
        self.gate.acquire()


class _Deliveries:
    """Results on their way to one event loop. However many have arrived, one wake-up is under way.

    The loop is not held: a pool outlives the loops it serves.
    """

    __slots__ = ("_arrived", "_woken", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = ref(loop)
        self._arrived: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._woken = False

    def put(self, future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        """Deliver on the loop, from any thread; where the loop is closed, nobody waits any more."""
        self._arrived.append((future, result, error))
        if self._woken:
            return
        self._woken = True
        try:
            future.get_loop().call_soon_threadsafe(self._deliver)
        except RuntimeError:
            self._woken = False
            self._arrived.clear()

    def _deliver(self) -> None:
        # First the flag, then the count: what is appended after the count finds the flag down, and wakes again.
        self._woken = False
        for _ in range(len(self._arrived)):
            future, result, error = self._arrived.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


_Job = tuple["asyncio.Future[Any]", Callable[[], Any], Context, _Deliveries]
"""Who waits, for what, in which context, and how it gets there. A tuple, because one is made for every call."""


def _worker() -> _Worker | None:
    return getattr(_here, "worker", None)


def _attempt(function: Callable[[], Any], context: Context) -> tuple[Any, BaseException | None]:
    """What the function returned, or what it raised."""
    try:
        return context.run(function), None
    except (StopIteration, asyncio.CancelledError, GeneratorExit) as error:
        return None, _told_otherwise(error)
    except BaseException as error:  # noqa: BLE001 (whatever it is, it is the caller's, and the thread lives on)
        return None, error


def _told_otherwise(error: BaseException) -> RuntimeError:
    told = RuntimeError(f"the function raised {type(error).__name__}, which cannot be passed on to who awaits it")
    told.__cause__ = error
    return told
