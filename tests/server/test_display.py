"""The advertised surface and a call's result as text: the exact format, and schemas of every shape."""

from enum import Enum
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Meta, Struct

from tybalt.protocol.registry import Registry
from tybalt.server.display import render, render_result, type_name
from tybalt.types.content import AudioContent, EmbeddedResource, ImageContent, ResourceLink, TextContent
from tybalt.types.prompts import Prompt, PromptArgument
from tybalt.types.resources import BlobResourceContents, Resource, ResourceTemplate, TextResourceContents
from tybalt.types.tools import CallToolResult, Tool


class Units(Enum):
    METRIC = "metric"
    IMPERIAL = "imperial"


class GetWeather(Struct):
    """Get the current weather."""

    city: Annotated[str, Meta(description="The city to look up.\nIts English name.")]
    units: Units | None = None
    days: int = 1


class Ping(Struct):
    """Answer."""


TOOLS = Registry(GetWeather, Ping).tools()


def test_a_server_with_nothing_is_its_name_and_version() -> None:
    assert render(name="empty", version="0.0.0") == "# empty\n\nVersion: 0.0.0\n"


def test_instructions_follow_the_version() -> None:
    assert render(name="a", version="1", instructions="Be brief.") == (
        "# a\n\nVersion: 1\n\n## Instructions\n\nBe brief.\n"
    )


def test_the_whole_document() -> None:
    document = render(
        name="weather",
        version="1.2.3",
        instructions="Ask for one city at a time.",
        tools=TOOLS,
        resources=[
            Resource(uri="config://app", name="config", description="Settings.", mime_type="text/plain", size=5),
            Resource(uri="log://today", name="log"),
        ],
        templates=[
            ResourceTemplate(uri_template="city://{name}{/parts*}{?q}", name="city", description="One city."),
            ResourceTemplate(uri_template="odd://{x:3}", name="odd", mime_type="text/plain"),
        ],
        prompts=[
            Prompt(
                name="review",
                description="Review code.",
                arguments=[
                    PromptArgument(name="style", description="How strict."),
                    PromptArgument(name="code", required=True),
                ],
            ),
            Prompt(name="hello"),
        ],
    )
    assert document == (
        "# weather\n"
        "\n"
        "Version: 1.2.3\n"
        "\n"
        "## Instructions\n"
        "\n"
        "Ask for one city at a time.\n"
        "\n"
        "# Tools\n"
        "\n"
        "## get_weather\n"
        "\n"
        "Get the current weather.\n"
        "\n"
        "Parameters:\n"
        "  city (string, required)\n"
        "    The city to look up.\n"
        "    Its English name.\n"
        "  days (integer, optional)\n"
        "  units (string | null, optional)\n"
        "    Values: imperial, metric\n"
        "\n"
        "## ping\n"
        "\n"
        "Answer.\n"
        "\n"
        "# Resources\n"
        "\n"
        "## config\n"
        "\n"
        "Settings.\n"
        "\n"
        "URI: config://app\n"
        "MIME type: text/plain\n"
        "Size: 5 bytes\n"
        "\n"
        "## log\n"
        "\n"
        "URI: log://today\n"
        "\n"
        "# Resource templates\n"
        "\n"
        "## city\n"
        "\n"
        "One city.\n"
        "\n"
        "URI template: city://{name}{/parts*}{?q}\n"
        "\n"
        "Parameters:\n"
        "  name (string, required)\n"
        "  parts (array, required)\n"
        "  q (string, optional)\n"
        "\n"
        "## odd\n"
        "\n"
        "URI template: odd://{x:3}\n"
        "MIME type: text/plain\n"
        "\n"
        "# Prompts\n"
        "\n"
        "## review\n"
        "\n"
        "Review code.\n"
        "\n"
        "Parameters:\n"
        "  code (string, required)\n"
        "  style (string, optional)\n"
        "    How strict.\n"
        "\n"
        "## hello\n"
    )


def tool(properties: Any, **root: Any) -> Tool:
    return Tool(name="t", description="d", input_schema={"type": "object", "properties": properties, **root})


@pytest.mark.parametrize(
    ("schema", "lines"),
    [
        ({"type": "string"}, ["p (string, optional)"]),
        ({"type": ["string", "null"]}, ["p (string | null, optional)"]),
        ({"type": "array", "items": {"type": "integer"}}, ["p (array, optional)"]),
        ({"type": "string", "description": "What."}, ["p (string, optional)", "  What."]),
        ({"type": "string", "description": "A.\n\nB."}, ["p (string, optional)", "  A.", "", "  B."]),
        ({"type": "string", "description": 5}, ["p (string, optional)"]),
        ({}, ["p (any, optional)"]),
        (True, ["p (any, optional)"]),
        (None, ["p (any, optional)"]),
        ({"type": 5}, ["p (any, optional)"]),
        ({"enum": ["a", "b"]}, ["p (string, optional)", "  Values: a, b"]),
        ({"type": "integer", "enum": [1, 2]}, ["p (integer, optional)", "  Values: 1, 2"]),
        (
            {"enum": ["a", 1, 1.5, True, None, {"k": "é"}]},
            [
                "p (string | integer | number | boolean | null | any, optional)",
                '  Values: a, 1, 1.5, true, null, {"k":"é"}',
            ],
        ),
        ({"const": "a"}, ["p (string, optional)", "  Values: a"]),
        ({"const": None}, ["p (null, optional)", "  Values: null"]),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, ["p (integer | string, optional)"]),
        ({"anyOf": [{"type": "integer"}, {}]}, ["p (integer | any, optional)"]),
        ({"anyOf": [{"type": "string"}, {"type": "string", "maxLength": 3}]}, ["p (string, optional)"]),
        ({"anyOf": [{"enum": ["a"]}, {"type": "null"}]}, ["p (string | null, optional)", "  Values: a"]),
        ({"anyOf": [{"enum": ["a"]}, {"type": "string"}]}, ["p (string, optional)"]),
        (
            {"type": "string", "oneOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]},
            ["p (string, optional)", "  Values: a, b"],
        ),
        ({"$ref": "#/$defs/Kind"}, ["p (string, optional)", "  Which kind.", "  Values: a, b"]),
        ({"$ref": "#/$defs/Kind", "description": "Mine."}, ["p (string, optional)", "  Mine.", "  Values: a, b"]),
        ({"allOf": [{"$ref": "#/$defs/Kind"}], "default": "a"}, ["p (string, optional)", "  Values: a, b"]),
        ({"allOf": [{"type": "string"}, {"maxLength": 3}]}, ["p (any, optional)"]),
        ({"$ref": "#/$defs/a~1b~0c"}, ["p (boolean, optional)"]),
        ({"$ref": "#/$defs/Missing"}, ["p (any, optional)"]),
        ({"$ref": "https://example.com/schema"}, ["p (any, optional)"]),
        ({"$ref": "#"}, ["p (object, optional)"]),
        ({"$ref": "#/$defs/Loop"}, ["p (any, optional)"]),
        ({"$ref": "#/$defs/Tree"}, ["p (string, optional)"]),
        ({"$ref": 5}, ["p (any, optional)"]),
    ],
)
def test_a_parameter_is_shown_by_what_its_schema_says(schema: Any, lines: list[str]) -> None:
    definitions = {
        "Kind": {"enum": ["a", "b"], "description": "Which kind."},
        "a/b~c": {"type": "boolean"},
        "Loop": {"$ref": "#/$defs/Loop"},
        "Tree": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Tree"}]},
    }
    document = render(name="n", version="1", tools=[tool({"p": schema}, **{"$defs": definitions})])
    _, _, shown = document.partition("Parameters:\n")
    assert shown == "".join(f"  {line}\n" if line else "\n" for line in lines)


@pytest.mark.parametrize("properties", [None, [], {}, 5])
def test_a_tool_without_parameters_is_its_name_and_description(properties: Any) -> None:
    assert render(name="n", version="1", tools=[tool(properties)]).endswith("# Tools\n\n## t\n\nd\n")


def test_an_odd_required_is_read_as_none() -> None:
    assert "p (any, optional)" in render(name="n", version="1", tools=[tool({"p": {}}, required="p")])


def test_a_schema_that_branches_without_end_is_done_in_one_pass() -> None:
    levels = {f"L{level}": {"anyOf": [{"$ref": f"#/$defs/L{level + 1}"}] * 50} for level in range(60)}
    root = {"$defs": levels | {"L60": {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/L0"}]}}}
    assert type_name({"$ref": "#/$defs/L0"}, root) == "integer"


schemas = st.recursive(
    st.sampled_from([True, None, 5, "x", {}, {"type": "string"}, {"$ref": "#"}, {"$ref": "#/$defs/a"}, {"enum": [1]}]),
    lambda inner: st.dictionaries(
        st.sampled_from(["anyOf", "oneOf", "allOf", "$ref", "type", "enum", "description", "properties", "$defs", "a"]),
        inner | st.lists(inner, max_size=3),
        max_size=4,
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["p", "q"]), schemas), schemas)
def test_any_schema_is_shown(properties: dict[str, Any], definitions: Any) -> None:
    document = render(name="n", version="1", tools=[tool(properties, **{"$defs": definitions})])
    assert all(f"  {name} (" in document for name in properties)


LINK = ResourceLink(uri="file:///a.txt", name="a.txt")


@pytest.mark.parametrize(
    ("content", "structured", "text"),
    [
        ([], UNSET, ""),
        ([TextContent(text="one\ntwo")], UNSET, "one\ntwo"),
        ([TextContent(text="one"), TextContent(text="two")], UNSET, "one\n\ntwo"),
        ([ImageContent(data="aGk=", mime_type="image/png")], UNSET, "[Image: image/png, 4 bytes]"),
        ([AudioContent(data="aGk=", mime_type="audio/wav")], UNSET, "[Audio: audio/wav, 4 bytes]"),
        ([LINK], UNSET, "[Resource: a.txt (file:///a.txt)]"),
        ([EmbeddedResource(resource=TextResourceContents(uri="a:b", text="x"))], UNSET, "[Embedded Text: a:b]"),
        (
            [EmbeddedResource(resource=BlobResourceContents(uri="a:b", blob="aGk=", mime_type="image/png"))],
            UNSET,
            "[Embedded Blob: a:b, image/png, 4 bytes]",
        ),
        (
            [EmbeddedResource(resource=BlobResourceContents(uri="a:b", blob=""))],
            UNSET,
            "[Embedded Blob: a:b, unknown, 0 bytes]",
        ),
        (
            [TextContent(text="t")],
            {"a": [1, "é"], "b": {}},
            't\n\nStructured Content:\n{\n  "a": [\n    1,\n    "é"\n  ],\n  "b": {}\n}',
        ),
        ([], None, "Structured Content:\nnull"),
    ],
)
def test_a_result_is_shown_block_by_block(content: list[Any], structured: Any, text: str) -> None:
    assert render_result(CallToolResult(content=content, structured_content=structured)) == text


def test_a_result_that_came_over_the_wire_is_shown_alike() -> None:
    result = CallToolResult(content=[LINK, TextContent(text="x")], structured_content=5)
    assert render_result(msgspec.json.decode(msgspec.json.encode(result), type=CallToolResult)) == render_result(result)


def test_literals_and_numbers_are_named() -> None:
    schema = msgspec.json.schema(dict[str, Literal["a", "b"] | int | None])
    assert sorted(type_name(schema["additionalProperties"], schema).split(" | ")) == ["integer", "null", "string"]
