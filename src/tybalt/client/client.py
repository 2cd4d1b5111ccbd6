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
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, Self, TypeVar

import msgspec

from tybalt import __version__
from tybalt.client.deadlines import Deadlines
from tybalt.client.link import Serves
from tybalt.client.opening import Opening
from tybalt.client.options import EraChoice, check_callback, check_options, chosen_era, link_to
from tybalt.client.results import decode_result, text_of, unwrapped
from tybalt.errors import (
    ConnectionLost,
    MisuseError,
    RequestTimeout,
    ToolError,
    UnexpectedResult,
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
from tybalt.types.implementation import Implementation
from tybalt.types.logging import LoggingLevel
from tybalt.types.meta import LOG_LEVEL
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
from tybalt.types.tools import CallToolResult, ListToolsResult, Tool

T = TypeVar("T")

logger = logging.getLogger("tybalt.client")

OnProgress = Callable[[float, float | None, str | None], object]
OnNotification = Callable[[str, Mapping[str, Any]], object]


LAST_WORDS: Final = 1.0
"""Seconds a server that does not read gets to hear that nobody waits any more, before the client closes."""
MAX_PAGES: Final = 1_000
"""Pages of one list a client follows before it believes that the server never ends it."""

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
        era: EraChoice = "auto",
        info: Implementation | None = None,
        timeout: float | None = 60.0,
        probe_timeout: float = 3.0,
        log_level: LoggingLevel | None = None,
        on_notification: OnNotification | None = None,
    ) -> None:
        self._link = link_to(target)
        era, wanted = chosen_era(era)
        check_options(timeout, probe_timeout, log_level, on_notification)
        self._timeout = timeout
        self._log_level = log_level
        self._on_notification = on_notification
        self._connection = ClientConnection(info or Implementation(name="tybalt", version=__version__))
        self._opening = Opening(self._connection, self._ask, era=era, wanted=wanted, probe_timeout=probe_timeout)
        self._waiting: dict[int | str, asyncio.Future[msgspec.Raw]] = {}
        self._progress: dict[int | str, OnProgress] = {}
        self._deadlines = Deadlines()
        self._lost: BaseException | None = None
        self._state: Literal["new", "opening", "open", "closed"] = "new"
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
            await self._greet()
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
            if self.background:
                await asyncio.wait(self.background, timeout=LAST_WORDS)
        self._state = "closed"
        self._deadlines.close()
        self._on_lost(ConnectionLost("the client was closed"))
        await self._link.aclose()
        if self.background:
            await asyncio.wait(self.background)

    async def _greet(self) -> None:
        self.server_info, self.server_capabilities, self.instructions = await self._opening.run()
        if self._connection.is_modern:
            return
        self.notify("notifications/initialized")
        if self._log_level is not None and self.server_capabilities.logging is not None:
            await self.request("logging/setLevel", {"level": self._log_level})

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
        try:
            params = {"name": name, "arguments": dict(arguments or {})}
        except (TypeError, ValueError):
            text = f"call_tool({name!r}, …): expected the arguments as a mapping by name, got {arguments!r}"
            raise MisuseError(text) from None
        raw = await self.request("tools/call", params, on_progress=on_progress, timeout=timeout)
        return decode_result(raw, CallToolResult)

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """Call a tool and return just its value: structured content if there is some, else what its blocks hold.

        That is the text, where there is nothing but text, else the list of blocks. Every keyword is an argument of the
        tool: `call_tool` has a time limit, progress, and the whole result. Legacy revisions wrap what is no object as
        `{"result": value}`; that is taken off. Raises `ToolError` with the tool's own text when it fails.
        """
        result = await self.call_tool(name, arguments)
        if result.is_error:
            raise ToolError(text_of(result))
        if result.structured_content is msgspec.UNSET:
            only_text = all(isinstance(block, TextContent) for block in result.content)
            return text_of(result) if only_text else result.content
        return result.structured_content if self._connection.is_modern else unwrapped(result.structured_content)

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
        return decode_result(raw, ReadResourceResult).contents

    async def list_prompts(self) -> list[Prompt]:
        """Every prompt."""
        if self.server_capabilities.prompts is None:
            return []
        return [each for page in await self._pages("prompts/list", ListPromptsResult) for each in page.prompts]

    async def get_prompt(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> GetPromptResult:
        """The messages of a prompt with its arguments filled in. What is no string is sent as the JSON text of it."""
        try:
            texts = {key: value if isinstance(value, str) else _json(value) for key, value in (arguments or {}).items()}
        except (TypeError, ValueError) as error:
            raise _unsendable("prompts/get", error) from error
        params: dict[str, Any] = {"name": name} | ({"arguments": texts} if texts else {})
        return decode_result(await self.request("prompts/get", params, timeout=timeout), GetPromptResult)

    async def complete(
        self, reference: str, argument: str, value: str = "", *, arguments: Mapping[str, str] | None = None
    ) -> Completion:
        """Suggestions for one argument of a prompt, or one variable of a resource template (anything with a `:`)."""
        key, kind = ("uri", "ref/resource") if ":" in reference else ("name", "ref/prompt")
        ref = {"type": kind, key: reference}
        params: dict[str, Any] = {"ref": ref, "argument": {"name": argument, "value": value}}
        if arguments:
            params["context"] = {"arguments": dict(arguments)}
        return decode_result(await self.request("completion/complete", params), CompleteResult).completion

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
            check_callback("on_progress", on_progress)
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

    async def _ask(self, method: str, params: Any, timeout: float | None) -> msgspec.Raw:
        return await self.request(method, params, timeout=timeout)

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
        try:
            message = self._connection.notification(method, params)
        except (TypeError, ValueError) as error:
            raise _unsendable(method, error) from error
        self._send(message)

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
            page: Any = decode_result(await self.request(method, params), kind)
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
            case Failed(id=None, error=error) if self._opening.probing:
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


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_decode_members = msgspec.json.Decoder(dict[str, Any]).decode
_decode_progress = msgspec.json.Decoder(ProgressNotificationParams).decode
