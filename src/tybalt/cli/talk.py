"""A client of the server that the command line names, for as long as one command needs it.

What the server says by itself goes to stderr: log messages, and the progress of a request where a person watches. What
a file of the user prints meanwhile goes there too.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import UNSET

from tybalt.cli.asking import Asking
from tybalt.cli.destination import Destination, target_of
from tybalt.cli.interrupt import run_to_end
from tybalt.cli.remedy import with_remedy
from tybalt.cli.terminal import clear_line, note, show_line, stdout_aside
from tybalt.cli.usage import UsageError
from tybalt.cli.waiting import silence_explained
from tybalt.client.client import Client
from tybalt.client.link import Serves
from tybalt.errors import MisuseError, TybaltError

if TYPE_CHECKING:
    from tybalt.types.logging import LoggingLevel

T = TypeVar("T")


def talk(
    given: Destination,
    work: Callable[[Client], Awaitable[T]],
    *,
    asking: Asking | None = None,
    bounded: bool = False,
    log_level: "LoggingLevel | None" = None,
) -> T:
    """What `work` makes of a client that is connected to the server; with `asking`, the server may ask.

    Where it is `bounded`, a request has the time that a client grants by itself, unless the command line says more.
    Raises `UsageError` for a server that cannot be meant, what the client raises, and what a Python file raises.
    """
    try:
        with stdout_aside():
            return run_to_end(_talk(given, target_of(given), work, asking, bounded, log_level))
    finally:
        clear_line()


async def _talk(
    given: Destination,
    target: Any,
    work: Callable[[Client], Awaitable[T]],
    asking: Asking | None,
    bounded: bool,
    log_level: Any,
) -> T:
    try:
        client = Client(
            target,
            era=given.era,
            timeout=UNSET if bounded and given.timeout is None else given.timeout,
            log_level=log_level,
            on_notification=_show_log_message,
            on_elicit=None if asking is None else asking.answer,
        )
    except MisuseError as error:
        raise UsageError(f"--{error}" if str(error).startswith("era: ") else str(error)) from None
    try:
        with silence_explained(_name(given, target)):
            async with client:
                if asking is not None:
                    asking.server = name_of(client)
                return await work(client)
    except MisuseError as error:
        if isinstance(target, Serves):  # In this process it is the author of the file who misuses us.
            raise
        raise UsageError(str(error)) from None
    except TybaltError as error:
        told = with_remedy(error, target=target)
        if told is error:
            raise
        raise told from None


def _name(given: Destination, target: Any) -> str:
    """What the user calls the server; of a URL, what holds no secrets."""
    return getattr(target, "origin", None) or given.name or given.command[0]


def name_of(client: Client) -> str:
    """What the server calls itself."""
    return client.server_info.name if client.server_info is not None else "the server"


def show_progress(progress: float, total: float | None, message: str | None) -> None:
    """Show how far a request is, where a person watches."""
    of = "" if total is None else f" of {total:g}"
    show_line(f"progress {progress:g}{of}" + (f": {message}" if message else ""))


def _show_log_message(method: str, params: Mapping[str, Any]) -> None:
    if method != "notifications/message":
        return
    level, logger, data = params.get("level"), params.get("logger"), params.get("data")
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    note(f"{level} {logger}: {text}" if logger else f"{level}: {text}")
