"""10,000 random schedules of a client on virtual time: cancels, time limits, lost connections, servers that mean ill.

`schedules` says what each may leave behind, which is nothing, and how to run one alone. Below are the bugs that they
have found, each by itself.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.client.peers import DISCOVERED, Clock, Peer, asked, called, connected, encoded, idle, settle
from tests.client.schedules import digest, play
from tests.client.test_restarting import greet, restarted
from tybalt import ConnectionLost, RequestTimeout
from tybalt.client import ListChanged, Missed, Restart
from tybalt.types.meta import SUBSCRIPTION_ID

SCHEDULES = int(os.environ.get("TYBALT_SCHEDULES", "300"))
"""`make soak` plays 10,000; every run of the tests some."""
CHUNK = 100
"""How many are one test: what several processes share out is tests."""
TWICE = 30
"""Every how manieth is played twice."""
FORM = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {"type": "object"}}}
ASKS = {"resultType": "input_required", "inputRequests": {"a": FORM}}


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_nothing_is_left_behind(first: int) -> None:
    for seed in range(first, first + CHUNK):
        play(seed)


def test_the_same_seed_gives_the_same_trace() -> None:
    for seed in range(0, SCHEDULES, TWICE):
        assert play(seed) == play(seed), f"seed {seed} has two traces"


def test_in_another_process_too() -> None:
    """Where sets of strings, and of what has its address for a hash, have another order."""
    seeds = range(0, SCHEDULES, max(1, SCHEDULES // 20))
    script = "import sys; from tests.client.schedules import digest; print(digest(map(int, sys.argv[1:])))"
    told = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, *map(str, seeds)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert told.stdout.split() == [digest(seeds)]


# -- what they have found ---------------------------------------------------------------------------------------------


async def acknowledge(peer: Peer) -> dict[str, Any]:
    """Acknowledge the next message, which is a subscription; the params of what is told to it."""
    request = await peer.next()
    tag = {"_meta": {SUBSCRIPTION_ID: request["id"]}}
    told = {**tag, "notifications": request["params"]["notifications"]}
    peer.send({"method": "notifications/subscriptions/acknowledged", "params": told})
    return tag


async def test_a_subscription_that_has_waited_for_the_connection_still_hears() -> None:
    """What opens the connection takes ids too, and a change carries the id of its subscription."""
    clock = Clock()
    async with restarted(restart=Restart(base=2.0, cap=2.0)) as (client, peers):
        changes = client.listen(tools=True)
        entering = asyncio.create_task(changes.__aenter__())
        await acknowledge(peers.now)
        await entering
        await peers.now.aclose()
        await settle()
        await clock.advance(0.9)  # It would be opened now, if the connection were there.
        await clock.advance(2.0)
        await greet(peers.now, "modern")
        tag = await acknowledge(peers.now)
        peers.now.send({"method": "notifications/tools/list_changed", "params": tag})
        await settle()
        assert len(changes._pending) == 2
        assert isinstance(await anext(changes), Missed)
        assert await anext(changes) == ListChanged("tools")
        await changes.__aexit__(None, None, None)


async def test_a_question_whose_connection_ends_fails_its_request_and_cancels_nobody() -> None:
    async with restarted(on_elicit=lambda _: asyncio.Event().wait()) as (client, peers):
        calling, request = await asked(peers.now, client.call("x"))
        peers.now.answer(request, ASKS)
        await settle()
        await peers.now.aclose()
        with pytest.raises(ConnectionLost, match="while a question of the server was answered"):
            await calling
        await settle()
        await greet(peers.now, "modern")


async def test_a_server_that_goes_as_soon_as_it_has_greeted_is_started_again() -> None:
    async with restarted() as (client, peers):
        await peers.now.aclose()
        await settle()
        peers.now.answer(await peers.now.next(), DISCOVERED)
        await peers.now.aclose()
        await settle()
        await greet(peers.now, "modern")
        calling, request = await asked(peers.now, client.call("x"))
        peers.now.answer(request, called(5))
        assert await calling == 5
        assert peers.made == 3


async def test_a_ping_waits_like_all_others_for_the_connection() -> None:
    """Though in modern it is the same request as the one that opens the connection."""
    async with restarted() as (client, peers):
        await peers.now.aclose()
        pinging = asyncio.create_task(client.ping())
        await settle()
        await greet(peers.now, "modern")
        peers.now.answer(await peers.now.next(), DISCOVERED)
        await pinging


async def test_the_time_in_which_a_request_waits_for_the_connection_is_part_of_its_own() -> None:
    clock = Clock()
    async with restarted(timeout=2.0) as (client, peers):
        await peers.now.aclose()
        await settle()
        calling = asyncio.create_task(client.call("x"))
        await settle()
        await clock.advance(1.5)
        await greet(peers.now, "modern")
        await peers.now.next()
        await clock.advance(1.0)
        assert calling.done()
        with pytest.raises(RequestTimeout, match="tools/call was not answered within 2 s"):
            await calling
        assert idle(client)


class Stubborn:
    """A function that answers, and goes on for as long as it likes when it is cancelled."""

    def __init__(self) -> None:
        self.begun = 0
        self.released = asyncio.Event()

    async def __call__(self, _: Any) -> None:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            while not self.released.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.released.wait()


def question(id: str) -> bytes:
    return encoded(id=id, **FORM)


async def test_no_question_is_taken_any_more_while_the_client_closes() -> None:
    stubborn = Stubborn()
    async with connected("legacy", on_elicit=stubborn) as (client, peer):
        peer.send(question("a"))
        await settle()
        closing = asyncio.create_task(client.aclose())
        await settle()
        peer.send(question("b"))
        await settle()
        stubborn.released.set()
        await closing
    assert stubborn.begun == 1


async def test_nothing_is_opened_again_by_a_client_whose_closing_was_cancelled() -> None:
    stubborn = Stubborn()
    async with restarted("legacy", on_elicit=stubborn) as (client, peers):
        peers.now.send(question("a"))
        await settle()
        await peers.now.aclose()
        await settle()
        closing = asyncio.create_task(client.aclose())
        await settle()
        closing.cancel()
        await asyncio.wait([closing])
        await settle()
        assert closing.cancelled()
        assert peers.made == 2
        stubborn.released.set()
