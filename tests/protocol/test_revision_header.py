"""`MCP-Protocol-Version` and the body: who is told what where they do not fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.conversations import ENVELOPE, initialize, legacy, message, modern
from tybalt.protocol.codec import UNREADABLE, decode_legacy, decode_modern
from tybalt.protocol.http_policy import Policy
from tybalt.protocol.mirrored import standard_mismatch
from tybalt.protocol.revision_header import BY_HEADER, HEADER, disagreement, unserved

BOTH, MODERN_ONLY, LEGACY_ONLY = Policy(), Policy(legacy=()), Policy(modern=())
VERSION = "io.modelcontextprotocol/protocolVersion"
NOTIFICATION = message(method="notifications/initialized")
RESPONSE = b'{"jsonrpc":"2.0","id":1,"result":{}}'


def fields(revision=None, method="tools/list"):
    named = {} if revision is None else {HEADER: revision.encode()}
    return {**named, b"mcp-method": method.encode()}


def told(refusal):
    """The code on the wire, the id, and the text."""
    assert refusal.status == 400
    return refusal.error.code_in(refusal.era), refusal.request_id, refusal.error.message


def test_every_revision_has_its_era():
    assert BY_HEADER[b"2026-07-28"] == ("modern", "2026-07-28") and BY_HEADER[b"2024-11-05"][0] == "legacy"


# -- a header that names no revision that is served -------------------------------------------------------------------


@pytest.mark.parametrize("revision", ["v999.0.0", "1900-01-01", "2099-01-01", "", "2026-07-28 ", "\xff"])
@pytest.mark.parametrize("policy", [BOTH, MODERN_ONLY])
def test_an_unknown_revision_is_told_what_there_is(revision, policy):
    """ "it MUST respond with 400 Bad Request and an UnsupportedProtocolVersionError listing its supported versions"."""
    for body in (legacy("tools/list"), modern("tools/list", meta={VERSION: revision})):
        sent = {HEADER: revision.encode("latin-1")}
        refusal = unserved(sent, body if revision.isascii() else legacy("tools/list"), policy)
        assert told(refusal)[:2] == (-32022, 1)
        assert refusal.error.data == {"supported": ["2026-07-28"], "requested": revision}


def test_a_known_revision_that_is_not_served_is_told_the_same():
    refusal = unserved(fields("2025-11-25"), initialize(), MODERN_ONLY)
    assert told(refusal)[:2] == (-32022, "hello") and refusal.error.data["supported"] == ["2026-07-28"]


def test_a_server_of_legacy_does_not_answer_like_a_modern_one():
    """ "Anything else identifies a legacy server", which is what makes a client send `initialize`."""
    for body in (modern("tools/list"), modern("tools/list", meta={VERSION: "v999"})):
        refusal = unserved(fields("2026-07-28"), body, LEGACY_ONLY)
        assert told(refusal)[0] == -32600 and refusal.era == "legacy"
        assert "2025-11-25" in refusal.error.data["supported"]


def test_a_request_that_disagrees_with_itself_is_told_that_first():
    refusal = unserved(fields("v999.0.0"), modern("tools/list"), BOTH)
    assert told(refusal)[0] == -32020 and "'v999.0.0' does not match body value '2026-07-28'" in refusal.error.message


def test_a_request_without_a_header_where_it_must_have_one():
    """ "A server that does not support such clients MUST reject a request without the header"; it names versions."""
    for body, identifier in ((initialize(), "hello"), (modern("tools/list"), 1), (NOTIFICATION, None)):
        code, found, text = told(unserved(fields(), body, MODERN_ONLY))
        assert (code, found) == (-32020, identifier) and "is missing" in text and "2026-07-28" in text


@pytest.mark.parametrize(
    ("body", "identifier"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"jsonrpc":"2.0","id":5', None),
        (b'{"jsonrpc":"1.0","id":5,"method":"x"}', 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"x","params":5}', 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"x","params":' + b"[" * 5_000, 5),
        (b'{"jsonrpc":"2.0","id":5,"method":"\xff"}', 5),
        (RESPONSE, None),
        (NOTIFICATION, None),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_the_id_is_that_of_a_request_that_could_be_read(body, identifier):
    refusal = unserved(fields("v999.0.0"), body, BOTH)
    assert refusal.status == 400 and refusal.error.code_in("modern") == -32022
    assert refusal.request_id == identifier


# -- a body that the decoder of its header's era could not read -------------------------------------------------------


def test_a_modern_body_of_another_revision():
    """ "If the values do not match, the server MUST reject the request with 400 Bad Request and a HeaderMismatch"."""
    body = modern("server/discover", meta={VERSION: "v999.0.0"})
    code, identifier, text = told(disagreement("modern", fields("2026-07-28"), body, BOTH))
    assert (code, identifier) == (-32020, 1) and "'2026-07-28' does not match body value 'v999.0.0'" in text


@pytest.mark.parametrize("version", [None, 5, {}])
def test_a_body_without_a_revision_is_for_the_connection_to_refuse(version):
    """A missing or malformed `_meta` is -32602 (basic/index), not -32020."""
    meta = {key: value for key, value in ENVELOPE.items() if key != VERSION} | (
        {} if version is None else {VERSION: version}
    )
    for params in ({}, {"_meta": meta}, {"_meta": 5}, {"_meta": None}):
        body = message(id=1, method="tools/list", params=params)
        assert disagreement("modern", fields("2026-07-28"), body, BOTH) is None


def test_a_method_that_is_not_the_one_in_front_is_told_before_it_is_unknown():
    body = modern("no/such")
    assert told(disagreement("modern", fields("2026-07-28", "tools/list"), body, BOTH))[0] == -32020
    assert disagreement("modern", fields("2026-07-28", "no/such"), body, BOTH) is None
    assert told(disagreement("modern", {HEADER: b"2026-07-28"}, body, BOTH))[0] == -32020


def test_a_response_has_no_place_in_modern():
    """ "The client MUST NOT send JSON-RPC responses"; in legacy it may answer what it was asked."""
    code, identifier, text = told(disagreement("modern", fields("2026-07-28"), RESPONSE, BOTH))
    assert (code, identifier) == (-32600, None) and "the client asks" in text
    assert disagreement("legacy", fields("2025-11-25"), RESPONSE, BOTH) is None


@pytest.mark.parametrize("body", [NOTIFICATION, b"", b"{", b"[]", b"[" + legacy("ping") + b"]", b"\xff", b"[" * 9_000])
@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_what_is_no_request_is_for_the_connection_to_judge(era, body):
    revision = "2026-07-28" if era == "modern" else "2025-11-25"
    assert disagreement(era, fields(revision), body, BOTH) is None


@pytest.mark.parametrize("revision", [None, "2025-03-26", "2025-11-25"])
def test_a_modern_body_behind_a_legacy_header(revision):
    code, identifier, text = told(disagreement("legacy", fields(revision), modern("tools/list"), BOTH))
    assert (code, identifier) == (-32020, 1) and "2026-07-28" in text


def test_a_modern_envelope_that_names_no_revision_is_modern_unless_the_header_says_legacy():
    meta = {key: value for key, value in ENVELOPE.items() if key != VERSION}
    body = message(id=1, method="tools/list", params={"_meta": meta})
    assert told(disagreement("legacy", fields(), body, BOTH))[0] == -32020
    assert disagreement("legacy", fields("2025-11-25"), body, BOTH) is None


def test_what_a_legacy_server_does_not_know_it_ignores():
    assert disagreement("legacy", fields(), modern("tools/list"), LEGACY_ONLY) is None


@pytest.mark.parametrize("revision", [None, "2025-11-25"])
def test_initialize_selects_legacy_whatever_it_carries(revision):
    """2026-07-28 basic/versioning, "Backward Compatibility with Initialization-Based Versions"."""
    body = modern("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {}})
    assert disagreement("legacy", fields(revision), body, BOTH) is None


def test_a_legacy_body_is_for_the_connection():
    for body in (legacy("no/such"), legacy("tools/call", {"name": 5}), message(id=1, method="tools/list", params=5)):
        assert disagreement("legacy", fields(), body, BOTH) is None


@given(st.sampled_from(sorted(BY_HEADER)), st.sampled_from([*BY_HEADER, b"v999", None]))
def test_no_body_runs_in_another_revision_than_its_header_says(header, said):
    """What the decoder of the header's era can read agrees with the header, or a comparison tells that it does not."""
    era, _ = BY_HEADER[header]
    body = legacy("tools/list") if said is None else modern("tools/list", meta={VERSION: said.decode()})
    sent = {HEADER: header, b"mcp-method": b"tools/list"}
    try:
        decoded = (decode_modern if era == "modern" else decode_legacy)(body)
    except UNREADABLE:
        refusal = disagreement(era, sent, body, BOTH)
        # Without a refusal here, the connection of that era refuses (modern), or ignores the envelope (legacy).
        assert refusal is not None or said in (None, header)
    else:
        assert era == "legacy" or (said == header and standard_mismatch(sent, decoded) is None)
        assert era == "modern" or said is None


@given(
    st.sampled_from(["modern", "legacy"]),
    st.dictionaries(st.sampled_from([HEADER, b"mcp-method"]), st.binary(max_size=12)),
    st.binary(max_size=60),
    st.sampled_from([BOTH, MODERN_ONLY, LEGACY_ONLY]),
)
def test_any_header_and_any_body_are_judged(era, sent, body, policy):
    refusal = disagreement(era, {HEADER: b"2026-07-28", **sent}, body, policy)
    assert refusal is None or refusal.status == 400
    assert unserved(sent, body, policy).status == 400
