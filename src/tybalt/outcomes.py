"""What became of a request, as one of four frozen values: `Ok`, `Err`, `Cancelled`, `Panicked`.

An outcome is a value to match on, not an exception to catch. It stands at the bottom of the layers because the
protocol core accepts one as an answer; how outcomes are joined, and where they come from, is the business of the
layers above. `Err` is a failure the author declared; `Panicked` is any other exception.
"""

from typing import Generic, TypeVar

from msgspec import Struct

from tybalt.errors import McpError, ToolError

T = TypeVar("T")


class Ok(Struct, Generic[T], frozen=True):
    """The request succeeded with `value`."""

    value: T


class Err(Struct, frozen=True):
    """The request failed with an error its author declared: an `McpError` or a `ToolError`."""

    error: McpError | ToolError


class Cancelled(Struct, frozen=True):
    """The request was cancelled; `reason` is for logs, not for the peer."""

    reason: str = ""


class Panicked(Struct, frozen=True):
    """The handler raised something nobody declared; `error` is for the log, the peer sees a masked text."""

    error: BaseException


Outcome = Ok[T] | Err | Cancelled | Panicked
