"""`Context`: who asks, what the client is told, and the rest of the server, from inside a handler."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.driving import LEGACY, NEWEST, REVISIONS, Driver
from tybalt import Context, InvalidParams, McpError, MisuseError, ResourceNotFound, Server, ToolError, tool

LOG_LEVEL = "io.modelcontextprotocol/logLevel"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def server_of(*functions: Callable[..., Any]) -> Server:
    return Server("x", run_in="loop").add(*functions)


async def answer_of(driver: Driver, name: str, /, **arguments: Any) -> Any:
    """The answer to a call, and before it whatever was said meanwhile."""
    driver.start(name, id="call", **arguments)
    *_, answer = await driver.later()
    assert answer["id"] == "call"
    return answer


async def test_what_is_no_number_is_told_to_the_author(caplog: pytest.LogCaptureFixture) -> None:
    def work(context: Context) -> None:
        told: Any = context.report_progress
        for arguments in (("half",), (1, "two"), (None,)):
            with pytest.raises(MisuseError, match="report_progress: progress and total are numbers; got "):
                told(*arguments)

    answer = await answer_of(Driver(server_of(work), meta={"progressToken": "t"}), "work")
    assert not answer["result"].get("isError"), caplog.text


class TestWhoAsks:
    def seen(self, look: Callable[[Context], Any], revision: str, **meta: Any) -> Any:
        found: list[Any] = []

        def handler(context: Context) -> None:
            found.append(look(context))

        Driver(server_of(handler), revision).ask("tools/call", {"name": "handler"}, id="i", meta=meta)
        return found[0]

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_the_request(self, revision: str) -> None:
        assert self.seen(lambda context: (context.request_id, context.revision), revision) == ("i", revision)
        assert self.seen(lambda context: context.cancelled, revision) is False
        assert self.seen(lambda context: context.lifespan, revision) is None

    def test_a_modern_client_says_who_it_is_with_every_request(self) -> None:
        info = {"name": "c", "version": "9"}
        meta = {
            "io.modelcontextprotocol/clientInfo": info,
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
        }
        found = self.seen(lambda context: (context.client_info, context.client_capabilities), NEWEST, **meta)
        assert (found[0].name, found[0].version, found[1].elicits_forms) == ("c", "9", True)
        assert self.seen(lambda context: context.client_info, NEWEST) is None

    @pytest.mark.parametrize("revision", LEGACY)
    def test_a_legacy_client_said_it_in_the_handshake(self, revision: str) -> None:
        found = self.seen(lambda context: (context.client_info, context.client_capabilities), revision)
        assert found[0].name == "old client" and not found[1].elicits_forms

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_meta_is_whole(self, revision: str) -> None:
        meta = {"example.org/key": [1], "traceparent": TRACEPARENT}
        assert meta.items() <= self.seen(lambda context: context.meta, revision, **meta).items()
        trace = self.seen(lambda context: context.trace, revision, **meta)
        assert trace.trace_id == TRACEPARENT[3:35]

    def test_no_meta_no_trace(self) -> None:
        assert self.seen(lambda context: dict(context.meta), "2025-11-25") == {}
        assert self.seen(lambda context: context.trace, "2025-11-25") is None
        assert self.seen(lambda context: context.trace, NEWEST, traceparent="nonsense") is None

    def test_a_context_is_kept_out_of_the_schema(self) -> None:
        def handler(a: int, context: Context) -> int:
            return a

        (listed,) = Driver(server_of(handler)).result("tools/list")["tools"]
        assert list(listed["inputSchema"]["properties"]) == ["a"]


class TestProgress:
    @staticmethod
    def counting(context: Context, steps: list[float]) -> int:
        for step in steps:
            context.report_progress(step, 10, f"step {step:g}")
        return len(steps)

    def told(self, revision: str, steps: list[float], **meta: Any) -> list[Any]:
        driver = Driver(server_of(self.counting), revision)
        driver.start("counting", meta=meta, steps=steps)
        *news, answer = driver.said()
        assert answer["result"]["content"][0]["text"] == str(len(steps))
        assert {each["method"] for each in news} <= {"notifications/progress"}
        return [each["params"] for each in news]

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_nobody_who_did_not_ask_is_told(self, revision: str) -> None:
        assert self.told(revision, [1, 2]) == []

    @pytest.mark.parametrize("token", ["t", 0, 7])
    @pytest.mark.parametrize("revision", REVISIONS)
    def test_it_only_increases(self, revision: str, token: Any) -> None:
        told = self.told(revision, [1, 1, 0.5, 2, -1, 2.5], progressToken=token)
        assert [each["progress"] for each in told] == [1, 2, 2.5]
        assert {each["progressToken"] for each in told} == {token}
        assert [each.get("message") for each in told] == (
            [None] * 3 if revision == "2024-11-05" else ["step 1", "step 2", "step 2.5"]
        )

    def test_it_may_begin_below_nothing(self) -> None:
        assert [each["progress"] for each in self.told(NEWEST, [-5, -2, 0], progressToken=1)] == [-5, -2, 0]

    async def test_it_is_dropped_while_the_output_is_blocked_and_can_be_waited_for(self) -> None:
        steps: list[str] = []

        async def work(context: Context) -> str:
            context.report_progress(1)
            context.report_progress(2)
            steps.append("reported")
            await context.report_progress(3)
            steps.append("waited")
            await context.report_progress(4)
            return "done"

        driver = Driver(server_of(work))
        driver.output.blocked = True
        driver.start("work", meta={"progressToken": 1})
        assert await driver.later() == [] and steps == ["reported"]
        driver.output.blocked = False
        driver.output.unblocked.set()
        news, answer = await driver.later()
        assert news["params"]["progress"] == 4 and "result" in answer and steps == ["reported", "waited"]

    @pytest.mark.parametrize("progress", [float("nan"), float("inf"), float("-inf")])
    async def test_what_json_cannot_say_is_not_said(self, progress: float) -> None:
        def work(context: Context) -> None:
            context.report_progress(progress)
            context.report_progress(1)

        driver = Driver(server_of(work))
        driver.start("work", meta={"progressToken": 1})
        news, _ = driver.said()
        assert news["params"]["progress"] == 1


class TestLog:
    @staticmethod
    def talking(context: Context) -> None:
        context.debug("d")
        context.info({"a": 1}, logger="db")
        context.warning("w")
        context.error("e")
        context.log("emergency", None)

    def levels(self, driver: Driver, **meta: Any) -> list[str]:
        driver.start("talking", meta=meta)
        *news, _ = driver.said()
        assert {each["method"] for each in news} <= {"notifications/message"}
        return [each["params"]["level"] for each in news]

    def test_modern_per_request(self) -> None:
        driver = Driver(server_of(self.talking))
        assert self.levels(driver) == []
        assert self.levels(driver, **{LOG_LEVEL: "warning"}) == ["warning", "error", "emergency"]
        assert self.levels(driver, **{LOG_LEVEL: "debug"}) == ["debug", "info", "warning", "error", "emergency"]
        assert self.levels(driver) == []

    @pytest.mark.parametrize("revision", LEGACY)
    def test_legacy_by_set_level(self, revision: str) -> None:
        driver = Driver(server_of(self.talking), revision)
        assert self.levels(driver) == ["info", "warning", "error", "emergency"]
        assert driver.result("logging/setLevel", {"level": "error"}) == {}
        assert self.levels(driver) == ["error", "emergency"]
        assert driver.result("logging/setLevel", {"level": "debug"}) == {}
        assert len(self.levels(driver)) == 5

    def test_what_is_told(self) -> None:
        driver = Driver(server_of(self.talking), meta={LOG_LEVEL: "info"})
        driver.start("talking")
        assert driver.said()[0]["params"] == {"level": "info", "data": {"a": 1}, "logger": "db"}


def add(a: int, b: int = 1) -> int:
    return a + b


async def add_later(a: int, context: Context) -> int:
    await asyncio.sleep(0)
    context.report_progress(a)
    return a


def refuse() -> int:
    raise ToolError("no")


def object_to() -> int:
    raise McpError("teapot", code=418)


def break_down() -> int:
    raise ValueError("hunter2")


async def forever() -> int:
    await asyncio.Event().wait()
    return 1


class TestTheRestOfTheServer:
    def server(self, ask: Callable[..., Any]) -> Server:
        server = server_of(add, add_later, refuse, object_to, break_down, tool(timeout=0.001)(forever), ask)
        server.resource("r://{id}")(of_id)
        server.resource("later://{id}")(of_id_later)
        return server

    async def outcome(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        found: list[Any] = []

        async def ask(context: Context) -> None:
            try:
                found.append(await context.call_tool(name, arguments))
            except Exception as error:  # noqa: BLE001
                found.append(error)

        driver = Driver(self.server(ask))
        driver.start("ask", meta={"progressToken": "t"})
        for _ in range(100):
            if found:
                break
            await asyncio.wait(driver.session.running.tasks())
        return found[0], await driver.later()

    async def test_call_tool(self) -> None:
        result, _ = await self.outcome("add", {"a": 2})
        assert result.structured_content == 3 and result.content[0].text == "3"

    async def test_one_that_waits_and_reports_for_the_same_request(self) -> None:
        result, said = await self.outcome("add_later", {"a": 5})
        assert result.structured_content == 5
        assert said[0]["params"] == {"progressToken": "t", "progress": 5}

    async def test_its_own_failure_is_a_result(self) -> None:
        result, _ = await self.outcome("refuse")
        assert result.is_error and result.content[0].text == "no"

    async def test_its_timeout_holds(self) -> None:
        result, _ = await self.outcome("forever")
        assert result.is_error and "did not finish within its 0.001 s" in result.content[0].text

    @pytest.mark.parametrize(
        ("name", "arguments", "error", "text"),
        [
            ("nothing", {}, InvalidParams, "Unknown tool: nothing"),
            ("add", {"a": "five"}, InvalidParams, "a"),
            ("add", None, InvalidParams, "a"),
            ("object_to", {}, McpError, "teapot"),
            ("break_down", {}, ValueError, "hunter2"),
        ],
    )
    async def test_what_is_wrong_is_raised(self, name: str, arguments: Any, error: type, text: str) -> None:
        raised, _ = await self.outcome(name, arguments)
        assert isinstance(raised, error) and text in str(raised)

    @pytest.mark.parametrize(
        ("name", "arguments", "text"),
        [
            ("nothing", {}, "tool 'ask' calls tool 'nothing': Unknown tool: nothing"),
            ("add", {"a": "five"}, "tool 'ask' calls tool 'add': Invalid arguments: $.arguments.a: expected an "),
        ],
    )
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize("grouped", [False, True])
    async def test_a_wrong_call_is_the_mistake_of_whoever_calls(
        self, revision: str, name: str, arguments: Any, text: str, grouped: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def ask(context: Context) -> None:
            if not grouped:
                await context.call_tool(name, arguments)
            async with asyncio.TaskGroup() as group:
                group.create_task(context.call_tool(name, arguments))

        answer = await answer_of(Driver(self.server(ask), revision), "ask")
        assert answer["result"]["isError"] and "the server's log has it" in str(answer)
        assert text in caplog.text and text not in str(answer)

    async def test_read_resource(self) -> None:
        async def ask(context: Context) -> list[str | None]:
            texts = [
                (await context.read_resource("r://7"))[0].text,
                (await context.read_resource("later://8"))[0].text,
            ]
            with pytest.raises(ResourceNotFound):
                await context.read_resource("r://seven")
            with pytest.raises(ResourceNotFound):
                await context.read_resource("nothing://7")
            return texts

        answer = await answer_of(Driver(self.server(ask)), "ask")
        assert answer["result"]["structuredContent"] == ["user 7", "user 8"]

    @pytest.mark.parametrize(("depth", "fits"), [(10, True), (11, False)])
    async def test_nesting_is_limited(self, depth: int, fits: bool, caplog: pytest.LogCaptureFixture) -> None:
        async def dig(deeper: int, context: Context) -> str:
            if not deeper:
                return "bottom"
            result = await context.call_tool("dig", {"deeper": deeper - 1})
            return result.content[0].text  # pyright: ignore[reportAttributeAccessIssue]

        answer = await answer_of(Driver(server_of(dig)), "dig", deeper=depth)
        if fits:
            assert answer["result"]["structuredContent"] == "bottom"
        else:
            assert answer["result"]["isError"] is True
            assert "at most 10 calls may nest" in caplog.text

    async def test_siblings_do_not_nest(self) -> None:
        async def ask(context: Context) -> int:
            total = 0
            for _ in range(30):
                result: Any = await context.call_tool("add", {"a": total})
                total = result.structured_content
            return total

        assert (await answer_of(Driver(self.server(ask)), "ask"))["result"]["structuredContent"] == 30


def of_id(id: int) -> str:
    return f"user {id}"


async def of_id_later(id: int, context: Context) -> str:
    await asyncio.sleep(0)
    return f"user {id}"
