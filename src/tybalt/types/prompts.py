"""Prompts: message templates a server offers its user, the list of them, and getting one.

2026-07-28 server/prompts. The legacy forms of the requests are in `legacy.py`.
"""

from typing import Any

import msgspec

from tybalt.types.annotations import Role
from tybalt.types.base import Wire
from tybalt.types.content import ContentBlock
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


class PromptArgument(Wire, gc=False, frozen=True, kw_only=True):
    """One argument of a prompt; its value is always a string."""

    name: str
    title: str | None = None
    description: str | None = None
    required: bool | None = None


class Prompt(Wire, frozen=True, kw_only=True):
    """A prompt as it is listed."""

    name: str
    title: str | None = None
    description: str | None = None
    arguments: list[PromptArgument] | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class PromptMessage(Wire, frozen=True, kw_only=True):
    """One message of a prompt."""

    role: Role
    content: ContentBlock


class ListPromptsRequest(Request, tag_field="method", tag="prompts/list", gc=False, frozen=True, kw_only=True):
    """Asks for one page of prompts."""

    params: PaginatedRequestParams


class ListPromptsResult(PaginatedCacheableResult, frozen=True, kw_only=True):
    """One page of prompts."""

    prompts: list[Prompt]


class GetPromptRequestParams(InputResponseRequestParams, gc=False, frozen=True, kw_only=True):
    """Which prompt to get, with what in its arguments."""

    name: str
    arguments: dict[str, str] | None = None


class GetPromptRequest(Request, tag_field="method", tag="prompts/get", gc=False, frozen=True, kw_only=True):
    """Gets one prompt."""

    params: GetPromptRequestParams


class GetPromptResult(Result, frozen=True, kw_only=True):
    """The messages of a prompt with its arguments filled in."""

    description: str | None = None
    messages: list[PromptMessage]


class PromptListChangedNotification(
    Notification,
    tag_field="method",
    tag="notifications/prompts/list_changed",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """The list of prompts is another one now."""

    params: NotificationParams | None = None
