"""`@tool`, `@prompt`, `@resource`: every way to write them, alone and on a server."""

import asyncio
import weakref
from collections.abc import Awaitable
from functools import partial, update_wrapper, wraps
from typing import Any

import pytest

from tests.server.driving import Driver
from tybalt import Context, RegistrationError, Server, prompt, resource, tool
from tybalt.server import parameters
from tybalt.server.decorators import as_declaration
from tybalt.server.parameters import Parameters
from tybalt.server.prompt import Prompt
from tybalt.server.registered import Registered
from tybalt.server.resource import Resource, ResourceTemplate
from tybalt.server.tool import Tool


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


class TestAlone:
    def test_bare(self) -> None:
        declared = tool(add)
        assert isinstance(declared, Tool)
        assert (declared.name, declared.description, declared(2, 3)) == ("add", "Add.", 5)

    def test_called_with_nothing(self) -> None:
        assert tool()(add).name == "add"

    def test_called_with_a_name(self) -> None:
        assert tool("plus")(add).name == "plus"
        assert tool(None)(add).name == "add"

    def test_called_with_two_names(self) -> None:
        with pytest.raises(RegistrationError, match=r"tool 'plus': it is called name='add' as well"):
            tool("plus", name="add")
        with pytest.raises(RegistrationError, match=r"prompt 'plus': it is called name='plus' as well"):
            prompt("plus", name="plus")
        with pytest.raises(RegistrationError, match="Keep one of the two names"):
            Server("x", run_in="loop").tool("plus", name="add")
        assert tool("plus", name=None)(add).name == "plus"  # pyright: ignore[reportArgumentType]

    def test_called_with_options(self) -> None:
        declared = tool(title="Addition", tags={"b", "a"}, version="2")(add)
        assert declared.definition.title == "Addition"
        assert declared.definition.meta == {"dev.tybalt/tags": ["a", "b"], "dev.tybalt/version": "2"}

    def test_a_prompt_is_written_alike(self) -> None:
        def review(code: str) -> str:
            """Ask for a review."""
            return code

        assert isinstance(prompt(review), Prompt)
        assert prompt("check")(review).name == "check"
        assert prompt(title="Check")(review).definition.title == "Check"

    def test_a_resource_has_a_uri_and_may_have_variables(self) -> None:
        assert isinstance(resource("data://x")(lambda_free), Resource)
        assert isinstance(resource("users://{id}")(of_user), ResourceTemplate)

    def test_a_resource_without_its_uri_is_told_how_to_write_it(self) -> None:
        told = r"function .*lambda_free: a resource needs a URI\. Write @resource\('data://name'\)"
        with pytest.raises(RegistrationError, match=told):
            resource(lambda_free)  # pyright: ignore[reportCallIssue, reportArgumentType]
        for decorate in (resource(), resource(None), resource(title="Words")):  # pyright: ignore[reportCallIssue, reportArgumentType]
            with pytest.raises(RegistrationError, match=told):
                decorate(lambda_free)

    def test_a_uri_may_be_named_as_the_option_it_is(self) -> None:
        assert resource(uri="data://x", title="X")(lambda_free).key == "data://x"

    @pytest.mark.parametrize("uri", [5, "", b"data://x"])
    def test_what_is_no_uri_is_told(self, uri: Any) -> None:
        with pytest.raises(
            RegistrationError, match=rf"function .*lambda_free\): uri: expected a URI, got {uri!r}; write"
        ):
            resource(uri)(lambda_free)

    def test_what_is_declared_already_stays_what_it_is(self) -> None:
        declared = tool("plus")(add)
        assert as_declaration(declared, tool) is declared
        assert as_declaration(add, tool).name == "add"

    def test_the_docstring_and_the_function_are_reachable(self) -> None:
        declared = tool(add)
        assert declared.__doc__ == "Add."
        assert declared.__wrapped__ is add


def lambda_free() -> str:
    return "x"


def of_user(id: int) -> str:
    return str(id)


class TestOnAServer:
    def test_bare_called_and_named(self) -> None:
        server = Server("x", run_in="loop")
        first = server.tool(add)
        second = server.tool("plus")(add)
        third = server.tool(name="sum", title="Sum")(add)
        assert all(isinstance(each, Registered) for each in (first, second, third))
        assert first(1, 2) == second(1, 2) == third(1, 2) == 3
        listed = Driver(server).result("tools/list")["tools"]
        assert [each["name"] for each in listed] == ["add", "plus", "sum"]
        assert listed[2]["title"] == "Sum"

    def test_prompts_and_resources(self) -> None:
        server = Server("x", run_in="loop")
        server.prompt(of_user)
        server.prompt("other", title="Other")(of_user)
        server.resource("data://x", mime_type="text/plain")(lambda_free)
        server.resource("users://{id}")(of_user)
        driver = Driver(server)
        assert [each["name"] for each in driver.result("prompts/list")["prompts"]] == ["of_user", "other"]
        assert driver.result("resources/list")["resources"][0]["mimeType"] == "text/plain"
        assert driver.result("resources/templates/list")["resourceTemplates"][0]["uriTemplate"] == "users://{id}"

    def test_an_option_that_is_not_there_is_told_with_one_that_is(self) -> None:
        with pytest.raises(RegistrationError, match="there is no option 'titel'; did you mean 'title'"):
            Server("x", run_in="loop").tool(titel="Addition")(add)  # pyright: ignore[reportCallIssue]


class Counter:
    """Something with methods to offer."""

    def __init__(self, start: int) -> None:
        self.count = start

    def increase(self, by: int = 1) -> int:
        """Count on."""
        self.count += by
        return self.count

    @tool("number")
    def value(self) -> int:
        """What was counted."""
        return self.count

    @tool
    async def slowly(self, by: int, context: Context | None = None) -> int:
        """Count on, later."""
        return self.increase(by)

    @resource("c://{by}")
    def at(self, by: int) -> str:
        """What it would be."""
        return str(self.count + by)

    async def later(self, context: Context) -> str:
        """Say the id of the request."""
        return f"{self.count} {context.request_id}"

    def __call__(self, by: int) -> int:
        """Count on, as the object itself."""
        return self.increase(by)

    @staticmethod
    def double(number: int) -> int:
        return 2 * number

    @classmethod
    def kind(cls) -> str:
        return cls.__name__


def counting(names: list[str]) -> Any:
    """`compile_parameters`, which notes what it compiles."""

    def compile_parameters(function: Any, **options: Any) -> Parameters:
        names.append(function.__name__)
        return parameters.compile_parameters(function, **options)

    return compile_parameters


class TestMethods:
    def test_a_bound_method(self) -> None:
        counter = Counter(3)
        driver = Driver(Server("x", run_in="loop").add(counter.increase))
        assert driver.call("increase", by=2)["structuredContent"] == 5
        assert counter.count == 5
        schema = driver.result("tools/list")["tools"][0]["inputSchema"]
        assert list(schema["properties"]) == ["by"]

    def test_one_that_is_not_bound_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(RegistrationError, match=r"Counter\.increase.*'self'.*Register it on an instance"):
            Server("x", run_in="loop").add(Counter.increase)
        for unbound in (Counter.value, Counter.at):
            with pytest.raises(RegistrationError, match="Register it on an instance"):
                Server("x", run_in="loop").add(unbound)

    def test_a_server_cannot_offer_a_method_of_a_class(self) -> None:
        server = Server("x", run_in="loop")
        for decorate in (server.tool, server.tool("name"), server.prompt(title="T"), server.resource("c://{by}")):
            with pytest.raises(RegistrationError, match=r"Counter\.increase.*Register it on an instance"):
                decorate(Counter.increase)

    @pytest.mark.parametrize("given", [5, None, "add", object()], ids=["number", "nothing", "text", "object"])
    def test_what_is_no_function_is_refused(self, given: Any) -> None:
        with pytest.raises(RegistrationError, match="expected a function"):
            Server("x", run_in="loop").add(given)
        with pytest.raises(RegistrationError, match="expected a function"):
            Server("x", run_in="loop", prompts=[given])

    def test_a_function_is_no_resource(self) -> None:
        with pytest.raises(RegistrationError, match=r"function .*add: a resource needs a URI\. Write @resource"):
            Server("x", run_in="loop", resources=[add])

    def test_one_declared_in_the_class_is_bound_when_it_is_read(self) -> None:
        one, two = Counter(1), Counter(2)
        assert Driver(Server("x", run_in="loop").add(one.value)).call("number")["structuredContent"] == 1
        assert Driver(Server("x", run_in="loop").add(two.value)).call("number")["structuredContent"] == 2
        assert (
            Driver(Server("x", run_in="loop").add(one.at)).result("resources/read", {"uri": "c://3"})["contents"][0][
                "text"
            ]
            == "4"
        )

    def test_one_declared_in_the_class_is_compiled_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Fresh:
            @tool
            def count(self, by: int) -> int:
                return by

        compiled: list[str] = []
        monkeypatch.setattr("tybalt.server.tool.compile_parameters", counting(compiled))
        one, two = Fresh(), Fresh()
        declarations = [one.count, one.count, two.count]
        assert compiled == ["count"]
        assert [each.function.__self__ for each in declarations] == [one, one, two]
        assert declarations[0].definition is declarations[2].definition

    def test_what_is_compiled_keeps_no_instance_alive(self) -> None:
        counter = Counter(1)
        gone = weakref.ref(counter)
        assert counter.value() == 1
        del counter
        assert gone() is None

    def test_one_declared_in_the_class_is_a_plain_function_there(self) -> None:
        counter = Counter(1)
        assert Counter.value(counter) == 1 and Counter.at(counter, by=3) == "4"
        assert Counter.value.__doc__ == "What was counted."
        assert Counter.value.__wrapped__(counter) == 1

    async def test_one_declared_in_the_class_may_be_async(self) -> None:
        counter = Counter(2)
        assert await Counter.slowly(counter, 1) == 3 and await counter.slowly(1) == 4
        driver = Driver(Server("x", run_in="loop").add(counter.slowly))
        driver.start("slowly", by=1)
        (answer,) = await driver.later()
        assert answer["result"]["structuredContent"] == 5

    def test_one_declared_in_the_class_may_be_declared_again(self) -> None:
        class Twice:
            first = tool(Counter.value, name="other")
            second = resource("c://count")(Counter.value)

            count = 7

        twice = Twice()
        assert (twice.first.name, twice.first(), twice.second.key) == ("other", 7, "c://count")
        with pytest.raises(RegistrationError, match="Register it on an instance"):
            Server("x", run_in="loop").tool(Counter.value)

    async def test_an_async_method_with_a_context(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(Counter(7).later))
        driver.start("later", id="r1")
        (answer,) = await driver.later()
        assert answer["result"]["structuredContent"] == "7 r1"

    def test_static_methods_class_methods_and_callable_objects(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(Counter.double, Counter.kind).add(tool("count")(Counter(1))))
        assert driver.call("double", number=4)["structuredContent"] == 8
        assert driver.call("kind")["structuredContent"] == "Counter"
        assert driver.call("count", by=1)["structuredContent"] == 2

    def test_a_partial(self) -> None:
        driver = Driver(Server("x", run_in="loop").add(tool("increment")(partial(add, b=1))))
        assert driver.call("increment", a=4)["structuredContent"] == 5


def wrapped(function: Any) -> Any:
    """A plain wrapper, as many decorators make it."""

    @wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


async def later(by: int) -> int:
    await asyncio.sleep(0)
    return by + 1


def promised(by: int) -> Awaitable[int]:
    return later(by)


def begun(by: int) -> "asyncio.Task[int]":
    return asyncio.ensure_future(later(by))


class Later:
    async def __call__(self, by: int) -> int:
        return await later(by)


class Retry:
    """A decorator that is a class, with a plain `__call__`."""

    def __init__(self, function: Any) -> None:
        update_wrapper(self, function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)  # pyright: ignore[reportAttributeAccessIssue]


AWAITED = {
    "async": later,
    "wrapped": wrapped(later),
    "wrapped twice": wrapped(wrapped(later)),
    "partial": partial(later),
    "wrapped partial": wrapped(partial(later)),
    "partial of wrapped": partial(wrapped(later)),
    "object": Later(),
    "partial of an object": partial(Later()),
    "bound method": Later().__call__,
    "decorated by a class": Retry(later),
    "awaitable": promised,
    "wrapped awaitable": wrapped(promised),
    "task": begun,
}


@pytest.mark.parametrize("name", AWAITED)
async def test_what_is_awaited_is_known_behind_every_wrapper(name: str) -> None:
    function = AWAITED[name]
    declared = tool(name="later")(function)
    assert declared.is_async
    assert prompt(name="later")(function).is_async and resource("d://{by}", name="later")(function).is_async
    server = Server("x", run_in="loop").add(declared, tool(function, name="bounded", timeout=10))
    server.resource("d://{by}", name="later")(function)
    server.prompt(name="later")(function)
    driver = Driver(server)
    driver.start("later", by=1)
    driver.start("bounded", by=2)
    read = driver.encoded("resources/read", {"uri": "d://3"})
    got = driver.encoded("prompts/get", {"name": "later", "arguments": {"by": "4"}})
    for message in (read, got):
        if (answer := driver.session.receive(message)) is not None:
            driver.output.write(answer)
    first, second, third, fourth = (answer["result"] for answer in await driver.later())
    assert (first["content"][0]["text"], second["content"][0]["text"]) == ("2", "3")
    assert third["contents"][0]["text"] == "4" and fourth["messages"][0]["content"]["text"] == "5"


def test_what_is_not_awaited_is_not() -> None:
    def unresolved() -> "Nowhere":  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
        return None

    for function in (add, wrapped(add), partial(add, 1), Counter(1)):
        assert not prompt(name="plain")(function).is_async
    assert not resource("d://x")(unresolved).is_async


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        (lambda: tool(lambda: 1), ["function tests.server.test_decorators.<lambda>", "a lambda has no name", "name="]),
        (lambda: prompt(generator), ["generator", "return a list", "test_decorators.generator"]),
        (lambda: prompt(wrapped(generator), name="p"), ["a generator cannot be a prompt", "only tools stream"]),
        (lambda: resource("a://b")(async_generator), ["a generator cannot be a resource"]),
        (lambda: prompt(async_generator), ["prompt 'async_generator'", "a generator cannot be a prompt"]),
        (lambda: tool(async_generator, run_in="thread"), ["run_in='thread' is for plain functions"]),
        (lambda: tool(generator, run_in="auto"), ["run_in='auto' is not for generators"]),
        (lambda: tool(add, run_in="process"), ["run_in: expected 'loop', 'thread' or 'auto', got 'process'"]),
        (lambda: tool(add, name="a b"), ["'a b' cannot be a tool name", "A-Z"]),
        (lambda: tool(add, name="x" * 129), ["1 to 128"]),
        (lambda: tool(add, name="grün"), ["cannot be a tool name"]),
        (lambda: tool(add, timeout=0), ["timeout: expected a duration above 0, got 0"]),
        (lambda: tool(add, timeout=-1.5), ["timeout", "-1.5"]),
        (lambda: tool(add, colour="red"), ["there is no option 'colour'", "annotations"]),
        (lambda: prompt(add, strict=True), ["prompt 'add'", "no option 'strict'"]),
        (lambda: tool(add, annotations={"readonly": True}), ["annotations", "readonly", "read_only_hint"]),
        (lambda: resource("nonsense")(lambda_free), ["'nonsense' has no scheme", "data://nonsense"]),
        (lambda: resource("data://x", ttl=-1)(lambda_free), ["ttl: expected a number of seconds, 0 or more", "-1"]),
        (lambda: resource("users://{id}", size=3)(of_user), ["template has no size"]),
        (lambda: resource("users://{name}")(of_user), ["{name}", "has no parameter", "Add a parameter 'name'"]),
        (lambda: resource("users://x")(of_user), ["parameter 'id' has no variable", "Put {id} into the URI"]),
    ],
)
def test_what_cannot_be_declared_is_told_with_the_function_and_the_remedy(declare: Any, expected: list[str]) -> None:
    with pytest.raises(RegistrationError) as caught:
        declare()
    for part in expected:
        assert part in str(caught.value)


def test_a_parameter_that_no_variable_fills_is_named() -> None:
    def profile(id: int, detail: str) -> str:
        return detail

    with pytest.raises(RegistrationError, match=r"parameter 'detail' has no variable .* and no default"):
        resource("users://{id}")(profile)


def test_a_registration_error_names_function_and_parameter() -> None:
    def search(query: object, limit: "Nowhere") -> str:  # noqa: F821  # pyright: ignore[reportUndefinedVariable]
        return ""

    with pytest.raises(RegistrationError) as caught:
        tool(search)
    assert "search" in str(caught.value) and "Nowhere" in str(caught.value)
