"""Progress: news about a request that takes long, for whoever sent a progress token with it.

2026-07-28 basic/patterns/progress; 2025-11-25 basic/utilities/progress.
"""

from tybalt.types.jsonrpc import Notification, NotificationParams
from tybalt.types.meta import ProgressToken


class ProgressNotificationParams(NotificationParams, gc=False, frozen=True, kw_only=True):
    """How far the request is. `progress` must increase; `total` may be unknown; `message` from 2025-03-26 on."""

    progress_token: ProgressToken
    progress: int | float
    total: int | float | None = None
    message: str | None = None


class ProgressNotification(
    Notification,
    tag_field="method",
    tag="notifications/progress",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """News about one request."""

    params: ProgressNotificationParams
