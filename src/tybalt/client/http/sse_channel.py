"""The HTTP+SSE of 2024-11-05, from its client: one stream by GET brings everything, each message is a POST elsewhere.

Where to POST, the first event of the stream says. Only an address of the same origin is believed: credentials go with
every message (2024-11-05 basic/transports, "HTTP with SSE").
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, cast
from urllib.parse import SplitResult, urljoin, urlsplit

from tybalt.client.address import Address
from tybalt.client.http.exchange import Exchange
from tybalt.client.http.pool import Answer
from tybalt.client.link import Receiver
from tybalt.errors import ConnectionLost, TybaltError, UnexpectedResult, cut, describe, printable
from tybalt.protocol.frames import Oversized
from tybalt.protocol.posts import MAX_REFUSAL, Post
from tybalt.protocol.sse import Event, EventReader

MAX_ENDPOINT: Final = 8 * 1024
"""Bytes of the address that the stream names."""

_PLAIN: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""What an address is made of: what else there may be, others read otherwise."""
_PORTS: Final = {"http": 80, "https": 443}


class SseChannel:
    """A channel to one server of 2024-11-05. Not resumable: where its stream ends, `lost` is called."""

    def __init__(
        self, address: Address, exchange: Exchange, receive: Receiver, lost: Callable[[BaseException], None]
    ) -> None:
        self._address = address
        self._exchange = exchange
        self._receive = receive
        self._lost = lost
        self._endpoint = ""
        self._stream: tuple[Answer, AsyncGenerator[Event | Oversized]] | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the stream and learn where to POST. Raises why that cannot be, at the latest after `connect_timeout`."""
        answer = None
        try:
            async with asyncio.timeout(self._address.connect_timeout):
                answer = await self._exchange.listen([])
                await self._check(answer)
                events = self._events(answer)
                await self._begin(events)
        except BaseException as error:
            if answer is not None:
                answer.close()
            if isinstance(error, TimeoutError):
                raise ConnectionLost("the server opened no stream that says where to POST, in time") from None
            raise
        self._stream = answer, events
        self._reading = asyncio.get_running_loop().create_task(self._read(answer, events))

    async def post(self, post: Post) -> None:
        """Send a message; what answers it comes on the stream. Raises where it is refused."""
        answer = await self._exchange.post(post.message, [], self._endpoint)
        try:
            if not answer.is_success:
                raise await self._exchange.refusal(answer)
            await answer.read(MAX_REFUSAL)
        finally:
            answer.close()

    async def aclose(self) -> None:
        """Close the stream."""
        if self._reading is None or self._stream is None:
            return
        answer, events = self._stream
        self._reading.cancel()
        answer.close()  # Also for a task that is cancelled before its first step.
        try:
            await asyncio.wait([self._reading])
        finally:
            await events.aclose()

    async def _check(self, answer: Answer) -> None:
        """Raises where an answer is no stream."""
        if answer.status != 200:
            raise await self._exchange.refusal(answer)
        if answer.media_type != "text/event-stream":
            raise UnexpectedResult(f"expected a stream of events, got {printable(cut(answer.media_type, 60))!r}")

    async def _begin(self, events: AsyncGenerator[Event | Oversized]) -> None:
        """Learn where to POST."""
        try:
            self._endpoint = self._checked(await anext(events, None))
        except BaseException:
            await events.aclose()
            raise

    async def _events(self, answer: Answer) -> AsyncGenerator[Event | Oversized]:
        reader = EventReader(self._address.limit)
        async with aclosing(cast("AsyncGenerator[bytes]", answer.chunks())) as chunks:
            async for chunk in chunks:
                for event in reader.feed(chunk):
                    yield event

    async def _read(self, answer: Answer, events: AsyncGenerator[Event | Oversized]) -> None:
        reason = "the server closed the stream"
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Oversized):
                        self._receive(event)
                    elif event.name == "message":
                        self._receive(event.data)
        except TybaltError as error:
            reason = str(error)
        except Exception as error:  # noqa: BLE001 (whoever waits must hear of it, whatever it is)
            reason = f"reading from the server failed: {describe(error)}"
        finally:
            answer.close()
            self._lost(ConnectionLost(reason))

    def _checked(self, event: Event | Oversized | None) -> str:
        """The address that the first event names."""
        if not isinstance(event, Event) or event.name != "endpoint" or not 0 < len(event.data) <= MAX_ENDPOINT:
            raise UnexpectedResult("the stream of the server does not begin with the event `endpoint`")
        named = event.data.decode(errors="replace").strip()
        url = ""
        try:
            url = urljoin(self._address.url, named)
            same = _PLAIN.fullmatch(named) is not None and _place(urlsplit(url)) == _place(urlsplit(self._address.url))
        except ValueError:
            same = False
        if not same:
            shown = printable(cut(named, 100))
            raise UnexpectedResult(f"the server wants its messages at {shown!r}, which is not of its own origin")
        return url


def _place(parts: SplitResult) -> tuple[str, str, int | None]:
    """What has to be the same. Whoever names a user there, wants other credentials to be sent."""
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc.rstrip(":")
    return parts.scheme, host.lower(), parts.port or _PORTS.get(parts.scheme)
