"""The record that travels in `requestState`: what a call has asked its client so far, and what it was answered.

A modern call that needs an answer ends with its questions. The client's retry runs the handler again from the start,
and a question that was answered is answered from the record, without asking. An answer belongs to a key and to a digest
of its question, never to a place in an order: where the question has changed, the old answer is not used and the new
question is asked. The record also says for whom and for which call it was made, and until when it holds.

Everything here is a value or a pure function; `sealed.py` below it keeps a client from changing a record. It is not
single use: a client may present a state again until it expires (2026-07-28 basic/patterns/mrtr, server requirement 5).
"""

from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, Literal, cast, overload

import msgspec
from msgspec import Raw, Struct

from tybalt.errors import InvalidParams, McpError, MisuseError, cut
from tybalt.protocol.codec import UNREADABLE, method_of
from tybalt.protocol.exact_json import canonical, valued
from tybalt.protocol.sealed import Seal, StateRefused
from tybalt.types.elicitation import ElicitRequest, ElicitResult
from tybalt.types.input_required import ANSWERS, InputRequest, InputResponse, InputResponses
from tybalt.types.roots import ListRootsRequest, ListRootsResult
from tybalt.types.sampling import CreateMessageRequest, CreateMessageResult

MAX_ROUNDS: Final = 10
"""How often one call may end with questions."""
LIFETIME: Final = 900.0
"""How long a client has to answer, in seconds."""

Kind = Literal["elicitation/create", "sampling/createMessage", "roots/list"]
_DECODERS: Final = {method_of(question): msgspec.json.Decoder(answer) for question, answer in ANSWERS.items()}
_NOT_THE_REQUEST: Final = ("_meta", "inputResponses", "requestState")
"""Members of a request's params that its retry has others of."""
_NOT_THE_QUESTION: Final = ("_meta", "task", "elicitationId")
"""Members of a question's params that name one asking of it."""

_OF_SITE: Final = "q-"
_KEY: Final = 16
"""Characters of a key that are a digest, 6 bits each; the first `_PLACE` say where it is asked, the others what."""
_PLACE: Final = 5

_AGAIN: Final = "Call again without requestState and inputResponses"
_FOREIGN: Final = f"This requestState is not one for this request. {_AGAIN}"
_EXPIRED: Final = f"This requestState has expired. {_AGAIN}"
TOO_OFTEN: Final = (
    "This call has asked its client {} times, which is the most it may (`max_rounds`), and still lacks answers; "
    "what is asked together, with `ask`, counts once"
)
"""For the number of rounds: why a call that has asked ever new questions may ask no more."""
_NEVER_THE_SAME: Final = (
    "This call has asked its client {} times, which is the most it may, and still lacks answers: "
    "one is used for exactly the question it was given to, so that a question must not change from round to round"
)


class Asked(Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """A question that waits for its answer: what kind it is, and its digest."""

    kind: Kind
    digest: str


class Answer(Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """An answer, as JSON, and the digest of the question it was given to."""

    digest: str
    content: Raw


class Record(Struct, array_like=True, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What one call knows about itself when it is run again. `begun` makes the first, `asking` the one to send.

    `principal` and `digest` are digests, so that neither can be read where a seal hides nothing; `expires` counts unix
    seconds; `round` is how often the call has ended with questions. `once` holds by key, as JSON, what a handler wants
    kept.
    """

    format: Literal[1] = 1
    principal: str
    method: str
    digest: bytes
    expires: float = 0.0
    round: int = 0
    asked: dict[str, Asked] = {}
    answers: dict[str, Answer] = {}
    once: dict[str, Raw] = {}

    @classmethod
    def begun(cls, *, principal: str | None, method: str, digest: bytes) -> "Record":
        """The record of a call that has asked nothing yet. `digest` is its `request_digest`."""
        return cls(principal=_identity(principal), method=method, digest=digest)

    @classmethod
    def decode(cls, payload: bytes) -> "Record":
        """A record out of what `encode` made. Raises `StateRefused` for anything else, a later format too."""
        try:
            return _decode_record(payload)
        except UNREADABLE:
            raise StateRefused(_FOREIGN) from None

    def encode(self) -> bytes:
        """The record as compact JSON."""
        return msgspec.json.encode(self)

    def answered(self, input_responses: Mapping[str, Raw]) -> "Record":
        """The record with the client's answers to what was asked last.

        Keys that were not asked are ignored, and what was asked and not answered stays in `asked`. Raises
        `InvalidParams` for an answer that is no result of its kind of question, with the path to what is wrong.
        """
        found = {
            key: Answer(asked.digest, _checked(key, asked.kind, input_responses[key]))
            for key, asked in self.asked.items()
            if key in input_responses
        }
        waiting = {key: asked for key, asked in self.asked.items() if key not in found}
        return msgspec.structs.replace(self, asked=waiting, answers={**self.answers, **found})

    @overload
    def answer_to(self, key: str, question: ElicitRequest) -> ElicitResult | None: ...
    @overload
    def answer_to(self, key: str, question: CreateMessageRequest) -> CreateMessageResult | None: ...
    @overload
    def answer_to(self, key: str, question: ListRootsRequest) -> ListRootsResult | None: ...
    def answer_to(self, key: str, question: InputRequest) -> InputResponse | None:
        """The answer to exactly this question under this key, or `None` where it is still to be asked."""
        answer = self.answers.get(key)
        if answer is None or answer.digest != question_digest(question):
            return None
        return _DECODERS[_kind_of(question)].decode(answer.content)

    def asking(
        self,
        questions: Mapping[str, InputRequest],
        *,
        expires: float,
        once: Mapping[str, Raw] | None = None,
        max_rounds: int = MAX_ROUNDS,
        has_changed: bool = False,
    ) -> "Record":
        """The record to send along with these questions: one round later, with what `once` adds to be kept.

        After this call, the record is to be sealed with `state_for`. Raises `StateRefused` where the call has asked
        `max_rounds` times before; the text says why, `has_changed` that an answer came back to a question that is not
        asked any more.
        """
        if self.round >= max_rounds:
            text = _NEVER_THE_SAME if has_changed else TOO_OFTEN
            raise StateRefused(f"{text.format(self.round)}. {_AGAIN}")
        return msgspec.structs.replace(
            self,
            expires=expires,
            round=self.round + 1,
            asked={key: Asked(_kind_of(each), question_digest(each)) for key, each in questions.items()},
            once={**self.once, **(once or {})},
        )


def state_for(record: Record, seal: Seal, *, nonce: bytes) -> str:
    """The record as a `requestState`.

    A record that does not fit raises an error that names the largest thing in it: `InvalidParams` where that is an
    answer of the client, `MisuseError` where the handler put it there.
    """
    payload = record.encode()
    if len(payload) > seal.capacity:
        raise _too_large(record, len(payload), seal.capacity)
    return seal.seal(payload, nonce=nonce)


def opened(
    text: str,
    seal: Seal,
    *,
    now: float,
    principal: str | None,
    method: str,
    digest: bytes,
    max_rounds: int = MAX_ROUNDS,
) -> Record:
    """The record inside of a `requestState`, for this caller and this request. `now` counts unix seconds.

    Raises `StateRefused`: with one text for a state that was altered, is another caller's or belongs to another
    request; with a text of its own where it has expired, or was made in a round that is no longer allowed.
    """
    try:
        record = Record.decode(seal.open(text))
    except StateRefused:
        raise StateRefused(_FOREIGN) from None
    if (record.principal, record.method, record.digest) != (_identity(principal), method, digest):
        raise StateRefused(_FOREIGN)
    if now >= record.expires:
        raise StateRefused(_EXPIRED)
    if record.round > max_rounds:
        raise StateRefused(f"{TOO_OFTEN.format(record.round)}. {_AGAIN}")
    return record


def read_responses(sent: Raw | msgspec.UnsetType) -> InputResponses:
    """The `inputResponses` of a request, each still raw; none where there are none.

    Raises `InvalidParams` for what is no object.
    """
    if isinstance(sent, msgspec.UnsetType):
        return {}
    try:
        return _decode_responses(sent)
    except UNREADABLE as error:
        raise _invalid(error, "") from None


def request_digest(method: str, params: Struct | Mapping[str, Any] | Raw | None) -> bytes:
    """SHA-256 of what a request asks for: the same for its retry, another for any other request.

    `params` are those on the wire, or the Struct they were decoded as. `_meta`, `inputResponses` and `requestState` are
    left out, and so are members that are null. The order of keys and white space do not matter; numbers are compared by
    their exact value, to the last digit, for a client may write them differently when it asks again (`10.50`, `10.5`).
    Raises `InvalidParams` for params that cannot be read to the end.
    """
    try:
        members = msgspec.convert(valued(msgspec.json.encode(params or {})), dict[str, Any])
    except UNREADABLE as error:
        raise InvalidParams(f"Invalid params: {error} - at `$.params`") from None
    asked = {key: each for key, each in members.items() if each is not None and key not in _NOT_THE_REQUEST}
    return sha256(canonical([method, asked])).digest()


def question_digest(question: InputRequest) -> str:
    """A digest of what is asked: kind, mode, message, schema, and all else the client is shown or told.

    A URL counts too: consent to one is no consent to another. One that is minted for this call is to be kept with
    `once`, or its question will never be the same again.
    """
    members = msgspec.json.decode(msgspec.json.encode(question), type=dict[str, Any])
    params: dict[str, Any] = members.get("params") or {}
    if isinstance(question, ElicitRequest):
        params.setdefault("mode", "form")
    shown = {key: each for key, each in params.items() if key not in _NOT_THE_QUESTION}
    return _short(canonical([members["method"], shown]))


def site_key(site: str, digest: str, occurrence: int) -> str:
    """A key for a question that its author gave none: short, the same on every run, and telling nothing of the source.

    `site` is where it is asked, such as `module:function:line`; not a path, which is another on another host. `digest`
    is its `question_digest`. `occurrence` counts the times that this site has asked exactly this in one run, from 0.
    """
    place, question = _short(canonical(site)), _short(canonical([site, digest, occurrence]))
    return f"{_OF_SITE}{place[:_PLACE]}{question[: _KEY - _PLACE]}"


def is_same_place(one: str, other: str) -> bool:
    """Whether two keys are the same, or were made for the same site."""
    if one == other or not (one.startswith(_OF_SITE) and len(one) == len(other) == len(_OF_SITE) + _KEY):
        return one == other
    length = len(_OF_SITE) + _PLACE
    return one[:length] == other[:length]


_decode_record: Final = msgspec.json.Decoder(Record).decode
_decode_responses: Final = msgspec.json.Decoder(InputResponses).decode


def _checked(key: str, kind: Kind, sent: Raw) -> Raw:
    """An answer without the members nobody knows."""
    try:
        return Raw(msgspec.json.encode(_DECODERS[kind].decode(sent)))
    except UNREADABLE as error:
        raise _invalid(error, f".{cut(key)}") from None


def _invalid(error: Exception, place: str) -> InvalidParams:
    """msgspec's text with the path as the client knows it; it names none where the outermost value is wrong."""
    text, _, path = str(error).partition(" - at `$")
    return InvalidParams(f"Invalid params: {cut(text)} - at `$.params.inputResponses{place}{path.rstrip('`')}`")


def _too_large(record: Record, size: int, capacity: int) -> McpError | MisuseError:
    sizes = [(len(bytes(each.content)), True, key) for key, each in record.answers.items()]
    sizes += [(len(bytes(each)), False, key) for key, each in record.once.items()]
    largest, answer, key = max(sizes, default=(0, False, ""))
    text = f"a requestState holds at most {capacity:,} bytes, and this call has gathered {size:,}"
    if answer:
        return InvalidParams(f"{text}; the answer to {cut(key)!r} takes {largest:,} of them. Answer more briefly")
    if key:
        text += f"; what is kept under {cut(key)!r} takes {largest:,} of them"
    return MisuseError(f"{text}. Keep less: put it in a store, and keep what it is found by")


def _kind_of(question: InputRequest) -> Kind:
    return cast("Kind", method_of(type(question)))


def _identity(principal: str | None) -> str:
    """Stands for a principal; nobody in particular is one too, and different from all others."""
    return "" if principal is None else _short(principal.encode("utf-8", "surrogatepass"))


def _short(content: bytes) -> str:
    """192 bits of SHA-256, as 32 characters."""
    return urlsafe_b64encode(sha256(content).digest()[:24]).decode()
