"""A handler that calls another: on what is left of its budget, stopped with it, never deeper than allowed."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from math import inf
from typing import Annotated, Any

import pytest

from tests.server.awaiting import LIMIT, Held, answer_to, ended, nothing_is_left, text_of
from tests.server.driving import NEWEST, Driver
from tests.server.talk import Talk, accept
from tybalt import Budget, Context, Depends, InvalidParams, MisuseError, ResourceNotFound, Server, ToolError
from tybalt.execution import Interrupted, checkpoint
from tybalt.middleware import SingleFlight
from tybalt.server.nesting import MAX_NESTING
from tybalt.testing import VirtualThreads, run_virtual
from tybalt.types.tools import ToolAnnotations

BUDGET = "dev.tybalt/budget"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("x")
    yield server
    server.threads.close()


class TestBudgets:
    def remaining(self, *, outer: Any = None, inner: Any = None, allowed: Any = None) -> list[float]:
        """What is left inside, by context and by budget, a second after the request began."""
        found: list[float] = []

        async def program() -> None:
            server = Server("x", request_timeout=30)

            @server.tool(**({} if inner is None else {"timeout": inner}))
            async def look(context: Context, budget: Budget) -> None:
                found.append(context.remaining)
                found.append(budget.deadline - asyncio.get_running_loop().time())

            @server.tool(**({} if outer is None else {"timeout": outer}))
            async def work(context: Context) -> None:
                await asyncio.sleep(1)
                await context.call_tool("look")

            driver = Driver(server)
            answer = await answer_to(
                driver, "work", meta=None if allowed is None else {BUDGET: {"deadlineMs": allowed}}
            )
            assert not answer["result"].get("isError"), answer
            assert nothing_is_left(driver)

        run_virtual(program)
        return found

    def test_what_is_left_is_the_narrowest(self) -> None:
        assert self.remaining() == pytest.approx([29, 29])
        assert self.remaining(outer=10) == pytest.approx([9, 9])
        assert self.remaining(outer=10, inner=5) == pytest.approx([5, 5])
        assert self.remaining(outer=10, inner="60s") == pytest.approx([9, 9])
        assert self.remaining(outer=10, inner=5, allowed=3_000) == pytest.approx([2, 2])

    @pytest.mark.loops
    async def test_cost_that_is_spent_inside_is_spent_outside(self, server: Server) -> None:
        @server.tool
        def spend(amount: float, context: Context) -> bool:
            return context.consume_cost(amount)

        @server.tool
        async def work(context: Context) -> list[Any]:
            results: list[Any] = [await context.call_tool("spend", {"amount": amount}) for amount in (3, 3, 2)]
            return [*(each.structured_content for each in results), context.budget.cost]

        answer = await answer_to(Driver(server), "work", meta={BUDGET: {"cost": 5}})
        assert answer["result"]["structuredContent"] == [True, False, True, 0]

    @pytest.mark.loops
    async def test_several_at_once_share_the_quota(self, server: Server) -> None:
        @server.tool
        async def spend(context: Context) -> bool:
            await asyncio.sleep(0)
            return context.consume_cost(2)

        @server.tool
        async def work(context: Context) -> int:
            results: list[Any] = await asyncio.gather(*(context.call_tool("spend") for _ in range(5)))
            return sum(each.structured_content for each in results)

        assert text_of(await answer_to(Driver(server), "work", meta={BUDGET: {"cost": 5}})) == "2"

    @pytest.mark.loops
    async def test_without_limits_there_are_none(self) -> None:
        server = Server("x", request_timeout=None)

        @server.tool
        async def look(budget: Budget) -> bool:
            return budget == Budget(inf, inf, inf)

        @server.tool
        async def work(context: Context) -> Any:
            result: Any = await context.call_tool("look")
            return result.structured_content

        assert text_of(await answer_to(Driver(server), "work")) == "true"


class TestDeadlines:
    @pytest.mark.parametrize("kind", ["waits", "checks", "blocks"])
    def test_that_of_the_inner_one_is_a_failure_the_outer_one_can_handle(self, kind: str) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=30)

            @server.tool(timeout=1)
            async def waits() -> None:
                await asyncio.Event().wait()

            @server.tool(timeout=1)
            async def checks(context: Context) -> None:
                while True:
                    await asyncio.sleep(0.3)
                    checkpoint()

            @server.tool(timeout=1)
            async def blocks() -> None:
                loop: Any = asyncio.get_running_loop()
                loop._now += 2
                checkpoint()

            @server.tool
            async def work(context: Context) -> str:
                result: Any = await context.call_tool(kind)
                assert result.is_error
                await asyncio.sleep(0)
                context.checkpoint()
                return f"it said: {result.content[0].text}"

            driver = Driver(server)
            assert text_of(await answer_to(driver, "work")) == f"it said: tool {kind!r} did not finish within its 1 s"
            assert nothing_is_left(driver)

        run_virtual(program)

    def test_that_of_the_outer_one_stops_both(self) -> None:
        events: list[str] = []

        async def program() -> None:
            server = Server("x", request_timeout=30)

            @server.tool(timeout=20)
            async def inner() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    events.append("inner")

            @server.tool(timeout=1)
            async def work(context: Context) -> None:
                try:
                    await context.call_tool("inner")
                finally:
                    events.append("outer")

            driver = Driver(server)
            assert text_of(await answer_to(driver, "work")) == "tool 'work' did not finish within its 1 s"
            assert events == ["inner", "outer"] and nothing_is_left(driver)

        run_virtual(program)

    def test_a_timeout_of_the_outer_ones_own(self) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=30)

            @server.tool(timeout=20)
            async def inner() -> None:
                await asyncio.Event().wait()

            @server.tool
            async def work(context: Context) -> str:
                try:
                    async with asyncio.timeout(1):
                        await context.call_tool("inner")
                except TimeoutError:
                    return "too slow"
                return "never"

            driver = Driver(server)
            assert text_of(await answer_to(driver, "work")) == "too slow" and nothing_is_left(driver)

        run_virtual(program)

    def test_in_a_thread_that_does_not_begin_in_time(self) -> None:
        called: list[str] = []

        async def program() -> None:
            server = Server("x", request_timeout=30)
            server.threads = VirtualThreads(delay=lambda: 5.0)

            @server.tool(timeout=1)
            def inner() -> None:
                called.append("inner")

            @server.tool
            async def work(context: Context) -> str:
                result: Any = await context.call_tool("inner")
                return result.content[0].text

            driver = Driver(server)
            assert text_of(await answer_to(driver, "work")) == "tool 'inner' did not finish within its 1 s"
            assert called == [] and nothing_is_left(driver)

        run_virtual(program)

    def test_in_a_thread_that_goes_on(self) -> None:
        """It cannot be stopped, so it is waited for; what it has done, its caller is told, as of an async one."""

        async def program() -> None:
            loop: Any = asyncio.get_running_loop()
            server = Server("x", request_timeout=30)
            held = Held()

            @server.tool(timeout=1)
            def inner() -> str:
                return held()

            @server.tool
            async def work(context: Context) -> str:
                result: Any = await context.call_tool("inner")
                return result.content[0].text

            driver = Driver(server)
            with loop.expecting_threads():
                driver.start("work", id=1)
                await held.began()
            await asyncio.sleep(1.1)
            held.go()
            with loop.expecting_threads():
                (answer,) = await ended(driver)
            assert text_of(answer) == "done" and nothing_is_left(driver)
            server.threads.close()

        run_virtual(program)

    def test_one_that_is_told_while_something_else_is_masked(self) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=30)

            @server.tool(timeout=1)
            async def inner(context: Context) -> None:
                told = asyncio.Event()

                async def beside() -> None:
                    await told.wait()
                    with context.masked():
                        await asyncio.sleep(1)

                context.spawn(beside())
                with context.masked():
                    await asyncio.sleep(2)
                    told.set()
                await asyncio.Event().wait()

            @server.tool
            async def work(context: Context) -> str:
                return (await context.call_tool("inner")).text

            driver = Driver(server)
            begun = asyncio.get_running_loop().time()
            assert text_of(await answer_to(driver, "work")) == "tool 'inner' did not finish within its 1 s"
            assert asyncio.get_running_loop().time() - begun == pytest.approx(3) and nothing_is_left(driver)

        run_virtual(program)

    def test_a_cleanup_that_fails_is_that_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=30)

            @server.tool(timeout=1)
            async def inner() -> None:
                try:
                    await asyncio.Event().wait()
                finally:
                    raise RuntimeError("half a booking is left")

            @server.tool
            async def work(context: Context) -> str:
                return (await context.call_tool("inner")).text

            assert "Internal error" in text_of(await answer_to(Driver(server), "work"))

        run_virtual(program)
        assert "half a booking is left" in caplog.text

    @pytest.mark.parametrize("name", ["inner", "work"])
    def test_what_has_noticed_by_itself_is_not_stopped_while_it_cleans_up(self, name: str) -> None:
        events: list[str] = []

        async def program() -> None:
            server = Server("x", request_timeout=30)
            loop: Any = asyncio.get_running_loop()

            @server.tool(timeout=1)
            async def inner() -> None:
                await asyncio.sleep(0)
                try:
                    loop._now += 2
                    checkpoint()
                finally:
                    await asyncio.sleep(1)
                    events.append("cleaned")

            @server.tool
            async def work(context: Context) -> str:
                return (await context.call_tool("inner")).text

            for layers in ([], [passing]) if name == "inner" else ([],):
                events.clear()
                layered = Server("x", request_timeout=30, middleware=layers)
                layered.add(inner)
                layered.add(work)
                said = text_of(await answer_to(Driver(layered), name))
                assert (said, events) == ("tool 'inner' did not finish within its 1 s", ["cleaned"])

        run_virtual(program)


def passing(next: Any) -> Any:
    """A layer that does nothing."""
    return next


class TestMistakes:
    """A call that cannot be is the handler's mistake, of which its client is told nothing."""

    @pytest.mark.parametrize("spawned", [False, True])
    @pytest.mark.parametrize("how", ["unknown", "unfit", "unread", "unreadable"])
    async def test_it_is_masked(
        self, server: Server, how: str, spawned: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        @server.tool
        async def other(count: int) -> int:
            return count

        @server.resource("users://{number}")
        async def user(number: int) -> str:
            return str(number)

        @server.tool
        async def work(context: Context) -> None:
            calls = {
                "unknown": lambda: context.call_tool("hidden"),
                "unfit": lambda: context.call_tool("other", {"count": "hidden"}),
                "unread": lambda: context.read_resource("hidden://7"),
                "unreadable": lambda: context.read_resource("users://hidden"),
            }
            if spawned:
                context.spawn(calls[how]())
                await asyncio.Event().wait()
            await calls[how]()

        said = text_of(await answer_to(Driver(server), "work"))
        assert said.startswith("Internal error in tool 'work'") and "hidden" not in said
        assert "MisuseError" in caplog.text

    async def test_it_may_be_caught(self, server: Server) -> None:
        @server.tool
        async def work(context: Context) -> str:
            with pytest.raises(ResourceNotFound, match="Resource not found: nowhere://at/all"):
                await context.read_resource("nowhere://at/all")
            with pytest.raises(InvalidParams, match="Unknown tool"):
                await context.call_tool("nothing")
            return "caught"

        assert text_of(await answer_to(Driver(server), "work")) == "caught"


@pytest.mark.loops
class TestCancels:
    @pytest.mark.parametrize("revision", [NEWEST, "2025-11-25"])
    async def test_a_cancel_reaches_the_innermost(self, server: Server, revision: str) -> None:
        events: list[str] = []

        @server.tool
        async def dig(deeper: int, context: Context) -> None:
            try:
                if deeper:
                    await context.call_tool("dig", {"deeper": deeper - 1})
                await asyncio.Event().wait()
            finally:
                events.append(f"{deeper} {context.cancelled}")

        driver = Driver(server, revision)
        driver.start("dig", id=1, deeper=3)
        await driver.later()
        driver.cancel(1)
        assert await ended(driver) == []
        assert events == ["0 True", "1 True", "2 True", "3 True"] and nothing_is_left(driver)

    async def test_a_cancel_during_a_thread_is_not_lost_on_the_outer_one(self, server: Server) -> None:
        held = Held()
        events: list[str] = []

        @server.tool
        def inner() -> str:
            return held()

        @server.tool
        async def work(context: Context) -> None:
            try:
                await context.call_tool("inner")
                events.append("never")
            finally:
                events.append("stopped")

        driver = Driver(server)
        driver.start("work", id=1)
        await held.began()
        driver.cancel(1)
        await driver.later()
        held.go()
        assert await ended(driver) == []
        assert events == ["stopped"] and nothing_is_left(driver)

    async def test_a_checkpoint_inside_knows_of_it(self, server: Server) -> None:
        held = Held()
        seen: list[str] = []

        @server.tool
        def inner(context: Context) -> None:
            held()
            try:
                context.checkpoint()
            except Interrupted as error:
                seen.append(str(error.reason))
                raise

        @server.tool
        async def work(context: Context) -> None:
            await context.call_tool("inner")

        driver = Driver(server)
        driver.start("work", id=1)
        await held.began()
        driver.cancel(1)
        held.go()
        assert await ended(driver) == []
        assert seen == ["parent cancelled: user: its client has cancelled it"] and nothing_is_left(driver)

    async def test_a_mask_inside_holds_off_a_cancel_of_the_request(self, server: Server) -> None:
        events: list[str] = []
        gate = asyncio.Event()

        @server.tool
        async def inner(context: Context) -> None:
            with context.masked():
                await gate.wait()
                events.append("finished")
            await asyncio.sleep(0)
            events.append("never")

        @server.tool
        async def work(context: Context) -> None:
            await context.call_tool("inner")

        driver = Driver(server)
        driver.start("work", id=1)
        await driver.later()
        driver.cancel(1)
        await driver.later()
        gate.set()
        assert await ended(driver) == []
        assert events == ["finished"] and nothing_is_left(driver)

    async def test_children_and_dependencies_of_the_inner_one_end_with_it(self, server: Server) -> None:
        events: list[str] = []

        async def opened() -> AsyncGenerator[str, None]:
            yield "value"
            events.append("closed")

        async def child() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                events.append("stopped")

        @server.tool
        async def inner(context: Context, value: str = Depends(opened)) -> str:
            context.spawn(child())
            await asyncio.sleep(0)
            return value

        @server.tool
        async def work(context: Context) -> str:
            result: Any = await context.call_tool("inner")
            assert events in (["closed", "stopped"], ["stopped", "closed"])
            return result.content[0].text

        driver = Driver(server)
        assert text_of(await answer_to(driver, "work")) == "value" and nothing_is_left(driver)

    async def test_a_child_of_the_inner_one_that_fails_is_the_failure_of_the_request(self, server: Server) -> None:
        async def fail() -> None:
            raise ToolError("the child says no")

        @server.tool
        async def inner(context: Context) -> None:
            context.spawn(fail())
            await asyncio.Event().wait()

        @server.tool
        async def work(context: Context) -> str:
            await context.call_tool("inner")
            return "never"

        driver = Driver(server)
        assert text_of(await answer_to(driver, "work")) == "the child says no" and nothing_is_left(driver)


@pytest.mark.loops
class TestTheEnd:
    """What a request has left behind calls nothing any more, also where the request is only just over."""

    @pytest.mark.parametrize("where", ["outer", "nested", "layered"])
    async def test_nothing_begins_when_it_is_over(self, where: str) -> None:
        begun: list[str] = []
        strays: list[asyncio.Task[Any]] = []
        done = asyncio.Event()

        def slowly(next: Any) -> Any:
            async def handler(request: Any) -> Any:
                result = await next(request)
                done.set()
                await asyncio.wait(strays)
                return result

            return handler

        server = Server("x", middleware=[slowly] if where == "layered" else [])

        @server.tool
        async def inner() -> None:
            begun.append("inner")

        @server.tool
        async def leaves(context: Context) -> str:
            async def stray() -> None:
                await done.wait()
                await context.call_tool("inner")

            strays.append(asyncio.get_running_loop().create_task(stray()))
            return "left"

        @server.tool
        async def outer(context: Context) -> str:
            result = await context.call_tool("leaves")
            done.set()
            await asyncio.wait(strays)
            return result.text

        assert text_of(await answer_to(Driver(server), "outer" if where == "nested" else "leaves")) == "left"
        done.set()
        await asyncio.wait(strays)
        with pytest.raises(MisuseError, match=r"'leaves'.* is over; it cannot call tool 'inner'.* any more"):
            strays[0].result()
        assert begun == []

    @pytest.mark.parametrize("waits", [False, True])
    @pytest.mark.parametrize("how", ["alone", "gather", "wait_for", "shared"])
    async def test_a_layer_around_may_still_call(self, how: str, waits: bool) -> None:
        called: list[str] = []

        def auditing(next: Any) -> Any:
            async def handler(request: Any) -> Any:
                result = await next(request)
                if request.name == "work":
                    audit = request.context.call_tool("audit")
                    await (
                        asyncio.gather(audit)
                        if how == "gather"
                        else asyncio.wait_for(audit, LIMIT)
                        if how == "wait_for"
                        else audit
                    )
                return result

            return handler

        server = Server("x", middleware=[SingleFlight(), auditing] if how == "shared" else [auditing])

        @server.tool
        async def deeper() -> None:
            called.append("deeper")

        @server.tool
        async def audit(context: Context) -> None:
            called.append("audit")
            await context.call_tool("deeper")

        @server.tool(annotations=ToolAnnotations(read_only_hint=True))
        async def work(context: Context) -> str:
            if waits:
                await asyncio.sleep(0)
            return "done"

        driver = Driver(server)
        assert text_of(await answer_to(driver, "work")) == "done"
        assert called == ["audit", "deeper"] and nothing_is_left(driver)

    def test_a_thread_that_cleans_up_after_its_limit_may_still_call(self) -> None:
        called: list[str] = []

        async def program() -> None:
            loop: Any = asyncio.get_running_loop()
            server = Server("x", request_timeout=30)
            held = Held()

            @server.tool
            async def release(what: str) -> None:
                called.append(what)

            async def lock(context: Context) -> AsyncGenerator[int, None]:
                yield 1
                await context.call_tool("release", {"what": "lock"})

            @server.tool(timeout=1)
            def work(context: Context, value: Annotated[int, Depends(lock)]) -> None:
                held()
                with context.masked():
                    context.wait(context.call_tool("release", {"what": "file"}))

            driver = Driver(server)
            with loop.expecting_threads():
                driver.start("work", id=1)
                await held.began()
            await asyncio.sleep(1.1)
            (answer,) = driver.said()
            assert text_of(answer) == "tool 'work' did not finish within its 1 s" and called == []
            held.go()
            with loop.expecting_threads():
                await ended(driver)
            assert called == ["file", "lock"] and nothing_is_left(driver)
            server.threads.close()

        run_virtual(program)

    async def test_what_cleans_up_may_still_call(self, server: Server) -> None:
        called: list[str] = []

        @server.tool
        async def release(what: str) -> None:
            called.append(what)

        async def held(context: Context) -> AsyncGenerator[int, None]:
            yield 1
            await context.call_tool("release", {"what": "lock"})

        def held_in_thread(context: Context) -> Generator[int, None, None]:
            yield 1
            context.wait(context.call_tool("release", {"what": "file"}))

        @server.tool
        async def work(
            context: Context, one: Annotated[int, Depends(held)], two: Annotated[int, Depends(held_in_thread)]
        ) -> int:
            return one + two

        driver = Driver(server)
        assert text_of(await answer_to(driver, "work")) == "2"
        assert called == ["file", "lock"] and nothing_is_left(driver)


class TestDepth:
    @pytest.mark.parametrize("kind", ["async", "thread"])
    @pytest.mark.parametrize("depth", [MAX_NESTING, MAX_NESTING + 1])
    async def test_it_is_limited_in_threads_too(
        self, server: Server, kind: str, depth: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        if kind == "async":

            @server.tool
            async def dig(deeper: int, context: Context) -> str:
                if not deeper:
                    return "bottom"
                result: Any = await context.call_tool("dig", {"deeper": deeper - 1})
                return result.content[0].text

        else:

            @server.tool(name="dig")
            def dig_in_thread(deeper: int, context: Context) -> str:
                if not deeper:
                    return "bottom"
                result: Any = context.wait(context.call_tool("dig", {"deeper": deeper - 1}))
                return result.content[0].text

        driver = Driver(server)
        answer = await answer_to(driver, "dig", deeper=depth)
        if depth == MAX_NESTING:
            assert text_of(answer) == "bottom"
        else:
            assert answer["result"]["isError"] and "at most 10 calls may nest" in caplog.text
        assert nothing_is_left(driver)

    async def test_with_fewer_threads_than_levels(self) -> None:
        server = Server("x", max_threads=2)

        @server.tool
        def dig(deeper: int, context: Context) -> int:
            if not deeper:
                return 0
            results = [context.wait(context.call_tool("dig", {"deeper": deeper - 1})) for _ in range(2)]
            return 1 + sum(int(each.content[0].text) for each in results)  # type: ignore[union-attr]

        driver = Driver(server)
        for n in range(5):
            driver.start("dig", id=n, deeper=4)
        assert [text_of(each) for each in await ended(driver)] == ["15"] * 5
        assert nothing_is_left(driver)
        server.threads.close()

    async def test_the_inner_one_may_stream(self, server: Server) -> None:
        @server.tool
        async def stream() -> AsyncGenerator[int, None]:
            yield 1
            yield 2

        @server.tool
        async def work(context: Context) -> str:
            result = await context.call_tool("stream")
            return "error" if result.is_error else "done"

        driver = Driver(server)
        driver.start("work", id=1, meta={"progressToken": "t"})
        one, two, answer = await ended(driver)
        assert (one["params"]["progress"], two["params"]["progress"], text_of(answer)) == (1, 2, "done")


class TestTimeLimit:
    """A called handler's own time: it is held off by a mask, swallowed by nobody else, and ends where the call does."""

    def said(self, inner: Any, *, timeout: str = "10s", then: float = 0.0) -> tuple[list[str], float]:
        """What `outer` makes of the call, and the virtual seconds it took."""
        told: list[str] = []
        took: list[float] = []

        async def program() -> None:
            loop = asyncio.get_running_loop()
            server = Server("x", request_timeout=300)
            server.threads = VirtualThreads()
            server.tool("inner", timeout=timeout)(inner)

            @server.tool
            async def outer(context: Context) -> str:
                begun = loop.time()
                result = await context.call_tool("inner")
                took.append(loop.time() - begun)
                await asyncio.sleep(then)
                return result.content[0].text if result.content else ""  # pyright: ignore[reportAttributeAccessIssue]

            driver = Driver(server)
            told.append(text_of(await answer_to(driver, "outer")))
            assert nothing_is_left(driver)

        run_virtual(program)
        return told, took[0] if took else inf

    LATE = "tool 'inner' did not finish within its 10 s"

    def test_a_mask_holds_it_off(self) -> None:
        async def inner(context: Context) -> str:
            with context.masked():
                await asyncio.sleep(60)
            await asyncio.sleep(60)
            return "never"

        assert self.said(inner) == ([self.LATE], 60)

    def test_a_result_right_behind_a_mask_is_a_result_and_the_caller_goes_on(self) -> None:
        async def inner(context: Context) -> str:
            with context.masked():
                await asyncio.sleep(60)
            return "late"

        assert self.said(inner, then=5) == (["late"], 60)

    def test_who_swallows_it_has_a_result_all_the_same(self) -> None:
        async def inner() -> str:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
            return "late"

        assert self.said(inner, then=5) == (["late"], 11)

    def test_what_waits_for_its_children_has_its_result_before(self) -> None:
        async def inner(context: Context) -> str:
            async def resist() -> None:
                try:
                    await asyncio.sleep(60)
                finally:
                    await asyncio.sleep(5)

            context.spawn(resist())
            await asyncio.sleep(9)
            return "in time"

        assert self.said(inner, then=5) == (["in time"], 10)  # The limit stops the children once more.

    def test_a_failure_of_a_task_group_that_was_caught_before_counts_for_nothing(self) -> None:
        async def inner() -> str:
            async def fail() -> None:
                raise ValueError("no")

            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
            except ExceptionGroup:
                pass
            await asyncio.sleep(60)
            return "never"

        assert self.said(inner, then=5) == ([self.LATE], 10)

    def test_a_checkpoint_in_a_task_group_is_the_only_one_that_notices(self) -> None:
        async def inner(context: Context) -> str:
            async def work() -> None:
                loop = asyncio.get_running_loop()
                ready = loop.create_future()
                loop.call_at(loop.time() + 10, ready.set_result, None)
                with context.masked():
                    await ready
                context.checkpoint()

            async with asyncio.TaskGroup() as group:
                group.create_task(work())
            return "never"

        assert self.said(inner, then=5) == ([self.LATE], 10)

    def test_a_checkpoint_may_notice_first(self) -> None:
        async def inner(context: Context) -> str:
            loop = asyncio.get_running_loop()
            ready = loop.create_future()
            loop.call_at(loop.time() + 10, ready.set_result, None)  # Before the timer of the limit, or with it.
            with context.masked():
                await ready
            context.checkpoint()
            return "never"

        assert self.said(inner, then=5) == ([self.LATE], 10)

    def test_one_in_time_leaves_nothing_behind(self) -> None:
        async def inner() -> str:
            await asyncio.sleep(9)
            return "in time"

        assert self.said(inner, then=60) == (["in time"], 9)

    def test_an_error_of_its_own_is_its_own(self) -> None:
        async def inner() -> str:
            await asyncio.sleep(9)
            raise ToolError("no")

        assert self.said(inner) == (["no"], 9)

    @pytest.mark.parametrize(("begins", "ends"), [(100, 310), (295, 310), (0, 310)])
    def test_one_that_begins_while_the_client_is_asked_has_its_own_time(self, begins: float, ends: float) -> None:
        """It is longer than what is left of the request, until that is postponed; the clock goes on at 300."""
        took: list[float] = []

        async def program() -> None:
            server = Server("x", request_timeout=50)
            loop = asyncio.get_running_loop()
            begun = loop.time()

            @server.tool(timeout="10s")
            async def inner(context: Context) -> None:
                assert 0 < context.remaining <= 10
                await asyncio.Event().wait()

            @server.tool
            async def outer(context: Context) -> str:
                asked = context.spawn(context.elicit("Sure?", bool))
                await asyncio.sleep(begins)
                result = await context.call_tool("inner")
                took.append(loop.time() - begun)
                await asked
                return result.text

            talk = Talk(server, "2025-11-25")
            talk.call("outer")
            (question,) = await talk.next()
            await asyncio.sleep(300 - (loop.time() - begun))
            talk.reply(question, accept(value=True))
            (answer,) = await talk.next()
            assert text_of(answer) == self.LATE

        run_virtual(program)
        assert took == [pytest.approx(ends, abs=0.01)]

    def test_it_stands_still_while_the_client_is_asked(self) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=100)
            begun = asyncio.get_running_loop().time()

            @server.tool(timeout="10s")
            async def inner(context: Context) -> str:
                await asyncio.sleep(4)
                answer = await context.elicit("Sure?", bool)
                await asyncio.sleep(4)
                assert answer.accepted
                assert context.remaining == pytest.approx(2)
                await asyncio.sleep(4)
                return "never"

            @server.tool
            async def outer(context: Context) -> str:
                result = await context.call_tool("inner")
                return result.content[0].text  # pyright: ignore[reportAttributeAccessIssue]

            talk = Talk(server, "2025-11-25")
            talk.call("outer")
            (question,) = await talk.next()
            await asyncio.sleep(50)
            talk.reply(question, {"action": "accept", "content": {"value": True}})
            (answer,) = await talk.next()
            assert text_of(answer) == "tool 'inner' did not finish within its 10 s"
            assert asyncio.get_running_loop().time() - begun == pytest.approx(4 + 50 + 6)

        run_virtual(program)

    def test_one_that_is_told_where_a_mask_is_left_does_not_stop_the_round(self) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=100)

            async def slow() -> AsyncGenerator[int, None]:
                try:
                    yield 1
                finally:
                    await asyncio.sleep(2)

            @server.tool(timeout="1s")
            async def inner(context: Context, value: Annotated[int, Depends(slow)]) -> str:
                answer = await context.elicit("Sure?", bool)
                return str(answer.accepted)

            @server.tool
            async def outer(context: Context) -> str:
                return (await context.call_tool("inner")).text

            talk = Talk(server)
            talk.call("outer")
            (answer,) = await talk.next()
            assert answer["result"]["resultType"] == "input_required"

        run_virtual(program)
