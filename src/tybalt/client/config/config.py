"""`MCPConfig`: the servers that a configuration names, as a value. It needs no client and no server.

    config = MCPConfig.read(".mcp.json")
    entry = config.server("weather")

What the common hosts write is understood. Which keys hold servers is told here; what stands in an entry is the
business of `keys`, what becomes of it that of `entries`. `document` opens files, `files`
tells where hosts keep theirs.
"""

import os
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, Self, TypeVar, cast

import msgspec

from tybalt.client.config.document import read_document
from tybalt.client.config.entries import ServerEntry, child_key
from tybalt.client.config.error import ConfigError
from tybalt.client.config.fields import type_of
from tybalt.client.config.keys import looks_like_entry, read_entry, reason_to_skip
from tybalt.errors import MisuseError, closest, cut

V = TypeVar("V")

MAX_SERVERS: Final = 1_000
"""How many servers one configuration may name."""
MAX_NAME: Final = 200
"""Characters in the name of a server."""

_OWN_ROOTS: Final = ("mcpServers", "mcp_servers", "context_servers")
"""Keys that can hold nothing but servers."""
_SHARED_ROOTS: Final = ("servers", "mcp", "extensions")
"""Keys of VS Code, opencode and goose, which mean other things elsewhere."""
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class MCPConfig(msgspec.Struct, frozen=True):
    """The servers of a configuration, by name and in its order.

    Make one with `of` or `read`. `a | b` has the servers of both, those of `b` where a name is in both. `skipped` says
    of each entry that only its host can use why that is so, `broken` what is wrong with each that was read although it
    is.
    """

    servers: Mapping[str, ServerEntry] = _NONE
    skipped: Mapping[str, str] = _NONE
    broken: Mapping[str, ConfigError] = _NONE

    @classmethod
    def of(cls, mapping: Mapping[str, Any], *, source: str | None = None, strict: bool = True) -> Self:
        """The configuration in a mapping, such as `{"mcpServers": {"weather": {"command": "weather-server"}}}`.

        A mapping without any servers is an empty configuration. `source` is what errors call it. Nothing is expanded
        yet, so that a variable that is not set is no error here. Without `strict`, an entry that is wrong is an error
        only for who asks for it, and is in `broken`. Raises `ConfigError` that names the key, and `MisuseError` for
        what is no mapping.
        """
        if not isinstance(mapping, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MisuseError(f"MCPConfig.of(mapping): expected a mapping, got {type_of(mapping)}; a file is `read`")
        root, bodies = _entries_in(mapping, source)
        _check_names(bodies, source, root)
        servers: dict[str, ServerEntry] = {}
        skipped: dict[str, str] = {}
        broken: dict[str, ConfigError] = {}
        for name, body in bodies.items():
            read = _read(body, source, child_key(root, name))
            if isinstance(read, ConfigError):
                if strict:
                    read.add_note("With strict=False the other servers can be used, and `broken` holds this error.")
                    raise read
                broken[name] = read
            elif isinstance(read, str):
                skipped[name] = read
            else:
                servers[name] = read
        return cls(MappingProxyType(servers), MappingProxyType(skipped), MappingProxyType(broken))

    @classmethod
    def read(cls, path: "str | os.PathLike[str]", *, strict: bool = True) -> Self:
        """The configuration in a file: JSON, also with comments and trailing commas, or TOML.

        The end of its name tells which, or else what is in it. `strict` is as for `of`. Raises `ConfigError` that names
        the file, and the key or the line.
        """
        return cls.of(read_document(path), source=os.fsdecode(path), strict=strict)

    def server(self, name: str, *, environment: Mapping[str, str] | None = None) -> ServerEntry:
        """One server, ready to use: with the variables of `environment` put in, `os.environ` unless you say otherwise.

        Raises `ConfigError` where there is none of this name, where it is broken or disabled, for a variable that is
        not set and for a reference that is none. Other entries are not looked at.
        """
        if (error := self.broken.get(name)) is not None:
            raise error.with_traceback(None)
        entry = self.servers.get(name)
        if entry is None:
            raise ConfigError(self._missing(name))
        if entry.disabled:
            raise entry.place.error("it is disabled; enable it, or take it from `servers`, where it is all the same")
        return entry.expanded(os.environ if environment is None else environment)

    def __or__(self, other: "MCPConfig") -> Self:
        if not isinstance(other, MCPConfig):  # pyright: ignore[reportUnnecessaryIsInstance]
            return NotImplemented
        # An entry that is wrong still takes the place of another: it was meant to.
        broken = {**_without(self.broken, other.servers), **other.broken}
        servers = _without({**self.servers, **other.servers}, other.broken)
        skipped = _without({**self.skipped, **other.skipped}, {**servers, **broken})
        return type(self)(MappingProxyType(servers), MappingProxyType(skipped), MappingProxyType(broken))

    def _missing(self, name: str) -> str:
        if name in self.skipped:
            return f"the server {cut(name)!r} cannot be used: {self.skipped[name]}"
        meant = closest(name, self.servers)
        if meant is not None:
            return f"there is no server {cut(name)!r}; did you mean {meant!r}?"
        names = ", ".join(repr(each) for each in list(self.servers)[:10])
        return f"there is no server {cut(name)!r}; the configuration has {names or 'none'}"


def _read(body: Any, source: str | None, key: str) -> ServerEntry | str | ConfigError:
    """An entry, or why it names no server for anybody but its host, or what is wrong with it."""
    try:
        members = _members(body, source, key)
        return reason_to_skip(members) or read_entry(members, source=source, key=key)
    except ConfigError as error:
        return error.with_traceback(None)  # It may be kept, and its frames hold what may be secret.


def _members(body: Any, source: str | None, key: str) -> Mapping[str, Any]:
    if not isinstance(body, Mapping):
        raise ConfigError(f"expected an object with 'command' or 'url', got {type_of(body)}", key=key, source=source)
    if any(not isinstance(each, str) for each in cast("Mapping[Any, Any]", body)):
        raise ConfigError("the keys of a server are texts", key=key, source=source)
    return cast("Mapping[str, Any]", body)


def _without(held: Mapping[str, V], names: Collection[str]) -> dict[str, V]:
    return {name: value for name, value in held.items() if name not in names}


def _entries_in(mapping: Mapping[str, Any], source: str | None) -> tuple[str, Mapping[str, Any]]:
    """The key that holds the servers, and what it holds."""
    for root in _OWN_ROOTS:
        held = mapping.get(root)
        if held is not None:
            if not isinstance(held, Mapping):
                raise ConfigError(f"expected an object of servers, got {type_of(held)}", key=root, source=source)
            return root, cast("Mapping[str, Any]", held)
    for root in _SHARED_ROOTS:
        held = _mapping(mapping.get(root))
        inner = _mapping(held.get("servers")) if root == "mcp" and held is not None else None
        if inner is not None:  # A newer opencode, and the settings of VS Code.
            return "mcp.servers", inner
        if held is not None and all(isinstance(each, Mapping) for each in held.values()):
            return root, held
    _check_misplaced(mapping, source)
    return "", _NONE


def _mapping(value: Any) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def _check_misplaced(mapping: Mapping[str, Any], source: str | None) -> None:
    """Servers under a key that is misspelt, or under none, would be lost without a word.

    No more is guessed: hosts keep commands for other things beside, such as language servers.
    """
    if mapping and all(looks_like_entry(held) for held in mapping.values()):
        key = child_key("", str(next(iter(mapping))))
        raise ConfigError("a server stands at the top; put it under 'mcpServers'", key=key, source=source)
    for name, held in mapping.items():
        meant = _root_meant(str(name)) if any(map(looks_like_entry, (_mapping(held) or _NONE).values())) else None
        if meant is not None:
            reason = f"servers stand under a key that is not read; did you mean {meant!r}?"
            raise ConfigError(reason, key=child_key("", str(name)), source=source)


def _root_meant(name: str) -> str | None:
    from difflib import get_close_matches

    known = {root.lower(): root for root in (*_OWN_ROOTS, "servers")}
    # Closer than elsewhere, because `agent_servers` of Zed is a key of its own.
    found = get_close_matches(name[:100].lower(), list(known), 1, cutoff=0.85)
    return known[found[0]] if found else None


def _check_names(bodies: Mapping[Any, Any], source: str | None, root: str) -> None:
    if len(bodies) > MAX_SERVERS:
        reason = f"{len(bodies):,} servers are too many; at most {MAX_SERVERS:,} are accepted"
        raise ConfigError(reason, key=root, source=source)
    for name in bodies:
        if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
            reason = f"a server has a name of 1 to {MAX_NAME} characters, not {cut(repr(name), 40)}"
            raise ConfigError(reason, key=root, source=source)
