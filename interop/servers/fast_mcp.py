"""A server written with FastMCP, for our client to use over HTTP: what `python_sdk.py` has, in its words."""

from __future__ import annotations

import asyncio
import json

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from mcp_types import PromptReference

server = FastMCP("foreign", version="1.0.0", instructions="A foreign server.")


@server.tool
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@server.tool
def fail() -> str:
    """Say no."""
    raise ToolError("No.")


@server.tool
async def count(context: Context, to: int, pause: float = 0.0) -> str:
    """Count up, with progress and log messages."""
    for step in range(1, to + 1):
        await context.report_progress(step, to, f"step {step}")
        await context.info(f"counted {step}")
        await asyncio.sleep(pause)
    return f"counted to {to}"


@server.resource("config://settings", mime_type="application/json")
def settings() -> str:
    """Settings as JSON."""
    return '{"theme":"dark"}'


@server.resource("users://{id}/profile", mime_type="application/json")
def profile(id: str) -> str:
    """The profile of one user."""
    return json.dumps({"id": int(id)}, separators=(",", ":"))


@server.prompt
def review(code: str, language: str = "python") -> str:
    """Ask for a review of some code."""
    return f"Please review this {language} code: {code}"


@server.completion
def languages(reference: object, argument: object, _context: object) -> list[str] | None:
    """Suggestions for the prompt's `language`."""
    known = [name for name in ("python", "pascal", "ruby") if name.startswith(argument.value)]
    return known if isinstance(reference, PromptReference) and argument.name == "language" else None


APPLICATIONS = {"foreign": server.http_app}
