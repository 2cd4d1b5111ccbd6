"""Two ends in one process: messages pass as the bytes objects they are.

For tests, and for a client and a server that share an event loop. Nothing is framed, copied or parsed, and nothing
crosses a thread. The contract is that of `transport`; backpressure is counted in messages.
"""

from asyncio import Future

from tybalt.errors import MisuseError, TransportClosed
from tybalt.transports.transport import Oversized, SendPermit
from tybalt.transports.turns import Turns


def memory_pair(capacity: int = 64) -> "tuple[MemoryTransport, MemoryTransport]":
    """Two connected ends; in each direction `capacity` messages may be on their way before `reserve` waits.

    As on a stream, a permit holds no place: what the outstanding ones send may pass the capacity. Both ends belong to
    one event loop.
    """
    if capacity < 1:
        raise MisuseError(f"a memory pair needs a capacity of at least 1 message, not {capacity}")
    one, other = MemoryTransport(capacity), MemoryTransport(capacity)
    one._peer, other._peer = other, one  # pyright: ignore[reportPrivateUsage]
    return one, other


class MemoryTransport:
    """One end of a `memory_pair`. Closing it is the end of the stream at the other, after what was sent before."""

    __slots__ = ("_capacity", "_closed", "_inbox", "_peer", "_receiver", "_turns")

    _peer: "MemoryTransport"

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._inbox: list[bytes | Oversized] = []
        self._receiver: Future[None] | None = None
        self._turns = Turns(self._may_send)
        self._closed = False

    async def receive(self) -> list[bytes | Oversized]:
        """Every message that has arrived; [] when either end has closed. See `Transport.receive`."""
        if self._receiver is not None:
            raise MisuseError("another receive() is waiting on this transport; have one task receive and hand out")
        while not self._inbox:
            if self._closed or self._peer._closed:
                return []
            self._receiver = Future()  # What `create_future()` of either loop returns, at half the price.
            try:
                await self._receiver
            finally:
                self._receiver = None
        messages, self._inbox = self._inbox, []
        if self._peer._turns.line:
            self._peer._turns.wake()
        return messages

    async def reserve(self) -> SendPermit:
        """Wait until there is room at the other end. See `Transport.reserve`."""
        if self._turns.line or not self._may_send():
            await self._turns.wait()
        return self._permit()

    def reserve_nowait(self) -> SendPermit | None:
        """A permit, or None while the other end is full or others wait. See `Transport.reserve_nowait`."""
        peer = self._peer
        if self._turns.line or self._closed or peer._closed or len(peer._inbox) >= self._capacity:
            return None if self._turns.line or not self._may_send() else self._permit()
        return SendPermit(self)  # The common case, written out.

    async def aclose(self) -> None:
        """Close this end: the peer still receives what was sent. What was not yet received here is dropped."""
        if self._closed:
            return
        self._closed = True
        self._inbox = []
        for end in (self, self._peer):
            end._wake_receiver()
            end._turns.wake()

    def commit(self, messages: tuple[bytes, ...]) -> None:
        """For `SendPermit`: put the messages in the peer's inbox."""
        peer = self._peer
        if self._closed or peer._closed:
            raise self._closed_error()
        peer._inbox += messages
        receiver = peer._receiver
        if receiver is not None and not receiver.done():
            receiver.set_result(None)

    def give_back(self) -> None:
        """For `SendPermit`: nothing to do, a permit holds no place."""

    def _may_send(self) -> bool:
        peer = self._peer
        return len(peer._inbox) < self._capacity or self._closed or peer._closed

    def _permit(self) -> SendPermit:
        if self._closed or self._peer._closed:
            raise self._closed_error()
        return SendPermit(self)

    def _wake_receiver(self) -> None:
        receiver = self._receiver
        if receiver is not None and not receiver.done():
            receiver.set_result(None)

    def _closed_error(self) -> TransportClosed:
        return TransportClosed(f"cannot send: {'this end' if self._closed else 'the other end'} of the pair is closed")
