"""Hooks by name: each does nothing until it is overridden, and their order is the one that is written down."""

import asyncio
from typing import Any

import pytest

from tybalt.errors import MisuseError, NotFound, ToolError
from tybalt.middleware import Middleware, Request, stacked
from tybalt.middleware.layers import Handler
from tybalt.middleware.middleware import OPERATIONS

pytestmark = pytest.mark.loops
CALL = Request(method="tools/call", name="add")
LIST = Request(method="tools/list")


async def answer(request: Request) -> Any:
    if request.name == "broken":
        raise ToolError("no")
    return f"{request.method} {request.name}"


class Noting(Middleware):
    def __init__(self, name: str, notes: list[str]) -> None:
        self.name = name
        self.notes = notes

    async def on_request(self, request: Request) -> Any:
        self.notes.append(f"{self.name} request")
        return request

    async def on_call_tool(self, request: Request, next: Handler) -> Any:
        self.notes.append(f"{self.name} call")
        return await next(request)

    async def on_response(self, request: Request, result: Any) -> Any:
        self.notes.append(f"{self.name} response")
        return result

    async def on_error(self, request: Request, error: Exception) -> Any:
        self.notes.append(f"{self.name} error")
        raise error


async def test_what_is_not_overridden_costs_nothing() -> None:
    assert Middleware()(answer) is answer


async def test_the_order_of_hooks_of_two_objects() -> None:
    notes: list[str] = []
    handler = stacked(answer, [Noting("a", notes), Noting("b", notes)])
    assert await handler(CALL) == "tools/call add"
    assert notes == ["a request", "a call", "b request", "b call", "b response", "a response"]


async def test_the_order_of_hooks_where_it_fails() -> None:
    notes: list[str] = []
    handler = stacked(answer, [Noting("a", notes), Noting("b", notes)])
    with pytest.raises(ToolError):
        await handler(CALL.replaced(name="broken"))
    assert notes == ["a request", "a call", "b request", "b call", "b error", "a error"]


async def test_a_hook_of_another_operation_is_not_called() -> None:
    notes: list[str] = []
    await Noting("a", notes)(answer)(LIST)
    assert notes == ["a request", "a response"]


@pytest.mark.parametrize(("method", "hook"), OPERATIONS.items())
async def test_each_operation_has_its_hook_alone(method: str, hook: str) -> None:
    async def hooked(self: Middleware, request: Request, next: Handler) -> Any:
        return f"hooked {await next(request)}"

    kind = type("One", (Middleware,), {hook: hooked})
    for each in OPERATIONS:
        found = await kind()(answer)(Request(method=each))
        assert found == (f"hooked {each} None" if each == method else f"{each} None")


async def test_on_request_may_go_on_with_another_request() -> None:
    class Renaming(Middleware):
        async def on_request(self, request: Request) -> Any:
            return request.replaced(name="subtract")

        async def on_response(self, request: Request, result: Any) -> Any:
            return [request.name, result]

    assert await Renaming()(answer)(CALL) == ["subtract", "tools/call subtract"]


async def test_on_request_may_answer_which_on_response_still_sees() -> None:
    notes: list[str] = []

    class Closed(Noting):
        async def on_request(self, request: Request) -> Any:
            return "closed"

    assert await stacked(answer, [Closed("a", notes), Noting("b", notes)])(CALL) == "closed"
    assert notes == ["a response"]


@pytest.mark.parametrize(
    ("hook", "name", "due"),
    [
        ("on_request", "add", "return the request, another one, or a result"),
        ("on_response", "add", "return the result, or another one"),
        ("on_error", "broken", "return a result, or raise"),
        ("on_call_tool", "add", "return the result, as in `return await next(request)`"),
    ],
)
async def test_a_forgotten_return_is_told_with_layer_and_hook(hook: str, name: str, due: str) -> None:
    async def forgetful(self: Middleware, *_: Any) -> None:
        return None

    kind = type("Bad", (Middleware,), {hook: forgetful})
    with pytest.raises(MisuseError) as raised:
        await stacked(answer, [Middleware(), kind(), Noting("b", [])])(CALL.replaced(name=name))
    assert str(raised.value) == f"layer Bad: {hook} returned None; {due}"


async def test_so_is_one_in_a_response_to_an_answer_of_on_request() -> None:
    class Bad(Middleware):
        async def on_request(self, request: Request) -> Any:
            return "closed"

        async def on_response(self, request: Request, result: Any) -> Any:
            pass

    with pytest.raises(MisuseError, match="layer Bad: on_response returned None"):
        await Bad()(answer)(CALL)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("on_tool_call", "did you mean on_call_tool?"),
        ("on_requests", "did you mean on_request?"),
        ("on_zzz", "there are on_request, on_response, on_error, on_call_tool, "),
    ],
)
def test_a_hook_that_would_never_run_is_refused(name: str, hint: str) -> None:
    async def hook(self: Middleware, request: Request, next: Handler) -> Any:
        return await next(request)

    with pytest.raises(MisuseError) as raised:
        type("Guard", (Middleware,), {name: hook})
    assert str(raised.value).startswith(f"Guard.{name} is no hook of Middleware and would never run; {hint}")
    type("Guard", (Middleware,), {f"_{name}": hook})


async def test_on_response_may_answer_something_else() -> None:
    class Loud(Middleware):
        async def on_response(self, request: Request, result: Any) -> Any:
            return result.upper()

    assert await Loud()(answer)(CALL) == "TOOLS/CALL ADD"


class Forgiving(Middleware):
    async def on_error(self, request: Request, error: Exception) -> Any:
        return f"{request.name}: {error}"


async def test_on_error_may_answer() -> None:
    assert await Forgiving()(answer)(CALL.replaced(name="broken")) == "broken: no"


async def test_on_error_may_raise_another_error_which_those_further_out_see() -> None:
    class Translating(Middleware):
        async def on_error(self, request: Request, error: Exception) -> Any:
            raise NotFound("gone") from error

    handler = stacked(answer, [Forgiving(), Translating()])
    assert await handler(CALL.replaced(name="broken")) == "broken: gone"


async def test_an_error_that_no_hook_changes_is_the_same_object() -> None:
    error = ToolError("no")

    async def failing(request: Request) -> Any:
        raise error

    with pytest.raises(ToolError) as caught:
        await stacked(failing, [Noting("a", []), Noting("b", [])])(CALL)
    assert caught.value is error


@pytest.mark.parametrize("hook", ["on_request", "on_response"])
async def test_what_a_hook_raises_is_for_those_further_out(hook: str) -> None:
    async def failing(self: Middleware, request: Request, *rest: Any) -> Any:
        raise ToolError(hook)

    kind = type("Failing", (Forgiving,), {hook: failing})
    with pytest.raises(ToolError, match=hook):
        await kind()(answer)(CALL)
    assert await stacked(answer, [Forgiving(), kind()])(CALL) == f"add: {hook}"


async def test_a_cancel_is_no_failure() -> None:
    notes: list[str] = []

    async def endless(request: Request) -> Any:
        await asyncio.Event().wait()

    async def asking() -> Any:
        return await Noting("a", notes)(endless)(CALL)

    task = asyncio.create_task(asking())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert notes == ["a request", "a call"]


async def test_one_object_may_serve_several_stacks() -> None:
    notes: list[str] = []
    one = Noting("a", notes)

    async def other(request: Request) -> Any:
        return "other"

    first, second = one(answer), one(other)
    assert [await first(CALL), await second(CALL)] == ["tools/call add", "other"]
    assert notes == ["a request", "a call", "a response"] * 2
