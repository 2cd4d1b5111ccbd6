"""A client's link to a server over HTTP: each message is a POST of its own, what comes back are messages.

    POST  request        → a JSON body, or a stream of events that ends with the answer
    POST  anything else  → 202
    GET   (legacy)       → the stream of what the server says by itself, and of what a broken stream still owes

Modern and legacy are told apart by the messages themselves: one that says its revision is modern, and once a server has
accepted `initialize`, everything else belongs to that session. A request whose answer cannot come any more is reported
with the reason, so that nobody waits for it. Where a server knows no POST at all, the link falls back to the HTTP+SSE
of 2024-11-05, which is `sse_channel`. How requests are sent is in `exchange`, how streams are read in `streams`.

2026-07-28 basic/transports/streamable-http; 2025-11-25 basic/transports, "Streamable HTTP".
"""

import asyncio
import logging
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Final

from tybalt.client.address import Address
from tybalt.client.http.exchange import WRONG_URL, Exchange, Fields
from tybalt.client.http.mirroring import Mirroring
from tybalt.client.http.pool import Answer, Pool
from tybalt.client.http.session import PARTING, Session
from tybalt.client.http.sse_channel import SseChannel
from tybalt.client.http.streams import EVENTS, Refused, Streams, answer_in, answers_another
from tybalt.client.link import MODERN_ERRORS, LinkEvents, Probing
from tybalt.errors import ConnectionLost, McpError, MisuseError, TybaltError, UnexpectedResult, cut, printable
from tybalt.protocol.codec import glimpse
from tybalt.protocol.frames import Oversized
from tybalt.protocol.http_visit import SESSION_ID
from tybalt.protocol.posts import MAX_REFUSAL, Post, read_post

logger = logging.getLogger("tybalt.client")

MAX_AT_ONCE: Final = 100
"""Requests that may wait for the head of their answer at once, and as many messages besides; more wait their turn."""
TELLING: Final = 30.0
"""Seconds that a server may take to accept what it does not answer."""

_DISCOVER: Final = "server/discover"
_INITIALIZE: Final = "initialize"
_OPENINGS: Final = (_DISCOVER, _INITIALIZE)
_INITIALIZED: Final = "notifications/initialized"
_CANCELLED: Final = "notifications/cancelled"
_OLD_SERVER: Final = (400, 404, 405)
"""What a server of 2024-11-05 says to a POST (2025-11-25 basic/transports, "Backwards Compatibility")."""
_UNDECIDED: Final = frozenset((401, 403, 407, 408, 425, 429, *range(500, 600)))


class HttpLink:
    """Messages to one URL and back; see `Link` for what each method promises."""

    reopens = False

    def __init__(self, address: Address) -> None:
        self._address = address
        self.origin = address.origin
        self.probing = Probing(
            silence_is_legacy=False, undecided=_UNDECIDED, legacy_only=address.transport == "sse", key=address.url
        )
        self.mirroring = Mirroring()
        self._pool: Pool | None = None
        self._modern: str | None = None
        """The revision spoken, once a message has said that it is a modern one."""
        self._channel: SseChannel | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[int | str, asyncio.Task[None]] = {}
        self._initialized: asyncio.Task[None] | None = None
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._asides = asyncio.Semaphore(MAX_AT_ONCE)
        self._closing = False

    async def open(self, events: LinkEvents) -> None:
        """Connect, see `Link.open`. Nothing is sent yet, but for a GET where HTTP+SSE is asked for."""
        self._receive, self._lost, self._unanswered, interrupted = events
        pool = Pool(self._address)
        self._exchange = Exchange(self._address, pool)
        self._receive = self._exchange.discreet(self._receive)
        events = events._replace(receive=self._receive)
        self._streams = Streams(self._exchange, events, limit=self._address.limit)
        self._session = Session(self._exchange, self._streams, self._exchanged, interrupted)
        self._pool = pool
        self._address.warn_in_the_clear()
        if self._address.transport == "sse":
            await self._open_channel()

    def send(self, message: bytes) -> bytes | None:
        """Send now, see `Link.send`: the POST is made by a task of its own."""
        if self._pool is None or self._closing:
            raise MisuseError("the client is not connected: use it inside `async with Client(…) as client:`")
        post = read_post(message)
        if post.cancels is not None and self._give_up(post.cancels):
            return None
        fields = self._fields(post)
        task = asyncio.get_running_loop().create_task(self._deliver(post, fields))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if post.is_request and post.id is not None:
            self._waiting[post.id] = task
            task.add_done_callback(partial(self._done, post))
        if post.method == _INITIALIZED:
            self._initialized = task
        return None

    async def send_later(self, message: bytes) -> None:
        """Send when there is room, see `Link.send_later`."""
        raise AssertionError("a link over HTTP never has to wait")

    async def aclose(self) -> None:
        """Let go of the server; a legacy session is ended there (2025-11-25, "Session Management")."""
        if self._pool is None or self._closing:
            return
        self._closing = True
        try:
            told = self._tasks - set(self._waiting.values())
            if told:
                await asyncio.wait(told, timeout=PARTING)
            await self._session.leave()
        finally:
            try:
                await self._end_tasks()
            finally:
                await self._pool.aclose()

    # -- one message ------------------------------------------------------------------------------------------------

    def _fields(self, post: Post) -> Fields | None:
        """The fields of a message; None for those that its session has when it is sent.

        Raises `MisuseError` for a value that must not be in one.
        """
        if post.method == _INITIALIZE:
            self._modern = None  # It selects legacy, whatever was said before.
            return ()
        if post.revision is None:
            # In modern, that is a notification: it has no envelope.
            return None if self._modern is None else [("MCP-Protocol-Version", self._modern)]
        self._modern = post.revision
        parameters = self.mirroring.of(post.name) if post.method == "tools/call" else None
        try:
            return post.headers(parameters)
        except ValueError as error:
            raise MisuseError(
                f"{printable(cut(post.method or ''))}: it cannot be told in header fields: {error}"
            ) from None

    async def _deliver(self, post: Post, fields: Fields | None) -> None:
        """Send a message and hand over what comes back; whoever waits is told if nothing will."""
        try:
            error = await self._sent_in_time(post, fields)
        except Refused as refused:
            error = _reason(refused, post)
        except TybaltError as failed:
            error = failed
        except Exception as failed:
            if self._address.auth is None:
                logger.exception("sending %s failed", post.method)
            error = _raised(failed, post)
        if error is not None:
            self._tell(post, error)

    def _tell(self, post: Post, error: Exception) -> None:
        if post.is_request and post.id is not None:
            self._unanswered(post.id, error)
        else:
            logger.warning("the server did not take %s: %s", post.method or "an answer", printable(str(error)))

    async def _sent_in_time(self, post: Post, fields: Fields | None) -> Exception | None:
        """Send a message after all that must come first. What is no request has no deadline of its own."""
        if self._initialized is not None and not self._initialized.done() and post.method != _INITIALIZED:
            # On connections of their own, one could overtake the other.
            await asyncio.wait([self._initialized])
        if post.is_request:
            return await self._sent(post, fields)
        try:
            async with asyncio.timeout(TELLING):
                return await self._sent(post, fields)
        except TimeoutError:
            return ConnectionLost(f"it was not accepted within {TELLING:g} s")

    async def _sent(self, post: Post, fields: Fields | None) -> Exception | None:
        """Send a message whatever it takes; why no answer can come any more, where one was wanted."""
        if self._channel is not None:
            await self._channel.post(post)
            return None
        if fields is None:
            session = self._session.visit.id
            await self._session.renewed()
            if session != self._session.visit.id and not _is_repeated(post):
                return None
        try:
            await self._exchanged(post, fields)
        except Refused as refused:
            if refused.status == 404 and refused.session is not None:
                await self._session.renew(refused.session)
                if not _is_repeated(post):
                    return None
                await self._exchanged(post, fields)
            elif refused.status in _OLD_SERVER and post.method == _INITIALIZE and not _is_modern(refused.error):
                if (channel := await self._fallen_back()) is None:
                    raise
                await channel.post(post)
                return None
            else:
                raise
        if post.is_request:
            hint = WRONG_URL if post.method in _OPENINGS else ""
            return UnexpectedResult(f"what the server sent as its answer to {post.method} does not answer it{hint}")
        if post.method == _INITIALIZED and self._session.visit.is_open:
            self._session.listen()
        return None

    async def _exchanged(self, post: Post, fields: Fields | None) -> None:
        """One POST and what comes of it. Raises `Refused` for a status that is none of success."""
        async with self._turn(post):
            session = self._session.visit.id if fields is None else None
            answer = await self._exchange.post(
                post.message, self._session.visit.headers() if fields is None else fields
            )
            is_stream = post.is_request and answer.is_success and answer.media_type == EVENTS
            if not is_stream:
                try:
                    await self._whole(post, answer, session)
                finally:
                    answer.close()
        if is_stream:  # It may last: nobody waits for its turn meanwhile.
            try:
                await self._streamed(post, answer, fields)
            finally:
                answer.close()

    def _turn(self, post: Post) -> AbstractAsyncContextManager[None]:
        """What is no request has turns of its own: requests may wait for it, as for the answer to a question."""
        if post.method in (_INITIALIZE, _INITIALIZED):
            return nullcontext()
        return self._turns if post.is_request else self._asides

    async def _whole(self, post: Post, answer: Answer, session: str | None) -> None:
        """An answer in one piece."""
        if not answer.is_success:
            raise Refused(answer.status, await self._exchange.refusal(answer), session)
        if not post.is_request:
            if answer.media_type != EVENTS:  # Nothing is wanted of it, and it may never end.
                await answer.read(MAX_REFUSAL)
            return
        body = await answer.read(self._address.limit)
        if isinstance(body, Oversized):
            raise UnexpectedResult(f"the server's answer to {post.method} is too large: {body}")
        kind = answer.media_type
        if kind != "application/json":
            what = f"is of the type {printable(cut(kind, 60))!r}" if kind else "says no type"
            hint = WRONG_URL if kind == "text/html" or post.method in _OPENINGS else ""
            raise UnexpectedResult(f"the server's answer to {post.method} {what}, not application/json{hint}")
        if answer_in(body, post) is not None:
            self._learn(post, answer, body)
        elif answers_another(glimpse(body)):
            return
        self._receive(body)

    async def _streamed(self, post: Post, answer: Answer, fields: Fields | None) -> None:
        """An answer as a stream of events; in a legacy session, one that breaks is taken up again."""
        learn = partial(self._learn, post, answer) if post.method == _INITIALIZE else None
        resume = self._session.visit.headers if fields is None else None
        await self._streams.follow(answer, post, resume=resume, learn=learn)

    def _learn(self, post: Post, answer: Answer, message: bytes) -> None:
        """What the handshake says: the session, and its revision."""
        if post.method == _INITIALIZE:
            self._session.visit.opened(post, answer.field(SESSION_ID), message)

    def _give_up(self, request_id: int | str) -> bool:
        """Stop reading the answer to a request; whether the server has been told by that.

        In modern, "closing the SSE response stream MUST be treated by the server as cancellation".
        """
        task = self._waiting.pop(request_id, None)
        if task is not None:
            task.cancel()
        return self._modern is not None

    def _done(self, post: Post, task: "asyncio.Task[None]") -> None:
        """Forget a request; what was stopped by anybody but who waits for it is told, even before its first step."""
        if post.id is None or self._waiting.get(post.id) is not task:
            return
        del self._waiting[post.id]
        if task.cancelled():
            self._tell(post, ConnectionLost(f"sending {post.method} was stopped"))

    # -- HTTP+SSE ---------------------------------------------------------------------------------------------------

    async def _open_channel(self) -> SseChannel:
        """Speak HTTP+SSE from now on. Raises why that cannot be."""
        channel = SseChannel(self._address, self._exchange, self._receive, self._lost)
        await channel.open()
        self._channel = channel
        return channel

    async def _fallen_back(self) -> SseChannel | None:
        """The same for a server that knows no POST; None where it does not know HTTP+SSE either."""
        try:
            return await self._open_channel()
        except TybaltError as error:
            logger.debug("nor does the server speak HTTP+SSE: %s", error)
            return None

    # -- the end ----------------------------------------------------------------------------------------------------

    async def _end_tasks(self) -> None:
        tasks: set[asyncio.Task[Any]] = {*self._tasks}
        for task in tasks:
            task.cancel()
        try:
            await self._session.aclose()
        finally:
            if self._channel is not None:
                await self._channel.aclose()
            if tasks:
                await asyncio.wait(tasks)


def _is_repeated(post: Post) -> bool:
    """Whether a message still means something in another session: its questions are not those of the last one."""
    return post.is_request or (post.method is not None and post.method not in (_INITIALIZED, _CANCELLED))


def _reason(refused: Refused, post: Post) -> Exception:
    """What is told of a refusal. Where the era is asked for, a status that says nothing of it goes before a code."""
    error = refused.error
    if post.method != _DISCOVER or refused.status not in _UNDECIDED or not isinstance(error, McpError):
        return error
    return error if _is_modern(error) else McpError.received(refused.status, error.message, error.data)


def _raised(error: Exception, post: Post) -> Exception:
    """What is told of an error nobody here has raised: it is that of the user's own `Auth`, who may wait for it.

    But for a `TimeoutError`, which whoever waits would take for the end of his own time.
    """
    if not isinstance(error, TimeoutError):
        return error
    lost = ConnectionLost(f"sending {post.method} failed: {type(error).__name__}: {error}")
    lost.__cause__ = error
    return lost


def _is_modern(error: Exception) -> bool:
    """Whether only a modern server says so."""
    return isinstance(error, McpError) and error.code in MODERN_ERRORS
