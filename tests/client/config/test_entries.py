"""Entries as values: what expansion makes of them, what it refuses and where, and that nothing shows a secret."""

import msgspec
import pytest

from tybalt.client.config.entries import AddressEntry, CommandEntry, Place, child_key
from tybalt.client.config.error import ConfigError

ENVIRONMENT = {
    "TOKEN": "hunter2",
    "HOME": "/home/ada",
    "HOST": "h.example",
    "EMPTY": "",
    "NUL": "a\0b",
    "BREAK": "a\r\nb",
}


def test_every_value_of_a_command_is_expanded_and_no_name():
    entry = CommandEntry(
        "${HOME}/bin/server",
        args=("--token=${TOKEN}", "", "${MISSING:-none}"),
        env={"${HOME}": "${HOME}", "KEY": "${env:TOKEN}"},
        cwd="${HOME}/work",
        timeout=3.0,
        other={"description": "${HOME}"},
    )
    made = entry.expanded(ENVIRONMENT)
    assert made.words == ["/home/ada/bin/server", "--token=hunter2", "", "none"]
    assert made.env == {"${HOME}": "/home/ada", "KEY": "hunter2"}
    assert made.cwd == "/home/ada/work"
    assert made.timeout == 3.0 and made.other == {"description": "${HOME}"}
    assert entry.words[0] == "${HOME}/bin/server", "the entry itself stays as it was written"


def test_every_value_of_an_address_is_expanded():
    entry = AddressEntry("https://${HOST}/mcp", headers={"Authorization": " Bearer ${TOKEN} ", "X-Empty": "${EMPTY}"})
    made = entry.expanded(ENVIRONMENT)
    assert made.url == "https://h.example/mcp"
    assert made.headers == {"Authorization": "Bearer hunter2", "X-Empty": ""}
    assert made.transport is None


def test_what_is_expanded_is_not_expanded_again():
    made = CommandEntry("x", args=("${A}",)).expanded({"A": "${B}"})
    assert made.args == ("${B}",)
    assert made.expanded({"B": "stolen"}) is made
    there = AddressEntry("http://h/${A}").expanded({"A": "${B}"})
    assert there.expanded({"B": "stolen"}) is there and there.url == "http://h/${B}"


def test_variables_are_inherited_where_they_are_set_and_give_way():
    entry = CommandEntry("x", inherit=("TOKEN", "HOME", "MISSING"), env={"HOME": "/elsewhere"})
    assert entry.expanded(ENVIRONMENT).env == {"TOKEN": "hunter2", "HOME": "/elsewhere"}


@pytest.mark.parametrize(
    ("url", "transport", "becomes"),
    [
        ("http://localhost:8000/mcp", None, None),
        ("HTTPS://h", "http", "http"),
        ("https://h/sse", "sse", "sse"),
        ("ws://h/mcp", None, "ws"),
        ("WSS://h", "ws", "ws"),
    ],
)
def test_the_transport_of_a_url(url, transport, becomes):
    assert AddressEntry(url, transport=transport).expanded({}).transport == becomes


@pytest.mark.parametrize(
    ("url", "transport", "schemes"),
    [
        ("localhost:8000", None, "http:// or https://"),
        ("http:/h", None, "http:// or https://"),
        ("http://", None, "http:// or https://"),
        ("http:///mcp", None, "http:// or https://"),
        ("http://?x", None, "http:// or https://"),
        ("ftp://h", None, "http:// or https://"),
        ("unix:///tmp/s", "http", "http:// or https://"),
        ("http://h/a b", None, "http:// or https://"),
        ("http://h/\n", None, "http:// or https://"),
        ("ws://h", "http", "http:// or https://"),
        ("ws://h", "sse", "http:// or https://"),
        ("http://h", "ws", "ws:// or wss://"),
    ],
)
def test_what_is_no_url_is_refused(url, transport, schemes):
    with pytest.raises(ConfigError) as caught:
        AddressEntry(url, transport=transport, place=Place(key="mcpServers.a")).expanded({})
    wanted = f"expected a URL that begins with {schemes} and names a host, without blanks"
    assert str(caught.value) == f"mcpServers.a.url: {wanted}"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (CommandEntry("${MISSING}"), "command: the environment variable MISSING is not set"),
        (CommandEntry("x", args=("a", "${MISSING}")), "args[1]: the environment variable MISSING"),
        (CommandEntry("x", env={"A": "${MISSING}"}), "env.A: the environment variable MISSING"),
        (CommandEntry("x", env={"a b": "${MISSING}"}), 'env["a b"]: the environment variable MISSING'),
        (CommandEntry("x", cwd="${MISSING}"), "cwd: the environment variable MISSING"),
        (AddressEntry("${MISSING}"), "url: the environment variable MISSING"),
        (AddressEntry("http://h", headers={"X-Key": "${MISSING}"}), "headers.X-Key: the environment variable MISSING"),
        (CommandEntry("${EMPTY}"), "command: the text is empty once the variables are put in"),
        (CommandEntry("x", cwd="${EMPTY}"), "cwd: the text is empty once the variables are put in"),
        (AddressEntry("${EMPTY}"), "url: the text is empty once the variables are put in"),
        (CommandEntry("x", args=("${NUL}",)), "args[0]: a text with the character NUL can be given to nobody"),
        (CommandEntry("x", env={"A": "a\0b"}), "env.A: a text with the character NUL"),
        (AddressEntry("http://h", headers={"X": "${BREAK}"}), "headers.X: a header is one line; there is a line break"),
    ],
)
def test_what_cannot_be_expanded_is_told_with_its_key(entry, told):
    with pytest.raises(ConfigError) as caught:
        entry.expanded(ENVIRONMENT)
    assert str(caught.value).startswith(told)
    assert caught.value.key == told.partition(": ")[0]
    assert caught.value.__cause__ is None


def test_errors_use_the_names_and_the_file_of_who_wrote_it():
    place = Place("a.json", "mcp.b", {"url": "serverUrl", "env": "environment", "args[0]": "command[1]"})
    assert str(place.error("no", "url")) == "a.json: mcp.b.serverUrl: no"
    assert str(place.error("no", "env.A")) == "a.json: mcp.b.environment.A: no"
    assert str(place.error("no", "args[0]")) == "a.json: mcp.b.command[1]: no"
    assert str(place.error("no", "args[1]")) == "a.json: mcp.b.args[1]: no"
    assert str(place.error("no")) == "a.json: mcp.b: no"
    assert str(Place().error("no", "cwd")) == "cwd: no"


def test_a_name_in_a_path_is_readable_whatever_it_is():
    assert child_key("a", "b-c_1") == "a.b-c_1"
    assert child_key("", "b") == "b"
    assert child_key("a", "b.c") == 'a["b.c"]'
    assert child_key("a", 'b"c') == 'a["b\\"c"]'
    assert child_key("a", "\x1b[31m") == r"a['\x1b[31m']"
    assert child_key("a", "\udc80") == r"a['\udc80']"
    assert len(child_key("a", "b" * 5_000)) < 120


SECRET = CommandEntry("x", args=("--key", "hunter2"), env={"KEY": "hunter2"}, other={"token": "hunter2"})
KEPT = AddressEntry(
    "https://h/hunter2/mcp?key=hunter2", headers={"Authorization": "hunter2"}, other={"oauth": "hunter2"}
)


def test_nothing_shows_a_secret():
    assert repr(SECRET) == "CommandEntry(command='x', args=('…', '…'), env={'KEY': '…'}, other={'token': '…'})"
    assert repr(KEPT) == "AddressEntry(url='https://h/…', headers={'Authorization': '…'}, other={'oauth': '…'})"
    assert "hunter2" not in f"{SECRET} {SECRET.__rich_repr__()} {KEPT} {KEPT.__rich_repr__()} {[SECRET, KEPT]}"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://h:8000", "https://h:8000"),
        ("https://h/", "https://h/…"),
        ("https://h?key=s", "https://h/…"),
        ("https://h#s", "https://h/…"),
        ("https://u:s@h/x", "https://…"),
        ("https://u:s/s@h", "https://…"),
        ("https://u:s?s@h", "https://…"),
        ("${URL}", "…"),
        ("https://${HOST}/${PATH}", "https://${HOST}/…"),
    ],
)
def test_of_a_url_only_the_host_is_shown(url, shown):
    assert repr(AddressEntry(url)) == f"AddressEntry(url={shown!r})"


def test_entries_are_values():
    assert CommandEntry("x", args=("a",)) == CommandEntry("x", args=("a",))
    assert CommandEntry("x") != AddressEntry("x")
    with pytest.raises(AttributeError):
        SECRET.command = "y"
    match msgspec.json.decode(b'{"type": "address", "url": "http://h"}', type=CommandEntry | AddressEntry):
        case AddressEntry(url=url):
            assert url == "http://h"
        case _:
            raise AssertionError
