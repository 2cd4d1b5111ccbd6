"""A server that shows every feature of the core once. Run it with `tybalt run examples/everything.py`."""

import asyncio
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tybalt import Accepted, Context, Image, Server, ToolError

server = Server(
    "everything",
    version="1.0.0",
    title="Everything",
    instructions="A server to try a client with. Every tool says what it shows.",
)


class Weather(Struct):
    """What it is like outside."""

    city: str
    degrees: float
    sky: Literal["clear", "cloudy", "rain"]


@server.tool(annotations={"read_only_hint": True}, tags={"maths"})
def add(a: int, b: int) -> int:
    """Add two whole numbers.

    Args:
        a: The first number.
        b: The second number.

    """
    return a + b


@server.tool(title="Weather report")
def weather(city: Annotated[str, Meta(min_length=1, description="A city's name.")]) -> Weather:
    """Structured content: the weather in a city (it never changes)."""
    return Weather(city=city, degrees=21.5, sky="clear")


@server.tool
def divide(a: float, b: float) -> float:
    """A failure the model can read: dividing by zero."""
    if b == 0:
        raise ToolError("Cannot divide by zero; choose another b.")
    return a / b


@server.tool
def crash() -> str:
    """A failure nobody declared: its text never reaches the client."""
    raise RuntimeError("the password is hunter2")


@server.tool
async def count(to: Annotated[int, Meta(ge=1, le=1000)], context: Context, pause: float = 0.0) -> str:
    """Progress: count up, telling the client at every step; can be cancelled."""
    for step in range(1, to + 1):
        await context.report_progress(step, to, f"step {step}")
        await context.info(f"counted {step}")
        await asyncio.sleep(pause)
    return f"counted to {to}"


@server.tool
def pixel() -> Image:
    """A picture: one red pixel."""
    png = (
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
        "0000000c4944415408d763f8cfc0000003010100c9fe92ef0000000049454e44ae426082"
    )
    return Image(data=bytes.fromhex(png), mime_type="image/png")


@server.tool
async def order(item: str, context: Context) -> str:
    """Questions to the user: how many, and whether that is sure. A modern client calls again with each answer."""
    match await context.elicit(f"How many of {item}?", Annotated[int, Meta(ge=1, le=99, title="Number")]):
        case Accepted(number):
            pass
        case _:
            return "Nothing was ordered."
    if await context.elicit(f"Order {number} of {item}?", bool) != Accepted(True):
        return "Nothing was ordered."
    return f"Ordered {number} of {item}."


@server.resource("config://settings", mime_type="application/json", ttl=60)
def settings() -> dict[str, str]:
    """A resource: settings as JSON."""
    return {"theme": "dark", "language": "en"}


@server.resource("users://{id}/profile", mime_type="application/json")
def profile(id: int) -> dict[str, int | str]:
    """A resource template: the profile of one user."""
    return {"id": id, "name": f"user {id}"}


@server.prompt(title="Code review")
def review(code: str, language: str = "python") -> str:
    """A prompt: ask for a review of some code."""
    return f"Please review this {language} code:\n\n{code}"


@server.completion(review, "language")
def languages(value: str) -> list[str]:
    """Suggestions for the prompt's `language`."""
    known = ["python", "pascal", "perl", "rust", "ruby"]
    return [name for name in known if name.startswith(value.lower())]


if __name__ == "__main__":
    server.run()
