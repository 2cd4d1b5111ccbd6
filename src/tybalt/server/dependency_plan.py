"""What a handler's dependencies are compiled to: a flat list of providers to call, each with where its arguments are.

    plan = compile_plan(injected, where=where, inject=(Context, Budget))        # kept as `Parameters.plan`
    async with plan.resolved({Context: context, Budget: budget}, threads.run) as values:
        await function(**values, ...)

Every signature is read when the handler is declared; a call inspects nothing. Values lie in slots: first what the
request has (`given`), then what each step gave, in their order, dependencies before their dependents. How steps are
carried out is told in `dependency_resolution.py`, what is declared in `dependencies.py`. Above are `parameters.py`, and
who runs handlers.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Final

from msgspec.structs import replace

from tybalt.errors import RegistrationError
from tybalt.server.declaration import qualified_name
from tybalt.server.dependencies import Dependency, Filler, filler_of
from tybalt.server.dependency_resolution import Resolution, Step, checked
from tybalt.server.opened import RunBlocking
from tybalt.server.providers import Kind, Provider, key_of, kind_of, parameters_of
from tybalt.server.signature import MISSING

MAX_DEPTH: Final = 32
"""How long a chain of providers may be, each depending on the next."""
MAX_STEPS: Final = 256
"""How many providers one handler may open; those that are not cached count each time."""

Given = Mapping[type[Any], Any]
"""What a request has, by class."""
Overrides = Mapping[Any, Provider]
"""Providers, and what stands in for each."""

_Source = type[Any] | int
"""Where a value comes from while a plan is made: what a request has, or the step of this number."""


class Plan:
    """How the injected parameters of one handler are filled. Immutable, but for what it remembers of overrides.

    `given` are the classes a resolution needs an instance of. `is_immediate` says that nothing has to be awaited, run
    in a thread or cleaned up, so that `values_now` will do. `providers` are all that are called, for whoever overrides.
    """

    __slots__ = (
        "_calls",
        "_inject",
        "_injected",
        "_overridden",
        "_steps",
        "_targets",
        "_where",
        "given",
        "is_immediate",
        "providers",
    )

    def __init__(
        self, injected: Mapping[str, Filler], where: str, inject: tuple[type, ...], overrides: Overrides
    ) -> None:
        self._injected = injected
        self._where = where
        self._inject = inject
        self._overridden: tuple[list[tuple[Any, Any]], Plan] | None = None
        compiler = _Compiler(where, inject, overrides)
        sources = {name: compiler.source(filler, f"parameter {name!r}") for name, filler in injected.items()}
        self.given = tuple(compiler.given)
        self.providers = frozenset(compiler.providers)
        self._targets = tuple((name, self._slot(source)) for name, source in sources.items())
        self._steps = tuple(
            replace(step, arguments=tuple((name, self._slot(source)) for name, source in arguments))
            for step, arguments in compiler.steps
        )
        self.is_immediate = all(step.kind == "plain" and not step.in_thread for step in self._steps)
        self._calls = tuple((step.provider, step.arguments, step.name) for step in self._steps)

    def values_now(self, given: Given) -> dict[str, Any]:
        """The values of all injected parameters by name, where the plan `is_immediate`: no task, nothing to close."""
        slots = [given[kind] for kind in self.given]
        for provider, arguments, name in self._calls:
            if arguments:
                slots.append(checked(provider(**{name: slots[slot] for name, slot in arguments}), name))
            else:
                slots.append(checked(provider(), name))
        return {name: slots[slot] for name, slot in self._targets}

    def resolved(self, given: Given, run: RunBlocking, overrides: Overrides | None = None) -> Resolution:
        """The values of all injected parameters by name, as an asynchronous context manager that cleans up.

        `given` has an instance of each class in `self.given`; `run` runs a function in a thread. What is promised about
        failures and cancels is told at `Resolution`. Raises `RegistrationError` for an override that cannot be.
        """
        plan = self.overridden(overrides) if overrides else self
        return Resolution(plan._steps, [given[kind] for kind in plan.given], plan._targets, run)

    def overridden(self, overrides: Overrides) -> "Plan":
        """The plan with other providers in the place of some: compiled at the first use, and kept for the next one.

        A replacement may be any provider, with dependencies of its own, to which the overrides apply as well. It is
        cached as the one it replaces. Raises `RegistrationError` where it cannot be a provider.
        """
        if self.providers.isdisjoint(overrides):
            return self
        pairs = list(overrides.items())
        if self._overridden is None or self._overridden[0] != pairs:
            self._overridden = pairs, Plan(self._injected, self._where, self._inject, overrides)
        return self._overridden[1]

    def _slot(self, source: _Source) -> int:
        return len(self.given) + source if isinstance(source, int) else self.given.index(source)


def compile_plan(injected: Mapping[str, Filler], *, where: str, inject: tuple[type, ...]) -> Plan | None:
    """The plan for the parameters in `injected`; `None` where there is no `Depends` among them.

    `where` begins every error text. `inject` are the classes a provider may ask for by annotation, as its handler may.
    Raises `RegistrationError` for a provider that cannot be called, naming it, the parameter and the remedy: a
    parameter that nothing fills, a circle, a chain of more than `MAX_DEPTH`, more than `MAX_STEPS` providers.
    """
    if not any(isinstance(filler, Dependency) for filler in injected.values()):
        return None
    return Plan(injected, where, inject, {})


class _Compiler:
    """Walks from dependency to dependency and puts down each provider behind what it needs."""

    def __init__(self, where: str, inject: tuple[type, ...], overrides: Overrides) -> None:
        self.given: dict[type[Any], None] = {}
        self.steps: list[tuple[Step, tuple[tuple[str, _Source], ...]]] = []
        self.providers: set[Hashable] = set()
        self._where = where
        self._inject = inject
        self._overrides = overrides
        self._cached: dict[Hashable, int] = {}
        self._path: dict[Hashable, str] = {}

    def source(self, filler: Filler, place: str) -> _Source:
        """Where a value comes from that is filled so; what it takes is put down before."""
        if not isinstance(filler, Dependency):
            self.given[filler] = None
            return filler
        declared = key_of(filler.provider)
        self.providers.add(declared)
        provider = self._overrides.get(declared, filler.provider)
        key = key_of(provider)
        if filler.cached and key in self._cached:
            index = self._cached[key]
            if provider is filler.provider:
                self._refuse_two_places(self.steps[index][0], filler, place)
            return index
        index = self._put(provider, key, filler, place)
        if filler.cached:
            self._cached[key] = index
        return index

    def _put(self, provider: Provider, key: Hashable, filler: Dependency, place: str) -> int:
        """The number of a new step, behind the steps it needs."""
        name = qualified_name(provider)
        if provider is not filler.provider:
            name += f" (in place of {qualified_name(filler.provider)})"
        self._refuse_circle(key, name)
        where = f"{self._where}: {place}: provider {name}"
        kind = kind_of(provider, where)
        if kind in _ASYNC and filler.run_in == "thread" and provider is filler.provider:
            raise RegistrationError(f"{where}: what is async runs on the loop. Leave `run_in='thread'` out")
        self._path[key] = name
        arguments = tuple(self._arguments(provider, name, where))
        del self._path[key]
        if len(self.steps) >= MAX_STEPS:
            raise RegistrationError(
                f"{self._where}: it opens more than {MAX_STEPS} providers. Do not use `cached=False`"
            )
        self.steps.append((Step(name, provider, kind, _in_thread(kind, filler)), arguments))
        return len(self.steps) - 1

    def _arguments(self, provider: Provider, name: str, where: str) -> Iterator[tuple[str, _Source]]:
        for parameter in parameters_of(provider, where):
            filler = filler_of(parameter, self._inject, where)
            if filler is not None:
                yield parameter.name, self.source(filler, f"parameter {parameter.name!r} of {name}")
            elif parameter.default is MISSING:
                kinds = ", ".join(kind.__name__ for kind in self._inject)
                raise RegistrationError(
                    f"{where}: parameter {parameter.name!r} has no default, and nothing fills it. Give it a default, "
                    f"bind it with `functools.partial`, or declare it as Annotated[X, Depends(…)] or one of: {kinds}"
                )

    def _refuse_circle(self, key: Hashable, name: str) -> None:
        names = list(self._path.values())
        if key in self._path:
            path = " → ".join([*names[list(self._path).index(key) :], name])
            raise RegistrationError(f"{self._where}: providers depend on each other in a circle: {path}. Break it")
        if len(names) >= MAX_DEPTH:
            raise RegistrationError(
                f"{self._where}: a chain of more than {MAX_DEPTH} providers, from {names[0]} to {name}. Make it shorter"
            )

    def _refuse_two_places(self, step: Step, filler: Dependency, place: str) -> None:
        if step.in_thread != _in_thread(step.kind, filler):
            raise RegistrationError(
                f"{self._where}: {place}: provider {step.name} is shared, and declared with two values of `run_in`. "
                "Declare it once, as in `Database = Annotated[Db, Depends(…)]`, and use that"
            )


_ASYNC: Final = ("async", "async generator")


def _in_thread(kind: Kind, filler: Dependency) -> bool:
    return kind not in _ASYNC and filler.run_in != "loop"
