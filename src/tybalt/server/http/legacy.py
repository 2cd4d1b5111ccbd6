"""Legacy sessions over HTTP: all that the handshake settled is in the id; the rest is here, while there is any.

A session is alive while something of it runs or is open, and a little longer, for its next request is likely to come.
An idle one is its id, which the client keeps. What a client has set beside the handshake is a small record; what is
said on its streams is in the event log for a while. None of that is shared: where several processes serve one address,
each request stands alone (`_passing`), and what needs a memory is neither offered nor done.

2025-11-25 basic/transports, "Session Management", "Resumability and Redelivery".
"""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from tybalt.errors import InvalidRequest, McpError, Overloaded, RateLimited
from tybalt.protocol.admission import ABOUT, Admitted
from tybalt.protocol.codec import UNREADABLE, decode_legacy, glimpse
from tybalt.protocol.connection import Client, Memory, ServerConnection
from tybalt.protocol.event_log import PRIMES_SINCE, RESUMES_SINCE, EventLog, Evicted, Replay
from tybalt.protocol.http_messages import HttpResponse
from tybalt.protocol.http_policy import Policy
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.prescan import MAX_BODY_VALUES, PRESCAN_FROM, vet
from tybalt.protocol.revision_header import ASSUMED_REVISION, disagreement
from tybalt.protocol.sealed import NONCE, Seal
from tybalt.protocol.session_ids import SessionClaims, SessionRefused, open_session, seal_session
from tybalt.protocol.statuses import STREAM_HEADERS, answer_response, status_of_answer
from tybalt.reasons import CancelKind
from tybalt.server.http.exchanges import Exchange, Held
from tybalt.server.http.legacy_session import LegacySession, Reading, Standing
from tybalt.server.http.places import Places
from tybalt.server.http.principals import NOWHERE
from tybalt.server.http.settings import HttpSettings
from tybalt.server.http.streams import Headers, Keeper, Stream, Streams
from tybalt.server.session import Session
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation

if TYPE_CHECKING:
    from tybalt.server.server import Server

HOT: Final = 64
"""Sessions that are kept though nothing of them runs."""
MAX_LIVE: Final = 10_000
"""Sessions of which something runs, or is open."""
MAX_MEMORIES: Final = 10_000
"""Sessions that have set something, and are not alive."""
MAX_ENDED: Final = 100_000
"""Sessions that were ended before their time, and are remembered until then."""

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
        self._places = places
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
        self._live: OrderedDict[str, LegacySession] = OrderedDict()
        self._memories: dict[str, tuple[Memory, float]] = {}
        self._ended: dict[str, float] = {}
        self._passing: WeakSet[Session] = WeakSet()
        self._log = EventLog(max_events=settings.max_events, lifetime=settings.event_lifetime)
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
        if (refusal := self._take_place(session)) is not None:
            return refusal
        if session.standing is not None:
            session.standing.close()  # A client that opens another has lost the first.
        session.standing = self._opened(session.session, (*STREAM_HEADERS, *headers))
        session.unread_since = None
        return Reading(session.standing, gone=partial(self._unread, session))

    def delete(self, admitted: Admitted, principal: str | None) -> HttpResponse | Refusal:
        """End a session before its time."""
        session = self._named(admitted, principal)
        if isinstance(session, Refusal):
            return session
        if len(self._ended) >= MAX_ENDED:
            return _refused(Overloaded("too many sessions were ended; this one ends by itself"), b"", status=503)
        self._ended[session.claims.key] = session.claims.expires
        self._live.pop(admitted.session_id, None)
        self._memories.pop(session.claims.key, None)
        self._end_standing(session)
        session.close(CancelKind.USER)
        self._log.forget(session.claims.key)
        return HttpResponse(204)

    def _named(self, admitted: Admitted, principal: str | None) -> LegacySession | Refusal:
        if not admitted.session_id:
            text = f"Mcp-Session-Id header is missing: name the session that `initialize` has begun; {ABOUT}"
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
        if is_standing and (refusal := self._take_place(session)) is not None:
            return refusal
        session.unread_since = None if is_standing else session.unread_since
        return Reading(stream, found.events, gone=partial(self._unread, session) if is_standing else None)

    def _unread(self, session: LegacySession) -> None:
        """Nobody reads its stream: it is kept for a while, and takes no place."""
        session.unread_since = time.monotonic()
        self._leave_place(session)

    def _take_place(self, session: LegacySession) -> Refusal | None:
        if not session.has_place:
            try:
                self._places.take(session.session.principal)
            except RateLimited as error:
                return plain(429, str(error), (b"retry-after", b"10"))
            session.has_place = True
        return None

    def _leave_place(self, session: LegacySession) -> None:
        if session.has_place:
            session.has_place = False
            self._places.leave(session.session.principal)

    # -- sessions -----------------------------------------------------------------------------------------------------

    def _resumed(self, identifier: str, principal: str | None) -> Session:
        if not self._is_forgetful:
            return self._resumed_live(identifier, principal).session
        claims = self._opened_claims(identifier, principal)
        return self._passing_session(claims.revision, Client(claims.client, claims.capabilities), principal)

    def _resumed_live(self, identifier: str, principal: str | None) -> LegacySession:
        session = self._live.get(identifier)
        if session is not None:
            if session.session.principal != principal or time.time() >= session.claims.expires:
                raise SessionRefused
            self._live.move_to_end(identifier)
            return session
        claims = self._opened_claims(identifier, principal)
        if len(self._live) >= HOT:
            self._make_room()
        memory, _ = self._memories.pop(claims.key, (None, 0.0))
        session = self._live[identifier] = LegacySession(self._server, claims, principal, memory)
        return session

    def _opened_claims(self, identifier: str, principal: str | None) -> SessionClaims:
        claims = open_session(identifier, self._seal, now=time.time(), principal=principal)
        if claims.key in self._ended or claims.revision not in self._policy.legacy:
            raise SessionRefused
        return claims

    def _passing_session(self, revision: str, client: Client, principal: str | None) -> Session:
        """A session for one request, which no other will find."""
        session = Session(
            self._server, NOWHERE, principal=principal, era="legacy", is_connection=False, is_forgetful=True
        )
        session.connection.resume(revision, client)
        self._passing.add(session)
        return session

    def _make_room(self) -> None:
        """Let one go that is idle, of the sixteen that were used longest ago."""
        for identifier in tuple(islice(self._live, 16)):
            if self._let_go(identifier):
                return
            self._live.move_to_end(identifier)
        if len(self._live) < MAX_LIVE:
            return
        for identifier, session in tuple(self._live.items()):
            if session.unread_since is not None:  # What it was told is kept; what it would be told is not.
                self._end_standing(session)
                if self._let_go(identifier):
                    return
        raise Overloaded(f"{MAX_LIVE:,} sessions are open, which is the most this server holds", retry_after=10)

    def _let_go(self, identifier: str) -> bool:
        session = self._live[identifier]
        if not (session.is_idle and self._remembered(session)):
            return False
        del self._live[identifier]
        session.close()
        return True

    def _remembered(self, session: LegacySession) -> bool:
        """Keep what the client has set; False where there is no room for it."""
        memory = session.session.connection.memory
        if memory is None:
            return True
        if len(self._memories) >= MAX_MEMORIES:
            # A session that was forgotten in part would be wrong without a word: the one set longest ago ends.
            oldest = next(iter(self._memories))
            _, expires = self._memories.pop(oldest)
            if len(self._ended) >= MAX_ENDED:
                return False
            self._ended[oldest] = expires
        self._memories[session.claims.key] = memory, session.claims.expires
        return True

    def _end_standing(self, session: LegacySession) -> None:
        if session.standing is not None:
            session.standing.close()
            session.standing = session.unread_since = None
            self._leave_place(session)

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
        now, today = time.monotonic(), time.time()
        self._log.expire(now)
        self._ended = {key: expires for key, expires in self._ended.items() if expires > today}
        self._memories = {key: kept for key, kept in self._memories.items() if kept[1] > today}
        for identifier, session in tuple(self._live.items()):
            since = session.unread_since
            if since is not None and now - since > self._settings.event_lifetime:
                self._end_standing(session)
            if session.is_idle and session.claims.expires <= today:
                del self._live[identifier]
                session.close()

    # -- the end ------------------------------------------------------------------------------------------------------

    def sessions(self) -> tuple[Session, ...]:
        """All of which something may run."""
        return (*(each.session for each in self._live.values()), *self._passing)

    def end_streams(self) -> None:
        """End the streams that belong to no request, and begin no more."""
        self._is_ending = True
        for session in self._live.values():
            self._end_standing(session)

    def close(self) -> None:
        """Forget all; nothing runs any more."""
        for session in self._live.values():
            self._end_standing(session)
            session.close()
        self._live.clear()


def _refused(error: McpError, body: bytes, status: int | None = None) -> Refusal:
    seen = glimpse(body)
    identifier = seen.id if seen.kind == "request" else None
    return Refusal(status or error.code, error, "legacy", identifier)
