"""One POST that is not answered at once: whether its response is JSON or a stream, and what a disconnect means.

An exchange is where everything goes that belongs to the requests of one POST. The answer alone is sent as JSON; what
is said before it makes the response a stream of events, which ends with the answer. When the client goes away, its
requests are cancelled in modern, where that is the only way to say so; in legacy they run on, for the client may come
back.

2026-07-28 basic/transports/streamable-http, "Receiving Messages" and "Cancellation"; 2025-11-25 basic/transports.
"""

from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from tybalt.errors import Era
from tybalt.protocol.http_messages import HttpResponse
from tybalt.protocol.statuses import ACCEPTED, STREAM_HEADERS, answer_response
from tybalt.server.call import Call
from tybalt.server.http.streams import Headers, Sink, Stream
from tybalt.server.session import Session


class Held(Protocol):
    """A response that is not there yet, or has no end: a face attaches its sink, and says when the client is gone."""

    def attach(self, sink: Sink) -> None:
        """Send the response there, now and as it comes."""
        ...

    def gone(self, sink: Sink) -> None:
        """The client of this sink reads no more; not called after the response has ended."""
        ...


class Exchange(Struct, eq=False):  # A Struct, for one is made for every request.
    """The replies of one POST, see `Replies`. `open_stream` makes its stream, `None` where only JSON may be sent.

    `wants_stream` says that the client reads no plain JSON. `headers` go with the response, whatever it is.
    """

    era: Era
    open_stream: Callable[[Headers], Stream] | None
    headers: Headers
    wants_stream: bool
    cannot_ask: str | None = None
    _calls: tuple[Call, ...] = ()
    _stream: Stream | None = None
    _sink: Sink | None = None
    _answer: bytes | None = None
    _is_answered: bool = False

    def carry(
        self, session: Session, receive: Callable[..., bytes | None], *message: Any
    ) -> "bytes | HttpResponse | Exchange":
        """Let a session `receive` a message whose replies come here: the answer, if it is there at once and as JSON."""
        shared, session.replies = session.replies, self
        try:
            answer = receive(*message)
        finally:
            session.replies = shared
        if answer is None:
            return self if self._calls or self._stream is not None else ACCEPTED
        if self._calls or self._stream is not None or self.wants_stream:
            self.finish(answer)
            return self
        return answer

    # -- what sessions say ------------------------------------------------------------------------------------------

    def keep(self, call: Call) -> None:
        """One of its requests is answered later."""
        self._calls += (call,)

    def write(self, *messages: bytes) -> None:
        """Say something before the answer; lost after it, and where only JSON may be sent."""
        if self._is_answered:
            return
        stream = self._stream or self._opened()
        if stream is not None:
            for message in messages:
                stream.say(message)

    def finish(self, answer: bytes | None) -> None:
        """The answer to it all, `None` where there is none: then the response is a stream with nothing more in it."""
        self._is_answered = True
        self._calls = ()
        if self._stream is None and (answer is None or self.wants_stream):
            self._opened()
        stream = self._stream
        if stream is not None:
            if answer is not None:
                stream.say(answer)
            stream.close()
        elif self._sink is not None:
            self._sink.respond(self._response(answer))
        else:
            self._answer = answer

    def let_go(self) -> None:
        """End the response but not the request, where the client can come back for the rest."""
        if self._stream is None:
            self._opened()
        if self._stream is not None:
            self._stream.let_go()

    @property
    def blocked(self) -> bool:
        """Whether what was said waits because the client does not read."""
        return self._stream is not None and self._stream.blocked

    async def drained(self) -> None:
        """Wait until the client reads."""
        if self._stream is not None:
            await self._stream.drained()

    # -- what faces ask -----------------------------------------------------------------------------------------------

    def attach(self, sink: Sink) -> None:
        """Send the response there."""
        self._sink = sink
        if self._stream is not None:
            self._stream.attach(sink)
        elif self._is_answered:
            sink.respond(self._response(self._answer))

    def gone(self, sink: Sink) -> None:
        """The client has gone."""
        self._sink = None
        if self._stream is not None:
            self._stream.detach(sink)
        if self.era == "modern":
            for call in self._calls:
                call.responder.cancel()
                call.session.running.cancel(call.responder)

    def _opened(self) -> Stream | None:
        if self.open_stream is None:
            return None
        self._stream = self.open_stream((*STREAM_HEADERS, *self.headers))
        if self._sink is not None:
            self._stream.attach(self._sink)
        return self._stream

    def _response(self, answer: bytes | None) -> HttpResponse:
        if answer is None:  # A cancelled request of a client that reads nothing but JSON.
            return HttpResponse(202, (*self.headers, (b"content-length", b"0")))
        return with_headers(answer_response(answer, self.era), self.headers)


def with_headers(response: HttpResponse, headers: Headers) -> HttpResponse:
    """The response with more header fields."""
    return HttpResponse(response.status, response.headers + headers, response.body) if headers else response
