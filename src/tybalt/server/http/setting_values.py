"""What the options of HTTP may be: each value is judged when it is given, and told with its remedy.

`settings.py` names the options, says what each is, and calls this; that several of them fit together is checked there.
"""

from collections.abc import Callable, Collection, Mapping
from inspect import getattr_static, ismethod, signature
from typing import Any, Final, cast

from tybalt.errors import MisuseError, closest, cut
from tybalt.execution.durations import seconds
from tybalt.protocol.allow_list import AllowList, allowed_hosts, allowed_origins

LISTENING: Final = ("host", "port", "workers")
"""What `Server.run` has beside these options: an application listens nowhere by itself."""

MAX_SHOWN: Final = 80
"""Characters of a wrong value that an error text repeats."""

_OTHER_NAMES: Final = {
    "hosts": "allowed_hosts",
    "origins": "allowed_origins",
    "transport_security": "allowed_hosts",
    "stateless_http": "sessions=False",
    "stateless": "sessions=False",
    "json_response": "json_only",
    "mount_path": "path",
    "streamable_http_path": "path",
}
"""What is written for an option that other letters are closer to, or that has another name elsewhere."""


def checked_values(options: Mapping[str, Any], *, names: Collection[str], listens: bool) -> dict[str, Any]:
    """The options in the form they are kept in; `names` are all there are, and `LISTENING` where somebody `listens`.

    Raises `MisuseError` for a name that does not exist, and for a value that cannot be.
    """
    _refuse_unknown(options, names, listens=listens)
    return {name: _READERS[name](name, value) for name, value in options.items()}


def _refuse_unknown(options: Mapping[str, Any], names: Collection[str], *, listens: bool) -> None:
    unknown = [name for name in options if name not in names]
    if not unknown:
        return
    everything = sorted((*names, *LISTENING))
    meant = {name: _OTHER_NAMES.get(name) or closest(name, everything) for name in unknown}
    told = ", ".join(
        repr(name) if close in (None, name) else f"{name!r} (did you mean {close!r}?)" for name, close in meant.items()
    )
    if not listens and (theirs := [close for close in meant.values() if close in LISTENING]):
        raise MisuseError(
            f"there is no HTTP option {told} of an application: the ASGI server that serves it takes "
            f"{' and '.join(theirs)}, as in `uvicorn module:app --host 127.0.0.1 --port 8000`, and so does "
            "server.run('http', …)"
        )
    known = everything if listens else sorted(names)
    raise MisuseError(f"there is no HTTP option {told}; there are {', '.join(known)}")


# How each is read. What is not said here is said by whom it is asked of.


def _duration(name: str, given: Any) -> float:
    try:
        duration = seconds(given)
    except MisuseError as error:
        raise MisuseError(f"{name}: {error}") from None
    if not 0 < duration < float("inf"):
        raise MisuseError(f"{name} is a time above 0, such as '10s', got {given!r}")
    return duration


def _count(name: str, given: Any) -> int:
    if type(given) is not int or given < 1:
        raise MisuseError(f"{name} is a whole number from 1 on, got {_shown(given)}")
    return given


def _size(name: str, given: Any) -> int:
    if type(given) is not int or given < 1:
        raise MisuseError(f"{name} is a whole number of bytes, such as {1024 * 1024} for 1 MiB, got {_shown(given)}")
    return given


def _switch(name: str, given: Any) -> bool:
    if type(given) is not bool:
        raise MisuseError(f"{name} is True or False, got {_shown(given)}")
    return given


def _path(name: str, given: Any) -> str:
    if not (isinstance(given, str) and given.startswith("/")):
        raise MisuseError(f"{name}: a path begins with '/', such as '/mcp', got {_shown(given)}")
    return given


def _path_or_none(name: str, given: Any) -> str | None:
    return None if given is None else _path(name, given)


def _routes(name: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise MisuseError(f"{name}: expected ASGI applications by path, as in {{'/hello': app}}, got {_shown(given)}")
    routes = dict(cast("Mapping[str, Any]", given))
    for path, app in routes.items():
        _path(name, path)
        if not callable(app):
            raise MisuseError(f"{name}[{path!r}]: expected an ASGI application, got {_shown(app)}")
    return routes


def _hosts(name: str, given: Any) -> AllowList:
    hosts = allowed_hosts(given, setting=name)
    if not (hosts.entries or hosts.allows_all):
        raise MisuseError(
            f"{name} is empty, so that nobody could ever come in: name the hosts that clients write in the address, as "
            "in ['mcp.example.com'], or leave it out for this machine's own names"
        )
    return hosts


def _origins(name: str, given: Any) -> AllowList:
    return allowed_origins(given, setting=name)


def _pages(name: str, given: Any) -> AllowList:
    pages = allowed_origins(given, setting=name)
    if pages.allows_all:
        raise MisuseError(f"{name}: name the origins of pages, such as 'https://app.example.com'; '*' is none of them")
    return pages


def _token(name: str, given: Any) -> str | None:
    if given is None:
        return None
    if not (isinstance(given, str) and len(given) >= 16 and given.isascii() and given.isprintable()):
        # Its value is a secret, and stays out of the text.
        raise MisuseError(f"{name} is a text of 16 visible ASCII characters or more: secrets.token_urlsafe() makes one")
    return given


def _verifier(name: str, given: Any) -> Any:
    """Judged whole now: what is wrong with it would else be every client's first request, refused with 500."""
    if given is None:
        return None
    verify = getattr(given, "verify", None)
    # Not its repr: it may hold keys, and say nothing.
    kind = given.__name__ if isinstance(given, type) else type(given).__name__
    if not callable(verify):
        raise MisuseError(f"{name}: expected an object with a method `verify(token)`, got one of the type {kind}")
    if isinstance(given, type) and not isinstance(getattr_static(given, "verify"), staticmethod | classmethod):
        raise MisuseError(f"{name}: {kind} is a class; give an object of it, as in {name}={kind}(…)")
    if (reason := _why_not_one(verify)) is not None:
        raise MisuseError(
            f"{name}: {kind}.verify is called with the token and nothing else, as in `def verify(self, token)`, which "
            f"this one does not take: {reason}"
        )
    return given


def _why_not_one(function: Callable[..., Any]) -> str | None:
    try:
        signature(function).bind("")
    except TypeError as error:
        return str(error)
    except ValueError as error:
        return str(error) if ismethod(function) else None  # One in C may have none to be had: calling it shows.
    return None


def _shown(given: Any) -> str:
    return cut(repr(given), MAX_SHOWN)


_READERS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "path": _path,
    "allowed_hosts": _hosts,
    "allowed_origins": _origins,
    "cors_origins": _pages,
    "auth_token": _token,
    "verifier": _verifier,
    "sessions": _switch,
    "json_only": _switch,
    "lenient_accept": _switch,
    "max_body": _size,
    "max_streams": _count,
    "max_events": _count,
    "event_lifetime": _duration,
    "session_lifetime": _duration,
    "keep_alive": _duration,
    "header_timeout": _duration,
    "body_timeout": _duration,
    "idle_timeout": _duration,
    "max_connections": _count,
    "routes": _routes,
    "health": _path_or_none,
    "readiness": _path_or_none,
    "websocket": _switch,
    "sse_path": _path_or_none,
}
