"""Streams of events as a client reads them: the answer to one request, and what a legacy server says by itself.

A stream of a legacy server may break and be taken up again where it was, if its events had ids: by GET, with the id of
the last of them, after the time that the server wants (2025-11-25 basic/transports, "Resumability and Redelivery").
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Final, NamedTuple, cast

import msgspec

from tybalt.client.http.exchange import Exchange, Fields
from tybalt.client.http.pool import Answer
from tybalt.client.link import LinkEvents
from tybalt.errors import ConnectionLost, McpError, RequestLost, TybaltError, UnexpectedResult, cut, printable
from tybalt.protocol.codec import UNREADABLE, Envelope, glimpse, glimpse_of, is_batch, read_batch
from tybalt.protocol.frames import Oversized
from tybalt.protocol.posts import MAX_REFUSAL, Post, read_refusal
from tybalt.protocol.sse import EventReader

logger = logging.getLogger("tybalt.client")

EVENTS: Final = "text/event-stream"
PAUSE: Final = 1.0
"""Seconds before a stream is taken up again, where its server has not said how many."""
SHORTEST_PAUSE: Final = 0.05
LONGEST_PAUSE: Final = 30.0
ATTEMPTS: Final = 5
"""How often in a row taking up an answer may fail, before whoever waits for it is told."""
TAIL: Final = 0.5
"""Seconds a server gets to end its stream after the answer, so that the connection can be used again."""

_NO_SUCH_EVENT: Final = (400, 410)
"""What a server says that does not know, or has not kept, the event to go on from."""

Learn = Callable[[bytes], None]


class Refused(Exception):
    """The server answered with a status that is none of success; `error` is what whoever waits is told.

    `session` is the id of the session that the request belonged to, where it belonged to one.
    """

    def __init__(self, status: int, error: Exception, session: str | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.error = error
        self.session = session


class Streams:
    """Reads the streams of one client, and tells `events` of it; `limit` bounds a message, in bytes."""

    def __init__(self, exchange: Exchange, events: LinkEvents, *, limit: int) -> None:
        self._exchange = exchange
        self._receive = events.receive
        self._interrupted = events.interrupted
        self._limit = limit

    async def follow(
        self, answer: Answer, post: Post, *, resume: Callable[[], Fields] | None, learn: Learn | None = None
    ) -> None:
        """Hand over what a request's stream brings, until its answer has come.

        `resume` gives the fields to take a broken stream up with; where there are none, or the server does not let it
        be taken up, a stream that ends without the answer raises `RequestLost`. `learn` hears of the answer before
        anybody else does. Raises an error without an id as what it is: on this stream it can be about nothing else.
        """
        followed = _Followed(post, learn, [])
        try:
            await self._follow(answer, followed, resume)
        except asyncio.CancelledError:
            for question in followed.asked:  # Who asked is told by the cancel; this is for whoever still answers.
                self._receive(_withdrawal(question))
            raise

    async def _follow(self, answer: Answer, followed: "_Followed", resume: Callable[[], Fields] | None) -> None:
        reader = EventReader(self._limit)
        broken = await self._read(answer, reader, followed)
        failures = 0
        while broken is not None:
            if resume is None or not _can_be_sent(reader.last_event_id):
                raise broken
            await asyncio.sleep(_pause(reader.retry, failures))
            try:
                further = await self._again(reader, resume())
            except Refused as refused:
                text = f"{broken}, and does not let it be taken up again: {refused.error}"
                raise RequestLost(text) from refused.error
            except ConnectionLost as error:
                failures, broken = failures + 1, error
                if failures >= ATTEMPTS:
                    raise
                continue
            failures = 0
            try:
                broken = await self._read(further, reader, followed)
            finally:
                further.close()

    async def listen(self, fields: Callable[[], Fields]) -> bool:
        """Hand over what a legacy server says by itself, over as many connections as it takes.

        Returns where the server offers no such stream, which it says with 405; True where it has offered one before,
        and says 404 now: it has forgotten the session.
        """
        reader = EventReader(self._limit)
        failures = 0
        has_begun = False
        while True:
            try:
                answer = await self._again(reader, fields())
            except Refused as refused:
                if has_begun and refused.status in _NO_SUCH_EVENT and _can_be_sent(reader.last_event_id):
                    reader = EventReader(self._limit)  # From now on; what was missed, nobody repeats.
                    continue
                logger.debug("the server offers no stream of what it says by itself: %s", refused.error)
                return has_begun and refused.status == 404
            except ConnectionLost as error:
                failures += 1
                if failures == 1:
                    logger.info("the stream of what the server says by itself broke: %s", error)
            else:
                if has_begun and not _can_be_sent(reader.last_event_id):
                    self._interrupted(False)  # What was said meanwhile, nobody repeats.
                failures, has_begun = 0, True
                try:
                    await self._read(answer, reader, None)
                finally:
                    answer.close()
            await asyncio.sleep(_pause(reader.retry, failures))

    async def _again(self, reader: EventReader, fields: Fields) -> Answer:
        """A stream by GET, from the last event on. Raises `ConnectionLost` for what may pass, else `Refused`."""
        if _can_be_sent(reader.last_event_id):
            fields = [*fields, ("Last-Event-ID", reader.last_event_id)]
        try:
            answer = await self._exchange.listen(fields)
        except ConnectionLost:
            raise
        except TybaltError as error:  # It leads elsewhere, or is compressed, or nobody is authorized.
            raise Refused(0, error) from error
        if answer.status == 200 and answer.media_type == EVENTS:
            return answer
        try:
            if answer.is_success:
                kind = printable(cut(answer.media_type, 60))
                raise Refused(answer.status, UnexpectedResult(f"expected a stream of events, got {kind!r}"))
            error = await self._exchange.refusal(answer)
        finally:
            answer.close()
        if answer.status >= 500 or answer.status in (408, 429):
            raise RequestLost(str(error)) from error
        raise Refused(answer.status, error)

    async def _read(self, answer: Answer, reader: EventReader, followed: "_Followed | None") -> ConnectionLost | None:
        """Hand over the events of one connection; None once the answer was among them, else why it ended."""
        broken = RequestLost("the server ended the stream before it answered")
        async with aclosing(cast("AsyncGenerator[bytes]", answer.chunks())) as chunks:
            try:
                async for chunk in chunks:
                    for event in reader.feed(chunk):
                        message = event if isinstance(event, Oversized) else event.data
                        if self._take(message, followed):
                            await _drain(chunks)
                            return None
            except ConnectionLost as error:
                broken = error
        reader.eof()
        return broken

    def _take(self, message: bytes | Oversized, followed: "_Followed | None") -> bool:
        """Hand over one message; True where it is the answer."""
        if isinstance(message, Oversized):
            self._outgrown(message, followed)
            return False
        if not message:  # Primes the stream with an id.
            return False
        if followed is None or answer_in(message, followed.post) is None:
            seen = glimpse(message)
            if followed is not None and seen.kind == "request" and seen.id is not None:
                followed.asked.append(seen.id)
            if not answers_another(seen):
                self._receive(message)
            return False
        if followed.learn is not None:
            followed.learn(message)
        self._receive(message)
        return True

    def _outgrown(self, message: Oversized, followed: "_Followed | None") -> None:
        """What is too large and says itself that it answers nobody is nobody's loss."""
        if followed is None or glimpse_of(message).kind == "notification":
            self._receive(message)
        else:
            raise UnexpectedResult(f"the server sent too much at once: {message}")


class _Followed(NamedTuple):
    """The request whose answer is read, who hears of that first, and the ids of what the server has asked meanwhile."""

    post: Post
    learn: Learn | None
    asked: list[int | str]


def _withdrawal(question: int | str) -> bytes:
    """What a server would say that does not want its question answered any more."""
    params = {"requestId": question, "reason": "the request it belongs to was cancelled"}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


def answer_in(message: bytes, post: Post) -> Envelope | None:
    """What of a message, or of a batch, answers the request; None where nothing does.

    Raises the error that it is where it names nobody: there was nothing else to be asked about.
    """
    try:
        parts = read_batch(message) if is_batch(message) else [message]
    except (TybaltError, *UNREADABLE):
        return None
    for part in parts:
        seen = glimpse(part)
        if seen.kind == "response" and seen.id == post.id:
            return seen
        if seen.kind == "response" and seen.id is None and (error := _nameless(part)) is not None:
            raise error
    return None


def answers_another(seen: Envelope) -> bool:
    """Whether what does not answer the request at hand answers another one, which has a stream of its own to end.

    "The server MUST NOT send a JSON-RPC response on the stream unless resuming" (2025-11-25 basic/transports).
    """
    if seen.kind != "response":
        return False
    logger.debug("ignored an answer on the stream of another request")
    return True


def _nameless(message: bytes) -> McpError | None:
    """The error of a response that names no request."""
    error = read_refusal(0, message) if len(message) <= MAX_REFUSAL else None
    return error if error is not None and error.code != 0 else None


def _can_be_sent(event_id: str) -> bool:
    """Whether there is an id, and it fits into a header field."""
    return bool(event_id) and event_id.isprintable()


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(TAIL):
            async for _ in chunks:
                pass
    except (TimeoutError, ConnectionLost):
        pass


def _pause(retry: int | None, failures: int) -> float:
    """Seconds to wait: what the server has said; else longer each time, and never the same for all its clients."""
    if retry is not None and not failures:
        return max(retry / 1000, SHORTEST_PAUSE)
    seconds = min(PAUSE * 2**failures, LONGEST_PAUSE)
    return max(seconds * random.uniform(0.5, 1.0), (retry or 0) / 1000)  # noqa: S311 (spreads load, guards nothing)
