"""What is named becomes what a client takes: a file, a command, a URL, an entry of a configuration."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import SHOP, SOURCE, Printed, as_a_process
from tests.cli.terminals import terminal
from tybalt.cli.destination import Destination, target_of
from tybalt.cli.usage import UsageError
from tybalt.client.address import Address
from tybalt.transports.command import Command

TOKEN = "a token of many characters"


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's configuration is there but the test's own; the folder is `tmp_path`."""
    for name in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "COPILOT_HOME", "CODEX_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def configured(path: Path, **servers: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"mcpServers": servers}))
    return str(path)


LAUNCHED = {"command": sys.executable, "args": [SHOP], "env": {"PYTHONPATH": str(SOURCE)}}


def refusal(**given: Any) -> str:
    with pytest.raises(UsageError) as refused:
        target_of(Destination(**given))
    return str(refused.value)


# -- commands and scripts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("call", "order", "--answer", "size=large"), "Accepted(value=Order(size='large', count=2"),
        (("get", "review", "language=Go"), "[user]\nReview this Go, kind.\\u0007\n"),
        (("read", "shop://terms"), "pay\x1b[31m\nfirst"),
        (("inspect",), "name          shop\n"),
        (("list",), "TOOL "),
    ],
)
def test_a_command_stands_behind_two_dashes(words: tuple[str, ...], out: str) -> None:
    ended = as_a_process(*words, "--", sys.executable, SHOP)
    assert (ended.returncode, ended.stderr) == (0, b"") and ended.stdout.decode().startswith(out)


def test_a_command_has_the_whole_environment_and_its_stderr_is_shown_escaped(write: Write) -> None:
    source = (
        "import os, sys\nserver = Server('x')\n@server.tool\ndef show() -> str:\n"
        "    sys.stderr.write('\\x1b[31mred\\n')\n"
        "    return os.environ['OF_THE_SHELL']\nserver.run()"
    )
    path = str(write("launched.py", source))
    ended = as_a_process("call", "show", "--", sys.executable, path, OF_THE_SHELL="inherited")
    assert (ended.returncode, ended.stdout) == (0, b"inherited\n")
    assert "\\x1b[31mred\n" in ended.stderr.decode() and b"\x1b" not in ended.stderr


def test_options_of_the_command_are_its_own() -> None:
    ended = as_a_process("list", "--", sys.executable, "-c", "import sys; sys.exit(7)", "--json")
    assert (ended.returncode, ended.stdout) == (3, b"") and b"status 7" in ended.stderr


def test_ctrl_c_ends_the_command_too(write: Write, at_home: Path) -> None:
    source = (
        "import asyncio, contextlib, pathlib, sys\n@contextlib.asynccontextmanager\nasync def lifespan(server):\n"
        "    yield\n    pathlib.Path('ended').touch()\nserver = Server('x', lifespan=lifespan)\n@server.tool\n"
        "async def wait() -> None:\n    print('waiting', file=sys.stderr, flush=True)\n"
        "    await asyncio.Event().wait()\nserver.run()"
    )
    with terminal("call", "wait", "--", sys.executable, str(write("waiting.py", source))) as person:
        person.expect("waiting\n")
        person.interrupt()
        assert person.end() == (130, "")
    assert (at_home / "ended").exists()


def test_a_command_that_cannot_be_started_is_told(printed: Printed) -> None:
    status, out, err = printed("list", "--", "no-such-program")
    assert (status, out) == (3, "")
    assert err.startswith("tybalt: cannot start 'no-such-program': there is no such program") and "Errno" not in err


@pytest.mark.parametrize("name", ["server.js", "server.MJS", "server.cjs"])
def test_a_script_is_run_by_node(name: str, at_home: Path) -> None:
    (at_home / name).write_text("")
    found = target_of(Destination(name=name))
    assert isinstance(found, Command)
    assert list(found.args) == ["node", str(at_home / name)] and found.inherit == "all"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "server.js"}, "there is no file server.js"),
        ({"name": "nothing"}, "there is no file nothing; expected FILE or FILE:OBJECT"),
        ({"name": "nothing.py:app"}, "there is no file nothing.py; expected FILE or FILE:OBJECT"),
        ({"name": "no/thing"}, "there is no file no/thing; expected FILE or FILE:OBJECT"),
        ({"command": ("x",), "config": "y"}, "--config names a server in a file, and `--` a command to start"),
        ({"command": ("",)}, "the command is empty; give at least the program to start"),
        ({"command": ("x",), "token": TOKEN}, "--token is for a server at a URL"),
        ({"name": SHOP, "token_env": "TOKEN"}, "--token is for a server at a URL"),
        ({"name": SHOP, "headers": ("A: b",)}, "--header is for a server at a URL"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_told(given: dict[str, Any], told: str) -> None:
    assert refusal(**given).startswith(told)


def test_where_a_name_was_looked_for_is_told(at_home: Path) -> None:
    how = "there is no file nothing; expected FILE or FILE:OBJECT, such as server.py:server"
    looked = "As the name of a server it was looked for in"
    places = ".mcp.json, .cursor/mcp.json, .vscode/mcp.json, and where else hosts keep theirs"
    assert refusal(name="nothing") == f"{how}. {looked} {places}; no such file is there"
    configured(at_home / ".mcp.json")
    configured(at_home / "home/.cursor/mcp.json")
    files = f".mcp.json, {at_home / 'home/.cursor/mcp.json'}"
    assert refusal(name="nothing") == f"{how}. {looked} {files}, and no server is there"
    (at_home / "nothing.py").write_text("")
    found = "there is no file nothing; did you mean nothing.py?"
    assert refusal(name="nothing") == f"{found} {looked} {files}, and no server is there"


@pytest.mark.parametrize("name", ["nothing.py", "no/thing", "nothing.py:app"])
def test_what_is_a_file_by_its_name_is_looked_for_nowhere_else(name: str) -> None:
    assert "looked for" not in refusal(name=name)


# -- URLs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["https://x.example/mcp", "http://x.example", "ws://x.example", "unix:/run/x.sock"])
def test_a_url_is_an_address(url: str) -> None:
    found = target_of(Destination(name=url, headers=("X-Tenant: acme", "X-Empty:")))
    assert found == Address(url, headers={"X-Tenant": "acme", "X-Empty": ""})


def test_a_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "secret")
    found = target_of(Destination(name="https://x.example", token_env="MY_TOKEN"))
    assert found.token == "secret"
    assert target_of(Destination(name="https://x.example", token="open")).token == "open"
    assert "secret" not in repr(Destination(name="https://x.example", token="secret", headers=("A: secret",)))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"token_env": "NOT_SET"}, "--token-env NOT_SET: the variable is not set"),
        ({"token_env": "EMPTY"}, "--token-env EMPTY: the variable is empty"),
        ({"token": "a", "token_env": "EMPTY"}, "--token and --token-env say the same thing"),
        ({"headers": ("secret",)}, "--header: expected 'Name: value', such as 'X-Tenant: acme'"),
        ({"headers": (": secret",)}, "--header: expected 'Name: value', such as 'X-Tenant: acme'"),
        ({"headers": ("Mcp-Method: secret",)}, "headers: Mcp-Method is set by the client itself"),
        ({"name": "ftp://x.example"}, "expected a URL that begins with one of http:, https:, ws:, wss:, unix:"),
    ],
    ids=str,
)
def test_what_cannot_be_sent_is_told(given: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY", "")
    said = refusal(**{"name": "https://x.example", **given})
    assert said.startswith(told) and "secret" not in said


@contextmanager
def served(**variables: str) -> Iterator[str]:
    """`tybalt run --http` in a process of its own: its URL."""
    words = [sys.executable, "-m", "tybalt", "run", SHOP, "--http", "--port", "0"]
    environment = {"PYTHONPATH": str(SOURCE), **variables}
    with subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) as running:
        try:
            assert running.stderr is not None
            yield running.stderr.readline().split(" at ")[1].split(". ")[0]
        finally:
            running.terminate()


@pytest.mark.parametrize("era", ["auto", "legacy"])
def test_a_server_at_a_url_is_asked_like_any_other(era: str, tmp_path: Path) -> None:
    with served(TYBALT_AUTH_TOKEN=TOKEN.replace(" ", "-")) as url:
        allowed = ("--era", era, "--token-env", "MY_TOKEN")
        variables = {"MY_TOKEN": TOKEN.replace(" ", "-")}
        listed = as_a_process("list", url, *allowed, **variables)
        assert (listed.returncode, listed.stderr.decode()) == (0, "") and listed.stdout.startswith(b"TOOL ")
        ordered = as_a_process("call", url, "order", *allowed, "--answer", "size=small", **variables)
        assert (ordered.returncode, ordered.stderr) == (0, b"") and b"size='small'" in ordered.stdout
        header = f"Authorization: Bearer {variables['MY_TOKEN']}"
        read = as_a_process("read", url, "shop://logo", "--era", era, "--header", header)
        assert (read.returncode, read.stdout) == (0, b"\x89PNG\x00\xff\n")
        config = configured(tmp_path / "servers.json", shop={"url": url, "headers": {"authorization": "Bearer wrong"}})
        inspected = as_a_process("inspect", "--config", config, "shop", *allowed, **variables)
        assert (inspected.returncode, inspected.stderr) == (0, b"")
        refused = as_a_process("list", url, "--era", era)
        assert (refused.returncode, refused.stdout) == (4, b"")
        told = refused.stderr.decode()
        assert (
            told.startswith("tybalt: error 401: ")
            and "token=" not in told
            and told.endswith("; a token is given with --token-env NAME\n")
        )


def test_nobody_at_a_url_is_told(printed: Printed) -> None:
    with closing(create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    status, out, err = printed("list", f"http://127.0.0.1:{port}/mcp")
    assert (status, out) == (3, "") and err.startswith(f"tybalt: cannot connect to http://127.0.0.1:{port}")


# -- configurations ---------------------------------------------------------------------------------------------------


def test_an_entry_of_a_configuration_is_launched(at_home: Path) -> None:
    config = configured(at_home / "servers.json", shop=LAUNCHED, broken=7)
    ended = as_a_process("inspect", "--config", config, "shop")
    assert (ended.returncode, ended.stderr) == (0, b"") and ended.stdout.startswith(b"name          shop\n")


@pytest.mark.parametrize("place", [".mcp.json", ".vscode/mcp.json", "home/.cursor/mcp.json"])
def test_a_name_is_looked_for_where_hosts_keep_theirs(place: str, at_home: Path) -> None:
    configured(at_home / place, shop=LAUNCHED)
    ended = as_a_process("inspect", "shop")
    told = str(at_home / place) if place.startswith("home") else place
    assert (ended.returncode, ended.stderr.decode()) == (0, f"tybalt: shop is a server of {told}\n")


def test_this_folder_comes_first_and_a_file_before_all(at_home: Path, write: Write, printed: Printed) -> None:
    configured(at_home / "home/.cursor/mcp.json", x={"command": "user"})
    configured(at_home / ".mcp.json", x={"command": "project"})
    write("x.py", "server = Server('file')")
    status, out, err = printed("inspect", "x.py")
    assert (status, err) == (0, "") and out.startswith("name          file\n")
    found = target_of(Destination(name="x"))
    assert isinstance(found, Command) and list(found.args) == ["project"] and found.inherit == ()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"name": "shpo"},
            "'shpo' is no file, and no server of a configuration; did you mean 'shop'? It has: shop, off",
        ),
        ({"name": "off"}, ".mcp.json: mcpServers.off: it is disabled"),
        ({"name": "bad"}, ".mcp.json: mcpServers.bad: expected an object"),
        ({"name": "unset"}, ".mcp.json: mcpServers.unset.args[0]: "),
        ({"name": "shpo", "config": ".mcp.json"}, "there is no server 'shpo'; did you mean 'shop'?"),
        ({"name": "shop", "config": "no.json"}, "no.json: cannot be read: No such file or directory"),
    ],
    ids=str,
)
def test_an_entry_that_cannot_be_used_is_told(given: dict[str, Any], told: str, at_home: Path) -> None:
    more = {"off": {"command": "x", "disabled": True}, "bad": 7, "unset": {"command": "x", "args": ["${NOT_SET}"]}}
    configured(at_home / ".mcp.json", shop=LAUNCHED, **more)
    assert refusal(**given).startswith(told)


def test_a_configuration_of_another_host_that_is_broken_is_passed_over(
    at_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configured(at_home / ".mcp.json", shop={"command": "shop"})
    configured(at_home / ".cursor/mcp.json")
    (at_home / ".cursor/mcp.json").write_text("{")
    assert refusal(name="other").startswith("'other' is no file, and no server of a configuration; it has: shop")
    assert capsys.readouterr().err.startswith("tybalt: passed over: .cursor/mcp.json: not JSON")
    (at_home / ".mcp.json").write_text("{")
    assert refusal(name="shop").startswith(".mcp.json: not JSON")
