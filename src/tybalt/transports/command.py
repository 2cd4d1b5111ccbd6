"""`Command`: how to start a server as a child process, as a value. `process.spawn` starts it.

It is checked when it is made. Its `repr` shows neither arguments nor the values of variables, which may be secrets.
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from inspect import iscoroutinefunction
from math import inf
from subprocess import DEVNULL, PIPE, STDOUT
from typing import IO, TYPE_CHECKING, Any, Final, Literal, TypeGuard, cast

from msgspec import Struct
from msgspec.structs import force_setattr

from tybalt.errors import MisuseError, cut

if TYPE_CHECKING:
    from tybalt.execution.durations import Duration

PathName = str | os.PathLike[str]
Stderr = int | IO[Any] | PathName | Callable[[str], object] | None
Inherit = Literal["all"] | Sequence[str]

GRACE: Final = 2.0
"""Seconds: what the official SDKs give a server between two steps of ending it."""
NOWHERE: Final = frozenset(("devnull", "null"))
"""What is written, in any case, for `subprocess.DEVNULL`: nobody names a log like that."""


class _Words(Struct, frozen=True):
    args: Sequence[PathName]


class Command(_Words, frozen=True, kw_only=True):
    """A program and its arguments, as a list of words; there is never a shell in between.

    `env` are variables over those that are inherited: a short list (`default_environment`), and those of ours that
    `inherit` names, or "all". `cwd` is the working directory, ours by default. `stderr` says where that goes: None for
    ours, the path of a file to append to, a descriptor or an open file, `subprocess.DEVNULL`, a function to call with
    each line, or `subprocess.PIPE` to read and drop it; with the last two, its end is kept for error texts. `grace` is
    how long each step of ending it takes at most: seconds, or a duration such as "5s", kept as seconds.

    Raises `MisuseError` for what cannot be meant. That the program exists is seen when it is started.
    """

    env: Mapping[str, str] | None = None
    cwd: PathName | None = None
    stderr: Stderr = None
    inherit: Inherit = ()
    grace: "Duration" = GRACE

    def __post_init__(self) -> None:
        force_setattr(self, "args", _words(self.args))
        force_setattr(self, "env", _variables(self.env))
        force_setattr(self, "inherit", _names(self.inherit))
        _check_stderr(self.stderr)
        if self.cwd is not None and not is_path(self.cwd):
            raise MisuseError(f"cwd: expected the path of a directory, got {self.cwd!r}")
        force_setattr(self, "grace", _seconds(self.grace))

    def __repr__(self) -> str:
        return f"Command({', '.join(f'{name}={value!r}' if name else repr(value) for name, value in self._shown())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return self._shown()

    def _shown(self) -> list[tuple[str, Any]]:
        """What may be seen of it and is not the default."""
        program, *others = self.args
        args = [program, *([_HIDDEN] if others else [])]
        env = dict.fromkeys(self.env or (), _HIDDEN)
        told = {"env": env or None, "cwd": self.cwd, "stderr": self.stderr, "inherit": self.inherit or None}
        return [("", args), *((name, value) for name, value in told.items() if value is not None)]


def is_path(value: Any) -> TypeGuard[PathName]:
    """Whether this names a file, as text or as a `Path`; bytes do not."""
    return isinstance(value, str) or (isinstance(value, os.PathLike) and isinstance(value.__fspath__(), str))


class _Hidden:
    def __repr__(self) -> str:
        return "…"


_HIDDEN: Final = _Hidden()


def _words(args: Any) -> tuple[str, ...]:
    if isinstance(args, str | bytes | os.PathLike | Mapping) or not isinstance(args, Iterable):
        raise MisuseError(
            f"the command must be a list of words such as ['python', 'server.py'], not {_kind(args)}: "
            "there is no shell that would take it apart; shlex.split does it"
        )
    words: list[str] = []
    for place, word in enumerate(cast("Iterable[Any]", args)):
        if not is_path(word):
            raise MisuseError(f"the command must be a list of words; [{place}] is of the type {type(word).__name__}")
        words.append(os.fspath(word))
    if not words or not words[0]:
        raise MisuseError("the command is empty; give at least the program to start")
    return tuple(words)


def _kind(args: Any) -> str:
    """What was given in the place of a list, for an error text: of a text the first word, for secrets come later."""
    kind = type(cast("object", args)).__name__
    if not isinstance(args, str):
        return f"one of the type {kind}"
    first = re.split(r"\s", args.lstrip(), maxsplit=1)[0]
    return f"one text ({cut(re.split('[:=@]' if '@' in first else '=', first, maxsplit=1)[0])!r}…)"


def _variables(env: Any) -> dict[str, str]:
    if env is None:
        return {}
    if not isinstance(env, Mapping):
        raise MisuseError(f"env: expected a mapping of names to texts, got something of the type {type(env).__name__}")
    variables = dict(cast("Mapping[Any, Any]", env))
    for name, value in variables.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            shown = name.partition("=")[0] if isinstance(name, str) else name
            raise MisuseError(f"env: {shown!r} cannot be the name of a variable; expected a text without '='")
        # The value is not shown: it may be a secret.
        if not isinstance(value, str) or "\0" in value:
            raise MisuseError(f"env: the value of {name} must be a text without NUL, not of {type(value).__name__}")
    return variables


def _names(inherit: Any) -> "str | tuple[str, ...]":
    if inherit == "all":
        return "all"
    if isinstance(inherit, str) or not isinstance(inherit, Iterable):
        raise MisuseError(f"inherit: expected a list of names of variables, or 'all', got {inherit!r}")
    names = tuple(cast("Iterable[Any]", inherit))
    if not all(isinstance(name, str) for name in names):
        raise MisuseError(f"inherit: expected a list of names of variables, got {names!r}")
    return names


def _check_stderr(stderr: Any) -> None:
    if stderr == STDOUT and isinstance(stderr, int):
        raise MisuseError("stderr must not be mixed into stdout, which carries messages and nothing else")
    if iscoroutinefunction(stderr):
        raise MisuseError(f"stderr: expected a plain function, not {stderr!r}; it runs where stderr is read")
    if is_path(stderr) and os.fspath(stderr).lower() in NOWHERE:
        raise MisuseError(
            f"stderr: {stderr!r} would be a file of that name; to throw stderr away give subprocess.DEVNULL, and for "
            f"such a file {os.path.join(os.curdir, stderr)!r}"
        )
    if isinstance(stderr, int):
        possible = not isinstance(stderr, bool) and (stderr >= 0 or stderr in {PIPE, DEVNULL})
    else:
        possible = stderr is None or is_path(stderr) or callable(stderr) or hasattr(stderr, "fileno")
    if not possible:
        raise MisuseError(
            "stderr: expected None, a path, a function, a descriptor, a file, subprocess.DEVNULL or subprocess.PIPE, "
            f"got {stderr!r}"
        )


def _seconds(grace: Any) -> float:
    if not isinstance(grace, bool) and isinstance(grace, int | float) and 0 <= grace < inf:
        return grace
    if not isinstance(grace, int | float):
        from tybalt.execution.durations import seconds

        with suppress(MisuseError):
            return seconds(grace)
    raise MisuseError(f"grace: expected a number of seconds from 0 on, or a text such as '5s'; got {grace!r}")
