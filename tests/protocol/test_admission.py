"""Every rule of HTTP on the MCP endpoint, one table each; and that nothing a peer sends raises or splits an answer."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.conversations import initialize, legacy, modern
from tybalt.protocol.admission import ABOUT, MAX_SESSION_ID, Admitted, admit, admit_head, too_large
from tybalt.protocol.allow_list import allowed_hosts, allowed_origins
from tybalt.protocol.http_messages import HttpRequest
from tybalt.protocol.http_policy import Policy
from tybalt.protocol.http_refusal import Refusal

NOW = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
BOTH, MODERN_ONLY, LEGACY_ONLY = Policy(), Policy(legacy=()), Policy(modern=())
ANY = Policy(hosts=allowed_hosts(["*"]), origins=allowed_origins(["*"]))
MODERN = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list"}
RIGHT = {"host": "localhost:8000", "content-type": "application/json", "accept": "application/json, text/event-stream"}


def post(body=b"{}", *, method="POST", http_version="1.1", **headers):
    """A request with the headers of a right one and these; `None` takes one away, a list repeats it."""
    named = RIGHT | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [(name, each) for name, value in named.items() for each in (value if isinstance(value, list) else [value])]
    encoded = [(name.encode(), each.encode("latin-1")) for name, each in lines if each is not None]
    return HttpRequest(method, encoded, body, http_version)


def refused(request, policy=BOTH):
    """The status, the code if the body has one, and the headers of a refusal."""
    refusal = admit(request, policy)
    assert type(refusal) is Refusal, refusal
    response = refusal.response(NOW)
    assert response.status == refusal.status
    body = msgspec.json.decode(response.body)
    code = body["error"]["code"] if "jsonrpc" in body else None
    return response.status, code, dict(response.headers)


def admitted(request, policy=BOTH):
    verdict = admit(request, policy)
    assert type(verdict) is Admitted, verdict
    return verdict


# -- what is right ----------------------------------------------------------------------------------------------------


def test_a_modern_request():
    verdict = admitted(post(modern("tools/list"), **MODERN, mcp_session_id="ignored \x01", last_event_id="ignored"))
    assert (verdict.era, verdict.revision, verdict.session_id) == ("modern", "2026-07-28", "")
    assert verdict.json and verdict.events and verdict.fields[b"mcp-method"] == b"tools/list"


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_a_legacy_request(revision):
    verdict = admitted(post(legacy("ping"), mcp_protocol_version=revision, mcp_session_id="abc~!"))
    assert (verdict.era, verdict.revision, verdict.session_id) == ("legacy", revision, "abc~!")


def test_a_request_without_a_revision_is_of_legacy():
    """ "the server SHOULD assume protocol version 2025-03-26", unless a session knows better; so does `initialize`."""
    for body in (initialize(), legacy("ping")):
        verdict = admitted(post(body))
        assert (verdict.era, verdict.revision, verdict.session_id) == ("legacy", None, "")


# -- who sends --------------------------------------------------------------------------------------------------------

EVIL = ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "localhost.", "user@localhost", "", "null", "*"]


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "OPTIONS", "PUT", "BREW"])
@pytest.mark.parametrize("host", EVIL)
def test_a_host_that_is_not_served(host, method):
    """Security V1; 403 as the official suite wants it."""
    status, code, _ = refused(post(method=method, host=host))
    assert (status, code) == (403, 403)


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "OPTIONS", "PUT"])
@pytest.mark.parametrize("origin", ["null", "", *(f"http://{host}" for host in EVIL), "http://localhost http://evil"])
def test_an_origin_that_may_not_ask(origin, method):
    """ "If the Origin header is present and invalid, servers MUST respond with HTTP 403 Forbidden"."""
    status, code, _ = refused(post(method=method, origin=origin))
    assert (status, code) == (403, 403)


@pytest.mark.parametrize(
    "origin", [["http://localhost"] * 2, ["http://localhost", "http://evil"], ["null", "http://localhost"]]
)
def test_two_origins_are_none(origin):
    assert refused(post(origin=origin))[0] == 403
    assert refused(post(origin=origin), ANY)[0] == 403


def test_a_refusal_of_a_sender_has_no_id_and_lists_nothing_that_is_allowed():
    response = admit(post(modern("tools/list"), host="evil.example"), BOTH).response(NOW)
    assert b'"id"' not in response.body and b"localhost" not in response.body and b"evil.example" in response.body


@pytest.mark.parametrize("headers", [{}, {"origin": "http://localhost:6274"}, {"origin": "HTTP://[::1]:8000"}])
def test_pages_of_this_machine_and_clients_that_are_no_page(headers):
    admitted(post(modern("tools/list"), **MODERN, **headers))


def test_a_page_of_another_site_without_an_origin():
    """Security V2."""
    assert refused(post(sec_fetch_site="cross-site"))[0] == 403
    assert refused(post(method="GET", sec_fetch_site="cross-site"))[0] == 403
    for site in ("same-origin", "none"):
        admitted(post(sec_fetch_site=site))
    admitted(post(sec_fetch_site="cross-site"), ANY)


def test_a_request_without_a_host():
    """RFC 9112 section 3.2; HTTP/1.0 has none."""
    for version in ("1.1", "2", "3"):
        assert refused(post(host=None, http_version=version))[:2] == (400, None)
    admitted(post(host=None, http_version="1.0"))


def test_two_hosts_are_none():
    assert refused(post(host=["localhost", "localhost"]))[0] == 400
    assert refused(post(host=["localhost", "evil.example"]), ANY)[0] == 400


# -- how --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "headers", "method", "allow"),
    [
        (BOTH, {}, "PUT", "GET, POST, DELETE"),
        (BOTH, {}, "HEAD", "GET, POST, DELETE"),
        (BOTH, {}, "OPTIONS", "GET, POST, DELETE"),
        (BOTH, {}, "post", "GET, POST, DELETE"),
        (BOTH, {}, "X" * 300, "GET, POST, DELETE"),
        # What modern says of both ("Earlier Streamable HTTP Revisions")
        (BOTH, MODERN, "GET", "POST"),
        (BOTH, MODERN, "DELETE", "POST"),
        (MODERN_ONLY, {}, "GET", "POST"),
        (MODERN_ONLY, {"mcp-protocol-version": "2025-11-25"}, "DELETE", "POST"),
        # What legacy says of a server that offers no stream, and of one that lets nobody end a session
        (Policy(offers_stream=False), {}, "GET", "POST, DELETE"),
        (Policy(ends_sessions=False), {}, "DELETE", "GET, POST"),
    ],
)
def test_a_method_that_is_not_there(policy, headers, method, allow):
    """RFC 9110 section 15.5.6: 405 says which there are."""
    status, code, sent = refused(post(method=method, **headers), policy)
    assert (status, code, sent[b"allow"]) == (405, None, allow.encode())


def test_a_legacy_stream_and_the_end_of_a_session():
    stream = admitted(post(b"", method="GET", accept="text/event-stream", content_type=None, mcp_session_id="a"))
    assert stream.era == "legacy" and stream.events and not stream.json and stream.session_id == "a"
    ending = admitted(post(b"", method="DELETE", accept=None, content_type=None, mcp_session_id="a"))
    assert ending.json and not ending.events
    for method in ("GET", "DELETE"):
        assert refused(post(b"", method=method, mcp_protocol_version="1900-01-01"))[:2] == (400, -32022)
        assert (
            refused(post(b"", method=method, mcp_protocol_version="2025-11-25"), Policy(legacy=("2025-06-18",)))[0]
            == 400
        )


@pytest.mark.parametrize("accept", [None, "application/json", "text/event-stream;q=0", "text/html"])
def test_a_stream_that_its_client_could_not_read(accept):
    assert refused(post(b"", method="GET", accept=accept))[0] == 406
    lenient = admit(post(b"", method="GET", accept=accept), Policy(needs_both_types=False))
    assert (type(lenient) is Admitted) is (accept is None)


def told(request, policy=BOTH):
    """The status of a refusal that is HTTP's alone, and its text."""
    verdict = admit(request, policy)
    assert type(verdict) is Refusal, verdict
    return verdict.status, msgspec.json.decode(verdict.response(NOW).body)["error"]


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp"


@pytest.mark.parametrize(
    ("request_", "policy", "status"),
    [
        (post(method="GET", accept=BROWSER, content_type=None), BOTH, 406),
        (post(method="GET", accept=None, content_type=None), BOTH, 406),
        (post(method="GET", accept=BROWSER, content_type=None), MODERN_ONLY, 405),
        (post(method="GET", accept="*/*", content_type=None), Policy(offers_stream=False), 405),
        (post(method="HEAD", content_type=None), BOTH, 405),
        (post(method="GET", **MODERN), BOTH, 405),
    ],
)
def test_who_opens_the_endpoint_in_a_browser_is_told_what_it_is(request_, policy, status):
    found, text = told(request_, policy)
    assert found == status and text.startswith(f"{ABOUT}. The")
    assert text.startswith("this is an MCP endpoint, for programs: give its address to an MCP client")
    for said in ("an MCP endpoint", "POST", "application/json, text/event-stream", "docs/http/README.md"):
        assert said in text
    head = admit_head(request_, policy)
    assert type(head) is Refusal and head.status == status


# -- in what form -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": None},
        {"content_type": "text/plain"},
        {"content_type": "text/plain;application/json"},
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "multipart/form-data"},
        {"content_type": "application/json; charset=utf-16"},
        {"content_encoding": "gzip"},
        {"content_encoding": "identity, gzip"},
    ],
    ids=str,
)
def test_a_body_that_is_no_plain_json(headers):
    """Security V2 (no preflight for simple types) and V27 (bombs)."""
    status, code, sent = refused(post(modern("tools/list"), **MODERN, **headers))
    assert (status, code) == (415, None)
    assert (b"accept-encoding" in sent) is ("content_encoding" in headers)
    admitted(post(content_encoding="Identity"))


@pytest.mark.parametrize(
    ("accept", "strict", "lenient"),
    [
        ("application/json, text/event-stream", True, (True, True)),
        (["application/json", "text/event-stream"], True, (True, True)),
        ("*/*", True, (True, True)),
        ("application/json", False, (True, False)),
        ("text/event-stream", False, (False, True)),
        ("application/json, text/event-stream;q=0", False, (True, False)),
        (None, False, (True, True)),
        ("text/html", False, None),
        ("*/*;q=0", False, None),
    ],
    ids=str,
)
def test_what_the_client_can_read(accept, strict, lenient):
    """ "The client MUST include an Accept header, listing both" ("Sending Messages" 2, in every revision)."""
    request = post(accept=accept)
    if strict:
        admitted(request)
    else:
        assert refused(request)[:2] == (406, None)
    verdict = admit(request, Policy(needs_both_types=False))
    if lenient is None:
        assert verdict.status == 406
    else:
        assert (verdict.json, verdict.events) == lenient


def test_a_body_that_is_too_large():
    policy = Policy(max_body=10)
    admitted(post(b"x" * 10), policy)
    assert refused(post(b"x" * 11), policy)[:2] == (413, None)
    assert too_large(policy).status == 413 and "10 bytes" in too_large(policy).error.message


# -- in what revision, in what session --------------------------------------------------------------------------------


def test_a_revision_that_is_not_served_is_told_with_the_id_of_its_request():
    refusal = admit(post(legacy("tools/list", id=301), mcp_protocol_version="v999.0.0"), BOTH)
    assert (refusal.status, refusal.request_id, refusal.error.code) == (400, 301, -32022)
    assert refused(post(initialize()), MODERN_ONLY)[:2] == (400, -32020)
    assert refused(post(modern("tools/list"), **MODERN), LEGACY_ONLY)[:2] == (400, -32600)


@pytest.mark.parametrize(
    "name", ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-param-region", "mcp-session-id"]
)
def test_a_header_of_mcp_that_came_twice(name):
    """Security H7: who stands between may have read the other one."""
    sent = {**MODERN, name: ["a", "a"]}
    refusal = admit(post(modern("tools/list", id="x"), **sent), BOTH)
    assert (refusal.status, refusal.error.code, refusal.request_id) == (400, -32020, "x")
    assert name in refusal.error.message
    assert refused(post(modern("tools/list"), **sent), LEGACY_ONLY)[:2] == (400, -32600)


@pytest.mark.parametrize("name", ["content-type", "authorization", "content-length", "last-event-id"])
def test_another_header_that_came_twice(name):
    assert refused(post(**{name: ["application/json"] * 2}))[:2] == (400, None)


@pytest.mark.parametrize("session_id", ["a b", "\x7f", "a\x00", "é", "a\tb", "a\r\nb"])
def test_a_session_id_is_visible_ascii(session_id):
    """ "The session ID MUST only contain visible ASCII characters (ranging from 0x21 to 0x7E)"."""
    refusal = admit(post(legacy("ping", id=9), mcp_session_id=session_id), BOTH)
    assert (refusal.status, refusal.request_id, refusal.era) == (400, 9, "legacy")
    assert refused(post(b"", method="DELETE", mcp_session_id=session_id))[0] == 400


def test_a_session_id_that_cannot_be_ours_makes_its_client_open_another():
    """ "it MUST respond to requests containing that session ID with HTTP 404 Not Found"."""
    admitted(post(mcp_session_id="~" * MAX_SESSION_ID))
    assert refused(post(legacy("ping"), mcp_session_id="~" * (MAX_SESSION_ID + 1)))[:2] == (404, -32600)


def test_a_notification_that_is_refused_has_no_id():
    """ "an error response that has no id"."""
    body = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
    assert admit(post(body, mcp_session_id="a b"), BOTH).request_id is None
    assert admit(post(body, mcp_protocol_version="v999"), BOTH).request_id is None


# -- before the body is there -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (post(b"", host="evil.example"), 403),
        (post(b"", origin="null"), 403),
        (post(b"", host=["a", "b"]), 400),
        (post(b"", method="PUT"), 405),
        (post(b"", method="GET", accept="text/html"), 406),
        (post(b"", content_type="text/plain"), 415),
        (post(b"", accept="text/html"), 406),
        (post(b"", content_length=str(2**20 + 1)), 413),
        (post(b"", content_length="9" * 19), 413),
    ],
    ids=str,
)
def test_a_head_that_is_enough_to_refuse(request_, status):
    assert admit_head(request_, BOTH).status == status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content_length": str(2**20)},
        {"content_length": "many"},
        {"content_length": "-1"},
        {"mcp_protocol_version": "v999"},
        MODERN,
        {"mcp_session_id": "a b"},
    ],
    ids=str,
)
def test_a_head_that_is_not(headers):
    """What must be answered with the id of the request waits for its body."""
    assert admit_head(post(b"", **headers), BOTH) is None
    assert admit_head(post(b"", method="GET"), BOTH) is None


# -- whatever comes ---------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        b"host",
        b"origin",
        b"content-type",
        b"accept",
        b"content-length",
        b"content-encoding",
        b"sec-fetch-site",
        b"mcp-protocol-version",
        b"mcp-session-id",
        b"mcp-method",
        b"mcp-name",
        b"x-other",
    ]
)
VALUES = st.binary(max_size=20) | st.sampled_from(
    [
        b"localhost",
        b"application/json",
        b"*/*",
        b"2026-07-28",
        b"2025-11-25",
        b"a\r\nset-cookie: b",
        b"a\0",
        b"http://localhost",
    ]
)
REQUESTS = st.builds(
    HttpRequest,
    method=st.sampled_from(["POST", "POST", "GET", "DELETE", "OPTIONS", "PUT"]) | st.text(max_size=5),
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=12).map(
        lambda some: [*((k.encode(), v.encode()) for k, v in RIGHT.items() if k.encode() not in dict(some)), *some]
    ),
    body=st.binary(max_size=30) | st.sampled_from([modern("tools/list"), legacy("ping"), initialize()]),
    http_version=st.sampled_from(["1.0", "1.1", "2"]),
)
POLICIES = st.sampled_from([BOTH, MODERN_ONLY, LEGACY_ONLY, ANY, Policy(needs_both_types=False, max_body=20)])


@given(REQUESTS, POLICIES)
def test_every_request_has_an_answer_and_no_answer_has_a_line_too_many(request, policy):
    verdict = admit(request, policy)
    head = admit_head(request, policy)
    if type(verdict) is Admitted:
        assert head is None or head.status == 413
        assert verdict.revision is None or verdict.revision in (*policy.modern, *policy.legacy)
        assert verdict.json or verdict.events
        return
    response = verdict.response(NOW)
    assert 400 <= response.status < 500 and len(response.body) < 2_000
    assert msgspec.json.decode(response.body)["error"]
    assert not any(set(b"\r\n\0") & set(name + value) for name, value in response.headers)
    assert dict(response.headers)[b"content-length"] == b"%d" % len(response.body)
    assert head is None or response.status in (head.status, 413)


@given(REQUESTS, POLICIES)
def test_nobody_is_admitted_whom_the_lists_do_not_allow(request, policy):
    if type(admit(request, policy)) is Admitted:
        fields = dict(request.headers)
        assert all(policy.hosts.allows(fields[name]) for name in (b"host",) if name in fields)
        assert b"origin" not in fields or policy.origins.allows(fields[b"origin"])
        assert request.method in ("POST", "GET", "DELETE")
