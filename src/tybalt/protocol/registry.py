"""A typed registry of tools for those who drive the protocol core by hand: one Struct class is one tool.

    class Add(Struct):
        \"\"\"Add two numbers.\"\"\"

        a: int
        b: int

    registry = Registry(GetWeather, Add)          # or Registry.from_union(GetWeather | Add)
    match registry.parse(request.params.name, request.params.arguments):
        case Add(a=a, b=b): ...

It describes tools and decodes their arguments, strictly, and runs nothing. The server above has its own way from a
function's signature to a tool (`tybalt.server.tool`) and does not use this.

2026-07-28 server/tools.
"""

from types import UnionType
from typing import Any, Final, Generic, TypeVar, Union, cast, get_args, get_origin

import msgspec
from msgspec import Struct

from tybalt.errors import InvalidArguments, InvalidParams, RegistrationError, cut
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.timestamp import timestamp_dec_hook, timestamp_schema_hook
from tybalt.types.tools import NO_ARGUMENTS, Tool

S = TypeVar("S", bound=Struct)

MAX_NAME: Final = 128
"""The longest tool name, in characters (2026-07-28 server/tools, "Tool Names")."""


class Registry(Generic[S]):
    """The tools made of `kinds`, in their order. An empty one is false, and stands for a server without tools.

    A tool's name is the class attribute `__tool_name__`, else the Struct's `tag` if that is a string, else the class
    name in snake_case. Its description is the docstring, and its input schema that of the Struct, with `Timestamp`
    fields allowed beside what msgspec knows.

    Raises `RegistrationError` for anything that is no Struct class, for a Struct that is an array in JSON or cannot be
    described, and for names that are taken or outside of the specification's alphabet.
    """

    def __init__(self, *kinds: type[S]) -> None:
        self._decoders: dict[str, msgspec.json.Decoder[S]] = {}
        self._tools: list[Tool] = []
        for kind in kinds:
            tool = _describe(kind)
            if tool.name in self._decoders:
                raise RegistrationError(
                    f"{_where(kind)}: a tool called {tool.name!r} is there already. Set __tool_name__ on one of them"
                )
            self._decoders[tool.name] = msgspec.json.Decoder(kind, dec_hook=timestamp_dec_hook)
            self._tools.append(tool)

    @classmethod
    def from_union(cls, union: Any) -> "Registry[Any]":
        """The registry of a union of Struct classes, `GetWeather | Add`; a single class is a union of one.

        A type checker does not see what a union is made of, so that `parse` returns `Any` to it; write
        `Registry(GetWeather, Add)` to have it told.
        """
        members = get_args(union) if get_origin(union) in (Union, UnionType) else (union,)
        return cast("type[Registry[Any]]", cls)(*members)

    def parse(self, name: str, arguments: bytes | msgspec.Raw = NO_ARGUMENTS) -> S:
        """The Struct that a call of the tool `name` with these JSON arguments stands for.

        Raises `InvalidParams` for a name that is not here, and `InvalidArguments` for arguments that do not fit.
        Members of the arguments that the tool does not have are ignored, unless the Struct forbids them.
        """
        decoder = self._decoders.get(name)
        if decoder is None:
            raise InvalidParams(f"Unknown tool: {cut(name)}")
        try:
            return decoder.decode(arguments)
        except UNREADABLE as error:
            raise InvalidArguments(name, _explained(error)) from None

    def tools(self) -> list[Tool]:
        """The tools as `tools/list` shows them."""
        return list(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __contains__(self, name: object) -> bool:
        return name in self._decoders


class NoTools(Registry[Any]):
    """The registry of a server that has no tools, and so does not announce any."""

    def __init__(self) -> None:
        super().__init__()


def _describe(kind: type[Struct]) -> Tool:
    if not (isinstance(kind, type) and issubclass(kind, Struct)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise RegistrationError(
            f"a tool of a registry is a msgspec Struct class, got {kind!r}. Write `class Add(Struct): ...` and pass Add"
        )
    return Tool(name=_name(kind), description=_description(kind), input_schema=_schema(kind))


def _name(kind: type[Struct]) -> str:
    tag = kind.__struct_config__.tag
    name = kind.__dict__.get("__tool_name__") or (tag if isinstance(tag, str) else _snake_case(kind.__name__))
    allowed = isinstance(name, str) and name.isascii() and all(mark.isalnum() or mark in "_-." for mark in name)
    if not (allowed and len(name) <= MAX_NAME):
        raise RegistrationError(
            f"{_where(kind)}: {name!r} cannot be a tool name. Set __tool_name__ to 1 to {MAX_NAME} of A-Z, a-z, 0-9, "
            "'_', '-' and '.'"
        )
    return name


def _snake_case(name: str) -> str:
    """`GetWeather` as `get_weather`, `HTTPFetch2` as `http_fetch2`."""
    words = ""
    for index, letter in enumerate(name):
        before, after = name[index - 1 : index], name[index + 1 : index + 2]
        if letter.isupper() and (before.islower() or before.isdigit() or (before.isupper() and after.islower())):
            words += "_"
        words += letter.lower()
    return words


def _description(kind: type[Struct]) -> str | None:
    """The docstring of the class itself, its indentation taken off; `None` where it has none."""
    first, *rest = (kind.__dict__.get("__doc__") or "").expandtabs().strip().split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first.rstrip(), *[line[indent:].rstrip() for line in rest]]) or None


def _schema(kind: type[Struct]) -> dict[str, Any]:
    """The schema of the arguments: the root object inlined, without its tag, title and description."""
    try:
        schema = msgspec.json.schema(kind, schema_hook=timestamp_schema_hook)
    except TypeError as error:
        raise _refused(kind, error) from error
    definitions: dict[str, Any] = schema["$defs"]
    reference: str = schema["$ref"]
    name = reference.rpartition("/")[2]
    root = {key: value for key, value in definitions[name].items() if key not in ("title", "description")}
    if root.get("type") != "object":
        raise RegistrationError(f"{_where(kind)}: the arguments of a tool are an object. Take array_like=True away")
    if not _refers(definitions, reference):
        del definitions[name]
    return _without_tag(kind, root) | ({"$defs": definitions} if definitions else {})


def _without_tag(kind: type[Struct], root: dict[str, Any]) -> dict[str, Any]:
    """The root without the member that tells its Struct from others, which the tool's name does already."""
    tag_field = kind.__struct_config__.tag_field
    root["properties"] = {key: value for key, value in root["properties"].items() if key != tag_field}
    required = [key for key in root.pop("required", ()) if key != tag_field]
    return root | ({"required": required} if required else {})


def _refers(value: Any, reference: str) -> bool:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return members.get("$ref") == reference or any(_refers(member, reference) for member in members.values())
    return isinstance(value, list) and any(_refers(item, reference) for item in cast("list[Any]", value))


def _refused(kind: type[Struct], error: TypeError) -> RegistrationError:
    """What msgspec says of a type it cannot take; the last line of it is the part about the type."""
    problem = str(error).splitlines()[-1]
    return RegistrationError(f"{_where(kind)}: {problem}. Use types that msgspec knows, or Timestamp")


def _explained(error: Exception) -> str:
    """Where and what: `$.city: Expected ...`, in msgspec's words, cut because they may quote what came."""
    match error:
        case msgspec.ValidationError():
            problem, _, path = str(error).rpartition(" - at `")
            return f"{path[:-1]}: {cut(problem, 500)}" if problem else f"$: {cut(str(error), 500)}"
        case RecursionError():
            return "$: nested too deeply"
        case UnicodeDecodeError():
            return "$: not UTF-8"
        case _:
            return f"$: not JSON: {cut(str(error), 500)}"


def _where(kind: type[Struct]) -> str:
    return f"tool {kind.__module__}.{kind.__qualname__}"
