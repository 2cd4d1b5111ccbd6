"""A client of the server that the command line names, for as long as one command needs it.

What the server says by itself goes to stderr: log messages, and the progress of a request where a person watches. What
a file of the user prints meanwhile goes there too.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from tybalt.cli.answers import Answers
from tybalt.cli.asking import Asking, person
from tybalt.cli.destination import Destination, target_of
from tybalt.cli.interrupt import run_to_end
from tybalt.cli.terminal import clear_line, note, show_line, stdout_aside
from tybalt.cli.usage import UsageError
from tybalt.client.client import Client
from tybalt.errors import McpError, MisuseError, Unauthorized

if TYPE_CHECKING:
    from tybalt.types.logging import LoggingLevel

T = TypeVar("T")


def talk(
    given: Destination,
    work: Callable[[Client], Awaitable[T]],
    *,
    answers: Answers | None = None,
    log_level: "LoggingLevel | None" = None,
) -> T:
    """What `work` makes of a client that is connected to the server; with `answers`, the server may ask.

    Raises `UsageError` for a server that cannot be meant, what the client raises, and what a Python file raises.
    """
    try:
        with stdout_aside():
            return run_to_end(_talk(given, target_of(given), work, answers, log_level))
    finally:
        clear_line()


async def _talk(
    given: Destination, target: Any, work: Callable[[Client], Awaitable[T]], answers: Answers | None, log_level: Any
) -> T:
    asking = None if answers is None else Asking(answers, person())
    try:
        client = Client(
            target,
            era=given.era,
            timeout=given.timeout,
            log_level=log_level,
            on_notification=_show_log_message,
            on_elicit=None if asking is None else asking.answer,
        )
    except MisuseError as error:
        raise UsageError(f"--{error}" if str(error).startswith("era: ") else str(error)) from None
    try:
        async with client:
            if asking is not None:
                asking.server = name_of(client)
            return await work(client)
    except McpError as error:
        raise with_remedy(error, lacks_token=_lacks_token(target)) from None


def name_of(client: Client) -> str:
    """What the server calls itself."""
    return client.server_info.name if client.server_info is not None else "the server"


def show_progress(progress: float, total: float | None, message: str | None) -> None:
    """Show how far a request is, where a person watches."""
    of = "" if total is None else f" of {total:g}"
    show_line(f"progress {progress:g}{of}" + (f": {message}" if message else ""))


def with_remedy(error: McpError, *, lacks_token: bool) -> McpError:
    """The same error, for a person who has options and no client to change."""
    if isinstance(error, Unauthorized) and lacks_token:
        text = error.message.partition("; the client offered no credentials")[0]
        return McpError(f"{text}; a token is given with --token-env NAME", code=error.code)
    data = cast("dict[str, Any]", error.data) if isinstance(error.data, dict) else {}
    if "requiredCapabilities" in data:
        remedy = "the command line can answer no such question: use a Client that has on_sample= or roots="
        return McpError(f"{error.message}. {remedy}", code=error.code)
    return error


def _lacks_token(target: Any) -> bool:
    """Whether it is a server at a URL that gets no credentials."""
    fields: Mapping[str, str] | None = getattr(target, "fields", None)
    return fields is not None and "authorization" not in map(str.lower, fields)


def _show_log_message(method: str, params: Mapping[str, Any]) -> None:
    if method != "notifications/message":
        return
    level, logger, data = params.get("level"), params.get("logger"), params.get("data")
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    note(f"{level} {logger}: {text}" if logger else f"{level}: {text}")
