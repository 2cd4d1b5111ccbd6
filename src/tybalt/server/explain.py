"""What is wrong with arguments, in words a model can act on: where, what was expected, what came.

msgspec says that something is wrong and where; what would have been right is read from the schema, so that bounds and
the members of an enum are named. Runs only after a failure. It decodes nothing; `parameters.py` brings the failures.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from tybalt.errors import closest, cut
from tybalt.server import pydantic_models
from tybalt.server.custom_types import Mismatch
from tybalt.server.json_values import Schema, is_array

MAX_PROBLEMS = 20
MAX_VALUE = 80
MAX_TEXT = 200

LARGE = 64 * 1024
"""Bytes of JSON up to which a failure is explained with what came: looking must not cost more than the call."""

UNKNOWN: Any = object()
"""Stands for a value that could not be read or found."""

Step = str | int | None
"""A member, an index, or `None` for some value of an object: msgspec does not say which."""


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong: `path` as in `$.arguments.city`, `text` what to do about it."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def explanation(problems: list[Problem]) -> str:
    """All problems as one text, at most `MAX_PROBLEMS` of them; a single one stands alone."""
    if len(problems) == 1:
        return f"Invalid arguments: {problems[0]}"
    lines = [f"- {problem}" for problem in problems[:MAX_PROBLEMS]]
    if len(problems) > MAX_PROBLEMS:
        lines.append(f"- and {len(problems) - MAX_PROBLEMS} more")
    return f"Invalid arguments ({len(problems)} problems):\n" + "\n".join(lines)


def missing(path: str, name: str, schema: Schema, root: Schema, sent: Iterable[str]) -> Problem:
    """A required argument did not come; `sent` are the names that came and mean nothing."""
    text = f"missing; expected {expectation([schema], root)}"
    close = closest(name, [each for each in islice(sent, MAX_PROBLEMS) if len(each) <= MAX_VALUE])
    return Problem(path, f"{text}. You sent `{close}`; did you mean `{name}`?" if close else text)


def unknown(path: str, names: list[str], known: Sequence[str], noun: str = "argument") -> Iterator[Problem]:
    """Arguments came that no parameter takes, or members that no field does; the first `MAX_PROBLEMS` are named."""
    there_is = f"there is {_listed(known)}" if known else "there are none"
    for name in names[:MAX_PROBLEMS]:
        close = closest(name, known)
        hint = f"did you mean `{close}`?" if close else there_is
        yield Problem(f"{path}{cut(name, MAX_VALUE)}", f"unknown {noun}; {hint}")
    if len(names) > MAX_PROBLEMS:
        yield Problem(path.rstrip("."), f"{len(names) - MAX_PROBLEMS} more unknown {noun}s")


def failures(error: BaseException, path: str, value: Any, schema: Schema, root: Schema) -> Iterator[Problem]:
    """What `error`, raised while reading `value` by `schema`, says is wrong; at least one problem."""
    message, steps = taken_apart(str(error))
    foreign = pydantic_models.problems(error.__cause__)
    if foreign:
        start = _value_at(value, steps)
        for each in foreign[:MAX_PROBLEMS]:
            yield _foreign(each, path + written(steps), start)
        return
    here = schemas_at([schema], steps, root)
    found = _value_at(value, steps)
    place = path + written(steps)
    if isinstance(error, RecursionError):
        yield Problem(path, "nested too deeply")
    elif not isinstance(error, msgspec.ValidationError):
        yield Problem(path, f"cannot be read as JSON: {cut(str(error), MAX_TEXT)}")
    elif not here or not _is_about_type(error, message):
        yield Problem(place, cut(_plain(message), MAX_TEXT))
    else:
        yield Problem(place, f"expected {expectation(here, root)}; got {shown(found, message)}")


def taken_apart(text: str) -> tuple[str, list[Step]]:
    """msgspec's message, and the steps of the path behind it."""
    match = _AT.match(text)
    assert match is not None
    message, key, path = match.groups()
    steps: list[Step] = [
        int(index) if index else None if anything else name for name, index, anything in _STEP.findall(path or "")
    ]
    return (f"A key of this object is wrong: {message}" if key else message), steps


def written(steps: Sequence[Step]) -> str:
    """Steps as they stand in a path: `.city[3]`."""
    return "".join(f".{step}" if isinstance(step, str) else f"[{'…' if step is None else step}]" for step in steps)


def schemas_at(schemas: list[Schema], steps: Sequence[Step], root: Schema) -> list[Schema]:
    """The schemas that hold at the end of a path; several where a union was passed."""
    for step in steps:
        schemas = [found for schema in schemas for arm in arms(schema, root) for found in _step(arm, step)][:16]
    return schemas


def arms(schema: Schema, root: Schema, depth: int = 8) -> Iterator[Schema]:
    """A schema without its refs and unions: everything it may be, as far as `depth` of them go."""
    if depth == 0:
        return
    if "$ref" in schema:
        target = root.get("$defs", {}).get(str(schema["$ref"]).removeprefix("#/$defs/"))
        yield from arms(target, root, depth - 1) if target is not None else ()
    elif is_array(union := schema.get("anyOf", schema.get("oneOf"))):
        for arm in union:
            yield from arms(arm, root, depth - 1)
    else:
        yield schema


def expectation(schemas: list[Schema], root: Schema) -> str:
    """What would have been right, in a few words: `an integer >= 1`, `one of "a", "b"`."""
    said = dict.fromkeys(_arm_words(arm) for schema in schemas for arm in arms(schema, root))
    return cut(" or ".join(said), MAX_TEXT) or "any value"


def shown(value: Any, message: str = "") -> str:
    """A value as JSON, cut to `MAX_VALUE` characters; its type from msgspec's message where it could not be found."""
    if value is not UNKNOWN:
        try:
            return cut(msgspec.json.encode(value).decode(), MAX_VALUE)
        except (TypeError, ValueError, RecursionError):
            return f"a value of type {type(value).__name__}"
    match = re.search(r"got `(\w+)`", message)
    return _TYPES.get(match[1], match[1]) if match else "something else"


_TYPES = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "null": "null",
    "array": "an array",
    "object": "an object",
}
_AT = re.compile(r"\A(.*?)(?: - at (?:(`key`) in )?`\$([^`]*)`)?\Z", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|(\[\.\.\.\])")


def _is_about_type(error: BaseException, message: str) -> bool:
    """Whether the schema says better what is wrong: not for what an author's own code complains about."""
    cause = error.__cause__
    return isinstance(cause, Mismatch) or (cause is None and message.startswith(("Expected", "Invalid")))


def _value_at(value: Any, steps: Iterable[Step]) -> Any:
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return UNKNOWN
    return value


def _step(schema: Schema, step: Step) -> Iterator[Schema]:
    found: Any = None
    if isinstance(step, str):
        found = schema.get("properties", {}).get(step, schema.get("additionalProperties"))
    elif isinstance(step, int):
        first = schema.get("prefixItems", [])
        found = first[step] if step < len(first) else schema.get("items")
    else:
        found = schema.get("additionalProperties")
    if isinstance(found, dict):
        yield found


def _arm_words(schema: Schema) -> str:
    if "enum" in schema or "const" in schema:
        values = schema.get("enum", [schema.get("const")])
        listed = ", ".join(shown(value) for value in values[:20])
        return (
            f"one of {listed}{f' and {len(values) - 20} more' if len(values) > 20 else ''}"
            if len(values) > 1
            else listed
        )
    kind = schema.get("type")
    if kind == "string":
        return _string_words(schema)
    if kind in {"integer", "number"}:
        return f"{'an integer' if kind == 'integer' else 'a number'}{_bounds(schema)}"
    if kind == "array":
        return f"an array{_length(schema, 'Items', 'item')}"
    if kind == "object":
        return f"an object{_length(schema, 'Properties', 'member')}"
    return {"boolean": "true or false", "null": "null"}.get(str(kind), "any value")


_FORMATS = {
    "date-time": "a date and time such as 2026-07-28T12:00:00Z",
    "date": "a date such as 2026-07-28",
    "time": "a time such as 12:00:00Z",
    "duration": "an ISO 8601 duration such as PT1H30M",
    "uuid": "a UUID",
    "decimal": "a decimal number as a string",
    "path": "a path",
    "email": "an email address",
    "uri": "a URI",
}


def _string_words(schema: Schema) -> str:
    words = "a string in base64" if schema.get("contentEncoding") == "base64" else "a string"
    words = _FORMATS.get(str(schema.get("format")), words) + _length(schema, "Length", "character")
    return f"{words} matching the pattern {schema['pattern']}" if "pattern" in schema else words


def _bounds(schema: Schema) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    said = [f"{sign} {schema[name]}" for name, sign in signs.items() if name in schema]
    if "multipleOf" in schema:
        said.append(f"a multiple of {schema['multipleOf']}")
    return f" {' and '.join(said)}" if said else ""


def _length(schema: Schema, suffix: str, unit: str) -> str:
    least, most = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    if least is None and most is None:
        return ""
    if least == most:
        return f" of {least} {unit}{'' if least == 1 else 's'}"
    said = ([f"at least {least}"] if least is not None else []) + ([f"at most {most}"] if most is not None else [])
    return f" of {' and '.join(said)} {unit}s"


def _foreign(problem: pydantic_models.Problem, path: str, start: Any) -> Problem:
    """One of pydantic's failures. Its location also names members of unions, which are no part of the path."""
    value, last = start, len(problem.location) - 1
    for position, step in enumerate(problem.location):
        following = _value_at(value, [step])
        if following is UNKNOWN and not (position == last and problem.kind == "missing"):
            continue
        path, value = path + written([step]), following
    if problem.kind == "missing":
        return Problem(path, "missing")
    text = problem.message.replace("Input should be", "expected")
    return Problem(path, f"{cut(text, MAX_TEXT)}; got {shown(problem.value)}")


def _plain(message: str) -> str:
    return message.replace("Object missing required field", "missing the member").replace(
        "Object contains unknown field", "has the unknown member"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names[:20])
