"""Adopting annotations: aliases, generics, and the words of a refusal."""

import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType, TypeVar

import annotated_types as at
import msgspec
import pytest
from msgspec import Meta
from pydantic import Field
from typing_extensions import TypeAliasType

from tybalt.errors import RegistrationError
from tybalt.server.annotations import Site, adopt, shown
from tybalt.server.custom_types import decode_lax, decode_strict, describe_custom, encode_custom
from tybalt.server.metadata import Metadata, for_pydantic, read_metadata, reader_of
from tybalt.server.schema import schema_of
from tybalt.server.survey import fields_of, survey

T = TypeVar("T")

Simple = TypeAliasType("Simple", list[int])
Positive = TypeAliasType("Positive", Annotated[T, Field(gt=0)], type_params=(T,))
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | None")
Bounded = NewType("Bounded", Annotated[int, at.Ge(1)])


@dataclass
class Deep:
    inner: "Simple"
    bounded: list[Annotated[int, Field(ge=1)]]


@dataclass
class Linked:
    next: "Linked | None" = None
    limited: Annotated[int, Meta(ge=1)] = 1
    told: Annotated[int, Meta(description="d"), "text", object()] = 1


class Odd:
    pass


def refused(annotation: Any, **options: Any) -> str:
    with pytest.raises(RegistrationError) as caught:
        adopt(annotation, Site("here", **options))
    return str(caught.value)


def decode(annotation: Any, text: bytes) -> Any:
    return msgspec.json.Decoder(adopt(annotation, Site("here")), dec_hook=decode_strict).decode(text)


def test_a_type_alias_is_what_it_stands_for() -> None:
    assert schema_of(adopt(Simple, Site("here"))) == {"type": "array", "items": {"type": "integer"}}
    assert schema_of(adopt(dict[str, Simple], Site("here")))["additionalProperties"]["type"] == "array"
    assert schema_of(adopt(Positive[int], Site("here"))) == {"type": "integer", "exclusiveMinimum": 0}
    with pytest.raises(msgspec.ValidationError):
        decode(Positive[int], b"0")


def test_a_type_alias_that_contains_itself_is_read_by_pydantic() -> None:
    assert decode(Json, b'{"a":[1,"b",null]}') == {"a": [1, "b", None]}
    with pytest.raises(msgspec.ValidationError):
        decode(Json, b"1.5")
    schema = schema_of(adopt(list[Json], Site("here")))
    assert "$defs" in schema
    assert decode(Literal["Json"], b'"Json"') == "Json"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the `type` statement came with 3.12")
def test_the_type_statement() -> None:
    scope: dict[str, Any] = {}
    exec("type Numbers = list[int]\ntype Tree = dict[str, Tree] | int\ndef f[T: int](a: T): ...", scope)
    assert decode(scope["Numbers"], b"[1]") == [1]
    assert decode(scope["Tree"], b'{"a":{"b":1}}') == {"a": {"b": 1}}
    tree = scope["Tree"]
    assert decode(list[tree], b'[{"b":1}]') == [{"b": 1}]
    assert schema_of(adopt(tree, Site("here")))["$defs"]
    holder = dataclass(type("Holder", (), {"__annotations__": {"tree": tree}}))
    assert decode(holder, b'{"tree":{"b":1}}').tree == {"b": 1}
    from tybalt.server.parameters import compile_parameters

    assert compile_parameters(scope["f"], where="w").schema["properties"] == {"a": {"type": "integer"}}


def test_constraints_in_a_new_type_are_kept() -> None:
    assert schema_of(adopt(Bounded, Site("here"))) == {"type": "integer", "minimum": 1}
    assert decode(list[Bounded], b"[1]") == [1]
    with pytest.raises(msgspec.ValidationError):
        decode(list[Bounded], b"[0]")


def test_a_site_says_where_and_for_results_what_else() -> None:
    assert refused(Odd).startswith("here: the annotation Odd cannot be used: ")
    assert "output_schema=None" not in refused(Odd)
    assert refused(Odd, direction="output").endswith("Or pass output_schema=None and return what you like")


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Odd, "Odd"),
        (list[int], "list[int]"),
        (None, "None"),
        (int | None, "int | None"),
        (Literal["a"], "Literal['a']"),
        (Annotated[int, "a"], "Annotated[int, 'a']"),
    ],
)
def test_annotations_are_shown_as_they_are_written(annotation: Any, text: str) -> None:
    assert shown(annotation) == text


def test_metadata_is_gathered() -> None:
    said = read_metadata([Meta(ge=1, title="t"), "text", Field(le=5, description="explicit", alias="a"), object()])
    assert said.constraints == {"ge": 1, "le": 5}
    assert said.notes == {"title": "t", "description": "explicit"}
    assert (said.alias, said.only_pydantic) == ("a", None)
    assert said.metas() == [Meta(ge=1, le=5), Meta(title="t", description="explicit")]
    assert Metadata().metas() == []
    assert Metadata().description is None
    extra = read_metadata([Meta(extra_json_schema={"a": 1}), Meta(extra_json_schema={"b": 2})])
    assert extra.notes["extra_json_schema"] == {"a": 1, "b": 2}
    assert read_metadata([at.Ge(1), at.Predicate(bool), at.Predicate(str.islower)]).only_pydantic == repr(
        at.Predicate(bool)
    ).join("``")


def test_metadata_in_pydantic_s_words() -> None:
    marker = object()
    field, text, kept = for_pydantic([Meta(ge=1, description="d", extra_json_schema={"x": 1}), "words", marker])
    assert field.metadata == [at.Ge(1)]
    assert (field.description, field.json_schema_extra, text.description) == ("d", {"x": 1}, "words")
    assert kept is marker


@pytest.mark.parametrize(
    ("item", "reader"),
    [
        (Meta(ge=1), "msgspec"),
        (Meta(description="d"), "either"),
        ("text", "either"),
        (at.doc("text"), "either"),
        (at.Unit("m"), "either"),
        (at.Ge(1), "pydantic"),
        (Field(ge=1), "pydantic"),
        (object(), "nobody"),
    ],
)
def test_who_reads_metadata_on_a_field(item: Any, reader: str) -> None:
    assert reader_of(item) == reader


def test_the_fields_of_classes_are_surveyed() -> None:
    assert [finding.text for finding in survey(list[Deep])] == ["`Field(...)` on Deep.bounded"]
    (finding,) = survey(Linked | None)
    assert (finding.reader, finding.text) == ("msgspec", "`msgspec.Meta(ge=1)` on Linked.limited")
    assert list(survey(dict[str, Annotated[int, Field(ge=1)]])) == []
    assert fields_of(5) == fields_of(int) == {}
    assert list(survey(NewType("Deeper", Linked)))  # type: ignore[valid-newtype]


def test_custom_types_answer_msgspec() -> None:
    import pathlib
    from collections import UserDict, deque

    assert describe_custom(pathlib.Path, "input") == {"type": "string", "format": "path"}
    assert decode_lax(pathlib.Path, "a") == pathlib.Path("a")
    assert encode_custom(deque([1])) == [1]
    assert encode_custom(range(2)) == [0, 1]
    assert encode_custom({"a": 1}.keys()) == ["a"]
    assert encode_custom(UserDict(a=1)) == {"a": 1}
    assert encode_custom(msgspec.Raw(b"[1]")) == [1]
    number = encode_custom(type("Float", (float,), {})(1.5))
    assert (type(number), number) == (float, 1.5)
    with pytest.raises(TypeError, match=r"a value of type builtins\.object has no JSON form"):
        encode_custom(object())
