"""`Client`: one connection to a server, in whichever era the server speaks.

    async with Client(server) as client:
        print(await client.call("add", a=5, b=3))

It asks the server for its era first and falls back to the handshake (2026-07-28 basic/transports/stdio, "Backward
Compatibility"), and hears what the server says. What it asks is in `operations`, how requests wait in `requests`, how
the server's questions are answered in `questions`. The protocol itself is `protocol.client`'s business, the way to the
server `link`'s.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec
from msgspec import UNSET, UnsetType

from tybalt import __version__
from tybalt.client.answering import ELICIT_MODES, Answering, ElicitMode, OnElicit, OnSample, Roots, with_remedy
from tybalt.client.link import DirectLink, Link, LinkEvents, Serves
from tybalt.client.opening import Opening
from tybalt.client.operations import Operations
from tybalt.client.options import (
    EraChoice,
    check_options,
    check_restart,
    chosen_era,
    duration,
    link_to,
    request_timeout,
)
from tybalt.client.questions import Questions
from tybalt.client.requests import OnProgress, Requests, unsendable
from tybalt.client.results import decode_result
from tybalt.errors import ConnectionLost, McpError, MisuseError, TybaltError, UnexpectedResult, printable
from tybalt.execution.durations import Duration
from tybalt.protocol.client import (
    Answered,
    Asked,
    ClientConnection,
    Failed,
    Notified,
    Questioned,
    RequestId,
    Several,
    Spoiled,
    Unreadable,
    Withdrawn,
)
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.frames import Oversized
from tybalt.transports.command import Command, PathName
from tybalt.transports.transport import Transport
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.discover import DiscoverResult
from tybalt.types.implementation import Implementation
from tybalt.types.logging import LoggingLevel
from tybalt.types.progress import ProgressNotificationParams

if TYPE_CHECKING:
    from tybalt.client.address import Address
    from tybalt.client.cache import Cache
    from tybalt.client.caching import Caching
    from tybalt.client.config import ServerEntry
    from tybalt.client.listening import Changes, Listeners
    from tybalt.client.restarting import Restart, Restarting
    from tybalt.client.sync import SyncClient
    from tybalt.middleware.layers import Layer

logger = logging.getLogger("tybalt.client")

OnNotification = Callable[[str, Mapping[str, Any]], object]

LAST_WORDS: Final = 1.0
"""Seconds a server that does not read gets to hear that nobody waits any more, before the client closes."""


class Client(Operations):
    """A connection to one MCP server, open inside `async with`.

    `target` is a `Server` of this process (requests are then direct calls), a connected `Transport`, a server that runs
    already, by its URL or as an `Address`, or what to launch as a subprocess over stdio: a Python or Node file, a
    command as a list of words, or a `Command`. `token` is sent to a URL as its bearer token. `era` is "auto",
    which finds it out, "modern", "legacy", or a single revision such as "2025-06-18", which the server then has to
    speak. `timeout` bounds every request, in seconds or as "30s": 60 seconds, or what an entry of a configuration says
    (`None`: no bound); a request that is given up, or whose task is cancelled, is cancelled at the server too.
    `log_level` asks for the server's log messages; they and all other notifications go to
    `on_notification(method, params)`.

    What the server asks is answered by `on_elicit(question)`, `on_sample(question)` and `roots`, in either era: see
    `answering`. Functions may be plain or asynchronous; plain ones run on the event loop. What is given is declared as
    a capability: forms and URLs unless `elicit_modes` says otherwise, sampling with tools only if `sample_tools` says
    so, and `capabilities` besides. A modern request is retried with answers at most `max_rounds` times.

    `middleware` are layers around every typed request, the first outermost. With `restart`, a connection that has ended
    is opened again. What the server says may be kept for a while is kept and not asked for again: in a cache of this
    client unless its server is in this process, in `cache` where that is a `Cache`, nowhere if it is False. With
    `check_output`, what tools return is checked against their output schemas (`pip install 'tybalt[schema]'`).

    Raises `MisuseError` for a target, an era or an option that is none.
    """

    def __init__(
        self,
        target: "Serves | Transport | Address | Command | ServerEntry | PathName | Sequence[PathName]",
        *,
        era: EraChoice = "auto",
        token: str | None = None,
        info: Implementation | None = None,
        timeout: Duration | UnsetType | None = UNSET,
        probe_timeout: Duration = 3.0,
        log_level: LoggingLevel | None = None,
        on_notification: OnNotification | None = None,
        on_elicit: OnElicit | None = None,
        on_sample: OnSample | None = None,
        roots: Roots | None = None,
        elicit_modes: Iterable[ElicitMode] = ELICIT_MODES,
        sample_tools: bool = False,
        capabilities: ClientCapabilities | None = None,
        max_rounds: int = 10,
        middleware: "Iterable[Layer]" = (),
        restart: "Restart | None" = None,
        cache: "Cache | bool | None" = None,
        check_output: bool = False,
    ) -> None:
        self._link = link_to(target, token=token)
        check_restart(restart, self._link)
        era, wanted = chosen_era(era)
        check_options(log_level, on_notification, max_rounds)
        limit, probe_timeout = request_timeout(timeout, target), duration("probe_timeout", probe_timeout)
        answering = Answering(
            on_elicit,
            on_sample,
            roots,
            elicit_modes=elicit_modes,
            sample_tools=sample_tools,
            capabilities=capabilities,
        )
        info = info or Implementation(name="tybalt", version=__version__)
        connection = ClientConnection(info, answering.capabilities)
        requests = Requests(connection, self._link, self._handle, timeout=limit, log_level=log_level)
        questions = Questions(connection, answering, requests.deadlines, requests.send)
        super().__init__(
            connection,
            requests,
            questions,
            middleware=middleware,
            max_rounds=max_rounds,
            mirroring=self._link.mirroring,
            caching=_caching(cache, connection, self._link, target=target, token=token),
            check_output=check_output,
        )
        self._log_level: LoggingLevel | None = log_level
        self._on_notification = on_notification
        self._opening = self._opening_in(era, wanted, probe_timeout)
        self._probe_timeout = probe_timeout
        self._restart = restart
        self._restarting: Restarting | None = None
        self._listeners: Listeners | None = None
        self._restoring: set[asyncio.Task[None]] = set()
        self._gone: BaseException | None = None
        """Why the connection that was opened last is no more."""
        self._state: Literal["new", "opening", "open", "closed"] = "new"
        self.server_info: Implementation | None = None
        """The name and version the server gives itself."""
        self.instructions: str | None = None

    def _opening_in(self, era: str, wanted: str | None, probe_timeout: float) -> Opening:
        return Opening(
            self._connection,
            self._request,
            era=era,
            wanted=wanted,
            probe_timeout=probe_timeout,
            probing=self._link.probing,
        )

    def sync(self) -> "SyncClient":
        """The same client for code that is not asynchronous: `with Client(…).sync() as client:`, see `SyncClient`."""
        from tybalt.client.sync import SyncClient  # Most programs have a loop.

        return SyncClient(self)

    @property
    def revision(self) -> str:
        """The protocol revision spoken."""
        return self._connection.revision

    @property
    def lost(self) -> BaseException | None:
        """Why nothing can be asked any more, if that is so."""
        return self._requests.lost

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise MisuseError("a client connects once; make a new one")
        self._state = "opening"
        try:
            await self._connect()
            await self._set_log_level()
        except BaseException:
            await self.aclose()
            raise
        if self._restart is not None:
            from tybalt.client.restarting import Restarting  # Most clients have none.

            self._restarting = Restarting(self._restart, self._connect_again, self._end)
            self._requests.reopens = True
        self._state = "open"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; requests still waiting raise `ConnectionLost`. Idempotent.

        The server is told that nobody waits for them any more, so that it need not finish them first. Functions that
        still answer its questions are cancelled and awaited.
        """
        requests = self._requests
        try:
            if self._state == "open" and requests.lost is None:
                requests.cancel_all("the client closes")
                await requests.sent(LAST_WORDS)
        finally:
            # Also where the closing task is cancelled: nobody else would let go of the server.
            self._state = "closed"
            requests.deadlines.close()
            self._end(ConnectionLost("the client was closed"))
            await self._let_go()

    async def _let_go(self) -> None:
        try:
            if self._restarting is not None:  # First of all: it would open the connection again, and let requests in.
                await self._restarting.aclose()
            await self._questions.aclose()
            if self._restoring:
                await asyncio.wait(self._restoring)
        finally:
            await self._link.aclose()
        await self._requests.sent()

    async def _connect(self) -> None:
        if self._caching is not None:
            self._caching.open()
        self._gone = None
        await self._link.open(LinkEvents(self._receive, self._on_lost, self._on_unanswered, self._on_interrupted))
        self.server_info, self.server_capabilities, self.instructions = await self._opening.run()
        self._has_met_server = True
        if self._gone is not None:  # It was lost when it had just been opened.
            raise ConnectionLost(str(self._gone))
        if not self._connection.is_modern:
            self.notify("notifications/initialized")

    async def _connect_again(self) -> None:
        """Open the connection as it was: in the same revision, with the log level and the subscriptions it had."""
        await self._link.aclose()
        self._connection.asked.clear()
        is_modern, revision = self._connection.is_modern, self._connection.revision
        self._opening = self._opening_in("modern" if is_modern else "legacy", revision, self._probe_timeout)
        await self._connect()
        if self._schemas is not None:
            self._schemas.forget()
        self._requests.resume()
        self._restore_soon("the connection had ended and was opened again", forgotten=True)

    async def _set_log_level(self) -> None:
        is_asked = self._log_level is not None and not self._connection.is_modern
        if is_asked and self.server_capabilities.logging is not None:
            await self.request("logging/setLevel", {"level": self._log_level})

    # -- what changes -----------------------------------------------------------------------------------------------

    def listen(
        self, *, tools: bool = False, prompts: bool = False, resources: bool = False, uris: Iterable[str] = ()
    ) -> "Changes":
        """What changes at the server, as an iterator: of the lists that are named, and of the resources `uris`.

            async with client.listen(tools=True) as changes:
                async for change in changes: ...

        It goes on over interruptions of the connection and says so: see `Changes`. Raises `MisuseError` for nothing to
        listen for, and before the client is connected.
        """
        from tybalt.client.listening import Changes, Listeners, wanted_of  # Most clients never listen.

        wanted = wanted_of(tools=tools, prompts=prompts, resources=resources, uris=uris)
        if self._state != "open":
            raise MisuseError("the client is not connected: use it inside `async with Client(…) as client:`")
        if self._listeners is None:
            self._listeners = Listeners(self._connection, self._requests, lambda: self.server_capabilities)
        return Changes(self._listeners, wanted)

    def subscribe(self, *uris: str) -> "Changes":
        """What changes of these resources: `listen(uris=…)`."""
        return self.listen(uris=uris)

    def forget(self, method: str | None = None, name: str | None = None) -> None:
        """Forget kept answers to a method, or what was read of the URI `name`, or all: the next are the server's.

        Raises `MisuseError` for a method to which no answers are kept.
        """
        if self._caching is not None:
            self._caching.forget(method, name)
        if self._schemas is not None and method in (None, "tools/list"):
            self._schemas.forget()

    # -- any message ------------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> msgspec.Raw:
        """Send any request and return its result, undecoded: past the middleware, and questions unanswered.

        Raises `McpError` for an error answer, `RequestTimeout`, `ConnectionLost`, `UnexpectedResult` for an answer that
        is none, and `MisuseError` for params that have no JSON.
        """
        return await self._requests.request(method, params, on_progress=on_progress, timeout=timeout)

    async def _request(self, method: str, params: Any, timeout: float | None) -> msgspec.Raw:
        caching = self._caching
        if caching is None or not caching.covers(method):
            return await self._requests.request(method, params, timeout=timeout, opening=True)
        with caching.asking(method, params) as asking:
            raw = asking.answer or await self._requests.request(method, params, timeout=timeout, opening=True)
            asking.keep(raw, decode_result(raw, DiscoverResult))
            return raw

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification; it is lost where the connection is. Raises `MisuseError` before there is one."""
        if self._state == "new":
            raise MisuseError("the client is not connected: use it inside `async with Client(…) as client:`")
        try:
            message = self._connection.notification(method, params)
        except (TypeError, ValueError) as error:
            raise unsendable(method, error) from error
        self._requests.send(message)

    # -- what comes in ----------------------------------------------------------------------------------------------

    def _receive(self, message: bytes | Oversized) -> None:
        self._handle(self._connection.receive(message))

    def _handle(self, event: Any) -> None:
        if type(event) is Answered:
            self._requests.answered(event)
            return
        match event:
            case Failed(id=None, error=error) if self._opening.probing:
                # One request waits; an error that names none can only mean that one.
                self._requests.fail_all(error)
            case Failed(id=identifier, error=error) if identifier is not None:
                self._requests.fail(identifier, with_remedy(error, self._connection))
            case Spoiled(id=identifier, reason=reason):
                self._requests.fail(identifier, UnexpectedResult(reason))
            case Several(events=events):
                for each in events:
                    self._handle(each)
            case Unreadable(reason=reason):
                logger.debug("ignored what the server sent: %s", reason)
            case Notified(method=method, params=params):
                self._notified(method, params)
            case _:
                self._asked(event)

    def _asked(self, event: Any) -> None:
        match event:
            case Asked(reply=reply):
                self._requests.send(reply)
            case Questioned():
                self._questions.ask(event)
            case Withdrawn(id=identifier, reason=reason):
                logger.debug("the server withdrew its question %r: %s", identifier, reason)
                self._questions.withdraw(identifier)
            case _:
                pass

    def _notified(self, method: str, params: msgspec.Raw) -> None:
        try:
            body = _decode_members(params)
            news = _decode_progress(params) if method == "notifications/progress" else None
        except UNREADABLE:
            return
        if self._caching is not None:
            self._caching.heard(method, body)
        if self._schemas is not None and method == "notifications/tools/list_changed":
            self._schemas.forget()
        if self._layers is not None:
            self._layers.heard(method, body)
        if self._listeners is not None:
            self._listeners.heard(method, body)
        try:
            if (news is None or not self._requests.progressed(news)) and self._on_notification is not None:
                self._on_notification(method, body)
        except Exception:
            # Raised here, it would end the connection, or blame the server's handler where the link is direct.
            logger.exception("a callback failed on %s", method)

    def _on_unanswered(self, request_id: RequestId, error: Exception) -> None:
        self._connection.waiting.discard(request_id)
        told = with_remedy(error, self._connection) if isinstance(error, McpError) else error
        self._requests.fail(request_id, told)

    def _on_interrupted(self, forgotten: bool) -> None:
        if forgotten:  # Its questions have gone with it, and their ids may come again.
            self._questions.withdraw_all()
            self._connection.asked.clear()
            if self._schemas is not None:
                self._schemas.forget()
        reason = "the server had forgotten the session" if forgotten else "the connection was interrupted"
        self._restore_soon(reason, forgotten=forgotten)

    def _restore_soon(self, reason: str, *, forgotten: bool) -> None:
        task = asyncio.get_running_loop().create_task(self._restore(reason, forgotten=forgotten))
        self._restoring.add(task)
        task.add_done_callback(self._restoring.discard)

    async def _restore(self, reason: str, *, forgotten: bool) -> None:
        """Tell a legacy server again what it knew of us, and whoever listens that something may be missing."""
        try:
            if forgotten:
                await self._set_log_level()
        except TybaltError as error:
            logger.warning("the log level could not be set again: %s", printable(str(error)))
        if self._listeners is not None:  # It has errors of its own, and tells them.
            await self._listeners.interrupted(reason, forgotten=forgotten)

    def _on_lost(self, reason: BaseException) -> None:
        self._gone = reason
        if self._caching is not None:
            self._caching.close()
        if self._restarting is None or self._state != "open":
            self._end(reason)
            return
        self._requests.suspend(reason)
        self._questions.withdraw_all()
        self._restarting.begin(reason)

    def _end(self, reason: BaseException) -> None:
        if self._caching is not None:
            self._caching.close()
        self._requests.lose(reason)
        self._questions.cancel()
        for task in self._restoring:
            task.cancel()
        if self._listeners is not None:
            self._listeners.lost(reason)


def _caching(cache: "Cache | bool | None", connection: ClientConnection, link: Link, **server: Any) -> "Caching | None":
    """What is kept of answers. A server in this process is as quick to ask, and tests want to see that it is asked."""
    if cache is False or (cache is None and isinstance(link, DirectLink)):
        return None
    from tybalt.client.caching import caching_for

    return caching_for(cache, connection, **server)


_decode_members = msgspec.json.Decoder(dict[str, Any]).decode
_decode_progress = msgspec.json.Decoder(ProgressNotificationParams).decode
