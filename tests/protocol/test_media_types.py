"""Content-Type and Accept, as clients write them and as attackers do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.protocol.media_types import MAX_RANGES, accepts, is_json


@pytest.mark.parametrize(
    "value",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json; charset=utf-8",
        b"application/json;charset=UTF-8",
        b'application/json ; charset="utf-8"',
        b"application/json; charset=utf8; profile=mcp",
        b"application/json;",
    ],
)
def test_json_in_utf_8(value):
    assert is_json(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"text/plain",
        b"text/plain;application/json",
        b"text/plain, application/json",
        b"application/json, text/plain",
        b"application/json; a=b, text/plain",
        b"application/x-www-form-urlencoded",
        b"multipart/form-data; boundary=application/json",
        b"application/json; charset=utf-16",
        b"application/json;charset=x",
        b"application/json; charset=latin-1; charset=utf-8",
        b"application/jsonp",
        b"application/json-seq",
        b"application/*",
        b"*/*",
        b"application/json\0",
    ],
)
def test_anything_else_is_no_json(value):
    """Security: what a form of another site can send without asking (V2)."""
    assert not is_json(value)


@pytest.mark.parametrize(
    ("value", "json", "events"),
    [
        (None, True, True),
        (b"application/json, text/event-stream", True, True),
        (b"text/event-stream,application/json", True, True),
        (b"*/*", True, True),
        (b"text/html, */*;q=0.1", True, True),
        (b"application/*, text/*", True, True),
        (b"Application/JSON;q=0.9 , TEXT/event-stream", True, True),
        (b"application/json", True, False),
        (b"text/event-stream", False, True),
        (b"application/json;q=0, text/event-stream", False, True),
        (b"application/json, text/event-stream;q=0.000", True, False),
        (b"application/json, text/event-stream;q=0.001", True, True),
        (b"*/*, text/event-stream;q=0", True, False),
        (b"text/event-stream;q=0, */*", True, False),
        (b"text/*;q=0, text/event-stream, application/json", True, True),
        (b"*/*;q=0", False, False),
        (b"text/html", False, False),
        (b"", False, False),
        (b",,,", False, False),
        (b"application/json;q=high, text/event-stream;q=", True, True),
        (b"application/json;version=0, text/event-stream;q", True, True),
    ],
)
def test_what_an_answer_may_be(value, json, events):
    """RFC 9110 section 12.5.1: the most specific range decides, a weight of 0 refuses."""
    assert accepts(value) == (json, events)


def test_ranges_beyond_the_bound_are_not_looked_at():
    assert accepts(b"a/b," * (MAX_RANGES - 1) + b"*/*") == (True, True)
    assert accepts(b"a/b," * MAX_RANGES + b"*/*") == (False, False)


@given(st.binary(max_size=60))
def test_any_bytes_are_judged(value):
    json, events = accepts(value)
    assert (json or events) <= (b"*" in value or b"json" in value.lower() or b"event" in value.lower())
    assert is_json(value) <= value.lower().startswith((b"application/json", b" ", b"\t"))
