"""Error handling: the nearest class counts, every failure is told and counted, and cancels pass untouched."""

import asyncio
import logging
from typing import Any

import pytest

from tybalt.errors import BackendError, InvalidParams, MisuseError, NotFound, RequestTimeout, ToolError, describe
from tybalt.execution import CancelKind, CancelReason, Interrupted
from tybalt.middleware import Handler, Request, stacked
from tybalt.middleware import error_handling as module
from tybalt.middleware.error_handling import MAX_COUNTED, OTHER, ErrorHandling

pytestmark = pytest.mark.loops
CALL = Request(method="tools/call", name="find")


def raising(error: BaseException) -> Handler:
    async def handler(request: Request) -> Any:
        raise error

    return handler


async def raised(layer: ErrorHandling, error: BaseException) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 (whatever it is)
        await layer(raising(error))(CALL)
    return caught.value


class Missing(KeyError):
    pass


async def test_a_result_passes() -> None:
    async def answer(request: Request) -> Any:
        return request.name

    layer = ErrorHandling({Exception: ToolError})
    assert await layer(answer)(CALL) == "find"
    assert layer.statistics() == {}


async def test_a_class_is_given_the_text_and_the_cause_is_kept() -> None:
    cause = OSError("no route to db-7")
    error = await raised(ErrorHandling({OSError: BackendError}), cause)
    assert type(error) is BackendError
    assert (str(error), error.message, error.__cause__) == ("no route to db-7", "Upstream error", cause)


async def test_an_exception_without_a_text_is_told_by_its_class() -> None:
    error = await raised(ErrorHandling({KeyError: NotFound}), KeyError())
    assert str(error) == "KeyError"


async def test_a_function_is_given_the_exception() -> None:
    layer = ErrorHandling({KeyError: lambda error: NotFound(f"no row {error.args[0]}")})
    cause = KeyError(7)
    error = await raised(layer, cause)
    assert type(error) is NotFound and str(error) == "no row 7" and error.__cause__ is cause


async def test_a_cause_that_a_function_chose_is_kept() -> None:
    reason = ValueError("why")

    def translated(error: Exception) -> Exception:
        chosen = NotFound("gone")
        chosen.__cause__ = reason
        return chosen

    error = await raised(ErrorHandling({KeyError: translated}), KeyError("a"))
    assert error.__cause__ is reason


async def test_a_function_may_let_it_be() -> None:
    cause = KeyError("a")
    error = await raised(ErrorHandling({KeyError: lambda error: error}), cause)
    assert error is cause and error.__cause__ is None


@pytest.mark.parametrize("backwards", [False, True])
async def test_the_nearest_class_counts_whatever_the_order(backwards: bool) -> None:
    entries = [(Exception, BackendError), (LookupError, ToolError), (KeyError, NotFound)]
    layer = ErrorHandling(dict(reversed(entries) if backwards else entries))
    kinds = [type(await raised(layer, error)) for error in (Missing("a"), IndexError("b"), ValueError("c"))]
    assert kinds == [NotFound, ToolError, BackendError]


async def test_what_has_no_entry_is_the_same_object() -> None:
    error = ValueError("b")
    assert await raised(ErrorHandling({KeyError: NotFound}), error) is error
    assert error.__context__ is None


@pytest.mark.parametrize("error", [NotFound(), ToolError("no"), RequestTimeout("late")], ids=lambda e: type(e).__name__)
async def test_errors_of_the_tree_are_not_foreign(error: Exception) -> None:
    layer = ErrorHandling({Exception: BackendError, TimeoutError: BackendError})
    assert await raised(layer, error) is error


async def test_errors_of_the_tree_are_translated_where_the_mapping_names_them() -> None:
    error = await raised(ErrorHandling({InvalidParams: ToolError}), InvalidParams("no"))
    assert type(error) is ToolError


async def test_a_group_of_one_is_the_one_in_it() -> None:
    inner = KeyError("a")
    error = await raised(ErrorHandling({KeyError: NotFound}), ExceptionGroup("tasks", [ExceptionGroup("", [inner])]))
    assert type(error) is NotFound and error.__cause__ is inner
    other = ValueError("b")
    error = await raised(ErrorHandling(), ExceptionGroup("tasks", [other]))
    assert error is other and error.__context__ is None and describe(error) == "b"


async def test_a_group_of_several_is_an_exception_like_any_other() -> None:
    group = ExceptionGroup("two", [KeyError("a"), ValueError("b")])
    assert await raised(ErrorHandling({KeyError: NotFound}), group) is group
    assert type(await raised(ErrorHandling({ExceptionGroup: ToolError}), group)) is ToolError


async def test_a_cancel_passes_untold_and_out_of_its_group() -> None:
    told: list[BaseException] = []
    layer = ErrorHandling({Exception: ToolError}, lambda request, error: told.append(error))
    stopped = Interrupted(CancelReason(CancelKind.USER))
    assert await raised(layer, stopped) is stopped
    assert await raised(layer, BaseExceptionGroup("tasks", [stopped])) is stopped
    assert type(await raised(layer, asyncio.CancelledError())) is asyncio.CancelledError
    assert told == [] and layer.statistics() == {}


async def test_a_translation_to_nothing_is_a_mistake_that_names_it() -> None:
    layer = ErrorHandling({KeyError: lambda error: None})  # pyright: ignore[reportArgumentType]
    error = await raised(layer, KeyError("a"))
    assert type(error) is MisuseError and "translation of KeyError" in str(error)


class TestOnError:
    async def test_it_is_told_of_each_as_it_came(self) -> None:
        told: list[tuple[str | None, Exception]] = []
        layer = ErrorHandling({KeyError: NotFound}, lambda request, error: told.append((request.name, error)))
        first, second = KeyError("a"), NotFound("b")
        await raised(layer, first)
        await raised(layer, second)
        assert told == [("find", first), ("find", second)]

    async def test_it_may_be_asynchronous_and_is_awaited(self) -> None:
        told: list[Exception] = []

        async def tell(request: Request, error: Exception) -> None:
            await asyncio.sleep(0)
            told.append(error)

        error = ValueError("b")
        assert await raised(ErrorHandling(on_error=tell), error) is error
        assert told == [error]

    @pytest.mark.parametrize("asynchronous", [False, True])
    async def test_its_own_failure_is_logged_and_hides_nothing(
        self, asynchronous: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        def tell(request: Request, error: Exception) -> None:
            raise RuntimeError("no line to the pager")

        async def tell_later(request: Request, error: Exception) -> None:
            tell(request, error)

        error = ValueError("b")
        layer = ErrorHandling(on_error=tell_later if asynchronous else tell)
        with caplog.at_level(logging.ERROR, logger=module.__name__):
            assert await raised(layer, error) is error
        assert "no line to the pager" in caplog.text and "tools/call" in caplog.text


class TestStatistics:
    async def test_failures_are_counted_by_method_and_class_as_they_came(self) -> None:
        layer = ErrorHandling({KeyError: NotFound})
        for error in (KeyError("a"), KeyError("b"), ValueError("c")):
            await raised(layer, error)
        assert layer.statistics() == {("tools/call", "KeyError"): 2, ("tools/call", "ValueError"): 1}

    async def test_they_are_bounded(self) -> None:
        layer = ErrorHandling()
        for number in range(MAX_COUNTED + 3):
            await raised(layer, type(f"E{number}", (Exception,), {})())
        await raised(layer, type("E0", (Exception,), {})())
        counts = layer.statistics()
        assert len(counts) == MAX_COUNTED + 1
        assert counts[OTHER] == 3 and counts["tools/call", "E0"] == 2

    async def test_several_stacks_may_share_one(self) -> None:
        layer = ErrorHandling()
        for handler in (layer(raising(KeyError("a"))), stacked(raising(KeyError("b")), [layer])):
            with pytest.raises(KeyError):
                await handler(CALL)
        assert layer.statistics() == {("tools/call", "KeyError"): 2}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"KeyError": NotFound}, "classes of exceptions"),
        ({asyncio.CancelledError: NotFound}, "classes of exceptions"),
        ({KeyError: "gone"}, "KeyError is translated"),
        ({KeyError: int}, "KeyError is translated"),
        ({KeyError: NotFound("gone")}, "KeyError is translated"),
    ],
    ids=["a name", "a cancel", "a text", "no exception", "an instance"],
)
def test_a_mapping_that_is_none_is_refused(mapping: Any, message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        ErrorHandling(mapping)
