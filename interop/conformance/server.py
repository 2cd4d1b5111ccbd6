"""The server that the official conformance suite is run against.

The suite calls tools, prompts and resources by fixed names and says what each has to do; the name of a function here is
such a name, and its docstring says what the suite looks at. What it offers is declared in four files by what they show:
`plain` answers at once, `telling` says something while it runs, `asking` asks with `await`, and `rounds` asks by
returning its questions. The last two work in every era; they differ in who remembers where the handler goes on.

    python -m interop.servers.over_http lane interop.conformance.server 8000
"""

from __future__ import annotations

from interop.conformance import asking, plain, rounds, telling
from tybalt import Server

server = Server(
    "conformance",
    version="1.0.0",
    instructions="A server to test clients with, and to be tested.",
    tools=[*plain.TOOLS, *telling.TOOLS, *asking.TOOLS, *rounds.TOOLS],
    resources=plain.RESOURCES,
    prompts=[*plain.PROMPTS, *rounds.PROMPTS],
)


@server.completion("test_prompt_with_arguments", "arg1")
def arg1(value: str) -> list[str]:
    """Suggestions for the argument of a prompt."""
    return [each for each in ("paris", "park", "party") if each.startswith(value)]


@server.tool
async def test_trigger_tool_change() -> str:
    """Changes the list of tools while clients listen; all of them are told, without a word of ours."""
    server.tool("test_dynamic_tool", description="A tool that is there for a moment.")(lambda: "here I am").remove()
    return "The list of tools has changed."


@server.tool
async def test_trigger_prompt_change() -> str:
    """Changes the list of prompts while clients listen."""
    server.prompt("test_dynamic_prompt", description="A prompt that is there for a moment.")(lambda: "hello").remove()
    return "The list of prompts has changed."
