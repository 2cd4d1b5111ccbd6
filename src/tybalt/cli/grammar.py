"""What may stand on the command line: the commands, their options, and the words behind `--`.

For the commands that are clients, `--` ends what is theirs: behind it stands the command that starts the server, and a
TARGET does not stand before it then. Nothing of the package is loaded here but its version: `--help` is to be fast.
"""

import argparse
from collections.abc import Sequence

_FILE = "a Python file, and the name of the Server in it if it has several"
_TARGET = "a Python file[:OBJECT], a JavaScript file, a URL, or the name of a server in a configuration"
_TEXTS = "its arguments, if any: a value is JSON where the tool takes that, else text; or all as one JSON object"


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The line as values. `command` is its first word, `launched` are the words behind `--`, or `None`.

    Raises `SystemExit`, as argparse does, for `--help` and for what cannot be read.
    """
    name = words[0] if words else ""
    launches = name in _CLIENTS and "--" in words
    end = words.index("--") if launches else len(words)
    parser, commands = _parsers(launches=launches)
    if name not in commands:
        return parser.parse_args(words)  # Answers `--help` and `--version`, or says what is wrong.
    # Intermixed: an option may stand anywhere, also between TOOL and its arguments.
    line = commands[name].parse_intermixed_args(words[1:end])
    line.command = name
    line.launched = tuple(words[end + 1 :]) if launches else None
    if line.launched == ():
        commands[name].error("the command that starts the server is missing behind --")
    return line


def _parsers(*, launches: bool) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of the whole line, and that of each command by its name."""
    from tybalt import __version__

    parser = argparse.ArgumentParser(prog="tybalt", description="Run and try MCP servers.")
    parser.add_argument("--version", action="version", version=f"tybalt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    _add_run(commands.add_parser("run", help="serve over stdio, for an MCP client to launch, or over HTTP"))
    for name, (text, add) in _CLIENTS.items():
        client = commands.add_parser(name, help=text, epilog=_epilog(name))
        if not launches:
            client.add_argument("target", metavar="TARGET", help=_TARGET)
        add(client)
        _add_client_options(client)
    return parser, dict(commands.choices)


def _epilog(name: str) -> str:
    more = {"call": "TOOL [NAME=VALUE ...] ", "read": "URI ", "get": "PROMPT [NAME=VALUE ...] "}.get(name, "")
    return (
        f"Instead of TARGET, a command that starts the server may stand at the end: tybalt {name} {more}-- COMMAND ..."
    )


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("target", metavar="FILE[:OBJECT]", help=_FILE)
    run.add_argument("--http", action="store_true", help="serve over HTTP; a token to ask for is $TYBALT_AUTH_TOKEN")
    run.add_argument("--host", help="the address to listen on: 127.0.0.1 by default")
    run.add_argument("--port", type=_port, help="the port: 8000 by default, 0 for any that is free")
    run.add_argument("--path", help="where the endpoint is: /mcp by default")
    run.add_argument(
        "--allow-host",
        metavar="HOST",
        action="append",
        dest="allowed_hosts",
        help="a name to serve requests to, such as mcp.example.com, in place of localhost; again for more",
    )
    run.add_argument("--workers", metavar="N", type=_workers, help="so many processes: 1 by default")


def _add_call(call: argparse.ArgumentParser) -> None:
    call.add_argument("tool", metavar="TOOL")
    # With a default of its own, argparse does not name it among what is missing.
    call.add_argument("arguments", metavar="NAME=VALUE", nargs="*", default=[], help=_TEXTS)
    _add_answers(call)


def _add_list(_listing: argparse.ArgumentParser) -> None:
    return


def _add_read(read: argparse.ArgumentParser) -> None:
    read.add_argument("uri", metavar="URI")
    read.add_argument("--output", metavar="FILE", help="write it to this file")
    _add_answers(read)


def _add_get(get: argparse.ArgumentParser) -> None:
    get.add_argument("prompt", metavar="PROMPT")
    get.add_argument("arguments", metavar="NAME=VALUE", nargs="*", default=[], help="its arguments, if any")
    _add_answers(get)


_CLIENTS = {
    "call": ("call one tool and print its result", _add_call),
    "list": ("print what the server offers, as a table", _add_list),
    "read": ("read one resource", _add_read),
    "get": ("print the messages of a prompt", _add_get),
    "inspect": ("print what the server says of itself", _add_list),
}
"""The commands that are clients of a server, what they do, and what they add to the options of all."""


def _add_answers(parser: argparse.ArgumentParser) -> None:
    answer = "the answer to a field that the server asks for; again for more"
    parser.add_argument("--answer", metavar="NAME=VALUE", action="append", default=[], dest="answer", help=answer)
    parser.add_argument("--answers", metavar="FILE", help="a file with such answers as one JSON object")


def _add_client_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, with everything in it")
    limit = "give up after so long: 60 by default, and never where a tool is called"
    parser.add_argument("--timeout", metavar="SECONDS", type=_seconds, help=limit)
    parser.add_argument("--era", default="auto", help="auto, modern, legacy, or a revision such as 2025-06-18")
    parser.add_argument("--config", metavar="FILE", help="TARGET is the name of a server in this configuration")
    secret = "the token for a server at a URL is in this environment variable"
    parser.add_argument("--token-env", metavar="NAME", help=secret)
    parser.add_argument("--token", help="that token itself, which every user of this machine can see in `ps`")
    header = "a header for a server at a URL; again for more"
    parser.add_argument("--header", metavar="'NAME: VALUE'", action="append", default=[], dest="headers", help=header)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"expected a number of processes from 1 on, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, such as 30, got {text!r}")
    return seconds
