"""A form that a server asks to have filled in, field by field: what each takes, and what a typed text means to it.

A schema comes from a server and may be anything; what is not understood is a text. 2026-07-28 client/elicitation,
"Requested Schema".
"""

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from tybalt.errors import cut, printable

MAX_FIELDS: Final = 100
"""Fields of one form. Nobody answers more."""
MAX_SHOWN: Final = 200
"""Characters of a title, a description or a choice that are shown."""


class Unfit(ValueError):
    """An answer that the field does not take; the text says what it takes."""


class Choice(Struct, frozen=True):
    """One of the values that a field takes, and what it is called."""

    value: str
    title: str

    def __str__(self) -> str:
        return shown(self.value) if self.title == self.value else f"{shown(self.value)} ({shown(self.title)})"


class Field(Struct, frozen=True):
    """One field. `kind` is its JSON type; `choices` are all it takes, where there are some, `many` of them at once."""

    name: str
    kind: str
    is_required: bool
    schema: Mapping[str, Any]
    choices: tuple[Choice, ...] = ()

    @property
    def many(self) -> bool:
        """Whether it takes a list."""
        return self.kind == "array"

    @property
    def default(self) -> Any:
        """What an empty answer stands for; `None` for nothing."""
        value = self.schema.get("default")
        try:
            return None if value is None else self.check(value)
        except Unfit:
            return None

    def read(self, text: str) -> Any:
        """The value that a typed text means. Raises `Unfit`."""
        text = text.strip() if self.kind != "string" or self.choices else text
        if self.many:
            items = _json_list(text) if text.startswith("[") else [each.strip() for each in text.split(",")]
            return self.check([self._chosen(each) for each in items if each != ""])
        if self.choices:
            return self._chosen(text)
        if self.kind == "boolean":
            return _yes_or_no(text)
        return self.check(_number(text) if self.kind in ("number", "integer") else text)

    def check(self, value: Any) -> Any:
        """`value`, if the field takes it. Raises `Unfit`."""
        if not self._is_taken(value):
            raise Unfit(f"expected {self.takes}")
        match self.kind:
            case "array":
                self._check_bounds(len(value), "minItems", "maxItems", " answers")
            case "string":
                self._check_bounds(len(value), "minLength", "maxLength", " characters")
            case "number" | "integer":
                self._check_bounds(value, "minimum", "maximum", "")
            case _:
                pass
        return value

    def _is_taken(self, value: Any) -> bool:
        match self.kind:
            case "array":
                return isinstance(value, list) and all(map(self._allows, cast("list[Any]", value)))
            case "boolean":
                return isinstance(value, bool)
            case "integer":
                return type(value) is int or (isinstance(value, float) and value.is_integer())
            case "number":
                return isinstance(value, int | float) and not isinstance(value, bool)
            case _:
                return self._allows(value)

    @property
    def takes(self) -> str:
        """What it takes, in words."""
        if self.choices:
            listed = ", ".join(map(str, self.choices[:20])) + (", …" if len(self.choices) > 20 else "")
            return f"any of {listed}, with commas between" if self.many else f"one of {listed}"
        if self.kind == "string":
            form = self.schema.get("format")
            return f"a text ({shown(form)})" if isinstance(form, str) else "a text"
        return _WORDS[self.kind]

    def _allows(self, value: Any) -> bool:
        return isinstance(value, str) and (not self.choices or any(each.value == value for each in self.choices))

    def _chosen(self, text: str) -> str:
        """The value of the choice that was meant: by its value, its title, or its number in the list."""
        meant = text.casefold()
        for each in self.choices:
            if each.value == text:
                return text
        for each in self.choices:
            if meant in (each.value.casefold(), each.title.casefold()):
                return each.value
        if not self.choices:
            return text
        if meant.isascii() and meant.isdigit() and 1 <= int(meant[:9]) <= len(self.choices):
            return self.choices[int(meant[:9]) - 1].value
        raise Unfit(f"expected {self.takes}")

    def _check_bounds(self, size: float, low: str, high: str, unit: str) -> None:
        least, most = self.schema.get(low), self.schema.get(high)
        if isinstance(least, int | float) and size < least:
            raise Unfit(f"expected {least:g}{unit} or more")
        if isinstance(most, int | float) and size > most:
            raise Unfit(f"expected {most:g}{unit} or less")


_WORDS: Final = {
    "boolean": "yes or no",
    "integer": "a whole number",
    "number": "a number",
    "array": "texts, with commas between",
}


def fields_of(schema: Mapping[str, Any]) -> list[Field]:
    """The fields of a form, in its order; more than `MAX_FIELDS` if there are more."""
    properties = _object(schema.get("properties"))
    required = schema.get("required")
    needed = cast("list[Any]", required) if isinstance(required, list) else []
    return [_field(name, _object(each), name in needed) for name, each in list(properties.items())[: MAX_FIELDS + 1]]


def shown(text: Any) -> str:
    """A text of the server on one line, cut, with what is not printable escaped."""
    return printable(cut(str(text), MAX_SHOWN))


def _field(name: str, schema: Mapping[str, Any], is_required: bool) -> Field:
    kind = schema.get("type")
    choices = _choices(_object(schema.get("items")) if kind == "array" else schema)
    known = isinstance(kind, str) and (kind == "string" or kind in _WORDS)
    return Field(name, cast(str, kind) if known else "string", is_required, schema, tuple(choices))


def _choices(schema: Mapping[str, Any]) -> list[Choice]:
    """Those of `enum`, with its `enumNames` where there are some, of `oneOf` or of `anyOf`."""
    for key in ("oneOf", "anyOf"):
        options = [_object(each) for each in _array(schema.get(key))]
        if options and all(isinstance(each.get("const"), str) for each in options):
            return [Choice(each["const"], str(each.get("title") or each["const"])) for each in options]
    values = _array(schema.get("enum"))
    if not values or not all(isinstance(each, str) for each in values):
        return []
    names = _array(schema.get("enumNames"))
    titles = names if len(names) == len(values) else values
    return [Choice(value, str(title)) for value, title in zip(values, titles, strict=True)]


def _json_list(text: str) -> list[str]:
    try:
        return msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, RecursionError):
        raise Unfit("expected a list as JSON, or texts with commas between") from None


def _yes_or_no(text: str) -> bool:
    match text.casefold():
        case "y" | "yes" | "true":
            return True
        case "n" | "no" | "false":
            return False
        case _:
            raise Unfit("expected yes or no")


def _number(text: str) -> Any:
    try:
        return msgspec.json.decode(text, type=int | float)
    except (msgspec.DecodeError, RecursionError):
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _array(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
