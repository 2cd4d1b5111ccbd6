"""A process that serves over HTTP on a port of this machine: started, asked with a plain client, looked at, ended."""

import http.client
import signal
import socket
import subprocess
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from time import monotonic, sleep

from environments import BENCH, CHILD_ENVIRONMENT
from messages import call
from processes import PATIENCE, resident_megabytes

BASIC = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
SPARE = 100
"""File descriptors that a process needs beside those of its connections."""


class Served:
    """One server. The port is the last word of its command, and is added here."""

    def __init__(self, command: Sequence[str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            [*command, str(self.port)], stdout=self._complaints, stderr=self._complaints, env=CHILD_ENVIRONMENT
        )
        self.pid = self._process.pid
        self._await_it()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        """End it with SIGTERM; a process that stays is killed."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._complaints.close()

    def connect(self) -> http.client.HTTPConnection:
        """A connection of one's own."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, body: bytes, tool: str = "add") -> bytes:
        """What a call is answered, on a connection of its own."""
        with closing(self.connect()) as connection:
            connection.request("POST", "/mcp", body, modern_headers("tools/call", tool))
            return connection.getresponse().read()

    def resident_bytes(self) -> float:
        """The memory it holds now."""
        return resident_megabytes(self.pid) * 2**20

    def said(self) -> str:
        """The end of what it has said, for a complaint."""
        self._complaints.seek(0)
        return self._complaints.read().decode(errors="replace")[-2000:]

    def _await_it(self) -> None:
        """Until it answers a call, and answers it right."""
        until = monotonic() + PATIENCE
        answer = b""
        while b'"8"' not in answer:
            try:
                answer = self.ask(call())
            except (ConnectionError, http.client.HTTPException):
                pass
            if monotonic() > until or self._process.poll() is not None:
                self._process.kill()
                self._process.wait()
                raise SystemExit(f"bench: a measured process does not serve; it answered {answer!r}\n{self.said()}")
            sleep(0.02)


@contextmanager
def spared(name: str, peers: Container[str], what: str, missing: list[str]) -> Iterator[None]:
    """What a peer cannot do is said and left out; what we, or a floor, cannot do ends the run."""
    try:
        yield
    except SystemExit as stop:
        if name not in peers:
            raise
        missing.append(f"HTTP, {name}, {what}: {str(stop).removeprefix('bench: ').splitlines()[0]}")


def modern_headers(method: str, name: str | None = None) -> dict[str, str]:
    """What a modern request brings along."""
    headers = BASIC | {"mcp-protocol-version": "2026-07-28", "mcp-method": method}
    return headers if name is None else headers | {"mcp-name": name}


def ours(interpreter: str, shape: str) -> list[str]:
    """The command of a server of `http_servers`."""
    return [interpreter, str(BENCH / "http_servers.py"), shape]


def theirs(peers: Mapping[str, str]) -> dict[str, list[str]]:
    """The commands of the peers."""
    return {name: [python, str(BENCH / "peers" / f"{name}_peer.py"), "http"] for name, python in peers.items()}


def room_for(connections: int) -> int:
    """For how many connections there are file descriptors; raises the limit to it, here and in what we start."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + SPARE
    if resource.RLIM_INFINITY != soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return connections if soft == resource.RLIM_INFINITY else min(connections, soft - SPARE)
