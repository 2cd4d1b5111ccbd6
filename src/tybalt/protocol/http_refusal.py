"""A request that is refused before any of it runs: why, and the response that says so.

The rules above make one; the driver logs `error` and sends `response`. It has an error of JSON-RPC for a body where the
protocol speaks of one, so for 400, 403 and the 404 of a session, and the plain body of `http_error` for everything that
is HTTP's alone. Whatever stands in the body of a refusal, it repeats no more than some characters of what was sent.
"""

from datetime import datetime

from msgspec import Struct

from tybalt.errors import Era, McpError
from tybalt.protocol.answers import RequestId
from tybalt.protocol.http_error import http_error
from tybalt.protocol.http_messages import HttpResponse, header, respond
from tybalt.protocol.statuses import JSON_HEADERS, error_response


class Refusal(Struct, frozen=True):
    """Why a request was not admitted. `era` is the one whose codes the answer has, `None` where it is no JSON-RPC.

    `request_id` is that of the request in the body, where it is one and could be read: an error of modern must have it.
    """

    status: int
    error: McpError
    era: Era | None = None
    request_id: RequestId | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    advice: str = ""
    """What whoever runs the server may do, for its log alone."""

    def response(self, now: datetime) -> HttpResponse:
        """The response to send. `now` is aware; it stands in the body that is no JSON-RPC."""
        if self.era is not None:
            return error_response(self.status, self.error, self.era, request_id=self.request_id)
        status, fields, body = http_error(self.error, now)
        own = {name for name, _ in self.headers}
        told = (header(name, value) for name, value in fields.items() if name != "Content-Type")
        more = (field for field in told if field[0] not in own)  # Who refuses knows better than the table.
        return respond(status, body, (*JSON_HEADERS, *more, *self.headers))


def plain(status: int, text: str, *headers: tuple[bytes, bytes]) -> Refusal:
    """A refusal that is HTTP's alone."""
    return Refusal(status, McpError(text, code=status), headers=headers)
