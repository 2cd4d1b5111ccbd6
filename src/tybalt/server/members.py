"""What is wrong inside of an object or array: each member is read by itself, so that one failure hides no other.

msgspec stops at the first. This goes on where the type says what each member is: classes with fields, dicts, lists. It
runs only after a failure; below it is `explain.py`, which has the words, above it `parameters.py`.
"""

from collections import abc
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from types import NoneType
from typing import Annotated, Any, Final, NotRequired, Required, get_args, get_origin

import msgspec

from tybalt.errors import cut
from tybalt.protocol.codec import UNREADABLE
from tybalt.server import explain
from tybalt.server.custom_types import decode_lax, decode_strict
from tybalt.server.explain import LARGE, MAX_PROBLEMS, MAX_VALUE, Problem
from tybalt.server.json_values import Schema
from tybalt.server.moments import decode_moments
from tybalt.server.survey import CONTAINERS, fields_of, is_union

MAX_DEPTH: Final = 8
"""How deep members of members are looked at; what is deeper has its first failure told."""


class Place(msgspec.Struct, frozen=True):
    """Where a value stands: its path, its schema, the `root` that holds the definitions, and how it is read."""

    path: str
    schema: Schema
    root: Schema
    lax: bool
    depth: int = MAX_DEPTH

    def member(self, step: str | int) -> "Place":
        """The place of one member."""
        schema: Schema = {"anyOf": explain.schemas_at([self.schema], [step], self.root)}
        shown = cut(step, MAX_VALUE) if isinstance(step, str) else step
        return Place(self.path + explain.written([shown]), schema, self.root, self.lax, self.depth - 1)


def failures(error: BaseException, kind: Any, data: bytes, place: Place) -> list[Problem]:
    """All that is wrong with `data`, which is no `kind`: at least what `error` says, which was raised by reading it."""
    found: list[Problem] = []
    if isinstance(error, msgspec.ValidationError) and len(data) <= LARGE:
        found = list(islice(_inside(kind, data, place), MAX_PROBLEMS))
    return found or list(explain.failures(error, place.path, decoded(data), place.schema, place.root))


def decoded(data: bytes | msgspec.Raw) -> Any:
    """What came, for an error text; `explain.UNKNOWN` when it cannot be decoded, or would not be worth it."""
    if len(bytes(data)) > LARGE:
        return explain.UNKNOWN
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return explain.UNKNOWN


def _inside(kind: Any, data: bytes, place: Place) -> Iterator[Problem]:
    """What is wrong with the members of `data`; nothing where they are all right, or of no known type."""
    kind = _bare(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if place.depth == 0:
        return
    if data.startswith(b"{"):
        if origin in _MAPPINGS:
            yield from _each({name: (arguments[1], raw) for name, raw in _decode_object(data).items()}, place)
        elif (fields := _fields(kind)) and not issubclass(kind, tuple):
            yield from _of_object(fields, _decode_object(data), place)
    elif data.startswith(b"[") and (origin in _SEQUENCES or (origin is tuple and arguments[-1] is ...)):
        yield from _each({index: (arguments[0], raw) for index, raw in enumerate(_decode_array(data))}, place)


def _of_object(fields: Mapping[str, Any], members: Mapping[str, msgspec.Raw], place: Place) -> Iterator[Problem]:
    yield from _each({name: (kind, members[name]) for name, kind in fields.items() if name in members}, place)
    for schema in explain.arms(place.schema, place.root):
        known: Mapping[str, Schema] = schema.get("properties", {})
        strange = [name for name in members if name not in known]
        for name in schema.get("required", ()):
            if name not in members:
                yield explain.missing(place.member(name).path, name, known.get(name, {}), place.root, strange)
        if schema.get("additionalProperties") is False:
            yield from explain.unknown(f"{place.path}.", strange, list(known), noun="member")


def _each(members: Mapping[Any, tuple[Any, msgspec.Raw]], place: Place) -> Iterator[Problem]:
    decoders: dict[int, Callable[[bytes], Any] | None] = {}
    for step, (kind, raw) in members.items():
        if id(kind) not in decoders:
            decoders[id(kind)] = _decoder(kind, lax=place.lax)
        decode = decoders[id(kind)]
        if decode is None:
            continue
        try:
            decode(bytes(raw))
        except UNREADABLE as error:
            yield from failures(error, kind, bytes(raw), place.member(step))


def _decoder(kind: Any, *, lax: bool) -> Callable[[bytes], Any] | None:
    """Reads a member as the whole was read; None for an annotation that has a meaning only where it stands."""
    try:
        decode = msgspec.json.Decoder(kind, dec_hook=decode_lax if lax else decode_strict, strict=not lax).decode
    except (TypeError, ValueError):
        return None
    return (lambda data: decode_moments(decode, data)) if lax else decode


def _bare(kind: Any) -> Any:
    """A type without metadata, and without a None beside it."""
    while get_origin(kind) in (Annotated, Required, NotRequired):
        kind = get_args(kind)[0]
    if is_union(kind):
        arms = [arm for arm in get_args(kind) if arm is not NoneType]
        return _bare(arms[0]) if len(arms) == 1 else None
    return kind


def _fields(kind: Any) -> dict[str, Any]:
    """The types of the fields of a class that JSON has as an object, by their names on the wire."""
    if getattr(getattr(kind, "__struct_config__", None), "array_like", False):
        return {}
    renamed: tuple[str, ...] = getattr(kind, "__struct_encode_fields__", ())
    wire_names: dict[str, str] = dict(zip(getattr(kind, "__struct_fields__", ()), renamed, strict=True))
    return {
        wire_names.get(name, name): get_args(field)[0] if get_origin(field) in (Required, NotRequired) else field
        for name, field in fields_of(kind).items()
    }


_MAPPINGS: tuple[Any, ...] = (dict, abc.Mapping, abc.MutableMapping)
_SEQUENCES: tuple[Any, ...] = tuple(kind for kind in CONTAINERS if kind not in (*_MAPPINGS, tuple))
_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
