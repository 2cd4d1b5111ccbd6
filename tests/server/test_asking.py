"""Asking the client, the same in both eras: every kind of question, by every way, from wherever a handler may ask.

What only one era has is in test_replaying.py (modern) and test_outstanding.py (legacy).
"""

import asyncio
import datetime as dt
import enum
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pydantic
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from tests.server.talk import ASKING, LEGACY, NEWEST, REVISIONS, Talk, accept, server_of
from tests.types.published import validator
from tybalt import (
    Accepted,
    Client,
    Context,
    Depends,
    Elicit,
    ElicitResult,
    InputRequired,
    InvalidParams,
    MisuseError,
    Returned,
    Roots,
    Sample,
    Server,
    ToolError,
    masked,
)
from tybalt.errors import MissingClientCapability
from tybalt.middleware import ResponseCaching, SingleFlight, Timing
from tybalt.testing import replay
from tybalt.transports import memory_pair
from tybalt.types.tools import ToolAnnotations

BOTH = ["2025-11-25", NEWEST]
both = pytest.mark.parametrize("revision", BOTH)
asking = pytest.mark.parametrize("revision", ASKING)

# -- every kind of answer, by every way -------------------------------------------------------------------------------


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Trip:
    city: str
    nights: int = 3
    seat: Colour = Colour.RED
    leaves: dt.date | None = None


class Person(Struct, rename="camel"):
    first_name: str
    age: int | None = None


class Contact(TypedDict):
    name: str


class Account(pydantic.BaseModel):
    name: str
    plan: Literal["free", "paid"] = "free"


KINDS: dict[str, tuple[Any, Any, str]] = {
    "str": (str, {"value": "x"}, "'x'"),
    "int": (int, {"value": 3}, "3"),
    "float": (float, {"value": 2.5}, "2.5"),
    "bool": (bool, {"value": True}, "True"),
    "literal": (Literal["tea", "milk"], {"value": "tea"}, "'tea'"),
    "enum": (Colour, {"value": "blue"}, "<Colour.BLUE: 'blue'>"),
    "date": (dt.date, {"value": "2026-07-28"}, "datetime.date(2026, 7, 28)"),
    "optional": (int | None, {}, "None"),
    "dataclass": (Trip, {"city": "Verona", "leaves": "2026-07-28"}, ""),
    "struct": (Person, {"firstName": "Ada"}, "Person(first_name='Ada', age=None)"),
    "typed dict": (Contact, {"name": "Ada"}, "{'name': 'Ada'}"),
    "pydantic": (Account, {"name": "Ada"}, "Account(name='Ada', plan='free')"),
}
KINDS["dataclass"] = (Trip, KINDS["dataclass"][1], repr(Trip("Verona", leaves=dt.date(2026, 7, 28))))
LATER: dict[str, tuple[Any, Any, str]] = {
    "choices": (list[Literal["a", "b"]], {"value": ["b"]}, "['b']"),
    "no choice": (set[Colour], {"value": []}, "set()"),
}
"""What came with 2025-11-25."""


def inquiring(**options: Any) -> Server:
    """A server whose tool asks for a value of any kind."""
    server = Server("inquiring", **options)

    @server.tool
    async def inquire(kind: str, context: Context) -> str:
        outcome = await context.elicit(f"A {kind}?", {**KINDS, **LATER}[kind][0])
        return repr(outcome)

    return server


@asynccontextmanager
async def direct(server: Server, **options: Any) -> AsyncGenerator[Client]:
    async with Client(server, **options) as client:
        yield client


@asynccontextmanager
async def over_memory(server: Server, **options: Any) -> AsyncGenerator[Client]:
    ours, theirs = memory_pair()
    serving = asyncio.create_task(server.serve(theirs))
    async with Client(ours, **options) as client:
        yield client
    await serving


WAYS: dict[str, Callable[..., AbstractAsyncContextManager[Client]]] = {"direct": direct, "memory": over_memory}


@pytest.mark.loops
@pytest.mark.parametrize("way", WAYS)
@asking
async def test_every_kind_of_value(revision: str, way: str) -> None:
    kinds = KINDS if revision == "2025-06-18" else {**KINDS, **LATER}
    asked: list[str] = []

    def on_elicit(question: Any) -> Any:
        asked.append(question.message)
        return kinds[question.message[2:-1]][1]

    async with WAYS[way](inquiring(), era=revision, on_elicit=on_elicit) as client:
        for kind, (_, _, told) in kinds.items():
            assert await client.call("inquire", kind=kind) == f"Accepted(value={told})"
    assert asked == [f"A {kind}?" for kind in kinds]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("action", "told"), [("decline", "Declined()"), ("cancel", "Dismissed()")])
@asking
async def test_a_no(revision: str, action: Any, told: str, way: str) -> None:
    async with WAYS[way](inquiring(), era=revision, on_elicit=lambda _: ElicitResult(action=action)) as client:
        assert await client.call("inquire", kind="int") == told


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_in_a_process_of_its_own(era: Any) -> None:
    root = Path(__file__).parents[2]
    program = (
        f"import sys; sys.path[:0] = [{str(root / 'src')!r}, {str(root)!r}]; "
        "from tests.server.test_asking import inquiring; inquiring().run()"
    )
    answers = {f"A {kind}?": content for kind, (_, content, _) in KINDS.items()}
    async with Client([sys.executable, "-c", program], era=era, on_elicit=lambda q: answers[q.message]) as client:
        for kind in ("int", "enum", "dataclass"):
            assert await client.call("inquire", kind=kind) == f"Accepted(value={KINDS[kind][2]})"


async def test_a_list_of_choices_came_with_2025_11_25() -> None:
    talk = Talk(inquiring(), "2025-06-18")
    error = await talk.error("inquire", kind="choices")
    assert error["code"] == -32600 and "2025-06-18 has no field for several choices, as 'value'" in error["message"]
    assert talk.rounds == []


@both
async def test_what_is_asked_fits_the_published_schema(revision: str) -> None:
    talk = Talk(inquiring(), revision)
    for kind, (_, content, _) in {**KINDS, **LATER}.items():
        await talk.value("inquire", [accept(**content)], kind=kind)
        ((question,),) = talk.rounds
        validator(revision, "ElicitRequest").validate(question)


# -- the other questions ----------------------------------------------------------------------------------------------


async def sign_in(context: Context) -> str:
    return repr(await context.elicit("Sign in", url="https://a.example/login"))


async def think(context: Context) -> str:
    said = await context.sample("2 + 2?", max_tokens=5, system_prompt="Be brief.")
    return f"{said.model}: {getattr(said.content, 'text', '')}"


async def look(context: Context) -> str:
    return " ".join(each.uri for each in await context.roots())


SAID = {"role": "assistant", "content": {"type": "text", "text": "4"}, "model": "m"}


class TestOtherQuestions:
    @both
    @pytest.mark.parametrize(
        ("action", "told"), [("accept", "Accepted(value=None)"), ("decline", "Declined()"), ("cancel", "Dismissed()")]
    )
    async def test_a_url(self, revision: str, action: str, told: str) -> None:
        talk = Talk(server_of(sign_in), revision)
        assert await talk.value("sign_in", [{"action": action}]) == told
        ((question,),) = talk.rounds
        params = {**question["params"]}
        identifier = params.pop("elicitationId", None)
        assert params == {"mode": "url", "message": "Sign in", "url": "https://a.example/login"}
        assert (identifier is not None) == (revision == "2025-11-25")
        if identifier is not None:
            assert len(identifier) > 16
            await talk.value("sign_in", [{"action": action}])
            assert talk.rounds[0][0]["params"]["elicitationId"] != identifier

    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_a_model(self, revision: str) -> None:
        talk = Talk(server_of(think), revision)
        assert await talk.value("think", [SAID]) == "m: 4"
        ((question,),) = talk.rounds
        message = {"role": "user", "content": {"type": "text", "text": "2 + 2?"}}
        assert question["method"] == "sampling/createMessage"
        assert question["params"] == {"messages": [message], "maxTokens": 5, "systemPrompt": "Be brief."}

    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_the_roots(self, revision: str) -> None:
        talk = Talk(server_of(look), revision)
        roots = {"roots": [{"uri": "file:///a", "name": "A"}, {"uri": "file:///b"}]}
        assert await talk.value("look", [roots]) == "file:///a file:///b"
        ((question,),) = talk.rounds
        assert question["method"] == "roots/list"

    @both
    async def test_with_a_client(self, revision: str, tmp_path: Path) -> None:
        urls: list[str] = []

        def on_elicit(question: Any) -> bool:
            urls.append(question.url)
            return True

        options: dict[str, Any] = {"on_elicit": on_elicit, "on_sample": lambda _: "4", "roots": [tmp_path]}
        async with Client(server_of(sign_in, think, look), era=revision, **options) as client:
            assert await client.call("sign_in") == "Accepted(value=None)"
            assert await client.call("think") == "unknown: 4"
            assert await client.call("look") == tmp_path.as_uri()
        assert urls == ["https://a.example/login"]


# -- how many rounds --------------------------------------------------------------------------------------------------


class Counter:
    """How often what ran."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def __call__(self, what: str = "handler") -> None:
        self.ran.append(what)


def expected_runs(revision: str, rounds: int) -> int:
    """A modern handler is run once for each round, and once more."""
    return 1 if revision in LEGACY else rounds + 1


@pytest.mark.loops
class TestRounds:
    @both
    async def test_one_after_the_other(self, revision: str) -> None:
        count = Counter()

        async def order(context: Context) -> list[Any]:
            count()
            first = await context.elicit("First?", int)
            second = await context.elicit("Second?", int)
            return [first.value, second.value]  # type: ignore[union-attr]

        talk = Talk(server_of(order), revision)
        assert await talk.value("order", {"First?": 1, "Second?": 2}) == [1, 2]
        assert [[each["params"]["message"] for each in asked] for asked in talk.rounds] == [["First?"], ["Second?"]]
        assert len(count.ran) == expected_runs(revision, 2)

    @both
    async def test_several_in_one(self, revision: str) -> None:
        count = Counter()

        async def order(context: Context) -> str:
            count()
            answers = await context.ask(number=Elicit("How many?", int), folders=Roots(), said=Sample("Hi"))
            return f"{answers['number']} {answers['folders'][0].uri} {answers['said'].model} {list(answers)}"

        talk = Talk(server_of(order), revision)
        by_method = {
            "elicitation/create": accept(value=3),
            "roots/list": {"roots": [{"uri": "file:///a"}]},
            "sampling/createMessage": SAID,
        }
        told = await talk.value("order", lambda question: by_method[question["method"]])
        assert told == "Accepted(value=3) file:///a m ['number', 'folders', 'said']"
        assert [len(asked) for asked in talk.rounds] == [3]
        assert len(count.ran) == expected_runs(revision, 1)
        if revision == NEWEST:
            assert talk.keys == [["number", "folders", "said"]]

    @both
    @pytest.mark.parametrize("how", ["gather", "group", "spawn"])
    async def test_what_is_asked_at_the_same_time_is_one(self, revision: str, how: str) -> None:
        count = Counter()

        async def order(context: Context) -> list[int]:
            count()
            questions = [context.elicit(f"{number}?", int) for number in range(3)]
            if how == "gather":
                outcomes = await asyncio.gather(*questions)
            elif how == "spawn":
                outcomes = await asyncio.gather(*map(context.spawn, questions))
            else:
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(each) for each in questions]
                outcomes = [each.result() for each in tasks]
            return [each.value for each in outcomes]  # type: ignore[union-attr]

        talk = Talk(server_of(order), revision)
        assert await talk.value("order", {f"{number}?": number * 10 for number in range(3)}) == [0, 10, 20]
        assert [len(asked) for asked in talk.rounds] == [3]
        assert len(count.ran) == expected_runs(revision, 1)

    @both
    async def test_the_same_question_twice_has_two_answers(self, revision: str) -> None:
        async def collect(context: Context) -> list[int]:
            return [(await context.elicit("Another?", int)).value for _ in range(3)]  # type: ignore[union-attr]

        talk = Talk(server_of(collect), revision)
        assert await talk.value("collect", [1, 2, 3]) == [1, 2, 3]
        assert len(talk.rounds) == 3

    @both
    async def test_the_same_names_twice_have_two_answers(self, revision: str) -> None:
        """The way in which one asks again for what was no good."""

        async def collect(context: Context) -> list[int]:
            found: list[int] = []
            while sum(found) < 5:
                found.append((await context.ask(number=Elicit("Another?", int)))["number"].value)
            found.append((await context.elicit("The last one?", int, key="number")).value)  # type: ignore[union-attr]
            return found

        talk = Talk(server_of(collect), revision)
        assert await talk.value("collect", [1, 3, 2, 9]) == [1, 3, 2, 9]
        assert len(talk.rounds) == 4
        if revision == NEWEST:
            assert talk.keys == [["number"], ["number#2"], ["number#3"], ["number#4"]]

    @both
    async def test_a_question_may_depend_on_an_answer(self, revision: str) -> None:
        async def travel(context: Context) -> str:
            where = await context.elicit("Where to?")
            match where:
                case Accepted(city):
                    return repr((city, await context.elicit(f"Sure about {city}?", bool)))
                case _:
                    return "nowhere"

        talk = Talk(server_of(travel), revision)
        answers: dict[str, Any] = {"Where to?": "Verona", "Sure about Verona?": True}
        assert await talk.value("travel", answers) == "('Verona', Accepted(value=True))"
        assert await talk.value("travel", {"Where to?": {"action": "cancel"}}) == "nowhere"


# -- from wherever a handler may ask ----------------------------------------------------------------------------------


async def quantity(context: Context) -> AsyncIterator[int]:
    match await context.elicit("How many?", int):
        case Accepted(number):
            yield number
        case _:
            yield 0


class TestWhereFrom:
    @both
    async def test_a_thread(self, revision: str) -> None:
        count = Counter()

        def order(context: Context) -> list[int]:
            count()
            first = context.wait(context.elicit("First?", int))
            second = context.wait(context.ask(number=Elicit("Second?", int)))["number"]
            return [first.value, second.value]  # type: ignore[union-attr]

        server = server_of(order, max_threads=1)
        async with server.running():
            talk = Talk(server, revision)
            assert await talk.value("order", {"First?": 1, "Second?": 2}) == [1, 2]
        assert len(talk.rounds) == 2 and len(count.ran) == expected_runs(revision, 2)

    @both
    async def test_a_generator(self, revision: str) -> None:
        async def order(context: Context) -> AsyncGenerator[Any, None]:
            yield "working"
            outcome = await context.elicit("How many?", int)
            yield Returned(repr(outcome))

        talk = Talk(server_of(order), revision)
        assert await talk.value("order", [3]) == "Accepted(value=3)"

    @both
    async def test_a_tool_that_another_one_calls(self, revision: str) -> None:
        count = Counter()

        async def inner(number: int, context: Context) -> str:
            count(f"inner {number}")
            return repr(await context.elicit("Sure?", bool))

        async def outer(context: Context) -> list[Any]:
            count("outer")
            before = await context.elicit("Begin?", bool)
            called = [(await context.call_tool("inner", {"number": each})).content[0] for each in (1, 2)]
            return [repr(before), *(getattr(each, "text", "") for each in called)]

        talk = Talk(server_of(inner, outer), revision)
        told = await talk.value("outer", [True, False, True])
        assert told == ["Accepted(value=True)", "Accepted(value=False)", "Accepted(value=True)"]
        assert len(talk.rounds) == 3
        if revision == NEWEST:
            assert count.ran == ["outer"] * 2 + ["inner 1"] + ["outer", "inner 1", "inner 2"] * 2
        else:
            assert count.ran == ["outer", "inner 1", "inner 2"]

    @both
    async def test_tools_that_are_called_at_the_same_time(self, revision: str) -> None:
        """Keys are an author's, for one handler: two of them may ask different things by one name."""

        async def inner(item: str, context: Context) -> str:
            answers = await context.ask(number=Elicit(f"How many of {item}?", int))
            bought = await context.once("bought", lambda: f"{answers['number'].value} of {item}")
            return f"{bought}, {(await context.ask(number=Elicit('How fast?', int)))['number'].value}"

        async def outer(context: Context) -> list[str]:
            own = await context.once("bought", lambda: "nothing")
            calls = [context.call_tool("inner", {"item": each}) for each in ("tea", "milk", "tea")]
            return [own, *(getattr(each.content[0], "text", "") for each in await asyncio.gather(*calls))]

        talk = Talk(server_of(inner, outer), revision)
        numbers = {"How many of tea?": 1, "How many of milk?": 2, "How fast?": 9}
        assert await talk.value("outer", numbers) == ["nothing", "1 of tea, 9", "2 of milk, 9", "1 of tea, 9"]
        assert [len(asked) for asked in talk.rounds] == [3, 3]

    @both
    async def test_a_tool_whose_arguments_have_no_json(self, revision: str) -> None:
        """Order must do then, to tell one call from another."""
        opaque = Annotated[Any, pydantic.AfterValidator(lambda value: (value, object()))]

        async def inner(item: opaque, context: Context) -> str:  # type: ignore[valid-type]
            return f"{item[0]} {(await context.ask(number=Elicit('How many?', int)))['number'].value}"  # type: ignore[index]

        async def outer(context: Context) -> list[str]:
            calls = [await context.call_tool("inner", {"item": each}) for each in ("tea", "milk")]
            return [getattr(each.content[0], "text", "") for each in calls]

        assert await Talk(server_of(inner, outer), revision).value("outer", [1, 2]) == ["tea 1", "milk 2"]

    @both
    async def test_a_provider(self, revision: str) -> None:
        count = Counter()

        async def confirmed(context: Context) -> bool:
            count("confirmed")
            return (await context.elicit("Sure?", bool)) == Accepted(True)

        async def opened(context: Context) -> AsyncIterator[str]:
            count("open")
            try:
                yield "db"
            finally:
                count("close")

        async def order(
            sure: Annotated[bool, Depends(confirmed)],
            database: Annotated[str, Depends(opened)],
            number: Annotated[int, Depends(quantity)],
            context: Context,
        ) -> str:
            return f"{sure} {database} {number} {await context.elicit('Paid?', bool)}"

        talk = Talk(server_of(order), revision)
        answers = {"Sure?": True, "How many?": 3, "Paid?": False}
        assert await talk.value("order", answers) == "True db 3 Accepted(value=False)"
        assert [asked[0]["params"]["message"] for asked in talk.rounds] == ["Sure?", "How many?", "Paid?"]
        assert count.ran.count("open") == count.ran.count("close") == (1 if revision in LEGACY else 3)

    @both
    async def test_a_provider_that_blocks(self, revision: str) -> None:
        def asked(context: Context) -> Iterator[int]:
            yield context.wait(context.elicit("How many?", int)).value  # type: ignore[union-attr]

        async def order(number: Annotated[int, Depends(asked)]) -> int:
            return number

        server = server_of(order)
        async with server.running():
            assert await Talk(server, revision).value("order", [3]) == 3

    @both
    async def test_prompts_and_resources(self, revision: str) -> None:
        server = Server("x")

        @server.prompt
        async def greet(context: Context) -> str:
            return f"Hello {await context.elicit('Who?')}"

        @server.resource("order://{number}")
        async def order(number: int, context: Context) -> str:
            return f"{number}: {await context.elicit('Which?')}"

        @server.resource("order://last")
        def last(context: Context) -> str:
            return f"last: {context.wait(context.elicit('Which?'))}"

        async with server.running():
            talk = Talk(server, revision)
            prompt = await talk.result("prompts/get", {"name": "greet"}, ["Ada"])
            assert prompt["messages"][0]["content"]["text"] == "Hello Accepted(value='Ada')"
            for uri, told in (("order://7", "7"), ("order://last", "last")):
                read = await talk.result("resources/read", {"uri": uri}, ["that"])
                assert read["contents"][0]["text"] == f"{told}: Accepted(value='that')"
            assert len(talk.rounds) == 1

    @both
    async def test_what_may_not_ask(self, revision: str) -> None:
        server = Server("x")
        refused: list[str] = []

        @server.prompt
        def greet(name: str) -> str:
            return name

        @server.completion(greet, "name")
        async def names(value: str, context: Context) -> list[str]:
            try:
                await context.elicit("Whose?")
            except MisuseError as error:
                refused.append(str(error))
            return [f"{context.input_responses}", f"{context.has_asked}"]

        talk = Talk(server, revision)
        params = {"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": "name", "value": "A"}}
        assert (await talk.result("completion/complete", params))["completion"]["values"] == ["{}", "False"]
        may = "only tools/call, prompts/get, resources/read can"
        assert refused == [f"completion/complete cannot ask its client anything; {may}"]

    @both
    async def test_not_while_masked(self, revision: str) -> None:
        refused: list[str] = []

        async def careful(context: Context) -> str:
            for protect in (context.masked, masked):
                with protect():
                    try:
                        await context.elicit("Sure?", bool)
                    except MisuseError as error:
                        refused.append(str(error))
            return "done"

        async def outer(context: Context) -> str:
            await context.call_tool("careful")
            with context.masked():
                return str((await context.call_tool("inner")).is_error)

        async def inner(context: Context) -> None:
            try:
                await context.ask(roots=Roots())
            except MisuseError as error:
                refused.append(str(error))

        talk = Talk(server_of(careful, inner, outer), revision)
        assert await talk.value("careful") == "done"
        await talk.value("outer")
        assert len(refused) == 5 and talk.rounds == []
        assert all(
            "asks its client while masked: that may take for ever; ask before or after" in each for each in refused
        )

    @both
    async def test_not_after_the_end(self, revision: str) -> None:
        refused: list[str] = []
        kept: list[Context] = []

        async def order(context: Context) -> str:
            kept.append(context)
            return "done"

        talk = Talk(server_of(order), revision)
        assert await talk.value("order") == "done"
        with pytest.raises(MisuseError, match=r"tool 'order'.* is over; its client cannot be asked any more"):
            await kept[0].elicit("Sure?", bool)
        assert await talk.rest() == refused

    @both
    async def test_what_is_left_behind_asks_nothing(self, revision: str) -> None:
        """Nothing outlives its request; not what an author has begun beside it, either."""
        tasks: list[asyncio.Task[Any]] = []

        async def order(context: Context) -> str:
            tasks.append(asyncio.create_task(context.elicit("Sure?", bool)))
            await asyncio.sleep(0)
            return "done"

        talk = Talk(server_of(order), revision)
        talk.call("order")
        said = [each.get("method", "answer") for each in await talk.next()]
        asked = ["elicitation/create", "notifications/cancelled"] if revision in LEGACY else []
        assert sorted(said) == sorted([*asked, "answer"])
        await asyncio.wait(tasks)
        assert tasks[0].cancelled()
        assert talk.session.running.lane.running == 0 and await talk.rest() == []

    @both
    async def test_a_layer_may_not_ask(self, revision: str) -> None:
        refused: list[str] = []

        def curious(next: Any) -> Any:
            async def handler(request: Any) -> Any:
                try:
                    await request.context.elicit("Who is there?")
                except MisuseError as error:
                    refused.append(str(error))
                return await next(request)

            return handler

        async def order(context: Context) -> str:
            return repr(await context.elicit("Sure?", bool))

        talk = Talk(server_of(order, middleware=[curious]), revision)
        assert await talk.value("order", [True]) == "Accepted(value=True)"
        assert refused
        assert {each.partition(": ")[2] for each in refused} == {
            "a layer of middleware cannot ask the client; handlers and providers can"
        }


# -- what a client cannot be asked ------------------------------------------------------------------------------------


class TestCapabilities:
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize(
        ("tool", "declared", "required"),
        [
            ("form", {}, {"elicitation": {}}),
            ("form", {"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}),
            ("sign_in", {"elicitation": {}}, {"elicitation": {"url": {}}}),
            ("think", {"roots": {}}, {"sampling": {}}),
            ("look", {"sampling": {}}, {"roots": {}}),
            ("both", {"elicitation": {}}, {"roots": {}}),
        ],
    )
    async def test_what_was_not_declared_is_not_asked(
        self, revision: str, tool: str, declared: dict[str, Any], required: dict[str, Any]
    ) -> None:
        async def form(context: Context) -> None:
            await context.elicit("Sure?", bool)

        async def both(context: Context) -> None:
            await context.ask(sure=Elicit("Sure?", bool), folders=Roots())

        talk = Talk(server_of(form, both, sign_in, think, look), revision, capabilities=declared)
        error = await talk.error(tool)
        assert error["code"] == (-32600 if revision in LEGACY else -32021)
        if revision == NEWEST:
            assert error["data"] == {"requiredCapabilities": required}
        assert f"Missing required client capability: {', '.join(required)}" in error["message"]
        assert talk.rounds == []

    @pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26"])
    async def test_a_revision_without_elicitation_has_none_whatever_is_declared(self, revision: str) -> None:
        talk = Talk(inquiring(), revision)
        error = await talk.error("inquire", kind="int")
        assert error["code"] == -32600 and "client capability: elicitation" in error["message"]

    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_a_handler_can_do_without(self, revision: str) -> None:
        async def order(context: Context) -> str:
            try:
                await context.elicit("How many?", int)
            except MissingClientCapability as error:
                return f"one, as {error.data} is missing"
            return "many"

        told = await Talk(server_of(order), revision, capabilities={}).value("order")
        assert told == "one, as {'requiredCapabilities': {'elicitation': {}}} is missing"


# -- answers that are no good -----------------------------------------------------------------------------------------


class TestBadAnswers:
    @both
    async def test_content_that_does_not_fit_the_form(self, revision: str) -> None:
        error = await Talk(inquiring(), revision).error("inquire", ["many"], kind="int")
        assert error["code"] == -32602
        said = 'the client\'s answer does not fit what it was asked: $.content.value: expected an integer; got "many"'
        assert error["message"] == said

    @both
    async def test_a_handler_can_ask_again(self, revision: str) -> None:
        async def order(context: Context) -> int:
            while True:
                try:
                    match await context.elicit("How many?", int):
                        case Accepted(number):
                            return number
                        case _:
                            return 0
                except InvalidParams:
                    continue

        talk = Talk(server_of(order), revision)
        assert await talk.value("order", ["many", "a lot", 3]) == 3
        assert len(talk.rounds) == 3


# -- once -------------------------------------------------------------------------------------------------------------


class TestOnce:
    @both
    @pytest.mark.parametrize("kind", ["plain", "async"])
    async def test_a_function_is_called_once_for_a_call(self, revision: str, kind: str) -> None:
        count = Counter()

        def made() -> dict[str, Any]:
            count()
            return {"id": len(count.ran), "when": dt.date(2026, 7, 28), "pair": (1, 2)}

        async def made_later() -> dict[str, Any]:
            await asyncio.sleep(0)
            return made()

        async def order(context: Context) -> list[Any]:
            first = await context.once("order", made if kind == "plain" else made_later)
            answers = [repr(await context.elicit(f"{number}?", int)) for number in range(2)]
            return [first, await context.once("order", made), *answers]

        talk = Talk(server_of(order), revision)
        kept = {"id": 1, "when": "2026-07-28", "pair": [1, 2]}
        answers = ["Accepted(value=5)", "Accepted(value=5)"]
        assert await talk.value("order", lambda _: 5) == [kept, kept, *answers]
        assert count.ran == ["handler"]
        assert (await talk.value("order", lambda _: 5))[0]["id"] == 2  # another call

    @both
    async def test_nothing_is_a_result_too(self, revision: str) -> None:
        count = Counter()

        async def order(context: Context) -> str:
            none = await context.once("none", count)
            return f"{none} {await context.elicit('Sure?', bool)}"

        assert await Talk(server_of(order), revision).value("order", [True]) == "None Accepted(value=True)"
        assert len(count.ran) == 1

    @both
    async def test_at_the_same_time_too(self, revision: str) -> None:
        count = Counter()

        async def made() -> int:
            count()
            await asyncio.sleep(0)
            return len(count.ran)

        async def order(context: Context) -> list[int]:
            return list(await asyncio.gather(*(context.once("order", made) for _ in range(3))))

        assert await Talk(server_of(order), revision).value("order") == [1, 1, 1]

    @both
    async def test_what_fails_is_not_kept(self, revision: str) -> None:
        count = Counter()

        def fragile() -> int:
            count()
            if len(count.ran) == 1:
                raise ToolError("not yet")
            return len(count.ran)

        async def order(context: Context) -> int:
            try:
                return await context.once("order", fragile)
            except ToolError:
                return await context.once("order", fragile)

        assert await Talk(server_of(order), revision).value("order") == 2

    @both
    @pytest.mark.parametrize("value", [object(), float("nan"), {1, object()}], ids=["object", "nan", "inside"])
    async def test_what_has_no_json_is_refused(self, revision: str, value: Any) -> None:
        async def order(context: Context) -> str:
            try:
                await context.once("order", lambda: value)
            except MisuseError as error:
                return str(error)
            return "kept"

        told = await Talk(server_of(order), revision).value("order")
        assert told.startswith("once('order', …): what it returned cannot be kept as JSON: ")


# -- the explicit form ------------------------------------------------------------------------------------------------


def explicit(run_in: Any, count: Counter) -> Server:
    """A tool that returns its questions, on the loop, in a thread or as a coroutine."""
    server = Server("x")
    who, many = Elicit("Who?", str), Elicit[int]("How many?", int)

    def order(context: Context) -> Any:
        count(f"{sorted(context.input_responses)} {context.round_state}")
        answers = context.input_responses
        if "who" not in answers:
            return InputRequired({"who": who, "where": Roots()}, state={"step": 1})
        if "many" not in answers:
            return InputRequired({"many": many}, state={"step": 2, "who": answers["who"].content})
        return f"{who.read(answers['who'])} {many.read(answers['many'])} {answers['where'].roots[0].uri}"

    async def order_later(context: Context) -> Any:
        await asyncio.sleep(0)
        return order(context)

    if run_in == "async":
        server.tool("order")(order_later)
    else:
        server.tool("order", run_in=run_in)(order)  # type: ignore[call-overload]
    return server


class TestExplicit:
    @both
    @pytest.mark.parametrize("run_in", ["loop", "thread", "auto", "async"])
    async def test_questions_are_returned_and_the_handler_is_called_again(self, revision: str, run_in: str) -> None:
        count = Counter()
        server = explicit(run_in, count)
        async with server.running():
            talk = Talk(server, revision)

            def answer(question: dict[str, Any]) -> Any:
                if question["method"] == "roots/list":
                    return {"roots": [{"uri": "file:///a"}]}
                return accept(value="Ada" if question["params"]["message"] == "Who?" else 3)

            told = await talk.value("order", answer)
        assert told == "Accepted(value='Ada') Accepted(value=3) file:///a"
        assert count.ran == [
            "[] None",
            "['where', 'who'] {'step': 1}",
            "['many', 'where', 'who'] {'step': 2, 'who': {'value': 'Ada'}}",
        ]
        assert [len(asked) for asked in talk.rounds] == [2, 1]
        if revision == NEWEST:
            assert talk.keys == [["who", "where"], ["many"]]

    @both
    async def test_with_a_client(self, revision: str) -> None:
        answers: dict[str, Any] = {"Who?": {"value": "Ada"}, "How many?": {"value": 3}}
        options: dict[str, Any] = {"on_elicit": lambda q: answers[q.message], "roots": ["file:///a"]}
        async with Client(explicit("thread", Counter()), era=revision, **options) as client:
            assert await client.call("order") == "Accepted(value='Ada') Accepted(value=3) file:///a"

    @both
    async def test_beside_other_questions(self, revision: str) -> None:
        """What was asked by `elicit`, here by a provider, is no answer to what was returned."""

        async def order(number: Annotated[int, Depends(quantity)], context: Context) -> Any:
            if not context.input_responses:
                return InputRequired({"who": Elicit("Who?")})
            return f"{number} for {context.input_responses['who'].content['value']}"

        talk = Talk(server_of(order), revision)
        many = "How many?"
        answers = (
            (lambda q: 3 if q["params"]["message"] == many else "Ada")
            if revision in LEGACY
            else {many: 3, "Who?": "Ada"}
        )
        assert await talk.value("order", answers) == "3 for Ada"

    @both
    async def test_the_same_question_again(self, revision: str) -> None:
        async def order(context: Context) -> Any:
            answer = context.input_responses.get("number")
            if answer is None or answer.content["value"] < 3:
                return InputRequired({"number": Elicit("How many?", int)}, state=(context.round_state or 0) + 1)
            return f"{answer.content['value']} after {context.round_state}"

        talk = Talk(server_of(order), revision)
        assert await talk.value("order", [1, 2, 3]) == "3 after 3"
        assert len(talk.rounds) == 3

    @both
    async def test_in_a_tool_that_another_one_calls(self, revision: str) -> None:
        async def inner(item: str, context: Context) -> Any:
            if "number" not in context.input_responses:
                return InputRequired({"number": Elicit(f"How many of {item}?", int)}, state=item)
            return f"{context.input_responses['number'].content['value']} {context.round_state}"

        async def outer(context: Context) -> Any:
            if "number" not in context.input_responses:
                return InputRequired({"number": Elicit("How many?", int)}, state="outer")
            called = [await context.call_tool("inner", {"item": each}) for each in ("tea", "milk")]
            told = [getattr(each.content[0], "text", "") for each in called]
            return [context.input_responses["number"].content["value"], context.round_state, *told]

        talk = Talk(server_of(inner, outer), revision)
        answers = {"How many?": 1, "How many of tea?": 2, "How many of milk?": 3}
        told = msgspec.json.decode(await talk.value("outer", answers))
        assert told == [1, "outer", "2 tea", "3 milk"]

    @both
    async def test_prompts_and_resources(self, revision: str) -> None:
        server = Server("x", run_in="loop")

        @server.prompt
        def greet(context: Context) -> Any:
            if not context.input_responses:
                return InputRequired({"who": Elicit("Who?")})
            return f"Hello {context.input_responses['who'].content['value']}"

        @server.resource("greeting://you")
        def greeting(context: Context) -> Any:
            return greet(context)

        talk = Talk(server, revision)
        got = await talk.result("prompts/get", {"name": "greet"}, ["Ada"])
        assert got["messages"][0]["content"]["text"] == "Hello Ada"
        read = await talk.result("resources/read", {"uri": "greeting://you"}, ["Ada"])
        assert read["contents"][0]["text"] == "Hello Ada"

    @both
    async def test_state_that_has_no_json(self, revision: str, caplog: pytest.LogCaptureFixture) -> None:
        async def order(context: Context) -> Any:
            return InputRequired({"who": Elicit("Who?")}, state=object())

        result = await Talk(server_of(order), revision).result("tools/call", {"name": "order"})
        assert result["isError"]
        assert "InputRequired(…): its state cannot be kept as JSON" in caplog.text


# -- a forgotten await -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["elicit", "sample", "roots"])
async def test_a_coroutine_that_nobody_awaits_bears_the_name_of_its_method(method: str) -> None:
    async def forget(context: Context) -> str:
        coroutine: Any = getattr(context, method)(*(["?"] if method != "roots" else []))
        coroutine.close()
        return f"{coroutine.__name__} {coroutine.__qualname__}"

    assert await Talk(server_of(forget)).value("forget") == f"{method} Context.{method}"


# -- a limit ----------------------------------------------------------------------------------------------------------


@both
async def test_how_often_a_call_may_ask(revision: str, caplog: pytest.LogCaptureFixture) -> None:
    async def collect(times: int, context: Context) -> int:
        for number in range(times):
            await context.elicit(f"{number}?", int)
        return times

    async def returned(context: Context) -> Any:
        return InputRequired({"who": Elicit("Who?")})

    talk = Talk(server_of(collect, returned, max_rounds=3), revision)
    assert await talk.value("collect", lambda _: 1, times=3) == 3
    for tool, arguments in (("collect", {"times": 4}), ("returned", {})):
        error = await talk.error(tool, lambda _: 1, **arguments)
        assert error["code"] == -32602
        assert error["message"].startswith(
            "This call has asked its client 3 times, which is the most it may (`max_rounds`), and still lacks answers; "
            "what is asked together, with `ask`, counts once"
        )
        assert len(talk.rounds) == 3
    told = "for more than 3 rounds; see Server(max_rounds=…), or ask together with `ask`"
    assert caplog.text.count(told) == (2 if revision == NEWEST else 0) == len(caplog.records)


# -- what is done around a handler ------------------------------------------------------------------------------------


class TestMiddleware:
    @both
    @pytest.mark.parametrize(
        "layers", [lambda: [Timing()], lambda: [ResponseCaching(), SingleFlight(), Timing()]], ids=["timing", "several"]
    )
    async def test_asking_goes_through_it(self, revision: str, layers: Callable[[], list[Any]]) -> None:
        async def order(item: str, context: Context) -> str:
            return f"{item} {await context.elicit('How many?', int)} {await context.elicit('How fast?', int)}"

        talk = Talk(server_of(order, middleware=layers()), revision)
        answers = {"How many?": 3, "How fast?": 9}
        assert await talk.value("order", answers, item="tea") == "tea Accepted(value=3) Accepted(value=9)"
        assert len(talk.rounds) == 2

    @both
    async def test_a_question_is_not_kept_nor_what_came_of_it(self, revision: str) -> None:
        server = Server("x", middleware=[ResponseCaching(), SingleFlight()])

        @server.tool(annotations=ToolAnnotations(read_only_hint=True))
        async def order(context: Context) -> str:
            return repr(await context.elicit("How many?", int))

        talk = Talk(server, revision)
        assert await talk.value("order", [3]) == "Accepted(value=3)"
        assert await talk.value("order", [4]) == "Accepted(value=4)"
        assert len(talk.rounds) == 1

    @both
    async def test_two_callers_are_asked_each(self, revision: str) -> None:
        server = Server("x", middleware=[SingleFlight()])

        @server.tool(annotations=ToolAnnotations(read_only_hint=True))
        async def order(context: Context) -> str:
            return repr(await context.elicit("How many?", int))

        first, second = Talk(server, revision), Talk(server, revision)
        told = await asyncio.gather(first.value("order", [3]), second.value("order", [4]))
        assert told == ["Accepted(value=3)", "Accepted(value=4)"]

    @both
    async def test_a_handler_that_is_tried_again_may_ask(self, revision: str) -> None:
        count = Counter()
        server = Server("x", middleware=[_tried_twice])

        @server.tool
        async def order(context: Context) -> str:
            answer = await context.elicit("How many?", int)
            count()
            if len(count.ran) == 1:
                raise ToolError("not yet")
            return repr(answer)

        assert await Talk(server, revision).value("order", lambda _: 3) == "Accepted(value=3)"
        assert len(count.ran) == 2


def _tried_twice(next: Any) -> Any:
    async def handler(request: Any) -> Any:
        try:
            return await next(request)
        except ToolError:
            return await next(request)

    return handler


# -- handlers that do what they should not ----------------------------------------------------------------------------


@both
async def test_a_handler_that_swallows_its_stop_is_answered_all_the_same(revision: str) -> None:
    async def order(context: Context) -> str:
        try:
            return repr(await context.elicit("How many?", int))
        except asyncio.CancelledError:
            return "swallowed"

    assert await Talk(server_of(order), revision).value("order", [3]) == "Accepted(value=3)"


@both
async def test_a_question_nobody_waits_for_any_more_is_not_asked(revision: str) -> None:
    async def order(context: Context) -> str:
        task = asyncio.create_task(context.elicit("How many?", int))
        asyncio.get_running_loop().call_soon(task.cancel)
        await asyncio.wait([task])
        return f"{task.cancelled()}"

    talk = Talk(server_of(order), revision)
    assert await talk.value("order", lambda _: 3) == "True"
    assert len(talk.rounds) == 0


@both
async def test_a_failure_beside_a_question_is_the_failure(revision: str) -> None:
    async def fail() -> None:
        raise ToolError("sold out")

    async def order(context: Context) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
                group.create_task(context.elicit("How many?", int))
        except* ToolError as errors:
            raise errors.exceptions[0] from None
        return "ordered"

    talk = Talk(server_of(order), revision)
    result = await talk.result("tools/call", {"name": "order"}, lambda _: 3)
    assert result["isError"] and result["content"][0]["text"] == "sold out"


# -- whatever is asked, in whatever order -----------------------------------------------------------------------------

NAMES = st.sampled_from("abc")
STEPS = st.recursive(
    st.one_of(
        st.tuples(st.just("elicit"), NAMES),
        st.tuples(st.just("keyed"), NAMES),
        st.tuples(st.just("once"), NAMES),
        st.tuples(st.just("ask"), st.lists(NAMES, min_size=1, max_size=3, unique=True)),
        st.tuples(st.just("gather"), st.lists(NAMES, min_size=1, max_size=3)),
    ),
    lambda inner: st.tuples(st.just("call"), st.lists(inner, max_size=3)),
    max_leaves=6,
)


async def perform(steps: list[Any], context: Context) -> list[Any]:
    """What a script comes to: every answer, in order."""
    found: list[Any] = []
    for kind, what in steps:
        if kind == "elicit":
            found.append((await context.elicit(f"{what}?", int)).value)  # type: ignore[union-attr]
        elif kind == "keyed":
            found.append((await context.elicit(f"{what}, by a key?", int, key=what)).value)  # type: ignore[union-attr]
        elif kind == "once":
            found.append(await context.once(what, lambda so_far=len(found): so_far))  # type: ignore[misc]
        elif kind == "ask":
            asked = await context.ask(**{name: Elicit(f"{name}, with others?", int) for name in what})
            found.append([asked[name].value for name in what])
        elif kind == "gather":
            outcomes = await asyncio.gather(*(context.elicit(f"{name}, at once?", int) for name in what))
            found.append([each.value for each in outcomes])  # type: ignore[union-attr]
        else:
            called = await context.call_tool("perform", {"steps": what})
            found.append(getattr(called.content[0], "text", None) if called.content else None)
    return found


@settings(max_examples=60)
@given(st.lists(STEPS, max_size=5))
@example([("keyed", "a"), ("ask", ["a"]), ("keyed", "a"), ("once", "a"), ("call", [("once", "a"), ("keyed", "a")])])
async def test_both_eras_come_to_the_same(steps: list[Any]) -> None:
    server = server_of(perform, max_rounds=50)
    replayed = await replay(
        server, "perform", {"steps": steps}, answers=lambda q: {"value": len(q.message)}, max_rounds=50
    )
    assert isinstance(replayed.value, list) and replayed.runs <= 1 + len(replayed.asked)
