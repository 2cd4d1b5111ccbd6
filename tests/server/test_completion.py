"""Completion: declared completers, types that complete by themselves, and the limit of 100 values."""

import asyncio
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta
from pydantic import Field

from tests.server.driving import REVISIONS, Driver
from tests.types.published import validator
from tybalt import Context, MisuseError, RegistrationError, Server
from tybalt.server.completion import Completer
from tybalt.types.completion import CompleteResult, Completion


class Color(Enum):
    RED = "red"
    GREEN = "green"


class Grade(Enum):
    """Numbers complete too: what is typed is their text."""

    ONE = 1
    TWO = 2


def paint(
    color: Color,
    shade: Literal["light", "dark"],
    glossy: bool,
    name: str = "",
    finish: Literal["matt", "mirror"] | None = None,
    grade: Grade = Grade.ONE,
    only: Literal["this"] = "this",
    note: Annotated[str, Meta(max_length=5)] = "",
) -> str:
    return "painted"


def ask(driver: Driver, argument: str, value: str = "", *, uri: str | None = None, **context: Any) -> Any:
    ref = {"type": "ref/prompt", "name": "paint"} if uri is None else {"type": "ref/resource", "uri": uri}
    params: dict[str, Any] = {"ref": ref, "argument": {"name": argument, "value": value}}
    return driver.ask("completion/complete", params | ({"context": {"arguments": context}} if context else {}))


def values(driver: Driver, argument: str, value: str = "", *, uri: str | None = None, **context: Any) -> list[str]:
    return ask(driver, argument, value, uri=uri, **context)["result"]["completion"]["values"]


@pytest.fixture
def server() -> Server:
    server = Server("x", run_in="loop")
    server.prompt(paint)
    server.resource("paint://{color}/{name}")(paint_resource)
    server.resource("paint://palette")(lambda_free)
    return server


def paint_resource(color: Color, name: str) -> str:
    return "painted"


def lambda_free() -> str:
    return "x"


class TestByItself:
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize(
        ("argument", "value", "expected"),
        [
            ("color", "", ["red", "green"]),
            ("color", "G", ["green"]),
            ("color", "x", []),
            ("shade", "da", ["dark"]),
            ("glossy", "", ["true", "false"]),
            ("glossy", "t", ["true"]),
            ("finish", "m", ["matt", "mirror"]),
            ("grade", "", ["1", "2"]),
            ("only", "", ["this"]),
            ("name", "", []),
            ("note", "", []),
        ],
    )
    def test_what_the_type_allows(
        self, server: Server, argument: str, value: str, expected: list[str], revision: str
    ) -> None:
        driver = Driver(server, revision)
        answer = ask(driver, argument, value)
        validator(revision, "CompleteResult").validate(answer["result"])
        assert answer["result"]["completion"] == {"values": expected, "total": len(expected), "hasMore": False}

    def test_the_variables_of_a_template(self, server: Server) -> None:
        assert values(Driver(server), "color", "r", uri="paint://{color}/{name}") == ["red"]

    def test_an_argument_is_known_by_its_name_on_the_wire(self) -> None:
        def paint(colour: Annotated[Literal["red"], Field(alias="color")]) -> str:
            return colour

        server = Server("x", run_in="loop")
        server.prompt(paint)
        driver = Driver(server)
        assert driver.result("prompts/list")["prompts"][0]["arguments"][0]["name"] == "color"
        assert values(driver, "color") == ["red"]
        server.completion("paint", "colour")(lambda_of_value)
        assert values(driver, "color", "re") == ["re"]

    def test_a_resource_without_variables_has_nothing_to_complete(self, server: Server) -> None:
        assert values(Driver(server), "color", uri="paint://palette") == []

    def test_only_what_the_prompt_would_take_is_offered(self) -> None:
        class Mix(Enum):
            WORD = "r"
            NUMBER = 2

        class Size(Enum):
            SMALL = 1.5
            LARGE = 2.0

        def mixed(
            mix: Mix,
            maybe: Mix | None,
            size: Size,
            always: Literal[True],
            some: Literal["a", 1, None],
            null: Literal["null"],
            several: list[Color],
        ) -> str:
            return "mixed"

        server = Server("x", run_in="loop")
        server.prompt(mixed, name="paint")
        driver = Driver(server)
        offered = {each: values(driver, each) for each in ("mix", "maybe", "size", "always", "some", "null", "several")}
        assert offered == {
            "mix": ["r"],
            "maybe": ["r"],
            "size": [],
            "always": [],
            "some": ["a", "1"],
            "null": ["null"],
            "several": [],
        }


class TestDeclared:
    def test_by_handle_by_name_and_by_uri(self, server: Server) -> None:
        def names(value: str) -> list[str]:
            return [value + "!", value + "?"]

        assert server.completion("paint", "name")(names) is names
        server.completion(server.handle("template", "paint://{color}/{name}"), "name")(names)
        server.completion("paint://{color}/{name}", "color")(names)
        driver = Driver(server)
        assert values(driver, "name", "a") == ["a!", "a?"]
        assert values(driver, "name", "a", uri="paint://{color}/{name}") == ["a!", "a?"]
        assert values(driver, "color", "a", uri="paint://{color}/{name}") == ["a!", "a?"]

    def test_it_goes_before_the_type(self, server: Server) -> None:
        server.completion("paint", "color")(lambda_of_value)
        assert values(Driver(server), "color", "re") == ["re"]

    def test_it_may_look_at_what_is_filled_in(self, server: Server) -> None:
        def names(value: str, arguments: dict[str, str]) -> list[str]:
            return [f"{arguments.get('color', 'any')} {value}"]

        server.completion("paint", "name")(names)
        driver = Driver(server)
        assert values(driver, "name", "a", color="red") == ["red a"]
        assert values(driver, "name", "a") == ["any a"]

    def test_a_second_one_is_refused_but_on_purpose(self, server: Server) -> None:
        def better(value: str) -> list[str]:
            return ["better"]

        server.completion("paint", "color")(lambda_of_value)
        with pytest.raises(RegistrationError) as caught:
            server.completion("paint", "color")(better)
        told = str(caught.value)
        assert told.startswith("completion: argument 'color' of prompt 'paint' (function ")
        assert told.endswith("lambda_of_value. Take one of them out, or pass replace=True")
        assert values(Driver(server), "color", "x") == ["x"]
        server.completions.add("paint", "color", better, replace=True)
        assert values(Driver(server), "color", "x") == ["better"]

    def test_a_prompt_that_is_another_one_now_may_have_another(self, server: Server) -> None:
        server.completion("paint", "color")(lambda_of_value)
        server.handle("prompt", "paint").remove()
        server.prompt(paint)
        server.completion("paint", "color")(lambda_of_value)
        assert values(Driver(server), "color", "x") == ["x"]

    @pytest.mark.parametrize("given", ["red", b"red", None, 5, Completion(values="red")], ids=str)  # pyright: ignore[reportArgumentType]
    def test_what_is_no_list_of_suggestions_is_misuse(self, server: Server, given: Any) -> None:
        def names(value: str) -> Any:
            return given

        completer = Completer(names, argument="name")
        with pytest.raises(
            MisuseError, match=r"completion 'name' \(function .*names\): returned .* as a list of strings"
        ):
            completer.result(given)
        server.completion("paint", "name")(names)
        assert ask(Driver(server), "name")["error"]["code"] == -32603

    def test_a_suggestion_that_is_no_text_is_made_one(self, server: Server) -> None:
        server.completion("paint", "name")(lambda value: ["a\ud800", 5])
        assert values(Driver(server), "name") == ["a�", "5"]

    async def test_it_may_be_async_and_have_a_context(self, server: Server) -> None:
        async def names(value: str, context: Context) -> list[str]:
            await asyncio.sleep(0)
            return [str(context.request_id)]

        server.completion("paint", "name")(names)
        driver = Driver(server)
        assert ask(driver, "name") is None
        (answer,) = await driver.later()
        assert answer["result"]["completion"]["values"] == [str(answer["id"])]

    @pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
    @pytest.mark.parametrize("kind", ["list", "generator", "completion", "result", "numbers"])
    def test_at_most_100_are_sent_and_all_are_counted(self, server: Server, kind: str, count: int) -> None:
        many = [str(number) for number in range(count)]
        given: Any = {
            "list": many,
            "generator": tuple(many),
            "completion": Completion(values=many),
            "result": CompleteResult(completion=Completion(values=many)),
            "numbers": range(count),
        }[kind]

        def names(value: str) -> Any:
            return given

        server.completion("paint", "name")(names)
        completion = ask(Driver(server), "name")["result"]["completion"]
        assert completion["values"] == many[:100]
        if kind in ("list", "generator", "numbers") or count > 100:
            assert (completion["total"], completion["hasMore"]) == (count, count > 100)

    def test_a_total_of_the_authors_is_kept(self, server: Server) -> None:
        def names(value: str) -> Completion:
            return Completion(values=["a"] * 101, total=5_000, has_more=True)

        server.completion("paint", "name")(names)
        completion = ask(Driver(server), "name")["result"]["completion"]
        assert (len(completion["values"]), completion["total"], completion["hasMore"]) == (100, 5_000, True)

    def test_what_fails_is_masked(self, server: Server) -> None:
        def names(value: str) -> list[str]:
            raise ValueError("hunter2")

        server.completion("paint", "name")(names)
        error = ask(Driver(server), "name")["error"]
        assert error["code"] == -32603 and "hunter2" not in error["message"]


def lambda_of_value(value: str) -> list[str]:
    return [value]


class TestRefused:
    @pytest.mark.parametrize(
        ("ref", "argument"),
        [
            ({"type": "ref/prompt", "name": "nothing"}, "color"),
            ({"type": "ref/prompt", "name": "paint"}, "nothing"),
            ({"type": "ref/resource", "uri": "nothing://{x}"}, "x"),
            ({"type": "ref/resource", "uri": "paint://{color}/{name}"}, "nothing"),
            ({"type": "ref/tool", "name": "paint"}, "color"),
        ],
    )
    def test_what_is_not_there_is_invalid_params(self, server: Server, ref: Any, argument: str) -> None:
        params = {"ref": ref, "argument": {"name": argument, "value": ""}}
        assert Driver(server).error("completion/complete", params)["code"] == -32602

    def test_declaring_for_what_is_not_there(self, server: Server) -> None:
        with pytest.raises(
            RegistrationError, match=r"there is no prompt or resource template 'pain'\. Declare it first"
        ):
            server.completion("pain", "color")(lambda_of_value)
        with pytest.raises(RegistrationError, match=r"has no argument 'colour'\. Did you mean 'color'"):
            server.completion("paint", "colour")(lambda_of_value)
        with pytest.raises(RegistrationError, match=r"has no argument 'zzz'\. It has color, shade"):
            server.completion("paint", "zzz")(lambda_of_value)

    def test_the_bare_decorator_says_how_it_is_written(self, server: Server) -> None:
        with pytest.raises(RegistrationError, match=r"expected a prompt's name.*Write @server\.completion\("):
            server.completion(lambda_of_value)

    def test_a_completer_of_another_shape(self, server: Server) -> None:
        def three(value: str, arguments: dict[str, str], more: str) -> list[str]:
            return []

        def other(value: str, context_arguments: dict[str, str]) -> list[str]:
            return []

        for function in (lambda_free, three, other):
            with pytest.raises(RegistrationError, match="a completer takes the value typed so far"):
                server.completion("paint", "name")(function)


def test_what_has_nothing_to_complete_says_so() -> None:
    server = Server("x", run_in="loop")
    server.prompt(lambda_free)
    driver = Driver(server)
    assert ask(driver, "a")["error"]["code"] == -32601
