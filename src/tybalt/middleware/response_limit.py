"""`ResponseLimit`: no result larger than so many bytes, and a refusal that says what to do about it.

A layer. It measures a result as JSON in the newest shape; the envelope around it, and what an older revision adds or
leaves out, is not counted. Measuring encodes the result once more than sending it does.
"""

from typing import Any, Final

import msgspec

from tybalt.errors import InternalError, MisuseError, ToolError, cut
from tybalt.middleware.layers import Handler
from tybalt.middleware.request import Request
from tybalt.types.content import ContentBlock, TextContent
from tybalt.types.tools import CallToolResult

MAX_BYTES: Final = 1_000_000

_encode = msgspec.json.Encoder().encode


class ResponseLimit:
    """A layer that refuses results of more than `max_bytes` bytes (1 MB).

    For a tool it raises a `ToolError`, written for the model: how large, how much is allowed, what to do. For anything
    else it raises an `InternalError` that says the same. With `truncate=True`, a tool's text is cut instead, between
    two characters, and says so at its end; other texts that come later are left out. Only text is cut: structured
    content, pictures and resources stay whole, and where they alone are too large the result is refused. Raises
    `MisuseError` for a limit that is no number of bytes above 0.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, *, truncate: bool = False) -> None:
        if type(max_bytes) is not int or max_bytes < 1:
            raise MisuseError(f"max_bytes is a number of bytes above 0, such as 1_000_000; got {max_bytes!r}")
        self._max_bytes = max_bytes
        self._truncate = truncate

    def __call__(self, next: Handler) -> Handler:
        """`next`, with results that are not too large."""

        async def handler(request: Request) -> Any:
            result = await next(request)
            size = len(_encode(result))
            return result if size <= self._max_bytes else self._smaller(request, result, size)

        return handler

    def _smaller(self, request: Request, result: Any, size: int) -> Any:
        if self._truncate and isinstance(result, CallToolResult):
            shortened = truncated(result, self._max_bytes)
            if shortened is not None:
                return shortened
        raise self._refusal(request, size)

    def _refusal(self, request: Request, size: int) -> Exception:
        name = "" if request.name is None else f" {cut(request.name)}"
        found = f"the result of {request.method}{name} has {size:,} bytes; at most {self._max_bytes:,} are allowed"
        if request.method == "tools/call":
            return ToolError(
                f"{found}. Ask for less: fewer items, fewer fields, a narrower search, or one part at a time"
            )
        return InternalError(f"{found}. The server's author can raise ResponseLimit(max_bytes=…) or return less")


def truncated(result: CallToolResult, max_bytes: int) -> CallToolResult | None:
    """The same result with so much of its text, from the beginning, that it is no larger than `max_bytes` as JSON.

    `None` where that cannot be: what is not text is too large already.
    """
    total = sum(len(block.text) for block in result.content if isinstance(block, TextContent))
    longest_note = _note(total, total, max_bytes)
    without = [_with_text(block, "") if isinstance(block, TextContent) else block for block in result.content]
    room = max_bytes - len(_encode(_with_content(result, without))) - _inside(longest_note)
    if room < 0 or not total:
        return None
    content: list[ContentBlock] = []
    shown = 0
    for block in result.content:
        if not isinstance(block, TextContent):
            content.append(block)
        elif room >= 0:
            kept = _beginning(block.text, room)
            shown += len(kept)
            room -= _inside(kept)
            if len(kept) < len(block.text):
                room = -1
                kept += _note(shown, total, max_bytes)
            content.append(_with_text(block, kept))
    return _with_content(result, content)


def _note(shown: int, total: int, max_bytes: int) -> str:
    return f"\n[cut: the first {shown:,} of {total:,} characters are shown; a result has at most {max_bytes:,} bytes]"


def _beginning(text: str, room: int) -> str:
    """As many characters of `text` as take `room` bytes at most inside of a JSON string."""
    text = text[:room]  # Each takes a byte or more; what is searched is no longer than what is wanted.
    fits, above = 0, len(text) + 1
    while above - fits > 1:
        middle = (fits + above) // 2
        if _inside(text[:middle]) <= room:
            fits = middle
        else:
            above = middle
    return text[:fits]


def _inside(text: str) -> int:
    """The bytes of a text as JSON, without the quotes."""
    return len(_encode(text)) - 2


def _with_text(block: TextContent, text: str) -> TextContent:
    return msgspec.structs.replace(block, text=text)


def _with_content(result: CallToolResult, content: list[ContentBlock]) -> CallToolResult:
    return msgspec.structs.replace(result, content=content)
