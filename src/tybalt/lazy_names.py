"""Public names of a package that are loaded when they are first asked for: nobody pays for what he leaves alone.

    __all__, __getattr__, __dir__ = lazy_names(__name__, {"tybalt.errors": "McpError ToolError"})

The package lists the same names for type checkers under `TYPE_CHECKING`; tests/test_lazy_names.py compares the two.
"""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, modules: Mapping[str, str]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` for `package`.

    `modules` says which names, parted by blanks, each module gives. An attribute that is no such name is an
    `AttributeError` that lists those that are near.
    """
    home = {name: module for module, names in modules.items() for name in names.split()}

    def load(name: str) -> Any:
        module = home.get(name)
        if module is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}{_hint(name, home)}")
        value = getattr(import_module(module), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return sorted(home), load, names


def _hint(name: str, home: Mapping[str, str]) -> str:
    """The names that begin alike. Cheap, because `from package import submodule` asks here before it looks for one."""
    near = [each for each in home if each[:3].lower() == name[:3].lower()]
    return f"; did you mean {' or '.join(near)}?" if near else ""
