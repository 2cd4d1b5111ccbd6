"""What the options of a declaration may be: each value is judged where it is declared, and told with its remedy.

`options.py` names the options; here is one row for each. Loaded with the first declaration. Above it is `declaration`.
"""

import re
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, TypeGuard, TypeVar

import msgspec

from tybalt.errors import MisuseError, RegistrationError, closest, cut
from tybalt.execution.durations import seconds
from tybalt.server.json_values import non_finite
from tybalt.types.adaptation import encode_for
from tybalt.types.annotations import Annotations
from tybalt.types.base import Wire
from tybalt.types.implementation import Icon
from tybalt.types.revisions import LEGACY
from tybalt.types.tools import ToolAnnotations

W = TypeVar("W", bound=Wire)

MAX_SHOWN: Final = 80
"""Characters of a wrong value that an error text repeats."""

MAX_NUMBER: Final = 2**53 - 1
"""The largest whole number every reader of JSON keeps exactly (RFC 8259 section 6)."""


def checked_options(options: Mapping[str, Any], *, kind: str, names: frozenset[str], where: str) -> dict[str, Any]:
    """The options of a declaration of `kind`, which has those in `names`, each in the form it is kept in.

    `None` is as good as left out, but for `output_schema`. What is iterated over once is a list or a set afterwards,
    mappings are copies. Raises `RegistrationError` for a name that does not exist and for a value that cannot be.
    """
    for name in options:
        if name not in names:
            raise RegistrationError(f"{where}: there is no option {name!r}; {_hint(name, names)}")
    return {
        name: _read(name, value, kind, where)
        for name, value in options.items()
        if value is not None or name == "output_schema"
    }


def advertisable(definition: W, where: str) -> W:
    """`definition`, once it is sure that a client of either era can be sent it, and reads the same.

    The last net: one declaration that cannot be written would take the whole list with it. Raises `RegistrationError`.
    """
    try:
        msgspec.json.decode(msgspec.json.encode(definition), type=type(definition))
        encode_for(definition, LEGACY[-1])  # older ones drop more, and write nothing else
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise RegistrationError(
            f"{where}: what a client is told of it cannot be sent: {_reason(error)}. "
            "Only what JSON can say may stand in its options, its docstring and its schemas"
        ) from None
    return definition


class _Row(msgspec.Struct, frozen=True):
    """One option: what is expected of it, what to do instead, and how it is read. `read` raises for a wrong value."""

    expected: str
    remedy: str
    read: Callable[[Any], Any]


def _hint(name: str, names: frozenset[str]) -> str:
    close = closest(name, names)
    return f"did you mean {close!r}?" if close else f"it has {', '.join(sorted(names))}"


def _read(name: str, value: Any, kind: str, where: str) -> Any:
    row = _ANNOTATIONS.get(kind, _ROWS["annotations"]) if name == "annotations" else _ROWS[name]
    try:
        return row.read(value)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        reason = f" ({_reason(error)})" if str(error) else ""
        got = cut(repr(value), MAX_SHOWN)
        raise RegistrationError(f"{where}: {name}: expected {row.expected}, got {got}{reason}; {row.remedy}") from None


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "half of a surrogate pair is no Unicode text"
    return (str(error).strip() or type(error).__name__).splitlines()[0]


# How each is read. An error without a text says nothing that the row does not say.


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()
    return str.__str__(value)  # a member of a StrEnum is one too


def _name(value: Any) -> str:
    if not (name := _text(value)):
        raise ValueError
    return name


def _names(value: Any) -> frozenset[str]:
    if isinstance(value, str | bytes):
        raise TypeError
    return frozenset(_name(each) for each in value)


def _icons(value: Any) -> list[Icon]:
    return [_wire(each, Icon) for each in value]


def _meta(value: Any) -> dict[str, Any]:
    if not _is_mapping(value):
        raise TypeError
    plain: dict[str, Any] = msgspec.to_builtins({_name(key): each for key, each in value.items()})
    if any(non_finite(plain)):
        raise ValueError("JSON has no word for NaN and infinity")
    return msgspec.json.decode(msgspec.json.encode(plain))


def _hints(kind: type[W]) -> Callable[[Any], W]:
    """Reads annotations from a Struct, or from a mapping with the specification's camelCase or Python's names."""
    python_names = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))

    def read(value: Any) -> W:
        if _is_mapping(value):
            value = kind(**{python_names.get(name, str(name)): each for name, each in value.items()})
        hints = _wire(value, kind)
        priority = getattr(hints, "priority", None)
        if priority is not None and not 0 <= priority <= 1:
            raise ValueError("priority is from 0 to 1")
        return hints

    return read


def _wire(value: Any, kind: type[W]) -> W:
    """A wire Struct whose members are of the types they should be: its constructor takes anything."""
    if not isinstance(value, kind):
        raise TypeError
    msgspec.json.decode(msgspec.json.encode(value), type=kind)
    return value


def _is_mapping(value: Any) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(value, Mapping)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError
    return value


def _timeout(value: Any) -> float:
    try:
        return seconds(value)
    except MisuseError:
        raise ValueError from None


def _place(value: Any) -> str:
    if value not in ("loop", "thread", "auto"):
        raise ValueError
    return value


def _seconds(value: Any) -> float:
    if not 0 <= _number(value) * 1000 <= MAX_NUMBER:
        raise ValueError
    return value


def _bytes(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= _number(value) <= MAX_NUMBER:
        raise TypeError
    return value


_TOKEN: Final = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_MEDIA_TYPE: Final = re.compile(rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ -~\t]*)?")
"""Two tokens, and parameters that nobody looks at (RFC 9110 section 8.3.1)."""


def _media_type(value: Any) -> str:
    if _MEDIA_TYPE.fullmatch(_text(value)) is None:
        raise ValueError
    return value


def _scope(value: Any) -> str:
    if value not in ("public", "private"):
        raise ValueError
    return value


def _schema(value: Any) -> Any:
    if not (isinstance(value, dict) or value is None or value is msgspec.UNSET):
        raise TypeError
    return value  # pyright: ignore[reportUnknownVariableType]


def _object_schema(value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError
    if value.get("type") != "object":  # pyright: ignore[reportUnknownMemberType]
        raise ValueError
    msgspec.json.encode(value)
    return value  # pyright: ignore[reportUnknownVariableType]


def _names_of(kind: type[Wire]) -> str:
    return ", ".join(kind.__struct_fields__)


def _annotations(kind: type[Wire]) -> _Row:
    return _Row(f"{kind.__name__}, or a mapping", f"it may hold {_names_of(kind)}", _hints(kind))


_ANNOTATIONS: Final = {"tool": _annotations(ToolAnnotations)}

_ROWS: Final = {
    "name": _Row("a string of at least one character", "leave it out for the name of the function", _name),
    "title": _Row("a string", "leave it out where there is none", _text),
    "description": _Row("a string", "leave it out for the docstring", _text),
    "tags": _Row("strings", "write them as in tags={'maths'}", _names),
    "version": _Row("a string", "write it as in version='1.0'", _text),
    "icons": _Row("Icon objects", "write them as in icons=[Icon(src='https://example.org/plus.png')]", _icons),
    "meta": _Row("a mapping of strings to what JSON can say", "give it dicts, lists, strings, numbers, bools", _meta),
    "timeout": _Row("a duration above 0", "write seconds, '30s' or a timedelta; leave it out for no limit", _timeout),
    "run_in": _Row("'loop', 'thread' or 'auto'", "leave it out for what the server says", _place),
    "annotations": _annotations(Annotations),
    "input_schema": _Row(
        "a JSON Schema of an object, as a dict",
        'write it as in input_schema={"type": "object", …}, or leave it out for that of the parameters',
        _object_schema,
    ),
    "output_schema": _Row("a JSON Schema as a dict", "pass None for no structured content", _schema),
    "strict": _Row("True or False", "leave it out for what the server says", _flag),
    "mime_type": _Row("a media type such as 'text/plain'", "leave it out for that of what is returned", _media_type),
    "size": _Row("a whole number of bytes, 0 or more", "leave it out where it is not known", _bytes),
    "ttl": _Row("a number of seconds, 0 or more", "leave it out where nothing may be kept", _seconds),
    "scope": _Row("'public' or 'private'", "leave it out for 'private'", _scope),
    "unchecked": _Row("names of variables as strings", "write them as in unchecked={'branch'}", _names),
    "uri": _Row("a URI", "write one as in 'data://name'", _name),
}
