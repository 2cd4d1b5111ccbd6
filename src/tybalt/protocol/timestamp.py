"""RFC 3339 timestamps: text to a `datetime` and back, with errors that say what is wrong with the text.

Stricter than ISO 8601 and than `datetime.fromisoformat`: a `T`, seconds and an offset must be there. `Timestamp` is the
same as a type, for fields and parameters: it keeps the text and all nine digits. msgspec meets it through the three
hooks at the end. No clock is read here; whoever wants the current time in an error's example passes it in.
"""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from tybalt.errors import MisuseError, TybaltError

TIMESTAMP_SCHEMA: Final = {"type": "string", "format": "date-time"}

_EXAMPLE: Final = "2026-01-31T09:30:00Z"
_MONTHS: Final = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                  "November", "December")  # fmt: skip
_DIGITS: Final = frozenset("0123456789")
_LONGEST: Final = len("2026-01-31T09:30:00.123456789+02:00")


class InvalidTimestamp(TybaltError, ValueError):
    """The text is not an RFC 3339 timestamp; the error says why, and gives an example."""


class Timestamp:
    """One point in time, as RFC 3339 text: `Timestamp("2026-01-31T09:30:00.123456789+02:00")`.

    `text` is what came, with `T` and `Z` in upper case, and what goes out again; `datetime` is the same to the
    microsecond, with its offset; `nanosecond` is the whole fraction of the second. Two are equal when they are the same
    point in time, whatever their offsets. Raises `InvalidTimestamp`. Frozen in use.
    """

    __slots__ = ("datetime", "nanosecond", "text")

    def __init__(self, text: str, *, example: str | None = None) -> None:
        try:
            self.datetime, self.nanosecond = _scan(text)
        except ValueError as problem:
            shown = f" {text[: 2 * _LONGEST]!r}" if isinstance(text, str) else ""  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTimestamp(
                f"invalid RFC 3339 timestamp{shown}: {problem}\nExample: {example or _EXAMPLE}"
            ) from None
        self.text = text.upper()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timestamp):
            return NotImplemented
        return self.nanosecond == other.nanosecond and self.datetime == other.datetime

    def __hash__(self) -> int:
        return hash((self.datetime, self.nanosecond))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Timestamp({self.text!r})"


def parse_timestamp(text: str, *, example: str | None = None) -> datetime:
    """The aware `datetime` that an RFC 3339 timestamp stands for.

    `t` and `z` may be lower case, and the fraction may have up to nine digits, of which a `datetime` keeps six and
    drops the rest. A leap second, which is 23:59:60 UTC on the last day of a month, becomes the last microsecond of
    its minute. The offset -00:00, "local offset unknown", is read as UTC (RFC 3339 section 4.3). Years are 0001 to
    9999.

    Raises `InvalidTimestamp`; `example` is what its text recommends, such as the current time.
    """
    return Timestamp(text, example=example).datetime


def format_timestamp(moment: datetime) -> str:
    """The RFC 3339 text of an aware `datetime`: `Z` for UTC, six digits of fraction where there is one.

    An offset with seconds, which RFC 3339 cannot write, is turned to UTC. Raises `MisuseError` for a naive `datetime`.
    """
    offset = moment.utcoffset()
    if offset is None:
        raise MisuseError(f"{moment!r} has no time zone, so it is no point in time. Make it with datetime.now(UTC)")
    if offset % timedelta(minutes=1):
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            raise MisuseError(f"{moment!r} is out of the years 0001 to 9999 in UTC") from None
    text = moment.isoformat()
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def timestamp_dec_hook(kind: type, value: Any) -> Any:
    """The `dec_hook` of msgspec for `Timestamp`; raises `NotImplementedError` for any other type."""
    if kind is Timestamp:
        return Timestamp(value)
    raise NotImplementedError(f"{kind!r} is not a type msgspec knows")


def timestamp_enc_hook(value: Any) -> Any:
    """The `enc_hook` of msgspec for `Timestamp`; raises `NotImplementedError` for any other type."""
    if isinstance(value, Timestamp):
        return value.text
    raise NotImplementedError(f"{type(value)!r} is not a type msgspec knows")


def timestamp_schema_hook(kind: type) -> dict[str, Any]:
    """The `schema_hook` of msgspec for `Timestamp`; raises `NotImplementedError` for any other type."""
    if kind is Timestamp:
        return dict(TIMESTAMP_SCHEMA)
    raise NotImplementedError(f"{kind!r} is not a type msgspec knows")


def _scan(text: Any) -> tuple[datetime, int]:
    """The `datetime` and the nanoseconds; raises `ValueError` with what is wrong, and nothing else."""
    if not isinstance(text, str):
        raise ValueError(f"expected a string, got {type(text).__name__}")  # noqa: TRY004
    if not text or len(text) > _LONGEST:
        raise ValueError(f"it has {len(text)} characters, a timestamp has 20 to {_LONGEST}")
    year, month, day = _date(text)
    _expect(text, 10, "Tt", "'T' between date and time")
    hour, minute, second = _time(text)
    nanosecond, position = _fraction(text)
    offset = _offset(text, position)
    zone = timezone(offset) if offset else UTC
    if second < 60:
        return datetime(year, month, day, hour, minute, second, nanosecond // 1000, zone), nanosecond
    _check_leap(datetime(year, month, day, hour, minute, tzinfo=UTC), offset)
    return datetime(year, month, day, hour, minute, 59, 999_999, zone), 999_999_999


def _date(text: str) -> tuple[int, int, int]:
    year = _number(text, 0, 4, "year")
    _expect(text, 4, "-", "'-' after the year")
    month = _number(text, 5, 2, "month")
    _expect(text, 7, "-", "'-' after the month")
    day = _number(text, 8, 2, "day")
    if year == 0:
        raise ValueError("the year 0000 is before 0001, the first that can be held")
    if not 1 <= month <= 12:
        raise ValueError(f"the month {month:02} is not 01 to 12")
    last = _days(year, month)
    if not 1 <= day <= last:
        raise ValueError(f"the day {day:02} is not one of {_MONTHS[month - 1]} {year:04}, which has 01 to {last}")
    return year, month, day


def _time(text: str) -> tuple[int, int, int]:
    hour = _number(text, 11, 2, "hour")
    _expect(text, 13, ":", "':' after the hour")
    minute = _number(text, 14, 2, "minute")
    _expect(text, 16, ":", "':' and the seconds after the minute")
    second = _number(text, 17, 2, "second")
    if hour > 23:
        raise ValueError(f"the hour {hour} is not 00 to 23")
    if minute > 59:
        raise ValueError(f"the minute {minute} is not 00 to 59")
    if second > 60:
        raise ValueError(f"the second {second} is not 00 to 60")
    return hour, minute, second


def _fraction(text: str) -> tuple[int, int]:
    """The nanoseconds, and the position behind them."""
    if text[19:20] != ".":
        return 0, 19
    end = 20
    while text[end : end + 1] in _DIGITS:
        end += 1
    digits = text[20:end]
    if not 1 <= len(digits) <= 9:
        raise ValueError(f"expected 1 to 9 digits after the '.', got {len(digits)}")
    return int(digits.ljust(9, "0")), end


def _offset(text: str, position: int) -> timedelta:
    sign = text[position : position + 1]
    if sign in ("Z", "z"):
        _expect_end(text, position + 1)
        return timedelta(0)
    if not sign:
        raise ValueError("the offset is missing: add 'Z' for UTC, or one such as '+02:00'")
    _expect(text, position, "+-", "'Z' or an offset such as '+02:00'")
    hours = _number(text, position + 1, 2, "hours of the offset")
    _expect(text, position + 3, ":", "':' in the offset")
    minutes = _number(text, position + 4, 2, "minutes of the offset")
    _expect_end(text, position + 6)
    if hours > 23 or minutes > 59:
        raise ValueError(f"the offset {text[position:]} is not -23:59 to +23:59")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if sign == "-" else offset


def _check_leap(local: datetime, offset: timedelta) -> None:
    try:
        utc = local - offset
        is_last = (utc.hour, utc.minute, utc.day) == (23, 59, _days(utc.year, utc.month))
    except OverflowError:
        is_last = False
    if not is_last:
        raise ValueError("the second 60 is a leap second, and those are at 23:59:60 UTC on the last day of a month")


def _number(text: str, position: int, width: int, name: str) -> int:
    digits = text[position : position + width]
    if len(digits) < width or not _DIGITS.issuperset(digits):
        raise ValueError(f"expected {width} digits for the {name} at position {position}, got {digits!r}")
    return int(digits)


def _expect(text: str, position: int, allowed: str, what: str) -> None:
    got = text[position : position + 1]
    if not got:
        raise ValueError(f"it ends where {what} is expected")
    if got not in allowed:
        raise ValueError(f"expected {what} at position {position}, got {got!r}")


def _expect_end(text: str, position: int) -> None:
    if text[position:]:
        raise ValueError(f"nothing may follow the offset, got {text[position:]!r}")


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31
