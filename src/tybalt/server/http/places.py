"""Places for streams that have no end: so many for each principal, for each keeps a connection and hears of changes."""

from collections import Counter

from tybalt.errors import RateLimited
from tybalt.server.http.settings import OF_NOBODY


class Places:
    """`limit` places for each principal, and `OF_NOBODY` times as many for all who are nobody in particular."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: Counter[str | None] = Counter()

    def take(self, principal: str | None) -> None:
        """Take one. Raises `RateLimited` where none is left. Give it back with `leave`."""
        limit = self._limit * OF_NOBODY if principal is None else self._limit
        if self._taken[principal] >= limit:
            whose = "all clients without a token together" if principal is None else "one client"
            raise RateLimited(
                f"{limit} streams are open, which is the most that {whose} may have. Close one first", retry_after=10
            )
        self._taken[principal] += 1

    def leave(self, principal: str | None) -> None:
        """Give one back."""
        self._taken[principal] -= 1
        if not self._taken[principal]:
            del self._taken[principal]
