"""How a request ended, in one word."""

import asyncio
from typing import Any

import pytest

from tybalt.errors import ToolError
from tybalt.execution import CancelKind, CancelReason, Interrupted
from tybalt.middleware.endings import ending_by, ending_of
from tybalt.types.content import TextContent
from tybalt.types.tools import CallToolResult


@pytest.mark.parametrize(
    ("result", "ending"),
    [
        (None, "ok"),
        (CallToolResult(content=[TextContent(text="2")]), "ok"),
        (CallToolResult(content=[], is_error=False), "ok"),
        (CallToolResult(content=[], is_error=True), "is_error"),
    ],
    ids=["none", "result", "no error", "error"],
)
def test_results(result: Any, ending: str) -> None:
    assert ending_of(result) == ending


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (ToolError("no"), "ToolError"),
        (ExceptionGroup("one", [ExceptionGroup("inner", [KeyError("a")])]), "KeyError"),
        (ExceptionGroup("two", [KeyError("a"), ValueError("b")]), "ExceptionGroup"),
        (asyncio.CancelledError(), "cancelled"),
        (Interrupted(CancelReason(CancelKind.USER)), "cancelled"),
        (BaseExceptionGroup("one", [Interrupted(CancelReason(CancelKind.USER))]), "cancelled"),
        (GeneratorExit(), "cancelled"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(), "SystemExit"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_exceptions(error: BaseException, ending: str) -> None:
    assert ending_by(error) == ending
