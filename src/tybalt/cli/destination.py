"""The server that a client command is about: a file, a command, a URL, or an entry of a configuration.

What was named becomes what `Client` takes. A Python file is loaded into this process, a command is started by the
client, and what it writes to stderr is shown escaped.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec import Struct
from msgspec.structs import replace

from tybalt.cli.terminal import note
from tybalt.cli.usage import UsageError, instead, listed
from tybalt.errors import MisuseError

if TYPE_CHECKING:
    from tybalt.client.config import AddressEntry, ConfigFile, ServerEntry

SCRIPTS: Final = (".js", ".mjs", ".cjs")
"""The ends of files that node runs."""
SHOWN_PLACES: Final = 3
"""Places of configurations that are named where none is there."""


class Destination(Struct, frozen=True, kw_only=True):
    """What the command line says of the server: its `name` or the `command` that starts it, and how it is asked."""

    name: str | None = None
    command: tuple[str, ...] = ()
    config: str | None = None
    token: str | None = None
    token_env: str | None = None
    headers: tuple[str, ...] = ()
    era: str = "auto"
    timeout: float | None = None

    def __repr__(self) -> str:
        """Without the token, the headers and the arguments, which may be secrets."""
        return f"<Destination {self.name or self.command[:1]}>"


def target_of(given: Destination) -> Any:
    """What `Client` takes. Raises `UsageError`, and what a Python file raises."""
    if given.name is None:
        _refuse_credentials(given)
        return _command(given)
    if given.config is None and _is_url(given.name):
        return _address(given, given.name)
    entry = _entry(given.name, given.config)
    if entry is not None and not hasattr(entry, "words"):
        return _entry_address(given, cast("AddressEntry", entry))
    _refuse_credentials(given)
    return _file(given.name) if entry is None else _entry_command(entry)


def _is_url(name: str) -> bool:
    return "://" in name or name.startswith("unix:")


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _refuse_credentials(given: Destination) -> None:
    """What would go nowhere was meant to go somewhere."""
    if given.token is not None or given.token_env is not None or given.headers:
        option = "--header" if given.headers else "--token"
        raise UsageError(f"{option} is for a server at a URL; a command gets what it needs from its environment")


# -- what is started --------------------------------------------------------------------------------------------------


def _command(given: Destination) -> Any:
    """The words behind `--`, with the environment that a shell would have given them."""
    from tybalt.transports.command import Command

    if given.config is not None:
        raise UsageError("--config names a server in a file, and `--` a command to start: give one of them")
    return _used(lambda: Command(given.command, inherit="all", stderr=note))


def _file(name: str) -> Any:
    from tybalt.cli.target import load_idle_server

    if _suffix(name) in SCRIPTS:
        return _script(name)
    try:
        return load_idle_server(name)
    except UsageError as error:
        if _names_a_file(name):
            raise
        text = str(error)
        raise UsageError(f"{text}{'' if text.endswith('?') else '.'} {_looked_at()}") from None


def _script(name: str) -> Any:
    from tybalt.client.targets import command_for

    if not os.path.isfile(name):
        raise UsageError(f"there is no file {name}")
    return _used(lambda: replace(command_for(name), inherit="all", stderr=note))


# -- what runs already ------------------------------------------------------------------------------------------------


def _address(given: Destination, url: str, headers: dict[str, str] | None = None, transport: Any = None) -> Any:
    from tybalt.client.address import Address

    token = _token(given)
    fields = dict(headers or {})
    if token is not None:
        fields = {name: value for name, value in fields.items() if name.lower() != "authorization"}
    fields.update(map(_header, given.headers))
    return _used(lambda: Address(url, token=token, headers=fields, transport=transport))


def _token(given: Destination) -> str | None:
    name = given.token_env
    if name is None:
        return given.token
    if given.token is not None:
        raise UsageError("--token and --token-env say the same thing; leave --token out, which everybody can see")
    token = os.environ.get(name)
    if not token:
        raise UsageError(f"--token-env {name}: the variable is {'not set' if token is None else 'empty'}")
    return token


def _header(text: str) -> tuple[str, str]:
    name, separator, value = text.partition(":")
    if not separator or not name.strip():
        raise UsageError("--header: expected 'Name: value', such as 'X-Tenant: acme'")  # Not shown: may be a secret.
    return name.strip(), value.strip()


# -- configurations ---------------------------------------------------------------------------------------------------


def _entry(name: str, config: str | None) -> "ServerEntry | None":
    """The server of this name in `config`, or in the usual files if it is the name of no file; ready to use."""
    if config is None and _names_a_file(name):
        return None
    from tybalt.client.config import ConfigError, MCPConfig

    try:
        if config is not None:
            return MCPConfig.read(config, strict=False).server(name)
        return _usual(name)
    except ConfigError as error:
        raise UsageError(str(error)) from None


def _names_a_file(name: str) -> bool:
    path = name.rpartition(":")[0] or name
    return bool(_suffix(path)) or os.sep in name or os.path.exists(name) or os.path.exists(path)


def _usual(name: str) -> "ServerEntry | None":
    """From the files where hosts keep their servers, those of this folder first; `None` where none names any."""
    from tybalt.client.config import ConfigError, MCPConfig

    known: list[str] = []
    for file in _usual_files():
        try:
            config = MCPConfig.read(file.path, strict=False)
        except ConfigError as error:
            if file.path == Path(".mcp.json"):
                raise
            note(f"tybalt: passed over: {error}")
            continue
        names = [*config.servers, *config.broken, *config.skipped]
        if name in names:
            note(f"tybalt: {name} is a server of {file.path}")
            return config.server(name)
        known += names
    if not known:
        return None
    raise UsageError(f"{name!r} is no file, and no server of a configuration; {instead(name, known)}")


def _usual_files(*, missing: bool = False) -> "list[ConfigFile]":
    from tybalt.client.config import config_files

    return sorted(config_files(missing=missing), key=lambda file: file.scope != "project")


def _looked_at() -> str:
    """Where a name was looked for that is that of no file, as far as it is short."""
    there = [str(file.path) for file in _usual_files()]
    if there:
        return f"As the name of a server it was looked for in {listed(there)}, and no server is there"
    few = ", ".join(str(file.path) for file in _usual_files(missing=True)[:SHOWN_PLACES])
    return (
        f"As the name of a server it was looked for in {few}, and where else hosts keep theirs; no such file is there"
    )


def _entry_command(entry: "ServerEntry") -> Any:
    from tybalt.client.targets import configured_command

    return _used(lambda: replace(configured_command(entry), stderr=note))


def _entry_address(given: Destination, entry: "AddressEntry") -> Any:
    return _address(given, entry.url, dict(entry.headers), entry.transport)


def _used(make: Any) -> Any:
    """What `make` makes. The misuse that it finds is one of the command line."""
    try:
        return make()
    except MisuseError as error:
        raise UsageError(str(error)) from None
