"""One connection to a server, driven by hand in any revision: no transport, no task beside the handlers' own.

`Driver` asks and looks at the answer; what the server says by itself, or later, is in `said`.
"""

import asyncio
from typing import Any

import msgspec

from tests.protocol.conversations import initialize, legacy, message, modern
from tybalt.server.server import Server
from tybalt.server.session import Session
from tybalt.types.revisions import LEGACY, MODERN, REVISIONS

__all__ = ["LEGACY", "MODERN", "NEWEST", "REVISIONS", "Driver", "Output"]

NEWEST = MODERN[-1]
QUIET = 8
"""Turns of the loop without a word after which nothing more is expected; no handler under test needs more in a row."""


class Output:
    """Where a session's own messages go: a list, and a switch for a peer that does not read."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.blocked = False
        self.unblocked = asyncio.Event()

    def write(self, *messages: bytes) -> None:
        self.messages += [msgspec.json.decode(each) for each in messages]

    announce = write

    async def drained(self) -> None:
        if self.blocked:
            await self.unblocked.wait()


class Driver:
    """A session of `server` in `revision`; a legacy one has shaken hands."""

    def __init__(self, server: Server, revision: str = NEWEST, *, meta: dict[str, Any] | None = None) -> None:
        self.output = Output()
        self.revision = revision
        self.session: Session = server.session(self.output)
        self._meta = meta or {}
        self._id = 0
        if revision in LEGACY:
            self.receive(initialize(revision))
            self.receive(message(method="notifications/initialized"))

    # -- asking -----------------------------------------------------------------------------------------------------

    def receive(self, text: bytes) -> Any:
        """Feed bytes; the answer there is at once, decoded, or None."""
        answer = self.session.receive(text)
        return None if answer is None else msgspec.json.decode(answer)

    def encoded(
        self, method: str, params: dict[str, Any] | None = None, *, id: Any = None, meta: dict[str, Any] | None = None
    ) -> bytes:
        """A request of this revision."""
        self._id += id is None
        identifier = self._id if id is None else id
        meta = {**self._meta, **(meta or {})}
        if self.revision in MODERN:
            return modern(method, params, id=identifier, meta=meta)
        return legacy(method, {**(params or {}), "_meta": meta} if meta else params, id=identifier)

    def ask(
        self, method: str, params: dict[str, Any] | None = None, *, id: Any = None, meta: dict[str, Any] | None = None
    ) -> Any:
        """The whole answer to a request, or None where it comes later."""
        return self.receive(self.encoded(method, params, id=id, meta=meta))

    def result(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The result of a request."""
        answer = self.ask(method, params)
        assert "result" in answer, answer
        return answer["result"]

    def error(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The error a request is answered with."""
        answer = self.ask(method, params)
        assert "error" in answer, answer
        return answer["error"]

    def call(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """The result of `tools/call`."""
        return self.result("tools/call", {"name": name, "arguments": arguments})

    def start(self, name: str, /, *, id: Any = None, meta: dict[str, Any] | None = None, **arguments: Any) -> None:
        """Send a `tools/call` that is answered later; an answer at once is kept with what the server says by itself."""
        answer = self.session.receive(
            self.encoded("tools/call", {"name": name, "arguments": arguments}, id=id, meta=meta)
        )
        if answer is not None:
            self.output.write(answer)

    def cancel(self, id: Any) -> None:
        """Send `notifications/cancelled`, which is never answered."""
        assert self.receive(message(method="notifications/cancelled", params={"requestId": id})) is None

    # -- listening --------------------------------------------------------------------------------------------------

    def said(self) -> list[dict[str, Any]]:
        """What the server said by itself, or later, since the last look."""
        said, self.output.messages = self.output.messages, []
        return said

    async def later(self) -> list[dict[str, Any]]:
        """The same, after the loop has turned until the server is quiet."""
        quiet = heard = 0
        while quiet < QUIET:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self.output.messages) == heard else 0
            heard = len(self.output.messages)
        return self.said()

    def texts(self, result: dict[str, Any]) -> list[str]:
        """The text blocks of a result."""
        return [block["text"] for block in result["content"]]
