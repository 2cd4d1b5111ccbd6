"""One request that is being handled: what belongs to it until it is answered and nothing of it runs any more.

A `Call` is made for every request that cannot be answered at once, and for every handler that wants to know its
request. It owns the token, the task, and the children of the handler; it stops them together. Who is answered, and
when, is `running`'s business.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import partial
from math import inf
from threading import get_ident
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from tybalt.errors import InvalidParams, MisuseError, ResourceNotFound, exit_refused, only_error
from tybalt.execution.tokens import CancelToken, begins_bare, current_token
from tybalt.protocol.responder import Responder
from tybalt.reasons import CancelKind, CancelReason, Interrupted
from tybalt.server.limits import Limits

if TYPE_CHECKING:
    from tybalt.execution.deadlines import Deadline
    from tybalt.server.asking import Asking
    from tybalt.server.batch import BatchAnswers
    from tybalt.server.declaration import Declaration
    from tybalt.server.nesting import TimeLimit
    from tybalt.server.session import Session
    from tybalt.server.state import State
    from tybalt.server.waiting import Handover

logger = logging.getLogger("tybalt.server")

T = TypeVar("T")

Write = Callable[[int | str, Any], bytes]
"""Turns a request id and what a handler returned into the answer."""

MAX_CHILDREN = 1_000
"""Tasks that one request may have running beside its handler."""


class _Scope(Struct, eq=False):
    """What is one handler's: its tasks and threads. It knows no call, which timers would keep through their context.

    `request` is the token of the request, which tells it from others.
    """

    request: CancelToken
    around: "_Scope | None"
    is_over: bool = False


_scope: ContextVar[_Scope | None] = ContextVar("tybalt_scope", default=None)
"""In which handler this code runs: layers around it have none, and what it has left behind has it still."""


class InvalidCall(InvalidParams):
    """A handler calls a tool that is not there, or with arguments that do not fit.

    It may catch that as any `InvalidParams`. What it does not catch is its own mistake, and none of its client's.
    """


class InvalidRead(ResourceNotFound):
    """The same of a resource that is not there."""


def own_mistake(error: BaseException) -> MisuseError | None:
    """What these become that a handler lets through: its client is not to fix it, nor told of it."""
    alone = only_error(error)
    if not isinstance(alone, InvalidCall | InvalidRead):
        return None
    mistake = MisuseError(alone.message)
    mistake.__cause__ = error
    return mistake


def titled(where: str) -> str:
    """A declaration in words, without the function behind it."""
    return where.partition(" (function")[0]


class Call:
    """One request of `session` while it is handled by `declaration`; `write` makes the answer of what that returns.

    `where` names it in error texts. Belongs to the loop it was made on; `stop` may be called from any thread.
    """

    # What most calls never have is of the class until it is set: a call is made for every handler that wants to know
    # its request, and each member set costs as much as a tenth of a decode.
    task: asyncio.Task[Any] | None = None
    """What the request is answered by when it is done."""
    runner: asyncio.Task[Any] | None = None
    """What the handler itself runs in: the same, unless a layer of middleware runs it elsewhere."""
    _governing: CancelToken | None = None
    """What governs the handler: another one than `token` where a layer has given it one of its own."""
    inner: Awaitable[Any] | None = None
    """What the handler itself returned to be awaited, inside of what is done around it."""
    deadline: "Deadline | None" = None
    batch: "BatchAnswers | None" = None
    failure: BaseException | None = None
    """What a child failed with, which the request then fails with too."""
    runs_thread = False
    """Whether a thread is at work for it, which nothing can stop from outside."""
    children: "set[asyncio.Task[Any]] | None" = None
    waits: "dict[asyncio.Task[Any], CancelToken | None] | None" = None
    """What threads of this request wait for on the loop, and the token of each."""
    _outer: "Call | None" = None
    _scope: _Scope | None = None
    _where: str | None = None
    _asking: "Asking | None" = None
    _state: "State | None" = None
    arguments: Mapping[str, Any] | None = None
    """The arguments as layers of middleware see them."""
    was_asked = False
    """Whether its client was asked anything, in this round or one before; of the `root`, and true for good."""
    _asked_tell: "tuple[Callable[[], object], ...]" = ()
    is_delivered = False
    """Whether its answer is on its way, or it was said that there will be none."""
    turn_is_back = False
    """Whether it has given its turn back, because its client is asked."""
    _is_ending = False
    is_over = False
    """Whether its handler is over, dependencies and children included; layers around that may go on."""
    _time_limits: "tuple[TimeLimit, ...]" = ()
    _pauses = 0
    _paused_at = inf
    _latest: float | None = None

    def __init__(
        self,
        session: "Session",
        responder: Responder,
        limits: Limits,
        write: Write,
        declaration: "Declaration[..., Any] | None",
        token: CancelToken | None = None,
    ) -> None:
        loop = asyncio._get_running_loop()
        clock = monotonic if loop is None else loop.time
        self.session = session
        self.replies = session.replies
        """Where goes what is said about it, and its answer."""
        self.responder = responder
        self.request = responder.request
        self.message = session.message
        """The request as it came."""
        self.limits = limits
        self.write = write
        self.declaration = declaration
        self.time: Callable[[], float] = clock
        """The clock its deadline is told in."""
        self.thread = get_ident()
        self.token = token or limits.token(clock)
        self._loop = loop

    @property
    def root(self) -> "Call":
        """The call of the request itself, where this is a handler that another one has called."""
        return self._outer or self

    @property
    def where(self) -> str:
        """What it is called in logs and to authors."""
        where = self._where
        if where is None:
            where = self._where = self.request.method if self.declaration is None else self.declaration.where
        return where

    def named(self, where: str) -> None:
        """Call it something else than its declaration."""
        self._where = where

    @contextmanager
    def nested(self, declaration: "Declaration[..., Any]") -> Generator["Call"]:
        """A handler that this one calls, of the same request: on what is left of its budget, stopped with it."""
        granted = inf if declaration.timeout is None else declaration.timeout
        own = Limits(granted)
        with self.token.child(own.budget(self.time())) as token:
            call = Call(self.session, self.responder, own, self.write, declaration, token)
            root = self.root
            if root.waits is None:
                root.waits = {}
            call._outer, call.message, call.waits, call.replies = root, self.message, root.waits, root.replies
            call.runner = asyncio.current_task()
            try:
                yield call
            except SystemExit as error:
                raise exit_refused(error) from error
            finally:
                call.end_scope()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop it was made on: a plain function may run without one, where a session is driven by hand."""
        if self._loop is None:
            raise MisuseError(f"{self.where}: there is no running event loop, which this needs")
        return self._loop

    @property
    def title(self) -> str:
        """What it is called towards its client, who is told nothing of functions."""
        return titled(self.where)

    @property
    def on_loop(self) -> bool:
        """Whether this is run by the loop's own thread."""
        return get_ident() == self.thread

    @property
    def is_open(self) -> bool:
        """Whether it is neither answered nor cancelled by its client."""
        return self.responder.is_open

    @property
    def asking(self) -> "Asking":
        """Its questions to the client; made on first use."""
        if self.root is not self:
            return self.root.asking
        if self._asking is None:
            from tybalt.server.asking import Asking

            self._asking = Asking(self)
        return self._asking

    @property
    def is_round_over(self) -> bool:
        """Whether a round ends because the client is to be asked (2026-07-28 basic/patterns/mrtr)."""
        asking = self.root._asking
        return asking is not None and asking.is_round_over

    @property
    def state(self) -> "State":
        """What its handlers keep; made on first use."""
        if self.root is not self:
            return self.root.state
        if self._state is None:  # Two threads may both be the first: which of theirs it is, is decided at once.
            return self.__dict__.setdefault("_state", self.session.server.state_of(self.session))
        return self._state

    @property
    def has_asking(self) -> bool:
        """Whether `asking` is there already."""
        return self.root._asking is not None

    def note_asked(self) -> None:
        """Its client is asked something."""
        self.was_asked = True
        for tell in self._asked_tell:
            tell()

    def when_asked(self, tell: Callable[[], object]) -> None:
        """Call `tell` each time its client is asked something."""
        self._asked_tell += (tell,)

    def notify(self, message: bytes) -> None:
        """Tell the client something that may be lost: dropped while it does not read, so that nothing piles up."""
        if not self.replies.blocked:
            self.replies.write(message)

    # -- stopping it ------------------------------------------------------------------------------------------------

    def cancel(self, kind: CancelKind, message: str = "") -> None:
        """Ask everything of this request to stop. From any thread."""
        self.token.cancel(CancelReason(kind, message, at=self.time()))

    def stop(self, _: object = None) -> None:
        """Cancel the handler's task, and wake threads that wait; the token says why. From any thread.

        Where something is masked by now, it is put off until that is over.
        """
        if not self.on_loop:
            self.loop.call_soon_threadsafe(self.stop)
            return
        if self.token.when_unmasked(self.stop):
            return
        self._wake()
        task = self.task or self.runner
        if task is None:
            return
        if asyncio.current_task(self.loop) is task:
            # Told where it leaves a mask: it is heard when it waits, and what has a result by then keeps it.
            self.loop.call_soon(self.stop)
        else:
            task.cancel()

    def when_unmasked(self, tell: Callable[[], object]) -> bool:
        """Call `tell()` where the handler leaves what it has masked; `False` if that is nothing. Perhaps too early."""
        governing = self._governing
        return self.token.when_unmasked(tell) or (governing is not None and governing.when_unmasked(tell))

    def end_round(self) -> None:
        """Stop the handler, because its client is to be asked first; layers around it go on."""
        self._wake()
        if self.runner is not None:
            self.runner.cancel()

    def _wake(self) -> None:
        for wait in tuple(self.waits or ()):
            wait.cancel()

    def wake(self, token: CancelToken) -> None:
        """Let the one thread that has this token wait no more."""
        for wait, whose in tuple((self.waits or {}).items()):
            if whose is token:
                wait.cancel()

    def end(self) -> None:
        """Let go of what refers back to this, so that it is freed at once: nothing of it runs any more."""
        self._wake()  # A thread that the handler has left behind may still wait for something.
        self.token.release()
        if self._governing is not None:
            self._governing = None
        if self._asking is not None:
            self._asking.close()
            self._asking = None

    @property
    def is_paused(self) -> bool:
        """Whether its clock stands still."""
        return self._pauses > 0

    def pause(self) -> float:
        """The clock of this request stands still: what comes now is not its handler's doing. Give it to `resume`.

        Those that overlap are one: it goes on when all of them are resumed.
        """
        self._pauses += 1
        if self._latest is None:  # Not postponed yet: what its caller allows counts from the beginning.
            granted, allowed = self.limits.granted, self.limits.allowed
            self._latest = inf if allowed == inf else self.token.budget.deadline - min(granted, allowed) + allowed
        if self.deadline is not None and self.token.reason is None:  # Else it is that of the cleanup, which goes on.
            self.deadline.cancel()
        for each in self._time_limits:
            each.pause()
        self.token.suspend(until=self._latest)
        return self.time()

    def resume(self, since: float) -> None:
        """Let the clock go on; what its caller allows has gone on all the while."""
        self._pauses -= 1
        self._paused_at = min(self._paused_at, since)
        if self._pauses or self.token.reason is not None:
            return
        self.token.postpone(self.time() - self._paused_at, until=inf if self._latest is None else self._latest)
        self._paused_at = inf
        for each in self._time_limits:
            each.resume()
        if self.task is not None and not self.task.done():
            self.session.running.expect_end(self)

    def limit(self, limit: "TimeLimit") -> None:
        """Watch the time of a part of this request, and stop its clock with that of the whole."""
        self._time_limits += (limit,)
        if not self._pauses:
            limit.resume()

    def unlimit(self, limit: "TimeLimit") -> None:
        """That part is over."""
        self._time_limits = tuple(each for each in self._time_limits if each is not limit)

    # -- what runs beside the handler ---------------------------------------------------------------------------------

    def begin_handler(self, runner: "asyncio.Task[Any]") -> None:
        """The handler runs in this task now, perhaps not for the first time: a layer may try again what has failed."""
        self.runner = self.token.flow = runner
        governing = current_token()
        self._governing = None if governing is self.token else governing
        self._is_ending = self.is_over = False

    def begin_scope(self) -> "Token[_Scope | None]":
        """Let what runs from now on, and in copies of its context, be part of this handler: until `leave_scope`."""
        root = self._outer or self
        scope = self._scope = _Scope(root.token, _scope.get())
        return _scope.set(scope)

    def leave_scope(self, before: "Token[_Scope | None]") -> None:
        """What runs from now on is part of what is around the handler. By hand, for `bound` costs three times this."""
        try:
            _scope.reset(before)
        except ValueError:
            pass  # Thrown away, it is closed by whoever collects it, in a context of their own.

    def end_scope(self) -> None:
        """The handler is over, and all that it has begun."""
        self._is_ending = self.is_over = True
        if self._scope is not None:
            self._scope.is_over = True

    def check_begins(self, declaration: "Declaration[..., Any]") -> None:
        """Raises `MisuseError` where a handler is to be called for what is over; what cleans up may still call."""
        if self._is_past():
            raise MisuseError(f"{self.where} is over; it cannot call {declaration.where} any more")

    def _is_past(self) -> bool:
        root, scope = self.root, _scope.get()
        while scope is not None:  # What a handler has left behind is over with it; layers around that go on.
            if scope.is_over and scope.request is root.token:
                return True
            scope = scope.around
        if self.is_over and root is not self:
            return True
        if root.task is not None and root.task.done():
            return True
        # One that has a scope may be answered before that ends: a thread, at its limit, has yet to clean up.
        return root.runner is None and not (root.is_open or root.responder.cancelled)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """Run a coroutine beside the handler, until the handler is done at most.

        Raises `MisuseError` from a thread, after the end, and where too many run already.
        """
        refusal = None
        if not self.on_loop:
            refusal = "spawn() is for handlers on the loop; in a thread, wait for it with context.wait(…)"
        elif self.runner is None:
            refusal = f"{self.where} is a plain function on the loop, which ends before anything beside it begins"
        elif self.runner.done() or self._is_ending:
            refusal = f"{self.where} is over; nothing of it may begin any more"
        elif self.children is not None and len(self.children) >= MAX_CHILDREN:
            refusal = f"{self.where} has {MAX_CHILDREN:,} tasks running beside it; wait for some of them first"
        elif not isinstance(coroutine, Coroutine):  # pyright: ignore[reportUnnecessaryIsInstance] (untyped callers)
            refusal = f"spawn() takes a coroutine, such as `work()` of an `async def work`, got {coroutine!r}"
        if refusal is not None:
            give_up(coroutine)
            raise MisuseError(refusal)
        child = self.loop.create_task(guarded(coroutine))
        child.add_done_callback(partial(give_up, coroutine))  # Cancelled before it starts, it never reaches that.
        if self.children is None:
            self.children = set()
        self.children.add(child)
        child.add_done_callback(self._child_ended)
        return child

    async def end_children(self) -> None:
        """Cancel what was spawned and wait until it is gone, even while being cancelled again; no more may begin."""
        again: asyncio.CancelledError | None = None
        self._is_ending = True
        while self.children:
            for child in self.children:
                child.cancel()
            try:
                await asyncio.wait(self.children)
            except asyncio.CancelledError as error:
                again = error
        if again is not None:
            raise again

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Wait in a thread for something that the loop does, and give the thread's place to another meanwhile.

        Raises what it raises, `Interrupted` when the request is to stop, and `MisuseError` on the loop itself.
        """
        if self.on_loop:
            if isinstance(awaitable, Coroutine):
                awaitable.close()
            raise MisuseError("wait() is for handlers that run in a thread; on the loop, `await` it")
        from tybalt.execution.threads import lent
        from tybalt.server.waiting import Handover

        handover: Handover[T] = Handover(awaitable)
        try:
            self.loop.call_soon_threadsafe(self._begin_wait, handover, current_token())
        except RuntimeError:
            handover.give_up(CancelReason(CancelKind.SHUTDOWN, "the loop that would do it is closed"))
        with lent():
            outcome = handover.outcome()
        token = current_token()
        reason = self._reason_heard or (None if token is None or token.is_masked else token.reason)
        if reason is not None and not outcome.is_ok:
            raise Interrupted(reason)
        return outcome.unwrap()

    def _begin_wait(self, handover: "Handover[Any]", token: CancelToken | None) -> None:
        reason = self._reason_heard or (None if token is None or token.is_masked else token.reason)
        task = self.root.task
        if reason is None and self.is_round_over:
            reason = CancelReason(CancelKind.PARENT_CANCELLED, "the client is asked first")
        elif reason is None and task is not None and task.done():
            reason = CancelReason(CancelKind.PARENT_CANCELLED, "its request is over")
        if reason is not None:
            handover.give_up(reason)
            return
        task = self.loop.create_task(handover.run())
        if self.waits is None:
            self.waits = {}
        self.waits[task] = token
        task.add_done_callback(partial(_drop, self.waits))
        task.add_done_callback(handover.ended)

    @property
    def _reason_heard(self) -> CancelReason | None:
        """Why it is to stop, where that is let through: what cleans up, masked, may wait."""
        return None if self.token.is_masked else self.token.reason

    def _child_ended(self, child: "asyncio.Task[Any]") -> None:
        if self.children is not None:
            self.children.discard(child)
        failure = None if child.cancelled() else child.exception()
        if failure is None or self.root.failure is not None:
            return
        if self._is_ending and child.cancelling():
            logger.error("%s: a task beside it failed while it was stopped", self.where, exc_info=failure)
        elif isinstance(failure, Interrupted) and self.token.reason is not None:
            self.token.catch_up()  # A checkpoint beside the handler has noticed; now the handler hears of it too.
        else:
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        """The request fails with what a child of it has; what that says is for no reason, which its client may see."""
        root = self.root
        root.failure = own_mistake(failure) or failure
        root.cancel(CancelKind.FAIL_FAST, "a task beside it failed")
        if root.task is not None and not root.task.done():
            root.session.running.expect_cleanup(root, CancelKind.FAIL_FAST)


def _drop(waits: "dict[asyncio.Task[Any], CancelToken | None]", task: "asyncio.Task[Any]") -> None:
    waits.pop(task, None)


def give_up(awaitable: Awaitable[Any], _: object = None) -> None:
    """Stop what nobody will await any more; what is over stays as it is."""
    if isinstance(awaitable, CoroutineType):
        awaitable.close()
    elif isinstance(awaitable, asyncio.Future):
        awaitable.cancel()


@begins_bare
async def guarded(awaitable: Awaitable[Any]) -> Any:
    """What a handler awaits, in a task's own coroutine: an exit asked for in there must not end the loop."""
    try:
        return await awaitable
    except SystemExit as error:
        raise exit_refused(error) from error
