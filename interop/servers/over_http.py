"""Serves one of our servers over HTTP: `python -m interop.servers.over_http lane examples.everything 8000`.

`lane` serves as `server.run` does, `asgi` as any program does that hands the application to uvicorn. Without a port,
either takes a free one; it says on stderr which.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main(face: str, module: str, port: str = "0") -> None:
    server = import_module(module).server
    if face == "lane":
        server.run("http", port=int(port))
    else:
        import uvicorn

        uvicorn.Server(uvicorn.Config(server.asgi(), port=int(port), access_log=False)).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
