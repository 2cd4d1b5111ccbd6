"""How a handler is called: where it runs, what it is given, and what is done around it; compiled once per server.

A handler pays for what it uses. From the inside out: the call itself; a thread around it, or a generator drained; its
dependencies opened and closed; the scope that its children belong to, and in which it may ask its client. What has
none of these is called and nothing else.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from tybalt.errors import exit_refused
from tybalt.execution.budgets import Budget
from tybalt.execution.placement import Placement
from tybalt.execution.tokens import CancelToken, governed
from tybalt.reasons import CancelKind, CancelReason, Interrupted
from tybalt.server.asker import asking_as
from tybalt.server.call import Call, InvalidCall, InvalidRead, give_up, own_mistake
from tybalt.server.context import Context
from tybalt.server.input_required import InputRequired
from tybalt.server.limits import TIME_LIMITS

if TYPE_CHECKING:
    from tybalt.execution.threads import Threads
    from tybalt.server.declaration import Declaration
    from tybalt.server.dependency_plan import Plan
    from tybalt.server.server import Server

Perform = Callable[[Any, Call], Any]
"""Calls a handler with decoded arguments, for a call: its value, or something to await."""

Invoke = Callable[[Any, Mapping[str, Any], Call], Any]
"""The same with what was injected, by parameter."""


class Handling:
    """How one server handles a declaration: `perform` calls it, `placement` knows where it runs, and how long."""

    __slots__ = ("perform", "placement")

    def __init__(self, declaration: "Declaration[..., Any]", server: "Server") -> None:
        self.placement = Placement(declaration.name, declaration.run_in or "thread")
        self.perform = compile_perform(declaration, server, self.placement)


def compile_perform(declaration: "Declaration[..., Any]", server: "Server", placement: Placement) -> Perform:
    """The call of a handler with all that belongs around it."""
    invoke = _placed(declaration, server, placement)
    injected = declaration.parameters.injected
    if not injected:
        return lambda arguments, call: invoke(arguments, _NOTHING, call)
    plan = declaration.parameters.plan
    perform = _injecting(invoke, {name: kind for name, kind in injected.items() if isinstance(kind, type)})
    if plan is not None:
        perform = _depending(invoke, plan, server)
    return _scoped(perform)


_NOTHING: Mapping[Any, Any] = {}


def _placed(declaration: "Declaration[..., Any]", server: "Server", placement: Placement) -> Invoke:
    """The function itself, called where it runs."""
    function = declaration.invoke
    if declaration.streams:
        from tybalt.server.streaming import streamed

        return streamed(declaration, server, run_in_thread)
    if declaration.is_async or declaration.run_in == "loop":
        return lambda arguments, injected, _: function(arguments, injected)

    def in_thread(arguments: Any, injected: Mapping[str, Any], call: Call) -> Any:
        return run_in_thread(call, server.threads, partial(function, arguments, injected), placement)

    if declaration.run_in != "auto":
        return in_thread

    def where_it_is_best(arguments: Any, injected: Mapping[str, Any], call: Call) -> Any:
        if placement.where == "thread":
            return in_thread(arguments, injected, call)
        begun = perf_counter()
        try:
            return function(arguments, injected)
        finally:
            placement.record(perf_counter() - begun)

    return where_it_is_best


async def run_in_thread(
    call: Call, threads: "Threads", function: Callable[[], Any], placement: Placement | None = None
) -> Any:
    """What a plain function returns, run in a thread. A cancel reaches it at its next checkpoint, and is waited for.

    So does a cancel of whoever awaits it alone, such as a time limit around it: the thread has a token of its own. One
    that was cancelled before a thread was free is never called.
    """
    with call.token.child(told_alike=True) as token:
        return await _run_in_thread(call, token, threads, function, placement)


async def _run_in_thread(
    call: Call, token: CancelToken, threads: "Threads", function: Callable[[], Any], placement: Placement | None
) -> Any:
    took = 0.0
    unbegun = [function]  # Whoever takes it out decides, the thread or the cancel: both at once cannot.

    def work() -> Any:
        nonlocal took
        if not _taken(unbegun):
            return None
        call.runs_thread = True
        if call.token.reason is not None:
            raise Interrupted(call.token.reason)
        begun = perf_counter()
        try:
            return function()
        finally:
            took = perf_counter() - begun

    with governed(token):
        future = threads.run(work)
    try:
        value = await asyncio.shield(future)
    except asyncio.CancelledError:
        if _taken(unbegun):
            future.cancel()
            raise
        if token.reason is None:
            token.cancel(CancelReason(CancelKind.PARENT_CANCELLED, "whoever waited for it was stopped"))
        if not token.is_masked:
            call.wake(token)
        await _over(future)
        if not _counts(call, future):
            raise
        value = future.result()
    finally:
        call.runs_thread = False
        if placement is not None and took:
            placement.record(took)
    return await value if hasattr(value, "__await__") else value


async def run_provider(call: Call, threads: "Threads", function: Callable[[], Any]) -> Any:
    """What a plain provider returns, or a part of one that yields, run in a thread and waited for whatever happens.

    Unlike a handler it is also begun after a cancel, for it may be what cleans up.
    """
    unbegun = [function]

    def work() -> Any:
        if not _taken(unbegun):
            return None
        call.runs_thread = True
        return function()

    future = threads.run(work)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        if _taken(unbegun):
            future.cancel()
        else:
            await _over(future)
            future.exception()  # Looked at, so that asyncio does not report it.
        raise
    except SystemExit as error:
        raise exit_refused(error) from error
    finally:
        call.runs_thread = False


def _taken(unbegun: list[Any]) -> bool:
    try:
        unbegun.pop()
    except IndexError:
        return False
    return True


async def _over(future: "asyncio.Future[Any]") -> None:
    """Wait for a thread that is to stop, however often this is cancelled: what it uses must not be closed before."""
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError:
            continue


def _counts(call: Call, future: "asyncio.Future[Any]") -> bool:
    """Whether it is for the thread to say what becomes of a call that was cancelled while it ran.

    Not where somebody else is to hear of the cancel: the handler that has called this one, the round that is over, or
    whoever has set a limit to this part alone.
    """
    error = future.exception()
    if error is not None:
        return not (isinstance(error, Interrupted) and (call.is_round_over or call.token.reason is None))
    value = future.result()
    if hasattr(value, "__await__"):
        give_up(value)
        return False
    return _is_its_own(call) and not call.is_round_over


def _is_its_own(call: Call) -> bool:
    """Whether nobody else hears of why it stops: of a handler that was called, only its own limit is that."""
    if call.root is call:
        return True
    reason = call.token.reason
    return reason is not None and reason.kind in TIME_LIMITS and call.root.token.reason is None


def _injecting(invoke: Invoke, kinds: Mapping[str, Any]) -> Perform:
    """With the context and the budget of the call, by the parameters that want them."""
    if len(kinds) == 1:
        ((name, kind),) = kinds.items()
        if kind is Context:
            return lambda arguments, call: invoke(arguments, {name: Context(call)}, call)

    def perform(arguments: Any, call: Call) -> Any:
        given = given_to(call)
        return invoke(arguments, {name: given[kind] for name, kind in kinds.items()}, call)

    return perform


def given_to(call: Call) -> Mapping[Any, Any]:
    """What may be injected, by its class."""
    return {Context: Context(call), Budget: call.token.budget}


def _depending(invoke: Invoke, plan: "Plan", server: "Server") -> Perform:
    """With the dependencies opened before it, and closed after it."""

    async def resolving(arguments: Any, call: Call) -> Any:
        run = partial(run_provider, call, server.threads)
        async with plan.resolved(given_to(call), run, server.overrides) as values:
            try:
                value = invoke(arguments, values, call)
                return await value if hasattr(value, "__await__") else value
            finally:
                await call.end_children()  # They may use what is closed next.

    if not plan.is_immediate:
        return resolving

    def immediate(arguments: Any, call: Call) -> Any:
        if server.overrides:
            return resolving(arguments, call)
        return invoke(arguments, plan.values_now(given_to(call) if plan.given else _NOTHING), call)

    return immediate


def _scoped(perform: Perform) -> Perform:
    """With an end to everything it has begun, and with the rounds in which it asks its client."""

    async def called(arguments: Any, call: Call) -> Any:
        with asking_as(call.declaration, arguments):
            return await _in_scope(perform, arguments, call, perform(arguments, call))

    def scoped(arguments: Any, call: Call) -> Any:
        if call.root is not call:
            return called(arguments, call)
        if getattr(call.request.params, "request_state", None) is not None:
            _ = call.asking  # A state that is not for this request is refused before anything of it happens.
        value = perform(arguments, call)
        if hasattr(value, "__await__"):
            call.inner = value
        elif type(value) is not InputRequired:
            return value
        return _in_scope(perform, arguments, call, value)

    return scoped


async def _in_scope(perform: Perform, arguments: Any, call: Call, value: Any) -> Any:
    """What comes of a handler that was called, or the end of a round."""
    task = asyncio.current_task()
    assert task is not None
    call.begin_handler(task)
    is_own = call.root is call
    has_result = False
    if is_own and call.has_asking:
        call.asking.begin()
    try:
        result = await _after_rounds(perform, arguments, call, value)
        has_result = True
    except asyncio.CancelledError:
        if not _is_to_ask(call):
            raise
        result = None
    except (InvalidCall, InvalidRead, BaseExceptionGroup) as error:
        mistake = own_mistake(error)
        if mistake is None:
            raise
        raise mistake from error
    finally:
        if is_own and call.is_round_over:
            task.uncancel()  # Our own, heard or not: a time limit around this counts those that are left.
        if is_own and call.has_asking:
            call.asking.close()
        try:
            await call.end_children()
        except asyncio.CancelledError:
            if not has_result or call.token.reason is None or not (is_own or call.root.token.reason is None):
                raise
            if is_own:
                task.uncancel()  # It was to stop, but had its result before.
        finally:
            call.end_scope()
    # Where the handler has swallowed the cancel, too: it has not heard what it asked for.
    return call.asking.result() if _is_to_ask(call) else result


async def _after_rounds(perform: Perform, arguments: Any, call: Call, value: Any) -> Any:
    """The result, once the handler returns no questions any more."""
    before = call.begin_scope()
    try:
        while True:
            result = await value if hasattr(value, "__await__") else value
            if not isinstance(result, InputRequired):
                return result
            await call.asking.put(result)
            call.asking.again()
            if call.runner is not None:
                call.begin_handler(call.runner)
            value = perform(arguments, call)
    finally:
        call.leave_scope(before)


def _is_to_ask(call: Call) -> bool:
    """Whether this is the request's own handler, and was stopped because its client is to be asked first."""
    return call.root is call and call.is_round_over and call.token.reason is None
