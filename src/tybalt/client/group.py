"""`ClientGroup`: several servers as one, with a prefix before the names of each.

    async with ClientGroup({"files": "server.py", "web": ["npx", "web-server"]}) as group:
        print([tool.name for tool in await group.list_tools()])  # files_read, web_search
        print(await group.call("files_read", path="a.txt"))

A server that fails is left out, and takes no other down. Nothing is guessed: whose a name is, the names of the servers
say alone, whatever is listed. How each server is opened and closed is in `members`, what it is asked in `operations`.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Self, TypeVar, overload

import msgspec

from tybalt.client.connected import Connected
from tybalt.client.members import MAX_TOLD, Member, ServersMissing, ServerUnavailable, Terms, members_of, required_of
from tybalt.client.options import duration
from tybalt.errors import (
    ConnectionLost,
    InvalidParams,
    MethodNotFound,
    MisuseError,
    RequestLost,
    RequestTimeout,
    ResourceNotFound,
    ToolError,
    closest,
    cut,
)
from tybalt.execution.durations import Duration
from tybalt.types.completion import Completion
from tybalt.types.implementation import Implementation
from tybalt.types.prompts import GetPromptResult, Prompt
from tybalt.types.resources import Resource, ResourceContents, ResourceTemplate
from tybalt.types.tools import CallToolResult, Tool

if TYPE_CHECKING:
    from tybalt.client.address import Address
    from tybalt.client.client import Client
    from tybalt.client.config import MCPConfig, ServerEntry
    from tybalt.client.link import Serves
    from tybalt.client.requests import OnProgress
    from tybalt.client.results import CallResult
    from tybalt.execution.budgets import Budget
    from tybalt.transports.command import Command, PathName
    from tybalt.transports.transport import Transport
    from tybalt.types.input_required import InputRequiredResult

    Target = Client | Serves | Transport | Address | Command | ServerEntry | PathName | Sequence[PathName]

T = TypeVar("T")
Named = TypeVar("Named", Tool, Prompt)

logger = logging.getLogger("tybalt.client")

CLOSING: Final = 10.0
"""Seconds in which the servers may close; then they are cancelled, and a process among them is killed."""
LAST_MOMENT: Final = 2.0
"""Seconds for what was cancelled. What is not over then is left alone, and logged."""
MAX_LEFT_OUT: Final = 100
"""How many of what one list leaves out are told."""
MAX_TOOL_NAME: Final = 128
"""2026-07-28 server/tools, "Tool Names"."""

_SEPARATOR: Final = re.compile(r"[A-Za-z0-9_.-]{1,8}")
_MOVES_ON: Final = (InvalidParams, MethodNotFound, RequestLost, RequestTimeout, ServerUnavailable)
"""What the next server is asked after, where it is not known whose a URI is."""


class ClientGroup:
    """Connections to several MCP servers, open inside `async with`.

    `servers` maps names to what a `Client` connects to, or to ready `Client`s with options of their own; or it is an
    `MCPConfig`, whose disabled entries are left out and whose broken ones fail by themselves. The name of a server is
    the prefix of its tools and prompts, `separator` stands between: `files_read`. Other options are those of every
    `Client` the group makes, and `options_for(name)` returns some that one server alone has, such as an `on_elicit`
    that knows who asks.

    All connect at once, within `startup_timeout` seconds each (`None`: no limit; an entry may have its own). Those that
    fail are in `failed`. `required` names servers, or is "all": when one of them fails, entering raises at once. A list
    takes `list_timeout` seconds of each server at most.

    A name belongs to the server with the longest prefix that it begins with. What a server lists under the name of
    another's is left out, and logged: see `left_out`. URIs have no prefix: see `read_resource`.

    Raises `MisuseError` for a name, a target or an option that is none, `ConfigError` for a required server that the
    configuration does not have. Entering raises `ServersMissing` where no server connects, unless there is none.
    """

    def __init__(
        self,
        servers: "MCPConfig | Mapping[str, Target]",
        *,
        separator: str = "_",
        required: 'Iterable[str] | Literal["all"]' = (),
        startup_timeout: Duration | None = 60.0,
        list_timeout: Duration | None = 30.0,
        options_for: Callable[[str], Mapping[str, Any]] | None = None,
        **options: Any,
    ) -> None:
        if not isinstance(separator, str) or _SEPARATOR.fullmatch(separator) is None:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MisuseError(f"separator: expected 1 to 8 of A-Z, a-z, 0-9, '_', '.' and '-', got {separator!r}")
        startup = None if startup_timeout is None else duration("startup_timeout", startup_timeout)
        self._list_timeout = None if list_timeout is None else duration("list_timeout", list_timeout)
        self._separator = separator
        self._members = members_of(servers, Terms(options, options_for, startup))
        self._required = required_of(required, self._members, servers)
        prefixed = [(each.prefix + separator, each) for each in self._members.values() if each.prefix is not None]
        self._starts = sorted(prefixed, key=lambda start: -len(start[0]))
        self._left_out: dict[str, list[str]] = {}
        self._state: Literal["new", "opening", "open", "closed"] = "new"

    # -- who is in it -----------------------------------------------------------------------------------------------

    @property
    def clients(self) -> "dict[str, Client]":
        """The plain clients that have connected, by name. One of them may be lost since.

        Of a server that is not among them `clients[name]` raises a `KeyError` that says why.
        """
        connected = {each.name: each.client for each in self._all if each.has_connected and each.client}
        return Connected(connected, names=self._members, failed=self.failed)

    @property
    def failed(self) -> dict[str, BaseException]:
        """Why a server could not connect, is lost, or has not answered when it was last to list something, by name."""
        reasons = {each.name: each.failure or next(iter(each.unlisted.values()), None) for each in self._all}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    @property
    def server_info(self) -> dict[str, Implementation | None]:
        """The name and version that each server that has connected gives itself."""
        return {name: client.server_info for name, client in self.clients.items()}

    @property
    def instructions(self) -> dict[str, str]:
        """What servers say about their use; those that say nothing are not there."""
        return {name: client.instructions for name, client in self.clients.items() if client.instructions}

    @property
    def left_out(self) -> list[str]:
        """What the last lists do not show, and why: a name or a URI that is another server's, a name too long.

        Of each kind the first `MAX_LEFT_OUT`.
        """
        return [reason for reasons in self._left_out.values() for reason in reasons]

    # -- its life ---------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise MisuseError("a group connects once; make a new one")
        self._state = "opening"
        try:
            await self._connect()
            if self._state != "opening":
                raise ConnectionLost("the group was closed while it connected")
        except BaseException:
            await self.aclose()
            raise
        self._state = "open"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections at once; requests still waiting raise `ServerUnavailable`. Idempotent.

        It takes `CLOSING` and `LAST_MOMENT` seconds at most. What closing one of them raises is logged. Cancelled, it
        lets go of all of them at once, and waits for the last moment only.
        """
        self._state = "closed"
        tasks = {task: each.name for each in self._all if (task := each.end()) is not None}
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=CLOSING)
        finally:
            left = [each for each in tasks if not each.done()]
            for each in left:
                each.cancel()
            if left:
                await asyncio.wait(left, timeout=LAST_MOMENT)
            for each in left:
                if not each.done():
                    logger.warning("the server %r does not close, and is left alone", tasks[each])

    async def _connect(self) -> None:
        waiting = {each.start(): each for each in self._all}
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            missing = [each for each in map(waiting.pop, done) if each.failure and each.name in self._required]
            if missing:
                reasons = {each.name: each.failure for each in missing if each.failure}
                raise ServersMissing("a required server has not connected", reasons) from missing[0].failure
        if self._members and all(each.failure for each in self._all):
            raise ServersMissing("no server of the group has connected", self.failed)

    # -- tools and prompts ------------------------------------------------------------------------------------------

    async def list_tools(self) -> list[Tool]:
        """Every tool, under the name that `call` takes, in the order of the servers.

        All are asked at once. A server that fails is left out, and is in `failed`. So are the other lists.
        """
        found = await self._each("tools", lambda client: client.list_tools())
        return self._joined("tool", found, MAX_TOOL_NAME)

    async def call(self, name: str, /, *given: NoReturn, **arguments: Any) -> Any:
        """Call a tool and return just its value, see `Client.call`. Raises `ServerUnavailable` besides."""
        with self._called("tool", name) as (client, own):
            return await client.call(own, *given, **arguments)

    @overload
    async def call_as(self, kind: type[T], name: str, /, **arguments: Any) -> T: ...
    @overload
    async def call_as(self, kind: Any, name: str, /, **arguments: Any) -> Any: ...

    async def call_as(self, kind: Any, name: str, /, **arguments: Any) -> Any:
        """`call`, with the value as a `kind`, see `Client.call_as`. Raises `ServerUnavailable` besides."""
        with self._called("tool", name) as (client, own):
            return await client.call_as(kind, own, **arguments)

    @overload
    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        returns: type[T],
        on_progress: "OnProgress | None" = None,
        timeout: float | None = None,
        budget: "Budget | None" = None,
        meta: Mapping[str, Any] | None = None,
    ) -> "CallResult[T]": ...
    @overload
    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        returns: Any = None,
        on_progress: "OnProgress | None" = None,
        timeout: float | None = None,
        budget: "Budget | None" = None,
        meta: Mapping[str, Any] | None = None,
    ) -> "CallResult[Any]": ...

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        returns: Any = None,
        on_progress: "OnProgress | None" = None,
        timeout: float | None = None,
        budget: "Budget | None" = None,
        meta: Mapping[str, Any] | None = None,
    ) -> "CallResult[Any]":
        """Call a tool and return its whole result, see `Client.call_tool`. Raises `ServerUnavailable` besides."""
        with self._called("tool", name) as (client, own):
            return await client.call_tool(
                own,
                arguments,
                returns=returns,
                on_progress=on_progress,
                timeout=timeout,
                budget=budget,
                meta=meta,
            )

    async def call_tool_once(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        input_responses: Mapping[str, Any] | None = None,
        request_state: str | None = None,
        on_progress: "OnProgress | None" = None,
        timeout: float | None = None,
        budget: "Budget | None" = None,
        meta: Mapping[str, Any] | None = None,
    ) -> "CallToolResult | InputRequiredResult":
        """One round of `call_tool`, by hand, see `Client.call_tool_once`."""
        with self._called("tool", name) as (client, own):
            return await client.call_tool_once(
                own,
                arguments,
                input_responses=input_responses,
                request_state=request_state,
                on_progress=on_progress,
                timeout=timeout,
                budget=budget,
                meta=meta,
            )

    async def list_prompts(self) -> list[Prompt]:
        """Every prompt, under the name that `get_prompt` takes."""
        return self._joined("prompt", await self._each("prompts", lambda client: client.list_prompts()))

    async def get_prompt(
        self, name: str, arguments: Mapping[str, Any] | None = None, *, timeout: float | None = None
    ) -> GetPromptResult:
        """The messages of a prompt, see `Client.get_prompt`. Raises `ServerUnavailable` besides."""
        with self._called("prompt", name) as (client, own):
            return await client.get_prompt(own, arguments, timeout=timeout)

    # -- resources and completion -----------------------------------------------------------------------------------

    async def list_resources(self) -> list[Resource]:
        """Every resource. A URI that several servers list is that of the first of them, in the order of the group."""
        found = await self._each("resources", lambda client: client.list_resources())
        for member, resources in found:
            member.remember(uris=(each.uri for each in resources))
        return self._owned("resource", found, lambda each: each.uri, lambda member: member.uris)

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """Every resource template; the same holds for one that several servers list."""
        found = await self._each("resource templates", lambda client: client.list_resource_templates())
        for member, templates in found:
            member.remember(templates=(each.uri_template for each in templates))
        return self._owned("resource template", found, lambda each: each.uri_template, lambda member: member.templates)

    async def read_resource(
        self, uri: str, *, server: str | None = None, timeout: float | None = None
    ) -> list[ResourceContents]:
        """Read a resource of `server`, or else of the one that has listed it.

        Where none has, the servers that have resources are asked one after another until one has it: first those with a
        listed template that may fit, the longest beginning before its variables first; then in the order of the group.
        Whoever does not know it, cannot be asked or does not answer in time is passed by; any other error is raised. In
        the end the first that was no `ResourceNotFound` is raised, or else that.
        """
        owner = self._named(server) if server is not None else self._owner(uri, lambda member: member.uris)
        candidates = [owner] if owner is not None else self._candidates(uri)
        return await self._first(uri, candidates, lambda client: client.read_resource(uri, timeout=timeout))

    async def complete(
        self,
        reference: str,
        argument: str,
        value: str = "",
        *,
        arguments: Mapping[str, str] | None = None,
        server: str | None = None,
    ) -> Completion:
        """Suggestions for one argument of a prompt, or one variable of a resource template (anything with a `:`).

        A prompt has its name in the group. A template is that of the server that has listed it, or else all that
        complete are asked in the order of the group. With `server` the reference is what that server calls it.
        """
        if server is not None:
            candidates = [self._named(server)]
        elif ":" not in reference:
            member, reference = self._resolve("prompt", reference)
            candidates = [member]
        else:
            owner = self._owner(reference, lambda member: member.templates)
            candidates = [owner] if owner is not None else self._able("completions")
        return await self._first(
            reference, candidates, lambda client: client.complete(reference, argument, value, arguments=arguments)
        )

    async def ping(self, *, timeout: float | None = None) -> dict[str, BaseException | None]:
        """Ask all at once whether they answer: by name `None`, or why a server does not."""
        self._check_open()
        asked = self._asked
        pings = (self._ask(each, lambda client: client.ping(timeout=timeout)) for each in asked)
        answers = await asyncio.gather(*pings, return_exceptions=True)
        heard = {each.name: _reason(answer) for each, answer in zip(asked, answers, strict=True)}
        return {each.name: heard.get(each.name, each.failure) for each in self._all}

    # -- whose it is ------------------------------------------------------------------------------------------------

    @property
    def _all(self) -> Iterable[Member]:
        return self._members.values()

    @property
    def _asked(self) -> list[Member]:
        """Those that can be asked."""
        return [each for each in self._all if each.failure is None]

    def _able(self, capability: Literal["completions", "resources"]) -> list[Member]:
        """Those of them whose servers say that they have something of a kind."""
        return [
            each
            for each in self._asked
            if each.client is not None and getattr(each.client.server_capabilities, capability) is not None
        ]

    def _called(self, kind: str, name: str) -> "_Called":
        """Whose a name is, to be asked by it. Raises as `_resolve` does."""
        member, own = self._resolve(kind, name)
        return _Called(member, kind, name, own)

    def _resolve(self, kind: str, name: str) -> tuple[Member, str]:
        """Whose a name is, and what he calls it. Raises `InvalidParams`, as a server would, where it is nobody's."""
        self._check_open()
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise MisuseError(f"a {kind} is asked for by its name, a text, got {name!r}")
        found = self._split(name)
        if found is None:
            starts = ", ".join(repr(start) for start, _ in self._starts[:MAX_TOLD]) or "none: there are no servers"
            raise InvalidParams(f"Unknown {kind}: {cut(name)}; the names of this group begin with {starts}")
        return found

    def _split(self, name: str) -> tuple[Member, str] | None:
        for start, member in self._starts:  # The longest first.
            if name.startswith(start) and len(name) > len(start):
                return member, name[len(start) :]
        return None

    def _named(self, server: str) -> Member:
        self._check_open()
        if server in self._members:
            return self._members[server]
        meant = closest(server, self._members)
        raise MisuseError(
            f"there is no server {server!r}; " + (f"did you mean {meant!r}?" if meant else "see `clients`")
        )

    def _owner(self, uri: str, listed: Callable[[Member], frozenset[str]]) -> Member | None:
        """Who has listed it, the first in the order of the group."""
        return next((each for each in self._all if uri in listed(each)), None)

    def _candidates(self, uri: str) -> list[Member]:
        """Who could have a resource that nobody has listed, in the order in which they are asked."""
        fits = {each.name: each.fit(uri) for each in self._all}
        able = self._able("resources")
        could = [each for each in self._all if each in able or fits[each.name] >= 0]
        return sorted(could, key=lambda each: -fits[each.name])

    # -- asking them ------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._state == "closed":
            raise ConnectionLost("the group was closed")
        if self._state != "open":
            raise MisuseError("the group is not connected: use it inside `async with ClientGroup(…) as group:`")

    async def _each(self, what: str, ask: "Callable[[Client], Awaitable[T]]") -> list[tuple[Member, T]]:
        """The lists of all that answer, in the order of the group; of the others it is noted why they do not."""
        self._check_open()
        asked = self._asked
        lists = (self._list_of(each, what, ask) for each in asked)
        answers = await asyncio.gather(*lists, return_exceptions=True)
        found: list[tuple[Member, T]] = []
        for member, answer in zip(asked, answers, strict=True):
            member.unlisted.pop(what, None)
            if not isinstance(answer, BaseException):
                found.append((member, answer))
            elif (reason := _reason(answer)) is not None:
                member.unlisted[what] = reason
        return found

    async def _list_of(self, member: Member, what: str, ask: "Callable[[Client], Awaitable[T]]") -> T:
        limit = asyncio.timeout(self._list_timeout)
        try:
            async with limit:
                return await self._ask(member, ask)
        except TimeoutError:
            if not limit.expired():
                raise
            raise RequestTimeout(f"its {what} were not listed within {self._list_timeout:g} s") from None

    async def _ask(self, member: Member, ask: "Callable[[Client], Awaitable[T]]") -> T:
        with member as client:
            return await ask(client)

    async def _first(self, uri: str, candidates: list[Member], ask: "Callable[[Client], Awaitable[T]]") -> T:
        """The answer of the first that has it."""
        self._check_open()
        if len(candidates) == 1:
            return await self._ask(candidates[0], ask)
        told: Exception | None = None
        for member in candidates:
            try:
                return await self._ask(member, ask)
            except _MOVES_ON as error:
                if told is None and not isinstance(error, ResourceNotFound):
                    told = error
        raise told or ResourceNotFound(uri)

    # -- what is shown ----------------------------------------------------------------------------------------------

    def _joined(self, kind: str, found: list[tuple[Member, list[Named]]], limit: int | None = None) -> list[Named]:
        """What was listed, under its name in the group."""
        shown: list[Named] = []
        left_out: list[str] = []
        for member, listed in found:
            for each in listed:
                name = f"{member.prefix}{self._separator}{each.name}"
                reason = self._reason_to_hide(member, name, limit)
                if reason is None:
                    shown.append(msgspec.structs.replace(each, name=name))
                elif len(left_out) < MAX_LEFT_OUT:
                    left_out.append(f"the {kind} {cut(each.name)!r} of {member.name!r} is not shown: {reason}")
        self._leave_out(kind, left_out)
        return shown

    def _reason_to_hide(self, member: Member, name: str, limit: int | None) -> str | None:
        owner, _ = self._split(name) or (member, "")
        if owner is not member:
            remedy = "choose another separator or another prefix"
            return f"{cut(name)!r} is a name of the server {owner.name!r}; {remedy}"
        if limit is not None and len(name) > limit:
            text = f"its name in the group would have {len(name)} characters, and {limit} are allowed"
            return f"{text}; choose a shorter prefix"
        return None

    def _owned(
        self,
        kind: str,
        found: list[tuple[Member, list[T]]],
        uri_of: Callable[[T], str],
        listed_by: Callable[[Member], frozenset[str]],
    ) -> list[T]:
        """What was listed, of each URI that of its owner alone, whom it would be asked of."""
        shown: list[T] = []
        left_out: list[str] = []
        for member, listed in found:
            for each in listed:
                uri = uri_of(each)
                owner = self._owner(uri, listed_by) or member
                if owner is member:
                    shown.append(each)
                elif len(left_out) < MAX_LEFT_OUT:
                    told = f"the {kind} {cut(uri)!r} of {member.name!r} is not shown, for {owner.name!r} lists it too"
                    left_out.append(f"{told}; server={member.name!r} reads it")
        self._leave_out(kind, left_out)
        return shown

    def _leave_out(self, kind: str, reasons: list[str]) -> None:
        """Keep what is not shown, and log what was not left out before."""
        before, self._left_out[kind] = self._left_out.get(kind, []), reasons
        for reason in reasons:
            if reason not in before:
                logger.warning("%s", reason)


class _Called:
    """One name that a server is asked by: `with … as (client, own)`. An error that it is unknown has the whole name."""

    __slots__ = ("_kind", "_member", "_name", "_own")

    def __init__(self, member: Member, kind: str, name: str, own: str) -> None:
        self._member = member
        self._kind = kind
        self._name = name
        self._own = own

    def __enter__(self) -> "tuple[Client, str]":
        return self._member.__enter__(), self._own

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, InvalidParams | ToolError):
            self._tell_whole_name(error)
        self._member.__exit__(kind, error, trace)

    def _tell_whole_name(self, error: InvalidParams | ToolError) -> None:
        head = re.compile(rf"(Unknown {self._kind}: [\"'`]?){re.escape(cut(self._own))}(?![\w.-])")
        told, found = head.subn(lambda at: at[1] + cut(self._name), str(error), count=1)
        if found and str(error).startswith(f"Unknown {self._kind}: "):
            error.args = (told,)
            if isinstance(error, InvalidParams):
                error.message = told


def _reason(answer: Any) -> BaseException | None:
    """Why there is no answer, where there is none; the name of the server stands beside it already."""
    if isinstance(answer, ServerUnavailable):
        return answer.reason
    return answer if isinstance(answer, BaseException) else None
