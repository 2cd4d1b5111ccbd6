"""The public test kit: `Pair`, golden conversations, `check_transport`; for your tests, and ours."""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.testing.conversation import check_conversation as check_conversation
    from tybalt.testing.conversation import converse as converse
    from tybalt.testing.pair import Pair as Pair
    from tybalt.testing.transports import check_transport as check_transport

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.testing.conversation": "check_conversation converse",
        "tybalt.testing.pair": "Pair",
        "tybalt.testing.transports": "check_transport",
    },
)
