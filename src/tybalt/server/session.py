"""One connection being served: the protocol core in the middle, handlers on one side, an output on the other.

A session is fed messages and gives back answers: at once where a handler finishes at once, else later through its
output. It says what each message means to a server; `running` runs the handlers, `operations` has those requests that
pass through middleware, `ending` what happens at the end. It reads no transport (`serving` does) and knows no byte
stream. Everything runs on one event loop.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol
from weakref import ref

import msgspec

from tybalt.errors import Era, InvalidParams, McpError, MisuseError, cut, row_of
from tybalt.protocol.actions import Batch, CancelRequest, Ignored, Reply
from tybalt.protocol.codec import LegacyCall, ModernCall
from tybalt.protocol.connection import ServerConnection
from tybalt.protocol.frames import Oversized
from tybalt.protocol.subscriptions import ListName
from tybalt.reasons import CancelKind
from tybalt.server.call import Call, Write
from tybalt.server.declaration import Declaration
from tybalt.server.receiving import Receive, compile_receive
from tybalt.server.running import Running
from tybalt.types import legacy
from tybalt.types.completion import CompleteRequest
from tybalt.types.prompts import GetPromptRequest, ListPromptsRequest
from tybalt.types.resources import (
    ListResourcesRequest,
    ListResourceTemplatesRequest,
    ReadResourceRequest,
)
from tybalt.types.tools import CallToolRequest, ListToolsRequest

if TYPE_CHECKING:
    from tybalt.server.catalogue import Kind
    from tybalt.server.server import Server
    from tybalt.server.state import ConnectionState

logger = logging.getLogger("tybalt.server")


class Output(Protocol):
    """Where a session's own messages go."""

    def write(self, *messages: bytes) -> None:
        """Take whole messages, in order, without waiting."""
        ...

    def announce(self, *messages: bytes) -> None:
        """`write` what says nothing new when it is said twice: one that waits already need not be kept again."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether messages are waiting because the peer does not read."""
        ...

    async def drained(self) -> None:
        """Wait until none is waiting."""
        ...


class Replies(Protocol):
    """Where goes what belongs to one request: on HTTP each has its own, elsewhere all go to the same output."""

    @property
    def cannot_ask(self) -> str | None:
        """Why nothing can be asked of a legacy client here; `None` where it can."""
        ...

    def keep(self, call: "Call") -> None:
        """The request is answered later; `call` is what handles it."""
        ...

    def write(self, *messages: bytes) -> None:
        """Take what is said before the answer, in order, without waiting."""
        ...

    def finish(self, answer: bytes | None) -> None:
        """Take the answer, after which nothing comes; `None` where there will be none."""
        ...

    def let_go(self) -> None:
        """End the response, where that is a stream of its own that the client can come back to."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether messages are waiting because the peer does not read."""
        ...

    async def drained(self) -> None:
        """Wait until none is waiting."""
        ...


class SharedReplies:
    """The replies of a connection on which all messages go to one output."""

    cannot_ask: str | None = None

    def __init__(self, output: Output) -> None:
        self._output = output

    def keep(self, call: "Call") -> None:
        """Nothing: an output outlives its requests."""

    def write(self, *messages: bytes) -> None:
        """Write it to the output."""
        self._output.write(*messages)

    def finish(self, answer: bytes | None) -> None:
        """Write the answer, if there is one."""
        if answer is not None:
            self._output.write(answer)

    def let_go(self) -> None:
        """Nothing: there is no stream of its own."""

    async def drained(self) -> None:
        """Wait for the output."""
        await self._output.drained()

    @property
    def blocked(self) -> bool:
        """As the output says."""
        return self._output.blocked


class Session:
    """One connection to `server`: messages to `receive`; what it says by itself, or later, goes to `output`.

    `principal` is who is at the other end, as far as the transport has verified that. On HTTP, where requests share no
    connection, it stands for those of one principal or of one legacy session: `era` is the one it serves then, `None`
    for both, and `is_connection` says whether handlers can keep state for as long as it lasts. One that `is_forgetful`
    serves a single request of a session that nobody remembers. `max_running` is the server's where it is not given.
    """

    def __init__(
        self,
        server: "Server",
        output: Output,
        *,
        principal: str | None = None,
        era: "Era | None" = None,
        is_connection: bool = True,
        is_forgetful: bool = False,
        max_running: int | None = None,
    ) -> None:
        self.server = server
        self.principal = principal
        self.era: Era | None = era
        self.is_connection = is_connection
        self.max_running = max_running or server.max_running
        self.is_forgetful = is_forgetful
        self.connection = ServerConnection(
            server.profile_of(era, is_forgetful=is_forgetful), heeds_cancels=is_connection or era == "legacy"
        )
        self.output = output
        self.replies: Replies = SharedReplies(output)
        """Where goes what belongs to the request that is received."""
        self.message = b""
        """What is being handled, as it came."""
        self.state: ConnectionState | None = None
        """What handlers keep for as long as this connection lasts; made on first use."""
        self._catalogue = server.catalogue
        self._revision: str | None = None
        self._asked: dict[int, tuple[asyncio.Future[msgspec.Raw], Replies]] = {}
        self.running = Running(self)
        self.receive: Receive = self._compiled()
        """Handle one message as a transport delivered it; the answer if there is one at once, else `None`.

        Never raises for what a peer sends. It is another function after the handshake, and when tools change: look it
        up for every message.
        """
        self._dispatch = _DISPATCH if server.operations is None else _DISPATCH_THROUGH
        self._operations = server.operations
        if not is_forgetful:
            self._catalogue.watch(self)

    # -- messages in ------------------------------------------------------------------------------------------------

    def _compiled(self) -> Receive:
        """What it receives with: of a connection compiled at once, for who drives it may keep it.

        Many sessions of HTTP never get a message so, or just the one that completes a handshake: theirs is compiled for
        the second, and holds them not until then, for a session that holds itself has to be collected.
        """
        return compile_receive(self) if self.is_connection else partial(_receive_first, ref(self))

    def act(self, action: Any, message: bytes) -> bytes | None:
        """Do what the core says about a message."""
        if type(action) is bytes or action is None:
            if self._revision != self.connection.revision:  # That was the handshake.
                self._revision = self.connection.revision
                self.receive = self._compiled()
            return action
        self.message = message
        try:
            return self._dispatch[type(action)](self, action)
        finally:
            self.message = b""  # Who needs it has it; a large one must not be kept until the next.

    def act_on(self, call: "Callable[[Any, Session], bytes | None]", request: Any, message: bytes) -> bytes | None:
        """`act` for the call of a tool that was found already."""
        self.message = message
        try:
            return call(request, self)
        finally:
            self.message = b""

    # -- the methods ------------------------------------------------------------------------------------------------

    def _through(self, request: Any) -> bytes | None:
        """Any method, where there is middleware."""
        assert self._operations is not None
        return self._operations.handle(request, self)

    def _list_tools(self, request: Any) -> bytes:
        return self._list("tool", request)

    def _list_resources(self, request: Any) -> bytes:
        return self._list("resource", request)

    def _list_templates(self, request: Any) -> bytes:
        return self._list("template", request)

    def _list_prompts(self, request: Any) -> bytes:
        return self._list("prompt", request)

    def _list(self, kind: "Kind", request: Any) -> bytes:
        answers = self.connection.answers_for(request)
        cursor = request.params.cursor if request.params is not None else None
        try:
            return answers.encoded(request.id, self._catalogue.page(kind, answers.revision, cursor))
        except McpError as error:
            return answers.error(request.id, error)

    def _call_tool(self, request: Any) -> bytes | None:
        """`tools/call` in any revision; `receive` has a shorter way for plain tools."""
        calls = self._catalogue.calls(self.connection.revision_of(request))
        call = calls.get(request.params.name)
        return self._no_such_tool(request) if call is None else call(request, self)

    def _no_such_tool(self, request: Any) -> bytes:
        return self.connection.respond(request, InvalidParams(f"Unknown tool: {cut(request.params.name)}"))

    def _read_resource(self, request: Any) -> bytes | None:
        try:
            resource, arguments = self._catalogue.resource_call(request.params.uri)
        except BaseException as error:  # noqa: BLE001 (a validator may raise anything)
            return self.refused(request, error)
        answers = self.connection.answers_for(request)
        uri = request.params.uri

        def write(request_id: int | str, value: Any) -> bytes:
            return answers.result(request_id, resource.result(uri, value))

        return self.run(request, resource, arguments, write)

    def _get_prompt(self, request: Any) -> bytes | None:
        try:
            prompt, arguments = self._catalogue.prompt_call(request.params.name, request.params.arguments or {})
        except BaseException as error:  # noqa: BLE001 (a validator may raise anything)
            return self.refused(request, error)
        return self.run(request, prompt, arguments, self._writer(request, prompt.result))

    def _complete(self, request: Any) -> bytes | None:
        answers = self.connection.answers_for(request)
        try:
            completer, arguments = self.server.completions.call(request.params)
        except BaseException as error:  # noqa: BLE001 (a validator may raise anything)
            return self.refused(request, error)
        if arguments is None:
            return answers.result(request.id, completer)
        return self.run(request, completer, arguments, self._writer(request, completer.result))

    def run(self, request: Any, declaration: Declaration[..., Any], arguments: Any, write: Write) -> bytes | None:
        """Run a handler that may want to know its request; the answer if it finishes at once."""
        return self.running.run(request, declaration, write, self.server.handling(declaration).perform, arguments)

    def refused(self, request: Any, error: BaseException) -> bytes:
        """The answer to what could not be handed to a handler."""
        if isinstance(error, KeyboardInterrupt):
            raise error
        if not row_of(error).masked:
            return self.connection.respond(request, error)
        reference = os.urandom(4).hex()
        logger.error("%s: its arguments could not be read (reference %s)", request.method, reference, exc_info=error)
        masked = f"Internal error; the server's log has it under {reference}"
        return self.connection.respond(request, error, masked=masked)

    def _writer(self, request: Any, result_of: Callable[[Any], Any]) -> Write:
        answers = self.connection.answers_for(request)
        return lambda request_id, value: answers.result(request_id, result_of(value))

    def _cancel(self, action: CancelRequest) -> None:
        for responder in action.responders:
            self.running.cancel(responder)

    def _feed_batch(self, batch: Batch) -> bytes | None:
        """Run the elements concurrently; one array answers them all when the last is done (2025-03-26 basic)."""
        from tybalt.server.batch import BatchAnswers

        self.running.batch = answers = BatchAnswers()
        try:
            for message, action in batch.items:
                self.message = message
                answer = action if type(action) is bytes else self._dispatch[type(action)](self, action)
                answers.add(answer)
        finally:
            self.running.batch = None
        return answers.close()

    # -- asking the client --------------------------------------------------------------------------------------------

    def ask(self, question: Any, replies: Replies) -> "asyncio.Future[msgspec.Raw]":
        """Send a question to the legacy client: the future of its result, or of the error it answers with.

        `replies` are those of the request for which it is asked. After calling this, call `stop_asking` when nobody
        waits any more.
        """
        if replies.cannot_ask is not None:
            raise MisuseError(replies.cannot_ask)
        identifier, message = self.connection.ask(question)
        future: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()
        self._asked[identifier] = future, replies
        replies.write(message)
        return future

    def stop_asking(self, future: "asyncio.Future[msgspec.Raw]") -> None:
        """Nobody waits for this answer any more; the client is told, unless it has answered."""
        identifier = next((key for key, (each, _) in self._asked.items() if each is future), None)
        if identifier is not None:
            _, replies = self._asked.pop(identifier)
            message = self.connection.stop_asking(identifier, "nobody waits for the answer any more")
            if message is not None:
                replies.write(message)
        if future.done() and not future.cancelled():
            future.exception()  # Looked at: one of several failed, and its error is the one that is told.
        future.cancel()

    def _reply(self, reply: Reply) -> None:
        future, _ = self._asked.pop(reply.id, (None, None))
        if future is None or future.done():
            return
        if isinstance(reply.outcome, McpError):
            future.set_exception(reply.outcome)
        else:
            future.set_result(reply.outcome)

    # -- messages out -------------------------------------------------------------------------------------------------

    def catalogue_changed(self, name: ListName) -> None:
        """Tell the client that a list has changed, if it may know."""
        self.connection.profile = self.server.profile_of(self.era, is_forgetful=self.is_forgetful)
        if name == "tools":
            self.receive = self._compiled()
        self.output.announce(*self.connection.list_changed(name))

    def resource_updated(self, uri: str) -> None:
        """Tell the client that a resource has changed, if it watches it."""
        self.output.announce(*self.connection.resource_updated(uri))

    # -- the end ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop watching the catalogue, and be freed at once when nobody holds it any more."""
        if not self.is_connection:
            self.receive = self._compiled()  # What was compiled refers back to this.
        if not self.is_forgetful:
            self._catalogue.unwatch(self)

    async def drain(self, grace: float, hurry: asyncio.Event | None = None, *, is_gone: bool = False) -> None:
        """End subscriptions, let what runs finish for `grace` seconds, then stop it, see `ending.drain`.

        `is_gone` says that it is the client that has ended, and handlers are told so.
        """
        from tybalt.server.ending import drain

        self.output.write(*self.connection.end_subscriptions(is_shared=self.is_connection))
        kind = CancelKind.RESOURCE_UNAVAILABLE if is_gone else CancelKind.SHUTDOWN
        await drain(self.running, grace, hurry, kind)

    async def abort(self, patience: float = 1.0) -> None:
        """Stop what runs, and wait `patience` seconds for it to be gone, see `ending.abort`."""
        from tybalt.server.ending import abort

        await abort(self.running, patience)

    def _note_ignored(self, action: Ignored) -> None:
        logger.debug("ignored: %s", action.reason)


def _receive_first(held: "ref[Session]", message: "bytes | Oversized") -> bytes | None:
    session = held()
    assert session is not None
    session.receive = partial(_receive_second, held)
    return session.act(session.connection.receive(message), b"" if isinstance(message, Oversized) else message)


def _receive_second(held: "ref[Session]", message: "bytes | Oversized") -> bytes | None:
    session = held()
    assert session is not None
    session.receive = compile_receive(session)
    return session.receive(message)


_Handle = Callable[[Session, Any], bytes | None]

# What is done about each kind of action. Of the class, for a table of bound methods would be a session that holds
# itself, and weighs as much as the rest of it.
# pyright: reportPrivateUsage=false
_METHODS: list[tuple[tuple[type, ...], _Handle]] = [
    ((CallToolRequest, ModernCall, legacy.CallToolRequest, LegacyCall), Session._call_tool),
    ((ListToolsRequest, legacy.ListToolsRequest), Session._list_tools),
    ((ListResourcesRequest, legacy.ListResourcesRequest), Session._list_resources),
    ((ListResourceTemplatesRequest, legacy.ListResourceTemplatesRequest), Session._list_templates),
    ((ListPromptsRequest, legacy.ListPromptsRequest), Session._list_prompts),
    ((ReadResourceRequest, legacy.ReadResourceRequest), Session._read_resource),
    ((GetPromptRequest, legacy.GetPromptRequest), Session._get_prompt),
    ((CompleteRequest, legacy.CompleteRequest), Session._complete),
]
_OTHERS: dict[type, _Handle] = {
    CancelRequest: Session._cancel,
    Reply: Session._reply,
    Batch: Session._feed_batch,
    Ignored: Session._note_ignored,
}
_DISPATCH: Final = {kind: handle for kinds, handle in _METHODS for kind in kinds} | _OTHERS
_DISPATCH_THROUGH: Final = {kind: Session._through for kinds, _ in _METHODS for kind in kinds} | _OTHERS
"""The same behind middleware."""
