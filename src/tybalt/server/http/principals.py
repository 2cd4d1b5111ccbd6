"""The modern requests of one principal, which are served by one session: they share its turns, and nothing else.

Modern requests have no connection. What a session gives them is compiled once for all; whose they are, and where their
answers go, comes with each (`exchanges`). So that many principals take no memory for good, those that came longest ago
and have nothing running go first.
"""

from collections import OrderedDict
from itertools import islice
from typing import TYPE_CHECKING, Final

from tybalt.server.session import Session

if TYPE_CHECKING:
    from tybalt.server.server import Server

MAX_PRINCIPALS: Final = 256
"""Sessions that are kept though nothing of them runs."""

_LOOK: Final = 16
"""How many are looked at to find one that can go."""


class Nowhere:
    """An output for what nobody listens to."""

    def write(self, *messages: bytes) -> None:
        """Nothing."""

    def announce(self, *messages: bytes) -> None:
        """Nothing."""

    @property
    def blocked(self) -> bool:
        """False."""
        return False

    async def drained(self) -> None:
        """Return at once."""


NOWHERE: Final = Nowhere()


class Principals:
    """The sessions of those whose requests come, or came last."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._sessions: OrderedDict[str | None, Session] = OrderedDict()

    def session(self, principal: str | None) -> Session:
        """The session that serves this principal; for nobody in particular it may take all of the server's turns."""
        session = self._sessions.get(principal)
        if session is None:
            session = self._begin(principal)
        elif len(self._sessions) > 1:
            self._sessions.move_to_end(principal)
        return session

    def sessions(self) -> tuple[Session, ...]:
        """All of them."""
        return tuple(self._sessions.values())

    def close(self) -> None:
        """Forget them; nothing of them runs any more."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _begin(self, principal: str | None) -> Session:
        server = self._server
        if len(self._sessions) >= MAX_PRINCIPALS:
            self._make_room()
        session = Session(
            server,
            NOWHERE,
            principal=principal,
            era="modern",
            is_connection=False,
            max_running=server.turns.limit if principal is None else None,
        )
        self._sessions[principal] = session
        return session

    def _make_room(self) -> None:
        """Let those go that are idle, of the few that came longest ago; the others have their turn later."""
        for principal in tuple(islice(self._sessions, _LOOK)):
            if len(self._sessions) < MAX_PRINCIPALS:
                return
            session = self._sessions[principal]
            if session.running.calls:
                self._sessions.move_to_end(principal)
            else:
                session.close()
                del self._sessions[principal]
