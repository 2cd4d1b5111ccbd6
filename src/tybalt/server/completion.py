"""Completion: suggestions for one argument of a prompt, or one variable of a resource template.

A completer is a function declared for one argument. Arguments whose type is a Literal, an enum or a bool complete by
themselves. 2026-07-28 server/utilities/completion.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast

from msgspec import structs

from tybalt.errors import InvalidParams, MisuseError, RegistrationError, closest, cut
from tybalt.execution.budgets import Budget
from tybalt.execution.placement import RunIn
from tybalt.protocol.answers import encode
from tybalt.server.catalogue import Catalogue
from tybalt.server.context import Context
from tybalt.server.declaration import Declaration, qualified_name
from tybalt.server.encoding import valid
from tybalt.server.explain import arms
from tybalt.server.parameters import compile_parameters
from tybalt.types.completion import CompleteRequestParams, CompleteResult, Completion, PromptReference

P = ParamSpec("P")
R = TypeVar("R")

MAX_VALUES: Final = 100
"""Suggestions one answer may hold ("Completion Results")."""


class Completer(Declaration[P, R], Generic[P, R]):
    """A function that suggests values.

    It takes `value`, what was typed so far, and may take `arguments`, a dict of the arguments that have a value, and a
    `Context`. It returns strings, best first, or a `Completion`.
    """

    kind = "completion"
    noun = "completion"
    option_names = frozenset({"name"})

    def __init__(self, function: Callable[P, R], *, argument: str) -> None:
        super().__init__(function, {"name": argument})
        self.parameters = compile_parameters(function, where=self.where, inject=(Context, Budget))
        names = self.parameters.names
        if not names or len(names) > 2 or (len(names) == 2 and names[1] != "arguments"):
            raise RegistrationError(
                f"{self.where}: a completer takes the value typed so far and, if it wants them, `arguments`; "
                f"this one takes {', '.join(names) or 'nothing'}"
            )

    def arguments(self, value: str, arguments: dict[str, str]) -> Any:
        """What the function is called with."""
        names = self.parameters.names
        fields: dict[str, Any] = {names[0]: value} | ({"arguments": arguments} if len(names) == 2 else {})
        return self.parameters.struct(**fields)

    def result(self, value: Any) -> CompleteResult:
        """The result for what the function returned; more than 100 values are cut, and counted.

        Raises `MisuseError` for what is no list of suggestions, such as one string: its letters are none.
        """
        if isinstance(value, CompleteResult):
            value = value.completion
        if not isinstance(value, Completion):
            return _result(self._strings(value))
        value = structs.replace(value, values=self._strings(value.values))
        if len(value.values) <= MAX_VALUES:
            return CompleteResult(completion=value)
        total = len(value.values) if value.total is None else value.total
        return CompleteResult(completion=Completion(values=value.values[:MAX_VALUES], total=total, has_more=True))

    def _strings(self, suggestions: Any) -> list[str]:
        if isinstance(suggestions, str | bytes) or not isinstance(suggestions, Iterable):
            raise MisuseError(
                f"{self.where}: returned {type(suggestions).__name__}; expected the suggestions as a list of strings. "
                "Return a list, also for one, and [] for none"
            )
        return [valid(str(each)) for each in cast("Iterable[Any]", suggestions)]


class Completions:
    """The completers of one server, over its catalogue."""

    def __init__(self, catalogue: Catalogue, run_in: RunIn = "thread") -> None:
        self._catalogue = catalogue
        self._run_in: RunIn = run_in
        self._completers: dict[tuple[str, str], tuple[Any, Completer[..., Any]]] = {}
        """By reference and argument: the declaration it was made for, and the completer."""

    def __bool__(self) -> bool:
        """Whether any argument can be completed."""
        return bool(self._completers) or any(
            _choices(declaration, name)
            for kind in ("prompt", "template")
            for declaration in self._catalogue.declarations(kind)
            for name in declaration.parameters.wire_names
        )

    def add(self, reference: str, argument: str, function: Callable[..., Any], *, replace: bool = False) -> None:
        """Declare a completer for `argument`, by its name in Python or on the wire, of the prompt or URI template.

        Raises `RegistrationError` for an argument that is not there or, but with `replace`, that has a completer.
        """
        declaration = self._catalogue.get("prompt", reference) or self._catalogue.get("template", reference)
        if declaration is None:
            raise RegistrationError(
                f"completion for {argument!r}: there is no prompt or resource template {reference!r}. "
                "Declare it first, and name a template by its whole URI"
            )
        names: tuple[str, ...] = declaration.parameters.wire_names
        argument = dict(zip(declaration.parameters.names, names, strict=True)).get(argument, argument)
        if argument not in names:
            close = closest(argument, names)
            hint = f" Did you mean {close!r}?" if close else f" It has {', '.join(names)}."
            raise RegistrationError(f"completion: {declaration.where} has no argument {argument!r}.{hint}")
        owner, present = self._completers.get((reference, argument), (None, None))
        if present is not None and owner is declaration and not replace:
            raise RegistrationError(
                f"completion: argument {argument!r} of {declaration.where} has a completer already, function "
                f"{qualified_name(present.function)}. Take one of them out, or pass replace=True"
            )
        self._completers[reference, argument] = (
            declaration,
            Completer(function, argument=argument).settled(self._run_in),
        )

    def call(self, params: CompleteRequestParams) -> tuple[Any, Any]:
        """The completer for a request and its arguments, or a finished result and `None`.

        Raises `InvalidParams` for a prompt, template or argument that is not there.
        """
        reference = params.ref.name if isinstance(params.ref, PromptReference) else params.ref.uri
        kind = "prompt" if isinstance(params.ref, PromptReference) else "template"
        declaration = self._catalogue.get(kind, reference)
        if declaration is None and kind == "template" and self._catalogue.get("resource", reference) is not None:
            return _result([]), None
        if declaration is None:
            raise InvalidParams(f"Unknown {'prompt' if kind == 'prompt' else 'resource template'}: {cut(reference)}")
        name, value = params.argument.name, params.argument.value
        if name not in declaration.parameters.wire_names:
            raise InvalidParams(f"{kind} {reference!r} has no argument {cut(name)!r}")
        _, completer = self._completers.get((reference, name), (None, None))
        if completer is None:
            return _result(_choices(declaration, name, value)), None
        context = params.context.arguments if params.context is not None else None
        return completer, completer.arguments(value, context or {})


def _choices(declaration: Declaration[..., Any], name: str, typed: str = "") -> list[str]:
    """The values an argument's own type allows, where they are few and known, that begin with what was typed.

    Only those that a client can send: each is tried, for a string is not converted to everything a type may hold.
    """
    schema = declaration.parameters.schema
    own = schema["properties"].get(name, {})
    values: list[str] = []
    for each in arms(own, schema):
        if each.get("type") == "boolean" and "enum" not in each:
            values += ["true", "false"]
        listed = [value for value in each.get("enum", ()) if value is not None]
        values += [value if isinstance(value, str) else encode(value).decode() for value in listed]
    lowered = typed.lower()
    return [
        each
        for each in dict.fromkeys(values)
        if each.lower().startswith(lowered) and declaration.parameters.takes(name, each)
    ]


def _result(values: Sequence[str]) -> CompleteResult:
    more = len(values) > MAX_VALUES
    completion = Completion(values=list(values[:MAX_VALUES]), total=len(values), has_more=more)
    return CompleteResult(completion=completion)
