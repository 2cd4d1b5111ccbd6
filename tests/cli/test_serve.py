"""`tybalt run --http`: what it says of the token, and of what is missing, to who has a command line and no options."""

import os
import subprocess
import sys

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
        while "allowed_hosts" not in said[-1]:
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
    assert names.endswith("; name others with allowed_hosts=[…] of server.run('http', …) in the file")


def test_who_has_set_it_is_not() -> None:
    (names,) = warned(*TO_EVERYBODY, token="a token of many characters").splitlines()
    assert names.startswith("warning: only requests to this machine's own names")


def test_who_serves_in_python_is_told_the_options() -> None:
    lock, names = warned("-c", IN_PYTHON).splitlines()
    assert lock.endswith("; give auth_token= or verifier=") and names.endswith("; name others with allowed_hosts=[…]")


def test_what_is_not_installed_is_told(printed: Printed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httptools", None)
    status, out, err = printed("run", FILE, "--http", "--port", "0")
    assert (status, out) == (2, "")
    assert err == f'tybalt: HTTP needs httptools, which {sys.executable} does not find: pip install "tybalt[http]"\n'
