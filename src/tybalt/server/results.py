"""What a tool returns, as a result: content blocks for the model, structured content for programs.

The return annotation is compiled once to an output schema; what really comes back is looked at on every call and never
trusted. Everything said here is in the newest shape: structured content is any JSON value, and older revisions are
served by `tybalt.types`, which wraps or drops it. `writer.py` has quicker roads for what is common.

What becomes what:

- `str` is its own text; numbers, booleans, models, dicts and lists are compact JSON text; None is no content at all;
- a content block, `Image`, `Audio`, `File` or `ResourceContents` is one block, and a list that holds any of them is one
  block for each member, in order; a list that holds none is one JSON text;
- `bytes` are base64 in a string, alone as inside a structure; to hand out a file, return a `File`;
- an iterator is collected into a list of at most `MAX_ITEMS`;
- `ToolResult` and `CallToolResult` say everything themselves.

2026-07-28 server/tools, "Tool Result", "Structured Content", "Output Schema".
"""

from collections import abc
from itertools import islice
from typing import Annotated, Any, Literal, Never, NoReturn, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, UnsetType

from tybalt.errors import MisuseError, RegistrationError
from tybalt.server.annotations import Site, adopt
from tybalt.server.conformity import conformity
from tybalt.server.custom_types import Adapted
from tybalt.server.docstring import parse
from tybalt.server.encoding import Unencodable, plain_and_text, valid
from tybalt.server.input_required import InputRequired
from tybalt.server.json_values import Schema, is_array, is_object
from tybalt.server.media import Audio, File, Image, Media
from tybalt.server.metadata import CONSTRAINTS
from tybalt.server.pydantic_models import Unsupported
from tybalt.server.schema import exact_schema_of, schema_of, written
from tybalt.server.signature import MISSING, awaited, read_docstring, read_result
from tybalt.server.survey import is_union
from tybalt.types.content import (
    AudioContent,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
)
from tybalt.types.jsonrpc import Result
from tybalt.types.resources import ResourceContents
from tybalt.types.tools import CallToolResult

MAX_ITEMS = 100_000
"""How many members of an iterator are collected."""

Kind = Literal["none", "int", "float", "bool", "str", "json", "blocks", "any"]


class ToolResult:
    """A tool's result in full: content, structured content, `_meta` and whether it is an error.

    `content` is anything a tool may return; left out, it is the JSON text of `structured_content`.
    `structured_content` is any value with a JSON form; left out, there is none, also where the tool has an output
    schema. `is_error=True` tells the model that the call failed.
    """

    __slots__ = ("content", "is_error", "meta", "structured_content")

    def __init__(
        self,
        content: Any = UNSET,
        *,
        structured_content: Any = UNSET,
        meta: dict[str, Any] | None = None,
        is_error: bool = False,
    ) -> None:
        self.content = content
        self.structured_content = structured_content
        self.meta = meta
        self.is_error = is_error

    def __repr__(self) -> str:
        said = ((name, getattr(self, name)) for name in ("content", "structured_content", "meta", "is_error"))
        return f"ToolResult({', '.join(f'{name}={value!r}' for name, value in said if value is not UNSET)})"


class ResultShape:
    """The compiled return of one tool.

    `schema` is the output schema, describing any JSON value, or None. `kind` is what the annotation promises; a writer
    that builds on it must look at the type of what came.
    """

    __slots__ = ("_adapter", "_check", "forgotten", "kind", "schema", "where")

    def __init__(self, where: str, kind: Kind, schema: Schema | None = None, adopted: Any = None) -> None:
        self.where = where
        self.kind: Kind = kind
        self.schema = schema
        self.forgotten = "Did you forget `return`?"
        """What to ask an author whose tool gave None where that is not allowed."""
        self._adapter = adopted.adapter if isinstance(adopted, type) and issubclass(adopted, Adapted) else None
        self._check = None if adopted is None else conformity(exact_schema_of(adopted))

    def result(self, value: Any) -> CallToolResult:
        """The result for whatever the tool returned.

        Raises `MisuseError` that names the tool for what JSON cannot say (an unknown type, NaN), and for what the
        return annotation does not allow, because clients hold the tool to its output schema.
        """
        if isinstance(value, CallToolResult):
            return value
        if isinstance(value, ToolResult):
            return self._in_full(value)
        if isinstance(value, abc.Iterator):
            value = self._collected(value)
        blocks = self._blocks(value)
        if blocks is not None:
            return CallToolResult(content=blocks)
        if self.schema is None:
            return CallToolResult(content=[] if value is None else [self._text(value)])
        structured, text = self._said(value)
        content: list[ContentBlock] = [] if value is None else [TextContent(text=_shown_text(structured, text))]
        return CallToolResult(content=content, structured_content=structured)

    def _said(self, value: Any) -> tuple[Any, str]:
        """The value as builtins for `structuredContent`, and as JSON text."""
        try:
            said = plain_and_text(value if self._adapter is None else self._adapter.dump(value))
        except Unencodable as error:
            raise MisuseError(f"{self.where}: returned a value of type {_type_name(value)}: {error}") from None
        except ValueError as error:
            raise self._unfit(value, error) from error
        if self._check is not None:
            try:
                self._check(said[0])
            except msgspec.ValidationError as error:
                raise self._unfit(value, error) from None
        return said

    def _unfit(self, value: Any, error: Exception) -> MisuseError:
        hint = "" if value is not None else f" {self.forgotten}"
        return MisuseError(
            f"{self.where}: returned a value of type {_type_name(value)} that its return annotation does not allow: "
            f"{error}.{hint} Change the annotation, or pass output_schema=None"
        )

    def _blocks(self, value: Any) -> list[ContentBlock] | None:
        """The content blocks of what is made of them; None for a value that is JSON."""
        if isinstance(value, BLOCK_LIKE):
            return [block_of(value)]
        if not is_array(value):
            return None
        if self.kind != "blocks" and not any(isinstance(each, BLOCK_LIKE) for each in value):
            return None
        return [self._block(each) for each in value if each is not None]

    def _block(self, value: Any) -> ContentBlock:
        return block_of(value) if isinstance(value, BLOCK_LIKE) else self._text(value)

    def _text(self, value: Any) -> TextContent:
        if isinstance(value, str):
            return TextContent(text=valid(value))
        try:
            return TextContent(text=_shown_text(*plain_and_text(value)))
        except Unencodable as error:
            raise MisuseError(f"{self.where}: returned a value of type {_type_name(value)}: {error}") from None

    def _in_full(self, value: ToolResult) -> CallToolResult:
        structured = UNSET if value.structured_content is UNSET else self._free(value.structured_content)
        content = structured if value.content is UNSET else value.content
        if isinstance(content, abc.Iterator):
            content = self._collected(content)
        blocks: list[ContentBlock] = []
        if is_array(content) and value.content is not UNSET:
            blocks = [self._block(each) for each in content if each is not None]
        elif content is not None and content is not UNSET:
            blocks = [self._block(content)]
        if structured is UNSET and self.schema is not None and not value.is_error:
            raise MisuseError(
                f"{self.where}: returned a ToolResult without structured content, but advertises an output schema. "
                "Give structured_content, annotate the return as ToolResult, or pass output_schema=None"
            )
        return CallToolResult(
            content=blocks,
            structured_content=structured,
            meta=value.meta,
            is_error=True if value.is_error else None,
        )

    def _free(self, value: Any) -> Any:
        """Structured content its author chose: any JSON, whatever the annotation."""
        try:
            return plain_and_text(value)[0]
        except Unencodable as error:
            raise MisuseError(f"{self.where}: structured content of type {_type_name(value)}: {error}") from None

    def _collected(self, value: Any) -> list[Any]:
        members: list[Any] = list(islice(value, MAX_ITEMS + 1))
        if len(members) > MAX_ITEMS:
            raise MisuseError(f"{self.where}: returned an iterator of more than {MAX_ITEMS:,} members. Return fewer")
        return members


def compile_result(
    fn_or_annotation: Any, *, where: str, output_schema: Schema | UnsetType | None = UNSET
) -> ResultShape:
    """Compiles the return of a handler, or an annotation.

    Every return annotation gives an output schema but None, Any, none at all, content blocks, media, results, and lists
    or unions with one of these. `output_schema=None` turns it off, a dict takes its place. Raises `RegistrationError`
    for an annotation that has no JSON form, unless `output_schema` is given.
    """
    is_function = _is_function(fn_or_annotation)
    if output_schema is not UNSET:
        return _overridden(fn_or_annotation, is_function, where, output_schema)
    annotation = read_result(fn_or_annotation, where) if is_function else awaited(fn_or_annotation)
    annotation = _without_questions(annotation)
    # A bare `list` says nothing of what is in it, which may be content as well as data.
    kind = "any" if annotation is list else _kind(annotation)
    if kind != "json":
        return ResultShape(where, kind)
    adopted = adopt(annotation, Site(f"{where}: the return annotation", "output"))
    schema = _written(schema_of(adopted, "output"), f"{where}: the schema of the return annotation")
    returns = parse(read_docstring(fn_or_annotation, where)).returns if is_function else ""
    if not schema:
        return ResultShape(where, "any")
    if returns and "description" not in schema:
        schema = schema | {"description": returns}
    return ResultShape(where, _SCALARS.get(_bare(adopted), "json"), schema, adopted)


def _without_questions(annotation: Any) -> Any:
    """A return annotation without the `InputRequired` of a handler that asks by returning: that is no result."""
    if annotation is InputRequired:
        return None
    if not is_union(annotation):
        return annotation
    arms = [arm for arm in get_args(annotation) if arm is not InputRequired]
    return Union[tuple(arms)] if arms else None  # noqa: UP007 (built from a tuple)


def valid_contents(contents: ResourceContents) -> ResourceContents:
    """The same contents with valid Unicode text."""
    if contents.text is None or valid(contents.text) == contents.text:
        return contents
    return msgspec.structs.replace(contents, text=valid(contents.text))


def block_of(value: Any) -> ContentBlock:
    """The content block of a block, a `Media` or `ResourceContents`; its text is valid Unicode."""
    if isinstance(value, Image | Audio | File):
        return value.block()
    if isinstance(value, ResourceContents):
        return EmbeddedResource(resource=valid_contents(value))
    if isinstance(value, TextContent) and valid(value.text) != value.text:
        return msgspec.structs.replace(value, text=valid(value.text))
    if isinstance(value, EmbeddedResource):
        return msgspec.structs.replace(value, resource=valid_contents(value.resource))
    return value


BLOCKS = (TextContent, ImageContent, AudioContent, ResourceLink, EmbeddedResource)
BLOCK_LIKE = (*BLOCKS, Media, ResourceContents)
_NO_SCHEMA = (*BLOCK_LIKE, ToolResult, Result)
_SEQUENCES = (list, tuple, set, frozenset, abc.Sequence, abc.Iterable, abc.Iterator, abc.Generator, abc.AsyncIterable,
              abc.AsyncIterator, abc.AsyncGenerator, abc.Collection)  # fmt: skip
_SCALARS: dict[Any, Kind] = {int: "int", float: "float", bool: "bool", str: "str"}


def _overridden(fn: Any, is_function: bool, where: str, schema: Any) -> ResultShape:
    if schema is not None and not is_object(schema):
        raise RegistrationError(
            f"{where}: output_schema must be a JSON Schema as a dict, or None, not {type(schema).__name__}"
        )
    if schema is not None:
        schema = _written(schema, f"{where}: output_schema")
    try:
        annotation = read_result(fn, where) if is_function else awaited(fn)
    except RegistrationError:  # nothing depends on it
        annotation = MISSING
    kind = _kind(annotation)
    return ResultShape(where, "any" if kind == "json" or schema is not None else kind, schema)


def _written(schema: Schema, where: str) -> Schema:
    try:
        return written(schema)
    except Unsupported as error:
        raise RegistrationError(f"{where} cannot be written as JSON: {error}") from None


def _is_function(thing: Any) -> bool:
    """Whether this is a handler rather than an annotation, which may be callable too."""
    is_annotation = isinstance(thing, type) or get_origin(thing) is not None or hasattr(thing, "__supertype__")
    return callable(thing) and not is_annotation and type(thing).__module__ != "typing"


def _kind(annotation: Any) -> Kind:
    if annotation in (None, type(None), Never, NoReturn):
        return "none"
    if annotation in (MISSING, Any, object):
        return "any"
    return "blocks" if _holds_blocks(annotation) else "json"


def _holds_blocks(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _holds_blocks(annotation.__origin__)
    if is_union(annotation) or get_origin(annotation) in _SEQUENCES:
        return any(_holds_blocks(each) for each in get_args(annotation))
    return isinstance(annotation, type) and issubclass(annotation, _NO_SCHEMA)


def _bare(adopted: Any) -> Any:
    """The type below `Annotated`, unless a constraint stands there that a scalar writer would not check."""
    while get_origin(adopted) is Annotated:
        if any(getattr(meta, name) is not None for meta in adopted.__metadata__ for name in CONSTRAINTS):
            return None
        adopted = adopted.__origin__
    return adopted if isinstance(adopted, type) else None


def _shown_text(structured: Any, text: str) -> str:
    """A string is its own text; anything else is JSON."""
    return structured if isinstance(structured, str) else text


def _type_name(value: Any) -> str:
    kind: type[Any] = value.__class__
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
