"""The official Python SDK's `Client` launches our servers over stdio and uses all they have, in every revision.

`mode="auto"` probes for a modern server, a modern revision as mode goes straight ahead, and `mode="legacy"` shakes
hands. The SDK always asks for the newest legacy revision; for the older ones we have it ask for another.
"""

from __future__ import annotations

import base64
import sys
from functools import partial
from typing import Any, NamedTuple

import anyio
import mcp.client.session
import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp.client.subscriptions import ResourceUpdated, ToolsListChanged
from mcp_types import PromptReference, ResourceTemplateReference
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from interop.conftest import EVERYTHING, FOLDER, ONE_ERA
from interop.recordings import Recorded

TOOLS = ["add", "weather", "divide", "crash", "count", "pixel", "order"]


class Peer(NamedTuple):
    """One way to connect: the SDK's mode, and the revision that comes of it."""

    mode: str
    revision: str

    @property
    def is_modern(self) -> bool:
        return self.revision in MODERN_PROTOCOL_VERSIONS

    def has(self, revision: str) -> bool:
        """Whether what came with `revision` is there."""
        return self.revision >= revision

    def connect(self, server: Recorded, **options: Any) -> Client:
        command, *arguments = server.command
        parameters = StdioServerParameters(command=command, args=arguments)
        return Client(parameters, mode=self.mode, read_timeout_seconds=20, **options)


MODERN = [Peer("auto", "2026-07-28"), *(Peer(each, each) for each in MODERN_PROTOCOL_VERSIONS)]
LEGACY = [Peer("legacy", each) for each in HANDSHAKE_PROTOCOL_VERSIONS]


@pytest.fixture(params=[*MODERN, *LEGACY], ids="-".join)
def peer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Peer:
    if request.param.mode == "legacy":
        monkeypatch.setattr(mcp.client.session, "LATEST_HANDSHAKE_VERSION", request.param.revision)
    return request.param


in_modern = pytest.mark.parametrize("peer", MODERN, ids="-".join, indirect=True)
in_legacy = pytest.mark.parametrize("peer", LEGACY, ids="-".join, indirect=True)


def test_it_knows_the_revisions_we_know():
    assert {peer.revision for peer in MODERN + LEGACY} == {
        "2024-11-05",
        "2025-03-26",
        "2025-06-18",
        "2025-11-25",
        "2026-07-28",
    }


@pytest.mark.parametrize(
    "command", [EVERYTHING, [sys.executable, "-m", "tybalt", "run", EVERYTHING[1]]], ids=["file", "tybalt run"]
)
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_it_launches_the_server_itself(command, mode):
    """Everywhere else a recorder stands between."""
    server = StdioServerParameters(command=command[0], args=command[1:], cwd=FOLDER)
    async with Client(server, mode=mode, read_timeout_seconds=20) as client:
        assert text_of(await client.call_tool("add", {"a": 5, "b": 3})) == "8"


@pytest.mark.parametrize(("era", "revision"), [("modern", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_it_finds_the_era_of_a_server_that_has_only_one(record, era, revision):
    one_era = record([*ONE_ERA, era])
    async with Peer("auto", revision).connect(one_era) as client:
        assert client.protocol_version == revision
        assert text_of(await client.call_tool("add", {"a": 5, "b": 3})) == "8"


@pytest.mark.parametrize(("era", "mode"), [("modern", "legacy"), ("legacy", "2026-07-28")])
async def test_it_is_told_when_no_era_is_shared(record, era, mode):
    one_era = record([*ONE_ERA, era])
    with pytest.RaisesGroup(pytest.RaisesExc(MCPError), flatten_subgroups=True):
        async with Peer(mode, "").connect(one_era) as client:
            await client.call_tool("add", {"a": 5, "b": 3})


async def test_who_is_there(everything, peer):
    async with peer.connect(everything) as client:
        assert client.protocol_version == peer.revision
        await client.list_tools()
        # Without a probe nobody has introduced himself: a modern request needs no answer to an earlier one.
        if peer.mode in ("auto", "legacy"):
            assert client.server_info.name == "everything"
            assert client.server_info.title == ("Everything" if peer.has("2025-06-18") else None)
            assert client.instructions.startswith("A server to try a client with.")
            offered = client.server_capabilities
            assert offered.tools.list_changed
            assert offered.resources.subscribe
            assert (offered.completions is not None) == peer.has("2025-03-26")
    opening = [each["method"] for each in everything.recording.messages("client")]
    expected = {"auto": ["server/discover"], "legacy": ["initialize", "notifications/initialized"]}
    assert opening == [*expected.get(peer.mode, []), "tools/list"]


async def test_lists(everything, peer):
    async with peer.connect(everything) as client:
        tools = (await client.list_tools()).tools
        assert [each.name for each in tools] == TOOLS
        add, weather = tools[:2]
        assert add.description == "Add two whole numbers."
        assert add.input_schema["properties"]["a"] == {"type": "integer", "description": "The first number."}
        if peer.has("2025-03-26"):
            assert add.annotations.read_only_hint
        assert weather.title == ("Weather report" if peer.has("2025-06-18") else None)
        assert (weather.output_schema is not None) == peer.has("2025-06-18")
        (settings,) = (await client.list_resources()).resources
        assert (settings.name, str(settings.uri), settings.mime_type) == (
            "settings",
            "config://settings",
            "application/json",
        )
        (profile,) = (await client.list_resource_templates()).resource_templates
        assert profile.uri_template == "users://{id}/profile"
        (review,) = (await client.list_prompts()).prompts
        assert [(each.name, bool(each.required)) for each in review.arguments] == [("code", True), ("language", False)]


async def test_pages(changing, peer):
    async with peer.connect(changing) as client:
        first = await client.list_tools()
        second = await client.list_tools(cursor=first.next_cursor)
        assert [[each.name for each in page.tools] for page in (first, second)] == [
            ["grow", "leave", "shrink"],
            ["touch"],
        ]
        assert second.next_cursor is None
        with pytest.raises(MCPError) as caught:
            await client.list_tools(cursor="nonsense")
        assert caught.value.code == -32602


async def test_calls(everything, peer):
    async with peer.connect(everything) as client:
        await client.list_tools()  # From now on the SDK checks structured content against the output schemas.
        add = await client.call_tool("add", {"a": 5, "b": 3})
        assert (text_of(add), add.is_error or False) == ("8", False)
        assert add.structured_content == (8 if peer.is_modern else {"result": 8} if peer.has("2025-06-18") else None)
        weather = await client.call_tool("weather", {"city": "Verona"})
        report = {"city": "Verona", "degrees": 21.5, "sky": "clear"}
        assert weather.structured_content == (report if peer.has("2025-06-18") else None)
        (pixel,) = (await client.call_tool("pixel")).content
        assert pixel.mime_type == "image/png"
        assert base64.b64decode(pixel.data).startswith(b"\x89PNG")


async def test_failures_of_tools(everything, peer):
    async with peer.connect(everything) as client:
        divide = await client.call_tool("divide", {"a": 1, "b": 0})
        assert divide.is_error
        assert text_of(divide) == "Cannot divide by zero; choose another b."
        crash = await client.call_tool("crash")
        assert crash.is_error
        assert text_of(crash).startswith("Internal error in tool 'crash'")
        assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"
    assert not any("hunter2" in line.text for line in everything.recording.lines)


async def test_bad_arguments(everything, peer):
    """A result for the model to read since 2025-11-25, a protocol error before."""
    async with peer.connect(everything) as client:
        call = partial(client.call_tool, "add", {"a": "five", "b": 3})
        if peer.has("2025-11-25"):
            result = await call()
            assert result.is_error
            told = text_of(result)
        else:
            with pytest.raises(MCPError) as caught:
                await call()
            assert caught.value.code == -32602
            told = caught.value.message
        assert "$.arguments.a" in told
        assert "$.arguments.b" not in told


async def test_nothing_of_that_name(everything, peer):
    async with peer.connect(everything) as client:
        asked = {
            -32602: (partial(client.call_tool, "subtract", {}), partial(client.get_prompt, "poem")),
            -32602 if peer.is_modern else -32002: (partial(client.read_resource, "config://nothing"),),
        }
        for code, requests in asked.items():
            for request in requests:
                with pytest.raises(MCPError) as caught:
                    await request()
                assert caught.value.code == code


async def test_reading(everything, peer):
    async with peer.connect(everything) as client:
        (settings,) = (await client.read_resource("config://settings")).contents
        assert (settings.text, settings.mime_type) == ('{"theme":"dark","language":"en"}', "application/json")
        (profile,) = (await client.read_resource("users://7/profile")).contents
        assert (str(profile.uri), profile.text) == ("users://7/profile", '{"id":7,"name":"user 7"}')
        with pytest.raises(MCPError):
            await client.read_resource("users://seven/profile")


async def test_prompts(everything, peer):
    async with peer.connect(everything) as client:
        review = await client.get_prompt("review", {"code": "print(1)", "language": "ruby"})
        assert review.description == "A prompt: ask for a review of some code."
        (message,) = review.messages
        assert (message.role, message.content.text) == ("user", "Please review this ruby code:\n\nprint(1)")
        with pytest.raises(MCPError) as caught:
            await client.get_prompt("review", {"language": "ruby"})
        assert caught.value.code == -32602
        assert "code" in caught.value.message


async def test_completion(everything, peer):
    review = PromptReference(name="review")
    async with peer.connect(everything) as client:
        language = await client.complete(review, {"name": "language", "value": "p"})
        assert language.completion.values == ["python", "pascal", "perl"]
        code = await client.complete(review, {"name": "code", "value": "p"})
        assert code.completion.values == []
        profile = ResourceTemplateReference(uri="users://{id}/profile")
        assert (await client.complete(profile, {"name": "id", "value": ""})).completion.values == []


async def test_progress(everything, peer):
    reports = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, total, message))

    async with peer.connect(everything) as client:
        counted = await client.call_tool("count", {"to": 5}, progress_callback=on_progress)
        assert text_of(counted) == "counted to 5"
    recording = everything.recording
    sent = recording.progress(recording.request("tools/call", name="count"))
    told = [(each["progress"], each["total"], each.get("message")) for each in sent]
    assert told == [(step, 5, f"step {step}" if peer.has("2025-03-26") else None) for step in range(1, 6)]
    # Each callback is a task of its own in the SDK, and may still be waiting for its turn when the answer is there.
    assert reports == told[: len(reports)] != []


@in_modern
async def test_log_messages_of_a_request_that_asks(everything, peer):
    messages = []

    async def on_log(params: Any) -> None:
        messages.append((params.level, params.data))

    async with peer.connect(everything, log_level="info", logging_callback=on_log) as client:
        await client.call_tool("count", {"to": 2})
        await client.call_tool("count", {"to": 3}, meta={"io.modelcontextprotocol/logLevel": "warning"})
        await client.call_tool("add", {"a": 1, "b": 1})
    assert messages == [("info", "counted 1"), ("info", "counted 2")]


@in_modern
async def test_no_log_messages_for_a_request_that_does_not_ask(everything, peer):
    async with peer.connect(everything) as client:
        await client.call_tool("count", {"to": 2})
    assert everything.recording.notifications("notifications/message") == []


@in_legacy
@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
async def test_log_messages_of_a_level(everything, peer):
    messages = []

    async def on_log(params: Any) -> None:
        messages.append((params.level, params.data))

    async with peer.connect(everything, logging_callback=on_log) as client:
        await client.set_logging_level("warning")
        await client.call_tool("count", {"to": 1})
        await client.set_logging_level("info")
        await client.call_tool("count", {"to": 2})
        await client.call_tool("add", {"a": 1, "b": 1})
    assert messages == [("info", "counted 1"), ("info", "counted 2")]


async def test_cancelling(everything, peer):
    started = anyio.Event()

    async def on_progress(*_: object) -> None:
        started.set()

    async with peer.connect(everything) as client:
        async with anyio.create_task_group() as calls:
            arguments = {"to": 60, "pause": 1.0}
            calls.start_soon(partial(client.call_tool, "count", arguments, progress_callback=on_progress))
            await started.wait()
            calls.cancel_scope.cancel()
        assert text_of(await client.call_tool("add", {"a": 1, "b": 1})) == "2"
    recording = everything.recording
    count = recording.request("tools/call", name="count")
    (cancelled,) = recording.notifications("notifications/cancelled", "client")
    assert cancelled["requestId"] == count["id"]
    assert recording.answers(count) == []
    (answer,) = recording.answers(recording.request("tools/call", name="add"))
    assert recording.after(answer).progress(count) == []


@in_modern
async def test_changes_for_a_subscriber(changing, peer):
    async with peer.connect(changing) as client:
        await client.call_tool("grow")
        async with client.listen(tools_list_changed=True, resource_subscriptions=["counter://value"]) as changes:
            assert changes.honored.tools_list_changed
            assert changes.honored.resource_subscriptions == ["counter://value"]
            await client.call_tool("shrink")
            assert await anext(changes) == ToolsListChanged()
            await client.call_tool("touch")
            assert await anext(changes) == ResourceUpdated(uri="counter://value")
        # Leaving does not wait for the cancel to be sent; after another request it has been.
        await client.list_resources()
        await client.call_tool("grow")
        assert text_of(await client.call_tool("grown")) == "here I am"
    recording = changing.recording
    assert len(recording.notifications("notifications/tools/list_changed")) == 1
    listened = recording.request("subscriptions/listen")
    assert recording.answers(listened) == []
    assert recording.notifications("notifications/cancelled", "client")[0]["requestId"] == listened["id"]


@in_modern
async def test_the_end_of_the_server_ends_its_subscriptions(changing, peer):
    async with peer.connect(changing) as client, client.listen(tools_list_changed=True) as changes:
        # Else the SDK would ask for a tool's output schema after its answer, of a server that has gone by then.
        await client.list_tools(cursor=(await client.list_tools()).next_cursor)
        assert text_of(await client.call_tool("leave")) == "goodbye"
        # An end that is not graceful raises.
        assert [each async for each in changes] == []
    recording = changing.recording
    (answer,) = recording.answers(recording.request("subscriptions/listen"))
    assert answer["result"]["resultType"] == "complete"


@in_legacy
@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
async def test_changes_for_everyone(changing, peer):
    methods: list[str] = []

    async def on_message(message: Any) -> None:
        methods.append(message.method)

    async with peer.connect(changing, message_handler=on_message) as client:
        await client.call_tool("grow")
        assert text_of(await client.call_tool("grown")) == "here I am"
        await client.call_tool("touch")
        await client.subscribe_resource("counter://value")
        await client.call_tool("touch")
        await client.unsubscribe_resource("counter://value")
        await client.call_tool("touch")
        await client.list_tools()
    assert methods == ["notifications/tools/list_changed", "notifications/resources/updated"]


@in_legacy
@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
async def test_ping(everything, peer):
    async with peer.connect(everything) as client:
        await client.send_ping()
    (answer,) = everything.recording.answers(everything.recording.request("ping"))
    assert answer["result"] == {}


def text_of(result: Any) -> str:
    (content,) = result.content
    return content.text
