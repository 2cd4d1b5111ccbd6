"""The rounds of one modern request: the server asks, the client answers and asks again, until there is a result.

Each retry is a request of its own, with a new id, the same params, the answers, and the state the server gave,
untouched and unread. 2026-07-28 basic/patterns/mrtr, "Client Requirements".
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from tybalt.client.questions import Questions
from tybalt.errors import UnexpectedResult, cut
from tybalt.protocol.client import MAX_QUESTIONS, ClientConnection
from tybalt.protocol.questions import Question, refusal
from tybalt.types.adaptation import adapt
from tybalt.types.input_required import InputRequiredResult
from tybalt.types.roots import ListRootsRequestParams

T = TypeVar("T")

FIRST_PAUSE: Final = 0.1
"""Seconds before the second retry in a row for which the server asked nothing; each further pause is twice as long."""
LONGEST_PAUSE: Final = 1.0

Send = Callable[[Mapping[str, Any]], Awaitable["T | InputRequiredResult"]]
"""Sends the request with these params and returns its decoded result."""


class Rounds:
    """Answers what a modern server asks, and retries, at most `limit` times for one request."""

    def __init__(self, connection: ClientConnection, questions: Questions, *, limit: int) -> None:
        self._connection = connection
        self._questions = questions
        self._limit = limit

    async def finish(
        self, result: InputRequiredResult, send: "Send[T]", *, method: str, params: Mapping[str, Any]
    ) -> T:
        """The result of the request of `method` and `params`, to which `result` was the first answer.

        Raises `UnexpectedResult` for a question that the client has not declared, for more than 100 at once, and for a
        server that never ends; also what the functions that answer raise.
        """
        params = {key: value for key, value in params.items() if key not in ("inputResponses", "requestState")}
        pause = 0.0
        for _ in range(self._limit):
            asked = self._asked(result, method)
            if asked:
                pause = 0.0
            elif pause:
                await asyncio.sleep(pause)
            pause = 0.0 if asked else min(2 * pause or FIRST_PAUSE, LONGEST_PAUSE)
            further = await send({**params, **await self._given(asked, result.request_state)})
            if not isinstance(further, InputRequiredResult):
                return further
            result = further
        raise UnexpectedResult(f"{method}: the server still asks after {self._limit} rounds; see `max_rounds`")

    async def _given(self, asked: Mapping[str, Question], state: str | None) -> dict[str, Any]:
        """The members of the retry: "If [there is no] `requestState` field, the client MUST NOT include one"."""
        given: dict[str, Any] = {}
        if asked:
            given["inputResponses"] = responses(await self._questions.answer_all(asked), self._connection.revision)
        if state is not None:
            given["requestState"] = state
        return given

    def _asked(self, result: InputRequiredResult, method: str) -> dict[str, Question]:
        requests = result.input_requests or {}
        if len(requests) > MAX_QUESTIONS:
            text = f"the server asks {len(requests):,} questions at once, more than the {MAX_QUESTIONS} allowed"
            raise UnexpectedResult(f"{method}: {text}")
        asked = {key: each.params or ListRootsRequestParams() for key, each in requests.items()}
        for key, question in asked.items():
            if (refused := refusal(question, self._connection.declared)) is not None:
                kind = requests[key].__struct_config__.tag
                raise UnexpectedResult(f"{method}: the server asks {kind} under {cut(key)!r}, but {refused}")
        return asked


def responses(answers: Mapping[str, Any], revision: str) -> dict[str, Any]:
    """Answers by key as they are sent. Raises `TypeError` or `ValueError` for what has no JSON."""
    return {
        key: answer if isinstance(answer, msgspec.Raw) else adapt(answer, revision) for key, answer in answers.items()
    }
