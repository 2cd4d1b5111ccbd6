"""`@tool`, `@resource(uri)`, `@prompt`: declare functions without a server, to be added to one or several later.

    @tool(tags={"maths"})
    def add(a: int, b: int) -> int: ...

    Server("calculator").add(add).run()

The decorated name is a declaration; calling it calls the function. What compiles a declaration is loaded with the first
one: a program that has a `Server` but no prompt does not pay for prompts.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, cast, overload

from tybalt.errors import RegistrationError
from tybalt.server.declaration import Declaration, qualified_name
from tybalt.server.options import PromptOptions, ResourceOptions, ToolOptions

if TYPE_CHECKING:
    from tybalt.server.prompt import Prompt
    from tybalt.server.resource import Resource, ResourceTemplate
    from tybalt.server.tool import Tool

P = ParamSpec("P")
R = TypeVar("R")


@overload
def tool(function: Callable[P, R], /, **options: Unpack[ToolOptions]) -> "Tool[P, R]": ...
@overload
def tool(called: str | None = None, /, **options: Unpack[ToolOptions]) -> "Callable[[Callable[P, R]], Tool[P, R]]": ...
def tool(function: Callable[..., Any] | str | None = None, /, **options: Any) -> Any:
    """Declare a function as a tool, bare or with options: `@tool`, `@tool("name")`, `@tool(title=…)`.

    Raises `RegistrationError` when the function cannot be compiled.
    """
    from tybalt.server.tool import Tool

    return _declare(Tool, function, options)


@overload
def prompt(function: Callable[P, R], /, **options: Unpack[PromptOptions]) -> "Prompt[P, R]": ...
@overload
def prompt(
    called: str | None = None, /, **options: Unpack[PromptOptions]
) -> "Callable[[Callable[P, R]], Prompt[P, R]]": ...
def prompt(function: Callable[..., Any] | str | None = None, /, **options: Any) -> Any:
    """Declare a function as a prompt, bare or with options. Raises `RegistrationError` as `tool` does."""
    from tybalt.server.prompt import Prompt

    return _declare(Prompt, function, options)


def resource(
    uri: str, /, **options: Unpack[ResourceOptions]
) -> "Callable[[Callable[P, R]], Resource[P, R] | ResourceTemplate[P, R]]":
    """Declare a function as the resource `uri`, or, where the URI has variables, as a resource template.

    Raises `RegistrationError` as `tool` does, and where variables and parameters do not fit.
    """
    if not isinstance(uri, str):  # pyright: ignore[reportUnnecessaryIsInstance] (a slip everyone makes once)
        raise RegistrationError("@resource needs a URI: write @resource('data://name')")
    from tybalt.server.resource import declare_resource

    def made(function: Callable[P, R]) -> "Resource[P, R] | ResourceTemplate[P, R]":
        return declare_resource(function, uri, **options)

    def declare(function: Callable[P, R]) -> Any:
        return Method(function, made) if _is_method(function) else made(function)

    return declare


def as_declaration(given: Any, decorator: Callable[[Any], Any]) -> Declaration[..., Any]:
    """What was declared already, or a plain function declared with `decorator`."""
    if isinstance(given, Declaration):
        return cast("Declaration[..., Any]", given)
    if not callable(given) and not isinstance(given, Method):
        raise RegistrationError(f"expected a function, or what @tool, @resource or @prompt made of one; got {given!r}")
    return bound(given if isinstance(given, Method) else decorator(given))


def bound(declared: Any) -> Declaration[..., Any]:
    """A declaration that a server can take. Raises `RegistrationError` for a method that waits for its instance."""
    if isinstance(declared, Method):
        raise RegistrationError(
            f"{declared}: parameter 'self': this is a method that is not bound. "
            "Register it on an instance, as `instance.method`"
        )
    return declared


def refuse_plain_function(function: Any) -> Any:
    """Raises `RegistrationError`: a function without a URI is no resource."""
    raise RegistrationError(f"{function!r} has no URI. Declare it with @resource('data://name') first")


def _declare(kind: Any, function: Callable[..., Any] | str | None, options: dict[str, Any]) -> Any:
    """A declaration of `kind`, or the decorator that makes one when only options are known yet."""
    if callable(function):
        return _of_class_or_function(function, kind, options)
    named = options if function is None else {"name": function} | options
    return partial(_of_class_or_function, kind=kind, options=named)


def _of_class_or_function(function: Callable[..., Any], kind: Any, options: dict[str, Any]) -> Any:
    return Method(function, partial(kind, **options)) if _is_method(function) else kind(function, **options)


def _is_method(function: Callable[..., Any]) -> bool:
    """Whether a function stands in the body of a class and waits to be bound."""
    scope = getattr(function, "__qualname__", "").rpartition(".")[0]
    takes_self = next(iter(getattr(function, "__code__", _NO_CODE).co_varnames), "") in ("self", "cls")
    is_bound = hasattr(function, "__self__")
    return takes_self and not is_bound and bool(scope) and not scope.endswith("<locals>")


class Method:
    """A method declared in the body of a class: read from an instance, it is the declaration of the bound method."""

    def __init__(self, function: Callable[..., Any], declare: Callable[[Callable[..., Any]], Any]) -> None:
        self._function = function
        self._declare = declare

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self._declare(self._function.__get__(instance, owner))

    def __str__(self) -> str:
        return qualified_name(self._function)


_NO_CODE = (lambda: None).__code__
