"""How one call asks its client, in either era: questions go out, the handler goes on with the answers.

Legacy: every question is a request of the server's on the same connection, and the handler waits (`outstanding`).
Modern: the handler is stopped, the call ends with all that is asked, and the client's retry runs the handler again;
what was answered before is answered from the record then, at once (2026-07-28 basic/patterns/mrtr). An answer belongs
to a key, or to the place it is asked at, and to exactly the question that was asked, never to an order.

`questions` has what may be asked, `protocol.replay` the record that travels. Who is stopped, and how, `call` knows.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from inspect import isawaitable
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from tybalt.errors import InternalError, InvalidParams, MisuseError
from tybalt.execution.tokens import current_token
from tybalt.protocol.codec import UNREADABLE
from tybalt.protocol.input_required import MAY_ASK, refusal
from tybalt.protocol.replay import (
    Record,
    is_same_place,
    opened,
    question_digest,
    read_responses,
    request_digest,
    site_key,
    state_for,
)
from tybalt.protocol.sealed import NONCE
from tybalt.server.asker import Asker, current_asker
from tybalt.server.encoding import Unencodable, plain_and_text
from tybalt.server.input_required import InputRequired
from tybalt.server.outstanding import Outstanding
from tybalt.server.questions import Question, checked_questions, worded_for
from tybalt.types.elicitation import ElicitResult
from tybalt.types.input_required import ANSWERS, InputRequest, InputRequiredResult
from tybalt.types.roots import ListRootsResult
from tybalt.types.sampling import CreateMessageResult

if TYPE_CHECKING:
    from tybalt.server.call import Call

logger = logging.getLogger("tybalt.server")

LIFETIME: Final = 900.0
"""Seconds a modern client has for its answers where the server sets no limit of its own."""
CANNOT_ASK: Final = (
    "the server has to ask its client something for this, and cannot do so here. It can ask a client of 2026-07-28; an "
    "older one has to accept streams of events, and needs a server of one process that keeps sessions. Whoever runs "
    "the server finds in its log which of them is missing"
)
"""What a client is told in place of `Replies.cannot_ask`, which is for the log: how a server is run is its own."""
_ROUND: Final = "\0round"
"""Where in the record the state of an explicit round is kept, and its keys; no key of an author's begins like this."""


class Asking:
    """The questions of `call`, and what was answered to them. Raises `StateRefused` for a state that is not its own."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._server = call.session.server
        self._outstanding = Outstanding(call) if call.request.era == "legacy" else None
        self._unused: set[str] = set()
        """What was answered last and is not asked for, so far, in this run."""
        self._unasked: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
        """What came without a state: answers, by the keys of a round that this call has not been through."""
        self._record = self._opened()
        self._waiting: dict[asyncio.Future[None], Mapping[str, InputRequest]] = {}
        """What is asked in this round, by what whoever asks waits for."""
        self._answered: dict[str, Any] = {}
        """What a legacy client has answered in explicit rounds."""
        self._once: dict[str, msgspec.Raw] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._uses: dict[str, dict[object, int]] = {}
        """How often a key, a place or a handler was met in this run, by the prefix of the handler that has met it."""
        self._is_closed = False
        if self._record.answers:
            call.note_asked()
        self.is_round_over = False
        """Whether the handler was stopped, because its client is to be asked first."""

    # -- asking -----------------------------------------------------------------------------------------------------

    async def ask(
        self, questions: Mapping[str, Question[Any]], *, keyed: bool = True, site: str = ""
    ) -> dict[str, Any]:
        """The answers to questions, by key, all in one round.

        Where they are not `keyed`, an answer is found again by the `site` that asks. Raises `MissingClientCapability`
        for what the client cannot be asked, `InvalidParams` for an answer that does not fit its question, and
        `MisuseError` where nothing may be asked at all.
        """
        wanted = {key: question.request() for key, question in checked_questions(questions).items()}
        self._check(wanted)
        if self._outstanding is not None:
            results = await self._by_request(wanted, self._outstanding)
        else:
            keys = {key: self._named(key) if keyed else self._placed(site, each) for key, each in wanted.items()}
            found = await self._by_replay({keys[key]: each for key, each in wanted.items()})
            results = {key: found[keys[key]] for key in wanted}
        return {key: question.read(results[key]) for key, question in questions.items()}

    async def once(self, key: str, function: Callable[[], Any]) -> Any:
        """What the function returned when it was first called for this call, as JSON gives it back."""
        key = self._prefix() + key
        async with self._locks.setdefault(key, asyncio.Lock()):
            kept = self._kept(key)
            if kept is None:
                made = function()
                value = await made if isawaitable(made) else made
                kept = self._once[key] = _as_json(value, f"once({key!r}, …): what it returned")
        return msgspec.json.decode(kept)

    async def put(self, required: InputRequired) -> None:
        """End an explicit round. Legacy: returns when the answers are there, for the handler to be called again."""
        questions = {key: question.request() for key, question in checked_questions(required.questions).items()}
        self._check(questions)
        prefix = self._prefix()
        wanted = {prefix + key: each for key, each in questions.items()}
        keys = list(dict.fromkeys([*self._explicit()[1], *questions]))
        self._unused.difference_update(prefix + key for key in keys)
        self._once[prefix + _ROUND] = _as_json([required.state, keys], "InputRequired(…): its state")
        if self._outstanding is not None:
            self._answered |= await self._by_request(wanted, self._outstanding)
            return
        missing = {key: each for key, each in wanted.items() if self._record.answer_to(key, each) is None}
        if not self._is_answered(missing):
            await self._until_stopped(missing or wanted)

    @property
    def responses(self) -> Mapping[str, Any]:
        """The answers to what was asked in explicit rounds, by key, as results of the wire."""
        prefix, (_, keys) = self._prefix(), self._explicit()
        answers = {key: self._answer(prefix + key) for key in keys}
        return {key: each for key, each in answers.items() if each is not None}

    @property
    def state(self) -> Any:
        """What the last explicit round left behind."""
        return self._explicit()[0]

    def result(self) -> InputRequiredResult:
        """What the call ends with where a round is over."""
        server = self._server
        asked = {key: each for questions in self._waiting.values() for key, each in questions.items()}
        self._warn(asked)
        state = state_for(self._asking(asked), server.seal, nonce=secrets.token_bytes(NONCE))
        return InputRequiredResult(input_requests=asked, request_state=state)

    def begin(self) -> None:
        """The handler is run, perhaps not for the first time: a layer may try again what has failed."""
        self._is_closed = False
        self._uses.clear()

    def again(self) -> None:
        """The handler that runs is called again, after an explicit round; what others have asked stays as it is."""
        prefix = self._prefix()
        if prefix:
            self._uses.pop(prefix, None)
        else:
            self.begin()

    def close(self) -> None:
        """The handler is over; whoever it has left behind asks nothing any more."""
        self._is_closed = True
        for waiter in self._waiting:
            waiter.cancel()
        if self._outstanding is not None:
            self._outstanding.close()

    # -- modern -----------------------------------------------------------------------------------------------------

    async def _by_replay(self, wanted: Mapping[str, InputRequest]) -> dict[str, Any]:
        results = {key: self._record.answer_to(key, question) for key, question in wanted.items()}
        missing = {key: wanted[key] for key, result in results.items() if result is None}
        self._unused.difference_update(results.keys() - missing.keys())
        if missing:
            await self._until_stopped(missing)
        return results

    async def _until_stopped(self, questions: Mapping[str, InputRequest]) -> NoReturn:
        """Ask when the loop has gone round once: whoever asks at the same time is asked in the same round.

        Who stops waiting before that has asked nothing.
        """
        loop = self._call.loop
        waiter: asyncio.Future[None] = loop.create_future()
        if self.is_round_over:
            loop.call_soon(waiter.cancel)  # Whoever asks while it cleans up is stopped like the rest.
        else:
            self._waiting[waiter] = questions
            loop.call_soon(self._end_round)
        try:
            await waiter
        finally:
            if not self.is_round_over:
                self._waiting.pop(waiter, None)
        raise AssertionError("whoever waits for the end of a round is stopped")

    def _end_round(self) -> None:
        if self.is_round_over or self._is_closed:
            return
        self._waiting = {waiter: asked for waiter, asked in self._waiting.items() if not waiter.done()}
        if not self._waiting or self._is_put_off():
            return
        self.is_round_over = True
        self._call.end_round()
        for waiter in self._waiting:
            waiter.cancel()

    def _is_put_off(self) -> bool:
        """Whether something of the request is masked: the round ends when that is over."""
        return self._call.when_unmasked(self._end_round_later)

    def _end_round_later(self) -> None:
        self._call.loop.call_soon_threadsafe(self._end_round)

    def _is_answered(self, questions: Mapping[str, InputRequest]) -> bool:
        """Whether the client has sent answers to questions that it knows, without a state: a round is saved.

        It is as if it had called without them first, and all that holds for that holds here: they are for exactly what
        is asked, of its kind, and what else there is does not count (2026-07-28 basic/patterns/mrtr, "Error Handling").
        """
        given, self._unasked = read_responses(self._unasked), msgspec.UNSET
        if not given.keys() & questions.keys():
            return False
        self._record = self._asking(questions).answered(given)
        return True

    def _asking(self, questions: Mapping[str, InputRequest]) -> Record:
        """The record of a round that ends with these questions."""
        return self._record.asking(
            questions,
            expires=time.time() + (self._server.answer_timeout or LIFETIME),
            once=self._once,
            max_rounds=self._server.max_rounds,
            has_changed=bool(self._unused),
        )

    def _opened(self) -> Record:
        request, session = self._call.request, self._call.session
        if self._outstanding is not None or request.method not in MAY_ASK:
            return Record.begun(principal=session.principal, method=request.method, digest=b"")
        digest = request_digest(request.method, request.params)
        sent = request.params.request_state
        if sent is None:
            self._unasked = request.params.input_responses
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
        answered = record.answered(read_responses(request.params.input_responses))
        self._unused = record.asked.keys() - answered.asked.keys()
        return answered

    def _warn(self, asked: Mapping[str, InputRequest]) -> None:
        """Tell the author what no client can help: a question that is another one each time, and too many of them.

        An answer that nobody has asked for yet is no such thing: who wants it may only be slower this time.
        """
        where, limit = self._call.where, self._server.max_rounds
        is_last = self._record.round >= limit
        if self._unused and (is_last or any(is_same_place(old, new) for old in self._unused for new in asked)):
            logger.warning(
                "%s: its client has answered %d of its questions, which it does not ask any more; it asks another one "
                "instead. An answer is used for exactly the question it was given to: keep what changes, such as a "
                "time or a random number, with `once`",
                where,
                len(self._unused),
            )
        elif is_last:
            text = "%s: asks its client for more than %d rounds; see Server(max_rounds=…), or ask together with `ask`"
            logger.warning(text, where, limit)

    # -- legacy -----------------------------------------------------------------------------------------------------

    async def _by_request(self, wanted: Mapping[str, InputRequest], outstanding: Outstanding) -> dict[str, Any]:
        revision = self._call.session.connection.revision_of(self._call.request)
        answers = await outstanding.answers(
            {key: worded_for(each, revision, secrets.token_urlsafe(16)) for key, each in wanted.items()}
        )
        return {key: _decoded(wanted[key], answer) for key, answer in answers.items()}

    # -- what an answer is found again by -----------------------------------------------------------------------------

    def _prefix(self) -> str:
        """What stands before the keys of a handler that another one has called."""
        asker = current_asker()
        return "" if asker is None else self._prefix_of(asker)

    def _prefix_of(self, asker: Asker) -> str:
        if asker.prefix is None:
            outer = "" if asker.outer is None else self._prefix_of(asker.outer)
            declaration = asker.declaration
            name = "" if declaration is None else f"{declaration.kind}:{declaration.key}"
            given = _text_of(asker.arguments)
            asker.prefix = f"{site_key(outer + name, given, self._used(outer, (name, given)))}."
            self._uses.pop(asker.prefix, None)  # Met before, it was by a run that has begun anew.
        return asker.prefix

    def _named(self, name: str) -> str:
        """The key of a question with a name; the second one of that name, in one run, is another question."""
        prefix = self._prefix()
        uses = self._used(prefix, name)
        return f"{prefix}{name}#{uses + 1}" if uses else prefix + name

    def _placed(self, site: str, question: InputRequest) -> str:
        """The key of a question without a name."""
        prefix, digest = self._prefix(), question_digest(question)
        return site_key(prefix + site, digest, self._used(prefix, (site, digest)))

    def _used(self, prefix: str, what: object) -> int:
        met = self._uses.setdefault(prefix, {})
        uses = met.get(what, 0)
        met[what] = uses + 1
        return uses

    # -- what is kept -----------------------------------------------------------------------------------------------

    def _kept(self, key: str) -> msgspec.Raw | None:
        return self._once.get(key) or self._record.once.get(key)

    def _explicit(self) -> tuple[Any, list[str]]:
        """The state that the last explicit round of this handler left, and the keys of all of them."""
        kept = self._kept(self._prefix() + _ROUND)
        if kept is None:
            return None, []
        state, keys = msgspec.json.decode(kept)
        return state, keys

    def _answer(self, key: str) -> Any:
        if self._outstanding is not None:
            return self._answered.get(key)
        kept = self._record.answers.get(key)
        self._unused.discard(key)
        return None if kept is None or key in self._record.asked else _result_of(kept.content)

    # -- what may be asked --------------------------------------------------------------------------------------------

    def _check(self, wanted: Mapping[str, InputRequest]) -> None:
        call, token = self._call, current_token()
        method = call.request.method
        if method not in MAY_ASK:
            raise MisuseError(f"{method} cannot ask its client anything; only {', '.join(MAY_ASK)} can")
        if call.runner is None:
            raise MisuseError(f"{call.where}: a layer of middleware cannot ask the client; handlers and providers can")
        if self._is_closed or not call.is_open:
            raise MisuseError(f"{call.where} is over; its client cannot be asked any more")
        if call.token.is_masked or (token is not None and token.is_masked):
            raise MisuseError(f"{call.where} asks its client while masked: that may take for ever; ask before or after")
        if self._outstanding is not None and call.replies.cannot_ask is not None:
            # First: what a client can do is not even known where sessions are off, and would not help anywhere.
            logger.error("%s cannot ask its client: %s", call.where, call.replies.cannot_ask)
            raise InternalError(CANNOT_ASK)
        capabilities = call.session.connection.client_of(call.request)[1]
        refused = refusal(InputRequiredResult(input_requests=dict(wanted)), method, capabilities)
        call.note_asked()  # A refusal too is for this client alone.
        if refused is not None:
            raise refused


def site_of(frame: FrameType) -> str:
    """Where a question is asked, the same on every host: module, function, and line within it."""
    code = frame.f_code
    return f"{frame.f_globals.get('__name__', '')}:{code.co_qualname}:{frame.f_lineno - code.co_firstlineno}"


def _as_json(value: Any, what: str) -> msgspec.Raw:
    try:
        return msgspec.Raw(plain_and_text(value)[1].encode())
    except Unencodable as error:
        raise MisuseError(f"{what} cannot be kept as JSON: {error}") from error


def _text_of(arguments: Any) -> str:
    """Arguments as a text that tells them from others; none where they have no JSON form, for then order must do."""
    try:
        return plain_and_text(arguments)[1]
    except Unencodable:
        return ""


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
