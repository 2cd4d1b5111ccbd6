"""What SIGTERM means to a WebSocket and to a stream of 2024-11-05: what runs is answered there, then they end."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.protocol.conversations import initialize, legacy, message, modern
from tests.server.http.test_process import Program, program

CHANNELS = """
import os
from tybalt import Server

server = Server("channels", grace=20.0)

@server.tool
def read(pipe: str) -> str:
    os.write(2, b"reading\\n")
    with open(pipe) as file:
        return file.read()

server.run("http", port=0, websocket=True, sse_path="/sse")
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals there")


def let_read(served: Program, pipe: Path) -> None:
    """The handler runs: tell the server to end, wait until it has heard that, and let the handler go on."""
    served.noted("reading")
    served.signal(signal.SIGTERM)
    served.be_refused()
    pipe.write_text("read")


def posted(served: Program, body: bytes) -> int:
    """The status of a message sent beside its stream."""
    with contextlib.closing(served.begin(body)) as connection:
        response = connection.getresponse()
        response.read()
        return response.status


def test_a_websocket_gets_its_answer_and_is_closed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with program("-c", CHANNELS) as served:
        url = f"ws://127.0.0.1:{served.port}{served.path}"
        with connect(url, subprotocols=[Subprotocol("mcp")], proxy=None) as channel:
            call = modern("tools/call", {"name": "read", "arguments": {"pipe": str(pipe)}})
            channel.send(call.decode())
            let_read(served, pipe)
            assert msgspec.json.decode(channel.recv(20))["result"]["structuredContent"] == "read"
            with pytest.raises(ConnectionClosed) as closed:
                channel.recv(20)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        status, said = served.end()
        assert (status, "Traceback" in said) == (0, False), said


def test_a_stream_of_2024_gets_its_answer_and_ends(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with program("-c", CHANNELS) as served:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", "/sse", headers={"accept": "text/event-stream"})
            stream = connection.getresponse()
            assert stream.readline() == b"event: endpoint\n"
            address = stream.readline().removeprefix(b"data: ").strip().decode()
            served.path = address
            for each in (initialize("2024-11-05"), message(method="notifications/initialized")):
                assert posted(served, each) == 202
            call = legacy("tools/call", {"name": "read", "arguments": {"pipe": str(pipe)}}, id="r")
            assert posted(served, call) == 202
            let_read(served, pipe)
            rest = stream.read()
        assert b'"id":"r"' in rest
        assert b'"text":"read"' in rest
        status, said = served.end()
        assert (status, "Traceback" in said) == (0, False), said
