"""The server's side of one connection: messages in, actions out, both eras, no I/O.

    for message in frames.feed(chunk):
        action = connection.receive(message)        # bytes, a request, None, or a value of `actions`
        ...
    out = connection.respond(request, outcome)

What it does: reads each message, answers by itself what needs no handler (handshake, discovery, ping, log level,
subscriptions, every protocol error), and hands the rest up as request Structs. What it does not: run handlers, keep
time, mint ids, frame messages, or know how many of it there are. `Server` is built on it; so is anything driven by
hand. Requests of both eras may come on one connection: a modern request carries all it needs, a legacy one relies on
the handshake (2026-07-28 basic/versioning, "Backward Compatibility").
"""

import re
from collections.abc import Callable
from typing import Any, Final, cast
from weakref import ref

from msgspec import Struct

from tybalt.errors import (
    InternalError,
    InvalidParams,
    InvalidRequest,
    McpError,
    MethodNotFound,
    MisuseError,
    Overloaded,
    TimedOut,
    UnsupportedRevision,
    cut,
    row_of,
    visible_text,
)
from tybalt.outcomes import Cancelled, Err, Ok, Panicked
from tybalt.protocol.actions import Batch, CancelRequest, Ignored, Reply
from tybalt.protocol.answers import Answers, RequestId, encode
from tybalt.protocol.codec import (
    LEGACY_BY_METHOD,
    LEGACY_REQUESTS,
    MODERN_BY_METHOD,
    MODERN_REQUESTS,
    UNREADABLE,
    Envelope,
    EnvelopeMeta,
    LegacyCall,
    ModernCall,
    Unanswerable,
    check_json,
    decode_legacy,
    decode_modern,
    glimpse,
    glimpse_of,
    is_batch,
    method_of,
    read_batch,
    read_envelope,
    read_envelope_meta,
    read_request,
    read_response,
    without_envelope_meta,
)
from tybalt.protocol.frames import Oversized
from tybalt.protocol.handshake import Phase, next_phase
from tybalt.protocol.prescan import vet
from tybalt.protocol.profile import Profile
from tybalt.protocol.responder import Responder
from tybalt.protocol.subscriptions import MAX_URIS, ListName, Subscriptions, offers
from tybalt.reasons import CancelReason
from tybalt.types import legacy
from tybalt.types.adaptation import adapt
from tybalt.types.cancellation import CancelledNotification
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.content import TextContent
from tybalt.types.discover import DiscoverRequest
from tybalt.types.implementation import Implementation
from tybalt.types.initialize import InitializedNotification, InitializeRequest, PingRequest
from tybalt.types.logging import LOGGING_LEVELS, LoggingLevel, SetLevelRequest
from tybalt.types.meta import CLIENT_CAPABILITIES, PROTOCOL_VERSION
from tybalt.types.progress import ProgressNotification
from tybalt.types.resources import SubscribeRequest, UnsubscribeRequest
from tybalt.types.revisions import LATEST_MODERN, allows_batches, exists
from tybalt.types.roots import RootsListChangedNotification
from tybalt.types.subscriptions import SubscriptionsListenRequest
from tybalt.types.tools import CallToolRequest, CallToolResult

Action = Any
"""`bytes`, a request Struct, `None`, `CancelRequest`, `Reply`, `Batch` or `Ignored`. Test `type(action) is bytes`."""

_HEEDED: Final = ("notifications/initialized", "notifications/cancelled")
_LARGE: Final = 64 * 1024
"""Bytes up to which a legacy request is read once more without the modern members it has in `_meta`."""

SAYS_WHO: Final = (
    f"every request of {LATEST_MODERN} says in `params._meta` what its client speaks and can do, as in "
    f'{{"{PROTOCOL_VERSION}":"{LATEST_MODERN}","{CLIENT_CAPABILITIES}":{{}}}}'
)
"""What whoever leaves out what a modern request must have is told beside the name of it."""
_LACKS_META: Final = re.compile(r"missing required field `(?:params|_meta|io\.modelcontextprotocol/\w+)`")

_FEATURES: Final = {
    "tools/list": "tools",
    "tools/call": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resources",
    "resources/read": "resources",
    "resources/subscribe": "resources",
    "resources/unsubscribe": "resources",
    "prompts/list": "prompts",
    "prompts/get": "prompts",
    "completion/complete": "completions",
    "logging/setLevel": "logging",
}
"""The server capability each method belongs to: without it the method does not exist (-32601)."""


Own = Callable[["ServerConnection", Any], Action]
"""What a connection does about a message by itself."""


class Client(Struct, frozen=True):
    """Who a legacy client said it is, in `initialize`: self-reported, for display and logs only."""

    info: Implementation
    capabilities: ClientCapabilities


class Memory(Struct, frozen=True):
    """What a legacy client has set beside the handshake."""

    log_level: LoggingLevel
    watched: frozenset[str]


class ServerConnection:
    """The protocol state of one connection to a server: phase, revision, log level, subscriptions, who is in flight.

    `receive` never raises for anything a peer can send. Not thread-safe: one thread drives a connection. Where its
    requests come from several clients, an id is nobody's, and `heeds_cancels` must be False.
    """

    def __init__(self, profile: Profile, *, heeds_cancels: bool = True) -> None:
        self._heeds_cancels = heeds_cancels
        self.phase: Phase = "new"
        self.revision: str | None = None
        """The negotiated legacy revision, or `None` before a handshake."""
        self.client: Client | None = None
        """The legacy client, or `None` before a handshake; modern requests name theirs in `params.meta`."""
        self.log_level: LoggingLevel = "info"
        """The least severe level a legacy client gets; it sets it with `logging/setLevel`."""
        self._in_flight: dict[RequestId, dict[int, ref[Responder]]] = {}
        self._subscriptions = Subscriptions()
        self._watched: set[str] = set()
        self._questions = 0
        self._asked: set[int] = set()
        self.profile = profile

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def profile(self) -> Profile:
        """What the server says of itself; assign another when what it offers has changed."""
        return self._profile

    @profile.setter
    def profile(self, profile: Profile) -> None:
        self._profile = profile
        self._modern = profile.answers(LATEST_MODERN)
        legacy_first = self.revision is not None or not profile.modern
        self.decode = decode_legacy if legacy_first else decode_modern
        self._own = self._own_requests()

    @property
    def is_ready(self) -> bool:
        """Whether the legacy handshake is complete. Modern requests need none."""
        return self.phase == "ready"

    @property
    def in_flight(self) -> int:
        """How many accepted requests are unanswered."""
        return sum(map(len, self._in_flight.values()))

    def revision_of(self, request: Any) -> str:
        """The protocol revision a received request is served in."""
        return self.answers_for(request).revision

    def answers_for(self, request: Any) -> Answers:
        """The answer pieces of the revision a received request is served in."""
        return self._legacy if request.era == "legacy" else self._modern

    def client_of(self, request: Any) -> tuple[Implementation | None, ClientCapabilities]:
        """Who sent a request and what that client can do: from its `_meta` in modern, from the handshake in legacy."""
        if request.era == "legacy":
            return (self.client.info, self.client.capabilities) if self.client else (None, ClientCapabilities())
        meta = request.params.meta
        return meta.client_info, meta.client_capabilities

    @property
    def memory(self) -> Memory | None:
        """What a legacy client has set beside the handshake, for `resume`; `None` where that is nothing."""
        if self.log_level == "info" and not self._watched:
            return None
        return Memory(self.log_level, frozenset(self._watched))

    def resume(self, revision: str, client: Client, memory: Memory | None = None) -> None:
        """Be ready in a legacy `revision`: the handshake was made before, and somebody else has kept what it settled.

        Raises `MisuseError` after a handshake, and for a revision that the profile does not serve.
        """
        if self.phase != "new" or revision not in self._profile.legacy:
            raise MisuseError(
                f"cannot resume {revision!r} in a connection that is {self.phase} and serves {self._profile.legacy}"
            )
        self.phase, self.revision, self.client = "ready", revision, client
        if memory is not None:
            self.log_level, self._watched = memory.log_level, set(memory.watched)
        self.profile = self._profile

    # -- messages in ------------------------------------------------------------------------------------------------

    def receive(self, message: bytes | Oversized) -> Action:
        """What to do about one message, or what the framing left of one: see `Action`.

        A request that comes back must be answered with `respond` at once, or handed to `accept` first. Bytes are a
        whole message to send. Any bytes are accepted, of any length the framing let through.
        """
        if isinstance(message, Oversized):
            return self._refuse_unread(glimpse_of(message), InvalidRequest(str(message)))
        if (refusal := vet(message)) is not None:
            return self.refuse(message, refusal)
        try:
            request = self.decode(message)
        except UNREADABLE:
            pass
        else:
            return self.judge(request)
        return self._receive_slowly(message)

    def judge(self, request: Any) -> Action:
        """The second half of `receive`, for a message that `decode` could read: what to do about it.

        `decode` is the first half: the fast decoder of the era this connection is in. It raises one of `UNREADABLE` for
        anything but a well-formed message of that era, which `receive` then explains. The two halves are for drivers
        that look at the request in between; they must `vet` every message first, and `refuse` what it refuses.
        """
        own = self._own.get(request.__class__)
        return request if own is None else own(self, request)

    def refuse(self, message: bytes, refusal: McpError) -> Action:
        """What to do about a message that `vet` refuses with `refusal`: it is answered where it is a request."""
        return self._refuse_unread(glimpse(message), refusal)

    def accept(self, request: Any) -> Responder:
        """Keep a request that cannot be answered at once, so that a cancel can find it.

        After calling this, you must keep the responder, and answer through it or cancel it. The same id may be in
        flight more than once: each is answered (security: a reused id must not silence an earlier request).
        """
        responder = Responder(self, request)
        self._in_flight.setdefault(request.id, {})[id(responder)] = ref(responder)
        return responder

    def forget(self, responder: Responder) -> None:
        """Drop a responder from the requests in flight; responders call it themselves."""
        waiting = self._in_flight.get(responder.request.id)
        if waiting is not None:
            waiting.pop(id(responder), None)
            if not waiting:
                del self._in_flight[responder.request.id]

    def _refuse_unread(self, seen: Envelope, refusal: McpError) -> Action:
        if seen.kind == "request":
            return self._error(seen.id, refusal)
        return Ignored(f"a {seen.kind} that was not read: {refusal}")

    def _receive_slowly(self, message: bytes) -> Action:
        try:
            if is_batch(message):
                return self._receive_batch(message)
            envelope = read_envelope(message)
            if envelope.kind == "request":
                return self._receive_request(envelope, message)
            if envelope.kind == "notification":
                return self._receive_notification(envelope, message)
            return self._receive_response(envelope, message)
        except Unanswerable as refusal:
            return self._error(refusal.id, refusal.error)

    def _receive_request(self, envelope: Envelope, message: bytes) -> Action:
        """A request the fast path could not read: find its era, then the one thing wrong with it."""
        assert envelope.id is not None
        modern = False
        try:
            if envelope.method.startswith("notifications/"):
                text = f"Method not found: {cut(envelope.method)} is a notification, so it must have no id"
                raise MethodNotFound(text)
            meta = read_envelope_meta(envelope.params)
            modern = self._looks_modern(envelope.method, meta)
            if modern:
                request = self._read_modern(envelope.method, meta, message)
            else:
                request = self._read_legacy(envelope.method, meta, message)
        except Unanswerable:
            raise
        except McpError as error:
            return self._error(envelope.id, error, modern=modern)
        return self.judge(request)

    def _looks_modern(self, method: str, meta: EnvelopeMeta) -> bool:
        """Whether a request means to be modern: it has a modern member in `_meta`, or a method of modern only.

        A server that serves one era only takes every request as of that era, and `initialize` "selects legacy
        semantics" whatever it carries (2026-07-28 basic/versioning).
        """
        if not (self._profile.modern and self._profile.legacy):
            return bool(self._profile.modern)
        if meta:
            return method != "initialize"
        return method in MODERN_BY_METHOD and method not in LEGACY_BY_METHOD and self.phase == "new"

    def _read_modern(self, method: str, meta: EnvelopeMeta, message: bytes) -> Any:
        requested = meta.revision
        if requested is not None and requested not in self._profile.modern:
            raise UnsupportedRevision(requested, list(self._profile.modern))
        kind = MODERN_BY_METHOD.get(method)
        if kind is None or not self._offers(method, LATEST_MODERN):
            raise self._no_such_method(method)
        try:
            return read_request(message, kind)
        except InvalidParams as error:
            if _LACKS_META.search(error.message) is None:
                raise
            raise InvalidParams(f"{error.message}; {SAYS_WHO}") from None

    def _read_legacy(self, method: str, meta: EnvelopeMeta, message: bytes) -> Any:
        kind = LEGACY_BY_METHOD.get(method)
        if self.phase == "new" and method not in ("initialize", "ping"):
            raise InvalidRequest(self._before_initialize(method))
        if kind is None or not self._offers(method, self._legacy.revision):
            raise self._no_such_method(method)
        if kind is InitializeRequest and self.phase != "new":
            raise self._initialized_before()
        if meta and len(message) <= _LARGE:
            message = without_envelope_meta(message)
        return read_request(message, kind)

    def _before_initialize(self, method: str) -> str:
        text = f"`{cut(method)}` before `initialize`: send `initialize` first"
        if self._profile.modern:
            text += (
                f', or name the revision in `params._meta["{PROTOCOL_VERSION}"]` ({", ".join(self._profile.modern)})'
            )
        return text

    def _no_such_method(self, method: str) -> McpError:
        if method == "initialize" and self._profile.modern:
            supported = list(self._profile.modern)
            text = f"Method not found: initialize. This server speaks {', '.join(supported)}, which has no handshake"
            return MethodNotFound(text, data={"supported": supported})
        return MethodNotFound(f"Method not found: {cut(method)}")

    def _receive_notification(self, envelope: Envelope, message: bytes) -> Action:
        """Unknown, malformed and foreign notifications are ignored."""
        if envelope.method not in _HEEDED:
            return None
        try:
            decode = decode_legacy if self.decode is decode_modern else decode_modern
            notification = decode(message)
        except UNREADABLE:
            return None
        return self._own[type(notification)](self, notification)

    def _receive_response(self, envelope: Envelope, message: bytes) -> Action:
        """An answer to a question of ours; any other, one that was answered or withdrawn too, is ignored."""
        identifier = envelope.id
        if not isinstance(identifier, int) or identifier not in self._asked:
            return Ignored(f"a response, with the id {identifier!r}, to a server that has not asked that")
        self._asked.discard(identifier)
        return Reply(identifier, read_response(message))

    def _receive_batch(self, message: bytes) -> Action:
        if self.revision is None or not allows_batches(self.revision):
            check_json(message)
            raise Unanswerable(InvalidRequest("a JSON array: only 2025-03-26 has batches; send one message each"))
        actions = ((item, self._receive_item(item)) for item in read_batch(message))
        return Batch(pair for pair in actions if pair[1] is not None)

    def _receive_item(self, item: bytes) -> Action:
        """An element of a batch; what is modern has no place in one, a subscription's acknowledgment least of all."""
        if is_batch(item):
            return self._error(None, InvalidRequest("a batch inside a batch"))
        try:
            envelope = read_envelope(item)
            if envelope.kind == "request" and read_envelope_meta(envelope.params):
                text = "a request of 2026-07-28 inside a batch: only 2025-03-26 has batches; send it alone"
                raise Unanswerable(InvalidRequest(text), envelope.id)
        except Unanswerable as refusal:
            return self._error(refusal.id, refusal.error)
        except McpError:
            pass  # It will be told what is wrong with its params.
        return self.receive(item)

    # -- what the core answers by itself ----------------------------------------------------------------------------

    def _own_requests(self) -> "dict[type[Struct], Own]":
        """What is answered here, made once for all connections of a profile that are in the same state.

        Functions of the class: a table of bound methods would be a connection that holds itself.
        """
        spoken = self._profile.legacy[-1] if self._profile.legacy else LATEST_MODERN
        self._legacy = self._profile.answers(self.revision or spoken)
        state = (self.phase == "new", self._legacy.revision, self._heeds_cancels)
        own = self._profile.tables.get(state)
        if own is None:
            own = self._profile.tables[state] = self._made_table()
        return own

    def _made_table(self) -> "dict[type[Struct], Own]":
        this = ServerConnection
        own: dict[type[Struct], Own] = {
            DiscoverRequest: this._discover,
            SubscriptionsListenRequest: this._listen,
            CancelledNotification: this._cancelled if self._heeds_cancels else _ignore,
            InitializeRequest: this._initialize,
            PingRequest: this._pong,
            SetLevelRequest: this._set_level,
            SubscribeRequest: this._subscribe,
            UnsubscribeRequest: this._unsubscribe,
            InitializedNotification: this._initialized,
            ProgressNotification: _ignore,
            RootsListChangedNotification: _ignore,
        }
        for kind in MODERN_REQUESTS:
            if not self._offers(method_of(kind), LATEST_MODERN):
                own[kind] = this._absent
        for kind in LEGACY_REQUESTS:
            if not self._offers(method_of(kind), self._legacy.revision):
                own[kind] = this._absent
            elif self.phase == "new" and kind not in (InitializeRequest, PingRequest):
                own[kind] = this._too_early
        for alone, kind in ((ModernCall, CallToolRequest), (LegacyCall, legacy.CallToolRequest)):
            if kind in own:
                own[alone] = own[kind]
        return own

    def _offers(self, method: str, revision: str) -> bool:
        if revision not in self._profile.revisions or not exists(method, revision):
            return False
        feature = _FEATURES.get(method)
        return feature is None or getattr(self._profile.capabilities, feature) is not None

    def _absent(self, request: Any) -> bytes:
        return self.respond(request, self._no_such_method(method_of(request.__class__)))

    def _too_early(self, request: Any) -> bytes:
        return self.respond(request, InvalidRequest(self._before_initialize(method_of(request.__class__))))

    def _discover(self, request: DiscoverRequest) -> bytes:
        return self._modern.encoded(request.id, self._profile.discover_result())

    def _listen(self, request: SubscriptionsListenRequest) -> bytes:
        try:
            wanted = request.params.notifications
            return self._subscriptions.open(request.id, wanted, self._profile.capabilities, self._modern)
        except McpError as error:
            return self._modern.error(request.id, error)

    def _initialize(self, request: Any) -> bytes:
        phase = next_phase(self.phase, "initialize")
        if phase is None:
            return self.respond(request, self._initialized_before())
        self.phase = phase
        self.revision = self._profile.negotiate(request.params.protocol_version)
        self.client = Client(request.params.client_info, request.params.capabilities)
        self.profile = self._profile
        return self._legacy.encoded(request.id, self._profile.initialize_result(self.revision))

    def _initialized_before(self) -> McpError:
        return InvalidRequest(f"already initialized with {self.revision}; a connection is initialized once")

    def _initialized(self, notification: Any) -> None:
        self.phase = next_phase(self.phase, "initialized") or self.phase

    def _pong(self, request: Any) -> bytes:
        return self._legacy.result(request.id, None)

    def _set_level(self, request: Any) -> bytes:
        self.log_level = request.params.level
        return self._legacy.result(request.id, None)

    def _subscribe(self, request: Any) -> bytes:
        if not offers(self._profile.capabilities, "resources", "subscribe"):
            return self._absent(request)
        if len(self._watched) >= MAX_URIS and request.params.uri not in self._watched:
            text = f"a connection may watch {MAX_URIS} resources; unsubscribe from one first"
            return self.respond(request, InvalidParams(text))
        self._watched.add(request.params.uri)
        return self._legacy.result(request.id, None)

    def _unsubscribe(self, request: Any) -> bytes:
        if not offers(self._profile.capabilities, "resources", "subscribe"):
            return self._absent(request)
        self._watched.discard(request.params.uri)
        return self._legacy.result(request.id, None)

    def _cancelled(self, notification: CancelledNotification) -> Action:
        """Requests stop and stay silent, subscriptions end silently, an unknown id is ignored."""
        request_id = notification.params.request_id
        self._subscriptions.cancel(request_id)
        waiting = self._in_flight.get(request_id)
        if not waiting:
            return None
        responders = tuple(responder for known in waiting.values() if (responder := known()) is not None)
        for responder in responders:
            responder.cancel()
        return CancelRequest(responders, notification.params.reason)

    # -- messages out -----------------------------------------------------------------------------------------------

    def ask(self, question: Any) -> tuple[int, bytes]:
        """A question to the legacy client, as a request of the server's own: its id, and the bytes to send.

        `question` is one of those that an `InputRequiredResult` holds. After calling this, the answer comes as a
        `Reply`, unless `stop_asking` is called first. Whether the client can be asked is for the caller to know. Raises
        `ValueError` for what the negotiated revision has no words for.
        """
        self._questions += 1
        identifier = self._questions
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": identifier, **adapt(question, self._legacy.revision)}
        self._asked.add(identifier)
        return identifier, encode(message)

    def stop_asking(self, identifier: int, reason: str) -> bytes | None:
        """Withdraw a question; the bytes tell the client. `None` where it is answered already."""
        if identifier not in self._asked:
            return None
        self._asked.discard(identifier)
        return self._legacy.notification("notifications/cancelled", {"requestId": identifier, "reason": reason})

    def respond(self, request: Any, outcome: Any, *, masked: str | None = None) -> bytes:
        """The answer to a request as bytes to send, once per request: for a value, an `Outcome` or an exception.

        A value is a result Struct in the newest shape, a dict, an encoded JSON object, or `None` for an empty result; a
        `str` answers `tools/call` with that text. An exception is answered as the row of `tybalt.errors.row_of` says: a
        result with `isError`, for `tools/call` alone, or an error with its code. Where that row is masked, `masked` is
        the text that goes out, which may name the place where you logged it; else `visible_text`. A result that asks
        the client for what it did not declare becomes -32021. What a limit has `Cancelled` is `TimedOut`, any other
        cancel `Overloaded`. Use `accept` where the single use must be checked.

        Raises `MisuseError` for a value that is none of these, and what msgspec raises for one that has no JSON.
        """
        answers = self.answers_for(request)
        if isinstance(outcome, Ok):
            outcome = cast("Ok[Any]", outcome).value
        elif isinstance(outcome, Err | Panicked):
            outcome = outcome.error
        elif isinstance(outcome, Cancelled):
            outcome = _stopped(outcome.reason)
        if isinstance(outcome, BaseException):
            return self._respond_failure(request, outcome, answers, masked)
        if isinstance(request, CallToolRequest) and (outcome is None or isinstance(outcome, str)):
            outcome = CallToolResult(content=[] if outcome is None else [TextContent(text=outcome)])
        if getattr(outcome, "result_type", None) == "input_required":
            return self._ask(request, outcome, answers)
        return answers.result(request.id, outcome)

    def _ask(self, request: Any, result: Any, answers: Answers) -> bytes:
        # Only here, because it loads sampling, elicitation and roots.
        from tybalt.protocol.input_required import refusal

        if answers.era == "legacy":
            raise MisuseError(f"{answers.revision} has no result that asks; send its client a request instead")
        refused = refusal(result, request.method, self.client_of(request)[1])
        return answers.result(request.id, result) if refused is None else answers.error(request.id, refused)

    def progress(
        self, request: Any, progress: float, total: float | None = None, message: str | None = None
    ) -> bytes | None:
        """A progress notification for a request in flight, or `None` where its client gave no token.

        The caller sees to it that `progress` increases and that nothing is sent after the answer; a `Responder` does.
        """
        meta = request.params.meta if request.params is not None else None
        if meta is None or meta.progress_token is None:
            return None
        answers = self.answers_for(request)
        params: dict[str, Any] = {"progressToken": meta.progress_token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None and answers.revision > "2024-11-05":
            params["message"] = message
        return answers.notification("notifications/progress", params)

    def log(self, request: Any, level: LoggingLevel, data: Any, logger: str | None = None) -> bytes | None:
        """A log message that belongs to a request, or `None` where the client does not want this level.

        Modern: only if the request itself asks with `logLevel` (2026-07-28 server/utilities/logging). Legacy: from
        `logging/setLevel`, `info` until it is set. `None` too when the server does not declare `logging`. Raises
        `MisuseError` for a level that does not exist.
        """
        if level not in LOGGING_LEVELS:
            raise MisuseError(f"there is no log level {level!r}; there are {', '.join(LOGGING_LEVELS)}")
        wanted = self.log_level if request.era == "legacy" else request.params.meta.log_level
        if wanted is None or self._profile.capabilities.logging is None:
            return None
        if LOGGING_LEVELS.index(level) < LOGGING_LEVELS.index(wanted):
            return None
        params = {"level": level, "data": data} | ({"logger": logger} if logger else {})
        return self.answers_for(request).notification("notifications/message", params)

    def list_changed(self, name: ListName) -> list[bytes]:
        """The notifications that tell this connection that a list has changed: all that want it, in both eras."""
        messages = self._subscriptions.list_changed(name, self._modern)
        if self.is_ready and offers(self._profile.capabilities, name, "listChanged"):
            messages.append(self._legacy.notification(f"notifications/{name}/list_changed"))
        return messages

    def resource_updated(self, uri: str) -> list[bytes]:
        """The notifications that tell this connection that a resource has changed: to whoever watches it."""
        messages = self._subscriptions.resource_updated(uri, self._modern)
        if self.is_ready and uri in self._watched:
            messages.append(self._legacy.notification("notifications/resources/updated", {"uri": uri}))
        return messages

    def end_subscriptions(self, *, is_shared: bool = True) -> list[bytes]:
        """End every modern subscription gracefully; send these before closing.

        `is_shared` says that other requests travel on the same channel; each has a stream of its own on HTTP.
        """
        return self._subscriptions.end(self._modern, is_shared=is_shared)

    def _respond_failure(self, request: Any, error: BaseException, answers: Answers, masked: str | None) -> bytes:
        row = row_of(error)
        text = masked if row.masked and masked is not None else visible_text(error)
        if isinstance(request, CallToolRequest) and row.is_result(answers.revision):
            return answers.result(request.id, CallToolResult(content=[TextContent(text=text)], is_error=True))
        answered = error if isinstance(error, McpError) and not row.masked else InternalError(text)
        return answers.error(request.id, answered)

    def _error(self, request_id: RequestId | None, error: McpError, *, modern: bool | None = None) -> bytes:
        if modern is None:
            modern = self.revision is None and bool(self._profile.modern)
        return (self._modern if modern else self._legacy).error(request_id, error)


def _stopped(reason: CancelReason) -> McpError:
    """What a request is answered with that the server stopped by itself: by a limit, or because it has to."""
    if reason.kind.is_limit:
        return TimedOut(reason.message or f"the server stopped this request: {reason}")
    return Overloaded(f"the server stopped this request: {reason}")


def _ignore(connection: ServerConnection, notification: Any) -> None:  # noqa: ARG001 (as the others are called)
    return None
