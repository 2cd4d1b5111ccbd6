"""How the file of a server is loaded: alone or in its package, and what one is told where there is none."""

import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import as_a_process
from tybalt.cli.source import import_file
from tybalt.cli.usage import UsageError
from tybalt.errors import RegistrationError


def refusal(path: str | Path) -> str:
    with pytest.raises(UsageError) as refused:
        import_file(str(path))
    return str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.py"
    how = "expected FILE or FILE:OBJECT, such as server.py:server"
    assert refusal(missing) == f"there is no file {missing}; {how}"
    missing = tmp_path / "no_such_folder" / "server.py"
    assert refusal(missing) == f"there is no file {missing}; {how}"


@pytest.mark.parametrize("name", ["sever.py", "server", "Server.PY", "server.pyi"])
def test_the_file_that_was_meant_is_named(
    name: str, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in ("server.py", "client.py", "server.txt"):
        write(f"shelf/{each}", "")
    assert refusal(tmp_path / "shelf" / name) == (
        f"there is no file {tmp_path / 'shelf' / name}; did you mean {tmp_path / 'shelf' / 'server.py'}?"
    )
    monkeypatch.chdir(tmp_path / "shelf")
    assert refusal(name) == f"there is no file {name}; did you mean server.py?"


def test_a_folder_is_told_from_a_file(write: Write, tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"{tmp_path} is a folder; name the file in it"
    write("server.py", "")
    write("client.py", "")
    assert refusal(tmp_path) == f"{tmp_path} is a folder; name the file in it: client.py, server.py"


@pytest.mark.parametrize("name", ["server.txt", "server", "package/server.txt"])
def test_a_file_that_is_no_python_is_refused(name: str, write: Write) -> None:
    write("package/__init__.py", "")
    path = write(name, "")
    assert refusal(path) == f"{path} is no Python file; its name must end in .py"


def test_the_folder_of_the_file_is_importable_and_comes_first(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("elsewhere/neighbour.py", "name = 'from elsewhere'")
    path = write("here/shelf.py", "import neighbour")
    write("here/neighbour.py", "name = 'from beside'")
    monkeypatch.syspath_prepend(str(path.parent.parent / "elsewhere"))
    monkeypatch.chdir(path.parent)
    assert import_file("shelf.py").neighbour.name == "from beside"


def test_a_file_may_bear_the_name_of_a_module_that_is_loaded_already(write: Write) -> None:
    import json

    path = write("json.py", "")
    assert import_file(str(path)).__name__ == "json (server)"
    assert sys.modules["json"] is json and sys.modules["json (server)"].__file__ == str(path)


def test_what_stands_under_main_does_not_run_and_classes_find_their_module(tmp_path: Path) -> None:
    source = """
from __future__ import annotations
from dataclasses import dataclass
from tybalt import Server

@dataclass
class Book:
    title: str

server = Server("one")

@server.tool
def lend(book: Book) -> Book:
    return book

if __name__ == "__main__":
    raise SystemExit("it ran")
"""
    path = tmp_path / "shelf.py"
    path.write_text(source)
    assert import_file(str(path)).server.handle("tool", "lend").name == "lend"


@pytest.mark.parametrize(
    ("source", "kind", "text"),
    [
        ("1 / 0", ZeroDivisionError, "division"),
        ("import no_such_module", ModuleNotFoundError, "no_such_module"),
        ("server = (", SyntaxError, "was never closed"),
        ("raise SystemExit(7)", SystemExit, "7"),
        ("server = Server('')", RegistrationError, "at least one character"),
    ],
)
@pytest.mark.parametrize("folder", ["alone", "package"])
def test_what_the_file_raises_comes_through(
    folder: str, write: Write, source: str, kind: type[BaseException], text: str
) -> None:
    write("package/__init__.py", "")
    with pytest.raises(kind, match=text):
        import_file(str(write(f"{folder}/shelf.py", source)))


class TestInAPackage:
    def test_relative_imports_work_at_any_depth(self, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
        write("books/__init__.py", "")
        write("books/util.py", "name = 'util'")
        write("books/deep/__init__.py", "")
        write("books/deep/near.py", "name = 'near'")
        path = write(
            "books/deep/shelf.py", "from ..util import name\nfrom .near import name as near\nimport books.util"
        )
        module = import_file(str(path))
        assert (module.__name__, module.name, module.near) == ("books.deep.shelf", "util", "near")
        assert sys.modules["books.deep.shelf"] is module

        monkeypatch.chdir(path.parent)
        assert import_file("shelf.py") is module

    @pytest.mark.parametrize(("name", "known"), [("__init__", "books"), ("__main__", "books.__main__")])
    def test_its_own_files_have_their_own_names(self, name: str, known: str, write: Write) -> None:
        write("books/__init__.py", "shelf = 7")
        path = write(f"books/{name}.py", "shelf = 7\nfrom . import shelf")
        assert import_file(str(path)).__name__ == known

    def test_a_neighbour_is_found_without_the_dot_but_hides_nothing(self, write: Write) -> None:
        write("books/__init__.py", "")
        write("books/neighbour.py", "name = 'beside'")
        write("books/colorsys.py", "name = 'beside'")
        module = import_file(str(write("books/shelf.py", "import neighbour, colorsys")))
        assert module.neighbour.name == "beside" and not hasattr(module.colorsys, "name")

    def test_a_folder_with_the_name_of_a_loaded_module_is_refused(self, write: Write, tmp_path: Path) -> None:
        write("asyncio/__init__.py", "")
        path = write("asyncio/shelf.py", "")
        told = f"{tmp_path / 'asyncio'} has the name of a module that is loaded already; rename the folder"
        assert refusal(path) == told

    def test_a_folder_that_no_dotted_name_leads_to_is_none(self, write: Write) -> None:
        write("books.v2/__init__.py", "")
        assert import_file(str(write("books.v2/shelf.py", ""))).__name__ == "shelf"

    def test_as_a_process(self, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write("books/__init__.py", "")
        write("books/util.py", "name = 'from a neighbour'")
        write("books/server.py", "from .util import name\nserver = Server(name)")
        monkeypatch.chdir(tmp_path / "books")
        ended = as_a_process("inspect", "server.py")
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert ended.stdout.startswith(b"name          from a neighbour\n")
