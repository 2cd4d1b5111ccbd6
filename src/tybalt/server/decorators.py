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
from tybalt.server.declaration import Declaration
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

    return lambda function: declare_resource(function, uri, **options)


def as_declaration(given: Any, decorator: Callable[[Any], Any]) -> Declaration[..., Any]:
    """What was declared already, or a plain function declared with `decorator`."""
    return cast("Declaration[..., Any]", given) if isinstance(given, Declaration) else decorator(given)


def _declare(kind: Any, function: Callable[..., Any] | str | None, options: dict[str, Any]) -> Any:
    """A declaration of `kind`, or the decorator that makes one when only options are known yet."""
    if callable(function):
        return kind(function, **options)
    named = options if function is None else {"name": function} | options
    return partial(kind, **named)
