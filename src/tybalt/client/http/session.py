"""A legacy session over HTTP: listened to once it is open, renewed where the server has forgotten it, ended there.

What it is, `protocol.http_visit` knows; how its streams are read, `streams`. Messages are the business of `link`, which
sends the ones that are needed here too.

2025-11-25 basic/transports, "Session Management" and "Listening for Messages from the Server".
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tybalt.client.http.exchange import Exchange, Fields
from tybalt.client.http.streams import Refused, Streams
from tybalt.client.link import Interrupted
from tybalt.errors import ConnectionLost, RequestLost, printable
from tybalt.protocol.http_visit import HttpVisit
from tybalt.protocol.posts import Post, read_post

logger = logging.getLogger("tybalt.client")

PARTING: Final = 2.0
"""Seconds that closing gives to what is still being told, and to the end of a session."""
RENEWING: Final = 30.0
"""Seconds that opening another session may take."""

_INITIALIZED: Final = read_post(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

Exchanged = Callable[[Post, Fields | None], Awaitable[None]]
"""POSTs a message and takes what comes back; without fields, with those of the session."""


class Session:
    """The session of one client; `visit` says which, and nothing before the handshake.

    `interrupted` hears that another one has taken its place. Belongs to one event loop; ends with `aclose`.
    """

    def __init__(self, exchange: Exchange, streams: Streams, exchanged: Exchanged, interrupted: Interrupted) -> None:
        self.visit = HttpVisit()
        self._exchange = exchange
        self._streams = streams
        self._exchanged = exchanged
        self._interrupted = interrupted
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._closing = False

    def listen(self) -> None:
        """Read what the server says by itself, as long as it offers a stream for that."""
        self._stop_listening()
        if not self._closing:
            self._listening = self._started(self._listened())

    async def renewed(self) -> None:
        """Wait until another session is open, where one is being opened. Raises why it could not be."""
        renewing = self._renewing
        if renewing is None:
            return
        await asyncio.wait([renewing])
        if renewing.cancelled():
            raise ConnectionLost("the client was closed")
        if (error := renewing.exception()) is not None:
            raise error

    async def renew(self, forgotten: str) -> None:
        """Open another session in place of one that the server has forgotten, once for all who ask for it.

        "it MUST start a new session by sending a new InitializeRequest without a session ID attached". Who asks may be
        cancelled, and the others still get it. Raises why it cannot be.
        """
        if self._renewing is None and self.visit.id == forgotten and not self._closing:
            self._renewing = self._started(self._reopened(forgotten))
            self._renewing.add_done_callback(self._was_renewed)
        await self.renewed()

    async def leave(self) -> None:
        """End the session at the server; that it is not told is no harm, for sessions end by themselves."""
        self._closing = True
        self._stop_listening()
        if self._renewing is not None:
            await asyncio.wait([self._renewing], timeout=PARTING)
        if self.visit.id is None:
            return
        try:
            async with asyncio.timeout(PARTING):
                (await self._exchange.delete(self.visit.headers())).close()
        except Exception as error:  # noqa: BLE001 (an `Auth` of the user's may raise anything)
            logger.debug("the server was not told that its session is over: %s", error)

    async def aclose(self) -> None:
        """Stop all that runs."""
        self._closing = True
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _started(self, work: Any) -> "asyncio.Task[None]":
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _stop_listening(self) -> None:
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()

    async def _listened(self) -> None:
        forgotten = self.visit.id
        try:
            if await self._streams.listen(self.visit.headers) and forgotten is not None:
                await self.renew(forgotten)
        except Exception:
            logger.exception("listening to the server failed")

    async def _reopened(self, forgotten: str) -> None:
        """Open another session; the client talks on as if it were the same."""
        visit = self.visit
        opening, revision = visit.opening, visit.revision
        logger.warning("the server has forgotten the session; opening another one")
        self._stop_listening()
        visit.opening = visit.id = None
        try:
            async with asyncio.timeout(RENEWING):
                await self._opened_again(opening, revision)
        except BaseException as error:
            # Whoever comes next tries once more.
            visit.opening, visit.revision, visit.id = opening, revision, forgotten
            if (told := _told(error)) is None:
                raise
            logger.warning("no other session could be opened: %s", printable(str(told)))
            raise told from error
        self.listen()
        self._interrupted(True)

    async def _opened_again(self, opening: Post | None, revision: str | None) -> None:
        assert opening is not None
        await self._exchanged(opening, ())
        if self.visit.opening is None:
            raise ConnectionLost("the server has forgotten the session, and refuses another one")
        if self.visit.revision != revision:
            text = f"it speaks {self.visit.revision} now, and spoke {revision} before"
            raise ConnectionLost(f"the server has forgotten the session, and {text}; connect anew")
        await self._exchanged(_INITIALIZED, None)

    def _was_renewed(self, renewing: "asyncio.Task[None]") -> None:
        self._renewing = None
        if not renewing.cancelled():
            renewing.exception()  # Looked at, so that asyncio does not report it: whoever waits for it is told.


def _told(error: BaseException) -> Exception | None:
    """What those hear who wait for another session; None for what is theirs already."""
    if isinstance(error, Refused):
        return error.error
    if isinstance(error, TimeoutError):
        return RequestLost(f"the server has forgotten the session, and opens no other within {RENEWING:g} s")
    return error if isinstance(error, Exception) else None
