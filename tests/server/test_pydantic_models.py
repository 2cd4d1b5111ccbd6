"""pydantic where a handler uses it: nothing of it is ignored, and nothing of it is needed."""

import importlib.util
import subprocess
import sys
import textwrap
from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from typing import Annotated, Any, Generic, Literal, NewType, TypeVar

import annotated_types as at
import jsonschema_rs
import msgspec
import pydantic
import pytest
from msgspec import Meta
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from tybalt.errors import MisuseError, RegistrationError
from tybalt.server import pydantic_models
from tybalt.server.parameters import Parameters, compile_parameters
from tybalt.server.results import compile_result

T = TypeVar("T")


def compiled(fn: Any, **options: Any) -> Parameters:
    return compile_parameters(fn, where="tool 'f' (function app.f)", **options)


def of(annotation: Any, **options: Any) -> Parameters:
    def fn(x): ...

    fn.__annotations__ = {"x": annotation}
    return compiled(fn, **options)


def property_of(annotation: Any) -> dict[str, Any]:
    return of(annotation).schema["properties"]["x"]


def decoded(annotation: Any, text: bytes) -> Any:
    return of(annotation).decode(b'{"x":' + text + b"}").x


def refused(annotation: Any) -> str:
    with pytest.raises(RegistrationError) as caught:
        of(annotation)
    return str(caught.value)


class Point(BaseModel):
    """A point."""

    x: int = Field(ge=1, description="How far right.")
    y: int = 0


class Tree(BaseModel):
    value: int
    children: "list[Tree]" = []


class Renamed(BaseModel):
    max_size: int = Field(alias="maxSize", serialization_alias="size")


class Bag(BaseModel, Generic[T]):
    items: list[T]


class Root(pydantic.RootModel[list[int]]):
    pass


class CatModel(BaseModel):
    kind: Literal["cat"]
    lives: int


class DogModel(BaseModel):
    kind: Literal["dog"]
    name: str


@pydantic.dataclasses.dataclass
class Checked:
    n: Annotated[int, Field(ge=1)]


@dataclass
class Constrained:
    """A dataclass whose constraints only pydantic reads."""

    n: Annotated[int, Field(ge=1)]
    m: int = 3


@dataclass
class ByDefault:
    n: int = Field(default=2, ge=1)  # type: ignore[assignment]


@dataclass
class Holder:
    point: Point
    when: "date | None" = None


@dataclass
class Both:
    n: Annotated[int, Field(ge=1)]
    m: Annotated[int, Meta(ge=1)]


@dataclass
class OnlyMeta:
    m: Annotated[int, Meta(ge=1)]
    either: "str | datetime" = ""


class Typed(TypedDict):
    n: Annotated[int, Field(ge=1)]


class WithAddress(msgspec.Struct):
    point: Point


class WithField(msgspec.Struct):
    n: Annotated[int, Field(ge=1)]


class WithFieldDefault(msgspec.Struct):
    n: int = Field(default=1, ge=1)


class Left(msgspec.Struct):
    a: int


class Right(msgspec.Struct):
    b: int


@dataclass
class Hidden:
    secret: pydantic.SecretStr


@dataclass
class Queue:
    waiting: deque[int]


Identifier = NewType("Identifier", Annotated[int, Meta(description="d")])


class Mood(Enum):
    GOOD = "good"


# Field is never ignored


@pytest.mark.parametrize(
    ("annotation", "schema", "good", "bad"),
    [
        (Annotated[int, Field(ge=1, le=5, description="d")],
         {"type": "integer", "minimum": 1, "maximum": 5, "description": "d"}, b"5", b"6"),
        (Annotated[float, Field(gt=0, lt=1, multiple_of=0.25)],
         {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "multipleOf": 0.25}, b"0.5", b"0.6"),
        (Annotated[str, Field(min_length=2, max_length=3, pattern="^a", title="T", examples=["ab"])],
         {"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^a", "title": "T", "examples": ["ab"]},
         b'"ab"', b'"b"'),
        (Annotated[list[int], Field(min_length=1)],
         {"type": "array", "items": {"type": "integer"}, "minItems": 1}, b"[1]", b"[]"),
        (list[Annotated[int, Field(ge=1)]],
         {"type": "array", "items": {"type": "integer", "minimum": 1}}, b"[1]", b"[0]"),
        (dict[str, Annotated[int, Field(ge=1)]],
         {"type": "object", "additionalProperties": {"type": "integer", "minimum": 1}}, b'{"a":1}', b'{"a":0}'),
        (Annotated[int, Field(ge=1)] | None,
         {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, b"null", b"0"),
        (Annotated[int | None, Field(ge=1, description="d")],
         {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "description": "d"}, b"1", b"0"),
        (pydantic.PositiveInt, {"type": "integer", "exclusiveMinimum": 0}, b"1", b"0"),
        (Annotated[pydantic.PositiveInt, Field(le=5)],
         {"type": "integer", "exclusiveMinimum": 0, "maximum": 5}, b"5", b"6"),
        (Annotated[str, pydantic.StringConstraints(min_length=2, pattern="a")],
         {"type": "string", "minLength": 2, "pattern": "a"}, b'"ab"', b'"a"'),
        (Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"}, deprecated=True)],
         {"type": "string", "x-mcp-header": "Region", "deprecated": True}, b'"a"', b"1"),
        (Annotated[int, Meta(ge=1), Field(le=5)], {"type": "integer", "minimum": 1, "maximum": 5}, b"5", b"6"),
    ],
)  # fmt: skip
def test_field_becomes_meta(annotation: Any, schema: dict[str, Any], good: bytes, bad: bytes) -> None:
    parameters = of(annotation)
    assert parameters.schema["properties"]["x"] == schema
    assert parameters.decode(b'{"x":' + good + b"}").x == msgspec.json.decode(good)
    for read in (parameters.decode, parameters.decode_lax):
        with pytest.raises(msgspec.ValidationError):
            read(b'{"x":' + bad + b"}")


@pytest.mark.parametrize(
    ("annotation", "good", "value", "bad"),
    [
        (Annotated[int, at.Predicate(lambda n: n % 2 == 0)], b"2", 2, b"3"),
        (Annotated[int, pydantic.AfterValidator(lambda n: n * 2)], b"2", 4, b'"a"'),
        (Annotated[int, pydantic.BeforeValidator(lambda n: n + 1 if n == 1 else n)], b"1", 2, b"[]"),
        (pydantic.StrictInt, b"2", 2, b'"2"'),
        (Annotated[Decimal, Field(ge=1, max_digits=3)], b'"1.5"', Decimal("1.5"), b'"0.5"'),
        (Annotated[Decimal, Meta(ge=1)], b'"1.5"', Decimal("1.5"), b'"0.5"'),
        (Annotated[date, Field(ge=date(2026, 1, 1))], b'"2026-07-28"', date(2026, 7, 28), b'"2025-07-28"'),
        (Annotated[str, pydantic.StringConstraints(strip_whitespace=True, to_upper=True)], b'" a "', "A", b"5"),
        (Annotated[CatModel | DogModel, Field(discriminator="kind")], b'{"kind":"dog","name":"Rex"}',
         DogModel(kind="dog", name="Rex"), b'{"kind":"cow"}'),
        (Annotated[int, Field(json_schema_extra=lambda schema: None)], b"2", 2, b'"a"'),
        (Annotated[str, Meta(pattern="a"), Meta(pattern="b")], b'"b"', "b", b'"c"'),
        (IPv4Address, b'"127.0.0.1"', IPv4Address("127.0.0.1"), b'"x"'),
        (pydantic.SecretStr, b'"a"', pydantic.SecretStr("a"), b"5"),
        (pydantic.HttpUrl, b'"https://a.example/"', pydantic.HttpUrl("https://a.example/"), b'"x"'),
        (complex, b'"1+2j"', 1 + 2j, b'"x"'),
        (Checked, b'{"n":1}', Checked(1), b'{"n":0}'),
        (Constrained, b'{"n":1}', Constrained(1), b'{"n":0}'),
        (ByDefault, b"{}", ByDefault(2), b'{"n":0}'),
        (Typed, b'{"n":1}', {"n": 1}, b'{"n":0}'),
        (Annotated[Identifier, pydantic.AfterValidator(abs)], b"-1", 1, b"[]"),
        (Hidden, b'{"secret":"a"}', Hidden(pydantic.SecretStr("a")), b'{"secret":5}'),
        (list[Constrained], b'[{"n":1}]', [Constrained(1)], b'[{"n":0}]'),
        (dict[str, Checked | None], b'{"a":{"n":1}}', {"a": Checked(1)}, b'{"a":{"n":0}}'),
        (str | datetime, b'"a"', "a", b"[]"),
        (date | int, b'"2026-07-28"', date(2026, 7, 28), b'"x"'),
        (Annotated[str | bytes, Meta(max_length=2)], b'"ab"', "ab", b'"abc"'),
        (deque[int], b"[1]", deque([1]), b'["a"]'),
        (Queue, b'{"waiting":[1]}', Queue(deque([1])), b'{"waiting":["a"]}'),
        (Annotated[int | Decimal, Field(ge=1)], b"1", 1, b"0"),
        (Annotated[str | bytes, "what"], b'"ab"', "ab", b"5"),
        (list[Point | CatModel], b'[{"kind":"cat","lives":9}]', [CatModel(kind="cat", lives=9)], b"[{}]"),
        (dict[str, int] | Typed, b'{"n":1}', {"n": 1}, b"5"),
    ],
)  # fmt: skip
def test_what_only_pydantic_reads_goes_to_pydantic(annotation: Any, good: bytes, value: Any, bad: bytes) -> None:
    parameters = of(annotation)
    found = parameters.decode(b'{"x":' + good + b"}").x
    assert found == value
    assert type(found) is type(value)
    for read in (parameters.decode, parameters.decode_lax):
        with pytest.raises(msgspec.ValidationError):
            read(b'{"x":' + bad + b"}")
    assert "$.arguments.x" in parameters.explain(b'{"x":' + bad + b"}", strict=True)
    jsonschema_rs.validator_for(parameters.schema).validate({"x": msgspec.json.decode(good)})


def test_field_as_default() -> None:
    def fn(
        a: int = Field(ge=1, description="first"),
        b: str = Field("b", max_length=2),
        c: list[int] = Field(default_factory=list),
        d: int | None = Field(None, ge=2),
        e: Annotated[int, Field(default=5)] = 6,
        f: Annotated[int, Field(default=7)] = Field(le=9),
        user_id: int = Field(3, alias="userId"),
        g: Annotated[int, Meta(ge=1)] = Field(4, le=8),
    ): ...

    parameters = compiled(fn)
    assert parameters.schema["required"] == ["a"]
    assert parameters.schema["properties"] == {
        "a": {"type": "integer", "minimum": 1, "description": "first"},
        "b": {"type": "string", "maxLength": 2, "default": "b"},
        "c": {"type": "array", "items": {"type": "integer"}},
        "d": {"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}], "default": None},
        "e": {"type": "integer", "default": 6},
        "f": {"type": "integer", "maximum": 9, "default": 7},
        "userId": {"type": "integer", "default": 3},
        "g": {"type": "integer", "minimum": 1, "maximum": 8, "default": 4},
    }
    struct = parameters.decode(b'{"a":1,"userId":9}')
    assert msgspec.structs.astuple(struct) == (1, "b", [], None, 6, 7, 9, 4)
    struct.c.append(1)
    assert parameters.decode(b'{"a":1}').c == []
    for wrong in (b'{"a":0}', b'{"a":1,"d":1}', b'{"a":1,"f":10}', b'{"a":1,"b":"bbb"}'):
        with pytest.raises(msgspec.ValidationError):
            parameters.decode(wrong)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Field(validation_alias=pydantic.AliasChoices("a", "b")), "only a plain `alias`"),
        (Field(default_factory=lambda data: data["a"]), "`default_factory` takes the other values"),
    ],
)
def test_a_field_no_parameter_can_have_is_refused(field: Any, words: str) -> None:
    def fn(x: int = field): ...

    with pytest.raises(RegistrationError, match=f"parameter 'x': `Field`: .*{words}"):
        compiled(fn)


def test_a_type_of_pydantic_s_that_needs_another_package_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "email_validator", None)
    assert "email-validator is not installed" in refused(pydantic.EmailStr)


def test_arguments_of_a_generic_are_in_the_schema() -> None:
    assert property_of(deque[int]) == {"type": "array", "items": {"type": "integer"}}
    assert property_of(Queue)["properties"]["waiting"] == {"type": "array", "items": {"type": "integer"}}


def test_constraints_that_neither_would_check_together_are_refused() -> None:
    assert "pydantic does not check `msgspec.Meta(ge=1)` on Both.m" in refused(Both)
    assert "on Both.m" in refused(list[Both])
    assert "on OnlyMeta.m. Use one of the two" in refused(OnlyMeta)
    assert "pydantic does not check `Meta(tz=...)`" in refused(Annotated[str | datetime, Meta(tz=True)])
    assert "pydantic does not check `annotated_types.Timezone`" in refused(
        Annotated[datetime, at.Timezone(...), pydantic.AfterValidator(lambda value: value)]
    )


def test_a_struct_with_a_field_of_pydantic_s_is_refused() -> None:
    assert "on WithField.n" in refused(WithField)
    assert "WithFieldDefault.n" in refused(WithFieldDefault | None)
    assert "Give each Struct a tag" in refused(Left | Right)


def test_a_pattern_that_is_none_is_refused_and_one_of_pydantic_s_is_not() -> None:
    text = refused(Annotated[str, pydantic.Field(pattern="(")])
    assert "its pattern: missing ), unterminated subpattern at position 0 (pydantic: " in text
    assert text.endswith("Mend the pattern")
    assert decoded(Annotated[str, pydantic.Field(pattern=r"^\p{Lu}$")], '"Ä"'.encode()) == "Ä"


def test_what_pydantic_refuses_too_is_refused_with_its_reason() -> None:
    class Nothing:
        pass

    text = refused(Annotated[Nothing, pydantic.AfterValidator(lambda value: value)])
    assert "(pydantic: Unable to generate pydantic-core schema" in text
    assert text.startswith("tool 'f' (function app.f): parameter 'x': ")


# Models


def test_a_model() -> None:
    parameters = of(Point)
    schema = {
        "title": "Point",
        "description": "A point.",
        "type": "object",
        "properties": {
            "x": {"type": "integer", "minimum": 1, "description": "How far right."},
            "y": {"type": "integer", "default": 0},
        },
        "required": ["x"],
    }
    assert parameters.schema["properties"]["x"] == schema
    assert parameters.decode(b'{"x":{"x":1}}').x == Point(x=1)
    with pytest.raises(msgspec.ValidationError):
        parameters.decode(b'{"x":{"x":"1"}}')
    assert parameters.decode_lax(b'{"x":{"x":"1"}}').x == Point(x=1)
    assert parameters.decode_lax(b'{"x":"{\\"x\\": 1}"}').x == Point(x=1)
    assert of(Point | None).decode(b'{"x":null}').x is None
    assert of(list[Point]).decode(b'{"x":[{"x":2}]}').x == [Point(x=2)]
    assert of(dict[str, Point]).from_strings({"x": '{"a": {"x": "2"}}'}).x == {"a": Point(x=2)}


def test_models_inside_classes_of_others() -> None:
    assert decoded(Holder, b'{"point":{"x":1},"when":"2026-07-28"}') == Holder(Point(x=1), date(2026, 7, 28))
    assert decoded(WithAddress, b'{"point":{"x":1}}') == WithAddress(Point(x=1))
    assert decoded(Bag[int], b'{"items":[1]}') == Bag[int](items=[1])
    assert decoded(Root, b"[1]") == Root([1])
    with pytest.raises(msgspec.ValidationError):
        decoded(Holder, b'{"point":{"x":0}}')


def test_a_recursive_model_keeps_its_definitions() -> None:
    schema = of(Tree).schema
    assert schema["properties"]["x"] == {"$ref": "#/$defs/Tree"}
    assert schema["$defs"]["Tree"]["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert decoded(Tree, b'{"value":1,"children":[{"value":2}]}') == Tree(value=1, children=[Tree(value=2)])
    jsonschema_rs.validator_for(schema).validate({"x": {"value": 1, "children": [{"value": 2}]}})


def test_definitions_of_two_models_of_one_name_are_told_apart() -> None:
    def make(kind: type) -> Any:
        inner = pydantic.create_model("Inner", value=(kind, ...))
        return pydantic.create_model("Outer", inner=(inner, ...))

    native = msgspec.defstruct("Inner", [("native", int)])
    first, second = make(int), make(str)

    def fn(a, b, c, d): ...

    fn.__annotations__ = {"a": first, "b": second, "c": native, "d": first}
    schema = compiled(fn).schema
    refs = [schema["properties"][name]["properties"]["inner"]["$ref"] for name in "abd"]
    assert refs == ["#/$defs/Inner", "#/$defs/Inner_2", "#/$defs/Inner"]
    assert schema["properties"]["c"] == {"$ref": "#/$defs/Inner_3"}
    values = [schema["$defs"][name]["properties"] for name in ("Inner", "Inner_2", "Inner_3")]
    assert values == [{"value": {"type": "integer"}}, {"value": {"type": "string"}}, {"native": {"type": "integer"}}]


def test_all_failures_of_a_model_are_told() -> None:
    told = of(Holder).explain(b'{"x":{"point":{"x":0,"y":"why"}}}', strict=False)
    assert told == (
        "Invalid arguments (2 problems):\n"
        "- $.arguments.x.point.x: expected greater than or equal to 1; got 0\n"
        '- $.arguments.x.point.y: expected a valid integer, unable to parse string as an integer; got "why"'
    )
    told = of(list[Point]).explain(b'{"x":[{"x":1},{}]}', strict=True)
    assert told == "Invalid arguments: $.arguments.x[1].x: missing"
    told = of(Tree).explain(b'{"x":{"value":1,"children":[{"value":1},{"value":[]}]}}', strict=True)
    assert told == "Invalid arguments: $.arguments.x.children[1].value: expected a valid integer; got []"
    told = of(Point | CatModel).explain(b'{"x":{"lives":"x"}}', strict=True)
    assert "$.arguments.x.lives: expected a valid integer" in told


def test_strict_reaches_into_models() -> None:
    assert decoded(Holder, b'{"point":{"x":1}}') == Holder(Point(x=1))
    with pytest.raises(msgspec.ValidationError):
        decoded(Annotated[int, pydantic.AfterValidator(lambda value: value)], b'"5"')
    assert of(Annotated[int, pydantic.AfterValidator(lambda value: value)]).decode_lax(b'{"x":"5"}').x == 5


def test_an_error_in_a_validator_that_is_no_value_error_is_not_hidden() -> None:
    def broken(value: int) -> int:
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        decoded(Annotated[int, pydantic.AfterValidator(broken)], b"5")


# Results


def test_results_of_models() -> None:
    shape = compile_result(Renamed, where="tool 'f'")
    assert shape.schema is not None
    assert list(shape.schema["properties"]) == ["size"]
    assert shape.result(Renamed(maxSize=3)).structured_content == {"size": 3}
    shape = compile_result(list[Point], where="tool 'f'")
    assert shape.result([Point(x=1)]).structured_content == [{"x": 1, "y": 0}]
    jsonschema_rs.validator_for(shape.schema).validate([{"x": 1, "y": 0}])
    assert shape.result([Point(x=1)]).content[0].text == '[{"x":1,"y":0}]'  # type: ignore[union-attr]
    shape = compile_result(Checked, where="tool 'f'")
    assert shape.result(Checked(2)).structured_content == {"n": 2}
    with pytest.raises(MisuseError, match="that its return annotation does not allow: "):
        shape.result(5)
    assert compile_result(Literal[Mood.GOOD], where="w").result(Mood.GOOD).structured_content == "good"
    url = compile_result(pydantic.HttpUrl, where="w").result(pydantic.HttpUrl("https://a.example/"))
    assert url.structured_content == "https://a.example/"
    free = compile_result(dict[str, Any], where="w").result({"a": IPv4Address("127.0.0.1"), "p": Point(x=1)})
    assert free.structured_content == {"a": "127.0.0.1", "p": {"x": 1, "y": 0}}
    recursive = compile_result(Tree, where="w")
    assert recursive.schema is not None
    assert recursive.schema["title"] == "Tree"
    assert recursive.schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    jsonschema_rs.validator_for(recursive.schema).validate({"value": 1, "children": []})


# Small parts


def test_knowing_pydantic_s_own() -> None:
    assert pydantic_models.knows(Point)
    assert pydantic_models.knows(Checked)
    assert pydantic_models.knows(pydantic.SecretStr)
    assert not pydantic_models.knows(Constrained)
    assert not pydantic_models.knows(list[Point])
    assert pydantic_models.is_model(Point)
    assert pydantic_models.is_model(Bag[int])
    assert not pydantic_models.is_model(Checked)
    assert pydantic_models.is_field(Field(ge=1))
    assert not pydantic_models.is_field(3)
    assert pydantic_models.is_constraint(pydantic.Strict())
    assert not pydantic_models.is_constraint(object())


def test_values_pydantic_does_not_know_cannot_be_dumped() -> None:
    with pytest.raises(pydantic_models.Unsupported):
        pydantic_models.dump(object())
    assert pydantic_models.dump(Point(x=1)) == {"x": 1, "y": 0}


def test_problems_are_read_from_pydantic_s_errors_alone() -> None:
    assert pydantic_models.problems(None) == []
    assert pydantic_models.problems(ValueError("x")) == []
    with pytest.raises(pydantic.ValidationError) as caught:
        TypeAdapter(int).validate_python("x")
    (problem,) = pydantic_models.problems(caught.value)
    assert (problem.location, problem.kind, problem.value) == ((), "int_parsing", "x")


# Without pydantic

BLOCKED = """
    import sys

    class Blocker:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {"pydantic", "pydantic_core", "annotated_types", "attrs", "attr"}:
                raise ImportError(name)

    sys.meta_path.insert(0, Blocker())
"""


def run(code: str) -> str:
    program = textwrap.dedent(BLOCKED) + textwrap.dedent(code)
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        env={"PYTHONPATH": ":".join(sys.path), "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_everything_else_works_without_pydantic() -> None:
    out = run("""
        from dataclasses import dataclass
        from datetime import datetime
        from pathlib import Path
        from typing import Annotated
        import msgspec
        from tybalt.errors import MisuseError, RegistrationError
        from tybalt.server.contents import resource_contents
        from tybalt.server.messages import prompt_messages
        from tybalt.server.parameters import compile_parameters
        from tybalt.server.results import compile_result

        @dataclass
        class Point:
            x: int
            where: Path = Path("/")

        def fn(a: int, p: Point | None = None, q: Annotated[int | None, msgspec.Meta(ge=1)] = None): ...

        parameters = compile_parameters(fn, where="w")
        print(parameters.decode(b'{"a":1,"p":{"x":2}}'))
        print(parameters.decode_lax(b'{"a":"1","p":"{\\\\"x\\\\":2}"}'))
        print(parameters.explain(b'{"a":"x","q":0}', strict=False))
        print(compile_result(list[Point], where="w").result([Point(1)]).structured_content)
        print(compile_result(str | datetime, where="w").schema)
        for value in (object(), {"a": object()}):
            try:
                compile_result(dict, where="tool 'f'").result(value)
            except MisuseError as error:
                print(error)
        print(prompt_messages({"content": "hi"}), resource_contents({"a": Path("b")}, uri="a:b", mime_type=None))

        class Plain: ...
        def either(x: str | datetime): ...
        def plain(x: list[Plain]): ...
        for handler in (either, plain):
            try:
                compile_parameters(handler, where="tool 'f'")
            except RegistrationError as error:
                print(error)
    """)
    assert "Arguments(a=1, p=Point(x=2, where=PosixPath('/')), q=None)" in out
    assert out.count("Arguments(a=1, p=Point(x=2") == 2
    assert "- $.arguments.q: expected an integer >= 1 or null; got 0" in out
    assert "[{'x': 1, 'where': '/'}]" in out
    assert "{'anyOf': [{'type': 'string'}, {'type': 'string'}]}" in out
    assert "tool 'f': returned a value of type object: a value of type builtins.object has no JSON form" in out
    assert "Keep one of its members, or install pydantic" in out
    assert "parameter 'x': the annotation __main__.Plain" in out or "parameter 'x': the annotation Plain" in out


def test_pydantic_is_not_imported_unless_it_is_needed() -> None:
    code = """
        import sys
        from tybalt.server.parameters import compile_parameters
        from tybalt.server.results import compile_result
        compile_parameters(lambda a: a, where="w")
        def fn(a: int, b: list[str] = []) -> dict[str, int]: ...
        compile_parameters(fn, where="w").explain(b'{"a":"x"}', strict=False)
        compile_result(fn, where="w").result({"a": 1})
        assert not {"pydantic", "pydantic_core", "annotated_types"} & set(sys.modules)
    """
    program = textwrap.dedent(code)
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=50,
        env={"PYTHONPATH": ":".join(sys.path)},
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


def test_pydantic_is_imported_in_one_module_only() -> None:
    import pathlib

    folder = pathlib.Path(pydantic_models.__file__).parent
    assert importlib.util.find_spec("pydantic") is not None
    users = [path.name for path in folder.glob("*.py") if "import pydantic\n" in path.read_text().replace(" as ", "\n")]
    assert [name for name in users if name != "pydantic_models.py"] == []
    assert "pydantic_models.py" in users
    assert datetime.now(UTC).year >= 2026
