"""Every error Tybalt raises on purpose, as one tree, with the code each has on the wire.

    TybaltError
    ├── McpError                     goes to the peer as a JSON-RPC error: code, message, data
    │   ├── ParseError               -32700  the bytes are not JSON
    │   ├── InvalidRequest           -32600  the JSON is not a request we may answer
    │   ├── MethodNotFound           -32601  this revision, or this server, has no such method
    │   ├── InvalidParams            -32602  the method exists, its parameters are wrong
    │   │   ├── InvalidArguments     -32602  arguments that do not fit their tool; from 2025-11-25 on a result
    │   │   └── ResourceNotFound     -32602  modern; -32002 legacy
    │   ├── InternalError            -32603  our fault; the text is masked
    │   ├── HeaderMismatch           -32020  modern; -32600 legacy
    │   ├── MissingClientCapability  -32021  modern; -32600 legacy
    │   └── UnsupportedRevision      -32022  modern; -32600 legacy
    ├── ToolError                    the tool says no: a result with `isError`, written for the model
    ├── RegistrationError            a handler that cannot be compiled, raised where it is declared
    ├── TransportError               the wire itself
    │   └── TransportClosed          nothing more can be sent or received
    ├── ConnectionLost               the peer went away with our request unanswered
    ├── RequestTimeout               the peer did not answer in time
    ├── UnexpectedResult             the peer's answer is no result we understand
    └── MisuseError                  the program broke a rule of this API (answered twice, wrong phase)

Nothing in here does I/O or knows a transport. The same tree serves servers and clients: an `McpError` is what a
handler raises to answer with a protocol error, and what a client catches when its peer did.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, cast

Era = Literal["modern", "legacy"]


class TybaltError(Exception):
    """The root of every error raised on purpose."""


class McpError(TybaltError):
    """An error answer of the protocol: `code`, `message` and optional `data`, as JSON-RPC 2.0 section 5.1 has them.

    Raise it in a handler to answer with exactly this error, in either era. A client raises it for an error the
    server answered. Codes of your own belong outside -32768…-32000 (2026-07-28 basic/index, "Error Codes"). Raises
    `MisuseError` for a code that is no integer.
    """

    default_code: ClassVar[int] = -32603

    def __init__(self, message: str, *, code: int | None = None, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        if type(self.code) is not int:
            raise MisuseError(f"an error code is an integer, such as 404; got {self.code!r}")
        self.data = data

    @classmethod
    def received(cls, code: int, message: str, data: Any = None) -> "McpError":
        """The error a peer answered, as the class that stands for its code, or as a plain `McpError`.

        A missing resource, which has a code of its own in legacy only, is told in modern by the URI in `data`.
        """
        kind = _KIND_OF.get(code, McpError)
        if kind is InvalidParams and isinstance(data, dict) and "uri" in data:
            kind = ResourceNotFound
        error = kind.__new__(kind)
        McpError.__init__(error, message, code=code, data=data)
        return error

    def code_in(self, era: Era) -> int:
        """The code this error has on the wire in `era`: the same in both, but for what the other era does not have."""
        return (_MODERN_CODES if era == "modern" else _LEGACY_CODES).get(self.code, self.code)


class ParseError(McpError):
    """The bytes are not JSON (JSON-RPC 2.0 section 5.1)."""

    default_code = -32700


class InvalidRequest(McpError):
    """JSON, but not a request that may be answered here and now."""

    default_code = -32600


class MethodNotFound(McpError):
    """The method does not exist in this revision or on this server."""

    default_code = -32601


class InvalidParams(McpError):
    """The method exists; its parameters are missing, of the wrong type, or name something unknown."""

    default_code = -32602


class InvalidArguments(InvalidParams):
    """Arguments that do not fit their tool: `problems` says which and why, for a model to act on.

    Answered as a result with `isError` from 2025-11-25 on, and as the -32602 it is before (2025-11-25 server/tools,
    "Error Handling"). `tool` is its name.
    """

    def __init__(self, tool: str, problems: str) -> None:
        super().__init__(f"{tool}: {problems}")
        self.tool = tool
        self.problems = problems


class ResourceNotFound(InvalidParams):
    """No resource answers to this URI: -32602 in modern, -32002 in legacy.

    2026-07-28 server/resources, "Error Handling".
    """

    def __init__(self, uri: str) -> None:
        super().__init__(f"Resource not found: {cut(uri)}", data={"uri": uri})

    def code_in(self, era: Era) -> int:
        """The code this error has on the wire in `era`."""
        return -32602 if era == "modern" else -32002


class InternalError(McpError):
    """A failure of ours; what the peer sees never names the cause."""

    default_code = -32603


class HeaderMismatch(McpError):
    """A mirrored header and the body disagree (modern HTTP only)."""

    default_code = -32020


class MissingClientCapability(McpError):
    """The request needs a capability the client did not declare; `data.requiredCapabilities` lists it (modern)."""

    default_code = -32021

    def __init__(self, required: dict[str, Any]) -> None:
        names = ", ".join(sorted(required))
        super().__init__(f"Missing required client capability: {names}", data={"requiredCapabilities": required})


class UnsupportedRevision(McpError):
    """The request names a protocol revision this server does not serve; `data` lists those it does (modern)."""

    default_code = -32022

    def __init__(self, requested: str, supported: list[str]) -> None:
        super().__init__("Unsupported protocol version", data={"supported": supported, "requested": cut(requested)})


_KIND_OF: dict[int, type[McpError]] = {
    kind.default_code: kind
    for kind in (
        ParseError,
        InvalidRequest,
        MethodNotFound,
        InvalidParams,
        InternalError,
        HeaderMismatch,
        MissingClientCapability,
        UnsupportedRevision,
    )
}
_KIND_OF[-32002] = ResourceNotFound
_MODERN_CODES = {-32002: -32602}
"""Codes that modern must not emit (2026-07-28 basic/index, "Error Codes"), and what stands for them."""
_LEGACY_CODES = {-32020: -32600, -32021: -32600, -32022: -32600}
"""Codes that legacy does not know, and what stands for them."""


class ToolError(TybaltError):
    """The tool says no: answered as a result with `isError: true`, its text meant for the model.

    The text is sent as it is and never masked, so it must not hold secrets. What caused the error is not sent; an
    author who wants that told passes `describe(error)` on (2026-07-28 server/tools, "Error Handling").
    """


class RegistrationError(TybaltError, TypeError):
    """A handler that cannot be compiled: the text names the function, the parameter and the remedy."""


class TransportError(TybaltError):
    """The wire itself failed."""


class TransportClosed(TransportError):
    """The transport is closed: nothing more can be sent or received on it."""


class ConnectionLost(TybaltError):
    """The peer went away while our request was unanswered; whether it ran is unknown."""


class RequestTimeout(TybaltError, TimeoutError):
    """The peer did not answer within the time allowed; it was told that the request is cancelled."""


class UnexpectedResult(TybaltError):
    """The peer answered, but with something that is no valid result of the request."""


class MisuseError(TybaltError, RuntimeError):
    """The program broke a rule of this API; the text says which, and what to do instead."""


def only_error(error: BaseException) -> BaseException:
    """The one error in an exception group of one, such as a task group makes of it; any other error itself."""
    while isinstance(error, BaseExceptionGroup):
        inner = cast("tuple[BaseException, ...]", error.exceptions)
        if len(inner) != 1:
            break
        error = inner[0]
    return cast("BaseException", error)


def cut(text: str, limit: int = 100) -> str:
    """`text`, or its first `limit` characters and an ellipsis: for what a peer sent and an error text repeats."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def closest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that was most likely meant by `name`, if any is close; of a long name the beginning counts."""
    from difflib import get_close_matches  # Only where a name was wrong.

    found = get_close_matches(name[:200], list(names), 1)
    return found[0] if found else None


def describe(error: BaseException) -> str:
    """The error's text followed by that of everything that caused it, joined with ": ".

    Walks `__cause__`, or `__context__` where it is not suppressed. Each error is told once, an empty text by its
    class name, and a cause whose text its parent already ends with is not repeated. At most 16 causes are followed.
    """
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(parts) < 16:
        seen.add(id(current))
        text = str(current) or type(current).__name__
        if not parts or not f": {parts[-1]}".endswith(f": {text}"):
            parts.append(text)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return ": ".join(parts)
