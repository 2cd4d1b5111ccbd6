"""JSON as it was written, down to the last digit of a number: for who asks whether two things are exactly the same.

Decoded as usual, a number with a point is a float, and two that are different may be one float; a handler that asks for
a `Decimal` gets them as they were sent. So here a number that is no integer stays the text it was; or, for who asks
whether two are the same number, becomes the one text that all spellings of it have. Pure functions.
"""

from typing import Any, Final

import msgspec

MAX_ZEROS: Final = 32
"""How many zeros are written at the end of an integer in place of an exponent: what a few bytes may grow by."""
MAX_POWER: Final = 20
"""The longest exponent that is read, in characters: what has a longer one stays as it was written."""


def exactly(data: bytes | msgspec.Raw) -> Any:
    """The value in `data`, with each number that is no integer as the `Raw` it was written as.

    Raises what a msgspec decoder raises.
    """
    return _DECODER.decode(data)


def valued(data: bytes | msgspec.Raw) -> Any:
    """The value in `data`, with each number as the one text of what it is worth: `10.50`, `10.5` and `1.05e1` are one.

    So are `100`, `1e2` and `100.0`, and `0` and `-0.0`; an integer and its spelling with an exponent above `MAX_ZEROS`
    are two. Raises what a msgspec decoder raises.
    """
    return _VALUES.decode(data)


def canonical(value: Any) -> bytes:
    """The same bytes for the same value: members in order of their names, no white space, a `Raw` as it is."""
    return _encode(value)


def _as_written(number: str) -> msgspec.Raw:
    return msgspec.Raw(number.encode())


def _as_worth(number: str) -> msgspec.Raw:
    mantissa, _, power = number.lower().partition("e")
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    if not digits:
        return _ZERO
    if len(power) > MAX_POWER:
        return _as_written(number)
    kept = digits.rstrip("0")
    zeros = int(power or 0) - len(fraction) + len(digits) - len(kept)
    text = kept + "0" * zeros if 0 <= zeros <= MAX_ZEROS else f"{kept}e{zeros}"
    return _as_written(f"-{text}" if number[0] == "-" else text)


_ZERO: Final = msgspec.Raw(b"0")
_DECODER: Final = msgspec.json.Decoder(float_hook=_as_written)
_VALUES: Final = msgspec.json.Decoder(float_hook=_as_worth)
_encode: Final = msgspec.json.Encoder(order="sorted").encode
