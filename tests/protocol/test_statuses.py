"""The status of every answer in both eras, and the header fields that go with it."""

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.protocol.conversations import connection, legacy, message, modern, ready
from tybalt.errors import (
    TABLE,
    Forbidden,
    HeaderMismatch,
    InternalError,
    InvalidParams,
    InvalidRequest,
    McpError,
    MethodNotFound,
    MisuseError,
    NotFound,
    Overloaded,
    RateLimited,
    ResourceNotFound,
    TimedOut,
    Unauthorized,
    UnsupportedRevision,
)
from tybalt.protocol.answers import Answers
from tybalt.protocol.http_messages import HttpResponse
from tybalt.protocol.statuses import (
    ACCEPTED,
    ANSWER_HEADERS,
    STREAM_HEADERS,
    answer_response,
    error_response,
    status_of_answer,
)
from tybalt.types.implementation import Implementation

MODERN = Answers("2026-07-28", Implementation(name="test", version="1"))
LEGACY = Answers("2025-11-25", Implementation(name="test", version="1"))
IDS = st.none() | st.integers() | st.text(st.characters(exclude_categories=("Cs",)), max_size=10)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        # What the specification says
        (HeaderMismatch("x"), 400),
        (McpError("x", code=-32021), 400),
        (UnsupportedRevision("1900-01-01", ["2026-07-28"]), 400),
        (InvalidParams("x"), 400),
        (MethodNotFound("x"), 404),
        # No request at all
        (McpError("x", code=-32700), 400),
        (InvalidRequest("x"), 400),
        # What HTTP has header fields for
        (Unauthorized(), 401),
        (Forbidden(), 403),
        (RateLimited(), 429),
        (Overloaded(), 503),
        # Anything else is the answer of a server that works
        (ResourceNotFound("a:b"), 400),
        (InternalError("x"), 200),
        (NotFound(), 200),
        (TimedOut(), 200),
        (McpError("x", code=402), 200),
        (McpError("x", code=500), 200),
        (McpError("x", code=4_242), 200),
        (McpError("x", code=-1), 200),
    ],
    ids=str,
)
def test_a_modern_error(error, status):
    """2026-07-28 basic/transports/streamable-http, "Request Metadata" and "Server Validation"; basic/index."""
    for identifier in (1, "a", None):
        assert status_of_answer(MODERN.error(identifier, error), "modern") == status


@pytest.mark.parametrize("row", sorted(kind.__name__ for kind in TABLE))
def test_no_error_of_the_table_looks_like_a_server_that_is_not_there(row):
    """404 is for -32601 alone, 405 for nothing: "The JSON-RPC error body distinguishes this case from a 404"."""
    code = next(entry.modern for kind, entry in TABLE.items() if kind.__name__ == row)
    status = status_of_answer(MODERN.error(1, McpError("x", code=code or -32603)), "modern")
    assert (status == 404) is (code == -32601) and status not in (405, 408, 500)


@pytest.mark.parametrize("code", [-32600, -32601, -32602, -32603, -32002, 404, 429, 503, 4_242])
def test_a_legacy_answer_to_a_request_has_200(code):
    """2025-11-25 basic/transports, "Sending Messages" 5; 404 would say that the session is gone."""
    for identifier in (1, "a", ""):
        assert status_of_answer(LEGACY.error(identifier, McpError("x", code=code)), "legacy") == 200


@pytest.mark.parametrize("revision", ["2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_legacy_error_that_answers_no_request_has_400(revision):
    """ "If the server cannot accept the input, it MUST return an HTTP error status code (e.g., 400 Bad Request)"."""
    answers = Answers(revision, Implementation(name="test", version="1"))
    assert status_of_answer(answers.error(None, InvalidRequest("x")), "legacy") == 400
    assert status_of_answer(answers.error(7, McpError("x", code=-32700)), "legacy") == 400


def test_what_the_connection_answers_by_itself_has_the_status_it_must():
    modern_only, old = connection(revisions=["2026-07-28"]), ready()
    for body, status in (
        (modern("server/discover"), 200),
        (modern("no/such"), 404),
        (modern("initialize"), 404),
        (modern("ping"), 404),
        (message(id=1, method="server/discover", params={}), 400),
        (modern("tools/call", {"name": 5}), 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"x"}', 400),
    ):
        assert status_of_answer(modern_only.receive(body), "modern") == status, body
    for body, status in (
        (legacy("ping"), 200),
        (legacy("no/such"), 200),
        (b"{", 400),
        (b'{"jsonrpc":"2.0","id":null,"method":"x"}', 400),
    ):
        assert status_of_answer(old.receive(body), "legacy") == status, body


@given(IDS, st.integers(-(2**40), 2**40), st.text(max_size=20))
def test_the_code_is_found_whatever_the_id_is(identifier, code, text):
    answer = msgspec.json.encode(
        {"jsonrpc": "2.0"}
        | ({} if identifier is None else {"id": identifier})
        | {"error": {"code": code, "message": ""}}
    )
    expected = status_of_answer(MODERN.error(1, McpError("x", code=code)), "modern")
    assert status_of_answer(answer, "modern") == expected


@given(IDS.filter(lambda identifier: identifier is not None), st.integers(-32768, -32000))
def test_a_result_is_no_error_whatever_it_holds(identifier, code):
    result = {"error": {"code": code}, "a": [{"jsonrpc": "2.0", "error": {"code": code}}]}
    for answers, era in ((MODERN, "modern"), (LEGACY, "legacy")):
        assert status_of_answer(answers.result(identifier, result), era) == 200


def test_an_id_that_looks_like_an_error_is_an_id():
    for identifier in ('","error":{"code":-32601', "\\", '\\"', ',"error":{"code":-32601,'):
        assert status_of_answer(MODERN.result(identifier, {}), "modern") == 200
        assert status_of_answer(MODERN.error(identifier, InvalidParams("x")), "modern") == 400


def test_a_batch_has_200_and_a_long_id_costs_no_more_than_its_length():
    assert status_of_answer(b"[" + LEGACY.error(1, InvalidRequest("x")) + b"]", "legacy") == 200
    assert status_of_answer(MODERN.error('\\"' * 1_000_000, MethodNotFound("x")), "modern") == 404
    assert status_of_answer(MODERN.result('\\"' * 1_000_000, {}), "modern") == 200


def test_an_answer_goes_out_with_its_length_and_what_says_that_it_may_be_kept_is_not_there():
    answer = MODERN.result(1, {})
    response = answer_response(answer, "modern")
    assert response == HttpResponse(200, (*ANSWER_HEADERS, (b"content-length", b"%d" % len(answer))), answer)
    assert dict(response.headers)[b"content-type"] == b"application/json"
    assert {name for name, _ in response.headers} == {b"content-type", b"content-length", b"x-content-type-options"}


@given(st.integers() | st.text(max_size=50), st.text(max_size=50), st.integers(-(10**6), 10**6))
@example('","result":{"', ',"result":', -32601)
def test_whatever_its_id_and_text_an_error_is_no_result(identifier: int | str, text: str, code: int):
    answer = MODERN.error(identifier, McpError(f',"result":{text}', code=code))
    assert b',"result":' not in answer[:40]
    assert status_of_answer(MODERN.result(identifier, {}), "modern") == 200


def test_a_stream_is_neither_buffered_nor_changed_on_its_way():
    """ "servers SHOULD include the `X-Accel-Buffering: no` header"."""
    headers = dict(STREAM_HEADERS)
    assert headers[b"content-type"] == b"text/event-stream" and headers[b"x-accel-buffering"] == b"no"
    assert b"no-transform" in headers[b"cache-control"] and b"no-store" in headers[b"cache-control"]


def test_what_was_accepted_has_no_body():
    """ "the server MUST return HTTP status code 202 Accepted with no body"."""
    assert ACCEPTED.status == 202 and ACCEPTED.body == b"" and dict(ACCEPTED.headers) == {b"content-length": b"0"}


def test_a_session_id_goes_out_with_the_answer_that_opens_it():
    response = answer_response(LEGACY.result(1, {}), "legacy", session_id="abc~!")
    assert dict(response.headers)[b"mcp-session-id"] == b"abc~!"
    for wrong in ("a\r\nb", "é", "a\0"):
        with pytest.raises(MisuseError):
            answer_response(LEGACY.result(1, {}), "legacy", session_id=wrong)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RateLimited(retry_after=30), b"30"),
        (Overloaded(retry_after=0.01), b"1"),
        (Overloaded(retry_after=0), b"0"),
        (Overloaded(), None),
        (McpError("x", code=503, data={"retryAfter": "soon"}), None),
        (McpError("x", code=503, data={"retryAfter": -1}), None),
        (McpError("x", code=503, data={"retryAfter": 1e300}), None),
        (McpError("x", code=503, data="later"), None),
        (McpError("x", code=402, data={"retryAfter": 5}), None),
    ],
)
def test_retry_after_stands_in_the_header_too(error, expected):
    response = answer_response(MODERN.error(1, error), "modern")
    assert dict(response.headers).get(b"retry-after") == expected
    assert b"retry-after" not in dict(answer_response(LEGACY.error(1, error), "legacy").headers)


def test_401_has_a_challenge():
    response = answer_response(MODERN.error(1, Unauthorized()), "modern")
    assert response.status == 401 and dict(response.headers)[b"www-authenticate"] == b"Bearer"


def test_a_refusal_has_no_id_unless_it_answers_a_request():
    refused = error_response(400, HeaderMismatch("no", data={"a": 1}), "modern")
    assert msgspec.json.decode(refused.body) == {
        "jsonrpc": "2.0",
        "error": {"code": -32020, "message": "no", "data": {"a": 1}},
    }
    refused = error_response(400, HeaderMismatch("no"), "legacy", request_id="x")
    assert msgspec.json.decode(refused.body) == {
        "jsonrpc": "2.0",
        "id": "x",
        "error": {"code": -32600, "message": "no"},
    }
    assert dict(refused.headers)[b"content-length"] == b"%d" % len(refused.body)


@given(st.binary(max_size=80))
def test_any_bytes_have_a_status(answer):
    for era in ("modern", "legacy"):
        assert status_of_answer(answer, era) in (200, 400, 401, 403, 404, 429, 503)
