"""The other direction: our `Client` launches servers written with the official SDKs, in every era they have.

What our client said is judged by the published schemas, as what our servers say is elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, NamedTuple, Protocol

import pytest

from interop.conftest import FOLDER, Record
from interop.recordings import Recorded
from tybalt import Client, McpError, ToolError

SERVERS = FOLDER / "servers"


class Peer(NamedTuple):
    """A foreign server, the era we ask for, and the revision that comes of it."""

    server: str
    era: str
    revision: str

    @property
    def is_modern(self) -> bool:
        return self.revision == "2026-07-28"


PEERS = [
    *(Peer(server, "auto", "2026-07-28") for server in ("python_sdk.py", "typescript.mjs")),
    *(Peer(server, "modern", "2026-07-28") for server in ("python_sdk.py", "typescript.mjs")),
    *(Peer(server, "legacy", "2025-11-25") for server in ("python_sdk.py", "typescript.mjs", "typescript_legacy.mjs")),
    Peer("typescript_legacy.mjs", "auto", "2025-11-25"),
]


@pytest.fixture(params=PEERS, ids=lambda peer: f"{peer.server.partition('.')[0]}-{peer.era}")
def peer(request: pytest.FixtureRequest) -> Peer:
    return request.param


@pytest.fixture
def foreign(record_foreign: Record, peer: Peer, node: str) -> Recorded:
    """The foreign server, recorded; what our client said is judged when the test is over."""
    program = sys.executable if peer.server.endswith(".py") else node
    return record_foreign([program, str(SERVERS / peer.server)])


class Foreign(Protocol):
    """A foreign server: whatever our client can be told to connect to."""

    target: Any


def connect(foreign: Foreign, peer: Peer, **options: Any) -> Client:
    return Client(foreign.target, era=peer.era, timeout=20, probe_timeout=20, **options)


async def test_who_is_there(foreign, peer):
    async with connect(foreign, peer) as client:
        assert client.revision == peer.revision
        assert client.server_info.name == "foreign"
        assert client.instructions == "A foreign server."
        assert client.server_capabilities.tools is not None
    # It ended by itself when its stdin closed.
    assert (foreign.recording.status, foreign.recording.terminated) == (0, False)


async def test_lists(foreign, peer):
    async with connect(foreign, peer) as client:
        add, fail, count, *_ = await client.list_tools()
        assert (add.name, add.description, fail.name, count.name) == ("add", "Add two whole numbers.", "fail", "count")
        assert set(add.input_schema["required"]) == {"a", "b"}
        assert [each.uri for each in await client.list_resources()] == ["config://settings"]
        assert [each.uri_template for each in await client.list_resource_templates()] == ["users://{id}/profile"]
        (review,) = await client.list_prompts()
        assert [(each.name, bool(each.required)) for each in review.arguments] == [("code", True), ("language", False)]


async def test_calls(foreign, peer):
    async with connect(foreign, peer) as client:
        result = await client.call_tool("add", {"a": 5, "b": 3})
        assert result.content[0].text == "8"
        assert result.structured_content == {"result": 8}
        assert await client.call("count", to=2) in ("counted to 2", {"result": "counted to 2"})


async def test_failures(foreign, peer):
    async with connect(foreign, peer) as client:
        with pytest.raises(ToolError, match="No"):
            await client.call("fail")
        assert (await client.call_tool("add", {"a": "five", "b": 3})).is_error
        with pytest.raises(McpError) as caught:
            await client.read_resource("config://nothing")
        assert caught.value.code in (-32602, -32002)
        with pytest.raises(McpError):
            await client.get_prompt("poem")
        assert (await client.call_tool("add", {"a": 1, "b": 1})).content[0].text == "2"


async def test_resources_prompts_and_completion(foreign, peer):
    async with connect(foreign, peer) as client:
        (settings,) = await client.read_resource("config://settings")
        assert (settings.text, settings.mime_type) == ('{"theme":"dark"}', "application/json")
        (profile,) = await client.read_resource("users://7/profile")
        assert (profile.uri, profile.text) == ("users://7/profile", '{"id":7}')
        (message,) = (await client.get_prompt("review", {"code": "1"})).messages
        assert message.content.text == "Please review this python code: 1"
        assert (await client.complete("review", "language", "p")).values == ["python", "pascal"]


async def test_progress_and_log_messages(foreign, peer):
    steps: list[Any] = []
    logged: list[Any] = []

    def on_notification(method: str, params: Any) -> None:
        if method == "notifications/message":
            logged.append((params["level"], params["data"]))

    async with connect(foreign, peer, log_level="info", on_notification=on_notification) as client:
        await client.call_tool("count", {"to": 3}, on_progress=lambda *step: steps.append(step))
        assert steps == [(step, 3, f"step {step}") for step in (1, 2, 3)]
        assert logged == [("info", f"counted {step}") for step in (1, 2, 3)]


async def test_cancelling(foreign, peer):
    started = asyncio.Event()
    async with connect(foreign, peer) as client:
        arguments = {"to": 60, "pause": 1.0}
        call = asyncio.create_task(client.call_tool("count", arguments, on_progress=lambda *_: started.set()))
        await started.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert (await client.call_tool("add", {"a": 1, "b": 1})).content[0].text == "2"
    recording = foreign.recording
    (cancelled,) = recording.notifications("notifications/cancelled", "client")
    assert cancelled["requestId"] == recording.request("tools/call", name="count")["id"]
