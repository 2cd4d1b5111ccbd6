"""`FILE[:OBJECT]`: which server it names, how its file is loaded, and what one is told who names none."""

import pytest

from tests.cli.conftest import Write
from tybalt.cli.target import load_server
from tybalt.cli.usage import UsageError

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
    "source",
    [
        "def make(): return Server('made')",
        "def make(name='made'): return Server(name)",
        "from functools import cache\n@cache\ndef make(): return Server('made')",
        "class make(Server):\n    def __init__(self): super().__init__('made')",
        f"def make(): return Server('made')\n{TWO}",
    ],
)
def test_a_function_may_make_it(write: Write, source: str) -> None:
    assert load_server(f"{write('shelf.py', source)}:make").name == "made"


NO_SERVER = (
    '{path} defines no Server; write `server = Server("name")` at its top level, '
    "or name a function that returns one: {path}:FUNCTION"
)
NOR_THAT = (
    "{path} has no 'make', and no Server at all; write `make = Server(\"name\")`, or a function `make` that returns one"
)
WANTED = "; expected a Server, or a plain function without parameters that returns one"


@pytest.mark.parametrize(
    ("source", "name", "told"),
    [
        ("", "", NO_SERVER),
        ("server = Server", "", NO_SERVER),
        ("def make(): return Server('made')", "", NO_SERVER),
        ("", ":make", NOR_THAT),
        (TWO, "", "{path} defines several servers (first, second); say which, as in {path}:NAME"),
        (TWO, ":third", "{path} has no Server called 'third'; it has: first, second"),
        (TWO, ":frist", "{path} has no Server called 'frist'; did you mean 'first'? It has: first, second"),
        (ONE, ":mcp", "{path} has no Server called 'mcp'; it has: anything"),
        ("text = 'x'", ":text", "{path}:text is of the type str" + WANTED),
        ("class Book: pass", ":Book", "{path}:Book is of the type type" + WANTED),
        ("", ":Server", "{path}:Server takes arguments, and there are none to give" + WANTED),
        ("def make(name): ...", ":make", "{path}:make takes arguments, and there are none to give" + WANTED),
        ("def make(): ...", ":make", "{path}:make returned None" + WANTED),
        ("def make(): return 'x'", ":make", "{path}:make returned a str" + WANTED),
        ("async def make(): return Server('x')", ":make", "{path}:make is async" + WANTED),
        ("make = dict.fromkeys", ":make", "{path}:make takes arguments, and there are none to give" + WANTED),
        ("make = dir", ":make", "{path}:make returned a list" + WANTED),
        (f"{ONE}\n@anything.tool\ndef make(): 1 / 0", ":make", "{path}:make is of the type Registered" + WANTED),
    ],
)
def test_who_names_no_server_is_told_what_there_is(write: Write, source: str, name: str, told: str) -> None:
    path = write("shelf.py", source)
    with pytest.raises(UsageError) as refused:
        load_server(f"{path}{name}")
    assert str(refused.value) == told.format(path=path)


def test_what_a_function_raises_comes_through(write: Write) -> None:
    with pytest.raises(ZeroDivisionError):
        load_server(f"{write('shelf.py', 'def make(): 1 / 0')}:make")


@pytest.mark.parametrize("name", ["", ":server"])
def test_a_file_that_is_not_there_is_named_without_the_object(name: str) -> None:
    with pytest.raises(UsageError, match=r"there is no file nothing\.py;"):
        load_server(f"nothing.py{name}")


def test_a_colon_in_a_folder_is_no_object(write: Write) -> None:
    path = write("with:colon/shelf.py", ONE)
    assert load_server(str(path)).name == "one"
    assert load_server(f"{path}:anything").name == "one"


def test_a_backslash_behind_a_colon_belongs_to_the_path() -> None:
    with pytest.raises(UsageError, match=r"there is no file C:\\folder\\server\.py;"):
        load_server("C:\\folder\\server.py")
