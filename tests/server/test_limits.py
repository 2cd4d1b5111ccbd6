"""Budgets: what the server grants, what a handler needs, what the caller allows; enforced, and seen by the handler."""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from math import inf
from typing import Any

import pytest

from tests.server.awaiting import answer_to, ended, nothing_is_left, text_of
from tests.server.driving import LEGACY, NEWEST, REVISIONS, Driver
from tybalt import Budget, Context, RegistrationError, Server
from tybalt.reasons import CancelKind
from tybalt.server.limits import Limits
from tybalt.testing import VirtualThreads, run_virtual

BUDGET = "dev.tybalt/budget"
ERAS = [NEWEST, "2025-11-25", "2024-11-05"]


class Late:
    """When a handler that never ends is answered, in seconds of virtual time, and with what."""

    def __init__(self, revision: str, grants: dict[str, Any], timeout: Any, allowed: Any, ask: Callable[..., Any]):
        self.took = inf
        self.answer: Any = None
        self.left: list[float] = []
        self._revision, self._grants, self._timeout, self._allowed, self._ask = revision, grants, timeout, allowed, ask
        run_virtual(self._program)

    async def _program(self) -> None:
        options = {} if self._timeout is None else {"timeout": self._timeout}
        server = Server("x", **self._grants)

        async def work() -> None:
            await asyncio.Event().wait()

        async def told(context: Context) -> None:
            self.left.append(context.remaining)
            await asyncio.Event().wait()

        async def seen(it: str, budget: Budget) -> str:
            self.left.append(budget.deadline - asyncio.get_running_loop().time())
            await asyncio.Event().wait()
            return it

        server.tool(name="work", **options)(work)
        server.tool(name="told", **options)(told)
        server.resource("seen://{it}", **options)(seen)
        server.prompt(name="seen", **options)(seen)

        @server.completion("seen", "it")
        async def suggest(value: str) -> list[str]:
            await asyncio.Event().wait()
            return []

        driver = Driver(server, self._revision)
        loop = asyncio.get_running_loop()
        began = loop.time()
        meta = None if self._allowed is None else {BUDGET: self._allowed}
        method, params = self._ask
        at_once = driver.ask(method, params, id="late", meta=meta)
        said = await ended(driver) if at_once is None else [at_once]
        self.took = loop.time() - began
        (self.answer,) = said
        assert nothing_is_left(driver)


def late(
    revision: str = NEWEST,
    *,
    timeout: Any = None,
    allowed: Any = None,
    ask: Any = ("tools/call", {"name": "work"}),
    **grants: Any,
) -> Late:
    return Late(revision, grants, timeout, allowed, ask)


TOLD = ("tools/call", {"name": "told"})
OTHERS = [
    ("resources/read", {"uri": "seen://it"}),
    ("prompts/get", {"name": "seen", "arguments": {"it": "x"}}),
    ("completion/complete", {"ref": {"type": "ref/prompt", "name": "seen"}, "argument": {"name": "it", "value": ""}}),
]


class TestDeadlines:
    @pytest.mark.parametrize("revision", REVISIONS)
    @pytest.mark.parametrize("ask", [("tools/call", {"name": "work"}), TOLD], ids=["work", "told"])
    def test_the_server_grants_30_seconds(self, revision: str, ask: Any) -> None:
        found = late(revision, ask=ask)
        assert found.took == pytest.approx(30, abs=0.01)
        assert found.answer["result"]["isError"]
        assert text_of(found.answer).endswith("did not finish within its 30 s, the server's request_timeout")
        assert "function" not in text_of(found.answer)

    @pytest.mark.parametrize("revision", ERAS)
    @pytest.mark.parametrize("ask", OTHERS, ids=lambda ask: ask[0])
    def test_what_has_no_result_for_it_is_an_error_408(self, revision: str, ask: Any) -> None:
        if ask[0] == "completion/complete" and revision == "2024-11-05":
            pytest.skip("the capability is younger")
        found = late(revision, ask=ask, request_timeout=2)
        assert found.took == pytest.approx(2, abs=0.01)
        assert found.answer["error"]["code"] == 408 and "did not finish within its 2 s" in text_of(found.answer)
        assert all(left == pytest.approx(2) for left in found.left)

    @pytest.mark.parametrize(
        ("timeout", "takes"), [("50ms", 0.05), (3, 3.0), (0.25, 0.25), (timedelta(minutes=1), 30.0), ("20s", 20.0)]
    )
    def test_a_handler_may_need_less(self, timeout: Any, takes: float) -> None:
        for ask in (("tools/call", {"name": "work"}), TOLD, OTHERS[0], OTHERS[1]):
            found = late(timeout=timeout, ask=ask)
            assert found.took == pytest.approx(takes, abs=0.002)
            assert f"within its {takes:g} s" in text_of(found.answer)

    def test_a_limit_of_the_server_that_is_shorter_is_told_as_the_servers(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        for ask in (("tools/call", {"name": "work"}), TOLD, OTHERS[0]):
            found = late(timeout="5m", ask=ask)
            assert "within its 30 s, the server's request_timeout; it would be allowed 300 s itself" in text_of(
                found.answer
            )
        assert "asks for 300 s, but the server's request_timeout of 30 s holds" in caplog.text
        assert "request_timeout" not in text_of(late(timeout=3).answer)

    @pytest.mark.parametrize("timeout", [None, 3, 30])
    def test_one_that_is_no_longer_is_not_warned_of(self, timeout: Any, caplog: pytest.LogCaptureFixture) -> None:
        Server("x").tool(timeout=timeout)(named)
        Server("x", request_timeout=None).tool(timeout="5m")(named)
        assert not caplog.records

    @pytest.mark.parametrize("grants", [0, None])
    def test_without_a_limit_only_that_of_the_handler(self, grants: Any) -> None:
        assert late(request_timeout=grants, timeout="90s").took == pytest.approx(90)

    @pytest.mark.parametrize("timeout", ["soon", "30", -1, float("nan")])
    def test_what_is_no_duration(self, timeout: Any) -> None:
        with pytest.raises(RegistrationError):
            Server("x").tool(timeout=timeout)(named)
        with pytest.raises(RegistrationError):
            Server("x", request_timeout=timeout)

    @pytest.mark.parametrize("revision", ERAS)
    @pytest.mark.parametrize("ask", [("tools/call", {"name": "work"}), TOLD, *OTHERS[:2]], ids=lambda ask: str(ask[1]))
    def test_a_caller_may_allow_less(self, revision: str, ask: Any) -> None:
        found = late(revision, allowed={"deadlineMs": 1500}, ask=ask)
        assert found.took == pytest.approx(1.5, abs=0.01)
        assert "did not finish within the 1.5 s that its caller allows" in text_of(found.answer)
        assert all(left == pytest.approx(1.5) for left in found.left)

    @pytest.mark.parametrize("revision", ERAS)
    @pytest.mark.parametrize("allowed", [{"deadlineMs": 60_000}, {"deadlineMs": None}, {}, {"cost": 5}, {"more": 1}])
    def test_and_never_more(self, revision: str, allowed: Any) -> None:
        for ask in (("tools/call", {"name": "work"}), TOLD):
            assert late(revision, allowed=allowed, ask=ask).took == pytest.approx(30, abs=0.01)
            assert late(revision, allowed=allowed, timeout=1, ask=ask).took == pytest.approx(1, abs=0.01)

    @pytest.mark.parametrize("revision", ERAS)
    def test_nothing_at_all(self, revision: str) -> None:
        for ask in (("tools/call", {"name": "work"}), TOLD, *OTHERS[:2]):
            found = late(revision, allowed={"deadlineMs": 0}, ask=ask)
            assert found.took < 0.01 and "within the 0 s that its caller allows" in text_of(found.answer)
            assert found.left in ([], [0.0])

    @pytest.mark.parametrize("revision", ERAS)
    @pytest.mark.parametrize(
        ("allowed", "member"),
        [
            ({"deadlineMs": "soon"}, ".deadlineMs"),
            ({"deadlineMs": -1}, ".deadlineMs"),
            ({"cost": -0.5}, ".cost"),
            ({"cost": [1]}, ".cost"),
            ("30s", ""),
            (5, ""),
        ],
        ids=str,
    )
    async def test_what_is_malformed_is_refused(self, revision: str, allowed: Any, member: str) -> None:
        server = Server("x", run_in="loop")
        server.tool(named)
        server.resource("r://1")(named)
        driver = Driver(server, revision)
        for method, params in (("tools/call", {"name": "named"}), ("resources/read", {"uri": "r://1"})):
            for _ in range(5):
                error = driver.ask(method, params, meta={BUDGET: allowed})["error"]
                assert error["code"] == -32602 and "dev.tybalt/budget" in error["message"] + str(error.get("data"))
                assert member in error["message"] + str(error.get("data"))

    def test_in_a_thread_a_checkpoint_tells_which_limit_it_was(self) -> None:
        """The checkpoint may notice before the timer does; the client is to read the same."""
        answers: list[Any] = []

        async def program() -> None:
            server = Server("x", request_timeout=2)
            server.threads = VirtualThreads(delay=lambda: 1.0)

            @server.tool
            def work(context: Context) -> str:
                return str(context.remaining)

            driver = Driver(server)
            answers.append(await answer_to(driver, "work"))
            answers.append(await answer_to(driver, "work", meta={BUDGET: {"deadlineMs": 500}}))

        run_virtual(program)
        assert text_of(answers[0]) == "1.0"
        assert "within the 0.5 s that its caller allows" in text_of(answers[1])

    @pytest.mark.parametrize("ask", ["plain", "told", "later"])
    def test_a_checkpoint_that_is_late_tells_it_too(self, ask: str) -> None:
        answers: list[Any] = []

        async def program() -> None:
            server = Server("x", request_timeout=2, run_in="loop")
            loop: Any = asyncio.get_running_loop()

            def work(context: Context) -> None:
                loop._now += 3  # It blocks.
                context.checkpoint()

            @server.tool
            async def told(context: Context) -> None:
                work(context)

            @server.tool
            async def later(context: Context) -> None:
                await asyncio.sleep(0)
                work(context)

            server.tool(name="plain")(work)
            answers.append(await answer_to(Driver(server), ask))

        run_virtual(program)
        assert answers[0]["result"]["isError"] and "did not finish within its 2 s" in text_of(answers[0])

    async def test_a_plain_function_on_the_loop_that_took_too_long_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        server = Server("x", run_in="loop")
        server.tool(timeout=1e-9)(named)
        with caplog.at_level(logging.WARNING):
            assert text_of(Driver(server).ask("tools/call", {"name": "named"})) == "named"
        assert "took longer than its 1e-09 s" in caplog.text

    @pytest.mark.parametrize("ask", ["plain", "never", "later"])
    @pytest.mark.parametrize("allowed", [None, 500])
    def test_so_is_all_else_that_blocks_the_loop_past_the_servers_limit(
        self, ask: str, allowed: int | None, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers: list[Any] = []

        async def program() -> None:
            server = Server("x", request_timeout=2, run_in="loop")
            loop: Any = asyncio.get_running_loop()

            @server.tool
            def plain(context: Context) -> str:
                loop._now += 3
                return "done"

            @server.tool
            async def never(context: Context) -> str:
                return plain(context)

            @server.tool
            async def later() -> str:
                await asyncio.sleep(0)
                loop._now += 3
                return "done"

            meta = None if allowed is None else {BUDGET: {"deadlineMs": allowed}}
            answers.append(await answer_to(Driver(server), ask, meta=meta))

        run_virtual(program)
        assert text_of(answers[0]) == "done"
        assert ("took longer than its 2 s, and blocked the loop" in caplog.text) == (allowed is None)


def named() -> str:
    return "named"


@pytest.mark.loops
class TestWhatAHandlerSees:
    @pytest.mark.parametrize("revision", REVISIONS)
    async def test_a_budget_is_injected_and_stays_out_of_the_schema(self, revision: str) -> None:
        server = Server("x", request_timeout=None)

        @server.tool
        async def look(a: int, budget: Budget) -> str:
            return f"{budget.deadline} {budget.cost} {budget.polls}"

        @server.tool
        async def both(budget: Budget, context: Context, a: int = 1) -> bool:
            return budget == context.budget and context.remaining == inf

        driver = Driver(server, revision)
        first, second = driver.result("tools/list")["tools"]
        assert list(first["inputSchema"]["properties"]) == list(second["inputSchema"]["properties"]) == ["a"]
        assert text_of(await answer_to(driver, "look", a=1)) == "inf inf inf"
        assert text_of(await answer_to(driver, "look", a=1, meta={BUDGET: {"cost": 2.5}})) == "inf 2.5 inf"
        assert text_of(await answer_to(driver, "both")) == "true"

    @pytest.mark.parametrize("revision", ERAS)
    @pytest.mark.parametrize("run_in", ["loop", "thread"])
    async def test_cost_is_spent_until_it_does_not_suffice(self, revision: str, run_in: Any) -> None:
        server = Server("x")

        @server.tool(run_in=run_in)
        def spend(context: Context) -> list[bool]:
            spent = [context.consume_cost(amount) for amount in (2, 2, 1, 0, 0.1)]
            return [*spent, context.budget.cost == 0]

        driver = Driver(server, revision)
        answer = await answer_to(driver, "spend", meta={BUDGET: {"cost": 3}})
        assert text_of(answer) == "[true,false,true,true,false,true]"
        server.threads.close()

    async def test_without_a_quota_everything_suffices(self) -> None:
        server = Server("x", run_in="loop")

        @server.tool
        def spend(context: Context) -> bool:
            return context.consume_cost(1e300)

        assert text_of(await answer_to(Driver(server), "spend")) == "true"

    @pytest.mark.parametrize("revision", [NEWEST, *LEGACY])
    async def test_a_budget_of_nobody_changes_nothing_for_what_is_quick(self, revision: str) -> None:
        server = Server("x", run_in="loop")
        server.tool(named)
        driver = Driver(server, revision)
        for meta in ({}, {BUDGET: {"deadlineMs": 1000}}, {BUDGET: None}, {}):
            assert text_of(driver.ask("tools/call", {"name": "named"}, meta=meta)) == "named"
        assert nothing_is_left(driver)


class TestLimits:
    def test_the_narrower_counts_and_is_told(self) -> None:
        limits = Limits(granted=5, allowed=2, cost=7)
        assert limits.budget(100) == Budget(102, 7)
        assert limits.exceeded("it", 103).kind is CancelKind.DEADLINE
        limits = Limits(granted=5, allowed=6)
        assert limits.budget(100) == Budget(105)
        assert limits.exceeded("it", 103).kind is CancelKind.TIMEOUT
        assert Limits().budget(1) == Budget()

    @pytest.mark.parametrize("limits", [Limits(), Limits(5), Limits(5, 2, 7), Limits(cost=0)])
    def test_a_token_has_the_same(self, limits: Limits) -> None:
        assert limits.token(lambda: 100.0).budget == limits.budget(100.0)
