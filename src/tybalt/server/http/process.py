"""Running a server as a process over HTTP: the address, what it may open, the signals, the end.

One process serves on one event loop. With several workers, the parent binds the address, makes the key that all of them
seal with, and forks (workers.py). SIGTERM and Ctrl-C end it well, each worker in its own grace; a second one at once.
"""

import asyncio
import os
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import MisuseError
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.open_files import make_room
from tybalt.server.http.settings import HttpSettings, http_settings
from tybalt.server.http.sse import require_one_process
from tybalt.server.http.websocket import require_websockets
from tybalt.server.http.workers import Workers, succeed
from tybalt.server.process import leave_nobody_behind, refuse_while_loading

if TYPE_CHECKING:
    from tybalt.server.http.lane import LaneServer
    from tybalt.server.server import Server

HIGHEST_PORT: Final = 65_535

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_BACKLOG: Final = 2_048


def run_http(
    server: "Server",
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int = 1,
    options: Mapping[str, Any],
    token_variable: str | None = None,
) -> None:
    """Serve over HTTP until a signal ends it. Blocks.

    `token_variable` names where in the environment the token comes from, for who gives no options in Python. Raises
    `MisuseError` for an option there is not or a value it cannot have, for an address that cannot be bound, for several
    workers where processes cannot be forked, and where uvicorn is not installed.
    """
    refuse_while_loading()
    settings = http_settings(options, listens=True)
    if threading.current_thread() is not threading.main_thread():
        raise MisuseError(
            "run('http') hears signals, which the main thread alone does: call it there, or serve `server.asgi()`"
        )
    if not isinstance(host, str) or not host:  # pyright: ignore[reportUnnecessaryIsInstance] (untyped callers)
        raise MisuseError(f"host is an address to listen on, such as '127.0.0.1', or '0.0.0.0' for all; got {host!r}")
    if type(port) is not int or not 0 <= port <= HIGHEST_PORT:
        raise MisuseError(f"port is a number from 0 to {HIGHEST_PORT}, 0 for any that is free; got {port!r}")
    if type(workers) is not int or workers < 1:
        raise MisuseError(f"workers is a whole number from 1 on, got {workers!r}")
    if workers > 1 and not hasattr(os, "fork"):
        raise MisuseError(f"workers={workers}: this system cannot fork processes; start several with one worker each")
    _require_uvicorn()
    if settings.websocket:
        require_websockets()
    require_one_process(server, settings, is_shared=workers > 1)
    listening = _bound(host, port)
    for number in (signal.SIGTERM, signal.SIGINT):
        # Before uvicorn has its handlers, and after it has put these back, an end is a success.
        signal.signal(number, succeed)
    _announce(server, settings, host, listening.getsockname()[1], workers)
    _warn(make_room(settings.max_connections))
    if host not in _LOOPBACK:
        _warn_of_others(settings, token_variable)
    sys.stderr.flush()
    if workers == 1:
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, _terminate)  # There is nobody to replace it: a terminal that is gone ends it.
        _serve(AsgiApp(server, settings), listening)
    else:
        _ = server.session_seal  # Its key has to be there before the workers are: they share it.
        status = Workers(partial(_serve_as_worker, server, settings, listening), listening, workers).run()
        if status:
            raise SystemExit(status)


def _require_uvicorn() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("uvicorn", "httptools") if find_spec(name) is None]
    if missing:
        raise MisuseError(
            f'HTTP needs {" and ".join(missing)}, which {sys.executable} does not find: pip install "tybalt[http]"'
        )


def _bound(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise MisuseError(f"host={host!r}, port={port!r}: {error}") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise MisuseError(
            f"{host}:{port} cannot be bound: {error.strerror}. Give another port=, or 0 for any"
        ) from None
    return listening


def _announce(server: "Server", settings: HttpSettings, host: str, port: int, workers: int) -> None:
    shown = f"[{host}]" if ":" in host else host
    many = f", {workers} workers" if workers > 1 else ""
    sys.stderr.write(f"{server.name} serves MCP at http://{shown}:{port}{settings.path}{many}. Ctrl-C ends it.\n")


def _warn(text: str | None) -> None:
    if text is not None:
        sys.stderr.write(f"warning: {text}\n")


def _warn_of_others(settings: HttpSettings, token_variable: str | None) -> None:
    """What others than this machine's own should be told of, before the first of them comes."""
    if not settings.is_locked:
        lock = "give auth_token= or verifier=" if token_variable is None else f"set {token_variable} in the environment"
        _warn(f"anybody who reaches this address may call every tool; {lock}")
    if settings.hosts is HttpSettings().hosts:
        option = "allowed_hosts=[…]" if token_variable is None else "--allow-host"
        _warn(f"only requests to localhost, 127.0.0.1 and [::1] are served; name others with {option}")


def _serve_as_worker(
    server: "Server", settings: HttpSettings, listening: socket.socket, parent: int, ready: int
) -> None:
    _serve(AsgiApp(server, settings, is_shared=True), listening, parent, ready)


def _serve(app: AsgiApp, listening: socket.socket, parent: int | None = None, ready: int | None = None) -> None:
    """Serve until told to end. `parent` and `ready` are the pipes of a worker."""
    from tybalt.server.http.lane import lane_server

    serving = lane_server(app, backlog=_BACKLOG)
    serving.parent, serving.ready = parent, ready
    serving.is_worker = parent is not None
    with asyncio.Runner(loop_factory=serving.config.get_loop_factory()) as runner:
        runner.run(_serve_and_leave(serving, listening))


async def _serve_and_leave(serving: "LaneServer", listening: socket.socket) -> None:
    await serving.serve([listening])
    await leave_nobody_behind()  # The loop would wait for whoever does not stop.


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what a handler is called with)
    os.kill(os.getpid(), signal.SIGTERM)
