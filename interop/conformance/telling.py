"""What says something while it runs: log messages, progress, and a stream that ends before its call does."""

from __future__ import annotations

import asyncio

from tybalt import Context, tool

MOMENT = 0.05
"""Seconds between two messages: the suite wants to see that they do not come together."""


@tool
async def test_tool_with_logging(context: Context) -> str:
    """Three log messages; they go to clients that have asked for this level."""
    await context.info("Tool execution started")
    await asyncio.sleep(MOMENT)
    await context.info("Tool processing data")
    await asyncio.sleep(MOMENT)
    await context.info("Tool execution completed")
    return "The tool has logged three messages."


@tool
async def test_logging_tool(context: Context) -> str:
    """One log message; a modern client gets it only if its request names a level."""
    await context.info("This is for those who want to know.")
    return "The tool has logged one message."


@tool
async def test_tool_with_progress(context: Context) -> str:
    """Progress in three steps; it goes to a client whose request has a progress token."""
    for step in (0, 50, 100):
        await context.report_progress(step, 100, f"Completed step {step} of 100")
        await asyncio.sleep(MOMENT)
    return "All 100 steps are completed."


@tool
async def test_reconnection(context: Context) -> str:
    """Ends its stream and works on; the client comes back for what was said since, by the id of the last event."""
    context.close_stream()
    await asyncio.sleep(2 * MOMENT)
    return "You have come back."


TOOLS = [test_tool_with_logging, test_logging_tool, test_tool_with_progress, test_reconnection]
