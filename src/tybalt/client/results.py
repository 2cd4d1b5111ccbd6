"""What a server's result says: decoded into its type, or an error that tells why it cannot be.

2026-07-28 basic, "Result": a result of a `resultType` that the client does not know is an error.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from tybalt.errors import UnexpectedResult
from tybalt.protocol.codec import UNREADABLE
from tybalt.types.content import TextContent
from tybalt.types.jsonrpc import Result
from tybalt.types.tools import CallToolResult

if TYPE_CHECKING:
    from tybalt.types.input_required import InputRequiredResult

T = TypeVar("T")

INPUT_REQUIRED: Final = "input_required"
_COMPLETE: Final = ("complete", None)


class _Decoders(dict[type[Any], Callable[[msgspec.Raw], Any]]):
    """Made when first asked for. A dict, for a cached function costs 50 ns more."""

    def __missing__(self, kind: type[Any]) -> Callable[[msgspec.Raw], Any]:
        decode = self[kind] = msgspec.json.Decoder(kind).decode
        return decode


_decoders = _Decoders()


def decode_result(raw: msgspec.Raw, kind: type[T]) -> T:
    """The result as a `kind`. Raises `UnexpectedResult` where it is none."""
    try:
        result = _decoders[kind](raw)
    except UNREADABLE as error:
        if _kind_of(raw) in _COMPLETE:
            raise UnexpectedResult(f"the server's result is no {kind.__name__}: {error}") from None
        raise _unknown(_kind_of(raw)) from None
    if result.result_type != "complete" and result.result_type is not None:
        raise _unknown(result.result_type)
    return result


def decode_answer(raw: msgspec.Raw, kind: type[T]) -> "T | InputRequiredResult":
    """The result as a `kind`, or the questions that have to be answered first. Raises as `decode_result` does."""
    try:
        result = _decoders[kind](raw)
    except UNREADABLE:
        pass  # Looked into below.
    else:
        if result.result_type == "complete" or result.result_type is None:
            return result
    if _kind_of(raw) == INPUT_REQUIRED:
        from tybalt.types.input_required import InputRequiredResult  # Most clients are never asked.

        try:
            return _decoders[InputRequiredResult](raw)
        except UNREADABLE as error:
            raise UnexpectedResult(f"the server's result is no InputRequiredResult: {error}") from None
    return decode_result(raw, kind)


def _kind_of(raw: msgspec.Raw) -> str | None:
    """The `resultType`, as far as there is one."""
    try:
        return _decoders[Result](raw).result_type
    except UNREADABLE:
        return None


def _unknown(kind: str | None) -> UnexpectedResult:
    return UnexpectedResult(f"the server's result is of the type {kind!r}, unknown to this client")


def unwrapped(value: Any) -> Any:
    """The value inside of `{"result": value}`, in which legacy revisions send what is no object."""
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value)
    return members["result"] if set(members) == {"result"} else members


def text_of(result: CallToolResult) -> str:
    """Its text blocks, a line each."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))
