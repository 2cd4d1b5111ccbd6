"""`FILE[:OBJECT]`: the server a command is about, loaded from a Python file."""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from tybalt.errors import TybaltError


class TargetError(TybaltError):
    """The file, or the server in it, is not there; the text says what to write instead."""


def load_server(target: str) -> Any:
    """The `Server` that `FILE[:OBJECT]` names. Raises `TargetError`, and whatever the file itself raises.

    Without `OBJECT` it is the file's only `Server`, or the one called `server`, `mcp` or `app`. The file's folder is
    importable, as it is under `python FILE`; its `if __name__ == "__main__":` part does not run.
    """
    path, separator, name = target.rpartition(":")
    if not separator or "\\" in name or "/" in name:
        path, name = target, ""
    module = _import(Path(path))
    return _named(module, name, path) if name else _only(module, path)


def _import(path: Path) -> ModuleType:
    if not path.is_file():
        raise TargetError(f"there is no file {path}; expected FILE or FILE:OBJECT, such as server.py:server")
    sys.path.insert(0, str(path.parent.resolve()))
    name = path.stem if path.stem not in sys.modules else f"{path.stem} (server)"  # A server.py may be called json.py.
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"{path} is no Python file; its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _servers(module: ModuleType) -> dict[str, Any]:
    from tybalt.server.server import Server

    return {name: value for name, value in vars(module).items() if isinstance(value, Server)}


def _named(module: ModuleType, name: str, path: str) -> Any:
    servers = _servers(module)
    if name not in servers:
        found = ", ".join(sorted(servers)) or "none"
        raise TargetError(f"{path} has no Server called {name!r}; it has: {found}")
    return servers[name]


def _only(module: ModuleType, path: str) -> Any:
    servers = _servers(module)
    for name in ("server", "mcp", "app"):
        if name in servers:
            return servers[name]
    if len({id(server) for server in servers.values()}) == 1:
        return next(iter(servers.values()))
    if not servers:
        raise TargetError(f'{path} defines no Server; write `server = Server("name")` in it')
    raise TargetError(f"{path} defines several servers ({', '.join(sorted(servers))}); say which, as in {path}:NAME")
