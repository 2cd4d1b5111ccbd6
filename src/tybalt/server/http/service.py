"""An endpoint that is being served: opened on first use with the server's lifespan around it, and drained at the end.

The lifespan lives in a task of its own, so that neither the request that came first nor the one that came last decides
in which task it is entered and left. A face asks for the endpoint (`asgi`, `lane`); who runs the process, or mounts the
application, drains it.
"""

import asyncio
import logging
from typing import TYPE_CHECKING

from tybalt.errors import Overloaded
from tybalt.server.http.endpoint import Endpoint
from tybalt.server.http.settings import HttpSettings

if TYPE_CHECKING:
    from tybalt.server.server import Server

logger = logging.getLogger("tybalt.server")


class Service:
    """One server over HTTP. `is_shared` says that other processes serve the same address."""

    def __init__(self, server: "Server", settings: HttpSettings, *, is_shared: bool = False) -> None:
        self.server = server
        self.settings = settings
        self.endpoint: Endpoint | None = None
        """What is served; `None` before the first use, and after the end."""
        self._is_shared = is_shared
        self._task: asyncio.Task[None] | None = None
        self._opened: asyncio.Future[Endpoint] | None = None
        self._over = asyncio.Event()
        self._ending = False

    @property
    def is_ready(self) -> bool:
        """Whether requests are served, and will be for a while."""
        return self.endpoint is not None and not self._ending

    def reopen(self) -> None:
        """Serve again after the end: a host that begins its lifespan anew means it so."""
        if self._ending and (self._task is None or self._task.done()):
            self._task = self._opened = None
            self._over = asyncio.Event()
            self._ending = False

    async def open(self) -> Endpoint:
        """The endpoint, with the server's lifespan open. Raises what that raises, and `Overloaded` at the end."""
        if self.endpoint is not None:
            return self.endpoint
        if self._ending:
            raise Overloaded("the server ends")
        if self._opened is None:
            loop = asyncio.get_running_loop()
            self._opened = loop.create_future()
            self._task = loop.create_task(self._hold(self._opened))
        return await asyncio.shield(self._opened)

    def begin_end(self) -> None:
        """End the streams that have no end: `drain` follows, and till then requests are served."""
        self._ending = True
        if self.endpoint is not None:
            self.endpoint.end_streams()

    async def drain(self, grace: float | None = None) -> None:
        """End streams, let requests finish for `grace` seconds (the server's), stop the rest, close the lifespan.

        Nothing is served after it; calling it again waits for the same end.
        """
        self._ending = True
        endpoint, self.endpoint = self.endpoint, None
        if endpoint is not None:
            await endpoint.drain(self.server.grace if grace is None else grace)
        self._over.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _hold(self, opened: "asyncio.Future[Endpoint]") -> None:
        try:
            async with self.server.running():
                self.endpoint = endpoint = Endpoint(self.server, self.settings, is_shared=self._is_shared)
                if not opened.done():
                    opened.set_result(endpoint)
                try:
                    await self._over.wait()
                finally:
                    endpoint.close()
                    self.endpoint = None
        except Exception as error:
            if opened.done():
                logger.exception("the lifespan of %s failed at its end", self.server.name)
            else:
                self._opened = None  # Whoever comes next may try again.
                opened.set_exception(error)
                opened.exception()
