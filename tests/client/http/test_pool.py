"""The pool against servers by hand: redirects, proxies, TLS, and everything that is no good answer."""

import asyncio
import datetime as dt
import ipaddress
import pathlib
import ssl
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.client.http.by_hand import Heard, Writer, answer, site
from tybalt.client.address import Address
from tybalt.client.http.pool import MAX_HEADERS, MAX_REDIRECTS, MAX_TARGETS, Pool
from tybalt.errors import ConnectionLost, MisuseError, RequestLost, UnexpectedResult, describe
from tybalt.protocol.frames import Oversized

SECRET = "s3cr3t"


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


@asynccontextmanager
async def pool(url: str, **options: Any) -> AsyncGenerator[Pool]:
    opened = Pool(Address(url, **options))
    try:
        yield opened
    finally:
        await opened.aclose()


async def ask(url: str, **options: Any) -> bytes | Oversized:
    async with pool(url, **options) as connections:
        return await (await connections.request("POST", url, {"X-Token": SECRET}, b"{}")).read(1000)


def redirect(status: int, location: str) -> bytes:
    return answer(status, b"", [f"Location: {location}"])


# -- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.loops
async def test_a_request_asks_for_nothing_compressed_and_says_who_asks() -> None:
    async with site(answer(body=b'{"a":1}')) as there:
        assert await ask(there.url("/mcp?a=%2F")) == b'{"a":1}'
    (heard,) = there.heard
    assert heard.line == "POST /mcp?a=%2F HTTP/1.1"
    assert heard.headers["accept-encoding"] == "identity"
    assert heard.headers["user-agent"].startswith("tybalt/")
    assert heard.headers["x-token"] == SECRET
    assert heard.body == b"{}"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("", "/"),
        ("?q", "/?q"),
        ("/a%2Fb//c/../%7e?x=%2F+%20;&y", "/a%2Fb//c/../%7e?x=%2F+%20;&y"),
        ("/ü?ü", "/%C3%BC?%C3%BC"),
        ("/{a}?%", "/%7Ba%7D?%25"),
    ],
)
async def test_a_url_is_asked_for_as_it_is_written(path: str, sent: str) -> None:
    async with site(answer()) as there:
        await ask(there.url(path))
    assert there.heard[0].line == f"POST {sent} HTTP/1.1"


async def test_one_connection_serves_many_requests() -> None:
    async with site(answer()) as there, pool(there.url()) as connections:
        for _ in range(5):
            await (await connections.request("POST", there.url(), [], b"{}")).read(100)
    assert (there.connections, len(there.heard)) == (1, 5)


async def test_no_cookie_is_kept() -> None:
    async with site(answer(headers=["Set-Cookie: a=b; Path=/", "Set-Cookie: broken"])) as there:
        url = f"http://localhost:{there.port}/"
        async with pool(url) as connections:
            for _ in range(2):
                await (await connections.request("GET", url, [])).read(100)
    assert all("cookie" not in heard.headers for heard in there.heard)


async def test_passwords_of_the_netrc_file_are_not_sent(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login me password {SECRET}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with site(answer()) as there:
        await ask(there.url())
    assert "authorization" not in there.heard[0].headers


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/",
        "/mcp",
        "http:///x",
        "http://[::1/",
        "http://h:99999/",
        f"https://me:{SECRET}@h/",
        f"http://h\\{SECRET}/",
        f"ws://h/{SECRET}",
    ],
)
async def test_what_is_no_url_of_http_is_a_misuse_that_does_not_show_it(url: str) -> None:
    async with pool("http://127.0.0.1:1/") as connections:
        with pytest.raises(MisuseError) as raised:
            await connections.request("GET", url, [])
        assert SECRET not in str(raised.value)


async def test_urls_that_are_kept_ready_are_bounded() -> None:
    async with pool("http://127.0.0.1:1/") as connections:
        for number in range(3 * MAX_TARGETS):
            assert connections.is_own(f"http://127.0.0.1:1/{number}")
            assert len(connections._targets) <= MAX_TARGETS


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("https://EXAMPLE.com/other?x", True),
        ("https://example.com:443/", True),
        ("https://example.com:444/", False),
        ("http://example.com/", False),
        ("https://example.com./", False),
        ("https://example.com.evil.org/", False),
        ("https://evil.org/https://example.com/", False),
    ],
)
async def test_an_origin_is_scheme_host_and_port(url: str, own: bool) -> None:
    async with pool("https://example.com/mcp") as connections:
        assert connections.is_own(url) is own


# -- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("location", ["/mcp/", "mcp/", "{origin}/mcp/", "//127.0.0.1:{port}/mcp/#part"])
async def test_a_redirect_within_the_origin_is_followed_with_all_that_was_sent(status: int, location: str) -> None:
    async def say(heard: Heard, writer: Writer) -> None:
        where = location.format(origin=there.origin, port=there.port)
        writer.write(answer(body=b"here") if "/mcp/ " in heard.line else redirect(status, where))

    async with site(say) as there:
        assert await ask(there.url()) == b"here"
    first, second = there.heard
    assert second.line == "POST /mcp/ HTTP/1.1"
    assert (second.body, second.headers["x-token"]) == (first.body, first.headers["x-token"])


async def test_a_redirect_that_goes_in_circles_ends() -> None:
    async with site(redirect(307, "/mcp")) as there:
        with pytest.raises(UnexpectedResult, match=f"more than {MAX_REDIRECTS} times"):
            await ask(there.url())
    assert len(there.heard) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", f"me:{SECRET}@127.0.0.1"])
async def test_nothing_is_sent_to_another_origin(status: int, host: str) -> None:
    async with site(answer()) as elsewhere:
        async with site(redirect(status, f"http://{host}:{elsewhere.port}/{SECRET}?{SECRET}")) as there:
            with pytest.raises(UnexpectedResult, match=f"redirects with HTTP {status} to http://") as raised:
                await ask(there.url())
        assert elsewhere.connections == 0
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_that_changes_the_method_is_not_followed(status: int) -> None:
    async with site(redirect(status, "/mcp/")) as there:
        with pytest.raises(UnexpectedResult, match="only 307 and 308 to the same origin"):
            await ask(there.url())
    assert len(there.heard) == 1


@pytest.mark.parametrize(
    "location",
    [
        "",
        "http://[::1",
        "https://127.0.0.1:{port}/",
        "file:///etc/passwd",
        "javascript:x",
        "http://me:pw@127.0.0.1:{port}/",
        "http://\xe9\xff:1/",
        "http://127.0.0.1:{port}\\@evil.org/",
    ],
)
async def test_a_redirect_to_anything_else_is_refused(location: str) -> None:
    async def say(heard: Heard, writer: Writer) -> None:
        writer.write(redirect(307, location.format(port=there.port)))

    async with site(say) as there:
        with pytest.raises(UnexpectedResult, match="redirects with HTTP 307 to"):
            await ask(there.url())
    assert len(there.heard) == 1


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip"])
async def test_an_answer_that_is_compressed_unasked_is_refused_and_closed(encoding: str) -> None:
    said = answer(body=b"\x1f\x8b", headers=[f"Content-Encoding: {encoding}"])
    async with site(said) as there, pool(there.url()) as connections:
        with pytest.raises(UnexpectedResult, match="compressed its answer"):
            await connections.request("POST", there.url(), [])
        assert not connections._session.connector._acquired


async def test_an_answer_that_says_it_is_as_it_is_is_taken() -> None:
    async with site(answer(body=b"as it is", headers=["Content-Encoding: Identity"])) as there:
        assert await ask(there.url()) == b"as it is"


@pytest.mark.loops
async def test_a_body_without_end_is_not_read_to_its_end() -> None:
    async def say(heard: Heard, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" " * 1000)
            await writer.drain()

    async with site(say) as there, pool(there.url()) as connections:
        body = await (await connections.request("POST", there.url(), [])).read(5000)
        assert isinstance(body, Oversized) and body.limit == 5000 and body.head == b" " * 256
        await there.ended.wait()


async def test_a_body_is_as_long_as_the_limit_at_most() -> None:
    async with site(answer(body=b"x" * 100)) as there, pool(there.url()) as connections:
        assert await (await connections.request("GET", there.url(), [])).read(100) == b"x" * 100
        assert isinstance(await (await connections.request("GET", there.url(), [])).read(99), Oversized)


async def test_a_body_in_chunks() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with site(chunked) as there, pool(there.url()) as connections:
        assert await (await connections.request("GET", there.url(), [])).read(100) == b"abcde"
        async with aclosing((await connections.request("GET", there.url(), [])).chunks()) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == b"abcde"
        kept = await connections.request("GET", there.url(), [])
        kept.kept = b"once more"
        assert (await kept.read(100), [chunk async for chunk in kept.chunks()]) == (b"once more", [b"once more"])
        kept.close()


async def test_header_fields_that_are_repeated_are_joined() -> None:
    fields = ["WWW-Authenticate: Basic", "www-authenticate: Bearer", "X-One: 1"]
    async with site(answer(401, headers=fields)) as there, pool(there.url()) as connections:
        got = await connections.request("GET", there.url(), [])
        assert (got.status, got.is_success, got.reason, got.media_type) == (401, False, "Said", "")
        assert got.fields["www-authenticate"] == "Basic, Bearer"
        assert (got.fields["x-one"], got.field("X-ONE"), got.field("x-two")) == ("1", "1", None)
        got.close()


# -- what goes wrong below HTTP ---------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "garbage": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "control characters": b"HTTP/1.1 200 \x1b[31mred\r\n\x00\r\n\r\n",
    "a header too long": HEAD + b"X: " + b"x" * 20_000 + b"\r\n\r\n",
    "many headers too long": HEAD + (b"X-Long: " + b"x" * 20_000 + b"\r\n") * 100 + b"\r\n",
    "too many headers": HEAD + b"".join(b"X-%d: 1\r\n" % n for n in range(MAX_HEADERS + 1)) + b"\r\n",
    "two lengths": HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a length that is none": HEAD + b"Content-Length: -1\r\n\r\n",
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_what_is_no_http(broken: str) -> None:
    async with site(BROKEN[broken]) as there:
        with pytest.raises(ConnectionLost) as raised:
            await ask(there.url("/" + SECRET))
    text = str(raised.value)
    assert text.startswith(f"what {there.origin} sent is no HTTP: ")
    assert text.isprintable() and len(text) < 600 and SECRET not in text


CUT_SHORT = {
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nConte",
    "half a body": HEAD + b"Content-Length: 100\r\n\r\nhalf",
    "half a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf",
    "no chunk at all": HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.loops
@pytest.mark.parametrize("said", CUT_SHORT)
async def test_an_answer_that_is_cut_short(said: str) -> None:
    async def say(heard: Heard, writer: Writer) -> None:
        writer.write(CUT_SHORT[said])
        await writer.drain()
        writer.close()

    async with site(say) as there:
        with pytest.raises(ConnectionLost, match=r"closed the connection|is no HTTP"):
            await ask(there.url())
        if "half a " in said and said != "half a head":
            async with pool(there.url()) as connections:
                got = await connections.request("GET", there.url(), [])
                with pytest.raises(ConnectionLost, match=f"^{there.origin} closed .* in the middle of its answer"):
                    _ = [chunk async for chunk in got.chunks()]


async def test_a_post_whose_connection_broke_is_not_sent_again_by_itself() -> None:
    async def say(heard: Heard, writer: Writer) -> None:
        writer.close()

    async with site(say) as there:
        with pytest.raises(
            ConnectionLost, match="closed the connection before it answered in full; does it want https"
        ):
            await ask(there.url())
    assert len(there.heard) == 1


async def test_who_has_answered_before_is_not_asked_whether_it_wants_tls() -> None:
    async def say(heard: Heard, writer: Writer) -> None:
        writer.write(answer()) if there.heard[1:] == [] else writer.close()

    async with site(say) as there, pool(there.url()) as connections:
        await (await connections.request("POST", there.url(), [])).read(100)
        with pytest.raises(ConnectionLost, match=r"closed the connection before it answered in full$"):
            await connections.request("POST", there.url(), [])


async def test_nobody_listens() -> None:
    async with site(b"") as there:
        pass
    with pytest.raises(ConnectionLost, match="is the server running there") as raised:
        await ask(there.url("/" + SECRET))
    assert str(raised.value).startswith(f"cannot connect to {there.origin}: ")
    assert SECRET not in str(raised.value) and not isinstance(raised.value, OSError)
    # The text has said it all: no other is told with it, in a log or a traceback.
    assert describe(raised.value) == str(raised.value) and raised.value.__suppress_context__


async def test_a_name_that_nobody_has() -> None:
    told = r"cannot connect to http://nobody\.invalid: the name 'nobody\.invalid' is not known: [^;]+$"
    with pytest.raises(ConnectionLost, match=told):
        await ask("http://nobody.invalid/")


async def test_a_connection_that_is_never_made_is_no_timeout_of_the_program() -> None:
    async def say(heard: Heard, writer: Writer) -> None:
        await asyncio.Event().wait()

    # A proxy that takes the CONNECT and says nothing: TCP alone is made at once.
    async with site(say) as silent:
        with pytest.raises(ConnectionLost, match="in time; see `connect_timeout`") as raised:
            await ask("https://example.invalid/", proxy=silent.origin, connect_timeout=0.01)
    assert not isinstance(raised.value, TimeoutError)


async def test_a_pool_that_is_closed() -> None:
    async with pool("http://127.0.0.1:1/") as connections:
        await connections.aclose()
        with pytest.raises(ConnectionLost, match="failed"):
            await connections.request("GET", "http://127.0.0.1:1/", [])


async def test_a_request_that_is_cancelled_leaves_no_connection() -> None:
    asked = asyncio.Event()

    async def say(heard: Heard, writer: Writer) -> None:
        asked.set()
        await asyncio.Event().wait()

    async with site(say) as there, pool(there.url()) as connections:
        waiting = asyncio.create_task(connections.request("POST", there.url(), []))
        await asked.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled() and not connections._session.connector._acquired


@pytest.mark.loops
@pytest.mark.parametrize("turns", range(30))
async def test_a_request_that_is_cancelled_at_any_moment_leaves_nothing_open(turns: int) -> None:
    async def say(heard: Heard, writer: Writer) -> None:
        writer.write(redirect(307, "/b") if "/mcp " in heard.line else answer(body=b"x" * 200_000))

    async def use(connections: Pool, url: str) -> None:
        got = await connections.request("POST", url, [], b"{}")
        try:
            await got.read(1_000_000)
        finally:
            got.close()

    async with site(say) as there, pool(there.url()) as connections:
        using = asyncio.create_task(use(connections, there.url()))
        for _ in range(turns):
            await asyncio.sleep(0)
        using.cancel()
        await asyncio.wait([using])
        assert using.cancelled() or using.exception() is None
        assert not connections._session.connector._acquired


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A certificate for 127.0.0.1 that nobody signed but itself, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "by hand")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def serving(certificate: pathlib.Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_certificate_that_nobody_signed_is_refused(serving: ssl.SSLContext) -> None:
    async with site(answer(), serving) as there:
        with pytest.raises(ConnectionLost, match=r"TLS failed: self-signed certificate; pass `tls=` .* SSL_CERT_FILE$"):
            await ask(there.url())
    assert there.heard == []


async def test_who_asks_a_server_of_tls_in_the_clear_is_told(serving: ssl.SSLContext) -> None:
    async with site(answer(), serving) as there:
        with pytest.raises(ConnectionLost, match=rf"; does it want https://127\.0\.0\.1:{there.port}\?$"):
            await ask(f"http://127.0.0.1:{there.port}/{SECRET}")


async def test_it_is_accepted_where_the_address_says_so(serving: ssl.SSLContext, certificate: pathlib.Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with site(answer(body=b"well"), serving) as there:
        assert await ask(there.url(), tls=trusting) == b"well"
        with pytest.raises(ConnectionLost, match=r"TLS failed: .*localhost.*; see `tls=`$"):
            await ask(f"https://localhost:{there.port}/", tls=trusting)


async def test_what_may_pass_is_the_loss_of_one_request_and_what_stays_is_more(serving: ssl.SSLContext) -> None:
    async def goes(heard: Heard, writer: Writer) -> None:
        writer.close()

    async with site(goes) as there:
        with pytest.raises(RequestLost, match="closed the connection before it answered"):
            await ask(there.url())
    with pytest.raises(RequestLost, match="is the server running there"):
        await ask(there.url())
    for saying in (site(answer(), serving), site(b"no HTTP")):
        async with saying as there:
            with pytest.raises(ConnectionLost, match=r"TLS failed|is no HTTP") as raised:
                await ask(there.url())
        assert type(raised.value) is ConnectionLost


async def test_a_server_that_speaks_no_tls() -> None:
    async with site(b"", greeting=answer(400)) as there:
        told = rf"the server speaks no TLS there; do you mean http://127\.0\.0\.1:{there.port}\?$"
        with pytest.raises(ConnectionLost, match=told):
            await ask(f"https://127.0.0.1:{there.port}/{SECRET}")


async def test_a_server_that_closes_where_tls_begins() -> None:
    def close(reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        told = rf"closed the connection during the TLS handshake; do you mean http://127\.0\.0\.1:{port}\?$"
        with pytest.raises(ConnectionLost, match=told):
            await ask(f"https://127.0.0.1:{port}/")


# -- proxies ----------------------------------------------------------------------------------------------------------


async def tunnel(heard: Heard, writer: Writer) -> None:
    """What a proxy says that refuses everything but plain HTTP."""
    writer.write(answer(502, b"no") if heard.line.startswith("CONNECT ") else answer(body=b"by proxy"))


async def test_a_proxy_is_asked_for_the_whole_url_and_only_it_gets_its_password() -> None:
    async with site(tunnel) as proxy:
        way = f"http://me:{SECRET}@127.0.0.1:{proxy.port}"
        assert await ask("http://example.invalid/mcp", proxy=way) == b"by proxy"
    (heard,) = proxy.heard
    assert heard.line == "POST http://example.invalid/mcp HTTP/1.1"
    assert heard.headers["proxy-authorization"].startswith("Basic ")
    assert "authorization" not in heard.headers


async def test_a_tunnel_is_told_nothing_but_where_it_leads() -> None:
    async with site(tunnel) as proxy:
        with pytest.raises(ConnectionLost, match=r"https://example\.invalid through the proxy: ") as raised:
            await ask(f"https://example.invalid/{SECRET}", proxy=f"http://me:{SECRET}@127.0.0.1:{proxy.port}")
    (heard,) = proxy.heard
    assert heard.line == "CONNECT example.invalid:443 HTTP/1.1"
    assert "x-token" not in heard.headers and SECRET not in repr(heard)
    assert SECRET not in str(raised.value)


async def test_a_proxy_that_is_not_there() -> None:
    async with site(b"") as gone:
        pass
    with pytest.raises(ConnectionLost, match=r"through the proxy: .*; see `proxy`") as raised:
        await ask("http://example.invalid/", proxy=f"http://me:{SECRET}@127.0.0.1:{gone.port}")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "variables", "asked"),
    [
        ("http://example.invalid/", {"http_proxy": "{}"}, True),
        ("http://example.invalid/", {"HTTP_PROXY": "{}"}, True),
        ("http://example.invalid/", {"ALL_PROXY": "{}"}, True),
        ("http://example.invalid/", {"http_proxy": "127.0.0.1:{port}"}, True),
        ("http://example.invalid/", {"https_proxy": "{}"}, False),
        ("http://example.invalid/", {"http_proxy": ""}, False),
        ("http://example.invalid/", {"http_proxy": "socks5://127.0.0.1:{port}"}, False),
        ("http://example.invalid/", {"http_proxy": "{}", "no_proxy": "example.invalid"}, False),
        ("http://EXAMPLE.Invalid./", {"http_proxy": "{}", "no_proxy": "example.invalid"}, False),
        ("http://a.example.invalid/", {"http_proxy": "{}", "NO_PROXY": ".invalid"}, False),
        ("http://example.invalid:81/", {"http_proxy": "{}", "NO_PROXY": "example.invalid:81"}, False),
        ("http://example.invalid/", {"http_proxy": "{}", "no_proxy": "*"}, False),
        # A web server hands the header field `Proxy` of whoever asks to a CGI program as HTTP_PROXY.
        ("http://example.invalid/", {"HTTP_PROXY": "{}", "REQUEST_METHOD": "GET"}, False),
        ("http://localhost:1/", {"http_proxy": "{}"}, False),
        ("http://LOCALHOST.:1/", {"http_proxy": "{}"}, False),
        ("http://127.0.0.2:1/", {"http_proxy": "{}"}, False),
        ("http://[::1]:1/", {"http_proxy": "{}"}, False),
        ("http://[::ffff:127.0.0.1]:1/", {"http_proxy": "{}"}, False),
    ],
)
async def test_the_proxy_of_the_environment(
    url: str, variables: dict[str, str], asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tunnel) as proxy:
        for name, value in variables.items():
            monkeypatch.setenv(name, value.format(proxy.origin, port=proxy.port))
        if asked:
            assert await ask(url) == b"by proxy"
        else:
            with pytest.raises(ConnectionLost):
                await ask(url)
    assert bool(proxy.connections) is asked


async def test_each_url_of_a_flow_has_its_own_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is remote, and whoever gives tokens is on this machine, or the other way round."""
    async with site(tunnel) as proxy, site(answer(body=b"here")) as there, pool("http://example.invalid/") as both:
        monkeypatch.setenv("http_proxy", proxy.origin)
        assert await (await both.request("GET", "http://example.invalid/", [])).read(100) == b"by proxy"
        assert await (await both.request("GET", there.url(), [])).read(100) == b"here"
    assert len(proxy.heard) == 1


async def test_an_empty_proxy_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(tunnel) as proxy:
        monkeypatch.setenv("http_proxy", proxy.origin)
        with pytest.raises(ConnectionLost):
            await ask("http://example.invalid/", proxy="")
    assert proxy.connections == 0
