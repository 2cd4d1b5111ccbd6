"""What is launched for a server: `"server.py"` is a Python program, `"server.js"` one for Node, an entry says itself.

Only looks at what is given; whether the interpreter is there is seen when it is started. `options` turns every target
of a client into a way to reach it, and asks here for files and for entries of a configuration.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from tybalt.errors import MisuseError, cut
from tybalt.transports.command import Command

INTERPRETERS: Final[Mapping[str, tuple[str, ...]]] = {
    # Unbuffered, so that what a server prints without flushing is not kept back from a client that waits for it.
    ".py": (sys.executable, "-u"),
    ".js": ("node",),
    ".mjs": ("node",),
    ".cjs": ("node",),
}
"""What runs a file, by its suffix: this Python, with the packages of its environment, or the node on the PATH."""

WANTED: Final = (
    "expected a Server, a Transport, or a command as a list, such as [sys.executable, 'server.py'], a Command, "
    f"the entry of a configuration, or the path of a file that ends in {', '.join(INTERPRETERS)}"
)
"""What a client connects to, for the error that something is none of it."""


def command_for(path: "str | os.PathLike[str]") -> Command:
    """How the server in the file `path` is launched, with the environment and stderr that are a `Command`'s default.

    The command names the file by its absolute path, so that no name can be taken for an option of the interpreter.

    Raises `MisuseError` when there is no such file, and when nothing is known to run one of its suffix.
    """
    name = os.fspath(path)
    if "://" in name:
        raise _unreachable(cut(name, 200))
    suffix = os.path.splitext(name)[1].lower()
    interpreter = INTERPRETERS.get(suffix)
    if interpreter is None or not _is_file(name):
        raise MisuseError(f"cannot connect to {cut(name, 200)!r}: {_fault(name, suffix)}; {WANTED}")
    return Command([*interpreter, os.path.abspath(name)])


def configured_command(entry: Any) -> Command:
    """What an entry of an `MCPConfig` launches, with the variables of this process put in where none are yet.

    Raises `ConfigError` for a variable that is not set, and `MisuseError` for a server that is reached by its URL.
    """
    if not hasattr(entry, "words"):
        raise _unreachable(entry)
    ready = entry.expanded(os.environ)
    return Command(ready.words, env=ready.env, cwd=ready.cwd)


def _unreachable(target: Any) -> MisuseError:
    return MisuseError(f"cannot connect to {target!r}: a client launches servers, and reaches none by a URL yet")


def _is_file(name: str) -> bool:
    try:
        return os.path.isfile(name)
    except ValueError:  # A NUL in it, which Python refused before 3.13.
        return False


def _fault(name: str, suffix: str) -> str:
    if os.path.isdir(name):
        return "it is a directory; name the file in it that starts the server"
    if not _is_file(name):
        hint = "; a command is a list of words, not a text" if len(name.split()) > 1 else ""
        return f"there is no such file{hint}"
    kind = f"ends in {suffix}" if suffix else "has no suffix"
    return f"nothing is known to run a file that {kind}; name what does in a command"
