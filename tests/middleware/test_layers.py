"""Layers: the first is outermost, a stack is a plain handler, and nothing is shared that a layer does not share."""

import asyncio
from typing import Any

import pytest

from tybalt.errors import MisuseError
from tybalt.middleware import Handler, Layer, Request, stacked

pytestmark = pytest.mark.loops
ASKED = Request(method="tools/call", name="add")


def noting(name: str, notes: list[str]) -> Layer:
    def layer(next: Handler) -> Handler:
        async def handler(request: Request) -> Any:
            notes.append(f"> {name}")
            try:
                return await next(request)
            finally:
                notes.append(f"< {name}")

        return handler

    return layer


async def answer(request: Request) -> Any:
    return request.name


async def test_the_first_layer_is_the_outermost() -> None:
    notes: list[str] = []
    assert await stacked(answer, [noting("a", notes), noting("b", notes)])(ASKED) == "add"
    assert notes == ["> a", "> b", "< b", "< a"]


async def test_without_layers_the_handler_is_what_it_was() -> None:
    assert stacked(answer, []) is answer


async def test_layers_may_come_from_any_iterable() -> None:
    notes: list[str] = []
    await stacked(answer, (noting(name, notes) for name in "ab"))(ASKED)
    assert notes[:2] == ["> a", "> b"]


async def test_layers_are_applied_once_and_not_at_each_request() -> None:
    applied: list[Handler] = []

    def layer(next: Handler) -> Handler:
        applied.append(next)
        return next

    handler = stacked(answer, [layer])
    await handler(ASKED)
    await handler(ASKED)
    assert applied == [answer]


async def test_a_layer_may_answer_itself() -> None:
    def closed(next: Handler) -> Handler:
        async def handler(request: Request) -> Any:
            return "closed"

        return handler

    notes: list[str] = []
    assert await stacked(answer, [noting("out", notes), closed, noting("in", notes)])(ASKED) == "closed"
    assert notes == ["> out", "< out"]


async def test_a_layer_may_ask_for_something_else() -> None:
    def renaming(next: Handler) -> Handler:
        async def handler(request: Request) -> Any:
            return await next(request.replaced(name="subtract"))

        return handler

    assert await stacked(answer, [renaming])(ASKED) == "subtract"
    assert ASKED.name == "add"


async def test_a_cancel_passes_through_every_layer() -> None:
    async def endless(request: Request) -> Any:
        await asyncio.Event().wait()

    notes: list[str] = []

    async def asking() -> Any:
        return await stacked(endless, [noting("a", notes), noting("b", notes)])(ASKED)

    task = asyncio.create_task(asking())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert notes == ["> a", "> b", "< b", "< a"]


def forgetful(next: Handler) -> Any:
    async def handler(request: Request) -> Any:
        await next(request)

    return handler


def without_a_handler(next: Handler) -> Any:
    async def handler(request: Request) -> Any:
        return await next(request)


async def asynchronous(next: Handler) -> Any:
    return next


def plain(next: Handler) -> Any:
    return lambda request: request.name


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (without_a_handler, "layer without_a_handler returned None in place of a handler: a layer is a plain function"),
        (asynchronous, "layer asynchronous is itself an `async def`: a layer is a plain function"),
    ],
)
def test_what_makes_no_handler_is_refused_when_it_is_stacked(layer: Any, text: str) -> None:
    with pytest.raises(MisuseError, match=text):
        stacked(answer, [noting("a", []), layer])


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (forgetful, "layer forgetful returned None, which is no result; `return await next"),
        (plain, "layer plain: its handler is no `async def`; it returned 'add' at once"),
    ],
)
async def test_what_makes_no_result_is_named(layer: Any, text: str) -> None:
    with pytest.raises(MisuseError, match=text):
        await stacked(answer, [noting("a", []), layer, noting("b", [])])(ASKED)
