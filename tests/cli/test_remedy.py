"""What a person at a command line is told to do, in place of what a program would pass."""

from pathlib import Path

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import Printed, as_a_process
from tests.cli.sites import PAGE, answer, certified, site
from tybalt.cli.remedy import MAX_ADVISED, with_remedy
from tybalt.client.address import Address
from tybalt.errors import (
    ConnectionLost,
    McpError,
    MethodNotFound,
    MissingClientCapability,
    RequestLost,
    TransportError,
    TybaltError,
    Unauthorized,
    UnexpectedResult,
)

OPEN = Address("https://x.example")
LOCKED = Address("https://x.example", token="secret")

TOKEN = "a token is given with --token-env NAME"
TRUST = "if you trust it, set SSL_CERT_FILE=cert.pem, a file with the certificate that signed it"
PROXY = "HTTPS_PROXY names the proxy, and NO_PROXY what is reached without one"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unauthorized("no"), f"no; {TOKEN}"),
        (Unauthorized("no; the client offered no credentials: pass token=…"), f"no; {TOKEN}"),
        (Unauthorized("no; pass headers={'Authorization': 'Bearer …'}"), f"no; {TOKEN}"),
        (Unauthorized("no. Pass token=…, or headers={…}"), f"no; {TOKEN}"),
        (
            Unauthorized("what came as ?token=… does not hold; ask"),
            f"what came as ?token=… does not hold; ask; {TOKEN}",
        ),
        (MissingClientCapability({"roots": {}}), "use a Client that has on_sample= or roots="),
        (MethodNotFound("Method not found: initialize"), "every server of MCP answers this request: is it one?"),
        (MethodNotFound("Method not found: tools/call"), "Method not found: tools/call"),
        (McpError("closed; pass token=…", code=7, data=[]), "closed; pass token=…"),
    ],
)
def test_an_error_that_was_answered_has_a_remedy(error: McpError, told: str) -> None:
    shown = with_remedy(error, target=OPEN)
    assert isinstance(shown, McpError) and shown.message.endswith(told) and shown.code == error.code


@pytest.mark.parametrize("target", [LOCKED, Address("https://x.example", headers={"authorization": "secret"})])
def test_who_has_given_a_token_is_not_told_to_give_one(target: Address) -> None:
    error = Unauthorized("wrong token; pass headers={'Authorization': 'Bearer …'}")
    assert str(with_remedy(error, target=target)) == "wrong token"


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            "a: TLS failed: b; pass `tls=` with the authority that signed it, if you trust it",
            f"a: TLS failed: b; {TRUST}",
        ),
        (
            "TLS failed: b; pass `tls=` with the authority that signed it, or name its file in SSL_CERT_FILE",
            f"TLS failed: b; {TRUST}",
        ),
        ("TLS failed: expired; see `tls=`", "TLS failed: expired"),
        ("cannot connect in time; see `connect_timeout`", "cannot connect in time"),
        ("through the proxy: no; see `proxy`", f"through the proxy: no; {PROXY}"),
        ("nobody listens there; is the server running?", "nobody listens there; is the server running?"),
    ],
)
@pytest.mark.parametrize("kind", [TransportError, ConnectionLost, RequestLost])
def test_so_has_one_of_the_connection(kind: type[TybaltError], told: str, shown: str) -> None:
    error = with_remedy(kind(told), target=OPEN)
    assert type(error) is kind and str(error) == shown


@pytest.mark.parametrize(
    ("error", "target"),
    [
        (Unauthorized("no; pass token=…"), "server.py"),
        (ConnectionLost("it said: pass token=…"), "server.py"),
        (ConnectionLost("gone"), OPEN),
        (UnexpectedResult("no result"), OPEN),
        (Unauthorized(", see" * MAX_ADVISED + " token="), LOCKED),
    ],
)
def test_what_has_no_other_remedy_stays_as_it_is(error: TybaltError, target: object) -> None:
    assert with_remedy(error, target=target) is error


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("given", [(), ("--token", "secret")])
def test_what_refuses_is_told_in_words_of_the_command_line(
    scheme: str, given: tuple[str, ...], printed: Printed
) -> None:
    with site(answer("401 Unauthorized", PAGE)) as where:
        status, out, err = printed("list", f"{scheme}://{where}/mcp", *given)
    assert (status, out) == (4, "") and "error 401: " in err
    assert err.endswith(f"; {TOKEN}\n") is not bool(given)
    assert not any(advice in err for advice in ("token=", "headers=", "`"))


@pytest.mark.parametrize(("scheme", "said"), [("https", "answered with HTTP 404"), ("wss", "with HTTP 404")])
def test_a_certificate_of_ones_own_is_trusted_by_the_environment(scheme: str, said: str, tmp_path: Path) -> None:
    context, certificate = certified(tmp_path)
    with site(answer("404 Not Found", PAGE), context) as where:
        refused = as_a_process("list", f"{scheme}://{where}/mcp")
        trusting = as_a_process("list", f"{scheme}://{where}/mcp", SSL_CERT_FILE=certificate)
    assert refused.returncode == 3 and refused.stderr.decode().endswith(f"; {TRUST}\n")
    assert b"tls=" not in refused.stderr
    assert trusting.returncode == 4 and said in trusting.stderr.decode()


@pytest.mark.parametrize(
    ("scheme", "status", "ends_with"),
    [
        *(("http", status, 4) for status in ("200 OK", "404 Not Found", "405 Method Not Allowed", "500 Oh")),
        *(("ws", status, 3) for status in ("200 OK", "405 Method Not Allowed", "500 Oh")),
        ("ws", "404 Not Found", 4),
    ],
)
def test_a_page_of_the_web_is_no_server(scheme: str, status: str, ends_with: int, printed: Printed) -> None:
    with site(answer(status, PAGE)) as where:
        ended, out, err = printed("list", f"{scheme}://{where}/")
    assert (ended, out) == (ends_with, "") and err.startswith("tybalt: ") and err.count("\n") == 1


def test_who_sends_our_own_request_back_is_told_to_be_no_server(printed: Printed) -> None:
    status, out, err = printed("list", "--era", "legacy", "--", "cat")
    assert (status, out) == (4, "") and err.endswith("it is sent back as an echo\n")


def test_the_failure_of_a_file_is_told_as_its_own(write: Write, printed: Printed) -> None:
    source = "from tybalt import MisuseError\ndef start():\n    raise MisuseError('no shelf')\nserver = Server('x')"
    status, _, err = printed("list", str(write("raising.py", f"{source}.on_startup(start)")))
    assert status == 1 and "raising.py:4: no shelf" in err
