"""`tybalt list`: print everything that the server in a file offers, for people or as JSON."""

from typing import Any

from tybalt.cli.interrupt import run_to_end
from tybalt.cli.target import load_idle_server
from tybalt.cli.terminal import answer, json_text, stdout_aside
from tybalt.client.client import Client


def show_list(target: str, *, as_json: bool) -> int:
    """Print `str(server)`, or the lists as a modern client gets them, and return the exit status."""
    with stdout_aside():
        server = load_idle_server(target)
        text = json_text(run_to_end(_lists(server))) if as_json else str(server)
    answer(text)
    return 0


async def _lists(server: Any) -> dict[str, Any]:
    async with Client(server) as client:
        return {
            "tools": await client.list_tools(),
            "resources": await client.list_resources(),
            "resourceTemplates": await client.list_resource_templates(),
            "prompts": await client.list_prompts(),
        }
