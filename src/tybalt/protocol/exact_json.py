"""JSON as it was written, down to the last digit of a number: for who asks whether two things are exactly the same.

Decoded as usual, a number with a point is a float, and two that are different may be one float; a handler that asks for
a `Decimal` gets them as they were sent. So here a number that is no integer stays the text it was. Pure functions.
"""

from typing import Any, Final

import msgspec


def exactly(data: bytes | msgspec.Raw) -> Any:
    """The value in `data`, with each number that is no integer as the `Raw` it was written as.

    Raises what a msgspec decoder raises.
    """
    return _DECODER.decode(data)


def canonical(value: Any) -> bytes:
    """The same bytes for the same value: members in order of their names, no white space, a `Raw` as it is."""
    return _encode(value)


def _as_written(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


_DECODER: Final = msgspec.json.Decoder(float_hook=_as_written)
_encode: Final = msgspec.json.Encoder(order="sorted").encode
