"""How long something may take, as a person writes it: `30`, `2.5`, `"30s"`, `"1h30m"`, a `timedelta`."""

import re
from datetime import timedelta
from math import isfinite
from typing import Final

from tybalt.errors import MisuseError

Duration = float | str | timedelta
"""Seconds as a number, a text of numbers with units (`ms`, `s`, `m`, `h`, `d`), or a `timedelta`."""

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_TEXT: Final = re.compile(rf"(?:{_PART.pattern})+")


def seconds(duration: Duration) -> float:
    """A duration in seconds, more than 0 and finite.

    Raises `MisuseError` for zero and less, for a text without units ("30": of what?), and for what is no duration.
    """
    found = _read(duration)
    if found is None or not isfinite(found) or found <= 0:
        raise MisuseError(
            f"a duration is a number of seconds above 0, a text such as '30s', '500ms' or '1h30m', or a timedelta; "
            f"got {duration!r}"
        )
    return found


def _read(duration: Duration) -> float | None:
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if isinstance(duration, str):
        text = duration.strip()
        if _TEXT.fullmatch(text) is None:
            return None
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    return None if isinstance(duration, bool) or not isinstance(duration, int | float) else float(duration)  # pyright: ignore[reportUnnecessaryIsInstance]
