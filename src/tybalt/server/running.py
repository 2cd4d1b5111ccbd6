"""The requests of one connection that run: begun, bounded, stopped, answered.

A handler that finishes at once is answered where it was called. What does not is kept as a `Call` until its task is
done: a cancel finds it, its deadline is watched, its turn is counted. `session` decides what to run, `performing` how a
handler is called, `ending` what happens to those that still run when the connection ends.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context as ContextVars
from contextvars import copy_context
from functools import partial
from math import inf
from sys import version_info
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

from tybalt.errors import McpError, TimedOut, row_of, visible_text
from tybalt.execution.tokens import CancelToken, begun_token, govern, governing
from tybalt.outcomes import Cancelled, Err, Ok, Outcome, Panicked
from tybalt.protocol.responder import Responder
from tybalt.reasons import CancelKind, CancelReason
from tybalt.server.call import Call, Write, give_up, guarded, titled
from tybalt.server.limits import limits_of
from tybalt.server.turns import after

if TYPE_CHECKING:
    from tybalt.execution.deadlines import Deadline, Deadlines
    from tybalt.server.batch import BatchAnswers
    from tybalt.server.declaration import Declaration
    from tybalt.server.session import Session

logger = logging.getLogger("tybalt.server")

CAN_START_EAGERLY: Final = version_info >= (3, 12)


_NOTHING: Mapping[str, Any] = {}


def _start(held: "ref[Running]", coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """`start_first` of who is not held: one that holds itself would have to be collected."""
    running = held()
    assert running is not None
    return running.start_first(coroutine)


class Running:
    """What runs for `session`; answers that come later go to its output."""

    def __init__(self, session: "Session") -> None:
        self._session = ref(session)  # Which holds this.
        self._connection = session.connection
        self._timeout = session.server.request_timeout
        self.lane = session.server.turns.lane(session.max_running)
        self.calls: dict[Responder, Call] = {}
        """Every request that is not over yet, those among them that wait for their turn."""
        self.batch: BatchAnswers | None = None
        """The batch whose elements are being begun."""
        self._vars: ContextVars | None = None
        self._deadlines: Deadlines | None = None
        self.start: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]] = partial(_start, ref(self))
        """Start a bare handler's task; where Python can, it runs up to its first wait before this returns."""

    # -- beginning --------------------------------------------------------------------------------------------------

    def run(
        self,
        request: Any,
        declaration: "Declaration[..., Any]",
        write: Write,
        perform: Callable[[Any, Call], Any],
        arguments: Any,
    ) -> bytes | None:
        """Run a handler that may want to know its request; the answer if it finishes at once."""
        meta: Any = request.params.meta
        if declaration.is_plain and (meta is None or meta.budget is None):
            return self._run_plain(request, declaration, write, arguments)
        return self.conduct(self.accept(request, write, declaration), perform, arguments)

    def _run_plain(
        self, request: Any, declaration: "Declaration[..., Any]", write: Write, arguments: Any
    ) -> bytes | None:
        """A handler that asks for nothing but its arguments."""
        try:
            value = copy_context().run(declaration.invoke, arguments, _NOTHING)
            if hasattr(value, "__await__"):
                return self.run_bare(request, value, write, declaration)
            return write(request.id, value)
        except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
            return self.failed(request, error, declaration.where)

    def conduct(self, call: Call, perform: Callable[[Any, Call], Any], arguments: Any) -> bytes | None:
        """Run what handles an accepted call; the answer if it finishes at once."""
        request = call.request
        variables = copy_context()
        try:
            value: Any = variables.run(governing, call.token, perform, arguments, call)
            if hasattr(value, "__await__"):
                return self.begin(call, value, variables)
            call.end()
            _report_overrun(call)
            answer = call.write(request.id, value)
        except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
            answer = self.told(request, _outcome_for(call, error), call.where)
        return answer if call.responder.settle() else None

    def accept(
        self,
        request: Any,
        write: Write,
        declaration: "Declaration[..., Any] | None",
        token: CancelToken | None = None,
    ) -> Call:
        """The call of a request that is about to be handled; `token` is that of a handler which has one already."""
        limits = limits_of(request, declaration, self._timeout)
        session = self._session()
        assert session is not None
        return Call(session, self._connection.accept(request), limits, write, declaration, token)

    def begin(self, call: Call, awaitable: Awaitable[Any], variables: ContextVars) -> bytes | None:
        """Go on with what a handler returned in a task of its own, in turn; the answer if it never waits."""
        doing = inner = guarded(awaitable)
        turn = None
        if self.lane.full:
            try:
                turn = self.lane.take()
            except McpError:
                doing.close()
                give_up(awaitable)
                if call.inner is not None:
                    give_up(call.inner)
                raise
            doing = after(turn, doing)
        eagerly: dict[str, Any] = {"eager_start": True} if CAN_START_EAGERLY else {}
        task = asyncio.Task(doing, loop=call.loop, context=variables, **eagerly)
        if turn is not None:
            task.add_done_callback(partial(give_up, inner))
        call.task = task
        if call.token.flow is None:  # Else a handler with a scope of its own has begun.
            call.token.flow = task
        if task.done():
            answer = self._answer(call)
            _report_overrun(call)
            call.end()
            return answer if call.responder.settle() else None
        self._keep(call, task, awaitable, turn)
        return None

    def keep(
        self,
        task: asyncio.Task[Any],
        awaitable: Awaitable[Any],
        request: Any,
        declaration: "Declaration[..., Any]",
        write: Write,
    ) -> None:
        """Answer a request when the task of its bare handler, which awaits `awaitable`, is done.

        From now on what is governed by a token is: before its first wait a handler that takes no `Context` has one only
        where it has asked for it, such as for a mask.
        """
        variables: ContextVars = getattr(task, "get_context", self._last_context)()
        token = begun_token(task, variables)
        call = self.accept(request, write, declaration, token)
        call.task = call.token.flow = task
        if token is None:
            variables.run(govern, call.token)
        else:
            token.narrow(call.limits.budget(call.time()))
        self._keep(call, task, awaitable, None)

    def run_bare(
        self, request: Any, awaitable: Awaitable[Any], write: Write, declaration: "Declaration[..., Any]"
    ) -> bytes | None:
        """Run what a handler returned that asks for nothing; the answer if it never waited."""
        if self.lane.full:
            call = self.accept(request, write, declaration)
            variables = copy_context()
            variables.run(govern, call.token)
            try:
                return self.begin(call, awaitable, variables)
            except McpError as error:
                call.responder.settle()
                return self.failed(request, error, declaration.where)
        task = self.start(guarded(awaitable))
        if not task.done():
            return self.keep(task, awaitable, request, declaration, write)
        try:
            return write(request.id, task.result())
        except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
            return self.failed(request, error, declaration.where)

    def start_first(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """What `start` is until there is a loop, and where Python cannot start a task eagerly."""
        loop = asyncio.get_running_loop()
        if not CAN_START_EAGERLY:
            self._vars = copy_context()
            return asyncio.Task(coroutine, loop=loop, context=self._vars)
        kind: Any = asyncio.Task  # Not `Task[Any]`, which is a call more. A partial is the cheapest way to start one.
        self.start = partial(kind, loop=loop, eager_start=True)
        return self.start(coroutine)

    def _last_context(self) -> ContextVars:
        """The context of the task that was just made, which Python 3.11 cannot be asked for."""
        assert self._vars is not None
        return self._vars

    def _keep(
        self, call: Call, task: asyncio.Task[Any], awaitable: Awaitable[Any], turn: "asyncio.Future[None] | None"
    ) -> None:
        # A task that is cancelled before it starts never reaches what the handler returned, nor what that awaits.
        task.add_done_callback(partial(give_up, awaitable))
        if call.inner is not None:
            task.add_done_callback(partial(give_up, call.inner))
        self.calls[call.responder] = call
        call.token.on_cancel = call.stop
        call.token.catch_up()  # It may have been to stop before it was known that it waits.
        if turn is None:
            self.lane.enter()
        self.expect_end(call)
        call.replies.keep(call)
        call.batch = self.batch
        if call.batch is not None:
            call.batch.expect()
        task.add_done_callback(partial(self._finished, call, turn))

    # -- stopping ---------------------------------------------------------------------------------------------------

    def cancel(self, responder: Responder) -> None:
        """The client wants no answer any more."""
        call = self.calls.get(responder)
        if call is not None:
            call.cancel(CancelKind.USER, "its client has cancelled it")
            self.expect_cleanup(call, CancelKind.USER)

    def expect_end(self, call: Call) -> None:
        """Watch the deadline of a call, from now on or anew; not while its clock stands still."""
        if call.is_paused:
            return
        due = call.token.budget.deadline
        if due < inf:
            call.deadline = self._watch(call, due, self._time_up)

    def _time_up(self, call: Call) -> None:
        reason = call.limits.exceeded(call.title, call.time(), call.declaration)
        call.token.cancel(reason)
        if call.runs_thread:  # Nothing stops a thread from outside, and nothing it does could change the answer.
            self.answer_for(call, reason)
        self.expect_cleanup(call, reason.kind)

    def expect_cleanup(self, call: Call, kind: CancelKind) -> None:
        """Watch how long a call that is to stop takes to clean up, instead of its deadline."""
        if call.deadline is not None:
            call.deadline.cancel()
        call.deadline = self._watch(call, call.time() + kind.cleanup_seconds, self._overdue)

    def _watch(self, call: Call, due: float, then: Callable[[Call], None]) -> "Deadline":
        deadlines = self._deadlines
        if deadlines is None:
            from tybalt.execution.deadlines import deadlines_of

            deadlines = self._deadlines = deadlines_of(call.loop)
        return deadlines.add(due, partial(then, call))

    def _overdue(self, call: Call) -> None:
        """It was to stop and does not: say so, and let nobody wait for it any longer. Its turn stays taken."""
        what = "its thread goes on" if call.runs_thread else "its handler goes on"
        logger.error("%s does not stop though it was cancelled (%s); %s", call.where, call.token.reason, what)
        if call.declaration is not None:
            call.session.server.handling(call.declaration).placement.record_overdue()
        assert call.token.reason is not None
        self.answer_for(call, _in_full(call, call.token.reason))

    def answer_for(self, call: Call, reason: CancelReason) -> None:
        """Answer a call that still runs, unless it has its answer or its client wants none.

        Where something of it has failed, the answer is that failure, and not the reason.
        """
        if not call.is_open:
            self._deliver(call, None)  # The rest of a batch does not wait for it either.
            return
        outcome = Cancelled(reason) if call.failure is None else Outcome.of(call.failure)
        answer = self.told(call.request, outcome, call.where)
        call.responder.settle()
        self._deliver(call, answer)

    def tasks(self) -> "list[asyncio.Task[Any]]":
        """The tasks of all that runs."""
        return [call.task for call in self.calls.values() if call.task is not None]

    def leave_behind(self, call: Call, reason: CancelReason) -> None:
        """Forget a call that does not stop, and answer it."""
        del self.calls[call.responder]
        if call.deadline is not None:
            call.deadline.cancel()
        self.answer_for(call, reason)

    # -- answering --------------------------------------------------------------------------------------------------

    def _finished(self, call: Call, turn: "asyncio.Future[None] | None", task: asyncio.Task[Any]) -> None:
        if call.deadline is not None:
            call.deadline.cancel()
        call.end()
        self.calls.pop(call.responder, None)  # Not there where it was left behind: its turn was taken all the same.
        if turn is None or (turn.done() and not turn.cancelled()):
            if call.turn_is_back:
                call.turn_is_back = False
                self.lane.forget_asking()
            else:
                self.lane.leave()
        else:
            self.lane.give_up(turn)
        if call.is_open:
            answer = self._answer(call)
            _report_overrun(call)
            call.responder.settle()
            self._deliver(call, answer)
        else:
            outcome_of(call)  # Looked at, so that asyncio does not report it: nobody wants it any more.
            self._deliver(call, None)

    def _deliver(self, call: Call, answer: bytes | None) -> None:
        if call.is_delivered:
            return  # It was answered before it was over.
        call.is_delivered = True
        if call.batch is not None:
            batch, call.batch = call.batch, None
            answer = batch.settle(answer)
            if not batch.is_whole:
                return
        call.replies.finish(answer)

    def _answer(self, call: Call) -> bytes:
        request = call.request
        outcome = outcome_of(call)
        try:
            if not isinstance(outcome, Ok):
                return self.told(request, outcome, call.where)
            value: Any = outcome.value
            if getattr(value, "result_type", None) == "input_required":  # Its class would load what few servers need.
                return self._connection.respond(request, value)
            return call.write(request.id, value)
        except BaseException as error:  # noqa: BLE001 (a value that cannot be written, or anything its author made)
            return self.told(request, Outcome.of(error), call.where)

    def failed(self, request: Any, error: BaseException, where: str) -> bytes:
        """The answer for a handler that raised. Only an interrupt from the keyboard is passed on."""
        return self.told(request, _outcome_for(None, error), where)

    def told(self, request: Any, outcome: Outcome[Any], where: str) -> bytes:
        """The answer for what did not succeed: declared errors as they are, others masked under a reference id.

        Whatever it was, the server goes on: an exit asked for in a handler, too, is that handler's failure.
        """
        error: BaseException
        if isinstance(outcome, Err):
            error = outcome.error
            if not row_of(error).masked:
                try:
                    return self._connection.respond(request, error)
                except BaseException as failure:  # noqa: BLE001 (text or data that cannot be encoded)
                    error = failure
        elif isinstance(outcome, Panicked):
            error = outcome.error
        else:
            return self._connection.respond(request, outcome)
        reference = os.urandom(4).hex()
        logger.error("%s failed (reference %s)", where, reference, exc_info=error)
        masked = f"{visible_text(error)} in {titled(where)}; the server's log has it under {reference}"
        return self._connection.respond(request, error, masked=masked)


def _report_overrun(call: Call) -> None:
    """What blocks the loop cannot be stopped; that it took longer than the server grants is at least said."""
    if call.time() <= call.token.deadline or call.token.reason is not None:
        return
    if (limits := call.limits).granted <= limits.allowed:  # Else it is the client who would fill the log.
        logger.warning("%s took longer than its %g s, and blocked the loop meanwhile", call.where, limits.granted)


def outcome_of(call: Call) -> Outcome[Any]:
    """What became of a call whose task is done."""
    task = call.task
    assert task is not None
    if call.failure is not None:
        if not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not report it.
        return Outcome.of(call.failure)
    if task.cancelled():
        return Cancelled(_in_full(call, call.token.reason or _STOPPED))
    error = task.exception()
    return Ok(task.result()) if error is None else _outcome_for(call, error)


def _outcome_for(call: Call | None, error: BaseException) -> Outcome[Any]:
    """What a handler's exception stands for."""
    if isinstance(error, asyncio.CancelledError):
        return Cancelled(_STOPPED)
    outcome = Outcome.of(error)
    if call is not None and isinstance(outcome, Cancelled):
        return Cancelled(_in_full(call, call.token.reason or outcome.reason))
    return outcome


def exceeded_limit(call: Call) -> TimedOut | None:
    """The failure of a call that is stopped because a limit is exceeded; `None` where that is not why, or not known."""
    reason = call.token.reason
    if reason is None or not reason.kind.is_limit or not call.is_open:
        return None
    return TimedOut(_in_full(call, reason).message)


def _in_full(call: Call, reason: CancelReason) -> CancelReason:
    """The same, but where the time is up, with the limit in words: a checkpoint that notices it first knows of none."""
    if reason.kind is CancelKind.DEADLINE and call.time() >= call.token.budget.deadline:
        return call.limits.exceeded(call.title, call.time(), call.declaration)
    return reason


_STOPPED: Final = CancelReason(CancelKind.PARENT_CANCELLED, "its handler was stopped")
