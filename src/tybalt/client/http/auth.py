"""`Auth`: what a request needs to be let in, where that takes more than a fixed header.

    class Signed:
        def flow(self, request):
            answer = yield request.with_headers({"Authorization": f"Bearer {self.token}"})
            if answer.status == 401:
                self.token = (yield Outgoing("POST", TOKEN_URL, {}, b"grant_type=…")).json()["access_token"]
                yield request.with_headers({"Authorization": f"Bearer {self.token}"})

A flow is a plain generator: it yields requests and is sent their answers, does no I/O of its own, and so works over any
transport and in any test. The answer to the last request it yields is the answer to the request; one that goes
elsewhere is `Unauthorized`.
"""

from collections.abc import Generator, Mapping
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace


class Outgoing(Struct, frozen=True):
    """A request as a flow sees it: it may send a changed copy, or another one first, to another URL.

    `headers` are what is sent besides what the connection itself needs. Its `repr` shows no values.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    def with_headers(self, headers: Mapping[str, str]) -> "Outgoing":
        """The same with these fields over its own; names are compared whatever their case."""
        given = {name.lower() for name in headers}
        kept = {name: value for name, value in self.headers.items() if name.lower() not in given}
        return replace(self, headers={**kept, **headers})

    def __repr__(self) -> str:
        return f"Outgoing({self.method!r}, headers={list(self.headers)!r}, {len(self.body)} bytes)"


class Incoming(Struct, frozen=True):
    """An answer as a flow sees it. `headers` have their names in lower case.

    `body` is that of an answer that is not the request's own, and of a refusal; of one that is longer than 64 KiB, only
    its beginning. A success is empty: it may be a stream, which is for the client to read. A repeated field is joined
    by commas. Its `repr` shows no values.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON. Raises `msgspec.DecodeError` for what is none."""
        return msgspec.json.decode(self.body)

    def __repr__(self) -> str:
        return f"Incoming({self.status}, headers={list(self.headers)!r}, {len(self.body)} bytes)"


Flow = Generator[Outgoing, Incoming, None]


class Auth(Protocol):
    """Authorizes requests. One object serves all requests of a client, several of them at once."""

    def flow(self, request: Outgoing) -> Flow:
        """Yield at least `request` or a copy of it; what is raised, whoever waits for the request gets as it is.

        To another origin go only header fields that the flow has made itself: `MisuseError` else. At most ten requests.
        """
        ...
