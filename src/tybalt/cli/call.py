"""`tybalt call`: call one tool of a server and print its result.

It is a client of that server: what it sees is what every client sees. The result goes to stdout; progress, log
messages, questions, and all that a file and its tool print go to stderr.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from tybalt.cli.answers import Answers
from tybalt.cli.arguments import Given, read_words
from tybalt.cli.asking import Asking, person
from tybalt.cli.destination import Destination
from tybalt.cli.statuses import DONE, FAILED
from tybalt.cli.talk import name_of, show_progress, talk
from tybalt.cli.terminal import answer, json_text
from tybalt.cli.usage import UsageError, instead
from tybalt.client.client import Client
from tybalt.server.display import render_result
from tybalt.types.tools import CallToolResult, Tool


def call(target: Destination, tool: str, words: Sequence[str], *, as_json: bool, answers: Answers) -> int:
    """Print what the tool answers to the arguments in `words`; 1 if that is a failure, 2 for an answer to nothing.

    Raises `UsageError` for a tool or an argument that is not there, `McpError` for an error that the server answers,
    and as `talk` does.
    """
    asking = Asking(answers, person())
    given = read_words(words)
    result = talk(target, lambda client: _call_tool(client, tool, given), asking=asking, log_level="debug")
    answer(json_text(result) if as_json else _text(result))
    return asking.verdict() or (FAILED if result.is_error else DONE)


async def _call_tool(client: Client, name: str, given: Given) -> CallToolResult:
    # From the running server, not its catalogue: a startup hook may add tools.
    tool = _found(name, await client.list_tools(), name_of(client))
    return await client.call_tool(name, given.for_tool(tool), on_progress=show_progress)


def _found(name: str, tools: Sequence[Tool], server: str) -> Tool:
    for tool in tools:
        if tool.name == name:
            return tool
    where = f"server {server!r}"
    names = [tool.name for tool in tools]
    raise UsageError(f"{where} has no tool {name!r}; {instead(name, names)}" if names else f"{where} has no tools")


def _text(result: CallToolResult) -> str:
    """The result for a person. The structured content says the same as the text, where there is text."""
    return render_result(replace(result, structured_content=msgspec.UNSET) if result.content else result)
