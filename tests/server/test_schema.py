"""JSON Schema of annotations, for input and for output."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, time
from enum import Enum
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, UnsetType

from tybalt.server.annotations import Site, adopt
from tybalt.server.pydantic_models import Unsupported
from tybalt.server.schema import Schemas, encoded_default, refusal, schema_of

T = TypeVar("T")


class Tree(msgspec.Struct):
    """A tree."""

    children: list["Tree"] = []
    parent: "Tree | None" = None


class First(msgspec.Struct):
    second: "Second | None" = None


class Second(msgspec.Struct):
    first: First | None = None


class Pairs(msgspec.Struct, Generic[T]):
    left: T
    right: dict[str, T]


class Sparse(msgspec.Struct):
    a: int | UnsetType = UNSET
    b: int = msgspec.field(default_factory=lambda: 3)
    c: dict[str, int] = {}


class Mixed(Enum):
    """An enumeration."""

    B = "b"
    A = "a"


class Ordered(TypedDict):
    zulu: int
    alpha: int


class OrderedMore(Ordered, total=False):
    mike: int


class Opaque:
    pass


@dataclass
class Odd:
    """Odd(opaque: object = 1)"""

    opaque: Any = field(default_factory=Opaque)
    sentinel: Any = Opaque()  # noqa: RUF009 - a default without a JSON form
    infinite: float = float("inf")


def test_a_root_that_is_a_class_stands_in_place() -> None:
    assert schema_of(Sparse) == {
        "title": "Sparse",
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "integer"},
            "c": {"type": "object", "additionalProperties": {"type": "integer"}, "default": {}},
        },
    }
    assert schema_of(Annotated[Sparse, Meta(description="over")])["description"] == "over"
    assert schema_of(Mixed) == {"title": "Mixed", "type": "string", "enum": ["b", "a"]}


def test_recursion_keeps_its_definition() -> None:
    schema = schema_of(Tree)
    assert schema["properties"]["children"] == {"type": "array", "items": {"$ref": "#/$defs/Tree"}, "default": []}
    assert schema["$defs"]["Tree"]["title"] == "Tree"
    jsonschema_rs.validator_for(schema).validate({"children": [{"children": []}], "parent": None})
    mutual = schema_of(First)
    assert set(mutual["$defs"]) == {"First", "Second"}
    assert schema_of(list[Tree])["$defs"] == {"Tree": schema["$defs"]["Tree"]}


def test_generics_are_named_by_their_arguments() -> None:
    schema = schema_of(list[Pairs[int] | None])
    assert list(schema["$defs"]) == ["Pairs_int"]
    assert schema["$defs"]["Pairs_int"]["title"] == "Pairs[int]"
    assert schema_of(Pairs[list[int]])["title"] == "Pairs[list[int]]"


def test_a_typed_dict_keeps_the_order_it_was_written_in() -> None:
    assert list(schema_of(OrderedMore)["properties"]) == ["zulu", "alpha", "mike"]
    assert schema_of(OrderedMore)["required"] == ["zulu", "alpha"]


def test_defaults_without_a_json_form_and_generated_docstrings_are_left_out() -> None:
    assert schema_of(Odd) == {
        "title": "Odd",
        "type": "object",
        "properties": {"opaque": {}, "sentinel": {}, "infinite": {"type": "number"}},
    }


def test_what_comes_in_has_an_offset_what_goes_out_need_not() -> None:
    assert schema_of(datetime, "input") == {"type": "string", "format": "date-time"}
    assert schema_of(datetime, "output") == {"type": "string"}
    assert schema_of(Annotated[datetime, Meta(tz=True)], "output") == {"type": "string", "format": "date-time"}
    assert schema_of(Annotated[time, Meta(tz=False)], "input") == {"type": "string"}


def test_null_stands_last_in_a_union() -> None:
    assert [arm["type"] for arm in schema_of(None | int | str)["anyOf"]] == ["integer", "string", "null"]


def test_a_union_that_cannot_be_decoded_can_be_described_as_output() -> None:
    adopted = adopt(list[str | datetime | Tree], Site("w", "output"))
    schema = schema_of(adopted, "output")
    assert schema["items"] == {"anyOf": [{"type": "string"}, {"type": "string"}, {"$ref": "#/$defs/Tree"}]}
    assert "Tree" in schema["$defs"]


@pytest.mark.parametrize("annotation", [Opaque, list[Opaque], Callable[[], int], msgspec.msgpack.Ext])
def test_what_has_no_json_form_is_refused(annotation: Any) -> None:
    assert refusal(annotation)
    with pytest.raises(Unsupported):
        schema_of(annotation)


def test_what_msgspec_refuses_is_told_in_one_line() -> None:
    text = refusal(str | datetime)
    assert text is not None
    assert "more than one str-like type" in text
    assert "\n" not in text
    assert refusal(str | int) is None


def test_schemas_of_one_tool_share_their_definitions() -> None:
    schemas = Schemas("input")
    first, second = schemas.describe(Tree), schemas.describe(list[Tree])
    assert (first, second) == ({"$ref": "#/$defs/Tree"}, {"type": "array", "items": {"$ref": "#/$defs/Tree"}})
    assert list(schemas.definitions) == ["Tree"]
    schemas.describe(First)
    assert list(schemas.rooted({"properties": {"a": first}})["$defs"]) == ["Tree"]


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (1, 1),
        ({1: "a"}, {"1": "a"}),
        (Mixed.A, "a"),
        (object(), msgspec.NODEFAULT),
        (float("nan"), msgspec.NODEFAULT),
        ([float("-inf")], msgspec.NODEFAULT),
        ({"a": (1.5, "\ud800")}, msgspec.NODEFAULT),
        (Literal, msgspec.NODEFAULT),
    ],
)
def test_defaults_as_json(value: Any, encoded: Any) -> None:
    assert encoded_default(value) == encoded


ANNOTATIONS = st.recursive(
    st.sampled_from([int, str, bool, float, None, Tree, Sparse, Mixed, Literal["a", "b"]]),
    lambda inner: st.one_of(
        inner.map(lambda kind: list[kind]),
        inner.map(lambda kind: dict[str, kind]),
        st.tuples(inner, inner).map(lambda kinds: tuple[kinds]),  # type: ignore[valid-type]
        inner.map(lambda kind: kind | None if kind is not None else None),
    ),
    max_leaves=6,
)


@given(ANNOTATIONS, st.data())
def test_what_the_schema_accepts_is_valid_json_schema_and_takes_what_msgspec_encodes(
    annotation: Any, data: Any
) -> None:
    schema = schema_of(adopt(annotation, Site("w")))
    validator = jsonschema_rs.Draft202012Validator(schema)
    value = data.draw(_values(annotation))
    validator.validate(msgspec.to_builtins(value, str_keys=True))
    assert msgspec.json.decode(msgspec.json.encode(value), type=annotation) == value


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    from typing import get_args, get_origin

    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is list:
        return st.lists(_values(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(st.text(max_size=3), _values(arguments[1]), max_size=3)
    if origin is tuple:
        return st.tuples(*map(_values, arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if arguments:
        return st.one_of(*(_values(None if each is type(None) else each) for each in arguments))
    return {
        int: st.integers(),
        str: st.text(st.characters(codec="utf-8"), max_size=5),
        bool: st.booleans(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        None: st.none(),
        Tree: st.builds(Tree),
        Sparse: st.builds(Sparse, a=st.integers()),
        Mixed: st.sampled_from(Mixed),
    }[annotation]
