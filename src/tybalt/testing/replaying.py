"""`replay`: one call of a tool in both eras, with the same answers to what it asks: whether it is the same call.

    replayed = await replay(server, "order", {"item": "tea"}, answers=[2, True])
    assert replayed.value == "2 of tea" and replayed.runs == 3

A modern client makes a handler run again for each round of questions, a legacy one does not. What a handler does before
a question shows then: what comes of it differs, or what it counts. It needs no transport and no clock; client and
server below do the work.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from tybalt.client.client import Client
from tybalt.errors import McpError, ToolError
from tybalt.outcomes import Err, Ok, Outcome
from tybalt.types.elicitation import ElicitRequestParams, ElicitResult

if TYPE_CHECKING:
    from tybalt.server.server import Server

Answers = Iterable[Any] | Mapping[str, Any] | Callable[[ElicitRequestParams], Any]
"""The answers in the order of the questions, by their messages, or a function of a question, as `Client` takes one."""

_REFERENCE: Final = re.compile(r"\b[0-9a-f]{8}\b")
"""Under which a masked failure is logged: another one each time."""


class Counted(Struct, frozen=True):
    """By how much something has grown during the call, in either era."""

    modern: float
    legacy: float


class Replayed(Struct, frozen=True):
    """What became of a call, the same in both eras.

    `outcome` is `Ok` with the value, or `Err` with the `ToolError` or `McpError`; `runs` is how often the modern client
    sent the call, and so how often its handler was begun; `asked` are the messages of the questions that the user was
    asked; `counts` has what was counted, by name.
    """

    outcome: Outcome[Any]
    runs: int
    asked: tuple[str, ...]
    counts: Mapping[str, Counted]

    @property
    def value(self) -> Any:
        """The value. Raises the error where there is none."""
        return self.outcome.unwrap()


async def replay(
    server: "Server",
    name: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    answers: Answers = (),
    counts: Mapping[str, Callable[[], float]] | None = None,
    **options: Any,
) -> Replayed:
    """Call a tool as a modern and as a legacy client, and check that the same comes of it.

    `answers` fill in the forms: a plain value is for a form of one field, anything else what `Client(on_elicit=…)` may
    return. `counts` are functions that return a number, such as `lambda: len(charges)`; each is read before and after
    the call. `options` go to both clients, such as `on_sample` and `roots`.

    Raises `AssertionError` where the eras differ in what they return, in how they fail or in what they ask, where a
    question has no answer, and where answers are left. That the server has no state which the first call changes for
    the second is for the test to see to.
    """
    counts = counts or {}
    given: Any = answers
    if not (callable(answers) or isinstance(answers, Mapping)):
        given = tuple(answers)
    modern = await _called(server, "modern", name, arguments or {}, _Answering(given), counts, options)
    legacy = await _called(server, "legacy", name, arguments or {}, _Answering(given), counts, options)
    _compare(f"{name} returns", modern, legacy, lambda era: _told(era.outcome))
    _compare(f"{name} asks", modern, legacy, lambda era: sorted(era.asked))
    grown = {key: Counted(modern.grown[key], legacy.grown[key]) for key in counts}
    return Replayed(modern.outcome, modern.calls, tuple(modern.asked), grown)


class _Era(Struct, frozen=True):
    """The call in one era."""

    outcome: Outcome[Any]
    calls: int
    asked: list[str]
    grown: dict[str, float]


async def _called(
    server: "Server",
    era: Literal["modern", "legacy"],
    name: str,
    arguments: Mapping[str, Any],
    answering: "_Answering",
    counts: Mapping[str, Callable[[], float]],
    options: Mapping[str, Any],
) -> _Era:
    wire = _Wire(server)
    outcome: Outcome[Any]
    async with Client(wire, era=era, on_elicit=answering, **options) as client:
        before = {key: count() for key, count in counts.items()}
        try:
            outcome = Ok(await client.call(name, **arguments))
        except (ToolError, McpError) as error:
            outcome = Err(error)
        grown = {key: count() - before[key] for key, count in counts.items()}
    answering.check(era)
    return _Era(outcome, wire.calls, answering.asked, grown)


def _compare(what: str, modern: _Era, legacy: _Era, look: Callable[[_Era], Any]) -> None:
    if look(modern) != look(legacy):
        raise AssertionError(f"{what} {look(modern)!r} in modern, and {look(legacy)!r} in legacy")


def _told(outcome: Outcome[Any]) -> Any:
    """What is compared: the value, or the text of the failure, which has another code in the other era."""
    return f"error: {_REFERENCE.sub('…', str(outcome.error))}" if isinstance(outcome, Err) else outcome.unwrap()


class _Answering:
    """The user of one era, who answers as was said and remembers what for. What goes wrong here is told by `check`."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self._next: Iterator[Any] | None = iter(cast("tuple[Any, ...]", given)) if isinstance(given, tuple) else None
        self._wrong: str | None = None
        self.asked: list[str] = []

    def __call__(self, question: ElicitRequestParams) -> Any:
        self.asked.append(question.message)
        if callable(self._given):
            return self._given(question)
        if self._next is not None:
            answer = next(self._next, self)
        else:
            answer = self._given.get(question.message, self)
        if answer is not self:
            return _filled(answer, question)
        self._wrong = self._wrong or f"there is no answer to {question.message!r}"
        return ElicitResult(action="cancel")

    def check(self, era: str) -> None:
        """Raise where a question had no answer, or an answer no question."""
        left = list(self._next or ())
        if self._wrong is None and left:
            self._wrong = f"nothing was asked that {left!r} would answer"
        if self._wrong is not None:
            raise AssertionError(f"{self._wrong} in {era}; the questions were {self.asked!r}")


def _filled(answer: Any, question: ElicitRequestParams) -> Any:
    """What the client takes: a plain value is that of the only field."""
    fields: Mapping[str, Any] = (question.requested_schema or {}).get("properties", {})
    is_plain = type(answer) in (str, int, float, bool, list)
    return dict.fromkeys(fields, answer) if len(fields) == 1 and is_plain else answer


class _Wire:
    """The server, for a client in this process, with an ear on what the client sends."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self.calls = 0

    def running(self) -> AbstractAsyncContextManager[Any]:
        """Keep its lifespan open."""
        return self._server.running()

    def session(self, output: Any) -> "_Heard":
        """A session of it."""
        return _Heard(self._server.session(output), self)


class _Heard:
    """A session that counts the calls of tools."""

    def __init__(self, session: Any, wire: _Wire) -> None:
        self._session = session
        self._wire = wire
        self.drain = session.drain
        self.close = session.close

    def receive(self, message: bytes) -> bytes | None:
        """Handle a message, see `Session.receive`."""
        self._wire.calls += _method_of(message).method == "tools/call"
        return self._session.receive(message)


class _Method(Struct):
    method: str = ""


_method_of = msgspec.json.Decoder(_Method).decode
