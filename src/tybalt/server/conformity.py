"""Whether what a tool returned is what its output schema promises: a tool that has one MUST keep to it.

The schema becomes types that msgspec checks, member by member, once at registration; a call costs one conversion of
the JSON form. No class of the author's is ever made and none of his code runs, so that a check has no side effects. It
is no validator of JSON Schema: of what it does not know it asks nothing, and what it asks the schema asks too.

2026-07-28 server/tools, "Output Schema": "Servers MUST provide structured results that conform to this schema".
"""

import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Final, Literal, Union
from uuid import UUID

import msgspec

from tybalt.errors import cut
from tybalt.server.json_values import Schema, is_array, is_object


def conformity(schema: Schema) -> Callable[[Any], None] | None:
    """A function that raises `msgspec.ValidationError` for builtins that a schema does not allow, and names the member.

    None where the schema says nothing that could be checked. What is nested too deeply to be looked at is trusted.
    """
    try:
        kind = _Kinds(schema.get("$defs", {})).of(schema)
    except (AttributeError, TypeError, ValueError):  # a note of the author's made it no JSON Schema
        return None
    if kind is Any:
        return None

    def check(builtins: Any) -> None:
        try:
            _convert(builtins, kind)
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(_with_one_path(str(error))) from None
        except RecursionError:
            pass

    return check


class _Kinds:
    """The types for the schemas of one tool, which share their definitions."""

    __slots__ = ("_definitions", "_known")

    def __init__(self, definitions: Schema) -> None:
        self._definitions = definitions
        self._known: dict[str, Any] = {}

    def of(self, schema: Any) -> Any:
        """A type for what a schema allows, or for more; `Any` where nothing can be told."""
        if not is_object(schema):
            return Any
        if "$ref" in schema:
            return self._named(str(schema["$ref"]).removeprefix("#/$defs/"))
        if is_array(arms := schema.get("anyOf", schema.get("oneOf"))):
            return _either([self.of(arm) for arm in arms])
        if is_array(values := schema.get("enum", [schema["const"]] if "const" in schema else None)):
            return _among(values)
        match schema.get("type"):
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return _string(schema)
            case "integer" | "number" as name:
                return _limited(int if name == "integer" else float, schema, _BOUNDS)
            case "boolean":
                return bool
            case "null":
                return None
            case _:
                return Any

    def _named(self, name: str) -> Any:
        """The type of a definition; inside of itself, one that is asked anew at each level."""
        if name not in self._definitions:
            return Any
        if name not in self._known:
            self._known[name] = _told(lambda value: _convert(value, self._known[name]))
            self._known[name] = self.of(self._definitions[name])
        return self._known[name]

    def _object(self, schema: Schema) -> Any:
        members: Schema = schema.get("properties") or {}
        required: frozenset[str] = frozenset(schema.get("required") or ())
        more = schema.get("additionalProperties", True)
        if not members and not required and more is not False:
            keys = self.of({"type": "string"} | schema.get("propertyNames", {}))
            return _limited(_first([dict[keys, self.of(more)], dict[str, Any]]), schema, _MEMBERS)
        fields = [
            (f"member_{index}", self.of(members.get(name)), _field(name, needed=name in required))
            for index, name in enumerate(dict.fromkeys([*members, *required]))
        ]
        try:
            return msgspec.defstruct("Object", fields, kw_only=True, forbid_unknown_fields=more is False, gc=False)
        except ValueError:  # a name that msgspec does not take
            return dict[str, Any]

    def _array(self, schema: Schema) -> Any:
        first = schema.get("prefixItems")
        if not first:
            return _limited(_first([list[self.of(schema.get("items"))], list[Any]]), schema, _ITEMS)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        fields = [
            (f"item_{index}", self.of(item), _field(None, needed=index < least)) for index, item in enumerate(first)
        ]
        ends = schema.get("items") is False or most == len(fields)
        return msgspec.defstruct("Array", fields, array_like=True, forbid_unknown_fields=ends, gc=False)


class _Told:
    """A type that msgspec does not know: `check` raises `ValueError` for what is no value of it."""

    check: ClassVar[Callable[[Any], Any]]


_BOUNDS: Final = {
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_MEMBERS: Final = {"minProperties": "min_length", "maxProperties": "max_length"}
_ITEMS: Final = {"minItems": "min_length", "maxItems": "max_length"}
_TEXT: Final = {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"}
_ZONE: Final = {"tz": "tz"}
"""The keyword of `schema.exact_schema_of`."""

_FORMATS: Final[dict[Any, Any]] = {
    "date-time": datetime,
    "time": time,
    "date": date,
    "duration": timedelta,
    "uuid": UUID,
}
"""The formats that are checked, and as what."""


def _string(schema: Schema) -> Any:
    if schema.get("format") == "decimal":
        return _told(_ask_decimal)
    kind = _FORMATS.get(schema.get("format"))
    if kind is not None:
        return _limited(kind, schema, _ZONE)
    if schema.get("contentEncoding") == "base64" and not _TEXT.keys() & schema.keys():
        return bytes
    return _limited(str, schema, _TEXT)


def _ask_decimal(value: Any) -> None:
    """msgspec takes a number for a Decimal, too; what goes out is text."""
    if not isinstance(value, str):
        raise msgspec.ValidationError(f"Expected `decimal` as a string, got `{type(value).__name__}`")
    msgspec.convert(value, Decimal)


def _limited(kind: Any, schema: Schema, bounds: dict[str, str]) -> Any:
    """A type with those bounds of the schema that it can have."""
    said = {word: schema[keyword] for keyword, word in bounds.items() if keyword in schema}
    try:
        return _first([Annotated[kind, msgspec.Meta(**said)], kind]) if said else kind
    except (TypeError, ValueError, re.error):  # a bound of a strange type, a pattern Python does not have
        return kind


def _either(arms: list[Any]) -> Any:
    if Any in arms:
        return Any
    return _first([Union[tuple(arms)], _told(lambda value: _ask_each(arms, value))])  # noqa: UP007


def _ask_each(arms: Iterable[Any], value: Any) -> None:
    reasons: list[str] = []
    for arm in arms:
        try:
            _convert(value, arm)
        except msgspec.ValidationError as error:
            reasons.append(_with_one_path(str(error)).replace(_AT, " at `"))
        else:
            return
    raise ValueError(f"none of the alternatives: {cut('; '.join(reasons), 500)}")


def _among(values: Iterable[Any]) -> Any:
    listed = list(values)

    def check(value: Any) -> None:
        if not any(value == each and type(value) is type(each) for each in listed):
            raise ValueError(f"not one of {cut(repr(listed), 200)}")

    return _first([Literal[tuple(listed)], _told(check)])


def _first(kinds: Iterable[Any]) -> Any:
    """The first type that msgspec takes."""
    for kind in kinds:
        try:
            msgspec.json.Decoder(kind)
        except (TypeError, ValueError, NotImplementedError):
            continue
        return kind
    return Any


def _told(check: Callable[[Any], None]) -> Any:
    return type("Told", (_Told,), {"check": staticmethod(check)})


def _field(name: str | None, *, needed: bool) -> Any:
    return msgspec.field(name=name) if needed else msgspec.field(name=name, default=None)


def _convert(builtins: Any, kind: Any) -> None:
    msgspec.convert(builtins, kind, str_keys=True, dec_hook=_ask)


def _ask(kind: Any, value: Any) -> Any:
    """For `dec_hook`: an instance of `kind`, as msgspec wants one, for a value that it allows."""
    try:
        kind.check(value)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None  # msgspec adds where that was
    return kind()


_AT: Final = " - at `"


def _with_one_path(text: str) -> str:
    """msgspec's message with the paths of a check inside of a check joined, the outermost first."""
    message, *paths = text.split(_AT)
    steps = "".join(path.removesuffix("`").removeprefix("$") for path in reversed(paths))
    return f"{message}{_AT}${steps}`" if steps else message
