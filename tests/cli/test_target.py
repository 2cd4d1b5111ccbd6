"""`FILE[:OBJECT]`: which server it names, how its file is loaded, and what one is told who names none."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tybalt.cli.target import TargetError, load_server
from tybalt.errors import RegistrationError

Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file that imports `Server`, and return its path."""

    def write_file(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"from tybalt import Server\n{source}")
        return path

    return write_file


ONE = "anything = Server('one')"
TWO = "first = Server('one'); second = Server('two')"


@pytest.mark.parametrize(
    ("source", "name", "found"),
    [
        (ONE, "", "one"),
        (ONE, ":", "one"),
        (ONE, ":anything", "one"),
        (TWO, ":first", "one"),
        (TWO, ":second", "two"),
        ("a = b = Server('one')", "", "one"),
        ("a = b = Server('one')", ":b", "one"),
        (f"{TWO}; server = Server('three')", "", "three"),
        (f"{TWO}; mcp = Server('three')", "", "three"),
        (f"{TWO}; app = Server('three')", "", "three"),
        (f"{TWO}; app = mcp = first; server = Server('three')", "", "three"),
        ("app = Server('one'); mcp = Server('two')", "", "two"),
        ("server = 'no server'; app = Server('one')", "", "one"),
        ("server = Server\nother = Server('one')", "", "one"),
        ("class Mine(Server): pass\nserver = Mine('one')", "", "one"),
    ],
)
def test_which_server_is_meant(write: Write, source: str, name: str, found: str) -> None:
    path = write("shelf.py", source)
    assert load_server(f"{path}{name}").name == found


@pytest.mark.parametrize(
    ("source", "name", "told"),
    [
        ("", "", '{path} defines no Server; write `server = Server("name")` in it'),
        ("server = Server", "", '{path} defines no Server; write `server = Server("name")` in it'),
        (TWO, "", "{path} defines several servers (first, second); say which, as in {path}:NAME"),
        (TWO, ":third", "{path} has no Server called 'third'; it has: first, second"),
        (ONE, ":mcp", "{path} has no Server called 'mcp'; it has: anything"),
        ("text = 'x'", ":text", "{path} has no Server called 'text'; it has: none"),
    ],
)
def test_who_names_no_server_is_told_what_there_is(write: Write, source: str, name: str, told: str) -> None:
    path = write("shelf.py", source)
    with pytest.raises(TargetError) as refused:
        load_server(f"{path}{name}")
    assert str(refused.value) == told.format(path=path)


@pytest.mark.parametrize("name", ["", ":server"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    for missing in (tmp_path / "nothing.py", tmp_path):
        with pytest.raises(TargetError) as refused:
            load_server(f"{missing}{name}")
        told = f"there is no file {missing}; expected FILE or FILE:OBJECT, such as server.py:server"
        assert str(refused.value) == told


@pytest.mark.parametrize("name", ["server.txt", "server"])
def test_a_file_that_is_no_python_is_refused(write: Write, name: str) -> None:
    path = write(name, ONE)
    with pytest.raises(TargetError, match=r"server(\.txt)? is no Python file; its name must end in \.py"):
        load_server(str(path))


def test_a_colon_in_a_folder_is_no_object(write: Write) -> None:
    path = write("with:colon/shelf.py", ONE)
    assert load_server(str(path)).name == "one"
    assert load_server(f"{path}:anything").name == "one"


def test_a_backslash_behind_a_colon_belongs_to_the_path() -> None:
    with pytest.raises(TargetError, match=r"there is no file C:\\folder\\server\.py;"):
        load_server("C:\\folder\\server.py")


def test_the_folder_of_the_file_is_importable_and_comes_first(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("elsewhere/neighbour.py", "name = 'from elsewhere'")
    path = write("here/shelf.py", "import neighbour\nserver = Server(neighbour.name)")
    write("here/neighbour.py", "name = 'from beside'")
    monkeypatch.syspath_prepend(str(path.parent.parent / "elsewhere"))
    monkeypatch.chdir(path.parent)
    assert load_server("shelf.py").name == "from beside"


def test_a_file_may_bear_the_name_of_a_module_that_is_loaded_already(write: Write) -> None:
    import json

    path = write("json.py", "server = Server(__name__)")
    assert load_server(str(path)).name == "json (server)"
    assert sys.modules["json"] is json and sys.modules["json (server)"].__file__ == str(path)


def test_what_stands_under_main_does_not_run_and_classes_find_their_module(write: Write) -> None:
    source = """
from __future__ import annotations
from dataclasses import dataclass

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
    path = write("shelf.py", "")
    path.write_text(source.replace("from dataclasses", "from tybalt import Server\nfrom dataclasses"))
    assert load_server(str(path)).handle("tool", "lend").name == "lend"


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
def test_what_the_file_raises_comes_through(write: Write, source: str, kind: type[BaseException], text: str) -> None:
    with pytest.raises(kind, match=text):
        load_server(str(write("shelf.py", source)))
