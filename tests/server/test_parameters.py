"""Compiling signatures: what decodes, what the schema says, what is refused and in which words."""

from __future__ import annotations

import functools
import gc
import math
import pathlib
import types
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import (
    Annotated,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    TypedDict,
    TypeVar,
)

import annotated_types as at
import attrs
import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from tybalt.errors import RegistrationError, describe
from tybalt.server.parameters import LARGE, READ_ONCE, Parameters, compile_parameters

T = TypeVar("T")


class Context:
    """What is injected."""


class Scope(Generic[T]):
    """Another, generic one."""


def compiled(fn: Any, **options: Any) -> Parameters:
    return compile_parameters(fn, where="tool 'f' (function app.f)", inject=(Context, Scope), **options)


def of(annotation: Any, **options: Any) -> Parameters:
    """The parameters of a function with the one parameter `x`."""

    def fn(x): ...

    fn.__annotations__ = {"x": annotation}
    return compiled(fn, **options)


def decoded(annotation: Any, text: bytes) -> Any:
    return of(annotation).decode(b'{"x":' + text + b"}").x


def lax(annotation: Any, text: bytes) -> Any:
    return of(annotation).decode_lax(b'{"x":' + text + b"}").x


def property_of(annotation: Any) -> dict[str, Any]:
    return of(annotation).schema["properties"]["x"]


def refused(annotation: Any) -> str:
    with pytest.raises(RegistrationError) as caught:
        of(annotation)
    return str(caught.value)


# From a signature to a call


def test_two_integers_compile_to_a_bound_c_decoder() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    parameters = compiled(add)
    assert isinstance(parameters.decode, types.BuiltinMethodType)
    assert isinstance(parameters.decode.__self__, msgspec.json.Decoder)
    assert parameters.positional
    assert add(*msgspec.structs.astuple(parameters.decode(msgspec.Raw(b'{"b":3,"a":5}')))) == 8
    assert parameters.schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    }


def test_no_parameters_take_any_object() -> None:
    parameters = compiled(lambda: None)
    assert parameters.schema == {"type": "object", "properties": {}}
    assert parameters.positional
    assert msgspec.structs.astuple(parameters.decode(b'{"what":1}')) == ()


def test_strict_refuses_unknown_arguments_and_says_so_in_the_schema() -> None:
    def fn(a: int = 1): ...

    assert compiled(fn).decode(b'{"b":1}').a == 1
    strict = compiled(fn, strict=True)
    assert strict.schema["additionalProperties"] is False
    with pytest.raises(msgspec.ValidationError):
        strict.decode(b'{"b":1}')
    with pytest.raises(msgspec.ValidationError, match="unknown argument"):
        strict.decode_lax(b'{"b":1}')


def test_order_is_that_of_the_signature_whatever_has_a_default() -> None:
    def fn(a: int, b: int = 2, *, c: int, d: int = 4):
        return a, b, c, d

    parameters = compiled(fn)
    assert parameters.names == ("a", "b", "c", "d")
    assert not parameters.positional
    args, kwargs = parameters.arguments(parameters.decode(b'{"a":1,"c":3}'))
    assert (args, kwargs) == ((1, 2), {"c": 3, "d": 4})
    assert fn(*args, **kwargs) == (1, 2, 3, 4)


def test_positional_only_parameters_are_passed_by_position() -> None:
    def fn(a: int, /, ctx: Context, b: int):
        return a, ctx, b

    parameters = compiled(fn)
    assert not parameters.positional
    args, kwargs = parameters.arguments(parameters.decode(b'{"a":1,"b":2}'))
    assert (args, kwargs) == ((1,), {"b": 2})
    assert compiled(lambda a, /, b: (a, b)).positional


def test_a_parameter_without_annotation_takes_anything() -> None:
    parameters = compiled(lambda a, b=5: (a, b))
    assert parameters.schema["properties"] == {"a": {}, "b": {"default": 5}}
    assert parameters.decode(b'{"a":[1,{"x":null}]}').a == [1, {"x": None}]


@pytest.mark.parametrize(
    "annotation", [Context, Context | None, Optional[Context], Annotated[Context, "the context"], Scope[int]]
)
def test_injected_parameters_stay_out_of_the_schema(annotation: Any) -> None:
    def fn(a: int, thing, b: int = 2):
        return a, thing, b

    fn.__annotations__["thing"] = annotation
    parameters = compiled(fn)
    assert parameters.injected == {"thing": Scope if annotation == Scope[int] else Context}
    assert list(parameters.schema["properties"]) == ["a", "b"]
    assert parameters.names == ("a", "b")
    assert not parameters.positional
    args, kwargs = parameters.arguments(parameters.decode(b'{"a":1}'))
    assert fn(*args, **kwargs, thing="it") == (1, "it", 2)


def test_injection_that_cannot_be_is_refused() -> None:
    def positional(ctx: Context, /): ...

    def mixed(ctx: Context | int): ...

    with pytest.raises(RegistrationError, match=r"parameter 'ctx': Context is injected by name\. Move the `/`"):
        compiled(positional)
    with pytest.raises(RegistrationError, match=r"parameter 'ctx': .*cannot be both injected and sent"):
        compiled(mixed)


# What can be a handler


class Service:
    """A service."""

    def bound(self, a: int) -> int:
        return a

    @staticmethod
    def static(a: int) -> int:
        return a

    @classmethod
    def of_class(cls, a: int) -> int:
        return a

    def __call__(self, a: int) -> int:
        """Calls it.

        Args:
            a: A number.
        """
        return a


class Silent:
    """Told by its class."""

    def __call__(self, a: int) -> int:
        return a


def decorator(fn):
    @functools.wraps(fn)
    def wrapper(*args, **kwargs):
        return fn(*args, **kwargs)

    return wrapper


async def coroutine(a: int) -> int:
    return a


async def asynchronous_generator(a: int):
    yield a


def generator(a: int):
    yield a


@decorator
@decorator
def decorated(a: int) -> int:
    return a


@functools.lru_cache
def cached(a: int) -> int:
    return a


@pytest.mark.parametrize(
    "handler",
    [
        Service().bound,
        Service.static,
        Service.of_class,
        Service(),
        Silent(),
        Service.__dict__["static"],
        coroutine,
        asynchronous_generator,
        generator,
        decorated,
        cached,
        functools.partial(lambda b, a: a, 1),
        functools.partial(decorated),
    ],
)
def test_every_kind_of_callable_compiles(handler: Any) -> None:
    parameters = compiled(handler)
    assert parameters.names == ("a",)
    assert parameters.decode(b'{"a":1}').a == 1


def test_the_docstring_of_a_callable_object_is_that_of_its_call_or_its_class() -> None:
    assert compiled(Service()).docstring.parameters == {"a": "A number."}
    assert compiled(Service()).docstring.description == "Calls it."
    assert compiled(Silent()).docstring.description == "Told by its class."


def test_what_a_partial_has_bound_is_hidden() -> None:
    def fn(a: int, secret: str, b: int = 2):
        return a, secret, b

    parameters = compiled(functools.partial(functools.partial(fn, secret="s"), b=3))
    assert parameters.names == ("a",)
    assert parameters.positional
    half = functools.partial(fn, secret="s")
    parameters = compiled(half)
    args, kwargs = parameters.arguments(parameters.decode(b'{"a":1}'))
    assert not parameters.positional
    assert half(*args, **kwargs) == (1, "s", 2)


def test_a_handmade_signature_wins() -> None:
    import inspect

    def fn(*args, **kwargs): ...

    fn.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter("n", inspect.Parameter.KEYWORD_ONLY, annotation=int)]
    )
    assert compiled(fn).schema["properties"] == {"n": {"type": "integer"}}


def test_a_builtin_with_a_signature_compiles() -> None:
    parameters = compiled(math.sqrt)
    assert parameters.positional
    assert parameters.decode(b'{"x":4}').x == 4


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (lambda *rest: rest, r"`\*rest` cannot be filled.*`rest: list\[\.\.\.\]`"),
        (lambda **rest: rest, r"`\*\*rest` says nothing a client could be told.*`rest: dict\[str, \.\.\.\]`"),
        (Service.bound, r"parameter 'self': this looks like a method that is not bound.*`instance\.method`"),
        (Service, "'Service' is a class. Register a function, or an instance"),
        (Service.__dict__["of_class"], "`classmethod`.*`TheClass.method`"),
        (5, "'int' object is not callable"),
    ],
)
def test_what_cannot_be_a_handler_is_refused(handler: Any, text: str) -> None:
    with pytest.raises(RegistrationError, match=rf"tool 'f' \(function app\.f\): (.*)({text})"):
        compiled(handler)


def test_an_unreadable_signature_is_refused() -> None:
    def fn(): ...

    fn.__signature__ = "nonsense"  # type: ignore[attr-defined]
    with pytest.raises(RegistrationError, match=r"signature cannot be read .* Wrap it in a function of your own"):
        compiled(fn)


# Annotations that do not resolve


def test_a_name_that_exists_only_for_the_type_checker_is_refused_with_its_remedy() -> None:
    def fn(a: int, b: OnlyForTheChecker): ...  # noqa: F821

    with pytest.raises(RegistrationError, match=r"parameter 'b': the annotation names 'OnlyForTheChecker', which does"):
        compiled(fn)


def test_an_annotation_that_fails_to_evaluate_is_refused() -> None:
    def fn(a: "1 / 0"): ...  # noqa: UP037

    with pytest.raises(
        RegistrationError, match=r"parameter 'a': the annotation .* cannot be evaluated .ZeroDivisionError"
    ):
        compiled(fn)


def test_an_annotation_may_name_a_variable_of_the_enclosing_function() -> None:
    class Local(msgspec.Struct):
        n: int

    def fn(a: Local) -> int:
        return Local(1).n + a.n

    assert compiled(fn).decode(b'{"a":{"n":2}}').a == Local(2)


def test_a_class_whose_own_annotation_does_not_resolve_is_refused() -> None:
    @dataclass
    class Broken:
        n: Nowhere  # noqa: F821

    assert "Nowhere" in refused(Broken)


def test_notes_that_are_not_json_are_refused() -> None:
    assert property_of(Annotated[date, Meta(examples=[date(2026, 7, 28)])])["examples"] == ["2026-07-28"]
    with pytest.raises(
        RegistrationError, match=r"tool 'f' .*: an example or a note in its schema is not JSON: .*object"
    ):
        of(Annotated[int, Meta(examples=[object()])])


# What an annotation decodes, and how it is described


class Color(Enum):
    """A color."""

    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(StrEnum):
    YES = "yes"
    NO = "no"


@dataclass
class Point:
    """A point.

    Attributes:
        x: How far right.
    """

    x: int
    y: int = 0
    root: pathlib.Path = pathlib.Path("/r")
    tags: list[str] = field(default_factory=list)


class Options(TypedDict):
    zeta: int
    alpha: NotRequired[str]


class Pair(NamedTuple):
    left: int
    right: str = "r"


@attrs.define
class Box:
    width: int
    label: str = "box"


class Cat(msgspec.Struct, tag=True):
    lives: int = 9


class Dog(msgspec.Struct, tag=True):
    name: str


class Node(msgspec.Struct):
    value: int
    children: list[Node] = []


class Bounded(msgspec.Struct):
    n: Annotated[int, at.Ge(1)]


@attrs.define
class BoundedBox:
    n: Annotated[int, at.Ge(1)]


class Span(msgspec.Struct):
    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError("Invalid: it ends before it starts")


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Closed(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    max_size: int


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str = "b"


UserId = NewType("UserId", int)
Limited = NewType("Limited", Annotated[int, Meta(ge=1)])


@pytest.mark.parametrize(
    ("annotation", "schema", "text", "value"),
    [
        (int, {"type": "integer"}, b"5", 5),
        (float, {"type": "number"}, b"5", 5.0),
        (bool, {"type": "boolean"}, b"true", True),
        (str, {"type": "string"}, b'"a"', "a"),
        (None, {"type": "null"}, b"null", None),
        (Any, {}, b"[1]", [1]),
        (object, {}, b"[1]", [1]),
        (list, {"type": "array"}, b"[1]", [1]),
        (dict, {"type": "object"}, b'{"a":1}', {"a": 1}),
        (list[int], {"type": "array", "items": {"type": "integer"}}, b"[1]", [1]),
        (set[int], {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, b"[1]", {1}),
        (frozenset[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}, b'["a"]', frozenset("a")),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}, b"[1,2]", (1, 2)),
        (
            tuple[int, str],
            {
                "type": "array",
                "prefixItems": [{"type": "integer"}, {"type": "string"}],
                "items": False,
                "minItems": 2,
                "maxItems": 2,
            },
            b'[1,"a"]',
            (1, "a"),
        ),
        (tuple[()], {"type": "array", "minItems": 0, "maxItems": 0}, b"[]", ()),
        (dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}, b'{"a":1}', {"a": 1}),
        (
            dict[int, bool],
            {
                "type": "object",
                "propertyNames": {"pattern": "^-?[0-9]+$"},
                "additionalProperties": {"type": "boolean"},
            },
            b'{"1":true}',
            {1: True},
        ),
        (
            dict[Annotated[str, Meta(pattern="^a")], int],
            {
                "type": "object",
                "propertyNames": {"pattern": "^a"},
                "additionalProperties": {"type": "integer"},
            },
            b'{"ab":1}',
            {"ab": 1},
        ),
        (
            dict[str, list[tuple[int, ...]]],
            {
                "type": "object",
                "additionalProperties": {
                    "type": "array",
                    "items": {"type": "array", "items": {"type": "integer"}},
                },
            },
            b'{"a":[[1]]}',
            {"a": [(1,)]},
        ),
        (int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}, b'"5"', "5"),
        (Optional[int], {"anyOf": [{"type": "integer"}, {"type": "null"}]}, b"null", None),
        (None | int, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, b"1", 1),
        (Literal["z", "a"], {"type": "string", "enum": ["z", "a"]}, b'"a"', "a"),
        (Literal[2, 1], {"type": "integer", "enum": [2, 1]}, b"1", 1),
        (Literal["a", 1, None], {"enum": ["a", 1, None]}, b"null", None),
        (Literal[Color.RED, "x", Level.LOW], {"enum": ["red", "x", 1]}, b'"red"', Color.RED),
        (Literal[Color.RED, Color.BLUE], {"type": "string", "enum": ["red", "blue"]}, b'"blue"', Color.BLUE),
        (Color, {"title": "Color", "description": "A color.", "type": "string", "enum": ["red", "green", "blue"]},
         b'"green"', Color.GREEN),
        (Level, {"title": "Level", "type": "integer", "enum": [1, 2]}, b"2", Level.HIGH),
        (Word, {"title": "Word", "type": "string", "enum": ["yes", "no"]}, b'"no"', Word.NO),
        (datetime, {"type": "string", "format": "date-time"}, b'"2026-07-28T12:00:00Z"',
         datetime(2026, 7, 28, 12, tzinfo=UTC)),
        (Annotated[datetime, Meta(tz=False)], {"type": "string"}, b'"2026-07-28T12:00:00"', datetime(2026, 7, 28, 12)),  # noqa: DTZ001
        (date, {"type": "string", "format": "date"}, b'"2026-07-28"', date(2026, 7, 28)),
        (time, {"type": "string", "format": "time"}, b'"12:30:00"', time(12, 30)),
        (timedelta, {"type": "string", "format": "duration"}, b'"PT90S"', timedelta(seconds=90)),
        (uuid.UUID, {"type": "string", "format": "uuid"}, b'"00000000-0000-0000-0000-000000000001"', uuid.UUID(int=1)),
        (Decimal, {"type": "string", "format": "decimal"}, b'"1.50"', Decimal("1.50")),
        (pathlib.Path, {"type": "string", "format": "path"}, b'"/a/b"', pathlib.Path("/a/b")),
        (pathlib.PurePosixPath, {"type": "string", "format": "path"}, b'"a"', pathlib.PurePosixPath("a")),
        (list[pathlib.Path], {"type": "array", "items": {"type": "string", "format": "path"}}, b'["a"]',
         [pathlib.Path("a")]),
        (bytes, {"type": "string", "contentEncoding": "base64"}, b'"YWI="', b"ab"),
        (Annotated[bytes, Meta(min_length=1, max_length=4)],
         {"type": "string", "contentEncoding": "base64", "minLength": 4, "maxLength": 8}, b'"YWI="', b"ab"),
        (UserId, {"type": "integer"}, b"3", 3),
        (Limited, {"type": "integer", "minimum": 1}, b"3", 3),
        (msgspec.Raw, {}, b'{"a": 1}', msgspec.Raw(b'{"a": 1}')),
        (TypeVar("Unbound"), {}, b"1", 1),
        (Annotated[int, Meta(ge=1, le=5, description="d", title="t", examples=[2])],
         {"type": "integer", "minimum": 1, "maximum": 5, "description": "d", "title": "t", "examples": [2]}, b"5", 5),
        (Annotated[float, Meta(gt=0, lt=1, multiple_of=0.5)],
         {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.5}, b"0.5", 0.5),
        (Annotated[str, Meta(min_length=1, max_length=3, pattern="^a")],
         {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^a"}, b'"ab"', "ab"),
        (Annotated[list[int], Meta(min_length=1, max_length=2)],
         {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2}, b"[1]", [1]),
        (Annotated[dict[str, int], Meta(max_length=2)],
         {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2}, b"{}", {}),
        (Annotated[int | None, Meta(ge=2)],
         {"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}]}, b"2", 2),
        (Annotated[int | float, Meta(ge=2)],
         {"anyOf": [{"type": "integer", "minimum": 2}, {"type": "number", "minimum": 2}]}, b"2", 2),
        (int | msgspec.UnsetType, {"type": "integer"}, b"1", 1),
        (Final[int], {"type": "integer"}, b"1", 1),
        (Annotated[str, "which one"], {"type": "string", "description": "which one"}, b'"a"', "a"),
        (Annotated[str, Meta(extra_json_schema={"x-mcp-header": "Region"})],
         {"type": "string", "x-mcp-header": "Region"}, b'"a"', "a"),
        (Annotated[int, "marker of nobody", object()], {"type": "integer", "description": "marker of nobody"}, b"1", 1),
    ],
)  # fmt: skip
def test_type(annotation: Any, schema: dict[str, Any], text: bytes, value: Any) -> None:
    parameters = of(annotation)
    found = parameters.schema["properties"]["x"]
    if "$ref" in found:
        found = parameters.schema["$defs"][found["$ref"].rpartition("/")[2]]
    assert found == schema
    result = parameters.decode(b'{"x":' + text + b"}").x
    assert result == value
    assert type(result) is type(value)
    assert parameters.decode_lax(b'{"x":' + text + b"}").x == value
    jsonschema_rs.validator_for(parameters.schema).validate({"x": msgspec.json.decode(text)})


@pytest.mark.parametrize(
    ("annotation", "definitions", "text", "value"),
    [
        (
            Point,
            {
                "Point": {
                    "title": "Point",
                    "description": "A point.",
                    "type": "object",
                    "properties": {
                        "x": {"type": "integer", "description": "How far right."},
                        "y": {"type": "integer", "default": 0},
                        "root": {"type": "string", "format": "path", "default": "/r"},
                        "tags": {"type": "array", "items": {"type": "string"}, "default": []},
                    },
                    "required": ["x"],
                }
            },
            b'{"x":1,"root":"/q"}',
            Point(1, 0, pathlib.Path("/q")),
        ),
        (
            Options,
            {
                "Options": {
                    "title": "Options",
                    "type": "object",
                    "properties": {"zeta": {"type": "integer"}, "alpha": {"type": "string"}},
                    "required": ["zeta"],
                }
            },
            b'{"zeta":1}',
            {"zeta": 1},
        ),
        (
            Pair,
            {
                "Pair": {
                    "title": "Pair",
                    "type": "array",
                    "prefixItems": [
                        {"title": "left", "type": "integer"},
                        {"title": "right", "type": "string", "default": "r"},
                    ],
                    "minItems": 1,
                    "maxItems": 2,
                }
            },
            b"[1]",
            Pair(1),
        ),
        (
            Box,
            {
                "Box": {
                    "title": "Box",
                    "type": "object",
                    "properties": {"width": {"type": "integer"}, "label": {"type": "string", "default": "box"}},
                    "required": ["width"],
                }
            },
            b'{"width":2}',
            Box(2),
        ),
        (
            Closed,
            {
                "Closed": {
                    "title": "Closed",
                    "type": "object",
                    "properties": {"maxSize": {"type": "integer"}},
                    "required": ["maxSize"],
                    "additionalProperties": False,
                }
            },
            b'{"maxSize":2}',
            Closed(2),
        ),
        (
            Row,
            {
                "Row": {
                    "title": "Row",
                    "type": "array",
                    "prefixItems": [
                        {"title": "a", "type": "integer"},
                        {"title": "b", "type": "string", "default": "b"},
                    ],
                    "minItems": 1,
                    "maxItems": 2,
                }
            },
            b"[1]",
            Row(1),
        ),
        (
            Node,
            {
                "Node": {
                    "title": "Node",
                    "type": "object",
                    "properties": {
                        "value": {"type": "integer"},
                        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []},
                    },
                    "required": ["value"],
                }
            },
            b'{"value":1,"children":[{"value":2}]}',
            Node(1, [Node(2)]),
        ),
        (
            Page[int],
            {
                "Page_int": {
                    "title": "Page[int]",
                    "type": "object",
                    "properties": {"items": {"type": "array", "items": {"type": "integer"}}},
                    "required": ["items"],
                }
            },
            b'{"items":[1]}',
            Page([1]),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_class(annotation: Any, definitions: dict[str, Any], text: bytes, value: Any) -> None:
    parameters = of(annotation)
    name = next(iter(definitions))
    assert parameters.schema["properties"] == {"x": {"$ref": f"#/$defs/{name}"}}
    assert parameters.schema["$defs"] == definitions
    assert parameters.decode(b'{"x":' + text + b"}").x == value
    jsonschema_rs.validator_for(parameters.schema).validate({"x": msgspec.json.decode(text)})


def test_a_union_of_tagged_structs() -> None:
    assert property_of(Cat | Dog) == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
    tag = of(Cat | Dog).schema["$defs"]["Cat"]["properties"]["type"]
    assert tag == {"type": "string", "enum": ["Cat"]}
    assert decoded(Cat | Dog | None, b'{"type":"Dog","name":"Rex"}') == Dog("Rex")


def test_two_classes_of_one_name_are_told_apart() -> None:
    def make(kind: type) -> type:
        return msgspec.defstruct("Same", [("value", kind)])

    first, second = make(int), make(str)

    def fn(a, b): ...

    fn.__annotations__ = {"a": first, "b": second}
    schema = compiled(fn).schema
    assert schema["properties"] == {"a": {"$ref": "#/$defs/Same"}, "b": {"$ref": "#/$defs/Same_2"}}
    assert schema["$defs"]["Same"]["properties"]["value"] == {"type": "integer"}
    assert schema["$defs"]["Same_2"]["properties"]["value"] == {"type": "string"}


def test_an_iterable_parameter_is_a_list() -> None:
    from collections.abc import Iterable, Mapping, Sequence

    assert decoded(Iterable[int], b"[1]") == [1]
    assert decoded(Iterable, b"[1]") == [1]
    assert decoded(Sequence[pathlib.Path], b'["a"]') == [pathlib.Path("a")]
    assert decoded(Mapping[str, Color], b'{"a":"red"}') == {"a": Color.RED}


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, b'"5"'),
        (int, b"5.5"),
        (int, b"true"),
        (bool, b"1"),
        (str, b"5"),
        (Annotated[int, Meta(ge=1)], b"0"),
        (Annotated[int | None, Meta(ge=2)], b"1"),
        (Limited, b"0"),
        (list[int], b'"[1]"'),
        (Color, b'"pink"'),
        (Literal[Color.RED, Color.BLUE], b'"green"'),
        (Literal[Level.LOW], b"true"),
        (pathlib.Path, b"5"),
        (tuple[int, str], b"[1]"),
    ],
)
def test_decoding_is_strict(annotation: Any, text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decoded(annotation, text)


# annotated-types


def test_constraints_of_annotated_types_are_kept() -> None:
    assert property_of(Annotated[int, at.Ge(1), at.Lt(9)]) == {
        "type": "integer",
        "minimum": 1,
        "exclusiveMaximum": 9,
    }
    assert property_of(Annotated[int, at.Interval(gt=1, le=9), at.MultipleOf(2)]) == {
        "type": "integer",
        "exclusiveMinimum": 1,
        "maximum": 9,
        "multipleOf": 2,
    }
    assert property_of(Annotated[str, at.Len(1, 3), at.doc("which")]) == {
        "type": "string",
        "minLength": 1,
        "maxLength": 3,
        "description": "which",
    }
    assert property_of(Annotated[list[int], at.MinLen(1), at.MaxLen(4)])["maxItems"] == 4
    assert property_of(Annotated[int, at.Unit("m")]) == {"type": "integer"}
    assert property_of(Annotated[datetime, at.Timezone(None)]) == {"type": "string"}
    with pytest.raises(msgspec.ValidationError):
        decoded(Annotated[datetime, at.Timezone(...)], b'"2026-07-28T12:00:00"')
    with pytest.raises(msgspec.ValidationError):
        decoded(list[Annotated[int, at.Ge(1)]], b"[0]")


def test_of_two_bounds_the_narrower_holds() -> None:
    assert property_of(Annotated[int, at.Ge(1), at.Ge(5), at.Ge(3), at.Le(9), Meta(le=7)]) == {
        "type": "integer",
        "minimum": 5,
        "maximum": 7,
    }


def test_a_constraint_nobody_checks_is_refused() -> None:
    class Odd(at.BaseMetadata):
        pass

    assert "parameter 'x': only `Timezone(...)`" in refused(Annotated[datetime, at.Timezone("Europe/Berlin")])
    assert "is a constraint nobody checks here. Use msgspec.Meta" in refused(Annotated[int, Odd()])


def test_a_constraint_on_the_field_of_a_struct_that_msgspec_would_ignore_is_refused() -> None:
    text = refused(Bounded)
    assert "only pydantic can check `Ge(ge=1)` on Bounded.n" in text
    assert "only pydantic can check `Ge(ge=1)` on BoundedBox.n" in refused(list[BoundedBox | None])


# Names


def test_reserved_names_are_refused() -> None:
    with pytest.raises(RegistrationError, match=r"parameter 'cursor': the name 'cursor' is reserved\. Choose another"):
        compiled(lambda cursor: cursor, reserved=frozenset({"cursor"}))


def test_names_a_struct_could_not_have_are_kept_on_the_wire() -> None:
    def fn(__dict__: int, __post_init__: int, _x: int, self_: int):
        return __dict__, __post_init__, _x, self_

    parameters = compiled(fn)
    assert parameters.names == ("__dict__", "__post_init__", "_x", "self_")
    assert list(parameters.schema["properties"]) == list(parameters.names)
    struct = parameters.decode(b'{"__dict__":1,"__post_init__":2,"_x":3,"self_":4}')
    assert fn(*msgspec.structs.astuple(struct)) == (1, 2, 3, 4)
    assert parameters.positional


def test_a_wire_name_may_differ() -> None:
    def fn(user_id: int = msgspec.field(name="user-id"), size: int = msgspec.field(default=3)):
        return user_id, size

    parameters = compiled(fn)
    assert parameters.names == ("user_id", "size")
    assert parameters.wire_names == ("user-id", "size")
    assert parameters.schema["required"] == ["user-id"]
    assert parameters.decode(b'{"user-id":1}').user_id == 1
    assert parameters.from_strings({"user-id": "1"}).user_id == 1
    assert parameters.from_strings({"user_id": "1"}).user_id == 1
    assert "$.arguments.user-id: missing" in parameters.explain(b"{}", strict=False)


def test_two_parameters_cannot_share_a_wire_name() -> None:
    def fn(a: int, b: int = msgspec.field(name="a")): ...

    with pytest.raises(RegistrationError, match="parameter 'b': another parameter is called 'a' on the wire already"):
        compiled(fn)


# Defaults


class Sentinel:
    pass


NOTHING = Sentinel()


@pytest.mark.parametrize(
    ("annotation", "default", "advertised"),
    [
        (int, 3, 3),
        (str, "a", "a"),
        (float, 1, 1),
        (float, math.inf, "not"),
        (int | None, None, None),
        (int, None, "not"),
        (int, NOTHING, "not"),
        (int, ..., "not"),
        (Color, Color.RED, "red"),
        (int, Color.RED, "not"),
        (pathlib.Path, pathlib.Path("/a"), "/a"),
        (date, date(2026, 7, 28), "2026-07-28"),
        (bytes, b"ab", "YWI="),
        (Point, Point(1), {"x": 1, "y": 0, "root": "/r", "tags": []}),
        (Cat, Cat(), {"type": "Cat", "lives": 9}),
        (tuple[int, ...], (1, 2), [1, 2]),
        (set[int], {1}, [1]),
        (frozenset[int], frozenset({1}), [1]),
        (Any, NOTHING, "not"),
        (int | msgspec.UnsetType, msgspec.UNSET, "not"),
        (Any, {"a": [1]}, {"a": [1]}),
        (list[Any], [NOTHING], "not"),
    ],
)
def test_default(annotation: Any, default: Any, advertised: Any) -> None:
    def fn(x=default): ...

    fn.__annotations__ = {"x": annotation}
    parameters = compiled(fn)
    value = parameters.decode(b"{}").x
    if isinstance(default, list):
        assert type(value[0]) is Sentinel
    else:
        assert value is default or value == default
    assert parameters.schema["properties"]["x"].get("default", "not") == advertised
    assert "required" not in parameters.schema


@pytest.mark.parametrize(
    ("annotation", "default"),
    [(int, True), (bool, 0), (int, "5"), (list[int], ["a"]), (Annotated[int, Meta(ge=1)], 0), (Color, "pink")],
)
def test_a_default_its_annotation_would_not_accept_is_refused(annotation: Any, default: Any) -> None:
    def fn(x=default): ...

    fn.__annotations__ = {"x": annotation}
    with pytest.raises(RegistrationError) as caught:
        compiled(fn)
    assert str(caught.value).startswith(
        f"tool 'f' (function app.f): parameter 'x': the default {default!r} is not valid for its annotation "
    )
    assert str(caught.value).endswith(". Change one of the two")


def test_mutable_defaults_are_copied_for_every_call() -> None:
    nested = {"a": [1]}

    def fn(x: dict[str, list[int]] = nested, y: list[int] = [], z: set[int] = {1}): ...  # noqa: B006

    parameters = compiled(fn)
    first, second = parameters.decode(b"{}"), parameters.decode(b"{}")
    first.x["a"].append(2)
    first.y.append(1)
    first.z.add(2)
    assert (second.x, second.y, second.z) == ({"a": [1]}, [], {1})
    assert nested == {"a": [1]}
    assert parameters.decode(b"{}").y == []


# Refusals


class Plain:
    pass


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (
            Plain,
            ["the annotation Plain cannot be used", "no type that JSON can carry", "Use a builtin type, a dataclass"],
        ),
        (list[Plain], ["Plain", "no type that JSON can carry"]),
        (type, ["A function or a class cannot travel as JSON"]),
        (Annotated[str, Meta(ge=1)], ["Can only set `ge` on a numeric type", "Use another constraint"]),
        (Annotated[Plain, Meta(description="d")], ["Plain"]),
        (type[int], ["A function or a class cannot travel as JSON"]),
        (Iterator[int], ["arguments come at once. Use list[...]"]),
        (Annotated[int | str, Meta(ge=1)], ["Can only set `ge`", "Put the constraint on the member it is meant for"]),
        (Cat | Page[int], ["Give each Struct a tag: `class A(msgspec.Struct, tag=True)`"]),
    ],
)
def test_what_json_cannot_carry_is_refused_with_a_remedy(annotation: Any, words: list[str]) -> None:
    text = refused(annotation)
    assert text.startswith("tool 'f' (function app.f): parameter 'x': the annotation ")
    for word in words:
        assert word in text


def test_a_callable_is_refused() -> None:
    from collections.abc import Callable

    assert "A function or a class cannot travel as JSON" in refused(Callable[[int], int])


def unheard(value: Any) -> bool:
    return bool(value)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (any, "the annotation `any` is a function, not a type. Did you mean `typing.Any`?"),
        (callable, "the annotation `callable` is a function, not a type. Did you mean `typing.Any`?"),
        (list[any], "the annotation `any` is a function, not a type. Did you mean `typing.Any`?"),
        (unheard, "the annotation `unheard` is a function, not a type. Write the type of what comes in its place"),
        ([int], "the annotation [<class 'int'>] is a value, not a type. Write `list[...]`"),
        ((int, str), "is a value, not a type. Write `tuple[...]`, or `X | Y`"),
        ({"a": int}, "is a value, not a type. Write `dict[str, ...]`"),
        (5, "the annotation 5 is a value, not a type. Write `Literal[...]` if nothing else may come"),
        (Literal[()], "the annotation Literal[()] has no value. List those that may come"),
        (Literal["\ud800"], "half of a surrogate pair is no Unicode text"),
    ],
)
def test_what_is_no_type_is_refused_with_a_remedy(annotation: Any, words: str) -> None:
    assert words in refused(annotation)


@pytest.mark.parametrize(
    "annotation", [Plain, list[Plain], any, Literal[()], Annotated[str, Meta(ge=1)], "Nowhere", type]
)
def test_an_error_tells_its_cause_once_and_nothing_of_pydantic_s(annotation: Any) -> None:
    with pytest.raises(RegistrationError) as caught:
        of(annotation)
    told = describe(caught.value)
    assert told == str(caught.value)
    assert "pydantic-core" not in told and "__get_pydantic" not in told


@pytest.mark.parametrize("name", ["context", "ctx"])
def test_a_context_without_annotation_is_refused(name: str) -> None:
    handler = {"context": lambda a, context: a, "ctx": lambda a, ctx=None: a}[name]
    with pytest.raises(
        RegistrationError, match=rf"parameter '{name}': it has no annotation. Annotate it as Context to"
    ):
        compiled(handler)
    handler.__annotations__[name] = str
    assert name in compiled(handler).schema["properties"]
    assert compile_parameters(lambda context: 1, where="w").names == ("context",)


def test_a_note_that_is_not_json_is_told_with_its_parameter() -> None:
    def fn(a: int, b: Annotated[int, Meta(description="\ud800")]): ...

    with pytest.raises(
        RegistrationError, match=r"parameter 'b': an example or a note in its schema is not JSON: half of"
    ):
        compiled(fn)


# Lax


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, b'"5"', 5),
        (int, b'" 5"', "refused"),
        (int, b"5.0", 5),
        (int, b"5.5", "refused"),
        (int, b'"x"', "refused"),
        (float, b'"1.5"', 1.5),
        (float, b'"nan"', "refused"),
        (float, b'"-Infinity"', "refused"),
        (list[float], b'["1.5","NaN"]', "refused"),
        (str | list[float], b'"nan"', "nan"),
        (bool, b'"true"', True),
        (bool, b'"False"', False),
        (bool, b'"maybe"', "refused"),
        (int | None, b'"null"', None),
        (str | None, b'"null"', "null"),
        (int | str, b'"5"', "5"),
        (str, b"5", "refused"),
        (str, b'"[1]"', "[1]"),
        (list[int], b'"[1, 2]"', [1, 2]),
        (list[int], b'"[\\"1\\"]"', [1]),
        (list[int], b'["1"]', [1]),
        (list[str], b'"a, b"', "refused"),
        (dict[str, int], b'"{\\"a\\": 1}"', {"a": 1}),
        (Point, b'"{\\"x\\": 1}"', Point(1)),
        (Point | None, b'" {\\"x\\": \\"1\\"}"', Point(1)),
        (Options, b'"{\\"zeta\\": 1}"', {"zeta": 1}),
        (Annotated[str, Meta(max_length=3)] | list[int], b'"[1, 2]"', "refused"),
        (datetime | list[int], b'"[1]"', [1]),
        (Color, b'"red"', Color.RED),
        (datetime, b'"2026-07-28T12:00:00Z"', datetime(2026, 7, 28, 12, tzinfo=UTC)),
        (datetime, b'"2026-07-28 12:00"', datetime(2026, 7, 28, 12)),  # noqa: DTZ001
        (datetime, b'"2026-07-28"', datetime(2026, 7, 28)),  # noqa: DTZ001
        (list[datetime], b'["2026-07-28 12:00Z"]', [datetime(2026, 7, 28, 12, tzinfo=UTC)]),
        (Annotated[datetime, Meta(tz=True)], b'"2026-07-28 12:00"', "refused"),
        (list[int], b'"[1"', "refused"),
        (list[int], b'"[NaN]"', "refused"),
        (int, b"null", "refused"),
    ],
)
def test_what_a_model_may_have_meant(annotation: Any, text: bytes, value: Any) -> None:
    if value == "refused":
        with pytest.raises(msgspec.ValidationError):
            lax(annotation, text)
    else:
        assert lax(annotation, text) == value


def test_what_is_read_strictly_has_its_moments_in_full() -> None:
    for text in (b'"2026-07-28 12:00"', b'"2026-07-28"'):
        with pytest.raises(msgspec.ValidationError):
            decoded(datetime, text)
        assert "expected a date and time" in of(datetime, strict=True).explain(b'{"x":' + text + b"}", strict=True)


def test_null_means_the_default_where_there_is_one() -> None:
    def fn(a: int = 3, b: int | None = 4, c: list[int] = []): ...  # noqa: B006

    parameters = compiled(fn)
    assert msgspec.structs.astuple(parameters.decode_lax(b'{"a":null,"b":null,"c":null}')) == (3, None, [])


def test_arguments_may_be_null_or_json_in_a_string() -> None:
    def fn(a: int = 3): ...

    parameters = compiled(fn)
    assert parameters.decode_lax(b"null").a == 3
    assert parameters.decode_lax(b'"{\\"a\\": 5}"').a == 5
    for text in (b"[1]", b"5", b'"5"', b'"[1]"', b'{"a":', b'"\xff"', b"[" * 100_000):
        with pytest.raises((msgspec.DecodeError, RecursionError, UnicodeDecodeError)):
            parameters.decode_lax(text)


@given(st.integers() | st.text() | st.booleans() | st.none() | st.lists(st.integers()))
def test_what_is_strictly_right_is_read_alike_when_lax(value: Any) -> None:
    annotation = int | str | bool | None | list[int]
    text = msgspec.json.encode(value)
    assert lax(annotation, text) == decoded(annotation, text) == value


@given(st.binary(max_size=60) | st.text().map(lambda text: b'{"x":"' + text.encode("utf-8", "replace") + b'"}'))
def test_no_bytes_raise_anything_but_a_decoder_s_errors(raw: bytes) -> None:
    parameters = of(list[Point] | None)
    for read in (parameters.decode, parameters.decode_lax):
        try:
            read(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            text = parameters.explain(raw, strict=read == parameters.decode)
            assert text.startswith(("Invalid arguments", "The arguments are valid"))


# Strings


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "5", "5"),
        (int, "5", 5),
        (float, "5", 5.0),
        (bool, "true", True),
        (bool, "0", False),
        (int | None, "5", 5),
        (str | None, "null", "null"),
        (datetime, "2026-07-28T12:00:00Z", datetime(2026, 7, 28, 12, tzinfo=UTC)),
        (date, "2026-07-28", date(2026, 7, 28)),
        (uuid.UUID, "00000000-0000-0000-0000-000000000001", uuid.UUID(int=1)),
        (Decimal, "1.5", Decimal("1.5")),
        (Color, "red", Color.RED),
        (Level, "2", Level.HIGH),
        (Literal["a", "b"], "b", "b"),
        (Literal[1, 2], "2", 2),
        (pathlib.Path, "/a", pathlib.Path("/a")),
        (bytes, "YWI=", b"ab"),
        (Any, "5", "5"),
        (list[int], "[1,2]", [1, 2]),
        (list[int], ["1", "2"], [1, 2]),
        (set[Color], ["red"], {Color.RED}),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (Point, '{"x": 1}', Point(1)),
        (Point, {"x": "1"}, Point(1)),
    ],
)
def test_strings_become_the_annotated_type(annotation: Any, text: Any, value: Any) -> None:
    result = of(annotation).from_strings({"x": text}).x
    assert result == value
    assert type(result) is type(value)


def test_strings_that_do_not_convert_are_told_all_at_once() -> None:
    def fn(a: int, b: date, c: int, d: int = 4): ...

    parameters = compiled(fn)
    with pytest.raises(msgspec.ValidationError) as caught:
        parameters.from_strings({"a": "x", "b": "y", "unknown": "z"})
    assert str(caught.value) == (
        "Invalid arguments (3 problems):\n"
        '- a: expected an integer; got "x"\n'
        '- b: expected a date such as 2026-07-28; got "y"\n'
        "- c: missing; expected an integer"
    )
    assert parameters.from_strings({"a": "1", "b": "2026-07-28", "c": "3"}).d == 4
    with pytest.raises(msgspec.ValidationError, match="surrogate"):
        parameters.from_strings({"a": "\ud800"})


# Explanations


def test_all_that_is_wrong_is_told_at_once() -> None:
    def fn(
        city: str,
        days: Annotated[int, Meta(ge=1, le=10)],
        unit: Color,
        where: Point | None = None,
        tags: Annotated[list[str], Meta(min_length=1)] = ["a"],  # noqa: B006
        name: Annotated[str, Meta(min_length=2, max_length=4, pattern="^a")] = "ab",
    ): ...

    raw = (
        b'{"days":11,"unit":"pink","where":{"x":"one"},"tags":[],"name":"b","ctiy":"Rome","far":"' + b"a" * 500 + b'"}'
    )
    assert compiled(fn).explain(raw, strict=False) == (
        "Invalid arguments (6 problems):\n"
        "- $.arguments.city: missing; expected a string. You sent `ctiy`; did you mean `city`?\n"
        "- $.arguments.days: expected an integer >= 1 and <= 10; got 11\n"
        '- $.arguments.unit: expected one of "red", "green", "blue"; got "pink"\n'
        '- $.arguments.where.x: expected an integer; got "one"\n'
        "- $.arguments.tags: expected an array of at least 1 items; got []\n"
        '- $.arguments.name: expected a string of at least 2 and at most 4 characters matching the pattern ^a; got "b"'
    )
    strict = compiled(fn, strict=True).explain(raw, strict=True)
    assert "- $.arguments.ctiy: unknown argument; did you mean `city`?" in strict
    assert "- $.arguments.far: unknown argument; there is `city`, `days`, `unit`, `where`, `tags`, `name`" in strict


@pytest.mark.parametrize(
    ("annotation", "text", "line"),
    [
        (int, b"5.5", "$.arguments.x: expected an integer; got 5.5"),
        (int, b"null", "$.arguments.x: expected an integer; got null"),
        (bool, b"5", "$.arguments.x: expected true or false; got 5"),
        (None, b"5", "$.arguments.x: expected null; got 5"),
        (int | None, b'"x"', '$.arguments.x: expected an integer or null; got "x"'),
        (list[Point], b'[{"x":1},{}]', "$.arguments.x[1].x: missing; expected an integer"),
        (list[Point], b'[{"x":1},{"x":null}]', "$.arguments.x[1].x: expected an integer; got null"),
        (dict[str, Point], b'{"a":{"x":"b"}}', '$.arguments.x.a.x: expected an integer; got "b"'),
        (dict[int, str], b'{"a":"b"}', "A key of this object is wrong"),
        (tuple[int, str], b"[1]", "$.arguments.x: expected an array of 2 items; got [1]"),
        (tuple[int, str], b"[1,2]", "$.arguments.x[1]: expected a string; got 2"),
        (Closed, b'{"maxSize":1,"more":2}', "$.arguments.x.more: unknown member; there is `maxSize`"),
        (Cat | Dog, b'{"type":"Cow"}', '$.arguments.x.type: expected "Cat" or "Dog"; got "Cow"'),
        (Literal[Color.RED, Color.BLUE], b'"green"', '$.arguments.x: expected one of "red", "blue"; got "green"'),
        (Literal["only"], b"5", '$.arguments.x: expected "only"; got 5'),
        (date, b'"x"', '$.arguments.x: expected a date such as 2026-07-28; got "x"'),
        (uuid.UUID, b'"x"', '$.arguments.x: expected a UUID; got "x"'),
        (bytes, b'"*"', '$.arguments.x: expected a string in base64; got "*"'),
        (pathlib.Path, b"[]", "$.arguments.x: expected a path; got []"),
        (Annotated[float, Meta(gt=0, multiple_of=2)], b"3", "expected a number > 0 and a multiple of 2; got 3"),
        (Annotated[dict[str, int], Meta(max_length=1)], b'{"a":1,"b":2}', "expected an object of at most 1 members"),
        (list[int], b'"[1,\\"x\\"]"', '$.arguments.x[1]: expected an integer; got "x"'),
        (str, b"5", "$.arguments.x: expected a string; got 5"),
        (int, b"1" * 5000, "$.arguments.x: Integer value out of range"),
        (float, b"1e999", "$.arguments.x: Number out of range"),
        (Span, b'{"start":2,"end":1}', "$.arguments.x: Invalid: it ends before it starts"),
        (list[Span], b'[{"start":2,"end":1}]', "$.arguments.x[0]: Invalid: it ends before it starts"),
        (dict[pathlib.Path, int], b'{"a":"b"}', '$.arguments.x.a: expected an integer; got "b"'),
    ],
)
def test_explanation(annotation: Any, text: bytes, line: str) -> None:
    told = of(annotation).explain(b'{"x":' + text + b"}", strict=False)
    assert told.startswith("Invalid arguments: ")
    assert line in told


def test_an_explanation_never_repeats_more_than_a_little_of_a_value() -> None:
    secret = "s3cret" * 100
    for annotation in (
        int,
        Color,
        Literal["a"],
        Point,
        list[int],
        Annotated[str, Meta(max_length=2)],
        uuid.UUID,
        Closed,
    ):
        for value in (secret, [secret], {secret: secret}, {"maxSize": 1, secret: 1}):
            for strict in (True, False):
                raw = msgspec.json.encode({"x": value, secret: 1})
                told = of(annotation, strict=True).explain(raw, strict=strict)
                longest = max((len(part) for part in told.split() if "s3cret" in part), default=0)
                assert longest <= 210, told


def test_an_explanation_is_bounded() -> None:
    def many(**kwargs): ...

    import inspect

    many.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(f"p{n}", inspect.Parameter.KEYWORD_ONLY, annotation=int) for n in range(100)]
    )
    told = compiled(many).explain(b"{}", strict=False)
    assert told.startswith("Invalid arguments (100 problems):")
    assert told.endswith("- and 80 more")
    assert told.count("\n") == 21
    noise = msgspec.json.encode({f"unknown{n}": 1 for n in range(3_000)})
    told = of(int, strict=True).explain(noise, strict=True)
    assert told.endswith("- and 2 more")
    assert len(told) < 2_000


def test_what_is_large_is_explained_without_looking_at_all_of_it() -> None:
    noise = {f"unknown{n}": 1 for n in range(10_000)}
    parameters = of(int, strict=True)
    assert "`unknown0`" in parameters.explain(msgspec.json.encode({"x": 1, **noise}), strict=True)
    assert parameters.explain(msgspec.json.encode(noise), strict=True).endswith("missing; expected an integer")
    large = msgspec.json.encode({"x": "y" * LARGE})
    assert (
        of(bool).explain(large, strict=False)
        == "Invalid arguments: $.arguments.x: expected true or false; got a string"
    )


def test_much_is_read_while_the_collector_stands_still_and_a_little_is_not() -> None:
    seen: list[bool] = []

    parameters = of(list[int])
    decode = parameters.decode

    def noting(raw: Any) -> Any:
        seen.append(gc.isenabled())
        return decode(raw)

    parameters.decode = noting
    large = b'{"x":[' + b"1," * READ_ONCE + b"1]}"
    assert len(parameters.read(large).x) == READ_ONCE + 1
    parameters.read(b'{"x":[1]}')
    assert (seen, gc.isenabled()) == ([False, True], True)
    with pytest.raises(msgspec.ValidationError):
        parameters.read(large[:-2] + b',""]}')
    assert gc.isenabled()
    gc.disable()
    try:
        parameters.read(large)
        assert not gc.isenabled(), "whoever has switched it off wants that"
    finally:
        gc.enable()


def test_text_inside_of_a_string_keeps_to_the_limits_of_a_message() -> None:
    parameters = of(list[Any])
    assert parameters.decode_lax(b'{"x":"[[[1]]]"}').x == [[[1]]]
    for inner in ("[" * 200 + "]" * 200, "[" + "[]," * 100_001 + "1]"):
        with pytest.raises(msgspec.ValidationError, match=r"\$\.arguments\.x: expected an array"):
            parameters.decode_lax(msgspec.json.encode({"x": inner}))
        with pytest.raises(msgspec.ValidationError):
            parameters.decode_lax(msgspec.json.encode(f'{{"x":{inner}}}'))


def test_arguments_that_are_no_object_are_explained() -> None:
    parameters = of(int)
    assert parameters.explain(b"[1]", strict=True) == "Invalid arguments: $.arguments: expected an object; got [1]"
    assert parameters.explain(b'{"x":', strict=True) == (
        "Invalid arguments: $.arguments: cannot be read as JSON: Input data was truncated"
    )
    assert "nested too deeply" in of(Any).explain(b'{"x":' + b"[" * 100_000, strict=True)
    assert "cannot be read" in of(str).explain(b'{"x":"\xff"}', strict=False)
    assert parameters.explain(b'{"x":1}', strict=True) == "The arguments are valid."


# Descriptions


def test_descriptions_come_from_the_annotation_or_else_the_docstring() -> None:
    def fn(a: Annotated[int, Meta(description="explicit")], b: Annotated[int, "short"], c: int, d: Color, e: int):
        """Does it.

        Args:
            a: from the docstring
            b: from the docstring
            c: from the docstring
            d: from the docstring
            nobody: not a parameter
        """

    properties = compiled(fn).schema["properties"]
    assert [schema.get("description") for schema in properties.values()] == [
        "explicit",
        "short",
        "from the docstring",
        "from the docstring",
        None,
    ]
    assert compiled(fn).docstring.description == "Does it."
