"""Cancellation: the notice that an answer is not wanted any more.

2026-07-28 basic/patterns/cancellation; 2025-11-25 basic/utilities/cancellation.
"""

from tybalt.types.jsonrpc import Notification, NotificationParams, RequestId


class CancelledNotificationParams(NotificationParams, gc=False, frozen=True, kw_only=True):
    """Which request is cancelled, and why."""

    request_id: RequestId
    reason: str | None = None


class CancelledNotification(
    Notification,
    tag_field="method",
    tag="notifications/cancelled",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """Cancels one request in flight."""

    params: CancelledNotificationParams
