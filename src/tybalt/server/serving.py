"""Serving one transport: read messages, feed the session, write answers, and end well.

The loop reads what has arrived, answers all of it with one write, and goes on. It stops reading only while its own
output is blocked, so that a peer that does not read cannot fill our memory. The end of the stream, or being told to
stop, lets what is running finish within a grace period.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from tybalt.errors import TransportClosed
from tybalt.execution.tokens import ungoverned
from tybalt.server.ending import unless
from tybalt.server.session import Session
from tybalt.transports.transport import Transport

if TYPE_CHECKING:
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")

ANSWERED_AT_ONCE: Final = 256 * 1024
"""Bytes of answers after which it is looked whether the peer reads them, before more requests are answered."""


class Outbox:
    """A session's output over a transport: written at once while there is room, else in order as room appears."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._waiting: list[bytes] = []
        self._flushing: asyncio.Task[None] | None = None
        self.closed = False

    @property
    def blocked(self) -> bool:
        """Whether messages are waiting for the peer to read."""
        return bool(self._waiting)

    def write(self, *messages: bytes) -> None:
        """Send now, or keep until there is room. Once the transport is closed, messages go nowhere."""
        if self.closed or not messages:
            return
        try:
            permit = None if self._waiting else self._transport.reserve_nowait()
            if permit is not None:
                permit.send(*messages)
                return
        except TransportClosed:
            self.closed = True
            return
        self._waiting.extend(messages)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def announce(self, *messages: bytes) -> None:
        """`write` those that are not waiting already, so that a peer that does not read costs no memory."""
        self.write(*[message for message in messages if message not in self._waiting])

    async def drained(self) -> None:
        """Wait until no message is waiting."""
        if self._flushing is not None:
            await asyncio.shield(self._flushing)

    async def aclose(self) -> None:
        """Give up what is waiting."""
        self.closed = True
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.wait([self._flushing])
        self._waiting.clear()

    async def _flush(self) -> None:
        try:
            while self._waiting:
                permit = await self._transport.reserve()
                messages, self._waiting = self._waiting, []
                permit.send(*messages)
        except TransportClosed:
            self.closed = True
        finally:
            self._waiting = []
            self._flushing = None


async def serve(
    server: "Server", transport: Transport, *, grace: float = 5.0, stop: asyncio.Event | None = None
) -> None:
    """Serve one connection until its stream ends or `stop` is set, then let requests finish for `grace` seconds.

    Where the stream has ended, `stop` ends that grace too: whoever sets it wants an end now. After calling this, you
    must close the transport. The server's lifespan must be open (`server.running()`).
    """
    outbox = Outbox(transport)
    session = Session(server, outbox)
    try:
        # Where a handler of another server has begun this, its token is not that of the requests that come.
        reading = ungoverned(asyncio.ensure_future, _read(session, transport, outbox))
        ended = await unless(stop, reading)
        await session.drain(grace, hurry=stop if ended else None, is_gone=ended)
        await asyncio.wait_for(outbox.drained(), max(grace, 0.1))
    except TimeoutError:
        logger.warning("the peer did not read its last answers; they are lost")
    finally:
        session.close()
        await session.abort()
        await outbox.aclose()


async def _read(session: Session, transport: Transport, outbox: Outbox) -> None:
    """Answer what comes until the stream ends. A chunk of requests may ask for far more than it weighs."""
    while messages := await transport.receive():
        answers: list[bytes] = []
        room = ANSWERED_AT_ONCE
        for message in messages:
            answer = session.receive(message)
            if answer is not None:
                answers.append(answer)
                room -= len(answer)
                if room < 0:
                    outbox.write(*answers)
                    answers, room = [], ANSWERED_AT_ONCE
                    if outbox.blocked:
                        await outbox.drained()
        outbox.write(*answers)
        if outbox.blocked:
            await outbox.drained()
        if outbox.closed:
            return
