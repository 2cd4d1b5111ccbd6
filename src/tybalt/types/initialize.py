"""The legacy handshake, `initialize` and `notifications/initialized`, and the legacy `ping`.

None of it exists in 2026-07-28. 2025-11-25 basic/lifecycle and basic/utilities/ping.
"""

from typing import ClassVar

import msgspec

from tybalt.errors import Era
from tybalt.types.base import Wire
from tybalt.types.capabilities import ClientCapabilities, ServerCapabilities
from tybalt.types.implementation import Implementation
from tybalt.types.jsonrpc import Notification, NotificationParams, Request, Result
from tybalt.types.meta import LegacyRequestMeta


class LegacyRequestParams(Wire, gc=False, frozen=True, kw_only=True):
    """The params every legacy request may have: `_meta`."""

    meta: LegacyRequestMeta | None = msgspec.field(name="_meta", default=None)


class InitializeRequestParams(LegacyRequestParams, gc=False, frozen=True, kw_only=True):
    """The newest revision a client wants to speak, what it can do, and who it is."""

    protocol_version: str
    capabilities: ClientCapabilities
    client_info: Implementation


class InitializeRequest(Request, tag_field="method", tag="initialize", gc=False, frozen=True, kw_only=True):
    """Opens a legacy conversation."""

    era: ClassVar[Era] = "legacy"
    params: InitializeRequestParams


class InitializeResult(Result, frozen=True, kw_only=True):
    """The revision that will be spoken, what the server can do, who it is, and advice for the model."""

    protocol_version: str
    capabilities: ServerCapabilities
    server_info: Implementation
    instructions: str | None = None


class InitializedNotification(
    Notification,
    tag_field="method",
    tag="notifications/initialized",
    gc=False,
    frozen=True,
    kw_only=True,
):
    """The client has read the answer."""

    params: NotificationParams | None = None


class PingRequest(Request, tag_field="method", tag="ping", gc=False, frozen=True, kw_only=True):
    """Asks whether the other side is there; either side may."""

    era: ClassVar[Era] = "legacy"
    params: LegacyRequestParams | None = None
