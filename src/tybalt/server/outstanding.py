"""What one legacy call has asked its client and waits for: requests of the server's own, on the same connection.

Meanwhile the call holds no turn, so that handlers which all wait for clients keep nobody from being served, and its
clock stands still; what its caller allows goes on, and so does the server's limit for answers. Whoever stops waiting
withdraws what it has asked. `asking` decides what is asked; the questions themselves travel through `session`.
"""

import asyncio
from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

import msgspec

from tybalt.errors import InvalidParams, MisuseError, TimedOut
from tybalt.execution.deadlines import deadlines_of
from tybalt.protocol.replay import TOO_OFTEN
from tybalt.reasons import CancelKind, CancelReason
from tybalt.types.input_required import InputRequest

if TYPE_CHECKING:
    from tybalt.execution.deadlines import Deadline
    from tybalt.server.call import Call


class Outstanding:
    """The questions of `call` that are on their way. Belongs to its loop."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._waiting: set[asyncio.Future[msgspec.Raw]] = set()
        self._askers = 0
        self._rounds = 0
        self._since = 0.0
        self._watch: Deadline | None = None
        limits = call.limits
        # Nothing has been postponed so far: the first that could be is what is asked now.
        self._allowed_until = inf
        if limits.allowed < inf:
            self._allowed_until = call.token.budget.deadline + max(0.0, limits.allowed - limits.granted)

    async def answers(self, questions: Mapping[str, InputRequest]) -> dict[str, msgspec.Raw]:
        """The results the client gives, by key; all questions are asked at once.

        Raises `TimedOut` where they do not all come within the server's `answer_timeout`, `InvalidParams` where the
        call has asked too often, `Overloaded` where too many of the connection wait, and the client's errors.
        """
        if self._call.task is None:  # It was begun this moment, and its turn is not taken yet.
            await asyncio.sleep(0)
        session = self._call.session
        waiting: dict[str, asyncio.Future[msgspec.Raw]] = {}
        self._begin()
        try:
            for key, question in questions.items():
                waiting[key] = self._sent(question)
            await self._all(waiting)
        finally:
            for future in waiting.values():
                self._waiting.discard(future)
                session.stop_asking(future)
            self._end()
        return {key: future.result() for key, future in waiting.items()}

    def close(self) -> None:
        """The handler is over: withdraw what somebody it has left behind still waits for."""
        for future in tuple(self._waiting):
            self._call.session.stop_asking(future)

    def _sent(self, question: InputRequest) -> "asyncio.Future[msgspec.Raw]":
        try:
            future = self._call.session.ask(question, self._call.replies)
        except ValueError as error:
            raise MisuseError(f"{self._call.where} asks what this client has no words for: {error}") from None
        self._waiting.add(future)
        return future

    async def _all(self, waiting: Mapping[str, "asyncio.Future[msgspec.Raw]"]) -> None:
        limit = self._call.session.server.answer_timeout
        try:
            async with asyncio.timeout(limit or None):
                await asyncio.gather(*waiting.values())
        except TimeoutError:
            raise TimedOut(f"{self._call.title}: the client did not answer within {limit:g} s") from None

    # -- the turn and the clock of the call: given back by the first who asks, taken again by the last ----------------

    def _begin(self) -> None:
        call = self._call
        if self._askers == 0:
            self._count()
            call.session.running.lane.begin_asking()
            call.turn_is_back = True
            self._since = call.pause()
            if self._allowed_until < inf:
                self._watch = deadlines_of(call.loop).add(self._allowed_until, self._time_up)
        self._askers += 1

    def _end(self) -> None:
        self._askers -= 1
        if self._askers:
            return
        call = self._call
        if call.turn_is_back:  # Else the call was over before, and has counted it.
            call.turn_is_back = False
            call.session.running.lane.end_asking()
        if self._watch is not None:
            self._watch.cancel()
        call.resume(self._since)

    def _count(self) -> None:
        limit = self._call.session.server.max_rounds
        if self._rounds >= limit:
            raise InvalidParams(TOO_OFTEN.format(limit))
        self._rounds += 1

    def _time_up(self) -> None:
        """What its caller allows is over, whether or not the client has been asked all the while."""
        call, limits = self._call, self._call.limits
        reason = limits.exceeded(call.title, call.time(), call.declaration)
        if limits.granted < limits.allowed:  # The server's own limit would have been over, but for the questions.
            text = f"{call.title} did not finish within the {limits.allowed:g} s that its caller allows"
            reason = CancelReason(CancelKind.TIMEOUT, text, at=call.time())
        call.token.cancel(reason)
        call.session.running.expect_cleanup(call, reason.kind)
