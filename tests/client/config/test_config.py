"""`MCPConfig`: under which keys servers are found, what of a broken configuration is told, and one server of many."""

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.client.config.config import MAX_SERVERS, MCPConfig
from tybalt.client.config.entries import AddressEntry, CommandEntry
from tybalt.client.config.error import ConfigError
from tybalt.errors import MisuseError, TybaltError

ENTRY = {"command": "x"}


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"mcpServers": {"a": ENTRY}}, "mcpServers.a"),
        ({"mcp_servers": {"a": ENTRY}}, "mcp_servers.a"),
        ({"context_servers": {"a": ENTRY}, "auto_install_extensions": {"html": True}}, "context_servers.a"),
        ({"servers": {"a": ENTRY}, "inputs": [{"id": "k", "type": "promptString"}]}, "servers.a"),
        ({"mcp": {"a": ENTRY}, "$schema": "https://opencode.ai/config.json"}, "mcp.a"),
        ({"mcp": {"servers": {"a": ENTRY}, "inputs": []}, "editor.fontSize": 12}, "mcp.servers.a"),
        ({"extensions": {"a": ENTRY}}, "extensions.a"),
        # Gemini CLI has both.
        ({"mcp": {"allowed": ["a"]}, "mcpServers": {"a": ENTRY}}, "mcpServers.a"),
        ({"servers": ["a"], "mcpServers": None, "context_servers": {"a": ENTRY}}, "context_servers.a"),
    ],
)
def test_where_the_servers_stand(mapping, key):
    config = MCPConfig.of(mapping)
    assert list(config.servers) == ["a"]
    assert config.servers["a"].place.key == key


@pytest.mark.parametrize(
    "mapping",
    [
        {},
        {"mcpServers": {}},
        {"mcpServers": None},
        {"globalShortcut": "", "preferences": {"a": {"b": 1}}},
        {"mcp": {"allowed": ["a"]}},
        {"servers": [1], "extensions": {"ignore": True}},
        {"auto_install_extensions": {"html": True}},
        # What Zed, opencode and others start besides servers.
        {"agent_servers": {"a": ENTRY}},
        {"lsp": {"a": {"command": ["a"], "extensions": [".a"]}}, "formatter": {"b": {"command": ["b"]}}},
        {"theme": "dark", "api": {"url": "http://h"}},
    ],
)
def test_a_file_of_a_host_without_servers_is_an_empty_configuration(mapping):
    assert MCPConfig.of(mapping) == MCPConfig()


@pytest.mark.parametrize(
    ("mapping", "told"),
    [
        ({"mcpServers": []}, "mcpServers: expected an object of servers, got a list"),
        ({"mcp_servers": "a"}, "mcp_servers: expected an object of servers, got a text"),
        ({"mcpServers": {"a": "x"}}, "mcpServers.a: expected an object with 'command' or 'url', got a text"),
        ({"mcpServers": {"a b": None}}, "mcpServers[\"a b\"]: expected an object with 'command' or 'url', got null"),
        ({"mcpServers": {"": ENTRY}}, "mcpServers: a server has a name of 1 to 200 characters, not ''"),
        ({"mcpServers": {1: ENTRY}}, "mcpServers: a server has a name of 1 to 200 characters, not 1"),
        (
            {"mcpServers": {"a" * 201: ENTRY}},
            f"mcpServers: a server has a name of 1 to 200 characters, not '{'a' * 39}…",
        ),
        (
            {"mcpServer": {"a": ENTRY}},
            "mcpServer: servers stand under a key that is not read; did you mean 'mcpServers'?",
        ),
        (
            {"MCPServers": {"a": ENTRY}},
            "MCPServers: servers stand under a key that is not read; did you mean 'mcpServers'?",
        ),
        (
            {"server": {"a": ENTRY}, "x": 1},
            "server: servers stand under a key that is not read; did you mean 'servers'?",
        ),
        (
            {"mcp-servers": {"a": ENTRY}},
            "mcp-servers: servers stand under a key that is not read; did you mean 'mcpServers'?",
        ),
        ({"weather": {"url": "http://h"}}, "weather: a server stands at the top; put it under 'mcpServers'"),
        (
            {"mcpServers": {str(number): ENTRY for number in range(MAX_SERVERS + 1)}},
            "mcpServers: 1,001 servers are too many; at most 1,000 are accepted",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_key_and_file(mapping, told):
    for source in (None, "servers.json"):
        with pytest.raises(ConfigError) as caught:
            MCPConfig.of(mapping, source=source)
        assert str(caught.value) == (f"{source}: {told}" if source else told)
        assert caught.value.key == told.partition(":")[0] and caught.value.source == source


@pytest.mark.parametrize("mapping", [None, [], "servers.json", 7])
def test_what_is_no_mapping_is_misuse(mapping):
    with pytest.raises(MisuseError, match=r"MCPConfig\.of\(mapping\): expected a mapping, got .*; a file is `read`"):
        MCPConfig.of(mapping)


def test_the_order_is_that_of_the_file(tmp_path):
    names = ["zebra", "apple", "middle"]
    (tmp_path / "a.json").write_text(json.dumps({"mcpServers": dict.fromkeys(names, ENTRY)}))
    assert list(MCPConfig.read(tmp_path / "a.json").servers) == names


def test_a_file_is_named_in_every_error(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('[mcp_servers.a]\ncommand = "${MISSING}"\n[mcp_servers.b]\nurl = "http://h"\nenabled = false\n')
    config = MCPConfig.read(path)
    with pytest.raises(ConfigError) as caught:
        config.server("a", environment={})
    assert str(caught.value).startswith(f"{path}: mcp_servers.a.command: the environment variable MISSING is not set")
    with pytest.raises(ConfigError) as caught:
        config.server("b", environment={})
    assert str(caught.value).startswith(f"{path}: mcp_servers.b: it is disabled; enable it")
    assert config.servers["b"].expanded({}).url == "http://h", "who wants it all the same has it"
    path.write_text('[mcp_servers.a]\ncomand = "x"\n')
    with pytest.raises(ConfigError) as caught:
        MCPConfig.read(str(path))
    assert str(caught.value).startswith(f"{path}: mcp_servers.a: expected 'command'")


def test_a_broken_variable_takes_nobody_else_down():
    config = MCPConfig.of({"mcpServers": {"a": {"command": "${MISSING}"}, "b": {"command": "${FOUND}"}}})
    assert config.server("b", environment={"FOUND": "x"}).words == ["x"]
    with pytest.raises(ConfigError):
        config.server("a", environment={"FOUND": "x"})


BROKEN = {"a": {"comand": "x"}, "b": ENTRY, "c": 5, "d": {"type": "sdk"}, "e": {5: "x"}}


def test_a_broken_entry_is_raised_at_once_and_the_way_around_is_told():
    with pytest.raises(ConfigError, match=r"^f\.json: mcpServers\.a: expected 'command'") as caught:
        MCPConfig.of({"mcpServers": BROKEN}, source="f.json")
    assert caught.value.__notes__ == ["With strict=False the other servers can be used, and `broken` holds this error."]


def test_without_strictness_a_broken_entry_takes_nobody_else_down(tmp_path):
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"mcpServers": {name: body for name, body in BROKEN.items() if name != "e"}}))
    for config in (
        MCPConfig.of({"mcpServers": BROKEN}, source=str(path), strict=False),
        MCPConfig.read(path, strict=False),
    ):
        assert config.server("b").words == ["x"] and list(config.servers) == ["b"]
        assert list(config.skipped) == ["d"]
        assert list(config.broken) == [name for name in ("a", "c", "e") if name in config.broken]
        assert config.broken["c"].key == "mcpServers.c" and config.broken["c"].source == str(path)
        for _ in range(2):
            with pytest.raises(ConfigError) as caught:
                config.server("a")
            assert caught.value is config.broken["a"] and not hasattr(caught.value, "__notes__")
            assert "did you mean 'command'?" in str(caught.value)
            assert len(caught.traceback) == 2, "it does not grow with each time"


def test_what_is_no_configuration_is_raised_without_strictness_too():
    for mapping in ({"mcpServers": []}, {"mcpServers": {"": ENTRY}}, {"mcpServer": {"a": ENTRY}}):
        with pytest.raises(ConfigError):
            MCPConfig.of(mapping, strict=False)


def test_a_broken_entry_of_the_second_configuration_wins_as_well():
    broken, good = {"command": 5}, {"command": "user"}
    user = MCPConfig.of({"servers": {"a": good, "b": broken, "c": broken, "d": {"type": "sdk"}}}, strict=False)
    project = MCPConfig.of({"servers": {"a": broken, "b": good, "c": {"type": "sdk"}, "d": broken}}, strict=False)
    both = user | project
    assert (list(both.servers), list(both.broken), list(both.skipped)) == (["b"], ["c", "a", "d"], [])


def test_the_environment_is_that_of_the_process_when_asked(monkeypatch):
    config = MCPConfig.of({"mcpServers": {"a": {"command": "${TYBALT_TEST_COMMAND}"}}})
    monkeypatch.setenv("TYBALT_TEST_COMMAND", "later")
    assert config.server("a").words == ["later"]


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ({"weather": ENTRY, "b": ENTRY}, "there is no server 'wether'; did you mean 'weather'?"),
        ({"a": ENTRY, "b": ENTRY}, "there is no server 'wether'; the configuration has 'a', 'b'"),
        ({}, "there is no server 'wether'; the configuration has none"),
    ],
)
def test_a_server_that_is_not_there(servers, told):
    with pytest.raises(ConfigError) as caught:
        MCPConfig.of({"mcpServers": servers}).server("wether")
    assert str(caught.value) == told


def test_of_two_configurations_the_second_one_wins():
    user = MCPConfig.of({"mcpServers": {"a": {"command": "user"}, "b": {"command": "user"}, "c": {"type": "sdk"}}})
    project = MCPConfig.of({"servers": {"b": {"command": "project"}, "c": {"url": "http://h"}, "d": {"type": "sdk"}}})
    both = user | project
    assert {name: type(entry) for name, entry in both.servers.items()} == {
        "a": CommandEntry,
        "b": CommandEntry,
        "c": AddressEntry,
    }
    assert both.servers["b"].words == ["project"]
    assert list(both.skipped) == ["d"]
    assert list(user.servers) == ["a", "b"], "neither of the two is changed"
    with pytest.raises(TypeError):
        user | {"mcpServers": {}}


def test_a_configuration_is_frozen_and_no_view_of_what_it_was_made_of():
    mapping = {"mcpServers": {"a": {"command": "x", "env": {"A": "b"}, "extra": 1}}}
    config = MCPConfig.of(mapping)
    mapping["mcpServers"]["a"]["env"]["A"] = "changed"
    mapping["mcpServers"]["a"]["extra"] = 2
    mapping["mcpServers"]["b"] = ENTRY
    assert config.servers["a"].env == {"A": "b"} and config.servers["a"].other == {"extra": 1}
    assert list(config.servers) == ["a"]
    with pytest.raises(AttributeError):
        config.servers = {}
    with pytest.raises(TypeError):
        config.servers["b"] = CommandEntry("x")


def test_the_error_is_one_of_ours():
    assert issubclass(ConfigError, TybaltError) and issubclass(ConfigError, ValueError)


def test_it_is_usable_alone():
    """No event loop, no transport, no server: a configuration can be looked at by whoever has no client."""
    program = "import sys; from tybalt.client.config.config import MCPConfig; MCPConfig.of({}); print(*sys.modules)"
    loaded = set(
        subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout.split()
    )
    assert "tybalt.client.config" in loaded
    assert {
        "asyncio",
        "tomllib",
        "socket",
        "tybalt.client.client",
        "tybalt.server",
        "tybalt.transports",
    } & loaded == set()


KEYS = st.sampled_from(
    [
        "command",
        "cmd",
        "args",
        "env",
        "url",
        "httpUrl",
        "headers",
        "type",
        "timeout",
        "disabled",
        "enabled",
        "env_vars",
        "x",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["stdio", "http", "${A}"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | KEYS, inner, max_size=4),
    max_leaves=10,
)
ROOTS = st.sampled_from(["mcpServers", "mcp_servers", "context_servers", "servers", "mcp", "extensions", "x"])


@given(st.dictionaries(ROOTS, VALUES | st.dictionaries(st.text(max_size=4), st.dictionaries(KEYS, VALUES)), max_size=3))
def test_any_mapping_is_a_configuration_or_an_error_of_ours(mapping):
    try:
        config = MCPConfig.of(mapping)
        for name in config.servers:
            config.server(name, environment={"A": "b"})
    except ConfigError:
        pass
