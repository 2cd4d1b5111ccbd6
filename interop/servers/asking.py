"""A server that asks its client: `python asking.py`. Every kind of question, and every way to ask it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from typing import Literal

from tybalt import Context, Elicit, InputRequired, Roots, Sample, Server, ToolError
from tybalt.errors import MissingClientCapability

server = Server("asking")
ran: list[str] = []


@dataclass
class Trip:
    """Where to, and when."""

    city: str
    leaves: date
    nights: int = 3
    seat: Literal["window", "aisle"] = "window"
    insured: bool = False


@server.tool
async def travel(context: Context) -> str:
    """A form of several fields."""
    return repr(await context.elicit("Where to?", Trip))


@server.tool
async def toppings(context: Context) -> str:
    """Some of several choices."""
    return repr(await context.elicit("What on it?", list[Literal["ham", "olives", "tuna"]]))


@server.tool
async def sign_in(context: Context) -> str:
    """A visit to a page."""
    return repr(await context.elicit("Sign in, please.", url="https://a.example/login"))


@server.tool
async def think(context: Context) -> str:
    """The client's model."""
    said = await context.sample("2 + 2?", max_tokens=10)
    return f"{said.model}: {getattr(said.content, 'text', '')}"


@server.tool
async def look(context: Context) -> str:
    """The client's folders."""
    return " ".join(each.uri for each in await context.roots())


@server.tool
async def everything_at_once(context: Context) -> str:
    """Three questions in one round, and how often that ran."""
    ran.append("everything")
    answers = await context.ask(number=Elicit("How many?", int), folders=Roots(), said=Sample("2 + 2?"))
    return f"{answers['number'].value} {answers['folders'][0].uri} {answers['said'].model}"


@server.tool
async def at_the_same_time(context: Context) -> str:
    """Two questions in one round, each from a task of its own."""
    outcomes = await asyncio.gather(*(context.elicit(f"Number {number}?", int) for number in range(2)))
    return " ".join(repr(each) for each in outcomes)


@server.tool
def in_a_thread(context: Context) -> str:
    """A function that blocks."""
    return repr(context.wait(context.elicit("How many?", int)))


@server.tool
async def in_turn(context: Context) -> str:
    """Questions that depend on answers, and something that is done once."""
    number = await context.once("number", lambda: ran.append("once") or len(ran))
    first = await context.elicit("First?", int)
    second = await context.elicit(f"After {first}?", int)
    return f"{number} {first} {second}"


@server.tool
def returned(context: Context) -> str | InputRequired:
    """Questions that are returned."""
    if "who" not in context.input_responses:
        return InputRequired({"who": Elicit("Who?"), "where": Roots()}, state={"step": 1})
    who, where = context.input_responses["who"], context.input_responses["where"]
    return f"{who.content['value']} at {where.roots[0].uri}, {context.round_state}"


@server.tool
async def without(context: Context) -> str:
    """Does without, where the client cannot be asked."""
    try:
        return repr(await context.elicit("How many?", int))
    except MissingClientCapability as error:
        raise ToolError(f"cannot ask: {error}") from error


@server.prompt
async def greet(context: Context) -> str:
    """A prompt that asks."""
    return f"Say hello to {await context.elicit('Whom?')}."


@server.resource("order://{number}")
async def order(number: int, context: Context) -> str:
    """A resource that asks."""
    return f"{number}: {await context.elicit('Which?', int)}"


if __name__ == "__main__":
    server.run()
