"""What a client command says beside its answer."""

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import FILE, Printed
from tybalt.cli.statuses import MISUSED, REFUSED
from tybalt.cli.talk import with_remedy
from tybalt.errors import McpError, MissingClientCapability, Unauthorized


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Unauthorized("no"), "no; a token is given with --token-env NAME"),
        (
            Unauthorized("no; the client offered no credentials: pass token=…"),
            "no; a token is given with --token-env NAME",
        ),
        (MissingClientCapability({"roots": {}}), "use a Client that has on_sample= or roots="),
        (McpError("closed", code=7, data=[]), "closed"),
    ],
)
def test_an_error_has_a_remedy_for_who_has_a_command_line(error: McpError, told: str) -> None:
    shown = with_remedy(error, lacks_token=True)
    assert shown.message.endswith(told) and shown.code == error.code


def test_who_has_given_a_token_or_has_nobody_to_give_it_to_is_not_told_to() -> None:
    error = Unauthorized("wrong token")
    assert with_remedy(error, lacks_token=False) is error


@pytest.mark.parametrize("command", [("call", "add"), ("list",), ("read", "x://y"), ("get", "review"), ("inspect",)])
def test_an_era_there_is_not_is_told_by_its_option(command: tuple[str, ...], printed: Printed) -> None:
    status, out, err = printed(command[0], FILE, *command[1:], "--era", "1999-01-01")
    assert (status, out) == (MISUSED, "")
    assert err.startswith("tybalt: --era: expected 'auto', 'modern', 'legacy' or one of 2024-11-05,")


def test_a_server_that_does_not_speak_the_revision_refuses(write: Write, printed: Printed) -> None:
    path = str(write("old.py", "server = Server('x', eras=['legacy'])"))
    status, out, err = printed("inspect", path, "--era", "modern")
    assert (status, out) == (REFUSED, "") and err.startswith("tybalt: error ")
