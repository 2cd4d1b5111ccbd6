"""Placement: when a function is promoted and demoted, and what is told about it. Durations are numbers of the test."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.execution import HandlerStatistics, Placement, RunIn
from tybalt.execution.placement import CALLS_TO_PROMOTE, MOST_CALLS_TO_PROMOTE, QUICK, SLOW

QUICKER, SLOWER = QUICK / 2, SLOW * 2
BETWEEN = (QUICK + SLOW) / 2


def placed(run_in: RunIn = "auto", *durations: float) -> Placement:
    placement = Placement("add", run_in)
    for each in durations:
        placement.record(each)
    return placement


def calls_until_promoted(placement: Placement) -> int:
    calls = 0
    while placement.where == "thread":
        placement.record(QUICKER)
        calls += 1
    return calls


class TestAuto:
    def test_it_starts_in_a_thread_and_is_promoted_after_so_many_quick_calls(self) -> None:
        assert placed().where == "thread"
        assert placed("auto", *[QUICKER] * (CALLS_TO_PROMOTE - 1)).where == "thread"
        assert placed("auto", *[QUICKER] * CALLS_TO_PROMOTE).where == "loop"

    @pytest.mark.parametrize("other", [QUICK, BETWEEN, SLOWER])
    def test_one_that_was_not_quick_begins_the_count_anew(self, other: float) -> None:
        placement = placed("auto", *[QUICKER] * (CALLS_TO_PROMOTE - 1), other)
        assert calls_until_promoted(placement) == CALLS_TO_PROMOTE

    def test_on_the_loop_the_first_slow_call_demotes_it(self) -> None:
        promoted = [QUICKER] * CALLS_TO_PROMOTE
        assert placed("auto", *promoted, BETWEEN, SLOW).where == "loop"
        assert placed("auto", *promoted, SLOWER).where == "thread"

    def test_each_demotion_doubles_what_the_next_promotion_takes_up_to_a_bound(self) -> None:
        placement, needed = placed(), list[int]()
        for _ in range(12):
            needed.append(calls_until_promoted(placement))
            placement.record(SLOWER)
        assert needed == [min(CALLS_TO_PROMOTE * 2**each, MOST_CALLS_TO_PROMOTE) for each in range(12)]
        assert needed[-1] == needed[-2] == MOST_CALLS_TO_PROMOTE

    def test_it_is_no_candidate_because_it_is_promoted_anyway(self) -> None:
        assert not placed("auto", *[QUICKER] * CALLS_TO_PROMOTE).would_promote


class TestFixed:
    @pytest.mark.parametrize("run_in", ["loop", "thread"])
    def test_it_stays_where_its_author_put_it(self, run_in: RunIn) -> None:
        assert placed(run_in).where == run_in
        assert placed(run_in, *[QUICKER] * CALLS_TO_PROMOTE).where == run_in
        assert placed(run_in, SLOWER).where == run_in

    def test_a_quick_one_in_a_thread_is_a_candidate_until_it_was_slow(self) -> None:
        placement = placed("thread", *[QUICKER] * (CALLS_TO_PROMOTE - 1))
        assert not placement.would_promote
        placement.record(QUICKER)
        assert placement.would_promote
        placement.record(BETWEEN)
        assert placement.would_promote
        placement.record(SLOWER)
        assert not placement.would_promote

    def test_one_on_the_loop_is_no_candidate_for_it(self) -> None:
        assert not placed("loop", *[QUICKER] * CALLS_TO_PROMOTE).would_promote

    @pytest.mark.parametrize("run_in", ["process", "", None, 1])
    def test_a_place_that_is_none(self, run_in: Any) -> None:
        with pytest.raises(MisuseError, match="add: run_in is 'loop', 'thread' or 'auto'; got"):
            Placement("add", run_in)


class TestStatistics:
    def test_of_one_that_was_never_called(self) -> None:
        assert Placement("add").statistics() == HandlerStatistics(
            name="add", run_in="thread", where="thread", calls=0, mean=0.0, longest=0.0, overdue=0, candidate=False
        )

    def test_of_one_that_was(self) -> None:
        placement = placed("thread", 1.0, 4.0, 1.0)
        placement.record_overdue()
        assert placement.statistics() == HandlerStatistics(
            name="add", run_in="thread", where="thread", calls=3, mean=2.0, longest=4.0, overdue=1, candidate=False
        )

    def test_a_candidate_is_told(self) -> None:
        told = placed("thread", *[QUICKER] * CALLS_TO_PROMOTE).statistics()
        assert told.candidate and told.where == "thread"

    @pytest.mark.parametrize("seconds", [-1e-9, float("nan")])
    def test_a_duration_that_is_none_changes_nothing(self, seconds: float) -> None:
        placement = placed("auto", 1.0)
        with pytest.raises(MisuseError, match="add: a duration is 0 seconds or more, got"):
            placement.record(seconds)
        assert placement.statistics() == placed("auto", 1.0).statistics()


def naive_where(durations: list[float]) -> str:
    """The same rules, read off the whole history."""
    where, since, needed = "thread", 0, CALLS_TO_PROMOTE
    for end in range(1, len(durations) + 1):
        if where == "loop" and durations[end - 1] > SLOW:
            where, since, needed = "thread", end, min(2 * needed, MOST_CALLS_TO_PROMOTE)
        elif where == "thread" and end - since >= needed and max(durations[end - needed : end]) < QUICK:
            where = "loop"
    return where


RUNS = st.lists(st.tuples(st.sampled_from([0.0, QUICKER, QUICK, BETWEEN, SLOW, SLOWER]), st.integers(1, 45)))


@given(runs=RUNS, run_in=st.sampled_from(["loop", "thread", "auto"]))
def test_it_is_where_the_rules_say_and_counts_right(runs: list[tuple[float, int]], run_in: RunIn) -> None:
    durations = [duration for duration, times in runs for _ in range(times)]
    told, suited = placed(run_in, *durations).statistics(), naive_where(durations)
    assert told.where == (suited if run_in == "auto" else run_in)
    assert told.candidate == (run_in == "thread" and suited == "loop")
    assert told.calls == len(durations) and told.longest == max(durations, default=0.0)
    assert told.mean == pytest.approx(sum(durations) / max(1, len(durations)))
