"""What became of a question to the user, as whoever asked reads it: `Accepted`, `Declined` or `Dismissed`.

The wire says it in an `ElicitResult`, without types. These are the values of a program: a server's handler gets them
from `elicit`, and a client's function that answers may return them.
"""

from typing import Generic, NoReturn, TypeVar

from msgspec import Struct

from tybalt.errors import MisuseError

T = TypeVar("T")


class _Outcome(Struct, frozen=True):
    """What the three have in common: none of them is true or false."""

    def __bool__(self) -> NoReturn:
        """Raises `MisuseError`: `if await context.elicit(…)` would take every answer for a yes, a no as well."""
        raise MisuseError(
            f"an answer is neither true nor false, and this one is {self!r}: look at `.accepted` and `.value`, or "
            "match it with `case Accepted(True)`"
        )


class Accepted(_Outcome, Generic[T], frozen=True):
    """The user has answered: `value` is of the type asked for; `None` where they were sent to a URL."""

    value: T

    @property
    def accepted(self) -> bool:
        """True, also where the answer itself is a no: `Accepted(False)`."""
        return True


class Declined(_Outcome, frozen=True):
    """The user has said no."""

    @property
    def accepted(self) -> bool:
        """False."""
        return False


class Dismissed(_Outcome, frozen=True):
    """The user has closed the question without an answer."""

    @property
    def accepted(self) -> bool:
        """False."""
        return False


Elicited = Accepted[T] | Declined | Dismissed
"""What became of an elicitation."""
