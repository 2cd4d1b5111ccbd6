"""`tybalt run FILE[:OBJECT]`, `tybalt call FILE TOOL a=5 b=3`, `tybalt list FILE`.

`run` serves over stdio, so nothing but messages may reach its standard output; everything a person reads goes to
stderr. `call` and `list` talk to the server inside this process and print to stdout. Exit status: 0, 1 when the tool
or the server fails, 2 when the command line is wrong.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import msgspec
from msgspec.structs import replace

from tybalt.cli.target import TargetError, load_server
from tybalt.errors import McpError, TybaltError, describe

_TARGET = "a Python file, and the name of the Server in it if it has several"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; `arguments` are `sys.argv[1:]` by default."""
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.command(parsed)
    except TargetError as error:
        return _complain(str(error), 2)
    except McpError as error:
        return _complain(f"error {error.code}: {error.message}", 1)
    except TybaltError as error:
        return _complain(describe(error), 1)


def _parser() -> argparse.ArgumentParser:
    from tybalt import __version__

    parser = argparse.ArgumentParser(prog="tybalt", description="Run and try MCP servers.")
    parser.add_argument("--version", action="version", version=f"tybalt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="serve over stdio, for an MCP client to launch")
    run.add_argument("target", metavar="FILE[:OBJECT]", help=_TARGET)
    run.set_defaults(command=_run)
    call = commands.add_parser("call", help="call one tool and print its result")
    call.add_argument("target", metavar="FILE[:OBJECT]", help=_TARGET)
    call.add_argument("tool", metavar="TOOL")
    call.add_argument("arguments", metavar="NAME=VALUE", nargs="*", help="a value is JSON where it can be, else text")
    call.add_argument("--json", action="store_true", help="print the whole result as JSON")
    call.set_defaults(command=_call)
    listing = commands.add_parser("list", help="print everything the server offers")
    listing.add_argument("target", metavar="FILE[:OBJECT]", help=_TARGET)
    listing.add_argument("--json", action="store_true", help="print the lists as JSON")
    listing.set_defaults(command=_list)
    return parser


def _run(parsed: argparse.Namespace) -> int:
    with redirect_stdout(sys.stderr):  # What the file prints while it is loaded; from then on the transport sees to it.
        server = load_server(parsed.target)
    server.run()
    return 0


def _call(parsed: argparse.Namespace) -> int:
    server = load_server(parsed.target)
    arguments = dict(_argument(text, _texts(server, parsed.tool)) for text in parsed.arguments)
    result = asyncio.run(_call_tool(server, parsed.tool, arguments))
    if parsed.json:
        print(msgspec.json.format(msgspec.json.encode(result)).decode())
    else:
        from tybalt.server.display import render_result

        # The structured content says the same as the text, where there is text.
        print(render_result(replace(result, structured_content=msgspec.UNSET) if result.content else result))
    return 1 if result.is_error else 0


def _texts(server: Any, tool: str) -> set[str]:
    """The arguments of a tool that are strings, and so are not read as JSON."""
    declaration = server.catalogue.get("tool", tool)
    schema: dict[str, Any] = {} if declaration is None else declaration.definition.input_schema
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    return {name for name, each in properties.items() if each.get("type") == "string"}


async def _call_tool(server: Any, tool: str, arguments: dict[str, Any]) -> Any:
    from tybalt.client.client import Client

    async with Client(server) as client:
        return await client.call_tool(tool, arguments, on_progress=_show_progress)


def _show_progress(progress: float, total: float | None, message: str | None) -> None:
    of = "" if total is None else f" of {total:g}"
    print(f"progress {progress:g}{of}" + (f": {message}" if message else ""), file=sys.stderr)


def _list(parsed: argparse.Namespace) -> int:
    server = load_server(parsed.target)
    if not parsed.json:
        print(server)
        return 0
    print(msgspec.json.format(msgspec.json.encode(asyncio.run(_lists(server)))).decode())
    return 0


async def _lists(server: Any) -> dict[str, Any]:
    from tybalt.client.client import Client

    async with Client(server) as client:
        offered = client.server_capabilities
        return {
            "tools": await client.list_tools() if offered.tools is not None else [],
            "resources": await client.list_resources() if offered.resources is not None else [],
            "resourceTemplates": await client.list_resource_templates() if offered.resources is not None else [],
            "prompts": await client.list_prompts() if offered.prompts is not None else [],
        }


def _argument(text: str, texts: set[str]) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise TargetError(f"{text!r} is no argument; write NAME=VALUE, such as a=5")
    if name in texts:
        return name, value
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _complain(text: str, status: int) -> int:
    print(f"tybalt: {text}", file=sys.stderr)
    return status
