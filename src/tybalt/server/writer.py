"""Answer writers: a tool's result to bytes, from constant pieces, with only the id and the value encoded per call.

What the return annotation promises chooses the writer; the type of what came back is looked at on every call, and
anything else takes the general road through `ResultShape`. One writer serves one tool in one revision.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from tybalt.protocol.answers import Answers, RequestId, encode
from tybalt.server.results import ResultShape
from tybalt.types.output_schema import is_wrapped

Write = Callable[[RequestId, Any], bytes]

join = b"".join

_SCALARS: Final[dict[str, type]] = {"int": int, "bool": bool, "str": str}
"""Values that need no look inside; not floats, for JSON has no NaN."""
_TEXT: Final = b'"content":[{"type":"text","text":'


class Writer(Struct, frozen=True):
    """How one tool's results are written: `write` for any value, `pieces` for one of type `expected`, if that is set.

    Such a value is written as `pieces[0] + id + pieces[1] + value + pieces[2] + value + pieces[3]`, both encoded.
    """

    write: Write
    expected: type | None = None
    pieces: tuple[bytes, bytes, bytes, bytes] = (b"", b"", b"", b"")


def compile_writer(shape: ResultShape, answers: Answers) -> Writer:
    """The writer for a tool of this result shape, in the revision of `answers`."""
    general = _general(shape, answers)
    expected = _SCALARS.get(shape.kind)
    if expected is None or shape.schema is None or not is_wrapped(shape.schema) or answers.revision < "2025-06-18":
        return Writer(general)
    pieces = _pieces(answers, quoted=expected is str)
    write = _scalar(expected, pieces, general)
    # Strings keep to `write`, which looks out for text that cannot be encoded; numbers and booleans always can.
    return Writer(write) if expected is str else Writer(write, expected, pieces)


def _general(shape: ResultShape, answers: Answers) -> Write:
    wrapped = None if shape.schema is None else is_wrapped(shape.schema)

    def write(request_id: RequestId, value: Any) -> bytes:
        return answers.result(request_id, shape.result(value), wrapped=wrapped)

    return write


def _scalar(expected: type, pieces: tuple[bytes, bytes, bytes, bytes], general: Write) -> Write:
    head, opening, middle, close = pieces

    def write(request_id: RequestId, value: Any) -> bytes:
        if type(value) is not expected:
            return general(request_id, value)
        try:
            text = encode(value)
        except UnicodeEncodeError:  # Half a surrogate pair: the general road replaces it.
            return general(request_id, value)
        return join((head, encode(request_id), opening, text, middle, text, close))

    return write


def _pieces(answers: Answers, *, quoted: bool) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands before the id, before the text, before the structured value, and at the end.

    A string brings its own quotes; in legacy the structured value is wrapped in an object.
    """
    comma = b"" if answers.opening.endswith(b"{") else b","
    quote = b"" if quoted else b'"'
    wrapped = answers.era == "legacy"
    opening = answers.opening + comma + _TEXT + quote
    middle = quote + b'}],"structuredContent":' + (b'{"result":' if wrapped else b"")
    return answers.head, opening, middle, (b"}" if wrapped else b"") + answers.close
