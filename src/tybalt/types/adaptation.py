"""Bringing a value written in the newest shape into the shape of one revision.

`adapt` drops the members that revision does not know (`history.py`), wraps what it wants as an object
(`output_schema.py`), and says in other words what it has no words for: each rule below does that for one noun. What
cannot be said without changing its meaning raises. It is not on the path of a modern call: those results are encoded
as they are. Lists and handshake answers are adapted once and kept by their owner.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import fields, replace

from tybalt.types.base import Wire
from tybalt.types.content import AudioContent, EmbeddedResource, ResourceLink, TextContent
from tybalt.types.history import (
    BLOCKS,
    FIELDS,
    LEGACY_ONLY,
    MODERN_DEFAULTS,
    MODERN_ONLY,
    OBJECT_OUTPUT,
    SINCE_2025_11_25,
    TYPES,
    within,
)
from tybalt.types.output_schema import RESULT, object_schema, plain_properties
from tybalt.types.resources import ResourceContents

Members = dict[str, Any]


def adapt(value: Any, revision: str, *, wrapped: bool | None = None) -> Any:
    """`value` as JSON builtins valid in `revision`.

    `value` is a Struct of `tybalt.types`, or a list or dict of them; other values become builtins and no more. A
    modern result gets the members it must have (`resultType`, `ttlMs`, `cacheScope`) where nobody set them.

    `wrapped` says whether a call's structured content goes into `{"result": ...}` where it must be an object; pass
    `output_schema.is_wrapped(tool.output_schema)`. Without it exactly those values are wrapped that are no object.

    Raises `ValueError` for what `revision` cannot say: a message it does not have, an elicitation by URL before
    2025-11-25, audio in sampling before 2025-03-26.
    """
    if isinstance(value, Wire):
        return _struct(value, revision, wrapped)
    if isinstance(value, list | tuple):
        return [adapt(item, revision, wrapped=wrapped) for item in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {str(key): adapt(item, revision) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    return _builtins(value)


def encode_for(value: Any, revision: str, *, wrapped: bool | None = None) -> bytes:
    """`adapt`, encoded as JSON."""
    return msgspec.json.encode(adapt(value, revision, wrapped=wrapped))


def _struct(value: Wire, revision: str, wrapped: bool | None) -> Members:
    value = _reworded(value, revision)
    shape = _shape(type(value), revision)
    if shape.refusal is not None:
        raise ValueError(shape.refusal)
    members = {**shape.constants}
    for name, key, is_dropped_as_none, is_foreign in shape.members:
        member = getattr(value, name)
        if member is not msgspec.UNSET and not (member is None and is_dropped_as_none):
            members[key] = _builtins(member) if is_foreign else adapt(member, revision)
    if "structuredContent" in members and within(OBJECT_OUTPUT, revision):
        members["structuredContent"] = _as_object(members["structuredContent"], wrapped)
    return members


def _reworded(value: Wire, revision: str) -> Wire:
    tag = value.__struct_config__.tag
    if tag in BLOCKS and not within(BLOCKS[tag], revision):
        return _SUBSTITUTES[tag](value)
    for kind in type(value).__mro__:
        if rule := _RULES.get(kind.__name__):
            value = rule(value, revision)
    return value


class _Shape(NamedTuple):
    """What a Struct is in one revision: members that are always the same, and those of its fields.

    For each field that the revision knows: its name here and there, whether a None is left out, and whether it holds
    the data of others.
    """

    refusal: str | None
    constants: Members
    members: list[tuple[str, str, bool, bool]]


@cache
def _shape(kind: type[Wire], revision: str) -> _Shape:
    """Worked out once for each Struct and revision, of which there are few."""
    names = [each.__name__ for each in kind.__mro__]
    config = kind.__struct_config__
    constants: Members = {}
    if within(MODERN_ONLY, revision):
        for name in reversed(names):
            constants |= MODERN_DEFAULTS.get(name, {})
    if config.tag_field is not None:
        constants[config.tag_field] = config.tag
    members = [
        (field.name, field.encode_name, field.default is None, field.encode_name in _FOREIGN)
        for field in fields(kind)
        if _knows(names, field.encode_name, revision)
    ]
    return _Shape(_refusal(names, revision), constants, members)


def _refusal(names: list[str], revision: str) -> str | None:
    for name in names:
        if name in TYPES and not within(TYPES[name], revision):
            first, last = TYPES[name]
            return f"{revision} has no {name}: it exists from {first} to {last}"
    return None


def _knows(names: list[str], key: str, revision: str) -> bool:
    for name in names:
        if span := FIELDS.get(name, {}).get(key):
            return within(span, revision)
    return True


_FOREIGN = ("structuredContent", "data", "inputSchema", "outputSchema", "requestedSchema", "input", "metadata")
"""Members that hold the data of others, in which nothing is adapted."""


def _builtins(value: Any) -> Any:
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    return msgspec.to_builtins(value, str_keys=True)


def _as_object(value: Any, wrapped: bool | None) -> Any:
    if wrapped is None:
        wrapped = not isinstance(value, dict)
    return {RESULT: value} if wrapped else value


# Blocks a revision does not have, in the words it has.


def _audio_as_resource(block: AudioContent) -> EmbeddedResource:
    contents = ResourceContents(uri="urn:tybalt:audio", mime_type=block.mime_type, blob=block.data)
    return EmbeddedResource(resource=contents, annotations=block.annotations)


def _link_as_text(block: ResourceLink) -> TextContent:
    kind = "" if block.mime_type is None else f" ({block.mime_type})"
    lines = [f"{block.title or block.name}{kind}: {block.uri}", block.description]
    return TextContent(text="\n".join(filter(None, lines)), annotations=block.annotations)


def _block_as_text(block: Wire) -> TextContent:
    return TextContent(text=msgspec.json.encode(block).decode())


_SUBSTITUTES: dict[Any, Callable[[Any], Wire]] = {
    "audio": _audio_as_resource,
    "resource_link": _link_as_text,
    "tool_use": _block_as_text,
    "tool_result": _block_as_text,
}


# Nouns that need more than a member dropped, by the name of their Struct: importing those Structs here would load
# sampling and elicitation into every server.


def _tool(tool: Any, revision: str) -> Any:
    if not within(LEGACY_ONLY, revision):
        return tool
    output_schema = None if tool.output_schema is None else object_schema(tool.output_schema)
    return replace(tool, input_schema=plain_properties(tool.input_schema), output_schema=output_schema)


def _client_capabilities(capabilities: Any, revision: str) -> Any:
    """Before modes, an elicitation capability meant forms, so a client with URLs only must not declare it."""
    if within(SINCE_2025_11_25, revision) or capabilities.elicits_forms:
        return capabilities
    return replace(capabilities, elicitation=None)


def _sampling_params(params: Any, revision: str) -> Any:
    """Before a message could hold several blocks, several messages of one role said the same."""
    if within(SINCE_2025_11_25, revision):
        return params
    return replace(params, messages=[single for message in params.messages for single in _split(message)])


def _split(message: Any) -> list[Any]:
    content: Any = message.content
    blocks = cast("list[Any]", content) if isinstance(content, list) else [content]
    return [replace(message, content=block) for block in blocks]


def _sampling_message(message: Any, revision: str) -> Any:
    if within(SINCE_2025_11_25, revision):
        return message
    singles = _split(message)
    if len(singles) != 1:
        raise ValueError(f"{revision} has one content block in a sampling message, this one has {len(singles)}")
    if isinstance(singles[0].content, AudioContent) and not within(BLOCKS["audio"], revision):
        raise ValueError(f"{revision} has no audio in sampling")
    return singles[0]


def _elicitation(params: Any, revision: str) -> Any:
    if params.mode == "url":
        return _url_elicitation(params, revision)
    if within(SINCE_2025_11_25, revision):
        return params
    return replace(params, requested_schema=_plain_form(params.requested_schema, revision))


def _url_elicitation(params: Any, revision: str) -> Any:
    if not within(SINCE_2025_11_25, revision):
        raise ValueError(f"{revision} has no elicitation by URL, only forms")
    if within(LEGACY_ONLY, revision) and params.elicitation_id is None:
        raise ValueError(f"elicitation by URL needs `elicitation_id` in {revision}")
    return params


def _plain_form(schema: Members, revision: str) -> Members:
    properties: Members = {name: _plain_input(name, field, revision) for name, field in schema["properties"].items()}
    return {key: value for key, value in schema.items() if key != "$schema"} | {"properties": properties}


def _plain_input(name: str, schema: Members, revision: str) -> Members:
    """One field of a form before 2025-11-25: no default but a boolean's, one choice at a time, titles beside it."""
    if schema.get("type") == "array":
        raise ValueError(f"{revision} has no choice of several values in a form (field {name!r})")
    plain = {key: value for key, value in schema.items() if key != "default" or schema.get("type") == "boolean"}
    if "oneOf" in plain:
        options: list[Members] = plain.pop("oneOf")
        plain["enum"] = [option["const"] for option in options]
        plain["enumNames"] = [option["title"] for option in options]
    return plain


_RULES: dict[str, Callable[[Any, str], Any]] = {
    "Tool": _tool,
    "ClientCapabilities": _client_capabilities,
    "CreateMessageRequestParams": _sampling_params,
    "SamplingMessage": _sampling_message,
    "ElicitRequestParams": _elicitation,
}
