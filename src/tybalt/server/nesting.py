"""How one handler calls another of the same server: as the same client would, on what is left of its own request.

Past the middleware, for the request has passed it; with the token narrowed, the depth bounded, and stopped together.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import (
    InvalidParams,
    MisuseError,
    ResourceNotFound,
    TimedOut,
    cut,
    only_error,
    row_of,
    visible_text,
)
from tybalt.execution.deadlines import deadlines_of
from tybalt.execution.tokens import bound, governed
from tybalt.protocol.answers import encode
from tybalt.protocol.codec import UNREADABLE
from tybalt.reasons import CancelReason, Interrupted
from tybalt.server.call import InvalidCall, InvalidRead
from tybalt.server.limits import TIME_LIMITS
from tybalt.types.content import TextContent
from tybalt.types.resources import ReadResourceResult
from tybalt.types.tools import CallToolResult

if TYPE_CHECKING:
    from tybalt.execution.deadlines import Deadline
    from tybalt.server.call import Call
    from tybalt.server.declaration import Declaration
    from tybalt.server.server import Server

MAX_NESTING: Final = 10
"""How deep `Context.call_tool` and `Context.read_resource` may nest."""

_nesting: ContextVar[int] = ContextVar("tybalt_nesting", default=0)


async def call_tool(call: "Call", name: str, arguments: Mapping[str, Any]) -> CallToolResult:
    """`Context.call_tool`."""
    try:
        tool, decoded = tool_call(call.session.server, name, arguments)
    except InvalidParams as error:
        raise InvalidCall(f"{call.title} calls tool {cut(name)!r}: {visible_text(error)}") from error
    try:
        return tool.shape.result(await _nested(call, tool, decoded))
    except Exception as error:
        row = row_of(error)
        if row.masked or not row.is_result(call.session.connection.revision_of(call.request)):
            raise
        return CallToolResult(content=[TextContent(text=str(error))], is_error=True)


async def read_resource(call: "Call", uri: str) -> ReadResourceResult:
    """`Context.read_resource`."""
    try:
        resource, arguments = call.session.server.catalogue.resource_call(uri)
    except ResourceNotFound:
        raise InvalidRead(uri) from None
    return resource.result(uri, await _nested(call, resource, arguments))


async def _nested(call: "Call", declaration: "Declaration[..., Any]", arguments: Any) -> Any:
    depth = _nesting.get() + 1
    if depth > MAX_NESTING:
        raise MisuseError(f"{declaration.where}: nested {depth} deep; at most {MAX_NESTING} calls may nest")
    call.check_begins(declaration)
    perform = call.session.server.handling(declaration).perform
    with bound(_nesting, depth), call.nested(declaration) as nested, governed(nested.token):
        async with TimeLimit(call, nested):
            value = perform(arguments, nested)
            return await value if hasattr(value, "__await__") else value


class TimeLimit:
    """The time that a called handler has for itself, where that is less than what is left to its caller.

    When it is over, the handler alone is stopped, and not while it is masked; the caller gets a `TimedOut`, unless the
    handler has a result all the same. It stands still while the client is asked. Not `asyncio.timeout`, which knows of
    neither.
    """

    def __init__(self, outer: "Call", call: "Call") -> None:
        self._outer = outer
        self._call = call
        self._is_shorter = call.limits.granted < outer.token.budget.deadline - outer.time()
        self._task: asyncio.Task[Any] | None = None
        self._watch: Deadline | None = None
        self._stopping: asyncio.Handle | None = None
        self._told: CancelReason | None = None
        self._is_over = False
        self._cancels = 0

    async def __aenter__(self) -> None:
        if not self._is_shorter:
            return
        self._task = self._call.token.flow = asyncio.current_task()
        self._call.token.on_cancel = self._stop
        self._call.root.limit(self)

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if not self._is_shorter:
            return
        self.pause()
        self._call.token.on_cancel = self._told = None
        self._call.root.unlimit(self)
        if self._stopping is not None:
            self._stopping.cancel()
        # Somebody else has cancelled too, and is to be heard.
        if self._is_over and self._task is not None and self._task.uncancel() > self._cancels:
            if isinstance(error, asyncio.CancelledError):
                return
            raise asyncio.CancelledError
        if error is not None and self._outer.token.reason is None and _is_late(error, is_told=self._is_over):
            raise TimedOut(self._reason().message) from None

    def pause(self) -> None:
        """Let the time stand still."""
        if self._watch is not None:
            self._watch.cancel()

    def resume(self) -> None:
        """Let it go on, until what is its end by now."""
        self._watch = deadlines_of(self._call.loop).add(self._call.token.budget.deadline, self._time_up)

    def _time_up(self) -> None:
        self._call.token.cancel(self._reason())

    def _reason(self) -> CancelReason:
        call = self._call
        return call.limits.exceeded(call.title, call.time(), call.declaration)

    def _stop(self, reason: CancelReason) -> None:
        """The token tells, as soon as nothing is masked; a cancel of the caller stops the same task by itself."""
        if reason.kind not in TIME_LIMITS or self._task is None:
            return
        token, loop, self._told = self._call.token, self._call.loop, reason
        if not self._call.on_loop:
            loop.call_soon_threadsafe(self._stop, reason)
        elif token.on_cancel is None or self._is_over:
            return  # The handler is over, or told already.
        elif asyncio.current_task(loop) is self._task:
            # Told where the handler leaves its mask: it is heard when that waits, and it may never wait any more.
            self._stopping = loop.call_soon(self._stop, reason)
        elif not token.when_unmasked(self._stop_at_last):
            self._is_over = True
            self._cancels = self._task.cancelling()  # Not before: what was caught of others may be counted still.
            self._task.cancel()

    def _stop_at_last(self) -> None:
        if self._told is not None:
            self._stop(self._told)


def _is_late(error: BaseException, *, is_told: bool) -> bool:
    """Whether it ended for its limit: stopped, or at a checkpoint that has noticed, perhaps before the timer.

    A failure of its own, such as that of a cleanup, is not replaced.
    """
    error = only_error(error)
    if isinstance(error, Interrupted):
        return is_told or error.reason.kind in TIME_LIMITS
    return is_told and isinstance(error, asyncio.CancelledError)


def tool_call(server: "Server", name: str, arguments: Mapping[str, Any], raw: bytes | None = None) -> tuple[Any, Any]:
    """The tool called `name` and its decoded arguments, which are also `raw` where they are what somebody has sent.

    Raises `InvalidParams` where there is no such tool, or where they do not fit.
    """
    tool = server.catalogue.get("tool", name)
    if tool is None:
        raise InvalidParams(f"Unknown tool: {cut(name)}")
    raw = encode(arguments) if raw is None else raw
    try:
        return tool, tool.parameters.read(raw)
    except UNREADABLE as refusal:
        return tool, tool.read_lax(raw, refusal)
