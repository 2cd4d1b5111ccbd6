"""How a handler is called: its parameters with annotations resolved to types, and what it says it returns.

A handler is anything callable but a class: a function (plain, `async`, a generator), a bound method, a partial, an
object with `__call__`, a `staticmethod`, each of them decorated or not. Everything is read once,
at registration. This module judges no type; `annotations.py` does.
"""

import functools
import inspect
import types
import typing
from collections import abc
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from tybalt.errors import RegistrationError
from tybalt.server.yields import result_annotation

MISSING: Any = inspect.Parameter.empty
"""The annotation of what has none, and the default of what has none."""


def read_parameters(fn: Callable[..., Any], where: str) -> list[inspect.Parameter]:
    """The parameters a caller fills, in order, each with its annotation resolved; `MISSING` where there is none.

    What a `functools.partial` has bound, by position or by name, is not among them. Raises `RegistrationError` for what
    no caller by name can fill (`*args`, `**kwargs`, an unbound method) and for an annotation that does not resolve.
    """
    function = underlying(fn, where)
    bound = _bound_names(fn)
    parameters = [parameter for parameter in _signature(fn, where) if parameter.name not in bound]
    for position, parameter in enumerate(parameters):
        _check(parameter, position, where)
    return [
        parameter.replace(
            annotation=_resolved(parameter.annotation, function, f"{where}: parameter {parameter.name!r}")
        )
        for parameter in parameters
    ]


def read_return(fn: Callable[..., Any], where: str) -> Any:
    """The return annotation, resolved, or `MISSING`. Raises `RegistrationError` when it does not resolve."""
    function = underlying(fn, where)
    annotation = getattr(function, "__annotations__", {}).get("return", MISSING)
    return _resolved(annotation, function, f"{where}: the return annotation", name="return")


def read_result(fn: Callable[..., Any], where: str) -> Any:
    """What the return annotation promises once a call is awaited, or drained; `MISSING` where it does not say."""
    annotation = read_return(fn, where)
    if kind_of_call(fn, where).streams:
        found = result_annotation(annotation, MISSING)
        if found is MISSING and annotation not in (MISSING, Any):
            raise RegistrationError(
                f"{where}: a generator cannot return what is annotated, {annotation!r}. Write "
                "Generator[Yielded, None, Result], AsyncGenerator[Yielded | Returned[Result], None] or Iterator[...]"
            )
        return found
    return awaited(annotation)


def read_docstring(fn: Callable[..., Any], where: str) -> str | None:
    """The docstring of the function that will run; for an object with `__call__`, else that of its class."""
    doc = underlying(fn, where).__doc__
    if doc is None and _is_callable_object(found := _unwrapped(fn)):
        return type(found).__doc__
    return doc


class CallKind(NamedTuple):
    """What a call of a handler does: `is_async` says that it is awaited, `streams` that it yields before it ends."""

    is_async: bool
    streams: bool


def kind_of_call(fn: Callable[..., Any], where: str) -> CallKind:
    """Whether what a call returns is awaited, or drained: a coroutine or generator function somewhere below wrappers.

    A return annotation counts too, for a plain function that returns something to await.
    """
    for layer in _layers(fn):
        if inspect.iscoroutinefunction(layer):
            return CallKind(is_async=True, streams=False)
        if inspect.isasyncgenfunction(layer):
            return CallKind(is_async=True, streams=True)
        if inspect.isgeneratorfunction(layer):
            return CallKind(is_async=False, streams=True)
    try:
        return CallKind(is_awaitable(read_return(fn, where)), streams=False)
    except RegistrationError:  # told where the return annotation matters
        return CallKind(is_async=False, streams=False)


def is_awaitable(annotation: Any) -> bool:
    """Whether an annotation is `Awaitable[...]`, `Coroutine[...]`, a future or another class to await."""
    kind = typing.get_origin(annotation) or annotation
    return isinstance(kind, type) and issubclass(kind, abc.Awaitable)


def awaited(annotation: Any) -> Any:
    """A return annotation after awaiting, for a plain function that returns a coroutine; `MISSING` if it is silent."""
    if not is_awaitable(annotation):
        return annotation
    arguments = typing.get_args(annotation)
    return arguments[-1] if arguments else MISSING


def underlying(fn: Callable[..., Any], where: str) -> Any:
    """The function that holds annotations and docstring, below every partial, method and `functools.wraps`."""
    if isinstance(fn, type):
        raise RegistrationError(
            f"{where}: {fn.__qualname__!r} is a class. Register a function, or an instance that has `__call__`."
        )
    if isinstance(fn, classmethod):
        raise RegistrationError(
            f"{where}: a `classmethod` has no class yet while its class is being written. "
            "Register it afterwards, as `TheClass.method`."
        )
    if not callable(fn):
        raise RegistrationError(f"{where}: {type(fn).__qualname__!r} object is not callable. Register a function.")
    found = _unwrapped(fn)
    return _unwrapped(type(found).__call__) if _is_callable_object(found) else found


def _layers(fn: Any) -> Iterator[Any]:
    """`fn`, and what it stands for: behind partials, methods, wrappers, and the `__call__` of an object."""
    for _ in range(_DEPTH):
        yield fn
        call = type(fn).__call__
        if isinstance(call, types.FunctionType):
            yield from _layers(call)
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, staticmethod | types.MethodType):
            fn = fn.__func__
        elif "__wrapped__" in _dictionary(fn):
            fn = fn.__wrapped__
        else:
            return


_DEPTH = 64  # how many wrappers are followed; a `__wrapped__` that leads to itself ends here


def _unwrapped(fn: Any) -> Any:
    for _ in range(_DEPTH):
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, staticmethod | types.MethodType):
            fn = fn.__func__
        elif "__signature__" not in _dictionary(fn) and "__wrapped__" in _dictionary(fn):
            fn = fn.__wrapped__
        else:
            break
    return fn


def _dictionary(thing: Any) -> dict[str, Any]:
    return getattr(thing, "__dict__", {})


def _is_callable_object(thing: Any) -> bool:
    return not isinstance(thing, types.FunctionType | types.BuiltinFunctionType | types.MethodWrapperType)


def _signature(fn: Callable[..., Any], where: str) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(fn).parameters.values())
    except (TypeError, ValueError) as error:
        raise RegistrationError(
            f"{where}: its signature cannot be read ({error}). Wrap it in a function of your own."
        ) from None
    except NameError as error:  # from 3.14 on, annotations are evaluated here
        raise RegistrationError(f"{where}: {_unresolved(error)}") from None


def _bound_names(fn: Any) -> set[str]:
    """The names that partials around `fn` have bound: `inspect.signature` still lists them, with a default."""
    bound: set[str] = set()
    while isinstance(fn, functools.partial):
        bound.update(fn.keywords)
        fn = fn.func
    return bound


def _check(parameter: inspect.Parameter, position: int, where: str) -> None:
    if parameter.kind is parameter.VAR_POSITIONAL:
        raise RegistrationError(
            f"{where}: `*{parameter.name}` cannot be filled: arguments have names. "
            f"Declare `{parameter.name}: list[...]` instead."
        )
    if parameter.kind is parameter.VAR_KEYWORD:
        raise RegistrationError(
            f"{where}: `**{parameter.name}` says nothing a client could be told. "
            f"Declare each parameter, or one `{parameter.name}: dict[str, ...]`."
        )
    if position == 0 and parameter.name in {"self", "cls"} and parameter.annotation is MISSING:
        raise RegistrationError(
            f"{where}: parameter {parameter.name!r}: this looks like a method that is not bound. "
            "Register it on an instance, as `instance.method`."
        )


def _resolved(annotation: Any, function: Any, where: str, *, name: str = "parameter") -> Any:
    """`annotation` with every string in it evaluated where `function` was written."""
    if annotation is MISSING:
        return MISSING
    holder = types.SimpleNamespace(
        __annotations__={name: annotation}, __type_params__=getattr(function, "__type_params__", ())
    )
    try:
        hints = typing.get_type_hints(
            holder,
            globalns=getattr(function, "__globals__", {}),
            localns=dict(_closure(function)),
            include_extras=True,
        )
    except NameError as error:
        raise RegistrationError(f"{where}: {_unresolved(error)}") from None
    except Exception as error:  # noqa: BLE001 (an annotation is an expression like any other)
        raise RegistrationError(
            f"{where}: the annotation {annotation!r} cannot be evaluated ({type(error).__name__}: {error}). "
            "Write a type."
        ) from None
    return hints[name]


def _closure(function: Any) -> Iterator[tuple[str, Any]]:
    """The variables of enclosing functions that `function` uses; an annotation may name one of them."""
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def _unresolved(error: NameError) -> str:
    return (
        f"the annotation names {error.name!r}, which does not exist at run time. Import or define it at module level "
        "above the handler, not under `if TYPE_CHECKING:` and not inside a function when annotations are strings."
    )
