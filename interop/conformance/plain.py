"""What answers at once: every kind of content, a failure, a mirrored argument; resources, a template, and prompts."""

from __future__ import annotations

from base64 import b64decode
from typing import Annotated

from msgspec import Meta

from tybalt import Audio, File, Image, Message, ToolError, prompt, resource, tool

PNG = b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==")
"""One pixel."""
WAV = b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=")
"""One sample."""


@tool
async def test_simple_text() -> str:
    """Text."""
    return "This is a simple text response for testing."


@tool
async def test_image_content() -> Image:
    """A picture; its media type is told by its first bytes."""
    return Image(PNG)


@tool
async def test_audio_content() -> Audio:
    """A sound."""
    return Audio(WAV)


@tool
async def test_embedded_resource() -> File:
    """A resource that comes with the answer."""
    return File("This is an embedded resource content.", uri="test://embedded-resource", mime_type="text/plain")


@tool
async def test_multiple_content_types() -> list[str | Image | File]:
    """Several kinds of content in one answer."""
    data = File('{"test":"data","value":123}', uri="test://mixed-content-resource", mime_type="application/json")
    return ["Multiple content types test:", Image(PNG), data]


@tool
async def test_error_handling() -> str:
    """A failure that the model is told."""
    raise ToolError("This tool intentionally returns an error for testing")


ADDRESS = {
    "$anchor": "addressDef",
    "type": "object",
    "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
}


@tool(
    input_schema={
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": ADDRESS},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
)
async def json_schema_2020_12_tool(
    name: str = "",
    address: dict[str, str] | None = None,
    contactMethod: str = "",  # noqa: N803 (the suite names it)
    phone: str = "",
    email: str = "",
) -> str:
    """Says more in its schema than annotations can."""
    return f"{name}: {phone or email}"


@tool
async def test_x_mcp_header(
    region: Annotated[str, Meta(description="A part of the world.", extra_json_schema={"x-mcp-header": "Region"})],
) -> str:
    """An argument that HTTP clients say in a header too, for whoever routes requests without reading them."""
    return f"region={region}"


@resource("test://static-text", mime_type="text/plain", ttl=60, scope="public")
async def static_text() -> str:
    """Text that any client may keep for a minute."""
    return "This is the content of the static text resource."


@resource("test://static-binary", mime_type="image/png")
async def static_binary() -> bytes:
    """Bytes."""
    return PNG


@resource("test://template/{id}/data", mime_type="application/json")
async def template_data(id: str) -> dict[str, str | bool]:
    """A family of resources, one for each id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


@resource("test://watched-resource", mime_type="text/plain")
async def watched() -> str:
    """A resource to subscribe to."""
    return "Watched resource content."


@prompt
async def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@prompt
async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments; a client can complete the first."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@prompt
async def test_prompt_with_embedded_resource(resourceUri: str) -> list[File | str]:  # noqa: N803  the suite's name
    """A prompt with a resource in it, of the URI that the client names."""
    return [
        File("Embedded resource content for testing.", uri=resourceUri, mime_type="text/plain"),
        "Please process the embedded resource above.",
    ]


@prompt
async def test_prompt_with_image() -> list[Message]:
    """A prompt with a picture in it."""
    return [Message(Image(PNG)), Message("Please analyze the image above.")]


TOOLS = [
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    json_schema_2020_12_tool,
    test_x_mcp_header,
]
RESOURCES = [static_text, static_binary, template_data, watched]
PROMPTS = [
    test_simple_prompt,
    test_prompt_with_arguments,
    test_prompt_with_embedded_resource,
    test_prompt_with_image,
]
