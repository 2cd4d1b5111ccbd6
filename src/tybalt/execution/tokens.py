"""The token of one piece of work: whether it is to stop and why, what it may still use, and what is being protected.

`checkpoint()` is a flag test where nothing happened. It is for the work itself, from any thread that runs in a copy of
its context; `cancel` is for anybody, from any thread. A token stops nothing by force: whoever runs the work says with
`on_cancel` what else is to happen, such as cancelling a task. Time is read from the `clock` the token was made with.
"""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from math import inf
from threading import RLock
from types import CodeType
from typing import Any, Final, Generic, TypeVar
from weakref import ReferenceType, ref

from tybalt.errors import MisuseError
from tybalt.execution.budgets import UNLIMITED, Budget
from tybalt.reasons import CancelKind, CancelReason, Interrupted

T = TypeVar("T")
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])

MAX_MASKS: Final = 64
"""How deep `masked` may be nested; more is a program that forgets to leave it."""

_lock: Final = RLock()
"""One for all tokens: it is held for a few statements, never while anything else is waited for, and a lock of its own
would be most of what making a token costs."""

_current: ContextVar["CancelToken | None"] = ContextVar("tybalt_cancel_token", default=None)
_begun: ContextVar["tuple[ReferenceType[asyncio.Task[Any]], CancelToken] | None"] = ContextVar(
    "tybalt_begun_token", default=None
)
"""A token that was asked for before the work had one, and the task that has asked: a copy of its context has it too."""

_bare: Final[set[CodeType]] = set()
"""What tasks run whose work begins without a token, see `begins_bare`."""


class CancelToken:
    """A request to stop, that can be given once or often, and the budget that gives it by itself.

    `on_cancel(reason)` is called at the first cancel, or, where the work is masked then, when it is so no more; from
    the thread of whoever cancels or unmasks. Who waits for the end of a mask asks for it with `when_unmasked`.
    """

    __slots__ = (
        "_born",
        "_children",
        "_clock",
        "_cost",
        "_deadline",
        "_is_told",
        "_masks",
        "_parent",
        "_polls",
        "_quiet",
        "_reason",
        "_spare",
        "_suspended",
        "_told_alike",
        "_unmasked",
        "flow",
        "on_cancel",
    )

    def __init__(self, budget: Budget = UNLIMITED, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._deadline = budget.deadline
        self._cost = budget.cost
        self._polls = budget.polls
        self._reason: CancelReason | None = None
        self._masks = 0
        self._spare = 0
        # One flag for all that could stop a checkpoint, so that passing one is one test.
        self._quiet = budget.deadline == inf and budget.polls == inf
        self._parent: CancelToken | None = None
        self._told_alike = False
        self._is_told = False
        self._suspended: tuple[float, float] | None = None
        self._born = -inf
        self.flow: asyncio.Task[Any] | None = None
        """The task that is stopped by `on_cancel`: a checkpoint that raises in it has told it."""
        self._children: tuple[CancelToken, ...] = ()
        self.on_cancel: Callable[[CancelReason], object] | None = None
        self._unmasked: tuple[Callable[[], object], ...] = ()

    @classmethod
    def limited(cls, deadline: float, cost: float = inf, *, clock: Callable[[], float]) -> "CancelToken":
        """`CancelToken(Budget(deadline, cost))` for limits that are known to be right, at a third of the price."""
        token = cls(clock=clock)
        if deadline != inf:
            token._deadline = deadline
            token._quiet = False
        if cost != inf:
            token._cost = cost
        return token

    # -- for whoever stops it -----------------------------------------------------------------------------------------

    def cancel(self, reason: CancelReason) -> None:
        """Ask the work to stop; of several reasons the one that counts is kept. From any thread."""
        with _lock:
            self._note(reason)
            deliver = self._is_to_tell()
            children = self._children
        for child in children:
            child.cancel(child._inherited(reason))
        if deliver:
            self._tell()

    def catch_up(self) -> None:
        """Tell `on_cancel`, which was just set, of a cancel that has come before."""
        with _lock:
            deliver = self._is_to_tell()
        if deliver:
            self._tell()

    def when_unmasked(self, tell: Callable[[], object]) -> bool:
        """Call `tell()` once, where the outermost mask is left, in whose thread that is; `False` if there is no mask.

        The outermost is that of the whole this is a part of. Told again before that, an equal one is called once.
        """
        token = self
        while token._parent is not None:
            token = token._parent
        with _lock:
            if not token._masks:
                return False
            if tell not in token._unmasked:
                token._unmasked += (tell,)
            return True

    def release(self) -> None:
        """Let go of whoever is told anything: this work is over."""
        self.on_cancel = self.flow = None
        self._unmasked = ()

    def suspend(self, *, until: float = inf) -> None:
        """Let the deadline stand still, here and in parts of this, until `postpone` moves it: `until` at most."""
        with _lock:
            self._suspended = (self._clock() if self._suspended is None else self._suspended[0], until)

    @contextmanager
    def child(self, budget: Budget = UNLIMITED, *, told_alike: bool = False) -> "Generator[CancelToken]":
        """A token for a part of this work, until the end of the block: on what is left here, narrowed by `budget`.

        A cancel of this work reaches it as one of its parent, or for the same reason where it is `told_alike`; one of
        its own does not reach back. What it spends is spent here too.
        """
        child = CancelToken(self.budget & budget, clock=self._clock)
        child._parent = self
        child._told_alike = told_alike
        if self._standing() is not None:
            child._born = self._clock()
        with _lock:
            self._children += (child,)
            reason = self._reason
        if reason is not None:
            child.cancel(child._inherited(reason))
        try:
            yield child
        finally:
            with _lock:
                self._children = tuple(each for each in self._children if each is not child)

    def postpone(self, seconds: float, *, until: float = inf) -> None:
        """Move the deadline by what somebody else took, `until` at most; where there is none, nothing happens.

        Those of its parts move with it: by what has passed since they began, where they began meanwhile.
        """
        with _lock:
            self._suspended = None
            took = min(seconds, self._clock() - self._born) if self._born > -inf else seconds
            self._deadline = max(self._deadline, min(self._deadline + took, until))
            children = self._children
        for child in children:
            child.postpone(seconds, until=until)

    def narrow(self, budget: Budget) -> None:
        """Set limits to work that has begun, and to its parts: both hold, those there are and these."""
        with _lock:
            self._deadline = min(self._deadline, budget.deadline)
            self._cost = min(self._cost, budget.cost)
            self._polls = min(self._polls, budget.polls)
            self._quiet = self._quiet and self._deadline == inf and self._polls == inf
            children = self._children
        for child in children:
            child.narrow(budget)

    @property
    def reason(self) -> CancelReason | None:
        """Why the work is to stop, or `None`."""
        return self._reason

    @property
    def is_masked(self) -> bool:
        """Whether no cancel is let through just now, here or where this is a part of something."""
        return self._masks > 0 or (self._parent is not None and self._parent.is_masked)

    @property
    def deadline(self) -> float:
        """When its time is up: that of `budget`, without making one."""
        return self._deadline

    @property
    def budget(self) -> Budget:
        """What may still be used; where the deadline stands still, it is what it will be if time goes on now."""
        if self._parent is None and self._suspended is None:
            return Budget(self._deadline, self._cost, self._polls)
        with _lock:
            return Budget(self._due(), self._cost_left(), self._polls_left())

    # -- for the work itself ------------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Go on, or raise `Interrupted` where the work was cancelled or its budget is used up.

        Counts as one poll. While masked it passes, but after a cancel only as often as cleaning up for such a reason
        may take (`CancelKind.cleanup_checkpoints`).
        """
        if not self._quiet:
            self._look()

    def consume_cost(self, amount: float) -> bool:
        """Spend some of the cost quota: whether it sufficed. Where it does not, nothing is spent."""
        try:
            is_cost = amount >= 0
        except TypeError:
            is_cost = False
        if not is_cost:
            raise MisuseError(f"a cost is 0 or more, got {amount!r}")
        with _lock:
            if amount > self._cost or (self._parent is not None and not self._parent.consume_cost(amount)):
                return False
            self._cost -= amount
            return True

    @contextmanager
    def masked(self) -> Generator[None]:
        """Let no cancel through until the end of the block; nested blocks are one. Leave it soon.

        What has come in between is told when the outermost block is left, and raised at the next checkpoint. What this
        is a part of is masked with it, for whoever stops that stops this.
        """
        if self._parent is None:
            with self._masked():
                yield
        else:
            with self._parent.masked(), self._masked():
                yield

    @contextmanager
    def _masked(self) -> Generator[None]:
        with _lock:
            if self._masks >= MAX_MASKS:
                raise MisuseError(f"masked {self._masks} deep; at most {MAX_MASKS} blocks may be nested")
            self._masks += 1
        try:
            yield
        finally:
            with _lock:
                self._masks -= 1
                deliver = self._is_to_tell()
                unmasked: tuple[Callable[[], object], ...] = ()
                if not self._masks:
                    unmasked, self._unmasked = self._unmasked, ()
                children = self._children
            if deliver:
                self._tell()
            for tell in unmasked:
                tell()
            for child in children:
                child.catch_up()

    def _is_to_tell(self) -> bool:
        """Whether `on_cancel` is to be called now, for the first time; asked under the lock, and noted."""
        if self._reason is None or self._is_told or self.on_cancel is None or self.is_masked:
            return False
        self._is_told = True
        return True

    def _tell(self) -> None:
        if self.on_cancel is not None and self._reason is not None:
            self.on_cancel(self._reason)

    def _inherited(self, reason: CancelReason) -> CancelReason:
        if self._told_alike:
            return reason
        return CancelReason(CancelKind.PARENT_CANCELLED, str(reason), at=reason.at, origin=reason.origin)

    def _note(self, reason: CancelReason) -> None:
        if self._reason is None:
            self._reason = reason
            self._spare = reason.kind.cleanup_checkpoints
        else:
            self._reason = self._reason.strengthened(reason)
        self._quiet = False

    def _look(self) -> None:
        with _lock:
            if self._reason is None:
                spent = self._spent()
                if spent is None or self.is_masked:  # Masked, it is told at the first checkpoint that is not.
                    return
                self._note(spent)
                if self.flow is not None and self.flow is _running_task():
                    self._is_told = True  # It hears of it here, and must not be stopped again while it cleans up.
            elif self.is_masked and self._spare > 0:
                self._spare -= 1
                return
            reason = self._reason
        assert reason is not None
        raise Interrupted(reason)

    def _standing(self) -> tuple[float, float] | None:
        """Since when the deadline stands still, and until when at most it may be moved; `None` where it does not."""
        if self._suspended is not None or self._parent is None:
            return self._suspended
        return self._parent._standing()

    def _due(self) -> float:
        standing = self._standing()
        if standing is None or self._deadline == inf:
            return self._deadline
        since, until = standing
        return max(self._deadline, min(self._deadline + self._clock() - max(since, self._born), until))

    def _cost_left(self) -> float:
        return self._cost if self._parent is None else min(self._cost, self._parent._cost_left())

    def _polls_left(self) -> float:
        return self._polls if self._parent is None else min(self._polls, self._parent._polls_left())

    def _count_poll(self) -> None:
        """What is used here is used of all that this is a part of."""
        self._polls -= 1
        if self._parent is not None:
            self._parent._count_poll()

    def _spent(self) -> CancelReason | None:
        """Count one poll; the reason to stop where the budget has come to its end."""
        now = self._clock() if self._deadline != inf else -inf
        if now >= self._deadline and self._standing() is None:
            return CancelReason(CancelKind.DEADLINE, "the time is up", at=now)
        if self._polls < inf:
            if self._polls_left() <= 0:
                return CancelReason(CancelKind.POLL_QUOTA, "no checkpoint may be passed any more", at=now)
            self._count_poll()
        return None


def _running_task() -> "asyncio.Task[Any] | None":
    return None if asyncio._get_running_loop() is None else asyncio.current_task()


class bound(Generic[V]):  # noqa: N801 (read as `with bound(variable, value):`)
    """Give a context variable a value inside of the block, and in copies of its context.

    A coroutine that is thrown away inside of the block is closed by whoever collects it, in a context of their own:
    there, nothing is put back.
    """

    __slots__ = ("_before", "_value", "_variable")

    def __init__(self, variable: "ContextVar[Any]", value: V) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> V:
        self._before = self._variable.set(self._value)
        return self._value

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            self._variable.reset(self._before)
        except ValueError:
            if kind is not GeneratorExit:
                raise


def governed(token: CancelToken) -> bound[CancelToken]:
    """Make `token` the one that `checkpoint` and `masked` mean inside of the block, and in copies of its context."""
    current_token()  # What is put back after the block is then that of the work, if it has one.
    return bound(_current, token)


def governing(token: CancelToken, function: Callable[..., T], *arguments: Any) -> T:
    """Make `token` the current one for the rest of this context, and call a function in it.

    For whoever has made the context for this piece of work, and hands it to `Context.run`: nothing is put back.
    """
    _current.set(token)
    return function(*arguments)


def govern(token: CancelToken) -> None:
    """`governing` for work that has begun already."""
    _current.set(token)


governor: Final[Callable[[], CancelToken | None]] = _current.get
"""The current token, as far as the work has one already: what `ungoverned` looks at, for who calls it very often."""


def ungoverned(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that begins work of somebody else's: in there, there is no current token."""
    if _current.get() is None:
        return function(*arguments)
    before = _current.set(None)
    try:
        return function(*arguments)
    finally:
        _current.reset(before)


def begins_bare(function: F) -> F:
    """Let tasks of this `async def` begin without a token: who wants one gets it on first use, see `begun_token`.

    For whoever makes tokens only for what waits. It costs nothing where nobody asks.
    """
    _bare.add(function.__code__)
    return function


def begun_token(task: "asyncio.Task[Any]", variables: Context) -> CancelToken | None:
    """The token, without limits, that the work of this task has asked for before it had one; `variables` are its."""
    begun = variables.get(_begun)
    return begun[1] if begun is not None and begun[0]() is task else None


def current_token() -> CancelToken | None:
    """The token of the work this code is part of, or `None`."""
    token = _current.get()
    return _asked_for() if token is None else token


def _asked_for() -> CancelToken | None:
    task = _running_task()
    if task is None or getattr(task.get_coro(), "cr_code", None) not in _bare:
        return None
    token = CancelToken(clock=task.get_loop().time)
    _begun.set((ref(task), token))
    _current.set(token)
    return token


def checkpoint() -> None:
    """A place where this work may be stopped: raises `Interrupted` if it is to stop; outside of any, does nothing."""
    token = _current.get()
    if token is not None:
        token.checkpoint()


@contextmanager
def masked() -> Generator[None]:
    """A part of this work that must not be stopped halfway, see `CancelToken.masked`."""
    token = current_token()
    if token is None:
        yield
        return
    with token.masked():
        yield
