"""`@tool`, `@resource(uri)`, `@prompt`: declare functions without a server, to be added to one or several later.

    @tool(tags={"maths"})
    def add(a: int, b: int) -> int: ...

    Server("calculator").add(add).run()

The decorated name is a declaration; calling it calls the function. What compiles a declaration is loaded with the first
one: a program that has a `Server` but no prompt does not pay for prompts.
"""

from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, Unpack, cast, overload

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


@overload
def resource(
    uri: str, /, **options: Unpack[ResourceOptions]
) -> "Callable[[Callable[P, R]], Resource[P, R] | ResourceTemplate[P, R]]": ...
@overload
def resource(
    *, uri: str, **options: Unpack[ResourceOptions]
) -> "Callable[[Callable[P, R]], Resource[P, R] | ResourceTemplate[P, R]]": ...
def resource(uri: Any = None, **options: Any) -> Any:
    """Declare a function as the resource `uri`, or, where the URI has variables, as a resource template.

    Raises `RegistrationError` as `tool` does, and where variables and parameters do not fit.
    """
    if callable(uri):
        refuse_plain_function(uri)
    if uri is None:
        return refuse_plain_function
    from tybalt.server.resource import declare_resource

    def made(function: Callable[..., Any]) -> Any:
        return declare_resource(function, uri, **options)

    return partial(_of_class_or_function, declare=made)


def as_declaration(given: Any, decorator: Callable[[Any], Any]) -> Declaration[..., Any]:
    """What was declared already, or a plain function declared with `decorator`."""
    if isinstance(given, Declaration):
        return cast("Declaration[..., Any]", given)
    if not callable(given):
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


def refuse_plain_function(function: Any) -> NoReturn:
    """Raises `RegistrationError`: a function without a URI is no resource."""
    raise RegistrationError(
        f"function {qualified_name(function)}: a resource needs a URI. Write @resource('data://name') above it"
    )


def _declare(kind: Any, function: Callable[..., Any] | str | None, options: dict[str, Any]) -> Any:
    """A declaration of `kind`, or the decorator that makes one when only options are known yet."""
    if callable(function):
        return _of_class_or_function(function, partial(kind, **options))
    if function is None:
        return partial(_of_class_or_function, declare=partial(kind, **options))
    if options.get("name") is not None:
        raise RegistrationError(
            f"{kind.noun} {function!r}: it is called name={options['name']!r} as well. Keep one of the two names"
        )
    return partial(_of_class_or_function, declare=partial(kind, **{**options, "name": function}))


def _of_class_or_function(function: Callable[..., Any], declare: Callable[[Callable[..., Any]], Any]) -> Any:
    if isinstance(function, Method):
        return Method(function.__wrapped__, declare)
    return Method(function, declare) if _is_method(function) else declare(function)


def _is_method(function: Callable[..., Any]) -> bool:
    """Whether a function stands in the body of a class and waits to be bound."""
    scope = getattr(function, "__qualname__", "").rpartition(".")[0]
    takes_self = next(iter(getattr(function, "__code__", _NO_CODE).co_varnames), "") in ("self", "cls")
    is_bound = hasattr(function, "__self__")
    return takes_self and not is_bound and bool(scope) and not scope.endswith("<locals>")


class Method:
    """A method declared in the body of a class: read from an instance, it is the declaration of the bound method.

    It is compiled when it is first read so, once for all instances. Called on the class, it is the plain function.
    """

    def __init__(self, function: Callable[..., Any], declare: Callable[[Callable[..., Any]], Any]) -> None:
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self._declare = declare
        self._declaration: Any = None

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        if self._declaration is None:  # bound to this object, for one that is kept must keep no instance alive
            self._declaration = self._declare(MethodType(self.__wrapped__, self))
        return self._declaration.rebound(MethodType(self.__wrapped__, instance))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, with the instance as its first argument."""
        return self.__wrapped__(*args, **kwargs)

    def __str__(self) -> str:
        return qualified_name(self.__wrapped__)


_NO_CODE = (lambda: None).__code__
