"""What `ServerConnection.receive` answers with, beside bytes and a request: the rare actions.

`receive` returns `bytes` (send them: the core answered by itself), a request Struct (run it, then respond), `None`
(nothing to do), or one of the values below. An action is an imperative: what the caller must do next.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Raw, Struct

from tybalt.errors import McpError
from tybalt.protocol.responder import Responder


class CancelRequest(Struct, frozen=True):
    """Stop the work on these requests; their responders are closed already, so nothing more goes out for them.

    More than one responder means that the client used the id more than once at a time.
    """

    responders: tuple[Responder, ...]
    reason: str | None


class Batch(Struct, frozen=True):
    """Handle each of these actions, collect the answers, and send `join_batch(answers)` as one message.

    `items` pairs each element, as it was sent, with what `receive` returns for it, without the `None`s. It is to be
    walked once: an element is received when its turn comes, so that a cancel finds a request of the same batch that
    was accepted before it. Where no answer comes out of it, nothing is sent (JSON-RPC 2.0 section 6). Only 2025-03-26
    has batches.
    """

    items: Iterator[tuple[bytes, Any]]


class Reply(Struct, frozen=True):
    """The client has answered the question called `id` (see `ServerConnection.ask`): with a result, or an error."""

    id: int
    outcome: "Raw | McpError"


class Ignored(Struct, frozen=True):
    """Do nothing: `reason` is for a debug log."""

    reason: str


def join_batch(answers: list[bytes]) -> bytes | None:
    """One message out of the answers of a batch, or `None` where there are none."""
    return b"[" + b",".join(answers) + b"]" if answers else None
