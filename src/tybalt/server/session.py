"""One connection being served: the protocol core in the middle, handlers on one side, an output on the other.

A session is fed messages and gives back answers: at once where a handler finishes at once, else later through its
output. It reads no transport (`serving` does) and knows no byte stream. Everything runs on one event loop.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import ContextVar, copy_context
from functools import partial
from sys import version_info
from time import monotonic
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, Protocol

from tybalt.errors import InvalidParams, McpError, MisuseError, ToolError, cut, only_error
from tybalt.outcomes import Cancelled
from tybalt.protocol.actions import Batch, CancelRequest, Ignored
from tybalt.protocol.answers import encode
from tybalt.protocol.codec import UNREADABLE, LegacyCall, ModernCall
from tybalt.protocol.connection import ServerConnection
from tybalt.protocol.responder import Responder
from tybalt.protocol.subscriptions import ListName
from tybalt.reasons import CancelKind, CancelReason
from tybalt.server.context import Context, Sent
from tybalt.server.declaration import Declaration
from tybalt.server.receiving import compile_receive
from tybalt.server.turns import Turns, after
from tybalt.types import legacy
from tybalt.types.completion import CompleteRequest
from tybalt.types.content import TextContent
from tybalt.types.prompts import GetPromptRequest, ListPromptsRequest
from tybalt.types.resources import (
    ListResourcesRequest,
    ListResourceTemplatesRequest,
    ReadResourceRequest,
    ResourceContents,
)
from tybalt.types.tools import CallToolRequest, CallToolResult, ListToolsRequest

if TYPE_CHECKING:
    from tybalt.server.batch import BatchAnswers
    from tybalt.server.catalogue import Kind
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")

MAX_NESTING: Final = 10
"""How deep `Context.call_tool` and `Context.read_resource` may nest."""

CLEANUP: Final = 1.0
"""Seconds that handlers get at least to clean up after they were cancelled."""

_nesting: ContextVar[int] = ContextVar("tybalt_nesting", default=0)

Write = Callable[[int | str, Any], bytes]
"""Turns a request id and what a handler returned into the answer."""


class Output(Protocol):
    """Where a session's own messages go."""

    def write(self, *messages: bytes) -> None:
        """Take whole messages, in order, without waiting."""
        ...

    def announce(self, *messages: bytes) -> None:
        """`write` what says nothing new when it is said twice: one that waits already need not be kept again."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether messages are waiting because the peer does not read."""
        ...

    async def drained(self) -> None:
        """Wait until none is waiting."""
        ...


class Session:
    """One connection to `server`: messages to `receive`; what it says by itself, or later, goes to `output`."""

    def __init__(self, server: "Server", output: Output) -> None:
        self.server = server
        self.connection = ServerConnection(server.profile)
        self._catalogue = server.catalogue
        self._output = output
        self.receive = compile_receive(self)
        """Handle one message as a transport delivered it; the answer if there is one at once, else `None`.

        Never raises for what a peer sends. It is another function after the handshake, and when tools change: look it
        up for every message.
        """
        self.start: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]] = self._start_first
        """Start a handler's task; where Python can, it runs up to its first wait before this returns."""
        self._revision: str | None = None
        self._message = b""
        self._running: dict[Responder, asyncio.Task[Any]] = {}
        """Every request that is not answered yet, those among them that wait for their turn."""
        self._turns = Turns(server.max_running)
        self.full = False
        """Whether so many handlers run that the next one has to wait for its turn."""
        self._batch: BatchAnswers | None = None
        self._dispatch = self._dispatch_table()
        self._catalogue.watch(self)

    # -- messages in ------------------------------------------------------------------------------------------------

    def act(self, action: Any, message: bytes) -> bytes | None:
        """Do what the core says about a message."""
        if type(action) is bytes or action is None:
            if self._revision != self.connection.revision:  # That was the handshake.
                self._revision = self.connection.revision
                self.receive = compile_receive(self)
            return action
        self._message = message
        try:
            return self._dispatch[type(action)](action)
        finally:
            self._message = b""  # Who needs it has it; a large one must not be kept until the next.

    # -- running a handler ------------------------------------------------------------------------------------------

    def run(self, request: Any, declaration: Declaration[..., Any], arguments: Any, write: Write) -> bytes | None:
        """Run a handler that may want a context or be async; the answer if it finishes at once."""
        responder = context = None
        if declaration.wants_context:
            responder = self.connection.accept(request)
            context = Context(self, responder, self._message)
        started = monotonic() if declaration.timeout is not None else 0.0
        try:
            value = copy_context().run(declaration.invoke, arguments, context)
            if hasattr(value, "__await__"):
                return self.run_async(request, value, write, declaration, responder)
            if declaration.timeout is not None:
                _report_overrun(declaration, monotonic() - started)
            answer = write(request.id, value)
        except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
            answer = self.failed(request, error, declaration)
        return answer if responder is None or responder.settle() else None

    def failed(self, request: Any, error: BaseException, declaration: Declaration[..., Any]) -> bytes:
        """The answer for a handler that raised: declared errors as they are, others masked under a reference id.

        Whatever it was, the server goes on: an exit asked for in a handler, too, is that handler's failure. Only an
        interrupt from the keyboard is passed on.
        """
        if isinstance(error, KeyboardInterrupt):
            raise error
        if isinstance(error, asyncio.CancelledError):
            return self.connection.respond(
                request, Cancelled(CancelReason(CancelKind.PARENT_CANCELLED, "its handler was stopped"))
            )
        error = only_error(error)
        if isinstance(error, McpError | ToolError):
            try:
                return self.connection.respond(request, error)
            except BaseException as failure:  # noqa: BLE001 (text or data that cannot be encoded)
                error = failure
        reference = os.urandom(4).hex()
        logger.error("%s failed (reference %s)", declaration.where, reference, exc_info=error)
        masked = f"Internal error in {declaration.noun} {declaration.name!r}; the server's log has it under {reference}"
        return self.connection.respond(request, error, masked=masked)

    def run_async(
        self,
        request: Any,
        awaitable: Awaitable[Any],
        write: Write,
        declaration: Declaration[..., Any],
        responder: Responder | None = None,
    ) -> bytes | None:
        """Run what an async handler returned in a task of its own; the answer if it never waited."""
        doing = guarded(awaitable) if declaration.timeout is None else _bounded(awaitable, declaration)
        if self.full:
            return self._queue(doing, request, awaitable, write, declaration, responder)
        task = self.start(doing)
        if not task.done():
            return self.wait_for(task, awaitable, request, declaration, write, responder)
        answer = self._answer(request, task, write, declaration)
        return answer if responder is None or responder.settle() else None

    def _queue(
        self,
        doing: Coroutine[Any, Any, Any],
        request: Any,
        awaitable: Awaitable[Any],
        write: Write,
        declaration: Declaration[..., Any],
        responder: Responder | None,
    ) -> None:
        """Run it when it is its turn. Raises `McpError` where too many wait."""
        try:
            turn = self._turns.take()
        except McpError:
            doing.close()
            _give_up(awaitable)
            raise
        task = self.start(after(turn, doing))
        task.add_done_callback(partial(_give_up, doing))
        task.add_done_callback(partial(self._turns.leave, turn))
        self.wait_for(task, awaitable, request, declaration, write, responder)

    def _start_first(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """The first task binds the session to its loop; a partial is the cheapest way to start the others."""
        loop = asyncio.get_running_loop()
        eagerly: dict[str, Any] = {"eager_start": True} if version_info >= (3, 12) else {}
        self.start = partial(asyncio.Task, loop=loop, **eagerly)
        return self.start(coroutine)

    def wait_for(
        self,
        task: asyncio.Task[Any],
        awaitable: Awaitable[Any],
        request: Any,
        declaration: Declaration[..., Any],
        write: Write,
        responder: Responder | None = None,
    ) -> None:
        """Answer a request when its task, which awaits `awaitable`, is done. Until then a cancel finds it."""
        # A task that is cancelled before it starts never reaches what the handler returned.
        task.add_done_callback(partial(_give_up, awaitable))
        responder = responder or self.connection.accept(request)
        self._running[responder] = task
        self.full = len(self._running) >= self._turns.limit
        batch = self._batch
        if batch is not None:
            batch.expect()
        task.add_done_callback(partial(self._finished, responder, write, declaration, batch))

    def _finished(
        self,
        responder: Responder,
        write: Write,
        declaration: Declaration[..., Any],
        batch: "BatchAnswers | None",
        task: asyncio.Task[Any],
    ) -> None:
        if self._running.pop(responder, None) is None:
            if not task.cancelled():
                task.exception()  # Left behind, and answered then; what became of it after all is not asked.
            return
        if self.full:
            self._turns.pass_on(len(self._running))
            self.full = len(self._running) >= self._turns.limit
        answer = self._answer(responder.request, task, write, declaration) if not responder.cancelled else None
        if responder.cancelled and not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not report it: nobody wants the outcome any more.
        if not responder.settle():
            answer = None
        if batch is not None:
            answer = batch.settle(answer)
        if answer is not None:
            self._output.write(answer)

    def _answer(self, request: Any, task: asyncio.Task[Any], write: Write, declaration: Declaration[..., Any]) -> bytes:
        if task.cancelled():
            return self.connection.respond(
                request, Cancelled(CancelReason(CancelKind.SHUTDOWN, "it was stopped while it ran"))
            )
        if (error := task.exception()) is not None:
            return self.failed(request, error, declaration)
        try:
            return write(request.id, task.result())
        except Exception as failure:  # noqa: BLE001 (a handler may raise anything)
            return self.failed(request, failure, declaration)

    # -- the methods ------------------------------------------------------------------------------------------------

    def _dispatch_table(self) -> dict[type, Callable[[Any], bytes | None]]:
        by_method: list[tuple[tuple[type, ...], Callable[[Any], bytes | None]]] = [
            ((CallToolRequest, ModernCall, legacy.CallToolRequest, LegacyCall), self._call_tool),
            ((ListToolsRequest, legacy.ListToolsRequest), partial(self._list, "tool")),
            ((ListResourcesRequest, legacy.ListResourcesRequest), partial(self._list, "resource")),
            ((ListResourceTemplatesRequest, legacy.ListResourceTemplatesRequest), partial(self._list, "template")),
            ((ListPromptsRequest, legacy.ListPromptsRequest), partial(self._list, "prompt")),
            ((ReadResourceRequest, legacy.ReadResourceRequest), self._read_resource),
            ((GetPromptRequest, legacy.GetPromptRequest), self._get_prompt),
            ((CompleteRequest, legacy.CompleteRequest), self._complete),
            ((CancelRequest,), self._cancel),
            ((Batch,), self._feed_batch),
            ((Ignored,), _note_ignored),
        ]
        return {kind: handle for kinds, handle in by_method for kind in kinds}

    def _list(self, kind: "Kind", request: Any) -> bytes:
        answers = self.connection.answers_for(request)
        cursor = request.params.cursor if request.params is not None else None
        try:
            return answers.encoded(request.id, self._catalogue.page(kind, answers.revision, cursor))
        except McpError as error:
            return answers.error(request.id, error)

    def _call_tool(self, request: Any) -> bytes | None:
        """`tools/call` in any revision; `receive` has a shorter way for plain tools."""
        calls = self._catalogue.calls(self.connection.revision_of(request))
        call = calls.get(request.params.name)
        return self._no_such_tool(request) if call is None else call(request, self)

    def _no_such_tool(self, request: Any) -> bytes:
        return self.connection.respond(request, InvalidParams(f"Unknown tool: {cut(request.params.name)}"))

    def _read_resource(self, request: Any) -> bytes | None:
        try:
            resource, arguments = self._catalogue.resource_call(request.params.uri)
        except BaseException as error:  # noqa: BLE001 (a validator may raise anything)
            return self._refused(request, error)
        answers = self.connection.answers_for(request)
        uri = request.params.uri

        def write(request_id: int | str, value: Any) -> bytes:
            return answers.result(request_id, resource.result(uri, value))

        return self.run(request, resource, arguments, write)

    def _get_prompt(self, request: Any) -> bytes | None:
        try:
            prompt, arguments = self._catalogue.prompt_call(request.params.name, request.params.arguments or {})
        except BaseException as error:  # noqa: BLE001 (a validator may raise anything)
            return self._refused(request, error)
        return self.run(request, prompt, arguments, self._writer(request, prompt.result))

    def _complete(self, request: Any) -> bytes | None:
        answers = self.connection.answers_for(request)
        try:
            completer, arguments = self.server.completions.call(request.params)
        except BaseException as error:  # noqa: BLE001 (a validator may raise anything)
            return self._refused(request, error)
        if arguments is None:
            return answers.result(request.id, completer)
        return self.run(request, completer, arguments, self._writer(request, completer.result))

    def _refused(self, request: Any, error: BaseException) -> bytes:
        """The answer to what could not be handed to a handler."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        if isinstance(error, McpError):
            return self.connection.respond(request, error)
        reference = os.urandom(4).hex()
        logger.error("%s: its arguments could not be read (reference %s)", request.method, reference, exc_info=error)
        return self.connection.respond(
            request, error, masked=f"Internal error; the server's log has it under {reference}"
        )

    def _writer(self, request: Any, result_of: Callable[[Any], Any]) -> Write:
        answers = self.connection.answers_for(request)
        return lambda request_id, value: answers.result(request_id, result_of(value))

    def _cancel(self, action: CancelRequest) -> None:
        for responder in action.responders:
            if (task := self._running.get(responder)) is not None:
                task.cancel()

    def _feed_batch(self, batch: Batch) -> bytes | None:
        """Run the elements concurrently; one array answers them all when the last is done (2025-03-26 basic)."""
        from tybalt.server.batch import BatchAnswers

        self._batch = answers = BatchAnswers()
        try:
            for message, action in batch.items:
                self._message = message
                answer = action if type(action) is bytes else self._dispatch[type(action)](action)
                answers.add(answer)
        finally:
            self._batch = None
        return answers.close()

    # -- for contexts -----------------------------------------------------------------------------------------------

    def notify(self, message: bytes | None) -> Sent:
        """Send a notification that may be lost: dropped while the output is blocked, so that nothing piles up."""
        if message is not None and not self._output.blocked:
            self._output.write(message)
        return Sent(self)

    async def drained(self) -> None:
        """Wait until the output has room."""
        await self._output.drained()

    async def call_tool(
        self, name: str, arguments: Mapping[str, Any], responder: Responder, message: bytes
    ) -> CallToolResult:
        """`Context.call_tool`."""
        tool = self._catalogue.get("tool", name)
        if tool is None:
            raise InvalidParams(f"Unknown tool: {cut(name)}")
        raw = encode(arguments)
        try:
            decoded = tool.parameters.decode(raw)
        except UNREADABLE:
            decoded = tool.read_lax(raw)
        try:
            return tool.shape.result(await self._nested(tool, decoded, responder, message))
        except ToolError as error:
            return CallToolResult(content=[TextContent(text=str(error))], is_error=True)

    async def read_resource(self, uri: str, responder: Responder, message: bytes) -> list[ResourceContents]:
        """`Context.read_resource`."""
        resource, arguments = self._catalogue.resource_call(uri)
        value = await self._nested(resource, arguments, responder, message)
        return resource.result(uri, value).contents

    async def _nested(
        self, declaration: Declaration[..., Any], arguments: Any, responder: Responder, message: bytes
    ) -> Any:
        depth = _nesting.get() + 1
        if depth > MAX_NESTING:
            raise MisuseError(f"{declaration.where}: nested {depth} deep; at most {MAX_NESTING} calls may nest")
        token = _nesting.set(depth)
        try:
            context = Context(self, responder, message) if declaration.wants_context else None
            value = declaration.invoke(arguments, context)
            if not hasattr(value, "__await__"):
                return value
            return await (value if declaration.timeout is None else _bounded(value, declaration))
        finally:
            _nesting.reset(token)

    # -- changes and the end ----------------------------------------------------------------------------------------

    def catalogue_changed(self, name: ListName) -> None:
        """Tell the client that a list has changed, if it may know."""
        self.connection.profile = self.server.profile
        if name == "tools":
            self.receive = compile_receive(self)
        self._output.announce(*self.connection.list_changed(name))

    def resource_updated(self, uri: str) -> None:
        """Tell the client that a resource has changed, if it watches it."""
        self._output.announce(*self.connection.resource_updated(uri))

    def close(self) -> None:
        """Stop watching the catalogue."""
        self._catalogue.unwatch(self)

    async def drain(self, grace: float, hurry: asyncio.Event | None = None) -> None:
        """End subscriptions, let what runs finish for `grace` seconds, then stop it; each request gets its answer.

        When `hurry` is set, the grace is over. What is stopped then gets as long again to clean up, or a second.
        """
        self._output.write(*self.connection.end_subscriptions())
        hurried = False
        if self._running:
            waiting = asyncio.ensure_future(asyncio.wait(tuple(self._running.values()), timeout=grace))
            hurried = not await unless(hurry, waiting)
        await self.abort(CLEANUP if hurried else max(grace, CLEANUP))

    async def abort(self, patience: float = CLEANUP) -> None:
        """Cancel what runs and wait for it to be gone, `patience` seconds at most.

        A handler that goes on regardless is reported and left behind; its request is answered all the same.
        """
        running = dict(self._running)
        for task in running.values():
            task.cancel()
        if not running:
            return
        _, stubborn = await asyncio.wait(running.values(), timeout=patience)
        reason = CancelReason(CancelKind.SHUTDOWN, "the server ends, and it did not")
        for responder, task in running.items():
            if task in stubborn:
                logger.error("a handler does not stop though it was cancelled; it is left behind: %r", task)
                del self._running[responder]
                if (answer := responder.respond(Cancelled(reason))) is not None:
                    self._output.write(answer)


async def unless(stop: asyncio.Event | None, doing: "asyncio.Future[Any]") -> bool:
    """Wait until `doing` is done, or give it up when `stop` is set: False then. Raises what `doing` raises."""
    if stop is None:
        await doing
        return True
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            doing.result()
            return True
        return False
    finally:
        for each in (doing, stopping):
            each.cancel()
        await asyncio.wait([doing, stopping])


def _note_ignored(action: Ignored) -> None:
    logger.debug("ignored: %s", action.reason)


def _give_up(awaitable: Awaitable[Any], _: object = None) -> None:
    """Stop what nobody will await any more; what is over stays as it is."""
    if isinstance(awaitable, CoroutineType):
        awaitable.close()
    elif isinstance(awaitable, asyncio.Future):
        awaitable.cancel()


async def guarded(awaitable: Awaitable[Any]) -> Any:
    """What a handler awaits, in a task's own coroutine: an exit asked for in there must not end the loop."""
    try:
        return await awaitable
    except SystemExit as error:
        raise RuntimeError(f"a handler wanted to end the process: {error!r}") from error


async def _bounded(awaitable: Awaitable[Any], declaration: Declaration[..., Any]) -> Any:
    """`guarded`, and ended when the handler's timeout has passed."""
    scope = asyncio.timeout(declaration.timeout)
    try:
        async with scope:
            return await guarded(awaitable)
    except TimeoutError:
        if not scope.expired():
            raise
        text = f"{declaration.noun} {declaration.name!r} did not finish within its {declaration.timeout:g} s"
        raise (ToolError(text) if declaration.kind == "tool" else McpError(text, code=408)) from None


def _report_overrun(declaration: Declaration[..., Any], seconds: float) -> None:
    if declaration.timeout is not None and seconds > declaration.timeout:
        logger.warning("%s took %.3g s, more than its %g s", declaration.where, seconds, declaration.timeout)
