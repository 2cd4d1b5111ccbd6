"""The floors: what the pieces cost with no framework around them. What we are measured against, in the same run.

The validated floor is one msgspec decode of the whole envelope (`jsonrpc` a Literal, revision and capabilities in
`_meta` typed and checked), one typed decode of the arguments, the call, and the answer from a byte template. It knows
one method, one tool and integer ids, and has no error handling: nobody could serve with it.

    python bench/floors.py serial        a blocking loop over stdio: read, floor, write
    python bench/floors.py pipelined     the same for big chunks: one read, all the answers in one write
"""

import asyncio
import os
import sys
from typing import Literal

import msgspec
from messages import ANSWER, ARGUMENTS, META
from msgspec import Raw, Struct

Name = Literal["2026-07-28"]


class Capabilities(Struct, rename="camel", gc=False):
    roots: Raw | None = None
    sampling: Raw | None = None
    elicitation: Raw | None = None
    experimental: Raw | None = None
    extensions: Raw | None = None


class Meta(Struct, kw_only=True, gc=False):
    revision: Name = msgspec.field(name="io.modelcontextprotocol/protocolVersion")
    capabilities: Capabilities = msgspec.field(name="io.modelcontextprotocol/clientCapabilities")


class CallParams(Struct, kw_only=True, gc=False):
    name: str
    arguments: Raw = Raw(b"{}")
    meta: Meta = msgspec.field(name="_meta")


class Call(Struct, tag_field="method", tag="tools/call", kw_only=True, gc=False):
    jsonrpc: Literal["2.0"]
    id: int | str
    params: CallParams


class ListParams(Struct, kw_only=True, gc=False):
    meta: Meta = msgspec.field(name="_meta")


class List(Struct, tag_field="method", tag="tools/list", kw_only=True, gc=False):
    jsonrpc: Literal["2.0"]
    id: int | str
    params: ListParams


class Arguments(Struct, gc=False):
    a: int
    b: int


class Text(Struct, tag_field="type", tag="text"):
    text: str


class CallResult(Struct, rename="camel"):
    content: list[Text]
    structured_content: msgspec.Raw
    result_type: str | None = None


class Response(Struct):
    jsonrpc: Literal["2.0"]
    id: int | str
    result: CallResult


decode_request = msgspec.json.Decoder(Call | List).decode
decode_arguments = msgspec.json.Decoder(Arguments).decode
decode_response = msgspec.json.Decoder(Response).decode
encode = msgspec.json.Encoder().encode

REQUEST = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"add","arguments":%s,' + META + b"}}"


def add(a: int, b: int) -> int:
    return a + b


def validated(message: bytes) -> bytes:
    """The validated floor: bytes to bytes."""
    request = decode_request(message)
    arguments = decode_arguments(request.params.arguments)
    value = add(arguments.a, arguments.b)
    return ANSWER % (request.id, value, value)


def both_halves(request_id: int) -> CallResult:
    """The validated floor and the client's half of it: a request from a template, the answer decoded as what it is."""
    response = decode_response(validated(REQUEST % (request_id, encode(ARGUMENTS))))
    assert response.id == request_id
    return response.result


class TwoQueues:
    """An empty round trip between two tasks over two queues: what a loop charges for going there and back."""

    def __init__(self) -> None:
        self._there: asyncio.Queue[object] = asyncio.Queue()
        self._back: asyncio.Queue[object] = asyncio.Queue()
        self._task = asyncio.create_task(self._echo())

    async def run(self, count: int) -> None:
        there, back = self._there, self._back
        for _ in range(count):
            there.put_nowait(None)
            await back.get()

    async def aclose(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _echo(self) -> None:
        while True:
            self._back.put_nowait(await self._there.get())


# A process that imports what any server on msgspec and asyncio imports, answers one request, and waits for the end.
SPAWN = f"""
import asyncio, os, msgspec
request = msgspec.json.decode(os.read(0, 65536))
value = request["params"]["arguments"]["a"] + request["params"]["arguments"]["b"]
os.write(1, {ANSWER!r} % (request["id"], value, value) + bytes([10]))
while os.read(0, 65536):
    pass
"""


def serve_serially() -> None:
    """One request per read, one answer per write."""
    read, write = os.read, os.write
    while message := read(0, 65536):
        write(1, validated(message) + b"\n")


def serve_chunks() -> None:
    """As many requests as a read brings, their answers in one write."""
    rest = b""
    while chunk := os.read(0, 262144):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if lines:
            _write_whole(b"\n".join([validated(line) for line in lines]) + b"\n")


def _write_whole(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    {"serial": serve_serially, "pipelined": serve_chunks}[sys.argv[1]]()
