"""What a client learns of the tools it is shown: which arguments are header fields too, and which tools are wrong."""

import logging
from typing import Any

import pytest

from tybalt.client.http import mirroring
from tybalt.client.http.mirroring import Mirroring
from tybalt.types.tools import Tool


def tool(name: str, **properties: Any) -> Tool:
    return Tool(name=name, input_schema={"type": "object", "properties": properties})


def mirrored(header: Any, kind: str = "string") -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": header}


def names(tools: list[Tool]) -> list[str]:
    return [each.name for each in tools]


def test_what_is_annotated_is_sent_as_fields() -> None:
    known = Mirroring()
    nested = {"type": "object", "properties": {"id": mirrored("Tenant", "integer")}}
    plain = tool("plain", a={"type": "string"})
    assert names(known.learn([tool("query", region=mirrored("Region"), tenant=nested), plain])) == ["query", "plain"]
    parameters = known.of("query")
    assert parameters is not None
    assert parameters.headers(b'{"region":"eu","tenant":{"id":7}}') == [
        ("Mcp-Param-Region", "eu"),
        ("Mcp-Param-Tenant", "7"),
    ]
    assert parameters.headers(b'{"region":null}') == []
    assert known.of("query") is parameters
    assert (known.of("plain"), known.of("other"), known.of(None)) == (None, None, None)


@pytest.mark.parametrize(
    "broken",
    [
        {"a": mirrored("")},
        {"a": mirrored("Bad Name")},
        {"a": mirrored("X\r\nInjected: 1")},
        {"a": mirrored("Größe")},
        {"a": mirrored(1)},
        {"a": mirrored("A", "number")},
        {"a": mirrored("A", "object")},
        {"a": mirrored("A"), "b": mirrored("a")},
        {"a": {"type": "array", "items": mirrored("A")}},
        {"a": {"anyOf": [mirrored("A")]}},
    ],
)
def test_a_tool_whose_annotations_are_wrong_is_left_out_and_no_other(
    broken: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    known = Mirroring()
    with caplog.at_level(logging.WARNING, "tybalt.client"):
        kept = known.learn([tool("before", a=mirrored("A")), tool("bro\x1bken", **broken), tool("after")])
    assert names(kept) == ["before", "after"]
    assert known.of("bro\x1bken") is None and known.of("before") is not None
    (said,) = caplog.messages
    assert said.startswith(r"the tool bro\x1bken is left out, for its schema is wrong: `x-mcp-header` at $")
    assert said.isprintable()


def test_what_is_said_of_a_wrong_tool_is_short(caplog: pytest.LogCaptureFixture) -> None:
    Mirroring().learn([tool("n" * 10_000, **{"p" * 10_000: mirrored("x y" * 10_000)})])
    assert len(caplog.messages[0]) < 1000


def test_what_was_known_of_a_tool_is_forgotten_when_it_is_shown_again() -> None:
    known = Mirroring()
    known.learn([tool("a", x=mirrored("X")), tool("b", x=mirrored("X")), tool("c", x=mirrored("X"))])
    known.learn([tool("a"), tool("b", y=mirrored("Y"))])
    known.learn([tool("c", x=mirrored("not a name"))])
    assert (known.of("a"), known.of("c")) == (None, None)
    parameters = known.of("b")
    assert parameters is not None and parameters.headers(b'{"x":"1","y":"2"}') == [("Mcp-Param-Y", "2")]


def test_a_list_is_learnt_page_by_page() -> None:
    known = Mirroring()
    known.learn([tool("a", x=mirrored("X"))])
    known.learn([tool("b", x=mirrored("X"))])
    assert known.of("a") is not None and known.of("b") is not None


def test_of_two_tools_of_one_name_the_last_counts() -> None:
    known = Mirroring()
    known.learn([tool("a", x=mirrored("X")), tool("a", x={"type": "string"})])
    assert known.of("a") is None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirroring, "MAX_TOOLS", 3)
    known = Mirroring()
    many = [tool(f"t{number}", x=mirrored("X")) for number in range(10)]
    assert known.learn(many) == many
    assert [each.name for each in many if known.of(each.name)] == ["t7", "t8", "t9"]
