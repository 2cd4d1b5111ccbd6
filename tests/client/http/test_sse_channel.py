"""`SseChannel`: HTTP+SSE of 2024-11-05, asked for or fallen back to; where it is not, and how it ends."""

import asyncio
from typing import Any

import pytest

from tests.client.http.scripted import Act, Line, Request, Scripted, acts, gives, scripted, status, talking, waits
from tests.client.peers import INITIALIZED, called, encoded
from tybalt import Client, ConnectionLost, McpError, RequestTimeout
from tybalt.client import opening
from tybalt.client.address import Address
from tybalt.client.http import link
from tybalt.errors import TybaltError, UnexpectedResult, UnsupportedRevision


@pytest.fixture(autouse=True)
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server is known to be legacy; ports come back."""
    monkeypatch.setattr(opening, "_legacy", {})


class Old:
    """A server of 2024-11-05 at one URL; its messages go to `endpoint`, what it says to the stream."""

    def __init__(self, *, refuses: int = 405, endpoint: str = "/messages?session=1") -> None:
        self.refuses = refuses
        self.endpoint = endpoint
        self.line: Line | None = None
        self.gone = asyncio.Event()

    @property
    def acts(self) -> dict[str, Act]:
        """What it does."""
        return {"GET": self.open, "POST": self.take}

    async def open(self, request: Request, line: Line) -> None:
        """The stream."""
        self.line = line
        await line.stream()
        await line.chunk(b": hello\n\n")
        await line.event(self.endpoint.encode(), name="endpoint")
        await line.gone()
        self.gone.set()

    async def take(self, request: Request, line: Line) -> None:
        """A message."""
        if not request.path.startswith("/messages"):
            await line.answer(self.refuses, b"Method Not Allowed", "text/plain")
            return
        await line.answer(202, b"Accepted", "text/plain")
        if (result := self.result(request)) is not None:
            await self.say(id=request.message["id"], result=result)

    def result(self, request: Request) -> Any:
        """What a request is answered with."""
        if request.method == "initialize":
            return {**INITIALIZED, "protocolVersion": "2024-11-05"}
        if request.method == "tools/call":
            return called(request.message["params"]["arguments"])
        return None

    async def say(self, **message: Any) -> None:
        """An event on the stream."""
        assert self.line is not None
        await self.line.event(encoded(**message), name="message")


def at(server: Scripted, **options: Any) -> Address:
    return Address(server.url, transport="sse", **options)


# -- how it is found ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refuses", [400, 404, 405])
async def test_a_server_that_knows_no_post_is_spoken_to_as_of_old(refuses: int) -> None:
    old = Old(refuses=refuses)
    async with talking(old.acts) as (server, client):
        assert client.revision == "2024-11-05"
        assert await client.call("x", a=1) == {"a": 1}
    told = [(each.method, each.path) for each in server.requests]
    assert told == [
        ("server/discover", "/mcp"),
        ("initialize", "/mcp"),
        ("GET", "/mcp"),
        ("initialize", "/messages?session=1"),
        ("notifications/initialized", "/messages?session=1"),
        ("tools/call", "/messages?session=1"),
    ]
    assert old.gone.is_set()


async def test_it_is_spoken_at_once_where_it_is_asked_for() -> None:
    async with scripted(Old().acts) as server, Client(at(server, token="t")) as client:
        assert await client.call("x", a=1) == {"a": 1}
    assert server.methods == ["GET", "initialize", "notifications/initialized", "tools/call"]
    assert {each.fields["authorization"] for each in server.requests} == {"Bearer t"}


@pytest.mark.parametrize("number", [401, 403, 406, 409, 413, 415, 429, 500, 502, 503])
async def test_no_other_refusal_leads_there(number: int) -> None:
    async with scripted({**Old(refuses=number).acts}) as server:
        with pytest.raises(McpError, match=f"HTTP {number}"):
            await Client(server.url, era="legacy").__aenter__()
    assert "GET" not in server.methods


@pytest.mark.parametrize("code", [-32020, -32021, -32022])
async def test_nor_does_the_error_of_a_modern_server(code: int) -> None:
    body = encoded(id=1, error={"code": code, "message": "no", "data": {"supported": ["2026-07-28"]}})
    async with scripted({**Old().acts, "POST": status(400, body, "application/json")}) as server:
        with pytest.raises(McpError):
            await Client(server.url, era="legacy").__aenter__()
    assert "GET" not in server.methods


async def test_nor_does_a_modern_server_that_lacks_a_method() -> None:
    body = encoded(id=1, error={"code": -32601, "message": "no such method"})
    async with scripted({**acts(), "server/discover": status(404, body, "application/json")}) as server:
        with pytest.raises(McpError, match="no such method"):
            await Client(server.url, era="modern").__aenter__()
    assert server.methods == ["server/discover"]


NO_STREAM: dict[str, Act] = {
    "no such method": status(405),
    "not found": status(404, b"nothing here"),
    "a page": status(200, b"<p>", "text/html"),
    "broken": status(500),
    "closed": gives(b"HTTP/1.1 200 OK\r\n"),
    "no event": gives(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"),
    "another event": gives(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: /messages\n\n"),
    "nowhere": gives(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: endpoint\ndata:\n\n"),
    "far too much": gives(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: endpoint\ndata: /%b\n\n" % (b"x" * 10_000)
    ),
    "silence": waits,
    "a stream of silence": gives(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", b": \n\n" * 9),
}


@pytest.mark.parametrize("act", NO_STREAM.values(), ids=NO_STREAM)
async def test_where_there_is_no_such_stream_the_first_refusal_is_told(act: Act) -> None:
    async with scripted({"POST": status(404, b"no MCP here"), "GET": act}) as server:
        with pytest.raises(McpError, match="HTTP 404 Whatever: no MCP here"):
            await Client(Address(server.url, connect_timeout=0.1)).__aenter__()


@pytest.mark.parametrize("act", NO_STREAM.values(), ids=NO_STREAM)
async def test_where_it_was_asked_for_its_own_is(act: Act) -> None:
    async with scripted({"GET": act}) as server:
        with pytest.raises(TybaltError):
            await Client(at(server, connect_timeout=0.1)).__aenter__()


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: \n\n"])
async def test_silence_is_not_waited_for_longer_than_a_connection(before: bytes) -> None:
    async def silent(request: Request, line: Line) -> None:
        await line.raw(before)
        await line.gone()

    async with scripted({"GET": silent}) as server:
        with pytest.raises(ConnectionLost, match="opened no stream that says where to POST, in time"):
            await Client(at(server, connect_timeout=0.05)).__aenter__()


# -- where messages go ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:1/messages",
        "http://evil.example/messages",
        "//evil.example/messages",
        "https://127.0.0.1:{port}/messages",
        "http://user@127.0.0.1:{port}/messages",
        "http://127.0.0.1:{port}@evil.example/messages",
        "http://127.0.0.1:{port}\\@evil.example/messages",
        "\\\\evil.example/messages",
        "http://[::1/messages",
        "http://127.0.0.1:x/messages",
        "/messages with blanks",
        "/m\u00e9ssages",
        "javascript:alert(1)",
    ],
)
async def test_an_address_elsewhere_is_refused(endpoint: str) -> None:
    old = Old()
    async with scripted(old.acts) as server:
        old.endpoint = endpoint.replace("{port}", str(server.port))
        with pytest.raises(UnexpectedResult, match="which is not of its own origin"):
            await Client(at(server, token="secret")).__aenter__()
    assert server.methods == ["GET"]


@pytest.mark.parametrize("endpoint", ["messages?a=1&b=%20", "HTTP://127.0.0.1:{port}/messages", "?session=1"])
async def test_an_address_of_its_own_may_be_written_in_any_way(endpoint: str) -> None:
    old = Old()
    async with scripted({**old.acts, "POST": old.take}) as server:
        old.endpoint = endpoint.replace("{port}", str(server.port))
        url = server.url.replace("/mcp", "/messages")
        async with Client(Address(url, transport="sse")) as client:
            assert await client.call("x", a=1) == {"a": 1}


async def test_the_port_of_a_scheme_need_not_be_said() -> None:
    from tybalt.client.http.sse_channel import SseChannel
    from tybalt.protocol.sse import Event

    nothing: Any = None
    for ours, theirs in (("https://a.example/s", "https://A.example:443/m"), ("http://a.example:80/s", "/m")):
        channel = SseChannel(Address(ours), nothing, nothing, nothing)
        assert channel._checked(Event(theirs.encode(), "endpoint")).endswith("/m")


# -- what is said ---------------------------------------------------------------------------------------------------


async def test_questions_news_and_cancels_go_both_ways() -> None:
    heard: list[str] = []
    old = Old()
    answered = asyncio.Event()

    async def take(request: Request, line: Line) -> None:
        await old.take(request, line)
        if request.method == "answer":
            answered.set()

    class Asking(Old):
        def result(self, request: Request) -> Any:
            return None if request.method == "tools/call" else super().result(request)

    old = Asking()
    async with talking(
        {**old.acts, "POST": take}, roots=["file:///a"], on_notification=lambda method, _: heard.append(method)
    ) as (server, client):
        calling = asyncio.create_task(client.call("x"))
        await server.saw("tools/call")
        assert old.line is not None
        await old.line.event(encoded(method="notifications/other"), name="other")
        await old.line.event(b"", name="message")
        await old.say(method="notifications/x")
        await old.say(id=1, method="roots/list")
        await answered.wait()
        calling.cancel()
        (told,) = await server.saw("notifications/cancelled")
        assert told.path == "/messages?session=1"
    assert heard == ["notifications/x"]


async def test_a_message_that_is_refused_fails_its_own_request() -> None:
    old = Old()

    async def take(request: Request, line: Line) -> None:
        if request.method == "tools/call" and not request.message["params"]["arguments"]:
            await line.answer(404, b"no session", "text/plain")
        else:
            await old.take(request, line)

    async with talking({**old.acts, "POST": take}) as (_, client):
        with pytest.raises(McpError, match="HTTP 404 Whatever: no session"):
            await client.call("x")
        assert await client.call("x", a=1) == {"a": 1}


async def test_an_answer_that_is_too_large_fails_its_own_request() -> None:
    class Large(Old):
        def result(self, request: Request) -> Any:
            found = super().result(request)
            return called("x" * 5_000) if found == called({}) else found

    async with scripted(Large().acts) as server, Client(at(server, limit=1_000)) as client:
        with pytest.raises(UnexpectedResult, match="too large"):
            await client.call("x")
        assert await client.call("x", a=1) == {"a": 1}


@pytest.mark.parametrize("how", ["close", "abort", "end"])
async def test_the_end_of_the_stream_is_that_of_the_connection(how: str) -> None:
    old = Old()
    asked = asyncio.Event()

    async def take(request: Request, line: Line) -> None:
        if request.method != "tools/call":
            await old.take(request, line)
            return
        await line.answer(202)
        asked.set()

    async with talking({**old.acts, "POST": take}) as (_, client):
        calling = asyncio.create_task(client.call("x"))
        await asked.wait()
        assert old.line is not None
        if how == "end":
            await old.line.end()
        else:
            getattr(old.line, how)()
        with pytest.raises(ConnectionLost):
            await calling
        with pytest.raises(ConnectionLost):
            await client.call("x")


async def test_a_message_that_is_never_taken_has_the_time_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PARTING", 0.05)
    old = Old()
    async with talking(old.acts) as (server, client):
        server.acts["POST"] = waits
        with pytest.raises(RequestTimeout):
            await client.call_tool("x", timeout=0.05)


async def test_another_revision_is_refused_and_all_is_closed() -> None:
    class Newer(Old):
        def result(self, request: Request) -> Any:
            return {**INITIALIZED, "protocolVersion": "2099-01-01"}

    old = Newer()
    async with scripted(old.acts) as server:
        with pytest.raises(UnsupportedRevision):
            await Client(server.url).__aenter__()
        await old.gone.wait()


@pytest.mark.parametrize("turns", range(0, 60, 2))
async def test_a_cancel_at_any_moment_leaves_nothing_behind(turns: int) -> None:
    async def use(url: str) -> None:
        async with Client(url, timeout=5) as client:
            await client.call("x")

    async with scripted(Old().acts) as server:
        using = asyncio.create_task(use(server.url))
        for _ in range(turns):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait([using])
        assert using.cancelled() or using.exception() is None
