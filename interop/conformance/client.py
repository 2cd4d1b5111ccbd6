"""The program that the suite starts for each of its scenarios for clients: one connection, and what is said over it.

    python -m interop.conformance.client known http://127.0.0.1:8000/mcp

With `known`, it knows the era of the server that it is to connect to; with `auto`, it finds it out. The suite says in
variables which scenario it is, which revision its server speaks, and, where there is some, what else is to be known
(`MCP_CONFORMANCE_CONTEXT`, JSON). What a scenario does not see, such as what came back, is asserted here: the program
then ends with another status than 0.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tybalt import Client
from tybalt.types.elicitation import ElicitRequestParams
from tybalt.types.tools import Tool

MODERN = "2026-07-28"

Scenario = Callable[[Client, Mapping[str, Any]], Awaitable[None]]


async def initialize(client: Client, _: Mapping[str, Any]) -> None:
    """Connects, and lists tools; so do scenarios that look at nothing else."""
    await client.list_tools()


async def tools_call(client: Client, _: Mapping[str, Any]) -> None:
    """Calls a tool that it has found in the list."""
    assert [each.name for each in await client.list_tools()] == ["add_numbers"]
    assert await client.call("add_numbers", a=5, b=3) == "The sum of 5 and 3 is 8"


async def elicitation_defaults(client: Client, _: Mapping[str, Any]) -> None:
    """Is asked by a tool, and leaves every field of the form as it is."""
    await client.call("test_client_elicitation_defaults")


async def sse_retry(client: Client, _: Mapping[str, Any]) -> None:
    """Calls a tool whose answer comes after its stream has been closed."""
    assert await client.call("test_reconnection") == "Reconnection test completed successfully"


async def standard_headers(client: Client, _: Mapping[str, Any]) -> None:
    """Sends a request of every kind that a server of 2026-07-28 knows by a name."""
    for tool in await client.list_tools():
        await client.call_tool(tool.name)
    for resource in await client.list_resources():
        await client.read_resource(resource.uri)
    for prompt in await client.list_prompts():
        await client.get_prompt(prompt.name)


async def custom_headers(client: Client, context: Mapping[str, Any]) -> None:
    """Calls tools, which it has listed, with the arguments that it is given."""
    await client.list_tools()
    for call in context["toolCalls"]:
        await client.call_tool(call["name"], call["arguments"])


async def invalid_tool_headers(client: Client, _: Mapping[str, Any]) -> None:
    """Calls every tool that there is in the list, in which the invalid ones should not be."""
    for tool in await client.list_tools():
        await client.call_tool(tool.name, made_up(tool))


async def preservation(client: Client, _: Mapping[str, Any]) -> None:
    """Sends the schema of a tool back as it came."""
    schemas = {each.name: each.input_schema for each in await client.list_tools()}
    await client.call("json_schema_echo", schema=schemas["json_schema_2020_12_tool"])


async def request_state(client: Client, _: Mapping[str, Any]) -> None:
    """Calls a tool that asks and remembers, one that asks and does not, and another one while each of them waits."""
    assert await client.call("test_mrtr_echo_state") == "echo-state-ok"
    assert await client.call("test_mrtr_no_state") == "no-state-ok"
    assert await client.call("test_mrtr_no_result_type") == "no-result-type-test-ok"


SCENARIOS: dict[str, Scenario] = {
    "initialize": initialize,
    "tools_call": tools_call,
    "elicitation-sep1034-client-defaults": elicitation_defaults,
    "sse-retry": sse_retry,
    "request-metadata": initialize,
    "http-standard-headers": standard_headers,
    "http-custom-headers": custom_headers,
    "http-invalid-tool-headers": invalid_tool_headers,
    "json-schema-ref-no-deref": initialize,
    "json-schema-2020-12-preservation": preservation,
    "sep-2322-client-request-state": request_state,
}


def made_up(tool: Tool) -> dict[str, Any]:
    """Arguments of the types that a tool names."""
    examples = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "array": [], "object": {}}
    fields: Mapping[str, Any] = tool.input_schema.get("properties", {})
    return {name: examples.get(each.get("type")) for name, each in fields.items()}


async def main(era: str, url: str, scenario: str, revision: str, context: Mapping[str, Any]) -> None:
    """Connect to the suite's server, able to do everything, and do what the scenario asks for."""

    async def fill_in(question: ElicitRequestParams) -> dict[str, Any]:
        if scenario == "sep-2322-client-request-state":
            # Between two rounds of one request, another one knows nothing of it.
            assert await client.call("test_mrtr_unrelated") == "unrelated-ok"
            return {"confirmed": True}
        fields: Mapping[str, Any] = (question.requested_schema or {}).get("properties", {})
        return {name: each["default"] for name, each in fields.items() if "default" in each}

    client = Client(
        url,
        era="auto" if era == "auto" else "modern" if revision == MODERN else "legacy",
        timeout=15,
        on_elicit=fill_in,
        on_sample=lambda _: "a text",
        roots=["file:///conformance"],
    )
    async with client:
        await SCENARIOS[scenario](client, context)


if __name__ == "__main__":
    asyncio.run(
        main(
            *sys.argv[1:],
            os.environ["MCP_CONFORMANCE_SCENARIO"],
            os.environ["MCP_CONFORMANCE_PROTOCOL_VERSION"],
            json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}")),
        )
    )
