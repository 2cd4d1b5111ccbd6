"""What a handler may know and do beside its arguments, injected where a parameter is annotated `Context`.

A context belongs to one request and is useless after it. A handler that does not ask for one costs nothing. It holds
no policy: everything it does goes through the session it belongs to.
"""

from collections.abc import Awaitable, Generator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tybalt.protocol.responder import Responder
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation
from tybalt.types.logging import LoggingLevel
from tybalt.types.meta import decode_meta
from tybalt.types.resources import ResourceContents
from tybalt.types.tools import CallToolResult

if TYPE_CHECKING:
    from tybalt.protocol.trace import TraceContext
    from tybalt.server.session import Session


class Sent:
    """A message handed to the output. Awaiting it waits until the output has room again; not awaiting it is fine."""

    __slots__ = ("_session",)

    def __init__(self, session: "Session") -> None:
        self._session = session

    def __await__(self) -> Generator[Any, None, None]:
        return self._session.drained().__await__()


class Context:
    """One request, as its handler sees it."""

    def __init__(self, session: "Session", responder: Responder, message: bytes) -> None:
        self._session = session
        self._responder = responder
        self._message = message

    # -- who is asking ----------------------------------------------------------------------------------------------

    @property
    def request_id(self) -> int | str:
        """The JSON-RPC id of the request. A client may use one id more than once; it is not a key."""
        return self._responder.request.id

    @property
    def revision(self) -> str:
        """The protocol revision the request is served in."""
        return self._session.connection.revision_of(self._responder.request)

    @property
    def client_info(self) -> Implementation | None:
        """Name and version the client gives itself: unverified, for display and logs only."""
        return self._session.connection.client_of(self._responder.request)[0]

    @property
    def client_capabilities(self) -> ClientCapabilities:
        """What the client declared it can do, with this request (modern) or in its handshake (legacy)."""
        return self._session.connection.client_of(self._responder.request)[1]

    @cached_property
    def meta(self) -> Mapping[str, Any]:
        """The request's whole `_meta`, foreign keys included, decoded on first use."""
        return decode_meta(self._message)

    @property
    def trace(self) -> "TraceContext | None":
        """The W3C trace context the request carries, or `None` where it has none or a malformed one."""
        from tybalt.protocol.trace import trace_context

        return trace_context(self.meta)

    @property
    def lifespan(self) -> Any:
        """What the server's `lifespan` yielded; `None` without one."""
        return self._session.server.lifespan_value

    @property
    def cancelled(self) -> bool:
        """Whether the client has cancelled this request."""
        return self._responder.cancelled

    # -- telling the client -----------------------------------------------------------------------------------------

    def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> Awaitable[None]:
        """Tell the client how far this is: nothing is sent unless it asked, or when `progress` has not increased.

        Works in plain and async handlers alike. Await the result to wait while the output is blocked; without that,
        reports are dropped rather than queued while it is (2026-07-28 basic/patterns/progress).
        """
        return self._session.notify(self._responder.progress(progress, total, message))

    def log(self, level: LoggingLevel, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """Send a log message to the client, if it asked for this level. `data` is any JSON value, never a secret.

        Deprecated by the specification in favour of stderr and OpenTelemetry; supported for interoperability
        (2026-07-28 server/utilities/logging).
        """
        return self._session.notify(self._responder.log(level, data, logger))

    def debug(self, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """`log` at level `debug`."""
        return self.log("debug", data, logger=logger)

    def info(self, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """`log` at level `info`."""
        return self.log("info", data, logger=logger)

    def warning(self, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """`log` at level `warning`."""
        return self.log("warning", data, logger=logger)

    def error(self, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """`log` at level `error`."""
        return self.log("error", data, logger=logger)

    # -- the rest of the server -------------------------------------------------------------------------------------

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> CallToolResult:
        """Call another tool of this server, as the same client would.

        A tool's own failure comes back as a result with `is_error`. Raises `InvalidParams` for an unknown tool or
        arguments that do not fit, and whatever error the tool raises that is meant for the protocol. Nesting is
        limited to 10.
        """
        return await self._session.call_tool(name, arguments or {}, self._responder, self._message)

    async def read_resource(self, uri: str) -> list[ResourceContents]:
        """Read a resource of this server, as the same client would. Raises `ResourceNotFound` for an unknown URI."""
        return await self._session.read_resource(uri, self._responder, self._message)
