"""Running a server as a process over HTTP: the address, the workers, the signals, the end.

One process serves on one event loop. With several workers, the parent binds the address, makes the key that all of them
seal with, forks, and starts another worker for one that has died; SIGTERM and Ctrl-C end them all, each in its own
grace, and SIGHUP replaces them one after the other, so that nobody is refused meanwhile. A second signal ends at once.
"""

import asyncio
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import MisuseError
from tybalt.server.http.asgi import AsgiApp
from tybalt.server.http.settings import HttpSettings, http_settings
from tybalt.server.http.sse import require_one_process
from tybalt.server.http.websocket import require_websockets
from tybalt.server.process import leave_nobody_behind, refuse_while_loading

if TYPE_CHECKING:
    from tybalt.server.http.lane import LaneServer
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")

SOON: Final = 1.0
"""Seconds between the deaths of a worker under which it is not started again at once: it would fail again."""

START_TIMEOUT: Final = 30.0
"""Seconds that a new worker gets to serve, where it takes the place of another."""
HIGHEST_PORT: Final = 65_535
NOT_STARTED: Final = 3
"""What uvicorn exits with where the lifespan fails at the start."""

_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_BACKLOG: Final = 2_048
_HEARD: Final = frozenset(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGCHLD") if hasattr(signal, name)
)


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
        raise MisuseError(f"host is a name or an address to listen on, such as '127.0.0.1', got {host!r}")
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
        signal.signal(number, _succeed)
    _announce(server, settings, host, listening.getsockname()[1], workers)
    if host not in _LOOPBACK:
        _warn(settings, token_variable)
    sys.stderr.flush()
    if workers == 1:
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, _terminate)  # There is nobody to replace it: a terminal that is gone ends it.
        _serve(AsgiApp(server, settings), listening)
    else:
        _ = server.session_seal  # Its key has to be there before the workers are: they share it.
        status = Workers(server, settings, listening, workers).run()
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
    except OSError as error:
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


def _warn(settings: HttpSettings, token_variable: str | None) -> None:
    """What others than this machine's own should be told of, before the first of them comes."""
    if not settings.is_locked:
        lock = "give auth_token= or verifier=" if token_variable is None else f"set {token_variable} in the environment"
        sys.stderr.write(f"warning: anybody who reaches this address may call every tool; {lock}\n")
    if settings.hosts is HttpSettings().hosts:
        where = "" if token_variable is None else " of server.run('http', …) in the file"
        sys.stderr.write(
            "warning: only requests to this machine's own names are served; "
            f"name others with allowed_hosts=[…]{where}\n"
        )


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


class Workers:
    """The processes that serve one address, and who started them."""

    def __init__(self, server: "Server", settings: HttpSettings, listening: socket.socket, count: int) -> None:
        self._server = server
        self._settings = settings
        self._listening = listening
        self._count = count
        self._started: dict[int, float] = {}
        """When each was started, by process id."""
        self._leaving: set[int] = set()
        self._is_ending = False
        self._status = 0
        self._pipe = os.pipe()
        """Its writing end is the parent's alone: when that is gone, its workers end too."""

    def run(self) -> int:
        """Start them, and wait until all have ended: the status of the process."""
        signal.signal(signal.SIGCHLD, _nothing)  # Whose default is to be forgotten, also by who waits for it.
        signal.pthread_sigmask(signal.SIG_BLOCK, _HEARD)
        for _ in range(self._count):
            self._start_and_go_on()
        while self._started:
            number = signal.sigwait(_HEARD)
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self._replace()
            else:
                self._end(number)
        self._listening.close()
        return self._status

    def _start(self) -> tuple[int, int]:
        """Start one: its process id, and a pipe that says when it serves, which the caller closes."""
        ready, told = os.pipe()
        process = os.fork()
        if process == 0:
            os.close(ready)
            self._work(told)
        os.close(told)
        self._started[process] = time.monotonic()
        return process, ready

    def _start_and_go_on(self) -> None:
        _, ready = self._start()
        os.close(ready)

    def _work(self, told: int) -> None:
        """What a worker does; it never returns."""
        status = 1
        try:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, _succeed)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HEARD)
            reading, writing = self._pipe
            os.close(writing)
            _serve(AsgiApp(self._server, self._settings, is_shared=True), self._listening, reading, told)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            logger.exception("a worker failed")
        finally:
            logging.shutdown()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        """Take leave of those that have ended, and start another in the place of each that was not told to."""
        for process in tuple(self._started):
            found, status = os.waitpid(process, os.WNOHANG)
            if not found:
                continue
            started = self._started.pop(process)
            if self._is_ending or process in self._leaving:
                self._leaving.discard(process)
                continue
            code = os.waitstatus_to_exitcode(status)
            if code == NOT_STARTED:  # The next one could not either.
                logger.error("a worker could not start; the others end")
                self._status = code
                self._end(signal.SIGTERM)
                continue
            logger.error("a worker ended (status %d); another is started", code)
            if time.monotonic() - started < SOON:
                time.sleep(SOON)
            self._start_and_go_on()

    def _replace(self) -> None:
        """A new one for each that is there, and each goes when its new one serves; it finishes what it has begun.

        Where a new one does not start, the rest stay as they are.
        """
        if self._is_ending:
            return
        old = tuple(process for process in self._started if process not in self._leaving)
        for process in old:
            new, ready = self._start()
            self._leaving.add(new)  # Until it serves, nobody starts another in its place.
            serves = _says(ready, START_TIMEOUT)
            os.close(ready)
            if not serves:
                logger.error("a new worker did not start; the old ones stay")
                os.kill(new, signal.SIGKILL)
                return
            self._leaving.discard(new)
            self._leaving.add(process)
            os.kill(process, signal.SIGTERM)

    def _end(self, number: int) -> None:
        """End them all: the first time well, the second at once."""
        for process in self._started:
            os.kill(process, signal.SIGKILL if self._is_ending else signal.SIGTERM)
        if self._is_ending:
            os._exit(128 + number)
        self._is_ending = True


def _says(pipe: int, seconds: float) -> bool:
    """Whether something is said on a pipe in time, before its other end is gone."""
    readable, _, _ = select.select([pipe], [], [], seconds)
    return bool(readable) and bool(os.read(pipe, 1))


def _nothing(number: int, frame: FrameType | None) -> None:
    """Hear of it."""


def _terminate(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what a handler is called with)
    os.kill(os.getpid(), signal.SIGTERM)


def _succeed(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (what a handler is called with)
    os._exit(0)
