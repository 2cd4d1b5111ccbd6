"""A verifier that is slow, or hangs: who waits for it is bounded in number and in time, and nobody waits for ever."""

import asyncio
from typing import Any

import pytest

from tests.protocol.conversations import modern
from tests.server.http.web import Client, modern_headers
from tybalt import Server
from tybalt.server.http import verifying
from tybalt.server.http.asgi import AsgiApp

BODY = modern("server/discover")


class Directory:
    """Says who it is when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answers = asyncio.Event()
        self.stopped = 0

    async def verify(self, token: str) -> str | None:
        self.asked.set()
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        return token


class Request:
    """One request as an ASGI server makes it, whose client can go; `statuses` are those that were sent."""

    def __init__(self, app: AsgiApp, *pieces: bytes, **headers: str) -> None:
        self.statuses: list[int] = []
        self.received = 0
        self._pieces = list(pieces)
        self._gone = asyncio.Event()
        fields = Client(None).headers("POST", BODY, {**modern_headers("server/discover"), "authorization": "Bearer x"})
        scope = {
            "type": "http",
            "path": "/mcp",
            "method": "POST",
            "headers": [*fields, *((name.encode(), value.encode()) for name, value in headers.items())],
        }
        self.task = asyncio.ensure_future(app(scope, self._receive, self._send))

    def go(self) -> None:
        """The client goes away."""
        self._gone.set()

    async def _receive(self) -> dict[str, Any]:
        self.received += 1
        if self._pieces:
            piece = self._pieces.pop(0)
            return {"type": "http.request", "body": piece, "more_body": bool(self._pieces)}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if "status" in message:
            self.statuses.append(message["status"])


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks come at once."""
    monkeypatch.setattr(verifying, "LOOK", 0.001)


def guarded(**options: Any) -> tuple[Server, AsgiApp, Directory]:
    server, directory = Server("x"), Directory()
    return server, server.asgi(verifier=directory, **options), directory


@pytest.mark.usefixtures("soon")
async def test_a_client_that_goes_is_waited_for_no_longer() -> None:
    server, app, directory = guarded()
    request = Request(app, BODY)
    await directory.asked.wait()
    request.go()
    await request.task
    assert (request.statuses, directory.stopped) == ([], 1)
    await server.drain()


@pytest.mark.usefixtures("soon")
async def test_a_server_that_fails_has_no_client() -> None:
    class Broken(Request):
        async def _receive(self) -> dict[str, Any]:
            raise OSError("no longer there")

    server, app, directory = guarded()
    request = Broken(app)
    await request.task
    assert (request.statuses, directory.stopped) == ([], 1)
    await server.drain()


@pytest.mark.usefixtures("soon")
async def test_what_was_read_ahead_is_the_body() -> None:
    server, app, directory = guarded()
    pieces = [BODY[at : at + 9] for at in range(0, len(BODY), 9)]
    request = Request(app, *pieces)
    while request.received <= len(pieces):  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0)
    directory.answers.set()
    await request.task
    assert request.statuses == [200]
    await server.drain()


@pytest.mark.usefixtures("soon")
async def test_no_more_is_read_ahead_than_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "MAX_AHEAD", 1_000)
    server, app, directory = guarded(max_body=4_000)
    request = Request(app, *[b"x" * 500] * 20)
    while request.received < 2:  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(0)
    for _ in range(50):
        await asyncio.sleep(0)
    assert request.received == 2
    directory.answers.set()
    await request.task
    assert request.statuses == [413]
    await server.drain()


@pytest.mark.usefixtures("soon")
async def test_who_waits_to_be_asked_for_the_body_is_not_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "PATIENCE", 0.01)
    server, app, _ = guarded()
    request = Request(app, BODY, expect="100-continue")
    await request.task
    assert (request.statuses, request.received) == ([503], 0)
    await server.drain()


async def test_one_that_answers_at_once_has_nobody_watched() -> None:
    server, app, directory = guarded()
    directory.answers.set()
    request = Request(app, BODY)
    await request.task
    assert (request.statuses, request.received) == ([200], 1)
    await server.drain()


@pytest.mark.usefixtures("soon")
async def test_it_has_so_much_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(verifying, "PATIENCE", 0.01)
    server, app, directory = guarded()
    request = Request(app, BODY)
    await request.task
    assert (request.statuses, directory.stopped) == ([503], 1)
    assert "the verifier of tokens has said nothing for 0.01 s: 1 requests are refused" in caplog.text
    await server.drain()


async def test_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "MAX_VERIFYING", 2)
    server, app, directory = guarded()
    waiting = [Request(app, BODY), Request(app, BODY)]
    await directory.asked.wait()
    refused = Request(app, BODY)
    await refused.task
    assert refused.statuses == [503]
    directory.answers.set()
    for each in waiting:
        await each.task
        assert each.statuses == [200]
    await server.drain()


async def test_at_the_end_they_are_told_so() -> None:
    server, app, directory = guarded()
    waiting = [Request(app, BODY), Request(app, BODY)]
    await directory.asked.wait()
    await server.drain(0)
    for each in waiting:
        await each.task
        assert each.statuses == [503]
    assert directory.stopped == 2


@pytest.mark.usefixtures("soon")
async def test_one_that_does_not_stop_is_not_waited_for_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifying, "CLEANUP", 0.01)

    class Stubborn(Directory):
        async def verify(self, token: str) -> str | None:
            self.asked.set()
            while not self.answers.is_set():
                try:
                    await self.answers.wait()
                except asyncio.CancelledError:
                    self.stopped += 1
            return token

    server, directory = Server("x"), Stubborn()
    request = Request(server.asgi(verifier=directory), BODY)
    await directory.asked.wait()
    await server.drain(0)
    assert not request.task.done()
    directory.answers.set()
    await request.task
    assert (request.statuses, directory.stopped) == ([503], 1), (
        "it was cancelled, whatever the verifier says in the end"
    )


async def test_a_cancel_of_somebody_else_is_one() -> None:
    server, app, directory = guarded()
    request = Request(app, BODY)
    await directory.asked.wait()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    assert request.statuses == []
    await server.drain()
