"""An error as an HTTP answer that is no JSON-RPC: status, headers, and a body with `error`, `status`, `timestamp`.

For what fails before or beside the protocol: an upload, a health check, a request that no revision could read. An error
of a JSON-RPC request is the business of `Answers`. Both ask the table of `tybalt.errors`; the HTTP transport is above.
"""

from datetime import datetime
from math import ceil

import msgspec

from tybalt.errors import McpError, row_of, visible_text
from tybalt.protocol.timestamp import format_timestamp


def http_error(error: BaseException, now: datetime) -> tuple[int, dict[str, str], bytes]:
    """The status, the headers and the body that tell `error`, whatever it is. `now` is aware.

    The body is `{"error", "status", "timestamp"}`, its text `visible_text`: what is masked is for the log of whoever
    calls this. `Retry-After` is in whole seconds, rounded up (RFC 9110 section 10.2.3); 401 has the challenge `Bearer`
    (RFC 6750 section 3), which whoever knows more of it replaces. Raises `MisuseError` for a naive `now`.
    """
    status = status_of(error)
    headers = {"Content-Type": "application/json"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, McpError) and error.retry_after is not None:
        headers["Retry-After"] = str(ceil(error.retry_after))
    # Half of a surrogate pair has no UTF-8, and an error must be told all the same.
    text = visible_text(error).encode(errors="replace").decode()
    body = {"error": text, "status": status, "timestamp": format_timestamp(now)}
    return status, headers, msgspec.json.encode(body)


def status_of(error: BaseException) -> int:
    """The HTTP status of an error: its own code where that is one of 400 to 599, else that of its row."""
    if isinstance(error, McpError) and 400 <= error.code <= 599:
        return error.code
    return row_of(error).status
