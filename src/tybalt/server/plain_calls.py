"""One decode for a whole call: envelope, params, and the arguments of the tool that is called.

The general decoder leaves `arguments` raw, for only the name says what they should be. This one knows those plain tools
that are called: params are a union tagged by `name`, so that the arguments are typed in the same pass; `_meta` stays
raw. It is for a client that calls again and again: `_meta` that is the same, byte for byte, as in a call that was read
whole and accepted needs no second look. Whatever it refuses, the general decoder reads and explains.

A tool is plain when its call needs nothing but its request: no context, no timeout. `receiving` decides when to use it.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from tybalt.errors import Era
from tybalt.protocol.codec import ABSENT, LegacyCall, ModernCall
from tybalt.server.custom_types import decode_strict

if TYPE_CHECKING:
    from tybalt.server.session import Session
    from tybalt.server.tool import Tool

Run = Callable[[Any, Any, "Session"], bytes | None]
"""What runs a plain tool: from the request, its decoded arguments and the session to the answer."""

Decode = Callable[[bytes], Any]
"""Gives a request whose `params` have `arguments`, typed, `meta`, raw, and `run`, what is to be called with them."""


def compile_plain_calls(tools: "Mapping[str, tuple[Tool[..., Any], Run]]", era: Era) -> Decode | None:
    """The decoder for calls of these tools in one era, or `None` where there is none to decode.

    It raises what a msgspec decoder raises, and what an author's validators raise.
    """
    if not tools:
        return None
    params: Any = _Nobody
    for tool, run in tools.values():
        params = params | _params(tool, run, era)  # Not `Union[…]`, which typing keeps for good.
    base = ModernCall if era == "modern" else LegacyCall
    request = msgspec.defstruct("PlainCall", [("params", params)], bases=(base,), frozen=True, kw_only=True, gc=False)
    return msgspec.json.Decoder(request, dec_hook=decode_strict).decode


class _Nobody(Struct, tag_field="name", tag=""):
    """Params that no message has. Where a union has but one member, msgspec does not ask for its tag."""

    never: UnsetType


def _params(tool: "Tool[..., Any]", run: Run, era: Era) -> type[Struct]:
    """The params of a call of `tool`: every member that the general Struct checks is checked alike."""
    arguments = tool.parameters.struct
    optional = not tool.parameters.schema.get("required")
    meta = ("meta", Raw, msgspec.field(name="_meta"))
    more: list[Any] = [
        ("inputResponses", Raw | UnsetType, UNSET),
        ("requestState", str | None, None),
    ]
    if era == "legacy":
        meta = ("meta", Raw, msgspec.field(name="_meta", default=ABSENT))
        more.append(("task", dict[str, Any] | None, None))
    return msgspec.defstruct(
        "PlainParams",
        [
            ("arguments", arguments, msgspec.field(default_factory=arguments))
            if optional
            else ("arguments", arguments),
            meta,
            *more,
        ],
        tag_field="name",
        tag=tool.name,
        frozen=True,
        kw_only=True,
        gc=False,
        namespace={"run": staticmethod(run)},
    )
