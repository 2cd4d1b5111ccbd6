"""`tybalt run --http`: serve what a file holds over HTTP, until a signal ends it.

The token to ask for comes from the environment: a command line is read by everybody on the machine.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from tybalt.cli.target import load_server
from tybalt.cli.usage import UsageError
from tybalt.errors import MisuseError
from tybalt.server.http.process import run_http
from tybalt.server.http.settings import http_settings

TOKEN: Final = "TYBALT_AUTH_TOKEN"


def serve(target: str, options: Mapping[str, Any]) -> int:
    """Serve until a signal ends it, and return the exit status. Raises what the file raises."""
    server = load_server(target)
    given = dict(options)
    place = {name: given.pop(name) for name in ("host", "port", "workers") if name in given}
    token = os.environ.get(TOKEN)
    if token is not None:
        given["auth_token"] = _checked(token)
    try:
        run_http(server, **place, options=given, token_variable=TOKEN)
    except MisuseError as error:
        raise UsageError(str(error)) from None
    return 0


def _checked(token: str) -> str:
    """An empty one is refused like any that is too short: it was meant to be one."""
    try:
        http_settings({"auth_token": token})
    except MisuseError as error:
        raise UsageError(f"{TOKEN} in the environment: {error}") from None
    return token
