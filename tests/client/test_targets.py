"""What a client launches for the path of a server, and what it says of a path that is none."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.client.library import ROOT, library
from tests.server.http.web import lane_face
from tybalt import Client, Server
from tybalt.client.address import Address
from tybalt.client.config import ConfigError, MCPConfig
from tybalt.client.options import link_to
from tybalt.client.targets import command_for
from tybalt.errors import MisuseError, TransportError, Unauthorized
from tybalt.transports.command import Command
from tybalt.transports.sockets import serve_unix

TOKEN = "letmein-letmein-letmein"
SECRET = "hunter2"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="starts a process as POSIX does")

SERVER = f"""
import os, sys
sys.path.insert(0, {str(ROOT / "src")!r})
from tybalt import Server
server = Server("filed")

@server.tool
def where() -> list[str]:
    return [os.getcwd(), os.environ.get("KEY", "none")]

server.run()
"""

# Knows nothing but `server/discover`, which is all that connecting needs.
NODE_SERVER = """
require("readline").createInterface({input: process.stdin}).on("line", (line) => {
  const {id, method} = JSON.parse(line)
  if (method === "server/discover") {
    const result = {resultType: "complete", supportedVersions: ["2026-07-28"], capabilities: {}, ttlMs: 0}
    console.log(JSON.stringify({jsonrpc: "2.0", id, result: {...result, instructions: "node", cacheScope: "private"}}))
  }
})
"""


@pytest.fixture
def server(tmp_path: Path) -> Path:
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("server.py", [sys.executable, "-u"]),
        ("SERVER.PY", [sys.executable, "-u"]),
        ("server.js", ["node"]),
        ("server.mjs", ["node"]),
        ("server.cjs", ["node"]),
        ("-c.py", [sys.executable, "-u"]),
    ],
)
def test_the_suffix_says_what_runs_a_file(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    expected = Command([*words, os.path.join(os.getcwd(), name)])
    assert command_for(name) == command_for(Path(name)) == expected


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("gone.py", "there is no such file; expected a Server, "),
        ("python server.py", "there is no such file; a command is a list of words, not a text; expected"),
        ("NUL\0.py", "there is no such file"),
        ("server.rb", "nothing is known to run a file that ends in .rb; name what does in a command; expected"),
        ("server", "nothing is known to run a file that has no suffix"),
        ("folder", "it is a directory; name the file in it that starts the server"),
        ("folder.py", "it is a directory"),
        ("", "there is no such file"),
    ],
)
def test_what_is_no_server_is_refused(name: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("server.rb", "server"):
        Path(file).touch()
    for folder in ("folder", "folder.py"):
        Path(folder).mkdir()
    with pytest.raises(MisuseError) as caught:
        Client(name)
    shown = "python…" if name == "python server.py" else name
    assert str(caught.value).startswith(f"cannot connect to {shown!r}: {fault}")
    assert "or the path of a file that ends in .py, .js, .mjs, .cjs" in str(caught.value)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (
            {"url": "https://example.com/mcp", "headers": {"Authorization": f"Bearer {SECRET}"}},
            "cannot connect to one of the type dict: for an entry of a configuration use "
            'MCPConfig.of({"mcpServers": {…}}).server(name)',
        ),
        (
            ["python", 5, f"--key={SECRET}"],
            "cannot connect to one of the type list: a command is a list of words, and [1] is of the type int",
        ),
        ([], "cannot connect to one of the type list: the command is empty; give at least the program to start"),
        (SECRET.encode(), "cannot connect to one of the type bytes: expected a Server, "),
        (f"python x.py --key={SECRET}", "cannot connect to 'python…': there is no such file; a command is a list of"),
        (f"KEY={SECRET} server", "cannot connect to 'KEY…': there is no such file; a command is a list of words"),
        (f"user:{SECRET}@host/mcp", "cannot connect to 'user…': there is no such file; expected"),
        (f"server.py?key={SECRET}", "cannot connect to 'server.py…': there is no such file; expected"),
        (
            MCPConfig.of({"mcpServers": {"a": {"command": "x", "env": {"K": SECRET}}}}),
            "cannot connect to one of the type MCPConfig: of a configuration give one entry, config.server(name), or",
        ),
    ],
)
def test_no_secret_in_a_target_is_shown(target: Any, told: str) -> None:
    with pytest.raises(MisuseError) as caught:
        Client(target)
    assert str(caught.value).startswith(told) and SECRET not in str(caught.value)
    with pytest.raises(MisuseError) as caught:
        Client(target, token=SECRET)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("127.0.0.1:8701/mcp", "http://127.0.0.1:8701/mcp"),
        ("localhost:8701", "http://localhost:8701"),
        ("localhost/mcp", "http://localhost/mcp"),
        ("[::1]:8701/mcp", "http://[::1]:8701/mcp"),
        ("example.com/mcp", "https://example.com/mcp"),
        ("server:8701/mcp", "https://server:8701/mcp"),
        ("https:/example.com/mcp", "https://example.com/mcp"),
        ("WSS:example.com/mcp", "wss://example.com/mcp"),
        (f"localhost:8701/mcp?key={SECRET}", "http://localhost:8701/mcp"),
        (f"user:{SECRET}@host/mcp", None),
        (f"https:/user:{SECRET}@host/mcp", None),
        ("some.folder/server.py", None),
        ("server.rb", None),
        ("bin/server", None),
        ("C:\\server", None),
    ],
)
def test_a_url_without_a_scheme_is_known_for_one(text: str, meant: str | None) -> None:
    with pytest.raises(MisuseError) as caught:
        Client(text)
    assert (f"do you mean {meant!r}?" if meant else "expected a Server") in str(caught.value)
    assert ("do you mean" in str(caught.value)) is (meant is not None) and SECRET not in str(caught.value)


@pytest.mark.parametrize("kind", [Server, Client, Path, Command])
def test_a_class_is_no_object_of_it(kind: type) -> None:
    name = kind.__name__
    with pytest.raises(MisuseError, match=rf"^cannot connect to the class {name}: give an object of it, {name}\(…\)"):
        Client(kind)  # pyright: ignore[reportArgumentType]


@POSIX
@pytest.mark.loops
async def test_a_client_runs_a_python_file(server: Path) -> None:
    for target in (server, str(server)):
        async with Client(target) as client:
            assert client.server_info is not None and client.server_info.name == "filed"


@POSIX
async def test_a_client_runs_a_command(server: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    command = Command([sys.executable, "server.py"], env={"KEY": "k"}, cwd=tmp_path, stderr=lines.append)
    async with Client(command) as client:
        directory, key = await client.call("where")
        assert os.path.samefile(directory, tmp_path) and key == "k"  # noqa: ASYNC240
    assert lines == []


@POSIX
@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node")
async def test_a_client_runs_a_node_file(tmp_path: Path) -> None:
    path = tmp_path / "server.cjs"
    path.write_text(NODE_SERVER)
    async with Client(path) as client:
        assert client.instructions == "node"


@POSIX
async def test_without_node_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server.js"
    path.touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TransportError, match=r"cannot start 'node': there is no such program; install Node.js"):
        await Client(path).__aenter__()


async def test_an_entry_of_a_configuration_is_launched_as_it_says(
    server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FILED_KEY", "k")
    body = {"command": sys.executable, "args": [str(server)], "env": {"KEY": "${FILED_KEY}"}, "cwd": str(server.parent)}
    config = MCPConfig.of({"mcpServers": {"filed": body, "far": {"url": "https://tracker.example.com/mcp"}}})
    home = str(server.parent.resolve())
    for entry in (config.servers["filed"], config.server("filed")):
        async with Client(entry) as client:
            assert await client.call("where") == [home, "k"]
    monkeypatch.delenv("FILED_KEY")
    with pytest.raises(ConfigError, match="FILED_KEY"):
        Client(config.servers["filed"])


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_server_is_reached_by_its_url(era: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBRARY_TOKEN", TOKEN)
    async with lane_face(library(era).asgi(auth_token=TOKEN)) as face:
        url = f"http://127.0.0.1:{face.port}/mcp"
        entry = {"url": url, "headers": {"Authorization": "Bearer ${LIBRARY_TOKEN}"}}
        config = MCPConfig.of({"mcpServers": {"far": entry}})
        targets = [Address(url, token=TOKEN), config.servers["far"], config.server("far")]
        for client in (*map(Client, targets), Client(url, token=TOKEN), Client(Address(url), token=TOKEN)):
            async with client:
                assert await client.call("add", a=1) == 2
        with pytest.raises(Unauthorized, match="the client offered no credentials: pass token="):
            await Client(url).__aenter__()


async def test_a_server_is_reached_by_its_socket(tmp_path: Path) -> None:
    path = tmp_path / "a b.sock"
    async with await serve_unix(library("modern").serve, path), Client(f"unix:{quote(str(path))}") as client:
        assert await client.call("add", a=1) == 2
    with pytest.raises(TransportError, match="cannot connect to the Unix socket"):
        await Client(f"unix:{quote(str(path))}").__aenter__()


@pytest.mark.parametrize(
    ("target", "origin"),
    [
        (f"https://example.com/{SECRET}?{SECRET}", "https://example.com"),
        (f"wss://example.com:1/{SECRET}", "wss://example.com:1"),
        ("unix:/run/mcp.sock", "unix:/run/mcp.sock"),
        (["python", SECRET], None),
        (library("modern"), None),
    ],
)
def test_a_way_knows_what_may_be_shown_of_where_it_leads(target: Any, origin: str | None) -> None:
    assert link_to(target).origin == origin


def test_of_two_tokens_none_wins() -> None:
    with pytest.raises(MisuseError, match="token: the Address has a token already; give one of them") as caught:
        Client(Address("https://example.com/mcp", token=TOKEN), token=SECRET)
    assert TOKEN not in str(caught.value) and SECRET not in str(caught.value)


def test_a_token_is_for_a_url() -> None:
    with pytest.raises(MisuseError, match="token: it is sent to a server at a URL"):
        Client(library("modern"), token=TOKEN)
