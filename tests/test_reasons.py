"""Reasons to stop: of several, the same one counts, in whatever order they are heard of."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.reasons import CancelKind, CancelReason, Interrupted

reasons = st.builds(
    CancelReason,
    kind=st.sampled_from(CancelKind),
    message=st.sampled_from(["", "a", "b"]),
    at=st.sampled_from([0.0, 1.0]),
    origin=st.sampled_from(["", "x"]),
)


@given(reasons, reasons, reasons)
def test_strengthening_is_associative_commutative_and_idempotent(
    a: CancelReason, b: CancelReason, c: CancelReason
) -> None:
    assert a.strengthened(b).strengthened(c) == a.strengthened(b.strengthened(c))
    assert a.strengthened(b) == b.strengthened(a)
    assert a.strengthened(a) == a


@given(reasons, reasons)
def test_the_severer_counts_then_the_earlier(a: CancelReason, b: CancelReason) -> None:
    kept = a.strengthened(b)
    assert kept in (a, b)
    assert kept.kind.severity == max(a.kind.severity, b.kind.severity)
    if a.kind.severity == b.kind.severity:
        assert kept.at == min(a.at, b.at)


def test_a_text_counts_more_than_none() -> None:
    told, untold = CancelReason(CancelKind.USER, "bored"), CancelReason(CancelKind.USER)
    assert untold.strengthened(told) is told
    assert (str(told), str(untold)) == ("user: bored", "user")


def test_the_severer_it_is_the_less_time_there_is_to_clean_up() -> None:
    kinds = list(CancelKind)
    assert [kind.severity for kind in kinds] == sorted(kind.severity for kind in kinds)
    for milder, severer in pairwise(kinds):
        assert milder.cleanup_checkpoints >= severer.cleanup_checkpoints > 0


def test_an_interruption_passes_those_who_catch_exceptions() -> None:
    reason = CancelReason(CancelKind.DEADLINE, "30 s")

    def stubborn() -> None:
        try:
            raise Interrupted(reason)
        except Exception:  # noqa: BLE001 (that is what is tried)
            pytest.fail("it was eaten")

    with pytest.raises(Interrupted, match="deadline: 30 s") as caught:
        stubborn()
    assert caught.value.reason is reason
