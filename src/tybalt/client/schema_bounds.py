"""Whether a schema that a server wrote may be compiled, and what checking a value against it costs at worst.

A short schema can name more work than the age of the universe holds: `anyOf` of two references to an `anyOf` of two
references, and so on. So the evaluations that one value can meet are counted before anything is compiled. What is
refused here is not checked; it fails no call. Who compiles and checks is in `schemas`.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeGuard, cast
from urllib.parse import unquote

import msgspec

from tybalt.errors import cut
from tybalt.protocol.prescan import prescan

MAX_BYTES: Final = 128 * 1024
"""A schema as JSON; one of this size compiles in some 10 ms."""
MAX_DEPTH: Final = 64
MAX_CONTAINERS: Final = 10_000
MAX_PATTERN: Final = 500
"""Characters of a regular expression."""
MAX_EVALUATIONS: Final = 2_000
"""What may be evaluated of a schema on the way from the root of a value to one of its leaves."""
MAX_LEVELS: Final = 128
"""Levels of a value: no message has more (`protocol.prescan`)."""
MAX_STEPS: Final = 100_000
"""Steps of counting; they take some 30 ms."""

DIALECTS: Final = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
)

Schema = dict[str, Any]

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_BRANCHES: Final = ("allOf", "anyOf", "oneOf")
_CONDITIONS: Final = ("not", "if", "then", "else")
_BY_NAME: Final = ("dependentSchemas", "dependencies")
_MEMBERS: Final = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_ITEMS: Final = ("items", "additionalItems", "unevaluatedItems", "contains")
_SECOND_LOOK: Final = ("unevaluatedProperties", "unevaluatedItems")
"""For these a validator goes through the subschemas beside them again, to see what they have looked at."""
_LOOKS: Final = 3


class Cost(NamedTuple):
    """What one node of a value costs at worst: schemas evaluated, and patterns matched."""

    evaluations: int
    patterns: int


def cost_of(schema: Schema) -> Cost:
    """What checking against it costs. Raises `ValueError`, with the reason, for a schema that is not to be compiled."""
    text = msgspec.json.encode(schema)
    if len(text) > MAX_BYTES:
        raise ValueError(f"it has {len(text):,} bytes, more than the {MAX_BYTES:,} allowed")
    if excess := prescan(text, max_containers=MAX_CONTAINERS, max_depth=MAX_DEPTH):
        raise ValueError(excess)
    dialect = schema.get("$schema", DIALECTS[0])
    if not isinstance(dialect, str) or dialect.rstrip("#") not in DIALECTS:
        raise ValueError(f"its dialect is not known: {cut(repr(dialect))}")
    return _Counting(schema).run()


class _Place(NamedTuple):
    """What applies to one and the same value, taken together, and what then applies to a member or item of it.

    `steps` are alternatives, for a value is under one name: for each, which places follow by their ids, and how often.
    """

    evaluations: int
    patterns: int
    steps: list[list[tuple[int, int]]]


class _Counting:
    """The places of one schema, each looked at once."""

    def __init__(self, schema: Schema) -> None:
        self._root = schema
        self._anchors: dict[str, Schema] = {}
        self._places: dict[int, _Place] = {}
        self._left = MAX_STEPS
        for each in _objects(schema):
            self._vet(each)

    def run(self) -> Cost:
        waiting = [self._root]
        while waiting:
            schema = waiting.pop()
            if id(schema) not in self._places:
                self._places[id(schema)] = self._place(schema, waiting)
        evaluations = {key: place.evaluations for key, place in self._places.items()}
        patterns = {key: place.patterns for key, place in self._places.items()}
        return Cost(self._worst(evaluations), self._worst(patterns))

    def _vet(self, schema: Schema) -> None:
        """Nothing but what is in the schema itself is referred to, and no pattern is long."""
        if schema is not self._root and isinstance(schema.get("$id"), str):
            raise ValueError("it holds another schema with an address of its own ($id)")
        for keyword in _REFERENCES:
            if isinstance(target := schema.get(keyword), str) and not target.startswith("#"):
                raise ValueError(f"it refers to {cut(repr(target))}; nothing is fetched for a schema")
        for keyword in _ANCHORS:
            if isinstance(name := schema.get(keyword), str) and self._anchors.setdefault(name, schema) is not schema:
                raise ValueError(f"it has the anchor {cut(repr(name))} twice")
        if isinstance(pattern := schema.get("pattern"), str) and len(pattern) > MAX_PATTERN:
            raise ValueError(f"a pattern has {len(pattern):,} characters, more than the {MAX_PATTERN} allowed")

    def _worst(self, costs: dict[int, int]) -> int:
        """The most that one level of a value costs. Raises for what grows with each level."""
        totals = costs
        most = total = costs[id(self._root)]
        steps = sum(1 + sum(map(len, place.steps)) for place in self._places.values())
        for _ in range(MAX_LEVELS):
            self._spend(steps)
            further = {key: costs[key] + _beyond(place, totals) for key, place in self._places.items()}
            if further == totals:
                break
            most = max(most, further[id(self._root)] - total)
            totals, total = further, further[id(self._root)]
            if total > MAX_EVALUATIONS:
                raise ValueError(f"more than {MAX_EVALUATIONS:,} of its parts may apply to one value")
        return most

    def _place(self, root: Schema, further: list[Schema]) -> _Place:
        """What applies together with `root`; the schemas of members and items are added to `further`."""
        evaluations = patterns = 0
        names: dict[str, list[tuple[int, Schema]]] = {}
        positions: dict[int, list[tuple[int, Schema]]] = {}
        members: list[tuple[int, Schema]] = []
        items: list[tuple[int, Schema]] = []
        waiting = [(1, root)]
        while waiting:
            times, schema = waiting.pop()
            if _SECOND_LOOK[0] in schema or _SECOND_LOOK[1] in schema:
                times *= _LOOKS
            evaluations += times * (1 + _choices(schema))
            if evaluations > MAX_EVALUATIONS:
                raise ValueError(f"more than {MAX_EVALUATIONS:,} of its parts may apply to one value")
            self._spend(1)
            waiting += [(times, each) for each in self._beside(schema)]
            matched = _mapping(schema.get("patternProperties"))
            patterns += times * (len(matched) + ("pattern" in schema))
            for name, each in _schemas_of(schema.get("properties")):
                names.setdefault(name, []).append((times, each))
            members += [(times, each) for _, each in _schemas_of(matched)]
            members += [(times, each) for key in _MEMBERS if _is_schema(each := schema.get(key))]
            for key in ("prefixItems", "items"):
                for index, each in enumerate(_listed(schema.get(key))):
                    positions.setdefault(index, []).append((times, each))
            items += [(times, each) for key in _ITEMS if _is_schema(each := schema.get(key))]
        steps = [[*step, *members] for step in names.values()] + [[*step, *items] for step in positions.values()]
        steps = [step for step in (*steps, members, items) if step]
        further += [each for step in steps for _, each in step]
        return _Place(evaluations, patterns, [[(times, id(each)) for times, each in step] for step in steps])

    def _beside(self, schema: Schema) -> Iterator[Schema]:
        """The subschemas that apply to the same value."""
        for keyword in _BRANCHES:
            yield from _listed(schema.get(keyword))
        for keyword in _CONDITIONS:
            if _is_schema(each := schema.get(keyword)):
                yield each
        for keyword in _BY_NAME:
            yield from (each for _, each in _schemas_of(schema.get(keyword)))
        for keyword in _REFERENCES:
            if isinstance(reference := schema.get(keyword), str) and _is_schema(each := self._find(reference)):
                yield each

    def _find(self, reference: str) -> Any:
        """What a reference within the schema points at; None where that is nothing, which the compiler tells."""
        fragment = unquote(reference[1:])
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        found: Any = self._root
        for token in fragment.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                listed = cast("list[Any]", found)
                found = listed[int(key)] if key.isdecimal() and int(key) < len(listed) else None
            else:
                found = _mapping(found).get(key)
        return found

    def _spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise ValueError("its parts refer to each other in too many ways")


def _choices(schema: Schema) -> int:
    """What a value is compared with one by one: of texts, a validator keeps a table."""
    choices = schema.get("enum")
    return sum(not isinstance(each, str) for each in cast("list[Any]", choices)) if isinstance(choices, list) else 0


def _beyond(place: _Place, totals: dict[int, int]) -> int:
    """The most that the members of a value cost at a place, where they cost `totals`."""
    most = 0
    for step in place.steps:
        total = 0
        for times, key in step:
            total += times * totals[key]
        most = max(most, total)
    return most


def _objects(value: Any) -> Iterator[Schema]:
    """Every object in it, also those that are no schema."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            yield cast("Schema", each)
            waiting += cast("Schema", each).values()
        elif isinstance(each, list):
            waiting += cast("list[Any]", each)


def _is_schema(value: Any) -> TypeGuard[Schema]:
    """Whether it is one that costs anything: `true` and `false` do not."""
    return isinstance(value, dict)


def _mapping(value: Any) -> Schema:
    return cast("Schema", value) if isinstance(value, dict) else {}


def _schemas_of(value: Any) -> Iterator[tuple[str, Schema]]:
    return ((name, each) for name, each in _mapping(value).items() if _is_schema(each))


def _listed(value: Any) -> Iterator[Schema]:
    return (each for each in cast("list[Any]", value) if _is_schema(each)) if isinstance(value, list) else iter(())
