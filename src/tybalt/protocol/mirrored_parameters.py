"""Which parameters of a tool are mirrored into headers: the `x-mcp-header` annotations of its input schema.

    {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
        →  Mirrored(path=("region",), header="Region", type="string"), the header is Mcp-Param-Region

A server asks when a tool is declared, and refuses to declare what a client would have to leave out of its list. A
client asks when it is shown a tool, of a server that may be hostile: no schema makes this recurse, loop or run long.
What the headers of one call must be is the business of `mirrored.py`, above.

2026-07-28 basic/transports/streamable-http, "Schema Extension"; server/tools, "x-mcp-header".
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, cast

from msgspec import Struct

from tybalt.errors import cut

ANNOTATION: Final = "x-mcp-header"

MAX_MIRRORED: Final = 64
"""Parameters of one tool that may be mirrored; many servers take no more than 100 header fields at all."""
MAX_HEADER_NAME: Final = 128
"""Characters of one annotation."""
MAX_PATH: Final = 32
"""Property names that lead to a mirrored parameter."""
MAX_SUBSCHEMAS: Final = 100_000
"""Schemas within one schema that are looked at, as many as a message may hold objects."""
SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer that is mirrored, and the least one is its negative: what a double still tells apart."""

Primitive = Literal["string", "integer", "boolean"]

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TYPES: Final = ("string", "integer", "boolean")
_ONE: Final = frozenset(
    (
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
_LIST: Final = frozenset(("allOf", "anyOf", "items", "oneOf", "prefixItems"))
_MAP: Final = frozenset(("$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"))

_Path = tuple[str, ...]


class Mirrored(Struct, frozen=True):
    """One mirrored parameter: the property names that lead to it, the name it gives its header, its JSON type."""

    path: _Path
    header: str
    type: Primitive

    @property
    def header_name(self) -> str:
        """The whole name of the header, `Mcp-Param-Region`."""
        return f"Mcp-Param-{self.header}"

    @property
    def source(self) -> str:
        """Where the value stands in a request, for an error text."""
        return f"params.arguments.{'.'.join(self.path)}"


def mirrored_parameters(schema: Mapping[str, Any]) -> list[Mirrored]:
    """The mirrored parameters of a tool with this input schema, in the order of the schema; mostly none.

    Raises `ValueError` where an annotation breaks one of its constraints; the text says which, where, and what to do:
    the name of a header is 1 to `MAX_HEADER_NAME` characters of a token, unique whatever its case; it stands on a
    property of the type string, integer or boolean; that is reached from the root by `properties` alone; an integer
    that the schema itself names is safe. No more than `MAX_MIRRORED` are taken, no more than `MAX_PATH` deep.
    """
    found: list[Mirrored] = []
    taken: dict[str, str] = {}
    for path, place, subschema in _subschemas(schema):
        if ANNOTATION not in subschema:
            continue
        if not path:
            way = f"`properties` alone lead to it from the root, {MAX_PATH} of them at most"
            raise _broken(place, f"only a property can be mirrored, and only where {way}")
        header = _header(subschema, place)
        if (other := taken.get(header.lower())) is not None:
            raise _broken(place, f"{header!r} is taken by {other}, and case does not tell headers apart")
        taken[header.lower()] = place
        found.append(Mirrored(path, header, _primitive(subschema, place)))
        if len(found) > MAX_MIRRORED:
            raise ValueError(f"more than {MAX_MIRRORED} parameters have an `{ANNOTATION}`; mirror fewer")
    return found


def _subschemas(root: Mapping[str, Any]) -> Iterator[tuple[_Path | None, str, Mapping[str, Any]]]:
    """Every schema in `root`: the properties that lead to it, `None` off that way, and where it stands, for a text.

    What is no schema (`default`, `enum`, `examples`) is not entered, and no `$ref` is followed.
    """
    waiting: list[tuple[_Path | None, str, Any]] = [((), "$", root)]
    seen = 0
    while waiting:
        path, place, value = waiting.pop()
        if not isinstance(value, Mapping):
            continue
        seen += 1
        if seen > MAX_SUBSCHEMAS:
            raise ValueError(f"the schema holds more than {MAX_SUBSCHEMAS:,} schemas, or itself")
        schema = cast("Mapping[str, Any]", value)
        yield path, place, schema
        waiting.extend(reversed(list(_inside(path, place, schema))))


def _inside(path: _Path | None, place: str, schema: Mapping[str, Any]) -> Iterator[tuple[_Path | None, str, Any]]:
    for keyword, value in schema.items():
        if isinstance(value, Mapping) and keyword in _MAP:
            for name, inner in cast("Mapping[str, Any]", value).items():
                leads_on = path is not None and keyword == "properties" and len(path) < MAX_PATH
                onward = (*cast("_Path", path), name) if leads_on else None
                yield onward, _place(place, keyword, name), inner
        elif isinstance(value, list) and keyword in _LIST:
            for index, inner in enumerate(cast("list[Any]", value)):
                yield None, _place(place, keyword, str(index)), inner
        elif keyword in _ONE:
            yield None, _place(place, keyword), value


def _place(outer: str, *steps: str) -> str:
    # Cut as it grows: in a schema that nests deeply, whole paths would add up to the square of its size.
    return cut(".".join((outer, *steps)), 200)


def _header(subschema: Mapping[str, Any], place: str) -> str:
    header = subschema[ANNOTATION]
    if not isinstance(header, str):
        raise _broken(place, f"it must be a string, got {type(header).__name__}")
    if not header:
        raise _broken(place, "it must not be empty")
    if len(header) > MAX_HEADER_NAME or _TOKEN.fullmatch(header) is None:
        allowed = f"1 to {MAX_HEADER_NAME} letters, digits or !#$%&'*+-.^_`|~"
        raise _broken(place, f"{cut(header, 40)!a} is no name of a header; use {allowed}")
    return header


def _primitive(subschema: Mapping[str, Any], place: str) -> Primitive:
    kind = subschema.get("type")
    if kind not in _TYPES:
        got = f"got {cut(kind, 40)!a}" if isinstance(kind, str) else "and its `type` is not one of them by itself"
        raise _broken(place, f"the parameter must be a string, an integer or a boolean, {got}")
    if kind == "integer":
        named = (subschema.get("const"), subschema.get("default"), *_items(subschema.get("enum")))
        if any(type(value) is int and abs(value) > SAFE_INTEGER for value in named):
            raise _broken(place, "an integer beyond ±(2^53 - 1) is not the same to every reader of a header")
    return kind


def _items(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def _broken(place: str, problem: str) -> ValueError:
    return ValueError(f"`{ANNOTATION}` at {place}: {problem}")
