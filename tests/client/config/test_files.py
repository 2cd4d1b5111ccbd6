"""Where hosts keep their files, on each platform, whatever the environment says."""

from pathlib import Path

import pytest

from tybalt.client.config.config import MCPConfig
from tybalt.client.config.files import ConfigFile, config_files

HOME = Path("/home/ada")


def places(platform="linux", environment=None, scope="user"):
    files = config_files(project="/p", home=HOME, environment=environment or {}, platform=platform, missing=True)
    return [(each.host, each.path.as_posix()) for each in files if each.scope == scope]


CODE = "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"
EVERYWHERE = {
    ("claude-code", "/home/ada/.claude.json"),
    ("cursor", "/home/ada/.cursor/mcp.json"),
    ("copilot-cli", "/home/ada/.copilot/mcp-config.json"),
    ("windsurf", "/home/ada/.codeium/windsurf/mcp_config.json"),
    ("gemini-cli", "/home/ada/.gemini/settings.json"),
    ("codex", "/home/ada/.codex/config.toml"),
    ("opencode", "/home/ada/.config/opencode/opencode.json"),
    ("opencode", "/home/ada/.config/opencode/opencode.jsonc"),
}


@pytest.mark.parametrize(
    ("platform", "settings", "goose", "zed"),
    [
        ("linux", "/home/ada/.config", "/home/ada/.config/goose", "/home/ada/.config/zed"),
        ("freebsd14", "/home/ada/.config", "/home/ada/.config/goose", "/home/ada/.config/zed"),
        ("darwin", "/home/ada/Library/Application Support", "/home/ada/.config/goose", "/home/ada/.config/zed"),
        (
            "win32",
            "/home/ada/AppData/Roaming",
            "/home/ada/AppData/Roaming/Block/goose/config",
            "/home/ada/AppData/Roaming/Zed",
        ),
    ],
)
def test_the_files_of_a_user(platform, settings, goose, zed):
    found = places(platform)
    assert len(found) == len(set(found))
    assert set(found) == EVERYWHERE | {
        ("claude-desktop", f"{settings}/Claude/claude_desktop_config.json"),
        ("vscode", f"{settings}/Code/User/mcp.json"),
        ("cline", f"{settings}/{CODE}"),
        ("goose", f"{goose}/config.yaml"),
        ("zed", f"{zed}/settings.json"),
    }


def test_the_files_of_a_project_are_the_same_everywhere():
    for platform in ("linux", "darwin", "win32"):
        assert places(platform, scope="project") == [
            ("claude-code", "/p/.mcp.json"),
            ("cursor", "/p/.cursor/mcp.json"),
            ("vscode", "/p/.vscode/mcp.json"),
            ("gemini-cli", "/p/.gemini/settings.json"),
            ("codex", "/p/.codex/config.toml"),
            ("zed", "/p/.zed/settings.json"),
            ("opencode", "/p/opencode.json"),
            ("opencode", "/p/opencode.jsonc"),
        ]


@pytest.mark.parametrize(
    ("platform", "variable", "place"),
    [
        ("linux", "XDG_CONFIG_HOME", ("vscode", "/else/Code/User/mcp.json")),
        ("linux", "XDG_CONFIG_HOME", ("zed", "/else/zed/settings.json")),
        ("darwin", "XDG_CONFIG_HOME", ("goose", "/else/goose/config.yaml")),
        ("win32", "APPDATA", ("claude-desktop", "/else/Claude/claude_desktop_config.json")),
        ("win32", "APPDATA", ("goose", "/else/Block/goose/config/config.yaml")),
        ("linux", "CLAUDE_CONFIG_DIR", ("claude-code", "/else/.claude.json")),
        ("linux", "CODEX_HOME", ("codex", "/else/config.toml")),
        ("linux", "COPILOT_HOME", ("copilot-cli", "/else/mcp-config.json")),
    ],
)
def test_a_variable_moves_a_folder_unless_it_is_empty(platform, variable, place):
    assert place in places(platform, {variable: "/else"})
    assert places(platform, {variable: ""}) == places(platform)


def test_only_files_that_are_there_are_listed(tmp_path):
    (tmp_path / "home" / ".cursor").mkdir(parents=True)
    (tmp_path / "home" / ".cursor" / "mcp.json").write_text('{"mcpServers": {"a": {"command": "x"}}}')
    (tmp_path / "home" / ".claude.json").mkdir()
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / ".mcp.json").write_text("{}")
    found = config_files(project=tmp_path / "project", home=str(tmp_path / "home"), environment={}, platform="linux")
    assert found == [
        ConfigFile("cursor", tmp_path / "home" / ".cursor" / "mcp.json", "user"),
        ConfigFile("claude-code", tmp_path / "project" / ".mcp.json", "project"),
    ]
    assert [list(MCPConfig.read(each.path).servers) for each in found] == [["a"], []]


def test_this_process_is_asked_where_nothing_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODEX_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    (tmp_path / "config.toml").touch()
    (tmp_path / ".mcp.json").touch()
    found = [(each.host, each.path) for each in config_files()]
    assert ("codex", tmp_path / "config.toml") in found
    assert ("claude-code", Path(".mcp.json")) in found
