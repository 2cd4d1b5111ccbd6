"""Dates and times as models write them: `2026-01-01 10:00` and `2026-01-01` where RFC 3339 wants all of it.

msgspec says where a moment is that it does not read; here it is written in full, and `argument.py` tries again. Whether
it has an offset stays as it came, so that what wants one, or none, still says so. A number is no moment, though lax
decoders take it for seconds since 1970: the schema asks for a date. Runs only after a failure.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from tybalt.server.custom_types import encode_custom
from tybalt.server.explain import LARGE, Step, taken_apart, written
from tybalt.server.json_values import is_array, is_object

MAX_MOMENTS: Final = 20
"""How many moments of one argument are written anew one by one; each costs one more decode.

Of more, those go together that stand in the same place of a list, and as many such places are rewritten.
"""


def decode_moments(decode: Callable[[bytes], Any], data: bytes) -> Any:
    """`decode(data)`, with moments written in full where it asks for that.

    Raises what `decode` raises, and `msgspec.ValidationError` for a number in the place of a moment.
    """
    for attempt in range(2 * MAX_MOMENTS):
        try:
            return _without_numbers(decode(data), data)
        except msgspec.ValidationError as error:
            mended = _written_in_full(data, error, together=attempt >= MAX_MOMENTS)
            if mended is None:
                raise
            data = mended
    return _without_numbers(decode(data), data)


_ZONE = r"(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?"
_CLOCK = rf"(?P<clock>\d\d:\d\d)(?P<seconds>:\d\d(?:\.\d+)?)?\s?{_ZONE}"
_PATTERNS: Final = {
    "Invalid RFC3339 encoded datetime": re.compile(rf"(?P<date>\d{{4}}-\d\d-\d\d)(?:[ Tt]{_CLOCK})?", re.ASCII),
    "Invalid RFC3339 encoded time": re.compile(rf"(?P<date>){_CLOCK}", re.ASCII),
}
"""What msgspec says of a moment it does not read, and what else such a moment may be."""


_NUMBER: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
"""A string that a lax decoder takes for a number."""
_SHOWN: Final = re.compile(r"(?:\d{4}-\d\d-\d\d|\d\d:\d\d:\d\d)", re.ASCII)
"""How a moment begins that was decoded and is written again."""


def _without_numbers(value: Any, data: bytes) -> Any:
    """`value`, which was decoded from `data`; raises for the first moment in it that was a number there."""
    if not _SHOWS_NUMBER.search(data):
        return value
    try:
        made = msgspec.to_builtins(value, str_keys=True, enc_hook=encode_custom)
    except (TypeError, ValueError, OverflowError, RecursionError):  # a default of a class that has no JSON form
        return value
    for steps, number in _numbers(msgspec.json.decode(data), made):
        kind = "str" if isinstance(number, str) else "int" if isinstance(number, int) else "float"
        place = f" - at `${written(steps)}`" if steps else ""
        raise msgspec.ValidationError(f"Expected `datetime`, got `{kind}`{place}")
    return value


_SHOWS_NUMBER: Final = re.compile(rb'[0-9.][\s",\]}]|[0-9]\Z')
"""A quick look at JSON that spares most arguments the slow one."""


def _numbers(came: Any, made: Any) -> Iterator[tuple[list[Step], Any]]:
    """The places, and the numbers that came, where a moment was made of a number."""
    if is_object(came) and is_object(made):
        is_dated = any(map(_is_moment, made))
        for key, each in came.items():
            if is_dated and _is_number(key) and key not in made:
                yield [None], key
            for steps, number in _numbers(each, made.get(key)):
                yield [key, *steps], number
    elif is_array(came) and is_array(made):
        # A set has lost its order, so that its moments are counted: each wants something else than a number.
        numeric = [index for index, each in enumerate(came) if _is_number(each)]
        if numeric and sum(map(_is_moment, made)) > len(came) - len(numeric):
            yield [numeric[0]], came[numeric[0]]
        for index, (each, other) in enumerate(zip(came, made, strict=False)):
            for steps, number in _numbers(each, other):
                yield [index, *steps], number
    elif _is_number(came) and _is_moment(made):
        yield [], came


def _is_number(value: Any) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_moment(value: Any) -> bool:
    return isinstance(value, str) and _SHOWN.match(value) is not None


def _written_in_full(data: bytes, error: msgspec.ValidationError, *, together: bool) -> bytes | None:
    """The same JSON with the moment that `error` is about in full; None where there is none, or nothing to add.

    `together`: with it all those that differ from it only in the index.
    """
    message, steps = taken_apart(str(error))
    pattern = _PATTERNS.get(message)
    if pattern is None or len(data) > LARGE:
        return None
    try:
        before = msgspec.json.decode(data)
        places = [None if together and isinstance(step, int) else step for step in steps]
        after = _replaced(before, places, pattern)
        return None if after == before else msgspec.json.encode(after)
    except (ValueError, OverflowError):  # something else in it is wrong, or larger than can be written again
        return None


def _replaced(value: Any, steps: list[Step], pattern: re.Pattern[str]) -> Any:
    """`value` with what stands at the end of `steps` in full: all members of an object or array for a step `None`."""
    if not steps:
        return _in_full(value, pattern)
    step, rest = steps[0], steps[1:]
    if is_object(value):
        chosen = value.keys() if step is None else {step}
        return {key: _replaced(each, rest, pattern) if key in chosen else each for key, each in value.items()}
    if is_array(value):
        return [_replaced(each, rest, pattern) if step in (index, None) else each for index, each in enumerate(value)]
    return value


def _in_full(value: Any, pattern: re.Pattern[str]) -> Any:
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    date, clock, seconds, zone = (part or "" for part in found.group("date", "clock", "seconds", "zone"))
    if len(zone) > 1:
        zone = f"{zone[:3]}:{zone[3:].removeprefix(':') or '00'}"
    return f"{date}{'T' if date else ''}{clock or '00:00'}{seconds or ':00'}{zone}"
