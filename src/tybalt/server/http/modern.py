"""Modern requests over HTTP: each POST stands alone, and says in its headers what it says in its body.

Nothing is kept between two of them. A notification is taken and means nothing: ids belong to nobody here, so that a
cancel is the end of the response stream and nothing else. 2026-07-28 basic/transports/streamable-http.
"""

from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import HeaderMismatch, McpError, Overloaded
from tybalt.protocol.codec import UNREADABLE, ModernCall, decode_modern
from tybalt.protocol.http_messages import HttpResponse
from tybalt.protocol.http_policy import Policy
from tybalt.protocol.http_refusal import Refusal
from tybalt.protocol.mirrored import standard_mismatch
from tybalt.protocol.prescan import MAX_BODY_VALUES, PRESCAN_FROM, vet
from tybalt.protocol.revision_header import disagreement
from tybalt.protocol.statuses import ACCEPTED, STREAM_HEADERS, error_response
from tybalt.server.http.door import Entry
from tybalt.server.http.exchanges import Exchange, Held
from tybalt.server.http.listening import Listeners
from tybalt.server.http.places import Places
from tybalt.server.http.plain_posts import PlainPosts
from tybalt.server.http.principals import Principals
from tybalt.server.http.streams import Streams
from tybalt.server.session import Session
from tybalt.types.subscriptions import SubscriptionsListenRequest
from tybalt.types.tools import CallToolRequest

if TYPE_CHECKING:
    from tybalt.server.server import Server

_ACKNOWLEDGED: Final = b'{"jsonrpc":"2.0","method":'
_NOTHING: Final = b"{}"
_CALLS: Final = (ModernCall, CallToolRequest)


class ModernRequests:
    """The modern requests of one endpoint."""

    def __init__(self, server: "Server", policy: Policy, streams: Streams, places: Places) -> None:
        self._policy = policy
        self._tool = server.catalogue.get
        self._principals = Principals(server)
        self._plain = PlainPosts(server)
        self._open_stream = streams.open
        self._listeners = Listeners(server, streams, places)
        self.is_draining = False

    def post(self, entry: Entry, body: bytes) -> bytes | HttpResponse | Held | Refusal:
        """The answer as bytes, where it is there at once and travels as JSON; else the response."""
        session = self._principals.session(entry.principal)
        if entry.alike is not None and (call := self._plain.read(entry, body)) is not None:
            return self._exchange(entry).carry(session, call.params.run, call, call.params.arguments, session)
        if (len(body) > PRESCAN_FROM or not body.isascii()) and (
            unfit := vet(body, max_values=MAX_BODY_VALUES)
        ) is not None:
            action = session.connection.refuse(body, unfit)
            return action if type(action) is bytes else ACCEPTED
        try:
            request: Any = decode_modern(body)
        except UNREADABLE:
            refusal = disagreement("modern", entry.admitted.fields, body, self._policy)
            return self._read_slowly(session, entry, body) if refusal is None else refusal
        kind: type = request.__class__
        if kind in _CALLS:
            params = request.params
            said = (kind, params.meta.protocol_version, params.name)
            is_known = entry.agreed == said
            mismatch = None if is_known else standard_mismatch(entry.admitted.fields, request)
            if mismatch is None:
                entry.agreed = said
                mismatch = self._parameter_mismatch(entry, params)
                if is_known and entry.guesses:
                    self._plain.learn(entry, params, body)
        else:
            mismatch = standard_mismatch(entry.admitted.fields, request)
        if mismatch is not None:
            return error_response(400, mismatch, "modern", request_id=request.id)
        if kind is SubscriptionsListenRequest:
            return self._listen(session, request, body, entry)
        if kind not in _CALLS and not hasattr(request, "id"):
            return ACCEPTED
        return self._run(session, entry, session.connection.judge(request), body)

    def _read_slowly(self, session: Session, entry: Entry, body: bytes) -> bytes | HttpResponse | Held:
        """A body that is no modern message, or has something wrong that wants to be told."""
        action = session.connection.receive(body)
        if type(action) is bytes:
            return action
        mismatch = standard_mismatch(entry.admitted.fields, action)
        if mismatch is None and type(action) in _CALLS:
            mismatch = self._parameter_mismatch(entry, action.params)
        if mismatch is not None:
            return error_response(400, mismatch, "modern", request_id=action.id)
        return self._run(session, entry, action, body) if hasattr(action, "id") else ACCEPTED

    def _run(self, session: Session, entry: Entry, action: Any, body: bytes) -> bytes | HttpResponse | Held:
        return self._exchange(entry).carry(session, session.act, action, body)

    def _exchange(self, entry: Entry) -> Exchange:
        admitted = entry.admitted
        return Exchange("modern", self._open_stream if admitted.events else None, entry.headers, not admitted.json)

    def _parameter_mismatch(self, entry: Entry, params: Any) -> HeaderMismatch | None:
        tool: Any = self._tool("tool", params.name)
        if tool is None or tool.header_parameters is None:
            return None
        return tool.header_parameters.mismatch(entry.admitted.fields, params.arguments or _NOTHING)

    def _listen(self, session: Session, request: Any, body: bytes, entry: Entry) -> bytes | Held:
        try:
            if self.is_draining:
                raise Overloaded("the server ends", retry_after=1)
            listener = self._listeners.begin(entry.principal, (*STREAM_HEADERS, *entry.headers))
        except McpError as error:
            return session.connection.respond(request, error)
        answer = listener.session.act(listener.session.connection.judge(request), body)
        assert answer is not None
        if not answer.startswith(_ACKNOWLEDGED):
            self._listeners.drop(listener)
            return answer
        listener.stream.say(answer)
        self._listeners.keep(listener)
        return listener

    def sessions(self) -> tuple[Session, ...]:
        """All of which something may run."""
        return self._principals.sessions()

    def end_streams(self) -> None:
        """End all subscriptions, and begin no more."""
        self.is_draining = True
        self._listeners.end()

    def close(self) -> None:
        """Forget all; nothing runs any more."""
        self._listeners.end()
        self._principals.close()
