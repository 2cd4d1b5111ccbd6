"""`tybalt call`: call one tool of the server in a file and print its result.

It is a client of that server, in this process: what it sees is what every client sees. The result goes to stdout;
progress, log messages and all that the file and the tool print go to stderr.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from tybalt.cli.arguments import Given, read_words
from tybalt.cli.interrupt import run_to_end
from tybalt.cli.target import load_idle_server
from tybalt.cli.terminal import answer, json_text, note, stdout_aside
from tybalt.cli.usage import UsageError, instead
from tybalt.client.client import Client
from tybalt.errors import McpError
from tybalt.server.display import render_result
from tybalt.types.tools import CallToolResult, Tool


def call(target: str, tool: str, words: Sequence[str], *, as_json: bool, timeout: float | None) -> int:
    """Print what the tool answers to the arguments in `words`; 1 if that is a failure, else 0.

    Raises `UsageError` for a tool or an argument that is not there, `McpError` for an error that the server answers,
    `RequestTimeout` after `timeout` seconds (`None`: never), and what the file raises.
    """
    given = read_words(words)
    with stdout_aside():
        server = load_idle_server(target)
        result = run_to_end(_call_tool(server, tool, given, timeout))
    answer(json_text(result) if as_json else _text(result))
    return 1 if result.is_error else 0


async def _call_tool(server: Any, name: str, given: Given, timeout: float | None) -> CallToolResult:
    async with Client(server, timeout=timeout, log_level="debug", on_notification=_show_log_message) as client:
        # From the running server, not its catalogue: a startup hook may add tools.
        tool = _found(name, await client.list_tools(), f"server {server.name!r}")
        try:
            return await client.call_tool(name, given.for_tool(tool), on_progress=_show_progress)
        except McpError as error:
            raise _unaskable(name, error) if _wants_to_ask(error) else error from None


def _wants_to_ask(error: McpError) -> bool:
    return isinstance(error.data, dict) and "requiredCapabilities" in cast("dict[str, Any]", error.data)


def _unaskable(name: str, error: McpError) -> McpError:
    """The same error, for a person who has no client to change."""
    remedy = f"`tybalt call` cannot be asked: call {name!r} with a Client that has on_elicit=, on_sample= or roots="
    return McpError(f"{error.message}. {remedy}", code=error.code)


def _found(name: str, tools: Sequence[Tool], where: str) -> Tool:
    for tool in tools:
        if tool.name == name:
            return tool
    names = [tool.name for tool in tools]
    raise UsageError(f"{where} has no tool {name!r}; {instead(name, names)}" if names else f"{where} has no tools")


def _text(result: CallToolResult) -> str:
    """The result for a person. The structured content says the same as the text, where there is text."""
    return render_result(replace(result, structured_content=msgspec.UNSET) if result.content else result)


def _show_progress(progress: float, total: float | None, message: str | None) -> None:
    of = "" if total is None else f" of {total:g}"
    note(f"progress {progress:g}{of}" + (f": {message}" if message else ""))


def _show_log_message(method: str, params: Mapping[str, Any]) -> None:
    if method != "notifications/message":
        return
    level, logger, data = params.get("level"), params.get("logger"), params.get("data")
    text = data if isinstance(data, str) else msgspec.json.encode(data).decode()
    note(f"{level} {logger}: {text}" if logger else f"{level}: {text}")
