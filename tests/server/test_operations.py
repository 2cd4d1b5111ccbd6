"""A server behind middleware: the same answers in every revision, and what the layers see and may change."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from examples.everything import server as everything
from tests.server.awaiting import answer_to, nothing_is_left, text_of
from tests.server.driving import MODERN, NEWEST, REVISIONS, Driver
from tybalt import Context, Message, Server, ToolError
from tybalt.errors import Forbidden, McpError, RegistrationError, TimedOut
from tybalt.execution import CancelKind
from tybalt.middleware import Handler, Middleware, Request
from tybalt.testing import converse, run_virtual
from tybalt.types.content import TextContent
from tybalt.types.tools import CallToolResult

pause = time.sleep  # On the loop, on purpose: a checkpoint is to notice before the timer.

CONVERSATIONS = Path(__file__).parent.parent / "data" / "conversations"


def unchanged(next: Handler) -> Handler:
    async def handler(request: Request) -> Any:
        return await next(request)

    return handler


class Seen(Middleware):
    """Notes every request that passes."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def on_request(self, request: Request) -> Request:
        self.requests.append(request)
        return request


def library(*layers: Any) -> Server:
    server = Server("x", run_in="loop", middleware=layers)

    @server.tool(annotations={"read_only_hint": True})
    def add(a: int, b: int = 2) -> int:
        return a + b

    @server.tool
    async def fail(context: Context, text: str = "no") -> str:
        raise ToolError(text)

    @server.tool
    def crash() -> str:
        raise ValueError("hunter2")

    @server.resource("data://{name}")
    def data(name: str) -> str:
        return name.upper()

    @server.prompt
    def hello(name: str) -> Message:
        return Message(f"Hello {name}")

    @server.completion("hello", "name")
    def names(value: str) -> list[str]:
        return [value + "a", value + "b"]

    return server


REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("tools/list", {}),
    ("tools/call", {"name": "add", "arguments": {"a": 5}}),
    ("tools/call", {"name": "add", "arguments": {"a": "5", "b": "7"}}),
    ("tools/call", {"name": "add", "arguments": {"a": "five"}}),
    ("tools/call", {"name": "add", "arguments": '{"a": 1}'}),
    ("tools/call", {"name": "add", "arguments": [1]}),
    ("tools/call", {"name": "add"}),
    ("tools/call", {"name": "nothing"}),
    ("tools/call", {"name": "fail"}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "data://x"}),
    ("resources/read", {"uri": "nothing://x"}),
    ("prompts/list", {}),
    ("prompts/list", {"cursor": "nonsense"}),
    ("prompts/get", {"name": "hello", "arguments": {"name": "Ann"}}),
    ("prompts/get", {"name": "hello"}),
    ("prompts/get", {"name": "nothing"}),
    (
        "completion/complete",
        {"ref": {"type": "ref/prompt", "name": "hello"}, "argument": {"name": "name", "value": "x"}},
    ),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "no"}, "argument": {"name": "name", "value": "x"}}),
]


async def answered(driver: Driver, method: str, params: dict[str, Any]) -> Any:
    """The whole answer, whether it comes at once or not."""
    answer = driver.ask(method, params)
    if answer is not None:
        return answer
    (answer,) = await driver.later()
    return answer


class TestTheSameAnswers:
    @pytest.mark.loops
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_whatever_is_asked(self, revision: str) -> None:
        plain, layered = Driver(library(), revision), Driver(library(unchanged), revision)
        for method, params in REQUESTS:
            assert await answered(layered, method, params) == await answered(plain, method, params), (method, params)
        assert layered.session.connection.in_flight == 0
        assert layered.session.running.lane.running == 0

    @pytest.mark.parametrize("file", sorted(CONVERSATIONS.glob("*.txt")), ids=lambda file: file.stem)
    async def test_in_every_conversation(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        lines = _lines(file)
        plain = await converse(everything, lines)
        for name in ("_layers", "operations"):  # Put back afterwards: the server is that of every test.
            monkeypatch.setattr(everything, name, getattr(everything, name))
        layered = await converse(everything.add_middleware(unchanged), lines)
        assert sorted(map(_comparable, layered)) == sorted(map(_comparable, plain))


def _lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def _comparable(line: str) -> str:
    """A line without what is drawn at random: the reference id of a masked failure."""
    if not line.startswith("< "):
        return line
    return "< " + msgspec.json.encode(_masked(msgspec.json.decode(line[2:])), order="sorted").decode()


def _masked(value: Any) -> Any:
    if isinstance(value, str) and "has it under" in value:
        return value.partition("has it under")[0]
    if isinstance(value, dict):
        return {key: _masked(each) for key, each in value.items() if key != "requestState"}
    return [_masked(each) for each in value] if isinstance(value, list) else value


class TestWhatALayerSees:
    async def test_a_call(self) -> None:
        seen = Seen()
        driver = Driver(library(seen))
        await answered(driver, "tools/call", {"name": "add", "arguments": {"a": 1}})
        (request,) = seen.requests
        assert (request.method, request.name, request.arguments) == ("tools/call", "add", {"a": 1})
        assert isinstance(request.context, Context)
        assert request.principal is None
        assert request.hints is not None and request.hints.read_only_hint
        assert request.repeatable
        assert "io.modelcontextprotocol/protocolVersion" in request.meta

    async def test_everything_else(self) -> None:
        seen = Seen()
        driver = Driver(library(seen))
        for method, params in (REQUESTS[11], REQUESTS[14], REQUESTS[18]):
            await answered(driver, method, params)
        read, listed, completed = seen.requests
        assert (read.name, read.hints) == ("data://x", None)
        assert (listed.name, listed.params) == (None, {"cursor": "nonsense"})
        assert completed.params["argument"] == {"name": "name", "value": "x"}

    async def test_the_principal_of_the_connection(self) -> None:
        seen = Seen()
        server = library(seen)
        driver = Driver(server)
        driver.session.principal = "ann"
        await answered(driver, *REQUESTS[1])
        assert seen.requests[0].principal == "ann"

    async def test_a_retry_with_answers_is_another_question(self) -> None:
        seen = Seen()
        driver = Driver(library(seen))
        call = {"name": "add", "arguments": {"a": 1}}
        await answered(driver, "tools/call", call)
        await answered(
            driver, "tools/call", {**call, "requestState": "x", "inputResponses": {"k": {"action": "accept"}}}
        )
        first, second = seen.requests
        assert first.identity != second.identity
        assert second.params == {"requestState": "x", "inputResponses": {"k": {"action": "accept"}}}


class TestWhatALayerMayDo:
    async def test_change_the_arguments(self) -> None:
        class Doubled(Middleware):
            async def on_call_tool(self, request: Request, next: Handler) -> Any:
                return await next(request.replaced(arguments={**request.arguments, "a": 2 * request.arguments["a"]}))

        driver = Driver(library(Doubled()))
        answer = await answered(driver, "tools/call", {"name": "add", "arguments": {"a": 5, "b": 0}})
        assert answer["result"]["structuredContent"] == 10

    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_answer_itself(self, revision: str) -> None:
        class Closed(Middleware):
            async def on_call_tool(self, request: Request, next: Handler) -> Any:
                return CallToolResult(content=[TextContent(text="closed")])

        driver = Driver(library(Closed()), revision)
        answer = await answered(driver, "tools/call", {"name": "add", "arguments": {"a": 5}})
        assert answer["result"]["content"] == [{"type": "text", "text": "closed"}]

    async def test_refuse(self) -> None:
        class Locked(Middleware):
            async def on_request(self, request: Request) -> Request:
                raise Forbidden

        driver = Driver(library(Locked()))
        for method, params in REQUESTS:
            if params.get("arguments") != [1]:  # What is malformed is refused before it is a request at all.
                assert (await answered(driver, method, params))["error"]["code"] == 403

    async def test_see_a_failure_as_it_was_raised_and_rewrite_it(self) -> None:
        class Rewritten(Middleware):
            async def on_error(self, request: Request, error: Exception) -> Any:
                if isinstance(error, ValueError):
                    raise ToolError("told otherwise") from error
                raise error

        driver = Driver(library(Rewritten()))
        answer = await answered(driver, "tools/call", {"name": "crash"})
        assert answer["result"]["content"][0]["text"] == "told otherwise"
        answer = await answered(driver, "tools/call", {"name": "fail", "arguments": {"text": "as it was"}})
        assert answer["result"]["content"][0]["text"] == "as it was"

    async def test_what_it_raises_by_mistake_is_masked(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(Middleware):
            async def on_request(self, request: Request) -> Request:
                raise KeyError("hunter2")

        driver = Driver(library(Broken()))
        answer = await answered(driver, "tools/call", {"name": "add", "arguments": {"a": 1}})
        assert "hunter2" not in str(answer)
        assert answer["result"]["isError"]
        assert "tool 'add' (function" in caplog.text
        assert (await answered(driver, "tools/list", {}))["error"]["code"] == -32603

    async def test_a_forgotten_return_is_told_in_the_log_and_names_the_layer(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Bad(Middleware):
            async def on_request(self, request: Request) -> Any:
                pass

        answer = await answered(Driver(library(Bad())), "tools/call", {"name": "add", "arguments": {"a": 1}})
        assert answer["result"]["isError"] and "Bad" not in str(answer)
        assert "layer Bad: on_request returned None; return the request" in caplog.text

    async def test_pass_on_a_request_of_its_own_making_is_a_mistake(self) -> None:
        class Forged(Middleware):
            async def on_request(self, request: Request) -> Request:
                return Request(method=request.method, name="add", arguments={"a": 1})

        driver = Driver(library(Forged()))
        answer = await answered(driver, "tools/call", {"name": "add"})
        assert answer["result"]["isError"], "without the context nobody knows whose request it is"

    async def test_they_are_nested_in_the_order_they_are_given(self) -> None:
        order: list[str] = []

        def named(name: str) -> Any:
            def layer(next: Handler) -> Handler:
                async def handler(request: Request) -> Any:
                    order.append(f"{name} in")
                    result = await next(request)
                    order.append(f"{name} out")
                    return result

                return handler

            return layer

        server = library(named("first"), named("second")).add_middleware(named("third"))
        await answered(Driver(server), *REQUESTS[1])
        assert order == ["first in", "second in", "third in", "third out", "second out", "first out"]

    async def test_a_nested_call_passes_by(self) -> None:
        seen = Seen()
        server = library(seen)

        @server.tool
        async def outer(context: Context) -> int:
            result = await context.call_tool("add", {"a": 1})
            return result.structured_content

        answer = await answered(Driver(server), "tools/call", {"name": "outer"})
        assert answer["result"]["structuredContent"] == 3
        assert [request.name for request in seen.requests] == ["outer"]

    async def test_progress_and_cancel_pass_through(self) -> None:
        began = asyncio.Event()
        ended: list[str] = []
        server = library(unchanged)

        @server.tool
        async def wait(context: Context) -> str:
            await context.report_progress(1)
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cleaned up")
            return ""

        driver = Driver(server)
        assert driver.ask("tools/call", {"name": "wait"}, id=9, meta={"progressToken": "p"}) is None
        await began.wait()
        meta = {"_meta": {"io.modelcontextprotocol/protocolVersion": NEWEST}}
        params = {"requestId": 9, **meta}
        driver.receive(msgspec.json.encode({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}))
        assert [said["method"] for said in await driver.later()] == ["notifications/progress"]
        assert ended == ["cleaned up"]
        assert driver.session.connection.in_flight == 0

    async def test_the_time_of_the_tool_holds(self) -> None:
        server = library(unchanged)

        @server.tool(timeout="1ms")
        async def late() -> str:
            await asyncio.Event().wait()
            return ""

        driver = Driver(server)
        assert driver.ask("tools/call", {"name": "late"}) is None
        await asyncio.wait(driver.session.running.tasks())
        (answer,) = await driver.later()
        assert answer["result"]["isError"]
        assert "within its 0.001 s" in answer["result"]["content"][0]["text"]

    async def test_the_time_of_a_resource_holds_and_names_it(self) -> None:
        server = library(unchanged)

        @server.resource("late://{n}", timeout="1ms")
        async def late(n: int) -> str:
            await asyncio.Event().wait()
            return ""

        driver = Driver(server)
        assert driver.ask("resources/read", {"uri": "late://1"}) is None
        await asyncio.wait(driver.session.running.tasks())
        (answer,) = await driver.later()
        assert answer["error"]["code"] == 408
        assert answer["error"]["message"] == "resource template 'late' did not finish within its 0.001 s"

    async def test_changes_are_told_to_layers_that_want_to_know(self) -> None:
        told: list[str] = []

        class Watching(Middleware):
            def catalogue_changed(self, name: str) -> None:
                told.append(name)

            def resource_updated(self, uri: str) -> None:
                told.append(uri)

        server = library(Watching())
        told.clear()
        server.tool("more")(lambda: 1).remove()
        server.resource_updated("data://x")
        assert told == ["tools", "tools", "data://x"]


class TestWhatIsToStop:
    """A request whose time is up, or that its client has cancelled, is not begun anew by a layer."""

    def test_a_layer_that_asks_again_is_told_why_not(self) -> None:
        runs: list[float] = []
        seen: list[str] = []

        def again(next: Handler) -> Handler:
            async def handler(request: Request) -> Any:
                for _ in range(2):
                    try:
                        return await next(request)
                    except TimedOut as error:
                        seen.append(type(error).__name__)
                return await next(request)

            return handler

        async def program() -> None:
            server = Server("x", request_timeout=1, middleware=[again])
            loop = asyncio.get_running_loop()

            @server.tool
            async def slow() -> str:
                runs.append(loop.time())
                await asyncio.sleep(60)
                return "late"

            driver = Driver(server)
            begun = loop.time()
            assert "did not finish within its 1 s" in text_of(await answer_to(driver, "slow"))
            assert loop.time() - begun == pytest.approx(1) and nothing_is_left(driver)

        run_virtual(program)
        assert len(runs) == 1 and seen == ["TimedOut"] * 2

    async def test_masked_it_may_begin(self) -> None:
        def masking(next: Handler) -> Handler:
            async def handler(request: Request) -> Any:
                with request.context.masked():
                    request.context._call.cancel(CancelKind.USER)
                    return await next(request)

            return handler

        server = library(masking)
        assert text_of(await answer_to(Driver(server), "add", a=1)) == "3"

    async def test_a_checkpoint_in_a_task_group_is_the_limit_for_layers_too(self) -> None:
        seen: list[type[BaseException]] = []

        def noting(next: Handler) -> Handler:
            async def handler(request: Request) -> Any:
                try:
                    return await next(request)
                except BaseException as error:
                    seen.append(type(error))
                    raise

            return handler

        server = Server("x", middleware=[noting])

        @server.tool(timeout="10ms")
        async def work(context: Context) -> None:
            async def steps() -> None:
                while True:
                    pause(0.002)
                    context.checkpoint()
                    await asyncio.sleep(0)

            async with asyncio.TaskGroup() as group:
                group.create_task(steps())

        assert "did not finish within its 0.01 s" in text_of(await answer_to(Driver(server), "work"))
        assert seen == [TimedOut]


class TestOptions:
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ([Middleware], "Middleware is a class; give an instance"),
            ([5], "got 5"),
            (5, "expected a list"),
            ("ab", "expected a list"),
        ],
    )
    def test_what_is_no_layer(self, given: Any, told: str) -> None:
        with pytest.raises(RegistrationError, match="middleware") as caught:
            Server("x", middleware=given)
        assert told in str(caught.value)

    def test_none_costs_nothing(self) -> None:
        assert Server("x").operations is None
        assert MODERN

    async def test_a_layer_may_raise_any_error_of_the_protocol(self) -> None:
        class Teapot(Middleware):
            async def on_list_tools(self, request: Request, next: Handler) -> Any:
                raise McpError("short and stout", code=418)

        driver = Driver(library(Teapot()))
        assert (await answered(driver, "tools/list", {}))["error"] == {"code": 418, "message": "short and stout"}
