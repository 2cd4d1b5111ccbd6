"""Whether what went over the wire is what the revision in use allows: every message against its published schema.

`complaints_about_server` judges a recording of our server, `complaints_about_client` one of our client. Both are
strict: a member that the revision does not list is a complaint. Beyond the schemas they look at what only a
conversation shows: that each request is answered once, that progress increases and ends with the answer, that log
messages and change notifications come to those who asked. A test says what should have been said; this says that
what was said is well said.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs

from interop.recordings import Line, Message, Recording
from tests.types.published import definitions, refuse, validator

LATEST = "2026-07-28"
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
REVISIONS = (*LEGACY, LATEST)
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

VERSION = "io.modelcontextprotocol/protocolVersion"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"

UNSUPPORTED_VERSION = -32022
QUESTIONS = ("elicitation/create", "sampling/createMessage", "roots/list")
"""What a legacy server may ask its client."""
MAY_ASK = ("tools/call", "prompts/get", "resources/read")
"""What may end with questions in modern."""
LEADING_ID = re.compile(r'\{"jsonrpc": "2\.0", "id": (\d+),')


def complaints_about_server(recording: Recording) -> list[str]:
    """What is wrong with what the server said, and with how it ended."""
    conversation = Conversation()
    told = list(conversation.listen_to(recording))
    told += [f"never answered: {shortened(request)}" for request in conversation.unanswered]
    told += [f"never withdrawn: {shortened(question)}" for question in conversation.questions.values()]
    # The TypeScript client closes stdin and sends SIGTERM at once: one that ends by either has ended well.
    well = (0, -signal.SIGTERM) if recording.terminated else (0,)
    return told if recording.status in well else [*told, f"the server ended with status {recording.status}"]


def complaints_about_client(recording: Recording) -> list[str]:
    """What is wrong with what the client said."""
    conversation = Conversation()
    told: list[str] = []
    for line in recording.lines:
        for message in line.messages:
            if line.side == "server":
                list(conversation.receive(message))
            else:
                conversation.ask(message)
                told += complaints_about_saying(conversation.revision, message)
    return told


def complaints_about_saying(revision: str, message: Message) -> list[str]:
    """What is wrong with one message of a client."""
    if "method" not in message:
        return invalid(revision, response_name(revision, message), message)
    name = names(revision).get(message["method"])
    if name is None:
        return [f"{revision} has no {message['method']}"]
    return invalid(revision, name, message)


class Conversation:
    """What has been asked on one connection and is not answered yet, as far as judging an answer needs it."""

    def __init__(self) -> None:
        self.revision = LATEST
        self.shook_hands = False
        # An id may be in use more than once: each of its requests is answered.
        self.asked: dict[int | str, list[tuple[str, Message]]] = {}
        # What was no JSON, or too large to be read, may be refused under the id that stands in front of it.
        self.unread: set[int] = set()
        self.cancelled: set[int | str] = set()
        self.progress: dict[int | str, float] = {}
        self.acknowledged: set[int | str] = set()
        self.ended: set[int | str] = set()
        # What a legacy server has asked and is not answered, and every id that it has used for that.
        self.questions: dict[int | str, Message] = {}
        self.posed: set[int | str] = set()
        self.schemas: dict[tuple[str, str], Any] = {}

    def listen_to(self, recording: Recording) -> Iterator[str]:
        """Go through a recording; what is wrong with what the server said."""
        for line in recording.lines:
            if line.side == "client":
                if (found := LEADING_ID.match(line.text)) is not None and not line.messages:
                    self.unread.add(int(found[1]))
                for message in line.messages if self.revision == "2025-03-26" or not line.is_batch else []:
                    self.ask(message)
            else:
                for complaint in self.hear(line):
                    yield f"{complaint}\n  in revision {self.revision}, at {line.text[:500]}"

    @property
    def in_flight(self) -> list[Message]:
        """The requests that have no answer yet."""
        return [request for requests in self.asked.values() for _, request in requests]

    @property
    def unanswered(self) -> list[Message]:
        """Those of them that want one."""
        return [request for request in self.in_flight if request["id"] not in self.cancelled]

    def ask(self, message: Message) -> None:
        """Take in what the client said."""
        method, meta, identifier = message.get("method"), meta_of(message), message.get("id")
        if method == "notifications/cancelled":
            self.cancelled.add(params_of(message).get("requestId"))
        if VERSION in meta:
            self.revision = meta[VERSION] if meta[VERSION] in REVISIONS else LATEST
        elif method == "initialize" and not self.shook_hands:
            wanted = params_of(message).get("protocolVersion")
            self.revision = wanted if wanted in LEGACY else LEGACY[-1]
        if method is None:
            self.questions.pop(identifier, None)
        if method is None or not isinstance(identifier, int | str):
            return
        # Before there is a revision, one may only ping.
        revision = LEGACY[-1] if method == "ping" and not self.shook_hands else self.revision
        self.asked.setdefault(identifier, []).append((revision, message))
        if "progressToken" in meta:
            self.progress[meta["progressToken"]] = float("-inf")

    def hear(self, line: Line) -> Iterator[str]:
        """Judge one line of the server."""
        try:
            found = json.loads(line.text)
        except ValueError as error:
            yield f"no JSON: {error}"
            return
        if isinstance(found, list) and (self.revision != "2025-03-26" or not found):
            yield "only 2025-03-26 has batches, and none is empty"
        for message in found if isinstance(found, list) else [found]:
            yield from self.receive(message)

    def receive(self, message: Message) -> Iterator[str]:
        """Judge one message of the server and take it in."""
        if "method" not in message:
            return self.receive_answer(message)
        if "id" in message:
            return self.receive_question(message)
        return self.receive_notification(message)

    def receive_question(self, message: Message) -> Iterator[str]:
        """A request of the server: legacy alone, while something runs for which it could ask."""
        if message["method"] not in QUESTIONS or not self.shook_hands:
            yield f"a request, which this server has no reason for: {message['method']}"
            return
        if message["method"] not in names(self.revision):
            yield f"{self.revision} has no such question"
            return
        yield from invalid(self.revision, names(self.revision)[message["method"]], message)
        if message["id"] in self.questions or message["id"] in self.posed:
            yield f"a question with the id of another: {message['id']!r}"
        if not any(request["method"] in MAY_ASK for request in self.in_flight):
            yield "a question that belongs to no request"
        self.posed.add(message["id"])
        self.questions[message["id"]] = message

    def receive_answer(self, message: Message) -> Iterator[str]:
        if message.get("id") is None:
            yield from anonymous(self.revision, message)
            return
        if not self.asked.get(message["id"]):
            if "error" in message and message["id"] in self.unread:
                self.unread.discard(message["id"])
                yield from invalid(self.revision, response_name(self.revision, message), message)
                return
            yield f"an answer that nobody waits for: {message['id']!r}"
            return
        revision, request = self.asked[message["id"]].pop(0)
        self.progress.pop(meta_of(request).get("progressToken"), None)
        yield from invalid(revision, response_name(revision, message), message)
        if "error" in message:
            if revision == LATEST and message["error"]["code"] == UNSUPPORTED_VERSION:
                # The definition is a combination of two, which cannot be closed.
                yield from invalid(revision, "UnsupportedProtocolVersionError", message, closed=False)
            return
        yield from self.receive_result(revision, request, message["result"])

    def receive_result(self, revision: str, request: Message, result: Message) -> Iterator[str]:
        method, params = request["method"], params_of(request)
        if method == "initialize":
            self.revision = revision = result["protocolVersion"]
            self.shook_hands = True
        name = result_name(revision, method)
        if result.get("resultType") == "input_required" and revision == LATEST:
            yield from invalid(revision, "InputRequiredResult", result)
            if method not in MAY_ASK:
                yield f"{method} may not end with questions"
            return
        yield from invalid(revision, name, result)
        if name == "EmptyResult" and result:
            yield "a result that should be empty"
        if method == "tools/list":
            self.schemas.update({(revision, tool["name"]): tool.get("outputSchema") for tool in result["tools"]})
        elif method == "tools/call" and not result.get("isError"):
            yield from unstructured(self.schemas.get((revision, params["name"])), result)
        elif method == "subscriptions/listen":
            self.acknowledged.discard(request["id"])
            self.ended.add(request["id"])

    def receive_notification(self, message: Message) -> Iterator[str]:
        name = names(self.revision).get(message["method"], "")
        if name not in server_notifications(self.revision):
            yield f"{self.revision} has no such notification of a server"
            return
        yield from invalid(self.revision, name, message)
        params = message.get("params", {})
        match message["method"]:
            case "notifications/progress":
                yield from self.receive_progress(params)
            case "notifications/message" if not self.shook_hands:
                yield from self.receive_log(params)
            case "notifications/subscriptions/acknowledged":
                yield from self.receive_acknowledgment(meta_of(message).get(SUBSCRIPTION))
            case "notifications/cancelled":
                withdrawn = self.questions.pop(params.get("requestId"), None)
                if withdrawn is None and params.get("requestId") not in self.ended:
                    yield "cancels what is neither a question without an answer nor a subscription that has ended"
            case _ if not self.shook_hands:
                if meta_of(message).get(SUBSCRIPTION) not in self.acknowledged:
                    yield "a change that nobody subscribed to"

    def receive_progress(self, params: Message) -> Iterator[str]:
        last = self.progress.get(params["progressToken"])
        if last is None:
            yield "progress of a request that has been answered, or never asked for it"
        elif params["progress"] <= last:
            yield f"progress went from {last:g} to {params['progress']:g}"
        else:
            self.progress[params["progressToken"]] = params["progress"]

    def receive_log(self, params: Message) -> Iterator[str]:
        wanted = [meta_of(request).get(LOG_LEVEL) for request in self.in_flight]
        if not any(level in LEVELS and LEVELS.index(params["level"]) >= LEVELS.index(level) for level in wanted):
            yield "a log message that no request in flight asked for"

    def receive_acknowledgment(self, subscription: Any) -> Iterator[str]:
        if (subscription, "subscriptions/listen") not in [(each["id"], each["method"]) for each in self.in_flight]:
            yield f"acknowledges what is no subscription: {subscription!r}"
        elif subscription in self.acknowledged:
            yield "acknowledges twice"
        else:
            self.acknowledged.add(subscription)


def anonymous(revision: str, message: Message) -> Iterator[str]:
    """An error for a request whose id could not be read: no id where the schema allows that, null before."""
    if revision >= "2025-11-25":
        yield from invalid(revision, "JSONRPCErrorResponse", message)
    elif "id" not in message:
        yield "JSON-RPC 2.0 wants null for an id that could not be read"
    else:
        # The published schemas forget this case of JSON-RPC 2.0, section 5.
        yield from invalid(revision, "JSONRPCError", message | {"id": 0})


def unstructured(schema: Any, result: Message) -> Iterator[str]:
    """Structured content that its tool's output schema does not describe."""
    if schema is None:
        return
    if "structuredContent" not in result:
        yield "no structured content, although the tool has an output schema"
        return
    validates = jsonschema_rs.validator_for(schema, retriever=refuse)
    for error in validates.iter_errors(result["structuredContent"]):
        yield f"structured content against the output schema: {error.message}"


def invalid(revision: str, name: str, value: Any, *, closed: bool = True) -> list[str]:
    """What the published definition `name` has against `value`."""
    errors = validator(revision, name, closed=closed).iter_errors(value)
    return [f"{name}: {error.message} at $.{'.'.join(map(str, error.instance_path))}" for error in errors]


def response_name(revision: str, message: Message) -> str:
    """The definition of a response as such, whatever it answers."""
    renamed = revision >= "2025-11-25"
    if "error" in message:
        return "JSONRPCErrorResponse" if renamed else "JSONRPCError"
    return "JSONRPCResultResponse" if renamed else "JSONRPCResponse"


def result_name(revision: str, method: str) -> str:
    """The definition of the result of a method."""
    name = names(revision)[method].removesuffix("Request") + "Result"
    return name if name in definitions(revision) else "EmptyResult"


@cache
def names(revision: str) -> dict[str, str]:
    """The definition of each method's request or notification."""
    methods = {name: each.get("properties", {}).get("method", {}) for name, each in definitions(revision).items()}
    # `ClientNotification` is a union of one, and the generator has put the one in its place.
    return {
        method["const"]: name for name, method in methods.items() if "const" in method and name != "ClientNotification"
    }


@cache
def server_notifications(revision: str) -> set[str]:
    """The definitions of what a server may tell unasked."""
    return {each["$ref"].rpartition("/")[2] for each in definitions(revision)["ServerNotification"]["anyOf"]}


def meta_of(message: Message) -> Message:
    """The `_meta` of a message's params, empty where there is none."""
    meta = params_of(message).get("_meta")
    return meta if isinstance(meta, dict) else {}


def params_of(message: Message) -> Message:
    """A message's params, empty where there are none."""
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def shortened(message: Message) -> str:
    """A message for people."""
    return json.dumps(message)[:200]
