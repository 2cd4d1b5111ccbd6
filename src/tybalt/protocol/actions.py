"""What `ServerConnection.receive` answers with, beside bytes and a request: the rare actions.

`receive` returns `bytes` (send them: the core answered by itself), a request Struct (run it, then respond), `None`
(nothing to do), or one of the values below. An action is an imperative: what the caller must do next.
"""

from typing import Any

from msgspec import Struct

from tybalt.protocol.responder import Responder


class CancelRequest(Struct, frozen=True):
    """Stop the work on these requests; their responders are closed already, so nothing more goes out for them.

    More than one responder means that the client used the id more than once at a time.
    """

    responders: tuple[Responder, ...]
    reason: str | None


class Batch(Struct, frozen=True):
    """Handle each of these actions, collect the answers, and send `join_batch(answers)` as one message.

    `items` pairs each element, as it was sent, with what `receive` returns for it, without the `None`s. Where no
    answer comes out of it, nothing is sent (JSON-RPC 2.0 section 6). Only 2025-03-26 has batches.
    """

    items: tuple[tuple[bytes, Any], ...]


class Close(Struct, frozen=True):
    """Send `farewell`, if there is one, then close the transport; `reason` is for the log."""

    reason: str
    farewell: bytes | None = None


def join_batch(answers: list[bytes]) -> bytes | None:
    """One message out of the answers of a batch, or `None` where there are none."""
    return b"[" + b",".join(answers) + b"]" if answers else None
