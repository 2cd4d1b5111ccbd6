"""What is wrong inside of an argument: one problem for each member, within bounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, NotRequired, Required, TypedDict, TypeVar

import attrs
import msgspec
import pydantic
import pytest
from msgspec import Meta, Struct

from tybalt.server.explain import LARGE, MAX_PROBLEMS
from tybalt.server.members import MAX_DEPTH
from tybalt.server.parameters import compile_parameters

ALONE = "Invalid arguments: $.arguments.x"
T = TypeVar("T")


@dataclass
class Point:
    x: int
    y: int = 0


class Order(Struct, rename="camel", forbid_unknown_fields=True):
    item_count: Annotated[int, Meta(ge=1)]
    where: Point
    path: Path = Path()
    when: datetime | None = None
    more: "list[Order]" = []
    named: dict[str, Point] = {}


class Options(TypedDict, total=False):
    a: Required[int]
    b: Annotated[str, Meta(max_length=2)]
    c: NotRequired[bool]


@attrs.define
class Box:
    width: int
    height: int


class Pair(NamedTuple):
    left: int
    right: int


class Row(Struct, array_like=True):
    left: int
    right: int


class Page(Struct, Generic[T]):
    items: list[T]
    number: int


class Checked(Struct):
    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


class Model(pydantic.BaseModel):
    x: int
    y: int


class Cat(Struct, tag=True):
    lives: int


class Dog(Struct, tag=True):
    age: int


def problems(annotation: Any, value: Any, *, strict: bool = False) -> list[str]:
    """What is told of the argument `x`, a line for each problem."""

    def fn(x): ...

    fn.__annotations__ = {"x": annotation}
    told = compile_parameters(fn, where="w").explain(msgspec.json.encode({"x": value}), strict=strict)
    first, *rest = told.splitlines()
    return [line.removeprefix("- $.arguments.x") for line in rest] or [first.removeprefix(ALONE)]


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Point, {"x": "a", "y": "b"}, ['.x: expected an integer; got "a"', '.y: expected an integer; got "b"']),
        (Point | None, {"y": "b"}, ['.y: expected an integer; got "b"', ".x: missing; expected an integer"]),
        (Annotated[Point, Meta(title="P")], {"X": 1, "y": None}, [".y: expected an integer; got null",
            ".x: missing; expected an integer"]),
        (Options, {"b": "long", "c": 5}, [".b: expected a string of at most 2 characters; got \"long\"",
            ".c: expected true or false; got 5", ".a: missing; expected an integer"]),
        (Box, {"width": [], "height": {}}, [".width: expected an integer; got []",
            ".height: expected an integer; got {}"]),
        (Order, {"itemCount": 0, "where": {"x": "a"}, "path": 5, "when": "soon", "colour": "red"}, [
            ".itemCount: expected an integer >= 1; got 0", '.where.x: expected an integer; got "a"',
            ".path: expected a path; got 5",
            '.when: expected a date and time such as 2026-07-28T12:00:00Z or null; got "soon"',
            ".colour: unknown member; there is `itemCount`, `where`, `path`, `when`, `more`, `named`"]),
        (list[Point], [{"x": 1}, {"x": "a"}, 5, {}], ['[1].x: expected an integer; got "a"',
            "[2]: expected an object; got 5", "[3].x: missing; expected an integer"]),
        (Sequence[Point | None], [None, {"x": "a"}, {"x": "b"}], ['[1].x: expected an integer; got "a"',
            '[2].x: expected an integer; got "b"']),
        (tuple[Point, ...], [{}, {}], ["[0].x: missing; expected an integer", "[1].x: missing; expected an integer"]),
        (dict[str, Point], {"a": {"x": "b"}, "c": {}}, ['.a.x: expected an integer; got "b"',
            ".c.x: missing; expected an integer"]),
        (list[int], ["a", 1, "b"], ['[0]: expected an integer; got "a"', '[2]: expected an integer; got "b"']),
        (Point, '{"x": "a", "y": "b"}', ['.x: expected an integer; got "a"', '.y: expected an integer; got "b"']),
        (Model, {"x": "a"}, [".x: expected a valid integer, unable to parse string as an integer; got \"a\"",
            ".y: missing"]),
        (list[Model], [{"x": 1, "y": "b"}, {"x": "a", "y": 1}], [
            "[0].y: expected a valid integer, unable to parse string as an integer; got \"b\"",
            "[1].x: expected a valid integer, unable to parse string as an integer; got \"a\""]),
    ],
)  # fmt: skip
def test_one_problem_for_each_member(annotation: Any, value: Any, expected: list[str]) -> None:
    assert problems(annotation, value) == expected


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        (Checked, {"low": 2, "high": 1}, ": low is above high"),
        (Pair, {"left": 1}, ': expected an array of 2 items; got {"left":1}'),
        (Row, {"left": 1}, ': expected an array of 2 items; got {"left":1}'),
        (tuple[int], [1, "b"], ': expected an array of 1 item; got [1,"b"]'),
        (tuple[int, int], ["a", "b"], '[0]: expected an integer; got "a"'),
        (Cat | Dog, {"type": "Cat", "lives": "x"}, '.lives: expected an integer; got "x"'),
        (Point, "nothing", ': expected an object; got "nothing"'),
        (Point, [1], ": expected an object; got [1]"),
        (Page[int], {"items": ["a"], "number": "b"}, '.items[0]: expected an integer; got "a"'),
        (dict[int, int], {"a": 1}, ": A key of this object is wrong: Expected `int`, got `str`"),
    ],
)
def test_where_no_member_is_wrong_or_none_is_known_the_whole_is(annotation: Any, value: Any, expected: str) -> None:
    assert problems(annotation, value) == [expected]


def test_members_are_read_as_the_whole_was() -> None:
    value = {"x": "1", "y": "b"}
    assert problems(Point, value) == ['.y: expected an integer; got "b"']
    assert problems(Point, value, strict=True) == [
        '.x: expected an integer; got "1"',
        '.y: expected an integer; got "b"',
    ]
    assert problems(list[datetime], ["2026-01-01", "soon", "2026-01-01 10:00", "late"]) == [
        '[1]: expected a date and time such as 2026-07-28T12:00:00Z; got "soon"',
        '[3]: expected a date and time such as 2026-07-28T12:00:00Z; got "late"',
    ]


def test_an_explanation_stays_short() -> None:
    assert len(problems(list[Point], [{}] * 1000)) == MAX_PROBLEMS
    (line,) = problems(dict[str, Point], {"k" * 1000: {"x": "v" * 1000}})
    assert len(line) < 250
    large = [{"x": "a"}, {"x": "b" * LARGE}]
    assert problems(list[Point], large) == ["[0].x: expected an integer; got a string"]


def test_what_is_deep_has_its_first_failure_told() -> None:
    value: Any = {"itemCount": 0, "where": {}}
    for _ in range(MAX_DEPTH * 2):
        value = {"itemCount": 1, "where": {"x": 1}, "more": [value]}
    (line,) = problems(Order, value)
    assert line.endswith(".itemCount: expected an integer >= 1; got 0")
