"""`FILE[:OBJECT]`: the server a command is about, in a Python file or made by a function in it."""

import inspect
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tybalt.cli.source import import_file
from tybalt.cli.usage import UsageError, instead, listed
from tybalt.errors import MisuseError, TransportError, cut
from tybalt.server.process import loading
from tybalt.transports.stdio import StandardStreams

if TYPE_CHECKING:
    from tybalt.server.server import Server


def load_server(target: str) -> "Server":
    """The `Server` that `FILE[:OBJECT]` names, for whoever has put the standard streams aside.

    Without `OBJECT` it is the file's only `Server`, or the one called `server`, `mcp` or `app`. `OBJECT` may also be a
    function without parameters that returns one. How the file is loaded: `source.import_file`. Raises `UsageError`,
    `MisuseError` where the file asks for the end of the program, and whatever else it raises.
    """
    path, separator, name = target.rpartition(":")
    if not separator or "\\" in name or "/" in name:
        path, name = target, ""
    try:
        with loading():
            module = import_file(path)
        return _named(module, name, path) if name else _only(module, path)
    except SystemExit as asked:
        # With its traceback: the place in the file is told.
        raise MisuseError(_ended(asked)).with_traceback(asked.__traceback__) from None


def load_idle_server(target: str) -> "Server":
    """`load_server`, for who does not serve: the streams are aside meanwhile, so that the file cannot serve either."""
    try:
        streams = StandardStreams()
    except (TransportError, MisuseError):  # Closed, or taken already: nobody can serve over them.
        return load_server(target)
    try:
        return load_server(target)
    finally:
        streams.give_back()


def _ended(asked: SystemExit) -> str:
    status = "" if asked.code is None else cut(repr(asked.code))
    how = 'what only a program of its own should do belongs under `if __name__ == "__main__":`'
    return f"ended the program while it was loaded (sys.exit({status})); {how}"


def _servers(module: ModuleType) -> dict[str, "Server"]:
    from tybalt.server.server import Server

    return {name: value for name, value in vars(module).items() if isinstance(value, Server)}


def _only(module: ModuleType, path: str) -> "Server":
    servers = _servers(module)
    for name in ("server", "mcp", "app"):
        if name in servers:
            return servers[name]
    if len({id(server) for server in servers.values()}) == 1:
        return next(iter(servers.values()))
    if not servers:
        how = f'write `server = Server("name")` at its top level, or name a function that returns one: {path}:FUNCTION'
        raise UsageError(f"{path} defines no Server; {how}")
    raise UsageError(f"{path} defines several servers ({listed(sorted(servers))}); say which, as in {path}:NAME")


def _named(module: ModuleType, name: str, path: str) -> "Server":
    servers = _servers(module)
    if name in servers:
        return servers[name]
    if name in vars(module):
        return _made(vars(module)[name], f"{path}:{name}")
    if not servers:
        how = f'write `{name} = Server("name")`, or a function `{name}` that returns one'
        raise UsageError(f"{path} has no {name!r}, and no Server at all; {how}")
    raise UsageError(f"{path} has no Server called {name!r}; {instead(name, sorted(servers))}")


_WANTED = "expected a Server, or a plain function without parameters that returns one"


def _made(maker: Any, what: str) -> "Server":
    """What a function of the file returns, if that is a server."""
    from tybalt.server.server import Server

    if not _is_maker(maker):
        raise UsageError(f"{what} is of the type {type(maker).__name__}; {_WANTED}")
    if not _needs_nothing(maker):
        raise UsageError(f"{what} takes arguments, and there are none to give; {_WANTED}")
    made = maker()
    if inspect.iscoroutine(made):
        made.close()
        raise UsageError(f"{what} is async; {_WANTED}")
    if not isinstance(made, Server):
        raise UsageError(f"{what} returned {'None' if made is None else f'a {type(made).__name__}'}; {_WANTED}")
    return made


def _is_maker(found: Any) -> bool:
    """A function, or a kind of server. Not whatever can be called: a tool can, and would run."""
    from tybalt.server.server import Server

    return inspect.isroutine(found) or (isinstance(found, type) and issubclass(found, Server))


def _needs_nothing(maker: Any) -> bool:
    try:
        inspect.signature(maker).bind()
    except TypeError:
        return False
    except ValueError:
        return True  # No signature to be had: calling it shows.
    return True
