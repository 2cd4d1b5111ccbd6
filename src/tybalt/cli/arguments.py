"""The arguments of a tool or a prompt, from words such as `a=5`, or from one word that is a JSON object.

A word is text; whether it means the number 5 or the text "5" is for the tool's input schema to say. Whether a value is
valid is the server's business alone: here only names are judged, those that are not there and those that are needed,
and numbers that JSON cannot say.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tybalt.cli.signatures import prompt_signature, required_of, tool_signature
from tybalt.cli.usage import UsageError, instead, listed
from tybalt.errors import cut
from tybalt.server.explain import arms
from tybalt.server.json_values import Schema, is_array, is_object

if TYPE_CHECKING:
    from tybalt.types.prompts import Prompt
    from tybalt.types.tools import Tool

MAX_SIGNATURE: Final = 300
"""Characters that are told of the arguments of a tool or a prompt."""

_HOW = """write NAME=VALUE, such as a=5, or all as one JSON object, such as '{"a": 5}'"""


class Given(msgspec.Struct, frozen=True):
    """What was given, before the tool is known: texts by name, or the values of one JSON object."""

    texts: dict[str, str] = {}
    values: dict[str, Any] = {}

    def for_tool(self, tool: "Tool") -> dict[str, Any]:
        """The arguments to call `tool` with.

        Raises `UsageError` for a name that it does not have, for one that it needs and that is missing, and for a
        number without end.
        """
        schema = tool.input_schema
        properties = _members(schema.get("properties"))
        for name in (*self.texts, *self.values):
            if name not in properties and not _takes_others(schema):
                raise UsageError(_unknown(name, f"tool {tool.name!r}", list(properties)))
        self._check_there(required_of(tool), f"tool {tool.name!r}", tool_signature(tool))
        read = {name: _value(name, text, properties.get(name), schema) for name, text in self.texts.items()}
        return read | self.values

    def for_prompt(self, prompt: "Prompt") -> dict[str, Any]:
        """The arguments to get `prompt` with, which are texts.

        Raises `UsageError` for a name that it does not have, and for one that it needs and that is missing.
        """
        arguments = prompt.arguments or ()
        names = [argument.name for argument in arguments]
        for name in (*self.texts, *self.values):
            if name not in names:
                raise UsageError(_unknown(name, f"prompt {prompt.name!r}", names))
        needed = [argument.name for argument in arguments if argument.required]
        self._check_there(needed, f"prompt {prompt.name!r}", prompt_signature(prompt))
        return {**self.texts, **self.values}

    def _check_there(self, needed: Sequence[str], what: str, signature: str) -> None:
        missing = [name for name in needed if name not in self.texts and name not in self.values]
        if missing:
            raise UsageError(f"{what} needs {listed(missing)}; it takes: {cut(signature, MAX_SIGNATURE)}")


def read_words(words: Sequence[str]) -> Given:
    """What `words` give. Raises `UsageError` for what is neither `NAME=VALUE` nor one JSON object, and for repeats."""
    texts: dict[str, str] = {}
    for word in words:
        _refuse_bytes(word)
        if word.lstrip().startswith("{"):
            return Given(values=_json_object(word, alone=len(words) == 1))
        name, separator, text = word.partition("=")
        if not separator or not name:
            raise UsageError(f"{cut(word)!r} is no argument; {_HOW}")
        if name in texts:
            raise UsageError(f"argument {name!r} is given twice; give it once (a list is JSON: {name}=[1,2])")
        texts[name] = text
    return Given(texts=texts)


def _refuse_bytes(word: str) -> None:
    try:
        word.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the argument {cut(word)!r} is not UTF-8; JSON can say nothing else") from None


def _json_object(word: str, *, alone: bool) -> dict[str, Any]:
    if not alone:
        raise UsageError(f"{cut(word)!r} is given among other arguments; {_HOW}")
    try:
        return msgspec.json.decode(word, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise UsageError(f"{cut(word)!r} is no JSON object ({error}); {_HOW}") from None


def _unknown(name: str, what: str, names: Sequence[str]) -> str:
    if not names:
        return f"{what} takes no arguments; got {name!r}"
    return f"{what} has no argument {name!r}; {instead(name, names)}"


def _takes_others(schema: Schema) -> bool:
    """Whether the schema lets arguments in that it does not name under `properties`, or names elsewhere."""
    elsewhere = ("patternProperties", "allOf", "anyOf", "oneOf", "$ref")
    return schema.get("additionalProperties", False) is not False or any(key in schema for key in elsewhere)


def _value(name: str, text: str, schema: Any, root: Schema) -> Any:
    """What `text` says to a parameter: JSON where it is JSON that the parameter takes, else the text itself.

    One that takes strings alone gets the text as it is, quotes included; `null` is null where it takes that too. JSON
    that a parameter does not take stays JSON where it takes no strings either: the server explains best what is wrong.
    Raises `UsageError` for `nan`, `inf` and what is too large, where a number is taken and no text.
    """
    taken = list(arms(schema, root)) if is_object(schema) else []
    kinds = {kind for arm in taken for kind in _kinds(arm)} or {_ANY}
    if kinds <= {"string", "null"}:
        return None if text == "null" and "null" in kinds else text
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        if kinds & {"number", "integer"} and not kinds & {"string", _ANY}:
            _refuse_endless(name, text)
        return text
    return text if "string" in kinds and not any(_takes(arm, value) for arm in taken) else value


_ANY = "any"


def _refuse_endless(name: str, text: str) -> None:
    try:
        is_finite = math.isfinite(float(text))
    except ValueError:
        return
    if not is_finite:
        raise UsageError(f"{cut(name)}={cut(text)}: JSON has no NaN and no Infinity, nor numbers beyond 1.8e308")


def _kinds(arm: Schema) -> Iterable[str]:
    """The types of JSON that one alternative of a schema takes; `any` where it names none."""
    listed = _listed(arm)
    if listed is not None:
        return [_kind(value) for value in listed]
    named = arm.get("type", _ANY)
    return named if is_array(named) else [str(named)]


def _takes(arm: Schema, value: Any) -> bool:
    listed = _listed(arm)
    if listed is not None:
        return any(type(each) is type(value) and each == value for each in listed)  # True is not 1
    kinds = set(_kinds(arm))
    return _ANY in kinds or _kind(value) in kinds or (isinstance(value, int) and "number" in kinds)


def _listed(arm: Schema) -> Sequence[Any] | None:
    """The values that an alternative allows, where it lists them."""
    listed = [arm["const"]] if "const" in arm else arm.get("enum")
    return listed if is_array(listed) else None


def _kind(value: Any) -> str:
    return _KINDS.get(value.__class__, _ANY)


_KINDS: dict[type, str] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
    list: "array",
    dict: "object",
}


def _members(value: Any) -> Schema:
    return value if is_object(value) else {}
