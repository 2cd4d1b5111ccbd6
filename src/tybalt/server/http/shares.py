"""A table that many principals share, in which none of them can push out what the others have.

It knows whose each entry is, counts, and says which came first; who goes where there is no room is for its owner to
say, for something has to happen then. Of a principal without an entry nothing is left.
"""

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice
from typing import Final, Generic, TypeVar

from tybalt.server.http.settings import HttpSettings

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

SHARES: Final = 10
"""Into how many shares what is bounded for all is divided, where clients are told apart: each principal has one."""


def shares_among(settings: HttpSettings) -> int:
    """Into how many shares it is divided here: where all are one principal, that may have it all."""
    return 1 if settings.verifier is None else SHARES


class Shared(Generic[Key, Value]):
    """So many entries of all principals, `limit`, and `share` of one; what was not touched for longest comes first."""

    def __init__(self, limit: int, share: int) -> None:
        self._limit = limit
        self.share = max(1, share)
        self._all: OrderedDict[Key, tuple[str | None, Value]] = OrderedDict()
        self._of: dict[str | None, OrderedDict[Key, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, key: object) -> bool:
        return key in self._all

    def get(self, key: Key) -> Value | None:
        """What is there, if anything."""
        found = self._all.get(key)
        return None if found is None else found[1]

    def owner(self, key: Key) -> str | None:
        """Whose it is, of one that is there."""
        return self._all[key][0]

    def items(self) -> tuple[tuple[Key, Value], ...]:
        """All of them."""
        return tuple((key, value) for key, (_, value) in self._all.items())

    def values(self) -> tuple[Value, ...]:
        """What is there, of all."""
        return tuple(value for _, value in self._all.values())

    def put(self, key: Key, principal: str | None, value: Value) -> None:
        """Add one that is not there. Whether there is room was for the caller to see."""
        self._all[key] = principal, value
        self._of.setdefault(principal, OrderedDict())[key] = None

    def pop(self, key: Key) -> Value | None:
        """Take it out, if it is there."""
        principal, value = self._all.pop(key, (None, None))
        if value is not None:
            own = self._of[principal]
            del own[key]
            if not own:
                del self._of[principal]
        return value

    def touch(self, key: Key) -> None:
        """It is used, and comes last again."""
        self._all.move_to_end(key)
        self._of[self.owner(key)].move_to_end(key)

    def has_share(self, principal: str | None) -> bool:
        """Whether this principal has as many as it may have."""
        return len(self._of.get(principal, ())) >= self.share

    def has_room(self, principal: str | None) -> bool:
        """Whether one more of this principal may be put there."""
        return len(self._all) < self._limit and not self.has_share(principal)

    def first(self, count: int) -> tuple[Key, ...]:
        """The first so many."""
        return tuple(islice(self._all, count))

    def first_of(self, principal: str | None, count: int) -> tuple[Key, ...]:
        """The first so many of this principal."""
        return tuple(islice(self._of.get(principal, ()), count))
