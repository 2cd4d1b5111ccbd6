"""A server as a configuration names it: a command to start, or an address to connect to.

`ServerEntry` is one or the other, a frozen value that can be matched on. Values stand in it as they were written until
`expanded` puts the environment in, so that a variable that is not set is nobody's error but its own entry's. Knows no
file and no host; `keys` makes entries of what hosts write, `config` above holds them.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, Self

import msgspec

from tybalt.client.config.error import ConfigError
from tybalt.client.config.expansion import ExpansionError, expand
from tybalt.errors import cut

AddressTransport = Literal["http", "sse", "ws"]

HIDDEN: Final = "…"
"""What stands for a value in a `repr`."""

_PLAIN: Final = re.compile(r"[\w-]+", re.ASCII)
_FIELD: Final = re.compile(r"\w+")
_END_OF_HOST: Final = re.compile(r"[/?#]")
_SCHEMES: Final[Mapping[AddressTransport, tuple[str, ...]]] = {
    "http": ("http", "https"),
    "sse": ("http", "https"),
    "ws": ("ws", "wss"),
}


def child_key(parent: str, name: str) -> str:
    """The path of a key below another: `env.HOME`, or `env["a b"]` for a name that would not read well."""
    if _PLAIN.fullmatch(name) is None:
        return (
            f"{parent}[{msgspec.json.encode(cut(name)).decode()}]"
            if name.isprintable()
            else f"{parent}[{cut(ascii(name))}]"
        )
    return f"{parent}.{cut(name)}" if parent else cut(name)


class Place(msgspec.Struct, frozen=True):
    """Where an entry stands, for errors to name: the file, the key, and what its fields are called there."""

    source: str | None = None
    key: str = ""
    written: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])

    def key_of(self, field: str) -> str:
        """The path of a field or of what is in it, as it was written: `mcpServers.weather.serverUrl` for `url`."""
        head = _FIELD.match(field)
        if field in self.written:
            field = self.written[field]
        elif head is not None and head[0] in self.written:
            field = self.written[head[0]] + field[head.end() :]
        return f"{self.key}.{field}" if self.key and field else self.key + field

    def error(self, reason: str, field: str = "") -> ConfigError:
        """The error that says `reason` of a field, or of the entry itself."""
        return ConfigError(reason, key=self.key_of(field), source=self.source)


class _Discreet(msgspec.Struct, frozen=True):
    """Shows itself without its values: they may be secrets, and a `repr` ends in logs."""

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        values = {name: getattr(self, name) for name in self.__struct_fields__ if name != "place"}
        return [(name, _shown(name, value)) for name, value in values.items() if value]


class CommandEntry(_Discreet, frozen=True, tag="command"):
    """A server that is started as a child process: `Client(entry)`, or `Command(entry.words, env=entry.env, …)`.

    `env` comes on top of what the child inherits, `inherit` names variables it gets besides, where they are set. `cwd`
    is relative to the directory of the process, as with every host. `timeout` is for a request and `startup_timeout`
    for connecting, in seconds; `None` where nothing is said. `other` holds the keys nothing is known of. A `repr` shows
    no argument and no value.
    """

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    cwd: str | None = None
    inherit: tuple[str, ...] = ()
    timeout: float | None = None
    startup_timeout: float | None = None
    disabled: bool = False
    other: Mapping[str, Any] = msgspec.field(default_factory=dict[str, Any])
    place: Place = Place()
    is_expanded: bool = False

    @property
    def words(self) -> list[str]:
        """The command and its arguments, as `spawn` takes them."""
        return [self.command, *self.args]

    def expanded(self, environment: Mapping[str, str]) -> Self:
        """The entry with `environment` put in, itself where that is done already.

        Raises `ConfigError` for a variable that is not set, for what is no reference, and for what no process can be
        given.
        """
        if self.is_expanded:
            return self
        put = _Expansion(self.place, environment)
        inherited = {name: environment[name] for name in self.inherit if name in environment}
        env = {name: put.word(value, child_key("env", name)) for name, value in self.env.items()}
        return msgspec.structs.replace(
            self,
            command=put.word(self.command, "command", empty=False),
            args=tuple(put.word(each, f"args[{index}]") for index, each in enumerate(self.args)),
            env={**inherited, **env},
            cwd=None if self.cwd is None else put.word(self.cwd, "cwd", empty=False),
            is_expanded=True,
        )


class AddressEntry(_Discreet, frozen=True, tag="address"):
    """A server that runs already, at a URL.

    `transport` is `"http"` (Streamable HTTP), `"sse"` (the transport of 2024-11-05), `"ws"` (WebSocket), or `None`
    where the configuration leaves it open: then try HTTP, and SSE after it; `expanded` knows `ws:` by itself. The other
    fields are those of `CommandEntry`. A `repr` shows neither headers nor what a URL may hold of credentials.
    """

    url: str
    transport: AddressTransport | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    timeout: float | None = None
    startup_timeout: float | None = None
    disabled: bool = False
    other: Mapping[str, Any] = msgspec.field(default_factory=dict[str, Any])
    place: Place = Place()
    is_expanded: bool = False

    def expanded(self, environment: Mapping[str, str]) -> Self:
        """The entry with `environment` put in, itself where that is done already.

        Raises `ConfigError` for a variable that is not set, for what is no reference, for a URL that is none or does
        not fit the transport, and for a header that would end early.
        """
        if self.is_expanded:
            return self
        put = _Expansion(self.place, environment)
        url = put.word(self.url, "url", empty=False)
        return msgspec.structs.replace(
            self,
            url=url,
            transport=self._transport_of(url),
            headers={name: put.header(value, child_key("headers", name)) for name, value in self.headers.items()},
            is_expanded=True,
        )

    def _transport_of(self, url: str) -> AddressTransport | None:
        scheme, _, rest = url.partition("://")
        scheme = scheme.lower()
        transport = self.transport or ("ws" if scheme in _SCHEMES["ws"] else None)
        schemes = _SCHEMES[transport or "http"]
        if scheme not in schemes or rest[:1] in ("", "/", "?", "#") or any(each <= " " for each in url):
            wanted = " or ".join(f"{each}://" for each in schemes)
            raise self.place.error(f"expected a URL that begins with {wanted} and names a host, without blanks", "url")
        return transport


ServerEntry = CommandEntry | AddressEntry


class _Expansion:
    """Expands the values of one entry, and names the key of one that cannot be."""

    def __init__(self, place: Place, environment: Mapping[str, str]) -> None:
        self._place = place
        self._environment = environment

    def word(self, text: str, field: str, *, empty: bool = True) -> str:
        """A text that a process can be given."""
        try:
            expanded = expand(text, self._environment)
        except ExpansionError as error:
            raise self._place.error(str(error), field) from None
        if "\0" in expanded:
            raise self._place.error("a text with the character NUL can be given to nobody", field)
        if not (expanded or empty):
            raise self._place.error("the text is empty once the variables are put in", field)
        return expanded

    def header(self, text: str, field: str) -> str:
        """A text that stays in its own header (RFC 9110 section 5.5)."""
        value = self.word(text, field).strip(" \t")
        if "\r" in value or "\n" in value:
            raise self._place.error("a header is one line; there is a line break in it", field)
        return value


def _shown(name: str, value: Any) -> Any:
    if name == "args":
        return (HIDDEN,) * len(value)
    if name == "url":
        return _without_credentials(value)
    return dict.fromkeys(value, HIDDEN) if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _without_credentials(url: str) -> str:
    """The scheme and the host: a path and a query hold tokens often enough, and a password anything."""
    scheme, separator, rest = url.partition("://")
    host = _END_OF_HOST.split(rest, maxsplit=1)[0]
    if not separator or "@" in rest:
        return f"{scheme}{separator}{HIDDEN}" if separator else HIDDEN
    return url if host == rest else f"{scheme}{separator}{host}/{HIDDEN}"
