"""One connection whose client can be asked, on the wire, in any revision: `Talk` answers as it is told.

What was asked is in `rounds`: a list of questions for each time that the client had to answer before it went on.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from tests.protocol.conversations import legacy, message, modern
from tests.server.driving import LEGACY, NEWEST, QUIET, REVISIONS
from tybalt.server.server import Server
from tybalt.server.session import Session

__all__ = ["ABLE", "ASKING", "LEGACY", "NEWEST", "REVISIONS", "Talk", "accept", "server_of", "settle"]

ABLE: dict[str, Any] = {"elicitation": {"form": {}, "url": {}}, "sampling": {"tools": {}}, "roots": {}}
ASKING = ["2025-06-18", "2025-11-25", "2026-07-28"]
"""The revisions that have elicitation."""
MOST = 30
"""Rounds after which a test has gone wrong."""

Answers = Callable[[dict[str, Any]], Any] | Mapping[str, Any] | Sequence[Any]


def accept(**content: Any) -> dict[str, Any]:
    """The result of a form that was filled in."""
    return {"action": "accept", "content": content}


def server_of(*functions: Any, **options: Any) -> Server:
    """A server of these tools."""
    return Server("x", **options).add(*functions)


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for _ in range(QUIET):
        await asyncio.sleep(0)


class Output:
    """Where a session's own messages go, and whether there are any."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.arrived = asyncio.Event()
        self.blocked = False

    def write(self, *messages: bytes) -> None:
        self.messages += [msgspec.json.decode(each) for each in messages]
        self.arrived.set()

    announce = write

    async def drained(self) -> None:
        """At once."""


class Talk:
    """A client of `server` that can do what `capabilities` say; a legacy one has shaken hands."""

    def __init__(
        self,
        server: Server,
        revision: str = NEWEST,
        *,
        capabilities: dict[str, Any] | None = None,
        principal: str | None = None,
    ) -> None:
        self.output = Output()
        self.revision = revision
        self.session = Session(server, self.output, principal=principal)
        self.capabilities = ABLE if capabilities is None else capabilities
        self.rounds: list[list[dict[str, Any]]] = []
        self.state: str | None = None
        """The last `requestState` that was given."""
        self.keys: list[list[str]] = []
        """The keys of a modern client's questions, by round."""
        self._id = 0
        if revision in LEGACY:
            info = {"name": "old client", "version": "1"}
            params = {"protocolVersion": revision, "capabilities": self.capabilities, "clientInfo": info}
            assert self.session.receive(legacy("initialize", params, id="hello")) is not None
            self.session.receive(message(method="notifications/initialized"))

    @property
    def is_legacy(self) -> bool:
        return self.revision in LEGACY

    # -- a whole call -------------------------------------------------------------------------------------------------

    async def value(self, tool: str, answers: Answers = (), /, **arguments: Any) -> Any:
        """What a tool returns in the end."""
        result = await self.result("tools/call", {"name": tool, "arguments": arguments}, answers)
        assert not result.get("isError"), result
        structured = result.get("structuredContent")
        if structured is None:
            return result["content"][0]["text"] if result["content"] else None
        return structured["result"] if self.is_legacy and structured.keys() == {"result"} else structured

    async def result(self, method: str, params: dict[str, Any], answers: Answers = ()) -> dict[str, Any]:
        """The result of a request in the end."""
        answer = await self.ask(method, params, answers)
        assert "result" in answer, answer
        return answer["result"]

    async def error(self, tool: str, answers: Answers = (), /, **arguments: Any) -> dict[str, Any]:
        """The error that the call of a tool ends with."""
        answer = await self.ask("tools/call", {"name": tool, "arguments": arguments}, answers)
        assert "error" in answer, answer
        return answer["error"]

    async def ask(self, method: str, params: dict[str, Any], answers: Answers = ()) -> dict[str, Any]:
        """The last answer to a request, all questions answered."""
        answering = _answering(answers)
        self.rounds, self.keys = [], []
        if self.is_legacy:
            return await self._ask_legacy(method, params, answering)
        given: dict[str, Any] = {}
        for _ in range(MOST):
            answer = await self.send(method, {**params, **given})
            result = answer.get("result", {})
            if result.get("resultType") != "input_required":
                return answer
            questions = result["inputRequests"]
            self.rounds.append(list(questions.values()))
            self.keys.append(list(questions))
            self.state = result["requestState"]
            responses = {key: each for key, question in questions.items() if (each := answering(question)) is not None}
            given = {"inputResponses": responses, "requestState": self.state}
        raise AssertionError(f"still asked after {MOST} rounds")

    async def _ask_legacy(self, method: str, params: dict[str, Any], answering: Callable[..., Any]) -> dict[str, Any]:
        request = self.begin(method, params)
        for _ in range(MOST):
            said = await self.next()
            questions = [each for each in said if "method" in each and "id" in each]
            (answer,) = [each for each in said if each.get("id") == request and "method" not in each] or [None]
            if answer is not None:
                return answer
            if questions:
                self.rounds.append(questions)
            for question in questions:
                self.reply(question, answering(question))
        raise AssertionError(f"still asked after {MOST} rounds")

    # -- step by step -------------------------------------------------------------------------------------------------

    def begin(self, method: str, params: dict[str, Any], *, meta: dict[str, Any] | None = None) -> int:
        """Send a request: its id. An answer at once is among what comes `next`."""
        self._id += 1
        if self.is_legacy:
            text = legacy(method, {**params, "_meta": meta} if meta else params, id=self._id)
        else:
            able = {"io.modelcontextprotocol/clientCapabilities": self.capabilities}
            text = modern(method, params, id=self._id, meta={**able, **(meta or {})})
        answer = self.session.receive(text)
        if answer is not None:
            self.output.write(answer)
        return self._id

    def call(self, tool: str, /, *, meta: dict[str, Any] | None = None, **arguments: Any) -> int:
        """Begin to call a tool."""
        return self.begin("tools/call", {"name": tool, "arguments": arguments}, meta=meta)

    async def send(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request, whatever it is."""
        request = self.begin(method, params)
        for _ in range(MOST):
            for each in await self.next():
                if each.get("id") == request and "method" not in each:
                    return each
        raise AssertionError("never answered")

    def reply(self, question: dict[str, Any], result: Any) -> None:
        """Answer a legacy question: with a result, or with an error where that has a `code`."""
        kind = "error" if "code" in result else "result"
        assert self.session.receive(message(id=question["id"], **{kind: result})) is None

    def cancel(self, request: int) -> None:
        """Say that nobody wants the answer any more."""
        self.session.receive(message(method="notifications/cancelled", params={"requestId": request}))

    async def next(self) -> list[dict[str, Any]]:
        """What the server says next: all that comes until it is quiet."""
        await self.output.arrived.wait()
        return await self.rest()

    async def rest(self) -> list[dict[str, Any]]:
        """What the server still says, if anything."""
        await settle()
        self.output.arrived.clear()
        said, self.output.messages = self.output.messages, []
        return said


def _answering(answers: Answers) -> Callable[[dict[str, Any]], Any]:
    """A function from a question to its result; `None` leaves it unanswered."""
    if callable(answers):
        return lambda question: _result(answers(question), question)
    if isinstance(answers, Mapping):
        return lambda question: _result(answers[question["params"]["message"]], question)
    left = list(answers)
    return lambda question: _result(left.pop(0), question)


def _result(answer: Any, question: dict[str, Any]) -> Any:
    """A plain value is what a form of one field is filled in with."""
    if answer is None or (isinstance(answer, dict) and answer.keys() & {"action", "roots", "model", "code"}):
        return answer
    fields = question["params"]["requestedSchema"]["properties"]
    return accept(**(answer if isinstance(answer, dict) else dict.fromkeys(fields, answer)))
