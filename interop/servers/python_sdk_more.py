"""A server written with the official Python SDK that asks, changes, and notices that nobody waits any more.

`APPLICATIONS` are the ways in which the SDK serves over HTTP: with sessions, over the HTTP+SSE of 2024-11-05, with
nothing but answers, and with streams that can be gone on with.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
from mcp.server.mcpserver import Context
from mcp.server.streamable_http import EventMessage, EventStore
from mcp_types import ElicitRequest, ElicitRequestFormParams, InputRequiredResult
from pydantic import BaseModel

from interop.servers.python_sdk import server

__all__ = ["APPLICATIONS", "server"]

RETRY = 50
"""Milliseconds after which clients may come again."""


class Order(BaseModel):
    """What the user is asked for."""

    size: int


given_up: list[str] = []


@server.tool()
async def order(context: Context) -> str | InputRequiredResult:
    """Ask how much, while it runs in legacy, and by returning the question in modern."""
    if context.protocol_version != "2026-07-28":
        answer = await context.elicit("How much?", Order)
        return f"{answer.data.size} ordered" if answer.action == "accept" else f"a {answer.action}"
    if not context.input_responses:
        params = ElicitRequestFormParams(message="How much?", requested_schema=Order.model_json_schema())
        return InputRequiredResult(input_requests={"size": ElicitRequest(params=params)}, request_state="asked")
    answer = context.input_responses["size"]
    return f"{answer.content['size']} ordered" if answer.action == "accept" else f"a {answer.action}"


@server.tool()
async def grow(context: Context) -> str:
    """Tell whoever listens that the list of tools has changed."""
    await context.notify_tools_changed()
    await context.session.send_tool_list_changed()
    return "grown"


@server.tool()
async def linger(context: Context, name: str) -> str:
    """Wait for ever."""
    try:
        await context.report_progress(1, 2)
        await anyio.sleep_forever()
    finally:
        given_up.append(name)
    return "never"


@server.tool()
async def left() -> list[str]:
    """The calls of `linger` that were given up."""
    return given_up


@server.tool()
async def poll(context: Context) -> str:
    """Report twice and answer, with the stream closed in between: the client has to come for the rest."""
    await context.report_progress(1, 2)
    await context.close_sse_stream()
    await context.report_progress(2, 2)
    return "polled"


class Events(EventStore):
    """Keeps all that was said on every stream; the id of an event is its number."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        """Keep a message, or none: the first event of a stream is empty."""
        self._events.append((stream_id, message))
        return str(len(self._events) - 1)

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str:
        """Send again what was said on the stream of an event, after it."""
        stream, _ = self._events[int(last_event_id)]
        for number, (other, message) in list(enumerate(self._events))[int(last_event_id) + 1 :]:
            if other == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


APPLICATIONS = {
    "foreign": server.streamable_http_app,
    "foreign-sse": server.sse_app,
    "foreign-json": partial(server.streamable_http_app, json_response=True, stateless_http=True),
    "foreign-resumable": partial(server.streamable_http_app, event_store=Events(), retry_interval=RETRY),
}
