"""RFC 3339: the examples of the RFC, every way to be wrong, and the round trip."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError, TybaltError
from tybalt.protocol.timestamp import (
    InvalidTimestamp,
    Timestamp,
    format_timestamp,
    parse_timestamp,
    timestamp_dec_hook,
    timestamp_enc_hook,
    timestamp_schema_hook,
)


def zone(hours: int, minutes: int = 0) -> timezone:
    return timezone(timedelta(hours=hours, minutes=minutes))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # RFC 3339 section 5.8
        ("1985-04-12T23:20:50.52Z", datetime(1985, 4, 12, 23, 20, 50, 520_000, UTC)),
        ("1996-12-19T16:39:57-08:00", datetime(1996, 12, 19, 16, 39, 57, tzinfo=zone(-8))),
        ("1990-12-31T23:59:60Z", datetime(1990, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("1990-12-31T15:59:60-08:00", datetime(1990, 12, 31, 15, 59, 59, 999_999, zone(-8))),
        ("1937-01-01T12:00:27.87+00:20", datetime(1937, 1, 1, 12, 0, 27, 870_000, zone(0, 20))),
        # section 5.6: "T" and "Z" may be lower case; section 4.3: the unknown local offset
        ("2026-01-31t09:30:00z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00-00:00", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
        ("2026-01-31T09:30:00.123456789Z", datetime(2026, 1, 31, 9, 30, 0, 123_456, UTC)),
        ("2026-01-31T09:30:00.1Z", datetime(2026, 1, 31, 9, 30, 0, 100_000, UTC)),
        ("0001-01-01T00:00:00+23:59", datetime(1, 1, 1, tzinfo=zone(23, 59))),
        ("9999-12-31T23:59:59.999999-23:59", datetime(9999, 12, 31, 23, 59, 59, 999_999, zone(-23, -59))),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("2000-02-29T00:00:00Z", datetime(2000, 2, 29, tzinfo=UTC)),
        ("2016-12-31T23:59:60.5Z", datetime(2016, 12, 31, 23, 59, 59, 999_999, UTC)),
        ("2017-01-01T01:59:60+02:00", datetime(2017, 1, 1, 1, 59, 59, 999_999, zone(2))),
        ("9999-12-31T23:59:60Z", datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)),
    ],
)
def test_it_reads_what_the_rfc_allows(text: str, expected: datetime) -> None:
    parsed = parse_timestamp(text)
    assert parsed == expected
    assert parsed.utcoffset() == expected.utcoffset()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it has 0 characters, a timestamp has 20 to 35"),
        ("2026-01-31T09:30:00Z" * 1000, "it has 20000 characters"),
        ("yesterday", "expected 4 digits for the year at position 0, got 'yest'"),
        ("2026/01/31T09:30:00Z", "expected '-' after the year at position 4, got '/'"),
        ("2026-1-31T09:30:00Z", "expected 2 digits for the month at position 5, got '1-'"),
        ("2026-01/31T09:30:00Z", "expected '-' after the month at position 7, got '/'"),
        ("2026-01-3", "expected 2 digits for the day at position 8, got '3'"),
        ("2026-01-31", "it ends where 'T' between date and time is expected"),
        ("2026-01-31 09:30:00Z", "expected 'T' between date and time at position 10, got ' '"),
        ("2026-01-31T9:30:00Z", "expected 2 digits for the hour at position 11, got '9:'"),
        ("2026-01-31T0930Z", "expected ':' after the hour at position 13, got '3'"),
        ("2026-01-31T09:3Z", "expected 2 digits for the minute at position 14, got '3Z'"),
        ("2026-01-31T09:30Z", "expected ':' and the seconds after the minute at position 16, got 'Z'"),
        ("2026-01-31T09:30:0Z", "expected 2 digits for the second at position 17, got '0Z'"),
        ("2026-01-31T09:30:00", "the offset is missing: add 'Z' for UTC, or one such as '+02:00'"),
        ("2026-01-31T09:30:00.5", "the offset is missing"),
        ("2026-01-31T09:30:00,5Z", "expected 'Z' or an offset such as '+02:00' at position 19, got ','"),
        ("2026-01-31T09:30:00.Z", "expected 1 to 9 digits after the '.', got 0"),
        ("2026-01-31T09:30:00.1234567890Z", "expected 1 to 9 digits after the '.', got 10"),
        ("2026-01-31T09:30:00Z ", "nothing may follow the offset, got ' '"),
        ("2026-01-31T09:30:00Z\n", "nothing may follow the offset, got '\\n'"),
        ("2026-01-31T09:30:00+02:00Z", "nothing may follow the offset, got 'Z'"),
        ("2026-01-31T09:30:00+0200", "expected ':' in the offset at position 22, got '0'"),
        ("2026-01-31T09:30:00+02", "it ends where ':' in the offset is expected"),
        ("2026-01-31T09:30:00+2:00", "expected 2 digits for the hours of the offset at position 20, got '2:'"),
        ("2026-01-31T09:30:00+02:0", "expected 2 digits for the minutes of the offset at position 23, got '0'"),
        ("2026-01-31T09:30:00+24:00", "the offset +24:00 is not -23:59 to +23:59"),
        ("2026-01-31T09:30:00-02:60", "the offset -02:60 is not -23:59 to +23:59"),
        ("0000-01-01T00:00:00Z", "the year 0000 is before 0001"),
        ("2026-00-31T09:30:00Z", "the month 00 is not 01 to 12"),
        ("2026-13-31T09:30:00Z", "the month 13 is not 01 to 12"),
        ("2026-02-29T09:30:00Z", "the day 29 is not one of February 2026, which has 01 to 28"),
        ("1900-02-29T09:30:00Z", "the day 29 is not one of February 1900, which has 01 to 28"),
        ("2026-04-31T09:30:00Z", "the day 31 is not one of April 2026, which has 01 to 30"),
        ("2026-01-00T09:30:00Z", "the day 00 is not one of January 2026, which has 01 to 31"),
        ("2026-01-31T24:00:00Z", "the hour 24 is not 00 to 23"),
        ("2026-01-31T09:60:00Z", "the minute 60 is not 00 to 59"),
        ("2026-01-31T09:30:61Z", "the second 61 is not 00 to 60"),
        ("2026-01-31T09:30:60Z", "the second 60 is a leap second"),
        ("2026-01-30T23:59:60Z", "the second 60 is a leap second"),
        ("2026-01-31T23:59:60+01:00", "the second 60 is a leap second"),
        ("0001-01-01T00:00:60+01:00", "the second 60 is a leap second"),
        ("2026-01-3１T09:30:00Z", "expected 2 digits for the day"),  # a digit, but not one of ASCII
        ("+026-01-31T09:30:00Z", "expected 4 digits for the year"),
    ],
)
def test_what_is_wrong_is_named(text: str, problem: str) -> None:
    with pytest.raises(InvalidTimestamp) as caught:
        parse_timestamp(text)
    first, last = str(caught.value).rsplit("\n", 1)
    assert first.startswith(f"invalid RFC 3339 timestamp {text[:40]!r}"[:-1])
    assert problem in first
    assert last == "Example: 2026-01-31T09:30:00Z"
    assert len(first) < 250
    assert isinstance(caught.value, TybaltError)
    assert isinstance(caught.value, ValueError)


def test_the_whole_text_of_an_error() -> None:
    with pytest.raises(InvalidTimestamp) as caught:
        parse_timestamp("now", example="2026-11-20T08:00:00Z")
    assert str(caught.value) == (
        "invalid RFC 3339 timestamp 'now': expected 4 digits for the year at position 0, got 'now'\n"
        "Example: 2026-11-20T08:00:00Z"
    )


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 31, 9, 30, tzinfo=UTC), "2026-01-31T09:30:00Z"),
        (datetime(2026, 1, 31, 9, 30, 0, 5, UTC), "2026-01-31T09:30:00.000005Z"),
        (datetime(1, 1, 1, tzinfo=zone(2)), "0001-01-01T00:00:00+02:00"),
        (datetime(1880, 1, 1, 12, tzinfo=timezone(timedelta(hours=5, seconds=28))), "1880-01-01T06:59:32Z"),
    ],
)
def test_it_writes_what_the_rfc_allows(moment: datetime, text: str) -> None:
    assert format_timestamp(moment) == text


def test_a_naive_datetime_is_no_point_in_time() -> None:
    with pytest.raises(MisuseError, match=r"has no time zone.*datetime\.now"):
        format_timestamp(datetime(2026, 1, 31))  # noqa: DTZ001


def test_a_datetime_that_cannot_be_turned_to_utc_is_refused() -> None:
    with pytest.raises(MisuseError, match="out of the years"):
        format_timestamp(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5, seconds=28))))


offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=offsets))
def test_a_datetime_comes_back_with_its_offset(moment: datetime) -> None:
    parsed = parse_timestamp(format_timestamp(moment))
    assert parsed == moment
    assert parsed.utcoffset() == moment.utcoffset()


@given(st.datetimes(timezones=offsets), st.integers(0, 999_999_999), st.booleans())
def test_a_timestamp_keeps_its_text_and_all_nine_digits(moment: datetime, nanosecond: int, lower: bool) -> None:
    head, tail = moment.replace(microsecond=0).isoformat()[:19], moment.isoformat()[-6:]
    text = f"{head}.{nanosecond:09}{tail}"
    timestamp = Timestamp(text.lower() if lower else text)
    assert str(timestamp) == text
    assert timestamp.nanosecond == nanosecond
    assert timestamp.datetime == moment.replace(microsecond=nanosecond // 1000)
    assert Timestamp(str(timestamp)) == timestamp


@given(st.text(alphabet="0123456789-:.TtZz+ é", max_size=40) | st.text())
def test_any_text_is_a_timestamp_or_an_invalid_one(text: str) -> None:
    try:
        parsed = parse_timestamp(text)
    except InvalidTimestamp:
        return
    assert parsed.tzinfo is not None


def test_equality_is_of_the_point_in_time() -> None:
    noon = Timestamp("2026-01-31T12:00:00Z")
    assert noon == Timestamp("2026-01-31t13:00:00.000+01:00")
    assert hash(noon) == hash(Timestamp("2026-01-31t13:00:00.000+01:00"))
    assert noon != Timestamp("2026-01-31T12:00:00.000000001Z")
    assert noon != "2026-01-31T12:00:00Z"
    assert repr(noon) == "Timestamp('2026-01-31T12:00:00Z')"


class Meeting(msgspec.Struct):
    at: Timestamp


def test_msgspec_reads_writes_and_describes_it_through_the_hooks() -> None:
    raw = b'{"at":"2026-01-31T09:30:00.123456789Z"}'
    meeting = msgspec.json.decode(raw, type=Meeting, dec_hook=timestamp_dec_hook)
    assert meeting.at.nanosecond == 123_456_789
    assert msgspec.json.encode(meeting, enc_hook=timestamp_enc_hook) == raw
    schema = msgspec.json.schema(Meeting, schema_hook=timestamp_schema_hook)
    assert schema["$defs"]["Meeting"]["properties"]["at"] == {"type": "string", "format": "date-time"}


@pytest.mark.parametrize("value", [b'"2026-01-31"', b"5", b"null"])
def test_through_msgspec_an_error_has_its_path(value: bytes) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"invalid RFC 3339(.|\n)*\$\.at"):
        msgspec.json.decode(b'{"at":%s}' % value, type=Meeting, dec_hook=timestamp_dec_hook)


def test_the_hooks_leave_other_types_alone() -> None:
    with pytest.raises(NotImplementedError):
        timestamp_dec_hook(complex, "1")
    with pytest.raises(NotImplementedError):
        timestamp_enc_hook(1j)
    with pytest.raises(NotImplementedError):
        timestamp_schema_hook(complex)
