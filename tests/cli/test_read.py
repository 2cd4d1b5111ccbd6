"""`tybalt read`: bytes as they are, but never to a terminal."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Write
from tests.cli.processes import SHOP, Printed, as_a_process
from tests.cli.terminals import terminal

LOGO = b"\x89PNG\x00\xff\n"
TERMS = b"pay\x1b[31m\nfirst"
TERMS_AS_JSON = {"uri": "shop://terms", "mimeType": "text/plain", "text": TERMS.decode()}


@pytest.mark.parametrize(("uri", "content"), [("shop://logo", LOGO), ("shop://terms", TERMS)])
@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_what_is_no_terminal_gets_the_bytes_and_nothing_else(uri: str, content: bytes, era: str) -> None:
    ended = as_a_process("read", SHOP, uri, "--era", era)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, content, b"")


def test_a_terminal_gets_text_that_does_not_steer_it() -> None:
    with terminal("read", SHOP, "shop://terms", on_stdout=True) as person:
        assert person.end()[0] == 0
    assert person.seen == "pay\\u001b[31m\nfirst\n"


def test_a_terminal_gets_nothing_binary() -> None:
    with terminal("read", SHOP, "shop://logo", on_stdout=True) as person:
        assert person.end()[0] == 2
    how = "give --output FILE, or redirect stdout"
    assert person.seen == f"tybalt: shop://logo is image/png, 7 bytes, and stdout is a terminal; {how}\n"


def test_a_file_gets_the_bytes(tmp_path: Path, printed: Printed) -> None:
    path = tmp_path / "logo.png"
    assert printed("read", SHOP, "shop://logo", "--output", str(path)) == (0, "", "")
    assert path.read_bytes() == LOGO
    assert printed("read", SHOP, "shop://terms", "--output", str(path), "--json") == (0, "", "")
    assert json.loads(path.read_bytes()) == {"contents": [TERMS_AS_JSON]}


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, printed: Printed) -> None:
    told = f"tybalt: --output {tmp_path}: Is a directory\n"
    assert printed("read", SHOP, "shop://logo", "--output", str(tmp_path)) == (2, "", told)


def test_json_is_all_that_came(printed: Printed) -> None:
    status, out, _ = printed("read", SHOP, "shop://logo", "--json")
    assert status == 0
    assert json.loads(out) == {"contents": [{"uri": "shop://logo", "mimeType": "image/png", "blob": "iVBORwD/Cg=="}]}


def test_several_contents_follow_each_other(write: Write) -> None:
    source = (
        "from tybalt import ResourceContents\nserver = Server('x')\n@server.resource('x://all')\ndef all_of_them():\n"
        "    return [ResourceContents(uri='x://1', text='one\\n'), ResourceContents(uri='x://2', blob='AAE=')]"
    )
    assert as_a_process("read", str(write("several.py", source)), "x://all").stdout == b"one\n\x00\x01"


def test_what_is_no_base64_is_an_answer_that_is_none(write: Write, printed: Printed) -> None:
    source = (
        "from tybalt import ResourceContents\nserver = Server('x')\n@server.resource('x://bad')\ndef bad():\n"
        "    return ResourceContents(uri='x://\\x1b', blob='%')"
    )
    status, out, err = printed("read", str(write("bad.py", source)), "x://bad", "--output", "nowhere")
    assert (status, out) == (4, "") and err.startswith("tybalt: the contents of x://\\x1b are no base64: ")


def test_a_resource_that_is_not_there_is_an_error_of_the_server(printed: Printed) -> None:
    assert printed("read", SHOP, "shop://cellar") == (
        4,
        "",
        "tybalt: error -32602: Resource not found: shop://cellar\n",
    )
