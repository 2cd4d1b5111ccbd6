"""Dates and times as models write them: `2026-01-01 10:00` and `2026-01-01` where RFC 3339 wants all of it.

msgspec says where a moment is that it does not read; here it is written in full, and `argument.py` tries again. Whether
it has an offset stays as it came, so that what wants one, or none, still says so. Runs only after a failure.
"""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tybalt.server.explain import LARGE, Step, taken_apart
from tybalt.server.json_values import is_array, is_object

MAX_MOMENTS: Final = 20
"""How many moments of one argument are written anew; each costs one more decode."""


def decode_moments(decode: Callable[[bytes], Any], data: bytes) -> Any:
    """`decode(data)`, with moments written in full where it asks for that. Raises what `decode` raises."""
    for _ in range(MAX_MOMENTS):
        try:
            return decode(data)
        except msgspec.ValidationError as error:
            written = _written_in_full(data, error)
            if written is None:
                raise
            data = written
    return decode(data)


_ZONE = r"(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?"
_CLOCK = rf"(?P<clock>\d\d:\d\d)(?P<seconds>:\d\d(?:\.\d+)?)?\s?{_ZONE}"
_PATTERNS: Final = {
    "Invalid RFC3339 encoded datetime": re.compile(rf"(?P<date>\d{{4}}-\d\d-\d\d)(?:[ Tt]{_CLOCK})?", re.ASCII),
    "Invalid RFC3339 encoded time": re.compile(rf"(?P<date>){_CLOCK}", re.ASCII),
}
"""What msgspec says of a moment it does not read, and what else such a moment may be."""


def _written_in_full(data: bytes, error: msgspec.ValidationError) -> bytes | None:
    """The same JSON with the moment that `error` is about in full; None where there is none, or nothing to add."""
    message, steps = taken_apart(str(error))
    pattern = _PATTERNS.get(message)
    if pattern is None or len(data) > LARGE:
        return None
    try:
        before = msgspec.json.decode(data)
        after = _replaced(before, steps, pattern)
        return None if after == before else msgspec.json.encode(after)
    except (ValueError, OverflowError):  # something else in it is wrong, or larger than can be written again
        return None


def _replaced(value: Any, steps: list[Step], pattern: re.Pattern[str]) -> Any:
    """`value` with what stands at the end of `steps` in full: all members of an object where no step says which."""
    if not steps:
        return _in_full(value, pattern)
    step, rest = steps[0], steps[1:]
    if is_object(value):
        chosen = value.keys() if step is None else {step}
        return {key: _replaced(each, rest, pattern) if key in chosen else each for key, each in value.items()}
    if is_array(value):
        return [_replaced(each, rest, pattern) if index == step else each for index, each in enumerate(value)]
    return value


def _in_full(value: Any, pattern: re.Pattern[str]) -> Any:
    found = pattern.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        return value
    date, clock, seconds, zone = (part or "" for part in found.group("date", "clock", "seconds", "zone"))
    if len(zone) > 1:
        zone = f"{zone[:3]}:{zone[3:].removeprefix(':') or '00'}"
    return f"{date}{'T' if date else ''}{clock or '00:00'}{seconds or ':00'}{zone}"
