"""What a call sends along: what is left of a budget, trace context, keys of vendors; and that the budget holds here."""

import asyncio
from math import inf
from typing import Any

import pytest

from tests.client.peers import Clock, asked, called, connected, idle, settle
from tybalt import Client, MisuseError, RequestTimeout, Server
from tybalt.client.granted import later, meta_of
from tybalt.execution import UNLIMITED, Budget, within
from tybalt.types.meta import BUDGET, CLIENT_INFO, LOG_LEVEL, PROTOCOL_VERSION

ERAS = ("modern", "legacy")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def now() -> float:
    return asyncio.get_running_loop().time()


def sent(message: dict[str, Any]) -> dict[str, Any]:
    """The `_meta` of a request, without what every modern one has."""
    meta = message["params"].get("_meta", {})
    return {key: value for key, value in meta.items() if not key.startswith("io.modelcontextprotocol/")}


class TestMeta:
    @pytest.mark.parametrize("era", ERAS)
    @pytest.mark.parametrize("layers", [[], [lambda following: following]])
    async def test_it_is_sent_in_both_eras(self, era: str, layers: Any) -> None:
        async with connected(era, middleware=layers) as (client, peer):
            meta = {"traceparent": TRACE, "com.example/tenant": {"id": 7}}
            asking, message = await asked(peer, client.call_tool("add", {"a": 1}, meta=meta))
            assert sent(message) == meta and message["params"]["arguments"] == {"a": 1}
            peer.answer(message, called(1))
            assert (await asking).data == 1

    async def test_by_hand_too(self) -> None:
        async with connected() as (client, peer):
            asking, message = await asked(peer, client.call_tool_once("add", meta={"a": 1}, budget=Budget(cost=2)))
            assert sent(message) == {"a": 1, BUDGET: {"cost": 2}}
            peer.answer(message, called(1))
            await asking

    @pytest.mark.parametrize("era", ERAS)
    async def test_the_protocols_own_keys_win(self, era: str) -> None:
        """A proxy may pass on the `_meta` it got: a modern one would make a legacy request modern."""
        given = {PROTOCOL_VERSION: "2099", CLIENT_INFO: {"name": "x"}, LOG_LEVEL: "debug", "progressToken": "theirs"}
        async with connected(era) as (client, peer):
            asking, message = await asked(peer, client.call_tool("add", meta=given))
            assert sent(message) == {} and "2099" not in str(message)
            assert LOG_LEVEL not in message["params"].get("_meta", {})
            peer.answer(message, called(1))
            await asking
            asking, message = await asked(peer, client.call_tool("add", meta=given, on_progress=print))
            assert sent(message) == {"progressToken": message["id"]}
            peer.answer(message, called(1))
            await asking

    @pytest.mark.parametrize("given", [{"meta": "traceparent"}, {"budget": 5.0}, {"budget": {"cost": 1}}])
    async def test_what_is_neither_is_a_mistake(self, given: Any) -> None:
        async with connected() as (client, _):
            with pytest.raises(MisuseError, match=f"^{next(iter(given))}: expected a"):
                await client.call_tool("add", **given)
            assert idle(client)


class TestBudget:
    @pytest.mark.parametrize("era", ERAS)
    async def test_what_is_left_is_sent(self, era: str) -> None:
        async with connected(era) as (client, peer):
            clock = Clock()
            budget = within("5s", now(), cost=100)
            await clock.advance(2)
            asking, message = await asked(peer, client.call_tool("add", budget=budget, meta={BUDGET: {"cost": 1}}))
            told = sent(message)[BUDGET]
            assert told["cost"] == 100 and told["deadlineMs"] == pytest.approx(3_000)
            peer.answer(message, called(1))
            await asking

    async def test_what_is_not_limited_is_not_sent(self) -> None:
        assert meta_of(None, UNLIMITED, 0.0) == {} == meta_of({}, Budget(polls=3), 0.0)
        assert meta_of(None, Budget(cost=inf, deadline=2.0), 1.5) == {BUDGET: {"deadlineMs": 500.0}}

    @pytest.mark.parametrize("era", ERAS)
    async def test_it_bounds_the_call_here_too(self, era: str) -> None:
        async with connected(era) as (client, peer):
            clock = Clock()
            asking, message = await asked(peer, client.call_tool("add", budget=within("5s", now())))
            await clock.advance(4.9)
            assert not asking.done()
            await clock.advance(0.2)
            with pytest.raises(RequestTimeout, match=r"^tools/call was not answered within the 5 s of its budget$"):
                await asking
            cancelled = await peer.next()
            assert cancelled["method"] == "notifications/cancelled"
            assert cancelled["params"]["requestId"] == message["id"] and idle(client)

    async def test_a_shorter_timeout_holds_besides(self) -> None:
        async with connected() as (client, peer):
            clock = Clock()
            asking, _ = await asked(peer, client.call_tool("add", budget=within("5s", now()), timeout=1))
            await clock.advance(1.1)
            with pytest.raises(RequestTimeout, match="within 1 s"):
                await asking
            await peer.next()

    @pytest.mark.parametrize(("budget", "spent"), [(Budget(deadline=-1.0), "time is up"), (Budget(cost=0), "is spent")])
    async def test_one_that_is_used_up_sends_nothing(self, budget: Budget, spent: str) -> None:
        async with connected() as (client, peer):
            with pytest.raises(RequestTimeout, match=spent):
                await client.call_tool("add", budget=budget)
            await settle()
            assert peer.quiet() and idle(client)

    async def test_the_time_in_which_a_question_is_answered_counts(self) -> None:
        waiting = asyncio.Event()

        async def on_elicit(_: Any) -> dict[str, Any]:
            waiting.set()
            await asyncio.Event().wait()
            return {}

        form = {"mode": "form", "message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
        question = {"method": "elicitation/create", "params": form}
        async with connected(on_elicit=on_elicit) as (client, peer):
            clock = Clock()
            asking, message = await asked(peer, client.call_tool("add", budget=within("5s", now()), timeout=1))
            peer.answer(message, {"resultType": "input_required", "inputRequests": {"a": question}})
            await waiting.wait()
            await clock.advance(5.1)
            with pytest.raises(RequestTimeout, match="of its budget"):
                await asking

    async def test_a_later_round_has_less(self) -> None:
        async with connected(on_elicit=print) as (client, peer):
            clock = Clock()
            asking, message = await asked(peer, client.call_tool("add", budget=within("5s", now(), cost=7)))
            await clock.advance(2)
            peer.answer(message, {"resultType": "input_required", "requestState": "s"})
            retry = await peer.next()
            told = sent(retry)[BUDGET]
            assert told["deadlineMs"] == pytest.approx(3_000) and told["cost"] == 7
            peer.answer(retry, called(1))
            await asking

    async def test_a_timeout_of_somebody_else_stays_his(self) -> None:
        def tired(following: Any) -> Any:
            async def handler(request: Any) -> Any:
                raise TimeoutError("the layer is tired")

            return handler

        async with connected(middleware=[tired]) as (client, _):
            with pytest.raises(TimeoutError, match="tired"):
                await client.call_tool("add", budget=within("5s", now()))

    @pytest.mark.parametrize("era", ERAS)
    async def test_our_server_takes_it(self, era: str) -> None:
        server = Server("granted")

        @server.tool
        async def left(budget: Budget) -> float:
            return budget.cost

        async with Client(server, era=era) as client:
            assert (await client.call_tool("left", budget=Budget(cost=12))).data == 12


def test_a_request_without_a_deadline_is_sent_again_as_it_was() -> None:
    for granted in ({}, {BUDGET: {"cost": 1}}, {BUDGET: "much"}, {BUDGET: {"deadlineMs": "5"}}):
        params = {"name": "add", "_meta": granted}
        assert later(params, 5.0) is params
    assert later({"_meta": {BUDGET: {"deadlineMs": 10}}}, 5.0)["_meta"] == {BUDGET: {"deadlineMs": 0.0}}
