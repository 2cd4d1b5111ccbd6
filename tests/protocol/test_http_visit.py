"""A legacy session over HTTP as its client knows it: what the handshake says, and what goes with each request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import UnexpectedResult
from tybalt.protocol.http_visit import MAX_REVISION, MAX_SESSION_ID, SESSION_ID, HttpVisit
from tybalt.protocol.posts import read_post

OPENING = read_post(b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25"}}')
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}'
FORGED = b'{"result":{"protocolVersion":%s}}'


def test_nothing_is_known_before_the_handshake() -> None:
    visit = HttpVisit()
    assert (visit.is_open, visit.id, visit.revision, visit.opening, visit.headers()) == (False, None, None, None, [])


def test_what_the_handshake_says_goes_with_every_request() -> None:
    visit = HttpVisit()
    assert visit.opened(OPENING, "abc", ANSWER)
    assert visit.is_open and visit.opening is OPENING
    assert visit.headers() == [("MCP-Protocol-Version", "2025-06-18"), (SESSION_ID, "abc")]


def test_a_server_may_keep_no_sessions() -> None:
    visit = HttpVisit()
    assert visit.opened(OPENING, None, ANSWER)
    assert (visit.is_open, visit.headers()) == (True, [("MCP-Protocol-Version", "2025-06-18")])


def test_another_session_takes_the_place_of_the_first() -> None:
    visit = HttpVisit()
    visit.opened(OPENING, "one", ANSWER)
    visit.opened(OPENING, "two", ANSWER.replace(b"2025-06-18", b"2025-11-25"))
    assert visit.headers() == [("MCP-Protocol-Version", "2025-11-25"), (SESSION_ID, "two")]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"no"}}',
        b'{"result":{}}',
        b'{"result":{"protocolVersion":1}}',
        b'{"result":null}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_answer_opens_nothing(answer: bytes) -> None:
    visit = HttpVisit()
    visit.opened(OPENING, "abc", ANSWER)
    assert not visit.opened(OPENING, "other", answer)
    assert visit.id == "abc"
    assert not HttpVisit().opened(OPENING, "abc", answer)


@pytest.mark.parametrize(
    "session_id", ["", " ", "two words", "tab\t", "ü", "\udcff", "s3cr3t\r\nX-Injected: 1", "s" * (MAX_SESSION_ID + 1)]
)
def test_an_id_that_cannot_be_sent_back_is_refused_and_not_shown(session_id: str) -> None:
    visit = HttpVisit()
    with pytest.raises(UnexpectedResult, match="visible ASCII characters: got") as raised:
        visit.opened(OPENING, session_id, ANSWER)
    assert not visit.is_open and visit.headers() == []
    assert "s3cr3t" not in str(raised.value) and len(str(raised.value)) < 200


@pytest.mark.parametrize(
    "revision",
    [b'""', rb'"2025-11-25\r\nX-Injected: 1"', rb'"\u00fc"', b'"2025 11"', b'"%s"' % (b"2" * (MAX_REVISION + 1))],
)
def test_a_revision_that_cannot_be_sent_back_is_refused(revision: bytes) -> None:
    visit = HttpVisit()
    with pytest.raises(UnexpectedResult, match="a revision that is none") as raised:
        visit.opened(OPENING, "abc", FORGED % revision)
    assert not visit.is_open
    assert str(raised.value).isprintable() and len(str(raised.value)) < 200


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=100))
def test_every_id_that_the_specification_allows_is_sent_back_as_it_came(session_id: str) -> None:
    """ "The session ID MUST only contain visible ASCII characters (ranging from 0x21 to 0x7E)."."""
    visit = HttpVisit()
    assert visit.opened(OPENING, session_id, ANSWER)
    assert visit.headers()[-1] == (SESSION_ID, session_id)
