"""Looking at decoded JSON of unknown shape: what a value is, and which floats JSON could not say.

Type guards, so that the walkers over schemas and results stay typed. Below everything else in this folder.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias, TypeGuard

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema that is an object."""


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether a value is a JSON array; a tuple becomes one."""
    return isinstance(value, list | tuple)


def non_finite(value: Any) -> Iterator[bool]:
    """For each float in a structure of builtins, whether it is NaN or infinite."""
    if isinstance(value, float):
        yield value - value != 0
    elif is_object(value):
        for each in value.values():
            yield from non_finite(each)
    elif is_array(value):
        for each in value:
            yield from non_finite(each)
