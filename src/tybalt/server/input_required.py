"""`InputRequired`: the explicit way to ask. A handler returns its questions, and is called again with the answers.

    if not context.input_responses:
        return InputRequired({"who": Elicit("Your name?", str)})

This is what the protocol itself does in 2026-07-28; older clients are asked with requests and the handler is then
called again here. It loads nothing, so that looking whether a result is one costs nothing.
"""

from collections.abc import Mapping
from typing import Any


class InputRequired:
    """The end of a round: `questions` by key, and a `state` of JSON values that the next round gets back.

    The next round reads `Context.input_responses`, which has the answers by the same keys, and `Context.round_state`.
    The state travels through the client: sealed, so that it cannot be changed, but readable without the crypto extra.
    """

    __slots__ = ("questions", "state")

    def __init__(self, questions: Mapping[str, Any], *, state: Any = None) -> None:
        self.questions = dict(questions)
        self.state = state
