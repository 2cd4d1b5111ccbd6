"""`CallResult`: the value inside of what a tool returned, plain or of a type that was asked for, in both eras."""

from dataclasses import dataclass
from datetime import date
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from tests.client.peers import asked, called, connected
from tybalt import Client, MisuseError, Server, ToolError
from tybalt.client.results import CallResult, path_text
from tybalt.errors import UnexpectedResult
from tybalt.types.adaptation import adapt
from tybalt.types.content import TextContent
from tybalt.types.tools import CallToolResult

ERAS = ("modern", "legacy")


class Day(msgspec.Struct):
    high: int
    on: date | None = None


@dataclass
class Forecast:
    city: str
    days: list[Day]


class Place(TypedDict):
    city: str


class Inner(pydantic.BaseModel):
    high: int


class Model(pydantic.BaseModel):
    city: str
    days: list[Inner]


FORECAST = {"city": "Oslo", "days": [{"high": 3, "on": "2026-11-24"}, {"high": 5}]}

server = Server("weather")


@server.tool(run_in="loop")
def forecast(city: str) -> dict[str, Any]:
    return {**FORECAST, "city": city}


@server.tool(run_in="loop")
def numbers() -> list[int]:
    return [1, 2]


@server.tool(run_in="loop")
def nothing() -> None:
    return None


@server.tool(run_in="loop")
def refuse() -> int:
    raise ToolError("not today")


@server.tool(run_in="loop")
def wrapped() -> dict[str, int]:
    return {"result": 7}


@server.tool(run_in="loop")
def words() -> TextContent:
    return TextContent(text="some words")


class TestData:
    @pytest.mark.parametrize("era", ERAS)
    async def test_without_a_type_it_is_the_plain_value(self, era: str) -> None:
        async with Client(server, era=era) as client:
            for name, value in (("numbers", [1, 2]), ("nothing", ""), ("words", "some words")):
                result = await client.call_tool(name)
                assert result.data == value == await client.call(name)
            assert isinstance(result, CallToolResult) and result.content == [TextContent(text="some words")]

    async def test_what_legacy_wraps_is_taken_off_there_alone(self) -> None:
        async with Client(server, era="modern") as client:
            result = await client.call_tool("wrapped")
            assert result.data == {"result": 7} == await client.call("wrapped")
            assert (await client.call_tool("numbers")).structured_content == [1, 2]
        async with Client(server, era="legacy") as client:
            result = await client.call_tool("numbers")
            assert (result.data, result.structured_content) == ([1, 2], {"result": [1, 2]})

    @pytest.mark.parametrize("era", ERAS)
    @pytest.mark.parametrize("returns", [None, int])
    async def test_of_a_failure_it_raises_the_tools_own_text(self, era: str, returns: Any) -> None:
        async with Client(server, era=era) as client:
            result = await client.call_tool("refuse", returns=returns)
            assert result.is_error
            with pytest.raises(ToolError, match=r"^not today$"):
                _ = result.data

    @pytest.mark.parametrize("era", ERAS)
    async def test_layers_change_nothing(self, era: str) -> None:
        async with Client(server, era=era, middleware=[lambda following: following]) as client:
            result = await client.call_tool("numbers", returns=tuple[int, ...])
            assert result.data == (1, 2) and (await client.call_tool("numbers")).data == [1, 2]

    async def test_what_came_after_questions_has_it_too(self) -> None:
        async with connected(on_elicit=print) as (client, peer):
            asking, message = await asked(peer, client.call_tool("greet", returns=int))
            peer.answer(message, {"resultType": "input_required", "requestState": "s"})
            peer.answer(await peer.next(), called(7))
            assert (await asking).data == 7


class TestReturns:
    @pytest.mark.parametrize("era", ERAS)
    async def test_the_value_is_of_the_type(self, era: str) -> None:
        async with Client(server, era=era) as client:
            result = await client.call_tool("forecast", {"city": "Oslo"}, returns=Forecast)
            assert result.data == Forecast("Oslo", [Day(3, date(2026, 11, 24)), Day(5)])
            assert result.structured_content == FORECAST
            place = await client.call_as(Place, "forecast", city="Rome")
            assert place["city"] == "Rome"
            assert await client.call_as(set[int], "numbers") == {1, 2}
            assert await client.call_as(int | None, "nothing") is None

    async def test_a_keyword_of_any_name_is_an_argument(self) -> None:
        host = Server("host")
        host.tool(name="tell", run_in="loop")(lambda kind, name, returns: [kind, name, returns])
        async with Client(host) as client:
            assert await client.call_as(list[str], "tell", kind="1", name="2", returns="3") == ["1", "2", "3"]

    async def test_a_model_of_pydantic(self) -> None:
        async with Client(server) as client:
            assert (await client.call_as(Model, "forecast", city="Oslo")).days[1].high == 5
            assert (await client.call_as(dict[str, Any] | None, "forecast", city="Oslo"))["city"] == "Oslo"

    def test_a_client_without_a_loop_has_it(self) -> None:
        with Client(server).sync() as client:
            assert client.call_as(Forecast, "forecast", city="Oslo").city == "Oslo"
            assert client.call_tool("numbers", returns=list[float]).data == [1.0, 2.0]

    async def test_text_is_read_as_json_where_that_is_all_there_is(self) -> None:
        """Before 2025-06-18 there is no structured content."""
        async with Client(server, era="2024-11-05") as client:
            assert (await client.call_as(Forecast, "forecast", city="Oslo")).days[0].high == 3
            assert await client.call_as(str, "forecast", city="Oslo") == await client.call("forecast", city="Oslo")
            with pytest.raises(UnexpectedResult, match=r"'words' returned is no int: \$: expected `int`, got `str`"):
                await client.call_as(int, "words")

    @pytest.mark.parametrize("era", ERAS)
    @pytest.mark.parametrize("kind", [Forecast, Model])
    async def test_what_does_not_fit_says_where(self, era: str, kind: Any) -> None:
        async with connected(era) as (client, peer):
            asking, message = await asked(peer, client.call_tool("forecast", returns=kind))
            peer.answer(message, called({"city": "Oslo", "days": [{"high": 1}, {"high": 2}, {}, {"high": "\x1b[2J"}]}))
            with pytest.raises(UnexpectedResult, match=r"^what the tool 'forecast' returned is no \w+: \$.days\[2\]"):
                await asking

    async def test_a_model_inside_of_a_value_says_where_too(self) -> None:
        async with connected() as (client, peer):
            asking, message = await asked(peer, client.call_as(dict[str, Inner], "forecast"))
            peer.answer(message, called({"one": {"high": 1}, "two": {"high": []}}))
            with pytest.raises(UnexpectedResult, match=r"\$\[\.\.\.\]\.high: input should be a valid integer"):
                await asking

    async def test_what_is_told_is_printable_and_short(self) -> None:
        class Picky(msgspec.Struct):
            a: int

            def __post_init__(self) -> None:
                raise ValueError("\x1b[2J" + "x" * 10_000)

        async with connected() as (client, peer):
            asking, message = await asked(peer, client.call_as(Picky, "forecast"))
            peer.answer(message, called({"a": 1}))
            with pytest.raises(UnexpectedResult) as caught:
                await asking
            assert str(caught.value).isprintable() and len(str(caught.value)) < 700

    async def test_a_type_that_nothing_becomes_is_a_mistake_of_the_program(self) -> None:
        class Own:
            pass

        async with Client(server) as client:
            for kind in (Own, list[Own]):
                with pytest.raises(MisuseError, match="returns: nothing can be made a"):
                    await client.call_tool("numbers", returns=kind)

    async def test_the_value_is_never_sent(self) -> None:
        """A server that passes on what it got sends what came, in every revision."""
        async with Client(server) as client:
            result = await client.call_tool("numbers", returns=set[int])
        assert b"value" not in msgspec.json.encode(result)
        assert adapt(result, "2025-06-18")["structuredContent"] == {"result": [1, 2]}
        proxy = Server("proxy")

        @proxy.tool(run_in="loop")
        def passed_on() -> CallToolResult:
            return result

        async with Client(proxy) as client:
            assert await client.call("passed_on") == [1, 2]


def test_the_type_of_the_data_is_that_of_the_result() -> None:
    assert CallResult[int] is not None and path_text(["days", 3, "high"]) == "$.days[3].high"
