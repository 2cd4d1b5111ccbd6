"""Whether what a tool returned is what its annotation promises: a tool with an output schema MUST keep to it.

The check runs on the JSON form and never runs an author's code, so that it has no side effects: of a class it asks only
that it became an object (or, for an enum, one of its values), of a type it does not know nothing at all.

2026-07-28 server/tools, "Output Schema": "Servers MUST provide structured results that conform to this schema".
"""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec

from tybalt.server import pydantic_models
from tybalt.server.survey import fields_of, is_union


def conformity(adopted: Any) -> Callable[[Any], Any] | None:
    """A function that raises `msgspec.ValidationError` for builtins an adopted return annotation does not allow.

    None where nothing can be told beforehand.
    """
    try:
        loose = _loosened(adopted)
        msgspec.convert(None, Union[loose, None])  # noqa: UP007 - refuses here what it would refuse at every call
    except (TypeError, ValueError):
        return None
    if loose is Any:
        return None

    def check(builtins: Any) -> None:
        msgspec.convert(builtins, loose, str_keys=True)

    return check


_JSON_TYPES = (int, float, bool, str, NoneType, None, list, dict, tuple, set, frozenset, bytes, bytearray)
_SCALARS = (datetime, date, time, timedelta, UUID, Decimal)


def _loosened(annotation: Any) -> Any:
    """The annotation with `Any` or `dict` in place of what only its author's code could check."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = _loosened(annotation.__origin__)
        return inner if inner is Any else Annotated[inner, *annotation.__metadata__]
    if is_union(annotation):
        arms = [_loosened(each) for each in arguments]
        return Any if Any in arms else _union(arms)
    if origin is Literal or annotation in _JSON_TYPES or annotation in _SCALARS:
        return annotation
    if origin is not None and fields_of(origin) == {} and arguments:
        return origin[tuple(each if each is ... else _loosened(each) for each in arguments)]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return annotation
    return dict[str, Any] if _is_object(origin or annotation) else Any


def _union(arms: list[Any]) -> Any:
    """A union of what is left, which may hold an object twice."""
    try:
        union = Union[tuple(arms)]  # noqa: UP007
        msgspec.json.Decoder(union)
    except TypeError:
        return Any
    return union


def _is_object(kind: Any) -> bool:
    """Whether values of a class are JSON objects: not a NamedTuple, nor a Struct or model that is something else."""
    if pydantic_models.is_model(kind):
        return not getattr(kind, "__pydantic_root_model__", False)
    if not fields_of(kind) or issubclass(kind, tuple):
        return False
    config = getattr(kind, "__struct_config__", None)
    return config is None or not config.array_like
