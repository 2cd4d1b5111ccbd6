"""The server that the client's tests talk to: `library(era)` as an object, `command(era)` as a process."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from tybalt import Context, McpError, Server, ToolError, prompt, resource, tool
from tybalt.types.content import ImageContent, TextContent
from tybalt.types.tools import CallToolResult

ROOT = Path(__file__).parents[2]


def command(era: str) -> list[str]:
    """A command line that serves `library(era)` over stdio, from this checkout."""
    paths = [str(ROOT / "src"), str(ROOT)]
    program = f"import sys; sys.path[:0] = {paths!r}; from tests.client.library import library; library({era!r}).run()"
    return [sys.executable, "-c", program]


def library(era: str) -> Server:
    """Tools, resources and prompts of every kind, two to a page, in one era."""
    server = Server("library", version="2.0", instructions="Be quiet.", page_size=2, eras=[era], grace=0)
    happened = Happened()
    server.add(add, names, nothing, blocks, fail, refuse, after, count, happened.wait, happened.events)
    server.add(index, book, review)
    server.completion("review", "language")(languages)
    server.completion("books://{isbn}", "isbn")(numbers)

    @server.tool
    def publish(isbn: str) -> None:
        server.resource_updated(f"books://{isbn}")

    return server


class Happened:
    """A tool that waits until it is stopped, and one that tells what became of it."""

    def __init__(self) -> None:
        self._events: list[str] = []

    async def wait(self, name: str) -> str:
        self._events.append(f"{name} began")
        try:
            await asyncio.Event().wait()
        finally:
            self._events.append(f"{name} was stopped")
        return name

    def events(self) -> list[str]:
        return self._events


@tool(run_in="loop")
def add(a: int, b: int = 1) -> int:
    return a + b


def names(self: str, name: str) -> dict[str, str]:
    return {"self": self, "name": name}


def nothing() -> None:
    return None


def blocks() -> CallToolResult:
    picture = ImageContent(data="AAAA", mime_type="image/png")
    return CallToolResult(content=[TextContent(text="one"), picture, TextContent(text="two")], meta={"shelf": 4})


def fail(text: str) -> str:
    raise ToolError(text)


def refuse() -> str:
    raise McpError("closed today", code=4242, data={"until": "Monday"})


async def after(turns: int, value: str) -> str:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def count(to: int, context: Context) -> str:
    for step in range(1, to + 1):
        await context.report_progress(step, None if step == 1 else to, f"step {step}")
        await context.debug(f"at {step}")
        await context.info(f"counted {step}")
    return "done"


@resource("books://index")
def index() -> str:
    return "all books"


@resource("books://{isbn}")
def book(isbn: int) -> dict[str, Any]:
    return {"isbn": isbn}


@prompt
def review(language: str = "any", *, tone: str = "kind") -> str:
    return f"Review this {language}, be {tone}."


def languages(typed: str, arguments: dict[str, str]) -> list[str]:
    return [each for each in ("python", "perl", arguments.get("tone", "")) if each.startswith(typed)]


def numbers(typed: str) -> list[str]:
    return [typed + "0"]
