"""HTTP errors that are no JSON-RPC: their three members, their headers, and what must not be in them."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import (
    BackendError,
    Forbidden,
    InvalidArguments,
    McpError,
    MisuseError,
    NotFound,
    Overloaded,
    RateLimited,
    ResourceNotFound,
    TimedOut,
    ToolError,
    Unauthorized,
    ValidationError,
)
from tybalt.protocol.http_error import http_error, status_of
from tybalt.protocol.timestamp import parse_timestamp

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (ValidationError("limit: at most 1000"), 400, "limit: at most 1000"),
        (InvalidArguments("book", "$.a: missing"), 400, "$.a: missing"),
        (Unauthorized(), 401, "Authentication required"),
        (Forbidden(), 403, "Permission denied"),
        (NotFound(), 404, "Not found"),
        (ResourceNotFound("a:b"), 404, "Resource not found: a:b"),
        (TimedOut(), 408, "The request timed out"),
        (RateLimited(), 429, "Rate limit exceeded"),
        (BackendError("refused by db-7", service="database"), 500, "Database error"),
        (ToolError("no"), 500, "no"),
        (KeyError("hunter2"), 500, "Internal error"),
        (Overloaded(), 503, "Overloaded; send it again later"),
        (McpError("pay first", code=402), 402, "pay first"),
        (McpError("a code of ours", code=4242), 500, "a code of ours"),
        (McpError("no error status", code=399), 500, "no error status"),
        (McpError("half \ud800", code=409), 409, "half ?"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_body_tells_error_status_and_time(error: BaseException, status: int, text: str) -> None:
    told, headers, body = http_error(error, NOW)
    assert told == status == status_of(error) and headers["Content-Type"] == "application/json"
    assert list(msgspec.json.decode(body).items()) == [
        ("error", text),
        ("status", status),
        ("timestamp", "2026-01-31T09:30:00Z"),
    ]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RateLimited(retry_after=30), "30"),
        (Overloaded(retry_after=0.01), "1"),
        (RateLimited(retry_after=0), "0"),
        (McpError("x", code=429, data={"retryAfter": 1.5}), "2"),
        (McpError("x", code=429, data={"retryAfter": "soon"}), None),
        (Overloaded(), None),
        (RuntimeError(), None),
    ],
)
def test_retry_after_is_in_whole_seconds_and_never_too_early(error: BaseException, expected: str | None) -> None:
    assert http_error(error, NOW)[1].get("Retry-After") == expected


def test_401_alone_has_a_challenge() -> None:
    for error in (Unauthorized(), McpError("who?", code=401)):
        assert http_error(error, NOW)[1]["WWW-Authenticate"] == "Bearer"
    assert "WWW-Authenticate" not in http_error(Forbidden(), NOW)[1]


def test_a_time_without_a_zone_is_misuse() -> None:
    with pytest.raises(MisuseError, match="no time zone"):
        http_error(NotFound(), NOW.replace(tzinfo=None))


@given(text=st.text(), now=st.datetimes(timezones=st.just(UTC)))
def test_what_is_masked_is_in_no_header_and_no_body(text: str, now: datetime) -> None:
    for error in (BackendError(f"hunter2 {text}"), RuntimeError(f"hunter2 {text}"), SystemExit(f"hunter2 {text}")):
        _, headers, body = http_error(error, now)
        assert b"hunter2" not in body and "hunter2" not in str(headers)
        assert parse_timestamp(msgspec.json.decode(body)["timestamp"]) == now
