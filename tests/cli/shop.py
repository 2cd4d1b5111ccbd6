"""A server that asks, to be loaded or to be launched: `python shop.py`."""

from typing import Annotated, Literal

import msgspec

from tybalt import Context, Server

server = Server("shop", version="1.0", instructions="Buy \x1b[31mthings.")


class Order(msgspec.Struct):
    size: Annotated[Literal["small", "large"], msgspec.Meta(description="How big\x1b[31m it is.")]
    count: Annotated[int, msgspec.Meta(ge=1, le=9)] = 2
    gift: bool = False
    note: str | None = None


@server.tool
async def order(context: Context) -> str:
    return repr(await context.elicit("What would\nyou \x1b[31mlike?", Order))


@server.tool
async def pay(context: Context) -> str:
    return repr(await context.elicit("Please pay.", url="https://pay.example/1"))


@server.tool
async def twice(context: Context) -> str:
    first = await context.elicit("First?", bool)
    return f"{first} {await context.elicit('Second?', bool)}"


@server.tool
async def slowly(context: Context) -> str:
    await context.report_progress(1, 3, "packing\nboxes")
    await context.report_progress(2, 3)
    await context.info("packed")
    await context.report_progress(3, 3, "sent")
    return "sent"


@server.resource("shop://logo", mime_type="image/png")
def logo() -> bytes:
    return b"\x89PNG\x00\xff\n"


@server.resource("shop://terms")
def terms() -> str:
    return "pay\x1b[31m\nfirst"


@server.prompt
def review(language: str, tone: str = "kind") -> str:
    """Review it."""
    return f"Review this {language}, {tone}.\x07"


if __name__ == "__main__":
    server.run()
