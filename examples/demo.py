"""`make demo`: start example servers as subprocesses, over stdio in both eras and over HTTP; print what was said."""

import asyncio
import sys
from pathlib import Path
from typing import Literal

import over_http

from tybalt import Client, ElicitRequestParams, McpError, ToolError

SERVER = Path(__file__).with_name("everything.py")


async def talk(era: Literal["modern", "legacy"]) -> None:
    """Use each feature once, in one era."""
    print(f"\n== {era} " + "=" * (60 - len(era)))
    async with Client([sys.executable, str(SERVER)], era=era, on_elicit=answer) as client:
        info = client.server_info
        print(f"connected to {info.name if info else 'a server'} in revision {client.revision}")
        print("tools:    ", ", ".join(tool.name for tool in await client.list_tools()))
        print("resources:", ", ".join(resource.uri for resource in await client.list_resources()))
        print("templates:", ", ".join(each.uri_template for each in await client.list_resource_templates()))
        print("prompts:  ", ", ".join(prompt.name for prompt in await client.list_prompts()))
        print("add(a=5, b=3)             ->", await client.call("add", a=5, b=3))
        print("weather(city='Verona')    ->", await client.call("weather", city="Verona"))
        print("read users://7/profile    ->", (await client.read_resource("users://7/profile"))[0].text)
        prompt = await client.get_prompt("review", {"code": "print(1)"})
        print("prompt review             ->", repr(getattr(prompt.messages[0].content, "text", "")))
        print("complete language 'p'     ->", (await client.complete("review", "language", "p")).values)
        result = await client.call_tool("count", {"to": 3}, on_progress=show_progress)
        print("count(to=3)               ->", getattr(result.content[0], "text", ""))
        print("order(item='tea')         ->", await client.call("order", item="tea"))
        await fail(client)
        await cancel(client)


def show_progress(progress: float, total: float | None, message: str | None) -> None:
    """One progress notification."""
    print(f"   progress {progress:g} of {total:g}: {message}" if total else f"   progress {progress:g}")


def answer(question: ElicitRequestParams) -> dict[str, int | bool]:
    """Fill in what the server wants to know of the user; a real program shows the form."""
    (name,) = (question.requested_schema or {})["properties"]
    value = 2 if "How many" in question.message else True
    print(f"   the server asks: {question.message} -> {value}")
    return {name: value}


async def fail(client: Client) -> None:
    """Three ways to fail: the tool says no, the arguments do not fit, there is no such tool."""
    for name, arguments in (("divide", {"a": 1, "b": 0}), ("add", {"a": "five", "b": 3}), ("subtract", {})):
        try:
            await client.call(name, **arguments)
        except ToolError as error:
            print(f"{name}({arguments}) -> tool error: {error}")
        except McpError as error:
            print(f"{name}({arguments}) -> protocol error {error.code}: {error}")


async def cancel(client: Client) -> None:
    """Cancel a call that would take a minute."""
    started = asyncio.Event()
    arguments = {"to": 60, "pause": 1.0}
    call = asyncio.create_task(client.call_tool("count", arguments, on_progress=lambda *_: started.set()))
    await started.wait()
    call.cancel()
    await asyncio.wait([call])
    print("count(to=60), cancelled   -> the server stopped; it still answers:", await client.call("add", a=1, b=1))


async def main() -> None:
    """Both eras, one after the other."""
    print(f"Starting {SERVER.name} as a subprocess over stdio, once for each era.")
    await talk("modern")
    await talk("legacy")


if __name__ == "__main__":
    asyncio.run(main())
    over_http.show()
    print("\nThose were real MCP servers, on real pipes and sockets.")
    print("Next: README.md, or `.venv/bin/tybalt list examples/everything.py`.")
