"""The public names as a strict type checker sees them: what users write passes, and means what they think."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
from typing import assert_type

from msgspec import Struct

from tybalt import Client, Server, prompt, resource, tool
from tybalt.protocol.registry import Registry
from tybalt.transports import SendPermit, Transport, connect_tcp, serve_tcp
from tybalt.types.content import TextContent


class GetWeather(Struct):
    city: str


class Add(Struct):
    a: int


class Custom:
    async def receive(self) -> list[bytes]:
        return []

    async def reserve(self) -> SendPermit:
        raise NotImplementedError

    def reserve_nowait(self) -> SendPermit | None:
        return None

    async def aclose(self) -> None: ...


class Counter:
    @tool
    def increase(self, by: int = 1) -> int:
        return by

    @tool("later", title="Later")
    async def wait(self, *, by: int) -> int:
        return by

    @prompt
    def ask(self, what: str) -> str:
        return what

    @resource("data://{name}")
    def read(self, name: str) -> str:
        return name


@tool
def double(x: int) -> int:
    return 2 * x


def names() -> list[str]:
    return [each.name for each in Registry.from_union(GetWeather | Add).tools()]


async def main() -> None:
    transport: Transport = Custom()
    counter = Counter()
    assert_type(double(2), int)
    assert_type(counter.increase(2), int)
    assert_type(counter.increase(by=2), int)
    assert_type(Counter.increase(counter, 2), int)
    assert_type(await counter.wait(by=2), int)
    assert_type(counter.ask("a"), str)
    assert_type(counter.read("a"), str)
    server = Server("x", tools=[counter.increase, double]).add(counter.wait, counter.ask, counter.read)
    await server.serve(transport)
    async with await serve_tcp(server.serve) as sockets:
        (address,) = sockets.addresses
        assert isinstance(address, tuple)
        async with Client(await connect_tcp(*address)) as client:
            for block in (await client.call_tool("double", {"x": 1})).content:
                match block:
                    case TextContent(text=text):
                        assert_type(text, str)
                    case _:
                        pass
"""


def complaints(program: str, folder: Path) -> list[str]:
    (folder / "program.py").write_text(program)
    settings = {"include": ["."], "extraPaths": [str(ROOT / "src")], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=50)
    return [each["message"] for each in json.loads(done.stdout)["generalDiagnostics"]]


def test_what_users_write_type_checks(tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    assert complaints(PROGRAM, tmp_path) == []
    assert complaints(PROGRAM.replace("counter.increase(2)", "counter.increase('a')"), tmp_path) != []
