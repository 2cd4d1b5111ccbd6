"""What a target means that is a text, a path or an entry of a configuration: a command to launch, or an address.

`"server.py"` is a Python program, `"server.js"` one for Node, `"https://…"` an address. Only looks at what is given;
that the interpreter is there, or that somebody listens, is seen later. `options` turns every target of a client into a
way to reach it, and asks here.
"""

import os
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from tybalt.errors import MisuseError, cut
from tybalt.transports.command import Command

if TYPE_CHECKING:
    from tybalt.client.address import Address

INTERPRETERS: Final[Mapping[str, tuple[str, ...]]] = {
    # Unbuffered, so that what a server prints without flushing is not kept back from a client that waits for it.
    ".py": (sys.executable, "-u"),
    ".js": ("node",),
    ".mjs": ("node",),
    ".cjs": ("node",),
}
"""What runs a file, by its suffix: this Python, with the packages of its environment, or the node on the PATH."""

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|unix:")

WANTED: Final = (
    "expected a Server, a Transport, a URL, an Address, a command as a list, such as [sys.executable, 'server.py'], "
    f"a Command, the entry of a configuration, or the path of a file that ends in {', '.join(INTERPRETERS)}"
)
"""What a client connects to, for the error that something is none of it."""


def command_for(path: "str | os.PathLike[str]") -> Command:
    """How the server in the file `path` is launched, with the environment and stderr that are a `Command`'s default.

    The command names the file by its absolute path, so that no name can be taken for an option of the interpreter.

    Raises `MisuseError` when there is no such file, and when nothing is known to run one of its suffix.
    """
    name = os.fspath(path)
    suffix = os.path.splitext(name)[1].lower()
    interpreter = INTERPRETERS.get(suffix)
    if interpreter is None or not _is_file(name):
        raise MisuseError(f"cannot connect to {cut(name, 200)!r}: {_fault(name, suffix)}; {WANTED}")
    return Command([*interpreter, os.path.abspath(name)])


def configured_command(entry: Any) -> Command:
    """What an entry of an `MCPConfig` launches, with the variables of this process put in where none are yet.

    Raises `ConfigError` for a variable that is not set.
    """
    ready = entry.expanded(os.environ)
    return Command(ready.words, env=ready.env, cwd=ready.cwd)


def address_for(target: Any, token: str | None = None) -> "Address | None":
    """Where a target is reached that runs already: an `Address`, a URL, or an entry of a configuration with one.

    None for what is launched, or is no text at all. Raises `MisuseError` for a URL that is none, and `ConfigError` for
    a variable that is not set.
    """
    if isinstance(target, str):
        return _address(target, token=token) if _URL.match(target) else None
    if hasattr(target, "expanded") and hasattr(target, "url"):
        ready = target.expanded(os.environ)
        return _address(ready.url, token=token, headers=ready.headers, transport=ready.transport)
    if not hasattr(target, "connect_timeout"):
        return None
    from tybalt.client.address import Address

    if not isinstance(target, Address):
        return None
    return target if token is None else replace(target, token=token)


def _address(url: str, **options: Any) -> "Address":
    from tybalt.client.address import Address  # Most clients launch their server, or have it in this process.

    return Address(url, **options)


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
