"""What asks with `await`: the user, and the client's model.

A legacy client gets a request while the handler waits. A modern one gets the question as the result of its call, and
the handler is run again from its start when the answer comes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, to_builtins

from tybalt import Accepted, Context, Declined, Dismissed, tool

Outcome = Accepted[Any] | Declined | Dismissed


class Account(Struct):
    """A form of two fields."""

    username: Annotated[str, Meta(description="User's response")]
    email: Annotated[str, Meta(description="User's email address")]


class Person(Struct):
    """A form whose fields have defaults, of every type that can have one."""

    name: Annotated[str, Meta(description="User name")] = "John Doe"
    age: Annotated[int, Meta(description="User age")] = 30
    score: Annotated[float, Meta(description="User score")] = 95.5
    status: Annotated[Literal["active", "inactive", "pending"], Meta(description="User status")] = "active"
    verified: Annotated[bool, Meta(description="Verification status")] = True


def titled(titles: dict[str, str]) -> list[dict[str, str]]:
    """Choices with titles for people, as a schema has them."""
    return [{"const": value, "title": title} for value, title in titles.items()]


ONE = titled({"value1": "First Option", "value2": "Second Option", "value3": "Third Option"})
SEVERAL = titled({"value1": "First Choice", "value2": "Second Choice", "value3": "Third Choice"})
NAMES = ["Option One", "Option Two", "Option Three"]

Value = Literal["value1", "value2", "value3"]


class Choices(Struct, rename="camel"):
    """A form with every way to say what may be chosen: one or several, plain or with titles."""

    untitled_single: Literal["option1", "option2", "option3"]
    titled_single: Annotated[Value, Meta(extra_json_schema={"oneOf": ONE})]
    legacy_enum: Annotated[Literal["opt1", "opt2", "opt3"], Meta(extra_json_schema={"enumNames": NAMES})]
    untitled_multi: Annotated[list[Literal["option1", "option2", "option3"]], Meta(min_length=1, max_length=3)]
    titled_multi: list[Annotated[Value, Meta(extra_json_schema={"anyOf": SEVERAL})]]


def told(outcome: Outcome) -> str:
    """What became of a question, as text."""
    match outcome:
        case Accepted(value):
            return f"action=accept, content={to_builtins(value)}"
        case Declined():
            return "action=decline"
        case Dismissed():
            return "action=cancel"


@tool
async def test_elicitation(message: str, context: Context) -> str:
    """Asks the user."""
    return f"User response: {told(await context.elicit(message, Account))}"


@tool
async def test_elicitation_sep1034_defaults(context: Context) -> str:
    """Asks with defaults, which a client shows to its user."""
    return f"Elicitation completed: {told(await context.elicit('Please check this.', Person))}"


@tool
async def test_elicitation_sep1330_enums(context: Context) -> str:
    """Asks for choices."""
    return f"Elicitation completed: {told(await context.elicit('Please choose.', Choices))}"


@tool
async def test_streaming_elicitation(context: Context) -> str:
    """Asks after it has said how far it is: what comes first makes the answer a stream."""
    await context.report_progress(1, 2)
    return told(await context.elicit("Shall we go on?", bool))


@tool
async def test_sampling(prompt: str, context: Context) -> str:
    """Asks the client's model."""
    said = await context.sample(prompt, max_tokens=100)
    return f"LLM response: {getattr(said.content, 'text', '')}"


@tool
async def test_missing_capability(context: Context) -> str:
    """Asks the model of a client that may have none: that is an error which says what is missing."""
    said = await context.sample("Say hello.", max_tokens=10)
    return f"{said.model} is there."


TOOLS = [
    test_elicitation,
    test_elicitation_sep1034_defaults,
    test_elicitation_sep1330_enums,
    test_streaming_elicitation,
    test_sampling,
    test_missing_capability,
]
