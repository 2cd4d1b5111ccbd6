"""Single-flight: who shares with whom, who may leave, what becomes of those who stay, and that nothing is left."""

import asyncio
import random
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt import Client, Context, Server
from tybalt.errors import MissingClientCapability, MisuseError, ToolError
from tybalt.execution import Budget, CancelKind, CancelReason, CancelToken, Interrupted, current_token, governed, masked
from tybalt.middleware.caching import ResponseCaching
from tybalt.middleware.layers import Handler, stacked
from tybalt.middleware.middleware import OPERATIONS
from tybalt.middleware.request import Request
from tybalt.middleware.selection import ONE_TIME
from tybalt.middleware.single_flight import SingleFlight, SingleFlightStatistics
from tybalt.types.tools import ToolAnnotations

pytestmark = pytest.mark.loops

READS = ToolAnnotations(read_only_hint=True)
CALL = Request(method="tools/call", name="search", arguments={"q": "x", "n": 1}, principal="ann", hints=READS)
LIST = Request(method="tools/list", principal="ann")


class Backend:
    """It answers with the number of the run, once the test lets it, and tells what became of each run."""

    def __init__(self) -> None:
        self.runs: list[Request] = []
        self.tasks: list[asyncio.Task[Any] | None] = []
        self.stopped = 0
        self.gate = asyncio.Event()
        self.become: Any = None
        self.on_cancel: Callable[[], Any] | None = None

    async def answer(self, request: Request) -> Any:
        self.runs.append(request)
        self.tasks.append(asyncio.current_task())
        number = len(self.runs)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # Cleaning up takes a turn; it is waited for.
            self.stopped += 1
            if self.on_cancel is not None:
                return self.on_cancel()
            raise
        if isinstance(self.become, BaseException):
            raise self.become
        return number


class Scene:
    """A backend behind a layer, and callers that have begun to wait."""

    def __init__(self, **options: Any) -> None:
        self.backend = Backend()
        self.layer = SingleFlight(**options)
        self.handler: Handler = stacked(self.backend.answer, [self.layer])

    async def call(self, *requests: Request) -> "list[asyncio.Task[Any]]":
        tasks = [asyncio.ensure_future(self.handler(request)) for request in requests]
        await settle()
        return tasks

    def nothing_is_left(self) -> bool:
        left = self.layer._flights, self.layer._tasks  # pyright: ignore[reportPrivateUsage]
        return left == ({}, set()) and self.layer.statistics().in_flight == 0


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def ended(*tasks: "asyncio.Future[Any]") -> list[Any]:
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await settle()
    return results


class TestSharing:
    async def test_identical_requests_share_one_execution(self) -> None:
        scene = Scene()
        tasks = await scene.call(CALL, CALL.replaced(arguments={"n": 1, "q": "x"}), CALL.replaced(meta={"a": 1}))
        assert scene.layer.statistics() == SingleFlightStatistics(in_flight=1, led=1, joined=2)
        scene.backend.gate.set()
        assert await ended(*tasks) == [1, 1, 1]
        assert len(scene.backend.runs) == 1 and scene.nothing_is_left()

    async def test_who_comes_later_asks_again(self) -> None:
        scene = Scene()
        scene.backend.gate.set()
        assert [await scene.handler(CALL) for _ in range(3)] == [1, 2, 3]

    async def test_also_who_comes_in_the_very_turn_in_which_it_ends(self) -> None:
        scene = Scene()
        (first,) = await scene.call(CALL)
        later: list[asyncio.Future[Any]] = []
        assert scene.backend.tasks[0] is not None
        scene.backend.tasks[0].add_done_callback(lambda _: later.append(asyncio.ensure_future(scene.handler(CALL))))
        scene.backend.gate.set()
        assert await ended(first) == [1]
        assert await ended(*later) == [2]

    async def test_what_differs_runs_by_itself(self) -> None:
        scene = Scene()
        requests = [
            CALL,
            CALL.replaced(principal="bob"),
            CALL.replaced(principal=None),
            CALL.replaced(name="find"),
            CALL.replaced(arguments={"q": "x", "n": 1.0}),
            LIST,
            LIST.replaced(params={"cursor": "abc"}),
        ]
        tasks = await scene.call(*requests)
        scene.backend.gate.set()
        assert await ended(*tasks) == list(range(1, len(requests) + 1))

    @pytest.mark.parametrize(
        "request_",
        [
            CALL.replaced(hints=None),
            CALL.replaced(hints=ToolAnnotations(destructive_hint=True)),
            CALL.replaced(meta={"progressToken": 0}),
            *(CALL.replaced(params={member: {}}) for member in sorted(ONE_TIME)),
            LIST.replaced(method="logging/setLevel"),
        ],
        ids=["no hints", "destructive", "progress", *sorted(ONE_TIME), "no operation"],
    )
    async def test_what_is_meant_for_one_alone_is_not_shared(self, request_: Request) -> None:
        scene = Scene()
        tasks = await scene.call(request_, request_)
        scene.backend.gate.set()
        assert await ended(*tasks) == [1, 2]
        assert scene.layer.statistics() == SingleFlightStatistics(in_flight=0, led=0, joined=0)

    @pytest.mark.parametrize("method", OPERATIONS)
    async def test_every_operation_is_shared_or_those_that_are_chosen(self, method: str) -> None:
        request = Request(method=method, hints=READS)
        other = next(each for each in OPERATIONS if each != method)
        for options, runs in [({}, 1), ({"methods": [method]}, 1), ({"methods": [other]}, 2)]:
            scene = Scene(**options)
            tasks = await scene.call(request, request)
            scene.backend.gate.set()
            await ended(*tasks)
            assert len(scene.backend.runs) == runs

    async def test_what_is_excluded_is_not(self) -> None:
        for exclude in ({"search"}, lambda request: request.principal == "ann"):
            scene = Scene(exclude=exclude)
            tasks = await scene.call(CALL, CALL)
            scene.backend.gate.set()
            assert await ended(*tasks) == [1, 2]

    async def test_each_stack_has_flights_of_its_own(self) -> None:
        scene = Scene()
        tasks = await scene.call(CALL)
        scene.handler = stacked(scene.backend.answer, [scene.layer])
        tasks += await scene.call(CALL)
        scene.backend.gate.set()
        assert await ended(*tasks) == [1, 2]

    async def test_beyond_so_many_each_runs_by_itself(self) -> None:
        scene = Scene(max_flights=2)
        requests = [CALL.replaced(name=name) for name in "abcabc"]
        tasks = await scene.call(*requests)
        assert scene.layer.statistics() == SingleFlightStatistics(in_flight=2, led=2, joined=2)
        scene.backend.gate.set()
        a, b, c, *again = await ended(*tasks)
        assert again[:2] == [a, b] and len({a, b, c, again[2]}) == 4
        assert scene.nothing_is_left()

    async def test_what_asks_for_itself_in_turn_does_not_wait_for_itself(self) -> None:
        depth = 0

        async def recursive(request: Request) -> Any:
            nonlocal depth
            depth += 1
            return depth if depth == 3 else await handler(request)

        layer = SingleFlight()
        handler = stacked(recursive, [layer])
        assert await asyncio.gather(handler(CALL), handler(CALL)) == [3, 3]


class TestFailures:
    @pytest.mark.parametrize("error", [ToolError("no"), ValueError("bug"), ExceptionGroup("several", [ValueError()])])
    async def test_all_get_the_same_exception(self, error: Exception) -> None:
        scene = Scene()
        tasks = await scene.call(CALL, CALL, CALL)
        scene.backend.become = error
        scene.backend.gate.set()
        assert all(each is error for each in await ended(*tasks))
        assert len(scene.backend.runs) == 1 and scene.nothing_is_left()

    async def test_also_where_the_handler_fails_before_it_awaits_anything(self) -> None:
        def broken(request: Request) -> Any:
            raise ValueError("not even a coroutine")

        layer = SingleFlight()
        handler = stacked(broken, [layer])
        for _ in range(2):
            results = await asyncio.gather(handler(CALL), handler(CALL), return_exceptions=True)
            assert [str(each) for each in results] == ["not even a coroutine"] * 2
        assert layer.statistics() == SingleFlightStatistics(in_flight=0, led=2, joined=2)


class TestLeaving:
    @pytest.mark.parametrize("leaver", [0, 1, 2])
    async def test_whoever_is_cancelled_leaves_and_the_others_stay(self, leaver: int) -> None:
        scene = Scene()
        tasks = await scene.call(CALL, CALL, CALL)
        tasks[leaver].cancel()
        await settle()
        assert tasks[leaver].cancelled() and scene.backend.stopped == 0
        scene.backend.gate.set()
        assert await ended(*(task for task in tasks if not task.cancelled())) == [1, 1]
        assert scene.nothing_is_left()

    async def test_who_left_may_come_again(self) -> None:
        scene = Scene()
        first, second = await scene.call(CALL, CALL)
        first.cancel()
        (third,) = await scene.call(CALL)
        scene.backend.gate.set()
        assert (await ended(first, second, third))[1:] == [1, 1]

    async def test_the_last_one_out_stops_it_and_waits_for_its_end(self) -> None:
        scene = Scene()
        tasks = await scene.call(CALL, CALL)
        tasks[0].cancel()
        await settle()
        tasks[1].cancel()
        assert not scene.backend.stopped
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        assert scene.backend.stopped == 1
        await settle()
        assert scene.nothing_is_left()

    async def test_however_often_it_is_cancelled_meanwhile(self) -> None:
        scene = Scene()
        released = asyncio.Event()

        async def stubborn(request: Request) -> Any:
            try:
                await asyncio.Event().wait()
            finally:
                await released.wait()

        scene.handler = stacked(stubborn, [scene.layer])
        (task,) = await scene.call(CALL)
        for _ in range(3):
            task.cancel()
            await settle()
            assert not task.done()
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        assert scene.nothing_is_left()

    async def test_who_comes_while_it_is_being_stopped_does_not_join_it(self) -> None:
        scene = Scene()
        (first,) = await scene.call(CALL)
        first.cancel()
        await asyncio.sleep(0)
        (second,) = await scene.call(CALL)
        scene.backend.gate.set()
        assert await ended(second) == [2]
        assert first.cancelled() and scene.nothing_is_left()

    @pytest.mark.parametrize("become", ["a result", ToolError("a failure")])
    async def test_what_it_becomes_when_nobody_waits_concerns_nobody(self, become: Any) -> None:
        def on_cancel() -> Any:
            if isinstance(become, BaseException):
                raise become
            return become

        scene = Scene()
        scene.backend.on_cancel = on_cancel
        (task,) = await scene.call(CALL)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await settle()
        assert scene.nothing_is_left()

    async def test_who_is_cancelled_already_leaves_nothing(self) -> None:
        scene = Scene()

        async def cancels_itself() -> Any:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return await scene.handler(CALL)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.ensure_future(cancels_itself())
        await settle()
        assert scene.backend.stopped == len(scene.backend.runs) and scene.nothing_is_left()

    async def test_a_time_limit_around_one_caller_concerns_that_one(self) -> None:
        scene = Scene()
        (stays,) = await scene.call(CALL)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await scene.handler(CALL)
        scene.backend.gate.set()
        assert await ended(stays) == [1]


class TestStoppedFromElsewhere:
    async def test_those_who_wait_share_another_execution_and_the_first_runs_its_own(self) -> None:
        scene = Scene()
        tasks = await scene.call(CALL, CALL, CALL)
        assert scene.backend.tasks[0] is not None
        scene.backend.tasks[0].cancel()
        await settle()
        assert not any(task.done() for task in tasks)
        scene.backend.gate.set()
        first, second, third = await ended(*tasks)
        assert sorted((first, second)) == [2, 3] and second == third
        assert scene.nothing_is_left()

    async def test_before_it_began_too(self) -> None:
        scene = Scene()
        tasks = [asyncio.ensure_future(scene.handler(CALL)) for _ in range(2)]
        await asyncio.sleep(0)
        for task in tuple(scene.layer._tasks):  # pyright: ignore[reportPrivateUsage]
            task.cancel()
        scene.backend.gate.set()
        assert sorted(await ended(*tasks)) == [1, 2]
        assert scene.nothing_is_left()

    async def test_again_and_again_each_runs_its_own_in_the_end(self) -> None:
        scene = Scene()
        tasks = await scene.call(*[CALL] * 5)
        for _ in range(3):
            for task in tuple(scene.layer._tasks):  # pyright: ignore[reportPrivateUsage]
                task.cancel()
            await settle()
        assert scene.nothing_is_left() and not any(task.done() for task in tasks)
        scene.backend.gate.set()
        assert len(set(await ended(*tasks))) == 5

    @pytest.mark.parametrize(
        "error",
        [
            asyncio.CancelledError("mine"),
            Interrupted(CancelReason(CancelKind.USER)),
            BaseExceptionGroup("one", [Interrupted(CancelReason(CancelKind.USER))]),
        ],
        ids=["cancelled", "interrupted", "group"],
    )
    async def test_a_handler_that_stops_itself_does_so_for_each(self, error: BaseException) -> None:
        scene = Scene()
        tasks = await scene.call(CALL, CALL, CALL)
        scene.backend.become = error
        scene.backend.gate.set()
        results = await ended(*tasks)
        assert all(type(each) is type(error) for each in results)
        assert scene.nothing_is_left()

    async def test_a_failure_after_the_first_has_left_is_not_the_others(self) -> None:
        scene = Scene()
        first, second, third = await scene.call(CALL, CALL, CALL)
        first.cancel()
        await settle()
        scene.backend.become = ToolError("the connection of the first is closed")
        scene.backend.gate.set()
        await settle()
        assert len(scene.backend.runs) == 2
        results = await ended(second, third)
        assert all(each is scene.backend.become for each in results)  # Of a run that they led.

    async def test_a_success_after_the_first_has_left_is_the_others_too(self) -> None:
        scene = Scene()
        first, second = await scene.call(CALL, CALL)
        first.cancel()
        await settle()
        scene.backend.gate.set()
        assert await ended(second) == [1]


class TestContext:
    async def test_where_the_first_client_is_asked_the_others_are_asked_themselves(self) -> None:
        async def asking(request: Request) -> Any:
            await gate.wait()
            request.context.has_asked = True
            return f"You are {request.context.name}."

        gate = asyncio.Event()
        layer = SingleFlight()
        handler = stacked(asking, [layer])
        contexts = [SimpleNamespace(name=name, has_asked=False) for name in ("ann", "bob", "eve")]
        tasks = [asyncio.ensure_future(handler(CALL.replaced(context=context))) for context in contexts]
        await settle()
        gate.set()
        assert await ended(*tasks) == ["You are ann.", "You are bob.", "You are eve."]
        assert layer.statistics() == SingleFlightStatistics(in_flight=0, led=1, joined=2)

    async def test_it_runs_in_a_copy_of_the_first_callers_context(self) -> None:
        variable: ContextVar[str] = ContextVar("variable", default="nobody")
        seen: list[str] = []

        async def look(request: Request) -> Any:
            seen.append(variable.get())
            variable.set("the leader")
            await gate.wait()
            return request.context

        gate = asyncio.Event()
        handler = stacked(look, [SingleFlight()])

        async def caller(name: str) -> Any:
            variable.set(name)
            result = await handler(CALL.replaced(context=name))
            return variable.get(), result

        tasks = [asyncio.ensure_future(caller(name)) for name in ("ann", "bob")]
        await settle()
        gate.set()
        assert await ended(*tasks) == [("ann", "ann"), ("bob", "ann")]
        assert seen == ["ann"]

    async def test_the_first_callers_cancel_and_deadline_are_not_the_others(self) -> None:
        tokens: list[CancelToken | None] = []

        async def look(request: Request) -> Any:
            tokens.append(current_token())
            await gate.wait()
            return "done"

        gate = asyncio.Event()
        handler = stacked(look, [SingleFlight()])
        callers = CancelToken(Budget(deadline=-1.0, cost=5, polls=7), clock=lambda: 0.0)
        with governed(callers):
            first = asyncio.ensure_future(handler(CALL))
        second = asyncio.ensure_future(handler(CALL))
        await settle()
        callers.cancel(CancelReason(CancelKind.USER))
        first.cancel()
        await settle()
        (token,) = tokens
        assert token is not None and token.budget == Budget(cost=5, polls=7)
        token.checkpoint()
        gate.set()
        assert await second == "done" and first.cancelled()

    async def test_the_last_one_out_stops_its_checkpoints_too(self) -> None:
        tokens: list[CancelToken | None] = []

        async def look(request: Request) -> Any:
            tokens.append(current_token())
            await asyncio.Event().wait()

        handler = stacked(look, [SingleFlight()])
        with governed(CancelToken(clock=lambda: 0.0)):
            task = asyncio.ensure_future(handler(CALL))
        await settle()
        task.cancel()
        await ended(task)
        (token,) = tokens
        assert token is not None
        with pytest.raises(Interrupted, match="parent cancelled: nobody waits for it any more"):
            token.checkpoint()


class TestChanges:
    @pytest.mark.parametrize(
        ("change", "runs"),
        [
            (lambda layer: layer.catalogue_changed("tools"), 2),
            (lambda layer: layer.invalidate(name="search"), 2),
            (lambda layer: layer.catalogue_changed("prompts"), 1),
        ],
        ids=["list", "name", "another list"],
    )
    async def test_who_comes_after_a_change_does_not_join_who_began_before(self, change: Any, runs: int) -> None:
        scene = Scene()
        tasks = await scene.call(CALL, CALL)
        change(scene.layer)
        tasks += await scene.call(CALL)
        scene.backend.gate.set()
        assert await ended(*tasks) == [1, 1, runs]
        assert scene.nothing_is_left()

    async def test_nor_does_a_cache_in_front_keep_what_began_before(self) -> None:
        scene = Scene()
        caching = ResponseCaching()
        scene.handler = caching(scene.handler)
        (before,) = await scene.call(CALL)
        for layer in (caching, scene.layer):
            layer.catalogue_changed("tools")
        (after,) = await scene.call(CALL)
        scene.backend.gate.set()
        assert await ended(before, after) == [1, 2]
        assert await scene.handler(CALL) == 2

    async def test_many_misses_of_a_cache_are_one_question(self) -> None:
        scene = Scene()
        caching = ResponseCaching()
        scene.handler = caching(scene.handler)
        tasks = await scene.call(*[CALL] * 10)
        scene.backend.gate.set()
        assert await ended(*tasks) == [1] * 10
        assert caching.statistics().entries == 1 and len(scene.backend.runs) == 1


class Chaos:
    """Callers that come at any time, and what may happen to them and to their leaders, by chance."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.layer = SingleFlight(max_flights=3)
        self.handler = stacked(self.work, [self.layer])
        self.running = 0
        self.cancelled: set[str] = set()

    async def work(self, request: Request) -> Any:
        self.running += 1
        try:
            await self.turns(6)
            if self.chance.random() < 0.2:
                raise ToolError("no")
            return request.name
        finally:
            try:
                await asyncio.sleep(0)
            finally:  # Another cancel may meet it here.
                self.running -= 1

    async def caller(self, name: str) -> Any:
        await self.turns(5)
        return await self.handler(Request(method="prompts/get", name=name))

    async def turns(self, most: int) -> None:
        for _ in range(self.chance.randrange(most)):
            await asyncio.sleep(0)

    async def disturb(self, callers: "list[asyncio.Task[Any]]") -> None:
        for _ in range(12):
            await asyncio.sleep(0)
            if self.chance.random() < 0.4:
                caller = self.chance.choice(callers)
                if caller.cancel():
                    self.cancelled.add(caller.get_name())
            leaders = sorted(self.layer._tasks, key=asyncio.Task.get_name)  # pyright: ignore[reportPrivateUsage]
            if leaders and self.chance.random() < 0.2:
                self.chance.choice(leaders).cancel()
            if self.chance.random() < 0.1:
                self.layer.catalogue_changed("prompts")


@given(seed=st.integers(0, 2**32), count=st.integers(1, 12))
async def test_whatever_happens_nobody_hangs_and_nothing_is_left(seed: int, count: int) -> None:
    chaos = Chaos(seed)
    names = [chaos.chance.choice("abcd") for _ in range(count)]
    callers = [asyncio.create_task(chaos.caller(name), name=f"{number}") for number, name in enumerate(names)]
    await chaos.disturb(callers)
    results = await asyncio.gather(*callers, return_exceptions=True)
    for number, (name, result) in enumerate(zip(names, results, strict=True)):
        if isinstance(result, asyncio.CancelledError):
            assert f"{number}" in chaos.cancelled
        else:
            assert result == name or isinstance(result, ToolError)
    assert chaos.running == 0
    await asyncio.sleep(0)
    assert chaos.layer.statistics().in_flight == 0
    assert chaos.layer._flights == {}  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "20"])
def test_options_that_are_none(number: Any) -> None:
    with pytest.raises(MisuseError, match="max_flights is a whole number above 0; got"):
        SingleFlight(max_flights=number)
    with pytest.raises(MisuseError, match="methods takes several texts"):
        SingleFlight(methods="tools/list")
    with pytest.raises(MisuseError, match="exclude takes several texts"):
        SingleFlight(exclude="search")


class Asked:
    """The context of a request whose client can be asked."""

    def __init__(self) -> None:
        self.has_asked = False
        self.told: list[Callable[[], object]] = []
        self.when_asked = self.told.append

    def ask(self) -> None:
        self.has_asked = True
        for tell in self.told:
            tell()


async def test_nobody_waits_for_a_leader_that_asks_and_the_last_to_leave_stops_it() -> None:
    backend, layer, context = Backend(), SingleFlight(), Asked()
    handler = stacked(backend.answer, [layer])
    leader = asyncio.ensure_future(handler(CALL.replaced(context=context)))
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(handler(CALL)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.wait([leader])
    assert len(backend.runs) == 1 and backend.stopped == 0
    context.ask()
    context.ask()
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(backend.runs) == 3
    assert backend.stopped == 1 and layer.statistics().in_flight == 0
    backend.gate.set()
    assert sorted(await asyncio.gather(*others)) == [2, 3]


async def test_who_is_cancelled_while_it_leaves_is_cancelled() -> None:
    backend, layer, context = Backend(), SingleFlight(), Asked()
    handler = stacked(backend.answer, [layer])
    leader = asyncio.ensure_future(handler(CALL.replaced(context=context)))
    await asyncio.sleep(0)
    other = asyncio.ensure_future(handler(CALL))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    leader.cancel()
    await asyncio.wait([leader])
    backend.on_cancel = other.cancel  # Cleaning up takes a turn; it is then that the other one is cancelled.
    context.ask()
    await asyncio.wait([other])
    assert other.cancelled() and len(backend.runs) == 1


async def test_what_the_leader_masks_is_finished_also_when_nobody_waits_any_more() -> None:
    steps: list[str] = []
    began = asyncio.Event()

    async def pay(request: Request) -> None:
        with masked():
            began.set()
            for step in ("reserved", "paid"):
                for _ in range(3):
                    await asyncio.sleep(0)
                steps.append(step)
        await asyncio.Event().wait()

    layer = SingleFlight()
    with governed(CancelToken(clock=time.monotonic)):
        caller = asyncio.ensure_future(stacked(pay, [layer])(CALL))
    await began.wait()
    caller.cancel()
    await asyncio.wait([caller])
    assert steps == ["reserved", "paid"] and layer.statistics().in_flight == 0


@pytest.mark.parametrize("of_the_context", [True, False])
async def test_what_a_handler_masks_is_finished_also_when_the_first_has_left_before(of_the_context: bool) -> None:
    server, steps = Server("x", middleware=[SingleFlight()]), list[str]()
    begun, go, in_mask = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @server.tool(annotations=READS)
    async def pay(context: Context) -> None:
        begun.set()
        await go.wait()
        with context.masked() if of_the_context else masked():
            in_mask.set()
            for _ in range(20):
                await asyncio.sleep(0)
            steps.append("paid")
        await asyncio.Event().wait()

    async with Client(server) as one, Client(server) as other:
        first, last = (asyncio.ensure_future(client.call_tool("pay")) for client in (one, other))
        await begun.wait()
        for caller in (first, last):
            caller.cancel()
            await asyncio.wait([caller])
            go.set()
            await in_mask.wait()
        for _ in range(30):
            await asyncio.sleep(0)
    assert steps == ["paid"]


@pytest.mark.parametrize("of_the_context", [True, False])
async def test_what_a_handler_masks_is_finished_before_its_client_is_asked(of_the_context: bool) -> None:
    server, steps = Server("x", middleware=[SingleFlight()]), list[str]()

    @server.tool(annotations=READS)
    async def pay(context: Context) -> str:
        asked = context.spawn(context.elicit("?", bool, key="key"))
        await asyncio.sleep(0)
        with context.masked() if of_the_context else masked():
            for _ in range(5):
                await asyncio.sleep(0)
            steps.append("paid")
        return str((await asked).accepted)

    async with Client(server, on_elicit=lambda _: {"value": True}) as client:
        assert (await client.call_tool("pay")).text == "True"
    assert steps == ["paid", "paid"]


async def test_that_a_client_cannot_be_asked_is_its_own_failure() -> None:
    server = Server("x", middleware=[SingleFlight()])

    @server.tool(annotations=READS)
    async def sure(context: Context) -> str:
        await asyncio.sleep(0)
        return str((await context.elicit("?", bool)).accepted)

    async with Client(server) as mute, Client(server, on_elicit=lambda _: {"value": True}) as able:
        said = await asyncio.gather(mute.call_tool("sure"), able.call_tool("sure"), return_exceptions=True)
    assert isinstance(said[0], MissingClientCapability) and getattr(said[1], "text", said[1]) == "True"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin eagerly from 3.12 on")
async def test_nor_is_one_joined_that_asks_before_its_task_is_there() -> None:
    def eagerly(loop: Any, coroutine: Any, **options: Any) -> Any:
        return asyncio.Task(coroutine, loop=loop, **{**options, "eager_start": True})

    asyncio.get_running_loop().set_task_factory(eagerly)
    try:
        layer, context, backend = SingleFlight(), Asked(), Backend()

        async def asks(request: Request) -> Any:
            if request.context is not None:
                context.ask()
            return await backend.answer(request)

        handler = stacked(asks, [layer])
        callers = [asyncio.create_task(handler(CALL.replaced(context=each))) for each in (context, None)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(backend.runs) == 2
        backend.gate.set()
        assert await asyncio.gather(*callers) == [1, 2]
    finally:
        asyncio.get_running_loop().set_task_factory(None)
