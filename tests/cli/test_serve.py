"""`tybalt run --http`: what it says of the token, and of what is missing, to who has a command line and no options."""

import os
import re
import subprocess
import sys
from contextlib import closing
from http.client import HTTPConnection
from socket import create_server

import pytest

from tests.cli.processes import FILE, SOURCE, Printed
from tybalt.cli.serve import TOKEN

IN_PYTHON = "from tybalt import Server; Server('x').run('http', host='0.0.0.0', port=0)"
TO_EVERYBODY = ("-m", "tybalt", "run", FILE, "--http", "--port", "0", "--host", "0.0.0.0")


def warned(*words: str, token: str | None = None) -> str:
    """What a process says before it serves, in lines, the first of them left out; then it is told to end."""
    environment = {name: value for name, value in os.environ.items() if name != TOKEN} | {"PYTHONPATH": str(SOURCE)}
    if token is not None:
        environment[TOKEN] = token
    running = subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.PIPE, text=True)
    with running:
        assert running.stderr is not None
        said = [running.stderr.readline()]
        while "name others" not in said[-1]:
            assert said[-1]
            said.append(running.stderr.readline())
        running.terminate()
    return "".join(said[1:])


@pytest.mark.parametrize("token", ["", "short", "fifteen letters"])
def test_a_token_that_cannot_be_is_told_by_the_name_it_has_here(
    token: str, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(TOKEN, token)
    status, out, err = printed("run", FILE, "--http", "--port", "0")
    assert (status, out) == (2, "")
    assert err.startswith("tybalt: TYBALT_AUTH_TOKEN in the environment: auth_token is a text of 16 visible")
    assert not token or token not in err


def test_who_serves_everybody_is_told_the_variable() -> None:
    lock, names = warned(*TO_EVERYBODY).splitlines()
    assert lock == (
        "warning: anybody who reaches this address may call every tool; set TYBALT_AUTH_TOKEN in the environment"
    )
    assert names.endswith("; name others with --allow-host")


def test_who_has_set_it_is_not() -> None:
    (names,) = warned(*TO_EVERYBODY, token="a token of many characters").splitlines()
    assert names.startswith("warning: only requests to localhost")


def test_who_serves_in_python_is_told_the_options() -> None:
    lock, names = warned("-c", IN_PYTHON).splitlines()
    assert lock.endswith("; give auth_token= or verifier=") and names.endswith("; name others with allowed_hosts=[…]")


def test_what_is_not_installed_is_told(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    status, out, err = printed("run", FILE, "--http", "--port", "0")
    assert (status, out) == (2, "")
    assert err == f'tybalt: HTTP needs httptools, which {sys.executable} does not find: pip install "tybalt[http]"\n'


def test_a_name_to_serve_is_given_on_the_command_line() -> None:
    allowed = ("--allow-host", "mcp.example.com", "--allow-host", "127.0.0.1:*")
    words = [sys.executable, "-m", "tybalt", "run", FILE, "--http", "--port", "0", *allowed]
    environment = {name: value for name, value in os.environ.items() if name != TOKEN} | {"PYTHONPATH": str(SOURCE)}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", running.stderr.readline())
        assert found is not None
        statuses = {host: answered(int(found[1]), host) for host in ("mcp.example.com", "localhost", "evil.example")}
        running.terminate()
    assert statuses == {"mcp.example.com": 400, "localhost": 403, "evil.example": 403}


def answered(port: int, host: str) -> int:
    """The status of a request to this name that is no MCP."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("POST", "/mcp", b"{}", {"host": host, "content-type": "application/json", "accept": "*/*"})
        return connection.getresponse().status


def test_a_name_is_for_http_alone(printed: Printed) -> None:
    status, _, err = printed("run", FILE, "--allow-host", "mcp.example.com")
    assert (status, err) == (2, "tybalt: --allow-host is for HTTP; write `tybalt run FILE --http …`\n")


def test_a_port_that_is_taken_is_told_by_its_option(printed: Printed) -> None:
    with closing(create_server(("127.0.0.1", 0))) as taken:
        port = str(taken.getsockname()[1])
        told = f"tybalt: 127.0.0.1:{port} is in use already; give another --port, or 0 for any that is free\n"
        assert printed("run", FILE, "--http", "--port", port) == (2, "", told)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1", "http://127.0.0.1", "a" * 64, "a..b"])
def test_a_host_that_cannot_be_is_told_what_can(host: str, printed: Printed) -> None:
    status, out, err = printed("run", FILE, "--http", "--host", host, "--port", "0")
    assert (status, out) == (2, "") and err.startswith(f"tybalt: --host {host}: ")
    assert err.endswith("; give an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all that it has\n")


def test_a_url_is_served_already(printed: Printed) -> None:
    status, out, err = printed("run", "http://localhost:8000/mcp")
    assert (status, out) == (2, "") and err.endswith("is served already: `tybalt list` shows it\n")
