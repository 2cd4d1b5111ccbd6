"""`tybalt list`: everything a server offers, and nothing else, on stdout."""

import json
import re
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


def test_it_is_a_table_of_each_kind(printed: Printed) -> None:
    status, out, err = printed("list", FILE)
    assert (status, err) == (0, "")
    tools, *others = out.split("\n\n")
    assert tools.splitlines()[0].split() == ["TOOL", "ARGUMENTS", "DESCRIPTION"]
    assert re.fullmatch("add +a: integer, b\\?: integer +Add two numbers.", tools.splitlines()[1])
    assert [line.split()[0] for line in tools.splitlines()[1:]] == TOOLS
    assert others == [
        "RESOURCE       NAME   TYPE  DESCRIPTION\nbooks://index  index",
        "TEMPLATE        NAME  TYPE  DESCRIPTION\nbooks://{isbn}  book",
        "PROMPT  ARGUMENTS  DESCRIPTION\nreview  language\n",
    ]


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


def test_what_is_not_printable_is_escaped(write: Write, printed: Printed) -> None:
    source = "server = Server('x')\n@server.tool(name='red', description='\\x1b[31mred\\u202e\\nmore')\ndef red(): ..."
    assert printed("list", str(write("red.py", source))) == (
        0,
        "TOOL  ARGUMENTS  DESCRIPTION\nred              \\x1b[31mred\\u202e\n",
        "",
    )


def test_a_server_without_anything_says_so_to_the_person(write: Write, printed: Printed) -> None:
    told = "x offers no tools, no resources and no prompts\n"
    assert printed("list", str(write("empty.py", "server = Server('x')"))) == (0, "", told)
