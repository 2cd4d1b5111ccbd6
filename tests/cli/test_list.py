"""`tybalt list`: everything a server offers, and nothing else, on stdout."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import FILE, LOUD, Printed, as_a_process, spoken

TOOLS = [
    "add",
    "show",
    "fail",
    "refuse",
    "crash",
    "blocks",
    "bare",
    "count",
    "tell",
    "paint",
    "read",
    "forever",
    "loud",
]


def test_it_is_what_the_server_is_as_text(printed: Printed) -> None:
    status, out, err = printed("list", FILE)
    assert (status, err) == (0, "")
    assert out.startswith("# library\n\nVersion: 2.0\n\n# Tools\n\n## add\n\nAdd two numbers.\n")
    assert all(f"\n# {title}\n" in out for title in ("Tools", "Resources", "Resource templates", "Prompts"))


def test_json_has_the_four_lists_as_a_client_gets_them(printed: Printed) -> None:
    status, out, err = printed("list", "--json", FILE)
    assert (status, err) == (0, "")
    lists = json.loads(out)
    assert [each["name"] for each in lists["tools"]] == TOOLS
    assert lists["tools"][0]["inputSchema"]["required"] == ["a"]
    assert lists["resources"] == [{"uri": "books://index", "name": "index"}]
    assert lists["resourceTemplates"] == [{"uriTemplate": "books://{isbn}", "name": "book"}]
    assert lists["prompts"] == [{"name": "review", "arguments": [{"name": "language", "required": True}]}]


@pytest.mark.parametrize("eras", ["legacy", "modern"])
def test_what_a_server_has_not_is_an_empty_list(tmp_path: Path, eras: str, printed: Printed) -> None:
    (tmp_path / "empty.py").write_text(f"from tybalt import Server\nserver = Server('x', eras=[{eras!r}])")
    status, out, err = printed("list", str(tmp_path / "empty.py"), "--json")
    assert (status, err) == (0, "")
    assert json.loads(out) == {"tools": [], "resources": [], "resourceTemplates": [], "prompts": []}


def test_what_the_file_writes_goes_to_stderr(write: Write) -> None:
    source = f"{LOUD}\nspeak('loading')\nserver = Server('x').on_startup(lambda: speak('starting'))"
    ended = as_a_process("list", "--json", str(write("loud.py", source)))
    assert ended.returncode == 0
    assert json.loads(ended.stdout) == {"tools": [], "resources": [], "resourceTemplates": [], "prompts": []}
    assert ended.stderr.decode().splitlines() == [*spoken("loading"), *spoken("starting")]


def test_control_characters_are_escaped(write: Write, printed: Printed) -> None:
    path = str(write("red.py", r"server = Server('x', instructions='\x1b[31mred')"))
    status, out, err = printed("list", path)
    assert (status, err) == (0, "") and "\\u001b[31mred" in out and "\x1b" not in out
