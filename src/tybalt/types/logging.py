"""Logging over the protocol: messages of the server for its client, and (legacy) setting the level.

In 2026-07-28 each request says the level it wants in `_meta`; deprecated there, supported for interoperability.
2026-07-28 server/utilities/logging; 2025-11-25 server/utilities/logging.
"""

from typing import Any, ClassVar

import msgspec

from tybalt.errors import Era
from tybalt.types.base import Wire
from tybalt.types.jsonrpc import Notification, NotificationParams, Request
from tybalt.types.meta import LegacyRequestMeta, LoggingLevel

LOGGING_LEVELS: tuple[LoggingLevel, ...] = (
    "debug",
    "info",
    "notice",
    "warning",
    "error",
    "critical",
    "alert",
    "emergency",
)
"""The levels of RFC 5424, least severe first."""


class LoggingMessageNotificationParams(NotificationParams, frozen=True, kw_only=True):
    """One log record; `data` is any JSON value, `null` included, and always there."""

    level: LoggingLevel
    logger: str | None = None
    data: Any


class LoggingMessageNotification(
    Notification,
    tag_field="method",
    tag="notifications/message",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """A log record of the server."""

    params: LoggingMessageNotificationParams


class SetLevelRequestParams(Wire, gc=False, frozen=True, kw_only=True):
    """From which level on the client wants records (legacy)."""

    level: LoggingLevel
    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)


class SetLevelRequest(Request, tag_field="method", tag="logging/setLevel", gc=False, frozen=True, kw_only=True):
    """Sets the level for the session; legacy only."""

    era: ClassVar[Era] = "legacy"
    params: SetLevelRequestParams
