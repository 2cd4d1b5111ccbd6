"""`ServerConnection`: both eras, the handshake, every refusal, and the property that nothing a peer sends breaks it."""

from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

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
from tests.types.published import validator
from tybalt.errors import (
    HeaderMismatch,
    InvalidArguments,
    InvalidParams,
    InvalidRequest,
    McpError,
    MethodNotFound,
    MissingClientCapability,
    MisuseError,
    ResourceNotFound,
    ToolError,
    UnsupportedRevision,
)
from tybalt.outcomes import Cancelled, Err, Ok, Panicked
from tybalt.protocol.actions import Batch, CancelRequest, Ignored, Reply, join_batch
from tybalt.protocol.codec import MAX_BATCH
from tybalt.protocol.connection import SAYS_WHO
from tybalt.protocol.frames import Oversized
from tybalt.reasons import CancelKind, CancelReason
from tybalt.types import legacy as legacy_types
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.elicitation import ElicitRequest, ElicitRequestFormParams, ElicitRequestURLParams
from tybalt.types.input_required import InputRequiredResult
from tybalt.types.revisions import LEGACY
from tybalt.types.roots import ListRootsRequest
from tybalt.types.sampling import CreateMessageRequest, CreateMessageRequestParams
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

    @pytest.mark.parametrize("method", ["ping", "logging/setLevel", "resources/subscribe", "nonsense"])
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
        (b'{"a":' * 800, -32600),
        (b"[garbage", -32700),
        (b"[", -32700),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}', -32700),
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


@pytest.mark.parametrize(
    "text",
    [
        b'{"jsonrpc":"2.0","id":1,"result":{}}',
        b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}',
        b'{"jsonrpc":"2.0","id":1.5,"result":null}',
        b'{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"}}',
        b'{"id":1,"result":{}}',
    ],
)
def test_a_response_to_nothing_is_never_answered(text: bytes) -> None:
    """Two peers that answer each other's errors would go on for ever."""
    for served in (connection(), ready()):
        assert isinstance(served.receive(text), Ignored)


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
        kept = served.accept(served.receive(modern("tools/list", id=1)))
        action = served.receive(cancel)
        assert isinstance(action, CancelRequest) and action.responders == (kept,)
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
        assert served.in_flight == 1
        with pytest.warns(ResourceWarning, match="dropped unanswered"):
            del responder
        assert served.in_flight == 0

    def test_a_value_that_cannot_be_sent_leaves_the_right_to_answer(self) -> None:
        served = connection()
        for value in (5, [1], ["ab"], b"null", b"[1]", b"{", msgspec.Raw(b'"x"'), CallToolResult(content=[object()])):  # pyright: ignore[reportArgumentType]
            responder = served.accept(served.receive(modern("prompts/get", {"name": "x"})))
            with pytest.raises((MisuseError, TypeError)):
                responder.respond(value)
            assert served.in_flight == 1
            assert code(responder.rpc_error(InvalidParams("so be it"))) == -32602

    def test_many_requests_under_one_id_cost_no_more_than_under_many(self) -> None:
        """Counted in steps of a dict, not of a list: answering the newest first looks at none of the others."""
        served = connection()
        responders = [served.accept(served.receive(modern("tools/list", id="same"))) for _ in range(2_000)]
        for responder in reversed(responders):
            assert responder.respond({"tools": []}) is not None
        assert served.in_flight == 0


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

    def test_anything_else_is_masked_under_its_reference(self) -> None:
        served, request = self.call()
        result = decoded(served.respond(request, Panicked(ValueError("secret")), masked="Ask for abc"))["result"]
        assert result["isError"] is True and "abc" in result["content"][0]["text"]
        assert "secret" not in str(result)
        elsewhere = served.receive(modern("prompts/get", {"name": "x"}))
        assert decoded(served.respond(elsewhere, ValueError("secret")))["error"] == {
            "code": -32603,
            "message": "Internal error",
        }

    @pytest.mark.parametrize("revision", [*LEGACY, None])
    def test_arguments_that_do_not_fit_are_for_the_model_from_2025_11_25_on(self, revision: str | None) -> None:
        served = connection() if revision is None else ready(revision)
        request = served.receive((legacy if revision else modern)("tools/call", {"name": "x"}))
        answer = decoded(served.respond(request, InvalidArguments("x", "$.a: missing")))
        if revision is None or revision >= "2025-11-25":
            assert answer["result"]["isError"] and answer["result"]["content"][0]["text"] == "$.a: missing"
        else:
            assert answer["error"] == {"code": -32602, "message": "x: $.a: missing"}

    @pytest.mark.parametrize(
        "error", [ResourceNotFound("a:b"), McpError.received(-32002, "gone"), McpError("x", code=-32002)]
    )
    def test_the_code_of_legacy_for_a_missing_resource_never_goes_out_in_modern(self, error: McpError) -> None:
        served, request = self.call()
        assert code(served.respond(request, error)) == -32602

    def test_the_codes_of_modern_never_go_out_in_legacy(self) -> None:
        served = ready()
        for error in (HeaderMismatch("x"), MissingClientCapability({"roots": {}}), UnsupportedRevision("x", [])):
            assert code(served.respond(served.receive(legacy("tools/list")), error)) == -32600

    def test_ok_is_unwrapped_and_cancelled_is_503(self) -> None:
        served, request = self.call()
        assert "result" in decoded(served.respond(request, Ok("hi")))
        assert code(served.respond(request, Cancelled(CancelReason(CancelKind.SHUTDOWN)))) == 503

    def test_a_limit_is_told_to_the_model_and_elsewhere_with_its_code(self) -> None:
        served, request = self.call()
        elsewhere = served.receive(modern("prompts/get", {"name": "x"}))
        for kind in (CancelKind.TIMEOUT, CancelKind.DEADLINE, CancelKind.POLL_QUOTA, CancelKind.COST_QUOTA):
            cancelled = Cancelled(CancelReason(kind, "30 s"))
            result = decoded(served.respond(request, cancelled))["result"]
            assert result["isError"] and result["content"][0]["text"] == "30 s"
            bare = decoded(served.respond(request, Cancelled(CancelReason(kind))))["result"]
            assert kind.value in bare["content"][0]["text"]
            assert code(served.respond(elsewhere, cancelled)) == 408

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
        for inside in (initialize(), legacy("initialize", {})):
            action = served.receive(b"[" + inside + b"]")
            assert isinstance(action, Batch)
            ((_, refusal),) = action.items
            assert code(refusal) == -32600

    def test_what_is_modern_is_refused_inside(self) -> None:
        """An acknowledgment would arrive in an array, behind what it has to come before."""
        served = ready("2025-03-26")
        for request in (modern("subscriptions/listen", {"notifications": {}}, id=5), modern("tools/list", id=5)):
            ((_, refusal),) = served.receive(b"[" + request + b"]").items
            assert code(refusal) == -32600 and decoded(refusal)["id"] == 5
        assert served.end_subscriptions() == []

    def test_a_cancel_finds_a_request_of_the_same_batch(self) -> None:
        served = ready("2025-03-26")
        cancel = message(method="notifications/cancelled", params={"requestId": 2})
        batch = served.receive(b"[" + legacy("tools/list", id=2) + b"," + cancel + b"]")
        accepted = None
        for _, action in batch.items:
            if isinstance(action, CancelRequest):
                assert action.responders == (accepted,)
                break
            accepted = served.accept(action)
        else:
            raise AssertionError("the cancel found nothing")

    @pytest.mark.parametrize("size", [0, MAX_BATCH + 1])
    def test_the_size_is_bounded(self, size: int) -> None:
        assert code(ready("2025-03-26").receive(b"[" + b",".join([legacy("ping")] * size) + b"]")) == -32600

    def test_a_batch_inside_a_batch_is_refused(self) -> None:
        ((_, refusal),) = ready("2025-03-26").receive(b"[[" + legacy("ping") + b"]]").items
        assert code(refusal) == -32600


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


class TestEras:
    """Which era a request belongs to (docs/decisions/0002)."""

    @pytest.mark.parametrize(
        "meta", [{VERSION: None}, {CAPABILITIES: {}}, {"io.modelcontextprotocol/logLevel": "info"}]
    )
    def test_any_member_of_the_envelope_means_modern_after_a_handshake_too(self, meta: dict[str, Any]) -> None:
        for served in (connection(), ready()):
            assert code(served.receive(message(id=1, method="tools/list", params={"_meta": meta}))) == -32602

    @pytest.mark.parametrize("key", ["io.modelcontextprotocol/related-task", "dev.example/x", "progressToken"])
    def test_other_keys_mean_nothing(self, key: str) -> None:
        served = ready()
        params = {"level": "loud", "_meta": {key: "t"}}
        assert code(served.receive(legacy("logging/setLevel", params))) == -32602
        assert decoded(served.receive(legacy("logging/setLevel", {**params, "level": "info"})))["result"] == {}

    def test_initialize_selects_legacy_whatever_it_carries(self) -> None:
        served = connection()
        hello = msgspec.json.decode(initialize("2025-06-18"))
        hello["params"]["_meta"] = {**ENVELOPE, "dev.example/x": 1}
        assert decoded(served.receive(msgspec.json.encode(hello)))["result"]["protocolVersion"] == "2025-06-18"

    def test_a_server_of_legacy_only_ignores_the_envelope(self) -> None:
        served = ready("2025-06-18", revisions=["2025-06-18"])
        request = served.receive(modern("tools/call", {"name": "x", "arguments": {"a": 1}}))
        assert type(request) is legacy_types.CallToolRequest and bytes(request.params.arguments) == b'{"a":1}'

    @pytest.mark.parametrize("params", [{"protocolVersion": 5}, {}])
    def test_a_second_initialize_is_refused_even_when_malformed(self, params: dict[str, Any]) -> None:
        assert code(ready().receive(legacy("initialize", params))) == -32600

    def test_a_method_that_is_not_offered_does_not_exist_even_when_malformed(self) -> None:
        served = connection(capabilities=ServerCapabilities())
        assert code(served.receive(modern("tools/call"))) == -32601
        assert code(ready(capabilities=ServerCapabilities()).receive(legacy("resources/unsubscribe", {}))) == -32601

    def test_unsubscribing_needs_what_subscribing_needs(self) -> None:
        served = ready(capabilities=ServerCapabilities(resources={}))
        for method in ("resources/subscribe", "resources/unsubscribe"):
            assert code(served.receive(legacy(method, {"uri": "a:b"}))) == -32601

    def test_a_member_nobody_knows_does_not_silence_a_notification(self) -> None:
        served = connection()
        served.receive(initialize())
        served.receive(message(method="notifications/initialized", **{"x-trace": "a"}))
        assert served.is_ready
        kept = served.accept(served.receive(legacy("tools/list", id=1)))
        cancel = message(method="notifications/cancelled", params={"requestId": 1}, x=1)
        assert served.receive(cancel) == CancelRequest((kept,), None)

    def test_one_id_for_a_subscription_and_a_call_cancels_both(self) -> None:
        served = connection()
        served.receive(modern("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id=1))
        kept = served.accept(served.receive(modern("tools/list", id=1)))
        action = served.receive(message(method="notifications/cancelled", params={"requestId": 1}))
        assert action == CancelRequest((kept,), None)
        assert served.list_changed("tools") == []


class TestRefusals:
    def test_a_message_that_is_refused_unread_keeps_its_id_where_it_can_be_found(self) -> None:
        arguments = {"a": [{} for _ in range(100_001)]}
        answer = decoded(connection().receive(modern("tools/call", {"name": "x", "arguments": arguments}, id="far")))
        assert answer["id"] == "far" and answer["error"]["code"] == -32600

    def test_an_oversized_line_is_refused(self) -> None:
        assert code(connection().receive(Oversized(10, 5))) == -32600

    @pytest.mark.parametrize("name", ["x" * 1_000_000, "é" * 1_000])
    def test_what_came_is_not_repeated_at_length(self, name: str) -> None:
        for served in (connection(), ready()):
            for answer in (
                served.receive(legacy(name)),
                served.receive(modern(name)),
                served.receive(legacy(f"notifications/{name}")),
            ):
                assert len(answer) < 700


class TestAsking:
    QUESTIONS: ClassVar[dict[str, Any]] = {
        "form": ElicitRequest(
            params=ElicitRequestFormParams(message="?", requested_schema={"type": "object", "properties": {}})
        ),
        "url": ElicitRequest(
            params=ElicitRequestURLParams(mode="url", message="?", url="https://a.example", elicitation_id="e")
        ),
        "sample": CreateMessageRequest(params=CreateMessageRequestParams(messages=[], max_tokens=1)),
        "tools": CreateMessageRequest(params=CreateMessageRequestParams(messages=[], max_tokens=1, tools=[])),
        "roots": ListRootsRequest(),
    }

    @pytest.mark.parametrize(
        ("asked", "declared", "required"),
        [
            (["form"], {}, {"elicitation": {}}),
            (["form"], {"elicitation": {}}, None),
            (["form"], {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
            (["url"], {"elicitation": {}}, {"elicitation": {"url": {}}}),
            (["url"], {"elicitation": {"url": {}}}, None),
            (["sample"], {}, {"sampling": {}}),
            (["sample"], {"sampling": {}}, None),
            (["tools", "sample"], {"sampling": {}}, {"sampling": {"tools": {}}}),
            (["tools"], {"sampling": {"tools": {}}}, None),
            (["roots"], {"sampling": {}}, {"roots": {}}),
            (["roots", "form"], {}, {"roots": {}, "elicitation": {}}),
            ([], {}, None),
        ],
    )
    def test_a_client_is_asked_only_for_what_it_declared(
        self, asked: list[str], declared: dict[str, Any], required: dict[str, Any] | None
    ) -> None:
        served = connection()
        request = served.receive(modern("tools/call", {"name": "x"}, meta={CAPABILITIES: declared}))
        questions = {name: self.QUESTIONS[name] for name in asked}
        answer = decoded(served.respond(request, InputRequiredResult(input_requests=questions, request_state="s")))
        if required is None:
            assert answer["result"]["resultType"] == "input_required"
            assert answer["result"]["inputRequests"].keys() == questions.keys()
        else:
            assert answer["error"]["code"] == -32021
            assert answer["error"]["data"] == {"requiredCapabilities": required}

    def test_only_three_methods_may_ask_and_only_in_modern(self) -> None:
        question = InputRequiredResult(request_state="s")
        served = ready()
        with pytest.raises(MisuseError, match="tools/list cannot ask"):
            served.respond(served.receive(modern("tools/list")), question)
        with pytest.raises(MisuseError, match="2025-11-25 has no result that asks"):
            served.respond(served.receive(legacy("tools/call", {"name": "x"})), question)


class TestAskingInLegacy:
    """A question is a request of the server's own; ids of client and server have nothing to do with each other."""

    FORM: ClassVar[Any] = TestAsking.QUESTIONS["form"]

    def test_a_question_and_its_answer(self) -> None:
        served = ready()
        identifier, sent = served.ask(self.FORM)
        assert decoded(sent) == {
            "jsonrpc": "2.0",
            "id": identifier,
            "method": "elicitation/create",
            "params": {"message": "?", "requestedSchema": {"type": "object", "properties": {}}},
        }
        reply = served.receive(message(id=identifier, result={"action": "decline"}))
        assert isinstance(reply, Reply) and reply.id == identifier
        assert isinstance(reply.outcome, Raw) and msgspec.json.decode(reply.outcome) == {"action": "decline"}

    def test_an_error_is_the_class_that_stands_for_its_code(self) -> None:
        served = ready()
        identifier, _ = served.ask(self.FORM)
        reply = served.receive(message(id=identifier, error={"code": -32601, "message": "no", "data": [1]}))
        assert isinstance(reply.outcome, MethodNotFound)
        assert (reply.outcome.code, reply.outcome.message, reply.outcome.data) == (-32601, "no", [1])

    @pytest.mark.parametrize(
        ("members", "told"),
        [
            ({"error": {"code": "x"}}, "the answer is no JSON-RPC response"),
            ({"error": 5}, "the answer is no JSON-RPC response"),
            ({"error": None}, "the answer has no result"),
        ],
    )
    def test_an_answer_that_is_none_is_an_error(self, members: dict[str, Any], told: str) -> None:
        served = ready()
        identifier, _ = served.ask(self.FORM)
        reply = served.receive(message(id=identifier, **members))
        assert isinstance(reply.outcome, InvalidRequest) and told in reply.outcome.message

    def test_a_null_is_a_result_too(self) -> None:
        served = ready()
        identifier, _ = served.ask(self.FORM)
        reply = served.receive(message(id=identifier, result=None))
        assert isinstance(reply.outcome, Raw) and bytes(reply.outcome) == b"null"

    def test_every_question_has_an_id_of_its_own_and_any_order_will_do(self) -> None:
        served = ready()
        identifiers = [served.ask(question)[0] for question in TestAsking.QUESTIONS.values()]
        assert len(set(identifiers)) == len(identifiers)
        for identifier in reversed(identifiers):
            assert served.receive(message(id=identifier, result={})).id == identifier

    def test_an_answer_counts_once(self) -> None:
        served = ready()
        identifier, _ = served.ask(self.FORM)
        assert isinstance(served.receive(message(id=identifier, result={})), Reply)
        again = served.receive(message(id=identifier, result={}))
        assert isinstance(again, Ignored) and "to a server that has not asked that" in again.reason

    @pytest.mark.parametrize("identifier", [2, 0, -1, "1", 1.5, True])
    def test_an_answer_to_nothing_is_ignored(self, identifier: Any) -> None:
        served = ready()
        assert served.ask(self.FORM)[0] == 1
        assert not isinstance(served.receive(message(id=identifier, result={})), Reply)
        assert isinstance(served.receive(message(id=1, result={})), Reply)

    def test_a_question_can_be_withdrawn_once(self) -> None:
        served = ready()
        identifier, _ = served.ask(self.FORM)
        told = served.stop_asking(identifier, "enough")
        assert decoded(told) == {
            "jsonrpc": "2.0",
            "method": "notifications/cancelled",
            "params": {"requestId": identifier, "reason": "enough"},
        }
        assert served.stop_asking(identifier, "enough") is None
        assert isinstance(served.receive(message(id=identifier, result={})), Ignored)

    def test_what_is_answered_cannot_be_withdrawn(self) -> None:
        served = ready()
        identifier, _ = served.ask(self.FORM)
        served.receive(message(id=identifier, result={}))
        assert served.stop_asking(identifier, "enough") is None
        assert served.stop_asking(99, "enough") is None

    def test_a_request_of_the_client_may_have_the_same_id(self) -> None:
        served = ready()
        identifier, _ = served.ask(self.FORM)
        request = served.receive(legacy("tools/call", {"name": "x"}, id=identifier))
        responder = served.accept(request)
        cancel = served.receive(message(method="notifications/cancelled", params={"requestId": identifier}))
        assert cancel == CancelRequest((responder,), None)
        assert isinstance(served.receive(message(id=identifier, result={})), Reply)

    def test_in_a_batch(self) -> None:
        served = ready("2025-03-26")
        identifier, _ = served.ask(TestAsking.QUESTIONS["roots"])
        batch = served.receive(b"[%s]" % message(id=identifier, result={"roots": []}))
        ((_, reply),) = batch.items
        assert reply.id == identifier and bytes(reply.outcome) == b'{"roots":[]}'

    @pytest.mark.parametrize(
        ("question", "revision"),
        [
            *(("sample", each) for each in LEGACY),
            *(("roots", each) for each in LEGACY),
            *(("form", each) for each in LEGACY[2:]),
            ("url", LEGACY[-1]),
        ],
    )
    def test_what_is_sent_fits_the_published_schema(self, question: str, revision: str) -> None:
        _, sent = ready(revision).ask(TestAsking.QUESTIONS[question])
        names = {"sample": "CreateMessageRequest", "roots": "ListRootsRequest"}
        validator(revision, names.get(question, "ElicitRequest")).validate(decoded(sent))

    @pytest.mark.parametrize("revision", LEGACY[:-1])
    def test_what_a_revision_has_no_words_for(self, revision: str) -> None:
        served = ready(revision)
        wording = "elicitation by URL" if revision >= "2025-06-18" else "Elicit"
        with pytest.raises(ValueError, match=f"{revision} has no {wording}"):
            served.ask(TestAsking.QUESTIONS["url"])
        assert isinstance(served.receive(message(id=1, result={})), Ignored)


def test_logging_needs_its_capability_and_a_level_that_exists() -> None:
    served = connection(capabilities=ServerCapabilities(tools={}))
    request = served.receive(modern("tools/call", {"name": "x"}, meta={"io.modelcontextprotocol/logLevel": "debug"}))
    assert served.log(request, "emergency", "x") is None
    with pytest.raises(MisuseError, match="no log level 'warn'; there are debug, info, notice, warning"):
        served.log(request, "warn", "x")  # pyright: ignore[reportArgumentType]


def test_a_total_that_is_no_number_is_left_out() -> None:
    served = connection()
    responder = served.accept(served.receive(modern("tools/call", {"name": "x"}, meta={"progressToken": 1})))
    for step, total in enumerate((float("inf"), float("nan"), -float("inf"))):
        assert "total" not in decoded(responder.progress(step, total))["params"]
    responder.cancel()


@pytest.mark.parametrize(
    ("params", "lacks"),
    [
        ({}, "Object missing required field `_meta` - at `$.params`"),
        (
            {"_meta": {}},
            "Object missing required field `io.modelcontextprotocol/protocolVersion` - at `$.params._meta`",
        ),
    ],
)
def test_a_modern_request_without_what_it_must_say_is_told_how_to_say_it(params: dict[str, Any], lacks: str) -> None:
    answer = connection().receive(message(id=1, method="server/discover", params=params))
    assert type(answer) is bytes
    error = msgspec.json.decode(answer)["error"]
    assert error == {"code": -32602, "message": f"Invalid params: {lacks}; {SAYS_WHO}"}
    told = msgspec.json.decode(error["message"].partition("as in ")[2])
    again = connection().receive(message(id=1, method="server/discover", params={"_meta": told}))
    assert type(again) is not bytes or "error" not in msgspec.json.decode(again), "what it says is enough"


def test_what_else_is_missing_is_told_alone() -> None:
    answer = connection().receive(modern("tools/call", {}))
    assert type(answer) is bytes
    assert msgspec.json.decode(answer)["error"]["message"].endswith("missing required field `name` - at `$.params`")
