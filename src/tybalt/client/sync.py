"""A client for code that is not asynchronous: the same client, whose loop has a thread of its own.

    with Client("server.py").sync() as client:
        print(client.call("add", a=5, b=3))

Nothing of the client is written twice: each method hands the one of `Client` to the loop and waits for what becomes of
it. Functions that a client was given run on that thread.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from functools import wraps
from threading import Lock, Thread, current_thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

from tybalt.client.operations import ListKind, Operations
from tybalt.client.requests import OnProgress
from tybalt.errors import ConnectionLost, MisuseError
from tybalt.types.capabilities import ServerCapabilities

if TYPE_CHECKING:
    import msgspec

    from tybalt.client.listening import Change, Changes
    from tybalt.types.implementation import Implementation

P = ParamSpec("P")
R = TypeVar("R")


class Connecting(Protocol):
    """What this asks of a client beside its operations."""

    server_info: "Implementation | None"
    instructions: str | None
    server_capabilities: ServerCapabilities

    @property
    def revision(self) -> str:
        """The protocol revision spoken."""
        ...

    async def __aenter__(self) -> Any:
        """Connect."""
        ...

    async def aclose(self) -> None:
        """Close the connection."""
        ...

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> "msgspec.Raw":
        """Send any request."""
        ...

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification."""
        ...


def _waiting(
    method: Callable[Concatenate[Operations, P], Coroutine[Any, Any, R]],
) -> "Callable[Concatenate[SyncClient, P], R]":
    """The method of a client, for who waits for it in another thread."""

    @wraps(method)
    def wait(self: "SyncClient", *args: P.args, **kwargs: P.kwargs) -> R:
        return self.wait_for(method, self._client, *args, **kwargs)  # pyright: ignore[reportPrivateUsage]

    return wait


class SyncClient:
    """`client`, open inside `with`, for any number of threads. Make it with `Client.sync`.

    Every method does, returns and raises what the one of `Client` does, and blocks its caller until then; Ctrl-C
    cancels the request. Raises `MisuseError` outside of `with`, and in a function that the client itself has called,
    for that would wait for itself.
    """

    def __init__(self, client: Connecting) -> None:
        self._client: Any = client
        self._submitting = Lock()
        self._closing = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None
        self._close: asyncio.Event | None = None

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise MisuseError("a client connects once; make a new one")
        started: Future[None] = Future()
        self._thread = Thread(target=self._serve, args=(started,), name="tybalt-client", daemon=True)
        self._thread.start()
        started.result()
        try:
            self.wait_for(self._client.__aenter__)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and end the thread; once closed, do nothing."""
        if current_thread() is self._thread:
            raise MisuseError("a function that the client has called cannot close it: it would wait for itself")
        with self._closing:  # Who comes second waits for the first.
            if self._loop is None:
                return
            try:
                self.wait_for(self._client.aclose)
            finally:
                self._stop()

    call = _waiting(Operations.call)
    call_as = _waiting(Operations.call_as)
    call_tool = _waiting(Operations.call_tool)
    call_tool_once = _waiting(Operations.call_tool_once)
    complete = _waiting(Operations.complete)
    get_prompt = _waiting(Operations.get_prompt)
    list_prompts = _waiting(Operations.list_prompts)
    list_resource_templates = _waiting(Operations.list_resource_templates)
    list_resources = _waiting(Operations.list_resources)
    list_tools = _waiting(Operations.list_tools)
    page = _waiting(Operations.page)
    ping = _waiting(Operations.ping)
    read_resource = _waiting(Operations.read_resource)

    def pages(self, kind: ListKind) -> Iterator[Any]:
        """The pages of a list, each asked for when it is wanted, see `Client.pages`."""
        pages = self._client.pages(kind)
        while (page := self.wait_for(_next, pages)) is not None:
            yield page

    def listen(
        self, *, tools: bool = False, prompts: bool = False, resources: bool = False, uris: Iterable[str] = ()
    ) -> "SyncChanges":
        """What changes at the server, as an iterator that blocks, see `Client.listen`."""
        changes = self.wait_for(_listen, self._client, tools=tools, prompts=prompts, resources=resources, uris=uris)
        return SyncChanges(self, changes)

    def subscribe(self, *uris: str) -> "SyncChanges":
        """What changes of these resources, see `Client.subscribe`."""
        return self.listen(uris=uris)

    def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> "msgspec.Raw":
        """Send any request and return its result, undecoded, see `Client.request`."""
        return self.wait_for(self._client.request, method, params, on_progress=on_progress, timeout=timeout)

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> None:
        """Send a notification, see `Client.notify`."""
        self.wait_for(_notify, self._client, method, params)

    def forget(self, method: str | None = None, name: str | None = None) -> None:
        """Forget kept answers, see `Client.forget`."""
        self.wait_for(_forget, self._client, method, name)

    @property
    def lost(self) -> BaseException | None:
        """Why nothing can be asked any more, see `Client.lost`."""
        return self._client.lost

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._loop is not None

    @property
    def revision(self) -> str:
        """The protocol revision spoken."""
        return self._client.revision

    @property
    def server_info(self) -> "Implementation | None":
        """The name and version the server gives itself."""
        return self._client.server_info

    @property
    def server_capabilities(self) -> "ServerCapabilities":
        """What the server says it can do."""
        return self._client.server_capabilities

    @property
    def instructions(self) -> str | None:
        """What the server says about its use."""
        return self._client.instructions

    def wait_for(self, function: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """What a coroutine function returns, which is called here and runs on the loop."""
        if current_thread() is self._thread:
            raise MisuseError("a function that the client has called cannot wait for the client: it would for ever")
        with self._submitting:  # So that nothing is handed to a loop that has ended meanwhile, which nobody would run.
            if self._loop is None:
                raise MisuseError("the client is not connected: use it inside `with Client(…).sync() as client:`")
            future = asyncio.run_coroutine_threadsafe(function(*args, **kwargs), self._loop)
        try:
            return future.result()
        except CancelledError:
            raise ConnectionLost("the client was closed") from None
        except BaseException:
            future.cancel()  # Ctrl-C, where it is not over yet; else this does nothing.
            raise

    def _serve(self, started: "Future[None]") -> None:
        try:
            asyncio.run(self._live(started))
        except BaseException as error:  # noqa: BLE001 (whoever waits for it is told)
            if not started.done():
                started.set_exception(error)

    async def _live(self, started: "Future[None]") -> None:
        self._loop, self._close = asyncio.get_running_loop(), asyncio.Event()
        started.set_result(None)
        await self._close.wait()

    def _stop(self) -> None:
        with self._submitting:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        assert self._close is not None
        assert self._thread is not None
        loop.call_soon_threadsafe(self._close.set)
        self._thread.join()


class SyncChanges:
    """`Changes` for code that is not asynchronous: open inside `with`, its `for` blocks until something changes."""

    def __init__(self, client: SyncClient, changes: "Changes") -> None:
        self._client = client
        self._changes = changes

    @property
    def unsupported(self) -> tuple[str, ...]:
        """What the server will not tell, see `Changes`."""
        return self._changes.unsupported

    def __enter__(self) -> Self:
        self._client.wait_for(self._changes.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client.is_open:  # Where it is closed, nothing is told any more.
            self._client.wait_for(self._changes.__aexit__, None, None, None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> "Change":
        if not self._client.is_open:
            raise ConnectionLost("the client was closed")
        return self._client.wait_for(self._changes.__anext__)


async def _forget(client: Any, method: str | None, name: str | None) -> None:
    client.forget(method, name)


async def _listen(client: Any, **wanted: Any) -> "Changes":
    return client.listen(**wanted)


async def _next(pages: AsyncIterator[Any]) -> Any:
    return await anext(pages, None)


async def _notify(client: Connecting, method: str, params: Mapping[str, Any] | None) -> None:
    client.notify(method, params)
