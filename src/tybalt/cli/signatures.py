"""The arguments of a tool and of a prompt in a line: `a: integer, b?: integer`."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tybalt.server.display import type_name
from tybalt.types.prompts import Prompt
from tybalt.types.tools import Tool


def tool_signature(tool: Tool) -> str:
    """Each argument with its type; those that may be left out have a question mark."""
    schema = tool.input_schema
    properties = _properties(schema)
    needed = required_of(tool)
    each = properties.items()
    return ", ".join(f"{name}{'' if name in needed else '?'}: {type_name(kind, schema)}" for name, kind in each)


def prompt_signature(prompt: Prompt) -> str:
    """Each argument, all of which are texts; those that may be left out have a question mark."""
    return ", ".join(each.name if each.required else f"{each.name}?" for each in prompt.arguments or ())


def required_of(tool: Tool) -> Sequence[str]:
    """The arguments that a tool has and needs, by its input schema."""
    listed: Any = tool.input_schema.get("required")
    needed = cast("list[Any]", listed) if isinstance(listed, list) else []
    return [name for name in _properties(tool.input_schema) if name in needed]


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    properties: Any = schema.get("properties")
    return cast("Mapping[str, Any]", properties) if isinstance(properties, dict) else {}
