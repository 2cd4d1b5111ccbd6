"""The MCP endpoint: requests of HTTP in, responses out, at once or held; every rule of HTTP stands behind it.

    entry = endpoint.enter(request)                  # its head alone decides: who sends it, how, in which revision
    found = endpoint.serve(entry, request.body)      # HttpResponse: send it; else attach a sink, and tell it of the end

It reads no socket and knows no HTTP library: the ASGI face, the lane and the tests drive it alike. What is refused by
its head costs nothing more (`admit_head`), and what one head was let in with, the same head is let in with again. One
event loop drives an endpoint.

2026-07-28 basic/transports/streamable-http; 2025-11-25 basic/transports.
"""

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tybalt.protocol.admission import admit, admit_head
from tybalt.protocol.http_messages import HttpRequest, HttpResponse
from tybalt.protocol.http_refusal import Refusal, plain
from tybalt.protocol.statuses import answer_response
from tybalt.server.ending import CLEANUP
from tybalt.server.http.channels import Channels
from tybalt.server.http.door import Door, Entry, Known
from tybalt.server.http.exchanges import Held, with_headers
from tybalt.server.http.holding import Readers
from tybalt.server.http.legacy import LegacySessions
from tybalt.server.http.modern import ModernRequests
from tybalt.server.http.places import Places
from tybalt.server.http.settings import HttpSettings
from tybalt.server.http.streams import Streams
from tybalt.server.http.verifying import Verifying
from tybalt.server.session import Session

if TYPE_CHECKING:
    from tybalt.server.server import Server

LOGGED: Final = (401, 403)
LOG_EVERY: Final = 10.0
"""Seconds between two lines of the log about who was not let in, for one reason: a list may lack an entry, or somebody
tries."""
MAX_REASONS: Final = 16
"""Reasons that are told apart there; there are fewer."""
SWEEP: Final = 60.0
"""After how many seconds what has had its time is forgotten."""
MAX_HEADS: Final = 1_024
"""Heads of requests that are remembered."""
MAX_SESSION_HEADS: Final = 64
"""Those of them that name a legacy session: nobody else sends them, and an idle session is to weigh nothing."""
LONGEST_HEAD: Final = 2_048
"""Bytes of one of them."""


logger = logging.getLogger("tybalt.server")


class Endpoint:
    """One server on one path. `is_shared` says that other processes serve the same address.

    Make it inside of the loop that drives it, while the server's lifespan is open; after use, call `drain`.
    """

    def __init__(self, server: "Server", settings: HttpSettings, *, is_shared: bool = False) -> None:
        self.server = server
        self.settings = settings
        self.door = Door(settings)
        self.policy = settings.policy(server.revisions, remembers=not is_shared)
        self._cors = settings.cors
        self._untold: dict[str, tuple[float, int]] = {}
        """When each reason not to let somebody in is logged again, and how many that was not said of meanwhile."""
        self._is_closed = False
        self.loop = asyncio.get_running_loop()
        self.heads: dict[object, tuple[Entry, int]] = {}
        """What was let in, by its head, to the letter, and how long a whole request with this head is."""
        self.verifying = Verifying(self.door, self.loop)
        """Who waits for a verifier that is `async`."""
        self.readers = Readers(self.loop)
        """Who reads responses that come later, under ASGI."""
        self._session_heads: deque[bytes | tuple[tuple[bytes, bytes], ...]] = deque()
        self._streams = Streams()
        places = Places(settings.max_streams)
        self.channels = Channels(server, places)
        """What is no request of its own: WebSockets, and the streams of 2024-11-05."""
        self._modern = ModernRequests(server, self.policy, self._streams, places)
        self._legacy = LegacySessions(
            server, settings, self.policy, server.session_seal, self._streams, places, is_shared=is_shared
        )
        self._swept = self.loop.time()
        self._timer: asyncio.TimerHandle | None = self.loop.call_later(settings.keep_alive, self._tick)

    # -- one request --------------------------------------------------------------------------------------------------

    def admit_head(self, request: HttpRequest) -> Refusal | HttpResponse | None:
        """Why not to read the body of a request that has come without it; a preflight is answered here."""
        if self._cors is not None and (preflight := self._cors.preflight(request, self.policy)) is not None:
            return preflight
        return admit_head(request, self.policy)

    def enter(self, request: HttpRequest, known: Known | None = None) -> Entry | HttpResponse:
        """Let a whole request in, or say why not. `known` says as whom, `None` that nobody has knocked yet.

        Where a verifier is `async`, somebody must have. The body counts by its length alone.
        """
        admitted = admit(request, self.policy)
        if isinstance(admitted, Refusal):
            return self.refuse(admitted, request)
        if known is None:
            verdict = self.door.knock(admitted.fields)
            if isinstance(verdict, Refusal):
                return self.refuse(verdict, request)
            assert isinstance(verdict, Known)
            known = verdict
        headers = () if self._cors is None else self._cors.headers(admitted.fields)
        return Entry(request.method, admitted, known.principal, headers)

    def serve(self, entry: Entry, body: bytes) -> HttpResponse | Held:
        """The response to a request that was let in."""
        found = self.answer(entry, body)
        if isinstance(found, bytes):
            found = answer_response(found, entry.admitted.era)
        if isinstance(found, HttpResponse) and entry.headers:
            return with_headers(found, entry.headers)
        return found

    def answer(self, entry: Entry, body: bytes) -> bytes | HttpResponse | Held:
        """`serve`, for those who know how to send JSON: bytes are an answer, which wants the entry's headers too."""
        admitted = entry.admitted
        if self._is_closed:
            return plain(503, "the server ends", (b"retry-after", b"1")).response(datetime.now(UTC))
        if admitted.era == "modern":
            found = self._modern.post(entry, body)
        elif entry.method == "POST":
            found = self._legacy.post(admitted, body, entry.principal, entry.headers)
        elif entry.method == "GET":
            found = self._legacy.get(admitted, entry.principal, entry.headers)
        else:
            found = self._legacy.delete(admitted, entry.principal)
        return found.response(datetime.now(UTC)) if isinstance(found, Refusal) else found

    def remember(self, head: bytes | tuple[tuple[bytes, bytes], ...], entry: Entry, size: int) -> None:
        """Let the same head in again: it says the same, byte for byte, and nothing else was asked before.

        `head` are its bytes, or its header fields where it is a POST, and `size` what `heads` is to say of its size.
        Nothing happens where a verifier has to be asked each time.
        """
        if not self.door.remembers:
            return
        length = len(head) if isinstance(head, bytes) else sum(len(name) + len(value) for name, value in head)
        if length <= LONGEST_HEAD:
            if len(self.heads) >= MAX_HEADS:
                self.heads.clear()
                self._session_heads.clear()
            if entry.admitted.session_id:
                if len(self._session_heads) >= MAX_SESSION_HEADS:
                    self.heads.pop(self._session_heads.popleft(), None)
                self._session_heads.append(head)
            self.heads[head] = entry, size

    def refuse(self, refusal: Refusal, request: HttpRequest) -> HttpResponse:
        """The response that tells a refusal. What an operator would want to know of it is logged, now and then."""
        if refusal.status in LOGGED:
            self._log(refusal)
        response = refusal.response(datetime.now(UTC))
        if self._cors is None:
            return response
        return with_headers(response, self._cors.headers(dict(request.headers)))

    def _log(self, refusal: Refusal) -> None:
        reason = refusal.advice or refusal.error.message  # Where there is advice, the text repeats what was sent.
        again, untold = self._untold.get(reason, (0.0, 0))
        now = self.loop.time()
        if now < again:
            self._untold[reason] = again, untold + 1
            return
        if len(self._untold) >= MAX_REASONS:
            self._untold.clear()
        self._untold[reason] = now + LOG_EVERY, 0
        told = f"{refusal.error}; {refusal.advice}" if refusal.advice else refusal.error
        more = f" (and {untold} more since this was said)" if untold else ""
        logger.warning("%s: refused with %d: %s%s", self.server.name, refusal.status, told, more)

    # -- what goes on by itself ---------------------------------------------------------------------------------------

    def _tick(self) -> None:
        """Keep streams from looking idle, and forget what has had its time."""
        self._streams.keep_alive()
        if self.loop.time() - self._swept >= SWEEP:
            self._swept = self.loop.time()
            self._legacy.sweep()
        self._timer = self.loop.call_later(self.settings.keep_alive, self._tick)

    def end_streams(self) -> None:
        """End the streams that have no end, and begin no more."""
        self.channels.end(self.server.grace)
        self._modern.end_streams()
        self._legacy.end_streams()

    async def drain(self, grace: float) -> None:
        """End the streams that have no end, let what runs finish for `grace` seconds, then stop it.

        Whoever comes meanwhile is served, within the same time; after it, nothing is left of the endpoint.
        """
        self.channels.end(grace)
        self.end_streams()
        await asyncio.gather(self.channels.wait_over(), self._finish(grace))
        self.close()

    async def _finish(self, grace: float) -> None:
        """Let what runs finish, and what begins meanwhile; then let nothing begin, and stop the rest.

        What is stopped gets as long again to clean up, or a second.
        """
        until = self.loop.time() + grace
        while (left := until - self.loop.time()) > 0 and (tasks := self._tasks()):
            await asyncio.wait(tasks, timeout=left)
        self._is_closed = True
        stopping = (session.abort(max(grace, CLEANUP)) for session in self._busy())
        await asyncio.gather(self.verifying.end(), *stopping)

    def _busy(self) -> list[Session]:
        """The sessions of which something runs."""
        sessions = (*self._modern.sessions(), *self._legacy.sessions())
        return [session for session in sessions if session.running.calls]

    def _tasks(self) -> "list[asyncio.Task[Any]]":
        """What runs."""
        return [task for session in self._busy() for task in session.running.tasks() if not task.done()]

    def close(self) -> None:
        """Let go of everything; whoever comes is told that the server ends."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.channels.end(0)
        self._modern.close()
        self._legacy.close()
