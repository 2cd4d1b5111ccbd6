"""Where a connection is in what it reads: its stages, what is too much, and what is too slow."""

import pytest

from tests.server.http.test_lane import server_with_tools
from tybalt.server.http.reading import MAX_CODING, MAX_FIELDS, MAX_HEAD, PATIENCE, Reading

SETTINGS = server_with_tools().asgi(header_timeout=10, body_timeout=30, idle_timeout=60).service.settings


def limit(reading: Reading, *, owes: bool = False) -> float | None:
    return reading.limit(SETTINGS, owes=owes)


def test_each_stage_has_its_time() -> None:
    reading = Reading(0.0)
    assert limit(reading) == 10
    reading.begin(1.0)
    assert (limit(reading), reading.since, reading.is_begun) == (10, 1.0, True)
    reading.begin_body(2.0)
    assert (limit(reading), reading.since, reading.is_begun) == (30, 2.0, True)
    reading.end()
    assert (limit(reading), reading.is_begun) == (60, False)
    reading.turn_deaf(3.0)
    assert (limit(reading), reading.since, reading.is_open) == (PATIENCE, 3.0, False)


def test_what_is_owed_takes_no_time_but_of_what_comes_behind() -> None:
    reading = Reading(0.0)
    reading.end()
    assert limit(reading, owes=True) is None
    reading.begin(1.0)
    assert limit(reading, owes=True) == 10
    reading.begin_body(1.0)
    assert limit(reading, owes=True) == 30
    reading.turn_deaf(1.0)
    assert limit(reading, owes=True) is None


def test_a_head_is_bounded_by_what_is_found_in_it_and_by_what_came() -> None:
    reading = Reading(0.0)
    reading.begin(0.0)
    assert reading.take_field(MAX_HEAD, MAX_FIELDS) is None
    for refusal in (reading.take_field(1, MAX_FIELDS), reading.take_field(0, MAX_FIELDS + 1)):
        assert refusal is not None
        assert refusal.status == 431
    reading.feed(MAX_HEAD)
    assert reading.excess is None
    reading.feed(1)
    assert reading.excess is not None
    assert reading.excess.status == 431


@pytest.mark.parametrize("size", [0, 8_000])
def test_a_body_is_bounded_by_what_its_chunks_say(size: int) -> None:
    reading = Reading(0.0)
    reading.begin_body(0.0)
    reading.feed(size + size // 8 + MAX_CODING)
    assert reading.take(size) == size
    assert reading.excess is None
    reading.feed(1)
    assert reading.excess is not None
    assert reading.excess.status == 413


def test_no_message_is_counted_with_the_one_before() -> None:
    reading = Reading(0.0)
    for _ in range(3):
        reading.begin(0.0)
        reading.feed(MAX_HEAD)
        assert reading.excess is None
        reading.begin_body(0.0)
        reading.feed(MAX_CODING)
        assert reading.excess is None
        reading.end()


def test_nothing_is_too_much_for_who_does_not_listen() -> None:
    reading = Reading(0.0)
    reading.turn_deaf(0.0)
    reading.feed(2 * MAX_HEAD)
    assert reading.excess is None
