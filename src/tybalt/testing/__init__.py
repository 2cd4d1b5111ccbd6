"""The public test kit: `Pair`, golden conversations, `check_transport`; for your tests, and ours."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tybalt.testing.conversation import check_conversation as check_conversation
    from tybalt.testing.conversation import converse as converse
    from tybalt.testing.pair import Pair as Pair
    from tybalt.testing.transports import check_transport as check_transport

_MODULE_OF = {
    "Pair": "tybalt.testing.pair",
    "check_conversation": "tybalt.testing.conversation",
    "check_transport": "tybalt.testing.transports",
    "converse": "tybalt.testing.conversation",
}

__all__ = ["Pair", "check_conversation", "check_transport", "converse"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'tybalt.testing' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value
