"""What a client checks of what tools return, if it is told to: in both eras, and under a budget."""

import asyncio
import logging
from typing import Any

import pytest

from tests.client.peers import Peer, asked, called, connected, idle, settle
from tests.client.test_restarting import greet, restarted
from tybalt import Client, MisuseError, Server
from tybalt.client import schemas
from tybalt.client.schemas import OutputSchemas
from tybalt.errors import UnexpectedResult
from tybalt.types.tools import CallToolResult, Tool

ERAS = ("modern", "legacy")
DAYS = {
    "type": "object",
    "properties": {
        "days": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"high": {"type": "integer", "minimum": -90}, "of": {"enum": ["land", "sea"]}},
                "required": ["high"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["days"],
}
INPUT = {"type": "object"}


def tool(schema: Any, name: str = "forecast") -> dict[str, Any]:
    return {"name": name, "inputSchema": INPUT, "outputSchema": schema}


async def listed_again(peer: Peer, asking: "asyncio.Task[Any]", schema: Any) -> None:
    """Say once more what the tools are, if that is asked: before a server is blamed, its list is looked at again."""
    await settle()
    if not asking.done():
        again = await peer.next()
        assert again["method"] == "tools/list"
        peer.answer(again, {"resultType": "complete", "tools": [tool(schema)]})


async def checked(
    schema: Any, value: Any, *, era: str = "modern", result: Any = None, calls: int = 1, **options: Any
) -> Any:
    """What a client makes of the result of a tool with this schema."""
    async with connected(era, check_output=True, **options) as (client, peer):
        listing, message = await asked(peer, client.list_tools())
        peer.answer(message, {"resultType": "complete", "tools": [tool(schema)]})
        await listing
        for _ in range(calls):
            asking, message = await asked(peer, client.call_tool("forecast"))
            peer.answer(message, called(value) if result is None else result)
            await listed_again(peer, asking, schema)
            found = await asking
        assert idle(client) and peer.quiet()
        return found.data


@pytest.mark.parametrize("era", ERAS)
async def test_what_fits_is_returned(era: str) -> None:
    value = {"days": [{"high": 3}, {"high": -1, "of": "sea"}]}
    assert await checked(DAYS, value, era=era) == value
    assert await checked(DAYS, value, era=era, middleware=[lambda following: following]) == value


BROKEN = {
    "type": ({"days": [{"high": 1}, {"high": "x"}]}, '$.days[1].high: the value is not of type "integer"; got "x"'),
    "missing": ({"days": [{}]}, '$.days[0]: "high" is a required property; got {}'),
    "limit": ({"days": [{"high": -91}]}, "$.days[0].high: the value is less than the minimum of -90; got -91"),
    "choice": ({"days": [{"high": 1, "of": 5}]}, '$.days[0].of: the value is not one of "land" or "sea"; got 5'),
    "root": ([], '$: the value is not of type "object"; got []'),
    "escape": ({"days": "\x1b[2J\n"}, '$.days: the value is not of type "array"; got "\\u001b[2J\\n"'),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("value", "told"), BROKEN.values(), ids=BROKEN)
async def test_what_does_not_is_an_error_that_says_where(era: str, value: Any, told: str) -> None:
    with pytest.raises(UnexpectedResult) as caught:
        await checked(DAYS, value, era=era)
    assert str(caught.value) == f"the result of the tool 'forecast' breaks its output schema: {told}"


async def test_the_error_is_short_and_printable() -> None:
    value = {"days": [{"high": 1, "\x1b[2J\u202e" + "x" * 5_000: ["y" * 5_000]}]}
    with pytest.raises(UnexpectedResult) as caught:
        await checked(DAYS, value)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 700


@pytest.mark.parametrize("era", ERAS)
async def test_a_promised_value_that_is_missing(era: str) -> None:
    empty = {"resultType": "complete", "content": []}
    with pytest.raises(UnexpectedResult, match="has an output schema, and its result has no structured content"):
        await checked(DAYS, None, era=era, result=empty)
    assert await checked(None, None, era=era, result=empty) == ""


async def test_a_failure_need_not_fit() -> None:
    async with connected(check_output=True) as (client, peer):
        asking, message = await asked(peer, client.call_tool("forecast"))
        peer.answer(message, {"resultType": "complete", "content": [], "isError": True})
        assert (await asking).is_error and peer.quiet()


@pytest.mark.parametrize("era", ERAS)
async def test_our_own_servers_pass(era: str) -> None:
    server = Server("own", eras=[era])
    server.tool(name="numbers", run_in="loop")(numbers)
    server.tool(name="untyped", run_in="loop")(lambda: "words")
    async with Client(server, check_output=True) as client:
        assert await client.call("numbers") == [1, 2] and await client.call("untyped") == "words"
        assert await client.call_as(set[int], "numbers") == {1, 2}
    async with Client(server) as client:
        assert client._schemas is None


def numbers() -> list[int]:
    return [1, 2]


class TestLists:
    async def test_a_tool_in_no_list_is_looked_for_once(self) -> None:
        async with connected(check_output=True) as (client, peer):
            calls = [asyncio.create_task(client.call("forecast")) for _ in range(2)]
            for _ in calls:
                peer.answer(await peer.next(), called({"days": []}))
            listing = await peer.next()
            assert listing["method"] == "tools/list"
            peer.answer(listing, {"resultType": "complete", "tools": [tool(DAYS)]})
            assert await asyncio.gather(*calls) == [{"days": []}] * 2
            for name in ("hidden", "hidden"):
                asking, message = await asked(peer, client.call(name))
                peer.answer(message, called(1))
                if name not in client._schemas._schemas:  # type: ignore[union-attr]
                    peer.answer(await peer.next(), {"resultType": "complete", "tools": []})
                assert await asking == 1
            assert peer.quiet() and idle(client)

    async def test_where_there_is_no_list_the_call_is_good(self, caplog: pytest.LogCaptureFixture) -> None:
        async with connected(check_output=True) as (client, peer):
            asking, message = await asked(peer, client.call("forecast"))
            peer.answer(message, called(1))
            peer.refuse(await peer.next(), -32603)
            assert await asking == 1
        assert "'forecast' returns is not checked: the tools could not be listed: no" in caplog.text

    @pytest.mark.parametrize("era", ERAS)
    async def test_a_new_list_counts(self, era: str) -> None:
        async with connected(era, check_output=True) as (client, peer):
            for schema, fits in (({"type": "object"}, True), (DAYS, False), (DAYS, False), (None, True)):
                listing, message = await asked(peer, client.list_tools())
                peer.answer(message, {"resultType": "complete", "tools": [tool(schema)]})
                await listing
                asking, message = await asked(peer, client.call_tool("forecast"))
                peer.answer(message, called({"days": 1}))
                await listed_again(peer, asking, schema)
                if fits:
                    await asking
                else:
                    with pytest.raises(UnexpectedResult):
                        await asking

    async def test_a_change_that_nobody_was_told_of_blames_nobody(self) -> None:
        async with connected(check_output=True) as (client, peer):
            listing, message = await asked(peer, client.list_tools())
            peer.answer(message, {"resultType": "complete", "tools": [tool(DAYS)]})
            await listing
            asking, message = await asked(peer, client.call("forecast"))
            peer.answer(message, called(5))
            await listed_again(peer, asking, {"type": "integer"})
            assert await asking == 5
            client.forget()
            asking, message = await asked(peer, client.call("forecast"))
            peer.answer(message, called(6))
            await listed_again(peer, asking, {"type": "integer"})
            assert await asking == 6

    async def test_when_the_tools_have_changed_they_are_listed_again(self) -> None:
        async with connected("legacy", check_output=True) as (client, peer):
            listing, message = await asked(peer, client.list_tools())
            peer.answer(message, {"tools": [tool({"type": "object"})]})
            await listing
            peer.send({"method": "notifications/tools/list_changed"})
            asking, message = await asked(peer, client.call_tool("forecast"))
            peer.answer(message, called({"days": 1}))
            peer.answer(await peer.next(), {"tools": [tool(DAYS)]})
            with pytest.raises(UnexpectedResult):
                await asking

    @pytest.mark.parametrize("era", ERAS)
    async def test_a_server_that_was_started_again_may_have_other_tools(self, era: str) -> None:
        async with restarted(era, check_output=True) as (client, peers):
            for schema in ({"type": "object"}, DAYS):
                calling = asyncio.create_task(client.call_tool("forecast"))
                peers.now.answer(await peers.now.next(), called({"days": 1}))
                peers.now.answer(await peers.now.next(), {"resultType": "complete", "tools": [tool(schema)]})
                if schema is DAYS:
                    with pytest.raises(UnexpectedResult):
                        await calling
                    return
                await calling
                await peers.now.aclose()
                await settle()
                await greet(peers.now, era)

    async def test_a_list_that_is_the_same_is_not_compiled_again(self) -> None:
        known = OutputSchemas()
        listed = [Tool(name="forecast", input_schema=INPUT, output_schema=dict(DAYS))]
        known.learn(listed)
        await known.check("forecast", CallToolResult(content=[], structured_content={"days": []}), never)
        compiled = known._compiled["forecast"]
        known.learn([Tool(name="forecast", input_schema=INPUT, output_schema=dict(DAYS))])
        assert known._compiled["forecast"] is compiled
        known.learn([Tool(name="forecast", input_schema=INPUT, output_schema={})])
        assert known._compiled == {}

    async def test_what_is_remembered_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(schemas, "MAX_TOOLS", 3)
        monkeypatch.setattr(schemas, "MAX_COMPILED", 2)
        known = OutputSchemas()
        known.learn(Tool(name=f"t{i}", input_schema=INPUT, output_schema={}) for i in range(5))
        assert list(known._schemas) == ["t2", "t3", "t4"]
        for name in known._schemas:
            await known.check(name, CallToolResult(content=[], structured_content=1), never)
        assert list(known._compiled) == ["t3", "t4"]


async def never() -> None:
    raise AssertionError("the tools are known")


UNCHECKABLE: dict[str, tuple[Any, str]] = {
    "remote": ({"$ref": "http://127.0.0.1:9/x"}, "it refers to 'http://127.0.0.1:9/x'; nothing is fetched"),
    "file": ({"properties": {"a": {"$ref": "file:///etc/passwd"}}}, "it refers to 'file:///etc/passwd'"),
    "dangling": ({"$ref": "#/$defs/none"}, "its output schema cannot be used"),
    "wrong": ({"type": "integre"}, "its output schema cannot be used"),
    "looking back": ({"pattern": "(a+)\\1"}, "its output schema cannot be used"),
    "a large pattern": ({"pattern": "(a{0,100}){0,100}"}, "its output schema cannot be used"),
    "growing": ({"anyOf": [{"properties": {"a": {"$ref": "#"}}}] * 2}, "more than 2,000 of its parts"),
    "a wide escape": ({"$ref": "\x1b[2J\nx"}, r"refers to '\x1b[2J\nx'"),
}


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(("schema", "reason"), UNCHECKABLE.values(), ids=UNCHECKABLE)
async def test_a_schema_that_cannot_be_used_fails_no_call(
    era: str, schema: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert await checked(schema, {"a": 1}, era=era, calls=3) == {"a": 1}
    (record,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    told = record.getMessage()
    assert told.startswith("what the tool 'forecast' returns is not checked: ") and reason in told
    assert told.isprintable() and len(told) < 500


async def test_a_value_that_would_cost_too_much_is_not_checked(caplog: pytest.LogCaptureFixture) -> None:
    wide = {"items": {"anyOf": [{"type": "string"}] * 1_000 + [{"type": "integer"}]}}
    assert await checked(wide, [1] * 100) == [1] * 100
    assert caplog.records == []
    assert await checked(wide, [1] * 1_000, calls=2) == [1] * 1_000
    (record,) = caplog.records
    assert "steps to check, more than the 500,000 allowed" in record.getMessage()
    caplog.clear()
    assert await checked({"items": {"pattern": "^a*$"}}, ["b" * 200_000]) == ["b" * 200_000]
    assert "steps to check" in caplog.text


async def test_linear_patterns_are_checked() -> None:
    with pytest.raises(UnexpectedResult, match=r'does not match "\^\(a\+\)\+\$"; got "aaaa'):
        await checked({"pattern": "^(a+)+$"}, "a" * 5_000 + "!")


async def test_formats_are_notes() -> None:
    """JSON Schema 2020-12 validation, section 7.2: unless asked for, `format` asserts nothing."""
    for dialect in ("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/draft-07/schema#"):
        assert await checked({"$schema": dialect, "format": "date"}, "soon") == "soon"


async def test_what_is_deep_or_large_is_checked_or_let_be() -> None:
    deep: Any = []
    for _ in range(120):
        deep = [deep]
    assert await checked({"items": {"$ref": "#"}}, deep) == deep
    assert await checked({"type": "integer"}, 10**400) == 10**400


def test_without_its_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemas, "find_spec", lambda name: None)
    with pytest.raises(MisuseError, match=r"check_output: it needs a validator; pip install 'tybalt\[schema\]'"):
        Client(Server("none"), check_output=True)
