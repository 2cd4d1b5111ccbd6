"""What the metadata of an `Annotated` says, whoever's words it uses: msgspec's, pydantic's, annotated-types', a string.

`read_metadata` gathers it into constraints and notes that fit a `msgspec.Meta`; `for_pydantic` says the same in
pydantic's words. Metadata that is nobody's constraint is somebody's marker and is left alone (PEP 593). No optional
package is imported here: pydantic's and annotated-types' objects are known by their class.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import msgspec

from tybalt.server import pydantic_models

CONSTRAINTS = ("ge", "gt", "le", "lt", "multiple_of", "pattern", "min_length", "max_length", "tz")
NOTES = ("title", "description", "examples", "extra_json_schema")

Reader = Literal["msgspec", "pydantic", "either", "nobody"]


class Uncheckable(Exception):
    """Metadata that neither msgspec nor pydantic would check; the text says which."""


class Metadata:
    """What all the metadata of one annotation says together.

    Of two bounds the narrower holds. `only_pydantic` names the first piece that msgspec has no word for. `default` and
    `default_factory` are `msgspec.NODEFAULT` where a `pydantic.Field` gives none.
    """

    __slots__ = ("alias", "constraints", "default", "default_factory", "notes", "only_pydantic")

    def __init__(self) -> None:
        self.constraints: dict[str, Any] = {}
        self.notes: dict[str, Any] = {}
        self.only_pydantic: str | None = None
        self.alias: str | None = None
        self.default: Any = msgspec.NODEFAULT
        self.default_factory: Any = msgspec.NODEFAULT

    @property
    def description(self) -> str | None:
        """The description given in the annotation itself."""
        return self.notes.get("description")

    def metas(self) -> list[msgspec.Meta]:
        """The constraints and the notes, each as a `msgspec.Meta`; an absent one is left out.

        Raises `TypeError` or `ValueError` for bounds msgspec does not have, such as dates.
        """
        return [msgspec.Meta(**said) for said in (self.constraints, self.notes) if said]


def read_metadata(items: Iterable[Any]) -> Metadata:
    """Gathers `items`, the metadata of one `Annotated`. Raises `Uncheckable`."""
    metadata = Metadata()
    for item in items:
        _read(item, metadata)
    return metadata


def for_pydantic(items: Iterable[Any]) -> Iterator[Any]:
    """The same metadata in pydantic's words. Raises `Uncheckable`."""
    for item in items:
        if isinstance(item, msgspec.Meta):
            said = {name: value for name in (*CONSTRAINTS, *NOTES) if (value := getattr(item, name)) is not None}
            if "tz" in said:
                raise Uncheckable("pydantic does not check `Meta(tz=...)`")
            yield pydantic_models.field_for(said)
        elif (text := _documentation(item)) is not None:
            yield pydantic_models.field_for({"description": text})
        elif type(item).__name__ == "Timezone" and _is_annotated_types(item):
            raise Uncheckable("pydantic does not check `annotated_types.Timezone`")
        else:
            yield item


def reader_of(item: Any) -> Reader:
    """Who acts on a piece of metadata that stands on a field of a class."""
    if isinstance(item, msgspec.Meta):
        return "msgspec" if any(getattr(item, name) is not None for name in CONSTRAINTS) else "either"
    if _documentation(item) is not None or type(item).__name__ == "Unit":
        return "either"
    return "pydantic" if _is_annotated_types(item) or pydantic_models.is_constraint(item) else "nobody"


_NARROWER: dict[str, Callable[[Any, Any], Any]] = {
    "ge": max,
    "gt": max,
    "min_length": max,
    "le": min,
    "lt": min,
    "max_length": min,
}

_BOUNDS = {
    "Ge": "ge",
    "Gt": "gt",
    "Le": "le",
    "Lt": "lt",
    "MultipleOf": "multiple_of",
    "MinLen": "min_length",
    "MaxLen": "max_length",
}


def _read(item: Any, metadata: Metadata) -> None:
    if isinstance(item, msgspec.Meta):
        _read_meta(item, metadata)
    elif (text := _documentation(item)) is not None:
        metadata.notes.setdefault("description", text)
    elif pydantic_models.is_field(item):
        _read_field(item, metadata)
    elif getattr(item, "__is_annotated_types_grouped_metadata__", False):
        for part in iter(item):
            _read(part, metadata)
    elif _is_annotated_types(item):
        _read_annotated_types(item, metadata)
    elif type(item).__name__ == "_PydanticGeneralMetadata" and list(_dictionary(item)) == ["pattern"]:
        _constrain(metadata, "pattern", item.pattern)
    elif pydantic_models.is_constraint(item):
        metadata.only_pydantic = metadata.only_pydantic or shown_item(item)


def _read_meta(item: msgspec.Meta, metadata: Metadata) -> None:
    for name in CONSTRAINTS:
        if (value := getattr(item, name)) is not None:
            _constrain(metadata, name, value)
    _note(metadata, {name: getattr(item, name) for name in NOTES})


def _read_field(item: Any, metadata: Metadata) -> None:
    try:
        said = pydantic_models.read_field(item)
    except pydantic_models.Unsupported as error:
        raise Uncheckable(f"`Field`: {error}") from error
    for part in said.rest:
        _read(part, metadata)
    _note(metadata, {name: getattr(said, name) for name in NOTES})
    metadata.alias = said.alias or metadata.alias
    if said.default is not msgspec.NODEFAULT:
        metadata.default = said.default
    if said.default_factory is not None:
        metadata.default_factory = said.default_factory
    metadata.only_pydantic = metadata.only_pydantic or said.only_pydantic


def _read_annotated_types(item: Any, metadata: Metadata) -> None:
    name = type(item).__name__
    if name in _BOUNDS:
        _constrain(metadata, _BOUNDS[name], getattr(item, _BOUNDS[name]))
    elif name == "Timezone":
        if item.tz is not None and item.tz is not ...:
            raise Uncheckable(f"only `Timezone(...)` and `Timezone(None)` can be checked, not {item!r}")
        _constrain(metadata, "tz", item.tz is ...)
    elif name in {"Predicate", "Not"}:
        metadata.only_pydantic = metadata.only_pydantic or shown_item(item)
    elif name != "Unit":
        raise Uncheckable(f"{item!r} is a constraint nobody checks here")


def _constrain(metadata: Metadata, name: str, value: Any) -> None:
    held = metadata.constraints.get(name, value)
    if held != value and name not in _NARROWER:
        metadata.only_pydantic = metadata.only_pydantic or f"two different `{name}`"
    metadata.constraints[name] = _NARROWER[name](held, value) if held != value and name in _NARROWER else value


def _note(metadata: Metadata, said: dict[str, Any]) -> None:
    extra = metadata.notes.get("extra_json_schema", {}) | (said.pop("extra_json_schema") or {})
    metadata.notes.update({name: value for name, value in said.items() if value is not None})
    if extra:
        metadata.notes["extra_json_schema"] = extra


def shown_item(item: Any) -> str:
    """A piece of metadata in a few words, for error texts."""
    if pydantic_models.is_field(item):
        return "`Field(...)`"
    text = repr(item)
    return f"`{text if len(text) <= 80 else type(item).__name__}`"


def _documentation(item: Any) -> str | None:
    """The text of a bare string, and of the `Doc` of PEP 727 under either of its names."""
    if isinstance(item, str):
        return item
    return item.documentation if type(item).__name__ in {"Doc", "DocInfo"} else None


def _dictionary(item: Any) -> dict[str, Any]:
    return getattr(item, "__dict__", {})


def _is_annotated_types(item: Any) -> bool:
    """Whether an object is one of annotated-types' constraints, or of a class derived from one."""
    packages = [each.__module__.partition(".")[0] for each in type(item).__mro__]
    return "annotated_types" in packages and packages[0] not in pydantic_models.PACKAGES
