"""A Python file as a module, imported as its author means it: alone, or as a part of its package."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from pathlib import Path
from types import ModuleType

from tybalt.cli.usage import UsageError, listed, meant_by

MAX_FILES = 1000
"""How many files of a folder are looked at for the one that was meant."""


def import_file(path: str) -> ModuleType:
    """The module in a file. Raises `UsageError` where there is none, and whatever the file itself raises.

    From then on its folder is importable and `sys.argv` is its path alone, as under `python FILE`; its
    `if __name__ == "__main__":` part does not run. In a folder with an `__init__.py` it is imported by its dotted name,
    so that relative imports work, and the folder that holds the package is importable too.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(_missing(file))
    top, name = _located(file)
    spec = spec_from_file_location(_free(name), file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} is no Python file; its name must end in .py")
    sys.argv = [path]
    sys.path.insert(0, str(top))
    if top != file.parent.resolve():
        # Last, for `import neighbour` where the author forgot the dot: there it hides no other module.
        sys.path.append(str(file.parent.resolve()))
        return _from_package(top, name)
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _missing(file: Path) -> str:
    if file.is_dir():
        found = sorted(each.name for each in islice(file.glob("*.py"), MAX_FILES))
        return f"{file} is a folder; name the file in it" + (f": {listed(found)}" if found else "")
    meant = meant_by(file.name, [each.name for each in islice(file.parent.glob("*.py"), MAX_FILES)])
    if meant is not None:
        return f"there is no file {file}; did you mean {file.with_name(meant)}?"
    return f"there is no file {file}; expected FILE or FILE:OBJECT, such as server.py:server"


def _located(file: Path) -> tuple[Path, str]:
    """The folder from which the file can be imported, and the dotted name by which."""
    folder = file.parent.resolve()
    names = [] if file.stem == "__init__" else [file.stem]
    while (folder / "__init__.py").is_file() and folder.name:
        names.insert(0, folder.name)
        folder = folder.parent
    if any("." in name for name in names):  # No dotted name leads there.
        return file.parent.resolve(), file.stem
    return folder, ".".join(names)


def _free(name: str) -> str:
    """`name`, or another one where it is taken: a server.py may be called json.py."""
    return f"{name} (server)" if name in sys.modules else name


def _from_package(top: Path, name: str) -> ModuleType:
    first = name.partition(".")[0]
    folder = str(top / first)
    if first in sys.modules and folder not in getattr(sys.modules[first], "__path__", ()):
        raise UsageError(f"{folder} has the name of a module that is loaded already; rename the folder")
    return import_module(name)
