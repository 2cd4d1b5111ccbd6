"""A legacy session over HTTP that is alive, and a client that reads one of its streams.

What its sessions are resumed from, and when they are let go, is the business of `kept_sessions`.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tybalt.protocol.connection import Client, Memory
from tybalt.protocol.event_log import Entry
from tybalt.protocol.session_ids import SessionClaims
from tybalt.reasons import CancelKind
from tybalt.server.http.streams import Sink, Stream, StreamOutput
from tybalt.server.session import Session

if TYPE_CHECKING:
    from tybalt.server.server import Server


class Standing(StreamOutput):
    """The output of the session that has this `key`: the stream that belongs to no request, if there is one."""

    __slots__ = ("key",)

    def __init__(self, key: str) -> None:
        super().__init__()
        self.key = key


class LegacySession:
    """A legacy session that is alive."""

    __slots__ = ("_output", "claims", "has_place", "identifier", "session")

    def __init__(
        self, server: "Server", identifier: str, claims: SessionClaims, principal: str | None, memory: Memory | None
    ) -> None:
        self.identifier = identifier
        self.claims = claims
        self.has_place = False
        """Whether its stream takes one of those that its principal has."""
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
    def principal(self) -> str | None:
        """Whose it is."""
        return self.session.principal

    @property
    def is_busy(self) -> bool:
        """Whether something of it runs."""
        return bool(self.session.running.calls)

    @property
    def is_idle(self) -> bool:
        """Whether nothing of it runs, or is open."""
        return self._output.stream is None and not self.is_busy

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
