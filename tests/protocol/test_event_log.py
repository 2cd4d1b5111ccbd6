"""What a client missed is told to its owner, once and in order, or it is told that it is gone; and nothing grows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tybalt.errors import MisuseError
from tybalt.protocol.event_log import (
    EVENT_BYTES,
    LIFETIME,
    MAX_EVENT_ID,
    MAX_EVENTS,
    Entry,
    EventLog,
    EventLogStatistics,
    Evicted,
    Replay,
    Resumption,
    Unknown,
)
from tybalt.protocol.sse import Event, EventReader, events

A, B, C, D = (letter * 22 for letter in "abcd")
OWNER, OTHER = "session-of-ann", "session-of-bob"


def opened(*streams: str, **bounds: Any) -> EventLog:
    log = EventLog(**bounds)
    for stream in streams:
        log.open(stream, OWNER)
    return log


def data_after(log: EventLog, event_id: str | None, now: float = 0.0, owner: str = OWNER) -> list[bytes]:
    assert event_id is not None
    replay = log.after(event_id, owner, now)
    assert isinstance(replay, Replay)
    return [each.data for each in replay.events]


def appended(log: EventLog, stream: str, *messages: bytes, now: float = 0.0) -> list[str]:
    ids = [log.append(stream, message, now) for message in messages]
    return [each for each in ids if each is not None]


# -- replay ---------------------------------------------------------------------------------------------------------


def test_what_came_after_an_event_is_replayed_in_order() -> None:
    log = opened(A)
    prime = log.prime(A)
    one, two, three = appended(log, A, b"1", b"2", b"3")
    assert [prime, one, two, three] == [f"{A}.1", f"{A}.2", f"{A}.3", f"{A}.4"]
    assert log.after(f"{A}.1", OWNER, 0.0) == Replay(A, (Entry(one, b"1"), Entry(two, b"2"), Entry(three, b"3")), False)
    assert data_after(log, one) == [b"2", b"3"]
    assert data_after(log, three) == []
    assert data_after(log, one) == [b"2", b"3"]  # again: a connection may break twice


def test_only_the_stream_that_broke_is_replayed() -> None:
    log = opened(A, B)
    [one] = appended(log, A, b"1")
    appended(log, B, b"of another stream")
    appended(log, A, b"2")
    assert data_after(log, one) == [b"2"]


def test_only_the_owner_is_answered_and_others_learn_nothing() -> None:
    log = opened(A)
    [one, _] = appended(log, A, b"1", b"2")
    assert log.after(one, OTHER, 0.0) == Unknown() == log.after(f"{B}.1", OTHER, 0.0)
    assert str(Unknown()) == "This Last-Event-ID is of no stream that can be resumed. Open a new one without it"
    assert data_after(log, one) == [b"2"]


@pytest.mark.parametrize(
    "event_id",
    [
        *("", ".", "1", A, f"{A}.", f"{A}.0", f"{A}.01", f"{A}.3", f"{A}.-1", f"{A}.+1", f"{A}. 1", f"{A}.1 "),
        *(f"{A}.1.1", f".{A}.1", f"{A}.١", f"{A}.¹", f"{A}.1\n", f"{B}.1", f"{A.upper()}.1", "\ud800", "😀.1"),
        *(f"{A}.{'9' * 5_000}", f"{A}.1{'0' * 10_000}", "1" * MAX_EVENT_ID),
    ],
    ids=lambda text: ascii(text[:30]),
)
def test_an_id_that_was_never_given_is_unknown(event_id: str) -> None:
    log = opened(A)
    appended(log, A, b"1", b"2")
    assert log.after(event_id, OWNER, 0.0) == Unknown()


@given(st.text(max_size=120))
def test_no_text_raises(event_id: str) -> None:
    log = opened(A)
    appended(log, A, b"1")
    assert log.after(event_id, OWNER, 0.0) == Unknown()


def test_a_closed_stream_is_replayed_and_then_ends() -> None:
    log = opened(A)
    one, two = appended(log, A, b"1", b"result")
    log.close(A, 1.0)
    log.close(A, 50.0)  # no second life
    assert log.after(one, OWNER, 60.0) == Replay(A, (Entry(two, b"result"),), ended=True)
    assert log.after(one, OWNER, 1.0 + LIFETIME) == Unknown()
    assert log.statistics() == EventLogStatistics(0, 0, 0, 0, evicted=0, expired=2)


def test_the_ids_are_read_by_a_client_and_bring_it_on() -> None:
    log = opened(A)
    prime = log.prime(A)
    appended(log, A, b"1", b"2", b"3")
    reader = EventReader()
    first = log.after(f"{A}.1", OWNER, 0.0)
    assert isinstance(first, Replay)
    written = events([(prime, b""), *first.events])
    assert reader.feed(written[:-7]) == [Event(b"", id=f"{A}.1"), Event(b"1", id=f"{A}.2"), Event(b"2", id=f"{A}.3")]
    reader.eof()
    assert data_after(log, reader.last_event_id) == [b"3"]


# -- bounds ---------------------------------------------------------------------------------------------------------


def test_what_is_gone_is_told() -> None:
    log = opened(A)
    ids = appended(log, A, *(b"%d" % number for number in range(MAX_EVENTS + 2)))
    assert log.after(ids[0], OWNER, 0.0) == Evicted(A)
    assert str(Evicted(A)).startswith("Events after this Last-Event-ID are not kept any more")
    # The second is gone itself, and all that came after it is there.
    assert len(data_after(log, ids[1])) == MAX_EVENTS
    assert log.statistics().evicted == 2


def test_an_event_expires_to_the_second() -> None:
    log = opened(A, lifetime=10.0)
    [one] = appended(log, A, b"1", now=0.0)
    [two] = appended(log, A, b"2", now=5.0)
    assert data_after(log, one, now=14.999) == [b"2"]
    assert log.after(one, OWNER, 15.0) == Evicted(A)
    assert data_after(log, two, now=15.0) == []
    assert data_after(log, two, now=10.0**9) == []  # open still
    assert log.statistics().expired == 2


def test_an_expired_event_is_gone_when_the_next_one_comes() -> None:
    log = opened(A, lifetime=10.0)
    appended(log, A, b"1", now=0.0)
    appended(log, A, b"2", now=10.0)
    assert log.statistics() == EventLogStatistics(1, 1, 1, 1 + EVENT_BYTES, evicted=0, expired=1)


def test_a_large_event_pushes_out_what_came_before_and_one_too_large_itself() -> None:
    log = opened(A, max_stream_bytes=2 * EVENT_BYTES + 10)
    ids = appended(log, A, b"1", b"2", b"3" * 9)
    assert data_after(log, ids[0]) == [b"2", b"3" * 9]
    ids += appended(log, A, b"4" * (2 * EVENT_BYTES))
    assert log.after(ids[2], OWNER, 0.0) == Evicted(A)
    assert data_after(log, ids[3]) == []
    assert log.statistics().bytes == 0


def test_the_quietest_stream_makes_room_for_the_bytes_of_others() -> None:
    log = opened(A, B, C, max_bytes=4 * EVENT_BYTES + 4)
    for stream in (A, B):
        log.prime(stream)
    appended(log, A, b"1")
    appended(log, B, b"2")
    appended(log, A, b"3", b"4")
    appended(log, C, b"5")
    assert log.after(f"{B}.1", OWNER, 0.0) == Evicted(B)
    assert data_after(log, f"{A}.1") == [b"1", b"3", b"4"]
    appended(log, C, b"6")
    assert log.after(f"{A}.1", OWNER, 0.0) == Evicted(A)
    assert data_after(log, f"{A}.2") == [b"3", b"4"]


def test_for_a_new_stream_the_first_that_was_closed_goes() -> None:
    log = opened(A, B, C, max_streams=3)
    for stream in (A, B, C):
        log.prime(stream)
    log.close(C, 0.0)
    log.close(B, 0.0)
    log.open(D, OWNER)
    assert log.after(f"{C}.1", OWNER, 0.0) == Unknown()
    assert data_after(log, f"{A}.1") == data_after(log, f"{B}.1") == []


def test_where_none_is_closed_the_quietest_goes_and_its_events_have_no_ids_from_then_on() -> None:
    log = opened(A, B, max_streams=2)
    appended(log, A, b"1")
    log.open(C, OTHER)
    assert log.after(f"{A}.1", OWNER, 0.0) == Replay(A, (), ended=False)
    assert log.append(B, b"2", 0.0) is None
    assert log.prime(B) is None
    log.close(B, 0.0)
    log.open(B, OTHER)  # its name is free
    assert log.append(A, b"3", 0.0) is None


def test_a_session_that_ended_has_no_streams() -> None:
    log = opened(A, B)
    log.open(C, OTHER)
    for stream in (A, B, C):
        appended(log, stream, b"1")
    log.close(B, 0.0)
    log.forget(OWNER)
    log.forget(OWNER)
    log.forget("nobody")
    assert log.after(f"{A}.1", OWNER, 0.0) == log.after(f"{B}.1", OWNER, 0.0) == Unknown()
    assert data_after(log, f"{C}.1", owner=OTHER) == []
    assert log.statistics() == EventLogStatistics(1, 1, 1, 1 + EVENT_BYTES, evicted=0, expired=0)


@pytest.mark.parametrize("shares", [1, 10])
def test_many_streams_that_come_and_go_leave_nothing_behind(shares: int) -> None:
    log = EventLog(lifetime=10.0, shares=shares)
    for number in range(2_000):
        name = f"{number:022}"
        log.open(name, f"owner-{number}", f"principal-{number}")
        log.append(name, b"x", float(number))
        log.close(name, float(number))
        log.expire(float(number))
    assert log.statistics().streams == 10
    log.expire(3_000.0)
    assert log.statistics() == EventLogStatistics(0, 0, 0, 0, evicted=0, expired=2_000)
    assert not any(log.__dict__[held] for held in ("_streams", "_all", "_queues", "_owned"))


# -- shares ---------------------------------------------------------------------------------------------------------


def shared(**bounds: Any) -> EventLog:
    """A log in which B, of bob, is closed, and ann comes."""
    log = EventLog(shares=2, **bounds)
    log.open(B, OTHER, "bob")
    log.append(B, b"1", 0.0)
    log.close(B, 0.0)
    return log


def test_who_has_had_a_share_of_the_streams_loses_his_own() -> None:
    log = shared(max_streams=4)
    for number in range(9):
        name = f"{number:022}"
        log.open(name, OWNER, "ann")
        log.append(name, b"x", 0.0)
        log.close(name, 0.0)
    assert isinstance(log.after(f"{B}.1", OTHER, 0.0), Replay)
    assert [isinstance(log.after(f"{number:022}.1", OWNER, 0.0), Replay) for number in range(9)] == [False] * 7 + [
        True
    ] * 2


def test_who_has_had_a_share_of_the_bytes_loses_his_own() -> None:
    log = shared(max_bytes=6 * EVENT_BYTES + 6)
    log.open(A, OWNER, "ann")
    log.prime(A)
    appended(log, A, *(b"x" for _ in range(9)))
    assert log.after(f"{A}.1", OWNER, 0.0) == Evicted(A)
    assert data_after(log, f"{A}.7") == [b"x"] * 3
    log.open(C, OTHER, "bob")
    log.prime(C)
    appended(log, C, b"2")
    assert log.statistics().events == 5, "that of bob is still there"


def test_where_all_is_taken_the_own_closed_ones_go_first() -> None:
    log = EventLog(shares=2, max_streams=4)
    for name, owner, principal in ((A, OWNER, "ann"), (B, OTHER, "bob"), (C, OTHER, "bob"), (D, "third", "eve")):
        log.open(name, owner, principal)
        log.prime(name)
        log.close(name, 0.0)
    log.open("e" * 22, "third", "eve")
    assert isinstance(log.after(f"{A}.1", OWNER, 0.0), Replay), "though it was closed before"
    assert log.after(f"{D}.1", "third", 0.0) == Unknown()
    log.open("f" * 22, "fourth", "dan")
    assert log.after(f"{A}.1", OWNER, 0.0) == Unknown()


# -- misuse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", ["", "a" * 21, "a" * 65, "a" * 21 + ".", "a" * 22 + "\n", "ä" * 22])
def test_a_stream_has_a_name_that_cannot_be_guessed(stream: str) -> None:
    with pytest.raises(MisuseError, match=r"secrets\.token_urlsafe"):
        EventLog().open(stream, OWNER)


def test_a_stream_is_opened_once_and_closed_for_good() -> None:
    log = opened(A)
    with pytest.raises(MisuseError, match="open already"):
        log.open(A, OTHER)
    log.close(A, 0.0)
    with pytest.raises(MisuseError, match="closed"):
        log.append(A, b"1", 0.0)
    with pytest.raises(MisuseError, match="closed"):
        log.prime(A)


@pytest.mark.parametrize("bound", ["max_events", "lifetime", "max_streams", "max_stream_bytes", "max_bytes", "shares"])
def test_a_bound_is_above_0(bound: str) -> None:
    with pytest.raises(MisuseError, match="bounds above 0; got"):
        opened(**{bound: 0})


# -- against a naive model ------------------------------------------------------------------------------------------

BOUNDS = {
    "max_events": 3,
    "lifetime": 10.0,
    "max_streams": 3,
    "max_stream_bytes": 3 * EVENT_BYTES + 20,
    "max_bytes": 5 * EVENT_BYTES + 30,
}


class Model:
    """All that ever happened, and from that what should be there: slow, and with nothing to keep in step."""

    def __init__(self) -> None:
        self.streams: dict[str, dict[str, Any]] = {}
        self.tick = 0

    def open(self, stream: str, owner: str) -> None:
        if len(self.streams) == BOUNDS["max_streams"]:
            # Closed before open; among those the longest since it was closed, or since its last event or its beginning.
            del self.streams[min(self.streams, key=lambda name: (not self.is_closed(name), self.streams[name]["used"]))]
        self.streams[stream] = {"owner": owner, "closed": None, "events": [], "last": 0, "used": self.next()}

    def append(self, stream: str, data: bytes, now: float) -> str | None:
        if stream not in self.streams:
            return None
        found = self.streams[stream]
        found["last"] += 1
        found["used"] = found["told"] = self.next()
        found["events"].append((found["last"], data, now))
        found["events"] = [event for event in found["events"] if now - event[2] < BOUNDS["lifetime"]]
        while len(found["events"]) > BOUNDS["max_events"] or self.size([found]) > BOUNDS["max_stream_bytes"]:
            found["events"].pop(0)
        while self.size(list(self.streams.values())) > BOUNDS["max_bytes"]:
            holding = [each for each in self.streams.values() if each["events"]]
            min(holding, key=lambda each: each["told"])["events"].pop(0)
        return f"{stream}.{found['last']}"

    def prime(self, stream: str) -> str | None:
        if stream not in self.streams:
            return None
        self.streams[stream]["last"] += 1
        return f"{stream}.{self.streams[stream]['last']}"

    def close(self, stream: str, now: float) -> None:
        if stream in self.streams and not self.is_closed(stream):
            self.streams[stream].update(closed=now, used=self.next())

    def forget(self, owner: str) -> None:
        self.streams = {name: each for name, each in self.streams.items() if each["owner"] != owner}

    def expire(self, now: float) -> None:
        for name, each in list(self.streams.items()):
            each["events"] = [event for event in each["events"] if now - event[2] < BOUNDS["lifetime"]]
            if self.is_closed(name) and now - each["closed"] >= BOUNDS["lifetime"]:
                del self.streams[name]

    def after(self, stream: str, position: int, owner: str, sent: dict[int, bytes], now: float) -> Resumption:
        found = self.streams.get(stream)
        if found is None or found["owner"] != owner or not 0 < position <= found["last"]:
            return Unknown()
        if self.is_closed(stream) and now - found["closed"] >= BOUNDS["lifetime"]:
            return Unknown()
        kept = [event[0] for event in found["events"] if now - event[2] < BOUNDS["lifetime"]]
        missed = {each: data for each, data in sent.items() if each > position}
        if any(each not in kept for each in missed):
            return Evicted(stream)
        entries = tuple(Entry(f"{stream}.{each}", data) for each, data in sorted(missed.items()))
        return Replay(stream, entries, self.is_closed(stream))

    def is_closed(self, stream: str) -> bool:
        return self.streams[stream]["closed"] is not None

    def size(self, streams: list[dict[str, Any]]) -> int:
        return sum(len(data) + EVENT_BYTES for each in streams for _, data, _ in each["events"])

    def next(self) -> int:
        self.tick += 1
        return self.tick


numbers = st.integers(0, 5)
steps = st.one_of(
    st.tuples(st.just("open"), st.sampled_from([OWNER, OTHER])),
    st.tuples(st.just("append"), numbers, st.binary(max_size=4) | st.just(b"x" * 2 * EVENT_BYTES)),
    st.tuples(st.just("append"), numbers, st.binary(max_size=4)),
    st.tuples(st.just("prime"), numbers),
    st.tuples(st.just("close"), numbers),
    st.tuples(st.just("forget"), st.sampled_from([OWNER, OTHER])),
    st.tuples(st.just("expire")),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 1.0, 4.0, 10.0])),
)


@given(st.lists(steps, max_size=60))
def test_it_does_what_a_naive_model_does(story: list[tuple[Any, ...]]) -> None:
    log, model, now = EventLog(**BOUNDS), Model(), 0.0  # type: ignore[arg-type]
    names: list[str] = []
    sent: dict[str, dict[int, bytes]] = {}
    for verb, *arguments in story:
        if verb == "open":
            name = f"{len(names):022}"
            names.append(name)
            sent[name] = {}
            log.open(name, arguments[0])
            model.open(name, arguments[0])
        elif verb in ("append", "prime", "close"):
            name = names[-1 - arguments[0]] if arguments[0] < len(names) else A
            if verb == "close":
                log.close(name, now)
                model.close(name, now)
            elif name not in model.streams or not model.is_closed(name):
                times = (*arguments[1:], now) if verb == "append" else ()
                event_id = getattr(log, verb)(name, *times)
                assert event_id == getattr(model, verb)(name, *times)
                if event_id is not None and verb == "append":
                    sent[name][int(event_id.rpartition(".")[2])] = arguments[1]
        elif verb == "forget":
            log.forget(arguments[0])
            model.forget(arguments[0])
        elif verb == "expire":
            log.expire(now)
            model.expire(now)
            assert log.statistics().streams == len(model.streams)
            assert log.statistics().bytes == model.size(list(model.streams.values()))
        else:
            now += arguments[0]
    statistics = log.statistics()
    assert statistics.streams <= BOUNDS["max_streams"] and statistics.bytes <= BOUNDS["max_bytes"]
    for name in names:
        for position in range(len(story) + 2):
            for owner in (OWNER, OTHER):
                found = log.after(f"{name}.{position}", owner, now)
                assert found == model.after(name, position, owner, sent[name], now)
