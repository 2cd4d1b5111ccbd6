"""What went wrong, as a text and an exit status; in a user's file, as its author wants to read it: without our lines.

A mistake that Tybalt itself points out is one line with the place of it; any other exception is a traceback without the
frames of Tybalt and of what runs it. Where no frame is the author's, it may be our mistake, and everything is told.
"""

import asyncio
import contextlib
import importlib
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, TracebackType
from typing import Final, cast

import tybalt
from tybalt.cli.statuses import FAILED, LATE, REFUSED, UNREACHED
from tybalt.errors import (
    ConnectionLost,
    McpError,
    RequestTimeout,
    TransportError,
    TybaltError,
    UnexpectedResult,
    describe,
)

_STATUSES: Final[tuple[tuple[type[Exception], int], ...]] = (
    (RequestTimeout, LATE),
    (McpError, REFUSED),
    (UnexpectedResult, REFUSED),
    (TransportError, UNREACHED),
    (ConnectionLost, UNREACHED),
)

_PACKAGES = tuple(str(Path(str(module.__file__)).parent) + os.sep for module in (tybalt, asyncio, importlib))
_STANDARD_LIBRARY = str(Path(str(contextlib.__file__)).parent) + os.sep
_NOT_THEIRS = (*_PACKAGES, str(contextlib.__file__), "<frozen ")


def told(error: Exception) -> str:
    """The error for its author, without a newline at its end."""
    if not isinstance(error, TybaltError):
        return _shortened_traceback(error)
    return f"{_place(error) or 'tybalt'}: {_text(error)}"


def status_of(error: Exception) -> int:
    """The exit status of a command that this error ends; 1 for one that went through the author's own lines."""
    if _place(error) is not None:
        return FAILED
    return next((status for kind, status in _STATUSES if isinstance(error, kind)), FAILED)


def _text(error: TybaltError) -> str:
    if isinstance(error, McpError):
        return f"error {error.code}: {error.message}"
    # The client says in its own words what the system said.
    return str(error) if isinstance(error, TransportError | ConnectionLost) else describe(error)


def _place(error: BaseException) -> str | None:
    """`server.py:12`: the innermost of the author's lines that the error went through."""
    places = [(frame.tb_frame.f_code.co_filename, frame.tb_lineno) for frame in _own_frames(error)]
    for file, line in reversed(places):
        if not file.startswith(_STANDARD_LIBRARY):
            return f"{_from_here(file)}:{line}"
    return None


def _from_here(file: str) -> str:
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return file


def _shortened_traceback(error: BaseException) -> str:
    # A syntax error names file and line itself.
    if isinstance(error, SyntaxError) or any(_own_frames(error)):
        _shorten(error, set())
    return "".join(traceback.format_exception(error)).rstrip("\n")


def _shorten(error: BaseException, seen: set[int]) -> None:
    """Keep only the author's frames, in the error and in all that is told with it."""
    if id(error) in seen:
        return
    seen.add(id(error))
    kept: TracebackType | None = None
    for frame in reversed(list(_own_frames(error))):
        kept = TracebackType(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    error.__traceback__ = kept
    group = cast("BaseExceptionGroup[BaseException]", error) if isinstance(error, BaseExceptionGroup) else None
    members = () if group is None else group.exceptions
    for each in (error.__cause__, error.__context__, *members):
        if each is not None:
            _shorten(each, seen)


def _own_frames(error: BaseException) -> Iterator[TracebackType]:
    frame = error.__traceback__
    while frame is not None:
        if _is_own(frame.tb_frame.f_code):
            yield frame
        frame = frame.tb_next


def _is_own(code: CodeType) -> bool:
    return not code.co_filename.startswith(_NOT_THEIRS)
