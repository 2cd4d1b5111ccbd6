"""`tybalt read`: what a resource holds, to stdout or into a file.

To a terminal goes text alone, escaped. Anything else gets the bytes as they are, and nothing besides.
"""

import sys
from base64 import b64decode
from collections.abc import Sequence

from tybalt.cli.answers import Answers
from tybalt.cli.asking import Asking, person
from tybalt.cli.destination import Destination
from tybalt.cli.talk import talk
from tybalt.cli.terminal import answer, answer_bytes, is_terminal, json_text
from tybalt.cli.usage import UsageError
from tybalt.errors import UnexpectedResult, cut, printable
from tybalt.types.resources import ResourceContents


def read(target: Destination, uri: str, *, output: str | None, as_json: bool, answers: Answers) -> int:
    """Write the contents of the resource one after the other, or all about them as JSON; the exit status.

    Raises `UsageError` for binary contents on a terminal and for a file that cannot be written, `UnexpectedResult` for
    contents that are no base64, and as `talk` does.
    """
    asking = Asking(answers, person())
    contents = talk(target, lambda client: client.read_resource(uri), asking=asking, bounded=True, log_level="debug")
    if as_json:
        _write_json(contents, output)
    elif output is not None:
        _write(output, _joined(contents))
    elif is_terminal(sys.stdout):
        answer(_text(uri, contents).removesuffix("\n"))
    else:
        answer_bytes(_joined(contents))
    return asking.verdict()


def _write_json(contents: Sequence[ResourceContents], output: str | None) -> None:
    text = json_text({"contents": contents})
    if output is None:
        answer(text)
    else:
        _write(output, f"{text}\n".encode())


def _write(path: str, content: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(content)
    except (OSError, ValueError) as error:
        raise UsageError(f"--output {path}: {getattr(error, 'strerror', None) or error}") from None


def _joined(contents: Sequence[ResourceContents]) -> bytes:
    return b"".join(map(_bytes, contents))


def _bytes(contents: ResourceContents) -> bytes:
    if contents.text is not None:
        return contents.text.encode("utf-8", "surrogatepass")
    try:
        return b64decode(contents.blob or "", validate=True)
    except ValueError as error:
        name = printable(cut(contents.uri))
        raise UnexpectedResult(f"the contents of {name} are no base64: {error}") from None


def _text(uri: str, contents: Sequence[ResourceContents]) -> str:
    for each in contents:
        if each.text is None:
            kind = printable(each.mime_type or "binary")
            how = "give --output FILE, or redirect stdout"
            raise UsageError(f"{uri} is {kind}, {len(_bytes(each)):,} bytes, and stdout is a terminal; {how}")
    return "".join(each.text or "" for each in contents)
