"""A server for the web: a call, a stream, a subscription. `tybalt run examples/headlines.py --http` serves it."""

from typing import Annotated

from msgspec import Meta

from tybalt import Context, Server

server = Server("headlines", version="1.0.0", instructions="Read news://latest, and watch it.")

front_page = {"headline": "Two households, both alike in dignity"}


@server.tool(run_in="loop")
def count_words(text: str) -> int:
    """A call: answered with JSON, at once."""
    return len(text.split())


@server.tool
async def print_edition(copies: Annotated[int, Meta(ge=1, le=100)], context: Context) -> str:
    """A stream: whatever is said before the answer makes a stream of events of it."""
    for copy in range(1, copies + 1):
        await context.report_progress(copy, copies, f"copy {copy}")
    return f"printed {copies}"


@server.resource("news://latest")
def latest() -> str:
    """The latest headline."""
    return front_page["headline"]


@server.tool(run_in="loop")
def publish(headline: str) -> str:
    """A change: whoever watches news://latest is told, with a subscription or with a legacy session."""
    front_page["headline"] = headline
    server.resource_updated("news://latest")
    return "published"


if __name__ == "__main__":
    server.run("http")
