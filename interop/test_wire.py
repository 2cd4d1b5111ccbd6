"""Our server's every message, in every revision, against the published schemas: a conversation fed by hand.

Foreign clients say what is right. This one, which is a pipe and no more, says in each revision all there is to say, and
all kinds of wrong things too. What comes back is checked here for what it means; that each message is one the revision
allows, `interop.wire` judges when the test is over, as it does after every test with a foreign client.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from interop.recordings import Message, Recorded
from interop.wire import LATEST, LEGACY, REVISIONS, SUBSCRIPTION

ME = {"name": "by hand", "version": "1"}


class Pipe:
    """A connection on which nothing happens by itself. `heard` keeps what came before, or instead of, an answer."""

    def __init__(self, process: subprocess.Popen[bytes], revision: str) -> None:
        self.process = process
        self.revision = revision
        self.heard: list[Message] = []
        self.next_id = 0

    @property
    def envelope(self) -> Message:
        """The `_meta` of a request: a modern one says everything about itself."""
        if self.revision != LATEST:
            return {}
        prefix = "io.modelcontextprotocol/"
        return {prefix + "protocolVersion": LATEST, prefix + "clientInfo": ME, prefix + "clientCapabilities": {}}

    def say(self, message: Any) -> None:
        """Send one message, or bytes as they are."""
        assert self.process.stdin is not None
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        self.process.stdin.write(text + b"\n")
        self.process.stdin.flush()

    def read(self) -> Any:
        """The next message."""
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def request(self, method: str, *, meta: Message | None = None, **params: Any) -> Message:
        """A request that is right, unless `params` are not."""
        self.next_id += 1
        whole = self.envelope | (meta or {})
        params |= {"_meta": whole} if whole else {}
        return {"jsonrpc": "2.0", "id": self.next_id, "method": method} | ({"params": params} if params else {})

    def ask(self, method: str, *, meta: Message | None = None, **params: Any) -> Message:
        """The result of a request."""
        answer = self.answer_to(self.request(method, meta=meta, **params))
        assert "result" in answer, answer
        return answer["result"]

    def refusal(self, method: str, **params: Any) -> int:
        """The error code of a request."""
        return self.answer_to(self.request(method, **params))["error"]["code"]

    def answer_to(self, request: Message) -> Message:
        """Send a request and read up to its answer."""
        self.say(request)
        while (message := self.read()).get("id") != request["id"]:
            self.heard.append(message)
        return message

    def blunder(self, text: Any, *, id: int | None = None) -> int:
        """The error code that answers a message that is none; most have no `id` that could be known."""
        self.say(text)
        answer = self.read()
        assert answer.get("id") == id
        assert ("id" in answer) == (self.revision < "2025-11-25" or id is not None)
        return answer["error"]["code"]

    def call(self, tool: str, *, meta: Message | None = None, **arguments: Any) -> Message:
        """The result of a call."""
        return self.ask("tools/call", meta=meta, name=tool, arguments=arguments)

    def open(self) -> Message:
        """Discover, or shake hands."""
        if self.revision == LATEST:
            return self.ask("server/discover")
        result = self.ask("initialize", protocolVersion=self.revision, capabilities={}, clientInfo=ME)
        self.say({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert result["protocolVersion"] == self.revision
        return result

    def hang_up(self) -> list[Message]:
        """Close stdin and read what the server has left to say; it ends by itself."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        return [json.loads(line) for line in self.process.stdout]


@contextmanager
def connected(server: Recorded, revision: str) -> Iterator[Pipe]:
    """A server that speaks `revision`, before the first word. It is killed if it does not end."""
    with subprocess.Popen(server.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            pipe = Pipe(process, revision)
            yield pipe
            assert pipe.hang_up() == []
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


@pytest.fixture(params=REVISIONS)
def revision(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pipe(everything: Recorded, revision: str) -> Iterator[Pipe]:
    """Our example, after the opening."""
    with connected(everything, revision) as pipe:
        pipe.open()
        yield pipe
        assert pipe.heard == []


def test_all_there_is(pipe, revision):
    assert len(pipe.ask("tools/list")["tools"]) == 7
    assert len(pipe.ask("resources/list")["resources"]) == 1
    assert len(pipe.ask("resources/templates/list")["resourceTemplates"]) == 1
    assert len(pipe.ask("prompts/list")["prompts"]) == 1
    assert pipe.call("add", a=5, b=3)["content"] == [{"type": "text", "text": "8"}]
    assert ("structuredContent" in pipe.call("weather", city="Verona")) == (revision >= "2025-06-18")
    assert pipe.call("divide", a=1, b=4)["content"][0]["text"] == "0.25"
    assert pipe.call("pixel")["content"][0]["mimeType"] == "image/png"
    assert pipe.ask("resources/read", uri="config://settings")["contents"][0]["mimeType"] == "application/json"
    assert pipe.ask("resources/read", uri="users://7/profile")["contents"][0]["uri"] == "users://7/profile"
    assert pipe.ask("prompts/get", name="review", arguments={"code": "1"})["messages"][0]["role"] == "user"
    complete = {"ref": {"type": "ref/prompt", "name": "review"}, "argument": {"name": "language", "value": "ru"}}
    assert pipe.ask("completion/complete", **complete)["completion"]["values"] == ["rust", "ruby"]
    complete = {"ref": {"type": "ref/resource", "uri": "users://{id}/profile"}, "argument": {"name": "id", "value": ""}}
    assert pipe.ask("completion/complete", **complete)["completion"]["values"] == []


def test_all_that_fails(pipe, revision):
    """In the handler, in the arguments, in the name, in the params, in the method."""
    assert pipe.call("divide", a=1, b=0)["isError"]
    crash = pipe.call("crash")
    assert crash["isError"]
    assert "hunter2" not in json.dumps(crash)
    five = pipe.answer_to(pipe.request("tools/call", name="add", arguments={"a": "five", "b": 3}))
    assert five["result"]["isError"] if revision >= "2025-11-25" else five["error"]["code"] == -32602
    not_there = -32602 if revision == LATEST else -32002
    for code, method, params in [
        (-32602, "tools/call", {"name": "subtract"}),
        (-32602, "tools/call", {}),
        (-32602, "tools/call", {"name": 5}),
        (-32602, "tools/list", {"cursor": "nonsense"}),
        (not_there, "resources/read", {"uri": "config://nothing"}),
        (not_there, "resources/read", {"uri": "users://seven/profile"}),
        (-32602, "resources/read", {}),
        (-32602, "prompts/get", {"name": "poem"}),
        (-32602, "prompts/get", {"name": "review"}),
        (-32602, "completion/complete", {"ref": {"type": "ref/prompt", "name": "review"}}),
        (-32601, "tools/subtract", {}),
        (-32601, "sampling/createMessage", {}),
    ]:
        assert pipe.refusal(method, **params) == code, (method, params)


@pytest.mark.parametrize("revision", ["2025-11-25", LATEST])
def test_arguments_that_are_no_object(pipe):
    """A request that is no CallToolRequest is a protocol error (server/tools, "Error Handling")."""
    assert pipe.refusal("tools/call", name="add", arguments=[5, 3]) == -32602


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18"])
def test_arguments_that_are_no_object_before(pipe):
    assert pipe.refusal("tools/call", name="add", arguments=[5, 3]) == -32602


def test_what_the_other_era_has(pipe, revision):
    if revision == LATEST:
        other = {
            "ping": {},
            "logging/setLevel": {"level": "info"},
            "resources/subscribe": {"uri": "config://settings"},
            "resources/unsubscribe": {"uri": "config://settings"},
        }
    else:
        other = {"server/discover": {}, "subscriptions/listen": {"notifications": {}}}
    assert [pipe.refusal(method, **params) for method, params in other.items()] == [-32601] * len(other)


def test_what_is_no_request(pipe, revision):
    """Each gets its one answer, or none, and disturbs nothing."""
    assert pipe.blunder(b'{"jsonrpc": "2.0", "id": 1') == -32700
    assert pipe.blunder(b"\xff\xfe") == -32700
    assert pipe.blunder(b"5") == -32600
    assert pipe.blunder(b"{}") == -32600
    assert pipe.blunder({"jsonrpc": "2.0", "id": None, "method": "tools/list"}) == -32600
    assert pipe.blunder({"jsonrpc": "2.0", "id": 1.5, "method": "tools/list"}) == -32600
    # Not read, but its id stands in front, and somebody waits for it.
    deep = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": ' + b'{"a":' * 100_000
    assert pipe.blunder(deep, id=1) == -32600
    assert pipe.blunder(b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"tools/list" * 500_000, id=1) == -32600
    assert pipe.answer_to(pipe.request("tools/list") | {"jsonrpc": "1.0"})["error"]["code"] == -32600
    for nobody_answers in [
        {"jsonrpc": "2.0", "method": "notifications/unheard_of"},
        {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}},
        {"jsonrpc": "2.0", "id": 99, "result": {}},
        {"jsonrpc": "2.0", "id": 99, "error": {"code": -1, "message": "no"}},
    ]:
        pipe.say(nobody_answers)
    assert pipe.call("add", a=1, b=1)["content"][0]["text"] == "2"


def test_progress_and_log_messages(pipe, revision):
    if revision == LATEST:
        meta = {"io.modelcontextprotocol/logLevel": "debug"}
    else:
        assert pipe.ask("logging/setLevel", level="debug") == {}
        assert pipe.refusal("logging/setLevel", level="loud") == -32602
        meta = {}
    pipe.call("count", to=3, meta={"progressToken": "a token"} | meta)
    told = [each["params"] for each in pipe.heard]
    assert [each["progress"] for each in told[::2]] == [1, 2, 3]
    assert {each["progressToken"] for each in told[::2]} == {"a token"}
    assert [each["data"] for each in told[1::2]] == ["counted 1", "counted 2", "counted 3"]
    pipe.heard.clear()
    if revision != LATEST:
        pipe.ask("logging/setLevel", level="error")
    pipe.call("count", to=3)
    assert pipe.heard == []


def test_a_cancelled_call(pipe, revision):
    count = pipe.request("tools/call", name="count", arguments={"to": 60, "pause": 1}, meta={"progressToken": 7})
    if revision != LATEST:
        pipe.ask("logging/setLevel", level="error")
    pipe.say(count)
    assert pipe.read()["params"]["progress"] == 1
    pipe.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": count["id"]}})
    assert pipe.call("add", a=1, b=1)["content"][0]["text"] == "2"


def test_an_id_in_use_twice(pipe):
    """A reused id is run and answered like any other; the schema of either answer is the same."""
    pipe.say(pipe.request("tools/call", name="count", arguments={"to": 2, "pause": 0.01}) | {"id": "twice"})
    answer = pipe.answer_to(pipe.request("tools/call", name="add", arguments={"a": 5, "b": 3}) | {"id": "twice"})
    assert answer["result"]["content"][0]["text"] == "8"
    while "id" not in (message := pipe.read()):
        assert message["method"] == "notifications/message"
    assert message["result"]["content"][0]["text"] == "counted to 2"
    pipe.heard.clear()


@pytest.mark.parametrize("revision", LEGACY)
def test_the_handshake(everything, revision):
    with connected(everything, revision) as pipe:
        assert pipe.refusal("tools/list") == -32600
        assert pipe.ask("ping") == {}
        pipe.open()
        assert pipe.refusal("initialize", protocolVersion=revision, capabilities={}, clientInfo=ME) == -32600
        assert pipe.ask("ping") == {}


@pytest.mark.parametrize("asked", ["2026-07-28", "1.0", "2024-10-07"])
def test_a_handshake_for_what_has_none(everything, asked):
    with connected(everything, "2025-11-25") as pipe:
        result = pipe.ask("initialize", protocolVersion=asked, capabilities={}, clientInfo=ME)
        assert result["protocolVersion"] == "2025-11-25"


@pytest.mark.parametrize("revision", [LATEST])
def test_an_envelope_that_is_not_right(pipe):
    version = "io.modelcontextprotocol/protocolVersion"
    answer = pipe.answer_to(pipe.request("tools/list", meta={version: "1900-01-01"}))
    assert answer["error"]["code"] == -32022
    assert answer["error"]["data"] == {"requested": "1900-01-01", "supported": [LATEST]}
    for key in pipe.envelope:
        request = pipe.request("tools/list")
        del request["params"]["_meta"][key]
        answer = pipe.answer_to(request)
        # The client's name is a SHOULD, all else a MUST.
        assert "result" in answer if key.endswith("clientInfo") else answer["error"]["code"] == -32602
    assert pipe.answer_to({"jsonrpc": "2.0", "id": 99, "method": "server/discover"})["error"]["code"] == -32602


@pytest.mark.parametrize("revision", ["2025-03-26"])
def test_a_batch(pipe):
    requests = [
        pipe.request("tools/list"),
        pipe.request("tools/call", name="count", arguments={"to": 2}),
        {"jsonrpc": "1.0"},
    ]
    pipe.say([{"jsonrpc": "2.0", "method": "notifications/unheard_of"}, *requests])
    while isinstance(answers := pipe.read(), dict):
        assert answers["method"] == "notifications/message"
    assert {each["id"] for each in answers} == {requests[0]["id"], requests[1]["id"], None}
    # A batch of notifications has no answer.
    pipe.say([{"jsonrpc": "2.0", "method": "notifications/unheard_of"}])
    assert pipe.ask("ping") == {}
    assert pipe.blunder([]) == -32600


@pytest.mark.parametrize("revision", [each for each in REVISIONS if each != "2025-03-26"])
def test_a_batch_where_there_are_none(pipe):
    assert pipe.blunder([pipe.request("tools/list")]) == -32600


@pytest.mark.parametrize("revision", LEGACY)
def test_changes_in_legacy(changing, revision):
    with connected(changing, revision) as pipe:
        pipe.open()
        pipe.ask("resources/subscribe", uri="counter://value")
        pipe.call("grow")
        pipe.call("touch")
        pipe.ask("resources/unsubscribe", uri="counter://value")
        pipe.call("touch")
        methods = [each["method"] for each in pipe.heard]
        assert methods == ["notifications/tools/list_changed", "notifications/resources/updated"]


def test_changes_in_modern(changing):
    with connected(changing, LATEST) as pipe:
        pipe.call("grow")
        assert pipe.heard == []
        wanted = {"toolsListChanged": True, "resourceSubscriptions": ["counter://value"]}
        first, second, third = (
            pipe.request("subscriptions/listen", notifications=each) for each in (wanted, {}, wanted)
        )
        for each in (first, second, third):
            pipe.say(each)
            acknowledged = pipe.read()
            assert acknowledged["params"]["notifications"] == each["params"]["notifications"]
            assert acknowledged["params"]["_meta"][SUBSCRIPTION] == each["id"]
        pipe.say({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": third["id"]}})
        pipe.call("shrink")
        pipe.call("touch")
        assert [(each["method"], each["params"]["_meta"][SUBSCRIPTION]) for each in pipe.heard] == [
            ("notifications/tools/list_changed", first["id"]),
            ("notifications/resources/updated", first["id"]),
        ]
        left = pipe.hang_up()
        # The clauses on the end of a subscription disagree; we send what either wants (docs/decisions).
        assert [(each.get("id"), each.get("params", {}).get("requestId")) for each in left] == [
            (first["id"], None),
            (None, first["id"]),
            (second["id"], None),
            (None, second["id"]),
        ]
