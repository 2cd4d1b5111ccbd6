"""`replay`: a call that is the same in both eras, and every way in which it is not."""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tybalt import Context, Elicit, ElicitResult, InputRequired, InvalidParams, Roots, Server, ToolError
from tybalt.testing import Counted, Replayed, replay

charges: list[int] = []


@pytest.fixture(autouse=True)
def nothing_charged() -> None:
    charges.clear()


def server_of(*functions: Callable[..., Any], **options: Any) -> Server:
    return Server("x", **options).add(*functions)


def charge() -> int:
    charges.append(1)
    return 7


CHARGED: dict[str, Callable[[], float]] = {"charged": lambda: len(charges)}


async def order(item: str, context: Context) -> str:
    number = await context.elicit(f"How many of {item}?", int)
    sure = await context.elicit("Sure?", bool)
    return f"{number} {sure}"


async def hasty(context: Context) -> int:
    """Charges before it asks."""
    receipt = charge()
    await context.elicit("Sure?", bool)
    return receipt


async def careful(context: Context) -> int:
    receipt = await context.once("charge", charge)
    await context.elicit("Sure?", bool)
    return receipt


@pytest.mark.loops
@pytest.mark.parametrize(
    "answers",
    [
        [2, True],
        {"Sure?": True, "How many of tea?": 2},
        [{"value": 2}, ElicitResult(action="accept", content={"value": True})],
        lambda question: {"value": 2 if "many" in question.message else True},
    ],
    ids=["list", "mapping", "contents", "function"],
)
async def test_a_call_that_is_the_same(answers: Any) -> None:
    replayed = await replay(server_of(order), "order", {"item": "tea"}, answers=answers)
    assert replayed.value == "Accepted(value=2) Accepted(value=True)"
    assert (replayed.runs, replayed.asked, replayed.counts) == (3, ("How many of tea?", "Sure?"), {})


async def test_answers_from_an_iterator_are_given_in_both_eras() -> None:
    assert (await replay(server_of(order), "order", {"item": "tea"}, answers=iter([2, True]))).runs == 3


async def test_what_runs_before_a_question_runs_again() -> None:
    replayed = await replay(server_of(hasty, careful), "hasty", answers=[True], counts=CHARGED)
    assert isinstance(replayed, Replayed)
    assert replayed.counts == {"charged": Counted(modern=2, legacy=1)} and replayed.runs == 2
    replayed = await replay(server_of(hasty, careful), "careful", answers=[True], counts=CHARGED)
    assert replayed.counts == {"charged": Counted(modern=1, legacy=1)} and replayed.runs == 2


async def test_no_question_no_second_run() -> None:
    async def add(a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    replayed = await replay(server_of(add), "add", {"a": 1, "b": 2})
    assert (replayed.value, replayed.runs, replayed.asked) == ({"sum": 3}, 1, ())


async def test_several_in_one_round_and_other_questions() -> None:
    async def work(context: Context) -> str:
        found = await context.ask(a=Elicit("A?", int), b=Elicit("B?", int), c=Roots())
        said = await context.sample("Hi")
        return f"{found['a'].value + found['b'].value} {found['c'][0].uri} {said.model}"

    options: dict[str, Any] = {"roots": ["file:///a"], "on_sample": lambda _: "Hello"}
    replayed = await replay(server_of(work), "work", answers={"A?": 1, "B?": 2}, **options)
    assert (replayed.value, replayed.runs) == ("3 file:///a unknown", 3)


async def test_questions_that_are_returned() -> None:
    def work(context: Context) -> Any:
        if not context.input_responses:
            return InputRequired({"who": Elicit("Who?")})
        return context.input_responses["who"].content["value"]

    assert (await replay(server_of(work), "work", answers=["Ada"])).value == "Ada"


async def test_a_no() -> None:
    for answer, told in ((None, "Declined()"), (False, "Declined()"), (ElicitResult(action="cancel"), "Dismissed()")):

        async def work(context: Context) -> str:
            return repr(await context.elicit("Who?"))

        assert (await replay(server_of(work), "work", answers=lambda _, given=answer: given)).value == told  # type: ignore[misc]


async def test_failures_are_outcomes_too() -> None:
    async def fail(how: str, context: Context) -> str:
        await context.elicit("Sure?", bool)
        raise {"tool": ToolError("sold out"), "protocol": InvalidParams("no such item"), "bug": KeyError("x")}[how]

    server = server_of(fail)
    for how, kind, told in (
        ("tool", ToolError, "sold out"),
        ("protocol", InvalidParams, "no such item"),
        ("bug", ToolError, "Internal error in tool 'fail'"),
    ):
        replayed = await replay(server, "fail", {"how": how}, answers=[True])
        assert not replayed.outcome.is_ok and replayed.runs == 2
        with pytest.raises(kind, match=told):
            _ = replayed.value


async def test_a_client_that_cannot_be_asked_is_one_in_either_era() -> None:
    async def work(context: Context) -> str:
        return repr(await context.roots())

    replayed = await replay(server_of(work), "work")
    with pytest.raises(Exception, match="Missing required client capability: roots"):
        _ = replayed.value


# -- what differs -----------------------------------------------------------------------------------------------------


async def test_another_result() -> None:
    async def work(context: Context) -> str:
        await context.elicit("Sure?", bool)
        return context.revision

    with pytest.raises(AssertionError) as caught:
        await replay(server_of(work), "work", answers=[True])
    assert str(caught.value) == "work returns '2026-07-28' in modern, and '2025-11-25' in legacy"


async def test_a_value_here_and_an_error_there() -> None:
    async def work(context: Context) -> str:
        if context.revision == "2025-11-25":
            raise ToolError("too old")
        return "done"

    with pytest.raises(AssertionError, match="work returns 'done' in modern, and 'error: too old' in legacy"):
        await replay(server_of(work), "work")


async def test_other_questions() -> None:
    async def work(context: Context) -> str:
        await context.elicit(f"Sure, {context.revision}?", bool)
        return "done"

    with pytest.raises(
        AssertionError, match=r"work asks \['Sure, 2026-07-28\?'\] in modern, and \['Sure, 2025-11-25\?"
    ):
        await replay(server_of(work), "work", answers=[True])


async def test_a_question_that_is_another_each_time() -> None:
    numbers = count()

    async def work(context: Context) -> str:
        await context.elicit(f"Sure, for the {next(numbers)}th time?", bool)
        return "done"

    with pytest.raises(AssertionError, match="work returns 'error: This call has asked its client 3 times"):
        await replay(server_of(work, max_rounds=3), "work", answers=lambda _: {"value": True})


@pytest.mark.parametrize("answers", [[2], {"How many of tea?": 2}])
async def test_a_question_without_an_answer(answers: Any) -> None:
    with pytest.raises(AssertionError, match=r"there is no answer to 'Sure\?' in modern; the questions were \['How"):
        await replay(server_of(order), "order", {"item": "tea"}, answers=answers)


async def test_an_answer_without_a_question() -> None:
    with pytest.raises(AssertionError, match=r"nothing was asked that \['more'\] would answer in modern"):
        await replay(server_of(order), "order", {"item": "tea"}, answers=[2, True, "more"])


async def test_nothing_is_left_running() -> None:
    before = asyncio.all_tasks()
    await replay(server_of(order), "order", {"item": "tea"}, answers=[2, True])
    assert asyncio.all_tasks() == before
