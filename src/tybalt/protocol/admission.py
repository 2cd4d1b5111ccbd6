"""Whether a request to the MCP endpoint may be read at all: every rule of HTTP that needs no look inside the body.

    verdict = admit(request, policy)
    if type(verdict) is Refusal:            # log verdict.error, send verdict.response(now)
        ...
    # verdict.era says which decoder to give request.body to; then `standard_mismatch` in modern

The order of the rules is that of the danger: who sends (`Host`, `Origin`), how (the method), in what revision, in what
form (`Content-Type`, `Accept`, size), in which session. The first rule that is broken is the answer. Nothing here opens
a session, decodes a message or knows a token; the driver above does. A request that is right costs one look-up for each
rule, some two microseconds; what is unusual or wrong is looked at more closely, in time linear in what came.

2026-07-28 basic/transports/streamable-http; 2025-11-25 basic/transports; RFC 9110.
"""

import re
from typing import Final

from msgspec import Struct

from tybalt.errors import Era, Forbidden, HeaderMismatch, InvalidRequest, McpError, cut
from tybalt.protocol.answers import RequestId
from tybalt.protocol.codec import glimpse
from tybalt.protocol.http_messages import Fields, HttpRequest, fields_of, shown
from tybalt.protocol.http_policy import Policy
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.media_types import accepts, is_json
from tybalt.protocol.revision_header import BY_HEADER, HEADER, unserved

ABOUT: Final = (
    "this is an MCP endpoint, for programs: give its address to an MCP client, or write one, as docs/http/README.md of "
    "Tybalt shows. It sends JSON-RPC messages with POST, `Content-Type: application/json` and "
    "`Accept: application/json, text/event-stream`"
)
"""What whoever opens the endpoint in a browser, or with a plain GET, is told before what is wrong with that."""

MAX_SESSION_ID: Final = 1024
"""The longest session id of ours, in characters; a longer one is another server's."""

_SESSION_ID: Final = re.compile(rb"[\x21-\x7e]+")
_LENGTH: Final = re.compile(rb"[0-9]{1,19}")


class Admitted(Struct, frozen=True):
    """A request that may be read. `fields` are its header fields, for `standard_mismatch` and for `Last-Event-ID`.

    `era` is the one whose decoder reads the body. `revision` is what the header says; `None` only in legacy, where the
    session knows it, or `ASSUMED_REVISION` stands in. `session_id` is legacy's too, of the right form and no more: an
    empty text for none. `json` and `events` are what the answer may be, both true unless the policy needs only one.
    """

    fields: Fields
    era: Era
    revision: str | None
    session_id: str
    json: bool
    events: bool


def admit(request: HttpRequest, policy: Policy) -> Admitted | Refusal:
    """Whether a whole request may be read, and in which era. Never raises, whatever the headers and the body are."""
    fields, repeated = fields_of(request.headers)
    if (refusal := _refuse_sender(request, fields, repeated, policy)) is not None:
        return refusal
    if request.method == "POST":
        if len(request.body) > policy.max_body:
            return too_large(policy)
        return _admit_post(fields, request.body, policy)
    return _admit_other(request.method, fields, policy)


def admit_head(request: HttpRequest, policy: Policy) -> Refusal | None:
    """The same rules as far as they need no body: why not to read it at all, or `None`. Never raises.

    For a driver whose request has come without its body: `Content-Length` is looked at in its place. After calling
    this, you must call `admit` with the whole request, or answer `too_large` when it grows beyond `policy.max_body`.
    """
    fields, repeated = fields_of(request.headers)
    if (refusal := _refuse_sender(request, fields, repeated, policy)) is not None:
        return refusal
    if request.method != "POST":
        verdict = _admit_other(request.method, fields, policy)
        return verdict if isinstance(verdict, Refusal) else None
    length = fields.get(b"content-length", b"")
    if _LENGTH.fullmatch(length) is not None and int(length) > policy.max_body:
        return too_large(policy)
    return refuse_form(fields) or _refuse_accept(fields.get(b"accept"), policy)


def admit_sender(request: HttpRequest, policy: Policy) -> Fields | Refusal:
    """The header fields of a request beside the endpoint, if its sender may be answered at all. Never raises.

    A WebSocket, and the paths of 2024-11-05, have other rules than the endpoint; who may ask is the same.
    """
    fields, repeated = fields_of(request.headers)
    refusal = _refuse_sender(request, fields, repeated, policy)
    return fields if refusal is None else refusal


def too_large(policy: Policy) -> Refusal:
    """The refusal of a body that is larger than the policy allows. Nothing more of it need be read."""
    return plain(413, f"the body is larger than {policy.max_body:,} bytes, which is the most this server reads")


def refuse_form(fields: Fields) -> Refusal | None:
    """The refusal of a body that says of itself that it is no plain JSON."""
    if not is_json(fields.get(b"content-type")):
        return plain(415, "the body must be JSON: send `Content-Type: application/json`, in UTF-8")
    coding = fields.get(b"content-encoding")
    if coding is not None and coding.lower() != b"identity":
        return plain(415, "a body must come as it is, not compressed", (b"accept-encoding", b"identity"))
    return None


def _admit_post(fields: Fields, body: bytes, policy: Policy) -> Admitted | Refusal:
    accept = fields.get(b"accept")
    refusal = refuse_form(fields) or _refuse_accept(accept, policy)
    if refusal is not None:
        return refusal
    era, revision = _era(fields, policy)
    if era is None:
        return unserved(fields, body, policy)
    json, events = accepts(accept)
    session_id = b""
    if era == "legacy":
        session_id = fields.get(b"mcp-session-id", b"")
        if session_id and (refusal := _refuse_session(session_id, body)) is not None:
            return refusal
    return Admitted(fields, era, revision, session_id.decode("latin-1"), json, events)


def _admit_other(method: str, fields: Fields, policy: Policy) -> Admitted | Refusal:
    """GET and DELETE, which are of legacy alone."""
    if method not in policy.methods:
        return _not_allowed(method, policy.methods)
    era, revision = _era(fields, policy)
    if era is None:
        return unserved(fields, b"", policy)
    if era == "modern":
        return _not_allowed(method, ("POST",))
    accept = fields.get(b"accept")
    if method == "GET" and not ((accept is not None or not policy.needs_both_types) and accepts(accept)[1]):
        return plain(406, f"{ABOUT}. The answer to GET is a stream of events: send `Accept: text/event-stream`")
    session_id = fields.get(b"mcp-session-id", b"")
    if session_id and (refusal := _refuse_session(session_id, b"")) is not None:
        return refusal
    return Admitted(fields, era, revision, session_id.decode("latin-1"), json=method != "GET", events=method == "GET")


def _era(fields: Fields, policy: Policy) -> tuple[Era, str | None] | tuple[None, None]:
    """What the header says; no era where it names no revision that is served, or is not there and must be."""
    header = fields.get(HEADER)
    if header is None:
        return ("legacy", None) if policy.legacy else (None, None)
    said = BY_HEADER.get(header)
    if said is None or said[1] not in (policy.modern if said[0] == "modern" else policy.legacy):
        return None, None
    return said


def _refuse_sender(request: HttpRequest, fields: Fields, repeated: tuple[bytes, ...], policy: Policy) -> Refusal | None:
    """Who must not be answered, whatever the request is: "on all incoming connections" ("Security & Endpoint")."""
    if repeated:
        return _refuse_repeated(repeated, request.body, policy)
    host = fields.get(b"host")
    if host is None:
        # HTTP/1.0 has no such duty, and no browser speaks it.
        if request.http_version != "1.0":
            return plain(400, "a request needs a `Host` header (RFC 9112 section 3.2)")
    elif not policy.hosts.allows(host):
        return _forbidden(f"Host {shown(host)} is not served here", policy, "if it is yours, list it in allowed_hosts")
    origin = fields.get(b"origin")
    if origin is not None:
        if policy.origins.allows(origin):
            return None
        advice = "if this page may ask, list its origin in allowed_origins"
        return _forbidden(f"Origin {shown(origin)} may not ask here", policy, advice)
    if fields.get(b"sec-fetch-site") == b"cross-site" and not policy.origins.allows_all:
        return _forbidden("a page of another site may not ask here", policy)
    return None


def _refuse_accept(accept: bytes | None, policy: Policy) -> Refusal | None:
    """An answer that the client could not read, or could not be sure to read ("Sending Messages" 2)."""
    if policy.needs_both_types:
        enough = accept is not None and accepts(accept) == (True, True)
    else:
        enough = True in accepts(accept)
    if enough:
        return None
    return plain(406, "an answer is JSON or a stream of events: send `Accept: application/json, text/event-stream`")


def _refuse_repeated(repeated: tuple[bytes, ...], body: bytes, policy: Policy) -> Refusal:
    if b"origin" in repeated:
        return _forbidden("one Origin per request", policy)
    name = repeated[0].decode("latin-1")
    text = f"the header {name!r} came more than once; send one, for who stands between may have read another than we do"
    if not name.startswith("mcp-"):
        return plain(400, text)
    era: Era = "modern" if policy.modern else "legacy"
    return Refusal(400, HeaderMismatch(f"Header mismatch: {text}"), era, _request_id(body))


def _refuse_session(session_id: bytes, body: bytes) -> Refusal | None:
    """An id that is none ("MUST only contain visible ASCII characters"), and one that cannot be ours.

    404 has the client open another session, which is what one with a foreign id must do ("Session Management" 4).
    """
    error: McpError
    if _SESSION_ID.fullmatch(session_id) is None:
        error = InvalidRequest("Mcp-Session-Id is made of visible ASCII characters")
        return Refusal(400, error, "legacy", _request_id(body))
    if len(session_id) > MAX_SESSION_ID:
        error = InvalidRequest("there is no such session here; send `initialize`")
        return Refusal(404, error, "legacy", _request_id(body))
    return None


def _not_allowed(method: str, methods: tuple[str, ...]) -> Refusal:
    allow = ", ".join(methods)
    return plain(405, f"{ABOUT}. There is no {cut(method, 20)} here, there is {allow}", (b"allow", allow.encode()))


def _forbidden(text: str, policy: Policy, advice: str = "") -> Refusal:
    """403 for anything about the sender; its body says nothing of what would be let through."""
    return Refusal(403, Forbidden(text), "modern" if policy.modern else "legacy", advice=advice)


def _request_id(body: bytes) -> RequestId | None:
    seen = glimpse(body)
    return seen.id if seen.kind == "request" else None
