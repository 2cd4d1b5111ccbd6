"""An endpoint: heads that it remembers, of which idle sessions leave little, and its end, before that of the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from tests.protocol.conversations import legacy, modern
from tests.server.http.web import FACES, AsgiFace, Client, modern_headers, served
from tybalt import Server
from tybalt.protocol.http_messages import HttpRequest, HttpResponse
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.endpoint import LOG_EVERY, MAX_SESSION_HEADS


@pytest.mark.parametrize("face", FACES)
async def test_heads_that_name_a_session_push_out_each_other_and_nothing_else(face: str) -> None:
    app = Server("x").asgi()
    async with served(face, app) as client:
        await client.post(modern("tools/list"), **modern_headers("tools/list"))
        endpoint = app.service.endpoint
        assert endpoint is not None
        sessions = [await client.begin() for _ in range(MAX_SESSION_HEADS + 10)]
        named = [entry for entry, _ in endpoint.heads.values() if entry.admitted.session_id]
        assert len(named) == MAX_SESSION_HEADS
        assert any(entry.admitted.era == "modern" for entry, _ in endpoint.heads.values())
        for session in (sessions[0], sessions[-1]):  # One that was pushed out, and one that was not.
            for _ in range(2):
                assert (await client.post(legacy("ping"), **session)).json["result"] == {}


async def test_the_log_has_each_reason_why_nobody_was_let_in_and_how_often(caplog: pytest.LogCaptureFixture) -> None:
    app = Server("x").asgi(auth_token="0123456789abcdef")
    endpoint = await app.service.open()
    now = 5.0
    endpoint.loop = SimpleNamespace(time=lambda: now)  # pyright: ignore[reportAttributeAccessIssue]

    def knock(**fields: str) -> None:
        headers = [(b"accept", b"application/json, text/event-stream"), (b"content-type", b"application/json")]
        headers += [(name.encode(), value.encode()) for name, value in fields.items()]
        assert isinstance(endpoint.enter(HttpRequest("POST", headers)), HttpResponse)

    for number in range(3):
        knock(host=f"{number}.example")
        knock(host="localhost")
    now = 5.0 + LOG_EVERY
    knock(host="4.example")
    told = [record.getMessage() for record in caplog.records]
    advice = "is not served here; if it is yours, list it in allowed_hosts"
    assert told == [
        f"x: refused with 403: Host '0.example' {advice}",
        "x: refused with 401: send `Authorization: Bearer` and a token",
        f"x: refused with 403: Host '4.example' {advice} (and 2 more since this was said)",
    ]
    endpoint.loop = asyncio.get_running_loop()
    await app.service.drain()


class Anybody:
    """Takes each token for a name."""

    def verify(self, token: str) -> str | None:
        return token


class TestDrain:
    """Nothing runs any more when it is over, whenever that has begun: the lifespan is closed after it."""

    def worker(self) -> tuple[Server, list[str], dict[str, asyncio.Event]]:
        """A server whose work goes on until it is let, and takes time to end; what happened, the lifespan's end too."""
        happened: list[str] = []
        go = {name: asyncio.Event() for name in ("first", "second")}

        @asynccontextmanager
        async def lifespan(_: Server) -> AsyncGenerator[None]:
            yield
            happened.append("the lifespan ends")

        server = Server("x", lifespan=lifespan)

        @server.tool
        async def work(name: str) -> str:
            happened.append(f"{name} begins")
            try:
                await go[name].wait()
            finally:
                happened.append(f"{name} cleans up")
                for _ in range(50):
                    await asyncio.sleep(0)
                happened.append(f"{name} ends")
            return "done"

        return server, happened, go

    def ask(self, app: AsgiApp, name: str, arrives: asyncio.Event | None = None) -> asyncio.Future[int]:
        """Ask for work under its name, with a body that comes late: the status."""
        body = modern("tools/call", {"name": "work", "arguments": {"name": name}})

        async def late(scope: Any, receive: Any, send: Any) -> None:
            async def receive_late() -> Any:
                if arrives is not None:
                    await arrives.wait()
                return await receive()

            await app(scope, receive_late, send)

        async def status() -> int:
            headers = {"authorization": f"Bearer {name}", **modern_headers("tools/call", "work")}
            return (await Client(AsgiFace(late)).post(body, **headers)).status

        return asyncio.ensure_future(status())

    async def until(self, happened: list[str], what: str) -> None:
        while what not in happened:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)

    async def test_what_begins_meanwhile_is_finished_too(self) -> None:
        server, happened, go = self.worker()
        app, arrives = server.asgi(verifier=Anybody()), asyncio.Event()
        first, second = self.ask(app, "first"), self.ask(app, "second", arrives)
        await self.until(happened, "first begins")
        draining = asyncio.ensure_future(server.drain(60))
        for _ in range(20):
            await asyncio.sleep(0)
        arrives.set()
        await self.until(happened, "second begins")
        go["first"].set()
        assert await first == 200
        for _ in range(100):
            await asyncio.sleep(0)
        assert not draining.done()
        go["second"].set()
        await draining
        assert await second == 200
        assert happened[-2:] == ["second ends", "the lifespan ends"]

    async def test_what_comes_too_late_is_told_so(self) -> None:
        server, happened, _ = self.worker()
        app, arrives = server.asgi(verifier=Anybody()), asyncio.Event()
        first, second = self.ask(app, "first"), self.ask(app, "second", arrives)
        await self.until(happened, "first begins")
        draining = asyncio.ensure_future(server.drain(0))
        await self.until(happened, "first cleans up")
        arrives.set()
        assert await second == 503
        await draining
        assert await first == 503
        assert happened == ["first begins", "first cleans up", "first ends", "the lifespan ends"]

    async def test_it_waits_for_what_was_stopped_by_the_end_of_its_session(self) -> None:
        server, happened, _ = self.worker()
        client = Client(AsgiFace(server.asgi()))
        session = await client.begin()
        body = legacy("tools/call", {"name": "work", "arguments": {"name": "first"}})
        working = asyncio.ensure_future(client.post(body, **session))
        await self.until(happened, "first begins")
        assert (await client.send("DELETE", **session)).status == 204
        await server.drain(60)
        await working
        assert happened == ["first begins", "first cleans up", "first ends", "the lifespan ends"]
