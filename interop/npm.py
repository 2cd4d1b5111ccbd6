"""The servers that people install from npm, as they are published, with our client before them.

`Npm` launches them over stdio. `server-everything` also serves over HTTP: `serving_everything` runs it, and `OverHttp`
stands where `Npm` does.
"""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from interop.conformance.suite import LOOPBACK
from interop.recordings import Recorded
from interop.serving import listening
from tybalt import Client
from tybalt.transports import Command

PACKAGES = pathlib.Path(__file__).resolve().parent / "node_modules" / "@modelcontextprotocol"

REVISION = "2025-11-25"
"""What they speak, all three: they are written with `sdk` 1."""

PATHS = {"streamableHttp": "/mcp", "sse": "/sse"}


class Npm:
    """Launches a published server, recorded, with our client before it."""

    def __init__(self, node: str, record_foreign: Callable[[Sequence[str]], Recorded]) -> None:
        self._node = node
        self._record = record_foreign
        self.recorded: Recorded | None = None

    def connect(self, name: str, *arguments: object, env: Mapping[str, str] | None = None, **options: Any) -> Client:
        """Our client, before a server of its own."""
        self.recorded = self._record([self._node, program(name), *map(str, arguments)])
        return Client(Command(self.recorded.command, env=env), timeout=20, probe_timeout=20, **options)


class OverHttp:
    """`server-everything` at a URL, with our client before it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def connect(self, name: Literal["everything"], **options: Any) -> Client:
        """Our client, before the one server."""
        assert name == "everything"
        return Client(self._url, timeout=20, **options)


@contextmanager
def serving_everything(node: str, transport: str) -> Iterator[OverHttp]:
    """`server-everything` over `streamableHttp` or `sse`, reachable from this machine, until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [node, "--require", str(LOOPBACK), program("everything"), transport]
    environment = {**os.environ, "PORT": str(port)}
    with listening(command, r"on port \d+", env=environment, stdout=subprocess.DEVNULL):
        yield OverHttp(f"http://127.0.0.1:{port}{PATHS[transport]}")


def program(name: str) -> str:
    """The program of a published server."""
    return str(PACKAGES / f"server-{name}" / "dist" / "index.js")
