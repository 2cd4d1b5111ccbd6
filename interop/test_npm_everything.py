"""Our `Client` and `@modelcontextprotocol/server-everything`, over stdio, asked for its era, with all that it offers.

What our client said is judged by the published schemas.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from typing import Any

import pytest

from interop.heard import Heard
from interop.npm import REVISION
from tybalt import McpError
from tybalt.types.content import EmbeddedResource, ImageContent, ResourceLink, TextContent

DOCUMENT = "demo://resource/static/document/startup.md"
TEXT = "demo://resource/dynamic/text/{resourceId}"


async def test_it_introduces_itself_and_lists_what_it_has(npm):
    async with npm.connect("everything") as client:
        assert (client.revision, client.server_info.name) == (REVISION, "mcp-servers/everything")
        assert client.instructions.startswith("# Everything Server")
        tools = {each.name: each for each in await client.list_tools()}
        # Those that ask need a client that answers.
        assert "echo" in tools
        assert not {"get-roots-list", "trigger-elicitation-request", "trigger-sampling-request"} & tools.keys()
        assert tools["get-sum"].annotations.read_only_hint
        assert set(tools["get-structured-content"].output_schema["required"]) == {
            "temperature",
            "conditions",
            "humidity",
        }
        assert DOCUMENT in [each.uri for each in await client.list_resources()]
        assert TEXT in [each.uri_template for each in await client.list_resource_templates()]
        prompts = {each.name: each.arguments for each in await client.list_prompts()}
        assert [(each.name, bool(each.required)) for each in prompts["args-prompt"]] == [
            ("city", True),
            ("state", False),
        ]


async def test_it_returns_content_of_every_kind(npm):
    async with npm.connect("everything") as client:
        assert await client.call("echo", message="Grüße 😀") == "Echo: Grüße 😀"
        assert await client.call("get-sum", a=1.5, b=2) == "The sum of 1.5 and 2 is 3.5."
        weather = await client.call_tool("get-structured-content", {"location": "Chicago"})
        assert weather.structured_content == json.loads(weather.content[0].text)
        message = await client.call_tool("get-annotated-message", {"messageType": "error", "includeImage": True})
        text, image = message.content
        assert (type(text), text.annotations.priority, text.annotations.audience) == (
            TextContent,
            1,
            ["user", "assistant"],
        )
        assert (type(image), image.mime_type) == (ImageContent, "image/png")
        assert base64.b64decode(image.data).startswith(b"\x89PNG")
        _, *links = (await client.call_tool("get-resource-links", {"count": 2})).content
        assert [type(each) for each in links] == [ResourceLink, ResourceLink]
        assert "Resource 2" in (await client.read_resource(links[1].uri))[0].text
        arguments = {"resourceType": "Blob", "resourceId": 7}
        _, embedded, _ = (await client.call_tool("get-resource-reference", arguments)).content
        assert type(embedded) is EmbeddedResource
        assert base64.b64decode(embedded.resource.blob).startswith(b"Resource 7")


async def test_it_makes_a_resource_that_can_be_read(npm):
    heard = Heard()
    async with npm.connect("everything", on_notification=heard) as client:
        (link,) = (await client.call_tool("gzip-file-as-resource", {"name": "a.gz", "data": "data:,hello"})).content
        await heard.wait_for("notifications/resources/list_changed")
        assert link.uri in [each.uri for each in await client.list_resources()]
        (made,) = await client.read_resource(link.uri)
        assert (made.mime_type, gzip.decompress(base64.b64decode(made.blob))) == ("application/gzip", b"hello")


async def test_it_fails_as_it_says(npm):
    async with npm.connect("everything") as client:
        refused = await client.call_tool("get-sum", {"a": "one", "b": 2})
        assert refused.is_error
        assert "expected number, received string" in refused.content[0].text
        assert (await client.call_tool("nothing")).is_error
        with pytest.raises(McpError, match="Unknown resource"):
            await client.read_resource("demo://resource/dynamic/text/none")
        with pytest.raises(McpError):
            await client.get_prompt("nothing")
        assert await client.call("echo", message="still here") == "Echo: still here"


async def test_it_reads_gets_and_completes(npm):
    async with npm.connect("everything") as client:
        (document,) = await client.read_resource(DOCUMENT)
        assert (document.uri, document.mime_type, document.text[:2]) == (DOCUMENT, "text/markdown", "# ")
        (message,) = (await client.get_prompt("args-prompt", {"city": "Bern", "state": "BE"})).messages
        assert message.content.text == "What's weather in Bern, BE?"
        _, embedded = (await client.get_prompt("resource-prompt", {"resourceType": "Text", "resourceId": 3})).messages
        assert embedded.content.resource.uri == "demo://resource/dynamic/text/3"
        assert (await client.complete("completable-prompt", "department", "S")).values == ["Sales", "Support"]
        chosen = {"department": "Sales"}
        assert (await client.complete("completable-prompt", "name", "E", arguments=chosen)).values == ["Eve"]
        assert (await client.complete(TEXT, "resourceId", "12")).values == ["12"]


async def test_it_reports_progress_logs_and_updates(npm):
    heard, steps = Heard(), []
    async with npm.connect("everything", log_level="debug", on_notification=heard) as client:
        arguments = {"duration": 0.05, "steps": 5}
        await client.call_tool(
            "trigger-long-running-operation", arguments, on_progress=lambda *step: steps.append(step[:2])
        )
        assert steps == [(step, 5) for step in (1, 2, 3, 4, 5)]
        # It is switched on, and off again: else the server would not end by itself.
        for _ in range(2):
            await client.call_tool("toggle-simulated-logging")
        assert "message" in (await heard.wait_for("notifications/message"))["data"]
        await client.request("resources/subscribe", {"uri": DOCUMENT})
        for _ in range(2):
            await client.call_tool("toggle-subscriber-updates")
        assert await heard.wait_for("notifications/resources/updated") == {"uri": DOCUMENT}
        await client.request("resources/unsubscribe", {"uri": DOCUMENT})
        await client.ping()


async def test_it_is_told_that_a_call_is_cancelled(npm):
    started = asyncio.Event()
    async with npm.connect("everything") as client:
        call = asyncio.create_task(
            client.call_tool(
                "trigger-long-running-operation",
                {"duration": 0.5, "steps": 50},
                on_progress=lambda *_: started.set(),
            )
        )
        await started.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        # It goes on and reports its progress all the same, which nobody waits for.
        assert await client.call("echo", message="and on") == "Echo: and on"
    recording = npm.recorded.recording
    (cancelled,) = recording.notifications("notifications/cancelled", "client")
    assert cancelled["requestId"] == recording.request("tools/call", name="trigger-long-running-operation")["id"]


async def test_it_asks_for_a_form(npm):
    asked = []
    async with npm.connect("everything", on_elicit=asked.append) as client:
        declined = await client.call_tool("trigger-elicitation-request")
        assert "User declined" in declined.content[0].text
    fields = asked[0].requested_schema["properties"]
    assert (fields["integer"]["default"], fields["titledSingleSelectEnum"]["oneOf"][0]["const"]) == (42, "hero-1")

    filled = {"name": "Ada", "check": True, "integer": 7, "untitledMultipleSelectEnum": ["Piano", "Violin"]}
    async with npm.connect("everything", on_elicit=lambda _: filled) as client:
        _, told, raw = (await client.call_tool("trigger-elicitation-request")).content
        assert told.text == "User inputs:\n- Name: Ada\n- Agreed to terms: true\n- Favorite Integer: 7"
        assert json.loads(raw.text.partition(": ")[2]) == {"action": "accept", "content": filled}


async def test_it_asks_for_a_url_to_be_visited(npm):
    asked = []

    def consent(question: Any) -> bool:
        asked.append((question.url, question.elicitation_id))
        return True

    async with npm.connect("everything", on_elicit=consent) as client:
        arguments = {"url": "https://example.org/", "elicitationId": "one"}
        assert "User completed" in (await client.call("trigger-url-elicitation", **arguments))
        assert asked == [("https://example.org/", "one")]
        # The other way, an error, says what to visit before the same call is made again.
        with pytest.raises(McpError) as caught:
            await client.call_tool("trigger-url-elicitation", {**arguments, "errorPath": True})
        assert caught.value.code == -32042
        assert caught.value.data["elicitations"][0]["url"] == "https://modelcontextprotocol.io"
        assert "User completed" in (await client.call("trigger-url-elicitation", **arguments, errorPath=True))


async def test_it_asks_for_a_model_and_for_roots(npm, tmp_path):
    async def model(question: Any) -> str:
        assert (question.system_prompt, question.max_tokens) == ("You are a helpful test server.", 5)
        return question.messages[0].content.text.upper()

    async with npm.connect("everything", on_sample=model, roots=[tmp_path]) as client:
        sampled = await client.call("trigger-sampling-request", prompt="hello", maxTokens=5)
        assert "CONTEXT: HELLO" in sampled
        assert tmp_path.as_uri() in await client.call("get-roots-list")
