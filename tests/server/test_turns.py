"""How many handlers of one connection run at once, who waits, who is refused, and that nobody is forgotten."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.conversations import message
from tests.server.driving import NEWEST, QUIET, REVISIONS, Driver
from tybalt import Context, Server


class Stage:
    """A server of handlers that wait until they are let go, and what they do meanwhile."""

    def __init__(self, limit: int, total: int = 10_000) -> None:
        self.server = Server("stage", run_in="loop", max_running=limit, max_running_total=total)
        self.running: set[int] = set()
        self.began: list[int] = []
        self.most = 0
        self._gates: dict[int, asyncio.Event] = {}

        @self.server.tool
        async def wait(n: int) -> int:
            return await self._run(n)

        @self.server.tool
        async def told(n: int, context: Context) -> int:
            return await self._run(n)

        @self.server.tool(timeout=60)
        async def timed(n: int) -> int:
            return await self._run(n)

        @self.server.tool
        def plain() -> int:
            return 8

        @self.server.tool
        async def asking(n: int, context: Context) -> str:
            self.began.append(n)
            return str((await context.elicit("?", key=str(n))).accepted)

        @self.server.resource("wait://{n}")
        async def resource(n: int) -> str:
            return str(await self._run(n))

    def let(self, n: int) -> None:
        self._gates.setdefault(n, asyncio.Event()).set()

    async def _run(self, n: int) -> int:
        self.began.append(n)
        self.running.add(n)
        self.most = max(self.most, len(self.running))
        try:
            await self._gates.setdefault(n, asyncio.Event()).wait()
        finally:
            self.running.discard(n)
        return n


async def settled() -> None:
    for _ in range(QUIET):
        await asyncio.sleep(0)


def ask(driver: Driver, n: int, tool: str = "wait") -> Any:
    if tool == "resource":
        return driver.ask("resources/read", {"uri": f"wait://{n}"}, id=n)
    return driver.ask("tools/call", {"name": tool, "arguments": {"n": n}}, id=n)


def cancel(driver: Driver, n: int) -> None:
    meta = {"_meta": {"io.modelcontextprotocol/protocolVersion": NEWEST}} if driver.revision == NEWEST else {}
    driver.receive(message(method="notifications/cancelled", params={"requestId": n, **meta}))


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("tool", ["wait", "told", "timed", "resource"])
async def test_first_come_first_served_and_the_rest_is_refused(revision: str, tool: str) -> None:
    stage = Stage(2)
    driver = Driver(stage.server, revision)
    assert [ask(driver, n, tool) for n in range(1, 5)] == [None] * 4
    for n in (5, 6):
        error = ask(driver, n, tool)["error"]
        assert error["code"] == 503
        assert "2 requests of this connection run and 2 wait for their turn. Send it again" in error["message"]
    await settled()
    assert stage.began == [1, 2]
    stage.let(2)
    await settled()
    assert stage.began == [1, 2, 3]
    assert ask(driver, 7, tool) is None
    for n in (1, 3, 4, 7):
        stage.let(n)
    await settled()
    assert stage.began == [1, 2, 3, 4, 7]
    assert sorted(said["id"] for said in driver.output.messages) == [1, 2, 3, 4, 7]
    assert all("result" in said for said in driver.output.messages)
    assert stage.most == 2


async def test_what_does_not_wait_takes_no_turn() -> None:
    stage = Stage(1)
    driver = Driver(stage.server)
    ask(driver, 1)
    ask(driver, 2)
    await settled()
    assert driver.ask("tools/call", {"name": "plain"})["result"]["structuredContent"] == 8
    assert driver.result("tools/list")["tools"]
    cancel(driver, 1)
    cancel(driver, 2)
    await settled()
    assert driver.output.messages == []
    ask(driver, 3)
    stage.let(3)
    await settled()
    assert stage.began == [1, 3]


@pytest.mark.parametrize("early", [True, False])
async def test_one_that_waits_can_be_cancelled_and_is_not_begun(early: bool) -> None:
    stage = Stage(1)
    driver = Driver(stage.server)
    assert [ask(driver, 1), ask(driver, 2)] == [None, None]
    if not early:
        await settled()
    cancel(driver, 2)
    await settled()
    assert ask(driver, 4) is None
    stage.let(1)
    stage.let(4)
    await settled()
    assert stage.began == [1, 4]
    assert sorted(said["id"] for said in driver.output.messages) == [1, 4]


async def test_what_a_handler_began_by_itself_ends_with_its_request() -> None:
    done: list[int] = []
    server = Server("x", run_in="loop", max_running=1)

    async def work(n: int) -> int:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done.append(n)
        return n

    @server.tool
    def begin(n: int) -> "asyncio.Future[int]":
        return asyncio.ensure_future(work(n))

    driver = Driver(server)
    assert [ask(driver, n, "begin") for n in (1, 2)] == [None, None]
    assert ask(driver, 3, "begin")["error"]["code"] == 503
    cancel(driver, 2)
    await settled()
    assert done == [1]
    assert [said["id"] for said in driver.output.messages] == [1]


async def test_those_that_wait_at_the_end_are_told() -> None:
    stage = Stage(1)
    driver = Driver(stage.server)
    ask(driver, 1)
    ask(driver, 2)
    await settled()
    await driver.session.drain(0)
    assert stage.began == [1]
    assert {said["id"]: said["error"]["code"] for said in driver.output.messages} == {1: 503, 2: 503}


async def test_within_the_grace_they_get_their_turn() -> None:
    stage = Stage(1)
    driver = Driver(stage.server)
    for n in (1, 2):
        ask(driver, n)
        stage.let(n)
    await driver.session.drain(5)
    assert {said["id"]: "result" in said for said in driver.output.messages} == {1: True, 2: True}


async def test_a_batch_waits_for_all_its_turns() -> None:
    stage = Stage(1)
    driver = Driver(stage.server, "2025-03-26")
    calls = [driver.encoded("tools/call", {"name": "wait", "arguments": {"n": n}}, id=n) for n in (1, 2, 3)]
    assert driver.receive(b"[" + b",".join(calls) + b"]") is None
    await settled()
    stage.let(1)
    stage.let(2)
    await settled()
    ((first, *others),) = driver.output.messages
    assert first["error"]["code"] == 503
    assert [other["result"]["content"][0]["text"] for other in others] == ["1", "2"]


class TestOfTheWholeServer:
    """`max_running_total`, whatever each connection may."""

    def connections(self, stage: Stage, count: int) -> list[Driver]:
        return [Driver(stage.server, NEWEST) for _ in range(count)]

    async def test_first_come_first_served_over_all_connections(self) -> None:
        stage = Stage(2, 3)
        one, two, three = self.connections(stage, 3)
        assert [ask(one, 1), ask(one, 2), ask(one, 3), ask(two, 4), ask(two, 5), ask(three, 6)] == [None] * 6
        await settled()
        assert stage.began == [1, 2, 4]
        told = stage.server.statistics()
        assert (told.running, told.waiting) == (3, 3)
        stage.let(4)  # The third of the first connection waits longest; it has no turn of its own.
        await settled()
        assert stage.began == [1, 2, 4, 5]
        stage.let(1)
        await settled()
        assert stage.began == [1, 2, 4, 5, 3]
        stage.let(2)
        await settled()
        assert stage.began == [1, 2, 4, 5, 3, 6]
        for n in (3, 5, 6):
            stage.let(n)
        await settled()
        assert stage.most == 3
        assert stage.server.statistics().running == stage.server.statistics().waiting == 0

    async def test_beyond_the_queue_of_the_server_requests_are_refused(self) -> None:
        stage = Stage(10, 2)
        one, two = self.connections(stage, 2)
        assert [ask(one, 1), ask(one, 2), ask(one, 3), ask(two, 4)] == [None] * 4
        for driver in (one, two):
            error = ask(driver, 5)["error"]
            assert error["code"] == 503
            assert "2 requests of this server run and 2 wait for their turn. Send it again" in error["message"]
        assert one.ask("tools/call", {"name": "plain"})["result"]["structuredContent"] == 8
        await settled()
        for n in (1, 2, 3, 4):
            stage.let(n)
        await settled()
        assert stage.began == [1, 2, 3, 4] and stage.most == 2

    async def test_one_that_has_few_is_served_while_another_has_many(self) -> None:
        stage = Stage(3, 4)
        greedy, modest = self.connections(stage, 2)
        for n in range(1, 7):
            ask(greedy, n)
        ask(modest, 100)
        await settled()
        assert stage.began == [1, 2, 3, 100]
        assert ask(modest, 101) is None
        for n in range(1, 5):
            stage.let(n)
            await settled()
        assert stage.began[4:] == [4, 5, 6, 101]
        for n in (5, 6, 100, 101):
            stage.let(n)
        await settled()
        assert stage.server.statistics().running == 0

    async def test_a_cancel_and_the_end_of_a_connection_give_turns_back(self) -> None:
        stage = Stage(5, 2)
        one, two = self.connections(stage, 2)
        assert [ask(one, 1), ask(one, 2), ask(two, 3), ask(two, 4)] == [None] * 4
        await settled()
        cancel(one, 2)
        await settled()
        assert stage.began == [1, 2, 3]
        await one.session.drain(0)
        await settled()
        assert stage.began == [1, 2, 3, 4]
        await two.session.drain(0)
        assert stage.server.statistics().running == stage.server.statistics().waiting == 0
        assert not two.session.running.lane.full

    async def test_a_connection_that_came_while_it_was_full_waits_too(self) -> None:
        stage = Stage(5, 1)
        (one,) = self.connections(stage, 1)
        ask(one, 1)
        (two,) = self.connections(stage, 1)
        assert ask(two, 2) is None
        await settled()
        assert stage.began == [1]
        stage.let(1)
        stage.let(2)
        await settled()
        assert stage.began == [1, 2]
        assert not one.session.running.lane.full and not two.session.running.lane.full


class TestAsking:
    """A handler that waits for its client gives its turn back."""

    def client(self, stage: Stage) -> Driver:
        driver = Driver(stage.server)
        info = {"name": "client", "version": "1"}
        params = {"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": info}
        driver.receive(message(id="hello", method="initialize", params=params))
        driver.receive(message(method="notifications/initialized"))
        driver.revision = "2025-11-25"
        return driver

    @staticmethod
    def answer(driver: Driver, question: dict[str, Any]) -> None:
        result = {"action": "accept", "content": {"value": "yes"}}
        driver.receive(message(id=question["id"], result=result))

    @pytest.mark.loops
    async def test_others_run_while_all_turns_wait_for_the_client(self) -> None:
        stage = Stage(2, 2)
        driver = self.client(stage)
        asked = [ask(driver, n, "asking") for n in (1, 2)]
        assert asked == [None, None]
        questions = await driver.later()
        assert [each["method"] for each in questions] == ["elicitation/create"] * 2
        assert stage.server.statistics().running == 0
        stage.let(3)
        ask(driver, 3)
        await settled()
        assert 3 in stage.began
        driver.said()
        for question in questions:
            self.answer(driver, question)
        answers = await driver.later()
        assert {each["id"] for each in answers} == {1, 2} and all("result" in each for each in answers)
        lane = driver.session.running.lane
        assert (lane.running, lane.asking, lane.waiting, lane.turns.running) == (0, 0, 0, 0)

    async def test_those_that_wait_for_a_turn_get_it(self) -> None:
        stage = Stage(2, 1)
        driver = self.client(stage)
        assert [ask(driver, 1, "asking"), ask(driver, 2, "asking")] == [None, None]
        first, second = await driver.later()
        assert stage.began == [1, 2]
        self.answer(driver, second)
        self.answer(driver, first)
        assert {each["id"] for each in await driver.later()} == {1, 2}

    async def test_they_go_on_at_once_though_it_is_full(self) -> None:
        stage = Stage(1, 1)
        driver = self.client(stage)
        ask(driver, 1, "asking")
        (question,) = await driver.later()
        assert [ask(driver, 2), ask(driver, 3)] == [None, None]
        await settled()
        self.answer(driver, question)
        assert [each["id"] for each in await driver.later()] == [1]
        assert stage.began == [1, 2]
        stage.let(2)
        stage.let(3)
        assert {each["id"] for each in await driver.later()} == {2, 3}
        assert stage.most == 1 and driver.session.running.lane.running == 0

    async def test_too_many_of_them_are_refused(self) -> None:
        stage = Stage(1, 10)
        driver = self.client(stage)
        ask(driver, 1, "asking")
        await driver.later()
        ask(driver, 2, "asking")
        (answer,) = await driver.later()
        assert answer["id"] == 2 and "wait for answers from their client" in str(answer)
        cancel(driver, 1)
        await driver.later()
        assert driver.session.running.lane.asking == 0 and driver.session.running.lane.running == 0


steps = st.lists(
    st.tuples(st.sampled_from(["ask", "let", "cancel", "turn"]), st.integers(1, 12), st.sampled_from(["wait", "told"])),
    max_size=60,
)


@given(limit=st.integers(1, 4), steps=steps)
def test_every_request_gets_what_it_should_and_no_more_run(limit: int, steps: list[tuple[str, int, str]]) -> None:
    async def play() -> None:
        stage = Stage(limit)
        driver = Driver(stage.server)
        asked, cancelled, refused = set[int](), set[int](), set[int]()
        for what, n, tool in steps:
            if what == "ask" and n not in asked:
                asked.add(n)
                answer = ask(driver, n, tool)
                if answer is not None:
                    assert answer.get("error", {}).get("code", 503) == 503
                    if "error" in answer:
                        refused.add(n)
                    else:
                        driver.output.messages.append(answer)
            elif what == "let":
                stage.let(n)
            elif what == "cancel" and n in asked:
                cancelled.add(n)
                cancel(driver, n)
            else:
                await settled()
            assert len(stage.running) <= limit
        for n in asked:
            stage.let(n)
        for _ in asked:
            await settled()
        answered = Counter(said["id"] for said in driver.output.messages)
        assert set(answered.values()) <= {1}
        assert asked - refused - cancelled <= set(answered) <= asked - refused
        assert stage.most <= limit
        assert driver.session.connection.in_flight == 0
        assert not driver.session.running.lane.full

    asyncio.run(play())


server_steps = st.lists(
    st.tuples(st.sampled_from(["ask", "let", "cancel", "turn", "end"]), st.integers(0, 2), st.integers(1, 12)),
    max_size=60,
)


@given(limit=st.integers(1, 3), total=st.integers(1, 4), steps=server_steps)
def test_no_more_run_on_all_connections_and_nobody_is_forgotten(
    limit: int, total: int, steps: list[tuple[str, int, int]]
) -> None:
    async def play() -> None:
        stage = Stage(limit, total)
        drivers = [Driver(stage.server) for _ in range(3)]
        asked = set[int]()
        for what, place, n in steps:
            driver, number = drivers[place], place * 100 + n
            if what == "ask" and number not in asked:
                asked.add(number)
                answer = ask(driver, number)
                assert answer is None or answer.get("error", {}).get("code", 503) == 503
            elif what == "let":
                stage.let(number)
            elif what == "cancel":
                cancel(driver, number)
            elif what == "end":
                await driver.session.abort()
            else:
                await settled()
            assert len(stage.running) <= total
        for number in asked:
            stage.let(number)
        for _ in asked:
            await settled()
        turns = stage.server.turns
        assert stage.most <= total and turns.running == turns.waiting == 0
        for driver in drivers:
            lane = driver.session.running.lane
            assert (lane.running, lane.waiting, lane.full) == (0, 0, False)
            assert driver.session.connection.in_flight == 0

    asyncio.run(play())
