"""The clients of random schedules: each asks, cancels, answers questions or does not, and checks what it hears.

A `Peer` knows what it may hear: answers to what it has asked, once each, none for what it has cancelled, progress that
increases and ends with the answer. `Direct` feeds a session by hand, `Wired` has a transport between. `scheduled_tools`
has the handlers and the `World`, `schedules` decides what happens when.
"""

import asyncio
from collections import Counter
from typing import Any

import msgspec

from tests.protocol.conversations import ENVELOPE, message
from tests.server.scheduled_tools import GO_ON, PAUSES, World
from tybalt.errors import TransportClosed
from tybalt.server.server import Server
from tybalt.transports.memory import memory_pair
from tybalt.types.revisions import LEGACY

CAPABILITIES = {"elicitation": {}, "sampling": {}, "roots": {}}
NAMES = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Sent:
    """One request."""

    def __init__(self, id: int, method: str, params: dict[str, Any], at: float) -> None:
        self.id = id
        self.method = method
        self.params = params
        self.at = at
        self.is_in_batch = False
        self.token: int | None = None

    @property
    def name(self) -> str:
        return self.params.get("name") or self.method

    @property
    def n(self) -> int:
        return int(self.params.get("arguments", {}).get("n", 0))


class Peer:
    """A client called `name` that speaks `revision`."""

    def __init__(self, world: World, server: Server, name: str, revision: str) -> None:
        self.world = world
        self.server = server
        self.name = name
        self.revision = revision
        self.loop = asyncio.get_running_loop()
        self.sent: dict[int, list[Sent]] = {}
        self.open: Counter[int] = Counter()
        """How many requests of an id are neither answered nor cancelled."""
        self.cancelled: Counter[int] = Counter()
        """How many were cancelled before their answer was here; over a wire it may have been on its way."""
        self.numbers: Counter[int] = Counter()
        self.questions: set[int] = set()
        """What this client was asked, and has neither answered nor heard to be withdrawn."""
        self.progress: dict[int, float] = {}
        self.is_ending = False
        self.is_over = False
        self.strict = True
        """Whether what it sends is heard at once."""
        self._ids = 0

    @property
    def is_legacy(self) -> bool:
        return self.revision in LEGACY

    def open_(self) -> None:
        """Shake hands, where that is done."""
        if self.is_legacy:
            info = {"name": self.name, "version": "1"}
            params = {"protocolVersion": self.revision, "capabilities": CAPABILITIES, "clientInfo": info}
            self.request("initialize", params)
            self.deliver(message(method="notifications/initialized"))

    # -- what it says -------------------------------------------------------------------------------------------------

    def call(self, tool: str, n: int, **options: Any) -> bytes:
        """Call a tool; what was sent."""
        return self.request("tools/call", {"name": tool, "arguments": {"n": n}}, **options)

    def request(
        self, method: str, params: dict[str, Any], *, again: int | None = None, meta: Any = None, batched: bool = False
    ) -> bytes:
        """Ask something, under an id that is used `again` or a new one."""
        if again is None:
            self._ids += 1
        sent = Sent(self._ids if again is None else again, method, params, self.loop.time())
        meta = dict(meta or {})
        if self.world.chance(0.5):
            meta["progressToken"] = sent.token = self.world.random.randrange(1_000_000)
            self.progress[sent.token] = -1
        if not self.is_legacy:
            meta = {**ENVELOPE, "io.modelcontextprotocol/clientCapabilities": CAPABILITIES, **meta}
        self.sent.setdefault(sent.id, []).append(sent)
        self.open[sent.id] += 1
        self.numbers[sent.n] += 1
        budget = meta.get("dev.tybalt/budget", "")
        self.world.note(self.name, "asks", sent.id, method, sent.name, sent.n, budget)
        encoded = message(id=sent.id, method=method, params={**params, "_meta": meta} if meta else params)
        sent.is_in_batch = batched
        if not batched:
            self.deliver(encoded)
        return encoded

    def cancel(self, id: int) -> None:
        """Cancel all of an id that were not answered."""
        self.world.note(self.name, "cancels", id)
        self.cancelled[id] += self.open.pop(id, 0)
        self.deliver(message(method="notifications/cancelled", params={"requestId": id}))

    def later(self, seconds: float, do: Any, *arguments: Any) -> None:
        """Do something, unless this connection is over by then."""
        self.loop.call_later(seconds, self._now, do, arguments)

    def _now(self, do: Any, arguments: Any) -> None:
        if not self.is_over:
            do(*arguments)

    def deliver(self, encoded: bytes) -> None:
        """Send it, however that is done."""
        raise NotImplementedError

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
        id, world = answer["id"], self.world
        world.note(self.name, "is answered", id, _outline(answer))
        if self.open[id] > 0:
            self.open[id] -= 1
        elif self.cancelled[id] > 0 and not (self.strict and self.is_alone(id)):
            self.cancelled[id] -= 1
        else:
            world.wrong(self.name, "did not expect an answer to", id)
        if len(self.sent.get(id, ())) == 1:
            self._settled(self.sent[id][0], answer)
        if id in self.sent and self.sent[id][-1].method == "initialize":
            return
        if self.strict:
            self._look_for_what_goes_on(id)
        result = answer.get("result", {})
        if result.get("resultType") == "input_required" and not self.is_ending:
            self._go_round(self.sent[id][-1], result)

    def _settled(self, sent: Sent, answer: dict[str, Any]) -> None:
        if sent.token is not None:
            self.progress.pop(sent.token, None)

    def _look_for_what_goes_on(self, id: int) -> None:
        """Nothing of a request may go on when it is answered, but for what `GO_ON`."""
        sent = self.sent[id][0]
        if len(self.sent[id]) > 1 or self.numbers[sent.n] > 1 or not self.world.overdue.isdisjoint((sent.name, "")):
            return
        if sent.method == "tools/call" and sent.name not in GO_ON and self.world.active[sent.n]:
            self.world.wrong(self.name, "has its answer to", id, "and it goes on")

    def _go_round(self, sent: Sent, result: dict[str, Any]) -> None:
        """Retry with answers, with some, with what was tampered with, or not at all."""
        world = self.world
        drawn = world.random.randrange(8)
        if drawn == 0:
            return
        answers = {key: self._answer(each["method"]) for key, each in result["inputRequests"].items()}
        if drawn == 1 and len(answers) > 1:
            answers.popitem()
        state = result["requestState"]
        if drawn == 2:
            state = state[:-4] + "AAAA"
        params = {**sent.params, "inputResponses": answers, "requestState": state}
        if drawn == 3:
            params["arguments"] = {"n": sent.n + 1_000}
        self.later(world.random.choice(PAUSES), self._retry, sent.method, params)

    def _retry(self, method: str, params: dict[str, Any]) -> None:
        if not self.is_ending:
            self.request(method, params)

    def _asked(self, question: dict[str, Any]) -> None:
        """Answer a request of the server's, or do not, or wrongly, or twice."""
        id, method, world = question["id"], question["method"], self.world
        world.note(self.name, "is asked", id, method)
        self.questions.add(id)
        drawn = world.random.randrange(8)
        if drawn == 0:
            return
        reply: dict[str, Any] = {"result": self._answer(method)}
        if drawn == 1:
            reply = {"error": {"code": -32603, "message": "no"}}
        elif drawn == 2:
            reply = {"result": {"nonsense": True}}
        for _ in range(2 if drawn == 3 else 1):
            self.later(world.random.choice(PAUSES), self._reply, id, reply)

    def _reply(self, id: int, reply: dict[str, Any]) -> None:
        self.world.note(self.name, "answers", id, *reply)
        self.questions.discard(id)
        self.deliver(message(id=id, **reply))

    def _answer(self, method: str) -> dict[str, Any]:
        if method == "roots/list":
            return {"roots": [{"uri": "file:///home"}]}
        if method == "sampling/createMessage":
            return {"role": "assistant", "content": {"type": "text", "text": "well"}, "model": "m"}
        action = self.world.random.choice(("accept", "accept", "accept", "decline", "cancel"))
        return {"action": "accept", "content": {"value": 3}} if action == "accept" else {"action": action}

    def _progressed(self, params: dict[str, Any]) -> None:
        token, progress = params["progressToken"], params["progress"]
        self.world.note(self.name, "sees progress", token, progress)
        if not self.progress.get(token, progress) < progress:
            self.world.wrong(self.name, "sees progress", token, progress, "after", self.progress.get(token))
        self.progress[token] = progress

    def _told(self, notification: dict[str, Any]) -> None:
        method, params = notification["method"], notification.get("params", {})
        self.world.note(self.name, "is told", method, params.get("requestId", params.get("data", "")))
        if method == "notifications/cancelled":
            self.questions.discard(params["requestId"])

    # -- the end ------------------------------------------------------------------------------------------------------

    def is_alone(self, id: int) -> bool:
        """Whether none of this id was in a batch: there an answer may wait for others when a cancel comes."""
        return not any(each.is_in_batch for each in self.sent[id])

    @property
    def waiting(self) -> list[int]:
        """The ids of what is neither answered nor cancelled."""
        return [id for id, count in self.open.items() if count > 0]

    async def end(self, how: str) -> None:
        """Be over, one way or another."""
        raise NotImplementedError


class Direct(Peer):
    """One that feeds its session by hand, and is its output."""

    def __init__(self, world: World, server: Server, name: str, revision: str) -> None:
        super().__init__(world, server, name, revision)
        self.session = server.session(self)
        self.hurry = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()

    def deliver(self, encoded: bytes) -> None:
        answer = self.session.receive(encoded)
        self.world.calls.update(self.session.running.calls.values())
        if answer is not None:
            self.heard(answer)

    def reads(self, yes: bool) -> None:
        """Whether it reads what is sent; what is sent is heard all the same, for somebody has to."""
        self.world.note(self.name, "reads" if yes else "does not read")
        if yes:
            self._reads.set()
        else:
            self._reads.clear()

    # As an output:

    def write(self, *messages: bytes) -> None:
        for each in messages:
            self.heard(each)

    announce = write

    @property
    def blocked(self) -> bool:
        return not self._reads.is_set()

    async def drained(self) -> None:
        await self._reads.wait()

    async def end(self, how: str) -> None:
        """`stop` is a grace and an abort, `drop` only the latter."""
        if self.is_ending:
            self.hurry.set()
            return
        self.is_ending = True
        self.world.note(self.name, "ends:", how)
        if how == "stop":
            await self.session.drain(self.server.grace, self.hurry)
        else:
            await self.session.abort()
        self.session.close()
        self.is_over = True
        self.world.note(self.name, "is over")
        if self.waiting:
            self.world.wrong(self.name, "has no answer to", *self.waiting)
        if self.questions:
            self.world.note(self.name, "leaves unanswered", *sorted(self.questions))


class Wired(Peer):
    """One at the other end of a transport."""

    def __init__(self, world: World, server: Server, name: str, revision: str) -> None:
        super().__init__(world, server, name, revision)
        self.strict = False
        self.lost = False
        """Whether it went away, or did not read, or was refused the room to send, so that answers may be missing."""
        self._stop = asyncio.Event()
        self._reads = asyncio.Event()
        self._reads.set()
        theirs, self._end = memory_pair(world.random.choice((1, 3, 64)))
        self._serving = self.loop.create_task(server.serve(theirs, stop=self._stop))
        self._reading = self.loop.create_task(self._read())

    async def _read(self) -> None:
        while messages := await self._end.receive():
            for each in messages:
                self.heard(each)
            await self._reads.wait()

    def reads(self, yes: bool) -> None:
        self.world.note(self.name, "reads" if yes else "does not read")
        if yes:
            self._reads.set()
        else:
            self._reads.clear()

    def deliver(self, encoded: bytes) -> None:
        self.loop.create_task(self._send(encoded))

    async def _send(self, encoded: bytes) -> None:
        try:
            (await self._end.reserve()).send(encoded)
        except TransportClosed:
            self.world.note(self.name, "cannot send")

    async def end(self, how: str) -> None:
        """`stop` is the server's, `drop` the client's."""
        self.world.note(self.name, "ends:", how)
        if how == "stop":
            self._stop.set()
        else:
            await self._end.aclose()
        if self.is_ending:
            return
        self.is_ending = True
        quiet = not self.waiting
        await asyncio.wait([self._serving])
        self._serving.result()
        self._reads.set()
        await self._end.aclose()
        await asyncio.wait([self._reading])
        self._reading.result()
        self.is_over = True
        self.world.note(self.name, "is over", "in peace" if quiet else "")


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
