"""A WebSocket as a transport, the client's end: one message a frame. The only place that knows the package websockets.

That package has the rules of the protocol and does no I/O here: its `ClientProtocol` takes bytes and gives frames, and
the sockets are asyncio's. Waiting for room, receiving, and reading no further are those of `StreamTransport`; what
differs is how bytes become messages, how the two ends take leave, and how a peer that is gone is noticed. `websocket`
connects it.

RFC 6455. The subprotocols are those of our server (`server/http/websocket.py`), and no part of MCP.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from tybalt.errors import InvalidRequest, McpError, MisuseError, TransportClosed, cut, printable
from tybalt.protocol.frames import HEAD, Oversized
from tybalt.protocol.message_pack import json_of, packed_of
from tybalt.transports.stream import StreamTransport

if TYPE_CHECKING:
    from websockets.client import ClientProtocol
    from websockets.frames import Frame
    from websockets.protocol import State

JSON: Final = "mcp"
"""The subprotocol of JSON in text frames."""
PACKED: Final = "mcp.msgpack"
"""The subprotocol of MessagePack in binary frames."""

SHORTEST_SECRET: Final = 4
"""Characters: what is shorter is in every text."""
OBJECT: Final = 48
"""Bytes that a message takes beside its own, counted so that many small ones cannot take more than their share."""

_HTTP: Final = b"HTTP/"
_BEGINNING: Final = 9
"""Bytes of the answer to the handshake that are kept, up to the version of HTTP."""

_CONTINUATION, _TEXT, _BINARY, _CONTROL = 0, 1, 2, 8
_PONG: Final = 0x8A
"""The first byte of a pong."""
_NORMAL, _WRONG_KIND, _BAD_DATA, _TOO_LARGE = 1000, 1003, 1007, 1009
"""RFC 6455 section 7.4.1."""


def handshake_fault(error: Exception, is_page: bool) -> str:
    """What was wrong with an answer to the handshake, with nothing in it that the server wrote.

    `is_page` is what the transport says of the answer.
    """
    from websockets.exceptions import InvalidHeader, NegotiationError

    if isinstance(error, TransportClosed):
        return str(error)
    if isinstance(error, InvalidHeader):
        return f"the header field {error.name} of its answer is missing or wrong"
    if isinstance(error, NegotiationError):
        return "it chose an extension or a subprotocol that was not offered"
    if isinstance(error.__cause__, EOFError):
        return "it closed the connection before it had answered in full"
    if is_page:
        return "a page answered, by HTTP/1.0, and not a WebSocket; is this the address of an MCP server that serves it?"
    return "its answer is no HTTP, or longer than any answer needs to be"


class WebSocketTransport(StreamTransport):
    """The client's end of a WebSocket. `connect_websocket` makes it, and tells what the options are.

    The end of the connection is the end in both directions. `reason` then says why, as `TransportClosed` does.

    Raises `MisuseError` where the package websockets is not installed, and for what is no URL of a WebSocket. Its text
    does not repeat the URL, which may hold a token.
    """

    def __init__(
        self,
        url: str,
        fields: Sequence[tuple[str, str]],
        *,
        binary: bool,
        limit: int,
        high_water: int,
        read_ahead: int,
        grace: float,
        keepalive: float,
    ) -> None:
        super().__init__(limit=limit, high_water=high_water, read_ahead=read_ahead, linger=grace)
        self._limit = limit
        self._packed = binary
        self._protocol, self._open = _rules(url, PACKED if binary else JSON, limit)
        self._request = _request(self._protocol, fields)
        self._secrets = _secrets(fields)
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[Exception | None] = self._loop.create_future()
        self._fragments = bytearray()
        self._beginning = b""
        self._pong = b""
        self._keepalive = keepalive
        self._heard = self._loop.time()
        self._pinged = False
        self._checking: asyncio.TimerHandle | None = None
        self._leaving: asyncio.TimerHandle | None = None

    @property
    def reason(self) -> str | None:
        """Why nothing can be sent any more; None while it can."""
        return self._closed

    # What `connect_websocket` calls.

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port of the URL."""
        return self._protocol.uri.host, self._protocol.uri.port

    @property
    def subprotocol(self) -> str | None:
        """What the server has chosen, once the WebSocket is open."""
        return self._protocol.subprotocol

    @property
    def is_http(self) -> bool:
        """Whether what the server sent first begins as an answer of HTTP does."""
        return self._beginning.startswith(_HTTP)

    @property
    def is_page(self) -> bool:
        """Whether that is of HTTP/1.0, which knows no WebSocket."""
        return self._beginning.startswith(b"HTTP/1.0 ")

    async def opened(self) -> Exception | None:
        """Wait for the answer to the handshake; what was wrong with it, or None where the WebSocket is open."""
        return await self._answered

    async def abandon(self) -> None:
        """Close at once, with no leave taken."""
        if self._link is not None:
            self._link.abort()
            await self._wait_lost()

    # What senders call.

    async def aclose(self) -> None:
        """Take leave, and close when the server has, or `grace` seconds have passed."""
        self._shut()
        link = self._link
        if link is None:
            return
        if self._protocol.state is self._open:
            self._protocol.send_close(_NORMAL)
        self._write_out()
        self._leave()
        try:
            await self._wait_lost()
        except asyncio.CancelledError:
            link.abort()
            raise

    def commit(self, messages: tuple[bytes, ...]) -> None:
        """For `SendPermit`: one write, one frame per message."""
        if self._closed is not None:
            raise TransportClosed(self._closed)
        if self._packed:
            for packed in [_packed(message) for message in messages]:
                self._protocol.send_binary(packed)
        else:
            for message in messages:
                self._protocol.send_text(message)
        self._write_out()

    # What the link calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """For asyncio: the connection is open, and the handshake begins."""
        super().connection_made(transport)
        # Not by the protocol, which would write the header fields to the debug log, a token among them.
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Bytes came in."""
        self._heard = self._loop.time()
        self._pinged = False
        if len(self._beginning) < _BEGINNING:
            self._beginning = (self._beginning + data)[:_BEGINNING]
        self._protocol.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        """The server sends no more: with WebSocket that is the end of both directions."""
        self._protocol.receive_eof()
        self._advance()
        return False

    def resume_writing(self) -> None:
        """The server takes output again."""
        super().resume_writing()
        pong, self._pong = self._pong, b""
        if pong and self._closed is None and self._link is not None:
            self._link.write(pong)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        for timer in (self._checking, self._leaving):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        self._fragments = bytearray()
        if not self._answered.done():
            self._answered.set_result(TransportClosed(cast(str, self._closed)))

    # From bytes to messages.

    def _advance(self) -> None:
        """Act on what the protocol has made of the bytes. Delivering comes last, as the receiver may run inside it."""
        events = self._protocol.events_received()
        if not self._answered.done() and not self._is_answered(events):
            return
        messages = [] if self._ended else self._messages_of(cast("list[Frame]", events))
        self._write_out()
        if self._protocol.state is not self._open:
            self._finish(messages)
        elif messages:
            self._deliver(messages, sum(_weight(message) for message in messages))

    def _is_answered(self, events: list[Any]) -> bool:
        """Whether the handshake is over; then its response is taken from the events."""
        error = self._protocol.handshake_exc
        if error is None and not events:
            return False
        del events[:1]
        self._answered.set_result(error)
        if error is None:
            self._check()
        return True

    def _messages_of(self, frames: "Sequence[Frame]") -> list[bytes | Oversized]:
        messages: list[bytes | Oversized] = []
        for frame in frames:
            if frame.opcode >= _CONTROL:
                continue
            if frame.opcode not in (_CONTINUATION, _BINARY if self._packed else _TEXT):
                self._fail(_WRONG_KIND, f"a frame of the wrong kind for {PACKED if self._packed else JSON}")
                break
            # One buffer, not a list of pieces: empty fragments without end must take no room.
            self._fragments += frame.data
            if frame.fin:
                whole, self._fragments = bytes(self._fragments), bytearray()
                message = self._read_packed(whole) if self._packed else self._read_text(whole)
                if message is None:
                    break
                if message:
                    messages.append(message)
        return messages

    def _read_text(self, text: bytes) -> bytes | None:
        """The message in a text frame, empty for one that is blank. Fails the connection for what is no text."""
        try:
            text.decode()
        except UnicodeDecodeError as error:
            self._fail(_BAD_DATA, f"a text frame that is no UTF-8 ({error.reason} at byte {error.start})")
            return None
        # In JSON a line end is white space, and nothing else; in a message of ours there is none.
        return b"" if text.isspace() else text.replace(b"\n", b" ")

    def _read_packed(self, packed: bytes) -> bytes | Oversized | None:
        """The message in a binary frame. Fails the connection for what cannot be said in JSON."""
        try:
            message = json_of(packed)
        except McpError as error:
            code = _TOO_LARGE if isinstance(error, InvalidRequest) else _BAD_DATA
            self._fail(code, f"a packed message that cannot be read: {error.message}")
            return None
        # It may be several times as long as it was packed.
        return message if len(message) <= self._limit else Oversized(len(message), self._limit, message[:HEAD])

    # How it ends.

    def _fail(self, code: int, what: str) -> None:
        self._closed = self._closed or f"the server sent {printable(cut(what, 300))}"
        self._protocol.fail(code)

    def _finish(self, messages: list[bytes | Oversized]) -> None:
        if self._closed is None:
            self._closed = self._reason()
            messages += self._too_large()
        self._fragments = bytearray()
        self._leave()
        self._end(messages)
        self._turns.wake()

    def _reason(self) -> str:
        protocol = self._protocol
        if protocol.handshake_exc is not None:
            return "the WebSocket was never opened"
        if protocol.close_rcvd is not None:
            told = printable(cut(str(protocol.close_rcvd), 200))
            for secret in self._secrets:  # The server may repeat what it was sent.
                told = told.replace(secret, "…")
            return f"the server closed the connection: {told}"
        if isinstance(protocol.parser_exc, EOFError):
            return "the server ended the connection without taking leave"
        if self._too_large():
            return f"the server sent a message of more than {self._limit:,} bytes, which is the `limit` here"
        return f"the server broke the rules of WebSocket: {printable(cut(str(protocol.parser_exc), 200))}"

    def _too_large(self) -> list[Oversized]:
        """What stands in the place of the message that was larger than the limit, where that is how it ended."""
        announced = getattr(self._protocol.parser_exc, "size", None)
        if announced is None:
            return []
        head = b"" if self._packed else bytes(self._fragments[:HEAD])
        return [Oversized(len(self._fragments) + announced, self._limit, head)]

    def _leave(self) -> None:
        """The server is to close the connection now, as the rules say; if it does not within the grace, we do."""
        if self._leaving is None and self._link is not None:
            self._leaving = self._loop.call_later(self._linger, self._link.abort)
            if self._checking is not None:
                self._checking.cancel()
            if self._reading_paused:
                self._resume_reading()

    def _check(self) -> None:
        """See that the server is there: ping when nothing has come for `keepalive` seconds, give up after as many."""
        now = self._loop.time()
        if self._reading_paused:
            self._heard = now  # What we do not read we cannot hear.
        due = self._heard + self._keepalive
        if now >= due and self._pinged:
            self._closed = f"the server is gone: nothing came for {2 * self._keepalive:g} s, and no answer to a ping"
            cast(asyncio.Transport, self._link).abort()
            return
        self._pinged = now >= due
        if self._pinged:
            self._protocol.send_ping(b"")
            self._write_out()
            due = now + self._keepalive
        self._checking = self._loop.call_at(due, self._check)

    def _write_out(self) -> None:
        """Write what the protocol wants sent.

        Of pongs the last is enough (RFC 6455 section 5.5.3), and while the server takes nothing it waits here: a server
        that pings without end and does not read must not fill our memory.
        """
        written = self._protocol.data_to_send()
        link = self._link
        if link is None:
            return
        out = [data for data in written if data and data[0] != _PONG]
        pong = next((data for data in reversed(written) if data and data[0] == _PONG), b"")
        if self._blocked and pong:
            self._pong, pong = pong, b""
        if data := pong + b"".join(out):
            link.write(data)
        if written and not written[-1]:
            link.close()


def _rules(url: str, subprotocol: str, limit: int) -> tuple["ClientProtocol", "State"]:
    """The rules of one connection, none of which has been played yet, and their word for one that is open."""
    try:
        from websockets.client import ClientProtocol
        from websockets.exceptions import InvalidURI
        from websockets.protocol import State
        from websockets.typing import Subprotocol
        from websockets.uri import parse_uri
    except ImportError as error:
        raise MisuseError("connect_websocket needs websockets: pip install 'tybalt[websocket]'") from error
    try:
        uri = parse_uri(url)
    except (InvalidURI, ValueError) as error:
        what = error.msg if isinstance(error, InvalidURI) else error
        raise MisuseError(f"this is no URL of a WebSocket: {what}; one is wss://example.org/mcp") from None
    # Not the package's own logger: what it says at level DEBUG shows the beginning of each message.
    logger = logging.getLogger("tybalt.transports")
    # No extensions, and so no compression: a small message cannot become a large one.
    return ClientProtocol(uri, subprotocols=[Subprotocol(subprotocol)], max_size=limit, logger=logger), State.OPEN


def _request(protocol: "ClientProtocol", fields: Sequence[tuple[str, str]]) -> bytes:
    request = protocol.connect()
    for name, value in fields:
        request.headers[name] = value
    return request.serialize()


def _secrets(fields: Sequence[tuple[str, str]]) -> list[str]:
    """What was sent and may be a secret: the values of the fields, and of `Bearer abc123` the second word too."""
    values = [value for name, value in fields if name != "user-agent"]
    parts = {part for value in values for part in (value, value.partition(" ")[2].strip())}
    return sorted((part for part in parts if len(part) >= SHORTEST_SECRET), key=len, reverse=True)


def _weight(message: bytes | Oversized) -> int:
    return OBJECT + len(message if isinstance(message, bytes) else message.head)


def _packed(message: bytes) -> bytes:
    try:
        packed = packed_of(message)
    except msgspec.DecodeError as error:
        raise MisuseError(f"a message is one JSON text, to be packed: {error}") from None
    if packed is None:
        raise MisuseError("a whole number of more than 64 bits cannot be packed; connect with binary=False")
    return packed
