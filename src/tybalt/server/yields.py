"""What a tool that streams may yield beside plain values: how far it is, and, where it cannot return, its result."""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar, get_args, get_origin

from msgspec import Struct

T = TypeVar("T")


class Progress(Struct, frozen=True):
    """How far a stream is: `progress` of `total`, where that is known, and a `message` for people."""

    progress: float
    total: float | None = None
    message: str | None = None


class Returned(Struct, Generic[T], frozen=True):
    """The result of an async generator, and its last word."""

    value: T


def result_annotation(annotation: Any, missing: Any) -> Any:
    """What the return annotation of a generator promises as its result; `missing` where it does not say.

    The third argument of `Generator`; what stands in a `Returned` among the yields of an async one; else `None`.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Generator:
        return arguments[2] if len(arguments) > 2 else None
    if origin in (AsyncGenerator, AsyncIterator, AsyncIterable) and arguments:
        found = [get_args(arm)[0] for arm in _arms(arguments[0]) if get_origin(arm) is Returned]
        return found[0] if found else None
    return None if (origin or annotation) in (Iterator, Iterable, Generator) else missing


def _arms(annotation: Any) -> tuple[Any, ...]:
    return (annotation,) if get_origin(annotation) is Returned else get_args(annotation) or (annotation,)
