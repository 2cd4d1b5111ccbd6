"""How one handler calls another of the same server: as the same client would, on what is left of its own request.

Past the middleware, for the request has passed it; with the token narrowed, the depth bounded, and stopped together.
"""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import InvalidParams, MisuseError, TimedOut, cut, row_of
from tybalt.execution.tokens import governed
from tybalt.protocol.answers import encode
from tybalt.protocol.codec import UNREADABLE
from tybalt.reasons import CancelKind, Interrupted
from tybalt.server.call import titled
from tybalt.types.content import TextContent
from tybalt.types.resources import ReadResourceResult
from tybalt.types.tools import CallToolResult

if TYPE_CHECKING:
    from tybalt.server.call import Call
    from tybalt.server.declaration import Declaration
    from tybalt.server.server import Server

MAX_NESTING: Final = 10
"""How deep `Context.call_tool` and `Context.read_resource` may nest."""

_nesting: ContextVar[int] = ContextVar("tybalt_nesting", default=0)


async def call_tool(call: "Call", name: str, arguments: Mapping[str, Any]) -> CallToolResult:
    """`Context.call_tool`."""
    tool, decoded = tool_call(call.session.server, name, arguments)
    try:
        return tool.shape.result(await _nested(call, tool, decoded))
    except Exception as error:
        row = row_of(error)
        if row.masked or not row.is_result(call.session.connection.revision_of(call.request)):
            raise
        return CallToolResult(content=[TextContent(text=str(error))], is_error=True)


async def read_resource(call: "Call", uri: str) -> ReadResourceResult:
    """`Context.read_resource`."""
    resource, arguments = call.session.server.catalogue.resource_call(uri)
    return resource.result(uri, await _nested(call, resource, arguments))


async def _nested(call: "Call", declaration: "Declaration[..., Any]", arguments: Any) -> Any:
    depth = _nesting.get() + 1
    if depth > MAX_NESTING:
        raise MisuseError(f"{declaration.where}: nested {depth} deep; at most {MAX_NESTING} calls may nest")
    before = _nesting.set(depth)
    perform = call.session.server.handling(declaration).perform
    scope = asyncio.timeout(declaration.timeout)
    try:
        with call.nested(declaration) as nested, governed(nested.token):
            async with scope:
                value = perform(arguments, nested)
                return await value if hasattr(value, "__await__") else value
    except (TimeoutError, Interrupted) as error:
        # A checkpoint may notice before the timer that the time of the inner handler, and of it alone, is up.
        is_inner = isinstance(error, Interrupted) and error.reason.kind is CancelKind.DEADLINE
        if declaration.timeout is None or not (scope.expired() or (is_inner and call.token.reason is None)):
            raise
        raise TimedOut(f"{titled(declaration.where)} did not finish within its {declaration.timeout:g} s") from None
    finally:
        _nesting.reset(before)


def tool_call(server: "Server", name: str, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """The tool called `name` and its decoded arguments. Raises `InvalidParams` for none, or where they do not fit."""
    tool = server.catalogue.get("tool", name)
    if tool is None:
        raise InvalidParams(f"Unknown tool: {cut(name)}")
    raw = encode(arguments)
    try:
        return tool, tool.parameters.decode(raw)
    except UNREADABLE:
        return tool, tool.read_lax(raw)
