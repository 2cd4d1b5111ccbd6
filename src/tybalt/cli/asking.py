"""What a server asks its user, asked on the terminal: a form field by field, a URL for consent.

Questions go to stderr and answers come from stdin; where one of them is no terminal, what was given beforehand
(`answers`) is all there is, and without that the answer is no. Nothing is ever opened, and nothing is sent that the
user did not type, give or let stand as the default.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import urlsplit

from tybalt.cli.answers import Answers
from tybalt.cli.fields import MAX_FIELDS, Field, Unfit, fields_of, shown
from tybalt.cli.statuses import DONE, MISUSED
from tybalt.cli.terminal import is_terminal, line_held, note, prompt
from tybalt.cli.usage import listed, meant_by
from tybalt.errors import cut, printable

if TYPE_CHECKING:
    from tybalt.types.elicitation import ElicitRequestParams

MAX_MESSAGE: Final = 4_000
"""Characters of a question that are shown."""
MAX_URL: Final = 2_000
"""Characters of a URL. A longer one cannot be judged by who reads it."""
MAX_TYPED: Final = 65_536
"""Bytes of one answer."""

_NOT_OPENED: Final = "Nothing is opened for you; open it yourself if you trust it."

Typed = Callable[[], Awaitable[str | None]]


class _Declined(Exception):
    """The user wants no more of it. The text is for stderr."""


def person() -> Typed | None:
    """Who can be asked: whoever sits at the terminal that stdin and stderr are."""
    # On Windows, nothing waits for a line and for the server at once.
    is_there = is_terminal(sys.stdin) and is_terminal(sys.stderr) and sys.platform != "win32"
    return typed_line if is_there else None


class Asking:
    """Answers what a server asks, one question after another; `server` is what it calls itself.

    `typed` returns the next line that the user types, `None` at the end; without it, there is nobody to ask.
    """

    def __init__(self, answers: Answers, typed: Typed | None = None) -> None:
        self._answers = answers
        self._typed = typed
        self._turn = asyncio.Lock()
        self._asked_for: dict[str, None] = {}
        self._unused = dict.fromkeys(answers.texts)
        self.server = "the server"

    async def answer(self, question: "ElicitRequestParams") -> Any:
        """The form as it was filled in, `True` for a consent, `None` for a no; as `Client(on_elicit=…)` has it."""
        async with self._turn:
            asks = f"{shown(self.server)} asks: {_several(question.message)}"
            try:
                if question.mode == "url":
                    return await self._consent(asks, question.url or "")
                return await self._form(asks, fields_of(question.requested_schema or {}))
            except _Declined as declined:
                note(str(declined))
                return None

    def verdict(self) -> int:
        """Tell, at the end, of each `--answer` that no question had a field for; the status for that, or 0.

        Where no form was asked at all, there is nothing to tell: a server need not ask what it may ask.
        """
        fields = list(self._asked_for)
        if not fields or not self._unused:
            return DONE
        for name in self._unused:
            meant = meant_by(name, fields)
            guess = "it" if meant is None else f"did you mean {cut(meant)!r}? It"
            note(f"tybalt: --answer: no field {cut(name)!r}; {guess} asks for: {listed(list(map(shown, fields)))}")
        return MISUSED

    async def _form(self, asks: str, fields: list[Field]) -> dict[str, Any]:
        if len(fields) > MAX_FIELDS:
            raise _Declined(f"{asks}\ndeclined: the form has more than {MAX_FIELDS} fields")
        self._remember(fields)
        typed = self._typed
        if typed is None:
            return self._known(asks, fields)
        with line_held():
            note(asks)
            given = {field.name: await self._field(field, typed) for field in fields}
            if not fields and not await _agreed(typed):
                raise _Declined("declined")
        return {name: value for name, value in given.items() if value is not None}

    def _known(self, asks: str, fields: list[Field]) -> dict[str, Any]:
        """The form without a terminal: with what was given for it, and the defaults of the rest."""
        if not any(map(self._is_answered, fields)):
            names = listed([shown(field.name) for field in fields])
            how = f"; it asks for: {names}; answer with --answer NAME=VALUE" if fields else ""
            raise _Declined(f"{asks}\ndeclined: stdin and stderr are no terminal, so that nobody can be asked{how}")
        given: dict[str, Any] = {}
        for field in fields:
            value = self._given(field)
            if value is None and field.is_required:
                raise _Declined(f"{asks}\ndeclined: no answer to {shown(field.name)!r}; give it with --answer")
            if value is not None:
                given[field.name] = value
        return given

    def _remember(self, fields: list[Field]) -> None:
        """What was asked for, as much of it as is told, and which answers had a question."""
        for field in fields:
            self._unused.pop(field.name, None)
            if len(self._asked_for) < MAX_FIELDS:
                self._asked_for[field.name] = None

    def _is_answered(self, field: Field) -> bool:
        return field.name in self._answers.texts or field.name in self._answers.values

    def _given(self, field: Field) -> Any:
        """What was given for a field beforehand, or its default."""
        answers = self._answers
        try:
            if field.name in answers.texts:
                return field.read(answers.texts[field.name])
            if field.name in answers.values:
                return field.check(answers.values[field.name])
        except Unfit as error:
            raise _Declined(f"declined: the answer to {shown(field.name)!r} does not fit: {error}") from None
        return field.default

    async def _field(self, field: Field, typed: Typed) -> Any:
        if self._is_answered(field):
            return self._given(field)
        _describe(field)
        while True:
            prompt(f"  {shown(field.name)}{_default(field)}: ")
            text = await typed()
            if text is None:
                raise _Declined("\ndeclined")
            if not text.strip():
                if field.default is not None or not field.is_required:
                    return field.default
                note("  an answer is needed here; Ctrl-D declines the question")
                continue
            try:
                return field.read(text)
            except Unfit as error:
                note(f"  {error}")

    async def _consent(self, asks: str, url: str) -> bool:
        if self._typed is None:
            raise _Declined(
                f"{asks}\n{_several(url)}\ndeclined: stdin and stderr are no terminal, so that nobody agrees"
            )
        if len(url) > MAX_URL:
            raise _Declined(f"{asks}\ndeclined: the URL has more than {MAX_URL:,} characters")
        with line_held():
            note(f"{asks}\n  {printable(url)}\n  {_host(url)}\n{_NOT_OPENED}")
            if not await _agreed(self._typed):
                raise _Declined("declined")
        return True


def _several(text: str) -> str:
    """A text of the server that may have several lines."""
    return printable(cut(text, MAX_MESSAGE), kept="\n\t")


def _describe(field: Field) -> None:
    title, description = (field.schema.get(key) for key in ("title", "description"))
    told = [shown(each) for each in (title, description) if isinstance(each, str) and each]
    need = "required" if field.is_required else "optional"
    note(f"  {': '.join(told)}{' — ' if told else ''}{field.takes} ({need})")


def _default(field: Field) -> str:
    value = field.default
    if value is None:
        return ""
    if isinstance(value, bool):
        return f" [{'yes' if value else 'no'}]"
    text = ", ".join(cast("list[str]", value)) if isinstance(value, list) else value
    return f" [{shown(text)}]"


def _host(url: str) -> str:
    """The host by itself: where a URL leads is easily overlooked."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    odd = not host.isascii() or "xn--" in host
    return f"host: {shown(host) or 'none'}" + (" (not plain letters: it may look like another one)" if odd else "")


async def _agreed(typed: Typed) -> bool:
    prompt("Agree? [y/N] ")
    text = await typed()
    if text is None:
        note("")
    return text is not None and text.strip().casefold() in ("y", "yes")


async def typed_line() -> str | None:
    """The next line that is typed on stdin, without its end; `None` for Ctrl-D. Nothing else waits meanwhile."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()
    found: asyncio.Future[None] = loop.create_future()
    typed = bytearray()

    def read() -> None:
        try:
            piece = os.read(descriptor, 4_096)
        except OSError:  # The terminal is gone.
            piece = b""
        typed.extend(piece)
        if (not piece or piece.endswith(b"\n") or len(typed) > MAX_TYPED) and not found.done():
            found.set_result(None)

    loop.add_reader(descriptor, read)
    try:
        await found
    finally:
        loop.remove_reader(descriptor)
    line = typed.decode(sys.stdin.encoding or "utf-8", "replace").rstrip("\r\n")
    return line if typed else None
