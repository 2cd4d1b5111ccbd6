"""What is another matter over HTTP than over stdio: questions, cancelling, changes. With the official Python SDK."""

from __future__ import annotations

import asyncio

import pytest

from interop.foreign import OLD_SDK, RESUMABLE_SDK, SDK, at, foreign, peer, served
from interop.heard import Heard
from interop.test_foreign_servers import connect
from tybalt.client.listening import ListChanged
from tybalt.types.elicitation import ElicitResult

__all__ = ["foreign", "peer", "served"]

pytestmark = at(SDK, OLD_SDK, RESUMABLE_SDK)


@pytest.mark.parametrize(
    ("answer", "told"),
    [({"size": 3}, "3 ordered"), (None, "a decline"), (ElicitResult(action="cancel"), "a cancel")],
    ids=["accepts", "declines", "cancels"],
)
async def test_it_asks(foreign, peer, answer, told):
    asked = []

    async def fill_in(question):
        asked.append((question.message, list(question.requested_schema["properties"])))
        # While it is asked, it may ask for something itself.
        assert (await client.call_tool("add", {"a": 1, "b": 1})).content[0].text == "2"
        return answer

    async with connect(foreign, peer, on_elicit=fill_in) as client:
        assert (await client.call_tool("order")).content[0].text == told
    assert asked == [("How much?", ["size"])]


async def test_it_asks_many_at_the_same_time(foreign, peer):
    async with connect(foreign, peer, on_elicit=lambda _: {"size": 2}) as client:
        results = await asyncio.gather(*(client.call_tool("order") for _ in range(20)))
        assert [each.content[0].text for each in results] == ["2 ordered"] * 20


async def test_it_notices_that_a_call_is_cancelled(foreign, peer):
    started = asyncio.Event()
    name = f"of {peer.server} in {peer.era}"
    async with connect(foreign, peer) as client:
        call = asyncio.create_task(client.call_tool("linger", {"name": name}, on_progress=lambda *_: started.set()))
        await started.wait()
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()
        async with asyncio.timeout(20):
            while name not in [each.text for each in (await client.call_tool("left")).content]:
                pass
    cancelled = foreign.recording.notifications("notifications/cancelled", "client")
    # In modern, the stream of the answer is closed, and that says it (2026-07-28 basic/patterns/cancellation).
    assert len(cancelled) == (0 if peer.is_modern else 1)


async def test_it_tells_of_changes(foreign, peer):
    heard = Heard()
    async with connect(foreign, peer, on_notification=heard) as client:
        if not peer.is_modern:
            # It does so without having declared it, on the stream that belongs to no request.
            await client.call_tool("grow")
            await heard.wait_for("notifications/tools/list_changed")
            return
        async with client.listen(tools=True) as changes, asyncio.timeout(20):
            await client.call_tool("grow")
            assert await anext(changes) == ListChanged("tools")


async def test_it_closes_a_stream_and_says_the_rest_later(foreign, peer):
    steps = []
    before = foreign.resumptions
    async with connect(foreign, peer) as client:
        results = await asyncio.gather(
            *(client.call_tool("poll", on_progress=lambda *step: steps.append(step[0])) for _ in range(5))
        )
        assert [each.content[0].text for each in results] == ["polled"] * 5
    assert sorted(steps) == [1] * 5 + [2] * 5
    # Only legacy has streams that can be gone on with, and only where the server keeps what it says.
    resumable = peer.server == RESUMABLE_SDK.name and not peer.is_modern
    assert foreign.resumptions - before == (5 if resumable else 0)
