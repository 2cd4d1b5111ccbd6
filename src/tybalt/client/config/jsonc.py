"""JSON as editors write it, with comments and trailing commas, made into JSON: what is too much becomes blanks.

Nothing moves, so that the line and the column of what a decoder complains about are those of the file. What stands in
strings is not touched. This is no parser: what is no JSON otherwise stays none, and the decoder says so.
"""

import re
from collections.abc import Iterator
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<string>  "(?:[^"\\]++|\\.)*+"? )
    | (?P<comment> //[^\r\n]*+ | /\*.*?\*/ )
    | (?P<other>   /\*.*+ | [^\s"/,]++ | [/,] )
    """,
    re.VERBOSE | re.DOTALL,
)
"""Everything but blanks. A comment that does not end is no comment; it takes the rest, so that it is looked at once."""
_TRAILING: Final = re.compile(r",\s*+[\]}]")
_NO_BREAK: Final = re.compile(r"[^\r\n]")


def plain_json(text: str) -> str:
    """`text` without comments and without a comma after the last item, each in the same line and column as before.

    Takes time in proportion to the length. Never raises.
    """
    if "/" not in text and _TRAILING.search(text) is None:
        return text
    pieces: list[str] = []
    done = 0
    for start, end in _surplus(text):
        pieces += text[done:start], _NO_BREAK.sub(" ", text[start:end])
        done = end
    return "".join(pieces) + text[done:]


def _surplus(text: str) -> Iterator[tuple[int, int]]:
    """From where to where stands what JSON does not have, in order."""
    last, comma = "", -1
    comments: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        if token["comment"] is not None:
            comments.append(token.span())
            continue
        begin = token[0][0]
        if comma >= 0 and begin in "]}":
            yield comma, comma + 1
        yield from comments
        comments.clear()
        # Only a comma after a value can be one too many: `[,]` is a mistake in every dialect.
        comma = token.start() if begin == "," and last not in ("", "[", "{", ",", ":") else -1
        last = token[0][-1]
    yield from comments
