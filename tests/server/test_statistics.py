"""What a server tells of its handlers: where they run, how long they took, and how many run now."""

import asyncio
from typing import Annotated

import pytest

from tests.server.awaiting import answer_to
from tests.server.driving import Driver
from tybalt import Depends, MisuseError, RegistrationError, Server
from tybalt.execution.placement import HandlerStatistics


def by_name(server: Server) -> dict[str, HandlerStatistics]:
    return {each.name: each for each in server.statistics().handlers}


@pytest.mark.loops
async def test_what_runs_in_threads_is_measured() -> None:
    server = Server("x")

    @server.tool
    def quick(a: int) -> int:
        return a

    @server.tool
    async def later() -> int:
        return 1

    @server.resource("a://b", name="read")
    def read() -> str:
        return ""

    driver = Driver(server)
    for number in range(3):
        driver.ask("tools/call", {"name": "quick", "arguments": {"a": number}})
        await asyncio.wait(driver.session.running.tasks())
    found = by_name(server)
    assert (found["quick"].run_in, found["quick"].where, found["quick"].calls) == ("thread", "thread", 3)
    assert 0 < found["quick"].mean <= found["quick"].longest
    assert (found["later"].run_in, found["later"].calls) == ("loop", 0)
    assert found["read"].where == "thread"
    server.threads.close()


@pytest.mark.loops
async def test_what_runs_and_waits_now() -> None:
    server = Server("x", max_running=1)

    @server.tool
    async def wait() -> None:
        await asyncio.Event().wait()

    driver = Driver(server)
    assert (server.statistics().running, server.statistics().waiting) == (0, 0)
    for number in (1, 2):
        driver.ask("tools/call", {"name": "wait"}, id=number)
    assert (server.statistics().running, server.statistics().waiting) == (1, 1)
    await driver.session.abort()
    assert (server.statistics().running, server.statistics().waiting) == (0, 0)
    assert server.statistics().threads.running == 0


def one() -> int:
    return 1


def two() -> int:
    return 2


def with_a_dependency() -> Server:
    server = Server("x", run_in="loop")

    @server.tool
    def give(value: Annotated[int, Depends(one, run_in="loop")]) -> int:
        return value

    return server


class TestOverridden:
    async def test_for_as_long_as_the_block(self) -> None:
        server = with_a_dependency()
        driver = Driver(server)
        assert driver.call("give")["structuredContent"] == 1
        with server.overridden(one, two):
            answer = await answer_to(driver, "give")  # Perhaps later: a stand-in may be anything, so it is awaited.
            assert answer["result"]["structuredContent"] == 2
        assert driver.call("give")["structuredContent"] == 1
        server.threads.close()

    def test_blocks_may_be_nested(self) -> None:
        server = with_a_dependency()
        with server.overridden(one, two):
            with server.overridden(one, lambda: 3):
                pass
            assert server.overrides == {one: two}
        assert server.overrides == {}

    def test_what_nothing_depends_on_is_a_mistake(self) -> None:
        with (
            pytest.raises(MisuseError, match=r"nothing on this server depends on .*two"),
            with_a_dependency().overridden(two, one),
        ):
            pass

    def test_a_stand_in_that_cannot_be_filled_is_told_at_once(self) -> None:
        def needs(argument: str) -> int:
            return len(argument)

        with pytest.raises(RegistrationError, match="argument"), with_a_dependency().overridden(one, needs):
            pass
