"""`tybalt list`: everything that a server offers, as tables for people or as JSON."""

import sys
from typing import Any

from tybalt.cli.destination import Destination
from tybalt.cli.signatures import prompt_signature, tool_signature
from tybalt.cli.statuses import DONE
from tybalt.cli.table import table
from tybalt.cli.talk import name_of, talk
from tybalt.cli.terminal import answer, is_terminal, json_text, note, width_of
from tybalt.client.client import Client
from tybalt.types.prompts import Prompt
from tybalt.types.resources import Resource, ResourceTemplate
from tybalt.types.tools import Tool

Lists = dict[str, list[Any]]
"""By the names that they have on the wire: `tools`, `resources`, `resourceTemplates`, `prompts`."""


def show_list(target: Destination, *, as_json: bool) -> int:
    """Print the tables of what there is, or the four lists as JSON. Raises as `talk` does."""
    name, lists = talk(target, _named_lists, bounded=True)
    if as_json:
        answer(json_text(lists))
    elif any(lists.values()):
        answer(_tables(lists).rstrip("\n"))
    else:
        note(f"{name} offers no tools, no resources and no prompts")
    return DONE


async def lists_of(client: Client) -> Lists:
    """The four lists; empty where the server has none."""
    return {
        "tools": await client.list_tools(),
        "resources": await client.list_resources(),
        "resourceTemplates": await client.list_resource_templates(),
        "prompts": await client.list_prompts(),
    }


async def _named_lists(client: Client) -> tuple[str, Lists]:
    return name_of(client), await lists_of(client)


def _tables(lists: Lists) -> str:
    width = width_of(sys.stdout) if is_terminal(sys.stdout) else None
    parts = [
        table(titles, [row(each) for each in lists[kind]], width=width)
        for kind, (titles, row) in _ROWS.items()
        if lists[kind]
    ]
    return "\n".join(parts)


def _tool(tool: Tool) -> list[str]:
    return [tool.name, tool_signature(tool), _told(tool)]


def _resource(resource: Resource) -> list[str]:
    return [resource.uri, resource.name, resource.mime_type or "", _told(resource)]


def _template(template: ResourceTemplate) -> list[str]:
    return [template.uri_template, template.name, template.mime_type or "", _told(template)]


def _prompt(prompt: Prompt) -> list[str]:
    return [prompt.name, prompt_signature(prompt), _told(prompt)]


_ROWS: dict[str, tuple[list[str], Any]] = {
    "tools": (["TOOL", "ARGUMENTS", "DESCRIPTION"], _tool),
    "resources": (["RESOURCE", "NAME", "TYPE", "DESCRIPTION"], _resource),
    "resourceTemplates": (["TEMPLATE", "NAME", "TYPE", "DESCRIPTION"], _template),
    "prompts": (["PROMPT", "ARGUMENTS", "DESCRIPTION"], _prompt),
}


def _told(entry: Tool | Resource | ResourceTemplate | Prompt) -> str:
    return entry.description or entry.title or ""
