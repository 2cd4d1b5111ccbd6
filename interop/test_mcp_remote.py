"""`mcp-remote`: what lets clients that only know stdio reach a server over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.serving import ENDS, PATIENCE, serving

PROGRAM = Path(__file__).with_name("node_modules") / "mcp-remote" / "dist" / "proxy.js"


class Bridge:
    """The program, spoken to over stdio."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._id = 0

    def tell(self, method: str, **params: Any) -> None:
        self._write({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, **params: Any) -> list[dict[str, Any]]:
        """What comes up to the answer, which is the last."""
        self._id += 1
        self._write({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        assert self._process.stdout is not None
        told: list[dict[str, Any]] = []
        while not told or told[-1].get("id") != self._id:
            told.append(json.loads(self._process.stdout.readline()))
        return told

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()


@pytest.fixture(params=ENDS)
def bridge(request: pytest.FixtureRequest, node: str, tmp_path: Path) -> Iterator[Bridge]:
    environment = {**os.environ, "MCP_REMOTE_CONFIG_DIR": str(tmp_path)}
    with serving(request.param, "examples.everything") as server:
        command = [node, str(PROGRAM), server.url, "--allow-http", "--transport", "http-only"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
            yield Bridge(process)
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(PATIENCE) == 0
        assert server.alarming == []


def test_a_client_of_stdio_gets_through(bridge):
    info = {"name": "old client", "version": "1"}
    (begun,) = bridge.ask("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=info)
    assert begun["result"]["protocolVersion"] == "2025-11-25"
    bridge.tell("notifications/initialized")
    (listed,) = bridge.ask("tools/list")
    assert {"add"} <= {each["name"] for each in listed["result"]["tools"]}
    (called,) = bridge.ask("tools/call", name="add", arguments={"a": 2, "b": 3})
    assert called["result"]["content"][0]["text"] == "5"
    (refused,) = bridge.ask("tools/call", name="add", arguments={"a": "x", "b": 3})
    assert refused["result"]["isError"] is True
