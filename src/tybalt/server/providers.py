"""What a provider is: how it gives its value, and which parameters it has.

Read once, when the handler that depends on it is declared, or when a test puts it in another's place. A provider is
anything callable, a class too, which no handler may be; otherwise `signature.py` reads both alike. Above is
`dependency_plan.py`, which says what fills the parameters.
"""

import inspect
import sys
from collections.abc import Callable, Hashable
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Literal

from tybalt.errors import RegistrationError
from tybalt.server.signature import kind_of_call, read_parameters

Provider = Callable[..., Any]

Kind = Literal["plain", "async", "generator", "async generator"]
"""What a provider gives when it is called: its value, something to await, or a generator that yields it."""


def kind_of(provider: Provider, where: str) -> Kind:
    """How a provider gives its value.

    Raises `RegistrationError` for a wrapper around a generator function, such as `contextlib.contextmanager` makes:
    what it gives would be injected unopened, and never closed.
    """
    function = _function(provider)
    if inspect.isgeneratorfunction(function):
        return "generator"
    if inspect.isasyncgenfunction(function):
        return "async generator"
    call = kind_of_call(provider, where)
    if call.streams:
        raise RegistrationError(
            f"{where}: it wraps a generator function, so what comes after its `yield` would never run. Take the "
            "decorator (such as `contextmanager`) off, or depend on a generator function of your own, as in "
            "`with …() as value: yield value`"
        )
    return "async" if call.is_async else "plain"


def parameters_of(provider: Provider, where: str) -> list[inspect.Parameter]:
    """The parameters of a provider, with their annotations resolved. What takes the rest in a class stays empty.

    Raises `RegistrationError` for `*args` and `**kwargs` of a function, which may hide what a wrapped one depends on,
    and for whatever `read_parameters` refuses.
    """
    if isinstance(provider, type):
        return read_parameters(_as_function(provider, where), where)
    for rest in _rest(provider):
        raise RegistrationError(
            f"{where}: nothing fills `{rest}`, and it may hide what is depended on. "
            "Use `functools.wraps` in a decorator, or depend on a function that has named parameters only"
        )
    return read_parameters(provider, where)


def key_of(provider: Provider) -> Hashable:
    """What a provider is known by: itself, or its identity where it has no hash. Two equal methods are one."""
    try:
        hash(provider)
    except TypeError:
        return id(provider)
    return provider


_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _rest(provider: Provider) -> list[inspect.Parameter]:
    try:
        signature = inspect.signature(provider)
    except (TypeError, ValueError, NameError):  # `read_parameters` says what is wrong with it
        return []
    return [each for each in signature.parameters.values() if each.kind in _REST]


def _function(provider: Any) -> Any:
    """What runs when it is called: behind partials and methods, and the `__call__` of an object."""
    while True:
        if isinstance(provider, partial):
            provider = provider.func
        elif isinstance(provider, staticmethod | MethodType):
            provider = provider.__func__
        elif isinstance(provider, type) or inspect.isroutine(provider):
            return provider
        else:
            call = type(provider).__call__
            return call if isinstance(call, FunctionType) else provider


def _as_function(made: type[Any], where: str) -> Any:
    """A function with the signature of a class, whose annotations resolve where its `__init__` was written."""
    try:
        signature = inspect.signature(made)
    except (TypeError, ValueError, NameError) as error:
        raise RegistrationError(
            f"{where}: its signature cannot be read ({error}). Wrap it in a function of your own"
        ) from None
    namespace = getattr(made.__init__, "__globals__", None) or vars(sys.modules.get(made.__module__, sys))
    function: Any = FunctionType((lambda: None).__code__, namespace)
    parameters = [each for each in signature.parameters.values() if each.kind not in _REST]
    function.__signature__ = signature.replace(parameters=parameters)
    return function
