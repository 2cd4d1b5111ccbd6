"""How what runs is told that it ends: because its client has gone, or because the server stops."""

import asyncio

import pytest

from tests.server.driving import Driver
from tybalt import Context, Interrupted, Server
from tybalt.reasons import CancelKind
from tybalt.server.serving import serve
from tybalt.transports import memory_pair


class Waiting:
    """A server of one tool that waits for ever, and keeps the reason why it was stopped."""

    def __init__(self) -> None:
        self.server = Server("x")
        self.began = asyncio.Event()
        self.reasons: list[CancelKind] = []

        @self.server.tool
        async def wait(context: Context) -> None:
            self.began.set()
            try:
                await asyncio.Event().wait()
            finally:
                try:
                    context.checkpoint()
                except Interrupted as interrupted:
                    self.reasons.append(interrupted.reason.kind)


@pytest.mark.loops
@pytest.mark.parametrize(("is_gone", "kind"), [(True, CancelKind.RESOURCE_UNAVAILABLE), (False, CancelKind.SHUTDOWN)])
async def test_a_handler_can_tell_a_lost_client_from_a_shutdown(is_gone: bool, kind: CancelKind) -> None:
    waiting = Waiting()
    driver = Driver(waiting.server)
    driver.ask("tools/call", {"name": "wait"})
    await waiting.began.wait()
    await driver.session.drain(0, is_gone=is_gone)
    assert waiting.reasons == [kind]
    (answer,) = await driver.later()
    assert answer["error"]["code"] == 503
    assert driver.session.running.calls == {}


@pytest.mark.loops
@pytest.mark.parametrize("disconnects", [True, False])
async def test_over_a_transport(disconnects: bool) -> None:
    waiting = Waiting()
    ours, theirs = memory_pair()
    stop = asyncio.Event()
    async with waiting.server.running():
        serving = asyncio.create_task(serve(waiting.server, ours, grace=0, stop=stop))
        permit = await theirs.reserve()
        permit.send(Driver(waiting.server).encoded("tools/call", {"name": "wait"}))
        await waiting.began.wait()
        if disconnects:
            await theirs.aclose()
        else:
            stop.set()
        await serving
    await ours.aclose()
    await theirs.aclose()
    assert waiting.reasons == [CancelKind.RESOURCE_UNAVAILABLE if disconnects else CancelKind.SHUTDOWN]
