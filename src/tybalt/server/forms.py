"""What a user is asked to fill in: a type, as the flat schema that elicitation allows, and what is read from an answer.

A form has fields of primitive types only: text, numbers, yes or no, one of several choices, or some of them
(2026-07-28 client/elicitation, "Requested Schema"). A class with such fields is a form of its own; any other type is a
form of one field, `value`. What the schema cannot say, such as a pattern, is checked when the answer comes.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from tybalt.errors import InvalidParams, InvalidRequest, MisuseError, RegistrationError
from tybalt.protocol.codec import UNREADABLE
from tybalt.server.annotations import shown
from tybalt.server.json_values import Schema
from tybalt.server.parameters import compile_parameters

MAX_FORMS: Final = 256
"""How many types are kept compiled."""

MAX_STEPS: Final = 8
"""How many references and options are followed to what a field is."""

_VALUE: Final = "value"
_KEPT: Final = {
    "string": {"title", "description", "minLength", "maxLength", "format", "default", "enum", "enumNames", "oneOf"},
    "number": {"title", "description", "minimum", "maximum", "default"},
    "integer": {"title", "description", "minimum", "maximum", "default"},
    "boolean": {"title", "description", "default"},
    "array": {"title", "description", "minItems", "maxItems", "items", "default"},
}
"""The keywords that the specification allows a field, by its type."""
_FORMATS: Final = {"email", "uri", "date", "date-time"}


class Form(Struct, frozen=True):
    """A compiled form: the `schema` a client is sent, and `read`, from the content it answers to the value."""

    schema: Schema
    read: Callable[[Mapping[str, Any]], Any]


def form_of(kind: Any) -> Form:
    """The form that asks for a value of this type. Raises `MisuseError` for a type that no form can ask for."""
    try:
        return _kept(kind, str(kind))
    except TypeError:  # an annotation that cannot be hashed
        return _compiled(kind)


def without_news(schema: Schema, revision: str) -> Schema:
    """The schema of a form for a revision before 2025-11-25: only a bool had a default, and titles were `enumNames`.

    Raises `InvalidRequest` for a list of choices, which came later.
    """
    fields: dict[str, Schema] = {}
    for name, field in schema["properties"].items():
        if field["type"] == "array":
            raise InvalidRequest(f"{revision} has no field for several choices, as {name!r}: that came with 2025-11-25")
        news = {"default"} if field["type"] != "boolean" else set[str]()
        fields[name] = _named({key: each for key, each in field.items() if key not in news})
    return {**schema, "properties": fields}


def _named(field: Schema) -> Schema:
    """The same, with the titles of choices as 2025-06-18 has them."""
    choices = field.get("oneOf")
    if choices is None:
        return field
    rest = {key: each for key, each in field.items() if key != "oneOf"}
    return {**rest, "enum": [each["const"] for each in choices], "enumNames": [each["title"] for each in choices]}


def _compiled(kind: Any, _: str = "") -> Form:
    """The form; the text tells apart what typing takes for equal, such as the same choices in another order."""

    def form(value: Any) -> None:
        """The form as a signature: what tools know about arguments is true of forms."""

    form.__annotations__ = {_VALUE: kind}
    try:
        parameters = compile_parameters(form, where="elicit")
    except RegistrationError as error:
        raise MisuseError(f"elicit(…, {shown(kind)}): {error}") from None
    root = parameters.schema
    whole = _resolved(root["properties"][_VALUE], root)
    is_model = whole.get("type") == "object" and "properties" in whole
    fields: Mapping[str, Schema] = whole["properties"] if is_model else root["properties"]
    schema: Schema = {
        "type": "object",
        "properties": {name: _field(name, each, root, kind) for name, each in fields.items()},
    }
    required: list[str] = list(whole.get("required", ())) if is_model else [_VALUE]
    empty = {name: None for name in required if _takes_null(fields[name], root)}
    if len(empty) < len(required):
        schema["required"] = [name for name in required if name not in empty]

    def read(content: Mapping[str, Any]) -> Any:
        given = {**empty, **content}
        raw = msgspec.json.encode({_VALUE: given} if is_model else given)
        try:
            try:
                return parameters.decode(raw).value
            except UNREADABLE:
                return parameters.decode_lax(raw).value
        except UNREADABLE:
            problems = _placed(parameters.explain(raw, strict=False), is_model=is_model)
            raise InvalidParams(f"the client's answer does not fit what it was asked{problems}") from None

    return Form(schema, read)


_kept = lru_cache(MAX_FORMS)(_compiled)


def _placed(problems: str, *, is_model: bool) -> str:
    """The same, with paths as the client knows them."""
    place = f"$.arguments.{_VALUE}" if is_model else "$.arguments"
    return problems.removeprefix("Invalid arguments").replace(place, "$.content")


def _takes_null(schema: Schema, root: Schema) -> bool:
    """Whether a field may be left empty; an answer cannot say null, so that nothing is said of it then."""
    reference = schema.get("$ref")
    if reference is not None:
        schema = {**root.get("$defs", {}).get(reference.rpartition("/")[2], {})}
    arms = schema.get("anyOf", ())
    return any(each.get("type") == "null" for each in arms) or None in schema.get("enum", ())


def _resolved(schema: Schema, root: Schema) -> Schema:
    """A schema without a reference, and without the null that stands beside an optional one."""
    for _ in range(MAX_STEPS):
        reference = schema.get("$ref")
        if reference is not None:
            rest = {key: each for key, each in schema.items() if key != "$ref"}
            schema = {**root.get("$defs", {}).get(reference.rpartition("/")[2], {}), **rest}
            continue
        arms = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
        if len(arms) != 1:
            break
        schema = {**arms[0], **{key: each for key, each in schema.items() if key != "anyOf"}}
    return schema


def _field(name: str, schema: Schema, root: Schema, kind: Any) -> Schema:
    field = _resolved(schema, root)
    choices = field.get("enum")
    if choices is not None:
        choices = [each for each in choices if each is not None]
        if all(isinstance(each, str) for each in choices):
            field = {**field, "type": "string", "enum": choices}
    elif isinstance(field.get("const"), str):
        field = {**field, "type": "string", "enum": [field["const"]]}
    if field.get("type") == "array":
        items = _resolved(cast("Schema", field.get("items", {})), root)
        titled = _titled(items)
        if not titled and not _is_choice(items):
            raise _impossible(name, kind)
        field = {**field, "items": {"anyOf": titled} if titled else {"type": "string", "enum": items["enum"]}}
    elif titled := _titled(field):
        field = {key: each for key, each in field.items() if key != "enum"} | {"type": "string", "oneOf": titled}
    else:
        field = {key: each for key, each in field.items() if key != "oneOf"}
    allowed = _KEPT.get(str(field.get("type")))
    if allowed is None or (field["type"] != "string" and choices is not None):
        raise _impossible(name, kind)
    if field["type"] == "integer":
        field = _inclusive(field)
    kept = {key: each for key, each in field.items() if key == "type" or key in allowed}
    if kept.get("format") not in _FORMATS:
        kept.pop("format", None)
    if kept.get("default", "") is None:
        del kept["default"]
    return kept


def _inclusive(field: Schema) -> Schema:
    """The bounds of a whole number as a form can say them."""
    low, high = field.get("exclusiveMinimum"), field.get("exclusiveMaximum")
    more = {} if low is None else {"minimum": low + 1}
    return {**field, **more, **({} if high is None else {"maximum": high - 1})}


def _titled(schema: Schema) -> list[Schema]:
    """The choices of a field whose author has given them titles, in either of the words that a form has for it."""
    choices = schema.get("oneOf") or schema.get("anyOf") or ()
    if not all(isinstance(each.get("const"), str) and "title" in each for each in choices):
        return []
    return [{"const": each["const"], "title": each["title"]} for each in choices]


def _is_choice(schema: Schema) -> bool:
    return bool(schema.get("enum")) and all(isinstance(each, str) for each in schema["enum"])


def _impossible(name: str, kind: Any) -> MisuseError:
    place = f"the field {name!r} of {shown(kind)}" if name != _VALUE else shown(kind)
    return MisuseError(
        f"elicit: a form cannot ask for {place}. A form is flat: text, numbers, bool, a Literal or Enum of strings, a "
        "list of such choices, dates and the like, or one class with fields of these"
    )
