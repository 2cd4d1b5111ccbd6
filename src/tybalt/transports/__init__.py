"""How messages travel: the transport contract, and memory, stdio and stream sockets that keep it.

Everything here moves bytes and knows no method, no era and no handler; `protocol` stands below, `server` and `client`
above. A custom transport needs nothing from this folder but the contract in `transport`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tybalt.transports.memory import MemoryTransport as MemoryTransport
    from tybalt.transports.memory import memory_pair as memory_pair
    from tybalt.transports.process import ProcessTransport as ProcessTransport
    from tybalt.transports.process import spawn as spawn
    from tybalt.transports.sockets import SocketServer as SocketServer
    from tybalt.transports.sockets import connect_tcp as connect_tcp
    from tybalt.transports.sockets import connect_unix as connect_unix
    from tybalt.transports.sockets import serve_tcp as serve_tcp
    from tybalt.transports.sockets import serve_unix as serve_unix
    from tybalt.transports.stdio import StdioTransport as StdioTransport
    from tybalt.transports.stdio import stdio_transport as stdio_transport
    from tybalt.transports.stream import StreamTransport as StreamTransport
    from tybalt.transports.transport import Oversized as Oversized
    from tybalt.transports.transport import PermitIssuer as PermitIssuer
    from tybalt.transports.transport import SendPermit as SendPermit
    from tybalt.transports.transport import Transport as Transport

_HOME = {
    "MemoryTransport": "memory",
    "memory_pair": "memory",
    "ProcessTransport": "process",
    "spawn": "process",
    "SocketServer": "sockets",
    "connect_tcp": "sockets",
    "connect_unix": "sockets",
    "serve_tcp": "sockets",
    "serve_unix": "sockets",
    "StdioTransport": "stdio",
    "stdio_transport": "stdio",
    "StreamTransport": "stream",
    "Oversized": "transport",
    "PermitIssuer": "transport",
    "SendPermit": "transport",
    "Transport": "transport",
}


def __getattr__(name: str) -> Any:
    # Late, so that a program that uses one transport does not pay the import of all.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
