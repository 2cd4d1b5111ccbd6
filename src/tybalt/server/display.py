"""The advertised surface of a server, and the result of a call, as text for people and for golden files.

`render` is what `str(server)` shows: all that a client can list, in one document that changes only when the surface
does. Tools are in the format of mercutio's `Display` to the letter; resources, templates and prompts follow its form.
Nothing here is read by a program: it is not a wire format, and nothing is escaped.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from tybalt.errors import RegistrationError
from tybalt.server.uri_template import UriTemplate
from tybalt.types.content import AudioContent, ContentBlock, ImageContent, ResourceLink, TextContent
from tybalt.types.prompts import Prompt
from tybalt.types.resources import Resource, ResourceContents, ResourceTemplate
from tybalt.types.tools import CallToolResult, Tool


class Parameter(msgspec.Struct, frozen=True):
    """One line of a list of parameters, with what may stand below it."""

    name: str
    type: str
    required: bool
    description: str | None = None
    values: tuple[str, ...] = ()


def render(
    *,
    name: str,
    version: str,
    instructions: str | None = None,
    tools: Iterable[Tool] = (),
    resources: Iterable[Resource] = (),
    templates: Iterable[ResourceTemplate] = (),
    prompts: Iterable[Prompt] = (),
) -> str:
    """The whole document, ending in a newline. Entries stand in the order given, parameters are sorted by name.

    A section without entries is left out, as are instructions and descriptions that are missing.
    """
    parts = [f"# {name}\n\nVersion: {version}\n"]
    if instructions:
        parts.append(f"## Instructions\n\n{instructions}\n")
    parts += _section("Tools", map(_tool, tools))
    parts += _section("Resources", map(_resource, resources))
    parts += _section("Resource templates", map(_template, templates))
    parts += _section("Prompts", map(_prompt, prompts))
    return "\n".join(parts)


def render_result(result: CallToolResult) -> str:
    """What a tool answered: its blocks, with a blank line in between, then the structured content as indented JSON.

    Text stands as it is; of pictures, sounds and resources only what they are. Sizes are those of the base64 text.
    """
    parts = [_block(block) for block in result.content]
    if result.structured_content is not msgspec.UNSET:
        encoded = msgspec.json.encode(result.structured_content)
        parts.append(f"Structured Content:\n{msgspec.json.format(encoded, indent=2).decode()}")
    return "\n\n".join(parts)


def type_name(schema: Any, root: Mapping[str, Any]) -> str:
    """The type of a JSON Schema in a word: `string`, `array`, `string | null`, or `any` where it says none.

    `$ref`s into `root` are followed. Raises nothing, whatever the schema.
    """
    return (
        " | ".join(dict.fromkeys(name for leaf in _alternatives(schema, root) for name in _type_names(leaf))) or "any"
    )


def _section(title: str, entries: Iterable[str]) -> list[str]:
    """A heading and its entries, each ending in a newline, as parts with a blank line in between."""
    return [f"# {title}\n", *entries] if (entries := list(entries)) else []


def _tool(tool: Tool) -> str:
    return _entry(tool.name, tool.description, parameters=_parameters(tool.input_schema))


def _resource(resource: Resource) -> str:
    size = None if resource.size is None else f"{resource.size} bytes"
    facts = {"URI": resource.uri, "MIME type": resource.mime_type, "Size": size}
    return _entry(resource.name, resource.description, facts)


def _template(template: ResourceTemplate) -> str:
    facts = {"URI template": template.uri_template, "MIME type": template.mime_type}
    return _entry(template.name, template.description, facts, _variables(template.uri_template))


def _prompt(prompt: Prompt) -> str:
    arguments = [
        Parameter(argument.name, "string", argument.required is True, argument.description)
        for argument in prompt.arguments or ()
    ]
    return _entry(prompt.name, prompt.description, parameters=arguments)


def _entry(
    name: str,
    description: str | None,
    facts: Mapping[str, str | None] | None = None,
    parameters: Iterable[Parameter] = (),
) -> str:
    parts = [f"## {name}\n"]
    if description:
        parts.append(f"{description}\n")
    if told := "".join(f"{key}: {value}\n" for key, value in (facts or {}).items() if value is not None):
        parts.append(told)
    if listed := "".join(map(_parameter, sorted(parameters, key=lambda parameter: parameter.name))):
        parts.append(f"Parameters:\n{listed}")
    return "\n".join(parts)


def _parameter(parameter: Parameter) -> str:
    lines = [f"  {parameter.name} ({parameter.type}, {'required' if parameter.required else 'optional'})"]
    lines += [f"    {line}" if line else "" for line in (parameter.description or "").splitlines()]
    if parameter.values:
        lines.append(f"    Values: {', '.join(parameter.values)}")
    return "\n".join(lines) + "\n"


def _parameters(root: Mapping[str, Any]) -> list[Parameter]:
    properties = _object(root.get("properties"))
    required = _array(root.get("required"))
    return [_property(name, schema, root, name in required) for name, schema in properties.items()]


def _property(name: str, schema: Any, root: Mapping[str, Any], required: bool) -> Parameter:
    members = _object(schema)
    description = members.get("description") or _resolved(members, root).get("description")
    values = tuple(value if isinstance(value, str) else _json(value) for value in _values(schema, root))
    text = description if isinstance(description, str) else None
    return Parameter(name, type_name(schema, root), required, text, values)


def _variables(uri_template: str) -> list[Parameter]:
    """The variables of a template; none of one that another server made and this one cannot read."""
    try:
        variables = UriTemplate(uri_template).variables
    except RegistrationError:
        return []
    return [
        Parameter(variable.name, "array" if variable.explode else "string", variable.required) for variable in variables
    ]


def _type_names(members: Mapping[str, Any]) -> list[str]:
    """The types one alternative says, or those of the values it lists."""
    named = members.get("type")
    names = [name for name in [named, *_array(named)] if isinstance(name, str)]
    return names or [_JSON_TYPES.get(value.__class__, "any") for value in _own_values(members)] or ["any"]


def _values(schema: Any, root: Mapping[str, Any]) -> list[Any]:
    """The values a schema allows beside null, where it lists them all."""
    leaves = [leaf for leaf in _alternatives(schema, root, through_types=True) if leaf.get("type") != "null"]
    listed = [_own_values(leaf) for leaf in leaves]
    return [value for values in listed for value in values] if all(listed) else []


def _alternatives(schema: Any, root: Mapping[str, Any], *, through_types: bool = False) -> list[dict[str, Any]]:
    """What `anyOf` and its like come down to, each once, so that a schema of any shape is done in one pass.

    A schema that says its type is not looked into, but `through_types`.
    """
    leaves: list[dict[str, Any]] = []
    seen: dict[int, dict[str, Any]] = {}
    waiting = [schema]
    while waiting:
        members = _resolved(_object(waiting.pop()), root)
        if id(members) in seen:
            continue
        seen[id(members)] = members
        branches = _branches(members) if through_types or "type" not in members else []
        waiting += reversed(branches)
        if not branches:
            leaves.append(members)
    return leaves


def _own_values(members: Mapping[str, Any]) -> list[Any]:
    return [members["const"]] if "const" in members else _array(members.get("enum"))


def _branches(members: Mapping[str, Any]) -> list[Any]:
    """The alternatives of a schema. `allOf` counts where it only wraps one schema, as some generators have it."""
    wrapped = _array(members.get("allOf"))
    return _array(members.get("anyOf")) or _array(members.get("oneOf")) or (wrapped if len(wrapped) == 1 else [])


def _resolved(members: dict[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    """The schema itself, or the one its `$ref` leads to; empty where that leads nowhere, or far."""
    for _ in range(16):
        reference = members.get("$ref")
        if not isinstance(reference, str):
            return members
        members = _pointed(reference, root)
    return {}


def _pointed(reference: str, root: Mapping[str, Any]) -> dict[str, Any]:
    """What a JSON pointer (RFC 6901) into this document points at; nothing is ever fetched."""
    if not reference.startswith("#"):
        return {}
    found: Any = root
    for key in reference[1:].split("/")[1:]:
        found = _object(found).get(key.replace("~1", "/").replace("~0", "~"))
    return _object(found)


def _block(block: ContentBlock) -> str:
    match block:
        case TextContent():
            return block.text
        case ImageContent():
            return f"[Image: {block.mime_type}, {len(block.data)} bytes]"
        case AudioContent():
            return f"[Audio: {block.mime_type}, {len(block.data)} bytes]"
        case ResourceLink():
            return f"[Resource: {block.name} ({block.uri})]"
        case _:
            return _embedded(block.resource)


def _embedded(contents: ResourceContents) -> str:
    if contents.blob is None:
        return f"[Embedded Text: {contents.uri}]"
    return f"[Embedded Blob: {contents.uri}, {contents.mime_type or 'unknown'}, {len(contents.blob)} bytes]"


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, Mapping) else {}


def _array(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list | tuple) else []


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_JSON_TYPES: Final[dict[type, str]] = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    type(None): "null",
}
