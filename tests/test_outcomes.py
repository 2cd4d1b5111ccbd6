"""Outcomes: made, matched, transformed, joined."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import InvalidParams, ToolError, TybaltError
from tybalt.outcomes import Cancelled, Err, Ok, Outcome, Panicked
from tybalt.reasons import CancelKind, CancelReason, Interrupted

SHUTDOWN = CancelReason(CancelKind.SHUTDOWN, "now")
NO = ToolError("no")
BUG = ValueError("bug")
cancels = st.builds(CancelReason, kind=st.sampled_from(CancelKind), message=st.sampled_from(["", "a", "b"]))
outcomes = st.one_of(st.integers(0, 2).map(Ok), st.sampled_from([Err(NO), Panicked(BUG)]), cancels.map(Cancelled))


def raising(error: BaseException) -> Any:
    raise error


class TestCatching:
    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            (NO, Err),
            (InvalidParams("x"), Err),
            (Interrupted(SHUTDOWN), Cancelled),
            (BUG, Panicked),
            (RecursionError(), Panicked),
            (MemoryError(), Panicked),
            (SystemExit(3), Panicked),
            (GeneratorExit(), Panicked),
            (ExceptionGroup("tasks", [ExceptionGroup("more", [NO])]), Err),
            (ExceptionGroup("tasks", [NO, NO]), Err),
            (BaseExceptionGroup("tasks", [Interrupted(SHUTDOWN)]), Cancelled),
            (BaseExceptionGroup("tasks", [Interrupted(SHUTDOWN), BaseExceptionGroup("more", [NO])]), Cancelled),
            (BaseExceptionGroup("tasks", [Interrupted(SHUTDOWN), NO, BUG]), Panicked),
            (ExceptionGroup("tasks", [NO, ExceptionGroup("more", [NO, BUG])]), Panicked),
        ],
        ids=repr,
    )
    def test_what_is_raised_becomes_one_of_three(self, error: BaseException, kind: type) -> None:
        assert type(Outcome.catch(raising, error)) is kind

    def test_of_several_declared_errors_the_first(self) -> None:
        first = InvalidParams("first")
        group = ExceptionGroup("tasks", [ExceptionGroup("inner", [first, NO]), ToolError("last")])
        assert Outcome.of(group) == Err(first)

    def test_of_several_cancels_the_reason_that_counts(self) -> None:
        user = Interrupted(CancelReason(CancelKind.USER, "enough"))
        for errors in ([user, Interrupted(SHUTDOWN)], [Interrupted(SHUTDOWN), NO, user]):
            assert Outcome.of(BaseExceptionGroup("tasks", errors)) == Cancelled(SHUTDOWN)

    def test_a_panic_among_others_is_the_whole_group_for_the_log(self) -> None:
        group = BaseExceptionGroup("tasks", [NO, BaseExceptionGroup("more", [BUG, Interrupted(SHUTDOWN)])])
        assert Outcome.of(group) == Panicked(group)

    def test_however_deep_it_is(self) -> None:
        group = ExceptionGroup("bottom", [NO, NO])
        for _ in range(10_000):
            group = ExceptionGroup("more", [group, NO])
        assert Outcome.of(group) == Err(NO)

    def test_what_is_returned_is_ok(self) -> None:
        assert Outcome.catch(divmod, 7, 2) == Ok((3, 1))

    def test_the_keyboard_is_passed_on(self) -> None:
        for error in (KeyboardInterrupt(), BaseExceptionGroup("tasks", [BUG, NO, KeyboardInterrupt()])):
            with pytest.raises(KeyboardInterrupt):
                Outcome.catch(raising, error)


def grouped(errors: list[BaseException]) -> BaseException:
    return BaseExceptionGroup("tasks", errors)


errors = st.sampled_from([NO, ToolError("also no"), BUG]) | cancels.map(Interrupted)
trees = st.recursive(errors, lambda inner: st.lists(inner, min_size=1, max_size=3).map(grouped), max_leaves=8)


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


class TestGroups:
    @given(trees)
    def test_a_group_is_as_bad_as_the_worst_in_it(self, error: BaseException) -> None:
        joined = Outcome.of(leaves(error)[0])
        for leaf in leaves(error)[1:]:
            joined = joined.join(Outcome.of(leaf))
        told = Outcome.of(error)
        assert told.severity == joined.severity
        if not isinstance(joined, Panicked):
            assert told == joined


class TestMatching:
    def told(self, outcome: Outcome[int]) -> str:
        match outcome:
            case Ok(value):
                return f"ok {value}"
            case Err(error):
                return f"err {error}"
            case Cancelled(reason):
                return f"cancelled {reason.kind.value}"
            case Panicked(error):
                return f"panicked {type(error).__name__}"
        return "something else"

    def test_each_by_its_own_pattern(self) -> None:
        assert list(map(self.told, (Ok(5), Err(NO), Cancelled(SHUTDOWN), Panicked(BUG)))) == [
            "ok 5",
            "err no",
            "cancelled shutdown",
            "panicked ValueError",
        ]

    def test_they_are_frozen(self) -> None:
        with pytest.raises(AttributeError):
            Ok(5).value = 6  # type: ignore[misc]


class TestTransforming:
    @given(outcomes)
    def test_only_a_value_is_mapped(self, outcome: Outcome[int]) -> None:
        mapped = outcome.map(lambda value: value + 1)
        assert mapped == (Ok(outcome.value + 1) if isinstance(outcome, Ok) else outcome)
        assert outcome.and_then(Ok) == outcome
        assert outcome.map(lambda value: value) == outcome

    def test_only_a_declared_error_is_mapped(self) -> None:
        other = TybaltError("other")
        assert Err(NO).map_error(lambda _: other) == Err(other)
        for untouched in (Ok(1), Cancelled(SHUTDOWN), Panicked(BUG)):
            assert untouched.map_error(lambda _: other) is untouched

    def test_unwrapping(self) -> None:
        assert Ok(5).unwrap() == Ok(5).unwrap_or(6) == Ok(5).unwrap_or_else(lambda _: 6) == 5
        for bad, error in ((Err(NO), ToolError), (Cancelled(SHUTDOWN), Interrupted), (Panicked(BUG), ValueError)):
            with pytest.raises(error):
                bad.unwrap()
            assert bad.unwrap_or(6) == 6
            assert bad.unwrap_or_else(lambda outcome: outcome.severity) == bad.severity
            assert not bad.is_ok


class TestJoining:
    @given(outcomes, outcomes, outcomes)
    def test_it_is_associative(self, a: Outcome[int], b: Outcome[int], c: Outcome[int]) -> None:
        assert a.join(b).join(c) == a.join(b.join(c))

    @given(outcomes)
    def test_it_is_idempotent(self, a: Outcome[int]) -> None:
        assert a.join(a) == a

    @given(outcomes, outcomes)
    def test_the_worse_wins_whatever_the_order(self, a: Outcome[int], b: Outcome[int]) -> None:
        one, other = a.join(b), b.join(a)
        assert one.severity == other.severity == max(a.severity, b.severity)
        if isinstance(one, Cancelled):
            assert one == other, "the reason that counts does not depend on the order"

    def test_of_two_alike_the_first_stays(self) -> None:
        assert Ok(1).join(Ok(2)) == Ok(1)
