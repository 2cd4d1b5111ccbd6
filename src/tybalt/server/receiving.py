"""From a message to its answer: the hot path of a session, which guesses what comes next.

One decode, one comparison, one call; anything but a plain tool's call goes the long way, through the protocol core. The
guess is that a message is of the kind the last ones were. After a call comes the decoder that knows only calls, which
saves the union's look for the tag (60 of 550 ns); after several of plain tools, the one that knows these too, and
takes `_meta` for valid where it is byte for byte that of a call that was read whole (`plain_calls.py`; saves 300 ns).
No check is left out; a call whose caller grants a budget is no plain one. A wrong guess costs one decode (400 ns). A
tool that nobody called before is learned; of other wrong guesses one is forgiven, for a list or a progress token in
between; after two in a row, or where the first is wrong already, the long way is taken for a while, the longer the more
often.

`session` is what is fed, and what runs what does not finish at once.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tybalt.protocol.codec import ABSENT, UNREADABLE, LegacyCall, ModernCall, decode_legacy_call, decode_modern_call
from tybalt.protocol.frames import Oversized
from tybalt.protocol.prescan import PRESCAN_FROM
from tybalt.server.catalogue import MAX_CALLED
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
    connection, act, act_on = session.connection, session.act, session.act_on
    revision = connection.revision or LATEST_MODERN
    modern = connection.revision is None
    call_kinds = (CallToolRequest, ModernCall) if modern else (legacy.CallToolRequest, LegacyCall)
    decode_call = decode_modern_call if modern else decode_legacy_call
    if session.server.operations is not None:
        call_kinds = ()  # Every call has to pass the middleware.
    find = session.server.catalogue.calls(revision).get
    is_plain = session.server.catalogue.plain_tools(revision).__contains__
    called = session.server.catalogue.called_tools(revision)
    decode = decode_any = connection.decode
    decode_plain: Decode | None = None
    meta = ABSENT
    streak, wanted = 0, WARM
    misses = -1  # Wrong guesses in a row; -1 before the first right one.

    def receive(message: bytes | Oversized) -> bytes | None:
        nonlocal misses
        if type(message) is not bytes:
            return act(connection.receive(message), b"")
        if not message.isascii() or len(message) > PRESCAN_FROM:
            return act(connection.receive(message), message)
        if decode_plain is not None:
            try:
                request = decode_plain(message)
                params = request.params
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001, S110 (a validator may raise anything; the long way tells)
                pass
            else:
                if params.meta == meta:
                    misses = 0
                    return params.run(request, params.arguments, session)
        return receive_any(message)

    def receive_any(message: bytes) -> bytes | None:
        nonlocal decode, decode_plain, streak
        try:
            request = decode(message)
        except UNREADABLE:
            pass  # What follows runs outside of this block, so that no handler's error has ours for its context.
        else:
            if type(request) in call_kinds:
                decode = decode_call
                name = request.params.name
                call = find(name)
                granted = request.params.meta
                if call is not None and is_plain(name) and (granted is None or granted.budget is None):
                    if decode_plain is None:
                        streak += 1
                        if streak >= wanted:
                            warm(message, name)
                    elif name not in called and len(called) < MAX_CALLED:
                        decode_plain = session.server.catalogue.plain_calls(revision, name)
                    else:
                        miss()
                    return call(request, session)
                if call is not None:
                    miss()
                    return act_on(call, request, message)
            miss()
            return act(connection.judge(request), message)
        if decode is decode_any:
            miss()
            return act(connection.receive(message), message)
        decode = decode_any
        return receive_any(message)

    def warm(message: bytes, name: str) -> None:
        """Guess plain calls from now on; `message` is one, was read whole, and so is its `_meta`."""
        nonlocal decode_plain, meta, misses, streak
        misses = -1
        decode_plain = session.server.catalogue.plain_calls(revision, name)
        try:
            # A copy, or it would keep the message alive.
            meta = decode_plain(message).params.meta.copy() if decode_plain is not None else ABSENT
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 (arguments that do not fit, or a validator that raises)
            decode_plain, streak = None, 0

    def miss() -> None:
        """Count a message that was no plain call, or not the one guessed; guess no more once that is too often."""
        nonlocal decode_plain, misses, streak, wanted
        if decode_plain is not None and misses == 0:
            misses = 1
            return
        if decode_plain is not None:
            wanted = min(2 * wanted, COLD) if misses < 0 else WARM
        decode_plain, streak = None, 0

    return receive
