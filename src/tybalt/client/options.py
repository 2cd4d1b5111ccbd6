"""The options of `Client(…)`, checked where they are given, and the way to the server that `target` names."""

from collections.abc import Awaitable, Sequence
from inspect import iscoroutinefunction
from typing import Any, Literal, cast

from tybalt.client.link import DirectLink, Link, Serves, TransportLink
from tybalt.client.targets import WANTED, command_for, configured_command
from tybalt.errors import MisuseError
from tybalt.transports.command import Command, is_path
from tybalt.transports.transport import Transport
from tybalt.types.logging import LOGGING_LEVELS
from tybalt.types.revisions import REVISIONS, era_of

EraChoice = Literal["auto", "modern", "legacy"] | str
"""How to find a common revision: see `Client`."""


def check_options(timeout: Any, probe_timeout: Any, log_level: Any, on_notification: Any, max_rounds: Any) -> None:
    """Raises `MisuseError` for an option that means nothing."""
    for name, seconds in (("timeout", timeout), ("probe_timeout", probe_timeout)):
        number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not (number and seconds > 0) and not (seconds is None and name == "timeout"):
            raise MisuseError(f"{name}: expected a number of seconds above 0, got {seconds!r}")
    if log_level is not None and log_level not in LOGGING_LEVELS:
        raise MisuseError(f"log_level: expected one of {', '.join(LOGGING_LEVELS)}, got {log_level!r}")
    check_callback("on_notification", on_notification)
    if type(max_rounds) is not int or max_rounds < 1:
        raise MisuseError(f"max_rounds: expected a number of rounds from 1 on, got {max_rounds!r}")


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


def link_to(target: Any) -> Link:
    """How to reach `target`. Raises `MisuseError` for what is no server, no transport, no command and no file."""
    if isinstance(target, Serves):
        return DirectLink(target)
    if (command := _command(target)) is not None:
        return TransportLink(lambda: _spawn(command))
    if hasattr(target, "receive") and hasattr(target, "reserve"):
        return TransportLink(lambda: target)
    raise MisuseError(f"cannot connect to {target!r}: {WANTED}")


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


def _spawn(command: Command) -> Awaitable[Transport]:
    from tybalt.transports.process import spawn

    return spawn(command)
