"""Hosts and origins that are let through, and everything that only looks like one of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.protocol.allow_list import (
    LOOPBACK_HOSTS,
    LOOPBACK_ORIGINS,
    AllowList,
    allowed_hosts,
    allowed_origins,
    origins_of,
)


@pytest.mark.parametrize(
    "host",
    [b"localhost", b"localhost:8000", b"LOCALHOST:1", b"127.0.0.1", b"127.0.0.1:65535", b"[::1]", b"[::1]:8000"],
)
def test_this_machine_is_allowed_at_any_port_and_without_one(host):
    assert LOOPBACK_HOSTS.allows(host)


LOOK_ALIKES = [
    b"",
    b"evil.example",
    b"127.0.0.1.evil.example",
    b"localhost.evil",
    b"localhost.",
    b"localhost.:8000",
    b"localhost@evil.example",
    b"evil.example@localhost",
    b"evil.example:80@localhost:80",
    b"localhost:",
    b"localhost:*",
    b"localhost:80x",
    b"localhost:-1",
    b"localhost: 80",
    b"localhost:65536",
    b"localhost:000080",
    b"localhost:80:80",
    b"localhost, localhost",
    b" localhost",
    b"localhost\0",
    b"::1",
    b"[::1",
    b"[::1]evil",
    b"[::1]:x",
    b"0.0.0.0:8000",
    b"127.0.0.2",
    b"127.1",
    b"2130706433",
    "localhost:٣".encode(),
]


@pytest.mark.parametrize("host", LOOK_ALIKES)
def test_what_only_looks_like_this_machine_is_not(host):
    """Security: the matrix of V1 (DNS rebinding)."""
    assert not LOOPBACK_HOSTS.allows(host)


@pytest.mark.parametrize("origin", [b"http://localhost:6274", b"https://127.0.0.1", b"http://[::1]:3000"])
def test_pages_of_this_machine_are_allowed(origin):
    assert LOOPBACK_ORIGINS.allows(origin)


@pytest.mark.parametrize(
    "origin",
    [b"http://" + host for host in LOOK_ALIKES]
    + [b"null", b"localhost", b"//localhost", b"ftp://localhost", b"http://localhost/", b"http:localhost"]
    + [b"http://localhost http://evil.example", b"http://localhost:80, http://evil.example"],
)
def test_other_pages_are_not(origin):
    assert not LOOPBACK_ORIGINS.allows(origin)


def test_an_entry_without_a_wildcard_is_exact():
    hosts = allowed_hosts(["mcp.example.com", "Other.Example:8443"])
    assert hosts.allows(b"MCP.example.com") and hosts.allows(b"other.example:8443")
    assert not any(map(hosts.allows, (b"mcp.example.com:443", b"other.example", b"a.mcp.example.com", b"example.com")))


def test_an_extension_has_an_origin_too():
    assert allowed_origins(["vscode-webview://1a2b"]).allows(b"vscode-webview://1a2b")


def test_origins_of_hosts_are_those_that_they_serve_themselves():
    origins = origins_of(allowed_hosts(["mcp.example.com", "localhost:*"]))
    assert origins.allows(b"https://mcp.example.com") and origins.allows(b"http://localhost:5")
    assert not origins.allows(b"https://example.com")
    assert origins_of(allowed_hosts(["*"])).entries == ()


def test_a_star_allows_any():
    assert allowed_hosts(["*"]).allows(b"evil.example") and allowed_origins(["*"]).allows(b"null")
    assert repr(allowed_hosts(["*"])) == "<AllowList *>" and repr(allowed_hosts(["a"])) == "<AllowList a>"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "http://localhost",
        "localhost/",
        "localhost:x",
        "localhost:",
        "localhost:65536",
        "::1",
        "bücher.example",
        "a b",
        "*.example.com",
        "user@host",
        "localhost\n",
    ],
)
def test_an_entry_that_no_host_header_could_be_is_misuse(host):
    with pytest.raises(MisuseError, match="a host is a name"):
        allowed_hosts([host])


@pytest.mark.parametrize("origin", ["", "localhost", "https://a/", "https://a/b", "https://", "https://a:99999", "a b"])
def test_an_entry_that_no_origin_could_be_is_misuse(origin):
    with pytest.raises(MisuseError, match="an origin is scheme"):
        allowed_origins([origin])


def test_null_cannot_be_allowed_by_name():
    with pytest.raises(MisuseError, match="sandboxed"):
        allowed_origins(["https://a", "Null"])


def test_one_text_is_no_list():
    with pytest.raises(MisuseError, match=r"^allowed_hosts is a list, such as \['localhost'\], not one text$"):
        allowed_hosts("localhost")


@pytest.mark.parametrize("wrong", [None, 5, [b"https://a"], [None]])
def test_what_is_no_list_of_texts_is_misuse(wrong):
    for make in (allowed_hosts, allowed_origins):
        with pytest.raises(MisuseError, match=rf"^{make.__name__} is a list"):
            make(wrong)


def test_an_error_names_the_setting_that_was_given():
    for wrong in ("https://a", ["a b"], ["null"], None):
        with pytest.raises(MisuseError, match=r"^cors_origins"):
            allowed_origins(wrong, setting="cors_origins")
    for wrong in ("localhost", ["a b"]):
        with pytest.raises(MisuseError, match=r"^hosts_of_ours"):
            allowed_hosts(wrong, setting="hosts_of_ours")


@given(st.binary(max_size=40), st.sampled_from([LOOPBACK_HOSTS, LOOPBACK_ORIGINS, AllowList(())]))
def test_any_bytes_are_judged(value, allowed):
    name, _, port = value.lower().rpartition(b":")
    known = {entry.removesuffix(":*").encode() for entry in allowed.entries}
    assert allowed.allows(value) is (value.lower() in known or (name in known and port.isdigit() and len(port) < 6))
