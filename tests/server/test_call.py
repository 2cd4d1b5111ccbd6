"""What belongs to one request: children beside the handler, threads that wait for the loop, masks, its clock."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from typing import Annotated, Any

import pytest

from tests.protocol.conversations import message
from tests.server.awaiting import LIMIT, Held, answer_to, ended, nothing_is_left, text_of
from tests.server.driving import NEWEST, Driver
from tybalt import Context, Depends, MisuseError, Server, ToolError
from tybalt.execution import CancelKind, Interrupted, checkpoint, masked
from tybalt.server.call import MAX_CHILDREN
from tybalt.server.waiting import Handover
from tybalt.testing import run_virtual

ELICITS = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("x")
    yield server
    server.threads.close()


class Child:
    """Something spawned that waits to be stopped, and resists as often as it is told."""

    def __init__(self, resists: int = 0) -> None:
        self.resists = resists
        self.events: list[str] = []

    async def run(self) -> str:
        self.events.append("began")
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                await asyncio.sleep(0)
                self.events.append("stopped")
                if self.resists == 0:
                    raise
                self.resists -= 1


@pytest.mark.loops
class TestSpawn:
    @pytest.mark.parametrize("revision", [NEWEST, "2025-11-25"])
    async def test_what_still_runs_at_the_end_is_stopped_and_awaited(self, server: Server, revision: str) -> None:
        child = Child()

        @server.tool
        async def work(context: Context) -> str:
            context.spawn(child.run())
            result = await context.spawn(asyncio.sleep(0, "result"))
            assert child.events == ["began"]
            return result

        driver = Driver(server, revision)
        assert text_of(await answer_to(driver, "work")) == "result"
        assert child.events == ["began", "stopped"] and nothing_is_left(driver)

    async def test_one_that_was_not_begun_is_closed(self, server: Server) -> None:
        child = Child()

        @server.tool
        async def work(context: Context) -> str:
            context.spawn(child.run())
            return "at once"

        assert text_of(await answer_to(Driver(server), "work")) == "at once"
        assert child.events in ([], ["began", "stopped"])

    async def test_a_cancel_of_the_request_stops_them_too(self, server: Server) -> None:
        child = Child()

        @server.tool
        async def work(context: Context) -> None:
            context.spawn(child.run())
            await asyncio.Event().wait()

        driver = Driver(server)
        driver.start("work", id=1)
        await driver.later()
        driver.cancel(1)
        assert await ended(driver) == []
        assert child.events == ["began", "stopped"] and nothing_is_left(driver)

    @pytest.mark.parametrize("waits", [True, False])
    async def test_one_that_fails_fails_the_request(self, server: Server, waits: bool) -> None:
        stopped: list[str] = []

        async def fail() -> None:
            await asyncio.sleep(0)
            raise ToolError("the child says no")

        @server.tool
        async def work(context: Context) -> str:
            child = context.spawn(fail())
            try:
                await (child if waits else asyncio.Event().wait())
            finally:
                stopped.append("stopped")
            return "never"

        driver = Driver(server)
        answer = await answer_to(driver, "work")
        assert answer["result"]["isError"] and text_of(answer) == "the child says no"
        assert stopped == ["stopped"] and nothing_is_left(driver)

    async def test_one_that_fails_while_the_handler_ends_was_not_stopped(self, server: Server) -> None:
        async def fail() -> None:
            raise ToolError("the child says no")

        @server.tool
        async def work(context: Context) -> str:
            context.spawn(fail())
            await asyncio.sleep(0)  # It has failed by now, and nobody was told yet.
            return "result"

        assert text_of(await answer_to(Driver(server), "work")) == "the child says no"

    async def test_what_nobody_declared_is_masked(self, server: Server, caplog: pytest.LogCaptureFixture) -> None:
        async def fail() -> None:
            raise ValueError("hunter2")

        @server.tool
        async def work(context: Context) -> None:
            context.spawn(fail())
            await asyncio.Event().wait()

        answer = await answer_to(Driver(server), "work")
        assert "Internal error" in text_of(answer) and "hunter2" not in text_of(answer)
        assert "hunter2" in caplog.text

    @pytest.mark.parametrize("request_timeout", [0, 1])
    @pytest.mark.parametrize("revision", [NEWEST, "2025-11-25"])
    def test_nor_is_it_told_where_the_handler_does_not_stop(
        self, revision: str, request_timeout: float, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail() -> None:
            raise ValueError("hunter2")

        async def program() -> None:
            server = Server("x", request_timeout=request_timeout)

            @server.tool
            async def work(context: Context) -> None:
                context.spawn(fail())
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    assert "hunter2" not in str(context._call.token.reason)  # pyright: ignore[reportPrivateUsage]
                    await asyncio.sleep(60)

            driver = Driver(server, revision)
            driver.start("work", id=1)
            await asyncio.sleep(CancelKind.FAIL_FAST.cleanup_seconds + 0.1)
            (answer,) = driver.said()
            assert "Internal error" in text_of(answer) and "hunter2" not in str(answer)
            assert await ended(driver) == [] and nothing_is_left(driver)

        run_virtual(program)
        assert "hunter2" in caplog.text and "its handler goes on" in caplog.text

    @pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), asyncio.CancelledError()], ids=repr)
    async def test_whatever_it_raises_the_server_goes_on(self, server: Server, error: BaseException) -> None:
        async def fail() -> None:
            raise error

        @server.tool
        async def work(context: Context) -> str:
            child = context.spawn(fail())
            await asyncio.wait([child])
            return "nothing happened"

        driver = Driver(server)
        answer = await answer_to(driver, "work")
        if isinstance(error, asyncio.CancelledError):
            assert text_of(answer) == "nothing happened"
        else:
            assert "Internal error" in text_of(answer)
        assert nothing_is_left(driver)

    async def test_a_failure_while_it_is_stopped_is_logged(
        self, server: Server, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def fail() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("while stopping")

        @server.tool
        async def work(context: Context) -> str:
            context.spawn(fail())
            await asyncio.sleep(0)
            return "result"

        assert text_of(await answer_to(Driver(server), "work")) == "result"
        assert "a task beside it failed while it was stopped" in caplog.text and "while stopping" in caplog.text

    async def test_one_that_resists_is_waited_for_through_two_cancels(self, server: Server) -> None:
        child = Child(resists=2)

        @server.tool
        async def work(context: Context) -> str:
            context.spawn(child.run())
            await asyncio.Event().wait()
            return "never"

        driver = Driver(server)
        driver.start("work", id=1)
        await driver.later()
        driver.cancel(1)
        await driver.later()
        assert child.events == ["began", "stopped"] and driver.session.running.calls
        for task in driver.session.running.tasks():
            task.cancel()
        await driver.later()
        assert child.events == ["began", "stopped", "stopped"] and driver.session.running.calls
        await driver.session.abort()
        assert child.events == ["began", *["stopped"] * 3] and nothing_is_left(driver)
        assert driver.said() == []

    async def test_a_child_may_spawn_and_a_grandchild_ends_too(self, server: Server) -> None:
        grandchild = Child()

        @server.tool
        async def work(context: Context) -> str:
            async def child() -> None:
                context.spawn(grandchild.run())

            await context.spawn(child())
            await asyncio.sleep(0)
            return "result"

        assert text_of(await answer_to(Driver(server), "work")) == "result"
        assert grandchild.events == ["began", "stopped"]

    async def test_it_is_for_handlers_that_wait_on_the_loop(self, server: Server) -> None:
        refusals: list[str] = []

        def attempt(context: Context) -> None:
            coroutine = asyncio.sleep(0)
            try:
                context.spawn(coroutine)
            except MisuseError as error:
                refusals.append(str(error))

        server.tool(name="in_thread")(attempt)
        server.tool(name="on_loop", run_in="loop")(attempt)

        @server.tool
        async def wrong(context: Context) -> None:
            with pytest.raises(MisuseError, match="spawn\\(\\) takes a coroutine"):
                context.spawn(5)  # type: ignore[arg-type]

        driver = Driver(server)
        for name in ("in_thread", "on_loop", "wrong"):
            assert "isError" not in (await answer_to(driver, name))["result"]
        assert "in a thread, wait for it with context.wait" in refusals[0]
        assert "is a plain function on the loop" in refusals[1]

    async def test_nothing_begins_after_the_end(self, server: Server) -> None:
        kept: list[Context] = []

        @server.tool
        async def work(context: Context) -> None:
            kept.append(context)
            await asyncio.sleep(0)

        await answer_to(Driver(server), "work")
        with pytest.raises(MisuseError, match="is over"):
            kept[0].spawn(asyncio.sleep(0))

    async def test_not_too_many(self, server: Server) -> None:
        @server.tool
        async def work(context: Context) -> None:
            for _ in range(MAX_CHILDREN):
                context.spawn(asyncio.Event().wait())
            with pytest.raises(MisuseError, match="has 1,000 tasks running beside it"):
                context.spawn(asyncio.Event().wait())

        driver = Driver(server)
        assert "isError" not in (await answer_to(driver, "work"))["result"]
        assert nothing_is_left(driver)


@pytest.mark.loops
class TestWait:
    @pytest.mark.parametrize("revision", [NEWEST, "2025-11-25"])
    async def test_a_thread_gets_what_the_loop_makes(self, server: Server, revision: str) -> None:
        async def on_loop() -> str:
            await asyncio.sleep(0)
            assert threading.current_thread() is threading.main_thread()
            return "result"

        @server.tool
        def work(context: Context) -> str:
            future = context.wait(future_of("future"))
            return context.wait(on_loop()) + " " + future

        async def future_of(value: str) -> str:
            return await asyncio.ensure_future(asyncio.sleep(0, value))

        driver = Driver(server, revision)
        assert text_of(await answer_to(driver, "work")) == "result future" and nothing_is_left(driver)

    @pytest.mark.parametrize("error", [ToolError("no"), SystemExit(3), StopIteration(3)], ids=repr)
    async def test_and_what_it_raises(self, server: Server, error: BaseException) -> None:
        caught: list[BaseException] = []

        async def fail() -> None:
            if isinstance(error, StopIteration):
                next(iter(()))
            raise error

        @server.tool
        def work(context: Context) -> None:
            try:
                context.wait(fail())
            except BaseException as raised:  # noqa: BLE001
                caught.append(raised)

        await answer_to(Driver(server), "work")
        assert type(caught[0]) is (RuntimeError if isinstance(error, StopIteration) else type(error))

    async def test_a_cancel_wakes_it(self, server: Server) -> None:
        caught: list[BaseException] = []
        waits = asyncio.Event()

        async def for_ever() -> None:
            waits.set()
            await asyncio.Event().wait()

        @server.tool
        def work(context: Context) -> None:
            try:
                context.wait(for_ever())
            except Interrupted as raised:
                caught.append(raised)
                with pytest.raises(Interrupted):
                    context.wait(asyncio.sleep(0))
                raise

        driver = Driver(server)
        driver.start("work", id=1)
        await waits.wait()
        driver.cancel(1)
        assert await ended(driver) == []
        assert isinstance(caught[0], Interrupted) and caught[0].reason.kind is CancelKind.USER
        assert nothing_is_left(driver)

    async def test_what_it_waits_for_may_be_cancelled_by_somebody_else(self, server: Server) -> None:
        async def give_up() -> None:
            raise asyncio.CancelledError

        @server.tool
        def work(context: Context) -> str:
            with pytest.raises(Interrupted, match="what it waited for was cancelled"):
                context.wait(give_up())
            return "goes on"

        assert text_of(await answer_to(Driver(server), "work")) == "goes on"

    async def test_masked_it_may_wait_to_clean_up(self, server: Server) -> None:
        cleaned: list[str] = []
        waits = asyncio.Event()

        async def for_ever() -> None:
            waits.set()
            await asyncio.Event().wait()

        @server.tool
        def work(context: Context) -> None:
            try:
                context.wait(for_ever())
            finally:
                with context.masked():
                    cleaned.append(context.wait(asyncio.sleep(0, "cleaned")))
                    with pytest.raises(ZeroDivisionError):
                        context.wait(fail())

        async def fail() -> None:
            raise ZeroDivisionError

        driver = Driver(server)
        driver.start("work", id=1)
        await waits.wait()
        driver.cancel(1)
        assert await ended(driver) == []
        assert cleaned == ["cleaned"]

    @pytest.mark.parametrize("of_the_context", [False, True])
    async def test_masked_it_hears_what_became_of_it_and_no_cancel(self, server: Server, of_the_context: bool) -> None:
        heard: list[str] = []
        waits, go = asyncio.Event(), asyncio.Event()

        async def save() -> None:
            waits.set()
            await go.wait()
            raise OSError("disk full")

        @server.tool
        def work(context: Context) -> None:
            with context.masked() if of_the_context else masked():
                try:
                    context.wait(save())
                except OSError as error:
                    heard.append(str(error))
            context.checkpoint()

        driver = Driver(server)
        driver.start("work", id=1)
        await waits.wait()
        driver.cancel(1)
        await asyncio.sleep(0)
        go.set()
        assert await ended(driver) == [] and heard == ["disk full"] and nothing_is_left(driver)

    async def test_not_on_the_loop(self, server: Server) -> None:
        @server.tool(run_in="loop")
        def work(context: Context) -> str:
            with pytest.raises(MisuseError, match="on the loop, `await` it"):
                context.wait(asyncio.sleep(0))
            return "refused"

        assert text_of(await answer_to(Driver(server), "work")) == "refused"

    async def test_more_threads_than_there_are_may_all_wait_for_one_more(self, server: Server) -> None:
        limit = server.statistics().threads.limit
        waiting: list[int] = []

        @server.tool
        def inner(n: int) -> int:
            return n

        @server.tool
        def outer(n: int, context: Context) -> int:
            waiting.append(n)
            result: Any = context.wait(context.call_tool("inner", {"n": n}))
            return result.structured_content

        driver = Driver(server)
        for n in range(2 * limit):
            driver.start("outer", id=n, n=n)
        answers = await ended(driver)
        assert {each["id"]: each["result"]["structuredContent"] for each in answers} == {n: n for n in range(2 * limit)}
        assert nothing_is_left(driver)
        told = server.threads.statistics()
        assert (told.running, told.queued, told.lent) == (0, 0, 0)

    async def test_all_places_may_wait_at_the_same_time(self) -> None:
        server = Server("x", max_threads=2)
        barrier = asyncio.Barrier(5)

        @server.tool
        def meet(context: Context) -> str:
            context.wait(barrier.wait())
            return "met"

        driver = Driver(server)
        for n in range(5):
            driver.start("meet", id=n)
        assert [text_of(each) for each in await ended(driver)] == ["met"] * 5
        server.threads.close()

    async def test_a_thread_may_ask_a_modern_client(self, server: Server) -> None:
        @server.tool
        def work(context: Context) -> str:
            return str(context.wait(context.elicit("Your name?")))

        driver = Driver(server, meta=ELICITS)
        answer = await answer_to(driver, "work")
        assert answer["result"]["resultType"] == "input_required" and nothing_is_left(driver)

    async def test_one_that_is_left_alone_at_the_end_is_woken(self, server: Server) -> None:
        caught: list[BaseException] = []
        waits = asyncio.Event()
        threads: list[threading.Thread] = []

        async def for_ever() -> None:
            waits.set()
            await asyncio.Event().wait()

        @server.tool
        def work(context: Context) -> None:
            def beside() -> None:
                for _ in range(2):
                    try:
                        context.wait(for_ever())
                    except BaseException as error:  # noqa: BLE001
                        caught.append(error)

            threads.append(threading.Thread(target=beside))
            threads[0].start()
            context.wait(waits.wait())

        driver = Driver(server)
        await answer_to(driver, "work")
        await asyncio.get_running_loop().run_in_executor(None, threads[0].join, LIMIT)
        assert not threads[0].is_alive()
        assert [type(each) for each in caught] == [Interrupted, Interrupted]

    async def test_a_handover_that_is_cancelled_before_it_began_is_told(self) -> None:
        coroutine = asyncio.sleep(0)
        handover: Handover[None] = Handover(coroutine)
        task = asyncio.get_running_loop().create_task(handover.run())
        task.add_done_callback(handover.ended)
        task.cancel()
        await asyncio.wait([task])
        await asyncio.sleep(0)
        with pytest.raises(Interrupted, match="before it began"):
            handover.outcome().unwrap()

    async def test_threads_that_are_cancelled_while_they_begin_to_wait_never_hang(self, server: Server) -> None:
        @server.tool
        def work(context: Context) -> None:
            while True:
                context.wait(asyncio.sleep(0))

        driver = Driver(server)
        for n in range(200):
            driver.start("work", id=n)
            for _ in range(n % 7):
                await asyncio.sleep(0)
            driver.cancel(n)
        assert await ended(driver) == [] and nothing_is_left(driver)

    def test_where_the_loop_is_closed(self) -> None:
        kept: list[Context] = []

        async def program() -> None:
            server = Server("x")

            @server.tool
            async def work(context: Context) -> None:
                kept.append(context)
                await asyncio.sleep(0)

            await answer_to(Driver(server), "work")

        asyncio.run(program())
        caught: list[BaseException] = []

        def late() -> None:
            try:
                kept[0].wait(asyncio.sleep(0))
            except Interrupted as error:
                caught.append(error)

        thread = threading.Thread(target=late)
        thread.start()
        thread.join(LIMIT)
        assert "the loop that would do it is closed" in str(caught[0])


class TestMasks:
    @pytest.mark.parametrize("kind", ["context", "bare", "layer", "dependency"])
    def test_a_result_right_behind_one_is_a_result(self, kind: str) -> None:
        async def program() -> None:
            server = Server("x", middleware=[lambda handler: handler] if kind == "layer" else [], request_timeout=1)
            saved: list[str] = []

            async def transaction() -> AsyncGenerator[int, None]:
                yield 1
                await asyncio.sleep(2)
                saved.append("saved")

            async def save() -> str:
                with masked():
                    await asyncio.sleep(2)
                    saved.append("saved")
                return "saved"

            async def save_for(context: Context) -> str:
                return await save()

            async def save_in(number: Annotated[int, Depends(transaction)]) -> str:
                return "saved"

            server.tool(name="save")(save if kind == "bare" else save_in if kind == "dependency" else save_for)
            driver = Driver(server)
            assert text_of(await answer_to(driver, "save")) == "saved" and saved == ["saved"]
            assert nothing_is_left(driver)

        run_virtual(program)

    @pytest.mark.parametrize("nested", [False, True])
    def test_of_two_right_behind_each_other_both_hold(self, nested: bool) -> None:
        steps: list[str] = []

        async def program() -> None:
            server = Server("x", request_timeout=100 if nested else 1)

            @server.tool(timeout="1s")
            async def save() -> None:
                for step in ("reserved", "paid"):
                    with masked():
                        await asyncio.sleep(2)
                        steps.append(step)
                await asyncio.sleep(60)
                steps.append("never")

            @server.tool
            async def outer(context: Context) -> str:
                return (await context.call_tool("save")).text

            driver = Driver(server)
            begun = asyncio.get_running_loop().time()
            answer = await answer_to(driver, "outer" if nested else "save")
            assert text_of(answer) == "tool 'save' did not finish within its 1 s"
            assert asyncio.get_running_loop().time() - begun == pytest.approx(4)
            assert nothing_is_left(driver)

        run_virtual(program)
        assert steps == ["reserved", "paid"]

    def test_a_result_is_kept_while_children_are_stopped(self) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=1)

            @server.tool
            async def work(context: Context) -> str:
                async def resist() -> None:
                    try:
                        await asyncio.sleep(60)
                    finally:
                        await asyncio.sleep(5)

                context.spawn(resist())
                await asyncio.sleep(0.5)
                return "in time"

            driver = Driver(server)
            assert text_of(await answer_to(driver, "work")) == "in time" and nothing_is_left(driver)

        run_virtual(program)

    def test_who_asks_while_something_is_masked_does_not_make_it_forget_its_limit(self) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=1)

            @server.tool
            async def work(context: Context) -> None:
                told = asyncio.Event()

                async def asks() -> None:
                    await told.wait()
                    try:
                        async with asyncio.timeout(0.5):
                            await context.elicit("?", key="key")
                    except TimeoutError:
                        pass

                async def works() -> None:
                    await told.wait()
                    with context.masked():
                        await asyncio.sleep(1)

                context.spawn(asks())
                context.spawn(works())
                with context.masked():
                    await asyncio.sleep(2)
                    told.set()
                await asyncio.Event().wait()

            driver = Driver(server)
            begun = asyncio.get_running_loop().time()
            assert "did not finish within its 1 s" in text_of(await answer_to(driver, "work", meta=ELICITS))
            assert asyncio.get_running_loop().time() - begun == pytest.approx(3) and nothing_is_left(driver)

        run_virtual(program)

    @pytest.mark.loops
    async def test_a_cancel_waits_until_the_mask_is_left(self, server: Server) -> None:
        events: list[str] = []
        gate = asyncio.Event()

        @server.tool
        async def work(context: Context) -> None:
            with context.masked():
                await gate.wait()
                context.checkpoint()
                checkpoint()
                events.append("finished")
            await asyncio.sleep(0)
            events.append("never")

        driver = Driver(server)
        driver.start("work", id=1)
        await driver.later()
        driver.cancel(1)
        await driver.later()
        assert events == [] and driver.session.running.calls
        gate.set()
        assert await ended(driver) == []
        assert events == ["finished"] and nothing_is_left(driver)

    @pytest.mark.loops
    @pytest.mark.parametrize("of_the_context", [True, False])
    async def test_in_a_thread(self, server: Server, of_the_context: bool) -> None:
        events: list[str] = []
        held = Held()

        @server.tool
        def work(context: Context) -> None:
            with context.masked() if of_the_context else masked():
                held()
                context.checkpoint()
                checkpoint()
                events.append(context.wait(asyncio.sleep(0, "finished")))
            (checkpoint if of_the_context else context.checkpoint)()
            events.append("never")

        driver = Driver(server)
        driver.start("work", id=1)
        await held.began()
        driver.cancel(1)
        held.go()
        assert await ended(driver) == []
        assert events == ["finished"] and nothing_is_left(driver)

    def test_a_deadline_waits_too_and_is_answered_then(self) -> None:
        events: list[str] = []

        async def program() -> None:
            server = Server("x", request_timeout=1)

            @server.tool
            async def work(context: Context) -> None:
                with context.masked():
                    await asyncio.sleep(3)
                    events.append("finished")
                await asyncio.sleep(0)
                events.append("never")

            driver = Driver(server)
            driver.start("work", id=1)
            await asyncio.sleep(2.9)
            assert driver.said() == []
            await asyncio.sleep(0.2)
            (answer,) = driver.said()
            assert answer["result"]["isError"] and "did not finish within its 1 s" in text_of(answer)
            assert nothing_is_left(driver)

        run_virtual(program)
        assert events == ["finished"]

    def test_one_that_is_never_left_is_bounded(self, caplog: pytest.LogCaptureFixture) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=1)

            @server.tool
            async def work(context: Context) -> str:
                with context.masked():
                    await asyncio.sleep(100)
                return "late"

            driver = Driver(server)
            driver.start("work", id=1)
            await asyncio.sleep(5.9)
            assert driver.said() == []
            await asyncio.sleep(0.2)
            (answer,) = driver.said()
            assert "did not finish within its 1 s" in text_of(answer)
            assert driver.session.running.lane.running == 1
            assert await ended(driver) == [] and nothing_is_left(driver)

        run_virtual(program)
        assert "does not stop though it was cancelled" in caplog.text

    def test_the_end_of_the_server_waits_for_it_as_long_as_it_waits_for_anything(self) -> None:
        events: list[str] = []

        async def program() -> None:
            server = Server("x")

            @server.tool
            async def work(context: Context) -> None:
                with context.masked():
                    await asyncio.sleep(0.5)
                    events.append("finished")
                await asyncio.sleep(0)
                events.append("never")

            driver = Driver(server)
            driver.start("work", id=1)
            await driver.later()
            await driver.session.drain(0)
            (answer,) = driver.said()
            assert answer["error"]["code"] == 503 and nothing_is_left(driver)

        run_virtual(program)
        assert events == ["finished"]


def asked_driver(server: Server) -> Driver:
    """A legacy client that can be asked."""
    driver = Driver(server)
    info = {"name": "client", "version": "1"}
    capabilities = {"elicitation": {}}
    params = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": info}
    driver.receive(message(id="hello", method="initialize", params=params))
    driver.receive(message(method="notifications/initialized"))
    driver.revision = "2025-11-25"
    return driver


class TestItsClock:
    """The time that a legacy client takes for an answer is not the handler's."""

    def program(self, *waits: float, meta: dict[str, Any] | None = None, after: float = 0.0) -> Any:
        """The answer where the client takes so long for each question, asked at once, and the handler `after` more."""
        found: list[Any] = []

        async def program() -> None:
            server = Server("x", request_timeout=30)

            @server.tool
            async def work(context: Context) -> str:
                answers = await asyncio.gather(*(context.elicit(f"{n}?", key=str(n)) for n in range(len(waits))))
                await asyncio.sleep(after)
                return str(len(answers))

            driver = asked_driver(server)
            began = asyncio.get_running_loop().time()
            driver.start("work", id="call", meta=meta)
            found.extend(await driver.later())
            questions = [each for each in found if each.get("method") == "elicitation/create"]
            for question, wait in sorted(zip(questions, waits, strict=True), key=lambda pair: pair[1]):
                await asyncio.sleep(began + wait - asyncio.get_running_loop().time())
                accepted = {"action": "accept", "content": {"value": "yes"}}
                driver.receive(message(id=question["id"], result=accepted))
            found.extend(await ended(driver))
            assert nothing_is_left(driver)

        run_virtual(program)
        return next(each for each in found if each.get("id") == "call")

    def test_it_stands_still_while_the_client_is_asked(self) -> None:
        assert text_of(self.program(100.0, after=29.0)) == "1"
        assert "did not finish within its 30 s" in text_of(self.program(100.0, after=31.0))

    def test_until_the_last_of_several_questions_is_answered(self) -> None:
        assert text_of(self.program(10.0, 100.0, 50.0, after=29.0)) == "3"
        assert "did not finish within its 30 s" in text_of(self.program(10.0, 100.0, after=31.0))

    def test_what_its_caller_allows_goes_on(self) -> None:
        meta = {"dev.tybalt/budget": {"deadlineMs": 20_000}}
        assert text_of(self.program(10.0, after=9.0, meta=meta)) == "1"
        assert "its caller allows" in text_of(self.program(10.0, after=11.0, meta=meta))
        meta = {"dev.tybalt/budget": {"deadlineMs": 60_000}}
        assert text_of(self.program(35.0, after=24.0, meta=meta)) == "1"
        assert "within" in text_of(self.program(35.0, after=26.0, meta=meta))

    def test_in_a_thread_and_in_one_that_it_calls(self) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=30)
            loop: Any = asyncio.get_running_loop()

            @server.tool
            def inner(context: Context) -> str:
                context.wait(context.elicit("?"))
                checkpoint()
                context.checkpoint()
                return f"{context.remaining:g}"

            @server.tool
            async def work(context: Context) -> str:
                result: Any = await context.call_tool("inner")
                return result.content[0].text

            driver = asked_driver(server)
            asked = asyncio.Event()
            write = driver.output.write

            def tell(*messages: bytes) -> None:
                write(*messages)
                asked.set()

            driver.output.write = tell  # type: ignore[method-assign]
            for name in ("inner", "work"):
                asked.clear()
                with loop.expecting_threads():
                    driver.start(name, id="call")
                    await asked.wait()
                (question,) = driver.said()
                await asyncio.sleep(100)
                with loop.expecting_threads():
                    accepted = {"action": "accept", "content": {"value": "yes"}}
                    driver.receive(message(id=question["id"], result=accepted))
                    (answer,) = await ended(driver)
                assert text_of(answer) == "30"
            server.threads.close()

        run_virtual(program)

    def test_a_cancel_meanwhile_is_the_end_of_it(self, caplog: pytest.LogCaptureFixture) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=30)

            @server.tool
            async def work(context: Context) -> None:
                await context.elicit("?")

            driver = asked_driver(server)
            driver.start("work", id="call")
            await asyncio.sleep(5)
            driver.cancel("call")
            await asyncio.sleep(0.1)
            assert nothing_is_left(driver)
            assert [each.get("method") for each in driver.said()] == ["elicitation/create", "notifications/cancelled"]
            await asyncio.sleep(100)

        run_virtual(program)
        assert "does not stop" not in caplog.text
