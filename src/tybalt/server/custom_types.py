"""The types msgspec leaves to its user: paths, pydantic's types, and annotations only pydantic can read.

msgspec asks three questions about a type it does not know, and this module answers them: how it is described
(`describe_custom`), decoded (`decode_strict`, `decode_lax`) and encoded (`encode_custom`). It is no registry; what is
supported stands here. `annotations.py` puts an `Adapted` in place of an annotation that msgspec would refuse.
"""

import sys
from collections import deque
from collections.abc import Awaitable, Coroutine, Iterable, Mapping, MappingView, Set
from enum import Enum
from typing import Any, ClassVar, Protocol, cast

import msgspec

from tybalt.server import pydantic_models
from tybalt.server.json_values import Schema
from tybalt.server.pydantic_models import Direction, Unsupported

NO_JSON = "is no type that JSON can carry"


class _AnyInstance(type):
    """msgspec checks that a decoded custom value is an instance of its type; what stands in for one takes anything."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Reads(Protocol):
    """What an `Adapted` needs to know of its annotation; pydantic's `Adapter` is one."""

    def validate(self, value: Any, *, strict: bool) -> Any:
        """The typed value for decoded JSON; raises `ValueError` or `TypeError`."""
        ...

    def schema(self, direction: Direction) -> Schema:
        """The JSON Schema, which may have `$defs` of its own."""
        ...

    def dump(self, value: Any) -> Any:
        """The value as JSON builtins."""
        ...


class Mismatch(ValueError):
    """A value is not of a custom type; the schema says what would have been right."""


class Adapted(metaclass=_AnyInstance):
    """Stands where an annotation stood that msgspec does not read; each has a subclass of its own."""

    adapter: ClassVar[Reads]


class Choice:
    """A `Literal` with members of an enum among its values."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = [(value.value if isinstance(value, Enum) else value, value) for value in values]

    def validate(self, value: Any, *, strict: bool) -> Any:
        """The member whose value this is; `Mismatch` for none."""
        for plain, member in self._values:
            if plain == value and type(plain) is type(value):
                return member
        raise Mismatch("not one of the values")

    def schema(self, direction: Direction) -> Schema:
        """The values as an `enum`."""
        return enumeration([plain for plain, _ in self._values])

    def dump(self, value: Any) -> Any:
        """The value of a member."""
        return value.value if isinstance(value, Enum) else value


class Alternatives(metaclass=_AnyInstance):
    """Stands for a union that can be described and encoded but not decoded; each has a subclass of its own."""

    arms: ClassVar[tuple[Any, ...]]


def adapted(adapter: Reads) -> type[Adapted]:
    """A new type that decodes and describes itself with `adapter`."""
    return _AnyInstance("Adapted", (Adapted,), {"adapter": adapter})


def alternatives(arms: Iterable[Any]) -> type[Alternatives]:
    """A new type described as any of `arms`; for results only."""
    return _AnyInstance("Alternatives", (Alternatives,), {"arms": tuple(arms)})


def enumeration(values: list[Any]) -> Schema:
    """An `enum`, with its `type` where all members have the same."""
    names: dict[Any, str] = {str: "string", int: "integer", bool: "boolean"}
    types = {names.get(type(value)) for value in values}
    name = types.pop() if len(types) == 1 else None
    return ({"type": name} if name else {}) | {"enum": values}


def is_path(kind: Any) -> bool:
    """Whether a class is one of `pathlib`'s; nobody can have such a class who has not imported pathlib."""
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and isinstance(kind, type) and issubclass(kind, pathlib.PurePath)


def describe_custom(kind: Any, direction: Direction) -> Schema:
    """The JSON Schema of a type msgspec does not know. Raises `Unsupported`."""
    if is_path(kind):
        return {"type": "string", "format": "path"}
    try:
        return _adapter(kind).schema(direction)
    except Unsupported as reason:
        name = getattr(kind, "__qualname__", kind)
        raise Unsupported(f"{name} {NO_JSON}") from reason


def decode_strict(kind: Any, value: Any) -> Any:
    """For `dec_hook`: decoded JSON to a value of `kind`, with no conversion a JSON type does not ask for."""
    if is_path(kind):
        return _path(kind, value)
    return _adapter(kind).validate(value, strict=True)


def decode_lax(kind: Any, value: Any) -> Any:
    """The same for the second attempt: pydantic may convert."""
    if is_path(kind):
        return _path(kind, value)
    return _adapter(kind).validate(value, strict=False)


def encode_custom(value: Any) -> Any:
    """For `enc_hook`: a value msgspec cannot encode as one it can. Raises `TypeError` that names the type.

    Paths become strings; values of pydantic types what their schema says; subclasses of `str`, `int` and `float` their
    plain value; mappings dicts; `deque`, `range`, sets and views of dicts lists.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if is_path(type(value)):
        return str(value)
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    try:
        return pydantic_models.dump(value)
    except Unsupported:
        pass  # What follows runs outside of this block, so that its error has not ours for its context.
    return _encode_collection(value)


def _adapter(kind: Any) -> Reads:
    if isinstance(kind, _AnyInstance):
        return cast("type[Adapted]", kind).adapter
    return pydantic_models.adapter_of(kind)


def _path(kind: Any, value: Any) -> Any:
    if not isinstance(value, str):
        raise Mismatch("not a string")
    return kind(value)


def _encode_collection(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, deque | range | Set | MappingView):
        return list(value)  # pyright: ignore[reportUnknownVariableType, reportArgumentType]
    kind: type[Any] = value.__class__
    if issubclass(kind, Coroutine):
        value.close()  # or Python would warn, much later, that nobody awaited it
    hint = ". Await it first" if issubclass(kind, Awaitable) else ""
    raise TypeError(f"a value of type {kind.__module__}.{kind.__qualname__} has no JSON form{hint}")
