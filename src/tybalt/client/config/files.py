"""Where the common hosts keep their configurations: `config_files`.

Paths alone: no file is opened. A host that writes YAML is listed too, though `MCPConfig.read` does not read it.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

Scope = Literal["user", "project"]


class ConfigFile(NamedTuple):
    """A place where a host keeps servers. What is in a project came with it, and nobody has vouched for it."""

    host: str
    path: Path
    scope: Scope


def config_files(
    *,
    project: "str | os.PathLike[str]" = ".",
    home: "str | os.PathLike[str] | None" = None,
    environment: Mapping[str, str] | None = None,
    platform: str | None = None,
    missing: bool = False,
) -> list[ConfigFile]:
    """The files in which the common hosts keep servers, those of the user first; with `missing` also what is not there.

    `project` is the folder that project files are looked for in, by default the current one. `home`, `environment` and
    `platform` are those of this process unless given; a platform is called as in `sys.platform`. A file may hold no
    servers at all. Never raises for what cannot be looked at: it is not there.
    """
    folders = _folders(
        Path(os.path.expanduser("~") if home is None else home),
        os.environ if environment is None else environment,
        sys.platform if platform is None else platform,
    )
    folders["project"] = Path(project)
    places = [
        ConfigFile(host, folders[folder] / path, "project" if folder == "project" else "user")
        for host, folder, path in _PLACES
    ]
    return [place for place in places if missing or os.path.isfile(place.path)]


_CLINE: Final = "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"

_PLACES: Final[tuple[tuple[str, str, str], ...]] = (
    ("claude-desktop", "settings", "Claude/claude_desktop_config.json"),
    ("claude-code", "claude", ".claude.json"),
    ("cursor", "home", ".cursor/mcp.json"),
    ("vscode", "settings", "Code/User/mcp.json"),
    ("copilot-cli", "copilot", "mcp-config.json"),
    ("windsurf", "home", ".codeium/windsurf/mcp_config.json"),
    ("cline", "settings", _CLINE),
    ("gemini-cli", "home", ".gemini/settings.json"),
    ("goose", "goose", "config.yaml"),
    ("codex", "codex", "config.toml"),
    ("zed", "zed", "settings.json"),
    ("opencode", "dotconfig", "opencode/opencode.json"),
    ("opencode", "dotconfig", "opencode/opencode.jsonc"),
    ("claude-code", "project", ".mcp.json"),
    ("cursor", "project", ".cursor/mcp.json"),
    ("vscode", "project", ".vscode/mcp.json"),
    ("gemini-cli", "project", ".gemini/settings.json"),
    ("codex", "project", ".codex/config.toml"),
    ("zed", "project", ".zed/settings.json"),
    ("opencode", "project", "opencode.json"),
    ("opencode", "project", "opencode.jsonc"),
)
"""The host, a key of `_folders`, and where below that."""


def _folders(home: Path, environment: Mapping[str, str], platform: str) -> dict[str, Path]:
    def said(variable: str, otherwise: Path) -> Path:
        value = environment.get(variable)
        return Path(value) if value else otherwise

    dotconfig = said("XDG_CONFIG_HOME", home / ".config")
    folders = {
        "home": home,
        "dotconfig": dotconfig,
        "settings": dotconfig,
        "claude": said("CLAUDE_CONFIG_DIR", home),
        "copilot": said("COPILOT_HOME", home / ".copilot"),
        "codex": said("CODEX_HOME", home / ".codex"),
        "goose": dotconfig / "goose",
        "zed": dotconfig / "zed",
    }
    if platform == "darwin":
        folders["settings"] = home / "Library" / "Application Support"
        folders["zed"] = home / ".config" / "zed"
    elif platform == "win32":
        roaming = said("APPDATA", home / "AppData" / "Roaming")
        folders |= {"settings": roaming, "goose": roaming / "Block" / "goose" / "config", "zed": roaming / "Zed"}
    return folders
