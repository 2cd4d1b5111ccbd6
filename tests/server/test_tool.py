"""Tools: results in all five revisions, arguments that do not fit, failures, timeouts, every road a call takes."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Annotated, Any

import jsonschema_rs
import msgspec
import pytest
from msgspec import Meta, Struct

from tests.server.driving import LEGACY, NEWEST, REVISIONS, Driver, Output
from tests.types.published import validator
from tybalt import Context, Image, McpError, Server, ToolAnnotations, ToolError, tool
from tybalt.server.parameters import READ_ONCE
from tybalt.types.tools import CallToolResult

SECRET = "hunter2"
STRUCTURED = [revision for revision in REVISIONS if revision >= "2025-06-18"]
FOR_THE_MODEL = [revision for revision in REVISIONS if revision >= "2025-11-25"]


@dataclass
class Point:
    x: int
    y: int = 0


class City(Struct):
    name: str
    people: int | None = None


VALUES: dict[str, tuple[Any, Any, str | None]] = {
    "int": (int, 5, "5"),
    "bool": (bool, True, "true"),
    "str": (str, 'a "b"\n', 'a "b"\n'),
    "float": (float, 1.5, "1.5"),
    "None": (None, None, None),
    "list": (list[int], [1, 2], "[1,2]"),
    "dict": (dict[str, int], {"a": 1}, '{"a":1}'),
    "dataclass": (Point, Point(1), '{"x":1,"y":0}'),
    "Struct": (City, City("Verona"), '{"name":"Verona","people":null}'),
    "optional": (int | None, None, None),
}
"""A return annotation, a value, and its text: nothing is no text."""


def returning(annotation: Any, value: Any) -> Any:
    def give() -> Any:
        return value

    give.__annotations__["return"] = annotation
    return give


@pytest.mark.parametrize("kind", ["plain", "async", "context", "timeout"])
@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("name", VALUES)
async def test_a_result_has_the_shape_of_the_revision(name: str, revision: str, kind: str) -> None:
    annotation, value, text = VALUES[name]
    driver = Driver(Server("x", run_in="loop").add(of_kind(kind, annotation, value)), revision)
    driver.start("give")
    (answer,) = await driver.later()
    result = answer["result"]
    validator(revision, "CallToolResult").validate(result)
    assert driver.texts(result) == ([] if text is None else [text])
    (tool_,) = driver.result("tools/list")["tools"]
    if revision not in STRUCTURED or annotation is None:
        assert result.keys() - {"resultType", "_meta"} == {"content"}
        assert "outputSchema" not in tool_
        return
    structured = result["structuredContent"]
    if revision in LEGACY:
        assert isinstance(structured, dict)
        assert tool_["outputSchema"]["type"] == "object"
        structured = structured.get("result", structured)
    assert structured == msgspec.to_builtins(value)
    jsonschema_rs.validator_for(tool_["outputSchema"]).validate(result["structuredContent"])


def of_kind(kind: str, annotation: Any, value: Any) -> Any:
    """A tool `give` that returns `value` by each of the roads a call may take."""

    async def later() -> Any:
        await asyncio.sleep(0)
        return value

    async def with_context(context: Context) -> Any:
        return value

    function = {"plain": returning(annotation, value), "async": later, "context": with_context, "timeout": later}[kind]
    function.__annotations__["return"] = annotation
    return tool(function, name="give", timeout=10 if kind == "timeout" else None)


def test_a_scalar_tool_may_return_something_else() -> None:
    """What is not of the promised type takes the general road, and is judged there."""

    class Level(int):
        pass

    driver = Driver(Server("x", run_in="loop").add(returning(int, Level(3))))
    assert driver.call("give")["structuredContent"] == 3
    broken = Driver(Server("x", run_in="loop").add(returning(int, "three")))
    assert broken.call("give")["isError"] is True


@pytest.mark.parametrize("revision", REVISIONS)
def test_content_that_is_no_data_is_content(revision: str) -> None:
    driver = Driver(
        Server("x", run_in="loop").add(returning(Image, Image(data=b"png", mime_type="image/png"))), revision
    )
    result = driver.call("give")
    assert result["content"] == [{"type": "image", "data": "cG5n", "mimeType": "image/png"}]
    assert "structuredContent" not in result


@pytest.mark.parametrize("revision", REVISIONS)
def test_structured_content_can_be_switched_off(revision: str) -> None:
    result = Driver(Server("x", run_in="loop").add(tool(output_schema=None)(returning(int, 5))), revision).call("give")
    assert "structuredContent" not in result and result["content"][0]["text"] == "5"


def test_a_whole_result_passes_through() -> None:
    whole = CallToolResult(content=[], structured_content={"a": 1}, meta={"a/b": 1})
    result = Driver(Server("x", run_in="loop").add(returning(CallToolResult, whole))).call("give")
    assert result["structuredContent"] == {"a": 1} and result["_meta"]["a/b"] == 1


def search(query: Annotated[str, Meta(min_length=1)], limit: int = 10, deep: bool = False) -> str:
    return f"{query} {limit} {deep}"


async def search_later(query: Annotated[str, Meta(min_length=1)], limit: int = 10, deep: bool = False) -> str:
    return f"{query} {limit} {deep}"


def search_in_context(query: Annotated[str, Meta(min_length=1)], context: Context, limit: int = 10) -> list[str]:
    return [query, str(limit)]


def search_into_list(query: Annotated[str, Meta(min_length=1)], limit: int = 10) -> list[str]:
    return [query, str(limit)]


SEARCHES = [search, search_later, search_in_context, search_into_list]


class TestArguments:
    @pytest.mark.parametrize("function", SEARCHES)
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            ({}, ["query"]),
            ({"query": 5}, ["$.arguments.query", "string", "5"]),
            ({"query": ""}, ["$.arguments.query"]),
            ({"query": "x", "limit": "many"}, ["$.arguments.limit", "integer", '"many"']),
            ({"limit": "many"}, ["$.arguments.limit", "query"]),
        ],
    )
    def test_what_does_not_fit_is_told_where_and_what(
        self, arguments: dict[str, Any], expected: list[str], revision: str, function: Any
    ) -> None:
        driver = Driver(Server("x", run_in="loop").add(tool("search")(function)), revision)
        answer = driver.ask("tools/call", {"name": "search", "arguments": arguments})
        if revision in FOR_THE_MODEL:
            assert answer["result"]["isError"] is True
            (text,) = driver.texts(answer["result"])
        else:
            assert answer["error"]["code"] == -32602
            text = answer["error"]["message"]
        for part in expected:
            assert part in text

    @pytest.mark.parametrize("function", SEARCHES)
    async def test_what_models_send_is_understood(self, function: Any) -> None:
        driver = Driver(Server("x", run_in="loop").add(tool("search")(function)))
        driver.start("search", query="x", limit="5")
        driver.output.write(driver.session.receive(driver.encoded("tools/call", SENT_AS_TEXT)) or b"null")
        results = [answer["result"]["structuredContent"] for answer in await driver.later() if answer]
        assert results in ([["x", "5"]] * 2, ["x 5 False"] * 2)

    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize("arguments", [None, {}])
    def test_no_arguments_are_no_arguments(self, arguments: Any, revision: str) -> None:
        driver = Driver(Server("x", run_in="loop").add(returning(int, 5)), revision)
        params = {"name": "give"} if arguments is None else {"name": "give", "arguments": arguments}
        assert driver.texts(driver.result("tools/call", params)) == ["5"]

    @pytest.mark.parametrize("arguments", [[], 5, "x", True])
    def test_arguments_that_are_no_object(self, arguments: Any) -> None:
        driver = Driver(Server("x", run_in="loop").add(search))
        answer = driver.ask("tools/call", {"name": "search", "arguments": arguments})
        assert answer["error"]["code"] == -32602 and "$.params.arguments" in answer["error"]["message"]

    @pytest.mark.parametrize("function", SEARCHES)
    @pytest.mark.parametrize(
        "text", [b'{"query":"\\ud800"}', b'{"query":"x","limit":1e999}', b"[" * 2_000 + b"]" * 2_000]
    )
    def test_arguments_that_only_the_second_decode_meets(self, text: bytes, function: Any) -> None:
        """`arguments` are left raw by the first decode; what is no JSON or too deep there keeps the id."""
        driver = Driver(Server("x", run_in="loop").add(tool("search")(function)))
        message = driver.encoded("tools/call", {"name": "search", "arguments": {"here": 1}}, id="kept")
        answer = driver.receive(message.replace(b'{"here":1}', text))
        assert answer.get("id", "kept") == "kept"
        assert answer.get("result", {}).get("isError") or answer["error"]["code"] in (-32700, -32600)


SENT_AS_TEXT = {"name": "search", "arguments": '{"query": "x", "limit": 5}'}


class TestFailures:
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize("kind", ["plain", "list", "async", "suspended", "context"])
    async def test_an_undeclared_one_is_masked_and_logged_under_its_reference(
        self, kind: str, revision: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        driver = Driver(Server("x", run_in="loop").add(failing(kind, ValueError(SECRET))), revision)
        with caplog.at_level(logging.ERROR, "tybalt.server"):
            driver.start("fail")
            (answer,) = await driver.later()
        assert SECRET not in msgspec.json.encode(answer).decode()
        assert answer["result"]["isError"] is True
        (text,) = driver.texts(answer["result"])
        reference = text.rsplit(" ", 1)[1]
        (record,) = caplog.records
        assert "'fail'" in text and len(reference) == 8 and reference in record.getMessage()
        assert (
            "tool 'fail'" in record.getMessage() and record.exc_info is not None and SECRET in str(record.exc_info[1])
        )

    @pytest.mark.parametrize("kind", ["plain", "list", "async", "suspended", "context"])
    async def test_a_declared_one_is_for_the_model_without_its_causes(self, kind: str) -> None:
        error = ToolError("The database is closed")
        error.__cause__ = OSError("no route")
        driver = Driver(Server("x", run_in="loop").add(failing(kind, error)))
        driver.start("fail")
        (answer,) = await driver.later()
        assert answer["result"]["isError"] is True
        assert driver.texts(answer["result"]) == ["The database is closed"]

    @pytest.mark.parametrize("kind", ["plain", "list", "async", "suspended", "context"])
    async def test_one_of_the_protocol_is_the_answer(self, kind: str) -> None:
        driver = Driver(Server("x", run_in="loop").add(failing(kind, McpError("teapot", code=418, data=[1]))))
        driver.start("fail")
        (answer,) = await driver.later()
        assert answer["error"] == {"code": 418, "message": "teapot", "data": [1]}

    @pytest.mark.parametrize("annotation", [int, list[int], Any, None])
    @pytest.mark.parametrize("kind", ["plain", "async", "context"])
    async def test_a_value_that_cannot_be_said_is_masked(self, kind: str, annotation: Any) -> None:
        driver = Driver(Server("x", run_in="loop").add(of_kind(kind, annotation, object())))
        driver.start("give")
        (answer,) = await driver.later()
        assert answer["result"]["isError"] is True

    @pytest.mark.parametrize("suspended", [False, True])
    async def test_a_handler_that_is_cancelled_from_within_is_answered(self, suspended: bool) -> None:
        """It awaited a task somebody else had cancelled; that must not end the connection."""

        async def wait() -> str:
            gone = asyncio.get_running_loop().create_future()
            gone.cancel()
            if suspended:
                await asyncio.sleep(0)
            return await gone

        for declared in (tool(wait), tool(wait, timeout=5)):
            driver = Driver(Server("x", run_in="loop").add(declared))
            driver.start("wait")
            (answer,) = await driver.later()
            assert answer["error"]["code"] == 503


def failing(kind: str, error: Exception) -> Any:
    async def suspended() -> int:
        await asyncio.sleep(0)
        raise error

    async def at_once() -> int:
        raise error

    def plain() -> int:
        raise error

    def of_list() -> list[int]:
        raise error

    def with_context(context: Context) -> int:
        raise error

    kinds: dict[str, Any] = {
        "plain": plain,
        "list": of_list,
        "async": at_once,
        "suspended": suspended,
        "context": with_context,
    }
    return tool("fail")(kinds[kind])


class TestTimeouts:
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_the_model_is_told_the_limit(self, revision: str) -> None:
        stopped: list[bool] = []

        async def forever() -> int:
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append(True)
            return 1

        driver = Driver(Server("x", run_in="loop").add(tool(timeout=0.001)(forever)), revision)
        driver.start("forever")
        await asyncio.wait(driver.session.running.tasks())
        (answer,) = await driver.later()
        assert answer["result"]["isError"] is True and stopped == [True]
        assert driver.texts(answer["result"]) == ["tool 'forever' did not finish within its 0.001 s"]

    async def test_a_timeout_of_the_handlers_own_is_not_ours(self) -> None:
        async def impatient() -> int:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
            return 1

        driver = Driver(Server("x", run_in="loop").add(tool(timeout=10)(impatient)))
        driver.start("impatient")
        await asyncio.wait(driver.session.running.tasks())
        (answer,) = await driver.later()
        assert "Internal error in tool 'impatient'" in driver.texts(answer["result"])[0]

    def test_a_plain_function_is_not_stopped_but_its_overrun_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        driver = Driver(Server("x", run_in="loop").add(tool(timeout=1e-9)(returning(int, 5))))
        with caplog.at_level(logging.WARNING, "tybalt.server"):
            assert driver.call("give")["structuredContent"] == 5
        assert "give" in caplog.text and "1e-09" in caplog.text

    def test_one_in_time_is_not_mentioned(self, caplog: pytest.LogCaptureFixture) -> None:
        driver = Driver(Server("x", run_in="loop").add(tool(timeout=20)(returning(int, 5))))
        assert driver.call("give")["structuredContent"] == 5
        assert caplog.records == []


class TestDefinition:
    @pytest.mark.parametrize(
        "annotations",
        [ToolAnnotations(read_only_hint=True), {"read_only_hint": True}, {"readOnlyHint": True}],
    )
    def test_annotations_in_every_spelling(self, annotations: Any) -> None:
        declared = tool(annotations=annotations)(search)
        assert declared.definition.annotations == ToolAnnotations(read_only_hint=True)

    @pytest.mark.parametrize("revision", REVISIONS)
    def test_what_is_listed_fits_the_revision(self, revision: str) -> None:
        options: dict[str, Any] = {
            "title": "Search",
            "description": "Finds.",
            "tags": {"a"},
            "version": "2",
            "meta": {"a/b": 1},
            "annotations": {"read_only_hint": True},
        }
        server = Server("x", run_in="loop").add(
            tool(**options)(search), *(tool(name)(returning(*VALUES[name][:2])) for name in VALUES)
        )
        result = Driver(server, revision).result("tools/list")
        validator(revision, "ListToolsResult").validate(result)

    def test_whether_a_call_needs_nothing_but_its_request(self) -> None:
        def keyword(*, a: int) -> int:
            return a

        assert [
            tool(each).settled("loop").is_inline for each in (search, search_later, search_in_context, keyword)
        ] == [
            True,
            True,
            False,
            False,
        ]
        assert not tool(search, timeout=1).is_inline
        assert Driver(Server("x", run_in="loop").add(keyword)).call("keyword", a=3)["structuredContent"] == 3


def test_a_call_in_an_older_revision_is_written_by_its_own_pieces() -> None:
    server = Server("x", run_in="loop").add(returning(int, 5))
    sessions = {revision: Driver(server, revision) for revision in (NEWEST, "2025-06-18", "2024-11-05")}
    for _ in range(2):
        assert sessions[NEWEST].call("give")["structuredContent"] == 5
        assert sessions["2025-06-18"].call("give")["structuredContent"] == {"result": 5}
        assert "structuredContent" not in sessions["2024-11-05"].call("give")
    assert isinstance(server.session(Output()).receive(sessions[NEWEST].encoded("tools/list")), bytes)


def test_an_input_schema_takes_the_place_of_that_of_the_parameters_and_reads_nothing() -> None:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "else": {"required": ["a"]}}
    declared = tool(input_schema=schema)(returning(int, 5))
    assert declared.definition.input_schema == schema
    assert Driver(Server("x", run_in="loop").add(declared)).call("give")["structuredContent"] == 5


@pytest.mark.parametrize("revision", [NEWEST, LEGACY[-1]])
async def test_what_is_much_is_read_once_and_told_by_its_first_failure(revision: str) -> None:
    server = Server("t", run_in="loop")

    @server.tool
    def count(rows: list[list[int]], factor: int = 1) -> int:
        return len(rows) * factor

    rows = [[1, 2, 3]] * (READ_ONCE // 6)
    async with server.running():
        driver = Driver(server, revision)
        few = driver.result("tools/call", {"name": "count", "arguments": {"rows": [["1"]], "factor": "2"}})
        assert few["content"][0]["text"] == "2"
        much = driver.result("tools/call", {"name": "count", "arguments": {"rows": rows, "factor": 2}})
        assert much["content"][0]["text"] == str(2 * len(rows))
        for arguments, told in (
            ({"rows": rows, "factor": "2"}, "$.arguments.factor: expected an integer; got a string"),
            ({"rows": [*rows, 1]}, f"$.arguments.rows[{len(rows)}]: expected an array; got an integer"),
        ):
            result = driver.result("tools/call", {"name": "count", "arguments": arguments})
            assert result["isError"]
            text = result["content"][0]["text"]
            assert text.startswith(f"Invalid arguments: {told}")
            assert text.endswith("(arguments of more than 256 KiB are read once, and exactly as they are)")
