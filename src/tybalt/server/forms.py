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

from tybalt.errors import InvalidParams, MisuseError, RegistrationError
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
    "string": {"title", "description", "minLength", "maxLength", "format", "default", "enum", "oneOf"},
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
        return _kept(kind)
    except TypeError:  # an annotation that cannot be hashed
        return _compiled(kind)


def _compiled(kind: Any) -> Form:
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
    fields: Mapping[str, Schema] = whole["properties"] if is_model else {_VALUE: whole}
    schema: Schema = {
        "type": "object",
        "properties": {name: _field(name, each, root, kind) for name, each in fields.items()},
    }
    required = list(whole.get("required", ())) if is_model else [_VALUE]
    if required:
        schema["required"] = required

    def read(content: Mapping[str, Any]) -> Any:
        raw = msgspec.json.encode({_VALUE: content} if is_model else content)
        try:
            try:
                return parameters.decode(raw).value
            except UNREADABLE:
                return parameters.decode_lax(raw).value
        except UNREADABLE:
            problems = parameters.explain(raw, strict=False)
            raise InvalidParams(f"the client's answer does not fit what it was asked: {problems}") from None

    return Form(schema, read)


_kept = lru_cache(MAX_FORMS)(_compiled)


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
        if not _is_choice(items):
            raise _impossible(name, kind)
        field = {**field, "items": {"type": "string", "enum": items["enum"]}}
    allowed = _KEPT.get(str(field.get("type")))
    if allowed is None or (field["type"] != "string" and choices is not None):
        raise _impossible(name, kind)
    kept = {key: each for key, each in field.items() if key == "type" or key in allowed}
    if kept.get("format") not in _FORMATS:
        kept.pop("format", None)
    if kept.get("default", "") is None:
        del kept["default"]
    return kept


def _is_choice(schema: Schema) -> bool:
    return bool(schema.get("enum")) and all(isinstance(each, str) for each in schema["enum"])


def _impossible(name: str, kind: Any) -> MisuseError:
    place = f"the field {name!r} of {shown(kind)}" if name != _VALUE else shown(kind)
    return MisuseError(
        f"elicit: a form cannot ask for {place}. A form is flat: text, numbers, bool, a Literal or Enum of strings, a "
        "list of such choices, dates and the like, or one class with fields of these"
    )
