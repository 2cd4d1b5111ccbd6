"""JSON Schema 2020-12 for annotations, for what comes in and for what goes out.

msgspec analyses the type and this module writes it down, instead of `msgspec.json.schema`, which sorts enum members,
leaves out their `type` and the format of most dates, and fails on a dataclass whose default has no JSON form. The
schemas of all the parameters of one tool share their `$defs`. It takes annotations that `annotations.py` has adopted.

2026-07-28 basic/index, "JSON Schema Usage"; the output is plain 2020-12 without `$schema` and holds local refs only.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from enum import Flag
from typing import Any, cast

import msgspec
from msgspec import inspect as kinds

from tybalt.server import docstring
from tybalt.server.custom_types import Alternatives, describe_custom, encode_custom, enumeration
from tybalt.server.json_values import Schema, is_array, is_object, non_finite
from tybalt.server.pydantic_models import Direction, Unsupported


def schema_of(annotation: Any, direction: Direction = "input") -> Schema:
    """The schema of one adopted annotation, with its `$defs` inside; a root `$ref` is replaced by what it names.

    Raises `Unsupported` for what has no JSON form.
    """
    schemas = Schemas(direction)
    return schemas.rooted(schemas.describe(annotation))


def exact_schema_of(annotation: Any) -> Schema:
    """The schema for output as `conformity.py` checks it: moments say their format also where no offset is promised.

    Whether they have an offset stands beside it as `tz`, which is no keyword of JSON Schema. Raises as `schema_of`.
    """
    schemas = Schemas("output", exact=True)
    return schemas.rooted(schemas.describe(annotation))


def written(schema: Schema) -> Schema:
    """The schema as the JSON it becomes, with nothing in it that is the author's own object.

    Raises `Unsupported` where an example or another note has no JSON form.
    """
    try:
        if any(non_finite(schema)):
            raise ValueError("it holds a NaN or an infinity, which JSON has no word for")
        return msgspec.json.decode(msgspec.json.encode(schema, enc_hook=encode_custom))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsupported(_one_line(error)) from error


def refusal(annotation: Any, direction: Direction = "input") -> str | None:
    """Why msgspec cannot decode or describe an annotation, in one line; None when it can.

    Raises `NameError` where a class has an annotation that does not resolve.
    """
    try:
        Schemas(direction).describe(annotation)
    except Unsupported as reason:
        return str(reason)
    return None


def encoded_default(value: Any) -> Any:
    """A default as it stands in a schema, or `msgspec.NODEFAULT` where it has no JSON form."""
    try:
        plain = msgspec.to_builtins(value, str_keys=True, enc_hook=encode_custom)
        if any(non_finite(plain)):
            return msgspec.NODEFAULT
        return msgspec.json.decode(msgspec.json.encode(plain))
    except (TypeError, ValueError, RecursionError, OverflowError):
        return msgspec.NODEFAULT


class Schemas:
    """Writes schemas that share one set of definitions; `definitions` fills as they are described."""

    __slots__ = ("_exact", "_names", "definitions", "direction")

    def __init__(self, direction: Direction, *, exact: bool = False) -> None:
        self.direction: Direction = direction
        self._exact = exact
        self.definitions: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}

    def describe(self, annotation: Any) -> Schema:
        """The schema of an adopted annotation; raises `Unsupported`, and msgspec's errors for what it refuses."""
        try:
            node = kinds.type_info(annotation)
        except RecursionError as error:
            raise Unsupported("it is a type alias that contains itself") from error
        except (TypeError, ValueError) as error:
            raise Unsupported(_one_line(error)) from error
        return self._node(node)

    def rooted(self, root: Schema) -> Schema:
        """`root` with every definition it needs under `$defs`; when it is only a ref, with what it names in place."""
        name = _local(root.get("$ref"))
        if name in self.definitions:
            root = self.definitions[name] | {key: value for key, value in root.items() if key != "$ref"}
        needed: dict[str, Schema] = {}
        _collect(root, self.definitions, needed)
        return root | {"$defs": needed} if needed else root

    def _node(self, node: kinds.Type) -> Schema:
        extra: Schema = {}
        while isinstance(node, kinds.Metadata):
            outer = cast("Schema", node.extra_json_schema or {})
            extra, node = outer | extra, node.type
        return self._bare(node) | extra

    def _bare(self, node: kinds.Type) -> Schema:
        if isinstance(node, _NAMED):
            return {"$ref": f"#/$defs/{self._name(node)}"}
        if isinstance(node, kinds.CustomType):
            return self._custom(node.cls)
        if isinstance(node, kinds.UnionType):
            return self._any_of([self._node(each) for each in node.types])
        if isinstance(node, kinds.CollectionType):
            return self._collection(node)
        if isinstance(node, kinds.TupleType):
            return self._tuple([self._node(each) for each in node.item_types])
        if isinstance(node, kinds.DictType):
            return self._dict(node)
        if isinstance(node, kinds.DateTimeType | kinds.TimeType):
            return self._moment(node)
        write = _SCALARS.get(type(node))
        if write is None:
            raise Unsupported(f"{type(node).__name__} has no JSON form")
        return write(node)

    def _any_of(self, arms: list[Schema]) -> Schema:
        null = [arm for arm in arms if arm == {"type": "null"}]
        return {"anyOf": [arm for arm in arms if arm != {"type": "null"}] + null}

    def _collection(self, node: kinds.CollectionType) -> Schema:
        items = self._node(node.item_type)
        return (
            {"type": "array"}
            | ({"items": items} if items else {})
            | _present(minItems=node.min_length, maxItems=node.max_length)
            | ({"uniqueItems": True} if isinstance(node, kinds.SetType | kinds.FrozenSetType) else {})
        )

    def _tuple(self, items: list[Schema]) -> Schema:
        bounds: Schema = {"minItems": len(items), "maxItems": len(items)}
        return {"type": "array"} | ({"prefixItems": items, "items": False} if items else {}) | bounds

    def _dict(self, node: kinds.DictType) -> Schema:
        keys = self._key(node.key_type)
        values = self._node(node.value_type)
        return (
            {"type": "object"}
            | ({"propertyNames": keys} if keys else {})
            | ({"additionalProperties": values} if values else {})
            | _present(minProperties=node.min_length, maxProperties=node.max_length)
        )

    def _key(self, node: kinds.Type) -> Schema:
        """What is asked of a key beyond being a string, the only keys that JSON has: of an integer, its digits."""
        bare = node
        while isinstance(bare, kinds.Metadata):
            bare = bare.type
        if isinstance(bare, kinds.UnionType):
            arms = [self._key(arm) for arm in bare.types]
            return {"anyOf": arms} if all(arms) else {}
        schema = self._node(node)
        said = self.definitions[self._name(bare)] if isinstance(bare, kinds.EnumType) else schema
        values = said.get("enum")
        if values and not all(isinstance(value, str) for value in values):
            return {"enum": [each if isinstance(each, str) else msgspec.json.encode(each).decode() for each in values]}
        if said.get("type") in ("integer", "number"):
            return {"pattern": "^-?[0-9]+$"} if said["type"] == "integer" else {}
        return {key: value for key, value in schema.items() if key != "type"}

    def _moment(self, node: kinds.DateTimeType | kinds.TimeType) -> Schema:
        """What comes in is asked for with an offset; what goes out has one only where the type says so."""
        name = "date-time" if isinstance(node, kinds.DateTimeType) else "time"
        if self._exact:
            return {"type": "string", "format": name} | _present(tz=node.tz)
        if node.tz is False or (node.tz is None and self.direction == "output"):
            return {"type": "string"}
        return {"type": "string", "format": name}

    def _custom(self, kind: Any) -> Schema:
        if isinstance(kind, type) and issubclass(kind, Alternatives):
            return self._any_of([self.describe(arm) for arm in kind.arms])
        return self._adopted(describe_custom(kind, self.direction))

    def _adopted(self, fragment: Schema) -> Schema:
        """A finished schema from elsewhere: its definitions join ours, under other names where those are taken."""
        own: dict[str, Schema] = fragment.pop("$defs", {})
        if any(name in self.definitions and self.definitions[name] != schema for name, schema in own.items()):
            renamed = {f"#/$defs/{name}": f"#/$defs/{self._free(name)}" for name in own}
            own = {_local(renamed[f"#/$defs/{name}"]) or name: _redirected(own[name], renamed) for name in own}
            fragment = _redirected(fragment, renamed)
        self.definitions.update(own)
        return fragment

    def _name(self, node: Any) -> str:
        name = self._names.get(node.cls)
        if name is None:
            name = self._names[node.cls] = self._free(re.sub(r"[^A-Za-z0-9_.-]+", "_", _title(node.cls)).strip("_"))
            self.definitions[name] = {}  # taken, should the type contain itself
            self.definitions[name] = self._definition(node)
        return name

    def _free(self, name: str) -> str:
        number = 2
        free = name
        while free in self.definitions:
            free, number = f"{name}_{number}", number + 1
        return free

    def _definition(self, node: Any) -> Schema:
        doc = docstring.parse(_own_docstring(node.cls))
        about: Schema = {"title": _title(node.cls)} | ({"description": doc.description} if doc.description else {})
        if isinstance(node, kinds.EnumType):
            if issubclass(node.cls, Flag):  # whose values combine
                return about | {"type": "integer"}
            return about | enumeration([member.value for member in node.cls])
        fields = list(self._fields(node, doc.parameters))
        required = sum(1 for _, _, needed in fields if needed)
        if isinstance(node, kinds.NamedTupleType) or getattr(node, "array_like", False):
            items = [{"title": name} | schema for name, schema, _ in fields]
            return about | {"type": "array", "prefixItems": items, "minItems": required, "maxItems": len(items)}
        return (
            about
            | {"type": "object", "properties": {name: schema for name, schema, _ in fields}}
            | ({"required": [name for name, _, needed in fields if needed]} if required else {})
            | ({"additionalProperties": False} if getattr(node, "forbid_unknown_fields", False) else {})
        )

    def _fields(self, node: Any, documented: dict[str, str]) -> Iterator[tuple[str, Schema, bool]]:
        if getattr(node, "tag_field", None) is not None:
            yield node.tag_field, enumeration([node.tag]), True
        hides = self.direction == "output" and hasattr(node.cls, "__attrs_attrs__")
        for field in _in_order(node):
            if hides and field.name.startswith("_"):  # msgspec does not send what an attrs class keeps to itself
                continue
            schema = self._node(field.type)
            if field.name in documented and "description" not in schema:
                schema = schema | {"description": documented[field.name]}
            default = _default(field)
            yield (
                field.encode_name,
                schema if default is msgspec.NODEFAULT else schema | {"default": default},
                field.required,
            )


_NAMED = (
    kinds.StructType,
    kinds.TypedDictType,
    kinds.DataclassType,
    kinds.NamedTupleType,
    kinds.EnumType,
)


def _number(node: Any) -> Schema:
    return {"type": "integer" if isinstance(node, kinds.IntType) else "number"} | _present(
        minimum=node.ge,
        exclusiveMinimum=node.gt,
        maximum=node.le,
        exclusiveMaximum=node.lt,
        multipleOf=node.multiple_of,
    )


def _string(node: Any) -> Schema:
    return {"type": "string"} | _present(minLength=node.min_length, maxLength=node.max_length, pattern=node.pattern)


def _bytes(node: Any) -> Schema:
    """Bounds are in bytes; every three of them are four characters of base64."""
    least, most = ((bound + 2) // 3 * 4 if bound is not None else None for bound in (node.min_length, node.max_length))
    return {"type": "string", "contentEncoding": "base64"} | _present(minLength=least, maxLength=most)


def _constant(schema: Schema) -> Callable[[Any], Schema]:
    return lambda _: dict(schema)


_SCALARS: dict[type, Callable[[Any], Schema]] = {
    kinds.AnyType: _constant({}),
    kinds.RawType: _constant({}),
    kinds.NoneType: _constant({"type": "null"}),
    kinds.BoolType: _constant({"type": "boolean"}),
    kinds.IntType: _number,
    kinds.FloatType: _number,
    kinds.StrType: _string,
    kinds.BytesType: _bytes,
    kinds.ByteArrayType: _bytes,
    kinds.MemoryViewType: _bytes,
    kinds.DateType: _constant({"type": "string", "format": "date"}),
    kinds.TimeDeltaType: _constant({"type": "string", "format": "duration"}),
    kinds.UUIDType: _constant({"type": "string", "format": "uuid"}),
    kinds.DecimalType: _constant({"type": "string", "format": "decimal"}),
    kinds.LiteralType: lambda node: enumeration(list(node.values)),
}


def _present(**bounds: Any) -> Schema:
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _title(cls: Any) -> str:
    origin = getattr(cls, "__origin__", None)
    if origin is None:
        return cls.__name__
    arguments = ", ".join(each.__name__ if isinstance(each, type) else str(each) for each in cls.__args__)
    return f"{origin.__name__}[{arguments}]"


def _own_docstring(cls: Any) -> str | None:
    """What its author wrote; not what a dataclass, a NamedTuple or a base class wrote for it."""
    cls = getattr(cls, "__origin__", cls)
    doc = cls.__dict__.get("__doc__")
    generated = not isinstance(doc, str) or doc.startswith(f"{cls.__name__}(") or doc == "An enumeration."
    return None if generated else inspect.cleandoc(doc)


def _in_order(node: Any) -> list[kinds.Field]:
    """The fields as they were written; msgspec sorts those of a TypedDict."""
    if not isinstance(node, kinds.TypedDictType):
        return list(node.fields)
    written = list(getattr(node.cls, "__origin__", node.cls).__annotations__)
    return sorted(node.fields, key=lambda field: written.index(field.name))


def _default(field: kinds.Field) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return encoded_default(field.default)
    if field.default_factory in (list, dict, set):
        return encoded_default(field.default_factory())
    return msgspec.NODEFAULT


def _local(reference: Any) -> str | None:
    return reference.removeprefix("#/$defs/") if isinstance(reference, str) else None


def _collect(schema: Any, definitions: dict[str, Schema], needed: dict[str, Schema]) -> None:
    """Every definition that `schema` refers to, directly or not, goes to `needed`."""
    if is_object(schema):
        name = _local(schema.get("$ref"))
        if name in definitions and name not in needed:
            needed[name] = definitions[name]
            _collect(needed[name], definitions, needed)
        for value in schema.values():
            _collect(value, definitions, needed)
    elif is_array(schema):
        for value in schema:
            _collect(value, definitions, needed)


def _redirected(schema: Any, renamed: dict[str, str]) -> Any:
    if is_object(schema):
        return {
            key: renamed.get(value, value) if key == "$ref" and isinstance(value, str) else _redirected(value, renamed)
            for key, value in schema.items()
        }
    return [_redirected(each, renamed) for each in schema] if is_array(schema) else schema


def _one_line(error: BaseException) -> str:
    if isinstance(error, UnicodeEncodeError):
        return "half of a surrogate pair is no Unicode text"
    return (str(error).strip() or type(error).__name__).splitlines()[0]
