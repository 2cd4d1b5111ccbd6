"""What hosts write about one server, as a `ServerEntry`: which keys there are, and what they mean.

Every host has its own words for the same things; `_NAMES` lists them, and docs/client-config.md whose they are. A key
that is not in it is kept aside, because hosts put their own business beside ours. Pure; `config` is above.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from tybalt.client.config.entries import AddressEntry, AddressTransport, CommandEntry, Place, ServerEntry, child_key
from tybalt.client.config.expansion import is_variable
from tybalt.client.config.fields import Fields
from tybalt.client.config.timeouts import TIMEOUT_KEYS, take_timeouts
from tybalt.errors import closest, cut

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "command": ("command", "cmd"),
    "args": ("args",),
    "env": ("env", "environment", "envs"),
    "inherit": ("env_vars", "env_keys"),
    "cwd": ("cwd",),
    "url": ("url", "httpUrl", "serverUrl", "uri"),
    "headers": ("headers", "http_headers"),
    "variable_headers": ("env_http_headers",),
    "bearer": ("bearer_token_env_var",),
    "transport": ("type", "transport", "transportType"),
    "disabled": ("disabled",),
    "enabled": ("enabled",),
}
_TARGETS: Final = (*_NAMES["command"], *_NAMES["url"])
_KNOWN: Final = frozenset(name for names in _NAMES.values() for name in names) | TIMEOUT_KEYS

_KINDS: Final[Mapping[str, tuple[type[ServerEntry], AddressTransport | None]]] = {
    "stdio": (CommandEntry, None),
    "local": (CommandEntry, None),
    "remote": (AddressEntry, None),
    "http": (AddressEntry, "http"),
    "streamablehttp": (AddressEntry, "http"),
    "sse": (AddressEntry, "sse"),
    "ws": (AddressEntry, "ws"),
    "websocket": (AddressEntry, "ws"),
}
"""What a `type` means, in small letters and without `-` and `_`."""
_BUILT_IN: Final = frozenset(("builtin", "platform", "frontend", "inlinepython", "sdk"))
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
"""The name of a header (RFC 9110 section 5.6.2)."""


def read_entry(body: Mapping[str, Any], *, source: str | None, key: str) -> ServerEntry:
    """The server that `body` describes; `key` is where that stands in the configuration, `source` the file.

    Raises `ConfigError` for a value of the wrong type or size, for two keys that say the same, for a command and a URL
    together, and for neither.
    """
    written: dict[str, str] = {}
    fields = Fields(body, Place(source, key, written), written)
    timeout, startup_timeout = take_timeouts(fields)
    command, url = fields.take("command", _NAMES["command"]), fields.take("url", _NAMES["url"])
    if command is not None and url is not None:
        names = f"{fields.name_of('command')!r} and {fields.name_of('url')!r}"
        raise fields.error(f"{names} are both there; a server is started or connected to: leave one of them out")
    disabled = _is_disabled(fields)
    if command is not None:
        entry = _command(fields, command)
    elif url is not None:
        entry = _address(fields, fields.as_text(url, "url"))
    else:
        raise fields.error(_neither(fields.left))
    said = {"timeout": timeout, "startup_timeout": startup_timeout, "disabled": disabled, "other": fields.left}
    return msgspec.structs.replace(entry, **said)


def reason_to_skip(body: Mapping[str, Any]) -> str | None:
    """Why an entry names no server for anybody but its host, in words; `None` where it does, or should."""
    names = {name for name, value in body.items() if value is not None}
    if not names.isdisjoint(_TARGETS):
        return None
    kind = body.get("type")
    if isinstance(kind, str) and _plain(kind) in _BUILT_IN:
        return f"it is a part of its host (type {cut(kind)!r}), which nobody else can start"
    if body.get("source") == "extension" or ("settings" in names and names <= {"settings", "enabled", "source"}):
        return "it comes with an extension of its editor, which alone knows how to start it"
    if names and names <= {"enabled", "disabled", "type"}:
        return "it only switches a server on or off that is configured elsewhere"
    return None


def looks_like_entry(body: Any) -> bool:
    """Whether a value holds what only a server has: what tells a misspelt `mcpServers` from other settings."""
    return isinstance(body, Mapping) and any(name in body for name in _TARGETS)


def _neither(left: Mapping[str, Any]) -> str:
    wanted = "expected 'command', to start a server, or 'url', to connect to one"
    for name in left:
        meant = None if name in _KNOWN else closest(name, _TARGETS)
        if meant is not None:
            return f"{wanted}; there is {cut(name)!r}: did you mean {meant!r}?"
    there = ", ".join(repr(cut(name)) for name in list(left)[:10])
    return f"{wanted}; there is only {there}" if there else f"{wanted}; there is nothing"


def _command(fields: Fields, value: Any) -> CommandEntry:
    kind = _kind(fields)
    if kind is not None and kind[0] is not CommandEntry:
        raise fields.error(f"expected 'stdio' beside {fields.name_of('command')!r}, or a 'url' instead", "transport")
    if isinstance(value, list | tuple):  # opencode writes the command with its arguments.
        command, *args = _words(fields, value)
    else:
        command, args = fields.as_text(value, "command"), fields.texts("args", _NAMES["args"])
    return CommandEntry(
        command,
        args=tuple(args),
        env=fields.table("env", _NAMES["env"], _fault_of_variable, numbers=True),
        cwd=fields.text("cwd", _NAMES["cwd"]),
        inherit=_inherited(fields),
        place=fields.place,
    )


def _words(fields: Fields, value: Any) -> tuple[str, ...]:
    name = fields.name_of("command")
    words = fields.as_texts(value, "command")
    if not words or not words[0]:
        raise fields.error("expected the command and its arguments, got an empty one", "command")
    if "args" in fields.left:
        raise fields.error(f"the arguments stand in {name!r} already; leave one of them out", "args")
    fields.rename("command", f"{name}[0]")
    for index in range(1, len(words)):
        fields.rename(f"args[{index - 1}]", f"{name}[{index}]")
    return words


def _inherited(fields: Fields) -> tuple[str, ...]:
    """Names of variables, or, as Codex has them too, objects with a `name`."""
    value = fields.take("inherit", _NAMES["inherit"])
    if isinstance(value, list | tuple):
        items = cast("list[Any] | tuple[Any, ...]", value)
        value = [cast("Any", each).get("name") if isinstance(each, Mapping) else each for each in items]
    names = () if value is None else fields.as_texts(value, "inherit")
    for index, name in enumerate(names):
        if (fault := _fault_of_variable(name)) is not None:
            raise fields.error(fault, f"inherit[{index}]")
    return names


def _address(fields: Fields, url: str) -> AddressEntry:
    kind = _kind(fields)
    if kind is not None and kind[0] is not AddressEntry:
        raise fields.error(
            f"expected 'http', 'sse' or 'ws' beside {fields.name_of('url')!r}, or a 'command'", "transport"
        )
    says_http = fields.name_of("url") == "httpUrl" and kind is None
    transport = "http" if says_http else None if kind is None else kind[1]
    return AddressEntry(url, transport=transport, headers=_headers(fields), place=fields.place)


def _headers(fields: Fields) -> dict[str, str]:
    """The headers as they were written, and those of Codex, which are names of variables, as references to these."""
    headers = fields.table("headers", _NAMES["headers"], _fault_of_header)
    named = fields.table("variable_headers", _NAMES["variable_headers"], _fault_of_header)
    for name, variable in named.items():
        _refer(fields, headers, name, "", variable, child_key(fields.name_of("variable_headers"), name))
    bearer = fields.text("bearer", _NAMES["bearer"])
    if bearer is not None:
        _refer(fields, headers, "Authorization", "Bearer ", bearer, fields.name_of("bearer"))
    return headers


def _refer(fields: Fields, headers: dict[str, str], name: str, before: str, variable: str, written: str) -> None:
    fields.rename(child_key("headers", name), written)
    if any(name.lower() == each.lower() for each in headers):
        raise fields.error(f"the header {name!r} is there already; leave one of them out", child_key("headers", name))
    if not is_variable(variable):
        raise fields.error("expected the name of an environment variable", child_key("headers", name))
    headers[name] = f"{before}${{{variable}}}"


def _kind(fields: Fields) -> tuple[type[ServerEntry], AddressTransport | None] | None:
    said = fields.text("transport", _NAMES["transport"])
    if said is None:
        return None
    kind = _KINDS.get(_plain(said))
    if kind is None:
        meant = closest(_plain(said), _KINDS)
        hint = f"; did you mean {meant!r}?" if meant else ""
        raise fields.error(f"expected 'stdio', 'http', 'sse' or 'ws', got {cut(said, 40)!r}{hint}", "transport")
    return kind


def _is_disabled(fields: Fields) -> bool:
    disabled, enabled = fields.flag("disabled", _NAMES["disabled"]), fields.flag("enabled", _NAMES["enabled"])
    if disabled is not None and disabled is enabled:
        raise fields.error(f"'disabled' and 'enabled' are both {str(enabled).lower()}; leave one of them out")
    return bool(disabled) or enabled is False


def _plain(kind: str) -> str:
    return kind.lower().replace("-", "").replace("_", "")


def _fault_of_variable(name: str) -> str | None:
    fits = name and "=" not in name and "\0" not in name
    return None if fits else "a variable has a name of at least one character, without '=' and NUL"


def _fault_of_header(name: str) -> str | None:
    return None if _TOKEN.fullmatch(name) else "a header has a name of letters, digits and '-'"
