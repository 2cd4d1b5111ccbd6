"""`tybalt run --http`: serve what a file holds over HTTP, until a signal ends it.

The token to ask for comes from the environment: a command line is read by everybody on the machine.
"""

import errno
import os
from collections.abc import Mapping
from typing import Any, Final

from tybalt.cli.target import load_server
from tybalt.cli.usage import UsageError
from tybalt.errors import MisuseError, cut
from tybalt.server.http.process import run_http
from tybalt.server.http.settings import http_settings

TOKEN: Final = "TYBALT_AUTH_TOKEN"
_ADDRESS: Final = "give an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all that it has"


def serve(target: str, options: Mapping[str, Any]) -> int:
    """Serve until a signal ends it, and return the exit status. Raises what the file raises."""
    server = load_server(target)
    given = dict(options)
    place = {name: given.pop(name) for name in ("host", "port", "workers") if name in given}
    token = os.environ.get(TOKEN)
    if token is not None:
        given["auth_token"] = _checked(token)
    if "host" in place:
        _check_host(place["host"])
    try:
        run_http(server, **place, options=given, token_variable=TOKEN)
    except MisuseError as error:
        raise UsageError(_told(error, place.get("host", "127.0.0.1"), place.get("port", 8000))) from None
    return 0


def _check_host(host: str) -> None:
    """What the system's resolver would not even take as a name."""
    try:
        host.encode("idna")
    except UnicodeError as error:
        raise UsageError(f"--host {cut(host)}: {error.__cause__ or error}; {_ADDRESS}") from None


def _told(error: MisuseError, host: str, port: int) -> str:
    """What is wrong; of an address, with the options that the command line has for it."""
    cause = error.__context__
    if not isinstance(cause, OSError):
        return str(error)
    if cause.errno == errno.EADDRINUSE:
        return f"{host}:{port} is in use already; give another --port, or 0 for any that is free"
    if cause.errno == errno.EACCES:
        return f"{host}:{port} may not be listened on; give a --port from 1024 on, or 0 for any that is free"
    return f"--host {host}: {cause.strerror or cause}; {_ADDRESS}"


def _checked(token: str) -> str:
    """An empty one is refused like any that is too short: it was meant to be one."""
    try:
        http_settings({"auth_token": token})
    except MisuseError as error:
        raise UsageError(f"{TOKEN} in the environment: {error}") from None
    return token
