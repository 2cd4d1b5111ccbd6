"""Dependencies: what may be declared, what a plan is, and that whatever was opened is closed, whatever happens."""

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tybalt.errors import MisuseError, RegistrationError
from tybalt.execution.budgets import UNLIMITED, Budget
from tybalt.execution.threads import Threads
from tybalt.execution.tokens import CancelToken, checkpoint, governed
from tybalt.reasons import CancelKind, CancelReason, Interrupted
from tybalt.server.dependencies import Dependency, Depends
from tybalt.server.dependency_plan import MAX_DEPTH, MAX_STEPS, Plan, compile_plan
from tybalt.server.parameters import Parameters, compile_parameters
from tybalt.server.questions import Elicit
from tybalt.server.server import Server

WHERE = "tool 'f' (function app.f)"
log: ContextVar[list[str]] = ContextVar("log")


class Context:
    """What a request has."""


INJECT = (Context, Budget)
GIVEN: dict[type[Any], Any] = {Context: Context(), Budget: UNLIMITED}


@pytest.fixture(autouse=True)
def events() -> Iterator[list[str]]:
    """What providers tell of what they do, wherever they run."""
    happened: list[str] = []
    token = log.set(happened)
    yield happened
    log.reset(token)


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[Threads]:
    threads = Threads(4)
    yield threads
    threads.close()


@pytest.fixture(autouse=True)
def run(pool: Threads) -> Callable[[Callable[[], Any]], Awaitable[Any]]:
    """What runs blocking providers, as a server has it."""
    return pool.run


def parameters_of(fn: Callable[..., Any]) -> Parameters:
    return compile_parameters(fn, where=WHERE, inject=INJECT)


def plan_of(fn: Callable[..., Any]) -> Plan:
    plan = parameters_of(fn).plan
    assert plan is not None
    return plan


def on(*providers: Any) -> Plan:
    """The plan of a handler that depends on these, or on what they declare, as `a`, `b`, `c`…"""
    injected = {
        name: each if isinstance(each, Dependency) else Dependency(each)
        for name, each in zip("abcdefgh", providers, strict=False)
    }
    plan = compile_plan(injected, where=WHERE, inject=INJECT)
    assert plan is not None
    return plan


def refused(fn: Callable[..., Any]) -> str:
    with pytest.raises(RegistrationError) as caught:
        plan_of(fn)
    return str(caught.value)


def opened(name: str, value: Any = None) -> Callable[..., Any]:
    """A provider that cleans up, in an async generator."""

    async def provider() -> AsyncIterator[Any]:
        log.get().append(f"open {name}")
        try:
            yield name if value is None else value
        except BaseException as error:
            log.get().append(f"{name} sees {type(error).__name__}")
            raise
        finally:
            log.get().append(f"close {name}")

    return provider


def opened_in_thread(name: str) -> Callable[..., Any]:
    """The same that blocks."""

    def provider() -> Iterator[Any]:
        log.get().append(f"open {name}")
        try:
            yield name
        except BaseException as error:
            log.get().append(f"{name} sees {type(error).__name__}")
            raise
        finally:
            log.get().append(f"close {name}")

    return provider


class Db:
    """What most of them depend on."""


def open_db() -> Db:
    return Db()


# Declaring


def test_what_is_injected_stays_out_of_the_schema() -> None:
    def handler(
        table: str,
        db: Annotated[Db, Depends(open_db)],
        ctx: Context,
        budget: Budget,
        other: Db = Depends(open_db, cached=False),
        limit: int = 5,
    ) -> None: ...

    parameters = parameters_of(handler)
    assert list(parameters.schema["properties"]) == ["table", "limit"] and parameters.schema["required"] == ["table"]
    assert parameters.names == ("table", "limit") and not parameters.positional
    assert {name: repr(each) for name, each in parameters.injected.items()} == {
        "db": f"Depends({open_db.__module__}.open_db)",
        "ctx": repr(Context),
        "budget": repr(Budget),
        "other": f"Depends({open_db.__module__}.open_db)",
    }
    args, kwargs = parameters.arguments(parameters.decode(b'{"table":"t"}'))
    assert (args, kwargs) == (("t",), {"limit": 5})  # What comes before the first that is injected goes by position.


Database = Annotated[Db, Depends(open_db)]


class Alias:
    """What a `type` statement makes, which is a syntax error before Python 3.12."""

    __value__ = Database


@pytest.mark.parametrize(
    "annotation",
    [Database, Annotated[Database, "the database"], Annotated[Db | None, Depends(open_db)], Alias()],
)
def test_where_a_dependency_may_be_declared(annotation: Any) -> None:
    def handler(db): ...

    handler.__annotations__["db"] = annotation
    assert isinstance(parameters_of(handler).injected["db"], Dependency)


def test_a_default_beside_a_dependency_is_for_direct_calls() -> None:
    def handler(db: Annotated[Db | None, Depends(open_db)] = None) -> Db | None:
        return db

    assert isinstance(parameters_of(handler).injected["db"], Dependency) and handler() is None


def test_a_handler_without_a_dependency_has_no_plan() -> None:
    def handler(x: int, ctx: Context) -> None: ...

    assert parameters_of(handler).plan is None
    assert compile_plan(parameters_of(handler).injected, where=WHERE, inject=INJECT) is None
    assert compile_plan({}, where=WHERE, inject=INJECT) is None


async def coroutine_function() -> Db:
    return Db()


def test_a_class_that_no_client_can_send_is_told_how_to_be_injected() -> None:
    def work(db: Db) -> None:
        """Wants a database."""

    with pytest.raises(
        RegistrationError, match=r"Where no client is to send it: Annotated\[Db, Depends\(…\)\]\. Use a"
    ):
        Server("x").tool(work)
    with pytest.raises(MisuseError) as raised:
        Elicit("Which?", Db)
    assert "Depends" not in str(raised.value), "a user fills in a form"


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda: Depends(5), r"Depends takes a function, a class or another callable, without parentheses; got 5"),
        (lambda: Depends(Db()), r"another callable, without parentheses; got <.*Db object"),
        (
            lambda: Depends(coroutine_function()),
            r"Depends\(coroutine_function\(\)\): pass the function itself, without",
        ),
        (lambda: Depends(open_db, run_in="process"), r"open_db\): run_in is 'loop' or 'thread'; got 'process'"),
    ],
)
def test_what_no_dependency_can_be(declare: Callable[[], Any], text: str) -> None:
    with pytest.raises(RegistrationError, match=text):
        declare()


@pytest.mark.parametrize(
    ("annotation", "default", "text"),
    [
        (Annotated[Db, Depends], inspect.Parameter.empty, r"without a provider\. Write Depends\(the_function\)"),
        (Db, Depends, r"without a provider\. Write Depends\(the_function\)"),
        (Depends(open_db), inspect.Parameter.empty, r"is no type\. Write Annotated\[TheType, Depends\(.*open_db\)\]"),
        (
            Database | None,
            None,
            r"stands inside of its type\. Write it outermost, as in Annotated\[X, Depends\(.*open_db",
        ),
        (list[Database], None, r"stands inside of its type"),
        (Database, Depends(open_db), r"it is filled twice, by Depends\(.*\) and Depends\(.*\)\. Keep one of them"),
    ],
)
def test_a_dependency_in_the_wrong_place(annotation: Any, default: Any, text: str) -> None:
    def handler(db): ...

    parameter = inspect.Parameter("db", inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    handler.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]
    with pytest.raises(RegistrationError, match=rf"^tool 'f' \(function app\.f\): parameter 'db': .*{text}"):
        parameters_of(handler)


def test_what_is_injected_is_injected_by_name_and_not_sent() -> None:
    def mixed(budget: Budget | int) -> None: ...

    with pytest.raises(
        RegistrationError, match=r"parameter 'budget': .*cannot be both injected and sent\. Annotate it"
    ):
        parameters_of(mixed)

    def handler(db: Database, /) -> None: ...

    with pytest.raises(RegistrationError, match=r"parameter 'db': Depends\(.*open_db\) is injected by name\. Move"):
        parameters_of(handler)


# Compiling


def test_a_parameter_that_nothing_fills() -> None:
    def connect(url: str) -> Db: ...

    def session(db: Annotated[Db, Depends(connect)]) -> Db: ...

    def handler(a: Annotated[Db, Depends(session)]) -> None: ...

    text = refused(handler)
    assert text.startswith(f"{WHERE}: parameter 'db' of {session.__module__}.{session.__qualname__}: provider ")
    assert text.endswith(
        "connect: parameter 'url' has no default, and nothing fills it. Give it a default, bind it with "
        "`functools.partial`, or declare it as Annotated[X, Depends(…)] or one of: Context, Budget"
    )


def chicken(egg: "Annotated[Any, Depends(egg)]") -> Any: ...


def egg(chicken: "Annotated[Any, Depends(chicken)]") -> Any: ...


def narcissus(me: "Annotated[Any, Depends(narcissus)]") -> Any: ...


def test_circles_are_refused_with_their_path() -> None:
    with pytest.raises(RegistrationError, match=r"circle: \S+\.chicken → \S+\.egg → \S+\.chicken\. Break it"):
        on(lambda hen=Depends(chicken): hen)
    with pytest.raises(RegistrationError, match=r"circle: \S+narcissus → \S+narcissus\."):
        on(narcissus)


def chain(length: int, *, uses: int = 1, cached: bool = True) -> Callable[..., Any]:
    """Providers that depend on the next one, each so many times."""

    def provider(**values: Any) -> Any: ...

    if length > 1:
        following = Depends(chain(length - 1, uses=uses, cached=cached), cached=cached)
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter(f"d{n}", keyword, default=following) for n in range(uses)]
        provider.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    else:
        provider.__signature__ = inspect.Signature()  # type: ignore[attr-defined]
    return provider


def test_depth_and_number_are_bounded() -> None:
    on(chain(MAX_DEPTH))
    with pytest.raises(RegistrationError, match=f"a chain of more than {MAX_DEPTH} providers, from .* Make it shorter"):
        on(chain(MAX_DEPTH + 1))
    on(chain(MAX_DEPTH, uses=2))
    with pytest.raises(RegistrationError, match=f"more than {MAX_STEPS} providers. Do not use `cached=False`"):
        on(chain(MAX_DEPTH, uses=2, cached=False))


@contextlib.contextmanager
def managed() -> Iterator[int]:
    yield 1


@contextlib.asynccontextmanager
async def managed_async() -> AsyncIterator[int]:
    yield 1


def hiding(fn: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


def unreadable() -> Db: ...


unreadable.__signature__ = "nonsense"  # type: ignore[attr-defined]


class Unbound:
    def method(self): ...


@pytest.mark.parametrize(
    ("dependency", "text"),
    [
        (Dependency(managed), r"managed: it wraps a generator function, .*Take the decorator .*off"),
        (Dependency(managed_async), r"managed_async: it wraps a generator function"),
        (Dependency(functools.lru_cache(opened_in_thread("a"))), r"it wraps a generator function"),
        (Dependency(hiding(open_db)), r"nothing fills `\*args: .*Any`, and it may hide"),
        (
            Dependency(coroutine_function, run_in="thread"),
            r"what is async runs on the loop\. Leave `run_in='thread'` out",
        ),
        (Dependency(lambda ctx: ctx), r"parameter 'ctx': it has no annotation\. Annotate it as Context"),
        (Dependency(lambda x, /, y=1: x), r"parameter 'x' has no default"),
        (Dependency(unreadable), r"its signature cannot be read .*Wrap it in a function of your own"),
        (Dependency(dict), r"its signature cannot be read .*Wrap it in a function of your own"),
        (Dependency(Unbound.method), r"this looks like a method that is not bound"),
    ],
)
def test_what_no_provider_can_be(dependency: Dependency, text: str) -> None:
    with pytest.raises(RegistrationError, match=rf"^tool 'f' \(function app\.f\): parameter 'a': provider .*{text}"):
        on(dependency)


def test_one_provider_runs_in_one_place() -> None:
    on(Dependency(open_db), Dependency(open_db, run_in="thread"))
    on(Dependency(coroutine_function), Dependency(coroutine_function, run_in="loop"))
    on(Dependency(open_db), Dependency(open_db, cached=False, run_in="loop"))
    with pytest.raises(RegistrationError, match=r"parameter 'b': provider .*open_db is shared, .*Declare it once"):
        on(Dependency(open_db), Dependency(open_db, run_in="loop"))


def test_what_a_plan_needs_and_calls() -> None:
    def session(db: Database, context: Context) -> Db: ...

    def handler(s: Annotated[Db, Depends(session)], x: int = 1) -> None: ...

    plan = plan_of(handler)
    assert plan.given == (Context,) and plan.providers == {session, open_db} and not plan.is_immediate


# Kinds of providers


@dataclass
class Settings:
    db: Database
    size: int = 3


class Base:
    def __init__(self, db: Database, **rest: Any) -> None:
        self.db = db


class Heir(Base): ...


class Wire(msgspec.Struct):
    size: int = 3


class Service:
    def plain(self, db: Database) -> Db:
        return db

    async def asynchronous(self, db: Database) -> Db:
        return db

    def generator(self, db: Database) -> Iterator[Db]:
        yield db

    async def asynchronous_generator(self, db: Database) -> AsyncIterator[Db]:
        yield db

    @staticmethod
    def static(db: Database) -> Db:
        return db

    @classmethod
    def of_class(cls, db: Database) -> Db:
        return db

    def awaitable(self, db: Database) -> Awaitable[Db]:
        return self.asynchronous(db)


class Called:
    def __call__(self, db: Database) -> Db:
        return db


class CalledGenerator:
    async def __call__(self, db: Database) -> AsyncIterator[Db]:
        yield db


@dataclass
class Unhashable:
    number: int

    def __call__(self, db: Database) -> Db:
        return db


def with_two(secret: str, db: Database) -> Db:
    assert secret == "s"
    return db


def decorated(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return wrapper


@pytest.mark.loops
@pytest.mark.parametrize(
    "provider",
    [
        Service().plain,
        Service().asynchronous,
        Service().generator,
        Service().asynchronous_generator,
        Service().awaitable,
        Service.static,
        Service.__dict__["static"],
        Service.of_class,
        Called(),
        CalledGenerator(),
        Unhashable(5),
        functools.partial(with_two, "s"),
        functools.partial(with_two, secret="s"),
        functools.partial(functools.partial(Service().generator)),
        functools.partial(CalledGenerator()),
        decorated(Service().asynchronous),
        decorated(Service().plain),
        lambda db=Depends(open_db): db,
    ],
)
async def test_every_kind_of_provider(provider: Any, run: Any) -> None:
    plan = on(provider, open_db)
    async with plan.resolved(GIVEN, run) as values:
        assert values["a"] is values["b"] and type(values["b"]) is Db


@pytest.mark.parametrize("made", [Settings, Heir])
async def test_a_class_is_called(made: Any, run: Any) -> None:
    async with on(made, open_db).resolved(GIVEN, run) as values:
        assert type(values["a"]) is made and values["a"].db is values["b"]


async def test_a_class_that_only_has_a_signature_is_called(run: Any) -> None:
    async with on(Wire).resolved(GIVEN, run) as values:
        assert values["a"] == Wire(3)


async def test_a_context_manager_that_is_returned_is_not_entered(run: Any) -> None:
    async with on(lambda: contextlib.closing(Db())).resolved(GIVEN, run) as values:
        assert type(values["a"]) is contextlib.closing


async def test_where_they_run_and_what_they_get(run: Any) -> None:
    places: dict[str, int] = {}

    def here(name: str, *, context: Context, budget: Budget | None) -> str:
        assert (context, budget) == (GIVEN[Context], GIVEN[Budget])
        places[name] = threading.get_ident()
        return name

    def plain(c: Context, b: Budget) -> str:
        return here("plain", context=c, budget=b)

    def quick(c: Context, b: Budget) -> str:
        return here("quick", context=c, budget=b)

    def generator(c: Context, b: Budget) -> Iterator[str]:
        yield here("generator", context=c, budget=b)
        here("generator's cleanup", context=c, budget=b)

    def quick_generator(c: Context | None, b: Budget) -> Iterator[str]:
        yield here("quick generator", context=c, budget=b)  # type: ignore[arg-type]
        here("quick generator's cleanup", context=c, budget=b)  # type: ignore[arg-type]

    async def asynchronous(c: Context, b: Budget) -> str:
        return here("async", context=c, budget=b)

    plan = on(
        plain,
        Dependency(quick, run_in="loop"),
        generator,
        Dependency(quick_generator, run_in="loop"),
        asynchronous,
    )
    async with plan.resolved(GIVEN, run) as values:
        assert list(values.values()) == ["plain", "quick", "generator", "quick generator", "async"]
    in_thread = {name for name, place in places.items() if place != threading.get_ident()}
    assert in_thread == {"plain", "generator", "generator's cleanup"} and len(places) == 7


async def test_the_handler_gets_what_the_request_has_as_well(run: Any) -> None:
    def handler(db: Database, context: Context, budget: Budget | None, x: int = 1) -> None: ...

    async with plan_of(handler).resolved(GIVEN, run) as values:
        assert list(values) == ["db", "context", "budget"] and values["context"] is GIVEN[Context]


# Sharing


async def test_a_provider_is_opened_once_for_a_request(run: Any) -> None:
    def one(db: Database) -> Db:
        return db

    def other(db: Database, own: Annotated[Db, Depends(open_db, cached=False)]) -> tuple[Db, Db]:
        return db, own

    plan = on(one, other, open_db, Dependency(open_db, cached=False))
    async with plan.resolved(GIVEN, run) as first:
        assert first["a"] is first["c"] is first["b"][0]
        assert len({id(each) for each in (first["c"], first["d"], first["b"][1])}) == 3
    async with plan.resolved(GIVEN, run) as second:
        assert second["c"] is not first["c"]


async def test_two_looks_at_one_method_are_one_provider(run: Any) -> None:
    class Counter:
        count = 0

        def next(self) -> int:
            self.count += 1
            return self.count

    counter = Counter()
    async with on(counter.next, counter.next).resolved(GIVEN, run) as values:
        assert values == {"a": 1, "b": 1}


# At once


def test_what_is_quick_is_resolved_without_a_loop() -> None:
    def session(db: Annotated[Db, Depends(open_db, run_in="loop")], context: Context) -> tuple[Db, Context]:
        return db, context

    def handler(
        s: Annotated[Any, Depends(session, run_in="loop")],
        db: Annotated[Db, Depends(open_db, run_in="loop")],
        budget: Budget,
    ) -> None: ...

    plan = plan_of(handler)
    assert plan.is_immediate
    values = plan.values_now(GIVEN)
    assert values == {"s": (values["db"], GIVEN[Context]), "db": values["db"], "budget": UNLIMITED}


def test_what_is_not_immediate() -> None:
    for provider in (open_db, coroutine_function, opened("a"), opened_in_thread("a")):
        assert not on(provider).is_immediate
    assert not on(Dependency(opened_in_thread("a"), run_in="loop")).is_immediate


def unawaited():
    return coroutine_function()


async def test_a_coroutine_that_nobody_would_await_is_refused(run: Any) -> None:
    plan = on(Dependency(unawaited, run_in="loop"))
    with pytest.raises(MisuseError, match=r"unawaited is no `async def`, yet it returned a coroutine\. Declare it"):
        plan.values_now(GIVEN)
    with pytest.raises(MisuseError, match="yet it returned a coroutine"):
        async with on(unawaited).resolved(GIVEN, run):
            pass


# Cleaning up


EACH = {
    "async": opened,
    "thread": opened_in_thread,
    "loop": lambda name: Depends(opened_in_thread(name), run_in="loop"),
}


@pytest.mark.loops
async def test_they_are_closed_in_reverse_order(events: list[str], run: Any) -> None:
    plan = on(opened("a"), opened_in_thread("b"), EACH["loop"]("c"), opened("d"))
    async with plan.resolved(GIVEN, run) as values:
        assert values == {"a": "a", "b": "b", "c": "c", "d": "d"}
        events.append("body")
    assert events == ["open a", "open b", "open c", "open d", "body", "close d", "close c", "close b", "close a"]


@pytest.mark.loops
@pytest.mark.parametrize(
    "failure", [ValueError("no"), KeyboardInterrupt(), StopIteration(1), StopAsyncIteration(), RuntimeError("no")]
)
async def test_what_the_body_raises_is_seen_by_all_and_raised(
    failure: BaseException, events: list[str], run: Any
) -> None:
    plan = on(opened("a"), opened_in_thread("b"), EACH["loop"]("c"))
    with pytest.raises(type(failure)) as caught:
        async with plan.resolved(GIVEN, run):
            raise failure
    assert caught.value is failure and not hasattr(failure, "__notes__")
    name = type(failure).__name__
    assert events[3:] == [f"c sees {name}", "close c", f"b sees {name}", "close b", f"a sees {name}", "close a"]
    assert "provider" not in [entry.name for entry in caught.traceback]


@pytest.mark.parametrize("kind", EACH)
async def test_a_failure_cannot_be_swallowed(kind: str, events: list[str], run: Any) -> None:
    def swallowing() -> Iterator[str]:
        with contextlib.suppress(ValueError):
            yield "b"

    async def swallowing_async() -> AsyncIterator[str]:
        with contextlib.suppress(ValueError):
            yield "b"

    swallower: Any = {"async": swallowing_async, "thread": swallowing, "loop": Depends(swallowing, run_in="loop")}[kind]
    with pytest.raises(ValueError, match="no"):
        async with on(opened("a"), swallower).resolved(GIVEN, run):
            raise ValueError("no")
    assert events == ["open a", "a sees ValueError", "close a"]


def failing(name: str, *, blocking: bool = False) -> Callable[..., Any]:
    """A provider whose cleanup fails."""

    async def provider() -> AsyncIterator[str]:
        try:
            yield name
        finally:
            log.get().append(f"close {name}")
            raise LookupError(f"no cleanup of {name}")

    def provider_in_thread() -> Iterator[str]:
        try:
            yield name
        finally:
            log.get().append(f"close {name}")
            raise LookupError(f"no cleanup of {name}")

    return provider_in_thread if blocking else provider


async def test_every_cleanup_runs_and_the_first_failure_wins(
    events: list[str], run: Any, caplog: pytest.LogCaptureFixture
) -> None:
    plan = on(opened("a"), failing("b"), failing("c", blocking=True), opened("d"))
    with pytest.raises(LookupError, match="no cleanup of c") as caught:
        async with plan.resolved(GIVEN, run):
            pass
    assert events == ["open a", "open d", "close d", "close c", "close b", "a sees LookupError", "close a"]
    (note,) = caught.value.__notes__
    assert note.startswith("and then cleaning up ") and note.endswith("provider failed: LookupError: no cleanup of b")
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["no cleanup of b"]


async def test_the_failure_of_the_body_wins(run: Any) -> None:
    with pytest.raises(ValueError, match="no") as caught:
        async with on(failing("a"), failing("b", blocking=True)).resolved(GIVEN, run):
            raise ValueError("no")
    assert [note.rpartition(": ")[2] for note in caught.value.__notes__] == ["no cleanup of b", "no cleanup of a"]


async def test_a_failure_may_be_translated(events: list[str], run: Any) -> None:
    async def translating() -> AsyncIterator[str]:
        try:
            yield "b"
        except ValueError as error:
            raise LookupError("told otherwise") from error

    with pytest.raises(LookupError, match="told otherwise") as caught:
        async with on(opened("a"), translating).resolved(GIVEN, run):
            raise ValueError("no")
    assert events[1:] == ["a sees LookupError", "close a"] and not hasattr(caught.value, "__notes__")


def setup_fails(db: Database) -> Db:
    raise LookupError("no setup")


def setup_fails_in_generator(db: Database) -> Iterator[Db]:
    raise LookupError("no setup")
    yield


async def setup_fails_async(db: Database) -> AsyncIterator[Db]:
    raise LookupError("no setup")
    yield


@pytest.mark.loops
@pytest.mark.parametrize("run_in", [None, "loop"])
@pytest.mark.parametrize("provider", [setup_fails, setup_fails_in_generator, setup_fails_async])
async def test_what_is_open_when_a_setup_fails_is_closed(
    provider: Any, run_in: Any, events: list[str], run: Any
) -> None:
    plan = on(opened("a"), opened_in_thread("b"), Dependency(provider, run_in=run_in), opened("d"))
    with pytest.raises(LookupError, match="no setup") as caught:
        async with plan.resolved(GIVEN, run):
            events.append("body")
    assert events[2:] == ["b sees LookupError", "close b", "a sees LookupError", "close a"]
    assert not hasattr(caught.value, "__notes__")


async def test_a_failed_setup_may_be_translated_too(run: Any) -> None:
    async def translating() -> AsyncIterator[str]:
        try:
            yield "a"
        except LookupError as error:
            raise ValueError("told otherwise") from error

    with pytest.raises(ValueError, match="told otherwise"):
        async with on(translating, setup_fails).resolved(GIVEN, run):
            pass


def twice() -> Iterator[int]:
    try:
        yield 1
    except ValueError:
        log.get().append("told")
    try:
        yield 2
    finally:
        log.get().append("closed")


async def twice_async() -> AsyncIterator[int]:
    for each in twice():
        try:
            yield each
        except ValueError:
            log.get().append("told")


TWICE = {"async": twice_async, "thread": twice, "loop": Depends(twice, run_in="loop")}


@pytest.mark.parametrize("kind", TWICE)
async def test_a_generator_yields_once(kind: str, events: list[str], run: Any) -> None:
    with pytest.raises(MisuseError, match=r"twice\w* yielded twice\. Yield once; what comes after it is the cleanup"):
        async with on(TWICE[kind]).resolved(GIVEN, run):
            pass
    assert events == ["closed"]


@pytest.mark.parametrize("kind", TWICE)
async def test_a_generator_yields_once_whatever_it_is_told(kind: str, events: list[str], run: Any) -> None:
    with pytest.raises(ValueError, match="no") as caught:
        async with on(TWICE[kind]).resolved(GIVEN, run):
            raise ValueError("no")
    assert "yielded twice" in caught.value.__notes__[0] and events == ["told", "closed"]


@pytest.mark.parametrize("kind", EACH)
async def test_a_generator_that_never_yields_is_named(kind: str, run: Any) -> None:
    def never() -> Iterator[int]:
        yield from ()

    async def never_async() -> AsyncIterator[int]:
        for each in ():
            yield each

    provider: Any = {"async": never_async, "thread": never, "loop": Depends(never, run_in="loop")}[kind]
    with pytest.raises(MisuseError, match=r"provider \S+never\S* ended without a `yield`\. Yield once"):
        async with on(provider).resolved(GIVEN, run):
            pass


# What a generator may hold open


variable: ContextVar[str] = ContextVar("variable", default="outside")


@pytest.mark.loops
@pytest.mark.parametrize("kind", EACH)
async def test_setup_and_cleanup_see_the_same_context_variables(kind: str, run: Any) -> None:
    def binding() -> Iterator[str]:
        token = variable.set("inside")
        yield variable.get()
        assert variable.get() == "inside"
        variable.reset(token)

    async def binding_async() -> AsyncIterator[str]:
        for each in binding():
            yield each

    provider: Any = {"async": binding_async, "thread": binding, "loop": Depends(binding, run_in="loop")}[kind]
    async with on(provider).resolved(GIVEN, run) as values:
        assert values == {"a": "inside"}
    assert variable.get() == "outside"


async def test_setup_and_cleanup_of_an_async_generator_are_one_task(run: Any) -> None:
    tasks: list[Any] = []

    async def telling() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        yield
        tasks.append(asyncio.current_task())

    async with on(telling).resolved(GIVEN, run):
        pass
    assert tasks[0] is tasks[1]


@pytest.mark.loops
async def test_a_timeout_around_the_yield_limits_the_body(events: list[str], run: Any) -> None:
    async def limited() -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as limit:
            yield limit

    async def body() -> None:
        async with on(opened("a"), limited, opened("c")).resolved(GIVEN, run) as values:
            values["b"].reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    with pytest.raises(TimeoutError):
        await task
    assert events[2:] == ["c sees CancelledError", "close c", "a sees TimeoutError", "close a"]
    assert task.cancelling() == 0


@pytest.mark.loops
async def test_a_task_group_around_the_yield_stops_the_body_when_a_child_fails(events: list[str], run: Any) -> None:
    async def group() -> AsyncIterator[asyncio.TaskGroup]:
        async with asyncio.TaskGroup() as tasks:
            yield tasks

    async def child() -> None:
        raise LookupError("the child")

    async def body() -> None:
        async with on(opened("a"), group).resolved(GIVEN, run) as values:
            values["b"].create_task(child())
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    with pytest.raises(ExceptionGroup) as caught:
        await task
    assert [str(each) for each in caught.value.exceptions] == ["the child"]
    assert events[1:] == ["a sees ExceptionGroup", "close a"] and task.cancelling() == 0


async def test_what_ends_while_others_clean_up_stops_nobody(events: list[str], run: Any) -> None:
    async def limited() -> AsyncIterator[asyncio.Timeout]:
        async with asyncio.timeout(None) as limit:
            yield limit

    async def slow(limit: Annotated[asyncio.Timeout, Depends(limited)]) -> AsyncIterator[None]:
        yield
        limit.reschedule(asyncio.get_running_loop().time())
        await settle()
        assert limit.expired()
        events.append("slow is closed")

    async with on(slow).resolved(GIVEN, run):
        pass
    assert events == ["slow is closed"]


# Cancelling


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.loops
@pytest.mark.parametrize("kind", EACH)
async def test_a_cancel_of_the_body_closes_all(kind: str, events: list[str], run: Any) -> None:
    began = asyncio.Event()

    async def body() -> None:
        async with on(opened("a"), EACH[kind]("b")).resolved(GIVEN, run):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events[2:] == ["b sees CancelledError", "close b", "a sees CancelledError", "close a"]


@pytest.mark.loops
@pytest.mark.parametrize("fails", [False, True])
async def test_cleanup_is_not_stopped_by_a_second_cancel(fails: bool, events: list[str], run: Any) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[None]:
        try:
            yield
        finally:
            began.set()
            await go_on.wait()
            log.get().append("slow is closed")

    async def body() -> None:
        async with on(opened("a"), slow).resolved(GIVEN, run):
            if fails:
                raise ValueError("no")

    task = asyncio.create_task(body())
    await began.wait()
    for _ in range(3):
        task.cancel()
        await settle()
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["open a", "slow is closed", "a sees CancelledError", "close a"]


@pytest.mark.loops
async def test_a_cancel_during_an_async_setup_stops_it(events: list[str], run: Any) -> None:
    began = asyncio.Event()

    async def slow() -> AsyncIterator[None]:
        try:
            began.set()
            await asyncio.Event().wait()
            yield
        finally:
            log.get().append("slow is stopped")

    async def body() -> None:
        async with on(opened("a"), slow).resolved(GIVEN, run):
            events.append("body")

    task = asyncio.create_task(body())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["open a", "slow is stopped", "a sees CancelledError", "close a"]


async def test_a_setup_that_a_cancel_does_not_stop_is_cleaned_up(events: list[str], run: Any) -> None:
    began = asyncio.Event()

    async def stubborn() -> AsyncIterator[None]:
        began.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        try:
            yield
        finally:
            log.get().append("stubborn is closed")
            raise LookupError("no cleanup")

    async def body() -> None:
        async with on(opened("a"), stubborn).resolved(GIVEN, run):
            events.append("body")

    task = asyncio.create_task(body())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert events == ["open a", "stubborn is closed", "a sees CancelledError", "close a"]
    assert caught.value.__notes__[0].endswith("failed: LookupError: no cleanup")


@pytest.mark.loops
@pytest.mark.parametrize("fails", [None, LookupError("no setup"), asyncio.CancelledError("by itself")])
@pytest.mark.parametrize("turns", [0, 1, 2])
async def test_a_cancel_in_the_moment_when_the_setup_ends(
    turns: int, fails: BaseException | None, events: list[str], run: Any
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[None]:
        began.set()
        await go_on.wait()
        if fails is not None:
            raise fails
        events.append("open slow")
        try:
            yield
        finally:
            events.append("close slow")

    async def body() -> None:
        async with on(opened("a"), slow).resolved(GIVEN, run):
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await began.wait()
    go_on.set()

    def cancel(after: int) -> None:
        if after:
            asyncio.get_running_loop().call_soon(cancel, after - 1)
        else:
            task.cancel()

    cancel(turns)
    with pytest.raises((asyncio.CancelledError, LookupError)):
        await task
    assert events[0] == "open a" and events[-1] == "close a"
    assert events[1:-2] in ([], ["open slow", "close slow"])


@pytest.mark.loops
@pytest.mark.parametrize("fails", [False, True])
async def test_a_cancel_during_a_setup_in_a_thread_waits_for_it(fails: bool, events: list[str], run: Any) -> None:
    began, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def slow() -> Iterator[None]:
        loop.call_soon_threadsafe(began.set)
        go_on.wait()
        if fails:
            raise LookupError("no setup")
        try:
            yield
        finally:
            log.get().append("slow is closed")

    async def body() -> None:
        async with on(opened("a"), slow).resolved(GIVEN, run):
            events.append("body")

    task = asyncio.create_task(body())
    await began.wait()
    task.cancel()
    await settle()
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["open a", *([] if fails else ["slow is closed"]), "a sees CancelledError", "close a"]


async def test_another_cancelled_error_is_no_news(run: Any) -> None:
    began = asyncio.Event()

    async def renewing() -> AsyncIterator[None]:
        try:
            yield
        except asyncio.CancelledError:
            raise asyncio.CancelledError("another") from None

    async def body() -> None:
        async with on(renewing).resolved(GIVEN, run):
            began.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await began.wait()
    task.cancel("the first")
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    assert caught.value.args == ("the first",) and not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("kind", EACH)
async def test_cleanup_passes_checkpoints_of_what_is_cancelled(kind: str, events: list[str], run: Any) -> None:
    def careful() -> Iterator[None]:
        yield
        checkpoint()
        log.get().append("closed")

    async def careful_async() -> AsyncIterator[None]:
        for each in careful():
            yield each

    careful_one = {"async": careful_async, "thread": careful, "loop": Depends(careful, run_in="loop")}[kind]
    with governed(CancelToken(clock=lambda: 0.0)) as token:
        async with on(careful_one).resolved(GIVEN, run):
            token.cancel(CancelReason(CancelKind.USER))
        with pytest.raises(Interrupted):
            checkpoint()
    assert events == ["closed"]


async def test_a_cancel_stops_an_async_function(events: list[str], run: Any) -> None:
    began = asyncio.Event()

    async def slow() -> None:
        began.set()
        await asyncio.Event().wait()

    async def body() -> None:
        async with on(opened("a"), slow).resolved(GIVEN, run):
            pass

    task = asyncio.create_task(body())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert events == ["open a", "a sees CancelledError", "close a"]


async def test_a_runner_that_refuses_leaves_nothing_open(events: list[str]) -> None:
    def run(_: Callable[[], Any]) -> Awaitable[Any]:
        raise LookupError("no threads")

    with pytest.raises(LookupError, match="no threads") as caught:
        async with on(opened("a"), opened_in_thread("b")).resolved(GIVEN, run):
            pass
    assert events == ["open a", "a sees LookupError", "close a"] and not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize("fails", [False, True])
async def test_cleanup_for_which_there_is_no_thread_runs_all_the_same(
    fails: bool, events: list[str], pool: Threads
) -> None:
    runs = iter([pool.run])

    async def run(function: Callable[[], Any]) -> Any:
        return await next(runs)(function)

    provider = failing("a", blocking=True) if fails else opened_in_thread("a")
    with pytest.raises(LookupError, match="no cleanup") if fails else contextlib.nullcontext():
        async with on(provider).resolved(GIVEN, run):
            pass
    assert events[-1] == "close a"


# Overriding


def session(db: Database) -> tuple[str, Db]:
    return "session", db


async def test_another_provider_in_the_place_of_one(run: Any) -> None:
    class FakeDb(Db): ...

    async def fake(context: Context) -> AsyncIterator[Db]:
        assert context is GIVEN[Context]
        yield FakeDb()

    plan = on(session, open_db)
    assert plan.given == ()
    async with plan.resolved(GIVEN, run, {open_db: fake}) as values:
        assert type(values["b"]) is FakeDb and values["a"] == ("session", values["b"])
    async with plan.resolved(GIVEN, run, {open_db: Db, session: lambda: "fake"}) as values:
        assert values["a"] == "fake" and type(values["b"]) is Db
    async with plan.resolved(GIVEN, run) as values:
        assert values["a"] == ("session", values["b"])


async def test_overrides_are_compiled_once(run: Any) -> None:
    plan = on(session)

    def fake() -> Db: ...

    assert plan.overridden({open_db: fake}) is plan.overridden({open_db: fake})
    assert plan.overridden({open_db: fake}) is not plan.overridden({open_db: Db})
    assert plan.overridden({coroutine_function: fake}) is plan
    assert plan.overridden({open_db: fake}).providers == {session, open_db}


async def test_a_replacement_runs_where_it_can(run: Any) -> None:
    def place() -> int:
        return threading.get_ident()

    here = place()
    quick, blocking = Dependency(open_db, run_in="loop"), Dependency(open_db, run_in="thread")
    assert on(quick).overridden({open_db: place}).values_now({}) == {"a": here}
    async with on(blocking).resolved(GIVEN, run, {open_db: place}) as values:
        assert values["a"] != here
    async with on(blocking).resolved(GIVEN, run, {open_db: coroutine_function}) as values:
        assert type(values["a"]) is Db


async def test_one_replacement_for_two_is_shared(run: Any) -> None:
    def other() -> Db: ...

    plan = on(open_db, Dependency(other, run_in="loop"))
    async with plan.resolved(GIVEN, run, {open_db: Db, other: Db}) as values:
        assert values["a"] is values["b"]


def test_a_replacement_that_cannot_be() -> None:
    def needs(url: str) -> Db: ...

    def wraps(db: Database) -> Db: ...

    plan = on(session)
    with pytest.raises(
        RegistrationError,
        match=rf"^{WHERE[:8]}.*: parameter 'db' of \S+session: provider \S+needs \(in place of \S+open_db\): "
        r"parameter 'url' has no default",
    ):
        plan.resolved(GIVEN, asyncio.to_thread, {open_db: needs})
    with pytest.raises(RegistrationError, match=r"circle: \S+wraps \(in place of \S+open_db\) → \S+wraps"):
        plan.overridden({open_db: wraps})


# Whatever happens


KINDS = ("plain", "async", "generator", "quick generator", "async generator")


@dataclass
class Node:
    """One provider of a graph: what it depends on, among those before it, and where it fails."""

    kind: str
    needs: list[tuple[int, bool]]
    fails: str | None


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    nodes: list[Node] = []
    for index in range(draw(st.integers(1, 6))):
        needs = draw(st.lists(st.tuples(st.integers(0, index - 1), st.booleans()), max_size=3)) if index else []
        fails = draw(st.sampled_from([None, None, None, None, "setup", "cleanup"]))
        nodes.append(Node(draw(st.sampled_from(KINDS)), needs, fails))
    return nodes


class Graph:
    """The providers of a graph, and what they have done."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.opened: list[tuple[int, object]] = []
        self.closed: list[tuple[int, object]] = []
        self.failures: list[str] = []
        self.dependencies: list[Dependency] = []
        for index, node in enumerate(nodes):
            self.dependencies.append(self.dependency(index, node))

    def dependency(self, index: int, node: Node) -> Dependency:
        def plain(**values: Any) -> object:
            return self.open(index, values)

        async def asynchronous(**values: Any) -> object:
            await asyncio.sleep(0)
            return self.open(index, values)

        def generator(**values: Any) -> Iterator[object]:
            key = self.open(index, values)
            try:
                yield key
            finally:
                self.close(index, key)

        async def async_generator(**values: Any) -> AsyncIterator[object]:
            await asyncio.sleep(0)
            key = self.open(index, values)
            try:
                yield key
            finally:
                await asyncio.sleep(0)
                self.close(index, key)

        made: Any = {
            "plain": plain,
            "async": asynchronous,
            "generator": generator,
            "quick generator": generator,
            "async generator": async_generator,
        }[node.kind]
        keyword = inspect.Parameter.KEYWORD_ONLY
        made.__signature__ = inspect.Signature(
            [
                inspect.Parameter(
                    f"d{n}", keyword, default=msgspec.structs.replace(self.dependencies[need], cached=cached)
                )
                for n, (need, cached) in enumerate(node.needs)
            ]
        )
        return Dependency(made, run_in="loop" if node.kind == "quick generator" else None)

    def open(self, index: int, values: dict[str, Any]) -> object:
        assert len(values) == len(self.nodes[index].needs)
        assert not any(key in self.closed for key in values.values())
        if self.nodes[index].fails == "setup":
            self.fail(f"setup {index}")
        key = (index, object())
        self.opened.append(key)
        return key

    def close(self, index: int, key: Any) -> None:
        self.closed.append(key)
        if self.nodes[index].fails == "cleanup":
            self.fail(f"cleanup {index}")

    def fail(self, text: str) -> None:
        self.failures.append(text)
        raise LookupError(text)

    def to_close(self) -> list[tuple[int, object]]:
        return [key for key in reversed(self.opened) if "generator" in self.nodes[key[0]].kind]


@settings(max_examples=150, deadline=None)
@given(graphs(), st.sampled_from(["returns", "raises", "is cancelled", "is cancelled twice"]))
async def test_whatever_happens_all_that_was_opened_is_closed_once_in_reverse_order(
    nodes: list[Node], ending: str
) -> None:
    graph = Graph(nodes)
    plan = on(*graph.dependencies)
    threads = Threads(2)
    reached = asyncio.Event()

    async def body() -> None:
        async with plan.resolved(GIVEN, threads.run) as values:
            reached.set()
            assert len(values) == len(nodes)
            if ending == "raises":
                graph.fail("body")
            if ending != "returns":
                await asyncio.Event().wait()

    task = asyncio.create_task(body())
    task.add_done_callback(lambda _: reached.set())
    await reached.wait()
    if ending.startswith("is cancelled"):
        task.cancel()
        if ending.endswith("twice"):
            await asyncio.sleep(0)
            task.cancel()
    with contextlib.suppress(asyncio.CancelledError, LookupError):
        await task
    threads.close()
    assert graph.closed == graph.to_close()
    for index in range(len(nodes)):
        if not any((index, False) in node.needs for node in nodes):
            assert [key[0] for key in graph.opened].count(index) <= 1
    if not task.cancelled():
        error = task.exception()
        assert (error is None) == (graph.failures == [])
        if error is not None:
            assert error.args == (graph.failures[0],)
            assert [note.rpartition(": ")[2] for note in getattr(error, "__notes__", [])] == graph.failures[1:]
    else:
        assert ending.startswith("is cancelled")
