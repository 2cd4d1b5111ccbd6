"""The dependencies of one request: opened one after the other, and closed in reverse order, whatever happens.

`Resolution` is the asynchronous context manager that does it, step by step. It decides nothing about order or
arguments: `dependency_plan.py` has compiled that. How one generator is opened and closed is told in `opened.py`; where
a handler runs, and for how long, is its caller's business.
"""

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from types import CoroutineType, TracebackType
from typing import Any

from msgspec import Struct

from tybalt.errors import MisuseError
from tybalt.execution.tokens import masked
from tybalt.server.opened import InTask, InThread, OnLoop, RunBlocking, note, settled
from tybalt.server.providers import Kind


class Step(Struct, frozen=True):
    """One provider to call: with which arguments, by name and slot, and where. `name` is for error texts."""

    name: str
    provider: Callable[..., Any]
    kind: Kind
    in_thread: bool
    arguments: tuple[tuple[str, int], ...] = ()


class Resolution:
    """Opens `steps` on entering, which gives the values of `targets` by name, and closes them on leaving.

    `slots` are the values there are already; that of each step is put behind them. `run` is for what blocks.

    An exception of the body, cancellation included, is thrown into every open generator, the last one first. None can
    make it undone: it is raised in the end, unless a generator raised another one `from` it. Every cleanup runs. Of
    several failures the first is raised, and the others are noted on it and logged. A cancel that comes during
    cleanup waits for the end of it, however long that takes: whoever needs a limit stops waiting.
    """

    __slots__ = ("_body", "_closing", "_interruptions", "_opened", "_run", "_slots", "_steps", "_targets")

    def __init__(
        self, steps: tuple[Step, ...], slots: list[Any], targets: tuple[tuple[str, int], ...], run: RunBlocking
    ) -> None:
        self._steps = steps
        self._slots = slots
        self._targets = targets
        self._run = run
        self._opened: list[OnLoop | InThread | InTask] = []
        self._body: asyncio.Task[Any] | None = None
        self._interruptions = 0
        self._closing = False

    async def __aenter__(self) -> dict[str, Any]:
        self._body = asyncio.current_task()
        slots = self._slots
        try:
            for step in self._steps:
                slots.append(await self._value(step, {name: slots[slot] for name, slot in step.arguments}))
            return {name: slots[slot] for name, slot in self._targets}
        except BaseException as error:
            failure = await self._close(error)
            if failure is error:
                raise
        assert failure is not None
        raise failure

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        failure = await self._close(error) if self._opened else error
        if failure is not None and failure is not error:
            raise failure

    async def _value(self, step: Step, arguments: Mapping[str, Any]) -> Any:
        if step.kind == "async":
            return await step.provider(**arguments)
        if step.kind == "plain":
            call = partial(step.provider, **arguments)
            return checked(await self._run(call) if step.in_thread else call(), step.name)
        generator = step.provider(**arguments)
        if step.kind == "async generator":
            opened = InTask(step.name, generator, self._interrupt)
        elif step.in_thread:
            opened = InThread(step.name, generator, self._run)
        else:
            opened = OnLoop(step.name, generator)
        self._opened.append(opened)
        return await opened.begin()

    async def _close(self, failure: BaseException | None) -> BaseException | None:
        """Close what is open: what is to be raised then, or `None`."""
        self._closing = True
        with masked():
            while self._opened:
                opened = self._opened.pop()
                try:
                    ending = opened.end(failure)
                    cancelled = None if ending is None else await settled(ending)
                    if cancelled is not None and (failure is None or isinstance(failure, Exception)):
                        failure = cancelled
                    if ending is not None:
                        ending.result()
                except BaseException as error:  # noqa: BLE001 (whatever it is, the others are closed as well)
                    failure = self._weighed(failure, error, opened.name)
        for _ in range(self._interruptions):
            assert self._body is not None
            self._body.uncancel()
        return failure

    def _interrupt(self) -> None:
        """A provider's own timeout or task group is over: the body cannot go on without it, so it is cancelled."""
        if not self._closing and self._body is not None:
            self._interruptions += 1
            self._body.cancel()

    def _weighed(self, failure: BaseException | None, error: BaseException, name: str) -> BaseException:
        """Which of two counts: the first, unless the second was made of it, or the first was only our own cancel."""
        if failure is None or error.__cause__ is failure:
            return error
        if isinstance(failure, asyncio.CancelledError):
            if isinstance(error, asyncio.CancelledError):
                return failure
            if self._interruptions:
                return error
        note(failure, error, name)
        return failure


def checked(value: Any, name: str) -> Any:
    """What a plain provider returned; raises `MisuseError` for a coroutine, which nobody would await."""
    if type(value) is CoroutineType:
        value.close()
        raise MisuseError(f"provider {name} is no `async def`, yet it returned a coroutine. Declare it as `async def`")
    return value
