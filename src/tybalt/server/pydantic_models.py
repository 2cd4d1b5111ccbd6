"""pydantic, for the handlers that use it: models, `Field`, and annotations msgspec cannot decode.

The only module that imports pydantic, and only when an annotation or a value needs it: telling whether something is
pydantic's takes no import. It is no second validation layer; whatever msgspec can do is done by msgspec. Values come in
as decoded JSON and are validated as JSON, so that strict mode means the same for both. Below `annotations.py`,
`schema.py` and `results.py`, which decide when pydantic is asked.
"""

import importlib
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal

import msgspec

from tybalt.server.json_values import is_object

Direction = Literal["input", "output"]
PACKAGES = frozenset({"pydantic", "pydantic_core", "pydantic_extra_types"})


class Unsupported(Exception):
    """pydantic refuses an annotation; the text is its reason."""


class Unknown(Unsupported):
    """pydantic has no schema for a type; the text names it, and advice for authors of pydantic types is left out."""


class Problem(msgspec.Struct, frozen=True):
    """One failure of a validation: where, what pydantic says, its error type, and the value found there."""

    location: tuple[str | int, ...]
    message: str
    kind: str
    value: Any


class Notes(msgspec.Struct, frozen=True):
    """What a `pydantic.Field(...)` says, in a form that needs no pydantic to read.

    `default` is `msgspec.NODEFAULT` when there is none. `extra_json_schema` are schema keywords beyond the named ones.
    `rest` holds the constraint objects, for whoever reads metadata; `only_pydantic` names an option nothing else
    understands.
    """

    default: Any
    default_factory: Any
    alias: str | None
    title: str | None
    description: str | None
    examples: list[Any] | None
    extra_json_schema: dict[str, Any]
    rest: tuple[Any, ...]
    only_pydantic: str | None


class Adapter:
    """Validates and describes one annotation with pydantic. Raises `Unsupported` when pydantic cannot."""

    __slots__ = ("_type_adapter", "annotation")

    def __init__(self, annotation: Any) -> None:
        import pydantic
        import pydantic_core

        self.annotation = annotation
        try:
            self._type_adapter: Any = pydantic.TypeAdapter(annotation)
        except (pydantic.PydanticUserError, pydantic_core.SchemaError, *_REFUSALS) as error:
            raise _refused(error) from error

    def validate(self, value: Any, *, strict: bool) -> Any:
        """The typed value for decoded JSON; pydantic's `ValidationError` (a `ValueError`) when it does not fit.

        Lax (`strict=False`) is pydantic's own lax mode, `"5"` for 5 and the like, but for what says itself that it is
        strict.
        """
        return self._type_adapter.validate_json(msgspec.json.encode(value), strict=True if strict else None)

    def schema(self, direction: Direction) -> dict[str, Any]:
        """The JSON Schema, with its own `$defs`, refs as `#/$defs/Name`, and no titles made from field names."""
        import pydantic

        mode: Literal["validation", "serialization"] = "validation" if direction == "input" else "serialization"
        try:
            return self._type_adapter.json_schema(
                mode=mode, ref_template="#/$defs/{model}", schema_generator=_schema_generator()
            )
        except (pydantic.PydanticUserError, *_REFUSALS) as error:
            raise _refused(error) from error

    def dump(self, value: Any) -> Any:
        """The value as JSON builtins, by alias, as the schema for output says; `ValueError` for another type."""
        return self._type_adapter.dump_python(value, mode="json", by_alias=True, warnings="error")


def installed() -> bool:
    """Whether pydantic can be imported; imports it."""
    try:
        importlib.import_module("pydantic")
    except ImportError:
        return False
    return True


def knows(kind: Any) -> bool:
    """Whether a class brings its own pydantic validation: a model, a pydantic dataclass or type. Imports nothing."""
    return isinstance(kind, type) and (
        hasattr(kind, "__get_pydantic_core_schema__") or "__pydantic_validator__" in kind.__dict__
    )


def is_model(kind: Any) -> bool:
    """Whether a class is a pydantic model, whose values are instances of it; not a pydantic dataclass or type."""
    return (
        isinstance(kind, type)
        and "__pydantic_validator__" in (own := kind.__dict__)
        and ("__dataclass_fields__" not in own)
    )


@lru_cache(maxsize=1024)
def adapter_of(kind: type) -> Adapter:
    """The adapter of a class, made once. Raises `Unsupported`, also when pydantic is not installed."""
    if not installed():
        raise Unsupported("pydantic is not installed")
    return Adapter(kind)


def dump(value: Any) -> Any:
    """A value of a pydantic type as JSON builtins. Raises `Unsupported` when pydantic is not in use or knows it not."""
    kind: type[Any] = value.__class__
    if kind is object or "pydantic" not in sys.modules:  # pydantic takes `object` for Any
        raise Unsupported("pydantic is not in use")
    serializer = kind.__dict__.get("__pydantic_serializer__")
    if serializer is not None:
        return serializer.to_python(value, mode="json", by_alias=True)
    return adapter_of(kind).dump(value)


def problems(error: BaseException | None) -> list[Problem]:
    """Every failure in pydantic's `ValidationError`; empty for anything else."""
    if error is None or not type(error).__module__.startswith("pydantic_core"):
        return []
    foreign: Any = error
    details: list[dict[str, Any]] = foreign.errors(include_url=False)
    return [Problem(tuple(each["loc"]), each["msg"], each["type"], each.get("input")) for each in details]


def is_field(item: Any) -> bool:
    """Whether an object is a `pydantic.Field(...)`. Imports nothing."""
    return type(item).__module__ == "pydantic.fields" and type(item).__name__ == "FieldInfo"


def is_constraint(item: Any) -> bool:
    """Whether pydantic would act on this piece of `Annotated` metadata. Imports nothing."""
    return (
        type(item).__module__.partition(".")[0] in PACKAGES
        or hasattr(item, "__get_pydantic_core_schema__")
        or hasattr(item, "__get_pydantic_json_schema__")
    )


def is_serializer(item: Any) -> bool:
    """Whether this piece of `Annotated` metadata says how a value is written. Imports nothing."""
    return type(item).__module__.startswith("pydantic.") and type(item).__name__ in (
        "PlainSerializer",
        "WrapSerializer",
    )


def read_field(item: Any) -> Notes:
    """Reads a `pydantic.Field(...)`. Raises `Unsupported` for what no handler parameter can have."""
    if getattr(item, "default_factory_takes_validated_data", None) and item.default_factory is not None:
        raise Unsupported("its `default_factory` takes the other values, which a parameter's cannot")
    alias = item.validation_alias if item.validation_alias is not None else item.alias
    if alias is not None and not isinstance(alias, str):
        raise Unsupported("only a plain `alias` can be the name of an argument, not AliasPath or AliasChoices")
    default = msgspec.NODEFAULT if type(item.default).__name__ == "PydanticUndefinedType" else item.default
    return Notes(
        default=default,
        default_factory=item.default_factory,
        alias=alias,
        title=item.title,
        description=item.description,
        examples=item.examples,
        extra_json_schema=_extra(item),
        rest=tuple(item.metadata),
        only_pydantic=_only_pydantic(item),
    )


def field_for(constraints: Mapping[str, Any]) -> Any:
    """A `pydantic.Field(...)` that says what a `msgspec.Meta` with these arguments says."""
    import pydantic

    arguments = dict(constraints)
    arguments["json_schema_extra"] = arguments.pop("extra_json_schema", None)
    return pydantic.Field(**arguments)


def _extra(item: Any) -> dict[str, Any]:
    extra = dict(item.json_schema_extra) if is_object(item.json_schema_extra) else {}
    if item.deprecated:
        extra["deprecated"] = True
    return extra


def _only_pydantic(item: Any) -> str | None:
    if item.discriminator is not None:
        return "discriminator"
    if callable(item.json_schema_extra):
        return "json_schema_extra"
    return None


@lru_cache(maxsize=1)
def _schema_generator() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class WithoutFieldTitles(GenerateJsonSchema):
        """A title that only repeats the name of a field costs a model's context and tells it nothing."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    return WithoutFieldTitles


_REFUSALS = (ImportError, NameError, TypeError, ValueError)  # an ImportError: `EmailStr` needs one more package


_UNKNOWN = ("schema-for-unknown-type", "invalid-for-json-schema")


def _refused(error: BaseException) -> Unsupported:
    kind = Unknown if getattr(error, "code", None) in _UNKNOWN else Unsupported
    first, *rest = (str(error).strip() or type(error).__name__).splitlines()
    if first.endswith(":") and rest:  # "Error building "str" validator:", and what is wrong in the last line
        return kind(rest[-1].strip())
    return kind(first.partition(". ")[0])
