"""The public test kit: `Pair`, golden conversations, `replay`, transports, virtual time; for your tests, and ours."""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.testing.conversation import check_conversation as check_conversation
    from tybalt.testing.conversation import converse as converse
    from tybalt.testing.pair import Pair as Pair
    from tybalt.testing.replaying import Counted as Counted
    from tybalt.testing.replaying import Replayed as Replayed
    from tybalt.testing.replaying import replay as replay
    from tybalt.testing.transports import check_transport as check_transport
    from tybalt.testing.virtual_loop import Deadlock as Deadlock
    from tybalt.testing.virtual_loop import Limit as Limit
    from tybalt.testing.virtual_loop import Runaway as Runaway
    from tybalt.testing.virtual_loop import VirtualLoop as VirtualLoop
    from tybalt.testing.virtual_loop import VirtualLoopError as VirtualLoopError
    from tybalt.testing.virtual_run import LeftBehind as LeftBehind
    from tybalt.testing.virtual_run import run_virtual as run_virtual
    from tybalt.testing.virtual_threads import VirtualThreads as VirtualThreads

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.testing.conversation": "check_conversation converse",
        "tybalt.testing.pair": "Pair",
        "tybalt.testing.replaying": "Counted Replayed replay",
        "tybalt.testing.transports": "check_transport",
        "tybalt.testing.virtual_loop": "Deadlock Limit Runaway VirtualLoop VirtualLoopError",
        "tybalt.testing.virtual_run": "LeftBehind run_virtual",
        "tybalt.testing.virtual_threads": "VirtualThreads",
    },
)
