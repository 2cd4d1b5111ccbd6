"""The flow of a connection: reading goes on when nobody wants it to stand still, and who reads nothing is found out."""

from collections.abc import Callable
from typing import Any

import pytest

from tybalt.server.http.flow import UNREAD_TIMEOUT, Closing, LaneFlow


class Transport:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.reads = True
        self.closing = False
        self.is_cut = False
        self.unread = 0

    def pause_reading(self) -> None:
        assert self.reads
        self.reads = False

    def resume_reading(self) -> None:
        assert not self.reads
        self.reads = True

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.is_cut = True

    def get_write_buffer_size(self) -> int:
        return self.unread


def made() -> tuple[LaneFlow, Any]:
    transport: Any = Transport()
    return LaneFlow(transport), transport


REASONS: list[tuple[Callable[[LaneFlow], None], Callable[[LaneFlow], None]]] = [
    (LaneFlow.pause_reading, LaneFlow.resume_reading),
    (LaneFlow.hold, LaneFlow.release),
    (LaneFlow.pause_writing, LaneFlow.resume_writing),
]


@pytest.mark.parametrize("first", range(3))
@pytest.mark.parametrize("second", range(3))
async def test_each_speaks_for_itself(first: int, second: int) -> None:
    flow, transport = made()
    for pause, _ in (REASONS[first], REASONS[second]):
        pause(flow)
        assert (transport.reads, flow.read_paused) == (False, True)
    REASONS[first][1](flow)
    assert transport.reads is (first == second)
    REASONS[second][1](flow)
    assert (transport.reads, flow.read_paused) == (True, False)


async def test_a_transport_that_closes_is_left_alone() -> None:
    flow, transport = made()
    flow.hold()
    transport.closing = True
    flow.release()
    assert not transport.reads


async def test_what_a_client_is_to_blame_for() -> None:
    flow, _ = made()
    flow.hold()
    assert not flow.is_client_waiting
    flow.pause_reading()
    assert flow.is_client_waiting
    flow.resume_reading()
    flow.pause_writing()
    assert flow.is_client_waiting


async def test_a_client_that_reads_nothing() -> None:
    flow, transport = made()
    assert not flow.is_stuck(0.0, 10.0)
    flow.pause_writing()
    transport.unread = 1_000
    assert not flow.is_stuck(100.0, 10.0)
    assert not flow.is_stuck(109.0, 10.0)
    transport.unread = 900
    assert not flow.is_stuck(110.0, 10.0)
    transport.unread = 2_000  # More was written, and nothing read.
    assert not flow.is_stuck(119.0, 10.0)
    assert flow.is_stuck(120.0, 10.0)
    flow.resume_writing()
    assert not flow.is_stuck(130.0, 10.0)
    flow.pause_writing()
    assert not flow.is_stuck(140.0, 10.0)


async def test_a_connection_that_was_closed_and_is_not_read() -> None:
    transport: Any = Transport()
    closing = Closing(transport)
    assert not closing.sweep(0.0)
    transport.closing = True
    assert closing.sweep(100.0)
    assert closing.sweep(100.0 + UNREAD_TIMEOUT - 1)
    assert not transport.is_cut
    assert closing.sweep(100.0 + UNREAD_TIMEOUT)
    assert transport.is_cut
