"""One request in flight: answered once, cancelled at most once, and then silent.

`ServerConnection.accept` makes one for a request that cannot be answered at once. It is the typed face of
`ServerConnection.respond`: the same bytes, with the single use enforced. It does no I/O; what it returns is to be sent.
"""

import warnings
from typing import TYPE_CHECKING, Any, Final

from tybalt.errors import McpError, MisuseError
from tybalt.types.logging import LoggingLevel

if TYPE_CHECKING:
    from tybalt.protocol.connection import ServerConnection


_INFINITY: Final = float("inf")


class Responder:
    """The right to answer `request` once, with `respond` or `rpc_error`.

    A second answer raises `MisuseError`. After a cancel every method returns `None`: nothing more may go out for the
    request (2026-07-28 basic/patterns/cancellation). Dropping one unanswered warns with `ResourceWarning`, for then
    the client waits for ever.
    """

    __slots__ = ("__weakref__", "_answered", "_connection", "_progress", "cancelled", "request")

    def __init__(self, connection: "ServerConnection", request: Any) -> None:
        self.request = request
        self.cancelled = False
        self._answered = False
        self._progress = -_INFINITY
        self._connection = connection

    @property
    def is_open(self) -> bool:
        """Whether it is neither answered nor cancelled."""
        return not (self._answered or self.cancelled)

    def respond(self, outcome: Any) -> bytes | None:
        """The answer as bytes to send, for a value, an `Outcome` or an exception; `None` after a cancel.

        Raises what `ServerConnection.respond` raises for a value that cannot be sent; the right to answer is kept then.
        """
        answer = None if self.cancelled or self._answered else self._connection.respond(self.request, outcome)
        return answer if self.settle() else None

    def rpc_error(self, error: McpError) -> bytes | None:
        """A protocol error as the answer; rare once the request was parsed."""
        return self.respond(error)

    def progress(self, progress: float, total: float | None = None, message: str | None = None) -> bytes | None:
        """A progress notification, or `None` where none may be sent.

        `None` when the client gave no token, when the request is answered or cancelled, and when `progress` did not
        increase: "the `progress` value MUST increase with each notification" (2026-07-28 basic/patterns/progress).
        Nor is a NaN or an infinity sent, for which JSON has no word: such a total is left out.
        """
        if self._answered or self.cancelled or not self._progress < progress < _INFINITY:
            return None
        if total is not None and not -_INFINITY < total < _INFINITY:
            total = None
        notification = self._connection.progress(self.request, progress, total, message)
        if notification is not None:
            self._progress = progress
        return notification

    def log(self, level: LoggingLevel, data: Any, logger: str | None = None) -> bytes | None:
        """A log message for this request, or `None` where the client did not ask for this level."""
        if self._answered or self.cancelled:
            return None
        return self._connection.log(self.request, level, data, logger)

    def cancel(self) -> None:
        """Close this responder: the request is cancelled, no answer will be sent. Idempotent."""
        if not self._answered and not self.cancelled:
            self.cancelled = True
            self._connection.forget(self)

    def settle(self) -> bool:
        """Use the right to answer without encoding one here; False if the request was cancelled, so nothing may go out.

        For callers that have the answer's bytes already. Raises `MisuseError` on a second use.
        """
        if self.cancelled:
            return False
        if self._answered:
            raise MisuseError(
                f"request {self.request.id!r} was answered already: a responder is for one answer, make one a request"
            )
        self._answered = True
        self._connection.forget(self)
        return True

    def __del__(self) -> None:
        if not self._answered and not self.cancelled:
            self._connection.forget(self)
            warnings.warn(
                f"request {self.request.id!r} was dropped unanswered: its client waits for ever. "
                "Call respond(), rpc_error() or cancel() on every responder",
                ResourceWarning,
                stacklevel=2,
            )
