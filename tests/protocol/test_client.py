"""`ClientConnection`: what it sends in each era, and what it makes of anything a server may send."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import BackendError, McpError, MethodNotFound, ResourceNotFound
from tybalt.protocol.client import (
    MAX_QUESTIONS,
    Answered,
    Asked,
    ClientConnection,
    Failed,
    Notified,
    Questioned,
    Several,
    Spoiled,
    Unreadable,
    Withdrawn,
)
from tybalt.protocol.frames import NewlineFrames, Oversized
from tybalt.types.capabilities import (
    ClientCapabilities,
    ElicitationCapability,
    RootsCapability,
    SamplingCapability,
)
from tybalt.types.content import AudioContent
from tybalt.types.elicitation import ElicitRequestParams, ElicitResult
from tybalt.types.implementation import Implementation
from tybalt.types.revisions import LATEST_MODERN, LEGACY, REVISIONS
from tybalt.types.roots import ListRootsResult, Root
from tybalt.types.sampling import CreateMessageResult

VERSION = "io.modelcontextprotocol/protocolVersion"
UNASKED = [b'{"jsonrpc":"2.0","id":99,"result":{}}', b'{"jsonrpc":"2.0","id":99,"error":{"code":1,"message":"x"}}']


ABLE = ClientCapabilities(
    elicitation=ElicitationCapability(form={}, url={}), sampling=SamplingCapability(tools={}), roots=RootsCapability()
)
FORM = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}


def client(revision: str = LATEST_MODERN, capabilities: ClientCapabilities | None = None) -> ClientConnection:
    made = ClientConnection(Implementation(name="c", version="1"), capabilities)
    made.adopt(revision)
    return made


def waiting(revision: str = LATEST_MODERN) -> ClientConnection:
    """A client whose request 1 has no answer yet."""
    made = client(revision)
    made.request("tools/list")
    return made


class TestRequests:
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize("params", [None, {}, {"name": "é"}, {"_meta": {"progressToken": 1, VERSION: "mine"}}])
    def test_the_envelope_is_there_in_modern_and_nowhere_else(self, revision: str, params: Any) -> None:
        identifier, text = client(revision).request("x/y", params)
        message = msgspec.json.decode(text)
        assert (message["jsonrpc"], message["id"], message["method"]) == ("2.0", identifier, "x/y") == ("2.0", 1, "x/y")
        meta = message["params"].pop("_meta", {})
        assert message["params"] == {key: value for key, value in (params or {}).items() if key != "_meta"}
        if revision == LATEST_MODERN:
            assert meta[VERSION] == LATEST_MODERN
            assert meta["io.modelcontextprotocol/clientInfo"] == {"name": "c", "version": "1"}
            assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
        assert meta.get("progressToken") == (params or {}).get("_meta", {}).get("progressToken")

    def test_ids_count_up_and_wait(self) -> None:
        made = client()
        assert [made.next_id, made.request("a")[0], made.request("b")[0], made.next_id] == [1, 1, 2, 3]
        assert made.waiting == {1, 2}

    def test_params_that_have_no_json_leave_nothing_behind(self) -> None:
        made = client()
        with pytest.raises(TypeError):
            made.request("a", {"x": object()})
        assert (made.waiting, made.next_id) == (set(), 1)

    def test_many_methods_do_not_fill_the_memory(self) -> None:
        made = client()
        for number in range(200):
            assert msgspec.json.decode(made.request(f"m{number}")[1])["method"] == f"m{number}"
        assert len(made._heads) <= 64


class TestAnswers:
    def test_a_result_answers_once(self) -> None:
        made = waiting()
        answer = made.receive(b'{"jsonrpc":"2.0","id":1,"result":{"a":1}}')
        assert isinstance(answer, Answered) and bytes(answer.result) == b'{"a":1}'
        assert made.receive(b'{"jsonrpc":"2.0","id":1,"result":{"a":1}}') is None

    @pytest.mark.parametrize(("code", "kind"), [(-32601, MethodNotFound), (-32002, ResourceNotFound)])
    def test_an_error_is_the_class_of_its_code(self, code: int, kind: type) -> None:
        text = b'{"jsonrpc":"2.0","id":1,"error":{"code":%d,"message":"no","data":[1]}}' % code
        failed = waiting().receive(text)
        assert isinstance(failed, Failed) and type(failed.error) is kind
        assert (failed.error.code, failed.error.message, failed.error.data) == (code, "no", [1])

    def test_an_error_without_an_id_is_told_as_one(self) -> None:
        for identity in (b"", b'"id":null,'):
            made = waiting()
            failed = made.receive(b'{"jsonrpc":"2.0",' + identity + b'"error":{"code":-32700,"message":"x"}}')
            assert isinstance(failed, Failed) and failed.id is None and made.waiting == {1}

    @pytest.mark.parametrize("text", UNASKED)
    def test_what_nobody_asked_for_is_nothing(self, text: bytes) -> None:
        made = waiting()
        assert made.receive(text) is None and made.waiting == {1}

    @pytest.mark.parametrize(
        "text",
        [
            b'{"jsonrpc":"2.0","id":1,"error":"boom"}',
            b'{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":"y"}}',
            b'{"jsonrpc":"2.0","id":1,"error":{"code":1.5}}',
            b'{"jsonrpc":"2.0","id":1}',
            b'{"jsonrpc":"2.0","id":1,"result":{"a":"' + b"x" * 2_000 + b'","b":[' + b"{}," * 100_000 + b"{}]}}",
            b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 300 + b"]" * 300 + b" " * 1_024 + b"}",
        ],
        ids=["no object", "code is text", "code is no integer", "neither", "too many containers", "too deep"],
    )
    def test_what_cannot_be_read_fails_who_waits_for_it(self, text: bytes) -> None:
        made = waiting()
        failed = made.receive(text)
        assert isinstance(failed, Spoiled) and failed.id == 1 and failed.reason
        assert not made.waiting

    @pytest.mark.parametrize("id", [b"1", b'"one"'])
    def test_a_line_that_is_too_large_fails_who_waits_for_it(self, id: bytes) -> None:
        made = waiting()
        made.waiting.add("one")
        text = b'{"jsonrpc":"2.0","id":' + id + b',"result":{"a":"' + b"x" * 500 + b'"}}\n'
        for cut in (1, 100, 300, len(text)):
            (found, *_) = NewlineFrames(limit=200).feed(text[:cut]) or [None]
            assert found is None or isinstance(found, Oversized)
        frames = NewlineFrames(limit=200)
        (oversized,) = frames.feed(text[:150]) + frames.feed(text[150:])
        failed = made.receive(oversized)
        assert isinstance(failed, Spoiled) and failed.id in (1, "one") and "200 bytes" in failed.reason

    @pytest.mark.parametrize(
        "text",
        [
            b'{"jsonrpc":"2.0","id":1,"method":5}',
            b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{"a":"\xff"}}',
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
            b'{"jsonrpc":"2.0","method":"x","id":1,"params":[' + b"{}," * 100_001 + b"{}]}",
        ],
        ids=["no text", "no UTF-8", "too deep", "too many containers"],
    )
    def test_a_servers_own_request_fails_none_of_ours(self, text: bytes) -> None:
        """Legacy servers number their requests from small integers, too."""
        made = waiting("2025-11-25")
        assert isinstance(made.receive(text), Unreadable) and made.waiting == {1}
        (oversized,) = NewlineFrames(limit=30).feed(text[:200] + b"\n")
        assert isinstance(made.receive(oversized), Unreadable) and made.waiting == {1}

    def test_a_line_that_is_too_large_and_nameless_fails_nobody(self) -> None:
        made = waiting()
        assert isinstance(made.receive(Oversized(10, 5)), Unreadable)
        assert made.waiting == {1}


class TestCalls:
    def test_a_notification(self) -> None:
        event = client().receive(b'{"jsonrpc":"2.0","method":"notifications/x","params":{"a":1}}')
        assert isinstance(event, Notified) and (event.method, bytes(event.params)) == ("notifications/x", b'{"a":1}')

    def test_a_legacy_server_may_ask(self) -> None:
        made = client("2025-11-25")
        ping = made.receive(b'{"jsonrpc":"2.0","id":"p","method":"ping"}')
        assert isinstance(ping, Asked) and msgspec.json.decode(ping.reply) == {
            "jsonrpc": "2.0",
            "id": "p",
            "result": {},
        }
        other = made.receive(b'{"jsonrpc":"2.0","id":1,"method":"sampling/createMessage","params":{}}')
        assert isinstance(other, Asked) and msgspec.json.decode(other.reply)["error"]["code"] == -32601

    def test_a_modern_server_may_not_and_is_not_answered(self) -> None:
        """A client "MUST NOT write JSON-RPC responses" (2026-07-28 basic/transports/stdio)."""
        assert isinstance(client().receive(b'{"jsonrpc":"2.0","id":1,"method":"ping"}'), Unreadable)

    def test_a_cancel_waits_no_longer(self) -> None:
        made = waiting()
        message = msgspec.json.decode(made.cancel(1, "bored"))
        assert message["params"] == {"requestId": 1, "reason": "bored"} and not made.waiting
        assert made.receive(b'{"jsonrpc":"2.0","id":1,"result":{}}') is None


def asks(id: Any, method: str = "elicitation/create", params: Any = FORM) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": id, "method": method, "params": params})


def withdraws(id: Any, **more: Any) -> bytes:
    params = {"requestId": id, **more}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


class TestQuestions:
    @pytest.mark.parametrize(
        ("revision", "declared"),
        [
            ("2024-11-05", {"sampling": {}, "roots": {}}),
            ("2025-03-26", {"sampling": {}, "roots": {}}),
            ("2025-06-18", {"sampling": {}, "roots": {}, "elicitation": {}}),
            ("2025-11-25", {"sampling": {"tools": {}}, "roots": {}, "elicitation": {"form": {}, "url": {}}}),
        ],
    )
    def test_a_revision_declares_what_it_has(self, revision: str, declared: Any) -> None:
        made = client(revision, ABLE)
        assert made.initialize_params()["capabilities"] == declared
        asked = made.receive(asks(1))
        assert isinstance(asked, Questioned if "elicitation" in declared else Asked)
        url = {"mode": "url", "message": "x", "url": "https://x.example", "elicitationId": "1"}
        asked = made.receive(asks(2, params=url))
        assert isinstance(asked, Questioned if revision == "2025-11-25" else Asked)

    def test_modern_declares_in_every_request(self) -> None:
        meta = msgspec.json.decode(client(capabilities=ABLE).request("tools/list")[1])["params"]["_meta"]
        assert meta["io.modelcontextprotocol/clientCapabilities"] == {
            "sampling": {"tools": {}},
            "roots": {},
            "elicitation": {"form": {}, "url": {}},
        }

    @pytest.mark.parametrize("id", [1, "1", -5, ""])
    def test_a_question_is_answered_once(self, id: Any) -> None:
        made = client("2025-11-25", ABLE)
        asked = made.receive(asks(id))
        assert isinstance(asked, Questioned) and asked.id == id and isinstance(asked.question, ElicitRequestParams)
        assert asked.question.message == "Who?" and made.asked == {id}
        answer = made.answer(id, ElicitResult(action="accept", content={"name": "Ada"}))
        assert answer is not None and msgspec.json.decode(answer) == {
            "jsonrpc": "2.0",
            "id": id,
            "result": {"action": "accept", "content": {"name": "Ada"}},
        }
        assert made.answer(id, ElicitResult(action="cancel")) is None and not made.asked

    def test_roots_need_no_params(self) -> None:
        made = client("2024-11-05", ABLE)
        made.receive(b'{"jsonrpc":"2.0","id":1,"method":"roots/list"}')
        answer = made.answer(1, ListRootsResult(roots=[Root(uri="file:///a")]))
        assert answer is not None and msgspec.json.decode(answer)["result"] == {"roots": [{"uri": "file:///a"}]}

    def test_an_error_is_an_answer_too_and_keeps_its_secrets(self) -> None:
        made = client("2025-11-25", ABLE)
        for number, error, told in (
            (1, McpError("no", code=-1, data=[1]), {"code": -1, "message": "no", "data": [1]}),
            (2, BackendError("db-7 is down", service="database"), {"code": -32603, "message": "Database error"}),
        ):
            made.receive(asks(number))
            answer = made.answer(number, error)
            assert answer is not None and msgspec.json.decode(answer) == {"jsonrpc": "2.0", "id": number, "error": told}

    def test_what_a_revision_cannot_say_is_raised_and_still_waits(self) -> None:
        made = client("2024-11-05", ABLE)
        params = {"messages": [], "maxTokens": 1}
        made.receive(asks(1, "sampling/createMessage", params))
        audio = AudioContent(data="AAAA", mime_type="audio/wav")
        with pytest.raises(ValueError, match="no audio in sampling"):
            made.answer(1, CreateMessageResult(role="assistant", content=audio, model="m"))
        assert made.answer(1, McpError("no")) is not None and not made.asked

    @pytest.mark.parametrize("method", ["elicitation/create", "sampling/createMessage", "roots/list", "tasks/list"])
    def test_what_is_malformed_or_not_declared_is_refused_at_once(self, method: str) -> None:
        for made, code in ((client("2025-11-25", ABLE), -32602), (client("2025-11-25"), -32601)):
            refused = made.receive(asks(5, method, [5]))
            assert isinstance(refused, Asked) and not made.asked
            answer = msgspec.json.decode(refused.reply)
            assert (answer["id"], answer["error"]["code"]) == (5, -32601 if method == "tasks/list" else code)

    def test_a_question_may_be_withdrawn(self) -> None:
        made = client("2025-11-25", ABLE)
        made.receive(asks(1))
        for nothing in (withdraws(2), withdraws([1]), withdraws("1")):
            assert isinstance(made.receive(nothing), Notified) and made.asked == {1}
        assert made.receive(withdraws(1, reason="too slow")) == Withdrawn(1, "too slow")
        assert made.answer(1, ElicitResult(action="cancel")) is None
        assert isinstance(made.receive(withdraws(1)), Notified), "nothing waits any more"

    def test_an_id_that_is_taken_is_refused(self) -> None:
        """An id "MUST NOT have been previously used by the requestor" (2025-11-25 basic/index, "Requests")."""
        made = client("2025-11-25", ABLE)
        made.receive(asks(1))
        refused = made.receive(asks(1))
        assert isinstance(refused, Asked) and msgspec.json.decode(refused.reply)["error"]["code"] == -32600
        assert made.answer(1, ElicitResult(action="cancel")) is not None
        assert isinstance(made.receive(asks(1)), Questioned)

    def test_a_flood_of_questions_is_refused_and_fills_no_memory(self) -> None:
        made = client("2025-11-25", ABLE)
        events = [made.receive(asks(number)) for number in range(MAX_QUESTIONS + 50)]
        refused = [each for each in events if isinstance(each, Asked)]
        assert len(made.asked) == MAX_QUESTIONS and len(refused) == 50
        assert {msgspec.json.decode(each.reply)["error"]["code"] for each in refused} == {503}
        made.answer(7, ElicitResult(action="cancel"))
        assert isinstance(made.receive(asks("one more")), Questioned)

    def test_a_modern_server_asks_nothing_this_way(self) -> None:
        made = client(LATEST_MODERN, ABLE)
        assert isinstance(made.receive(asks(1)), Unreadable) and not made.asked


class TestBatches:
    BATCH = (
        b'[{"jsonrpc":"2.0","id":1,"result":{}},{"jsonrpc":"2.0","method":"n"},{"jsonrpc":"2.0","id":9,"result":{}}]'
    )

    def test_a_server_of_2025_03_26_may_answer_in_one(self) -> None:
        """Implementations "MUST support receiving JSON-RPC batches" (2025-03-26 basic/index, "Batching")."""
        made = waiting("2025-03-26")
        event = made.receive(self.BATCH)
        assert isinstance(event, Several) and not made.waiting
        assert [type(each) for each in event.events] == [Answered, Notified, type(None)]

    @pytest.mark.parametrize("text", [b"[]", b"[" + b"1," * 200 + b"1]", b"[1"])
    def test_one_that_is_none_is_ignored(self, text: bytes) -> None:
        assert isinstance(waiting("2025-03-26").receive(text), Unreadable)

    @pytest.mark.parametrize("revision", [each for each in REVISIONS if each != "2025-03-26"])
    def test_no_other_revision_has_them(self, revision: str) -> None:
        made = waiting(revision)
        assert isinstance(made.receive(self.BATCH), Unreadable) and made.waiting == {1}


@given(st.lists(st.sampled_from([asks(1), asks(2), withdraws(1), withdraws(2), b"answer 1", b"answer 2"]), max_size=12))
def test_every_question_gets_one_answer_or_is_withdrawn(steps: list[bytes]) -> None:
    made = client(LEGACY[-1], ABLE)
    open_questions: set[Any] = set()
    for step in steps:
        if step.startswith(b"answer"):
            number = int(step[-1:])
            answer = made.answer(number, ElicitResult(action="decline"))
            assert (answer is not None) == (number in open_questions)
            open_questions.discard(number)
            continue
        match made.receive(step):
            case Questioned(id=id):
                assert id not in open_questions
                open_questions.add(id)
            case Withdrawn(id=id):
                open_questions.remove(id)
            case _:
                pass
        assert made.asked == open_questions


@given(st.binary(max_size=80) | st.sampled_from(UNASKED), st.sampled_from(REVISIONS))
def test_nothing_a_server_sends_raises_or_answers_another(message: bytes, revision: str) -> None:
    made = waiting(revision)
    made.receive(message)
    assert made.waiting == {1}


@pytest.mark.parametrize("method", ["server/discover", "initialize"])
@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
def test_who_sends_our_own_opening_back_is_no_server(method: str, revision: str) -> None:
    client = ClientConnection(Implementation(name="c", version="1"))
    client.adopt(revision)
    identifier, message = client.request(method, {})
    spoiled = client.receive(message)
    assert isinstance(spoiled, Spoiled) and spoiled.id == identifier
    assert spoiled.reason == f"the answer to {method} is that request itself: it is sent back as an echo"
    assert not client.waiting
