"""What tools, resources and prompts have in common: a function declared as something a client can use.

A `Declaration` is made once, when the decorator runs; it holds the function, its compiled parameters and what is
advertised of it. It belongs to no server yet. Calling it calls the function, so decorated code stays testable.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, overload

from msgspec.structs import astuple

from tybalt.errors import RegistrationError
from tybalt.types.implementation import Icon

if TYPE_CHECKING:
    from tybalt.execution.placement import RunIn
    from tybalt.server.parameters import Parameters

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")

Kind = Literal["tool", "resource", "template", "prompt", "completion"]

TAGS_KEY = "dev.tybalt/tags"
VERSION_KEY = "dev.tybalt/version"
"""Where tags and the component version are advertised: in `_meta`, for the specification has no place for them."""


class Declaration(Generic[P, R]):
    """A function declared as a tool, a resource or a prompt, with the options it was declared with.

    `name` is what clients know it by (a resource's is for display). `options` are kept as `option_values` reads them.
    `is_async` says that what a call returns is awaited, `streams` that it yields before it ends, `run_in` where it runs
    (`None` until a server says so). Raises `RegistrationError` for an option that does not exist or
    cannot be, and for a function that cannot be a handler.
    """

    kind: ClassVar[Kind]
    noun: ClassVar[str]
    option_names: ClassVar[frozenset[str]]
    parameters: "Parameters"

    def __init__(self, function: Callable[P, R], options: Mapping[str, Any]) -> None:
        from tybalt.server.option_values import checked_options
        from tybalt.server.signature import kind_of_call

        self.function = function
        self._call: Callable[..., Any] = function
        given = options.get("name")
        self.name: str = given if isinstance(given, str) and given else declared_name(function)
        self.options = checked_options(options, kind=self.kind, names=self.option_names, where=self.where)
        self.name = self.options.get("name", self.name)
        self.tags: frozenset[str] = self.options.get("tags", frozenset())
        self.version: str | None = self.options.get("version")
        self.timeout: float | None = self.options.get("timeout")
        self.is_async, self.streams = kind_of_call(function, self.where)
        self.run_in: RunIn | None = self.options.get("run_in")
        self._check_place()
        self.__doc__ = unwrap(function).__doc__
        self.__wrapped__ = function

    def settled(self, run_in: "RunIn") -> Self:
        """The same declaration on a server whose plain functions run there, unless it says itself where it runs."""
        if self.run_in is not None:
            return self
        twin = self._twin()
        twin.run_in = "loop" if self.is_async else run_in
        return twin

    def remade(self, function: Callable[..., Any] | None = None, **changes: Any) -> Self:
        """The same declaration of another function, or with other options."""
        make: Callable[..., Self] = type(self)
        return make(function or self.function, **{**self.options, **changes})

    def rebound(self, function: Callable[P, R]) -> Self:
        """The same declaration of the same function, bound to another object: nothing is compiled again."""
        twin = self._twin()
        twin.function = twin._call = twin.__wrapped__ = function
        return twin

    @property
    def definition(self) -> Any:
        """What lists show of it: a wire Struct in the newest shape. Setting it checks that it can be sent."""
        return self._definition

    @definition.setter
    def definition(self, definition: Any) -> None:
        from tybalt.server.option_values import advertisable

        self._definition = advertisable(definition, self.where)

    @property
    def where(self) -> str:
        """The declaration in words, for error texts: what it is, and the function behind it."""
        return f"{self.noun} {self.name!r} (function {qualified_name(self.function)})"

    @property
    def key(self) -> str:
        """What it is known by in a catalogue, among its kind."""
        return self.name

    @property
    def is_injected(self) -> bool:
        """Whether anything is injected for each call: a `Context`, a `Budget`, a dependency."""
        return bool(self.parameters.injected)

    @property
    def is_plain(self) -> bool:
        """Whether a call needs nothing but its arguments: nothing injected, no thread, and no time to be watched."""
        if self.is_injected or self.streams:
            return False
        return self.is_async or (self.run_in == "loop" and self.timeout is None)

    if TYPE_CHECKING:  # to a type checker a method is declared as a function is; at run time it is a `Method`

        @overload
        def __get__(self, instance: None, owner: type, /) -> Self: ...
        @overload
        def __get__(
            self: "Declaration[Concatenate[Any, Q], R]", instance: object, owner: type | None = None, /
        ) -> "Declaration[Q, R]": ...
        def __get__(self, instance: Any, owner: type | None = None, /) -> Any: ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, past everything the framework does."""
        return self.function(*args, **kwargs)

    def invoke(self, arguments: Any, injected: Mapping[str, Any]) -> Any:
        """Call the function with decoded arguments, and what is injected by parameter."""
        if self.parameters.leading:
            return self._call(*astuple(arguments), **injected)
        args, kwargs = self.parameters.arguments(arguments)
        kwargs.update(injected)
        return self._call(*args, **kwargs)

    def _twin(self) -> Self:
        """A shallow copy, without what loading `copy` costs a process that has no other use for it."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def _check_place(self) -> None:
        if self.streams and self.kind != "tool":
            raise RegistrationError(
                f"{self.where}: a generator cannot be a {self.noun}; only tools stream. "
                "Collect what it yields and return a list"
            )
        if self.is_async and self.run_in in ("thread", "auto"):
            raise RegistrationError(
                f"{self.where}: run_in={self.run_in!r} is for plain functions; what is async runs on the loop. "
                "Leave it out, or write a plain `def`"
            )
        if self.streams and self.run_in == "auto":
            raise RegistrationError(f"{self.where}: run_in='auto' is not for generators; say 'thread' or 'loop'")

    @property
    def description(self) -> str | None:
        """The description option, or what the docstring says before its sections."""
        if (given := self.options.get("description")) is not None:
            return given
        return self.parameters.docstring.description or None

    @property
    def icons(self) -> list[Icon] | None:
        """The icons, or `None`."""
        return self.options.get("icons") or None

    @property
    def advertised_meta(self) -> dict[str, Any] | None:
        """`_meta` as it is advertised: the author's, with tags and version beside it; `None` when empty."""
        advertised: dict[str, Any] = dict(self.options.get("meta") or {})
        if self.tags:
            advertised[TAGS_KEY] = sorted(self.tags)
        if self.version is not None:
            advertised[VERSION_KEY] = self.version
        return advertised or None


def unwrap(function: Callable[..., Any]) -> Any:
    """The function that carries name and docstring: behind partials, and the `__call__` of a callable object."""
    while isinstance(function, partial):
        function = function.func
    if not hasattr(function, "__name__"):
        return type(function).__call__
    return function


def declared_name(function: Callable[..., Any]) -> str:
    """The name a component gets from its function; raises `RegistrationError` for a lambda."""
    while isinstance(function, partial):
        function = function.func
    name = getattr(function, "__name__", None) or type(function).__name__
    if name == "<lambda>":
        raise RegistrationError(
            f"function {qualified_name(function)}: a lambda has no name. Pass name=..., or use a `def`"
        )
    return name


def qualified_name(function: Callable[..., Any]) -> str:
    """Module and qualified name of a function, for error texts."""
    while isinstance(function, partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{named.__module__}.{named.__qualname__}"
