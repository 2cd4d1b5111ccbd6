"""What became of something, as one of four frozen values: `Ok`, `Err`, `Cancelled`, `Panicked`.

    match outcome:
        case Ok(value): ...
        case Err(error): ...            # a failure its author declared
        case Cancelled(reason): ...     # stopped from outside
        case Panicked(error): ...       # any other exception

An outcome is a value to match on, to transform and to join, not an exception to catch. It stands at the bottom of the
layers because the protocol core accepts one as an answer; nothing in here runs anything but the functions it is given.
"""

from collections.abc import Callable
from types import CoroutineType
from typing import Any, Generic, ParamSpec, TypeVar, cast

from msgspec import Struct

from tybalt.errors import MisuseError, TybaltError, only_error
from tybalt.reasons import CancelReason, Interrupted

P = ParamSpec("P")
T = TypeVar("T")
U = TypeVar("U")


class Outcome(Struct, Generic[T], frozen=True):
    """What `Ok`, `Err`, `Cancelled` and `Panicked` have in common. It is always one of these."""

    @staticmethod
    def catch(function: Callable[P, U], /, *args: P.args, **kwargs: P.kwargs) -> "Outcome[U]":
        """Call a plain function and tell what became of it. Only `KeyboardInterrupt` is passed on.

        Raises `MisuseError` for one that has to be awaited: `join_outcomes` tells what becomes of such.
        """
        try:
            value = function(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001 (that is what an outcome is for)
            return Outcome.of(error)
        if isinstance(value, CoroutineType):
            value.close()
            raise MisuseError(
                "catch(…) calls plain functions; for an async one: `(outcome,) = await join_outcomes(f(x))`"
            )
        return Ok(value)

    @staticmethod
    def of(error: BaseException) -> "Outcome[Any]":
        """The outcome that an exception stands for. Raises `KeyboardInterrupt` if that is the one.

        `TybaltError`s are declared, `Interrupted` is a cancel, anything else, `RecursionError` and `SystemExit` among
        them, is a panic. A group, such as a task group raises, is what the errors in it are when they are joined: the
        worst of them, of several declared ones the first. Where one is a panic, the panic is the group, whole.
        """
        error = only_error(error)
        if isinstance(error, BaseExceptionGroup):
            return _of_group(cast("BaseExceptionGroup[BaseException]", error))
        if isinstance(error, KeyboardInterrupt):
            raise error
        if isinstance(error, TybaltError):
            return Err(error)
        return Cancelled(error.reason) if isinstance(error, Interrupted) else Panicked(error)

    @property
    def severity(self) -> int:
        """0 for `Ok`, 1 for `Err`, 2 for `Cancelled`, 3 for `Panicked`."""
        return _SEVERITY[type(self)]

    @property
    def is_ok(self) -> bool:
        """Whether there is a value."""
        return type(self) is Ok

    def map(self, function: Callable[[T], U]) -> "Outcome[U]":
        """`Ok` with what the function makes of the value; any other outcome as it is. Raises what the function does."""
        return Ok(function(self.value)) if isinstance(self, Ok) else cast("Outcome[U]", self)

    def map_error(self, function: Callable[[BaseException], TybaltError]) -> "Outcome[T]":
        """`Err` with what the function makes of a declared error; any other outcome as it is."""
        return Err(function(self.error)) if isinstance(self, Err) else self

    def and_then(self, function: "Callable[[T], Outcome[U]]") -> "Outcome[U]":
        """What the function makes of the value; any other outcome as it is."""
        return function(self.value) if isinstance(self, Ok) else cast("Outcome[U]", self)

    def unwrap(self) -> T:
        """The value. Raises the error that is there instead, `Interrupted` where it was cancelled."""
        if isinstance(self, Ok):
            return self.value
        raise self._exception()

    def unwrap_or(self, default: T) -> T:
        """The value, or `default`."""
        return self.value if isinstance(self, Ok) else default

    def unwrap_or_else(self, function: "Callable[[Outcome[T]], T]") -> T:
        """The value, or what the function makes of the outcome."""
        return self.value if isinstance(self, Ok) else function(self)

    def join(self, other: "Outcome[T]") -> "Outcome[T]":
        """What became of two things together: the worse, or this one; of two cancels, the reason that counts.

        Associative and idempotent, and commutative in severity and reason.
        """
        if isinstance(self, Cancelled) and isinstance(other, Cancelled):
            return Cancelled(self.reason.strengthened(other.reason))
        return other if other.severity > self.severity else self

    def _exception(self) -> BaseException:
        raise AssertionError("an Outcome is an Ok, an Err, a Cancelled or a Panicked")


class Ok(Outcome[T], Generic[T], frozen=True):
    """It succeeded with `value`."""

    value: T


class Err(Outcome[Any], frozen=True):
    """It failed with an error its author declared: a `TybaltError`, such as an `McpError` or a `ToolError`."""

    error: TybaltError

    def _exception(self) -> BaseException:
        return self.error


class Cancelled(Outcome[Any], frozen=True):
    """It was stopped for `reason`, which is for logs and for whoever stopped it."""

    reason: CancelReason

    def _exception(self) -> BaseException:
        return Interrupted(self.reason)


class Panicked(Outcome[Any], frozen=True):
    """It raised something nobody declared; `error` is for the log, a peer sees a masked text."""

    error: BaseException

    def _exception(self) -> BaseException:
        return self.error


def _of_group(group: BaseExceptionGroup[BaseException]) -> Outcome[Any]:
    """What the errors of a group are together. Every one of them is looked at: a `KeyboardInterrupt` is not missed."""
    told: Outcome[Any] | None = None
    # Not by recursion: whoever raises it decides how deep it is.
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseExceptionGroup):
            pending += reversed(cast("tuple[BaseException, ...]", error.exceptions))
            continue
        outcome = Outcome.of(error)
        told = outcome if told is None else told.join(outcome)
    assert told is not None, "no group is empty"
    return Panicked(group) if isinstance(told, Panicked) else told


_SEVERITY: dict[type, int] = {Ok: 0, Err: 1, Cancelled: 2, Panicked: 3}
