"""`Pair`: time that passes when the test says so, and every race of a connection as a list of steps."""

import pytest

from tests.protocol.conversations import profile
from tybalt.errors import MisuseError
from tybalt.protocol.client import Answered, Failed
from tybalt.testing import Pair
from tybalt.types.revisions import LATEST_LEGACY


def legacy(pair: Pair) -> Pair:
    """The same pair, after the handshake."""
    pair.client.adopt(LATEST_LEGACY)
    pair.request("initialize", pair.client.initialize_params())
    pair.run()
    pair.to_server(pair.client.notification("notifications/initialized"))
    pair.run()
    return pair


class TestTime:
    def test_it_passes_only_when_told(self) -> None:
        pair = Pair(profile(), latency=0.5)
        pair.request("server/discover", {})
        pair.advance(0.4)
        assert (pair.now, pair.events) == (0.4, [])
        pair.advance(0.1)
        assert (pair.now, pair.events) == (0.5, [])
        pair.advance(1.0)
        assert pair.now == 1.5
        assert isinstance(pair.events[0], Answered)

    def test_running_on_ends_when_the_link_is_empty(self) -> None:
        pair = Pair(profile(), latency=2.0)
        pair.request("server/discover", {})
        pair.run()
        assert pair.now == 4.0
        assert [(sent.direction, sent.sent_at, sent.due_at) for sent in pair.transcript] == [(">", 0, 2), ("<", 2, 4)]

    def test_messages_of_one_direction_keep_their_order(self) -> None:
        pair = Pair(profile(), latency=1.0)
        ids = [pair.request("tools/list", {}) for _ in range(3)]
        pair.run()
        assert [responder.request.id for responder in pair.requests] == ids
        pair.close()


class TestRequests:
    def test_they_wait_for_the_test_to_answer_in_any_order(self) -> None:
        pair = Pair(profile())
        first, second = pair.request("tools/call", {"name": "a"}), pair.request("tools/call", {"name": "b"})
        pair.run()
        pair.answer("of the second", pair.requests[1])
        pair.answer("of the first")
        pair.run()
        assert [event.id for event in pair.events if isinstance(event, Answered)] == [second, first]
        assert pair.server.in_flight == 0

    def test_there_is_nothing_to_answer_before_it_arrives(self) -> None:
        pair = Pair(profile(), latency=1.0)
        pair.request("tools/list", {})
        with pytest.raises(MisuseError, match="no request is waiting for an answer"):
            pair.answer({"tools": []})

    def test_an_error_is_told_as_one(self) -> None:
        pair = Pair(profile())
        pair.request("ping")
        pair.run()
        (event,) = pair.events
        assert isinstance(event, Failed) and event.error.code == -32601

    @pytest.mark.parametrize("answered_first", [False, True])
    def test_a_cancel_and_an_answer_that_cross(self, answered_first: bool) -> None:
        pair = Pair(profile(), latency=1.0)
        asked = pair.request("tools/call", {"name": "a"})
        pair.run()
        pair.to_server(pair.client.cancel(asked))
        if answered_first:
            pair.answer("too late for you")
            pair.run()
            assert (pair.cancels, pair.events) == ([], [None])
        else:
            (responder,) = pair.requests
            pair.run()
            assert [cancel.responders for cancel in pair.cancels] == [(responder,)]
            assert not pair.requests
            pair.to_client(responder.respond("too late for me"))
            pair.run()
            assert pair.events == []

    def test_what_is_open_can_be_dropped(self) -> None:
        pair = Pair(profile())
        pair.request("tools/list", {})
        pair.run()
        pair.close()
        assert not pair.requests and pair.server.in_flight == 0


class TestEras:
    def test_a_handshake_is_the_cores_own_business(self) -> None:
        pair = legacy(Pair(profile()))
        assert pair.server.is_ready and not pair.requests
        pair.request("tools/list")
        pair.run()
        pair.answer({"tools": []})
        pair.run()
        assert isinstance(pair.events[-1], Answered)

    def test_a_batch_is_taken_apart(self) -> None:
        pair = Pair(profile(revisions=["2025-03-26"]))
        pair.client.adopt("2025-03-26")
        pair.request("initialize", pair.client.initialize_params())
        pair.run()
        one, two = pair.client.request("tools/list")[1], pair.client.request("ping")[1]
        pair.to_server(b"[" + one + b"," + two + b"]")
        pair.run()
        assert len(pair.requests) == 1
        pair.close()

    def test_nonsense_in_either_direction_breaks_nothing(self) -> None:
        pair = Pair(profile())
        for text in (b"", b"{", b"[]", b'{"jsonrpc":"2.0","id":9,"result":{}}'):
            pair.to_server(text)
            pair.to_client(text)
        pair.run()
        asked = pair.request("server/discover", {})
        pair.run()
        assert any(isinstance(event, Answered) and event.id == asked for event in pair.events)
