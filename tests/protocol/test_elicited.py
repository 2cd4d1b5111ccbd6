"""`Accepted`, `Declined` and `Dismissed`: what they say of themselves, and that none of them is true or false."""

from typing import Any

import pytest

from tybalt import Accepted, Declined, Dismissed, MisuseError


@pytest.mark.parametrize("outcome", [Accepted(True), Accepted(False), Accepted(None), Declined(), Dismissed()])
def test_an_answer_is_neither_true_nor_false(outcome: Any) -> None:
    with pytest.raises(MisuseError) as raised:
        bool(outcome)
    assert str(raised.value) == (
        f"an answer is neither true nor false, and this one is {outcome!r}: look at `.accepted` and `.value`, or match "
        "it with `case Accepted(True)`"
    )


def test_they_compare_by_value() -> None:
    assert Accepted(1) == Accepted(1) != Accepted(2)
    assert Declined() == Declined() != Dismissed()
    assert [each.accepted for each in (Accepted(False), Declined(), Dismissed())] == [True, False, False]
