"""`tybalt run | call | list | read | get | inspect`: how the line is read, and with which status it ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tybalt
from tests.cli.conftest import Write
from tests.cli.processes import FILE, LIBRARY, Printed, as_a_process, started
from tybalt.cli import main


class TestUsage:
    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            ((), "the following arguments are required: COMMAND"),
            (("walk",), "invalid choice: 'walk'"),
            (("run",), "the following arguments are required: FILE[:OBJECT]"),
            (("list",), "the following arguments are required: TARGET"),
            (("list", "x.py", "y.py"), "unrecognized arguments: y.py"),
            (("call", "--", "x"), "the following arguments are required: TOOL\n"),
            (("list", "--"), "the command that starts the server is missing behind --"),
            (("call", "x.py"), "the following arguments are required: TOOL\n"),
            (("run", "x.py", "more"), "unrecognized arguments: more"),
            (("run", "--json", "x.py"), "unrecognized arguments: --json"),
            (("call", "x.py", "add", "--yaml", "a=1"), "unrecognized arguments: --yaml"),
            *(
                (
                    ("call", "x.py", "add", "--timeout", seconds),
                    f"a number of seconds above 0, such as 30, got {seconds!r}",
                )
                for seconds in ("soon", "0", "-1", "nan", "inf", "")
            ),
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
        [(("--version",), f"tybalt {tybalt.__version__}\n"), (("call", "--help"), " TOOL [NAME=VALUE ...]\n")],
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

    @pytest.mark.parametrize(
        "words",
        [
            ("--json", FILE, "add", "a=5", "b=3"),
            (FILE, "--json", "add", "a=5", "b=3"),
            (FILE, "add", "--json", "a=5", "b=3"),
            (FILE, "add", "a=5", "--json", "b=3"),
            (FILE, "add", "a=5", "b=3", "--json"),
            (FILE, "add", "--timeout", "30", "a=5", "--json", "b=3"),
        ],
    )
    def test_an_option_may_stand_anywhere(self, words: tuple[str, ...], printed: Printed) -> None:
        status, out, err = printed("call", *words)
        assert (status, err) == (0, "") and '"structuredContent": 8' in out

    @pytest.mark.parametrize("command", [("run",), ("list",), ("list", "--json"), ("call",)])
    def test_a_target_that_is_not_there_ends_with_2(
        self, command: tuple[str, ...], tmp_path: Path, printed: Printed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        more = ("add",) if command == ("call",) else ()
        told = "tybalt: there is no file nothing.py; expected FILE or FILE:OBJECT, such as server.py:server\n"
        assert printed(*command, "nothing.py", *more) == (2, "", told)

    def test_an_object_that_is_not_there_ends_with_2(self, printed: Printed) -> None:
        told = f"tybalt: {FILE} has no Server called 'mcp'; it has: server\n"
        assert printed("list", f"{FILE}:mcp") == (2, "", told)

    @pytest.mark.parametrize("command", [("run",), ("list",), ("call", "add")])
    def test_what_a_file_raises_ends_with_1(self, command: tuple[str, ...], write: Write, printed: Printed) -> None:
        first, *more = command
        status, out, err = printed(first, str(write("broken.py", "raise RuntimeError('no shelf')")), *more)
        assert (status, out) == (1, "") and err.endswith("RuntimeError: no shelf\n")

    @pytest.mark.parametrize("command", [("run",), ("list",), ("list", "--json"), ("call", "add")])
    @pytest.mark.parametrize(
        ("source", "line", "what"),
        [
            ("import sys\nsys.exit()", 3, "()"),
            ("raise SystemExit(7)", 2, "(7)"),
            ("import sys\ndef leave():\n    sys.exit('no shelf')\nleave()", 4, "('no shelf')"),
            ("server = Server('x')\nimport argparse\nargparse.ArgumentParser().exit(3)", 4, "(3)"),
        ],
    )
    def test_a_file_that_ends_the_program_is_told_so(
        self, command: tuple[str, ...], source: str, line: int, what: str, write: Write, printed: Printed
    ) -> None:
        path = str(write("leaving.py", source))
        told = f"{path}:{line}: ended the program while it was loaded (sys.exit{what}); "
        how = 'what only a program of its own should do belongs under `if __name__ == "__main__":`\n'
        assert printed(command[0], path, *command[1:]) == (1, "", told + how)

    def test_a_function_that_ends_the_program_is_told_so(self, write: Write, printed: Printed) -> None:
        path = str(write("leaving.py", "def make():\n    raise SystemExit(7)"))
        status, out, err = printed("list", f"{path}:make")
        assert (status, out) == (1, "") and err.startswith(f"{path}:3: ended the program while it was loaded")

    @pytest.mark.parametrize("command", [("list",), ("list", "--json"), ("call", "add"), ("run",)])
    @pytest.mark.parametrize(
        "serving",
        [
            "server.run()",
            "import asyncio; from tybalt.transports import stdio_transport\nasync def serve():\n    "
            "await server.serve(await stdio_transport())\nasyncio.run(serve())",
        ],
    )
    def test_a_file_that_serves_while_it_is_loaded_is_refused(
        self, command: tuple[str, ...], serving: str, write: Write
    ) -> None:
        path = write("serving.py", f"server = Server('x')\n{serving}\nprint('loaded')")
        ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
        ended = as_a_process(command[0], str(path), *command[1:], given=ping)
        assert (ended.returncode, ended.stdout) == (1, b"")
        line = 3 if serving == "server.run()" else 5
        told = ended.stderr.decode()
        assert told.startswith(f"{path}:{line}: the standard streams already carry a stdio transport")
        assert told.endswith('call run() only under `if __name__ == "__main__":`\n') and told.count("\n") == 1

    @pytest.mark.parametrize("command", [("run",), ("list",), ("call", "show")])
    def test_the_file_sees_no_arguments_of_ours(self, command: tuple[str, ...], write: Write) -> None:
        source = "import sys\nprint(sys.argv)\nserver = Server('x')\n@server.tool\ndef show(): print(sys.argv)"
        path = write("curious.py", source)
        ended = as_a_process(command[0], str(path), *command[1:])
        seen = [repr([str(path)])] * (2 if command[0] == "call" else 1)
        assert (ended.returncode, ended.stderr.decode().splitlines()) == (0, seen)

    def test_a_tool_reads_the_input_of_its_call(self, write: Write) -> None:
        source = "import sys\nserver = Server('x')\n@server.tool\ndef ask() -> str: return sys.stdin.readline()"
        ended = as_a_process("call", str(write("asking.py", source)), "ask", given=b"seven")
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"seven\n", b"")


class TestAsAProcess:
    def test_a_call(self) -> None:
        ended = as_a_process("call", FILE, "count")
        assert (ended.returncode, ended.stdout, ended.stderr) == (
            0,
            b"counted\n",
            b"",
        )

    def test_a_list_of_a_file_in_the_working_directory(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(Path(FILE).parent)
        ended = as_a_process("list", LIBRARY.name)
        assert (ended.returncode, ended.stderr) == (0, b"")
        assert ended.stdout.startswith(b"TOOL ")

    @pytest.mark.parametrize(
        ("arguments", "status", "told"),
        [
            (("call", "add", "5"), 2, b"tybalt: '5' is no argument"),
            (("call", "refuse"), 4, b"tybalt: error 4242: closed today"),
            (("list", "--no"), 2, b"unrecognized arguments: --no"),
        ],
    )
    def test_the_status_is_that_of_the_process(self, arguments: tuple[str, ...], status: int, told: bytes) -> None:
        command, *more = arguments
        ended = as_a_process(command, FILE, *more)
        assert (ended.returncode, ended.stdout) == (status, b"")
        assert told in ended.stderr

    @pytest.mark.parametrize("command", [("list",), ("list", "--json"), ("call", "add", "a=1")])
    def test_a_reader_that_is_gone_ends_it_without_a_word(self, command: tuple[str, ...]) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        first, *more = command
        try:
            ended = started(first, FILE, *more, stdout=writing, stderr=subprocess.PIPE)
        finally:
            os.close(writing)
        assert (ended.returncode, ended.stderr) == (141, b"")
