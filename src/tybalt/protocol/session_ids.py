"""The `Mcp-Session-Id` of a legacy session: all that the handshake has settled, in the id itself, sealed.

Any process that has the key can serve such a session, and one that is idle holds no memory. The id does not say what
changes later (log level, subscriptions, a revocation): that is a record in a store, found under `SessionClaims.key`.
The claims are values and the rest are pure functions; `sealed.py` below keeps a client from changing an id, and whoever
speaks HTTP above puts it into headers and answers 404 where one does not open. Modern requests have no sessions.

What an id says of the client is bounded, and what does not fit is cut, always in the same way:

- name and version are cut to 128 and 64 bytes of UTF-8, the last three of them an ellipsis; title, description, website
  and icons are left out;
- that a capability is declared always fits, and so does each member that a revision of the protocol has defined;
- what is declared beyond that gets 400 bytes of JSON: what stands inside of sampling, elicitation, tasks and roots,
  then extensions, then experimental capabilities, in the order sent. One that finds no room is left out, whole, and so
  are all after the first 64.

2025-11-25 basic/transports, "Session Management"; 2025-11-25 basic/security_best_practices, "Session Hijacking".
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from math import isfinite
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from tybalt.errors import MisuseError, NotFound
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.sealed import NONCE, Seal, StateRefused
from tybalt.types.base import Wire
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation
from tybalt.types.revisions import LEGACY

PURPOSE: Final = "session"
"""The purpose of the seal: what was sealed for another never opens as a session."""
MAX_SESSION_ID: Final = 1024
"""The longest session id, in characters; the `max_length` of the seal."""
LIFETIME: Final = 86_400.0
"""For how long a session may be used, in seconds from its handshake on, however busy it is."""

MAX_NAME: Final = 128
MAX_VERSION: Final = 64
MAX_DETAILS: Final = 400
"""Bytes."""

_MAX_ENTRIES: Final = 64

_PATHS: Final[tuple[tuple[str, ...], ...]] = (
    ("roots",),
    ("roots", "listChanged"),
    ("sampling",),
    ("sampling", "context"),
    ("sampling", "tools"),
    ("elicitation",),
    ("elicitation", "form"),
    ("elicitation", "url"),
    ("tasks",),
    ("tasks", "list"),
    ("tasks", "cancel"),
    ("tasks", "requests"),
    ("tasks", "requests", "sampling"),
    ("tasks", "requests", "sampling", "createMessage"),
    ("tasks", "requests", "elicitation"),
    ("tasks", "requests", "elicitation", "create"),
    ("extensions",),
    ("experimental",),
)
"""A bit each, in this order, which is that of ids that are out there: new ones go to the end."""
_SINGLE: Final = ("sampling", "elicitation", "tasks", "roots")
_NAMED: Final = ("extensions", "experimental")


class SessionRefused(NotFound):
    """The text is no session id of ours, not this caller's, or its time is over: 404, and never said which.

    A client then starts a new session (2025-11-25 basic/transports, "Session Management").
    """

    def __init__(self) -> None:
        super().__init__("Session not found. Send an initialize request without a session id to start a new one")


class SessionClaims(Struct, frozen=True, kw_only=True, gc=False):
    """What a session id says. `begun` makes it of a handshake, `open_session` of an id.

    `issued` and `expires` count unix seconds; `principal` is a `principal_digest`; `nonce` are 24 random bytes, another
    for every session. `flags` and `details` hold the capabilities as they travel.
    """

    revision: str
    name: str
    version: str
    flags: int
    details: bytes
    principal: bytes
    issued: float
    expires: float
    nonce: bytes

    @classmethod
    def begun(
        cls,
        *,
        revision: str,
        client: Implementation,
        capabilities: ClientCapabilities,
        principal: str | None,
        now: float,
        nonce: bytes,
        lifetime: float = LIFETIME,
    ) -> "SessionClaims":
        """The claims of a session that begins `now` and ends `lifetime` seconds later.

        `revision` is the negotiated one, `principal` who the transport has verified to be asking. Whatever a client
        says of itself, these claims fit. Raises `MisuseError` for a revision that has no sessions, and for a lifetime
        that is no number of seconds above 0.
        """
        if revision not in LEGACY:
            raise MisuseError(f"there are sessions in {', '.join(LEGACY)}, got {revision!r}")
        if not (isfinite(lifetime) and lifetime > 0):
            raise MisuseError(f"a session has a lifetime of some seconds, got {lifetime!r}")
        declared = _members(capabilities)
        flags = _flags(declared)
        return cls(
            revision=revision,
            name=_cut(client.name, MAX_NAME),
            version=_cut(client.version, MAX_VERSION),
            flags=flags,
            details=_details(declared, _skeleton(flags)),
            principal=principal_digest(principal),
            issued=now,
            expires=now + lifetime,
            nonce=nonce,
        )

    @property
    def key(self) -> str:
        """Stands for this session and its principal in stores and logs: 32 characters, with which nothing opens."""
        return urlsafe_b64encode(sha256(self.nonce + self.principal).digest()[:24]).decode()

    @property
    def client(self) -> Implementation:
        """Name and version that the client gives itself, as far as they fit."""
        return Implementation(name=self.name, version=self.version)

    @property
    def capabilities(self) -> ClientCapabilities:
        """What the client has declared, as far as it fits: a value of its own each time, for whoever asks."""
        declared = _skeleton(self.flags)
        if self.details:
            for member, *name, value in msgspec.json.decode(self.details, type=list[list[Any]]):
                if name:
                    declared[member][name[0]] = value
                else:
                    declared[member] = value
        return msgspec.convert(declared, ClientCapabilities)


def seal_session(claims: SessionClaims, seal: Seal) -> str:
    """The session id that says `claims`, sealed with their nonce: at most 1 KiB of letters, digits, `-` and `_`.

    Raises `MisuseError` for a seal that is not for sessions, a nonce that has not 24 bytes, and claims that do not fit,
    which those of `begun` always do.
    """
    payload = _Payload(
        claims.revision,
        claims.name,
        claims.version,
        claims.flags,
        claims.details,
        claims.principal,
        claims.issued,
        claims.expires,
    )
    return _checked(seal).seal(_encode(payload), nonce=claims.nonce)


def open_session(text: str, seal: Seal, *, now: float, principal: str | None) -> SessionClaims:
    """What a session id says, for this caller. `now` counts unix seconds.

    Raises `SessionRefused`, with one text for all: altered, of another server or purpose, another principal's, or
    `now` is `expires` or later. Whether the session was ended before its time, and whether its revision is still
    served, is for the caller to see. Raises `MisuseError` for a seal that is not for sessions.
    """
    try:
        payload = _decode(_checked(seal).open(text))
    except (StateRefused, *UNREADABLE):
        raise SessionRefused from None
    if payload.principal != principal_digest(principal) or now >= payload.expires:
        raise SessionRefused
    return SessionClaims(
        revision=payload.revision,
        name=payload.name,
        version=payload.version,
        flags=payload.flags,
        details=payload.details,
        principal=payload.principal,
        issued=payload.issued,
        expires=payload.expires,
        nonce=_nonce_of(text),
    )


def principal_digest(principal: str | None) -> bytes:
    """Stands for a principal: 192 bits of SHA-256; `b""` for nobody in particular, who is different from all others."""
    return b"" if principal is None else sha256(principal.encode("utf-8", "surrogatepass")).digest()[:24]


class _Payload(Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=1):
    """What is sealed, as MessagePack. Another form is another tag: ids are out there while a server is updated."""

    revision: str
    name: str
    version: str
    flags: int
    details: bytes
    principal: bytes
    issued: float
    expires: float


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Payload).decode


def _checked(seal: Seal) -> Seal:
    if seal.purpose != PURPOSE or seal.max_length > MAX_SESSION_ID:
        text = f"session ids want a seal with purpose={PURPOSE!r} and max_length={MAX_SESSION_ID}"
        raise MisuseError(f"{text}; got one with {seal.purpose!r} and {seal.max_length}")
    return seal


def _nonce_of(text: str) -> bytes:
    """The nonce of a text that has opened, which stands behind a version of one byte (`sealed.py`)."""
    return urlsafe_b64decode(text[:36])[1 : 1 + NONCE]


def _cut(text: str, limit: int) -> str:
    encoded = text.encode("utf-8", "replace")
    return encoded.decode() if len(encoded) <= limit else encoded[: limit - 3].decode("utf-8", "ignore") + "…"


# -- capabilities ---------------------------------------------------------------------------------------------------


def _members(value: Wire) -> dict[str, Any]:
    """What a Struct has to say, by its names on the wire. Goes two levels deep, however deep is what it holds."""
    values = zip(value.__struct_encode_fields__, msgspec.structs.astuple(value), strict=True)
    return {
        name: _members(member) if isinstance(member, Wire) else member for name, member in values if member is not None
    }


def _flags(declared: dict[str, Any]) -> int:
    return sum(1 << bit for bit, path in enumerate(_PATHS) if _is_declared(declared, path))


def _is_declared(declared: dict[str, Any], path: tuple[str, ...]) -> bool:
    found: Any = declared
    for name in path:
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    return isinstance(found, dict) or found is True


def _skeleton(flags: int) -> dict[str, Any]:
    """The capabilities that `flags` say are declared, each with nothing inside that has no flag."""
    declared: dict[str, Any] = {}
    for bit, path in enumerate(_PATHS):
        if flags >> bit & 1:
            inner = declared
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            inner[path[-1]] = True if path[-1] == "listChanged" else {}
    return declared


def _details(declared: dict[str, Any], skeleton: dict[str, Any]) -> bytes:
    """As much as fits of what the flags do not say, as a JSON array; nothing where they say it all."""
    kept: list[bytes] = []
    room = MAX_DETAILS - 1
    for entry in islice(_entries(declared, skeleton), _MAX_ENTRIES):
        encoded = _json(entry)
        if encoded and len(encoded) + 1 <= room:
            kept.append(encoded)
            room -= len(encoded) + 1
    return b"[%b]" % b",".join(kept) if kept else b""


def _entries(declared: dict[str, Any], skeleton: dict[str, Any]) -> Iterator[list[Any]]:
    for member in _SINGLE:
        if declared.get(member) != skeleton.get(member):
            yield [member, declared[member]]
    for member in _NAMED:
        for name, value in declared.get(member, {}).items():
            yield [member, name, value]


def _json(entry: list[Any]) -> bytes:
    """The entry; nothing, where it is nested deeper than can be written."""
    try:
        return msgspec.json.encode(entry)
    except RecursionError:
        return b""
