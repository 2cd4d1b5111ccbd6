"""`subscriptions/listen` over HTTP: a response that stays open and tells of changes.

The acknowledgment is its first event, its result the last, when the server ends it (2026-07-28
basic/patterns/subscriptions). A client that goes away has unsubscribed. Each stream has a session of its own, which
the catalogue tells of changes.
"""

from typing import TYPE_CHECKING

from tybalt.server.http.places import Places
from tybalt.server.http.streams import Headers, Sink, Stream, StreamOutput, Streams
from tybalt.server.session import Session

if TYPE_CHECKING:
    from tybalt.server.server import Server


class Listener:
    """One open subscription, held until its client goes or the server ends it."""

    def __init__(self, listeners: "Listeners", session: Session, stream: Stream) -> None:
        self.session = session
        self.stream = stream
        self._listeners = listeners

    def attach(self, sink: Sink) -> None:
        """Tell it here."""
        self.stream.attach(sink)

    def gone(self, sink: Sink) -> None:
        """The client has unsubscribed."""
        self.stream.detach(sink)
        self._listeners.forget(self)

    def end(self) -> None:
        """Send the result, and nothing after it."""
        self.session.output.write(*self.session.connection.end_subscriptions(is_shared=False))
        self.stream.close()
        self._listeners.forget(self)


class Listeners:
    """The open subscriptions of an endpoint."""

    def __init__(self, server: "Server", streams: Streams, places: Places) -> None:
        self._server = server
        self._streams = streams
        self._places = places
        self._open: dict[Listener, None] = {}

    def begin(self, principal: str | None, headers: Headers) -> Listener:
        """A subscription that is about to be acknowledged. Raises `RateLimited` where its principal has too many.

        After calling this, call `keep` or `drop`.
        """
        self._places.take(principal)
        stream = self._streams.open(headers)
        output = StreamOutput(stream)
        session = Session(self._server, output, principal=principal, era="modern", is_connection=False)
        return Listener(self, session, stream)

    def keep(self, listener: Listener) -> None:
        """It is acknowledged."""
        self._open[listener] = None

    def drop(self, listener: Listener) -> None:
        """It was refused."""
        self._places.leave(listener.session.principal)
        listener.session.close()

    def forget(self, listener: Listener) -> None:
        """It is over."""
        if listener in self._open:
            del self._open[listener]
            self.drop(listener)

    def end(self) -> None:
        """End them all."""
        for listener in tuple(self._open):
            listener.end()
