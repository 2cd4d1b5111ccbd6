"""Servers that say what they should not: nonsense, answers nobody asked for, results of another kind, circles."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.client.peers import (
    DISCOVERED,
    INITIALIZED,
    asked,
    called,
    connected,
    encoded,
    failure,
    idle,
    settle,
    success,
)
from tests.transports.pairs import pipe_pair
from tybalt import Client, ConnectionLost
from tybalt.client.operations import MAX_PAGES
from tybalt.client.requests import MAX_UNSENT
from tybalt.errors import MisuseError, TybaltError, UnexpectedResult
from tybalt.transports.descriptors import open_duplex
from tybalt.transports.stream import StreamTransport

NONSENSE: list[bytes] = [
    *(b"", b"{", b"null", b"5", b"[]", b'"x"', b"{}", b"\xff", b"[" * 100_000, b'{"a":' * 100_000),
    *(encoded(id=2.5, result={}), encoded(id=True, result={}), encoded(id=[2], result={}), encoded(result={})),
    *(encoded(id=99, result={}), encoded(id="2", result={}), encoded(id=1, result={}), failure(-32603, id=99)),
    *(failure(-32603, id=None), encoded(method=5), encoded(id={}, method="ping"), encoded(id=99, error="no")),
    *(encoded(method="x", params=5), encoded(method="x", params=None), encoded(method="x", params=[1])),
    *(encoded(method="notifications/progress", params={"progressToken": token}) for token in (2, None, [2])),
    encoded(method="notifications/progress", params={"progressToken": 2, "progress": "much"}),
    encoded(method="x") + b"garbage",
    b'{"jsonrpc":"2.0","method":"x","params":{"a":"\xff"}}',
]
NO_ANSWERS: list[bytes] = [
    *(encoded(id=2), encoded(id=2, error="no"), encoded(id=2, error={"code": "x"}), encoded(id=2, error={})),
    *(b'{"id":2,"result":{"content":[]}}', b'{"jsonrpc":"1.0","id":2,"result":{"content":[]}}'),
    b'{"jsonrpc":"2.0","id":2,"result":{"content":[],"a":"\xff"}}',
    b'{"jsonrpc":"2.0","id":2,"result":{"content":[],"structuredContent":' + b"[" * 500 + b"]" * 500 + b"}}",
]
NOT_RESULTS: list[bytes] = [
    *(b"5", b"null", b"[]", b'"x"', b"{}", b'{"tools":5}', b'{"tools":[{"name":1}]}', b'{"tools":[],"nextCursor":5}'),
    *(b'{"tools":[],"resultType":' + each + b"}" for each in (b'"zzz"', b'"input_required"', b"5", b'""')),
]


class InProcess:
    """A server of somebody else in this process: it plays its answers and errors in turn."""

    def __init__(self, *plays: bytes | BaseException) -> None:
        self._plays = [success(DISCOVERED), *plays]

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        yield

    def session(self, output: object) -> "InProcess":
        return self

    def receive(self, message: bytes, /) -> bytes | None:
        play = self._plays.pop(0)
        if isinstance(play, BaseException):
            raise play
        return play

    async def drain(self, grace: float) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("play", "kind"),
    [(b"{", UnexpectedResult), (ValueError("mine"), ValueError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
async def test_what_is_no_answer_to_a_direct_call_is_raised(play: Any, kind: type[BaseException]) -> None:
    async with Client(InProcess(play, encoded(id=3, result=called(1)))) as client:
        with pytest.raises(kind):
            await client.call_tool("x", on_progress=print)
        assert await client.call("x") == 1
        assert idle(client)


class TestHostilePeers:
    async def test_nonsense_is_ignored_and_the_answer_still_found(self) -> None:
        heard: list[Any] = []
        async with connected(on_notification=lambda *news: heard.append(news)) as (client, peer):
            calling, request = await asked(peer, client.call_tool("x", on_progress=lambda *step: heard.append(step)))
            assert request["id"] == request["params"]["_meta"]["progressToken"] == 2
            peer.send(*NONSENSE)
            await settle()
            assert not calling.done() and heard == []
            peer.answer(request, called("found"))
            assert (await calling).structured_content == "found"

    @pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
    async def test_an_answer_that_is_none_ends_its_request_at_once(self, answer: bytes) -> None:
        async with connected(timeout=None) as (client, peer):
            calling, first = await asked(peer, client.call("x"))
            other, second = await asked(peer, client.call("y"))
            assert first["id"] == 2
            peer.send(answer)
            with pytest.raises(TybaltError, match="the answer "):
                await calling
            peer.answer(second, called(1))
            assert await other == 1
            assert idle(client)

    @pytest.mark.parametrize("result", NOT_RESULTS, ids=range(len(NOT_RESULTS)))
    async def test_what_is_no_result_is_raised_and_nothing_else_suffers(self, result: bytes) -> None:
        async with connected() as (client, peer):
            calling, first = await asked(peer, client.call("x"))
            listing, second = await asked(peer, client.list_tools())
            peer.send(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (second["id"], result))
            with pytest.raises(UnexpectedResult, match="the server's result is"):
                await listing
            peer.answer(first, called(1))
            assert await calling == 1

    @pytest.mark.parametrize("kind", [None, "complete"])
    async def test_a_result_may_say_that_it_is_complete(self, kind: str | None) -> None:
        async with connected() as (client, peer):
            listing, request = await asked(peer, client.list_tools())
            peer.answer(request, {"tools": [], "resultType": kind})
            assert await listing == []

    async def test_answers_in_any_order_twice_and_late(self) -> None:
        async with connected() as (client, peer):
            calls = [asyncio.create_task(client.call("x", number=number)) for number in range(100)]
            requests = [await peer.next() for _ in calls]
            calls[50].cancel()
            assert await peer.methods(1) == ["notifications/cancelled"]
            answers = [
                encoded(id=each["id"], result=called(each["params"]["arguments"]["number"])) for each in requests
            ]
            for answer in reversed(answers):
                peer.send(answer, answer, answer.replace(b"structuredContent", b"otherwise"))
                await settle()
            assert await asyncio.gather(*calls[:50], *calls[51:]) == [n for n in range(100) if n != 50]
            assert calls[50].cancelled()
            assert idle(client)

    async def test_requests_of_a_server_are_answered_or_refused(self) -> None:
        async with connected("legacy") as (_, peer):
            peer.send(encoded(id="a", method="ping"), encoded(id=5, method="sampling/createMessage", params={}))
            assert await peer.next() == {"jsonrpc": "2.0", "id": "a", "result": {}}
            refused = await peer.next()
            assert (refused["id"], refused["error"]["code"]) == (5, -32601)

    @pytest.mark.parametrize(
        ("cursors", "requests"),
        [((None,), 1), (("a", "b", None), 3), (("", ""), 2), (("a", "a"), 2)],
        ids=["one page", "three pages", "an empty cursor", "a cursor that stays the same"],
    )
    async def test_pages_are_followed_to_their_end(self, cursors: tuple[Any, ...], requests: int) -> None:
        async with connected(capabilities=["prompts"]) as (client, peer):
            listing = asyncio.create_task(client.list_prompts())
            asked_for: list[Any] = []
            for number, cursor in enumerate(cursors):
                request = await peer.next()
                asked_for.append(request["params"].get("cursor"))
                peer.answer(request, {"prompts": [{"name": f"{number}"}], "nextCursor": cursor})
            assert [each.name for each in await listing] == [f"{number}" for number in range(requests)]
            assert asked_for == [None, *cursors[:-1]]

    async def test_pages_in_a_circle_are_left(self) -> None:
        async with connected() as (client, peer):
            listing = asyncio.create_task(client.list_tools())
            for number in range(MAX_PAGES):
                peer.answer(await peer.next(), {"tools": [], "nextCursor": "ab"[number % 2]})
            with pytest.raises(UnexpectedResult, match="tools/list has not ended after 1000 pages"):
                await listing

    async def test_callbacks_that_raise_are_logged_and_end_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        heard: list[str] = []

        def fail(method: str, params: Any) -> None:
            heard.append(method)
            raise ValueError(f"cannot bear {method}")

        progress = encoded(method="notifications/progress", params={"progressToken": 2, "progress": 1})
        with caplog.at_level(logging.ERROR, "tybalt.client"):
            async with connected(on_notification=fail) as (client, peer):
                calling, request = await asked(peer, client.call_tool("x", on_progress=lambda *_: 1 / 0))
                peer.send(progress, encoded(method="notifications/a"), encoded(method="notifications/b", params={}))
                peer.answer(request, called(1))
                assert (await calling).structured_content == 1
        assert heard == ["notifications/a", "notifications/b"]
        assert [record.getMessage() for record in caplog.records] == [
            f"a callback failed on notifications/{name}" for name in ("progress", "a", "b")
        ]
        assert "ZeroDivisionError" in caplog.text and "cannot bear notifications/a" in caplog.text

    async def test_progress_after_the_end_and_without_a_listener_is_no_error(self) -> None:
        steps: list[Any] = []
        async with connected() as (client, peer):
            calling, request = await asked(peer, client.call_tool("x", on_progress=lambda *step: steps.append(step)))
            progress = {"method": "notifications/progress", "params": {"progressToken": 2, "progress": 1}}
            stray = {"method": "notifications/progress", "params": {"progressToken": "y", "progress": 1}}
            peer.send(stray, progress)
            peer.answer(request, called(1))
            await calling
            peer.send(progress, {"method": "notifications/anything"})
            await settle()
        assert steps == [(1, None, None)]

    async def test_what_cannot_be_written_as_json_leaves_nothing_behind(self) -> None:
        async with connected() as (client, peer):
            with pytest.raises(MisuseError):
                await client.call_tool("x", {"value": object()}, on_progress=print)
            assert idle(client)
            calling, request = await asked(peer, client.call("x"))
            peer.answer(request, called(1))
            assert await calling == 1

    @pytest.mark.parametrize(
        ("era", "content", "value"),
        [
            ("modern", {"result": 5}, {"result": 5}),
            ("legacy", {"result": 5}, 5),
            ("legacy", {"result": 5, "more": 6}, {"result": 5, "more": 6}),
            ("legacy", [5], [5]),
            ("modern", None, None),
        ],
    )
    async def test_values_of_legacy_calls_are_taken_out_of_their_object(
        self, era: str, content: Any, value: Any
    ) -> None:
        async with connected(era) as (client, peer):
            calling, request = await asked(peer, client.call("x"))
            peer.answer(request, called(content))
            assert await calling == value

    @pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
    async def test_an_answer_that_is_too_large_fails_its_own_call(self) -> None:
        ours, theirs = pipe_pair(limit=1000)
        opening = asyncio.create_task(Client(ours).__aenter__())
        await theirs.receive()
        (await theirs.reserve()).send(success(DISCOVERED))
        client = await opening
        calls = [asyncio.create_task(client.call("x")) for _ in range(2)]
        await settle()
        (await theirs.reserve()).send(encoded(id=2, result=called("x" * 1000)), encoded(id=3, result=called("small")))
        with pytest.raises(UnexpectedResult, match=r"the answer is too large: .* longer than 1,000 bytes"):
            await calls[0]
        assert await calls[1] == "small"
        await client.aclose()
        await theirs.aclose()

    async def test_what_is_too_large_and_names_nobody_ends_the_connection(self) -> None:
        ours, theirs = pipe_pair(limit=1000)
        opening = asyncio.create_task(Client(ours).__aenter__())
        await theirs.receive()
        (await theirs.reserve()).send(b'{"result":{"a":"' + b"x" * 1000 + b'"},"id":1,"jsonrpc":"2.0"}')
        with pytest.raises(ConnectionLost, match=r"the server sent too much at once: .* longer than 1,000 bytes"):
            await opening
        await theirs.aclose()

    async def test_a_server_that_pings_and_reads_nothing_is_not_answered_for_ever(self) -> None:
        async with connected("legacy", capacity=4) as (client, peer):
            peer.send(*(encoded(id=number, method="ping") for number in range(2 * MAX_UNSENT)))
            await settle()
            assert len(client._requests.sending) == MAX_UNSENT
            answers = [(await peer.next())["id"] for _ in range(4 + MAX_UNSENT)]
            assert answers == list(range(4 + MAX_UNSENT))
            calling, request = await asked(peer, client.call("x"))
            peer.answer(request, called({"result": 1}))
            assert await calling == 1


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_may_close_at_any_byte_of_a_good_conversation(era: str) -> None:
    opening = success(DISCOVERED if era == "modern" else INITIALIZED) + b"\n"
    answer = encoded(id=2, result=called({"found": 1})) + b"\n"
    for position in range(len(opening)):
        error = await _closing_at(era, opening[:position], b"")
        assert isinstance(error, ConnectionLost | UnexpectedResult), (position, error)
    for position in range(len(answer) - 1):
        error = await _closing_at(era, opening, answer[:position])
        assert isinstance(error, ConnectionLost | UnexpectedResult), (position, error)
    assert await _closing_at(era, opening, answer[:-1]) == await _closing_at(era, opening, answer) == {"found": 1}


async def _closing_at(era: str, opening: bytes, answer: bytes) -> Any:
    """What comes of a call to a server that says this over two pipes, and then closes its own."""
    loop = asyncio.get_running_loop()
    (ears, to_server), (from_server, mouth) = os.pipe(), os.pipe()
    transport = StreamTransport(linger=0.2)
    open_duplex(loop, transport, read_from=from_server, write_to=to_server)
    client = Client(transport, era=era, timeout=20)
    os.write(mouth, opening)
    try:
        if not opening.endswith(b"\n"):
            os.close(mouth)
        async with client:
            calling = asyncio.create_task(client.call("x"))
            await settle()
            if opening.endswith(b"\n"):
                os.write(mouth, answer)
                os.close(mouth)
            return await calling
    except TybaltError as error:
        return error
    finally:
        os.close(ears)
