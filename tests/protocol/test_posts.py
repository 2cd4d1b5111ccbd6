"""What a message is when it is POSTed: read back as it was made, with header fields that our own server accepts."""

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tybalt.errors import HeaderMismatch, InvalidParams, McpError, Overloaded, ResourceNotFound, Unauthorized
from tybalt.protocol.admission import Admitted, admit
from tybalt.protocol.client import ClientConnection
from tybalt.protocol.codec import decode_modern
from tybalt.protocol.http_messages import HttpRequest
from tybalt.protocol.http_policy import Policy
from tybalt.protocol.mirrored import NAMED_BY, ParameterHeaders, standard_mismatch
from tybalt.protocol.mirrored_parameters import SAFE_INTEGER, Mirrored
from tybalt.protocol.posts import read_post, read_refusal
from tybalt.types.implementation import Implementation

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.sampled_from(
    [
        "",
        " ",
        " padded ",
        "\ttab\t",
        "Hello, 世界",
        "line1\nline2",
        "a\r\nX-Injected: 1",
        "\x00",
        "=?base64?YQ==?=",
        "null",
    ]
)
SAFE = st.integers(-SAFE_INTEGER, SAFE_INTEGER)
SCALARS = st.none() | st.booleans() | SAFE | st.floats(-1e15, 1e15) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))
RIGHT = [(b"host", b"localhost"), (b"content-type", b"application/json")]
ACCEPT = (b"accept", b"application/json, text/event-stream")

PARAMETERS = ParameterHeaders(
    [
        Mirrored(("region",), "Region", "string"),
        Mirrored(("tenant", "id"), "Tenant", "integer"),
        Mirrored(("tenant", "deep", "é"), "Deep", "boolean"),
        Mirrored(('"',), "Quote", "string"),
    ]
)
MEMBERS: dict[str, st.SearchStrategy[Any]] = {
    "region": SCALARS,
    "tenant": st.fixed_dictionaries({}, optional={"id": SCALARS, "deep": st.dictionaries(st.just("é"), SCALARS)})
    | VALUES,
    '"': SCALARS,
    "other": VALUES,
}
ARGUMENTS = st.fixed_dictionaries({}, optional=MEMBERS)
METHODS = st.sampled_from(["tools/call", "prompts/get", "resources/read"])


def connection(revision: str = "2026-07-28") -> ClientConnection:
    made = ClientConnection(Implementation(name="c", version="1"))
    made.adopt(revision)
    return made


def sent(fields: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Fields as they arrive: names in lower case, without white space around values."""
    for name, value in fields:
        assert value.isascii() and (value.isprintable() or value == ""), (name, value)
    return [*RIGHT, ACCEPT, *((name.lower().encode(), value.strip(" \t").encode()) for name, value in fields)]


def accepted(message: bytes, fields: list[tuple[str, str]]) -> Admitted:
    verdict = admit(HttpRequest("POST", sent(fields), message), Policy(max_body=10**6))
    assert type(verdict) is Admitted, verdict
    assert verdict.era == "modern"
    return verdict


# -- requests ---------------------------------------------------------------------------------------------------------


@given(METHODS, TEXTS, ARGUMENTS, st.none() | st.dictionaries(TEXTS, SCALARS, max_size=2))
@example("tools/call", " padded ", {"region": "Hello, 世界", "tenant": {"id": 7, "deep": {"é": True}}}, None)
@example("tools/call", "=?base64?x?=", {"region": None, "tenant": None, '"': ""}, {"progressToken": 1})
def test_every_request_is_read_back_and_its_fields_are_accepted(
    method: str, name: str, arguments: dict[str, Any], meta: dict[str, Any] | None
) -> None:
    made = connection()
    texts = {key: str(value) for key, value in arguments.items()}
    params: dict[str, Any] = {NAMED_BY[method]: name}
    if method != "resources/read":
        params["arguments"] = arguments if method == "tools/call" else texts
    identifier, message = made.request(method, params if meta is None else {**params, "_meta": meta})
    post = read_post(message)
    assert (post.message, post.method, post.id, post.revision) == (message, method, identifier, "2026-07-28")
    assert (post.name, post.is_request, post.cancels) == (name, True, None)
    assert msgspec.json.decode(post.arguments) == params.get("arguments", {})
    parameters = PARAMETERS if method == "tools/call" else None
    verdict = accepted(message, post.headers(parameters))
    request = decode_modern(message)
    assert standard_mismatch(verdict.fields, request) is None
    if parameters is not None:
        assert parameters.mismatch(verdict.fields, post.arguments) is None


@given(st.sampled_from(["tools/list", "server/discover", "completion/complete", "subscriptions/listen"]), ARGUMENTS)
def test_what_names_nothing_has_no_name(method: str, params: dict[str, Any]) -> None:
    message = connection().request(method, params)[1]
    post = read_post(message)
    assert post.name is None
    assert post.headers() == [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method)]
    accepted(message, post.headers())


@given(ARGUMENTS, st.sampled_from(["region", "tenant"]))
def test_a_value_that_is_null_or_absent_has_no_field(arguments: dict[str, Any], member: str) -> None:
    given_null = read_post(
        connection().request("tools/call", {"name": "a", "arguments": {**arguments, member: None}})[1]
    )
    arguments.pop(member, None)
    absent = read_post(connection().request("tools/call", {"name": "a", "arguments": arguments})[1])
    names = {name for name, _ in given_null.headers(PARAMETERS)}
    assert not names & ({"Mcp-Param-Region"} if member == "region" else {"Mcp-Param-Tenant", "Mcp-Param-Deep"})
    assert given_null.headers(PARAMETERS) == absent.headers(PARAMETERS)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("us-west1", "us-west1"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        (42, "42"),
        (-7, "-7"),
        (True, "true"),
        (False, "false"),
    ],
)
def test_the_examples_of_the_specification(value: Any, field: str) -> None:
    post = read_post(connection().request("tools/call", {"name": "a", "arguments": {"region": value}})[1])
    assert post.headers(PARAMETERS)[3:] == [("Mcp-Param-Region", field)]


@pytest.mark.parametrize("value", [SAFE_INTEGER + 1, -SAFE_INTEGER - 1, 10**30])
def test_an_integer_that_is_not_safe_is_not_mirrored(value: int) -> None:
    post = read_post(connection().request("tools/call", {"name": "a", "arguments": {"region": value}})[1])
    with pytest.raises(ValueError, match="beyond"):
        post.headers(PARAMETERS)


@pytest.mark.parametrize("method", ["", " x", "x ", "a\r\nX-Injected: 1", "a\x00", "é", "a\tb", "a\x7f"])
def test_a_method_that_is_no_value_of_a_field(method: str) -> None:
    """It is never encoded, so that there is no way to send it."""
    post = read_post(connection().request(method)[1])
    assert post.method == method
    with pytest.raises(ValueError, match="the method is no visible ASCII") as raised:
        post.headers()
    assert str(raised.value).isprintable()


# -- what is no modern request ----------------------------------------------------------------------------------------


@given(METHODS, TEXTS)
def test_a_legacy_message_says_no_revision_and_has_no_fields_of_its_own(method: str, name: str) -> None:
    identifier, message = connection("2025-11-25").request(method, {NAMED_BY[method]: name})
    post = read_post(message)
    assert (post.method, post.id, post.name, post.revision, post.headers()) == (method, identifier, name, None, [])


@pytest.mark.parametrize("identifier", [7, "seven"])
def test_a_cancel_says_of_what(identifier: int | str) -> None:
    params = msgspec.json.encode({"requestId": identifier, "reason": "late"})
    post = read_post(b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":%s}' % params)
    assert (post.cancels, post.id, post.is_request) == (identifier, None, False)


@pytest.mark.parametrize("identifier", [b"null", b"1.5", b"{}", b"[1]", b"true"])
def test_a_cancel_of_nothing_cancels_nothing(identifier: bytes) -> None:
    message = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}' % identifier
    assert read_post(message).cancels is None


def test_only_a_cancel_cancels() -> None:
    assert read_post(b'{"jsonrpc":"2.0","method":"x","params":{"requestId":1}}').cancels is None


@pytest.mark.parametrize(
    ("message", "method", "identifier"),
    [
        (b'{"jsonrpc":"2.0","id":"a","result":{}}', None, "a"),
        (b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}', None, None),
        (b'{"jsonrpc":"2.0","id":3,"method":"x","params":[1]}', "x", 3),
        (b'{"jsonrpc":"2.0","id":3,"method":"x","params":{"_meta":1}}', "x", 3),
        (b'{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":1}}', "tools/call", 3),
    ],
)
def test_what_else_a_client_sends(message: bytes, method: str | None, identifier: Any) -> None:
    post = read_post(message)
    assert (post.method, post.id, post.name, post.revision) == (method, identifier, None, None)
    assert post.is_request is (method is not None)
    assert post.headers() == []


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"), [(-32020, HeaderMismatch), (-32602, InvalidParams), (-32002, ResourceNotFound), (12, McpError)]
)
@pytest.mark.parametrize("identifier", [b"1", b"null", b'"other"'])
def test_an_error_of_json_rpc_is_what_it_says(code: int, kind: type[McpError], identifier: bytes) -> None:
    body = b'{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"no","data":[1]}}' % (identifier, code)
    error = read_refusal(400, body, reason="Bad Request")
    assert type(error) is kind and (error.code, str(error), error.data) == (code, "no", [1])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", ""),
        (b"<html>who?</html>", ""),
        (b"  <!doctype html>", ""),
        (b"no such page\n", ": no such page"),
        (b'{"error":"invalid_token"}', ": invalid_token"),
        (b'{"message":"slow down"}', ": slow down"),
        (b'{"detail":"Not Found"}', ": Not Found"),
        (b'{"error":{"message":"broken"}}', ": broken"),
        (b'{"error":{"code":"x","message":"no number"}}', ": no number"),
        (b'{"error":{}}', ': {"error":{}}'),
        (b'{"error":[1]}', ': {"error":[1]}'),
        (b"\xff\x1b[31m", r": �\x1b[31m"),
        (b"[" * 100_000, ": " + "[" * 500),
    ],
)
def test_any_other_body_is_text(body: bytes, said: str) -> None:
    error = read_refusal(418, body, reason="Teapot\x1b")
    assert (error.code, str(error)) == (418, rf"the server answered with HTTP 418 Teapot\x1b{said}")


@given(st.integers(300, 599), st.binary(max_size=200) | VALUES.map(msgspec.json.encode), st.none() | TEXTS)
def test_no_refusal_raises_and_each_is_one_short_line(status: int, body: bytes, retry_after: str | None) -> None:
    error = read_refusal(status, body, reason="\r\nSaid", retry_after=retry_after)
    assert error.code == status and len(str(error)) < 6_000 and str(error).isprintable()
    assert error.retry_after is None or error.retry_after >= 0


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (503, Overloaded)])
def test_a_status_stands_for_an_error_where_nothing_else_does(status: int, kind: type[McpError]) -> None:
    assert type(read_refusal(status, b"")) is kind


@pytest.mark.parametrize(
    ("body", "field", "data"),
    [
        (b"", "30", {"retryAfter": 30}),
        (b"", "Wed, 21 Oct 2026 07:28:00 GMT", None),
        (b"", "-1", None),
        (b"", "٣", None),
        (b"", "9" * 5_000, None),
        (b'{"error":{"code":503,"message":""}}', "30", {"retryAfter": 30}),
        (b'{"error":{"code":503,"message":"","data":{"a":1}}}', "30", {"a": 1, "retryAfter": 30}),
        (b'{"error":{"code":503,"message":"","data":{"retryAfter":2}}}', "30", {"retryAfter": 2}),
        (b'{"error":{"code":503,"message":"","data":[1]}}', "30", [1]),
    ],
)
def test_when_to_ask_again(body: bytes, field: str, data: Any) -> None:
    assert read_refusal(503, body, retry_after=field).data == data
