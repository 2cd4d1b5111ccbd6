"""Dependencies as they are declared: `Depends(provider)`, and what fills a parameter that no client sends.

    async def rows(table: str, db: Annotated[Db, Depends(open_db)], context: Context) -> int: ...

A parameter is judged here, once, when its function is declared; nothing runs. `dependency_plan.py` makes a list of
steps of what was declared, and `dependency_resolution.py` carries it out. Above is `parameters.py`, which keeps such
parameters out of the schema.
"""

from collections.abc import Callable
from inspect import Parameter, iscoroutine
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from msgspec import Struct

from tybalt.errors import RegistrationError, cut
from tybalt.execution.placement import Where
from tybalt.server.annotations import Site, shown
from tybalt.server.declaration import qualified_name
from tybalt.server.signature import MISSING
from tybalt.server.survey import is_union


class Dependency(Struct, frozen=True, eq=False):
    """A declared dependency: what `Depends` makes, and what stands in `Parameters.injected`."""

    provider: Callable[..., Any]
    cached: bool = True
    run_in: Where | None = None

    def __repr__(self) -> str:
        return f"Depends({qualified_name(self.provider)})"


def Depends(  # noqa: N802 (it stands where a type or a default does, and reads as a declaration)
    provider: Callable[..., Any], *, cached: bool = True, run_in: Where | None = None
) -> Any:
    """A parameter filled by what `provider` returns or yields, instead of by the client.

        db: Annotated[Db, Depends(open_db)]         or        db: Db = Depends(open_db)

    A provider is a function, plain or `async`, a generator or async generator function that yields once, a class, a
    partial, or an object with `__call__`. Its own parameters are filled the same way: `Depends`, `Context`, `Budget`.
    What comes after the `yield` runs when the request is over, in reverse order, whatever became of it. Nothing else is
    cleaned up: a context manager that a provider returns is handed over as it is, and is not entered.

    `cached` (the default) opens a provider once for a request, whoever depends on it. Plain functions, generators
    and classes run in a thread, unless `run_in="loop"` says that they are quick; what is async runs on the loop.

    Typed as `Any`, so that it may be the default of a parameter of any type. Raises `RegistrationError` for what cannot
    be a provider; what else is wrong with it is said where the handler is declared.
    """
    if iscoroutine(provider):
        provider.close()
        raise RegistrationError(f"Depends({provider.__qualname__}()): pass the function itself, without calling it")
    if not callable(provider):
        text = "Depends takes a function, a class or another callable, without parentheses"
        raise RegistrationError(f"{text}; got {cut(repr(provider))}")
    if run_in not in (None, "loop", "thread"):
        raise RegistrationError(f"Depends({qualified_name(provider)}): run_in is 'loop' or 'thread'; got {run_in!r}")
    return Dependency(provider, cached, run_in)


Filler = type[Any] | Dependency
"""What fills a parameter: an instance of this class, which the request has, or what this dependency gives."""


def filler_of(parameter: Parameter, inject: tuple[type, ...], where: str) -> Filler | None:
    """What the framework fills a parameter with; `None` for one that it leaves to the caller.

    A class of `inject` is found as an annotation, also as `X | None`. Raises `RegistrationError`, beginning with
    `where`, for a parameter that it could not fill, and for a `Depends` in the wrong place.
    """
    site = Site(f"{where}: parameter {parameter.name!r}")
    stated, annotation = _opened(parameter.annotation)
    found = _dependency([*stated, parameter.default], annotation, site) or _class(parameter, annotation, inject, site)
    if found is not None and parameter.kind is Parameter.POSITIONAL_ONLY:
        name = found.__name__ if isinstance(found, type) else repr(found)
        raise site.refuse(f"{name} is injected by name. Move the `/` so that it stands before this parameter")
    return found


_USUAL_NAMES = ("context", "ctx")  # what an injected parameter is called everywhere, annotated or not


def _opened(annotation: Any) -> tuple[list[Any], Any]:
    """What is said about a type in `Annotated`, also behind a `type` statement, and the type itself."""
    stated: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            stated += annotation.__metadata__
            annotation = annotation.__origin__
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__
        else:
            return stated, annotation


def _dependency(stated: list[Any], annotation: Any, site: Site) -> Dependency | None:
    if any(each is Depends for each in stated):
        raise site.refuse("Depends stands there without a provider. Write Depends(the_function)")
    if isinstance(annotation, Dependency):
        raise site.refuse(f"{annotation!r} is no type. Write Annotated[TheType, {annotation!r}]")
    if (inside := _inside(annotation)) is not None:
        raise site.refuse(f"{inside!r} stands inside of its type. Write it outermost, as in Annotated[X, {inside!r}]")
    found = [each for each in stated if isinstance(each, Dependency)]
    if len(found) > 1:
        raise site.refuse(f"it is filled twice, by {' and '.join(map(repr, found))}. Keep one of them")
    return found[0] if found else None


def _inside(annotation: Any) -> Dependency | None:
    for each in get_args(annotation):
        found = each if isinstance(each, Dependency) else _inside(each)
        if found is not None:
            return found
    return None


def _class(parameter: Parameter, annotation: Any, inject: tuple[type, ...], site: Site) -> type | None:
    if inject and annotation is MISSING and parameter.name in _USUAL_NAMES:
        raise site.refuse(
            f"it has no annotation. Annotate it as {inject[0].__name__} to have it filled in, "
            "or with another type if it is an argument"
        )
    arms = get_args(annotation) if is_union(annotation) else (annotation,)
    kinds = [get_origin(arm) or arm for arm in arms if arm is not NoneType]
    found = next((kind for kind in kinds if kind in inject), None)
    if found is not None and len(kinds) > 1:
        raise site.refuse(f"{shown(annotation)} cannot be both injected and sent. Annotate it as {found.__name__}")
    return found
