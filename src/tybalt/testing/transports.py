"""`check_transport`: the proof that a transport keeps its contract, clause by clause.

For whoever writes a transport of their own; ours pass it too. It sees only the contract of
`tybalt.transports.transport`, never what is behind it, and runs under any test runner, from any event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from inspect import isawaitable, iscoroutine
from typing import Any, NamedTuple, TypeVar, cast

from tybalt.errors import MisuseError, TransportClosed
from tybalt.transports.transport import Oversized, SendPermit, Transport

Make = Callable[[], Awaitable[tuple[Transport, Transport]]]
T = TypeVar("T")

MEBIBYTE = 1024 * 1024
# More than any socket buffers: a transport that takes as much for a peer that reads nothing has no backpressure.
TOO_MUCH = 64 * MEBIBYTE


async def check_transport(make: Make, *, limit: float = 10.0) -> None:
    """Prove every clause of the contract on pairs of connected ends that `make` makes, a fresh pair for each clause.

    Raises `AssertionError` at the first clause that does not hold, with the clause, what happened, and what to do; also
    where the transport raises what it should not, at once. Raises `MisuseError` for a `make` that makes no pairs.
    `limit` is how many seconds one clause may take, its waits included: a transport that hangs fails, it does not hang
    the test. A transport that takes longer than a hundredth of it to find room counts as blocked. Some megabytes go
    through each pair. Proves nothing about `Oversized`, whose limit only the transport knows, nor about speed.
    """
    for clause in _CLAUSES:
        pair = _Pair(*await _made(make), quiet=limit / 100)
        try:
            proved = await pair.prove(clause.proof, limit)
        except AssertionError as error:
            raise _failure(clause, str(error)) from error
        except Exception as error:
            raise _failure(clause, f"{type(error).__name__} was raised: {error}") from error
        finally:
            await pair.end()
        if not proved:
            raise _failure(clause, f"it was not done within {limit:g} s")
        try:
            async with asyncio.timeout(limit):
                await pair.close()
        except TimeoutError as error:
            raise _failure(_CLOSING, f"aclose() did not return within {limit:g} s") from error
        except AssertionError as error:
            raise _failure(_CLOSING, str(error)) from error
        except Exception as error:
            raise _failure(_CLOSING, f"aclose() raised {type(error).__name__}: {error}") from error


async def _made(make: Make) -> tuple[Transport, Transport]:
    """A pair that `make` makes. Raises `MisuseError` where it is something else, and what `make` raises."""
    if not callable(make):
        raise _no_maker(make, f"got {_kind(make)}")
    making: Any = make()
    if not isawaitable(making):
        raise _no_maker(making, f"got one that is not async and returned {_kind(making)}")
    made: object = await making
    if not isinstance(made, tuple | list) or len(ends := cast("Sequence[Transport]", made)) != 2:
        raise _no_maker(None, f"got one that returns {_kind(cast('object', made))}")
    return ends[0], ends[1]


def _no_maker(got: object, text: str) -> MisuseError:
    if iscoroutine(got):  # Of `check_transport(make())`; Python would complain that nobody awaits it.
        got.close()
    wanted = "an async function without parameters that returns a tuple of two connected transports"
    return MisuseError(f"check_transport(make): expected {wanted}, {text}. Write `async def make()`, and pass `make`")


class _End:
    """One end as its contract has it: a method of it that is not async is told by its name."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def receive(self) -> Sequence[bytes | Oversized]:
        return await _awaitable(self._transport.receive(), "receive")

    async def reserve(self) -> SendPermit:
        return await _awaitable(self._transport.reserve(), "reserve")

    def reserve_nowait(self) -> SendPermit | None:
        permit = self._transport.reserve_nowait()
        if iscoroutine(permit):
            permit.close()
            raise AssertionError("reserve_nowait() is async; write `def reserve_nowait(self)`")
        return permit

    async def aclose(self) -> None:
        await _awaitable(self._transport.aclose(), "aclose")


def _awaitable(answer: Awaitable[T], method: str) -> Awaitable[T]:
    if isawaitable(cast("object", answer)):
        return answer
    raise AssertionError(f"{method}() is not async: it returned {_kind(answer)}; write `async def {method}(self)`")


class _Pair:
    """Two connected ends, and the tasks that a proof starts. A reserve() not done after `quiet` seconds is waiting."""

    def __init__(self, one: Transport, other: Transport, *, quiet: float) -> None:
        self.one = _End(one)
        self.other = _End(other)
        self.quiet = quiet
        self._tasks: list[asyncio.Task[Any]] = []
        self._failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def prove(self, proof: "Callable[[_Pair], Coroutine[Any, Any, None]]", limit: float) -> bool:
        """Whether the proof was done within `limit` seconds. Raises what it, or a task that it started, raises first.

        The proof may wait for ever for what a failed task should have done.
        """
        proving = self.start(proof(self), may_fail=True)
        await asyncio.wait([proving, self._failed], timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            raise self._failed.result()
        if proving.done():
            await proving
        return proving.done()

    def start(self, coroutine: Coroutine[Any, Any, T], *, may_fail: bool = False) -> asyncio.Task[T]:
        """Run `coroutine` beside the proof, until its end at the latest. What it raises ends the proof at once.

        Not with `may_fail`: then the proof is to judge it.
        """
        task = asyncio.create_task(coroutine)
        self._tasks.append(task)
        if not may_fail:
            task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception) and not self._failed.done():
            self._failed.set_result(error)

    async def end(self) -> None:
        """Cancel what still runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close both ends."""
        await asyncio.gather(self.one.aclose(), self.other.aclose())


class _Clause(NamedTuple):
    says: str
    remedy: str
    proof: Callable[[_Pair], Coroutine[Any, Any, None]]


def _failure(clause: _Clause, happened: str) -> AssertionError:
    return AssertionError(f"the contract says: {clause.says}.\nBut {happened}.\n{clause.remedy}")


# The proofs, in the order in which they are run.


async def _in_order(pair: _Pair) -> None:
    for sender, receiver in ((pair.one, pair.other), (pair.other, pair.one)):
        sent = [_message(number) for number in range(300)]
        received = pair.start(_receive(receiver, len(sent)))
        for message in sent[:200]:
            await _send(sender, message)
        for start in range(200, 300, 10):
            await _send(sender, *sent[start : start + 10])
        _same(sent, await received)


async def _contiguous(pair: _Pair) -> None:
    senders, rounds = 20, 10

    def group(sender: int, number: int) -> list[bytes]:
        return [_message(sender, number, part, size=2_000) for part in range(3)]

    async def send(sender: int) -> None:
        for number in range(rounds):
            await _send(pair.one, *group(sender, number))

    received = pair.start(_receive(pair.other, senders * rounds * 3))
    await asyncio.gather(*(pair.start(send(sender)) for sender in range(senders)))
    messages = await received
    due = {sender: [group(sender, number) for number in range(rounds)] for sender in range(senders)}
    for start in range(0, len(messages), 3):
        sender = next((each for each in due if due[each] and due[each][0][0] == messages[start]), None)
        if sender is None:
            raise AssertionError(f"{_short(messages[start])} arrived where the first message of a send() was due")
        _same(due[sender].pop(0), messages[start : start + 3])


async def _large(pair: _Pair) -> None:
    sent = [b'"' + bytes([letter]) * MEBIBYTE + b'"' for letter in b"abc"]
    for sender, receiver in ((pair.one, pair.other), (pair.other, pair.one)):
        received = pair.start(_receive(receiver, len(sent)))
        for message in sent:
            await _send(sender, message)
        _same(sent, await received)


async def _any_bytes(pair: _Pair) -> None:
    everything = bytes(byte for byte in range(256) if byte != ord("\n"))
    sent = [b'"' + everything + b'"', b'"\r"', b'"\xe2\x80\xa8\xc2\x85"', b" 0 "]
    await _send(pair.one, *sent)
    _same(sent, await _receive(pair.other, len(sent)))


async def _backpressure(pair: _Pair) -> None:
    sent = await _fill(pair)
    if pair.one.reserve_nowait() is not None:
        raise AssertionError("while reserve() waits, reserve_nowait() gives a permit")
    served: list[int] = []

    async def reserve(place: int) -> None:
        permit = await pair.one.reserve()
        served.append(place)
        permit.release()

    waiting = [pair.start(reserve(place)) for place in range(3)]
    await _turns(2)
    _same(sent, await _receive(pair.other, len(sent)))
    await asyncio.gather(*waiting)
    if served != [0, 1, 2]:
        raise AssertionError(f"three that waited in reserve() were served in the order {served}")


async def _full_duplex(pair: _Pair) -> None:
    await _fill(pair)
    received = pair.start(_receive(pair.one, 100))
    for number in range(100):
        await _send(pair.other, _message(number))
    await received


async def _cancelled_reserve(pair: _Pair) -> None:
    # Cancelled at several distances from the moment at which there is room again.
    for distance in range(6):
        unread = await _fill(pair)
        crowd = [pair.start(pair.one.reserve()) for _ in range(100)]
        behind = pair.start(pair.one.reserve())
        await _turns(2)
        receiving = pair.start(_receive(pair.other, len(unread)))
        await _turns(distance)
        for task in crowd:
            task.cancel()
        await asyncio.wait(crowd)
        for task in crowd:
            if not task.cancelled():
                task.result().release()
        (await behind).release()
        await receiving


async def _cancelled_receive(pair: _Pair) -> None:
    sent = [_message(number) for number in range(200)]
    received: list[bytes | Oversized] = []
    for number, message in enumerate(sent):
        receiving = pair.start(pair.other.receive())
        await _turns(1)
        await _send(pair.one, message)
        await _turns(number % 6)
        receiving.cancel()
        await asyncio.wait([receiving])
        if not receiving.cancelled():
            received += receiving.result()
    received += await _receive(pair.other, len(sent) - len(received))
    _same(sent, received)


async def _single_use(pair: _Pair) -> None:
    permit = await pair.one.reserve()
    permit.send(b"1")
    _refused(permit, b"2", MisuseError, "a second send() on one permit")
    permit.release()
    _same([b"1"], await _receive(pair.other, 1))
    released = await pair.one.reserve()
    released.release()
    _refused(released, b"3", MisuseError, "a send() on a released permit")
    with await pair.one.reserve() as left:
        pass
    _refused(left, b"4", MisuseError, "a send() on a permit whose `with` block has ended")
    _refused(await pair.one.reserve(), b'{"a":\n1}', MisuseError, "a send() of a message that holds a newline")
    await _send(pair.one, b"5")
    _same([b"5"], await _receive(pair.other, 1))


async def _release(pair: _Pair) -> None:
    for _ in range(500):
        (await pair.one.reserve()).release()
        with await pair.one.reserve():
            pass
    first, second = await pair.one.reserve(), pair.one.reserve_nowait()
    if second is None:
        return
    # There is room for two: then neither has to wait for the other.
    second.send(b"2")
    first.send(b"1")
    _same([b"2", b"1"], await _receive(pair.other, 2))


async def _one_receiver(pair: _Pair) -> None:
    first = pair.start(pair.other.receive())
    await _turns(2)
    try:
        await pair.other.receive()
    except MisuseError:
        await _send(pair.one, b"1")
        _same([b"1"], await first)
    else:
        raise AssertionError("a second receive() raised nothing")


async def _end_of_stream(pair: _Pair) -> None:
    sent: list[bytes] = []
    while len(sent) < 50 and (permit := pair.one.reserve_nowait()) is not None:
        sent.append(_message(len(sent)))
        permit.send(sent[-1])
    closing = pair.start(pair.one.aclose())
    await _turns(3)
    _same(sent, await _receive(pair.other, len(sent)))
    await closing
    for _ in range(3):
        _same([], await pair.other.receive())


async def _closed(pair: _Pair) -> None:
    kept = await pair.one.reserve()
    await pair.one.aclose()
    _refused(kept, b"1", TransportClosed, "a send() after aclose(), on a permit from before,")
    _same([], await pair.one.receive())
    with _expected(TransportClosed, "reserve() after aclose()"):
        await pair.one.reserve()
    with _expected(TransportClosed, "reserve_nowait() after aclose()"):
        pair.one.reserve_nowait()
    with _expected(TransportClosed, "sending to an end that is closed, even repeatedly,"):
        # It may learn of that only by trying, and the first tries may go nowhere.
        while True:
            await _send(pair.other, b"1")
            await _turns(1)


async def _close_unblocks(pair: _Pair) -> None:
    receiving = pair.start(pair.one.receive())
    await _fill(pair)
    reserving = [pair.start(pair.one.reserve(), may_fail=True) for _ in range(3)]
    await _turns(2)
    await asyncio.gather(pair.one.aclose(), pair.one.aclose())
    await pair.one.aclose()
    _same([], await receiving)
    for ended in await asyncio.gather(*reserving, return_exceptions=True):
        with _expected(TransportClosed, "a reserve() that waited"):
            if isinstance(ended, BaseException):
                raise ended


_CLOSING = _Clause(
    "aclose() may be called at any time, again too, and returns in a bounded time",
    "Flush for a limited time, then close whatever the peer does; when called before, return at once.",
    _close_unblocks,
)
_CLAUSES = [
    _Clause(
        "messages arrive whole, in the order they were sent, in both directions",
        "Write in send() itself, before it returns, or queue in order; hand on every message of a read.",
        _in_order,
    ),
    _Clause(
        "the messages of one send() are contiguous, whoever else sends at the same time",
        "Write all messages of a send() in one piece; never let another write in between.",
        _contiguous,
    ),
    _Clause(
        "a message of 1 MiB arrives whole",
        "Collect a message until it is complete, however many reads that takes, and finish partial writes.",
        _large,
    ),
    _Clause(
        "a message may hold any bytes but a newline",
        "Do not decode, strip or translate; cut at LF alone, not at what str.splitlines() takes for a line end.",
        _any_bytes,
    ),
    _Clause(
        "reserve() waits while the peer does not read, serves in order, and goes on when it reads again",
        "Bound what is sent and not yet taken; make reserve() and reserve_nowait() ask the same question.",
        _backpressure,
    ),
    _Clause(
        "blocked output does not stop input",
        "Keep reading, and handing on, while writing waits.",
        _full_duplex,
    ),
    _Clause(
        "a cancelled reserve() leaves no trace: it holds no place, and whoever waits behind it is served",
        "On CancelledError give back what was granted and wake the next in line, even if the grant came just before.",
        _cancelled_reserve,
    ),
    _Clause(
        "a cancelled receive() loses nothing",
        "Take messages out of the inbox only after the last await in receive().",
        _cancelled_receive,
    ),
    _Clause(
        "a permit is good for one send(), of messages without a newline",
        "Mark the permit spent before anything else, and raise MisuseError from then on; `SendPermit` does.",
        _single_use,
    ),
    _Clause(
        "a released permit frees its place, and the order of messages is that of the sends, not of the permits",
        "Have release() undo what reserve() took; let a permit hold room, not a turn.",
        _release,
    ),
    _Clause(
        "a second receive() raises MisuseError and leaves the waiting one alone",
        "Remember that a receive() is waiting, and refuse the next.",
        _one_receiver,
    ),
    _Clause(
        "after the peer closes, what it sent first is received, then [] for ever",
        "Let aclose() flush before it closes, and end the stream only behind the last message.",
        _end_of_stream,
    ),
    _Clause(
        "once closed, nothing can be sent or received, at this end and soon at the other",
        "Raise TransportClosed in reserve(), reserve_nowait() and send(); return [] from receive().",
        _closed,
    ),
    _Clause(
        "aclose() may be called again, and unblocks who waits: receive() returns [], reserve() raises TransportClosed",
        "Wake both in aclose(), and return at once when it was called before.",
        _close_unblocks,
    ),
]


# What the proofs share.


def _message(*numbers: int, size: int = 0) -> bytes:
    return (b"[" + b",".join(b"%d" % number for number in numbers)).ljust(size) + b"]"


async def _send(end: _End, *messages: bytes) -> None:
    permit = end.reserve_nowait() or await end.reserve()
    permit.send(*messages)


async def _receive(end: _End, count: int) -> list[bytes | Oversized]:
    """At least `count` messages."""
    received: list[bytes | Oversized] = []
    while len(received) < count:
        messages = await end.receive()
        if not messages:
            raise AssertionError(f"the stream ended after {len(received)} of {count} messages")
        received += messages
    return received


async def _fill(pair: _Pair) -> list[bytes]:
    """Send until reserve() waits, and return what was sent."""
    sent: list[bytes] = []
    while len(sent) * 16_000 < TOO_MUCH:
        reserving = pair.start(pair.one.reserve())
        # A peer that takes what it can into its buffers does so in a moment; one that does not read never does.
        await asyncio.wait([reserving], timeout=pair.quiet)
        if not reserving.done():
            reserving.cancel()
            await asyncio.wait([reserving])
            if reserving.cancelled():
                return sent
        sent.append(_message(len(sent), size=16_000))
        reserving.result().send(sent[-1])
    raise AssertionError(f"{len(sent):,} messages of 16 kB went to an end that reads none, and reserve() never waited")


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _same(expected: Sequence[object], received: Sequence[object]) -> None:
    if list(expected) == list(received):
        return
    for number, (wanted, got) in enumerate(zip(expected, received, strict=False)):
        if wanted != got:
            raise AssertionError(f"message {number} arrived as {_short(got)} instead of {_short(wanted)}")
    raise AssertionError(f"{len(received)} messages arrived instead of {len(expected)}")


def _kind(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _short(message: object) -> str:
    text = repr(message)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text):,} characters)"


def _refused(permit: SendPermit, message: bytes, error: type[Exception], what: str) -> None:
    with _expected(error, what):
        permit.send(message)


@contextmanager
def _expected(error: type[Exception], what: str) -> Generator[None]:
    try:
        yield
    except error:
        return
    raise AssertionError(f"{what} raised nothing instead of {error.__name__}")
