"""What a client command says beside its answer."""

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import FILE, Printed
from tybalt.cli.statuses import MISUSED, REFUSED


@pytest.mark.parametrize("command", [("call", "add"), ("list",), ("read", "x://y"), ("get", "review"), ("inspect",)])
def test_an_era_there_is_not_is_told_by_its_option(command: tuple[str, ...], printed: Printed) -> None:
    status, out, err = printed(command[0], FILE, *command[1:], "--era", "1999-01-01")
    assert (status, out) == (MISUSED, "")
    assert err.startswith("tybalt: --era: expected 'auto', 'modern', 'legacy' or one of 2024-11-05,")


def test_a_server_that_does_not_speak_the_revision_refuses(write: Write, printed: Printed) -> None:
    path = str(write("old.py", "server = Server('x', eras=['legacy'])"))
    status, out, err = printed("inspect", path, "--era", "modern")
    assert (status, out) == (REFUSED, "") and err.startswith("tybalt: error ")


@pytest.mark.parametrize("command", [("call", "add"), ("list",), ("inspect",)])
def test_what_cannot_be_sent_is_a_mistake_of_the_command_line(command: tuple[str, ...], printed: Printed) -> None:
    status, out, err = printed(command[0], "unix:/no/socket", *command[1:], "--token", "secret")
    assert (status, out) == (MISUSED, "")
    assert err.startswith("tybalt: a Unix socket takes no token, no headers and no auth;")
