"""Requests that run: cancelled, late, overdue, masked, ended with their connection; what is answered, what is left."""

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from typing import Any

import pytest

from tests.protocol.conversations import legacy
from tests.server.awaiting import Held, answer_to, ended, nothing_is_left, text_of
from tests.server.driving import NEWEST, Driver
from tybalt import Context, Depends, InvalidParams, Server, ToolError
from tybalt.execution import CancelKind, CancelReason, Interrupted, checkpoint
from tybalt.server.call import Call
from tybalt.testing import VirtualLoop, run_virtual

ERAS = [NEWEST, "2025-11-25"]


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server("x")
    yield server
    server.threads.close()


class Work:
    """Handlers that wait on the loop, and what becomes of them."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def wait(self) -> str:
        """It does as it is told."""
        self.events.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            self.events.append("cleaned up")
        return "never"

    async def swallow(self) -> str:
        """It has a result all the same."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass
        return "all the same"

    async def resist(self) -> str:
        """It goes on, for a hundred seconds."""
        for _ in range(10):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                self.events.append("resisted")
        return "late"

    async def translate(self) -> str:
        """It says itself why."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ToolError("I was too slow") from None
        return "never"

    def server(self, **options: Any) -> Server:
        server = Server("x", **options)
        for function in (self.wait, self.swallow, self.resist, self.translate):
            server.tool(function)

            server.tool(name=f"{function.__name__}_told")(told_by(function))
        return server


def told_by(function: Callable[[], Any]) -> Callable[..., Any]:
    """The same for a handler that has a context and a dependency."""

    def provided() -> Callable[[], Any]:
        return function

    async def told(context: Context, provided: Any = Depends(provided, run_in="loop")) -> str:
        return await provided()

    return told


BOTH = pytest.mark.parametrize("suffix", ["", "_told"])


class TestDeadlines:
    """On the loop, with and without a context, in both eras."""

    @BOTH
    @pytest.mark.parametrize("revision", ERAS)
    def test_one_that_waits_is_stopped_and_answered(self, suffix: str, revision: str) -> None:
        work = Work()

        async def program() -> None:
            driver = Driver(work.server(request_timeout=1), revision)
            driver.start(f"wait{suffix}", id=1)
            await asyncio.sleep(0.99)
            assert driver.said() == [] and work.events == ["began"]
            await asyncio.sleep(0.02)
            (answer,) = driver.said()
            assert answer["result"]["isError"] and "did not finish within its 1 s" in text_of(answer)
            assert work.events == ["began", "cleaned up"] and nothing_is_left(driver)

        run_virtual(program)

    @BOTH
    @pytest.mark.parametrize("revision", ERAS)
    def test_a_result_all_the_same_is_a_result(self, suffix: str, revision: str) -> None:
        async def program() -> None:
            driver = Driver(Work().server(request_timeout=1), revision)
            assert text_of(await answer_to(driver, f"swallow{suffix}")) == "all the same"
            answer = await answer_to(driver, f"translate{suffix}")
            assert answer["result"]["isError"] and text_of(answer) == "I was too slow"
            assert nothing_is_left(driver)

        run_virtual(program)

    @BOTH
    @pytest.mark.parametrize("revision", ERAS)
    def test_one_that_goes_on_is_answered_after_its_cleanup_time_and_counted_until_it_ends(
        self, suffix: str, revision: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        work = Work()

        async def program() -> None:
            driver = Driver(work.server(request_timeout=1), revision)
            driver.start(f"resist{suffix}", id=1)
            await asyncio.sleep(5.9)
            assert driver.said() == [] and work.events == ["resisted"]
            await asyncio.sleep(0.2)
            (answer,) = driver.said()
            assert "did not finish within its 1 s" in text_of(answer)
            assert driver.session.connection.in_flight == 0
            assert driver.session.running.lane.running == 1
            assert await ended(driver) == [] and nothing_is_left(driver)

        run_virtual(program)
        (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
        assert "does not stop though it was cancelled" in record.message and "its handler goes on" in record.message

    def test_a_checkpoint_without_a_wait_stops_at_the_deadline(self) -> None:
        async def program() -> None:
            server = Server("x", request_timeout=1)
            loop: Any = asyncio.get_running_loop()

            @server.tool
            async def spin(context: Context) -> None:
                await asyncio.sleep(0)
                while True:
                    loop._now += 0.1  # It blocks the loop.
                    checkpoint()

            driver = Driver(server)
            assert "within its 1 s" in text_of(await answer_to(driver, "spin"))
            assert loop.time() < 1_002

        run_virtual(program)


class Threading:
    """A program on virtual time whose handlers run in real threads."""

    def __init__(self, program: Callable[["Threading"], Any], **options: Any) -> None:
        self._options = options

        async def main() -> None:
            self.loop: Any = asyncio.get_running_loop()
            assert isinstance(self.loop, VirtualLoop)
            self.server = Server("x", **options)
            self.held = Held()
            await program(self)
            self.server.threads.close()

        run_virtual(main)

    async def start(self, driver: Driver, name: str, **options: Any) -> None:
        """Start a tool, and wait until it has begun in its thread."""
        with self.loop.expecting_threads():
            driver.start(name, **options)
            await self.held.began()

    async def end(self, driver: Driver) -> list[dict[str, Any]]:
        self.held.go()
        with self.loop.expecting_threads():
            return await ended(driver)


class TestThreads:
    @pytest.mark.parametrize("revision", ERAS)
    def test_one_without_checkpoints_is_answered_at_the_deadline_and_counted_until_it_ends(
        self, revision: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def program(stage: Threading) -> None:
            stage.server.tool(name="work")(held_by(stage.held))
            driver = Driver(stage.server, revision)
            await stage.start(driver, "work", id=1)
            await asyncio.sleep(0.9)
            assert driver.said() == []
            await asyncio.sleep(0.2)
            (answer,) = driver.said()
            assert answer["result"]["isError"] and "did not finish within its 1 s" in text_of(answer)
            assert driver.session.running.lane.running == 1 and "does not stop" not in caplog.text
            assert driver.session.connection.in_flight == 0
            await asyncio.sleep(5)
            assert "its thread goes on" in caplog.text
            (handler,) = stage.server.statistics().handlers
            assert (handler.overdue, handler.calls, stage.server.statistics().running) == (1, 0, 1)
            assert await stage.end(driver) == [] and nothing_is_left(driver)
            (handler,) = stage.server.statistics().handlers
            assert (handler.overdue, handler.calls, stage.server.statistics().running) == (1, 1, 0)

        Threading(program, request_timeout=1)

    def test_one_that_ends_within_its_cleanup_time_is_not_overdue(self, caplog: pytest.LogCaptureFixture) -> None:
        async def program(stage: Threading) -> None:
            @stage.server.tool
            def work(context: Context) -> None:
                try:
                    stage.held()
                    context.checkpoint()
                finally:
                    ends.append(str(context.cancelled))

            ends: list[str] = []
            driver = Driver(stage.server)
            await stage.start(driver, "work", id=1)
            await asyncio.sleep(1.1)
            assert len(driver.said()) == 1
            assert await stage.end(driver) == [] and nothing_is_left(driver)
            await asyncio.sleep(10)
            assert ends == ["True"]

        Threading(program, request_timeout=1)
        assert caplog.text == ""

    def test_one_that_waits_for_the_loop_is_woken_at_the_deadline(self, caplog: pytest.LogCaptureFixture) -> None:
        caught: list[Interrupted] = []

        async def program(stage: Threading) -> None:
            waits = asyncio.Event()

            async def for_ever() -> None:
                waits.set()
                await asyncio.Event().wait()

            @stage.server.tool
            def work(context: Context) -> None:
                try:
                    context.wait(for_ever())
                except Interrupted as error:
                    caught.append(error)
                    raise

            driver = Driver(stage.server)
            with stage.loop.expecting_threads():
                driver.start("work", id=1)
                await waits.wait()
            await asyncio.sleep(1)
            (answer,) = await stage.end(driver)
            assert "did not finish within its 1 s" in text_of(answer) and nothing_is_left(driver)

        Threading(program, request_timeout=1)
        assert caught[0].reason.kind is CancelKind.TIMEOUT and caplog.text == ""

    def test_a_turn_that_a_thread_keeps_is_nobody_elses(self) -> None:
        async def program(stage: Threading) -> None:
            stage.server.tool(name="work")(held_by(stage.held))
            driver = Driver(stage.server)
            await stage.start(driver, "work", id=1)
            driver.start("work", id=2)
            await asyncio.sleep(3)
            assert [each["id"] for each in driver.said()] == [1, 2]
            assert stage.held.calls == 1
            driver.start("work", id=3)
            await asyncio.sleep(0.1)
            assert stage.held.calls == 1
            assert [each["id"] for each in await stage.end(driver)] == [3]
            assert stage.held.calls == 2 and nothing_is_left(driver)

        Threading(program, request_timeout=1, max_running=1)

    def test_a_cancel_by_its_client_is_overdue_too(self, caplog: pytest.LogCaptureFixture) -> None:
        async def program(stage: Threading) -> None:
            stage.server.tool(name="work")(held_by(stage.held))
            driver = Driver(stage.server)
            await stage.start(driver, "work", id=1)
            driver.cancel(1)
            driver.cancel(1)
            await asyncio.sleep(9.9)
            assert caplog.text == ""
            await asyncio.sleep(0.2)
            assert caplog.text.count("does not stop though it was cancelled (user: its client has cancelled it)") == 1
            assert await stage.end(driver) == [] and nothing_is_left(driver)

        Threading(program)

    def test_one_that_is_left_behind_is_answered_and_gives_its_turn_back_when_it_ends(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def program(stage: Threading) -> None:
            stage.server.tool(name="work")(held_by(stage.held))
            driver = Driver(stage.server)
            await stage.start(driver, "work", id=1)
            (task,) = driver.session.running.tasks()
            await driver.session.drain(0)
            (answer,) = driver.said()
            assert answer["error"]["code"] == 503 and "left behind" in caplog.text
            assert driver.session.running.calls == {} and stage.server.statistics().running == 1
            stage.held.go()
            with stage.loop.expecting_threads():
                await asyncio.wait([task])
            assert await driver.later() == []
            assert stage.server.statistics().running == 0 and nothing_is_left(driver)

        Threading(program)

    @pytest.mark.loops
    async def test_a_result_after_a_cancel_at_the_end_is_delivered(self, server: Server) -> None:
        held = Held()
        server.tool(name="work")(held_by(held))
        driver = Driver(server)
        driver.start("work", id=1)
        await held.began()
        draining = asyncio.create_task(driver.session.drain(0))
        await driver.later()
        held.go()
        await draining
        (answer,) = driver.said()
        assert text_of(answer) == "done" and nothing_is_left(driver)

    @pytest.mark.loops
    async def test_a_cancel_is_seen_at_a_checkpoint(self, server: Server) -> None:
        held = Held()
        seen: list[Interrupted] = []

        @server.tool
        def work(context: Context) -> None:
            held()
            for check in (checkpoint, context.checkpoint):
                try:
                    check()
                except Interrupted as error:
                    seen.append(error)
            checkpoint()

        driver = Driver(server)
        driver.start("work", id=1)
        await held.began()
        driver.cancel(1)
        held.go()
        assert await ended(driver) == []
        assert [each.reason.kind for each in seen] == [CancelKind.USER] * 2 and nothing_is_left(driver)


def held_by(held: Held) -> Callable[[], str]:
    def function() -> str:
        return held()

    return function


@pytest.mark.loops
class TestCancels:
    @BOTH
    @pytest.mark.parametrize("revision", ERAS)
    async def test_it_is_not_answered_and_nothing_is_left(self, suffix: str, revision: str) -> None:
        work = Work()
        driver = Driver(work.server(), revision)
        driver.start(f"wait{suffix}", id=1)
        await driver.later()
        driver.cancel(1)
        driver.cancel(1)
        assert await ended(driver) == []
        assert work.events == ["began", "cleaned up"] and nothing_is_left(driver)

    @BOTH
    @pytest.mark.parametrize("name", ["swallow", "translate", "resist"])
    async def test_whatever_it_does_then(self, name: str, suffix: str) -> None:
        work = Work()
        driver = Driver(work.server())
        driver.start(f"{name}{suffix}", id=1)
        await driver.later()
        driver.cancel(1)
        await driver.later()
        if name == "resist":
            await driver.session.abort(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()  # Ten times it resists.
                for _ in range(10):
                    await asyncio.sleep(0)
                    task.cancel()
        assert await driver.later() == [] and nothing_is_left(driver)

    @BOTH
    async def test_one_that_was_not_begun(self, suffix: str) -> None:
        work = Work()
        driver = Driver(work.server())
        driver.start(f"wait{suffix}", id=1)
        driver.cancel(1)
        assert await ended(driver) == []
        assert work.events in ([], ["began", "cleaned up"]) and nothing_is_left(driver)

    @BOTH
    async def test_one_that_waits_for_its_turn(self, suffix: str) -> None:
        work = Work()
        driver = Driver(work.server(max_running=1))
        driver.start(f"wait{suffix}", id=1)
        driver.start(f"wait{suffix}", id=2)
        await driver.later()
        driver.cancel(2)
        driver.cancel(2)
        assert await driver.later() == [] and work.events == ["began"]
        driver.cancel(1)
        assert await ended(driver) == [] and nothing_is_left(driver)

    @pytest.mark.parametrize("kind", ["async", "thread"])
    async def test_while_a_dependency_is_cleaned_up(self, server: Server, kind: str) -> None:
        events: list[str] = []
        began, gate, held = asyncio.Event(), asyncio.Event(), Held()

        async def opened() -> AsyncGenerator[str, None]:
            yield "value"
            began.set()
            await gate.wait()
            events.append("closed")

        def opened_in_thread() -> Generator[str, None, None]:
            yield "value"
            held()
            events.append("closed")

        def opened_on_loop() -> Generator[str, None, None]:
            yield "value"
            events.append("closed on the loop")

        @server.tool
        async def work(
            first: str = Depends(opened_on_loop, run_in="loop"),
            second: str = Depends(opened if kind == "async" else opened_in_thread),
        ) -> str:
            return first + second

        driver = Driver(server)
        driver.start("work", id=1)
        await (began.wait() if kind == "async" else held.began())
        driver.cancel(1)
        driver.cancel(1)
        assert await driver.later() == [] and events == []
        gate.set()
        held.go()
        assert await ended(driver) == []
        assert events == ["closed", "closed on the loop"] and nothing_is_left(driver)


class TestBatches:
    def test_it_does_not_wait_for_one_that_was_cancelled_and_goes_on(self) -> None:
        work = Work()

        async def program() -> None:
            driver = Driver(work.server(), "2025-03-26")
            calls = [legacy("tools/call", {"name": "resist"}, id=1), legacy("ping", id=2)]
            driver.receive(b"[" + b",".join(calls) + b"]")
            await driver.later()
            driver.cancel(1)
            assert await driver.later() == []
            await asyncio.sleep(10.1)
            ((answer,),) = driver.said()
            assert answer["id"] == 2
            assert await ended(driver) == [] and nothing_is_left(driver)

        run_virtual(program)

    def test_one_that_is_late_is_answered_with_the_rest(self) -> None:
        async def program() -> None:
            driver = Driver(Work().server(request_timeout=1), "2025-03-26")
            calls = [legacy("tools/call", {"name": name}, id=name) for name in ("wait", "swallow", "resist")]
            driver.receive(b"[" + b",".join(calls) + b"]")
            await asyncio.sleep(5.9)
            assert driver.said() == []
            await asyncio.sleep(0.2)
            (answers,) = driver.said()
            told = {answer["id"]: text_of(answer) for answer in answers}
            assert told["swallow"] == "all the same"
            assert "its 1 s" in told["wait"] and "its 1 s" in told["resist"]
            assert await ended(driver) == [] and nothing_is_left(driver)

        run_virtual(program)


@pytest.mark.loops
class TestGroups:
    """What a task group raises is told by the worst in it."""

    async def outcome(self, *errors: BaseException) -> dict[str, Any]:
        server = Server("x")

        async def fail(error: BaseException) -> None:
            raise error

        @server.tool
        async def work() -> None:
            await asyncio.sleep(0)
            async with asyncio.TaskGroup() as group:
                for error in errors:
                    group.create_task(fail(error))

        driver = Driver(server)
        answer = await answer_to(driver, "work")
        assert nothing_is_left(driver)
        return answer

    async def test_one_declared_error_is_that_error(self) -> None:
        answer = await self.outcome(ToolError("no"))
        assert answer["result"]["isError"] and text_of(answer) == "no"
        assert (await self.outcome(InvalidParams("bad")))["error"]["code"] == -32602

    async def test_of_several_the_first(self) -> None:
        assert text_of(await self.outcome(ToolError("one"), ToolError("two"))) == "one"

    async def test_with_one_that_nobody_declared_all_are_masked_and_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = await self.outcome(ToolError("one"), ValueError("hunter2"), ToolError("two"))
        assert "Internal error" in text_of(answer)
        assert all(text not in text_of(answer) for text in ("one", "two", "hunter2"))
        assert all(text in caplog.text for text in ("one", "two", "hunter2"))

    async def test_an_interrupt_is_a_cancel(self) -> None:
        reason = CancelReason(CancelKind.TIMEOUT, "too slow")
        answer = await self.outcome(Interrupted(reason), ToolError("one"))
        assert answer["result"]["isError"] and text_of(answer) == "too slow"

    async def test_checkpoints_of_children_at_the_deadline(self) -> None:
        server = Server("x", request_timeout="1ms")

        @server.tool
        async def work(context: Context) -> None:
            async def child() -> None:
                while True:
                    await asyncio.sleep(0)
                    checkpoint()

            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                group.create_task(child())

        driver = Driver(server)
        assert "did not finish within its 0.001 s" in text_of(await answer_to(driver, "work"))
        assert nothing_is_left(driver)


class TestTheEnd:
    @BOTH
    def test_in_the_grace_it_finishes_and_then_it_is_stopped(self, suffix: str) -> None:
        work = Work()

        async def program() -> None:
            server = work.server()

            @server.tool
            async def brief(context: Context) -> str:
                await asyncio.sleep(3)
                return "finished"

            driver = Driver(server)
            driver.start("brief", id="brief")
            for name in ("wait", "swallow"):
                driver.start(f"{name}{suffix}", id=name)
            await driver.later()
            began = asyncio.get_running_loop().time()
            await driver.session.drain(5)
            assert asyncio.get_running_loop().time() == pytest.approx(began + 5)
            said = {each["id"]: each for each in driver.said()}
            assert text_of(said["brief"]) == "finished"
            assert text_of(said["swallow"]) == "all the same"
            assert said["wait"]["error"]["code"] == 503
            assert work.events == ["began", "cleaned up"] and nothing_is_left(driver)

        run_virtual(program)

    @BOTH
    def test_one_that_resists_is_left_behind_and_answered(self, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
        work = Work()

        async def program() -> None:
            driver = Driver(work.server(max_running=1))
            for n in (1, 2):
                driver.start(f"resist{suffix}", id=n)
            await driver.later()
            (task, _) = driver.session.running.tasks()
            await driver.session.drain(2)
            assert {each["id"]: each["error"]["code"] for each in driver.said()} == {1: 503, 2: 503}
            assert driver.session.running.calls == {}
            await asyncio.wait([task])
            await asyncio.sleep(0)
            assert driver.said() == [] and nothing_is_left(driver)

        run_virtual(program)
        assert caplog.text.count("left behind") == 1

    def test_when_it_is_in_a_hurry(self) -> None:
        async def program() -> None:
            driver = Driver(Work().server())
            driver.start("wait", id=1)
            await driver.later()
            hurry = asyncio.Event()
            draining = asyncio.create_task(driver.session.drain(100, hurry))
            await asyncio.sleep(1)
            assert driver.said() == []
            hurry.set()
            began = asyncio.get_running_loop().time()
            await draining
            assert asyncio.get_running_loop().time() < began + 0.1
            assert [each["error"]["code"] for each in driver.said()] == [503]

        run_virtual(program)

    @pytest.mark.loops
    async def test_a_thread_that_waits_for_the_loop_is_woken(self, server: Server) -> None:
        waits = asyncio.Event()

        async def for_ever() -> None:
            waits.set()
            await asyncio.Event().wait()

        @server.tool
        def work(context: Context) -> None:
            context.wait(for_ever())

        driver = Driver(server)
        driver.start("work", id=1)
        await waits.wait()
        await driver.session.drain(0)
        assert [each["error"]["code"] for each in driver.said()] == [503] and nothing_is_left(driver)


@pytest.mark.loops
async def test_a_thousand_requests_leave_nothing(server: Server) -> None:  # noqa: C901 (one handler of each kind)
    """Of every kind and with every end."""

    async def opened() -> AsyncGenerator[str, None]:
        yield "value"
        await asyncio.sleep(0)

    @server.tool
    async def wait(context: Context) -> None:
        await asyncio.Event().wait()

    @server.tool
    async def bare() -> None:
        await asyncio.Event().wait()

    @server.tool
    async def fail(value: str = Depends(opened)) -> None:
        await asyncio.sleep(0)
        raise ToolError("no")

    @server.tool
    def thread(context: Context) -> str:
        return context.wait(asyncio.sleep(0, "waited"))

    @server.tool
    async def group(context: Context) -> str:
        context.spawn(asyncio.Event().wait())
        result: Any = await context.call_tool("thread")
        return result.content[0].text

    @server.tool
    async def stream() -> AsyncGenerator[int, None]:
        for n in range(3):
            yield n
            await asyncio.sleep(0)

    @server.tool(timeout="1ms")
    async def late(context: Context) -> None:
        await asyncio.Event().wait()

    gc.collect()
    before = alive()
    names = ["wait", "bare", "fail", "thread", "group", "stream", "late"]
    driver = Driver(server)
    answered = 0
    for n in range(1_000):
        driver.start(names[n % len(names)], id=n)
        if n % 3 == 0 or names[n % len(names)] in ("wait", "bare"):
            if n % 2:
                await asyncio.sleep(0)
            driver.cancel(n)
        if n % 100 == 99:
            answered += len([each for each in await ended(driver) if "id" in each])
    assert answered > 300 and nothing_is_left(driver)
    del driver
    server.threads.close()
    for thread in threading.enumerate():
        if thread.name.startswith("tybalt "):  # It may still be putting away what it has just delivered.
            await asyncio.to_thread(thread.join, 5)
    gc.collect()
    assert alive() == before
    assert len(asyncio.all_tasks()) == 1


def alive() -> int:
    return sum(isinstance(each, Call) for each in gc.get_objects())


async def test_a_call_is_freed_without_a_collector(server: Server) -> None:
    @server.tool
    async def wait(context: Context) -> None:
        await asyncio.sleep(0)

    driver = Driver(server)
    await answer_to(driver, "wait")
    gc.collect()
    before = alive()
    gc.disable()
    try:
        for _ in range(50):
            await answer_to(driver, "wait")
        assert alive() <= before + 1
    finally:
        gc.enable()
