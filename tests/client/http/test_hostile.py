"""Servers of HTTP that misbehave: whatever comes, each request ends in an answer or a typed error, and nothing is left.

Each case is played three times: to the first request of a modern client, to that of a legacy one, and to a call. The
server by hand sees that every connection is closed; the plugins of the tests look for tasks and descriptors.
"""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.client.http.scripted import (
    Act,
    Line,
    Request,
    acts,
    answer,
    gives,
    head,
    in_turn,
    scripted,
    status,
    talking,
    waits,
)
from tests.client.peers import DISCOVERED, INITIALIZED, called, encoded, idle
from tybalt import Client, ConnectionLost, McpError, RequestTimeout
from tybalt.client.address import Address
from tybalt.client.http import link, session, streams
from tybalt.errors import RateLimited, TybaltError, UnexpectedResult

LIMIT = 20_000
SOON = 0.05
"""Seconds after which a client gives up."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be seconds is as short as can be."""
    for module in (link, session):
        monkeypatch.setattr(module, "PARTING", 0.05)
    monkeypatch.setattr(streams, "TAIL", 0.05)
    monkeypatch.setattr(streams, "PAUSE", 0.01)


def result_of(request: Request) -> Any:
    """What would have been a good answer."""
    return {"server/discover": DISCOVERED, "initialize": INITIALIZED}.get(request.method, called("good"))


def good(request: Request, **changed: Any) -> bytes:
    """A good answer, but for what is changed."""
    return encoded(**{"id": request.message["id"], "result": result_of(request), **changed})


def says(make: Callable[[Request], bytes], **fields: str) -> Act:
    """Answers with this body."""

    async def act(request: Request, line: Line) -> None:
        await line.answer(body=make(request), **fields)

    return act


def streams_of(make: Callable[[Request], bytes]) -> Act:
    """Answers with a stream of these bytes, and ends it."""

    async def act(request: Request, line: Line) -> None:
        await line.stream()
        await line.chunk(make(request))
        await line.end()

    return act


def goes_on(head: bytes, piece: bytes) -> Act:
    """Says a piece again and again, as long as anybody listens."""

    async def act(request: Request, line: Line) -> None:
        ends = asyncio.create_task(line.gone())
        await line.raw(head)
        while not ends.done():
            await line.raw(piece)
            await asyncio.sleep(0)
        await ends

    return act


async def drips(request: Request, line: Line) -> None:
    """Never stops to say a little, of a good answer."""
    ends = asyncio.create_task(line.gone())
    body = good(request)
    await line.raw(head(200, {"content-type": "application/json", "content-length": str(len(body))}))
    for each in body[:-1]:
        await line.raw(bytes([each]))
        await asyncio.wait([ends], timeout=0.001)
    await ends


async def killed(request: Request, line: Line) -> None:
    """Dies in the middle."""
    await line.stream()
    await line.event({"method": "notifications/x"})
    line.abort()


def data(message: bytes) -> bytes:
    return b"data: %b\n\n" % message


JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
NEWS = data(encoded(method="notifications/x"))
CHUNK = b"%x\r\n%b\r\n"

ENDLESS: dict[str, Act] = {
    "never answers": waits,
    "half a body, and waits": in_turn(lambda _, line: line.raw(JSON + b"Content-Length: 100\r\n\r\n{")),
    "a flood of 1xx": goes_on(b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "a gigabyte announced": in_turn(lambda _, line: line.raw(JSON + b"Content-Length: 1000000000\r\n\r\n{")),
    "a stream without an answer": goes_on(STREAM + CHUNKED, CHUNK % (len(NEWS), NEWS)),
    "a stream of comments": goes_on(STREAM + CHUNKED, CHUNK % (3, b":\n\n")),
    "a slow drip": drips,
}
"""What only a time limit ends."""

CASES: dict[str, Act] = {
    "accepts and closes": gives(),
    "half a head": gives(b"HTTP/1.1 200 OK\r\nContent-Ty"),
    "half a body": gives(JSON + b'Content-Length: 100\r\n\r\n{"jsonrpc":'),
    "no HTTP": gives(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "HTTP/0.9": gives(b"<p>Hello</p>"),
    "HTTP/9.9": gives(b"HTTP/9.9 200 OK\r\n\r\n"),
    "a status of letters": gives(b"HTTP/1.1 two OK\r\n\r\n"),
    "another id": says(lambda request: good(request, id=12_345)),
    "the id as a text": says(lambda request: good(request, id=str(request.message["id"]))),
    "no id": says(lambda request: encoded(result=result_of(request))),
    "neither result nor error": says(lambda request: encoded(id=request.message["id"])),
    "an array": says(lambda request: b"[%b]" % good(request)),
    "a number": says(lambda _: b"5"),
    "null": says(lambda _: b"null"),
    "nothing": says(lambda _: b""),
    "a request": says(lambda request: encoded(id=request.message["id"], method="sampling/createMessage", params={})),
    "a notification": says(lambda _: encoded(method="notifications/x")),
    "text/html": status(200, b"<html>Welcome</html>", "text/html; charset=utf-8"),
    "no content type": says(good, kind=""),
    "a content type of noise": status(200, b"{}", "\xff" * 500),
    "202": status(202),
    "204": status(204),
    "206": status(206),
    "101": gives(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "a redirect in a circle": status(307, location="/mcp"),
    "a redirect elsewhere": status(308, location="http://127.0.0.2:1/mcp"),
    "a redirect that makes it a GET": status(302, location="/mcp"),
    "a redirect to nowhere": status(307),
    "a redirect to nonsense": status(307, location="http://[::1"),
    "compressed": status(200, gzip.compress(b"{}"), "application/json", content_encoding="gzip"),
    "a bomb": status(200, gzip.compress(b" " * 10_000_000), "application/json", content_encoding="gzip"),
    "a body without end": goes_on(JSON + CHUNKED, CHUNK % (4_000, b" " * 4_000)),
    "a refusal without end": goes_on(b"HTTP/1.1 400 Bad\r\n" + CHUNKED, CHUNK % (4_000, b"x" * 4_000)),
    "a stream that ends": streams_of(lambda _: NEWS),
    "a stream that is empty": streams_of(lambda _: b":\n\n"),
    "an event above the limit": streams_of(lambda request: data(good(request, result={"a": "x" * LIMIT}))),
    "an event without end": goes_on(STREAM + CHUNKED + CHUNK % (5, b"data:"), CHUNK % (4_000, b"x" * 4_000)),
    "a body above the limit": says(lambda request: good(request, result={"a": "x" * LIMIT})),
    "a stream of nonsense": streams_of(lambda _: data(b"nonsense") + b"\xff\xfe: \x00\n\n"),
    "an answer to another request": streams_of(lambda request: data(good(request, id=12_345))),
    "half an event": streams_of(lambda request: b"data: " + good(request) + b"\n"),
    "JSON that is deep": says(lambda request: good(request, result=msgspec.Raw(b"[" * 9_000 + b"]" * 9_000))),
    "an event that is deep": streams_of(lambda _: data(b'{"id":1,"result":' + b"[" * 9_000)),
    "no UTF-8": says(lambda request: good(request).replace(b"2.0", b"2.\xff")),
    "UTF-16": says(lambda request: good(request).decode().encode("utf-16")),
    "an error that is none": says(lambda request: encoded(id=request.message["id"], error=5)),
    "an error without an id": says(lambda _: encoded(id=None, error={"code": -32603, "message": "no"})),
    "a large number": says(lambda request: good(request, result=msgspec.Raw(b"1" * 5_000))),
    "too long a body": gives(JSON + b"Content-Length: 2\r\n\r\n{}" + b"x" * 100),
    "two lengths": gives(JSON + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    "a length below zero": gives(JSON + b"Content-Length: -1\r\n\r\n{}"),
    "garbage for chunks": gives(JSON + CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "a chunk that is too short": gives(JSON + CHUNKED + b"ff\r\n{}\r\n0\r\n\r\n"),
    "a chunk of any size": gives(JSON + CHUNKED + b"f" * 100 + b"\r\n{}"),
    "a header field without end": goes_on(b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4_000),
    "header fields without end": goes_on(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500),
    "a session id of 100 KB": says(good, mcp_session_id="x" * 100_000, x_note="x" * 100_000),
    "control characters in the head": gives(JSON + b"X: \x00\x01\r\n\r\n{}"),
    "kills itself in the middle": killed,
}
for number in (400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 415, 429, 500, 501, 502, 503, 504):
    CASES |= {
        f"{number} with nothing": status(number),
        f"{number} with a page": status(number, b"<html>\x1b[31mOops</html>", "text/html"),
        f"{number} with JSON": status(number, b'{"error":"no","message":["x"]}', "application/json"),
        f"{number} with JSON-RPC": status(
            number, encoded(id=None, error={"code": -32603, "message": "no", "data": [1]}), "application/json"
        ),
    }


PLACES = (("modern", "server/discover"), ("legacy", "initialize"), ("modern", "tools/call"))


async def meets(act: Act, era: str, place: str, limit: float) -> TybaltError:
    """What a client raises that meets this at that place."""
    async with scripted({**acts(era), place: act}) as server:
        opening = 10 if place == "tools/call" else limit
        client = Client(Address(server.url, limit=LIMIT), era=era, timeout=opening)
        with pytest.raises(TybaltError) as raised:
            async with client:
                await client.call_tool("x", timeout=limit)
        assert idle(client)
        assert str(raised.value).isprintable() and len(str(raised.value)) < 1_500
        return raised.value


@pytest.mark.parametrize("name", CASES)
async def test_whatever_a_server_does_each_request_ends_at_once(name: str) -> None:
    for era, place in PLACES:
        assert not isinstance(await meets(CASES[name], era, place, 10), RequestTimeout)


@pytest.mark.parametrize("name", ENDLESS)
async def test_what_never_ends_is_left_when_the_time_is_up(name: str) -> None:
    for era, place in PLACES:
        assert isinstance(await meets(ENDLESS[name], era, place, SOON), RequestTimeout)


@pytest.mark.parametrize(
    "name", ["never answers", "accepts and closes", "404 with JSON", "text/html", "502 with a page"]
)
async def test_where_the_era_is_not_known_it_ends_as_well(name: str) -> None:
    act = (CASES | ENDLESS)[name]
    async with scripted({"POST": act, "GET": act}) as server:
        with pytest.raises(TybaltError):
            await Client(Address(server.url, connect_timeout=5), timeout=0.3).__aenter__()


@pytest.mark.parametrize("name", ["half a body", "another id", "a body above the limit", "a stream that ends", "202"])
async def test_the_next_request_is_as_good_as_ever(name: str) -> None:
    played = {**acts(), "tools/call": in_turn(CASES[name], acts()["tools/call"])}
    async with scripted(played) as server, Client(Address(server.url, limit=LIMIT)) as client:
        with pytest.raises((ConnectionLost, UnexpectedResult)):
            await client.call("x")
        assert await client.call("x", a=1) == {"a": 1}


async def test_nobody_is_there() -> None:
    async with scripted({}) as server:
        port = server.port
    for era in ("auto", "modern", "legacy"):
        with pytest.raises(ConnectionLost, match="is the server running there"):
            await Client(f"http://127.0.0.1:{port}/mcp", era=era).__aenter__()


@pytest.mark.parametrize(
    ("shape", "ends"),
    [
        ("two answers", "good"),
        ("duplicate keys", None),
        ("a byte at a time", "good"),
        ("a stream, a byte at a time", "good"),
        ("1xx first", "good"),
        ("a redirect", "good"),
        ("an unknown charset", "good"),
        ("an answer and an abort", "good"),
    ],
)
async def test_what_is_odd_and_still_an_answer(shape: str, ends: str | None) -> None:
    async def act(request: Request, line: Line) -> None:
        body = good(request)
        match shape:
            case "two answers":
                await line.stream()
                await line.chunk(data(body) + data(good(request, result=called("bad"))))
                await line.end()
            case "duplicate keys":
                await line.answer(body=body[:-1] + b',"id":77}')
            case "a byte at a time":
                await line.raw(*(bytes([each]) for each in answer(body=body)))
            case "a stream, a byte at a time":
                await line.stream()
                for each in data(body):
                    await line.chunk(bytes([each]))
                await line.end()
            case "1xx first":
                await line.raw(b"HTTP/1.1 102 Processing\r\n\r\n" * 10 + answer(body=body))
            case "a redirect":
                there = request.path == "/there"
                await (line.answer(body=body) if there else line.answer(307, location="/there"))
            case "an unknown charset":
                await line.answer(body=body, kind="application/json; charset=klingon")
            case _:
                await line.stream()
                await line.chunk(data(body))
                line.abort()

    async with scripted({**acts(), "tools/call": act}) as server, Client(server.url, timeout=2) as client:
        try:
            assert await client.call("x") == ends
        except TybaltError:
            assert ends is None


@pytest.mark.parametrize("kind", ["JSON", "stream", "legacy stream"])
async def test_a_connection_may_end_at_every_byte_of_a_good_answer(kind: str) -> None:
    position = 0

    def pieces(request: Request) -> tuple[bytes, int]:
        body = good(request)
        if kind == "JSON":
            return answer(body=body), len(answer(body=body))
        event = b"id: a\n" + data(body)
        begun = head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
        whole = begun + CHUNK % (len(event), event)
        return whole + b"0\r\n\r\n", len(whole) - 2

    length, needed = 1_000, 1_000

    async def act(request: Request, line: Line) -> None:
        nonlocal length, needed
        whole, needed = pieces(request)
        length = len(whole)
        await line.raw(whole[:position])
        line.close()

    era = "legacy" if kind.startswith("legacy") else "modern"
    async with scripted({**acts(era), "tools/call": act}) as server, Client(server.url, era=era, timeout=5) as client:
        while position <= length:
            try:
                assert await client.call("x") == "good"
                assert position >= needed
            except ConnectionLost:
                assert position < needed
            position += 1
        assert idle(client)
    assert position > 100


@pytest.mark.parametrize(
    "fields",
    [
        {"mcp_session_id": "x" * 9_000},
        {"mcp_session_id": "a b"},
        {"mcp_session_id": "\xe9"},
        {"mcp_session_id": "a\tb"},
    ],
    ids=["long", "blank", "no ASCII", "tab"],
)
async def test_a_session_id_that_cannot_be_sent_back_is_refused(fields: dict[str, str]) -> None:
    async with scripted({**acts("legacy"), "initialize": says(good, **fields)}) as server:
        with pytest.raises(UnexpectedResult, match="session id"):
            await Client(server.url, era="legacy").__aenter__()
    assert server.methods == ["initialize"]


async def test_a_session_id_changes_with_a_handshake_only() -> None:
    number = 0

    async def call(request: Request, line: Line) -> None:
        nonlocal number
        number += 1
        await line.result(request, called(number), mcp_session_id=f"other{number}")

    async with talking({**acts("legacy"), "tools/call": call}, era="legacy") as (server, client):
        assert [await client.call("x") for _ in range(3)] == [1, 2, 3]
    assert {each.session for each in server.requests[1:]} == {"s1"}


@pytest.mark.parametrize("wait", ["0", "365000000", "99999999999999999999", "nonsense", "-1"])
async def test_a_server_decides_how_long_until_a_stream_is_taken_up_but_not_how_long_a_request_waits(wait: str) -> None:
    async def call(request: Request, line: Line) -> None:
        await line.stream()
        await line.chunk(f"id: a\nretry: {wait}\ndata:\n\n".encode())
        await line.end()

    empty = streams_of(lambda _: b":\n\n")
    played = {**acts("legacy"), "tools/call": call, "GET": empty}
    async with scripted(played) as server, Client(server.url, era="legacy") as client:
        with pytest.raises(RequestTimeout):
            await client.call_tool("x", timeout=SOON)
        asked = server.methods.count("GET")
        assert asked < 30, "not even a retry of 0 makes it ask in a loop"


@pytest.mark.parametrize(
    "event_id", ["\x00", "\x1b[2J", "\u2028", "a\rb", "\ud7ff\ufeff", "x" * 5_000, " ", "%0d%0a", "é"]
)
async def test_an_id_of_an_event_cannot_become_anything_else(event_id: str) -> None:
    async def call(request: Request, line: Line) -> None:
        await line.stream()
        await line.chunk(b"id: %b\ndata:\n\n" % event_id.encode())
        await line.end()

    async with talking({**acts("legacy"), "tools/call": call}, era="legacy", timeout=2) as (server, client):
        with pytest.raises(ConnectionLost):
            await client.call("x")
    known = {"host", "accept", "cache-control", "user-agent", "accept-encoding"}
    known |= {"mcp-protocol-version", "mcp-session-id", "last-event-id"}
    assert all(set(each.fields) <= known for each in server.requests if each.verb == "GET")


async def test_the_time_to_wait_for_is_told() -> None:
    async with talking({**acts(), "tools/call": status(429, b"slowly", retry_after="7")}) as (_, client):
        with pytest.raises(McpError, match="slowly") as refused:
            await client.call("x")
    assert isinstance(refused.value, RateLimited | McpError) and refused.value.retry_after == 7


async def test_a_hundred_hostile_answers_at_once_take_no_turn_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MAX_AT_ONCE", 3)
    names = [name for name in CASES if "without end" not in name]
    hostile = [CASES[name] for name in names]

    async def call(request: Request, line: Line) -> None:
        arguments = request.message["params"]["arguments"]
        await (hostile[arguments["n"]] if arguments else acts()["tools/call"])(request, line)

    played = {**acts(), "tools/call": call}
    async with scripted(played) as server, Client(Address(server.url, limit=LIMIT), timeout=20) as client:
        calls = [client.call_tool("x", {"n": each}) for each in range(len(hostile))]
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert [name for name, each in zip(names, ended, strict=True) if not isinstance(each, TybaltError)] == []
        assert await client.call("x") == {}
        assert idle(client)
