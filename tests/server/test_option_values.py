"""The options of a declaration: every value that cannot be is refused where it stands, with what to do instead."""

from enum import StrEnum
from types import MappingProxyType
from typing import Any

import pytest

from tests.server.driving import REVISIONS, Driver
from tybalt import Annotations, Icon, RegistrationError, Server, ToolAnnotations, prompt, resource, tool
from tybalt.server.completion import Completer
from tybalt.server.option_values import _ROWS, advertisable  # pyright: ignore[reportPrivateUsage]
from tybalt.server.prompt import Prompt
from tybalt.server.resource import Resource, ResourceTemplate
from tybalt.server.tool import Tool
from tybalt.types.tools import Tool as ToolDefinition

HALF = "\ud800"


def add(a: int = 1) -> int:
    """Add."""
    return a


def words() -> str:
    return "words"


@pytest.mark.parametrize(
    ("options", "expected", "got"),
    [
        ({"name": 5}, "name: expected a string of at least one character", "got 5; leave it out"),
        ({"name": ""}, "name: expected a string of at least one character", "got ''; "),
        ({"title": 5}, "title: expected a string", "got 5; leave it out"),
        ({"title": HALF}, "title: expected a string", "(half of a surrogate pair is no Unicode text); "),
        ({"description": b"text"}, "description: expected a string", "got b'text'; leave it out for the docstring"),
        ({"version": 2}, "version: expected a string", "got 2; write it as in version='1.0'"),
        ({"version": object()}, "version: expected a string", "got <object"),
        ({"tags": "maths"}, "tags: expected strings", "got 'maths'; write them as in tags={'maths'}"),
        ({"tags": 5}, "tags: expected strings", "got 5"),
        ({"tags": [1, "a"]}, "tags: expected strings", "got [1, 'a']; "),
        ({"tags": [""]}, "tags: expected strings", "got ['']; "),
        ({"tags": {object()}}, "tags: expected strings", "got {<object"),
        ({"icons": "ab"}, "icons: expected Icon objects", "got 'ab'; write them as in icons=[Icon(src="),
        ({"icons": Icon(src="x")}, "icons: expected Icon objects", "got Icon(src='x')"),
        ({"icons": [{"src": "x"}]}, "icons: expected Icon objects", "got [{'src': 'x'}]; "),
        ({"icons": [Icon(src=5)]}, "icons: expected Icon objects", "(Expected `str`, got `int`"),  # pyright: ignore[reportArgumentType]
        ({"meta": [1]}, "meta: expected a mapping of strings to what JSON can say", "got [1]; "),
        ({"meta": {"a": object()}}, "meta: expected a mapping", "(Encoding objects of type object is unsupported); "),
        ({"meta": {1: 2}}, "meta: expected a mapping of strings", "got {1: 2}; "),
        ({"meta": {"a": [float("nan")]}}, "meta: expected a mapping", "(JSON has no word for NaN and infinity); "),
        ({"meta": {"a": HALF}}, "meta: expected a mapping", "(half of a surrogate pair is no Unicode text); "),
        ({"timeout": "5"}, "timeout: expected a duration above 0", "got '5'; write seconds, '30s' or a timedelta"),
        ({"timeout": 0}, "timeout: expected a duration above 0", "got 0; "),
        ({"timeout": -1.5}, "timeout: expected a duration above 0", "got -1.5; "),
        ({"timeout": float("nan")}, "timeout: expected a duration above 0", "got nan; "),
        ({"timeout": float("inf")}, "timeout: expected a duration above 0", "got inf; "),
        ({"timeout": True}, "timeout: expected a duration above 0", "got True; "),
        ({"annotations": "x"}, "annotations: expected ToolAnnotations, or a mapping", "it may hold title, read_only_"),
        ({"annotations": Annotations()}, "annotations: expected ToolAnnotations", "got Annotations()"),
        ({"annotations": {"readOnlyHint": "yes"}}, "annotations: expected ToolAnnotations", "`$.readOnlyHint`); "),
        ({"annotations": {"readonly": True}}, "annotations: expected ToolAnnotations", "'readonly'"),
        ({"annotations": {5: True}}, "annotations: expected ToolAnnotations", "got {5: True}"),
        ({"input_schema": 5}, "input_schema: expected a JSON Schema of an object", "got 5; write it as in"),
        (
            {"input_schema": {"type": "array"}},
            "input_schema: expected a JSON Schema of an object",
            "got {'type': 'array'}",
        ),
        ({"output_schema": 5}, "output_schema: expected a JSON Schema as a dict", "got 5; pass None for no"),
        ({"strict": "yes"}, "strict: expected True or False", "got 'yes'; "),
    ],
)
def test_a_tool_s_option_that_cannot_be(options: dict[str, Any], expected: str, got: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        tool(**options)(add)
    told = str(caught.value)
    assert told.startswith(f"tool 'add' (function {__name__}.add): ")
    assert expected in told
    assert got in told
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"mime_type": 5}, "mime_type: expected a media type such as 'text/plain', got 5; "),
        ({"mime_type": "json"}, "mime_type: expected a media type such as 'text/plain', got 'json'; "),
        ({"mime_type": "text/"}, "mime_type: expected a media type"),
        ({"mime_type": "text/pl ain"}, "mime_type: expected a media type"),
        ({"mime_type": "text/plain\n"}, "mime_type: expected a media type"),
        ({"mime_type": "text/plain; charset=utf-8\n"}, "mime_type: expected a media type"),
        ({"mime_type": "text/a/b"}, "mime_type: expected a media type"),
        ({"mime_type": "téxt/plain"}, "mime_type: expected a media type"),
        ({"size": "x"}, "size: expected a whole number of bytes, 0 or more, got 'x'; "),
        ({"size": 1.5}, "size: expected a whole number of bytes"),
        ({"size": -1}, "size: expected a whole number of bytes"),
        ({"size": 2**70}, "size: expected a whole number of bytes"),
        ({"ttl": "x"}, "ttl: expected a number of seconds, 0 or more, got 'x'; "),
        ({"ttl": -1}, "ttl: expected a number of seconds, 0 or more, got -1; "),
        ({"ttl": float("nan")}, "ttl: expected a number of seconds"),
        ({"ttl": 1e300}, "ttl: expected a number of seconds"),
        ({"scope": "all"}, "scope: expected 'public' or 'private', got 'all'; leave it out for 'private'"),
        ({"scope": ["public"]}, "scope: expected 'public' or 'private', got ['public']"),
        (
            {"annotations": {"priority": 5}},
            "annotations: expected Annotations, or a mapping, got {'priority': 5} (priori",
        ),
        ({"annotations": {"audience": "user"}}, "annotations: expected Annotations, or a mapping"),
        ({"annotations": ToolAnnotations()}, "annotations: expected Annotations, or a mapping"),
        (
            {"unchecked": "id"},
            "unchecked: expected names of variables as strings, got 'id'; write them as in unchecked={",
        ),
    ],
)
def test_a_resource_s_option_that_cannot_be(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        resource("data://x", **options)(words)
    assert f"resource 'words' (function {__name__}.words): {expected}" in str(caught.value)


def test_a_wrong_value_is_repeated_in_short() -> None:
    with pytest.raises(RegistrationError) as caught:
        tool(meta={"a": object(), "b": "x" * 1000})(add)
    assert len(str(caught.value)) < 400


def test_every_option_of_every_kind_has_a_row() -> None:
    for kind in (Tool, Resource, ResourceTemplate, Prompt, Completer):
        assert kind.option_names <= _ROWS.keys()


def test_what_may_be_is_kept_as_it_is_advertised() -> None:
    class Name(StrEnum):
        PLUS = "plus"

    shared = {"list": [1]}
    declared = tool(
        add,
        name=Name.PLUS,
        tags=(tag for tag in ("b", "a")),
        icons=(Icon(src=src) for src in ("x",)),
        meta=MappingProxyType(shared),
        annotations=MappingProxyType({"readOnlyHint": True, "open_world_hint": False}),
        timeout=5,
        strict=True,
    )
    shared["list"].append(2)
    again = declared.remade(title="Again")  # what was iterated over once is still there
    for each in (declared, again):
        assert type(each.name) is str and each.name == "plus"
        assert each.definition.icons == [Icon(src="x")]
        assert each.definition.meta == {"list": [1], "dev.tybalt/tags": ["a", "b"]}
        assert each.definition.annotations == ToolAnnotations(read_only_hint=True, open_world_hint=False)


def test_none_is_as_good_as_left_out() -> None:
    names = Tool.option_names - {"output_schema"}
    assert tool(add, **dict.fromkeys(names)).definition == tool(add).definition  # pyright: ignore[reportArgumentType]
    names = Resource.option_names - {"uri"}
    assert resource("d://x", **dict.fromkeys(names))(words).definition == resource("d://x")(words).definition
    names = Prompt.option_names
    assert prompt(words, **dict.fromkeys(names)).definition == prompt(words).definition


def test_annotations_of_a_resource_may_be_a_mapping() -> None:
    declared = resource("d://x", annotations={"audience": ["user"], "last_modified": "2026-01-01"})(words)
    assert declared.definition.annotations == Annotations(audience=["user"], last_modified="2026-01-01")


def test_a_docstring_that_is_no_text_is_refused() -> None:
    def broken() -> None: ...

    broken.__doc__ = f"Broken {HALF}."
    for declare in (tool, prompt, resource("d://x")):
        with pytest.raises(
            RegistrationError, match=r"function .*broken.: what a client is told of it cannot be sent: half"
        ):
            declare(broken)


def test_the_last_net_catches_what_no_client_could_read() -> None:
    for definition in (
        ToolDefinition(name="x", input_schema={"a": object()}),
        ToolDefinition(name="x", input_schema={"a": HALF}),
        ToolDefinition(name="x", input_schema={}, title=5),  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(RegistrationError, match=r"tool 'x': what a client is told of it cannot be sent: .* Only"):
            advertisable(definition, "tool 'x'")


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_is_refused_leaves_the_lists_as_they_were(revision: str) -> None:
    server = Server("x", run_in="loop").add(add)
    with pytest.raises(RegistrationError):
        server.tool(words, meta={"a": object()})
    assert [each["name"] for each in Driver(server, revision).result("tools/list")["tools"]] == ["add"]


def test_media_types_that_may_be() -> None:
    for mime_type in ("text/plain", "image/svg+xml", "text/plain;charset=utf-8", 'text/x; a="b/c"; d=e', "a.b/c-d_e"):
        assert resource("data://x", mime_type=mime_type)(words).definition.mime_type == mime_type


def test_an_output_schema_that_json_cannot_say_is_refused() -> None:
    for number in (float("nan"), float("inf")):
        with pytest.raises(RegistrationError, match=r"tool 'add' .*: output_schema .*: it holds a NaN or an infinity"):
            tool(add, output_schema={"type": "object", "properties": {"a": {"maximum": number}}})
