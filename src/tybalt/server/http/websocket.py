"""A WebSocket as a shared channel: one message a frame, in JSON text or packed. Not part of MCP; off by default.

The specification has no WebSocket: this is a custom transport in its words, for peers that have agreed on it. Every
other rule of a shared channel is that of stdio (2026-07-28 basic/transports/stdio): both eras, the handshake where a
client wants it, cancellation by `notifications/cancelled`. The subprotocol says how messages travel: `mcp`, which is
the default, for JSON in text frames, or `mcp.msgpack` for MessagePack in binary ones. Who may connect is checked as on
the endpoint, before anything is accepted (`channels`). Ping, pong and fragments are the business of the ASGI server.

RFC 6455; ASGI, specification of WebSocket 2.3 and up.
"""

import asyncio
import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import McpError, MisuseError
from tybalt.protocol.http_messages import HttpRequest, HttpResponse
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.message_pack import json_of, packed_of
from tybalt.server.http.channels import PATIENCE, Channel, let_in

if TYPE_CHECKING:
    from tybalt.server.http.endpoint import Endpoint

Scope = dict[str, Any]

logger = logging.getLogger("tybalt.server")

JSON: Final = "mcp"
"""The subprotocol of JSON in text frames, which is spoken too where a client names none."""
PACKED: Final = "mcp.msgpack"
"""The subprotocol of MessagePack in binary frames."""

GOING_AWAY: Final = 1001
WRONG_KIND: Final = 1003
REFUSED: Final = 1008
TOO_LARGE: Final = 1009
"""RFC 6455 section 7.4.1."""


def require_websockets() -> None:
    """Raise `MisuseError` where uvicorn has nothing to speak WebSocket with."""
    if find_spec("websockets") is None:
        raise MisuseError("websocket=True needs websockets: pip install 'tybalt[websocket]'")


async def serve_websocket(endpoint: "Endpoint", scope: Scope, receive: Any, send: Any) -> None:
    """Serve one connection, from its request to its end."""
    await receive()  # That it wants to connect, which its scope has said.
    request = HttpRequest("GET", scope["headers"], http_version=scope.get("http_version", "1.1"))
    known = await let_in(endpoint, request)
    offered: list[str] = scope.get("subprotocols") or []
    chosen = next((each for each in offered if each in (JSON, PACKED)), None)
    if isinstance(known, Refusal):
        refusal = known
    elif offered and chosen is None:
        refusal = plain(400, f"the subprotocols here are {JSON} and {PACKED}; offer one of them, or none")
    else:
        refusal = endpoint.channels.reserve(known.principal)
        if refusal is None:
            with endpoint.channels.opened(known.principal) as channel:
                await send({"type": "websocket.accept", "subprotocol": chosen})
                await Socket(channel, receive, send, endpoint.policy.max_body, is_packed=chosen == PACKED).serve()
            return
    await refuse_websocket(endpoint.refuse(refusal, request), scope, send)


async def refuse_websocket(response: HttpResponse, scope: Scope, send: Any) -> None:
    """Say why not, with a response of HTTP where the ASGI server can send one."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": REFUSED})
        return
    start = {"type": "websocket.http.response.start", "status": response.status, "headers": [*response.headers]}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": response.body})
    await asyncio.sleep(0)  # uvicorn notes in its next turn that this was an answer, and takes no answer for an error.


class Socket:
    """The two ends of a WebSocket that was accepted, and the channel between them."""

    def __init__(self, channel: Channel, receive: Any, send: Any, limit: int, *, is_packed: bool) -> None:
        self._channel = channel
        self._receive = receive
        self._send = send
        self._limit = limit
        self._is_packed = is_packed

    async def serve(self) -> None:
        """Serve it up to its end."""
        if await self._channel.serve(self._read(), self._write()):
            await self._close(GOING_AWAY)

    async def _read(self) -> None:
        """Answer what comes until the client has gone, or does what it must not."""
        session, outgoing = self._channel.session, self._channel.outgoing
        while (event := await self._receive())["type"] == "websocket.receive":
            message = self._message(event)
            if isinstance(message, int):
                outgoing.give_up()
                await self._close(message)
                return
            answer = self._answer(message) if self._is_packed else session.receive(message)
            if answer is not None:
                outgoing.write(answer)
            if outgoing.blocked:
                await outgoing.drained()

    def _message(self, event: dict[str, Any]) -> bytes | int:
        """What a frame holds, or the code of what is wrong with it."""
        found = event.get("bytes" if self._is_packed else "text")
        if found is None:
            return WRONG_KIND
        # Half of a surrogate pair is no UTF-8, which the protocol tells; a text has at least a byte for each character.
        if isinstance(found, str) and len(found) <= self._limit:
            found = found.encode(errors="surrogatepass")
        return found if isinstance(found, bytes) and len(found) <= self._limit else TOO_LARGE

    def _answer(self, packed: bytes) -> bytes | None:
        session = self._channel.session
        try:
            message = json_of(packed)
        except McpError as error:
            connection = session.connection
            profile = connection.profile
            return profile.answers(connection.revision or profile.revisions[-1]).error(None, error)
        return session.receive(message)

    async def _write(self) -> None:
        """Send what the session says."""
        while (message := await self._channel.outgoing.next()) is not None:
            if self._is_packed:
                packed = packed_of(message)
                if packed is None:
                    logger.warning("a message holds a number that cannot be packed, and is lost")
                    continue
                await self._send({"type": "websocket.send", "bytes": packed})
            else:
                await self._send({"type": "websocket.send", "text": message.decode()})

    async def _close(self, code: int) -> None:
        """Say why it ends; a client that reads nothing is not waited for."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._send({"type": "websocket.close", "code": code})
        except Exception as error:  # noqa: BLE001 (each ASGI server says in its own way that nobody is there)
            logger.debug("a client has gone before it was told that the connection ends: %r", error)
