"""The client's side of one connection: requests out, answers and notifications in, both eras, no I/O.

    message = connection.request("tools/list", {})           # bytes to send; the id is chosen here, counting up
    event = connection.receive(line)                         # what came, as a fact

It builds what a revision wants around a request (the modern `_meta` envelope, or nothing), remembers which ids wait for
an answer, and sorts what comes in. It does not wait, time out, retry or decide the era: `tybalt.client` does. What a
legacy server asks is read and checked here, and answered or refused at once where no feature of the client is needed;
the rest is a `Questioned`, to be answered with `answer`.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tybalt.errors import InvalidRequest, McpError, Overloaded, cut
from tybalt.protocol.answers import encode
from tybalt.protocol.codec import UNREADABLE, Envelope, glimpse, glimpse_of, is_batch, read_batch
from tybalt.protocol.frames import Oversized
from tybalt.protocol.prescan import PRESCAN_FROM, vet
from tybalt.protocol.questions import Question, read_question
from tybalt.types.adaptation import adapt
from tybalt.types.base import Wire
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation
from tybalt.types.revisions import MODERN, allows_batches

RequestId = int | str


class Answered(Struct, frozen=True, gc=False):
    """The server answered `id` with `result`, an encoded JSON object, a slice of the message."""

    jsonrpc: Literal["2.0"]
    id: RequestId
    result: Raw


class Failed(Struct, frozen=True):
    """The server answered `id` with an error; `None` where it could not tell which request it refused."""

    id: RequestId | None
    error: McpError


class Notified(Struct, frozen=True):
    """The server sent a notification."""

    method: str
    params: Raw


class Asked(Struct, frozen=True):
    """A legacy server sent a request that needs nobody to answer it, or is refused; `reply` is the answer to send."""

    method: str
    reply: bytes


class Questioned(Struct, frozen=True):
    """A legacy server asks what only a handler can tell: `question`, to be answered with `answer(id, …)`."""

    id: RequestId
    question: Question


class Withdrawn(Struct, frozen=True):
    """The server does not want its question `id` answered any more."""

    id: RequestId
    reason: str | None


class Spoiled(Struct, frozen=True):
    """The server answered `id` with something that is no answer; `reason` says why."""

    id: RequestId
    reason: str


class Unreadable(Struct, frozen=True):
    """The server sent something that is no message, or not one for us; `reason` says why. It is to be ignored."""

    reason: str


class Several(Struct, frozen=True):
    """The server sent a batch, which only 2025-03-26 has: what each of its messages means, in order."""

    events: "tuple[Event, ...]"


Event = Answered | Failed | Spoiled | Notified | Asked | Questioned | Withdrawn | Unreadable | Several | None
"""What came; `None` for an answer nobody waits for, such as one that crossed a cancel."""


class _Error(Struct):
    code: int
    message: str = ""
    data: Any = None


class _Incoming(Struct):
    id: int | str | None = None
    method: str | None = None
    params: Raw = Raw(b"{}")
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Cancelled(Struct, rename="camel"):
    request_id: RequestId
    reason: str | None = None


_decode_answer = msgspec.json.Decoder(Answered).decode
_decode = msgspec.json.Decoder(_Incoming).decode
_decode_error = msgspec.json.Decoder(_Error).decode
_decode_cancelled = msgspec.json.Decoder(_Cancelled).decode
_PING: Final = "ping"
_OPENINGS: Final = ("server/discover", "initialize")
"""What no server ever asks: where it comes in, our own request came back."""
_PARAMS: Final = b',"params":{'
_join = b"".join

MAX_HEADS: Final = 64
"""Methods whose encoded beginning is kept."""
MAX_QUESTIONS: Final = 100
"""Questions of a legacy server that may wait for their answers at once; more are refused with code 503."""


class ClientConnection:
    """The protocol state of one connection from a client: revision, envelope, who waits.

    `revision` decides the shape of every request: a modern one carries `_meta` with revision, identity and
    capabilities, a legacy one does not. It starts modern; `adopt` changes it.
    """

    def __init__(self, info: Implementation, capabilities: ClientCapabilities | None = None) -> None:
        self.info = info
        self.capabilities = capabilities or ClientCapabilities()
        self.waiting: set[RequestId] = set()
        self.asked: set[RequestId] = set()
        """The ids of the server's questions that have no answer yet (legacy)."""
        self._next_id = 0
        self._heads: dict[str, bytes] = {}
        self.adopt(MODERN[-1])

    def adopt(self, revision: str) -> None:
        """Speak `revision` from now on."""
        self.revision = revision
        self.is_modern = revision in MODERN
        adapted = adapt(self.capabilities, revision)
        self.declared = msgspec.convert(adapted, ClientCapabilities)
        """What of the capabilities exists in the revision: what the server is told, and may use."""
        self._envelope: dict[str, Any] = {}
        self._tail = b""
        if self.is_modern:
            self._envelope = {
                "io.modelcontextprotocol/protocolVersion": revision,
                "io.modelcontextprotocol/clientInfo": adapt(self.info, revision),
                "io.modelcontextprotocol/clientCapabilities": adapted,
            }
            self._tail = b'"_meta":' + encode(self._envelope) + b"}}"

    def request(self, method: str, params: Mapping[str, Any] | None = None) -> tuple[int, bytes]:
        """A request in the current revision: its id and the bytes to send. The id waits for an answer from now on.

        `params` are JSON-able. A `_meta` in them is kept; the protocol's own keys win.
        """
        identifier = self._next_id + 1
        if params and "_meta" in params:
            params = {**params, "_meta": {**params["_meta"], **self._envelope}}
            message = encode({"jsonrpc": "2.0", "id": identifier, "method": method, "params": params})
            self._next_id = identifier
            self.waiting.add(identifier)
            return identifier, message
        fields = encode(params if type(params) is dict else dict(params))[1:-1] if params else b""
        head = self._heads.get(method) or self._head(method)
        self._next_id = identifier
        self.waiting.add(identifier)
        if not self._tail:
            return identifier, _join((head, encode(identifier), _PARAMS, fields, b"}}"))
        comma = b"," if fields else b""
        return identifier, _join((head, encode(identifier), _PARAMS, fields, comma, self._tail))

    def _head(self, method: str) -> bytes:
        """What stands before the id: the method comes first, so that it is encoded once."""
        head = b'{"jsonrpc":"2.0","method":' + encode(method) + b',"id":'
        if len(self._heads) < MAX_HEADS:
            self._heads[method] = head
        return head

    @property
    def next_id(self) -> int:
        """The id the next request will have."""
        return self._next_id + 1

    def initialize_params(self) -> dict[str, Any]:
        """The params of the request that opens a legacy conversation, asking for the revision spoken now."""
        return {
            "protocolVersion": self.revision,
            "capabilities": adapt(self.declared, self.revision),
            "clientInfo": adapt(self.info, self.revision),
        }

    def notification(self, method: str, params: Mapping[str, Any] | None = None) -> bytes:
        """A notification as bytes to send."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if params:
            message["params"] = dict(params)
        return encode(message)

    def cancel(self, request_id: RequestId, reason: str | None = None) -> bytes:
        """Stop waiting for an answer; the bytes tell the server. A late answer is ignored."""
        self.waiting.discard(request_id)
        params = {"requestId": request_id} | ({"reason": reason} if reason else {})
        return self.notification("notifications/cancelled", params)

    def answer(self, request_id: RequestId, result: Wire | McpError) -> bytes | None:
        """The answer to a `Questioned`, as bytes to send; `None` where the server does not want it any more.

        Raises `ValueError` for a result that the revision cannot say; the question then still waits for its answer.
        """
        if request_id not in self.asked:
            return None
        body = _error(result) if isinstance(result, McpError) else {"result": adapt(result, self.revision)}
        message = encode({"jsonrpc": "2.0", "id": request_id, **body})
        self.asked.discard(request_id)
        return message

    def receive(self, message: bytes | Oversized) -> Event:
        """What one message means, or what the framing left of one. Never raises for anything a server can send.

        What can be told to belong to a request that waits fails that request.
        """
        if isinstance(message, Oversized):
            return self._refuse(glimpse_of(message), f"the answer is too large: {message}")
        # What `vet` asks first, without the call: nearly every answer is short and ASCII.
        if not (message.isascii() and len(message) <= PRESCAN_FROM) and (refusal := vet(message)) is not None:
            return self._refuse(glimpse(message), f"the answer cannot be accepted: {refusal}")
        try:
            answer = _decode_answer(message)
        except UNREADABLE:
            return self._receive_slowly(message)
        if answer.id not in self.waiting:
            return None
        self.waiting.discard(answer.id)
        return answer

    def _receive_slowly(self, message: bytes) -> Event:
        """Anything but a successful answer."""
        if is_batch(message) and allows_batches(self.revision):
            return self._receive_batch(message)
        try:
            incoming = _decode(message)
        except UNREADABLE as error:
            return self._refuse(glimpse(message), f"the answer is no message: {type(error).__name__}: {error}")
        if incoming.method is not None:
            return self._receive_call(incoming)
        if incoming.error is UNSET:
            return self._refuse(
                Envelope("response", incoming.id), "the answer is no JSON-RPC 2.0 response with a result or an error"
            )
        try:
            error = _decode_error(incoming.error)
        except UNREADABLE as reason:
            return self._refuse(
                Envelope("response", incoming.id), f"the answer is an error that cannot be read: {reason}"
            )
        if incoming.id is not None and incoming.id not in self.waiting:
            return None
        self.waiting.discard(incoming.id or 0)
        return Failed(incoming.id, McpError.received(error.code, error.message, error.data))

    def _receive_batch(self, message: bytes) -> Event:
        try:
            return Several(tuple(self.receive(item) for item in read_batch(message)))
        except McpError as refusal:
            return Unreadable(str(refusal))

    def _refuse(self, seen: Envelope, reason: str) -> Event:
        """Fail the request that waits for what cannot be read; nobody else will ever answer it.

        A server numbers its own requests as it likes: what has a method is none of our answers, whatever its id.
        """
        if seen.id is None or seen.id not in self.waiting or seen.kind != "response":
            return Unreadable(reason)
        self.waiting.discard(seen.id)
        return Spoiled(seen.id, reason)

    def _receive_call(self, incoming: _Incoming) -> Event:
        assert incoming.method is not None
        if incoming.id is None:
            return self._withdrawn(incoming) or Notified(incoming.method, incoming.params)
        if incoming.id in self.waiting and incoming.method in _OPENINGS:
            self.waiting.discard(incoming.id)
            reason = f"the answer to {incoming.method} is that request itself: it is sent back as an echo"
            return Spoiled(incoming.id, reason)
        if self.is_modern:
            # "The client MUST NOT write JSON-RPC responses" (2026-07-28 basic/transports/stdio).
            return Unreadable(f"the server sent a request, {cut(incoming.method)}, which 2026-07-28 does not have")
        if incoming.method == _PING:
            return _asked(incoming.id, incoming.method, {"result": {}})
        try:
            question = read_question(incoming.method, incoming.params, self.declared)
            self._take(incoming.id)
        except McpError as refused:
            return _asked(incoming.id, incoming.method, _error(refused))
        return Questioned(incoming.id, question)

    def _take(self, request_id: RequestId) -> None:
        """Remember a question. Raises where it has the id of another one, or one too many waits."""
        if request_id in self.asked:
            raise InvalidRequest("another request with this id waits for its answer")
        if len(self.asked) >= MAX_QUESTIONS:
            text = f"{MAX_QUESTIONS} questions wait for their answers already"
            raise Overloaded(f"{text}. Ask again when some of them are answered")
        self.asked.add(request_id)

    def _withdrawn(self, incoming: _Incoming) -> Withdrawn | None:
        """What a cancel of the server means, if it cancels a question that waits."""
        if not self.asked or incoming.method != "notifications/cancelled":
            return None
        try:
            cancelled = _decode_cancelled(incoming.params)
        except UNREADABLE:
            return None
        if cancelled.request_id not in self.asked:
            return None
        self.asked.discard(cancelled.request_id)
        return Withdrawn(cancelled.request_id, cancelled.reason)


def _asked(request_id: RequestId, method: str, body: dict[str, Any]) -> Asked:
    return Asked(method, encode({"jsonrpc": "2.0", "id": request_id, **body}))


def _error(error: McpError) -> dict[str, Any]:
    """The member of an answer that says no. Only legacy is answered."""
    body: dict[str, Any] = {"code": error.code_in("legacy"), "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return {"error": body}
