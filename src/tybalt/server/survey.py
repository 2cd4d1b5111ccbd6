"""What stands in the fields of the classes an annotation names, where nothing can be rewritten.

A constraint inside a class is checked by whoever decodes the class: msgspec reads its own `Meta`, pydantic its `Field`
and annotated-types, and neither says a word about the other's. `annotations.py` asks here before it chooses.
"""

import typing
from collections import abc
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from tybalt.server import pydantic_models
from tybalt.server.metadata import reader_of, shown_item

CONTAINERS: tuple[Any, ...] = (
    *(list, dict, set, frozenset, tuple),
    *(abc.Sequence, abc.MutableSequence, abc.Collection, abc.Set, abc.MutableSet, abc.Mapping, abc.MutableMapping),
)
"""The generic types msgspec knows."""


class Finding(msgspec.Struct, frozen=True):
    """A constraint on a field that only `reader` checks; `text` names both."""

    reader: Literal["msgspec", "pydantic"]
    text: str


def survey(annotation: Any) -> Iterator[Finding]:
    """Every constraint in the fields of the classes that `annotation` names, directly or through other classes."""
    yield from _within(annotation, set())


def is_foreign_generic(annotation: Any) -> bool:
    """Whether an annotation is a generic class msgspec does not know, of which it would see the arguments too late."""
    origin: Any = get_origin(annotation)
    is_class = isinstance(origin, type) and not any(hasattr(origin, mark) for mark in _MARKS)
    return is_class and bool(get_args(annotation)) and origin not in (*CONTAINERS, Annotated, UnionType)


def is_union(annotation: Any) -> bool:
    """Whether an annotation is `X | Y`, `Union[X, Y]` or `Optional[X]`."""
    return get_origin(annotation) in (Union, UnionType)


def fields_of(kind: Any) -> dict[str, Any]:
    """The annotations of a dataclass, TypedDict, NamedTuple, Struct or attrs class; empty for anything else.

    Empty too where they do not resolve: then msgspec refuses the class, and says so better.
    """
    if not isinstance(kind, type) or not any(hasattr(kind, mark) for mark in _MARKS):
        return {}
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except (NameError, TypeError):
        return {}


_MARKS = ("__dataclass_fields__", "__struct_fields__", "__attrs_attrs__", "__total__", "_fields")


def _within(annotation: Any, seen: set[int]) -> Iterator[Finding]:
    """Walks an annotation outside a class; metadata there can be rewritten and is not reported."""
    if get_origin(annotation) is Annotated:
        yield from _within(annotation.__origin__, seen)
        return
    named = getattr(annotation, "__supertype__", None) or getattr(annotation, "__value__", None)
    if named is not None and id(annotation) not in seen:
        seen.add(id(annotation))
        yield from _within(named, seen)
    for argument in get_args(annotation):
        yield from _within(argument, seen)
    kind = get_origin(annotation) or annotation
    if id(kind) not in seen and not pydantic_models.is_model(kind):
        seen.add(id(kind))
        yield from _fields(kind, seen)


def _fields(kind: Any, seen: set[int]) -> Iterator[Finding]:
    for name, annotation in fields_of(kind).items():
        place = f"{kind.__qualname__}.{name}"
        for item in _metadata(annotation):
            if (reader := reader_of(item)) in {"msgspec", "pydantic"}:
                yield Finding(reader, f"{shown_item(item)} on {place}")  # pyright: ignore[reportArgumentType]
        if _only_pydantic_reads(annotation):
            yield Finding("pydantic", f"the type of {place}")
        yield from _within(annotation, seen)
    for name, default in _defaults(kind):
        if pydantic_models.is_field(default):
            yield Finding("pydantic", f"{shown_item(default)} on {kind.__qualname__}.{name}")


def _metadata(annotation: Any) -> Iterator[Any]:
    """All metadata in an annotation, at any depth outside a class."""
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    for argument in get_args(annotation):
        if argument is not annotation:
            yield from _metadata(argument)


def _only_pydantic_reads(annotation: Any) -> bool:
    arguments = get_args(annotation)
    if is_foreign_generic(annotation):
        return True
    if arguments:
        return any(_only_pydantic_reads(argument) for argument in arguments)
    return pydantic_models.knows(annotation) and not pydantic_models.is_model(annotation)


def _defaults(kind: Any) -> Iterator[tuple[str, Any]]:
    for name, field in getattr(kind, "__dataclass_fields__", {}).items():
        yield name, field.default
    names, defaults = getattr(kind, "__struct_fields__", ()), getattr(kind, "__struct_defaults__", ())
    yield from zip(names[len(names) - len(defaults) :], defaults, strict=True)
    yield from getattr(kind, "_field_defaults", {}).items()
