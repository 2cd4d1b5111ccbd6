"""How a request ended, in one word, as logs and measurements have it. It decides nothing and hides nothing.

"ok" is a result; "is_error" a result by which a tool says no; "cancelled" was stopped from outside; anything else is
the class of the exception, such as "InvalidArguments".
"""

from typing import Any, Final

from tybalt.errors import only_error
from tybalt.types.tools import CallToolResult

OK: Final = "ok"
IS_ERROR: Final = "is_error"
CANCELLED: Final = "cancelled"


def ending_of(result: Any) -> str:
    """How a request ended that has this result."""
    return IS_ERROR if isinstance(result, CallToolResult) and result.is_error else OK


def ending_by(error: BaseException) -> str:
    """How a request ended that raised this. A group of one is the one in it."""
    error = only_error(error)
    # CancelledError, Interrupted and GeneratorExit; a process that is told to end says so by its name.
    if isinstance(error, Exception | KeyboardInterrupt | SystemExit):
        return type(error).__name__
    return CANCELLED
