"""What a server's result says: decoded into its type, or an error that tells why it cannot be.

2026-07-28 basic, "Result": a result of a `resultType` that the client does not know is an error. What a tool returned
is a `CallResult`, whose `data` is the value inside; whether that fits the tool's own schema is asked in `schemas`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import msgspec
from msgspec.structs import asdict

from tybalt.errors import MisuseError, ToolError, UnexpectedResult, cut, printable
from tybalt.protocol.codec import UNREADABLE
from tybalt.types.content import TextContent
from tybalt.types.jsonrpc import Result
from tybalt.types.tools import CallToolResult

if TYPE_CHECKING:
    from tybalt.types.input_required import InputRequiredResult

T = TypeVar("T")
D_co = TypeVar("D_co", covariant=True)

INPUT_REQUIRED: Final = "input_required"
_COMPLETE: Final = ("complete", None)


class CallResult(CallToolResult, Generic[D_co], frozen=True, kw_only=True):
    """What a tool answered, as the wire has it, and `data`, the value inside of it."""

    @property
    def data(self) -> D_co:
        """The value: of the type that was asked for, else structured content if there is some, else text or blocks.

        That is the text, where there is nothing but text, else the list of blocks. Legacy revisions wrap what is no
        object as `{"result": value}`; that is taken off. Raises `ToolError`, with its text, where the tool failed.
        """
        if self.is_error:
            raise ToolError(self.text)
        return self._value()

    def _value(self) -> Any:
        if self.structured_content is not msgspec.UNSET:
            return self.structured_content
        only_text = all(isinstance(block, TextContent) for block in self.content)
        return self.text if only_text else self.content


class LegacyCallResult(CallResult[D_co], frozen=True, kw_only=True):
    """The same in a legacy revision."""

    def _value(self) -> Any:
        if not isinstance(self.structured_content, dict):
            return super()._value()
        members = cast("dict[str, Any]", self.structured_content)
        return members["result"] if set(members) == {"result"} else members


class TypedCallResult(CallResult[D_co], frozen=True, kw_only=True, dict=True):
    """The same with a value of a type that was asked for. It is no field, so that it is never sent to anybody."""

    def _value(self) -> Any:
        return self.__dict__["value"]


CALL_RESULTS: Final[Mapping[bool, type[CallResult[Any]]]] = {True: CallResult, False: LegacyCallResult}
"""What the result of a call is decoded into: in modern, and in legacy."""


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


def call_result(result: CallToolResult, *, modern: bool) -> CallResult[Any]:
    """A result that went through layers, or through rounds of questions, with its `data`."""
    return _changed(result, CALL_RESULTS[modern])


def typed(result: CallResult[Any], kind: type[T] | Any, name: str) -> CallResult[T]:
    """The same result with a `kind` for its `data`, unless the tool failed. `name` is that of the tool.

    `kind` is anything that msgspec converts to, and pydantic models. A text that is no `kind` is read as JSON, for
    revisions before 2025-06-18 have nothing else; no content at all may be None. Raises `UnexpectedResult`, which says
    where it does not fit, and `MisuseError` for a `kind` that msgspec does not know.
    """
    if result.is_error:
        return result
    try:
        value = _converted(result, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        wanted = kind.__name__ if isinstance(kind, type) else cut(repr(kind))
        text = printable(cut(_where_first(str(error)), 500))
        raise UnexpectedResult(f"what the tool {name!r} returned is no {wanted}: {text}") from None
    found = _changed(result, TypedCallResult)
    found.__dict__["value"] = value
    return found


def _changed(result: CallToolResult, kind: type[Any]) -> Any:
    return kind(**asdict(result))


def _converted(result: CallResult[Any], kind: Any) -> Any:
    value: Any = result.data
    try:
        return _convert(value, kind)
    except msgspec.ValidationError:
        if result.structured_content is not msgspec.UNSET or not isinstance(value, str):
            raise
        try:
            parsed = msgspec.json.decode(value) if result.content else None
        except UNREADABLE:
            parsed = value
        if parsed is value:
            raise
    return _convert(parsed, kind)


def _convert(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind, str_keys=True, dec_hook=_validated)
    except msgspec.ValidationError:
        raise
    except (TypeError, NotImplementedError, NameError) as error:
        raise MisuseError(f"returns: nothing can be made a {kind!r}: {error}") from None


def _validated(kind: Any, value: Any) -> Any:
    """For `dec_hook`: a pydantic model, which msgspec does not know."""
    if not hasattr(kind, "model_validate"):
        raise NotImplementedError("it is no type that msgspec or pydantic knows")
    try:
        return kind.model_validate(value)
    except ValueError as error:
        if not hasattr(error, "errors"):
            raise
        first: dict[str, Any] = cast("Any", error).errors()[0]
        raise ValueError(f"{first['msg']}{_AT}{path_text(first['loc'])}`") from None  # msgspec adds where that was.


_AT: Final = " - at `"


def path_text(steps: Iterable[str | int]) -> str:
    """Where a value stands, as msgspec would say it: `$.days[3].high`."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _step(path: str) -> str:
    """A part of the place; a key, msgspec names by ``key` in `$.a``."""
    what, within, place = path.removesuffix("`").partition("` in `")
    return f"{place.removeprefix('$')}[a key]" if within else what.removeprefix("$")


def _where_first(text: str) -> str:
    """msgspec's message with the place before it; that of a model inside of a value is joined to the value's."""
    message, *paths = text.split(_AT)
    steps = "".join(map(_step, reversed(paths)))
    return f"${steps}: {message[:1].lower()}{message[1:]}"
