"""CORS: exact where it is on, silent to everybody else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.protocol.allow_list import allowed_hosts, allowed_origins
from tybalt.protocol.cors import MAX_REQUESTED, Cors
from tybalt.protocol.http_messages import HttpRequest
from tybalt.protocol.http_policy import Policy

CORS = Cors(allowed_origins(["https://app.example.com", "http://localhost:*"]))
POLICY = Policy()


def preflight(*, origin=b"https://app.example.com", headers=b"", method="OPTIONS", more=(), policy=POLICY):
    sent = [(b"host", b"localhost:8000"), (b"access-control-request-method", b"POST"), *more]
    sent += [(b"origin", origin)] if origin is not None else []
    sent += [(b"access-control-request-headers", headers)] if headers else []
    return CORS.preflight(HttpRequest(method, sent), policy)


def test_a_preflight_of_an_allowed_page():
    response = preflight(headers=b"content-type,mcp-protocol-version, Mcp-Param-Region,authorization")
    headers = dict(response.headers)
    assert response.status == 204 and response.body == b""
    assert headers[b"access-control-allow-origin"] == b"https://app.example.com"
    assert headers[b"access-control-allow-methods"] == b"GET, POST, DELETE"
    assert headers[b"access-control-allow-headers"] == (
        b"authorization, content-type, mcp-param-region, mcp-protocol-version"
    )
    assert headers[b"access-control-max-age"] == b"600" and b"Origin" in headers[b"vary"]
    assert b"access-control-allow-credentials" not in headers


def test_what_mcp_does_not_have_is_not_allowed():
    asked = b"cookie, x-evil, mcp-param-, mcp-param-a b, mcp-param-a\r\nx: y, host, *, mcp-param-" + b"a" * 129
    assert b"access-control-allow-headers" not in dict(preflight(headers=asked).headers)
    assert dict(preflight(policy=Policy(legacy=())).headers)[b"access-control-allow-methods"] == b"POST"


def test_names_beyond_the_bound_are_not_looked_at():
    assert b"access-control-allow-headers" in dict(preflight(headers=b"," * (MAX_REQUESTED - 1) + b"accept").headers)
    assert b"access-control-allow-headers" not in dict(preflight(headers=b"," * MAX_REQUESTED + b"accept").headers)


@pytest.mark.parametrize(
    "request_",
    [
        {"origin": b"https://evil.example"},
        {"origin": b"https://app.example.com.evil.example"},
        {"origin": b"null"},
        {"origin": b""},
        {"origin": None},
        {"method": "POST"},
        {"more": [(b"origin", b"https://app.example.com")]},
        {"policy": Policy(hosts=allowed_hosts(["mcp.example.com"]))},
    ],
    ids=str,
)
def test_no_other_request_is_a_preflight_that_is_answered(request_):
    assert preflight(**request_) is None


def test_options_that_is_no_preflight_is_not_answered():
    headers = [(b"host", b"localhost"), (b"origin", b"http://localhost:1")]
    assert CORS.preflight(HttpRequest("OPTIONS", headers), POLICY) is None


def test_an_answer_may_be_read_by_an_allowed_page_alone():
    headers = dict(CORS.headers({b"origin": b"http://localhost:6274"}))
    assert headers[b"access-control-allow-origin"] == b"http://localhost:6274" and headers[b"vary"] == b"Origin"
    assert b"Mcp-Session-Id" in headers[b"access-control-expose-headers"]
    for fields in ({}, {b"origin": b"https://evil.example"}, {b"origin": b"http://localhost:1\r\nx: y"}):
        assert CORS.headers(fields) == ((b"vary", b"Origin"),)


@pytest.mark.parametrize("origins", [[], ["*"], ["https://a", "*"]])
def test_all_origins_or_none_is_misuse(origins):
    with pytest.raises(MisuseError, match="names the origins"):
        Cors(allowed_origins(origins))


@pytest.mark.parametrize("max_age", [-1, 86_401])
def test_a_browser_remembers_no_longer_than_a_day(max_age):
    with pytest.raises(MisuseError, match="max_age"):
        Cors(allowed_origins(["https://a"]), max_age=max_age)


@given(st.binary(max_size=40), st.binary(max_size=60))
def test_no_header_of_a_page_smuggles_a_line_end(origin, headers):
    response = preflight(origin=origin, headers=headers)
    sent = [*CORS.headers({b"origin": origin}), *(response.headers if response else ())]
    assert not any(set(b"\r\n\0") & set(name + value) for name, value in sent)


@given(st.binary(max_size=40))
def test_no_list_of_names_smuggles_a_line_end(headers):
    for value in (headers, b"mcp-param-" + headers, b"accept," + headers):
        assert not any(set(b"\r\n\0") & set(name + sent) for name, sent in preflight(headers=value).headers)
