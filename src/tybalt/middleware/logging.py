"""`Logging`: one structured record for each request, at its end.

A layer. It says who asked for what, how that ended and how long it took; what was asked and answered it says only where
payloads are turned on, and then without what looks like a secret (`redaction.py`). Tracebacks of what went wrong are
logged by the server, under the reference id that the peer is told.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from tybalt.errors import BackendError, InternalError, MisuseError, TybaltError, only_error
from tybalt.middleware.endings import CANCELLED, IS_ERROR, ending_by, ending_of
from tybalt.middleware.layers import Handler
from tybalt.middleware.redaction import SECRET_WORDS, Redaction
from tybalt.middleware.request import Request

LOGGER: Final = "tybalt.requests"

MAX_NAME: Final = 200
"""How many characters of a name, a URI or a principal are logged."""

_own: Final = logging.getLogger(__name__)


class Logging:
    """A layer that logs every request when it ends.

    A success or a cancel is logged at `level`; a declared failure (`McpError`, `ToolError`, a result with `is_error`)
    as a warning; `InternalError`, `BackendError`, `MisuseError` and any foreign exception as an error. The fields are
    given as `extra`: `mcp_method`, `mcp_name`, `mcp_principal`, `mcp_outcome` ("ok", "is_error", "cancelled" or the
    class of the exception), `mcp_duration_ms`, and `mcp_size`, the characters of what a tool or a resource answered.

    `payloads=True` adds `mcp_arguments` and `mcp_result` or `mcp_error`, each of `max_payload` characters at most and
    without the values of keys that contain one of the `redact` words. No text of a peer's can begin a new line.
    A log that fails is itself logged, and changes nothing. Raises `MisuseError` for a `max_payload` below 1.
    """

    def __init__(
        self,
        logger: logging.Logger | None = None,
        *,
        level: int = logging.INFO,
        payloads: bool = False,
        redact: Iterable[str] = SECRET_WORDS,
        max_payload: int = 1_000,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if max_payload < 1:
            raise MisuseError(f"max_payload is a number of characters above 0, such as 1_000; got {max_payload!r}")
        self._logger = logging.getLogger(LOGGER) if logger is None else logger
        self._level = level
        self._payloads = payloads
        self._redaction = Redaction(redact)
        self._max_payload = max_payload
        self._clock = clock

    def __call__(self, next: Handler) -> Handler:
        """`next`, logged."""
        clock = self._clock

        async def handler(request: Request) -> Any:
            began = clock()
            try:
                result = await next(request)
            except BaseException as error:
                self._log(self._level_of(error), request, ending_by(error), clock() - began, error=only_error(error))
                raise
            ending = ending_of(result)
            level = logging.WARNING if ending == IS_ERROR else self._level
            self._log(level, request, ending, clock() - began, result=result)
            return result

        return handler

    def _level_of(self, error: BaseException) -> int:
        if ending_by(error) == CANCELLED:
            return self._level
        error = only_error(error)
        declared = isinstance(error, TybaltError) and not isinstance(error, BackendError | InternalError | MisuseError)
        return logging.WARNING if declared else logging.ERROR

    def _log(self, level: int, request: Request, ending: str, seconds: float, **became: Any) -> None:
        try:
            if self._logger.isEnabledFor(level):
                self._write(level, self._fields(request, ending, seconds, **became))
        except Exception:  # noqa: BLE001 (a filter or a handler of the program's: neither result nor cancel is lost for it)
            _own.exception("a request of %r could not be logged", request.method)

    def _write(self, level: int, fields: dict[str, Any]) -> None:
        text = "{mcp_method} {mcp_outcome} in {mcp_duration_ms:.1f} ms".format_map(fields)
        if fields["mcp_name"] is not None:
            text += f": {fields['mcp_name']}"
        if fields["mcp_principal"] is not None:
            text += f" [{fields['mcp_principal']}]"
        for payload in ("mcp_arguments", "mcp_result", "mcp_error"):
            if payload in fields:
                text += f" {payload.removeprefix('mcp_')}={fields[payload]}"
        self._logger.log(level, "%s", text, extra=fields)

    def _fields(
        self, request: Request, ending: str, seconds: float, *, result: Any = None, error: BaseException | None = None
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "mcp_method": self._short(request.method),
            "mcp_name": self._short(request.name),
            "mcp_principal": self._short(request.principal),
            "mcp_outcome": self._short(ending),
            "mcp_duration_ms": round(seconds * 1_000, 3),
            "mcp_size": _size(result),
        }
        if self._payloads:
            fields["mcp_arguments"] = self._redaction.payload(request.arguments, self._max_payload)
            if error is None:
                fields["mcp_result"] = self._redaction.payload(result, self._max_payload)
            else:
                fields["mcp_error"] = self._redaction.text(str(error), self._max_payload)
        return fields

    def _short(self, text: str | None) -> str | None:
        return None if text is None else self._redaction.text(text, MAX_NAME)


def _size(result: Any) -> int | None:
    """The characters of the texts, pictures and sounds in a result; `None` for a result that has none of them."""
    blocks = getattr(result, "content", getattr(result, "contents", None))
    if not isinstance(blocks, list):
        return None
    return sum(_length(getattr(block, "resource", block)) for block in cast("list[Any]", blocks))


def _length(block: Any) -> int:
    """The length of a block's text or base64, whichever it has."""
    said = (getattr(block, name, None) for name in ("text", "data", "blob"))
    return next((len(each) for each in said if isinstance(each, str)), 0)
