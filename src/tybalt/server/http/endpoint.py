"""The MCP endpoint: requests of HTTP in, responses out, at once or held; every rule of HTTP stands behind it.

    held = endpoint.answer(request)
    if type(held) is HttpResponse: …send it        # else attach a sink, and tell it when the client has gone

`admit` comes first, `door.knock` second; both need no body, so that nothing is read of whoever is not let in. It reads
no socket and knows no server: the ASGI face, the lane and the tests drive it alike. One event loop drives an endpoint.

2026-07-28 basic/transports/streamable-http; 2025-11-25 basic/transports.
"""

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import HeaderMismatch, Overloaded, RateLimited
from tybalt.protocol.admission import Admitted, admit, admit_head
from tybalt.protocol.codec import UNREADABLE, ModernCall, decode_modern
from tybalt.protocol.http_messages import HttpRequest, HttpResponse
from tybalt.protocol.http_refusal import Refusal
from tybalt.protocol.mirrored import standard_mismatch
from tybalt.protocol.prescan import vet
from tybalt.protocol.revision_header import disagreement
from tybalt.protocol.statuses import ACCEPTED, STREAM_HEADERS, answer_response, error_response
from tybalt.server.http.door import Door, Known
from tybalt.server.http.exchanges import Exchange, Held, with_headers
from tybalt.server.http.legacy import LegacySessions
from tybalt.server.http.listening import Listeners
from tybalt.server.http.principals import Principals
from tybalt.server.http.settings import HttpSettings
from tybalt.server.http.streams import Headers, Stream
from tybalt.server.session import Session
from tybalt.types.subscriptions import SubscriptionsListenRequest
from tybalt.types.tools import CallToolRequest

if TYPE_CHECKING:
    from tybalt.server.server import Server

SWEEP: Final = 60.0
"""After how many seconds what has had its time is forgotten."""

_ACKNOWLEDGED: Final = b'{"jsonrpc":"2.0","method":'
_NOTHING: Final = b"{}"


class Endpoint:
    """One server on one path. `is_shared` says that other processes serve the same address.

    Make it inside of the loop that drives it, while the server's lifespan is open; after use, call `drain`.
    """

    def __init__(self, server: "Server", settings: HttpSettings, *, is_shared: bool = False) -> None:
        self.server = server
        self.settings = settings
        self.door = Door(settings)
        self.policy = settings.policy(server.revisions, offers_stream=not is_shared)
        self.is_draining = False
        self._cors = settings.cors
        self._principals = Principals(server)
        self._listeners = Listeners(server, settings.max_streams)
        self._legacy = LegacySessions(server, settings, self.policy, server.session_seal, is_shared=is_shared)
        self._timer: asyncio.TimerHandle | None = None
        self._swept = 0.0

    # -- one request --------------------------------------------------------------------------------------------------

    def admit_head(self, request: HttpRequest) -> Refusal | HttpResponse | None:
        """Why not to read the body of a request that has come without it; a preflight is answered here."""
        if self._cors is not None and (preflight := self._cors.preflight(request, self.policy)) is not None:
            return preflight
        return admit_head(request, self.policy)

    def answer(self, request: HttpRequest, known: Known | None = None) -> HttpResponse | Held:
        """The response to a whole request. `known` says who was let in, `None` that nobody has knocked yet.

        Where a verifier is `async`, somebody must have.
        """
        admitted = admit(request, self.policy)
        if isinstance(admitted, Refusal):
            return self.refuse(admitted, request)
        if known is None:
            verdict = self.door.knock(admitted.fields)
            if isinstance(verdict, Refusal):
                return self.refuse(verdict, request)
            assert isinstance(verdict, Known)
            known = verdict
        principal = known.principal
        headers = () if self._cors is None else self._cors.headers(admitted.fields)
        found = self._answer(request, admitted, principal, headers)
        if isinstance(found, Refusal):
            return self.refuse(found, request)
        if isinstance(found, HttpResponse):
            return with_headers(found, headers) if headers else found
        if self._timer is None:
            self._watch()
        return found

    def refuse(self, refusal: Refusal, request: HttpRequest) -> HttpResponse:
        """The response that tells a refusal."""
        response = refusal.response(datetime.now(UTC))
        if self._cors is None:
            return response
        return with_headers(response, self._cors.headers(dict(request.headers)))

    def _answer(
        self, request: HttpRequest, admitted: Admitted, principal: str | None, headers: Headers
    ) -> HttpResponse | Held | Refusal:
        if admitted.era == "modern":
            return self._post_modern(admitted, request.body, principal, headers)
        if request.method == "POST":
            return self._legacy.post(admitted, request.body, principal, headers)
        if request.method == "GET":
            return self._legacy.get(admitted, principal, headers)
        return self._legacy.delete(admitted, principal)

    # -- modern -------------------------------------------------------------------------------------------------------

    def _post_modern(
        self, admitted: Admitted, body: bytes, principal: str | None, headers: Headers
    ) -> HttpResponse | Held | Refusal:
        session = self._principals.session(principal)
        connection = session.connection
        action: Any
        if vet(body) is not None:
            action = connection.receive(body)
        else:
            try:
                action = decode_modern(body)
            except UNREADABLE:
                refusal = disagreement("modern", admitted.fields, body, self.policy)
                if refusal is not None:
                    return refusal
                action = connection.receive(body)
            else:
                if (mismatch := self._mismatch(admitted, action)) is not None:
                    return error_response(400, mismatch, "modern", request_id=action.id)
                if type(action) is SubscriptionsListenRequest:
                    return self._listen(action, body, principal, headers)
                if not hasattr(action, "id"):
                    return ACCEPTED  # A notification. A cancel is none here, for ids belong to nobody.
                action = connection.judge(action)
        if type(action) is bytes:
            return answer_response(action, "modern")
        if not hasattr(action, "id"):
            return ACCEPTED
        return self._run_modern(session, admitted, action, body, headers)

    def _run_modern(
        self, session: Session, admitted: Admitted, action: Any, body: bytes, headers: Headers
    ) -> HttpResponse | Held:
        exchange = Exchange(
            "modern", Stream if admitted.events else None, headers=headers, wants_stream=not admitted.json
        )
        shared, session.replies = session.replies, exchange
        try:
            answer = session.act(action, body)
        finally:
            session.replies = shared
        if answer is None:
            return exchange if exchange.is_pending else ACCEPTED
        if exchange.is_pending or not admitted.json:
            exchange.finish(answer)
            return exchange
        return answer_response(answer, "modern")

    def _mismatch(self, admitted: Admitted, request: Any) -> HeaderMismatch | None:
        mismatch = standard_mismatch(admitted.fields, request)
        if mismatch is not None or not isinstance(request, ModernCall | CallToolRequest):
            return mismatch
        tool: Any = self.server.catalogue.get("tool", request.params.name)
        if tool is None or tool.header_parameters is None:
            return None
        return tool.header_parameters.mismatch(admitted.fields, request.params.arguments or _NOTHING)

    def _listen(
        self, request: SubscriptionsListenRequest, body: bytes, principal: str | None, headers: Headers
    ) -> HttpResponse | Held:
        if self.is_draining:
            return error_response(503, Overloaded("the server ends"), "modern", request_id=request.id)
        try:
            listener = self._listeners.begin(principal, (*STREAM_HEADERS, *headers))
        except RateLimited as error:
            return error_response(429, error, "modern", request_id=request.id)
        answer = listener.session.act(listener.session.connection.judge(request), body)
        if answer is None or not answer.startswith(_ACKNOWLEDGED):
            self._listeners.drop(listener)
            return answer_response(answer or b"", "modern")
        listener.stream.say(answer)
        self._listeners.keep(listener)
        return listener

    # -- what goes on by itself ---------------------------------------------------------------------------------------

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        self._swept = loop.time()
        self._timer = loop.call_later(self.settings.keep_alive, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        """Keep streams from looking idle, and forget what has had its time."""
        for stream in (*self._listeners.streams(), *self._legacy.streams()):
            stream.keep_alive()
        if loop.time() - self._swept >= SWEEP:
            self._swept = loop.time()
            self._legacy.sweep()
        self._timer = loop.call_later(self.settings.keep_alive, self._tick, loop)

    async def drain(self, grace: float, hurry: asyncio.Event | None = None) -> None:
        """End the streams that have no end, let what runs finish for `grace` seconds, then stop it.

        Whoever comes meanwhile is served; after it, nothing is left of the endpoint.
        """
        self.is_draining = True
        self._listeners.end()
        self._legacy.end_streams()
        sessions = (*self._principals.sessions(), *self._legacy.sessions())
        busy = [session for session in sessions if session.running.calls]
        await asyncio.gather(*(session.drain(grace, hurry) for session in busy))
        self.close()

    def close(self) -> None:
        """Let go of everything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._listeners.end()
        self._principals.close()
        self._legacy.close()
