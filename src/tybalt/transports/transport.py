"""The contract every transport keeps: receive, reserve a permit to send, close.

A transport carries whole messages between two ends, as bytes, in order. It knows no JSON-RPC, keeps no request and
decides no era: drivers in `server` and `client` sit above it, the framing of `protocol` below. `SendPermit` serves any
transport that has the two methods of `PermitIssuer`, and `testing.check_transport` proves a custom one.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from tybalt.errors import MisuseError
from tybalt.protocol.frames import Oversized

__all__ = ["Oversized", "PermitIssuer", "SendPermit", "Transport"]


class Transport(Protocol):
    """One end of a connection that carries messages both ways.

    Use it from the event loop it was made on, by one receiver and any number of senders. A message is one JSON text in
    UTF-8, not blank and without a newline (2026-07-28 basic/transports/stdio); nothing else is asked of its bytes.
    """

    async def receive(self) -> Sequence[bytes | Oversized]:
        """Every message that has arrived, at least one, in the order the peer sent them; [] once the stream has ended.

        After [] comes nothing but []. Any sequence will do that is false when it is empty. `Oversized` stands in the
        place of a message larger than this end accepts, and the stream goes on behind it. That the stream has ended
        says only that the peer sends no more; it may yet read.

        Guaranteed: a cancelled receive loses nothing, the next one returns what it would have returned. Not guaranteed:
        that two messages sent together arrive together, or that two sent apart arrive apart.

        Raises `MisuseError` when another receive is waiting.
        """
        ...

    async def reserve(self) -> "SendPermit":
        """Wait until there is room for output, and return the right to one send.

        This is the only point where a send can wait, and so the only one where it can be cancelled. Those who wait are
        served in the order they came; one who is cancelled leaves no trace. Raises `TransportClosed` when nothing can
        be sent any more, also to those already waiting.

        After calling this, you must `send` or `release`; with a permit unused, `aclose` is still safe. Permits do not
        exclude one another: output that waits for the peer is bounded by the transport's high-water mark plus what the
        outstanding permits send.
        """
        ...

    def reserve_nowait(self) -> "SendPermit | None":
        """A permit at once, or None when `reserve` would have to wait. Raises `TransportClosed` as `reserve` does."""
        ...

    async def aclose(self) -> None:
        """Close both directions; once closed, do nothing.

        What was sent before is still delivered, as far as the peer takes it within the time the transport allows. A
        waiting `receive` returns [], a waiting `reserve` raises `TransportClosed`. When cancelled, the transport is
        closed all the same, and what the peer had not taken is lost.
        """
        ...


class PermitIssuer(Protocol):
    """What `SendPermit` asks of the transport that issues it."""

    def commit(self, messages: tuple[bytes, ...]) -> None:
        """Put `messages` on the wire in one piece, without waiting; the permit is spent, even if this raises."""
        ...

    def give_back(self) -> None:
        """The permit was released unused."""
        ...


class SendPermit:
    """The right to one send, without waiting and without being cancelled.

    Also a context manager, which releases on exit what was not used:

        with await transport.reserve() as permit:
            permit.send(encode(answer))
    """

    __slots__ = ("_issuer",)

    def __init__(self, issuer: PermitIssuer) -> None:
        self._issuer: PermitIssuer | None = issuer

    def send(self, *messages: bytes) -> None:
        """Send whole messages, contiguously and in order; the permit is spent, whatever happens.

        Raises `MisuseError` when the permit was used before or a message holds a newline, and `TransportClosed` when
        the transport is known to be dead; nothing of any message is sent then. Not guaranteed: that the peer received
        what was sent without an error. A transport whose write fails halfway closes; it never resumes mid-line.
        """
        issuer = self._issuer
        if issuer is None:
            raise MisuseError("this permit was used or released before; every send needs a reserve() of its own")
        self._issuer = None
        for message in messages:
            if _LF in message:
                issuer.give_back()
                raise MisuseError(_NEWLINE)
        issuer.commit(messages)

    def release(self) -> None:
        """Give the permit back unused; on one that is spent this does nothing."""
        issuer = self._issuer
        if issuer is not None:
            self._issuer = None
            issuer.give_back()

    def __enter__(self) -> "SendPermit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


_LF = 10  # As an integer: `in` looks for one byte several times faster than for a string of length one.
_NEWLINE = "a message must not hold a newline, it would be read as two; encode it as JSON on one line"
