"""`check_transport` finds what is wrong with a transport: each one here breaks the contract in one way.

That it finds nothing wrong with ours is in tests/transports/test_contract.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from tybalt.errors import MisuseError, TransportClosed
from tybalt.protocol.frames import Oversized
from tybalt.testing.transports import check_transport
from tybalt.transports.memory import MemoryTransport
from tybalt.transports.transport import SendPermit


class Plain:
    """The plainest transport that keeps the contract, to be broken below: one list each way, room for ten messages."""

    capacity: ClassVar[int] = 10
    peer: Plain

    def __init__(self) -> None:
        self.inbox: list[bytes | Oversized] = []
        self.changed = asyncio.Condition()
        self.line: list[object] = []
        self.permits = 0
        self.receiving = False
        self.closed = False

    async def receive(self) -> list[bytes | Oversized]:
        self.refuse_second_receiver()
        self.receiving = True
        try:
            while not (self.inbox or self.closed or self.peer.closed):
                await self.change()
        finally:
            self.receiving = False
        return self.take()

    def refuse_second_receiver(self) -> None:
        if self.receiving:
            raise MisuseError("one at a time")

    def take(self) -> list[bytes | Oversized]:
        messages, self.inbox = self.inbox, []
        self.tell()
        return messages

    async def reserve(self) -> SendPermit:
        place = object()
        self.line.append(place)
        try:
            while not self.closed and not self.peer.closed and not (self.next_in_line() is place and self.room()):
                await self.change()
        finally:
            self.line.remove(place)
            self.tell()
        return self.permit()

    def next_in_line(self) -> object:
        return self.line[0]

    def reserve_nowait(self) -> SendPermit | None:
        self.require_open()
        return None if self.line or not self.room() else self.permit()

    async def aclose(self) -> None:
        self.closed = True
        self.inbox = []
        self.tell()

    def room(self) -> bool:
        return len(self.peer.inbox) + self.permits < self.capacity

    def permit(self) -> SendPermit:
        self.require_open()
        self.permits += 1
        return SendPermit(self)

    def require_open(self) -> None:
        if self.closed or self.peer.closed:
            raise TransportClosed("closed")

    def commit(self, messages: tuple[bytes, ...]) -> None:
        self.permits -= 1
        self.require_open()
        self.deliver(messages)
        self.tell()

    def deliver(self, messages: tuple[bytes, ...]) -> None:
        self.peer.inbox += messages

    def give_back(self) -> None:
        self.permits -= 1
        self.tell()

    async def change(self) -> None:
        self.waiting.append(waiter := asyncio.get_running_loop().create_future())
        await waiter

    waiting: ClassVar[list[asyncio.Future[None]]] = []

    def tell(self) -> None:
        waiting = self.waiting[:]
        self.waiting.clear()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)


class Reorders(Plain):
    def deliver(self, messages: tuple[bytes, ...]) -> None:
        self.peer.inbox += reversed(messages)


class LetsOthersBetween(Plain):
    """A send of a few messages is written one message per turn of the loop."""

    def deliver(self, messages: tuple[bytes, ...]) -> None:
        self.peer.inbox.append(messages[0])
        if 1 < len(messages) < 10:
            asyncio.get_running_loop().call_soon(self.deliver, messages[1:])
        else:
            self.peer.inbox += messages[1:]
        self.tell()


class Truncates(Plain):
    def deliver(self, messages: tuple[bytes, ...]) -> None:
        self.peer.inbox += [message[: 64 * 1024] for message in messages]


class SplitsAtOtherLineEnds(Plain):
    def deliver(self, messages: tuple[bytes, ...]) -> None:
        self.peer.inbox += [line for message in messages for line in message.splitlines()]


class Strips(Plain):
    def deliver(self, messages: tuple[bytes, ...]) -> None:
        self.peer.inbox += [message.strip() for message in messages]


class NeverWaits(Plain):
    capacity = 1_000_000


class ServesTheLastFirst(Plain):
    def next_in_line(self) -> object:
        return self.line[-1]


class PromisesWithoutRoom(Plain):
    def reserve_nowait(self) -> SendPermit | None:
        return self.permit()


class StopsReadingWhileBlocked(Plain):
    async def receive(self) -> list[bytes | Oversized]:
        while not self.closed and not self.room():
            await self.change()
        return await super().receive()


class LosesPlacesOfTheCancelled(Plain):
    """Places are granted to futures; one whose task is cancelled right after keeps its place for ever."""

    async def reserve(self) -> SendPermit:
        if self.line or not self.room() or self.closed or self.peer.closed:
            self.line.append(granted := asyncio.get_running_loop().create_future())
            self.tell()
            await granted
            self.permits -= 1
        return self.permit()

    def tell(self) -> None:
        super().tell()
        for end in (self, self.peer):
            while end.line and (end.room() or end.closed or end.peer.closed):
                granted: Any = end.line.pop(0)
                if not granted.done():
                    end.permits += 1
                    granted.set_result(None)


class ForgetsThoseBehindTheCancelled(Plain):
    """Room wakes the first in line, who is then the one to wake the next, cancelled or not."""

    async def reserve(self) -> SendPermit:
        if self.line or not self.room():
            self.line.append(called := asyncio.get_running_loop().create_future())
            await called
        permit = self.permit()
        self.tell()
        return permit

    def tell(self) -> None:
        super().tell()
        for end in (self, self.peer):
            while end.line and (end.room() or end.closed or end.peer.closed):
                called: Any = end.line.pop(0)
                if not called.done():
                    called.set_result(None)
                    break


class LosesWhatACancelledReceiveTook(Plain):
    async def receive(self) -> list[bytes | Oversized]:
        messages = await super().receive()
        await asyncio.sleep(0)
        return messages


class Reusable(SendPermit):
    def send(self, *messages: bytes) -> None:
        issuer = self._issuer
        super().send(*messages)
        self._issuer = issuer


class PermitsAreReusable(Plain):
    def permit(self) -> SendPermit:
        self.require_open()
        self.permits += 1
        return Reusable(self)


class SendsAnything(SendPermit):
    def send(self, *messages: bytes) -> None:
        super().send(*(message.replace(b"\n", b" ") for message in messages))


class TakesNewlines(Plain):
    def permit(self) -> SendPermit:
        self.require_open()
        self.permits += 1
        return SendsAnything(self)


class KeepsReleasedPlaces(Plain):
    def give_back(self) -> None:
        pass


class KeepsTurns(Plain):
    """A permit is a place in the order of messages, not only room for one."""

    def __init__(self) -> None:
        super().__init__()
        self.order: list[SendPermit] = []
        self.unsent: dict[int, tuple[bytes, ...]] = {}

    def permit(self) -> SendPermit:
        self.require_open()
        self.permits += 1
        self.order.append(permit := Numbered(self))
        return permit

    def settle(self, permit: SendPermit, messages: tuple[bytes, ...]) -> None:
        self.permits -= 1
        self.unsent[id(permit)] = messages
        while self.order and id(self.order[0]) in self.unsent:
            self.peer.inbox += self.unsent.pop(id(self.order.pop(0)))
        self.tell()


class Numbered(SendPermit):
    def send(self, *messages: bytes) -> None:
        transport: Any = self._issuer
        if b"\n" in b"".join(messages):
            self.release()
        elif transport is not None and not transport.closed:
            self._issuer = None
            transport.settle(self, messages)
            return
        super().send(*messages)

    def release(self) -> None:
        transport: Any = self._issuer
        if transport is not None:
            self._issuer = None
            transport.settle(self, ())


class TakesTwoReceivers(Plain):
    def refuse_second_receiver(self) -> None:
        pass


class DropsWhatWasSentBeforeClosing(Plain):
    async def aclose(self) -> None:
        self.peer.inbox = []
        await super().aclose()


class EndsOnlyOnce(Plain):
    ended = False

    async def receive(self) -> list[bytes | Oversized]:
        while self.ended and not self.closed:
            await self.change()
        messages = await super().receive()
        self.ended = not messages
        return messages


class SendsIntoTheVoid(Plain):
    def require_open(self) -> None:
        pass


class ReservesWhenClosed(Plain):
    def reserve_nowait(self) -> SendPermit | None:
        return None if self.closed else super().reserve_nowait()


class ClosesWithoutAWord(Plain):
    async def aclose(self) -> None:
        self.closed = True
        self.inbox = []


class ClosesOnce(Plain):
    async def aclose(self) -> None:
        if self.closed:
            raise RuntimeError("it is closed already")
        await super().aclose()


class HangsOnClosing(Plain):
    async def aclose(self) -> None:
        await super().aclose()
        await asyncio.Event().wait()


BROKEN: dict[type[Plain], str] = {
    Reorders: "in the order they were sent",
    LetsOthersBetween: "the messages of one send() are contiguous",
    Truncates: "a message of 1 MiB arrives whole",
    SplitsAtOtherLineEnds: "a message may hold any bytes but a newline",
    Strips: "a message may hold any bytes but a newline",
    NeverWaits: "reserve() waits while the peer does not read",
    ServesTheLastFirst: "serves in order",
    PromisesWithoutRoom: "reserve() waits while the peer does not read",
    StopsReadingWhileBlocked: "blocked output does not stop input",
    LosesPlacesOfTheCancelled: "a cancelled reserve() leaves no trace",
    ForgetsThoseBehindTheCancelled: "a cancelled reserve() leaves no trace",
    LosesWhatACancelledReceiveTook: "a cancelled receive() loses nothing",
    PermitsAreReusable: "a permit is good for one send()",
    TakesNewlines: "a permit is good for one send(), of messages without a newline",
    KeepsReleasedPlaces: "a cancelled reserve() leaves no trace",
    KeepsTurns: "the order of messages is that of the sends, not of the permits",
    TakesTwoReceivers: "a second receive() raises MisuseError",
    DropsWhatWasSentBeforeClosing: "what it sent first is received",
    EndsOnlyOnce: "then [] for ever",
    SendsIntoTheVoid: "once closed, nothing can be sent or received",
    ReservesWhenClosed: "once closed, nothing can be sent or received",
    ClosesWithoutAWord: "unblocks who waits",
    ClosesOnce: "aclose() may be called at any time, again too",
    HangsOnClosing: "returns in a bounded time",
}


def pairs_of(kind: type[Any]) -> Callable[[], Any]:
    async def make() -> tuple[Any, Any]:
        one, other = kind(), kind()
        one.peer, other.peer = other, one
        return one, other

    return make


@pytest.mark.loops
async def test_the_plainest_transport_passes() -> None:
    await check_transport(pairs_of(Plain))


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
async def test_a_broken_transport_is_found_out(kind: type[Plain]) -> None:
    with pytest.raises(AssertionError) as caught:
        await check_transport(pairs_of(kind), limit=1)
    clause, happened, remedy = str(caught.value).split("\n")
    assert clause.startswith("the contract says: ")
    assert BROKEN[kind] in clause
    assert happened.startswith("But ")
    assert remedy


async def test_a_maker_that_makes_no_pairs_is_told_what_it_must_be() -> None:
    def plain() -> Any:
        return Plain(), Plain()

    async def one() -> Any:
        return Plain()

    async def pair() -> Any:
        return Plain(), Plain()

    wanted = "an async function without parameters that returns a tuple of two connected transports, "
    remedy = ". Write `async def make()`, and pass `make`"
    makers: list[tuple[Any, str]] = [
        (plain, "got one that is not async and returned a tuple"),
        (lambda: None, "got one that is not async and returned None"),
        (one, "got one that returns a Plain"),
        (pair(), "got a coroutine"),
        ((Plain(), Plain()), "got a tuple"),
    ]
    for make, got in makers:
        with pytest.raises(MisuseError) as refusal:
            await check_transport(make)
        assert str(refusal.value) == f"check_transport(make): expected {wanted}{got}{remedy}"


class FailsToReceive(Plain):
    async def receive(self) -> list[bytes | Oversized]:
        raise ValueError("boom")


class TimesOut(Plain):
    async def receive(self) -> list[bytes | Oversized]:
        raise TimeoutError("the modem is slow")


class ReceivesAtOnce(Plain):
    def receive(self) -> Any:
        return self.take()


class ReservesAtOnce(Plain):
    def reserve_nowait(self) -> SendPermit | None:
        return None

    def reserve(self) -> Any:
        return None


class ReservesLater(Plain):
    async def reserve_nowait(self) -> SendPermit | None:  # type: ignore[override]
        return None


class ClosesAtOnce(Plain):
    def aclose(self) -> Any:
        self.closed = True


MISMADE: dict[type[Plain], str] = {
    FailsToReceive: "ValueError was raised: boom",
    TimesOut: "TimeoutError was raised: the modem is slow",
    ReceivesAtOnce: "receive() is not async: it returned a list; write `async def receive(self)`",
    ReservesAtOnce: "reserve() is not async: it returned None; write `async def reserve(self)`",
    ReservesLater: "reserve_nowait() is async; write `def reserve_nowait(self)`",
    ClosesAtOnce: "aclose() is not async: it returned None; write `async def aclose(self)`",
}


@pytest.mark.parametrize("kind", MISMADE, ids=lambda kind: kind.__name__)
async def test_what_fails_at_once_is_told_at_once(kind: type[Plain]) -> None:
    # Without a limit: who waits for what the failed task should have done would run into that of the test.
    with pytest.raises(AssertionError) as caught:
        await check_transport(pairs_of(kind), limit=1e6)
    assert str(caught.value).split("\n")[1] == f"But {MISMADE[kind]}."


async def test_what_a_transport_raises_is_the_finding() -> None:
    class Fails(MemoryTransport):
        def reserve_nowait(self) -> SendPermit | None:
            raise OSError("the cable is cut")

    async def make() -> tuple[MemoryTransport, MemoryTransport]:
        one, other = Fails(1), Fails(1)
        one._peer, other._peer = other, one
        return one, other

    with pytest.raises(AssertionError, match="But OSError was raised: the cable is cut"):
        await check_transport(make)
