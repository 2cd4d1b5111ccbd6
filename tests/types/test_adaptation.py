"""`adapt` against the published schemas: whatever we may send is valid in the revision it is sent in."""

import json
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.types.published import definitions, validator
from tests.types.strategies import values_of
from tybalt import types
from tybalt.types import legacy, server_requests
from tybalt.types.adaptation import adapt, encode_for
from tybalt.types.history import TYPES, within
from tybalt.types.revisions import LATEST_LEGACY, LEGACY, MODERN, REVISIONS

LATEST = MODERN[-1]
SENT = [
    *("Implementation", "ServerCapabilities", "ClientCapabilities"),
    *(
        "Tool",
        "Resource",
        "ResourceTemplate",
        "Prompt",
        "PromptMessage",
        "TextResourceContents",
        "BlobResourceContents",
    ),
    *("TextContent", "ImageContent", "EmbeddedResource", "InitializeResult", "DiscoverResult"),
    *("ListToolsResult", "ListPromptsResult", "ListResourcesResult", "ListResourceTemplatesResult"),
    *("CallToolResult", "GetPromptResult", "ReadResourceResult", "CompleteResult", "InputRequiredResult"),
    *("SubscriptionsListenResult", "Task", "CreateTaskResult", "ListTasksResult", "GetTaskResult", "CancelTaskResult"),
    *("CancelledNotification", "ProgressNotification", "LoggingMessageNotification", "InitializedNotification"),
    *("ResourceUpdatedNotification", "ResourceListChangedNotification", "ToolListChangedNotification"),
    *("PromptListChangedNotification", "SubscriptionsAcknowledgedNotification", "RootsListChangedNotification"),
    *("ElicitationCompleteNotification", "TaskStatusNotification", "ElicitResult", "CreateMessageResult"),
    *("ListRootsResult", "InitializeRequest", "PingRequest", "SetLevelRequest", "SubscribeRequest"),
    *("UnsubscribeRequest", "GetTaskRequest", "GetTaskPayloadRequest", "CancelTaskRequest", "ListTasksRequest"),
]
# Requests that exist in both eras: their newest shape, their legacy one, and the legacy server's.
BOTH = ["ListToolsRequest", "CallToolRequest", "ListResourcesRequest", "ListResourceTemplatesRequest"]
BOTH += ["ReadResourceRequest", "ListPromptsRequest", "GetPromptRequest", "CompleteRequest"]
ASKED = ["CreateMessageRequest", "ElicitRequest", "ListRootsRequest"]


def check(value: Any, revision: str, name: str) -> None:
    validator(revision, name).validate(value)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("name", SENT)
@given(data=st.data())
@settings(max_examples=25)
def test_what_is_sent_is_valid(name: str, revision: str, data: st.DataObject):
    value = data.draw(values_of(getattr(types, name)))
    if not within(TYPES.get(name, (REVISIONS[0], REVISIONS[-1])), revision):
        with pytest.raises(ValueError, match=f"^{revision} has no {name}: it exists from"):
            adapt(value, revision)
        return
    if name == "CreateMessageResult" and not sayable(value, revision):
        with pytest.raises(ValueError, match=f"^{revision} has (no audio|one content block) in "):
            adapt(value, revision)
        return
    adapted = adapt(value, revision)
    check(adapted, revision, name)
    assert json.loads(encode_for(value, revision)) == json.loads(msgspec.json.encode(adapted))


def sayable(message: types.SamplingMessage, revision: str) -> bool:
    blocks = message.content if isinstance(message.content, list) else [message.content]
    audio = any(isinstance(block, types.AudioContent) for block in blocks)
    return revision >= "2025-11-25" or (len(blocks) == 1 and not (audio and revision == "2024-11-05"))


@pytest.mark.parametrize("name", BOTH)
@given(data=st.data())
@settings(max_examples=25)
def test_requests_are_valid_in_both_eras(name: str, data: st.DataObject):
    check(adapt(data.draw(values_of(getattr(types, name))), LATEST), LATEST, name)
    value = data.draw(values_of(getattr(legacy, name)))
    for revision in LEGACY:
        check(adapt(value, revision), revision, name)


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("name", ASKED)
@given(data=st.data())
@settings(max_examples=25)
def test_questions_are_valid_or_refused(name: str, revision: str, data: st.DataObject):
    home = types if revision in MODERN else server_requests
    value = data.draw(values_of(getattr(home, name)))
    if not askable(value, revision):
        with pytest.raises(ValueError, match=f"^{revision} has no "):
            adapt(value, revision)
        return
    check(adapt(value, revision), revision, name)


def askable(asked: Any, revision: str) -> bool:
    if isinstance(asked, types.ElicitRequest):
        return revision >= ("2025-11-25" if asked.params.mode == "url" else "2025-06-18")
    if isinstance(asked, types.CreateMessageRequest):
        singles = [types.SamplingMessage(role="user", content=block) for block in blocks_of(asked.params.messages)]
        return all(sayable(single, revision) for single in singles)
    return True


def blocks_of(messages: list[types.SamplingMessage]) -> list[Any]:
    contents = [message.content if isinstance(message.content, list) else [message.content] for message in messages]
    return [block for blocks in contents for block in blocks]


@pytest.mark.parametrize("name", ["CallToolResult", "ListToolsResult", "GetPromptResult", "ReadResourceResult"])
@given(data=st.data())
@settings(max_examples=25)
def test_modern_results_need_no_adapting(name: str, data: st.DataObject):
    value = data.draw(values_of(getattr(types, name)))
    given_members = {"result_type": "complete"}
    if "ttl_ms" in value.__struct_fields__:
        given_members |= {"ttl_ms": 5, "cache_scope": "public"}
    value = msgspec.structs.replace(value, **given_members)
    direct = json.loads(msgspec.json.encode(value))
    for tool in direct.get("tools", []):
        tool.pop("execution", None)  # the one member of these that exists in 2025-11-25 only
    assert direct == json.loads(encode_for(value, LATEST))


@pytest.mark.parametrize("name", [*SENT, *BOTH])
@given(data=st.data())
@settings(max_examples=25)
def test_what_is_written_can_be_read(name: str, data: st.DataObject):
    kind = getattr(types, name)
    value = data.draw(values_of(kind))
    message = msgspec.json.encode(value)
    assert json.loads(msgspec.json.encode(msgspec.json.decode(message, type=kind))) == json.loads(message)


def result(*blocks: Any, **members: Any) -> types.CallToolResult:
    return types.CallToolResult(content=list(blocks), **members)


@pytest.mark.parametrize("revision", REVISIONS)
@given(data=st.data())
@settings(max_examples=25)
def test_every_block_is_said_somehow(revision: str, data: st.DataObject):
    block = data.draw(values_of(types.ContentBlock))
    said = adapt(result(block), revision)
    check(said, revision, "CallToolResult")
    assert len(said["content"]) == 1


def test_audio_before_there_was_audio():
    audio = types.AudioContent(
        data="UklGRg==", mime_type="audio/wav", annotations=types.Annotations(priority=1, last_modified="2025-01-01")
    )
    assert adapt(audio, "2024-11-05") == {
        "type": "resource",
        "resource": {"uri": "urn:tybalt:audio", "mimeType": "audio/wav", "blob": "UklGRg=="},
        "annotations": {"priority": 1},
    }
    assert adapt(audio, "2025-03-26")["type"] == "audio"


def test_links_before_there_were_links():
    link = types.ResourceLink(uri="file:///a", name="a", title="The A", description="All of it", mime_type="text/plain")
    bare = types.ResourceLink(uri="file:///a", name="a")
    assert adapt(link, "2025-03-26") == {"type": "text", "text": "The A (text/plain): file:///a\nAll of it"}
    assert adapt(bare, "2024-11-05") == {"type": "text", "text": "a: file:///a"}
    assert adapt(link, "2025-06-18")["type"] == "resource_link"


def test_members_come_and_go():
    tool = types.Tool(
        name="t",
        title="T",
        input_schema={"type": "object", "properties": {"any": True, "none": False}},
        output_schema={"type": "object"},
        annotations=types.ToolAnnotations(read_only_hint=True),
        execution=types.ToolExecution(task_support="optional"),
        icons=[types.Icon(src="https://example.com/i.png")],
        meta={"a": 1},
    )
    always = {"name", "inputSchema"}
    assert {revision: set(adapt(tool, revision)) - always for revision in REVISIONS} == {
        "2024-11-05": set(),
        "2025-03-26": {"annotations"},
        "2025-06-18": {"annotations", "title", "outputSchema", "_meta"},
        "2025-11-25": {"annotations", "title", "outputSchema", "_meta", "icons", "execution"},
        "2026-07-28": {"annotations", "title", "outputSchema", "_meta", "icons"},
    }
    assert adapt(tool, "2024-11-05")["inputSchema"]["properties"] == {"any": {}, "none": {"not": {}}}
    assert adapt(tool, LATEST)["inputSchema"]["properties"] == {"any": True, "none": False}


def test_structured_content_by_revision():
    number = result(structured_content=5)
    assert [adapt(number, revision).get("structuredContent") for revision in REVISIONS] == [
        None,
        None,
        {"result": 5},
        {"result": 5},
        5,
    ]
    assert "structuredContent" not in adapt(number, "2025-03-26")
    assert adapt(result(structured_content=None), LATEST)["structuredContent"] is None
    assert "structuredContent" not in adapt(result(), LATEST)


def test_the_schema_decides_about_wrapping_not_the_value():
    value = result(structured_content={"a": 1})
    assert adapt(value, LATEST_LEGACY)["structuredContent"] == {"a": 1}
    assert adapt(value, LATEST_LEGACY, wrapped=True)["structuredContent"] == {"result": {"a": 1}}
    assert adapt(value, LATEST_LEGACY, wrapped=False)["structuredContent"] == {"a": 1}
    assert adapt(value, LATEST, wrapped=True)["structuredContent"] == {"a": 1}


def test_foreign_data_is_left_alone():
    inner = {"structuredContent": 5, "resultType": "x", "title": "kept"}
    adapted = adapt(result(structured_content=inner, meta={"dev.example/x": inner}), "2025-06-18")
    assert adapted["structuredContent"] == inner
    assert adapted["_meta"] == {"dev.example/x": inner}


def test_modern_results_get_what_they_must_have():
    plain = adapt(types.ListToolsResult(tools=[]), LATEST)
    assert plain == {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "tools": []}
    kept = types.ListToolsResult(tools=[], ttl_ms=9, cache_scope="public")
    assert adapt(kept, LATEST) == {"resultType": "complete", "ttlMs": 9, "cacheScope": "public", "tools": []}
    assert adapt(kept, LATEST_LEGACY) == {"tools": []}


def test_builtins_and_collections_pass():
    assert adapt([types.TextContent(text="a"), 1], LATEST) == [{"type": "text", "text": "a"}, 1]
    assert adapt({"a": types.TextContent(text="a"), 1: b"raw"}, LATEST) == {
        "a": {"type": "text", "text": "a"},
        "1": "cmF3",
    }
    assert adapt(msgspec.Raw(b'{"a":[1]}'), LATEST) == {"a": [1]}


def test_url_only_clients_elicit_nothing_before_modes():
    urls = types.ClientCapabilities(elicitation=types.ElicitationCapability(url={}))
    assert adapt(urls, "2025-06-18") == {}
    assert adapt(urls, "2025-11-25") == {"elicitation": {"url": {}}}
    both = types.ClientCapabilities(elicitation=types.ElicitationCapability(url={}, form={}))
    assert adapt(both, "2025-06-18") == {"elicitation": {}}


def form(properties: dict[str, Any]) -> types.ElicitRequestFormParams:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": properties}
    return types.ElicitRequestFormParams(mode="form", message="?", requested_schema=schema)


def test_forms_before_modes_and_titled_choices():
    choices = [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]
    asked = form(
        {"pick": {"type": "string", "oneOf": choices, "default": "a"}, "ok": {"type": "boolean", "default": True}}
    )
    assert adapt(asked, "2025-06-18") == {
        "message": "?",
        "requestedSchema": {
            "type": "object",
            "properties": {
                "pick": {"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]},
                "ok": {"type": "boolean", "default": True},
            },
        },
    }
    assert adapt(asked, "2025-11-25")["requestedSchema"] == asked.requested_schema


def test_what_a_revision_cannot_ask_is_refused():
    several = form({"tags": {"type": "array", "items": {"type": "string", "enum": ["a"]}}})
    with pytest.raises(ValueError, match=r"^2025-06-18 has no choice of several values in a form \(field 'tags'\)$"):
        adapt(several, "2025-06-18")
    by_url = types.ElicitRequestURLParams(mode="url", message="?", url="https://example.com")
    with pytest.raises(ValueError, match=r"^2025-06-18 has no elicitation by URL, only forms$"):
        adapt(by_url, "2025-06-18")
    with pytest.raises(ValueError, match="needs `elicitation_id` in 2025-11-25"):
        adapt(by_url, "2025-11-25")
    assert adapt(by_url, LATEST) == {"mode": "url", "message": "?", "url": "https://example.com"}


def test_sampling_messages_before_they_had_several_blocks():
    blocks = [types.TextContent(text="a"), types.ToolUseContent(id="1", name="n", input={"x": 1})]
    message = types.SamplingMessage(role="user", content=blocks, meta={"a": 1})
    asked = types.CreateMessageRequestParams(messages=[message], max_tokens=5, tools=[], tool_choice=types.ToolChoice())
    assert adapt(asked, "2025-06-18") == {
        "messages": [
            {"role": "user", "content": {"type": "text", "text": "a"}},
            {
                "role": "user",
                "content": {"type": "text", "text": '{"type":"tool_use","id":"1","name":"n","input":{"x":1}}'},
            },
        ],
        "maxTokens": 5,
    }
    answer = types.CreateMessageResult(role="assistant", content=blocks, model="m")
    with pytest.raises(ValueError, match="has one content block in a sampling message, this one has 2"):
        adapt(answer, "2025-06-18")
    audio = types.SamplingMessage(role="user", content=types.AudioContent(data="", mime_type="audio/wav"))
    with pytest.raises(ValueError, match="2024-11-05 has no audio in sampling"):
        adapt(audio, "2024-11-05")
    assert adapt(audio, "2025-03-26")["content"]["type"] == "audio"


def test_the_validator_sees_members_of_later_revisions():
    """The net itself: the published schemas are open, ours are not."""
    late = {"name": "n", "version": "1", "websiteUrl": "https://example.com"}
    check(late, "2025-11-25", "Implementation")
    with pytest.raises(jsonschema_rs.ValidationError):
        check(late, "2025-06-18", "Implementation")
    assert "Implementation" in definitions("2025-06-18")
