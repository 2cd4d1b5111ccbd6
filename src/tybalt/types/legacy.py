"""The requests of modern servers as legacy revisions send them: `_meta` optional, and `params` where it may be absent.

Each class derives from its modern namesake, so `isinstance(request, tools.CallToolRequest)` holds in both eras while
`type(request)` tells the era. Requests that exist only in legacy (`initialize`, `ping`, `logging/setLevel`,
`resources/subscribe`, `resources/unsubscribe`, `tasks/*`) stand with their nouns. This is what servers receive; what
legacy servers send is in `server_requests.py`.

The overrides widen `meta` and `params` to optional. A type checker calls that unsound for the base class, and it is:
code that takes a modern class and may be handed a legacy one must not read `meta` without looking.
"""

# pyright: reportIncompatibleVariableOverride=false, reportGeneralTypeIssues=false

from typing import Any, ClassVar

import msgspec

from tybalt.errors import Era
from tybalt.types import completion, jsonrpc, prompts, resources, tools
from tybalt.types.meta import LegacyRequestMeta


class PaginatedRequestParams(jsonrpc.PaginatedRequestParams, gc=False, frozen=True, kw_only=True):
    """Params of a list request."""

    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)


class CallToolRequestParams(tools.CallToolRequestParams, gc=False, frozen=True, kw_only=True):
    """Params of `tools/call`; `task` is a `tasks.TaskMetadata` as a plain dict, and exists in 2025-11-25 only."""

    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)
    task: dict[str, Any] | None = None


class ReadResourceRequestParams(resources.ReadResourceRequestParams, gc=False, frozen=True, kw_only=True):
    """Params of `resources/read`."""

    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)


class GetPromptRequestParams(prompts.GetPromptRequestParams, gc=False, frozen=True, kw_only=True):
    """Params of `prompts/get`."""

    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)


class CompleteRequestParams(completion.CompleteRequestParams, gc=False, frozen=True, kw_only=True):
    """Params of `completion/complete`."""

    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)


class ListToolsRequest(
    tools.ListToolsRequest, tag_field="method", tag="tools/list", gc=False, frozen=True, kw_only=True
):
    """Asks for one page of tools."""

    era: ClassVar[Era] = "legacy"
    params: PaginatedRequestParams | None = None


class CallToolRequest(tools.CallToolRequest, tag_field="method", tag="tools/call", gc=False, frozen=True, kw_only=True):
    """Calls one tool."""

    era: ClassVar[Era] = "legacy"
    params: CallToolRequestParams


class ListResourcesRequest(
    resources.ListResourcesRequest,
    tag_field="method",
    tag="resources/list",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """Asks for one page of resources."""

    era: ClassVar[Era] = "legacy"
    params: PaginatedRequestParams | None = None


class ListResourceTemplatesRequest(
    resources.ListResourceTemplatesRequest,
    tag_field="method",
    tag="resources/templates/list",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """Asks for one page of resource templates."""

    era: ClassVar[Era] = "legacy"
    params: PaginatedRequestParams | None = None


class ReadResourceRequest(
    resources.ReadResourceRequest,
    tag_field="method",
    tag="resources/read",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """Reads one resource."""

    era: ClassVar[Era] = "legacy"
    params: ReadResourceRequestParams


class ListPromptsRequest(
    prompts.ListPromptsRequest,
    tag_field="method",
    tag="prompts/list",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """Asks for one page of prompts."""

    era: ClassVar[Era] = "legacy"
    params: PaginatedRequestParams | None = None


class GetPromptRequest(
    prompts.GetPromptRequest,
    tag_field="method",
    tag="prompts/get",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """Gets one prompt."""

    era: ClassVar[Era] = "legacy"
    params: GetPromptRequestParams


class CompleteRequest(
    completion.CompleteRequest,
    tag_field="method",
    tag="completion/complete",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """Asks for suggestions."""

    era: ClassVar[Era] = "legacy"
    params: CompleteRequestParams
