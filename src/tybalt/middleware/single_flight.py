"""`SingleFlight`: who asks what somebody is being answered already waits for that answer; it is worked out once.

A layer, on asyncio. It keeps nothing: an answer is shared by those who asked before it was there (`caching.py` is for
later). A question is the leader's, a task of its own; those who wait for it may come and go, and the last to go stops
it. Further out are the layers that look at each request: limits, logging, timing, a timeout.
"""

import asyncio
import time
from collections.abc import Iterable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeAlias

from msgspec import Struct

from tybalt.errors import MisuseError, exit_refused, only_error
from tybalt.execution.budgets import Budget
from tybalt.execution.tokens import CancelToken, current_token, governed
from tybalt.middleware.invalidation import Concerns, Invalidated
from tybalt.middleware.layers import Handler
from tybalt.middleware.middleware import OPERATIONS
from tybalt.middleware.request import Request
from tybalt.middleware.selection import (
    ONE_TIME,
    Names,
    is_granted,
    is_personal,
    meant_by,
    methods_of,
    when_personal,
)
from tybalt.reasons import CancelKind, CancelReason, Interrupted

MAX_FLIGHTS: Final = 1_000

ATTEMPTS: Final = 2
"""How often a caller waits for others, where those who lead are stopped from elsewhere; then it runs by itself."""

_FIRST: Final = asyncio.FIRST_COMPLETED

Key: TypeAlias = tuple[object, str | None, bytes]
"""Which stack is asked, by whom, and what, in full."""

_within: ContextVar[tuple[Key, ...]] = ContextVar("tybalt_flights", default=())
"""The flights this code is part of: what it asks again in turn cannot wait for itself."""

_around: ContextVar[tuple[CancelToken, ...]] = ContextVar("tybalt_flights_around", default=())
"""The tokens around the leader's: its handler's `Context` masks the first of them."""


class SingleFlightStatistics(Struct, frozen=True):
    """How many flights there are just now, how many there have been, and how many requests have joined one."""

    in_flight: int
    led: int
    joined: int


class SingleFlight(Invalidated):
    """A layer in which identical requests of one principal that are under way at the same time share one execution.

    Identical are method, name, arguments and params; `None` is a principal like any other. Only what is `repeatable`
    is shared, of the `methods` (all operations by default) and without what `exclude` means: names of tools or prompts,
    URIs, or a function of the request. A request runs by itself that has a progress token, carries input the server
    asked for, or is to run as a task; and any, while there are `max_flights` (1,000).

    The leader runs in a copy of the first caller's context, with the first caller's `Request`: its progress, its log
    messages and its questions go to that client. All get the same result or the same exception, as one object: treat
    it as a value. But where the first client is asked something, the others wait no more: each runs its own, and is
    asked itself.

    A caller who is cancelled leaves at once, the first one too. The last to leave stops the leader and waits until it
    has ended. If a leader is stopped by anything else, such as the time limit of the first caller, or fails after that
    has left, in whose context it runs, the others do not fail with it: they share another execution, and after
    `ATTEMPTS` of those each runs its own.

    A change (`invalidation.py`) stops nobody, but who comes after it does not join who began before. One loop; each
    stack that this is a layer of has flights of its own. Raises `MisuseError` for options that are none.
    """

    def __init__(
        self, *, methods: Iterable[str] | None = None, exclude: Names = (), max_flights: int = MAX_FLIGHTS
    ) -> None:
        if type(max_flights) is not int or max_flights < 1:
            raise MisuseError(f"max_flights is a whole number above 0; got {max_flights!r}")
        self._methods = frozenset(OPERATIONS) if methods is None else methods_of(methods)
        self._excluded = meant_by("exclude", exclude)
        self._max_flights = max_flights
        self._flights: dict[Key, _Flight] = {}
        # The loop itself holds tasks by weak references only; and those no one may join any more count too.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._led = 0
        self._joined = 0

    def __call__(self, next: Handler) -> Handler:
        """`next`, asked once at a time for the same."""
        stack = object()

        async def handler(request: Request) -> Any:
            if not self._may_share(request):
                return await next(request)
            key = (stack, request.principal, request.identity)
            for _ in range(0 if key in _within.get() else ATTEMPTS):
                flight = self._joinable(key)
                leads = flight is None
                if flight is None:
                    if len(self._tasks) >= self._max_flights:
                        break
                    flight = self._begin(key, request, next)
                else:
                    self._joined += 1
                await self._landing(flight, leads=leads)
                if flight.has_landed(leads=leads):
                    return flight.task.result()
                if leads or flight.is_personal:
                    break
            return await next(request)

        return handler

    def statistics(self) -> SingleFlightStatistics:
        """What has been counted so far."""
        return SingleFlightStatistics(len(self._tasks), self._led, self._joined)

    def _may_share(self, request: Request) -> bool:
        if request.method not in self._methods or not request.repeatable:
            return False
        if (
            request.meta.get("progressToken") is not None
            or is_granted(request)
            or not ONE_TIME.isdisjoint(request.params)
        ):
            return False
        return not self._excluded(request)

    def _joinable(self, key: Key) -> "_Flight | None":
        flight = self._flights.get(key)
        return None if flight is None or flight.task.done() else flight

    def _begin(self, key: Key, request: Request, next: Handler) -> "_Flight":
        flight = self._flights[key] = _Flight(key, request, next)
        self._tasks.add(flight.task)
        self._led += 1

        def ended(task: "asyncio.Task[Any]") -> None:
            self._tasks.discard(task)
            self._retire(flight)
            if not task.cancelled():
                task.exception()  # Looked at, so that asyncio does not report it where everybody has left.

        flight.task.add_done_callback(ended)
        when_personal(request, partial(self._asked, flight))
        if flight.is_personal:  # It was asked already, where the leader begins before its task is returned.
            self._asked(flight)
        return flight

    async def _landing(self, flight: "_Flight", *, leads: bool) -> None:
        """Wait until the flight has ended, or is the first caller's alone.

        Who is cancelled meanwhile leaves, and the last one stops it.
        """
        flight.waiting += 1
        try:
            await asyncio.wait((flight.task,) if leads else (flight.task, flight.asked), return_when=_FIRST)
        except asyncio.CancelledError:
            flight.is_orphan |= leads
            await self._leave(flight)
            raise
        else:
            await self._leave(flight)
        finally:
            flight.waiting -= 1

    async def _leave(self, flight: "_Flight") -> None:
        if flight.waiting == 1 and not flight.task.done():
            self._retire(flight)
            await flight.stop()

    def _asked(self, flight: "_Flight") -> None:
        self._retire(flight)
        if not flight.asked.done():
            flight.asked.set_result(None)

    def _retire(self, flight: "_Flight") -> None:
        """Let nobody join any more."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    def _forget(self, concerns: Concerns) -> None:
        for flight in tuple(self._flights.values()):
            if concerns(flight.request.method, flight.request.name):
                self._retire(flight)


class _Flight:
    """A leader, and how many wait for it."""

    __slots__ = ("_around", "asked", "is_orphan", "key", "request", "task", "token", "waiting")

    def __init__(self, key: Key, request: Request, next: Handler) -> None:
        self.key = key
        self.request = request
        self.waiting = 0
        self.is_orphan = False
        self.asked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the first caller is asked something."""
        callers = current_token()
        self.token = None if callers is None else _apart(callers)
        self._around = _around.get() if callers is None else (*_around.get(), callers)
        self.task = asyncio.create_task(_lead(key, request, next, self.token, self._around))
        if self.token is not None:
            self.token.on_cancel = self._tell

    @property
    def is_personal(self) -> bool:
        """Whether the first caller has been asked something."""
        return is_personal(self.request)

    def has_landed(self, *, leads: bool) -> bool:
        """Whether what became of it is what becomes of the request of who `leads` it, or of another one's."""
        if not self.task.done() or self.task.cancelled():
            return False
        failure = self.task.exception()
        if failure is not None and (self.is_orphan or isinstance(only_error(failure), Interrupted)):
            return False
        if leads:
            return True
        return not (self.is_personal or (failure is not None and self._is_stopped))

    @property
    def _is_stopped(self) -> bool:
        """Whether the first caller's request was to stop: what it fails with then is its own limit, not the others'."""
        return bool(getattr(self.request.context, "cancelled", False))

    async def stop(self) -> None:
        """Cancel the leader and wait until it has ended. Raises a cancel that comes meanwhile when that is over."""
        reason = CancelReason(CancelKind.PARENT_CANCELLED, "nobody waits for it any more")
        if self.token is None:
            self.task.cancel()
        else:
            self.token.cancel(reason)
        again: asyncio.CancelledError | None = None
        while not self.task.done():
            try:
                await asyncio.wait((self.task,))
            except asyncio.CancelledError as error:
                again = error
        if again is not None:
            raise again

    def _tell(self, _: CancelReason) -> None:
        """The token tells, as soon as nothing is masked: perhaps in a thread, or where the leader leaves the mask."""
        self._stop_later()

    def _stop_later(self) -> None:
        self.task.get_loop().call_soon_threadsafe(self._stop_now)

    def _stop_now(self) -> None:
        tokens = self._around if self.token is None else (self.token, *self._around)
        if not any(each.when_unmasked(self._stop_later) for each in tokens):
            self.task.cancel()


def _apart(callers: CancelToken) -> CancelToken:
    """What stops the leader's checkpoints: not the first caller's cancel or deadline, which are not the others'."""
    budget = callers.budget
    return CancelToken(Budget(cost=budget.cost, polls=budget.polls), clock=time.monotonic)


async def _lead(
    key: Key, request: Request, next: Handler, token: CancelToken | None, around: tuple[CancelToken, ...]
) -> Any:
    _within.set((*_within.get(), key))
    _around.set(around)
    try:
        if token is None:
            return await next(request)
        with governed(token):
            return await next(request)
    except SystemExit as error:
        raise exit_refused(error) from error
