"""Where one connection is in what it reads: how far its request is, since when, and what that has taken so far.

    new, idle ──► head ──► body ──► idle        and from any of them, for ever: deaf, ended

In `deaf`, what comes is thrown away: it cannot be understood, or its answer was sent before it was whole. In `ended`
nothing more comes, though the client may still read. It knows no socket and no parser: the connection says what the
parser has found, and asks what is too much and what too slow. What is owed to the client is the connection's to know.
"""

from typing import Final, Literal

from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.server.http.settings import HttpSettings

MAX_HEAD: Final = 64 * 1024
"""Bytes that the head of a request may have: its target and its header fields, and what stands before them."""
MAX_FIELDS: Final = 100
"""Header fields of one request."""
MAX_CODING: Final = 64 * 1024
"""Bytes that a body may have beside what is in it, and beside an eighth of that: what its chunks say about each.

A chunk of one byte comes with five; each costs as much time as a large one.
"""
PATIENCE: Final = 1.0
"""Seconds that connections get to end after the last response was sent."""

CLEAN: Final = ("idle", "new")
"""Where what comes next is the first byte of a request."""

_LONG_HEAD: Final = plain(431, f"the head of a request has at most {MAX_HEAD:,} bytes and {MAX_FIELDS} header fields")
_SMALL_CHUNKS: Final = plain(413, "the body is sent in pieces far smaller than what is said about each")


class Reading:
    """The position of one connection. `since` is the loop's time at which its stage began."""

    __slots__ = ("_head", "_raw", "_size", "since", "stage")

    def __init__(self, now: float) -> None:
        self.stage: Literal["new", "idle", "head", "body", "deaf", "ended"] = "new"
        self.since = now
        self._head = 0
        self._raw = 0
        self._size = 0

    # -- what the parser has found ------------------------------------------------------------------------------------

    def feed(self, size: int) -> None:
        """So many bytes are about to be parsed. What comes of the next message in them is not counted."""
        self._raw += size

    def begin(self, now: float) -> None:
        """A request begins."""
        self.stage = "head"
        self.since = now
        self._head = self._raw = 0

    def take_field(self, size: int, fields: int) -> Refusal | None:
        """A piece of the head, or of what stands behind the body; it has so many `fields` now."""
        self._head += size
        return _LONG_HEAD if self._head > MAX_HEAD or fields > MAX_FIELDS else None

    def begin_body(self, now: float) -> None:
        """The head is whole."""
        self.stage = "body"
        self.since = now
        self._raw = self._size = 0

    def take(self, size: int) -> int:
        """A piece of the body: how large it is by now."""
        self._size += size
        return self._size

    def end(self) -> None:
        """The request is whole."""
        self.stage = "idle"
        self._raw = 0

    def turn_deaf(self, now: float) -> None:
        """Nothing more is read."""
        self.stage = "deaf"
        self.since = now

    # -- what is too much, and too slow -------------------------------------------------------------------------------

    @property
    def excess(self) -> Refusal | None:
        """What is too much of what the parser holds back, such as a field without an end, or throws away."""
        if self.stage == "body":
            return _SMALL_CHUNKS if self._raw - self._size > MAX_CODING + self._size // 8 else None
        return _LONG_HEAD if self._raw > MAX_HEAD and self.is_open else None

    @property
    def is_open(self) -> bool:
        """Whether a request that comes is read."""
        return self.stage not in ("deaf", "ended")

    @property
    def is_begun(self) -> bool:
        """Whether a request is partly here."""
        return self.stage in ("head", "body")

    def limit(self, settings: HttpSettings, *, owes: bool) -> float | None:
        """How many seconds this stage may take. `owes`: a request that was read waits for its answer."""
        if self.stage == "head":
            return settings.header_timeout
        if self.stage == "body":
            return settings.body_timeout
        if owes:
            return None
        if self.stage == "new":
            return settings.header_timeout
        return settings.idle_timeout if self.stage == "idle" else PATIENCE
