"""Completion: suggestions for one argument of a prompt or of a resource template.

2026-07-28 server/utilities/completion. The legacy form of the request is in `legacy.py`.
"""

from typing import TypeAlias

from tybalt.types.base import Wire
from tybalt.types.jsonrpc import Request, RequestParams, Result


class PromptReference(Wire, tag_field="type", tag="ref/prompt", gc=False, frozen=True, kw_only=True):
    """The prompt whose argument is being completed."""

    name: str
    title: str | None = None


class ResourceTemplateReference(Wire, tag_field="type", tag="ref/resource", gc=False, frozen=True, kw_only=True):
    """The resource template whose variable is being completed, or the URI of a resource."""

    uri: str


CompletionReference: TypeAlias = PromptReference | ResourceTemplateReference


class CompletionArgument(Wire, gc=False, frozen=True, kw_only=True):
    """The argument being completed, with what was typed so far."""

    name: str
    value: str


class CompletionContext(Wire, gc=False, frozen=True, kw_only=True):
    """The arguments that already have a value. Exists from 2025-06-18 on."""

    arguments: dict[str, str] | None = None


class CompleteRequestParams(RequestParams, gc=False, frozen=True, kw_only=True):
    """What to complete."""

    ref: CompletionReference
    argument: CompletionArgument
    context: CompletionContext | None = None


class CompleteRequest(Request, tag_field="method", tag="completion/complete", gc=False, frozen=True, kw_only=True):
    """Asks for suggestions."""

    params: CompleteRequestParams


class Completion(Wire, frozen=True, kw_only=True):
    """At most 100 suggestions, best first; `total` may be larger."""

    values: list[str]
    total: int | None = None
    has_more: bool | None = None


class CompleteResult(Result, frozen=True, kw_only=True):
    """The suggestions."""

    completion: Completion
