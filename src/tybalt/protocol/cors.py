"""CORS: what a browser is told about pages of other origins. Off unless a server has a `Cors`, and exact then.

    cors = Cors(allowed_origins(["https://inspector.example.com"]))
    response = cors.preflight(request, policy)              # for OPTIONS; `None`: no preflight of an allowed page
    headers = (*response.headers, *cors.headers(fields))    # for every other answer, refusals too

This lets pages read; whether they may ask is `admission.py`'s question, and the policy there must allow the same
origins. No cookie is ever allowed along, and no wildcard is answered. WHATWG Fetch, "CORS protocol".
"""

import re
from typing import Final

from tybalt.errors import MisuseError
from tybalt.protocol.allow_list import AllowList
from tybalt.protocol.http_messages import Fields, HttpRequest, HttpResponse, fields_of
from tybalt.protocol.http_policy import Policy

MAX_REQUESTED: Final = 100
"""Header names of one preflight that are looked at."""

_HEADERS: Final = frozenset(
    (
        b"accept",
        b"authorization",
        b"content-type",
        b"last-event-id",
        b"mcp-method",
        b"mcp-name",
        b"mcp-protocol-version",
        b"mcp-session-id",
    )
)
_PARAMETER: Final = re.compile(rb"mcp-param-[!#$%&'*+.^_`|~0-9a-z-]{1,128}")
_VARY: Final = (b"vary", b"Origin")
_EXPOSED: Final = (b"access-control-expose-headers", b"Mcp-Session-Id, Retry-After, WWW-Authenticate")


class Cors:
    """The pages that may read answers, and for how many seconds a browser may remember it. Frozen in use.

    A page may send what MCP has, `Mcp-Param-*` and `Authorization` too, and nothing else. Raises `MisuseError` for a
    list that allows all origins, for an empty one, and for a `max_age` that is not 0 to 86,400.
    """

    __slots__ = ("_max_age", "origins")

    def __init__(self, origins: AllowList, *, max_age: int = 600) -> None:
        if origins.allows_all or not origins.entries:
            raise MisuseError("CORS names the origins of its pages, such as 'https://app.example.com'; '*' is none")
        if not 0 <= max_age <= 86_400:
            raise MisuseError(f"max_age is in seconds, from 0 to 86,400; got {max_age!r}")
        self.origins = origins
        self._max_age = b"%d" % max_age

    def preflight(self, request: HttpRequest, policy: Policy) -> HttpResponse | None:
        """The answer to a browser that asks what an allowed page may send; `None` for any other request."""
        fields, repeated = fields_of(request.headers)
        origin = fields.get(b"origin", b"")
        asks = request.method == "OPTIONS" and b"access-control-request-method" in fields and not repeated
        if not (asks and policy.hosts.allows(fields.get(b"host", b"")) and self.origins.allows(origin)):
            return None
        names = fields.get(b"access-control-request-headers", b"").lower().split(b",", MAX_REQUESTED)[:MAX_REQUESTED]
        allowed = sorted({name for part in names if _is_allowed(name := part.strip(b" \t"))})
        headers = [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-methods", ", ".join(policy.methods).encode()),
            (b"access-control-max-age", self._max_age),
            (b"vary", b"Origin, Access-Control-Request-Headers"),
            (b"content-length", b"0"),
        ]
        if allowed:
            headers.insert(2, (b"access-control-allow-headers", b", ".join(allowed)))
        return HttpResponse(204, tuple(headers))

    def headers(self, fields: Fields) -> tuple[tuple[bytes, bytes], ...]:
        """What to add to an answer, whatever it is: that the page may read it, or that another one's may differ.

        The origin that goes out is one of the list, to the letter, with digits for its port at most.
        """
        origin = fields.get(b"origin")
        if origin is None or not self.origins.allows(origin):
            return (_VARY,)
        return ((b"access-control-allow-origin", origin), _EXPOSED, _VARY)


def _is_allowed(name: bytes) -> bool:
    return name in _HEADERS or _PARAMETER.fullmatch(name) is not None
