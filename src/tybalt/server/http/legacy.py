"""Legacy sessions over HTTP: all that the handshake settled is in the id; the rest is here, while there is any.

A session is alive while something of it runs or is open, and a little longer, for its next request is likely to come.
An idle one is its id, which the client keeps. What a client has set beside the handshake is a small record
(`kept_sessions`); what is said on its streams is in the event log for a while. None of that is shared: where several
processes serve one address, each request stands alone (`_passing`), and what needs a memory is neither offered nor
done.

2025-11-25 basic/transports, "Session Management", "Resumability and Redelivery".
"""

import logging
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from tybalt.errors import InvalidRequest, McpError, Overloaded, RateLimited
from tybalt.protocol.admission import ABOUT, Admitted
from tybalt.protocol.codec import UNREADABLE, decode_legacy, glimpse
from tybalt.protocol.connection import Client, ServerConnection
from tybalt.protocol.event_log import PRIMES_SINCE, RESUMES_SINCE, EventLog, Evicted, Replay
from tybalt.protocol.http_messages import HttpResponse
from tybalt.protocol.http_policy import Policy
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.prescan import MAX_BODY_VALUES, PRESCAN_FROM, vet
from tybalt.protocol.revision_header import ASSUMED_REVISION, disagreement
from tybalt.protocol.sealed import NONCE, Seal, StateRefused
from tybalt.protocol.session_ids import SessionClaims, SessionRefused, open_session, seal_session
from tybalt.protocol.statuses import STREAM_HEADERS, answer_response, status_of_answer
from tybalt.reasons import CancelKind
from tybalt.server.http.exchanges import Exchange, Held
from tybalt.server.http.kept_sessions import KeptSessions
from tybalt.server.http.legacy_session import LegacySession, Reading, Standing
from tybalt.server.http.places import Places
from tybalt.server.http.principals import NOWHERE
from tybalt.server.http.settings import HttpSettings
from tybalt.server.http.shares import shares_among
from tybalt.server.http.streams import Headers, Keeper, Stream, Streams
from tybalt.server.session import Session
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation

if TYPE_CHECKING:
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")

NO_STREAM: Final = (
    "this request is answered with JSON alone, by `json_only` or by what its client accepts, so that nothing can be "
    "asked on the way: serve legacy clients with streams, to ask"
)
"""Why a handler cannot ask there."""

Read = Callable[[ServerConnection], Any]
"""What a connection makes of a body that was looked at: an `Action`."""

UNKNOWN: Final = Client(Implementation(name="unknown", version="0"), ClientCapabilities())
"""The client of a request that stands alone."""


class LegacySessions:
    """The legacy sessions of one endpoint. `is_shared`: other processes serve the same address."""

    def __init__(
        self,
        server: "Server",
        settings: HttpSettings,
        policy: Policy,
        seal: Seal,
        streams: Streams,
        places: Places,
        *,
        is_shared: bool,
    ) -> None:
        self._all = streams
        self._is_ending = False
        self._server = server
        self._settings = settings
        self._policy = policy
        self._seal = seal
        self._is_forgetful = is_shared or not settings.sessions
        self._why_forgetful = (
            "several processes serve this address and share no store, so that the answer of a legacy client may reach "
            "another one: serve with one worker, or to modern clients, to ask"
            if is_shared
            else "legacy sessions are off (`sessions=False`), so that the answer of a legacy client finds nobody: "
            "leave them on, or serve modern clients, to ask"
        )
        self._kept = KeptSessions(server, settings, places)
        self._has_warned = False
        self._passing: WeakSet[Session] = WeakSet()
        """Those that no request will find (again), and of which something may run."""
        self._log = EventLog(
            max_events=settings.max_events, lifetime=settings.event_lifetime, shares=shares_among(settings)
        )
        self._streams: dict[str, Stream] = {}
        """Those that can be resumed, by their names."""

    # -- POST ---------------------------------------------------------------------------------------------------------

    def post(
        self, admitted: Admitted, body: bytes, principal: str | None, headers: Headers
    ) -> bytes | HttpResponse | Held | Refusal:
        """The answer to a message of a legacy client, as bytes where it travels as JSON."""
        read = self._looked_at(admitted, body)
        if isinstance(read, Refusal):
            return read
        if not admitted.session_id:
            return self._without_session(admitted, body, principal, headers, read)
        try:
            session = self._resumed(admitted.session_id, principal)
        except McpError as error:
            return _refused(error, body)
        return self._exchange(session, admitted, body, headers, read)

    def _looked_at(self, admitted: Admitted, body: bytes) -> "Refusal | Read | None":
        """What the headers have to do with a body that is no legacy message; else how a connection reads it.

        `None` for a short one: a session reads that faster by itself, though it is decoded again.
        """
        if (unfit := vet(body, max_values=MAX_BODY_VALUES)) is not None:
            return lambda connection: connection.refuse(body, unfit)
        try:
            request = decode_legacy(body)
        except UNREADABLE:
            return disagreement("legacy", admitted.fields, body, self._policy)
        return None if len(body) <= PRESCAN_FROM else lambda connection: connection.judge(request)

    def _without_session(
        self, admitted: Admitted, body: bytes, principal: str | None, headers: Headers, read: "Read | None"
    ) -> bytes | HttpResponse | Held | Refusal:
        """A handshake; anything else, where a session is not needed."""
        connection = ServerConnection(self._server.profile_of("legacy", is_forgetful=self._is_forgetful))
        answer = connection.receive(body) if read is None else read(connection)
        if connection.revision is not None:
            identifier = self._begun(connection, principal) if self._settings.sessions else None
            return answer_response(answer, "legacy", session_id=identifier)
        if not self._settings.sessions:
            revision = admitted.revision or ASSUMED_REVISION
            return self._exchange(self._passing_session(revision, UNKNOWN, principal), admitted, body, headers, read)
        if type(answer) is bytes and status_of_answer(answer, "modern") == 200:
            return answer_response(answer, "legacy")  # To `ping`, which may be sent at any time.
        text = (
            "Mcp-Session-Id header is missing: send `initialize` first, and with every message the id it answers with"
        )
        return _refused(InvalidRequest(text), body, status=400)

    def _begun(self, connection: ServerConnection, principal: str | None) -> str:
        client, revision = connection.client, connection.revision
        assert client is not None
        assert revision is not None
        claims = SessionClaims.begun(
            revision=revision,
            client=client.info,
            capabilities=client.capabilities,
            principal=principal,
            now=time.time(),
            nonce=secrets.token_bytes(NONCE),
            lifetime=self._settings.session_lifetime,
        )
        return seal_session(claims, self._seal)

    def _exchange(
        self, session: Session, admitted: Admitted, body: bytes, headers: Headers, read: "Read | None"
    ) -> bytes | HttpResponse | Held:
        open_stream = None
        if not self._settings.json_only and admitted.events:
            open_stream = partial(self._opened, session)
        cannot_ask = self._why_forgetful if self._is_forgetful else None if open_stream is not None else NO_STREAM
        exchange = Exchange("legacy", open_stream, headers, not admitted.json, cannot_ask)
        if read is None:
            return exchange.carry(session, session.receive, body)
        return exchange.carry(session, session.act, read(session.connection), body)

    # -- GET and DELETE -----------------------------------------------------------------------------------------------

    def get(self, admitted: Admitted, principal: str | None, headers: Headers) -> Held | Refusal:
        """The stream of a session, or the rest of one that broke off."""
        session = self._named(admitted, principal)
        if isinstance(session, Refusal):
            return session
        last_event_id = admitted.fields.get(b"last-event-id")
        if last_event_id is not None:
            return self._resume(session, last_event_id.decode("latin-1"), (*STREAM_HEADERS, *headers))
        if self._is_ending:
            return _refused(Overloaded("the server ends"), b"", status=503)
        if (refusal := self._read(session)) is not None:
            return refusal
        if session.standing is not None:
            session.standing.close()  # A client that opens another has lost the first.
        session.standing = self._opened(session.session, (*STREAM_HEADERS, *headers))
        return Reading(session.standing, gone=partial(self._kept.left, session))

    def delete(self, admitted: Admitted, principal: str | None) -> HttpResponse | Refusal:
        """End a session before its time."""
        session = self._named(admitted, principal)
        if isinstance(session, Refusal):
            return session
        try:
            self._kept.end(session)
        except Overloaded as error:
            return _refused(error, b"", status=503)
        self._passing.add(session.session)
        session.close(CancelKind.USER)
        self._log.forget(session.claims.key)
        return HttpResponse(204)

    def _named(self, admitted: Admitted, principal: str | None) -> LegacySession | Refusal:
        if not admitted.session_id:
            text = f"{ABOUT}. Mcp-Session-Id header is missing: name the session that `initialize` has begun"
            return Refusal(400, InvalidRequest(text), "legacy")
        try:
            return self._resumed_live(admitted.session_id, principal)
        except McpError as error:
            return _refused(error, b"")

    def _resume(self, session: LegacySession, last_event_id: str, headers: Headers) -> Held | Refusal:
        found = self._log.after(last_event_id, session.claims.key, time.monotonic())
        if not isinstance(found, Replay):
            return plain(410 if isinstance(found, Evicted) else 400, str(found))
        stream = self._streams.get(found.stream)
        if stream is None or found.ended:
            stream = Stream(headers)
            stream.close()
        is_standing = stream is session.standing
        if is_standing and (refusal := self._read(session)) is not None:
            return refusal
        return Reading(stream, found.events, gone=partial(self._kept.left, session) if is_standing else None)

    def _read(self, session: LegacySession) -> Refusal | None:
        try:
            self._kept.read(session)
        except RateLimited as error:
            return plain(429, str(error), (b"retry-after", b"10"))
        return None

    # -- sessions -----------------------------------------------------------------------------------------------------

    def _resumed(self, identifier: str, principal: str | None) -> Session:
        if not self._is_forgetful:
            return self._resumed_live(identifier, principal).session
        claims = self._opened_claims(identifier, principal)
        return self._passing_session(claims.revision, Client(claims.client, claims.capabilities), principal)

    def _resumed_live(self, identifier: str, principal: str | None) -> LegacySession:
        session = self._kept.live(identifier)
        if session is None:
            return self._kept.resume(identifier, self._opened_claims(identifier, principal), principal)
        if session.principal != principal or time.time() >= session.claims.expires:
            raise SessionRefused
        return session

    def _opened_claims(self, identifier: str, principal: str | None) -> SessionClaims:
        try:
            claims = open_session(identifier, self._seal, now=time.time(), principal=principal)
        except SessionRefused:
            self._warn_of_key(identifier)
            raise
        if self._kept.has_ended(claims.key) or claims.revision not in self._policy.legacy:
            raise SessionRefused
        return claims

    def _warn_of_key(self, identifier: str) -> None:
        """Tell the operator of ids that another key has sealed, once: anybody can send some."""
        if self._has_warned:
            return
        try:
            self._seal.open(identifier)
        except StateRefused:
            self._has_warned = True
            logger.warning(
                "%s: a session id was not sealed with this server's key, and its client has to begin anew. Where "
                "it is from before a restart, or from another process, give them all the same Server(state_key=…) and "
                "the same name; without one, each makes a key of its own. This is said once",
                self._server.name,
            )

    def _passing_session(self, revision: str, client: Client, principal: str | None) -> Session:
        """A session for one request, which no other will find."""
        session = Session(
            self._server, NOWHERE, principal=principal, era="legacy", is_connection=False, is_forgetful=True
        )
        session.connection.resume(revision, client)
        self._passing.add(session)
        return session

    # -- streams ------------------------------------------------------------------------------------------------------

    def _opened(self, session: Session, headers: Headers) -> Stream:
        revision = session.connection.revision
        owner = session.output
        if self._is_forgetful or not isinstance(owner, Standing) or revision is None or revision < RESUMES_SINCE:
            return self._all.open(headers)
        name = secrets.token_urlsafe(16)
        keeper = Keeper(
            self._log,
            name,
            owner.key,
            session.principal,
            time.monotonic,
            primes=revision >= PRIMES_SINCE,
            closed=partial(self._forget, name),
        )
        stream = self._streams[name] = self._all.open(headers, keeper)
        return stream

    def _forget(self, name: str) -> None:
        self._streams.pop(name, None)

    def sweep(self) -> None:
        """Forget what has had its time; to be called every minute or so."""
        now = time.monotonic()
        self._log.expire(now)
        self._kept.sweep(now, time.time())

    # -- the end ------------------------------------------------------------------------------------------------------

    def sessions(self) -> tuple[Session, ...]:
        """All of which something may run."""
        return (*(each.session for each in self._kept.all_live()), *self._passing)

    def end_streams(self) -> None:
        """End the streams that belong to no request, and begin no more."""
        self._is_ending = True
        self._kept.end_streams()

    def close(self) -> None:
        """Forget all; nothing runs any more."""
        self._kept.close()


def _refused(error: McpError, body: bytes, status: int | None = None) -> Refusal:
    seen = glimpse(body)
    identifier = seen.id if seen.kind == "request" else None
    return Refusal(status or error.code, error, "legacy", identifier)
