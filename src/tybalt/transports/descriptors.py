"""Opening a message stream over two raw descriptors, each served in the way it allows.

The event loop serves pipes and sockets (`watched`); everything else gets a thread (`threads`). `stdio` and `process`
use this; above it all is `StreamTransport`.
"""

import os
from asyncio import AbstractEventLoop, Protocol
from stat import S_ISFIFO, S_ISSOCK

from tybalt.transports.duplex import Done, Duplex, Reader, Writer
from tybalt.transports.stream import StreamTransport
from tybalt.transports.watched import WatchedReader, WatchedWriter


def open_duplex(
    loop: AbstractEventLoop, transport: StreamTransport, *, read_from: int, write_to: int, watch: bool = True
) -> Duplex:
    """Carry `transport` over two descriptors, which from then on belong to the link that is returned.

    With `watch=False` both are served by threads, and their blocking mode is left as it is.
    """
    link = Duplex(loop, transport)
    link.writer = open_writer(loop, write_to, transport, link.writer_done, watch=watch)
    transport.attach(link)
    link.reader = open_reader(loop, read_from, transport, link.reader_done, watch=watch)
    return link


def open_reader(
    loop: AbstractEventLoop, descriptor: int, protocol: Protocol, done: Done, *, watch: bool = True
) -> Reader:
    """Hand what arrives on `descriptor` to `protocol.data_received`, until `done`."""
    if watch and can_watch(descriptor):
        return WatchedReader(loop, descriptor, protocol, done)
    # Late: a server on pipes, which is the usual one, needs no threads and should not pay for their import.
    from tybalt.transports.threads import ThreadedReader

    return ThreadedReader(loop, descriptor, protocol, done)


def open_writer(
    loop: AbstractEventLoop, descriptor: int, protocol: Protocol, done: Done, *, watch: bool = True
) -> Writer:
    """A writer to `descriptor` that pauses and resumes `protocol`, until `done`."""
    if watch and can_watch(descriptor):
        return WatchedWriter(loop, descriptor, protocol, done)
    from tybalt.transports.threads import ThreadedWriter

    return ThreadedWriter(loop, descriptor, protocol, done)


def can_watch(descriptor: int) -> bool:
    """Whether the event loop can wait for `descriptor`: pipes and sockets, not on Windows."""
    mode = os.fstat(descriptor).st_mode
    return os.name == "posix" and (S_ISFIFO(mode) or S_ISSOCK(mode))
