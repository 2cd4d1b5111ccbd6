"""`ServerConnection`: both eras, the handshake, every refusal, and the property that nothing a peer sends breaks it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.conversations import (
    ENVELOPE,
    code,
    connection,
    decoded,
    initialize,
    legacy,
    message,
    modern,
    ready,
)
from tybalt.errors import InvalidParams, MisuseError, ResourceNotFound, ToolError
from tybalt.outcomes import Cancelled, Err, Ok, Panicked
from tybalt.protocol.actions import Batch, CancelRequest, join_batch
from tybalt.protocol.connection import MAX_BATCH
from tybalt.types import legacy as legacy_types
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.revisions import LEGACY
from tybalt.types.tools import CallToolRequest, CallToolResult, ListToolsRequest

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"


class TestModern:
    def test_a_request_comes_back_as_its_struct(self) -> None:
        request = connection().receive(modern("tools/call", {"name": "add", "arguments": {"a": 1}}))
        assert type(request) is CallToolRequest
        assert (request.id, request.params.name, bytes(request.params.arguments)) == (1, "add", b'{"a":1}')

    def test_discover_is_answered_by_the_core(self) -> None:
        result = decoded(connection(instructions="Be kind.").receive(modern("server/discover")))["result"]
        assert result["resultType"] == "complete"
        assert result["supportedVersions"] == ["2026-07-28"]
        assert result["instructions"] == "Be kind."
        assert result["_meta"]["io.modelcontextprotocol/serverInfo"] == {"name": "test", "version": "1.0"}
        assert result["ttlMs"] == 0 and result["cacheScope"] == "public"

    @pytest.mark.parametrize("method", ["ping", "initialize", "logging/setLevel", "resources/subscribe", "nonsense"])
    def test_methods_of_legacy_do_not_exist(self, method: str) -> None:
        assert code(connection().receive(modern(method))) == -32601

    @pytest.mark.parametrize("missing", [VERSION, CAPABILITIES])
    def test_a_missing_required_field_is_named(self, missing: str) -> None:
        meta = {key: value for key, value in ENVELOPE.items() if key != missing}
        answer = connection().receive(message(id=1, method="tools/list", params={"_meta": meta}))
        assert code(answer) == -32602
        assert missing in decoded(answer)["error"]["message"]

    @pytest.mark.parametrize(
        "meta",
        [
            {VERSION: 5},
            {VERSION: None},
            {CAPABILITIES: []},
            {CAPABILITIES: "all"},
            {"io.modelcontextprotocol/clientInfo": 5},
            {"io.modelcontextprotocol/logLevel": "loud"},
            {"progressToken": 1.5},
        ],
    )
    def test_a_malformed_field_is_invalid_params(self, meta: dict[str, Any]) -> None:
        answer = connection().receive(modern("tools/list", meta=meta))
        assert code(answer) == -32602
        assert "`$.params._meta" in decoded(answer)["error"]["message"]

    @pytest.mark.parametrize("meta", [None, [], "x", {}])
    def test_a_modern_only_server_wants_its_envelope(self, meta: Any) -> None:
        answer = connection(revisions=["2026-07-28"]).receive(
            message(id=1, method="tools/list", params={"_meta": meta})
        )
        assert code(answer) == -32602

    @pytest.mark.parametrize("requested", ["1900-01-01", "2025-11-25", "", "2026-07-28 "])
    def test_another_revision_is_unsupported_and_told_which_are(self, requested: str) -> None:
        answer = decoded(connection().receive(modern("tools/list", meta={VERSION: requested})))
        assert answer["error"] == {
            "code": -32022,
            "message": "Unsupported protocol version",
            "data": {"supported": ["2026-07-28"], "requested": requested},
        }

    def test_a_modern_only_server_names_its_revisions_to_a_legacy_client(self) -> None:
        error = decoded(connection(revisions=["2026-07-28"]).receive(initialize()))["error"]
        assert error["code"] == -32601
        assert "2026-07-28" in error["message"]

    def test_nothing_is_remembered_between_requests(self) -> None:
        served = connection()
        served.receive(modern("tools/list", meta={"io.modelcontextprotocol/clientInfo": {"name": "a", "version": "1"}}))
        info, _ = served.client_of(served.receive(modern("tools/list")))
        assert info is None

    def test_the_client_is_who_the_request_says(self) -> None:
        served = connection()
        meta = {"io.modelcontextprotocol/clientInfo": {"name": "a", "version": "1"}, CAPABILITIES: {"elicitation": {}}}
        info, capabilities = served.client_of(served.receive(modern("tools/list", meta=meta)))
        assert info is not None and info.name == "a"
        assert capabilities.elicits_forms


class TestHandshake:
    @pytest.mark.parametrize("revision", LEGACY)
    def test_a_legacy_revision_is_echoed(self, revision: str) -> None:
        served = connection()
        assert decoded(served.receive(initialize(revision)))["result"]["protocolVersion"] == revision
        assert served.revision == revision

    @pytest.mark.parametrize("revision", ["2026-07-28", "1999-01-01", ""])
    def test_anything_else_is_answered_with_the_latest_legacy_revision(self, revision: str) -> None:
        assert decoded(connection().receive(initialize(revision)))["result"]["protocolVersion"] == "2025-11-25"

    def test_the_phases(self) -> None:
        served = connection()
        assert (served.phase, served.is_ready, served.client) == ("new", False, None)
        served.receive(initialize())
        assert (served.phase, served.is_ready) == ("answered", False)
        assert type(served.receive(legacy("tools/list"))) is legacy_types.ListToolsRequest
        assert served.receive(message(method="notifications/initialized")) is None
        assert (served.phase, served.is_ready) == ("ready", True)
        assert served.client is not None and served.client.info.name == "old client"

    def test_initialized_before_initialize_changes_nothing(self) -> None:
        served = connection()
        served.receive(message(method="notifications/initialized"))
        assert served.phase == "new"

    def test_a_second_initialize_is_refused_and_the_connection_stays(self) -> None:
        served = ready()
        assert code(served.receive(initialize("2024-11-05"))) == -32600
        assert (served.phase, served.revision) == ("ready", "2025-11-25")

    def test_a_malformed_initialize_leaves_the_phase(self) -> None:
        served = connection()
        assert code(served.receive(legacy("initialize", {"protocolVersion": "2025-11-25"}))) == -32602
        assert served.phase == "new"
        assert "result" in decoded(served.receive(initialize()))

    def test_a_request_before_initialize_is_told_both_ways_out(self) -> None:
        error = decoded(connection().receive(legacy("tools/list")))["error"]
        assert error["code"] == -32600
        assert "initialize" in error["message"] and VERSION in error["message"]

    def test_ping_is_answered_in_every_phase(self) -> None:
        for served in (connection(), ready()):
            assert decoded(served.receive(legacy("ping", id="p"))) == {"jsonrpc": "2.0", "id": "p", "result": {}}

    @pytest.mark.parametrize("method", ["server/discover", "subscriptions/listen", "nonsense"])
    def test_modern_methods_do_not_exist_in_legacy(self, method: str) -> None:
        assert code(ready().receive(legacy(method, {}))) == -32601

    def test_a_modern_request_is_served_on_a_legacy_connection(self) -> None:
        served = ready()
        request = served.receive(modern("tools/list"))
        assert type(request) is ListToolsRequest
        assert served.revision_of(request) == "2026-07-28"
        assert served.revision_of(served.receive(legacy("tools/list"))) == "2025-11-25"

    def test_a_legacy_only_server_has_no_discover(self) -> None:
        served = connection(revisions=["2025-06-18"])
        assert code(served.receive(modern("server/discover"))) in (-32600, -32601)
        assert decoded(served.receive(initialize("2025-11-25")))["result"]["protocolVersion"] == "2025-06-18"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"{", -32700),
        (b"", -32700),
        (b"{} {}", -32700),
        (b"\xef\xbb\xbf{}", -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","x":NaN}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","ignored":"\xff"}', -32700),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","ignored":"\xed\xa0\x80"}', -32700),
        ("{}".encode("utf-16"), -32700),
        (b"[" * 100_000, -32600),
        (b'{"a":' * 800, -32700),
        (b"null", -32600),
        (b"5", -32600),
        (b'"ping"', -32600),
        (b"[]", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600),
        (b'{"jsonrpc":2.0,"id":1,"method":"ping"}', -32600),
        (b'{"id":1,"method":"ping"}', -32600),
        (b'{"JSONRPC":"2.0","id":1,"METHOD":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":1e400,"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":[],"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600),
        (b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}', -32700),
        (b'{"jsonrpc":"2.0","id":1}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":null}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":["ping"]}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"notifications/initialized"}', -32601),
        (b'{"jsonrpc":"2.0","id":1,"method":"notifications/cancelled","params":{"requestId":1}}', -32601),
    ],
)
def test_bad_messages_get_the_one_right_error(text: bytes, expected: int) -> None:
    for served in (connection(), ready()):
        assert code(served.receive(text)) == expected


@pytest.mark.parametrize("params", [b"[]", b"5", b'"x"', b"null", b"true"])
def test_params_of_the_wrong_kind_are_invalid(params: bytes) -> None:
    answer = ready().receive(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":' + params + b"}")
    assert code(answer) == -32602


@pytest.mark.parametrize(
    "text",
    [
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}',
        b'{"jsonrpc":"2.0","method":"nonsense"}',
        b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled"}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null}}',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"unknown"}}',
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":{}}',
        b'{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}',
    ],
)
def test_what_needs_no_answer_gets_none(text: bytes) -> None:
    for served in (connection(), ready()):
        assert served.receive(text) is None


@pytest.mark.parametrize("id", [0, -1, "", "1", 2**53 + 1, 2**70, "x" * 100_000, "ü\n\u2028"])
def test_an_id_comes_back_as_it_was(id: int | str) -> None:
    answer = decoded(connection().receive(legacy("ping", id=id)))
    assert answer["id"] == id and type(answer["id"]) is type(id)


def test_an_id_is_told_with_every_error_that_could_read_it() -> None:
    assert decoded(connection().receive(b'{"jsonrpc":"1.0","id":7,"method":"ping"}'))["id"] == 7
    assert "id" not in decoded(connection().receive(b"{"))
    assert decoded(ready("2024-11-05").receive(b"{"))["id"] is None


class TestCapabilities:
    @pytest.mark.parametrize("method", ["tools/list", "resources/templates/list", "prompts/list"])
    def test_what_a_server_does_not_have_does_not_exist(self, method: str) -> None:
        assert code(connection(capabilities=ServerCapabilities()).receive(modern(method))) == -32601
        assert code(ready(capabilities=ServerCapabilities()).receive(legacy(method))) == -32601

    def test_a_new_profile_is_obeyed_at_once(self) -> None:
        served = connection(capabilities=ServerCapabilities())
        served.profile = connection().profile
        assert type(served.receive(modern("tools/list"))) is ListToolsRequest


class TestInFlight:
    def test_a_reused_id_is_answered_each_time(self) -> None:
        served = connection()
        first, second = (served.accept(served.receive(modern("tools/list", id=7))) for _ in range(2))
        assert served.in_flight == 2
        assert decoded(second.respond({"tools": []}))["id"] == 7
        assert decoded(first.respond({"tools": []}))["id"] == 7
        assert served.in_flight == 0

    def test_a_cancel_silences_every_request_of_that_id(self) -> None:
        served = connection()
        responders = tuple(served.accept(served.receive(modern("tools/list", id="x"))) for _ in range(2))
        action = served.receive(message(method="notifications/cancelled", params={"requestId": "x", "reason": "bored"}))
        assert isinstance(action, CancelRequest)
        assert (action.responders, action.reason) == (responders, "bored")
        assert [responder.respond({}) for responder in responders] == [None, None]
        assert served.in_flight == 0

    def test_the_integer_and_the_string_are_different_ids(self) -> None:
        served = connection()
        responder = served.accept(served.receive(modern("tools/list", id=1)))
        assert served.receive(message(method="notifications/cancelled", params={"requestId": "1"})) is None
        assert responder.respond({"tools": []}) is not None

    def test_cancel_after_the_answer_and_cancel_twice_are_ignored(self) -> None:
        served = connection()
        served.accept(served.receive(modern("tools/list", id=1))).respond({"tools": []})
        cancel = message(method="notifications/cancelled", params={"requestId": 1})
        assert served.receive(cancel) is None
        served.accept(served.receive(modern("tools/list", id=1)))
        assert isinstance(served.receive(cancel), CancelRequest)
        assert served.receive(cancel) is None

    def test_a_second_answer_is_misuse(self) -> None:
        served = connection()
        responder = served.accept(served.receive(modern("tools/list")))
        responder.respond({"tools": []})
        with pytest.raises(MisuseError, match="answered already"):
            responder.respond({"tools": []})

    def test_a_responder_dropped_unanswered_warns(self) -> None:
        served = connection()
        responder = served.accept(served.receive(modern("tools/list")))
        served.forget(responder)
        with pytest.warns(ResourceWarning, match="dropped unanswered"):
            del responder


class TestResponses:
    def call(self) -> tuple[Any, Any]:
        served = connection()
        return served, served.receive(modern("tools/call", {"name": "x"}))

    def test_text_answers_a_call(self) -> None:
        served, request = self.call()
        assert decoded(served.respond(request, "hi"))["result"]["content"] == [{"type": "text", "text": "hi"}]

    def test_none_is_an_empty_result(self) -> None:
        served = ready()
        assert decoded(served.respond(served.receive(legacy("tools/list")), None))["result"] == {}

    def test_encoded_json_is_sent_as_it_is(self) -> None:
        served, request = self.call()
        assert decoded(served.respond(request, b' {"content":[]} '))["result"]["content"] == []

    def test_a_structs_own_meta_is_kept_beside_the_servers(self) -> None:
        served, request = self.call()
        meta = decoded(served.respond(request, CallToolResult(content=[], meta={"a/b": 1})))["result"]["_meta"]
        assert meta["a/b"] == 1 and "io.modelcontextprotocol/serverInfo" in meta

    @pytest.mark.parametrize("wrap", [lambda error: error, Err, Panicked])
    def test_a_tool_error_is_for_the_model(self, wrap: Any) -> None:
        served, request = self.call()
        result = decoded(served.respond(request, wrap(ToolError("no"))))["result"]
        assert result["isError"] is True and result["content"][0]["text"] == "no"

    def test_a_tool_error_elsewhere_is_internal(self) -> None:
        served = connection()
        answer = served.respond(served.receive(modern("prompts/get", {"name": "x"})), ToolError("no"))
        assert decoded(answer)["error"] == {"code": -32603, "message": "no"}

    def test_a_protocol_error_is_itself(self) -> None:
        served, request = self.call()
        error = decoded(served.respond(request, Err(InvalidParams("what?", data=[1]))))["error"]
        assert error == {"code": -32602, "message": "what?", "data": [1]}

    def test_anything_else_is_masked(self) -> None:
        served, request = self.call()
        error = decoded(served.respond(request, Panicked(ValueError("secret"))))["error"]
        assert error == {"code": -32603, "message": "Internal error"}

    def test_ok_is_unwrapped_and_cancelled_is_503(self) -> None:
        served, request = self.call()
        assert "result" in decoded(served.respond(request, Ok("hi")))
        assert code(served.respond(request, Cancelled("shutting down"))) == 503

    def test_resource_not_found_has_the_code_of_its_era(self) -> None:
        served = ready()
        params = {"uri": "a:b"}
        assert code(served.respond(served.receive(modern("resources/read", params)), ResourceNotFound("a:b"))) == -32602
        assert code(served.respond(served.receive(legacy("resources/read", params)), ResourceNotFound("a:b"))) == -32002


class TestBatches:
    def test_only_2025_03_26_has_them(self) -> None:
        batch = b"[" + legacy("ping") + b"]"
        for served in (connection(), *(ready(revision) for revision in LEGACY if revision != "2025-03-26")):
            assert code(served.receive(batch)) == -32600
        assert isinstance(ready("2025-03-26").receive(batch), Batch)

    def test_elements_come_back_as_their_actions(self) -> None:
        served = ready("2025-03-26")
        batch = (
            b"["
            + b",".join([legacy("ping"), legacy("tools/list", id=2), b'{"jsonrpc":"2.0","method":"x"}', b"5"])
            + b"]"
        )
        action = served.receive(batch)
        assert isinstance(action, Batch)
        pong, request, refusal = (inner for _, inner in action.items)
        assert decoded(pong)["result"] == {}
        assert type(request) is legacy_types.ListToolsRequest
        assert code(refusal) == -32600
        assert len(decoded(join_batch([pong, refusal]))) == 2
        assert join_batch([]) is None

    def test_initialize_inside_is_refused(self) -> None:
        served = ready("2025-03-26")
        action = served.receive(b"[" + initialize() + b"]")
        assert isinstance(action, Batch)
        assert code(action.items[0][1]) == -32600

    @pytest.mark.parametrize("size", [0, MAX_BATCH + 1])
    def test_the_size_is_bounded(self, size: int) -> None:
        assert code(ready("2025-03-26").receive(b"[" + b",".join([legacy("ping")] * size) + b"]")) == -32600

    def test_a_batch_inside_a_batch_is_refused(self) -> None:
        action = ready("2025-03-26").receive(b"[[" + legacy("ping") + b"]]")
        assert isinstance(action, Batch)
        assert code(action.items[0][1]) == -32600


class TestNotifications:
    def test_progress_needs_a_token_and_must_increase(self) -> None:
        served = connection()
        silent = served.accept(served.receive(modern("tools/call", {"name": "x"})))
        assert silent.progress(1) is None
        silent.cancel()
        responder = served.accept(served.receive(modern("tools/call", {"name": "x"}, meta={"progressToken": "t"})))
        first = decoded(responder.progress(1, 10, "one"))
        assert first["params"] == {"progressToken": "t", "progress": 1, "total": 10, "message": "one"}
        assert responder.progress(1) is None and responder.progress(0.5) is None
        assert responder.progress(1.5) is not None
        responder.respond("done")
        assert responder.progress(2) is None

    def test_the_oldest_revision_has_no_progress_message(self) -> None:
        served = ready("2024-11-05")
        call = legacy("tools/call", {"name": "x", "_meta": {"progressToken": 1}})
        responder = served.accept(served.receive(call))
        assert "message" not in decoded(responder.progress(1, message="one"))["params"]
        responder.cancel()

    def test_modern_logs_only_where_the_request_asks(self) -> None:
        served = connection()
        silent = served.receive(modern("tools/call", {"name": "x"}))
        assert served.log(silent, "emergency", "x") is None
        meta = {"io.modelcontextprotocol/logLevel": "warning"}
        loud = served.receive(modern("tools/call", {"name": "x"}, meta=meta))
        assert served.log(loud, "notice", "x") is None
        params = decoded(served.log(loud, "error", {"a": None}, "db"))["params"]
        assert params == {"level": "error", "logger": "db", "data": {"a": None}}

    def test_legacy_logs_from_the_level_that_was_set(self) -> None:
        served = ready()
        request = served.receive(legacy("tools/call", {"name": "x"}))
        assert served.log(request, "debug", "x") is None
        assert served.log(request, "info", "x") is not None
        assert decoded(served.receive(legacy("logging/setLevel", {"level": "critical"})))["result"] == {}
        assert served.log(request, "error", "x") is None
        assert code(served.receive(legacy("logging/setLevel", {"level": "loud"}))) == -32602


class TestSubscriptions:
    def listen(self, served: Any, id: Any = 1, **wanted: Any) -> dict[str, Any]:
        return decoded(served.receive(modern("subscriptions/listen", {"notifications": wanted}, id=id)))

    def test_it_is_acknowledged_with_what_is_honoured(self) -> None:
        served = connection(capabilities=ServerCapabilities(tools={"listChanged": True}))
        acknowledged = self.listen(
            served, "s", toolsListChanged=True, promptsListChanged=True, resourceSubscriptions=["a:b"]
        )
        assert acknowledged == {
            "jsonrpc": "2.0",
            "method": "notifications/subscriptions/acknowledged",
            "params": {
                "_meta": {"io.modelcontextprotocol/subscriptionId": "s"},
                "notifications": {"toolsListChanged": True},
            },
        }

    def test_only_what_was_asked_for_is_sent_and_tagged(self) -> None:
        served = connection()
        self.listen(served, 1, toolsListChanged=True)
        self.listen(served, 2, resourceSubscriptions=["a:b"])
        (changed,) = map(decoded, served.list_changed("tools"))
        assert changed["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": 1}
        assert served.list_changed("prompts") == []
        (updated,) = map(decoded, served.resource_updated("a:b"))
        assert updated["params"] == {"_meta": {"io.modelcontextprotocol/subscriptionId": 2}, "uri": "a:b"}
        assert served.resource_updated("a:c") == []

    def test_a_cancel_ends_it_silently(self) -> None:
        served = connection()
        self.listen(served, 1, toolsListChanged=True)
        assert served.receive(message(method="notifications/cancelled", params={"requestId": 1})) is None
        assert served.list_changed("tools") == []
        assert served.end_subscriptions() == []

    def test_the_server_ends_it_with_a_result_and_a_cancel(self) -> None:
        served = connection()
        self.listen(served, "s", toolsListChanged=True)
        result, cancelled = map(decoded, served.end_subscriptions())
        assert result["id"] == "s" and result["result"]["resultType"] == "complete"
        assert result["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "s"
        assert cancelled["method"] == "notifications/cancelled" and cancelled["params"] == {"requestId": "s"}
        assert served.list_changed("tools") == []

    def test_they_are_bounded(self) -> None:
        served = connection()
        uris = [f"a:{number}" for number in range(1_001)]
        assert self.listen(served, resourceSubscriptions=uris)["error"]["code"] == -32602
        for number in range(64):
            assert "method" in self.listen(served, number, toolsListChanged=True)
        assert self.listen(served, 64, toolsListChanged=True)["error"]["code"] == -32602

    def test_legacy_clients_subscribe_to_single_resources(self) -> None:
        served = ready()
        assert decoded(served.receive(legacy("resources/subscribe", {"uri": "a:b"})))["result"] == {}
        assert decoded(served.resource_updated("a:b")[0])["params"] == {"uri": "a:b"}
        assert decoded(served.receive(legacy("resources/unsubscribe", {"uri": "a:b"})))["result"] == {}
        assert served.resource_updated("a:b") == []

    def test_legacy_clients_hear_of_lists_once_ready(self) -> None:
        served = connection()
        assert served.list_changed("tools") == []
        served.receive(initialize())
        assert served.list_changed("tools") == []
        served.receive(message(method="notifications/initialized"))
        assert decoded(served.list_changed("tools")[0])["method"] == "notifications/tools/list_changed"

    def test_legacy_watching_is_bounded(self) -> None:
        served = ready()
        for number in range(1_000):
            served.receive(legacy("resources/subscribe", {"uri": f"a:{number}"}))
        assert code(served.receive(legacy("resources/subscribe", {"uri": "b:1"}))) == -32602
        assert "result" in decoded(served.receive(legacy("resources/subscribe", {"uri": "a:1"})))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
methods = st.sampled_from(
    [
        "tools/call",
        "tools/list",
        "initialize",
        "ping",
        "server/discover",
        "subscriptions/listen",
        "notifications/cancelled",
    ]
)
near_messages = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | json_values,
        "id": st.integers() | st.text(max_size=5) | json_values,
        "method": methods | json_values,
        "params": st.fixed_dictionaries({}, optional={"_meta": st.just(ENVELOPE) | json_values, "name": json_values})
        | json_values,
        "result": json_values,
        "error": json_values,
    },
).map(msgspec.json.encode)


@given(st.lists(st.binary(max_size=60) | near_messages, max_size=8), st.sampled_from([None, *LEGACY]))
def test_nothing_a_peer_sends_breaks_a_connection(messages: list[bytes], revision: str | None) -> None:
    """Every answer is one JSON object with an error or a result, and what was in flight stays in flight."""
    served = connection() if revision is None else ready(revision)
    kept = served.accept(served.receive(modern("tools/list", id="kept-in-flight")))
    for text in messages:
        action = served.receive(text)
        if type(action) is bytes:
            answer = msgspec.json.decode(action)
            assert isinstance(answer, dict) and ("error" in answer or "result" in answer or "method" in answer)
            assert b"\n" not in action
    assert served.in_flight == 1
    assert decoded(kept.respond({"tools": []}))["id"] == "kept-in-flight"
