"""A bounded look at a message before it is decoded: how many values and containers, and how deep.

A few megabytes of `[{},{},…]` decode into hundreds of megabytes of Python objects, and brackets alone can exhaust the
decoder's stack. This module counts them first, at the speed of a memory scan and never with more than about twice the
message's own size beside it. It is not a parser and judges no syntax: on text that is not JSON it may answer either
way, and the decoder then says what is wrong. The codec sits above it.
"""

from itertools import accumulate
from typing import Final

from tybalt.errors import InvalidRequest, McpError, ParseError

PRESCAN_FROM = 1024
"""Messages shorter than this, in bytes, need no prescan: they can hold no dangerous number of containers, and nest no
deeper than every decoder can follow."""

_SLICE = 64 * 1024
MAX_VALUES: Final = 5_000_000
"""Names and values in a message, unless something else is said: more than its size allows where that is the default."""
MAX_BODY_VALUES: Final = 250_000
"""Names and values in the body of a request over HTTP, whoever sends it: to make objects of more would keep the loop
from everybody else for longer than 50 ms."""

_LEVELS = 2
_OPEN, _CLOSE, _PART = b"\x01", b"\xff", b"\x00"
"""What stands for a bracket of either kind, and for a comma or colon: what it adds to the depth, as a signed byte."""
_MARKS = bytes.maketrans(b"[{]},:", _OPEN * 2 + _CLOSE * 2 + _PART * 2)
_UNMARKED = bytes(byte for byte in range(256) if byte not in b'"[{]},:')


def vet(message: bytes, *, max_values: int = MAX_VALUES) -> McpError | None:
    """The error a message is refused with before it is decoded, or `None` where it may be.

    It must be UTF-8 throughout, also where no decoder looks (-32700; 2026-07-28 basic/transports, "Messages"), and
    within the limits of `prescan` (-32600).
    """
    if not message.isascii():
        try:
            message.decode()
        except UnicodeDecodeError as error:
            return ParseError(f"Parse error: not UTF-8 (byte {error.start} is 0x{message[error.start]:02x})")
    if len(message) > PRESCAN_FROM and (excess := prescan(message, max_values=max_values)) is not None:
        return InvalidRequest(excess)
    return None


def prescan(
    message: bytes, *, max_values: int = MAX_VALUES, max_containers: int = 100_000, max_depth: int = 128
) -> str | None:
    """None when `message` may be decoded, else the limit it passes, in words and numbers.

    A container is an object or an array; the outermost one is depth 1. Names and values are counted by the commas and
    colons between them, so that one more for each container may come. What is inside of strings counts for nothing.
    Exact for anything that is JSON.
    """
    marks = message.translate(_MARKS, _UNMARKED)
    # No text nests deeper, or holds more, than it has opening brackets, commas and colons, wherever they stand.
    if marks.count(_OPEN) <= min(max_depth, max_containers) and marks.count(_PART) <= max_values:
        return None
    if b"\\" in message:
        marks = message.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_MARKS, _UNMARKED)
    # Two quotes with nothing between them enter and leave a string, or leave one and enter the next: nothing changes.
    marks = marks.replace(b'""', b"")
    if b'"' in marks:
        marks = _outside_strings(marks)
    opened, parts = marks.count(_OPEN), marks.count(_PART)
    if opened > max_containers:
        return f"the message holds {opened:,} objects and arrays; at most {max_containers:,} are accepted"
    if parts > max_values:
        return f"the message holds over {parts:,} names and values; at most {max_values:,} are accepted"
    if opened > max_depth and (depth := _depth(marks.translate(None, _PART), opened)) > max_depth:
        return f"the message is nested {depth:,} levels deep; at most {max_depth:,} are accepted"
    return None


def _depth(brackets: bytes, opened: int) -> int:
    # A decoder stops at the first bracket that closes nothing, and that is among the first 2 * opened + 1.
    brackets = brackets[: 2 * opened + 1]
    # Without its innermost containers everything is a level less deep; two looks leave little of what is wide.
    levels = 0
    while levels < _LEVELS and len(outer := brackets.replace(_OPEN + _CLOSE, b"")) < len(brackets):
        brackets, levels = outer, levels + 1
    return levels + max(accumulate(memoryview(brackets).cast("b")), default=0)


def _outside_strings(marks: bytes) -> bytes:
    # By slices, because the pieces of a split weigh far more than the bytes they are cut from.
    kept: list[bytes] = []
    inside = 0
    for start in range(0, len(marks), _SLICE):
        pieces = marks[start : start + _SLICE].split(b'"')
        kept.append(b"".join(pieces[inside::2]))
        inside = (inside + len(pieces) - 1) % 2
    return b"".join(kept)
