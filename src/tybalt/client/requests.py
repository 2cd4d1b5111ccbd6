"""The requests of a client that wait for their answers: sent, matched, timed, given up.

It sends whatever it is given, over a link that may have no room, and knows no method but the two that are not
cancelled. What comes in and answers nobody is handed on. `client` and `operations` sit above.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from tybalt.client.answering import with_remedy
from tybalt.client.deadlines import Deadlines
from tybalt.client.link import Link
from tybalt.client.options import check_callback
from tybalt.errors import ConnectionLost, MisuseError, RequestLost, RequestTimeout, UnexpectedResult
from tybalt.execution.durations import Duration, seconds
from tybalt.protocol.client import Answered, Asked, ClientConnection, Failed, Notified, Questioned, RequestId, Several
from tybalt.types.logging import LoggingLevel
from tybalt.types.meta import LOG_LEVEL
from tybalt.types.progress import ProgressNotificationParams

OnProgress = Callable[[float, float | None, str | None], object]

MAX_UNSENT: Final = 1_000
"""What may wait for a server that does not read before answers and notifications are dropped: it would ask for ever."""

_OPENINGS: Final = ("server/discover", "initialize")
"""What is not cancelled: the one may have met a legacy server that knows nothing yet, the other must not be
(2025-11-25 basic/utilities/cancellation)."""
_NOT_YET: Final = Notified | Several | Asked | Questioned
"""What a direct call may return before the answer: a subscription is acknowledged first."""


class Requests:
    """The requests of one connection, each waiting for its answer, its deadline, a cancel or the end.

    `timeout` is in seconds, `None` for no limit. `handle` gets what came instead of an answer.
    """

    def __init__(
        self,
        connection: ClientConnection,
        link: Link,
        handle: Callable[[Any], None],
        *,
        timeout: float | None,
        log_level: LoggingLevel | None,
    ) -> None:
        self._connection = connection
        self._link = link
        self._handle = handle
        self.timeout = timeout
        self._log_level = log_level
        self._waiting: dict[RequestId, asyncio.Future[msgspec.Raw]] = {}
        self._progress: dict[RequestId, OnProgress] = {}
        self.deadlines = Deadlines()
        self.sending: set[asyncio.Task[None]] = set()
        """What waits for room in the link."""
        self.lost: BaseException | None = None
        """Why nothing can be asked any more."""
        self.reopens = False
        """Whether a connection that has ended is opened again."""
        self._is_barred = False
        self._resumed: asyncio.Event | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing of what did is remembered."""
        return not (
            self._waiting or self._progress or self._connection.waiting or self.deadlines.pending or self.sending
        )

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        on_progress: OnProgress | None = None,
        timeout: Duration | None = None,
        opening: bool = False,
    ) -> msgspec.Raw:
        """Send a request and return its result, undecoded. Raises as `Client.request` says.

        What is `opening` the connection goes ahead of all that wait for it.
        """
        left = limit = self.timeout if timeout is None else seconds(timeout)
        if self._is_barred:
            left = await self.let_in(method, limit, opening=opening)
        if on_progress is not None or self._log_level is not None:
            params = self._with_meta(params, on_progress)
        try:
            identifier, message = self._connection.request(method, params)
        except (TypeError, ValueError) as error:
            raise unsendable(method, error) from error
        if on_progress is not None:
            self._progress[identifier] = on_progress
        sending = None
        try:
            answer = self._link.send(message)
        except BlockingIOError:
            answer, sending = None, self._send_later(message)
        except BaseException as error:
            self._forget(identifier)
            self._raise_told(error)
            raise
        if answer is not None:
            event = self._connection.receive(answer)
            if type(event) is Answered:
                if on_progress is not None:
                    del self._progress[identifier]
                return event.result
            self._heard_instead(event, identifier)
        future = self._awaited(identifier, sending, left)
        try:  # Here, and not in a coroutine of its own: this is the hot path.
            return await future
        except TimeoutError:
            raise self._timed_out(identifier, method, sending, limit) from None
        except asyncio.CancelledError:
            self._give_up(identifier, method, sending, "cancelled")
            raise
        finally:
            self.deadlines.discard(identifier)
            self._forget(identifier)

    def send(self, message: bytes) -> None:
        """Send what nobody waits for; it is dropped where `MAX_UNSENT` others wait for room."""
        try:
            self._link.send(message)
        except BlockingIOError:
            if len(self.sending) < MAX_UNSENT:
                self._send_later(message)
        except (ConnectionLost, MisuseError):
            pass

    def answered(self, event: Answered) -> None:
        """Give an answer to whoever waits for it."""
        future = self._waiting.get(event.id)
        if future is not None and not future.done():
            future.set_result(event.result)

    def fail(self, request_id: RequestId, error: BaseException) -> None:
        """Raise in whoever waits for an answer."""
        _fail(self._waiting.get(request_id), error)

    def fail_all(self, error: BaseException) -> None:
        """Raise in all who wait."""
        for future in self._waiting.values():
            _fail(future, error)

    def progressed(self, news: ProgressNotificationParams) -> bool:
        """Tell a request's own listener; False where it has none."""
        on_progress = self._progress.get(news.progress_token)
        if on_progress is None:
            return False
        on_progress(news.progress, news.total, news.message)
        return True

    def lose(self, reason: BaseException) -> None:
        """The connection has ended: whoever waits, and whoever comes, gets `ConnectionLost`."""
        if self.lost is None:
            self.lost = reason
        self._is_barred = True
        self.fail_all(ConnectionLost(str(self.lost)))
        if self._resumed is not None:
            self._resumed.set()

    def suspend(self, reason: BaseException) -> None:
        """The connection has ended and is opened again: whoever waits gets `RequestLost`, whoever comes waits."""
        self._is_barred = True
        self._resumed = self._resumed or asyncio.Event()
        self.fail_all(RequestLost(str(reason)))

    def resume(self) -> None:
        """The connection is there again."""
        if self.lost is not None:
            return
        self._is_barred = False
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None

    async def let_in(self, method: str, limit: float | None, *, opening: bool = False) -> float | None:
        """Wait until the connection is there, which takes requests that are `opening` it; what is left of `limit` then.

        Raises `ConnectionLost` where it is lost for good, and `RequestTimeout`.
        """
        clock = asyncio.get_running_loop().time
        begun = clock()
        try:
            async with asyncio.timeout(limit):
                while self._resumed is not None and self.lost is None and not opening:
                    await self._resumed.wait()
        except TimeoutError:
            text = f"{method} waited {limit:g} s for a connection that is being opened again"
            raise RequestTimeout(text) from None
        if self.lost is not None:
            raise ConnectionLost(str(self.lost)) from self.lost
        return None if limit is None else max(0.0, limit - (clock() - begun))

    def cancel_all(self, reason: str) -> None:
        """Tell the server that nobody waits any more."""
        for identifier in tuple(self._connection.waiting):
            self.send(self._connection.cancel(identifier, reason))

    async def sent(self, timeout: float | None = None) -> None:
        """Wait until nothing waits for room any more, or for `timeout` seconds."""
        if self.sending:
            await asyncio.wait(self.sending, timeout=timeout)

    def _heard_instead(self, event: Any, identifier: int) -> None:
        """What a direct call has returned where it has not answered yet. Raises where it never will."""
        if not isinstance(event, _NOT_YET):
            self._forget(identifier)
            raise _no_answer(event, self._connection)
        self._handle(event)

    def _awaited(
        self, identifier: int, sending: "asyncio.Task[None] | None", limit: float | None
    ) -> "asyncio.Future[msgspec.Raw]":
        """The answer to come of a request that is sent, or is being sent."""
        future: asyncio.Future[msgspec.Raw] = (
            asyncio.Future()
        )  # As in `transports.memory`: a cheaper `create_future()`.
        self._waiting[identifier] = future
        if sending is not None:
            sending.add_done_callback(partial(self._pass_on, future))
        if limit is not None:
            self.deadlines.add(identifier, future, limit)
        return future

    def _timed_out(
        self, identifier: int, method: str, sending: "asyncio.Task[None] | None", limit: float | None
    ) -> RequestTimeout:
        told = self._give_up(identifier, method, sending, "timeout")
        text = f"{method} was not answered within {limit:g} s"
        if self._link.origin is not None:  # A program may have several clients.
            text += f" by {self._link.origin}"
        return RequestTimeout(text + ("; the server was told to stop" if told else ""))

    def _give_up(self, identifier: int, method: str, sending: "asyncio.Task[None] | None", reason: str) -> bool:
        """Stop waiting, and tell the server, unless it has not seen the request or must not be told; True if it was."""
        cancel = self._connection.cancel(identifier, reason)
        if sending is not None and not sending.done():
            sending.cancel()
            return False
        if method in _OPENINGS:
            return False
        self.send(cancel)
        return True

    def _pass_on(self, future: "asyncio.Future[Any]", sending: "asyncio.Task[None]") -> None:
        """A request that could not be sent will not be answered."""
        if not sending.cancelled() and (error := sending.exception()) is not None:
            _fail(future, self._told(error))

    def _raise_told(self, error: BaseException) -> None:
        if (told := self._told(error)) is not error:
            raise told from error.__cause__

    def _told(self, error: BaseException) -> BaseException:
        """What is raised of an error in sending. The link may know that it has ended before we are told to suspend."""
        return RequestLost(str(error)) if self.reopens and type(error) is ConnectionLost else error

    def _forget(self, identifier: int) -> None:
        self._connection.waiting.discard(identifier)
        self._waiting.pop(identifier, None)
        self._progress.pop(identifier, None)

    def _send_later(self, message: bytes) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(self._link.send_later(message))
        self.sending.add(task)
        task.add_done_callback(self._was_sent)
        return task

    def _was_sent(self, task: "asyncio.Task[None]") -> None:
        self.sending.discard(task)
        if not task.cancelled():
            task.exception()  # Looked at, so that asyncio does not report it: whoever waits for an answer is told.

    def _with_meta(self, params: Mapping[str, Any] | None, on_progress: OnProgress | None) -> dict[str, Any]:
        check_callback("on_progress", on_progress)
        body = dict(params or {})
        meta = dict(body.get("_meta") or {})
        if on_progress is not None:
            meta["progressToken"] = self._connection.next_id
        if self._log_level is not None and self._connection.is_modern:
            meta[LOG_LEVEL] = self._log_level
        return {**body, "_meta": meta} if meta else body


def unsendable(method: str, error: Exception) -> MisuseError:
    """What is raised for params that have no JSON."""
    text = f"{method}: the params cannot be sent, for they have no JSON form: {error}"
    return MisuseError(f"{text}. Options such as `timeout` and `on_progress` belong to `call_tool`")


def _no_answer(event: Any, connection: ClientConnection) -> Exception:
    """What a request raises whose answer, by a direct call, is not the one hoped for."""
    if isinstance(event, Failed):
        return with_remedy(event.error, connection)
    return UnexpectedResult(f"the server's answer is no answer: {getattr(event, 'reason', event)}")


def _fail(future: "asyncio.Future[Any] | None", error: BaseException) -> None:
    if future is not None and not future.done():
        future.set_exception(error)
