"""Adopting an annotation: the same type in the words msgspec understands, or a refusal that says what to do.

msgspec silently ignores constraints that are not its own, and refuses some unions. So the metadata of pydantic and
annotated-types is translated to `msgspec.Meta`; what has no translation, and what msgspec refuses, goes to pydantic as
a whole, where pydantic is installed. A constraint is never dropped: what neither can check is a `RegistrationError`.
Below it are `metadata.py`, `survey.py`, `schema.py`, which knows what msgspec accepts, and `custom_types.py`.
"""

import re
from collections import abc
from collections.abc import Callable
from enum import Enum
from types import BuiltinFunctionType, FunctionType, NoneType
from typing import Annotated, Any, Final, ForwardRef, Literal, Union, get_args, get_origin

import msgspec

from tybalt.errors import RegistrationError, cut
from tybalt.server import pydantic_models
from tybalt.server.custom_types import NO_JSON, Choice, adapted, alternatives
from tybalt.server.metadata import Metadata, Uncheckable, for_pydantic, read_metadata
from tybalt.server.pydantic_models import Adapter, Direction, Unknown, Unsupported
from tybalt.server.schema import refusal
from tybalt.server.survey import CONTAINERS, is_foreign_generic, is_union, survey


class Site(msgspec.Struct, frozen=True):
    """Where an annotation stands, as an error text begins, and which way its values go.

    `aliases` are the `type` statements being looked into, so that one that contains itself is noticed. `injects` says
    that the framework could fill it instead of a client.
    """

    where: str
    direction: Direction = "input"
    aliases: tuple[Any, ...] = ()
    injects: bool = False

    def refuse(self, text: str) -> RegistrationError:
        """The error to raise for an annotation at this place."""
        stop = "" if text.endswith(("?", ".")) else "."
        other = f"{stop} Or pass output_schema=None and return what you like" if self.direction == "output" else ""
        return RegistrationError(f"{self.where}: {text}{other}")


def adopt(annotation: Any, site: Site) -> Any:
    """A type that msgspec decodes and `schema.py` describes, meaning what `annotation` means.

    Raises `RegistrationError` for what has no JSON form, with the remedy.
    """
    if any(annotation is plain for plain in _PLAIN):
        return annotation
    _refuse_values(annotation, site)
    if site.direction == "output" and _has_serializer_inside(annotation):
        # What encodes a list sees its elements, not their annotations.
        return _by_pydantic(annotation, site, "only pydantic knows the serializer in it")
    candidate = _translated(annotation, site)
    try:
        reason = refusal(candidate, site.direction)
    except NameError as error:
        raise site.refuse(
            f"a field of {shown(annotation)} is annotated with {error.name!r}, which does not exist at run time. "
            "Define or import it at module level"
        ) from None
    if reason is None:
        return candidate
    if reason.startswith("Can only set") and _bare(annotation) in _CONSTRAINED:
        raise site.refuse(f"the annotation {shown(annotation)} cannot be used: {reason}. Use another constraint")
    if site.direction == "output" and is_union(annotation):
        return alternatives(adopt(arm, site) for arm in get_args(annotation))
    return _by_pydantic(annotation, site, reason)


def metadata_of(annotation: Any, site: Site) -> Metadata:
    """What stands in the outermost `Annotated` of an annotation; empty when it is none."""
    try:
        return read_metadata(annotation.__metadata__ if get_origin(annotation) is Annotated else ())
    except Uncheckable as error:
        raise site.refuse(f"{error}. Use msgspec.Meta") from None


def shown(annotation: Any) -> str:
    """An annotation as its author would write it."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__qualname__
    return str(annotation).replace("typing.", "").replace("NoneType", "None")


_PLAIN = (int, str, float, bool, Any, None, NoneType, list, dict, bytes, msgspec.UnsetType)
_CONSTRAINED = (int, float, str, bytes, bool, list, dict, set, frozenset, tuple)  # msgspec has all that fit these
_CALLABLE: Any = abc.Callable
_STREAMS: tuple[Any, ...] = (abc.Iterator, abc.Generator, abc.AsyncIterable, abc.AsyncIterator, abc.AsyncGenerator)


def _refuse_values(annotation: Any, site: Site) -> None:
    """A value stands where a type should: a slip that looks right, as in `a: any` and `a: [int]`."""
    if isinstance(annotation, FunctionType | BuiltinFunctionType):
        wanted = {any: "typing.Any", callable: "typing.Any"}.get(annotation)
        remedy = f"Did you mean `{wanted}`?" if wanted else "Write the type of what comes in its place"
        raise site.refuse(f"the annotation `{annotation.__name__}` is a function, not a type. {remedy}")
    if (remedy := _VALUES.get(annotation.__class__)) is not None:
        raise site.refuse(f"the annotation {cut(repr(annotation))} is a value, not a type. {remedy}")
    if get_origin(annotation) is Literal and not get_args(annotation):
        raise site.refuse("the annotation Literal[()] has no value. List those that may come")


_LITERAL = "Write `Literal[...]` if nothing else may come"
_VALUES: dict[type[Any], str] = {
    list: "Write `list[...]`",
    tuple: "Write `tuple[...]`, or `X | Y`",
    dict: "Write `dict[str, ...]`",
    **dict.fromkeys((bool, int, float, str, bytes), _LITERAL),
}


class _SelfContaining(Exception):
    """A `type` statement refers to itself: msgspec has no such type, pydantic has."""


def _translated(annotation: Any, site: Site) -> Any:
    origin, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if origin is Annotated:
        return _annotated(annotation, site)
    if is_union(annotation):
        return Union[tuple(adopt(each, site) for each in arguments)]  # noqa: UP007 - its members are known only now
    if origin is Literal:
        return _literal(annotation, arguments)
    if hasattr(annotation, "__supertype__"):
        return adopt(annotation.__supertype__, site)
    if hasattr(origin, "__value__"):
        return adopt(origin.__value__[arguments], site) if arguments else _alias(annotation, site)
    if origin is Final:
        return adopt(arguments[0], site)
    if origin is abc.Iterable or origin in _STREAMS:
        return _list(annotation, origin, arguments, site)
    if origin in CONTAINERS and arguments:
        return _rebuilt(annotation, lambda each: adopt(each, site))
    return Any if annotation is object else _class(annotation, site)


def _literal(annotation: Any, values: tuple[Any, ...]) -> Any:
    """The same values in their order; members of an enum, which msgspec refuses here, by their values."""
    if any(isinstance(value, Enum) for value in values):
        return adapted(Choice(values))
    return Annotated[annotation, msgspec.Meta(extra_json_schema={"enum": list(values)})]


def _annotated(annotation: Any, site: Site) -> Any:
    metadata = metadata_of(annotation, site)
    if metadata.only_pydantic is not None:
        return _by_pydantic(annotation, site, f"only pydantic can check {metadata.only_pydantic}")
    inner = annotation.__origin__
    try:
        metas = metadata.metas()
    except re.error as error:  # pydantic's patterns are Rust's, which has some that Python has not
        return _by_pydantic(annotation, site, f"its pattern: {error}", "Mend the pattern")
    except (TypeError, ValueError) as error:
        return _by_pydantic(annotation, site, str(error))
    if metadata.constraints and is_union(inner):
        return _with(_limited(annotation, inner, metas[0], site), metas[1:])
    return _with(adopt(inner, site), metas)


def _bare(annotation: Any) -> Any:
    inner = annotation.__origin__ if get_origin(annotation) is Annotated else annotation
    return get_origin(inner) or inner


def _with(kind: Any, metas: list[msgspec.Meta]) -> Any:
    for meta in metas:
        kind = Annotated[kind, meta]
    return kind


def _limited(annotation: Any, union: Any, limit: msgspec.Meta, site: Site) -> Any:
    """A union with the constraint on each member but None, where msgspec and pydantic check it."""
    members = [each for each in get_args(union) if each is not NoneType]
    limited = [Annotated[adopt(each, site), limit] for each in members]
    reasons = [reason for each in limited if (reason := refusal(each, site.direction)) is not None]
    if reasons and all(_bare(each) in _CONSTRAINED for each in members):
        raise site.refuse(
            f"the annotation {shown(annotation)} cannot be used: {reasons[0]}. "
            "Put the constraint on the member it is meant for, as in `Annotated[int, Meta(ge=1)] | str`"
        )
    return Union[tuple(limited if len(members) == len(get_args(union)) else [*limited, None])]  # noqa: UP007


def _list(annotation: Any, origin: Any, arguments: tuple[Any, ...], site: Site) -> Any:
    """What is iterated over comes as a list; what is iterated over once can only be a result."""
    if origin is not abc.Iterable and site.direction == "input":
        raise site.refuse(f"the annotation {shown(annotation)} cannot be used: arguments come at once. Use list[...]")
    return list[adopt(arguments[0], site)] if arguments else list


def _alias(annotation: Any, site: Site) -> Any:
    if any(annotation is each for each in site.aliases):
        raise _SelfContaining
    if _has_reference(annotation.__value__):
        return _by_pydantic(annotation, site, "it is a type alias that names a type in a string")
    inside = msgspec.structs.replace(site, aliases=(*site.aliases, annotation))
    try:
        return adopt(annotation.__value__, inside)
    except _SelfContaining:
        if site.aliases:
            raise
        return _by_pydantic(annotation, site, "it is a type alias that contains itself")


def _has_reference(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _has_reference(annotation.__origin__)
    if get_origin(annotation) is Literal:
        return False
    return isinstance(annotation, str | ForwardRef) or any(map(_has_reference, get_args(annotation)))


def _class(annotation: Any, site: Site) -> Any:
    if get_origin(annotation) is type:
        raise site.refuse(f"the annotation {shown(annotation)} cannot be used. {_remedy(type)}")
    if is_foreign_generic(annotation):
        return _by_pydantic(annotation, site, f"it {NO_JSON}")
    if pydantic_models.knows(annotation) and not pydantic_models.is_model(annotation):
        return _by_pydantic(annotation, site, "only pydantic can read it")
    for finding in survey(annotation):
        if finding.reader == "pydantic":
            return _by_pydantic(annotation, site, f"only pydantic can check {finding.text}")
    return annotation


def _by_pydantic(annotation: Any, site: Site, reason: str, remedy: str | None = None) -> Any:
    """The annotation as a type pydantic decodes, because msgspec cannot: `reason`."""
    remedy = remedy or _remedy(annotation)
    if site.injects and isinstance(annotation, type) and reason.endswith(NO_JSON):
        remedy = f"Where no client is to send it: Annotated[{shown(annotation)}, Depends(…)]. {remedy}"
    complaint = f"the annotation {shown(annotation)} cannot be used: {reason}"
    for finding in survey(annotation):
        if finding.reader == "msgspec":
            raise site.refuse(f"{complaint}, but pydantic does not check {finding.text}. Use one of the two")
    if not pydantic_models.installed():
        raise site.refuse(f"{complaint}. {remedy}, or install pydantic")
    try:
        adapter = Adapter(_in_pydantic_words(annotation))
        adapter.schema(site.direction)
    except (Unsupported, Uncheckable) as error:
        if not (isinstance(error, Unknown) and reason.endswith(NO_JSON)):  # else it says what we said
            complaint = f"{complaint} (pydantic: {error})"
        raise site.refuse(f"{complaint}. {remedy}") from None
    return adapted(adapter)


def _has_serializer_inside(annotation: Any) -> bool:
    """Whether something inside of a container or a union says how pydantic is to write it."""
    if get_origin(annotation) is Annotated:
        return _has_serializer_inside(annotation.__origin__)
    inner = get_args(annotation) if is_union(annotation) or get_origin(annotation) in CONTAINERS else ()
    return any(_is_serialized(each) or _has_serializer_inside(each) for each in inner)


def _is_serialized(annotation: Any) -> bool:
    return get_origin(annotation) is Annotated and any(map(pydantic_models.is_serializer, annotation.__metadata__))


def _in_pydantic_words(annotation: Any) -> Any:
    """The annotation with every `msgspec.Meta` outside a class written as a pydantic `Field`."""
    if get_origin(annotation) is Annotated:
        kind = _in_pydantic_words(annotation.__origin__)
        for item in for_pydantic(annotation.__metadata__):
            kind = Annotated[kind, item]
        return kind
    if hasattr(annotation, "__supertype__"):
        return _in_pydantic_words(annotation.__supertype__)
    if is_union(annotation):
        return Union[tuple(map(_in_pydantic_words, get_args(annotation)))]  # noqa: UP007
    if get_origin(annotation) in CONTAINERS and get_args(annotation):
        return _rebuilt(annotation, _in_pydantic_words)
    return annotation


def _rebuilt(annotation: Any, change: Callable[[Any], Any]) -> Any:
    """A generic with each of its arguments changed."""
    origin: Any = get_origin(annotation)
    return origin[tuple(each if each is ... else change(each) for each in get_args(annotation))]


def _remedy(annotation: Any) -> str:
    arms = get_args(annotation) if is_union(annotation) else ()
    kinds = [get_origin(arm) or arm for arm in arms]
    if sum(1 for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)) > 1:
        return "Give each Struct a tag: `class A(msgspec.Struct, tag=True)`"
    if arms:
        return "Keep one of its members"
    if _CALLABLE in (annotation, get_origin(annotation)) or annotation is type:
        return "A function or a class cannot travel as JSON; take it out of the signature"
    if isinstance(annotation, type):
        return "Use a builtin type, a dataclass, a TypedDict, an attrs class, a msgspec.Struct or a pydantic model"
    return "Use msgspec.Meta, or a type JSON can carry"
