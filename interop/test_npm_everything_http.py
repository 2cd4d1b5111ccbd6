"""Our `Client` and `@modelcontextprotocol/server-everything` over HTTP: with sessions, and as 2024-11-05 has it.

The tests are those of `test_npm_everything.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from interop.npm import PATHS, OverHttp, serving_everything
from interop.test_npm_everything import (
    test_it_asks_for_a_form,
    test_it_asks_for_a_model_and_for_roots,
    test_it_asks_for_a_url_to_be_visited,
    test_it_fails_as_it_says,
    test_it_introduces_itself_and_lists_what_it_has,
    test_it_makes_a_resource_that_can_be_read,
    test_it_reads_gets_and_completes,
    test_it_reports_progress_logs_and_updates,
    test_it_returns_content_of_every_kind,
)

__all__ = [
    "test_it_asks_for_a_form",
    "test_it_asks_for_a_model_and_for_roots",
    "test_it_asks_for_a_url_to_be_visited",
    "test_it_fails_as_it_says",
    "test_it_introduces_itself_and_lists_what_it_has",
    "test_it_makes_a_resource_that_can_be_read",
    "test_it_reads_gets_and_completes",
    "test_it_reports_progress_logs_and_updates",
    "test_it_returns_content_of_every_kind",
]


@pytest.fixture(params=PATHS, scope="module")
def npm(request: pytest.FixtureRequest, node: str) -> Iterator[OverHttp]:
    with serving_everything(node, request.param) as everything:
        yield everything


async def test_a_cancelled_call_is_not_in_the_way(npm):
    started = asyncio.Event()
    async with npm.connect("everything") as client:
        arguments = {"duration": 0.5, "steps": 50}
        call = asyncio.create_task(
            client.call_tool("trigger-long-running-operation", arguments, on_progress=lambda *_: started.set())
        )
        await started.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        assert await client.call("echo", message="and on") == "Echo: and on"


async def test_clients_do_not_disturb_each_other(npm):
    async def ask(number: int) -> None:
        async with npm.connect("everything", on_sample=lambda _: f"<{number}>") as client:
            for _ in range(3):
                assert f"<{number}>" in await client.call("trigger-sampling-request", prompt="who?")

    await asyncio.gather(*map(ask, range(5)))
