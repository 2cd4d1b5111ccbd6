"""The options of `Client(…)`, checked where they are given, and the way to the server that `target` names."""

from collections.abc import Awaitable, Sequence
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from msgspec import UNSET, UnsetType

from tybalt.client.link import DirectLink, Link, Serves, TransportLink
from tybalt.client.targets import address_for, command_for, configured_command, no_target, shown
from tybalt.errors import MisuseError
from tybalt.execution.durations import Duration, seconds
from tybalt.transports.command import Command, is_path
from tybalt.transports.transport import Transport
from tybalt.types.logging import LOGGING_LEVELS
from tybalt.types.revisions import REVISIONS, era_of

if TYPE_CHECKING:
    from tybalt.client.address import Address

EraChoice = Literal["auto", "modern", "legacy"] | str
"""How to find a common revision: see `Client`."""


REQUEST_TIMEOUT: Final = 60.0
"""Seconds a request may take where nothing else is said."""


def check_options(log_level: Any, on_notification: Any, max_rounds: Any) -> None:
    """Raises `MisuseError` for an option that means nothing."""
    if log_level is not None and log_level not in LOGGING_LEVELS:
        raise MisuseError(f"log_level: expected one of {', '.join(LOGGING_LEVELS)}, got {log_level!r}")
    check_callback("on_notification", on_notification)
    if type(max_rounds) is not int or max_rounds < 1:
        raise MisuseError(f"max_rounds: expected a number of rounds from 1 on, got {max_rounds!r}")


def request_timeout(timeout: "Duration | UnsetType | None", target: Any) -> float | None:
    """Seconds a request may take: as is said, else as the entry of a configuration says. Raises `MisuseError`."""
    if timeout is UNSET:
        configured = getattr(target, "timeout", None) if hasattr(target, "expanded") else None
        return REQUEST_TIMEOUT if configured is None else configured
    return None if timeout is None else duration("timeout", timeout)


def duration(name: str, value: "Duration") -> float:
    """An option that is a duration, in seconds. Raises `MisuseError` with its name."""
    try:
        return seconds(value)
    except MisuseError as error:
        raise MisuseError(f"{name}: {error}") from None


def check_restart(restart: Any, link: Link) -> None:
    """Raises `MisuseError` for what is no `Restart`, and where there is nothing to open again."""
    if restart is None:
        return
    if not hasattr(restart, "attempts"):
        raise MisuseError(f"restart: expected a Restart, got {restart!r}")
    if not link.reopens:
        text = "it is for what can be opened again: a file, a command, a WebSocket, a Unix socket"
        raise MisuseError(f"restart: {text}. Over HTTP each request connects by itself")


def check_callback(name: str, callback: Any) -> None:
    """A coroutine function would be called, and what it returns thrown away."""
    if callback is not None and (not callable(callback) or iscoroutinefunction(callback)):
        raise MisuseError(f"{name}: expected a plain function, not {callback!r}; it runs where messages are read")


def chosen_era(era: str) -> tuple[str, str | None]:
    """The era, and the revision where a single one is wanted."""
    if era in ("auto", "modern", "legacy"):
        return era, None
    if era not in REVISIONS:
        raise MisuseError(f"era: expected 'auto', 'modern', 'legacy' or one of {', '.join(REVISIONS)}, got {era!r}")
    return era_of(era), era


def link_to(target: Any, *, token: str | None = None) -> Link:
    """How to reach `target`. Raises `MisuseError` for what is no server, no address, no command and no file."""
    if isinstance(target, type):  # It has all the methods that are looked for below.
        raise no_target(target)
    if (address := address_for(target, token)) is not None:
        return _over_network(address)
    if token is not None:
        raise MisuseError(f"token: it is sent to a server at a URL, and {shown(target)} is none")
    if isinstance(target, Serves):
        return DirectLink(target)
    if (command := _command(target)) is not None:
        return TransportLink(lambda: _spawn(command), reopens=True)
    if hasattr(target, "receive") and hasattr(target, "reserve"):
        return TransportLink(lambda: target)
    raise no_target(target)


def _over_network(address: "Address") -> Link:
    match address.transport:
        case "unix":
            return TransportLink(lambda: _connect_unix(address), reopens=True, origin=address.origin)
        case "ws":
            return TransportLink(lambda: _connect_websocket(address), reopens=True, origin=address.origin)
        case _:
            from tybalt.client.http.link import HttpLink

            return HttpLink(address)


def _command(target: Any) -> Command | None:
    """The command that starts it, or nothing where nothing is to be started."""
    if isinstance(target, Command):
        return target
    if is_path(target):
        return command_for(target)
    if hasattr(target, "expanded"):
        return configured_command(target)
    if isinstance(target, list | tuple):
        words = cast("Sequence[Any]", target)
        return Command(words) if words and all(map(is_path, words)) else None
    return None


async def _connect_unix(address: "Address") -> Transport:
    from urllib.parse import unquote, urlsplit

    from tybalt.transports.sockets import connect_unix

    if address.fields or address.auth is not None:
        raise MisuseError("a Unix socket takes no token, no headers and no auth; its file's permissions guard it")
    if address.proxy or address.tls is not None:
        raise MisuseError("proxy, tls: a Unix socket is connected to directly, and nothing is encrypted")
    return await connect_unix(unquote(urlsplit(address.url).path), limit=address.limit)


async def _connect_websocket(address: "Address") -> Transport:
    from tybalt.transports.websocket import connect_websocket

    if address.auth is not None:
        raise MisuseError("auth: over WebSocket only a token and headers are sent")
    if address.proxy:
        raise MisuseError("proxy: a WebSocket is connected to directly, and through no proxy")
    address.warn_in_the_clear()
    return await connect_websocket(
        address.url,
        headers=address.fields,
        tls=address.tls,
        limit=address.limit,
        open_timeout=address.connect_timeout,
    )


def _spawn(command: Command) -> Awaitable[Transport]:
    from tybalt.transports.process import spawn

    return spawn(command)
