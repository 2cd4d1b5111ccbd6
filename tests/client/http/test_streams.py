"""`Streams`: answers as streams, broken ones taken up again, and what a legacy server says by itself."""

import asyncio
from typing import Any

import msgspec
import pytest

from tests.client.http.scripted import Act, Line, Request, acts, gives, head, in_turn, status, talking
from tests.client.peers import called, encoded, settle
from tybalt import ConnectionLost, McpError, RequestTimeout
from tybalt.client.address import Address
from tybalt.client.http import streams
from tybalt.errors import RequestLost, UnexpectedResult
from tybalt.types.tools import CallToolResult

NEWS = {"method": "notifications/x"}


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long would have been paused; nobody waits."""
    found: list[float] = []
    real = streams._pause

    def pause(retry: int | None, failures: int) -> float:
        found.append(real(retry, failures))
        return 0.0

    monkeypatch.setattr(streams, "_pause", pause)
    monkeypatch.setattr(streams, "TAIL", 0.05)
    return found


def begins(*events: dict[str, Any], orderly: bool = True) -> Act:
    """A stream that ends before the answer, after these events; each is the arguments of `Line.event`."""

    async def act(request: Request, line: Line) -> None:
        await line.stream()
        for each in events:
            await line.event(**each)
        if orderly:
            await line.end()
        else:
            line.abort()

    return act


def answers_later(value: Any = "late", id: int = 2) -> Act:
    """A stream by GET that brings the answer to the first call."""

    async def act(request: Request, line: Line) -> None:
        if "last-event-id" not in request.fields:
            await line.answer(405)
            return
        await line.stream()
        await line.event({"id": id, "result": called(value)}, id="last")
        await line.end()

    return act


def resumed(requests: list[Request]) -> list[str]:
    return [each.fields["last-event-id"] for each in requests if "last-event-id" in each.fields]


# -- one answer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_stream_brings_news_and_then_the_answer(era: str) -> None:
    heard: list[Any] = []

    async def call(request: Request, line: Line) -> None:
        await line.stream()
        await line.chunk(b": comment\n\nretry: 5\n\n")
        await line.event(NEWS)
        await line.event({"id": request.message["id"], "result": called(1)})
        await line.event({"id": request.message["id"], "result": called(2)})
        await line.event(NEWS)
        await line.end()

    played = {**acts(era), "tools/call": call}
    async with talking(played, era=era, on_notification=lambda method, _: heard.append(method)) as (_, client):
        assert await client.call("x") == 1
    assert heard == ["notifications/x"]


async def test_the_answer_is_not_held_up_by_a_stream_that_goes_on_and_the_connection_is_given_up() -> None:
    async def call(request: Request, line: Line) -> None:
        await line.stream()
        await line.event({"id": request.message["id"], "result": called(1)})
        for _ in range(1_000):
            await line.chunk(b":\n\n")
        await line.gone()

    async with talking({**acts(), "tools/call": call}) as (_, client):
        assert [await client.call("x"), await client.call("x")] == [1, 1]


async def test_an_answer_in_a_batch_ends_its_stream() -> None:
    async def call(request: Request, line: Line) -> None:
        await line.stream()
        both = encoded(**NEWS), encoded(id=request.message["id"], result=called(1))
        await line.event(b"[%b]" % b",".join(both))
        await line.gone()

    async with talking({**acts("legacy", revision="2025-03-26"), "tools/call": call}, era="legacy") as (_, client):
        assert await client.call("x") == 1


async def test_news_that_are_too_large_harm_nobody_and_an_answer_that_is_fails_its_request() -> None:
    async def call(request: Request, line: Line) -> None:
        large = "x" * 5_000
        await line.stream()
        await line.event({"method": "notifications/x", "params": {"a": large}})
        if request.message["params"]["arguments"]:
            await line.event({"id": request.message["id"], "result": called(large)})
        await line.event({"id": request.message["id"], "result": called(1)})
        await line.end()

    from tests.client.http.scripted import scripted
    from tybalt import Client

    async with (
        scripted({**acts(), "tools/call": call}) as server,
        Client(Address(server.url, limit=1_000)) as client,
    ):
        assert await client.call("x") == 1
        with pytest.raises(UnexpectedResult, match=r"too much at once: .* longer than 1,000 bytes"):
            await client.call("x", a=1)


# -- taken up again -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_broken_answer_is_taken_up_where_it_was_after_the_time_the_server_wants(
    pauses: list[float], orderly: bool
) -> None:
    heard: list[str] = []
    broken = begins({"id": "a"}, {"data": NEWS, "id": "b\u00e9"}, {"retry": 1234, "data": NEWS}, orderly=orderly)
    played = {**acts("legacy"), "tools/call": broken, "GET": answers_later()}
    async with talking(played, era="legacy", on_notification=lambda method, _: heard.append(method)) as (
        server,
        client,
    ):
        assert await client.call("x") == "late"
    assert resumed(server.requests) == ["b\u00e9".encode().decode("latin-1")]
    assert pauses == [1.234] and heard == ["notifications/x"] * 2
    again = next(each for each in server.requests if "last-event-id" in each.fields)
    assert (again.session, again.fields["mcp-protocol-version"]) == ("s1", "2025-11-25")


async def test_a_server_may_close_again_and_again(pauses: list[float]) -> None:
    number = 0

    async def listen(request: Request, line: Line) -> None:
        nonlocal number
        if "last-event-id" not in request.fields:
            await line.answer(405)
            return
        number += 1
        act = begins({"id": str(number), "retry": 0}) if number < 20 else answers_later()
        await act(request, line)

    played = {**acts("legacy"), "tools/call": begins({"id": "0"}), "GET": listen}
    async with talking(played, era="legacy") as (server, client):
        assert await client.call("x") == "late"
    assert resumed(server.requests) == [str(each) for each in range(20)]
    assert set(pauses[1:]) == {streams.SHORTEST_PAUSE}


async def test_what_fails_on_the_way_is_tried_again_with_growing_pauses_and_then_told(pauses: list[float]) -> None:
    failing = [status(500), status(429), gives(b"nonsense\r\n\r\n"), status(503), status(502)]
    played = {**acts("legacy"), "tools/call": begins({"id": "a"}), "GET": in_turn(status(405), *failing)}
    async with talking(played, era="legacy") as (server, client):
        await server.saw("GET")
        with pytest.raises(RequestLost, match="HTTP 502"):
            await client.call("x")
    assert resumed(server.requests) == ["a"] * 5
    assert all(0.5 * 2**each <= pause <= 2**each for each, pause in enumerate(pauses))


async def test_a_success_between_failures_begins_the_count_anew() -> None:
    last: list[Act] = [status(500)] * 4
    tried = in_turn(status(405), *last, begins(), *last, answers_later())
    played = {**acts("legacy"), "tools/call": begins({"id": "a"}), "GET": tried}
    async with talking(played, era="legacy") as (server, client):
        await server.saw("GET")
        assert await client.call("x") == "late"


@pytest.mark.parametrize(
    ("number", "said"), [(405, "HTTP 405"), (404, "HTTP 404"), (400, "HTTP 400"), (200, "expected a stream of events")]
)
async def test_where_a_server_does_not_let_it_the_break_is_what_is_told(number: int, said: str) -> None:
    played = {**acts("legacy"), "tools/call": begins({"id": "a"}), "GET": in_turn(status(405), status(number, b"x"))}
    async with talking(played, era="legacy") as (server, client):
        await server.saw("GET")
        with pytest.raises(RequestLost, match=f"ended the stream before it answered, and does not let .*{said}"):
            await client.call("x")
    assert server.methods.count("initialize") == 1, "it may have run: it is not repeated in another session"


@pytest.mark.parametrize(
    ("era", "event"), [("modern", {"id": "a"}), ("legacy", {}), ("legacy", {"id": "a\x7fb"}), ("legacy", {"id": ""})]
)
async def test_what_cannot_be_taken_up_is_lost(era: str, event: dict[str, Any]) -> None:
    async with talking({**acts(era), "tools/call": begins(event)}, era=era) as (server, client):
        with pytest.raises(RequestLost, match="the server ended the stream before it answered"):
            await client.call("x")
    assert resumed(server.requests) == []


async def test_whoever_waits_for_a_stream_that_never_answers_has_a_time_limit() -> None:
    played = {**acts("legacy"), "tools/call": begins({"id": "a"}), "GET": in_turn(status(405), begins())}
    async with talking(played, era="legacy") as (server, client):
        await server.saw("GET")
        with pytest.raises(RequestTimeout):
            await client.call_tool("x", timeout=0.05)
        await server.saw("notifications/cancelled")
        seen = len(server.requests)
        await settle()
        assert len(server.requests) == seen, "it is not polled any more"


@pytest.mark.parametrize("turns", range(0, 30, 2))
async def test_taking_up_may_be_cancelled_at_any_moment(turns: int) -> None:
    played = {**acts("legacy"), "tools/call": begins({"id": "a"}), "GET": in_turn(status(405), begins())}
    async with talking(played, era="legacy") as (server, client):
        await server.saw("GET")
        calling: asyncio.Task[CallToolResult] = asyncio.create_task(client.call_tool("x"))
        await server.saw("tools/call")
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        await asyncio.wait([calling])
        assert calling.cancelled()
        await server.saw("notifications/cancelled")


# -- the stream of what the server says by itself -------------------------------------------------------------------


def news(*ids: str, retry: int | None = None) -> Act:
    """A stream by GET that says something under each id and ends."""
    return begins(*({"data": NEWS, "id": each or None, "retry": retry} for each in ids))


async def open_for_good(request: Request, line: Line) -> None:
    await line.stream()
    await line.event({"method": "notifications/end"})
    await line.gone()


async def test_it_is_taken_up_where_it_was_as_often_as_it_takes(pauses: list[float]) -> None:
    played = in_turn(news("a"), news("b", "c", retry=7_000), open_for_good)
    ended = asyncio.Event()
    heard: list[str] = []

    def on_notification(method: str, _: Any) -> None:
        heard.append(method)
        if method.endswith("end"):
            ended.set()

    async with talking({**acts("legacy"), "GET": played}, era="legacy", on_notification=on_notification) as (server, _):
        await ended.wait()
    assert resumed(server.requests) == ["a", "c"]
    assert len(heard) == 4 and 0.5 <= pauses[0] <= 1 and pauses[1:] == [7.0]


async def test_errors_that_may_pass_are_waited_out_with_growing_pauses(pauses: list[float]) -> None:
    ended = asyncio.Event()
    played = in_turn(*[status(500)] * 8, gives(b"nonsense\r\n\r\n"), status(429), open_for_good)
    async with talking({**acts("legacy"), "GET": played}, era="legacy", on_notification=lambda *_: ended.set()):
        await ended.wait()
    assert len(pauses) == 10
    assert all(0.5 * 2 ** (each + 1) <= pause <= 2 ** (each + 1) for each, pause in enumerate(pauses[:4]))
    assert all(15 <= pause <= 30 for pause in pauses[5:])


async def test_a_success_ends_the_growing_of_pauses(pauses: list[float]) -> None:
    ended = asyncio.Event()
    played = in_turn(*[status(500)] * 5, begins(), open_for_good)
    async with talking({**acts("legacy"), "GET": played}, era="legacy", on_notification=lambda *_: ended.set()):
        await ended.wait()
    assert len(pauses) == 6 and pauses[4] >= 15 and pauses[5] <= 1


@pytest.mark.parametrize(
    "act",
    [
        status(405),
        status(404),
        status(400),
        status(401),
        status(200, b"<p>", "text/html"),
        status(202),
        status(302, location="http://elsewhere.example/"),
    ],
    ids=["405", "404", "400", "401", "a page", "202", "elsewhere"],
)
async def test_a_server_that_offers_none_is_not_asked_again(act: Act) -> None:
    async with talking({**acts("legacy"), "GET": act}, era="legacy") as (server, client):
        await server.saw("GET")
        for _ in range(5):
            await client.call("x")
        assert not client._link._session._tasks  # type: ignore[attr-defined]
    assert server.methods.count("GET") == 1


async def test_an_id_that_does_not_fit_into_a_header_field_is_not_sent_back() -> None:
    ended = asyncio.Event()
    played = in_turn(begins({"data": NEWS, "id": "a\tb"}), open_for_good)
    async with talking(
        {**acts("legacy"), "GET": played},
        era="legacy",
        on_notification=lambda method, _: ended.set() if method.endswith("end") else None,
    ) as (server, _):
        await ended.wait()
    assert resumed(server.requests) == [] and server.methods.count("GET") == 2


async def test_a_gap_is_told_of_where_nothing_is_repeated() -> None:
    gaps: list[bool] = []
    ended = asyncio.Event()
    goes_on = asyncio.Event()

    async def first(request: Request, line: Line) -> None:
        await line.stream()
        await line.event(NEWS)
        await goes_on.wait()
        await line.end()

    played = in_turn(first, begins({"id": "a"}), open_for_good)
    async with talking(
        {**acts("legacy"), "GET": played},
        era="legacy",
        on_notification=lambda method, _: ended.set() if method.endswith("end") else None,
    ) as (server, client):
        await server.saw("GET")
        client._link._streams._interrupted = gaps.append  # type: ignore[attr-defined]
        goes_on.set()
        await ended.wait()
    assert gaps == [False], "the first stream had no ids, the second one had"


@pytest.mark.parametrize("number", [400, 410])
async def test_a_server_that_has_not_kept_the_event_is_listened_to_from_now_on(number: int) -> None:
    gaps: list[bool] = []
    ended = asyncio.Event()

    async def listen(request: Request, line: Line) -> None:
        if "last-event-id" in request.fields:
            client._link._streams._interrupted = gaps.append  # type: ignore[attr-defined]
            await line.answer(number)
        else:
            await (open_for_good if server.methods.count("GET") > 1 else begins({"id": "a"}))(request, line)

    async with talking(
        {**acts("legacy"), "GET": listen},
        era="legacy",
        on_notification=lambda method, _: ended.set() if method.endswith("end") else None,
    ) as (server, client):
        await ended.wait()
    assert gaps == [False] and resumed(server.requests) == ["a"]
    assert server.methods.count("GET") == 3


async def test_a_question_on_it_is_answered() -> None:
    async def listen(request: Request, line: Line) -> None:
        await line.stream()
        await line.event({"id": "q", "method": "ping"})
        await line.event({"id": 7, "method": "roots/list"})
        await line.gone()

    async with talking({**acts("legacy"), "GET": listen}, era="legacy", roots=["file:///a"]) as (server, _):
        answers = await server.saw("answer", 2)
    assert sorted(map(msgspec.json.encode, (each.message for each in answers))) == [
        b'{"jsonrpc":"2.0","id":"q","result":{}}',
        b'{"jsonrpc":"2.0","id":7,"result":{"roots":[{"uri":"file:///a"}]}}',
    ]


@pytest.mark.parametrize("place", ["stream", "body", "standing stream"])
async def test_an_answer_to_another_request_is_none(place: str) -> None:
    """Taken, it would leave the request's own stream to be read by nobody."""
    asked = asyncio.Event()

    async def call(request: Request, line: Line) -> None:
        if request.message["params"]["name"] == "victim":
            asked.set()
            await line.gone()
        await asked.wait()
        wrong = {"id": request.message["id"] - 1, "result": called("stolen")}
        if place == "body":
            await line.answer(body=encoded(**wrong))
            return
        await line.stream()
        await line.event(wrong)
        await line.end()

    async def listen(request: Request, line: Line) -> None:
        await asked.wait()
        await line.stream()
        await line.event({"id": 2, "result": called("stolen")})
        await line.event(NEWS)
        await line.gone()

    played = {**acts("legacy"), "tools/call": call}
    if place == "standing stream":
        played["GET"] = listen
    heard = asyncio.Event()
    async with talking(played, era="legacy", on_notification=lambda *_: heard.set()) as (server, client):
        victim = asyncio.create_task(client.call("victim"))
        await server.saw("tools/call")
        with pytest.raises((ConnectionLost, UnexpectedResult)):
            await client.call("thief")
        if place == "standing stream":
            await heard.wait()
        await settle()
        assert not victim.done()
        victim.cancel()
        await server.saw("notifications/cancelled")


async def test_without_a_length_and_chunks_the_end_of_the_connection_is_that_of_the_stream() -> None:
    async def call(request: Request, line: Line) -> None:
        await line.raw(head(200, {"content-type": "Text/Event-Stream; charset=utf-8", "connection": "close"}))
        await line.raw(b"\xef\xbb\xbfdata: ", encoded(id=request.message["id"], result=called(1)), b"\r\n\r\n")
        line.close()

    async with talking({**acts(), "tools/call": call}) as (_, client):
        assert await client.call("x") == 1


async def test_an_error_that_names_nobody_on_a_stream_in_a_batch() -> None:
    async def call(request: Request, line: Line) -> None:
        await line.stream()
        await line.event(b"[%b]" % encoded(id=None, error={"code": 7, "message": "not you"}))
        await line.gone()

    async with talking({**acts("legacy", revision="2025-03-26"), "tools/call": call}, era="legacy") as (_, client):
        with pytest.raises(McpError, match="not you"):
            await client.call("x")
