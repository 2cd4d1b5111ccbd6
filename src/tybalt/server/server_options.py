"""The options of `Server(…)`, checked where they are given: what is wrong is told there, not to the first client."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NoReturn, cast

import msgspec

from tybalt.errors import MisuseError, RegistrationError, closest
from tybalt.types.implementation import Implementation
from tybalt.types.revisions import LEGACY, MODERN, REVISIONS

_HTTP: Final = "Streamable HTTP is run('http')"
_OTHER_TRANSPORTS: Final = {
    **dict.fromkeys(("streamable-http", "streamable", "streamablehttp", "https"), _HTTP),
    "sse": f"{_HTTP}, with sse_path='/sse' beside it for clients of 2024-11-05",
    **dict.fromkeys(("websocket", "ws"), "WebSockets are served by run('http', websocket=True)"),
    "asgi": "an ASGI application is server.asgi()",
}
"""What is meant by the names that transports have elsewhere, in small letters and with `-`."""


class _Said(msgspec.Struct, forbid_unknown_fields=True):
    """What a server says of itself, by the names of the options."""

    name: str
    version: str
    title: str | None
    description: str | None
    website_url: str | None
    instructions: str | None
    icons: list[Any]


def checked_implementation(*, instructions: str | None, icons: Iterable[Any], **said: Any) -> Implementation:
    """Who the server is. Raises `RegistrationError` for what no client could read."""
    if not isinstance(said["name"], str) or not said["name"]:  # `Server(app)` is a common slip.
        raise RegistrationError(f"Server(name): expected a name of at least one character, got {said['name']!r}")
    pictures = checked_list(icons, "icons")
    given = {**said, "instructions": instructions, "icons": pictures}
    try:
        msgspec.json.decode(msgspec.json.encode(given), type=_Said)
        made = Implementation(**said, icons=pictures or None)
        msgspec.json.decode(msgspec.json.encode(made), type=Implementation)
    except (TypeError, ValueError) as error:
        text = str(error).replace("`$.", "`").replace("Object ", "")
        raise RegistrationError(f"Server(…): {text}. Strings are text, and icons a list of Icon") from None
    return made


def check_settings(
    *,
    page_size: Any,
    on_duplicate: Any,
    ttl: Any,
    grace: Any,
    scope: Any,
    strict: Any,
    run_in: Any,
    at_least_one: Mapping[str, Any],
) -> None:
    """Raises `RegistrationError` for a setting that means nothing."""
    for name, number in at_least_one.items():
        if type(number) is not int or number < 1:
            raise RegistrationError(f"{name} must be a whole number of 1 or more, got {number!r}")
    if run_in not in ("thread", "loop", "auto"):
        raise RegistrationError(f"run_in must be 'thread', 'loop' or 'auto', got {run_in!r}")
    if page_size is not None and (type(page_size) is not int or page_size < 1):
        raise RegistrationError(
            f"page_size must be a whole number of 1 or more, or None for one page, got {page_size!r}"
        )
    if on_duplicate not in ("error", "warn", "replace", "ignore"):
        raise RegistrationError(f"on_duplicate must be 'error', 'warn', 'replace' or 'ignore', got {on_duplicate!r}")
    for name, seconds in (("ttl", ttl), ("grace", grace)):
        if type(seconds) not in (int, float) or not 0 <= seconds < float("inf"):
            raise RegistrationError(f"{name} is a number of seconds, 0 or more; got {seconds!r}")
    if scope not in ("public", "private"):
        raise RegistrationError(f"scope must be 'public' or 'private', got {scope!r}")
    if type(strict) is not bool:
        raise RegistrationError(f"strict must be True or False, got {strict!r}")


def refuse_options(unknown: Collection[str], known: Iterable[str]) -> NoReturn:
    """Raises `RegistrationError`, which is a `TypeError`, for options that `Server` has not."""
    from tybalt.server.http.setting_values import LISTENING  # Only where a name was wrong.
    from tybalt.server.http.settings import HttpOptions

    known = sorted(known)
    http = (*LISTENING, *HttpOptions.__annotations__)
    told: list[str] = []
    for name in unknown:
        close = None if name in http else closest(name, known)
        hint = (
            f" (did you mean {close!r}?)" if close else " (it is one of server.run('http', …))" if name in http else ""
        )
        told.append(f"{name!r}{hint}")
    raise RegistrationError(f"Server(…): there is no option {', '.join(told)}; there are {', '.join(known)}")


def refuse_transport(transport: object) -> NoReturn:
    """Raises `MisuseError` for what `Server.run` cannot run over, with what is meant by a name from elsewhere."""
    told = f"there is no transport {transport!r}; there are 'stdio', 'http', and `server.serve(…)`"
    name = transport.lower().replace("_", "-") if isinstance(transport, str) else ""
    close = closest(name, ("stdio", "http"))
    hint = _OTHER_TRANSPORTS.get(name) or (f"did you mean {close!r}?" if close else None)
    raise MisuseError(told if hint is None else f"{told}: {hint}")


def checked_timeout(name: str, given: Any) -> float:
    """A limit in seconds, 0 for none. Raises `RegistrationError` for what is no duration."""
    if given is None or given == 0:
        return 0.0
    from tybalt.execution.durations import seconds as in_seconds

    try:
        return in_seconds(given)
    except MisuseError as error:
        raise RegistrationError(f"{name}: {error}; 0 or None is no limit") from None


def checked_key(given: Any) -> Any:
    """What seals state. Raises `RegistrationError` for what is too short, or plainly not random; never shows it."""
    from tybalt.protocol.sealed import Seal

    try:
        Seal(given, purpose="requestState")
    except TypeError:
        raise RegistrationError("state_key: expected bytes, a text, or a list of these") from None
    except MisuseError as error:
        raise RegistrationError(f"state_key: {error}") from None
    return given


def checked_layers(given: Any) -> tuple[Any, ...]:
    """The layers of a stack. Raises `RegistrationError` for what is none."""
    layers = checked_list(given, "middleware")
    for layer in layers:
        if isinstance(layer, type):
            raise RegistrationError(f"middleware: {layer.__name__} is a class; give an instance, {layer.__name__}(…)")
        if not callable(layer):
            raise RegistrationError(
                f"middleware: expected layers, functions from a handler to a handler; got {layer!r}"
            )
    return tuple(layers)


def checked_function(given: Any, option: str) -> Any:
    """What may be called. Raises `RegistrationError` for anything else."""
    if not callable(given):
        raise RegistrationError(f"{option}: expected a function, got {given!r}")
    return given


def checked_list(given: Any, option: str) -> list[Any]:
    """The members of a list. Raises `RegistrationError` for what is none, or a text, which is one of letters."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise RegistrationError(f"{option}: expected a list, got {given!r}")
    return list(cast("Iterable[Any]", given))


def chosen_revisions(eras: Any) -> tuple[str, ...]:
    """The revisions that `eras` names: eras, single revisions, or one of them as a text."""
    given = [eras] if isinstance(eras, str) else checked_list(eras, "eras")
    if not given:
        raise RegistrationError("eras: expected at least one of 'modern' and 'legacy', or leave it out for both")
    chosen: list[str] = []
    for era in given:
        if era not in ("modern", "legacy", *REVISIONS):
            raise RegistrationError(f"eras: {era!r} is neither 'modern' nor 'legacy' nor one of {', '.join(REVISIONS)}")
        chosen += {"modern": MODERN, "legacy": LEGACY}.get(era, (era,))
    return tuple(chosen)
