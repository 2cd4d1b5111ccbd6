"""What a server's result says: decoded into its type, or an error that tells why it cannot be.

2026-07-28 basic, "Result": a result of a `resultType` that the client does not know is an error.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from tybalt.errors import UnexpectedResult
from tybalt.protocol.codec import UNREADABLE
from tybalt.types.content import TextContent
from tybalt.types.jsonrpc import Result
from tybalt.types.tools import CallToolResult

T = TypeVar("T")


@cache
def _decoder(kind: type[Any]) -> Callable[[msgspec.Raw], Any]:
    return msgspec.json.Decoder(kind).decode


def decode_result(raw: msgspec.Raw, kind: type[T]) -> T:
    """The result as a `kind`. Raises `UnexpectedResult` where it is none."""
    try:
        result = _decoder(kind)(raw)
    except UNREADABLE as error:
        try:
            result = _decoder(Result)(raw)
        except UNREADABLE:
            result = None
        if result is None or result.result_type in ("complete", None):
            raise UnexpectedResult(f"the server's result is no {kind.__name__}: {error}") from None
    if result.result_type != "complete" and result.result_type is not None:
        raise UnexpectedResult(f"the server's result is of the type {result.result_type!r}, unknown to this client")
    return result


def unwrapped(value: Any) -> Any:
    """The value inside of `{"result": value}`, in which legacy revisions send what is no object."""
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value)
    return members["result"] if set(members) == {"result"} else members


def text_of(result: CallToolResult) -> str:
    """Its text blocks, a line each."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))
