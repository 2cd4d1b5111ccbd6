"""A bounded look at a message before it is decoded: how many containers, and how deep.

A few megabytes of `[{},{},…]` decode into hundreds of megabytes of Python objects, and brackets alone can exhaust the
decoder's stack. This module counts them first, at the speed of a memory scan and never with more than about twice the
message's own size beside it. It is not a parser and judges no syntax: on text that is not JSON it may answer either
way, and the decoder then says what is wrong. The codec sits above it.
"""

from itertools import accumulate

from tybalt.errors import InvalidRequest, McpError, ParseError

PRESCAN_FROM = 1024
"""Messages shorter than this, in bytes, need no prescan: they can hold no dangerous number of containers, and nest no
deeper than every decoder can follow."""

_SLICE = 64 * 1024
_SKELETON = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_NOT_SKELETON = bytes(byte for byte in range(256) if byte not in b'"[{]}')


def vet(message: bytes) -> McpError | None:
    """The error a message is refused with before it is decoded, or `None` where it may be.

    It must be UTF-8 throughout, also where no decoder looks (-32700; 2026-07-28 basic/transports, "Messages"), and
    within the limits of `prescan` (-32600).
    """
    if not message.isascii():
        try:
            message.decode()
        except UnicodeDecodeError as error:
            return ParseError(f"Parse error: not UTF-8 (byte {error.start} is 0x{message[error.start]:02x})")
    if len(message) > PRESCAN_FROM and (excess := prescan(message)) is not None:
        return InvalidRequest(excess)
    return None


def prescan(message: bytes, *, max_containers: int = 100_000, max_depth: int = 128) -> str | None:
    """None when `message` may be decoded, else the limit it passes, in words and numbers.

    A container is an object or an array; the outermost one is depth 1. Brackets inside strings count for nothing. Exact
    for anything that is JSON.
    """
    # No text nests deeper, or holds more containers, than it has opening brackets, wherever they stand.
    opened = message.count(b"{") + message.count(b"[")
    if opened <= max_depth and opened <= max_containers:
        return None
    brackets = _brackets(message)
    opened = brackets.count(b"\x01")
    if opened > max_containers:
        return f"the message holds {opened:,} objects and arrays; at most {max_containers:,} are accepted"
    if opened > max_depth and (depth := _depth(brackets, opened)) > max_depth:
        return f"the message is nested {depth:,} levels deep; at most {max_depth:,} are accepted"
    return None


def _depth(brackets: bytes, opened: int) -> int:
    # A decoder stops at the first bracket that closes nothing, and that is among the first 2 * opened + 1.
    return max(accumulate(memoryview(brackets[: 2 * opened + 1]).cast("b")), default=0)


def _brackets(message: bytes) -> bytes:
    """Every bracket that stands outside of strings, in order: 0x01 for one that opens, 0xFF for one that closes."""
    if b"\\" in message:
        message = message.replace(b"\\\\", b"").replace(b'\\"', b"")
    skeleton = message.translate(_SKELETON, _NOT_SKELETON)
    # Two quotes with nothing between them enter and leave a string, or leave one and enter the next: nothing changes.
    skeleton = skeleton.replace(b'""', b"")
    return _outside_strings(skeleton) if b'"' in skeleton else skeleton


def _outside_strings(skeleton: bytes) -> bytes:
    # By slices, because the pieces of a split weigh far more than the bytes they are cut from.
    kept: list[bytes] = []
    inside = 0
    for start in range(0, len(skeleton), _SLICE):
        pieces = skeleton[start : start + _SLICE].split(b'"')
        kept.append(b"".join(pieces[inside::2]))
        inside = (inside + len(pieces) - 1) % 2
    return b"".join(kept)
