"""Serving one transport: read messages, feed the session, write answers, and end well.

The loop reads what has arrived, answers all of it with one write, and goes on. It stops reading only while its own
output is blocked, so that a peer that does not read cannot fill our memory. The end of the stream, or being told to
stop, lets what is running finish within a grace period.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from tybalt.errors import TransportClosed
from tybalt.server.session import Session
from tybalt.transports.transport import Transport

if TYPE_CHECKING:
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")


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

    After calling this, you must close the transport. The server's lifespan must be open (`server.running()`).
    """
    outbox = Outbox(transport)
    session = Session(server, outbox)
    try:
        await _read(session, transport, outbox, stop)
        await session.drain(grace)
        await asyncio.wait_for(outbox.drained(), max(grace, 0.1))
    except TimeoutError:
        logger.warning("the peer did not read its last answers; they are lost")
    finally:
        session.close()
        await session.abort()
        await outbox.aclose()


async def _read(session: Session, transport: Transport, outbox: Outbox, stop: asyncio.Event | None) -> None:
    if stop is None:
        await _read_all(session, transport, outbox)
        return
    reading = asyncio.create_task(_read_all(session, transport, outbox))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([reading, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (reading, stopping):
            task.cancel()
        await asyncio.wait([reading, stopping])
    if not reading.cancelled() and (error := reading.exception()) is not None:
        raise error


async def _read_all(session: Session, transport: Transport, outbox: Outbox) -> None:
    receive = session.receive
    while messages := await transport.receive():
        outbox.write(*[answer for message in messages if (answer := receive(message)) is not None])
        if outbox.blocked:
            await outbox.drained()
        if outbox.closed:
            return
