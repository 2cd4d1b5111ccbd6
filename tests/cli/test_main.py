"""`tybalt run | call | list`: what each prints where, and with which status it ends."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tybalt
from tests.protocol.conversations import decoded, initialize, legacy, modern
from tybalt.cli import main

SOURCE = Path(__file__).parents[2] / "src"

LIBRARY = Path(__file__).with_name("library.py")
FILE = str(LIBRARY)


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: its status, what it printed, and what it complained of."""

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


Printed = Callable[..., tuple[int, str, str]]


def as_a_process(*arguments: str, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    """Run `python -m tybalt`."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error"}
    words = [sys.executable, "-m", "tybalt", *arguments]
    return subprocess.run(words, env=environment, input=given, capture_output=True, check=False, timeout=50)


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ((), "the following arguments are required: COMMAND"),
            (("walk",), "invalid choice: 'walk'"),
            (("run",), "the following arguments are required: FILE[:OBJECT]"),
            (("list",), "the following arguments are required: FILE[:OBJECT]"),
            (("call", "x.py"), "the following arguments are required: TOOL"),
            (("run", "x.py", "more"), "unrecognized arguments: more"),
            (("run", "--json", "x.py"), "unrecognized arguments: --json"),
        ],
    )
    def test_a_wrong_command_line_ends_with_2(
        self, arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (2, "")
        assert told in err and err.startswith("usage: tybalt")

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [(("--version",), f"tybalt {tybalt.__version__}\n"), (("call", "--help"), "NAME=VALUE")],
    )
    def test_questions_are_answered_on_stdout(
        self, arguments: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        assert (ended.value.code, err) == (0, "") and told in out

    def test_the_arguments_are_those_of_the_process(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["tybalt", "call", FILE, "add", "a=1"])
        assert main() == 0
        assert capsys.readouterr().out == "3\n"

    @pytest.mark.parametrize("command", [("run",), ("list",), ("list", "--json"), ("call",)])
    def test_a_target_that_is_not_there_ends_with_2(self, command: tuple[str, ...], printed: Printed) -> None:
        more = ("add",) if command == ("call",) else ()
        told = "tybalt: there is no file nothing.py; expected FILE or FILE:OBJECT, such as server.py:server\n"
        assert printed(*command, "nothing.py", *more) == (2, "", told)

    def test_an_object_that_is_not_there_ends_with_2(self, printed: Printed) -> None:
        assert printed("list", f"{FILE}:mcp") == (
            2,
            "",
            f"tybalt: {FILE} has no Server called 'mcp'; it has: server\n",
        )

    @pytest.mark.parametrize(
        ("source", "told"),
        [
            ("server = Server('')", "tybalt: Server(name): expected a name of at least one character, got ''\n"),
            ("Server('x').handle('tool', 'y')", "tybalt: there is no tool 'y' on server 'x'\n"),
        ],
    )
    def test_a_file_that_cannot_be_compiled_ends_with_1(
        self, tmp_path: Path, source: str, told: str, printed: Printed
    ) -> None:
        (tmp_path / "broken.py").write_text(f"from tybalt import Server\n{source}\n")
        assert printed("list", str(tmp_path / "broken.py")) == (1, "", told)

    def test_any_other_exception_of_the_file_is_left_to_python(self, tmp_path: Path, printed: Printed) -> None:
        (tmp_path / "broken.py").write_text("1 / 0")
        with pytest.raises(ZeroDivisionError):
            printed("call", str(tmp_path / "broken.py"), "add")


class TestCall:
    @pytest.mark.parametrize(
        ("arguments", "status", "out", "err"),
        [
            (("add", "a=5", "b=3"), 0, "8", ""),
            (("add", "a=5"), 0, "7", ""),
            (("blocks",), 0, "a page\n\n[Image: image/png, 4 bytes]", ""),
            (("bare",), 0, 'Structured Content:\n{\n  "pages": 3\n}', ""),
            (("count",), 0, "counted", "progress 1\nprogress 2 of 2.5: nearly"),
            (("fail", "text=no books"), 1, "no books", ""),
            (("add", "a=five"), 1, 'Invalid arguments: $.arguments.a: expected an integer; got "five"', ""),
            (("add",), 1, "Invalid arguments: $.arguments.a: missing; expected an integer", ""),
            (("refuse",), 1, "", "tybalt: error 4242: closed today"),
            (("borrow", "a=1"), 1, "", "tybalt: error -32602: Unknown tool: borrow"),
            (("add", "5"), 2, "", "tybalt: '5' is no argument; write NAME=VALUE, such as a=5"),
            (("add", "=5"), 2, "", "tybalt: '=5' is no argument; write NAME=VALUE, such as a=5"),
            (("borrow", ""), 2, "", "tybalt: '' is no argument; write NAME=VALUE, such as a=5"),
        ],
        ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
    )
    def test_a_result_goes_to_stdout_and_everything_else_to_stderr(
        self, arguments: tuple[str, ...], status: int, out: str, err: str, printed: Printed
    ) -> None:
        ended, told, complained = printed("call", FILE, *arguments)
        assert (ended, told, complained) == (status, out and f"{out}\n", err and f"{err}\n")

    def test_what_a_tool_raises_by_mistake_is_masked_as_for_any_client(self, printed: Printed) -> None:
        status, out, err = printed("call", FILE, "crash")
        assert status == 1 and out.startswith("Internal error in tool 'crash'") and "hunter2" not in out + err

    @pytest.mark.parametrize(
        ("argument", "value"),
        [
            *(("text=7", "'7' None"), ("text=", "'' None"), ('text="x"', "'\"x\"' None"), ("text=a=b", "'a=b' None")),
            *(("value=7", "'' 7"), ("value=", "'' ''"), ('value="7"', "'' '7'"), ("value=a=b", "'' 'a=b'")),
            *(("value=null", "'' None"), ("value=true", "'' True"), ("value=True", "'' 'True'")),
            *(('value=["x", 1.5]', "'' ['x', 1.5]"), ('value={"a":{}}', "'' {'a': {}}"), ("value={a}", "'' '{a}'")),
            *(("value=é", "'' 'é'"), ("value= 7", "'' 7"), ("value=NaN", "'' 'NaN'"), ("value=007", "'' '007'")),
        ],
    )
    def test_text_is_taken_as_it_is_and_anything_else_as_json_if_it_is(
        self, argument: str, value: str, printed: Printed
    ) -> None:
        assert printed("call", FILE, "show", argument) == (0, f"{value}\n", "")

    @pytest.mark.parametrize(
        ("tool", "status", "members"),
        [
            ("add", 0, {"content": [{"type": "text", "text": "3"}], "structuredContent": 3}),
            ("fail", 1, {"content": [{"type": "text", "text": "no"}], "isError": True}),
        ],
    )
    def test_json_is_the_whole_result(self, tool: str, status: int, members: dict[str, Any], printed: Printed) -> None:
        argument = {"add": "a=1", "fail": "text=no"}[tool]
        for arguments in (("call", "--json", FILE, tool, argument), ("call", FILE, tool, argument, "--json")):
            ended, out, err = printed(*arguments)
            assert (ended, err) == (status, "")
            assert members.items() <= json.loads(out).items()
            assert "\n  " in out


class TestList:
    def test_it_is_what_the_server_is_as_text(self, printed: Printed) -> None:
        status, out, err = printed("list", FILE)
        assert (status, err) == (0, "")
        assert out.startswith("# library\n\nVersion: 2.0\n\n# Tools\n\n## add\n\nAdd two numbers.\n")
        assert all(f"\n# {title}\n" in out for title in ("Tools", "Resources", "Resource templates", "Prompts"))

    def test_json_has_the_four_lists_as_a_client_gets_them(self, printed: Printed) -> None:
        status, out, err = printed("list", "--json", FILE)
        assert (status, err) == (0, "")
        lists = json.loads(out)
        assert [each["name"] for each in lists["tools"]] == "add show fail refuse crash blocks bare count loud".split()  # noqa: SIM905
        assert lists["tools"][0]["inputSchema"]["required"] == ["a"]
        assert lists["resources"] == [{"uri": "books://index", "name": "index"}]
        assert lists["resourceTemplates"] == [{"uriTemplate": "books://{isbn}", "name": "book"}]
        assert lists["prompts"] == [{"name": "review", "arguments": [{"name": "language", "required": True}]}]

    @pytest.mark.parametrize("eras", ["legacy", "modern"])
    def test_what_a_server_has_not_is_an_empty_list(self, tmp_path: Path, eras: str, printed: Printed) -> None:
        (tmp_path / "empty.py").write_text(f"from tybalt import Server\nserver = Server('x', eras=[{eras!r}])")
        status, out, err = printed("list", str(tmp_path / "empty.py"), "--json")
        assert (status, err) == (0, "")
        assert json.loads(out) == {"tools": [], "resources": [], "resourceTemplates": [], "prompts": []}


class TestRun:
    def test_what_the_file_prints_while_it_is_loaded_goes_to_stderr(self, tmp_path: Path, printed: Printed) -> None:
        """A server of one's own may serve as it likes: `run` gets its stdout back."""
        (tmp_path / "loud.py").write_text(
            "from tybalt import Server\n"
            "print('loading')\n"
            "class Mine(Server):\n"
            "    def run(self, transport='stdio'): print('serving over', transport)\n"
            "server = Mine('x')\n"
        )
        assert printed("run", str(tmp_path / "loud.py")) == (0, "serving over stdio\n", "loading\n")

    def test_nothing_but_messages_reaches_stdout(self, tmp_path: Path) -> None:
        path = tmp_path / "loud.py"
        path.write_text(f"print('loading')\n{LIBRARY.read_text()}")
        call = {"name": "loud", "arguments": {}}
        given = [initialize(), legacy("tools/call", call, id=2), modern("tools/call", call, id=3), b"{", b""]
        ended = as_a_process("run", str(path), given=b"\n".join(given))
        answers = [decoded(line) for line in ended.stdout.splitlines()]
        assert [answer.get("id") for answer in answers] == ["hello", 2, 3, None]
        assert answers[0]["result"]["serverInfo"] == {"name": "library", "version": "2.0"}
        assert ended.returncode == 0
        assert ended.stderr.decode().splitlines() == ["loading", "calling", "calling"]


class TestAsAProcess:
    def test_a_call(self) -> None:
        ended = as_a_process("call", FILE, "count")
        assert (ended.returncode, ended.stdout, ended.stderr) == (
            0,
            b"counted\n",
            b"progress 1\nprogress 2 of 2.5: nearly\n",
        )

    def test_a_list_of_a_file_in_the_working_directory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(Path(FILE).parent)
        ended = as_a_process("list", LIBRARY.name)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert ended.stdout.startswith(b"# library\n")

    @pytest.mark.parametrize(
        ("arguments", "status", "told"),
        [
            (("call", "add", "5"), 2, b"tybalt: '5' is no argument"),
            (("call", "borrow"), 1, b"tybalt: error -32602: Unknown tool: borrow"),
            (("list", "--no"), 2, b"unrecognized arguments: --no"),
        ],
    )
    def test_the_status_is_that_of_the_process(self, arguments: tuple[str, ...], status: int, told: bytes) -> None:
        command, *more = arguments
        ended = as_a_process(command, FILE, *more)
        assert (ended.returncode, ended.stdout) == (status, b"")
        assert told in ended.stderr

    @pytest.mark.parametrize("command", [("run",), ("list",), ("call", "add")])
    def test_what_a_file_raises_is_printed_as_python_prints_it(self, command: tuple[str, ...], tmp_path: Path) -> None:
        (tmp_path / "broken.py").write_text("raise RuntimeError('no shelf')")
        first, *more = command
        ended = as_a_process(first, str(tmp_path / "broken.py"), *more)
        assert (ended.returncode, ended.stdout) == (1, b"")
        assert ended.stderr.rstrip().endswith(b"RuntimeError: no shelf")
