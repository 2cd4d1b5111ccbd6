"""A tool: a function, what is advertised of it, and the plain call its signature is compiled to.

`Tool` is the declaration; it can stand alone (`@tool`) and be added to any number of servers. `compile_tool` turns it,
for one revision, into a function from a request to its answer: one decoder, the call, one writer. Who waits for what
does not finish at once is `session`'s business.
"""

from collections.abc import Callable
from contextvars import copy_context
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, ParamSpec, TypeVar, Unpack

from msgspec import UNSET, Raw, ValidationError
from msgspec.structs import astuple

from tybalt.errors import InvalidArguments, InvalidParams, RegistrationError
from tybalt.execution.budgets import Budget
from tybalt.protocol.answers import Answers, encode
from tybalt.protocol.codec import UNREADABLE, parse_error
from tybalt.server.catalogue import Call
from tybalt.server.context import Context
from tybalt.server.declaration import Declaration
from tybalt.server.options import ToolOptions
from tybalt.server.parameters import READ_ONCE, compile_parameters
from tybalt.server.plain_calls import Run
from tybalt.server.results import compile_result
from tybalt.server.running import guarded
from tybalt.server.session import Session
from tybalt.server.writer import Writer, compile_writer, join
from tybalt.types.tools import CallToolRequest
from tybalt.types.tools import Tool as ToolDefinition

if TYPE_CHECKING:
    from tybalt.protocol.mirrored import ParameterHeaders
    from tybalt.server.performing import Perform

P = ParamSpec("P")
R = TypeVar("R")

MAX_NAME = 128


class Tool(Declaration[P, R], Generic[P, R]):
    """A function declared as a tool. Calling it calls the function.

    `definition` is what `tools/list` shows, in the newest shape; `parameters` and `shape` are the compiled signature.
    Raises `RegistrationError` when the function cannot be compiled, naming function, parameter and remedy.
    """

    kind = "tool"
    noun = "tool"
    option_names = frozenset(ToolOptions.__annotations__)

    def __init__(self, function: Callable[P, R], /, **options: Unpack[ToolOptions]) -> None:
        super().__init__(function, options)
        _check_name(self.name, self.where)
        self.strict = options.get("strict", False)
        self.parameters = compile_parameters(function, where=self.where, inject=(Context, Budget), strict=self.strict)
        self.shape = compile_result(function, where=self.where, output_schema=options.get("output_schema", UNSET))
        if self.streams and self.is_async:
            self.shape.forgotten = "Did you forget to end with `yield Returned(value)`?"
        shown = options.get("input_schema") or self.parameters.schema
        self.header_parameters = _header_parameters(shown, self.where)
        """What of its arguments HTTP clients say in headers too; `None` where that is nothing."""
        self.definition = ToolDefinition(
            name=self.name,
            title=options.get("title"),
            description=self.description,
            input_schema=shown,
            output_schema=self.shape.schema,
            annotations=self.options.get("annotations"),
            icons=self.icons,
            meta=self.advertised_meta,
        )

    @property
    def is_inline(self) -> bool:
        """Whether a call is plain, and its arguments can be given by position."""
        return self.is_plain and self.parameters.positional

    def compile(self, answers: Answers) -> "CompiledTool":
        """The tool as plain functions, for the revision of `answers`."""
        return compile_tool(self, answers)

    def read_lax(self, raw: bytes | Raw, refusal: BaseException) -> Any:
        """Arguments that the strict decoder refused, as the model may have meant them: "5" for 5, JSON in a string.

        What is longer than `READ_ONCE` is meant as it was sent: `refusal`, what that decoder has said, is told. Raises
        `InvalidArguments`, which tells the model all that is wrong, `InvalidParams` for what is no object, and whatever
        an author's validator raises.
        """
        is_much = len(raw) > READ_ONCE and isinstance(refusal, ValidationError)
        try:
            if not (self.strict or is_much):
                return self.parameters.decode_lax(raw)
        except UNREADABLE:
            pass
        if bytes(raw).lstrip()[:1] != b"{":
            raise InvalidParams("Invalid params: `arguments` must be an object - at `$.params.arguments`")
        told = self.parameters.explain_unread(refusal) if is_much else self.parameters.explain(raw, strict=self.strict)
        raise InvalidArguments(self.name, told)


def _header_parameters(schema: Any, where: str) -> "ParameterHeaders | None":
    """Refuses what a client would have to leave out of its list (2026-07-28 server/tools, "x-mcp-header")."""
    if b'"x-mcp-header"' not in encode(schema):
        return None
    from tybalt.protocol.mirrored import ParameterHeaders
    from tybalt.protocol.mirrored_parameters import mirrored_parameters

    try:
        return ParameterHeaders(mirrored_parameters(schema))
    except ValueError as error:
        raise RegistrationError(f"{where}: {error}") from None


class CompiledTool(NamedTuple):
    """A tool for one revision: `call` runs it for a request, `run`, where the tool is plain, for decoded arguments."""

    call: Call
    run: Run | None


def compile_tool(tool: Tool[..., Any], answers: Answers) -> CompiledTool:
    """The tool as plain functions, for the revision of `answers`.

    A tool pays only for what it uses: a plain function without a context never meets a task or a responder.
    """
    writer = compile_writer(tool.shape, answers)
    run = None
    if tool.is_inline:
        # Only of an `async def` itself is it known that calling it runs nothing yet.
        run = (_async_run if iscoroutinefunction(tool.function) else _inline_run)(tool, writer)
    return CompiledTool(_call(tool, writer, run), run)


def _inline_run(tool: Tool[..., Any], writer: Writer) -> Run:
    """The hot path: call in a context of its own, join.

    The writer's scalar road is written out, which saves a call (40 of 900 ns). So are the calls of one and of two
    arguments: behind another argument, a star costs more than the rest of the call (100 ns). What is written is inside
    the `try`: a value that cannot be written is the tool's failure.
    """
    function, count = tool.function, len(tool.parameters.names)
    head, opening, middle, close = writer.pieces
    expected, write = writer.expected, writer.write

    def run(request: Any, arguments: Any, session: Session) -> bytes | None:
        try:
            if count == 2:
                one, two = astuple(arguments)
                value = copy_context().run(function, one, two)
            elif count == 1:
                (one,) = astuple(arguments)
                value = copy_context().run(function, one)
            else:
                value = copy_context().run(function, *astuple(arguments))
            if type(value) is expected:
                text = encode(value)
                return join((head, encode(request.id), opening, text, middle, text, close))
            if hasattr(value, "__await__"):
                return session.running.run_bare(request, value, write, tool)
            return write(request.id, value)
        except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
            return session.running.failed(request, error, tool.where)

    return run


def _async_run(tool: Tool[..., Any], writer: Writer) -> Run:
    """An async tool: where Python starts tasks eagerly, one that never waits is answered here and now."""
    function = tool.function
    head, opening, middle, close = writer.pieces
    expected, write = writer.expected, writer.write

    def run(request: Any, arguments: Any, session: Session) -> bytes | None:
        running = session.running
        try:
            awaitable = function(*astuple(arguments))
            if running.lane.full:
                return running.run_bare(request, awaitable, write, tool)
            task = running.start(guarded(awaitable))
            if not task.done():
                return running.keep(task, awaitable, request, tool, write)
            value = task.result()
            if type(value) is expected:
                text = encode(value)
                return join((head, encode(request.id), opening, text, middle, text, close))
            return write(request.id, value)
        except BaseException as error:  # noqa: BLE001 (a handler may raise anything)
            return running.failed(request, error, tool.where)

    return run


def _call(tool: Tool[..., Any], writer: Writer, run: Run | None) -> Call:
    """From a request whose arguments are raw: decode them, then run; the session runs what is not plain."""
    read, write = tool.parameters.read, writer.write
    perform: Perform | None = None  # A catalogue is of one server: it is looked up once.

    def call(request: CallToolRequest, session: Session) -> bytes | None:
        nonlocal perform
        try:
            arguments = read(request.params.arguments)
        except BaseException as error:  # noqa: BLE001 (a validator may raise anything)
            arguments = read_again(tool, request, session, error)
            if type(arguments) is bytes:
                return arguments
        if run is not None:
            meta: Any = request.params.meta
            if meta is None or meta.budget is None:
                return run(request, arguments, session)
        if perform is None:
            perform = session.server.handling(tool).perform
        return session.running.run(request, tool, write, perform, arguments)

    return call


def read_again(tool: Tool[..., Any], request: CallToolRequest, session: Session, error: BaseException) -> Any:
    """A second, lax look at arguments the strict decoder refused; the error answer as bytes when that fails too."""
    if isinstance(error, UNREADABLE) and not isinstance(error, ValidationError):
        return session.running.failed(request, parse_error(error), tool.where)
    if not isinstance(error, ValidationError):
        return session.running.failed(request, error, tool.where)
    try:
        return tool.read_lax(request.params.arguments, error)
    except BaseException as failure:  # noqa: BLE001 (a validator may raise anything)
        return session.running.failed(request, failure, tool.where)


def _check_name(name: str, where: str) -> None:
    """Tool names keep to the specification's alphabet (2026-07-28 server/tools, "Tool Names")."""
    allowed = name.isascii() and all(letter.isalnum() or letter in "_-." for letter in name)
    if not (allowed and 1 <= len(name) <= MAX_NAME):
        raise RegistrationError(
            f"{where}: {name!r} cannot be a tool name. Use 1 to {MAX_NAME} of A-Z, a-z, 0-9, '_', '-' and '.'"
        )
