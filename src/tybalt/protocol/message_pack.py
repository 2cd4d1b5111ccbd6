"""MessagePack at the edge: a packed message becomes JSON text before the protocol sees it, and an answer is packed.

Not part of MCP, whose messages are JSON; a WebSocket may negotiate it (`server/http/websocket.py`). What JSON has no
words for is refused, so that a packed message says exactly what its JSON would: keys are texts, and there are no
bytes, no extension types, no NaN and no infinity. A packed message is far denser than JSON, and 1 MiB of it can hold a
million values; so it is walked first, value by value and with nothing built, up to a bound.

The MessagePack specification of 2017; of keys that are repeated the last one counts, as everywhere.
"""

from typing import Any, Final, cast

import msgspec

from tybalt.errors import InternalError, InvalidRequest, ParseError
from tybalt.protocol.answers import encode

MAX_VALUES: Final = 100_000
"""Values of one message, keys and containers among them: as many as JSON may have of containers alone."""
MAX_DEPTH: Final = 128
"""How deep they may nest, as in JSON."""

_TOO_WIDE: Final = {
    "code": InternalError.default_code,
    "message": "the answer holds a whole number of more than 64 bits, which MessagePack has not; ask in JSON",
}

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder().decode
_read = msgspec.json.Decoder().decode

_SIZES: Final = (
    *(1 for _ in range(0x80)),  # whole numbers from 0 to 127
    *(0 for _ in range(0x20)),  # maps and arrays of up to 15
    *(1 + length for length in range(0x20)),  # texts of up to 31 bytes
    *(1, 0, 1, 1),  # nil, nothing, false, true
    *(0 for _ in range(6)),  # bytes and extensions
    *(0, 0),  # floats, of which some are no numbers
    *(2, 3, 5, 9, 2, 3, 5, 9),  # whole numbers
    *(0 for _ in range(12)),  # extensions, longer texts, arrays and maps
    *(1 for _ in range(0x20)),  # whole numbers from -32 to -1
)
"""How long a value is that begins with this byte, in bytes; 0 where that is not all there is to know."""
_TEXTS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_CONTAINERS: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
"""How many bytes say how long it is."""
_FLOATS: Final = {0xCA: (5, 0x7F80), 0xCB: (9, 0x7FF0)}
"""How long it is, and the exponent of what is no number."""


def json_of(packed: bytes) -> bytes:
    """The JSON text of a packed message. In time linear in its size, and never after `MAX_VALUES`.

    Raises `ParseError` for what is no MessagePack, or has no JSON; `InvalidRequest` for too many values, or too deep.
    """
    _walk(packed)
    try:
        return encode(_unpack(packed))
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ParseError(f"Parse error: {error}") from None


def packed_of(message: bytes) -> bytes | None:
    """A message of ours, packed.

    MessagePack has no whole number of more than 64 bits: an answer that holds one becomes an error, and what answers
    nothing has no form at all, `None`.
    """
    read = _read(message)
    try:
        return _pack(read)
    except OverflowError:
        if isinstance(read, list):  # A batch, which holds answers alone.
            told = [_packable(each) for each in cast("list[Any]", read)]
        else:
            told = _packable(read)
        return None if told is None else _pack(told)


def _packable(message: dict[str, Any]) -> dict[str, Any] | None:
    try:
        _pack(message)
    except OverflowError:
        return None if "method" in message else {"jsonrpc": "2.0", "id": message.get("id"), "error": _TOO_WIDE}
    return message


def _walk(packed: bytes) -> None:
    """See that this is one value, of those that JSON has."""
    at, values = 0, 0
    left, is_map = 1, False
    above: list[tuple[int, bool]] = []
    try:
        while True:
            while left == 0:
                if not above:
                    return _end(packed, at)
                left, is_map = above.pop()
            values += 1
            if values > MAX_VALUES:
                raise InvalidRequest(f"the message holds more than {MAX_VALUES:,} values, which is the most accepted")
            byte = packed[at]
            is_key = is_map and left % 2 == 0
            left -= 1
            if is_key and not (0xA0 <= byte <= 0xBF or byte in _TEXTS):
                raise ParseError(f"Parse error: a key is a text, not what begins with 0x{byte:02x} (byte {at})")
            if size := _SIZES[byte]:
                at += size
            elif byte in _TEXTS:
                width = _TEXTS[byte]
                at += 1 + width + int.from_bytes(packed[at + 1 : at + 1 + width])
            elif byte in _FLOATS:
                size, exponent = _FLOATS[byte]
                if int.from_bytes(packed[at + 1 : at + 3]) & exponent == exponent:
                    raise ParseError(f"Parse error: JSON has no NaN and no infinity (byte {at})")
                at += size
            else:
                above.append((left, is_map))
                if len(above) > MAX_DEPTH:
                    raise InvalidRequest(f"the message is nested more than {MAX_DEPTH} levels deep")
                at, left, is_map = _entered(packed, at, byte)
    except IndexError:
        raise _too_early(packed) from None


def _end(packed: bytes, at: int) -> None:
    if at > len(packed):
        raise _too_early(packed)
    if at < len(packed):
        raise ParseError(f"Parse error: one MessagePack value a message, and nothing behind it (byte {at})")


def _too_early(packed: bytes) -> ParseError:
    return ParseError(f"Parse error: the message ends too early, after {len(packed):,} bytes")


def _entered(packed: bytes, at: int, byte: int) -> tuple[int, int, bool]:
    """Behind the head of a container: where that is, how many values it has, and whether it is a map."""
    if byte <= 0x9F:
        is_map, width, length = byte <= 0x8F, 0, byte & 0x0F
    elif byte in _CONTAINERS:
        is_map, width = byte >= 0xDE, _CONTAINERS[byte]
        length = int.from_bytes(packed[at + 1 : at + 1 + width])
    else:
        raise ParseError(f"Parse error: JSON has no bytes and no extension types (byte {at} is 0x{byte:02x})")
    return at + 1 + width, 2 * length if is_map else length, is_map
