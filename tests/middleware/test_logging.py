"""Logging: one record for each request, at its end, that no peer can forge and no secret gets into."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import BackendError, InternalError, InvalidArguments, McpError, MisuseError, NotFound, ToolError
from tybalt.execution import CancelKind, CancelReason, Interrupted
from tybalt.middleware import Handler, Request, stacked
from tybalt.middleware import logging as module
from tybalt.middleware.logging import LOGGER, Logging
from tybalt.types.content import EmbeddedResource, ImageContent, TextContent
from tybalt.types.resources import ReadResourceResult, TextResourceContents
from tybalt.types.tools import CallToolResult, ListToolsResult

CALL = Request(method="tools/call", name="add", arguments={"a": 1, "password": "hunter2"}, principal="alice")
ANSWER = CallToolResult(content=[TextContent(text="two")])


class Records(logging.Handler):
    """The records that were logged."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    @property
    def only(self) -> Any:
        (record,) = self.records
        return record


@pytest.fixture
def records() -> Iterator[Records]:
    logger = logging.getLogger(LOGGER)
    handler, before = Records(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


def logger_to(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("own")  # noqa: LOG001 (one that no other test knows)
    logger.addHandler(handler)
    return logger


def becoming(become: Any) -> Handler:
    async def handler(request: Request) -> Any:
        if isinstance(become, BaseException):
            raise become
        return become

    return handler


def clock() -> Any:
    """A clock by which everything takes 12.5 ms."""
    return iter(number * 0.0125 for number in range(100)).__next__


@pytest.mark.loops
async def test_a_success_is_one_record_with_fields_and_a_text(records: Records) -> None:
    assert await Logging(clock=clock())(becoming(ANSWER))(CALL) is ANSWER
    record = records.only
    assert record.getMessage() == "tools/call ok in 12.5 ms: add [alice]"
    assert (record.levelno, record.exc_info) == (logging.INFO, None)
    fields = {key: value for key, value in vars(record).items() if key.startswith("mcp_")}
    assert fields == {
        "mcp_method": "tools/call",
        "mcp_name": "add",
        "mcp_principal": "alice",
        "mcp_outcome": "ok",
        "mcp_duration_ms": 12.5,
        "mcp_size": 3,
    }


@pytest.mark.loops
async def test_a_list_has_no_name_and_nobody_who_asks(records: Records) -> None:
    await Logging(clock=clock())(becoming(ListToolsResult(tools=[])))(Request(method="tools/list"))
    assert records.only.getMessage() == "tools/list ok in 12.5 ms"
    assert (records.only.mcp_name, records.only.mcp_principal, records.only.mcp_size) == (None, None, None)


@pytest.mark.loops
@pytest.mark.parametrize(
    ("error", "level"),
    [
        (ToolError("no"), logging.WARNING),
        (NotFound(), logging.WARNING),
        (McpError("no", code=7), logging.WARNING),
        (InvalidArguments("add", "a is missing"), logging.WARNING),
        (InternalError("no"), logging.ERROR),
        (BackendError("down"), logging.ERROR),
        (MisuseError("no"), logging.ERROR),
        (KeyError("bug"), logging.ERROR),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
async def test_failures_have_a_level_by_kind(error: Exception, level: int, records: Records) -> None:
    with pytest.raises(type(error)) as caught:
        await Logging(level=logging.DEBUG)(becoming(error))(CALL)
    assert caught.value is error
    assert (records.only.levelno, records.only.mcp_outcome) == (level, type(error).__name__)


@pytest.mark.loops
async def test_a_tool_that_says_no_by_its_result_is_a_failure_too(records: Records) -> None:
    await Logging()(becoming(CallToolResult(content=[], is_error=True)))(CALL)
    assert (records.only.levelno, records.only.mcp_outcome) == (logging.WARNING, "is_error")


@pytest.mark.loops
async def test_a_group_of_one_is_logged_as_the_one_in_it_and_raised_as_it_is(records: Records) -> None:
    group = ExceptionGroup("tasks", [NotFound("no row 7")])
    with pytest.raises(ExceptionGroup) as caught:
        await Logging(payloads=True)(becoming(group))(CALL)
    assert caught.value is group
    assert (records.only.mcp_outcome, records.only.mcp_error) == ("NotFound", "no row 7")


@pytest.mark.loops
@pytest.mark.parametrize(
    "cancel", [asyncio.CancelledError(), Interrupted(CancelReason(CancelKind.USER))], ids=["task", "token"]
)
async def test_a_cancel_is_logged_as_one_and_passes_untouched(cancel: BaseException, records: Records) -> None:
    with pytest.raises(type(cancel)) as caught:
        await Logging()(becoming(cancel))(CALL)
    assert caught.value is cancel
    assert (records.only.levelno, records.only.mcp_outcome) == (logging.INFO, "cancelled")


@pytest.mark.loops
async def test_a_cancelled_task_is_logged(records: Records) -> None:
    async def endless(request: Request) -> Any:
        await asyncio.Event().wait()

    async def asking() -> Any:
        return await Logging()(endless)(CALL)

    task = asyncio.create_task(asking())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert records.only.mcp_outcome == "cancelled"


@pytest.mark.loops
async def test_levels_that_nobody_wants_are_not_logged(records: Records) -> None:
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
    layer = Logging()
    await layer(becoming(ANSWER))(CALL)
    assert records.records == []
    with pytest.raises(ToolError):
        await layer(becoming(ToolError("no")))(CALL)
    assert records.only.mcp_outcome == "ToolError"


@pytest.mark.loops
async def test_a_logger_of_ones_own(records: Records) -> None:
    own = Records()
    logger = logger_to(own)
    await Logging(logger, level=logging.WARNING)(becoming(ANSWER))(CALL)
    assert own.only.levelno == logging.WARNING and records.records == []


@pytest.mark.loops
async def test_a_log_that_fails_loses_neither_a_result_nor_a_cancel(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise RuntimeError("no space left")

    layer = Logging(logger_to(Broken()))
    with caplog.at_level(logging.ERROR, logger=module.__name__):
        assert await layer(becoming(ANSWER))(CALL) is ANSWER
        cancel = asyncio.CancelledError()
        with pytest.raises(asyncio.CancelledError) as caught:
            await layer(becoming(cancel))(CALL)
    assert caught.value is cancel
    assert caplog.text.count("a request of 'tools/call' could not be logged") == 2


class TestPayloads:
    @pytest.mark.loops
    async def test_they_are_off(self, records: Records) -> None:
        with pytest.raises(ToolError):
            await Logging()(becoming(ToolError("no row for hunter3")))(CALL)
        told = str(vars(records.only))
        assert "hunter" not in told and "mcp_arguments" not in told and "mcp_error" not in told

    @pytest.mark.loops
    async def test_turned_on_they_are_fields_and_in_the_text_without_secrets(self, records: Records) -> None:
        await Logging(payloads=True, clock=clock())(becoming(ANSWER))(CALL)
        record = records.only
        assert record.mcp_arguments == '{"a":1,"password":"[redacted]"}'
        assert record.mcp_result == '{"content":[{"text":"two"}]}'
        assert record.getMessage() == (
            'tools/call ok in 12.5 ms: add [alice] arguments={"a":1,"password":"[redacted]"} '
            'result={"content":[{"text":"two"}]}'
        )

    @pytest.mark.loops
    async def test_the_text_of_an_error_too(self, records: Records) -> None:
        with pytest.raises(ToolError):
            await Logging(payloads=True)(becoming(ToolError("bad line\ntoken=hunter2")))(CALL)
        assert records.only.mcp_error == r"bad line\ntoken=[redacted]"
        assert not hasattr(records.only, "mcp_result")

    @pytest.mark.loops
    async def test_they_are_cut(self, records: Records) -> None:
        await Logging(payloads=True, max_payload=20)(becoming(ANSWER))(CALL.replaced(arguments={"a": "x" * 5_000}))
        assert records.only.mcp_arguments == '{"a":"xxxxxxxxxxxxxx…'
        assert len(records.only.mcp_result) == 21

    @pytest.mark.loops
    async def test_words_of_ones_own(self, records: Records) -> None:
        await Logging(payloads=True, redact=["a"])(becoming(None))(CALL)
        assert records.only.mcp_arguments == '{"a":"[redacted]","password":"[redacted]"}'

    def test_a_length_that_is_none_is_refused(self) -> None:
        with pytest.raises(MisuseError, match="max_payload is a number of characters above 0"):
            Logging(payloads=True, max_payload=0)


class TestInjection:
    @given(st.text(), st.text(), st.text())
    async def test_nothing_a_peer_says_begins_a_new_line(self, name: str, principal: str, value: str) -> None:
        own = Records()
        logger = logger_to(own)
        request = Request(method="tools/call", name=name, principal=principal, arguments={value: value})
        with pytest.raises(ToolError):
            await Logging(logger, payloads=True)(becoming(ToolError(value)))(request)
        record = own.only
        told = [record.getMessage(), *(each for key, each in vars(record).items() if key.startswith("mcp_"))]
        assert all(each.isprintable() for each in told if isinstance(each, str))

    @pytest.mark.loops
    async def test_a_name_is_escaped_and_cut(self, records: Records) -> None:
        name = "add\r\ntools/call ok in 0.1 ms: forged %s" + "x" * 500
        await Logging(clock=clock())(becoming(None))(CALL.replaced(name=name))
        message = records.only.getMessage()
        assert message.startswith(r"tools/call ok in 12.5 ms: add\r\ntools/call ok in 0.1 ms: forged %sxxx")
        assert len(message) < 300 and "\n" not in message

    @pytest.mark.loops
    async def test_a_secret_in_a_uri_is_not_shown(self, records: Records) -> None:
        request = Request(method="resources/read", name="https://bob:hunter2@h/a?token=hunter2")
        await Logging()(becoming(None))(request)
        assert records.only.mcp_name == "https://[redacted]@h/a?token=[redacted]"


@pytest.mark.loops
@pytest.mark.parametrize(
    ("result", "size"),
    [
        (ReadResourceResult(contents=[TextResourceContents(uri="file:///a", text="four")]), 4),
        (
            CallToolResult(
                content=[
                    TextContent(text="four"),
                    ImageContent(data="AAAAAA", mime_type="image/png"),
                    EmbeddedResource(resource=TextResourceContents(uri="file:///a", text="a")),
                ]
            ),
            11,
        ),
        (CallToolResult(content=[]), 0),
        (ListToolsResult(tools=[]), None),
        (None, None),
    ],
    ids=["resource", "tool", "empty", "list", "none"],
)
async def test_the_size_of_what_was_answered(result: Any, size: int | None, records: Records) -> None:
    await Logging()(becoming(result))(CALL)
    assert records.only.mcp_size == size


@pytest.mark.loops
async def test_several_stacks_may_share_one(records: Records) -> None:
    layer = Logging()
    await layer(becoming(ANSWER))(CALL)
    await stacked(becoming(ANSWER), [layer])(CALL.replaced(name="subtract"))
    assert [record.mcp_name for record in records.records] == ["add", "subtract"]
