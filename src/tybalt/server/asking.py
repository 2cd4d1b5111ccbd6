"""How one call asks its client, in either era: questions go out, the handler goes on with the answers.

Legacy: every question is a request of the server's on the same connection, and the handler waits. Modern: the handler
is stopped, the call ends with all that is asked, and the client's retry runs the handler again; what was answered
before is answered from the record then, at once (2026-07-28 basic/patterns/mrtr). An answer belongs to a key, or to the
place it is asked at, and to exactly the question that was asked, never to an order.

`questions` has what may be asked, `protocol.replay` the record that travels. Who is stopped, and how, `call` knows.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from inspect import isawaitable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tybalt.errors import InvalidParams, MisuseError, TimedOut
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.input_required import MAY_ASK, refusal
from tybalt.protocol.replay import Record, opened, question_digest, read_responses, request_digest, site_key, state_for
from tybalt.protocol.sealed import NONCE
from tybalt.server.input_required import InputRequired
from tybalt.server.questions import Question, checked_questions, with_elicitation_id
from tybalt.types.elicitation import ElicitResult
from tybalt.types.input_required import ANSWERS, InputRequest, InputRequiredResult
from tybalt.types.roots import ListRootsResult
from tybalt.types.sampling import CreateMessageResult

if TYPE_CHECKING:
    from tybalt.server.call import Call

LIFETIME: Final = 900.0
"""Seconds a modern client has for its answers where the server sets no limit of its own."""
_STATE: Final = "\0state"
"""Where in the record the state of an explicit round is kept; no key of an author's begins like this."""


class Asking:
    """The questions of `call`, and what was answered to them. Raises `StateRefused` for a state that is not its own."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._server = call.session.server
        self._is_legacy = call.request.era == "legacy"
        self._record = self._opened()
        self._asked: dict[str, InputRequest] = {}
        self._once: dict[str, msgspec.Raw] = {}
        self._sites: dict[tuple[str, str], int] = {}
        self._rounds = 0
        self.responses: Mapping[str, Any] = self._sent()
        """The answers there are, by key, as results of the wire."""
        self.has_asked = bool(self.responses)
        """Whether the client was asked anything, in this round or one before."""
        self.state: Any = None
        """What the last explicit round left behind."""
        kept = self._record.once.get(_STATE)
        if kept is not None:
            self.state = msgspec.json.decode(kept)
        self.is_round_over = False

    # -- asking -----------------------------------------------------------------------------------------------------

    async def ask(
        self, questions: Mapping[str, Question[Any]], *, keyed: bool = True, site: str = ""
    ) -> dict[str, Any]:
        """The answers to questions, by key, all in one round.

        Where they are not `keyed`, an answer is found again by the `site` that asks. Raises `MissingClientCapability`
        for what the client cannot be asked, and `MisuseError` where nothing may be asked at all.
        """
        wanted = {key: question.request() for key, question in checked_questions(questions).items()}
        self._check(wanted)
        if self._is_legacy:
            results = await self._by_request(wanted)
        else:
            keys = {key: key if keyed else self._key(site, each) for key, each in wanted.items()}
            results = await self._by_replay({keys[key]: each for key, each in wanted.items()})
            results = {key: results[keys[key]] for key in wanted}
        return {key: question.read(results[key]) for key, question in questions.items()}

    async def once(self, key: str, function: Callable[[], Any]) -> Any:
        """What the function returned when it was first called for this call, as JSON gives it back."""
        kept = self._record.once.get(key) or self._once.get(key)
        if kept is None:
            made = function()
            value = await made if isawaitable(made) else made
            try:
                kept = msgspec.Raw(msgspec.json.encode(value))
            except (TypeError, ValueError, RecursionError) as error:
                raise MisuseError(f"once({key!r}, …): what it returned cannot be kept as JSON: {error}") from error
            self._once[key] = kept
        return msgspec.json.decode(kept)

    async def put(self, required: InputRequired) -> None:
        """End an explicit round. Legacy: returns when the answers are there, for the handler to be called again."""
        wanted = {key: question.request() for key, question in checked_questions(required.questions).items()}
        self._check(wanted)
        state = msgspec.Raw(msgspec.json.encode(required.state))
        self._once[_STATE] = state
        if not self._is_legacy:
            missing = {key: each for key, each in wanted.items() if self._record.answer_to(key, each) is None}
            self._end_round(missing or wanted)
            await asyncio.get_running_loop().create_future()
        self._rounds += 1
        if self._rounds > self._server.max_rounds:
            raise MisuseError(
                f"{self._call.where} has asked its client {self._server.max_rounds} times and goes on asking"
            )
        self.responses = await self._by_request(wanted)
        self.state = msgspec.json.decode(state)

    def result(self) -> InputRequiredResult:
        """What the call ends with where a round is over."""
        server = self._server
        expires = time.time() + (server.answer_timeout or LIFETIME)
        record = self._record.asking(self._asked, expires=expires, once=self._once, max_rounds=server.max_rounds)
        state = state_for(record, server.seal, nonce=secrets.token_bytes(NONCE))
        return InputRequiredResult(input_requests=self._asked, request_state=state)

    # -- modern -----------------------------------------------------------------------------------------------------

    async def _by_replay(self, wanted: Mapping[str, InputRequest]) -> dict[str, Any]:
        results = {key: self._record.answer_to(key, question) for key, question in wanted.items()}
        missing = {key: wanted[key] for key, result in results.items() if result is None}
        if missing:
            self._end_round(missing)
            await asyncio.get_running_loop().create_future()  # Until the handler is stopped.
        return results

    def _end_round(self, questions: Mapping[str, InputRequest]) -> None:
        """Ask when the loop has gone round once: whoever asks at the same time is asked in the same round."""
        self._asked.update(questions)
        if not self.is_round_over:
            self.is_round_over = True
            self._call.loop.call_soon(self._call.end_round)

    def _key(self, site: str, question: InputRequest) -> str:
        digest = question_digest(question)
        occurrence = self._sites.get((site, digest), 0)
        self._sites[site, digest] = occurrence + 1
        return site_key(site, digest, occurrence)

    def _opened(self) -> Record:
        request, session = self._call.request, self._call.session
        if self._is_legacy:
            return Record.begun(principal=session.principal, method=request.method, digest=b"")
        digest = request_digest(request.method, request.params)
        sent = request.params.request_state
        if sent is None:
            return Record.begun(principal=session.principal, method=request.method, digest=digest)
        record = opened(
            sent,
            self._server.seal,
            now=time.time(),
            principal=session.principal,
            method=request.method,
            digest=digest,
            max_rounds=self._server.max_rounds,
        )
        return record.answered(read_responses(request.params.input_responses))

    def _sent(self) -> Mapping[str, Any]:
        """The answers there are by now: an explicit round reads them by its own keys."""
        return {key: _result_of(answer.content) for key, answer in self._record.answers.items()}

    # -- legacy -----------------------------------------------------------------------------------------------------

    async def _by_request(self, wanted: Mapping[str, InputRequest]) -> dict[str, Any]:
        call, session = self._call, self._call.session
        since = call.pause()
        session.running.lane.begin_asking()
        waiting: dict[str, asyncio.Future[msgspec.Raw]] = {}
        try:
            for key, question in wanted.items():
                waiting[key] = session.ask(with_elicitation_id(question, secrets.token_urlsafe(16)))
            async with asyncio.timeout(self._server.answer_timeout or None):
                await asyncio.gather(*waiting.values())
        except TimeoutError:
            limit = self._server.answer_timeout
            raise TimedOut(f"{call.where}: the client did not answer within {limit:g} s") from None
        finally:
            for future in waiting.values():
                session.stop_asking(future)
            session.running.lane.end_asking()
            call.resume(since)
        return {key: _decoded(wanted[key], future.result()) for key, future in waiting.items()}

    # -- what may be asked --------------------------------------------------------------------------------------------

    def _check(self, wanted: Mapping[str, InputRequest]) -> None:
        call = self._call
        if call.token.is_masked:
            raise MisuseError(f"{call.where} asks its client while masked: that may take for ever; ask before or after")
        method = call.request.method
        if method not in MAY_ASK:
            raise MisuseError(f"{method} cannot ask its client anything; only {', '.join(MAY_ASK)} can")
        capabilities = call.session.connection.client_of(call.request)[1]
        refused = refusal(InputRequiredResult(input_requests=dict(wanted)), method, capabilities)
        if refused is not None:
            raise refused
        self.has_asked = True


def site_of(frame: FrameType | None) -> str:
    """Where a question is asked, the same on every host: module, function, and line within it."""
    if frame is None:
        return ""
    code = frame.f_code
    name = getattr(code, "co_qualname", code.co_name)
    return f"{frame.f_globals.get('__name__', '')}:{name}:{frame.f_lineno - code.co_firstlineno}"


def _decoded(question: InputRequest, raw: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(raw, type=ANSWERS[type(question)])
    except UNREADABLE as error:
        raise InvalidParams(f"the client's answer is no result of what it was asked: {error}") from None


def _result_of(content: msgspec.Raw) -> Any:
    """A kept answer as the result it was read as once: each has a member that no other has."""
    members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    kind = ElicitResult if "action" in members else ListRootsResult if "roots" in members else CreateMessageResult
    return msgspec.json.decode(content, type=kind)
