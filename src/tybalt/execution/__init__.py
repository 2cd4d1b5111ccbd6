"""Running things so that they can be stopped, bounded and combined: usable with no server at all.

Outcomes and reasons live below (`tybalt.outcomes`, `tybalt.reasons`), because the protocol core speaks of them too.
"""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.execution.budgets import NOTHING as NOTHING
    from tybalt.execution.budgets import UNLIMITED as UNLIMITED
    from tybalt.execution.budgets import Budget as Budget
    from tybalt.execution.budgets import Remaining as Remaining
    from tybalt.execution.budgets import within as within
    from tybalt.execution.combinators import first_ok as first_ok
    from tybalt.execution.combinators import join_all as join_all
    from tybalt.execution.combinators import join_outcomes as join_outcomes
    from tybalt.execution.combinators import quorum as quorum
    from tybalt.execution.combinators import race as race
    from tybalt.execution.deadlines import Deadline as Deadline
    from tybalt.execution.deadlines import Deadlines as Deadlines
    from tybalt.execution.deadlines import deadlines_of as deadlines_of
    from tybalt.execution.durations import Duration as Duration
    from tybalt.execution.durations import seconds as seconds
    from tybalt.execution.placement import HandlerStatistics as HandlerStatistics
    from tybalt.execution.placement import Placement as Placement
    from tybalt.execution.placement import RunIn as RunIn
    from tybalt.execution.threads import Threads as Threads
    from tybalt.execution.threads import ThreadStatistics as ThreadStatistics
    from tybalt.execution.threads import current_threads as current_threads
    from tybalt.execution.threads import lent as lent
    from tybalt.execution.tokens import CancelToken as CancelToken
    from tybalt.execution.tokens import checkpoint as checkpoint
    from tybalt.execution.tokens import current_token as current_token
    from tybalt.execution.tokens import governed as governed
    from tybalt.execution.tokens import masked as masked
    from tybalt.outcomes import Cancelled as Cancelled
    from tybalt.outcomes import Err as Err
    from tybalt.outcomes import Ok as Ok
    from tybalt.outcomes import Outcome as Outcome
    from tybalt.outcomes import Panicked as Panicked
    from tybalt.reasons import CancelKind as CancelKind
    from tybalt.reasons import CancelReason as CancelReason
    from tybalt.reasons import Interrupted as Interrupted

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.execution.budgets": "NOTHING UNLIMITED Budget Remaining within",
        "tybalt.execution.combinators": "first_ok join_all join_outcomes quorum race",
        "tybalt.execution.deadlines": "Deadline Deadlines deadlines_of",
        "tybalt.execution.durations": "Duration seconds",
        "tybalt.execution.placement": "HandlerStatistics Placement RunIn",
        "tybalt.execution.threads": "ThreadStatistics Threads current_threads lent",
        "tybalt.execution.tokens": "CancelToken checkpoint current_token governed masked",
        "tybalt.outcomes": "Cancelled Err Ok Outcome Panicked",
        "tybalt.reasons": "CancelKind CancelReason Interrupted",
    },
)
