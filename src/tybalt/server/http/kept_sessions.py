"""Which legacy sessions a process keeps: those that are alive, what the others have set, and which have been ended.

A session that is idle is its id alone (`legacy`), so nothing has to be kept for it; all that has to is bounded, in all
and for each principal, who can so take what is his and no more. Where there is no room, his own go first. A session
that was forgotten in part would be wrong without a word: it ends, or it stays.
"""

import time
from typing import TYPE_CHECKING, Final

from tybalt.errors import Overloaded
from tybalt.protocol.connection import Memory
from tybalt.protocol.session_ids import SessionClaims
from tybalt.server.http.legacy_session import LegacySession
from tybalt.server.http.places import Places
from tybalt.server.http.settings import OF_NOBODY, HttpSettings
from tybalt.server.http.shares import Shared, shares_among

if TYPE_CHECKING:
    from tybalt.server.server import Server

HOT: Final = 64
"""Sessions that are kept though nothing of them runs."""
MAX_LIVE: Final = 10_000
"""Sessions of which something runs, or is open."""
MAX_MEMORIES: Final = 10_000
"""Sessions that have set something, and are not alive."""
MAX_ENDED: Final = 100_000
"""Sessions that were ended before their time, and are remembered until then."""

_LOOK: Final = 16
"""How many are looked at to find one that can go."""


class KeptSessions:
    """The legacy sessions of one endpoint, as far as they are kept."""

    def __init__(self, server: "Server", settings: HttpSettings, places: Places) -> None:
        self._server = server
        self._places = places
        self._lifetime = settings.event_lifetime
        shares = shares_among(settings)
        places_of_one = settings.max_streams * (1 if settings.is_locked else OF_NOBODY)
        self._live: Shared[str, LegacySession] = Shared(MAX_LIVE, MAX_LIVE // shares)
        """By their ids, the one that was used longest ago first."""
        self._memories: Shared[str, tuple[Memory, float]] = Shared(MAX_MEMORIES, MAX_MEMORIES // shares)
        """What those have set that are not alive, and when they end, by their keys."""
        self._ended: Shared[str, float] = Shared(MAX_ENDED, MAX_ENDED // shares)
        """When they would have ended, by their keys."""
        self._unread: Shared[LegacySession, float] = Shared(MAX_LIVE, places_of_one)
        """Since when nobody reads their streams."""

    # -- which there are ----------------------------------------------------------------------------------------------

    def live(self, identifier: str) -> LegacySession | None:
        """The one that has this id, if it is alive; it is being used."""
        session = self._live.get(identifier)
        if session is not None:
            self._live.touch(identifier)
        return session

    def all_live(self) -> tuple[LegacySession, ...]:
        """All that are alive."""
        return self._live.values()

    def has_ended(self, key: str) -> bool:
        """Whether it was ended before its time."""
        return key in self._ended

    def resume(self, identifier: str, claims: SessionClaims, principal: str | None) -> LegacySession:
        """Bring one to life. Raises `Overloaded` where there is no room."""
        kept = self._memories.pop(claims.key)  # First, for room is made among memories too.
        try:
            self._make_room(principal)
        except Overloaded:
            if kept is not None:
                self._memories.put(claims.key, principal, kept)
            raise
        memory = None if kept is None else kept[0]
        session = LegacySession(self._server, identifier, claims, principal, memory)
        self._live.put(identifier, principal, session)
        return session

    def end(self, session: LegacySession) -> None:
        """End one before its time, whatever runs of it. Raises `Overloaded` where that could not be remembered."""
        if not self._ended.has_room(session.principal):
            raise Overloaded("too many sessions were ended; this one ends by itself")
        self._ended.put(session.claims.key, session.principal, session.claims.expires)
        self.end_standing(session)
        self._live.pop(session.identifier)

    # -- their streams ------------------------------------------------------------------------------------------------

    def read(self, session: LegacySession) -> None:
        """Its stream is about to be read, and takes a place. Raises `RateLimited` where none is left."""
        if not session.has_place:
            self._places.take(session.principal)
            session.has_place = True
        self._unread.pop(session)

    def left(self, session: LegacySession) -> None:
        """Nobody reads its stream any more: it is kept for a while, one for each place its principal has.

        For another one, that ends which was left first: what it was told is kept, what it would be told is not.
        """
        self._leave_place(session)
        if session.standing is None or session in self._unread:
            return
        if not self._unread.has_room(session.principal):
            for first in self._unread.first_of(session.principal, 1):
                self.end_standing(first)
        self._unread.put(session, session.principal, time.monotonic())

    def end_standing(self, session: LegacySession) -> None:
        """End its stream, if it has one."""
        if session.standing is not None:
            session.standing.close()
            session.standing = None
            self._unread.pop(session)
            self._leave_place(session)

    def _leave_place(self, session: LegacySession) -> None:
        if session.has_place:
            session.has_place = False
            self._places.leave(session.principal)

    # -- room ---------------------------------------------------------------------------------------------------------

    def _make_room(self, principal: str | None) -> None:
        """Let those go that are idle, of the few that were used longest ago; then who has streams that nobody reads."""
        if len(self._live) >= HOT:
            self._thin(self._live.first(_LOOK), HOT)
        if self._live.has_room(principal):
            return
        self._thin(self._live.first_of(principal, _LOOK))
        unread = self._unread.first_of(principal, _LOOK)
        if not self._live.has_share(principal):
            unread += self._unread.first(_LOOK)
        for session in unread:
            if self._live.has_room(principal):
                return
            if not session.is_busy:
                self.end_standing(session)
                self._let_go(session)
        if self._live.has_room(principal):
            return
        if len(self._live) < MAX_LIVE:
            text = f"{self._live.share:,} sessions are open, which is the most that one client may have"
        else:
            text = f"{MAX_LIVE:,} sessions are open, which is the most this server holds"
        raise Overloaded(text, retry_after=10)

    def _thin(self, identifiers: tuple[str, ...], least: int = 0) -> None:
        """Let those of them go that are idle, as long as so many stay; the others have their turn later."""
        for identifier in identifiers:
            if len(self._live) < least:
                return
            session = self._live.get(identifier)
            if session is not None and not self._let_go(session):
                self._live.touch(identifier)

    def _let_go(self, session: LegacySession) -> bool:
        if not (session.is_idle and self._is_remembered(session)):
            return False
        self._live.pop(session.identifier)
        session.close()
        return True

    def _is_remembered(self, session: LegacySession) -> bool:
        """Keep what the client has set; False where there is no room for it."""
        memory, principal = session.session.connection.memory, session.principal
        if memory is None:
            return True
        if not self._memories.has_room(principal):
            oldest = self._memories.first_of(principal, 1) or self._memories.first(1)
            if not self._is_forgotten(*oldest):
                return False
        self._memories.put(session.claims.key, principal, (memory, session.claims.expires))
        return True

    def _is_forgotten(self, key: str) -> bool:
        """End the session that has set this; False where that could not be remembered."""
        principal = self._memories.owner(key)
        if not self._ended.has_room(principal):
            return False
        _, expires = self._memories.pop(key) or (None, 0.0)
        self._ended.put(key, principal, expires)
        return True

    # -- time ---------------------------------------------------------------------------------------------------------

    def sweep(self, now: float, today: float) -> None:
        """Forget what has had its time: `now` of a clock that does not go back, `today` in unix seconds."""
        for key in [key for key, expires in self._ended.items() if expires <= today]:
            self._ended.pop(key)
        for key in [key for key, (_, expires) in self._memories.items() if expires <= today]:
            self._memories.pop(key)
        for session in [each for each, since in self._unread.items() if now - since > self._lifetime]:
            self.end_standing(session)
        for session in self.all_live():
            if session.is_idle and session.claims.expires <= today:
                self._live.pop(session.identifier)
                session.close()

    def end_streams(self) -> None:
        """End the streams that belong to no request."""
        for session in self.all_live():
            self.end_standing(session)

    def close(self) -> None:
        """Keep none of them."""
        self.end_streams()
        for session in self.all_live():
            self._live.pop(session.identifier)
            session.close()
