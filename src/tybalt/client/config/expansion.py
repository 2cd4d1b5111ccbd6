"""`${VAR}` in the values of a configuration: `expand` puts the environment in. Pure text; `entries` is above.

    ${VAR}  ${env:VAR}      the value of the variable; an error where it is not set
    ${VAR:-text}            the text where it is not set
    $${VAR}                 the text `${VAR}`: of the dollars before a brace, two stand for one

A dollar anywhere else is a dollar, `$VAR` and `pa$$word` are left as they are. What is put in is never looked at again,
so a value that holds `${` cannot fetch another one.
"""

import re
from collections.abc import Mapping
from typing import Final

from tybalt.errors import cut

MAX_TEXT: Final = 65_536
"""Characters a value may have, before and after expansion. Windows allows 32,767 in a variable, Linux 131,072."""

_OPENING: Final = re.compile(r"(?<!\$)(\$+)\{")
"""A run of dollars and a brace. No search begins inside of a run, so that a long one is looked at once."""
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INPUT: Final = re.compile(r"input:([A-Za-z_][A-Za-z0-9_-]*)")
_EDITORS: Final = ("workspaceFolder", "workspaceFolderBasename", "userHome", "pathSeparator", "cwd")
"""What VS Code and Cursor put in by themselves."""


class ExpansionError(ValueError):
    """A text that cannot be expanded. It says why, and holds no value; whoever knows the key adds it."""


def expand(text: str, environment: Mapping[str, str]) -> str:
    """`text` with every reference replaced by its value in `environment`, once and not again.

    Raises `ExpansionError` for a variable that is not set, for a reference that is none, and for more than `MAX_TEXT`
    characters before or after.
    """
    _check_length(text)
    pieces: list[str] = []
    length = done = 0
    while (opening := _OPENING.search(text, done)) is not None:
        dollars, start = len(opening[1]), opening.end()
        piece = text[done : opening.start()] + "$" * (dollars // 2)
        if dollars % 2:
            end = text.find("}", start)
            if end < 0:
                raise ExpansionError("`${` has no `}` after it; `$${` stands for those two characters themselves")
            piece += _value(text[start:end], environment)
            done = end + 1
        else:
            piece += "{"
            done = start
        pieces.append(piece)
        length += len(piece)
        _check_length(piece, length)
    expanded = "".join(pieces) + text[done:]
    _check_length(expanded)
    return expanded


def is_variable(name: str) -> bool:
    """Whether a reference can name it: letters, digits and underscores, no digit first."""
    return _NAME.fullmatch(name) is not None


def _value(reference: str, environment: Mapping[str, str]) -> str:
    """What stands for the inside of `${…}`."""
    written, given, default = reference.partition(":-")
    if "${" in default:
        raise ExpansionError("a default holds no reference of its own: nothing is expanded inside of `${…}`")
    name = written.removeprefix("env:")
    if not is_variable(name):
        raise ExpansionError(_no_variable(written))
    value = environment.get(name)
    if value is not None:
        return value
    if given:
        return default
    raise ExpansionError(_not_set(name))


def _no_variable(written: str) -> str:
    """Without the text itself, which may be a piece of a password; what VS Code asks for has a harmless name."""
    asked = _INPUT.fullmatch(written)
    if asked is None:
        return "`${…}` holds no name of a variable; write ${NAME}, and `$${` where these characters are meant"
    meant = asked[1].replace("-", "_").upper()
    return f"`${{{cut(written)}}}` is asked by VS Code, and nobody asks here; write ${{{cut(meant)}}} for a variable"


def _not_set(name: str) -> str:
    if name in _EDITORS:
        given = f"environment={{**os.environ, {name!r}: …}}"
        return f"{name} is a variable of the editor, and not set here; pass {given}"
    shown = cut(name)
    return f"the environment variable {shown} is not set; set it, or write a default: ${{{shown}:-…}}"


def _check_length(text: str, length: int = 0) -> None:
    if max(len(text), length) > MAX_TEXT:
        raise ExpansionError(f"the text has more than {MAX_TEXT:,} characters, with the variables put in")
