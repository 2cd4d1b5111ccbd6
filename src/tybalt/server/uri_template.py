"""URI templates (RFC 6570) as resources have them: expanded with values, and matched against a URI to get them back.

All of levels 1 to 3, and the explode modifier: `{x}`, `{+x}`, `{#x}`, `{.x}`, `{/x}`, `{;x}`, `{?x,y}`, `{&x}`,
`{/x*}`, `{?x*}`. The grammar is in `uri_expression`, matching and its rules in `uri_match`. What a value means, and its
type, is the business of those who registered the template.

2026-07-28 server/resources, "Resource Templates" and "Security Considerations".
"""

from collections.abc import Collection, Mapping
from typing import Any

from tybalt.errors import MisuseError, RegistrationError
from tybalt.server.uri_expression import Variable, parse
from tybalt.server.uri_match import MAX_URI, Matcher, Value

__all__ = ["MAX_URI", "UriTemplate", "Value", "Variable"]


class UriTemplate:
    """One template, compiled.

    Raises `RegistrationError`, with the position and the remedy, for a template that is malformed, has the prefix
    modifier (`{x:3}`), uses a name twice, or whose variables could not be told apart in a URI (`{x}{y}`).

    `variables` are in the order of the template. `literals` is the number of characters that stand in every URI that
    matches. Frozen in use: nothing changes after construction, and templates with the same text are equal.
    """

    __slots__ = ("_matcher", "_parts", "literals", "sort_key", "text", "variables")

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise RegistrationError(f"a URI template must be a string, got {type(text).__name__}")
        self.text = text
        self._parts = parse(text)
        self._matcher = Matcher(text, self._parts)
        self.variables: tuple[Variable, ...] = tuple(
            variable for part in self._parts if not isinstance(part, str) for variable in part.variables
        )
        self.literals: int = self._matcher.literals
        self.sort_key: tuple[int, int, int] = (-self.literals, self._wide, len(self.variables))
        """Sorts templates by the one to try first: most literal characters, then fewest variables that hold slashes,
        then fewest variables. The sort is stable, so that what is left keeps its order."""

    def expand(self, /, **values: Any) -> str:
        """The URI for `values`: strings, numbers, booleans, lists and maps of these (RFC 6570 section 3.2).

        A variable that is missing, `None`, or an empty list or map adds nothing, nor does a `None` within one. Raises
        `MisuseError` for a value of another type, and for a name the template does not have.
        """
        unknown = values.keys() - {variable.name for variable in self.variables}
        if unknown:
            known = ", ".join(variable.name for variable in self.variables) or "none"
            raise MisuseError(f"{self.text!r} has no variable {min(unknown)!r}; it has: {known}")
        return "".join([part if isinstance(part, str) else part.expand(values) for part in self._parts])

    def match(self, uri: str) -> dict[str, Value] | None:
        """The values that `uri` has for the variables, percent-decoded, or `None` if it does not match.

        A variable is a `str`; with explode a `list[str]`, or in `{;x*}`, `{?x*}` and `{&x*}` a `dict[str, str]` when
        the names are not its own. Missing optional variables are left out. No match is: a query parameter the
        template does not name, or one that comes twice; an empty value in the path; a malformed or non-UTF-8
        percent-encoding; a raw space or control character; and a URI longer than 64 KiB. Scheme and host are compared
        as they are written.

        The time is linear in the length of the URI. Where the template leaves a choice, later variables are as short
        as can be. For values that came from `expand`, `match` gives them back, unless they hold raw characters that
        the template needs itself (a `/` in `{+a}/{b}`, a `.` in `{a}{.b}`), a triplet in `{+x}`, or an empty value.
        """
        return self._matcher.match(uri)

    def is_twin_of(self, other: "UriTemplate") -> bool:
        """Whether both match exactly the same URIs, whatever they call their variables: `u://{id}` and `u://{name}`.

        It is no promise of the contrary: some templates that look different match the same URIs too.
        """
        return self._matcher.shape == other._matcher.shape

    def unsafe(self, values: Mapping[str, Value], *, exempt: Collection[str] = ()) -> str | None:
        """Why `values`, as `match` gave them, must not become part of a path; `None` when they may.

        "Servers MUST sanitize file paths" (2026-07-28 server/resources), so a server refuses these unless a handler
        has asked for them: `exempt` are the names of variables not looked at. Checked are the decoded values. In
        any variable a NUL, a `..` segment (between slashes or backslashes) and an absolute path, with a drive letter
        too; in a variable that is one segment, which is all but `{+x}`, `{#x}` and the query, also a slash, which can
        only have come encoded, a backslash and a lone `.`. Symbolic links are not looked at: this knows no file system.
        """
        for variable in self.variables:
            if variable.name not in exempt:
                for text in _texts(values.get(variable.name)):
                    reason = _danger(text, one_segment=variable.operator not in ("+", "#", "?", "&"))
                    if reason:
                        return f"{variable.name}: {reason}"
        return None

    @property
    def _wide(self) -> int:
        return sum(variable.operator in ("+", "#") or variable.explode for variable in self.variables)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UriTemplate) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"UriTemplate({self.text!r})"


def _texts(value: Value | None) -> list[str]:
    """All strings in a value: itself, or its members, of a map the names too."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    return [*value, *value.values()] if isinstance(value, dict) else value


def _danger(text: str, *, one_segment: bool) -> str | None:
    if "\0" in text:
        return "it holds a NUL character"
    path = text.replace("\\", "/")
    if one_segment and "/" in path:
        return "it holds an encoded slash, but is one segment of a path"
    segments = [segment.strip() for segment in path.split("/")]
    if ".." in segments:
        return "it holds a '..' segment, which leads out of its folder"
    if one_segment and segments == ["."]:
        return "it is '.', which names a folder and not a thing in it"
    if path.startswith("/") or (path[1:3] == ":/" and path[0].isalpha()):
        return "it is an absolute path"
    return None
