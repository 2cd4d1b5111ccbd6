"""Builders for the messages that protocol tests speak with."""

from typing import Any

import msgspec

from tybalt.protocol.connection import ServerConnection
from tybalt.protocol.profile import Profile
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.implementation import Implementation

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
EVERYTHING = ServerCapabilities(
    tools={"listChanged": True},
    resources={"subscribe": True, "listChanged": True},
    prompts={"listChanged": True},
    completions={},
    logging={},
)


def profile(**options: Any) -> Profile:
    """A profile that offers everything, unless `capabilities` says otherwise."""
    capabilities = options.pop("capabilities", EVERYTHING)
    return Profile(Implementation(name="test", version="1.0"), capabilities, **options)


def connection(**options: Any) -> ServerConnection:
    """A new connection to `profile(**options)`."""
    return ServerConnection(profile(**options))


def ready(revision: str = "2025-11-25", **options: Any) -> ServerConnection:
    """A connection whose legacy handshake is done."""
    opened = connection(**options)
    opened.receive(initialize(revision))
    opened.receive(message(method="notifications/initialized"))
    return opened


def message(**members: Any) -> bytes:
    """A JSON-RPC message of these members."""
    return msgspec.json.encode({"jsonrpc": "2.0", **members})


def modern(
    method: str, params: dict[str, Any] | None = None, *, id: Any = 1, meta: dict[str, Any] | None = None
) -> bytes:
    """A modern request."""
    return message(id=id, method=method, params={**(params or {}), "_meta": {**ENVELOPE, **(meta or {})}})


def legacy(method: str, params: dict[str, Any] | None = None, *, id: Any = 1) -> bytes:
    """A legacy request."""
    return message(id=id, method=method, **({} if params is None else {"params": params}))


def initialize(revision: str = "2025-11-25") -> bytes:
    """The opening of a legacy conversation."""
    info = {"name": "old client", "version": "1"}
    return legacy("initialize", {"protocolVersion": revision, "capabilities": {}, "clientInfo": info}, id="hello")


def decoded(answer: Any) -> dict[str, Any]:
    """An answer as JSON; fails for anything but bytes."""
    assert type(answer) is bytes, answer
    return msgspec.json.decode(answer)


def code(answer: Any) -> int:
    """The error code of an answer."""
    return decoded(answer)["error"]["code"]
