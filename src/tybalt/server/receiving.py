"""From a message to its answer: the hot path of a session, which guesses what comes next.

One decode, one comparison, one call; anything but a plain tool's call goes the long way, through the protocol core. The
guess is that a message is of the kind the last ones were. After a call comes the decoder that knows only calls, which
saves the union's look for the tag (60 of 550 ns); after several of plain tools, the one that knows these too, and
takes `_meta` for valid where it is byte for byte that of a call that was read whole (`plain_calls.py`; saves 300 ns).
No check is left out. A wrong guess costs one decode (400 ns). One is forgiven, for a list or a progress token in
between; after two in a row, or where the first is wrong already, the long way is taken for a while, the longer the more
often.

`session` is what is fed, and what runs what does not finish at once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tybalt.protocol.codec import ABSENT, UNREADABLE, decode_legacy_call, decode_modern_call
from tybalt.protocol.frames import Oversized
from tybalt.protocol.prescan import PRESCAN_FROM
from tybalt.types import legacy
from tybalt.types.revisions import LATEST_MODERN
from tybalt.types.tools import CallToolRequest

if TYPE_CHECKING:
    from tybalt.server.plain_calls import Decode
    from tybalt.server.session import Session

Receive = Callable[[bytes | Oversized], bytes | None]

WARM: Final = 3
"""Calls of plain tools in a row after which the next one is taken to be another."""
COLD: Final = 512
"""The same for a client of whom that was never right."""


def compile_receive(session: "Session") -> Receive:  # noqa: C901, PLR0915 (its variables are the state)
    """What a session does with one message, for as long as neither its revision nor the server's tools change."""
    connection, act = session.connection, session.act
    revision = connection.revision or LATEST_MODERN
    call_kind = CallToolRequest if connection.revision is None else legacy.CallToolRequest
    decode_call = decode_modern_call if connection.revision is None else decode_legacy_call
    find = session.server.catalogue.calls(revision).get
    is_plain = session.server.catalogue.plain_tools(revision).__contains__
    decode = decode_any = connection.decode
    decode_plain: Decode | None = None
    meta = ABSENT
    streak, wanted = 0, WARM
    misses = -1  # Wrong guesses in a row; -1 before the first right one.

    def receive(message: bytes | Oversized) -> bytes | None:
        nonlocal decode_plain, misses
        if type(message) is not bytes:
            return act(connection.receive(message), b"")
        if not message.isascii() or len(message) > PRESCAN_FROM:
            return act(connection.receive(message), message)
        if decode_plain is not None:
            try:
                request = decode_plain(message)
                params = request.params
            except Exception:  # noqa: BLE001, S110 (a validator may raise anything; the long way tells)
                pass
            else:
                if params.meta == meta:
                    misses = 0
                    return params.run(request, params.arguments, session)
            if misses == 0:
                misses = 1
            else:
                cool()
        return receive_any(message)

    def receive_any(message: bytes) -> bytes | None:
        nonlocal decode, streak
        try:
            request = decode(message)
        except UNREADABLE:
            pass  # What follows runs outside of this block, so that no handler's error has ours for its context.
        else:
            if type(request) is call_kind:
                decode = decode_call
                call = find(request.params.name)
                if call is not None and is_plain(request.params.name):
                    streak += 1
                    if streak >= wanted and decode_plain is None:
                        warm(message)
                    return call(request, session)
            streak = 0
            return act(connection.judge(request), message)
        if decode is decode_any:
            streak = 0
            return act(connection.receive(message), message)
        decode = decode_any
        return receive_any(message)

    def warm(message: bytes) -> None:
        """Guess plain calls from now on; `message` is one, was read whole, and so is its `_meta`."""
        nonlocal decode_plain, meta, misses
        misses = -1
        decode_plain = session.server.catalogue.plain_calls(revision)
        try:
            # A copy, or it would keep the message alive.
            meta = decode_plain(message).params.meta.copy() if decode_plain is not None else ABSENT
        except Exception:  # noqa: BLE001 (arguments that do not fit, or a validator that raises)
            decode_plain = None

    def cool() -> None:
        """Guess no more, until there is reason to."""
        nonlocal decode_plain, streak, wanted
        wanted = min(2 * wanted, COLD) if misses < 0 else WARM
        decode_plain, streak = None, 0

    return receive
