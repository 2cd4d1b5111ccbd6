"""Our `Client` over HTTP and servers written with the official SDKs and FastMCP, in every era they have.

They are asked what those are that it launches (`test_foreign_servers.py`). What our client posted is judged by the
published schemas.
"""

from __future__ import annotations

import asyncio
from typing import Any

from interop.foreign import FASTMCP, JSON_SDK, OLD_SDK, SDK, TYPESCRIPT, at, foreign, peer, served
from interop.test_foreign_servers import (
    connect,
    test_calls,
    test_failures,
    test_lists,
    test_resources_prompts_and_completion,
)

__all__ = [
    "foreign",
    "peer",
    "served",
    "test_calls",
    "test_failures",
    "test_lists",
    "test_resources_prompts_and_completion",
]

pytestmark = at(SDK, OLD_SDK, JSON_SDK, FASTMCP, TYPESCRIPT)


async def test_who_is_there(foreign, peer):
    async with connect(foreign, peer) as client:
        assert client.revision == peer.revision
        assert (client.server_info.name, client.server_info.version) == ("foreign", "1.0.0")
        assert client.instructions == "A foreign server."
        await client.ping()


async def test_progress_and_log_messages(foreign, peer):
    steps: list[Any] = []
    logged: list[Any] = []

    def on_notification(method: str, params: Any) -> None:
        if method == "notifications/message":
            # FastMCP wraps what is logged.
            data = params["data"]
            logged.append((params["level"], data["msg"] if isinstance(data, dict) else data))

    async with connect(foreign, peer, log_level="info", on_notification=on_notification) as client:
        await client.call_tool("count", {"to": 3}, on_progress=lambda *step: steps.append(step))
        told = () if peer.server == JSON_SDK.name else (1, 2, 3)
        assert steps == [(step, 3, f"step {step}") for step in told]
        assert logged == [("info", f"counted {step}") for step in told]


async def test_many_at_the_same_time(foreign, peer):
    async with connect(foreign, peer) as client:
        calls = [client.call_tool("add", {"a": number, "b": 1}) for number in range(100)]
        results = await asyncio.gather(*calls)
        assert [each.content[0].text for each in results] == [str(number + 1) for number in range(100)]


async def test_large_messages_both_ways(foreign, peer):
    async with connect(foreign, peer) as client:
        code = "grüße 😀\n" * 50_000
        (message,) = (await client.get_prompt("review", {"code": code})).messages
        assert message.content.text == f"Please review this python code: {code}"


async def test_one_client_after_the_other(foreign, peer):
    for number in range(3):
        async with connect(foreign, peer) as client:
            assert (await client.call_tool("add", {"a": number, "b": 1})).content[0].text == str(number + 1)
