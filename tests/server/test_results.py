"""What tools return, as results."""

import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Never, NewType, TypedDict, TypeVar

import attrs
import jsonschema_rs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta

from tybalt.errors import MisuseError, RegistrationError, describe
from tybalt.server.media import Audio, File, Image
from tybalt.server.results import MAX_ITEMS, ResultShape, ToolResult, compile_result
from tybalt.types.content import (
    AudioContent,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)
from tybalt.types.resources import ResourceContents
from tybalt.types.tools import CallToolResult

PNG = b"\x89PNG\r\n\x1a\n"
WHERE = "tool 'f' (function app.f)"


class Color(Enum):
    RED = "red"


@dataclass
class Book:
    isbn: str
    pages: int = 1


class Model(pydantic.BaseModel):
    name: str
    when: datetime | None = None


@dataclass
class Point:
    """A point."""

    x: int
    where: Path = Path("/")


@attrs.define
class Box:
    width: int


class Options(TypedDict):
    a: int


class Pair(NamedTuple):
    left: int
    right: str


class Node(msgspec.Struct, rename="camel"):
    node_id: int
    children: list["Node"] = []


class Row(msgspec.Struct, array_like=True):
    a: int


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Opaque:
    pass


UserId = NewType("UserId", int)


def shape(annotation: Any, **options: Any) -> ResultShape:
    return compile_result(annotation, where=WHERE, **options)


def texts(result: CallToolResult) -> list[str]:
    return [block.text for block in result.content if isinstance(block, TextContent)]


# The schema and the kind


@pytest.mark.parametrize(
    ("annotation", "kind", "schema"),
    [
        (int, "int", {"type": "integer"}),
        (float, "float", {"type": "number"}),
        (bool, "bool", {"type": "boolean"}),
        (str, "str", {"type": "string"}),
        (Annotated[int, Meta(description="d")], "int", {"type": "integer", "description": "d"}),
        (Annotated[int, "d"], "int", {"type": "integer", "description": "d"}),
        (Annotated[int, Meta(ge=1)], "json", {"type": "integer", "minimum": 1}),
        (UserId, "int", {"type": "integer"}),
        (Literal["a"], "json", {"type": "string", "enum": ["a"]}),
        (Color, "json", {"title": "Color", "type": "string", "enum": ["red"]}),
        (bytes, "json", {"type": "string", "contentEncoding": "base64"}),
        (datetime, "json", {"type": "string"}),
        (date, "json", {"type": "string", "format": "date"}),
        (Path, "json", {"type": "string", "format": "path"}),
        (list[int], "json", {"type": "array", "items": {"type": "integer"}}),
        (dict[str, int], "json", {"type": "object", "additionalProperties": {"type": "integer"}}),
        (dict, "json", {"type": "object"}),
        (int | None, "json", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (str | datetime, "json", {"anyOf": [{"type": "string"}, {"type": "string"}]}),
        (Iterator[int], "json", {"type": "array", "items": {"type": "integer"}}),
        (AsyncIterator[int], "json", {"type": "array", "items": {"type": "integer"}}),
        (Awaitable[int], "int", {"type": "integer"}),
        (Coroutine[Any, Any, str], "str", {"type": "string"}),
        (None, "none", None),
        (Never, "none", None),
        (Any, "any", None),
        (object, "any", None),
        (TextContent, "blocks", None),
        (ContentBlock, "blocks", None),
        (list[ContentBlock], "blocks", None),
        (list[str | Image], "blocks", None),
        (tuple[str, Image], "blocks", None),
        (Annotated[Image, "d"], "blocks", None),
        (Audio | None, "blocks", None),
        (File, "blocks", None),
        (ResourceLink, "blocks", None),
        (ResourceContents, "blocks", None),
        (ToolResult, "blocks", None),
        (CallToolResult, "blocks", None),
        (Iterator[Image], "blocks", None),
    ],
)
def test_annotation(annotation: Any, kind: str, schema: dict[str, Any] | None) -> None:
    compiled = shape(annotation)
    assert (compiled.kind, compiled.schema) == (kind, schema)

    def fn(): ...

    fn.__annotations__["return"] = annotation
    compiled = shape(fn)
    assert (compiled.kind, compiled.schema) == (kind, schema)


@pytest.mark.parametrize("annotation", [TypeVar("T"), Annotated[Any, "d"] | int, msgspec.Raw])
def test_an_annotation_that_says_little(annotation: Any) -> None:
    compiled = shape(annotation)
    assert compiled.schema in (None, {"anyOf": [{"description": "d"}, {"type": "integer"}]})
    assert texts(compiled.result(["a"])) == ['["a"]']


def test_no_annotation() -> None:
    compiled = shape(lambda: 5)
    assert (compiled.kind, compiled.schema) == ("any", None)


@pytest.mark.parametrize(
    ("annotation", "properties"),
    [(Point, ["x", "where"]), (Box, ["width"]), (Options, ["a"]), (Node, ["nodeId", "children"])],
)
def test_classes_describe_themselves(annotation: Any, properties: list[str]) -> None:
    schema = shape(annotation).schema
    assert schema is not None
    assert list(schema["properties"]) == properties
    assert schema["title"] == annotation.__name__
    jsonschema_rs.Draft202012Validator(schema)


def test_the_docstring_describes_the_result() -> None:
    def fn() -> int:
        """Counts.

        Returns:
            How many there are.
        """
        return 1

    assert shape(fn).schema == {"type": "integer", "description": "How many there are."}
    fn.__annotations__["return"] = Point
    assert shape(fn).schema["description"] == "A point."  # type: ignore[index]


@pytest.mark.parametrize("annotation", [Opaque, list[Opaque], Callable[[], int], complex | Opaque, dict[str, Opaque]])
def test_an_annotation_without_a_json_form_is_refused(annotation: Any) -> None:
    with pytest.raises(RegistrationError) as caught:
        shape(annotation)
    assert str(caught.value).startswith(f"{WHERE}: the return annotation: the annotation ")
    assert "output_schema=None" in str(caught.value)
    assert shape(annotation, output_schema=None).schema is None


def test_an_annotation_that_does_not_resolve_is_refused() -> None:
    def fn() -> "Nowhere": ...  # type: ignore[name-defined] # noqa: F821

    with pytest.raises(
        RegistrationError, match="the return annotation: the annotation names 'Nowhere', which does not"
    ):
        shape(fn)
    assert shape(fn, output_schema=None).schema is None


# output_schema


def test_output_schema_can_be_turned_off() -> None:
    compiled = shape(dict[str, int], output_schema=None)
    assert compiled.schema is None
    result = compiled.result({"a": 1})
    assert texts(result) == ['{"a":1}']
    assert result.structured_content is UNSET
    assert shape(int, output_schema=None).result(5).structured_content is UNSET
    assert shape(list[Image], output_schema=None).kind == "blocks"
    assert shape(None, output_schema=None).kind == "none"


def test_output_schema_can_be_given() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    for annotation in (Any, dict, Opaque, lambda: None):
        compiled = shape(annotation, output_schema=schema)
        assert compiled.schema == schema
        result = compiled.result({"a": 1})
        assert (texts(result), result.structured_content) == (['{"a":1}'], {"a": 1})
        assert compiled.result(Point(1)).structured_content == {"x": 1, "where": "/"}
    assert shape(Any, output_schema={"type": "array"}).result([1]).structured_content == [1]


@pytest.mark.parametrize("schema", [{"a": object()}, True, "object", {"a": {1, 2}, "b": Opaque()}])
def test_an_output_schema_that_is_none_is_refused(schema: Any) -> None:
    with pytest.raises(RegistrationError, match=r"tool 'f' .*: output_schema "):
        shape(Any, output_schema=schema)


# Values


@pytest.mark.parametrize(
    ("annotation", "value", "text", "structured"),
    [
        (str, "hi", "hi", "hi"),
        (str, "", "", ""),
        (int, 5, "5", 5),
        (int, 10**30, "1" + "0" * 30, 10**30),
        (float, 5, "5", 5),
        (float, 1.5, "1.5", 1.5),
        (bool, True, "true", True),
        (int | None, 5, "5", 5),
        (list[int], [1, 2], "[1,2]", [1, 2]),
        (list[int], (1, 2), "[1,2]", (1, 2)),
        (list[int | None], [1, None], "[1,null]", [1, None]),
        (tuple[int, str], (1, "a"), '[1,"a"]', (1, "a")),
        (set[int], {1}, "[1]", [1]),
        (dict[str, int], {"a": 1}, '{"a":1}', {"a": 1}),
        (dict[int, int], {1: 2}, '{"1":2}', {"1": 2}),
        (dict, {}, "{}", {}),
        (Point, Point(1, Path("/a")), '{"x":1,"where":"/a"}', {"x": 1, "where": "/a"}),
        (Box, Box(1), '{"width":1}', {"width": 1}),
        (Options, {"a": 1}, '{"a":1}', {"a": 1}),
        (Pair, Pair(1, "a"), '[1,"a"]', (1, "a")),
        (Row, Row(1), "[1]", [1]),
        (Node, Node(1, [Node(2)]), '{"nodeId":1,"children":[{"nodeId":2,"children":[]}]}',
         {"nodeId": 1, "children": [{"nodeId": 2, "children": []}]}),
        (list[Point], [Point(1)], '[{"x":1,"where":"/"}]', [{"x": 1, "where": "/"}]),
        (Color, Color.RED, "red", "red"),
        (Literal["a", "b"], "b", "b", "b"),
        (datetime, datetime(2026, 7, 28, tzinfo=UTC), "2026-07-28T00:00:00Z", "2026-07-28T00:00:00Z"),
        (str | datetime, datetime(2026, 7, 28, tzinfo=UTC), "2026-07-28T00:00:00Z", "2026-07-28T00:00:00Z"),
        (Decimal, Decimal("1.50"), "1.50", "1.50"),
        (bytes, b"ab", "YWI=", "YWI="),
        (Path, Path("/a"), "/a", "/a"),
        (str, Text("hi"), "hi", "hi"),
        (int, Number(5), "5", 5),
        (Iterator[int], iter([1, 2]), "[1,2]", [1, 2]),
        (Iterator[int], (n for n in (1, 2)), "[1,2]", [1, 2]),
        (Annotated[int, Meta(ge=1)], 1, "1", 1),
        (Point | None, Point(1), '{"x":1,"where":"/"}', {"x": 1, "where": "/"}),
    ],
)  # fmt: skip
def test_value(annotation: Any, value: Any, text: str, structured: Any) -> None:
    compiled = shape(annotation)
    result = compiled.result(value)
    assert texts(result) == [text]
    assert len(result.content) == 1
    assert result.structured_content == structured
    assert type(result.structured_content) is type(structured)
    assert result.is_error is None
    assert compiled.schema is not None
    wire = msgspec.json.decode(msgspec.json.encode(result))
    jsonschema_rs.validator_for(compiled.schema).validate(wire["structuredContent"])


@pytest.mark.parametrize("annotation", [Any, None, lambda: None])
@pytest.mark.parametrize(
    ("value", "text"),
    [("hi", "hi"), (5, "5"), (True, "true"), ([1, None], "[1,null]"), ({"a": 1}, '{"a":1}'), (b"ab", "YWI=")],
)
def test_without_a_schema_there_is_text_alone(annotation: Any, value: Any, text: str) -> None:
    result = shape(annotation).result(value)
    assert texts(result) == [text]
    assert result.structured_content is UNSET


def test_none() -> None:
    assert shape(None).result(None) == CallToolResult(content=[])
    assert shape(Any).result(None) == CallToolResult(content=[])
    result = shape(int | None).result(None)
    assert (result.content, result.structured_content) == ([], None)
    assert msgspec.json.encode(result) == b'{"content":[],"structuredContent":null}'


# Blocks


LINK = ResourceLink(uri="a:b", name="n")
BLOCKS: list[Any] = [
    TextContent(text="a"),
    ImageContent(data="", mime_type="image/png"),
    AudioContent(data="", mime_type="audio/wav"),
    LINK,
    EmbeddedResource(resource=ResourceContents(uri="a:b", text="t")),
]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("annotation", [Any, ContentBlock, list[ContentBlock]])
def test_a_block_passes_through(block: Any, annotation: Any) -> None:
    assert shape(annotation).result(block) == CallToolResult(content=[block])


def test_media_become_blocks() -> None:
    image, sound, file = Image(PNG), Audio(b"OggS"), File("x")
    assert shape(Image).result(image).content == [image.block()]
    result = shape(Any).result([image, sound, file])
    assert [type(block) for block in result.content] == [ImageContent, AudioContent, EmbeddedResource]
    assert shape(Any).result(ResourceContents(uri="a:b", text="t")).content == [BLOCKS[4]]


def test_a_mixed_list_keeps_its_order() -> None:
    image = Image(PNG)
    mixed = ["first", image, {"a": [1]}, None, LINK, 5, "last"]
    for value in (mixed, tuple(mixed), iter(mixed)):
        result = shape(Any).result(value)
        assert result.content == [
            TextContent(text="first"),
            image.block(),
            TextContent(text='{"a":[1]}'),
            LINK,
            TextContent(text="5"),
            TextContent(text="last"),
        ]
        assert result.structured_content is UNSET


def test_a_list_without_blocks_is_one_text_unless_blocks_are_promised() -> None:
    assert texts(shape(Any).result(["a", "b"])) == ['["a","b"]']
    assert texts(shape(list[str | Image]).result(["a", "b"])) == ["a", "b"]
    assert shape(list[str | Image]).result([]).content == []
    assert texts(shape(Any).result([])) == ["[]"]


def test_a_finished_result_passes_through() -> None:
    finished = CallToolResult(content=[], structured_content={"a": 1}, is_error=True)
    assert shape(int).result(finished) is finished


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (ToolResult(), CallToolResult(content=[])),
        (ToolResult("a"), CallToolResult(content=[TextContent(text="a")])),
        (ToolResult(None), CallToolResult(content=[])),
        (
            ToolResult(["a", 5, LINK, None]),
            CallToolResult(content=[TextContent(text="a"), TextContent(text="5"), LINK]),
        ),
        (ToolResult(Point(1)), CallToolResult(content=[TextContent(text='{"x":1,"where":"/"}')])),
        (
            ToolResult(structured_content=[1]),
            CallToolResult(content=[TextContent(text="[1]")], structured_content=[1]),
        ),
        (
            ToolResult("short", structured_content=Point(1), meta={"m": 1}, is_error=True),
            CallToolResult(
                content=[TextContent(text="short")],
                structured_content={"x": 1, "where": "/"},
                meta={"m": 1},  # type: ignore[arg-type]
                is_error=True,
            ),
        ),
        (ToolResult(structured_content=None), CallToolResult(content=[], structured_content=None)),
    ],
)
def test_tool_result(given: ToolResult, expected: CallToolResult) -> None:
    assert shape(ToolResult).result(given) == expected
    if expected.structured_content is msgspec.UNSET:
        with pytest.raises(MisuseError, match="advertises an output schema"):
            shape(int).result(given)
    else:
        assert shape(int).result(given) == expected


def test_a_tool_result_shows_what_was_said() -> None:
    assert repr(ToolResult("a", is_error=True)) == "ToolResult(content='a', meta=None, is_error=True)"


def test_a_tool_result_may_hold_an_iterator() -> None:
    result = shape(Any).result(ToolResult(iter(["a", LINK])))
    assert result.content == [TextContent(text="a"), LINK]


# What JSON cannot say


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (object(), " of type object: a value of type builtins.object has no JSON form"),
        ({"a": Opaque()}, " of type dict: a value of type .*Opaque has no JSON form"),
        ({"a": [float("nan")]}, "it holds a NaN or an infinity"),
        (float("inf"), "it holds a NaN or an infinity"),
        ({"a": None, "b": (1.0, float("-inf"))}, "it holds a NaN or an infinity"),
        ({(1, 2): 3}, "Only dicts with str-like or number-like keys are supported"),
        ([lambda: 0], "has no JSON form"),
        ([UNSET], "has no JSON form"),
    ],
)
def test_what_json_cannot_say(value: Any, words: str) -> None:
    for annotation in (Any, dict | list | float | int):
        with pytest.raises(MisuseError, match=rf"tool 'f' \(function app\.f\): .*{words}"):
            shape(annotation).result(value)
    with pytest.raises(MisuseError, match=rf"tool 'f' .*{words}"):
        shape(Any).result(ToolResult(structured_content=value))
    with pytest.raises(MisuseError, match="tool 'f' "):
        shape(Any).result(["a", LINK, value])


def test_a_number_with_more_digits_than_python_writes() -> None:
    with pytest.raises(MisuseError, match="4300 digits"):
        shape(int).result(10**5000)


def test_a_value_that_contains_itself() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(MisuseError, match="nested too deeply, or contains itself"):
        shape(Any).result(value)


def test_null_is_not_mistaken_for_nan() -> None:
    assert shape(dict).result({"a": None, "b": "null", "c": 1.5}).structured_content == {
        "a": None,
        "b": "null",
        "c": 1.5,
    }


async def answer() -> int:
    return 1


@pytest.mark.parametrize("annotation", [Any, list[Any], int])
@pytest.mark.parametrize("inside", [False, True])
def test_what_was_not_awaited_is_named_and_closed(annotation: Any, inside: bool) -> None:
    forgotten = answer()
    with pytest.raises(MisuseError) as caught:
        shape(annotation).result([forgotten] if inside else forgotten)
    assert describe(caught.value) == (
        f"{WHERE}: returned a value of type {'list' if inside else 'coroutine'}: "
        "a value of type builtins.coroutine has no JSON form. Await it first"
    )
    assert forgotten.cr_frame is None


@pytest.mark.parametrize(
    "value", [object(), {"a": object()}, float("nan"), 10**5000], ids=["object", "inside", "nan", "digits"]
)
@pytest.mark.parametrize("annotation", [Any, dict[str, Any], list[int]])
def test_one_error_tells_what_cannot_be_encoded(annotation: Any, value: Any) -> None:
    for returned in (value, ToolResult(structured_content=value)):
        with pytest.raises(MisuseError) as caught:
            shape(annotation).result(returned)
        told = "".join(traceback.format_exception(caught.value))
        assert told.count("Traceback") == 1 and "pydantic" not in told


def test_an_endless_iterator_is_bounded() -> None:
    from itertools import count

    with pytest.raises(MisuseError, match=f"iterator of more than {MAX_ITEMS:,} members"):
        shape(Any).result(count())
    with pytest.raises(MisuseError, match="iterator of more than"):
        shape(Any).result(ToolResult(count()))


def test_half_surrogate_pairs_are_replaced() -> None:
    bad, good = "a\ud800b", "a\ufffdb"
    for annotation, value, structured in (
        (str, bad, good),
        (list[str], [bad, "\ud83d\ude00"], [good, "😀"]),
        (dict[str, str], {bad: bad}, {good: good}),
        (tuple[str, ...], (bad,), [good]),
    ):
        result = shape(annotation).result(value)
        assert result.structured_content == structured
        msgspec.json.encode(result)
    for value in (TextContent(text=bad), EmbeddedResource(resource=ResourceContents(uri="a:b", text=bad)), [bad, LINK]):
        encoded = msgspec.json.encode(shape(Any).result(value))
        assert "\ufffd" in encoded.decode()
    assert texts(shape(Any).result(ToolResult(bad))) == [good]


TEXT = st.text(st.characters())  # half surrogate pairs, too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.binary() | st.dates()


@given(
    st.recursive(
        SCALARS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT | st.integers(), inner, max_size=4),
        max_leaves=10,
    )
)
def test_any_value_becomes_valid_json_or_a_clear_error(value: Any) -> None:
    try:
        result = shape(dict[str, Any]).result({"v": value})
    except MisuseError as error:
        assert "NaN" in str(error)  # noqa: PT017 - there is an error, or there is a result
        return
    wire = msgspec.json.decode(msgspec.json.encode(result))
    assert msgspec.json.decode(wire["content"][0]["text"]) == wire["structuredContent"]


# Conformity: a tool with an output schema keeps to it


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "5"),
        (int, None),
        (int, 5.5),
        (int, True),
        (str, 5),
        (bool, 1),
        (list[int], ["a"]),
        (list[int], None),
        (list[Point], [None]),
        (dict[str, int], [1]),
        (dict[str, list[int]], {"a": ["b"]}),
        (Point, None),
        (Point | None, 5),
        (Node, [1]),
        (Box, "a"),
        (Options, None),
        (Color, "green"),
        (Literal["a"], "b"),
        (Annotated[int, Meta(ge=1)], 0),
        (datetime, "soon"),
        (tuple[int, str], (1,)),
    ],
)
def test_a_value_the_annotation_does_not_allow(annotation: Any, value: Any) -> None:
    with pytest.raises(MisuseError) as caught:
        shape(annotation).result(value)
    text = str(caught.value)
    assert text.startswith(f"{WHERE}: returned a value of type {type(value).__name__} that its return annotation ")
    assert text.endswith("Change the annotation, or pass output_schema=None")
    shape(annotation, output_schema=None).result(value)


WRONG_BOOK = Book("1", "many")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
WRONG_BOX = Box("wide")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
WRONG_NODE = Node(1, [Node("two")])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("annotation", "value", "words"),
    [
        (Book, {"pages": 1}, "Object missing required field `isbn`"),
        (Book, WRONG_BOOK, "Expected `int`, got `str` - at `$.pages`"),
        (list[Book], [Book("1"), WRONG_BOOK], "Expected `int`, got `str` - at `$[1].pages`"),
        (dict[str, Book], {"a": WRONG_BOOK}, "Expected `int`, got `str` - at `$[...].pages`"),
        (Book | None, WRONG_BOOK, "Expected `int`, got `str` - at `$.pages`"),
        (Book | Box, WRONG_BOX, "at `$.width`"),
        (Box, WRONG_BOX, "Expected `int`, got `str` - at `$.width`"),
        (Options, {"a": "b"}, "Expected `int`, got `str` - at `$.a`"),
        (Options, {}, "Object missing required field `a`"),
        (Node, {"node_id": 1}, "Object missing required field `nodeId`"),
        (Node, WRONG_NODE, "Expected `int`, got `str` - at `$.children[0].nodeId`"),
        (Pair, ("left", "right"), "Expected `int`, got `str` - at `$[0]`"),
        (list[Row], [("a",)], "Expected `int`, got `str` - at `$[0][0]`"),
        (Model, {"name": 3}, "Expected `str`, got `int` - at `$.name`"),
        (Model, {}, "Object missing required field `name`"),
        (list[Model], [{"name": "a"}, {"name": 3}], "Expected `str`, got `int` - at `$[1].name`"),
        (Model | None, {"name": 3}, "Expected `str`, got `int` - at `$.name`"),
        (Annotated[datetime, Meta(tz=True)], datetime(2026, 1, 1), "with a timezone component"),  # noqa: DTZ001
    ],
)
def test_the_member_that_is_not_as_promised_is_named(annotation: Any, value: Any, words: str) -> None:
    with pytest.raises(MisuseError) as caught:
        shape(annotation).result(value)
    assert words in str(caught.value)
    shape(annotation, output_schema=None).result(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Book, {"isbn": "1"}),
        (Book, {"isbn": "1", "more": True}),
        (Model, Model(name="a", when=datetime(2026, 1, 1))),  # noqa: DTZ001
        (Model, {"name": "a"}),
        (list[Model] | None, [Model(name="a"), {"name": "b"}]),
    ],
)
def test_what_has_the_members_will_do(annotation: Any, value: Any) -> None:
    result = shape(annotation).result(value)
    wire = msgspec.json.decode(msgspec.json.encode(result))
    jsonschema_rs.validator_for(shape(annotation).schema).validate(wire["structuredContent"])


def test_a_check_never_runs_an_author_s_code() -> None:
    made: list[int] = []

    @dataclass
    class Counted:
        n: int

        def __post_init__(self) -> None:
            made.append(self.n)

    value = [Counted(1)]
    assert shape(list[Counted]).result(value).structured_content == [{"n": 1}]
    assert made == [1]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Pair, Pair(1, "a")),
        (Row | None, None),
        (list[Row], [Row(1)]),
        (Path | None, Path("a")),
        (str | Path, Path("a")),
        (dict[Color, Point | Box], {Color.RED: Box(1)}),
        (Point | Box, Box(1)),
    ],
)
def test_what_is_as_promised_passes(annotation: Any, value: Any) -> None:
    shape(annotation).result(value)
