"""Which revision a POST is in, by `MCP-Protocol-Version` and by its body: what to say where the two do not fit.

The header decides, because it is there before the body is read: the value says the era, and no value says legacy, where
that is served. So a body is given to the decoder of its header's era at once, and what that can read agrees with the
header, for a modern request names its revision and a legacy one must not. This module is for everything else: a header
that no era serves, and a body that its decoder refused. It tells what the header has to do with that; what is wrong
with the body itself is for the connection to tell.

2026-07-28 basic/transports/streamable-http, "Protocol Version Header"; basic/versioning, "Backward Compatibility";
2025-11-25 basic/transports, "Protocol Version Header".
"""

from typing import Final

from tybalt.errors import Era, HeaderMismatch, InvalidRequest, McpError, UnsupportedRevision, cut
from tybalt.protocol.codec import (
    Envelope,
    EnvelopeMeta,
    Unanswerable,
    glimpse,
    is_batch,
    read_envelope,
    read_envelope_meta,
)
from tybalt.protocol.http_messages import Fields
from tybalt.protocol.http_policy import Policy
from tybalt.protocol.http_refusal import Refusal
from tybalt.protocol.mirrored import method_mismatch, revision_mismatch
from tybalt.protocol.prescan import MAX_BODY_VALUES, vet
from tybalt.types.revisions import REVISIONS, era_of

HEADER: Final = b"mcp-protocol-version"

ASSUMED_REVISION: Final = "2025-03-26"
"""The revision of a client that sends neither the header nor a session (2025-11-25, "Protocol Version Header")."""

BY_HEADER: Final[dict[bytes, tuple[Era, str]]] = {
    revision.encode(): (era_of(revision), revision) for revision in REVISIONS
}
"""What a header that names a published revision says, whether it is served or not."""


def unserved(fields: Fields, body: bytes, policy: Policy) -> Refusal:
    """The answer to a POST whose header names no revision that is served, or that has no header where it needs one.

    A request that says another revision in its body disagrees with itself, and is told that first; else it is told
    which there are: "it MUST respond with 400 Bad Request and an UnsupportedProtocolVersionError".
    """
    envelope, meta = _read(body) if vet(body, max_values=MAX_BODY_VALUES) is None else (glimpse(body), EnvelopeMeta())
    header, said = fields.get(HEADER), meta.revision
    error: McpError
    if header is None:
        error = _without_header(policy)
    else:
        error = UnsupportedRevision(header.decode("latin-1"), policy.supported)
        if policy.modern and said is not None:
            error = revision_mismatch(header, said) or error
    return _refuse(error, "modern" if policy.modern else "legacy", envelope)


def disagreement(era: Era, fields: Fields, body: bytes, policy: Policy) -> Refusal | None:
    """What the headers have to do with a body that the decoder of `era` could not read; `None` where it is not theirs.

    The body has been vetted.

    Modern: another revision in `_meta`, another method in `Mcp-Method`, and a response, which only legacy clients send.
    Legacy: a request that says in `_meta` that it is modern. `initialize` "selects legacy semantics", whatever it
    carries (2026-07-28 basic/versioning).
    """
    envelope, meta = _read(body)
    if era == "modern":
        return _modern_disagreement(fields, envelope, meta)
    if not policy.modern or envelope.kind != "request" or envelope.method == "initialize":
        return None
    header, said = fields.get(HEADER), meta.revision
    if header is None:
        return _refuse(_undeclared(said), "modern", envelope) if meta else None
    mismatch = None if said is None else revision_mismatch(header, said)
    return None if mismatch is None else _refuse(mismatch, "modern", envelope)


def _modern_disagreement(fields: Fields, envelope: Envelope, meta: EnvelopeMeta) -> Refusal | None:
    if envelope.kind == "response":
        text = "a response: in modern the client asks and the server answers; send a request or a notification"
        return _refuse(InvalidRequest(text), "modern", envelope)
    if envelope.kind != "request" or not envelope.method:
        return None
    said = meta.revision
    mismatch = None if said is None else revision_mismatch(fields[HEADER], said)
    mismatch = mismatch or method_mismatch(fields, envelope.method)
    return None if mismatch is None else _refuse(mismatch, "modern", envelope)


def _read(body: bytes) -> tuple[Envelope, EnvelopeMeta]:
    """The outside of a vetted body, and what its `_meta` says, as far as either can be read."""
    if is_batch(body):
        return glimpse(body), EnvelopeMeta()
    try:
        envelope = read_envelope(body)
    except Unanswerable as refusal:
        return Envelope("request", refusal.id), EnvelopeMeta()
    try:
        return envelope, read_envelope_meta(envelope.params)
    except McpError:
        return envelope, EnvelopeMeta()


def _refuse(error: McpError, era: Era, envelope: Envelope) -> Refusal:
    identifier = envelope.id if envelope.kind == "request" else None
    return Refusal(400, error, era, identifier)


def _undeclared(said: str | None) -> HeaderMismatch:
    text = "Header mismatch: MCP-Protocol-Version header is missing, and `params._meta` in the body is that of modern"
    return HeaderMismatch(text if said is None else f"{text}: {cut(said)!r}")


def _without_header(policy: Policy) -> HeaderMismatch:
    """For a server of modern alone, which "SHOULD name the protocol versions it supports" to a legacy client."""
    supported = ", ".join(policy.supported)
    text = f"this server speaks {supported}, which has no `initialize`, and every request must say so"
    return HeaderMismatch(
        f"Header mismatch: MCP-Protocol-Version header is missing; {text}", data={"supported": policy.supported}
    )
