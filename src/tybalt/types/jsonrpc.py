"""JSON-RPC: the frames every request, notification, result and error is built from.

A request or notification Struct is tagged by its `method`, so one decoder over a union of them reads envelope and
params in a single pass. Responses are read in two steps (`result` stays raw), because only the one who asked knows
what the result is. Ids are integers or strings; `null` is not an id (2026-07-28 basic/index, "Requests").

The results' `result_type` is absent in legacy revisions; whoever sends a modern result fills it in.
"""

from typing import Any, ClassVar, Literal, TypeAlias

import msgspec

from tybalt.errors import Era
from tybalt.types.base import Wire
from tybalt.types.meta import NotificationMeta, RequestMeta, ResultMeta

RequestId: TypeAlias = int | str
Cursor: TypeAlias = str


class Request(Wire, gc=False, frozen=True, kw_only=True):
    """The frame of a request; each method derives from it and adds its tag and its `params`."""

    era: ClassVar[Era] = "modern"
    """The era whose form of the request this class is."""
    jsonrpc: Literal["2.0"]
    id: RequestId

    @property
    def method(self) -> str:
        """The method, which is the tag of the class."""
        return str(self.__struct_config__.tag)


class RequestParams(Wire, gc=False, frozen=True, kw_only=True):
    """The params every modern request has: `_meta`, with the revision and the client's capabilities."""

    meta: RequestMeta = msgspec.field(name="_meta")


class PaginatedRequestParams(RequestParams, gc=False, frozen=True, kw_only=True):
    """Params of a list request; `cursor` continues where an earlier page ended."""

    cursor: Cursor | None = None


class InputResponseRequestParams(RequestParams, gc=False, frozen=True, kw_only=True):
    """Params of a request that may be a retry with the answers its server asked for.

    `input_responses` stays raw, because only the server knows what it asked under each key: who asked decodes it, as
    `InputResponses`. It is a slice of the message and keeps it alive;
    `UNSET` when absent. 2026-07-28 basic/patterns/mrtr.
    """

    input_responses: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    request_state: str | None = None


class Notification(Wire, gc=False, frozen=True, kw_only=True):
    """The frame of a notification; each method derives from it and adds its tag and its `params`.

    `id` takes nothing, so that a decoder refuses what looks like a request. It is never on the wire.
    """

    jsonrpc: Literal["2.0"]
    id: msgspec.UnsetType = msgspec.UNSET

    @property
    def method(self) -> str:
        """The method, which is the tag of the class."""
        return str(self.__struct_config__.tag)


class NotificationParams(Wire, gc=False, frozen=True, kw_only=True):
    """The params every notification may have: `_meta`."""

    meta: NotificationMeta | None = msgspec.field(name="_meta", default=None)


class Result(Wire, frozen=True, kw_only=True):
    """The members every result may have. `result_type` is `complete` or `input_required`; absent in legacy."""

    result_type: str | None = None
    meta: ResultMeta | None = msgspec.field(name="_meta", default=None)


EmptyResult = Result


class PaginatedResult(Result, frozen=True, kw_only=True):
    """One page of a list; `next_cursor` is absent on the last one."""

    next_cursor: Cursor | None = None


class CacheableResult(Result, frozen=True, kw_only=True):
    """A result a client may keep for `ttl_ms` milliseconds, for all its users or for one (2026-07-28 caching)."""

    ttl_ms: int | float | None = None
    cache_scope: Literal["public", "private"] | None = None


class PaginatedCacheableResult(PaginatedResult, frozen=True, kw_only=True):
    """One page of a list a client may keep, see `CacheableResult`."""

    ttl_ms: int | float | None = None
    cache_scope: Literal["public", "private"] | None = None


class Error(Wire, frozen=True, kw_only=True):
    """The `error` of an error response; `data` is anything, `null` included, or absent (`UNSET`)."""

    code: int
    message: str
    data: Any = msgspec.UNSET


class JSONRPCResultResponse(Wire, gc=False, frozen=True, kw_only=True):
    """A successful answer; `result` is a slice of the message, to be decoded by whoever asked."""

    jsonrpc: Literal["2.0"]
    id: RequestId
    result: msgspec.Raw


class JSONRPCErrorResponse(Wire, gc=False, frozen=True, kw_only=True):
    """A failed answer; `id` is None when the request could not be read."""

    jsonrpc: Literal["2.0"]
    id: RequestId | None = None
    error: Error
