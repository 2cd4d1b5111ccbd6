"""Header fields in and out: repeated ones, and what can never go out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.protocol.http_messages import HttpResponse, fields_of, header, respond, shown

NAMES = st.sampled_from([b"accept", b"host", b"origin", b"mcp-name", b"mcp-param-region", b"x-other", b"cookie"])


def test_fields_that_come_once_are_what_came():
    assert fields_of([(b"host", b"a"), (b"accept", b"*/*")]) == ({b"host": b"a", b"accept": b"*/*"}, ())
    assert fields_of([]) == ({}, ())


def test_a_list_in_several_lines_is_one_list():
    """RFC 9110 section 5.3."""
    fields, repeated = fields_of([(b"accept", b"application/json"), (b"host", b"a"), (b"accept", b"text/event-stream")])
    assert fields[b"accept"] == b"application/json, text/event-stream" and repeated == ()


@pytest.mark.parametrize(
    "name",
    [
        b"host",
        b"origin",
        b"content-type",
        b"content-length",
        b"authorization",
        b"last-event-id",
        b"sec-fetch-site",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-param-region",
    ],
)
def test_what_is_no_list_must_not_come_twice_even_with_one_value(name):
    assert fields_of([(name, b"a"), (b"x-other", b"b"), (name, b"a")])[1] == (name,)


@given(st.lists(st.tuples(NAMES, st.binary(max_size=6))))
def test_no_line_is_lost_and_none_is_invented(headers):
    fields, repeated = fields_of(headers)
    assert fields == {name: b", ".join(v for n, v in headers if n == name) for name, _ in headers}
    assert set(repeated) <= {name for name, _ in headers if sum(n == name for n, _ in headers) > 1}


def test_thousands_of_lines_of_one_name_are_joined_once():
    fields, _ = fields_of([(b"x-other", b"a" * 100)] * 20_000)
    assert len(fields[b"x-other"]) == 20_000 * 102 - 2


def test_a_field_to_send_is_in_lower_case():
    assert header("Mcp-Session-Id", "a b~") == (b"mcp-session-id", b"a b~")
    assert header("X-Empty", "") == (b"x-empty", b"")


@pytest.mark.parametrize("value", ["a\r\nb", "a\n", "\ra", "a\0", "é", "\ud800", " a", "a ", "\t", "\x7f"])
def test_a_value_that_is_no_field_value_does_not_go_out(value):
    """RFC 9110 section 5.5."""
    with pytest.raises(MisuseError, match="visible ASCII"):
        header("x-name", value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "é", "\0"])
def test_a_name_that_is_no_token_does_not_go_out(name):
    with pytest.raises(MisuseError, match="visible ASCII"):
        header(name, "value")


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_smuggles_a_line_end_into_a_field(name, value):
    try:
        field = header(name, value)
    except MisuseError:
        return
    assert not set(b"\r\n\0") & set(field[0] + field[1])
    assert b":" not in field[0] and field[1] == field[1].strip()


def test_a_response_says_how_long_it_is():
    assert respond(200, b"{}", ((b"a", b"b"),)) == HttpResponse(200, ((b"a", b"b"), (b"content-length", b"2")), b"{}")


def test_what_a_peer_sent_is_shown_quoted_and_cut():
    assert shown(b"a\r\n\xe9\x85") == r"'a\r\né\x85'"
    assert len(shown(b"x" * 1_000_000)) < 120
