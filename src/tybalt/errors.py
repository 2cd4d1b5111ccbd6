"""Every error Tybalt raises on purpose, as one tree, and the one table of how each is answered.

    TybaltError
    ├── McpError                     goes to the peer as a JSON-RPC error: code, message, data
    │   ├── ParseError               -32700  the bytes are not JSON
    │   ├── InvalidRequest           -32600  the JSON is not a request we may answer
    │   ├── MethodNotFound           -32601  this revision, or this server, has no such method
    │   ├── InvalidParams            -32602  the method exists, its parameters are wrong
    │   │   ├── InvalidArguments     -32602  arguments that do not fit their tool; from 2025-11-25 on a result
    │   │   ├── ResourceNotFound     -32602  modern; -32002 legacy
    │   │   └── ValidationError      -32602  a value that a handler refuses
    │   ├── Unauthorized             401     who asks is not known
    │   ├── Forbidden                403     who asks may not
    │   ├── NotFound                 404     what was asked for is not there
    │   ├── TimedOut                 408     a deadline or a quota ended it
    │   ├── RateLimited              429     asked too often; `retry_after`
    │   ├── BackendError             -32603  a database or an upstream failed; its text is for the log alone
    │   ├── InternalError            -32603  our fault; what is masked goes out as one
    │   ├── Overloaded               503     too much at once, or about to end; `retry_after`
    │   ├── HeaderMismatch           -32020  modern; -32600 legacy
    │   ├── MissingClientCapability  -32021  modern; -32600 legacy
    │   └── UnsupportedRevision      -32022  modern; -32600 legacy
    ├── ToolError                    the tool says no: a result with `isError`, written for the model
    ├── RegistrationError            a handler that cannot be compiled, raised where it is declared
    ├── TransportError               the wire itself
    │   └── TransportClosed          nothing more can be sent or received
    ├── ConnectionLost               the peer went away with our request unanswered
    │   └── RequestLost              that request alone; the next one finds a connection again
    ├── RequestTimeout               the peer did not answer in time
    ├── UnexpectedResult             the peer's answer is no result we understand
    └── MisuseError                  the program broke a rule of this API (answered twice, wrong phase)

Nothing in here does I/O or knows a transport. The same tree serves servers and clients: an `McpError` is what a
handler raises to answer with a protocol error, and what a client catches when its peer did. Whoever answers asks
`row_of` how; nobody else decides it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final, Literal, TypeGuard, cast

from msgspec import Struct

Era = Literal["modern", "legacy"]

LONGEST_RETRY: Final = 365 * 86_400.0
"""Seconds: what `retry_after` may be at most, whoever says it."""


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
        if type(message) is not str:  # `raise NotFound(7)` must not go out as a number, nor be told by the client.
            message = _as_text(message, type(self).__name__)
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

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the same request may be sent again, where `data.retryAfter` says so; else `None`.

        A number below 0 or above `LONGEST_RETRY` says nothing. Whoever waits for it has a bound of his own.
        """
        data = cast("dict[str, Any]", self.data) if isinstance(self.data, dict) else {}
        seconds = data.get("retryAfter")
        return float(seconds) if _is_wait(seconds) else None

    def code_in(self, era: Era) -> int:
        """The code this error has on the wire in `era`: its own, or what stands for that where `era` has none such."""
        row = row_of(self)
        code = row.code(era)
        if code is not None and self.code in (row.modern, row.legacy):
            return code
        return _STANDS_FOR[era].get(self.code, self.code)


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


class ValidationError(InvalidParams):
    """A value has the right type, and the handler refuses it: the text says which, and what would do."""


class Unauthorized(McpError):
    """Who asks is not known: no credentials, or none that hold."""

    default_code = 401

    def __init__(self, message: str = "Authentication required", *, data: Any = None) -> None:
        super().__init__(message, data=data)


class Forbidden(McpError):
    """Who asks is known, and may not do this."""

    default_code = 403

    def __init__(self, message: str = "Permission denied", *, data: Any = None) -> None:
        super().__init__(message, data=data)


class NotFound(McpError):
    """What the request is about is not there: a row, a file, a user. A resource of ours is `ResourceNotFound`."""

    default_code = 404

    def __init__(self, message: str = "Not found", *, data: Any = None) -> None:
        super().__init__(message, data=data)


class TimedOut(McpError):
    """The server stopped the request at a limit: a deadline or a quota. The text names the limit.

    Not `RequestTimeout`, which a client raises by itself when no answer comes.
    """

    default_code = 408

    def __init__(self, message: str = "The request timed out", *, data: Any = None) -> None:
        super().__init__(message, data=data)


class RateLimited(McpError):
    """Who asks did so too often; `retry_after` is in seconds. Raises `MisuseError` for one not in 0…`LONGEST_RETRY`."""

    default_code = 429

    def __init__(self, message: str = "Rate limit exceeded", *, retry_after: float | None = None) -> None:
        super().__init__(message, data=_retry_data(retry_after))


class Overloaded(McpError):
    """The server has too much to do, or is about to end: the request was not run, or not to its end.

    `retry_after` is in seconds. Raises `MisuseError` for one not in 0…`LONGEST_RETRY`.
    """

    default_code = 503

    def __init__(self, message: str = "Overloaded; send it again later", *, retry_after: float | None = None) -> None:
        super().__init__(message, data=_retry_data(retry_after))


class BackendError(McpError):
    """What the server itself needs has failed: `BackendError("connection refused to db-7", service="database")`.

    `detail` is for the log, where `str(error)` shows it; no answer holds it. A peer sees `message`, which is made of
    `service`: "Database error". Raises `MisuseError` for a service that is no short printable text.
    """

    def __init__(self, detail: str, *, service: str = "upstream") -> None:
        if not (service and service.isprintable() and len(service) <= 100):
            raise MisuseError(f'a service is named by a short printable text such as "database", not {cut(service)!r}')
        super().__init__(f"{service[0].upper()}{service[1:]} error")
        self.args = (detail,)
        self.service = service


class InternalError(McpError):
    """A failure of ours, which the text goes out to tell: it must not name the cause. What is masked becomes one."""

    default_code = -32603


class HeaderMismatch(McpError):
    """A mirrored header and the body disagree (modern HTTP only)."""

    default_code = -32020


class MissingClientCapability(McpError):
    """The request needs a capability the client did not declare; `data.requiredCapabilities` lists it (modern)."""

    default_code = -32021

    def __init__(self, required: dict[str, Any]) -> None:
        names = ", ".join(sorted(required))
        text = f"Missing required client capability: {names}. A client that can be asked declares it"
        super().__init__(text, data={"requiredCapabilities": required})


class UnsupportedRevision(McpError):
    """The request names a protocol revision this server does not serve; `data` lists those it does (modern)."""

    default_code = -32022

    def __init__(self, requested: str, supported: list[str]) -> None:
        super().__init__("Unsupported protocol version", data={"supported": supported, "requested": cut(requested)})


def _as_text(message: Any, name: str) -> str:
    if isinstance(message, str | BaseException):
        return str(message)
    raise MisuseError(f"{name}(message): expected a text for whoever asked, got {message!r}")


_KIND_OF: dict[int, type[McpError]] = {
    kind.default_code: kind
    for kind in (
        ParseError,
        InvalidRequest,
        MethodNotFound,
        InvalidParams,
        Unauthorized,
        Forbidden,
        NotFound,
        TimedOut,
        RateLimited,
        InternalError,
        Overloaded,
        HeaderMismatch,
        MissingClientCapability,
        UnsupportedRevision,
    )
}
_KIND_OF[-32002] = ResourceNotFound


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


class RequestLost(ConnectionLost):
    """A request was lost, and the client goes on: whoever asks next finds a connection again, or what opens one.

    So is it over HTTP, where each request connects by itself, and where a client opens its connection again
    (`Restart`). Any other `ConnectionLost` is final: what asks again on the same client finds it as lost.
    """


class RequestTimeout(TybaltError, TimeoutError):
    """The peer did not answer within the time allowed; it was told that the request is cancelled."""


class UnexpectedResult(TybaltError):
    """The peer answered, but with something that is no valid result of the request."""


class MisuseError(TybaltError, RuntimeError):
    """The program broke a rule of this API; the text says which, and what to do instead."""


class Row(Struct, frozen=True):
    """How one class of error is answered.

    `modern` and `legacy` are its JSON-RPC codes, `None` where each error brings its own. `status` is that of an HTTP
    answer that is no JSON-RPC; with which status a JSON-RPC error travels is the business of `protocol.statuses`.
    """

    modern: int | None
    legacy: int | None
    status: int
    result_since: str | None = None
    """The revision from which it answers `tools/call` as a result with `isError`; `None`: a protocol error in all."""
    masked: bool = False
    """Whether its text is for the log alone: whoever answers logs it, and tells the peer `visible_text`."""
    retryable: bool = False
    """Whether the same request may succeed later. Whether it may run twice is for the caller to know."""

    def code(self, era: Era) -> int | None:
        """The JSON-RPC code in `era`."""
        return self.modern if era == "modern" else self.legacy

    def is_result(self, revision: str) -> bool:
        """Whether `tools/call` in `revision` is answered with a result that has `isError`, for the model to read."""
        return self.result_since is not None and revision >= self.result_since


_ALWAYS: Final = "2024-11-05"

# fmt: off
TABLE: Final[Mapping[type[BaseException], Row]] = {
    # error                       modern  legacy  HTTP  isError since  masked  retryable
    ParseError:               Row(-32700, -32700, 400),
    InvalidRequest:           Row(-32600, -32600, 400),
    MethodNotFound:           Row(-32601, -32601, 404),
    InvalidParams:            Row(-32602, -32602, 400),
    InvalidArguments:         Row(-32602, -32602, 400, "2025-11-25"),
    ResourceNotFound:         Row(-32602, -32002, 404),
    ValidationError:          Row(-32602, -32602, 400, _ALWAYS),
    Unauthorized:             Row(401,    401,    401),
    Forbidden:                Row(403,    403,    403),
    NotFound:                 Row(404,    404,    404, _ALWAYS),
    TimedOut:                 Row(408,    408,    408, _ALWAYS,       False,  True),
    RateLimited:              Row(429,    429,    429, None,          False,  True),
    BackendError:             Row(-32603, -32603, 500, _ALWAYS,       True,   True),
    InternalError:            Row(-32603, -32603, 500),
    Overloaded:               Row(503,    503,    503, None,          False,  True),
    HeaderMismatch:           Row(-32020, -32600, 400),
    MissingClientCapability:  Row(-32021, -32600, 400),
    UnsupportedRevision:      Row(-32022, -32600, 400),
    McpError:                 Row(None,   None,   500),
    ToolError:                Row(-32603, -32603, 500, _ALWAYS),
    BaseException:            Row(-32603, -32603, 500, _ALWAYS,       True),
}
"""Every class that can reach a peer; the last row is for anything else. A class of your own has the row of its base."""
# fmt: on


def row_of(error: BaseException) -> Row:
    """How an error is answered: the row of its class, or of the nearest base that has one."""
    return next(row for kind in type(error).__mro__ if (row := TABLE.get(kind)) is not None)


def visible_text(error: BaseException) -> str:
    """What a peer may read of an error: its text, or what is said in the place of one that is masked."""
    if isinstance(error, InvalidArguments):
        return error.problems
    if isinstance(error, McpError):
        return error.message
    return "Internal error" if row_of(error).masked else str(error)


def only_error(error: BaseException) -> BaseException:
    """The one error in an exception group of one, such as a task group makes of it; any other error itself."""
    while isinstance(error, BaseExceptionGroup):
        inner = cast("tuple[BaseException, ...]", error.exceptions)
        if len(inner) != 1:
            break
        error = inner[0]
    return cast("BaseException", error)


def exit_refused(error: SystemExit) -> RuntimeError:
    """What an exit becomes that a handler, or what it depends on, has asked for: a failure of its own.

    In a task of its own it would end the loop, and with it everybody's requests.
    """
    return RuntimeError(f"a handler wanted to end the process: {error!r}")


def cut(text: str, limit: int = 100) -> str:
    """`text`, or its first `limit` characters and an ellipsis: for what a peer sent and an error text repeats."""
    return text if len(text) <= limit else f"{text[:limit]}…"


def printable(text: str, kept: str = "") -> str:
    r"""The same text on one line: what is no printable character is written as Python would (`\n`, `\x1b`, `\u2028`).

    Control characters, line separators, marks that turn the direction of writing, and lone surrogates are none. Those
    in `kept` stay.
    """
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each in kept else each.encode("unicode_escape").decode() for each in text
    )


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


def _standing_for(era: Era, other: Era) -> dict[int, int]:
    """What goes out in `era` for the codes that the table has in the other era alone."""
    known = {row.code(era) for row in TABLE.values()}
    pairs = ((row.code(other), row.code(era)) for row in TABLE.values())
    return {theirs: ours for theirs, ours in pairs if theirs is not None and ours is not None and theirs not in known}


_STANDS_FOR: Final[Mapping[Era, Mapping[int, int]]] = {
    "modern": _standing_for("modern", "legacy"),
    "legacy": _standing_for("legacy", "modern"),
}


def _retry_data(seconds: float | None) -> dict[str, float] | None:
    if seconds is None:
        return None
    if not _is_wait(seconds):
        raise MisuseError(f"`retry_after` is in seconds, from 0 to {LONGEST_RETRY:.0f}; got {seconds!r}")
    return {"retryAfter": seconds}


def _is_wait(seconds: Any) -> TypeGuard[float]:
    return type(seconds) in (int, float) and 0 <= seconds <= LONGEST_RETRY
