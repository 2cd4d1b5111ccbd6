"""What is printed where: stdout holds the answer alone, and nothing steers the terminal."""

import json
import os
import sys

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import FILE, SHOP, SOURCE, as_a_process
from tests.cli.terminals import terminal
from tybalt.cli.terminal import answer, note, plain, stdout_aside


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, é 漢 😀\n\ttabbed", "plain text, é 漢 😀\n\ttabbed"),
        ("\x1b[31m", "\\u001b[31m"),
        (
            "\x00\x07\x08\x0b\x0c\x1f\x7f\x80\x9b\x9f\xa0",
            "\\u0000\\u0007\\u0008\\u000b\\u000c\\u001f\\u007f\\u0080\\u009b\\u009f\xa0",
        ),
        ("a\r\nb\rc\r", "a\r\nb\\u000dc\\u000d"),
        ("\udcff", "\\udcff"),
        ("a\u202eb\u2066c\u2028d", "a\\u202eb\\u2066c\\u2028d"),
        ("a\U000e0041", "a\\udb40\\udc41"),
        ("a\u200d\u3000\xad", "a\u200d\u3000\xad"),
    ],
)
def test_control_characters_are_written_as_in_json(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_what_stdout_cannot_say_is_written_as_in_json() -> None:
    ended = as_a_process("call", FILE, "show", "text=é漢😀", "--json", PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert json.loads(ended.stdout.decode("ascii"))["structuredContent"] == "'é漢😀' None"


def test_what_is_written_meanwhile_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("before\n")
    with stdout_aside():
        sys.stdout.write("print\n")
        os.write(1, b"write\n")
        os.system("echo echo")
    sys.stdout.write("after\n")
    assert capfd.readouterr() == ("before\nafter\n", "print\nwrite\necho\n")


def test_stdout_is_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(OSError, match="no shelf"), stdout_aside():
        raise OSError("no shelf")
    os.write(1, b"written\n")
    assert capfd.readouterr() == ("written\n", "")


PROMPT = "server = Server('x')\nserver.prompt(lambda: '', name='p')"
TABLE = "PROMPT  ARGUMENTS  DESCRIPTION\np\n"


@pytest.mark.parametrize(
    ("closed", "out", "err"),
    [
        (">&-", "", "printed\n"),
        ("2>&-", TABLE, ""),
        (">&- 2>&-", "", ""),
        ("<&- 2>&-", TABLE, ""),
    ],
)
def test_a_closed_stream_is_done_without(
    closed: str, out: str, err: str, write: Write, capfd: pytest.CaptureFixture[str]
) -> None:
    source = "import os\nprint('printed', flush=True)\nos.system('echo echoed 2>/dev/null')\n" + PROMPT
    command = f"PYTHONPATH='{SOURCE}' '{sys.executable}' -m tybalt list '{write('loud.py', source)}' {closed}"
    assert os.system(command) == 0
    told = capfd.readouterr()
    assert (told.out, told.err) == (out, err)


def test_nothing_is_printed_where_python_found_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    answer("answer")
    note("note")


def test_a_line_is_shown_on_a_terminal_alone_and_rewritten() -> None:
    with terminal("call", SHOP, "slowly") as person:
        assert person.end() == (0, "sent\n")
    first, second, third = "progress 1 of 3: packing\\nboxes", "progress 2 of 3", "progress 3 of 3: sent"
    shown = f"\r{first}\r{second:{len(first)}}\r{'':{len(second)}}\rinfo: packed\n\r{third}\r{'':{len(third)}}\r"
    assert person.seen == shown
    assert as_a_process("call", SHOP, "slowly").stderr == b"info: packed\n"
