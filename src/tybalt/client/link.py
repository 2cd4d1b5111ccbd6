"""How a client reaches its server: over a transport, or directly, with no task between.

A link takes messages and hands over what comes back. It knows no JSON-RPC. `client` sits above.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, runtime_checkable

from tybalt.errors import ConnectionLost, MisuseError, TransportClosed, cut, describe
from tybalt.execution.tokens import governor, ungoverned
from tybalt.protocol.codec import glimpse_of
from tybalt.protocol.frames import Oversized
from tybalt.transports.transport import Transport

if TYPE_CHECKING:
    from tybalt.client.http.mirroring import Mirroring

Receiver = Callable[[bytes | Oversized], None]
Unanswered = Callable[[int | str, Exception], None]
"""Hears of a request, by its id, that no answer can come for any more, and why."""

Interrupted = Callable[[bool], None]
"""Hears that what the server said by itself may have been missed; True where what it remembered of us is gone too."""

MODERN_ERRORS: Final = (-32020, -32021, -32022)
"""Codes that only modern servers answer with."""


class LinkEvents(NamedTuple):
    """Who is told what happens on a link.

    `receive` gets every message, and `lost` is called once if the server goes away. `unanswered` is for a single
    request that fails on its way, `interrupted` for a gap in what the server says by itself, where all else goes on.
    """

    receive: Receiver
    lost: Callable[[BaseException], None]
    unanswered: Unanswered
    interrupted: Interrupted


class Probing(NamedTuple):
    """How a server shows its era to whoever asks for it over this link (2026-07-28 basic/versioning).

    `undecided` are codes of errors that say nothing of the era. `key` names the server for as long as it stays what it
    is, so that its era need not be asked again; None where each connection is a server of its own.
    """

    silence_is_legacy: bool = True
    undecided: frozenset[int] = frozenset()
    legacy_only: bool = False
    key: str | None = None


class ServerSession(Protocol):
    """What a server gives to one who is linked to it directly."""

    def receive(self, message: bytes, /) -> bytes | None:
        """Handle a message; the answer if there is one at once."""
        ...

    async def drain(self, grace: float) -> None:
        """End what runs."""
        ...

    def close(self) -> None:
        """Let go of the server."""
        ...


@runtime_checkable
class Serves(Protocol):
    """A server in this process, as far as a client needs to know one."""

    def running(self) -> AbstractAsyncContextManager[Any]:
        """Keep its lifespan open."""
        ...

    def session(self, output: Any) -> ServerSession:
        """Open a session whose own messages go to `output`."""
        ...


class Link(Protocol):
    """One way to a server."""

    @property
    def probing(self) -> Probing:
        """How a server shows its era over it."""
        ...

    @property
    def reopens(self) -> bool:
        """Whether it can be opened again, once its server has gone."""
        ...

    @property
    def origin(self) -> str | None:
        """Where its server is, as far as that may be shown; None for one that is no address."""
        ...

    @property
    def mirroring(self) -> "Mirroring | None":
        """What the link must know of tools, where it sends some of their arguments twice."""
        ...

    async def open(self, events: "LinkEvents") -> None:
        """Connect; from now on `events` are told what happens."""
        ...

    def send(self, message: bytes) -> bytes | None:
        """Send now; the answer, where it comes at once. Raises `BlockingIOError` when sending has to wait."""
        ...

    async def send_later(self, message: bytes) -> None:
        """Send when there is room."""
        ...

    async def aclose(self) -> None:
        """Let go of the server."""
        ...


class DirectLink:
    """A server object in this process: a request is handled inside `send`, by a call."""

    probing = Probing()
    mirroring = None
    origin = None
    reopens = False

    def __init__(self, server: Serves) -> None:
        self._server = server
        self._stack = AsyncExitStack()
        self._session: ServerSession | None = None
        self._receive: Receiver | None = None

    async def open(self, events: LinkEvents) -> None:
        """Connect, see `Link.open`."""
        self._receive = events.receive
        await self._stack.enter_async_context(self._server.running())
        self._session = self._server.session(self)

    def send(self, message: bytes) -> bytes | None:
        """Send now, see `Link.send`."""
        session = self._session
        if session is None:
            raise MisuseError("the client is not connected: use it inside `async with Client(…) as client:`")
        if governor() is None:
            return session.receive(message)
        return ungoverned(session.receive, message)  # A handler that calls is no part of what is called.

    async def send_later(self, message: bytes) -> None:
        """Send when there is room, see `Link.send_later`."""
        raise AssertionError("a direct link never has to wait")

    async def aclose(self) -> None:
        """Let go of the server."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
            await session.drain(0)
        await self._stack.aclose()

    def write(self, *messages: bytes) -> None:
        """The session's output: straight to the client."""
        if self._receive is not None:
            for message in messages:
                self._receive(message)

    announce = write

    @property
    def blocked(self) -> bool:
        """Never: the client takes everything."""
        return False

    async def drained(self) -> None:
        """At once."""


class TransportLink:
    """A server at the other end of a transport, read by a task of the link's own.

    `make` returns a connected transport, or a coroutine that does; it `reopens` if it can do that more than once.
    `origin` is where it leads, if that is an address.
    """

    probing = Probing()
    mirroring = None

    def __init__(self, make: Callable[[], Any], *, reopens: bool = False, origin: str | None = None) -> None:
        self._make = make
        self.origin = origin
        self.reopens = reopens
        self._transport: Transport | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self, events: LinkEvents) -> None:
        """Connect, see `Link.open`."""
        made = self._make()
        transport: Transport = await made if asyncio.iscoroutine(made) else made
        self._transport = transport
        self._reading = asyncio.create_task(self._read(transport, events.receive, events.lost))

    def send(self, message: bytes) -> bytes | None:
        """Send now, see `Link.send`."""
        if self._transport is None:
            raise MisuseError("the client is not connected: use it inside `async with Client(…) as client:`")
        try:
            permit = self._transport.reserve_nowait()
        except TransportClosed as error:
            raise ConnectionLost("the server has closed the connection") from error
        if permit is None:
            raise BlockingIOError
        permit.send(message)
        return None

    async def send_later(self, message: bytes) -> None:
        """Send when there is room, see `Link.send_later`."""
        assert self._transport is not None
        try:
            permit = await self._transport.reserve()
            permit.send(message)
        except TransportClosed as error:
            raise ConnectionLost("the server has closed the connection") from error

    async def aclose(self) -> None:
        """Let go of the server."""
        transport, self._transport = self._transport, None
        try:
            if transport is not None:
                await transport.aclose()
        finally:
            if self._reading is not None:
                self._reading.cancel()
                await asyncio.wait([self._reading])

    async def _read(self, transport: Transport, receive: Receiver, lost: Callable[[BaseException], None]) -> None:
        reason = ""
        try:
            while messages := await transport.receive():
                for message in messages:
                    receive(message)
                    if isinstance(message, Oversized) and _may_answer_anybody(message):
                        # Nobody can tell whose answer it was, and whoever waits for it would wait for ever.
                        reason = f"the server sent too much at once: {message}"
                        return
        except Exception as error:  # noqa: BLE001 (a custom transport may raise anything; whoever waits must hear of it)
            reason = f"reading from the server failed: {describe(error)}"
        finally:
            lost(ConnectionLost(reason or await _how_it_ended(transport)))


def _may_answer_anybody(message: Oversized) -> bool:
    seen = glimpse_of(message)
    return seen.id is None and seen.kind != "notification"


async def _how_it_ended(transport: Any) -> str:
    """Why there is nothing more to read; a process that has ended tells its status or its signal, a moment later.

    A WebSocket tells its `reason`: what the server said on leaving, what it did wrong, or that it is gone.
    """
    wait = getattr(transport, "wait", None)
    if wait is None:
        return getattr(transport, "reason", None) or "the server closed the connection"
    from tybalt.transports.child import ending_of  # Not every client has launched its server.

    try:
        status = await asyncio.wait_for(wait(), 1.0)
    except (TimeoutError, asyncio.CancelledError):
        return "the server closed the connection, though its process still runs"
    words = getattr(transport, "last_words", "")
    hint = f"its last words: {words}" if words else "what it wrote to stderr may say why"
    program = getattr(transport, "program", "")
    named = f" {cut(program)!r}" if program else ""
    told = f"the server's process{named} {ending_of(status)}; {hint}"
    return told if status else f"{told}, or its file does not end in server.run()"
