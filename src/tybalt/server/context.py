"""What a handler may know and do beside its arguments, injected where a parameter is annotated `Context`.

A context belongs to one request and is useless after it. A handler that does not ask for one costs nothing. It holds
no policy: everything it does goes through the call and the session it belongs to. What only informs the client works
from threads as well as on the loop; what is awaited is awaited on the loop, or with `wait` in a thread.
"""

import sys
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, overload

from tybalt.errors import MisuseError
from tybalt.execution.budgets import Budget
from tybalt.execution.tokens import current_token
from tybalt.types.capabilities import ClientCapabilities
from tybalt.types.implementation import Implementation
from tybalt.types.logging import LoggingLevel
from tybalt.types.meta import decode_meta
from tybalt.types.resources import ResourceContents
from tybalt.types.tools import CallToolResult

if TYPE_CHECKING:
    from asyncio import Task

    from tybalt.protocol.elicited import Elicited
    from tybalt.protocol.trace import TraceContext
    from tybalt.server.call import Call
    from tybalt.server.questions import Question
    from tybalt.server.session import Replies
    from tybalt.server.state import State
    from tybalt.types.roots import Root
    from tybalt.types.sampling import CreateMessageResult

T = TypeVar("T")


class Sent:
    """A message handed to the output. Awaiting it waits until the output has room again; not awaiting it is fine."""

    __slots__ = ("_replies",)

    def __init__(self, replies: "Replies") -> None:
        self._replies = replies

    def __await__(self) -> Generator[Any, None, None]:
        return self._replies.drained().__await__()


class Context:
    """One request, as its handler sees it."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._session = call.session

    # -- who is asking ----------------------------------------------------------------------------------------------

    @property
    def request_id(self) -> int | str:
        """The JSON-RPC id of the request. A client may use one id more than once; it is not a key."""
        return self._call.request.id

    @property
    def revision(self) -> str:
        """The protocol revision the request is served in."""
        return self._session.connection.revision_of(self._call.request)

    @property
    def principal(self) -> str | None:
        """Who is asking, as far as the transport has verified that; `None` where nobody had to prove it."""
        return self._session.principal

    @property
    def client_info(self) -> Implementation | None:
        """Name and version the client gives itself: unverified, for display and logs only."""
        return self._session.connection.client_of(self._call.request)[0]

    @property
    def client_capabilities(self) -> ClientCapabilities:
        """What the client declared it can do, with this request (modern) or in its handshake (legacy)."""
        return self._session.connection.client_of(self._call.request)[1]

    @cached_property
    def meta(self) -> Mapping[str, Any]:
        """The request's whole `_meta`, foreign keys included, decoded on first use."""
        return decode_meta(self._call.message)

    @property
    def wants_progress(self) -> bool:
        """Whether the client has asked to be told how far this is."""
        meta = self._call.request.params.meta if self._call.request.params is not None else None
        return meta is not None and meta.progress_token is not None

    @property
    def trace(self) -> "TraceContext | None":
        """The W3C trace context the request carries, or `None` where it has none or a malformed one."""
        from tybalt.protocol.trace import trace_context

        return trace_context(self.meta)

    @property
    def lifespan(self) -> Any:
        """What the server's `lifespan` yielded; `None` without one."""
        return self._session.server.lifespan_value

    @property
    def state(self) -> "State":
        """What handlers keep: for this request, for its connection, or under a handle; see `State`."""
        return self._call.state

    # -- how much of it is left -------------------------------------------------------------------------------------

    @property
    def cancelled(self) -> bool:
        """Whether this request is to stop: by its client, its budget, or the server."""
        return self._call.token.reason is not None or self._call.responder.cancelled

    @property
    def budget(self) -> Budget:
        """What may still be used; its deadline is a time of the running loop's clock."""
        return self._call.token.budget

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, `inf` where there is none."""
        return self.budget.remaining(self._call.time()).time

    def checkpoint(self) -> None:
        """Go on, or raise `Interrupted` where the request was cancelled or its budget is used up. From any thread."""
        own, current = self._call.token, current_token()
        own.checkpoint()
        if current is not None and current is not own:  # A part of the request: a thread that is to stop alone.
            current.checkpoint()

    def consume_cost(self, amount: float) -> bool:
        """Spend some of what the caller allows: whether it sufficed. Where it does not, nothing is spent."""
        return self._call.token.consume_cost(amount)

    def masked(self) -> AbstractContextManager[None]:
        """Let no cancel through until the end of the block: `with context.masked(): …`. Leave it soon."""
        return self._call.token.masked()

    # -- what runs beside the handler ---------------------------------------------------------------------------------

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> "Task[T]":
        """Run a coroutine beside the handler. It ends with the request: what still runs then is cancelled and awaited.

        Where it fails, the request fails with it. Raises `MisuseError` from a thread, in a plain function, and where
        1,000 run already.
        """
        return self._call.spawn(coroutine)

    def wait(self, awaitable: Awaitable[T]) -> T:
        """Wait in a thread for something to await, such as `context.wait(context.elicit(…))`.

        Raises what it raises, `Interrupted` when the request is to stop, and `MisuseError` on the loop itself, where
        `await` does it. The thread's place is another's meanwhile.
        """
        return self._call.wait(awaitable)

    def close_stream(self) -> None:
        """End the response and not the request: its client comes back for the rest, and holds no connection meanwhile.

        For long work over HTTP, with clients of 2025-11-25, which resume a stream by `Last-Event-ID`. Everywhere else
        nothing happens (2025-11-25 basic/transports, "Sending Messages to the Server" 6).
        """
        call = self._call
        if call.on_loop:
            call.replies.let_go()
        else:
            call.loop.call_soon_threadsafe(call.replies.let_go)

    # -- telling the client -----------------------------------------------------------------------------------------

    def report_progress(
        self, progress: float, total: float | None = None, message: str | None = None
    ) -> Awaitable[None]:
        """Tell the client how far this is: nothing is sent unless it asked, or when `progress` has not increased.

        Works in plain and async handlers alike. Await the result to wait while the output is blocked; without that,
        reports are dropped rather than queued while it is (2026-07-28 basic/patterns/progress).
        """
        try:
            return self._notify(self._call.responder.progress(progress, total, message))
        except TypeError:
            given = f"got {progress!r} of {total!r}" if total is not None else f"got {progress!r}"
            raise MisuseError(f"report_progress: progress and total are numbers; {given}") from None

    def log(self, level: LoggingLevel, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """Send a log message to the client, if it asked for this level. `data` is any JSON value, never a secret.

        Deprecated by the specification in favour of stderr and OpenTelemetry; supported for interoperability
        (2026-07-28 server/utilities/logging).
        """
        return self._notify(self._call.responder.log(level, data, logger))

    def debug(self, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """`log` at level `debug`."""
        return self.log("debug", data, logger=logger)

    def info(self, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """`log` at level `info`."""
        return self.log("info", data, logger=logger)

    def warning(self, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """`log` at level `warning`."""
        return self.log("warning", data, logger=logger)

    def error(self, data: Any, *, logger: str | None = None) -> Awaitable[None]:
        """`log` at level `error`."""
        return self.log("error", data, logger=logger)

    def _notify(self, message: bytes | None) -> Sent:
        call = self._call
        if message is not None:
            if call.on_loop:
                call.notify(message)
            else:
                call.loop.call_soon_threadsafe(self._notify_if_open, message)
        return Sent(call.replies)

    def _notify_if_open(self, message: bytes) -> None:
        if self._call.is_open:  # It may have been answered on the way from the thread to here.
            self._call.notify(message)

    # -- asking the client --------------------------------------------------------------------------------------------

    @overload
    def elicit(self, message: str, kind: type[T], *, key: str | None = None) -> "Coroutine[Any, Any, Elicited[T]]": ...
    @overload
    def elicit(
        self, message: str, kind: Any = str, *, url: str | None = None, key: str | None = None
    ) -> "Coroutine[Any, Any, Elicited[Any]]": ...
    def elicit(
        self, message: str, kind: Any = str, *, url: str | None = None, key: str | None = None
    ) -> "Coroutine[Any, Any, Elicited[Any]]":
        """Ask the user: `Accepted` with a value of type `kind`, `Declined` or `Dismissed`.

        `kind` is `str`, a number, `bool`, choices, or a class of such fields; with `url` the user is sent there
        instead. With a modern client the handler ends here and is run again from its start with the answer, so that
        what stands before a question may happen twice (see `once`). The answer is found again by `key`, or else by the
        place in the code and the question itself. Raises `MissingClientCapability` where the client cannot be asked.
        """
        from tybalt.server.asking import site_of
        from tybalt.server.questions import Elicit

        question: Elicit[Any] = Elicit(message, kind, url=url)
        return self._ask(question, key, site_of(sys._getframe(1)), "elicit")  # pyright: ignore[reportPrivateUsage]

    async def ask(self, **questions: "Question[Any]") -> dict[str, Any]:
        """Ask several things in one round: `await context.ask(name=Elicit("Your name?"), folders=Roots())`.

        The answers, by the same names, as `elicit`, `sample` and `roots` give them. Otherwise as `elicit`.
        """
        return await self._call.asking.ask(questions)

    def sample(
        self, messages: Any, *, key: str | None = None, **options: Any
    ) -> "Coroutine[Any, Any, CreateMessageResult]":
        """Ask the client's model; options as in `Sample`. Otherwise as `elicit`.

        Deprecated by the specification, supported for interoperability (2026-07-28 client/sampling).
        """
        from tybalt.server.asking import site_of
        from tybalt.server.questions import Sample

        question = Sample(messages, **options)
        return self._ask(question, key, site_of(sys._getframe(1)), "sample")  # pyright: ignore[reportPrivateUsage]

    def roots(self, *, key: str | None = None) -> "Coroutine[Any, Any, list[Root]]":
        """Ask for the folders the server may work in: what the client claims. Otherwise as `elicit`.

        Deprecated by the specification, supported for interoperability (2026-07-28 client/roots).
        """
        from tybalt.server.asking import site_of
        from tybalt.server.questions import Roots

        return self._ask(Roots(), key, site_of(sys._getframe(1)), "roots")  # pyright: ignore[reportPrivateUsage]

    async def once(self, key: str, function: Callable[[], Any]) -> Any:
        """Call a function, plain or async, and keep what it returns for when the handler is run again.

        What is kept is recorded when a round ends: if the client's retry never comes, or comes twice, the function may
        have run and run again. It is at least once, never exactly once. What it returns comes back as JSON values. A
        plain function runs on the loop, also where a thread waits for it: what blocks is an `async def`.
        """
        return await self._call.asking.once(key, function)

    @property
    def has_asked(self) -> bool:
        """Whether the client was asked something for this request: what comes of it is for nobody else."""
        return self._call.root.was_asked

    def when_asked(self, tell: Callable[[], object]) -> None:
        """Call `tell()` on the loop whenever the client is asked something for this request: for layers that share."""
        self._call.root.when_asked(tell)

    @property
    def input_responses(self) -> Mapping[str, Any]:
        """The answers to what a handler asked by returning `InputRequired`, by its keys; as results of the wire."""
        return self._call.asking.responses

    @property
    def round_state(self) -> Any:
        """What the handler left behind in the last `InputRequired`, as JSON values; `None` in the first round."""
        return self._call.asking.state

    def _ask(self, question: "Question[T]", key: str | None, site: str, method: str) -> Coroutine[Any, Any, T]:
        asking = self._answer(question, key, site)
        # Where its `await` was forgotten, Python warns of it by this name.
        asking.__name__, asking.__qualname__ = method, f"Context.{method}"
        return asking

    async def _answer(self, question: "Question[T]", key: str | None, site: str) -> T:
        name = key or "answer"
        answers = await self._call.asking.ask({name: question}, keyed=key is not None, site=site)
        return answers[name]

    # -- the rest of the server -------------------------------------------------------------------------------------

    async def call_tool(self, name: str, arguments: Mapping[str, Any] | None = None) -> CallToolResult:
        """Call another tool of this server, past its middleware, on what is left of this request's budget.

        A failure that the tool declared comes back as a result with `is_error`. Raises `InvalidParams` for an unknown
        tool or arguments that do not fit, and whatever else the tool raises. Nesting is limited to 10.
        """
        from tybalt.server.nesting import call_tool

        return await call_tool(self._call, name, arguments or {})

    async def read_resource(self, uri: str) -> list[ResourceContents]:
        """Read a resource of this server, as `call_tool` calls. Raises `ResourceNotFound` for an unknown URI."""
        from tybalt.server.nesting import read_resource

        return (await read_resource(self._call, uri)).contents
