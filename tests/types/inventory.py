"""Every Struct of `tybalt.types`, by name, newest shapes only."""

from importlib import import_module
from pkgutil import iter_modules

import tybalt.types
from tybalt.types.base import Wire

_REPEATS = {"legacy", "server_requests"}


def structs() -> dict[str, type[Wire]]:
    found: dict[str, type[Wire]] = {}
    for module in iter_modules(tybalt.types.__path__):
        if module.name not in _REPEATS:
            home = import_module(f"tybalt.types.{module.name}")
            own = {
                name: value for name, value in vars(home).items() if getattr(value, "__module__", "") == home.__name__
            }
            found |= {name: value for name, value in own.items() if isinstance(value, type) and issubclass(value, Wire)}
    return found
