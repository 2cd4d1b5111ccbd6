"""`Address`: what can be meant, what cannot, and what is never shown of it."""

import ssl
from collections.abc import Generator
from typing import Any

import pytest
from msgspec.structs import replace

from tybalt.client.address import Address, is_local
from tybalt.client.http.auth import Incoming, Outgoing
from tybalt.errors import MisuseError

SECRET = "s3cr3t"


class Let:
    """Lets everything through."""

    def flow(self, request: Outgoing) -> Generator[Outgoing, Incoming, None]:
        yield request


@pytest.mark.parametrize(
    ("url", "transport", "origin"),
    [
        ("https://example.com/mcp?key=s3cr3t", "http", "https://example.com"),
        ("HTTP://EXAMPLE.com:8000", "http", "http://EXAMPLE.com:8000"),
        ("http://127.0.0.2:1/", "http", "http://127.0.0.2:1"),
        ("http://[::1]:8000/mcp", "http", "http://[::1]:8000"),
        ("http://[fe80::1%25eth0]/", "http", "http://[fe80::1%25eth0]"),
        ("https://my_host.example.com./", "http", "https://my_host.example.com."),
        ("https://bücher.example/", "http", "https://bücher.example"),
        ("ws://host/x", "ws", "ws://host"),
        ("wss://host/x", "ws", "wss://host"),
        ("unix:/run/mcp.sock", "unix", "unix:/run/mcp.sock"),
        ("unix:///run/mcp.sock", "unix", "unix:/run/mcp.sock"),
    ],
)
def test_what_can_be_meant(url: str, transport: str, origin: str) -> None:
    address = Address(url)
    assert (address.transport, address.origin) == (transport, origin)
    assert repr(address) == f"Address({origin!r})"
    assert address.__rich_repr__() == [("", origin)]


def test_a_scheme_is_in_lower_case_whatever_way_it_is_written() -> None:
    assert Address("HTTPS://Host/Path?Query").url == "https://Host/Path?Query"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (b"https://me:s3cr3t@host/", "as text; got one of the type bytes"),
        (None, "as text; got one of the type NoneType"),
        ("", "begins with one of"),
        ("example.com/mcp", "begins with one of .*; do you mean 'https://example.com/mcp'\\?$"),
        ("localhost:8701/mcp?key=s3cr3t", "begins with one of .*; do you mean 'http://localhost:8701/mcp'\\?$"),
        ("https:/example.com/mcp?key=s3cr3t", "names a host.*; do you mean 'https://example.com/mcp'\\?$"),
        ("ftp://host/", "begins with one of http:, https:, ws:, wss:, unix:; got 'ftp':"),
        ("https://host/a b", "blanks"),
        ("https://host/\r\nX-Injected:s3cr3t", "line ends"),
        ("https://host/\x00", "control characters"),
        (" https://host/", "blanks"),
        ("https:///path", "names a host"),
        ("https://:80/", "names a host"),
        ("https:host", "names a host"),
        ("https:/me:s3cr3t@host/mcp", "names a host, as in https://localhost:8000/mcp$"),
        ("https://me:s3cr3t@host/", "a name or a password"),
        ("https://s3cr3t@host/", "a name or a password"),
        ("https://@host/", "a name or a password"),
        ("https://me:s3cr3t/x@host/", "port is no number"),
        ("https://me:99999@host:s3cr3t/", "a name or a password"),
        ("https://host:65536/", "port is no number"),
        ("https://host:s3cr3t/", "port is no number"),
        ("https://host:-1/", "port is no number"),
        ("https://[::1/", "cannot be read"),
        ("https://[s3cr3t]/", "cannot be read|the host of a URL"),
        ("https://good.example\\@evil.example/", "a name or a password"),
        ("https://good.example\\.evil.example/", "the host of a URL"),
        ("https://good%2eexample/", "the host of a URL"),
        ("https://a,b/", "the host of a URL"),
        ("https://.example/", "the host of a URL"),
        ("https://s3cr3t\u2100.example/", "cannot be read"),
        ("https://host/#part", "no fragment"),
        ("unix:", "unix:/path"),
        ("unix:relative", "unix:/path"),
        ("unix://host/path", "unix:/path"),
        ("unix:/path?query", "unix:/path"),
    ],
)
def test_what_cannot_be_meant(url: Any, problem: str) -> None:
    with pytest.raises(MisuseError, match=problem) as raised:
        Address(url)
    assert SECRET not in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"transport": "ws"}, "is reached by 'http' or 'sse', got 'ws'"),
        ({"transport": "unix"}, "is reached by"),
        ({"connect_timeout": 0}, "connect_timeout: expected a number of seconds above 0"),
        ({"connect_timeout": float("nan")}, "connect_timeout"),
        ({"connect_timeout": float("inf")}, "connect_timeout"),
        ({"connect_timeout": "10"}, "connect_timeout"),
        ({"limit": 0}, "limit: expected a number of bytes"),
        ({"limit": True}, "limit"),
        ({"limit": 1e6}, "limit"),
        ({"tls": "ca.pem"}, "an ssl.SSLContext"),
        ({"auth": SECRET}, "`flow.request.`, got one of the type str"),
        ({"auth": Let}, "got one of the type type"),
        ({"proxy": 3128}, "proxy: expected a URL"),
        ({"proxy": f"me:{SECRET}@proxy:3128"}, "proxy: expected a URL"),
        ({"proxy": f"socks5://me:{SECRET}@proxy"}, "only proxies of HTTP"),
        ({"proxy": f"http://me:{SECRET}@"}, "proxy: expected a URL"),
        ({"proxy": f"http://me:{SECRET}@proxy:x"}, "proxy: expected a URL"),
        ({"proxy": f"http://proxy/{SECRET}"}, "proxy: expected a URL"),
        ({"proxy": "http://proxy\r\n"}, "proxy: expected a URL"),
        ({"proxy": "http://[::1"}, "proxy: expected a URL"),
        ({"token": ""}, "a bearer token"),
        ({"token": f"Bearer {SECRET}"}, "without the word Bearer"),
        ({"token": f"{SECRET}\n"}, "^token: it must be visible ASCII"),
        ({"token": f"{SECRET}ü"}, "^token: it must be visible ASCII"),
        ({"token": SECRET.encode()}, "^token: expected .* as text, .*; got one of the type bytes"),
        ({"headers": [("X-A", SECRET)]}, "a mapping of names to texts, got one of the type list"),
        ({"headers": {"X-A": SECRET.encode()}}, "; the value of X-A is of the type bytes$"),
        ({"headers": {b"X-A": SECRET}}, "; a name is of the type bytes$"),
        ({"headers": {"X-A": f"{SECRET}\r\nX-B: 1"}}, "the value of X-A must be visible ASCII"),
        ({"headers": {"X-A": f"{SECRET}\x00"}}, "the value of X-A"),
        ({"headers": {"X-A": f" {SECRET}"}}, "the value of X-A"),
        ({"headers": {"X-A\r\nX-B": SECRET}}, r"the value of X-A\\r\\nX-B must"),
        ({"headers": {"X A": SECRET}}, "under a name made of tokens"),
        ({"headers": {"": SECRET}}, "under a name made of tokens"),
        ({"headers": {"X-A": "1", "x-a": SECRET}}, "x-a is there twice"),
        ({"headers": {"authorization": SECRET}, "token": "abc"}, "there is a token already"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(MisuseError, match=problem) as raised:
        Address("https://example.com/", **options)
    assert SECRET not in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "name",
    "Host Accept-ENCODING Content-Length transfer-encoding TE Expect Proxy-Authorization Mcp-Session-Id".split(),  # noqa: SIM905
)
def test_fields_that_are_not_for_the_program_to_set(name: str) -> None:
    with pytest.raises(MisuseError, match=f"{name} is set by the client itself"):
        Address("https://example.com/", headers={name: "x"})


def test_what_goes_with_every_request() -> None:
    address = Address("https://example.com/", token="abc", headers={"X-Tenant": "acme"})
    assert address.fields == {"X-Tenant": "acme", "Authorization": "Bearer abc"}
    assert Address("https://example.com/", headers={"authorization": "Basic x"}).fields == {"authorization": "Basic x"}


def test_nothing_that_is_secret_is_shown() -> None:
    address = Address(
        f"https://example.com/{SECRET}?{SECRET}",
        token=SECRET,
        headers={"X-Key": SECRET},
        auth=Let(),
        proxy=f"http://me:{SECRET}@proxy:3128/",
    )
    assert SECRET not in repr(address) + str(address) + repr([address]) + repr(address.__rich_repr__())


def test_an_address_changes_by_a_copy_that_is_checked_again() -> None:
    address = Address("https://example.com/", tls=ssl.create_default_context(), proxy="")
    assert replace(address, token="abc").fields == {"Authorization": "Bearer abc"}
    with pytest.raises(MisuseError, match="without blanks"):
        replace(address, token="a b")
    with pytest.raises(AttributeError):
        address.url = "https://evil.example/"  # pyright: ignore[reportAttributeAccessIssue]


def test_its_fields_are_its_own() -> None:
    given = {"X-A": "1"}
    address = Address("https://example.com/", headers=given)
    given["X-A"] = "2"
    assert address.fields == {"X-A": "1"}


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost.",
        "a.localhost",
        "127.0.0.1",
        "127.0.0.2",
        "127.255.255.254.",
        "0.0.0.0",
        "::1",
        "[::1]",
        "::",
        "::ffff:127.0.0.1",
        "0:0:0:0:0:0:0:1",
        "",
    ],
)
def test_hosts_of_this_machine(host: str) -> None:
    assert is_local(host)


@pytest.mark.parametrize(
    "host",
    ["localhost.example.com", "notlocalhost", "128.0.0.1", "127.0.0.1.example.com", "10.0.0.1", "fe80::1%1", "::2"],
)
def test_hosts_elsewhere(host: str) -> None:
    assert not is_local(host)


def test_an_address_says_whether_it_is_of_this_machine() -> None:
    assert Address("HTTP://LOCALHOST.:1/").is_local and Address("http://[::1]/").is_local
    assert Address("unix:/run/x").is_local
    assert not Address("http://localhost.evil.example/").is_local
