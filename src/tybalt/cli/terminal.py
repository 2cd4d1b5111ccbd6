r"""Where the command line prints: the answer, and nothing else, to stdout; what else a person should read to stderr.

What is printed was written by servers. A control character in it could move the cursor, recolour or retitle the
terminal, so it is shown as JSON would write it, `\u001b`; so are marks that turn the direction of writing, and what is
invisible. On a terminal, one line of stderr may be shown and rewritten, such as the progress of a call.
"""

import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import IO, Any, Final

import msgspec

from tybalt.cli.cells import cells, filled, fitted
from tybalt.errors import printable

_WIDTH: Final = 80
"""Cells of a terminal that does not say how wide it is."""


class ReaderGone(Exception):
    """Nobody reads standard output any more, as after `| head -1`."""


def answer(text: str) -> None:
    """Print the answer to stdout, with control characters escaped, also in JSON. Raises `ReaderGone`."""
    if sys.stdout is None:  # Python's way to say that descriptor 1 was closed from the start.
        return
    try:
        print(_encodable(plain(text), sys.stdout.encoding), flush=True)
    except BrokenPipeError:
        # Python flushes stdout once more at its end, and would complain then.
        _discard(sys.stdout.fileno())
        raise ReaderGone from None


def note(text: str) -> None:
    """Print what a person should read, but no program, to stderr, with control characters escaped."""
    clear_line()
    if sys.stderr is not None:  # print(file=None) would be stdout.
        print(plain(text.rstrip("\n")), file=sys.stderr, flush=True)


def prompt(text: str) -> None:
    """Print `text` to stderr without a line end, for an answer to be typed behind it."""
    clear_line()
    sys.stderr.write(plain(text))
    sys.stderr.flush()


def show_line(text: str) -> None:
    """Show a line on stderr that the next one replaces; nothing where stderr is no terminal."""
    if is_terminal(sys.stderr) and not _status.is_held:
        line = fitted(printable(text), width_of(sys.stderr) - 1)
        _status.write(line)


def show_line_if_none(text: str) -> None:
    """`show_line`, unless one is shown already, which says more."""
    if not _status.shown:
        show_line(text)


def clear_line() -> None:
    """Take the line that is shown away again."""
    if _status.shown:
        _status.write("")


@contextmanager
def line_held() -> Generator[None]:
    """Show no line meanwhile: something is typed."""
    clear_line()
    _status.is_held = True
    try:
        yield
    finally:
        _status.is_held = False


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether a person looks at `stream`, or types into it."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # It is closed.
        return False


def width_of(stream: IO[Any]) -> int:
    """The width of a terminal in cells."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or _WIDTH
    except (OSError, ValueError):
        return _WIDTH


def plain(text: str) -> str:
    r"""`text` with its control characters as `\u001b`; line breaks and tabs stay."""
    return _CONTROL.sub(_escaped, text)


def answer_bytes(content: bytes) -> None:
    """Write the answer to stdout as it is, for no terminal. Raises `ReaderGone`."""
    if sys.stdout is None:
        return
    sys.stdout.flush()
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _discard(sys.stdout.fileno())
        raise ReaderGone from None


def json_text(value: Any) -> str:
    """A value as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(value)).decode()


@contextmanager
def stdout_aside() -> Generator[None]:
    """Send to stderr what is written to stdout, by print, through descriptor 1 or by a child process.

    Not guaranteed: for what a thread or an exit handler of the file writes afterwards.
    """
    _flush(sys.stdout)
    kept = _divert()
    shown, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        _flush(sys.stdout)
        sys.stdout = shown
        _flush(sys.__stdout__)
        if kept is not None:
            os.dup2(kept, 1)
            os.close(kept)


class _Status:
    """The line that is shown. It is overwritten with spaces: every terminal knows those."""

    shown = 0
    is_held = False

    def write(self, line: str) -> None:
        sys.stderr.write(f"\r{filled(line, self.shown)}" + ("" if line else "\r"))
        sys.stderr.flush()
        self.shown = cells(line)


_status = _Status()

_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!\n)"
    r"|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")


def _escaped(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))


def _encodable(text: str, encoding: str | None) -> str:
    """`text`, or all of it in ASCII where stdout has an encoding that cannot say it."""
    try:
        text.encode(encoding or "utf-8")
    except UnicodeEncodeError:
        return _BEYOND_ASCII.sub(_escaped, text)
    return text


def _divert() -> int | None:
    """Point descriptor 1 at stderr, or at nothing without one; a private copy of it, unless it was closed."""
    if sys.__stdout__ is None:
        return None
    kept = _copy(1)
    if sys.__stderr__ is None:
        _discard(1)
    else:
        os.dup2(2, 1)
    return kept


def _copy(descriptor: int) -> int:
    """A copy that is not 0, 1 or 2, even where one of them is free: those are everybody's."""
    copy = os.dup(descriptor)
    if copy > 2:
        return copy
    try:
        return _copy(descriptor)
    finally:
        os.close(copy)


def _discard(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def _flush(stream: Any) -> None:
    try:
        stream.flush()
    except (AttributeError, OSError, ValueError):
        return  # None, broken or closed: nothing of ours is lost with it.
