"""`Server`: a thin face over a catalogue, completions, a profile and a lifespan.

It holds what is offered and what it is called; sessions serve it, transports carry them. One server may be served over
any number of transports at once, in one process and on one event loop.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, Literal, Never, NoReturn, ParamSpec, Self, TypeVar, Unpack, cast, overload

from msgspec import UNSET, UnsetType

from tybalt.errors import Era, MisuseError, RegistrationError
from tybalt.execution.budgets import Budget
from tybalt.execution.durations import Duration
from tybalt.protocol.profile import Profile
from tybalt.protocol.subscriptions import ListName
from tybalt.server.catalogue import Catalogue, OnDuplicate
from tybalt.server.declaration import Declaration, Kind, qualified_name
from tybalt.server.decorators import as_declaration, bound, refuse_plain_function
from tybalt.server.decorators import prompt as declare_prompt
from tybalt.server.decorators import resource as declare_resource
from tybalt.server.decorators import tool as declare_tool
from tybalt.server.lifetime import Hook, Lifetime
from tybalt.server.limits import warn_of_narrowing
from tybalt.server.options import CacheScope, PromptOptions, ResourceOptions, ToolOptions
from tybalt.server.registered import Registered
from tybalt.server.server_options import (
    check_settings,
    checked_function,
    checked_implementation,
    checked_key,
    checked_layers,
    checked_list,
    checked_timeout,
    chosen_revisions,
    refuse_options,
    refuse_transport,
)
from tybalt.server.session import Output, Session
from tybalt.server.turns import Turns
from tybalt.types.implementation import Icon
from tybalt.types.revisions import era_of

if TYPE_CHECKING:
    from tybalt.execution.placement import RunIn
    from tybalt.execution.threads import Threads
    from tybalt.middleware.layers import Layer
    from tybalt.protocol.sealed import Key, Seal
    from tybalt.server.completion import Completions
    from tybalt.server.http.asgi import AsgiApp
    from tybalt.server.http.service import Service
    from tybalt.server.http.settings import HttpOptions
    from tybalt.server.operations import Operations
    from tybalt.server.performing import Handling
    from tybalt.server.state import State
    from tybalt.server.statistics import ServerStatistics
    from tybalt.server.store import Store
    from tybalt.transports.transport import Transport

P = ParamSpec("P")
R = TypeVar("R")

Lifespan = Callable[["Server"], AbstractAsyncContextManager[Any]]


class Server:
    """An MCP server.

    `version` is the server's own. `tools`, `resources` and `prompts` take declarations or, for tools and prompts,
    plain functions. `lifespan` is an async context manager made from the server; what it yields is `Context.lifespan`.
    `page_size` bounds list answers (`None`: one page). `on_duplicate` says what happens when a name is taken. `eras`
    chooses what is spoken: "modern", "legacy", or single revisions; all by default. `strict` refuses unknown arguments
    and lax conversions in every tool. `ttl` (seconds) and `scope` are the caching hints of the lists. `grace` is how
    many seconds running requests get at the end.

    `run_in` is where plain functions run that do not say it themselves: in one of `max_threads` threads, on the "loop",
    or "auto". `request_timeout` is how long a request may take, `answer_timeout` how long a client may take to answer a
    question; 0 or `None` is no limit. `max_running` requests of one connection run at once, `max_running_total` of all,
    as many again wait for their turn, and more are refused with code 503. `max_rounds` is how often one call may ask
    its client. `state_key` (32 bytes or more, or several) seals what travels through clients: give one where several
    processes serve the same clients. `store` keeps `Context.state` behind handles, in memory by default. `middleware`
    are layers around every request, the first outermost.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.0.0",
        title: str | None = None,
        description: str | None = None,
        instructions: str | None = None,
        website_url: str | None = None,
        icons: Iterable[Icon] = (),
        tools: Iterable[Declaration[..., Any] | Callable[..., Any]] = (),
        resources: Iterable[Declaration[..., Any]] = (),
        prompts: Iterable[Declaration[..., Any] | Callable[..., Any]] = (),
        lifespan: Lifespan | None = None,
        page_size: int | None = None,
        on_duplicate: OnDuplicate = "error",
        eras: Iterable[str] = ("modern", "legacy"),
        strict: bool = False,
        ttl: float = 0,
        scope: CacheScope = "public",
        grace: float = 5.0,
        run_in: "RunIn" = "thread",
        max_threads: int = 40,
        request_timeout: Duration | None = 30.0,
        answer_timeout: Duration | None = 900.0,
        max_running: int = 1_000,
        max_running_total: int = 10_000,
        max_rounds: int = 10,
        state_key: "Key | Sequence[Key] | None" = None,
        store: "Store | None" = None,
        middleware: Iterable["Layer"] = (),
        **unknown: Never,
    ) -> None:
        if unknown:
            refuse_options(unknown, Server.__init__.__kwdefaults__ or ())
        check_settings(
            page_size=page_size,
            on_duplicate=on_duplicate,
            ttl=ttl,
            grace=grace,
            scope=scope,
            strict=strict,
            run_in=run_in,
            at_least_one={
                "max_running": max_running,
                "max_running_total": max_running_total,
                "max_threads": max_threads,
                "max_rounds": max_rounds,
            },
        )
        if lifespan is not None:
            checked_function(lifespan, "lifespan")
        self.implementation = checked_implementation(
            name=name,
            version=version,
            title=title,
            description=description,
            website_url=website_url,
            icons=icons,
            instructions=instructions,
        )
        self.instructions = instructions
        self.grace = grace
        self.max_running = max_running
        self.max_rounds = max_rounds
        self.request_timeout = checked_timeout("request_timeout", request_timeout) or inf
        self.answer_timeout = checked_timeout("answer_timeout", answer_timeout)
        self.turns = Turns(max_running_total)
        self._max_threads = max_threads
        self.overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        """Providers of dependencies, and what stands in for them; see `overridden`."""
        self._run_in: RunIn = run_in
        self._state_key = None if state_key is None else checked_key(state_key)
        self._store = store
        self._handlings: dict[Declaration[..., Any], Handling] = {}
        self.catalogue = Catalogue(
            self.implementation,
            page_size=page_size,
            on_duplicate=on_duplicate,
            ttl_ms=int(ttl * 1000),
            cache_scope=scope,
        )
        self._strict = strict
        self.revisions = chosen_revisions(eras)
        """The protocol revisions that are spoken, oldest first."""
        self._hints = (int(ttl * 1000), scope)
        self._profiles: dict[tuple[Era | None, bool], Profile] = {}
        self._lifetime = Lifetime(lifespan, self)
        self._services: list[Service] = []
        self._layers = checked_layers(middleware)
        self.operations: Operations | None = self._operations()
        """Every method behind the middleware; `None` without any, which costs nothing then."""
        self.catalogue.watch(self)
        self.catalogue.on_gone = self._forget
        self.add(*(as_declaration(each, declare_tool) for each in checked_list(tools, "tools")))
        self.add(*(as_declaration(each, refuse_plain_function) for each in checked_list(resources, "resources")))
        self.add(*(as_declaration(each, declare_prompt) for each in checked_list(prompts, "prompts")))

    # -- declaring --------------------------------------------------------------------------------------------------

    @overload
    def tool(self, function: Callable[P, R], /, **options: Unpack[ToolOptions]) -> Registered[P, R]: ...
    @overload
    def tool(
        self, called: str | None = None, /, **options: Unpack[ToolOptions]
    ) -> Callable[[Callable[P, R]], Registered[P, R]]: ...
    def tool(self, function: Any = None, /, **options: Any) -> Any:
        """Offer a function as a tool: `@server.tool`, `@server.tool("name")` or `@server.tool(title=…, …)`.

        Returns a handle that is called like the function. Raises `RegistrationError` for a function that cannot be
        compiled or a name that is taken.
        """
        return self._offer(declare_tool, function, options)

    @overload
    def prompt(self, function: Callable[P, R], /, **options: Unpack[PromptOptions]) -> Registered[P, R]: ...
    @overload
    def prompt(
        self, called: str | None = None, /, **options: Unpack[PromptOptions]
    ) -> Callable[[Callable[P, R]], Registered[P, R]]: ...
    def prompt(self, function: Any = None, /, **options: Any) -> Any:
        """Offer a function as a prompt: `@server.prompt` or `@server.prompt(title=…, …)`. As `tool` otherwise."""
        return self._offer(declare_prompt, function, options)

    @overload
    def resource(
        self, uri: str, /, **options: Unpack[ResourceOptions]
    ) -> Callable[[Callable[P, R]], Registered[P, R]]: ...
    @overload
    def resource(
        self, *, uri: str, **options: Unpack[ResourceOptions]
    ) -> Callable[[Callable[P, R]], Registered[P, R]]: ...
    def resource(self, uri: Any = None, **options: Any) -> Any:
        """Offer a function as the resource `uri`, or as a template where the URI has variables.

        `@server.resource("users://{id}/profile")` gives each variable to the parameter of its name, converted to its
        type. Raises `RegistrationError` where variables and parameters do not fit.
        """
        decorate: Any = declare_resource(uri, **options)

        def register(function: Callable[..., Any]) -> Registered[..., Any]:
            return self._register(bound(decorate(function)))

        return register

    def completion(
        self, reference: Any, argument: str = "", *, replace: bool = False
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Suggest values for one argument of a prompt, or one variable of a resource template.

        `reference` is a handle, a prompt's name, or a template's URI. The function takes what was typed so far, and
        `arguments` if it wants those already filled in; it returns strings, best first. Raises `RegistrationError` for
        what is not there, and, unless `replace` is set, for an argument that has a completer.
        """
        declaration = getattr(reference, "declaration", reference)
        if not isinstance(declaration, (Declaration, str)):
            raise RegistrationError(
                "completion(reference, argument): expected a prompt's name, a template's URI, or the handle of either, "
                f"got {reference!r}. Write @server.completion(…, 'argument') above the function that suggests values"
            )
        key: str = declaration.key if isinstance(declaration, Declaration) else str(declaration)

        def decorate(function: Callable[P, R]) -> Callable[P, R]:
            self.completions.add(key, argument, function, replace=replace)
            self._renew()
            return function

        return decorate

    def add(self, *declarations: Declaration[..., Any] | Callable[..., Any]) -> Self:
        """Offer what `@tool`, `@resource` and `@prompt` declared; a plain function is a tool. Returns the server."""
        for given in declarations:
            handle = cast("Any", given)
            self._register(as_declaration(handle.declaration if isinstance(given, Registered) else given, declare_tool))
        return self

    def handle(self, kind: Kind, key: str) -> Registered[..., Any]:
        """The handle on a component by its kind and its name or URI. Raises `MisuseError` if there is none."""
        if kind not in ("tool", "resource", "template", "prompt"):
            raise MisuseError(f"there is no kind {kind!r}; there are 'tool', 'resource', 'template' and 'prompt'")
        entry = self.catalogue.entry(kind, key)
        if entry is None:
            raise MisuseError(f"there is no {kind} {key!r} on server {self.implementation.name!r}")
        return Registered(self.catalogue, entry, entry.declaration)

    def add_middleware(self, *layers: "Layer") -> Self:
        """Put layers around every request, inside of those there are; for connections that begin from now on.

        Returns the server. Raises `RegistrationError` for what is no layer.
        """
        self._layers += checked_layers(layers)
        self.operations = self._operations()
        return self

    def on_startup(self, hook: Hook) -> Self:
        """Run `hook`, plain or async, before the first connection is served. Returns the server."""
        self._lifetime.startup.append(checked_function(hook, "on_startup"))
        return self

    def on_shutdown(self, hook: Hook) -> Self:
        """Run `hook`, plain or async, after the last connection has ended; the last added runs first."""
        self._lifetime.shutdown.append(checked_function(hook, "on_shutdown"))
        return self

    def resource_updated(self, uri: str) -> None:
        """Tell the clients that watch `uri` that it has changed."""
        for layer in self._layers:
            if (told := getattr(layer, "resource_updated", None)) is not None:
                told(uri)
        for watcher in self.catalogue.watching():
            if isinstance(watcher, Session):
                watcher.resource_updated(uri)

    @cached_property
    def completions(self) -> "Completions":
        """The completers, by what they complete."""
        from tybalt.server.completion import Completions

        return Completions(self.catalogue, self._run_in)

    def handling(self, declaration: Declaration[..., Any]) -> "Handling":
        """How this server calls a handler; compiled when it is first asked for."""
        handling = self._handlings.get(declaration)
        if handling is None:
            from tybalt.server.performing import Handling

            handling = self._handlings[declaration] = Handling(declaration, self)
        return handling

    def statistics(self) -> "ServerStatistics":
        """What runs now, and where handlers run, how long they took, and which could do without a thread.

        Only what runs in threads, or with `run_in="auto"`, is measured: on the loop it would cost what it saves. There
        the middleware `Timing` does it.
        """
        from tybalt.server.statistics import statistics_of

        return statistics_of(self)

    @contextmanager
    def overridden(self, provider: Callable[..., Any], stand_in: Callable[..., Any]) -> Generator[None]:
        """Use `stand_in` wherever a handler depends on `provider`, until the end of the block: for tests.

        What middleware has kept of answers is forgotten at both ends, so that neither gets into the other.
        """
        self._check_override(provider, stand_in)
        before = self.overrides.get(provider)
        self.overrides[provider] = stand_in
        self._forget_answers()
        try:
            yield
        finally:
            self._forget_answers()
            if before is None:
                del self.overrides[provider]
            else:
                self.overrides[provider] = before

    def _forget_answers(self) -> None:
        for layer in self._layers:
            if (clear := getattr(layer, "clear", None)) is not None:
                clear()

    def _check_override(self, provider: Callable[..., Any], stand_in: Callable[..., Any]) -> None:
        """Say at once what would be silent, or would only show in a call."""
        from tybalt.server.context import Context
        from tybalt.server.dependencies import Depends
        from tybalt.server.dependency_plan import compile_plan

        name = qualified_name(provider)
        compile_plan({"stand_in": Depends(stand_in)}, where=f"override of {name}", inject=(Context, Budget))
        kinds: tuple[Kind, ...] = ("tool", "resource", "template", "prompt")
        plans = [each.parameters.plan for kind in kinds for each in self.catalogue.declarations(kind)]
        if not any(plan is not None and provider in plan.providers for plan in plans):
            raise MisuseError(f"overridden({name}, …): nothing on this server depends on {name}")

    @cached_property
    def threads(self) -> "Threads":
        """The threads in which plain functions run; there is none until one is needed."""
        from tybalt.execution.threads import Threads

        return Threads(self._max_threads)

    @cached_property
    def seal(self) -> "Seal":
        """What seals the state that travels through clients."""
        from tybalt.server.aead import best_seal

        return best_seal(self._key, purpose="requestState", audience=self.name)

    @cached_property
    def session_seal(self) -> "Seal":
        """What seals the ids of legacy sessions over HTTP. Its key is that of `seal`."""
        from tybalt.protocol.session_ids import MAX_SESSION_ID, PURPOSE
        from tybalt.server.aead import best_seal

        return best_seal(self._key, purpose=PURPOSE, audience=self.name, max_length=MAX_SESSION_ID)

    @cached_property
    def _key(self) -> "Key | Sequence[Key]":
        """The key of all seals; without a `state_key`, one that lives as long as this."""
        import secrets

        return self._state_key or secrets.token_bytes(32)

    @cached_property
    def store(self) -> "Store":
        """What keeps the state that has a handle."""
        if self._store is not None:
            return self._store
        from tybalt.server.store import MemoryStore

        return MemoryStore()

    def state_of(self, session: Session) -> "State":
        """The state of a new request on a connection."""
        from tybalt.server.state import MAKING, ConnectionState, State

        if session.state is None and session.is_connection:
            with MAKING:
                if session.state is None:
                    session.state = ConnectionState()
        return State({}, connection=session.state, store=self.store, principal=session.principal)

    # -- running ----------------------------------------------------------------------------------------------------

    def run(
        self,
        transport: Literal["stdio", "http"] = "stdio",
        *,
        host: str | UnsetType = UNSET,
        port: int | UnsetType = UNSET,
        workers: int | UnsetType = UNSET,
        **options: "Unpack[HttpOptions]",
    ) -> None:
        """Serve over stdio until the client closes the stream, or over HTTP, until the process is told to stop. Blocks.

        `host` (127.0.0.1), `port` (8000), `workers` (1) and the options, see `HttpSettings`, are for HTTP, which needs
        `tybalt[http]`. Raises `MisuseError` inside of a running event loop, where `await server.serve(…)` and
        `server.asgi()` are for; for an option there is not or a value it cannot have; and for an address that cannot
        be bound.
        """
        if transport not in ("stdio", "http"):
            refuse_transport(transport)
        where: dict[str, Any] = {"host": host, "port": port, "workers": workers}
        where = {name: value for name, value in where.items() if value is not UNSET}
        if transport == "stdio" and (given := [*where, *options]):
            raise MisuseError(f"{', '.join(given)}: for HTTP alone; write run('http', …)")
        if asyncio._get_running_loop() is not None:
            instead = "await server.serve(await stdio_transport())"
            if transport == "http":
                instead = "await uvicorn.Server(uvicorn.Config(server.asgi(), port=8000)).serve()"
            raise MisuseError(f"run() blocks, and a loop is running here: `{instead}`")
        if transport == "http":
            from tybalt.server.http.process import run_http

            run_http(self, **where, options=options)
            return
        from tybalt.server.process import run_stdio

        run_stdio(self)

    async def serve(self, transport: "Transport", *, stop: asyncio.Event | None = None) -> None:
        """Serve one connection over any transport until its stream ends or `stop` is set; then close it.

        `stop` is heeded while the lifespan starts, too. The transport is closed whatever happens, and after the
        lifespan where this was the last connection: what a shutdown hook prints must not reach the client over stdio.
        """
        from tybalt.server.ending import unless
        from tybalt.server.serving import serve

        if not hasattr(transport, "reserve"):
            raise MisuseError(
                f"serve(transport): expected a transport, got {transport!r}. Over stdio it is `server.run()`, or in a "
                "running loop `await server.serve(await stdio_transport())`"
            )
        try:
            async with AsyncExitStack() as stack:
                starting = asyncio.ensure_future(stack.enter_async_context(self.running()))
                if await unless(stop, starting):
                    await serve(self, transport, grace=self.grace, stop=stop)
        finally:
            await transport.aclose()

    def asgi(self, **options: "Unpack[HttpOptions]") -> "AsgiApp":
        """The server as an ASGI application, to be served alone or mounted; see `HttpSettings` for the options.

        It starts itself, at the latest with the first request. A host that does not pass the lifespan on calls `drain`
        at its end. Raises `MisuseError` for an option there is not, or a value it cannot have.
        """
        from tybalt.server.http.asgi import AsgiApp
        from tybalt.server.http.settings import http_settings

        app = AsgiApp(self, http_settings(options))
        self._services.append(app.service)
        return app

    def __call__(self, *_: Any) -> NoReturn:
        """A server is no ASGI application, but makes one; said here, for who gives it to an ASGI server."""
        raise MisuseError(
            "a Server is not called: give an ASGI server `app = server.asgi()`, as in `uvicorn module:app`"
        )

    async def drain(self, grace: float | None = None) -> None:
        """End what is served over HTTP, for whoever mounts it: streams end with their result, requests get `grace`.

        `grace` is in seconds, the server's by default. Nothing is served any more after it.
        """
        await asyncio.gather(*(service.drain(grace) for service in self._services))

    def session(self, output: Output) -> Session:
        """One connection, driven by hand: feed it messages; what comes later goes to `output`.

        The lifespan must be open (`running`). After use, call its `close`.
        """
        return Session(self, output)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        """Keep the lifespan open. Uses share it, also those that begin at once; the last one out closes it.

        Raises what the lifespan or a hook raises.
        """
        try:
            async with self._lifetime.held():
                yield self
        finally:
            if "threads" in self.__dict__:
                self.threads.close()  # Those that idle end now; who still serves starts others.

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The server's name, as clients see it."""
        return self.implementation.name

    @property
    def lifespan_value(self) -> Any:
        """What the lifespan yielded; `None` without one, and while it is not open."""
        return self._lifetime.value

    @property
    def profile(self) -> Profile:
        """What the server says of itself, as the protocol core wants it; another object after a change."""
        return self.profile_of(None)

    def profile_of(self, era: Era | None, *, is_forgetful: bool = False) -> Profile:
        """The profile with the revisions of one era alone, of which the server has to serve one; `None` for both.

        Where sessions are not remembered, it has no capability that would need it.
        """
        key = (era, is_forgetful)
        if key not in self._profiles:
            ttl_ms, scope = self._hints
            self._profiles[key] = Profile(
                self.implementation,
                self.catalogue.capabilities(completions=self._completes(), is_forgetful=is_forgetful),
                instructions=self.instructions,
                revisions=[each for each in self.revisions if era in (None, era_of(each))],
                ttl_ms=ttl_ms,
                cache_scope=scope,
            )
        return self._profiles[key]

    def catalogue_changed(self, name: ListName) -> None:
        """The catalogue tells that it has changed."""
        self._renew()
        for layer in self._layers:
            if (told := getattr(layer, "catalogue_changed", None)) is not None:
                told(name)

    def __str__(self) -> str:
        """The advertised surface as one document, meant for golden tests."""
        from tybalt.server.display import render

        return render(
            name=self.implementation.name,
            version=self.implementation.version,
            instructions=self.instructions,
            tools=[each.definition for each in self.catalogue.declarations("tool")],
            resources=[each.definition for each in self.catalogue.declarations("resource")],
            templates=[each.definition for each in self.catalogue.declarations("template")],
            prompts=[each.definition for each in self.catalogue.declarations("prompt")],
        )

    def __repr__(self) -> str:
        return f"<Server {self.implementation.name!r} {self.implementation.version}>"

    def _offer(self, decorator: Callable[..., Any], function: Any, options: dict[str, Any]) -> Any:
        made = decorator(function, **options)
        if callable(function):
            return self._register(bound(made))

        def register(later: Callable[..., Any]) -> Registered[..., Any]:
            return self._register(bound(made(later)))

        return register

    def _register(self, declaration: Any) -> Registered[..., Any]:
        if self._strict and declaration.kind == "tool" and not declaration.strict:
            declaration = declaration.remade(strict=True)
        declaration = declaration.settled(self._run_in)
        warn_of_narrowing(declaration, self.request_timeout)
        self.handling(declaration)
        entry = self.catalogue.add(declaration)
        return Registered(self.catalogue, entry, declaration)

    def _completes(self) -> bool:
        """Whether any argument can be completed; without prompts and templates there is none to ask for."""
        kinds: tuple[Kind, Kind] = ("prompt", "template")
        return any(True for kind in kinds for _ in self.catalogue.declarations(kind)) and bool(self.completions)

    def _operations(self) -> "Operations | None":
        if not self._layers:
            return None
        from tybalt.server.operations import Operations

        return Operations(self, self._layers)

    def _forget(self, declaration: Declaration[..., Any]) -> None:
        self._handlings.pop(declaration, None)

    def _renew(self) -> None:
        self._profiles.clear()
