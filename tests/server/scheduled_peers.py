"""The clients of random schedules: each asks, cancels, answers questions or does not, and checks what it hears.

A `Peer` knows what it may hear: one answer to each request, in time, none to what it has cancelled; progress that
increases and ends with the answer. `Direct` feeds a session by hand, `Wired` has a transport in between.
`scheduled_tools` has the handlers, `schedules` decides what happens when.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from math import inf
from typing import Any

import msgspec

from tests.protocol.conversations import ENVELOPE, message
from tests.server.scheduled_tools import AT_ONCE, GO_ON
from tests.server.scheduled_world import World
from tybalt.errors import TransportClosed
from tybalt.reasons import CancelKind
from tybalt.server.server import Server
from tybalt.transports.memory import memory_pair
from tybalt.types.revisions import LEGACY

CAPABILITIES: dict[str, Any] = {"elicitation": {}, "sampling": {}, "roots": {}}
MODERN_META = {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": CAPABILITIES}


class Sent(msgspec.Struct, eq=False):
    """One request, as it was sent `at` some time."""

    id: int
    method: str
    params: dict[str, Any]
    at: float
    token: int | None = None
    asked: float = 0.0
    """How long its client had questions to answer, before this."""
    in_batch: bool = False

    @property
    def name(self) -> str:
        """Of the tool, or else the method."""
        return self.params["name"] if self.method == "tools/call" else self.method

    @property
    def n(self) -> int:
        """The number that its handler is known by; 0 where it has none."""
        return int(self.params.get("arguments", {}).get("n", 0))


class Peer:
    """A client called `name` that speaks `revision`."""

    is_strict: bool
    """Whether what is sent is heard at once."""

    def __init__(self, world: World, server: Server, name: str, revision: str) -> None:
        self.world = world
        self.server = server
        self.name = name
        self.revision = revision
        self.loop = asyncio.get_running_loop()
        self.is_legacy = revision in LEGACY
        self.sent: dict[int, list[Sent]] = {}
        self.questions: dict[int, float] = {}
        """What this client was asked, and has neither answered nor heard to be withdrawn, and since when."""
        self._asked_for = 0.0
        self.is_ending = False
        self.is_over = False
        self._open: Counter[int] = Counter()
        """How many requests of an id are neither answered nor cancelled."""
        self._cancelled: Counter[int] = Counter()
        """How many were cancelled before their answer was here; it may have been on its way."""
        self._numbers: Counter[int] = Counter()
        self._progress: dict[int, float] = {}
        self._last_id = 0
        self._reading = asyncio.Event()
        self._reading.set()

    # -- what it says -------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Shake hands, where that is done."""
        if self.is_legacy:
            info = {"name": self.name, "version": "1"}
            params = {"protocolVersion": self.revision, "capabilities": CAPABILITIES, "clientInfo": info}
            self.request("initialize", params)
            self.deliver(message(method="notifications/initialized"))

    def call(self, tool: str, n: int, **options: Any) -> bytes:
        """Call a tool, see `request`."""
        return self.request("tools/call", {"name": tool, "arguments": {"n": n}}, **options)

    def request(
        self,
        method: str,
        params: dict[str, Any],
        *,
        again: int | None = None,
        budget: dict[str, float] | None = None,
        in_batch: bool = False,
    ) -> bytes:
        """Ask something, under an id that is used `again` or a new one; in a batch it is not sent yet."""
        if again is None:
            self._last_id += 1
        sent = Sent(self._last_id if again is None else again, method, params, self.loop.time())
        sent.asked, sent.in_batch = self._asked_until_now(), in_batch
        self.sent.setdefault(sent.id, []).append(sent)
        self._open[sent.id] += 1
        self._numbers[sent.n] += 1
        meta: dict[str, Any] = {} if self.is_legacy else {**MODERN_META}
        if budget is not None:
            meta["dev.tybalt/budget"] = budget
        if self.world.chance(0.5):
            meta["progressToken"] = sent.token = self.world.random.randrange(1_000_000)
            self._progress[sent.token] = -1
        self.world.note(self.name, "asks", sent.id, method, sent.name, sent.n, budget or "")
        encoded = message(id=sent.id, method=method, params={**params, "_meta": meta})
        if not in_batch:
            self.deliver(encoded)
        return encoded

    def cancel(self, id: int) -> None:
        """Cancel all of an id that are not answered."""
        self.world.note(self.name, "cancels", id)
        self._cancelled[id] += self._open.pop(id, 0)
        if self.is_strict:
            for each in self.sent.get(id, ()):
                self._progress.pop(each.token or -1, None)
        self.deliver(message(method="notifications/cancelled", params={"requestId": id}))

    def deliver(self, encoded: bytes) -> None:
        """Send it, however that is done."""
        raise NotImplementedError

    def reads(self, yes: bool) -> None:
        """Whether it reads what is sent to it."""
        self.world.note(self.name, "reads" if yes else "does not read")
        if yes:
            self._reading.set()
        else:
            self._reading.clear()

    def _later(self, do: Callable[..., Any], *arguments: Any) -> None:
        """Do something in a moment, unless this connection is over by then."""
        self.loop.call_later(self.world.pause(), lambda: None if self.is_over else do(*arguments))

    # -- what it hears ------------------------------------------------------------------------------------------------

    def heard(self, encoded: bytes) -> None:
        """Take one message, or a batch of answers."""
        said = msgspec.json.decode(encoded)
        for each in said if isinstance(said, list) else [said]:
            if "method" not in each:
                self._answered(each)
            elif "id" in each:
                self._asked(each)
            elif each["method"] == "notifications/progress":
                self._progressed(each["params"])
            else:
                self._told(each)

    def _answered(self, answer: dict[str, Any]) -> None:
        key, world = answer["id"], self.world
        world.note(self.name, "is answered", key, _outline(answer))
        requests = self.sent.get(key, [])
        on_its_way = not self.is_strict or any(each.in_batch for each in requests)
        if self._open[key] > 0:
            self._open[key] -= 1
        elif on_its_way and self._cancelled[key] > 0:
            self._cancelled[key] -= 1
        else:
            world.wrong(self.name, "has no request for the answer", key)
        if len(requests) == 1:
            self._check(requests[0], answer)
        result = answer.get("result", {})
        if result.get("resultType") == "input_required":
            self._go_round(requests[-1], result)

    def _check(self, sent: Sent, answer: dict[str, Any]) -> None:
        """What is true of an answer whose request is known."""
        self._progress.pop(sent.token or -1, None)
        if sent.n and sent.n not in self.world.gave_up and "its handler was stopped" in _outline(answer):
            self.world.wrong(self.name, "is told that", sent.id, "was stopped, by nobody")
        if not self.is_strict or sent.in_batch:
            return
        took = self.loop.time() - sent.at - (self._asked_until_now() - sent.asked)
        cleanup = 0.0 if sent.name in AT_ONCE else CancelKind.TIMEOUT.cleanup_seconds
        if took > self.server.request_timeout + cleanup:
            self.world.wrong(self.name, "is answered", sent.id, "after", took)
        is_excused = sent.name in GO_ON or not self.world.overdue.isdisjoint((sent.name, ""))
        if self._numbers[sent.n] == 1 and self.world.active[sent.n] and not is_excused:
            self.world.wrong(self.name, "has its answer to", sent.id, "and it goes on")

    def _go_round(self, sent: Sent, result: dict[str, Any]) -> None:
        """Retry with answers, with some, with what was tampered with, or not at all."""
        world = self.world
        drawn = world.random.randrange(8)
        if drawn == 0:
            return
        answers = {key: self._answer_to(each["method"]) for key, each in result["inputRequests"].items()}
        if drawn == 1 and len(answers) > 1:
            answers.popitem()
        state = result["requestState"]
        if drawn == 2:
            state = state[:-4] + "AAAA"
        params = {**sent.params, "inputResponses": answers, "requestState": state}
        if drawn == 3:
            params["arguments"] = {"n": sent.n + 1_000}
        self._later(self._retry, sent.method, params)

    def _retry(self, method: str, params: dict[str, Any]) -> None:
        if not self.is_ending:
            self.request(method, params)

    def _asked(self, question: dict[str, Any]) -> None:
        """Answer a request of the server's, or do not, or wrongly, or twice."""
        key, method, world = question["id"], question["method"], self.world
        world.note(self.name, "is asked", key, method)
        self.questions[key] = self.loop.time()
        drawn = world.random.randrange(8)
        if drawn == 0:
            return
        reply: dict[str, Any] = {"result": self._answer_to(method)}
        if drawn == 1:
            reply = {"error": {"code": -32603, "message": "no"}}
        elif drawn == 2:
            reply = {"result": {"nonsense": True}}
        for _ in range(2 if drawn == 3 else 1):
            self._later(self._reply, key, reply)

    def _reply(self, id: int, reply: dict[str, Any]) -> None:
        self.world.note(self.name, "answers", id, *reply)
        self._no_question(id)
        self.deliver(message(id=id, **reply))

    def _answer_to(self, method: str) -> dict[str, Any]:
        if method == "roots/list":
            return {"roots": [{"uri": "file:///home"}]}
        if method == "sampling/createMessage":
            return {"role": "assistant", "content": {"type": "text", "text": "well"}, "model": "m"}
        action = self.world.random.choice(("accept", "accept", "accept", "decline", "cancel"))
        return {"action": "accept", "content": {"value": 3}} if action == "accept" else {"action": action}

    def _progressed(self, params: dict[str, Any]) -> None:
        token, progress = params["progressToken"], params["progress"]
        self.world.note(self.name, "sees progress", token, progress)
        if not self._progress.get(token, inf) < progress:
            self.world.wrong(self.name, "sees progress", token, "after", self._progress.get(token, "the end"))
        self._progress[token] = progress

    def _told(self, notification: dict[str, Any]) -> None:
        method, params = notification["method"], notification.get("params", {})
        self.world.note(self.name, "is told", method, params.get("requestId", params.get("data", "")))
        if method == "notifications/cancelled":
            self._no_question(params["requestId"])

    def _no_question(self, id: int) -> None:
        """It waits for this no more."""
        until_now = self._asked_until_now()
        self.questions.pop(id, None)
        self._asked_for = until_now - self._asked_just_now()

    def _asked_until_now(self) -> float:
        """How long there was a question to answer: while there is, the clocks of those who ask stand still."""
        return self._asked_for + self._asked_just_now()

    def _asked_just_now(self) -> float:
        return self.loop.time() - min(self.questions.values(), default=self.loop.time())

    # -- the end ------------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> list[int]:
        """The ids of what is neither answered nor cancelled."""
        return [key for key, count in self._open.items() for _ in range(count)]

    def settled(self) -> None:
        """When all had time to end by themselves: whoever still waits waits for this client."""
        if len(self.waiting) > len(self.questions):
            self.world.wrong(self.name, "has no answer to", *self.waiting)

    async def end(self, how: str) -> None:
        """Be over: `stop` is the server's doing, `drop` the client's. Once more, it hurries."""
        self.world.note(self.name, "ends:", how)
        if self.is_ending:
            self.hurry()
            return
        self.is_ending = True
        begun, grace = self.loop.time(), self.server.grace
        await self.ended(how)
        self.is_over = True
        self.world.note(self.name, "is over")
        if self.loop.time() - begun > grace + 2 * max(grace, 1.0) + 1.0:
            self.world.wrong(self.name, "is over too late")

    def hurry(self) -> None:
        """End the grace."""
        raise NotImplementedError

    async def ended(self, how: str) -> None:
        """End it, however that is done."""
        raise NotImplementedError


class Direct(Peer):
    """One that feeds its session by hand, and is its output: what is not read is heard all the same."""

    is_strict = True

    def __init__(self, world: World, server: Server, name: str, revision: str) -> None:
        super().__init__(world, server, name, revision)
        self.session = server.session(self)
        self._hurry = asyncio.Event()

    def deliver(self, encoded: bytes) -> None:
        answer = self.session.receive(encoded)
        self.world.calls.update(self.session.running.calls.values())
        if answer is not None:
            self.heard(answer)

    def hurry(self) -> None:
        self._hurry.set()

    async def ended(self, how: str) -> None:
        if how == "stop":
            await self.session.drain(self.server.grace, self._hurry)
        else:
            await self.session.abort()
        self.session.close()
        if self.waiting:
            self.world.wrong(self.name, "has no answer to", *self.waiting)

    # As an output:

    def write(self, *messages: bytes) -> None:
        for each in messages:
            self.heard(each)

    announce = write

    @property
    def blocked(self) -> bool:
        return not self._reading.is_set()

    async def drained(self) -> None:
        await self._reading.wait()


class Wired(Peer):
    """One at the other end of a transport."""

    is_strict = False

    def __init__(self, world: World, server: Server, name: str, revision: str) -> None:
        super().__init__(world, server, name, revision)
        self._stop = asyncio.Event()
        theirs, self._end = memory_pair(world.random.choice((1, 3, 64)))
        self._serving = self.loop.create_task(server.serve(theirs, stop=self._stop))
        self._listening = self.loop.create_task(self._listen())

    def deliver(self, encoded: bytes) -> None:
        self.loop.create_task(self._send(encoded))

    def hurry(self) -> None:
        self._stop.set()

    async def ended(self, how: str) -> None:
        if how == "stop":
            self._stop.set()
        else:
            await self._end.aclose()
        await self._serving
        self._reading.set()
        await self._listening
        await self._end.aclose()

    async def _send(self, encoded: bytes) -> None:
        try:
            (await self._end.reserve()).send(encoded)
        except TransportClosed:
            self.world.note(self.name, "cannot send")

    async def _listen(self) -> None:
        while messages := await self._end.receive():
            for each in messages:
                self.heard(each)
            await self._reading.wait()


def _outline(answer: dict[str, Any]) -> str:
    """An answer in a few words, the same every time."""
    if "error" in answer:
        return f"{answer['error']['code']} {_without_reference(answer['error']['message'])}"
    result = answer["result"]
    if result.get("resultType") == "input_required":
        return f"asks for {' '.join(each['method'] for each in result['inputRequests'].values())}"
    if result.get("isError"):
        return f"is error: {_without_reference(result['content'][0]['text'])}"
    return "a result"


def _without_reference(text: str) -> str:
    return text.partition("; the server's log has it")[0]
