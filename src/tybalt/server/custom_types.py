"""The types msgspec leaves to its user: paths, pydantic's types, and annotations only pydantic can read.

msgspec asks three questions about a type it does not know, and this module answers them: how it is described
(`describe_custom`), decoded (`decode_strict`, `decode_lax`) and encoded (`encode_custom`). It is no registry; what is
supported stands here. `annotations.py` puts an `Adapted` in place of an annotation that msgspec would refuse.
"""

import sys
from collections import deque
from collections.abc import Iterable, Mapping, MappingView, Set
from typing import Any, ClassVar

import msgspec

from tybalt.server import pydantic_models
from tybalt.server.pydantic_models import Adapter, Direction, Unsupported


class _AnyInstance(type):
    """msgspec checks that a decoded custom value is an instance of its type; what stands in for one takes anything."""

    def __instancecheck__(cls, instance: object) -> bool:
        return True


class Adapted(metaclass=_AnyInstance):
    """Stands where an annotation stood that pydantic reads instead of msgspec; each has a subclass of its own."""

    adapter: ClassVar[Adapter]


class Alternatives(metaclass=_AnyInstance):
    """Stands for a union that can be described and encoded but not decoded; each has a subclass of its own."""

    arms: ClassVar[tuple[Any, ...]]


def adapted(adapter: Adapter) -> type[Adapted]:
    """A new type that decodes and describes itself with `adapter`."""
    return _AnyInstance("Adapted", (Adapted,), {"adapter": adapter})


def alternatives(arms: Iterable[Any]) -> type[Alternatives]:
    """A new type described as any of `arms`; for results only."""
    return _AnyInstance("Alternatives", (Alternatives,), {"arms": tuple(arms)})


def is_path(kind: Any) -> bool:
    """Whether a class is one of `pathlib`'s; nobody can have such a class who has not imported pathlib."""
    pathlib = sys.modules.get("pathlib")
    return pathlib is not None and isinstance(kind, type) and issubclass(kind, pathlib.PurePath)


def describe_custom(kind: Any, direction: Direction) -> dict[str, Any]:
    """The JSON Schema of a type msgspec does not know. Raises `Unsupported`."""
    if is_path(kind):
        return {"type": "string", "format": "path"}
    try:
        return _adapter(kind).schema(direction)
    except Unsupported as reason:
        name = getattr(kind, "__qualname__", kind)
        raise Unsupported(f"{name} is no type that JSON can carry ({reason})") from reason


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
        return _encode_collection(value)


def _adapter(kind: Any) -> Adapter:
    adapter = getattr(kind, "adapter", None)
    return adapter if isinstance(adapter, Adapter) else pydantic_models.adapter_of(kind)


def _path(kind: Any, value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return kind(value)


def _encode_collection(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    if isinstance(value, deque | range | Set | MappingView):
        return list(value)  # pyright: ignore[reportUnknownVariableType, reportArgumentType]
    raise TypeError(f"a value of type {type(value).__module__}.{type(value).__qualname__} has no JSON form")
