"""The names of `tybalt.transports`, each loaded on first use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tybalt.transports

NAMES = [
    *(
        "Command",
        "MemoryTransport",
        "Oversized",
        "PermitIssuer",
        "ProcessTransport",
        "SendPermit",
        "SocketServer",
        "StdioTransport",
    ),
    *("StreamTransport", "Transport", "connect_tcp", "connect_unix", "memory_pair", "serve_tcp", "serve_unix", "spawn"),
    *("WebSocketTransport", "connect_websocket", "stdio_transport"),
]


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_under_its_own_name(name: str) -> None:
    assert getattr(tybalt.transports, name).__name__ == name
    assert name in dir(tybalt.transports)


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match=r"module 'tybalt.transports' has no attribute 'carrier_pigeon'"):
        _ = tybalt.transports.carrier_pigeon


def test_one_transport_does_not_load_the_others() -> None:
    code = (
        "import sys, tybalt.transports as t; t.memory_pair; print(*(m for m in sorted(sys.modules) if t.__name__ in m))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(tybalt.transports.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    loaded = done.stdout.split()[1:]
    assert loaded == [f"tybalt.transports.{name}" for name in ("memory", "transport", "turns")]
