"""Sampling: what a server asks the model of its client. Deprecated in 2026-07-28, supported for interoperability.

In 2026-07-28 the question travels inside an `InputRequiredResult` and has no id; in legacy it is a request of its own
(`server_requests.py`). 2026-07-28 client/sampling; 2025-11-25 client/sampling.
"""

from typing import Any, Literal, TypeAlias

import msgspec

from tybalt.types.annotations import Role
from tybalt.types.base import Wire
from tybalt.types.content import AudioContent, ContentBlock, ImageContent, TextContent
from tybalt.types.tools import Tool


class ToolUseContent(Wire, tag_field="type", tag="tool_use", frozen=True, kw_only=True):
    """The model wants to use a tool; from 2025-11-25 on."""

    id: str
    name: str
    input: dict[str, Any]
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ToolResultContent(Wire, tag_field="type", tag="tool_result", frozen=True, kw_only=True):
    """What the tool answered; from 2025-11-25 on. See `CallToolResult` for `structured_content`."""

    tool_use_id: str
    content: list[ContentBlock]
    structured_content: Any = msgspec.UNSET
    is_error: bool | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


SamplingMessageContentBlock: TypeAlias = TextContent | ImageContent | AudioContent | ToolUseContent | ToolResultContent


class SamplingMessage(Wire, frozen=True, kw_only=True):
    """One message to or from a model. Several blocks, and `meta`, from 2025-11-25 on."""

    role: Role
    content: SamplingMessageContentBlock | list[SamplingMessageContentBlock]
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ModelHint(Wire, gc=False, frozen=True, kw_only=True):
    """Part of the name of a model that would suit."""

    name: str | None = None


class ModelPreferences(Wire, gc=False, frozen=True, kw_only=True):
    """What matters in choosing a model, each from 0 to 1; hints are tried in order."""

    hints: list[ModelHint] | None = None
    cost_priority: int | float | None = None
    speed_priority: int | float | None = None
    intelligence_priority: int | float | None = None


class ToolChoice(Wire, gc=False, frozen=True, kw_only=True):
    """Whether the model may, must or must not use a tool."""

    mode: Literal["auto", "required", "none"] | None = None


class CreateMessageRequestParams(Wire, frozen=True, kw_only=True):
    """What to ask the model. `task` and `meta` exist in legacy only; tools from 2025-11-25 on."""

    messages: list[SamplingMessage]
    model_preferences: ModelPreferences | None = None
    system_prompt: str | None = None
    include_context: Literal["none", "thisServer", "allServers"] | None = None
    temperature: int | float | None = None
    max_tokens: int
    stop_sequences: list[str] | None = None
    metadata: dict[str, Any] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    task: dict[str, Any] | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class CreateMessageRequest(Wire, tag_field="method", tag="sampling/createMessage", frozen=True, kw_only=True):
    """Asks the model, from within an `InputRequiredResult`."""

    params: CreateMessageRequestParams


class CreateMessageResult(SamplingMessage, frozen=True, kw_only=True):
    """What the model said. `stop_reason` is `endTurn`, `stopSequence`, `maxTokens`, `toolUse` or the provider's own."""

    model: str
    stop_reason: str | None = None
