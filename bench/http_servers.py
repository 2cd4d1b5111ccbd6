"""Servers over HTTP, ours and the floors: run as `python bench/http_servers.py SHAPE PORT`.

floor     a bare httptools protocol on uvloop: it parses every head and answers constant bytes
lane      ours, as `server.run("http")` serves it
uvicorn   a bare ASGI application under plain uvicorn, which answers constant bytes: the floor of the next
asgi      ours, as `server.asgi()` under the same plain uvicorn

A floor answers the bytes that we answer to `call(ID)`, and says "tick" as often as a call asks for.
"""

import asyncio
import sys
from typing import Any

from messages import ANSWER

ID = 1000
BODY = ANSWER % (ID, 8, 8)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(BODY)
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = (
    b'data: {"jsonrpc":"2.0","method":"notifications/progress","params":'
    b'{"progressToken":9,"progress":10000,"total":20000}}\n\n'
)
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
MANY_STREAMS = 2_000
"""More than are ever opened here; the default of 64 for each principal is for the open internet."""


def server_over_http() -> Any:
    """Ours: `add`, and `ticks`, which reports its progress so many times."""
    from tybalt import Context, Server

    server = Server("bench", version="1.0.0")

    @server.tool(run_in="loop")
    def add(a: int, b: int) -> int:
        return a + b

    @server.tool
    async def ticks(count: int, context: Context) -> int:
        for number in range(count):
            await context.report_progress(number + 1, count)
        return count

    return server


def serve_lane(port: int) -> None:
    server_over_http().run("http", port=port, max_streams=MANY_STREAMS)


def serve_asgi(port: int) -> None:
    _serve_with_uvicorn(server_over_http().asgi(max_streams=MANY_STREAMS), port)


def serve_uvicorn(port: int) -> None:
    _serve_with_uvicorn(_constant, port)


def _serve_with_uvicorn(app: Any, port: int) -> None:
    import uvicorn

    uvicorn.run(app, port=port, http="httptools", loop="uvloop", access_log=False, log_level="error", backlog=2048)


async def _constant(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    await receive()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def serve_floor(port: int) -> None:
    import uvloop

    async def serve() -> None:
        listening = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port, backlog=2048)
        await listening.serve_forever()

    uvloop.run(serve())


class Floor(asyncio.Protocol):
    """One connection to a server that answers whatever it is asked with the same bytes."""

    def connection_made(self, transport: Any) -> None:
        from httptools import HttpRequestParser

        self.transport = transport
        self.parser = HttpRequestParser(self)
        self.writable = asyncio.Event()
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        _, found, count = self.body.partition(b'"count":')
        if found:
            self.ticking = asyncio.ensure_future(self.tick(int(count.partition(b"}")[0])))
        else:
            self.transport.write(HEAD + BODY)

    async def tick(self, count: int) -> None:
        self.transport.write(STREAM_HEAD)
        for _ in range(count):
            self.transport.write(CHUNK)
            if not self.writable.is_set():
                await self.writable.wait()
        last = b"data: %b\n\n" % BODY
        self.transport.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last))

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()


if __name__ == "__main__":
    shapes = {"floor": serve_floor, "lane": serve_lane, "uvicorn": serve_uvicorn, "asgi": serve_asgi}
    shapes[sys.argv[1]](int(sys.argv[2]))
