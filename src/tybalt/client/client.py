"""`Client`: one connection to a server, in whichever era the server speaks.

    async with Client(server) as client:
        print(await client.call("add", a=5, b=3))

It asks the server for its era first and falls back to the handshake (2026-07-28 basic/transports/stdio, "Backward
Compatibility"), matches answers to calls, and turns errors into exceptions. The protocol itself is
`protocol.client`'s business, the way to the server `link`'s.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Final, Literal, Self, TypeVar, cast

import msgspec

from tybalt import __version__
from tybalt.client.deadlines import Deadlines
from tybalt.client.link import DirectLink, Link, Serves, TransportLink
from tybalt.errors import (
    ConnectionLost,
    McpError,
    MisuseError,
    RequestTimeout,
    ToolError,
    UnexpectedResult,
    UnsupportedRevision,
)
from tybalt.protocol.client import (
    Answered,
    Asked,
    ClientConnection,
    Failed,
    Notified,
    Several,
    Spoiled,
    Unreadable,
)
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.frames import Oversized
from tybalt.transports.transport import Transport
from tybalt.types.capabilities import ServerCapabilities
from tybalt.types.completion import CompleteResult, Completion
from tybalt.types.content import TextContent
from tybalt.types.discover import DiscoverResult
from tybalt.types.implementation import Implementation
from tybalt.types.initialize import InitializeResult
from tybalt.types.jsonrpc import Result
from tybalt.types.logging import LoggingLevel
from tybalt.types.meta import LOG_LEVEL, SERVER_INFO
from tybalt.types.progress import ProgressNotificationParams
from tybalt.types.prompts import GetPromptResult, ListPromptsResult, Prompt
from tybalt.types.resources import (
    ListResourcesResult,
    ListResourceTemplatesResult,
    ReadResourceResult,
    Resource,
    ResourceContents,
    ResourceTemplate,
)
from tybalt.types.revisions import LATEST_LEGACY, LATEST_MODERN, LEGACY, REVISIONS, era_of
from tybalt.types.tools import CallToolResult, ListToolsResult, Tool

T = TypeVar("T")

logger = logging.getLogger("tybalt.client")

Era = Literal["auto", "modern", "legacy"] | str
"""How to find a common revision: see `Client`."""
OnProgress = Callable[[float, float | None, str | None], object]
OnNotification = Callable[[str, Mapping[str, Any]], object]


class _Supported(msgspec.Struct):
    """`data` of an `UnsupportedProtocolVersionError`."""

    supported: list[str]


MAX_PAGES: Final = 1_000
"""Pages of one list a client follows before it believes that the server never ends it."""

_MODERN_ERRORS: Final = (-32020, -32021, -32022)
_OPENINGS: Final = ("server/discover", "initialize")
"""What is not cancelled: the one may have met a legacy server that knows nothing yet, the other must not be
(2025-11-25 basic/utilities/cancellation)."""


class Client:
    """A connection to one MCP server, open inside `async with`.

    `target` is a `Server` of this process (requests are then direct calls), a connected `Transport`, or a command line
    to launch as a subprocess over stdio. `era` is "auto", which finds it out, "modern", "legacy", or a single revision
    such as "2025-06-18", which the server then has to speak. `timeout` bounds every request in seconds (`None`: no
    bound); a request that is given up, or whose task is cancelled, is cancelled at the server too. `log_level` asks for
    the server's log messages; they and all other notifications go to `on_notification(method, params)`.

    Raises `MisuseError` for a target or an era that is none.
    """

    def __init__(
        self,
        target: "Serves | Transport | Sequence[str | os.PathLike[str]]",
        *,
        era: Era = "auto",
        info: Implementation | None = None,
        timeout: float | None = 60.0,
        probe_timeout: float = 3.0,
        log_level: LoggingLevel | None = None,
        on_notification: OnNotification | None = None,
    ) -> None:
        self._link = _link_to(target)
        self._era, self._wanted = _chosen(era)
        self._timeout = timeout
        self._probe_timeout = probe_timeout
        self._log_level = log_level
        self._on_notification = on_notification
        self._connection = ClientConnection(info or Implementation(name="tybalt", version=__version__))
        self._waiting: dict[int | str, asyncio.Future[msgspec.Raw]] = {}
        self._progress: dict[int | str, OnProgress] = {}
        self._deadlines = Deadlines()
        self._lost: BaseException | None = None
        self._state: Literal["new", "opening", "probing", "open", "closed"] = "new"
        self.server_info: Implementation | None = None
        """The name and version the server gives itself."""
        self.server_capabilities = ServerCapabilities()
        self.instructions: str | None = None
        self.background: set[asyncio.Task[None]] = set()

    @property
    def revision(self) -> str:
        """The protocol revision spoken."""
        return self._connection.revision

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise MisuseError("a client connects once; make a new one")
        self._state = "opening"
        try:
            await self._link.open(self._receive, self._on_lost)
            await self._connect()
        except BaseException:
            await self.aclose()
            raise
        self._state = "open"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection; requests still waiting raise `ConnectionLost`. Idempotent.

        The server is told that nobody waits for them any more, so that it need not finish them first.
        """
        if self._state == "open" and self._lost is None:
            for identifier in tuple(self._connection.waiting):
                self._send(self._connection.cancel(identifier, "the client closes"))
        self._state = "closed"
        self._deadlines.close()
        self._on_lost(ConnectionLost("the client was closed"))
        await self._link.aclose()
        if self.background:
            await asyncio.wait(self.background)

    # -- tools ------------------------------------------------------------------------------------------------------

    async def list_tools(self) -> list[Tool]:
        """Every tool, over as many pages as it takes; none where the server declares none. So are the other lists."""
        if self.server_capabilities.tools is None:
            return []
        return [tool for page in await self._pages("tools/list", ListToolsResult) for tool in page.tools]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> CallToolResult:
        """Call a tool and return its whole result, failures the tool declared included (`is_error`).

        `arguments` are JSON-able, msgspec Structs and dataclasses included. Raises `McpError` for a protocol error.
        """
        params = {"name": name, "arguments": dict(arguments or {})}
        raw = await self.request("tools/call", params, on_progress=on_progress, timeout=timeout)
        return _decode(raw, CallToolResult)

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool and return just its value: structured content if there is some, else what its blocks hold.

        That is the text, where there is nothing but text, else the list of blocks. Every keyword is an argument of the
        tool: `call_tool` has a time limit, progress, and the whole result. Legacy revisions wrap what is no object as
        `{"result": value}`; that is taken off. Raises `ToolError` with the tool's own text when it fails.
        """
        result = await self.call_tool(name, arguments)
        if result.is_error:
            raise ToolError(_text(result))
        if result.structured_content is msgspec.UNSET:
            only_text = all(isinstance(block, TextContent) for block in result.content)
            return _text(result) if only_text else result.content
        return result.structured_content if self._connection.is_modern else _unwrapped(result.structured_content)

    # -- resources, prompts, completion -----------------------------------------------------------------------------

    async def list_resources(self) -> list[Resource]:
        """Every resource."""
        if self.server_capabilities.resources is None:
            return []
        return [each for page in await self._pages("resources/list", ListResourcesResult) for each in page.resources]

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """Every resource template."""
        if self.server_capabilities.resources is None:
            return []
        pages = await self._pages("resources/templates/list", ListResourceTemplatesResult)
        return [each for page in pages for each in page.resource_templates]

    async def read_resource(self, uri: str, *, timeout: float | None = None) -> list[ResourceContents]:
        """Read a resource. Raises `ResourceNotFound`, in either era, where there is none."""
        raw = await self.request("resources/read", {"uri": uri}, timeout=timeout)
        return _decode(raw, ReadResourceResult).contents

    async def list_prompts(self) -> list[Prompt]:
        """Every prompt."""
        if self.server_capabilities.prompts is None:
            return []
        return [each for page in await self._pages("prompts/list", ListPromptsResult) for each in page.prompts]

    async def get_prompt(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> GetPromptResult:
        """The messages of a prompt with its arguments filled in. What is no string is sent as the JSON text of it."""
        texts = {key: value if isinstance(value, str) else _json(value) for key, value in (arguments or {}).items()}
        params: dict[str, Any] = {"name": name} | ({"arguments": texts} if texts else {})
        return _decode(await self.request("prompts/get", params, timeout=timeout), GetPromptResult)

    async def complete(
        self, reference: str, argument: str, value: str = "", *, arguments: Mapping[str, str] | None = None
    ) -> Completion:
        """Suggestions for one argument of a prompt, or one variable of a resource template (anything with a `:`)."""
        key, kind = ("uri", "ref/resource") if ":" in reference else ("name", "ref/prompt")
        ref = {"type": kind, key: reference}
        params: dict[str, Any] = {"ref": ref, "argument": {"name": argument, "value": value}}
        if arguments:
            params["context"] = {"arguments": dict(arguments)}
        return _decode(await self.request("completion/complete", params), CompleteResult).completion

    # -- any request ------------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> msgspec.Raw:
        """Send any request and return its result, undecoded.

        Raises `McpError` for an error answer, `RequestTimeout`, `ConnectionLost`, `UnexpectedResult` for an answer that
        is none, and `MisuseError` for params that have no JSON.
        """
        if self._lost is not None:
            raise ConnectionLost(str(self._lost)) from self._lost
        connection = self._connection
        if on_progress is not None or self._log_level is not None:
            params = self._with_meta(params, progress=on_progress is not None)
        try:
            identifier, message = connection.request(method, params)
        except (TypeError, ValueError) as error:
            raise _unsendable(method, error) from error
        if on_progress is not None:
            self._progress[identifier] = on_progress
        sending = None
        try:
            answer = self._link.send(message)
        except BlockingIOError:
            answer, sending = None, self._send_later(message)
        except BaseException:
            self._forget(identifier)
            raise
        if answer is not None:
            event = connection.receive(answer)
            if type(event) is Answered:
                if on_progress is not None:
                    del self._progress[identifier]
                return event.result
            if not isinstance(event, Notified | Several):
                self._forget(identifier)
                raise _no_answer(event)
            self._handle(event)  # Not the answer yet: a subscription is acknowledged first.
        return await self._answer(identifier, method, sending, self._timeout if timeout is None else timeout)

    async def _answer(
        self, identifier: int, method: str, sending: "asyncio.Task[None] | None", seconds: float | None
    ) -> msgspec.Raw:
        """Wait for the answer to a request that is sent, or is being sent."""
        future = self._waiting[identifier] = asyncio.get_running_loop().create_future()
        if sending is not None:
            sending.add_done_callback(partial(_pass_on, future))
        if seconds is not None:
            self._deadlines.add(identifier, future, seconds)
        try:
            return await future
        except TimeoutError:
            told = self._give_up(identifier, method, sending, "timeout")
            text = f"{method} was not answered within {seconds:g} s" + ("; the server was told to stop" if told else "")
            raise RequestTimeout(text) from None
        except asyncio.CancelledError:
            self._give_up(identifier, method, sending, "cancelled")
            raise
        finally:
            self._deadlines.discard(identifier)
            self._forget(identifier)

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification; it is lost where the connection is. Raises `MisuseError` before there is one."""
        if self._state == "new":
            raise MisuseError("the client is not connected: use it inside `async with Client(…) as client:`")
        self._send(self._connection.notification(method, params))

    def _give_up(self, identifier: int, method: str, sending: "asyncio.Task[None] | None", reason: str) -> bool:
        """Stop waiting, and tell the server, unless it has not seen the request or must not be told; True if it was."""
        cancel = self._connection.cancel(identifier, reason)
        if sending is not None and not sending.done():
            sending.cancel()
            return False
        if method in _OPENINGS:
            return False
        self._send(cancel)
        return True

    def _forget(self, identifier: int) -> None:
        self._connection.waiting.discard(identifier)
        self._waiting.pop(identifier, None)
        self._progress.pop(identifier, None)

    def _send(self, message: bytes) -> None:
        """Send what nobody waits for."""
        try:
            self._link.send(message)
        except BlockingIOError:
            self._send_later(message)
        except (ConnectionLost, MisuseError):
            pass

    def _send_later(self, message: bytes) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(self._link.send_later(message))
        self.background.add(task)
        task.add_done_callback(self._sent)
        return task

    def _sent(self, task: "asyncio.Task[None]") -> None:
        self.background.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not report it: whoever waits for an answer is told.

    def _with_meta(self, params: Mapping[str, Any] | None, *, progress: bool) -> dict[str, Any]:
        body = dict(params or {})
        meta = dict(body.get("_meta") or {})
        if progress:
            meta["progressToken"] = self._connection.next_id
        if self._log_level is not None and self._connection.is_modern:
            meta[LOG_LEVEL] = self._log_level
        return {**body, "_meta": meta}

    async def _pages(self, method: str, kind: type[T]) -> list[T]:
        pages: list[T] = []
        cursor: str | None = None
        while len(pages) < MAX_PAGES:
            params = {} if cursor is None else {"cursor": cursor}
            page: Any = _decode(await self.request(method, params), kind)
            pages.append(page)
            if page.next_cursor is None or page.next_cursor == cursor:
                return pages
            cursor = page.next_cursor
        raise UnexpectedResult(f"{method} has not ended after {MAX_PAGES} pages; the server seems to go in circles")

    # -- what comes in ----------------------------------------------------------------------------------------------

    def _receive(self, message: bytes | Oversized) -> None:
        self._handle(self._connection.receive(message))

    def _handle(self, event: Any) -> None:
        if type(event) is Answered:
            future = self._waiting.get(event.id)
            if future is not None and not future.done():
                future.set_result(event.result)
            return
        match event:
            case Failed(id=None, error=error) if self._state == "probing":
                # One request waits; an error that names none can only mean that one.
                for future in self._waiting.values():
                    _fail(future, error)
            case Failed(id=identifier, error=error) if identifier is not None:
                _fail(self._waiting.get(identifier), error)
            case Spoiled(id=identifier, reason=reason):
                _fail(self._waiting.get(identifier), UnexpectedResult(reason))
            case Several(events=events):
                for each in events:
                    self._handle(each)
            case Unreadable(reason=reason):
                logger.debug("ignored what the server sent: %s", reason)
            case Notified(method=method, params=params):
                self._notified(method, params)
            case Asked(reply=reply):
                self._send(reply)
            case _:
                pass

    def _notified(self, method: str, params: msgspec.Raw) -> None:
        try:
            body = _decode_members(params)
            news = _decode_progress(params) if method == "notifications/progress" else None
        except UNREADABLE:
            return
        try:
            if news is not None and (on_progress := self._progress.get(news.progress_token)) is not None:
                on_progress(news.progress, news.total, news.message)
            elif self._on_notification is not None:
                self._on_notification(method, body)
        except Exception:
            # Raised here, it would end the connection, or blame the server's handler where the link is direct.
            logger.exception("a callback failed on %s", method)

    def _on_lost(self, reason: BaseException) -> None:
        if self._lost is None:
            self._lost = reason
        for future in self._waiting.values():
            _fail(future, ConnectionLost(str(self._lost)))

    # -- finding the era --------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        if self._era == "legacy":
            return await self._initialize()
        self._state = "probing"
        silent = False
        try:
            if await self._discover(self._timeout if self._era == "modern" else self._probe_timeout):
                return None
        except RequestTimeout:
            if self._era == "modern":
                raise
            silent = True
        self._state = "opening"
        try:
            return await self._initialize()
        except McpError:
            # A modern server that was too slow for the probe refuses the handshake; it has woken up by now.
            self._connection.adopt(LATEST_MODERN)
            if not (silent and await self._discover(self._timeout)):
                raise
            return None

    async def _discover(self, timeout: float | None) -> bool:
        """Ask for a modern server; False if this is a legacy one. Raises where no revision is shared.

        Whatever is neither a discover result nor an error that only modern servers have, says legacy.
        """
        try:
            raw = await self.request("server/discover", {}, timeout=timeout)
            found = _decode(raw, DiscoverResult)
        except McpError as error:
            if error.code == UnsupportedRevision.default_code:
                # It refuses the one modern revision there is; with a second one, that would be asked for next.
                raise UnsupportedRevision(self.revision, _supported(error.data)) from None
            if error.code in _MODERN_ERRORS or self._era == "modern":
                raise
            return False
        except UnexpectedResult:
            if self._era == "modern":
                raise
            return False
        if self.revision not in found.supported_versions:
            if self._era == "auto" and set(LEGACY).intersection(found.supported_versions):
                return False
            raise UnsupportedRevision(self.revision, found.supported_versions)
        self.server_capabilities = found.capabilities
        self.instructions = found.instructions
        self.server_info = _server_info(found)
        return True

    async def _initialize(self) -> None:
        wanted = self._wanted or LATEST_LEGACY
        self._connection.adopt(wanted)
        result = _decode(await self.request("initialize", self._connection.initialize_params()), InitializeResult)
        if result.protocol_version not in ((self._wanted,) if self._wanted else LEGACY):
            raise UnsupportedRevision(wanted, [result.protocol_version])
        self._connection.adopt(result.protocol_version)
        self.server_info = result.server_info
        self.server_capabilities = result.capabilities
        self.instructions = result.instructions
        self.notify("notifications/initialized")
        if self._log_level is not None and result.capabilities.logging is not None:
            await self.request("logging/setLevel", {"level": self._log_level})


def _chosen(era: str) -> tuple[str, str | None]:
    """The era, and the revision where a single one is wanted."""
    if era in ("auto", "modern", "legacy"):
        return era, None
    if era not in REVISIONS:
        raise MisuseError(f"era: expected 'auto', 'modern', 'legacy' or one of {', '.join(REVISIONS)}, got {era!r}")
    return era_of(era), era


def _link_to(target: Any) -> Link:
    if isinstance(target, Serves):
        return DirectLink(target)
    if isinstance(target, list | tuple) and (command := _command(cast("Sequence[Any]", target))):
        return TransportLink(lambda: _spawn(command))
    transport = cast("Any", target)
    if hasattr(transport, "receive") and hasattr(transport, "reserve"):
        return TransportLink(lambda: transport)
    raise MisuseError(
        f"cannot connect to {transport!r}: expected a Server, a Transport, or a command as a list, "
        "such as [sys.executable, 'server.py']"
    )


def _command(target: Sequence[Any]) -> list[str]:
    """The command line, or nothing where it is none."""
    return [os.fspath(part) for part in target] if all(isinstance(part, str | os.PathLike) for part in target) else []


def _spawn(command: Sequence[str]) -> Awaitable[Transport]:
    from tybalt.transports.process import spawn

    return spawn(command)


def _unsendable(method: str, error: Exception) -> MisuseError:
    text = f"{method}: the params cannot be sent, for they have no JSON form: {error}"
    return MisuseError(f"{text}. Options such as `timeout` and `on_progress` belong to `call_tool`")


def _no_answer(event: Any) -> Exception:
    """What a request raises whose answer, by a direct call, is not the one hoped for."""
    if isinstance(event, Failed):
        return event.error
    return UnexpectedResult(f"the server's answer is no answer: {getattr(event, 'reason', event)}")


def _fail(future: "asyncio.Future[Any] | None", error: BaseException) -> None:
    if future is not None and not future.done():
        future.set_exception(error)


def _pass_on(future: "asyncio.Future[Any]", sending: "asyncio.Task[None]") -> None:
    """A request that could not be sent will not be answered."""
    if not sending.cancelled() and (error := sending.exception()) is not None:
        _fail(future, error)


_decode_members = msgspec.json.Decoder(dict[str, Any]).decode
_decode_progress = msgspec.json.Decoder(ProgressNotificationParams).decode


@cache
def _decoder(kind: type[Any]) -> Callable[[msgspec.Raw], Any]:
    return msgspec.json.Decoder(kind).decode


def _decode(raw: msgspec.Raw, kind: type[T]) -> T:
    try:
        result = _decoder(kind)(raw)
    except UNREADABLE as error:
        try:
            result = _decoder(Result)(raw)
        except UNREADABLE:
            result = None
        if result is None or result.result_type in ("complete", None):
            raise UnexpectedResult(f"the server's result is no {kind.__name__}: {error}") from None
    if result.result_type != "complete" and result.result_type is not None:
        raise UnexpectedResult(f"the server's result is of the type {result.result_type!r}, unknown to this client")
    return result


def _unwrapped(value: Any) -> Any:
    """The value inside of `{"result": value}`, in which legacy revisions send what is no object."""
    if not isinstance(value, dict):
        return value
    members = cast("dict[str, Any]", value)
    return members["result"] if set(members) == {"result"} else members


def _supported(data: Any) -> list[str]:
    try:
        return msgspec.convert(data, _Supported).supported
    except msgspec.ValidationError:
        return []


def _server_info(found: DiscoverResult) -> Implementation | None:
    """Who the server says it is; self-reported and for display only, so that a malformed one is none."""
    try:
        return msgspec.convert((found.meta or {}).get(SERVER_INFO), Implementation)
    except msgspec.ValidationError:
        return None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))
