"""A response that comes later, or in pieces, on its way to ASGI's `send`, which waits while the peer does not read.

ASGI has no word for a peer that never reads: `send` waits for as long as the server lets it, and with it all that the
response holds. So what has ended, or has too much waiting, is let go when nothing of it was taken for a while; the
connection is then the server's to close. A stream of which little waits stays: it has a place, or a request with a time
of its own.
"""

import asyncio
import logging
from collections import deque
from typing import Any, Final

from tybalt.protocol.http_messages import HttpResponse
from tybalt.server.http.exchanges import Held
from tybalt.server.http.streams import Headers

logger = logging.getLogger("tybalt.server")

UNREAD: Final = 64 * 1024
"""Bytes of a stream that wait to be sent, from which on its client counts as one that does not read."""
PATIENCE: Final = 60.0
"""Seconds in which something has to be taken of what has ended, or has so much waiting; up to a sixth more."""
LOOKS: Final = 6
"""How often it is looked at within them."""


async def hold(held: Held, receive: Any, send: Any, readers: "Readers") -> None:
    """Send a response as it comes, until it ends, its client has gone, or reads nothing for too long."""
    sink = AsgiSink()
    held.attach(sink)
    watching = asyncio.ensure_future(_gone(receive))
    watching.add_done_callback(sink.give_up)
    task = readers.begin(sink)
    try:
        while (message := await sink.next()) is not None:
            await send(message)
    except asyncio.CancelledError:
        if not (sink.is_cut and task.uncancel() == 0):
            raise
        logger.debug("a client has read nothing of its response for %g s, which is let go", PATIENCE)
    finally:
        readers.end(sink)
        if not sink.is_ended:
            sink.give_up()
            held.gone(sink)
        if not watching.done():
            watching.cancel()
            await asyncio.wait([watching])


async def _gone(receive: Any) -> None:
    try:
        while (await receive())["type"] != "http.disconnect":
            pass
    except Exception as error:  # noqa: BLE001 (each ASGI server says in its own way that nobody is there)
        logger.debug("a client has gone before its response had ended: %r", error)


class AsgiSink:
    """A response on its way to `send`."""

    def __init__(self) -> None:
        self.is_ended = False
        """Whether nothing more is to come."""
        self.is_cut = False
        """Whether its client has read nothing for too long."""
        self.taken = 0
        """How many messages were taken to be sent."""
        self._messages: deque[dict[str, Any]] = deque()
        self._size = 0
        self._is_gone = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def respond(self, response: HttpResponse) -> None:
        """Send a whole response."""
        self._start(response.status, response.headers)
        self._put({"type": "http.response.body", "body": response.body})
        self.is_ended = True

    def begin(self, headers: Headers) -> None:
        """Begin a stream."""
        self._start(200, headers)

    def send(self, data: bytes) -> None:
        """Send a piece of it."""
        self._size += len(data)
        if self._size > UNREAD:
            self._room.clear()
        self._put({"type": "http.response.body", "body": data, "more_body": True})

    def end(self) -> None:
        """End it."""
        self._put({"type": "http.response.body", "body": b""})
        self.is_ended = True

    @property
    def blocked(self) -> bool:
        """Whether much of it waits."""
        return not self._room.is_set()

    async def drained(self) -> None:
        """Wait until little of it waits, or the peer has gone."""
        await self._room.wait()

    def give_up(self, _: object = None) -> None:
        """The peer has gone."""
        self._is_gone = True
        self._room.set()
        self._news.set()

    async def next(self) -> dict[str, Any] | None:
        """What is to be sent next; `None` after the end, and when the peer has gone."""
        while not self._messages:
            if self._is_gone or self.is_ended:
                return None
            self._news.clear()
            await self._news.wait()
        if self._is_gone:
            return None
        self.taken += 1
        message = self._messages.popleft()
        if message.get("more_body"):
            self._size -= len(message["body"])
            if self._size <= UNREAD // 2:
                self._room.set()
        return message

    def _start(self, status: int, headers: Headers) -> None:
        self._put({"type": "http.response.start", "status": status, "headers": headers})

    def _put(self, message: dict[str, Any]) -> None:
        if not self._is_gone:
            self._messages.append(message)
            self._news.set()


class Readers:
    """The clients of held responses of one event loop: one timer for them all looks whether they read.

    `end` has to be called for whatever has begun.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._sending: dict[AsgiSink, tuple[asyncio.Task[Any], int, int]] = {}
        """Who sends each, what was taken when it was last looked at, and at how many looks that was the same."""

    def begin(self, sink: AsgiSink) -> "asyncio.Task[Any]":
        """The running task sends this from now on; it is cancelled when the client has not read for too long."""
        task = asyncio.current_task()
        assert task is not None
        self._sending[sink] = task, 0, 0
        if self._timer is None:
            self._set()
        return task

    def end(self, sink: AsgiSink) -> None:
        """It is sent no more."""
        self._sending.pop(sink, None)

    def _set(self) -> None:
        self._timer = self._loop.call_later(PATIENCE / LOOKS, self._look)

    def _look(self) -> None:
        for sink, (task, taken, looks) in tuple(self._sending.items()):
            if sink.taken != taken or not (sink.is_ended or sink.blocked):
                self._sending[sink] = task, sink.taken, 0
            elif looks + 1 < LOOKS:
                self._sending[sink] = task, taken, looks + 1
            else:
                del self._sending[sink]
                sink.is_cut = True
                sink.give_up()
                task.cancel()
        self._timer = None
        if self._sending:
            self._set()
