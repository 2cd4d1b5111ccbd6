"""Legacy clients over HTTP: sessions in their ids, streams, resumption, questions, DELETE, and the switches."""

import asyncio
import contextlib
import time
from typing import Any

import pytest

from tests.protocol.conversations import initialize, legacy, message, modern
from tests.server.http.web import FACES, LEGACY, Client, modern_headers, served, web
from tybalt import Context, Server
from tybalt.protocol.admission import ABOUT
from tybalt.protocol.event_log import MAX_STREAMS
from tybalt.server.asking import CANNOT_ASK
from tybalt.server.http import kept_sessions
from tybalt.server.http import legacy as legacy_sessions
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.settings import http_settings
from tybalt.server.http.shares import SHARES
from tybalt.types.revisions import LEGACY as REVISIONS

FACE = pytest.mark.parametrize("face", FACES)
WITH_STREAMS = [each for each in REVISIONS if each >= "2025-03-26"]


def call(name: str, id: Any = 1, **arguments: Any) -> bytes:
    return legacy("tools/call", {"name": name, "arguments": arguments}, id=id)


def speaker() -> tuple[Server, asyncio.Event]:
    """A server with a tool that speaks before and after the event is set."""
    server, go = Server("speaker"), asyncio.Event()

    @server.tool
    async def speak(context: Context) -> str:
        await context.info("one")
        await go.wait()
        await context.info("two")
        return "done"

    @server.tool(run_in="loop")
    def add(a: int, b: int) -> int:
        return a + b

    return server, go


def said(messages: list[Any]) -> list[Any]:
    return [each["params"]["data"] if "method" in each else each["result"]["content"][0]["text"] for each in messages]


@FACE
async def test_a_large_body_is_looked_at_once_and_treated_as_a_small_one(face: str) -> None:
    server, _ = speaker()
    large = "é" + "x" * 10_000
    async with web(face, server) as client:
        begin = initialize("2025-06-18").replace(b'"clientInfo":{', b'"clientInfo":{"title":"%b",' % large.encode())
        response = await client.post(begin)
        session = {"mcp-session-id": response.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
        response = await client.post(call("add", a=2, b=3, more=large), **session)
        assert response.json["result"]["content"][0]["text"] == "5"
        response = await client.post(call("add", a=2, b=3, more=[[]] * 100_000), **session)
        assert (response.status, response.json["error"]["code"]) == (200, -32600)
        assert "100,004 objects and arrays" in response.json["error"]["message"]
        notification = message(method="notifications/x", params={"more": [[]] * 100_000})
        response = await client.post(notification, **session)
        assert (response.status, response.body) == (202, b"")
        response = await client.post(call("add", a=2, b=3, more=[[]] * 100_000))
        assert (response.status, response.json["error"]["code"]) == (400, -32600)


@FACE
async def test_a_large_batch_is_answered(face: str) -> None:
    server, _ = speaker()
    async with web(face, server) as client:
        session = await client.begin("2025-03-26")
        calls = b"[" + b",".join(call("add", id=number, a=number, b=1, more="x" * 100) for number in range(20)) + b"]"
        response = await client.post(calls, **session)
        assert {each["id"]: each["result"]["content"][0]["text"] for each in response.json} == {
            number: str(number + 1) for number in range(20)
        }


@FACE
@pytest.mark.parametrize("revision", REVISIONS)
async def test_a_session(face: str, revision: str) -> None:
    server, go = speaker()
    go.set()
    async with web(face, server) as client:
        session = await client.begin(revision)
        assert session["mcp-session-id"].isascii()
        assert len(session["mcp-session-id"]) <= 1024
        response = await client.post(call("add", a=2, b=3), **session)
        assert response.json["result"]["content"][0]["text"] == "5"
        response = await client.post(call("speak"), **session)
        assert said(response.messages) == ["one", "two", "done"]
        events = response.events
        assert bool(events[0].data) == (revision < "2025-11-25")
        assert all(event.id for event in events) == (revision >= "2025-03-26")
        ids = [event.id for event in events]
        assert len(set(ids)) == len(ids) or revision < "2025-03-26"


@FACE
async def test_any_process_with_the_key_serves_it(face: str) -> None:
    key = bytes(range(32))
    first, second, stranger = (Server("x", state_key=each) for each in (key, key, bytes(range(1, 33))))
    async with web(face, first) as client:
        session = await client.begin()
    async with web(face, second) as client:
        assert (await client.post(legacy("ping"), **session)).json["result"] == {}
    async with web(face, stranger) as client:
        response = await client.post(legacy("ping"), **session)
        assert (response.status, response.json["id"]) == (404, 1)


@FACE
@pytest.mark.parametrize("identifier", ["x", "A" * 200, "A" * 2000])
async def test_a_session_that_is_none(face: str, identifier: str) -> None:
    async with web(face, speaker()[0]) as client:
        await client.begin()
        for method in ("GET", "DELETE"):
            gone = await client.send(method, **{"mcp-session-id": identifier, "accept": "text/event-stream"})
            assert gone.status == 404
        assert (await client.post(legacy("ping"), **{"mcp-session-id": identifier})).status == 404


@FACE
async def test_without_a_session_there_is_the_handshake_and_nothing_else(face: str) -> None:
    async with web(face, speaker()[0]) as client:
        response = await client.post(call("add", a=1, b=2))
        assert response.status == 400
        assert "Mcp-Session-Id" in response.json["error"]["message"]
        assert (await client.post(message(method="notifications/initialized"))).status == 400
        assert (await client.post(legacy("ping"))).status == 200
        assert (await client.send("GET", accept="text/event-stream")).status == 400


@FACE
async def test_a_disconnect_is_no_cancel_and_the_rest_is_there_for_who_comes_back(face: str) -> None:
    server, go = speaker()
    async with web(face, server) as client:
        session = await client.begin()
        async with client.stream("POST", call("speak"), **session) as stream:
            primed = await stream.event()
            assert primed is not None
            first = await stream.event()
            assert first is not None
        assert server.turns.running == 1
        go.set()
        while server.turns.running:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0)
        for last, expected in ((first.id, ["two", "done"]), (primed.id, ["one", "two", "done"])):
            resumed = await client.send("GET", accept="text/event-stream", last_event_id=last, **session)
            assert said(resumed.messages) == expected


@FACE
async def test_coming_back_while_it_runs(face: str) -> None:
    server, go = speaker()
    async with web(face, server) as client:
        session = await client.begin()
        async with client.stream("POST", call("speak"), **session) as stream:
            await stream.event()
            first = await stream.event()
            assert first is not None
        headers = {"accept": "text/event-stream", "last_event_id": first.id}
        async with client.stream("GET", **headers, **session) as stream:
            go.set()
            assert said(await stream.rest()) == ["two", "done"]


@FACE
async def test_a_stream_that_the_server_lets_go(face: str) -> None:
    server, go = Server("x"), asyncio.Event()

    @server.tool
    async def long(context: Context) -> str:
        context.close_stream()
        await go.wait()
        return "done"

    async with web(face, server) as client:
        session = await client.begin()
        response = await client.post(call("long"), **session)
        (primed,) = response.events
        assert b"retry: 1000" in response.body
        headers = {"accept": "text/event-stream", "last_event_id": primed.id}
        async with client.stream("GET", **headers, **session) as stream:
            go.set()
            assert said(await stream.rest()) == ["done"]


@FACE
async def test_only_the_owner_resumes(face: str) -> None:
    server, go = speaker()
    go.set()
    async with web(face, server) as client:
        one, other = await client.begin(), await client.begin()
        last = (await client.post(call("speak"), **one)).events[0].id
        stolen = await client.send("GET", accept="text/event-stream", last_event_id=last, **other)
        assert stolen.status == 400
        invented = await client.send("GET", accept="text/event-stream", last_event_id="x.1", **one)
        assert invented.status == 400


@FACE
async def test_what_is_not_kept_any_more_is_told(face: str) -> None:
    server = Server("x")

    @server.tool
    async def chat(context: Context) -> str:
        for number in range(5):
            await context.info(number)
        return "done"

    async with web(face, server, max_events=3) as client:
        session = await client.begin()
        ids = [event.id for event in (await client.post(call("chat"), **session)).events]
        gone = await client.send("GET", accept="text/event-stream", last_event_id=ids[1], **session)
        assert gone.status == 410
        assert "not kept" in gone.json["error"]
        there = await client.send("GET", accept="text/event-stream", last_event_id=ids[-2], **session)
        assert said(there.messages) == ["done"]


class TestTheStreamOfASession:
    @FACE
    async def test_it_tells_of_changes(self, face: str) -> None:
        server, _ = speaker()
        async with web(face, server) as client:
            session = await client.begin()
            async with client.stream("GET", accept="text/event-stream", **session) as stream:
                assert stream.status == 200
                assert await stream.event() is not None

                @server.tool
                def more() -> str:
                    return ""

                assert (await stream.message())["method"] == "notifications/tools/list_changed"

    @FACE
    async def test_it_tells_of_resources_that_are_watched(self, face: str) -> None:
        server = Server("x")

        @server.resource("test://thing")
        def thing() -> str:
            return ""

        async with web(face, server) as client:
            session = await client.begin()
            answer = await client.post(legacy("resources/subscribe", {"uri": "test://thing"}), **session)
            assert answer.json["result"] == {}
            async with client.stream("GET", accept="text/event-stream", **session) as stream:
                await stream.event()
                server.resource_updated("test://thing")
                assert (await stream.message())["params"]["uri"] == "test://thing"

    @FACE
    async def test_what_comes_meanwhile_is_there_for_who_comes_back(self, face: str) -> None:
        server, _ = speaker()
        async with web(face, server) as client:
            session = await client.begin()
            async with client.stream("GET", accept="text/event-stream", **session) as stream:
                first = await stream.event()
                assert first is not None
            endpoint = server._services[0].endpoint
            assert endpoint is not None
            (live,) = endpoint._legacy._kept.all_live()
            while live.standing is not None and live.standing.is_read:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)
            server.add(_more)
            headers = {"accept": "text/event-stream", "last_event_id": first.id}
            async with client.stream("GET", **headers, **session) as stream:
                assert (await stream.message())["method"] == "notifications/tools/list_changed"

    @FACE
    async def test_so_many_of_one_client(self, face: str) -> None:
        token = {"authorization": "Bearer a token of many characters"}
        async with web(face, speaker()[0], max_streams=1, auth_token="a token of many characters") as client:
            first, second = await client.begin(**token), await client.begin(**token)
            headers = {"accept": "text/event-stream", **token}
            async with client.stream("GET", **headers, **first) as stream:
                await stream.event()
                assert (await client.send("GET", **headers, **second)).status == 429
                assert (await client.send("DELETE", **token, **first)).status == 204
                async with client.stream("GET", **headers, **second) as another:
                    assert another.status == 200

    @FACE
    async def test_who_has_gone_takes_no_place(self, face: str) -> None:
        token = {"authorization": "Bearer a token of many characters"}
        async with web(face, speaker()[0], max_streams=1, auth_token="a token of many characters") as client:
            headers = {"accept": "text/event-stream", **token}
            for _ in range(3):
                session = await client.begin(**token)
                status = 429
                while status == 429:
                    async with client.stream("GET", **headers, **session) as stream:
                        status = stream.status
                assert status == 200

    @FACE
    async def test_one_that_nobody_reads_makes_room(self, face: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_sessions, "HOT", 1)
        monkeypatch.setattr(kept_sessions, "MAX_LIVE", 2)
        server, _ = speaker()
        async with web(face, server) as client:
            sessions = [await client.begin() for _ in range(3)]
            for session in sessions[:2]:
                async with client.stream("GET", accept="text/event-stream", **session) as stream:
                    await stream.event()
            while (await client.post(legacy("ping"), **sessions[2])).status != 200:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0)

    @FACE
    async def test_a_second_one_takes_the_place_of_the_first(self, face: str) -> None:
        server, _ = speaker()
        async with web(face, server) as client:
            session = await client.begin()
            async with client.stream("GET", accept="text/event-stream", **session) as first:
                await first.event()
                async with client.stream("GET", accept="text/event-stream", **session) as second:
                    assert await first.rest() == []
                    await second.event()
                    server.add(_more)
                    assert (await second.message())["method"] == "notifications/tools/list_changed"


def _more() -> str:
    return ""


class TestQuestions:
    @FACE
    @pytest.mark.parametrize("revision", ["2025-06-18", "2025-11-25"])
    async def test_asked_on_the_stream_and_answered_with_a_post(self, face: str, revision: str) -> None:
        server = Server("x")

        @server.tool
        async def order(context: Context) -> str:
            return repr(await context.elicit("How many?", int))

        async with web(face, server) as client:
            session = await _session_with(client, revision, {"elicitation": {}})
            async with client.stream("POST", call("order"), **session) as stream:
                question = await stream.message()
                assert question["method"] == "elicitation/create"
                answer = message(id=question["id"], result={"action": "accept", "content": {"value": 3}})
                assert (await client.post(answer, **session)).status == 202
                (result,) = await stream.rest()
                assert "3" in result["result"]["content"][0]["text"]

    @FACE
    async def test_somebody_elses_answer_is_none(self, face: str) -> None:
        server = Server("x")

        @server.tool
        async def order(context: Context) -> str:
            return repr(await context.elicit("How many?", int))

        async with web(face, server) as client:
            mine = await _session_with(client, LEGACY, {"elicitation": {}})
            other = await _session_with(client, LEGACY, {"elicitation": {}})
            async with client.stream("POST", call("order"), **mine) as stream:
                question = await stream.message()
                for count, session in ((1, other), (2, mine)):
                    answer = message(id=question["id"], result={"action": "accept", "content": {"value": count}})
                    assert (await client.post(answer, **session)).status == 202
                (result,) = await stream.rest()
                assert "2" in result["result"]["content"][0]["text"]


async def _session_with(client: Client, revision: str, capabilities: dict[str, Any]) -> dict[str, str]:
    info = {"name": "old client", "version": "1"}
    params = {"protocolVersion": revision, "capabilities": capabilities, "clientInfo": info}
    response = await client.post(legacy("initialize", params))
    return {"mcp-session-id": response.headers["mcp-session-id"], "mcp-protocol-version": revision}


class TestCancel:
    @FACE
    async def test_it_ends_the_stream_without_an_answer(self, face: str) -> None:
        server, _ = speaker()
        async with web(face, server) as client:
            session = await client.begin()
            async with client.stream("POST", call("speak", id=8), **session) as stream:
                assert said([await stream.message()]) == ["one"]
                cancel = message(method="notifications/cancelled", params={"requestId": 8})
                assert (await client.post(cancel, **session)).status == 202
                assert await stream.rest() == []

    @FACE
    async def test_before_anything_was_said_it_is_an_empty_stream(self, face: str) -> None:
        server, began = Server("x"), asyncio.Event()

        @server.tool
        async def work() -> str:
            began.set()
            await asyncio.Event().wait()
            return ""

        async with web(face, server) as client:
            session = await client.begin()
            working = asyncio.ensure_future(client.post(call("work", id=8), **session))
            await began.wait()
            await client.post(message(method="notifications/cancelled", params={"requestId": 8}), **session)
            response = await working
            assert response.status == 200
            assert response.headers["content-type"] == "text/event-stream"
            assert response.messages == []

    @FACE
    async def test_another_sessions_request_goes_on(self, face: str) -> None:
        server, go = speaker()
        async with web(face, server) as client:
            mine, other = await client.begin(), await client.begin()
            async with client.stream("POST", call("speak", id=8), **mine) as stream:
                await stream.message()
                await client.post(message(method="notifications/cancelled", params={"requestId": 8}), **other)
                go.set()
                assert said(await stream.rest()) == ["two", "done"]


@FACE
async def test_where_several_processes_serve_what_needs_a_memory_refuses(
    face: str, caplog: pytest.LogCaptureFixture
) -> None:
    server, go = speaker()
    go.set()

    @server.tool
    async def ask(context: Context) -> str:
        return repr(await context.elicit("?"))

    app = AsgiApp(server, http_settings({}), is_shared=True)
    async with served(face, app) as client:
        session = await _session_with(client, LEGACY, {"elicitation": {}})
        answer = await client.post(call("speak"), **session)
        assert answer.json["result"]["content"][0]["text"] == "done"
        assert (await client.send("GET", accept="text/event-stream", **session)).status == 405
        assert (await client.send("DELETE", **session)).status == 405
        refused = await client.post(legacy("logging/setLevel", {"level": "error"}), **session)
        assert refused.json["error"]["code"] == -32601
        asked = await client.post(call("ask"), **session)
        assert asked.json["error"] == {"code": -32603, "message": CANNOT_ASK}
        assert "several processes serve this address" in caplog.text


@FACE
async def test_ids_of_another_key_are_told_once_with_the_setting(face: str, caplog: pytest.LogCaptureFixture) -> None:
    async with web(face, Server("x")) as before:
        foreign = await before.begin()
    async with web(face, Server("x")) as client:
        own = await client.begin()
        assert (await client.send("DELETE", **own)).status == 204
        assert (await client.post(legacy("ping"), **own)).status == 404
        assert not caplog.records, "one that has ended is nobody's mistake"
        for _ in range(2):
            assert (await client.post(legacy("ping"), **foreign)).status == 404
        (record,) = caplog.records
        assert record.levelname == "WARNING" and "the same Server(state_key=…)" in record.getMessage()
        assert next(iter(foreign.values())) not in record.getMessage()


class TestTheEndOfASession:
    @FACE
    async def test_delete_ends_it_and_what_it_runs(self, face: str) -> None:
        server, _ = speaker()
        async with web(face, server) as client:
            session = await client.begin()
            async with client.stream("POST", call("speak"), **session) as stream:
                await stream.message()
                assert (await client.send("DELETE", **session)).status == 204
                await stream.rest()
            assert server.turns.running == 0
            for method, body in (("POST", legacy("ping")), ("DELETE", b""), ("GET", b"")):
                response = await client.send(method, body, **session, accept="application/json, text/event-stream")
                assert response.status == 404

    @FACE
    async def test_its_time_is_over(self, face: str, monkeypatch: pytest.MonkeyPatch) -> None:
        server, _ = speaker()
        now = [1_000_000.0]
        monkeypatch.setattr(legacy_sessions.time, "time", lambda: now[0])
        async with web(face, server, session_lifetime="1h") as client:
            session = await client.begin()
            now[0] += 3_599
            assert (await client.post(legacy("ping"), **session)).status == 200
            now[0] += 1
            assert (await client.post(legacy("ping"), **session)).status == 404


class TestMemory:
    @FACE
    async def test_idle_sessions_are_nothing_but_their_ids(self, face: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_sessions, "HOT", 4)
        server, go = speaker()
        go.set()
        async with web(face, server) as client:
            sessions = [await client.begin() for _ in range(12)]
            level = await client.post(legacy("logging/setLevel", {"level": "error"}), **sessions[0])
            assert level.json["result"] == {}
            for session in sessions:
                assert (await client.post(legacy("ping"), **session)).status == 200
            endpoint = server._services[0].endpoint
            assert endpoint is not None
            assert len(endpoint._legacy._kept.all_live()) == 4
            assert len(endpoint._legacy._kept._memories) == 1
            quiet = await client.post(call("speak"), **sessions[0])
            assert said(quiet.messages) == ["done"]
            assert len(endpoint._legacy._kept._memories) == 0
            assert said((await client.post(call("speak"), **sessions[1])).messages) == ["one", "two", "done"]

    @FACE
    async def test_one_that_was_set_longest_ago_ends_where_there_is_no_room(
        self, face: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kept_sessions, "HOT", 1)
        monkeypatch.setattr(kept_sessions, "MAX_MEMORIES", 2)
        server, _ = speaker()
        async with web(face, server) as client:
            sessions = [await client.begin() for _ in range(5)]
            for session in sessions:
                await client.post(legacy("logging/setLevel", {"level": "error"}), **session)
            statuses = [(await client.post(legacy("ping"), **session)).status for session in sessions]
            assert statuses[-1] == 200
            assert statuses.count(404) in (2, 3)

    @FACE
    async def test_one_that_works_is_not_let_go(self, face: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_sessions, "HOT", 1)
        monkeypatch.setattr(kept_sessions, "MAX_LIVE", 2)
        server, go = speaker()
        async with web(face, server) as client:
            sessions = [await client.begin() for _ in range(3)]
            async with (
                client.stream("POST", call("speak"), **sessions[0]) as first,
                client.stream("POST", call("speak"), **sessions[1]) as second,
            ):
                await first.message()
                await second.message()
                refused = await client.post(legacy("ping"), **sessions[2])
                assert refused.status == 503
                go.set()
                assert said(await first.rest()) == said(await second.rest()) == ["two", "done"]
            assert (await client.post(legacy("ping"), **sessions[2])).status == 200

    @FACE
    async def test_two_that_are_used_in_turn_push_out_each_other_and_never_themselves(
        self, face: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kept_sessions, "HOT", 1)
        monkeypatch.setattr(kept_sessions, "MAX_MEMORIES", 1)
        server, go = speaker()
        go.set()
        async with web(face, server) as client:
            both = [await client.begin(), await client.begin()]
            for session in both:
                await client.post(legacy("logging/setLevel", {"level": "error"}), **session)
            for session in both * 3:
                assert said((await client.post(call("speak"), **session)).messages) == ["done"]

    @FACE
    async def test_where_no_end_can_be_remembered_nothing_is_forgotten(
        self, face: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, bound in (("HOT", 1), ("MAX_MEMORIES", 1), ("MAX_ENDED", 1), ("MAX_LIVE", 3)):
            monkeypatch.setattr(kept_sessions, name, bound)
        server, go = speaker()
        go.set()
        async with web(face, server) as client:
            assert (await client.send("DELETE", **await client.begin())).status == 204
            sessions = [await _quiet(client) for _ in range(4)]
            for session in sessions:
                assert (await client.post(LEVEL, **session)).status == 200
            refused = await client.post(legacy("ping"), **await _quiet(client))
            assert refused.status == 503
            assert "3 sessions are open, which is the most this server holds" in refused.json["error"]["message"]
            refused = await client.send("DELETE", **sessions[1])
            assert refused.status == 503
            for session in sessions * 2:
                assert said((await client.post(call("speak"), **session)).messages) == ["done"]

    @FACE
    async def test_one_that_finds_no_room_keeps_what_it_has_set(
        self, face: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(kept_sessions, "HOT", 1)
        monkeypatch.setattr(kept_sessions, "MAX_LIVE", 1)
        server, go = speaker()
        async with web(face, server) as client:
            quiet, busy = await client.begin(), await client.begin()
            assert (await client.post(LEVEL, **quiet)).status == 200
            async with client.stream("POST", call("speak"), **busy) as stream:
                await stream.message()
                for _ in range(2):
                    assert (await client.post(legacy("ping"), **quiet)).status == 503
                go.set()
                await stream.rest()
            assert said((await client.post(call("speak"), **quiet)).messages) == ["done"]

    async def test_what_has_had_its_time_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept_sessions, "HOT", 1)
        async with web("asgi", Server("x"), session_lifetime="2h", event_lifetime="1h") as client:
            left, ended, quiet = [await client.begin() for _ in range(3)]
            await _abandoned(client, left)
            assert (await client.post(LEVEL, **quiet)).status == 200
            assert (await client.send("DELETE", **ended)).status == 204
            endpoint = client._face._app.service.endpoint
            kept, now, today = endpoint._legacy._kept, time.monotonic(), time.time()
            tables = (kept._live, kept._memories, kept._ended, kept._unread)
            assert [len(each) for each in tables] == [1, 1, 1, 1]
            kept.sweep(now + 3_500, today + 3_500)
            assert [len(each) for each in tables] == [1, 1, 1, 1]
            kept.sweep(now + 3_700, today + 3_700)
            assert [len(each) for each in tables] == [1, 1, 1, 0]
            kept.sweep(now + 7_300, today + 7_300)
            assert [len(each) for each in tables] == [0, 0, 0, 0]


class Anybody:
    """Takes each token for a name."""

    async def verify(self, token: str) -> str | None:
        return token


ANN, MALLORY = {"authorization": "Bearer ann"}, {"authorization": "Bearer mallory"}
LEVEL = legacy("logging/setLevel", {"level": "error"})


class TestShares:
    """What one principal does costs no other anything; each has a tenth."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, bound in (("HOT", 1), ("MAX_MEMORIES", 20), ("MAX_ENDED", 100), ("MAX_LIVE", 30)):
            monkeypatch.setattr(kept_sessions, name, bound)

    async def test_of_what_sessions_have_set(self) -> None:
        server, go = speaker()
        go.set()
        async with web("asgi", server, verifier=Anybody()) as client:
            ann = await client.begin(**ANN) | ANN
            assert (await client.post(LEVEL, **ann)).status == 200
            sessions = [await client.begin(**MALLORY) | MALLORY for _ in range(30)]
            statuses = [(await client.post(LEVEL, **each)).status for each in sessions]
            assert statuses[:10] == [200] * 10
            assert statuses[-1] == 503, "no end of another could be remembered"
            assert said((await client.post(call("speak"), **ann)).messages) == ["done"]
            assert (await client.post(legacy("ping"), **sessions[0])).status == 404

    async def test_of_what_was_ended(self) -> None:
        async with web("asgi", Server("x"), verifier=Anybody()) as client:
            statuses = [
                (await client.send("DELETE", **(await client.begin(**MALLORY) | MALLORY))).status for _ in range(12)
            ]
            assert statuses == [204] * 10 + [503] * 2
            assert (await client.send("DELETE", **(await client.begin(**ANN) | ANN))).status == 204

    async def test_of_sessions_that_work(self) -> None:
        server, go = speaker()
        async with web("asgi", server, verifier=Anybody()) as client, contextlib.AsyncExitStack() as stack:
            for _ in range(3):
                busy = await client.begin(**MALLORY) | MALLORY
                await (await stack.enter_async_context(client.stream("POST", call("speak"), **busy))).message()
            refused = await client.post(legacy("ping"), **(await _quiet(client, **MALLORY)))
            assert refused.status == 503
            assert "3 sessions are open, which is the most that one client may have" in refused.body.decode()
            assert (await client.post(legacy("ping"), **(await client.begin(**ANN) | ANN))).status == 200
            go.set()

    async def test_of_streams_that_nobody_reads(self) -> None:
        server = Server("x", on_duplicate="replace")
        async with web("asgi", server, verifier=Anybody(), max_streams=2) as client:
            ann = await client.begin(**ANN) | ANN
            first = await _abandoned(client, ann)
            theirs = [await client.begin(**MALLORY) | MALLORY for _ in range(40)]
            ids = [await _abandoned(client, each) for each in theirs]
            endpoint = server._services[0].endpoint
            assert endpoint is not None
            assert len(endpoint._legacy._kept._unread) == 3
            for session, last, expected in (
                (ann, first, True),
                (theirs[-1], ids[-1], True),
                (theirs[0], ids[0], False),
            ):
                headers = {"accept": "text/event-stream", "last_event_id": last, **session}
                async with client.stream("GET", **headers) as stream:
                    server.add(_more)
                    assert (await stream.message() is not None) == expected

    async def test_of_streams_that_can_be_resumed(self) -> None:
        server, go = speaker()
        go.set()
        async with web("asgi", server, verifier=Anybody()) as client:
            ann = await client.begin(**ANN) | ANN
            last = (await client.post(call("speak"), **ann)).events[0].id
            mallory = await client.begin(**MALLORY) | MALLORY
            for _ in range(MAX_STREAMS // SHARES + 5):
                newest = (await client.post(call("speak"), **mallory)).events[0].id
            endpoint = server._services[0].endpoint
            assert endpoint is not None
            assert endpoint._legacy._log.statistics().streams == MAX_STREAMS // SHARES + 1
            for session, each in ((ann, last), (mallory, newest)):
                resumed = await client.send("GET", accept="text/event-stream", last_event_id=each, **session)
                assert said(resumed.messages) == ["one", "two", "done"]


async def _quiet(client: Client, **headers: str) -> dict[str, str]:
    """A session of which nothing was asked yet."""
    response = await client.post(initialize(LEGACY), **headers)
    return {"mcp-session-id": response.headers["mcp-session-id"], "mcp-protocol-version": LEGACY, **headers}


async def _abandoned(client: Client, session: dict[str, str]) -> str:
    """Open the stream of a session and leave it: the id at which it is resumed."""
    async with client.stream("GET", accept="text/event-stream", **session) as stream:
        event = await stream.event()
        assert event is not None
        assert event.id is not None
        return event.id


class TestSwitches:
    @FACE
    async def test_no_sessions(self, face: str, caplog: pytest.LogCaptureFixture) -> None:
        server, go = speaker()
        go.set()

        @server.tool
        async def ask(context: Context) -> str:
            return repr(await context.elicit("?"))

        async with web(face, server, sessions=False) as client:
            response = await client.post(initialize())
            assert "mcp-session-id" not in response.headers
            offered = response.json["result"]["capabilities"]
            assert offered == {"tools": {}}
            version = {"mcp-protocol-version": LEGACY}
            assert (await client.post(call("add", a=1, b=2), **version)).json["result"]["content"][0]["text"] == "3"
            assert (await client.send("GET", accept="text/event-stream", **version)).status == 405
            assert (await client.send("DELETE", **version)).status == 405
            refused = await client.post(legacy("logging/setLevel", {"level": "error"}), **version)
            assert refused.json["error"]["code"] == -32601
            assert (await client.post(call("ask"), **version)).json["error"]["message"] == CANNOT_ASK
            assert "`sessions=False`" in caplog.text, "whatever the client can do, which nobody knows here"

    @FACE
    async def test_json_only(self, face: str) -> None:
        server, go = speaker()
        go.set()
        async with web(face, server, json_only=True) as client:
            session = await client.begin()
            response = await client.post(call("speak"), **session)
            assert response.headers["content-type"] == "application/json"
            assert response.json["result"]["content"][0]["text"] == "done"
            assert (await client.send("GET", accept="text/event-stream", **session)).status == 405

    @FACE
    async def test_where_there_is_no_stream_nothing_is_asked(self, face: str, caplog: pytest.LogCaptureFixture) -> None:
        server = Server("x")

        @server.tool
        async def ask(context: Context) -> str:
            return repr(await context.elicit("?"))

        async with web(face, server, json_only=True) as client:
            session = await _session_with(client, LEGACY, {"elicitation": {}})
            assert (await client.post(call("ask"), **session)).json["error"]["message"] == CANNOT_ASK
            assert "answered with JSON alone" in caplog.text

    @FACE
    async def test_a_client_that_could_not_be_asked_anyway_is_not_blamed(
        self, face: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = Server("x")

        @server.tool
        async def ask(context: Context) -> str:
            return repr(await context.elicit("?"))

        async with web(face, server, json_only=True) as client:
            session = await client.begin()
            assert (await client.post(call("ask"), **session)).json["error"]["message"] == CANNOT_ASK
            assert "`json_only`" in caplog.text

    @FACE
    async def test_a_plain_get_is_told_what_this_is(self, face: str) -> None:
        async with web(face, Server("x")) as client:
            response = await client.send("GET", accept="*/*")
            assert response.status == 400
            assert response.json["error"]["message"].startswith(f"{ABOUT}. Mcp-Session-Id header is missing: ")

    @FACE
    async def test_one_era_alone(self, face: str) -> None:
        async with web(face, Server("x", eras=["modern"])) as client:
            refused = await client.post(initialize())
            assert refused.status == 400
            assert "2026-07-28" in refused.json["error"]["message"]
        async with web(face, Server("x", eras=["legacy"])) as client:
            refused = await client.post(modern("tools/list"), **modern_headers("tools/list"))
            assert refused.status == 400
            assert (await client.post(initialize())).status == 200


@FACE
async def test_batches_of_2025_03_26(face: str) -> None:
    server, go = speaker()
    async with web(face, server) as client:
        session = await client.begin("2025-03-26")
        both = b"[" + call("add", id=1, a=1, b=2) + b"," + call("add", id=2, a=3, b=4) + b"]"
        assert [each["id"] for each in (await client.post(both, **session)).json] == [1, 2]
        told = b"[" + message(method="notifications/x") + b"]"
        assert (await client.post(told, **session)).status == 202
        mixed = b"[" + call("add", id=1, a=1, b=2) + b"," + call("speak", id=2) + b"]"
        async with client.stream("POST", mixed, **session) as stream:
            assert said([await stream.message()]) == ["one"]
            go.set()
            two, batch = await stream.rest()
            assert said([two]) == ["two"]
            assert sorted(each["id"] for each in batch) == [1, 2]
        newer = await client.begin()
        assert (await client.post(both, **newer)).status == 400
