"""What a target means that is a text, a path or an entry of a configuration: a command to launch, or an address.

`"server.py"` is a Python program, `"server.js"` one for Node, `"https://…"` an address. Only looks at what is given;
that the interpreter is there, or that somebody listens, is seen later. `options` turns every target of a client into a
way to reach it, and asks here.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

from msgspec.structs import replace

from tybalt.client.likely_url import likely_url
from tybalt.errors import MisuseError, cut
from tybalt.transports.command import Command, is_path

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
_FIRST_WORD: Final = re.compile(r"[^\s=?@]*")

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
        raise MisuseError(f"cannot connect to {shown(path)}: {_fault(name, suffix)}; {WANTED}")
    return Command([*interpreter, os.path.abspath(name)])


def shown(target: Any) -> str:
    """A target for an error text: its type, and of a text that names no file the beginning, for secrets come later."""
    if isinstance(target, str) and not (_is_file(target) or os.path.isdir(target)):
        return repr(cut(_beginning(target), 200))
    if is_path(target):
        return repr(cut(os.fspath(target), 200))
    if isinstance(target, type):
        return f"the class {target.__qualname__}"
    return f"one of the type {type(target).__name__}"


def no_target(target: Any) -> MisuseError:
    """The error for what is no server, no address, no command and no file."""
    return MisuseError(f"cannot connect to {shown(target)}: {_advice(target)}")


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
    if token is not None and target.token is not None:
        raise MisuseError("token: the Address has a token already; give one of them")
    return target if token is None else replace(target, token=token)


def _address(url: str, **options: Any) -> "Address":
    from tybalt.client.address import Address  # Most clients launch their server, or have it in this process.

    return Address(url, **options)


def _is_file(name: str) -> bool:
    try:
        return os.path.isfile(name)
    except ValueError:  # A NUL in it, which Python refused before 3.13.
        return False


def _beginning(text: str) -> str:
    """A text up to where a secret may begin: its first word, of one with an `@` what stands before any password."""
    word = text.split(maxsplit=1)[0] if text.strip() else ""
    found = _FIRST_WORD.match(word.partition(":")[0] if "@" in word else word)
    kept = found.group() if found is not None else ""
    return kept if kept == text else f"{kept}…"


def _advice(target: Any) -> str:
    """What to give instead."""
    if isinstance(target, type):
        return f"give an object of it, {target.__name__}(…), and not the class itself"
    if isinstance(target, Mapping):
        return 'for an entry of a configuration use MCPConfig.of({"mcpServers": {…}}).server(name)'
    if hasattr(target, "servers") and hasattr(target, "broken"):
        return "of a configuration give one entry, config.server(name), or all of it to a ClientGroup"
    if isinstance(target, list | tuple):
        words = cast("Sequence[Any]", target)
        wrong = [(place, type(word).__name__) for place, word in enumerate(words) if not is_path(word)]
        told = [f"a command is a list of words, and [{place}] is of the type {kind}" for place, kind in wrong]
        return f"{told[0] if told else 'the command is empty; give at least the program to start'}; {WANTED}"
    return WANTED


def _fault(name: str, suffix: str) -> str:
    if os.path.isdir(name):
        return "it is a directory; name the file in it that starts the server"
    if not _is_file(name):
        if (meant := likely_url(name)) is not None:
            return f"there is no such file; do you mean {cut(meant, 200)!r}?"
        hint = "; a command is a list of words, not a text" if len(name.split()) > 1 else ""
        return f"there is no such file{hint}"
    kind = f"ends in {suffix}" if suffix else "has no suffix"
    return f"nothing is known to run a file that {kind}; name what does in a command"
