"""Tools: what a server offers a model to call, the list of them, the call and its result.

2026-07-28 server/tools. The legacy forms of the requests are in `legacy.py`.
"""

from typing import Any, Literal

import msgspec

from tybalt.types.base import Wire
from tybalt.types.content import ContentBlock, TextContent
from tybalt.types.implementation import Icon
from tybalt.types.jsonrpc import (
    InputResponseRequestParams,
    Notification,
    NotificationParams,
    PaginatedCacheableResult,
    PaginatedRequestParams,
    Request,
    Result,
)

NO_ARGUMENTS = msgspec.Raw(b"{}")


class ToolAnnotations(Wire, gc=False, frozen=True, kw_only=True):
    """Hints about what a tool does. They are claims of the server, not facts (2026-07-28 server/tools)."""

    title: str | None = None
    read_only_hint: bool | None = None
    destructive_hint: bool | None = None
    idempotent_hint: bool | None = None
    open_world_hint: bool | None = None


class ToolExecution(Wire, gc=False, frozen=True, kw_only=True):
    """Whether a call may or must run as a task; exists in 2025-11-25 only (basic/utilities/tasks)."""

    task_support: Literal["forbidden", "optional", "required"] | None = None


class Tool(Wire, frozen=True, kw_only=True):
    """A tool as it is listed. The schemas are JSON Schema 2020-12 unless they name another `$schema`.

    `output_schema` may describe any JSON value in 2026-07-28 and only an object before; `revisions.adapt` wraps it.
    """

    name: str
    title: str | None = None
    description: str | None = None
    input_schema: dict[str, Any]
    output_schema: dict[str, Any] | None = None
    annotations: ToolAnnotations | None = None
    execution: ToolExecution | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ListToolsRequest(Request, tag_field="method", tag="tools/list", gc=False, frozen=True, kw_only=True):
    """Asks for one page of tools."""

    params: PaginatedRequestParams


class ListToolsResult(PaginatedCacheableResult, frozen=True, kw_only=True):
    """One page of tools."""

    tools: list[Tool]


class CallToolRequestParams(InputResponseRequestParams, gc=False, frozen=True, kw_only=True):
    """Which tool to call with what. `arguments` is a slice of the message, `{}` when absent, and keeps it alive."""

    name: str
    arguments: msgspec.Raw = NO_ARGUMENTS


class CallToolRequest(Request, tag_field="method", tag="tools/call", gc=False, frozen=True, kw_only=True):
    """Calls one tool."""

    params: CallToolRequestParams


class CallToolResult(Result, frozen=True, kw_only=True):
    """What a tool answered; `is_error` marks a failure the model should read.

    `structured_content` may be any JSON value in 2026-07-28, an object in 2025-06-18 and 2025-11-25. Absent is `UNSET`,
    because `null` is an answer.
    """

    content: list[ContentBlock]
    structured_content: Any = msgspec.UNSET
    is_error: bool | None = None

    @property
    def text(self) -> str:
        """What its text blocks say, a line each; empty where there are none."""
        return "\n".join(block.text for block in self.content if isinstance(block, TextContent))


class ToolListChangedNotification(
    Notification,
    tag_field="method",
    tag="notifications/tools/list_changed",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """The list of tools is another one now."""

    params: NotificationParams | None = None
