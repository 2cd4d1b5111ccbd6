"""`Pair`: the client's core and the server's core with a link between that a test controls, on virtual time.

Nothing here awaits and no clock is read: time passes when the test says so. What the server's core hands up as a
request waits in `requests` for the test to answer, whenever and in whatever order it likes; so every race of a real
connection can be written down as a list of steps.
"""

from collections import deque
from typing import Any, Literal

from msgspec import Struct

from tybalt.errors import MisuseError
from tybalt.protocol.actions import Batch, CancelRequest, Ignored
from tybalt.protocol.client import ClientConnection, Event
from tybalt.protocol.connection import ServerConnection
from tybalt.protocol.profile import Profile
from tybalt.protocol.responder import Responder
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation

Direction = Literal[">", "<"]


class Sent(Struct, frozen=True):
    """A message on the link: when it was sent, when it arrives, which way (`>` is to the server)."""

    sent_at: float
    due_at: float
    direction: Direction
    message: bytes


class Pair:
    """A client core and a server core, connected.

    `latency` is how many virtual seconds a message takes, each way; messages of one direction never overtake each
    other. `events` collects what the client's core made of what came, `requests` what the server has yet to answer,
    `cancels` the cancels it was told of, `transcript` everything that was ever sent.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        latency: float = 0.0,
        info: Implementation | None = None,
        capabilities: ClientCapabilities | None = None,
    ) -> None:
        self.server = ServerConnection(profile)
        self.client = ClientConnection(info or Implementation(name="pair", version="0"), capabilities)
        self.latency = latency
        self.now = 0.0
        self.events: list[Event] = []
        self.requests: deque[Responder] = deque()
        self.cancels: list[CancelRequest] = []
        self.transcript: list[Sent] = []
        self._link: deque[Sent] = deque()

    def request(self, method: str, params: dict[str, Any] | None = None) -> int:
        """Send a request from the client; returns its id."""
        identifier, message = self.client.request(method, params)
        self.to_server(message)
        return identifier

    def to_server(self, message: bytes) -> None:
        """Put bytes on the link towards the server, whatever they are."""
        self._send(">", message)

    def to_client(self, message: bytes | None) -> None:
        """Put bytes on the link towards the client; `None`, which a responder returns after a cancel, is nothing."""
        if message is not None:
            self._send("<", message)

    def answer(self, outcome: Any, responder: Responder | None = None) -> None:
        """Answer the oldest open request, or the one given."""
        if responder is None:
            if not self.requests:
                raise MisuseError("no request is waiting for an answer; advance() delivers what is on the link")
            responder = self.requests.popleft()
        elif responder in self.requests:
            self.requests.remove(responder)
        self.to_client(responder.respond(outcome))

    def advance(self, seconds: float = 0.0) -> None:
        """Let virtual time pass, delivering everything that falls due, in order."""
        until = self.now + seconds
        while self._link and self._link[0].due_at <= until:
            sent = self._link.popleft()
            self.now = max(self.now, sent.due_at)
            if sent.direction == ">":
                self._act(self.server.receive(sent.message))
            else:
                self._receive(sent.message)
        self.now = until

    def run(self) -> None:
        """Let time pass until nothing is on the link."""
        while self._link:
            self.advance(max(0.0, self._link[0].due_at - self.now))

    def close(self) -> None:
        """Drop what is open, so that no responder is left unanswered."""
        for responder in self.requests:
            responder.cancel()
        self.requests.clear()

    def _act(self, action: Any) -> None:
        if type(action) is bytes:
            self.to_client(action)
        elif isinstance(action, CancelRequest):
            self.cancels.append(action)
            for responder in action.responders:
                if responder in self.requests:  # The test may have taken it out, to answer it later.
                    self.requests.remove(responder)
        elif isinstance(action, Batch):
            for _, inner in action.items:
                self._act(inner)
        elif action is not None and not isinstance(action, Ignored):
            self.requests.append(self.server.accept(action))

    def _receive(self, message: bytes) -> None:
        self.events.append(self.client.receive(message))

    def _send(self, direction: Direction, message: bytes) -> None:
        due = self.now + self.latency
        sent = Sent(self.now, due, direction, message)
        self.transcript.append(sent)
        self._link.append(sent)
