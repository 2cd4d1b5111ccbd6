"""One entry, in the words of each host, and what is told of one that will not do."""

import pytest

from tybalt.client.config.config import MCPConfig
from tybalt.client.config.entries import AddressEntry, CommandEntry
from tybalt.client.config.error import ConfigError
from tybalt.client.config.expansion import MAX_TEXT
from tybalt.client.config.fields import MAX_ITEMS


def entry(body):
    return MCPConfig.of({"mcpServers": {"a": body}}).servers["a"]


def fields(made):
    """What an entry says, without where it stands."""
    return {
        name: value
        for name in made.__struct_fields__
        if name != "place" and (value := getattr(made, name)) not in (None, False, {}, ())
    }


COMMANDS = {
    "claude-desktop": (
        {"command": "npx", "args": ["-y", "server"], "env": {"A": "b"}},
        {"command": "npx", "args": ("-y", "server"), "env": {"A": "b"}},
    ),
    "claude-code": ({"type": "stdio", "command": "x", "args": [], "env": {}}, {"command": "x"}),
    "vscode": (
        {"type": "stdio", "command": "x", "cwd": "${workspaceFolder}", "env": {"PORT": 80}, "dev": {"watch": "*"}},
        {"command": "x", "cwd": "${workspaceFolder}", "env": {"PORT": "80"}, "other": {"dev": {"watch": "*"}}},
    ),
    "cline": (
        {"command": "x", "disabled": True, "autoApprove": ["a"], "timeout": 60, "transportType": "stdio"},
        {"command": "x", "disabled": True, "timeout": 60.0, "other": {"autoApprove": ["a"]}},
    ),
    "gemini-cli": (
        {"command": "x", "cwd": "./s", "timeout": 15_000, "trust": False, "includeTools": ["a"]},
        {"command": "x", "cwd": "./s", "timeout": 15.0, "other": {"trust": False, "includeTools": ["a"]}},
    ),
    "codex": (
        {
            "command": "x",
            "env_vars": ["A", {"name": "B", "source": "local"}],
            "startup_timeout_sec": 20,
            "enabled": False,
        },
        {"command": "x", "inherit": ("A", "B"), "startup_timeout": 20.0, "disabled": True},
    ),
    "zed": ({"source": "custom", "command": "x", "enabled": True}, {"command": "x", "other": {"source": "custom"}}),
    "goose": (
        {
            "type": "stdio",
            "cmd": "x",
            "args": ["a"],
            "envs": {"A": "b"},
            "env_keys": ["K"],
            "timeout": 300,
            "enabled": True,
        },
        {"command": "x", "args": ("a",), "env": {"A": "b"}, "inherit": ("K",), "timeout": 300.0},
    ),
    "opencode": (
        {"type": "local", "command": ["bun", "x", "server"], "environment": {"A": "b"}, "timeout": 10_000},
        {"command": "bun", "args": ("x", "server"), "env": {"A": "b"}, "timeout": 10.0},
    ),
    "null is left out": ({"command": "x", "url": None, "args": None, "env": None, "cwd": None}, {"command": "x"}),
}
ADDRESSES = {
    "claude-code": (
        {"type": "http", "url": "http://h/mcp", "headers": {"A": "b"}},
        {"url": "http://h/mcp", "transport": "http", "headers": {"A": "b"}},
    ),
    "claude-code's older": ({"type": "sse", "url": "http://h/sse"}, {"url": "http://h/sse", "transport": "sse"}),
    "streamable-http": ({"type": "streamable-http", "url": "http://h"}, {"url": "http://h", "transport": "http"}),
    "cline": ({"type": "streamableHttp", "url": "http://h"}, {"url": "http://h", "transport": "http"}),
    "cursor": ({"url": "http://h"}, {"url": "http://h"}),
    "windsurf": ({"serverUrl": "http://h", "headers": {}}, {"url": "http://h"}),
    "gemini-cli": ({"httpUrl": "http://h", "timeout": 5_000}, {"url": "http://h", "transport": "http", "timeout": 5.0}),
    "gemini-cli's sse": ({"url": "http://h", "type": "sse"}, {"url": "http://h", "transport": "sse"}),
    "codex": (
        {
            "url": "http://h",
            "bearer_token_env_var": "TOKEN",
            "http_headers": {"X-A": "b"},
            "env_http_headers": {"X-B": "B"},
            "tool_timeout_sec": 60.5,
        },
        {
            "url": "http://h",
            "headers": {"X-A": "b", "X-B": "${B}", "Authorization": "Bearer ${TOKEN}"},
            "timeout": 60.5,
        },
    ),
    "goose": ({"type": "streamable_http", "uri": "http://h"}, {"url": "http://h", "transport": "http"}),
    "opencode": (
        {"type": "remote", "url": "http://h", "enabled": True, "oauth": False},
        {"url": "http://h", "other": {"oauth": False}},
    ),
    "a websocket": ({"transport": "ws", "url": "ws://h"}, {"url": "ws://h", "transport": "ws"}),
    "in capitals": ({"transport": "WebSocket", "url": "ws://h"}, {"url": "ws://h", "transport": "ws"}),
}


@pytest.mark.parametrize("host", COMMANDS)
def test_a_command_in_the_words_of_each_host(host):
    body, said = COMMANDS[host]
    made = entry(body)
    assert type(made) is CommandEntry and fields(made) == said


@pytest.mark.parametrize("host", ADDRESSES)
def test_an_address_in_the_words_of_each_host(host):
    body, said = ADDRESSES[host]
    made = entry(body)
    assert type(made) is AddressEntry and fields(made) == said


ONE = "expected 'command', to start a server, or 'url', to connect to one"
TYPE = "type: expected 'stdio', 'http', 'sse' or 'ws'"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, f"{ONE}; there is nothing"),
        ({"comand": "x"}, f"{ONE}; there is 'comand': did you mean 'command'?"),
        ({"args": ["x"], "server_url": "x"}, f"{ONE}; there is 'server_url': did you mean 'serverUrl'?"),
        ({"args": ["x"], "endpoint": "x"}, f"{ONE}; there is only 'args', 'endpoint'"),
        (
            {"command": "x", "url": "y"},
            "'command' and 'url' are both there; a server is started or connected to: leave one of them out",
        ),
        (
            {"cmd": "x", "serverUrl": "y"},
            "'cmd' and 'serverUrl' are both there; a server is started or connected to: leave one of them out",
        ),
        ({"url": "x", "httpUrl": "y"}, "'url' and 'httpUrl' say the same thing; leave one of them out"),
        ({"command": "x", "env": {}, "envs": {}}, "'env' and 'envs' say the same thing; leave one of them out"),
        ({"command": ""}, "command: expected a text of at least one character"),
        ({"command": 7}, "command: expected a text, got a number; write it in quotes"),
        ({"command": {"path": "x"}}, "command: expected a text, got an object"),
        ({"command": []}, "command: expected the command and its arguments, got an empty one"),
        ({"command": [""]}, "command: expected the command and its arguments, got an empty one"),
        ({"command": ["x", 1]}, "command[1]: expected a text, got a number; write it in quotes"),
        ({"command": ["x"], "args": []}, "args: the arguments stand in 'command' already; leave one of them out"),
        ({"command": "x", "args": "-y"}, "args: expected a list of texts, got a text"),
        ({"command": "x", "args": ["a", None]}, "args[1]: expected a text, got null"),
        ({"command": "x", "args": ["a"] * (MAX_ITEMS + 1)}, "args: 1,001 are too many; at most 1,000 are accepted"),
        (
            {"command": "x", "args": ["a" * (MAX_TEXT + 1)]},
            "args[0]: the text has 65,537 characters; at most 65,536 are accepted",
        ),
        ({"command": "x", "env": ["A=b"]}, "env: expected an object of texts, got a list"),
        (
            {"command": "x", "environment": {"A": True}},
            "environment.A: expected a text, got true or false; write it in quotes",
        ),
        ({"command": "x", "env": {"A": 1.5}}, "env.A: expected a text, got a number; write it in quotes"),
        ({"command": "x", "env": {"A": 10**5_000}}, "env.A: expected a text, got a number; write it in quotes"),
        ({"command": "x", "env": {"A": None}}, "env.A: expected a text, got null"),
        (
            {"command": "x", "env": {"A=": "b"}},
            "env: the name 'A=' will not do: a variable has a name of at least one character, without '=' and NUL",
        ),
        (
            {"command": "x", "env": {"": "b"}},
            "env: the name '' will not do: a variable has a name of at least one character, without '=' and NUL",
        ),
        ({"command": "x", "env": {1: "b"}}, "env: the name '1' will not do: expected a text, got a number"),
        (
            {"command": "x", "env": {"A" * 257: "b"}},
            f"env: the name '{'A' * 40}…' will not do: it has 257 characters, at most 256 are accepted",
        ),
        ({"command": "x", "cwd": ""}, "cwd: expected a text of at least one character"),
        ({"command": "x", "disabled": "no"}, "disabled: expected true or false, got a text"),
        (
            {"command": "x", "disabled": True, "enabled": True},
            "'disabled' and 'enabled' are both true; leave one of them out",
        ),
        ({"command": "x", "env_vars": "A"}, "env_vars: expected a list of texts, got a text"),
        ({"command": "x", "env_vars": [{"source": "local"}]}, "env_vars[0]: expected a text, got null"),
        (
            {"command": "x", "env_vars": ["A=b"]},
            "env_vars[0]: a variable has a name of at least one character, without '=' and NUL",
        ),
        ({"command": "x", "type": "http"}, "type: expected 'stdio' beside 'command', or a 'url' instead"),
        (
            {"command": "x", "transportType": "sse"},
            "transportType: expected 'stdio' beside 'command', or a 'url' instead",
        ),
        ({"url": "x", "type": "stdio"}, "type: expected 'http', 'sse' or 'ws' beside 'url', or a 'command'"),
        ({"url": "x", "type": "htp"}, f"{TYPE}, got 'htp'; did you mean 'http'?"),
        ({"url": "x", "type": "carrier pigeon"}, f"{TYPE}, got 'carrier pigeon'"),
        ({"url": "x", "type": 1}, "type: expected a text, got a number; write it in quotes"),
        ({"httpUrl": 1}, "httpUrl: expected a text, got a number; write it in quotes"),
        ({"url": "x", "headers": ["A: b"]}, "headers: expected an object of texts, got a list"),
        ({"url": "x", "headers": {"A": 1}}, "headers.A: expected a text, got a number; write it in quotes"),
        (
            {"url": "x", "http_headers": {"A b": "c"}},
            "http_headers: the name 'A b' will not do: a header has a name of letters, digits and '-'",
        ),
        (
            {"url": "x", "bearer_token_env_var": "a b"},
            "bearer_token_env_var: expected the name of an environment variable",
        ),
        (
            {"url": "x", "env_http_headers": {"A": "${B}"}},
            "env_http_headers.A: expected the name of an environment variable",
        ),
        (
            {"url": "x", "headers": {"authorization": "y"}, "bearer_token_env_var": "T"},
            "bearer_token_env_var: the header 'Authorization' is there already; leave one of them out",
        ),
        ({1: 2}, "the keys of a server are texts"),
    ],
)
def test_what_will_not_do_is_told_with_its_key(body, told):
    with pytest.raises(ConfigError) as caught:
        entry(body)
    assert str(caught.value).removeprefix("mcpServers.a").lstrip(".: ") == told
    assert caught.value.key.startswith("mcpServers.a")


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ({"url": "http://h", "bearer_token_env_var": "MISSING"}, "bearer_token_env_var"),
        ({"url": "http://h", "env_http_headers": {"X-A": "MISSING"}}, "env_http_headers.X-A"),
        ({"url": "http://h", "http_headers": {"X-A": "${MISSING}"}}, "http_headers.X-A"),
        ({"serverUrl": "http://${MISSING}"}, "serverUrl"),
        ({"command": ["${MISSING}"]}, "command[0]"),
        ({"command": ["x", "y", "${MISSING}"]}, "command[2]"),
        ({"cmd": "x", "envs": {"A": "${MISSING}"}}, "envs.A"),
    ],
)
def test_a_variable_that_is_not_set_is_told_with_the_key_that_was_written(body, key):
    made = entry(body)
    with pytest.raises(ConfigError, match="the environment variable MISSING is not set") as caught:
        made.expanded({})
    assert caught.value.key == f"mcpServers.a.{key}"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"type": "builtin", "name": "developer", "timeout": 300}, "a part of its host (type 'builtin')"),
        ({"type": "inline_python", "code": "…"}, "a part of its host"),
        ({"type": "sdk"}, "a part of its host"),
        ({"source": "extension", "enabled": True, "settings": {}}, "an extension of its editor"),
        ({"settings": {"token": "x"}}, "an extension of its editor"),
        ({"enabled": True}, "only switches a server on or off"),
        ({"type": "remote", "enabled": False}, "only switches a server on or off"),
    ],
)
def test_what_only_its_host_can_use_is_put_aside_with_the_reason(body, reason):
    config = MCPConfig.of({"mcpServers": {"a": body, "b": {"command": "x"}}})
    assert list(config.servers) == ["b"]
    assert reason in config.skipped["a"]
    with pytest.raises(ConfigError, match="the server 'a' cannot be used: it "):
        config.server("a", environment={})


def test_no_error_repeats_a_value():
    for body in (
        {"command": "x", "env": {"A": ["hunter2"]}},
        {"command": "x", "env": {"A": "hunter2" * MAX_TEXT}},
        {"url": "hunter2", "command": "hunter2"},
        {"url": "x", "bearer_token_env_var": "hunter2!"},
        {"command": ["hunter2", 7]},
        {"command": "x", "timeout": "hunter2"},
    ):
        with pytest.raises(ConfigError) as caught:
            entry(body)
        assert "hunter2" not in str(caught.value)
