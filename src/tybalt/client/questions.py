"""The questions that are being answered: each in a task of its own, none of which outlives the client.

A legacy server's question comes at any time, while the request it belongs to waits, and is answered on the wire; those
of a modern result are answered to whoever retries the request. What the answer is, `answering` knows.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

from tybalt.client.answering import Answering, name_of
from tybalt.client.deadlines import Deadlines
from tybalt.errors import ConnectionLost, InternalError, McpError, row_of
from tybalt.protocol.client import ClientConnection, Questioned, RequestId
from tybalt.protocol.questions import Question
from tybalt.types.base import Wire

T = TypeVar("T")

logger = logging.getLogger("tybalt.client")


class Questions:
    """The tasks in which questions are answered. `send` sends an answer to the server that asked for it (legacy)."""

    def __init__(
        self, connection: ClientConnection, answering: Answering, deadlines: Deadlines, send: Callable[[bytes], None]
    ) -> None:
        self._connection = connection
        self._answering = answering
        self._deadlines = deadlines
        self._send = send
        self._running: dict[asyncio.Task[Any], RequestId | None] = {}
        self._ended = False
        self._withdrawals = 0
        """How often all were withdrawn."""

    def ask(self, asked: Questioned) -> None:
        """Answer a question of a legacy server, on the wire, unless it is withdrawn."""
        if not self._ended:
            self._start(self._reply(asked), asked.id)

    def withdraw(self, request_id: RequestId) -> None:
        """Stop answering a question; nothing is sent for it."""
        for task, identifier in tuple(self._running.items()):
            if identifier == request_id:
                task.cancel()

    def withdraw_all(self) -> None:
        """Stop answering them all; others may come."""
        self._withdrawals += 1
        for task in tuple(self._running):
            task.cancel()

    async def answer_all(self, questions: Mapping[str, Question]) -> dict[str, Wire]:
        """The answers to the questions of a modern result, under the same keys; all are asked at once.

        The first failure stops the others and is raised. Raises `ConnectionLost` where the connection ends first.
        """
        lost = ConnectionLost("the connection ended while a question of the server was answered")
        if self._ended:
            raise lost
        task, withdrawals = self._start(self._together(questions), None), self._withdrawals
        try:
            return await task
        except asyncio.CancelledError:
            if self._withdrawals > withdrawals and not _is_cancelled():
                raise lost from None
            raise

    def cancel(self) -> None:
        """Stop answering them all, and answer no more: the connection ends."""
        self._ended = True
        self.withdraw_all()

    async def aclose(self) -> None:
        """Stop answering them all, and wait until nothing runs any more."""
        self.cancel()
        # A function that closes its own client cannot wait for itself.
        if others := set(self._running) - {asyncio.current_task()}:
            await asyncio.wait(others)

    def _start(self, answering: Coroutine[Any, Any, T], request_id: RequestId | None) -> "asyncio.Task[T]":
        task = asyncio.get_running_loop().create_task(answering)
        self._running[task] = request_id
        task.add_done_callback(self._running.pop)
        return task

    async def _reply(self, asked: Questioned) -> None:
        connection = self._connection
        try:
            # Some request of ours waits for this answer; which, a legacy server does not say.
            with self._deadlines.held():
                answer = connection.answer(asked.id, await self._answering.answer(asked.question))
        except McpError as error:
            if row_of(error).masked:
                logger.exception("a question of the server could not be answered")
            answer = connection.answer(asked.id, error)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit) or _is_cancelled():
                raise
            logger.exception("a question of the server could not be answered")
            text = f"the client's `{name_of(asked.question)}` failed; the client's log says how"
            answer = connection.answer(asked.id, InternalError(text))
        if answer is not None:
            self._send(answer)

    async def _together(self, questions: Mapping[str, Question]) -> dict[str, Wire]:
        from tybalt.execution.combinators import join_all  # Most clients are never asked.

        answers = await join_all(*map(self._answering.answer, questions.values()))
        return dict(zip(questions, answers, strict=True))


def _is_cancelled() -> bool:
    """Whether somebody else has cancelled the task that runs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
