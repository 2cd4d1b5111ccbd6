"""A server written with the official Python SDK, for our client to use: what our example has, as far as it can."""

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import Completion

server = MCPServer("foreign", version="1.0.0", instructions="A foreign server.", log_level="ERROR")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Say no."""
    raise ToolError("No.")


@server.tool()
async def count(context: Context, to: int, pause: float = 0.0) -> str:
    """Count up, with progress and log messages."""
    for step in range(1, to + 1):
        await context.report_progress(step, to, f"step {step}")
        await context.info(f"counted {step}")
        await anyio.sleep(pause)
    return f"counted to {to}"


@server.resource("config://settings", mime_type="application/json")
def settings() -> str:
    """Settings as JSON."""
    return '{"theme":"dark"}'


@server.resource("users://{id}/profile", mime_type="application/json")
def profile(id: str) -> str:
    """The profile of one user."""
    return '{"id":%s}' % id  # noqa: UP031  braces all around


@server.prompt()
def review(code: str, language: str = "python") -> str:
    """Ask for a review of some code."""
    return f"Please review this {language} code: {code}"


@server.completion()
async def languages(_reference: object, argument: object, _context: object) -> Completion | None:
    """Suggestions for the prompt's `language`."""
    known = [name for name in ("python", "pascal", "ruby") if name.startswith(argument.value)]
    return Completion(values=known) if argument.name == "language" else None


if __name__ == "__main__":
    server.run()
