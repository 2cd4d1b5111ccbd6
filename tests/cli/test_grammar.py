"""How the line is read: where a command stands behind `--`, and what is loaded for that."""

import subprocess
import sys

import pytest

from tests.cli.processes import SOURCE
from tybalt.cli.grammar import parsed


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("call x.py add a=1", {"target": "x.py", "tool": "add", "arguments": ["a=1"], "launched": None}),
        ("call add a=1 -- npx -y server", {"tool": "add", "arguments": ["a=1"], "launched": ("npx", "-y", "server")}),
        ("call --json add -- x --json", {"tool": "add", "json": True, "launched": ("x", "--json")}),
        ("call add -- x -- y", {"tool": "add", "arguments": [], "json": False, "launched": ("x", "--", "y")}),
        ("list -- x", {"launched": ("x",)}),
        ("list --config f x", {"target": "x", "config": "f", "launched": None}),
        ("read -- -x", None),
        ("read a://b --answer a=1 --answers f --answer b=2 -- x", {"uri": "a://b", "answer": ["a=1", "b=2"]}),
        ("get x.py p a=1 --token-env T --header A:b --header C:d b=2", {"headers": ["A:b", "C:d"], "token": None}),
        ("run x.py -- ", None),
        ("inspect x.py --answer a=1", None),
    ],
)
def test_what_is_read(words: str, expected: "dict[str, object] | None") -> None:
    if expected is None:
        with pytest.raises(SystemExit):
            parsed(words.split(" "))
        return
    first, *others = words.split()
    line = vars(parsed([first, *others]))
    assert line["command"] == first and expected.items() <= line.items()
    assert ("target" in line) == (line["launched"] is None)


@pytest.mark.parametrize("words", [["--help"], ["call", "--help"], ["--version"]])
def test_a_question_about_the_command_line_loads_neither_client_nor_server(words: list[str]) -> None:
    source = (
        "import sys\nfrom tybalt.cli import main\ntry:\n    main(sys.argv[1:])\nexcept SystemExit:\n"
        "    sys.stderr.write(' '.join(sys.modules))"
    )
    command = [sys.executable, "-c", source, *words]
    ended = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True)
    loaded = ended.stderr.split()
    layers = (
        "asyncio",
        "ssl",
        "tybalt.client",
        "tybalt.server",
        "tybalt.protocol",
        "tybalt.types",
        "tybalt.transports",
    )
    assert "tybalt.cli.main" in loaded and not [name for name in loaded if name.startswith(layers)]
    assert ended.stdout
