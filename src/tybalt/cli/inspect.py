"""`tybalt inspect`: what a server says of itself, and how much it offers."""

from typing import Any

import msgspec

from tybalt.cli.cells import filled
from tybalt.cli.destination import Destination
from tybalt.cli.list import lists_of
from tybalt.cli.statuses import DONE
from tybalt.cli.talk import talk
from tybalt.cli.terminal import answer, json_text
from tybalt.client.client import Client
from tybalt.errors import printable
from tybalt.types.revisions import era_of


def inspect(target: Destination, *, as_json: bool) -> int:
    """Print its name, version, revision, era, capabilities and instructions, and how many of what; as JSON all of it.

    Raises as `talk` does.
    """
    about = talk(target, _about, bounded=True)
    answer(json_text(about) if as_json else _text(about))
    return DONE


async def _about(client: Client) -> dict[str, Any]:
    return {
        "server": client.server_info,
        "revision": client.revision,
        "era": era_of(client.revision),
        "capabilities": client.server_capabilities,
        "instructions": client.instructions,
        **await lists_of(client),
    }


def _text(about: dict[str, Any]) -> str:
    info = about["server"]
    facts = {
        "name": None if info is None else info.name,
        "title": None if info is None else info.title,
        "version": None if info is None else info.version,
        "revision": about["revision"],
        "era": about["era"],
        "capabilities": _capabilities(about["capabilities"]),
        "tools": str(len(about["tools"])),
        "resources": str(len(about["resources"])),
        "templates": str(len(about["resourceTemplates"])),
        "prompts": str(len(about["prompts"])),
    }
    lines = [f"{filled(name, 12)}  {printable(value)}" for name, value in facts.items() if value is not None]
    return "\n".join(lines) + (f"\n\n{about['instructions']}" if about["instructions"] else "")


def _capabilities(capabilities: Any) -> str:
    """`tools (listChanged), logging`: each with what it can do besides."""
    told = [
        name + (f" ({', '.join(sorted(members))})" if members else "")
        for name, members in msgspec.to_builtins(capabilities).items()
    ]
    return ", ".join(told) or "none"
