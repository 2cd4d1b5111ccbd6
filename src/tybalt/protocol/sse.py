"""Server-sent events: messages become the text of a `text/event-stream`, and bytes in any split become events.

The format is that of the WHATWG HTML standard, section "Server-sent events"; MCP sends one JSON text as the `data` of
each event (2026-07-28 basic/transports/streamable-http, 2025-11-25 basic/transports). What is written here always ends
with a blank line, so that pieces can be joined in any order. This module knows no JSON, no HTTP and no sessions, and
does no I/O: whoever drives a stream writes what `event` gives, and feeds `EventReader` what arrives. Which id an event
has is the business of `event_log.py`.
"""

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from tybalt.errors import LONGEST_RETRY, MisuseError, cut
from tybalt.protocol.frames import DEFAULT_LIMIT, HEAD, Oversized

MAX_FIELD: Final = 4 * 1024
"""The longest `id` or `event` that is read, in bytes."""

KEEP_ALIVE: Final = b":\n\n"
"""A comment that says nothing, for a stream on which nothing else is said (2026-07-28, "Keep-Alive")."""

_LF: Final = 10
_CR: Final = 13
_COLON: Final = 58
_DATA: Final = b"data:"
_DATA_SPACE: Final = b"data: "
_UNSAFE: Final = re.compile("[\r\n\0\ud800-\udfff]")
_MARK: Final = b"\xef\xbb\xbf"
_LONGEST_RETRY_MS: Final = int(LONGEST_RETRY * 1_000)


def event(data: bytes, *, id: str | None = None, name: str | None = None, retry: int | None = None) -> bytes:
    """One event, blank line included.

    `data` is the message; without line ends, as our encoder writes JSON, it is sent as it is. One with line ends is
    sent as several lines, which a reader joins with LF. `name` is the event's type, `message` where there is none;
    `id` is what a client sends back as `Last-Event-ID`; `retry` is after how many milliseconds it shall reconnect.

    Raises `MisuseError` for an `id` or a `name` that holds CR, LF, NUL or half a surrogate pair, and for a `retry` that
    is no whole number from 0 on: nothing that is passed in here can become a field of its own.
    """
    # As integers: one search for a byte each, where looking for a text of one byte costs six times as much.
    if _LF in data or _CR in data:
        data = _plain_ends(data).replace(b"\n", b"\ndata: ")
    if id is None and name is None and retry is None:
        return b"data: %b\n\n" % data
    return b"%bdata: %b\n\n" % (_head(id, name, retry), data)


def events(messages: Iterable[tuple[str | None, bytes]], *, name: str | None = None) -> bytes:
    """Several events for one write, each of an id, or `None`, and its data. Raises as `event` does."""
    return b"".join([event(data, id=each, name=name) for each, data in messages])


def comment(text: str = "") -> bytes:
    """A line that every reader ignores; it keeps a stream from looking idle.

    Raises `MisuseError` for a text that holds CR, LF, NUL or half a surrogate pair.
    """
    return f": {_safe('text of a comment', text)}\n\n".encode() if text else KEEP_ALIVE


class Event(Struct, frozen=True, gc=False):
    """An event that was read.

    `data` are its lines, joined with LF. Whether they are JSON, or UTF-8, is for the decoder to say; `b""` is what a
    server sends to give nothing but an id (2025-11-25 basic/transports, "Sending Messages to the Server"). `name` is
    its type. `id` is the last id that the stream has given, by this event or by one before.
    """

    data: bytes
    name: str = "message"
    id: str = ""


class EventReader:
    """Reads the events of a stream, as the standard says.

    Any split of the same bytes gives the same events, and no bytes raise. `limit` is the longest event, in bytes: the
    data so far and the line being read. One that grows past it is reported at once as `Oversized`, with how its data
    begins, thrown away up to its blank line, and the next event is read as usual; its id counts. At most `limit` bytes
    and the chunk at hand are ever held, and with them an id and a name of up to 4 KiB each. Comments of any length take
    no memory.

    `last_event_id` is the id of the last event that was complete, and "" where there is none: what to send, as UTF-8,
    as `Last-Event-ID`. An id longer than 4 KiB counts as none: resuming at the one before would bring the same messages
    twice. A longer name is cut. `retry` is after how many milliseconds the server wants us to reconnect, `None` where
    it has not said; a time of more than a year says nothing.
    """

    __slots__ = (
        "_after_cr",
        "_data",
        "_held",
        "_id",
        "_mark",
        "_name",
        "_over",
        "_skipping",
        "last_event_id",
        "limit",
        "retry",
    )

    def __init__(self, limit: int = DEFAULT_LIMIT, *, last_event_id: str = "") -> None:
        if limit < 1:
            raise MisuseError(f"the longest event is 1 byte or more; got limit={limit!r}")
        self.limit = limit
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self._begin()

    def feed(self, chunk: bytes) -> list[Event | Oversized]:
        """The events that `chunk` completes, in order; an empty list when it completes none."""
        if self._mark is not None:
            chunk = self._unmarked(chunk)
        if not chunk:
            return []
        if _CR in chunk or self._after_cr:
            chunk = self._with_plain_ends(chunk)
        lines = chunk.split(b"\n")
        rest = lines.pop()
        found: list[Event | Oversized] = []
        if lines and (self._skipping or self._held):
            self._end_held(lines, found)
        for line in lines:
            if line:
                self._field(line, found)
            else:
                self._dispatch(found)
        if rest:
            self._hold(rest, found)
        return found

    def eof(self) -> None:
        """The connection has ended: an event without its blank line is discarded, as the standard says.

        The reader is ready for the next connection, on which the stream may be resumed: `last_event_id` and `retry`
        stay, and unlike in the standard an event without an id does not change that.
        """
        self._begin()

    def _begin(self) -> None:
        self._id = self.last_event_id
        self._name = ""
        self._data: bytes | bytearray | None = None
        self._over = False
        self._held = bytearray()
        self._skipping = False
        self._after_cr = False
        self._mark: bytes | None = b""
        """What has come of the byte order mark, or `None` when it is past."""

    # -- bytes to lines ---------------------------------------------------------------------------------------------

    def _unmarked(self, chunk: bytes) -> bytes:
        start = (self._mark or b"") + chunk
        if len(start) < len(_MARK) and _MARK.startswith(start):
            self._mark = start
            return b""
        self._mark = None
        return start.removeprefix(_MARK)

    def _with_plain_ends(self, chunk: bytes) -> bytes:
        """The chunk with LF alone as line ends. A CR ends its line at once; an LF after it belongs to it."""
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        self._after_cr = chunk.endswith(b"\r")
        return _plain_ends(chunk)

    def _hold(self, piece: bytes, found: list[Event | Oversized]) -> None:
        if self._skipping:
            return
        if (self._held or piece).startswith(b":"):
            self._skip()
        elif self._size + len(self._held) + len(piece) > self.limit:
            self._outgrown(bytes(self._held) + piece, found)
            self._skip()
        else:
            self._held += piece

    def _skip(self) -> None:
        self._held = bytearray()
        self._skipping = True

    def _end_held(self, lines: list[bytes], found: list[Event | Oversized]) -> None:
        """Complete the line of which the beginning is held, or is gone."""
        tail = lines.pop(0)
        if not self._skipping:
            self._held += tail
            line = bytes(self._held)
            self._held = bytearray()
            self._field(line, found)
        self._skipping = False

    # -- lines to events --------------------------------------------------------------------------------------------

    @property
    def _size(self) -> int:
        return len(self._data) if self._data else 0

    def _field(self, line: bytes, found: list[Event | Oversized]) -> None:
        if line[0] == _COLON:
            return
        size = len(line) if self._data is None else len(line) + len(self._data)
        if size > self.limit:
            self._outgrown(line, found)
        elif line.startswith(_DATA):
            # The one long field: its value is cut out once.
            self._add(line[6:] if line.startswith(_DATA_SPACE) else line[5:])
        else:
            field, _, value = line.partition(b":")
            self._short_field(field, value.removeprefix(b" "))

    def _short_field(self, field: bytes, value: bytes) -> None:
        if field == b"event":
            self._name = str(value[:MAX_FIELD], "utf-8", "replace")
        elif field == b"id":
            if 0 not in value:
                self._id = str(value, "utf-8", "replace") if len(value) <= MAX_FIELD else ""
        elif field == b"retry":
            self._wait(value)
        elif field == b"data":
            self._add(b"")

    def _add(self, value: bytes) -> None:
        if self._over:
            return
        if self._data is None:
            self._data = value
            return
        if isinstance(self._data, bytes):
            self._data = bytearray(self._data)
        self._data += b"\n"
        self._data += value

    def _wait(self, digits: bytes) -> None:
        if digits.isdigit() and len(digits) <= 20 and (milliseconds := int(digits)) <= _LONGEST_RETRY_MS:
            self.retry = milliseconds

    def _dispatch(self, found: list[Event | Oversized]) -> None:
        self.last_event_id = self._id
        if self._data is not None:
            found.append(Event(bytes(self._data), self._name or "message", self._id))
            self._data = None
        self._name = ""
        self._over = False

    def _outgrown(self, line: bytes, found: list[Event | Oversized]) -> None:
        """Report the event that this line, or the part of it that has come, is too much for; once."""
        if not self._over:
            begun = bytes(self._data[:HEAD]) if self._data else line.removeprefix(_DATA)[:HEAD].removeprefix(b" ")
            found.append(Oversized(self._size + len(line), self.limit, begun))
        self._data = None
        self._over = True


def _plain_ends(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _head(id: str | None, name: str | None, retry: int | None) -> bytes:
    head = ""
    if name is not None:
        head += f"event: {_safe('name of an event', name)}\n"
    if id is not None:
        head += f"id: {_safe('id of an event', id)}\n"
    if retry is not None:
        head += f"retry: {_milliseconds(retry)}\n"
    return head.encode()


def _safe(kind: str, text: str) -> str:
    if not text.isprintable() and _UNSAFE.search(text):
        raise MisuseError(f"the {kind} has no CR, LF, NUL or half a surrogate pair; got {cut(text)!r}")
    return text


def _milliseconds(retry: int) -> int:
    if type(retry) is not int or retry < 0:
        raise MisuseError(f"retry is a whole number of milliseconds, 0 or more; got {retry!r}")
    return retry
