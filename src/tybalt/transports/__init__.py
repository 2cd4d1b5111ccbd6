"""How messages travel: the transport contract, and memory, stdio, stream sockets and WebSocket that keep it.

Everything here moves bytes and knows no method, no era and no handler; `protocol` stands below, `server` and `client`
above. A custom transport needs nothing from this folder but the contract in `transport`.
"""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.transports.command import Command as Command
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
    from tybalt.transports.websocket import connect_websocket as connect_websocket
    from tybalt.transports.websocket_stream import WebSocketTransport as WebSocketTransport

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.transports.command": "Command",
        "tybalt.transports.memory": "MemoryTransport memory_pair",
        "tybalt.transports.process": "ProcessTransport spawn",
        "tybalt.transports.sockets": "SocketServer connect_tcp connect_unix serve_tcp serve_unix",
        "tybalt.transports.stdio": "StdioTransport stdio_transport",
        "tybalt.transports.stream": "StreamTransport",
        "tybalt.transports.transport": "Oversized PermitIssuer SendPermit Transport",
        "tybalt.transports.websocket": "connect_websocket",
        "tybalt.transports.websocket_stream": "WebSocketTransport",
    },
)
