"""What is wrong with a command line, and what could have been meant."""

from collections.abc import Sequence

from tybalt.errors import TybaltError, closest, cut

MAX_NAMES = 10


class UsageError(TybaltError):
    """The command line is wrong: no such file, server, tool or argument. The text says what to write instead."""


def meant_by(name: str, names: Sequence[str]) -> str | None:
    """The one of `names` that was most likely meant, if any is close; letters may be of the other case."""
    by_letters = {each.casefold(): each for each in names}
    found = closest(name.casefold(), by_letters)
    return None if found is None else by_letters[found]


def instead(name: str, names: Sequence[str]) -> str:
    """What there is instead of `name`: the closest of `names`, and the first `MAX_NAMES` of them."""
    meant = meant_by(name, names)
    return f"it has: {listed(names)}" if meant is None else f"did you mean {meant!r}? It has: {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """The first `MAX_NAMES` of `names`, and how many more there are."""
    more = len(names) - MAX_NAMES
    return ", ".join(map(cut, names[:MAX_NAMES])) + (f" and {more} more" if more > 0 else "")
