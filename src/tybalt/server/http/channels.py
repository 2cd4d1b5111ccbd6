"""Shared channels over HTTP: all messages of one client, both ways, on one connection, as on stdio.

A WebSocket is one (`websocket`), and so are the stream and the POSTs of 2024-11-05 (`sse`). Here is what they share:
who is let in, how many of one principal there may be, a session for each, what waits to be sent, and the end. A client
that has gone has no way to come back: what it asked is stopped at once. The rules of 2026-07-28 basic/transports/stdio
hold on each; the HTTP of the endpoint has its own (`endpoint`).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import Era, McpError, Overloaded
from tybalt.protocol.admission import admit_sender
from tybalt.protocol.http_messages import HttpRequest
from tybalt.protocol.http_refusal import Refusal
from tybalt.server.ending import unless
from tybalt.server.http.door import Known
from tybalt.server.http.places import Places
from tybalt.server.session import Session

if TYPE_CHECKING:
    from tybalt.server.http.endpoint import Endpoint
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")

UNREAD: Final = 64 * 1024
"""Bytes that wait to be sent, from which on a client counts as one that does not read."""
PATIENCE: Final = 1.0
"""Seconds that a client gets at the end to read what waits for it."""


async def let_in(endpoint: "Endpoint", request: HttpRequest) -> Known | Refusal:
    """Who asks for a channel, checked as on the endpoint: `Host`, `Origin`, the token; or why not."""
    fields = admit_sender(request, endpoint.policy)
    if isinstance(fields, Refusal):
        return fields
    known = await endpoint.verifying.knock(fields)
    assert known is not None  # Only who listens to the client hears that it has gone.
    return known


class Outgoing:
    """A session's output: messages on their way to a socket. Who holds the socket takes them with `next`."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._is_over = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def write(self, *messages: bytes) -> None:
        """Keep them until they are sent. After the end they go nowhere."""
        if self._is_over:
            return
        self._waiting += messages
        self._size += sum(map(len, messages))
        if self._size > UNREAD:
            self._room.clear()
        self._news.set()

    def announce(self, *messages: bytes) -> None:
        """`write` those that are not waiting already."""
        self.write(*[message for message in messages if message not in self._waiting])

    @property
    def blocked(self) -> bool:
        """Whether much of it waits."""
        return not self._room.is_set()

    async def drained(self) -> None:
        """Wait until little of it waits, or the client has gone."""
        await self._room.wait()

    def end(self) -> None:
        """Take nothing more; what waits is still sent."""
        self._is_over = True
        self._news.set()

    def give_up(self) -> None:
        """The client has gone: nothing is sent any more."""
        self._waiting.clear()
        self._room.set()
        self.end()

    async def next(self) -> bytes | None:
        """What is to be sent next, `None` after the end. A cancel loses nothing."""
        while not self._waiting:
            if self._is_over:
                return None
            self._news.clear()
            await self._news.wait()
        message = self._waiting.popleft()
        self._size -= len(message)
        if self._size <= UNREAD // 2:
            self._room.set()
        return message


class Channel:
    """One of them: its session, and what that says. `Channels.opened` makes it."""

    def __init__(self, channels: "Channels", principal: str | None, era: Era | None) -> None:
        self.outgoing = Outgoing()
        self.session = Session(channels.server, self.outgoing, principal=principal, era=era)
        self.over = asyncio.Event()
        """Set when nothing of it is left."""
        self._channels = channels

    async def serve(self, reading: Coroutine[Any, Any, None], sending: Coroutine[Any, Any, None]) -> bool:
        """Serve until `reading` is done, for then the client has gone, or until the server ends: True then.

        `sending` takes what is outgoing; it may raise what an ASGI server raises when the client is not there any more.
        Requests get the server's grace at its end, and none when it is their client that has gone.
        """
        channels, session = self._channels, self.session
        writing = asyncio.ensure_future(self._guarded(sending))
        try:
            has_gone = await unless(channels.ending, asyncio.ensure_future(reading))
            if has_gone:
                self.outgoing.give_up()
                await session.drain(0, is_gone=True)
            else:
                await session.drain(channels.grace)
                self.outgoing.end()
                await asyncio.wait([writing], timeout=PATIENCE)
            return not has_gone
        finally:
            await session.abort()
            self.outgoing.give_up()
            writing.cancel()
            await asyncio.wait([writing])

    async def _guarded(self, sending: Coroutine[Any, Any, None]) -> None:
        try:
            await sending
        except Exception as error:  # noqa: BLE001 (each ASGI server says in its own way that nobody is there)
            logger.debug("a client has gone before it was told everything: %r", error)
            self.outgoing.give_up()


class Channels:
    """The open channels of one endpoint."""

    def __init__(self, server: "Server", places: Places) -> None:
        self.server = server
        self.ending = asyncio.Event()
        self.grace = 0.0
        self._places = places
        self._open: dict[Channel, str | None] = {}
        """Each with the name it has."""
        self._named: dict[str, Channel] = {}

    def reserve(self, principal: str | None) -> Refusal | None:
        """Take a place for one, or say why there is none. After calling this, with success, you must use `opened`."""
        try:
            if self.ending.is_set():
                raise Overloaded("the server ends")
            self._places.take(principal)
        except McpError as error:
            return Refusal(error.code, error)
        return None

    @contextmanager
    def opened(
        self, principal: str | None, *, era: Era | None = None, name: str | None = None
    ) -> Generator[Channel, None, None]:
        """A channel for as long as the block lasts; others find it by its `name`."""
        channel = Channel(self, principal, era)
        self._open[channel] = name
        if name is not None:
            self._named[name] = channel
        try:
            yield channel
        finally:
            self._forget(channel)

    def named(self, name: str, principal: str | None) -> Channel | None:
        """The channel of this name, if it is this principal's."""
        channel = self._named.get(name)
        return channel if channel is not None and channel.session.principal == principal else None

    def end(self, grace: float) -> None:
        """End them all: what runs may finish for `grace` seconds. No other is opened.

        Called again, it does nothing: the first grace counts.
        """
        if not self.ending.is_set():
            self.grace = grace
            self.ending.set()

    async def wait_over(self) -> None:
        """Wait until all have ended."""
        for channel in tuple(self._open):
            await channel.over.wait()

    def _forget(self, channel: Channel) -> None:
        channel.session.close()
        self._places.leave(channel.session.principal)
        name = self._open.pop(channel)
        if name is not None:
            del self._named[name]
        channel.over.set()
