"""Answer writers: a tool's result to bytes, from constant pieces, with only the id and the value encoded per call.

What the return annotation promises chooses the writer; the type of what came back is looked at on every call, and
anything else takes the general road through `ResultShape`. One writer serves one tool in one revision.
"""

from collections.abc import Callable
from typing import Any, Final

from tybalt.protocol.answers import Answers, RequestId, encode
from tybalt.server.results import ResultShape
from tybalt.types.output_schema import is_wrapped

Writer = Callable[[RequestId, Any], bytes]

_TEXT: Final = b'"content":[{"type":"text","text":'
_join = b"".join


def compile_writer(shape: ResultShape, answers: Answers, *, where: str) -> Writer:
    """The function that turns a request id and a tool's return value into its answer, in the revision of `answers`."""
    expected = {"int": int, "bool": bool, "str": str}.get(shape.kind)
    if expected is None or shape.schema is None or not is_wrapped(shape.schema):
        return _general(shape, answers)
    return _scalar(expected, shape, answers, where)


def _general(shape: ResultShape, answers: Answers) -> Writer:
    wrapped = None if shape.schema is None else is_wrapped(shape.schema)

    def write(request_id: RequestId, value: Any) -> bytes:
        return answers.result(request_id, shape.result(value), wrapped=wrapped)

    return write


def _scalar(expected: type, shape: ResultShape, answers: Answers, where: str) -> Writer:
    """Numbers, booleans and strings: text and structured content side by side."""
    head = answers.head
    opening, middle, close = _pieces(answers, quoted=expected is str)
    general = _general(shape, answers)

    def write(request_id: RequestId, value: Any) -> bytes:
        if type(value) is not expected:
            return general(request_id, value)
        text = encode(value)
        return _join((head, encode(request_id), opening, text, middle, text, close))

    def write_text(request_id: RequestId, value: Any) -> bytes:
        if type(value) is not expected:
            return general(request_id, value)
        return _join((head, encode(request_id), opening, encode(value), middle))

    if answers.revision < "2025-06-18":
        middle = (b"" if expected is str else b'"') + b"}]" + answers.close
        return write_text
    return write


def _pieces(answers: Answers, *, quoted: bool) -> tuple[bytes, bytes, bytes]:
    """What stands before the text, between it and the structured value, and behind."""
    comma = b"" if answers.opening.endswith(b"{") else b","
    quote = b"" if quoted else b'"'
    opening = answers.opening + comma + _TEXT + quote
    wrapped = answers.era == "legacy"
    middle = quote + b'}],"structuredContent":' + (b'{"result":' if wrapped else b"")
    return opening, middle, (b"}" if wrapped else b"") + answers.close
