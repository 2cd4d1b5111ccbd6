"""Dates and times as models write them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Annotated, Any

import msgspec
import pydantic
import pytest
from msgspec import Meta

from tybalt.server.custom_types import decode_lax
from tybalt.server.explain import LARGE
from tybalt.server.moments import MAX_MOMENTS, decode_moments

NINE = datetime(2026, 1, 1, 9, 30)  # noqa: DTZ001
DAY = datetime(2026, 1, 1)  # noqa: DTZ001
AN_HOUR_EAST = timezone(timedelta(hours=1))


class Meeting(msgspec.Struct):
    start: datetime
    days: list[datetime] = []
    named: dict[str, datetime] = {}


class Model(pydantic.BaseModel):
    start: datetime


@dataclass
class Plain:
    number: int
    unspoken: Any = object  # a default without a JSON form


@dataclass
class Grown:
    days: list[datetime]
    number: int

    def __post_init__(self) -> None:
        self.days = [*self.days, DAY]


def read(annotation: Any, value: Any) -> Any:
    return decode_moments(msgspec.json.Decoder(annotation, strict=False).decode, msgspec.json.encode(value))


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (datetime, "2026-01-01 09:30", NINE),
        (datetime, "2026-01-01T09:30", NINE),
        (datetime, "2026-01-01t09:30", NINE),
        (datetime, "2026-01-01 09:30:00", NINE),
        (datetime, "2026-01-01", DAY),
        (datetime, "2026-01-01 09:30Z", NINE.replace(tzinfo=UTC)),
        (datetime, "2026-01-01 09:30 +01", NINE.replace(tzinfo=AN_HOUR_EAST)),
        (datetime, "2026-01-01T09:30:00.5+0100", NINE.replace(microsecond=500_000, tzinfo=AN_HOUR_EAST)),
        (datetime | None, "2026-01-01", DAY),
        (Annotated[datetime, Meta(tz=True)], "2026-01-01 09:30+00:00", NINE.replace(tzinfo=UTC)),
        (Annotated[datetime, Meta(tz=False)], "2026-01-01 09:30", NINE),
        (time, "09:30", time(9, 30)),
        (time, "09:30Z", time(9, 30, tzinfo=UTC)),
        (date, "2026-01-01", date(2026, 1, 1)),
        (
            Meeting,
            {"start": "2026-01-01", "days": ["2026-01-01", "2026-01-01 09:30"], "named": {"a": "2026-01-01"}},
            Meeting(DAY, [DAY, NINE], {"a": DAY}),
        ),
    ],
)
def test_what_a_model_writes_is_read(annotation: Any, value: Any, expected: Any) -> None:
    assert read(annotation, value) == expected


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (datetime, "2026-13-01", "Invalid RFC3339 encoded datetime"),
        (datetime, "01.01.2026", "Invalid RFC3339 encoded datetime"),
        (datetime, "2026-01-01 9:30", "Invalid RFC3339 encoded datetime"),
        (datetime, "٢٠٢٦-01-01", "Invalid RFC3339 encoded datetime"),
        (datetime, "09:30", "Invalid RFC3339 encoded datetime"),
        (datetime, [], "Expected `datetime`"),
        (time, "2026-01-01 09:30", "Invalid RFC3339 encoded time"),
        (date, "2026-01-01 09:30", "Invalid RFC3339 encoded date"),
        (Annotated[datetime, Meta(tz=True)], "2026-01-01 09:30", "with a timezone component"),
        (Annotated[datetime, Meta(tz=True)], "2026-01-01", "with a timezone component"),
        (Annotated[datetime, Meta(tz=False)], "2026-01-01 09:30Z", "with no timezone component"),
        (list[datetime], ["2026-01-01", "soon"], r"Invalid RFC3339 encoded datetime - at `\$\[1\]`"),
        (list[datetime], [*["2026-01-01"] * (MAX_MOMENTS + 9), "soon"], rf"datetime - at `\$\[{MAX_MOMENTS + 9}\]`"),
        (list[datetime], ["2026-01-01", "x" * LARGE], "Invalid RFC3339 encoded datetime"),
    ],
)
def test_what_is_no_moment_is_refused_as_before(annotation: Any, value: Any, words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words):
        read(annotation, value)


def test_what_else_is_wrong_beside_a_moment_is_refused_as_before() -> None:
    for text in (b'["2026-01-01","\\ud800"]', b'["2026-01-01",' + b"9" * 5000 + b"]"):
        with pytest.raises(msgspec.DecodeError):
            decode_moments(msgspec.json.Decoder(list[datetime]).decode, text)


@pytest.mark.parametrize(
    ("annotation", "value", "place"),
    [
        (datetime, 2026, ""),
        (datetime, 2026.5, ""),
        (datetime, -5, ""),
        (datetime, "2026", ""),
        (datetime, "20260728", ""),
        (datetime, "1e5", ""),
        (datetime | None, "2026", ""),
        (list[datetime], ["2026-01-01", 2026], "$[1]"),
        (set[datetime], ["2026-01-01", "2026-01-02", 2026], "$["),
        (tuple[str, datetime], ["a", 2026], "$[1]"),
        (dict[str, datetime], {"a": "2026"}, "$.a"),
        (dict[datetime, int], {"2026": 1}, "$[…]"),
        (Meeting, {"start": 2026}, "$.start"),
        (Meeting, {"start": "2026-01-01", "days": ["2026-01-01", "5"]}, "$.days[1]"),
        (list[Meeting], [{"start": "2026-01-01", "named": {"a": 5}}], "$[0].named.a"),
        (Model, {"start": "2026"}, "$.start"),
        (list[Model], [{"start": 2026}], "$[0].start"),
    ],
)
def test_a_number_is_no_moment(annotation: Any, value: Any, place: str) -> None:
    decoder = msgspec.json.Decoder(annotation, strict=False, dec_hook=decode_lax)
    with pytest.raises(msgspec.ValidationError, match="Expected `datetime`") as caught:
        decode_moments(decoder.decode, msgspec.json.encode(value))
    assert place in str(caught.value)


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (int | datetime, "5", 5),
        (list[int | datetime], [5, "2026-01-01"], [5, DAY]),
        (tuple[int, str, datetime], ["5", "2026", "2026-01-01"], (5, "2026", DAY)),
        (timedelta, "5", timedelta(seconds=5)),
        (dict[str, int], {"5": "5"}, {"5": 5}),
        (dict[datetime, int], {"2026-01-01T00:00:00": "5"}, {DAY: 5}),
        (Plain, {"number": "5"}, Plain(5)),
        (Grown, {"days": ["2026-01-01T00:00:00"], "number": "5"}, Grown([DAY], 5)),
    ],
)
def test_a_number_is_read_where_no_moment_stands(annotation: Any, value: Any, expected: Any) -> None:
    assert read(annotation, value) == expected


def test_many_moments_are_read_in_few_steps() -> None:
    steps = 0

    def decode(data: bytes) -> Any:
        nonlocal steps
        steps += 1
        return msgspec.json.decode(data, type=list[Meeting], strict=False)

    meetings = [{"start": "2026-01-01", "days": ["2026-01-01"] * 5, "named": {"a": "2026-01-01"}}] * 300
    assert decode_moments(decode, msgspec.json.encode(meetings)) == [Meeting(DAY, [DAY] * 5, {"a": DAY})] * 300
    assert steps <= 2 * MAX_MOMENTS
    for count in (MAX_MOMENTS, MAX_MOMENTS + 1, 3000):
        assert read(list[datetime], ["2026-01-01"] * count) == [DAY] * count
