"""What a person at a terminal is told while nothing comes: for whom the command waits, and how to end it."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from tybalt.cli.terminal import show_line_if_none

PATIENCE: Final = 3.0
"""Seconds of silence that nobody wonders at."""

Later = Callable[..., asyncio.TimerHandle]
"""`call_later` of a loop: seconds, a function, its arguments."""


@contextmanager
def silence_explained(whom: str, *, later: Later | None = None) -> Generator[None]:
    """Within, show after `PATIENCE` seconds for `whom` the command waits, unless there is a line by then.

    Whatever is shown next takes the line's place. `later` is that of the running loop by default.
    """
    timer = (later or asyncio.get_running_loop().call_later)(PATIENCE, _explain, whom)
    try:
        yield
    finally:
        timer.cancel()


def _explain(whom: Any) -> None:
    show_line_if_none(f"waiting for {whom} (Ctrl-C ends it)")
