"""`ErrorHandling`: foreign exceptions become errors of the protocol in one place, and somebody is told of each.

A layer. It answers nothing: what an error is on the wire, and what of it the peer may see, is the business of whoever
stands at the end of the stack. It raises, and a cancel passes by untouched.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable
from typing import Any, Final

from tybalt.errors import MisuseError, TybaltError, only_error
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request

Translation = type[Exception] | Callable[[Any], Exception]
"""What becomes of a foreign exception: a class, which is given its text, or a function from it to an exception."""

OnError = Callable[[Request, Exception], Awaitable[object] | object]

MAX_COUNTED: Final = 1_000
"""How many pairs of a method and a class are counted each by itself; the rest is counted under `OTHER`."""

OTHER: Final = ("other", "other")

_logger: Final = logging.getLogger(__name__)


class ErrorHandling:
    """A layer that translates exceptions, counts them, and tells `on_error` of each.

    `translate` maps exception classes; of several that fit, the nearest counts (the order of the `__mro__`). A class
    is called with the text of the exception, a function with the exception itself. What has no entry passes as it is.
    Errors of the tree (`TybaltError`) are not foreign: only an entry for such a class touches them, so `Exception`
    or `TimeoutError` in the mapping does not. An exception group of one is the one in it.

    `on_error(request, error)` may be `async` and is awaited before the error goes on; it is given the exception as it
    came, before translation. What it raises is logged and changes nothing. Raises `MisuseError` for a mapping of
    anything but exception classes to classes and functions.
    """

    def __init__(
        self, translate: Mapping[type[Exception], Translation] | None = None, on_error: OnError | None = None
    ) -> None:
        self._translate = dict(translate or {})
        self._on_error = on_error
        self._counts: dict[tuple[str, str], int] = {}
        for kind, translation in self._translate.items():
            _check(kind, translation)

    def __call__(self, next: Handler) -> Handler:
        """`next`, with its exceptions translated."""

        async def handler(request: Request) -> Any:
            try:
                return await next(request)
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (it is raised, or what becomes of it)
                failure = only_error(error)
            # Raised out here, so that the group does not become the context of what was in it.
            try:
                raise await self._handled(request, failure)
            finally:
                del failure

        return handler

    def statistics(self) -> dict[tuple[str, str], int]:
        """How many failures there were, by method and class of the exception as it came. Bounded by `MAX_COUNTED`."""
        return dict(self._counts)

    async def _handled(self, request: Request, error: BaseException) -> BaseException:
        """What is to be raised for it."""
        if not isinstance(error, Exception):
            return error  # A cancel, or a group with one in it.
        self._count(request.method, type(error).__name__)
        if self._on_error is not None:
            await self._tell(self._on_error, request, error)
        return self._translated(error)

    def _count(self, method: str, kind: str) -> None:
        key = (method, kind)
        if key not in self._counts and len(self._counts) >= MAX_COUNTED:
            key = OTHER
        self._counts[key] = self._counts.get(key, 0) + 1

    @staticmethod
    async def _tell(on_error: OnError, request: Request, error: Exception) -> None:
        try:
            told = on_error(request, error)
            if isawaitable(told):
                await told
        except Exception:
            _logger.exception("on_error failed while it was told of a failure of %r", request.method)

    def _translated(self, error: Exception) -> BaseException:
        translation = self._translation(error)
        if translation is None:
            return error
        translated: object = translation(str(error) or type(error).__name__ if isinstance(translation, type) else error)
        if not isinstance(translated, Exception):  # pyright: ignore[reportUnnecessaryIsInstance] (untyped callers)
            raise MisuseError(
                f"the translation of {type(error).__name__} is to return an exception, not {translated!r}"
            ) from error
        if translated is not error and translated.__cause__ is None:
            translated.__cause__ = error
        return translated

    def _translation(self, error: Exception) -> Translation | None:
        ours = isinstance(error, TybaltError)
        for kind in type(error).__mro__:
            if kind in self._translate and (not ours or issubclass(kind, TybaltError)):
                return self._translate[kind]
        return None


def _check(kind: object, translation: object) -> None:
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        raise MisuseError(f"translate maps classes of exceptions, such as KeyError; got {kind!r}")
    if isinstance(translation, type) and issubclass(translation, Exception):
        return
    if isinstance(translation, type) or not callable(translation):
        raise MisuseError(
            f"{kind.__name__} is translated to a class of exceptions or by a function(error); got {translation!r}"
        )
