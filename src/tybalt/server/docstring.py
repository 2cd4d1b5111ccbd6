"""What a docstring says about a function, its parameters and its result, in the three styles people write.

Google (`Args:`), NumPy (`Parameters` over dashes) and Sphinx (`:param x:`) are read; whatever is none of these is
description. It is no Markdown or reST renderer: the text is taken as it stands. Above it is whoever compiles a
handler; it knows nothing of signatures, so a documented name need not exist.
"""

import inspect
import re
from collections.abc import Iterator

import msgspec


class Docstring(msgspec.Struct, frozen=True):
    """A docstring taken apart.

    `description` is the text without the sections about parameters, result and exceptions. `parameters` maps a name
    (without stars) to its text, `returns` is the text about the result. Whatever is missing is an empty string or an
    empty dict.
    """

    description: str = ""
    parameters: dict[str, str] = {}
    returns: str = ""


def parse(doc: str | None) -> Docstring:
    """Takes `doc` apart; never fails, text it cannot place stays in the description.

    A section counts only where it has at least one well-formed entry, and never inside a fenced code block.
    """
    if not doc or not doc.strip():
        return Docstring()
    reader = _Reader(inspect.cleandoc(doc).splitlines())
    reader.read()
    description = re.sub(r"\n{3,}", "\n\n", "\n".join(reader.kept)).strip()
    return Docstring(description, reader.parameters, reader.returns)


_PARAMETERS = frozenset(
    {"attributes", "args", "arguments", "params", "parameters", "other parameters", "keyword args", "keyword arguments"}
)
_RETURNS = frozenset({"returns", "return", "yields", "yield"})
_DROPPED = frozenset({"raises", "raise", "except", "exceptions", "receives", "warns"})
_SECTIONS = _PARAMETERS | _RETURNS | _DROPPED

_GOOGLE_HEADER = re.compile(r"^(\s*)([A-Za-z][A-Za-z ]*):\s*$")
_GOOGLE_ENTRY = re.compile(r"^\*{0,2}(\w+)\s*(?:\([^()]*(?:\([^()]*\)[^()]*)*\))?\s*:(?:\s+(.*))?$")
_NUMPY_ENTRY = re.compile(r"^(\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_SPHINX_FIELD = re.compile(r"^:(\w+)(?:\s+([^:]*?))?\s*:(?:\s+(.*))?$")
_SPHINX_PARAMETERS = frozenset({"param", "parameter", "arg", "argument", "key", "keyword"})
_SPHINX_DROPPED = frozenset({"type", "rtype", "raises", "raise", "except", "exception", "yieldtype"})
_FENCE = re.compile(r"^\s*(```|~~~)")


class _Reader:
    """One pass over the lines: what is a section goes to its place, all else to `kept`."""

    __slots__ = ("kept", "lines", "parameters", "position", "returns")

    def __init__(self, lines: list[str]) -> None:
        self.lines = lines
        self.position = 0
        self.kept: list[str] = []
        self.parameters: dict[str, str] = {}
        self.returns = ""

    def read(self) -> None:
        while self.position < len(self.lines):
            if not (self._fence() or self._sphinx() or self._numpy() or self._google()):
                self.kept.append(self.lines[self.position])
                self.position += 1

    def _fence(self) -> bool:
        opening = _FENCE.match(self.lines[self.position])
        if opening is None:
            return False
        end = self.position + 1
        while end < len(self.lines) and not self.lines[end].strip().startswith(opening[1]):
            end += 1
        self.kept.extend(self.lines[self.position : end + 1])
        self.position = end + 1
        return True

    def _sphinx(self) -> bool:
        field = _SPHINX_FIELD.match(self.lines[self.position])
        if field is None:
            return False
        kind, name = field[1], (field[2] or "").split()
        if kind in _SPHINX_PARAMETERS and name:
            self.parameters[name[-1].lstrip("*\\")] = self._text(field[3], self._indented(0))
        elif kind in {"return", "returns", "yield", "yields"}:
            self.returns = self._text(field[3], self._indented(0))
        elif kind in _SPHINX_DROPPED:
            self._indented(0)
        else:
            return False
        return True

    def _numpy(self) -> bool:
        title = self.lines[self.position].strip().lower()
        below = self.lines[self.position + 1].strip() if self.position + 1 < len(self.lines) else ""
        if title not in _SECTIONS or len(below) < 3 or set(below) - {"-"}:
            return False
        body = self._until_next_numpy_section()
        if title in _PARAMETERS:
            for names, text in _entries(body, _NUMPY_ENTRY):
                self.parameters.update(dict.fromkeys((name.strip(" *") for name in names.split(",")), text))
        elif title in _RETURNS:
            texts = [text for _, text in _entries(body, re.compile(r"^(.+)$"))]
            self.returns = "\n".join(filter(None, texts)) or _joined(body)
        return True

    def _until_next_numpy_section(self) -> list[str]:
        start = end = self.position + 2
        while end < len(self.lines) and not self._underlined(end):
            end += 1
        self.position = end
        return self.lines[start:end]

    def _underlined(self, line: int) -> bool:
        below = self.lines[line + 1].strip() if line + 1 < len(self.lines) else ""
        return bool(self.lines[line].strip()) and len(below) >= 3 and not set(below) - {"-"}

    def _google(self) -> bool:
        header = _GOOGLE_HEADER.match(self.lines[self.position])
        title = header[2].lower() if header else ""
        if header is None or title not in _SECTIONS:
            return False
        start = self.position
        body = self._indented(len(header[1]))
        entries = list(_entries(body, _GOOGLE_ENTRY)) if title in _PARAMETERS else []
        if not any(line.strip() for line in body) or (title in _PARAMETERS and not entries):
            self.position = start
            return False
        self.parameters.update(entries)
        if title in _RETURNS:
            self.returns = _joined(body)
        return True

    def _indented(self, indent: int) -> list[str]:
        """The lines after this one that are deeper than `indent`, with the blank ones between; moves past them."""
        start = end = self.position + 1
        while end < len(self.lines) and (not self.lines[end].strip() or _indent(self.lines[end]) > indent):
            end += 1
        while end > start and not self.lines[end - 1].strip():
            end -= 1
        self.position = end
        return self.lines[start:end]

    @staticmethod
    def _text(first: str | None, rest: list[str]) -> str:
        return _joined([first or "", *rest])


def _entries(body: list[str], entry: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Every `name: text` whose line has the indentation of the first one; deeper lines continue the text."""
    indent = min((_indent(line) for line in body if line.strip()), default=0)
    name: str | None = None
    text: list[str] = []
    for line in [*body, None]:
        match = entry.match(line.strip()) if line is not None and line.strip() and _indent(line) == indent else None
        if match is None and line is not None:
            text.append(line)
            continue
        if name is not None:
            yield name, _joined(text)
        if match is not None:
            name, text = match[1], [match[2] or ""] if match.re.groups > 1 else []


def _joined(lines: list[str]) -> str:
    """Lines of one text: each paragraph on one line, paragraphs apart by a blank line."""
    paragraphs = "\n".join(line.strip() for line in lines).strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip())


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
