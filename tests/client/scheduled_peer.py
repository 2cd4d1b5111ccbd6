"""The servers of random schedules: each answers, or does not, or wrongly, or twice, asks, tells, and goes away.

A `ScheduledPeer` is the other end of one connection. What it does with each request is drawn when it hears it, and done
a moment later; a good answer holds the number that was asked with, so that the client's side can tell whose it is. When
it is `polite` it reads and answers everything at once. `schedules` makes them, and decides when they are polite.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from tests.client.peers import DISCOVERED, INITIALIZED, called, encoded
from tests.client.test_hostile import NO_ANSWERS, NONSENSE, NOT_RESULTS
from tests.server.scheduled_world import World
from tybalt.errors import TransportClosed
from tybalt.protocol.frames import Oversized
from tybalt.transports import memory_pair
from tybalt.types.meta import SUBSCRIPTION_ID

FORM = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
SAMPLE = {"messages": [], "maxTokens": 1}
QUESTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("elicitation/create", FORM),
    ("elicitation/create", FORM),
    ("sampling/createMessage", SAMPLE),
    ("roots/list", {}),
    ("riddle", {}),
)
OFFERED: dict[str, Any] = {
    "capabilities": {
        "tools": {"listChanged": True},
        "prompts": {},
        "resources": {"subscribe": True, "listChanged": True},
        "logging": {},
    }
}
LISTED = {"tools/list": "tools", "prompts/list": "prompts", "resources/list": "resources"}
LAST_PAGE = 3


class ScheduledPeer:
    """A server called `name`, of one era, whose `client_end` is the client's."""

    def __init__(self, world: World, name: str, era: str) -> None:
        self.world = world
        self.name = name
        self.era = era
        self.polite = False
        self.is_over = False
        self.subscriptions: dict[int, bool] = {}
        """The modern ones that are open, and whether they were acknowledged."""
        self.client_end, self._end = memory_pair(world.random.choice((1, 3, 64)))
        self._loop = asyncio.get_running_loop()
        self._reading = asyncio.Event()
        self._reading.set()
        self._asked = 0
        self._hearing = self._loop.create_task(self._hear_all())

    # -- what happens to it -------------------------------------------------------------------------------------------

    def reads(self, yes: bool) -> None:
        """Whether it reads what the client says."""
        self.world.note(self.name, "reads" if yes else "does not read")
        if yes:
            self._reading.set()
        else:
            self._reading.clear()

    def be_polite(self) -> None:
        """Read and answer everything from now on."""
        self.polite = True
        self.reads(True)

    def go(self) -> None:
        """Go away."""
        if not self.is_over:
            self.world.note(self.name, "goes away")
            self.is_over = True
            self._reading.set()
            if self.world.chance(0.5):
                self._close()  # So that what it said and its end are seen at once.
            else:
                self._later(self._close, 0)

    def babble(self) -> None:
        """Say what nobody has asked for."""
        self.say(self.world.random.choice(NONSENSE))

    def ask(self) -> None:
        """Ask what a legacy server may; sometimes under an id that is taken, sometimes only to withdraw it."""
        if self.era == "modern" or self.is_over:
            return
        self._asked += not self.world.chance(0.1)
        method, params = self.world.random.choice(QUESTIONS)
        self.say(encoded(id=f"q{self._asked}", method=method, params=params))
        if self.world.chance(0.3):
            cancelled = encoded(method="notifications/cancelled", params={"requestId": f"q{self._asked}"})
            self._later(lambda: self.say(cancelled))

    def tell(self, tag: int | None = None) -> None:
        """Tell of a change: to whoever listens with this tag, or in legacy to all."""
        meta = {} if tag is None else {"_meta": {SUBSCRIPTION_ID: tag}}
        self.say(encoded(method="notifications/tools/list_changed", params=meta))

    def tell_all(self) -> int:
        """Tell of a change to every subscription that was acknowledged, and return how many they are."""
        tags = [tag for tag, acknowledged in self.subscriptions.items() if acknowledged]
        for tag in tags:
            self.tell(tag)
        return len(tags)

    def say(self, *messages: Any) -> None:
        """Send, whether or not there is room; nothing happens where nobody is there any more."""
        with suppress(TransportClosed):
            self._end.commit(messages)

    # -- what it hears ------------------------------------------------------------------------------------------------

    async def _hear_all(self) -> None:
        while True:
            await self._reading.wait()
            messages = await self._end.receive()
            if not messages:
                break
            for message in messages:
                self._hear(msgspec.json.decode(message))  # pyright: ignore[reportArgumentType, reportCallIssue]
        self.is_over = True
        self.world.note(self.name, "hears no more")
        await self._end.aclose()

    def _hear(self, said: dict[str, Any]) -> None:
        method = said.get("method", "")
        self.world.note(self.name, "hears", method or "an answer", said.get("id", ""))
        if method == "notifications/cancelled":
            self.subscriptions.pop(said["params"].get("requestId"), None)
        if "id" not in said or not method:
            return
        if method == "subscriptions/listen":
            self.subscriptions[said["id"]] = False
        if self.polite:
            self._answer(said)
        else:
            self._later(lambda: self._treat(said))

    def _later(self, do: Callable[[], Any], seconds: float | None = None) -> None:
        """Do it in a moment; what is over says nothing more."""
        self._loop.call_later(self.world.pause() if seconds is None else seconds, do)

    def _close(self) -> None:
        closing = self._end.aclose()
        with suppress(StopIteration):  # That of a memory pair waits for nothing.
            closing.send(None)

    # -- what it answers ----------------------------------------------------------------------------------------------

    def _treat(self, request: dict[str, Any]) -> None:
        """Do well or ill by a request."""
        if self.is_over:
            return
        drawn = self.world.random.randrange(100)
        is_opening = request["method"] in ("server/discover", "initialize")
        if self.polite or drawn < (85 if is_opening else 50):
            self._answer(request)
            if drawn < 5:
                self.go()
        else:
            deed = self.world.random.choice(self._DEEDS)
            self.world.note(self.name, deed.__name__, request["id"])
            deed(self, request)

    def _answer(self, request: dict[str, Any]) -> None:
        result = self._result(request)
        if result is None:
            self.say(encoded(id=request["id"], error={"code": -32601, "message": "no"}))
        elif request["method"] == "subscriptions/listen":
            self._acknowledge(request)
        else:
            self.say(encoded(id=request["id"], result=result))

    def _result(self, request: dict[str, Any]) -> Any:
        method, params = request["method"], request.get("params", {})
        n = params.get("arguments", {}).get("n")
        complete = {"resultType": "complete"}
        match method:
            case "server/discover":
                return {**DISCOVERED, **OFFERED} if self.era == "modern" else None
            case "initialize":
                return {**INITIALIZED, **OFFERED} if self.era == "legacy" else None
            case "tools/call":
                return called({"n": n})
            case "prompts/get":
                return {**complete, "messages": [], "description": n}
            case "resources/read":
                return {**complete, "contents": [{"uri": params["uri"], "text": params["uri"]}]}
            case "completion/complete":
                return {**complete, "completion": {"values": [params["argument"]["value"]]}}
            case _ if method in LISTED:
                page = int(params.get("cursor", 0)) + 1
                return {**complete, LISTED[method]: [], "nextCursor": None if page > LAST_PAGE else str(page)}
            case _:
                return complete

    def _acknowledge(self, request: dict[str, Any]) -> None:
        tag = request["id"]
        if tag not in self.subscriptions:
            return
        self.subscriptions[tag] = True
        meta = {"notifications": request["params"]["notifications"], "_meta": {SUBSCRIPTION_ID: tag}}
        self.say(encoded(method="notifications/subscriptions/acknowledged", params=meta))
        if not self.polite and self.world.chance(0.5):
            self._later(lambda: self.tell(tag))
        if not self.polite and self.world.chance(0.3):
            self._later(lambda: self._end_subscription(tag))

    def _end_subscription(self, tag: int) -> None:
        if not self.polite and self.subscriptions.pop(tag, None) is not None:
            self.say(encoded(id=tag, result={"resultType": "complete"}))

    # -- what it does ill ---------------------------------------------------------------------------------------------

    def _ignores(self, request: dict[str, Any]) -> None:
        pass

    def _answers_twice(self, request: dict[str, Any]) -> None:
        self._answer(request)
        self._answer(request)

    def _answers_another(self, request: dict[str, Any]) -> None:
        self._answer({**request, "id": request["id"] + 1_000})
        self._later(lambda: self._answer(request))

    def _refuses(self, request: dict[str, Any]) -> None:
        self._drop(request)
        codes = (-32603, -32600, -32602, -32020, -32021, -32022, 429, 503, 7, 10**30)
        error = b'{"code":%d,"message":"no"}' % self.world.random.choice(codes)
        self.say(b'{"jsonrpc":"2.0","id":%d,"error":%b}' % (request["id"], error))

    def _babbles_first(self, request: dict[str, Any]) -> None:
        self.babble()
        self._later(lambda: self._answer(request))

    def _answers_nonsense(self, request: dict[str, Any]) -> None:
        self._drop(request)
        nonsense = self.world.random.choice(NO_ANSWERS)
        self.say(nonsense.replace(b'"id":2', b'"id":%d' % request["id"]))

    def _answers_with_no_result(self, request: dict[str, Any]) -> None:
        self._drop(request)
        result = self.world.random.choice(NOT_RESULTS)
        self.say(b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (request["id"], result))

    def _says_too_much(self, request: dict[str, Any]) -> None:
        self._drop(request)
        head = b'{"jsonrpc":"2.0","id":%d,"result":{"a":"' % request["id"]
        self.say(Oversized(2_000, 1_000, b"{" if self.world.chance(0.2) else head))

    def _goes(self, _: dict[str, Any]) -> None:
        self.go()

    def _progresses(self, request: dict[str, Any]) -> None:
        token = request["params"].get("_meta", {}).get("progressToken", 1)
        for step in range(self.world.random.randrange(1, 4)):
            params = {"progressToken": token, "progress": step}
            self.say(encoded(method="notifications/progress", params=params))
        self._later(lambda: self._answer(request))

    def _asks_first(self, request: dict[str, Any]) -> None:
        """In modern instead of an answer, in legacy beside it."""
        if self.era == "legacy":
            self.ask()
            self._later(lambda: self._answer(request))
            return
        self._drop(request)
        methods = self.world.random.sample(QUESTIONS[:4], self.world.random.randrange(4))
        asked = {f"k{n}": {"method": method, "params": params} for n, (method, params) in enumerate(methods)}
        result = {"resultType": "input_required", "inputRequests": asked, "requestState": "s"}
        self.say(encoded(id=request["id"], result=result))

    def _drop(self, request: dict[str, Any]) -> None:
        self.subscriptions.pop(request["id"], None)

    _DEEDS = (
        _ignores,
        _answers_twice,
        _answers_another,
        _refuses,
        _babbles_first,
        _answers_nonsense,
        _answers_with_no_result,
        _says_too_much,
        _goes,
        _progresses,
        _asks_first,
        _asks_first,
    )
