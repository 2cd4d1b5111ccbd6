"""One exchange: the fields that go with every request, the flows of an `Auth`, refusals. Over real connections."""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from tests.client.http.by_hand import Heard, Site, Writer, answer, site
from tybalt.client.address import Address
from tybalt.client.http.auth import Incoming, Outgoing
from tybalt.client.http.credentials import MAX_DEPTH, MAX_REMEMBERED, Credentials
from tybalt.client.http.exchange import MAX_STEPS, Exchange
from tybalt.client.http.pool import Pool
from tybalt.errors import ConnectionLost, McpError, MisuseError, Unauthorized
from tybalt.protocol.posts import MAX_REFUSAL

SECRET = "s3cr3t"
Flow = Generator[Outgoing, Incoming, None]


class Flows:
    """An `Auth` of one function. Its repr shows what nobody must see."""

    def __init__(self, flow: Callable[[Outgoing], Any]) -> None:
        self.flow = flow

    def __repr__(self) -> str:
        return f"Flows({SECRET})"


@asynccontextmanager
async def exchange(there: Site, flow: Callable[[Outgoing], Any] | None = None, **options: Any) -> AsyncGenerator[Any]:
    address = Address(there.url(), auth=None if flow is None else Flows(flow), **options)
    pool = Pool(address)
    opened = Exchange(address, pool)
    try:
        yield opened
        assert not pool._session.connector._acquired, "an answer is still open"
    finally:
        await pool.aclose()


async def doorkeeper(heard: Heard, writer: Writer) -> None:
    """Lets in whoever has the token `fresh`, and gives it to whoever asks."""
    if heard.line.startswith("POST /token "):
        writer.write(answer(body=b'{"access_token":"fresh"}'))
    elif heard.headers.get("authorization") == "Bearer fresh":
        writer.write(answer(body=b"welcome"))
    else:
        writer.write(answer(401, b'{"error":"stale"}', ['WWW-Authenticate: Bearer realm="x"']))


def renewing(token_url: str, request: Outgoing) -> Flow:
    got = yield request.with_headers({"Authorization": "Bearer stale"})
    if got.status == 401 and "realm" in got.headers["www-authenticate"] and got.json() == {"error": "stale"}:
        token = yield Outgoing("POST", token_url, {"Content-Type": "application/x-www-form-urlencoded"}, b"grant=1")
        yield request.with_headers({"Authorization": f"Bearer {token.json()['access_token']}"})


# -- what is sent -----------------------------------------------------------------------------------------------------


async def test_each_kind_of_request_and_its_fields() -> None:
    async with site(answer()) as there, exchange(there, token="abc", headers={"X-Tenant": "acme"}) as ours:
        for sent in (
            await ours.post(b"[1]", [("Mcp-Method", "ping")]),
            await ours.listen([("Last-Event-ID", "7")], there.url("/other")),
            await ours.delete([("Mcp-Session-Id", "9")]),
        ):
            await sent.read(100)
    post, get, delete = there.heard
    assert [each.line for each in there.heard] == ["POST /mcp HTTP/1.1", "GET /other HTTP/1.1", "DELETE /mcp HTTP/1.1"]
    for each in there.heard:
        assert (each.headers["authorization"], each.headers["x-tenant"]) == ("Bearer abc", "acme")
    assert post.headers["accept"] == "application/json, text/event-stream"
    assert post.headers["content-type"] == "application/json"
    assert (post.headers["mcp-method"], post.body) == ("ping", b"[1]")
    assert (get.headers["accept"], get.headers["last-event-id"]) == ("text/event-stream", "7")
    assert delete.headers["mcp-session-id"] == "9"


# -- flows ------------------------------------------------------------------------------------------------------------


@pytest.mark.loops
async def test_a_flow_gets_a_token_from_elsewhere_and_tries_again() -> None:
    async with site(doorkeeper) as there, site(doorkeeper) as elsewhere:
        flow = functools.partial(renewing, elsewhere.url("/token"))
        async with exchange(there, flow, headers={"X-Key": SECRET}) as ours:
            assert await (await ours.post(b"{}", [("Mcp-Method", "ping")])).read(100) == b"welcome"
    first, second = there.heard
    assert (first.body, first.headers["mcp-method"]) == (second.body, second.headers["mcp-method"]) == (b"{}", "ping")
    (told,) = elsewhere.heard
    assert told.body == b"grant=1"
    assert SECRET not in repr(told) and "mcp-method" not in told.headers and "authorization" not in told.headers


async def test_an_answer_that_a_flow_has_seen_is_read_once_more_by_whoever_it_is_for() -> None:
    def give_up(request: Outgoing) -> Flow:
        got = yield request
        assert (got.status, got.body) == (401, b'{"error":"stale"}')

    async with site(doorkeeper) as there, exchange(there, give_up) as ours:
        got = await ours.post(b"{}", [])
        error = await ours.refusal(got)
        assert isinstance(error, McpError) and "stale" in str(error) and "no credentials" not in str(error)
        assert [chunk async for chunk in got.chunks()] == [b'{"error":"stale"}']


async def test_the_body_of_a_success_is_left_to_the_client() -> None:
    def look(request: Outgoing) -> Flow:
        got = yield request
        assert (got.status, got.body, got.headers["content-type"]) == (200, b"", "application/json")

    async with site(answer(body=b"a stream")) as there, exchange(there, look) as ours:
        assert await (await ours.post(b"{}", [])).read(100) == b"a stream"


async def test_the_body_that_a_flow_sees_is_bounded() -> None:
    def look(request: Outgoing) -> Flow:
        got = yield request
        assert 0 < len(got.body) <= MAX_REFUSAL

    async with site(answer(403, b"x" * (MAX_REFUSAL + 1))) as there, exchange(there, look) as ours:
        (await ours.post(b"{}", [])).close()


async def test_an_answer_that_a_flow_goes_on_from_is_closed() -> None:
    async def endless(heard: Heard, writer: Writer) -> None:
        writer.write(answer(body=b"second") if heard.headers.get("x-second") else answer(body=b"x" * 100_000))

    def twice(request: Outgoing) -> Flow:
        yield request
        yield request.with_headers({"X-Second": "1"})

    async with site(endless) as there, exchange(there, twice) as ours:
        assert await (await ours.post(b"{}", [])).read(100) == b"second"


async def test_a_flow_gets_a_request_with_the_token_and_what_it_sets_goes_in_its_place() -> None:
    def fresh(request: Outgoing) -> Flow:
        assert request.headers["Authorization"] == "Bearer stale"
        yield request.with_headers({"authorization": "Bearer fresh"})

    async with site(doorkeeper) as there, exchange(there, fresh, token="stale") as ours:
        assert await (await ours.post(b"{}", [])).read(100) == b"welcome"


async def test_what_a_flow_raises_fails_the_request_and_leaves_nothing_open() -> None:
    def fail(request: Outgoing) -> Flow:
        yield request
        raise LookupError("no token")

    async with site(answer(body=b"x" * 1_000_000)) as there, exchange(there, fail) as ours:
        with pytest.raises(LookupError, match="no token"):
            await ours.post(b"{}", [])


async def test_a_flow_is_closed_where_its_request_fails() -> None:
    ended: list[str] = []

    def watch(request: Outgoing) -> Flow:
        try:
            yield request
        finally:
            ended.append("ended")

    async with site(b"garbage\r\n\r\n") as there, exchange(there, watch) as ours:
        with pytest.raises(ConnectionLost):
            await ours.post(b"{}", [])
    assert ended == ["ended"]


@pytest.mark.parametrize("turns", range(40))
async def test_a_flow_that_is_cancelled_at_any_moment_leaves_nothing_open(turns: int) -> None:
    async with site(doorkeeper) as there, exchange(there, functools.partial(renewing, there.url("/token"))) as ours:
        using = asyncio.create_task(ours.post(b"{}", []))
        for _ in range(turns):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait([using])
        if not using.cancelled():
            using.result().close()


# -- flows that are wrong ---------------------------------------------------------------------------------------------


def nothing(request: Outgoing) -> Flow:
    yield from ()


def forever(request: Outgoing) -> Flow:
    while True:
        yield request


def something(request: Outgoing) -> Any:
    yield "https://example.com/"


def injected_value(request: Outgoing) -> Flow:
    yield request.with_headers({"Authorization": f"{SECRET}\r\nX-Injected: 1"})


def injected_name(request: Outgoing) -> Flow:
    yield request.with_headers({"X\r\nX-Injected": SECRET})


def no_text(request: Outgoing) -> Any:
    yield request.with_headers({"X-Number": 1})  # pyright: ignore[reportArgumentType]


def no_url(request: Outgoing) -> Flow:
    yield replace(request, url=f"/{SECRET}")


async def no_generator(request: Outgoing) -> AsyncGenerator[Outgoing]:
    yield request


@pytest.mark.parametrize(
    ("flow", "problem", "asked"),
    [
        (nothing, "yielded no request", 0),
        (forever, f"has sent {MAX_STEPS} requests and still goes on", MAX_STEPS),
        (something, "yielded one of the type str", 0),
        (no_generator, "must be a generator .* got one of the type async_generator", 0),
        (injected_value, "the value of Authorization in a request of Flows must be visible ASCII", 0),
        (injected_name, r"the value of X\\r\\nX-Injected", 0),
        (no_text, "the value of X-Number", 0),
        (no_url, "expected the whole URL", 0),
    ],
)
async def test_a_flow_that_is_wrong(flow: Callable[[Outgoing], Any], problem: str, asked: int) -> None:
    async with site(answer()) as there, exchange(there, flow) as ours:
        with pytest.raises(MisuseError, match=problem) as raised:
            await ours.post(b"{}", [])
        assert SECRET not in str(raised.value)
    assert len(there.heard) == asked


@pytest.mark.parametrize(
    ("options", "fields"),
    [({"token": SECRET}, []), ({"headers": {"X-Key": SECRET}}, []), ({}, [("Mcp-Session-Id", SECRET)])],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_flow_cannot_send_what_is_of_the_address_elsewhere(
    options: dict[str, Any], fields: list[tuple[str, str]], host: str
) -> None:
    async with site(answer()) as there, site(answer()) as elsewhere:
        port = elsewhere.port if host == "127.0.0.1" else there.port

        def astray(request: Outgoing) -> Flow:
            yield replace(request, url=f"http://{host}:{port}/mcp")

        async with exchange(there, astray, **options) as ours:
            with pytest.raises(MisuseError, match="of the address to another origin") as raised:
                await ours.post(b"{}", fields)
        assert SECRET not in str(raised.value)
        assert there.connections == elsewhere.connections == 0


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "hint"), [({}, True), ({"token": "x"}, False), ({"headers": {"authorization": "Basic x"}}, False)]
)
async def test_who_offered_no_credentials_is_told_how(options: dict[str, Any], hint: bool) -> None:
    async with site(answer(401, b"", ["Retry-After: 5"])) as there, exchange(there, **options) as ours:
        error = await ours.refusal(await ours.post(b"{}", []))
    assert isinstance(error, Unauthorized) and error.retry_after == 5
    assert ("pass token=" in str(error)) is hint


async def test_a_refusal_that_is_long_is_cut() -> None:
    async with site(answer(503, b"x" * 1_000_000)) as there, exchange(there) as ours:
        error = await ours.refusal(await ours.post(b"{}", []))
    assert str(error).startswith(f"{there.origin} answered with HTTP 503 Said: xxx") and len(str(error)) < 700


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (f"token {SECRET} is not valid".encode(), "token … is not valid"),
        (f'{{"error":{{"message":"got Bearer {SECRET} twice: {SECRET}"}}}}'.encode(), "got … twice: …"),
        (b'{"detail":"got s3cr\\u0033t"}', "got …"),
        (b"x" * 494 + SECRET.encode() + b"y" * 9, "x" * 494 + "…"),  # As much as is read of a text ends inside of it.
        (b"x" * 244 + b" Bearer s3cr" + b"3t" * MAX_REFUSAL, "x" * 244 + " …"),  # So does its head, if it is long.
        (b"it wants a token, as in Authorization: Bearer", "it wants a token, as in Authorization: Bearer"),
    ],
)
@pytest.mark.parametrize("options", [{"token": SECRET}, {"headers": {"authorization": f"Bearer {SECRET}"}}])
async def test_what_was_sent_to_be_let_in_is_not_told(options: dict[str, Any], body: bytes, said: str) -> None:
    fields = {"headers": {**options.get("headers", {}), "X-Key": "key-of-ours", "X-A": "1"}}
    async with site(answer(403, body)) as there, exchange(there, **{**options, **fields}) as ours:
        error = await ours.refusal(await ours.post(b"{}", []))
    assert str(error) == f"{there.origin} answered with HTTP 403 Said: {said}"


async def test_nor_is_it_in_an_error_of_json_rpc_or_its_data() -> None:
    deep: Any = SECRET
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    data = {"got": [f"Bearer {SECRET}", 1, None], SECRET: deep, "retryAfter": 5}
    body = msgspec.json.encode({"error": {"code": -32000, "message": f"who is {SECRET}?", "data": data}})
    async with site(answer(400, body)) as there, exchange(there, token=SECRET) as ours:
        error = await ours.refusal(await ours.post(b"{}", []))
    assert isinstance(error, McpError) and SECRET not in repr(error.data)
    assert (error.code, error.message) == (-32000, "who is …?")
    assert (
        error.data["got"] == ["…", 1, None]
        and error.retry_after == 5
        and list(error.data) == ["got", "…", "retryAfter"]
    )


async def test_nor_is_what_a_flow_has_sent() -> None:
    def two(request: Outgoing) -> Flow:
        yield request.with_headers({"Authorization": f"Bearer {SECRET}"})
        yield request.with_headers({"X-Proof": "proof-of-ours"})

    said = f"neither {SECRET} nor proof-of-ours, as application/json".encode()
    async with site(answer(401, said)) as there, exchange(there, two) as ours:
        error = await ours.refusal(await ours.post(b"{}", []))
    assert str(error).endswith(": neither … nor …, as application/json")


def test_what_is_remembered_of_flows_is_bounded() -> None:
    known = Credentials(["first-of-all"])
    for number in range(3 * MAX_REMEMBERED):
        known.remember({"Authorization": f"secret-{number:04}", "X-Same": "same"}, {"X-Same": "same"})
    last = 3 * MAX_REMEMBERED - 1
    assert known.cut_out(f"first-of-all secret-{last:04} secret-0000 same") == "… … secret-0000 same"


@pytest.mark.parametrize(
    ("status", "body", "hint"),
    [
        (404, b"<html>", True),
        (404, b'{"detail":"Not Found"}', True),
        (405, b"", True),
        (501, b"Unsupported method", True),
        (400, b"", False),
        (404, b'{"error":{"code":-32001,"message":"no such session"}}', False),
    ],
)
async def test_where_there_is_no_endpoint_it_is_asked_whether_that_was_meant(
    status: int, body: bytes, hint: bool
) -> None:
    async with site(answer(status, body)) as there, exchange(there) as ours:
        error = await ours.refusal(await ours.post(b"{}", []))
    assert str(error).endswith("; is this the URL of an MCP endpoint?") is hint


# -- what a flow is made of -------------------------------------------------------------------------------------------


def test_header_fields_are_replaced_whatever_their_case() -> None:
    request = Outgoing("POST", "http://h/", {"authorization": "old", "X-A": "1"})
    assert request.with_headers({"Authorization": "new"}).headers == {"X-A": "1", "Authorization": "new"}
    assert request.headers == {"authorization": "old", "X-A": "1"}


def test_neither_shows_what_it_carries() -> None:
    shown = repr(Outgoing("POST", f"http://h/?{SECRET}", {"X-A": SECRET}, SECRET.encode()))
    shown += repr(Incoming(200, {"set-cookie": SECRET}, SECRET.encode()))
    assert SECRET not in shown
    assert shown == "Outgoing('POST', headers=['X-A'], 6 bytes)Incoming(200, headers=['set-cookie'], 6 bytes)"


async def test_a_flow_that_ends_with_an_answer_from_elsewhere_has_sent_no_request() -> None:
    async def elsewhere(heard: Heard, writer: Writer) -> None:
        writer.write(answer(400, b'{"error":"client_secret hunter22 unknown"}'))

    async with site(doorkeeper) as there, site(elsewhere) as identity:

        def flow(request: Outgoing) -> Flow:
            yield Outgoing("POST", identity.url("/token"), {}, b"secret=hunter22")

        async with exchange(there, flow) as opened:
            with pytest.raises(Unauthorized, match=r"ended with an answer of .*, HTTP 400; the request itself") as told:
                await opened.post(b"{}", ())
            assert "hunter22" not in str(told.value) and there.heard == []


@pytest.mark.parametrize(
    "message",
    [
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"s3cr3t-s3cr3t is bad","data":["s3cr3t-s3cr3t"]}}',
        b'{"jsonrpc":"2.0","error":{"code":-32603,"message":"s3cr3t-s3cr3t"},"id":1}',
    ],
)
async def test_an_error_in_a_message_does_not_tell_the_token_either(message: bytes) -> None:
    async with site(doorkeeper) as there, exchange(there, token="s3cr3t-s3cr3t") as opened:
        got: list[Any] = []
        receive = opened.discreet(got.append)
        receive(message)
        assert b"s3cr3t" not in got[0] and msgspec.json.decode(got[0])["id"] == 1
        for other in (b'{"id":1,"result":{"text":"s3cr3t-s3cr3t \\"error\\""}}', b'{"error"', b'["error"]', b"[" * 900):
            receive(other)
            assert got[-1] == other


async def test_the_password_of_a_proxy_is_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:hunter22@proxy.invalid:99999")
    monkeypatch.setenv("http_proxy", "http://user:hunter22@proxy.invalid:99999")
    pool = Pool(Address("http://example.invalid/mcp"))
    try:
        with pytest.raises(ConnectionLost, match="the URL of the proxy cannot be read") as told:
            await pool.request("POST", "http://example.invalid/mcp", [])
        assert "hunter22" not in repr(told.value)
    finally:
        await pool.aclose()
