"""One request that the lane answers, and its response on the way to the socket.

It stands where uvicorn keeps its own cycle of a request and a response, and has what uvicorn looks for there. Which
requests are answered so is the business of `lane`, what the answer is that of the endpoint.
"""

import asyncio
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final, Protocol

from tybalt.protocol.http_messages import HttpRequest, HttpResponse
from tybalt.protocol.http_refusal import Refusal
from tybalt.protocol.statuses import answer_response
from tybalt.server.http.door import Entry
from tybalt.server.http.endpoint import Endpoint
from tybalt.server.http.exchanges import Held, with_headers
from tybalt.server.http.streams import Headers

CLOSE: Final = b"connection: close\r\n"

_CHUNKED: Final = b"transfer-encoding: chunked\r\n"
_STATUS_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}


class Connection(Protocol):
    """What a cycle needs of its connection."""

    transport: asyncio.Transport
    flow: Any
    expect_100_continue: bool

    def fields(self) -> list[tuple[bytes, bytes]]:
        """What goes with every response."""
        ...

    def on_response_complete(self) -> None:
        """A response was sent."""
        ...


class _NoEvent:
    """Stands where uvicorn looks for somebody who waits."""

    def set(self) -> None:
        """Nobody does."""


_NOBODY: Final = _NoEvent()


class LaneCycle:
    """One request of the lane, and the sink of its response."""

    __slots__ = (
        "_headers",
        "_held",
        "_http_version",
        "_is_chunked",
        "_lane",
        "body",
        "disconnected",
        "endpoint",
        "is_checked",
        "keep_alive",
        "outlives_client",
        "response_complete",
    )

    message_event = _NOBODY

    def __init__(
        self,
        lane: Connection,
        endpoint: Endpoint,
        headers: list[tuple[bytes, bytes]],
        http_version: str,
        *,
        keep_alive: bool,
    ) -> None:
        self._lane = lane
        self._headers = headers
        self._held: Held | None = None
        self._is_chunked = True
        self._http_version = http_version
        self.endpoint = endpoint
        self.body: bytes | bytearray = b""
        self.is_checked = False
        self.keep_alive = keep_alive
        self.outlives_client = False
        """Whether it is answered to a client that sends no more: one that has gone looks the same."""
        self.disconnected = False
        self.response_complete = False

    def message(self, body: bytes) -> HttpRequest:
        """The request as a value."""
        return HttpRequest("POST", self._headers, body, self._http_version)

    def take(self, piece: bytes) -> None:
        """Another piece of its body has come."""
        if not self.body:
            self.body = piece
            return
        if isinstance(self.body, bytes):
            self.body = bytearray(self.body)
        self.body += piece

    def run(self) -> Entry | None:
        """Answer it, now that it is whole. Returns what it was let in with, if the same head may be let in again."""
        body, self.body = bytes(self.body), b""
        entry = self.endpoint.enter(self.message(body))
        if isinstance(entry, HttpResponse):
            self.respond(entry)
            return None
        self.answer(entry, self.endpoint.answer(entry, body))
        return entry if self.keep_alive and not self._lane.expect_100_continue else None

    def answer(self, entry: Entry, found: bytes | HttpResponse | Held) -> None:
        """Send what the endpoint has found."""
        if isinstance(found, bytes):
            found = answer_response(found, entry.admitted.era)
        if isinstance(found, HttpResponse):
            self.respond(with_headers(found, entry.headers))
        else:
            self._held = found
            # In modern to go away is how a client cancels; in legacy it runs on, whoever is there.
            self.outlives_client = entry.admitted.era == "legacy"
            found.attach(self)

    def refuse(self, refusal: Refusal) -> None:
        """Answer before the body is there."""
        self.keep_alive = False
        self.send_response(self.endpoint.refuse(refusal, self.message(b"")))
        self.lost()
        self.response_complete = True
        self.body = b""

    def lost(self) -> None:
        """Its client has gone."""
        self.disconnected = True
        held, self._held = self._held, None
        if held is not None and not self.response_complete:
            held.gone(self)

    # -- the sink -----------------------------------------------------------------------------------------------------

    def respond(self, response: HttpResponse) -> None:
        """Send a whole response."""
        self.send_response(response)
        self._complete()

    def send_response(self, response: HttpResponse) -> None:
        """Write it."""
        lane = self._lane
        if not self.disconnected:
            end = b"" if self.keep_alive else CLOSE
            lane.transport.write(head_of(response.status, lane.fields(), response.headers, end) + response.body)

    def begin(self, headers: Headers) -> None:
        """Begin a stream: in chunks, where the client knows them, else up to the end of the connection."""
        if self._http_version == "1.0":
            self._is_chunked = self.keep_alive = False
        end = (_CHUNKED if self._is_chunked else b"") + (b"" if self.keep_alive else CLOSE)
        if not self.disconnected:
            self._lane.transport.write(head_of(200, self._lane.fields(), headers, end))

    def send(self, data: bytes) -> None:
        """Send a piece of it."""
        if not self.disconnected:
            self._lane.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)

    def end(self) -> None:
        """End it."""
        if self._is_chunked and not self.disconnected:
            self._lane.transport.write(b"0\r\n\r\n")
        self._complete()

    @property
    def blocked(self) -> bool:
        """Whether what was written waits."""
        return self._lane.flow.write_paused

    async def drained(self) -> None:
        """Wait until it does not."""
        await self._lane.flow.drain()

    def _complete(self) -> None:
        self.response_complete = True
        self._held = None
        if not self.keep_alive and not self.disconnected:
            self._lane.transport.close()
        self._lane.on_response_complete()


def refused(refusal: Refusal, fields: list[tuple[bytes, bytes]]) -> bytes:
    """The response to a request that nobody reads to its end: the last of its connection."""
    response = refusal.response(datetime.now(UTC))
    return head_of(response.status, fields, response.headers, CLOSE) + response.body


def head_of(status: int, *fields: Any) -> bytes:
    """The head of a response: fields, as pairs or as lines that are written already."""
    lines: list[bytes] = [_STATUS_LINES[status]]
    for some in fields:
        if isinstance(some, bytes):
            lines.append(some)
        else:
            lines += [b"%b: %b\r\n" % field for field in some]
    lines.append(b"\r\n")
    return b"".join(lines)
