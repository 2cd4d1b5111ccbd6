"""`HttpLink` and `Session`: what is posted and in which order, cancels, sessions renewed, the end in every state."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.client.http.scripted import Act, Line, Request, acts, in_turn, scripted, status, talking, waits
from tests.client.peers import INITIALIZED, Clock, called, encoded, idle, settle
from tybalt import Client, ConnectionLost, McpError, MisuseError, RequestTimeout
from tybalt.client.address import Address
from tybalt.client.http import link, session, streams
from tybalt.client.http.link import HttpLink
from tybalt.client.link import LinkEvents
from tybalt.errors import TybaltError, UnexpectedResult

ELICIT = {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {"type": "object"}}}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be seconds is as short as can be."""
    monkeypatch.setattr(streams, "PAUSE", 0.01)
    monkeypatch.setattr(streams, "SHORTEST_PAUSE", 0.001)
    monkeypatch.setattr(streams, "TAIL", 0.05)
    monkeypatch.setattr(session, "PARTING", 0.05)
    monkeypatch.setattr(link, "PARTING", 0.05)


def sessions(*, known: set[str] | None = None, revision: str = "2025-11-25") -> dict[str, Act]:
    """A legacy server with as many sessions as it takes: s1, s2, …; 404 to whatever belongs to none of `known`."""
    alive = set[str]() if known is None else known
    number = 0

    async def initialize(request: Request, line: Line) -> None:
        nonlocal number
        number += 1
        alive.add(f"s{number}")
        await line.result(request, {**INITIALIZED, "protocolVersion": revision}, mcp_session_id=f"s{number}")

    def guarded(act: Act) -> Act:
        async def checked(request: Request, line: Line) -> None:
            await (act if request.session in alive else status(404, b"no such session"))(request, line)

        return checked

    plain = acts("legacy")
    return {**plain, "initialize": initialize, "tools/call": guarded(plain["tools/call"]), "POST": guarded(status(202))}


# -- what is posted -------------------------------------------------------------------------------------------------


async def test_modern_requests_say_what_they_are_and_belong_to_no_session() -> None:
    async with scripted(acts()) as server, Client(server.url) as client:
        assert await client.call("x", a=1) == {"a": 1}
        client.notify("notifications/mine")
        await server.saw("notifications/mine")
    assert server.methods == ["server/discover", "tools/call", "notifications/mine"]
    first, call, told = (each.fields for each in server.requests)
    assert {each.fields["mcp-protocol-version"] for each in server.requests} == {"2026-07-28"}
    assert (first["mcp-method"], call["mcp-method"], call["mcp-name"]) == ("server/discover", "tools/call", "x")
    assert call["accept"] == "application/json, text/event-stream" and call["content-type"] == "application/json"
    assert "mcp-session-id" not in told


async def test_legacy_requests_carry_the_session_and_its_revision_and_end_it() -> None:
    async with scripted(acts("legacy", revision="2025-06-18")) as server, Client(server.url, era="legacy") as client:
        assert await client.call("x", a=1) == {"a": 1}
    first, *later = server.requests
    assert (first.method, first.session, first.fields.get("mcp-protocol-version")) == ("initialize", None, None)
    assert sorted(each.method for each in later) == ["DELETE", "GET", "notifications/initialized", "tools/call"]
    assert later[-1].method == "DELETE"
    assert {(each.session, each.fields["mcp-protocol-version"]) for each in later} == {("s1", "2025-06-18")}


async def test_a_server_without_sessions_is_not_told_of_their_end() -> None:
    async with scripted(acts("legacy", session=None)) as server, Client(server.url, era="legacy") as client:
        assert await client.call("x", a=1) == {"a": 1}
        await server.saw("GET")
    assert "DELETE" not in server.methods and all(each.session is None for each in server.requests)


async def test_nothing_overtakes_the_notification_that_a_client_is_ready() -> None:
    ready = asyncio.Event()

    async def initialized(request: Request, line: Line) -> None:
        await ready.wait()
        await line.answer(202)

    async with (
        scripted({**acts("legacy"), "notifications/initialized": initialized}) as server,
        Client(server.url, era="legacy") as client,
    ):
        calls = [asyncio.create_task(client.call("x")) for _ in range(3)]
        client.notify("notifications/mine")
        await server.saw("notifications/initialized")
        await settle()
        assert server.methods == ["initialize", "notifications/initialized"]
        ready.set()
        await asyncio.gather(*calls)
        await server.saw("notifications/mine")


async def test_a_message_that_nobody_accepts_holds_up_the_others_only_for_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link, "TELLING", 0.05)
    async with talking({**acts("legacy"), "notifications/initialized": waits}, era="legacy") as (_, client):
        assert await client.call("x", a=1) == {"a": 1}
    assert "the server did not take notifications/initialized: it was not accepted within 0.05 s" in caplog.text


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_what_is_said_of_a_notification_is_not_waited_for(kind: str) -> None:
    async def initialized(request: Request, line: Line) -> None:
        if kind == "text/event-stream":
            await line.stream()
            await line.gone()
        else:
            await line.answer(200, b"null")

    async with talking({**acts("legacy"), "notifications/initialized": initialized}, era="legacy", timeout=2) as (
        _,
        client,
    ):
        assert await client.call("x", a=1) == {"a": 1}


async def test_a_refused_notification_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async with talking({**acts(), "notifications/mine": status(400, b"no\x1b[2Jthanks")}) as (server, client):
        client.notify("notifications/mine")
        await server.saw("notifications/mine")
        assert await client.call("x", a=1) == {"a": 1}
    told = r"the server did not take notifications/mine: http://127\.0\.0\.1:\d+ answered with HTTP 400"
    assert re.search(told, caplog.text)
    assert "\x1b" not in caplog.text


async def test_an_error_that_names_no_request_is_that_of_the_request() -> None:
    refusal = encoded(id=None, error={"code": 7, "message": "not you"})

    async def streamed(request: Request, line: Line) -> None:
        await line.stream()
        await line.event(refusal)
        await line.end()

    for act in (status(200, refusal, "application/json"), streamed):
        async with scripted({**acts(), "tools/call": act}) as server, Client(server.url) as client:
            with pytest.raises(McpError, match="not you") as refused:
                await client.call("x")
            assert refused.value.code == 7


async def test_credentials_in_the_clear_are_warned_of_but_for_this_machine(caplog: pytest.LogCaptureFixture) -> None:
    for url, warned in (
        ("http://127.0.0.1:1/", False),
        ("https://example.com/", False),
        ("http://localhost.example.com/", True),
        ("http://[::1]/", False),
    ):
        caplog.clear()
        way = HttpLink(Address(url, token="t"))
        await way.open(LinkEvents(*[print] * 4))  # type: ignore[arg-type]
        await way.aclose()
        assert ("in the clear" in caplog.text) is warned


async def test_a_legacy_session_that_was_looked_for_in_vain_as_modern_is_legacy_all_through() -> None:
    async with talking({**acts("legacy"), "tools/call": in_a_stream}) as (server, client):
        client.notify("notifications/mine")
        with pytest.raises(RequestTimeout):
            await client.call_tool("x", timeout=0.05)
        await server.saw("notifications/cancelled")
        await server.saw("notifications/mine")
        await server.saw("GET")
    later = server.requests[2:]
    assert {(each.session, each.fields["mcp-protocol-version"]) for each in later} == {("s1", "2025-11-25")}


# -- turns ----------------------------------------------------------------------------------------------------------


async def test_answers_to_questions_do_not_wait_for_the_turn_of_those_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MAX_AT_ONCE", 1)
    answered = asyncio.Event()
    calling = asyncio.Event()

    async def listen(request: Request, line: Line) -> None:
        await line.stream()
        await calling.wait()
        await line.event({"id": 1, **ELICIT})
        await line.gone()

    async def call(request: Request, line: Line) -> None:
        calling.set()
        await answered.wait()
        await line.result(request, called("asked"))

    async def take(request: Request, line: Line) -> None:
        if request.method == "answer":
            answered.set()
        await line.answer(202)

    played = {**acts("legacy"), "GET": listen, "tools/call": call, "POST": take}
    async with talking(played, era="legacy", on_elicit=lambda q: {}, timeout=5) as (_, client):
        assert await client.call("x") == "asked"


async def test_who_waits_for_a_turn_is_cancelled_without_being_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "MAX_AT_ONCE", 1)
    goes_on = asyncio.Event()

    async def call(request: Request, line: Line) -> None:
        await goes_on.wait()
        await line.result(request, called(request.message["params"]["name"]))

    async with scripted({**acts(), "tools/call": call}) as server, Client(server.url) as client:
        first = asyncio.create_task(client.call("first"))
        await server.saw("tools/call")
        second, third = (asyncio.create_task(client.call(name)) for name in ("second", "third"))
        await settle()
        second.cancel()
        await asyncio.wait([second])
        goes_on.set()
        assert [await first, await third] == ["first", "third"]
        assert idle(client) and not client._link._waiting  # type: ignore[attr-defined]
    assert [each.fields["mcp-name"] for each in server.requests[1:]] == ["first", "third"]


# -- cancels --------------------------------------------------------------------------------------------------------


async def before_the_head(request: Request, line: Line) -> None:
    await line.gone()


async def in_a_body(request: Request, line: Line) -> None:
    await line.raw(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
    await line.gone()


async def in_a_stream(request: Request, line: Line) -> None:
    await line.stream()
    await line.event({"method": "notifications/x"})
    await line.gone()


async def given_up(era: str, act: Act, give_up: Callable[["asyncio.Task[Any]"], Awaitable[object]]) -> list[Request]:
    """Give up a call that the server has seen; what the server was told of it, once it saw the disconnect."""
    gone = asyncio.Event()

    async def call(request: Request, line: Line) -> None:
        await act(request, line)
        gone.set()

    async with talking({**acts(era), "tools/call": call}, era=era) as (server, client):
        calling = asyncio.create_task(client.call("x"))
        await server.saw("tools/call")
        await give_up(calling)
        await asyncio.wait([calling])
        await gone.wait()
        assert calling.cancelled() or isinstance(calling.exception(), RequestTimeout)
        if era == "legacy":
            await server.saw("notifications/cancelled")
        assert idle(client)
    return [each for each in server.requests if each.method == "notifications/cancelled"]


@pytest.mark.loops
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("act", [before_the_head, in_a_body, in_a_stream])
async def test_a_cancel_is_a_disconnect_and_in_legacy_a_notification(era: str, act: Act) -> None:
    async def cancel(calling: "asyncio.Task[Any]") -> None:
        calling.cancel()

    told = await given_up(era, act, cancel)
    assert [each.message["params"]["reason"] for each in told] == (["cancelled"] if era == "legacy" else [])
    assert all(each.session == "s1" for each in told)


@pytest.mark.time_limit(600)
@pytest.mark.parametrize("era", ["modern", "legacy"])
@pytest.mark.parametrize("act", [before_the_head, in_a_body, in_a_stream])
async def test_so_is_the_end_of_its_time(era: str, act: Act) -> None:
    clock = Clock()

    async def time_passes(_: Any) -> None:
        await clock.advance(61)

    told = await given_up(era, act, time_passes)
    assert [each.message["params"]["reason"] for each in told] == (["timeout"] if era == "legacy" else [])


async def test_an_answer_to_a_question_with_the_id_of_a_request_does_not_forget_it() -> None:
    gone = asyncio.Event()

    async def call(request: Request, line: Line) -> None:
        await line.stream()
        await line.event({"id": request.message["id"], **ELICIT})
        await line.gone()
        gone.set()

    async with talking({**acts("legacy"), "tools/call": call}, era="legacy", on_elicit=lambda q: {}) as (
        server,
        client,
    ):
        calling = asyncio.create_task(client.call("x"))
        await server.saw("answer")
        await settle()
        calling.cancel()
        await asyncio.wait([calling])
        await gone.wait()


@pytest.mark.parametrize("turns", range(40))
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_cancel_at_any_moment_leaves_nothing_behind(era: str, turns: int) -> None:
    async def use(url: str) -> None:
        async with Client(url, era=era, timeout=5) as client:
            await client.call("x")

    async def streamed(request: Request, line: Line) -> None:
        await line.stream()
        await line.event(id="1")
        await line.event({"id": request.message["id"], "result": called(1)})
        await line.end()

    async with scripted({**acts(era), "tools/call": streamed}) as server:
        using = asyncio.create_task(use(server.url))
        for _ in range(turns):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait([using])
        assert using.cancelled() or using.exception() is None


async def test_what_is_stopped_by_anybody_else_is_told_to_whoever_waits() -> None:
    async with scripted({**acts(), "tools/call": waits}) as server, Client(server.url) as client:
        way: Any = client._link
        for seen in (False, True):
            calling = asyncio.create_task(client.call("x"))
            await asyncio.sleep(0)
            if seen:
                await server.saw("tools/call")
            (task,) = way._waiting.values()
            task.cancel()
            with pytest.raises(ConnectionLost, match="sending tools/call was stopped"):
                await calling


# -- sessions that are forgotten ------------------------------------------------------------------------------------


async def test_a_forgotten_session_is_renewed_once_and_what_was_not_run_is_repeated() -> None:
    known = set[str]()
    async with scripted(sessions(known=known)) as server, Client(server.url, era="legacy") as client:
        assert await client.call("x", a=0) == {"a": 0}
        known.clear()
        assert await asyncio.gather(*(client.call("x", a=each) for each in range(20))) == [
            {"a": each} for each in range(20)
        ]
        assert server.methods.count("initialize") == 2
        renewal = server.requests[server.methods.index("initialize", 1)]
        assert renewal.session is None and renewal.message["params"]["protocolVersion"] == "2025-11-25"
        assert server.methods.count("notifications/initialized") == 2
    assert (server.requests[-1].method, server.requests[-1].session) == ("DELETE", "s2")


async def test_what_is_asked_meanwhile_waits_for_the_other_session() -> None:
    known = set[str]()
    played = sessions(known=known)
    goes_on = asyncio.Event()
    again = played["initialize"]

    async def slowly(request: Request, line: Line) -> None:
        await goes_on.wait()
        await again(request, line)

    async with scripted(played) as server, Client(server.url, era="legacy") as client:
        await client.call("x")
        known.clear()
        server.acts["initialize"] = slowly
        first = asyncio.create_task(client.call("x", a=1))
        await server.saw("initialize", 2)
        second = asyncio.create_task(client.call("x", a=2))
        client.notify("notifications/mine")
        await settle()
        assert server.methods.count("tools/call") == 2
        goes_on.set()
        assert [await first, await second] == [{"a": 1}, {"a": 2}]
        (told,) = await server.saw("notifications/mine")
        assert told.session == "s2"
    assert [each.session for each in server.requests if each.method == "tools/call"] == ["s1", "s1", "s2", "s2"]


async def test_an_answer_and_a_cancel_mean_nothing_in_another_session() -> None:
    known = set[str]()
    asked = asyncio.Event()

    async def question(request: Request, line: Line) -> None:
        await line.stream()
        await line.event({"id": 1, **ELICIT})
        known.clear()
        asked.set()
        await line.gone()

    async def on_elicit(_: Any) -> dict[str, Any]:
        await asked.wait()
        return {}

    async with talking({**sessions(known=known), "tools/call": question}, era="legacy", on_elicit=on_elicit) as (
        server,
        client,
    ):
        calling = asyncio.create_task(client.call("x"))
        await server.saw("initialize", 2)
        await server.saw("notifications/initialized", 2)
        known.clear()
        calling.cancel()
        await server.saw("notifications/initialized", 3)
    sent = [(each.method, each.session) for each in server.requests if each.method.endswith(("answer", "cancelled"))]
    assert sent == [("answer", "s1"), ("notifications/cancelled", "s2")]


async def test_an_answer_that_is_found_while_another_session_is_opened_is_not_told_to_it() -> None:
    known = set[str]()
    played = sessions(known=known)
    goes_on, asked, knows = asyncio.Event(), asyncio.Event(), asyncio.Event()
    again, plain = played["initialize"], played["tools/call"]

    async def slowly(request: Request, line: Line) -> None:
        await goes_on.wait()
        await again(request, line)

    async def call(request: Request, line: Line) -> None:
        if request.message["params"]["name"] != "asks":
            await plain(request, line)
            return
        await line.stream()
        await line.event({"id": 1, **ELICIT})
        await line.gone()

    async def on_elicit(_: Any) -> dict[str, Any]:
        asked.set()
        await knows.wait()
        return {}

    async with talking({**played, "tools/call": call}, era="legacy", on_elicit=on_elicit) as (server, client):
        asking = asyncio.create_task(client.call("asks"))
        await asked.wait()
        known.clear()
        server.acts["initialize"] = slowly
        calling = asyncio.create_task(client.call("x", a=1))
        await server.saw("initialize", 2)
        knows.set()
        await settle()
        goes_on.set()
        assert await calling == {"a": 1}
        assert await client.call("x", a=2) == {"a": 2}
        asking.cancel()
        await asyncio.wait([asking])
    assert "answer" not in server.methods


async def refused(request: Request, line: Line) -> None:
    await line.answer(body=encoded(id=request.message["id"], error={"code": -32603, "message": "full"}))


async def older(request: Request, line: Line) -> None:
    await line.result(request, {**INITIALIZED, "protocolVersion": "2025-06-18"}, mcp_session_id="old")


@pytest.mark.parametrize(
    ("act", "kind", "text"),
    [
        (refused, ConnectionLost, "has forgotten the session, and refuses another one"),
        (older, ConnectionLost, "it speaks 2025-06-18 now, and spoke 2025-11-25 before; connect anew"),
        (status(503, b"busy"), McpError, "HTTP 503 Whatever: busy"),
        (status(404, b"gone"), McpError, "HTTP 404 Whatever: gone"),
        (status(200, b"<p>", "text/html"), UnexpectedResult, "is this the URL of an MCP endpoint"),
        (waits, ConnectionLost, "opens no other within 0.1 s"),
    ],
    ids=["refused", "another revision", "busy", "not found", "a page", "silence"],
)
async def test_where_no_other_session_can_be_opened_all_are_told_and_the_next_tries_again(
    monkeypatch: pytest.MonkeyPatch, act: Act, kind: type[TybaltError], text: str
) -> None:
    monkeypatch.setattr(session, "RENEWING", 0.1)
    known = set[str]()
    played = sessions(known=known)
    async with scripted(played) as server, Client(server.url, era="legacy") as client:
        await client.call("x")
        known.clear()
        works, server.acts["initialize"] = server.acts["initialize"], act
        calls = [asyncio.create_task(client.call("x", a=each)) for each in range(5)]
        await asyncio.wait(calls)
        for each in calls:
            with pytest.raises(kind, match=text):
                await each
        server.acts["initialize"] = works
        assert await client.call("x", a=1) == {"a": 1}


async def test_who_asked_for_another_session_may_be_cancelled_and_the_others_get_it() -> None:
    known = set[str]()
    played = sessions(known=known)
    goes_on = asyncio.Event()
    again = played["initialize"]

    async def slowly(request: Request, line: Line) -> None:
        await goes_on.wait()
        await again(request, line)

    async with scripted(played) as server, Client(server.url, era="legacy") as client:
        await client.call("x")
        known.clear()
        server.acts["initialize"] = slowly
        first, second = (asyncio.create_task(client.call("x", a=each)) for each in (1, 2))
        await server.saw("initialize", 2)
        await server.saw("tools/call", 3)
        first.cancel()
        await asyncio.wait([first])
        goes_on.set()
        assert await second == {"a": 2}
        assert server.methods.count("initialize") == 2


async def test_the_server_that_forgets_at_once_is_not_asked_for_ever() -> None:
    async with talking({**sessions(), "tools/call": status(404)}, era="legacy") as (server, client):
        with pytest.raises(McpError, match="HTTP 404"):
            await client.call("x")
    assert server.methods.count("initialize") == 2


async def test_a_session_that_is_forgotten_while_nobody_asks_is_renewed_by_its_stream() -> None:
    known = set[str]()
    heard = asyncio.Event()

    async def listen(request: Request, line: Line) -> None:
        if request.session not in known:
            await line.answer(404)
            return
        await line.stream()
        await line.event({"method": "notifications/x"}, retry=0)
        if request.session == "s1":
            known.clear()
            await line.end()
        else:
            heard.set()
            await line.gone()

    async with scripted({**sessions(known=known), "GET": listen}) as server, Client(server.url, era="legacy"):
        await heard.wait()
    assert [each.session for each in server.requests if each.method == "GET"] == ["s1", "s1", "s2"]
    assert server.methods.count("initialize") == 2


async def test_404_from_a_server_that_never_offered_a_stream_is_no_forgotten_session() -> None:
    async with scripted({**sessions(), "GET": status(404)}) as server, Client(server.url, era="legacy") as client:
        await server.saw("GET")
        assert await client.call("x", a=1) == {"a": 1}
    assert server.methods.count("initialize") == 1 and server.methods.count("GET") == 1


async def test_being_ready_twice_is_one_stream() -> None:
    async with scripted({**sessions(), "GET": in_a_stream}) as server, Client(server.url, era="legacy") as client:
        await server.saw("GET")
        client.notify("notifications/initialized")
        await server.saw("GET", 2)
        assert len(client._link._session._tasks) <= 2  # type: ignore[attr-defined]
        await settle()
        assert len(client._link._session._tasks) == 1  # type: ignore[attr-defined]


# -- the end --------------------------------------------------------------------------------------------------------


async def test_before_it_is_open_and_after_its_end_nothing_is_sent() -> None:
    way = HttpLink(Address("http://127.0.0.1:1/mcp"))
    await way.aclose()
    with pytest.raises(MisuseError, match="not connected"):
        way.send(b"{}")
    await way.open(LinkEvents(*[print] * 4))  # type: ignore[arg-type]
    await way.aclose()
    await way.aclose()
    with pytest.raises(MisuseError, match="not connected"):
        way.send(b"{}")


STATES: dict[str, dict[str, Any]] = {
    "idle": {},
    "a call waits": {"tools/call": waits},
    "a stream waits": {"tools/call": in_a_stream},
    "a stream is listened to": {"GET": in_a_stream},
    "it listens again and again": {"GET": status(500)},
    "nobody accepts": {"POST": waits},
    "the end is not heard": {"DELETE": waits},
    "the end is an error": {"DELETE": status(500)},
    "another session is opened": {
        "tools/call": status(404),
        "initialize": [acts("legacy")["initialize"], waits],
    },
}


@pytest.mark.loops
@pytest.mark.parametrize("how", ["once", "twice", "at the same time", "cancelled", "cancelled twice"])
@pytest.mark.parametrize("state", STATES)
async def test_it_ends_in_every_state(state: str, how: str) -> None:
    played = {name: in_turn(*act) if isinstance(act, list) else act for name, act in STATES[state].items()}
    async with scripted({**acts("legacy"), **played}) as server:
        client = await Client(server.url, era="legacy").__aenter__()
        calling = asyncio.create_task(client.call("x"))
        if state == "nobody accepts":
            await server.saw("notifications/initialized")
        else:
            await server.saw("tools/call")
            await server.saw("GET")
        if state == "another session is opened":
            await server.saw("initialize", 2)
        closing = [asyncio.create_task(client.aclose()) for _ in range(2 if how == "at the same time" else 1)]
        if how.startswith("cancelled"):
            for _ in range(2 if how.endswith("twice") else 1):
                await asyncio.sleep(0)
                closing[0].cancel()
        await asyncio.wait(closing)
        if how == "twice":
            await client.aclose()
        await asyncio.wait([calling])
        assert calling.exception() is None or isinstance(calling.exception(), ConnectionLost)
        assert idle(client)


@pytest.mark.parametrize("turns", range(1, 26))
async def test_a_close_may_be_cancelled_at_any_moment(turns: int) -> None:
    async with scripted({**acts("legacy"), "GET": in_a_stream, "tools/call": in_a_stream}) as server:
        client = await Client(server.url, era="legacy").__aenter__()
        calling = asyncio.create_task(client.call("x"))
        await server.saw("tools/call")
        closing = asyncio.create_task(client.aclose())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing, calling])
        assert isinstance(calling.exception(), ConnectionLost)


async def test_a_session_that_is_being_opened_at_the_end_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "PARTING", 0)
    monkeypatch.setattr(session, "PARTING", 5)
    known = set[str]()
    played = sessions(known=known)
    goes_on = asyncio.Event()
    again = played["initialize"]

    async def slowly(request: Request, line: Line) -> None:
        await goes_on.wait()
        await again(request, line)

    async with scripted(played) as server:
        client = await Client(server.url, era="legacy").__aenter__()
        await client.call("x")
        known.clear()
        server.acts["initialize"] = slowly
        calling = asyncio.create_task(client.call("x"))
        await server.saw("initialize", 2)
        closing = asyncio.create_task(client.aclose())
        for _ in range(5):
            await settle()
        goes_on.set()
        await asyncio.wait([closing, calling])
        assert isinstance(calling.exception(), ConnectionLost)
    assert (server.requests[-1].method, server.requests[-1].session) == ("DELETE", "s2")


@pytest.mark.parametrize("raised", [KeyError("access_token"), RuntimeError("the vault is closed")])
async def test_what_a_flow_raises_reaches_whoever_waits_and_nobody_else(
    raised: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def flow(self, request: Any) -> Any:
            if b"tools/call" in request.body:
                raise raised
            yield request

    async with scripted(acts()) as server, Client(Address(server.url, auth=Broken())) as client:
        with pytest.raises(type(raised)) as caught:
            await client.call("x")
        assert caught.value is raised
        assert bytes(await client.request("server/discover"))
    assert caplog.text == ""


async def test_a_flow_that_is_too_slow_is_no_timeout_of_the_request() -> None:
    class Slow:
        def flow(self, request: Any) -> Any:
            if b"tools/call" in request.body:
                raise TimeoutError("the vault is slow")
            yield request

    async with scripted(acts()) as server, Client(Address(server.url, auth=Slow())) as client:
        with pytest.raises(
            ConnectionLost, match="sending tools/call failed: TimeoutError: the vault is slow"
        ) as caught:
            await client.call("x")
    assert isinstance(caught.value.__cause__, TimeoutError)


async def test_an_error_of_our_own_ends_its_request_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with talking(acts()) as (_, client):
        monkeypatch.setattr(link, "answer_in", lambda body, post: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await client.call("x")
    assert "sending tools/call failed" in caplog.text


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (status(404, b"<html>", "text/html"), "HTTP 404 Whatever; is this the URL of an MCP endpoint?"),
        (status(405), "HTTP 405 Whatever; is this the URL of an MCP endpoint?"),
        (status(501, b"<html>", "text/html"), "HTTP 501 Whatever; is this the URL of an MCP endpoint?"),
        (status(200, b"ok"), "not application/json; is this the URL of an MCP endpoint?"),
        (
            status(200, b'{"status":"ok"}', "application/json"),
            "does not answer it; is this the URL of an MCP endpoint?",
        ),
    ],
)
async def test_what_is_no_endpoint_is_asked_whether_it_was_meant(act: Act, told: str) -> None:
    async with scripted({"POST": act, "GET": act}) as server:
        with pytest.raises(TybaltError, match=re.escape(told) + "$"):
            await Client(server.url).__aenter__()


async def test_time_passes_for_whoever_waits_for_another_session() -> None:
    async with talking({**sessions(), "tools/call": status(404)}, era="legacy") as (server, client):
        server.acts["initialize"] = waits
        with pytest.raises(
            RequestTimeout, match=rf"tools/call was not answered within 0\.05 s by http://127\.0\.0\.1:{server.port}"
        ):
            await client.call_tool("x", timeout=0.05)


def test_what_is_warned_of_is_a_log_of_the_client() -> None:
    assert {link.logger, session.logger, streams.logger} == {logging.getLogger("tybalt.client")}


async def test_questions_of_a_forgotten_session_are_withdrawn() -> None:
    known = set[str]()
    plain = sessions(known=known)
    asked: list[str] = []
    stopped: list[str] = []

    async def call(request: Request, line: Line) -> None:
        if request.message["params"]["name"] != "asks":
            await plain["tools/call"](request, line)
            return
        await line.stream()
        await line.event({"id": 1, **ELICIT})
        await line.gone()

    async def on_elicit(_: Any) -> dict[str, Any]:
        asked.append("x")
        if len(asked) == 2:
            return {}
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("asking")
        return {}

    async with talking({**plain, "tools/call": call}, era="legacy", on_elicit=on_elicit) as (server, client):
        asking = asyncio.create_task(client.call("asks"))
        while not asked:
            await settle()
        known.clear()
        assert await client.call("x", a=1) == {"a": 1}
        await settle()
        assert stopped == ["asking"]
        again = asyncio.create_task(client.call("asks"))
        (told,) = await server.saw("answer")
        assert "result" in told.message
        for each in (asking, again):
            each.cancel()
        await asyncio.wait([asking, again])
