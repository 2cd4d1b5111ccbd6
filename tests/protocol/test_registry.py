"""The typed registry: Struct classes as tools, their names and schemas, and what a call becomes."""

from enum import Enum
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

from tybalt.errors import InvalidArguments, InvalidParams, RegistrationError, cut
from tybalt.protocol.registry import NoTools, Registry
from tybalt.protocol.timestamp import Timestamp


class Unit(Enum):
    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


class GetWeather(Struct):
    """Current weather in a city.

    Takes the city's English name,
        and nothing else.
    """

    city: Annotated[str, Meta(description="Name of the city", min_length=1)]
    unit: Unit | None = None


class Add(Struct, forbid_unknown_fields=True):
    """Add two numbers."""

    a: int
    b: int = 0


class Place(Struct):
    name: str
    inside: "Place | None" = None


class FindPlace(Struct):
    __tool_name__ = "places.find"

    place: Place


class Tagged(Struct, tag="tagged-tool", tag_field="kind"):
    value: int


class Node(Struct):
    """A tree."""

    children: list["Node"] = []


class Remind(Struct):
    at: Timestamp


registry = Registry(GetWeather, Add)


def test_a_call_becomes_a_struct_to_match_on() -> None:
    match registry.parse("get_weather", b'{"city":"Oslo","unit":"celsius"}'):
        case GetWeather(city=city, unit=unit):
            assert (city, unit) == ("Oslo", Unit.CELSIUS)
        case Add():
            pytest.fail("another tool")


def test_arguments_may_be_a_slice_of_the_message_or_missing() -> None:
    assert registry.parse("add", msgspec.Raw(b'{"a":1,"b":2}')) == Add(1, 2)
    assert Registry(Node).parse("node") == Node([])


def test_tools_are_described_by_name_docstring_and_schema() -> None:
    weather, add = registry.tools()
    assert weather.name == "get_weather"
    assert weather.description == (
        "Current weather in a city.\n\nTakes the city's English name,\n    and nothing else."
    )
    assert weather.input_schema == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 1, "description": "Name of the city"},
            "unit": {"anyOf": [{"$ref": "#/$defs/Unit"}, {"type": "null"}], "default": None},
        },
        "required": ["city"],
        "$defs": {"Unit": {"title": "Unit", "enum": ["celsius", "fahrenheit"]}},
    }
    assert (add.name, add.description) == ("add", "Add two numbers.")
    assert add.input_schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 0}},
        "additionalProperties": False,
        "required": ["a"],
    }


def test_a_root_that_refers_to_itself_stays_defined() -> None:
    (tool,) = Registry(Node).tools()
    assert tool.description == "A tree."
    assert tool.input_schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Node"}
    assert jsonschema_rs.validator_for(tool.input_schema).is_valid({"children": [{"children": [{}]}]})
    assert not jsonschema_rs.validator_for(tool.input_schema).is_valid({"children": [{"children": 5}]})


def test_a_name_may_be_given_or_be_the_tag() -> None:
    names = [tool.name for tool in Registry(FindPlace, Tagged).tools()]
    assert names == ["places.find", "tagged-tool"]


def test_a_tag_is_no_argument() -> None:
    both = Registry(FindPlace, Tagged)
    assert both.parse("tagged-tool", b'{"value":5}') == Tagged(5)
    assert both.tools()[1].input_schema == {
        "type": "object",
        "properties": {"value": {"type": "integer"}},
        "required": ["value"],
    }


def test_a_class_without_a_docstring_has_no_description() -> None:
    class Plain(GetWeather):
        pass

    assert Registry(Plain).tools()[0].description is None


@pytest.mark.parametrize(
    ("class_name", "tool_name"),
    [
        ("Add", "add"),
        ("GetWeather", "get_weather"),
        ("HTTPFetch", "http_fetch"),
        ("FetchURL", "fetch_url"),
        ("GetURL2Text", "get_url2_text"),
        ("already_snake", "already_snake"),
        ("A", "a"),
    ],
)
def test_names_are_in_snake_case(class_name: str, tool_name: str) -> None:
    kind = msgspec.defstruct(class_name, [])
    assert [tool.name for tool in Registry(kind).tools()] == [tool_name]


def test_a_timestamp_is_a_field_like_any_other() -> None:
    reminders = Registry(Remind)
    assert reminders.tools()[0].input_schema["properties"] == {"at": {"type": "string", "format": "date-time"}}
    assert reminders.parse("remind", b'{"at":"2026-01-31T09:30:00Z"}').at == Timestamp("2026-01-31T09:30:00Z")
    with pytest.raises(InvalidArguments) as caught:
        reminders.parse("remind", b'{"at":"soon"}')
    assert str(caught.value) == (
        "remind: $.at: invalid RFC 3339 timestamp 'soon': expected 4 digits for the year at position 0, got 'soon'\n"
        "Example: 2026-01-31T09:30:00Z"
    )


@pytest.mark.parametrize("name", ["sub", "Add", "", "x" * 100_000])
def test_an_unknown_tool_is_invalid_params(name: str) -> None:
    with pytest.raises(InvalidParams) as caught:
        registry.parse(name, b"{}")
    assert str(caught.value) == f"Unknown tool: {cut(name)}" and len(str(caught.value)) < 120
    assert caught.value.code == -32602
    assert not isinstance(caught.value, InvalidArguments)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("add", b"{}", "add: $: Object missing required field `a`"),
        ("add", b'{"a":"5"}', "add: $.a: Expected `int`, got `str`"),
        ("add", b'{"a":5,"c":1}', "add: $: Object contains unknown field `c`"),
        ("add", b"null", "add: $: Expected `object`, got `null`"),
        ("add", b"[1,2]", "add: $: Expected `object`, got `array`"),
        ("add", b"", "add: $: not JSON: Input data was truncated"),
        ("add", b'{"a":1', "add: $: not JSON: Input data was truncated"),
        ("add", b'{"a":1}}', "add: $: not JSON: JSON is malformed: trailing characters (byte 8)"),
        ("add", b'{"a":\xff}', "add: $: not JSON: JSON is malformed: invalid character (byte 5)"),
        ("get_weather", b'{"city":"\xff"}', "get_weather: $: not UTF-8"),
        ("get_weather", b'{"city":""}', "get_weather: $.city: Expected `str` of length >= 1"),
        ("get_weather", b'{"city":"x","unit":"kelvin"}', "get_weather: $.unit: Invalid enum value 'kelvin'"),
        ("node", b'{"children":' + b'[{"children":' * 100_000, "node: $: nested too deeply"),
        ("places.find", b'{"place":{"name":"x","inside":{"name":1}}}', "places.find: $.place.inside.name: Expected"),
    ],
)
def test_arguments_that_do_not_fit_are_explained(name: str, arguments: bytes, text: str) -> None:
    with pytest.raises(InvalidArguments) as caught:
        Registry[Any](GetWeather, Add, Node, FindPlace).parse(name, arguments)
    assert str(caught.value).startswith(text)
    assert caught.value.tool == name
    assert str(caught.value) == f"{name}: {caught.value.problems}"
    assert caught.value.code == -32602


def test_an_explanation_does_not_repeat_a_large_value() -> None:
    with pytest.raises(InvalidArguments) as caught:
        registry.parse("get_weather", b'{"city":"x","unit":"%s"}' % (b"k" * 1_000_000))
    assert len(str(caught.value)) < 600


def test_a_union_is_a_registry() -> None:
    both = Registry.from_union(GetWeather | Add)
    assert [tool.name for tool in both.tools()] == ["get_weather", "add"]
    assert both.parse("add", b'{"a":1}') == Add(1, 0)
    assert len(Registry.from_union(Add)) == 1


def test_an_empty_registry_is_false_and_knows_nothing() -> None:
    for empty in (NoTools(), Registry[Any]()):
        assert not empty
        assert empty.tools() == []
        with pytest.raises(InvalidParams, match=r"^Unknown tool: add$"):
            empty.parse("add", b"{}")
    assert registry
    assert len(registry) == 2
    assert "add" in registry
    assert "sub" not in registry


class Row(Struct, array_like=True):
    a: int


class Odd(Struct):
    __tool_name__ = "add numbers"


class Numbered(Struct):
    __tool_name__: ClassVar[Any] = 5


class Unknown(Struct):
    value: complex


class Ambiguous(Struct):
    value: dict[str, int] | Place


class Addition(Struct):
    __tool_name__ = "add"


T = TypeVar("T")


class Box(Struct, Generic[T]):
    value: T


@pytest.mark.parametrize(
    ("kinds", "problem"),
    [
        ((int,), "a tool of a registry is a msgspec Struct class, got <class 'int'>"),
        ((Add(1),), "a tool of a registry is a msgspec Struct class, got Add"),
        ((Literal["x"],), "a tool of a registry is a msgspec Struct class"),
        ((Box[int],), "a tool of a registry is a msgspec Struct class"),
        ((Row,), "Row: the arguments of a tool are an object"),
        ((Odd,), "Odd: 'add numbers' cannot be a tool name. Set __tool_name__ to 1 to 128 of"),
        ((Numbered,), "Numbered: 5 cannot be a tool name"),
        ((msgspec.defstruct("X" * 129, []),), "cannot be a tool name"),
        ((msgspec.defstruct("Größe", []),), "'größe' cannot be a tool name"),
        ((Unknown,), "Unknown: type <class 'complex'> is not supported. Use types that msgspec knows, or Timestamp"),
        ((Ambiguous,), "Ambiguous: .*more than one dict-like type"),
        ((Add, Addition), "Addition: a tool called 'add' is there already"),
        ((Add, Add), "Add: a tool called 'add' is there already"),
    ],
)
def test_what_cannot_be_a_tool_is_refused_with_a_remedy(kinds: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(RegistrationError, match=problem):
        Registry(*kinds)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]"ab:,0 ', max_size=40).map(str.encode))
def test_any_bytes_are_a_struct_or_invalid_arguments(arguments: bytes) -> None:
    try:
        parsed = registry.parse("add", arguments)
    except InvalidArguments as error:
        parsed = str(error)
    assert isinstance(parsed, Add) or parsed.startswith("add: $")
