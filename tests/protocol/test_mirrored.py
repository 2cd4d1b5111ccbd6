"""Headers that mirror the body: the comparison table of the specification, from both sides."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.conversations import modern
from tybalt.protocol.codec import MODERN_BY_METHOD, decode_modern, decode_modern_call
from tybalt.protocol.header_values import encode_value
from tybalt.protocol.mirrored import (
    NAMED_BY,
    ParameterHeaders,
    method_mismatch,
    revision_mismatch,
    standard_headers,
    standard_mismatch,
)
from tybalt.protocol.mirrored_parameters import SAFE_INTEGER, Mirrored

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
PARAMS: dict[str, dict[str, Any]] = {
    "tools/call": {"name": "add"},
    "prompts/get": {"name": "add"},
    "resources/read": {"uri": "a:b"},
    "completion/complete": {"ref": {"type": "ref/prompt", "name": "p"}, "argument": {"name": "a", "value": ""}},
    "subscriptions/listen": {"notifications": {}},
}


def request(method: str, **params: Any) -> Any:
    return decode_modern(modern(method, {**PARAMS.get(method, {}), **params}))


def fields(headers, **more):
    named = {name.lower().encode(): value.encode() for name, value in headers}
    return {
        b"mcp-protocol-version": b"2026-07-28",
        **named,
        **{k.replace("_", "-").encode(): v for k, v in more.items()},
    }


# -- Mcp-Method, Mcp-Name, MCP-Protocol-Version -----------------------------------------------------------------------


@pytest.mark.parametrize("method", sorted(MODERN_BY_METHOD))
def test_what_a_client_must_send_is_what_a_server_wants(method):
    decoded = request(method)
    name = getattr(decoded.params, NAMED_BY[method]) if method in NAMED_BY else None
    assert standard_mismatch(fields(standard_headers(method, name)), decoded) is None


@pytest.mark.parametrize("method", sorted(MODERN_BY_METHOD))
@pytest.mark.parametrize("missing", [b"mcp-method", b"mcp-name", b"mcp-protocol-version"])
def test_a_standard_header_that_is_missing(method, missing):
    """ "A required standard header (`MCP-Protocol-Version`, `Mcp-Method`, `Mcp-Name`) is missing."."""
    decoded = request(method)
    name = getattr(decoded.params, NAMED_BY[method]) if method in NAMED_BY else None
    sent = fields(standard_headers(method, name))
    if sent.pop(missing, None) is None:
        assert missing == b"mcp-name" and method not in NAMED_BY
        return
    mismatch = standard_mismatch(sent, decoded)
    assert mismatch is not None and mismatch.code == -32020
    assert f"{missing.decode()} header is missing" in mismatch.message.lower()


def test_a_call_that_was_decoded_by_itself_is_compared_too():
    call = decode_modern_call(modern("tools/call", {"name": "add"}))
    assert standard_mismatch(fields(standard_headers("tools/call", "add")), call) is None
    assert standard_mismatch(fields(standard_headers("tools/call", "sub")), call) is not None


def test_a_notification_has_no_headers_of_its_own():
    """ "header requirements for notification POSTs are not defined by this revision"."""
    message = b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'
    assert standard_mismatch({}, decode_modern(message)) is None


@pytest.mark.parametrize(
    "value", [b"tools/list", b"TOOLS/CALL", b"", b"=?base64?dG9vbHMvY2FsbA==?=", b"tools/call\xe9"]
)
def test_a_method_that_differs(value):
    """SEP-2243, "Case Sensitivity" and "Header/Body Mismatch"; `Mcp-Method` is never encoded."""
    mismatch = standard_mismatch(fields(standard_headers("tools/call", "add"), mcp_method=value), request("tools/call"))
    assert mismatch is not None and "does not match body value 'tools/call' of `method`" in mismatch.message


def test_white_space_around_a_value_is_no_part_of_it():
    """RFC 9110 section 5.5."""
    sent = fields([], mcp_method=b" tools/call\t", mcp_name=b"  add  ")
    assert standard_mismatch(sent, request("tools/call")) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"foo", "header value 'foo' does not match body value 'add' of `params.name`"),
        (b"ADD", "does not match"),
        (b"", "does not match"),
        (b"add, add", "does not match"),
        (b"=?base64?YWRk", "does not match"),
        (b"=?base64?YWRl?=", "does not match"),
        (b"=?base64?YWR?=", "cannot be read: it is no Base64"),
        (b"add\xe9", "cannot be read: it holds characters"),
        (b"add\r\nX: y", "cannot be read: it holds characters"),
        (b"x" * 100_000, "xxx…' does not match"),
    ],
)
def test_a_name_that_differs(value, text):
    mismatch = standard_mismatch(fields(standard_headers("tools/call"), mcp_name=value), request("tools/call"))
    assert mismatch is not None and mismatch.message.startswith("Header mismatch: Mcp-Name header value '")
    assert text in mismatch.message and len(mismatch.message) < 300


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("日本", "日本".encode()),
        ("=?base64?YWRk?=", b"=?base64?YWRk?="),
        (" add", b"add"),
        ("a\x01", b"a\x01"),
    ],
)
def test_a_name_that_had_to_be_encoded_and_was_not(name, value):
    sent = fields(standard_headers("tools/call"), mcp_name=value)
    assert standard_mismatch(sent, request("tools/call", name=name)) is not None


@given(TEXTS, TEXTS)
def test_a_name_matches_itself_and_nothing_else(name, other):
    sent = fields(standard_headers("tools/call", name))
    assert standard_mismatch(sent, request("tools/call", name=name)) is None
    assert (standard_mismatch(sent, request("tools/call", name=other)) is None) is (name == other)


def test_the_last_of_two_names_counts_as_in_the_decoder():
    """Security H8: what is checked is what runs."""
    body = modern("tools/call", {"name": "second"}).replace(b'"name":"second"', b'"name":"first","name":"second"')
    decoded = decode_modern(body)
    assert decoded.params.name == "second"
    assert standard_mismatch(fields(standard_headers("tools/call", "first")), decoded) is not None
    assert standard_mismatch(fields(standard_headers("tools/call", "second")), decoded) is None


def test_a_revision_and_a_method_can_be_compared_alone():
    assert revision_mismatch(b"2026-07-28", "2026-07-28") is None
    for value in (b"2025-11-25", b" 2026-07-28x", b""):
        mismatch = revision_mismatch(value, "2026-07-28")
        assert mismatch is not None and "MCP-Protocol-Version header value" in mismatch.message
    assert method_mismatch({b"mcp-method": b"no/such"}, "no/such") is None
    assert method_mismatch({b"mcp-method": "é".encode()}, "é") is not None


# -- Mcp-Param-* ------------------------------------------------------------------------------------------------------

REGION = Mirrored(("region",), "Region", "string")
COUNT = Mirrored(("count",), "Count", "integer")
FLAG = Mirrored(("flag",), "Flag", "boolean")
TOOL = ParameterHeaders([REGION, COUNT, FLAG])


def mismatch_of(arguments, tool=TOOL, **sent):
    raw = arguments if isinstance(arguments, bytes) else msgspec.json.encode(arguments)
    return tool.mismatch({b"mcp-param-" + name.encode(): value for name, value in sent.items()}, raw)


def test_a_tool_without_mirrored_parameters_needs_nothing():
    nothing = ParameterHeaders([])
    assert not nothing and nothing.headers(b'{"a":1}') == [] and TOOL


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        # "Parameter value is null" and "Parameter not in arguments": the server MUST NOT expect the header
        ({}, {}),
        ({"region": None, "count": None}, {}),
        ({"other": "x"}, {}),
        # "Parameter value provided"
        ({"region": "us-west1"}, {"region": b"us-west1"}),
        ({"region": "us-west1"}, {"region": b" us-west1 "}),
        ({"region": "us-west1"}, {"region": b"=?base64?dXMtd2VzdDE=?="}),
        ({"region": "SGVsbG8="}, {"region": b"SGVsbG8="}),
        ({"region": "=?base64?SGVsbG8="}, {"region": b"=?base64?SGVsbG8="}),
        ({"region": ""}, {"region": b""}),
        ({"region": "日本語"}, {"region": b"=?base64?5pel5pys6Kqe?="}),
        ({"region": "null"}, {"region": b"null"}),
        ({"flag": True}, {"flag": b"true"}),
        ({"flag": False}, {"flag": b"false"}),
        ({"flag": True}, {"flag": b"=?base64?dHJ1ZQ==?="}),
        # "servers SHOULD compare the header value and the body value numerically"
        ({"count": 42}, {"count": b"42"}),
        ({"count": 42}, {"count": b"42.0"}),
        ({"count": 42}, {"count": b"=?base64?NDIuMA==?="}),
        ({"count": -7}, {"count": b"-7"}),
        ({"count": 0}, {"count": b"-0"}),
        (b'{"count":42.0}', {"count": b"42"}),
        (b'{"count":4.2e1}', {"count": b"42"}),
        (b'{"count":4.2e1}', {"count": b"42.00"}),
        ({"count": SAFE_INTEGER}, {"count": b"9007199254740991"}),
        ({"count": -SAFE_INTEGER}, {"count": b"-9007199254740991.0"}),
        # What a model sends in the wrong type is mirrored as it is, and refused by the tool
        ({"count": "5"}, {"count": b"5"}),
        ({"region": 5}, {"region": b"5"}),
        ({"count": 3.5}, {"count": b"3.5"}),
        ({"count": 3.5}, {"count": b"3.50"}),
        ({"count": [1]}, {}),
        ({"region": {"a": 1}}, {}),
    ],
    ids=str,
)
def test_headers_that_match(arguments, sent):
    assert mismatch_of(arguments, **sent) is None


@pytest.mark.parametrize(
    ("arguments", "sent", "text"),
    [
        # "Client omits header but value is in body": the server MUST reject the request
        ({"region": "us-west1"}, {}, "Mcp-Param-Region header is missing; it must say what `params.arguments.region`"),
        ({"region": ""}, {}, "is missing"),
        ({"count": 0}, {}, "is missing"),
        ({"flag": False}, {}, "is missing"),
        ({"count": "5"}, {}, "is missing"),
        # A value in front that nobody sent behind
        ({}, {"region": b"us-west1"}, "`params.arguments.region` is absent, so send no such header"),
        ({}, {"region": b""}, "is absent"),
        ({"region": None}, {"region": b"null"}, "is null"),
        ({"region": ["a"]}, {"region": b"a"}, "is an array"),
        ({"region": {}}, {"region": b"{}"}, "is an object"),
        # Mismatches
        ({"region": "us-west1"}, {"region": b"us-west2"}, "does not match body value 'us-west1'"),
        ({"region": "us-west1"}, {"region": b"US-WEST1"}, "does not match"),
        ({"region": "42"}, {"region": b"42.0"}, "does not match"),
        ({"region": "true"}, {"region": b"True"}, "does not match"),
        ({"flag": True}, {"flag": b"TRUE"}, "does not match"),
        ({"flag": True}, {"flag": b"1"}, "does not match"),
        ({"flag": True}, {"flag": b"false"}, "does not match"),
        ({"count": 42}, {"count": b"43"}, "does not match"),
        ({"count": 42}, {"count": b"042"}, "does not match"),
        ({"count": 42}, {"count": b"+42"}, "does not match"),
        ({"count": 42}, {"count": b"4.2e1"}, "does not match"),
        ({"count": 42}, {"count": b"0x2a"}, "does not match"),
        ({"count": 42}, {"count": b"4_2"}, "does not match"),
        ({"count": 42}, {"count": b"42.00000000000000000001"}, "does not match"),
        ({"count": 42}, {"count": b"42" + b".0" * 10_000}, "does not match"),
        ({"count": 42}, {"count": b"42." + b"0" * 10_000}, "does not match"),
        ({"count": 1}, {"count": b"true"}, "does not match"),
        # Beyond what a double tells apart
        ({"count": SAFE_INTEGER + 1}, {"count": b"9007199254740992"}, "beyond"),
        ({"count": -(2**70)}, {"count": b"-1180591620717411303424"}, "beyond"),
        (b'{"count":1e300}', {"count": b"1e300"}, "beyond"),
        (b'{"count":1e99999999999999999999}', {"count": b"1"}, "beyond"),
        (b'{"count":' + b"9" * 5_000 + b"}", {"count": b"9"}, "more than 64 characters"),
        # Undecodable
        ({"region": "Hello"}, {"region": b"=?base64?SGVsbG8?="}, "cannot be read: it is no Base64"),
        ({"region": "Hello"}, {"region": b"=?base64?SGVs!!!bG8=?="}, "cannot be read: it is no Base64"),
        ({"count": 5}, {"count": b"=?base64?NQ?="}, "it is no Base64"),
        ({"region": "日本語"}, {"region": "日本語".encode()}, "visible ASCII"),
        ({"region": "a\r\nb"}, {"region": b"a\r\nb"}, "visible ASCII"),
        (b'{"region":"\xff"}', {"region": b"?"}, "`params.arguments.region` cannot be read"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_headers_that_do_not(arguments, sent, text):
    mismatch = mismatch_of(arguments, **sent)
    assert mismatch is not None and mismatch.code == -32020
    assert mismatch.message.startswith("Header mismatch: Mcp-Param-") and text in mismatch.message
    assert len(mismatch.message) < 400


def test_a_header_that_is_not_one_of_the_tools_is_ignored():
    assert mismatch_of({}, other=b"x") is None


def test_values_are_read_at_their_exact_path():
    """ "Header extraction is defined as reading the instance value at the exact property path"."""
    tool = ParameterHeaders([Mirrored(("a", "b"), "B", "string"), Mirrored(("a", "c", "d"), "D", "string"), REGION])
    arguments = {"a": {"b": "1", "c": {"d": "2", "b": "no"}}, "b": "no", "d": "no", "region": "r"}
    assert tool.headers(msgspec.json.encode(arguments)) == [
        ("Mcp-Param-B", "1"),
        ("Mcp-Param-D", "2"),
        ("Mcp-Param-Region", "r"),
    ]
    for wrong in ({"a": 5, "region": "r"}, {"a": None, "region": "r"}, {"a": [{"b": "1"}], "region": "r"}):
        assert mismatch_of(wrong, tool, region=b"r") is None
    assert mismatch_of({"a": {"b": "1", "c": "d"}, "region": "r"}, tool, b=b"1", region=b"r") is None


def test_the_last_of_two_arguments_counts():
    assert mismatch_of(b'{"region":"first","region":"second"}', region=b"second") is None
    assert mismatch_of(b'{"region":"first","region":"second"}', region=b"first") is not None
    assert mismatch_of(b'{"region":"first","region":null}') is None


@pytest.mark.parametrize("arguments", [b"[]", b"null", b"5", b'"region"', b"{", b""])
def test_arguments_that_are_no_object_have_no_values(arguments):
    assert TOOL.mismatch({}, arguments) is None and TOOL.headers(arguments) == []
    assert TOOL.mismatch({b"mcp-param-region": b"x"}, arguments) is not None


@pytest.mark.parametrize("name", ['"', "\\", "a\nb", "", "é", "a.b", "member_0", "$ref"])
def test_a_property_may_have_any_name(name):
    tool = ParameterHeaders([Mirrored((name,), "A", "string"), Mirrored(("x", name), "B", "string")])
    arguments = msgspec.json.encode({name: "1", "x": {name: "2"}})
    assert tool.headers(arguments) == [("Mcp-Param-A", "1"), ("Mcp-Param-B", "2")]


@pytest.mark.parametrize("arguments", [b'{"count":9007199254740992}', b'{"count":1e400}', b'{"region":"\xff"}'])
def test_a_client_does_not_send_what_no_server_could_accept(arguments):
    with pytest.raises(ValueError, match=r"`params\.arguments\.(count|region)` "):
        TOOL.headers(arguments)


VALUES = (
    st.none()
    | st.booleans()
    | TEXTS
    | st.integers(-SAFE_INTEGER, SAFE_INTEGER)
    | st.floats(allow_nan=False, max_value=1e15, min_value=-1e15)
)
ARGUMENTS = st.fixed_dictionaries({}, optional={"region": VALUES, "count": VALUES, "flag": VALUES, "x": VALUES})


@given(ARGUMENTS)
def test_what_a_client_sends_is_what_a_server_wants(arguments):
    raw = msgspec.json.encode(arguments)
    headers = TOOL.headers(raw)
    assert {name for name, _ in headers} == {
        f"Mcp-Param-{name.title()}" for name, value in arguments.items() if value is not None and name != "x"
    }
    assert TOOL.mismatch(fields(headers), raw) is None
    for name, _ in headers:
        others = [each for each in headers if each[0] != name]
        assert TOOL.mismatch(fields(others), raw) is not None


@given(TEXTS, TEXTS)
def test_a_text_matches_itself_and_nothing_else(one, other):
    raw = msgspec.json.encode({"region": one})
    matches = TOOL.mismatch({b"mcp-param-region": encode_value(other).encode()}, raw) is None
    assert matches is (one == other)


@given(st.binary(max_size=30), st.binary(max_size=30) | ARGUMENTS.map(msgspec.json.encode))
def test_any_header_and_any_arguments_are_judged(value, arguments):
    for name in (b"mcp-param-region", b"mcp-param-count", b"mcp-param-flag"):
        mismatch = TOOL.mismatch({name: value}, arguments)
        assert mismatch is None or mismatch.message.isprintable()
