"""Which arguments of which tools a client sends as header fields too, learnt from the lists it was shown.

"Clients using the Streamable HTTP transport MUST reject tool definitions where any `x-mcp-header` value violates these
constraints … MUST exclude the invalid tool from the result of `tools/list`" (2026-07-28
basic/transports/streamable-http, "Schema Extension"). What an annotation may be is told in `mirrored_parameters`.
"""

import logging
from collections.abc import Iterable
from typing import Final

from tybalt.errors import cut, printable
from tybalt.protocol.mirrored import ParameterHeaders
from tybalt.protocol.mirrored_parameters import Mirrored, mirrored_parameters
from tybalt.types.tools import Tool

logger = logging.getLogger("tybalt.client")

MAX_TOOLS: Final = 10_000
"""Tools whose mirrored parameters are remembered."""


class Mirroring:
    """The mirrored parameters of one server's tools, by name."""

    def __init__(self) -> None:
        self._tools: dict[str, ParameterHeaders | list[Mirrored]] = {}

    def learn(self, tools: Iterable[Tool]) -> list[Tool]:
        """Those of the tools of a list, or of one page of it, that may be used; what was known of each is forgotten.

        A tool whose annotations break a rule is left out, with a warning that says which and why. Beyond `MAX_TOOLS`,
        those go first that were learnt first.
        """
        return [tool for tool in tools if self._learnt(tool)]

    def of(self, name: str | None) -> ParameterHeaders | None:
        """The fields of calls to this tool, where there are any and its list was seen."""
        found = self._tools.get(name) if name is not None else None
        if isinstance(found, list):  # Compiled when it is called first: most tools of a long list never are.
            found = self._tools[name or ""] = ParameterHeaders(found)
        return found

    def _learnt(self, tool: Tool) -> bool:
        self._tools.pop(tool.name, None)
        try:
            found = mirrored_parameters(tool.input_schema)
        except ValueError as error:
            shown = printable(cut(tool.name))
            logger.warning("the tool %s is left out, for its schema is wrong: %s", shown, printable(str(error)))
            return False
        if found:
            self._tools[tool.name] = found
            if len(self._tools) > MAX_TOOLS:
                del self._tools[next(iter(self._tools))]
        return True
