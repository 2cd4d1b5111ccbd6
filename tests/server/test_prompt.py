"""Prompts: arguments from strings, messages of every kind, what is listed, how they fail."""

from datetime import date
from typing import Annotated, Any

import pytest
from msgspec import Meta

from tests.server.driving import REVISIONS, Driver
from tests.types.published import validator
from tybalt import Context, Image, Message, Server, prompt
from tybalt.types.content import TextContent
from tybalt.types.prompts import GetPromptResult, PromptMessage


def review(code: Annotated[str, Meta(title="Code", description="What to review.")], lines: int = 10) -> str:
    """Ask for a review."""
    return f"{code}:{lines + 1}"


def getting(driver: Driver, name: str, **arguments: Any) -> Any:
    return driver.result("prompts/get", {"name": name, "arguments": arguments})


def returning(value: Any) -> Any:
    def give() -> Any:
        return value

    return give


@pytest.mark.parametrize("revision", REVISIONS)
def test_what_is_listed_fits_the_revision(revision: str) -> None:
    driver = Driver(
        Server("x", run_in="loop").add(prompt(title="Review", tags={"t"})(review), prompt(returning("x"))), revision
    )
    result = driver.result("prompts/list")
    validator(revision, "ListPromptsResult").validate(result)
    first, second = result["prompts"]
    assert [(each["name"], each["required"]) for each in first["arguments"]] == [("code", True), ("lines", False)]
    assert first["arguments"][0]["description"] == "What to review." and first["description"] == "Ask for a review."
    assert ("title" in first["arguments"][0]) is (revision >= "2025-06-18")
    assert "arguments" not in second


@pytest.mark.parametrize("revision", REVISIONS)
def test_arguments_are_strings_that_become_what_the_parameters_are(revision: str) -> None:
    driver = Driver(Server("x", run_in="loop").add(prompt(review)), revision)
    result = getting(driver, "review", code="5", lines="7")
    validator(revision, "GetPromptResult").validate(result)
    assert result["description"] == "Ask for a review."
    assert result["messages"] == [{"role": "user", "content": {"type": "text", "text": "5:8"}}]


def test_other_types_and_defaults() -> None:
    def plan(day: date, tags: list[str], urgent: bool = False) -> str:
        return f"{day.year} {tags} {urgent}"

    driver = Driver(Server("x", run_in="loop").add(prompt(plan)))
    (message,) = getting(driver, "plan", day="2026-07-28", tags='["a"]', urgent="true")["messages"]
    assert message["content"]["text"] == "2026 ['a'] True"


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({}, "code"), ({"code": "x", "lines": "many"}, "lines"), ({"lines": "1"}, "code")],
)
def test_arguments_that_do_not_fit_are_invalid_params(arguments: Any, expected: str, revision: str) -> None:
    driver = Driver(Server("x", run_in="loop").add(prompt(review)), revision)
    error = driver.error("prompts/get", {"name": "review", "arguments": arguments})
    assert error["code"] == -32602
    assert error["message"].startswith("Invalid arguments for prompt review") and expected in error["message"]


def test_arguments_that_are_no_strings_are_invalid_params() -> None:
    driver = Driver(Server("x", run_in="loop").add(prompt(review)))
    assert driver.error("prompts/get", {"name": "review", "arguments": {"code": 5}})["code"] == -32602
    assert driver.error("prompts/get", {"name": "review"})["code"] == -32602


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hi", [("user", "hi")]),
        (["hi", Message("ho", role="assistant")], [("user", "hi"), ("assistant", "ho")]),
        ([{"role": "assistant", "content": "hi"}], [("assistant", "hi")]),
        (GetPromptResult(messages=[PromptMessage(role="user", content=TextContent(text="x"))]), [("user", "x")]),
        (None, []),
    ],
    ids=["text", "list", "dict", "result", "nothing"],
)
def test_messages_of_every_kind(value: Any, expected: list[tuple[str, str]]) -> None:
    messages = getting(Driver(Server("x", run_in="loop").add(prompt(returning(value)))), "give")["messages"]
    assert [(each["role"], each["content"]["text"]) for each in messages] == expected


def test_a_picture() -> None:
    image = Image(data=b"png", mime_type="image/png")
    (message,) = getting(Driver(Server("x", run_in="loop").add(prompt(returning(image)))), "give")["messages"]
    assert message["content"]["type"] == "image"


async def test_an_async_one_with_a_context() -> None:
    async def greet(name: str, context: Context) -> str:
        return f"{name} {context.request_id}"

    driver = Driver(Server("x", run_in="loop").add(prompt(greet)))
    answer = driver.ask("prompts/get", {"name": "greet", "arguments": {"name": "a"}}, id=7)
    (answer,) = [answer] if answer else await driver.later()
    assert answer["result"]["messages"][0]["content"]["text"] == "a 7"


def test_an_undeclared_failure_is_masked() -> None:
    def fail() -> str:
        raise ValueError("hunter2")

    error = Driver(Server("x", run_in="loop").add(prompt(fail))).error("prompts/get", {"name": "fail"})
    assert error["code"] == -32603 and "hunter2" not in error["message"]
    assert "prompt 'fail'" in error["message"]


def test_what_is_no_message_is_masked() -> None:
    error = Driver(Server("x", run_in="loop").add(prompt(returning(object())))).error("prompts/get", {"name": "give"})
    assert error["code"] == -32603
