"""Durations as people write them, and what is none."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.execution import seconds


@pytest.mark.parametrize(
    ("duration", "expected"),
    [
        (30, 30.0),
        (0.5, 0.5),
        ("30s", 30.0),
        ("500ms", 0.5),
        ("5m", 300.0),
        ("1h30m", 5_400.0),
        ("1h30m5s", 5_405.0),
        ("2d", 172_800.0),
        ("1.5h", 5_400.0),
        (" 30s ", 30.0),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_a_duration(duration: Any, expected: float) -> None:
    assert seconds(duration) == pytest.approx(expected)


@pytest.mark.parametrize(
    "duration",
    [
        *(0, -1, 0.0, float("nan"), float("inf"), True, timedelta(0), timedelta(seconds=-1), None, [], b"5s"),
        *("", "30", "0s", "0h0m", "-5s", "5 s", "5x", "s", "1h 30m", "1e3s", "٣s"),
    ],
)
def test_what_is_none_says_what_is(duration: Any) -> None:
    with pytest.raises(MisuseError, match=r"such as '30s', '500ms' or '1h30m'"):
        seconds(duration)


@given(st.lists(st.tuples(st.integers(1, 99), st.sampled_from(["ms", "s", "m", "h", "d"])), min_size=1, max_size=5))
def test_parts_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert seconds(text) == pytest.approx(sum(seconds(f"{number}{unit}") for number, unit in parts))
