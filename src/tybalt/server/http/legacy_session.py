"""A legacy session over HTTP that is alive, and a client that reads one of its streams.

What its sessions are resumed from, and when they are let go, is the business of `legacy`.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tybalt.protocol.connection import Client, Memory
from tybalt.protocol.event_log import Entry
from tybalt.protocol.session_ids import SessionClaims
from tybalt.reasons import CancelKind
from tybalt.server.http.streams import Sink, Stream
from tybalt.server.session import Session

if TYPE_CHECKING:
    from tybalt.server.server import Server


class Standing:
    """The output of the session that has this `key`: the stream that belongs to no request, if there is one."""

    __slots__ = ("key", "stream")

    def __init__(self, key: str) -> None:
        self.key = key
        self.stream: Stream | None = None

    def write(self, *messages: bytes) -> None:
        """Say it on the stream; without one, nobody listens."""
        if self.stream is not None:
            for message in messages:
                self.stream.say(message)

    def announce(self, *messages: bytes) -> None:
        """The same, once where it has to wait."""
        if self.stream is not None:
            for message in messages:
                self.stream.announce(message)

    @property
    def blocked(self) -> bool:
        """Whether the client does not read."""
        return self.stream is not None and self.stream.blocked

    async def drained(self) -> None:
        """Wait until it does."""
        if self.stream is not None:
            await self.stream.drained()


class LegacySession:
    """A legacy session that is alive."""

    __slots__ = ("_output", "claims", "has_place", "session", "unread_since")

    def __init__(self, server: "Server", claims: SessionClaims, principal: str | None, memory: Memory | None) -> None:
        self.claims = claims
        self.unread_since: float | None = None
        self.has_place = False
        self._output = Standing(claims.key)
        self.session = Session(server, self._output, principal=principal, era="legacy", is_connection=False)
        self.session.connection.resume(claims.revision, Client(claims.client, claims.capabilities), memory)

    @property
    def standing(self) -> Stream | None:
        """The stream that belongs to no request."""
        return self._output.stream

    @standing.setter
    def standing(self, stream: Stream | None) -> None:
        self._output.stream = stream

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it runs, or is open."""
        return self._output.stream is None and not self.session.running.calls

    def close(self, kind: CancelKind | None = None) -> None:
        """End, for `kind`, what runs of it, and let it go."""
        if kind is not None:
            for call in tuple(self.session.running.calls.values()):
                call.cancel(kind, "its client has ended the session")
        self.session.close()


class Reading:
    """A client that reads a stream of its session, from where it has left off."""

    def __init__(self, stream: Stream, missed: Iterable[Entry] = (), gone: Callable[[], None] | None = None) -> None:
        self._stream = stream
        self._missed = missed
        self._gone = gone

    def attach(self, sink: Sink) -> None:
        """Read it here."""
        self._stream.attach(sink, self._missed)
        self._missed = ()

    def gone(self, sink: Sink) -> None:
        """The client has gone; what comes is kept for it."""
        self._stream.detach(sink)
        if self._gone is not None:
            self._gone()
