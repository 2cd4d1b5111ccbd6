"""Budgets: the laws of their semiring one by one, and what is left of one."""

import operator
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.execution import NOTHING, UNLIMITED, Budget, CancelKind, Remaining, within

limits = st.sampled_from([0.0, 1.0, 2.5, 100.0, inf])
budgets = st.builds(
    Budget,
    deadline=st.sampled_from([-inf, -1.0, 0.0, 7.0, inf]),
    cost=limits,
    polls=limits,
    priority=st.integers(0, 255),
) | st.sampled_from([UNLIMITED, NOTHING])


class TestLaws:
    """(Budget, |, &, NOTHING, UNLIMITED) is a commutative semiring, idempotent in both, and absorbs: a lattice."""

    @given(budgets, budgets, budgets)
    def test_both_are_associative(self, a: Budget, b: Budget, c: Budget) -> None:
        assert (a & b) & c == a & (b & c)
        assert (a | b) | c == a | (b | c)

    @given(budgets, budgets)
    def test_both_are_commutative(self, a: Budget, b: Budget) -> None:
        assert a & b == b & a
        assert a | b == b | a

    @given(budgets)
    def test_both_are_idempotent(self, a: Budget) -> None:
        assert a & a == a == a | a

    @given(budgets)
    def test_each_has_its_identity(self, a: Budget) -> None:
        assert a & UNLIMITED == a == a | NOTHING

    @given(budgets)
    def test_nothing_annihilates(self, a: Budget) -> None:
        assert a & NOTHING == NOTHING
        assert a | UNLIMITED == UNLIMITED

    @given(budgets, budgets, budgets)
    def test_each_distributes_over_the_other(self, a: Budget, b: Budget, c: Budget) -> None:
        assert a & (b | c) == (a & b) | (a & c)
        assert a | (b & c) == (a | b) & (a | c)

    @given(budgets, budgets)
    def test_each_absorbs_the_other(self, a: Budget, b: Budget) -> None:
        assert a & (a | b) == a == a | (a & b)

    @given(budgets, budgets)
    def test_what_both_allow_is_no_more_than_either(self, a: Budget, b: Budget) -> None:
        assert a & b <= a <= a | b

    @given(budgets, st.floats(0, 1_000), st.sampled_from([None, "30s", 5]), limits, limits)
    def test_tightening_only_narrows(self, a: Budget, now: float, timeout: Any, cost: float, polls: float) -> None:
        tightened = a.tightened_by(now, timeout=timeout, cost=cost, polls=polls)
        assert tightened <= a and tightened.priority == a.priority


class TestWhatIsLeft:
    def test_what_is_past_is_0_and_what_is_unlimited_is_not(self) -> None:
        assert within("30s", 100.0, cost=5).remaining(110.0) == Remaining(20.0, 5, inf)
        assert within("30s", 100.0).remaining(130.0).time == 0.0
        assert within("30s", 100.0).remaining(500.0).time == 0.0
        assert UNLIMITED.remaining(1e9) == Remaining(inf, inf, inf)

    @pytest.mark.parametrize(
        ("budget", "now", "kind"),
        [
            (UNLIMITED, 1e9, None),
            (Budget(deadline=5.0), 4.9, None),
            (Budget(deadline=5.0), 5.0, CancelKind.DEADLINE),
            (Budget(cost=0), 0.0, CancelKind.COST_QUOTA),
            (Budget(polls=0), 0.0, CancelKind.POLL_QUOTA),
            (NOTHING, 0.0, CancelKind.DEADLINE),
        ],
    )
    def test_whether_work_has_to_stop(self, budget: Budget, now: float, kind: CancelKind | None) -> None:
        reason = budget.exhausted(now)
        assert (None if reason is None else reason.kind) == kind


@pytest.mark.parametrize(
    "limits", [{"cost": -1}, {"polls": -1}, {"deadline": float("nan")}, {"cost": float("nan")}, {"priority": 256}]
)
def test_limits_that_are_none(limits: dict[str, Any]) -> None:
    with pytest.raises(MisuseError, match=r"the limits of a budget|a priority"):
        Budget(**limits)


@pytest.mark.parametrize("limits", [{"deadline": "soon"}, {"cost": "3"}, {"polls": None}, {"priority": "high"}])
def test_limits_are_numbers(limits: dict[str, Any]) -> None:
    with pytest.raises(MisuseError, match="the limits of a budget are numbers; got"):
        Budget(**limits)


def test_a_budget_combines_with_budgets_only() -> None:
    for combine in (operator.and_, operator.or_):
        with pytest.raises(TypeError, match="unsupported operand"):
            combine(Budget(), 3)
