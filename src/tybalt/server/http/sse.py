"""HTTP with SSE, the transport of 2024-11-05, for clients that know no other. Deprecated; off by default.

    GET /sse                     a stream: `event: endpoint` with the address to send to, then a `message` for each
    POST /messages?session=…     202; the answer comes on the stream

Both together are one shared channel, with the rules of stdio: legacy clients alone, cancellation by
`notifications/cancelled`. The stream is the session: where it ends, what was asked is stopped, and nobody can come
back. So both must reach the same process, which is why several workers refuse it.

2024-11-05 basic/transports, "HTTP with SSE".
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from tybalt.errors import MisuseError, Overloaded
from tybalt.protocol.admission import refuse_form
from tybalt.protocol.http_messages import HttpRequest, HttpResponse, fields_of
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.sse import KEEP_ALIVE, event
from tybalt.protocol.statuses import ACCEPTED, STREAM_HEADERS
from tybalt.server.http.channels import Channel, Outgoing, let_in
from tybalt.server.http.exchanges import with_headers
from tybalt.server.http.settings import HttpSettings
from tybalt.types.revisions import LEGACY

if TYPE_CHECKING:
    from tybalt.server.http.endpoint import Endpoint
    from tybalt.server.server import Server

Scope = dict[str, Any]
ReadBody = Callable[["Endpoint", Any], Awaitable[bytes | Refusal | None]]
"""Reads a body, within its bounds; `None` where the client went away."""

_PARAMETER: Final = b"session="


def require_one_process(server: "Server", settings: HttpSettings, *, is_shared: bool) -> None:
    """Raise `MisuseError` for a server that cannot have this transport."""
    if settings.sse_path is None:
        return
    if is_shared:
        raise MisuseError(
            f"sse_path={settings.sse_path!r} needs workers=1: a stream and what is sent to it must reach one process, "
            f"and nothing says which. Modern clients, and those of 2025-03-26 and later, use {settings.path}"
        )
    if not set(LEGACY) & set(server.revisions):
        raise MisuseError(f"sse_path={settings.sse_path!r} is for legacy clients, and this server serves none")


class SseFace:
    """The two paths of one endpoint."""

    def __init__(self, endpoint: "Endpoint", read_body: ReadBody) -> None:
        self._endpoint = endpoint
        self._read_body = read_body
        self._settings = endpoint.settings

    async def serve(self, path: str, scope: Scope, receive: Any, send: Any) -> None:
        """Serve one request to one of them."""
        endpoint = self._endpoint
        request = HttpRequest(scope["method"], scope["headers"], http_version=scope.get("http_version", "1.1"))
        found = endpoint.preflight(request) or await self._found(path, request, scope, receive)
        if isinstance(found, Refusal):
            found = endpoint.refuse(found, request)
        if isinstance(found, HttpResponse):
            await send({"type": "http.response.start", "status": found.status, "headers": found.headers})
            await send({"type": "http.response.body", "body": found.body})
        elif found is not None:
            await self._stream(found.principal, request, scope, receive, send)
