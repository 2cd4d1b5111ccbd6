"""`tybalt run FILE[:OBJECT] [--http]`, and a client of any server: `tybalt call | list | read | get | inspect TARGET`.

Reads the command line, hands over to the file that bears the command's name, and turns whatever that raises into a
text on stderr and an exit status.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tybalt.cli.grammar import parsed
from tybalt.cli.statuses import INTERRUPTED, MISUSED, READER_GONE
from tybalt.cli.terminal import ReaderGone, note
from tybalt.cli.usage import UsageError

if TYPE_CHECKING:
    from tybalt.cli.answers import Answers
    from tybalt.cli.destination import Destination


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status (`statuses`); `arguments` are `sys.argv[1:]` by default.

    Raises `SystemExit`, as argparse does for `--help`.
    """
    try:
        line = parsed(sys.argv[1:] if arguments is None else arguments)
        return _COMMANDS[line.command](line)
    except UsageError as error:
        note(f"tybalt: {error}")
        return MISUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    except ReaderGone:
        return READER_GONE
    except Exception as error:  # noqa: BLE001 (a user's file may raise anything)
        from tybalt.cli.failure import status_of, told

        note(told(error))
        return status_of(error)


# Each command is loaded when it is given: a server that a client launches should not wait for the code of `call`.


def _run(line: argparse.Namespace) -> int:
    if "://" in line.target:
        raise UsageError(f"`tybalt run` serves a Python file; {line.target} is served already: `tybalt list` shows it")
    options = {name: getattr(line, name) for name in ("host", "port", "path", "allowed_hosts", "workers")}
    given = {name: value for name, value in options.items() if value is not None}
    if line.http:
        from tybalt.cli.serve import serve

        return serve(line.target, given)
    if given:
        name = next(iter(given)).replace("allowed_hosts", "allow-host")
        raise UsageError(f"--{name} is for HTTP; write `tybalt run FILE --http …`")
    from tybalt.cli.run import run

    return run(line.target)


def _call(line: argparse.Namespace) -> int:
    from tybalt.cli.call import call

    return call(_destination(line), line.tool, line.arguments, as_json=line.json, answers=_answers(line))


def _list(line: argparse.Namespace) -> int:
    from tybalt.cli.list import show_list

    return show_list(_destination(line), as_json=line.json)


def _read(line: argparse.Namespace) -> int:
    from tybalt.cli.read import read

    return read(_destination(line), line.uri, output=line.output, as_json=line.json, answers=_answers(line))


def _get(line: argparse.Namespace) -> int:
    from tybalt.cli.get import get

    return get(_destination(line), line.prompt, line.arguments, as_json=line.json, answers=_answers(line))


def _inspect(line: argparse.Namespace) -> int:
    from tybalt.cli.inspect import inspect

    return inspect(_destination(line), as_json=line.json)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": _run,
    "call": _call,
    "list": _list,
    "read": _read,
    "get": _get,
    "inspect": _inspect,
}


def _destination(line: argparse.Namespace) -> "Destination":
    from tybalt.cli.destination import Destination

    return Destination(
        name=getattr(line, "target", None),
        command=line.launched or (),
        config=line.config,
        token=line.token,
        token_env=line.token_env,
        headers=tuple(line.headers),
        era=line.era,
        timeout=line.timeout,
    )


def _answers(line: argparse.Namespace) -> "Answers":
    from tybalt.cli.answers import read_answers

    return read_answers(line.answer, line.answers)
