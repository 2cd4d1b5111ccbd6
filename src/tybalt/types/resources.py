"""Resources: what a server lets a client read, the lists of them, reading, and news about them.

2026-07-28 server/resources. The legacy forms of the requests are in `legacy.py`.

`ResourceContents` is one Struct for text and binary alike. The wire tells them apart only by which of two keys is
there, and msgspec decodes no untagged union; a decoded value is therefore a `ResourceContents` whose `text` or `blob`
is set, and `TextResourceContents` and `BlobResourceContents` are its two exact forms, for those who build one.
"""

from typing import Any, ClassVar

import msgspec

from tybalt.errors import Era
from tybalt.types.annotations import Annotations
from tybalt.types.base import Wire
from tybalt.types.implementation import Icon
from tybalt.types.jsonrpc import (
    CacheableResult,
    InputResponseRequestParams,
    Notification,
    NotificationParams,
    PaginatedCacheableResult,
    PaginatedRequestParams,
    Request,
)
from tybalt.types.meta import LegacyRequestMeta


class ResourceContents(Wire, frozen=True, kw_only=True):
    """The contents of one resource: `text`, or `blob` in base64. Raises `ValueError` when it has neither."""

    uri: str
    mime_type: str | None = None
    text: str | None = None
    blob: str | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)

    def __post_init__(self) -> None:
        if self.text is None and self.blob is None:
            raise ValueError("resource contents need `text` or `blob`, neither is there")


class TextResourceContents(ResourceContents, frozen=True, kw_only=True):
    """Contents that are text."""

    text: str  # pyright: ignore[reportGeneralTypeIssues]


class BlobResourceContents(ResourceContents, frozen=True, kw_only=True):
    """Contents that are binary, in base64."""

    blob: str  # pyright: ignore[reportGeneralTypeIssues]


class Resource(Wire, frozen=True, kw_only=True):
    """A resource as it is listed; `size` is in bytes, before any encoding."""

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None
    annotations: Annotations | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ResourceTemplate(Wire, frozen=True, kw_only=True):
    """A family of resources, named by an RFC 6570 template."""

    uri_template: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    annotations: Annotations | None = None
    icons: list[Icon] | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ListResourcesRequest(Request, tag_field="method", tag="resources/list", gc=False, frozen=True, kw_only=True):
    """Asks for one page of resources."""

    params: PaginatedRequestParams


class ListResourcesResult(PaginatedCacheableResult, frozen=True, kw_only=True):
    """One page of resources."""

    resources: list[Resource]


class ListResourceTemplatesRequest(
    Request, tag_field="method", tag="resources/templates/list", gc=False, frozen=True, kw_only=True
):
    """Asks for one page of resource templates."""

    params: PaginatedRequestParams


class ListResourceTemplatesResult(PaginatedCacheableResult, frozen=True, kw_only=True):
    """One page of resource templates."""

    resource_templates: list[ResourceTemplate]


class ReadResourceRequestParams(InputResponseRequestParams, gc=False, frozen=True, kw_only=True):
    """Which resource to read."""

    uri: str


class ReadResourceRequest(Request, tag_field="method", tag="resources/read", gc=False, frozen=True, kw_only=True):
    """Reads one resource."""

    params: ReadResourceRequestParams


class ReadResourceResult(CacheableResult, frozen=True, kw_only=True):
    """What was read: one resource may have several contents, such as the files of a folder."""

    contents: list[ResourceContents]


class ResourceListChangedNotification(
    Notification,
    tag_field="method",
    tag="notifications/resources/list_changed",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """The list of resources is another one now."""

    params: NotificationParams | None = None


class ResourceUpdatedNotificationParams(NotificationParams, gc=False, frozen=True, kw_only=True):
    """Which resource has changed; it may be part of one that was subscribed to."""

    uri: str


class ResourceUpdatedNotification(
    Notification,
    tag_field="method",
    tag="notifications/resources/updated",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """A resource someone subscribed to has changed."""

    params: ResourceUpdatedNotificationParams


class SubscribeRequestParams(Wire, gc=False, frozen=True, kw_only=True):
    """Which resource the client wants news about (legacy)."""

    uri: str
    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)


class SubscribeRequest(Request, tag_field="method", tag="resources/subscribe", gc=False, frozen=True, kw_only=True):
    """Asks for news about one resource; legacy only, 2026-07-28 has `subscriptions/listen`."""

    era: ClassVar[Era] = "legacy"
    params: SubscribeRequestParams


class UnsubscribeRequestParams(Wire, gc=False, frozen=True, kw_only=True):
    """Which resource the client wants no more news about (legacy)."""

    uri: str
    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)


class UnsubscribeRequest(Request, tag_field="method", tag="resources/unsubscribe", gc=False, frozen=True, kw_only=True):
    """Ends the news about one resource; legacy only."""

    era: ClassVar[Era] = "legacy"
    params: UnsubscribeRequestParams
