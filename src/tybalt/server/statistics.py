"""What a server can tell of its handlers: what runs now, where each runs, how long it took."""

from typing import TYPE_CHECKING

from msgspec import Struct

from tybalt.execution.placement import HandlerStatistics
from tybalt.execution.threads import ThreadStatistics

if TYPE_CHECKING:
    from tybalt.server.server import Server


class ServerStatistics(Struct, frozen=True):
    """`running` requests wait for something or run in threads, `waiting` ones wait for their turn."""

    running: int
    waiting: int
    threads: ThreadStatistics
    handlers: list[HandlerStatistics]


def statistics_of(server: "Server") -> ServerStatistics:
    """What is known now."""
    kinds = ("tool", "resource", "template", "prompt")
    handlers = [
        server.handling(declaration).placement.statistics()
        for kind in kinds
        for declaration in server.catalogue.declarations(kind)
    ]
    return ServerStatistics(server.turns.running, server.turns.waiting, server.threads.statistics(), handlers)
