"""Serves a server over HTTP: `python -m interop.servers.over_http lane examples.everything 8000`.

`lane` serves as `server.run` does, `asgi` as any program does that hands the application to uvicorn. Faces that begin
with `foreign` are those of servers that are not ours, as their module names them in `APPLICATIONS`; what clients post
to them is written down in a file, a line each, as `recorder.py` does it over stdio. Port 0 takes a free one; it says on
stderr which.
"""

from __future__ import annotations

import pathlib
import sys
from importlib import import_module
from typing import Any

Application = Any
"""An ASGI application."""


def main(face: str, module: str, port: str = "0", record: str = "") -> None:
    served = import_module(module)
    if face == "lane":
        served.server.run("http", port=int(port))
        return
    import uvicorn

    foreign = face.startswith("foreign")
    application = Overheard(served.APPLICATIONS[face](), pathlib.Path(record)) if foreign else served.server.asgi()
    uvicorn.Server(uvicorn.Config(application, port=int(port), access_log=False)).run()


class Overheard:
    """An application, with whatever is posted to it written down; `~ ` begins the id from which a stream goes on."""

    def __init__(self, application: Application, record: pathlib.Path) -> None:
        self._application = application
        self._record = record.open("ab", buffering=0)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request, or the lifespan."""
        body = bytearray()

        async def overhear() -> Any:
            message = await receive()
            if message["type"] == "http.request":
                body.extend(message.get("body", b""))
                if not message.get("more_body", False):
                    self._record.write(b"> " + bytes(body) + b"\n")
            return message

        for name, value in scope.get("headers", ()):
            if name == b"last-event-id":
                self._record.write(b"~ " + value + b"\n")
        posted = scope["type"] == "http" and scope["method"] == "POST"
        await self._application(scope, overhear if posted else receive, send)


if __name__ == "__main__":
    main(*sys.argv[1:])
