"""The file that the command line is given: a server that has everything."""

import asyncio
from typing import Any, Literal

from tybalt import Context, McpError, Server, ToolError
from tybalt.types.content import ImageContent, TextContent
from tybalt.types.tools import CallToolResult

server = Server("library", version="2.0")


@server.tool
def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


@server.tool
def show(text: str = "", value: Any = None) -> str:
    return f"{text!r} {value!r}"


@server.tool
def fail(text: str) -> str:
    raise ToolError(text)


@server.tool
def refuse() -> str:
    raise McpError("closed today", code=4242)


@server.tool
def crash() -> str:
    raise ValueError("hunter2")


@server.tool
def blocks() -> CallToolResult:
    return CallToolResult(content=[TextContent(text="a page"), ImageContent(data="AAAA", mime_type="image/png")])


@server.tool
def bare() -> CallToolResult:
    return CallToolResult(content=[], structured_content={"pages": 3})


@server.tool
async def count(context: Context) -> str:
    await context.report_progress(1)
    await context.report_progress(2, 2.5, "nearly")
    return "counted"


@server.tool
async def tell(context: Context) -> str:
    await context.info("looking\nagain")
    await context.debug({"shelf": 7}, logger="shelves")
    await context.error("\x1b]0;title\x07", logger="\x9b1m")
    return "told"


@server.tool
def paint() -> str:
    return "\x1b[31mred\x9b0m\tor\r\nnot\rover"


@server.tool
def read(
    text: str | None = "",
    colour: Literal["red", "7"] = "red",
    number: int | str = 0,
    one: Literal["1", 2] = 2,
    many: list[str] | str = "",
    amount: float | str = 0,
    switch: bool | Literal["on"] = False,
) -> str:
    return f"{text!r} {colour!r} {number!r} {one!r} {many!r} {amount!r} {switch!r}"


@server.tool
async def forever() -> None:
    await asyncio.Event().wait()


@server.tool
def loud() -> None:
    print("calling")  # noqa: T201 (that it does is the point)


@server.resource("books://index")
def index() -> str:
    return "all"


@server.resource("books://{isbn}")
def book(isbn: int) -> str:
    return str(isbn)


@server.prompt
def review(language: str) -> str:
    return language
