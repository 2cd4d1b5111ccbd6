"""Files: which are JSON and which TOML, what is wrong with one, and that no complaint repeats what stands in it."""

import os
import traceback

import pytest

from tybalt.client.config.document import MAX_JSON, MAX_TOML, read_document
from tybalt.client.config.error import ConfigError
from tybalt.errors import MisuseError

SERVER = {"mcpServers": {"a": {"command": "x"}}}
JSON = '{"mcpServers": {"a": {"command": "x"}}}'
JSONC = '// of an editor\n{"mcpServers": {"a": {"command": "x",},},}'
TOML = '# of Codex\n[mcpServers.a]\ncommand = "x"\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", JSON),
        ("a.JSON", JSONC),
        ("a.jsonc", JSONC),
        ("a.json5", JSONC),
        ("a.toml", TOML),
        # Where the name says nothing, what is in the file does.
        ("config", JSON),
        (".mcp", "\n  " + JSON),
        ("a.conf", JSONC),
        ("config", "/* c */" + JSON),
        ("config", TOML),
        ("a.conf", "[mcpServers.a]\ncommand = 'x'"),
    ],
)
def test_json_and_toml_are_told_apart(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert read_document(tmp_path / name) == SERVER
    assert read_document(str(tmp_path / name)) == SERVER


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    for name, text in (("a.json", JSON), ("a.toml", TOML), ("a", JSON)):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
        assert read_document(tmp_path / name) == SERVER


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", b"", "not JSON: Input data was truncated"),
        ("a.json", b"[1]", "expected an object, got a list"),
        ("a.json", b"null", "expected an object, got null"),
        ("a.json", b'{\n  "a": 1\n  "b": 2\n}', "not JSON: JSON is malformed: expected ',' or '}' (line 3, column 3)"),
        ("a.json", '{"ä": x}'.encode(), "not JSON: JSON is malformed: invalid character (line 1, column 7)"),
        (
            "a.jsonc",
            b"{ // c\n  /* d */ , }",
            "not JSON: JSON is malformed: object keys must be strings (line 2, column 11)",
        ),
        ("a.json", b'{"a": \xff}', "not UTF-8: byte 6 is 0xff"),
        ("a.json", b"[" * 1000, "the file is nested 1,000 levels deep; at most 128 are accepted"),
        ("a.toml", b"a = ", "not TOML: Invalid value (at end of document)"),
        ("a.toml", b"a = 1\nb 2\n", "not TOML: Expected '=' after a key in a key/value pair (at line 2, column 3)"),
        ("a.toml", b"a = " + b"[" * 5000, "not TOML that can be read: it is nested too deep"),
        ("a.toml", b"#" * (MAX_TOML + 1), "the TOML has more than 1,048,576 characters"),
        ("a.json", b" " * (MAX_JSON + 1), "the file has more than 16,777,216 bytes"),
        ("a.yaml", b"extensions: {}", "YAML is not read here; load it yourself, and give it to MCPConfig.of(…)"),
        ("a.yml", b"", "YAML is not read here"),
    ],
)
def test_what_is_wrong_is_told_with_the_file_and_the_place(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    assert str(caught.value).startswith(f"{path}: {told}")
    assert caught.value.source == str(path) and caught.value.key == ""


def test_a_file_that_is_not_there_and_one_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read: No such file or directory$"):
        read_document(tmp_path / "none.json")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_document(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read: embedded null byte"):
        read_document("a\0.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ConfigError, match="expected a regular file, not a pipe or a device"):
        read_document(tmp_path / "pipe.json")


@pytest.mark.parametrize("path", [None, 7, {"mcpServers": {}}, b"a.json"])
def test_what_is_no_path_is_misuse(path):
    with pytest.raises(MisuseError, match=r"expected the path of a file, got .*; a mapping is given to `MCPConfig.of`"):
        read_document(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b'{"env": {"KEY": "hunter2" "x"}}'),
        ("a.json", b'{"env": {"KEY": "hunter2\xff"}}'),
        ("a.json", b'{"env": {"KEY": hunter2}}'),
        ("a.toml", b'KEY = "hunter2" x'),
        ("a.toml", b"KEY = hunter2"),
        ("a.toml", b'KEY = "hunter2\xff"'),
    ],
)
def test_no_complaint_holds_the_text(tmp_path, name, content):
    """Not even as its cause or its context, which reporters of errors show with all that is in them."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_document(tmp_path / name)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is None and caught.value.__context__ is None
