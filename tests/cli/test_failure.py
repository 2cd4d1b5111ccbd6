"""What an author is told of a failure in their file: their own lines, and no others."""

import asyncio
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import Printed
from tybalt.cli.failure import status_of, told
from tybalt.errors import (
    ConnectionLost,
    McpError,
    MisuseError,
    RegistrationError,
    RequestTimeout,
    TransportClosed,
    TransportError,
    TybaltError,
    Unauthorized,
    UnexpectedResult,
)


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        (
            "1 / 0",
            ["Traceback (most recent call last):", 'shelf.py", line 2, in <module>', "ZeroDivisionError: division"],
        ),
        (
            "import no_such_module",
            ["Traceback (most recent call last):", 'shelf.py", line 2, in <module>', "ModuleNotFoundError: No module"],
        ),
        ("\nserver = (", ['shelf.py", line 3', "SyntaxError: '(' was never closed"]),
        (
            "import neighbour",
            ["Traceback (most recent call last):", 'shelf.py", line 2, in', 'neighbour.py", line 2', "SyntaxError: "],
        ),
        (
            "try:\n    {}['a']\nexcept KeyError as error:\n    raise OSError('b') from error",
            [
                "Traceback",
                'shelf.py", line 3',
                "KeyError",
                "direct cause",
                "Traceback",
                'shelf.py", line 5',
                "OSError: b",
            ],
        ),
        (
            "import json\njson.loads('{')",
            ["Traceback", 'shelf.py", line 3', 'json/__init__.py", line', "json.decoder.JSONDecodeError: "],
        ),
    ],
)
def test_an_exception_at_import_is_a_traceback_of_the_authors_frames(
    source: str, lines: list[str], write: Write, printed: Printed
) -> None:
    write("neighbour.py", "x = (")
    status, out, err = printed("list", str(write("shelf.py", source)))
    assert (status, out) == (1, "")
    position = 0
    for line in lines:
        position = err.index(line, position)
    assert not any(foreign in err for foreign in ("importlib", "/tybalt/", "<frozen"))


LIFESPANS = {
    "a lifespan": """
from contextlib import asynccontextmanager
@asynccontextmanager
async def lifespan(server):
    raise OSError("no shelf")
    yield
server = Server("x", lifespan=lifespan)
""",
    "a startup hook": """
async def start():
    raise OSError("no shelf")
server = Server("x").on_startup(start)
""",
    "a task group": """
import asyncio
async def fail():
    raise OSError("no shelf")
async def start():
    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
server = Server("x").on_startup(start)
""",
}


@pytest.mark.parametrize("source", LIFESPANS.values(), ids=LIFESPANS)
@pytest.mark.parametrize("command", [("call", "add"), ("list", "--json")])
def test_a_failure_at_the_start_is_a_traceback_of_the_authors_frames(
    source: str, command: tuple[str, str], write: Write, printed: Printed
) -> None:
    path = str(write("shelf.py", source))
    status, out, err = printed(command[0], path, command[1])
    assert (status, out) == (1, "")
    assert "OSError: no shelf" in err
    places = [line.strip(" |") for line in err.splitlines() if "File " in line]
    assert places and all(place.startswith(f'File "{path}", line ') for place in places)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("server = Server('')", "shelf.py:2: Server(name): expected a name of at least one character, got ''"),
        ("server = Server('x')\n\n@server.tool\ndef add(*a): ...", "shelf.py:4: tool 'add' (function shelf.add): "),
        ("Server('x').handle('tool', 'y')", "shelf.py:2: there is no tool 'y' on server 'x'"),
        ("import helper", "helper.py:2: Server(name): expected a name of at least one character"),
        ("from tybalt import McpError\nraise McpError('no', code=3)", "shelf.py:3: error 3: no"),
    ],
)
def test_what_tybalt_points_out_is_one_line_with_its_place(
    source: str, line: str, write: Write, printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("helper.py", "Server('')")
    path = write("shelf.py", source)
    monkeypatch.chdir(path.parent)
    status, out, err = printed("list", "shelf.py")
    assert (status, out) == (1, "")
    assert err.startswith(line) and err.count("\n") == 1


def test_a_file_elsewhere_is_named_by_its_whole_path(write: Write, printed: Printed) -> None:
    path = write("shelf.py", "server = Server('')")
    assert printed("run", str(path))[2].startswith(f"{path}:2: Server(name)")


def test_the_place_is_in_the_authors_line_where_the_standard_library_raises_it() -> None:
    future: Future[None] = Future()
    future.set_exception(RegistrationError("no"))
    with pytest.raises(RegistrationError) as raised:
        future.result()
    line = raised.traceback[0].lineno + 1
    assert told(raised.value) == f"{Path(__file__).relative_to(Path.cwd())}:{line}: no"


def test_an_error_that_is_not_the_authors_is_told_as_a_whole() -> None:
    assert told(ValueError("ours")) == "ValueError: ours"
    assert told(TybaltError("ours")) == "tybalt: ours"
    with pytest.raises(ValueError, match="a coroutine was expected") as raised:
        asyncio.Runner().run(1)
    error = raised.value
    error.__traceback__ = error.__traceback__.tb_next
    text = told(error)
    assert "asyncio" in text and text.startswith("Traceback (most recent call last):\n")


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("first"), ValueError("second")
    with pytest.raises(ValueError, match="second") as raised:
        raise second from first
    first.__cause__ = second
    assert told(raised.value).endswith("ValueError: second")


def test_control_characters_in_an_exception_are_escaped(write: Write, printed: Printed) -> None:
    _, _, err = printed("list", str(write("shelf.py", "raise OSError(chr(27) + '[31mred')")))
    assert err.endswith("OSError: \\u001b[31mred\n")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("x"), 1),
        (TybaltError("x"), 1),
        (MisuseError("x"), 1),
        (TransportError("x"), 3),
        (TransportClosed("x"), 3),
        (ConnectionLost("x"), 3),
        (McpError("x"), 4),
        (Unauthorized("x"), 4),
        (UnexpectedResult("x"), 4),
        (RequestTimeout("x"), 5),
    ],
)
def test_an_error_has_a_status(error: Exception, status: int) -> None:
    assert status_of(error) == status


@pytest.mark.parametrize("raised", ["McpError('closed')", "TransportError('gone')", "RequestTimeout('late')"])
def test_what_a_file_raises_is_its_own_failure_whatever_it_is(raised: str, write: Write, printed: Printed) -> None:
    path = str(write("raising.py", f"from tybalt import McpError, RequestTimeout, TransportError\nraise {raised}"))
    status, out, err = printed("list", path)
    assert (status, out) == (1, "") and err.startswith(f"{path}:3: ")


def test_an_error_of_the_wire_says_what_the_system_said_once() -> None:
    error = TransportError("cannot start 'x': there is no such program")
    error.__cause__ = FileNotFoundError(2, "No such file or directory")
    assert told(error) == "tybalt: cannot start 'x': there is no such program"
    late = UnexpectedResult("no result")
    late.__cause__ = ValueError("because")
    assert told(late) == "tybalt: no result: because"
