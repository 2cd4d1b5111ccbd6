"""`_meta`: what a request says about itself, and the keys the specification reserves in it.

Only the `_meta` of requests is typed (`RequestMeta`, `LegacyRequestMeta`), because every request is judged by it.
Elsewhere `_meta` is a plain dict (`ResultMeta`, `NotificationMeta`) so that the keys of others survive a round trip.

The typed forms drop keys they do not know; that is what makes the decode of a request one pass. Whoever needs the
others (trace context, vendor keys, a proxy) keeps the message and calls `decode_meta`, a lazy second decode.

2026-07-28 basic/index, "`_meta`"; 2025-11-25 basic/index, "`_meta`".
"""

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from tybalt.types.base import Wire
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation

PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion"
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
RELATED_TASK = "io.modelcontextprotocol/related-task"
BUDGET = "dev.tybalt/budget"
"""Ours, in both eras: what the caller grants."""

ProgressToken: TypeAlias = int | str
LoggingLevel: TypeAlias = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]

ResultMeta: TypeAlias = dict[str, Any]
"""`_meta` of a result: a plain dict. The key `SERVER_INFO` holds an `Implementation`."""

NotificationMeta: TypeAlias = dict[str, Any]
"""`_meta` of a notification: a plain dict. The key `SUBSCRIPTION_ID` holds the id of the listen request."""


class CallerBudget(Wire, gc=False, frozen=True, kw_only=True):
    """What the caller grants a request, in `_meta["dev.tybalt/budget"]`: it can only narrow what the server does.

    `deadline_ms` counts from when the server begins; `cost` is in the units of the server's author.
    """

    deadline_ms: Annotated[float, msgspec.Meta(ge=0)] | None = None
    cost: Annotated[float, msgspec.Meta(ge=0)] | None = None


class RequestMeta(Wire, gc=False, frozen=True, kw_only=True):
    """`_meta` of every modern request: revision and capabilities are required, the rest is optional.

    Keys it does not know are dropped; `decode_meta` finds them. 2026-07-28 basic/index, "`_meta`".
    """

    protocol_version: Literal["2026-07-28"] = msgspec.field(name=PROTOCOL_VERSION)
    client_capabilities: ClientCapabilities = msgspec.field(name=CLIENT_CAPABILITIES)
    client_info: Implementation | None = msgspec.field(name=CLIENT_INFO, default=None)
    progress_token: ProgressToken | None = None
    log_level: LoggingLevel | None = msgspec.field(name=LOG_LEVEL, default=None)
    budget: CallerBudget | None = msgspec.field(name=BUDGET, default=None)


class LegacyRequestMeta(Wire, gc=False, frozen=True, kw_only=True):
    """`_meta` of a legacy request, where only `progressToken` means anything.

    A request with one of the modern members here means to be modern, whatever conversation it came in. These members
    take nothing, so that a decoder refuses them and the one who decodes looks again. 2025-11-25 basic/index, "`_meta`".
    """

    progress_token: ProgressToken | None = None
    protocol_version: msgspec.UnsetType = msgspec.field(name=PROTOCOL_VERSION, default=msgspec.UNSET)
    client_capabilities: msgspec.UnsetType = msgspec.field(name=CLIENT_CAPABILITIES, default=msgspec.UNSET)
    client_info: msgspec.UnsetType = msgspec.field(name=CLIENT_INFO, default=msgspec.UNSET)
    log_level: msgspec.UnsetType = msgspec.field(name=LOG_LEVEL, default=msgspec.UNSET)
    budget: CallerBudget | None = msgspec.field(name=BUDGET, default=None)


class _ParamsWithMeta(msgspec.Struct):
    meta: dict[str, Any] | None = msgspec.field(name="_meta", default=None)


class _MessageWithMeta(msgspec.Struct):
    params: _ParamsWithMeta | None = None


_decoder = msgspec.json.Decoder(_MessageWithMeta)


def decode_meta(message: bytes) -> dict[str, Any]:
    """Decode only `params._meta` of one request or notification, with every key; `{}` when there is none.

    Raises `msgspec.DecodeError` when `message` is not JSON, and `msgspec.ValidationError` when `params` or `_meta` is
    not an object, and `RecursionError` when it is nested too deeply. It checks nothing else.
    """
    params = _decoder.decode(message).params
    return {} if params is None or params.meta is None else params.meta
