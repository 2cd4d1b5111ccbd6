"""The guesses of the hot path: whatever came before, a message gets the answer it would have got as the first one."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.protocol.conversations import ENVELOPE, initialize, legacy, message, modern
from tests.server.driving import Output
from tybalt import Context, Server, ToolError
from tybalt.protocol.prescan import PRESCAN_FROM
from tybalt.server.receiving import WARM
from tybalt.server.session import Session
from tybalt.types.revisions import LATEST_MODERN, LEGACY, REVISIONS

VERSION = "io.modelcontextprotocol/protocolVersion"


def one(a: int = 1) -> int:
    return a


def library() -> Server:
    """Plain tools of every make, and one that is not plain."""
    server = Server("library", run_in="loop")

    @server.tool
    def nothing() -> int:
        return 0

    server.add(one)

    @server.tool
    def two(a: int, b: int = 2) -> int:
        return a + b

    @server.tool
    def three(a: int, b: str = "b", c: list[int] | None = None) -> str:
        return f"{a}{b}{c}"

    @server.tool(strict=True)
    def strict(a: int) -> int:
        return a

    @server.tool
    def fails(a: int) -> int:
        raise ToolError(f"no {a}")

    @server.tool
    def contextual(context: Context, a: int) -> int:
        return a

    return server


def opened(server: Server, revision: str) -> Session:
    session = server.session(Output())
    if revision in LEGACY:
        session.receive(initialize(revision))
        session.receive(message(method="notifications/initialized"))
    return session


def warmed(server: Server, revision: str, tool: str = "two", **arguments: Any) -> Session:
    """A session that takes the next message for a plain call."""
    session = opened(server, revision)
    for _ in range(WARM + 1):
        session.receive(call(revision, tool, arguments or {"a": 1}))
    return session


def plain_of(server: Server, revision: str) -> Any:
    """The decoder that knows all plain tools."""
    decode = None
    for name in server.catalogue.plain_tools(revision):
        decode = server.catalogue.plain_calls(revision, name)
    return decode


def call(revision: str, name: str, arguments: Any = None, **more: Any) -> bytes:
    params = {"name": name, **({} if arguments is None else {"arguments": arguments}), **more}
    if revision == LATEST_MODERN:
        return modern("tools/call", params, meta=params.pop("_meta", None))
    return legacy("tools/call", params)


names = st.sampled_from(["nothing", "one", "two", "three", "strict", "fails", "contextual", "unknown"])
values = st.sampled_from([1, "5", "x", None, 1.5, True, [1], [1, "x"], {}])
arguments = (
    st.none()
    | st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), values, max_size=3)
    | st.sampled_from([5, [], "{}"])
)
more = st.fixed_dictionaries(
    {},
    optional={
        "requestState": st.sampled_from(["s", None, 5]),
        "inputResponses": st.sampled_from([{}, {"k": {}}, None, 5]),
        "task": st.sampled_from([{}, None, 5]),
        "unknown": st.just(1),
    },
)
metas = st.sampled_from(
    [
        {},
        {"progressToken": 1},
        {"progressToken": 1.5},
        {"dev.example/x": None},
        {VERSION: "2025-11-25"},
        {VERSION: None},
        {"io.modelcontextprotocol/clientCapabilities": []},
        {"io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"}},
    ]
)


@st.composite
def texts(draw: st.DrawFn, revision: str) -> bytes:
    """A call, or something else."""
    if draw(st.integers(0, 5)) == 0:
        other = draw(st.sampled_from(["tools/list", "ping", "nonsense"]))
        return modern(other) if revision == LATEST_MODERN else legacy(other)
    params: dict[str, Any] = {"name": draw(names), **draw(more)}
    if (given := draw(arguments)) is not None:
        params["arguments"] = given
    meta = draw(metas)
    if revision == LATEST_MODERN:
        params["_meta"] = {**ENVELOPE, **meta}
    elif meta:
        params["_meta"] = meta
    body = {
        "jsonrpc": draw(st.sampled_from(["2.0", "2.0", "2.0", "1.0"])),
        "id": draw(st.sampled_from([1, "é", 2**70])),
    }
    text = json.dumps({**body, "method": "tools/call", "params": params}).encode()
    return text + b" " * draw(st.sampled_from([0, 0, PRESCAN_FROM]))


@given(st.data(), st.sampled_from(REVISIONS))
@settings(max_examples=200)
def test_an_answer_does_not_depend_on_what_came_before(data: st.DataObject, revision: str) -> None:
    server = library() if data.draw(st.booleans()) else Server("one", run_in="loop").add(one)
    session = warmed(server, revision, "one")
    pool = data.draw(st.lists(texts(revision), min_size=1, max_size=4))
    for text in data.draw(st.lists(st.sampled_from(pool), max_size=12)):
        assert session.receive(text) == opened(server, revision).receive(text)


@pytest.mark.parametrize("revision", REVISIONS)
class TestWarm:
    def test_the_guess_is_right(self, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Counted, not timed: once it is warm, every plain call is decoded by the decoder that knows the tools."""
        server = library()
        decode = plain_of(server, revision)
        assert decode is not None
        decoded: list[bytes] = []
        monkeypatch.setattr(
            server.catalogue, "plain_calls", lambda *_: lambda text: decoded.append(text) or decode(text)
        )
        session = warmed(server, revision)
        decoded.clear()
        asked = [("two", {"a": 40}, "42"), ("three", {"a": 1, "c": [2]}, "1b[2]"), ("nothing", {}, "0")]
        for name, arguments, text in asked:
            answer = session.receive(call(revision, name, arguments))
            assert answer is not None and msgspec.json.decode(answer)["result"]["content"][0]["text"] == text
        assert len(decoded) == len(asked)

    def test_a_guess_that_is_never_right_is_made_ever_more_rarely(
        self, revision: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server = library()
        decode = plain_of(server, revision)
        assert decode is not None
        decoded: list[bytes] = []
        monkeypatch.setattr(
            server.catalogue, "plain_calls", lambda *_: lambda text: decoded.append(text) or decode(text)
        )
        session = opened(server, revision)
        for number in range(2_000):
            answer = session.receive(call(revision, "two", {"a": 1}, _meta={"progressToken": number}))
            assert answer is not None and msgspec.json.decode(answer)["result"]["content"][0]["text"] == "3"
        # For each attempt one to begin with, and one that is wrong: after 3, 6, 12, ... calls.
        assert 2 * 8 <= len(decoded) <= 2 * 12

    def test_one_wrong_guess_is_forgiven(self, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
        server = library()
        decode = plain_of(server, revision)
        assert decode is not None
        decoded: list[bytes] = []
        monkeypatch.setattr(
            server.catalogue, "plain_calls", lambda *_: lambda text: decoded.append(text) or decode(text)
        )
        session = warmed(server, revision)
        decoded.clear()
        for _ in range(10):
            session.receive(call(revision, "contextual", {"a": 1}))
            session.receive(call(revision, "two", {"a": 1}))
        assert len(decoded) == 20
        session.receive(call(revision, "contextual", {"a": 1}))
        session.receive(call(revision, "contextual", {"a": 1}))
        session.receive(call(revision, "two", {"a": 1}))
        assert len(decoded) == 22

    def test_another_meta_is_looked_at(self, revision: str) -> None:
        session = warmed(library(), revision)
        wrong = {VERSION: "2027-01-01", "io.modelcontextprotocol/clientCapabilities": {}}
        answer = session.receive(legacy("tools/call", {"name": "two", "arguments": {"a": 1}, "_meta": wrong}))
        assert answer is not None
        assert msgspec.json.decode(answer)["error"]["code"] == -32022

    def test_tools_that_change_are_seen_at_once(self, revision: str) -> None:
        server = library()
        session = warmed(server, revision)
        two = server.handle("tool", "two")
        two.disable()
        answer = session.receive(call(revision, "two", {"a": 1}))
        assert answer is not None and msgspec.json.decode(answer)["error"]["message"] == "Unknown tool: two"
        two.enable()
        answer = session.receive(call(revision, "two", {"a": 1}))
        assert answer is not None and msgspec.json.decode(answer)["result"]["content"][0]["text"] == "3"
        two.remove()

        @server.tool("two")
        def other(a: int) -> str:
            return "another"

        for _ in range(WARM + 2):
            answer = session.receive(call(revision, "two", {"a": 1}))
            assert answer is not None and msgspec.json.decode(answer)["result"]["content"][0]["text"] == "another"

    def test_a_handshake_changes_the_revision(self, revision: str) -> None:
        session = warmed(library(), LATEST_MODERN)
        session.receive(initialize("2025-06-18"))
        for asked in (LATEST_MODERN, "2025-06-18", "2025-06-18", "2025-06-18", "2025-06-18", LATEST_MODERN):
            answer = session.receive(call(asked, "two", {"a": 1}))
            assert answer is not None and msgspec.json.decode(answer)["result"]["content"][0]["text"] == "3"
            assert (b"resultType" in answer) is (asked == LATEST_MODERN)

    def test_a_validator_that_raises_is_the_tools_failure(self, revision: str) -> None:
        class Picky(msgspec.Struct):
            a: int

            def __post_init__(self) -> None:
                if self.a == 13:
                    raise KeyError("secret")

        server = library()

        @server.tool
        def picky(value: Picky) -> int:
            return value.a

        session = warmed(server, revision, "picky", value={"a": 1})
        for _ in range(WARM + 2):
            answer = session.receive(call(revision, "picky", {"value": {"a": 13}}))
            assert answer is not None and b"secret" not in answer and b"Internal error in tool 'picky'" in answer

    def test_defaults_are_made_anew(self, revision: str) -> None:
        server = library()

        @server.tool
        def grow(seen: list[int] = []) -> int:  # noqa: B006 (that is what is tried)
            seen.append(1)
            return len(seen)

        session = warmed(server, revision)
        for arguments in (None, {}, None, {}):
            answer = session.receive(call(revision, "grow", arguments))
            assert answer is not None and msgspec.json.decode(answer)["result"]["content"][0]["text"] == "1"

    async def test_an_async_tool_may_wait(self, revision: str) -> None:
        server = library()

        @server.tool
        async def later(a: int) -> int:
            await asyncio.sleep(0)
            return a

        output = Output()
        session = server.session(output)
        if revision in LEGACY:
            session.receive(initialize(revision))
        for number in range(2 * WARM):
            assert session.receive(call(revision, "later", {"a": number})) is None
        await session.drain(1.0)
        assert sorted(each["result"]["content"][0]["text"] for each in output.messages) == list("012345")
        session.close()
