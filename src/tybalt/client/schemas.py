"""Whether what a tool returned is what its output schema promises, where the client was told to look.

"Clients SHOULD validate structured results against this schema" (2026-07-28 server/tools, "Output Schema"). Schemas are
learnt from the lists that the client is shown, compiled when their tool is first called, and never fetched. They come
from the server and may be hostile: `schema_bounds` says which are compiled. What cannot be checked is not, with one
warning for each tool; no call fails for it. This is the one module that knows `jsonschema_rs`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from tybalt.client.results import path_text
from tybalt.client.schema_bounds import Cost, Schema, cost_of
from tybalt.errors import MisuseError, TybaltError, UnexpectedResult, cut, printable
from tybalt.types.tools import CallToolResult, Tool

if TYPE_CHECKING:
    from jsonschema_rs import Validator

logger = logging.getLogger("tybalt.client")

MAX_TOOLS: Final = 10_000
"""Tools whose schemas are remembered; beyond that those go first that were learnt first."""
MAX_COMPILED: Final = 500
"""Tools whose schemas are kept compiled."""
MAX_WORK: Final = 500_000
"""What one value may cost: an evaluation of a schema is 1, and takes 20 to 200 ns."""
PATTERN_WORK: Final = 4
"""What it costs to match a pattern, for each byte of the value: 400 ns at worst."""
MAX_PROGRAM: Final = 64 * 1024
"""Bytes of a compiled pattern."""

_TOLD: Final = 300
_UNCHECKABLE: Final = (ValueError, TypeError, OverflowError, RecursionError)


class _Compiled(NamedTuple):
    validator: "Validator"
    cost: Cost


class OutputSchemas:
    """The output schemas of one server's tools, by name.

    Raises `MisuseError` where `jsonschema_rs` is missing.
    """

    def __init__(self) -> None:
        if find_spec("jsonschema_rs") is None:
            raise MisuseError("check_output: it needs a validator; pip install 'tybalt[schema]'")
        self._schemas: dict[str, Schema | None] = {}
        self._compiled: dict[str, _Compiled | None] = {}
        self._warned: set[str] = set()
        self._listing = asyncio.Lock()

    def learn(self, tools: Iterable[Tool]) -> None:
        """Remember the schemas of a list, or of one page of it, in the place of what was known of each tool."""
        for tool in tools:
            self._remember(tool.name, tool.output_schema)

    def forget(self) -> None:
        """Know nothing any more: the tools have changed."""
        self._schemas.clear()
        self._compiled.clear()

    async def check(self, name: str, result: CallToolResult, list_tools: Callable[[], Awaitable[None]]) -> None:
        """Raises `UnexpectedResult`, which says where, for a result that is not what the schema of the tool promises.

        A tool that is in no list seen yet is looked for with `list_tools` first. What the tool declares a failure need
        not fit.
        """
        if result.is_error:
            return
        was_known = name in self._schemas
        if not was_known:
            await self._find(name, list_tools)
        try:
            self._vet(name, result)
        except UnexpectedResult:
            # A modern server tells of a change only those who listen.
            if not was_known or not await self._has_changed(name, list_tools):
                raise
            self._vet(name, result)

    def _vet(self, name: str, result: CallToolResult) -> None:
        schema = self._schemas.get(name)
        if schema is None:
            return
        if result.structured_content is msgspec.UNSET:
            text = "it has an output schema, and its result has no structured content"
            raise UnexpectedResult(f"the tool {_shown(name)}: {text}")
        compiled = self._compiled[name] if name in self._compiled else self._compile(name, schema)
        if compiled is not None:
            self._check(name, compiled, result.structured_content)

    async def _find(self, name: str, list_tools: Callable[[], Awaitable[None]]) -> None:
        async with self._listing:
            if name in self._schemas:
                return
            try:
                await list_tools()
            except TybaltError as error:
                self._warn(name, f"the tools could not be listed: {error}")
            if name not in self._schemas:  # Else it would be looked for with each call.
                self._remember(name, None)

    async def _has_changed(self, name: str, list_tools: Callable[[], Awaitable[None]]) -> bool:
        """Whether the tool promises something else now than what was known of it."""
        known = self._schemas.get(name)
        async with self._listing:
            try:
                await list_tools()
            except TybaltError:
                return False
        return self._schemas.get(name) != known

    def _remember(self, name: str, schema: Schema | None) -> None:
        known = self._schemas.pop(name, None)
        self._schemas[name] = schema
        if schema != known:
            self._compiled.pop(name, None)
        if len(self._schemas) > MAX_TOOLS:
            oldest = next(iter(self._schemas))
            del self._schemas[oldest]
            self._compiled.pop(oldest, None)

    def _compile(self, name: str, schema: Schema) -> _Compiled | None:
        compiled: _Compiled | None = None
        try:
            cost = cost_of(schema)
            compiled = _Compiled(_validator(schema), cost)
        except _UNCHECKABLE as error:
            self._warn(name, f"its output schema cannot be used: {error}")
        if len(self._compiled) >= MAX_COMPILED:
            del self._compiled[next(iter(self._compiled))]
        self._compiled[name] = compiled
        return compiled

    def _check(self, name: str, compiled: _Compiled, value: Any) -> None:
        try:
            if (work := _work(compiled.cost, value)) > MAX_WORK:
                self._warn(name, f"a result would take {work:,} steps to check, more than the {MAX_WORK:,} allowed")
                return
            if compiled.validator.is_valid(value):
                return
            reason = _reason(compiled.validator, value)
        except _UNCHECKABLE as error:
            self._warn(name, f"a result cannot be checked: {error}")
            return
        raise UnexpectedResult(f"the result of the tool {_shown(name)} breaks its output schema: {reason}")

    def _warn(self, name: str, reason: str) -> None:
        if name not in self._warned and len(self._warned) < MAX_TOOLS:
            self._warned.add(name)
            told = printable(cut(reason.partition("\n")[0], _TOLD))
            logger.warning("what the tool %s returns is not checked: %s", _shown(name), told)


def _validator(schema: Schema) -> "Validator":
    """Compiled, without anything fetched, and with patterns that take linear time: others are refused."""
    import jsonschema_rs

    patterns = jsonschema_rs.RegexOptions(size_limit=MAX_PROGRAM)
    return jsonschema_rs.validator_for(
        schema, offline=True, validate_formats=False, mask="the value", pattern_options=patterns
    )


def _work(cost: Cost, value: Any) -> int:
    """What it costs at worst to check a value, counted in its JSON: of values, no more than commas and brackets."""
    text = msgspec.json.encode(value)
    values = text.count(b",") + text.count(b"[") + text.count(b"{") + 1
    return values * cost.evaluations + len(text) * cost.patterns * PATTERN_WORK


def _reason(validator: "Validator", value: Any) -> str:
    import jsonschema_rs

    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as error:
        came = cut(msgspec.json.encode(error.instance).decode())
        text = f"{cut(path_text(error.instance_path))}: {cut(error.message, _TOLD)}; got {came}"
        return printable(text)
    return "$"


def _shown(name: str) -> str:
    return repr(printable(cut(name)))
