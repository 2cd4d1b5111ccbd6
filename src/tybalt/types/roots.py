"""Roots: the folders of a client a server may work in. Deprecated in 2026-07-28, supported for interoperability.

In 2026-07-28 the question travels inside an `InputRequiredResult` and has no id; in legacy it is a request of its own
(`server_requests.py`). 2026-07-28 client/roots; 2025-11-25 client/roots.
"""

from typing import Any

import msgspec

from tybalt.types.base import Wire
from tybalt.types.jsonrpc import Notification, NotificationParams


class Root(Wire, frozen=True, kw_only=True):
    """One folder or file, by a `file:` URI; `meta` from 2025-06-18 on."""

    uri: str
    name: str | None = None
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ListRootsRequestParams(Wire, frozen=True, kw_only=True):
    """Nothing but `_meta`."""

    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class ListRootsRequest(Wire, tag_field="method", tag="roots/list", frozen=True, kw_only=True):
    """Asks for the roots, from within an `InputRequiredResult`."""

    params: ListRootsRequestParams | None = None


class ListRootsResult(Wire, frozen=True, kw_only=True):
    """The roots; `meta` exists in legacy only."""

    roots: list[Root]
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class RootsListChangedNotification(
    Notification,
    tag_field="method",
    tag="notifications/roots/list_changed",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """The roots are others now; legacy only."""

    params: NotificationParams | None = None
