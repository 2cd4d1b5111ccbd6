"""Waiting for input: who is resumed when, and how a cancelled wait ends."""

from __future__ import annotations

import asyncio

import pytest

from tybalt.transports.wakeup import Wakeup


class Waiter:
    """A task that waits, and what it has seen."""

    def __init__(self) -> None:
        self.wakeup = Wakeup()
        self.woken = 0
        self.task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while True:
            await self.wakeup
            self.woken += 1

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()
        assert not self.wakeup.waiting


async def in_callback(function: object) -> None:
    """Call `function` where no task is running, as the loop's read callbacks do."""
    done = asyncio.get_running_loop().create_future()

    def call() -> None:
        function()  # type: ignore[operator]
        done.set_result(None)

    asyncio.get_running_loop().call_soon(call)
    await done


@pytest.mark.loops
async def test_in_a_callback_the_task_is_resumed_at_once() -> None:
    waiter = Waiter()
    await asyncio.sleep(0)
    seen: list[int] = []

    def wake_and_look() -> None:
        for _ in range(3):
            waiter.wakeup.wake_now()
            seen.append(waiter.woken)

    await in_callback(wake_and_look)
    assert seen == [1, 2, 3]
    await waiter.end()


@pytest.mark.loops
async def test_in_another_task_and_on_request_it_is_resumed_in_the_next_turn() -> None:
    waiter = Waiter()
    await asyncio.sleep(0)
    for number, wake in enumerate([waiter.wakeup.wake_now, waiter.wakeup.wake], start=1):
        wake()
        wake()
        assert waiter.woken == number - 1
        await asyncio.sleep(0)
        assert waiter.woken == number
    await waiter.end()


@pytest.mark.loops
async def test_waking_nobody_does_nothing() -> None:
    wakeup = Wakeup()
    wakeup.wake()
    await in_callback(wakeup.wake_now)
    assert not wakeup.waiting


@pytest.mark.loops
async def test_a_wait_that_is_woken_and_cancelled_in_one_turn_is_cancelled_and_can_be_repeated() -> None:
    waiter = Waiter()
    await asyncio.sleep(0)
    waiter.wakeup.wake()
    await waiter.end()
    assert waiter.woken == 0
    waiter.task = asyncio.create_task(waiter._wait())
    await asyncio.sleep(0)
    waiter.wakeup.wake()
    await asyncio.sleep(0)
    assert waiter.woken == 1
    await waiter.end()
