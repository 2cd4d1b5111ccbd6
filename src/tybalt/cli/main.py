"""`tybalt run FILE[:OBJECT] [--http]`, `tybalt call FILE TOOL a=5 b=3`, `tybalt list FILE`.

Reads the command line, hands over to the file that bears the command's name, and turns whatever that raises into a
text on stderr and an exit status.
"""

import argparse
import sys
from collections.abc import Sequence

from tybalt.cli.terminal import ReaderGone, note
from tybalt.cli.usage import UsageError

_TARGET = "a Python file, and the name of the Server in it if it has several"

_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130
_READER_GONE = 141
"""What a shell says of a process that SIGINT (128 + 2) or SIGPIPE (128 + 13) has ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; `arguments` are `sys.argv[1:]` by default.

    0, 1 when the tool, the server or its file fails, 2 when the command line is wrong, 130 after Ctrl-C, 141 when
    nobody reads the answer. Raises `SystemExit`, as argparse does for `--help`.
    """
    try:
        parsed = _parsed(sys.argv[1:] if arguments is None else arguments)
        return parsed.command(parsed)
    except UsageError as error:
        note(f"tybalt: {error}")
        return _MISUSED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except ReaderGone:
        return _READER_GONE
    except Exception as error:  # noqa: BLE001 (a user's file may raise anything)
        from tybalt.cli.failure import told

        note(told(error))
        return _FAILED


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    parser, commands = _parsers()
    if words and words[0] in commands:
        # Intermixed: an option may stand anywhere, also between TOOL and its arguments.
        return commands[words[0]].parse_intermixed_args(words[1:])
    return parser.parse_args(words)


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of the whole line, and that of each command by its name."""
    from tybalt import __version__

    parser = argparse.ArgumentParser(prog="tybalt", description="Run and try MCP servers.")
    parser.add_argument("--version", action="version", version=f"tybalt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="serve over stdio, for an MCP client to launch, or over HTTP")
    run.add_argument("target", metavar="FILE[:OBJECT]", help=_TARGET)
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
    run.set_defaults(command=_run)
    call = commands.add_parser("call", help="call one tool and print its result")
    call.add_argument("target", metavar="FILE[:OBJECT]", help=_TARGET)
    call.add_argument("tool", metavar="TOOL")
    # With a default of its own, argparse does not name it among what is missing.
    given = "its arguments, if any: a value is JSON where the tool takes that, else text; or all as one JSON object"
    call.add_argument("arguments", metavar="NAME=VALUE", nargs="*", default=[], help=given)
    call.add_argument("--json", action="store_true", help="print the whole result as JSON")
    call.add_argument("--timeout", metavar="SECONDS", type=_seconds, help="give up after so long; by default never")
    call.set_defaults(command=_call)
    listing = commands.add_parser("list", help="print everything the server offers")
    listing.add_argument("target", metavar="FILE[:OBJECT]", help=_TARGET)
    listing.add_argument("--json", action="store_true", help="print the lists as JSON")
    listing.set_defaults(command=_list)
    return parser, dict(commands.choices)


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


# Each command is loaded when it is given: a server that a client launches should not wait for the code of `call`.


def _run(parsed: argparse.Namespace) -> int:
    options = {name: getattr(parsed, name) for name in ("host", "port", "path", "allowed_hosts", "workers")}
    given = {name: value for name, value in options.items() if value is not None}
    if parsed.http:
        from tybalt.cli.serve import serve

        return serve(parsed.target, given)
    if given:
        name = next(iter(given)).replace("allowed_hosts", "allow-host")
        raise UsageError(f"--{name} is for HTTP; write `tybalt run FILE --http …`")
    from tybalt.cli.run import run

    return run(parsed.target)


def _call(parsed: argparse.Namespace) -> int:
    from tybalt.cli.call import call

    return call(parsed.target, parsed.tool, parsed.arguments, as_json=parsed.json, timeout=parsed.timeout)


def _list(parsed: argparse.Namespace) -> int:
    from tybalt.cli.list import show_list

    return show_list(parsed.target, as_json=parsed.json)
