"""A handler's signature, compiled once: a decoder for its arguments, their schema, and what to say when they are wrong.

Every visible parameter becomes a field of one msgspec Struct, so that a call decodes its arguments in a single pass
without a Python frame. What the strict decoder refuses gets a second, lax look, argument by argument, because models
send `"5"` for 5 and a JSON string for an object; strings from URI templates and prompts take the same road.
`signature.py` and `annotations.py` read the function, `argument.py` one argument, and `explain.py` writes the failures.
Above it are the declarations of tools, prompts and resources.

2026-07-28 server/tools, "Tool" and "Error Handling".
"""

import copy
import gc
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec.structs import astuple

from tybalt.errors import RegistrationError
from tybalt.protocol.codec import UNREADABLE
from tybalt.server import explain
from tybalt.server.annotations import Site, adopt, metadata_of, shown
from tybalt.server.argument import Argument, Constant, json_inside
from tybalt.server.custom_types import decode_strict
from tybalt.server.dependencies import Dependency, Filler, filler_of
from tybalt.server.docstring import Docstring, parse
from tybalt.server.explain import LARGE, Problem, explanation
from tybalt.server.json_values import Schema
from tybalt.server.members import Place, decoded, failures
from tybalt.server.pydantic_models import Unsupported, is_field
from tybalt.server.schema import Schemas, encoded_default, written
from tybalt.server.signature import MISSING, read_docstring, read_parameters

if TYPE_CHECKING:
    from tybalt.server.dependency_plan import Plan

Raw = bytes | msgspec.Raw

READ_ONCE: Final = 256 * 1024
"""Bytes of arguments that are decoded once: what takes milliseconds is not tried in several ways."""


class Parameters:
    """The compiled parameters of one handler.

    `struct` has one field for each visible parameter, in order; `schema` is the input schema; `names` are the
    parameters in Python and `wire_names` in JSON; `injected` says which parameters the framework fills, and with what:
    an instance of a class, or a `Dependency`; `plan` says how, where there is a dependency.
    `leading` is true when `fn(*astuple(arguments), **injected)` is a correct call, `positional` when nothing is
    injected either. `docstring` is the handler's.

    `decode` reads the arguments as JSON: a bound decoder, strict, raising what a msgspec decoder raises.
    """

    __slots__ = (
        "_arguments",
        "_decode_known",
        "_keywords",
        "_positionals",
        "decode",
        "docstring",
        "injected",
        "leading",
        "names",
        "plan",
        "positional",
        "schema",
        "struct",
        "wire_names",
    )

    decode: Callable[[Raw], Any]

    def __init__(
        self,
        arguments: list[Argument],
        *,
        struct: type[msgspec.Struct],
        schema: Schema,
        injected: dict[str, Filler],
        plan: "Plan | None",
        positionals: int,
        docstring: Docstring,
    ) -> None:
        self.struct = struct
        self.schema = schema
        self.injected = injected
        self.plan = plan
        self.docstring = docstring
        self.names = tuple(argument.python_name for argument in arguments)
        self.wire_names = tuple(argument.name for argument in arguments)
        self.leading = positionals == len(arguments)
        self.positional = self.leading and not injected
        self.decode = msgspec.json.Decoder(struct, dec_hook=decode_strict).decode
        self._arguments = arguments
        self._decode_known: Callable[[bytes], Any] | None = None
        self._positionals = positionals
        self._keywords = self.names[positionals:]

    def read(self, raw: Raw) -> Any:
        """`decode`, which much is read with while the garbage collector stands still.

        It would look again and again at objects that are all new and none of them garbage, and take longer than the
        decoder does.
        """
        if len(raw) <= READ_ONCE or not gc.isenabled():
            return self.decode(raw)
        gc.disable()
        try:
            return self.decode(raw)
        finally:
            gc.enable()

    def decode_lax(self, raw: Raw) -> Any:
        """The arguments as a model may have meant them; to be tried when `decode` has failed.

        What each argument may be beyond its type is told by `Argument.read_lax`; a string that holds the whole object
        as JSON is accepted too, and null for no arguments. Raises what `decode` raises.
        """
        strict = self.struct.__struct_config__.forbid_unknown_fields
        return self._made(*self._read(self._members(raw, lax=True), lax=True, strict=strict))

    def from_strings(self, values: Mapping[str, str | list[str] | dict[str, str]]) -> Any:
        """The arguments from strings: URI template variables, or prompt arguments, by their name on the wire.

        A string stays one where the type has strings; otherwise it is read as `decode_lax` reads it, so `"5"`,
        `"true"`, an ISO 8601 date, a UUID, base64 for bytes, and JSON for objects and arrays. Lists and dicts (exploded
        variables) have their members converted alike. Raises `msgspec.ValidationError` that tells all that is wrong.
        """
        try:
            members: dict[str, Raw] = {
                argument.name: msgspec.json.encode(value)
                for argument in self._arguments
                if (value := values.get(argument.name, values.get(argument.python_name))) is not None
            }
        except UnicodeEncodeError:
            raise msgspec.ValidationError("Invalid arguments: half of a surrogate pair is no Unicode text") from None
        return self._made(*self._read(members, path="", lax=True))

    def takes(self, name: str, text: str) -> bool:
        """Whether `from_strings` converts `text` for the argument of this name on the wire."""
        argument = self._arguments[self.wire_names.index(name)]
        try:
            argument.read_lax(msgspec.json.encode(text), self.schema["properties"][name], self.schema)
        except UNREADABLE:
            return False
        return True

    def explain_unread(self, error: BaseException) -> str:
        """What `error`, which `decode` has raised, says is wrong with arguments that are not looked at again."""
        told = explanation(list(explain.failures(error, "$.arguments", explain.UNKNOWN, self.schema, self.schema)))
        return f"{told} (arguments of more than 256 KiB are read once, and exactly as they are)"

    def explain(self, raw: Raw, *, strict: bool) -> str:
        """Everything that is wrong with arguments that were refused, for the model that sent them.

        One line for each argument that is missing, of the wrong type or out of bounds, and for each unknown one where
        `strict` is set; at most 20 lines, at most 200 characters of any value. What is longer than `LARGE` is not
        shown, and unknown names in it are not looked for: an explanation must not cost more than the call.
        """
        try:
            _, problems = self._read(self._members(raw, lax=not strict), lax=not strict, strict=strict)
            if not problems:
                self.decode(raw)
        except UNREADABLE as error:
            problems = list(explain.failures(error, "$.arguments", decoded(raw), {"type": "object"}, {}))
        return explanation(problems) if problems else "The arguments are valid."

    def arguments(self, struct: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Decoded arguments as `args` and `kwargs` of a call; injected parameters are the caller's to add."""
        values = astuple(struct)
        return values[: self._positionals], dict(zip(self._keywords, values[self._positionals :], strict=True))

    def _made(self, values: dict[str, Any], problems: list[Problem]) -> Any:
        if problems:
            raise msgspec.ValidationError(explanation(problems))
        return self.struct(**values)

    def _read(
        self, members: Mapping[str, Raw], *, path: str = "$.arguments.", lax: bool, strict: bool = False
    ) -> tuple[dict[str, Any], list[Problem]]:
        """Every argument read by itself: the values by field, and all that is wrong."""
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        strange = [name for name in members if name not in self.wire_names]
        for argument in self._arguments:
            schema = self.schema["properties"][argument.name]
            raw = members.get(argument.name)
            if raw is not None:
                try:
                    values[argument.field] = self._value(argument, raw, lax=lax)
                except UNREADABLE as error:
                    data = argument.meant(raw, schema, self.schema) if lax else bytes(raw)
                    place = Place(path + argument.name, schema, self.schema, lax)
                    problems.extend(failures(error, argument.kind, data, place))
            elif argument.required:
                problems.append(explain.missing(path + argument.name, argument.name, schema, self.schema, strange))
        if strict:
            problems.extend(explain.unknown(path, strange, self.wire_names))
        return values, problems

    def _members(self, raw: Raw, *, lax: bool) -> Mapping[str, Raw]:
        """The arguments by name, undecoded; of much, only what a parameter takes."""
        data = bytes(raw)
        if lax and data == b"null":
            return {}
        if lax and data.startswith(b'"'):
            data = json_inside(data, "{") or data
        return _decode_members(data) if len(data) <= LARGE else self._known(data)

    def _known(self, data: bytes) -> Mapping[str, Raw]:
        """The arguments that a parameter takes. A dict of all names may weigh twenty times what was sent."""
        if self._decode_known is None:
            fields = [
                (argument.field, msgspec.Raw, msgspec.field(name=argument.name, default=_ABSENT))
                for argument in self._arguments
            ]
            self._decode_known = msgspec.json.Decoder(msgspec.defstruct("Known", fields, kw_only=True)).decode
        values = astuple(self._decode_known(data))
        return {name: value for name, value in zip(self.wire_names, values, strict=True) if value is not _ABSENT}

    def _value(self, argument: Argument, raw: Raw, *, lax: bool) -> Any:
        if not lax:
            return argument.read(raw)
        return argument.read_lax(raw, self.schema["properties"][argument.name], self.schema)


def compile_parameters(
    fn: Callable[..., Any],
    *,
    where: str,
    inject: tuple[type, ...] = (),
    strict: bool = False,
    reserved: frozenset[str] = frozenset(),
) -> Parameters:
    """Compiles the signature of a handler.

    `where` begins every error text, as in "tool 'add' (function app.add)". A parameter with a `Depends`, or annotated
    with a class in `inject`, also as `X | None`, is left to the framework. `strict` refuses unknown arguments and says
    so in the schema; otherwise they are ignored. A parameter without annotation takes anything.

    Descriptions come from `msgspec.Meta`, `pydantic.Field`, a string in `Annotated`, or else the docstring. A default
    that is not valid for its annotation is refused, unless it is None or no JSON type can hold it (a sentinel): then it
    is used and not advertised. Lists, dicts, sets and bytearrays are copied for every call.

    Raises `RegistrationError` for whatever cannot be compiled, naming function, parameter and remedy.
    """
    doc = parse(read_docstring(fn, where))
    parameters = read_parameters(fn, where)
    injected = {each.name: filler for each in parameters if (filler := filler_of(each, inject, where)) is not None}
    visible = [each for each in parameters if each.name not in injected]
    schemas = Schemas("input")
    arguments: list[Argument] = []
    properties: dict[str, Schema] = {}
    for position, parameter in enumerate(visible):
        site = Site(f"{where}: parameter {parameter.name!r}", injects=bool(inject))
        argument, schema = _compiled(parameter, position, schemas, doc, site)
        _check_name(argument, properties, reserved, where)
        arguments.append(argument)
        properties[argument.name] = _written(schema, f"{where}: parameter {parameter.name!r}")
    return Parameters(
        arguments,
        struct=_struct(arguments, strict=strict),
        schema=_root(arguments, properties, schemas, where, strict=strict),
        injected=injected,
        plan=_plan(injected, where, inject),
        positionals=_leading(parameters, injected),
        docstring=doc,
    )


_POSITIONS = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_MUTABLE = (list, dict, set, bytearray)
_PLAIN_DEFAULTS = (bool, int, float, str, bytes, list, tuple, dict, set, frozenset)
_IMMUTABLE = (bool, int, float, str, bytes, NoneType)
_FIELD: type[Any] = msgspec.field().__class__


def _plan(injected: Mapping[str, Filler], where: str, inject: tuple[type, ...]) -> "Plan | None":
    if not any(isinstance(each, Dependency) for each in injected.values()):
        return None
    from tybalt.server.dependency_plan import compile_plan  # Only where there is a dependency.

    return compile_plan(injected, where=where, inject=inject)


def _compiled(
    parameter: Parameter, position: int, schemas: Schemas, doc: Docstring, site: Site
) -> tuple[Argument, Schema]:
    annotation = Any if parameter.annotation is MISSING else parameter.annotation
    default, factory, name = parameter.default, msgspec.NODEFAULT, None
    if is_field(default):
        annotation, default = Annotated[annotation, default], MISSING
    elif isinstance(default, _FIELD):
        default, factory, name = default.default, default.default_factory, default.name
    metadata = metadata_of(annotation, site)
    if default is MISSING:
        default, factory = metadata.default, metadata.default_factory
    kind = adopt(annotation, site)
    argument = Argument(
        parameter.name,
        field=f"argument_{position}" if parameter.name.startswith("__") else parameter.name,
        name=name or metadata.alias or parameter.name,
        kind=kind,
        default=_maker(default, factory),
    )
    schema = schemas.describe(kind)
    description = metadata.description or doc.parameters.get(parameter.name)
    if description is not None:
        schema = schema | {"description": description}
    advertised = _advertised(default, argument, annotation, site)
    return argument, schema if advertised is msgspec.NODEFAULT else schema | {"default": advertised}


def _maker(default: Any, factory: Any) -> Callable[[], Any] | None:
    """What makes the default for one call, or None where there is no default."""
    if factory is not msgspec.NODEFAULT:
        return factory
    if default is msgspec.NODEFAULT:
        return None
    if isinstance(default, _MUTABLE):
        return partial(copy.deepcopy, default)
    return Constant(default)


def _advertised(default: Any, argument: Argument, annotation: Any, site: Site) -> Any:
    """The default for the schema, or `NODEFAULT`; raises for a plain value that the annotation would not accept."""
    encoded = msgspec.NODEFAULT if default is msgspec.NODEFAULT else encoded_default(default)
    if encoded is msgspec.NODEFAULT:
        return encoded
    try:
        argument.read(msgspec.json.encode(encoded))
    except UNREADABLE as error:
        if type(default) in _PLAIN_DEFAULTS:
            raise site.refuse(
                f"the default {default!r} is not valid for its annotation {shown(annotation)}: {error}. "
                "Change one of the two"
            ) from None
        return msgspec.NODEFAULT
    return encoded


def _check_name(argument: Argument, taken: Mapping[str, Any], reserved: frozenset[str], where: str) -> None:
    site = Site(f"{where}: parameter {argument.python_name!r}")
    for name in (argument.python_name, argument.name):
        if name in reserved:
            raise site.refuse(f"the name {name!r} is reserved. Choose another one")
    if argument.name in taken:
        raise site.refuse(f"another parameter is called {argument.name!r} on the wire already. Change the alias")


def _struct(arguments: list[Argument], *, strict: bool) -> type[msgspec.Struct]:
    """The Struct all arguments are decoded into; keyword-only, because then a default may stand before none."""
    fields = [(argument.field, argument.kind, _struct_field(argument)) for argument in arguments]
    return msgspec.defstruct("Arguments", fields, kw_only=True, forbid_unknown_fields=strict, gc=False)


def _struct_field(argument: Argument) -> Any:
    make = argument.default
    if make is None:
        return msgspec.field(name=argument.name)
    if isinstance(make, Constant) and type(make.value) in _IMMUTABLE:
        return msgspec.field(name=argument.name, default=make.value)  # no call where none is needed
    return msgspec.field(name=argument.name, default_factory=make)


def _root(
    arguments: list[Argument], properties: dict[str, Schema], schemas: Schemas, where: str, *, strict: bool
) -> Schema:
    root: Schema = {"type": "object", "properties": properties}
    required = [argument.name for argument in arguments if argument.required]
    if required:
        root["required"] = required
    if strict:
        root["additionalProperties"] = False
    return _written(schemas.rooted(root), where)


def _leading(parameters: list[Parameter], injected: Mapping[str, Any]) -> int:
    """How many parameters a caller may fill by position: those before the first that is injected, or keyword-only."""
    count = 0
    for parameter in parameters:
        if parameter.name in injected or parameter.kind not in _POSITIONS:
            break
        count += 1
    return count


def _written(schema: Schema, where: str) -> Schema:
    try:
        return written(schema)
    except Unsupported as error:
        raise RegistrationError(f"{where}: an example or a note in its schema is not JSON: {error}") from None


_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_ABSENT = msgspec.Raw()
