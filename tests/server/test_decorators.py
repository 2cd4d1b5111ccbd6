"""`@tool`, `@prompt`, `@resource`: every way to write them, alone and on a server."""

from functools import partial
from typing import Any

import pytest

from tests.server.driving import Driver
from tybalt import Context, RegistrationError, Server, prompt, resource, tool
from tybalt.server.decorators import as_declaration
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
        with pytest.raises(RegistrationError, match=r"needs a URI: write @resource\('data://name'\)"):
            resource(lambda_free)  # pyright: ignore[reportArgumentType]

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
        server = Server("x")
        first = server.tool(add)
        second = server.tool("plus")(add)
        third = server.tool(name="sum", title="Sum")(add)
        assert all(isinstance(each, Registered) for each in (first, second, third))
        assert first(1, 2) == second(1, 2) == third(1, 2) == 3
        listed = Driver(server).result("tools/list")["tools"]
        assert [each["name"] for each in listed] == ["add", "plus", "sum"]
        assert listed[2]["title"] == "Sum"

    def test_prompts_and_resources(self) -> None:
        server = Server("x")
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
            Server("x").tool(titel="Addition")(add)  # pyright: ignore[reportCallIssue]


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


class TestMethods:
    def test_a_bound_method(self) -> None:
        counter = Counter(3)
        driver = Driver(Server("x").add(counter.increase))
        assert driver.call("increase", by=2)["structuredContent"] == 5
        assert counter.count == 5
        schema = driver.result("tools/list")["tools"][0]["inputSchema"]
        assert list(schema["properties"]) == ["by"]

    def test_one_that_is_not_bound_is_refused_with_the_remedy(self) -> None:
        with pytest.raises(RegistrationError, match=r"Counter\.increase.*'self'.*Register it on an instance"):
            Server("x").add(Counter.increase)
        for unbound in (Counter.value, Counter.at):
            with pytest.raises(RegistrationError, match="Register it on an instance"):
                Server("x").add(unbound)

    def test_a_server_cannot_offer_a_method_of_a_class(self) -> None:
        server = Server("x")
        for decorate in (server.tool, server.tool("name"), server.prompt(title="T"), server.resource("c://{by}")):
            with pytest.raises(RegistrationError, match=r"Counter\.increase.*Register it on an instance"):
                decorate(Counter.increase)

    @pytest.mark.parametrize("given", [5, None, "add", object()], ids=["number", "nothing", "text", "object"])
    def test_what_is_no_function_is_refused(self, given: Any) -> None:
        with pytest.raises(RegistrationError, match="expected a function"):
            Server("x").add(given)
        with pytest.raises(RegistrationError, match="expected a function"):
            Server("x", prompts=[given])

    def test_a_function_is_no_resource(self) -> None:
        with pytest.raises(RegistrationError, match=r"has no URI. Declare it with @resource"):
            Server("x", resources=[add])

    def test_one_declared_in_the_class_is_bound_when_it_is_read(self) -> None:
        one, two = Counter(1), Counter(2)
        assert Driver(Server("x").add(one.value)).call("number")["structuredContent"] == 1
        assert Driver(Server("x").add(two.value)).call("number")["structuredContent"] == 2
        assert Driver(Server("x").add(one.at)).result("resources/read", {"uri": "c://3"})["contents"][0]["text"] == "4"

    async def test_an_async_method_with_a_context(self) -> None:
        driver = Driver(Server("x").add(Counter(7).later))
        driver.start("later", id="r1")
        (answer,) = await driver.later()
        assert answer["result"]["structuredContent"] == "7 r1"

    def test_static_methods_class_methods_and_callable_objects(self) -> None:
        driver = Driver(Server("x").add(Counter.double, Counter.kind).add(tool("count")(Counter(1))))
        assert driver.call("double", number=4)["structuredContent"] == 8
        assert driver.call("kind")["structuredContent"] == "Counter"
        assert driver.call("count", by=1)["structuredContent"] == 2

    def test_a_partial(self) -> None:
        driver = Driver(Server("x").add(tool("increment")(partial(add, b=1))))
        assert driver.call("increment", a=4)["structuredContent"] == 5


def generator() -> Any:
    yield 1


async def async_generator() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("declare", "expected"),
    [
        (lambda: tool(lambda: 1), ["lambda has no name", "name="]),
        (lambda: tool(generator), ["generator", "return a list", "test_decorators.generator"]),
        (lambda: prompt(async_generator), ["prompt 'async_generator'", "a generator cannot be a handler"]),
        (lambda: tool(add, name="a b"), ["'a b' cannot be a tool name", "A-Z"]),
        (lambda: tool(add, name="x" * 129), ["1 to 128"]),
        (lambda: tool(add, name="grün"), ["cannot be a tool name"]),
        (lambda: tool(add, timeout=0), ["timeout must be more than 0", "got 0"]),
        (lambda: tool(add, timeout=-1.5), ["timeout", "-1.5"]),
        (lambda: tool(add, colour="red"), ["there is no option 'colour'", "annotations"]),
        (lambda: prompt(add, strict=True), ["prompt 'add'", "no option 'strict'"]),
        (lambda: tool(add, annotations={"readonly": True}), ["annotations", "readonly", "read_only_hint"]),
        (lambda: resource("nonsense")(lambda_free), ["'nonsense' has no scheme", "data://nonsense"]),
        (lambda: resource("data://x", ttl=-1)(lambda_free), ["ttl must be 0 or more", "-1"]),
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
