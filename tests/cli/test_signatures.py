"""The arguments of a tool and a prompt in a line."""

from typing import Any

import pytest

from tybalt.cli.signatures import prompt_signature, required_of, tool_signature
from tybalt.types.prompts import Prompt, PromptArgument
from tybalt.types.tools import Tool


@pytest.mark.parametrize(
    ("schema", "signature", "required"),
    [
        (
            {"properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}}, "required": ["a", "z", 7]},
            "a: integer, b?: string | null",
            ["a"],
        ),
        ({"properties": {"a": {}}, "required": "a"}, "a?: any", []),
        ({"properties": [], "required": ["a"]}, "", []),
        ({}, "", []),
    ],
    ids=str,
)
def test_of_a_tool(schema: dict[str, Any], signature: str, required: list[str]) -> None:
    tool = Tool(name="lend", input_schema={"type": "object", **schema})
    assert tool_signature(tool) == signature
    assert list(required_of(tool)) == required


def test_of_a_prompt() -> None:
    arguments = [PromptArgument(name="a", required=True), PromptArgument(name="b")]
    assert prompt_signature(Prompt(name="review", arguments=arguments)) == "a, b?"
    assert prompt_signature(Prompt(name="review")) == ""
