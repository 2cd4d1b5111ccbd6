"""From a message to its answer: the hot path of a session, which guesses what comes next.

One decode, one comparison, one call; anything but a plain tool's call goes the long way, through the protocol core. The
guess is that a message is of the kind the last ones were. After a call comes the decoder that knows only calls, which
saves the union's look for the tag (60 of 550 ns); after several of plain tools, the one that knows these too, and takes
`_meta` for valid where it is byte for byte that of a call that was read whole (`plain_calls.py`; saves 300 ns). A wrong
guess costs an exception (700 ns), and then the long way is taken for a while. No check is left out.

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


def compile_receive(session: "Session") -> Receive:  # noqa: C901 (its variables are the state of the guess)
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
    streak = 0

    def receive(message: bytes | Oversized) -> bytes | None:
        nonlocal decode_plain, streak
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
                    return params.run(request, params.arguments, session)
            decode_plain, streak = None, 0
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
                    if streak == WARM:
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
        nonlocal decode_plain, meta
        decode_plain = session.server.catalogue.plain_calls(revision)
        try:
            # A copy, or it would keep the message alive.
            meta = decode_plain(message).params.meta.copy() if decode_plain is not None else ABSENT
        except Exception:  # noqa: BLE001 (arguments that do not fit, or a validator that raises)
            decode_plain = None

    return receive
