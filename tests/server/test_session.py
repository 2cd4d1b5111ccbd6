"""`Session`: messages to answers in both eras, what runs on, cancels, reused ids, batches, changes, the end."""

import asyncio
import contextlib
import functools
import gc
import inspect
import logging
import os
import weakref
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from sys import version_info
from typing import Any

import msgspec
import pytest

from tests.protocol.conversations import decoded, initialize, legacy, message, modern
from tests.server.driving import LEGACY, NEWEST, REVISIONS, Driver, Output
from tybalt import Context, McpError, Server, ToolError, tool
from tybalt.protocol.connection import Client
from tybalt.protocol.frames import Oversized
from tybalt.server.session import Session
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation
from tybalt.types.logging import LOGGING_LEVELS


class Gate:
    """A handler that waits until it is let through, and tells what became of it."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.opened = asyncio.Event()
        self.events: list[str] = []
        self.stubborn = stubborn

    async def wait(self, name: str = "x") -> str:
        self.events.append(f"{name} began")
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.events.append(f"{name} was stopped")
            if not self.stubborn:
                raise
        self.events.append(f"{name} ended")
        return name

    async def wait_in_context(self, context: Context, name: str = "x") -> str:
        return await self.wait(name)

    def server(self) -> Server:
        return Server("x", run_in="loop").add(
            self.wait, self.wait_in_context, tool(name="in_time", timeout=60)(self.wait), add
        )


def add(a: int, b: int = 1) -> int:
    return a + b


async def add_at_once(a: int) -> int:
    return a + 1


WAITING = ["wait", "wait_in_context", "in_time"]


class TestMessages:
    def test_both_eras_on_one_connection(self) -> None:
        session = Server("x", run_in="loop").add(add).session(Output())
        call = {"name": "add", "arguments": {"a": 1}}

        def structured(text: bytes) -> Any:
            return decoded(session.receive(text))["result"].get("structuredContent")

        assert structured(modern("tools/call", call)) == 2
        assert "result" in decoded(session.receive(initialize("2025-06-18")))
        for _ in range(2):
            assert structured(legacy("tools/call", call)) == {"result": 2}
            assert structured(legacy("ping")) is None
            assert structured(modern("tools/call", call)) == 2
            assert structured(modern("tools/list")) is None

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_calls_and_others_in_turn(self, revision: str) -> None:
        """The session guesses that a message is of the kind the last one was; a wrong guess must not show."""
        driver = Driver(Server("x", run_in="loop").add(add), revision)
        for _ in range(3):
            assert driver.texts(driver.call("add", a=1)) == ["2"]
            assert driver.texts(driver.call("add", a=2)) == ["3"]
            assert len(driver.result("tools/list")["tools"]) == 1
            assert driver.error("tools/call", {"name": "nothing"})["code"] == -32602
            assert driver.error("tools/call", {})["code"] == -32602
            assert driver.error("nonsense")["code"] in (-32601, -32600)
            assert driver.receive(b"{")["error"]["code"] == -32700

    @pytest.mark.parametrize("text", ["ü", "x" * 5_000, "☃" * 5_000])
    def test_long_and_non_ascii_messages_take_the_careful_way_to_the_same_end(self, text: str) -> None:
        def length(text: str) -> int:
            return len(text)

        for revision in REVISIONS:
            driver = Driver(Server("x", run_in="loop").add(length), revision)
            assert driver.texts(driver.call("length", text=text)) == [str(len(text))]

    def test_what_is_not_utf_8_is_refused_wherever_it_stands(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(add))
        text = driver.encoded("tools/call", {"name": "add", "arguments": {"a": 1}})
        assert driver.receive(text.replace(b'"a":1', b'"a":1,"x":"\xff"'))["error"]["code"] == -32700

    def test_an_oversized_message_is_told_its_limit(self) -> None:
        answer = decoded(Server("x", run_in="loop").session(Output()).receive(Oversized(size=11, limit=10)))
        assert answer["error"]["code"] == -32600 and "longer than 10 bytes" in answer["error"]["message"]

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_what_needs_no_answer_gets_none(self, revision: str) -> None:
        driver = Driver(Server("x", run_in="loop").add(add), revision)
        for text in (
            message(method="nonsense"),
            message(method="tools/call", params={"name": "add", "arguments": {"a": 1}}),
            message(id=1, result={}),
            message(method="notifications/cancelled", params={"requestId": 99}),
        ):
            assert driver.receive(text) is None
        assert driver.said() == []

    @pytest.mark.parametrize("method", ["resources/list", "resources/templates/list", "prompts/list"])
    def test_what_a_server_has_not_is_not_there(self, method: str) -> None:
        assert Driver(Server("x", run_in="loop").add(add)).error(method)["code"] == -32601


class TestLater:
    @pytest.mark.loops
    @pytest.mark.parametrize("name", WAITING)
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_answers_come_when_they_are_ready(self, revision: str, name: str) -> None:
        gate = Gate()
        driver = Driver(gate.server(), revision)
        driver.start(name, id="slow")
        assert await driver.later() == []
        assert driver.texts(driver.call("add", a=1)) == ["2"]
        assert driver.session.connection.in_flight == 1
        gate.opened.set()
        (answer,) = await driver.later()
        assert answer["id"] == "slow" and driver.texts(answer["result"]) == ["x"]
        assert driver.session.connection.in_flight == 0

    @pytest.mark.skipif(version_info < (3, 12), reason="eager tasks came with 3.12")
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_an_async_handler_that_never_waits_is_answered_at_once(self, revision: str) -> None:
        async def in_context(a: int, context: Context) -> int:
            return a + 1

        server = Server("x", run_in="loop").add(add_at_once, in_context, tool(name="in_time", timeout=60)(add_at_once))
        driver = Driver(server, revision)
        for name in ("add_at_once", "in_context", "in_time"):
            assert driver.texts(driver.call(name, a=1)) == ["2"]
        assert driver.session.connection.in_flight == 0

    async def test_handlers_do_not_see_each_others_context_variables(self) -> None:
        from contextvars import ContextVar

        seen = ContextVar("seen", default=0)

        async def count() -> int:
            seen.set(seen.get() + 1)
            await asyncio.sleep(0)
            return seen.get()

        driver = Driver(Server("x", run_in="loop").add(count))
        for _ in range(3):
            driver.start("count")
        assert [answer["result"]["structuredContent"] for answer in await driver.later()] == [1, 1, 1]

    @pytest.mark.parametrize("name", WAITING)
    async def test_a_reused_id_is_answered_each_time(self, name: str) -> None:
        gate = Gate()
        driver = Driver(gate.server())
        for word in ("a", "b", "c"):
            driver.session.receive(driver.encoded("tools/call", {"name": name, "arguments": {"name": word}}, id=7))
        gate.opened.set()
        answers = await driver.later()
        assert {answer["id"] for answer in answers} == {7}
        assert sorted(answer["result"]["structuredContent"] for answer in answers) == ["a", "b", "c"]


class TestCancel:
    @pytest.mark.loops
    @pytest.mark.parametrize("name", WAITING)
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_the_handler_is_stopped_and_nothing_is_sent(self, revision: str, name: str) -> None:
        gate = Gate()
        driver = Driver(gate.server(), revision)
        driver.start(name, id=1)
        await driver.later()
        driver.cancel(1)
        assert await driver.later() == []
        assert gate.events == ["x began", "x was stopped"]
        assert driver.session.connection.in_flight == 0

    @pytest.mark.parametrize("name", WAITING)
    async def test_before_the_handler_began(self, name: str) -> None:
        gate = Gate()
        driver = Driver(gate.server())
        driver.start(name, id=1)
        driver.cancel(1)
        assert await driver.later() == []
        assert gate.events in ([], ["x began", "x was stopped"])

    @pytest.mark.parametrize("name", WAITING)
    async def test_after_the_answer_and_twice(self, name: str) -> None:
        gate = Gate()
        driver = Driver(gate.server())
        driver.start(name, id=1)
        gate.opened.set()
        (answer,) = await driver.later()
        assert "result" in answer
        driver.cancel(1)
        gate.opened.clear()
        driver.start(name, id=2)
        await driver.later()
        driver.cancel(2)
        driver.cancel(2)
        assert await driver.later() == []

    async def test_in_the_same_turn_as_the_end(self) -> None:
        """The handler is done, its answer not yet written: the cancel still holds."""
        gate = Gate()
        driver = Driver(gate.server())
        driver.start("wait", id=1)
        await driver.later()
        gate.opened.set()
        driver.cancel(1)
        assert await driver.later() == []

    @pytest.mark.parametrize("name", WAITING)
    async def test_a_handler_that_goes_on_is_not_heard(self, name: str) -> None:
        gate = Gate(stubborn=True)
        driver = Driver(gate.server())
        driver.start(name, id=1)
        await driver.later()
        driver.cancel(1)
        assert await driver.later() == []
        assert gate.events[-1] == "x ended"

    async def test_a_handler_that_fails_while_it_stops_is_not_heard(self) -> None:
        async def awkward() -> int:
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("while stopping")
            return 1

        driver = Driver(Server("x", run_in="loop").add(awkward))
        driver.start("awkward", id=1)
        await driver.later()
        driver.cancel(1)
        assert await driver.later() == []

    async def test_every_request_of_a_reused_id(self) -> None:
        gate = Gate()
        driver = Driver(gate.server())
        for _ in range(3):
            driver.start("wait", id=1)
        driver.start("wait", id="1")
        await driver.later()
        driver.cancel(1)
        await driver.later()
        assert gate.events.count("x was stopped") == 3
        gate.opened.set()
        (answer,) = await driver.later()
        assert answer["id"] == "1"

    async def test_nothing_is_told_after_a_cancel(self) -> None:
        async def report(context: Context) -> None:
            assert not context.cancelled
            try:
                await asyncio.Event().wait()
            finally:
                assert context.cancelled
                await context.report_progress(1)
                await context.error("too late")

        driver = Driver(Server("x", run_in="loop").add(report), "2025-11-25")
        driver.start("report", id=1, meta={"progressToken": 1})
        await driver.later()
        driver.cancel(1)
        assert await driver.later() == []


class TestBatches:
    def batch(self, *messages: bytes) -> bytes:
        return b"[" + b",".join(messages) + b"]"

    async def test_one_array_answers_all_when_the_last_is_done(self) -> None:
        gate = Gate()
        driver = Driver(gate.server(), "2025-03-26")
        slow = [legacy("tools/call", {"name": name}, id=name) for name in WAITING]
        quick = [legacy("tools/call", {"name": "add", "arguments": {"a": 1}}, id="q"), legacy("ping", id="p")]
        assert driver.receive(self.batch(*slow, *quick, message(method="nonsense"), b"5")) is None
        assert await driver.later() == []
        assert driver.call("add", a=2)["content"][0]["text"] == "3"
        gate.opened.set()
        (answers,) = await driver.later()
        assert {answer.get("id") for answer in answers} == {*WAITING, "q", "p", None}
        assert len(answers) == 6

    async def test_one_that_is_cancelled_is_left_out(self) -> None:
        gate = Gate()
        driver = Driver(gate.server(), "2025-03-26")
        driver.receive(self.batch(legacy("tools/call", {"name": "wait"}, id=1), legacy("ping", id=2)))
        await driver.later()
        driver.cancel(1)
        (answers,) = await driver.later()
        assert [answer["id"] for answer in answers] == [2]

    def test_at_once_where_nothing_waits(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(add), "2025-03-26")
        answers = driver.receive(self.batch(legacy("ping", id=1), legacy("tools/list", id=2)))
        assert [answer["id"] for answer in answers] == [1, 2]

    def test_nothing_where_nothing_is_asked(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(add), "2025-03-26")
        assert driver.receive(self.batch(message(method="a"), message(id=1, result={}))) is None

    def test_a_long_batch_and_initialize_inside(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(add), "2025-03-26")
        assert len(driver.receive(self.batch(*[legacy("ping", id="x" * 50)] * 100))) == 100
        assert driver.receive(self.batch(*[legacy("ping")] * 101))["error"]["code"] == -32600
        (answer,) = driver.receive(self.batch(initialize("2025-11-25")))
        assert answer["error"]["code"] == -32600


class TestSubscriptions:
    def server(self) -> Server:
        server = Server("x", run_in="loop").add(add)
        server.resource("r://{id}")(of_id)
        return server

    def test_resources_in_both_eras(self) -> None:
        server = self.server()
        legacies = [Driver(server, revision) for revision in LEGACY]
        for driver in legacies:
            assert driver.result("resources/subscribe", {"uri": "r://1"}) == {}
        listening, silent = Driver(server), Driver(server)
        listening.ask("subscriptions/listen", {"notifications": {"resourceSubscriptions": ["r://1", "r://2"]}}, id=5)
        server.resource_updated("r://1")
        server.resource_updated("r://2")
        server.resource_updated("r://3")
        for driver in legacies:
            assert [each["params"]["uri"] for each in driver.said()] == ["r://1"]
            assert driver.result("resources/unsubscribe", {"uri": "r://1"}) == {}
        tagged = listening.said()
        assert [each["params"]["uri"] for each in tagged] == ["r://1", "r://2"]
        assert {each["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"] for each in tagged} == {5}
        server.resource_updated("r://1")
        assert [driver.said() for driver in legacies] == [[]] * len(LEGACY)
        assert silent.said() == []

    async def test_the_end_is_told_with_a_result_and_then_a_cancel(self) -> None:
        driver = Driver(self.server())
        acknowledged = driver.ask("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
        assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
        await driver.session.drain(0)
        result, cancelled = driver.said()
        assert (result["id"], result["result"]["resultType"]) == ("s", "complete")
        assert cancelled["method"] == "notifications/cancelled" and cancelled["params"]["requestId"] == "s"

    def test_a_client_ends_it_without_a_word(self) -> None:
        server = self.server()
        driver = Driver(server)
        driver.ask("subscriptions/listen", {"notifications": {"toolsListChanged": True}}, id="s")
        driver.cancel("s")
        server.add(add_at_once)
        assert driver.said() == []


def of_id(id: str) -> str:
    return id


class TestTheEnd:
    @pytest.mark.parametrize("name", WAITING)
    async def test_what_ends_within_the_grace_is_answered(self, name: str) -> None:
        gate = Gate()
        driver = Driver(gate.server())
        driver.start(name, id=1)
        await driver.later()
        draining = asyncio.create_task(driver.session.drain(30))
        assert await driver.later() == [] and not draining.done()
        gate.opened.set()
        (answer,) = await driver.later()
        await draining
        assert "result" in answer

    @pytest.mark.parametrize("name", WAITING)
    async def test_what_does_not_is_stopped_and_told(self, name: str) -> None:
        gate = Gate()
        driver = Driver(gate.server())
        driver.start(name, id=1)
        await driver.later()
        await driver.session.drain(0)
        (answer,) = driver.said()
        assert answer["error"]["code"] == 503
        assert gate.events == ["x began", "x was stopped"]
        await driver.session.abort()

    async def test_nothing_runs_nothing_waits(self) -> None:
        driver = Driver(Gate().server())
        await driver.session.drain(30)
        assert driver.said() == []


class Odd(BaseException):
    """What no `except Exception` catches, such as a panic of a native library."""


ODD = (SystemExit(3), Odd("secret"), GeneratorExit(), asyncio.CancelledError(), BaseExceptionGroup("secret", [Odd()]))


@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("kind", ["plain", "with a context", "async", "async with a context", "after a wait", "prompt"])
async def test_whatever_a_handler_raises_fails_that_handler_only(error: BaseException, kind: str) -> None:
    server = Server("x", run_in="loop")

    async def wait_and_fail() -> int:
        await asyncio.sleep(0)
        raise error

    async def fail_at_once() -> int:
        raise error

    async def fail_at_once_with(context: Context) -> int:
        raise error

    def fail() -> int:
        raise error

    def fail_with(context: Context) -> int:
        raise error

    handlers = {"plain": fail, "with a context": fail_with, "async": fail_at_once, "after a wait": wait_and_fail}
    handlers["async with a context"] = fail_at_once_with
    if kind == "prompt":
        server.prompt("fail")(fail)
    else:
        server.tool("fail")(handlers[kind])
    driver = Driver(server)
    driver.output.write(driver.session.receive(driver.encoded("ping", id=0)) or b"{}")
    method = "prompts/get" if kind == "prompt" else "tools/call"
    if (answer := driver.session.receive(driver.encoded(method, {"name": "fail"}, id=7))) is not None:
        driver.output.write(answer)
    (failure,) = [each for each in await driver.later() if each.get("id") == 7]
    assert "secret" not in str(failure)
    assert "error" in failure or failure["result"]["isError"]
    assert driver.session.connection.in_flight == 0


@pytest.mark.parametrize("kind", ["plain", "async", "after a wait"])
@pytest.mark.parametrize(
    "error",
    [
        McpError("x", data={"path": Path("/x")}),
        ToolError(os.fsdecode(b"caf\xe9")),
        McpError(os.fsdecode(b"caf\xe9")),
        type("Mute", (ToolError,), {"__str__": lambda self: 1 / 0})(),
    ],
    ids=["data without JSON", "surrogates for the model", "surrogates in a message", "no text"],
)
async def test_a_declared_error_that_cannot_be_said_is_masked(
    error: Exception, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Half a surrogate pair in the log would be too much for those who carry the report of this test.
    monkeypatch.setattr(logging.getLogger("tybalt.server"), "disabled", True)

    def fail() -> int:
        raise error

    async def fail_at_once() -> int:
        raise error

    async def wait_and_fail() -> int:
        await asyncio.sleep(0)
        raise error

    handler = {"plain": fail, "async": fail_at_once, "after a wait": wait_and_fail}[kind]
    driver = Driver(Server("x", run_in="loop").add(tool("fail")(handler)))
    driver.start("fail", id=7)
    (answer,) = await driver.later()
    assert "Internal error in tool 'fail'" in answer["result"]["content"][0]["text"]


def test_the_one_error_of_a_group_is_the_error() -> None:
    def fail() -> int:
        raise ExceptionGroup("tasks", [ExceptionGroup("more tasks", [ToolError("city unknown")])])

    driver = Driver(Server("x", run_in="loop").add(fail))
    assert driver.texts(driver.call("fail")) == ["city unknown"]


class TestContextVariables:
    """Every handler runs in a copy of the context: nothing leaks from request to request, or to whoever feeds us."""

    @pytest.mark.parametrize("revision", [NEWEST, "2025-11-25"])
    async def test_what_a_handler_sets_is_gone_with_it(self, revision: str) -> None:
        mark: ContextVar[str] = ContextVar("mark", default="clean")
        server = Server("x", run_in="loop")

        @server.tool
        def plain() -> str:
            before = mark.get()
            mark.set("dirty")
            return before

        @server.tool
        def with_context(context: Context) -> str:
            return plain()

        @server.tool
        async def waiting() -> str:
            await asyncio.sleep(0)
            return plain()

        @server.resource("mark://now")
        def resource() -> str:
            return plain()

        @server.prompt
        def prompt() -> str:
            return plain()

        driver = Driver(server, revision)
        for _ in range(2):
            assert driver.texts(driver.call("plain")) == driver.texts(driver.call("with_context")) == ["clean"]
            assert driver.result("resources/read", {"uri": "mark://now"})["contents"][0]["text"] == "clean"
            assert driver.result("prompts/get", {"name": "prompt"})["messages"][0]["content"]["text"] == "clean"
            driver.start("waiting")
            assert driver.texts((await driver.later())[0]["result"]) == ["clean"]
            assert mark.get() == "clean"


class TestPeers:
    """A peer whose words reach an author's own code, which may raise anything."""

    def test_a_validator_that_fails_fails_the_request(self) -> None:
        @dataclass
        class Picky:
            x: int

            def __post_init__(self) -> None:
                raise KeyError("secret")

        server = Server("x", run_in="loop")

        @server.prompt
        def prompt(picky: Picky) -> str:
            return "never"

        @server.resource("x://{picky}")
        def resource(picky: Picky) -> str:
            return "never"

        driver = Driver(server)
        for method, params in (
            ("prompts/get", {"name": "prompt", "arguments": {"picky": '{"x":7}'}}),
            ("resources/read", {"uri": "x://%7B%22x%22%3A7%7D"}),
        ):
            error = driver.error(method, params)
            assert error["code"] == -32603 and "secret" not in error["message"]

    async def test_a_nested_call_reads_arguments_as_leniently_as_one_from_outside(self) -> None:
        server = Server("x", run_in="loop")

        @server.tool
        def double(n: int) -> int:
            return 2 * n

        @server.tool
        async def outer(context: Context) -> str:
            result = await context.call_tool("double", {"n": "4"})
            return result.content[0].text

        driver = Driver(server)
        driver.start("outer")
        (answer,) = await driver.later()
        assert driver.texts(answer["result"]) == ["8"]


async def test_a_plain_function_may_return_what_is_to_be_awaited() -> None:
    async def later() -> int:
        await asyncio.sleep(0)
        return 5

    @functools.wraps(later)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return later(*args, **kwargs)

    driver = Driver(Server("x", run_in="loop").add(tool("wrapped")(wrapped)))
    driver.start("wrapped")
    assert driver.texts((await driver.later())[0]["result"]) == ["5"]


async def test_a_handler_that_does_not_stop_is_left_behind_and_its_request_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stop = asyncio.Event()

    async def stubborn() -> str:
        while not stop.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await stop.wait()
        return "at last"

    driver = Driver(Server("x", run_in="loop").add(stubborn))
    driver.start("stubborn")
    await asyncio.sleep(0)
    await driver.session.abort(0)
    assert "does not stop though it was cancelled" in caplog.text
    (answer,) = driver.said()
    assert answer["error"]["code"] == 503
    stop.set()
    assert await driver.later() == [], "it is answered once"


async def test_a_plain_wrapper_of_an_async_function_keeps_its_context_to_itself() -> None:
    mark: ContextVar[str] = ContextVar("mark", default="clean")

    async def later(before: str) -> str:
        return before

    @functools.wraps(later)
    def wrapped() -> Any:
        before = mark.get()
        mark.set("dirty")
        return later(before)

    wrapped.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
    driver = Driver(Server("x", run_in="loop").add(tool("wrapped")(wrapped)))
    for _ in range(2):
        driver.start("wrapped")
        assert driver.texts((await driver.later())[0]["result"]) == ["clean"]
    assert mark.get() == "clean"


def test_a_bridge_that_returns_a_value_is_what_it_does_and_not_what_it_wraps() -> None:
    async def later() -> int:
        return 5

    @functools.wraps(later)
    def bridge() -> int:
        return 5

    driver = Driver(Server("x", run_in="loop").add(tool("bridge")(bridge)))
    assert driver.texts(driver.call("bridge")) == ["5"]


@pytest.mark.parametrize("error", [SystemExit(3), Odd("secret")], ids=["exit", "odd"])
def test_whatever_a_validator_raises_fails_that_request_only(error: BaseException) -> None:
    class Picky(msgspec.Struct):
        a: int

        def __post_init__(self) -> None:
            if self.a == 13:
                raise error

    server = Server("x", run_in="loop")

    @server.tool
    def picky(value: Picky) -> int:
        return value.a

    @server.prompt
    def prompt(value: Picky) -> str:
        return "never"

    driver = Driver(server)
    for number in (13, 1, 1, 1, 1, 13, 1):  # Cold and warm.
        result = driver.call("picky", value={"a": number})
        assert result.get("isError", False) is (number == 13)
    assert driver.error("prompts/get", {"name": "prompt", "arguments": {"value": '{"a":13}'}})["code"] == -32603


def test_a_message_is_not_kept_when_it_is_handled() -> None:
    driver = Driver(Server("x", run_in="loop").add(add))
    driver.call("add", a=1, b=2)
    driver.ask("tools/list")
    assert driver.session.message == b""


def test_the_log_has_what_the_client_has_not(caplog: pytest.LogCaptureFixture) -> None:
    def fail(context: Context) -> int:
        raise ValueError("hunter2")

    with caplog.at_level(logging.ERROR, "tybalt.server"):
        answer = Driver(Server("x", run_in="loop").add(fail)).call("fail")
    assert "hunter2" not in msgspec.json.encode(answer).decode()
    assert "hunter2" in caplog.text and "tests.server.test_session" in caplog.text


def test_every_level_is_known() -> None:
    driver = Driver(Server("x", run_in="loop"), "2025-11-25")
    for level in LOGGING_LEVELS:
        assert driver.result("logging/setLevel", {"level": level}) == {}
    assert Driver(Server("x", run_in="loop"), NEWEST).error("logging/setLevel", {"level": "info"})["code"] == -32601


async def test_a_session_of_http_that_is_let_go_is_freed_at_once() -> None:
    """Thousands come and go, and what waits for the garbage collector is memory all the same."""
    server = Server("t")

    @server.tool
    async def add(a: int, b: int) -> int:
        return a + b

    client = Client(Implementation(name="c", version="1"), ClientCapabilities())
    last = legacy("tools/call", {"name": "add", "arguments": {"a": 1, "b": 2}})
    gc.disable()
    try:
        for message_of_it in (message(method="notifications/initialized"), legacy("tools/list"), last):
            session = Session(server, Output(), era="legacy", is_connection=False)
            session.connection.resume("2025-11-25", client)
            session.receive(message_of_it)
            await session.drain(1.0)
            session.close()
            freed = weakref.ref(session), weakref.ref(session.connection)
            del session
            assert [each() for each in freed] == [None, None], message_of_it
    finally:
        gc.enable()
