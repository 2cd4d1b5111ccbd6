"""The legacy handshake as a table of phases (2025-11-25 basic/lifecycle).

Modern requests need no handshake and are served in every phase. A connection goes legacy when it answers
`initialize`:

    new ──initialize──▶ answered ──notifications/initialized──▶ ready

- `new`: only `initialize` and `ping` are legacy requests that may come; anything else is -32600.
- `answered`: the revision is agreed. Requests are served already, for the client may send them right behind its
  `initialized` without waiting; the server sends nothing of its own yet.
- `ready`: change notifications and log messages may go out.

An `initialize` in `answered` or `ready` is -32600 and changes nothing; one that fails to parse is -32602 and leaves
the phase as it was. There is no way back.
"""

from typing import Literal

Phase = Literal["new", "answered", "ready"]
Event = Literal["initialize", "initialized"]

TRANSITIONS: dict[tuple[Phase, Event], Phase] = {
    ("new", "initialize"): "answered",
    ("answered", "initialized"): "ready",
}


def next_phase(phase: Phase, event: Event) -> Phase | None:
    """The phase that `event` leads to, or `None` where the event has no place in `phase`."""
    return TRANSITIONS.get((phase, event))
